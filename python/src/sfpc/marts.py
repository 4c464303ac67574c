"""Reading the published marts: a read-only connection, the settings, and a fingerprint of what was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from sfpc.errors import SfpcError

# The attached file gets a name of its own: a file called marts.duckdb would otherwise make
# `marts.x` ambiguous between the catalogue and the schema.
SCHEMA = "published.marts"

# The view that `open_marts` makes: the children that an outcome is estimated from, a row per programme, outcome and
# child, with LA, day, age and treatment as of the day that the outcome is counted from, and the covariates.
ANALYSIS = "analysis_children"
# The same for every reading of an outcome.
READINGS = "analysis_readings"
COVARIATES = (
    "gender",
    "ethnicity",
    "is_disabled",
    "is_fsm",
    "is_uasc",
    "previous_cpp_count",
    "primary_need",
    "la_fsm_pct",
    "la_white_british_pct",
    "has_other_innovation_programme",
)
# Other definitions of being treated, which a specification may name (FV.TREAT.2, FV.TREAT.3, FV.TREAT.5).
OTHER_TREATMENTS = (
    "is_treated_by_share_of_time",
    "is_treated_by_days",
    "is_treated_with_trailblazer",
)
_FROM_THE_OUTCOME = ("la_id", "financial_year", "is_treatment_la", "is_treated")

REQUIRED_COLUMNS: Mapping[str, frozenset[str]] = {
    "dim_programme_local_authorities": frozenset(
        {"programme_id", "la_id", "role", "go_live_date", "is_matching_candidate"}
    ),
    "dim_outcomes": frozenset({"outcome_id", "outcome_column", "outcome_kind", "status"}),
    "dim_specifications": frozenset(
        {
            "specification_id",
            "outcome_id",
            "clause",
            "model",
            "weights",
            "treatment",
            "reading_id",
            "children",
            "missing_covariates",
            "matching_window",
            "is_primary",
            "label",
        }
    ),
    "dim_evaluation_settings": frozenset({"setting", "value"}),
    "fct_la_quarter_outcomes": frozenset(
        {
            "programme_id",
            "outcome_id",
            "la_id",
            "quarter_start_date",
            "numerator",
            "denominator_count",
            "value",
            "standardised_value",
            "standardised_change",
            "change_standard_error",
        }
    ),
    "fct_matching_trends": frozenset(
        {
            "programme_id",
            "outcome_id",
            "la_id",
            "quarter_start_date",
            "numerator",
            "denominator_count",
            "value",
            "sampling_variance",
            "standardised_value",
            "standardised_variance",
            "is_matching_candidate",
        }
    ),
    "fct_matching_quarters": frozenset(
        {
            "programme_id",
            "outcome_id",
            "window_id",
            "treatment_la_id",
            "quarter_start_date",
            "last_follow_up_date",
            "assumed_go_live_date",
            "is_default",
        }
    ),
    "dim_matching_variants": frozenset(
        {"variant_id", "window_id", "metric", "twin_correlation", "is_default", "placebo_months", "clause"}
    ),
    "dim_la_match_decisions": frozenset(
        {
            "programme_id",
            "outcome_id",
            "treatment_la_id",
            "comparator_la_id",
            "decision",
            "reason",
            "decided_by",
            "decided_on",
            "data_version",
        }
    ),
    "dim_shocks": frozenset({"shock_date", "la_id", "kind", "title", "is_of_its_own"}),
    "fct_cem_strata": frozenset(
        {
            "programme_id",
            "outcome_id",
            "child_id",
            "la_id",
            "anchor_date",
            "covariate_stratum_id",
            "year_stratum_id",
        }
    ),
    "fct_outcome_values": frozenset(
        {
            "programme_id",
            "outcome_id",
            "reading_id",
            "is_default_reading",
            "child_id",
            "la_id",
            "anchor_date",
            "financial_year",
            "is_treatment_la",
            "is_treated",
            "age_at_anchor_months",
            "is_in_sample",
            "is_fully_observed",
            "outcome_value",
        }
    ),
    "fct_absence_terms": frozenset(
        {"programme_id", "child_id", "term_order", "months_since_referral", "is_measured", "unauthorised_absence_pct"}
    ),
    "fct_child_outcomes": frozenset(
        {
            "programme_id",
            "child_id",
            "is_unborn_at_referral",
            "is_in_embedding_period",
            *OTHER_TREATMENTS,
            *COVARIATES,
        }
    ),
}


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings of `dim_evaluation_settings` that matching and estimation need.

    Attributes
    ----------
    matching_ranking_length: candidates ranked per treatment LA and outcome (FV.MATCH.4).
    matching_minimum_quarters: quarters with a value in both LAs that a pair needs (FV.MATCH.2).
    matching_maximum_comparators: most comparators the automatic rule accepts (FV.MATCH.4).
    matching_calliper_noise_ratio: largest distance the automatic rule accepts, in multiples of the
        distance that sampling error alone gives a perfect twin (FV.MATCH.4).
    cem_year_fallback_share: share (0 to 1) of a set's treatment-LA children that may be lost with
        financial-year strata before the set falls back to period strata (FV.CEM.1).
    logit_lower_rate_pct, logit_upper_rate_pct: baseline rates, in per cent, between which a binary
        outcome gets the linear model (FV.EST.4).
    significance_level: two-sided, as a proportion (FV.EST.5).
    bootstrap_draws, permutation_draws, inference_seed: draws where not every pattern is used, and their seed
        (FV.EST.3).
    imputations: completed sets of children where covariates are imputed (FV.COV.4).
    """

    matching_ranking_length: int
    matching_minimum_quarters: int
    matching_maximum_comparators: int
    matching_calliper_noise_ratio: float
    cem_year_fallback_share: float
    logit_lower_rate_pct: float
    logit_upper_rate_pct: float
    significance_level: float
    bootstrap_draws: int
    permutation_draws: int
    inference_seed: int
    imputations: int


@contextmanager
def open_marts(marts_db: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach the marts read-only as `published` to an in-memory database that holds scratch tables.

    One thread: sums of floating-point weights then always run in the same order, so that two runs
    on the same file agree to the last digit.
    """
    if not marts_db.is_file():
        raise SfpcError(f"no marts at {marts_db}: build them first (make build)")
    connection = duckdb.connect(":memory:", config={"threads": 1})
    try:
        connection.execute("set enable_progress_bar = false")
        connection.execute(f"attach {_text(str(marts_db))} as published (read_only)")
        _check_columns(connection, marts_db)
        create_analysis_view(connection)
        yield connection
    finally:
        connection.close()


def create_analysis_view(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views `READINGS` and, of the default reading of each outcome, `ANALYSIS` over the attached marts."""
    connection.execute(
        f"""
        create temp view {READINGS} as
        select
            outcomes.programme_id, outcomes.outcome_id, outcomes.reading_id, outcomes.is_default_reading,
            outcomes.child_id,
            {", ".join(f"outcomes.{name}" for name in _FROM_THE_OUTCOME)},
            outcomes.anchor_date, outcomes.age_at_anchor_months, outcomes.outcome_value,
            coalesce(children.is_unborn_at_referral, false) as is_unborn_at_referral,
            coalesce(children.is_in_embedding_period, false) as is_in_embedding_period,
            {", ".join(f"children.{name}" for name in (*OTHER_TREATMENTS, *COVARIATES))}
        from {SCHEMA}.fct_outcome_values as outcomes
        inner join {SCHEMA}.fct_child_outcomes as children using (programme_id, child_id)
        where outcomes.is_in_sample and outcomes.is_fully_observed
        """
    )
    connection.execute(f"create temp view {ANALYSIS} as select * from {READINGS} where is_default_reading")


def read_settings(connection: duckdb.DuckDBPyConnection) -> EvaluationSettings:
    """Read the settings; one that is absent, doubled or not a number is an error naming it."""
    rows = connection.execute(f"select setting, value from {SCHEMA}.dim_evaluation_settings").fetchall()
    values: dict[str, str] = {}
    for setting, value in rows:
        if setting in values:
            raise SfpcError(f"dim_evaluation_settings: '{setting}' stands there more than once")
        values[setting] = value

    def number(setting: str) -> float:
        if setting not in values:
            raise SfpcError(f"dim_evaluation_settings: no row for '{setting}'")
        try:
            return float(values[setting])
        except ValueError as error:
            raise SfpcError(f"dim_evaluation_settings: '{setting}' is '{values[setting]}', not a number") from error

    def whole(setting: str) -> int:
        value = number(setting)
        if not value.is_integer():
            raise SfpcError(f"dim_evaluation_settings: '{setting}' is {value}, not a whole number")
        return int(value)

    return EvaluationSettings(
        matching_ranking_length=whole("matching_ranking_length"),
        matching_minimum_quarters=whole("matching_minimum_quarters"),
        matching_maximum_comparators=whole("matching_maximum_comparators"),
        matching_calliper_noise_ratio=number("matching_calliper_noise_ratio"),
        cem_year_fallback_share=number("cem_year_fallback_share"),
        logit_lower_rate_pct=number("logit_lower_rate_pct"),
        logit_upper_rate_pct=number("logit_upper_rate_pct"),
        significance_level=number("significance_level"),
        bootstrap_draws=whole("bootstrap_draws"),
        permutation_draws=whole("permutation_draws"),
        inference_seed=whole("inference_seed"),
        imputations=whole("imputations"),
    )


def read_mart(connection: duckdb.DuckDBPyConnection, mart: str) -> pd.DataFrame:
    """Return a whole mart; for the small ones (dimensions and LA quarters), never the children."""
    return connection.execute(f"select * from {SCHEMA}.{mart}").df()


def count_rows(connection: duckdb.DuckDBPyConnection, mart: str) -> int:
    """Number of rows of one mart."""
    row = connection.execute(f"select count(*) from {SCHEMA}.{mart}").fetchone()
    return int(row[0]) if row else 0


def fingerprints(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return rows and an order-independent content hash of each mart read here.

    Of the rows, not of the file: DuckDB files of equal content differ in their bytes.
    """
    contents = {mart: content_of(connection, mart) for mart in REQUIRED_COLUMNS}
    return {mart: f"{rows}:{content}" for mart, (rows, content) in contents.items()}


def content_of(connection: duckdb.DuckDBPyConnection, mart: str) -> tuple[int, str]:
    """Rows of one attached mart, and a hash of them that does not depend on their order."""
    row = connection.execute(f"select count(*), sum(hash(mart)) from {SCHEMA}.{mart} as mart").fetchone()
    assert row is not None
    return int(row[0]), f"{row[1] or 0:x}"


def _check_columns(connection: duckdb.DuckDBPyConnection, marts_db: Path) -> None:
    rows = connection.execute(
        "select table_name, column_name from information_schema.columns"
        " where table_catalog = 'published' and table_schema = 'marts'"
    ).fetchall()
    held: dict[str, set[str]] = {}
    for table, column in rows:
        held.setdefault(table, set()).add(column)
    for mart, columns in REQUIRED_COLUMNS.items():
        if mart not in held:
            raise SfpcError(f"{marts_db}: the mart {mart} is missing; build the marts again")
        missing = sorted(columns - held[mart])
        if missing:
            raise SfpcError(f"{marts_db}: {mart} has no column {', '.join(missing)}")


def _text(value: str) -> str:
    """Quote a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"
