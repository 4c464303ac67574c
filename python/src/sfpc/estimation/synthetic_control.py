"""Synthetic difference in differences for staggered go-live on means per LA and period (FV.SENS.6).

For the LAs that go live together, comparison LAs are weighted so that their weighted mean moves like theirs before
go-live, and periods so that those like the ones after it count. Weights and the estimate of a cohort come from the
library diff-diff; what is ours is the mean over cohorts, the placebo over LAs, the jackknife and the words. Page:
docs/methods/synthetic_did.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from diff_diff.utils import compute_sdid_estimator, compute_sdid_unit_weights, compute_time_weights
from numpy.typing import NDArray
from scipy import stats

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.result import Result
from sfpc.estimation.staggered import JACKKNIFE_T, Panel

Array = NDArray[np.float64]

PLACEBO = "placebo over comparison LAs"
# Convergence of the weights, relative to the noise, as in R's synthdid.
PRECISION = 1e-5
# Fewer placebos than this say little about a tail.
FEWEST_PLACEBOS = 19


@dataclass(frozen=True)
class Cohort:
    """LAs that go live in one period.

    Attributes
    ----------
    first_period: 1 for the first period of the panel.
    las: of the cohort.
    estimate: in units of the outcome; NaN where the cohort cannot be estimated.
    la_weights: comparison LA -> weight (sum 1); period_weights: (first_period - 1,), of the periods before (sum 1).
    misfit: root mean square of what the weighted comparison LAs leave before go-live, their mean difference taken out.
    """

    first_period: int
    las: tuple[str, ...]
    estimate: float
    la_weights: dict[str, float]
    period_weights: tuple[float, ...]
    misfit: float


@dataclass(frozen=True)
class SyntheticDid(Result):
    """The effect over all cohorts, in units of the outcome.

    Attributes
    ----------
    methods: placebo first, then the jackknife over LAs; NaN where undefined.
    cohorts: in order of go-live.
    placebo_count: placebos behind the first method.
    notes: sentences for the analyst.
    """

    methods: tuple[Estimate, Estimate]
    cohorts: tuple[Cohort, ...]
    placebo_count: int
    notes: tuple[str, ...]

    def tidy_weights(self) -> pd.DataFrame:
        """A row per cohort and comparison LA with a weight."""
        rows = [
            {"first_period": cohort.first_period, "la": la, "weight": weight}
            for cohort in self.cohorts
            for la, weight in cohort.la_weights.items()
            if weight > 0
        ]
        return pd.DataFrame(rows, columns=["first_period", "la", "weight"])


def synthetic_did(
    panel: Panel, level: float, draws: int = 199, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> SyntheticDid:
    """Estimate every cohort against the LAs that never go live; the effect is the mean over live LAs and periods.

    Parameters
    ----------
    panel: from `staggered.la_panel`. LAs count alike.
    draws: placebos: the pattern of go-lives given to comparison LAs by lot, the treated ones left out.
    progress: called with placebos done and wanted.

    The placebo's error is the standard deviation of its estimates, the interval normal; its p-value is the share of
    placebos at least as far from 0, the estimate counting as one of them. It needs more comparison than treated LAs and
    supposes that both vary alike. The jackknife fits again without each LA; NaN where there is only one treated LA.

    Source: Arkhangelsky and others (2021) American Economic Review 111:4088, algorithms 1, 3 and 4; Clarke and others
    (2024) Stata J. 24:557 (staggered go-live).
    """
    nan = float("nan")
    cohorts = _cohorts(panel.las, panel.means, panel.first_period)
    estimate = _mean(cohorts, panel.means.shape[1])
    groups = len(panel.las)
    notes: list[str] = []
    missing = [f"period {cohort.first_period}" for cohort in cohorts if not np.isfinite(cohort.estimate)]
    if missing:
        notes.append(f"left out, with fewer than two periods before go-live: LAs that go live in {', '.join(missing)}")
    if not np.isfinite(estimate):
        notes.append("no cohort can be estimated")
    placebos = _placebos(panel, draws, seed, progress) if np.isfinite(estimate) else np.zeros(0)
    by_placebo = Estimate(estimate, nan, nan, nan, nan, nan, PLACEBO)
    if len(placebos):
        error = float(np.std(placebos))
        p_value = float((1 + np.sum(np.abs(placebos) >= abs(estimate) * (1 - 1e-10))) / (1 + len(placebos)))
        reach = float(stats.norm.ppf(1 - level / 2)) * error
        by_placebo = Estimate(estimate, error, estimate - reach, estimate + reach, p_value, nan, PLACEBO)
        if len(placebos) < FEWEST_PLACEBOS:
            notes.append(f"only {len(placebos)} placebos")
    elif np.isfinite(estimate):
        treated = int((panel.first_period > 0).sum())
        notes.append(f"no placebo: {groups - treated} comparison LAs for {treated} treated ones, more are needed")
    without = np.array(
        [_mean(_cohorts(one.las, one.means, one.first_period), one.means.shape[1]) for one in _each_left_out(panel)]
    )
    spread = float(np.sqrt((groups - 1) / groups * np.sum((without - without.mean()) ** 2)))
    jackknife = infer(estimate, spread, groups, level, JACKKNIFE_T)
    if np.isfinite(estimate) and not np.isfinite(spread):
        notes.append("no jackknife: without some LA nothing can be estimated")
    return SyntheticDid((by_placebo, jackknife), cohorts, len(placebos), tuple(notes))


def _each_left_out(panel: Panel) -> list[Panel]:
    return [panel.without(position) for position in range(len(panel.las))]


def _mean(cohorts: tuple[Cohort, ...], periods: int) -> float:
    """Mean over LAs and live periods of the cohorts that have an estimate; NaN without one."""
    known = [cohort for cohort in cohorts if np.isfinite(cohort.estimate)]
    size = [len(cohort.las) * (periods - cohort.first_period + 1) for cohort in known]
    return float(np.average([cohort.estimate for cohort in known], weights=size)) if known else float("nan")


def _cohorts(las: tuple[str, ...], means: Array, first_period: NDArray[np.int64]) -> tuple[Cohort, ...]:
    names = np.array(las)
    never = first_period == 0
    return tuple(
        _fit(int(first), names[first_period == first], names[never], means[first_period == first], means[never])
        for first in np.unique(first_period[~never])
    )


def _fit(first: int, own: NDArray[np.str_], others: NDArray[np.str_], treated: Array, control: Array) -> Cohort:
    before = first - 1
    las = tuple(str(la) for la in own)
    if before < 2 or not len(control):
        return Cohort(first, las, float("nan"), {}, (), float("nan"))
    # The weights do not depend on the unit; a common one keeps the library's stopping rule the same for all outcomes.
    scale = float(np.std(control[:, :before]))
    scale = scale if scale > 0 else 1.0
    shift = float(np.mean(control[:, :before]))
    control_mean, own_mean = (control.T - shift) / scale, (treated.mean(axis=0) - shift) / scale
    steps = np.diff(control_mean[:before], axis=0)
    noise = float(np.std(steps, ddof=1)) if steps.size > 1 else 0.0
    stop = PRECISION * noise if noise > 0 else PRECISION
    live = treated.shape[1] - before
    la_weights = compute_sdid_unit_weights(
        control_mean[:before], own_mean[:before], (len(own) * live) ** 0.25 * noise, min_decrease=stop
    )
    period_weights = compute_time_weights(control_mean[:before], control_mean[before:], 1e-6 * noise, min_decrease=stop)
    estimate = compute_sdid_estimator(
        control_mean[:before], control_mean[before:], own_mean[:before], own_mean[before:], la_weights, period_weights
    )
    gap = own_mean[:before] - control_mean[:before] @ la_weights
    return Cohort(
        first_period=first,
        las=las,
        estimate=float(estimate) * scale,
        la_weights={str(la): float(weight) for la, weight in zip(others, la_weights, strict=True)},
        period_weights=tuple(float(weight) for weight in period_weights),
        misfit=float(np.std(gap)) * scale,
    )


def _placebos(panel: Panel, draws: int, seed: int, progress: Callable[[int, int], None] | None) -> Array:
    """Estimates with the go-lives given to comparison LAs; none where these are not more than the treated LAs."""
    live = panel.first_period[panel.first_period > 0]
    control = np.flatnonzero(panel.first_period == 0)
    if len(control) <= len(live):
        return np.zeros(0)
    generator = np.random.default_rng(seed)
    means = panel.means[control]
    names = tuple(panel.las[position] for position in control)
    found = []
    for draw in range(draws):
        first = np.zeros(len(control), dtype=np.int64)
        first[generator.permutation(len(control))[: len(live)]] = live
        found.append(_mean(_cohorts(names, means, first), means.shape[1]))
        if progress is not None:
            progress(draw + 1, draws)
    estimates = np.array(found, dtype=np.float64)
    return estimates[np.isfinite(estimates)]


__all__ = ["PLACEBO", "Cohort", "SyntheticDid", "synthetic_did"]
