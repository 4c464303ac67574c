"""The evaluation on the marts: matching of LAs, matching of children, effects, results files."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pandas as pd
import scipy

import sfpc
from sfpc.cost_benefit.run import COST_BENEFIT_TABLES, run_cost_benefit
from sfpc.cost_benefit.survey import CostSurvey
from sfpc.errors import SfpcError
from sfpc.estimation.design import MISSING_COVARIATE_LIMIT
from sfpc.estimation.inference import MINIMUM_TREATED_CLUSTERS
from sfpc.grid import Outcome, estimate_grid, read_outcomes, read_specifications, stacked
from sfpc.marts import EvaluationSettings, fingerprints, open_marts, read_mart, read_settings
from sfpc.matching.decisions import apply_decisions, data_versions, decisions_of
from sfpc.matching.evidence import evidence_after_matching, evidence_on_trends
from sfpc.matching.sets import ACCEPTED, Matching, matching_in, members_of, sets_of
from sfpc.matching.trends import excluded_treatment_las, rank_candidates
from sfpc.power.run import POWER_TABLES, accepted_las, run_power
from sfpc.progress import say, step
from sfpc.provenance.build_record import build_id_of
from sfpc.provenance.results_record import write_results_record
from sfpc.results import RESULT_TABLES, as_result_table, write_json, write_matched_children, write_result_table
from sfpc.strata import DECLARED_BINS, ChildMatching, match_children
from sfpc.triangulation.run import run_triangulation
from sfpc.triangulation.tables import STEPPED_WEDGE_TABLES, TRIANGULATION_TABLES

# Marts that power, stepped wedge, costs and benefits need besides those that the estimates are made from.
BEYOND_MARTS = frozenset(
    {
        "dim_economic_settings",
        "dim_unit_costs",
        "dim_price_indices",
        "dim_discount_rates",
        "fct_placement_mix",
        "dim_randomisation",
        "dim_design_assumptions",
        "dim_external_estimates",
    }
)
BEYOND_TABLES = (*POWER_TABLES, *STEPPED_WEDGE_TABLES, *TRIANGULATION_TABLES, *COST_BENEFIT_TABLES)
_CODE = (
    "marts.py",
    "strata.py",
    "results.py",
    "evaluation.py",
    "grid.py",
    "sensitivity.py",
    "economics.py",
    "matching",
    "estimation",
    "power",
    "cost_benefit",
    "triangulation",
)


@dataclass(frozen=True)
class EvaluationResults:
    """Everything the evaluation found; each table is also a file of the same name.

    The columns are those of `sfpc.results.RESULT_TABLES`; `run_record` is run.json.
    """

    run_id: str
    results_dir: Path
    effects: pd.DataFrame
    inference: pd.DataFrame
    event_study: pd.DataFrame
    lead_tests: pd.DataFrame
    trend_bounds: pd.DataFrame
    bacon: pd.DataFrame
    leave_one_out: pd.DataFrame
    missing_covariates: pd.DataFrame
    missing_patterns: pd.DataFrame
    missingness_tests: pd.DataFrame
    sentences: pd.DataFrame
    power_protocol: pd.DataFrame
    power_correlations: pd.DataFrame
    power_design: pd.DataFrame
    power_after: pd.DataFrame
    power_curve: pd.DataFrame
    cost_benefit: pd.DataFrame
    cost_lines: pd.DataFrame
    care_costs: pd.DataFrame
    switching_values: pd.DataFrame
    cost_benefit_tornado: pd.DataFrame
    cost_benefit_draws: pd.DataFrame
    stepped_wedge: pd.DataFrame
    stepped_wedge_wedges: pd.DataFrame
    stepped_wedge_leave_one_out: pd.DataFrame
    stepped_wedge_checks: pd.DataFrame
    triangulation_designs: pd.DataFrame
    triangulation_agreement: pd.DataFrame
    triangulation_pooled: pd.DataFrame
    triangulation_assumptions: pd.DataFrame
    triangulation_conclusion: pd.DataFrame
    la_ranking: pd.DataFrame
    matched_pairs: pd.DataFrame
    matched_trends: pd.DataFrame
    la_ranking_variants: pd.DataFrame
    la_noise_pairs: pd.DataFrame
    la_noise: pd.DataFrame
    parallel_trend_tests: pd.DataFrame
    shock_tests: pd.DataFrame
    cem_shares: pd.DataFrame
    cem_imbalance: pd.DataFrame
    cem_balance: pd.DataFrame
    run_record: Mapping[str, Any]


@dataclass
class _Clock:
    """Seconds per step, for run.json."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        started = time.monotonic()
        with step(title):
            yield
        self.seconds[title] = round(time.monotonic() - started, 2)


def run(
    marts_db: Path,
    results_dir: Path,
    programme_id: str | None = None,
    outcome_id: str | None = None,
    workers: int = 1,
    survey: CostSurvey | None = None,
    only: tuple[str, ...] | None = None,
) -> EvaluationResults:
    """Evaluate every programme in the marts (or one) and write the results files.

    Parameters
    ----------
    marts_db: the published DuckDB file; opened read-only.
    results_dir: receives <table>.parquet and <table>.csv of `RESULT_TABLES`, matched_children.parquet (child
        level, not for release), run.json and, last, checksums.json with the hash of each.
    programme_id, outcome_id: the only programme, the only outcome to evaluate; all without them.
    workers: processes that share the outcomes; results do not depend on it. A run that was interrupted goes on where
        it was, as long as marts, code and settings are the same.
    survey: what LAs reported of their costs (FV.CBA.1); without it ratios of benefit to cost are undefined, and say so.
    only: ids of the specifications to fit, for studies of the estimates alone; nothing else is worked out then.

    Returns
    -------
    `EvaluationResults`. `run_id` depends only on the content of the marts, the code, the settings
    and what was chosen, so equal inputs give equal run ids.
    """
    clock = _Clock()
    with open_marts(marts_db) as connection:
        settings = read_settings(connection)
        marts = fingerprints(connection)
        code = code_fingerprint()
        run_id = _run_id(marts, code, settings, (programme_id, outcome_id, survey, only))
        read_specifications(connection)  # a row that cannot be fitted stops the run before anything is written
        roles = read_mart(connection, "dim_programme_local_authorities")
        programmes = _programmes(roles, programme_id)
        roles = roles[roles["programme_id"].isin(programmes)]
        outcomes = [o for o in read_outcomes(connection) if outcome_id in (None, o.outcome_id)]

        with clock.step("Matching local authorities"):
            trends = read_mart(connection, "fct_la_quarter_outcomes")
            trends = trends[
                trends["programme_id"].isin(programmes)
                & trends["outcome_id"].isin([outcome.outcome_id for outcome in outcomes])
            ]
            ranking = rank_candidates(trends, roles, settings)
            decisions = decisions_of(read_mart(connection, "dim_la_match_decisions"))
            ranking = apply_decisions(ranking, decisions, trends, roles, settings)
            excluded = excluded_treatment_las(ranking, trends, roles, settings)
            pairs = _matched_pairs(ranking, excluded)
            accepted = ranking[ranking["is_accepted"].astype(bool)]
            members = members_of(accepted)
            matched_trends = _matched_trends(trends, roles, members)
            matchings = _matchings(connection, accepted, roles, [o.outcome_id for o in outcomes], settings, only)
        with clock.step("Matching children"):
            matching = match_children(connection, matchings[ACCEPTED].sets, settings.cem_year_fallback_share)
        with clock.step("Testing parallel trends"):
            units = {outcome.outcome_id: (outcome.factor, outcome.scale) for outcome in outcomes}
            evidence = evidence_on_trends(connection, members, roles, units, settings)
            evidence["shock_tests"] = evidence_after_matching(connection, members, units, settings)
        write_matched_children(connection, results_dir)
    unfinished = results_dir / ".unfinished" / run_id
    with clock.step("Estimating effects"):
        grid = estimate_grid(marts_db, programmes, outcomes, matchings, settings, workers, unfinished, only)
    tables = {
        "effects": grid.effects,
        "inference": grid.inference,
        **grid.around,
        "la_ranking": ranking,
        "matched_pairs": pairs,
        "matched_trends": matched_trends,
        **evidence,
        **_matching_tables(matching),
    }
    with clock.step("Power, stepped wedge, costs and benefits"), open_marts(marts_db) as connection:
        tables |= _beyond(connection, programmes if only is None else [], outcomes, tables, survey)
    tables = {name: as_result_table(name, table, run_id) for name, table in tables.items()}
    with clock.step("Writing results"):
        for name in RESULT_TABLES:
            write_result_table(name, tables[name], results_dir)
    record = _run_record(run_id, marts_db, marts, code, settings, programmes, clock)
    record["data_versions"] = {f"{p}/{o}": version for (p, o), version in data_versions(trends).items()}
    record["build_id"] = build_id_of(marts_db)
    write_json("run", record, results_dir)
    write_results_record(results_dir, record)
    shutil.rmtree(unfinished.parent, ignore_errors=True)
    say(f"Results {run_id}: {len(tables['effects'])} effects in {results_dir}")
    return EvaluationResults(run_id=run_id, results_dir=results_dir, run_record=record, **cast(Any, tables))


def _beyond(
    connection: duckdb.DuckDBPyConnection,
    programmes: list[str],
    outcomes: list[Outcome],
    results: Mapping[str, pd.DataFrame],
    survey: CostSurvey | None,
) -> dict[str, pd.DataFrame]:
    """What rests on the effects: power and, of the primary outcome, the other design, costs and benefits.

    FV.POWER.1, FV.TRI.1, FV.TRI.2, FV.CBA.1 and FV.CBA.2; for every programme with an effect. The effect that is valued
    is the pooled one where the two designs agree, else the primary one (methods D44).
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in (*BEYOND_TABLES, "sentences")}

    def add(topic: str, programme: str, found: dict[str, pd.DataFrame], sentences: Sequence[str]) -> None:
        for name, table in found.items():
            parts[name].append(table)
        about = {"programme_id": programme, "topic": topic, "position": range(len(sentences)), "sentence": sentences}
        parts["sentences"].append(pd.DataFrame(about))

    held = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
    absent = sorted(BEYOND_MARTS - held)
    if absent:
        say(f"  no power, stepped wedge, costs and benefits: these marts lack {', '.join(absent)} (make build)")
    estimated = set() if absent else set(results["effects"]["programme_id"])
    for programme in (programme for programme in programmes if programme in estimated):
        comparators = accepted_las(results["matched_pairs"], programme)
        power = run_power(connection, programme, comparators=comparators, inference=results["inference"])
        add("power", programme, power.tables(), power.sentences)
        if not any(outcome.is_primary for outcome in outcomes):
            continue
        other = run_triangulation(connection, programme, results)
        add("triangulation", programme, other.tables(), other.sentences)
        if other.wedge is not None:
            add("stepped wedge", programme, other.wedge.tables(), other.wedge.sentences)
        costs = run_cost_benefit(connection, programme, results["effects"], survey, effect=other.effect())
        add("costs and benefits", programme, costs.tables(), costs.sentences)
    return {name: stacked(name, tables) for name, tables in parts.items()}


def _programmes(roles: pd.DataFrame, programme_id: str | None) -> list[str]:
    held = sorted(roles["programme_id"].unique())
    if programme_id is None:
        return held
    if programme_id not in held:
        raise SfpcError(f"no programme '{programme_id}' in the marts; they hold {', '.join(held)}")
    return [programme_id]


def _matched_pairs(ranking: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """Accepted pairs, and treatment LAs excluded for an outcome, with the reason."""
    accepted = ranking[ranking["is_accepted"].astype(bool)].assign(status="accepted")
    left_out = excluded.assign(
        status="excluded",
        candidate_la_id=None,
        rank=pd.Series([pd.NA] * len(excluded), index=excluded.index, dtype="Int64"),
        distance=np.nan,
        noise_ratio=np.nan,
    )
    columns = [name for name in RESULT_TABLES["matched_pairs"] if name != "run_id"]
    rows = [*accepted[columns].to_dict("records"), *left_out[columns].to_dict("records")]
    frame = pd.DataFrame(rows, columns=columns)
    frame["rank"] = frame["rank"].astype("Int64")
    return frame.sort_values(["programme_id", "outcome_id", "treatment_la_id", "rank"], ignore_index=True)


def _matched_trends(trends: pd.DataFrame, roles: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Quarters of every treatment LA and of its accepted comparators, within its window."""
    keys = ["programme_id", "outcome_id", "treatment_la_id"]
    treatment = roles.loc[roles["role"] == "treatment", ["programme_id", "la_id"]]
    own = trends.merge(treatment, on=["programme_id", "la_id"])
    own = own.assign(treatment_la_id=own["la_id"], arm="treatment")
    comparators = members[~members["is_treatment_arm"].astype(bool)].merge(
        trends, on=["programme_id", "outcome_id", "la_id"]
    )
    comparators = comparators.merge(own[[*keys, "quarter_start_date"]], on=[*keys, "quarter_start_date"]).assign(
        arm="comparison"
    )
    columns = [name for name in RESULT_TABLES["matched_trends"] if name != "run_id"]
    frame = pd.concat([own[columns], comparators[columns]], ignore_index=True)
    return frame.sort_values(
        [*keys, "arm", "la_id", "quarter_start_date"],
        ascending=[True, True, True, False, True, True],
        ignore_index=True,
    )


def _matchings(
    connection: duckdb.DuckDBPyConnection,
    accepted: pd.DataFrame,
    roles: pd.DataFrame,
    outcome_ids: Sequence[str],
    settings: EvaluationSettings,
    only: tuple[str, ...] | None,
) -> dict[str, Matching]:
    """The accepted pairs, and what each other window that a specification names would have chosen (FV.SENS.5)."""
    trends, quarters = (read_mart(connection, name) for name in ("fct_matching_trends", "fct_matching_quarters"))
    asked = {
        s.matching_window
        for s in read_specifications(connection)
        if s.outcome_id in outcome_ids and (only is None or s.specification_id in only)
    }
    others = sorted(asked - {ACCEPTED})
    return {ACCEPTED: Matching(sets_of(accepted, roles), roles)} | {
        window_id: matching_in(window_id, accepted, trends, quarters, roles, settings) for window_id in others
    }


def _matching_tables(matching: ChildMatching) -> dict[str, pd.DataFrame]:
    return {
        "cem_shares": matching.shares,
        "cem_imbalance": matching.imbalance,
        "cem_balance": matching.balance,
    }


def code_fingerprint() -> str:
    """Hash of the source of everything that makes a number here."""
    package = Path(sfpc.__file__).parent
    digest = hashlib.sha256(sfpc.__version__.encode())
    for name in _CODE:
        place = package / name
        for source in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _run_id(marts: Mapping[str, str], code: str, settings: EvaluationSettings, chosen: tuple[object, ...]) -> str:
    content = json.dumps(
        {"marts": marts, "code": code, "settings": asdict(settings), "chosen": repr(chosen)},
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _run_record(
    run_id: str,
    marts_db: Path,
    marts: Mapping[str, str],
    code: str,
    settings: EvaluationSettings,
    programmes: list[str],
    clock: _Clock,
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "programmes": programmes,
        "marts_file": marts_db.name,
        "marts": dict(marts),
        "code_sha256": code,
        "versions": {
            "sfpc": sfpc.__version__,
            "python": platform.python_version(),
            "duckdb": duckdb.__version__,
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "scipy": scipy.__version__,
        },
        "settings": asdict(settings),
        "conventions": {
            "inference": "primary: cluster bootstrap with the null imposed; permutation with too few treated LAs",
            "small_sample_factor": "G/(G-1) * (N-1)/(N-K), LA effects not counted in K",
            "imbalance_bins": dict(DECLARED_BINS),
            "missing_covariate_limit": MISSING_COVARIATE_LIMIT,
            "minimum_treated_clusters": MINIMUM_TREATED_CLUSTERS,
        },
        "seconds": clock.seconds,
    }
