"""The section on power of the report: sentences, tables, the figure (FV.POWER.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from sfpc.power.figure import power_figure
from sfpc.power.run import PowerResults
from sfpc.report.tables import Row, Table, lettered, number, text
from sfpc.report.words import decimal, whole


def power_section(
    results: PowerResults, key: str, outcome_id: str, target: float, outcome_name: Callable[[str], str] = str
) -> dict[str, Any]:
    """Words, tables and the figure for one programme and outcome.

    key: of the tables, unique on the page. target: power at which an effect counts as detectable (0 to 1).
    outcome_name: an outcome's label.

    Returns a mapping with lead (sentence), rest (sentences), tables (list of Table), chart (SVG or empty), chart_table
    (Table or None) and chart_note; what the results do not hold is left out.
    """
    curve = results.curve[results.curve["outcome_id"] == outcome_id]
    figure = power_figure(curve, f"power-curve-{key}", target)
    said = results.sentences or ("Nothing can be said of power: no outcome has LAs enough.",)
    tables = [
        protocol_table(results.protocol, key),
        correlations_table(results.correlations, key, outcome_name),
        design_table(results.design[results.design["outcome_id"] == outcome_id], key),
        after_table(results.after[results.after["outcome_id"] == outcome_id], key),
    ]
    return {
        "lead": said[0],
        "rest": list(said[1:]),
        "tables": [table for table in tables if table is not None],
        "chart": figure.svg() if figure is not None else "",
        "chart_table": figure.table if figure is not None else None,
        "chart_note": (
            "The line is the formula with the ICC and cluster autocorrelation of these data; dots are simulated studies"
            " of the same LAs, dates and sizes, which move as the rows of the simulation say, with their Monte Carlo"
            " error."
        ),
    }


def protocol_table(frame: pd.DataFrame, key: str) -> Table | None:
    """The protocol's table recomputed."""
    if frame.empty:
        return None
    marks, notes = lettered([str(note) for note in frame["note"]])
    return Table(
        key=f"power-protocol-{key}",
        caption="Minimum detectable effect: the protocol's table, and what it would be under other readings",
        columns=[
            text("Reading"),
            number("Clusters"),
            number("Children in each"),
            number("ICC"),
            number("Level-2 R2"),
            number("Standard deviations"),
            number("Percentage points"),
            text("As printed"),
            text("Note"),
        ],
        rows=[
            Row(
                (
                    str(row["variant"]),
                    whole(row["cluster_count"]),
                    whole(row["children_per_cluster"]),
                    decimal(row["icc"], 5),
                    decimal(row["level2_r2"]),
                    decimal(row["mdes_sd"], 4),
                    decimal(row["mdes_points"]),
                    "yes" if row["is_printed_value"] else "no",
                    mark,
                ),
                kind="chosen" if row["is_printed_value"] else "",
            )
            for row, mark in zip(frame.to_dict("records"), marks, strict=True)
        ],
        notes=notes,
    )


def correlations_table(frame: pd.DataFrame, key: str, outcome_name: Callable[[str], str] = str) -> Table | None:
    """ICC and cluster autocorrelation of every outcome."""
    if frame.empty:
        return None
    marks, notes = lettered([None if pd.isna(note) else str(note) for note in frame["note"]])
    return Table(
        key=f"power-correlations-{key}",
        caption="How alike children of one LA are: children whom the programme has not reached",
        columns=[
            text("Outcome"),
            number("ICC"),
            number("Error"),
            number("Cluster autocorrelation"),
            number("Error"),
            number("LAs"),
            number("Quarters"),
            text("Note"),
        ],
        rows=[
            Row(
                (
                    outcome_name(str(row["outcome_id"])),
                    decimal(row["icc"], 4),
                    decimal(row["icc_error"], 4),
                    decimal(row["cac"]),
                    decimal(row["cac_error"]),
                    whole(row["la_count"]),
                    whole(row["quarter_count"]),
                    mark,
                )
            )
            for row, mark in zip(frame.to_dict("records"), marks, strict=True)
        ],
        notes=notes,
    )


def design_table(frame: pd.DataFrame, key: str) -> Table | None:
    """Minimum detectable effects of the roll-out as it was."""
    frame = frame[frame["assumption"].notna()]
    if frame.empty:
        return None
    first = frame.iloc[0]
    return Table(
        key=f"power-design-{key}",
        caption=(
            f"Minimum detectable effect of the roll-out as it was: {whole(first['treated_la_count'])} treatment and"
            f" {whole(first['comparison_la_count'])} comparison LAs, {whole(first['quarter_count'])} quarters,"
            f" {whole(first['children_count'])} children"
        ),
        columns=[
            text("Assumption"),
            number("Cluster autocorrelation"),
            number("Standard deviations"),
            number(f"In {first['unit']}"),
            number("Degrees of freedom"),
        ],
        rows=[
            Row(
                (
                    str(row["assumption"]),
                    decimal(row["cac"]),
                    decimal(row["mdes_sd"], 4),
                    decimal(row["mdes"]),
                    whole(row["degrees_of_freedom"]),
                )
            )
            for row in frame.to_dict("records")
        ],
    )


def after_table(frame: pd.DataFrame, key: str) -> Table | None:
    """Minimum detectable effects from the errors that were estimated."""
    if frame.empty:
        return None
    return Table(
        key=f"power-after-{key}",
        caption="After the fact: what an estimate as precise as this one finds",
        columns=[
            text("Model"),
            text("Error"),
            number("Standard error"),
            number("Degrees of freedom"),
            number("Minimum detectable effect"),
            text("Unit"),
        ],
        rows=[
            Row(
                (
                    str(row["specification_id"]).replace("_", " "),
                    str(row["inference_method"]),
                    decimal(row["standard_error"], 3),
                    decimal(row["degrees_of_freedom"], 1),
                    decimal(row["mdes"]),
                    str(row["unit"]),
                )
            )
            for row in frame.to_dict("records")
        ],
    )
