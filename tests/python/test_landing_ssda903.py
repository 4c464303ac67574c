"""SSDA903 in every form: the same children as CSV, flat file, XML and workbook land identically.

Source: docs/raw_data.md, section B.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from conftest import ROOT, shared_dir
from sfpc.errors import InputError
from sfpc.landing.gate import Gate
from sfpc.landing.la_register import LaRegister, UnknownLa, la_register
from sfpc.landing.layout import TABLES
from sfpc.landing.pseudonym import NOT_A_DATE
from sfpc.landing.returns import LandedReturns, discover, land_returns
from sfpc.landing.ssda903 import FILES, count_rows, identify, read_children, read_episodes
from sfpc.landing.text import MISSING
from sfpc.landing.workbook import read_sheets

KEY = b"k" * 32
UPN = "A123456789012"
KINDS = ("Header", "Episodes", "UASC")


def register() -> list[dict[str, str]]:
    with (ROOT / "seeds/reference/local_authority_codes.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


LA = register()[30]
OTHER_LA = register()[40]

# The same children in every form


@dataclass(frozen=True)
class Child:
    code: str
    sex: str
    born: date | None
    ethnicity: str
    upn: str
    is_uasc: bool


@dataclass(frozen=True)
class Episode:
    code: str
    start: date
    rne: str
    status: str
    placement: str
    end: date | None
    reason: str


@dataclass(frozen=True)
class Return:
    """What one LA returned for one year."""

    la: str
    year: int
    children: tuple[Child, ...]
    episodes: tuple[Episode, ...]


Cell = str | date | None
Tables = dict[str, list[dict[str, Cell]]]


def tables_of(data: Return) -> Tables:
    """Rows by kind of file; dates are dates."""
    return {
        "Header": [
            {"CHILD": c.code, "SEX": c.sex, "DOB": c.born, "ETHNIC": c.ethnicity, "UPN": c.upn} for c in data.children
        ],
        "Episodes": [
            {"CHILD": e.code, "DECOM": e.start, "RNE": e.rne, "LS": e.status, "CIN": "N1", "PLACE": e.placement}
            | {"PLACE_PROVIDER": "PR1", "DEC": e.end, "REC": e.reason, "HOME_POST": "AB1 2CD", "URN": "SC123456"}
            for e in data.episodes
        ],
        "UASC": [{"CHILD": c.code, "SEX": c.sex, "DOB": c.born} for c in data.children if c.is_uasc],
    }


def serial(day: date) -> str:
    return str((day - date(1899, 12, 30)).days)


STYLES: dict[str, Callable[[date], str]] = {
    "uk": lambda d: f"{d:%d/%m/%Y}",
    "uk with midnight": lambda d: f"{d:%d/%m/%Y} 00:00",
    "short": lambda d: f"{d:%d/%m/%y}",
    "named month": lambda d: f"{d:%Y-%b-%d} 00:00:00",
    "serial": serial,
}
EXPORT_STYLES = {**STYLES, "iso": date.isoformat, "iso with midnight": lambda d: f"{d}T00:00:00"}


def text_of(value: Cell, style: str) -> str:
    return EXPORT_STYLES[style](value) if isinstance(value, date) else value or ""


def write_csv(
    path: Path,
    columns: list[str],
    rows: list[dict[str, Cell]],
    style: str = "uk",
    encoding: str = "utf-8",
    end: str = "\n",
    delimiter: str = ",",
    titles: int = 0,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows([["Return – of the authority"]] * titles)
    writer.writerow(columns)
    writer.writerows([[text_of(row.get(name), style) for name in columns] for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue().encode(encoding))


def as_csv(data: Return, folder: Path, **options: Any) -> None:
    for kind, rows in tables_of(data).items():
        write_csv(folder / data.la / f"{data.year}-{kind}.csv", list(FILES[kind]), rows, **options)


def as_flat(data: list[Return], folder: Path, la_as: str, year_as: str, style: str) -> None:
    """One file per kind for all LAs and years."""
    named = {row["la_code"]: row for row in register()}
    for kind in KINDS:
        rows: list[dict[str, Cell]] = []
        for one in data:
            year = str(one.year) if year_as == "year" else f"{one.year - 1}/{one.year % 100:02d}"
            rows += [{**row, "LA": named[one.la][la_as], "YEAR": year} for row in tables_of(one)[kind]]
        write_csv(folder / f"{kind}.csv", [*FILES[kind], "LA", "YEAR"], rows, style)


def as_xml(data: Return, folder: Path, style: str, encoding: str = "us-ascii") -> Path:
    tables = tables_of(data)

    def leaf(name: str, value: Cell) -> str:
        return f"<{name}>{escape(text_of(value, style))}</{name}>" if value else f"<{name}/>"

    parts = []
    for row in tables["Header"]:
        code = row["CHILD"]
        names = {"CHILD": "CHILDID", "SEX": "SEX", "DOB": "DOB", "ETHNIC": "ETHNIC", "UPN": "UPN"}
        is_uasc = any(other["CHILD"] == code for other in tables["UASC"])
        parts.append(
            "<CHILD><HEADER>"
            + "".join(leaf(name, row[column]) for column, name in names.items())
            + (leaf("UASC", "1") if is_uasc else "<UASC/>")
            + "<AREVIEW><REVIEW>01/01/2019</REVIEW></AREVIEW></HEADER>"
            + "".join(
                "<EPISODE>"
                + "".join(leaf("PL" if n == "PLACE" else n, v) for n, v in e.items() if n != "CHILD")
                + "</EPISODE>\n"
                for e in tables["Episodes"]
                if e["CHILD"] == code
            )
            + "</CHILD>"
        )
    path = folder / data.la / f"SSDA903 {data.year}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<EXPSSDA903>{"".join(parts)}</EXPSSDA903>'
    path.write_bytes(text.encode(encoding, "xmlcharrefreplace"))
    return path


def as_workbook(data: Return, folder: Path, dates: str, *, is_1904: bool = False, titles: int = 0) -> Path:
    """One sheet per table; codes of digits alone are numbers, as a spreadsheet makes them."""
    book = Workbook()
    if is_1904:
        book.epoch = CALENDAR_MAC_1904
    for number, (kind, rows) in enumerate(tables_of(data).items()):
        sheet = book.active if number == 0 else book.create_sheet()
        assert sheet is not None
        sheet.title = {"Header": "Headr", "Episodes": "episodes ", "UASC": "Sheet3"}[kind]
        for _ in range(titles):
            sheet.append(["Return – of the authority"])
        sheet.append([name.lower() for name in FILES[kind]])
        for row in rows:
            sheet.append([])
            for column, name in enumerate(FILES[kind], start=1):
                value: Any = row.get(name)
                shown = "General"
                if isinstance(value, date):
                    if dates == "real":
                        value = datetime(value.year, value.month, value.day)
                    elif dates == "serial":
                        value = int(serial(value)) - (1462 if is_1904 else 0)
                    else:
                        value = STYLES["uk"](value)
                elif name == "CHILD" and value and value.isdecimal() and value.isascii() and len(value) < 16:
                    shown = "0" * len(value) if value.startswith("0") else shown
                    value = float(value)
                cell = sheet.cell(sheet.max_row + (1 if column == 1 else 0), column, None if value == "" else value)
                if shown != "General":
                    cell.number_format = shown
    path = folder / data.la / f"{data.year} return.xlsx"
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def landed(folder: Path, work: Path, la_code: str | None = None) -> dict[str, Counter[tuple[Any, ...]]]:
    """The rows of the landing tables, without where they come from; nothing may have been set aside."""
    with Gate(work, "returns") as gate:
        land_returns(folder, gate, KEY, la_code, progress=lambda _: None)
        account = gate.commit()
        aside = gate.quarantine()
    assert aside.empty, aside
    assert (account["duplicate"] == 0).all() and (account["raw"] == account["landed"]).all()
    out = {}
    for table in ("cla_episodes", "cla_children"):
        names = ", ".join(TABLES[table].names)
        query = f"select {names} from read_parquet('{work}/{table}/*.parquet', union_by_name = true)"
        out[table] = Counter(duckdb.execute(query).fetchall())
    shutil.rmtree(work)
    shutil.rmtree(folder)
    return out


def expected(*data: Return) -> dict[str, Counter[tuple[Any, ...]]]:
    """What must land, from the definition of the tables and not from any reader."""
    from sfpc.landing.pseudonym import pupil_pseudonym

    return {
        "cla_episodes": Counter(
            (d.year, d.la, e.code, e.start, e.rne, e.status, "N1", e.placement, e.end, e.reason or None, None)
            for d in data
            for e in d.episodes
        ),
        "cla_children": Counter(
            (d.year, d.la, c.code, pupil_pseudonym(c.upn, KEY))
            + ((c.born.year, c.born.month) if c.born else (None, None))
            + (c.sex, c.ethnicity or None, "1" if c.is_uasc else "0")
            for d in data
            for c in d.children
        ),
    }


# No words and no dates: the gate takes those for identifiers.
CODES = st.from_regex(r"[A-Za-z]{0,2}[0-9_-]{1,7}", fullmatch=True).filter(lambda t: t.upper() not in MISSING)


@st.composite
def returns(draw: st.DrawFn, la: str = LA["la_code"], years: tuple[int, int] = (2017, 2026)) -> Return:
    year = draw(st.integers(*years))
    sexes = ("1", "2") if year < 2025 else ("M", "F", "U")
    codes = draw(st.lists(CODES, min_size=1, max_size=5, unique_by=lambda t: t.lower()))
    children = tuple(
        Child(
            code,
            draw(st.sampled_from(sexes)),
            draw(st.none() | st.dates(date(1999, 1, 1), date(year, 3, 31))),
            draw(st.sampled_from(["WBRI", "BOTH", "NOBT", ""])),
            draw(st.sampled_from([UPN, "UN1", ""])),
            draw(st.booleans()),
        )
        for code in codes
    )
    episodes = []
    for code in codes:
        starts = draw(st.lists(st.dates(date(2010, 1, 1), date(year, 3, 30)), max_size=3, unique=True))
        for start in starts:
            end = draw(st.none() | st.dates(start, date(year, 3, 31)))
            placement = draw(st.sampled_from(["U1", "K3" if year >= 2025 else "H5", "Z13" if year >= 2026 else "Z1"]))
            reason = draw(st.sampled_from(["X1", "E4A"])) if end else ""
            rne, status = draw(st.sampled_from(["S", "L", "P"])), draw(st.sampled_from(["C2", "V4"]))
            episodes.append(Episode(code, start, rne, status, placement, end, reason))
    return Return(la, year, children, tuple(episodes))


HYPOTHESIS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


@HYPOTHESIS
@given(
    data=returns(),
    style=st.sampled_from(sorted(STYLES)),
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from(",;\t|"),
    titles=st.integers(0, 4),
)
def test_csv_in_every_spelling(tmp_path: Path, data: Return, **options: Any) -> None:
    as_csv(data, tmp_path / "in", **options)
    assert landed(tmp_path / "in", tmp_path / "out") == expected(data)


@HYPOTHESIS
@given(
    data=st.tuples(returns(years=(2019, 2019)), returns(years=(2020, 2020)), returns(la=OTHER_LA["la_code"])).map(list),
    la_as=st.sampled_from(["la_code", "ons_code", "la_name"]),
    year_as=st.sampled_from(["year", "span"]),
    style=st.sampled_from(sorted(EXPORT_STYLES)),
)
def test_flat_files_of_several_las_and_years(
    tmp_path: Path, data: list[Return], la_as: str, year_as: str, style: str
) -> None:
    as_flat(data, tmp_path / "in", la_as, year_as, style)
    assert landed(tmp_path / "in", tmp_path / "out") == expected(*data)


@HYPOTHESIS
@given(
    data=returns(),
    style=st.sampled_from(["uk", "iso", "iso with midnight", "named month", "short"]),
    encoding=st.sampled_from(["us-ascii", "utf-8", "utf-16", "windows-1252"]),
)
def test_xml(tmp_path: Path, data: Return, style: str, encoding: str) -> None:
    as_xml(data, tmp_path / "in", style, encoding)
    assert landed(tmp_path / "in", tmp_path / "out") == expected(data)


@HYPOTHESIS
@given(
    data=returns(),
    dates=st.sampled_from(["real", "serial", "text"]),
    is_1904=st.booleans(),
    titles=st.integers(0, 4),
    is_zipped=st.booleans(),
)
def test_workbooks(tmp_path: Path, data: Return, dates: str, is_1904: bool, titles: int, is_zipped: bool) -> None:
    path = as_workbook(data, tmp_path / "in", dates, is_1904=is_1904, titles=titles)
    if is_zipped:
        with zipfile.ZipFile(tmp_path / "in" / "all.zip", "w") as archive:
            archive.write(path, f"{data.la}/{path.name}")
        path.unlink()
    assert landed(tmp_path / "in", tmp_path / "out") == expected(data)


# Kinds of files


def lines_of(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


EPISODES = ",".join(FILES["Episodes"])
EPISODE = "00123,01/07/2019,S,C2,N1,U1,PR1,,,,AB1 2CD,EF3 4GH,SC123456"


@pytest.mark.parametrize("kind", sorted(FILES))
def test_every_kind_with_la_and_year_and_without_a_column(tmp_path: Path, kind: str) -> None:
    columns = list(FILES[kind])
    for names in (
        columns,
        [*columns, "LA", "YEAR"],
        ["year", *columns[::-1]],
        columns[:-1] if kind != "UASC" else columns,
    ):
        file = identify(lines_of(tmp_path / "x.csv", ",".join(names)))
        if kind == "Episodes" or names is not columns[:-1]:
            assert file.kind == kind


def test_the_twelve_kinds() -> None:
    assert len(FILES) == 12


def test_columns_that_pseudonymised_copies_leave_out(tmp_path: Path) -> None:
    columns = [n for n in FILES["Episodes"] if n not in {"HOME_POST", "PL_POST", "URN", "PLACE_PROVIDER"}]
    path = lines_of(tmp_path / "x.csv", ",".join(columns), "1,01/07/2019,S,C2,N1,K3,,,")
    assert pd.concat(read_episodes(path, "331", 2025))["placement"].tolist() == ["K3"]


def test_kinds_without_a_purpose_are_counted_and_listed(tmp_path: Path) -> None:
    def line(kind: str) -> str:
        return "1" + "," * (len(FILES[kind]) - 1)

    loaded = {"Header", "Episodes", "UASC"}
    for kind, columns in FILES.items():
        lines_of(tmp_path / f"2019-{kind}.csv", ",".join(columns), line(kind), line(kind))
    found = discover(tmp_path)
    assert {file.kind for file in found.ssda903} == loaded
    assert {(e.path.stem[5:], e.reason, e.rows) for e in found.ignored} == {
        (kind, f"SSDA903 {kind}: not loaded, no purpose (DP.7)", 2) for kind in set(FILES) - loaded
    }
    path = lines_of(tmp_path / "2019-OC2.csv", ",".join(FILES["OC2"]), '"1')
    assert any(e.reason.endswith("rows cannot be counted") for e in discover(tmp_path).ignored)
    with pytest.raises(InputError, match="row 2"):
        count_rows(identify(path))


# LA and year of a flat file

FLAT = f"{EPISODES},LA,YEAR"


def flat(tmp_path: Path, *owners: str) -> Path:
    return lines_of(tmp_path / "x.csv", FLAT, *(f"{EPISODE},{owner}" for owner in owners))


def owners(path: Path, la_code: str | None = None, year: int | None = None) -> list[list[object]]:
    frame = pd.concat(read_episodes(path, la_code, year))[["la_code", "return_year"]].astype(object)
    rows: list[list[object]] = frame.where(frame.notna(), None).to_numpy().tolist()
    return rows


def test_each_row_says_whose_it_is(tmp_path: Path) -> None:
    name = LA["la_name"]
    path = flat(
        tmp_path, f"{LA['la_code']},2019", f"{OTHER_LA['ons_code'].lower()},2018/19", f'"{name.upper()}",201920'
    )
    assert owners(path, "999", 1999) == [
        [LA["la_code"], "2019"],
        [OTHER_LA["la_code"], "2019"],
        [LA["la_code"], "2020"],
    ]


def test_one_of_the_two_columns_is_enough(tmp_path: Path) -> None:
    path = lines_of(tmp_path / "x.csv", f"{EPISODES},YEAR", f"{EPISODE},2019")
    assert owners(path, "331") == [["331", "2019"]]
    path = lines_of(tmp_path / "x.csv", f"{EPISODES},LA", f"{EPISODE},{LA['la_name']}")
    assert owners(path, None, 2020) == [[LA["la_code"], "2020"]]


def test_a_name_that_two_codes_had_means_the_one_of_the_year(tmp_path: Path) -> None:
    names = Counter(row["la_name"] for row in register())
    codes = {name: sorted({r["la_code"] for r in register() if r["la_name"] == name}) for name in names}
    name, (old, new) = next((n, c) for n, c in codes.items() if len(c) > 1)
    first = next(int(r["first_return_year"]) for r in register() if r["la_code"] == new)
    path = flat(tmp_path, f"{name},{first - 1}", f"{name},{first}")
    assert [row[0] for row in owners(path)] == [old, new]
    with pytest.raises(
        InputError, match=f"row 2, column LA: a name that several LAs had .{old}, {new}.; give the code"
    ):
        owners(flat(tmp_path, f"{name},1990"))


def test_unknown_names_are_refused_without_being_repeated(tmp_path: Path) -> None:
    name = LA["la_name"]
    misspelt = name[:-2] + name[-1] + name[-2] + "x"
    with pytest.raises(InputError, match=rf"x\.csv, row 3, column LA: a name of {len(misspelt)} characters") as error:
        owners(flat(tmp_path, f"{name},2019", f"{misspelt},2019"))
    assert f"nearest is {name}" in str(error.value)
    assert misspelt not in str(error.value)
    with pytest.raises(InputError, match="3 digits that are the code of no LA"):
        owners(flat(tmp_path, "998,2019"))
    with pytest.raises(InputError, match="an ONS code that is that of no LA"):
        owners(flat(tmp_path, "E09999999,2019"))


def test_rows_without_la_or_year_are_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    flat(tmp_path, f"{LA['la_code']},2019", ",2019", f"{LA['la_code']},", f"{LA['la_code']},19", "NULL,2019")
    folder.mkdir()
    (tmp_path / "x.csv").rename(folder / "x.csv")
    with Gate(tmp_path / "landing", "returns", accepts_quarantine=True) as gate:
        land_returns(folder, gate, KEY, progress=lambda _: None)
        account = gate.commit()
        aside = gate.quarantine()
    assert account[["raw", "landed", "quarantined"]].to_numpy().tolist() == [[5, 1, 4]]
    assert sorted(zip(aside["source_row"], aside["column_name"], strict=True)) == [
        (3, "la_code"),
        (4, "return_year"),
        (5, "return_year"),
        (6, "la_code"),
    ]


def test_every_row_of_the_register_finds_itself() -> None:
    for row in register():
        year = int(row["last_return_year"])
        for spelling in (row["la_code"], row["ons_code"], row["la_name"], row["la_name"].upper().replace(" ", "  ")):
            assert la_register().code_of(spelling, year) == row["la_code"]


def test_names_as_others_write_them() -> None:
    find = la_register().code_of
    for row in register():
        year, name = int(row["last_return_year"]), row["la_name"]
        for spelling in (
            f"{name} Council",
            name.replace(" and ", " & "),
            name.replace(".", ""),
            name.replace("-", " "),
        ):
            assert find(spelling, year) == row["la_code"], spelling
        turned = ", ".join(reversed(name.split(", ")))
        assert find(turned, year) == row["la_code"], turned


def test_a_register_that_lacks_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.csv, row 2: expected la_code"):
        LaRegister(lines_of(tmp_path / "r.csv", "la_code,ons_code", "301,E09000002"))
    with pytest.raises(UnknownLa):
        la_register().code_of("")


def test_the_column_counts_and_not_the_folder(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = tmp_path / "in"
    lines_of(folder / OTHER_LA["la_code"] / "x.csv", FLAT, f"{EPISODE},{LA['la_code']},2019")
    with Gate(tmp_path / "landing", "returns") as gate:
        land_returns(folder, gate, KEY, progress=lines.append)
    assert any("the LA in its column LA counts, not that of its folder" in line for line in lines)


# Dates


def episodes_with(tmp_path: Path, *dates: tuple[str, str]) -> pd.DataFrame:
    rows = [f"{i},{start},S,C2,N1,U1,,{end},,,,," for i, (start, end) in enumerate(dates)]
    path = lines_of(tmp_path / "x.csv", EPISODES, *rows)
    return pd.concat(read_episodes(path, "331", 2020))


def test_numbers_are_days_only_where_the_whole_column_is(tmp_path: Path) -> None:
    frame = episodes_with(tmp_path, ("43648", ""), ("43649.0", ""), ("", "43700"))
    assert frame["episode_start_date"].dropna().tolist() == ["02/07/2019", "03/07/2019"]
    assert frame["episode_end_date"].dropna().tolist() == ["23/08/2019"]
    assert identify(tmp_path / "x.csv").notes == ("day numbers of a spreadsheet read as dates in DEC, DECOM",)
    frame = episodes_with(tmp_path, ("43648", "43700"), ("01/07/2019", "437001"))
    assert frame["episode_start_date"].tolist() == ["43648", "01/07/2019"]
    assert frame["episode_end_date"].tolist() == ["43700", "437001"]
    assert identify(tmp_path / "x.csv").notes == ()


def test_birth_days_go_no_further_in_any_form(tmp_path: Path) -> None:
    header = ",".join(FILES["Header"])
    for i, text in enumerate(["27/05/2009", "27/05/09", "2009-May-27 00:00:00", "39960", "27/05/2009 00:00"]):
        path = lines_of(tmp_path / f"{i}.csv", header, f"1,1,{text},WBRI,,,")
        row = pd.concat(read_children(path, "331", 2019, KEY, set())).iloc[0]
        assert (row["birth_year"], row["birth_month"]) == ("2009", "5")
        assert not re.search("27|39960", " ".join(str(v) for v in row))
    for i, text in enumerate(["2009-05-27", "05/27/2009", "27.05.2009", "27/05/2009 13:00"]):
        path = lines_of(tmp_path / f"bad {i}.csv", header, f"1,1,{text},WBRI,,,")
        row = pd.concat(read_children(path, "331", 2019, KEY, set())).iloc[0]
        assert (row["birth_year"], str(row["birth_month"])) == (NOT_A_DATE, "nan")


# XML


def xml(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "in" / "331" / "2019.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<EXPSSDA903>{body}</EXPSSDA903>", encoding="utf-8")
    return path


def land(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame, LandedReturns, list[str]]:
    lines: list[str] = []
    with Gate(tmp_path / "landing", "returns", base=tmp_path / "in", accepts_quarantine=True) as gate:
        result = land_returns(tmp_path / "in", gate, KEY, progress=lines.append)
        account = gate.commit()
        return account, gate.quarantine(), result, lines


XML_CHILD = (
    "<CHILD><HEADER><CHILDID>1</CHILDID><SEX>2</SEX><DOB>27/05/2009</DOB><ETHNIC>WBRI</ETHNIC>"
    "<OC2><SDQ_SCORE>3</SDQ_SCORE></OC2></HEADER>"
    "<EPISODE><DECOM>01/07/2019</DECOM><RNE>S</RNE><LS>C2</LS><CIN>N1</CIN><PL>U1</PL><URN>1</URN></EPISODE></CHILD>"
)


def test_xml_says_what_it_does_not_load_and_leads_back(tmp_path: Path) -> None:
    xml(tmp_path, XML_CHILD * 2 + "<CHILD><EPISODE><DECOM>01/07/2019</DECOM></EPISODE></CHILD>")
    account, aside, result, lines = land(tmp_path)
    assert account[["file", "raw", "landed", "quarantined", "duplicate"]].to_numpy().tolist() == [
        ["331/2019.xml!Header", 2, 1, 0, 1],
        ["331/2019.xml!UASC", 0, 0, 0, 0],
        ["331/2019.xml!Episodes", 3, 1, 1, 1],
    ]
    assert aside[["source_row", "column_name"]].to_numpy().tolist() == [[4, "la_child_id"]]
    assert any(
        "elements not loaded, no purpose (DP.7): OC2 (2), SDQ_SCORE (2), URN (2) (331/2019.xml)" in x for x in lines
    )
    assert set(result.la_codes.values()) == {"331"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (XML_CHILD + "<CHILD><HEADER>", r"331/2019\.xml, row 1, column \d+: not well-formed XML"),
        (XML_CHILD + "<EPISODE/>", "EPISODE outside a CHILD"),
        (f"<X>{XML_CHILD}</X>", "HEADER outside a CHILD"),
        ("<X><HEADER/></X>", "HEADER outside a CHILD"),
        (XML_CHILD.replace("<SEX>", "<SURNAME>x</SURNAME><SEX>"), "column SURNAME: this element identifies a person"),
        (XML_CHILD.replace("U1", "&x;"), "not well-formed XML .undefined entity"),
    ],
)
def test_xml_that_is_refused(tmp_path: Path, body: str, problem: str) -> None:
    xml(tmp_path, body)
    with pytest.raises(InputError, match=problem):
        land(tmp_path)
    assert not list(tmp_path.glob("landing*"))


def test_xml_with_a_document_type(tmp_path: Path) -> None:
    path = xml(tmp_path, XML_CHILD)
    path.write_text('<!DOCTYPE EXPSSDA903 [<!ENTITY x "y">]>' + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match="document type or entities"):
        land(tmp_path)


# Workbooks


def book(tmp_path: Path, *rows: list[Any], title: str = "Episodes", name: str = "2019.xlsx") -> tuple[Workbook, Path]:
    made = Workbook()
    sheet = made.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    path = tmp_path / "in" / "331" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(path)
    return made, path


def cells(path: Path, folder: Path) -> list[list[str]]:
    (sheet,) = read_sheets(path, folder)
    with sheet.path.open(newline="", encoding="utf-8") as handle:
        return list(csv.reader(handle))


def test_cells_become_text(tmp_path: Path) -> None:
    made, path = book(tmp_path, ["x"])
    sheet = made.active
    assert sheet is not None
    values = [123.0, 123, -10, 1.5, True, datetime(2019, 7, 2), datetime(2019, 7, 2, 9, 30), " a\nb ", None, "00123"]
    for column, value in enumerate(values, start=1):
        sheet.cell(3, column, value)
    sheet.cell(3, 11, 123).number_format = "00000"
    sheet.cell(3, 12, datetime(2019, 7, 2)).number_format = "mm/dd/yyyy"
    sheet.cell(3, 13, "=1/0").data_type = "e"
    made.save(path)
    assert cells(path, tmp_path / "out") == [
        ["x"],
        [""],
        [
            "123",
            "123",
            "-10",
            "1.5",
            "1",
            "02/07/2019",
            "02/07/2019 09:30:00",
            " a b ",
            "",
            "00123",
            "00123",
            "02/07/2019",
            "",
        ],
    ]


def test_short_rows_are_filled_up_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    book(tmp_path, ["title"], [], list(FILES["Episodes"]), [7, datetime(2019, 7, 2), "S", "C2", "N1", "U1"], [], ["x"])
    account, aside, _, _ = land(tmp_path)
    assert account[["file", "raw", "landed", "quarantined"]].to_numpy().tolist() == [
        ["331/2019.xlsx!Episodes", 2, 1, 1]
    ]
    assert aside["source_row"].tolist() == [6]


def test_numbers_that_have_lost_digits_are_refused(tmp_path: Path) -> None:
    book(tmp_path, list(FILES["Episodes"]), [1234567890123456, "01/07/2019"])
    with pytest.raises(InputError, match=r"331/2019\.xlsx!Episodes, row 2, column A: a number of more than 15 digits"):
        land(tmp_path)


def test_formulas_count_with_their_result_or_are_refused(tmp_path: Path) -> None:
    _, path = book(tmp_path, list(FILES["Episodes"]), [1, "=DATE(2019,7,2)", "S", "C2", "N1", "U1"])
    with pytest.raises(InputError, match=r"row 2, column B: a formula whose result the workbook does not hold"):
        land(tmp_path)
    with zipfile.ZipFile(path) as archive:
        contents = {i.filename: archive.read(i) for i in archive.infolist()}
    sheet = contents["xl/worksheets/sheet1.xml"]
    assert sheet.count(b"<v></v>") + sheet.count(b"<v />") + sheet.count(b"<v/>") == 1
    contents["xl/worksheets/sheet1.xml"] = re.sub(b"<v></v>|<v ?/>", b"<v>43648</v>", sheet)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    account, _, _, _ = land(tmp_path)
    assert account["landed"].tolist() == [1]


def test_hidden_sheets_macros_and_strange_sheets_are_told(tmp_path: Path) -> None:
    made, path = book(tmp_path, list(FILES["Episodes"]), [1, "01/07/2019"], name="2019.xlsm")
    hidden = made.create_sheet("old")
    hidden.append(list(FILES["Episodes"]))
    hidden.append([2, "01/07/2019"])
    hidden.sheet_state = "hidden"
    notes = made.create_sheet("notes")
    notes.append(["call the analyst"])
    made.create_sheet("Sheet3")
    made.save(path)
    account, _, result, lines = land(tmp_path)
    assert account[["file", "landed"]].to_numpy().tolist() == [["331/2019.xlsm!Episodes", 1], ["331/2019.xlsm!old", 1]]
    said = "\n".join(lines)
    for part in (
        "a hidden sheet, read like the others (331/2019.xlsm!old)",
        "a workbook that may hold macros; they are not run (331/2019.xlsm)",
        "not read: not the header of an SSDA903 file (331/2019.xlsm!notes)",
        "not read: empty: 0 rows and no header (331/2019.xlsm!Sheet3)",
    ):
        assert part in said, said
    assert len(result.found.parts) == 4


def test_the_year_may_stand_on_the_sheet(tmp_path: Path) -> None:
    made, path = book(tmp_path, list(FILES["Episodes"]), [1, "01/07/2018"], title="Episodes 2018-19", name="x.xlsx")
    other = made.create_sheet("Episodes 2019-20")
    other.append(list(FILES["Episodes"]))
    other.append([1, "01/07/2018"])
    made.save(path)
    account, _, _, _ = land(tmp_path)
    assert account["landed"].tolist() == [1, 1]
    years = duckdb.execute(
        f"select distinct return_year from '{tmp_path}/landing/cla_episodes/part*.parquet' order by 1"
    ).fetchall()
    assert years == [(2019,), (2020,)]


def test_an_identifying_column_is_told_with_its_sheet(tmp_path: Path) -> None:
    book(tmp_path, [*FILES["Episodes"], "Surname"], [1, "01/07/2019"])
    with pytest.raises(InputError, match=r"331/2019\.xlsx!Episodes, column SURNAME: this column identifies a person"):
        land(tmp_path)


# Whole sets


@dataclass(frozen=True)
class WholeSet:
    folder: Path
    rows: int
    distinct: int


def sets() -> list[str]:
    folder = shared_dir()
    return ["twin", *(["samples"] if folder and (folder / "samples/ssda903/five-years").is_dir() else [])]


@pytest.fixture(params=sets())
def five_years(request: pytest.FixtureRequest, tmp_path: Path) -> WholeSet:
    """The set of another project, 3,737 rows of 2,827 episodes; a twin with episodes that are reported again."""
    if request.param == "samples":
        shared = shared_dir()
        assert shared is not None
        shutil.copytree(shared / "samples/ssda903/five-years", tmp_path / "in" / "331")
        return WholeSet(tmp_path / "in", 3737, 2827)
    starts = [date(2016, 4, 1 + i) for i in range(25)]
    rows = 0
    for year in range(2017, 2022):
        children = tuple(Child(str(i), "1", date(2005, 1, 1 + i), "WBRI", "UN1", i % 3 == 0) for i in range(25))
        open_ones = [(i, s) for i, s in enumerate(starts) if i % 5 + 2017 >= year]
        episodes = tuple(Episode(str(i), s, "S", "C2", "U1", None, "") for i, s in open_ones)
        rows += len(episodes)
        as_csv(Return("331", year, children, episodes), tmp_path / "in")
        (tmp_path / "in" / "331" / f"{year}-ad1.csv").write_text("\n", encoding="utf-8")
    return WholeSet(tmp_path / "in", rows, 25)


def all_rows(folder: Path, work: Path) -> dict[str, Counter[tuple[Any, ...]]]:
    with Gate(work, "returns", base=folder) as gate:
        land_returns(folder, gate, KEY, progress=lambda _: None)
        gate.commit()
        assert gate.quarantine().empty
    out = {}
    for table in ("cla_episodes", "cla_children"):
        names = ", ".join(TABLES[table].names)
        out[table] = Counter(duckdb.execute(f"select {names} from '{work}/{table}/*.parquet'").fetchall())
    return out


def test_five_years_land_alike_in_every_form(five_years: WholeSet, tmp_path: Path) -> None:
    """CSV as sent, in UTF-16 with semicolons in a zip archive, and as one workbook per year."""
    plain = all_rows(five_years.folder, tmp_path / "plain")
    assert plain["cla_episodes"].total() == five_years.rows
    keys = {(row[1], row[2], row[3]) for row in plain["cla_episodes"]}
    assert len(keys) == five_years.distinct
    with zipfile.ZipFile(mkdir(tmp_path / "zip") / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(five_years.folder.rglob("*.csv")):
            with path.open(newline="", encoding="utf-8") as handle:
                rows = list(csv.reader(handle))
            text = "".join(";".join(row) + "\r\n" for row in rows)
            archive.writestr(str(path.relative_to(five_years.folder)), text.encode("utf-16"))
    assert all_rows(tmp_path / "zip", tmp_path / "zipped") == plain
    for year in range(2017, 2022):
        made = Workbook()
        for path in sorted(five_years.folder.rglob(f"{year}-*.csv")):
            sheet = made.create_sheet(path.stem[5:])
            with path.open(newline="", encoding="utf-8") as handle:
                for number, row in enumerate(csv.reader(handle)):
                    sheet.append([typed(value) if number else value for value in row])
        made.save(mkdir(tmp_path / "books" / "331") / f"{year}.xlsx")
    assert all_rows(tmp_path / "books", tmp_path / "booked") == plain


def typed(value: str) -> Any:
    """A value as a spreadsheet takes it: dates are dates, digits are numbers."""
    if re.fullmatch(r"\d\d/\d\d/\d{4}", value):
        return datetime.strptime(value, "%d/%m/%Y")
    return int(value) if re.fullmatch(r"[1-9]\d{0,14}", value) else value or None


def mkdir(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_account_of_a_second_landing_is_the_same(five_years: WholeSet, tmp_path: Path) -> None:
    first = all_rows(five_years.folder, tmp_path / "landing")
    account = (tmp_path / "landing" / "reconciliation.csv").read_bytes()
    assert all_rows(five_years.folder, tmp_path / "landing") == first
    assert (tmp_path / "landing" / "reconciliation.csv").read_bytes() == account


def test_children_of_an_uasc_list_are_found_by_la_and_year(tmp_path: Path) -> None:
    one = Return(LA["la_code"], 2019, (Child("7", "1", None, "WBRI", "", True),), ())
    other = replace(one, la=OTHER_LA["la_code"], children=(replace(one.children[0], is_uasc=False),))
    as_flat([one, other], tmp_path / "in", "la_name", "year", "iso")
    assert landed(tmp_path / "in", tmp_path / "out") == expected(one, other)
