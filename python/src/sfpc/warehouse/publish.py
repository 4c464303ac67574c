"""Publish the marts: a DuckDB file and one Parquet file each, in the place of the old ones; later the results too."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from sfpc.errors import SfpcError
from sfpc.landing.gate import replace_folder
from sfpc.provenance.build_record import build_id_of, write_warehouse_record
from sfpc.provenance.results_dictionary import results_dictionary
from sfpc.provenance.results_record import RECORD
from sfpc.provenance.seal import read_record
from sfpc.settings import Paths

MARTS = "marts"
RESULTS = "results"


def publish(paths: Paths) -> list[str]:
    """Copy every mart out of the build file, with comments, ordered by its key columns.

    Readers of the published file never see half a build: it is written aside and put in place by one
    rename. Returns the names of the marts. Raises SfpcError when there is no build file.
    """
    if not paths.build_db.is_file():
        raise SfpcError(f"there is no build to publish ({paths.build_db}); run `sfpc build` first")
    new = paths.marts_db.with_suffix(".incoming.duckdb")
    new.unlink(missing_ok=True)
    parquet = paths.marts_parquet.with_name("marts.incoming")
    shutil.rmtree(parquet, ignore_errors=True)
    parquet.mkdir(parents=True)
    con = duckdb.connect(str(new))
    try:
        con.execute(f"attach '{paths.build_db}' as build (read_only)")
        con.execute(f"create schema {MARTS}")
        names = [
            str(row[0])
            for row in con.execute(
                "select table_name from duckdb_tables() where database_name = 'build' and schema_name = ? "
                "order by table_name",
                [MARTS],
            ).fetchall()
        ]
        for name in names:
            con.execute(f"create table {MARTS}.{name} as select * from build.{MARTS}.{name} order by all")
            _copy_comments(con, name)
            con.execute(f"copy {MARTS}.{name} to '{parquet / name}.parquet' (format parquet, compression zstd)")
        con.execute("detach build")
        con.execute("checkpoint")
    finally:
        con.close()
    new.replace(paths.marts_db)
    replace_folder(parquet, paths.marts_parquet)
    write_warehouse_record(paths)
    return names


def publish_results(paths: Paths) -> list[str]:
    """Put the results and the matched children beside the marts, in the schema `results`, with comments.

    The file is written anew and replaced by one rename; no row of earlier results stays in it. The rows are copied:
    views over files would break where the file is moved. Returns the names of the tables. Raises SfpcError where there
    are no results, or where they are not of the marts that lie there.
    """
    record = read_record(paths.results / RECORD)
    if record is None:
        raise SfpcError(f"no results at {paths.results}: run `sfpc estimate` first")
    if not paths.marts_db.is_file() or record.content["build_id"] != build_id_of(paths.marts_db):
        raise SfpcError(f"the results at {paths.results} are not of {paths.marts_db}; run `sfpc estimate` again")
    dictionary = results_dictionary()
    new = paths.marts_db.with_suffix(".incoming.duckdb")
    new.unlink(missing_ok=True)
    if not _copy_without_results(paths.marts_db, new):
        _copy_marts(paths.marts_db, new)
    con = duckdb.connect(str(new))
    try:
        con.execute(f"create schema {RESULTS}")
        for name, table in dictionary.items():
            file = _quoted(str(paths.results / f"{name}.parquet"))
            con.execute(f"create table {RESULTS}.{name} as select * from read_parquet('{file}')")
            con.execute(f"comment on table {RESULTS}.{name} is '{_quoted(table.comment)}'")
            for column, comment in table.columns.items():
                con.execute(f"comment on column {RESULTS}.{name}.\"{column}\" is '{_quoted(comment)}'")
        con.execute("checkpoint")
    except duckdb.Error as error:
        raise SfpcError(f"{paths.results}: the results cannot be read ({error})") from error
    finally:
        con.close()
    new.replace(paths.marts_db)
    write_warehouse_record(paths, str(record.content["run_id"]))
    return list(dictionary)


def _copy_without_results(old: Path, new: Path) -> bool:
    """Copy a published file as it is, where it holds marts alone; False where it holds earlier results."""
    with duckdb.connect(str(old), read_only=True) as con:
        held = con.execute("select count(*) from duckdb_schemas() where schema_name = ?", [RESULTS]).fetchone()
    if held and held[0]:
        return False
    shutil.copyfile(old, new)
    return True


def _copy_marts(old: Path, new: Path) -> None:
    """Write the marts of a published file, and nothing else of it, to a new one."""
    con = duckdb.connect(str(new))
    try:
        con.execute(f"attach '{_quoted(str(old))}' as old (read_only)")
        con.execute(f"create schema {MARTS}")
        names = con.execute(
            "select table_name from duckdb_tables() where database_name = 'old' and schema_name = ? "
            "order by table_name",
            [MARTS],
        ).fetchall()
        for (name,) in names:
            con.execute(f"create table {MARTS}.{name} as select * from old.{MARTS}.{name}")
            _copy_comments(con, name, "old")
        con.execute("detach old")
        con.execute("checkpoint")
    finally:
        con.close()


def _copy_comments(con: duckdb.DuckDBPyConnection, name: str, database: str = "build") -> None:
    table = con.execute(
        "select comment from duckdb_tables() where database_name = ? and schema_name = ? and table_name = ?",
        [database, MARTS, name],
    ).fetchone()
    if table and table[0]:
        con.execute(f"comment on table {MARTS}.{name} is '{_quoted(table[0])}'")
    for column, comment in con.execute(
        "select column_name, comment from duckdb_columns() where database_name = ? and schema_name = ? "
        "and table_name = ? and comment is not null",
        [database, MARTS, name],
    ).fetchall():
        con.execute(f"comment on column {MARTS}.{name}.{column} is '{_quoted(comment)}'")


def _quoted(text: str) -> str:
    return text.replace("'", "''")
