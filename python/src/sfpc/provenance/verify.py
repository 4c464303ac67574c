"""What changed since numbers were made: every file from extracts to report against its recorded hash (DP.8).

A chain of records: the landing's manifest holds the input files and the landing tables; warehouse.json the manifest's
hash, seeds, definitions and marts; checksums.json of the results the build and every results file; that of the report
the run. A link that does not fit says from which stage on numbers are stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sfpc.errors import SfpcError
from sfpc.landing.gate import sha256_of
from sfpc.provenance.build_record import contents_of, definitions_of, seeds_of
from sfpc.provenance.results_record import RECORD, results_files
from sfpc.provenance.seal import entries_of, read_record, write_record
from sfpc.settings import Paths

INPUTS, LANDING, MARTS, RESULTS, REPORT = "input files", "landing tables", "marts", "results", "report"
# Each stage is made from the one before it; the verb makes it anew.
STAGES: Mapping[str, str] = {
    INPUTS: "sfpc land",
    LANDING: "sfpc land",
    MARTS: "sfpc build",
    RESULTS: "sfpc estimate",
    REPORT: "sfpc report",
}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was recorded.

    stage: the first stage that has to be made anew; kind: what it is (input file, landing table, seed, definition,
    mart, results file ...); item: the file or mart, as people name it; what: what is wrong with it, in words.
    """

    stage: str
    kind: str
    item: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.item} {self.what}"


@dataclass(frozen=True)
class Verification:
    """What was compared (number of files and marts) and what was found."""

    compared: int
    findings: tuple[Finding, ...]

    @property
    def stale_since(self) -> str:
        """The first stage whose numbers no longer stand on what lies there; empty where nothing changed."""
        stages = {finding.stage for finding in self.findings}
        return next((stage for stage in STAGES if stage in stages), "")

    @property
    def sentence(self) -> str:
        """The verdict in words, with what to do."""
        if not self.findings:
            return f"Nothing changed: {self.compared} files and marts are as they were recorded."
        since = self.stale_since
        stages = list(STAGES)
        verbs = dict.fromkeys(STAGES[stage] for stage in stages[stages.index(since) :])
        return (
            f"{len(self.findings)} of {self.compared} things are not as they were recorded. Numbers are stale from the"
            f" {since} on; to make them anew: {', '.join(verbs)}."
        )


def verify(paths: Paths) -> Verification:
    """Compare everything that there is a record of. Raises SfpcError where nothing has been landed or recorded yet."""
    if not any(p.is_file() for p in (paths.landing / "manifest.json", paths.warehouse_record, paths.results / RECORD)):
        raise SfpcError(f"nothing is recorded in {paths.data} and {paths.outputs}; run `sfpc evaluate` first")
    counted = _Count()
    findings = [
        *_landing(paths, counted),
        *_warehouse(paths, counted),
        *_results(paths, counted),
        *_report(paths, counted),
    ]
    return Verification(counted.files, tuple(findings))


def changed_results(paths: Paths) -> tuple[Finding, ...]:
    """What differs of the results themselves: a file, their record, or the marts that they were made from.

    That the estimators' code changed since does not make the files others than those that were written.
    """
    return tuple(finding for finding in _results(paths, _Count()) if finding.kind != "code")


def write_report_record(paths: Paths) -> None:
    """Write checksums.json of the report that was just written."""
    run = json.loads((paths.results / "run.json").read_text(encoding="utf-8"))
    files = [p for p in paths.report.rglob("*") if p.is_file() and p.name not in {RECORD, "NOT_FOR_RELEASE.txt"}]
    write_record(paths.report / RECORD, {"run_id": run["run_id"], "files": entries_of(paths.report, files)})


def input_path(paths: Paths, manifest: Mapping[str, Any], name: str) -> Path | None:
    """Where an input file lies that the manifest names; None for a file that was taken out of an archive."""
    if "!" in name:
        return None
    folder = manifest.get("folder")
    base = (paths.landing.resolve() / folder) if folder else paths.extracts
    # Joined to an absolute name, the folder is dropped; what lies elsewhere was named from the project.
    return next((place for place in (base / name, paths.root / name) if place.exists()), base / name).resolve()


@dataclass
class _Count:
    files: int = 0


def _compare(
    stage: str, kind: str, entries: Mapping[str, Mapping[str, Any]], folder: Path, counted: _Count
) -> Iterator[Finding]:
    """Compare files below a folder with what was recorded of them."""
    for name, entry in entries.items():
        counted.files += 1
        problem = _problem(folder / name, entry)
        if problem:
            yield Finding(stage, kind, name, problem)


def _problem(path: Path, entry: Mapping[str, Any]) -> str:
    """What is wrong with a file; empty where nothing is."""
    if not path.is_file():
        return "is no longer there"
    try:
        now = sha256_of(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if now == entry["sha256"]:
        return ""
    size = path.stat().st_size
    grown = "" if size == entry["bytes"] else f", {entry['bytes']:,} bytes then, {size:,} now"
    return f"was changed (SHA-256 {str(entry['sha256'])[:12]} then, {now[:12]} now{grown})"


def _landing(paths: Paths, counted: _Count) -> Iterator[Finding]:
    place = paths.landing / "manifest.json"
    if not place.is_file():
        yield Finding(LANDING, "record", str(place), "is not there: nothing was landed, or it was removed")
        return
    try:
        manifest = json.loads(place.read_bytes())
        inputs, tables = manifest["files"], manifest.get("landing")
        for entry in inputs:
            path = input_path(paths, manifest, str(entry["file"]))
            if path is not None:
                counted.files += 1
                if problem := _problem(path, entry):
                    yield Finding(INPUTS, "input file", str(entry["file"]), problem)
        if tables is None:
            yield Finding(LANDING, "record", "landing/manifest.json", "holds no hash of the landing tables: land again")
            return
        yield from _compare(LANDING, "landing table", tables, paths.landing, counted)
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Finding(LANDING, "record", "landing/manifest.json", "cannot be read: it was changed or damaged")
        return
    # The build reads every Parquet file of a table's folder: one more is more rows.
    there = {p.relative_to(paths.landing).as_posix() for p in paths.landing.rglob("*.parquet")}
    for name in sorted(there - set(tables)):
        yield Finding(LANDING, "landing table", name, "was added after the landing")


def _warehouse(paths: Paths, counted: _Count) -> Iterator[Finding]:
    try:
        record = read_record(paths.warehouse_record)
    except SfpcError as error:
        yield Finding(MARTS, "record", paths.warehouse_record.name, str(error).partition(": ")[2])
        return
    if record is None:
        yield Finding(MARTS, "record", paths.warehouse_record.name, "is not there: the marts were built without one")
        return
    counted.files += 1
    if not record.is_whole:
        yield Finding(MARTS, "record", paths.warehouse_record.name, "was edited after it was written")
        return
    build = record.content["build"]
    if build is None:
        yield Finding(MARTS, "record", paths.build_record.name, "was not there when the marts were published")
    else:
        manifest = paths.landing / "manifest.json"
        counted.files += 1
        if manifest.is_file() and sha256_of(manifest) != build["landing_manifest_sha256"]:
            yield Finding(MARTS, "landing", "landing/manifest.json", "is not the one that the marts were built from")
        for kind, held, now in (
            ("seed", build["seeds"], seeds_of(paths.root)),
            ("definition", build["definitions"], definitions_of(paths.root)),
        ):
            yield from _compare(MARTS, kind, held, paths.root, counted)
            for name in sorted(set(now) - set(held)):
                yield Finding(MARTS, kind, name, "is new since the build")
    files = {f"{name}.parquet": entry for name, entry in record.content["marts"].items()}
    yield from _compare(MARTS, "mart", files, paths.marts_parquet, counted)
    counted.files += 1
    if problem := _problem(paths.marts_db, record.content["database"]):
        yield from _changed_database(paths.marts_db, record.content["marts"], problem)


def _changed_database(marts_db: Path, marts: Mapping[str, Mapping[str, Any]], problem: str) -> Iterator[Finding]:
    """The database has other bytes: which marts hold other rows?"""
    yield Finding(MARTS, "database", marts_db.name, problem)
    if not marts_db.is_file():
        return
    try:
        now = contents_of(marts_db)
    except duckdb.Error:
        yield Finding(MARTS, "database", marts_db.name, "is damaged: it cannot be read to its end")
        return
    for name in sorted(set(marts) | set(now)):
        held = marts.get(name)
        if name not in now or held is None:
            yield Finding(MARTS, "mart", name, f"is {'new' if held is None else 'no longer'} in {marts_db.name}")
        elif now[name] != (held["rows"], held["content"]):
            yield Finding(MARTS, "mart", name, f"holds other rows ({held['rows']:,} then, {now[name][0]:,} now)")


def _results(paths: Paths, counted: _Count) -> Iterator[Finding]:
    place = paths.results / RECORD
    if not paths.results.is_dir():
        return
    try:
        record = read_record(place)
    except SfpcError as error:
        yield Finding(RESULTS, "record", f"results/{RECORD}", str(error).partition(": ")[2])
        return
    if record is None:
        if any(path.is_file() for path in results_files(paths.results)):
            yield Finding(RESULTS, "record", f"results/{RECORD}", "is not there: an estimate ended half-way, or is old")
        return
    counted.files += 1
    if not record.is_whole:
        yield Finding(RESULTS, "record", f"results/{RECORD}", "was edited after it was written")
        return
    yield from _compare(RESULTS, "input file", record.content["inputs"], paths.data, counted)
    yield from _compare(RESULTS, "results file", record.content["files"], paths.results, counted)
    warehouse = _whole(paths.warehouse_record)
    if warehouse and warehouse["build_id"] != record.content["build_id"]:
        then = record.content["build_id"]
        what = f"is not the one that the results were made from ({then})"
        yield Finding(RESULTS, "build", str(warehouse["build_id"]), what)
    from sfpc.evaluation import code_fingerprint

    counted.files += 1
    if code_fingerprint() != record.content["code_sha256"]:
        yield Finding(RESULTS, "code", "of the estimators", "was changed after the results were made")


def _report(paths: Paths, counted: _Count) -> Iterator[Finding]:
    place = paths.report / RECORD
    try:
        record = read_record(place)
    except SfpcError as error:
        yield Finding(REPORT, "record", f"report/{RECORD}", str(error).partition(": ")[2])
        return
    if record is None:
        return
    counted.files += 1
    if not record.is_whole:
        yield Finding(REPORT, "record", f"report/{RECORD}", "was edited after it was written")
        return
    yield from _compare(REPORT, "report file", record.content["files"], paths.report, counted)
    made = _whole(paths.results / RECORD)
    if made and made["run_id"] != record.content["run_id"]:
        yield Finding(REPORT, "run", str(made["run_id"]), "has no report yet: the one there is of another")


def _whole(place: Path) -> Mapping[str, Any]:
    """What a record holds; nothing where it is not there or was edited (which is found where it is looked at)."""
    try:
        record = read_record(place)
    except SfpcError:
        return {}
    return record.content if record is not None and record.is_whole else {}


def run_verify(paths: Paths) -> None:
    """The verb: print every finding and the verdict. Raises ChangedError, with exit code 1, where something changed."""
    found = verify(paths)
    for finding in found.findings:
        print(f"{finding.stage}: {finding}")
    if found.findings:
        raise ChangedError(found.sentence)
    print(found.sentence)


class ChangedError(SfpcError):
    """Something is not as it was recorded."""

    exit_code = 1
