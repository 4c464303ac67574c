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
from sfpc.estimation.design import CELL_COUNT, Design, Terms, build_design, independent_columns

JACKKNIFE_T = "jackknife over LAs, t(G-1)"

# A treated row is predictable if the untreated rows fix every coefficient it needs, up to rounding.
PREDICTION_TOLERANCE = 1e-7


@dataclass(frozen=True)
class ImputationFit:
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
    design = build_design(cells, terms)
    children = cells[CELL_COUNT].to_numpy(dtype=np.int64)
    everyone = np.ones(len(cells), dtype=np.bool_)
    estimate, imputed = _effect_on_treated(design, everyone, children)
    clusters = len(design.cluster_names)
    without = np.array(
        [_effect_on_treated(design, design.cluster != code, children)[0] for code in range(clusters)], dtype=np.float64
    )
    error = float("nan")
    if clusters > 1 and np.isfinite(without).all():
        error = float(np.sqrt((clusters - 1) / clusters * np.sum((without - without.mean()) ** 2)))
    left_out = int(children[design.is_treated].sum()) - imputed
    notes = list(design.notes)
    if left_out:
        notes.append(f"{left_out} treated children have a covariate level that no untreated child has: left out")
    return ImputationFit(estimate, error, clusters, imputed, left_out, tuple(notes))


def _effect_on_treated(design: Design, rows: NDArray[np.bool_], children: NDArray[np.int64]) -> tuple[float, int]:
    """Mean of outcome less prediction over the treated among `rows`, and the children it is about."""
    untreated, treated = rows & ~design.is_treated, rows & design.is_treated
    if not untreated.any() or not treated.any():
        return float("nan"), 0
    x = design.x if design.treatment_column is None else np.delete(design.x, design.treatment_column, axis=1)
    keep = independent_columns(x[untreated], design.weight[untreated])
    root = np.sqrt(design.weight[untreated])
    q, r = np.linalg.qr(root[:, None] * x[np.ix_(untreated, keep)])
    targets = np.column_stack([design.weighted_outcome[untreated] / root, root[:, None] * x[np.ix_(untreated, ~keep)]])
    solved = np.linalg.solve(r, q.T @ targets)
    coefficients, combinations = solved[:, 0], solved[:, 1:]
    base = x[np.ix_(treated, keep)]
    # A column that depends on others among the untreated must depend on them in the same way here.
    gap = np.abs(x[np.ix_(treated, ~keep)] - base @ combinations)
    known = (gap <= PREDICTION_TOLERANCE * (1 + np.abs(x[np.ix_(treated, ~keep)]))).all(axis=1)
    weight = design.weight[treated][known]
    if not weight.sum() > 0:
        return float("nan"), 0
    gained = design.weighted_outcome[treated][known] - weight * (base[known] @ coefficients)
    return float(gained.sum() / weight.sum()), int(children[treated][known].sum())
