"""Speed, as ratios measured in one run on one machine: nothing here passes or fails.

Seconds depend on the machine and on what else it does, so each stage is set beside a plain DuckDB pass
over the same rows, timed a moment earlier. Everything happens in a temporary folder.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
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
from sfpc.marts import ANALYSIS, SCHEMA, open_marts
from sfpc.matching.distance import METRICS
from sfpc.matching.variants import rank_variants
from sfpc.settings import Paths
from sfpc.strata import SET_COLUMNS, match_children
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
        lines += [_ranking(), _children()]
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

_ABOUT = """\
    <Child>
      <ChildIdentifiers>
        <LAchildID>{id:010d}</LAchildID>
        <UPN>A{id:012d}</UPN>
        <PersonBirthDate>2012-05-17</PersonBirthDate>
        <GenderCurrent>2</GenderCurrent>
      </ChildIdentifiers>
      <ChildCharacteristics>
        <Ethnicity>WBRI</Ethnicity>
        <Disabilities>
          <Disability>NONE</Disability>
        </Disabilities>
      </ChildCharacteristics>
"""
_REFERRAL = """\
      <CINdetails>
        <CINreferralDate>2022-06-11</CINreferralDate>
        <ReferralSource>1A</ReferralSource>
        <PrimaryNeedCode>N1</PrimaryNeedCode>
        <CINclosureDate>2022-12-12</CINclosureDate>
        <ReasonForClosure>RC7</ReasonForClosure>
"""
_ASSESSMENT = """\
        <Assessments>
          <AssessmentActualStartDate>2022-06-12</AssessmentActualStartDate>
          <AssessmentAuthorisationDate>2022-07-12</AssessmentAuthorisationDate>
          <FactorsIdentifiedAtAssessment>
            <AssessmentFactors>3B</AssessmentFactors>
            <AssessmentFactors>4A</AssessmentFactors>
            <AssessmentFactors>16A</AssessmentFactors>
          </FactorsIdentifiedAtAssessment>
        </Assessments>
"""
_PLANS = """\
        <CINPlanDates>
          <CINPlanStartDate>2022-09-12</CINPlanStartDate>
          <CINPlanEndDate>2022-12-12</CINPlanEndDate>
        </CINPlanDates>
        <Section47>
          <S47ActualStartDate>2022-06-13</S47ActualStartDate>
          <InitialCPCtarget>2022-07-04</InitialCPCtarget>
          <DateOfInitialCPC>2022-07-01</DateOfInitialCPC>
          <ICPCnotRequired>false</ICPCnotRequired>
        </Section47>
"""
_CPP = """\
        <ChildProtectionPlans>
          <CPPstartDate>2022-07-01</CPPstartDate>
          <CPPendDate>2022-09-11</CPPendDate>
          <InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse>
          <LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse>
          <NumberOfPreviousCPP>0</NumberOfPreviousCPP>
          <Reviews>
            <CPPreviewDate>2022-07-28</CPPreviewDate>
            <CPPreviewDate>2022-09-01</CPPreviewDate>
          </Reviews>
        </ChildProtectionPlans>
"""
_NFA = "        <ReferralNFA>false</ReferralNFA>\n"


def run_landing_bench() -> None:
    """Measure the reader of the CIN census on generated returns: MB/s, ratio to the parser alone, peak memory.

    The returns have the shape of real ones (1 to 3 CINdetails, assessments with factors, plans with reviews),
    indented and without any blank. Each reading has a process of its own, so that its peak is its own; seconds
    are those of the processor, so that other work on the machine does not count. The ratios are to expat without
    a handler, and to ElementTree building each child and forgetting it. SFPC_BENCH_MB sets the size of the
    smaller file (60); the larger one has four times as much.
    """
    size = int(os.environ.get("SFPC_BENCH_MB", CENSUS_MB))
    print(f"{'CIN census':<26}{'MB':>6}{'seconds':>9}{'MB/s':>8}{'peak MB':>9}{'of expat':>10}{'of its tree':>13}")
    with tempfile.TemporaryDirectory(prefix="sfpc-bench-") as folder:
        path = Path(folder) / "CIN_2023.xml"
        for name, is_indented, megabytes in (
            ("indented", True, size),
            ("indented, larger", True, LARGER * size),
            ("without blanks", False, size),
        ):
            _write_census(path, megabytes, is_indented)
            parser, tree = _alone(_parse_only, path)[0], _alone(_tree_only, path)[0]
            for stage, work in (("", _read_census), (", landed too", _land_census)):
                seconds, peak = _alone(work, path)
                size_mb = path.stat().st_size / 1e6
                print(
                    f"{name + stage:<26}{size_mb:>6.0f}{seconds:>9.2f}{size_mb / seconds:>8.1f}{peak:>9.0f}"
                    f"{seconds / parser:>10.1f}{seconds / tree:>13.1f}"
                )


def _write_census(path: Path, megabytes: int, is_indented: bool) -> None:
    texts = []
    for shape in range(6):
        referral = _REFERRAL + _ASSESSMENT * (1 + shape % 2) + (_PLANS if shape > 2 else "") + _NFA
        referral += (_CPP if shape > 3 else "") + "      </CINdetails>\n"
        text = _ABOUT + referral * (1 + shape % 3) + "    </Child>\n"
        texts.append(text if is_indented else "".join(line.strip() for line in text.splitlines()))
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write(
            "<Message><Header><CollectionDetails><Collection>CIN</Collection><ReferenceDate>2023-03-31</ReferenceDate>"
            "</CollectionDetails><Source><LEA>000</LEA></Source></Header><Children>\n"
        )
        number = written = 0
        while written < megabytes * 1_000_000:
            written += out.write(texts[number % len(texts)].format(id=number))
            number += 1
        out.write("</Children></Message>\n")


def _alone(work: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """Processor seconds and peak memory (MB) of a process that does nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, path))


def _measured(work: Callable[[Path], None], path: Path) -> tuple[float, float]:
    started = time.process_time()
    work(path)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak / (1e6 if sys.platform == "darwin" else 1e3)


def _read_census(path: Path) -> None:
    for _ in read_cin_xml(path, b"x" * 32):
        pass


def _land_census(path: Path) -> None:
    with Gate(path.with_name("landing"), "returns") as gate:
        for table, rows in read_cin_xml(path, b"x" * 32):
            gate.add_rows(table, path, rows, "iso")
        gate.commit()


def _parse_only(path: Path) -> None:
    parser = expat.ParserCreate()
    with path.open("rb") as handle:
        parser.ParseFile(handle)


def _tree_only(path: Path) -> None:
    """What streaming costs at least: the tree of each child is built and forgotten."""
    children: ET.Element | None = None
    for event, element in ET.iterparse(path, events=("start", "end")):
        if element.tag == "Children":
            children = element
        elif event == "end" and element.tag == "Child" and children is not None:
            children.clear()
