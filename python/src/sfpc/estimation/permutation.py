"""Permutation over LAs: how often would others, going live on the same days, have shown as much (FV.EST.3, FV.SENS.6).

The LAs that went live are drawn anew among all LAs of the analysis, each drawn one with one of the real go-live days.
Nothing is assumed about errors within LAs or over time. Page: docs/methods/few_clusters.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from sfpc.estimation.cluster import small_sample_factor
from sfpc.estimation.design import Design
from sfpc.estimation.few_clusters import RANK_TOLERANCE, TIE_TOLERANCE

PERMUTATION = "permutation over LAs"


@dataclass(frozen=True)
class Permutation:
    """Result of the test.

    Attributes
    ----------
    p_value: two-sided; NaN where the real assignment has no effect.
    draws: assignments used, the real one not counted.
    is_enumerated: all assignments that there are.
    """

    p_value: float
    draws: int
    is_enumerated: bool


def permutation_test(
    design: Design,
    phase: NDArray[np.int64],
    go_live_phase: dict[str, int],
    draws: int = 9_999,
    seed: int = 0,
) -> Permutation:
    """Compare |t| of the real assignment with that of others; t is CR1's, as in the main model.

    Parameters
    ----------
    design: of the model, LA effects and treatment included.
    phase: (cells,), number of go-live days on or before the day of the cell's children. A cell lies in one phase.
    go_live_phase: per treated LA, the first phase in which it is live (1 to the number of go-live days).
    draws, seed: of random assignments, where there are more than `draws` in all.

    The p-value is the share of assignments whose |t| reaches the real one, which counts as one of them.

    Source: MacKinnon and Webb (2020) J. Econometrics 218:435 (RI-t).
    """
    pieces = _pieces(design, phase, max(go_live_phase.values(), default=0))
    names = list(design.cluster_names)
    real = np.zeros(len(names), dtype=np.int64)
    for la, first in go_live_phase.items():
        if la in names:
            real[names.index(la)] = first
    observed = pieces.statistic(real[None, :])[0]
    if not np.isfinite(observed):
        return Permutation(float("nan"), 0, False)
    live = real[real > 0]
    count = math.perm(len(names), len(live)) / math.prod(math.factorial(n) for n in np.bincount(live))
    if count <= draws + 1:
        distinct = {
            tuple(_assigned(len(names), chosen, live).tolist()) for chosen in permutations(range(len(names)), len(live))
        }
        distinct.discard(tuple(real.tolist()))
        assignments = np.array(sorted(distinct), dtype=np.int64).reshape(-1, len(names))
    else:
        generator = np.random.default_rng(seed)
        assignments = np.array(
            [_assigned(len(names), generator.permutation(len(names))[: len(live)], live) for _ in range(draws)]
        )
    statistics = pieces.statistic(assignments)
    # An assignment under which the effect is not identified is no evidence either way.
    usable = statistics[np.isfinite(statistics)]
    reached = int(np.sum(usable >= observed * (1 - TIE_TOLERANCE)))
    return Permutation((1 + reached) / (1 + len(usable)), len(usable), count <= draws + 1)


def _assigned(groups: int, chosen: object, live: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.zeros(groups, dtype=np.int64)
    out[np.asarray(chosen)] = live
    return out


@dataclass(frozen=True)
class _Pieces:
    """Sums from which |t| of any assignment follows; LA effects are taken out.

    With g the LA and f the first live phase (0: never), `cross[g, f]` is X'WD (K), `square[g, f]` D'WD and
    `moment[g, f]` D'Wy; `gram`, `outcome` are X'WX (G, K, K) and X'Wy (G, K) of the other columns.
    """

    gram: NDArray[np.float64]
    outcome: NDArray[np.float64]
    inverse: NDArray[np.float64]
    cross: NDArray[np.float64]
    square: NDArray[np.float64]
    moment: NDArray[np.float64]
    factor: float

    def statistic(self, assignments: NDArray[np.int64]) -> NDArray[np.float64]:
        """(draws,), |t| of each assignment (draws, G) of first live phases; NaN where it is not identified."""
        out = np.full(len(assignments), np.nan)
        groups = np.arange(len(self.gram))
        base = self.inverse @ self.outcome.sum(axis=0)
        for number, assigned in enumerate(assignments):
            cross = self.cross[groups, assigned]
            total = cross.sum(axis=0)
            slope = self.inverse @ total
            raw = self.square[groups, assigned].sum()
            left = raw - total @ slope
            if not left > RANK_TOLERANCE * raw:
                continue
            effect = (self.moment[groups, assigned].sum() - total @ base) / left
            coefficients = base - slope * effect
            # Scores of the treatment less its projection on the other columns, LA by LA.
            own = self.moment[groups, assigned] - cross @ coefficients - self.square[groups, assigned] * effect
            others = self.outcome - self.gram @ coefficients - cross * effect
            pieces = (own - others @ slope) / left
            error = np.sqrt(self.factor * np.sum(pieces**2))
            out[number] = abs(effect) / error if error > 0 else np.nan
        return out


def _pieces(design: Design, phase: NDArray[np.int64], phases: int) -> _Pieces:
    groups = len(design.cluster_names)
    others = [i for i in range(design.x.shape[1]) if i != design.treatment_column]
    weight = design.weight
    total = np.bincount(design.cluster, weights=weight, minlength=groups)

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = np.bincount(design.cluster, weights=weight * values, minlength=groups) / total
        return np.asarray(values - mean[design.cluster], dtype=np.float64)

    columns = [centred(design.x[:, i]) for i in others]
    before = [float(weight @ np.square(design.x[:, i])) for i in others]
    x = np.column_stack([c for c, b in zip(columns, before, strict=True) if weight @ np.square(c) > RANK_TOLERANCE * b])
    mean = np.bincount(design.cluster, weights=design.weighted_outcome, minlength=groups) / total
    y = design.weighted_outcome - weight * mean[design.cluster]
    k = x.shape[1]
    gram, outcome = np.zeros((groups, k, k)), np.zeros((groups, k))
    cross = np.zeros((groups, phases + 1, k))
    square, moment = np.zeros((groups, phases + 1)), np.zeros((groups, phases + 1))
    for group in range(groups):
        rows = np.flatnonzero(design.cluster == group)
        weighted = x[rows] * weight[rows, None]
        gram[group], outcome[group] = weighted.T @ x[rows], x[rows].T @ y[rows]
        for first in range(1, phases + 1):
            live = phase[rows] >= first
            share = weight[rows][live].sum()
            cross[group, first] = weighted[live].sum(axis=0)
            square[group, first] = share - share**2 / total[group]
            moment[group, first] = y[rows][live].sum()
    scale = np.sqrt(np.diag(gram.sum(axis=0)))
    inverse = np.linalg.inv(gram.sum(axis=0) / np.outer(scale, scale)) / np.outer(scale, scale)
    factor = small_sample_factor(design.children_count, design.parameter_count, groups)
    return _Pieces(gram, outcome, inverse, cross, square, moment, factor)
