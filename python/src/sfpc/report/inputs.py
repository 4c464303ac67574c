"""What the report is made of: results, small pulls from the marts, the landing account, recovery."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.marts import SCHEMA, fingerprints, open_marts, read_mart
from sfpc.report.sample import AnalysedChildren, analysed_children
from sfpc.report.truth import Truth, planted_twins, realised_truth
from sfpc.results import RESULT_TABLES
from sfpc.settings import Paths

_MARTS = (
    "dim_programme_local_authorities",
    "dim_local_authorities",
    "dim_outcomes",
    "dim_specifications",
    "dim_evaluation_settings",
    "dim_protocol_definitions",
    "fct_sample_flow",
    "fct_la_quarter_outcomes",
)
# Read where the build has them: the section on data quality is left out otherwise.
_QUALITY_MARTS = (
    "dim_dfe_rules",
    "fct_missingness",
    "fct_nfa_share",
    "fct_referrals_by_month",
    "fct_rule_breaches",
    "fct_source_coverage",
    "fct_unknown_codes",
    "fct_changed_child_codes",
)
# When the run finished, in run.json.
_RUN_MOMENTS = ("finished_at",)

Key = tuple[str, str]


@dataclass(frozen=True)
class Recovery:
    """A recovery study: one row per seed and model, its summary, and where it was found.

    `is_reference` tells the run committed with the code from one made here.
    """

    runs: pd.DataFrame
    summary: Mapping[str, Any]
    is_reference: bool


@dataclass(frozen=True)
class Landing:
    """The account of what was read: rows per file and table, files with hashes, windows."""

    reconciliation: pd.DataFrame
    quarantine: pd.DataFrame
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Everything the sections need; no row is about a single child.

    `analysed`, `truth`, `twins` and `anchors` (what an outcome is counted from) are by programme and outcome; `truth`
    and `twins` hold nothing for real data.
    """

    run: Mapping[str, Any]
    run_date: date
    is_synthetic: bool
    results: Mapping[str, pd.DataFrame]
    marts: Mapping[str, pd.DataFrame]
    analysed: Mapping[Key, AnalysedChildren]
    truth: Mapping[Key, Truth]
    twins: Mapping[Key, pd.DataFrame]
    landing: Landing | None
    recovery: Recovery | None
    quality: Mapping[str, pd.DataFrame]
    anchors: Mapping[Key, str] = field(default_factory=dict)


def read_inputs(paths: Paths) -> Inputs:
    """Read all inputs of the report.

    Raises SfpcError in one line where results or marts are missing, where the results files come
    from different runs, and where the marts were rebuilt after the results were written.
    """
    run_file = paths.results / "run.json"
    if not run_file.is_file():
        raise SfpcError(f"no results at {paths.results}: run `sfpc estimate` (or `make evaluate`) first")
    run: Mapping[str, Any] = json.loads(run_file.read_text(encoding="utf-8"))
    results = {name: _read_result(paths.results, name, str(run["run_id"])) for name in RESULT_TABLES}
    if results["effects"].empty:
        raise SfpcError(f"{paths.results}: the results hold no effect, so there is nothing to report")
    with open_marts(paths.marts_db) as connection:
        _check_marts(connection, run, paths.marts_db)
        marts = {name: read_mart(connection, name) for name in _MARTS}
        held = _held(connection)
        quality = {name: read_mart(connection, name) for name in _QUALITY_MARTS if name in held}
        anchors = _anchors(connection)
        analysed: dict[Key, AnalysedChildren] = {}
        truth: dict[Key, Truth] = {}
        twins: dict[Key, pd.DataFrame] = {}
        for programme_id, outcome_id in _keys(results["effects"]):
            key = (programme_id, outcome_id)
            analysed[key] = analysed_children(
                connection, paths.results, results["matched_pairs"], programme_id, outcome_id
            )
            known = realised_truth(paths, connection, marts["dim_outcomes"], programme_id, outcome_id)
            if known is not None:
                truth[key] = known
            pairs = planted_twins(
                paths, results["matched_pairs"], marts["dim_local_authorities"], programme_id, outcome_id
            )
            if pairs is not None:
                twins[key] = pairs
    return Inputs(
        run=run,
        run_date=_run_date(run, run_file),
        is_synthetic=paths.truth.is_dir(),
        results=results,
        marts=marts,
        analysed=analysed,
        truth=truth,
        twins=twins,
        landing=_read_landing(paths.landing),
        recovery=_read_recovery(paths),
        quality=quality,
        anchors=anchors,
    )


def _anchors(connection: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """What each outcome is counted from in its default reading: it may differ from programme to programme."""
    rows = connection.execute(
        f"select distinct programme_id, outcome_id, anchor from {SCHEMA}.fct_outcome_values"
        " where is_default_reading and anchor is not null"
    ).fetchall()
    return {(str(programme), str(outcome)): str(anchor) for programme, outcome, anchor in rows}


def _keys(effects: pd.DataFrame) -> list[Key]:
    pairs = effects[["programme_id", "outcome_id"]].drop_duplicates()
    return [(str(row.programme_id), str(row.outcome_id)) for row in pairs.itertuples()]


def _read_result(folder: Path, name: str, run_id: str) -> pd.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise SfpcError(f"no results at {path}: run `sfpc estimate` (or `make evaluate`) first")
    with duckdb.connect(":memory:") as connection:
        frame = connection.execute("select * from read_parquet(?)", [str(path)]).df()
    missing = [column for column in RESULT_TABLES[name] if column not in frame.columns]
    if missing:
        raise SfpcError(f"{path}: no column {', '.join(missing)}; run `sfpc estimate` again")
    if set(frame["run_id"]) - {run_id}:
        raise SfpcError(f"{path} is not of run {run_id} (run.json); run `sfpc estimate` again")
    return frame


def _check_marts(connection: duckdb.DuckDBPyConnection, run: Mapping[str, Any], marts_db: Path) -> None:
    """Refuse marts that lack a table, or that are not those the results were made from."""
    missing = sorted(set(_MARTS) - _held(connection))
    if missing:
        raise SfpcError(f"{marts_db}: the mart {', '.join(missing)} is missing; build the marts again")
    expected = run.get("marts")
    if not isinstance(expected, Mapping):
        return
    # Flow and trends are read from the marts, effects from the results: of one state, or not at all.
    now = fingerprints(connection)
    changed = sorted(mart for mart, content in expected.items() if now.get(mart, content) != content)
    if changed:
        raise SfpcError(
            f"{marts_db}: {', '.join(changed)} changed after the results were written; run `sfpc estimate` again"
        )


def _held(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute(
        "select table_name from information_schema.tables where table_catalog = 'published' and table_schema = 'marts'"
    ).fetchall()
    return {str(name) for (name,) in rows}


def _run_date(run: Mapping[str, Any], run_file: Path) -> date:
    """Day of the run; where run.json does not say, the day the file was written (never today)."""
    for name in _RUN_MOMENTS:
        value = run.get(name)
        if isinstance(value, str):
            try:
                return datetime.fromisoformat(value).date()
            except ValueError:
                continue
    return datetime.fromtimestamp(run_file.stat().st_mtime, UTC).date()


def _read_landing(folder: Path) -> Landing | None:
    account = folder / "reconciliation.csv"
    if not account.is_file():
        return None
    quarantine = folder / "quarantine.csv"
    manifest = folder / "manifest.json"
    return Landing(
        reconciliation=pd.read_csv(account),
        quarantine=pd.read_csv(quarantine, dtype=str) if quarantine.is_file() else pd.DataFrame(),
        manifest=json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {},
    )


def _read_recovery(paths: Paths) -> Recovery | None:
    """Return the study made here, else the one committed with the code."""
    for folder, is_reference in ((paths.results, False), (paths.root / "docs" / "recovery", True)):
        runs, summary = folder / "recovery.csv", folder / "recovery.json"
        if runs.is_file() and summary.is_file():
            return Recovery(
                runs=pd.read_csv(runs),
                summary=json.loads(summary.read_text(encoding="utf-8")),
                is_reference=is_reference,
            )
    return None
