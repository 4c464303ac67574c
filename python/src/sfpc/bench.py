"""Speed, as ratios measured in one run on one machine: nothing here passes or fails.

Seconds depend on the machine and on what else it does, so each stage is set beside a plain DuckDB pass
over the same rows, timed a moment earlier. Everything happens in a temporary folder.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from xml.parsers import expat

import duckdb
import numpy as np
import pandas as pd

from sfpc.evaluation import run as run_evaluation
from sfpc.landing.cin_xml import read_cin_xml
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.layout import TABLES
from sfpc.landing.national import land_national
from sfpc.landing.returns import land_returns
from sfpc.marts import ANALYSIS, SCHEMA, open_marts
from sfpc.matching.distance import METRICS
from sfpc.matching.variants import rank_variants
from sfpc.settings import Paths
from sfpc.strata import SET_COLUMNS, match_children
from sfpc.synthetic.extracts import synthesise
from sfpc.warehouse.build import run_dbt
from sfpc.warehouse.publish import publish

BENCH_SEED = 1
MEMORY_LIMIT = "4GB"
BUILD_AIMS = {"small": 60, "national": 240}
"""Seconds that dbt build of a set may take on two idle cores, tests and parsing included."""
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
    """Measure synthesis, landing, dbt build, matching and estimation on one set, and dbt build on the whole ones.

    paths: only the project's root is used. The stages are measured on the reduced set; SFPC_BENCH_SIZE names
    another (small, national). `dbt build` is measured again on the sets of SFPC_BENCH_BUILDS (small,national;
    empty for none), each made afresh: the national one takes some ten minutes and 3 GB below the temporary folder.
    """
    size = os.environ.get("SFPC_BENCH_SIZE", "reduced")
    with tempfile.TemporaryDirectory(prefix="sfpc-bench-") as folder:
        work = Paths(paths.root, Path(folder) / "data", Path(folder) / "outputs")
        work.data.mkdir()
        lines = [_synthesis(work, size), _landing(work), _build(work), *_evaluation(work)]
        lines += [_ranking(), _children()]
    print(f"size {size}, seed {BENCH_SEED}, {os.cpu_count()} processors, DuckDB {duckdb.__version__}")
    print(f"{'stage':<32}{'seconds':>9}{'rows/s':>12}{'ratio':>9}  of")
    for line in lines:
        print(
            f"{line.stage:<32}{line.seconds:>9.2f}{line.rows / line.seconds:>12,.0f}{line.ratio:>9.1f}"
            f"  {line.yardstick} ({line.yardstick_seconds:.2f} s)"
        )
    builds = [name.strip() for name in os.environ.get("SFPC_BENCH_BUILDS", ",".join(BUILD_AIMS)).split(",")]
    measured = [measure_build(paths.root, name) for name in builds if name]
    if measured:
        print(f"\ndbt build with its tests, memory limit {MEMORY_LIMIT}, beside one scan and sort of the same Parquet")
        print(
            f"{'set':<10}{'seconds':>9}{'aim':>6}{'parse alone s':>15}{'processor s':>13}{'rows read':>13}"
            f"{'MB read':>9}{'scan and sort s':>17}{'ratio':>7}"
        )
    for one in measured:
        aim = BUILD_AIMS.get(one.size)
        print(
            f"{one.size:<10}{one.seconds:>9.1f}{aim or '-':>6}{one.parse_seconds:>15.1f}{one.processor_seconds:>13.1f}"
            f"{one.rows:>13,}"
            f"{one.bytes_read / 1e6:>9.0f}{one.plain_seconds:>17.2f}{one.ratio:>7.1f}"
        )


@dataclass(frozen=True)
class BuildMeasure:
    """One `dbt build`, tests included, beside a plain pass over the Parquet that it reads.

    seconds, parse_seconds and plain_seconds are wall time. seconds are those of a build in a fresh clone, which reads
    all files of the project first; parse_seconds are those of such a reading alone, which later builds are spared.
    processor_seconds are those of the build, dbt and DuckDB over all cores; rows and bytes_read are those of the
    landing tables.
    """

    size: str
    seconds: float
    parse_seconds: float
    processor_seconds: float
    rows: int
    bytes_read: int
    plain_seconds: float

    @property
    def ratio(self) -> float:
        """How many times as long as one scan and sort of the same Parquet the build took."""
        return self.seconds / max(self.plain_seconds, 1e-9)


def measure_build(root: Path, size: str, volume: float = 1.0) -> BuildMeasure:
    """Synthesise and land one set in a temporary folder, sort it plainly, and build it with dbt.

    root: the project; size: reduced, small or national; volume: share of its children. Both the plain pass and
    dbt have MEMORY_LIMIT. Raises SfpcError where dbt fails.
    """
    with tempfile.TemporaryDirectory(prefix="sfpc-bench-") as folder:
        work = Paths(root, Path(folder) / "data", Path(folder) / "outputs")
        work.data.mkdir()
        synthesise(size, BENCH_SEED, work.extracts, work.truth, root / "seeds", volume=volume, quiet=True)
        _land(work)
        shutil.rmtree(work.extracts)
        files = [file for table in TABLES for file in _parquet(work.landing / table)]
        plain = _timed(lambda: _scan_and_sort(files, work.data / "plain"))

        def dbt(verb: str) -> float:
            limit = {"SFPC_MEMORY_LIMIT": MEMORY_LIMIT}
            target = work.data / f"target_{verb}"
            return _timed(lambda: run_dbt(work, verb, target=target, build_db=work.build_db, settings=limit))

        parse_seconds = dbt("parse")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = dbt("build")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        size_read = sum(Path(file).stat().st_size for file in files)
        return BuildMeasure(size, seconds, parse_seconds, processor, _rows(files), size_read, plain)


def _scan_and_sort(files: list[str], folder: Path) -> None:
    """Read every column of every row, and sort every file by all its columns, within the memory of a build."""
    folder.mkdir()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(folder),
    }
    with duckdb.connect(config=settings) as con:
        for file in files:
            con.execute(SCAN.format(file=file)).fetchall()
            con.execute(SORT.format(file=file))
    shutil.rmtree(folder)


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
SORT = "create or replace temp table sorted as from '{file}' order by all"


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
    return Line("landing", _timed(lambda: _land(work)), "a plain scan of the extracts", plain, _rows(files))


def _land(work: Paths) -> None:
    windows = read_windows(work.root / "seeds" / "protocol" / "data_windows.csv")
    with Gate(work.landing, "national", windows, base=work.extracts) as gate:
        land_national(work.extracts, gate)


def _build(work: Paths) -> Line:
    files = [file for table in TABLES for file in _parquet(work.landing / table)]
    plain = _timed(_each(files, SORT), TIMES)
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


ENGLAND_LAS = 150
MILLION = 1_000_000


def _ranking() -> Line:
    """Ranking by every declared variant: 150 LAs, 18 programmes and outcomes, ten treatment LAs, 12 quarters."""
    rng = np.random.default_rng(BENCH_SEED)
    days = pd.date_range("2017-04-01", periods=12, freq="QS")
    las = [f"{i:03d}" for i in range(ENGLAND_LAS)]
    problems = [(f"programme {p}", f"outcome {o}") for p in range(3) for o in range(6)]
    cells = pd.DataFrame(
        [(*problem, la, day) for problem in problems for la in las for day in days],
        columns=["programme_id", "outcome_id", "la_id", "quarter_start_date"],
    )
    cells["standardised_value"] = rng.normal(size=len(cells))
    cells["standardised_variance"] = 0.5
    shown = pd.DataFrame(
        [(*problem, "default", la, day, True) for problem in problems for la in las[:10] for day in days],
        columns=["programme_id", "outcome_id", "window_id", "treatment_la_id", "quarter_start_date", "is_default"],
    )
    roles = pd.DataFrame(
        [(f"programme {p}", la, "treatment" if i < 10 else "comparison", i >= 10)
         for p in range(3) for i, la in enumerate(las)],
        columns=["programme_id", "la_id", "role", "is_matching_candidate"],
    )  # fmt: skip
    variants = pd.DataFrame(
        {"metric": METRICS, "window_id": "default", "twin_correlation": 0.9, "clause": "FV.MATCH.2"}
    )
    variants = variants.assign(variant_id=variants["metric"], is_default=variants["metric"] == METRICS[0])
    seconds = _timed(lambda: rank_variants(cells, shown, roles, variants, _ProtocolSettings()), TIMES)
    plain = _timed(lambda: cells.groupby(["programme_id", "outcome_id", "la_id"])["standardised_value"].var(), TIMES)
    return Line("ranking by six distances, England", seconds, "one variance per LA and outcome", plain, len(cells))


@dataclass(frozen=True)
class _ProtocolSettings:
    """The protocol's ranking: ten candidates, eight quarters."""

    matching_ranking_length: int = 10
    matching_minimum_quarters: int = 8
    matching_maximum_comparators: int = 3
    matching_calliper_noise_ratio: float = 1.5


def _children() -> Line:
    """Matching a million children of 5 treatment LAs and 15 comparators, weights joined back, every diagnostic."""
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        con.execute("attach ':memory:' as published; create schema published.marts")
        con.execute(
            f"""
            create table {SCHEMA}.fct_cem_strata as
            select
                'p' as programme_id, 'o' as outcome_id, cast(i as varchar) as child_id,
                cast(i % 20 as varchar) as la_id,
                date '2021-01-01' + cast(hash(i) % 880 as integer) as anchor_date,
                md5(cast(hash(i, 1) % 400 as varchar)) as covariate_stratum_id,
                md5(cast(hash(i, 1) % 400 as varchar) || cast(hash(i) % 880 // 365 as varchar)) as year_stratum_id
            from range({MILLION}) as given (i)
            """
        )
        bins = ", ".join(
            f"cast(hash(child_id, '{name}') % 4 as integer) as {name}"
            for name in ("gender", "ethnicity", "is_disabled", "is_fsm", "is_uasc", "previous_cpp_count",
                         "financial_year", "primary_need", "age_at_anchor_months")
        )  # fmt: skip
        con.execute(f"create temp view {ANALYSIS} as select *, {bins} from {SCHEMA}.fct_cem_strata")
        sets = pd.DataFrame(
            [("p", "o", str(t), str(la), la == t, "2021-12-01") for t in range(5) for la in (t, *range(5 + t, 20, 5))],
            columns=[*SET_COLUMNS, "la_id", "is_treatment_arm", "go_live_date"],
        )
        plain = _timed(
            lambda: con.execute(f"select bit_xor(hash(s)) from {SCHEMA}.fct_cem_strata as s").fetchall(), TIMES
        )
        seconds = _timed(lambda: match_children(con, sets, 0.1))
    return Line("matching a million children", seconds, "one scan of their strata", plain, MILLION)


CENSUS_MB = 60
LARGER = 4
_KEY = b"x" * 32
_FIRST_DAY = date(2022, 4, 1)
_DAYS = 600


def run_landing_bench(paths: Paths) -> None:
    """Measure the landing of the CIN census on generated returns: MB/s, ratio to the parser alone, peak memory.

    The landing is all that the verb does with a folder of returns: finding, reading, pseudonyms, the gate with its
    windows and limits, the account, the publishing. The returns have the shape of real ones (1 to 3 CINdetails,
    assessments with factors, plans with reviews), indented and without any blank. Each measurement has a process of
    its own, so that its peak is its own; seconds are those of the processor (all threads), so that other work on the
    machine does not count. The ratios are to expat without a handler, and to ElementTree building each child and
    forgetting it. SFPC_BENCH_MB sets the size of the smaller file (60); the larger one has four times as much.

    paths: only the project's root is used.
    """
    size = int(os.environ.get("SFPC_BENCH_MB", CENSUS_MB))
    print(f"{'CIN census':<28}{'MB':>6}{'seconds':>9}{'MB/s':>8}{'peak MB':>9}{'of expat':>10}{'of its tree':>13}")
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="sfpc-bench-") as folder:
        path = Path(folder) / "in" / "000" / "CIN_2023.xml"
        path.parent.mkdir(parents=True)
        for name, is_indented, megabytes in (
            ("indented", True, size),
            ("indented, larger", True, LARGER * size),
            ("without blanks", False, size),
        ):
            write_census(path, megabytes, is_indented)
            parser, tree = (_alone(work, path, paths.root)[0] for work in (_parse_only, _tree_only))
            for stage, work in (("read", _read_census), ("landed", land_census)):
                seconds, peaks[f"{name}, {stage}"] = _alone(work, path, paths.root)
                size_mb = path.stat().st_size / 1e6
                print(
                    f"{name + ', ' + stage:<28}{size_mb:>6.0f}{seconds:>9.2f}{size_mb / seconds:>8.1f}"
                    f"{peaks[f'{name}, {stage}']:>9.0f}{seconds / parser:>10.1f}{seconds / tree:>13.1f}"
                )
    growth = peaks["indented, larger, landed"] / peaks["indented, landed"]
    print(f"peak memory of the landing, {LARGER} times as many bytes: {growth:.2f} times as much")


def write_census(path: Path, megabytes: float, is_indented: bool = True) -> None:
    """Write a CIN census of so many million bytes; every child, date and plan is its own, no row repeats another."""
    days = [(_FIRST_DAY + timedelta(days=n)).isoformat() for n in range(_DAYS)]
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write(
            "<Message><Header><CollectionDetails><Collection>CIN</Collection><ReferenceDate>2023-03-31</ReferenceDate>"
            "</CollectionDetails><Source><LEA>000</LEA></Source></Header><Children>\n"
        )
        number = written = 0
        while written < megabytes * 1_000_000:
            text = _child(number, days)
            written += out.write(text if is_indented else "".join(line.strip() for line in text.splitlines()))
            number += 1
        out.write("</Children></Message>\n")


def _child(number: int, days: list[str]) -> str:
    shape = number % 6
    return f"""\
    <Child>
      <ChildIdentifiers>
        <LAchildID>{number:010d}</LAchildID>
        <UPN>A{number:012d}</UPN>
        <PersonBirthDate>20{5 + number % 17:02d}-{1 + number % 12:02d}-{1 + number % 28:02d}</PersonBirthDate>
        <GenderCurrent>{1 + number % 2}</GenderCurrent>
      </ChildIdentifiers>
      <ChildCharacteristics>
        <Ethnicity>{("WBRI", "WBRI", "MWBC", "APKN", "BAFR")[number % 5]}</Ethnicity>
        <Disabilities>
          <Disability>NONE</Disability>
        </Disabilities>
      </ChildCharacteristics>
{"".join(_referral(shape, days, (number * 37 + place * 35) % 365) for place in range(1 + shape % 3))}\
    </Child>
"""


def _referral(shape: int, days: list[str], day: int) -> str:
    assessments = "".join(
        f"""\
        <Assessments>
          <AssessmentActualStartDate>{days[day + 1 + 40 * place]}</AssessmentActualStartDate>
          <AssessmentAuthorisationDate>{days[day + 31 + 40 * place]}</AssessmentAuthorisationDate>
          <FactorsIdentifiedAtAssessment>
            <AssessmentFactors>3B</AssessmentFactors>
            <AssessmentFactors>4A</AssessmentFactors>
            <AssessmentFactors>16A</AssessmentFactors>
          </FactorsIdentifiedAtAssessment>
        </Assessments>
"""
        for place in range(1 + shape % 2)
    )
    plans = f"""\
        <CINPlanDates>
          <CINPlanStartDate>{days[day + 93]}</CINPlanStartDate>
          <CINPlanEndDate>{days[day + 184]}</CINPlanEndDate>
        </CINPlanDates>
        <Section47>
          <S47ActualStartDate>{days[day + 2]}</S47ActualStartDate>
          <InitialCPCtarget>{days[day + 23]}</InitialCPCtarget>
          <DateOfInitialCPC>{days[day + 20]}</DateOfInitialCPC>
          <ICPCnotRequired>false</ICPCnotRequired>
        </Section47>
"""
    cpp = f"""\
        <ChildProtectionPlans>
          <CPPstartDate>{days[day + 20]}</CPPstartDate>
          <CPPendDate>{days[day + 92]}</CPPendDate>
          <InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse>
          <LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse>
          <NumberOfPreviousCPP>0</NumberOfPreviousCPP>
          <Reviews>
            <CPPreviewDate>{days[day + 47]}</CPPreviewDate>
            <CPPreviewDate>{days[day + 82]}</CPPreviewDate>
          </Reviews>
        </ChildProtectionPlans>
"""
    return f"""\
      <CINdetails>
        <CINreferralDate>{days[day]}</CINreferralDate>
        <ReferralSource>1A</ReferralSource>
        <PrimaryNeedCode>N1</PrimaryNeedCode>
        <CINclosureDate>{days[day + 184]}</CINclosureDate>
        <ReasonForClosure>RC7</ReasonForClosure>
{assessments}{plans if shape > 2 else ""}\
        <ReferralNFA>false</ReferralNFA>
{cpp if shape > 3 else ""}\
      </CINdetails>
"""


Work = Callable[[Path, Path], None]
"""What is measured, of a census and the project's root."""


def _alone(work: Work, path: Path, root: Path) -> tuple[float, float]:
    """Processor seconds and peak memory (MB) of a process that does nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (work, path, root))


def measured(work: Work, path: Path, root: Path) -> tuple[float, float]:
    """Processor seconds of some work, and the peak memory (MB) of its process."""
    started = time.process_time()
    work(path, root)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak / (1e6 if sys.platform == "darwin" else 1e3)


def _read_census(path: Path, root: Path) -> None:
    for _ in read_cin_xml(path, _KEY):
        pass


def land_census(path: Path, root: Path) -> None:
    """Land the folder of a census as ``sfpc returns`` does, beside it."""
    windows = read_windows(root / "seeds" / "protocol" / "data_windows.csv")
    with Gate(path.parents[1].with_name("landing"), "returns", windows, base=path.parents[1]) as gate:
        land_returns(path.parents[1], gate, _KEY, progress=gate.note)
        gate.distinct(), gate.quarantine()
        gate.commit()


def _parse_only(path: Path, root: Path) -> None:
    parser = expat.ParserCreate()
    with path.open("rb") as handle:
        parser.ParseFile(handle)


def _tree_only(path: Path, root: Path) -> None:
    """What streaming costs at least: the tree of each child is built and forgotten."""
    children: ET.Element | None = None
    for event, element in ET.iterparse(path, events=("start", "end")):
        if element.tag == "Children":
            children = element
        elif event == "end" and element.tag == "Child" and children is not None:
            children.clear()
