"""Feasible GLS on LA-by-period means with autoregressive errors (FV.EST.2, FV.EST.3).

Two steps: the outcome's means per LA and period, adjusted for the children's covariates; then generalised least
squares of these means on LA and period effects and the programme, with errors that follow an AR(p) process within
an LA. With LA effects in the model an LA random effect has nothing left to explain; what remains is the shock of an
LA in a period, and its persistence is what GLS uses. Page: docs/methods/few_clusters.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.design import Design, independent_columns
from sfpc.estimation.result import Result

FGLS_T = "feasible GLS with AR({order}) errors, CR by LA, t(G-1)"

# Roots of an autoregression are kept this far inside the unit circle.
STATIONARY_LIMIT = 0.98
# A covariate varies within LA and period if more than this share of its squared length is left.
WITHIN_TOLERANCE = 1e-9


@dataclass(frozen=True)
class GroupTimeFit(Result):
    """The effect from LA-by-period means.

    Attributes
    ----------
    estimate, standard_error: in units of the outcome; sandwich with clusters = LA.
    autoregression: (p,), bias-corrected; `autoregression_uncorrected` as least squares gives it.
    cluster_count, period_count: G and T.
    """

    estimate: float
    standard_error: float
    autoregression: NDArray[np.float64]
    autoregression_uncorrected: NDArray[np.float64]
    cluster_count: int
    period_count: int

    def effect(self, significance_level: float) -> Estimate:
        """Return the effect with t(G - 1) inference."""
        method = FGLS_T.format(order=len(self.autoregression))
        return infer(self.estimate, self.standard_error, self.cluster_count, significance_level, method)


def fit_group_time(
    means: NDArray[np.float64],
    treated: NDArray[np.float64],
    order: int = 1,
    is_bias_corrected: bool = True,
    autoregression: NDArray[np.float64] | None = None,
) -> GroupTimeFit:
    """Fit  mean_at = LA_a + period_t + b treated_at + v_at  by GLS.

    Parameters
    ----------
    means: (G, T), adjusted means; NaN where an LA has no children in a period.
    treated: (G, T), share of the LA's children in the period who are treated.
    order: p of the autoregression.
    is_bias_corrected: whether the coefficients are corrected for the LA effects (Hansen).
    autoregression: (p,), taken as given instead of estimated.

    Source: Brewer, Crossley and Joyce (2018) J. Econometric Methods 7(1), section 4; Hansen (2007) J. Econometrics
    140:670 (bias correction); Cameron and Miller (2015) J. Human Resources 50:317, equation 16 (sandwich).
    """
    groups, periods = means.shape
    observed = np.isfinite(means)
    x, rows = _design(treated, observed)
    y = means[observed]
    residual = np.full(means.shape, np.nan)
    residual[observed] = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    raw = _autoregression(residual, order)
    chosen = raw if autoregression is None else np.asarray(autoregression, dtype=np.float64)
    if autoregression is None and is_bias_corrected:
        chosen = _without_bias(raw, periods)
    covariance = _autocovariance(chosen, periods)
    whiteners = []
    for group in range(groups):
        seen = observed[group]
        whiteners.append(linalg.inv(np.linalg.cholesky(covariance[np.ix_(seen, seen)])) if seen.any() else None)
    white_x, white_y = np.empty_like(x), np.empty_like(y)
    for group, whitener in enumerate(whiteners):
        if whitener is not None:
            mine = rows == group
            white_x[mine], white_y[mine] = whitener @ x[mine], whitener @ y[mine]
    inverse = np.linalg.pinv(white_x.T @ white_x)
    coefficients = inverse @ (white_x.T @ white_y)
    error = white_y - white_x @ coefficients
    sums = np.array([white_x[rows == g].T @ error[rows == g] for g in range(groups)])
    pieces = sums @ inverse[0]
    factor = groups / (groups - 1) if groups > 1 else float("nan")
    return GroupTimeFit(
        estimate=float(coefficients[0]),
        standard_error=float(np.sqrt(factor * np.sum(pieces**2))),
        autoregression=chosen,
        autoregression_uncorrected=raw,
        cluster_count=groups,
        period_count=periods,
    )


def adjusted_means(design: Design, period: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First step: means of the outcome per LA and period at equal covariates, and the share treated.

    The outcome is regressed on the children's covariates and an effect per LA and period, with the children's weights;
    the means are those effects. What does not vary within an LA and period (LA covariates, years) drops out.

    Parameters
    ----------
    period: (cells,), codes from 0; a cell lies in one period.

    Returns
    -------
    means (G, T) in units of the outcome, NaN where an LA has nobody in a period, and the share treated (G, T).
    """
    groups, periods = len(design.cluster_names), int(period.max()) + 1 if len(period) else 0
    code = design.cluster * periods + period
    size = groups * periods
    weight = np.bincount(code, weights=design.weight, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(code, weights=design.weighted_outcome, minlength=size) / weight
        treated = np.bincount(code, weights=design.weight * design.is_treated, minlength=size) / weight
    columns, averages = [], []
    for position in range(design.x.shape[1]):
        values = design.x[:, position]
        with np.errstate(invalid="ignore", divide="ignore"):
            average = np.bincount(code, weights=design.weight * values, minlength=size) / weight
        centred = values - average[code]
        length = float(design.weight @ np.square(values))
        if position != design.treatment_column and design.weight @ np.square(centred) > WITHIN_TOLERANCE * length:
            columns.append(centred)
            averages.append(average)
    if columns:
        x = np.column_stack(columns)
        kept = independent_columns(x, design.weight)
        x = x[:, kept]
        outcome = design.weighted_outcome - design.weight * mean[code]
        slopes = np.linalg.solve(x.T @ (design.weight[:, None] * x), x.T @ outcome)
        overall = np.array([np.nansum(a * weight) / weight.sum() for a in averages])[kept]
        mean = mean - (np.column_stack(averages)[:, kept] - overall) @ slopes
    return mean.reshape(groups, periods), treated.reshape(groups, periods)


def _design(treated: NDArray[np.float64], observed: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Columns: treated, an indicator per LA, an indicator per period but the first; and the LA of each row."""
    group, period = np.nonzero(observed)
    groups, periods = observed.shape
    x = np.column_stack([treated[observed], np.eye(groups)[group], np.eye(periods)[period][:, 1:]])
    return x, group


def _autoregression(residual: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Least squares of each residual on the `order` before it, over all LAs; pairs with a gap are left out."""
    centred = residual - np.nanmean(residual, axis=1, keepdims=True)
    periods = residual.shape[1]
    target = centred[:, order:].ravel()
    lags = np.column_stack([centred[:, order - lag : periods - lag].ravel() for lag in range(1, order + 1)])
    usable = np.isfinite(target) & np.isfinite(lags).all(axis=1)
    return np.asarray(np.linalg.lstsq(lags[usable], target[usable], rcond=None)[0], dtype=np.float64)


def _autocovariance(autoregression: NDArray[np.float64], periods: int) -> NDArray[np.float64]:
    """(T, T) covariance of a stationary AR(p) with innovations of variance 1."""
    order = len(autoregression)
    if not np.any(autoregression):
        return np.eye(periods)
    # Yule and Walker's equations for the covariances at lags 0 to p.
    system = np.zeros((order + 1, order + 1))
    for lag in range(order + 1):
        system[lag, lag] += 1.0
        for k, value in enumerate(autoregression, start=1):
            system[lag, abs(lag - k)] -= value
    start = np.linalg.solve(system, np.eye(order + 1)[0])
    covariances = list(start[: min(order + 1, periods)])
    while len(covariances) < periods:
        covariances.append(float(np.dot(autoregression, covariances[-1 : -order - 1 : -1])))
    return np.asarray(linalg.toeplitz(covariances), dtype=np.float64)


def probability_limit(autoregression: NDArray[np.float64], periods: int) -> NDArray[np.float64]:
    """What least squares tends to with many LAs and `periods` periods, LA means taken out (Hansen 2007, section 3)."""
    order = len(autoregression)
    centre = np.eye(periods) - 1.0 / periods
    moments = centre @ _autocovariance(autoregression, periods) @ centre
    # Sums over periods of the products of lags i and j, along diagonals; lag 0 is the period itself.
    lagged = [slice(order - lag, periods - lag) for lag in range(order + 1)]
    a = np.array([[np.trace(moments[i, j]) for j in lagged[1:]] for i in lagged[1:]])
    b = np.array([np.trace(moments[i, lagged[0]]) for i in lagged[1:]])
    return np.asarray(np.linalg.solve(a, b), dtype=np.float64)


def _without_bias(raw: NDArray[np.float64], periods: int) -> NDArray[np.float64]:
    """The autoregression whose probability limit is `raw`; `raw` itself where there is none inside the unit circle."""
    if len(raw) == 1:
        low, high = -STATIONARY_LIMIT, STATIONARY_LIMIT
        gaps = [float(probability_limit(np.array([v]), periods)[0] - raw[0]) for v in (low, high)]
        if gaps[0] >= 0:
            return np.array([low])
        if gaps[1] <= 0:
            return np.array([high])
        solved = optimize.brentq(
            lambda v: float(probability_limit(np.array([v]), periods)[0] - raw[0]), low, high, xtol=1e-12
        )
        return np.array([float(solved)])
    found = optimize.root(lambda v: probability_limit(v, periods) - raw, raw, tol=1e-12)
    roots = np.roots(np.concatenate([[1.0], -found.x]))
    return np.asarray(found.x, dtype=np.float64) if found.success and np.all(np.abs(roots) < 1) else raw
