"""The verb `sfpc release` on an evaluated synthetic set: what leaves fits the marts, and nothing small is in it.

The releasable report is read here by a scan of its own: every number in it must be one of the released tables it names,
or a constant that was declared before any data. T1 is here for all tables of the release, by an attacker of their own.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from docx import Document as WordDocument
from scipy.optimize import linprog

from browser import browser, look_at
from conftest import ROOT
from release_worlds import profile
from sfpc.cli import main
from sfpc.provenance.results_record import write_results_record
from sfpc.release.bundle import INDEX, faults_of_bundle
from sfpc.release.door import read_bundle, releases, status_of, verify
from sfpc.release.judge import FEW, TO_PROTECT, judge
from sfpc.release.ledger import read_ledger
from sfpc.release.markers import MARKER
from sfpc.release.results import offers_of_run
from sfpc.report import contents, outline, releasable
from sfpc.report.document import Picture, flat
from sfpc.report.inputs import read_inputs
from sfpc.report.tables import Table
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
    everything = "\n".join(c.decode() for n, c in files(released).items() if not n.endswith((".xlsx", ".docx")))
    found = set(re.findall(r"(?<![0-9a-z])[0-9a-f]{15}(?![0-9a-z])", everything + f" {codes[0]} "))
    assert found & set(codes) == {codes[0]}, "only the one put there to show that it would be found"
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
        write_results_record(paths.results, {**record, **changed})
        assert main(["release"]) == 2
        return capsys.readouterr().err

    assert "is not of run other" in offer({"run_id": "other"})
    assert "changed after the results" in offer({"marts": {**record["marts"], "dim_outcomes": "0:0"}})
    shutil.rmtree(paths.results)
    assert main(["release"]) == 2
    assert "no results" in capsys.readouterr().err
    assert not (paths.outputs / "release").exists()


def test_results_that_were_changed_are_not_released(
    released: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DP.8: one byte of a results file differs from its record, or the record is not there."""
    paths = Paths(ROOT, released.data, tmp_path / "outputs")
    shutil.copytree(released.results, paths.results)
    use(paths, monkeypatch)
    effects = paths.results / "effects.parquet"
    content = bytearray(effects.read_bytes())
    content[len(content) // 2] ^= 1
    effects.write_bytes(content)
    assert main(["release"]) == 2
    message = capsys.readouterr().err
    assert "not those that were estimated: results file effects.parquet" in message and "sfpc estimate" in message
    (paths.results / "checksums.json").unlink()
    assert main(["release"]) == 2
    assert "checksums.json is not there" in capsys.readouterr().err
    assert not (paths.outputs / "release").exists()


def test_a_model_that_left_children_out_is_about_a_part_of_all_matched(released: Paths, tmp_path: Path) -> None:
    """DP.5: a primary logit on fewer children than are matched does not contradict the flow (DECISIONS D136)."""
    outcome = tables(released, "effects")[0]["outcome"]
    paths = Paths(ROOT, released.data, tmp_path / "outputs")
    shutil.copytree(released.results, paths.results)
    file = paths.results / "effects.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table effects as from '{file}'")
        connection.execute(
            "update effects set children_count = children_count - 40,"
            " treated_children_count = treated_children_count - 20"
            " where outcome_id = ? and specification_id in (select specification_id from effects where is_primary)",
            [outcome],
        )
        (fewer,) = connection.execute(
            "select children_count from effects where is_primary and outcome_id = ?", [outcome]
        ).fetchone() or (0,)
        connection.execute(f"copy effects to '{file}' (format parquet)")
    offers = [o for o in offers_of_run(paths).offers if f"__{outcome}__" in o.key]
    found = judge(offers, profile())
    assert not [r for r in found.refused if any("in another table" in reason for reason in r.reasons)]
    (effects,) = [t for t in found.tables if t.key.endswith("__effects")]
    (primary,) = effects.frame.loc[effects.frame["is_primary"].str.lower() == "true", "children"]
    assert abs(int(primary) - fewer) <= 2


# The report that may leave


@dataclass
class Scanned(HTMLParser):
    """A page taken apart: per table its cells and sources; all other texts; the words of its drawings."""

    tables: list[tuple[list[str], list[str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._in: list[str] = []
        self._held = ""
        self._notes = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("meta", "link", "br", "path", "style"):
            return
        if tag == "table":
            self.tables.append(([], []))
        if tag == "ul":
            self._notes = given.get("class") == "notes"
        if tag == "svg":
            self.drawn.append(given.get("aria-label") or "")
        self._in.append(tag)

    def handle_data(self, data: str) -> None:
        self._held += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "path") or tag not in self._in:
            self._held = "" if tag == "style" else self._held
            return
        while self._in and self._in.pop() != tag:
            pass
        words, is_drawn = self._held.strip(), "svg" in self._in or tag == "svg"
        if tag in ("b", "span", "a"):
            self._held += " "
            return
        self._held = ""
        if not words:
            return
        if is_drawn:
            self.drawn.append(words)
        elif tag in ("td", "th"):
            self.tables[-1][0].append(words)
        elif tag == "li" and self._notes and words.startswith("Source "):
            self.tables[-1][1].extend(words.removeprefix("Source ").replace(" ", "").split(","))
        else:
            self.texts.append(words)


NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])")


def numbers(text: str) -> list[tuple[float, int]]:
    """Every number of a text without its sign, with its decimals."""
    found = []
    for token in NUMBER.findall(text):
        plain = token.rstrip(",").replace(",", "")
        found.append((float(plain), len(plain.partition(".")[2])))
    return found


def is_told(value: float, decimals: int, by: Iterable[float]) -> bool:
    """Whether a number was released, or is one that was with fewer decimals (a whole one as it is)."""
    return any(abs(value - other) <= (0.5 * 10.0**-decimals if decimals and other % 1 else 0.0) + 1e-9 for other in by)


def of_file(content: bytes) -> set[float]:
    """Every number of a released file of tables: its cells, and what its labels say."""
    return {value for row in csv.reader(io.StringIO(content.decode())) for cell in row for value, _ in numbers(cell)}


def seed(*place: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ROOT.joinpath("seeds", *place).read_text(encoding="utf-8"))))


def declared_constants() -> set[float]:
    """Numbers of fixed sentences, by hand, and those of the rules that are named."""
    found = {0.0, 1.0, 100.0, 95.0, 10_000.0, 0.1}
    for row in seed("governance", "disclosure_profiles.csv"):
        if row["profile"] == "srs_strict" and row["rule"] in ("count_minimum", "rounding_base"):
            found.add(float(row["value"]))
    return found


def without_names(text: str) -> str:
    """A text without the names of outcomes, which hold numbers of months."""
    for row in seed("protocol", "outcomes.csv"):
        text = re.sub(re.escape(row["label"]), "", text, flags=re.IGNORECASE)
    return text


# Columns of effects of which sentences speak.
SAID = ("estimate", "ci_low", "ci_high", "p_value", "p_value_hochberg", "baseline_mean_pct", "treated_cluster_count")


def strange_numbers(page: str, held: Mapping[str, bytes], moment: str) -> list[str]:
    """Numbers of a page that no released table holds: of a table, those of the files that it names."""
    scanned = Scanned()
    scanned.feed(without_names(page[page.index("<body") :]))
    constants = declared_constants()
    year, month, day = (int(part) for part in moment[:10].split("-"))
    found = []
    for cells, sources in scanned.tables:
        assert sources, f"a table without a source: {cells[:4]}"
        told = set().union(*(of_file(held[name]) for name in sources)) | constants
        found += [cell for cell in cells for value, places in numbers(cell) if not is_told(value, places, told)]
    effects = [name for name in held if name.endswith("__effects.csv")]
    rows = [row for name in effects for row in csv.DictReader(io.StringIO(held[name].decode()))]
    told = constants | {float(year), float(day)} | {v for r in rows for name in SAID for v, _ in numbers(r[name])}
    chances = [float(r["p_value"]) for r in rows if r["p_value"] and not r["p_value"].startswith("<")]
    # A chance is said as so many in 100, or in 10,000.
    told |= {float(round(p * n)) for p in chances for n in (100, 10_000)}
    for text in scanned.texts:
        plain = re.sub(r"^(Table|Figure) \d+\. |^\d+\. ", "", text)
        plain = re.sub(r"Left out rows whose regression is not safe: \d+", "", plain)
        found += [text for value, places in numbers(plain) if not is_told(value, places, told)]
    everything = set().union(*(of_file(c) for n, c in held.items() if n.endswith(".csv"))) | constants
    for words in scanned.drawn:
        # The values of an axis are round ones that a drawing chooses; what has more digits is a number of a table.
        shown = [
            (v, d) for v, d in numbers(words) if not re.fullmatch(r"[\u2212-]?[\d,.]+", words) or (v > 100 and v % 100)
        ]
        found += [words for value, places in shown if not is_told(value, places, everything)]
    assert month in range(1, 13)
    return found


def test_every_number_of_the_releasable_report_was_released(released: Paths) -> None:
    """DP.5: numbers of tables are those of the files they name; of sentences, those of released effects."""
    held = files(released)
    page = held["report.html"].decode()
    moment = json.loads(held[INDEX])["release"]["made_at"]
    assert strange_numbers(page, held, moment) == []
    scanned = Scanned()
    scanned.feed(page[page.index("<body") :])
    assert len(scanned.tables) > 30 and sum(len(numbers(c)) for cells, _ in scanned.tables for c in cells) > 1_500
    assert MARK in page


def test_the_scan_finds_what_was_not_released(released: Paths) -> None:
    """A true count in place of its rounded one, an estimate to more decimals, a number in a sentence or a drawing."""
    held = files(released)
    page = held["report.html"].decode()
    moment = json.loads(held[INDEX])["release"]["made_at"]
    (entry,) = read_ledger(released.outputs).entries
    cells = [c for t in entry["tables"] for c in t["cells"] if c["shown"] and c["shown"] > 1_000 and c["count"] % 5]
    tried = 0
    for cell in cells[:40]:
        shown, true = f">{cell['shown']:,}</td>", f">{cell['count']:,}</td>"
        if shown in page:
            assert strange_numbers(page.replace(shown, true), held, moment), cell
            tried += 1
    assert tried > 10
    with duckdb.connect() as connection:
        (estimate,) = connection.execute(
            f"select estimate from '{released.results / 'effects.parquet'}'"
            " where is_primary and estimate is not null limit 1"
        ).fetchone() or (0,)
    exact = f"{abs(estimate):.5f}"
    for where in ("<h2 id", "</footer>", "</caption>"):
        assert strange_numbers(page.replace(where, f"<p>It is {exact}.</p>{where}", 1), held, moment), where
    for count in (7, 12, 17, 1_237):
        assert strange_numbers(page.replace("<p>", f"<p>There are {count:,} of them. ", 1), held, moment), count


def test_the_word_document_has_the_numbers_of_the_page(released: Paths) -> None:
    held = files(released)
    scanned = Scanned()
    page = held["report.html"].decode()
    scanned.feed(page[page.index("<body") :])
    on_page = {
        n for text in [*scanned.texts, *(c for cells, _ in scanned.tables for c in cells)] for n in numbers(text)
    }
    on_page |= {n for _, sources in scanned.tables for name in sources for n in numbers(name)}
    document = WordDocument(io.BytesIO(held["report.docx"]))
    texts = [p.text for p in document.paragraphs]
    texts += [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    said = {n for text in texts if not re.search(r"\d+ rows: see tables.xlsx", text) for n in numbers(text)}
    assert said and said <= on_page
    assert len(document.inline_shapes) > 10 and len(document.tables) > 25
    assert releasable.MARKING in document.sections[0].header.paragraphs[0].text


def test_the_report_is_an_output_of_the_bundle(released: Paths) -> None:
    """In the index with its two formats and its sheet, each with a checksum; so is the workbook."""
    held = files(released)
    index = json.loads(held[INDEX])["results"]
    assert [f["name"] for f in index["report"]["files"]] == ["report.html", "report.docx", "report.sheet.txt"]
    assert [f["name"] for f in index["tables"]["files"]] == ["tables.xlsx", "tables.sheet.txt"]
    assert {f"checksums/{name}.txt" for name in ("report.html", "report.docx", "tables.xlsx")} <= set(held)
    sheet = held["report.sheet.txt"].decode()
    assert "Status: draft" in sheet and "Rules: srs_strict" in sheet and "__effects.csv" in sheet
    page = held["report.html"].decode()
    assert contents.MARKING not in page and releasable.MARKING in page
    assert "src=" not in page and "http" not in re.sub(r"xmlns=\"[^\"]*\"", "", page)


def test_both_versions_have_the_same_chapters_and_every_block_has_a_fate(released: Paths) -> None:
    """Of every table and figure of the internal report it is declared what becomes of it in the releasable one."""
    internal = contents.report_of(read_inputs(released))
    assert [s.key for s in internal.sections] == list(outline.TITLES)
    page = files(released)["report.html"].decode()
    undeclared = []
    for section in internal.sections:
        assert f'<section id="{section.key}"' in page
        for block in flat(section.blocks):
            if isinstance(block, Table):
                kind = block.short or block.key
            elif isinstance(block, Picture):
                kind = str(getattr(block.figure, "key", "figure"))
            else:
                continue
            if outline.fate_of(section.key, kind) is None:
                undeclared.append((section.key, kind))
    assert undeclared == []
    for chapter, fates in outline.FATES.items():
        assert chapter in outline.TITLES
        for fate in fates:
            assert bool(fate.shown) != bool(fate.why), fate
            assert not fate.why or f"{fate.what}: left out, because {fate.why}." in page.replace("&#39;", "'")


def test_the_releasable_report_cannot_be_made_of_anything_else() -> None:
    """Its module reads no results and no marts; a table that the judge did not make is refused."""
    tree = ast.parse(Path(releasable.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not {m for m in modules if m and re.search(r"inputs|contents|sections|sensitivity|sample|marts|duckdb", m)}
    known = releasable.Declared((), 0.05, profile(), date(2026, 3, 31))
    with pytest.raises(TypeError, match="released tables"):
        releasable.report_of({"x": pd.DataFrame()}, known)  # type: ignore[dict-item]


def test_the_releasable_report_in_a_real_browser(
    released: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(files(released)["report.html"])
    program = browser()
    if program is None:
        with capsys.disabled():
            print("\nno Chromium installed: the releasable report was not opened in a browser")
        return
    for width in (1280, 375):
        seen = look_at(program, page, width, tmp_path)
        assert len(seen.svgs) > 10 and seen.cut == 0 and seen.asked == [] and seen.overflow <= 0


# T1 on all tables of the release


def reading(shown: str) -> tuple[float, float]:
    """What a published number of children tells: everything that rounds to it and may be shown; nothing if hidden."""
    if shown == MARK:
        return 0.0, math.inf
    count = int(shown)
    return (0.0, 0.0) if count == 0 else (max(10.0, count - 2.0), count + 2.0)


def test_t1_no_cell_of_the_release_is_recovered(released: Paths) -> None:
    """DP.5: flow, outcome by arm and by LA, put together: a linear program over children by arm, step, LA and event."""
    arms = ("treated", "treatment LA before go-live", "comparison LA")
    attacked = hidden = 0
    for outcome in sorted({row["outcome"] for row in tables(released, "children")}):
        flow = [r for r in tables(released, "children") if r["outcome"] == outcome]
        by_arm = [r for r in tables(released, "outcome") if r["outcome"] == outcome and "rate_pct" in r]
        by_la = [r for r in tables(released, "outcome_by_la") if r["outcome"] == outcome]
        steps = [s for s in dict.fromkeys(r["step"] for r in flow) if s != "all"]
        matched = steps[-1]
        sides = {(r["la"], r["arm"]) for r in by_la if r["la"] != "all"} or {("any", arm) for arm in arms}
        unknown = [(arm, step, "", "") for arm, step in product(arms, steps[:-1])]
        unknown += [(arm, matched, la, event) for la, arm in sorted(sides) for event in ("yes", "no")]
        # Each: arm, step, LA, event, and the number as published; None: enough children are known to be there.
        published: list[tuple[str, str, str, str, str | None]] = []
        published += [(row["arm"], row["step"], "all", "", row["children"]) for row in flow]
        for row in [*by_arm, *by_la]:
            place = (row["arm"], matched, row.get("la", "all"))
            published += [(*place, "", row["children"]), (*place, "yes", row["children_with_it"])]
            if row["children_with_it"] != MARK:
                published.append((*place, "no", None))
        told = []
        for *cell, number in published:
            line = [
                float(all(want in ("all", "", has) for want, has in zip(cell, one, strict=True))) for one in unknown
            ]
            low, high = (10.0, math.inf) if number is None else reading(number)
            told.append((np.array(line), low, high, number is not None))
        lines = [(line, high) for line, _, high, _ in told if math.isfinite(high)]
        lines += [(-line, -low) for line, low, _, _ in told if low > 0]
        a_ub, b_ub = np.array([line for line, _ in lines]), np.array([end for _, end in lines])
        for line, low, high, is_cell in told:
            if not is_cell or high == low or not line.any():
                continue
            least = linprog(line, A_ub=a_ub, b_ub=b_ub, bounds=(0, None))
            most = linprog(-line, A_ub=a_ub, b_ub=b_ub, bounds=(0, None))
            assert least.status == 0 and most.status in (0, 3), "no set of children fits what was published"
            top = math.inf if most.status == 3 else math.floor(-float(most.fun) + 1e-6)
            assert top > math.ceil(float(least.fun) - 1e-6), (outcome, line.nonzero())
            attacked += 1
            hidden += math.isinf(high)
    assert attacked > 150 and hidden > 20, (attacked, hidden)
