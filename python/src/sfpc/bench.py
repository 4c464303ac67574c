"""Speed, as ratios measured in one run on one machine: nothing here passes or fails.

Seconds depend on the machine and on what else it does, so each stage is set beside a plain DuckDB pass
over the same rows, timed a moment earlier. Everything happens in a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sfpc.evaluation import run as run_evaluation
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.layout import TABLES
from sfpc.landing.national import land_national
from sfpc.marts import SCHEMA, open_marts
from sfpc.settings import Paths
from sfpc.synthetic.extracts import synthesise
from sfpc.warehouse.build import run_dbt
from sfpc.warehouse.publish import publish

BENCH_SEED = 1
TIMES = 3  # a plain pass is short: the best of three is the machine's own speed


@dataclass(frozen=True)
class Line:
    """One measured stage beside its yardstick, both in seconds for the same rows."""

    stage: str
    seconds: float
    yardstick: str
    yardstick_seconds: float
    rows: int

    @property
    def ratio(self) -> float:
        """How many times as long as the yardstick the stage took."""
        return self.seconds / max(self.yardstick_seconds, 1e-9)


def run_bench(paths: Paths) -> None:
    """Measure synthesis, landing, dbt build, matching and estimation, and print one line each.

    paths: only the project's root is used. The set is the reduced one; SFPC_BENCH_SIZE names another
    (small, national).
    """
    size = os.environ.get("SFPC_BENCH_SIZE", "reduced")
    with tempfile.TemporaryDirectory(prefix="sfpc-bench-") as folder:
        work = Paths(paths.root, Path(folder) / "data", Path(folder) / "outputs")
        work.data.mkdir()
        lines = [_synthesis(work, size), _landing(work), _build(work), *_evaluation(work)]
    print(f"size {size}, seed {BENCH_SEED}, {os.cpu_count()} processors, DuckDB {duckdb.__version__}")
    print(f"{'stage':<32}{'seconds':>9}{'rows/s':>12}{'ratio':>9}  of")
    for line in lines:
        print(
            f"{line.stage:<32}{line.seconds:>9.2f}{line.rows / line.seconds:>12,.0f}{line.ratio:>9.1f}"
            f"  {line.yardstick} ({line.yardstick_seconds:.2f} s)"
        )


def _timed(work: Callable[[], object], times: int = 1) -> float:
    """Seconds of the fastest of some runs."""
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def _parquet(folder: Path) -> list[str]:
    return [str(p).replace("'", "''") for p in sorted(folder.rglob("*.parquet"))]


def _rows(files: list[str]) -> int:
    with duckdb.connect() as con:
        return sum(int(con.execute(f"select count(*) from '{file}'").fetchall()[0][0]) for file in files)


def _each(files: list[str], query: str) -> Callable[[], None]:
    """Run one query over every file; ``{file}`` stands for its name."""

    def work() -> None:
        with duckdb.connect() as con:
            for file in files:
                con.execute(query.format(file=file)).fetchall()

    return work


# Every column of every row is read: a count alone would look at the footer of the file.
SCAN = "select bit_xor(hash(given)) from '{file}' as given"


def _synthesis(work: Paths, size: str) -> Line:
    seeds = work.root / "seeds"
    seconds = _timed(lambda: synthesise(size, BENCH_SEED, work.extracts, work.truth, seeds, quiet=True))
    files = _parquet(work.extracts)
    copied = work.data / "copied.parquet"
    query = f"copy (from '{{file}}') to '{copied}' (format parquet, compression zstd)"
    plain = _timed(_each(files, query), TIMES)
    copied.unlink()
    return Line("synthesis", seconds, "a plain copy of the same rows", plain, _rows(files))


def _landing(work: Paths) -> Line:
    files = _parquet(work.extracts)
    plain = _timed(_each(files, SCAN), TIMES)
    windows = read_windows(work.root / "seeds" / "protocol" / "data_windows.csv")

    def land() -> None:
        with Gate(work.landing, "national", windows, base=work.extracts) as gate:
            land_national(work.extracts, gate)

    return Line("landing", _timed(land), "a plain scan of the extracts", plain, _rows(files))


def _build(work: Paths) -> Line:
    files = [file for table in TABLES for file in _parquet(work.landing / table)]
    sort = "create or replace temp table sorted as from '{file}' order by all"
    plain = _timed(_each(files, sort), TIMES)
    target = work.data / "target"
    seconds = _timed(lambda: run_dbt(work, "build", target=target, build_db=work.build_db))
    publish(work)
    return Line("dbt build with its tests", seconds, "one scan and sort of the landing", plain, _rows(files))


def _evaluation(work: Paths) -> list[Line]:
    strata = "fct_cem_strata"

    def scan() -> None:
        with open_marts(work.marts_db) as con:
            con.execute(f"select bit_xor(hash(given)) from {SCHEMA}.{strata} as given").fetchall()

    plain = _timed(scan, TIMES)
    rows = _rows([str(work.marts_parquet / f"{strata}.parquet")])
    started = time.perf_counter()
    seconds = dict(run_evaluation(work.marts_db, work.results).run_record["seconds"])
    seconds["all of the evaluation"] = time.perf_counter() - started
    return [
        Line(title.lower(), max(spent, 0.01), "one scan of the strata mart", plain, rows)
        for title, spent in seconds.items()
    ]
