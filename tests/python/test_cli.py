"""The command line and the makefile: verbs are listed, problems are one line, nothing needs a network."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from conftest import ROOT
from sfpc.cli import main


def test_make_alone_lists_the_verbs() -> None:
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    for verb in ("evaluate", "test", "returns", "published", "recovery", "trace", "bench", "bench-landing"):
        assert re.search(rf"make {verb}\s+\S", shown), verb


def test_sfpc_alone_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "evaluate" in capsys.readouterr().out


def test_a_problem_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SFPC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SFPC_OUTPUT_DIR", str(tmp_path / "outputs"))
    for arguments, expected in (
        (["land", "--extracts", str(tmp_path / "nowhere")], "holds no national extract"),
        (["estimate"], "build them first"),
        (["report"], "sfpc report:"),
        (["returns", str(tmp_path / "nowhere")], "expected a folder with statutory returns"),
    ):
        assert main(arguments) == 2, arguments
        errors = capsys.readouterr().err.strip().splitlines()
        assert expected in errors[-1], errors
        assert "Traceback" not in "\n".join(errors)


def test_outside_the_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["land"]) == 2
    assert "no dbt_project.yml" in capsys.readouterr().err


def test_readme_names_the_two_commands_and_the_marts() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = text[:3500]
    assert "make evaluate" in first_screen and "make test" in first_screen
    for path in sorted((ROOT / "models/marts").rglob("*.sql")):
        assert f"`{path.stem}`" in text, path.stem


def test_ci_calls_the_readmes_command() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_no_index_host_and_no_machine_path_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hosts = re.compile("python" + "hosted|py" + r"pi\.org|/wor" + "k/|/ro" + "ot/")
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".parquet"}:
            assert not hosts.search(path.read_text(encoding="utf-8", errors="replace")), name


def test_the_lock_holds_every_package_that_the_project_names() -> None:
    """A fresh machine installs the lock and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    wanted = {re.split(r"[<>=!~; \[]", requirement)[0].lower().replace("_", "-") for requirement in named}
    assert wanted - set(locked) == set()
