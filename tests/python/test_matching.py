"""LA matching on trends: FV.MATCH.2 (distance), .3 (window), .4 (ranking and automatic rule)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from sfpc.matching import excluded_treatment_las, rank_candidates

QUARTERS = pd.date_range("2017-07-01", periods=12, freq="QS").strftime("%Y-%m-%d").tolist()


@dataclass(frozen=True)
class Settings:
    matching_ranking_length: int = 10
    matching_minimum_quarters: int = 8
    matching_maximum_comparators: int = 3
    matching_calliper_noise_ratio: float = 1.5


def trend(
    la_id: str,
    values: list[float],
    *,
    first: int = 0,
    error: float = 1.0,
    outcome_id: str = "looked_after",
    programme_id: str = "fv",
) -> pd.DataFrame:
    """Quarters of one LA with the given standardised values; NaN leaves the quarter out."""
    frame = pd.DataFrame(
        {
            "programme_id": programme_id,
            "outcome_id": outcome_id,
            "la_id": la_id,
            "quarter_start_date": QUARTERS[first : first + len(values)],
            "standardised_value": values,
            "standardised_change": np.diff(values, prepend=np.nan),
            "change_standard_error": error,
        }
    )
    return frame[frame["standardised_value"].notna()]


def roles(treatment: list[str], candidates: list[str], programme_id: str = "fv") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "programme_id": programme_id,
            "la_id": [*treatment, *candidates],
            "role": ["treatment"] * len(treatment) + ["comparison"] * len(candidates),
            "is_matching_candidate": [False] * len(treatment) + [True] * len(candidates),
        }
    )


def test_distance_by_hand() -> None:
    """FV.MATCH.2: root mean square of the differences of changes; noise from both errors."""
    treatment = trend("T", [0, 1, 0, 1, 0, 1, 0, 1], error=0.3)
    # Changes differ by 1 in the first and by 0 in the other six of the seven changes.
    candidate = trend("C", [0, 2, 1, 2, 1, 2, 1, 2], error=0.4)
    ranking = rank_candidates(pd.concat([treatment, candidate]), roles(["T"], ["C"]), Settings())
    row = ranking.iloc[0]
    assert len(ranking) == 1
    assert row["distance"] == pytest.approx(np.sqrt(1 / 7), abs=1e-12)
    assert row["expected_noise_distance"] == pytest.approx(0.5, abs=1e-12)
    assert row["noise_ratio"] == pytest.approx(np.sqrt(1 / 7) / 0.5, abs=1e-12)
    assert (row["quarters_count"], row["changes_count"], row["rank"]) == (8, 7, 1)
    assert row["is_accepted"] and row["decision"] == "automatic rule"


def test_levels_do_not_matter() -> None:
    """FV.MATCH.2 matches on changes: a constant gap in levels is no distance."""
    values = [0.0, 1, -1, 2, 0, 1, -2, 0, 1]
    trends = pd.concat([trend("T", values), trend("C", [value + 5 for value in values])])
    assert rank_candidates(trends, roles(["T"], ["C"]), Settings()).loc[0, "distance"] == 0


def test_ties_by_la_code_whatever_the_row_order() -> None:
    """FV.MATCH.2: ties by LA code."""
    values = [0.0, 1, 0, 1, 0, 1, 0, 1]
    other = [0.0, 1, 0, 1, 0, 1, 0, 3]
    frames = [trend("T", values), *(trend(la, other) for la in ("C3", "C1", "C2"))]
    for order in (frames, frames[::-1]):
        ranking = rank_candidates(pd.concat(order), roles(["T"], ["C2", "C3", "C1"]), Settings())
        assert ranking["candidate_la_id"].tolist() == ["C1", "C2", "C3"]


def test_fewer_than_the_minimum_of_common_quarters_is_not_ranked() -> None:
    """FV.MATCH.2: at least eight quarters with a value in both LAs."""
    values = [0.0, 1, 0, 1, 0, 1, 0, 1]
    trends = pd.concat(
        [trend("T", values), trend("C7", values[:7]), trend("C8", values), trend("late", values, first=1)]
    )
    ranking = rank_candidates(trends, roles(["T"], ["C7", "C8", "late"]), Settings())
    assert ranking["candidate_la_id"].tolist() == ["C8"]
    assert ranking["quarters_count"].tolist() == [8]


def test_changes_are_used_only_inside_the_quarters_of_both() -> None:
    """FV.MATCH.3: the window of a pair is the quarters both hold; nothing outside it counts."""
    inside = [0.0, 1, 0, 1, 0, 1, 0, 1, 0]
    treatment = trend("T", inside, first=2)
    # A change into the first quarter would look at the quarter before the window.
    treatment.loc[treatment.index[0], "standardised_change"] = 99.0
    candidate = trend("C", [50.0, -50.0, *inside, 70.0])
    ranking = rank_candidates(pd.concat([treatment, candidate]), roles(["T"], ["C"]), Settings())
    assert ranking.loc[0, "distance"] == 0
    assert ranking.loc[0, ["quarters_count", "changes_count"]].tolist() == [9, 8]


def test_a_gap_costs_two_changes_and_is_not_bridged() -> None:
    """FV.MATCH.2: a change across a missing quarter is not a quarter-on-quarter change."""
    values = [0.0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    gap = [*values[:4], np.nan, *values[5:]]
    candidate = trend("C", gap)
    # As a mart would have it that takes the row before instead of the quarter before.
    candidate["standardised_change"] = candidate["standardised_value"].diff() + 7 * (
        candidate["quarter_start_date"] == QUARTERS[5]
    )
    ranking = rank_candidates(pd.concat([trend("T", values), candidate]), roles(["T"], ["C"]), Settings())
    assert ranking.loc[0, ["quarters_count", "changes_count"]].tolist() == [9, 7]
    assert ranking.loc[0, "distance"] == 0


def test_all_pairs_at_once_equal_a_loop_over_pairs() -> None:
    """FV.MATCH.2: vectorised distances equal the definition, with gaps, for two outcomes."""
    generator = np.random.default_rng(3)
    treatment, candidates = ["T1", "T2"], [f"C{i:02d}" for i in range(15)]
    frames = []
    for outcome in ("a", "b"):
        for la in treatment + candidates:
            values = generator.normal(size=12)
            values[generator.random(12) < 0.1] = np.nan
            frame = trend(la, values.tolist(), outcome_id=outcome)
            frame["change_standard_error"] = generator.uniform(0.2, 1, len(frame))
            frames.append(frame)
    trends = pd.concat(frames, ignore_index=True)
    ranking = rank_candidates(trends, roles(treatment, candidates), Settings())
    assert set(ranking["outcome_id"]) == {"a", "b"}
    for (outcome, la), ranked in ranking.groupby(["outcome_id", "treatment_la_id"]):
        expected = []
        own = trends[(trends["outcome_id"] == outcome) & (trends["la_id"] == la)]
        own = own.set_index("quarter_start_date")
        for candidate in candidates:
            other = trends[(trends["outcome_id"] == outcome) & (trends["la_id"] == candidate)]
            other = other.set_index("quarter_start_date")
            both = [quarter for quarter in QUARTERS if quarter in own.index and quarter in other.index]
            squares, noise = [], []
            for before, quarter in itertools.pairwise(QUARTERS):
                if before in both and quarter in both:
                    a, c = own.loc[quarter], other.loc[quarter]
                    squares.append((a["standardised_change"] - c["standardised_change"]) ** 2)
                    noise.append(a["change_standard_error"] ** 2 + c["change_standard_error"] ** 2)
            if len(both) >= 8:
                expected.append((np.sqrt(np.mean(squares)), candidate, np.sqrt(np.mean(noise))))
        expected = sorted(expected)[:10]
        assert ranked["candidate_la_id"].tolist() == [candidate for _, candidate, _ in expected]
        np.testing.assert_allclose(ranked["distance"], [d for d, _, _ in expected], atol=1e-12)
        np.testing.assert_allclose(ranked["expected_noise_distance"], [n for _, _, n in expected], atol=1e-12)


def test_automatic_rule_takes_the_nearest_within_the_calliper() -> None:
    """FV.MATCH.4: nearest within the calliper, at most three, ten ranked, with replacement."""
    base = np.array([0.0, 1, 0, 1, 0, 1, 0, 1, 0])
    frames = [trend("T1", base.tolist(), error=0.1), trend("T2", base.tolist(), error=0.1)]
    candidates = [f"C{i:02d}" for i in range(12)]
    for i, la in enumerate(candidates):
        step = np.cumsum(np.full(9, 0.02 * (i + 1)) * (-1.0) ** np.arange(9))
        frames.append(trend(la, (base + step).tolist(), error=0.1))
    ranking = rank_candidates(pd.concat(frames), roles(["T1", "T2"], candidates), Settings())
    for _, ranked in ranking.groupby("treatment_la_id"):
        assert ranked["rank"].tolist() == list(range(1, 11))
        assert ranked.loc[ranked["is_accepted"], "candidate_la_id"].tolist() == candidates[:3]
        fourth, last = ranked.iloc[3], ranked.iloc[9]
        assert fourth["noise_ratio"] < 1.5 and "3 nearer candidates" in fourth["reason"]
        assert not last["is_accepted"]
    tight = rank_candidates(
        pd.concat(frames),
        roles(["T1", "T2"], candidates),
        Settings(matching_calliper_noise_ratio=0.3),
    )
    within = tight["noise_ratio"] <= 0.3
    assert within.any() and (tight["is_accepted"] == within).all()
    assert tight.loc[~within, "reason"].str.contains("the limit is 0.3").all()


def test_treatment_las_without_a_comparator_are_excluded_with_the_reason() -> None:
    """FV.MATCH.4: none acceptable among the ten nearest -> excluded for that outcome."""
    calm, wild = [0.0, 1, 0, 1, 0, 1, 0, 1], [0.0, 9, 0, 9, 0, 9, 0, 9]
    trends = pd.concat(
        [
            trend("calm", calm),
            trend("wild", wild),
            trend("short", calm[:5]),
            trend("C", calm),
        ]
    )
    las = roles(["calm", "wild", "short", "absent"], ["C"])
    ranking = rank_candidates(trends, las, Settings())
    excluded = excluded_treatment_las(ranking, trends, las, Settings())
    reasons = excluded.set_index("treatment_la_id")["reason"]
    assert reasons.index.tolist() == ["absent", "short", "wild"]
    assert "none of the 1 nearest" in reasons["wild"] and "1.5 times" in reasons["wild"]
    assert "5 quarters" in reasons["short"] and "0 quarters" in reasons["absent"]


def test_only_candidates_are_ranked_and_never_without_a_known_error() -> None:
    """FV.MATCH.1, .4: roles decide who is ranked; no sampling error, no automatic acceptance."""
    values = [0.0, 1, 0, 1, 0, 1, 0, 1]
    trends = pd.concat([trend("T", values), trend("excluded", values), trend("C", values, error=np.nan)])
    las = roles(["T"], ["C", "excluded"])
    las.loc[las["la_id"] == "excluded", "is_matching_candidate"] = False
    ranking = rank_candidates(trends, las, Settings())
    assert ranking["candidate_la_id"].tolist() == ["C"]
    assert np.isnan(ranking.loc[0, "noise_ratio"]) and not ranking.loc[0, "is_accepted"]
    assert "no sampling error" in ranking.loc[0, "reason"]


def test_no_trends_give_an_empty_ranking() -> None:
    trends = trend("T", [0.0, 1.0]).iloc[:0]
    ranking = rank_candidates(trends, roles(["T"], ["C"]), Settings())
    assert ranking.empty and "noise_ratio" in ranking.columns


def test_default_calliper_keeps_nineteen_of_twenty_true_twins() -> None:
    """docs/methods/trend_distance.md: 1.5 keeps about 95 % of true twins at 1,300 a quarter, 4 %."""
    generator = np.random.default_rng(11)
    pairs, quarters, referrals, rate, spread = 400, 10, 1300, 0.04, 0.005
    shock = np.empty((pairs, 2, quarters))
    for la in range(2):
        noise = generator.normal(size=(pairs, quarters))
        shock[:, la, 0] = noise[:, 0]
        for quarter in range(1, quarters):
            shock[:, la, quarter] = 0.5 * shock[:, la, quarter - 1] + np.sqrt(0.75) * noise[:, quarter]
    shock[:, 1] = 0.9 * shock[:, 0] + np.sqrt(1 - 0.81) * shock[:, 1]
    value = generator.binomial(referrals, np.clip(rate + spread * shock, 0.001, 1)) / referrals
    variance = value * (1 - value) / referrals
    frames = [
        trend(la, value[pair, i].tolist(), outcome_id=f"{pair:04d}").assign(
            change_standard_error=np.sqrt(variance[pair, i] + np.roll(variance[pair, i], 1))
        )
        for pair in range(pairs)
        for i, la in enumerate(("T", "C"))
    ]
    ranking = rank_candidates(pd.concat(frames), roles(["T"], ["C"]), Settings())
    assert len(ranking) == pairs
    assert 0.92 <= ranking["is_accepted"].mean() <= 0.98
