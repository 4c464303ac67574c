"""`sfpc shell`: reads marts and results, writes nothing, reaches nothing else, and keeps nothing of what is typed."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from sfpc.cli import main
from sfpc.errors import SfpcError
from sfpc.provenance import shell as module
from sfpc.provenance.shell import Shell, run_shell, statements
from sfpc.settings import Paths


@pytest.fixture
def shell(recorded: Paths) -> Iterator[Shell]:
    held = Shell(recorded, is_csv=True)
    yield held
    held.close()


def test_marts_and_results_need_no_schema(recorded: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    run_shell(
        recorded,
        ["select count(*) > 0 as n from fct_child_outcomes", "select count(*) > 0 as n from results.effects;"],
        is_csv=True,
    )
    assert capsys.readouterr().out.splitlines() == ["n", "True", "n", "True"]


def test_matches_are_queried_beside_the_marts(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run(
        "select count(*) from matched_children as matched left join fct_outcome_values as children"
        " using (programme_id, outcome_id, child_id) where children.child_id is null"
    )
    assert capsys.readouterr().out.splitlines()[1] == "0"


def test_the_verb_runs_one_command(
    recorded: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sfpc.cli.default_paths", lambda: recorded)
    assert main(["shell", "-c", "select 41 + 1 as answer"]) == 0
    assert "answer" in (shown := capsys.readouterr().out) and "42" in shown
    assert main(["shell", "-c", "select nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
    assert main(["shell", "-c", ".nothing"]) == 2


def test_commands_of_the_shell(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run(".tables")
    shown = capsys.readouterr().out
    assert "marts,fct_child_outcomes," in shown and "results,effects," in shown
    shell.run(".describe results.effects")
    assert "estimate,DOUBLE" in capsys.readouterr().out
    shell.run(".describe fct_sample_flow")
    assert "entry_count" in capsys.readouterr().out
    shell.run(".explain effects.csv:1")
    assert "THE INPUT FILES" in capsys.readouterr().out
    shell.run(".help")
    assert ".explain" in capsys.readouterr().out
    assert shell.run(".quit") is False
    assert {"fct_child_outcomes", "specification_id", "select", ".tables"} <= set(shell.words())
    for wrong in (".describe nothing", ".query nothing", ".queries", ".explain", ".nothing"):
        with pytest.raises(SfpcError):
            shell.run(wrong)


@pytest.mark.parametrize(
    "sql",
    [
        "create table marts.more as select 1",
        "create schema more",
        "insert into marts.dim_outcomes select * from marts.dim_outcomes",
        "update results.effects set estimate = 0",
        "delete from results.effects",
        "drop table results.effects",
        "copy (select 1) to '{place}'",
        "copy results.effects to '{place}' (format parquet)",
        "export database '{place}'",
        "attach '{place}' as more",
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "select * from read_blob('{file}')",
        "select * from glob('{folder}/*')",
        "select * from '{file}'",
        "select * from read_parquet('http://localhost:9/x.parquet')",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset enable_external_access",
        "set lock_configuration = false",
        "pragma enable_profiling; pragma profiling_output = '{place}'",
        "set temp_directory = '{folder}'",
    ],
)
def test_it_writes_nothing_and_reaches_nothing(
    shell: Shell, recorded: Paths, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may leave is made by `sfpc release`: no statement writes, opens another file, or opens a socket (DP.5)."""

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = recorded.marts_db.read_bytes()
    place, file = tmp_path / "out", recorded.cost_survey
    with pytest.raises(SfpcError):
        shell.run(sql.format(place=place, file=file, folder=tmp_path))
    assert not list(tmp_path.iterdir())
    assert recorded.marts_db.read_bytes() == before


def test_lines_become_statements() -> None:
    lines = ["", ".tables", "select 1", "  as a;", "select 2;", ".quit", "select 3"]
    assert list(statements(iter(lines))) == [".tables", "select 1\n  as a;", "select 2;", ".quit", "select 3"]


def test_statements_come_in_by_a_pipe(
    recorded: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("select 1\nas a;\n.quit\nselect 2 as b;\n"))
    run_shell(recorded, is_csv=True)
    assert capsys.readouterr().out.splitlines() == ["a", "1"]


def at_prompt(paths: Paths, typed: list[str], monkeypatch: pytest.MonkeyPatch, history: Path | None = None) -> None:
    lines = iter(typed)

    def answer(_: str) -> str:
        try:
            return next(lines)
        except StopIteration as end:
            raise EOFError from end

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin", Terminal())
    run_shell(paths, is_csv=True, history=history)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_mistake_at_the_prompt_does_not_end_it(
    recorded: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_prompt(recorded, ["select nothing;", "select 7 as seven;"], monkeypatch)
    shown = capsys.readouterr()
    assert "nothing" in shown.err and "Not for release" in shown.err
    assert shown.out.splitlines() == ["seven", "7", ""]


def test_what_is_typed_is_kept_nowhere_unless_asked(
    recorded: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    kept: list[str] = []
    monkeypatch.setattr(module, "_keep_history", lambda history: kept.append(str(history)))
    at_prompt(recorded, ["select 1;"], monkeypatch)
    assert kept == ["None"] and not list(tmp_path.iterdir())
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        at_prompt(recorded, ["select 1;"], patch, history=tmp_path / "kept")
    assert (tmp_path / "kept").is_file()


def test_without_marts_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SfpcError, match="no marts at"):
        run_shell(Paths(ROOT, tmp_path, tmp_path), ["select 1"])
