"""Costs and benefits (FV.CBA.1, FV.CBA.2): the worked example, prices, care, the survey, what is undefined."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, SEEDS, TEST_SEED
from sfpc.cli import main
from sfpc.cost_benefit.appraisal import (
    AS_PRINTED,
    AS_REPORTED,
    CARRIED_ON,
    COST_RULES,
    FIRST_YEAR,
    NEW_COHORTS,
    ONE_COHORT,
    READINGS,
    Case,
    EffectEstimate,
    Range,
    Value,
    care_years,
    cost_by_rule,
    count_lines,
    mean_case,
    monte_carlo,
    present_benefit,
    switching_values,
    tornado,
    value,
)
from sfpc.cost_benefit.care import DAYS_PER_YEAR, care_durations, fixed_duration, weighted_cost
from sfpc.cost_benefit.prices import DiscountSchedule, PriceIndex, financial_year, year_label, year_of
from sfpc.cost_benefit.run import (
    ALL_LAS,
    ALWAYS,
    COST_BENEFIT_TABLES,
    GATED,
    CostBenefitResults,
    pounds,
    primary_effect,
    run_cost_benefit,
)
from sfpc.cost_benefit.section import cost_benefit_section
from sfpc.cost_benefit.survey import (
    COLUMNS,
    PHASES,
    PREREQUISITE,
    RECURRING,
    START_UP,
    CostLine,
    CostSurvey,
    CostSurveyError,
    check_survey,
    read_categories,
    read_la_codes,
    read_survey,
    write_survey,
    write_template,
)
from sfpc.errors import InputError, SfpcError
from sfpc.marts import open_marts
from sfpc.settings import Paths
from sfpc.synthetic.costs import synthetic_cost_survey

PROGRAMME, PRIMARY = "family_valued", "became_looked_after"
GREEN_BOOK = DiscountSchedule([(0, 30, 0.035), (31, 75, 0.03), (76, 125, 0.025)], "Green Book 2022")
LAST = 5
EFFECT = EffectEstimate(-0.01, -0.016, -0.004, 0.01, "made up")
TRIED = Range((0.8, 1.2), (0.75, 1.25), (0.8, 1.2), (0.015, 0.05))


def a_case(**changed: object) -> Case:
    case = Case(
        effect=EFFECT,
        children_per_year=5_200.0,
        unit_cost=50_000.0,
        durations=fixed_duration(2.5),
        cost={AS_REPORTED: 2e6, CARRIED_ON: 3e6, FIRST_YEAR: 1e6},
        why_no_cost="",
        discount=GREEN_BOOK,
        last_year=LAST,
    )
    return replace(case, **changed)  # type: ignore[arg-type]


def a_line(**changed: object) -> CostLine:
    line = CostLine(2, "999", "training", START_UP, "actual", 2022, 1_000.0, 2022, 0.0, 1.0)
    return replace(line, **changed)  # type: ignore[arg-type]


def seed_rows(name: str) -> list[dict[str, str]]:
    with (SEEDS / "economics" / f"{name}.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


# --- The worked example -------------------------------------------------------------------------


def test_discount_factors_of_six_years() -> None:
    """B37: 3.5 per cent, years 0 to 5."""
    assert GREEN_BOOK.factors(LAST).sum() == pytest.approx(5.515052, abs=5e-7)
    assert GREEN_BOOK.factors(LAST)[0] == 1.0


def test_worked_example() -> None:
    """B37, methods A14: one point fewer of 5,200 children at £50,000 is £2.6 million a year, £14.339 million."""
    care = care_years(AS_PRINTED, fixed_duration(1), LAST)
    assert present_benefit(-0.01, 5_200, 50_000, care[:1], GREEN_BOOK.factors(0)) == pytest.approx(2.6e6)
    found = value(a_case(), AS_PRINTED)
    assert found.benefit == pytest.approx(14.339e6, abs=500)
    assert found.ratio == pytest.approx(14.339 / 2, abs=1e-3)
    assert found.net == pytest.approx(found.benefit - 2e6)


def test_rates_change_by_band_and_years_before_count_more() -> None:
    assert GREEN_BOOK.factor(31) == pytest.approx(1.035**-30 / 1.03)
    assert GREEN_BOOK.factor(76) == pytest.approx(1.035**-30 * 1.03**-45 / 1.025)
    assert GREEN_BOOK.factor(-2) == pytest.approx(1.035**2)
    with pytest.raises(SfpcError, match="no rate for year 126"):
        GREEN_BOOK.factor(126)
    assert GREEN_BOOK.at(0.0).factors(LAST).tolist() == [1.0] * 6


def test_discount_rates_of_the_seed_are_one_edition() -> None:
    rows = [row for row in seed_rows("discount_rates") if row["schedule"] == "standard"]
    assert [(int(r["year_from"]), int(r["year_to"]), float(r["rate"])) for r in rows] == list(GREEN_BOOK.bands)
    settings = {row["setting"]: row["value"] for row in seed_rows("economic_settings")}
    assert {row["edition"] for row in rows} == {settings["green_book_edition"]}


# --- The two readings ---------------------------------------------------------------------------


def test_as_printed_lies_where_both_readings_meet() -> None:
    """A new cohort every year with one year of care each, or one cohort in care throughout: the printed formula."""
    printed = care_years(AS_PRINTED, fixed_duration(1), LAST)
    assert care_years(NEW_COHORTS, fixed_duration(1), LAST) == pytest.approx(printed)
    assert care_years(ONE_COHORT, fixed_duration(LAST + 1), LAST) == pytest.approx(printed)


def test_readings_with_care_of_two_and_a_half_years() -> None:
    care = fixed_duration(2.5)
    assert care_years(ONE_COHORT, care, LAST) == pytest.approx([1, 1, 0.5, 0, 0, 0])
    assert care_years(NEW_COHORTS, care, LAST) == pytest.approx([1, 2, 2.5, 2.5, 2.5, 2.5])
    one, new = value(a_case(), ONE_COHORT), value(a_case(), NEW_COHORTS)
    factors = GREEN_BOOK.factors(LAST)
    assert one.benefit == pytest.approx(2.6e6 * (factors * [1, 1, 0.5, 0, 0, 0]).sum())
    assert new.benefit == pytest.approx(2.6e6 * (factors * [1, 2, 2.5, 2.5, 2.5, 2.5]).sum())
    assert (one.cost, new.cost) == (1e6, 3e6)
    with pytest.raises(ValueError, match="known are"):
        care_years("another", care, LAST)


def test_durations_by_hand() -> None:
    """Five periods of 100, 200, 200+, 300 and 400+ days: 4/5, then 3/4 of it, then half of that."""
    found = care_durations([100, 200, 200, 300, 400], [True, True, False, True, False])
    assert found.days.tolist() == [0, 100, 200, 300]
    assert found.survival == pytest.approx([1, 0.8, 0.6, 0.3])
    in_care = 100 + 100 * 0.8 + 100 * 0.6 + 65.25 * 0.3
    assert found.years_in_care(0) == pytest.approx([in_care / DAYS_PER_YEAR])
    later = found.years_in_care(LAST)
    assert later.sum() == pytest.approx((100 + 80 + 60 + 100 * 0.3) / DAYS_PER_YEAR)
    assert later[2:].tolist() == [0, 0, 0, 0]


def test_durations_stretch() -> None:
    care = care_durations([100, 200, 200, 300, 400], [True, True, False, True, False])
    stretched = care.years_in_care(LAST, np.array([1.0, 2.0]))
    assert stretched.shape == (2, LAST + 1)
    assert stretched[0] == pytest.approx(care.years_in_care(LAST))
    assert stretched[1].sum() == pytest.approx(2 * stretched[0].sum())
    assert care_durations([0, 0, 10], [True, True, True]).survival[0] == pytest.approx(1 / 3)
    with pytest.raises(SfpcError, match="no period of care"):
        care_durations([], [])


# --- Prices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "year"), [("2021/22", 2022), ("2021-22", 2022), ("2021/2022", 2022), ("2099/00", 2100)]
)
def test_financial_years(text: str, year: int) -> None:
    assert financial_year(text) == year


@pytest.mark.parametrize("text", ["2021", "2021/23", "21/22", "2021/2023", "", "2021/22 actual", "1999/00"])
def test_what_is_no_financial_year(text: str) -> None:
    with pytest.raises(ValueError, match="is no financial year"):
        financial_year(text)


def test_year_of_a_day() -> None:
    assert (year_of(date(2022, 3, 31)), year_of(date(2022, 4, 1))) == (2022, 2023)
    assert year_label(2022) == "2021/22" and year_label(2100) == "2099/00"


def test_deflators_of_financial_years_come_from_calendar_years() -> None:
    """Three quarters of one calendar year and one of the next, as the seed says of itself."""
    rows = seed_rows("gdp_deflators")
    calendar = {int(r["ending_year"]): float(r["index_2024_100"]) for r in rows if r["period_kind"] == "calendar_year"}
    derived = [r for r in rows if r["period_kind"] == "financial_year"]
    assert derived and all(r["is_derived"] == "true" and r["derivation"] for r in derived)
    for row in derived:
        year = int(row["ending_year"])
        expected = 0.75 * calendar[year - 1] + 0.25 * calendar[year]
        assert float(row["index_2024_100"]) == pytest.approx(expected, abs=6e-5), year


def test_deflation_goes_both_ways_and_stops_where_prices_are_not_known() -> None:
    prices = PriceIndex({2019: 79.6476, 2024: 97.188})
    assert prices.deflate(1_000, 2019, 2024) == pytest.approx(1_000 * 97.188 / 79.6476)
    assert prices.deflate(prices.deflate(1_000, 2019, 2024), 2024, 2019) == pytest.approx(1_000)
    with pytest.raises(SfpcError, match="no price index for 2024/25; dim_price_indices holds 2018/19 to 2023/24"):
        prices.deflate(1_000, 2025, 2024)


# --- The cost of care ---------------------------------------------------------------------------


def unit_cost_rows() -> pd.DataFrame:
    rows = [
        ("foster", 1, 2023, 30_000.0, True, "Fostering"),
        ("foster", 1, 2024, 36_000.0, True, "Fostering"),
        ("foster", 1, 2025, 39_000.0, True, "Fostering"),
        ("kinship_foster", 1, 2024, 26_000.0, False, "Kinship"),
        ("kinship_foster", 2, 2024, 36_000.0, True, "Fostering"),
        ("residential", 1, 2022, 200_000.0, True, "Residential"),
    ]
    columns = ["placement_group", "preference", "return_year", "amount_gbp_per_year", "is_verified", "item"]
    return pd.DataFrame(rows, columns=columns).assign(period="a year", reason="made up")


def test_cost_of_a_year_in_care_by_hand() -> None:
    mix = pd.DataFrame(
        [("foster", 600), ("foster", 100), ("kinship_foster", 200), ("residential", 100), ("adoption", 0)],
        columns=["placement_group", "care_day_count"],
    )
    prices = PriceIndex({2022: 80.0, 2023: 90.0, 2024: 100.0})
    found = weighted_cost(mix, unit_cost_rows(), prices, 2024)
    assert found.per_year == pytest.approx(0.7 * 36_000 + 0.2 * 36_000 + 0.1 * 200_000 * 100 / 80)
    assert found.groups["care_days_pct"].sum() == pytest.approx(100)
    assert found.groups["contribution_gbp"].sum() == pytest.approx(found.per_year)
    assert found.groups["is_verified"].all()
    with_unverified = weighted_cost(mix, unit_cost_rows(), prices, 2024, admits_unverified=True)
    assert found.per_year - with_unverified.per_year == pytest.approx(0.2 * 10_000)


def test_a_kind_of_placement_without_a_cost_is_not_left_out_silently() -> None:
    mix = pd.DataFrame([("foster", 90), ("adoption", 10)], columns=["placement_group", "care_day_count"])
    prices = PriceIndex({2024: 100.0})
    with pytest.raises(SfpcError, match=r"no verified cost .* 'adoption', which has 10.0 % of the days"):
        weighted_cost(mix, unit_cost_rows(), prices, 2024)
    with pytest.raises(SfpcError, match="no days of care"):
        weighted_cost(mix.iloc[:0], unit_cost_rows(), prices, 2024)


def test_every_kind_of_placement_has_a_verified_cost_for_the_base_year() -> None:
    settings = {row["setting"]: row["value"] for row in seed_rows("economic_settings")}
    assert settings["admits_unverified_costs"] == "false"
    verified = {
        row["unit_cost_id"]
        for row in seed_rows("unit_costs")
        if row["is_verified"] == "true" and row["return_year"] == settings["price_base_year"]
    }
    groups = {row["placement_group"] for row in seed_rows("placement_groups")} | {"not_known"}
    covered = {row["placement_group"] for row in seed_rows("placement_group_costs") if row["unit_cost_id"] in verified}
    assert groups == covered
    assert all(row["source"] and row["licence"] for row in seed_rows("unit_costs"))
    assert all(row["caveat"] for row in seed_rows("unit_costs") if row["is_verified"] == "false")


# --- Costs --------------------------------------------------------------------------------------

FLAT = PriceIndex(dict.fromkeys(range(2019, 2031), 100.0))


def test_what_of_a_line_counts() -> None:
    lines = [
        a_line(row=2, phase=PREREQUISITE),
        a_line(row=3, overlap_share=0.25),
        a_line(row=4, year=2026, price_year=2026, life_years=4.0),
        a_line(row=5, year=2028, price_year=2028),
        a_line(row=6, year=2021, price_year=2021),
        a_line(row=7, price_year=2021),
    ]
    prices = PriceIndex(dict(FLAT.levels) | {2021: 80.0})
    found = {r.line.row: r for r in count_lines(lines, 2022, prices, 2024, GREEN_BOOK, LAST)}
    assert (found[2].counted, found[2].excluded) == (0.0, "prerequisite")
    assert found[3].counted == pytest.approx(750)
    # Year 4: two of its four years lie in years 0 to 5.
    assert found[4].year_of_appraisal == 4 and found[4].counted == pytest.approx(500)
    assert found[4].present == pytest.approx(500 / 1.035**4)
    assert (found[5].counted, found[5].excluded) == (0.0, "after year 5 of the appraisal")
    assert found[6].year_of_appraisal == -1 and found[6].present == pytest.approx(1_250 * 1.035)
    assert found[7].counted == pytest.approx(1_250)
    with pytest.raises(SfpcError, match="cost survey, row 9, column price_year: no price index for 2049/50"):
        count_lines([a_line(row=9, price_year=2050)], 2022, FLAT, 2024, GREEN_BOOK, LAST)


def test_costs_by_rule() -> None:
    lines = [
        a_line(year=2021, price_year=2021, amount=500.0),
        a_line(phase=RECURRING, amount=100.0),
        a_line(phase=RECURRING, year=2023, price_year=2023, amount=120.0),
        a_line(phase=RECURRING, year=2023, price_year=2023, amount=30.0, category="other"),
        a_line(phase=PREREQUISITE, amount=9_999.0),
    ]
    rules = cost_by_rule(count_lines(lines, 2022, FLAT, 2024, GREEN_BOOK, LAST), GREEN_BOOK, LAST)
    reported = 500 * 1.035 + 100 + 150 / 1.035
    assert rules[AS_REPORTED] == pytest.approx(reported)
    assert rules[CARRIED_ON] == pytest.approx(reported + sum(150 / 1.035**k for k in range(2, 6)))
    assert rules[FIRST_YEAR] == pytest.approx(500 * 1.035 + 150)
    only = cost_by_rule(count_lines([a_line(phase=PREREQUISITE)], 2022, FLAT, 2024, GREEN_BOOK, LAST), GREEN_BOOK, LAST)
    assert all(math.isnan(cost) for cost in only.values())
    no_recurring = cost_by_rule(count_lines([a_line()], 2022, FLAT, 2024, GREEN_BOOK, LAST), GREEN_BOOK, LAST)
    assert set(no_recurring.values()) == {1_000.0}


def test_mean_of_las() -> None:
    """The benefit of the mean is the mean of the benefits."""
    cases = [
        a_case(),
        a_case(children_per_year=1_000.0, unit_cost=90_000.0, cost=dict.fromkeys(COST_RULES.values(), 1e6)),
    ]
    found = mean_case(cases)
    for reading in READINGS:
        values = [value(case, reading) for case in cases]
        assert value(found, reading).benefit == pytest.approx(np.mean([v.benefit for v in values]))
        assert value(found, reading).cost == pytest.approx(np.mean([v.cost for v in values]))
    with pytest.raises(ValueError, match="no LA"):
        mean_case([])


# --- The gate and what is undefined -------------------------------------------------------------


def test_significance_gate() -> None:
    """FV.CBA.1: only monetised if significant, shown both ways."""
    weak = a_case(effect=replace(EFFECT, p_value=0.2))
    gated, always = value(weak, AS_PRINTED, 0.05), value(weak, AS_PRINTED)
    assert math.isnan(gated.benefit) and math.isnan(gated.ratio) and math.isnan(gated.net)
    assert gated.cost == 2e6
    assert gated.reason == "not monetised: the effect is not significant (p = 0.2000, level 0.05; FV.CBA.1)"
    assert always.ratio == value(a_case(), AS_PRINTED).ratio and always.reason == ""
    assert value(a_case(), AS_PRINTED, 0.05) == value(a_case(), AS_PRINTED)
    at_the_level = value(a_case(effect=replace(EFFECT, p_value=0.05)), AS_PRINTED, 0.05)
    assert at_the_level.reason
    unknown = value(a_case(effect=replace(EFFECT, p_value=math.nan)), AS_PRINTED, 0.05)
    assert "significance of the effect is not known" in unknown.reason


NO_COST = dict.fromkeys(COST_RULES.values(), math.nan)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cost": dict.fromkeys(COST_RULES.values(), 0.0)}, "ratio undefined: the counted costs come to nothing"),
        (
            {"cost": NO_COST, "why_no_cost": "no cost was reported"},
            "ratio and net value undefined: no cost was reported",
        ),
        ({"effect": replace(EFFECT, estimate=math.nan)}, "no effect was estimated"),
    ],
)
@pytest.mark.parametrize("reading", READINGS)
def test_undefined_ratios_say_why(changed: dict[str, object], reason: str, reading: str) -> None:
    found = value(a_case(**changed), reading)
    assert math.isnan(found.ratio) and found.reason == reason


def test_costs_of_nothing_leave_the_net_value() -> None:
    found = value(a_case(cost=dict.fromkeys(COST_RULES.values(), 0.0)), AS_PRINTED)
    assert found.net == found.benefit > 0


def test_a_ratio_without_a_number_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        Value(1.0, 0.0, 1.0, math.nan, "")
    with pytest.raises(ValueError, match="reason"):
        Value(1.0, 1.0, 0.0, 1.0, "undefined")


def test_harm_is_a_negative_benefit() -> None:
    found = value(a_case(effect=replace(EFFECT, estimate=0.01)), AS_PRINTED)
    assert found.benefit == pytest.approx(-14.339e6, abs=500)
    assert found.ratio < 0 and found.net == pytest.approx(found.benefit - 2e6)


# --- What it hangs on ---------------------------------------------------------------------------


@pytest.mark.parametrize("reading", READINGS)
def test_at_its_switching_value_the_net_value_is_nothing(reading: str) -> None:
    case = a_case()
    found = {s.parameter: s for s in switching_values(case, reading)}
    assert len(found) == 5
    rule = COST_RULES[reading]
    changes: dict[str, Callable[[float], Case]] = {
        "effect": lambda v: replace(case, effect=replace(EFFECT, estimate=v / 100)),
        "unit cost": lambda v: replace(case, unit_cost=v),
        "children": lambda v: replace(case, children_per_year=v),
        "programme cost": lambda v: replace(case, cost={**case.cost, rule: v}),
    }
    for parameter, change in changes.items():
        assert found[parameter].reason == ""
        assert value(change(found[parameter].switching), reading).net == pytest.approx(0, abs=1e-3), parameter
    duration = found["duration of care"]
    if reading == AS_PRINTED:
        assert math.isnan(duration.switching) and "no duration" in duration.reason
    else:
        stretched = replace(case, durations=fixed_duration(2.5 * duration.switching))
        assert value(stretched, reading).net == pytest.approx(0, abs=1.0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cost": NO_COST, "why_no_cost": "no cost was reported"}, "no cost was reported"),
        ({"cost": dict.fromkeys(COST_RULES.values(), 0.0)}, "the counted costs come to nothing"),
        ({"effect": replace(EFFECT, estimate=0.01)}, "no reduction"),
        ({"effect": replace(EFFECT, estimate=math.nan)}, "no effect was estimated"),
        ({"children_per_year": 0.0}, "no"),
    ],
)
def test_switching_values_that_do_not_exist_say_why(changed: dict[str, object], reason: str) -> None:
    for reading in READINGS:
        for row in switching_values(a_case(**changed), reading):
            assert math.isnan(row.switching) == bool(row.reason), row
        parameters = {s.parameter: s for s in switching_values(a_case(**changed), reading)}
        assert reason in parameters["unit cost"].reason
    harm = {s.parameter: s for s in switching_values(a_case(effect=replace(EFFECT, estimate=0.01)), AS_PRINTED)}
    assert harm["effect"].switching == pytest.approx(-100 * 2e6 / (5_200 * 50_000 * 5.515052), rel=1e-6)


def test_care_can_be_too_short_to_pay_at_any_length() -> None:
    dear = a_case(cost=dict.fromkeys(COST_RULES.values(), 1e9))
    (row,) = (s for s in switching_values(dear, ONE_COHORT) if s.parameter == "duration of care")
    assert math.isnan(row.switching) and "throughout" in row.reason


@pytest.mark.parametrize("reading", READINGS)
def test_tornado(reading: str) -> None:
    case = a_case()
    recost = {0.015: {rule: 1.1 * c for rule, c in case.cost.items()}, 0.05: {r: 0.9 * c for r, c in case.cost.items()}}
    found = {s.parameter.split(" (")[0]: s for s in tornado(case, reading, TRIED, recost)}
    assert len(found) == (4 if reading == AS_PRINTED else 5)
    widths = [s.width for s in tornado(case, reading, TRIED, recost)]
    assert widths == sorted(widths, reverse=True)
    base, rule = value(case, reading), COST_RULES[reading]
    assert found["unit cost"].net_low == pytest.approx(0.8 * base.benefit - base.cost)
    assert found["unit cost"].ratio_high == pytest.approx(1.2 * base.ratio)
    assert found["effect"].net_low == pytest.approx(1.6 * base.benefit - base.cost)
    assert found["effect"].net_high == pytest.approx(0.4 * base.benefit - base.cost)
    assert found["programme cost"].net_high == pytest.approx(base.benefit - 1.2 * base.cost)
    care = care_years(reading, case.durations, LAST)
    by_hand = (care * GREEN_BOOK.at(0.05).factors(LAST)).sum() * 2.6e6 - 0.9 * case.cost[rule]
    assert found["discount rate"].net_high == pytest.approx(by_hand)


def test_tornado_without_an_interval_leaves_the_effect_out() -> None:
    case = a_case(effect=replace(EFFECT, low=-math.inf))
    recost = dict.fromkeys(TRIED.discount_rate, case.cost)
    assert not any("effect" in s.parameter for s in tornado(case, AS_PRINTED, TRIED, recost))


@pytest.mark.parametrize("reading", READINGS)
def test_monte_carlo(reading: str) -> None:
    """Of three independent factors whose means are 1 the mean is the benefit; the same seed, the same draws."""
    case = a_case()
    first, again = (monte_carlo(case, reading, TRIED, 20_000, 7) for _ in range(2))
    assert first == again and first != monte_carlo(case, reading, TRIED, 20_000, 8)
    base = value(case, reading)
    expected = base.benefit
    if reading != AS_PRINTED:
        stretch = np.linspace(0.75, 1.25, 4_001)
        weight = 1 - np.abs(stretch - 1) / 0.25
        years = care_years(reading, case.durations, LAST, stretch) @ GREEN_BOOK.factors(LAST)
        expected *= float((weight * years).sum() / weight.sum() / years[2_000])
    spread = (first.net_high - first.net_low) / 3.92
    assert first.net_mean == pytest.approx(expected - base.cost, abs=4 * spread / math.sqrt(20_000))
    assert first.net_low < first.net_median < first.net_high
    assert first.ratio_median == pytest.approx((first.net_median + base.cost) / base.cost)
    assert 0.95 < first.share_positive <= 1 and first.reason == ""


def test_spread_of_the_draws_is_that_of_the_interval() -> None:
    still = Range((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.035, 0.035))
    found = monte_carlo(a_case(), AS_PRINTED, still, 200_000, 3)
    per_point = 5_200 * 50_000 * 5.515052
    assert found.net_low == pytest.approx(0.004 * per_point - 2e6, rel=0.02)
    assert found.net_high == pytest.approx(0.016 * per_point - 2e6, rel=0.02)
    lopsided = monte_carlo(a_case(effect=replace(EFFECT, low=-0.03)), AS_PRINTED, still, 200_000, 3)
    assert lopsided.net_high == pytest.approx(0.03 * per_point - 2e6, rel=0.02)
    assert lopsided.net_low == pytest.approx(found.net_low, rel=0.02)


@pytest.mark.parametrize(
    "changed",
    [
        {"cost": NO_COST, "why_no_cost": "no cost was reported"},
        {"cost": dict.fromkeys(COST_RULES.values(), 0.0)},
        {"effect": replace(EFFECT, low=math.nan)},
        {"effect": replace(EFFECT, estimate=math.nan)},
    ],
)
def test_draws_of_what_is_undefined_say_why(changed: dict[str, object]) -> None:
    found = monte_carlo(a_case(**changed), AS_PRINTED, TRIED, 100, 1)
    assert found.reason and math.isnan(found.net_mean) and math.isnan(found.share_positive)


def test_factors_must_hold_the_central_value() -> None:
    with pytest.raises(ValueError, match="central value"):
        monte_carlo(a_case(), AS_PRINTED, replace(TRIED, unit_cost=(1.1, 1.2)), 10, 1)


# --- The survey ---------------------------------------------------------------------------------

GOOD = {
    "la_code": "937",
    "category": "training",
    "phase": "start_up",
    "basis": "actual",
    "financial_year": "2021/22",
    "amount_gbp": "12500",
    "price_year": "",
    "overlap_share": "",
    "life_years": "",
    "description": "made up",
}


def a_survey(path: Path, *rows: dict[str, str]) -> Path:
    write_survey(path, [[{**GOOD, **row}[name] for name in COLUMNS] for row in rows])
    return path


def read(path: Path) -> CostSurvey:
    return read_survey(path, read_categories(SEEDS), read_la_codes(SEEDS))


def test_six_categories_of_the_protocol() -> None:
    assert list(read_categories(SEEDS)) == ["personnel", "training", "programme", "facilities", "unintended", "other"]


def test_a_good_line(tmp_path: Path) -> None:
    survey = read(
        a_survey(tmp_path / "s.csv", {}, {"amount_gbp": "£1,234.50", "price_year": "2019-20", "phase": "RECURRING"})
    )
    assert survey.lines[0] == CostLine(2, "937", "training", START_UP, "actual", 2022, 12_500.0, 2022, 0.0, 1.0)
    second = survey.lines[1]
    assert (second.amount, second.price_year, second.phase, second.row) == (1_234.5, 2020, RECURRING, 3)


@pytest.mark.parametrize(
    ("column", "wrong", "expected"),
    [
        ("la_code", "Nowhere", "the DfE code of an LA of the register"),
        ("la_code", "", "the DfE code of an LA of the register"),
        ("la_code", "000", "the DfE code of an LA of the register"),
        ("category", "travel", "one of personnel, training, programme, facilities, unintended, other"),
        ("category", "", "one of personnel"),
        ("phase", "startup", "one of prerequisite, start_up, recurring"),
        ("basis", "guess", "one of actual, forecast"),
        ("basis", "", "one of actual, forecast"),
        ("financial_year", "2022", "a financial year such as 2021/22"),
        ("financial_year", "2021/23", "a financial year such as 2021/22"),
        ("financial_year", "", "a financial year such as 2021/22"),
        ("financial_year", "2001/02", "from 2009/10 to 2039/40"),
        ("amount_gbp", "", "pounds, 0 or more"),
        ("amount_gbp", "-5", "pounds, 0 or more"),
        ("amount_gbp", "12k", "pounds, 0 or more"),
        ("amount_gbp", "nan", "pounds, 0 or more"),
        ("amount_gbp", "inf", "pounds, 0 or more"),
        ("price_year", "2021", "nothing, or a financial year"),
        ("overlap_share", "25", "a share from 0 to 1"),
        ("overlap_share", "25%", "a share from 0 to 1"),
        ("overlap_share", "-0.1", "a share from 0 to 1"),
        ("life_years", "0", "years, 1 to 50"),
        ("life_years", "long", "years, 1 to 50"),
        ("life_years", "51", "years, 1 to 50"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, column: str, wrong: str, expected: str) -> None:
    """File, row, column, what stands there, what was expected."""
    path = a_survey(tmp_path / "s.csv", {"amount_gbp": "1"}, {column: wrong})
    with pytest.raises(CostSurveyError) as raised:
        read(path)
    (problem,) = raised.value.problems
    assert (problem.file, problem.row, problem.column, problem.value) == (str(path), 3, column, wrong)
    assert problem.expected.startswith(expected) or expected in problem.expected
    said = f"'{wrong}'" if wrong else "empty"
    assert f"{path}, row 3, column {column}: {said}; expected" in str(raised.value)
    assert raised.value.exit_code == 1


def test_all_bad_cells_are_told_at_once_and_the_good_lines_kept(tmp_path: Path) -> None:
    path = a_survey(tmp_path / "s.csv", {"basis": "x", "amount_gbp": "y"}, {}, {"overlap_share": "2"})
    survey, problems = check_survey(path, read_categories(SEEDS), read_la_codes(SEEDS))
    assert [(p.row, p.column) for p in problems] == [(2, "basis"), (2, "amount_gbp"), (4, "overlap_share")]
    assert [line.row for line in survey.lines] == [3]
    with pytest.raises(CostSurveyError, match="3 cells of the cost survey cannot be used"):
        read(path)


def test_a_line_twice_is_a_problem(tmp_path: Path) -> None:
    path = a_survey(tmp_path / "s.csv", {}, {"category": "other"}, {})
    with pytest.raises(
        CostSurveyError, match=r"row 4, column la_code: '937'; expected a line once; this is row 2 again"
    ):
        read(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "row 1: the header lacks la_code"),
        (b"la_code,category\n937,training\n", "lacks phase, basis"),
        (",".join([*COLUMNS, "name"]).encode() + b"\n", "has name, which the template does not know"),
        (",".join([*COLUMNS, "phase"]).encode() + b"\n", "has a column twice"),
        (",".join(COLUMNS).encode() + b"\n937,training\n", "row 2: 2 cells; expected 10"),
        (",".join(COLUMNS).encode() + b"\n\xff\xfe", "not readable as UTF-8"),
        (",".join(COLUMNS).encode() + b"\n\0", "zero bytes"),
    ],
)
def test_a_file_that_is_no_survey(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read(path)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "other.csv")


def test_spreadsheets_add_marks_and_move_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    order = list(reversed(COLUMNS))
    text = ",".join(n.upper() for n in order) + "\r\n" + ",".join(f" {GOOD[n]} " for n in order) + "\r\n,,,,,,,,,\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    survey = read(path)
    assert len(survey.lines) == 1 and survey.lines[0].amount == 12_500.0


def test_template_is_open_until_it_is_filled_in(tmp_path: Path) -> None:
    categories = read_categories(SEEDS)
    path = tmp_path / "survey.csv"
    guide = write_template(path, categories, ["331", "937"])
    survey = read(path)
    assert survey.lines == () and len(survey.open_rows) == 2 * len(categories) * len(PHASES)
    text = guide.read_text(encoding="utf-8")
    assert all(name in text for name in [*COLUMNS, *categories, *PHASES])
    with pytest.raises(SfpcError, match="never overwritten"):
        write_template(path, categories, ["331"])
    filled = path.read_text(encoding="utf-8").splitlines()
    filled[1] = filled[1].replace(",,,,,,,", ",actual,2021/22,100,,,,")
    path.write_text("\n".join(filled) + "\n", encoding="utf-8")
    assert [line.row for line in read(path).lines] == [2]


def test_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "survey.csv"
    assert main(["costs", "template", str(path), "--la", "937"]) == 0
    assert main(["costs", "check", str(path)]) == 0
    assert "18 rows are still open" in capsys.readouterr().err
    assert main(["costs", "template", str(path)]) == 2
    assert main(["costs", "template", str(tmp_path / "b.csv"), "--la", "000"]) == 2
    a_survey(path, {"amount_gbp": "many"})
    assert main(["costs", "check", str(path)]) == 1
    assert "column amount_gbp: 'many'; expected pounds" in capsys.readouterr().err
    assert main(["costs", "template", str(tmp_path / "all.csv")]) == 0
    with (SEEDS / "programmes" / "programme_local_authorities.csv").open(newline="", encoding="utf-8") as handle:
        treated = {row["la_code"] for row in csv.DictReader(handle) if row["role"] == "treatment"}
    with (tmp_path / "all.csv").open(encoding="utf-8") as handle:
        assert {row["la_code"] for row in csv.DictReader(handle)} == treated


def test_synthetic_survey_is_a_good_one(tmp_path: Path) -> None:
    count = synthetic_cost_survey(tmp_path / "a.csv", SEEDS, 5)
    synthetic_cost_survey(tmp_path / "b.csv", SEEDS, 5)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    synthetic_cost_survey(tmp_path / "c.csv", SEEDS, 6)
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()
    survey = read(tmp_path / "a.csv")
    assert len(survey.lines) == count
    assert {line.category for line in survey.lines} == set(read_categories(SEEDS))
    assert {line.phase for line in survey.lines} == set(PHASES)
    assert {line.basis for line in survey.lines} == {"actual", "forecast"}
    # An LA's draws are its own: with fewer LAs the others keep theirs.
    synthetic_cost_survey(tmp_path / "d.csv", SEEDS, 5, {"937"})
    alone = [line.amount for line in read(tmp_path / "d.csv").lines]
    assert alone == [line.amount for line in survey.lines if line.la_code == "937"]


# --- On the marts -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def effects(evaluated: Paths) -> pd.DataFrame:
    with duckdb.connect() as connection:
        return connection.execute(f"select * from '{evaluated.results / 'effects'}.parquet'").df()


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> CostSurvey:
    path = tmp_path_factory.mktemp("costs") / "survey.csv"
    synthetic_cost_survey(path, SEEDS, TEST_SEED)
    return read(path)


@pytest.fixture(scope="module")
def found(evaluated: Paths, effects: pd.DataFrame, survey: CostSurvey) -> CostBenefitResults:
    with open_marts(evaluated.marts_db) as connection:
        return run_cost_benefit(connection, PROGRAMME, effects, survey, effect=EFFECT)


def test_tables_and_their_columns(found: CostBenefitResults) -> None:
    for name, table in found.tables().items():
        assert list(table.columns) == list(COST_BENEFIT_TABLES[name]), name
        assert len(table) and table["clause"].str.startswith("FV.CBA.").all(), name
    values = found.values
    assert set(values["reading"]) == set(READINGS) and set(values["significance_gate"]) == {GATED, ALWAYS}
    assert values["la_id"].nunique() == 6
    assert (values["benefit_cost_ratio"].isna() == values["reason"].notna()).all()


def test_values_by_hand_from_the_marts(evaluated: Paths, found: CostBenefitResults) -> None:
    """One LA, as printed: children of its sample a year, cost of care from its mix, the formula."""
    row = found.values[(found.values["reading"] == AS_PRINTED) & (found.values["la_id"] != ALL_LAS)].iloc[0]
    with duckdb.connect(str(evaluated.marts_db), read_only=True) as connection:
        counted = connection.execute(
            """
            select
                (select count(*) from marts.fct_outcome_values
                 where programme_id = ? and outcome_id = ? and is_default_reading and is_in_sample and la_id = ?),
                (select any_value(trial_end_date) - any_value(trial_start_date) + 1
                 from marts.dim_programme_local_authorities where programme_id = ?)
            """,
            [PROGRAMME, PRIMARY, row["la_id"], PROGRAMME],
        ).fetchone()
    assert counted is not None
    assert row["children_per_year"] == pytest.approx(counted[0] / (counted[1] / 365.25))
    expected = 0.01 * row["children_per_year"] * row["unit_cost_gbp"] * 5.515052
    assert row["benefit_gbp"] == pytest.approx(expected, rel=1e-6)
    care = found.care_costs[found.care_costs["la_id"] == row["la_id"]]
    assert care["contribution_gbp"].sum() == pytest.approx(row["unit_cost_gbp"])
    assert care["care_days_pct"].sum() == pytest.approx(100) and care["is_verified"].all()
    lines = found.lines[found.lines["la_id"] == row["la_id"]]
    assert lines["present_value_gbp"].sum() == pytest.approx(row["cost_gbp"])


def test_every_line_of_the_survey_is_accounted_for(found: CostBenefitResults, survey: CostSurvey) -> None:
    used = found.lines["line_count"].sum()
    (said,) = (s for s in found.sentences if "no treatment LAs here" in s)
    assert used + int(said.split()[0]) == len(survey.lines)
    excluded = found.lines[found.lines["phase"] == PREREQUISITE]
    assert (excluded["excluded"] == "prerequisite").all() and (excluded["counted_gbp"] == 0).all()
    assert (excluded["reported_gbp"] > 0).all()


def test_mix_before_go_live_alone(evaluated: Paths, found: CostBenefitResults) -> None:
    """What the programme does to placements does not move what it is said to save."""
    la = found.care_costs["la_id"].iloc[0]
    mine = found.care_costs[found.care_costs["la_id"] == la].set_index("placement_group")["care_days_pct"]
    with duckdb.connect(str(evaluated.marts_db), read_only=True) as connection:
        (go_live,) = connection.execute(
            "select go_live_date from marts.dim_programme_local_authorities where programme_id = ? and la_id = ?",
            [PROGRAMME, la],
        ).fetchall()[0]
        rows = connection.execute(
            "select placement_group, sum(care_day_count) from marts.fct_placement_mix where la_id = ?"
            " and return_year < ? group by 1",
            [la, year_of(go_live)],
        ).fetchall()
    total = sum(days for _, days in rows)
    assert {group: pytest.approx(100 * days / total) for group, days in rows} == mine.to_dict()


def test_readings_differ_by_their_care_and_costs(found: CostBenefitResults) -> None:
    mean = found.values[(found.values["la_id"] == ALL_LAS) & (found.values["significance_gate"] == ALWAYS)]
    by = mean.set_index("reading")
    assert by.loc[NEW_COHORTS, "cost_gbp"] > by.loc[AS_PRINTED, "cost_gbp"] > by.loc[ONE_COHORT, "cost_gbp"]
    assert by.loc[NEW_COHORTS, "benefit_gbp"] > by.loc[ONE_COHORT, "benefit_gbp"]
    assert by["is_default_reading"].tolist() == [True, False, False]
    assert any("as if it ran on for nothing" in said for said in found.sentences)


def test_without_a_survey_or_with_a_weak_effect(evaluated: Paths, effects: pd.DataFrame, survey: CostSurvey) -> None:
    with open_marts(evaluated.marts_db) as connection:
        none = run_cost_benefit(connection, PROGRAMME, effects, None, effect=EFFECT)
        weak = run_cost_benefit(connection, PROGRAMME, effects, survey, effect=replace(EFFECT, p_value=0.3))
        some = CostSurvey(survey.file, tuple(line for line in survey.lines if line.la_code == "937"), (99,))
        one = run_cost_benefit(connection, PROGRAMME, effects, some, effect=EFFECT)
    assert none.values["benefit_cost_ratio"].isna().all() and none.values["benefit_gbp"].notna().all()
    assert (none.values["reason"] == "ratio and net value undefined: no cost was reported").all()
    assert none.lines.empty and "there is no ratio" in none.sentences[-1]
    assert none.switching["reason"].ne("").all() and none.draws["reason"].notna().all()
    gated = weak.values[weak.values["significance_gate"] == GATED]
    assert gated["benefit_gbp"].isna().all() and gated["reason"].str.contains("not significant").all()
    assert weak.values.loc[weak.values["significance_gate"] == ALWAYS, "benefit_cost_ratio"].notna().all()
    assert any("What follows is exploratory" in said for said in weak.sentences)
    assert any(said.startswith("1 of 5 treatment LAs reported costs") for said in one.sentences)
    assert any(said.startswith("1 rows of the survey") for said in one.sentences)
    mean = one.values[(one.values["la_id"] == ALL_LAS) & (one.values["reading"] == AS_PRINTED)].iloc[0]
    own = one.values[(one.values["la_id"] == "937") & (one.values["reading"] == AS_PRINTED)].iloc[0]
    assert mean["benefit_cost_ratio"] == own["benefit_cost_ratio"]


def test_effect_of_the_evaluation(evaluated: Paths, effects: pd.DataFrame, survey: CostSurvey) -> None:
    row = effects[
        (effects["outcome_id"] == PRIMARY) & effects["is_primary"] & (effects["scale"] == "percentage points")
    ].iloc[0]
    taken = primary_effect(effects, PROGRAMME, PRIMARY)
    assert taken.estimate == pytest.approx(row["estimate"] / 100) and taken.p_value == row["p_value"]
    with open_marts(evaluated.marts_db) as connection:
        found = run_cost_benefit(connection, PROGRAMME, effects, survey)
    assert found.values["effect_points"].to_numpy() == pytest.approx(row["estimate"])
    nobody = primary_effect(effects.iloc[:0], PROGRAMME, PRIMARY)
    assert math.isnan(nobody.estimate) and "no primary estimate" in nobody.source
    with pytest.raises(SfpcError, match="2 primary rows"):
        primary_effect(pd.concat([row.to_frame().T] * 2), PROGRAMME, PRIMARY)


def test_section_of_the_report(found: CostBenefitResults, evaluated: Paths, effects: pd.DataFrame) -> None:
    section = cost_benefit_section(found, "key", lambda la: f"LA {la}")
    assert "fewer children a year who become looked after" in section["lead"]
    keys = [table.key for table in section["tables"]]
    assert len(keys) == len(set(keys)) == 7
    cells = [cell for table in section["tables"] for row in table.rows for cell in row.cells]
    assert not any("nan" in cell.lower().split() for cell in cells)
    with open_marts(evaluated.marts_db) as connection:
        none = run_cost_benefit(connection, PROGRAMME, effects, None, effect=EFFECT)
    without = cost_benefit_section(none, "key")
    assert len(without["tables"]) == 6
    readings = without["tables"][0]
    assert {row.cells[-2] for row in readings.rows} == {"undefined"}
    assert any("no cost was reported" in note for _, note in readings.notes)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (14.339e6, "£14.3 million"),
        (950_000, "£950,000"),
        (-1.2e6, "minus £1.2 million"),
        (math.nan, "not known"),
        (0, "£0"),
        (-10, "£0"),
    ],
)
def test_pounds_in_words(amount: float, said: str) -> None:
    assert pounds(amount) == said


def test_an_unknown_programme_is_refused(evaluated: Paths, effects: pd.DataFrame) -> None:
    with open_marts(evaluated.marts_db) as connection, pytest.raises(SfpcError, match="no treatment LA of 'nothing'"):
        run_cost_benefit(connection, "nothing", effects, None)
