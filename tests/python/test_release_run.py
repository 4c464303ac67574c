"""The verb `sfpc release` on an evaluated synthetic set: what leaves fits the marts, and nothing small is in it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from conftest import ROOT
from sfpc.cli import main
from sfpc.release.bundle import INDEX, faults_of_bundle
from sfpc.release.door import read_bundle, releases, status_of, verify
from sfpc.release.judge import FEW, TO_PROTECT
from sfpc.release.ledger import read_ledger
from sfpc.release.markers import MARKER
from sfpc.settings import Paths

MARK = "[c]"


@pytest.fixture(scope="module")
def released(evaluated: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A copy of the evaluation, released once by the verb."""
    folder = tmp_path_factory.mktemp("release")
    paths = Paths(ROOT, evaluated.data, folder / "outputs")
    shutil.copytree(evaluated.outputs, paths.outputs)
    with pytest.MonkeyPatch.context() as patch:
        use(paths, patch)
        assert main(["release", "--by", "A. Analyst"]) == 0
    return paths


def use(paths: Paths, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(ROOT)
    patch.setenv("SFPC_DATA_DIR", str(paths.data))
    patch.setenv("SFPC_OUTPUT_DIR", str(paths.outputs))


def files(paths: Paths) -> dict[str, bytes]:
    return read_bundle(paths.outputs, releases(paths.outputs)[0])


def tables(paths: Paths, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for file, content in files(paths).items():
        if file.endswith(f"__{name}.csv"):
            found += csv.DictReader(io.StringIO(content.decode()))
    return found


def children(paths: Paths, sql: str) -> pd.DataFrame:
    with duckdb.connect(str(paths.marts_db), read_only=True) as connection:
        return connection.execute(sql).df()


def test_the_bundle_opens_in_the_viewer_and_is_whole(released: Paths) -> None:
    held = files(released)
    assert faults_of_bundle(held) == []
    assert verify(released.outputs) == []
    index = json.loads(held[INDEX])
    run = json.loads((released.results / "run.json").read_text(encoding="utf-8"))
    assert index["release"]["data"]["run_id"] == run["run_id"]
    assert index["release"]["data"]["marts"] == run["marts"]
    assert set(index["release"]["data"]["results"]) == {f.name for f in released.results.glob("*.parquet")}
    for name in (
        "children",
        "outcome",
        "outcome_by_la",
        "effects",
        "inference",
        "missing",
        "matched_shares",
        "balance",
    ):
        assert any(f.endswith(f"__{name}.csv") for f in held), name
    assert any(f.endswith("effects_figure.svg") for f in held)


def test_counts_are_rounded_hidden_or_structural_and_near_the_truth(released: Paths) -> None:
    """DP.5: every cell of the flow against distinct children counted another way, in pandas."""
    truth = children(
        released,
        "select programme_id, outcome_id, child_id, is_treatment_la, is_treated from marts.fct_outcome_values"
        " where is_default_reading",
    )
    checked = 0
    for row in tables(released, "children"):
        if row["step"] != "all" or row["arm"] == "all" or row["children"] == MARK:
            continue
        mine = truth[(truth["programme_id"] == row["programme"]) & (truth["outcome_id"] == row["outcome"])]
        arm = {
            "treated": mine["is_treated"],
            "comparison LA": ~mine["is_treatment_la"],
            "treatment LA before go-live": mine["is_treatment_la"] & ~mine["is_treated"],
        }[row["arm"]]
        count = mine[arm]["child_id"].nunique()
        assert abs(int(row["children"]) - count) <= 2
        checked += 1
    assert checked >= 6
    for name in ("children", "outcome", "outcome_by_la", "missing", "matched_shares"):
        for row in tables(released, name):
            for column in ("children", "children_with_it"):
                value = row.get(column, "")
                assert value in ("", MARK) or int(value) % 5 == 0, row
                assert value in ("", MARK, "0") or int(value) >= 10, row


def test_rates_are_those_of_the_rounded_counts(released: Paths) -> None:
    seen = 0
    for name in ("outcome", "outcome_by_la", "missing", "matched_shares"):
        for row in tables(released, name):
            rate = row.get("rate_pct", "")
            if rate in ("", MARK):
                continue
            assert float(rate) == round(100 * int(row["children_with_it"]) / int(row["children"]), 1)
            seen += 1
    assert seen > 20


def test_effects_are_those_of_the_results_without_their_notes(released: Paths) -> None:
    with duckdb.connect() as connection:
        effects = connection.execute(f"from '{released.results / 'effects.parquet'}'").df()
    keys = ["programme", "outcome", "specification_id", "scale"]
    held = {tuple(row[key] for key in keys): row for row in tables(released, "effects")}
    assert held
    for row in effects.to_dict("records"):
        found = held.get((row["programme_id"], row["outcome_id"], row["specification_id"], row["scale"]))
        if found is None:
            continue
        if row["estimate"] != row["estimate"]:
            assert found["estimate"] == ""
            continue
        assert float(found["estimate"]) == round(row["estimate"], 3)
        assert found["children"] == MARK or abs(int(found["children"]) - row["children_count"]) <= 2
    # A note can say that all children of a group had the event.
    assert all("note" not in row for row in held.values())
    everything = b"\n".join(c for n, c in files(released).items() if n.endswith((".csv", ".txt", ".svg", ".json")))
    assert b"separation" not in everything


def test_no_true_small_count_and_no_child_is_in_the_bundle(released: Paths) -> None:
    codes = children(released, "select child_id from marts.fct_child_outcomes limit 5000")["child_id"]
    everything = "\n".join(c.decode() for n, c in files(released).items() if not n.endswith(".xlsx"))
    found = set(re.findall(r"[0-9a-f]{20,}", everything))
    assert not found & set(codes)
    (entry,) = read_ledger(released.outputs).entries
    small = [c for t in entry["tables"] for c in t["cells"] if 0 < c["count"] < 10]
    assert small, "the small set has small cells, or this shows nothing"
    assert all(cell["shown"] is None for cell in small)
    reasons = [cell["reason"] for t in entry["tables"] for cell in t["cells"]]
    assert 0 < sum(reason in (FEW, TO_PROTECT) for reason in reasons) < 0.4 * len(reasons)


def test_everything_else_says_that_it_is_not_for_release(released: Paths) -> None:
    for folder in released.outputs.iterdir():
        if folder.is_dir():
            assert (folder / MARKER).is_file() == (folder.name != "release"), folder
    assert (released.outputs / MARKER).is_file()


def test_the_verb_checks_verifies_and_marks(
    released: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Paths(ROOT, released.data, tmp_path / "outputs")
    shutil.copytree(released.outputs, paths.outputs)
    use(paths, monkeypatch)
    (release_id,) = releases(paths.outputs)
    assert main(["release", "--verify"]) == 0
    assert main(["release", "--mark-checked", release_id]) == 2
    assert main(["release", "--mark-checked", release_id, "--by", "A. Checker"]) == 0
    assert status_of(paths.outputs, release_id) == "checked"
    assert main(["release", "--verify"]) == 0
    assert "checked" in capsys.readouterr().err
    before = sorted(p.as_posix() for p in paths.outputs.rglob("*"))
    assert main(["release", "--check", "--profile", "opensafely"]) == 0
    assert "opensafely" in capsys.readouterr().err
    assert sorted(p.as_posix() for p in paths.outputs.rglob("*")) == before
    assert main(["release", "--profile", "lax"]) == 2
    assert "no profile 'lax'" in capsys.readouterr().err
    target = paths.outputs / "release" / release_id
    next(target.glob("*__children.csv")).write_text("x", encoding="utf-8")
    assert main(["release", "--verify"]) == 1
    assert "was changed" in capsys.readouterr().err


def test_results_of_another_run_are_not_released(
    released: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Paths(ROOT, released.data, tmp_path / "outputs")
    shutil.copytree(released.results, paths.results)
    use(paths, monkeypatch)
    run = paths.results / "run.json"
    record: dict[str, Any] = json.loads(run.read_text(encoding="utf-8"))

    def offer(changed: dict[str, Any]) -> str:
        run.write_text(json.dumps({**record, **changed}), encoding="utf-8")
        assert main(["release"]) == 2
        return capsys.readouterr().err

    assert "is not of run other" in offer({"run_id": "other"})
    assert "changed after the results" in offer({"marts": {**record["marts"], "dim_outcomes": "0:0"}})
    run.unlink()
    assert main(["release"]) == 2
    assert "no results" in capsys.readouterr().err
    assert not (paths.outputs / "release").exists()
