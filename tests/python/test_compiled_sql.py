"""The compiled models: a change of any definition is noticed, and the text keeps to the SQL that engines share."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter

import duckdb
import pytest

from conftest import ROOT
from sfpc.settings import Paths

MUTATED = ("outcomes", "cohort", "spells", "covariates")
# The scale of a quarter over LAs, which the tests of matching prove; what it counts is compared here.
NOT_MUTATED = {"int_outcomes__la_quarters"}
DRAWN = int(os.environ.get("SFPC_DRAWN_CHILDREN", "900"))
DRAWN_TO_COMPARE = int(os.environ.get("SFPC_DRAWN_TO_COMPARE", "4000"))
FAST_SLICE = 3

from hand_cases import CASES, VARIANT_CASES, all_tables  # noqa: E402
from landing_rows import read_seeds  # noqa: E402
from mutants import Mutant, mutants_of, seed_mutants  # noqa: E402
from portability import traps_in_source, traps_of  # noqa: E402
from proof import Stage, disagreements, drawn_children, tables_of, verdict, without_minimum, without_ties  # noqa: E402
from replay import Project, Replay, compile_project  # noqa: E402
from test_reference_agreement import check_named_child, summary  # noqa: E402
from variant_seeds import variant_of  # noqa: E402

SEEDS = without_minimum(read_seeds(ROOT / "seeds"))
VARIANT = without_minimum(variant_of(SEEDS))
# Where only a hash decides between LAs, the flow and the trends of an LA cannot be compared.
DECIDED = [case for case in CASES if not case.tie_la_ids]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("compiled")
    return compile_project(Paths(ROOT, folder / "data", folder / "outputs"), folder / "target")


@pytest.fixture(scope="session")
def by_hand(project: Project) -> Stage:
    return Stage.of("hand-written", project, SEEDS, all_tables(DECIDED), DECIDED)


@pytest.fixture(scope="session")
def by_hand_in_variant(project: Project) -> Stage:
    return Stage.of("made-up programme", project, VARIANT, all_tables(DECIDED + VARIANT_CASES), VARIANT_CASES)


@pytest.fixture(scope="session")
def equivalent() -> list[dict[str, str]]:
    with (ROOT / "tests" / "mutation" / "equivalent.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_listed(mutant: Mutant, row: dict[str, str]) -> bool:
    """Whether a row of equivalent.csv is about a mutant: what does it, and why nothing can come of it."""
    return bool(re.fullmatch(row["model"], mutant.model) and re.search(row["change"], mutant.around))


def mutants_in(project: Project) -> list[Mutant]:
    models = (m for m in project.models.values() if m.name not in NOT_MUTATED)
    chosen = [m for m in models if m.path.split("/")[1] in MUTATED]
    return [mutant for model in chosen for mutant in mutants_of(model.name, model.sql)]


def test_replayed_sql_gives_what_was_worked_out_by_hand(by_hand: Stage) -> None:
    marts = by_hand.rows(set())
    for case in by_hand.cases:
        check_named_child(case, marts)


def test_some_mutants_of_every_outcome_are_noticed(
    project: Project, by_hand: Stage, equivalent: list[dict[str, str]]
) -> None:
    """A slice of the long test, so that its machinery cannot rot: the first comparisons of each outcome model."""
    for name in (
        n for n in project.models if n.startswith("int_outcomes__") and n not in {"int_outcomes__all", *NOT_MUTATED}
    ):
        model = project.models[name]
        kinds = {"comparison", "code list", "join condition"}
        some = [
            mutant
            for mutant in mutants_of(name, model.sql)
            if mutant.kind in kinds and not any(is_listed(mutant, row) for row in equivalent)
        ]
        found = [verdict([by_hand], mutant) for mutant in some[:FAST_SLICE]]
        assert found == ["hand-written"] * FAST_SLICE, (name, found)


def test_what_changes_nothing_is_not_noticed(project: Project, by_hand: Stage) -> None:
    """The control: a text that says the same, and one that does not run."""
    model = project.models["int_outcomes__reunified"]
    same = Mutant(model.name, "none", "", "", 0, model.sql.replace("<= windows", "<=  windows"), "")
    broken = Mutant(model.name, "none", "", "", 0, "select no_such_column", "")
    assert verdict([by_hand], same) == "survived"
    assert verdict([by_hand], broken) == "does not run"


def test_some_changed_rows_of_the_protocol_are_noticed(by_hand: Stage) -> None:
    windows = [m for m in seed_mutants(SEEDS, "family_valued") if " default: window_months" in m.around]
    assert len(windows) == 10
    assert [m.label for m in windows if by_hand.case_that_notices(m) is None] == []


@pytest.mark.long
def test_no_mutant_survives(
    project: Project, by_hand: Stage, by_hand_in_variant: Stage, equivalent: list[dict[str, str]]
) -> None:
    """A window, an inequality, a code list, a join or a fallback changed anywhere makes a comparison fail.

    Prints how many were noticed by whom, and every survivor; one that equivalent.csv does not name fails here.
    """
    drawn = without_ties(drawn_children(DRAWN), VARIANT)
    stages = [by_hand, by_hand_in_variant, Stage.of("drawn", project, VARIANT, tables_of(drawn))]
    counts: Counter[str] = Counter()
    survivors, used = [], set()
    for mutant in mutants_in(project):
        noticed = verdict(stages, mutant)
        counts[noticed] += 1
        if noticed == "survived":
            listed = [number for number, row in enumerate(equivalent) if is_listed(mutant, row)]
            used |= set(listed)
            if not listed:
                survivors.append(mutant.label)
    for mutant in seed_mutants(SEEDS, "family_valued"):
        noticed = "hand-written row" if by_hand.case_that_notices(mutant) else "survived"
        counts[noticed] += 1
        if noticed == "survived":
            listed = [number for number, row in enumerate(equivalent) if is_listed(mutant, row)]
            used |= set(listed)
            if not listed:
                survivors.append(mutant.label)
    print(f"\n{sum(counts.values())} mutants: {dict(counts)}; survivors: {survivors or 'none'}")
    assert not survivors
    stale = [row["change"] for number, row in enumerate(equivalent) if number not in used]
    assert not stale, f"equivalent.csv lists what no surviving mutant is: {stale}"
    assert counts["does not run"] <= sum(counts.values()) // 50, counts


@pytest.mark.long
def test_drawn_children_agree(project: Project) -> None:
    """Thousands of children near the edges, drawn by Hypothesis, through SQL and reference: disagreements 0."""
    # Where only a hash decides between two LAs of one day, the reference cannot say in whose flow a child stands.
    drawn = without_ties(drawn_children(DRAWN_TO_COMPARE), VARIANT)
    tables = tables_of(drawn)
    replay = Replay(project, VARIANT, tables, Stage.marts())
    found = disagreements(replay.connection, tables, VARIANT)
    assert not found, summary(found)
    children = replay.connection.execute(
        "select programme_id, count(*) from marts.fct_child_outcomes group by programme_id"
    ).fetchall()
    print(f"\n{len(drawn)} children drawn; in samples: {dict(children)}")
    assert len(drawn) >= DRAWN_TO_COMPARE * 0.9
    assert len(children) == len(VARIANT["programmes"])


def test_no_silent_trap_of_another_engine(project: Project) -> None:
    found = [f"{m.name}: {trap}" for m in project.models.values() for trap in traps_of(m.name, m.sql)]
    found += [
        f"{path.name}: {trap}"
        for path in sorted((ROOT / "models").rglob("*.sql"))
        for trap in traps_in_source(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        'select "Col" from seeds.outcomes',
        "select a / b as share from t",
        "select a // b from t",
        "select hash(a) from t",
        "select cast(a as float) from t",
        "select concat(a, b) from t",
        "select regexp_replace(a, b, c) from t",
        "select a ~ b from t",
        "select round(a) from t",
        "select date_trunc('month', a) from t",
        "select trim(a, 'x') from t",
        "select cast(a as varchar) from t",
        "select arg_min(a, b) from t",
        "select a from t qualify row_number() over (order by child_id) = 1",
        "select row_number() over (partition by child_id order by closure_date) from t",
        "select row_number() over (order by child_id, closure_date desc) from t",
        "select cast(value as integer) from t",
    ],
)
def test_a_trap_is_found(text: str) -> None:
    assert list(traps_of("stg_made_up", text))


def test_sound_text_has_no_trap() -> None:
    text = (
        "select cast(date_trunc('month', a) as date), 100 * a / nullif(b, 0), md5(a || '~'), "
        "row_number() over (partition by x order by child_key, closure_date desc nulls last, coalesce(y, '')) from t"
    )
    assert list(traps_of("stg_made_up", text)) == []
    assert list(traps_in_source("select {{ dbt.listagg('a', \"','\") }}")) == []
    assert list(traps_in_source("select string_agg(a, ',') from t"))


def test_changed_text_reaches_everything_that_hangs_on_it(by_hand: Stage) -> None:
    """The replay rebuilds descendants of what changed and leaves the original as it was."""
    before = by_hand.replay.connection.execute("select count(*) from marts.fct_care_periods").fetchone()
    model = by_hand.replay.models["int_spells__care_episodes"]
    changed = set(by_hand.replay.changed(model.name, f"select * from ({model.sql}) as all_rows where false"))
    assert {"fct_care_periods", "fct_child_outcomes", "fct_outcome_values", "fct_sample_flow"} <= changed
    assert by_hand.replay.connection.execute("select count(*) from mutant.fct_care_periods").fetchone() == (0,)
    assert by_hand.replay.connection.execute("select count(*) from marts.fct_care_periods").fetchone() == before
    with pytest.raises(duckdb.Error):
        list(by_hand.replay.changed(model.name, "select nothing"))
