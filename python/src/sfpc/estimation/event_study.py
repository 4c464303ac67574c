"""The effect by quarters since go-live, with leads and a joint test of them (FV.SENS.2).

The model is FV.EST.1 with its treatment term replaced by one indicator per quarter before and after go-live; the
children, weights, covariates, LA and year effects are those of the main model. Page: docs/methods/event_study.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.estimation.cluster import CR1_T, Estimate, infer
from sfpc.estimation.design import Design, independent_columns
from sfpc.estimation.few_clusters import ClusterSums, cluster_sums, cr2, cr3, wild_bootstrap
from sfpc.estimation.joint import JointTest, cr1_covariance, cr3_covariance, joint_tests
from sfpc.estimation.result import Result

# The last quarter before go-live is what all others are set against.
REFERENCE_PERIOD = -1
# A quarter since go-live in months.
PERIOD_MONTHS = 3


@dataclass(frozen=True)
class EventPeriod:
    """The effect at one distance from go-live, in units of the outcome.

    Attributes
    ----------
    period: quarters since go-live, negative before it.
    is_open_ended: the first or last one, where it takes in what lies further away.
    methods: inference side by side, wild cluster bootstrap first; empty for the reference period.
    children_count, cluster_count: children of treated LAs at this distance, and their LAs.
    """

    period: int
    is_open_ended: bool
    methods: tuple[Estimate, ...]
    children_count: int
    cluster_count: int


@dataclass(frozen=True)
class EventStudy(Result):
    """Effects by quarters since go-live against the last quarter before it.

    Attributes
    ----------
    periods: in order, the reference period included.
    identified: (J,), quarters with a coefficient; coefficients (J,) in units of the outcome, CR1 and CR3 covariance
        (J, J) of them (CR3 is NaN where some LA cannot be left out).
    lead_tests: that all leads are 0, wild cluster bootstrap first.
    cluster_count: G.
    notes: sentences for the analyst.
    """

    periods: tuple[EventPeriod, ...]
    identified: tuple[int, ...]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    covariance_cr3: NDArray[np.float64]
    lead_tests: tuple[JointTest, ...]
    cluster_count: int
    notes: tuple[str, ...]

    def tidy(self) -> pd.DataFrame:
        """A row per quarter and inference method; the reference quarter has one row with the effect 0."""
        rows = []
        for found in self.periods:
            about = {
                "period": found.period,
                "is_open_ended": found.is_open_ended,
                "is_reference": found.period == REFERENCE_PERIOD,
                "children_count": found.children_count,
                "cluster_count": found.cluster_count,
            }
            nan = float("nan")
            methods = found.methods or (Estimate(0.0, nan, nan, nan, nan, nan, "reference"),)
            rows += [{**about, **asdict(estimate)} for estimate in methods]
        return pd.DataFrame(rows)

    def tidy_lead_tests(self) -> pd.DataFrame:
        """A row per method of the joint test of the leads."""
        return pd.DataFrame([asdict(test) for test in self.lead_tests])


def periods_since_go_live(
    month: NDArray[np.int64],
    cluster: NDArray[np.int64],
    cluster_names: tuple[str, ...],
    go_live_month: Mapping[str, int],
    length: int = PERIOD_MONTHS,
) -> NDArray[np.float64]:
    """(cells,), whole periods of `length` months since the LA's go-live, negative before; NaN where it has none.

    Parameters
    ----------
    month: (cells,), month of the cell's children, counted from any origin. A cell lies in one month.
    go_live_month: per treated LA, the month whose first day is its go-live, from the same origin.
    """
    first = np.array([go_live_month.get(la, np.nan) for la in cluster_names], dtype=np.float64)[cluster]
    return np.floor((month - first) / length)


def event_study(
    design: Design,
    period: NDArray[np.float64],
    children: NDArray[np.int64],
    first: int,
    last: int,
    level: float,
    draws: int = 9_999,
    seed: int = 0,
) -> EventStudy:
    """Fit the effect by quarters since go-live.

    Parameters
    ----------
    design: of the main linear model, its treatment included (it is replaced).
    period: (cells,), from `periods_since_go_live`; NaN in comparison LAs.
    children: (cells,), number of children.
    first, last: the ends; they take in what lies further away (first below the reference, last from 0 on).

    A quarter whose effect the other columns fix is left out and named in `notes`.

    Source: FV.SENS.2; methods A10. Interval and p-value of a quarter are those of `few_clusters`, as in the main model.
    """
    if not first < REFERENCE_PERIOD < 0 <= last:
        raise ValueError(f"first {first} and last {last}: expected first < {REFERENCE_PERIOD} and last >= 0")
    is_known = np.isfinite(period)
    binned = np.clip(np.where(is_known, period, REFERENCE_PERIOD), first, last).astype(np.int64)
    steps = [k for k in range(first, last + 1) if k != REFERENCE_PERIOD]
    notes: list[str] = []
    if not (is_known & (binned == REFERENCE_PERIOD)).any():
        notes.append("no treated child in the last quarter before go-live, which the others are set against")
        steps = []
    base = design.x if design.treatment_column is None else np.delete(design.x, design.treatment_column, axis=1)
    columns = [(is_known & (binned == k)).astype(np.float64) for k in steps]
    x = np.column_stack([base, *columns]) if columns else base
    kept = independent_columns(x, design.weight)
    lost = [k for k, is_kept in zip(steps, kept[base.shape[1] :], strict=True) if not is_kept]
    identified = tuple(k for k in steps if k not in lost)
    empty = [k for k in lost if not (is_known & (binned == k)).any()]
    if set(lost) - set(empty):
        fixed = ", ".join(str(k) for k in lost if k not in empty)
        notes.append(f"no effect at {fixed} quarters since go-live: the other columns of the model fix it")
    if empty:
        notes.append(f"no treated child at {', '.join(map(str, empty))} quarters since go-live")
    sums, positions = _sums(design, np.ascontiguousarray(x[:, kept]), len(identified))
    about = [_about(k, first, last, is_known, period, binned, design.cluster, children) for k in range(first, last + 1)]
    if sums is None:
        nan = np.full((0, 0), np.nan)
        tests = _undefined_tests("no effect is identified")
        return EventStudy(tuple(about), (), np.zeros(0), nan, nan, tests, len(design.cluster_names), tuple(notes))
    methods = {
        k: _methods(replace(sums, treatment=int(position)), level, draws, seed)
        for k, position in zip(identified, positions, strict=True)
    }
    unknown = (infer(float("nan"), float("nan"), sums.cluster_count, level),)
    periods = tuple(
        replace(one, methods=() if one.period == REFERENCE_PERIOD else methods.get(one.period, unknown))
        for one in about
    )
    leads = np.array([p for k, p in zip(identified, positions, strict=True) if k < REFERENCE_PERIOD], dtype=np.int64)
    return EventStudy(
        periods=periods,
        identified=identified,
        coefficients=sums.coefficients[positions],
        covariance=cr1_covariance(sums, positions),
        covariance_cr3=cr3_covariance(sums, positions),
        lead_tests=joint_tests(sums, leads, draws, seed),
        cluster_count=sums.cluster_count,
        notes=tuple(notes),
    )


def _undefined_tests(why: str) -> tuple[JointTest, ...]:
    """The joint test where there is no model to test."""
    nan = float("nan")
    return (JointTest(nan, 0, nan, nan, "", why),)


def _sums(design: Design, x: NDArray[np.float64], steps: int) -> tuple[ClusterSums | None, NDArray[np.int64]]:
    """Sums by LA of the model with `steps` event columns at the end of x, and where these stand."""
    if steps == 0:
        return None, np.zeros(0, dtype=np.int64)
    cluster_effects = len(design.names) - design.parameter_count
    model = replace(
        design,
        x=x,
        names=tuple(map(str, range(x.shape[1]))),
        treatment_column=x.shape[1] - 1,
        parameter_count=x.shape[1] - cluster_effects,
    )
    sums = cluster_sums(model)
    if sums is None:
        return None, np.zeros(0, dtype=np.int64)
    positions = np.searchsorted(sums.columns, np.arange(x.shape[1] - steps, x.shape[1]))
    return sums, positions.astype(np.int64)


def _methods(sums: ClusterSums, level: float, draws: int, seed: int) -> tuple[Estimate, ...]:
    bootstrap = wild_bootstrap(sums, level, draws, seed).effect
    clustered = infer(sums.estimate, bootstrap.standard_error, sums.cluster_count, level, CR1_T)
    return bootstrap, clustered, cr2(sums, level), cr3(sums, level)


def _about(
    step: int,
    first: int,
    last: int,
    is_known: NDArray[np.bool_],
    period: NDArray[np.float64],
    binned: NDArray[np.int64],
    cluster: NDArray[np.int64],
    children: NDArray[np.int64],
) -> EventPeriod:
    mine = is_known & (binned == step)
    is_open = step in (first, last) and bool((period[mine] != step).any())
    return EventPeriod(step, is_open, (), int(children[mine].sum()), len(np.unique(cluster[mine])))


__all__ = [
    "PERIOD_MONTHS",
    "REFERENCE_PERIOD",
    "EventPeriod",
    "EventStudy",
    "event_study",
    "periods_since_go_live",
]
