"""How far trends may part before the conclusion changes: bounds of Rambachan and Roth (FV.SENS.6).

From the coefficients of an event study and their covariance. Two restrictions on how the difference in trends goes on
after go-live: relative magnitudes (from quarter to quarter at most M times the largest step before go-live) and
smoothness (its slope changes by at most M a quarter). Identified sets and the smoothness interval come from the library
diff-diff; the interval under relative magnitudes is the hybrid test of the paper, which the library does not offer.
Page: docs/methods/parallel_trend_bounds.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import diff_diff
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

from sfpc.estimation.event_study import REFERENCE_PERIOD, EventStudy
from sfpc.estimation.result import Result

Array = NDArray[np.float64]

RELATIVE, SMOOTH = "relative magnitudes", "smoothness"
RELATIVE_LIMITS = (0.0, 0.5, 1.0, 1.5, 2.0)
# Smoothness limits without a choice: these shares of the effect's standard error, in units of the outcome per quarter.
SMOOTH_SHARES = (0.0, 0.25, 0.5, 1.0)
# The first step of the hybrid test takes this share of its level (Rambachan and Roth 2023, section 3.2.2).
FIRST_STEP_SHARE = 0.1
SIMULATIONS = 20_000
# Ends of the interval: grid points, then halving; wider by doubling this often.
GRID, HALVINGS, DOUBLINGS = 1_001, 40, 12
# Breakdown values are searched up to here and to this precision, for smoothness in standard errors of the effect:
# a smoothness interval is an optimisation that takes half a second.
LARGEST_LIMIT, PRECISION = 20.0, 0.01


@dataclass(frozen=True)
class Bound:
    """What remains of the effect under one restriction, in units of the outcome.

    Attributes
    ----------
    restriction, limit: which, and its M (smoothness: units of the outcome per quarter).
    set_low, set_high: effects that the point estimates allow; NaN where they contradict the restriction.
    ci_low, ci_high: interval that also allows for sampling error.
    """

    restriction: str
    limit: float
    set_low: float
    set_high: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class TrendBounds(Result):
    """Sensitivity of one effect to trends that are not parallel.

    Attributes
    ----------
    target: what the effect is.
    estimate, standard_error: of it if trends are parallel.
    bounds: a row per restriction and limit.
    breakdown: per restriction the largest limit at which the interval leaves out 0: 0 if it never does, infinite if it
        does up to `LARGEST_LIMIT` (smoothness: times the error), NaN if there are no bounds.
    notes: sentences for the analyst.
    """

    target: str
    estimate: float
    standard_error: float
    bounds: tuple[Bound, ...]
    breakdown: dict[str, float]
    notes: tuple[str, ...]

    def tidy(self) -> pd.DataFrame:
        """A row per restriction and limit."""
        columns = ["restriction", "limit", "set_low", "set_high", "ci_low", "ci_high"]
        rows = [[getattr(bound, name) for name in columns] for bound in self.bounds]
        return pd.DataFrame(rows, columns=columns)


def bounds_of(
    study: EventStudy,
    level: float,
    relative_limits: Sequence[float] = RELATIVE_LIMITS,
    smooth_limits: Sequence[float] | None = None,
) -> TrendBounds:
    """Bounds of the mean effect over the quarters from go-live on.

    An open-ended quarter is not a quarter after another, so it is left out; so is what lies beyond a quarter without a
    coefficient. The covariance is CR3 with G - 1 degrees of freedom (`trend_bounds`), CR1 where CR3 is not defined.
    """
    open_ended = {one.period for one in study.periods if one.is_open_ended}
    usable = [k for k in study.identified if k not in open_ended]
    leads = _run([REFERENCE_PERIOD, *sorted((k for k in usable if k < REFERENCE_PERIOD), reverse=True)], -1)[1:]
    lags = _run([REFERENCE_PERIOD, *sorted(k for k in usable if k > REFERENCE_PERIOD)], 1)[1:]
    if not leads or not lags:
        nan = float("nan")
        which = "before" if not leads else "after"
        why = f"no bounds: no quarter {which} go-live that follows on the reference without a gap"
        return TrendBounds("", nan, nan, (), {RELATIVE: nan}, (why,))
    chosen = [study.identified.index(k) for k in (*reversed(leads), *lags)]
    is_cr3 = bool(np.isfinite(study.covariance_cr3).all())
    covariance = study.covariance_cr3 if is_cr3 else study.covariance
    said = "covariance: CR3 (jackknife over LAs)" if is_cr3 else "covariance: CR1, since some LA cannot be left out"
    found = trend_bounds(
        study.coefficients[chosen],
        covariance[np.ix_(chosen, chosen)],
        len(leads),
        level,
        relative_limits,
        smooth_limits,
        freedom=float(study.cluster_count - 1),
    )
    target = f"mean effect over quarters 0 to {lags[-1]} since go-live; leads {leads[-1]} to {leads[0]}"
    notes = (said, *found.notes)
    return TrendBounds(target, found.estimate, found.standard_error, found.bounds, found.breakdown, notes)


def trend_bounds(
    coefficients: Array,
    covariance: Array,
    lead_count: int,
    level: float,
    relative_limits: Sequence[float] = RELATIVE_LIMITS,
    smooth_limits: Sequence[float] | None = None,
    target: Array | None = None,
    freedom: float | None = None,
) -> TrendBounds:
    """Bounds from coefficients (J,) of consecutive periods, the reference between leads and lags left out.

    Parameters
    ----------
    covariance: (J, J).
    lead_count: leads, which come first; at least one, and at least one lag.
    level: significance level.
    smooth_limits: None for `SMOOTH_SHARES` of the error; each takes half a second, () leaves smoothness out.
    target: (J - lead_count,), weights of the lags; their mean without it.
    freedom: where given, the covariance is inflated so that with parallel trends the interval is that with Student's
        t: the methods themselves are for many clusters.

    Source: Rambachan and Roth (2023) Review of Economic Studies 90:2555, sections 2.4, 3 and 4.1.
    """
    lags = len(coefficients) - lead_count
    if lead_count < 1 or lags < 1:
        raise ValueError(f"{lead_count} leads and {lags} lags: expected at least one of each")
    weights = np.full(lags, 1.0 / lags) if target is None else np.asarray(target, dtype=np.float64)
    notes: list[str] = []
    if freedom is not None:
        reach = float(stats.t.ppf(1 - level / 2, freedom) / stats.norm.ppf(1 - level / 2))
        covariance = covariance * reach**2
        notes.append(f"intervals widened by {reach:.2f} for {freedom:g} degrees of freedom")
    estimate = float(weights @ coefficients[lead_count:])
    error = float(np.sqrt(weights @ covariance[lead_count:, lead_count:] @ weights))
    nan = float("nan")
    if not (np.isfinite(covariance).all() and error > 0):
        why = "no bounds: the covariance of the event study is not defined"
        return TrendBounds("", estimate, nan, (), {RELATIVE: nan}, (why,))
    if np.linalg.eigvalsh(covariance)[0] < 1e-10 * np.trace(covariance):
        notes.append("fewer LAs carry information than there are quarters: the covariance is singular")
    relative = _Relative(coefficients, covariance, lead_count, weights, level)
    container = _container(coefficients, covariance, lead_count)

    def library(method: str, limit: float) -> diff_diff.HonestDiDResults:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return diff_diff.HonestDiD(method=method, alpha=level, l_vec=weights).fit(container, M=limit)

    bounds = []
    for limit in relative_limits:
        found, (low, high) = library("relative_magnitude", limit), relative.interval(limit)
        bounds.append(Bound(RELATIVE, limit, float(found.lb), float(found.ub), low, high))
    shares = [share * error for share in SMOOTH_SHARES]
    for limit in shares if smooth_limits is None else smooth_limits:
        found = library("smoothness", limit)
        bounds.append(Bound(SMOOTH, limit, float(found.lb), float(found.ub), float(found.ci_lb), float(found.ci_ub)))

    def smooth_holds_zero(limit: float) -> bool:
        found = library("smoothness", limit)
        return not (found.ci_lb > 0 or found.ci_ub < 0)

    known = {
        bound.limit: not (bound.ci_low > 0 or bound.ci_high < 0) for bound in bounds if bound.restriction == SMOOTH
    }
    breakdown = {RELATIVE: _breakdown(lambda limit: relative.accepts(0.0, limit), {}, 1.0)}
    if known:
        breakdown[SMOOTH] = _breakdown(smooth_holds_zero, known, error)
    unwidened = error / (1.0 if freedom is None else reach)
    return TrendBounds("", estimate, unwidened, tuple(bounds), breakdown, tuple(notes))


def _run(steps: list[int], direction: int) -> list[int]:
    """The steps up to the first gap."""
    kept = steps[:1]
    for step in steps[1:]:
        if step != kept[-1] + direction:
            break
        kept.append(step)
    return kept


def _breakdown(holds_zero: Callable[[float], bool], known: dict[float, bool], unit: float) -> float:
    """The largest limit, in its own unit, at which 0 is left out; `known` saves asking again."""
    if known[0.0] if 0.0 in known else holds_zero(0.0):
        return 0.0
    inside = max([limit for limit, holds in known.items() if not holds], default=0.0)
    later = [limit for limit, holds in known.items() if holds and limit > inside]
    outside = min(later) if later else max(2 * inside, unit)
    while not later and not holds_zero(outside):
        if outside >= LARGEST_LIMIT * unit:
            return float("inf")
        inside, outside = outside, 2 * outside
    while outside - inside > PRECISION * unit:
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if holds_zero(middle) else (middle, outside)
    return inside


class _Relative:
    """The hybrid test of an effect under relative magnitudes.

    The restriction is a union over which step s before go-live is the largest, and its sign. Given those, with d_t the
    difference in trends at lag t, every step obeys |d_t - d_(t-1)| <= M b with b the step s. The effect fixes one
    combination of the lags; the others are free, and eliminating them leaves few inequalities, the rays of the dual
    problem: the effect's distance from the estimate is at most M b times the sum of |c_t|, from above and from below
    (c_t the weight of lags t and later), and b is not negative. Each is in units of the standard errors of the steps.
    """

    def __init__(self, coefficients: Array, covariance: Array, lead_count: int, weights: Array, level: float) -> None:
        self._coefficients, self._covariance, self._level = coefficients, covariance, level
        lags = len(weights)
        size = len(coefficients)
        # Steps before go-live, the last one into the reference; steps after it, the first one out of the reference.
        self._before = np.zeros((lead_count, size))
        for step in range(lead_count):
            self._before[step, step] = -1.0
            if step + 1 < lead_count:
                self._before[step, step + 1] = 1.0
        self._after = np.zeros((lags, size))
        for lag in range(lags):
            self._after[lag, lead_count + lag] = 1.0
            if lag:
                self._after[lag, lead_count + lag - 1] = -1.0
        self._reach = np.cumsum(weights[::-1])[::-1]
        self._target = np.concatenate([np.zeros(lead_count), weights])
        self._normal = np.random.default_rng(0).standard_normal((SIMULATIONS, lags + 2))

    def _tests(self, limit: float) -> list[_Moments]:
        found = []
        for step in self._before:
            for sign in (1.0, -1.0):
                largest = limit * sign * step
                error = [np.sqrt(_quadratic(s * self._after - largest, self._covariance)) for s in (1.0, -1.0)]
                up = self._reach >= 0
                size = np.abs(self._reach)
                above = float(size @ np.where(up, error[0], error[1]))
                below = float(size @ np.where(up, error[1], error[0]))
                rows = [(self._target - size.sum() * largest) / above, (-self._target - size.sum() * largest) / below]
                slopes = [-1.0 / above, 1.0 / below]
                is_alone = int(np.sum(size > 0)) == 1
                for lag in range(len(self._after)):
                    if not (is_alone and size[lag] > 0):
                        rows.append(-2 * largest / (error[0][lag] + error[1][lag]))
                        slopes.append(0.0)
                found.append(_Moments(np.array(rows), np.array(slopes), self))
        return found

    def accepts(self, effect: float, limit: float) -> bool:
        """Whether the effect is in the confidence set."""
        return any(bool(test.accepts(np.array([effect]))[0]) for test in self._tests(limit))

    def interval(self, limit: float) -> tuple[float, float]:
        """Lowest and highest effect in the confidence set; infinite where the search does not end."""
        centre = float(self._target @ self._coefficients)
        ends = [end for test in self._tests(limit) if (end := self._hull(test, centre, limit)) is not None]
        if not ends:
            return float("nan"), float("nan")
        return min(low for low, _ in ends), max(high for _, high in ends)

    def _hull(self, test: _Moments, centre: float, limit: float) -> tuple[float, float] | None:
        steps = np.abs(self._before @ self._coefficients) + 5 * np.sqrt(_quadratic(self._before, self._covariance))
        error = float(np.sqrt(self._target @ self._covariance @ self._target))
        half = 5 * error + limit * float(np.abs(self._reach).sum()) * float(steps.max())
        for _ in range(DOUBLINGS):
            grid = centre + np.linspace(-half, half, GRID)
            inside = test.accepts(grid)
            if not inside.any():
                return None
            if not (inside[0] or inside[-1]):
                first, last = int(np.argmax(inside)), GRID - 1 - int(np.argmax(inside[::-1]))
                return (
                    self._between(test, grid[first], grid[first - 1]),
                    self._between(test, grid[last], grid[last + 1]),
                )
            half *= 2
        return -float("inf"), float("inf")

    @staticmethod
    def _between(test: _Moments, inside: float, outside: float) -> float:
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            if bool(test.accepts(np.array([middle]))[0]):
                inside = middle
            else:
                outside = middle
        return float(inside)


class _Moments:
    """Test that R normalised moments, linear in coefficients and effect, have means of at most 0.

    Source: Andrews, Roth and Pakes (2023) Review of Economic Studies 90:2763 (conditional and hybrid tests).
    """

    def __init__(self, rows: Array, slopes: Array, parent: _Relative) -> None:
        self._level = parent._level
        self._value, self._slope = rows @ parent._coefficients, slopes
        self._covariance = rows @ parent._covariance @ rows.T
        values, vectors = np.linalg.eigh(self._covariance)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        draws = parent._normal[:, : len(rows)] @ root.T
        self._first = float(np.quantile(draws.max(axis=1), 1 - FIRST_STEP_SHARE * self._level))

    def accepts(self, effects: Array) -> NDArray[np.bool_]:
        """(T,), whether each effect is not rejected."""
        moments = self._value + effects[:, None] * self._slope
        binding = np.argmax(moments, axis=1)
        largest = moments[np.arange(len(effects)), binding]
        variance = np.diag(self._covariance)[binding]
        # A moment without sampling error rejects if it is above 0 and else says nothing.
        certain = variance <= 1e-14 * max(float(np.diag(self._covariance).max()), 1e-300)
        safe = np.where(certain, 1.0, variance)
        share = self._covariance[binding] / safe[:, None]
        rest = moments - share * largest[:, None]
        left = 1.0 - share
        with np.errstate(divide="ignore", invalid="ignore"):
            limits = rest / left
        # The binding moment stays the largest while the statistic lies between these.
        low = np.where(left > 1e-12, limits, -np.inf).max(axis=1)
        high = np.minimum(np.where(left < -1e-12, limits, np.inf).min(axis=1), self._first)
        deviation = np.sqrt(safe)
        level = (self._level - FIRST_STEP_SHARE * self._level) / (1 - FIRST_STEP_SHARE * self._level)
        lower, upper = stats.norm.sf(high / deviation), stats.norm.sf(low / deviation)
        critical = np.maximum(-ndtri(np.clip(lower + level * (upper - lower), 1e-300, 1.0)), 0.0)
        rejected = (largest > self._first) | (largest / deviation > critical)
        return np.asarray(np.where(certain, largest <= 0, ~rejected), dtype=np.bool_)


def _quadratic(rows: Array, covariance: Array) -> Array:
    return np.asarray(np.einsum("ri,ij,rj->r", rows, covariance, rows), dtype=np.float64)


def _container(coefficients: Array, covariance: Array, lead_count: int) -> diff_diff.MultiPeriodDiDResults:
    """The coefficients as diff-diff takes them: leads, then lags, the reference period between them."""
    nan = float("nan")
    labels = list(range(len(coefficients)))
    effects = {
        k: diff_diff.PeriodEffect(
            period=k,
            effect=float(coefficients[k]),
            se=float(np.sqrt(covariance[k, k])),
            t_stat=nan,
            p_value=nan,
            conf_int=(nan, nan),
        )
        for k in labels
    }
    return diff_diff.MultiPeriodDiDResults(
        period_effects=effects,
        avg_att=nan,
        avg_se=nan,
        avg_t_stat=nan,
        avg_p_value=nan,
        avg_conf_int=(nan, nan),
        n_obs=0,
        n_treated=0,
        n_control=0,
        pre_periods=labels[:lead_count],
        post_periods=labels[lead_count:],
        vcov=covariance,
        interaction_indices={k: k for k in labels},
    )


__all__ = ["RELATIVE", "SMOOTH", "Bound", "TrendBounds", "bounds_of", "trend_bounds"]
