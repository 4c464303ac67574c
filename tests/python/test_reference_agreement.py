"""Two implementations of the definitions, written apart, give the same rows (SQL in the marts, plain Python)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, querying
from sfpc.settings import Paths

EVERY = 12
FEWEST_CHILDREN = 2000
COMPARED = (
    "la_id",
    "index_referral_date",
    "financial_year",
    "is_treatment_la",
    "is_treated",
    "age_at_referral_months",
    "is_unborn_at_referral",
    "is_looked_after_at_referral",
    "gender",
    "ethnicity",
    "ethnic_group",
    "is_disabled",
    "is_fsm",
    "is_uasc",
    "previous_cpp_count",
    "primary_need",
    "has_become_looked_after",
    "is_in_sample__became_looked_after",
    "is_fully_observed__became_looked_after",
)


def warehouse_key(child_id: tuple[str, ...]) -> str:
    """The text behind the warehouse's child_id."""
    return "|".join(child_id)


def rows_by_child(paths: Paths, table: str, columns: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    with querying(paths) as connection:
        found = connection.execute(f"select child_id, {', '.join(columns)} from marts.{table}").fetchall()
    out: dict[str, list[dict[str, Any]]] = {}
    for child, *values in found:
        out.setdefault(child, []).append(dict(zip(columns, values, strict=True)))
    return out


def md5_of(child_id: tuple[str, ...]) -> str:
    import hashlib

    parts = list(child_id)
    if parts[0] == "la" and len(parts) == 4:
        # The warehouse counts months since year 0 where the reference writes YYYY-MM.
        year, month = parts[3].split("-") if parts[3] else ("", "")
        parts[3] = str(int(year) * 12 + int(month) - 1) if year else ""
    return hashlib.md5("|".join(parts).encode()).hexdigest()


def disagreements(paths: Paths, expected: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Differences in outcome rows and periods of care, in words."""
    outcomes = rows_by_child(paths, "fct_child_outcomes", COMPARED)
    periods = rows_by_child(paths, "fct_care_periods", ("la_id", "care_start_date", "care_end_date"))
    found = []
    of_age = [r for r in expected["child_outcomes"] if r["is_in_age_range"]]
    for row in of_age:
        key = md5_of(row["child_id"])
        here = outcomes.get(key, [])
        if len(here) != 1:
            found.append(f"{row['child_id']}: {len(here)} outcome rows in the warehouse")
            continue
        accepted = row["tie_candidates"] or [row]
        if not any(all(here[0][c] == other[c] for c in COMPARED) for other in accepted):
            found += [
                f"{row['child_id']}: {c} is {here[0][c]!r} in SQL and {row[c]!r} in Python"
                for c in COMPARED
                if here[0][c] != row[c]
            ]
    by_child: dict[str, list[dict[str, Any]]] = {}
    for period in expected["care_periods"]:
        by_child.setdefault(md5_of(period["child_id"]), []).append(
            {c: period[c] for c in ("la_id", "care_start_date", "care_end_date")}
        )
    for key, of_child in by_child.items():
        order = sorted(periods.get(key, []), key=lambda p: (p["la_id"], p["care_start_date"]))
        wanted = sorted(of_child, key=lambda p: (p["la_id"], p["care_start_date"]))
        if order != wanted:
            found.append(f"{key}: periods of care {order} in SQL and {wanted} in Python")
    return found


def test_generated_children_agree(synthetic: Paths) -> None:
    from definitions import evaluate
    from landing_rows import read_part, read_seeds

    seeds = read_seeds(ROOT / "seeds")
    part = read_part(synthetic.landing, seeds, every=EVERY)
    expected = evaluate(part.tables, seeds, returns=part.returns, only=part.children)
    assert len(expected["child_outcomes"]) >= FEWEST_CHILDREN
    found = disagreements(synthetic, expected)
    assert not found, f"{len(found)} disagreements, for example:\n" + "\n".join(found[:20])


def test_nobody_is_only_in_the_warehouse(synthetic: Paths) -> None:
    """FV.SAMPLE.1: every outcome row has a child of the right age; the count agrees with the flow."""
    with querying(synthetic) as connection:
        children = connection.execute("select count(*) from marts.fct_child_outcomes").fetchone()
        flow = connection.execute(
            "select sum(referral_count) from marts.fct_sample_flow where step_number >= 5"
        ).fetchone()
    assert children == flow


def test_hand_written_children_agree(hand_written: Paths) -> None:
    from definitions import evaluate
    from hand_cases import all_tables
    from landing_rows import read_seeds

    expected = evaluate(all_tables(), read_seeds(ROOT / "seeds"))
    found = disagreements(hand_written, expected)
    assert not found, "\n".join(found)


def case_ids() -> list[str]:
    from hand_cases import CASES

    return [case.name for case in CASES]


@pytest.mark.parametrize("name", case_ids())
def test_named_child(name: str, hand_written: Paths) -> None:
    """The value worked out by hand is what the warehouse holds."""
    from hand_cases import CASES, day

    case = next(c for c in CASES if c.name == name)
    child = md5_of(case.child_id)
    here = rows_by_child(hand_written, "fct_child_outcomes", COMPARED).get(child, [])
    wanted = {k: v for k, v in (case.outcome or {}).items() if k in COMPARED}
    if case.outcome is None or (case.outcome.get("is_in_age_range") is False):
        assert here == [], case.why
    elif case.tie_la_ids:
        assert here[0]["la_id"] in case.tie_la_ids, case.why
    else:
        assert {k: here[0][k] for k in wanted} == wanted, case.why
    if case.periods is not None:
        periods = rows_by_child(hand_written, "fct_care_periods", ("care_start_date", "care_end_date"))
        got = sorted(periods.get(child, []), key=lambda p: p["care_start_date"])
        expected = [{"care_start_date": day(a), "care_end_date": day(b)} for a, b in case.periods]
        assert got == expected, case.why


def test_reference_never_read_the_sql() -> None:
    """Independence: the reference names no model, macro or dbt file."""
    for path in sorted((ROOT / "tests" / "reference").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for word in ("int_spells", "int_cohort", "int_children", "stg_c", "models/"):
            assert word not in text, f"{Path(path).name} names {word}"
