"""Permutation over LAs: how often would others, going live on the same days, have shown as much (FV.EST.3, FV.SENS.6).

The LAs that went live are drawn anew among all LAs of the analysis, each drawn one with one of the real go-live days.
Nothing is assumed about errors within LAs or over time. Page: docs/methods/few_clusters.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

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
    strata: Mapping[str, str] | None = None,
) -> Permutation:
    """Compare |t| of the real assignment with that of others; t is CR1's, as in the main model.

    Parameters
    ----------
    design: of the model, LA effects and treatment included.
    phase: (cells,), number of go-live days on or before the day of the cell's children. A cell lies in one phase.
    go_live_phase: per treated LA, the first phase in which it is live (1 to the number of go-live days).
    draws, seed: of random assignments, where there are more than `draws` in all.
    strata: per LA, within which go-live days are exchanged (stratified randomisation); all LAs together where None.

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
    within = [strata.get(name, "") for name in names] if strata is not None else None
    assignments, is_enumerated = other_assignments(real, within, draws, seed)
    statistics = pieces.statistic(assignments)
    # An assignment under which the effect is not identified is no evidence either way.
    usable = statistics[np.isfinite(statistics)]
    reached = int(np.sum(usable >= observed * (1 - TIE_TOLERANCE)))
    return Permutation((1 + reached) / (1 + len(usable)), len(usable), is_enumerated)


def other_assignments(
    real: NDArray[np.int64], strata: Sequence[str] | None, draws: int, seed: int
) -> tuple[NDArray[np.int64], bool]:
    """(n, G) first live phases (0: never) of LAs as they might have been drawn, and whether these are all.

    real: (G,), as they were drawn. strata: (G,), phases are exchanged within; one stratum where None. Where there are
    more than `draws` others, as many are drawn at random; else each other one is there once.
    """
    groups = len(real)
    names = np.array(strata if strata is not None else [""] * groups)
    members = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]
    live = [real[own][real[own] > 0] for own in members]
    count = math.prod(
        math.perm(len(own), len(days)) // math.prod(math.factorial(n) for n in np.bincount(days))
        for own, days in zip(members, live, strict=True)
    )
    if count <= draws + 1:
        ways = [
            sorted(
                {tuple(_assigned(len(own), c, days).tolist()) for c in permutations(range(len(own)), len(days))},
            )
            for own, days in zip(members, live, strict=True)
        ]
        order = np.argsort(np.concatenate(members))
        every = {tuple(np.concatenate(way)[order].tolist()) for way in product(*ways)}
        every.discard(tuple(real.tolist()))
        return np.array(sorted(every), dtype=np.int64).reshape(-1, groups), True
    generator = np.random.default_rng(seed)
    drawn = np.zeros((draws, groups), dtype=np.int64)
    for row in drawn:
        for own, days in zip(members, live, strict=True):
            row[own] = _assigned(len(own), generator.permutation(len(own))[: len(days)], days)
    return drawn, False


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
