"""What the warehouse was made from, and what is published of it: build.json and warehouse.json (DP.8).

build.json says what went into dbt's file: the landing by the hash of its manifest, seeds and definitions file by file,
and the lineage. warehouse.json repeats it beside the hashes of what readers see, so that one file tells of one state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from sfpc.landing.gate import sha256_of
from sfpc.marts import content_of
from sfpc.plan import commit_of
from sfpc.provenance.lineage import manifest_path, read_lineage
from sfpc.provenance.seal import content_hash, entries_of, file_entry, read_record, write_record
from sfpc.settings import Paths

# Files of dbt that decide what a row says: the text of models and macros, their contracts, and the settings.
_DEFINITIONS = ("models", "macros")
_DEFINITION_FILES = ("dbt_project.yml", "profiles.yml")


def seeds_of(root: Path) -> dict[str, dict[str, Any]]:
    """Hash and size of every seed, by its place below the project."""
    return entries_of(root, (root / "seeds").rglob("*.csv"))


def definitions_of(root: Path) -> dict[str, dict[str, Any]]:
    """Hash and size of every file of dbt that decides what the marts hold, by its place below the project."""
    found = [p for name in _DEFINITIONS for p in (root / name).rglob("*") if p.suffix in {".sql", ".yml"}]
    return entries_of(root, [*found, *(root / name for name in _DEFINITION_FILES if (root / name).is_file())])


def landing_hash(paths: Paths) -> str | None:
    """Hash of the landing's manifest, which holds the hashes of all else there; None where there is no manifest."""
    manifest = paths.landing / "manifest.json"
    return sha256_of(manifest) if manifest.is_file() else None


def made_from(paths: Paths) -> dict[str, Any]:
    """What a build that starts now reads."""
    return {
        "landing_manifest_sha256": landing_hash(paths),
        "seeds": seeds_of(paths.root),
        "definitions": definitions_of(paths.root),
    }


def write_build_record(paths: Paths, given: Mapping[str, Any], manifest: Path | None = None) -> None:
    """Write build.json after a build; given: `made_from` before it; manifest: dbt's, where it is not the usual one."""
    write_record(
        paths.build_record,
        {
            **given,
            "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "git_commit": commit_of(paths.root),
            "lineage": read_lineage(manifest or manifest_path(paths.root)),
        },
    )


def write_warehouse_record(paths: Paths, results_run_id: str | None = None) -> None:
    """Write warehouse.json: of the marts published, rows, hash of the rows and of the Parquet file, and the build.

    results_run_id: the run whose results lie in the file beside the marts. A build without a record (of a version
    before there were any) is recorded as such.
    """
    built = read_record(paths.build_record)
    marts = {
        name: {"rows": rows, "content": content, **file_entry(paths.marts_parquet / f"{name}.parquet")}
        for name, (rows, content) in contents_of(paths.marts_db).items()
    }
    build = dict(built.content) if built else None
    # The lineage says of the definitions, which are hashed already, what a reader wants to know.
    beside = {"built_at", "git_commit", "lineage"}
    write_record(
        paths.warehouse_record,
        {
            # Of content alone: the same data, seeds and definitions give the same id on any day and commit.
            "build_id": content_hash(
                {
                    "marts": {name: (entry["rows"], entry["content"]) for name, entry in marts.items()},
                    "build": {k: v for k, v in build.items() if k not in beside} if build else None,
                }
            )[:12],
            "build": build,
            "database": file_entry(paths.marts_db),
            "marts": marts,
            "results_run_id": results_run_id,
        },
    )


def build_id_of(marts_db: Path) -> str | None:
    """Id of the build that a published file holds; None where no record lies beside it."""
    record = read_record(marts_db.with_suffix(".json"))
    return str(record.content["build_id"]) if record else None


def contents_of(marts_db: Path) -> dict[str, tuple[int, str]]:
    """Rows and hash of the rows, in whatever order, of every published mart. Raises duckdb.Error where damaged."""
    connection = duckdb.connect(":memory:")
    try:
        place = str(marts_db).replace("'", "''")
        connection.execute(f"attach '{place}' as published (read_only)")
        names = connection.execute(
            "select table_name from duckdb_tables() where database_name = 'published' and schema_name = 'marts'"
            " order by table_name"
        ).fetchall()
        return {str(name): content_of(connection, str(name)) for (name,) in names}
    finally:
        connection.close()
