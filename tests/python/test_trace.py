"""The verb trace: a clause to its wording, readings, models, tests and results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import ROOT
from sfpc.cli import main
from sfpc.errors import SfpcError
from sfpc.settings import Paths
from sfpc.trace import (
    Result,
    Trace,
    as_text,
    cited_clauses,
    modules_of,
    pytests_by_clause,
    readings_of,
    registered,
    run_pytest,
    run_trace,
    trace,
)

CLAUSE = "FV.PROG.3"
# In two parts, so that these tests are not themselves among those that cite it.
NOWHERE = "DP" + ".6"
UNKNOWN = "FV.OUT" + ".S6"


def test_clauses_in_a_text() -> None:
    assert cited_clauses("FV.CEM.9 to .11, FV.OUT.P") == {"FV.CEM.9", "FV.CEM.10", "FV.CEM.11", "FV.OUT.P"}
    assert cited_clauses("FV.CEM.2 to FV.CEM.4") == {"FV.CEM.2", "FV.CEM.3", "FV.CEM.4"}
    assert cited_clauses("FV.CEM.1, .9 and FV.TREAT.2") == {"FV.CEM.1", "FV.CEM.9", "FV.TREAT.2"}
    assert cited_clauses("nothing") == set()


@pytest.mark.parametrize(
    ("asked", "named"),
    [(UNKNOWN, "FV.OUT.S5"), ("FV.OUT", "FV.OUT.P, FV.OUT.S1"), ("FVOUTP", "FV.OUT.P"), ("?", "nothing in it")],
)
def test_a_clause_that_does_not_exist_names_the_nearest(asked: str, named: str) -> None:
    with pytest.raises(SfpcError, match="no clause") as error:
        registered(ROOT, asked)
    assert named in str(error.value)


def test_the_verb_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["trace", UNKNOWN]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"sfpc trace: no clause '{UNKNOWN}'") and "FV.OUT.S5" in line


def test_a_clause_in_small_letters_is_found() -> None:
    assert registered(ROOT, " fv.out.p ")["clause"] == "FV.OUT.P"


def test_readings_are_rows_and_decisions() -> None:
    said = readings_of(ROOT, "FV.OUT.P")
    assert any(entry.startswith("programme_outcomes.csv row 3: ") and "window_months 12" in entry for entry in said)
    assert any(entry.startswith("DECISIONS D42 ") for entry in said)
    assert not any("FV.OUT.S1" in entry for entry in said)
    exclusions = [entry for entry in readings_of(ROOT, "FV.MATCH.1") if entry.startswith("matching_exclusions.csv")]
    assert len(exclusions) == 9 and "more" in exclusions[-1]


def test_modules_and_pytest_tests_that_cite_a_clause() -> None:
    assert "python/src/sfpc/matching/trends.py" in modules_of(ROOT, "FV.MATCH.2")
    found = pytests_by_clause(ROOT)
    assert "tests/python/test_warehouse.py::test_trial_period_and_treatment_of_the_protocol" in found[CLAUSE]
    assert NOWHERE not in found


@pytest.fixture
def traced(synthetic: Paths, tmp_path: Path) -> Paths:
    """A project whose landing is that of the synthetic run and nothing else."""
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    paths.data.mkdir()
    paths.landing.symlink_to(synthetic.landing)
    return paths


def test_models_of_a_clause_are_built_and_tested(traced: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    run_trace(traced, CLAUSE, with_pytest=False)
    page = capsys.readouterr().out
    assert f"{CLAUSE}: implemented in sql" in page
    assert "The trial period runs from six months before" in page
    assert "programmes.csv row 2: programme_id family_valued" in page
    assert "int_programmes__trial_periods  (built)" in page
    assert "PASS  unit test  int_programmes__trial_periods" in page
    assert "PASS  data test" in page
    assert {path.name for path in traced.data.iterdir()} <= {"landing", "tmp"}, "nothing is left behind"


def test_a_test_that_fails_is_named(traced: Paths, tmp_path: Path) -> None:
    """The seeds of a copy of the project break a test: the trace shows which, and the verb ends with a problem."""
    root = tmp_path / "project"
    for name in ("models", "macros", "seeds", "tests/dbt", "analysis", "python/src/sfpc/matching"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("dbt_project.yml", "profiles.yml", "DECISIONS.md"):
        shutil.copy(ROOT / name, root / name)
    model = root / "models/intermediate/programmes/int_programmes__trial_periods.sql"
    text = model.read_text(encoding="utf-8")
    assert "'-programmes.months_before" in text
    model.write_text(text.replace("'-programmes.months_before", "'-1 -programmes.months_before"), encoding="utf-8")
    paths = Paths(root, traced.data, traced.outputs)
    found = trace(paths, CLAUSE, with_pytest=False)
    assert {(test.kind, test.where, test.status) for test in found.bad} == {
        ("unit test", "int_programmes__trial_periods", "fail")
    }
    assert as_text(found).splitlines()[-1].endswith("tests passed.")
    with pytest.raises(SfpcError, match="did not pass"):
        run_trace(paths, CLAUSE, with_pytest=False)


def test_a_clause_without_models_says_so(traced: Paths) -> None:
    found = trace(traced, NOWHERE)
    assert (found.status, found.models, found.tests) == ("planned", {}, [])
    assert "none ran" in as_text(found)


def test_pytest_tests_run_and_are_told(tmp_path: Path) -> None:
    results = run_pytest(ROOT, ["tests/python/test_trace.py::test_clauses_in_a_text"], tmp_path)
    assert results == [Result("pytest", "test_clauses_in_a_text", "tests/python/test_trace.py", "pass")]
    with pytest.raises(SfpcError, match="pytest did not run"):
        run_pytest(tmp_path, ["test_that_is_not_there.py"], tmp_path)


def test_a_page_lists_what_failed_first() -> None:
    found = Trace("FV.OUT.P", "Wording", "implemented", "sql")
    found.tests = [Result("data test", "unique(a)", "m", "pass"), Result("pytest", "test_b", "f.py", "fail")]
    lines = as_text(found).splitlines()
    start = lines.index("Tests")
    assert lines[start + 1].split() == ["FAIL", "pytest", "f.py", "test_b"]
    assert lines[-1] == "1 of 2 tests passed."
