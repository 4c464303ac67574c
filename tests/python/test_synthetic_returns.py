"""Synthetic returns: what is written reads back as it was, and the readers' counts on whole sets.

The tests of whole sets run on synthetic twins, made here from small tables, and on the fake returns of
other projects where the folder SFPC_SHARED_DIR (../shared beside the repository by default) is there.
"""

from __future__ import annotations

import csv
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from sfpc.errors import InputError, SfpcError
from sfpc.landing.gate import Gate
from sfpc.landing.layout import TABLES
from sfpc.landing.pseudonym import pupil_pseudonym
from sfpc.landing.returns import land_returns
from sfpc.landing.ssda903 import FILES
from sfpc.synthetic.returns import write_returns

KEY = b"k" * 32
ROOT = Path(__file__).resolve().parents[2]
SAMPLES = (ROOT / os.environ.get("SFPC_SHARED_DIR", "../shared")).resolve() / "samples"

Rows = list[dict[str, Any]]


def quiet(_: str) -> None:
    pass


def write_tables(folder: Path, **tables: Rows) -> Path:
    """Canonical landing tables as typed Parquet."""
    con = duckdb.connect()
    for name in ("cin_records", "cla_episodes", "cla_children"):
        columns = [(c.name, c.type) for c in TABLES[name].columns]
        con.execute(f"create table {name} ({', '.join(f'{n} {t}' for n, t in columns)})")
        for row in tables.get(name, []):
            assert set(row) <= {n for n, _ in columns}
            marks = ", ".join("?" for _ in columns)
            con.execute(f"insert into {name} values ({marks})", [row.get(n) for n, _ in columns])
        (folder / name).mkdir(parents=True)
        con.execute(f"copy {name} to '{folder / name / 'part.parquet'}' (format parquet)")
    con.close()
    return folder


def cin(child: str, referral_date: str, **values: Any) -> dict[str, Any]:
    row = {"return_year": 2022, "la_code": "901", "referral_source": "1A", "referral_nfa": "0"}
    row |= {"birth_year": 2012, "birth_month": 9, "is_expected_birth": "0", "is_unborn": "0"}
    row |= {"gender": "1", "ethnicity": "WBRI", "disability": "NONE"}
    return row | {"la_child_id": child, "referral_date": referral_date} | values


def cin_tables() -> Rows:
    """Thirty children of one LA and year, with plans of both kinds, several referrals, unborn ones."""
    rows = []
    for i in range(30):
        child = f"{i:04d}"
        values: dict[str, Any] = {"pupil_id": f"p{i}" if i % 3 else None, "gender": "0129"[i % 4]}
        if i % 10 == 0:
            values |= {"is_expected_birth": "1", "is_unborn": "1", "birth_year": 2022, "birth_month": 6}
        first = cin(child, f"2021-{4 + i % 6:02d}-{1 + i % 28:02d}", primary_need=f"N{i % 9}", **values)
        plans: Rows = []
        if i % 2:
            start = "2021-11-02"
            plans += [{"cin_plan_start_date": start, "cin_plan_end_date": "2021-12-01"}]
            plans += [{"cin_plan_start_date": "2022-02-01"}]
        if i % 5 == 0:
            plans += [
                {
                    "cpp_start_date": f"2021-12-{d:02d}",
                    "cpp_end_date": f"2021-12-{d + 5:02d}",
                    "cpp_initial_category": "NEG",
                    "cpp_previous_count": d // 10,
                }
                for d in (3, 13)
            ]
        rows += [first | plan for plan in plans or [{}]]
        if i % 4 == 0:
            closed = {"closure_date": "2022-03-01", "closure_reason": "RC8"}
            rows += [cin(child, "2022-01-15", primary_need="N1", **values) | closed]
    return rows


def cla_tables() -> tuple[Rows, Rows]:
    """Five years of one LA: an episode still open on 31 March is there again a year later."""
    episodes, children = [], []
    for year in range(2017, 2022):
        for i in range(20):
            if i % 5 == year % 5:
                continue
            key = {"return_year": year, "la_code": "901", "la_child_id": f"{i:03d}"}
            about = {"birth_year": 2005 + i % 10, "birth_month": 1 + i % 12, "gender": "12"[i % 2]}
            uasc = {"uasc_status": "01"[i % 7 == 3], "pupil_id": f"p{i}", "ethnicity": "AOTH"}
            children.append(key | about | uasc)
            care = {"legal_status": "C2" if i % 4 else "V4", "category_of_need": "N1"}
            care |= {"reason_for_new_episode": "S", "placement": "U1"}
            start = f"{year - 1}-0{4 + i % 5}-20" if i % 3 else "2016-05-01"
            end = {} if i % 3 == 0 and year < 2021 else {"episode_end_date": f"{year}-02-28"}
            reason = {"reason_episode_ceased": "E4A"} if end else {}
            episodes.append(key | care | {"episode_start_date": start} | end | reason)
    return episodes, children


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic returns in the layout of the samples."""
    folder = tmp_path_factory.mktemp("twins")
    episodes, children = cla_tables()
    tables = {"cin_records": cin_tables(), "cla_episodes": episodes, "cla_children": children}
    write_returns(write_tables(folder / "landing", **tables), folder / "returns", progress=quiet)
    return folder / "returns"


@dataclass
class Collected:
    """What the readers handed to the gate."""

    tables: dict[str, pd.DataFrame]
    ignored: dict[str, str]


def collect(directory: Path) -> Collected:
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    found = Collected({}, {})

    class Collector:
        def add_rows(self, table: str, file: Path, rows: pd.DataFrame, date_format: str) -> None:
            frames[table].append(rows.assign(source_file=str(file), date_format=date_format))

        def add_empty(self, table: str, file: Path) -> None:
            pass

        def note_ignored(self, file: Path, reason: str) -> None:
            found.ignored[file.name] = reason

    land_returns(directory, Collector(), KEY, progress=quiet)
    found.tables = {name: pd.concat(parts) for name, parts in frames.items() if parts}
    return found


def comparable(frame: pd.DataFrame, columns: list[str], date_format: str) -> list[tuple[Any, ...]]:
    """Rows as sorted text, dates as ISO."""
    rows = frame[columns].copy()
    for name in columns:
        if name.endswith("_date") and date_format == "uk":
            rows[name] = pd.to_datetime(rows[name], format="%d/%m/%Y").dt.strftime("%Y-%m-%d")
    rows = rows.astype(object).where(rows.notna(), "")
    return sorted(tuple(str(value) for value in row) for row in rows.to_numpy())


def expected(rows: Rows, columns: list[str]) -> list[tuple[str, ...]]:
    return sorted(tuple("" if r.get(c) is None else str(r.get(c)) for c in columns) for r in rows)


# Whole sets, synthetic and shared


@dataclass
class WholeSet:
    """A folder of returns and the numbers that are known of it."""

    directory: Path
    rows: int
    keys: int
    children: int


def the_sets(sub: str) -> list[str]:
    return ["twin", *(["shared"] if (SAMPLES / sub).exists() else [])]


@pytest.fixture(params=the_sets("ssda903/five-years"))
def five_years(request: pytest.FixtureRequest, twins: Path) -> WholeSet:
    if request.param == "shared":
        return WholeSet(SAMPLES / "ssda903" / "five-years", 3737, 2827, 2123)
    episodes, children = cla_tables()
    keys = {(r["la_child_id"], r["episode_start_date"]) for r in episodes}
    assert len(keys) < len(episodes), "the twin has episodes that are reported again"
    return WholeSet(twins / "901" / "ssda903", len(episodes), len(keys), len(children))


@pytest.fixture(params=the_sets("cin/fake_CIN_data.xml"))
def one_census(request: pytest.FixtureRequest, twins: Path, tmp_path: Path) -> WholeSet:
    if request.param == "shared":
        # A folder of its own: the reader takes folders. The file itself stays where it is.
        (tmp_path / "cin.xml").symlink_to(SAMPLES / "cin" / "fake_CIN_data.xml")
        return WholeSet(tmp_path, 402, 402, 332)
    rows = cin_tables()
    keys = {(r["la_child_id"], r["referral_date"]) for r in rows}
    return WholeSet(twins / "901" / "cin", len(rows), len(keys), 30)


def test_five_years_of_episodes(five_years: WholeSet) -> None:
    found = collect(five_years.directory)
    episodes, children = found.tables["cla_episodes"], found.tables["cla_children"]
    assert len(episodes) == five_years.rows
    assert len(episodes[["la_child_id", "episode_start_date"]].drop_duplicates()) == five_years.keys
    assert len(children) == five_years.children
    assert sorted(episodes["return_year"].unique()) == ["2017", "2018", "2019", "2020", "2021"]
    for frame in (episodes, children):
        assert not frame.duplicated(["source_file", "source_row"]).any()
    assert set(children["uasc_status"]) == {"0", "1"}
    assert found.ignored["2017-ad1.csv"] == "empty: 0 rows and no header"


def test_five_years_hold_no_day_of_birth(five_years: WholeSet) -> None:
    raw = "\n".join(p.read_text(encoding="utf-8") for p in five_years.directory.glob("*-header.csv"))
    births = set(re.findall(r"\d\d/\d\d/\d{4}", raw))
    assert births
    children = collect(five_years.directory).tables["cla_children"].drop(columns="source_file")
    assert not births & set(children.astype(str).to_numpy().ravel())
    assert children["birth_month"].astype(int).between(1, 12).all()


def test_the_gate_lands_five_years(five_years: WholeSet, tmp_path: Path) -> None:
    with Gate(tmp_path / "landing", "returns") as gate:
        land_returns(five_years.directory, gate, KEY, progress=quiet)
        account = gate.commit().groupby("table")[["raw", "landed", "quarantined"]].sum()
    assert account.loc["cla_episodes"].tolist() == [five_years.rows, five_years.rows, 0]
    assert account.loc["cla_children"].tolist() == [five_years.children, five_years.children, 0]


def test_one_census_of_children_and_referrals(one_census: WholeSet) -> None:
    rows = collect(one_census.directory).tables["cin_records"]
    assert len(rows) == one_census.rows
    assert rows["la_child_id"].nunique() == one_census.children
    assert len(rows[["la_child_id", "referral_date"]].drop_duplicates()) == one_census.keys
    assert rows["source_row"].tolist() == list(range(1, len(rows) + 1))
    assert set(rows["return_year"]) == {"2022"}


def test_one_census_holds_no_day_of_birth(one_census: WholeSet) -> None:
    (path,) = one_census.directory.glob("*.xml")
    births = set(re.findall(r"BirthDate>([^<]+)<", path.read_text(encoding="utf-8")))
    assert births
    rows = collect(one_census.directory).tables["cin_records"]
    others = rows[[c for c in rows.columns if not c.endswith("_date") and c != "source_file"]]
    assert not births & set(others.astype(str).to_numpy().ravel())


# What is written


def test_round_trip_of_referrals_and_plans(twins: Path) -> None:
    columns = [c for c in TABLES["cin_records"].names if c != "pupil_id"]
    read = collect(twins).tables["cin_records"]
    assert comparable(read, columns, "iso") == expected(cin_tables(), columns)


def test_round_trip_of_episodes_and_children(twins: Path) -> None:
    found = collect(twins).tables
    episodes, children = cla_tables()
    columns = TABLES["cla_episodes"].names
    assert comparable(found["cla_episodes"], columns, "uk") == expected(episodes, columns)
    columns = [c for c in TABLES["cla_children"].names if c != "pupil_id"]
    assert comparable(found["cla_children"], columns, "uk") == expected(children, columns)


def test_pupils_stay_apart_and_are_the_same_in_both_returns(twins: Path) -> None:
    found = collect(twins).tables
    cin_pairs = found["cin_records"][["la_child_id", "pupil_id"]].drop_duplicates()
    assert cin_pairs["pupil_id"].dropna().nunique() == cin_pairs["pupil_id"].notna().sum() == 20
    children = found["cla_children"]
    by_child = children.groupby("la_child_id")["pupil_id"].nunique()
    assert len(by_child) == 20 and (by_child == 1).all()
    # p1 is child 0001 of the census and child 001 of SSDA903.
    in_cin = cin_pairs.set_index("la_child_id").loc["0001", "pupil_id"]
    assert in_cin == children.set_index("la_child_id").loc["001", "pupil_id"].iloc[0]


def test_order_of_elements_and_codes_by_year(tmp_path: Path) -> None:
    full = {
        "pupil_id": "p",
        "primary_need": "N3",
        "closure_date": "2022-03-01",
        "closure_reason": "RC7",
        "disability": "HAND,HEAR",
    }
    cpp = {"cpp_start_date": "2021-08-01", "cpp_end_date": "2021-09-01", "cpp_initial_category": "EMO"}
    plan = {"cin_plan_start_date": "2021-07-01", "cin_plan_end_date": "2021-08-01"}
    rows = [
        cin("A&<1>", "2021-06-01", **full, **cpp, **plan, cpp_previous_count=2),
        cin("flag", "2021-06-01", disability="1"),
        cin("none", "2021-06-01", disability="0", gender=None, birth_year=None, birth_month=None),
        cin("late", "2024-06-01", return_year=2025, gender="9", referral_nfa="true"),
        cin("bump", "2024-06-01", return_year=2025, gender="M", is_unborn="1", birth_year=2025),
    ]
    landing = write_tables(tmp_path / "landing", cin_records=rows)
    written = write_returns(landing, tmp_path / "out", progress=quiet)
    assert (written.cin_files, written.children, written.referrals) == (2, 5, 5)
    assert (written.cpps, written.cin_plans, written.ssda903_sets) == (1, 1, 0)
    root = ET.parse(tmp_path / "out" / "901" / "cin" / "CIN_2022.xml").getroot()
    assert [e.tag for e in root.iter()][:15] == [
        "Message",
        "Header",
        "CollectionDetails",
        "Collection",
        "Year",
        "ReferenceDate",
        "Source",
        "SourceLevel",
        "LEA",
        "SoftwareCode",
        "Release",
        "SerialNo",
        "DateTime",
        "Children",
        "Child",
    ]
    assert root.findtext(".//ReferenceDate") == "2022-03-31"
    children = {c.findtext(".//LAchildID"): c for c in root.iter("Child")}
    first = children["A&<1>"]
    assert [e.tag for group in ("ChildIdentifiers", "ChildCharacteristics") for e in first.find(group)] == [
        "LAchildID",
        "UPN",
        "PersonBirthDate",
        "GenderCurrent",
        "Ethnicity",
        "Disabilities",
    ]
    assert [e.tag for e in first.find("CINdetails")] == [
        "CINreferralDate",
        "ReferralSource",
        "PrimaryNeedCode",
        "CINclosureDate",
        "ReasonForClosure",
        "Assessments",
        "CINPlanDates",
        "Section47",
        "ReferralNFA",
        "ChildProtectionPlans",
    ]
    assert [e.tag for e in first.find(".//ChildProtectionPlans")] == [
        "CPPstartDate",
        "CPPendDate",
        "InitialCategoryOfAbuse",
        "LatestCategoryOfAbuse",
        "NumberOfPreviousCPP",
    ]
    assert first.findtext(".//PersonBirthDate") == "2012-09-15"
    assert [e.text for e in first.iter("Disability")] == ["HAND", "HEAR"]
    assert re.fullmatch(r"S\d{12}", first.findtext(".//UPN") or "")
    assert pupil_pseudonym(first.findtext(".//UPN"), KEY)
    assert children["flag"].findtext(".//Disability") == "DDA"
    assert children["flag"].findtext(".//UPNunknown") == "UN6"
    assert children["none"].findtext(".//Disability") == "NONE"
    assert children["none"].find(".//PersonBirthDate") is None
    assert children["none"].find(".//GenderCurrent") is None
    root = ET.parse(tmp_path / "out" / "901" / "cin" / "CIN_2025.xml").getroot()
    children = {c.findtext(".//LAchildID"): c for c in root.iter("Child")}
    assert children["late"].findtext(".//Sex") == "U"
    assert children["late"].find(".//GenderCurrent") is None
    assert children["late"].findtext(".//ReferralNFA") == "true"
    assert children["bump"].findtext(".//Sex") == "M"
    assert children["bump"].findtext(".//ExpectedPersonBirthDate") == "2025-09-15"
    assert children["bump"].find(".//PersonBirthDate") is None
    assert children["bump"].findtext(".//UPNunknown") == "UN1"


def test_csv_layout(twins: Path) -> None:
    folder = twins / "901" / "ssda903"
    names = ("ad1", "episodes", "header", "uasc")
    assert sorted(p.name for p in folder.iterdir()) == [
        f"{year}-{name}.csv" for year in range(2017, 2022) for name in names
    ]
    assert (folder / "2019-ad1.csv").read_bytes() == b"\n"
    for name, kind in (("episodes", "Episodes"), ("header", "Header"), ("uasc", "UASC")):
        text = (folder / f"2019-{name}.csv").read_bytes()
        assert b"\r" not in text
        lines = list(csv.reader(text.decode().splitlines()))
        assert tuple(lines[0]) == FILES[kind]
        assert len(lines) > 1 and {len(line) for line in lines} == {len(FILES[kind])}
    episodes = pd.read_csv(folder / "2019-episodes.csv", dtype=str)
    assert episodes["DECOM"].str.fullmatch(r"\d\d/\d\d/\d{4}").all()
    assert episodes[["HOME_POST", "PL_POST", "URN"]].isna().all(axis=None)
    assert episodes["DEC"].isna().equals(episodes["REC"].isna())
    assert pd.read_csv(folder / "2019-header.csv", dtype=str)["DOB"].str.startswith("15/").all()


def test_sets_with_only_one_kind_of_row(tmp_path: Path) -> None:
    key = {"return_year": 2025, "la_code": "902", "la_child_id": "1"}
    child = key | {"gender": "1", "birth_year": 2022, "birth_month": 3, "uasc_status": "1"}
    episode = key | {"return_year": 2024, "episode_start_date": "2023-05-01"}
    landing = write_tables(tmp_path / "landing", cla_children=[child], cla_episodes=[episode])
    write_returns(landing, tmp_path / "out", progress=quiet)
    folder = tmp_path / "out" / "902" / "ssda903"
    assert len(list(folder.iterdir())) == 8
    assert (folder / "2025-episodes.csv").read_text().count("\n") == 1
    assert (folder / "2025-header.csv").read_text().splitlines()[1] == "1,M,15/03/2022,,UN1,,"
    assert (folder / "2025-uasc.csv").read_text().splitlines()[1] == "1,M,15/03/2022,"
    assert (folder / "2024-episodes.csv").read_text().splitlines()[1] == "1,01/05/2023" + "," * 11


def test_same_tables_same_bytes(tmp_path: Path) -> None:
    episodes, children = cla_tables()
    tables = {"cin_records": cin_tables(), "cla_episodes": episodes, "cla_children": children}
    backwards = {name: rows[::-1] for name, rows in tables.items()}
    one = write_tables(tmp_path / "landing", **tables)
    two = write_tables(tmp_path / "shuffled", **backwards)
    contents = []
    for landing in (one, two):
        target = tmp_path / f"out_{landing.name}"
        write_returns(landing, target, progress=quiet)
        contents.append({p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]
    write_returns(one, tmp_path / "part", ["901"], [2019, 2022], progress=quiet)
    part = {p.relative_to(tmp_path / "part"): p.read_bytes() for p in (tmp_path / "part").rglob("*.*")}
    assert part == {p: b for p, b in contents[0].items() if "2019" in p.name or "2022" in p.name}


def test_rows_told_twice_are_one_referral(tmp_path: Path) -> None:
    plan = {"cin_plan_start_date": "2021-07-01"}
    rows = [cin("1", "2021-06-01"), cin("1", "2021-06-01", **plan), cin("1", "2021-06-01", **plan)]
    written = write_returns(write_tables(tmp_path / "landing", cin_records=rows), tmp_path / "out", progress=quiet)
    assert (written.children, written.referrals, written.cin_plans) == (1, 1, 1)


def test_refusals_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = write_tables(tmp_path / "landing", cin_records=[cin("1", "2021-06-01")])
    target = tmp_path / "out"

    def refused(error: type[Exception], match: str, call: Callable[[], object]) -> None:
        with pytest.raises(error, match=match):
            call()
        assert not target.exists()
        assert {p.name for p in tmp_path.iterdir()} <= {"landing", "bad", "full"}

    refused(InputError, "no rows of the LAs", lambda: write_returns(landing, target, ["999"], progress=quiet))
    refused(InputError, "expected Parquet files", lambda: write_returns(tmp_path, target, progress=quiet))
    bad = write_tables(tmp_path / "bad", cin_records=[cin("1", "2021-06-01", la_code="../x")])
    refused(InputError, "not an LA code", lambda: write_returns(bad, target, progress=quiet))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("x")
    refused(SfpcError, "holds files already", lambda: write_returns(landing, full, progress=quiet))
    assert (full / "mine.txt").exists()
    write_returns(landing, full, replace=True, progress=quiet)
    assert [p.name for p in full.rglob("*.*")] == ["CIN_2022.xml"]
