"""Difference-in-differences on a small panel of LAs by period, with permutation over LAs (FV.EST.1, FV.SENS.2).

For figures of whole LAs, where a row is an LA and a period and nothing varies below. The results are those of
`sfpc.estimation.linear` and `.imputation` on the same rows, every row weighing one; here they are computed for
thousands of placebo assignments at once. Page: docs/methods/published_figures.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT, Terms, build_design
from sfpc.estimation.imputation import JACKKNIFE_T
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.result import Result

PERMUTATION = "permutation over LAs"
_TERMS = Terms(treatment="is_treated", cluster="la_id", periods=("period",), categorical=(), linear=())
_REFERENCE_PERIOD = -1

Panel = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LaPanel:
    """LAs by periods.

    Attributes
    ----------
    la_ids: (N,), in the order of the rows.
    periods: (T,), whole numbers that rise by one from period to period.
    outcome: (N, T), NaN where nothing is known.
    relative: (N, T), periods since go-live of a treated LA; NaN in the rows of others.
    is_after: (N, T), wholly after go-live.
    is_during: (N, T), the period holds the go-live day: left out of an estimate, shown in the event study.
    """

    la_ids: tuple[str, ...]
    periods: tuple[int, ...]
    outcome: Panel
    relative: Panel
    is_after: Mask
    is_during: Mask

    @property
    def is_treated_la(self) -> Mask:
        """(N,), LAs that go live."""
        return np.asarray(np.isfinite(self.relative).any(axis=1), dtype=np.bool_)


@dataclass(frozen=True)
class PanelEffect(Result):
    """One model's effect, in units of the outcome.

    estimate: with cluster-robust inference. permutation_p: share of assignments at least as far from zero; NaN where
    it is not defined. permutation_count: assignments behind it, the actual one included.
    """

    model: str
    estimate: Estimate
    permutation_p: float
    permutation_count: int


@dataclass(frozen=True)
class EventTime:
    """Effect at one distance from go-live, against the last whole period before it.

    low, high: interval by cluster-robust error; placebo_low, placebo_high: the middle 95 per cent of what LAs show to
    which the programme was assigned by lot. la_count: treated LAs with a figure at this distance.
    """

    relative_period: int
    estimate: float
    low: float
    high: float
    placebo_low: float
    placebo_high: float
    la_count: int


def build_panel(rows: pd.DataFrame) -> LaPanel:
    """Panel of rows with la_id, register_year, rate, exposure and relative_period (as in fct_published_la_periods).

    An LA without a figure before go-live, or a comparison LA without any, is left out: nothing could be
    subtracted from its figures.
    """
    rows = rows[np.isfinite(rows["rate"].to_numpy(dtype=np.float64))]
    is_base = (rows["exposure"].isna() | (rows["exposure"] == "before")).to_numpy()
    rows = rows[rows["la_id"].isin(rows.loc[is_base, "la_id"])]
    las = sorted(rows["la_id"].unique())
    years = rows["register_year"].astype(int)
    periods = list(range(int(years.min()), int(years.max()) + 1)) if len(rows) else []
    row = rows["la_id"].map({la: i for i, la in enumerate(las)}).to_numpy(dtype=np.int64)
    column = years.to_numpy(dtype=np.int64) - (periods[0] if periods else 0)
    shape = (len(las), len(periods))
    outcome, relative = np.full(shape, np.nan), np.full(shape, np.nan)
    after, during = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    outcome[row, column] = rows["rate"].to_numpy(dtype=np.float64)
    relative[row, column] = rows["relative_period"].to_numpy(dtype=np.float64, na_value=np.nan)
    after[row, column] = (rows["exposure"] == "after").to_numpy(dtype=np.bool_)
    during[row, column] = (rows["exposure"] == "during").to_numpy(dtype=np.bool_)
    # A pattern belongs to the LA, not to its figures: it is complete also where a figure is missing.
    for i in range(shape[0]):
        known = np.flatnonzero(np.isfinite(relative[i]))
        if len(known):
            relative[i] = relative[i, known[0]] + np.arange(shape[1]) - known[0]
            starts_whole = after[i] & (relative[i] == 0)
            after[i] = (relative[i] > 0) | starts_whole.any() & (relative[i] == 0)
            during[i] = (relative[i] == 0) & ~after[i]
    return LaPanel(tuple(las), tuple(periods), outcome, relative, after, during)


def estimate_effects(panel: LaPanel, significance_level: float, permutations: int, seed: int) -> list[PanelEffect]:
    """Two-way fixed effects and imputation, with the share of placebo assignments that give as much.

    permutations: placebo assignments beside the actual one; each deals the go-live patterns to LAs of the panel by
    lot. With fewer than two treated or two comparison LAs the p-value is NaN.

    Source: FV.EST.1, FV.SENS.6; MacKinnon and Webb (2020) J. Econometrics 218:435 (randomisation inference with few
    treated clusters; the statistic here is the estimate itself).
    """
    cells = _cells(panel)
    treated, control = int(panel.is_treated_la.sum()), int((~panel.is_treated_la).sum())
    if treated == 0 or control == 0 or not cells["is_treated"].any():
        return []
    linear = fit_linear(build_design(cells, _TERMS)).effect(significance_level)
    orders = _orders(panel, permutations, seed)
    twfe, imputed = twfe_by_order(panel, orders), imputation_by_order(panel, orders)
    has_p = treated > 1 and control > 1
    return [
        PanelEffect("two-way fixed effects", linear, _share(twfe) if has_p else float("nan"), len(twfe)),
        PanelEffect(
            "imputation",
            infer(float(imputed[0]), _jackknife(panel), len(panel.la_ids), significance_level, JACKKNIFE_T),
            _share(imputed) if has_p else float("nan"),
            len(imputed),
        ),
    ]


def event_study(
    panel: LaPanel, first: int, last: int, significance_level: float, permutations: int, seed: int
) -> list[EventTime]:
    """Effects by period since go-live, from ``first`` to ``last`` (both ends take in what lies beyond them).

    LA and period effects and an indicator per distance, the last whole period before go-live being the base
    (FV.SENS.2); intervals CR1 with t(G - 1). Distances at which no treated LA has a figure are left out.
    """
    steps = [k for k in range(first, last + 1) if k != _REFERENCE_PERIOD]
    dummies = _dummies(panel.relative, steps, first, last)
    seen = np.isfinite(panel.outcome)
    held = [i for i in range(len(steps)) if (dummies[i] & seen).any()]
    steps, dummies = [steps[i] for i in held], dummies[held]
    if not steps or not (np.isfinite(panel.relative) & (panel.relative == _REFERENCE_PERIOD) & seen).any():
        return []
    names = tuple(f"at_{i}" for i in range(len(steps)))
    cells = _cells(panel, with_transition=True)
    place = {la: i for i, la in enumerate(panel.la_ids)}
    where = (cells["la_id"].map(place).to_numpy(), cells["period"].astype(int).to_numpy() - panel.periods[0])
    for name, dummy in zip(names, dummies, strict=True):
        cells[name] = dummy[where].astype(np.float64)
    fit = fit_linear(build_design(cells, Terms("is_treated", "la_id", ("period",), (), names)))
    placebo = event_by_order(panel, _orders(panel, permutations, seed)[1:], steps, first, last)
    result = []
    for i, (step, name) in enumerate(zip(steps, names, strict=True)):
        if name not in fit.design.names:
            continue
        position = fit.design.names.index(name)
        effect = infer(
            float(fit.coefficients[position]),
            float(np.sqrt(fit.covariance.matrix[position, position])),
            fit.covariance.cluster_count,
            significance_level,
        )
        column = placebo[:, i]
        column = column[np.isfinite(column)]
        low, high = np.quantile(column, [0.025, 0.975]) if len(column) else (np.nan, np.nan)
        count = int((dummies[i] & seen).any(axis=1).sum())
        result.append(EventTime(step, effect.estimate, effect.ci_low, effect.ci_high, float(low), float(high), count))
    return result


def twfe_by_order(panel: LaPanel, orders: NDArray[np.int64]) -> NDArray[np.float64]:
    """The two-way fixed effects coefficient for every assignment; orders is (B, N), the result (B,)."""
    after, used = panel.is_after[orders], _used(panel, orders)
    treatment = _residual(np.where(used, after, 0.0), used)
    outcome = _residual(np.broadcast_to(np.nan_to_num(panel.outcome), used.shape), used)
    size = np.square(treatment).sum(axis=(1, 2))
    return _ratio((treatment * outcome).sum(axis=(1, 2)), size, 1e-9)


def imputation_by_order(panel: LaPanel, orders: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean effect on treated rows by imputation, for every assignment; orders is (B, N), the result (B,)."""
    return _imputed(panel.outcome, panel.is_after[orders], _used(panel, orders))


def _imputed(outcome: Panel, after: Mask, used: Mask) -> NDArray[np.float64]:
    untreated = used & ~after
    base = untreated.any(axis=2, keepdims=True) & untreated.any(axis=1, keepdims=True)
    gap = _residual(np.broadcast_to(np.nan_to_num(outcome), used.shape), untreated, used)
    counted = used & after & base
    total = counted.sum(axis=(1, 2))
    return _ratio(np.where(counted, gap, 0.0).sum(axis=(1, 2)), total.astype(np.float64), 0.0)


def _jackknife(panel: LaPanel) -> float:
    """Standard error of the imputed effect, every LA left out once (Cameron and Miller 2015, section VI.B)."""
    count = len(panel.la_ids)
    used = _used(panel, np.arange(count)[None])[0]
    without = used[None] & ~np.eye(count, dtype=np.bool_)[:, :, None]
    estimates = _imputed(panel.outcome, np.broadcast_to(panel.is_after, without.shape), without)
    if count < 2 or not np.isfinite(estimates).all():
        return float("nan")
    return float(np.sqrt((count - 1) / count * np.square(estimates - estimates.mean()).sum()))


def event_by_order(
    panel: LaPanel, orders: NDArray[np.int64], steps: Sequence[int], first: int, last: int
) -> NDArray[np.float64]:
    """Coefficients (B, steps) of the event study for every assignment; NaN where one is not identified."""
    seen = np.broadcast_to(np.isfinite(panel.outcome), (len(orders), *panel.outcome.shape))
    outcome = _residual(np.broadcast_to(np.nan_to_num(panel.outcome), seen.shape), seen)
    columns = np.stack(
        [_residual(np.where(seen, d[orders], 0.0), seen) for d in _dummies(panel.relative, steps, first, last)], axis=1
    )
    flat = columns.reshape(*columns.shape[:2], -1)
    gram = flat @ flat.transpose(0, 2, 1)
    right = (flat @ outcome.reshape(len(orders), -1, 1))[..., 0]
    result = np.einsum("bkj,bj->bk", np.linalg.pinv(gram, rcond=1e-9, hermitian=True), right)
    return np.where(np.einsum("bkk->bk", gram) > 1e-9, result, np.nan)


def _dummies(relative: Panel, steps: Sequence[int], first: int, last: int) -> Mask:
    binned = np.clip(relative, first, last)
    return np.stack([np.isfinite(relative) & (binned == step) for step in steps])


def _used(panel: LaPanel, orders: NDArray[np.int64]) -> Mask:
    """Rows of an estimate (B, N, T): a figure is known and the period does not hold a go-live day."""
    return np.asarray(np.isfinite(panel.outcome)[None] & ~panel.is_during[orders], dtype=np.bool_)


def _residual(values: Panel, fit_on: Mask, return_on: Mask | None = None) -> Panel:
    """Values less LA and period effects, the effects fitted to the rows of ``fit_on``; 0 outside ``return_on``.

    values, fit_on: (B, N, T). The period effects of each assignment solve T equations once the LA means are out.
    """
    use = fit_on.astype(np.float64)
    count = use.sum(axis=2)
    share = use / np.where(count > 0, count, 1.0)[..., None]
    means = (values * share).sum(axis=2)
    left = np.eye(use.shape[2]) * use.sum(axis=1)[:, None, :] - use.transpose(0, 2, 1) @ share
    right = (use * (values - means[..., None])).sum(axis=1)
    # One period effect is free: the generalised inverse picks one of the equal solutions.
    period = np.einsum("bts,bs->bt", np.linalg.pinv(left, rcond=1e-9, hermitian=True), right)
    la = ((values - period[:, None, :]) * share).sum(axis=2)
    rest = values - period[:, None, :] - la[..., None]
    return np.where(fit_on if return_on is None else return_on, rest, 0.0)


def _ratio(top: NDArray[np.float64], base: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """top / base; NaN where the base is not above ``least``."""
    return np.asarray(np.divide(top, base, out=np.full(len(base), np.nan), where=base > least), dtype=np.float64)


def _orders(panel: LaPanel, permutations: int, seed: int) -> NDArray[np.int64]:
    """(permutations + 1, N): the actual assignment first, then patterns dealt to LAs by lot."""
    generator = np.random.default_rng(seed)
    count = len(panel.la_ids)
    drawn = [generator.permutation(count) for _ in range(permutations)]
    return np.array([np.arange(count), *drawn], dtype=np.int64)


def _share(statistics: NDArray[np.float64]) -> float:
    """Share of assignments at least as far from zero as the actual one, which counts as one of them."""
    known = statistics[np.isfinite(statistics)]
    if not np.isfinite(statistics[0]):
        return float("nan")
    return float((np.abs(known) >= abs(statistics[0]) * (1 - 1e-12)).mean())


def _cells(panel: LaPanel, with_transition: bool = False) -> pd.DataFrame:
    keep = np.isfinite(panel.outcome) & (with_transition | ~panel.is_during)
    row, column = np.nonzero(keep)
    return pd.DataFrame(
        {
            "la_id": np.array(panel.la_ids, dtype=object)[row],
            "period": np.array(panel.periods)[column].astype(str),
            "is_treated": panel.is_after[row, column].astype(np.float64),
            CELL_COUNT: 1,
            CELL_WEIGHT: 1.0,
            CELL_OUTCOME: panel.outcome[row, column],
        }
    )
