"""The twenty-six traps of the raw data, one named case each (seeds/protocol/data_traps.csv).

What is about files and values goes through the readers and the gate; what is about definitions goes through one
build of the warehouse that all tests share. Children are named by their trap.
"""

from __future__ import annotations

import csv
import io
import random
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest

from conftest import ROOT, SEEDS, land_rows
from hand_cases import all_tables, assessment, census, cin, enquiry, episode, looked_after, return_year, table_of
from sfpc.landing.account import LandingSettings, read_landing_settings
from sfpc.landing.gate import Gate, Window
from sfpc.landing.pseudonym import pupil_pseudonym
from sfpc.landing.returns import land_returns
from sfpc.landing.ssda903 import FILES
from sfpc.settings import Paths
from sfpc.warehouse.build import build

Row = dict[str, Any]
Rows = list[tuple[Any, ...]]

KEY = b"k" * 32
SHARED_CODES_SEED = 20
SHARED_CODES = 400


def absence(pupil: str, year: int, **sessions: int) -> Row:
    """One enrolment of a school year; sessions as possible_<term> and missed_<term>, others not stated."""
    row: Row = {"school_year": year, "pupil_id": pupil}
    for term in ("autumn", "spring", "summer", "summer6th"):
        row[f"sessions_possible_{term}"] = sessions.get(f"possible_{term}")
        row[f"unauthorised_absence_{term}"] = sessions.get(f"missed_{term}")
    return row


def statistic(la_code: str, reference: str, measure: str, value: str) -> Row:
    """One published figure of an LA."""
    return {"la_code": la_code, "reference_date": date.fromisoformat(reference), "measure": measure, "value": value}


# fmt: off
TRAPS: dict[int, list[Row]] = {
    1: [
        cin("T01", "2021-02-01", primary_need=None),
        cin("T01", "2021-02-01", return_year=2022, primary_need="N4"),
        cin("T01", "2021-02-01", return_year=2023, closure_date="2022-06-30", closure_reason="RC7"),
    ],
    2: [
        cin("T02", "2018-05-01", return_year=2019, cpp_start_date="2018-05-20", cpp_end_date="2018-11-20"),
        cin("T02", "2018-05-01", return_year=2020),
        cin("T02", "2018-05-01", return_year=2021, closure_date="2020-06-01", closure_reason="RC7"),
        cin("T02", "2021-09-01"),
        cin("T02P", "2021-05-01", return_year=2022, cin_plan_start_date="2021-05-20", cin_plan_end_date="2021-11-20"),
        cin("T02P", "2021-05-01", return_year=2023, cin_plan_start_date="2022-05-20"),
    ],
    3: [
        cin("T03", "2022-03-10"),
        cin("T03", "2022-05-10", la_code="391"),
        cin("T03A", "2022-03-10", pupil_id="PUPILT03"),
        cin("T03B", "2022-05-10", la_code="391", pupil_id="PUPILT03"),
    ],
    4: [
        cin("T04OLD", "2022-03-10", la_code="332", pupil_id="PUPILT04"),
        looked_after("T04NEW", 2023, la_code="332", pupil_id="PUPILT04"),
        episode("T04NEW", "2022-11-01", "2023-02-01", "E4A", la_code="332"),
        cin("T04ALONE", "2022-03-10", la_code="332", pupil_id="PUPILT04X"),
    ],
    5: [
        cin("T05", "2021-06-01", birth_year=2010, birth_month=1),
        cin("T05", "2022-06-01", birth_year=2016, birth_month=5),
        looked_after("T05", 2023, birth_year=2016, birth_month=5),
        episode("T05", "2022-08-01", "2023-01-10", "E4A"),
        cin("T05CORRECTED", "2021-06-01", birth_month=5),
        cin("T05CORRECTED", "2022-06-01", birth_month=6),
        cin("T05BORN", "2022-01-20", birth_year=2022, birth_month=3, is_expected_birth="1", is_unborn="1"),
        cin("T05BORN", "2022-06-20", birth_year=2022, birth_month=4),
    ],
    6: [
        cin(" t06_a ", "2022-03-10"),
        cin("T06_A", "2022-03-10", return_year=2023, primary_need=" n1"),
        episode("T06_A.0", "2022-08-01", "2023-01-10", "E4A"),
        cin("06", "2022-03-10"),
        cin("006", "2022-04-10"),
    ],
    7: [
        cin("T07", "2022-03-10", cpp_start_date="2022-04-01", cpp_end_date="2022-04-21"),
        cin("T07", "2022-03-10", cpp_start_date="2022-04-11", cpp_end_date="2022-05-01", return_year=2023),
        cin("T07OPEN", "2024-05-01", cpp_start_date="2024-06-01"),
        cin("T07OPEN", "2024-05-01", cpp_start_date="2024-07-01"),
    ],
    9: [
        cin("T09", "2022-03-10", cpp_start_date="2022-03-20", cpp_end_date="2022-03-20", cpp_previous_count=0),
        cin("T09", "2023-03-10"),
        cin("T09PLAN", "2022-03-10", cin_plan_start_date="2022-03-20", cin_plan_end_date="2022-03-20"),
        episode("T09", "2023-05-01", "2023-05-01", "E4A"),
    ],
    10: [
        cin("T10", "2022-04-10", cin_plan_start_date="2022-05-01", cin_plan_end_date="2022-08-01"),
        cin("T10", "2022-04-10", cpp_start_date="2022-06-01", cpp_end_date="2022-07-01"),
    ],
    11: [
        cin("T11", "2022-03-10", closure_date="2022-03-24", closure_reason="RC8"),
        cin("T11", "2022-03-24"),
    ],
    12: [
        cin("T12", "2022-03-10", referral_source="3A", referral_nfa="1", primary_need=None),
        cin("T12", "2022-03-10", referral_source="1A", referral_nfa="0", primary_need="N4"),
        cin("T12NEEDS", "2022-03-10", primary_need="N4"),
        cin("T12NEEDS", "2022-03-10", primary_need="N5"),
    ],
    13: [
        cin("T13ASSESSED", "2022-03-10", referral_nfa="1"),
        assessment("T13ASSESSED", "2022-03-10", "2022-03-12"),
        cin("T13ENQUIRY", "2022-03-10", referral_nfa="true"),
        enquiry("T13ENQUIRY", "2022-03-10", "2022-03-12"),
        cin("T13PLAN", "2022-03-10", referral_nfa="1", cpp_start_date="2022-03-20"),
        cin("T13NONE", "2022-03-10", referral_nfa="1", pupil_id="PUPILT13"),
        cin("T13NONE2", "2022-03-10", la_code="391", pupil_id="PUPILT13", closure_date="2022-03-20"),
    ],
    14: [
        cin("T14", "2022-01-20", birth_year=2022, birth_month=3, is_expected_birth="1", is_unborn="1", gender="0"),
        cin("T14", "2022-01-20", return_year=2023, birth_year=2022, birth_month=4, gender="1"),
        episode("T14", "2022-04-20", "2022-09-01", "E4A"),
        cin("T14OLD", "2022-01-20", birth_year=1900, birth_month=1, gender="0"),
        cin("T14LATER", "2022-01-20", birth_year=2022, birth_month=4, gender="0"),
    ],
    15: [
        cin("T15", "2022-03-10", gender="1"),
        cin("T15", "2022-03-10", return_year=2023, gender="2", ethnicity="BCRB"),
        cin("T15MISSING", "2022-03-10", gender="0", ethnicity="NOBT"),
        cin("T15MISSING", "2022-03-10", return_year=2023, gender="1", ethnicity="APKN"),
    ],
    16: [
        cin("T16", "2022-03-10", birth_year=2004, birth_month=3),
        cin("T16YOUNGER", "2022-03-10", birth_year=2004, birth_month=4),
        cin("T16LATER", "2022-03-10", birth_year=2024, birth_month=4),
    ],
    18: [
        cin("T18A", "2022-03-10", pupil_id="UN4"),
        cin("T18B", "2022-05-10", pupil_id="un4 "),
    ],
    21: [
        cin("T21A", "2022-03-10", referral_nfa="#MULTIVALUE", gender="NULL", ethnicity="N/A"),
        cin("T21B", "2022-03-10", referral_nfa=None, gender="#MULTIVALUE", ethnicity=" n/a "),
        cin("T21C", "2022-03-10", referral_nfa="True", pupil_id="NULL"),
        cin("T21D", "2022-03-10", referral_nfa="FALSE", pupil_id="null", disability="NULL"),
    ],
    22: [
        cin("T22", "2022-03-10"),
        episode("T22", "2022-03-20", return_year=2022),
        episode("T22", "2022-03-20", "2022-06-01", "X1"),
        episode("T22", "2022-06-01", "2022-08-01", "E4A", reason_for_new_episode="P"),
        episode("T22X1", "2022-03-20", None, "X1", return_year=2022),
        episode("T22X1", "2022-05-20", "2022-08-01", "E4A", reason_for_new_episode="L"),
        looked_after("T22X1", 2023),
        episode("T22GAP", "2022-04-20", "2022-06-01", "X1"),
        episode("T22GAP", "2022-06-05", "2022-08-01", "E4A", reason_for_new_episode="P"),
        looked_after("T22GAP", 2023),
    ],
    23: [
        cin("T23", "2022-03-10"),
        episode("T23", "2022-04-01", "2022-04-09", "E8", legal_status="V3"),
        episode("T23", "2022-06-01", "2022-07-01", "E8", legal_status="V4"),
        cin("T23CARE", "2022-03-10"),
        episode("T23CARE", "2022-05-01", "2022-05-06", "E8", legal_status="V3"),
        episode("T23CARE", "2022-05-01", "2022-07-01", "E4A", legal_status="L2"),
    ],
    24: [
        cin("T24", "2023-02-10", la_code="909"),
        cin("T24", "2023-02-10", return_year=2024, la_code="942", closure_date="2023-12-01", closure_reason="RC7"),
    ],
    25: [
        statistic("306", "2021-01-31", "pupils_fsm_pct", "12.5"),
        statistic("306", "2022-01-31", "pupils_fsm_pct", "c"),
        *(statistic("306", f"20{year}-01-31", "pupils_fsm_pct", marker) for year, marker in zip(
            (10, 11, 12, 13, 14, 15), ("c", "x", "z", "u", "-", "k"), strict=True)),
    ],
    26: [
        absence("PT26MOVED", 2019, possible_autumn=100, missed_autumn=10, possible_spring=0, missed_spring=0),
        absence("PT26MOVED", 2019, possible_autumn=40, missed_autumn=4),
        absence("PT26", 2020, possible_autumn=130, missed_autumn=0, possible_spring=0, missed_spring=0),
        absence("PT26TWICE", 2019, possible_autumn=141, missed_autumn=1, possible_spring=140, missed_spring=0),
        absence("PT26TWICE", 2019, possible_autumn=140, missed_autumn=1),
        census("PT26NOROW", 2019),
    ],
}
# fmt: on


def shared_code_rows() -> list[Row]:
    """Codes with births, unborn children, blanks, pupils and episodes thrown at them, always the same."""
    dice = random.Random(SHARED_CODES_SEED)
    rows: list[Row] = []
    for number in range(SHARED_CODES):
        code, la_code = f"DICE{number}", dice.choice(["306", "391", "928"])
        births = [(dice.randint(2004, 2021), dice.randint(1, 12)) for _ in range(dice.choice([1, 2, 2, 3]))]
        # Half of the later births lie near the first: corrections, and children of one return.
        births += [(year, month % 12 + 1) for year, month in births if dice.random() < 0.5]
        for _ in range(dice.randint(1, 6)):
            birth: tuple[int | None, int | None] = dice.choice([*births, (None, None), (1900, 1)])
            unborn = dice.random() < 0.2
            rows.append(
                cin(
                    code,
                    f"{dice.randint(2021, 2022)}-0{dice.randint(1, 9)}-10",
                    la_code=la_code,
                    birth_year=birth[0],
                    birth_month=birth[1],
                    is_expected_birth="1" if unborn else dice.choice(["0", None]),
                    is_unborn="1" if unborn and dice.random() < 0.5 else "0",
                    pupil_id=dice.choice([None, None, f"DICEPUPIL{number}", f"DICEPUPIL{number // 2}"]),
                    return_year=dice.randint(2022, 2025),
                    referral_nfa=dice.choice(["0", "1"]),
                    gender="0",
                )
            )
        for _ in range(dice.randint(0, 3)):
            year = dice.randint(2022, 2025)
            start = f"{dice.randint(2021, 2022)}-0{dice.randint(1, 9)}-{dice.randint(10, 28)}"
            rows.append(episode(code, start, la_code=la_code, return_year=year))
            for _ in range(dice.choice([0, 1, 1, 2])):
                year_of_birth, month = dice.choice(births)
                birth_columns = {"birth_year": year_of_birth, "birth_month": month}
                rows.append(looked_after(code, year, la_code=la_code, **birth_columns))
        if dice.random() < 0.3:
            referral = next(r for r in reversed(rows) if "referral_source" in r and r["la_child_id"] == code)
            day_of = referral["referral_date"].isoformat()
            rows.append(assessment(code, day_of, day_of, la_code=la_code, return_year=referral["return_year"]))
    return rows


def trap_tables() -> dict[str, list[Row]]:
    """Landing tables of all traps and of the codes thrown by dice, and what closes the extracts."""
    rows = [row for of_trap in TRAPS.values() for row in of_trap] + shared_code_rows()
    codes = sorted({row["la_code"] for row in rows if "la_code" in row})
    tables = all_tables([])
    for row in list(tables["cin_records"] + tables["cla_children"] + tables["cla_episodes"]):
        tables[table_of(row)] += [{**row, "la_code": code} for code in codes if code != row["la_code"]]
    for row in rows:
        table = "la_statistics" if "measure" in row else table_of(row)
        tables.setdefault(table, []).append(row)
    return tables


@pytest.fixture(scope="session")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """All traps of definition through one build."""
    folder = tmp_path_factory.mktemp("traps")
    paths = Paths(ROOT, folder / "data", folder / "outputs")
    paths.data.mkdir()
    land_rows(paths, trap_tables())
    build(paths, stops_on_quality=False)
    return paths


def ask(paths: Paths, query: str, *values: object) -> Rows:
    connection = duckdb.connect(str(paths.build_db), read_only=True)
    try:
        return connection.execute(query, list(values)).fetchall()
    finally:
        connection.close()


SPELLS = "select {} from marts.fct_referral_spells where la_child_id = ? order by referral_date, la_code"
OUTCOMES = (
    "select {} from marts.fct_child_outcomes as outcomes inner join "
    "(select distinct child_id, la_child_id from marts.fct_referral_spells) as spells using (child_id) "
    "where la_child_id = ? order by index_referral_date"
)


def days_on_plans(paths: Paths, child: str) -> dict[str, int]:
    """Days by kind of plan, whatever the number of stretches."""
    found = ask(
        paths,
        "select plan_kind, sum(interval_end_date - interval_start_date)::integer "
        "from intermediate.int_spells__plan_intervals as intervals "
        "inner join intermediate.int_children__identities using (child_key) where la_child_id = ? group by plan_kind",
        child,
    )
    return {str(kind): int(days) for kind, days in found}


# --- Traps of definition: through the whole build ----------------------------------------------------


def test_trap_01_same_referral_in_several_returns(trapped: Paths) -> None:
    found = ask(trapped, SPELLS.format("closure_date, primary_need, first_return_year, last_return_year"), "T01")
    assert found == [(date(2022, 6, 30), 4, 2021, 2023)]


def test_trap_02_ended_plans_missing_from_later_returns(trapped: Paths) -> None:
    assert days_on_plans(trapped, "T02") == {"child protection plan": 184}
    # The referral of September 2021 has one plan before it, though no return since 2019 says so.
    assert ask(trapped, OUTCOMES.format("previous_cpp_count"), "T02") == [(1,)]
    plans = ask(
        trapped,
        "select cin_plan_start_date, cin_plan_end_date from intermediate.int_spells__cin_plans "
        "inner join intermediate.int_children__identities using (child_key) where la_child_id = 'T02P' order by 1",
    )
    assert plans == [(date(2021, 5, 20), date(2021, 11, 20)), (date(2022, 5, 20), None)]


def test_trap_03_a_child_in_two_las(trapped: Paths) -> None:
    both = ask(trapped, SPELLS.format("la_id, child_id"), "T03")
    assert [la for la, _ in both] == ["306", "391"]
    assert both[0][1] != both[1][1], "a code is the LA's own: without a pupil reference two children"
    (one,), (other,) = (ask(trapped, SPELLS.format("child_id"), name) for name in ("T03A", "T03B"))
    assert one == other
    outcome = ask(trapped, "select la_id, index_referral_date from marts.fct_child_outcomes where child_id = ?", *one)
    assert outcome == [("306", date(2022, 3, 10))]


def test_trap_04_changed_child_codes(trapped: Paths) -> None:
    assert ask(trapped, OUTCOMES.format("has_become_looked_after, is_linked_to_pupil"), "T04OLD") == [(True, True)]
    # Bridged: another code of the same area stands for the same child. Four codes here, two of them bridged.
    share = ask(
        trapped,
        "with codes as (select la_id, la_child_id, count(*) over (partition by la_id, child_key) as codes_of_child "
        "from intermediate.int_children__identities where la_id = '332') "
        "select count(*), count(*) filter (where codes_of_child > 1) from codes",
    )
    assert share == [(4, 2)]


def test_trap_05_one_code_several_children(trapped: Paths) -> None:
    ages = ask(trapped, OUTCOMES.format("age_at_referral_months, has_become_looked_after"), "T05")
    # The Header of the return states which of the two the episode is about.
    assert ages == [(137, False), (73, True)]
    children = ask(trapped, SPELLS.format("child_id, age_at_referral_months"), "T05CORRECTED")
    assert len({child for child, _ in children}) == 1
    assert [age for _, age in children] == [96, 108], "a month's difference is a correction: the later birth counts"
    born = ask(trapped, SPELLS.format("child_id, is_unborn_at_referral"), "T05BORN")
    assert len({child for child, _ in born}) == 1, "unborn, then born, is one child"
    assert [unborn for _, unborn in born] == [True, False]
    shared = ask(
        trapped, "select distinct la_child_id from intermediate.int_children__shared_codes where la_code = '306'"
    )
    assert {"T05"} == {code for (code,) in shared if code.startswith("T05")}


def test_trap_07_overlapping_plans(trapped: Paths) -> None:
    assert days_on_plans(trapped, "T07") == {"child protection plan": 30}
    plans = ask(
        trapped,
        "select count(*) from intermediate.int_spells__child_protection_plans "
        "inner join intermediate.int_children__identities using (child_key) where la_child_id = 'T07'",
    )
    assert plans == [(2,)]
    two_open = ask(
        trapped,
        "select interval_start_date, interval_end_date from intermediate.int_spells__plan_intervals "
        "inner join intermediate.int_children__identities using (child_key) where la_child_id = 'T07OPEN'",
    )
    assert two_open == [(date(2024, 6, 1), None)]


def test_trap_09_start_and_end_on_one_day(trapped: Paths) -> None:
    assert days_on_plans(trapped, "T09") == {}
    assert days_on_plans(trapped, "T09PLAN") == {}
    plans = ask(
        trapped,
        "select cpp_start_date, cpp_end_date from intermediate.int_spells__child_protection_plans "
        "inner join intermediate.int_children__identities using (child_key) where la_child_id = 'T09'",
    )
    assert plans == [(date(2022, 3, 20), date(2022, 3, 20))], "the plan did start"
    periods = ask(
        trapped,
        "select distinct care_start_date, care_end_date from marts.fct_care_periods "
        "inner join marts.fct_referral_spells using (child_id) where la_child_id = 'T09'",
    )
    assert periods == [(date(2023, 5, 1), date(2023, 5, 1))]


def test_trap_10_a_cin_plan_beside_a_protection_plan(trapped: Paths) -> None:
    assert days_on_plans(trapped, "T10") == {"CIN plan": 31 + 31, "child protection plan": 30}


def test_trap_11_closed_and_reopened_on_one_day(trapped: Paths) -> None:
    found = ask(trapped, SPELLS.format("referral_date, closure_date, closure_reason_code"), "T11")
    assert found == [
        (date(2022, 3, 10), date(2022, 3, 24), "RC8"),
        (date(2022, 3, 24), None, None),
    ]


def test_trap_12_two_referrals_on_one_day(trapped: Paths) -> None:
    assert ask(trapped, SPELLS.format("is_nfa, primary_need, is_episode_of_need"), "T12") == [(False, 4, True)]
    assert ask(trapped, SPELLS.format("is_nfa, primary_need"), "T12NEEDS") == [(False, None)]


def test_trap_13_no_further_action_with_activity(trapped: Paths) -> None:
    for child in ("T13ASSESSED", "T13ENQUIRY", "T13PLAN"):
        assert ask(trapped, SPELLS.format("is_nfa, is_episode_of_need"), child) == [(False, True)], child
    overruled = ask(
        trapped,
        "select la_child_id from intermediate.int_spells__referrals where is_nfa_overruled and la_child_id like 'T13%' "
        "order by 1",
    )
    assert overruled == [("T13ASSESSED",), ("T13ENQUIRY",), ("T13PLAN",)]
    assert ask(trapped, SPELLS.format("is_nfa, closure_date, is_episode_of_need"), "T13NONE") == [(True, None, False)]
    # On one day in two LAs the referral that was open ten days is the first, not the one that never closed.
    assert ask(trapped, OUTCOMES.format("la_id"), "T13NONE") == [("391",)]


def test_trap_14_unborn_children(trapped: Paths) -> None:
    unborn = "is_unborn_at_referral, age_at_referral_months, gender, has_become_looked_after"
    assert ask(trapped, OUTCOMES.format(unborn), "T14") == [(True, 0, 0, True)]
    assert ask(trapped, OUTCOMES.format(unborn), "T14OLD") == [(True, 0, 0, False)]
    assert ask(trapped, OUTCOMES.format(unborn), "T14LATER") == [(True, 0, 0, False)]


def test_trap_15_fields_that_change_over_time(trapped: Paths) -> None:
    fields = "gender, ethnicity, ethnic_group"
    assert ask(trapped, OUTCOMES.format(fields), "T15") == [(4, None, "Missing")]
    assert ask(trapped, OUTCOMES.format(fields), "T15MISSING") == [(1, "APKN", "Asian")]


def test_trap_16_eighteen_and_over_or_born_later(trapped: Paths) -> None:
    steps = dict(
        ask(
            trapped,
            "select spells.la_child_id, trials.is_of_age from intermediate.int_cohort__trial_referrals as trials "
            "inner join intermediate.int_spells__referrals as spells using (referral_key) "
            "where spells.la_child_id like 'T16%'",
        )
    )
    assert steps == {"T16": False, "T16YOUNGER": True, "T16LATER": False}
    ages = dict(
        ask(
            trapped,
            "select la_child_id, age_at_referral_months from marts.fct_referral_spells where la_child_id like 'T16%'",
        )
    )
    assert ages == {"T16": 216, "T16YOUNGER": 215, "T16LATER": None}
    assert ask(trapped, OUTCOMES.format("child_id"), "T16") == []
    flow = ask(
        trapped,
        "select step_number, sum(entry_count) from marts.fct_sample_flow "
        "where la_id = '306' and step_number in (3, 4) group by 1 order by 1",
    )
    assert [step for step, _ in flow] == [3, 4], "both are counted where they leave"


def test_trap_22_episodes_that_touch(trapped: Paths) -> None:
    periods = (
        "select care_start_date, care_end_date, episode_count from marts.fct_care_periods where child_id in "
        "(select printf('%015x', child_key) from intermediate.int_children__identities where la_child_id = ?)"
    )
    assert ask(trapped, periods, "T22") == [(date(2022, 3, 20), date(2022, 8, 1), 2)]
    assert ask(trapped, periods, "T22X1") == [(date(2022, 3, 20), date(2022, 8, 1), 2)]
    assert ask(trapped, periods, "T22GAP") == [(date(2022, 4, 20), date(2022, 8, 1), 2)]


def test_trap_23_short_breaks(trapped: Paths) -> None:
    columns = "first_care_start_date, has_become_looked_after"
    assert ask(trapped, OUTCOMES.format(columns), "T23") == [(None, False)]
    assert ask(trapped, OUTCOMES.format(columns), "T23CARE") == [(date(2022, 5, 1), True)]


def test_trap_24_la_codes_that_change(trapped: Paths) -> None:
    assert ask(trapped, SPELLS.format("la_id, la_code, closure_date, last_return_year"), "T24") == [
        ("909", "909", date(2023, 12, 1), 2024)
    ]
    areas = ask(
        trapped, "select la_codes, is_reorganised from marts.dim_local_authorities where la_id in ('909', '942', '943')"
    )
    assert areas == [("909,942,943", True)]


def test_trap_25_markers_in_published_figures(trapped: Paths) -> None:
    figures = ask(trapped, "select measure_value, marker from staging.stg_la__statistics order by reference_date")
    assert figures == [*((None, marker) for marker in ("c", "x", "z", "u", "-", "k")), (12.5, None), (None, "c")]
    # A referral of March 2022: the latest number counts, a later marker is no figure and no 0.
    assert ask(trapped, OUTCOMES.format("la_fsm_pct"), "T11") == [(12.5,)]


def test_trap_26_absence_by_term(trapped: Paths) -> None:
    years = ask(
        trapped,
        "select pupil_id, school_year, autumn_sessions_possible_count, autumn_unauthorised_absence_count, "
        "spring_sessions_possible_count, summer_sessions_possible_count from staging.stg_npd__absence order by 1, 2",
    )
    assert years == [("PT26", 2020, 130, 0, None, None), ("PT26MOVED", 2019, 140, 14, 0, None)]


# --- Traps of values: through the readers, and what the warehouse makes of them ------------------------


class Landing:
    """Landed tables, what was set aside, and the account."""

    def __init__(self, folder: Path, aside: list[dict[Any, Any]], account: list[dict[Any, Any]]) -> None:
        self.folder = folder
        self.aside = [(r["landing_table"], r["source_row"], r["column_name"]) for r in aside]
        self.rules = sorted((r["landing_table"], r["rule"]) for r in aside)
        self.account = {(r["file"], r["table"]): r for r in account}

    def rows(self, table: str, columns: str) -> Rows:
        files = f"read_parquet('{self.folder / table}/*.parquet', union_by_name = true)"
        return duckdb.execute(f"select {columns} from {files} order by source_file, source_row").fetchall()


def land(
    tmp_path: Path,
    files: dict[str, bytes],
    windows: dict[tuple[str, str], Window] | None = None,
    settings: LandingSettings | None = None,
) -> Landing:
    """Write the files of a return below a folder and land them, however much is set aside."""
    for name, content in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    base, target = tmp_path / "in", tmp_path / "landing"
    with Gate(target, "returns", windows or {}, base=base, settings=settings, accepts_quarantine=True) as gate:
        land_returns(tmp_path / "in", gate, KEY, "331", progress=lambda _: None)
        account = gate.commit().to_dict("records")
        aside = gate.quarantine().to_dict("records")
    return Landing(tmp_path / "landing", aside, account)


def census_of(*children: str, reference: str = "2023-03-31", la: str = "331") -> bytes:
    header = (
        f"<Header><CollectionDetails><Collection>CIN</Collection><ReferenceDate>{reference}</ReferenceDate>"
        f"</CollectionDetails><Source><LEA>{la}</LEA></Source></Header>"
    )
    body = "".join(f"<Child>{child}</Child>" for child in children)
    return f"<Message>{header}<Children>{body}</Children></Message>".encode()


def child_xml(code: str, referral: str = "2022-06-01", upn: str = "", details: str = "") -> str:
    return (
        f"<ChildIdentifiers><LAchildID>{code}</LAchildID>{upn}<PersonBirthDate>2011-05-27</PersonBirthDate>"
        "<GenderCurrent>2</GenderCurrent></ChildIdentifiers>"
        f"<CINdetails><CINreferralDate>{referral}</CINreferralDate>{details}</CINdetails>"
    )


def episodes_file(*rows: str, end: str = "\n", encoding: str = "utf-8") -> bytes:
    return end.join([",".join(FILES["Episodes"]), *rows, ""]).encode(encoding)


def episode_line(code: str, start: str, stop: str = "", reason: str = "") -> str:
    return f"{code},{start},S,C2,N1,U1,PR1,{stop},{reason},,AB1 2CD,EF3 4GH,SC123456"


def header_file(*rows: str) -> bytes:
    return "\n".join([",".join(FILES["Header"]), *rows, ""]).encode()


def test_trap_06_spelling_of_codes(trapped: Paths, tmp_path: Path) -> None:
    landed = land(
        tmp_path,
        {
            "a.xml": census_of(child_xml("00123")),
            "2023-episodes.csv": episodes_file(episode_line("00123", "01/07/2022")),
        },
    )
    assert landed.rows("cin_records", "la_child_id") == [("00123",)], "leading zeros stay"
    assert landed.rows("cla_episodes", "la_child_id") == [("00123",)]
    # Blanks, lower case, .0 and a need in lower case: one child, one referral, its own care.
    columns = "primary_need, has_become_looked_after"
    assert ask(trapped, OUTCOMES.format(columns), "T06_A") == [(1, True)]
    assert ask(trapped, SPELLS.format("first_return_year, last_return_year"), "T06_A") == [(2022, 2023)]
    two = {ask(trapped, SPELLS.format("child_id"), code)[0][0] for code in ("06", "006")}
    assert len(two) == 2, "zeros are part of a code"


def test_trap_08_an_end_before_its_start(tmp_path: Path) -> None:
    plan = (
        "<ChildProtectionPlans><CPPstartDate>2022-08-01</CPPstartDate><CPPendDate>2022-07-01</CPPendDate>"
        "</ChildProtectionPlans>"
    )
    landed = land(
        tmp_path,
        {
            "a.xml": census_of(
                child_xml("C1", details="<CINclosureDate>2022-05-01</CINclosureDate>"), child_xml("C2", details=plan)
            ),
            "2023-episodes.csv": episodes_file(
                episode_line("C1", "01/07/2022", "30/06/2022", "E4A"), episode_line("C1", "01/08/2022")
            ),
        },
    )
    assert sorted(landed.aside) == [
        ("cin_records", 1, "closure_date"),
        ("cin_records", 2, "cpp_end_date"),
        ("cla_episodes", 2, "episode_end_date"),
    ]
    assert landed.rows("cin_records", "la_child_id, cpp_start_date, cpp_end_date") == [("C2", None, None)]
    assert landed.rows("cla_episodes", "episode_start_date") == [(date(2022, 8, 1),)]


def test_trap_17_dates_outside_the_data(tmp_path: Path) -> None:
    window = Window(date(2019, 1, 1), date(2025, 12, 31))
    landed = land(
        tmp_path,
        {
            "a.xml": census_of(child_xml("C1", "2028-06-01"), child_xml("C2")),
            "2023-episodes.csv": episodes_file(
                episode_line("C1", "01/01/1900", "02/01/1900", "E4A"), episode_line("C2", "01/07/2022")
            ),
        },
        {("returns", table): window for table in ("cin_records", "cla_episodes")},
    )
    assert landed.rows("cin_records", "la_child_id") == [("C2",)]
    assert landed.rows("cla_episodes", "la_child_id") == [("C2",)]
    for account in landed.account.values():
        left_out = account["out_of_window"] + account["quarantined"]
        assert (account["raw"], account["landed"], left_out) == (2, 1, 1), "counted, never lost"
    # Without any window: days that cannot be are set aside by rule, and an end that cannot be goes blank alone.
    bare = land(
        tmp_path / "bare",
        {
            "a.xml": census_of(
                *(child_xml(f"C{n}", day) for n, day in enumerate(("2028-06-01", "1900-01-01", "2022-06-01")))
            ),
            "2023-episodes.csv": episodes_file(
                episode_line("C1", "01/07/1900"),
                episode_line("C2", "01/07/2022", "01/07/2031", "E4A"),
            ),
        },
        settings=replace(read_landing_settings(SEEDS / "protocol" / "landing_settings.csv"), quarantine_limit_pct=100),
    )
    assert bare.rows("cin_records", "la_child_id") == [("C2",)]
    assert bare.rows("cla_episodes", "la_child_id, episode_end_date") == [("C2", None)]
    assert bare.rules == [
        ("cin_records", "early-date"),
        ("cin_records", "future-date"),
        ("cla_episodes", "353"),
        ("cla_episodes", "future-date"),
    ]


def test_trap_18_no_pupil_number(trapped: Paths, tmp_path: Path) -> None:
    temporary, wrong_letter = "A12345678901B", "A123456789012"
    landed = land(
        tmp_path,
        {
            "a.xml": census_of(
                child_xml("C1", upn="<UPNunknown>UN4</UPNunknown>"),
                child_xml("C2", upn=f"<UPN>{temporary.lower()}</UPN>"),
                child_xml("C3", upn=f"<UPN>{wrong_letter}</UPN>"),
            ),
            "2023-header.csv": header_file(
                "1,1,27/05/2009,WBRI,UN3,,", f"2,1,27/05/2009,WBRI,{temporary},,", "3,1,27/05/2009,WBRI,,,"
            ),
        },
    )
    pseudonyms = [pupil_pseudonym(upn, KEY) for upn in (temporary, wrong_letter)]
    assert [r[0] for r in landed.rows("cin_records", "pupil_id")] == [None, *pseudonyms]
    assert [r[0] for r in landed.rows("cla_children", "pupil_id")] == [None, pseudonyms[0], None]
    # Codes for having none that come in a national file link nobody either.
    two = {ask(trapped, SPELLS.format("child_id"), code)[0][0] for code in ("T18A", "T18B")}
    assert len(two) == 2
    assert ask(trapped, OUTCOMES.format("is_linked_to_pupil"), "T18A") == [(False,)]


def test_trap_19_mixed_date_formats(tmp_path: Path) -> None:
    landed = land(
        tmp_path,
        {
            "a.xml": census_of(
                child_xml("C1", "2022-06-01"), child_xml("C2", "01/06/2022"), child_xml("C3", "2022-13-01")
            ),
            "2023-episodes.csv": episodes_file(
                episode_line("C1", "03/04/2022"), episode_line("C2", "04/13/2022"), episode_line("C3", "31/02/2022")
            ),
        },
    )
    assert landed.rows("cin_records", "referral_date") == [(date(2022, 6, 1),)]
    assert landed.rows("cla_episodes", "episode_start_date") == [(date(2022, 4, 3),)], "3 April, not 4 March"
    assert sorted(landed.aside) == [
        ("cin_records", 2, "referral_date"),
        ("cin_records", 3, "referral_date"),
        ("cla_episodes", 3, "episode_start_date"),
        ("cla_episodes", 4, "episode_start_date"),
    ]
    # One day in every form that an SSDA903 file may bear; the month-first reading of none.
    forms = ["03/04/2022", "03/04/22", "2022-Apr-03 00:00:00", "03/04/2022 00:00:00"]
    mixed = land(
        tmp_path / "mixed",
        {"2023-episodes.csv": episodes_file(*(episode_line(f"C{n}", form) for n, form in enumerate(forms)))},
    )
    assert mixed.rows("cla_episodes", "episode_start_date") == [(date(2022, 4, 3),)] * len(forms)
    serials = land(
        tmp_path / "serials",
        {"2023-episodes.csv": episodes_file(*(episode_line(f"C{n}", "44654") for n in range(3)))},
    )
    assert serials.rows("cla_episodes", "episode_start_date") == [(date(2022, 4, 3),)] * 3, (
        "day numbers of a spreadsheet"
    )


def test_trap_20_encodings_and_noise(tmp_path: Path) -> None:
    line = episode_line("C’1", "01/07/2016")
    files = {
        "331/2017-episodes.csv": b"\xef\xbb\xbf" + episodes_file(line),
        "331/2018-episodes.csv": episodes_file(line, encoding="utf-16"),
        "331/2019-episodes.csv": episodes_file(line, encoding="cp1252"),
        "331/2020-episodes.csv": episodes_file(line, end="\r\n"),
        "331/2021-episodes.csv": episodes_file(line).rstrip(b"\n"),
        "331/2022-episodes.csv": b"SSDA903 return,,\n\n" + episodes_file(line),
        "331/2023-episodes.csv": b"\n",
        "331/2023-header.csv": header_file("C’1,1,27/05/2009,WBRI,,,"),
        "331/2023-notes.txt": b"nothing to see",
    }
    landed = land(tmp_path, files)
    rows = landed.rows("cla_episodes", "return_year, la_child_id, episode_start_date")
    assert rows == [(year, "C’1", date(2016, 7, 1)) for year in range(2017, 2023)]
    assert landed.account["331/2023-episodes.csv", "cla_episodes"]["raw"] == 0, "a file of one newline is counted"
    manifest = (tmp_path / "landing" / "manifest.json").read_text(encoding="utf-8")
    assert "331/2023-notes.txt" in manifest, "a file of another kind is listed"
    # A workbook is known by its headers too, whatever the title of a sheet.
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Episods"
    sheet.append(["Return of the year"])
    for values in csv.reader(episodes_file(line).decode("utf-8").splitlines()):
        sheet.append(values)
    kept = io.BytesIO()
    book.save(kept)
    sheets = land(tmp_path / "book", {"331/2022-return.xlsx": kept.getvalue()})
    assert sheets.rows("cla_episodes", "return_year, la_child_id, episode_start_date") == [
        (2022, "C’1", date(2016, 7, 1))
    ]


def test_trap_21_booleans_and_blanks(trapped: Paths, tmp_path: Path) -> None:
    flags = ["true", "1", "false", "0", ""]
    empty = "<Assessments><FactorsIdentifiedAtAssessment/></Assessments>"
    landed = land(
        tmp_path,
        {
            "a.xml": census_of(
                *(child_xml(f"C{n}", details=f"<ReferralNFA>{f}</ReferralNFA>{empty}") for n, f in enumerate(flags))
            )
        },
    )
    assert [r[0] for r in landed.rows("cin_records", "referral_nfa")] == ["true", "1", "false", "0", None]
    # What no return says is not said: no flag is not no further action, and several values are none.
    said = {code: ask(trapped, SPELLS.format("is_nfa"), code)[0][0] for code in ("T21A", "T21B", "T21C", "T21D")}
    assert said == {"T21A": False, "T21B": False, "T21C": True, "T21D": False}
    fields = "gender, ethnicity, ethnic_group, is_linked_to_pupil, is_disabled"
    for code in ("T21A", "T21B"):
        assert ask(trapped, OUTCOMES.format(fields), code) == [(0, None, "Missing", False, False)], code
    assert ask(trapped, OUTCOMES.format(fields), "T21D") == [(2, "WBRI", "White", False, False)]
    assert ask(trapped, SPELLS.format("child_id"), "T21C") != ask(trapped, SPELLS.format("child_id"), "T21D")


# --- Two implementations, and the register of traps ----------------------------------------------------


def test_codes_of_several_children_agree_with_the_reference(trapped: Paths) -> None:
    """Trap 5 on codes thrown by dice: outcomes, periods of care and referrals as the reference has them."""
    from definitions import evaluate
    from landing_rows import read_seeds
    from test_reference_agreement import compare, md5_of

    tables = trap_tables()
    expected = evaluate(tables, read_seeds(ROOT / "seeds"))
    found = compare(trapped, expected, None).found
    assert not found, f"{len(found)} disagreements, for example:\n" + "\n".join(found[:20])
    spells = {
        (md5_of(r["child_id"]), r["la_id"], r["referral_date"], r["is_nfa"], r["primary_need"], r["closure_date"])
        for r in expected["referral_spells"]
    }
    here = ask(
        trapped,
        "select child_id, la_id, referral_date, is_nfa, primary_need, closure_date from marts.fct_referral_spells",
    )
    assert set(here) == spells
    shared = ask(
        trapped,
        "select count(distinct la_code || la_child_id) from intermediate.int_children__identities "
        "where owner_month_number > 0",
    )
    assert shared[0][0] > SHARED_CODES // 3, "the dice must throw codes of several children"


def traps() -> list[dict[str, str]]:
    with (ROOT / "seeds/protocol/data_traps.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_every_trap_has_its_test_and_every_test_its_trap() -> None:
    listed = {row["trap"]: row["test"] for row in traps()}
    assert list(listed) == [str(n) for n in range(1, 27)]
    written = sorted(name for name in globals() if name.startswith("test_trap_"))
    assert written == sorted(listed.values())
    for trap, test in listed.items():
        assert test.startswith(f"test_trap_{int(trap):02d}_")


def test_every_trap_has_a_rule_a_source_and_a_home_that_exists() -> None:
    models = {p.stem for p in (ROOT / "models").rglob("*.sql")} | {p.stem for p in (ROOT / "seeds").rglob("*.csv")}
    macros = set(re.findall(r"macro (\w+)\(", "".join(p.read_text() for p in (ROOT / "macros").glob("*.sql"))))
    for row in traps():
        assert all(row[column] for column in row), f"trap {row['trap']} has a blank cell"
        for home in row["home"].split(";"):
            module = ROOT / "python/src" / (home.replace(".", "/") + ".py")
            assert home in models | macros or module.is_file(), f"trap {row['trap']}: {home} does not exist"


def test_the_page_on_raw_data_shows_the_register_of_traps() -> None:
    page = (ROOT / "docs/raw_data.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (\d+) (.*?) \| (.*) \|$", page.split("## The twenty-six traps")[1], re.MULTILINE)
    assert shown == [(row["trap"], row["title"], row["rule"]) for row in traps()]


def test_rows_of_a_trap_are_of_the_year_that_they_say() -> None:
    """The hand-written rows keep the calendar: no referral lies after the end of its return year."""
    for row in (r for rows in TRAPS.values() for r in rows if "referral_source" in r):
        assert return_year(row["referral_date"].isoformat()) <= row["return_year"], row["la_child_id"]
