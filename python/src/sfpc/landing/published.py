"""Published LA-level figures (DfE, ONS) into the landing table ``published_figures``.

Eight tables are known, each by its header and never by its file name; a wide row becomes one long row per
figure. Only rows of local authorities land; national and regional rows are counted as out of scope. A
marker (c small number, x not available, z not applicable, u low reliability, - missing, k rounds to 0)
stays the text that it is: it is never 0 (trap 25). An LA is its code; names vary and are not read.
Source: docs/raw_data.md section F.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.gate import Gate
from sfpc.landing.text import find_header, rows
from sfpc.progress import say

MONTHS = (
    "April", "May", "June", "July", "August", "September", "October", "November", "December", "January", "February",
    "March",
)  # fmt: skip
"""Months in the order of a financial year, as table c6 names its columns."""

MARKERS = ("c", "x", "z", "u", "-", "k")
"""What stands in place of a figure (trap 25)."""

LA_LEVEL = "Local authority"

_KEYS = ("time_period", "geographic_level", "old_la_code", "new_la_code")
_DESCRIPTIVE = ("time_identifier", "country_code", "country_name", "region_code", "region_name", "la_name")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_LA_CODE = re.compile(r"[0-9]{3}")


@dataclass(frozen=True)
class PublishedTable:
    """One published table: its short name, the columns that say what a figure is a part of, and those with figures.

    A file is this table when it has all of these columns. months: further figures, one column a month, that are parts
    of the one measure; its whole is a row with the breakdown 'Total'.
    """

    name: str
    breakdown: tuple[str, ...]
    measures: tuple[str, ...]
    months: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        return (*_KEYS, *self.breakdown, *self.measures, *self.months)


PUBLISHED_TABLES: tuple[PublishedTable, ...] = (
    PublishedTable(
        "c1",
        ("category",),
        (
            "referral_count", "rereferral_count", "rereferral_percent", "no_further_action_count",
            "no_further_action_percent", "not_in_need_count", "not_in_need_percent", "referral_child_count",
            "rereferral_child_count", "rereferral_child_percent",
        ),
    ),
    PublishedTable("c6", (), ("Referrals",), MONTHS),
    PublishedTable(
        "b1",
        ("category",),
        (
            "Anypoint_episodes", "Anypoint_child", "Started_episodes", "Started_child", "Ended_episodes",
            "Ended_child", "At31_episodes", "awaiting_assessment",
        ),
    ),
    PublishedTable(
        "b7",
        ("category",),
        (
            "CINPlan_start", "CINPlan_start_rate", "CINPlan_child_start", "CINPlan_child_start_rate", "CINPlan_end",
            "CINPlan_end_rate", "CINPlan_child_end", "CINPlan_child_end_rate", "CINPlan_anypoint",
            "CINPlan_anypoint_rate", "CINPlan_child_anypoint", "CINPlan_child_anypoint_rate", "CINPlan_At31",
            "CINPlan_At31_rate",
        ),
    ),
    PublishedTable("d3", ("category",), ("CPP_start", "CPP_subsequent", "CPP_subsequent_percent")),
    PublishedTable("cla", ("population_type",), ("population_estimate", "children_count", "rate_per_10000")),
    PublishedTable(
        "absence",
        ("absence_terms", "social_care_group", "phase_type_grouping"),
        (
            "t_pupils", "t_sess_possible", "t_sess_overall", "pt_overall", "t_sess_authorised", "pt_sess_authorised",
            "t_sess_unauthorised", "pt_sess_unauthorised", "t_pupils_pa_10_exact", "pt_pupils_pa_10_exact",
            "t_pupils_pa_50_exact", "pt_pupils_pa_50_exact",
        ),
    ),
    PublishedTable("population", ("age_group",), ("population_estimate",)),
)  # fmt: skip


def land_published(folder: Path, gate: Gate) -> int:
    """Hand every published table below ``folder`` to the gate; returns how many files were landed.

    Files of another kind are noted as ignored; rows of another geographic level are counted in the manifest's
    ``out_of_scope``, columns that no measure needs in ``columns_not_loaded``. Raises InputError for a folder that is
    not there, a file that cannot be read to its end, a period that two editions of a table hold, a row without an LA
    code or period, and a figure that is neither a number nor a marker, naming row and column.
    """
    if not folder.is_dir():
        raise InputError("expected a folder of published tables", file=folder)
    editions: dict[tuple[str, str], Path] = {}
    return sum(_land_file(path, gate, editions) for path in sorted(p for p in folder.rglob("*") if p.is_file()))


def table_of(columns: tuple[str, ...]) -> PublishedTable | None:
    """The published table that has these columns (in any case and order); None where it is none of them."""
    names = {c.strip().upper() for c in columns}
    return next((t for t in PUBLISHED_TABLES if {c.upper() for c in t.columns} <= names), None)


def _land_file(path: Path, gate: Gate, editions: dict[tuple[str, str], Path]) -> bool:
    shape = find_header(path, lambda c: table_of(c) is not None) if path.suffix.lower() == ".csv" else None
    table = table_of(shape.columns) if shape is not None else None
    if shape is None or table is None:
        if shape is not None:
            shape.text.refuse_damage()
        gate.note_ignored(path, "not one of the published tables this project reads")
        return False
    say(f"  landing {path.name} as published table {table.name}")
    for note in shape.notes:
        gate.tell("reader_notes", path, note=note)
    read = {c.upper() for c in (*table.columns, *_DESCRIPTIVE)}
    if table.months:
        read.add("CATEGORY")
    if unknown := [c for c in shape.columns if c and c not in read]:
        gate.tell("columns_not_loaded", path, columns=unknown, reason="no purpose (DP.7)")
    out: list[tuple[object, ...]] = []
    elsewhere: Counter[str] = Counter()
    for number, values in rows(shape, [c.upper() for c in table.columns]):
        given = dict(zip(table.columns, values, strict=True))
        if given["geographic_level"] == LA_LEVEL:
            first = editions.setdefault((table.name, given["time_period"] or ""), path)
            if first != path:
                raise InputError(
                    f"period {given['time_period']} of table {table.name} stands in {first.name} too; figures are "
                    "revised between editions, so keep the one that is meant",
                    file=path,
                    row=number,
                )
            out += _long(path, number, table, given)
        else:
            elsewhere[given["geographic_level"] or "blank"] += 1
    for level, count in sorted(elsewhere.items()):
        gate.tell("out_of_scope", path, geographic_level=level, rows=count)
    if not out:
        gate.add_empty("published_figures", path)
        return True
    names = [
        "published_table", "la_code", "ons_code", "time_period", "breakdown", "measure", "value", "source_row",
    ]  # fmt: skip
    gate.add_rows("published_figures", path, pd.DataFrame(out, columns=names), "iso")
    return True


def _long(path: Path, number: int, table: PublishedTable, given: dict[str, str | None]) -> list[tuple[object, ...]]:
    """The figures of one LA and period, a row each."""
    old, ons, period = given["old_la_code"], given["new_la_code"], given["time_period"]
    la_code = old if old is not None and _LA_CODE.fullmatch(old) else None
    for value, column, expected in (
        (la_code or ons, "old_la_code", "a three-digit code, or an ONS code in new_la_code"),
        (period, "time_period", "a year such as 2020 or 201920"),
    ):
        if value is None:
            raise InputError(f"expected {expected}", file=path, row=number, column=column)
    breakdown = " | ".join(given[c] or "" for c in table.breakdown) or None
    cells = [(breakdown, m, m) for m in table.measures]
    if table.months:
        (measure,) = table.measures
        cells = [("Total", measure, measure), *((month, measure, month) for month in table.months)]
    out: list[tuple[object, ...]] = []
    for part, measure, column in cells:
        value = given[column]
        if value is not None and value not in MARKERS and not _NUMBER.fullmatch(value):
            raise InputError(
                f"expected a number or one of the markers {' '.join(MARKERS)}", file=path, row=number, column=column
            )
        out.append((table.name, la_code, ons, period, part, measure, value, number))
    return out
