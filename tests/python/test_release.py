"""The disclosure door (DP.5): profiles, masks, what is refused, the bundle, the ledger, and that there is one door.

Governance test T3 (unsafe outputs are refused) is here, and the part of T13 that concerns released files.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from conftest import ROOT
from release_worlds import DATA, MOMENT, SOUND_LEVELS, children, door, estimate, levels, profile, table, totals
from sfpc.errors import InputError, SfpcError
from sfpc.release.bundle import CHECKSUMS, INDEX, Document, faults_of_bundle, safe_text
from sfpc.release.door import Door, read_bundle, releases, status_of, verify
from sfpc.release.figures import estimates_figure, rates_figure
from sfpc.release.judge import ReleasedTable, judge
from sfpc.release.ledger import LEDGER_FILE, LedgerError, hash_of, read_ledger
from sfpc.release.markers import MARKER, mark_not_for_release
from sfpc.release.masks import interval, rounded
from sfpc.release.profiles import PROFILES_FILE, RULES, read_profile
from sfpc.release.tables import (
    Dimension,
    EstimateOffer,
    Offer,
    RefusedError,
    Statistic,
    lay_out,
    of_children,
)

MARK = "[c]"


def column(released: ReleasedTable, name: str = "children") -> list[Any]:
    return list(released.frame[name])


def only(*offers: Offer | EstimateOffer, rules: str = "srs_strict") -> ReleasedTable:
    found = judge(offers, profile(rules))
    assert not found.refused
    return found.tables[-1]


# Profiles


def test_profiles_are_rows_with_a_source_each() -> None:
    for name in ("srs_strict", "dfe_publication", "opensafely"):
        rules = profile(name)
        assert set(rules.sources) == set(RULES)
        assert all(rules.sources.values())
    srs, dfe, opensafely = profile(), profile("dfe_publication"), profile("opensafely")
    assert (srs.count_minimum, srs.rounding_base, srs.zero_is_shown, srs.rate_decimals) == (10, 5, False, 1)
    assert (srs.dominance_largest_pct, srs.dominance_two_largest_pct) == (43.75, 85.0)
    assert (dfe.count_minimum, dfe.marker, dfe.rounding_base, dfe.wide_rounding_base) == (6, "c", 1, 10)
    assert (opensafely.count_minimum, opensafely.rounding_base) == (8, 5)


def with_profiles(folder: Path, *rows: str, drop: str = "") -> Path:
    text = (ROOT / PROFILES_FILE).read_text(encoding="utf-8").splitlines()
    (folder / PROFILES_FILE).parent.mkdir(parents=True)
    kept = [line for line in text if not drop or drop not in line]
    (folder / PROFILES_FILE).write_text("\n".join([*kept, *rows]) + "\n", encoding="utf-8")
    return folder


def test_the_strictest_of_several_sources_wins(tmp_path: Path) -> None:
    root = with_profiles(
        tmp_path,
        "srs_strict,count_minimum,15,A data owner",
        "srs_strict,rounding_base,3,Another",
        "srs_strict,dominance_largest_pct,40,A data owner",
        "srs_strict,zero_is_shown,1,A careless one",
    )
    rules = read_profile(root)
    assert (rules.count_minimum, rules.rounding_base, rules.dominance_largest_pct) == (15, 5, 40.0)
    assert not rules.zero_is_shown
    assert rules.sources["count_minimum"] == "A data owner"
    assert "Another" not in rules.sources.values()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("srs_strict,count_minimum,ten,s", "not a number"),
        ("srs_strict,count_minimum,-1,s", "not a value"),
        ("srs_strict,zero_is_shown,2,s", "not a value"),
        ("srs_strict,rounding_base,0,s", "not a value"),
        ("srs_strict,dominance_largest_pct,120,s", "not a value"),
        ("srs_strict,count_maximum,1,s", "not a rule"),
        ("srs_strict,count_minimum,10,", "source"),
        ("srs_strict,marker,5,s", "cannot mark"),
        ("srs_strict,marker,x,s", "two markers"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        read_profile(with_profiles(tmp_path, row))
    assert PROFILES_FILE.name in str(caught.value) and "row" in str(caught.value)


def test_a_profile_that_is_not_there_or_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SfpcError, match="no profile 'lax'"):
        read_profile(ROOT, "lax")
    with pytest.raises(SfpcError, match="no row for count_minimum"):
        read_profile(with_profiles(tmp_path, drop="srs_strict,count_minimum"))


# Rounding


@pytest.mark.parametrize("base", [1, 2, 5, 10])
def test_a_rounded_count_tells_exactly_what_rounds_to_it(base: int) -> None:
    for count in range(120):
        shown = rounded(count, base)
        assert shown % base == 0 and abs(shown - count) <= base / 2
        assert [n for n in range(200) if rounded(n, base) == shown] == list(
            range(int(interval(count, base, 0)[0]), int(interval(count, base, 0)[1]) + 1)
        )
    assert interval(11, 5, 10) == (10.0, 12.0)


# What tables look like


def test_small_cells_and_zeros_are_hidden_and_the_rest_is_rounded() -> None:
    # Two small cells: alone, one would follow from the total and its sibling.
    shown = column(only(table({"a": 123, "b": 9, "c": 10, "d": 0, "e": 7})))
    assert shown[0] == 125
    assert [shown[i] for i in (1, 3, 4)] == [MARK] * 3
    assert all(value == MARK or value % 5 == 0 for value in shown)


def test_a_structural_zero_is_shown_and_another_is_not() -> None:
    frame = pd.DataFrame(
        {"group": ["a", "b", "c", "d"], "children": [50, 0, 60, 0], "cannot_be": [False, True, False, False]}
    )
    offer = Offer("t", "t", Statistic.COUNT, frame, (Dimension("group"),), "p", structural_zero="cannot_be")
    assert column(only(offer)) == [50, 0, 60, MARK]
    assert column(only(replace(offer, shows_structural=False))) == [50, 60, MARK]


def test_a_row_that_is_missing_is_a_zero_and_its_place_does_not_tell() -> None:
    """A combination that is not offered would say 0 by its absence, or by standing last."""
    draws = np.random.default_rng(3)
    rows = children(draws, 400, a=3, b=3)
    rows = rows[~((rows["a"] == "a0") & (rows["b"] == "b0"))]
    released = only(of_children("t", "t", rows, "child_id", totals("a", "b"), "p"))
    assert len(released.frame) == 16
    assert released.frame.iloc[0].tolist() == ["a0", "b0", MARK]


def test_rates_are_made_of_rounded_counts_and_need_children_without_the_event() -> None:
    frame = pd.DataFrame({"group": ["a", "b", "c", "d"], "children": [203, 203, 203, 203], "events": [62, 4, 198, 203]})
    offer = Offer("t", "t", Statistic.RATE, frame, (Dimension("group"),), "p", numerator="events", event="started")
    released = only(offer)
    assert column(released) == [205] * 4
    assert column(released, "children_with_it") == [60, MARK, MARK, MARK]
    assert column(released, "rate_pct") == [29.3, MARK, MARK, MARK]
    assert column(only(offer, rules="dfe_publication"), "children_with_it") == [62, "c", "c", "c"]


def test_a_published_table_hides_one_to_five_and_shows_zeros() -> None:
    released = only(table({"a": 0, "b": 3, "c": 2, "d": 41, "e": 87}), rules="dfe_publication")
    assert column(released)[0] == 0
    assert column(released)[1:3] == ["c", "c"]
    assert 41 in column(released)


def test_england_and_regions_are_rounded_more_coarsely_in_published_tables() -> None:
    frame = pd.DataFrame({"area": ["la 1", "la 2", "la 3", "north", "England"], "children": [111, 222, 333, 333, 666]})
    area = Dimension("area", total="England", groups={"north": ("la 1", "la 2")}, is_geography=True)
    offer = Offer("t", "t", Statistic.COUNT, frame, (area,), "p")
    assert column(only(offer, rules="dfe_publication")) == [111, 222, 333, 330, 670]


def test_a_row_in_one_class_is_hidden() -> None:
    frame = pd.DataFrame(
        {
            "place": ["x"] * 3 + ["y"] * 3,
            "need": ["abuse", "illness", "all"] * 2,
            "children": [98, 2, 100, 60, 50, 110],
        }
    )
    dimensions = (Dimension("place"), Dimension("need", total="all", is_sensitive=True))
    released = only(Offer("t", "t", Statistic.COUNT, frame, dimensions, "p"))
    # 98 of 100 is shown as 100 of 100: the row would say that every child there has the need.
    assert column(released)[:2] == [MARK, MARK]
    assert column(released)[3:5] == [60, 50]
    plain = only(Offer("t", "t", Statistic.COUNT, frame, (dimensions[0], Dimension("need", total="all")), "p"))
    assert column(plain)[0] == 100


def test_values_need_children_on_their_sides_and_no_dominating_child() -> None:
    frame = pd.DataFrame(
        {"group": ["a", "b", "c"], "children": [9, 45, 200], "p10": [1.0, 2.0, 3.0], "p50": [4.0, 5.0, 6.04]}
    )
    offer = Offer(
        "t",
        "t",
        Statistic.PERCENTILE,
        frame,
        (Dimension("group"),),
        "p",
        values={"p10": 1, "p50": 1},
        percentiles={"p10": 10, "p50": 50},
    )
    released = only(offer)
    assert column(released, "p10") == [MARK, MARK, 3.0]
    assert column(released, "p50") == [MARK, 5.0, 6.0]
    sums = pd.DataFrame(
        {
            "group": list("abcd"),
            "children": [50, 50, 50, 50],
            "days": [1000.0, 1000.0, 1000.0, 0.0],
            "first": [437.5, 438.0, 430.0, 0.0],
            "second": [100.0, 0.0, 421.0, 0.0],
        }
    )
    offer = Offer(
        "t",
        "t",
        Statistic.SUM,
        sums,
        (Dimension("group"),),
        "p",
        values={"days": 0},
        largest="first",
        second_largest="second",
    )
    assert column(only(offer), "days") == [1000, MARK, MARK, MARK]


def test_shares_that_add_up_to_a_known_total_hide_a_second_level() -> None:
    frame = pd.DataFrame({"level": list("abcd"), "children": [100, 4, 30, 60], "share_pct": [50.0, 2.0, 18.0, 30.0]})
    offer = Offer(
        "t",
        "t",
        Statistic.VALUE,
        frame,
        (Dimension("level"),),
        "p",
        values={"share_pct": 1},
        adds_up=True,
        has_known_total=True,
        shows_children=False,
    )
    assert column(only(offer), "share_pct") == [50.0, MARK, MARK, 30.0]
    assert column(only(replace(offer, has_known_total=False)), "share_pct") == [50.0, MARK, 18.0, 30.0]


def test_a_cell_that_two_tables_share_is_hidden_in_both() -> None:
    counts = {"a": 40, "b": 30, "c": 20}
    one, two = table(counts, "one"), table(counts, "two")
    found = judge([replace(one, statistic=Statistic.COUNT), two], profile())
    assert column(found.tables[0]) == column(found.tables[1])
    other = table({"a": 41, "b": 30, "c": 20}, "two")
    (refused,) = judge([one, other], profile()).refused
    assert refused.key == "two" and "in another table" in refused.reasons[0]


def test_a_child_with_several_rows_counts_once() -> None:
    rows = pd.DataFrame({"child_id": [f"c{i % 12}" for i in range(60)], "group": ["x"] * 60})
    offer = of_children("t", "t", rows, "child_id", [Dimension("group")], "p")
    assert offer.frame["children"].tolist() == [12]


def test_estimates_keep_their_decimals_and_p_values_are_never_zero() -> None:
    released = only(estimate())
    row = released.frame.iloc[0]
    assert (row["estimate"], row["p_value"]) == (round(-1.2345, 3), "<0.0001")
    assert (row["children"], row["treated_children"]) == (500, 200)


def test_unsafe_rows_of_estimates_are_left_out_and_counted() -> None:
    sound, small = estimate(), estimate(children=24, parameters=20)
    both = replace(
        sound,
        frame=pd.concat([sound.frame, small.frame.assign(specification="saturated")], ignore_index=True),
        fits=(*sound.fits, *small.fits),
        counts=(("sample", {}), ("small sample", {})),
    )
    found = judge([both], profile())
    assert column(found.tables[0], "specification") == ["primary"]
    assert found.tables[0].withheld == 1
    ((row, reasons),) = found.withheld["effects"]
    assert row == "saturated" and "residual degrees of freedom" in reasons[0]


def test_covariate_levels_are_checked_where_their_coefficients_leave_or_a_profile_says_so() -> None:
    few = ("ethnicity", "x", 4, 1, 3, False)
    fit = pd.concat([SOUND_LEVELS, levels([few])], ignore_index=True)
    assert only(estimate(levels=fit)).withheld == 0
    strict = replace(profile(), covariate_levels_are_checked=True)
    (refused,) = judge([estimate(levels=fit)], strict).refused
    assert "ethnicity x: fewer than 10 children" in refused.reasons
    shown = pd.concat([SOUND_LEVELS, levels([(*few[:-1], True)])], ignore_index=True)
    assert judge([estimate(levels=shown)], profile()).refused


def rates(children: list[int], events: list[int]) -> Offer:
    groups = [f"g{i}" for i in range(len(children))]
    frame = pd.DataFrame(
        {"group": [*groups, "all"], "children": [*children, sum(children)], "events": [*events, sum(events)]}
    )
    return Offer("r", "t", Statistic.RATE, frame, totals("group"), "p", numerator="events", event="e")


def test_with_the_children_of_a_row_go_those_with_the_event() -> None:
    released = only(rates([3, 100, 90], [1, 30, 40]), rules="dfe_publication")
    rows = released.frame.to_dict("records")
    lost = [row for row in rows if row["children"] == "c"]
    assert len(lost) > 1, "3 is hidden, and one more"
    assert all(row["children_with_it"] == row["rate_pct"] == "c" for row in lost)


def test_who_is_in_one_table_and_not_in_the_other_is_a_cell() -> None:
    """240 children and 237 of them: published as they are, the 3 are known."""
    everybody, most = table([120, 240, 200]), table([100, 237, 200], "most", within={"kept": "yes"})
    for found in (
        judge([everybody, most], profile("dfe_publication")),
        judge([most, everybody], profile("dfe_publication")),
    ):
        shown = [column(t)[1] for t in found.tables]
        assert len(shown) == 2 and "c" in shown, shown
    assert [column(t)[1] for t in judge([everybody, most], profile()).tables] == [240, 235], "rounding covers it"


def test_a_mean_of_a_few_children_does_not_follow_from_that_of_all() -> None:
    """Two hidden parts of 4 and 3: all less the third part is the mean of seven children."""
    frame = pd.DataFrame(
        {"group": ["a", "b", "c", "d", "all"], "children": [4, 3, 100, 60, 167], "mean": [1.0, 2.0, 3.0, 4.0, 3.2]}
    )
    offer = Offer("t", "t", Statistic.VALUE, frame, totals("group"), "p", values={"mean": 1}, adds_up=True)
    shown = column(only(replace(offer, shows_children=False)), "mean")
    assert shown[:2] == [MARK, MARK]
    assert shown.count(MARK) == 3
    enough = frame.assign(children=[8, 7, 100, 60, 175])
    assert column(only(replace(offer, frame=enough, shows_children=False)), "mean").count(MARK) == 2


def test_with_the_children_of_a_row_goes_their_mean() -> None:
    frame = pd.DataFrame({"group": ["a", "b", "c", "all"], "children": [3, 100, 90, 193], "mean": [1.0, 2.0, 3.0, 2.4]})
    offer = Offer("t", "t", Statistic.VALUE, frame, totals("group"), "p", values={"mean": 1})
    rows = only(offer, rules="dfe_publication").frame.to_dict("records")
    lost = [row for row in rows if row["children"] == "c"]
    assert len(lost) > 1 and all(row["mean"] == "c" for row in lost)


def test_whoever_sees_a_rate_knows_that_enough_children_are_without_the_event() -> None:
    """20 children (18 to 22), 10 with the event (10 to 12) and at least 12 without: exactly 22, 10 and 12."""
    rules = replace(profile(), non_event_minimum=12)
    frame = pd.DataFrame({"group": ["a"], "children": [22], "events": [10]})
    offer = Offer("r", "t", Statistic.RATE, frame, (Dimension("group"),), "p", numerator="events", event="e")
    (released,) = judge([offer], rules).tables
    assert MARK in (*column(released), *column(released, "children_with_it"))
    assert column(only(offer), "children_with_it") == [10], "with ten without it, more is possible"


# T3: what is refused

IDENTIFIERS = (
    *("child_id", "pupil_id", "person_id", "child_code", "pupil_reference", "referral_id", "episode_id", "plan_key"),
    *("record_number", "upn", "uln", "nhs_number", "ni_number", "postcode", "surname", "forename", "date_of_birth"),
    *("birth_date", "dob", "email", "sibling_id", "case_number", "child_key", "pupil_hash", "child_number"),
)


def unsafe_offers() -> Iterator[tuple[str, Offer | EstimateOffer]]:
    """More than 200 outputs that must not leave, each with its kind."""
    sound = table({"a": 120, "b": 80, "c": 40})
    # Everything small: nothing is left when the small cells are hidden.
    for size in range(1, 10):
        for count in range(1, 6):
            yield "all small", table([size] * count if size * count < 10 else [size])
    # A row is a child.
    codes = [f"{i:032x}" for i in range(40)]
    for name in IDENTIFIERS:
        one = pd.DataFrame({name: codes, "children": 1})
        yield f"a row per child: {name}", Offer("t", "t", Statistic.COUNT, one, (Dimension(name),), "p")
        yield f"column {name}", replace(sound, frame=sound.frame.assign(**{name: "x"}))
        yield f"label {name}", replace(sound, frame=sound.frame.assign(**{name: "x"}), labels=(name,))
    # Columns that nobody declared, or that are missing.
    for name in ("weight", "score", "note", "la_mean", "residual", "fitted", "leverage", "row"):
        yield f"undeclared {name}", replace(sound, frame=sound.frame.assign(**{name: 1.5}))
    yield "no counts", replace(sound, frame=sound.frame.drop(columns="children"))
    # Rows, not children.
    for unit in ("rows", "referrals", "episodes", "plans", "households", "sessions"):
        yield f"unit {unit}", replace(sound, unit=unit)
    # Extremes.
    values = pd.DataFrame({"group": ["a", "b"], "children": [100, 200], "x": [1.0, 2.0]})
    for name in ("min_age", "max_days", "minimum", "maximum", "age_min", "largest_stay", "range", "days_range"):
        held = values.rename(columns={"x": name})
        yield (
            f"extreme {name}",
            Offer("t", "t", Statistic.VALUE, held, (Dimension("group"),), "p", values={name: 1}),
        )
    for share in (0, 100, -1, 101):
        yield (
            f"percentile {share}",
            Offer(
                "t",
                "t",
                Statistic.PERCENTILE,
                values,
                (Dimension("group"),),
                "p",
                values={"x": 1},
                percentiles={"x": share},
            ),
        )
    # Counts that cannot be, and totals that are not the sum of their parts.
    for wrong in (-1, 0.5, np.nan, 10.25, -100):
        frame = sound.frame.astype({"children": float})
        frame.loc[0, "children"] = wrong
        yield f"count {wrong}", replace(sound, frame=frame)
    for gap in (-9, -3, -1, 1, 2, 5, 9, 50):
        frame = sound.frame.copy()
        frame.loc[3, "children"] += gap
        yield f"total off by {gap}", replace(sound, frame=frame)
    yield "only a total", replace(sound, frame=sound.frame.iloc[[3]])
    yield "doubled row", replace(sound, frame=pd.concat([sound.frame, sound.frame.iloc[[0]]], ignore_index=True))
    yield "no level", replace(sound, frame=sound.frame.assign(group=[None, "b", "c", "all"]))
    yield "no rows", replace(sound, frame=sound.frame.iloc[:0])
    rates = pd.DataFrame({"group": ["a", "b"], "children": [100, 200], "events": [120, 20]})
    yield (
        "more events than children",
        Offer("t", "t", Statistic.RATE, rates, (Dimension("group"),), "p", numerator="events", event="e"),
    )
    yield (
        "an event without its name",
        Offer("t", "t", Statistic.RATE, rates, (Dimension("group"),), "p", numerator="events"),
    )
    yield (
        "a sum without its largest parts",
        Offer("t", "t", Statistic.SUM, values, (Dimension("group"),), "p", values={"x": 0}),
    )
    overlapping = Dimension("group", total="all", is_partition=False)
    yield "a total over levels that overlap", replace(sound, dimensions=(overlapping,))
    for key in ("../outside", "/absolute", "a/b", "", "UPPER", "white space", "a" * 200, "..", "x\x00"):
        yield f"key {key!r}", replace(sound, key=key)
    # Regressions.
    for count in range(1, 10):
        yield f"regression on {count}", estimate(children=count, parameters=1)
        yield f"residual df {count}", estimate(children=20 + count, parameters=20)
        level = levels([("arm", "treated", 200, 50, 150, True), ("need", "x", count, 50, 50, True)])
        yield f"level with {count} children", estimate(levels=level)
        level = levels([("arm", "treated", 200, 50, 150, True), ("need", "x", 60, count, 60 - count, True)])
        yield f"level with {count} events", estimate(levels=level)
        level = levels([("arm", "treated", 200, 50, 150, True), ("need", "x", 60, 60 - count, count, True)])
        yield f"level with {count} non-events", estimate(levels=level)
        yield f"saturated with {count}", estimate(parameters=24, design_rows=24, smallest_combination=count)
        yield f"more than saturated with {count}", estimate(parameters=30, design_rows=24, smallest_combination=count)
    sound_estimate = estimate()
    for treated in (0, 1, 5, 9, 491, 499, 500):
        yield (
            f"{treated} treated",
            replace(sound_estimate, frame=sound_estimate.frame.assign(treated_children=treated)),
        )
    yield "another number of children", replace(sound_estimate, frame=sound_estimate.frame.assign(children=900))
    yield "no fit", replace(sound_estimate, fits=())
    yield "residuals beside estimates", replace(sound_estimate, frame=sound_estimate.frame.assign(residual=0.1))
    yield (
        "no estimate at all",
        replace(
            sound_estimate,
            frame=sound_estimate.frame.assign(estimate=np.nan, ci_low=np.nan, ci_high=np.nan, p_value=np.nan),
        ),
    )


def test_t3_unsafe_outputs_are_refused(tmp_path: Path) -> None:
    """DP.5: more than 200 of them, alone: nothing is written, nothing remembered."""
    seen = 0
    for what, offer in unsafe_offers():
        with pytest.raises(RefusedError) as caught:
            door(tmp_path).release([offer])
        assert caught.value.reasons, what
        assert not (tmp_path / "outputs").exists(), what
        seen += 1
    assert seen > 250


def test_what_is_refused_does_not_stop_the_rest(tmp_path: Path) -> None:
    made = door(tmp_path).release([table([3], "small", "few"), table([100, 200], "large")])
    assert [t.key for t in made.judgement.tables] == ["large"]
    assert [r.key for r in made.judgement.refused] == ["small"]
    assert "small.csv" not in read_bundle(tmp_path / "outputs", made.release_id)
    assert "small" in (made.checking / "refused.csv").read_text(encoding="utf-8")


# Earlier releases


@pytest.mark.parametrize("difference", [-9, -5, -1, 1, 2, 9])
def test_a_difference_of_a_few_children_from_an_earlier_release_is_refused(tmp_path: Path, difference: int) -> None:
    door(tmp_path).release([table({"a": 120, "b": 80})])
    before = {p.name for p in (tmp_path / "outputs").rglob("*")}
    with pytest.raises(RefusedError, match="differs by fewer than 10 children from release 0001"):
        door(tmp_path).release([table({"a": 120 + difference, "b": 80 - difference})])
    assert {p.name for p in (tmp_path / "outputs").rglob("*")} == before


@pytest.mark.parametrize("difference", [0, -10, 10, 57])
def test_the_same_children_or_many_others_can_be_released_again(tmp_path: Path, difference: int) -> None:
    door(tmp_path).release([table({"a": 120, "b": 80})])
    again = door(tmp_path).release([table({"a": 120 + difference, "b": 80})])
    assert again.release_id.startswith("0002-")
    third = door(tmp_path).release([table({"a": 120 + difference, "b": 80})])
    assert third.release_id.startswith("0003-")
    assert verify(tmp_path / "outputs") == []


def test_a_difference_shows_in_means_and_events_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"group": ["a", "b"], "children": [100, 200], "events": [40, 90]})
    rate = Offer("r", "t", Statistic.RATE, frame, (Dimension("group"),), "p", numerator="events", event="e")
    door(tmp_path).release([rate])
    with pytest.raises(RefusedError, match="differs"):
        door(tmp_path).release([replace(rate, frame=frame.assign(events=[43, 90]))])
    means = pd.DataFrame({"group": ["a", "b"], "children": [100, 200], "mean": [4.0, 9.0]})
    mean = Offer("m", "t", Statistic.VALUE, means, (Dimension("group"),), "q", values={"mean": 1}, shows_children=False)
    door(tmp_path).release([mean])
    with pytest.raises(RefusedError, match="differs"):
        door(tmp_path).release([replace(mean, frame=means.assign(children=[101, 200]))])
    # Shown then, hidden now: that it fell below ten is a difference of a few children, too.
    fewer = means.assign(children=[12, 200])
    door(tmp_path / "b").release([replace(mean, frame=fewer)])
    with pytest.raises(RefusedError, match="differs"):
        door(tmp_path / "b").release([replace(mean, frame=means.assign(children=[8, 200]))])


def test_an_earlier_release_counts_when_a_later_one_is_audited(tmp_path: Path) -> None:
    """What is hidden later must not follow from what was shown before: then the later table is refused."""
    rules = replace(profile(), rounding_base=1)

    def make() -> Door:
        return Door(tmp_path / "outputs", rules, DATA, "", MOMENT)

    whole = table({"a": 60, "b": 47}, "whole")
    make().release([whole])
    frame = pd.DataFrame({"group": ["a", "a", "b", "b"], "kind": ["x", "y", "x", "y"], "children": [57, 3, 20, 27]})
    finer = Offer("finer", "t", Statistic.COUNT, frame, (Dimension("group"), Dimension("kind")), "everybody")
    judged = make().judge([finer])
    shown = {(r["group"], r["kind"]): r["children"] for r in judged.tables[0].frame.to_dict("records")}
    assert shown[("a", "y")] == MARK
    assert shown[("a", "x")] == MARK, "60 less 57 is the hidden 3"
    alone = judge([finer], rules).tables[0].frame["children"].tolist()
    assert alone == [57, MARK, 20, 27]


# The ledger


def ledger_lines(folder: Path) -> list[str]:
    return (folder / "outputs" / LEDGER_FILE).read_text(encoding="utf-8").splitlines()


def released_twice(folder: Path) -> tuple[str, str]:
    first = door(folder).release([table([100, 200, 300])]).release_id
    return first, door(folder).release([table([400, 500], "other", "others")]).release_id


@pytest.mark.parametrize(
    "damage", ["count", "text", "drop first", "swap", "add", "cut line", "not json", "doubled", "rewritten"]
)
def test_a_ledger_that_was_changed_is_found_and_nothing_is_released(tmp_path: Path, damage: str) -> None:
    released_twice(tmp_path)
    path = tmp_path / "outputs" / LEDGER_FILE
    lines = ledger_lines(tmp_path)
    first = json.loads(lines[0])
    first["tables"][0]["cells"][0]["count"] += 1
    first["hash"] = hash_of(first)
    changes: dict[str, Callable[[], str]] = {
        "count": lambda: path.read_text().replace('"count": 100', '"count": 101'),
        "text": lambda: path.read_text().replace("a checker", "b checker", 1),
        "drop first": lambda: lines[1] + "\n",
        "swap": lambda: f"{lines[1]}\n{lines[0]}\n",
        "add": lambda: "\n".join([*lines, json.dumps({"sequence": 3, "previous": "x", "hash": "y"})]) + "\n",
        "cut line": lambda: path.read_text()[:-40],
        "not json": lambda: path.read_text() + "{\n",
        "rewritten": lambda: f"{json.dumps(first)}\n{lines[1]}\n",
        "doubled": lambda: "\n".join([*lines, lines[1]]) + "\n",
    }
    path.write_text(changes[damage](), encoding="utf-8")
    with pytest.raises(LedgerError, match="line"):
        read_ledger(tmp_path / "outputs")
    with pytest.raises(LedgerError):
        door(tmp_path).release([table([700, 800], "third", "others")])


def test_a_ledger_that_was_cut_short_is_found_from_the_bundles(tmp_path: Path) -> None:
    _, second = released_twice(tmp_path)
    path = tmp_path / "outputs" / LEDGER_FILE
    path.write_text(ledger_lines(tmp_path)[0] + "\n", encoding="utf-8")
    assert verify(tmp_path / "outputs") == [f"{second}: the ledger does not know it"]


def test_the_ledger_holds_every_released_cell(tmp_path: Path) -> None:
    made = door(tmp_path).release([table([100, 200, 4, 3]), estimate()])
    (entry,) = read_ledger(tmp_path / "outputs").entries
    for released, written in zip(made.judgement.tables, entry["tables"], strict=True):
        assert written["rows"] == released.frame.to_numpy().tolist()
    counts = {tuple(map(tuple, c["levels"])): c for c in entry["tables"][0]["cells"]}
    assert counts[(("group", "level 1"),)]["count"] == 200
    assert counts[(("group", "level 2"),)]["shown"] is None
    assert counts[()]["count"] == 307


def test_two_releases_at_once_do_not_both_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sfpc.release.door as module

    real = module.judge

    def judge_while_another_releases(*arguments: Any) -> Any:
        found = real(*arguments)
        monkeypatch.setattr(module, "judge", real)
        door(tmp_path).release([table([400, 500], "other", "others")])
        return found

    monkeypatch.setattr(module, "judge", judge_while_another_releases)
    with pytest.raises(LedgerError, match="in the meantime"):
        door(tmp_path).release([table([100, 200])])
    assert len(releases(tmp_path / "outputs")) == 1


# The bundle


def bundle(folder: Path) -> tuple[str, dict[str, bytes]]:
    draws = np.random.default_rng(5)
    rows = children(draws, 900, group=3)
    offers = [
        replace(
            of_children("rates", "Children with it", rows, "child_id", totals("group"), "p", event="has_event"),
            context="A context",
            command="a command",
        ),
        estimate(),
    ]
    made = door(folder).release(
        offers,
        lambda tables: [
            rates_figure(tables["rates"], "children, %"),
            estimates_figure(tables["effects"], "specification", "percentage points"),
        ],
        lambda tables: [Document("report.html", "Report", f"<p>{tables['rates'].title}</p>")],
    )
    return made.release_id, read_bundle(folder / "outputs", made.release_id)


def test_the_bundle_is_what_the_viewer_loads(tmp_path: Path) -> None:
    """results.json with version, results and files[].name; checksums/<name>.txt; no other index beside it."""
    release_id, files = bundle(tmp_path)
    assert faults_of_bundle(files) == []
    index = json.loads(files[INDEX])
    assert index["version"] == "0.4.0"
    assert index["release"]["release_id"] == release_id and index["release"]["status"] == "draft"
    for uid, result in index["results"].items():
        assert result["uid"] == uid and result["status"] == "review"
        for entry in result["files"]:
            assert entry["name"] in files
            assert len(files[f"{CHECKSUMS}/{entry['name']}.txt"].decode()) == 64
    # The viewer takes the one JSON file of the folder that has a version and results for the index.
    others = [json.loads(c) for n, c in files.items() if n.endswith(".json") and n != INDEX and "/" not in n]
    assert all("results" not in other for other in others)
    sheet = files["rates.sheet.txt"].decode()
    for words in ("Status: draft", "Command: a command", "Context: A context", "Rules: srs_strict", "Data: run_id abc"):
        assert words in sheet
    assert re.search(r"group0: children \d+; children with it", sheet)
    assert json.loads(files["config.json"])["count_minimum"] == 10


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda i, f: i.pop("version"), "no version"),
        (lambda i, f: i.update(results={}), "no results"),
        (lambda i, f: i["results"]["rates"].pop("files"), "no files"),
        (lambda i, f: i["results"]["rates"].update(files=[]), "no files"),
        (lambda i, f: i["results"]["rates"]["files"].append({"name": "away.csv"}), "away.csv is not there"),
        (lambda i, f: i["results"]["rates"]["files"].append({"name": "../x"}), "is not there"),
        (lambda i, f: i["results"]["rates"].update(uid="x"), "has the uid"),
        (lambda i, f: i["results"]["rates"].update(status="draft"), "status draft"),
        (lambda i, f: i["results"]["rates"].pop("outcome"), "no outcome"),
        (lambda i, f: f.pop("rates.csv"), "is not there"),
        (lambda i, f: f.update({"stray.csv": b"1"}), "in no result"),
        (lambda i, f: f.pop("checksums/rates.csv.txt"), "no checksum"),
        (lambda i, f: f.update({"rates.csv": b"1"}), "another file"),
    ],
)
def test_a_bundle_that_the_viewer_cannot_load_is_found(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], object], expected: str
) -> None:
    _, files = bundle(tmp_path)
    index = json.loads(files[INDEX])
    change(index, files)
    files[INDEX] = json.dumps(index).encode()
    assert any(expected in fault for fault in faults_of_bundle(files)), faults_of_bundle(files)


def test_words_that_a_spreadsheet_would_run_are_prefixed(tmp_path: Path) -> None:
    risky = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\tx", "plain"]
    frame = pd.DataFrame({"group": risky, "children": [50, 60, 70, 80, 90, 100], "word": risky[::-1]})
    offer = Offer("t", "=t", Statistic.COUNT, frame, (Dimension("group"),), "p", labels=("word",))
    made = door(tmp_path).release([offer])
    files = read_bundle(tmp_path / "outputs", made.release_id)
    cells = [cell for row in csv.reader(io.StringIO(files["t.csv"].decode())) for cell in row]
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    cells += [str(v) for sheet in book for row in sheet.iter_rows(values_only=True) for v in row if isinstance(v, str)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert "'=cmd|' /C calc'!A0" in cells
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)
    assert safe_text(-1.5) == -1.5 and safe_text("1-2") == "1-2"


def test_what_looks_like_the_code_of_a_child_does_not_leave(tmp_path: Path) -> None:
    code = "000002f4bbd44bf3240f003f18dc5b6d"
    with pytest.raises(SfpcError, match="code of a child"):
        door(tmp_path).release([table({code[:15]: 100, "b": 200})])
    for page in (f"<p>child.{code[:15]}</p>", f"<p>{code[:15]}.</p>", f"<p>Table 3.{code[:15]}</p>"):
        with pytest.raises(SfpcError, match="code of a child"):
            door(tmp_path).release([table([100, 200])], documents=lambda _, p=page: [Document("page.html", "Page", p)])
    with pytest.raises(SfpcError, match="code of a child"):
        door(tmp_path).release([table({code: 100, "b": 200})])
    with pytest.raises(SfpcError, match="code of a child"):
        door(tmp_path).release(
            [table([100, 200])], documents=lambda tables: [Document("page.html", "Page", f"<p>{code}</p>")]
        )
    for name in ("page.exe", "../page.html", "page.HTML", "results.json"):
        with pytest.raises(SfpcError):
            door(tmp_path).release([table([100, 200])], documents=lambda tables, n=name: [Document(n, "Page", "x")])
    assert releases(tmp_path / "outputs") == [] and not (tmp_path / "outputs" / LEDGER_FILE).exists()


def test_the_places_of_a_number_are_no_code_of_a_child(tmp_path: Path) -> None:
    page = Document("page.html", "Page", "<p>0.123456789012345, -1.12345678901234e-05</p>")
    assert door(tmp_path).release([table([100, 200])], documents=lambda _: [page]).release_id


# Figures


def test_a_figure_is_drawn_from_a_released_table_and_from_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="disclosure door"):
        ReleasedTable("t", "t", "rate", pd.DataFrame(), (), (), (), MARK, "t")
    with pytest.raises(TypeError, match="released table"):
        rates_figure(pd.DataFrame({"rate_pct": [1.0]}), "x")  # type: ignore[arg-type]
    other = only(table([100, 200], "elsewhere"))
    with pytest.raises(SfpcError, match="which is not released"):
        door(tmp_path).release([table([100, 200])], lambda tables: [rates_figure(other, "x", "children")])


def test_a_figure_shows_the_released_numbers_and_says_what_is_hidden() -> None:
    frame = pd.DataFrame({"group": ["a", "b"], "children": [203, 204], "events": [62, 4]})
    rate = Offer("r", "Rates", Statistic.RATE, frame, (Dimension("group"),), "p", numerator="events", event="e")
    figure = rates_figure(only(rate), "children, %")
    assert figure.svg.startswith("<svg ") and 'role="img"' in figure.svg
    assert "2 rows of the table r, 1 of them hidden" in figure.svg
    assert ">hidden<" in figure.svg
    assert "30.5" not in figure.svg, "the true rate"


# One door


def test_only_the_door_names_the_folder_of_releases() -> None:
    """A path to outputs/release is made in one function of one module."""
    makers = []
    for path in sorted((ROOT / "python/src/sfpc").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"/\s*RELEASE\b|/\s*[\"']release[\"']|joinpath\([^)]*(?:RELEASE|[\"']release[\"'])", text):
            makers.append(path.relative_to(ROOT / "python/src/sfpc").as_posix())
    assert makers == ["release/door.py"]
    source = (ROOT / "python/src/sfpc/release/door.py").read_text(encoding="utf-8")
    functions = re.split(r"\n(?=    def |def |class )", source)
    writing = re.compile(r"write_bytes|write_text|\.mkdir|mkdtemp|\.rename\(|\.replace\(|open\(|rmtree|unlink")
    of_release = [f for f in functions if "/ RELEASE" in f and writing.search(f)]
    assert [re.search(r"def (\w+)", f).group(1) for f in of_release] == ["_put"]  # type: ignore[union-attr]


def test_every_write_below_the_folder_of_releases_comes_from_the_door(tmp_path: Path) -> None:
    """The interpreter tells of every file opened, made, moved or removed there, and who did it."""
    place = str(tmp_path / "outputs" / "release")
    seen: list[str] = []
    strange: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching[0] or event not in {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}:
            return
        if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
            flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
            if not flags & 3:
                return
        paths = [str(a) for a in arguments[:2] if isinstance(a, (str, Path))]
        if not any(p.startswith(place) for p in paths):
            return
        frame, callers = sys._getframe(1), []
        while frame is not None:
            callers.append((frame.f_code.co_filename, frame.f_code.co_name))
            frame = frame.f_back  # type: ignore[assignment]
        by_door = any(f.endswith("release/door.py") and name == "_put" for f, name in callers)
        (seen if by_door else strange).append(f"{event} {paths}")

    sys.addaudithook(watch)
    try:
        release_id, _ = bundle(tmp_path)
        door(tmp_path).mark_checked(release_id)
        mark_not_for_release(tmp_path / "outputs")
        verify(tmp_path / "outputs")
    finally:
        watching[0] = False
    assert strange == []
    assert len(seen) > 10


def test_without_the_one_function_nothing_gets_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(self: Door, release_id: str, files: Any) -> Path:
        raise OSError("shut")

    monkeypatch.setattr(Door, "_put", shut)
    with pytest.raises(OSError, match="shut"):
        bundle(tmp_path)
    assert not (tmp_path / "outputs" / "release").exists()
    # What was remembered before it failed counts: the next release is compared with it.
    assert len(read_ledger(tmp_path / "outputs").entries) == 1


def test_a_release_that_is_stopped_leaves_no_half_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = Path.write_bytes, [0]

    def fails_at_the_fifth(self: Path, content: bytes) -> int:
        count[0] += 1
        if count[0] == 5:
            raise OSError(28, "No space left on device", str(self))
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", fails_at_the_fifth)
    with pytest.raises(OSError, match="No space"):
        bundle(tmp_path)
    assert list((tmp_path / "outputs" / "release").iterdir()) == []
    monkeypatch.undo()
    release_id, files = bundle(tmp_path)
    assert faults_of_bundle(files) == [] and release_id.startswith("0002-")


# Markers


def test_everything_else_under_outputs_is_marked(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    for name in ("results", "report", "matching", "published", "plan", "release"):
        (outputs / name).mkdir(parents=True)
    assert len(mark_not_for_release(outputs)) == 6
    assert mark_not_for_release(outputs) == []
    assert sorted(p.parent.name for p in outputs.rglob(MARKER)) == [
        "matching",
        "outputs",
        "plan",
        "published",
        "report",
        "results",
    ]
    assert "NOT FOR RELEASE" in (outputs / "results" / MARKER).read_text(encoding="utf-8")
    assert mark_not_for_release(tmp_path / "nowhere") == []


def test_true_counts_lie_only_where_it_says_not_for_release(tmp_path: Path) -> None:
    made = door(tmp_path).release([table([123, 217, 4, 3])])
    outputs = tmp_path / "outputs"
    for folder in ("ledger", "checking"):
        assert (outputs / folder / MARKER).is_file()
    assert not (outputs / "release" / MARKER).exists()
    assert ",123," in (made.checking / "cells.csv").read_text(encoding="utf-8")
    for content in read_bundle(outputs, made.release_id).values():
        assert b"123" not in content or b"217" not in content


# T13: a released file that was changed is found, and what it was made from is named


def test_t13_any_released_file_that_is_changed_is_found(tmp_path: Path) -> None:
    """DP.8: a byte of any file, a file more, a file less; each of them, one after the other."""
    release_id, files = bundle(tmp_path)
    outputs = tmp_path / "outputs"
    folder = outputs / "release" / release_id
    assert verify(outputs) == []
    for name, content in files.items():
        for changed in (content[:-1] + bytes([content[-1] ^ 1]), content + b" ", b""):
            (folder / name).write_bytes(changed)
            assert any(name in fault for fault in verify(outputs)), name
        (folder / name).unlink()
        assert any(name in fault for fault in verify(outputs)), name
        (folder / name).write_bytes(content)
    assert verify(outputs) == []
    (folder / "more.csv").write_text("x", encoding="utf-8")
    assert any("more.csv: did not go through the door" in fault for fault in verify(outputs))
    (folder / "more.csv").unlink()
    shutil.copytree(folder, outputs / "release" / "0009-00000000")
    assert verify(outputs) == ["0009-00000000: the ledger does not know it"]
    shutil.rmtree(outputs / "release" / "0009-00000000")
    (outputs / "release" / "by hand.csv").write_text("x", encoding="utf-8")
    assert verify(outputs) == ["by hand.csv: did not go through the door"]


def test_t13_a_release_names_what_it_was_made_from(tmp_path: Path) -> None:
    release_id, files = bundle(tmp_path)
    assert json.loads(files[INDEX])["release"]["data"] == DATA
    (entry,) = read_ledger(tmp_path / "outputs").entries
    assert entry["data"] == DATA and entry["release_id"] == release_id
    assert files["ledger.txt"].decode().strip() == entry["hash"]


def test_a_draft_is_checked_by_somebody_and_its_numbers_stay(tmp_path: Path) -> None:
    release_id, before = bundle(tmp_path)
    outputs = tmp_path / "outputs"
    assert status_of(outputs, release_id) == "draft"
    with pytest.raises(SfpcError, match="give a name"):
        door(tmp_path, by="").mark_checked(release_id)
    door(tmp_path, by="A. Checker").mark_checked(release_id)
    after = read_bundle(outputs, release_id)
    assert status_of(outputs, release_id) == "checked"
    assert verify(outputs) == []
    assert after["rates.csv"] == before["rates.csv"]
    assert "Status: checked, A. Checker" in after["rates.sheet.txt"].decode()
    index = json.loads(after[INDEX])
    assert index["release"]["checked_by"] == "A. Checker"
    assert {result["status"] for result in index["results"].values()} == {"pass"}
    (outputs / "release" / release_id / "rates.csv").write_text("x", encoding="utf-8")
    with pytest.raises(SfpcError, match="is not what was released"):
        door(tmp_path).mark_checked(release_id)
    with pytest.raises(SfpcError, match="there is no release"):
        door(tmp_path).mark_checked("0099-12345678")
    with pytest.raises(SfpcError, match="there is no release"):
        read_bundle(outputs, "../results")


def test_a_table_is_laid_out_in_the_cells_that_it_says() -> None:
    laid = lay_out(table({"a": 1, "b": 2}, within={"year": "2021"}))
    assert laid.cells[0] == ("everybody", (("group", "a"), ("year", "2021")))
    assert laid.cells[2] == ("everybody", (("year", "2021"),))
    assert laid.cubes[0].sums[(("year", "2021"),)] == 3
