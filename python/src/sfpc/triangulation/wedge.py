"""The stepped wedge of a programme from the marts: its treatment LAs alone, wedges by their go-live (FV.TRI.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import duckdb
import numpy as np
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.estimation.cluster import Estimate
from sfpc.estimation.design import CELL_COUNT, Terms, build_design, compress
from sfpc.estimation.few_clusters import CR3_T, cluster_sums, cr3, wild_bootstrap
from sfpc.estimation.inference import Draws, Timing
from sfpc.estimation.stepped_wedge import (
    LINEAR,
    RANDOM_INTERCEPT,
    SteppedWedge,
    fit_stepped_wedge,
    what_few_can_support,
)
from sfpc.grid import MONTH, PHASE, TERMS, Calendar, Outcome, terms_sql
from sfpc.marts import ANALYSIS, SCHEMA, EvaluationSettings
from sfpc.triangulation.tables import STEPPED_WEDGE_TABLES

CLAUSE = "FV.TRI.2"
ADJUSTED, UNADJUSTED = "children's covariates", "none"
LEAD, CONSTANT_EFFECT = "lead", "constant_effect"
QUARTER, _IS_LEAD, _IS_LATE, _SAMPLE = "quarter_number", "is_lead", "is_late", "wedge_sample"

# Quarters instead of financial years, and children's covariates alone: with four or five LAs, yearly figures of the LA
# would take up what tells a wedge from the next (FV.TRI.2).
WEDGE_TERMS = replace(TERMS, periods=(QUARTER,), linear=("age_years", "previous_cpp_count"))
_BARE = replace(WEDGE_TERMS, categorical=(), linear=())


@dataclass(frozen=True)
class SteppedWedgeResults:
    """The stepped wedge of one outcome.

    fits: by model and covariates, the primary one first. The frames have the columns of `STEPPED_WEDGE_TABLES`, effects
    in `scale`; `sentences` are for an analyst. factor: from the outcome's unit to `scale`.
    """

    programme_id: str
    outcome_id: str
    scale: str
    factor: float
    fits: tuple[tuple[str, SteppedWedge], ...]
    estimates: pd.DataFrame
    wedges: pd.DataFrame
    without_each: pd.DataFrame
    checks: pd.DataFrame
    sentences: tuple[str, ...]

    @property
    def primary(self) -> SteppedWedge:
        """The fit that counts."""
        return self.fits[0][1]

    def tidy(self) -> pd.DataFrame:
        """The estimates, a row per model, covariates, scale and method."""
        return self.estimates

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names of `STEPPED_WEDGE_TABLES`."""
        return {
            "stepped_wedge": self.estimates,
            "stepped_wedge_wedges": self.wedges,
            "stepped_wedge_leave_one_out": self.without_each,
            "stepped_wedge_checks": self.checks,
        }


def run_stepped_wedge(
    connection: duckdb.DuckDBPyConnection, programme_id: str, outcome: Outcome, settings: EvaluationSettings
) -> SteppedWedgeResults:
    """Estimate the stepped wedge of one programme and outcome.

    Children of the treatment LAs alone, by their first referral in the trial period (or start of care, where the
    outcome counts from it); live from the go-live row of the LA; effects of quarters and LAs. A yes-or-no outcome has
    the random-intercept logit as primary model and the linear twin beside it; others the linear twin alone. Each
    stands with and without the children's covariates. No matching, no weights.

    Parameters
    ----------
    connection: of `sfpc.marts.open_marts`.
    outcome: of `sfpc.grid.read_outcomes`.

    Raises SfpcError where the marts hold no such programme, a go-live is missing, or fewer than two LAs have children.

    Source: FV.TRI.2.
    """
    roles, strata = _roles(connection, programme_id)
    calendar = Calendar.of(roles)
    lead, early = (months_of(connection, f"stepped_wedge_{name}_months") for name in ("lead", "early"))
    _write_sample(connection, programme_id, outcome, calendar, lead, early)
    cells = compress(connection, _SAMPLE, WEDGE_TERMS, "outcome_value", "1", keys=(PHASE, MONTH, _IS_LEAD, _IS_LATE))
    if cells[TERMS.cluster].nunique() < 2:
        raise SfpcError(
            f"{programme_id}, {outcome.outcome_id}: a stepped wedge needs children with an outcome in two treatment LAs"
            f" or more; found {cells[TERMS.cluster].nunique()}"
        )
    bare = compress(connection, _SAMPLE, _BARE, "outcome_value", "1", keys=(PHASE, MONTH))
    level = settings.significance_level
    draws = Draws(settings.bootstrap_draws, settings.permutation_draws, settings.inference_seed)
    models = (RANDOM_INTERCEPT, LINEAR) if outcome.outcome_kind == "binary" else (LINEAR,)
    fits = tuple(
        (
            covariates,
            fit_stepped_wedge(held, terms, _timing(held, calendar), level, draws, model=model, strata=strata),
        )
        for model in models
        for covariates, held, terms in ((ADJUSTED, cells, WEDGE_TERMS), (UNADJUSTED, bare, _BARE))
    )
    about = {"programme_id": programme_id, "outcome_id": outcome.outcome_id, "clause": CLAUSE}
    primary = fits[0][1]
    estimates = pd.concat(
        [
            fit.tidy(outcome.factor, outcome.scale).assign(covariates=covariates, is_primary=number == 0, **about)
            for number, (covariates, fit) in enumerate(fits)
        ],
        ignore_index=True,
    )
    without = pd.DataFrame(
        [
            {"la_id": la, "model": primary.model, "scale": outcome.scale, "estimate": value * outcome.factor, **about}
            for la, value in primary.without_each.items()
        ]
    )
    checks = pd.DataFrame(
        [{**row, **about} for row in _checks(cells, outcome, level, draws, lead, early)],
    )
    return SteppedWedgeResults(
        programme_id=programme_id,
        outcome_id=outcome.outcome_id,
        scale=outcome.scale,
        factor=outcome.factor,
        fits=fits,
        estimates=_tidy("stepped_wedge", estimates),
        wedges=_tidy("stepped_wedge_wedges", _wedges(connection, programme_id, outcome, calendar).assign(**about)),
        without_each=_tidy("stepped_wedge_leave_one_out", without),
        checks=_tidy("stepped_wedge_checks", checks),
        sentences=_sentences(primary, outcome, level),
    )


def months_of(connection: duckdb.DuckDBPyConnection, setting: str) -> int:
    """A setting of `dim_evaluation_settings` that is a whole number of months above 0."""
    value = text_setting(connection, setting)
    if not value.isdigit() or int(value) == 0:
        raise SfpcError(f"dim_evaluation_settings: '{setting}' is '{value}'; expected a whole number of months above 0")
    return int(value)


def text_setting(connection: duckdb.DuckDBPyConnection, setting: str) -> str:
    """A setting of `dim_evaluation_settings` as text; one that is absent is an error naming it."""
    row = connection.execute(
        f"select value from {SCHEMA}.dim_evaluation_settings where setting = ?", [setting]
    ).fetchone()
    if row is None:
        raise SfpcError(f"dim_evaluation_settings: no row for '{setting}': build the marts again (make build)")
    return str(row[0])


def mart_of(connection: duckdb.DuckDBPyConnection, mart: str, where: str = "true", *values: object) -> pd.DataFrame:
    """Rows of a mart; one that is not there is an error that says what to do."""
    try:
        return connection.execute(f"select * from {SCHEMA}.{mart} where {where} order by all", list(values)).df()
    except duckdb.CatalogException as error:
        raise SfpcError(f"the marts hold no {mart}: build them again (make build)") from error


def _roles(connection: duckdb.DuckDBPyConnection, programme_id: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Treatment LAs with go-live, and their strata of randomisation."""
    roles = mart_of(connection, "dim_programme_local_authorities", "programme_id = ?", programme_id)
    if roles.empty:
        raise SfpcError(f"no programme '{programme_id}' in the marts")
    roles = roles[roles["role"] == "treatment"]
    undated = roles.loc[roles["go_live_date"].isna(), "la_id"].tolist()
    if undated:
        raise SfpcError(f"dim_programme_local_authorities: no go_live_date for the treatment LA {', '.join(undated)}")
    drawn = mart_of(connection, "dim_randomisation", "programme_id = ?", programme_id)
    return roles, dict(zip(drawn["la_id"].astype(str), drawn["stratum"].astype(str), strict=True))


def _write_sample(
    connection: duckdb.DuckDBPyConnection,
    programme_id: str,
    outcome: Outcome,
    calendar: Calendar,
    lead: int,
    early: int,
) -> None:
    """Write the temporary table of the treatment LAs' children; treatment is what the go-live rows say."""
    passed = [f"cast(children.anchor_date >= date '{day}' as integer)" for day in calendar.days]
    connection.execute(
        f"""
        create or replace temp table {_SAMPLE} as
        select
            {terms_sql("children")},
            4 * year(children.anchor_date) + quarter(children.anchor_date) - 1 as {QUARTER},
            {" + ".join(passed) or "0"} as {PHASE},
            12 * year(children.anchor_date) + month(children.anchor_date) as {MONTH},
            cast(children.anchor_date < go_live_date and children.anchor_date >= go_live_date - to_months(?)
                as integer) as {_IS_LEAD},
            cast(children.anchor_date >= go_live_date + to_months(?) as integer) as {_IS_LATE},
            go_live_date,
            children.outcome_value
        from (
            select analysed.* replace (analysed.anchor_date >= roles.go_live_date as is_treated), roles.go_live_date
            from {ANALYSIS} as analysed
            inner join {SCHEMA}.dim_programme_local_authorities as roles using (programme_id, la_id)
            where programme_id = ? and outcome_id = ? and roles.role = 'treatment'
        ) as children
        where children.outcome_value is not null
        """,
        [lead, early, programme_id, outcome.outcome_id],
    )


def _timing(cells: pd.DataFrame, calendar: Calendar) -> Timing:
    quarter = cells[QUARTER].astype(np.int64).to_numpy()
    return Timing(cells[PHASE].to_numpy(dtype=np.int64), quarter - quarter.min(), calendar.first_phase)


def _wedges(
    connection: duckdb.DuckDBPyConnection, programme_id: str, outcome: Outcome, calendar: Calendar
) -> pd.DataFrame:
    """An LA a row: its wedge, and its children before and after."""
    found = connection.execute(
        f"""
        select
            sample.la_id,
            min(drawn.stratum) as stratum,
            min(sample.go_live_date) as go_live_date,
            bool_and(drawn.is_order_kept) as is_order_kept,
            count(distinct sample.{QUARTER}) filter (where not sample.is_treated) as quarters_before,
            count(distinct sample.{QUARTER}) filter (where sample.is_treated) as quarters_after,
            count(*) filter (where not sample.is_treated) as children_before,
            count(*) filter (where sample.is_treated) as children_after,
            avg(sample.outcome_value) filter (where not sample.is_treated) * ? as mean_before,
            avg(sample.outcome_value) filter (where sample.is_treated) * ? as mean_after
        from {_SAMPLE} as sample
        left join {SCHEMA}.dim_randomisation as drawn on sample.la_id = drawn.la_id and drawn.programme_id = ?
        group by sample.la_id
        order by go_live_date, sample.la_id
        """,
        [outcome.factor, outcome.factor, programme_id],
    ).df()
    return found.assign(wedge=found["la_id"].map(calendar.first_phase), scale=outcome.scale)


def _checks(
    cells: pd.DataFrame, outcome: Outcome, level: float, draws: Draws, lead: int, early: int
) -> list[dict[str, object]]:
    """What the linear twin shows where nothing should be seen, by CR3 and by the wild bootstrap."""
    before = cells[cells[TERMS.treatment] == 0.0].reset_index(drop=True)
    late = replace(WEDGE_TERMS, treatment=_IS_LATE, linear=(*WEDGE_TERMS.linear, TERMS.treatment))
    asked = (
        (LEAD, before, replace(WEDGE_TERMS, treatment=_IS_LEAD), f"{lead} months before go-live against earlier"),
        (CONSTANT_EFFECT, cells, late, f"{early} months after go-live and later against the months before that"),
    )
    rows = []
    for check, held, terms, words in asked:
        for estimate, why in _tested(held, terms, level, draws):
            rows.append(
                {
                    "check": check,
                    "scale": outcome.scale,
                    **asdict(estimate.scaled(outcome.factor)),
                    "children_count": int(held[CELL_COUNT].sum()),
                    "note": "; ".join([words, *why]),
                }
            )
    return rows


def _tested(cells: pd.DataFrame, terms: Terms, level: float, draws: Draws) -> list[tuple[Estimate, tuple[str, ...]]]:
    nan = float("nan")
    nothing = Estimate(nan, nan, nan, nan, nan, nan, CR3_T)
    if not len(cells):
        return [(nothing, ("no children",))]
    sums = cluster_sums(build_design(cells, terms))
    if sums is None:
        return [(nothing, ("not identified",))]
    return [
        (cr3(sums, level), ()),
        (wild_bootstrap(sums, level, draws.bootstrap, draws.seed).effect, ()),
    ]


def _sentences(primary: SteppedWedge, outcome: Outcome, level: float) -> tuple[str, ...]:
    effect = primary.effect.scaled(outcome.factor)
    if not np.isfinite(effect.estimate):
        return (f"The stepped wedge gives no estimate: {'; '.join(primary.notes)}.",)
    interval = (
        f"{1 - level:.0%} interval {effect.ci_low:.2f} to {effect.ci_high:.2f}, p = {effect.p_value:.3f}"
        if np.isfinite(effect.standard_error)
        else "no error is defined"
    )
    permuted = primary.effects[-1]
    by_order = f"; by permutation of the go-live order p = {permuted.p_value:.3f}" if permuted.p_value <= 1 else ""
    return (
        f"In the stepped wedge of {primary.la_count} LAs, going live changes the outcome by {effect.estimate:.2f}"
        f" {outcome.scale} ({interval}{by_order}).",
        what_few_can_support(primary.la_count, primary.orders + 1 if primary.orders else 0, level),
    )


def _tidy(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reindex(columns=list(STEPPED_WEDGE_TABLES[name])).reset_index(drop=True)
