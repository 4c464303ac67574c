"""Weighted logit with LA effects, odds ratio and average marginal effect (FV.EST.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import CELL_OUTCOME, CELL_WEIGHT, Design, Terms, build_design
from sfpc.estimation.result import Result, coefficient_table

MAXIMUM_ITERATIONS = 100
MAXIMUM_HALVINGS = 30
# Steps taken with one information before it is computed anew.
STEPS_PER_INFORMATION = 12
# On Newton's decrement per child: a step this small moves no coefficient by more than a millionth of
# its standard error, and convergence is quadratic, so after it nothing is left to gain.
CONVERGENCE_TOLERANCE = 1e-12
# Fitted probabilities this near 0 or 1 mean that some combination of covariates predicts perfectly.
EXTREME_PROBABILITY = 1e-9
# Weighted sums of 0 and 1: "no events" and "only events" must allow for rounding.
SHARE_TOLERANCE = 1e-12


@dataclass(frozen=True)
class LogitFit(Result):
    """Coefficients (K,) in log odds, in the order of `design.names`.

    Attributes
    ----------
    iterations: Newton steps taken.
    is_converged: False where the steps did not settle; the effect is then NaN.
    log_likelihood: weighted, without the binomial coefficient.
    is_separated: (cells,), cells without or with only events whose fitted probability is 0 or 1.
    """

    design: Design
    coefficients: NDArray[np.float64]
    covariance: ClusterCovariance
    iterations: int
    is_converged: bool
    log_likelihood: float
    is_separated: NDArray[np.bool_]

    def tidy(self) -> pd.DataFrame:
        """A row per coefficient: term, estimate, standard_error (CR1 by LA), in units of the coefficient."""
        return coefficient_table(self.design.names, self.coefficients, self.covariance.matrix)

    def log_odds_effect(self, significance_level: float) -> Estimate:
        """Return b1 in log odds (`exponentiated()` for the odds ratio); NaN if not identified."""
        column = self.design.treatment_column
        if not self.is_converged or column is None:
            nan = float("nan")
            return infer(nan, nan, self.covariance.cluster_count, significance_level)
        return infer(
            float(self.coefficients[column]),
            float(np.sqrt(self.covariance.matrix[column, column])),
            self.covariance.cluster_count,
            significance_level,
        )

    def average_marginal_effect(self, significance_level: float) -> Estimate:
        """Return the mean over treated children of p(D=1) - p(D=0), a difference of shares.

        Weighted by the children's weights. The standard error is the delta method's: with g the
        derivative of the mean by the coefficients, sqrt(g' V g). NaN if not identified.

        Source: Puhani (2012) Economics Letters 115:85 (the effect of treatment in a non-linear
        difference-in-differences model is this, not the cross difference); FV.EST.4; docs/methods/regression.md.
        """
        design, column = self.design, self.design.treatment_column
        rows = design.is_treated
        if not self.is_converged or column is None or not rows.any():
            nan = float("nan")
            return infer(nan, nan, self.covariance.cluster_count, significance_level)
        x_with, weight = design.x[rows], design.weight[rows]
        x_without = x_with.copy()
        x_without[:, column] = 0.0
        with_treatment = expit(x_with @ self.coefficients)
        without = expit(x_without @ self.coefficients)
        gradient = (weight * with_treatment * (1 - with_treatment)) @ x_with
        gradient = (gradient - (weight * without * (1 - without)) @ x_without) / weight.sum()
        variance = float(gradient @ self.covariance.matrix @ gradient)
        return infer(
            float(weight @ (with_treatment - without) / weight.sum()),
            float(np.sqrt(variance)) if variance >= 0 else float("nan"),
            self.covariance.cluster_count,
            significance_level,
        )


@dataclass(frozen=True)
class CellLogit:
    """A fit, the cells it stands on, and what was left out.

    `fit` is None where an arm of the treatment is separated, so that no effect can be estimated.
    """

    cells: pd.DataFrame
    fit: LogitFit | None
    notes: tuple[str, ...]


def drop_separated_levels(cells: pd.DataFrame, terms: Terms) -> tuple[pd.DataFrame, tuple[str, ...], bool]:
    """Leave out children in levels without any event, or with only events.

    Such a level predicts perfectly: its coefficient runs to infinity and its children say nothing
    about the others, so that leaving them out is the limit of the likelihood (as R's fixest and
    Stata do). Repeated until no such level is left.

    Parameters
    ----------
    cells: from `compress`, of a 0/1 outcome.

    Returns
    -------
    The remaining cells; the levels left out, as 'column=level'; whether an arm of the treatment
    itself is separated, in which case no effect can be estimated.
    """
    left_out: list[str] = []
    while True:
        before = len(left_out)
        for factor in terms.factors:
            sums = cells.groupby(factor)[[CELL_WEIGHT, CELL_OUTCOME]].sum()
            events, total = sums[CELL_OUTCOME], sums[CELL_WEIGHT]
            separated = sums.index[_is_one_sided(events, total)]
            if len(separated):
                left_out.extend(f"{factor}={level}" for level in separated)
                cells = cells[~cells[factor].isin(separated)]
        if len(left_out) == before:
            break
    arms = cells.groupby(terms.treatment)[[CELL_WEIGHT, CELL_OUTCOME]].sum()
    is_separated = bool(_is_one_sided(arms[CELL_OUTCOME], arms[CELL_WEIGHT]).any())
    return cells.reset_index(drop=True), tuple(left_out), is_separated


def fit_logit_to_cells(cells: pd.DataFrame, terms: Terms) -> CellLogit:
    """Fit the logit after leaving out the children whom the covariates predict perfectly.

    First whole levels (`drop_separated_levels`), then, from the fit, cells that a combination of
    covariates separates, until none is left. They carry no information on the effect: leaving them
    out is the limit of the likelihood (Correia, Guimaraes and Zylkin 2019, arXiv:1903.01633).
    """
    left_out: list[str] = []
    notes: list[str] = []
    is_combination_separated = False
    fit: LogitFit | None = None
    while len(cells):
        cells, levels, is_arm_separated = drop_separated_levels(cells, terms)
        left_out.extend(levels)
        if is_arm_separated or not len(cells):
            fit = None
            break
        fit = fit_logit(build_design(cells, terms))
        if not fit.is_converged or not fit.is_separated.any():
            break
        is_combination_separated = True
        cells = cells[~fit.is_separated].reset_index(drop=True)
        fit = None
    # How many levels, not which and how large: one without events can be a handful of children.
    factors = pd.Series([level.split("=", 1)[0] for level in left_out], dtype="object")
    notes.extend(
        f"{count} of the levels of {factor} left out: no or only events (separation)"
        for factor, count in factors.value_counts(sort=False).items()
    )
    if is_combination_separated:
        notes.append("children whom covariates together predict perfectly left out (separation)")
    if fit is None:
        notes.append("no or only events in an arm of the treatment: no effect can be estimated")
    elif not fit.is_converged:
        notes.append("the logit did not converge: no estimate")
    return CellLogit(cells=cells, fit=fit, notes=tuple(notes))


def fit_logit(design: Design) -> LogitFit:
    """Maximise the weighted Bernoulli likelihood by Newton's method with step-halving (IRLS).

    With cells, the score is X' (sum of w y - sum of w * p) and the information
    X' diag(sum of w * p (1 - p)) X. Errors are CR1 by LA, weights are probability weights.

    Source: FV.EST.4; McCullagh and Nelder (1989) section 4.4; Cameron and Miller (2015) section
    VII.B for the cluster-robust sandwich of a non-linear model; docs/methods/regression.md.
    """
    found = _maximise(design, np.zeros(len(design.weight)))
    probability, length = found.probability, found.length
    x = design.x / length
    share = design.weighted_outcome / design.weight
    is_separated = ((probability < EXTREME_PROBABILITY) & (share <= SHARE_TOLERANCE)) | (
        (probability > 1 - EXTREME_PROBABILITY) & (share >= 1 - SHARE_TOLERANCE)
    )
    residual = design.weighted_outcome - design.weight * probability
    try:
        bread = np.asarray(np.linalg.inv(information(x, design.weight, probability)), dtype=np.float64)
    except np.linalg.LinAlgError:
        bread = np.full((x.shape[1], x.shape[1]), np.nan)
    scaled = cluster_covariance(
        bread,
        x * residual[:, None],
        design.cluster,
        rows=design.children_count,
        parameters=design.parameter_count,
    )
    return LogitFit(
        design=design,
        coefficients=found.coefficients,
        covariance=ClusterCovariance(
            matrix=scaled.matrix / np.outer(length, length),
            factor=scaled.factor,
            cluster_count=scaled.cluster_count,
        ),
        iterations=found.iterations,
        is_converged=found.is_converged,
        log_likelihood=found.log_likelihood,
        is_separated=is_separated,
    )


@dataclass(frozen=True)
class HeldFit:
    """A logit fitted with the effect held at a value.

    Attributes
    ----------
    coefficients: (K,), log odds, the held one included.
    probability: (cells,), fitted.
    information: (K, K), of all coefficients at this fit.
    marginal_effect: mean over treated children of p(D=1) - p(D=0) at this fit, a difference of shares.
    """

    coefficients: NDArray[np.float64]
    probability: NDArray[np.float64]
    information: NDArray[np.float64]
    marginal_effect: float


def fit_with_effect_held(fit: LogitFit, log_odds: float, near: HeldFit | None = None) -> HeldFit | None:
    """Fit the model of `fit` again with b1 held at `log_odds`; None where it does not converge.

    near: a fit with another value, whose coefficients and information start the search: with the information kept,
    a step costs a product with X instead of X'WX, and a nearby value needs few of them.
    """
    design, column = fit.design, fit.design.treatment_column
    if column is None:
        return None
    free = np.arange(design.x.shape[1]) != column
    coefficients = (near.coefficients if near else fit.coefficients).copy()
    coefficients[column] = log_odds
    known = near.information if near else information(design.x, design.weight, expit(design.x @ fit.coefficients))
    children_per_weight = design.children_count / float(design.weight.sum())
    for renewed in range(MAXIMUM_ITERATIONS):
        curvature = known[np.ix_(free, free)]
        last = np.inf
        for _ in range(STEPS_PER_INFORMATION):
            probability = expit(design.x @ coefficients)
            score = (design.x.T @ (design.weighted_outcome - design.weight * probability))[free]
            try:
                direction = np.linalg.solve(curvature, score)
            except np.linalg.LinAlgError:
                return _held_from_scratch(fit, log_odds, free)
            decrement = float(score @ direction) * children_per_weight
            if decrement <= CONVERGENCE_TOLERANCE:
                found = information(design.x, design.weight, probability)
                return HeldFit(coefficients, probability, found, _mean_gain(design, coefficients, log_odds))
            if not decrement < last / 4:
                break
            last = decrement
            coefficients[free] += direction
        if not np.isfinite(decrement) or renewed > STEPS_PER_INFORMATION:
            break
        known = information(design.x, design.weight, expit(design.x @ coefficients))
    return _held_from_scratch(fit, log_odds, free)


def _held_from_scratch(fit: LogitFit, log_odds: float, free: NDArray[np.bool_]) -> HeldFit | None:
    """The same by Newton's method with step-halving, for where a start nearby did not lead to the maximum."""
    design = fit.design
    names = tuple(name for name, kept in zip(design.names, free, strict=True) if kept)
    rest = replace(design, x=np.ascontiguousarray(design.x[:, free]), names=names, treatment_column=None)
    treated = design.x[:, ~free][:, 0]
    held = _maximise(rest, log_odds * treated)
    if not held.is_converged:
        return None
    coefficients = np.full(len(free), log_odds)
    coefficients[free] = held.coefficients
    found = information(design.x, design.weight, held.probability)
    return HeldFit(coefficients, held.probability, found, _mean_gain(design, coefficients, log_odds))


def _mean_gain(design: Design, coefficients: NDArray[np.float64], log_odds: float) -> float:
    rows = design.is_treated
    if not rows.any():
        return float("nan")
    index = design.x[rows] @ coefficients
    gained = expit(index) - expit(index - log_odds)
    return float(design.weight[rows] @ gained / design.weight[rows].sum())


@dataclass(frozen=True)
class _Maximum:
    coefficients: NDArray[np.float64]
    probability: NDArray[np.float64]
    length: NDArray[np.float64]
    log_likelihood: float
    iterations: int
    is_converged: bool


def _maximise(design: Design, offset: NDArray[np.float64]) -> _Maximum:
    """Newton's method with step-halving; `offset` (cells,) is added to the index."""
    # Columns of unit length in the weighted sample: percentages beside indicators would otherwise
    # make the information ill-conditioned.
    length = np.sqrt((design.weight @ np.square(design.x)) / design.weight.sum())
    x = design.x / length
    coefficients = np.zeros(x.shape[1])
    mean = float(design.weighted_outcome.sum() / design.weight.sum())
    if 0 < mean < 1:
        coefficients[0] = np.log(mean / (1 - mean)) * length[0]
    value = _log_likelihood(x @ coefficients + offset, design)
    probability = expit(x @ coefficients + offset)
    children_per_weight = design.children_count / float(design.weight.sum())
    iterations, is_converged = 0, False
    while iterations < MAXIMUM_ITERATIONS and not is_converged:
        score = x.T @ (design.weighted_outcome - design.weight * probability)
        try:
            direction = np.linalg.solve(information(x, design.weight, probability), score)
        except np.linalg.LinAlgError:
            break
        decrement = float(score @ direction) * children_per_weight
        if not np.isfinite(decrement):
            break
        iterations += 1
        step = 1.0
        proposal, proposed_value = coefficients, value
        for _ in range(MAXIMUM_HALVINGS):
            proposal = coefficients + step * direction
            proposed_value = _log_likelihood(x @ proposal + offset, design)
            # The slack is the rounding of a sum: without it the last step would never be accepted.
            if proposed_value >= value - 1e-12 * abs(value):
                break
            step /= 2
        coefficients, value = proposal, proposed_value
        probability = expit(x @ coefficients + offset)
        is_converged = decrement <= CONVERGENCE_TOLERANCE
    return _Maximum(coefficients / length, probability, length, value, iterations, is_converged)


def _is_one_sided(events: pd.Series[float], total: pd.Series[float]) -> pd.Series[bool]:
    return (events <= total * SHARE_TOLERANCE) | (events >= total * (1 - SHARE_TOLERANCE))


def _log_likelihood(index: NDArray[np.float64], design: Design) -> float:
    # log(1 + exp(index)) without overflow.
    return float(design.weighted_outcome @ index - design.weight @ np.logaddexp(0.0, index))


def information(
    x: NDArray[np.float64], weight: NDArray[np.float64], probability: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return X' diag(w p (1 - p)) X, (K, K)."""
    root = np.sqrt(weight * probability * (1 - probability))[:, None] * x
    # A product of a matrix with its own transpose is half the work.
    return np.asarray(root.T @ root, dtype=np.float64)
