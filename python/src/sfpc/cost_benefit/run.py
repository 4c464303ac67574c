"""Costs and benefits of a programme from the marts, the effect and the cost survey (FV.CBA.1, FV.CBA.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from sfpc.cost_benefit.appraisal import (
    AS_REPORTED,
    COST_RULES,
    READING_WORDS,
    READINGS,
    Case,
    CountedLine,
    Drawn,
    EffectEstimate,
    Range,
    cost_by_rule,
    count_lines,
    mean_case,
    monte_carlo,
    switching_values,
    tornado,
    value,
)
from sfpc.cost_benefit.care import DAYS_PER_YEAR, CareCost, Durations, care_durations, weighted_cost
from sfpc.cost_benefit.prices import DiscountSchedule, PriceIndex, year_label, year_of
from sfpc.cost_benefit.survey import CostSurvey
from sfpc.economics import Economics, read_economics
from sfpc.errors import SfpcError
from sfpc.marts import SCHEMA

CLAUSES = ("FV.CBA.1", "FV.CBA.2")
ALL_LAS = "mean of the LAs"
GATED, ALWAYS = "only if significant", "always"
_POINTS = "percentage points"

# Columns and DuckDB types of the tables, in the form of `sfpc.results.RESULT_TABLES` (which adds run_id).
COST_BENEFIT_TABLES: Mapping[str, Mapping[str, str]] = {
    "cost_benefit": {
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "la_id": "varchar",
        "reading": "varchar",
        "cost_rule": "varchar",
        "significance_gate": "varchar",
        "effect_points": "double",
        "p_value": "double",
        "effect_source": "varchar",
        "children_per_year": "double",
        "fewer_children_per_year": "double",
        "unit_cost_gbp": "double",
        "benefit_gbp": "double",
        "cost_gbp": "double",
        "net_present_value_gbp": "double",
        "benefit_cost_ratio": "double",
        "price_base": "varchar",
        "reason": "varchar",
        "is_default_reading": "boolean",
        "clause": "varchar",
    },
    "cost_lines": {
        "programme_id": "varchar",
        "la_id": "varchar",
        "category": "varchar",
        "phase": "varchar",
        "basis": "varchar",
        "financial_year": "varchar",
        "line_count": "bigint",
        "reported_gbp": "double",
        "counted_gbp": "double",
        "present_value_gbp": "double",
        "excluded": "varchar",
        "clause": "varchar",
    },
    "care_costs": {
        "programme_id": "varchar",
        "la_id": "varchar",
        "placement_group": "varchar",
        "care_days_pct": "double",
        "item": "varchar",
        "period": "varchar",
        "is_verified": "boolean",
        "amount_gbp_per_year": "double",
        "contribution_gbp": "double",
        "reason": "varchar",
        "price_base": "varchar",
        "clause": "varchar",
    },
    "switching_values": {
        "programme_id": "varchar",
        "reading": "varchar",
        "parameter": "varchar",
        "unit": "varchar",
        "central": "double",
        "switching": "double",
        "reason": "varchar",
        "clause": "varchar",
    },
    "cost_benefit_tornado": {
        "programme_id": "varchar",
        "reading": "varchar",
        "parameter": "varchar",
        "low": "double",
        "high": "double",
        "net_present_value_low_gbp": "double",
        "net_present_value_high_gbp": "double",
        "benefit_cost_ratio_low": "double",
        "benefit_cost_ratio_high": "double",
        "reason": "varchar",
        "clause": "varchar",
    },
    "cost_benefit_draws": {
        "programme_id": "varchar",
        "reading": "varchar",
        "draws": "bigint",
        "seed": "bigint",
        "net_present_value_mean_gbp": "double",
        "net_present_value_low_gbp": "double",
        "net_present_value_median_gbp": "double",
        "net_present_value_high_gbp": "double",
        "benefit_cost_ratio_low": "double",
        "benefit_cost_ratio_median": "double",
        "benefit_cost_ratio_high": "double",
        "share_positive": "double",
        "reason": "varchar",
        "clause": "varchar",
    },
}


@dataclass(frozen=True)
class CostBenefitResults:
    """What a programme costs and saves; money in pounds of the base year.

    The frames have the columns of `COST_BENEFIT_TABLES`; `sentences` are for an analyst.
    """

    programme_id: str
    values: pd.DataFrame
    lines: pd.DataFrame
    care_costs: pd.DataFrame
    switching: pd.DataFrame
    tornado: pd.DataFrame
    draws: pd.DataFrame
    sentences: tuple[str, ...]

    @classmethod
    def from_tables(
        cls, programme_id: str, tables: Mapping[str, pd.DataFrame], sentences: Sequence[str]
    ) -> CostBenefitResults:
        """The results of one programme, from the results tables of a run."""

        def mine(name: str) -> pd.DataFrame:
            return tables[name][tables[name]["programme_id"] == programme_id].reset_index(drop=True)

        return cls(
            programme_id=programme_id,
            values=mine("cost_benefit"),
            lines=mine("cost_lines"),
            care_costs=mine("care_costs"),
            switching=mine("switching_values"),
            tornado=mine("cost_benefit_tornado"),
            draws=mine("cost_benefit_draws"),
            sentences=tuple(sentences),
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names of `COST_BENEFIT_TABLES`."""
        return {
            "cost_benefit": self.values,
            "cost_lines": self.lines,
            "care_costs": self.care_costs,
            "switching_values": self.switching,
            "cost_benefit_tornado": self.tornado,
            "cost_benefit_draws": self.draws,
        }


@dataclass(frozen=True)
class _Frame:
    """What all LAs of a run share."""

    economics: Economics
    prices: PriceIndex
    discount: DiscountSchedule
    base_year: int
    last_year: int
    level: float

    @property
    def price_base(self) -> str:
        return year_label(self.base_year)


@dataclass(frozen=True)
class _Area:
    """A treatment LA: go-live year (in which the financial year ends), children a year, care, costs as counted."""

    la_id: str
    first_year: int
    children_per_year: float
    care: CareCost
    counted: list[CountedLine]


def run_cost_benefit(
    connection: duckdb.DuckDBPyConnection,
    programme_id: str,
    effects: pd.DataFrame,
    survey: CostSurvey | None,
    *,
    effect: EffectEstimate | None = None,
) -> CostBenefitResults:
    """Value a programme, LA by LA and on average, under every reading, with and without the significance gate.

    Parameters
    ----------
    connection: of `sfpc.marts.open_marts`.
    effects: the results table of that name; the primary row of the primary outcome counts (footnote 28).
    survey: what LAs reported; None where there is none, which leaves ratios undefined.
    effect: instead of that row, such as a triangulated one; its source is shown.

    Lines about LAs that are no treatment LAs of the programme are left out, and a sentence says how many.

    Raises SfpcError where the marts lack something, or a price year has no index.
    """
    frame = _read_frame(connection)
    outcome = _primary_outcome(connection)
    found = effect if effect is not None else primary_effect(effects, programme_id, outcome)
    areas = _areas(connection, programme_id, outcome, survey, frame)
    if not areas:
        raise SfpcError(f"no treatment LA of '{programme_id}' with children in the marts")
    durations = _durations(connection, [area.la_id for area in areas])
    cases = {area.la_id: _case(area, found, durations, frame, frame.discount) for area in areas}
    with_costs = [cases[area.la_id] for area in areas if area.counted and _has_cost(area)]
    overall = mean_case(with_costs or list(cases.values()))
    tried = _range(frame.economics)
    recost = {rate: _mean_cost(areas, frame, frame.discount.at(rate)) for rate in tried.discount_rate}
    default = frame.economics.text("default_reading")
    if default not in READINGS:
        raise SfpcError(
            f"dim_economic_settings: 'default_reading' is '{default}'; expected one of {', '.join(READINGS)}"
        )
    rows: list[dict[str, Any]] = []
    for la_id, case in [(ALL_LAS, overall), *cases.items()]:
        rows += _value_rows(case, la_id, frame, default)
    draws, seed = int(frame.economics.number("monte_carlo_draws")), int(frame.economics.number("economics_seed"))
    about = {"programme_id": programme_id, "outcome_id": outcome}
    tables = {
        "cost_benefit": pd.DataFrame(rows).assign(**about),
        "cost_lines": _lines(areas).assign(programme_id=programme_id),
        "care_costs": _care(areas, frame).assign(programme_id=programme_id),
        "switching_values": pd.DataFrame(
            [{"reading": reading, **vars(row)} for reading in READINGS for row in switching_values(overall, reading)]
        ).assign(programme_id=programme_id),
        "cost_benefit_tornado": pd.DataFrame(_tornado(overall, tried, recost)).assign(programme_id=programme_id),
        "cost_benefit_draws": pd.DataFrame(_draws(overall, tried, draws, seed)).assign(programme_id=programme_id),
    }
    clauses = {"cost_benefit": "FV.CBA.1;FV.CBA.2", "cost_lines": "FV.CBA.1", "care_costs": "FV.CBA.1"}
    tidy = {
        name: table.assign(clause=clauses.get(name, "FV.CBA.2"))
        .reindex(columns=list(COST_BENEFIT_TABLES[name]))
        .reset_index(drop=True)
        for name, table in tables.items()
    }
    return CostBenefitResults(
        programme_id,
        tidy["cost_benefit"],
        tidy["cost_lines"],
        tidy["care_costs"],
        tidy["switching_values"],
        tidy["cost_benefit_tornado"],
        tidy["cost_benefit_draws"],
        _sentences(
            monte_carlo(overall, default, tried, draws, seed), frame, overall, default, len(with_costs), len(areas)
        )
        + _costs_end(areas, default, frame)
        + _left_out(survey, areas),
    )


def primary_effect(effects: pd.DataFrame, programme_id: str, outcome_id: str) -> EffectEstimate:
    """The primary row of an outcome as a proportion; NaN without words where there is none, said in `source`.

    Raises SfpcError where there are several.
    """
    mine = effects[
        (effects["programme_id"] == programme_id)
        & (effects["outcome_id"] == outcome_id)
        & effects["is_primary"].astype(bool)
        & (effects["scale"] == _POINTS)
    ]
    if len(mine) > 1:
        raise SfpcError(f"effects: {len(mine)} primary rows of {outcome_id} in {programme_id}; expected one")
    if mine.empty:
        nan = math.nan
        return EffectEstimate(nan, nan, nan, nan, "no primary estimate of the outcome")
    row = mine.iloc[0]
    return EffectEstimate(
        float(row["estimate"]) / 100,
        float(row["ci_low"]) / 100,
        float(row["ci_high"]) / 100,
        float(row["p_value"]),
        f"{row['label']}, {row['inference_method']}",
    )


def _read_frame(connection: duckdb.DuckDBPyConnection) -> _Frame:
    economics = read_economics(connection)
    prices = PriceIndex(
        {
            int(year): float(level)
            for year, level in connection.execute(
                f"select ending_year, price_index from {SCHEMA}.dim_price_indices"
                " where period_kind = 'financial_year' order by ending_year"
            ).fetchall()
        }
    )
    schedule = economics.text("discount_schedule")
    bands = connection.execute(
        f"select first_year, last_year, discount_rate, edition from {SCHEMA}.dim_discount_rates where schedule = ?"
        " order by first_year",
        [schedule],
    ).fetchall()
    if not bands:
        raise SfpcError(f"dim_discount_rates: no schedule '{schedule}' (setting discount_schedule)")
    edition = economics.text("green_book_edition")
    if any(row[3] != edition for row in bands):
        raise SfpcError(f"dim_discount_rates: rates of {bands[0][3]}, but the setting green_book_edition is {edition}")
    level = connection.execute(
        f"select value from {SCHEMA}.dim_evaluation_settings where setting = 'significance_level'"
    ).fetchone()
    if level is None:
        raise SfpcError("dim_evaluation_settings: no row for 'significance_level'")
    return _Frame(
        economics=economics,
        prices=prices,
        discount=DiscountSchedule([(int(a), int(b), float(rate)) for a, b, rate, _ in bands], edition),
        base_year=int(economics.number("price_base_year")),
        last_year=int(economics.number("horizon_last_year")),
        level=float(level[0]),
    )


def _primary_outcome(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        f"select outcome_id from {SCHEMA}.dim_outcomes where is_primary and outcome_kind = 'binary'"
    ).fetchall()
    if len(rows) != 1:
        raise SfpcError(f"dim_outcomes: {len(rows)} primary outcomes of yes or no; expected one")
    return str(rows[0][0])


def _areas(
    connection: duckdb.DuckDBPyConnection, programme_id: str, outcome_id: str, survey: CostSurvey | None, frame: _Frame
) -> list[_Area]:
    roles = connection.execute(
        f"""
        select
            roles.la_id,
            roles.go_live_date,
            children.children_count
            / ((roles.trial_end_date - roles.trial_start_date + 1) / 365.25) as children_per_year
        from {SCHEMA}.dim_programme_local_authorities as roles
        inner join (
            select la_id, count(*) as children_count
            from {SCHEMA}.fct_outcome_values
            where programme_id = $programme and outcome_id = $outcome and is_default_reading and is_in_sample
            group by la_id
        ) as children using (la_id)
        where roles.programme_id = $programme and roles.role = 'treatment'
        order by roles.la_id
        """,
        {"programme": programme_id, "outcome": outcome_id},
    ).fetchall()
    by_la = _lines_by_la(connection, survey)
    unit_costs = connection.execute(f"select * from {SCHEMA}.dim_unit_costs").df()
    admits = frame.economics.flag("admits_unverified_costs")
    areas = []
    for la_id, go_live, children in roles:
        first_year = year_of(go_live)
        mix = connection.execute(
            f"select placement_group, care_day_count from {SCHEMA}.fct_placement_mix"
            # Before the programme: what it does to placements must not move what it is said to save.
            " where la_id = ? and return_year < ?",
            [la_id, first_year],
        ).df()
        if mix.empty:
            raise SfpcError(f"fct_placement_mix: no year of care of {la_id} before its go-live to weigh costs by")
        areas.append(
            _Area(
                la_id=str(la_id),
                first_year=first_year,
                children_per_year=float(children),
                care=weighted_cost(mix, unit_costs, frame.prices, frame.base_year, admits),
                counted=count_lines(
                    by_la.get(str(la_id), []),
                    first_year,
                    frame.prices,
                    frame.base_year,
                    frame.discount,
                    frame.last_year,
                ),
            )
        )
    return areas


def _lines_by_la(connection: duckdb.DuckDBPyConnection, survey: CostSurvey | None) -> dict[str, list[Any]]:
    """Lines of the survey by continuing area."""
    if survey is None:
        return {}
    codes = {
        code: str(la_id)
        for la_id, listed in connection.execute(
            f"select la_id, la_codes from {SCHEMA}.dim_local_authorities"
        ).fetchall()
        for code in str(listed).split(",")
    }
    by_la: dict[str, list[Any]] = {}
    for line in survey.lines:
        la_id = codes.get(line.la_code, line.la_code)
        by_la.setdefault(la_id, []).append(line)
    return by_la


def _costs_end(areas: Sequence[_Area], reading: str, frame: _Frame) -> tuple[str, ...]:
    """A warning where costs as reported stop while benefits go on."""
    years = [row.year_of_appraisal for area in areas for row in area.counted if not row.excluded]
    if COST_RULES[reading] != AS_REPORTED or not years or max(years) >= frame.last_year:
        return ()
    return (
        f"Reported costs end in year {max(years)}, benefits in year {frame.last_year}: the programme is counted as if"
        " it ran on for nothing. The reading with new cohorts carries running costs on.",
    )


def _left_out(survey: CostSurvey | None, areas: Sequence[_Area]) -> tuple[str, ...]:
    """Lines and open rows of the survey that are not in the tables, said."""
    if survey is None:
        return ()
    used = {row.line.row for area in areas for row in area.counted}
    others = [line for line in survey.lines if line.row not in used]
    said = []
    if others:
        codes = ", ".join(sorted({line.la_code for line in others}))
        said.append(f"{len(others)} lines of the survey are about LAs that are no treatment LAs here ({codes}).")
    if survey.open_rows:
        said.append(f"{len(survey.open_rows)} rows of the survey are not filled in.")
    return tuple(said)


def _durations(connection: duckdb.DuckDBPyConnection, las: Sequence[str]) -> Durations:
    """Time in care from periods that began in years that the LA returned, followed to the end of its last return."""
    rows = connection.execute(
        f"""
        with reached as (
            select
                la_id,
                make_date(cast(min(return_year) - 1 as bigint), 4, 1) as first_day,
                make_date(cast(max(return_year) as bigint), 3, 31) + 1 as end_day
            from {SCHEMA}.fct_placement_mix
            where list_contains(?, la_id)
            group by la_id
        )
        select
            least(coalesce(periods.care_end_date, reached.end_day), reached.end_day) - periods.care_start_date as days,
            periods.care_end_date is not null and periods.care_end_date <= reached.end_day as has_ended
        from {SCHEMA}.fct_care_periods as periods
        inner join reached using (la_id)
        where periods.care_start_date >= reached.first_day and periods.care_start_date < reached.end_day
        order by all
        """,
        [list(las)],
    ).fetchall()
    return care_durations([float(row[0]) for row in rows], [bool(row[1]) for row in rows])


def _has_cost(area: _Area) -> bool:
    return any(not row.excluded for row in area.counted)


def _case(area: _Area, effect: EffectEstimate, durations: Durations, frame: _Frame, discount: DiscountSchedule) -> Case:
    if not area.counted:
        why = "no cost was reported"
    elif not _has_cost(area):
        why = "every reported cost is excluded"
    else:
        why = ""
    return Case(
        effect=effect,
        children_per_year=area.children_per_year,
        unit_cost=area.care.per_year,
        durations=durations,
        cost=cost_by_rule(area.counted, discount, frame.last_year),
        why_no_cost=why,
        discount=discount,
        last_year=frame.last_year,
    )


def _mean_cost(areas: Sequence[_Area], frame: _Frame, discount: DiscountSchedule) -> dict[str, float]:
    """Mean cost by rule at another discount rate, over the LAs that have one."""
    found = []
    for area in areas:
        if _has_cost(area):
            again = [replace(row, present=row.counted * discount.factor(row.year_of_appraisal)) for row in area.counted]
            found.append(cost_by_rule(again, discount, frame.last_year))
    return {rule: float(np.mean([row[rule] for row in found])) if found else math.nan for rule in COST_RULES.values()}


def _range(economics: Economics) -> Range:
    def pair(name: str) -> tuple[float, float]:
        return economics.number(f"{name}_low_factor"), economics.number(f"{name}_high_factor")

    return Range(
        unit_cost=pair("unit_cost"),
        duration=pair("duration"),
        programme_cost=pair("programme_cost"),
        discount_rate=(economics.number("discount_rate_low"), economics.number("discount_rate_high")),
    )


def _value_rows(case: Case, la_id: str, frame: _Frame, default: str) -> list[dict[str, Any]]:
    rows = []
    for reading in READINGS:
        for gate, level in ((GATED, frame.level), (ALWAYS, None)):
            found = value(case, reading, level)
            rows.append(
                {
                    "la_id": la_id,
                    "reading": reading,
                    "cost_rule": COST_RULES[reading],
                    "significance_gate": gate,
                    "effect_points": 100 * case.effect.estimate,
                    "p_value": case.effect.p_value,
                    "effect_source": case.effect.source,
                    "children_per_year": case.children_per_year,
                    "fewer_children_per_year": -case.effect.estimate * case.children_per_year,
                    "unit_cost_gbp": case.unit_cost,
                    "benefit_gbp": found.benefit,
                    "cost_gbp": found.cost,
                    "net_present_value_gbp": found.net,
                    "benefit_cost_ratio": found.ratio,
                    "price_base": frame.price_base,
                    "reason": found.reason or None,
                    "is_default_reading": reading == default,
                }
            )
    return rows


def _lines(areas: Sequence[_Area]) -> pd.DataFrame:
    """What was reported and what of it counts, by LA, category, phase, basis and year."""
    rows = [
        {
            "la_id": area.la_id,
            "category": row.line.category,
            "phase": row.line.phase,
            "basis": row.line.basis,
            "financial_year": year_label(row.line.year),
            "line_count": 1,
            "reported_gbp": row.line.amount,
            "counted_gbp": row.counted,
            "present_value_gbp": row.present,
            "excluded": row.excluded or "",
        }
        for area in areas
        for row in area.counted
    ]
    if not rows:
        return pd.DataFrame()
    keys = ["la_id", "category", "phase", "basis", "financial_year", "excluded"]
    return pd.DataFrame(rows).groupby(keys, as_index=False, sort=True).sum()


def _care(areas: Sequence[_Area], frame: _Frame) -> pd.DataFrame:
    return pd.concat(
        [area.care.groups.assign(la_id=area.la_id, price_base=frame.price_base) for area in areas], ignore_index=True
    )


def _tornado(case: Case, tried: Range, recost: dict[float, dict[str, float]]) -> list[dict[str, Any]]:
    rows = []
    for reading in READINGS:
        why = case.why_no_cost or ("no effect was estimated" if not math.isfinite(case.effect.estimate) else "")
        for swing in tornado(case, reading, tried, recost):
            undefined = why or ("" if math.isfinite(swing.ratio_low + swing.ratio_high) else "costs come to nothing")
            rows.append(
                {
                    "reading": reading,
                    "parameter": swing.parameter,
                    "low": swing.low,
                    "high": swing.high,
                    "net_present_value_low_gbp": swing.net_low,
                    "net_present_value_high_gbp": swing.net_high,
                    "benefit_cost_ratio_low": swing.ratio_low,
                    "benefit_cost_ratio_high": swing.ratio_high,
                    "reason": undefined or None,
                }
            )
    return rows


def _draws(case: Case, tried: Range, draws: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for reading in READINGS:
        drawn = monte_carlo(case, reading, tried, draws, seed)
        rows.append(
            {
                "reading": reading,
                "draws": drawn.draws,
                "seed": drawn.seed,
                "net_present_value_mean_gbp": drawn.net_mean,
                "net_present_value_low_gbp": drawn.net_low,
                "net_present_value_median_gbp": drawn.net_median,
                "net_present_value_high_gbp": drawn.net_high,
                "benefit_cost_ratio_low": drawn.ratio_low,
                "benefit_cost_ratio_median": drawn.ratio_median,
                "benefit_cost_ratio_high": drawn.ratio_high,
                "share_positive": drawn.share_positive,
                "reason": drawn.reason or None,
            }
        )
    return rows


def pounds(amount: float) -> str:
    """An amount in words: £14.3 million, £950,000, minus £1.2 million; 'not known' where it is NaN."""
    if not math.isfinite(amount):
        return "not known"
    size = abs(amount)
    text = f"£{size / 1e6:,.1f} million" if size >= 1e6 else f"£{round(size, -2):,.0f}"
    return f"minus {text}" if amount < 0 and text != "£0" else text


def _sentences(drawn: Drawn, frame: _Frame, overall: Case, reading: str, counted: int, areas: int) -> tuple[str, ...]:
    """What an analyst should take from the tables, about the mean of the LAs under the default reading."""
    gated, always = value(overall, reading, frame.level), value(overall, reading)
    effect = overall.effect.estimate
    said = []
    if math.isfinite(effect):
        said.append(
            f"An effect of {100 * effect:.2f} percentage points on {overall.children_per_year:,.0f} children a year and"
            f" LA is {abs(effect * overall.children_per_year):,.0f} {'fewer' if effect < 0 else 'more'} children a year"
            " who become looked after."
        )
    else:
        said.append("No effect on children becoming looked after was estimated: nothing can be monetised.")
    said.append(
        f"A year in care costs {pounds(overall.unit_cost)} in prices of {frame.price_base}, weighted by where the"
        " children of these LAs lived before go-live."
    )
    if math.isfinite(always.benefit):
        if not math.isfinite(gated.benefit):
            said.append(f"By the protocol's rule the benefit is {gated.reason}. What follows is exploratory.")
        ratio = (
            f": {always.ratio:.2f} pounds for each pound spent."
            if math.isfinite(always.ratio)
            else f"; {always.reason}."
        )
        said.append(
            f"Per LA and over years 0 to {frame.last_year}, benefits are {pounds(always.benefit)} and costs"
            f" {pounds(always.cost)}{ratio} This reads the benefit as {READING_WORDS[reading]}."
        )
    if not drawn.reason:
        said.append(
            f"In {100 * drawn.share_positive:.0f} of 100 draws of effect, cost of care and duration the programme pays"
            " for itself."
        )
    if overall.durations.followed_days < (frame.last_year + 1) * DAYS_PER_YEAR:
        years = overall.durations.followed_days / DAYS_PER_YEAR
        said.append(f"Care is seen for {years:.1f} years after its start at most; later years of care are not counted.")
    if counted < areas:
        said.append(
            f"{counted} of {areas} treatment LAs reported costs that count; the mean is over these."
            if counted
            else "No treatment LA reported costs that count: there is no ratio."
        )
    return tuple(said)
