"""Every p-value and interval of an effect, side by side, and which of them is the primary one (FV.EST.3).

Primary: the wild cluster bootstrap with the null imposed, its interval by inversion (for the logit its score
version); with fewer than `MINIMUM_TREATED_CLUSTERS` treated LAs no clustered error can be trusted, and the
permutation over LAs is primary, without an interval. Page: docs/methods/few_clusters.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sfpc.estimation.cluster import Estimate
from sfpc.estimation.design import Design
from sfpc.estimation.few_clusters import (
    SCORE_BOOTSTRAP,
    WILD_BOOTSTRAP,
    cluster_sums,
    cr2,
    cr3,
    score_bootstrap,
    wild_bootstrap,
)
from sfpc.estimation.group_time import FGLS_T, adjusted_means, fit_group_time
from sfpc.estimation.linear import LinearFit
from sfpc.estimation.logit import LogitFit
from sfpc.estimation.permutation import PERMUTATION, permutation_test

# Fewer treated LAs than this and no clustered error is trustworthy (FV.EST.3; methods, finding 8).
MINIMUM_TREATED_CLUSTERS = 4
AUTOREGRESSION_ORDER = 1


@dataclass(frozen=True)
class Timing:
    """When the children of each cell came, for what follows LAs over time.

    Attributes
    ----------
    phase: (cells,), number of go-live days on or before theirs.
    period: (cells,), quarter as a code from 0.
    go_live_phase: per treated LA the first phase in which it is live.
    """

    phase: NDArray[np.int64]
    period: NDArray[np.int64]
    go_live_phase: Mapping[str, int]


@dataclass(frozen=True)
class Draws:
    """How much chance is used, and from which seed."""

    bootstrap: int = 9_999
    permutation: int = 1_999
    seed: int = 0


def treated_clusters(design: Design) -> int:
    """Number of LAs with a treated child."""
    return len(np.unique(design.cluster[design.is_treated]))


def of_linear(fit: LinearFit, timing: Timing | None, level: float, draws: Draws) -> list[Estimate]:
    """All methods for the linear model, the primary one first, in units of the outcome.

    timing: None where the treatment is not "from go-live on", so that neither permutation nor means by quarter stand
    for it. A method that is undefined has NaN.
    """
    clustered = fit.effect(level)
    sums = cluster_sums(fit.design)
    if sums is None:
        return [clustered]
    found = [
        wild_bootstrap(sums, level, draws.bootstrap, draws.seed).effect,
        clustered,
        cr2(sums, level),
        cr3(sums, level),
    ]
    if timing is not None:
        means, treated = adjusted_means(fit.design, timing.period)
        found.append(fit_group_time(means, treated, AUTOREGRESSION_ORDER).effect(level))
        found.append(_permutation(fit.design, timing, clustered, draws))
    return _primary_first(found, fit.design, WILD_BOOTSTRAP)


def of_logit(fit: LogitFit, timing: Timing | None, level: float, draws: Draws) -> tuple[list[Estimate], list[Estimate]]:
    """All methods for the logit, the primary one first: as average marginal effect and as log odds."""
    marginal, log_odds = fit.average_marginal_effect(level), fit.log_odds_effect(level)
    if not np.isfinite(log_odds.estimate):
        return [marginal], [log_odds]
    scored = score_bootstrap(fit, level, draws.bootstrap, draws.seed)
    nan = float("nan")
    on_effect, on_odds = (
        replace(
            clustered,
            ci_low=ends[0],
            ci_high=ends[1],
            p_value=scored.p_value,
            degrees_of_freedom=nan,
            inference_method=SCORE_BOOTSTRAP,
        )
        for clustered, ends in ((marginal, scored.marginal_effects), (log_odds, scored.log_odds))
    )
    effects, odds = [on_effect, marginal], [on_odds, log_odds]
    if timing is not None:
        # The permutation is of the linear model's t: the same children, the same assignment.
        permuted = _permutation(fit.design, timing, marginal, draws)
        effects.append(permuted)
        odds.append(replace(permuted, estimate=log_odds.estimate))
    return tuple(_primary_first(found, fit.design, SCORE_BOOTSTRAP) for found in (effects, odds))  # type: ignore[return-value]


def _permutation(design: Design, timing: Timing, estimate: Estimate, draws: Draws) -> Estimate:
    found = permutation_test(design, timing.phase, dict(timing.go_live_phase), draws.permutation, draws.seed)
    nan = float("nan")
    return Estimate(estimate.estimate, nan, nan, nan, found.p_value, nan, PERMUTATION)


def _primary_first(found: list[Estimate], design: Design, usual: str) -> list[Estimate]:
    is_few = treated_clusters(design) < MINIMUM_TREATED_CLUSTERS
    primary = PERMUTATION if is_few else usual
    return sorted(found, key=lambda e: e.inference_method != primary)


__all__ = ["FGLS_T", "MINIMUM_TREATED_CLUSTERS", "Draws", "Timing", "of_linear", "of_logit", "treated_clusters"]
