"""Published LA tables: known by header, landed figure by figure, markers never 0, checked against what is known."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import SEEDS, shared_dir
from sfpc.errors import InputError
from sfpc.landing.gate import Gate
from sfpc.landing.published import LA_LEVEL, MARKERS, MONTHS, PUBLISHED_TABLES, land_published, table_of
from sfpc.settings import Paths
from sfpc.synthetic.extracts import synthesise

# Section F of the facts about raw data: referrals in England by year, as DfE publishes them.
ENGLAND = {2018: 655_630, 2019: 650_930, 2020: 642_980, 2021: 597_760, 2022: 650_270, 2023: 640_430, 2024: 621_880}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run with its published tables; the folder of its extracts."""
    folder = tmp_path_factory.mktemp("published")
    synthesise("small", 5, folder / "extracts", folder / "truth", SEEDS, volume=0.04, quiet=True)
    return folder / "extracts"


@pytest.fixture(scope="module")
def figures(twin: Path) -> Path:
    """The real tables where they are at hand, else the twin."""
    shared = shared_dir()
    return shared / "reference-data" / "published" if shared else twin / "published"


def land(folder: Path, target: Path) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Land a folder of published tables alone; its rows (without provenance) and the manifest with the account."""
    with Gate(target, "national", base=folder) as gate:
        land_published(folder, gate)
        account = gate.commit()
    rows = duckdb.execute(
        "select published_table, la_code, ons_code, time_period, breakdown, measure, value "
        f"from read_parquet('{target}/published_figures/*.parquet') order by all"
    ).fetchall()
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    return rows, {**manifest, "account": account.to_dict("records")}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as handle:
        return list(csv.DictReader(handle))


def write(path: Path, rows: list[dict[str, str]], header: list[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, header or list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def file_of(folder: Path, table: str) -> Path:
    (path,) = (p for p in folder.glob("*.csv") if (t := table_of(tuple(read(p)[0]))) and t.name == table)
    return path


def test_every_cell_of_an_la_lands_and_every_other_row_is_counted(figures: Path, tmp_path: Path) -> None:
    """Counted anew from the files: rows of LAs times the figures of their table, the rest out of scope."""
    rows, manifest = land(figures, tmp_path / "landing")
    expected: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    for path in figures.glob("*.csv"):
        table = table_of(tuple(read(path)[0]))
        assert table is not None, path.name
        for row in read(path):
            if row["geographic_level"] == LA_LEVEL:
                expected[table.name] += len(table.measures) + len(table.months)
            else:
                elsewhere[path.name] += 1
    assert Counter(r[0] for r in rows) == expected
    assert set(expected) == {t.name for t in PUBLISHED_TABLES}
    told: Counter[str] = Counter()
    for entry in manifest["out_of_scope"]:
        told[entry["file"]] += entry["rows"]
        assert entry["geographic_level"] in ("National", "Regional")
    assert told == elsewhere
    assert all(a["raw"] == a["landed"] for a in manifest["account"])
    assert manifest["ignored"] == []
    assert all(r[6] in MARKERS or float(r[6]) >= 0 for r in rows)


def test_totals_of_the_las_are_the_published_ones(figures: Path, tmp_path: Path) -> None:
    """Section F: England's referrals by year; what an LA's marker hides is the only difference."""
    rows, _ = land(figures, tmp_path / "landing")
    published = {
        int(r["time_period"]): int(r["referral_count"])
        for r in read(file_of(figures, "c1"))
        if r["geographic_level"] == "National"
    }
    if shared_dir() is not None:
        assert {y: published[y] for y in ENGLAND} == ENGLAND
    hidden = {int(r[3]) for r in rows if r[0] == "c1" and r[5] == "referral_count" and r[6] in MARKERS}
    summed: Counter[int] = Counter()
    by_month: Counter[int] = Counter()
    for table, _, _, period, breakdown, measure, value in rows:
        if value not in MARKERS and table == "c1" and measure == "referral_count":
            summed[int(period)] += int(value)
        if value not in MARKERS and table == "c6" and breakdown in MONTHS:
            by_month[int(period)] += int(value)
    assert len(published) >= 8
    for year, england in published.items():
        assert summed[year] <= england + 5, year
        if year not in hidden:
            assert abs(summed[year] - england) <= 5, year
    # Months of small LAs are hidden one by one: a little less than the year, never more.
    for year, months in by_month.items():
        assert 0.97 * summed[year] <= months <= summed[year], year


def test_markers_stay_text_and_a_zero_stays_a_zero(twin: Path, tmp_path: Path) -> None:
    """Trap 25."""
    path = file_of(twin / "published", "c1")
    rows = [r for r in read(path) if r["geographic_level"] == LA_LEVEL][:1]
    measures = next(t for t in PUBLISHED_TABLES if t.name == "c1").measures
    values = [*MARKERS, "0", "0.0", "7", ""]
    rows[0] |= dict(zip(measures, values, strict=True))
    write(tmp_path / "in" / "any name.csv", rows)
    landed, _ = land(tmp_path / "in", tmp_path / "landing")
    assert {r[5]: r[6] for r in landed} == dict(zip(measures, [*values[:-1], None], strict=True))


@pytest.mark.parametrize("table", [t.name for t in PUBLISHED_TABLES])
def test_a_table_is_known_by_its_header_alone(table: str, twin: Path, tmp_path: Path) -> None:
    """Other file name, other order and case of columns, byte order mark, title rows: the same figures."""
    path = file_of(twin / "published", table)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / path.name).write_bytes(path.read_bytes())
    rows = read(path)
    names = list(rows[0])
    random.Random(7).shuffle(names)
    other = write(tmp_path / "other" / "Download (3).csv", rows, names)
    text = other.read_text(encoding="utf-8").split("\n", 1)
    other.write_text("Source: DfE\n\n" + text[0].upper() + "\n" + text[1], encoding="utf-8-sig")
    assert land(tmp_path / "plain", tmp_path / "a")[0] == land(tmp_path / "other", tmp_path / "b")[0]


def test_an_la_is_its_code_never_its_name(twin: Path, tmp_path: Path) -> None:
    """Trap 24: names vary, hold commas and are not read; an ONS code serves where there is no other."""
    path = file_of(twin / "published", "d3")
    rows = [r for r in read(path) if r["geographic_level"] == LA_LEVEL][:3]
    rows[0]["la_name"] = "Somewhere, City of"
    rows[1]["old_la_code"] = ""
    rows[2]["old_la_code"] = "z"
    write(tmp_path / "in" / "d3.csv", rows)
    landed, _ = land(tmp_path / "in", tmp_path / "landing")
    codes = {(r[1], r[2]) for r in landed}
    assert codes == {
        (rows[0]["old_la_code"], rows[0]["new_la_code"]), (None, rows[1]["new_la_code"]), (None, rows[2]["new_la_code"])
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CPP_start": "12*"}, r"row 3, column CPP_start: expected a number or one of the markers c x z u - k"),
        ({"CPP_start": "low"}, r"row 3, column CPP_start: expected a number"),
        ({"old_la_code": "", "new_la_code": ""}, r"row 3, column old_la_code: expected a three-digit code"),
        ({"time_period": ""}, r"row 3, column time_period: expected a year"),
    ],
)
def test_what_cannot_be_read_is_refused_by_row_and_column(
    change: dict[str, str], message: str, twin: Path, tmp_path: Path
) -> None:
    rows = [r for r in read(file_of(twin / "published", "d3")) if r["geographic_level"] == LA_LEVEL][:4]
    rows[1] |= change
    write(tmp_path / "in" / "d3.csv", rows)
    with pytest.raises(InputError, match=message):
        land(tmp_path / "in", tmp_path / "landing")
    assert not (tmp_path / "landing").exists()


def test_two_editions_of_a_table_are_refused(twin: Path, tmp_path: Path) -> None:
    """Figures are revised: nothing here may choose between two of them."""
    rows = read(file_of(twin / "published", "c1"))
    write(tmp_path / "in" / "edition_1.csv", [r for r in rows if r["time_period"] <= "2020"])
    write(tmp_path / "in" / "edition_2.csv", [r for r in rows if r["time_period"] > "2020"])
    assert land(tmp_path / "in", tmp_path / "landing")[0]
    write(tmp_path / "in" / "edition_2.csv", [r for r in rows if r["time_period"] >= "2020"])
    with pytest.raises(InputError, match=r"period 2020 of table c1 stands in edition_1\.csv too"):
        land(tmp_path / "in", tmp_path / "landing")


def test_other_files_are_ignored_and_a_missing_folder_is_one_sentence(twin: Path, tmp_path: Path) -> None:
    write(tmp_path / "in" / "c1.csv", read(file_of(twin / "published", "c1")), None)
    (tmp_path / "in" / "notes.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "in" / "page.html").write_text("<html>", encoding="utf-8")
    _, manifest = land(tmp_path / "in", tmp_path / "landing")
    assert {i["file"] for i in manifest["ignored"]} == {"notes.csv", "page.html"}
    with pytest.raises(InputError, match="expected a folder of published tables"):
        land(tmp_path / "nowhere", tmp_path / "landing")


# --- The synthetic twin --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twin_figures(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], str]:
    rows, _ = land(twin / "published", tmp_path_factory.mktemp("twin") / "landing")
    return {(r[0], r[1], r[3], r[4] or "", r[5]): r[6] for r in rows}


def counts(query: str) -> dict[tuple[Any, ...], int]:
    return {row[:-1]: row[-1] for row in duckdb.execute(query).fetchall()}


def agree(shown: dict[tuple[Any, ...], str], counted: dict[tuple[Any, ...], int]) -> int:
    """Every figure is the count, hidden where it is 1 to 5, x where the LA sent nothing; how many were compared."""
    compared = 0
    for key, value in shown.items():
        count = counted.get(key, 0)
        if value == "x":
            assert count == 0, key
        else:
            assert value == ("c" if 0 < count < 6 else str(count)), key
            compared += 1
    assert {k for k, n in counted.items() if n} <= set(shown)
    return compared


def test_referrals_of_the_twin_are_those_of_the_extracts(twin: Path, twin_figures: dict[tuple[str, ...], str]) -> None:
    """c6 by LA and month and c1 by LA and year, counted anew from the file of the census."""
    referrals = (
        "select distinct CIN_LA as la, CIN_LAchildID_Anon as child, CIN_ReferralDate as d, "
        "year(d) + (month(d) >= 4)::integer as y from read_parquet('" + str(twin) + "/CIN_*.parquet') "
        "where right(CIN_ACADYR, 4)::integer = y"
    )
    by_month = counts(f"select la, y::varchar, monthname(d), count(*) from ({referrals}) group by all")
    shown = {(k[1], k[2], k[3]): v for k, v in twin_figures.items() if k[0] == "c6" and k[3] != "Total"}
    assert agree(shown, by_month) > 1500
    by_year = counts(f"select la, y::varchar, count(*) from ({referrals}) group by all")
    shown_years = {(k[1], k[2]): v for k, v in twin_figures.items() if k[0] == "c1" and k[4] == "referral_count"}
    assert agree(shown_years, by_year) > 150
    assert {k: v for k, v in shown_years.items()} == {
        (k[1], k[2]): v for k, v in twin_figures.items() if k[0] == "c6" and k[3] == "Total"
    }


def test_plans_and_care_of_the_twin_are_those_of_the_extracts(
    twin: Path, twin_figures: dict[tuple[str, ...], str]
) -> None:
    plans = counts(
        "select la, y::varchar, count(*) from (select distinct CIN_LA as la, CIN_LAchildID_Anon, "
        f"CIN_CPPstartDate as d, right(CIN_ACADYR, 4)::integer as y from read_parquet('{twin}/CIN_*.parquet')) "
        "where year(d) + (month(d) >= 4)::integer = y group by all"
    )
    assert (
        agree({(k[1], k[2]): v for k, v in twin_figures.items() if k[0] == "d3" and k[4] == "CPP_start"}, plans) > 150
    )
    starts = counts(
        "select la, y::varchar, count(distinct child) from (select cla_CLA_LA as la, cla_CHILD_LA_CODE_Anon as child, "
        f"poc_start as d, cla_PROCESSING_YEAR as y from read_parquet('{twin}/CLA_*.parquet') "
        "where legal_status not in ('V3', 'V4')) "
        "where year(d) + (month(d) >= 4)::integer = y and y >= 2021 group by all"
    )
    kind = "Children starting to be looked after each year"
    shown = {
        (k[1], k[2]): v for k, v in twin_figures.items() if k[0] == "cla" and k[3] == kind and k[4] == "children_count"
    }
    assert agree(shown, starts) > 90


def test_the_twin_has_small_cells_gaps_and_a_reorganised_la(twin_figures: dict[tuple[str, ...], str]) -> None:
    marks = Counter(v for v in twin_figures.values() if v in MARKERS)
    assert marks["c"] > 50 and marks["x"] > 50 and marks["z"] > 0
    years = {(k[1], k[2]) for k in twin_figures if k[0] == "c1"}
    assert ("928", "2021") in years and ("928", "2022") not in years
    assert {("940", "2022"), ("941", "2022")} <= years and ("940", "2021") not in years
    assert twin_figures["c1", "204", "2021", "Referrals and Re-referrals", "referral_count"] == "x"
    assert {k[2] for k in twin_figures if k[0] == "absence"} >= {"201819", "201920", "202425"}
    assert {v for k, v in twin_figures.items() if k[0] == "absence" and k[2] == "201920"} == {"x"}


def test_the_warehouse_reads_the_figures_by_code_and_year(synthetic: Paths) -> None:
    """stg_la__published_figures: numbers and markers apart, LA codes of the register, months in their own year."""
    with duckdb.connect(str(synthetic.build_db), read_only=True) as con:
        found = con.execute(
            "select published_table, count(*), count(value), count(status_marker), count(month_start_date), "
            "count(financial_year_end), count(academic_year_end), count(mid_year) "
            "from staging.stg_la__published_figures group by 1"
        ).fetchall()
        wrong = con.execute(
            "select count(*) from staging.stg_la__published_figures where published_table = 'c6' and "
            "(month_number is null) <> (breakdown = 'Total') or year(month_start_date) + (month_number >= 4)::integer "
            "<> financial_year_end"
        ).fetchone()
    assert {row[0] for row in found} == {t.name for t in PUBLISHED_TABLES}
    for table, rows, values, markers, months, financial, academic, mid in found:
        assert rows == values + markers > 0, table
        assert months == (rows * 12 // 13 if table == "c6" else 0)
        assert (financial, academic, mid) == {"absence": (0, rows, 0), "population": (0, 0, rows)}.get(
            table, (rows, 0, 0)
        )
    assert wrong == (0,)
