"""Synthetic national extracts: what a researcher receives, written LA by LA, with the planted truth beside.

Files carry the names met in public code: ``CIN_2018_to_2025``, ``CLA_Episode_Data``,
``Spring_Census_2021``, ``Absence_2021_3Term``, ``LA_Statistics`` (docs/synthetic_extracts.md); the published
tables that belong to them lie in the folder ``published``. Each LA is
drawn, laid out by SQL and written to parts on disk; the parts are then streamed, in order, into the
extracts. Memory is bounded by one LA, and the same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from sfpc.landing.gate import replace_folder
from sfpc.progress import say
from sfpc.synthetic.absence import draw_absence, read_terms
from sfpc.synthetic.process import ETHNICITIES, SOURCES, LaLives, World, draw_la, draw_world, planned_rates
from sfpc.synthetic.published import write_published
from sfpc.synthetic.scenario import (
    FIRST_RETURN_YEAR,
    LAST_DAY,
    LAST_RETURN_YEAR,
    Scenario,
    load_scenario,
)

LAID_OUT = ("cin", "cla", "census", "absence", "statistics")
MEMORY_LIMIT = "2GB"
SAID_FROM_ROWS = 5_000_000


@dataclass(frozen=True)
class Synthesis:
    """What was written: rows per extract, seconds, and rows per second."""

    rows: dict[str, int]
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """All rows of all extracts over the wall time."""
        return sum(self.rows.values()) / self.seconds


def synthesise(
    size: str,
    seed: int,
    target: Path,
    truth: Path,
    seeds_dir: Path,
    file_format: str = "parquet",
    volume: float | None = None,
    quiet: bool = False,
) -> Synthesis:
    """Write synthetic national extracts to ``target`` and the planted truth to ``truth``.

    size: reduced, small or national; seed: of all draws; file_format: parquet or csv;
    volume: factor on the number of referrals. Both folders are replaced only when all is written.
    """
    started = time.monotonic()
    scenario = load_scenario(size, seed, seeds_dir, volume)
    world = draw_world(scenario)
    work, truth_work = (p.with_name(p.name + ".incoming") for p in (target, truth))
    for folder in (work, truth_work):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    parts = work / ".parts"
    for name in (*LAID_OUT, "truth"):
        (parts / name).mkdir(parents=True)
    try:
        with duckdb.connect() as con:
            con.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
            con.execute(f"set temp_directory = '{_quoted(parts / 'spill')}'")
            con.execute("set preserve_insertion_order = true")
            con.execute(_sql("prepare"))
            for name, listed in (("ethnicity", ETHNICITIES), ("source", SOURCES)):
                con.register(f"{name}_list", pd.DataFrame({"position": range(len(listed)), "code": listed}))
            terms = read_terms(seeds_dir / "reference" / "school_terms.csv")
            hosts = [la.la_code for la in scenario.las if not la.successors and not la.missing_returns]
            for number, la in enumerate(scenario.las, start=1):
                lives = draw_la(scenario, world, la)
                absence = draw_absence(scenario, lives, terms)
                # Children who move go to another LA of the run that reports every year under one code.
                host = next(h for h in (hosts[number % len(hosts)], hosts[number % len(hosts) - 1]) if h != la.la_code)
                _lay_out(con, scenario, lives, absence, host, parts, number)
                if not quiet and (number % 5 == 0 or number == len(scenario.las)):
                    say(f"  synthetic children: {number} of {len(scenario.las)} LAs")
            rows = _write(con, parts, work, file_format, quiet)
            write_published(parts, work / "published", seeds_dir)
            _write_truth(con, parts, truth_work, scenario, world)
    except BaseException:
        for folder in (work, truth_work):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(parts)
    for finished, place in ((work, target), (truth_work, truth)):
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_folder(finished, place)
    return Synthesis(rows, time.monotonic() - started)


def _sql(name: str) -> str:
    return (files("sfpc.synthetic") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def _frame(group: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({key: values for key, values in group.items() if values.ndim == 1})


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _lay_out(
    con: duckdb.DuckDBPyConnection,
    scenario: Scenario,
    lives: LaLives,
    absence: pd.DataFrame,
    host: str,
    parts: Path,
    number: int,
) -> None:
    """Write one LA's rows of every extract and of the truth to parts, each in its final order."""
    la = lives.la
    con.execute(
        "create or replace temp table la as select ? as la_code, ? as other_la, ?::integer[] as missing_years, "
        "? as seed",
        [la.la_code, host, sorted(la.missing_returns), str(scenario.seed)],
    )
    con.execute("create or replace temp table successor (la_code varchar, first_year integer, place integer)")
    for place, (code, on, _) in enumerate(la.successors):
        con.execute("insert into successor values (?, ?, ?)", [code, on.year + 1, place])
    frames = {
        "child": _frame(lives.child),
        "referral": _frame(lives.referral),
        "care": _frame(lives.care),
        "respite": _frame(lives.respite),
        "potential": _frame(lives.potential),
        "absence_rows": absence,
    }
    for name, frame in frames.items():
        con.register(name, frame)
    con.execute(_sql("people"))
    for name in (*LAID_OUT, "truth"):
        # Small row groups: the years of a part are read one at a time.
        con.execute(
            f"copy ({_sql(name)}) to '{_quoted(parts / name)}/{number:04d}.parquet' "
            "(format parquet, row_group_size 16384)"
        )
    for name in frames:
        con.unregister(name)


def _write(con: duckdb.DuckDBPyConnection, parts: Path, folder: Path, file_format: str, quiet: bool) -> dict[str, int]:
    """Stream the parts into the extracts; returns the rows of each."""
    options = "format parquet, compression zstd" if file_format == "parquet" else "format csv, header"
    jobs = {
        f"CIN_{FIRST_RETURN_YEAR}_to_{LAST_RETURN_YEAR}": f"from {_parts(parts, 'cin')}",
        "CLA_Episode_Data": f"from {_parts(parts, 'cla')}",
        "LA_Statistics": f"from {_parts(parts, 'statistics')}",
    }
    for year in range(FIRST_RETURN_YEAR, LAST_RETURN_YEAR + 1):
        short = f"{year % 100:02d}"
        spring = ", ".join(
            f"{c} as {c}_SPR{short}"
            for c in (
                "PupilMatchingRefAnonymous", "YearOfBirth", "MonthOfBirth", "Gender", "EthnicGroupMinor",
                "NCyearActual", "FSMeligible", "EVERFSM_6", "EVERFSM_6_P", "EVERFSM_ALL",
            )
        )  # fmt: skip
        jobs[f"Spring_Census_{year}"] = f"select {spring} from {_parts(parts, 'census')} where census_year = {year}"
        absent = ", ".join(
            f"{measure}_{term} as {measure}_{term}_ab{short}"
            for measure in ("SessionsPossible", "UnauthorisedAbsence")
            for term in ("Autumn", "Spring", "Summer", "Summer6th")
        )
        jobs[f"Absence_{year}_3Term"] = (
            f"select PupilMatchingRefAnonymous as PupilMatchingRefAnonymous_ab{short}, "
            f"NCyearActual as NCyearActual_ab{short}, {absent} from {_parts(parts, 'absence')} "
            f"where school_year = {year}"
        )
    rows = {}
    for name, query in jobs.items():
        place = folder / f"{name}.{file_format}"
        result = con.execute(f"copy ({query}) to '{_quoted(place)}' ({options})").fetchone()
        rows[name] = int(result[0]) if result else 0
        if not quiet and rows[name] > SAID_FROM_ROWS:
            say(f"  {place.name}: {rows[name]:,} rows")
    return rows


def _parts(parts: Path, name: str) -> str:
    """The parts of one extract in the order of the LAs (the names of the files are numbered)."""
    return f"read_parquet('{_quoted(parts / name)}/*.parquet')"


def _write_truth(con: duckdb.DuckDBPyConnection, parts: Path, folder: Path, scenario: Scenario, world: World) -> None:
    place = folder / "potential_outcomes.parquet"
    con.execute(f"copy (from {_parts(parts, 'truth')}) to '{_quoted(place)}' (format parquet)")
    con.execute(f"create view potential_outcomes as from '{_quoted(place)}'")
    con.execute(_sql("realised"))
    con.execute(
        f"copy (from realised_effects order by all) to '{_quoted(folder / 'realised_effects.csv')}' "
        "(format csv, header)"
    )
    _write_csv(
        folder / "planned_rates.csv",
        ["la_code", "quarter_start_date", "rate", "twin_of"],
        (
            [la.la_code, quarter, rate, la.twin_of]
            for la in sorted(scenario.las, key=lambda la: la.la_code)
            for quarter, rate in zip(world.first_days.astype("datetime64[D]"), planned_rates(world, la), strict=True)
        ),
    )
    _write_csv(
        folder / "planned_las.csv",
        [
            "la_code", "twin_of", "nominal_effect_points", "has_no_twin", "has_failing_trend",
            "referrals_per_year",
        ],
        (
            [
                la.la_code, la.twin_of, la.effect * 100, str(la.has_no_twin).lower(),
                str(la.has_failing_trend).lower(), la.referrals_per_year,
            ]
            for la in sorted(scenario.las, key=lambda la: la.la_code)
        ),
    )  # fmt: skip
    _write_csv(
        folder / "scenario.csv",
        ["size", "seed", "trial_start", "trial_end", "last_day"],
        [[scenario.size, scenario.seed, scenario.trial_start, scenario.trial_end, LAST_DAY]],
    )


def _write_csv(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
