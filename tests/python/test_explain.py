"""T13: every published number is walked back to the bytes of files, and a changed byte is found, every time (DP.8)."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from conftest import ROOT, project_of
from sfpc import evaluation
from sfpc.cli import main
from sfpc.errors import SfpcError
from sfpc.landing.gate import sha256_of
from sfpc.marts import fingerprints, open_marts
from sfpc.provenance.build_record import build_id_of, contents_of, write_warehouse_record
from sfpc.provenance.explain import Walker, as_text, explain
from sfpc.provenance.lineage import MODEL, SOURCE, upstream
from sfpc.provenance.results_dictionary import MATCHED_CHILDREN, described_columns, results_dictionary
from sfpc.provenance.results_record import results_files, write_results_record
from sfpc.provenance.seal import read_record, write_record
from sfpc.provenance.verify import INPUTS, LANDING, MARTS, REPORT, RESULTS, Verification, verify
from sfpc.results import RESULT_TABLES
from sfpc.settings import Paths
from sfpc.warehouse.publish import publish_results


@pytest.fixture(scope="module")
def own(recorded: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A copy of the recorded run in which files are changed; whoever changes one puts it back."""
    folder = tmp_path_factory.mktemp("own") / "run"
    shutil.copytree(recorded.data.parent, folder, symlinks=True)
    return project_of(Paths(ROOT, folder / "data", folder / "outputs"))


@pytest.fixture(scope="module")
def walker(recorded: Paths) -> Iterator[Walker]:
    with Walker(recorded) as held:
        yield held


def rows_of(paths: Paths, table: str) -> list[dict[str, str]]:
    with (paths.results / f"{table}.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


# --- walking back -------------------------------------------------------------------------------


def test_nothing_changed_in_a_run_that_was_left_alone(recorded: Paths) -> None:
    found = verify(recorded)
    assert found.findings == () and found.stale_since == ""
    assert found.compared > 400 and "Nothing changed" in found.sentence


def test_every_row_of_every_results_table_is_walked_back(recorded: Paths, walker: Walker) -> None:
    """From the row to files whose hashes are those of the bytes that lie there, over clauses, marts and models."""
    files = {p.relative_to(recorded.extracts).as_posix(): p for p in recorded.extracts.rglob("*") if p.is_file()}
    hashes = {name: sha256_of(path) for name, path in files.items()} | {
        recorded.cost_survey.name: sha256_of(recorded.cost_survey)
    }
    run_id = json.loads((recorded.results / "run.json").read_text(encoding="utf-8"))["run_id"]
    walked = 0
    for table in RESULT_TABLES:
        for number, row in enumerate(rows_of(recorded, table), start=1):
            found = walker.explain(f"{table}.csv:{number}")
            walked += 1
            assert found.row == number and found.values.keys() == row.keys()
            for column, kind in RESULT_TABLES[table].items():
                if kind != "double":
                    assert found.values[column] == row[column], (table, number, column)
            assert found.values["run_id"] == run_id and found.run["run"].startswith(run_id)
            assert found.clauses and "not in the register" not in found.clauses.values(), (table, number)
            assert found.marts and all(mart["sha256"] and mart["grain"] for mart in found.marts)
            assert found.inputs and found.landing and found.seeds and found.plan and found.columns
            for entry in found.inputs:
                assert hashes[entry["file"]] == entry["sha256"], (table, number, entry["file"])
            for model in found.models:
                assert (recorded.root / model["file"]).is_file() and model["clauses"] and model["sha256"]
            assert found.changed == [] and "Nothing changed" in found.verdict
            if "specification_id" in row:
                assert found.specification["specification_id"] == row["specification_id"]
    assert walked > 4000
    assert sum(1 for table in RESULT_TABLES if rows_of(recorded, table)) > 30


def test_a_row_is_counted_as_a_spreadsheet_shows_it_less_the_header(recorded: Paths, walker: Walker) -> None:
    rows = rows_of(recorded, "effects")
    found = walker.explain("outputs/results/effects.csv:1")
    assert found.values["specification_id"] == rows[0]["specification_id"]
    assert "data row 1 (line 2 of the file, its header counted)" in as_text(found)
    assert walker.explain("effects.parquet:3").values == walker.explain("effects:3").values


def test_a_row_is_chosen_by_its_values(recorded: Paths, walker: Walker) -> None:
    number, row = next(
        (n, r) for n, r in enumerate(rows_of(recorded, "effects"), 1) if r["is_primary"] == "true" and r["estimate"]
    )
    keys = ("programme_id", "outcome_id", "specification_id", "scale")
    assert walker.explain("effects.csv", [f"{key}={row[key]}" for key in keys]).row == number


def test_the_children_behind_an_effect_are_counted_and_never_shown(recorded: Paths, walker: Walker) -> None:
    """FV.CEM.10: within an outcome the comparison children weigh as much as those of the treatment LAs."""
    place = str(recorded.results / f"{MATCHED_CHILDREN}.parquet")
    shown = 0
    for number, row in enumerate(rows_of(recorded, "effects"), start=1):
        if row["is_primary"] != "true" or row["estimate"] == "":
            continue
        found = walker.explain(f"effects.csv:{number}")
        held = duckdb.execute(
            "select count(*), sum(weight_protocol) from read_parquet(?) where programme_id = ? and outcome_id = ?",
            [place, row["programme_id"], row["outcome_id"]],
        ).fetchone()
        assert held is not None and sum(arm["children"] for arm in found.children) == held[0]
        weights = {arm["arm"]: arm["weight"] for arm in found.children}
        others = sum(weight for arm, weight in weights.items() if arm != "comparison LA")
        assert weights["comparison LA"] == pytest.approx(others, rel=1e-6)
        shown += 1
    assert shown >= 3
    names = {r[0] for r in duckdb.execute("select distinct child_id from read_parquet(?)", [place]).fetchall()}
    words = set(as_text(walker.explain("effects.csv:1")).split())
    assert not names & words


def test_a_specification_of_other_children_says_so(recorded: Paths, walker: Walker) -> None:
    number = next(
        n for n, r in enumerate(rows_of(recorded, "effects"), 1) if r["weights"] == "none" and r["estimate"] != ""
    )
    assert "where these are" in walker.explain(f"effects.csv:{number}").about_children


def test_a_mart_is_walked_back_to_its_sources(walker: Walker) -> None:
    found = walker.explain("fct_child_outcomes.has_started_cpp")
    assert list(found.columns) == ["has_started_cpp"] and "FV.OUT.S1" in found.clauses
    layers = {model["layer"] for model in found.models}
    assert layers == {"marts", "intermediate", "staging"}
    assert {entry["table"] for entry in found.landing} >= {"cin_records", "cla_episodes", "npd_pupils"}
    assert "int_outcomes__started_cpp" in {model["name"] for model in found.models}
    assert len(walker.explain("marts.fct_child_outcomes").columns) > 30


def test_lineage_ends_in_seeds_and_landing_tables(walker: Walker) -> None:
    lineage = walker.built["build"]["lineage"]
    for name in walker.built["marts"]:
        steps = upstream(lineage, name)
        ends = {n for n in steps if not lineage[n]["needs"]}
        assert all(lineage[n]["kind"] != MODEL for n in ends), name
        assert lineage[name]["tests"] and lineage[name]["columns"], name
    assert {n for n, node in lineage.items() if node["kind"] == SOURCE} >= {"subject_register", "npd_absence"}


@pytest.mark.parametrize(
    ("address", "where", "said"),
    [
        ("effects.csv", (), "say one row"),
        ("effects.csv:0", (), "the first row below the header is 1"),
        ("effects.csv:nine", (), "'nine' is no data row"),
        ("effects.csv:99999", (), "its data rows are 1 to"),
        ("effects.csv", ("is_primary=true",), "rows of effects fit"),
        ("effects.csv", ("outcome_id=nothing",), "no row with outcome_id=nothing"),
        ("effects.csv", ("nothing=1",), "expected column=value with a column of run_id"),
        ("effects.estimate", (), "say the row"),
        ("matched_children.parquet:1", (), "holds children"),
        ("fct_child_outcomes:3", (), "rows of children are not shown"),
        ("fct_child_outcomes.nothing", (), "has no column 'nothing'"),
        ("nothing.csv:1", (), "no results table or mart 'nothing'"),
    ],
)
def test_what_is_not_there_is_said(walker: Walker, address: str, where: tuple[str, ...], said: str) -> None:
    with pytest.raises(SfpcError, match=said):
        walker.explain(address, where)


def test_without_records_it_says_what_to_run(tmp_path: Path) -> None:
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    with pytest.raises(SfpcError, match="run `sfpc evaluate` first"):
        verify(paths)
    with pytest.raises(SfpcError, match="run `sfpc build`"):
        explain(paths, "effects.csv:1")


# --- what changed -------------------------------------------------------------------------------


@contextmanager
def one_byte_changed(path: Path, place: int) -> Iterator[None]:
    held = path.read_bytes()
    changed = bytearray(held)
    changed[place] ^= 1 << (place % 7)
    try:
        path.write_bytes(changed)
        yield
    finally:
        path.write_bytes(held)


def kinds_of(paths: Paths) -> dict[str, tuple[str, list[Path]]]:
    """Every kind of file that a number rests on or is shown in: the stage that is stale, and the files."""

    def below(folder: Path, pattern: str) -> list[Path]:
        return sorted(p for p in folder.rglob(pattern) if p.is_file())

    results = results_files(paths.results)
    return {
        "extract": (INPUTS, below(paths.extracts, "*.parquet")),
        "published table": (INPUTS, below(paths.extracts, "*.csv")),
        "cost survey": (RESULTS, [paths.cost_survey]),
        "landing table": (LANDING, below(paths.landing, "*.parquet")),
        "landing account": (LANDING, below(paths.landing, "*.csv")),
        "landing manifest": ("", [paths.landing / "manifest.json"]),
        "seed": (MARTS, below(paths.root / "seeds", "*.csv")),
        "model": (MARTS, below(paths.root / "models", "*.sql")),
        "contract": (MARTS, below(paths.root / "models", "*.yml")),
        "macro": (MARTS, below(paths.root / "macros", "*.sql")),
        "mart": (MARTS, below(paths.marts_parquet, "*.parquet")),
        "database": (MARTS, [paths.marts_db]),
        "warehouse record": (MARTS, [paths.warehouse_record]),
        "results as Parquet": (RESULTS, [p for p in results if p.suffix == ".parquet"]),
        "results as CSV": (RESULTS, [p for p in results if p.suffix == ".csv"]),
        "matched children": (RESULTS, [paths.results / f"{MATCHED_CHILDREN}.parquet"]),
        "run record": (RESULTS, [paths.results / "run.json"]),
        "results record": (RESULTS, [paths.results / "checksums.json"]),
        "report": (REPORT, [paths.report / "index.html", paths.report / "tables" / "effects.csv"]),
        "report record": (REPORT, [paths.report / "checksums.json"]),
    }


KINDS = (
    "extract", "published table", "cost survey", "landing table", "landing account", "landing manifest", "seed",
    "model", "contract", "macro", "mart", "database", "warehouse record", "results as Parquet", "results as CSV",
    "matched children", "run record", "results record", "report", "report record",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_byte_is_found(own: Paths, kind: str) -> None:
    """First, last and drawn bytes of drawn files of every kind; what was found is the file, and its stage is stale."""
    stage, files = kinds_of(own)[kind]
    assert files and set(kinds_of(own)) == set(KINDS)
    draw = random.Random(f"T13 {kind}")
    for path in draw.sample(files, min(3, len(files))):
        size = path.stat().st_size
        for place in {0, size - 1, *(draw.randrange(size) for _ in range(2))}:
            with one_byte_changed(path, place):
                found = verify(own)
                assert found.findings, (path, place)
                if stage:
                    assert found.stale_since == stage, (path, place, found.findings)
                if path.suffix != ".json":
                    items = {finding.item for finding in found.findings}
                    assert any(path.as_posix().endswith(item) for item in items), (path, items)
                    assert len(found.findings) == 1 or kind == "database", found.findings
    assert verify(own).findings == ()


def test_what_is_gone_or_new_is_found(own: Paths) -> None:
    extract = next(own.extracts.glob("*.parquet"))
    added = own.landing / "cin_records" / "more.parquet"
    seed = own.root / "seeds" / "protocol" / "more.csv"
    aside = extract.with_suffix(".aside")
    extract.rename(aside)
    try:
        (finding,) = verify(own).findings
        assert (finding.stage, finding.item, finding.what) == (INPUTS, extract.name, "is no longer there")
    finally:
        aside.rename(extract)
    for new, stage, said in ((added, LANDING, "was added after"), (seed, MARTS, "is new since the build")):
        new.write_text("a\n", encoding="utf-8")
        try:
            (finding,) = verify(own).findings
            assert finding.stage == stage and said in finding.what
        finally:
            new.unlink()


def test_a_mart_with_other_rows_is_named(own: Paths) -> None:
    """Rows changed with SQL: the file differs, and the mart that holds other rows is named."""
    held = own.marts_db.read_bytes()
    try:
        with duckdb.connect(str(own.marts_db)) as connection:
            connection.execute(
                "update marts.dim_evaluation_settings set value = '0.1' where setting = 'significance_level'"
            )
        found = verify(own)
        assert {finding.item for finding in found.findings} == {own.marts_db.name, "dim_evaluation_settings"}
        assert found.stale_since == MARTS and "sfpc build, sfpc estimate, sfpc report" in found.sentence
        explained = explain(own, "effects.csv:1")
        assert any("dim_evaluation_settings" in line for line in explained.changed)
    finally:
        own.marts_db.write_bytes(held)


def test_results_of_an_earlier_build_are_stale(own: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_record(own.warehouse_record)
    assert record is not None
    held = own.warehouse_record.read_bytes()
    try:
        write_record(own.warehouse_record, {**record.content, "build_id": "another"})
        (finding,) = verify(own).findings
        assert finding.stage == RESULTS and finding.item == "another"
        with pytest.raises(SfpcError, match="run `sfpc estimate` again"):
            publish_results(own)
    finally:
        own.warehouse_record.write_bytes(held)
    monkeypatch.setattr(evaluation, "code_fingerprint", lambda: "another")
    (finding,) = verify(own).findings
    assert finding.stage == RESULTS and finding.kind == "code"


def test_a_damaged_database_is_one_line(own: Paths) -> None:
    held = own.marts_db.read_bytes()
    try:
        own.marts_db.write_bytes(b"\0" * 8192 + held[8192:])
        with pytest.raises(SfpcError, match="`sfpc verify` says what changed"):
            explain(own, "effects.csv:1")
        assert verify(own).stale_since == MARTS
        assert "is damaged" in " ".join(map(str, verify(own).findings))
    finally:
        own.marts_db.write_bytes(held)


def test_records_that_are_no_records(own: Paths) -> None:
    for path, stage in ((own.warehouse_record, MARTS), (own.results / "checksums.json", RESULTS)):
        held = path.read_bytes()
        try:
            for text in (b"", b"{}", b"[]", held[:-40]):
                path.write_bytes(text)
                assert verify(own).stale_since == stage
            path.unlink()
            assert verify(own).stale_since == stage
        finally:
            path.write_bytes(held)


def test_verbs(own: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sfpc.cli.default_paths", lambda: own)
    assert main(["verify"]) == 0
    assert "Nothing changed" in capsys.readouterr().out
    assert main(["explain", "effects.csv:1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["row"] == 1 and told["inputs"][0]["sha256"] and told["marts"]
    assert main(["explain", "effects.csv:1"]) == 0
    assert capsys.readouterr().out.startswith("NOT FOR RELEASE")
    assert main(["explain", "effects.csv:0"]) == 2
    with one_byte_changed(own.results / "effects.csv", 40):
        assert main(["verify"]) == 1
        shown = capsys.readouterr()
        assert "results file effects.csv was changed" in shown.out and "sfpc estimate, sfpc report" in shown.err
        assert main(["explain", "effects.csv:1"]) == 0
        assert "results file effects.csv was changed" in capsys.readouterr().out


def test_verdict_names_the_verbs_from_the_first_stale_stage_on(own: Paths) -> None:
    with one_byte_changed(next(own.extracts.glob("*.parquet")), 100), one_byte_changed(own.report / "index.html", 0):
        found = verify(own)
    assert {finding.stage for finding in found.findings} == {INPUTS, REPORT}
    assert found.sentence.endswith("sfpc land, sfpc build, sfpc estimate, sfpc report.")
    assert Verification(3, ()).sentence == "Nothing changed: 3 files and marts are as they were recorded."


# --- results beside the marts -------------------------------------------------------------------


def test_results_lie_beside_the_marts_with_comments(recorded: Paths) -> None:
    with duckdb.connect(str(recorded.marts_db), read_only=True) as connection:
        for name in results_dictionary():
            place = str(recorded.results / f"{name}.parquet")
            for one, other in (("there", "here"), ("here", "there")):
                left = connection.execute(
                    f"with there as (from results.{name}), here as (from read_parquet(?)) "
                    f"select count(*) from (from {one} except all from {other})",
                    [place],
                ).fetchone()
                assert left == (0,), name
        bare = connection.execute(
            "select table_name, column_name from duckdb_columns() where schema_name in ('results', 'marts') "
            "and comment is null"
        ).fetchall()
        views = connection.execute("select count(*) from duckdb_views() where not internal").fetchone()
    assert bare == [] and views == (0,)


def test_results_put_in_again_leave_the_marts_as_they_are(own: Paths) -> None:
    """Once more over earlier results: written anew, so that no row of those stays in the file."""
    before, build = contents_of(own.marts_db), build_id_of(own.marts_db)
    assert publish_results(own) == list(results_dictionary())
    assert contents_of(own.marts_db) == before and build_id_of(own.marts_db) == build
    assert verify(own).findings == ()
    assert not list(own.data.glob("*incoming*"))
    with open_marts(own.marts_db) as connection:
        assert fingerprints(connection) == json.loads((own.results / "run.json").read_text(encoding="utf-8"))["marts"]


def test_the_id_of_a_build_depends_on_content_alone(own: Paths) -> None:
    build = build_id_of(own.marts_db)
    held = own.build_record.read_bytes(), own.warehouse_record.read_bytes()
    record = read_record(own.build_record)
    assert record is not None
    try:
        write_record(own.build_record, {**record.content, "built_at": "2001-01-01T00:00:00+00:00", "git_commit": "x"})
        write_warehouse_record(own)
        assert build_id_of(own.marts_db) == build
        write_record(own.build_record, {**record.content, "landing_manifest_sha256": "another"})
        write_warehouse_record(own)
        assert build_id_of(own.marts_db) != build
    finally:
        own.build_record.write_bytes(held[0])
        own.warehouse_record.write_bytes(held[1])


def test_every_results_column_has_one_description_in_use(walker: Walker) -> None:
    tables = results_dictionary()
    used = {(name, column) for name, table in tables.items() for column in table.columns}
    for table, column in described_columns():
        alone = {t for t, c in used if c == column and (t, c) not in described_columns() - {("*", c)}}
        assert (table, column) in used or (table == "*" and alone), f"{table}, {column}: describes nothing"
    assert tables.keys() == RESULT_TABLES.keys() | {MATCHED_CHILDREN}
    for name, table in tables.items():
        assert table.marts and set(table.marts) <= set(walker.built["marts"]), name
        assert table.grain and table.description and all(table.columns.values()), name


def test_matched_children_have_the_columns_that_are_described(recorded: Paths) -> None:
    place = str(recorded.results / f"{MATCHED_CHILDREN}.parquet")
    held = [row[0] for row in duckdb.execute("describe select * from read_parquet(?)", [place]).fetchall()]
    assert held == list(results_dictionary()[MATCHED_CHILDREN].columns)


def test_a_run_that_ends_half_way_leaves_results_that_are_found(own: Paths) -> None:
    """The record is written last: results without it, or newer than it, are not taken for a whole run."""
    path = own.results / "checksums.json"
    held = path.read_bytes()
    try:
        path.unlink()
        (finding,) = [f for f in verify(own).findings if f.stage == RESULTS]
        assert "ended half-way" in finding.what
    finally:
        path.write_bytes(held)
    run = json.loads((own.results / "run.json").read_text(encoding="utf-8"))
    write_results_record(own.results, run, own.cost_survey)
    assert path.read_bytes() == held
