"""The evaluation on the marts: matching of LAs, matching of children, effects, results files."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

import sfpc
from sfpc.errors import SfpcError
from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.days import hurdle_effect, tobit_effect
from sfpc.estimation.design import (
    CELL_COUNT,
    CELL_OUTCOME,
    CELL_WEIGHT,
    MISSING_COVARIATE_LIMIT,
    Design,
    Terms,
    build_design,
    compress,
)
from sfpc.estimation.few_clusters import hochberg
from sfpc.estimation.imputation import fit_imputation
from sfpc.estimation.inference import MINIMUM_TREATED_CLUSTERS, Draws, Timing, of_linear, of_logit
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import drop_separated_levels, fit_logit_to_cells
from sfpc.estimation.staggered import callaway_santanna, la_panel, sun_abraham
from sfpc.marts import (
    ANALYSIS,
    OTHER_TREATMENTS,
    READINGS,
    SCHEMA,
    EvaluationSettings,
    fingerprints,
    open_marts,
    read_mart,
    read_settings,
)
from sfpc.matching.decisions import apply_decisions, data_versions, decisions_of
from sfpc.matching.evidence import evidence_after_matching, evidence_on_trends
from sfpc.matching.trends import excluded_treatment_las, rank_candidates
from sfpc.progress import say, step
from sfpc.results import RESULT_TABLES, as_result_table, write_json, write_matched_children, write_result_table
from sfpc.strata import DECLARED_BINS, ChildMatching, match_children

PERCENTAGE_POINTS = "percentage points"
ODDS_RATIO = "odds ratio"
DAYS = "days"
STAGGERED = {"callaway_santanna": callaway_santanna, "sun_abraham": sun_abraham}
MODELS = (
    "linear",
    "logit",
    "imputation",
    "fractional_logit",
    "hurdle",
    "tobit",
    "callaway_santanna",
    "sun_abraham",
)
DEFAULT_READING = "default"
TREATMENTS = ("is_treated", *OTHER_TREATMENTS)
# Models that need the whole distribution of the outcome, not its mean in a cell.
WHOLE_OUTCOME = ("hurdle", "tobit")

# The right-hand side of FV.EST.1 with the covariates of FV.COV.1 and FV.COV.3. Age is linear in
# completed years, the protocol's one term "age at referral": the strata balance its bands already,
# and eighteen indicators more would cost cells, not bias; children unborn at referral stand at age
# 0 but are referred for other reasons, hence an indicator. The number of previous child protection
# plans enters as the count that FV.COV.1 names, without a cap that the protocol does not have.
TERMS = Terms(
    treatment="is_treated",
    cluster="la_id",
    periods=("financial_year",),
    categorical=(
        "gender",
        "ethnicity",
        "is_unborn_at_referral",
        "is_disabled",
        "is_fsm",
        "is_uasc",
        "primary_need",
    ),
    linear=(
        "age_years",
        "previous_cpp_count",
        "la_fsm_pct",
        "la_white_british_pct",
        "has_other_innovation_programme",
    ),
)
# Keep children apart for what follows LAs over time: number of the programme's go-live days behind them, month.
# The outcome itself is a key where a model needs more of it than its mean.
PHASE, MONTH, VALUE = "go_live_phase", "month_number", "outcome_value"
_DERIVED = {"age_years": "greatest(age_at_anchor_months, 0) // 12"}

_WEIGHT_COLUMNS = {
    "cem_protocol": "coalesce(weights.weight_protocol, 0)",
    "cem_ikp": "coalesce(weights.weight_ikp, 0)",
    "cem_period": "coalesce(weights.weight_period, 0)",
    "none": "1",
}
# Who is left out beyond the sample, as a condition on READINGS.
_CHILDREN = {
    "all": "true",
    "without_embedding": "not is_in_embedding_period",
    "without_shocked_las": f"la_id not in (select la_id from {SCHEMA}.dim_shocks where la_id is not null)",
}
MISSING_COVARIATES = ("as_levels", "left_out", "imputed")
_CODE = ("marts.py", "strata.py", "results.py", "evaluation.py", "matching", "estimation")


@dataclass(frozen=True)
class EvaluationResults:
    """Everything the evaluation found; each table is also a file of the same name.

    The columns are those of `sfpc.results.RESULT_TABLES`; `run_record` is run.json.
    """

    run_id: str
    results_dir: Path
    effects: pd.DataFrame
    inference: pd.DataFrame
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


@dataclass(frozen=True)
class Specification:
    """A row of `dim_specifications`, or the companion that FV.EST.4 asks for."""

    specification_id: str
    outcome_id: str
    clause: str
    model: str
    weights: str
    treatment: str
    reading_id: str
    children: str
    missing_covariates: str
    is_primary: bool
    label: str

    @property
    def basis(self) -> tuple[str, ...]:
        """All but the model: which children, outcome, treatment and weights it rests on."""
        return self.weights, *self.sample, self.missing_covariates

    @property
    def sample(self) -> tuple[str, str, str]:
        """What the sample of children hangs on: specifications that agree in it share one."""
        return self.reading_id, self.treatment, self.children


@dataclass(frozen=True)
class Outcome:
    """A row of `dim_outcomes`."""

    outcome_id: str
    outcome_kind: str
    is_primary: bool

    @property
    def scale(self) -> str:
        """Unit of a difference in this outcome."""
        return DAYS if self.outcome_kind == "days" else PERCENTAGE_POINTS

    @property
    def factor(self) -> float:
        """From the stored unit to `scale`: 0/1 to per cent, else 1."""
        return 100.0 if self.outcome_kind == "binary" else 1.0


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
    marts_db: Path, results_dir: Path, programme_id: str | None = None, outcome_id: str | None = None
) -> EvaluationResults:
    """Evaluate every programme in the marts (or one) and write the results files.

    Parameters
    ----------
    marts_db: the published DuckDB file; opened read-only.
    results_dir: receives <table>.parquet and <table>.csv of `RESULT_TABLES`, matched_children.parquet (child
        level, not for release) and run.json.
    programme_id, outcome_id: the only programme, the only outcome to evaluate; all without them.

    Returns
    -------
    `EvaluationResults`. `run_id` depends only on the content of the marts, the code, the settings
    and what was chosen, so equal inputs give equal run ids.
    """
    clock = _Clock()
    with open_marts(marts_db) as connection:
        settings = read_settings(connection)
        marts = fingerprints(connection)
        code = _code_fingerprint()
        run_id = _run_id(marts, code, settings, programme_id, outcome_id)
        roles = read_mart(connection, "dim_programme_local_authorities")
        programmes = _programmes(roles, programme_id)
        roles = roles[roles["programme_id"].isin(programmes)]
        outcomes = [o for o in _outcomes(connection) if outcome_id in (None, o.outcome_id)]

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
            matched_trends = _matched_trends(trends, roles, ranking)
        sets = _sets(ranking, roles)
        with clock.step("Matching children"):
            matching = match_children(connection, sets, settings.cem_year_fallback_share)
        with clock.step("Testing parallel trends"):
            units = {outcome.outcome_id: (outcome.factor, outcome.scale) for outcome in outcomes}
            evidence = evidence_on_trends(connection, _members(ranking), roles, units, settings)
            evidence["shock_tests"] = evidence_after_matching(connection, _members(ranking), units, settings)
        with clock.step("Estimating effects"):
            effects, inference = _effects(connection, programmes, outcomes, excluded, roles, settings)
        write_matched_children(connection, results_dir)

    tables = {
        "effects": effects,
        "inference": inference,
        "la_ranking": ranking,
        "matched_pairs": pairs,
        "matched_trends": matched_trends,
        **evidence,
        **_matching_tables(matching),
    }
    tables = {name: as_result_table(name, table, run_id) for name, table in tables.items()}
    with clock.step("Writing results"):
        for name in RESULT_TABLES:
            write_result_table(name, tables[name], results_dir)
    record = _run_record(run_id, marts_db, marts, code, settings, programmes, clock)
    record["data_versions"] = {f"{p}/{o}": version for (p, o), version in data_versions(trends).items()}
    write_json("run", record, results_dir)
    say(f"Results {run_id}: {len(tables['effects'])} effects in {results_dir}")
    return EvaluationResults(run_id=run_id, results_dir=results_dir, run_record=record, **cast(Any, tables))


def _programmes(roles: pd.DataFrame, programme_id: str | None) -> list[str]:
    held = sorted(roles["programme_id"].unique())
    if programme_id is None:
        return held
    if programme_id not in held:
        raise SfpcError(f"no programme '{programme_id}' in the marts; they hold {', '.join(held)}")
    return [programme_id]


def _outcomes(connection: duckdb.DuckDBPyConnection) -> list[Outcome]:
    """Return the implemented outcomes that a specification asks for and some child has a value of."""
    rows = connection.execute(
        f"""
        select
            outcome_id, outcome_kind, is_primary,
            outcome_id in (select outcome_id from {SCHEMA}.fct_outcome_values) as is_there,
            outcome_id in (select outcome_id from {ANALYSIS}) as is_observed
        from {SCHEMA}.dim_outcomes
        where status = 'implemented' and outcome_id in (select outcome_id from {SCHEMA}.dim_specifications)
        order by outcome_id
        """
    ).fetchall()
    for outcome_id, _, _, is_there, _ in rows:
        if not is_there:
            raise SfpcError(f"dim_outcomes: '{outcome_id}' is implemented, but fct_outcome_values has no row of it")
    return [Outcome(*row[:3]) for row in rows if row[4]]


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


def _members(ranking: pd.DataFrame) -> pd.DataFrame:
    """One row per set (programme, outcome, treatment LA) and member LA, itself included."""
    keys = ["programme_id", "outcome_id", "treatment_la_id"]
    accepted = ranking[ranking["is_accepted"].astype(bool)]
    own = accepted[keys].drop_duplicates()
    own = own.assign(la_id=own["treatment_la_id"], is_treatment_arm=True)
    comparators = accepted[[*keys, "candidate_la_id"]].rename(columns={"candidate_la_id": "la_id"})
    comparators = comparators.assign(is_treatment_arm=False)
    return pd.concat([own, comparators], ignore_index=True)


def _matched_trends(trends: pd.DataFrame, roles: pd.DataFrame, ranking: pd.DataFrame) -> pd.DataFrame:
    """Quarters of every treatment LA and of its accepted comparators, within its window."""
    keys = ["programme_id", "outcome_id", "treatment_la_id"]
    treatment = roles.loc[roles["role"] == "treatment", ["programme_id", "la_id"]]
    own = trends.merge(treatment, on=["programme_id", "la_id"])
    own = own.assign(treatment_la_id=own["la_id"], arm="treatment")
    members = _members(ranking)
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


def _sets(ranking: pd.DataFrame, roles: pd.DataFrame) -> pd.DataFrame:
    """Members of each set with the go-live date of its treatment LA."""
    go_live = roles.loc[roles["role"] == "treatment", ["programme_id", "la_id", "go_live_date"]]
    go_live = go_live.rename(columns={"la_id": "treatment_la_id"})
    sets = _members(ranking).merge(go_live, on=["programme_id", "treatment_la_id"], how="left")
    undated = sorted(sets.loc[sets["go_live_date"].isna(), "treatment_la_id"].unique())
    if undated:
        raise SfpcError(f"dim_programme_local_authorities: no go_live_date for the treatment LA {', '.join(undated)}")
    return sets


def _matching_tables(matching: ChildMatching) -> dict[str, pd.DataFrame]:
    return {
        "cem_shares": matching.shares,
        "cem_imbalance": matching.imbalance,
        "cem_balance": matching.balance,
    }


def _effects(
    connection: duckdb.DuckDBPyConnection,
    programmes: list[str],
    outcomes: list[Outcome],
    excluded: pd.DataFrame,
    roles: pd.DataFrame,
    settings: EvaluationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit every specification; a row per effect and scale, and a row per effect, scale and inference method."""
    rows: list[dict[str, Any]] = []
    methods: list[dict[str, Any]] = []
    declared = _specifications(connection)
    for programme_id in programmes:
        treated = roles[(roles["programme_id"] == programme_id) & (roles["role"] == "treatment")]
        go_live = {
            str(la): pd.Timestamp(day).date() for la, day in zip(treated["la_id"], treated["go_live_date"], strict=True)
        }
        for outcome in outcomes:
            specifications = [s for s in declared if s.outcome_id == outcome.outcome_id]
            days = sorted(set(go_live.values()))
            if not _has_outcome(connection, programme_id, outcome):
                continue
            baseline = _baseline_mean(connection, programme_id, outcome)
            specifications, rule = _apply_model_rule(specifications, outcome, baseline, settings)
            excluded_count = int(
                ((excluded["programme_id"] == programme_id) & (excluded["outcome_id"] == outcome.outcome_id)).sum()
            )
            notes = [rule] if rule else []
            if excluded_count:
                notes.append(f"{excluded_count} of {len(go_live)} treatment LAs excluded: no comparator accepted")
            cells: dict[tuple[str, ...], pd.DataFrame] = {}
            calendar = _Calendar(
                {la: 1 + days.index(day) for la, day in go_live.items()},
                {la: 12 * day.year + day.month for la, day in go_live.items() if day.day == 1},
            )
            built: tuple[str, str, str] | None = None
            # Specifications of one sample stand together: it is built once.
            for specification in sorted(specifications, key=lambda s: (*s.sample, s.specification_id)):
                wanted = (*specification.sample, specification.weights, str(specification.model in WHOLE_OUTCOME))
                if wanted not in cells:
                    if built != specification.sample:
                        _build_sample(connection, programme_id, outcome, specification, days)
                        built = specification.sample
                    cells[wanted] = compress(
                        connection,
                        "model_sample",
                        TERMS,
                        "outcome_value",
                        f"weight_{specification.weights}",
                        keys=(PHASE, MONTH, *([VALUE] if specification.model in WHOLE_OUTCOME else [])),
                    )
                fitted = _fit(cells[wanted], calendar, specification, outcome, settings)
                about = {
                    "programme_id": programme_id,
                    "outcome_id": outcome.outcome_id,
                    "specification_id": specification.specification_id,
                }
                for effect, found in fitted:
                    rows.append(
                        {
                            **about,
                            "baseline_mean_pct": baseline,
                            **effect,
                            "note": "; ".join([*notes, *effect["note"]]) or None,
                        }
                    )
                    methods += [
                        {**about, "scale": effect["scale"], "is_primary_method": number == 0, **asdict(estimate)}
                        for number, estimate in enumerate(found)
                    ]
    columns = [name for name in RESULT_TABLES["effects"] if name != "run_id"]
    effects = pd.DataFrame(rows, columns=columns)
    effects["p_value_hochberg"] = _adjusted(effects, [o.outcome_id for o in outcomes if not o.is_primary])
    return effects, pd.DataFrame(methods, columns=[n for n in RESULT_TABLES["inference"] if n != "run_id"])


def _adjusted(effects: pd.DataFrame, secondary: list[str]) -> NDArray[np.float64]:
    """Hochberg-adjusted p of each secondary outcome's primary specification; a programme is a family (FV.EST.8)."""
    adjusted = np.full(len(effects), np.nan)
    family = effects[effects["is_primary"].astype(bool) & effects["outcome_id"].isin(secondary)]
    for _, members in family.groupby("programme_id"):
        adjusted[members.index.to_numpy()] = hochberg(members["p_value"].to_numpy(dtype=np.float64))
    return adjusted


def _specifications(connection: duckdb.DuckDBPyConnection) -> list[Specification]:
    rows = connection.execute(
        "select specification_id, outcome_id, clause, model, weights, treatment, reading_id, children,"
        " missing_covariates, is_primary, label"
        f" from {SCHEMA}.dim_specifications order by outcome_id, specification_id"
    ).fetchall()
    specifications = [Specification(*row) for row in rows]
    known = {
        "model": MODELS,
        "weights": tuple(_WEIGHT_COLUMNS),
        "treatment": TREATMENTS,
        "children": tuple(_CHILDREN),
        "missing_covariates": MISSING_COVARIATES,
    }
    for specification in specifications:
        for column, values in known.items():
            value = getattr(specification, column)
            if value not in values:
                raise SfpcError(
                    f"dim_specifications: '{specification.specification_id}' has '{value}' in {column};"
                    f" known are {', '.join(values)}"
                )
    return specifications


def terms_sql(relation: str) -> str:
    """Select list of every column that the regressions use, from the view `sfpc.marts.ANALYSIS` as `relation`."""
    names = (*TERMS.factors, *TERMS.linear, TERMS.treatment)
    return ", ".join(f"{_DERIVED.get(name, f'{relation}.{name}')} as {name}" for name in names)


def _has_outcome(connection: duckdb.DuckDBPyConnection, programme_id: str, outcome: Outcome) -> bool:
    held = connection.execute(
        f"select count(*) from {SCHEMA}.fct_outcome_values where programme_id = ? and outcome_id = ?",
        [programme_id, outcome.outcome_id],
    ).fetchone()
    return bool(held and held[0])


def _build_sample(
    connection: duckdb.DuckDBPyConnection,
    programme_id: str,
    outcome: Outcome,
    specification: Specification,
    go_live_days: list[date],
) -> None:
    """Write the temporary table `model_sample`: a row per child in the LAs of the outcome's sets.

    The outcome is the reading and `is_treated` the treatment that the specification names; who is matched does not
    depend on either, and children of whom the treatment is not known are left out. The weight columns are 0 for
    children without a match; `weight_none` is 1 for all.
    """
    weights = ", ".join(f"{sql} as weight_{name}" for name, sql in _WEIGHT_COLUMNS.items())
    passed = " + ".join(f"cast(children.anchor_date >= date '{day}' as integer)" for day in go_live_days) or "0"
    treatment = specification.treatment
    connection.execute(
        f"""
        create or replace temp table model_sample as
        select
            {terms_sql("children")},
            {passed} as {PHASE},
            12 * year(children.anchor_date) + month(children.anchor_date) as {MONTH},
            children.outcome_value,
            {weights}
        from (select * replace ({treatment} as is_treated) from {READINGS} where {treatment} is not null) as children
        left join cem_child_weights as weights using (programme_id, outcome_id, child_id)
        where
            programme_id = $programme
            and outcome_id = $outcome
            and case when $reading = '{DEFAULT_READING}' then is_default_reading else reading_id = $reading end
            and {_CHILDREN[specification.children]}
            and children.la_id in (
                select la_id from cem_sets
                where programme_id = $programme and outcome_id = $outcome
            )
        """,
        {"programme": programme_id, "outcome": outcome.outcome_id, "reading": specification.reading_id},
    )


def _baseline_mean(connection: duckdb.DuckDBPyConnection, programme_id: str, outcome: Outcome) -> float:
    """Mean outcome, in per cent, of the matched and weighted children referred before go-live.

    Both arms, before the go-live of the set's treatment LA, protocol weights (FV.EST.4; methods
    D11). NaN for days, and where there are no such children.
    """
    if outcome.outcome_kind == "days":
        return float("nan")
    row = connection.execute(
        f"""
        select
            sum(weights.weight_protocol * outcomes.outcome_value) / sum(weights.weight_protocol)
        from cem_weights as weights
        inner join {ANALYSIS} as outcomes using (programme_id, outcome_id, child_id)
        where
            weights.programme_id = $programme
            and weights.outcome_id = $outcome
            and weights.is_matched
            and not weights.is_after_go_live
            and outcomes.outcome_value is not null
        """,
        {"programme": programme_id, "outcome": outcome.outcome_id},
    ).fetchone()
    return float("nan") if row is None or row[0] is None else float(row[0]) * outcome.factor


def _apply_model_rule(
    declared: list[Specification], outcome: Outcome, baseline: float, settings: EvaluationSettings
) -> tuple[list[Specification], str]:
    """Let the baseline rate decide which model is primary, and put its companion beside it.

    FV.EST.4: linear between the two rates, both included, else logit; FV.EST.6: days and absence
    linear. The declared primary specification names the weights; a model that is not declared for
    them is added.
    """
    flagged = next((s for s in declared if s.is_primary), None)
    specifications = [replace(s, is_primary=False) for s in declared]
    if flagged is None:
        return specifications, ""
    low, high = settings.logit_lower_rate_pct, settings.logit_upper_rate_pct
    if outcome.outcome_kind != "binary":
        model, rule = "linear", ""
    elif not np.isfinite(baseline):
        model, rule = flagged.model, "no matched child before go-live: the baseline rate is unknown"
    elif low <= baseline <= high:
        model, rule = "linear", f"baseline rate within {low:g} to {high:g} %: linear (FV.EST.4)"
    else:
        model, rule = "logit", f"baseline rate outside {low:g} to {high:g} %: logit (FV.EST.4)"
    for needed in dict.fromkeys((model, "linear")):
        if not any(s.basis == flagged.basis and s.model == needed for s in specifications):
            specifications.append(
                replace(
                    flagged,
                    specification_id=f"{flagged.specification_id}__{needed}",
                    model=needed,
                    is_primary=False,
                    label=f"{flagged.label} ({needed})",
                )
            )
    primary = next(s for s in specifications if s.basis == flagged.basis and s.model == model)
    return [replace(s, is_primary=s is primary) for s in specifications], rule


@dataclass(frozen=True)
class _Calendar:
    """When the treated LAs went live: number of go-live days up to their own, and month where it opens one."""

    first_phase: dict[str, int]
    go_live_month: dict[str, int]


@dataclass(frozen=True)
class _Fitted:
    """What a model gave: per scale all methods of inference, the primary first; None where nothing was estimated.

    cells: the children that it rests on, where it left some out.
    """

    found: dict[str, list[Estimate]]
    notes: tuple[str, ...]
    cells: pd.DataFrame


def _fit(
    cells: pd.DataFrame,
    calendar: _Calendar,
    specification: Specification,
    outcome: Outcome,
    settings: EvaluationSettings,
) -> list[tuple[dict[str, Any], list[Estimate]]]:
    """Fit one specification; per scale a row of effects and all methods of inference. Never raises for want of data."""
    fitted = _Fitted({}, ("no children to analyse",), cells)
    if specification.model in ("logit", "fractional_logit") and outcome.outcome_kind == "days":
        fitted = _Fitted({}, ("a logit needs an outcome of 0 and 1, or a share",), cells.iloc[:0])
    elif specification.model == "logit" and outcome.outcome_kind != "binary":
        fitted = _Fitted({}, ("a logit needs an outcome of 0 and 1",), cells.iloc[:0])
    elif len(cells):
        fitted = _fit_model(cells, calendar, specification, outcome, settings)
    cells, found, notes = fitted.cells, fitted.found, [*fitted.notes]
    treated = cells[cells[TERMS.treatment] == 1.0]
    treated_clusters = int(treated[TERMS.cluster].nunique())
    clusters = int(cells[TERMS.cluster].nunique())
    nan = float("nan")
    undefined = [infer(nan, nan, clusters, settings.significance_level)]
    scales = [outcome.scale, ODDS_RATIO] if specification.model == "logit" else [outcome.scale]
    if treated_clusters < MINIMUM_TREATED_CLUSTERS:
        notes.append(
            f"only {treated_clusters} treated LAs: clustered errors are not reliable; permutation"
            " inference only (FV.EST.3)"
        )
    return [
        (
            {
                "label": specification.label,
                "clause": specification.clause,
                "model": specification.model,
                "scale": scale,
                **asdict(found.get(scale, undefined)[0]),
                "children_count": int(cells[CELL_COUNT].sum()),
                "treated_children_count": int(treated[CELL_COUNT].sum()),
                "cluster_count": clusters,
                "treated_cluster_count": treated_clusters,
                "weights": specification.weights,
                "is_primary": specification.is_primary and scale != ODDS_RATIO,
                "note": notes,
            },
            found.get(scale, undefined),
        )
        for scale in scales
    ]


def _fit_model(
    cells: pd.DataFrame,
    calendar: _Calendar,
    specification: Specification,
    outcome: Outcome,
    settings: EvaluationSettings,
) -> _Fitted:
    """Fit the model that the specification names to cells that hold somebody."""
    level, model = settings.significance_level, specification.model
    draws = Draws(settings.bootstrap_draws, settings.permutation_draws, settings.inference_seed)
    is_by_go_live = specification.treatment == TERMS.treatment
    if model in ("logit", "fractional_logit"):
        # A share in per cent becomes one of 0 to 1; a binary outcome is one already.
        per_cent = 1.0 if outcome.outcome_kind == "binary" else 100.0
        logit = fit_logit_to_cells(cells.assign(**{CELL_OUTCOME: cells[CELL_OUTCOME] / per_cent}), TERMS)
        if logit.fit is None:
            return _Fitted({}, logit.notes, logit.cells)
        timing = _timing(logit.cells, calendar) if is_by_go_live else None
        effects, odds = of_logit(logit.fit, timing, level, draws)
        found = {outcome.scale: [e.scaled(outcome.factor * per_cent) for e in effects]}
        if model == "logit":
            found[ODDS_RATIO] = [e.exponentiated() for e in odds]
        return _Fitted(found, (*logit.notes, *logit.fit.design.notes, *_design_notes(logit.fit.design)), logit.cells)
    if model == "imputation":
        imputed = fit_imputation(cells, TERMS)
        return _Fitted({outcome.scale: [imputed.effect(level).scaled(outcome.factor)]}, imputed.notes, cells)
    if model == "hurdle":
        cells, levels, is_separated = drop_separated_levels(
            cells.assign(**{CELL_OUTCOME: cells[CELL_WEIGHT] * (cells[VALUE] > 0)}), TERMS
        )
        if is_separated or not len(cells):
            return _Fitted({}, ("no or only children with any in an arm: no effect can be estimated",), cells)
        cells = cells.assign(**{CELL_OUTCOME: cells[CELL_WEIGHT] * cells[VALUE]})
        days = hurdle_effect(build_design(cells, TERMS), level)
        left_out = (f"{len(levels)} levels without, or with only, any left out",) if levels else ()
        return _Fitted({outcome.scale: [days.effect.scaled(outcome.factor)]}, (*left_out, *days.notes), cells)
    design = build_design(cells, TERMS)
    if model == "tobit":
        days = tobit_effect(design, 0.0, float(cells[VALUE].max()), level)
        return _Fitted({outcome.scale: [days.effect.scaled(outcome.factor)]}, days.notes, cells)
    if model in STAGGERED:
        months = cells[MONTH].to_numpy(dtype=np.int64)
        panel = la_panel(design, months, calendar.go_live_month) if is_by_go_live else None
        if panel is None:
            return _Fitted(
                {}, ("no panel of LAs and periods: some go-live opens no month, or nobody is never live",), cells
            )
        left_out = (f"LAs without children in some period left out: {len(panel.left_out)}",) if panel.left_out else ()
        notes = (f"periods of {panel.months} months, LAs count alike", *left_out)
        return _Fitted({outcome.scale: [STAGGERED[model](panel, level).scaled(outcome.factor)]}, notes, cells)
    timing = _timing(cells, calendar) if is_by_go_live else None
    estimates = of_linear(fit_linear(design), timing, level, draws)
    return _Fitted(
        {outcome.scale: [e.scaled(outcome.factor) for e in estimates]}, (*design.notes, *_design_notes(design)), cells
    )


def _design_notes(design: Design) -> tuple[str, ...]:
    if design.treatment_column is None:
        return ("effect not identified: the treatment does not vary within LAs and years",)
    return ()


def _timing(cells: pd.DataFrame, calendar: _Calendar) -> Timing:
    quarters = (cells[MONTH].to_numpy(dtype=np.int64) - 1) // 3
    return Timing(
        phase=cells[PHASE].to_numpy(dtype=np.int64),
        period=quarters - quarters.min() if len(quarters) else quarters,
        go_live_phase=calendar.first_phase,
    )


def _code_fingerprint() -> str:
    """Hash of the source of everything that makes a number here."""
    package = Path(sfpc.__file__).parent
    digest = hashlib.sha256(sfpc.__version__.encode())
    for name in _CODE:
        place = package / name
        for source in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _run_id(
    marts: Mapping[str, str], code: str, settings: EvaluationSettings, programme_id: str | None, outcome_id: str | None
) -> str:
    chosen = {"programme": programme_id, "outcome": outcome_id}
    content = json.dumps(
        {"marts": marts, "code": code, "settings": asdict(settings), **chosen},
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
