"""The data dictionary: every mart and results table in one page that opens offline, with the worked queries' results.

Descriptions are read where they live: of marts in the database's comments and the lineage, of results in the results
dictionary. Beside the page stands dbt's own documentation as one file. Both are internal: queries give small counts.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from sfpc.errors import SfpcError
from sfpc.progress import say
from sfpc.provenance.queries import FOLDER, WorkedQuery, compiled_queries, read_queries, write_queries
from sfpc.provenance.results_dictionary import results_dictionary
from sfpc.provenance.seal import read_record
from sfpc.provenance.shell import open_read_only
from sfpc.report.decision import MARKING
from sfpc.report.page import fill, write_page
from sfpc.settings import Paths
from sfpc.warehouse.build import run_dbt

PAGE, DBT_DOCS = "index.html", "dbt.html"
_MOST_ROWS = 25
# dbt's page asks for nothing when it is opened from a file; this makes sure that no release of it ever does.
_CLOSED = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'none'; form-action 'none'\">"
)


def write_dictionary(paths: Paths, has_dbt_docs: bool = True) -> Path:
    """Write outputs/dictionary: the page, the worked queries as SQL, and dbt's documentation; returns the page.

    has_dbt_docs: without them dbt only compiles the queries, and an earlier dbt.html is removed. Raises SfpcError where
    there are no marts, or no record of what they were built from.
    """
    record = read_record(paths.warehouse_record)
    if record is None or record.content.get("build") is None:
        raise SfpcError(f"{paths.warehouse_record}: no record of what the marts were built from; run `sfpc build`")
    workshop = paths.data / "documenting"
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir(parents=True)
    try:
        # A build file of its own, empty: the documentation is about the project, and the real file stays untouched.
        command = ("docs", "generate", "--static", "--empty-catalog") if has_dbt_docs else ("compile",)
        selected = () if has_dbt_docs else ("--select", "path:analysis")
        run_dbt(paths, *command, *selected, target=workshop, build_db=workshop / paths.build_db.name)
        queries = compiled_queries(paths, workshop)
        folder = paths.dictionary
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        write_queries(folder / FOLDER, queries)
        if has_dbt_docs:
            write_page(folder / DBT_DOCS, _closed(workshop, paths))
        else:
            (folder / DBT_DOCS).unlink(missing_ok=True)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return write_page(folder / PAGE, page_of(paths))


def page_of(paths: Paths) -> str:
    """The page as text, with the worked queries that lie beside it."""
    record = read_record(paths.warehouse_record)
    assert record is not None
    connection = open_read_only(paths.marts_db)
    try:
        tables = _tables(connection)
        lineage = record.content["build"]["lineage"]
        marts = [_mart(name, held, lineage[name]) for (schema, name), held in tables.items() if schema == "marts"]
        results = [
            _result(name, tables[("results", name)]) for name in results_dictionary() if ("results", name) in tables
        ]
        queries = [_answer(connection, query) for query in read_queries(paths).values()]
    finally:
        connection.close()
    status = [
        ("Build", str(record.content["build_id"])),
        ("Built", str(record.content["build"]["built_at"])),
        ("Results of run", str(record.content["results_run_id"] or "none yet")),
        ("Tables", f"{len(marts)} marts, {len(results)} of results"),
    ]
    return fill(
        "dictionary.html.j2",
        marking=MARKING,
        file=paths.marts_db.name,
        status=status,
        marts=marts,
        results=results,
        queries=queries,
        dbt_docs=DBT_DOCS if (paths.dictionary / DBT_DOCS).is_file() else "",
    )


def _closed(workshop: Path, paths: Paths) -> str:
    """dbt's page without places of this machine, and closed to the network."""
    text = (workshop / "static_index.html").read_text(encoding="utf-8")
    for place, name in ((workshop, "target"), (paths.landing, "data/landing"), (paths.root, ".")):
        text = text.replace(str(place), name)
    return re.sub(r"(<head[^>]*>)", lambda found: found.group(1) + _CLOSED, text, count=1)


def _tables(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], dict[str, Any]]:
    """Every table with its rows, comment and columns (name, type, meaning)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for schema, name, comment in connection.execute(
        "select schema_name, table_name, comment from duckdb_tables() where schema_name in ('marts', 'results') "
        "order by all"
    ).fetchall():
        (rows,) = connection.execute(f"select count(*) from {schema}.{name}").fetchone() or (0,)
        columns = connection.execute(
            "select column_name, data_type, coalesce(comment, '') from duckdb_columns() where schema_name = ? "
            "and table_name = ? order by column_index",
            [schema, name],
        ).fetchall()
        found[(str(schema), str(name))] = {
            "rows": f"{rows:,}",
            "comment": str(comment or ""),
            "columns": [{"name": str(c), "type": str(t).lower(), "meaning": str(m)} for c, t, m in columns],
        }
    return found


def _mart(name: str, held: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"marts.{name}",
        "name": name,
        "description": node["description"],
        "grain": node["grain"],
        "rows": held["rows"],
        "clauses": ", ".join(node["clauses"]),
        "file": node["file"],
        "needs": ", ".join(node["needs"]),
        "columns": held["columns"],
        "tests": node["tests"],
    }


def _result(name: str, held: Mapping[str, Any]) -> dict[str, Any]:
    table = results_dictionary()[name]
    return {
        "id": f"results.{name}",
        "name": name,
        "description": f"{table.description}.",
        "grain": table.grain,
        "rows": held["rows"],
        "clauses": ", ".join(table.clauses),
        "file": "",
        "needs": ", ".join(table.marts),
        "columns": held["columns"],
        "tests": [],
    }


def _answer(connection: duckdb.DuckDBPyConnection, query: WorkedQuery) -> dict[str, Any]:
    """A worked query with the first rows of its answer."""
    try:
        found = connection.execute(query.sql)
        names = [str(column[0]) for column in found.description or []]
        rows = found.fetchall()
    except duckdb.Error as error:
        # Marts of another version than the query: said in its place, the rest of the page is right.
        say(f"  {query.name}: {error}")
        return {"name": query.name, "question": query.question, "sql": query.sql, "columns": [], "rows": [],
                "caption": f"The query does not run on these marts: {error}"}  # fmt: skip
    shown = "No rows" if not rows else f"{len(rows):,} row{'' if len(rows) == 1 else 's'}"
    if len(rows) > _MOST_ROWS:
        shown = f"The first {_MOST_ROWS} of {shown}"
    return {
        "name": query.name,
        "question": query.question,
        "sql": query.sql,
        "columns": [{"name": name, "is_number": _is_number(row[i] for row in rows)} for i, name in enumerate(names)],
        "rows": [[_cell(value) for value in row] for row in rows[:_MOST_ROWS]],
        "caption": shown,
    }


def _is_number(values: Iterable[object]) -> bool:
    held = [value for value in values if value is not None]
    return bool(held) and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in held
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal):
        # A year is a number too.
        return f"{value:,}" if value >= 10_000 or value <= -10_000 else str(value)
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return str(value)
