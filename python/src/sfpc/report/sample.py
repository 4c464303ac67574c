"""Which children were analysed: the matching of children once more, counted in SQL."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pandas as pd

from sfpc.marts import SCHEMA

# Name of the temporary table of matched children, as `analysed_children` leaves it.
MATCHED = "report_matched_children"


@dataclass(frozen=True)
class AnalysedChildren:
    """Distinct children by LA: in the sample, matched, and treated among the matched.

    by_la: la_id, is_treatment_la, is_member (in a set of the analysis), sample_count,
        matched_count, treated_matched_count; every LA with a child in the sample.
    """

    by_la: pd.DataFrame

    @property
    def members(self) -> pd.DataFrame:
        """The LAs that take part: treatment LAs with a comparator, and those comparators."""
        return self.by_la[self.by_la["is_member"]]

    def total(self, column: str) -> int:
        """Sum of a count column over the LAs that take part."""
        return int(self.members[column].sum())


def analysed_children(
    connection: duckdb.DuckDBPyConnection,
    matched_pairs: pd.DataFrame,
    cem_shares: pd.DataFrame,
    programme_id: str,
    outcome_id: str,
) -> AnalysedChildren:
    """Count the children of each LA that have a match, and leave them in the table `MATCHED`.

    The results give matched children per set, where a comparison LA that serves two treatment LAs
    counts twice; the flow needs each child once, so the strata are gone through again: a child is
    matched when its stratum, within a set, holds children of both arms (FV.CEM.9). `strata_used`
    of the results says which strata a set fell back to (FV.CEM.1).

    Parameters
    ----------
    connection: from `sfpc.marts.open_marts`; only counts leave it.
    """
    mine = (matched_pairs["programme_id"] == programme_id) & (matched_pairs["outcome_id"] == outcome_id)
    accepted = matched_pairs[mine & (matched_pairs["status"] == "accepted")]
    used = cem_shares[(cem_shares["programme_id"] == programme_id) & (cem_shares["outcome_id"] == outcome_id)]
    bases = used.drop_duplicates("treatment_la_id").set_index("treatment_la_id")["strata_used"]
    members = [
        (str(row.treatment_la_id), la_id, arm, str(bases.get(row.treatment_la_id, "year")))
        for row in accepted.itertuples()
        for la_id, arm in ((str(row.treatment_la_id), True), (str(row.candidate_la_id), False))
    ]
    connection.execute(
        "create or replace temp table report_sets"
        " (treatment_la_id varchar, la_id varchar, is_treatment_arm boolean, strata_used varchar)"
    )
    if members:
        connection.executemany("insert into report_sets values (?, ?, ?, ?)", sorted(set(members)))
    scope = {"programme": programme_id, "outcome": outcome_id}
    connection.execute(
        f"""
        create or replace temp table {MATCHED} as
        with units as (
            select
                sets.treatment_la_id, sets.is_treatment_arm, strata.child_id, strata.la_id,
                if(
                    sets.strata_used = 'year', strata.year_stratum_id,
                    strata.covariate_stratum_id
                    || if(strata.index_referral_date >= areas.go_live_date, ' after', ' before')
                ) as stratum_id
            from {SCHEMA}.fct_cem_strata as strata
            inner join report_sets as sets using (la_id)
            inner join {SCHEMA}.dim_programme_local_authorities as areas
                on areas.la_id = sets.treatment_la_id and areas.programme_id = strata.programme_id
            where strata.programme_id = $programme and strata.outcome_id = $outcome
        ),
        both_arms as (
            select treatment_la_id, stratum_id
            from units
            group by treatment_la_id, stratum_id
            having bool_or(is_treatment_arm) and bool_or(not is_treatment_arm)
        )
        select distinct units.child_id, units.la_id
        from units
        inner join both_arms using (treatment_la_id, stratum_id)
        """,
        scope,
    )
    by_la = connection.execute(
        f"""
        select
            children.la_id,
            coalesce(bool_or(areas.is_treatment_la), false) as is_treatment_la,
            children.la_id in (select la_id from report_sets) as is_member,
            count(*) as sample_count,
            count(matched.child_id) as matched_count,
            count(matched.child_id) filter (where children.is_treated) as treated_matched_count
        from {SCHEMA}.fct_child_outcomes as children
        left join {SCHEMA}.dim_programme_local_authorities as areas using (programme_id, la_id)
        left join {MATCHED} as matched using (child_id, la_id)
        where
            children.programme_id = $programme
            and children.is_in_sample__{_identifier(outcome_id)}
            and children.is_fully_observed__{_identifier(outcome_id)}
        group by children.la_id
        order by children.la_id
        """,
        {"programme": programme_id},
    ).df()
    return AnalysedChildren(by_la=by_la)


def _identifier(name: str) -> str:
    """A name that becomes part of a column name: letters, digits and underscores only."""
    if not name.replace("_", "").isalnum():
        raise ValueError(f"not a column name: {name!r}")
    return name
