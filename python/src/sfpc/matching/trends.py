"""LA matching on parallel trends: distances, ranking and the automatic rule (FV.MATCH.2 to .4).

The trends come from `fct_la_quarter_outcomes`, which holds pre-programme quarters only; nothing
else is read. Pages: docs/methods/trend_distance.md.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.matching.distance import RMS, pooled, quarter_numbers

AUTOMATIC_RULE = "automatic rule"

RANKING_COLUMNS = (
    "programme_id",
    "outcome_id",
    "treatment_la_id",
    "candidate_la_id",
    "rank",
    "distance",
    "expected_noise_distance",
    "noise_ratio",
    "quarters_count",
    "changes_count",
    "is_accepted",
    "decision",
    "reason",
)
EXCLUSION_COLUMNS = ("programme_id", "outcome_id", "treatment_la_id", "decision", "reason")


class MatchingSettings(Protocol):
    """The four settings of the ranking; see `sfpc.marts.EvaluationSettings`."""

    @property
    def matching_ranking_length(self) -> int: ...  # noqa: D102

    @property
    def matching_minimum_quarters(self) -> int: ...  # noqa: D102

    @property
    def matching_maximum_comparators(self) -> int: ...  # noqa: D102

    @property
    def matching_calliper_noise_ratio(self) -> float: ...  # noqa: D102


def rank_candidates(trends: pd.DataFrame, roles: pd.DataFrame, settings: MatchingSettings) -> pd.DataFrame:
    """Rank the nearest candidates of each treatment LA and outcome, and apply the automatic rule.

    With dz the quarter-on-quarter change of the outcome standardised within each quarter, and Q the
    changes that both LAs have (a change counts if both also hold the quarter before it),

        distance                = sqrt( mean over Q of (dz_treatment - dz_candidate)^2 )
        expected_noise_distance = sqrt( mean over Q of (se_treatment^2 + se_candidate^2) )

    The second is what sampling error alone gives a perfect twin, in the same unit (standard
    deviations of the outcome over LAs). The automatic rule accepts, among the ranked, the nearest
    `matching_maximum_comparators` whose noise_ratio = distance / expected_noise_distance is at most
    `matching_calliper_noise_ratio`. Matching is with replacement.

    Parameters
    ----------
    trends: rows of `fct_la_quarter_outcomes` (one per programme, outcome, LA and quarter).
    roles: rows of `dim_programme_local_authorities`; treatment LAs have the role 'treatment',
        candidates `is_matching_candidate`.
    settings: the four matching settings.

    Returns
    -------
    One row per programme, outcome, treatment LA and ranked candidate, `RANKING_COLUMNS`.
    `quarters_count` is the number of quarters in which both LAs have a standardised value; a pair
    with fewer than `matching_minimum_quarters` of them is not ranked. Ties go by `la_id`.
    Distances are unitless; the expected noise and the ratio are NaN where no standard error exists,
    and such a candidate is never accepted automatically.

    Source: FV.MATCH.2 to .4; docs/methods/trend_distance.md.
    """
    rows: list[dict[str, Any]] = []
    for (programme_id, outcome_id), group in trends.groupby(["programme_id", "outcome_id"], sort=True):
        own_roles = roles[roles["programme_id"] == programme_id]
        treatment = sorted(own_roles.loc[own_roles["role"] == "treatment", "la_id"])
        is_candidate = own_roles["is_matching_candidate"].astype(bool)
        is_treatment = own_roles["role"] == "treatment"
        candidates = sorted(own_roles.loc[is_candidate & ~is_treatment, "la_id"])
        ranked = _rank_one_outcome(group, treatment, candidates, settings)
        rows.extend({"programme_id": programme_id, "outcome_id": outcome_id, **row} for row in ranked)
    return pd.DataFrame(rows, columns=list(RANKING_COLUMNS))


def window_trends(cells: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Rows as `rank_candidates` takes them: treatment LAs in the quarters shown for each, candidates in any of them."""
    keys = ["programme_id", "outcome_id", "quarter_start_date"]
    own = cells.merge(
        shown[[*keys, "treatment_la_id"]].rename(columns={"treatment_la_id": "la_id"}), on=[*keys, "la_id"]
    )
    others = cells[cells["is_matching_candidate"].astype(bool)].merge(shown[keys].drop_duplicates(), on=keys)
    rows = pd.concat([own, others], ignore_index=True)
    rows["quarter"] = quarter_numbers(rows["quarter_start_date"])
    rows = rows.sort_values(["programme_id", "outcome_id", "la_id", "quarter"], ignore_index=True)
    before = rows.groupby(["programme_id", "outcome_id", "la_id"])[
        ["quarter", "standardised_value", "standardised_variance"]
    ].shift()
    follows = rows["quarter"] - before["quarter"] == 1
    change = rows["standardised_value"] - before["standardised_value"]
    error = (rows["standardised_variance"] + before["standardised_variance"]) ** 0.5
    return rows.assign(standardised_change=change.where(follows), change_standard_error=error.where(follows))


def excluded_treatment_las(
    ranking: pd.DataFrame,
    trends: pd.DataFrame,
    roles: pd.DataFrame,
    settings: MatchingSettings,
) -> pd.DataFrame:
    """List treatment LAs without an accepted comparator, per outcome, with the reason in words.

    Such an LA is left out of the analysis of that outcome (FV.MATCH.4). Arguments as for
    `rank_candidates`, and its result; returns `EXCLUSION_COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for (programme_id, outcome_id), group in trends.groupby(["programme_id", "outcome_id"], sort=True):
        treatment = roles[(roles["programme_id"] == programme_id) & (roles["role"] == "treatment")]
        here = ranking[(ranking["programme_id"] == programme_id) & (ranking["outcome_id"] == outcome_id)]
        for la_id in sorted(treatment["la_id"]):
            own = here[here["treatment_la_id"] == la_id]
            if own["is_accepted"].any():
                continue
            quarters = int(group.loc[group["la_id"] == la_id, "standardised_value"].notna().sum())
            decided = own[own["decision"] != AUTOMATIC_RULE]
            if len(decided):
                reason = (
                    f"none of the {len(own)} candidates that were ranked is accepted; {len(decided)} were decided by a"
                    f" person, for example {decided['candidate_la_id'].iloc[0]}: {decided['reason'].iloc[0]}"
                )
            elif not own.empty:
                smallest = own["noise_ratio"].min()
                reason = (
                    f"none of the {len(own)} nearest candidates lies within"
                    f" {settings.matching_calliper_noise_ratio:g} times the distance that sampling"
                    " error alone gives" + (f" (smallest: {smallest:.2f} times)" if np.isfinite(smallest) else "")
                )
            elif quarters < settings.matching_minimum_quarters:
                reason = (
                    f"the LA has a value in {quarters} quarters before go-live;"
                    f" {settings.matching_minimum_quarters} are needed"
                )
            else:
                reason = f"no candidate shares {settings.matching_minimum_quarters} quarters with a value with this LA"
            rows.append(
                {
                    "programme_id": programme_id,
                    "outcome_id": outcome_id,
                    "treatment_la_id": la_id,
                    "decision": decided["decision"].iloc[0] if len(decided) else AUTOMATIC_RULE,
                    "reason": reason,
                }
            )
    return pd.DataFrame(rows, columns=list(EXCLUSION_COLUMNS))


def _rank_one_outcome(
    trends: pd.DataFrame,
    treatment: list[str],
    candidates: list[str],
    settings: MatchingSettings,
) -> list[dict[str, Any]]:
    quarter = quarter_numbers(trends["quarter_start_date"])
    # A full calendar: a quarter that no LA has must not make its neighbours look adjacent.
    calendar = range(int(quarter.min()), int(quarter.max()) + 1)

    def panel(column: str, las: list[str]) -> NDArray[np.float64]:
        wide = trends.assign(quarter=quarter).pivot(index="la_id", columns="quarter", values=column)
        return wide.reindex(index=las, columns=calendar).to_numpy(dtype=np.float64)

    def pairwise(column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return panel(column, treatment)[:, None, :], panel(column, candidates)[None, :, :]

    value_t, value_c = pairwise("standardised_value")
    change_t, change_c = pairwise("standardised_change")
    error_t, error_c = pairwise("change_standard_error")

    both = np.isfinite(value_t) & np.isfinite(value_c)
    before = np.zeros_like(both)
    before[..., 1:] = both[..., :-1]
    use = both & before & np.isfinite(change_t) & np.isfinite(change_c)
    distance, noise = pooled(RMS, np.square(change_t - change_c), np.square(error_t) + np.square(error_c), use)
    ratio = np.divide(distance, noise, out=np.full_like(distance, np.nan), where=noise > 0)
    quarters = both.sum(axis=-1)
    changes = use.sum(axis=-1)

    rows: list[dict[str, Any]] = []
    for t, la_id in enumerate(treatment):
        order = nearest(distance[t], quarters[t], settings)
        accepted_count = 0
        for rank, c in enumerate(order, start=1):
            is_within = bool(ratio[t, c] <= settings.matching_calliper_noise_ratio)
            is_accepted = is_within and accepted_count < settings.matching_maximum_comparators
            accepted_count += is_accepted
            rows.append(
                {
                    "treatment_la_id": la_id,
                    "candidate_la_id": candidates[c],
                    "rank": rank,
                    "distance": float(distance[t, c]),
                    "expected_noise_distance": float(noise[t, c]),
                    "noise_ratio": float(ratio[t, c]),
                    "quarters_count": int(quarters[t, c]),
                    "changes_count": int(changes[t, c]),
                    "is_accepted": is_accepted,
                    "decision": AUTOMATIC_RULE,
                    "reason": _reason(float(ratio[t, c]), is_within, is_accepted, settings),
                }
            )
    return rows


def nearest(
    distance: NDArray[np.float64], quarters: NDArray[np.int64], settings: MatchingSettings
) -> NDArray[np.int64]:
    """Positions of the ranked candidates of one treatment LA, nearest first.

    A pair needs the minimum of quarters and a distance. Candidates are in the order of la_id, so a stable sort breaks
    ties by it.
    """
    eligible = (quarters >= settings.matching_minimum_quarters) & np.isfinite(distance)
    order = np.argsort(np.where(eligible, distance, np.inf), kind="stable")
    return np.asarray(order[eligible[order]][: settings.matching_ranking_length], dtype=np.int64)


def _reason(ratio: float, is_within: bool, is_accepted: bool, settings: MatchingSettings) -> str:
    if not np.isfinite(ratio):
        return "no sampling error is known for this pair, so the calliper cannot be applied"
    limit = f"{settings.matching_calliper_noise_ratio:g}"
    if not is_within:
        return f"{ratio:.2f} times the distance of sampling error alone; the limit is {limit}"
    if not is_accepted:
        return (
            f"within the limit of {limit}, but {settings.matching_maximum_comparators} nearer"
            " candidates are accepted already"
        )
    return f"{ratio:.2f} times the distance of sampling error alone, within the limit of {limit}"
