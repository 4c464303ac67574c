"""The reference implementation against children whose values were worked out by hand."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import duckdb
import pytest

from definitions import Row, add_months, evaluate
from hand_cases import CASES, VARIANT_CASES, Case, all_tables, cin, day, episode
from landing_rows import COLUMNS, read_part, read_seeds
from sfpc.landing.layout import TABLES
from variant_seeds import variant_of

SEEDS = read_seeds(Path(__file__).parents[2] / "seeds")
TOGETHER = evaluate(all_tables(), SEEDS)
VARIANT_TOGETHER = evaluate(all_tables(VARIANT_CASES), variant_of(SEEDS))


def rows_of(found: dict[str, list[Row]], name: str, case: Case) -> list[Row]:
    """The rows of a case, of its own programme where the rows have one."""
    return [
        r
        for r in found[name]
        if r["child_id"] == case.child_id and r.get("programme_id", case.programme_id) == case.programme_id
    ]


def check(case: Case, found: dict[str, list[Row]]) -> None:
    outcomes = rows_of(found, "child_outcomes", case)
    if case.outcome is None:
        assert outcomes == [], case.why
    else:
        (outcome,) = outcomes
        assert {k: outcome[k] for k in case.outcome} == case.outcome, case.why
        assert sorted(r["la_id"] for r in outcome["tie_candidates"]) == case.tie_la_ids
    if case.periods is not None:
        periods = rows_of(found, "care_periods", case)
        assert [(p["care_start_date"], p["care_end_date"]) for p in periods] == [
            (day(start), day(end)) for start, end in case.periods
        ], case.why
    if case.spells is not None:
        spells = rows_of(found, "referral_spells", case)
        assert len(spells) == len(case.spells)
        for spell, expected in zip(spells, case.spells, strict=True):
            assert {k: spell[k] for k in expected} == expected, case.why
    values = {(r["outcome_id"], r["reading_id"]): r for r in rows_of(found, "outcome_values", case)}
    for reading, expected in case.values.items():
        row = values[reading]
        assert (row["is_in_sample"], row["is_fully_observed"], row["outcome_value"]) == expected, (case.why, reading)
    assert not set(case.without) & set(values), case.why
    if case.terms is not None:
        columns = ("school_year", "term", "sessions_possible_count", "unauthorised_absence_count")
        terms = [tuple(r[c] for c in columns) for r in rows_of(found, "absence_terms", case)]
        assert terms == case.terms, case.why


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case_among_all_children(case: Case) -> None:
    check(case, TOGETHER)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case_alone(case: Case) -> None:
    check(case, evaluate(all_tables([case]), SEEDS))


@pytest.mark.parametrize("case", VARIANT_CASES, ids=lambda c: c.name)
def test_case_of_the_made_up_programme(case: Case) -> None:
    check(case, VARIANT_TOGETHER)


def test_the_order_of_rows_does_not_matter() -> None:
    backwards = {name: rows[::-1] for name, rows in all_tables().items()}
    assert evaluate(backwards, SEEDS) == TOGETHER


def test_window_beyond_the_extract_is_missing_not_0() -> None:
    """FV.SAMPLE.5: 18 months after 30 September 2022 is 30 March 2024, after 1 October 2022 it is not."""
    tables = {
        "cin_records": [
            cin("INSIDE", "2022-09-30"),
            cin("OUTSIDE", "2022-10-01"),
            *(cin("OTHER", "2020-01-01", return_year=year) for year in (2020, 2021, 2022, 2023)),
            cin("WARWICKSHIRE", "2019-01-01", la_code="937"),
        ],
        "cla_children": [],
        "cla_episodes": [
            episode(child, "2020-01-01" if child == "OTHER" else "2023-01-01", return_year=year)
            for child in ("INSIDE", "OUTSIDE", "OTHER")
            for year in (2023, 2024)
        ],
        "npd_pupils": [],
    }
    outcomes = {r["child_id"][2]: r for r in evaluate(tables, SEEDS)["child_outcomes"]}
    inside, outside = outcomes["INSIDE"], outcomes["OUTSIDE"]
    assert inside["has_become_looked_after"] is True
    assert inside["is_fully_observed__became_looked_after"] is True
    assert outside["has_become_looked_after"] is None
    assert outside["is_fully_observed__became_looked_after"] is False
    assert outside["is_in_sample__became_looked_after"] is True


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2021-08-31", 18, "2023-02-28"),
        ("2022-08-31", 18, "2024-02-29"),
        ("2021-07-01", -6, "2021-01-01"),
        ("2021-03-31", -1, "2021-02-28"),
        ("2022-12-15", 12, "2023-12-15"),
    ],
)
def test_calendar_months(start: str, months: int, expected: str) -> None:
    assert add_months(date.fromisoformat(start), months) == date.fromisoformat(expected)


@pytest.fixture
def landing_dir(tmp_path: Path) -> Path:
    """All hand-written children as Parquet, with the column types of the landing layout."""
    for name in COLUMNS:
        lines = tmp_path / f"{name}.json"
        rows = all_tables()[name]
        lines.write_text("\n".join(json.dumps(r, default=lambda v: v.isoformat()) for r in rows))
        (tmp_path / name).mkdir()
        types = ", ".join(f"{c.name}: '{c.type}'" for c in TABLES[name].columns)
        target = tmp_path / name / "part_00000.parquet"
        duckdb.sql(f"select * from read_json('{lines}', columns = {{{types}}})").write_parquet(str(target))
    return tmp_path


def test_a_part_of_a_landing_directory_is_as_in_the_whole(landing_dir: Path) -> None:
    named = read_part(landing_dir, SEEDS, pupils=["PUPILBRIDGE", "PUPILFSM4"])
    assert named.children == {("pupil", "PUPILBRIDGE"), ("pupil", "PUPILFSM4")}
    whole = read_part(landing_dir, SEEDS)
    assert evaluate(whole.tables, SEEDS) == TOGETHER
    for part in (named, read_part(landing_dir, SEEDS, every=3)):
        assert part.children
        found = evaluate(part.tables, SEEDS, returns=part.returns, only=part.children)
        assert found == {name: [r for r in rows if r["child_id"] in part.children] for name, rows in TOGETHER.items()}
