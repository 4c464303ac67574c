"""Sets of LAs in other windows (FV.SENS.5, FV.TREAT.5), on panels made by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from sfpc.errors import SfpcError
from sfpc.matching.sets import matching_in, sets_of

QUARTERS = pd.date_range("2015-01-01", periods=12, freq="QS")
# Over all twelve quarters the treatment LA moves like A; over the last eight like B.
VALUES = {
    "T": [0.0, 1.0, 0.0, 1.0] + [0.0, 2.0] * 4,
    "A": [0.0, 1.0, 0.0, 1.0] + [0.0, 1.5] * 4,
    "B": [9.0, 0.0, 9.0, 0.0] + [0.0, 2.0] * 4,
    "F": [0.0, 3.0, 0.0, 3.0] + [0.0, 1.5] * 4,
}
ACCEPTED = pd.DataFrame(
    [("p", "o", "T", "A")], columns=["programme_id", "outcome_id", "treatment_la_id", "candidate_la_id"]
)
ROLES = pd.DataFrame(
    [
        ("p", "T", "treatment", "2020-01-01", False),
        ("p", "A", "comparison", None, True),
        ("p", "B", "comparison", None, True),
        ("p", "F", "trailblazer", None, False),
    ],
    columns=["programme_id", "la_id", "role", "go_live_date", "is_matching_candidate"],
)


@dataclass(frozen=True)
class Settings:
    matching_ranking_length: int = 10
    matching_minimum_quarters: int = 4
    matching_maximum_comparators: int = 1
    matching_calliper_noise_ratio: float = 100.0


def trends() -> pd.DataFrame:
    rows = [
        ("p", "o", la, quarter, value, value, 0.01, 0.01, la in "AB")
        for la, values in VALUES.items()
        for quarter, value in zip(QUARTERS, values, strict=True)
    ]
    names = "programme_id outcome_id la_id quarter_start_date value standardised_value"
    return pd.DataFrame(
        rows, columns=[*names.split(), "sampling_variance", "standardised_variance", "is_matching_candidate"]
    )


def window(name: str, la: str, quarters: pd.DatetimeIndex, day: str = "2020-01-01") -> pd.DataFrame:
    return pd.DataFrame({"quarter_start_date": quarters}).assign(
        programme_id="p",
        outcome_id="o",
        window_id=name,
        treatment_la_id=la,
        assumed_go_live_date=pd.Timestamp(day),
        is_default=name == "default",
    )


def windows() -> pd.DataFrame:
    return pd.concat(
        [
            window("default", "T", QUARTERS),
            window("short", "T", QUARTERS[4:]),
            window("same", "T", QUARTERS),
            window("same", "F", QUARTERS, "2019-01-01"),
            window("early", "T", QUARTERS[:6], "2019-01-01"),
        ],
        ignore_index=True,
    )


def pairs_in(name: str, accepted: pd.DataFrame = ACCEPTED) -> set[tuple[str, str]]:
    sets = matching_in(name, accepted, trends(), windows(), ROLES, Settings()).sets
    others = sets[~sets["is_treatment_arm"].astype(bool)]
    return set(zip(others["treatment_la_id"], others["la_id"], strict=True))


def test_another_window_may_choose_another_la() -> None:
    assert pairs_in("short") == {("T", "B")}


def test_the_same_quarters_keep_the_pairs_that_were_accepted() -> None:
    """Whatever the rule would choose: a person may have decided; and the LA that is added goes by the rule."""
    assert pairs_in("same") == {("T", "A"), ("F", "A")}
    decided = ACCEPTED.assign(candidate_la_id="B")
    assert pairs_in("same", decided) == {("T", "B"), ("F", "A")}


def test_an_added_la_counts_as_treated_from_its_own_day() -> None:
    found = matching_in("same", ACCEPTED, trends(), windows(), ROLES, Settings())
    assert found.added == {("p", "F")}
    roles = found.roles.set_index("la_id")
    assert roles.loc["F", "role"] == "treatment" and roles.loc["F", "go_live_date"] == pd.Timestamp("2019-01-01")
    days = found.sets.groupby("treatment_la_id")["go_live_date"].unique()
    assert list(days["F"]) == [pd.Timestamp("2019-01-01")] and list(days["T"]) == [pd.Timestamp("2020-01-01")]
    assert ROLES.set_index("la_id").loc["F", "role"] == "trailblazer", "the register stays as it is"


def test_without_a_comparator_there_is_no_set() -> None:
    far = Settings(matching_calliper_noise_ratio=-1.0)  # B is at distance 0
    found = matching_in("short", ACCEPTED, trends(), windows(), ROLES, far)
    assert found.sets.empty and found.added == frozenset()


def test_windows_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(SfpcError, match="'early' stands before a placebo date"):
        pairs_in("early")
    with pytest.raises(SfpcError, match="no LA has a quarter in the matching window 'other'"):
        pairs_in("other")
    undated = ROLES.assign(go_live_date=None)
    with pytest.raises(SfpcError, match="no go_live_date for the treatment LA T"):
        sets_of(ACCEPTED, undated)


def test_the_panel_is_what_the_first_test_says() -> None:
    changes = {la: np.diff(values) for la, values in VALUES.items()}
    whole = {la: np.square(changes["T"] - changes[la]).mean() for la in "AB"}
    late = {la: np.square(changes["T"][4:] - changes[la][4:]).mean() for la in "AB"}
    assert whole["A"] < whole["B"] and late["B"] < late["A"]
