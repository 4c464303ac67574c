"""Weighted logit with LA effects, odds ratio and average marginal effect (FV.EST.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import CELL_OUTCOME, CELL_WEIGHT, Design, Terms

MAXIMUM_ITERATIONS = 100
MAXIMUM_HALVINGS = 30
# On Newton's decrement per child: a step this small moves no coefficient by more than a millionth of
# its standard error, and convergence is quadratic, so after it nothing is left to gain.
CONVERGENCE_TOLERANCE = 1e-12
# Fitted probabilities this near 0 or 1 mean that some combination of covariates predicts perfectly.
EXTREME_PROBABILITY = 1e-9


@dataclass(frozen=True)
class LogitFit:
    """Coefficients (K,) in log odds, in the order of `design.names`.

    Attributes
    ----------
    iterations: Newton steps taken.
    is_converged: False where the steps did not settle; the effect is then NaN.
    log_likelihood: weighted, without the binomial coefficient.
    notes: sentences on convergence and separation.
    """

    design: Design
    coefficients: NDArray[np.float64]
    covariance: ClusterCovariance
    iterations: int
    is_converged: bool
    log_likelihood: float
    notes: tuple[str, ...]

    @property
    def _is_usable(self) -> bool:
        return self.is_converged and self.design.treatment_column is not None

    def log_odds_effect(self, significance_level: float) -> Estimate:
        """Return b1 in log odds (`exponentiated()` for the odds ratio); NaN if not identified."""
        return self._estimate_of_column(self.design.treatment_column, significance_level)

    def average_marginal_effect(self, significance_level: float) -> Estimate:
        """Return the mean over treated children of p(D=1) - p(D=0), a difference of shares.

        Weighted by the children's weights. The standard error is the delta method's: with g the
        derivative of the mean by the coefficients, sqrt(g' V g). NaN if not identified.

        Source: Puhani (2012) Economics Letters 115:85 (the effect of treatment in a non-linear
        difference-in-differences model is this, not the cross difference); FV.EST.4; methods A7.
        """
        design, column = self.design, self.design.treatment_column
        rows = design.is_treated
        if not self._is_usable or column is None or not rows.any():
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

    def _estimate_of_column(self, column: int | None, significance_level: float) -> Estimate:
        nan = float("nan")
        if not self._is_usable or column is None:
            return infer(nan, nan, self.covariance.cluster_count, significance_level)
        return infer(
            float(self.coefficients[column]),
            float(np.sqrt(self.covariance.matrix[column, column])),
            self.covariance.cluster_count,
            significance_level,
        )


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
            # Weighted sums of 0/1 outcomes: "all" must allow for rounding.
            separated = sums.index[(events <= 0) | (events >= total * (1 - 1e-12))]
            if len(separated):
                left_out.extend(f"{factor}={level}" for level in separated)
                cells = cells[~cells[factor].isin(separated)]
        if len(left_out) == before:
            break
    arms = cells.groupby(terms.treatment)[[CELL_WEIGHT, CELL_OUTCOME]].sum()
    is_separated = bool(
        ((arms[CELL_OUTCOME] <= 0) | (arms[CELL_OUTCOME] >= arms[CELL_WEIGHT] * (1 - 1e-12))).any()
    )
    return cells.reset_index(drop=True), tuple(left_out), is_separated


def fit_logit(design: Design) -> LogitFit:
    """Maximise the weighted Bernoulli likelihood by Newton's method with step-halving (IRLS).

    With cells, the score is X' (sum of w y - sum of w * p) and the information
    X' diag(sum of w * p (1 - p)) X. Errors are CR1 by LA, weights are probability weights.

    Source: FV.EST.4; McCullagh and Nelder (1989) section 4.4; Cameron and Miller (2015) section
    VII.B for the cluster-robust sandwich of a non-linear model; methods A7.
    """
    # Columns of unit length in the weighted sample: percentages beside indicators would otherwise
    # make the information ill-conditioned.
    length = np.sqrt((design.weight @ np.square(design.x)) / design.weight.sum())
    x = design.x / length
    coefficients = np.zeros(x.shape[1])
    mean = float(design.weighted_outcome.sum() / design.weight.sum())
    if 0 < mean < 1:
        coefficients[0] = np.log(mean / (1 - mean)) * length[0]
    value = _log_likelihood(x @ coefficients, design)
    probability = expit(x @ coefficients)
    children_per_weight = design.children_count / float(design.weight.sum())
    iterations, is_converged = 0, False
    while iterations < MAXIMUM_ITERATIONS and not is_converged:
        score = x.T @ (design.weighted_outcome - design.weight * probability)
        try:
            direction = np.linalg.solve(_information(x, design.weight, probability), score)
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
            proposed_value = _log_likelihood(x @ proposal, design)
            # The slack is the rounding of a sum: without it the last step would never be accepted.
            if proposed_value >= value - 1e-12 * abs(value):
                break
            step /= 2
        coefficients, value = proposal, proposed_value
        probability = expit(x @ coefficients)
        is_converged = decrement <= CONVERGENCE_TOLERANCE
    notes: list[str] = []
    if not is_converged:
        notes.append("the logit did not converge (separation is likely): no estimate")
    if bool(((probability < EXTREME_PROBABILITY) | (probability > 1 - EXTREME_PROBABILITY)).any()):
        notes.append("fitted probabilities of 0 or 1: some covariates together predict perfectly")
    residual = design.weighted_outcome - design.weight * probability
    try:
        bread = np.asarray(np.linalg.inv(_information(x, design.weight, probability)), dtype=np.float64)
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
        coefficients=coefficients / length,
        covariance=ClusterCovariance(
            matrix=scaled.matrix / np.outer(length, length),
            factor=scaled.factor,
            cluster_count=scaled.cluster_count,
        ),
        iterations=iterations,
        is_converged=is_converged,
        log_likelihood=value,
        notes=tuple(notes),
    )


def _log_likelihood(index: NDArray[np.float64], design: Design) -> float:
    # log(1 + exp(index)) without overflow.
    return float(design.weighted_outcome @ index - design.weight @ np.logaddexp(0.0, index))


def _information(
    x: NDArray[np.float64], weight: NDArray[np.float64], probability: NDArray[np.float64]
) -> NDArray[np.float64]:
    return x.T @ ((weight * probability * (1 - probability))[:, None] * x)
