"""The sets of the analysis: a treatment LA and its comparators, as decided on and as other windows would have it.

Pages: docs/methods/trend_distance.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from sfpc.errors import SfpcError
from sfpc.matching.trends import MatchingSettings, rank_candidates, window_trends

KEYS = ["programme_id", "outcome_id", "treatment_la_id"]
# The sets of the pairs that were accepted in the protocol's window, by a person or by the rule.
ACCEPTED = "default"


@dataclass(frozen=True)
class Matching:
    """Which LAs are compared.

    sets: `KEYS`, la_id, is_treatment_arm, go_live_date of the treatment LA; a row per set and member, itself included.
    roles: rows of `dim_programme_local_authorities`, in which all that count as treated have that role and their day.
    added: programme_id and la_id of LAs that count as treated here only.
    """

    sets: pd.DataFrame
    roles: pd.DataFrame
    added: frozenset[tuple[str, str]] = frozenset()


def members_of(accepted: pd.DataFrame) -> pd.DataFrame:
    """`KEYS`, la_id and is_treatment_arm of accepted pairs (`KEYS`, candidate_la_id), the treatment LAs included."""
    own = accepted[KEYS].drop_duplicates()
    own = own.assign(la_id=own["treatment_la_id"], is_treatment_arm=True)
    others = accepted[[*KEYS, "candidate_la_id"]].rename(columns={"candidate_la_id": "la_id"})
    return pd.concat([own, others.assign(is_treatment_arm=False)], ignore_index=True)


def sets_of(accepted: pd.DataFrame, roles: pd.DataFrame) -> pd.DataFrame:
    """The sets of accepted pairs; see `Matching`. Raises SfpcError where a treatment LA has no go-live date."""
    go_live = roles.loc[roles["role"] == "treatment", ["programme_id", "la_id", "go_live_date"]]
    go_live = go_live.rename(columns={"la_id": "treatment_la_id"})
    sets = members_of(accepted).merge(go_live, on=["programme_id", "treatment_la_id"], how="left")
    undated = sorted(sets.loc[sets["go_live_date"].isna(), "treatment_la_id"].unique())
    if undated:
        raise SfpcError(f"dim_programme_local_authorities: no go_live_date for the treatment LA {', '.join(undated)}")
    return sets


def matching_in(
    window_id: str,
    accepted: pd.DataFrame,
    trends: pd.DataFrame,
    quarters: pd.DataFrame,
    roles: pd.DataFrame,
    settings: MatchingSettings,
) -> Matching:
    """Match LAs in another window, by the automatic rule (FV.SENS.5, FV.TREAT.5).

    Nobody decided on pairs of that window. An LA whose quarters there are those of the protocol's window keeps its
    accepted pairs. An LA that is no treatment LA but has quarters of its own in the window counts as treated there,
    from the day before which the window stands.

    Parameters
    ----------
    accepted: the accepted pairs of the protocol's window (`KEYS`, candidate_la_id).
    trends, quarters, roles: `fct_matching_trends`, `fct_matching_quarters`, `dim_programme_local_authorities`.

    Raises SfpcError for a window that the marts do not hold, and for one that stands before a placebo date.

    Source: FV.MATCH.3, FV.SENS.5; docs/methods/trend_distance.md.
    """
    programmes = set(roles["programme_id"])
    seen = quarters[(quarters["window_id"] == window_id) & quarters["programme_id"].isin(programmes)]
    if seen.empty:
        raise SfpcError(f"dim_specifications: no LA has a quarter in the matching window '{window_id}'")
    roles, added = _with_added(window_id, seen, roles)
    ranking = rank_candidates(window_trends(trends, seen), roles, settings)
    found = ranking.loc[ranking["is_accepted"].astype(bool), [*KEYS, "candidate_la_id"]]
    default = quarters[quarters["is_default"].astype(bool)]
    quarters_here, quarters_decided = _quarters_by_set(seen), _quarters_by_set(default)
    kept = [key for key, days in quarters_here.items() if quarters_decided.get(key) == days]
    is_kept = pd.MultiIndex.from_frame(found[KEYS]).isin(kept)
    was_kept = pd.MultiIndex.from_frame(accepted[KEYS]).isin(kept)
    pairs = pd.concat([accepted.loc[was_kept, [*KEYS, "candidate_la_id"]], found[~is_kept]], ignore_index=True)
    pairs = pairs.sort_values([*KEYS, "candidate_la_id"], ignore_index=True)
    return Matching(sets_of(pairs, roles), roles, added)


def _quarters_by_set(quarters: pd.DataFrame) -> dict[tuple[str, ...], tuple[Any, ...]]:
    groups = quarters.groupby(KEYS)["quarter_start_date"]
    return {tuple(map(str, key)): tuple(sorted(days)) for key, days in groups}


def _with_added(
    window_id: str, seen: pd.DataFrame, roles: pd.DataFrame
) -> tuple[pd.DataFrame, frozenset[tuple[str, str]]]:
    """The roles with those as treated that have quarters in the window, from the day before which it stands."""
    days = seen.groupby(["programme_id", "treatment_la_id"])["assumed_go_live_date"].first()
    keys = pd.MultiIndex.from_frame(roles[["programme_id", "la_id"]])
    stands_before = pd.to_datetime(pd.Series(days.reindex(keys).to_numpy(), index=roles.index))
    is_treated = roles["role"] == "treatment"
    live = pd.to_datetime(roles["go_live_date"])
    if (is_treated & stands_before.notna() & (stands_before != live)).any():
        raise SfpcError(f"dim_specifications: the matching window '{window_id}' stands before a placebo date")
    is_new = stands_before.notna() & ~is_treated
    changed = roles.assign(
        role=roles["role"].where(~is_new, "treatment"), go_live_date=live.where(~is_new, stands_before)
    )
    return changed, frozenset(zip(roles.loc[is_new, "programme_id"], roles.loc[is_new, "la_id"], strict=True))
