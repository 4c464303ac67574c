"""Results files: their columns, and writing them so that a reader never sees half a file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from sfpc.cost_benefit.run import COST_BENEFIT_TABLES
from sfpc.power.run import POWER_TABLES
from sfpc.triangulation.tables import STEPPED_WEDGE_TABLES, TRIANGULATION_TABLES

# Columns and DuckDB types of every results table. The types are declared, not inferred: a column
# that happens to be empty in one run keeps its type.
RESULT_TABLES: Mapping[str, Mapping[str, str]] = {
    "effects": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "specification_id": "varchar",
        "label": "varchar",
        "clause": "varchar",
        "model": "varchar",
        "scale": "varchar",
        "estimate": "double",
        "standard_error": "double",
        "ci_low": "double",
        "ci_high": "double",
        "p_value": "double",
        "p_value_hochberg": "double",
        "inference_method": "varchar",
        "degrees_of_freedom": "double",
        "children_count": "bigint",
        "treated_children_count": "bigint",
        "cluster_count": "bigint",
        "treated_cluster_count": "bigint",
        "baseline_mean_pct": "double",
        "weights": "varchar",
        "is_primary": "boolean",
        "note": "varchar",
    },
    "inference": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "specification_id": "varchar",
        "scale": "varchar",
        "inference_method": "varchar",
        "is_primary_method": "boolean",
        "estimate": "double",
        "standard_error": "double",
        "ci_low": "double",
        "ci_high": "double",
        "p_value": "double",
        "degrees_of_freedom": "double",
    },
    "event_study": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "period": "bigint",
        "is_reference": "boolean",
        "is_open_ended": "boolean",
        "scale": "varchar",
        "estimate": "double",
        "standard_error": "double",
        "ci_low": "double",
        "ci_high": "double",
        "p_value": "double",
        "degrees_of_freedom": "double",
        "inference_method": "varchar",
        "children_count": "bigint",
        "cluster_count": "bigint",
    },
    "lead_tests": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "statistic": "double",
        "coefficient_count": "bigint",
        "degrees_of_freedom": "double",
        "p_value": "double",
        "inference_method": "varchar",
        "note": "varchar",
        "note_on_study": "varchar",
    },
    "trend_bounds": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "target": "varchar",
        "scale": "varchar",
        "estimate": "double",
        "standard_error": "double",
        "restriction": "varchar",
        "limit": "double",
        "set_low": "double",
        "set_high": "double",
        "ci_low": "double",
        "ci_high": "double",
        "breakdown": "double",
        "note": "varchar",
    },
    "bacon": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "comparison": "varchar",
        "weight": "double",
        "scale": "varchar",
        "effect": "double",
        "coefficient": "double",
        "is_at_risk": "boolean",
        "period_months": "bigint",
    },
    "leave_one_out": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "la_id": "varchar",
        "is_treated_la": "boolean",
        "scale": "varchar",
        "estimate": "double",
        "standard_error": "double",
        "ci_low": "double",
        "ci_high": "double",
        "p_value": "double",
        "degrees_of_freedom": "double",
        "inference_method": "varchar",
    },
    "missing_covariates": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "covariate": "varchar",
        "children_count": "bigint",
        "missing_count": "bigint",
        "missing_share": "double",
        "decision": "varchar",
        "reason": "varchar",
    },
    "missing_patterns": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "missing": "varchar",
        "missing_covariate_count": "bigint",
        "children_count": "bigint",
        "share": "double",
        "treated_count": "bigint",
        "treated_share": "double",
    },
    "missingness_tests": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "covariate": "varchar",
        "missing_count": "bigint",
        "term": "varchar",
        "estimate": "double",
        "standard_error": "double",
        "ci_low": "double",
        "ci_high": "double",
        "statistic": "double",
        "coefficient_count": "bigint",
        "degrees_of_freedom": "double",
        "p_value": "double",
        "inference_method": "varchar",
        "note": "varchar",
    },
    "la_ranking": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "candidate_la_id": "varchar",
        "rank": "bigint",
        "distance": "double",
        "expected_noise_distance": "double",
        "noise_ratio": "double",
        "quarters_count": "bigint",
        "changes_count": "bigint",
        "is_accepted": "boolean",
        "decision": "varchar",
        "reason": "varchar",
    },
    "matched_pairs": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "candidate_la_id": "varchar",
        "status": "varchar",
        "rank": "bigint",
        "distance": "double",
        "noise_ratio": "double",
        "decision": "varchar",
        "reason": "varchar",
    },
    "matched_trends": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "la_id": "varchar",
        "arm": "varchar",
        "quarter_start_date": "date",
        "numerator": "double",
        "denominator_count": "bigint",
        "value": "double",
        "standardised_value": "double",
        "standardised_change": "double",
    },
    "la_ranking_variants": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "variant_id": "varchar",
        "window_id": "varchar",
        "metric": "varchar",
        "treatment_la_id": "varchar",
        "candidate_la_id": "varchar",
        "rank": "bigint",
        "distance": "double",
        "noise_ratio": "double",
        "default_rank": "bigint",
        "quarters_count": "bigint",
        "changes_count": "bigint",
        "reason": "varchar",
        "clause": "varchar",
    },
    "la_noise_pairs": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "candidate_la_id": "varchar",
        "rank": "bigint",
        "distance": "double",
        "noise_median": "double",
        "noise_p95": "double",
        "noise_p_value": "double",
        "is_beyond_noise": "boolean",
        "shrunken_rank": "bigint",
        "clause": "varchar",
    },
    "la_noise": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "reliability": "double",
        "signal_sd": "double",
        "noise_sd": "double",
        "ranked_count": "bigint",
        "within_noise_count": "bigint",
        "nearest_distance": "double",
        "nearest_by_chance": "double",
        "chance_p_value": "double",
        "shared_with_shrunken_count": "bigint",
        "is_mostly_noise": "boolean",
        "sentence": "varchar",
        "clause": "varchar",
    },
    **{
        name: {
            "run_id": "varchar",
            "programme_id": "varchar",
            "outcome_id": "varchar",
            "test": "varchar",
            "treatment_la_id": "varchar",
            "la_id": "varchar",
            "as_of_date": "date",
            "shock_title": "varchar",
            "estimate": "double",
            "standard_error": "double",
            "ci_low": "double",
            "ci_high": "double",
            "statistic": "double",
            "degrees_of_freedom": "double",
            "p_value": "double",
            "t_p_value": "double",
            "detectable": "double",
            "inference_method": "varchar",
            "quarters_count": "bigint",
            "cluster_count": "bigint",
            "unit": "varchar",
            "note": "varchar",
            "clause": "varchar",
        }
        for name in ("parallel_trend_tests", "shock_tests")
    },
    "cem_shares": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "arm": "varchar",
        "period": "varchar",
        "strata_used": "varchar",
        "children_count": "bigint",
        "matched_children_count": "bigint",
        "matched_share": "double",
        "matched_share_year_strata": "double",
        "matched_share_period_strata": "double",
    },
    "cem_imbalance": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "treatment_la_id": "varchar",
        "period": "varchar",
        "l1_before": "double",
        "l1_after": "double",
        "treated_before": "bigint",
        "control_before": "bigint",
        "bins": "varchar",
    },
    "cem_balance": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "covariate": "varchar",
        "level": "varchar",
        "treated_share_before": "double",
        "control_share_before": "double",
        "treated_share_after": "double",
        "control_share_after": "double",
        "difference_before": "double",
        "difference_after": "double",
    },
    # What is said of a topic in words, in order.
    "sentences": {
        "run_id": "varchar",
        "programme_id": "varchar",
        "topic": "varchar",
        "position": "bigint",
        "sentence": "varchar",
    },
    **{
        name: {"run_id": "varchar", **columns}
        for tables in (POWER_TABLES, COST_BENEFIT_TABLES, STEPPED_WEDGE_TABLES, TRIANGULATION_TABLES)
        for name, columns in tables.items()
    },
}


def as_result_table(name: str, frame: pd.DataFrame, run_id: str) -> pd.DataFrame:
    """Return `frame` with run_id and exactly the declared columns of the table, in their order."""
    columns = list(RESULT_TABLES[name])
    frame = frame.assign(run_id=run_id)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise KeyError(f"{name}: no column {', '.join(missing)}")
    return frame[columns].reset_index(drop=True)


def write_result_table(name: str, frame: pd.DataFrame, results_dir: Path) -> None:
    """Write a table as <name>.parquet and <name>.csv, each replaced in one step.

    NaN and null are an empty field in CSV and null in Parquet.
    """
    columns = RESULT_TABLES[name]
    casts = ", ".join(f'cast("{column}" as {kind}) as "{column}"' for column, kind in columns.items())
    with duckdb.connect(":memory:") as connection:
        connection.register("frame", _typed(frame))
        connection.execute(f"create table result as select {casts} from frame")
        for suffix, options in (("parquet", "format parquet"), ("csv", "format csv, header")):
            _replace(results_dir / f"{name}.{suffix}", partial(_copy, connection, options=options))


def write_matched_children(connection: duckdb.DuckDBPyConnection, results_dir: Path) -> None:
    """Write matched_children.parquet: every matched child once per programme and outcome, with its weights.

    Child-level, so never for release; it lets results be walked back and queried beside the marts.
    connection: on which `sfpc.strata.match_children` has run (FV.CEM.9, FV.CEM.10).
    """
    connection.execute(
        "create or replace temp view result as select * from cem_child_weights where weight_protocol > 0 order by all"
    )
    _replace(
        results_dir / "matched_children.parquet", partial(_copy, connection, options="format parquet, compression zstd")
    )


def write_json(name: str, content: Mapping[str, Any], results_dir: Path) -> None:
    """Write <name>.json, replaced in one step."""
    text = json.dumps(content, indent=2, sort_keys=False) + "\n"
    _replace(results_dir / f"{name}.json", lambda path: path.write_text(text, encoding="utf-8"))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Empty columns as text nulls: a column of missing values alone has no type to infer."""
    empty = {
        name: pd.Series([None] * len(frame), index=frame.index, dtype="str")
        for name in frame.columns
        if frame[name].isna().all()
    }
    return frame.assign(**empty)


def _copy(connection: duckdb.DuckDBPyConnection, path: Path, options: str) -> None:
    target = str(path).replace("'", "''")
    connection.execute(f"copy (select * from result) to '{target}' ({options})")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a temporary file beside `path`, then put it in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
