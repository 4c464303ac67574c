"""The worked queries of analysis/, as plain SQL that the published file answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sfpc.settings import Paths

FOLDER = "queries"


@dataclass(frozen=True)
class WorkedQuery:
    """A worked query: its name, the question in words (of its first comment), and the SQL."""

    name: str
    question: str
    sql: str


def compiled_queries(paths: Paths, target: Path) -> list[WorkedQuery]:
    """The queries as dbt compiled them below its target folder, naming tables as the published file does."""
    # dbt names the catalogue after the build file; readers have another file, and schemas of the same names.
    catalogue = re.compile(rf'"?{re.escape(paths.build_db.stem)}"?\.(?="?marts)')
    files = sorted((target / "compiled").rglob("analysis/*.sql"))
    return [_read(path.stem, catalogue.sub("", path.read_text(encoding="utf-8"))) for path in files]


def write_queries(folder: Path, queries: list[WorkedQuery]) -> None:
    """Write one file per query into an empty folder."""
    folder.mkdir(parents=True)
    for query in queries:
        (folder / f"{query.name}.sql").write_text(query.sql, encoding="utf-8")


def read_queries(paths: Paths) -> Mapping[str, WorkedQuery]:
    """The queries that `sfpc dictionary` wrote, by name; none where it has not run."""
    folder = paths.dictionary / FOLDER
    return {p.stem: _read(p.stem, p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.sql"))}


def _read(name: str, text: str) -> WorkedQuery:
    sql = text.strip() + "\n"
    comment = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        comment.append(line.removeprefix("--").strip())
    question, mark, _ = " ".join(comment).partition("?")
    return WorkedQuery(name, question + mark, sql)
