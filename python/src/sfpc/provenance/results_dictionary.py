"""What every results table and column means: the one home is result_tables.csv and result_columns.csv beside this file.

A description of a column holds for every table (`*`) that has no own one.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sfpc.results import RESULT_TABLES

MATCHED_CHILDREN = "matched_children"
_MATCHED_COLUMNS = (
    "programme_id",
    "outcome_id",
    "child_id",
    "la_id",
    "weight_protocol",
    "weight_ikp",
    "weight_period",
)
EVERY_TABLE = "*"


@dataclass(frozen=True)
class ResultTable:
    """A results table: what it says, its grain, the marts it is computed from, its clauses, its columns in order."""

    name: str
    description: str
    grain: str
    marts: tuple[str, ...]
    clauses: tuple[str, ...]
    columns: Mapping[str, str]

    @property
    def comment(self) -> str:
        """What stands at the table in the database."""
        return f"{self.description}. Grain: {self.grain}."


@cache
def results_dictionary() -> dict[str, ResultTable]:
    """Every results table by name, in the order of `RESULT_TABLES`, with the matched children.

    Raises KeyError where a table or a column has no description: a column that nobody can explain is a mistake here.
    """
    tables = {row["result_table"]: row for row in _rows("result_tables.csv")}
    meaning = {(row["result_table"], row["column_name"]): row["description"] for row in _rows("result_columns.csv")}
    declared = {name: tuple(columns) for name, columns in RESULT_TABLES.items()} | {MATCHED_CHILDREN: _MATCHED_COLUMNS}
    found = {}
    for name, columns in declared.items():
        row = tables[name]
        found[name] = ResultTable(
            name,
            row["description"],
            row["grain"],
            tuple(row["marts"].split()),
            tuple(row["clause"].split(";")),
            {c: meaning.get((name, c)) or meaning[(EVERY_TABLE, c)] for c in columns},
        )
    return found


def described_columns() -> set[tuple[str, str]]:
    """Table (or `*`) and column of every description, for a test that none is left over."""
    return {(row["result_table"], row["column_name"]) for row in _rows("result_columns.csv")}


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("sfpc.provenance") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
