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
from sfpc.estimation.few_clusters import RANK_TOLERANCE, TIE_TOLERANCE, by_cluster
from sfpc.estimation.result import Result

PERMUTATION = "permutation over LAs"
# Assignments worked out at a time: their sums by LA should stay small.
PIECE = 256


@dataclass(frozen=True)
class Permutation(Result):
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
        base = self.inverse @ self.outcome.sum(axis=0)
        groups = np.arange(len(self.gram))
        for begin in range(0, len(assignments), PIECE):
            assigned = assignments[begin : begin + PIECE]
            cross = self.cross[groups, assigned]
            square, moment = self.square[groups, assigned], self.moment[groups, assigned]
            total = cross.sum(axis=1)
            slope = total @ self.inverse
            raw = square.sum(axis=1)
            left = raw - np.einsum("dk,dk->d", total, slope)
            usable = left > RANK_TOLERANCE * raw
            left = np.where(usable, left, 1.0)
            effect = (moment.sum(axis=1) - total @ base) / left
            coefficients = base - slope * effect[:, None]
            # Scores of the treatment less its projection on the other columns, LA by LA.
            own = moment - np.einsum("dgk,dk->dg", cross, coefficients) - square * effect[:, None]
            fitted = np.stack([np.einsum("dk,dk->d", slope @ gram, coefficients) for gram in self.gram], axis=1)
            others = slope @ self.outcome.T - fitted - np.einsum("dgk,dk->dg", cross, slope) * effect[:, None]
            error = np.sqrt(self.factor * np.sum(((own - others) / left[:, None]) ** 2, axis=1))
            usable &= error > 0
            out[begin : begin + PIECE][usable] = np.abs(effect[usable]) / error[usable]
        return out


def _pieces(design: Design, phase: NDArray[np.int64], phases: int) -> _Pieces:
    groups, width = len(design.cluster_names), design.x.shape[1]
    before, gram, outcome = np.zeros(width), np.zeros((groups, width, width)), np.zeros((groups, width))
    cross = np.zeros((groups, phases + 1, width))
    square, moment = np.zeros((groups, phases + 1)), np.zeros((groups, phases + 1))
    for group, mine in by_cluster(design):
        weight, rows, when = design.weight[mine], design.x[mine], phase[mine]
        total = weight.sum()
        y = design.weighted_outcome[mine] - weight * (design.weighted_outcome[mine].sum() / total)
        before += weight @ np.square(rows)
        x = rows - (weight @ rows) / total
        weighted = x * weight[:, None]
        gram[group], outcome[group] = weighted.T @ x, x.T @ y
        for first in range(1, phases + 1):
            live = when >= first
            share = weight[live].sum()
            cross[group, first] = weighted[live].sum(axis=0)
            square[group, first] = share - share**2 / total
            moment[group, first] = y[live].sum()
    varies = np.einsum("gkk->k", gram) > RANK_TOLERANCE * before
    if design.treatment_column is not None:
        varies[design.treatment_column] = False
    gram, outcome, cross = gram[:, varies][:, :, varies], outcome[:, varies], cross[:, :, varies]
    scale = np.sqrt(np.diag(gram.sum(axis=0)))
    inverse = np.linalg.inv(gram.sum(axis=0) / np.outer(scale, scale)) / np.outer(scale, scale)
    factor = small_sample_factor(design.children_count, design.parameter_count, groups)
    return _Pieces(gram, outcome, inverse, cross, square, moment, factor)
