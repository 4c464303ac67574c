"""The effect on the treated by imputation: what the treated would have had, from the untreated alone (FV.SENS.6).

One coefficient for a programme whose effect grows after go-live is not the mean effect on the treated: LAs that
went live earlier serve as controls for later ones, and first months count for more than their share. Here the model
of FV.EST.1 without its treatment term is fitted to the untreated children only, and the effect is the weighted mean
of outcome less prediction over the treated. Page: docs/methods/regression.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.design import CELL_COUNT, Design, Terms, build_design, independent_of
from sfpc.estimation.result import Result

JACKKNIFE_T = "jackknife over LAs, t(G-1)"

# A treated row is predictable if the untreated rows fix every coefficient it needs, up to rounding of the sums.
PREDICTION_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ImputationFit(Result):
    """Effect on the treated children whose outcome without the programme the untreated can predict.

    Attributes
    ----------
    estimate, standard_error: in units of the outcome; the error is the leave-one-LA-out jackknife, NaN where
        some LA cannot be left out.
    cluster_count: G.
    imputed_count, left_out_count: treated children with and without a prediction.
    notes: sentences for the analyst.
    """

    estimate: float
    standard_error: float
    cluster_count: int
    imputed_count: int
    left_out_count: int
    notes: tuple[str, ...]

    def effect(self, significance_level: float) -> Estimate:
        """Return the effect with t(G - 1) inference, in units of the outcome."""
        return infer(self.estimate, self.standard_error, self.cluster_count, significance_level, JACKKNIFE_T)


def fit_imputation(cells: pd.DataFrame, terms: Terms) -> ImputationFit:
    """Fit to the cells of `compress`; NaN where no treated child can be predicted.

    Source: Borusyak, Jaravel and Spiess (2024) Review of Economic Studies 91:3253, theorem 2 (point estimate). Their
    analytic error collapses when every LA is a cohort of its own, so the error here is the jackknife over LAs
    (Cameron and Miller 2015, section VI.B).
    """
    return impute_design(build_design(cells, terms), cells[CELL_COUNT].to_numpy(dtype=np.int64))


def impute_design(design: Design, children: NDArray[np.int64]) -> ImputationFit:
    """Fit to a design; children (cells,) is how many each cell stands for. See `fit_imputation`."""
    parts = _parts(design)
    estimate, imputed = _effect_on_treated(parts, None, children)
    clusters = len(design.cluster_names)
    without = np.array([_effect_on_treated(parts, code, children)[0] for code in range(clusters)], dtype=np.float64)
    error = float("nan")
    if clusters > 1 and np.isfinite(without).all():
        error = float(np.sqrt((clusters - 1) / clusters * np.sum((without - without.mean()) ** 2)))
    left_out = int(children[design.is_treated].sum()) - imputed
    notes = list(design.notes)
    if left_out:
        notes.append(f"{left_out} treated children have a covariate level that no untreated child has: left out")
    return ImputationFit(estimate, error, clusters, imputed, left_out, tuple(notes))


@dataclass(frozen=True)
class _Parts:
    """The untreated as sums by LA, on columns of equal length, and the treated as rows.

    gram: (G, K, K), X'WX of the untreated; moment: (G, K), X'Wy of them. Leaving out an LA is then a subtraction.
    x, weight, outcome, cluster: the treated.
    rows: positions of the treated among the cells.
    """

    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    x: NDArray[np.float64]
    weight: NDArray[np.float64]
    outcome: NDArray[np.float64]
    cluster: NDArray[np.int64]
    rows: NDArray[np.int64]


def _parts(design: Design) -> _Parts:
    x = design.x if design.treatment_column is None else np.delete(design.x, design.treatment_column, axis=1)
    length = np.sqrt(design.weight @ np.square(x))
    x = x / np.where(length > 0, length, 1.0)
    groups = len(design.cluster_names)
    gram, moment = np.zeros((groups, x.shape[1], x.shape[1])), np.zeros((groups, x.shape[1]))
    for group in range(groups):
        mine = np.flatnonzero((design.cluster == group) & ~design.is_treated)
        gram[group] = (x[mine] * design.weight[mine, None]).T @ x[mine]
        moment[group] = x[mine].T @ design.weighted_outcome[mine]
    rows = np.flatnonzero(design.is_treated)
    return _Parts(gram, moment, x[rows], design.weight[rows], design.weighted_outcome[rows], design.cluster[rows], rows)


def _effect_on_treated(parts: _Parts, left_out: int | None, children: NDArray[np.int64]) -> tuple[float, int]:
    """Mean of outcome less prediction over the treated, without one LA or with all, and the children it is about."""
    gram, moment = parts.gram.sum(axis=0), parts.moment.sum(axis=0)
    mine = np.ones(len(parts.rows), dtype=np.bool_)
    if left_out is not None:
        gram, moment = gram - parts.gram[left_out], moment - parts.moment[left_out]
        mine = parts.cluster != left_out
    keep = independent_of(gram)
    if not keep.any() or not mine.any():
        return float("nan"), 0
    targets = np.column_stack([moment[keep], gram[np.ix_(keep, ~keep)]])
    solved = np.linalg.solve(gram[np.ix_(keep, keep)], targets)
    coefficients, combinations = solved[:, 0], solved[:, 1:]
    x = parts.x[mine]
    # A column that depends on others among the untreated must depend on them in the same way here.
    gap = np.abs(x[:, ~keep] - x[:, keep] @ combinations)
    size = np.abs(x).max(axis=0, initial=0.0)[~keep]
    known = (gap <= PREDICTION_TOLERANCE * np.where(size > 0, size, 1.0)).all(axis=1)
    weight = parts.weight[mine][known]
    if not weight.sum() > 0:
        return float("nan"), 0
    gained = parts.outcome[mine][known] - weight * (x[known][:, keep] @ coefficients)
    return float(gained.sum() / weight.sum()), int(children[parts.rows[mine][known]].sum())
