"""Which children were analysed, counted by LA in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.marts import ANALYSIS, SCHEMA

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
    results_dir: Path,
    matched_pairs: pd.DataFrame,
    programme_id: str,
    outcome_id: str,
) -> AnalysedChildren:
    """Count the children of each LA that have a match, and leave them in the table `MATCHED`.

    Who is matched is what the evaluation wrote (matched_children.parquet; FV.CEM.9): a comparison child that
    serves two treatment LAs counts once here.

    Parameters
    ----------
    connection: from `sfpc.marts.open_marts`; only counts leave it.
    results_dir: the folder of the results.
    """
    file = results_dir / "matched_children.parquet"
    if not file.is_file():
        raise SfpcError(f"no matched children at {file}: run `sfpc estimate` again")
    place = str(file).replace("'", "''")
    mine = (matched_pairs["programme_id"] == programme_id) & (matched_pairs["outcome_id"] == outcome_id)
    accepted = matched_pairs[mine & (matched_pairs["status"] == "accepted")]
    members = sorted({str(la) for la in [*accepted["treatment_la_id"], *accepted["candidate_la_id"]]})
    connection.execute("create or replace temp table report_members (la_id varchar)")
    if members:
        connection.executemany("insert into report_members values (?)", [[la] for la in members])
    connection.execute(
        f"create or replace temp table {MATCHED} as select distinct child_id, la_id from read_parquet('{place}')"
        " where programme_id = $programme and outcome_id = $outcome",
        {"programme": programme_id, "outcome": outcome_id},
    )
    by_la = connection.execute(
        f"""
        select
            children.la_id,
            coalesce(bool_or(areas.is_treatment_la), false) as is_treatment_la,
            children.la_id in (select la_id from report_members) as is_member,
            count(*) as sample_count,
            count(matched.child_id) as matched_count,
            count(matched.child_id) filter (where children.is_treated) as treated_matched_count
        from {ANALYSIS} as children
        left join {SCHEMA}.dim_programme_local_authorities as areas using (programme_id, la_id)
        left join {MATCHED} as matched using (child_id, la_id)
        where children.programme_id = $programme and children.outcome_id = $outcome
        group by children.la_id
        order by children.la_id
        """,
        {"programme": programme_id, "outcome": outcome_id},
    ).df()
    return AnalysedChildren(by_la=by_la)
