"""The section on costs and benefits of the report: sentences and tables (FV.CBA.1, FV.CBA.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from sfpc.cost_benefit.appraisal import READING_WORDS
from sfpc.cost_benefit.run import ALL_LAS, CostBenefitResults, pounds
from sfpc.report.tables import Row, Table, lettered, number, text
from sfpc.report.words import decimal, interval, sentence, share, whole


def cost_benefit_section(results: CostBenefitResults, key: str, la_name: Callable[[str], str] = str) -> dict[str, Any]:
    """Words and tables for one programme.

    key: of the tables, unique on the page. la_name: the name of an area.

    Returns a mapping with lead (sentence), rest (sentences) and tables (list of Table); what is undefined says why.
    """
    tables = [
        readings_table(results.values, key),
        areas_table(results.values, key, la_name),
        lines_table(results.lines, key, la_name),
        care_table(results.care_costs, key, la_name),
        switching_table(results, key),
        tornado_table(results, key),
        draws_table(results.draws, key),
    ]
    return {
        "lead": results.sentences[0],
        "rest": list(results.sentences[1:]),
        "tables": [table for table in tables if table is not None],
    }


def readings_table(values: pd.DataFrame, key: str) -> Table:
    """The mean of the LAs under every reading, with and without the gate."""
    mine = values[values["la_id"] == ALL_LAS]
    return _value_table(
        mine,
        f"cost-benefit-readings-{key}",
        "Benefit and cost per LA under each reading of the benefit, with and without the rule on significance",
        ["Reading", "Benefit stated"],
        lambda row: (sentence(str(row["reading"]).replace("_", " ")), str(row["significance_gate"])),
    )


def areas_table(values: pd.DataFrame, key: str, la_name: Callable[[str], str]) -> Table:
    """Every LA under the default reading."""
    mine = values[(values["la_id"] != ALL_LAS) & values["is_default_reading"].astype(bool)]
    return _value_table(
        mine,
        f"cost-benefit-las-{key}",
        "Benefit and cost by LA, the reading that leads",
        ["LA", "Benefit stated"],
        lambda row: (la_name(str(row["la_id"])), str(row["significance_gate"])),
    )


def _value_table(
    frame: pd.DataFrame, key: str, caption: str, heads: list[str], cells: Callable[[Any], tuple[str, ...]]
) -> Table:
    records = frame.to_dict("records")
    marks, notes = lettered([None if pd.isna(row["reason"]) else _one_note(str(row["reason"])) for row in records])
    if "Reading" in heads:
        notes = [*notes, *(("", f"{name.replace('_', ' ')}: {words}") for name, words in READING_WORDS.items())]
    return Table(
        key=key,
        caption=f"{caption}; prices of {records[0]['price_base']}" if records else caption,
        columns=[
            *map(text, heads),
            number("Children a year"),
            number("Fewer in care a year"),
            number("Benefit"),
            number("Cost"),
            number("Net present value"),
            number("Benefit-cost ratio"),
            text("Note"),
        ],
        rows=[
            Row(
                (
                    *cells(row),
                    whole(row["children_per_year"]),
                    decimal(row["fewer_children_per_year"], 1),
                    pounds(row["benefit_gbp"]),
                    pounds(row["cost_gbp"]),
                    pounds(row["net_present_value_gbp"]),
                    "undefined" if pd.isna(row["benefit_cost_ratio"]) else decimal(row["benefit_cost_ratio"]),
                    mark,
                ),
                kind="chosen" if row["is_default_reading"] and row["la_id"] == ALL_LAS else "",
            )
            for row, mark in zip(records, marks, strict=True)
        ],
        notes=notes,
    )


def lines_table(lines: pd.DataFrame, key: str, la_name: Callable[[str], str]) -> Table | None:
    """What LAs reported, by category and phase, and what of it counts."""
    if lines.empty:
        return None
    sums = lines.assign(excluded=lines["excluded"].fillna("")).groupby(
        ["la_id", "category", "phase", "excluded"], as_index=False, sort=True
    )[["reported_gbp", "counted_gbp", "present_value_gbp"]].sum()  # fmt: skip
    return Table(
        key=f"cost-lines-{key}",
        caption="Costs that were reported, and what of them counts",
        columns=[
            text("LA"),
            text("Category"),
            text("Phase"),
            number("Reported"),
            number("Counted, in prices of the base year"),
            number("Present value"),
            text("Not counted because"),
        ],
        rows=[
            Row(
                (
                    la_name(str(row["la_id"])),
                    str(row["category"]),
                    str(row["phase"]).replace("_", "-"),
                    pounds(row["reported_gbp"]),
                    pounds(row["counted_gbp"]),
                    pounds(row["present_value_gbp"]),
                    str(row["excluded"]),
                )
            )
            for row in sums.to_dict("records")
        ],
    )


def care_table(care: pd.DataFrame, key: str, la_name: Callable[[str], str]) -> Table:
    """What a year in care costs, by LA and kind of placement."""
    records = care.to_dict("records")
    marks, notes = lettered([_one_note(str(row["reason"])) for row in records])
    return Table(
        key=f"care-costs-{key}",
        caption=f"What a year in care costs before go-live, in prices of {records[0]['price_base']}",
        columns=[
            text("LA"),
            text("Kind of placement"),
            number("Days of care"),
            text("Cost taken"),
            text("Year"),
            number("Pounds a year"),
            number("Share of the mean"),
            text("Note"),
        ],
        rows=[
            Row(
                (
                    la_name(str(row["la_id"])),
                    str(row["placement_group"]).replace("_", " "),
                    share(row["care_days_pct"], 100),
                    str(row["item"]),
                    str(row["period"]),
                    whole(row["amount_gbp_per_year"]),
                    whole(row["contribution_gbp"]),
                    mark,
                )
            )
            for row, mark in zip(records, marks, strict=True)
        ],
        notes=notes,
    )


def switching_table(results: CostBenefitResults, key: str) -> Table:
    """At what value of each parameter the programme just pays, under the default reading."""
    mine = results.switching[results.switching["reading"] == _default(results)]
    return Table(
        key=f"switching-{key}",
        caption="At what value the programme just pays for itself, all else as it is",
        columns=[
            text("Parameter"),
            text("Unit"),
            number("As it is"),
            number("Just pays at"),
            text("Why there is none"),
        ],
        rows=[
            Row(
                (
                    sentence(str(row["parameter"])),
                    str(row["unit"]),
                    decimal(row["central"]),
                    decimal(row["switching"]),
                    str(row["reason"]),
                )
            )
            for row in mine.to_dict("records")
        ],
    )


def tornado_table(results: CostBenefitResults, key: str) -> Table:
    """One parameter after the other, widest swing first, under the default reading."""
    mine = results.tornado[results.tornado["reading"] == _default(results)]
    return Table(
        key=f"tornado-{key}",
        caption="Net present value per LA with one parameter at its lowest and highest value, widest swing first",
        columns=[
            text("Parameter"),
            number("Low"),
            number("High"),
            number("Net present value, low"),
            number("Net present value, high"),
            number("Ratio, low"),
            number("Ratio, high"),
        ],
        rows=[
            Row(
                (
                    sentence(str(row["parameter"])),
                    decimal(row["low"]),
                    decimal(row["high"]),
                    pounds(row["net_present_value_low_gbp"]),
                    pounds(row["net_present_value_high_gbp"]),
                    _ratio(row["benefit_cost_ratio_low"]),
                    _ratio(row["benefit_cost_ratio_high"]),
                )
            )
            for row in mine.to_dict("records")
        ],
    )


def draws_table(draws: pd.DataFrame, key: str) -> Table:
    """Net value and ratio over draws, by reading."""
    return Table(
        key=f"draws-{key}",
        caption="Draws of effect, cost of care and duration: the middle 95 in 100",
        columns=[
            text("Reading"),
            number("Net present value, median"),
            text("Middle 95 in 100"),
            text("Ratio, middle 95 in 100"),
            number("Pays for itself"),
            text("Why there is none"),
        ],
        rows=[
            Row(
                (
                    sentence(str(row["reading"]).replace("_", " ")),
                    pounds(row["net_present_value_median_gbp"]),
                    f"{pounds(row['net_present_value_low_gbp'])} to {pounds(row['net_present_value_high_gbp'])}",
                    interval(row["benefit_cost_ratio_low"], row["benefit_cost_ratio_high"]),
                    "" if pd.isna(row["share_positive"]) else f"{100 * row['share_positive']:.0f}%",
                    "" if pd.isna(row["reason"]) else str(row["reason"]),
                )
            )
            for row in draws.to_dict("records")
        ],
    )


def _default(results: CostBenefitResults) -> str:
    values = results.values
    return str(values.loc[values["is_default_reading"].astype(bool), "reading"].iloc[0])


def _ratio(value: float) -> str:
    return "undefined" if pd.isna(value) else decimal(value)


def _one_note(reason: str) -> str:
    """`lettered` parts notes at semicolons; a reason is one note."""
    return reason.replace(";", ",")
