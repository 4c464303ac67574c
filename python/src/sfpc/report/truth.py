"""What a synthetic run planted, for the children that were analysed; absent for real data."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.marts import ANALYSIS, SCHEMA
from sfpc.report.sample import MATCHED
from sfpc.settings import Paths

# One row per child and anchor of one outcome: child_id, anchor_date, outcome_with, outcome_without. A truth folder
# knows a child by the LA's own code, and the anchor (referral or start of care) by its day; a child's codes are those
# of all its referrals, because a child followed from the start of care was rarely referred on that day. Parameters:
# $potential (file), $outcome.
PLANTED_OUTCOMES = f"""
    select
        codes.child_id,
        potential.anchor_date,
        avg(potential.outcome_with) as outcome_with,
        avg(potential.outcome_without) as outcome_without
    from (select distinct child_id, la_code, la_child_id from {SCHEMA}.fct_referral_spells) as codes
    inner join read_parquet($potential) as potential using (la_code, la_child_id)
    where potential.outcome_id = $outcome
    group by codes.child_id, potential.anchor_date
"""


@dataclass(frozen=True)
class Truth:
    """The realised effect on the analysed treated children.

    Attributes
    ----------
    effect: mean of the outcome with less the outcome without the programme, in the unit of the
        outcome (percentage points for an outcome of 0 and 1).
    treated_count: analysed treated children; known_count: those of them whose truth is known.
    by_la: la_id, treated_count, known_count, effect.
    """

    effect: float
    treated_count: int
    known_count: int
    by_la: pd.DataFrame

    @property
    def known_pct(self) -> float:
        """Share of the analysed treated children whose truth is known, in per cent."""
        return 100.0 * self.known_count / self.treated_count


def realised_truth(
    paths: Paths,
    connection: duckdb.DuckDBPyConnection,
    outcomes: pd.DataFrame,
    programme_id: str,
    outcome_id: str,
) -> Truth | None:
    """Return the planted effect as it came out among the analysed treated children.

    The estimate is about the treated children that have a match, so the truth beside it is theirs
    and not that of everybody. A child whose record was damaged on purpose (another code, another
    date) has no known truth and is left out of the mean.

    Parameters
    ----------
    connection: on which `sfpc.report.sample.analysed_children` has just run for this outcome.
    outcomes: dim_outcomes, for the kind of the outcome.

    Returns
    -------
    None without a truth folder, and where no treated child was analysed. Raises SfpcError where the
    truth folder knows none of the analysed treated children.
    """
    potential = paths.truth / "potential_outcomes.parquet"
    if not potential.is_file():
        return None
    kinds = outcomes.loc[outcomes["outcome_id"] == outcome_id, "outcome_kind"]
    factor = 100.0 if len(kinds) and kinds.iloc[0] == "binary" else 1.0
    by_la = connection.execute(
        f"""
        with treated as (
            select children.child_id, children.la_id, children.anchor_date
            from {ANALYSIS} as children
            inner join {MATCHED} using (child_id, la_id)
            where
                children.programme_id = $programme
                and children.outcome_id = $outcome
                and children.is_treated
        ),
        known as (
            select
                treated.child_id,
                avg(planted.outcome_with - planted.outcome_without) as effect
            from treated
            inner join ({PLANTED_OUTCOMES}) as planted using (child_id, anchor_date)
            group by treated.child_id
        )
        select
            treated.la_id,
            count(*) as treated_count,
            count(known.child_id) as known_count,
            avg(known.effect) * $factor as effect
        from treated
        left join known using (child_id)
        group by treated.la_id
        order by treated.la_id
        """,
        {
            "programme": programme_id,
            "outcome": outcome_id,
            "potential": str(potential),
            "factor": factor,
        },
    ).df()
    known = int(by_la["known_count"].sum())
    if by_la.empty:
        return None
    if not known:
        # Never call data synthetic, or real, on the strength of a folder that belongs to other data.
        raise SfpcError(
            f"{paths.truth} is not about these data (none of {int(by_la['treated_count'].sum())} treated"
            " children is in it); remove it if the data are real, else synthesise again"
        )
    return Truth(
        effect=float((by_la["effect"].fillna(0.0) * by_la["known_count"]).sum() / known),
        treated_count=int(by_la["treated_count"].sum()),
        known_count=known,
        by_la=by_la,
    )


def planted_twins(
    paths: Paths,
    matched_pairs: pd.DataFrame,
    local_authorities: pd.DataFrame,
    programme_id: str,
    outcome_id: str,
) -> pd.DataFrame | None:
    """Return the accepted pairs with `is_twin`: was the comparator planted as a twin of its LA?

    None without a truth folder.
    """
    planned = paths.truth / "planned_las.csv"
    if not planned.is_file():
        return None
    plan = pd.read_csv(planned, dtype=str)
    area = {
        code.strip(): str(row.la_id) for row in local_authorities.itertuples() for code in str(row.la_codes).split(",")
    }
    twins = {
        (area.get(twin_of, twin_of), area.get(code, code))
        for code, twin_of in zip(plan["la_code"], plan["twin_of"].fillna(""), strict=True)
        if twin_of
    }
    mine = (matched_pairs["programme_id"] == programme_id) & (matched_pairs["outcome_id"] == outcome_id)
    pairs = matched_pairs.loc[mine & (matched_pairs["status"] == "accepted"), ["treatment_la_id", "candidate_la_id"]]
    is_twin = [pair in twins for pair in zip(pairs["treatment_la_id"], pairs["candidate_la_id"], strict=True)]
    return pairs.assign(is_twin=is_twin).reset_index(drop=True)
