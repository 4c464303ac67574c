"""The verb `sfpc decide`: from the marts and the decisions file to a file that a person can fill in (FV.MATCH.4)."""

from __future__ import annotations

from pathlib import Path

from sfpc.marts import open_marts, read_mart, read_settings
from sfpc.matching.decisions import (
    check_against_marts,
    data_versions,
    prefill,
    read_decisions,
    write_decisions,
)
from sfpc.matching.trends import rank_candidates


def decide(marts_db: Path, file: Path, *, is_check: bool = False) -> list[str]:
    """Check the decisions file and, unless `is_check`, add the ranked candidates that it lacks.

    Returns what to tell the analyst, line by line. Raises InputError where the file is wrong; it is left as it was.
    """
    with open_marts(marts_db) as connection:
        trends = read_mart(connection, "fct_la_quarter_outcomes")
        roles = read_mart(connection, "dim_programme_local_authorities")
        settings = read_settings(connection)
    rows = read_decisions(file)
    versions = data_versions(trends)
    check_against_marts(rows, file, roles, versions)
    done = prefill(rows, rank_candidates(trends, roles, settings), versions)
    decided = sum(bool(row.decision) for row in done.rows)
    told = [f"  {decided} decisions, {len(done.rows) - decided} candidates to look at, in {file}"]
    for row in done.stale:
        told.append(
            f"  stale: {row.comparator_la_id} for {row.treatment_la_id} ({row.programme_id}, {row.outcome_id}) was"
            f" decided on data version {row.data_version}, the trends are now"
            f" {versions[(row.programme_id, row.outcome_id)]}; look again"
        )
    if is_check:
        return told
    if done.rows != rows or not file.exists():
        write_decisions(done.rows, file)
        told.append(f"  {done.added} candidates added, {done.dropped} open rows dropped that are no longer ranked")
        told.append("  decisions count from the next `sfpc build` on")
    else:
        told.append("  nothing to add")
    return told
