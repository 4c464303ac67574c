"""Rows of a landing directory as lists of dicts, for all children or for a part of them.

Nothing is defined here: DuckDB opens the Parquet files, and who is who is asked of ``definitions``.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from definitions import Areas, ChildId, Children, Returns, Row, child_code, child_label, tidy

LINKING = ["return_year", "la_code", "la_child_id", "pupil_id", "birth_year", "birth_month"]
REFERRAL = ["return_year", "la_code", "la_child_id", "referral_date"]

COLUMNS = {
    "cin_records": [
        *LINKING,
        "is_expected_birth",
        "is_unborn",
        "gender",
        "ethnicity",
        "disability",
        "referral_date",
        "primary_need",
        "referral_nfa",
        "closure_date",
        "closure_reason",
        "cpp_start_date",
        "cpp_end_date",
        "cpp_previous_count",
        "cin_plan_start_date",
        "cin_plan_end_date",
    ],
    "cin_assessments": [*REFERRAL, "assessment_factors"],
    "cin_section47": REFERRAL,
    "cla_children": [*LINKING, "gender", "ethnicity", "uasc_status"],
    "cla_episodes": [
        "return_year",
        "la_code",
        "la_child_id",
        "episode_start_date",
        "reason_for_new_episode",
        "legal_status",
        "placement",
        "episode_end_date",
        "reason_episode_ceased",
        "period_start_date",
    ],
    "npd_pupils": [
        "census_year",
        "pupil_id",
        "nc_year",
        "fsm_eligible",
        "ever_fsm_6",
        "ever_fsm_6_p",
        "ever_fsm_all",
    ],
    "npd_absence": [
        "school_year",
        "pupil_id",
        *(
            f"{measure}_{term}"
            for measure in ("sessions_possible", "unauthorised_absence")
            for term in ("autumn", "spring", "summer", "summer6th")
        ),
    ],
    "la_statistics": ["la_code", "reference_date", "measure", "value"],
    "data_windows": ["landing_table", "first_date", "last_date"],
}


@dataclass
class Part:
    """The tables of the chosen children; children is None when all were chosen."""

    tables: dict[str, list[Row]]
    children: set[ChildId] | None
    returns: Returns


def read_seeds(seeds_dir: Path) -> dict[str, list[Row]]:
    """Every CSV below the seeds directory, by file name without suffix."""
    seeds = {}
    for path in sorted(Path(seeds_dir).rglob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as file:
            seeds[path.stem] = list(csv.DictReader(file))
    return seeds


def read_rows(landing_dir: Path, table: str, columns: list[str] | None = None) -> Iterator[Row]:
    """The rows of a landing table, one dict at a time."""
    names = columns or COLUMNS[table]
    files = str(Path(landing_dir) / table / "*.parquet")
    with duckdb.connect() as connection:
        query = f"select {', '.join(names)} from read_parquet(?, union_by_name = true)"
        cursor = connection.execute(query, [files])
        while rows := cursor.fetchmany(50_000):
            for row in rows:
                yield dict(zip(names, row, strict=True))


def is_chosen(child_id: ChildId, every: int | None, pupils: set[str]) -> bool:
    """Named by its pupil id, or one in `every` by the md5 of its identity."""
    if child_id[0] == "pupil" and child_id[1] in pupils:
        return True
    digest = hashlib.md5(child_label(child_id).encode()).hexdigest()
    return every is not None and int(digest[:8], 16) % every == 0


def read_part(
    landing_dir: Path,
    seeds: dict[str, list[Row]],
    *,
    every: int | None = None,
    pupils: list[str] | None = None,
) -> Part:
    """The rows of the chosen children: chosen after linking, over all rows, so that no part is lost.

    All rows under an LA child id of a chosen child are kept: where an area was reorganised an id may
    stand for two children, and telling them apart needs the rows of both.
    """
    areas = Areas(seeds["local_authority_successors"])
    returns = Returns(
        read_rows(landing_dir, "cin_records", ["return_year", "la_code"]),
        read_rows(landing_dir, "cla_episodes", ["return_year", "la_code"]),
        seeds,
        areas,
        read_rows(landing_dir, "data_windows"),
        read_rows(landing_dir, "cin_assessments"),
    )
    if every is None and not pupils:
        return Part({name: list(read_rows(landing_dir, name)) for name in COLUMNS}, None, returns)

    children = Children(
        read_rows(landing_dir, "cin_records", [*LINKING, "is_expected_birth", "is_unborn"]),
        read_rows(landing_dir, "cla_children", LINKING),
        areas,
    )
    named = {tidy(p) or "" for p in pupils or []}
    chosen = {child for child in children.child_ids_seen if is_chosen(child, every, named)}
    la_ids = set().union(*(children.la_ids_of_child[child] for child in chosen))
    pupil_ids = {child[1] for child in chosen if child[0] == "pupil"}

    tables: dict[str, list[Row]] = {}
    for name in ("cin_records", "cin_assessments", "cin_section47", "cla_children", "cla_episodes"):
        tables[name] = [
            row
            for row in read_rows(landing_dir, name)
            if (areas.la_id(row["la_code"]), child_code(row["la_child_id"])) in la_ids
        ]
    for name in ("npd_pupils", "npd_absence"):
        tables[name] = [row for row in read_rows(landing_dir, name) if tidy(row["pupil_id"]) in pupil_ids]
    for name in ("la_statistics", "data_windows"):
        tables[name] = list(read_rows(landing_dir, name))
    return Part(tables, chosen, returns)
