"""The grid of specifications: every regression that a row of `dim_specifications` asks for, on the matched children.

A specification is data: which outcome and reading, which children, which treatment, which weights, what becomes of
missing covariates, which model. Its sample is built in DuckDB and pulled as cells of equal children. Pages:
docs/methods/regression.md and the others of docs/methods that a model's row names.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.errors import SfpcError
from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.conditional import fit_conditional
from sfpc.estimation.days import hurdle_effect, tobit_effect
from sfpc.estimation.design import (
    CELL_COUNT,
    CELL_OUTCOME,
    CELL_WEIGHT,
    MISSING_COVARIATE_LIMIT,
    NOT_OBSERVED,
    Design,
    Terms,
    build_design,
    compress,
)
from sfpc.estimation.few_clusters import cluster_sums, hochberg
from sfpc.estimation.imputation import fit_imputation
from sfpc.estimation.inference import MINIMUM_TREATED_CLUSTERS, Draws, Timing, of_linear, of_logit
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import drop_separated_levels, fit_logit_to_cells
from sfpc.estimation.missing_data import DROPPED, IMPUTED, missing_shares
from sfpc.estimation.multiple_imputation import Imputations, impute
from sfpc.estimation.pooling import pool, pooled_wild_bootstrap
from sfpc.estimation.staggered import callaway_santanna, la_panel, sun_abraham
from sfpc.estimation.synthetic_control import synthetic_did
from sfpc.estimation.terms import fit_terms
from sfpc.marts import ANALYSIS, OTHER_TREATMENTS, READINGS, SCHEMA, EvaluationSettings, open_marts
from sfpc.matching.sets import ACCEPTED, Matching
from sfpc.progress import say
from sfpc.results import RESULT_TABLES
from sfpc.sensitivity import IN_UNITS_OF_THE_OUTCOME, SENSITIVITY_TABLES, around_primary
from sfpc.strata import weigh_children

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
    "synthetic_did",
    "conditional_logit",
    "child_effects",
)
DEFAULT_READING = "default"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TREATMENTS = ("is_treated", *OTHER_TREATMENTS)
# The treatment that counts further LAs as treated: those that only its window of matching has (FV.TREAT.5).
WITH_ADDED = "is_treated_with_trailblazer"
# Models that need the whole distribution of the outcome, not its mean in a cell.
WHOLE_OUTCOME = ("hurdle", "tobit")
# Models of an odds ratio, and those that have no other effect.
ODDS = ("logit", "conditional_logit")
ODDS_ALONE = ("conditional_logit",)

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
    # A shock of the LA's own among the days on which children entered.
    "without_shocked_las": f"""la_id not in (
        select la_id from {SCHEMA}.dim_shocks
        where
            is_of_its_own and la_id is not null
            and shock_date >= (select min(anchor_date) from {ANALYSIS} where programme_id = $programme)
            and shock_date <= (select max(anchor_date) from {ANALYSIS} where programme_id = $programme)
    )""",
}
MISSING_COVARIATES = ("as_levels", "left_out", "imputed")
# A code that says "missing" (FV.COV.1), and covariates whose missing value is a level of its own (DECISIONS D72).
MISSING_CODES = {"gender": 4}
OWN_LEVELS = ("is_fsm",)


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
    matching_window: str
    is_primary: bool
    label: str

    @property
    def basis(self) -> tuple[str, ...]:
        """All but the model: which children, outcome, treatment and weights it rests on."""
        return self.weights, *self.sample, self.missing_covariates

    @property
    def sample(self) -> tuple[str, ...]:
        """What the sample of children hangs on: specifications that agree in it share one."""
        return self.matching_window, self.reading_id, self.treatment, self.children


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


def read_outcomes(connection: duckdb.DuckDBPyConnection) -> list[Outcome]:
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


@dataclass(frozen=True)
class Calendar:
    """When the treated LAs went live: number of go-live days up to their own, and month where it opens one.

    days: the go-live days, each once, in order.
    """

    days: tuple[date, ...]
    first_phase: dict[str, int]
    go_live_month: dict[str, int]

    @classmethod
    def of(cls, roles: pd.DataFrame) -> Calendar:
        """From the rows of one programme in `dim_programme_local_authorities`."""
        treated = roles[roles["role"] == "treatment"]
        go_live = {
            str(la): pd.Timestamp(day).date() for la, day in zip(treated["la_id"], treated["go_live_date"], strict=True)
        }
        days = tuple(sorted(set(go_live.values())))
        return cls(
            days,
            {la: 1 + days.index(day) for la, day in go_live.items()},
            {la: 12 * day.year + day.month for la, day in go_live.items() if day.day == 1},
        )


class Samples:
    """The samples of one programme and outcome, as tables in DuckDB and as cells; each is made once."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, programme_id: str, outcome: Outcome, calendar: Calendar
    ) -> None:
        self.connection, self.programme_id, self.outcome, self.calendar = connection, programme_id, outcome, calendar
        self._built: tuple[str, ...] = ()
        self._cells: dict[tuple[str, ...], pd.DataFrame] = {}
        self._imputations: dict[tuple[str, ...], Imputations] = {}
        # Every reading of the outcome in the LAs of its sets, joined once.
        connection.execute(
            f"""
            create or replace temp table outcome_readings as
            select * from {READINGS}
            where
                programme_id = $programme
                and outcome_id = $outcome
                and la_id in (
                    select la_id from cem_sets
                    where programme_id = $programme and outcome_id = $outcome
                )
            """,
            {"programme": programme_id, "outcome": outcome.outcome_id},
        )

    def cells(self, specification: Specification, *keys: str) -> pd.DataFrame:
        """Children that are equal in all terms, phase, month and the further `keys`, with the weights asked for."""
        wanted = (*specification.sample, specification.weights, *keys)
        if wanted not in self._cells:
            self.build(specification)
            self._cells[wanted] = self.compress("model_sample", specification, *keys)
        return self._cells[wanted]

    def compress(self, relation: str, specification: Specification, *keys: str) -> pd.DataFrame:
        """Cells of a relation with the columns of `model_sample`."""
        weight = f"weight_{specification.weights}"
        return compress(self.connection, relation, TERMS, "outcome_value", weight, keys=(PHASE, MONTH, *keys))

    def rows(self, specification: Specification) -> pd.DataFrame:
        """The children of `cells`, a row each, nulls as they are."""
        self.build(specification)
        weight = f"weight_{specification.weights}"
        return self.connection.execute(
            f"select * from model_sample where {weight} > 0 and outcome_value is not null order by child_id"
        ).df()

    def imputations(self, specification: Specification, make: Callable[[], Imputations]) -> Imputations:
        """The completed sets of the children of `rows`; models of one sample share them."""
        wanted = (*specification.sample, specification.weights)
        if wanted not in self._imputations:
            self._imputations = {wanted: make()}
        return self._imputations[wanted]

    def build(self, specification: Specification) -> None:
        """Write the temporary table `model_sample`: a row per child in the LAs of the outcome's sets.

        The outcome is the reading and `is_treated` the treatment that the specification names; who is matched does not
        depend on either, and children of whom the treatment is not known are left out. The weight columns are 0 for
        children without a match; `weight_none` is 1 for all.
        """
        if self._built == specification.sample:
            return
        weights = ", ".join(f"{sql} as weight_{name}" for name, sql in _WEIGHT_COLUMNS.items())
        passed = [f"cast(children.anchor_date >= date '{day}' as integer)" for day in self.calendar.days]
        treatment = specification.treatment
        self.connection.execute(
            f"""
            create or replace temp table model_sample as
            select
                children.child_id,
                {terms_sql("children")},
                {" + ".join(passed) or "0"} as {PHASE},
                12 * year(children.anchor_date) + month(children.anchor_date) as {MONTH},
                children.outcome_value,
                strata.year_stratum_id,
                {weights}
            from (
                select * replace ({treatment} as is_treated) from outcome_readings
                where {treatment} is not null and {_CHILDREN[specification.children]}
            ) as children
            left join cem_child_weights as weights using (programme_id, outcome_id, child_id)
            left join {SCHEMA}.fct_cem_strata as strata using (programme_id, outcome_id, child_id)
            where case when $reading = '{DEFAULT_READING}' then is_default_reading else reading_id = $reading end
            """,
            {
                "reading": specification.reading_id,
                **({"programme": self.programme_id} if "$programme" in _CHILDREN[specification.children] else {}),
            },
        )
        self._built = specification.sample


@dataclass(frozen=True)
class Grid:
    """What the grid found.

    effects: a row per effect and scale; inference: a row per effect, scale and method of inference; around: the tables
    of `sfpc.sensitivity` about the primary specification of each outcome.
    """

    effects: pd.DataFrame
    inference: pd.DataFrame
    around: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class _Task:
    """One programme and outcome: all that its grid needs besides the marts."""

    marts_db: Path
    programme_id: str
    outcome: Outcome
    matchings: Mapping[str, Matching]
    settings: EvaluationSettings
    only: tuple[str, ...] | None

    @property
    def name(self) -> str:
        return f"{self.programme_id}, {self.outcome.outcome_id}"


def estimate_grid(
    marts_db: Path,
    programmes: list[str],
    outcomes: list[Outcome],
    matchings: Mapping[str, Matching],
    settings: EvaluationSettings,
    workers: int = 1,
    unfinished: Path | None = None,
    only: tuple[str, ...] | None = None,
) -> Grid:
    """Fit every specification of every programme and outcome.

    Parameters
    ----------
    matchings: by matching_window of the specifications, which LAs are compared.
    workers: processes; outcomes are shared out among them. The numbers do not depend on how many there are.
    unfinished: folder that keeps what is done, so that a run that was interrupted goes on from there; its name must
        tell runs apart. The caller removes it when all is written.
    only: ids of the specifications to fit; with them there are no tables around the primary one.
    """
    tasks = [
        _Task(
            marts_db,
            programme_id,
            outcome,
            {window_id: _of(matching, programme_id, outcome) for window_id, matching in matchings.items()},
            settings,
            only,
        )
        for programme_id in programmes
        for outcome in outcomes
    ]
    done: dict[str, Grid] = {}
    waiting = []
    for task in tasks:
        kept = _kept(unfinished, task)
        if kept is not None and kept.is_file():
            done[task.name] = pickle.loads(kept.read_bytes())
            say(f"  {task.name}: taken from the run that was interrupted")
        else:
            waiting.append(task)
    for task, grid in _all_done(waiting, workers):
        done[task.name] = grid
        say(f"  {task.name}: {len(grid.effects)} effects ({len(done)} of {len(tasks)})")
        kept = _kept(unfinished, task)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(pickle.dumps(grid))
    grids = [done[task.name] for task in tasks]
    effects = stacked("effects", [grid.effects for grid in grids])
    effects["p_value_hochberg"] = _adjusted(effects, [o.outcome_id for o in outcomes if not o.is_primary])
    return Grid(
        effects=effects,
        inference=stacked("inference", [grid.inference for grid in grids]),
        around={
            name: stacked(name, [grid.around[name] for grid in grids if name in grid.around])
            for name in SENSITIVITY_TABLES
        },
    )


def _of(matching: Matching, programme_id: str, outcome: Outcome) -> Matching:
    """The part of one programme and outcome."""
    sets, roles = matching.sets, matching.roles
    return Matching(
        sets[(sets["programme_id"] == programme_id) & (sets["outcome_id"] == outcome.outcome_id)],
        roles[roles["programme_id"] == programme_id],
        frozenset(pair for pair in matching.added if pair[0] == programme_id),
    )


def _kept(unfinished: Path | None, task: _Task) -> Path | None:
    return None if unfinished is None else unfinished / f"{task.programme_id}__{task.outcome.outcome_id}.pickle"


def _all_done(tasks: list[_Task], workers: int) -> Iterator[tuple[_Task, Grid]]:
    """Each task with its grid, as they are done."""
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield task, _estimate_outcome(task)
        return
    # One thread of linear algebra per process: small matrices, and as many processes as processors.
    threads = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        with ProcessPoolExecutor(min(workers, len(tasks)), multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(_estimate_outcome, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
    finally:
        for name, value in threads.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def stacked(name: str, parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Rows of a results table, its columns in order; empty parts would decide the types, so they are left out."""
    columns = [column for column in RESULT_TABLES[name] if column != "run_id"]
    held = [part for part in parts if len(part)]
    return (pd.concat(held, ignore_index=True) if held else pd.DataFrame()).reindex(columns=columns)


def _estimate_outcome(task: _Task) -> Grid:
    """The grid of one programme and outcome."""
    rows: list[dict[str, Any]] = []
    methods: list[dict[str, Any]] = []
    around: dict[str, pd.DataFrame] = {}
    programme_id, outcome, settings = task.programme_id, task.outcome, task.settings
    key = {"programme_id": programme_id, "outcome_id": outcome.outcome_id}
    with open_marts(task.marts_db) as connection:
        if not _has_outcome(connection, programme_id, outcome):
            return Grid(pd.DataFrame(), pd.DataFrame(), {})

        def matched(window_id: str) -> tuple[Samples, float]:
            """Samples of the children that are matched in a window, and the rate before go-live among them."""
            weigh_children(connection, task.matchings[window_id].sets, settings.cem_year_fallback_share)
            calendar = Calendar.of(task.matchings[window_id].roles)
            return Samples(connection, programme_id, outcome, calendar), _baseline_mean(
                connection, programme_id, outcome
            )

        samples, baseline = matched(ACCEPTED)
        declared = [s for s in read_specifications(connection) if s.outcome_id == outcome.outcome_id]
        specifications, rule = _apply_model_rule(declared, outcome, baseline, settings)
        primary = next((s for s in specifications if s.is_primary), None)
        if task.only is not None:
            specifications = [s for s in specifications if s.specification_id in task.only]
        # The primary one's window first, then window by window; specifications of one sample stand together.
        order = sorted(specifications, key=lambda s: (s.matching_window != ACCEPTED, *s.sample, s.specification_id))
        for window_id, members in itertools.groupby(order, key=lambda s: s.matching_window):
            if window_id != ACCEPTED:
                samples, baseline = matched(window_id)
            notes = [rule] if rule else []
            notes += _excluded_note(task.matchings[window_id])
            for specification in members:
                about = {**key, "specification_id": specification.specification_id}
                for effect, found in _fit(samples, specification, task.matchings[window_id], settings):
                    note = "; ".join([*notes, *effect["note"]]) or None
                    rows.append({**about, "baseline_mean_pct": baseline, **effect, "note": note})
                    methods += [
                        {**about, "scale": effect["scale"], "is_primary_method": number == 0, **asdict(estimate)}
                        for number, estimate in enumerate(found)
                    ]
            if window_id == ACCEPTED and primary is not None and task.only is None:
                around = _around(samples, primary, key, settings)
    return Grid(pd.DataFrame(rows), pd.DataFrame(methods), around)


def _excluded_note(matching: Matching) -> list[str]:
    live = int((matching.roles["role"] == "treatment").sum())
    excluded = live - matching.sets["treatment_la_id"].nunique()
    return [f"{excluded} of {live} treatment LAs excluded: no comparator accepted"] if excluded else []


def _around(
    samples: Samples, primary: Specification, key: Mapping[str, str], settings: EvaluationSettings
) -> dict[str, pd.DataFrame]:
    """The tables about the primary specification, in reported units."""
    outcome, go_live_month = samples.outcome, samples.calendar.go_live_month
    tables = around_primary(samples.cells(primary), samples.rows(primary), TERMS, MONTH, go_live_month, settings)
    around = {}
    for name, table in tables.items():
        units = [c for c in IN_UNITS_OF_THE_OUTCOME.get(name, ()) if c in table]
        scaled = table.assign(**{c: table[c] * outcome.factor for c in units})
        around[name] = scaled.assign(**key, **({"scale": outcome.scale} if units else {}))
    return around


def _adjusted(effects: pd.DataFrame, secondary: list[str]) -> NDArray[np.float64]:
    """Hochberg-adjusted p of each secondary outcome's primary specification; a programme is a family (FV.EST.8)."""
    adjusted = np.full(len(effects), np.nan)
    family = effects[effects["is_primary"].astype(bool) & effects["outcome_id"].isin(secondary)]
    for _, members in family.groupby("programme_id"):
        adjusted[members.index.to_numpy()] = hochberg(members["p_value"].to_numpy(dtype=np.float64))
    return adjusted


def read_specifications(connection: duckdb.DuckDBPyConnection) -> list[Specification]:
    """All rows of `dim_specifications`; SfpcError names a value that is not known."""
    rows = connection.execute(
        "select specification_id, outcome_id, clause, model, weights, treatment, reading_id, children,"
        " missing_covariates, matching_window, is_primary, label"
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
        if specification.is_primary and specification.matching_window != ACCEPTED:
            raise SfpcError(
                f"dim_specifications: '{specification.specification_id}' is primary; its matching_window must be"
                f" '{ACCEPTED}', the pairs that were decided on"
            )
        for column, values in known.items():
            value = getattr(specification, column)
            if value not in values:
                raise SfpcError(
                    f"dim_specifications: '{specification.specification_id}' has '{value}' in {column};"
                    f" known are {', '.join(values)}"
                )
    return specifications


def of_one_basis(connection: duckdb.DuckDBPyConnection, outcome_id: str, models: Sequence[str]) -> tuple[str, ...]:
    """Ids of the outcome's specifications that differ from the primary one in nothing but the model."""
    rows = [s for s in read_specifications(connection) if s.outcome_id == outcome_id]
    bases = {s.basis for s in rows if s.is_primary}
    return tuple(s.specification_id for s in rows if s.basis in bases and s.model in models)


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
class _Fitted:
    """What a model gave: per scale all methods of inference, the primary first; None where nothing was estimated.

    cells: the children that it rests on, where it left some out.
    """

    found: dict[str, list[Estimate]]
    notes: tuple[str, ...]
    cells: pd.DataFrame


def _fit(
    samples: Samples, specification: Specification, matching: Matching, settings: EvaluationSettings
) -> list[tuple[dict[str, Any], list[Estimate]]]:
    """Fit one specification; per scale a row of effects and all methods of inference. Never raises for want of data."""
    outcome, model = samples.outcome, specification.model
    cells = samples.cells(specification, *([VALUE] if model in WHOLE_OUTCOME else []))
    if specification.missing_covariates == "left_out":
        cells = complete(cells)
    fitted = _Fitted({}, ("no children to analyse",), cells)
    if model in ("logit", "fractional_logit") and outcome.outcome_kind == "days":
        fitted = _Fitted({}, ("a logit needs an outcome of 0 and 1, or a share",), cells.iloc[:0])
    elif model in ODDS and outcome.outcome_kind != "binary":
        fitted = _Fitted({}, ("a logit needs an outcome of 0 and 1",), cells.iloc[:0])
    elif specification.treatment == WITH_ADDED and not any(la in set(cells[TERMS.cluster]) for _, la in matching.added):
        fitted = _Fitted({}, ("no trailblazer with a verified go-live date and a comparator",), cells.iloc[:0])
    elif len(cells):
        fitted = _fit_model(cells, samples, specification, settings)
    cells, found, notes = fitted.cells, fitted.found, [*fitted.notes]
    treated = cells[cells[TERMS.treatment] == 1.0]
    treated_clusters = int(treated[TERMS.cluster].nunique())
    clusters = int(cells[TERMS.cluster].nunique())
    nan = float("nan")
    undefined = [infer(nan, nan, clusters, settings.significance_level)]
    scales = [*([] if model in ODDS_ALONE else [outcome.scale]), *([ODDS_RATIO] if model in ODDS else [])]
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
                "model": model,
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
    cells: pd.DataFrame, samples: Samples, specification: Specification, settings: EvaluationSettings
) -> _Fitted:
    """Fit the model that the specification names to cells that hold somebody."""
    level, model, outcome, calendar = (
        settings.significance_level,
        specification.model,
        samples.outcome,
        samples.calendar,
    )
    draws = Draws(settings.bootstrap_draws, settings.permutation_draws, settings.inference_seed)
    is_by_go_live = specification.treatment == TERMS.treatment
    if specification.missing_covariates == "imputed":
        return _fit_imputed(samples, specification, settings)
    if model == "child_effects":
        return _fit_child_effects(samples, specification, settings)
    if model == "conditional_logit":
        return _fit_conditional(samples, specification, settings)
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
    if model in STAGGERED or model == "synthetic_did":
        months = cells[MONTH].to_numpy(dtype=np.int64)
        panel = la_panel(design, months, calendar.go_live_month) if is_by_go_live else None
        if panel is None:
            return _Fitted(
                {}, ("no panel of LAs and periods: some go-live opens no month, or nobody is never live",), cells
            )
        left_out = (f"LAs without children in some period left out: {len(panel.left_out)}",) if panel.left_out else ()
        notes = (f"periods of {panel.months} months, LAs count alike", *left_out)
        if model == "synthetic_did":
            synthetic = synthetic_did(panel, level, seed=settings.inference_seed)
            # The placebo where there are enough comparison LAs for one, else the jackknife first.
            methods = sorted(synthetic.methods, key=lambda estimate: not np.isfinite(estimate.p_value))
            notes = (*notes, *synthetic.notes)
        else:
            methods = [STAGGERED[model](panel, level)]
        return _Fitted({outcome.scale: [e.scaled(outcome.factor) for e in methods]}, notes, cells)
    timing = _timing(cells, calendar) if is_by_go_live else None
    estimates = of_linear(fit_linear(design), timing, level, draws)
    return _Fitted(
        {outcome.scale: [e.scaled(outcome.factor) for e in estimates]}, (*design.notes, *_design_notes(design)), cells
    )


def _fit_imputed(samples: Samples, specification: Specification, settings: EvaluationSettings) -> _Fitted:
    """Impute missing covariates, fit every completed set and pool (FV.COV.4)."""
    level, outcome, cells = settings.significance_level, samples.outcome, samples.cells(specification)
    rows = samples.rows(specification)
    rows = rows.assign(**{name: rows[name].replace(code, None) for name, code in MISSING_CODES.items()})
    # Free meals that are not observed are a level of their own (DECISIONS D72).
    rows = rows.assign(**{name: rows[name].astype(object).fillna(NOT_OBSERVED) for name in OWN_LEVELS})
    asked = {name: "categorical" for name in TERMS.categorical} | {name: "linear" for name in TERMS.linear}
    shares = missing_shares(rows, list(asked), MISSING_COVARIATE_LIMIT).set_index("covariate")
    dropped = tuple(shares.index[shares["decision"] == DROPPED])
    wanted = {name: asked[name] for name in shares.index[shares["decision"] == IMPUTED]}
    if specification.model not in ("linear", "logit"):
        return _Fitted({}, (f"covariates are not imputed for the model {specification.model}",), cells)
    if not wanted:
        return _Fitted({}, ("no covariate is missing for some children: nothing to impute",), cells)
    complete_names = [name for name in asked if name not in wanted and name not in dropped]
    is_code = outcome.outcome_kind == "binary"
    factors = [
        TERMS.cluster,
        *TERMS.periods,
        TERMS.treatment,
        *(name for name in complete_names if asked[name] == "categorical"),
        *(["outcome_value"] if is_code else []),
    ]
    linear = [name for name in complete_names if asked[name] == "linear"] + ([] if is_code else ["outcome_value"])
    weight = f"weight_{specification.weights}"
    imputations = samples.imputations(
        specification,
        lambda: impute(
            rows, wanted, factors, linear, TERMS.cluster, weight, settings.imputations, seed=settings.inference_seed
        ),
    )
    terms = replace(
        TERMS,
        categorical=tuple(name for name in TERMS.categorical if name not in dropped),
        linear=tuple(name for name in TERMS.linear if name not in dropped),
    )
    linear_sums, logits, clustered = [], [], []
    for place in range(len(imputations.numbers)):
        samples.connection.register("completed_sample", imputations.completed(place))
        completed = compress(samples.connection, "completed_sample", terms, "outcome_value", weight)
        samples.connection.unregister("completed_sample")
        if specification.model == "logit":
            logit = fit_logit_to_cells(completed, terms)
            if logit.fit is None:
                return _Fitted({}, logit.notes, cells)
            logits.append(logit.fit.average_marginal_effect(level))
            continue
        fit = fit_linear(build_design(completed, terms))
        sums = cluster_sums(fit.design)
        if sums is None:
            return _Fitted({}, _design_notes(fit.design), cells)
        linear_sums.append(sums)
        clustered.append(fit.effect(level))
    if logits:
        found = [pool(logits, level)]
    else:
        bootstrap = pooled_wild_bootstrap(linear_sums, level, settings.bootstrap_draws, settings.inference_seed)
        found = [bootstrap, pool(clustered, level)]
    notes = (
        f"imputed, {len(imputations.numbers)} times: {', '.join(sorted(wanted))}",
        *([f"left out, missing too often: {', '.join(dropped)}"] if dropped else []),
        *imputations.notes,
    )
    scales = {outcome.scale: [e.scaled(outcome.factor) for e in found]}
    return _Fitted(scales, notes, cells)


def _fit_child_effects(samples: Samples, specification: Specification, settings: EvaluationSettings) -> _Fitted:
    """Fit up to three terms per child with child random effects, term and months since referral (FV.EST.7)."""
    samples.build(specification)
    weight = f"weight_{specification.weights}"
    samples.connection.execute(
        f"""
        create or replace temp table term_sample as
        select
            children.* exclude (outcome_value),
            dense_rank() over (order by children.child_id) as child_number,
            terms.term_order,
            terms.months_since_referral,
            terms.unauthorised_absence_pct as outcome_value
        from model_sample as children
        inner join {SCHEMA}.fct_absence_terms as terms on children.child_id = terms.child_id
        where terms.programme_id = ? and terms.is_measured and children.{weight} > 0
        """,
        [samples.programme_id],
    )
    terms = replace(
        TERMS,
        categorical=(*TERMS.categorical, "term_order"),
        linear=(*TERMS.linear, "months_since_referral"),
    )
    cells = compress(samples.connection, "term_sample", terms, "outcome_value", weight, keys=("child_number",))
    if not len(cells):
        return _Fitted({}, ("no term of a matched child has a figure",), cells)
    fitted = fit_terms(cells, terms, "child_number")
    estimates = of_linear(
        fitted.fit,
        None,
        settings.significance_level,
        Draws(settings.bootstrap_draws, settings.permutation_draws, settings.inference_seed),
    )
    children = cells.drop_duplicates("child_number")
    notes = (f"{fitted.term_count} terms of {fitted.child_count} children", *fitted.notes)
    return _Fitted({samples.outcome.scale: estimates}, notes, children)


def _fit_conditional(samples: Samples, specification: Specification, settings: EvaluationSettings) -> _Fitted:
    """Fit the logit conditional on the matched strata, with LA effects (FV.EST.4)."""
    rows = samples.rows(specification)
    las, cluster = np.unique(rows[TERMS.cluster].to_numpy(dtype=str), return_inverse=True)
    _, stratum = np.unique(rows["year_stratum_id"].to_numpy(dtype=str), return_inverse=True)
    x = np.column_stack(
        [*((cluster == code).astype(np.float64) for code in range(1, len(las))), rows[TERMS.treatment].to_numpy(float)]
    )
    names = (*(f"{TERMS.cluster}={la}" for la in las[1:]), TERMS.treatment)
    fitted = fit_conditional(x, rows["outcome_value"].to_numpy(dtype=np.float64), stratum, cluster, names)
    effect = fitted.log_odds_effect(TERMS.treatment, settings.significance_level).exponentiated()
    return _Fitted({ODDS_RATIO: [effect]}, fitted.notes, samples.cells(specification))


def complete(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of children whose covariates are all known; a level of its own is no missing value (DECISIONS D72)."""
    known = np.ones(len(cells), dtype=bool)
    for name in TERMS.categorical:
        if name not in OWN_LEVELS:
            missing = {NOT_OBSERVED, str(MISSING_CODES.get(name, NOT_OBSERVED))}
            known &= ~cells[name].isin(missing).to_numpy()
    for name in TERMS.linear:
        known &= cells[name].notna().to_numpy()
    return cells[known].reset_index(drop=True)


def _design_notes(design: Design) -> tuple[str, ...]:
    if design.treatment_column is None:
        return ("effect not identified: the treatment does not vary within LAs and years",)
    return ()


def _timing(cells: pd.DataFrame, calendar: Calendar) -> Timing:
    quarters = (cells[MONTH].to_numpy(dtype=np.int64) - 1) // 3
    return Timing(
        phase=cells[PHASE].to_numpy(dtype=np.int64),
        period=quarters - quarters.min() if len(quarters) else quarters,
        go_live_phase=calendar.first_phase,
    )
