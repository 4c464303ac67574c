"""National extracts (flat CSV or Parquet) into the landing tables.

Names differ by supply (case, prefix, a suffix for the year); ``national_columns.csv`` lists the accepted
names of every landing column. Files are recognised by name: ``CIN_*``, ``CLA_Episode*``,
``Spring_Census_<year>``, ``Absence_<year>_3Term``, ``LA_Statistics*`` and
``Subject_Register*`` (children whose data may not be used, DP.3).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb
import pandas as pd

from sfpc.errors import InputError, SfpcError
from sfpc.landing.gate import Gate
from sfpc.landing.layout import TABLES
from sfpc.progress import say

FILE_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"cin_", ("cin_records",)),
    (r"cla_episode", ("cla_episodes", "cla_children")),
    (r"spring_census_(?P<year>\d{4})", ("npd_pupils",)),
    (r"absence_(?P<year>\d{4})_3term", ("npd_absence",)),
    (r"la_statistics", ("la_statistics",)),
    (r"subject_register", ("subject_register",)),
)
YEAR_COLUMNS = {"npd_pupils": "census_year", "npd_absence": "school_year"}
YEAR_SUFFIX = re.compile(r"_(spr|ab|aut|sum)\d{2}$", re.IGNORECASE)


@dataclass(frozen=True)
class AcceptedName:
    """One accepted name of a landing column and how its value is read."""

    column: str
    name: str
    reading: str
    is_required: bool


def accepted_names() -> dict[str, list[AcceptedName]]:
    """Accepted names per landing table, in order of preference."""
    text = (files("sfpc.landing") / "national_columns.csv").read_text(encoding="utf-8")
    out: dict[str, list[AcceptedName]] = {}
    for row in csv.DictReader(text.splitlines()):
        out.setdefault(row["landing_table"], []).append(
            AcceptedName(row["column"], row["accepted_name"], row["reading"], row["is_required"] == "true")
        )
    return out


def land_national(source: Path, gate: Gate) -> pd.DataFrame:
    """Land every extract in ``source`` and publish the landing tables; returns the reconciliation.

    Raises InputError for a missing required column (naming the accepted names) and SfpcError when the
    folder holds no extract. Files of another kind are listed in the manifest as ignored.
    """
    found = 0
    names = accepted_names()
    reader = duckdb.connect()
    for path in sorted(p for p in source.glob("*") if p.is_file()) if source.is_dir() else []:
        match, tables = _kind(path)
        if not tables:
            gate.note_ignored(path, "not one of the extracts this project reads")
            continue
        found += 1
        say(f"  landing {path.name}")
        year = match.groupdict().get("year") if match else None
        given = _columns(reader, path)
        for table in tables:
            gate.add_query(table, path, _query(path, table, given, names[table], year), "iso")
    if not found:
        raise SfpcError(
            f"{source} holds no national extract; expected files such as CIN_2018_to_2025.csv, "
            "CLA_Episode_Data.csv, Spring_Census_2021.csv, Absence_2021_3Term.csv, LA_Statistics.csv"
        )
    return gate.commit()


def _kind(path: Path) -> tuple[re.Match[str] | None, tuple[str, ...]]:
    if path.suffix.lower() in (".csv", ".parquet"):
        for pattern, tables in FILE_KINDS:
            match = re.match(pattern, path.stem, re.IGNORECASE)
            if match:
                return match, tables
    return None, ()


def _relation(path: Path) -> str:
    place = str(path).replace("'", "''")
    if path.suffix.lower() == ".parquet":
        return f"read_parquet('{place}', file_row_number = true)"
    return f"read_csv('{place}', header = true, all_varchar = true, null_padding = true, parallel = false)"


def _columns(reader: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Columns as spelt in the file, keyed by their lower-case name without the year suffix."""
    try:
        described = reader.execute(f"describe select * from {_relation(path)}").fetchall()
    except duckdb.Error as error:
        raise InputError(f"cannot be read: {str(error).splitlines()[0]}", file=path) from error
    return {YEAR_SUFFIX.sub("", name).lower(): name for name, *_ in described}


def _query(path: Path, table: str, given: dict[str, str], names: list[AcceptedName], year: str | None) -> str:
    parts = []
    for column in TABLES[table].columns:
        if year is not None and column.name == YEAR_COLUMNS.get(table):
            parts.append(f"{year}::integer as {column.name}")
            continue
        accepted = [n for n in names if n.column == column.name]
        present = [n for n in accepted if n.name.lower() in given]
        readings = [_reading(n.reading, given[n.name.lower()], len(present) > 1) for n in present]
        if not readings and any(n.is_required for n in accepted):
            wanted = ", ".join(dict.fromkeys(n.name for n in accepted if n.is_required))
            raise InputError(f"the column is missing; accepted names are {wanted}", file=path, column=column.name)
        value = f"coalesce({', '.join(readings)})" if len(readings) > 1 else (readings or ["null::varchar"])[0]
        parts.append(f"{value} as {column.name}")
    row = "file_row_number + 1" if path.suffix.lower() == ".parquet" else "row_number() over () + 1"
    distinct = table == "cla_children"
    body = f"select {', '.join(parts)}, ({row})::bigint as source_row from {_relation(path)}"
    if not distinct:
        return body
    # The episode file repeats a child's particulars on every episode: one row per return and child.
    listed = ", ".join(TABLES[table].names)
    return f"select {listed}, min(source_row) as source_row from ({body}) group by {listed}"


def _reading(kind: str, column: str, as_text: bool) -> str:
    name = '"' + column.replace('"', '""') + '"'
    text = f"nullif(trim(cast({name} as varchar)), '')"
    readings = {
        "text": text if as_text else name,
        "academic_year_end": f"right({text}, 4)",
        "year_when_blank": f"left({text}, 4)",
        "month_when_blank": f"substr({text}, 6, 2)",
        "is_filled": f"case when {text} is not null then '1' else '0' end",
    }
    return readings[kind]
