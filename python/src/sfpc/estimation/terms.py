"""Absence by term: up to three terms of a child, with child random effects (FV.EST.7).

Terms of one child resemble each other. Generalised least squares takes from every term a share of the child's mean,
the larger the more terms the child has and the more children differ; what is left is a weighted linear model with LA
effects, on which every method for few LAs works as on any other. Page: docs/methods/absence_terms.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.estimation.cluster import Estimate
from sfpc.estimation.design import CELL_COUNT, CELL_WEIGHT, Design, Terms, build_design, independent_columns
from sfpc.estimation.linear import LinearFit, fit_linear
from sfpc.estimation.result import Result

Array = NDArray[np.float64]

# A column varies within children if more than this share of its squared length is left without the child's mean.
WITHIN_TOLERANCE = 1e-10
# Children do not carry the whole variance, or no term would be left of them.
LARGEST_SHARE = 1 - 1e-6


@dataclass(frozen=True)
class TermsFit(Result):
    """The model of FV.EST.7.

    Attributes
    ----------
    fit: the linear model on quasi-demeaned terms. Its `design` has the LA indicators of the children as they are: a
        row that keeps the share 1 - theta of its child's mean is divided by 1 - theta, and its weight multiplied by
        the square, which changes nothing but lets LA effects be taken out (`few_clusters.cluster_sums(fit.design)`).
    term_variance, child_variance: idiosyncratic variance and variance of the random effect, in squared units of the
        outcome.
    shares: number of terms -> theta, the share of the child's mean that is taken out.
    child_count, term_count: children, and rows.
    notes: sentences for the analyst.
    """

    fit: LinearFit
    term_variance: float
    child_variance: float
    shares: dict[int, float]
    child_count: int
    term_count: int
    notes: tuple[str, ...]

    def effect(self, level: float) -> Estimate:
        """Return the effect with CR1 and t(G - 1), in units of the outcome."""
        return self.fit.effect(level)


def fit_terms(cells: pd.DataFrame, terms: Terms, child: str) -> TermsFit:
    """Fit the random effects model to rows of children and terms.

    Parameters
    ----------
    cells: from `design.compress` with the child's number among the keys, so that each row is one term of one child.
    terms: of the main model, the term among the categorical and the months since referral among the linear ones.
    child: column with the child's number; a child is in one LA and has one weight.

    The small-sample factor counts terms as N. ValueError where a row stands for several terms or a child has several
    weights or LAs.

    Source: FV.EST.7; Swamy and Arora (1972) Econometrica 40:261, unbalanced as in Baltagi and Chang (1994) J.
    Econometrics 62:67 (R's plm).
    """
    _, first, child_of = np.unique(cells[child].to_numpy(), return_index=True, return_inverse=True)
    weight = cells[CELL_WEIGHT].to_numpy(dtype=np.float64)
    if (cells[CELL_COUNT] != 1).any():
        raise ValueError(f"column {child}: a row stands for {cells[CELL_COUNT].max()} terms, expected one of one child")
    if (np.abs(weight - weight[first][child_of]) > 1e-9 * weight).any():
        raise ValueError(f"column {CELL_WEIGHT}: a child has several weights, expected one for all its terms")
    la = cells[terms.cluster].to_numpy()
    if (la != la[first][child_of]).any():
        raise ValueError(f"column {terms.cluster}: a child has several values, expected one for all its terms")
    design = build_design(cells, terms)
    return fit_quasi_demeaned(design, child_of.astype(np.int64))


def fit_quasi_demeaned(design: Design, child: NDArray[np.int64]) -> TermsFit:
    """Fit to a design whose rows are terms; child: (rows,), codes from 0, each of them used.

    Source: as `fit_terms`.
    """
    counts = np.bincount(child)
    order = np.argsort(child, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    weight = design.weight[order][starts]
    y = design.weighted_outcome / design.weight
    mean_y = np.add.reduceat(y[order], starts) / counts
    mean_x = np.add.reduceat(design.x[order], starts, axis=0) / counts[:, None]
    notes = list(design.notes)
    variances = _variances(design.x, y, child, counts, weight, mean_x, mean_y)
    if variances is None:
        notes.append("no child has two terms to tell children and terms apart: no random effect")
        variances = (float("nan"), 0.0)
    term_variance, child_variance = variances
    if child_variance == 0.0 and np.isfinite(term_variance):
        notes.append("children do not differ by more than their terms: the random effect has no variance")
    levels = np.unique(counts)
    shares = {int(n): _share(term_variance, child_variance, int(n)) for n in levels}
    if any(share >= LARGEST_SHARE for share in shares.values()):
        notes.append("terms of a child hardly differ: the child's mean counts for nearly all of them")
    taken = np.array([shares[int(n)] for n in counts])
    kept = (1.0 - taken)[child]
    share = taken[child]
    x = (design.x - share[:, None] * mean_x[child]) / kept[:, None]
    outcome = (y - share * mean_y[child]) / kept
    new_weight = design.weight * kept**2
    fitted = fit_linear(replace(design, x=x, weight=new_weight, weighted_outcome=new_weight * outcome))
    return TermsFit(fitted, term_variance, child_variance, shares, len(counts), len(child), tuple(notes))


def _share(term_variance: float, child_variance: float, terms: int) -> float:
    if child_variance == 0.0:
        return 0.0
    share = 1.0 - np.sqrt(term_variance / (term_variance + terms * child_variance))
    return float(min(share, LARGEST_SHARE))


def _variances(
    x: Array,
    y: Array,
    child: NDArray[np.int64],
    counts: NDArray[np.int64],
    weight: Array,
    mean_x: Array,
    mean_y: Array,
) -> tuple[float, float] | None:
    """Variance of a term and of a child, by what regressions within and between children leave over.

    With weights (mean 1 over children) each sum of squares has the expectation written beside it; without, these are
    Swamy and Arora's degrees of freedom. None where no child has two terms.
    """
    scaled = weight / weight.mean()
    row_weight = scaled[child]
    if (counts < 2).all():
        return None
    # Within children: E = s2_e (sum of w (T - 1) - trace).
    inner_x, inner_y = x - mean_x[child], y - mean_y[child]
    varies = row_weight @ np.square(inner_x) > WITHIN_TOLERANCE * (row_weight @ np.square(x))
    inner_x = inner_x[:, varies]
    inner_x = inner_x[:, independent_columns(inner_x, row_weight)]
    within, trace = _left_over(inner_x, inner_y, row_weight, row_weight**2)
    room = float(scaled @ (counts - 1)) - trace[0]
    if room <= 0:
        return None
    term_variance = within / room
    # Between children: E = s2_e (sum of w - trace) + s2_u (sum of w T - trace).
    kept = mean_x[:, independent_columns(mean_x, scaled * counts)]
    between, traces = _left_over(kept, mean_y, scaled * counts, scaled**2 * counts, scaled**2 * counts**2)
    spread = float(scaled @ counts) - traces[1]
    if spread <= 0:
        return None
    child_variance = (between - term_variance * (float(scaled.sum()) - traces[0])) / spread
    return float(term_variance), float(max(child_variance, 0.0))


def _left_over(x: Array, y: Array, weight: Array, *squares: Array) -> tuple[float, list[float]]:
    """Weighted residual sum of squares, and the trace of (X'WX)^-1 X'SX for each diagonal S."""
    if not x.shape[1]:
        return float(weight @ y**2), [0.0 for _ in squares]
    root = np.sqrt(weight)
    rows, target = root[:, None] * x, root * y
    gram = rows.T @ rows
    length = np.sqrt(np.diag(gram))
    # Columns of equal length, or squaring would cost digits.
    inverse = np.linalg.inv(gram / np.outer(length, length)) / np.outer(length, length)
    residual = target - rows @ (inverse @ (rows.T @ target))
    traces = []
    for square in squares:
        share = square / weight
        if np.ptp(share) <= 1e-12 * share.max():
            traces.append(float(share[0]) * x.shape[1])
        else:
            wide = np.sqrt(share)[:, None] * rows
            traces.append(float(np.sum(inverse * (wide.T @ wide))))
    return float(residual @ residual), traces


__all__ = ["TermsFit", "fit_quasi_demeaned", "fit_terms"]
