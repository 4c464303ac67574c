"""Benefit-cost ratio and net present social value, and what they hang on (FV.CBA.1, FV.CBA.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfpc.cost_benefit.care import Durations
from sfpc.cost_benefit.prices import DiscountSchedule, PriceIndex
from sfpc.cost_benefit.survey import PREREQUISITE, RECURRING, CostLine
from sfpc.errors import SfpcError

AS_PRINTED, NEW_COHORTS, ONE_COHORT = "as_printed", "new_cohorts", "one_cohort"
READINGS = (AS_PRINTED, NEW_COHORTS, ONE_COHORT)
READING_WORDS = {
    AS_PRINTED: "the protocol prints it: one cohort every year, and one year of care for each child that stays out",
    NEW_COHORTS: "a new cohort every year, each child out of care for as long as care lasts",
    ONE_COHORT: "one cohort, followed for as long as care lasts",
}
AS_REPORTED, CARRIED_ON, FIRST_YEAR = "as reported", "recurring costs carried on", "start-up and one year's running"
# What the costs must cover so that they are those of the benefit beside them.
COST_RULES = {AS_PRINTED: AS_REPORTED, NEW_COHORTS: CARRIED_ON, ONE_COHORT: FIRST_YEAR}
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class EffectEstimate:
    """The effect on the share of children looked after, as proportions (negative: fewer children).

    low, high: interval at the level; NaN or infinite where it has none. source: where it comes from.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    source: str


@dataclass(frozen=True)
class Value:
    """Present values in pounds of the base year; NaN wherever `reason` says why nothing is stated.

    Never a number without meaning: a ratio is NaN exactly where there is a reason.
    """

    benefit: float
    cost: float
    net: float
    ratio: float
    reason: str

    def __post_init__(self) -> None:
        if math.isfinite(self.ratio) == bool(self.reason):
            raise ValueError(f"a ratio of {self.ratio} with the reason '{self.reason}'")


@dataclass(frozen=True)
class Case:
    """One LA, or the mean of several, ready to be valued.

    Attributes
    ----------
    effect: on the share looked after. children_per_year: mean number in the sample per year and LA.
    unit_cost: of a year in care, pounds of the base year. durations: of care.
    cost: present value by cost rule, pounds of the base year; NaN where no cost is known.
    why_no_cost: why, where it is NaN.
    discount, last_year: of the appraisal.
    """

    effect: EffectEstimate
    children_per_year: float
    unit_cost: float
    durations: Durations
    cost: dict[str, float]
    why_no_cost: str
    discount: DiscountSchedule
    last_year: int


def care_years(
    reading: str, durations: Durations, last_year: int, stretch: float | NDArray[np.float64] = 1.0
) -> NDArray[np.float64]:
    """(..., last_year + 1): years of care avoided in each year per child and year that stays out of care.

    As printed: 1 in every year. New cohorts: the cohorts so far, each as long as care lasts. One cohort: the first
    alone. As printed is thus a new cohort every year with one year in care, or one cohort that would stay in care
    throughout; the two readings of the wording (FV.CBA.1) differ wherever care lasts otherwise.
    """
    if reading == AS_PRINTED:
        return np.ones((*np.shape(stretch), last_year + 1))
    own = durations.years_in_care(last_year, stretch)
    if reading == NEW_COHORTS:
        return np.asarray(np.cumsum(own, axis=-1), dtype=np.float64)
    if reading == ONE_COHORT:
        return own
    raise ValueError(f"reading '{reading}'; known are {', '.join(READINGS)}")


def present_benefit(
    effect: float, children_per_year: float, unit_cost: float, care: NDArray[np.float64], factors: NDArray[np.float64]
) -> float:
    """Sum over years of -effect x children x years of care x pounds per year x discount factor, in pounds.

    -0.01, 5,200 children and 50,000 pounds, as printed over years 0 to 5 at 3.5 per cent: 14.339 million (B37).
    """
    return float(-effect * children_per_year * unit_cost * (care * factors).sum())


def value(case: Case, reading: str, level: float | None = None) -> Value:
    """Value a case under a reading.

    level: with it the benefit is only stated where the effect is significant at this level, as the protocol has it;
    without it, always.
    """
    nan = math.nan
    cost = case.cost[COST_RULES[reading]]
    effect = case.effect
    if not math.isfinite(effect.estimate):
        return Value(nan, cost, nan, nan, "no effect was estimated")
    if level is not None and not math.isfinite(effect.p_value):
        return Value(nan, cost, nan, nan, "not monetised: the significance of the effect is not known (FV.CBA.1)")
    if level is not None and effect.p_value >= level:
        said = f"not monetised: the effect is not significant (p = {effect.p_value:.4f}, level {level:g}; FV.CBA.1)"
        return Value(nan, cost, nan, nan, said)
    care = care_years(reading, case.durations, case.last_year)
    benefit = present_benefit(
        effect.estimate, case.children_per_year, case.unit_cost, care, case.discount.factors(case.last_year)
    )
    if not math.isfinite(cost):
        return Value(benefit, nan, nan, nan, f"ratio and net value undefined: {case.why_no_cost}")
    if cost <= 0:
        return Value(benefit, cost, benefit - cost, nan, "ratio undefined: the counted costs come to nothing")
    return Value(benefit, cost, benefit - cost, benefit / cost, "")


def mean_case(cases: Sequence[Case]) -> Case:
    """The mean over LAs: children and costs averaged, the unit cost weighted by the children.

    The benefit of the mean is then the mean of the benefits. Cases share effect, durations and appraisal.

    Raises ValueError where there is none.
    """
    if not cases:
        raise ValueError("no LA to average over")
    children = np.array([case.children_per_year for case in cases])
    total = float(children.sum())
    unit = float((children * [case.unit_cost for case in cases]).sum() / total) if total else cases[0].unit_cost
    costs = {rule: float(np.mean([case.cost[rule] for case in cases])) for rule in cases[0].cost}
    reason = next((case.why_no_cost for case in cases if case.why_no_cost), "")
    return replace(cases[0], children_per_year=float(children.mean()), unit_cost=unit, cost=costs, why_no_cost=reason)


# --- Costs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CountedLine:
    """A line of the survey in the appraisal.

    reported: pounds as the LA wrote them. counted: pounds of the base year, undiscounted, after overlap and life; 0
    where excluded. present: discounted. year_of_appraisal: 0 is the year of go-live. excluded: why it does not count.
    """

    line: CostLine
    year_of_appraisal: int
    counted: float
    present: float
    excluded: str


def count_lines(
    lines: Sequence[CostLine],
    first_year: int,
    prices: PriceIndex,
    base_year: int,
    discount: DiscountSchedule,
    last_year: int,
) -> list[CountedLine]:
    """Put every line of an LA into prices of the base year and discount it to the year of go-live.

    Prerequisites do not count, nor do lines after the appraisal. Of a line counts the share of its use that is the
    programme's, and of its life the share that lies in the appraisal. Spending before go-live counts, compounded.

    first_year: financial year (in which it ends) that holds the go-live day: year 0.

    Raises SfpcError where a price year has no index, naming the row.
    """
    counted = []
    for line in lines:
        year = line.year - first_year
        excluded = ""
        if line.phase == PREREQUISITE:
            excluded = "prerequisite"
        elif year > last_year:
            excluded = f"after year {last_year} of the appraisal"
        amount = 0.0
        if not excluded:
            try:
                amount = prices.deflate(line.amount, line.price_year, base_year)
            except SfpcError as error:
                raise SfpcError(f"cost survey, row {line.row}, column price_year: {error}") from error
            amount *= (1 - line.overlap_share) * min(1.0, (last_year - year + 1) / line.life_years)
        counted.append(CountedLine(line, year, amount, amount * discount.factor(year), excluded))
    return counted


def cost_by_rule(counted: Sequence[CountedLine], discount: DiscountSchedule, last_year: int) -> dict[str, float]:
    """Present value of an LA's costs under each cost rule, in pounds of the base year; NaN without a counted line.

    As reported: what stands in the survey. Carried on: the recurring costs of the last year that has any go on to the
    end of the appraisal, since a programme that takes new cohorts must be run for them. One year: start-up, and those
    recurring costs once, in year 0, since that is what one cohort needs.
    """
    used = [row for row in counted if not row.excluded]
    if not used:
        return dict.fromkeys((AS_REPORTED, CARRIED_ON, FIRST_YEAR), math.nan)
    recurring = [row for row in used if row.line.phase == RECURRING]
    once = sum(row.present for row in used if row.line.phase != RECURRING)
    reported = sum(row.present for row in used)
    latest = max((row.year_of_appraisal for row in recurring), default=last_year)
    yearly = sum(row.counted for row in recurring if row.year_of_appraisal == latest)
    onwards = sum(yearly * discount.factor(year) for year in range(latest + 1, last_year + 1))
    return {AS_REPORTED: reported, CARRIED_ON: reported + onwards, FIRST_YEAR: once + yearly}


# --- What it hangs on ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """Lowest and highest value tried of each parameter; factors are multiples of the central value."""

    unit_cost: tuple[float, float]
    duration: tuple[float, float]
    programme_cost: tuple[float, float]
    discount_rate: tuple[float, float]


@dataclass(frozen=True)
class Switching:
    """The value of one parameter at which the net value is 0, all else as it is; NaN exactly where a reason stands."""

    parameter: str
    unit: str
    central: float
    switching: float
    reason: str


@dataclass(frozen=True)
class Swing:
    """Net value and ratio with one parameter low and high, all else as it is; NaN where a ratio is undefined."""

    parameter: str
    low: float
    high: float
    net_low: float
    net_high: float
    ratio_low: float
    ratio_high: float

    @property
    def width(self) -> float:
        """By how much the net value moves."""
        return abs(self.net_high - self.net_low)


@dataclass(frozen=True)
class Drawn:
    """Net value and ratio over draws of effect, unit cost and duration; NaN exactly where there is a reason."""

    draws: int
    seed: int
    net_mean: float
    net_low: float
    net_median: float
    net_high: float
    ratio_low: float
    ratio_median: float
    ratio_high: float
    share_positive: float
    reason: str


def switching_values(case: Case, reading: str) -> list[Switching]:
    """At what effect, unit cost, programme cost, number of children and duration the programme just pays.

    The net value is linear in all but the duration, which is found by bisection.
    """
    cost = case.cost[COST_RULES[reading]]
    effect = case.effect.estimate
    factors = case.discount.factors(case.last_year)
    care = float((care_years(reading, case.durations, case.last_year) * factors).sum())
    per_point = case.children_per_year * case.unit_cost * care
    gain = -effect * per_point if math.isfinite(effect) else math.nan
    nan = math.nan
    why = ""
    if not math.isfinite(cost):
        why = case.why_no_cost
    elif cost <= 0:
        why = "the counted costs come to nothing"
    no_gain = why or ("no effect was estimated" if not math.isfinite(gain) else "")
    if not no_gain and gain <= 0:
        no_gain = "the estimate is no reduction: no value of this makes it pay"
    nothing = why or ("" if per_point > 0 else "there is no care to save")
    found = [
        Switching(
            "effect", "percentage points", 100 * effect, *((nan, nothing) if nothing else (-100 * cost / per_point, ""))
        )
    ]
    for parameter, unit, central in (
        ("unit cost", "pounds a year in care", case.unit_cost),
        ("children", "children a year and LA", case.children_per_year),
    ):
        found.append(Switching(parameter, unit, central, *((nan, no_gain) if no_gain else (central * cost / gain, ""))))
    found.append(
        Switching("programme cost", "pounds, present value", cost, *((nan, no_gain) if no_gain else (gain, "")))
    )
    if reading == AS_PRINTED:
        found.append(Switching("duration of care", "multiple", 1.0, nan, "the formula as printed has no duration"))
    elif no_gain:
        found.append(Switching("duration of care", "multiple", 1.0, nan, no_gain))
    else:
        found.append(
            _switching_duration(case, reading, cost, -effect * case.children_per_year * case.unit_cost, factors)
        )
    return found


def _switching_duration(
    case: Case, reading: str, cost: float, per_year: float, factors: NDArray[np.float64]
) -> Switching:
    def gain(stretch: float) -> float:
        return per_year * float((care_years(reading, case.durations, case.last_year, stretch) * factors).sum())

    low, high = 1e-6, 1.0
    while gain(high) < cost:
        low, high = high, 2 * high
        if high > 1e4:
            return Switching(
                "duration of care", "multiple", 1.0, math.nan, "not even care throughout the appraisal would pay"
            )
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if gain(middle) >= cost else (middle, high)
    return Switching("duration of care", "multiple", 1.0, (low + high) / 2, "")


def tornado(case: Case, reading: str, tried: Range, recost: dict[float, dict[str, float]]) -> list[Swing]:
    """One parameter after the other at its lowest and highest value, widest swing of the net value first.

    The effect goes from end to end of its interval; without a finite one it is left out. recost: cost by rule at each
    discount rate tried (costs are discounted as well).
    """
    rule = COST_RULES[reading]
    swings = []

    def swing(
        parameter: str, low: float, high: float, ends: Sequence[Case], stretch: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        nets, ratios = [], []
        for changed, factor in zip(ends, stretch, strict=True):
            care = care_years(reading, changed.durations, changed.last_year, factor)
            factors = changed.discount.factors(changed.last_year)
            gain = present_benefit(changed.effect.estimate, changed.children_per_year, changed.unit_cost, care, factors)
            cost = changed.cost[rule]
            nets.append(gain - cost)
            ratios.append(gain / cost if cost > 0 else math.nan)
        swings.append(Swing(parameter, low, high, nets[0], nets[1], ratios[0], ratios[1]))

    effect = case.effect
    if math.isfinite(effect.low) and math.isfinite(effect.high):
        ends = [replace(case, effect=replace(effect, estimate=end)) for end in (effect.low, effect.high)]
        swing("effect (percentage points)", 100 * effect.low, 100 * effect.high, ends)
    ends = [replace(case, unit_cost=case.unit_cost * factor) for factor in tried.unit_cost]
    swing("unit cost (pounds a year)", ends[0].unit_cost, ends[1].unit_cost, ends)
    ends = [replace(case, cost={rule: case.cost[rule] * factor}) for factor in tried.programme_cost]
    swing("programme cost (pounds)", ends[0].cost[rule], ends[1].cost[rule], ends)
    ends = [replace(case, discount=case.discount.at(rate), cost=recost[rate]) for rate in tried.discount_rate]
    swing("discount rate (per cent)", 100 * tried.discount_rate[0], 100 * tried.discount_rate[1], ends)
    if reading != AS_PRINTED:
        swing("duration of care (multiple)", *tried.duration, (case, case), tried.duration)
    return sorted(swings, key=lambda s: -s.width if math.isfinite(s.width) else 0.0)


def monte_carlo(case: Case, reading: str, tried: Range, draws: int, seed: int) -> Drawn:
    """Draw effect, unit cost and duration together, each on its own.

    The effect is normal on either side of the estimate, with the spread that its interval at 95 per cent has there;
    unit cost and duration are triangular between what is tried, with the central value on top.
    """
    cost = case.cost[COST_RULES[reading]]
    effect = case.effect
    reason = ""
    if not math.isfinite(effect.estimate):
        reason = "no effect was estimated"
    elif not (
        math.isfinite(effect.low) and math.isfinite(effect.high) and effect.low <= effect.estimate <= effect.high
    ):
        reason = "the effect has no interval to draw from"
    elif not math.isfinite(cost):
        reason = case.why_no_cost
    elif cost <= 0:
        reason = "the counted costs come to nothing"
    nan = math.nan
    if reason:
        return Drawn(draws, seed, nan, nan, nan, nan, nan, nan, nan, nan, reason)
    generator = np.random.default_rng(seed)
    z = generator.standard_normal(draws)
    spread = np.where(z < 0, effect.estimate - effect.low, effect.high - effect.estimate) / _NORMAL_95
    unit = case.unit_cost * _triangular(generator.random(draws), tried.unit_cost)
    stretch = _triangular(generator.random(draws), tried.duration)
    care = care_years(reading, case.durations, case.last_year, stretch)
    years = care @ case.discount.factors(case.last_year)
    gain = -(effect.estimate + z * spread) * case.children_per_year * unit * years
    net, ratio = gain - cost, gain / cost
    net_low, net_median, net_high = np.quantile(net, [0.025, 0.5, 0.975])
    ratio_low, ratio_median, ratio_high = np.quantile(ratio, [0.025, 0.5, 0.975])
    return Drawn(
        draws, seed, float(net.mean()), float(net_low), float(net_median), float(net_high),
        float(ratio_low), float(ratio_median), float(ratio_high), float((net > 0).mean()), "",
    )  # fmt: skip


def _triangular(uniform: NDArray[np.float64], ends: tuple[float, float]) -> NDArray[np.float64]:
    """Quantiles of a triangular distribution with its top at 1."""
    low, high = ends
    if not low <= 1 <= high:
        raise ValueError(f"{low} to {high} does not hold the central value 1")
    if low == high:
        return np.ones_like(uniform)
    return np.asarray(stats.triang.ppf(uniform, (1 - low) / (high - low), loc=low, scale=high - low), dtype=np.float64)
