"""Tests of several coefficients at once with few LAs: Wald tests and their wild cluster bootstrap (FV.EST.3).

Like `sfpc.estimation.few_clusters` all of it works on sums over each LA's children, LA effects taken out. Page:
docs/methods/event_study.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfpc.estimation.design import independent_of
from sfpc.estimation.few_clusters import (
    RANK_TOLERANCE,
    TIE_TOLERANCE,
    WEBB_CLUSTERS,
    ClusterSums,
    inverse_of,
    multipliers,
    symmetric,
)
from sfpc.estimation.result import Result

WILD_WALD = "wild cluster bootstrap of the CR1 Wald statistic, null imposed"
CR1_F = "CR1 by LA, F(q, G-1)"
CR2_F = "CR2 by LA, F(q, G-1)"
CR3_F = "CR3 (jackknife) by LA, F(q, G-1)"

# Draws are worked through in pieces of at most this many numbers.
PIECE = 4_000_000
# A covariance whose smallest direction has less than this share of the largest is singular.
SINGULAR = 1e-10


@dataclass(frozen=True)
class JointTest(Result):
    """Test that several coefficients are all 0.

    Attributes
    ----------
    statistic: Wald statistic over the number of coefficients (F).
    coefficient_count: q.
    degrees_of_freedom: of the denominator, NaN for the bootstrap.
    p_value: NaN where the test is undefined; `note` then says why.
    """

    statistic: float
    coefficient_count: int
    degrees_of_freedom: float
    p_value: float
    inference_method: str
    note: str = ""


def cr1_covariance(sums: ClusterSums, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(q, q), the sandwich of the coefficients at `positions`, small-sample factor included."""
    pieces = sums.scores(sums.coefficients) @ sums.bread[positions].T
    return np.asarray(sums.factor * (pieces.T @ pieces), dtype=np.float64)


def cr2_covariance(sums: ClusterSums, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(q, q), CR2: each LA's scores inflated by the inverse square root of one less its leverage.

    Source: Bell and McCaffrey (2002) Survey Methodology 28:169; Pustejovsky and Tipton (2018) equation 9.
    """
    root = np.linalg.cholesky(symmetric(sums.bread))
    scores = sums.scores(sums.coefficients) @ root
    inner = np.einsum("ki,gkl,lj->gij", root, sums.gram, root)
    pieces = np.zeros((sums.cluster_count, len(positions)))
    for group, leverage in enumerate(inner):
        values, vectors = np.linalg.eigh(symmetric(np.eye(len(root)) - leverage))
        usable = values > RANK_TOLERANCE
        power = np.where(usable, np.where(usable, values, 1.0) ** -0.5, 0.0)
        pieces[group] = root[positions] @ (vectors @ (power * (vectors.T @ scores[group])))
    return np.asarray(pieces.T @ pieces, dtype=np.float64)


def coefficients_without(sums: ClusterSums, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(G, q), the coefficients without each LA in turn; NaN in a row where not all of them are identified."""
    gram, moment = sums.gram.sum(axis=0), sums.moment.sum(axis=0)
    out = np.full((sums.cluster_count, len(positions)), np.nan)
    chosen = set(positions.tolist())
    for group in range(sums.cluster_count):
        left = gram - sums.gram[group]
        # What varied in this LA alone is rounding now.
        candidates = np.flatnonzero(np.diag(left) > RANK_TOLERANCE * np.diag(gram))
        if not chosen <= set(candidates.tolist()):
            continue
        # The tested columns are judged last: they stay only if they are identified given all else.
        order = np.array([*(i for i in candidates.tolist() if i not in chosen), *positions.tolist()], dtype=np.int64)
        kept = order[independent_of(left[np.ix_(order, order)])]
        if chosen <= set(kept.tolist()):
            solved = np.linalg.solve(left[np.ix_(kept, kept)], (moment - sums.moment[group])[kept])
            out[group] = solved[-len(positions) :]
    return out


def cr3_covariance(sums: ClusterSums, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(q, q), the jackknife over LAs, (G - 1)/G times the sum of (b without g - b)(b without g - b)'.

    NaN where some LA cannot be left out.

    Source: MacKinnon, Nielsen and Webb (2023) J. Econometrics 232:272 (CV3).
    """
    moved = coefficients_without(sums, positions) - sums.coefficients[positions]
    groups = sums.cluster_count
    return np.asarray((groups - 1) / groups * (moved.T @ moved), dtype=np.float64)


def joint_tests(
    sums: ClusterSums, positions: NDArray[np.int64], draws: int = 9_999, seed: int = 0
) -> tuple[JointTest, ...]:
    """Test that the coefficients at `positions` are all 0: wild cluster bootstrap first, then CR1, CR2 and CR3.

    The F tests have G - 1 degrees of freedom in the denominator. With few LAs they reject too often as soon as several
    coefficients are tested; the bootstrap compares the same statistic with what LA-wise signs give under the null.

    Source: Cameron, Gelbach and Miller (2008) Review of Economics and Statistics 90:414, section III; MacKinnon,
    Nielsen and Webb (2023) section 5.
    """
    q, groups = len(positions), sums.cluster_count
    nan = float("nan")
    methods = (WILD_WALD, CR1_F, CR2_F, CR3_F)
    if q == 0:
        return tuple(JointTest(nan, 0, nan, nan, method, "no coefficient to test") for method in methods)
    if q > groups - 1:
        why = f"{q} coefficients cannot be tested with {groups} LAs: at most {groups - 1}"
        return tuple(JointTest(nan, q, nan, nan, method, why) for method in methods)
    found = [
        _analytic(sums, positions, covariance(sums, positions), method)
        for covariance, method in ((cr1_covariance, CR1_F), (cr2_covariance, CR2_F), (cr3_covariance, CR3_F))
    ]
    if not np.isfinite(found[0].statistic):
        return (JointTest(nan, q, nan, nan, WILD_WALD, found[0].note), *found)
    p_value = _bootstrap(sums, positions, found[0].statistic * q, draws, seed)
    return (JointTest(found[0].statistic, q, nan, p_value, WILD_WALD), *found)


def _analytic(
    sums: ClusterSums, positions: NDArray[np.int64], covariance: NDArray[np.float64], method: str
) -> JointTest:
    q, freedom, nan = len(positions), float(sums.cluster_count - 1), float("nan")
    if not np.isfinite(covariance).all():
        return JointTest(nan, q, freedom, nan, method, "not identified without some LA")
    wald = float(_wald(sums.coefficients[positions][None, :], covariance[None])[0])
    if not np.isfinite(wald):
        return JointTest(nan, q, freedom, nan, method, "the covariance is singular: too few LAs carry information")
    return JointTest(wald / q, q, freedom, float(stats.f.sf(wald / q, q, freedom)), method)


def _wald(values: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,), b' V^-1 b of each of values (D, q) and covariance (D, q, q); infinite where V is singular."""
    scale = np.sqrt(np.einsum("dii->di", covariance))
    usable = (scale > 0).all(axis=1)
    scale = np.where(scale > 0, scale, 1.0)
    eigen, vectors = np.linalg.eigh(covariance / (scale[:, :, None] * scale[:, None, :]))
    usable &= eigen[:, 0] > SINGULAR * eigen[:, -1]
    turned = np.einsum("dij,di->dj", vectors, values / scale)
    found = np.sum(turned**2 / np.where(usable[:, None], eigen, 1.0), axis=1)
    return np.where(usable, found, np.inf)


def _bootstrap(sums: ClusterSums, positions: NDArray[np.int64], observed: float, draws: int, seed: int) -> float:
    groups, count = sums.cluster_count, len(sums.coefficients)
    patterns, _ = multipliers(groups, "Webb" if groups < WEBB_CLUSTERS else "Rademacher", draws, seed)
    rest = np.setdiff1d(np.arange(count), positions)
    restricted = np.zeros(count)
    restricted[rest] = inverse_of(sums.gram.sum(axis=0)[np.ix_(rest, rest)]) @ sums.moment.sum(axis=0)[rest]
    scores = sums.scores(restricted)
    rows = sums.bread[positions]
    own = scores @ rows.T
    # How the pieces of LA g answer to the coefficients that a draw gives.
    pull = np.einsum("qk,gkl->glq", rows, sums.gram)
    shift = scores @ sums.bread
    reached, size = 0, max(1, PIECE // max(1, groups * len(positions)))
    for begin in range(0, len(patterns), size):
        signs = patterns[begin : begin + size]
        moved = signs @ shift
        pieces = signs[:, :, None] * own[None] - np.einsum("dl,glq->dgq", moved, pull, optimize=True)
        covariance = sums.factor * np.einsum("dgq,dgr->dqr", pieces, pieces, optimize=True)
        statistic = _wald(moved[:, positions], covariance)
        reached += int(np.sum(statistic >= observed * (1 - TIE_TOLERANCE)))
    return reached / len(patterns)
