"""Warehouses that the tests share: each is built once, the way a person builds it, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from sfpc.evaluation import run
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.national import land_national
from sfpc.provenance.results_record import write_results_record
from sfpc.provenance.verify import write_report_record
from sfpc.settings import Paths
from sfpc.synthetic.costs import synthetic_cost_survey
from sfpc.synthetic.extracts import synthesise
from sfpc.warehouse.build import build
from sfpc.warehouse.publish import publish, publish_results

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT / "seeds"
# Tests run in several processes: each compiles in a folder of its own.
TARGET = ROOT / "target" / os.environ.get("PYTEST_XDIST_WORKER", "tests")
os.environ["DBT_TARGET_PATH"], os.environ["DBT_LOG_PATH"] = str(TARGET), str(TARGET / "logs")
# Files that take minutes come first, so that no process ends on one of them while the other has nothing left to do.
SLOWEST_FILES = ("test_recovery", "test_two_ways_in", "test_evaluation", "test_reference_agreement", "test_returns_run")
TEST_SEED = 11
TEST_VOLUME = 0.12

sys.path[:0] = [str(ROOT / "tests" / "reference"), str(ROOT / "tests" / "mutation"), str(ROOT / "tools")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first; all else stays in its order."""
    order = {name: place for place, name in enumerate(SLOWEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def shared_dir() -> Path | None:
    """The folder of files by others, where there is one (SFPC_SHARED_DIR; default: beside the project)."""
    folder = Path(os.environ.get("SFPC_SHARED_DIR", ROOT.parent / "shared"))
    return folder if folder.is_dir() else None


@contextmanager
def querying(paths: Paths) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published marts."""
    connection = duckdb.connect(str(paths.marts_db), read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def built_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Paths], None]) -> Paths:
    """A run that one of the test processes makes and all read; the others wait for it, or fail with it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, is_ready, has_failed = base / name, base / f"{name}.ready", base / f"{name}.failed"
    paths = Paths(ROOT, folder / "data", folder / "outputs")
    try:
        folder.mkdir()
    except FileExistsError:
        while not is_ready.exists():
            if has_failed.exists():
                pytest.fail(f"the run '{name}' failed in another process: {has_failed.read_text()}")
            time.sleep(0.5)
        return paths
    try:
        paths.data.mkdir()
        make(paths)
    except BaseException as error:
        has_failed.write_text(repr(error))
        raise
    is_ready.touch()
    return paths


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A small synthetic run at an eighth of its volume, through landing and dbt build (all tests included)."""

    def make(paths: Paths) -> None:
        synthesise("small", TEST_SEED, paths.extracts, paths.truth, SEEDS, volume=TEST_VOLUME, quiet=True)
        windows = read_windows(SEEDS / "protocol" / "data_windows.csv")
        with Gate(paths.landing, "national", windows, base=paths.extracts) as gate:
            land_national(paths.extracts, gate)
        build(paths, has_unit_tests=True)
        shutil.copy(TARGET / "manifest.json", manifest_of(paths))

    return built_once(tmp_path_factory, "synthetic", make)


@pytest.fixture(scope="session")
def evaluated(synthetic: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The synthetic run with the results of its evaluation; to be copied by a test that writes more."""

    def make(paths: Paths) -> None:
        results = run(synthetic.marts_db, paths.results)
        write_results_record(paths.results, results.run_record)

    return Paths(ROOT, synthetic.data, built_once(tmp_path_factory, "evaluated", make).outputs)


@pytest.fixture(scope="session")
def recorded(synthetic: Paths, evaluated: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A copy of the evaluated run with its project's rows and definitions, published with results and records.

    To be read; a test that changes something in it copies it first.
    """

    def make(paths: Paths) -> None:
        own = project_of(paths)
        for name in ("seeds", "models", "macros"):
            shutil.copytree(ROOT / name, own.root / name)
        for name in ("dbt_project.yml", "profiles.yml"):
            shutil.copy(ROOT / name, own.root / name)
        shutil.copytree(synthetic.extracts, own.extracts)
        shutil.copytree(synthetic.landing, own.landing)
        shutil.copy(synthetic.build_record, own.build_record)
        own.build_db.symlink_to(synthetic.build_db)
        publish(own)
        shutil.copytree(evaluated.results, own.results)
        synthetic_cost_survey(own.cost_survey, SEEDS, TEST_SEED)
        run_record = json.loads((own.results / "run.json").read_text(encoding="utf-8"))
        write_results_record(own.results, run_record, own.cost_survey)
        publish_results(own)
        (own.report / "tables").mkdir(parents=True)
        for name in ("index.html", "tables/effects.csv"):
            (own.report / name).write_text(f"what stands in {name}", encoding="utf-8")
        write_report_record(own)

    return project_of(built_once(tmp_path_factory, "recorded", make))


def project_of(paths: Paths) -> Paths:
    """The same run with a project folder of its own beside it, in which seeds may be changed."""
    return Paths(paths.data.parent / "project", paths.data, paths.outputs)


def manifest_of(paths: Paths) -> Path:
    """What dbt knew of the project when it built the synthetic run, whichever test process that was."""
    return paths.data.parent / "manifest.json"


@pytest.fixture(scope="session")
def hand_written(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The hand-written children of the reference implementation, through the whole build."""
    from hand_cases import all_tables

    def make(paths: Paths) -> None:
        land_rows(paths, all_tables())
        build(paths)

    return built_once(tmp_path_factory, "hand_written", make)


def land_rows(paths: Paths, tables: dict[str, list[dict[str, object]]]) -> None:
    """Put hand-written landing rows where the warehouse reads them, typed by the landing layout."""
    import pandas as pd

    from sfpc.landing.layout import TABLES

    connection = duckdb.connect()
    for name, table in TABLES.items():
        folder = paths.landing / name
        folder.mkdir(parents=True)
        columns = ", ".join(f"{c.name} {c.type}" for c in table.columns)
        connection.execute(f"create table {name} ({columns}, source_file varchar, source_row bigint)")
        rows = tables.get(name, [])
        if rows:
            frame = pd.DataFrame(rows, columns=table.names).astype(object)
            frame = frame.where(frame.notna(), None)
            frame["source_row"] = range(2, len(frame) + 2)
            marks = ", ".join("?" for _ in [*table.names, "source_row"])
            connection.executemany(
                f"insert into {name} ({', '.join([*table.names, 'source_row'])}) values ({marks})",
                frame.to_numpy().tolist(),
            )
        connection.execute(f"copy {name} to '{folder / 'rows.parquet'}' (format parquet)")
    connection.close()
