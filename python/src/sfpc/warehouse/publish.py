"""Publish the marts: a DuckDB file and one Parquet file each, in the place of the old ones."""

from __future__ import annotations

import shutil

import duckdb

from sfpc.errors import SfpcError
from sfpc.landing.gate import replace_folder
from sfpc.settings import Paths

MARTS = "marts"


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
    return names


def _copy_comments(con: duckdb.DuckDBPyConnection, name: str) -> None:
    table = con.execute(
        "select comment from duckdb_tables() where database_name = 'build' and schema_name = ? and table_name = ?",
        [MARTS, name],
    ).fetchone()
    if table and table[0]:
        con.execute(f"comment on table {MARTS}.{name} is '{_quoted(table[0])}'")
    for column, comment in con.execute(
        "select column_name, comment from duckdb_columns() where database_name = 'build' and schema_name = ? "
        "and table_name = ? and comment is not null",
        [MARTS, name],
    ).fetchall():
        con.execute(f"comment on column {MARTS}.{name}.{column} is '{_quoted(comment)}'")


def _quoted(text: str) -> str:
    return text.replace("'", "''")
