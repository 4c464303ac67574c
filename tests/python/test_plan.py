"""The plan lock: what is locked, how a change is named, deviations, and the form for pre-registration."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conftest import ROOT
from sfpc.cli import main
from sfpc.errors import InputError, SfpcError
from sfpc.plan import DEVIATIONS_FILE, LOCK_FILE, export, lock, read_deviations, status
from sfpc.settings import Paths

MOMENT = datetime(2026, 3, 31, tzinfo=UTC)
SETTINGS = Path("seeds/protocol/evaluation_settings.csv")
SPECIFICATIONS = Path("seeds/protocol/specifications.csv")


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    """A copy of everything that a plan is made of."""
    root = tmp_path / "project"
    for name in ("seeds", "models", "macros", "python/src/sfpc"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dbt_project.yml", root)
    return Paths(root, root / "data", root / "outputs")


def change(project: Paths, file: Path | str, old: str, new: str) -> None:
    path = project.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_without_a_lock_estimates_are_exploratory(project: Paths) -> None:
    now = status(project)
    assert (now.state, now.is_exploratory, now.changes) == ("absent", True, ())
    assert "exploratory" in now.sentence


def test_a_locked_plan_is_locked_and_dated(project: Paths) -> None:
    now = lock(project, moment=MOMENT)
    assert (now.state, now.is_exploratory, now.locked_on) == ("locked", False, "2026-03-31")
    assert status(project) == now
    assert re.fullmatch("[0-9a-f]{64}", now.plan_sha256)
    assert "follow the analysis plan locked on 2026-03-31" in now.sentence
    held = json.loads((project.root / LOCK_FILE).read_text(encoding="utf-8"))
    for part in (str(SETTINGS), str(SPECIFICATIONS), "seeds/programmes/programmes.csv", "definitions in SQL"):
        assert part in held["parts"]


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        (
            SETTINGS,
            "significance_level,0.05",
            "significance_level,0.1",
            "significance_level: value was '0.05', is '0.1'",
        ),
        (SPECIFICATIONS, "att_imputation,became", "att_other,became", "att_other"),
        (
            SPECIFICATIONS,
            "logit,cem_protocol,is_treated,default,all,as_levels,default,true",
            "logit,none,is_treated,default,all,as_levels,default,true",
            "weights was 'cem_protocol', is 'none'",
        ),
        (
            "seeds/protocol/programme_outcomes.csv",
            "care_start,18,",
            "care_start,12,",
            "window_months was '18', is '12'",
        ),
        ("seeds/protocol/protocol_clauses.csv", "Significance at 5", "Significance at 10", "FV.EST.5: wording was"),
        ("seeds/programmes/programme_local_authorities.csv", "2021-07-01", "2021-08-01", "go_live_date was"),
        ("seeds/codesets/placement_codes.csv", "\n", "\nZ9,new\n", "Z9"),
        ("models/intermediate/outcomes/int_outcomes__plan_days.sql", "select", "SELECT", "int_outcomes__plan_days.sql"),
        ("macros/dates.sql", "macro", "macro ", "macros/dates.sql was changed"),
        ("python/src/sfpc/estimation/linear.py", '"""', '""" ', "estimation/linear.py was changed"),
        ("python/src/sfpc/evaluation.py", '"""', '""" ', "evaluation.py was changed"),
    ],
)
def test_every_change_is_named(project: Paths, file: Path | str, old: str, new: str, named: str) -> None:
    lock(project, moment=MOMENT)
    change(project, file, old, new)
    now = status(project)
    assert now.state == "changed" and now.is_exploratory
    assert any(named in what.what for what in now.changes), now.changes
    assert len(now.parts) == 1 and now.parts[0] in now.sentence


def test_files_that_come_or_go_are_named(project: Paths) -> None:
    lock(project, moment=MOMENT)
    (project.root / "seeds/protocol/matching_windows.csv").unlink()
    (project.root / "seeds/protocol/new.csv").write_text("a\n1\n", encoding="utf-8")
    (project.root / "models/new.sql").write_text("select 1\n", encoding="utf-8")
    told = {(c.part, c.what) for c in status(project).changes}
    assert told == {
        ("seeds/protocol/matching_windows.csv", "is no longer there"),
        ("seeds/protocol/new.csv", "is new"),
        ("definitions in SQL", "models/new.sql is new"),
    }


def rewritten(path: Path, write: Callable[[list[list[str]]], list[list[str]]], ending: str = "\r\n") -> None:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    with path.open("w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(write(rows))


def test_form_is_not_content(project: Paths) -> None:
    """Order of rows and columns, quotes, line ends and blanks change nothing; nor does what makes no number."""
    lock(project, moment=MOMENT)
    rewritten(project.root / SETTINGS, lambda rows: [rows[0], *rows[:0:-1]])
    rewritten(project.root / SPECIFICATIONS, lambda rows: [row[::-1] for row in rows])
    rewritten(
        project.root / "seeds/protocol/outcomes.csv",
        lambda rows: (
            [[f" {value} " for value in row] for row in rows[1:]]
            and [rows[0], *([f" {value} " for value in row] for row in rows[1:])]
        ),
    )
    change(project, "seeds/protocol/protocol_clauses.csv", ",planned,", ",implemented,")
    change(project, "python/src/sfpc/report/words.py", '"""', '""" ')
    change(project, "python/src/sfpc/release/door.py", '"""', '""" ')
    change(project, "seeds/protocol/published_tables.csv", "\n", "\n\n")
    assert status(project).state == "locked", status(project).changes


def test_a_lock_is_not_replaced_without_a_reason(project: Paths) -> None:
    first = lock(project, moment=MOMENT)
    with pytest.raises(SfpcError, match="say why"):
        lock(project)
    with pytest.raises(SfpcError, match="nothing changed"):
        lock(project, "to be sure")
    change(project, SETTINGS, "significance_level,0.05", "significance_level,0.1")
    with pytest.raises(SfpcError, match="say why"):
        lock(project, "  ")
    assert status(project).plan_sha256 == first.plan_sha256
    second = lock(project, "The funder asked for it", MOMENT.replace(year=2027))
    assert second.state == "locked" and second.locked_on == "2027-03-31"
    assert second.history == (("2026-03-31", first.plan_sha256, "The funder asked for it"),)
    assert second.plan_sha256 != first.plan_sha256


def test_a_lock_that_was_edited_is_no_lock(project: Paths) -> None:
    lock(project, moment=MOMENT)
    change(project, LOCK_FILE, "2026-03-31", "2025-03-31")
    now = status(project)
    assert now.state == "changed" and now.parts == (LOCK_FILE,)
    (project.root / LOCK_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(SfpcError, match="is not a lock"):
        status(project)


def test_a_lock_after_results_on_real_data_does_not_confirm(project: Paths) -> None:
    project.results.mkdir(parents=True)
    (project.results / "run.json").write_text('{"run_id": "r1"}', encoding="utf-8")
    now = lock(project, moment=MOMENT)
    assert (now.state, now.results_seen, now.is_exploratory) == ("locked", "r1", True)
    assert "had been seen" in now.sentence


def test_results_on_synthetic_data_are_no_results(project: Paths) -> None:
    project.results.mkdir(parents=True)
    (project.results / "run.json").write_text('{"run_id": "r1"}', encoding="utf-8")
    project.truth.mkdir(parents=True)
    assert not lock(project, moment=MOMENT).is_exploratory


def test_the_commit_is_told_where_there_is_one(project: Paths) -> None:
    assert lock(project, moment=MOMENT).git_commit == ""

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", "-C", str(project.root), *who, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "all")
    change(project, SETTINGS, "significance_level,0.05", "significance_level,0.1")
    now = lock(project, "changed", MOMENT)
    assert now.git_commit == f"{git('rev-parse', 'HEAD')}, with changes that are not committed"
    # The lock itself is committed, and another commit changes no number.
    git("commit", "-q", "-a", "-m", "locked")
    assert status(project).state == "locked"


def deviate(project: Paths, *rows: str, header: str = "date,clause,what,reason") -> None:
    (project.root / DEVIATIONS_FILE).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def test_deviations_are_listed_with_their_reasons(project: Paths) -> None:
    assert read_deviations(project.root) == []
    deviate(
        project, "2026-05-01,FV.EST.4,Logit throughout,Rates fell", "2026-04-01,FV.CEM.3,Four age bands,Few infants", ""
    )
    assert [(d.day.isoformat(), d.clause) for d in status(project).deviations] == [
        ("2026-04-01", "FV.CEM.3"),
        ("2026-05-01", "FV.EST.4"),
    ]
    markdown, _ = export(project)
    assert "| 2026-05-01 | FV.EST.4 | Logit throughout | Rates fell |" in markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("2026-05-01,FV.EST.4,Logit throughout,", "column reason"),
        ("2026-05-01,FV.EST.4,,Rates fell", "column what"),
        ("01/05/2026,FV.EST.4,Logit,Rates fell", "column date"),
        ("2026-05-01,FV.EST,Logit,Rates fell", "no clause of the register"),
        ("2026-05-01,FV.EST.4,Logit", "4 are expected"),
    ],
)
def test_a_deviation_that_cannot_be_used_is_named(project: Paths, row: str, expected: str) -> None:
    deviate(project, row)
    with pytest.raises(InputError, match=expected) as caught:
        status(project)
    assert "row 2" in str(caught.value)
    deviate(project, header="date,clause,what")
    with pytest.raises(InputError, match="header"):
        status(project)


def test_the_form_says_what_a_registration_asks_for(project: Paths) -> None:
    now = lock(project, moment=MOMENT)
    markdown, page = (path.read_text(encoding="utf-8") for path in export(project))
    assert now.plan_sha256 in markdown and "Locked on 2026-03-31" in markdown

    def rows(file: str) -> list[dict[str, str]]:
        with (ROOT / "seeds" / file).open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    for programme in rows("programmes/programmes.csv"):
        assert f"## Programme: {programme['programme_name']}" in markdown
    for outcome in rows("protocol/outcomes.csv"):
        assert outcome["label"] in markdown
    for specification in rows("protocol/specifications.csv"):
        assert specification["label"] in markdown
    for setting in rows("protocol/evaluation_settings.csv"):
        assert f"| {setting['setting']} | {setting['value']} |" in markdown
    for reading in rows("protocol/programme_outcomes.csv"):
        assert reading["is_default"] == "true" or f"| {reading['reading_id']} |" in markdown
    for clause in (
        "FV.PROG.1",
        "FV.SAMPLE.1",
        "FV.TREAT.1",
        "FV.MATCH.4",
        "FV.CEM.10",
        "FV.EST.3",
        "FV.EST.4",
        "FV.EST.8",
    ):
        assert f"({clause})" in markdown, clause
        assert f"({clause})" in page, clause
    assert page.startswith("<!doctype html>") and '<html lang="en-GB">' in page
    assert page.count("<h1>") == 1 and "<table aria-label=" in page and 'scope="col"' in page
    assert not re.search(r"(?:src|href)=|url\(|https?://", page)
    assert "None is listed." in markdown


def test_the_verbs(project: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("SFPC_DATA_DIR", raising=False)
    monkeypatch.delenv("SFPC_OUTPUT_DIR", raising=False)
    assert main(["plan", "check"]) == 1
    assert "absent" in capsys.readouterr().err
    assert main(["plan", "lock"]) == 0
    assert main(["plan", "check"]) == 0
    assert main(["plan", "lock"]) == 2
    assert "--reason" in capsys.readouterr().err
    change(project, SETTINGS, "significance_level,0.05", "significance_level,0.1")
    assert main(["plan", "check"]) == 1
    assert "significance_level: value was '0.05', is '0.1'" in capsys.readouterr().err
    assert main(["plan", "lock", "--reason", "asked for"]) == 0
    assert main(["plan", "export"]) == 0
    assert (project.outputs / "plan" / "preregistration.html").is_file()
    assert "may be passed on" in (project.outputs / "plan" / "NOT_FOR_RELEASE.txt").read_text(encoding="utf-8")
    assert main(["plan", "export", "--to", str(project.root / "elsewhere")]) == 0
    assert (project.root / "elsewhere" / "preregistration.md").is_file()
