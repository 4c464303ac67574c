"""The record of a run's results: every file with its hash, written last, and the build it was made from (DP.8)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfpc.provenance.seal import entries_of, file_entry, write_record
from sfpc.results import RESULT_TABLES

RECORD = "checksums.json"


def results_files(results_dir: Path) -> list[Path]:
    """The files of a run: every results table as Parquet and CSV, the matched children, and run.json."""
    names = [f"{name}.{suffix}" for name in RESULT_TABLES for suffix in ("parquet", "csv")]
    return [results_dir / name for name in (*names, "matched_children.parquet", "run.json")]


def write_results_record(results_dir: Path, run: Mapping[str, Any], *beside: Path) -> None:
    """Write checksums.json beside the results.

    run: what run.json holds; beside: files that the run read besides the marts (the cost survey).
    """
    write_record(
        results_dir / RECORD,
        {
            "run_id": run["run_id"],
            "build_id": run["build_id"],
            "code_sha256": run["code_sha256"],
            "inputs": {path.name: file_entry(path) for path in beside},
            "files": entries_of(results_dir, results_files(results_dir)),
        },
    )
