"""Many seeds of a reduced set, all the way from extracts to the estimate: is the planted effect recovered?

The SQL is compiled once by dbt and then run for every seed as compiled, in the order of the models, so that
what is tested is the project's own definitions without dbt's start-up time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from sfpc import __version__
from sfpc.errors import SfpcError
from sfpc.estimation.design import build_design, compress
from sfpc.estimation.imputation import fit_imputation
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import fit_logit_to_cells
from sfpc.evaluation import run
from sfpc.grid import TERMS, of_one_basis, terms_sql
from sfpc.landing.gate import Gate
from sfpc.landing.national import land_national
from sfpc.marts import ANALYSIS, EvaluationSettings, open_marts, read_mart, read_settings
from sfpc.progress import say, step
from sfpc.report.sample import analysed_children
from sfpc.report.truth import PLANTED_OUTCOMES, realised_truth
from sfpc.settings import Paths
from sfpc.synthetic.extracts import synthesise
from sfpc.synthetic.twins import simulate_twin_hits
from sfpc.warehouse.build import run_dbt

FIRST_SEED = 1000
# Only points are taken from the fits without the programme; a level has to be given.
LEVEL = 0.05
# The models of the primary outcome whose estimates are studied.
RECOVERED_MODELS = ("imputation", "linear", "logit")
REPORTED = {
    "estimate": "estimate_pp",
    "standard_error": "standard_error_pp",
    "ci_low": "ci_low_pp",
    "ci_high": "ci_high_pp",
    "treated_cluster_count": "treated_las",
}
TWIN_DRAWS = 200
TWIN_SIZES: tuple[int | None, ...] = (1300, 5200, None)


@dataclass(frozen=True)
class Compiled:
    """The compiled warehouse: a database with the seeds, and the models in order.

    models: (schema, name, materialisation, SQL), parents first.
    """

    template: Path
    models: tuple[tuple[str, str, str, str], ...]


def compile_warehouse(paths: Paths, folder: Path) -> Compiled:
    """Compile every model with dbt and load the seeds into a template database.

    The landing tables are read from ``landing`` below the working directory of whoever runs the SQL.
    """
    work = Paths(paths.root, folder, folder)
    template = folder / "recovery.duckdb"
    target = folder / "target"
    with step("compiling the warehouse once"):
        # Both with the same folders: dbt reads the project once.
        for verb in ("seed", "compile"):
            run_dbt(work, verb, target=target, build_db=template, landing=Path("landing"))
    nodes = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    models = {key: node for key, node in nodes.items() if node["resource_type"] == "model"}
    ordered: list[str] = []

    def visit(key: str) -> None:
        if key in models and key not in ordered:
            for parent in models[key]["depends_on"]["nodes"]:
                visit(parent)
            ordered.append(key)

    for key in sorted(models):
        visit(key)
    return Compiled(
        template,
        tuple(
            (
                models[key]["schema"],
                models[key]["name"],
                models[key]["config"]["materialized"],
                models[key]["compiled_code"],
            )
            for key in ordered
        ),
    )


def run_seed(
    root: Path, compiled: Compiled, folder: Path, seed: int, volume: float | None = None
) -> list[dict[str, float]]:
    """One seed from extracts to estimates; one row per model, in percentage points.

    Columns: seed, model, estimate_pp, standard_error_pp, ci_low_pp, ci_high_pp, truth_pp, treated_las, and
    no_programme_pp, the same model on what the same children would have had without the programme.
    """
    paths = Paths(root, folder, folder / "outputs")
    folder.mkdir(parents=True)
    try:
        synthesise("reduced", seed, paths.extracts, paths.truth, root / "seeds", volume=volume, quiet=True)
        with _quiet(), Gate(paths.landing, "national", base=paths.extracts) as gate:
            land_national(paths.extracts, gate)
        database = folder / compiled.template.name
        shutil.copy(compiled.template, database)
        _run_models(compiled, database, folder)
        with _quiet():
            outcome_id = primary_outcome(database)
            with open_marts(database) as connection:
                only = of_one_basis(connection, outcome_id, RECOVERED_MODELS)
            results = run(database, paths.results, outcome_id=outcome_id, only=only)
        truth = primary_truth(paths, database, results.matched_pairs)
        points = results.effects[results.effects["scale"] == "percentage points"]
        kept = points[["model", *REPORTED]].rename(columns=REPORTED).assign(seed=seed, truth_pp=truth)
        kept["no_programme_pp"] = kept["model"].map(estimates_without_programme(paths, database, results.matched_pairs))
        rows: list[dict[str, float]] = kept.to_dict("records")  # type: ignore[assignment]
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def summarise(runs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Per model: bias, its Monte Carlo error, coverage and spread, in percentage points and per cent.

    The bias has two parts. ``mean_no_programme_pp``: what the model finds where nothing was done, 0 if comparison and
    treatment LAs would have moved alike. ``weighting_pp``: the rest, what the model makes of an effect that grows after
    go-live, 0 for a model whose weights are those of the effect on the treated (docs/methods/regression.md).
    """
    out = {}
    for model, rows in runs.groupby("model", sort=True):
        errors = rows["estimate_pp"] - rows["truth_pp"]
        covered = (rows["ci_low_pp"] <= rows["truth_pp"]) & (rows["truth_pp"] <= rows["ci_high_pp"])
        monte_carlo = float(errors.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else float("nan")
        out[str(model)] = {
            "seeds": len(rows),
            "mean_estimate_pp": float(rows["estimate_pp"].mean()),
            "mean_truth_pp": float(rows["truth_pp"].mean()),
            "bias_pp": float(errors.mean()),
            "monte_carlo_se_pp": monte_carlo,
            "coverage_pct": 100 * float(covered.mean()),
            "mean_no_programme_pp": float(rows["no_programme_pp"].mean()),
            "no_programme_monte_carlo_se_pp": (
                float(rows["no_programme_pp"].std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else float("nan")
            ),
            "weighting_pp": float((errors - rows["no_programme_pp"]).mean()),
            "mean_standard_error_pp": float(rows["standard_error_pp"].mean()),
            "standard_deviation_pp": float(errors.std(ddof=1)) if len(rows) > 1 else float("nan"),
        }
    return out


def run_recovery(paths: Paths, seeds: int = 50, workers: int = 2, volume: float | None = None) -> pd.DataFrame:
    """Run the study, write outputs/results/recovery.csv and recovery.json, and print the summary.

    Raises SfpcError when a seed fails; the seeds done by then are not written.
    """
    folder = paths.data / "recovery"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        compiled = compile_warehouse(paths, folder)
        rows: list[dict[str, float]] = []
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = {
                pool.submit(run_seed, paths.root, compiled, folder / str(seed), seed, volume): seed
                for seed in range(FIRST_SEED, FIRST_SEED + seeds)
            }
            for number, job in enumerate(as_completed(jobs), start=1):
                try:
                    rows += job.result()
                except Exception as error:
                    pool.shutdown(cancel_futures=True)
                    raise SfpcError(f"seed {jobs[job]} failed: {error}") from error
                if number % 5 == 0 or number == seeds:
                    say(f"  {number} of {seeds} seeds done")
        runs = pd.DataFrame(rows).sort_values(["model", "seed"]).reset_index(drop=True)
        _write(paths.results, runs, dict(summarise(runs)))
        with step("how often matching finds a planted twin"):
            settings = _settings(compiled, folder)
            hits = [simulate_twin_hits(size, TWIN_DRAWS, settings) for size in TWIN_SIZES]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary: dict[str, object] = dict(summarise(runs))
    summary["twin_hits"] = [
        {
            "referrals_per_quarter": hit.referrals_per_quarter,
            "share_top_one_pct": 100 * hit.top_one,
            "share_top_ten_pct": 100 * hit.top_ten,
            "note": (
                "the true rates, without sampling noise"
                if hit.referrals_per_quarter is None
                else f"{hit.draws} simulated panels of 150 LAs"
            ),
        }
        for hit in hits
    ]
    summary["code_version"] = __version__
    _write(paths.results, runs, summary)
    print(summary_text(summary))
    return runs


def summary_text(summary: dict[str, object]) -> str:
    """The summary as a person reads it."""
    lines = []
    for model, values in summary.items():
        if not isinstance(values, dict):
            continue
        inside = abs(values["bias_pp"]) <= 2 * values["monte_carlo_se_pp"]
        lines.append(
            f"{model}: mean estimate {values['mean_estimate_pp']:+.3f}, mean truth "
            f"{values['mean_truth_pp']:+.3f}, bias {values['bias_pp']:+.3f} points, "
            f"{'within' if inside else 'OUTSIDE'} two Monte Carlo errors of {values['monte_carlo_se_pp']:.3f}; "
            f"95 % interval covers in {values['coverage_pct']:.0f} % of {values['seeds']} seeds; without the "
            f"programme it finds {values['mean_no_programme_pp']:+.3f} (Monte Carlo error "
            f"{values['no_programme_monte_carlo_se_pp']:.3f}), its weighting adds {values['weighting_pp']:+.3f}"
        )
    return "\n".join(lines)


def _run_models(compiled: Compiled, database: Path, folder: Path, only: str | None = None) -> None:
    connection = duckdb.connect(str(database))
    try:
        connection.execute("set memory_limit = '3GB'")
        connection.execute("set threads = 1")
        connection.execute(f"set file_search_path = '{folder}'")
        for schema, name, materialised, sql in compiled.models:
            if only is None or name == only:
                kind = "view" if materialised == "view" else "table"
                connection.execute(f"create schema if not exists {schema}")
                connection.execute(f"create {kind} {schema}.{name} as {sql}")
    finally:
        connection.close()


def _settings(compiled: Compiled, folder: Path) -> EvaluationSettings:
    database = folder / "settings" / compiled.template.name
    database.parent.mkdir()
    shutil.copy(compiled.template, database)
    _run_models(compiled, database, folder, only="dim_evaluation_settings")
    connection = duckdb.connect()
    try:
        connection.execute(f"attach '{database}' as published (read_only)")
        return read_settings(connection)
    finally:
        connection.close()


def estimates_without_programme(paths: Paths, database: Path, pairs: pd.DataFrame) -> dict[str, float]:
    """Per model: its estimate, in percentage points, with every treated child's outcome without the programme.

    The children, weights and terms are those of the evaluation; a treated child whose truth is not known is left out.
    """
    with open_marts(database) as connection:
        outcomes = read_mart(connection, "dim_outcomes")
        primary = outcomes[outcomes["is_primary"]].iloc[0]
        connection.execute(
            f"""
            create temp table without_programme as
            select
                {terms_sql("children")},
                matched.weight_protocol as weight,
                case
                    when children.is_treated then planted.outcome_without
                    else children.outcome_value
                end as outcome
            from {ANALYSIS} as children
            inner join read_parquet($matched) as matched using (programme_id, outcome_id, child_id, la_id)
            left join ({PLANTED_OUTCOMES}) as planted using (child_id, anchor_date)
            where children.outcome_id = $outcome and children.programme_id = $programme
            """,
            {
                "potential": str(paths.truth / "potential_outcomes.parquet"),
                "matched": str(paths.results / "matched_children.parquet"),
                "outcome": primary["outcome_id"],
                "programme": pairs["programme_id"].iloc[0],
            },
        )
        cells = compress(connection, "without_programme", TERMS, "outcome", "weight")
    logit = fit_logit_to_cells(cells, TERMS).fit
    effects = {
        "linear": fit_linear(build_design(cells, TERMS)).effect(LEVEL).estimate,
        "logit": logit.average_marginal_effect(LEVEL).estimate if logit is not None else float("nan"),
        "imputation": fit_imputation(cells, TERMS).estimate,
    }
    return {model: 100 * value for model, value in effects.items()}


def primary_outcome(database: Path) -> str:
    """The primary outcome, the one that the study is about."""
    with open_marts(database) as connection:
        outcomes = read_mart(connection, "dim_outcomes")
    return str(outcomes[outcomes["is_primary"]].iloc[0]["outcome_id"])


def primary_truth(paths: Paths, database: Path, pairs: pd.DataFrame) -> float:
    """Realised effect of the primary outcome on the analysed treated children, in percentage points.

    pairs: matched_pairs of the evaluation. NaN where nothing was planted.
    """
    with open_marts(database) as connection:
        outcomes = read_mart(connection, "dim_outcomes")
        primary = outcomes[outcomes["is_primary"]].iloc[0]["outcome_id"]
        programme = pairs["programme_id"].iloc[0]
        analysed_children(connection, paths.results, pairs, programme, primary)
        truth = realised_truth(paths, connection, outcomes, programme, primary)
    return truth.effect if truth is not None else float("nan")


@contextmanager
def _quiet() -> Iterator[None]:
    """Progress of fifty seeds would bury the progress of the study."""
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        yield


def _write(folder: Path, runs: pd.DataFrame, summary: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("recovery.csv", runs.to_csv(index=False)),
        ("recovery.json", json.dumps(summary, indent=1) + "\n"),
    ):
        incoming = folder / f"{name}.incoming"
        incoming.write_text(text, encoding="utf-8")
        incoming.replace(folder / name)
