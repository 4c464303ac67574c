"""Coarsened exact matching of children, in SQL (FV.CEM.1, .9 to .11).

The strata come from `fct_cem_strata`; here they are counted, weighted and judged. Children never
leave DuckDB: only counts, shares and differences do. Page: docs/methods/coarsened_exact_matching.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pandas as pd

from sfpc.marts import ANALYSIS, SCHEMA

SET_COLUMNS = ("programme_id", "outcome_id", "treatment_la_id")
ALL = "all"

# The fixed, declared bins of the imbalance measures, finer than the strata (FV.CEM.11): on the
# strata themselves L1 is 0 by construction. Expressions over the view of `sfpc.marts.ANALYSIS`.
DECLARED_BINS: Mapping[str, str] = {
    "gender": "gender",
    "age_years": "greatest(age_at_anchor_months, 0) // 12",
    "ethnicity": "ethnicity",
    "is_disabled": "is_disabled",
    "is_fsm": "is_fsm",
    "is_uasc": "is_uasc",
    "previous_cpp_count": "least(previous_cpp_count, 2)",
    "financial_year": "financial_year",
    "primary_need": "primary_need",
}
NOT_OBSERVED = "not observed"


@dataclass(frozen=True)
class ChildMatching:
    """What coarsened exact matching did; one row per set means per treatment LA and outcome.

    Attributes
    ----------
    shares: children and the share of them matched (0 to 1), by set, arm and period, with the
        shares that year strata and period strata would give (FV.CEM.1, .11).
    imbalance: multivariate L1 (0 to 1) on `DECLARED_BINS` before and after weighting (FV.CEM.11).
    balance: standardised mean difference of every covariate level before and after.

    The weights stay in DuckDB, as the tables `cem_weights` (one row per set and child) and
    `cem_child_weights` (one row per child and outcome).
    """

    shares: pd.DataFrame
    imbalance: pd.DataFrame
    balance: pd.DataFrame


def weigh_strata(connection: duckdb.DuckDBPyConnection, units: str, into: str) -> None:
    """Match and weigh units exactly on their stratum; write the temporary table `into`.

    In stratum s with m_T treated and m_C control units, both above 0 (FV.CEM.9),

        weight_protocol = 1 (treated), m_T / m_C (control)                      FV.CEM.10
        weight_ikp      = 1 (treated), m_T / m_C * M_C / M_T (control)

    where M_T and M_C are the matched units of the whole problem (programme and outcome, over all
    sets, as if the set were one more exact covariate); 0 for both where a stratum lacks an arm.

    Parameters
    ----------
    units: a relation with programme_id, outcome_id, treatment_la_id (the set), stratum_id,
        is_treatment_arm and unit_count (1 where a row is a unit, more where it is a group of
        equals); any other columns are carried along.
    into: name of the temporary table: the columns of `units`, is_matched and the two weights, which
        are per unit.

    Source: Iacus, King and Porro (2011) JASA 106:345, (2012) Political Analysis 20:1;
    docs/methods/coarsened_exact_matching.md.
    """
    connection.execute(
        f"""
        create or replace temp table {into} as
        with strata as (
            select
                programme_id, outcome_id, treatment_la_id, stratum_id,
                sum(if(is_treatment_arm, unit_count, 0)) as treated_count,
                sum(if(is_treatment_arm, 0, unit_count)) as control_count
            from {units}
            group by programme_id, outcome_id, treatment_la_id, stratum_id
        ),
        matched as (
            select *, treated_count / control_count as control_weight
            from strata
            where treated_count > 0 and control_count > 0
        ),
        problems as (
            select programme_id, outcome_id, sum(control_count) / sum(treated_count) as ikp_constant
            from matched
            group by programme_id, outcome_id
        )
        select
            units.*,
            matched.stratum_id is not null as is_matched,
            case
                when matched.stratum_id is null then 0.0
                when units.is_treatment_arm then 1.0
                else matched.control_weight
            end as weight_protocol,
            case
                when matched.stratum_id is null then 0.0
                when units.is_treatment_arm then 1.0
                else matched.control_weight * problems.ikp_constant
            end as weight_ikp
        from {units} as units
        left join matched using (programme_id, outcome_id, treatment_la_id, stratum_id)
        left join problems using (programme_id, outcome_id)
        """
    )


def multivariate_l1(
    connection: duckdb.DuckDBPyConnection, cells: str, bins: Sequence[str], by: Sequence[str]
) -> pd.DataFrame:
    """Multivariate imbalance L1 = 1/2 * sum over cells of |f - g|, before and after weighting.

    f and g are the shares of the treatment and of the control arm that lie in a cell of `bins`;
    0 is perfect balance, 1 is no overlap. NaN where an arm is empty (after: where nothing matched).
    Both weightings of FV.CEM.10 give the same L1 within a problem: they differ by one constant on
    the control arm, and shares are taken within an arm.

    Parameters
    ----------
    cells: a relation with `by`, `bins`, is_treatment_arm, unit_count and weight (sums over units).

    Returns
    -------
    One row per combination of `by`: l1_before, l1_after, and the unweighted counts
    treated_before, control_before.

    Source: Iacus, King and Porro (2011) section 5; FV.CEM.11.
    """
    keys = ", ".join(by)
    frame = connection.execute(
        f"""
        with cells as (
            select
                {keys}, {", ".join(bins)},
                coalesce(sum(unit_count) filter (where is_treatment_arm), 0) as treated_count,
                coalesce(sum(unit_count) filter (where not is_treatment_arm), 0) as control_count,
                coalesce(sum(weight) filter (where is_treatment_arm), 0) as treated_weight,
                coalesce(sum(weight) filter (where not is_treatment_arm), 0) as control_weight
            from {cells}
            group by {keys}, {", ".join(bins)}
        ),
        totals as (
            select
                {keys},
                sum(treated_count) as treated_before, sum(control_count) as control_before,
                nullif(sum(treated_weight), 0) as treated_after,
                nullif(sum(control_weight), 0) as control_after
            from cells
            group by {keys}
        )
        select
            {keys},
            0.5 * sum(abs(
                treated_count / nullif(treated_before, 0) - control_count / nullif(control_before, 0)
            )) as l1_before,
            0.5 * sum(abs(
                treated_weight / treated_after - control_weight / control_after
            )) as l1_after,
            cast(any_value(treated_before) as bigint) as treated_before,
            cast(any_value(control_before) as bigint) as control_before
        from cells
        inner join totals using ({keys})
        group by {keys}
        order by {keys}
        """
    ).df()
    return frame


def standardised_differences(
    connection: duckdb.DuckDBPyConnection, cells: str, bins: Sequence[str], by: Sequence[str]
) -> pd.DataFrame:
    """Standardised mean difference of each covariate level, before and after weighting.

    (p_T - p_C) / sqrt( (p_T (1 - p_T) + p_C (1 - p_C)) / 2 ), p the arm's share in the level; the
    denominator is the one before matching in both, so that the two are on one scale. NaN where the
    denominator is 0. `cells` as for `multivariate_l1`.

    Returns one row per `by`, covariate and level, with the shares (0 to 1) and the differences.

    Source: Austin (2009) Statistics in Medicine 28:3083, equation 2, for a binary variable;
    Stuart (2010) Statistical Science 25:1 section 4.1 for the common denominator.
    """
    keys = ", ".join(by)
    share = {
        "treated_share_before": "sum(unit_count) filter (where is_treatment_arm)",
        "control_share_before": "sum(unit_count) filter (where not is_treatment_arm)",
        "treated_share_after": "sum(weight) filter (where is_treatment_arm)",
        "control_share_after": "sum(weight) filter (where not is_treatment_arm)",
    }
    levels = " union all ".join(
        f"select {keys}, '{name}' as covariate,"
        f" coalesce(cast({name} as varchar), '{NOT_OBSERVED}') as level, "
        + ", ".join(f"coalesce({sums}, 0) as {column}" for column, sums in share.items())
        + f" from {cells} group by {keys}, {name}"
        for name in bins
    )
    shares = ", ".join(
        f"{column} / nullif(sum({column}) over (partition by {keys}, covariate), 0) as {column}" for column in share
    )
    return connection.execute(
        f"""
        with levels as ({levels}),
        shares as (select {keys}, covariate, level, {shares} from levels),
        scaled as (
            select
                *,
                nullif(sqrt((
                    treated_share_before * (1 - treated_share_before)
                    + control_share_before * (1 - control_share_before)
                ) / 2), 0) as scale
            from shares
        )
        select
            {keys}, covariate, level,
            treated_share_before, control_share_before, treated_share_after, control_share_after,
            (treated_share_before - control_share_before) / scale as difference_before,
            (treated_share_after - control_share_after) / scale as difference_after
        from scaled
        order by {keys}, covariate, level
        """
    ).df()


def match_children(
    connection: duckdb.DuckDBPyConnection, sets: pd.DataFrame, year_fallback_share: float
) -> ChildMatching:
    """Match the children of each treatment LA with those of its pooled comparators.

    A set that loses more than `year_fallback_share` of its treatment LA's children with
    financial-year strata uses period strata instead: same covariates, referred before or from
    go-live of the set's treatment LA, in both arms (FV.CEM.1).

    Parameters
    ----------
    connection: from `sfpc.marts.open_marts`.
    sets: one row per programme_id, outcome_id, treatment_la_id and member la_id, with
        is_treatment_arm and go_live_date (of the treatment LA); comparators are pooled.
    year_fallback_share: proportion, 0 to 1.

    Returns
    -------
    `ChildMatching`; also writes what `weigh_children` writes.
    """
    weigh_children(connection, sets, year_fallback_share)
    _count_cells(connection)
    return ChildMatching(shares=_shares(connection), imbalance=_imbalance(connection), balance=_balance(connection))


def weigh_children(connection: duckdb.DuckDBPyConnection, sets: pd.DataFrame, year_fallback_share: float) -> None:
    """The matching of `match_children` without its account: writes the temporary tables

    cem_weights: set columns, la_id, child_id, is_treatment_arm, is_after_go_live, is_matched,
        weight_protocol, weight_ikp, weight_period (the protocol's, had every set period strata): one row per
        set and child.
    cem_child_weights: programme_id, outcome_id, child_id, la_id and the weights summed over
        sets: a child that serves several treatment LAs has one row, in its own LA (FV.CEM.10).
    """
    connection.register("cem_sets_frame", sets)
    connection.execute(
        """
        create or replace temp table cem_sets as
        select
            cast(programme_id as varchar) as programme_id,
            cast(outcome_id as varchar) as outcome_id,
            cast(treatment_la_id as varchar) as treatment_la_id,
            cast(la_id as varchar) as la_id,
            cast(is_treatment_arm as boolean) as is_treatment_arm,
            cast(go_live_date as date) as go_live_date
        from cem_sets_frame
        """
    )
    connection.unregister("cem_sets_frame")
    # Children of one set, arm, period and stratum are equals here: count them first, so that all
    # but the last step works on some thousand groups, not on the children.
    connection.execute(
        f"""
        create or replace temp table cem_groups as
        select
            programme_id, outcome_id, sets.treatment_la_id, sets.is_treatment_arm,
            strata.anchor_date >= sets.go_live_date as is_after_go_live,
            strata.year_stratum_id, strata.covariate_stratum_id, count(*) as unit_count
        from {SCHEMA}.fct_cem_strata as strata
        inner join cem_sets as sets using (programme_id, outcome_id, la_id)
        group by all
        """
    )
    strata = {
        "year": "year_stratum_id",
        "period": "covariate_stratum_id || if(is_after_go_live, ' after', ' before')",
    }
    for basis, stratum in strata.items():
        connection.execute(
            f"create or replace temp view cem_units_{basis} as select *, {stratum} as stratum_id from cem_groups"
        )
        weigh_strata(connection, f"cem_units_{basis}", f"cem_weights_{basis}")
    connection.execute(
        """
        create or replace temp table cem_bases as
        select
            programme_id, outcome_id, treatment_la_id,
            if(
                sum(unit_count) filter (where not is_matched) > ? * sum(unit_count),
                'period', 'year'
            ) as strata_used
        from cem_weights_year
        where is_treatment_arm
        group by programme_id, outcome_id, treatment_la_id
        """,
        [year_fallback_share],
    )
    connection.execute(
        f"""
        create or replace temp view cem_units_used as
        select
            *, if(strata_used = 'year', {strata["year"]}, {strata["period"]}) as stratum_id
        from cem_groups
        inner join cem_bases using (programme_id, outcome_id, treatment_la_id)
        """
    )
    weigh_strata(connection, "cem_units_used", "cem_weights_used")
    connection.execute(
        f"""
        create or replace temp table cem_weights as
        select
            programme_id, outcome_id, sets.treatment_la_id, la_id, strata.child_id,
            sets.is_treatment_arm, used.is_after_go_live, used.is_matched, used.weight_protocol,
            used.weight_ikp, by_period.weight_protocol as weight_period
        from {SCHEMA}.fct_cem_strata as strata
        inner join cem_sets as sets using (programme_id, outcome_id, la_id)
        inner join cem_weights_used as used using (
            programme_id, outcome_id, treatment_la_id, is_treatment_arm, year_stratum_id,
            covariate_stratum_id
        )
        inner join cem_weights_period as by_period using (
            programme_id, outcome_id, treatment_la_id, is_treatment_arm, year_stratum_id,
            covariate_stratum_id, is_after_go_live
        )
        where used.is_after_go_live = (strata.anchor_date >= sets.go_live_date)
        """
    )
    connection.execute(
        """
        create or replace temp table cem_child_weights as
        select
            programme_id, outcome_id, child_id, la_id,
            sum(weight_protocol) as weight_protocol, sum(weight_ikp) as weight_ikp,
            sum(weight_period) as weight_period
        from cem_weights
        where is_matched or weight_period > 0
        group by programme_id, outcome_id, child_id, la_id
        """
    )


def _shares(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    keys = "programme_id, outcome_id, treatment_la_id, is_treatment_arm, is_after_go_live"
    matched = "sum(if(is_matched, unit_count, 0))"
    return connection.execute(
        f"""
        with counts as (
            select
                {keys}, any_value(strata_used) as strata_used, sum(unit_count) as children,
                {matched} as matched, 0 as matched_by_year, 0 as matched_by_period
            from cem_weights_used group by {keys}
            union all
            select {keys}, null, 0, 0, {matched}, 0 from cem_weights_year group by {keys}
            union all
            select {keys}, null, 0, 0, 0, {matched} from cem_weights_period group by {keys}
        )
        select
            programme_id, outcome_id,
            coalesce(treatment_la_id, '{ALL}') as treatment_la_id,
            if(is_treatment_arm, 'treatment', 'comparison') as arm,
            case
                when grouping(is_after_go_live) = 1 then '{ALL}'
                when is_after_go_live then 'after go-live'
                else 'before go-live'
            end as period,
            if(
                min(strata_used) = max(strata_used), min(strata_used), 'year and period'
            ) as strata_used,
            cast(sum(children) as bigint) as children_count,
            cast(sum(matched) as bigint) as matched_children_count,
            sum(matched) / sum(children) as matched_share,
            sum(matched_by_year) / sum(children) as matched_share_year_strata,
            sum(matched_by_period) / sum(children) as matched_share_period_strata
        from counts
        group by grouping sets (
            (programme_id, outcome_id, is_treatment_arm),
            (programme_id, outcome_id, is_treatment_arm, is_after_go_live),
            (programme_id, outcome_id, treatment_la_id, is_treatment_arm),
            (programme_id, outcome_id, treatment_la_id, is_treatment_arm, is_after_go_live)
        )
        order by programme_id, outcome_id, treatment_la_id, arm desc, period
        """
    ).df()


def _count_cells(connection: duckdb.DuckDBPyConnection) -> None:
    bins = ", ".join(f"{expression} as {name}" for name, expression in DECLARED_BINS.items())
    connection.execute(
        f"""
        create or replace temp table cem_cells as
        select
            weights.programme_id, weights.outcome_id, weights.treatment_la_id,
            weights.is_treatment_arm,
            if(weights.is_after_go_live, 'after go-live', 'before go-live') as period,
            {bins},
            count(*) as unit_count, sum(weights.weight_protocol) as weight
        from cem_weights as weights
        inner join {ANALYSIS} as children using (programme_id, outcome_id, child_id)
        group by all
        """
    )


def _imbalance(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    problem = ["programme_id", "outcome_id"]
    parts = []
    for by in ([], ["period"], ["treatment_la_id"]):
        part = multivariate_l1(connection, "cem_cells", list(DECLARED_BINS), [*problem, *by])
        for column in ("treatment_la_id", "period"):
            if column not in by:
                part[column] = ALL
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    frame["bins"] = ", ".join(DECLARED_BINS)
    return frame.sort_values([*problem, "treatment_la_id", "period"], ignore_index=True)


def _balance(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    return standardised_differences(connection, "cem_cells", list(DECLARED_BINS), ["programme_id", "outcome_id"])
