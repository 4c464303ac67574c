"""The data dictionary: every table and column with its meaning, the worked queries with results, dbt's own pages."""

from __future__ import annotations

import html
import re
from pathlib import Path

import duckdb
import pytest

from browser import browser, look_at
from conftest import ROOT
from sfpc.cli import main
from sfpc.provenance.dictionary import DBT_DOCS, PAGE
from sfpc.provenance.queries import read_queries
from sfpc.provenance.results_dictionary import results_dictionary
from sfpc.provenance.shell import Shell
from sfpc.settings import Paths


@pytest.fixture(scope="module")
def written(recorded: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The dictionary of the recorded run, written once by the verb, with dbt's documentation."""
    paths = Paths(ROOT, recorded.data, tmp_path_factory.mktemp("dictionary") / "outputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sfpc.cli.default_paths", lambda: paths)
        assert main(["dictionary"]) == 0
    return paths


@pytest.fixture(scope="module")
def page(written: Paths) -> str:
    return (written.dictionary / PAGE).read_text(encoding="utf-8")


def test_every_table_and_column_stands_there_with_its_meaning(written: Paths, page: str) -> None:
    text = html.unescape(page)
    with duckdb.connect(str(written.marts_db), read_only=True) as connection:
        rows = connection.execute(
            "select schema_name, table_name, column_name, comment from duckdb_columns() "
            "where schema_name in ('marts', 'results')"
        ).fetchall()
    assert len(rows) > 900
    for schema, table, column, comment in rows:
        (block,) = re.findall(rf'<details class="study" id="{schema}\.{table}">.*?</table>', text, re.DOTALL)
        assert f"<code>{column}</code>" in block, (table, column)
        assert re.sub(r"(\d) %", r"\1%", comment) in block, (table, column)
    for name in results_dictionary():
        assert f'href="#results.{name}"' in page


def test_marts_show_grain_clauses_rows_and_tests(written: Paths, page: str) -> None:
    (block,) = re.findall(r'id="marts\.fct_child_outcomes">.*?</details>\s*</details>', page, re.DOTALL)
    assert "one row per programme and child" in block and "FV.OUT.P" in block
    assert "models/marts/evaluation/fct_child_outcomes.sql" in block and "tests of the rows" in block
    with duckdb.connect(str(written.marts_db), read_only=True) as connection:
        (rows,) = connection.execute("select count(*) from marts.fct_child_outcomes").fetchone() or (0,)
    assert f"Rows: {rows:,}." in block


def test_worked_queries_stand_there_with_their_results(written: Paths, page: str) -> None:
    queries = read_queries(written)
    assert queries.keys() == {path.stem for path in (ROOT / "analysis").glob("*.sql")}
    for query in queries.values():
        assert query.question.endswith("?"), query.name
        assert f'id="query-{query.name}"' in page
        assert "{{" not in query.sql and '"build"' not in query.sql
    assert "does not run" not in page


def test_the_shell_runs_the_worked_queries(written: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(written)
    try:
        shell.run(".queries")
        assert "participant_flow" in capsys.readouterr().out
        for name in read_queries(written):
            shell.run(f".query {name}")
        assert "treatment_las" in capsys.readouterr().out
        assert "participant_flow" in shell.words()
    finally:
        shell.close()


def test_it_is_marked_and_asks_for_nothing(written: Paths, page: str) -> None:
    assert "Internal: not for release" in page
    assert (written.dictionary / "NOT_FOR_RELEASE.txt").is_file()
    assert not re.search(r"""(src|href)=["']?https?:""", page) and "@import" not in page
    docs = (written.dictionary / DBT_DOCS).read_text(encoding="utf-8")
    assert "connect-src 'none'" in docs[:4000] and "fct_child_outcomes" in docs
    for place in (ROOT, written.data, Path.home()):
        assert str(place) not in docs and (str(place) not in page or str(place) == "/")
    assert not (written.data / "documenting").exists()


def test_it_fits_wide_and_narrow_windows(written: Paths, tmp_path: Path) -> None:
    """In a browser where there is one; else every wide thing is in a box that scrolls, by its text."""
    program = browser()
    text = (written.dictionary / PAGE).read_text(encoding="utf-8")
    assert text.count("<table") == text.count('<div class="scroll"')
    if program is not None:
        for width in (1280, 390):
            seen = look_at(program, written.dictionary / PAGE, width, tmp_path)
            assert seen.title == "Data dictionary" and seen.asked == [] and seen.overflow <= 0, width


def test_without_dbts_documentation(
    written: Paths, recorded: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page stands without it, and does not link to what is not there."""
    paths = Paths(ROOT, written.data, tmp_path)
    monkeypatch.setattr("sfpc.provenance.dictionary.run_dbt", lambda *_, **__: None)
    monkeypatch.setattr("sfpc.cli.default_paths", lambda: paths)
    assert main(["dictionary", "--no-dbt-docs"]) == 0
    assert DBT_DOCS not in (paths.dictionary / PAGE).read_text(encoding="utf-8")
