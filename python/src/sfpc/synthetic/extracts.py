"""Synthetic national extracts: what a researcher receives, written LA by LA, with the planted truth beside.

Files carry the names met in public code: ``CIN_2018_to_2025``, ``CLA_Episode_Data``,
``Spring_Census_2021``, ``Absence_2021_3Term``, ``LA_Statistics`` (docs/synthetic_extracts.md). Memory is bounded by one
LA; rows wait in a DuckDB file on disk and every extract is written once, whole, at the end.
"""

from __future__ import annotations

import csv
import shutil
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from sfpc.landing.gate import replace_folder
from sfpc.progress import say
from sfpc.synthetic.absence import draw_absence, read_terms
from sfpc.synthetic.process import (
    ETHNICITIES,
    OTHER_EXITS,
    SOURCES,
    LaLives,
    World,
    draw_la,
    draw_world,
)
from sfpc.synthetic.scenario import (
    FIRST_RETURN_YEAR,
    LAST_DAY,
    LAST_RETURN_YEAR,
    Scenario,
    load_scenario,
)


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
    con = duckdb.connect(str(work / ".work.duckdb"))
    con.execute("set memory_limit = '3GB'")
    con.execute("set preserve_insertion_order = false")
    con.execute(_sql("prepare"))
    for name, listed in (("ethnicity", ETHNICITIES), ("exit", OTHER_EXITS), ("source", SOURCES)):
        con.register(f"{name}_list", pd.DataFrame({"position": range(len(listed)), "code": listed}))
    terms = read_terms(seeds_dir / "reference" / "school_terms.csv")
    codes = [la.la_code for la in scenario.las]
    for number, la in enumerate(scenario.las, start=1):
        lives = draw_la(scenario, world, la)
        _load(con, scenario, lives, codes[number % len(codes)])
        con.execute(_sql("extracts"))
        con.register("absence_rows", draw_absence(scenario, lives, terms))
        con.execute(_sql("absence"))
        con.unregister("absence_rows")
        _truth_of(con, world, lives)
        if not quiet and (number % 5 == 0 or number == len(codes)):
            say(f"  synthetic children: {number} of {len(codes)} LAs")
    rows = _write(con, work, file_format)
    _write_truth(con, truth_work, scenario)
    con.close()
    (work / ".work.duckdb").unlink()
    for finished, place in ((work, target), (truth_work, truth)):
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_folder(finished, place)
    return Synthesis(rows, time.monotonic() - started)


def _sql(name: str) -> str:
    return (files("sfpc.synthetic") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def _frame(group: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({key: values for key, values in group.items() if values.ndim == 1})


def _load(con: duckdb.DuckDBPyConnection, scenario: Scenario, lives: LaLives, other_la: str) -> None:
    """Put one LA's draws into the temporary tables that the SQL reads."""
    la = lives.la
    care = dict(lives.care)
    for key in ("cut", "placement", "legal"):
        for i in range(care[key].shape[1]):
            care[f"{key}_{i}"] = care[key][:, i]
    for name, group in (
        ("child", lives.child),
        ("referral", lives.referral),
        ("care", care),
        ("respite", lives.respite),
    ):
        frame = _frame(group)
        con.register("frame", frame)
        con.execute(f"create or replace temp table {name} as select * from frame")
        con.unregister("frame")
    con.execute(
        "create or replace temp table la as select ? as la_code, ? as other_la, ?::integer[] as missing_years, "
        "? as seed",
        [la.la_code, other_la, sorted(la.missing_returns), str(scenario.seed)],
    )
    con.execute("create or replace temp table successor (la_code varchar, first_year integer, place integer)")
    for place, (code, on, _) in enumerate(la.successors):
        con.execute("insert into successor values (?, ?, ?)", [code, on.year + 1, place])


def _truth_of(con: duckdb.DuckDBPyConnection, world: World, lives: LaLives) -> None:
    potential = _frame(lives.potential)
    con.register("potential", potential)
    con.execute(_sql("truth"))
    con.unregister("potential")
    rates = pd.DataFrame(
        {
            "la_code": lives.la.la_code,
            "quarter_start": world.first_days,
            "rate": lives.rates,
            "twin_of": lives.la.twin_of,
        }
    )
    con.register("rates", rates)
    con.execute("insert into planned_rates select la_code, day_of(quarter_start), rate, twin_of from rates")
    con.unregister("rates")
    con.execute(
        "insert into planned_las values (?, ?, ?, ?, ?, ?)",
        [
            lives.la.la_code,
            lives.la.twin_of,
            lives.la.effect * 100,
            lives.la.has_no_twin,
            lives.la.has_failing_trend,
            lives.la.referrals_per_year,
        ],
    )


def _write(con: duckdb.DuckDBPyConnection, folder: Path, file_format: str) -> dict[str, int]:
    options = "format parquet, compression zstd" if file_format == "parquet" else "format csv, header"
    jobs = {
        f"CIN_{FIRST_RETURN_YEAR}_to_{LAST_RETURN_YEAR}": (
            "select * from cin_extract order by CIN_ACADYR, CIN_LA, CIN_LAchildID_Anon, CIN_ReferralDate"
        ),
        "CLA_Episode_Data": (
            "select * from cla_extract "
            "order by cla_PROCESSING_YEAR, cla_CLA_LA, cla_CHILD_LA_CODE_Anon, date_episode_started"
        ),
        "LA_Statistics": "select * from la_statistics order by all",
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
        jobs[f"Spring_Census_{year}"] = (
            f"select {spring} from census_extract where census_year = {year} order by PupilMatchingRefAnonymous"
        )
        absent = ", ".join(
            f"{measure}_{term} as {measure}_{term}_ab{short}"
            for measure in ("SessionsPossible", "UnauthorisedAbsence")
            for term in ("Autumn", "Spring", "Summer", "Summer6th")
        )
        jobs[f"Absence_{year}_3Term"] = (
            f"select PupilMatchingRefAnonymous as PupilMatchingRefAnonymous_ab{short}, "
            f"NCyearActual as NCyearActual_ab{short}, {absent} from absence_extract "
            f"where school_year = {year} order by 1, 3"
        )
    rows = {}
    for name, query in jobs.items():
        result = con.execute(f"copy ({query}) to '{folder / name}.{file_format}' ({options})").fetchone()
        rows[name] = int(result[0]) if result else 0
    return rows


def _write_truth(con: duckdb.DuckDBPyConnection, folder: Path, scenario: Scenario) -> None:
    con.execute(_sql("realised"))
    for table, file_format in (
        ("potential_outcomes", "parquet"),
        ("planned_rates", "csv, header"),
        ("planned_las", "csv, header"),
        ("realised_effects", "csv, header"),
    ):
        place = folder / f"{table}.{file_format.split(',')[0]}"
        con.execute(f"copy (select * from {table} order by all) to '{place}' (format {file_format})")
    with (folder / "scenario.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["size", "seed", "trial_start", "trial_end", "last_day"])
        writer.writerow([scenario.size, scenario.seed, scenario.trial_start, scenario.trial_end, LAST_DAY])
