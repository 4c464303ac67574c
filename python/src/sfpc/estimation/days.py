"""Days and other outcomes with many zeros: hurdle and two-limit tobit models (FV.SENS.4).

Both fit a likelihood of one linear index and at most one further parameter, with the matching weights and errors
clustered by LA, and give the effect as the change in expected days of the treated. They are sensitivity analyses: the
linear model of FV.EST.6 stays primary. Page: docs/methods/days.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import digamma, expit, gammaln

from sfpc.estimation.cluster import Estimate, cluster_covariance, infer
from sfpc.estimation.design import Design
from sfpc.estimation.result import Result

Array = NDArray[np.float64]
Derivatives = Callable[[Array, float, Array], tuple[Array, Array, Array]]

MAXIMUM_ITERATIONS = 200
MAXIMUM_HALVINGS = 40
# On Newton's decrement per unit of weight.
CONVERGENCE_TOLERANCE = 1e-13
# Step of central differences of the analytic first derivatives.
DIFFERENCE = 1e-5


@dataclass(frozen=True)
class IndexFit(Result):
    """A fitted likelihood of one index.

    Attributes
    ----------
    coefficients: (K,) of the index; further: the log of scale or dispersion, NaN where the model has none.
    log_likelihood: weighted.
    scores: (rows, P) and bread: (P, P) of all parameters, the further one last.
    is_converged: False where the steps did not settle.
    """

    coefficients: Array
    further: float
    log_likelihood: float
    scores: Array
    bread: Array
    is_converged: bool

    @property
    def parameters(self) -> Array:
        """All parameters in one vector."""
        return self.coefficients if np.isnan(self.further) else np.append(self.coefficients, self.further)


def fit_index_model(
    x: Array, y: Array, weight: Array, derivatives: Derivatives, start: Array, further: float = float("nan")
) -> IndexFit:
    """Maximise sum of w * l(x b, further; y) by Newton's method with step-halving.

    derivatives: of index, further parameter and outcome: log likelihood per row and its derivatives by index and by
        further parameter (ignored where `further` is NaN). Second derivatives are central differences of these.
    """
    has_further = not np.isnan(further)
    count = x.shape[1]
    # Columns of equal length: percentages beside indicators would make the information ill-conditioned.
    length = np.sqrt((weight @ np.square(x)) / weight.sum())
    length = np.where(length > 0, length, 1.0)
    scaled = x / length
    parameters = np.append(start * length, further) if has_further else start * length

    def parts(p: Array) -> tuple[float, Array]:
        value, by_index, by_further = derivatives(scaled @ p[:count], float(p[-1]) if has_further else 0.0, y)
        scores = scaled * by_index[:, None]
        if has_further:
            scores = np.column_stack([scores, by_further])
        return float(weight @ value), scores

    def information(p: Array) -> Array:
        index, last = scaled @ p[:count], float(p[-1]) if has_further else 0.0
        up, down = derivatives(index + DIFFERENCE, last, y), derivatives(index - DIFFERENCE, last, y)
        curvature = weight * (up[1] - down[1]) / (2 * DIFFERENCE)
        matrix = -(scaled * curvature[:, None]).T @ scaled
        if not has_further:
            return np.asarray(matrix, dtype=np.float64)
        cross = -(scaled.T @ (weight * (up[2] - down[2]) / (2 * DIFFERENCE)))
        more, less = derivatives(index, last + DIFFERENCE, y), derivatives(index, last - DIFFERENCE, y)
        own = -float(weight @ (more[2] - less[2])) / (2 * DIFFERENCE)
        return np.block([[matrix, cross[:, None]], [cross[None, :], np.array([[own]])]])

    value, scores = parts(parameters)
    is_converged = False
    for _ in range(MAXIMUM_ITERATIONS):
        gradient = weight @ scores
        curvature = information(parameters)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        # Far from the maximum the likelihood need not be concave: step along the absolute curvature.
        values = np.maximum(np.abs(values), 1e-10 * np.abs(values).max())
        direction = vectors @ ((vectors.T @ gradient) / values)
        decrement = float(gradient @ direction) / float(weight.sum())
        if not np.isfinite(decrement):
            break
        if decrement <= CONVERGENCE_TOLERANCE:
            is_converged = True
            break
        step = 1.0
        for _ in range(MAXIMUM_HALVINGS):
            proposed, new_scores = parts(parameters + step * direction)
            if np.isfinite(proposed) and proposed >= value - 1e-12 * abs(value):
                break
            step /= 2
        else:
            break
        parameters, value, scores = parameters + step * direction, proposed, new_scores
    try:
        bread = np.linalg.inv(information(parameters))
    except np.linalg.LinAlgError:
        bread, is_converged = np.full((len(parameters), len(parameters)), np.nan), False
    scale = np.append(length, 1.0) if has_further else length
    return IndexFit(
        coefficients=parameters[:count] / length,
        further=float(parameters[-1]) if has_further else float("nan"),
        log_likelihood=value,
        scores=weight[:, None] * scores * scale,
        bread=bread / np.outer(scale, scale),
        is_converged=is_converged,
    )


# --- likelihoods ---


def tobit_likelihood(low: float, high: float) -> Derivatives:
    """Normal outcome seen within [low, high]; the further parameter is the log of its standard deviation.

    Source: Tobin (1958) Econometrica 26:24; Rosett and Nelson (1975) Econometrica 43:141 (two limits).
    """

    def derivatives(index: Array, log_scale: float, y: Array) -> tuple[Array, Array, Array]:
        scale = np.exp(log_scale)
        z = (y - index) / scale
        value = -log_scale - z**2 / 2 - np.log(2 * np.pi) / 2
        by_index, by_scale = z / scale, z**2 - 1
        for at_limit, sign, limit in ((y <= low, 1.0, low), (y >= high, -1.0, high)):
            a = sign * (limit - index[at_limit]) / scale
            value[at_limit] = stats.norm.logcdf(a)
            ratio = np.exp(stats.norm.logpdf(a) - value[at_limit])
            by_index[at_limit] = -sign * ratio / scale
            by_scale[at_limit] = -a * ratio
        return value, by_index, by_scale

    return derivatives


def tobit_mean(index: Array, log_scale: float, low: float, high: float) -> Array:
    """Expected outcome between the limits, children at a limit counted there."""
    scale = np.exp(log_scale)
    a, b = (low - index) / scale, (high - index) / scale
    below, above = stats.norm.cdf(a), stats.norm.sf(b)
    inside = index * (1 - below - above) + scale * (stats.norm.pdf(a) - stats.norm.pdf(b))
    at_low = low * below if np.isfinite(low) else 0.0
    at_high = high * above if np.isfinite(high) else 0.0
    return np.asarray(at_low + inside + at_high, dtype=np.float64)


def truncated_poisson(index: Array, _: float, y: Array) -> tuple[Array, Array, Array]:
    """Counts of at least one, Poisson with mean exp(index) before truncation."""
    mean = np.exp(index)
    kept = -np.expm1(-mean)
    return y * index - mean - gammaln(y + 1) - np.log(kept), y - mean / kept, np.zeros_like(index)


def truncated_negative_binomial(index: Array, log_size: float, y: Array) -> tuple[Array, Array, Array]:
    """Counts of at least one, negative binomial with mean exp(index) and size exp(log_size) before truncation.

    Source: Mullahy (1986) J. Econometrics 33:341; Zeileis, Kleiber and Jackman (2008) J. Statistical Software 27(8).
    """
    mean, size = np.exp(index), np.exp(log_size)
    both = size + mean
    log_zero = size * (log_size - np.log(both))
    log_kept = np.log(-np.expm1(log_zero))
    odds = np.exp(log_zero - log_kept)
    value = gammaln(y + size) - gammaln(size) - gammaln(y + 1) + log_zero + y * (index - np.log(both)) - log_kept
    by_index = y - mean * (y + size) / both - odds * size * mean / both
    zero_by_size = size * (log_size - np.log(both) + 1 - size / both)
    by_size = size * (digamma(y + size) - digamma(size)) - size * y / both + zero_by_size * (1 + odds)
    return value, by_index, by_size


# --- effects ---


@dataclass(frozen=True)
class DaysEffect(Result):
    """The effect in units of the outcome, and what it rests on.

    Attributes
    ----------
    effect: with CR1 and t(G - 1); NaN where a part did not converge.
    log_likelihood: of all parts.
    notes: sentences for the analyst.
    """

    effect: Estimate
    log_likelihood: float
    notes: tuple[str, ...]


def tobit_effect(design: Design, low: float, high: float, level: float) -> DaysEffect:
    """Change in expected outcome of the treated under a two-limit tobit; cells hold children of one outcome."""
    y, x, weight = _outcome(design), design.x, design.weight
    start, scale = _start(x, y, weight)
    fit = fit_index_model(x, y, weight, tobit_likelihood(low, high), start, float(np.log(scale)))

    def mean(p: Array, rows: Array) -> Array:
        return tobit_mean(rows @ p[:-1], float(p[-1]), low, high)

    return _effect(design, [fit], [np.ones(len(y), dtype=np.bool_)], mean, fit.parameters, level)


def hurdle_effect(design: Design, level: float) -> DaysEffect:
    """Change in expected outcome of the treated: a logit of any, and a truncated negative binomial of how many.

    The outcome is a whole number. Columns that do not vary among children with a positive outcome are left out of the
    second part, and the logit's separated levels must have been left out before.
    """
    from sfpc.estimation.design import independent_columns

    y, x, weight = _outcome(design), design.x, design.weight
    is_any = y > 0
    rate = float(weight[is_any].sum() / weight.sum())
    start = np.zeros(x.shape[1])
    start[0] = np.log(rate / (1 - rate)) if 0 < rate < 1 else 0.0

    def bernoulli(index: Array, _: float, is_one: Array) -> tuple[Array, Array, Array]:
        return is_one * index - np.logaddexp(0.0, index), is_one - expit(index), np.zeros_like(index)

    first = fit_index_model(x, is_any.astype(np.float64), weight, bernoulli, start)
    positive = x[is_any]
    kept = independent_columns(positive, weight[is_any])
    begin = np.zeros(int(kept.sum()))
    begin[0] = np.log(float(weight[is_any] @ y[is_any] / weight[is_any].sum()))
    second = fit_index_model(positive[:, kept], y[is_any], weight[is_any], truncated_negative_binomial, begin, 0.0)
    split = x.shape[1]

    def mean(p: Array, rows: Array) -> Array:
        index, log_size = rows[:, kept] @ p[split:-1], float(p[-1])
        count, size = np.exp(index), np.exp(log_size)
        return np.asarray(
            expit(rows @ p[:split]) * count / -np.expm1(size * (log_size - np.log(size + count))), dtype=np.float64
        )

    parameters = np.concatenate([first.parameters, second.parameters])
    return _effect(design, [first, second], [np.ones(len(y), dtype=np.bool_), is_any], mean, parameters, level)


def _effect(
    design: Design,
    fits: list[IndexFit],
    rows: list[NDArray[np.bool_]],
    mean: Callable[[Array, Array], Array],
    parameters: Array,
    level: float,
) -> DaysEffect:
    """Mean over the treated of the expected outcome with less without treatment; error by the delta method."""
    nan, column = float("nan"), design.treatment_column
    clusters = len(design.cluster_names)
    value = sum(fit.log_likelihood for fit in fits)
    if column is None or not design.is_treated.any() or not all(fit.is_converged for fit in fits):
        note = "effect not identified" if column is None else "the likelihood did not converge: no estimate"
        return DaysEffect(infer(nan, nan, clusters, level), value, (note,))
    with_treatment = design.x[design.is_treated]
    without = with_treatment.copy()
    without[:, column] = 0.0
    share = design.weight[design.is_treated] / design.weight[design.is_treated].sum()

    def gain(p: Array) -> float:
        return float(share @ (mean(p, with_treatment) - mean(p, without)))

    scores = np.zeros((len(design.weight), len(parameters)))
    bread = np.zeros((len(parameters), len(parameters)))
    at = 0
    for fit, mine in zip(fits, rows, strict=True):
        size = len(fit.parameters)
        scores[mine, at : at + size] = fit.scores
        bread[at : at + size, at : at + size] = fit.bread
        at += size
    steps = DIFFERENCE * np.maximum(1.0, np.abs(parameters))
    gradient = np.array(
        [(gain(parameters + e) - gain(parameters - e)) / (2 * s) for s, e in zip(steps, np.diag(steps), strict=True)]
    )
    covariance = cluster_covariance(
        bread, scores, design.cluster, rows=design.children_count, parameters=design.parameter_count
    )
    error = float(np.sqrt(gradient @ covariance.matrix @ gradient))
    return DaysEffect(infer(gain(parameters), error, clusters, level), value, ())


def _outcome(design: Design) -> Array:
    return np.asarray(design.weighted_outcome / design.weight, dtype=np.float64)


def _start(x: Array, y: Array, weight: Array) -> tuple[Array, float]:
    root = np.sqrt(weight)
    coefficients = np.asarray(np.linalg.lstsq(root[:, None] * x, root * y, rcond=None)[0], dtype=np.float64)
    residual = y - x @ coefficients
    return coefficients, float(np.sqrt(weight @ residual**2 / weight.sum()))
