"""Two implementations of the definitions, written apart, give the same rows (SQL in the marts, plain Python)."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import ROOT, land_rows, querying
from sfpc.settings import Paths
from sfpc.warehouse.build import build

Row = dict[str, Any]

EVERY = 12
EVERY_OF_VARIANT = 4
FEWEST_CHILDREN = 2000
FEWEST_IN_A_SAMPLE = 500
OUTCOMES = ("became_looked_after", "started_cpp", "plan_days", "kinship_care", "reunified", "unauthorised_absence")
WIDE = (
    "la_id",
    "index_referral_date",
    "financial_year",
    "quarter_start_date",
    "is_treatment_la",
    "is_treated",
    "is_treated_by_share_of_time",
    "is_treated_by_days",
    "is_treated_with_trailblazer",
    "is_in_embedding_period",
    "age_at_referral_months",
    "is_unborn_at_referral",
    "is_looked_after_at_referral",
    "first_care_start_date_in_window",
    "care_start_la_id",
    "care_start_date",
    "age_at_care_start_months",
    "is_treated_at_care_start",
    "gender",
    "ethnicity",
    "ethnic_group",
    "is_disabled",
    "is_fsm",
    "is_uasc",
    "is_disabled_up_to_referral",
    "is_uasc_up_to_referral",
    "previous_cpp_count",
    "is_linked_to_pupil",
    "primary_need",
    "la_fsm_pct",
    "la_white_british_pct",
    "has_other_innovation_programme",
    "has_become_looked_after",
    "has_started_cpp",
    "plan_days",
    "cpp_days",
    "cin_plan_days",
    "plan_observable_share",
    "cin_episode_days",
    "is_kinship_first_placement",
    "is_reunified",
    "unauthorised_absence_pct",
    *(f"is_in_sample__{outcome}" for outcome in OUTCOMES),
    *(f"is_fully_observed__{outcome}" for outcome in OUTCOMES),
)
VALUES = (
    "anchor",
    "la_id",
    "anchor_date",
    "window_end_date",
    "is_treated",
    "age_at_anchor_months",
    "is_in_sample",
    "is_fully_observed",
    "outcome_value",
)
TERMS = (
    "school_year",
    "term",
    "months_since_referral",
    "is_measured",
    "sessions_possible_count",
    "unauthorised_absence_count",
)
STRATA = (
    "la_id",
    "anchor_date",
    "financial_year",
    "gender_group",
    "age_band",
    "ethnic_group",
    "is_disabled",
    "fsm_group",
    "is_uasc",
    "has_previous_cpp",
)
# By mart: the name here, the columns of its grain beside the child, the columns compared.
MARTS = {
    "fct_child_outcomes": ("child_outcomes", ("programme_id",), WIDE),
    "fct_outcome_values": ("outcome_values", ("programme_id", "outcome_id", "reading_id"), VALUES),
    "fct_absence_terms": ("absence_terms", ("programme_id", "term_order"), TERMS),
    "fct_cem_strata": ("cem_strata", ("programme_id", "outcome_id"), STRATA),
    "fct_care_periods": (
        "care_periods",
        ("la_id", "care_start_date"),
        ("care_end_date", "end_reason", "is_end_inferred"),
    ),
    "fct_referral_spells": (
        "referral_spells",
        ("la_id", "referral_date"),
        ("la_code", "closure_date", "closure_reason", "is_nfa", "is_need", "primary_need"),
    ),
}
# Where a column of a mart has another name here.
MART_NAMES = {
    "closure_reason": "closure_reason_code",
    "is_need": "is_episode_of_need",
    "end_reason": "reason_care_ceased_code",
    "first_care_start_date_in_window": "first_care_start_date",
}


def md5_of(child_id: tuple[str, ...]) -> str:
    """The warehouse's child_id of a child."""
    parts = list(child_id)
    if parts[0] == "la" and len(parts) == 4:
        # The warehouse counts months since year 0 where the reference writes YYYY-MM.
        year, month = parts[3].split("-") if parts[3] else ("", "")
        parts[3] = str(int(year) * 12 + int(month) - 1) if year else ""
    return hashlib.md5("|".join(parts).encode()).hexdigest()[:15]


def is_same(here: Any, there: Any) -> bool:
    """Equal; a number up to the rounding of a division."""
    if isinstance(here, (int, float)) and isinstance(there, (int, float)):
        return abs(here - there) <= 1e-9 * max(1.0, abs(there))
    return bool(here == there)


def rows_of_mart(where: Paths | duckdb.DuckDBPyConnection, mart: str, columns: tuple[str, ...]) -> list[Row]:
    """The rows of a mart, of the published file or of a warehouse that is open."""
    query = f"select child_id, {', '.join(MART_NAMES.get(c, c) for c in columns)} from marts.{mart}"
    if isinstance(where, Paths):
        with querying(where) as connection:
            found = connection.execute(query).fetchall()
    else:
        found = where.execute(query).fetchall()
    return [dict(zip(("child_id", *columns), values, strict=True)) for values in found]


def accepted_rows(name: str, row: Row) -> list[Row]:
    """The row, or where only a hash decides between LAs, every row that may stand for it."""
    return (row.get("tie_candidates") or [row]) if name == "child_outcomes" else [row]


def is_in_mart(name: str, row: Row) -> bool:
    """Wide rows of the reference also hold children who are not of the programme's ages."""
    return name != "child_outcomes" or bool(row["is_in_age_range"] or row["is_in_age_range_at_care_start"])


@dataclass
class Comparison:
    """What was compared, by mart and programme, and what differs, in words."""

    compared: Counter[tuple[str, str]]
    found: list[str]


def compare(
    paths: Paths | duckdb.DuckDBPyConnection, expected: dict[str, list[Row]], only: set[tuple[str, ...]] | None
) -> Comparison:
    """Every row of every mart against the reference, both ways round.

    expected: what evaluate gave. only: the children it was given for; None: all.
    """
    chosen = None if only is None else {md5_of(child) for child in only}
    programmes = {row["programme_id"] for row in expected["child_outcomes"]}
    tied = {(r["programme_id"], md5_of(r["child_id"])) for r in expected["child_outcomes"] if r["tie_candidates"]}
    out = Comparison(Counter(), [])
    for mart, (name, grain, columns) in MARTS.items():
        wanted: dict[tuple[Any, ...], list[Row]] = {}
        for row in expected[name]:
            if is_in_mart(name, row):
                key = (md5_of(row["child_id"]), *(row[c] for c in grain))
                wanted.setdefault(key, []).extend(accepted_rows(name, row))
        for here in rows_of_mart(paths, mart, tuple(dict.fromkeys((*grain, *columns)))):
            key = (here["child_id"], *(here[c] for c in grain))
            programme = here.get("programme_id", "")
            if (chosen is not None and key[0] not in chosen) or (programme and programme not in programmes):
                continue
            there = wanted.pop(key, [])
            out.compared[mart, programme] += 1
            # Strata of a child whose LA only a hash decides are those of either LA, and not written down.
            if not there and not (name == "cem_strata" and (programme, key[0]) in tied):
                out.found.append(f"{mart}: {key} is only in SQL")
            differences = [[c for c in columns if not is_same(here[c], other[c])] for other in there]
            if differences and min(map(len, differences)):
                closest = min(range(len(there)), key=lambda number: len(differences[number]))
                out.found += [
                    f"{mart}: {c} of {there[closest]['child_id']} {key[1:]} is {here[c]!r} in SQL "
                    f"and {there[closest][c]!r} in Python"
                    for c in differences[closest]
                ]
        out.found += [f"{mart}: {rows[0]['child_id']} {key[1:]} is only in Python" for key, rows in wanted.items()]
    return out


def summary(found: list[str]) -> str:
    return f"{len(found)} disagreements, for example:\n" + "\n".join(found[:20])


def test_generated_children_agree(synthetic: Paths) -> None:
    from definitions import evaluate
    from landing_rows import read_part, read_seeds

    seeds = read_seeds(ROOT / "seeds")
    part = read_part(synthetic.landing, seeds, every=EVERY)
    expected = evaluate(part.tables, seeds, returns=part.returns, only=part.children)
    result = compare(synthetic, expected, part.children)
    assert not result.found, summary(result.found)
    assert min(n for (mart, _), n in result.compared.items() if mart == "fct_child_outcomes") >= FEWEST_CHILDREN


@pytest.fixture(scope="session")
def variant(synthetic: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The synthetic extracts in a copy of the project whose seeds give every programme LAs, and add one more."""
    from hand_cases import VARIANT_CASES, all_tables
    from variant_seeds import write_variant

    folder = tmp_path_factory.mktemp("variant")
    root = folder / "project"
    for name in ("models", "macros", "seeds", "tests/dbt"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / name, root / name)
    write_variant(root / "seeds")
    paths = Paths(root, folder / "data", folder / "outputs")
    paths.data.mkdir()
    # The hand-written children of the made-up programme stand beside the generated ones.
    land_rows(paths, all_tables(VARIANT_CASES))
    for file in (f for f in synthetic.landing.rglob("*") if f.is_file()):
        link = paths.landing / file.relative_to(synthetic.landing)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(file)
    assess(paths.landing)
    build(paths)
    return paths


def assess(landing: Path) -> None:
    """Give generated referrals with further action an assessment, which national extracts do not hold (C.1)."""
    factors = "['3B,16A', '4A', '1C,2B,10A', '5A', '13A, 3C', '21', '16A', null]"
    duckdb.execute(
        f"""
        copy (
            select
                min(return_year) as return_year, la_code, la_child_id, referral_date,
                referral_date as assessment_start_date, cast(null as date) as assessment_authorisation_date,
                ({factors})[1 + ('0x' || left(md5(la_code || la_child_id || referral_date), 6))::integer % 8]
                    as assessment_factors,
                'generated' as source_file,
                row_number() over (order by la_code, la_child_id, referral_date) as source_row
            from read_parquet('{landing}/cin_records/*.parquet', union_by_name = true)
            where referral_nfa = '0' and source_file is not null
            group by la_code, la_child_id, referral_date
        ) to '{landing}/cin_assessments/generated.parquet' (format parquet)
        """
    )


def test_generated_children_of_every_programme_agree(variant: Paths) -> None:
    """FV.PROG.5: the sister programmes, and a made-up one that takes rows only, each with its own outcomes."""
    from definitions import evaluate
    from landing_rows import read_part, read_seeds

    seeds = read_seeds(variant.root / "seeds")
    shipped = {row["programme_id"] for row in read_seeds(ROOT / "seeds")["programmes"]}
    primary = next(row["programme_id"] for row in seeds["programmes"])
    # The first programme's rows are the same as in the project, and are compared there.
    seeds["programmes"] = [row for row in seeds["programmes"] if row["programme_id"] != primary]
    made_up = {row["programme_id"] for row in seeds["programmes"]} - shipped
    assert len(made_up) == 1
    part = read_part(variant.landing, seeds, every=EVERY_OF_VARIANT)
    expected = evaluate(part.tables, seeds, returns=part.returns, only=part.children)
    result = compare(variant, expected, part.children)
    assert not result.found, summary(result.found)
    children = {programme: n for (mart, programme), n in result.compared.items() if mart == "fct_child_outcomes"}
    assert set(children) == {row["programme_id"] for row in seeds["programmes"]}
    assert min(children.values()) >= FEWEST_CHILDREN, children
    samples = {
        (row["programme_id"], row["sample_id"].lower())
        for row in seeds["referral_samples"]
        if row["programme_id"] != primary
    }
    entered = Counter((r["programme_id"], r["anchor"]) for r in expected["outcome_values"])
    assert min(entered[sample] for sample in samples) >= FEWEST_IN_A_SAMPLE, entered


def test_every_mart_is_compared(variant: Paths, synthetic: Paths) -> None:
    """A mart that no child reaches, or an outcome that is always missing, would agree and show nothing."""
    for paths in (synthetic, variant):
        with querying(paths) as connection:
            kinds = connection.execute(
                "select programme_id, outcome_id, reading_id, count(distinct outcome_value), count(*) "
                "from marts.fct_outcome_values group by all"
            ).fetchall()
        flat = [kind[:3] for kind in kinds if kind[3] < 2]
        assert not flat, f"one value or none: {flat}"


def test_a_made_up_programme_takes_rows_only(variant: Paths) -> None:
    """FV.PROG.5: the variant changes seeds and no model, and every mart about a programme has rows of each of them."""
    for folder in ("models", "macros", "tests/dbt"):
        for path in (p for p in (ROOT / folder).rglob("*") if p.is_file()):
            assert (variant.root / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path.name
    with (variant.root / "seeds/programmes/programmes.csv").open(newline="", encoding="utf-8") as handle:
        programmes = {row["programme_id"] for row in csv.DictReader(handle)}
    assert "made_up" in programmes and len(programmes) == 4
    filled = {
        "dim_programme_local_authorities": "is_treatment_la",
        "fct_child_outcomes": "has_become_looked_after",
        "fct_outcome_values": "outcome_value is not null",
        "fct_sample_flow": "step = 'analysis sample' and is_after_go_live",
        "fct_la_quarter_outcomes": "is_treatment_la and standardised_change is not null",
        "fct_cem_strata": "is_treatment_la",
        "fct_observability": "has_observed_after_go_live",
        "fct_covariate_missingness": "arm = 'treated'",
    }
    with querying(variant) as connection:
        for mart, condition in filled.items():
            found = connection.execute(f"select distinct programme_id from marts.{mart} where {condition}").fetchall()
            assert {row[0] for row in found} == programmes, mart
        readings = connection.execute(
            "select distinct outcome_id, reading_id from marts.fct_outcome_values "
            "where programme_id = 'made_up' and is_in_sample"
        ).fetchall()
        terms = connection.execute(
            "select count(*) > 0 from marts.fct_absence_terms where programme_id = 'made_up' and is_measured"
        ).fetchone()
    with (variant.root / "seeds/protocol/programme_outcomes.csv").open(newline="", encoding="utf-8") as handle:
        asked = {(r["outcome_id"], r["reading_id"]) for r in csv.DictReader(handle) if r["programme_id"] == "made_up"}
    assert set(readings) == asked
    assert terms == (True,)


def test_nobody_is_only_in_the_warehouse(synthetic: Paths) -> None:
    """FV.SAMPLE.4: the children with an index referral are those that the flow counts from its fifth step on."""
    with querying(synthetic) as connection:
        children = connection.execute(
            "select count(*) from marts.fct_child_outcomes where index_referral_date is not null"
        ).fetchone()
        flow = connection.execute(
            "select sum(entry_count) from marts.fct_sample_flow "
            "where outcome_id = 'became_looked_after' and step_number >= 5"
        ).fetchone()
    assert children == flow


def test_hand_written_children_agree(hand_written: Paths) -> None:
    from definitions import evaluate
    from hand_cases import all_tables
    from landing_rows import read_seeds

    expected = evaluate(all_tables(), read_seeds(ROOT / "seeds"))
    result = compare(hand_written, expected, None)
    assert not result.found, summary(result.found)


Marts = dict[str, dict[tuple[str, str], list[Row]]]


def rows_of_marts(paths: Paths | duckdb.DuckDBPyConnection) -> Marts:
    """The rows of all marts, by mart, programme and child."""
    out: Marts = {}
    for mart, (_, grain, columns) in MARTS.items():
        for row in rows_of_mart(paths, mart, tuple(dict.fromkeys((*grain, *columns)))):
            out.setdefault(mart, {}).setdefault((row.get("programme_id", ""), row["child_id"]), []).append(row)
    return out


@pytest.fixture(scope="session")
def hand_marts(hand_written: Paths) -> Marts:
    return rows_of_marts(hand_written)


@pytest.fixture(scope="session")
def variant_marts(variant: Paths) -> Marts:
    return rows_of_marts(variant)


def check_named_child(case: Any, marts: Marts) -> None:
    """What was worked out by hand is what the warehouse holds."""
    from hand_cases import day

    child = (case.programme_id, md5_of(case.child_id))
    here = marts["fct_child_outcomes"].get(child, [])
    if case.outcome is None or not case.is_in_any_sample:
        assert here == [], case.why
    elif case.tie_la_ids:
        assert here[0]["la_id"] in case.tie_la_ids, case.why
    else:
        (row,) = here
        wanted = {k: v for k, v in case.outcome.items() if k in WIDE}
        assert not {k: (row[k], v) for k, v in wanted.items() if not is_same(row[k], v)}, case.why
    values = {(r["outcome_id"], r["reading_id"]): r for r in marts["fct_outcome_values"].get(child, [])}
    for reading, expected in case.values.items():
        got = values[reading]
        assert (got["is_in_sample"], got["is_fully_observed"]) == expected[:2], (case.why, reading)
        assert is_same(got["outcome_value"], expected[2]), (case.why, reading)
    assert not set(case.without) & set(values), case.why
    if case.terms is not None:
        terms = sorted(marts["fct_absence_terms"].get(child, []), key=lambda r: int(r["term_order"]))
        columns = ("school_year", "term", "sessions_possible_count", "unauthorised_absence_count")
        assert [tuple(r[c] for c in columns) for r in terms] == case.terms, case.why
    if case.spells is not None:
        spells = sorted(marts["fct_referral_spells"].get(("", child[1]), []), key=lambda r: r["referral_date"])
        wanted_spells = [{k: v for k, v in spell.items() if k in spells[0]} for spell in case.spells]
        got_spells = [{k: r[k] for k in w} for r, w in zip(spells, wanted_spells, strict=True)]
        assert got_spells == wanted_spells, case.why
    if case.periods is not None:
        periods = marts["fct_care_periods"].get(("", child[1]), [])
        got_periods = sorted((p["care_start_date"], p["care_end_date"]) for p in periods)
        assert got_periods == [(day(start), day(end)) for start, end in case.periods], case.why


def case_ids(cases: str) -> list[str]:
    import hand_cases

    return [case.name for case in getattr(hand_cases, cases)]


@pytest.mark.parametrize("name", case_ids("CASES"))
def test_named_child(name: str, hand_marts: Marts) -> None:
    from hand_cases import CASES

    check_named_child(next(c for c in CASES if c.name == name), hand_marts)


@pytest.mark.parametrize("name", case_ids("VARIANT_CASES"))
def test_named_child_of_the_made_up_programme(name: str, variant_marts: Marts) -> None:
    from hand_cases import VARIANT_CASES

    check_named_child(next(c for c in VARIANT_CASES if c.name == name), variant_marts)


def test_reference_never_read_the_sql() -> None:
    """Independence: the reference names no model, macro or dbt file."""
    for path in sorted((ROOT / "tests" / "reference").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for word in ("int_spells", "int_cohort", "int_children", "int_outcomes", "stg_c", "stg_n", "models/"):
            assert word not in text, f"{Path(path).name} names {word}"
