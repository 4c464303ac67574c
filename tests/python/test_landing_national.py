"""National extracts: every accepted name and spelling, one form of dates a file, both files of care, nothing lost."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import ROOT, SEEDS, shared_dir
from sfpc.cli import main
from sfpc.errors import InputError, SfpcError
from sfpc.landing.gate import Gate
from sfpc.landing.layout import TABLES
from sfpc.landing.national import EXTRACTS, YEAR_COLUMNS, land_national
from sfpc.landing.readings import AcceptedName, accepted_names
from sfpc.settings import Paths
from sfpc.synthetic.extracts import synthesise
from sfpc.warehouse.build import run_dbt

Row = dict[str, str]

FILES = {
    "cin": "CIN_2009_to_2023.csv",
    "cin_disabilities": "CIN_2009_to_2023_Disabilities.csv",
    "cla_episodes": "CLA_Episode_Data.csv",
    "cla_years": "CLA_2006_to_2023.csv",
    "spring_census": "Spring_Census_2021.csv",
    "absence": "Absence_2019_3Term.csv",
    "la_statistics": "LA_Statistics.csv",
    "subject_register": "Subject_Register.csv",
}
NAMES = accepted_names(SEEDS)
VALUES = {
    "return_year": "2018", "la_code": "306", "la_child_id": "0012", "pupil_id": "P1", "birth_year": "2010",
    "birth_month": "5", "gender": "2", "ethnicity": "WBRI", "disability": "HEAR", "referral_date": "2017-05-01",
    "primary_need": "N1", "referral_nfa": "0", "closure_date": "2017-08-01", "closure_reason": "RC7",
    "cpp_start_date": "2017-06-01", "cpp_end_date": "2017-07-01", "cpp_previous_count": "1",
    "episode_start_date": "2017-05-11", "episode_end_date": "2017-09-01", "period_start_date": "2017-05-11",
    "reason_for_new_episode": "S", "legal_status": "C1", "placement": "U6", "reason_episode_ceased": "E4A",
    "uasc_status": "0", "nc_year": "3", "fsm_eligible": "1", "sessions_possible_autumn": "140",
    "unauthorised_absence_autumn": "4", "reference_date": "2021-01-21", "measure": "pupils_fsm_pct", "value": "c",
    "status": "erased",
}  # fmt: skip


def value_of(name: AcceptedName) -> str:
    """A value that the reading of the name turns into VALUES."""
    if name.reading in ("birth_year", "birth_month"):
        return "2010-05-17"
    if name.name == "CIN_LA_9CODE":
        return "E09000008"
    return VALUES.get(name.column, "")


def columns_of(kind: str, choice: int = 0) -> dict[str, str]:
    """Name and value of a file of one row: the first accepted name of every column, or a later one where there is."""
    columns: dict[str, str] = {}
    grouped: dict[str, list[AcceptedName]] = {}
    for name in NAMES[kind]:
        grouped.setdefault(f"{name.landing_table}.{name.column}", []).append(name)
    for accepted in grouped.values():
        name = accepted[min(choice, len(accepted) - 1)]
        columns.setdefault(name.name, value_of(name))
    return columns


def write(path: Path, *rows: Row) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def land(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Land a folder of extracts; returns the landing folder and its manifest with the account under 'account'."""
    target = folder.with_name(folder.name + ".landing")
    with Gate(target, "national", base=folder, accepts_quarantine=True) as gate:
        account = land_national(folder, gate)
        aside = gate.quarantine().to_dict("records")
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    return target, {**manifest, "account": account.to_dict("records"), "aside": aside}


def landed(target: Path, table: str, provenance: bool = False) -> list[dict[str, Any]]:
    names = [*TABLES[table].names, *(["source_file", "source_row"] if provenance else [])]
    query = f"select {', '.join(names)} from read_parquet('{target}/{table}/*.parquet') order by all"
    return [dict(zip(names, values, strict=True)) for values in duckdb.execute(query).fetchall()]


def cin(**values: str) -> Row:
    row = {n: v for n, v in columns_of("cin").items() if n != "CIN_ExpectedDOB"}
    return row | values


# --- Names ---------------------------------------------------------------------------------------------------


def suffixed(kind: str) -> Callable[[str], str]:
    ends = {"spring_census": "_SPR21", "absence": "_ab19"}
    return lambda name: name + ends.get(kind, "")


SPELLINGS: dict[str, Callable[[str], Callable[[str], str]]] = {
    "as_listed": lambda kind: lambda name: name,
    "upper_case_with_suffix": lambda kind: lambda name: suffixed(kind)(name).upper(),
    "blanks_for_underscores": lambda kind: lambda name: name.replace("_", " "),
    "underscores_for_blanks_lower_case": lambda kind: lambda name: suffixed(kind)(name.replace(" ", "_").lower()),
}


@pytest.mark.parametrize("kind", [k for k in FILES if k != "cin_disabilities"])
def test_every_accepted_name_in_every_spelling_lands_the_same(kind: str, tmp_path: Path) -> None:
    """C.1: names differ by supply in case, blanks, prefix and year suffix."""
    tables = next(e.tables for e in EXTRACTS if e.kind == kind)
    most = max(sum(n.column == m.column for n in NAMES[kind]) for m in NAMES[kind])
    found = set()
    for choice in range(most):
        for spelling, respell in SPELLINGS.items() if not choice else list(SPELLINGS.items())[-1:]:
            folder = tmp_path / f"{choice}{spelling}"
            columns = {respell(kind)(name): value for name, value in columns_of(kind, choice).items()}
            write(folder / FILES[kind], columns)
            target, manifest = land(folder)
            assert not manifest["aside"]
            assert "columns_not_loaded" not in manifest
            rows = [
                {c: v for c, v in row.items() if c != "is_expected_birth"} for t in tables for row in landed(target, t)
            ]
            assert len(rows) == len(tables)
            found.add(json.dumps(rows, default=str))
    assert len(found) == 1, found


def test_a_prefix_may_be_missing_or_there(tmp_path: Path) -> None:
    columns = {n.replace("cla_", "") if n != "cla_CLA_LA" else n: v for n, v in columns_of("cla_episodes").items()}
    write(tmp_path / "a" / "Episode_final_CLA.csv", columns)
    write(tmp_path / "b" / "CLA_Data_Supplied.csv", columns_of("cla_episodes"))
    assert landed(land(tmp_path / "a")[0], "cla_episodes") == landed(land(tmp_path / "b")[0], "cla_episodes")


REQUIRED = sorted({(k, n.landing_table, n.column) for k in FILES for n in NAMES[k] if n.is_required})


@pytest.mark.parametrize(("kind", "table", "column"), REQUIRED)
def test_a_missing_required_column_is_refused_with_every_accepted_name(
    kind: str, table: str, column: str, tmp_path: Path
) -> None:
    accepted = [n.name for n in NAMES[kind] if (n.landing_table, n.column) == (table, column)]
    columns = {n: v for n, v in columns_of(kind).items() if n not in accepted}
    folder = tmp_path / "x"
    write(folder / "CIN_2009_to_2023.csv", cin())
    write(folder / FILES[kind], columns or {"other": "1"})
    with pytest.raises(InputError) as refused, Gate(tmp_path / "landing", "national", base=folder) as gate:
        land_national(folder, gate)
    assert FILES[kind] in str(refused.value)
    assert all(name in str(refused.value) for name in accepted)
    assert not (tmp_path / "landing").exists()


def test_a_missing_optional_column_is_told_and_left_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C.3: both six-year columns are absent from some spring censuses."""
    optional = {n.name for n in NAMES["spring_census"] if not n.is_required}
    columns = {n: v for n, v in columns_of("spring_census").items() if n not in optional}
    write(tmp_path / "x" / FILES["spring_census"], columns)
    target, manifest = land(tmp_path / "x")
    told = {(m["file"], m["table"], m["column"]): m["accepted_names"] for m in manifest["missing_columns"]}
    assert told["Spring_Census_2021.csv", "npd_pupils", "ever_fsm_6"] == ["EVERFSM_6"]
    assert told["Spring_Census_2021.csv", "npd_pupils", "gender"] == ["Gender", "Sex"]
    assert {column for _, _, column in told} == {"gender", "ethnicity", "ever_fsm_6", "ever_fsm_6_p", "ever_fsm_all"}
    assert "no ever_fsm_6 (EVERFSM_6): left empty in npd_pupils" in capsys.readouterr().err
    (row,) = landed(target, "npd_pupils")
    assert (row["fsm_eligible"], row["ever_fsm_6"], row["census_year"]) == ("1", None, 2021)


def test_columns_without_a_purpose_are_listed_and_not_loaded(tmp_path: Path) -> None:
    """DP.7: what no clause needs is not loaded, and nobody has to guess what was left out."""
    write(tmp_path / "x" / FILES["cin"], cin(CIN_IDACI_Score="0.4711", CIN_CPPindicator="1"))
    target, manifest = land(tmp_path / "x")
    (told,) = manifest["columns_not_loaded"]
    assert told["columns"] == ["CIN_IDACI_Score", "CIN_CPPindicator"]
    for path in (target / "cin_records").iterdir():
        assert b"0.4711" not in path.read_bytes()


@pytest.mark.parametrize("name", ["Surname", "CIN_ChildName", "cla_HOME_POSTCODE", "NHS_Number", "e-mail"])
@pytest.mark.parametrize("kind", ["cin", "cla_episodes", "spring_census"])
def test_a_column_that_identifies_a_person_refuses_the_file(kind: str, name: str, tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES[kind], columns_of(kind) | {name: "SECRETVALUE"})
    with pytest.raises(InputError, match="identifies a person") as refused:
        land(tmp_path / "x")
    assert name in str(refused.value) and "SECRETVALUE" not in str(refused.value)


def test_a_column_of_another_year_than_the_file_is_refused(tmp_path: Path) -> None:
    columns = {f"{n}_SPR20": v for n, v in columns_of("spring_census").items()}
    write(tmp_path / "x" / "Spring_Census_2021.csv", columns)
    with pytest.raises(InputError, match=r"another year than the file; expected the suffix 21"):
        land(tmp_path / "x")


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES["cin"], cin(cin_gender="1"))
    with pytest.raises(InputError, match=r"stands more than once \(CIN_Gender, cin_gender\)"):
        land(tmp_path / "x")


def test_several_names_of_a_column_fill_each_other_in_order(tmp_path: Path) -> None:
    """The first accepted name that holds a value counts, row by row; CIN_CIN_LA serves 2008/09."""
    write(
        tmp_path / "x" / FILES["cin"],
        cin(CIN_LA="306", CIN_CIN_LA="305", CIN_LA_9CODE="E09000007", CIN_LAchildID_Anon="first"),
        cin(CIN_LA="", CIN_CIN_LA="305", CIN_LA_9CODE="E09000007", CIN_LAchildID_Anon="second"),
        cin(CIN_LA="NULL", CIN_CIN_LA="", CIN_LA_9CODE="E09000007", CIN_LAchildID_Anon="third"),
    )
    codes = {r["la_child_id"]: r["la_code"] for r in landed(land(tmp_path / "x")[0], "cin_records")}
    assert codes == {"first": "306", "second": "305", "third": "202"}


def test_an_la_code_that_the_register_lacks_is_set_aside_and_told(tmp_path: Path) -> None:
    """Trap 24: such a row would leave the warehouse without a word."""
    good = [cin(CIN_LA=code, CIN_LAchildID_Anon=code) for code in ("306", "E09000008", "e09000007", "306.0")]
    bad = [cin(CIN_LA=code, CIN_LAchildID_Anon=code) for code in ("999", "E09999999", "Croydn")]
    write(tmp_path / "x" / FILES["cin"], *good, *bad)
    target, manifest = land(tmp_path / "x")
    (told,) = manifest["unknown_la_codes"]
    assert (told["column"], told["rows"], told["first_row"], told["values"]) == ("CIN_LA", 3, 6, 3)
    assert [r["la_code"] for r in landed(target, "cin_records")] == ["202", "306", "306", "306"]
    assert [(a["source_row"], a["column_name"]) for a in manifest["aside"]] == [(r, "la_code") for r in (6, 7, 8)]


def test_the_seed_of_names_and_the_landing_layout_agree() -> None:
    """DP.7: nothing is loaded without a purpose, nothing listed that the layout does not hold."""
    covered: dict[str, set[str]] = {}
    for kind, names in NAMES.items():
        for name in names:
            assert name.column in TABLES[name.landing_table].names, f"{kind}: {name.column}"
            covered.setdefault(f"{kind}.{name.landing_table}", set()).add(name.column)
    for extract in EXTRACTS:
        for table in extract.tables:
            listed = covered[f"{extract.names or extract.kind}.{table}"] | {YEAR_COLUMNS.get(table, "")}
            assert listed >= {c.name for c in TABLES[table].columns if c.required}, (extract.kind, table)
            assert all(c.purpose for c in TABLES[table].columns)


# --- Dates ---------------------------------------------------------------------------------------------------

FORMS = {
    "YYYY-MM-DD": "%Y-%m-%d",
    "dd/mm/yyyy": "%d/%m/%Y",
    "yyyy-Mon-dd": "%Y-%b-%d 00:00:00",
    "ddMonyyyy": "%d%b%Y",
}
DATES = ("CIN_ReferralDate", "CIN_CINClosureDate", "CIN_CPPstartDate", "CIN_CPPendDate")


def dated(style: str, **values: str) -> Row:
    row = cin(**values)
    return row | {n: date.fromisoformat(row[n]).strftime(style) if row[n] else "" for n in DATES}


def test_each_form_of_dates_lands_the_same_and_is_told(tmp_path: Path) -> None:
    """Trap 19: one form a file, found from all its values."""
    found = []
    for number, (spelt, style) in enumerate(FORMS.items()):
        folder = tmp_path / str(number)
        write(
            folder / FILES["cin"],
            dated(style, CIN_ReferralDate="2017-05-01"),
            dated(style, CIN_ReferralDate="2017-05-31", CIN_CINClosureDate=""),
            dated(style, CIN_ReferralDate="2016-02-29"),
        )
        target, manifest = land(folder)
        (told,) = manifest["date_forms"]
        assert (told["form"], told["values"], told["of_another_form"]) == (spelt, 11, 0)
        found.append(landed(target, "cin_records"))
    assert found[0][2]["referral_date"] == date(2017, 5, 31)
    assert len(found[0]) == 3 and all(rows == found[0] for rows in found)


def test_dates_that_could_be_either_are_read_day_first(tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES["cin"], dated("%d/%m/%Y", CIN_ReferralDate="2017-05-04"))
    (row,) = landed(land(tmp_path / "x")[0], "cin_records")
    assert row["referral_date"] == date(2017, 5, 4)


def test_a_file_written_month_first_is_refused(tmp_path: Path) -> None:
    write(
        tmp_path / "x" / FILES["cin"],
        dated("%m/%d/%Y", CIN_ReferralDate="2017-05-13"),
        *(dated("%m/%d/%Y", CIN_ReferralDate="2017-05-04", CIN_LAchildID_Anon=str(n)) for n in range(5)),
    )
    with pytest.raises(InputError, match=r"written month first \(1 values of CIN_ReferralDate"):
        land(tmp_path / "x")


@pytest.mark.parametrize("odd", ["31/02/2017", "04/28/2017", "2017-05-01", "1/5/17", "42856", "01MAY2017", "soon"])
def test_a_value_of_another_form_is_set_aside_never_guessed(odd: str, tmp_path: Path) -> None:
    rows = [dated("%d/%m/%Y", CIN_LAchildID_Anon=str(n), CIN_ReferralDate="2017-05-30") for n in range(3)]
    write(tmp_path / "x" / FILES["cin"], *rows, rows[0] | {"CIN_ReferralDate": odd})
    target, manifest = land(tmp_path / "x")
    (told,) = manifest["date_forms"]
    assert (told["form"], told["of_another_form"]) == ("dd/mm/yyyy", 1)
    assert [(a["source_row"], a["column_name"]) for a in manifest["aside"]] == [(5, "referral_date")]
    assert len(landed(target, "cin_records")) == 3


def test_a_file_without_a_single_date_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES["cin"], cin() | dict.fromkeys(DATES, "May 2017"))
    with pytest.raises(InputError, match=r"no value of CIN_ReferralDate, .* is a date; expected one of YYYY-MM-DD"):
        land(tmp_path / "x")


def test_one_late_value_tells_the_order_of_a_long_file(tmp_path: Path) -> None:
    """All values are looked at, not a sample of the first ones."""
    rows = [dated("%m/%d/%Y", CIN_ReferralDate="2017-05-04", CIN_LAchildID_Anon=str(n)) for n in range(30_000)]
    write(tmp_path / "x" / FILES["cin"], *rows, dated("%m/%d/%Y", CIN_ReferralDate="2017-05-14"))
    with pytest.raises(InputError, match="month first"):
        land(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("01/2015", "%Y-%m-%d"), ("1/2015", "%d/%m/%Y"), ("2015-01", "%d/%m/%Y"), ("2015-01-27", "%Y-%m-%d"),
        ("27/01/2015", "%d/%m/%Y"), ("2015-Jan-27 00:00:00", "%Y-%b-%d"), ("27JAN2015", "%d%b%Y"),
    ],
)  # fmt: skip
def test_a_birth_is_reduced_to_its_month_while_it_is_read(text: str, form: str, tmp_path: Path) -> None:
    """DP.1, trap 19: month-year text and full dates give year and month; the day stands nowhere afterwards."""
    row = dated(form) | {"CIN_DOB": text}
    del row["CIN_YearOfBirth"], row["CIN_MonthOfBirth"]
    write(tmp_path / "x" / FILES["cin"], row)
    target, manifest = land(tmp_path / "x")
    (found,) = landed(target, "cin_records")
    assert (found["birth_year"], found["birth_month"]) == (2015, 1)
    assert manifest["date_forms"][0]["of_another_form"] == 0
    if len(text) > len("01/2015"):
        assert all(text.encode() not in p.read_bytes() for p in target.rglob("*") if p.is_file())


def test_an_expected_birth_serves_where_there_is_no_birth(tmp_path: Path) -> None:
    write(
        tmp_path / "x" / FILES["cin"],
        dated("%d/%m/%Y") | {"CIN_ExpectedDOB": ""},
        dated("%d/%m/%Y") | {"CIN_ExpectedDOB": "11/02/2018", "CIN_YearOfBirth": "", "CIN_MonthOfBirth": ""},
        dated("%d/%m/%Y") | {"CIN_ExpectedDOB": "31/02/2018", "CIN_YearOfBirth": "", "CIN_MonthOfBirth": ""},
    )
    target, manifest = land(tmp_path / "x")
    births = [(r["birth_year"], r["birth_month"], r["is_expected_birth"]) for r in landed(target, "cin_records")]
    assert births == [(2010, 5, "0"), (2018, 2, "1")]
    assert [(a["source_row"], a["column_name"]) for a in manifest["aside"]] == [(4, "birth_year")]


@pytest.mark.parametrize(
    ("text", "year"),
    [("2017/2018", 2018), ("2017/18", 2018), ("2017-18", 2018), ("201718", 2018), ("2018", 2018), ("1999/00", 2000),
     ("2017/2019", None), ("2017/19", None), ("FY18", None)],
)  # fmt: skip
def test_a_year_is_the_one_in_which_it_ends(text: str, year: int | None, tmp_path: Path) -> None:
    # A date of a later year than the return's would be in the future.
    row = {name: value.replace("2017-", f"{(year or 2018) - 1}-") for name, value in cin().items()}
    write(tmp_path / "x" / FILES["cin"], row | {"CIN_ACADYR": text})
    target, manifest = land(tmp_path / "x")
    assert [r["return_year"] for r in landed(target, "cin_records")] == ([year] if year else [])
    assert [a["column_name"] for a in manifest["aside"]] == ([] if year else ["return_year"])


# --- Bytes ---------------------------------------------------------------------------------------------------

CHILDREN = [
    {**{n: v for n, v in columns_of("cin").items() if n != "CIN_ExpectedDOB"}, "CIN_LAchildID_Anon": child}
    for child in ("0012", " 012", "12", "Zoë–1", 'q"uo,te', "00,12")
]


def as_text(rows: list[Row], delimiter: str = ",", end: str = "\n") -> str:
    from io import StringIO

    out = StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


BYTES: dict[str, bytes] = {
    "plain": as_text(CHILDREN).encode(),
    "crlf": as_text(CHILDREN, end="\r\n").encode(),
    "carriage_returns": as_text(CHILDREN, end="\r").encode(),
    "byte_order_mark": as_text(CHILDREN).encode("utf-8-sig"),
    "utf_16": as_text(CHILDREN).encode("utf-16"),
    "windows_1252": as_text(CHILDREN).encode("cp1252"),
    "no_final_newline": as_text(CHILDREN).rstrip("\n").encode(),
    "semicolons": as_text(CHILDREN, delimiter=";").encode(),
    "tabs": as_text(CHILDREN, delimiter="\t").encode(),
    "title_rows": ("Children in need\n\n" + as_text(CHILDREN)).encode(),
}


@pytest.mark.parametrize("form", [f for f in BYTES if f != "plain"])
def test_the_same_children_in_other_bytes_land_the_same(form: str, tmp_path: Path) -> None:
    """Trap 20: encodings, line ends, delimiters and title rows; trap 6: no leading zero is lost."""
    found = []
    for name in ("plain", form):
        path = tmp_path / name / FILES["cin"]
        path.parent.mkdir()
        path.write_bytes(BYTES[name])
        found.append(landed(land(path.parent)[0], "cin_records"))
    assert found[0] == found[1]
    assert [r["la_child_id"] for r in found[0]] == sorted(["0012", "012", "12", "Zoë–1", 'q"uo,te', "00,12"])


@pytest.mark.parametrize("word", ["NULL", "null", "N/A", "#MULTIVALUE", " ", " n/a "])
def test_words_for_nothing_are_nothing(word: str, tmp_path: Path) -> None:
    """Trap 21: such a word in a code or a date is a blank, not a value."""
    write(tmp_path / "x" / FILES["cin"], cin(CIN_CINClosureDate=word, CIN_PrimaryNeedCode=word, CIN_Gender=word))
    target, manifest = land(tmp_path / "x")
    (row,) = landed(target, "cin_records")
    assert (row["closure_date"], row["primary_need"], row["gender"]) == (None, None, None)
    assert not manifest["aside"]


@pytest.mark.parametrize(
    ("damage", "row", "message"),
    [
        (lambda lines: [*lines[:3], lines[3] + ",SECRET", *lines[4:]], 4, "expected 21 values"),
        (lambda lines: [*lines[:3], "SECRET", *lines[4:]], 4, "expected 21 values"),
        (lambda lines: [*lines[:3], lines[3].replace("0012", '"SECRET'), *lines[4:]], None, "quote"),
    ],
)
def test_a_damaged_row_refuses_the_file_without_showing_it(
    damage: Callable[[list[str]], list[str]], row: int | None, message: str, tmp_path: Path
) -> None:
    """A row of another width has shifted values; nothing of such a file lands."""
    columns = {n: v for n, v in cin().items()}
    wide = len(columns)
    lines = as_text([columns] * 6).splitlines()
    path = tmp_path / "x" / FILES["cin"]
    path.parent.mkdir()
    path.write_text("\n".join(damage(lines)) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message.replace("21", str(wide))) as refused:
        land(tmp_path / "x")
    assert "SECRET" not in str(refused.value)
    assert row is None or f"row {row}" in str(refused.value)
    assert not (tmp_path / "x.landing").exists()


def test_a_file_without_a_value_is_empty_not_an_error(tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES["cin"], cin())
    (tmp_path / "x" / "LA_Statistics.csv").write_bytes(b"\r\n")
    _, manifest = land(tmp_path / "x")
    assert manifest["empty_files"] == [{"file": "LA_Statistics.csv", "kind": "la_statistics"}]
    assert {a["file"]: a["raw"] for a in manifest["account"]} == {"LA_Statistics.csv": 0, FILES["cin"]: 1}


def test_rows_keep_the_numbers_of_the_file(tmp_path: Path) -> None:
    """source_row leads back to the line, title rows counted, however DuckDB reads the file in parallel."""
    rows = [cin(CIN_LAchildID_Anon=str(n)) for n in range(150_000)]
    path = tmp_path / "x" / FILES["cin"]
    path.parent.mkdir()
    path.write_text("A title\n" + as_text(rows), encoding="utf-8")
    found = landed(land(tmp_path / "x")[0], "cin_records", provenance=True)
    assert len(found) == 150_000
    assert all(row["source_row"] == int(row["la_child_id"]) + 3 for row in found)


def test_binary_pseudonyms_and_typed_columns_of_parquet(tmp_path: Path) -> None:
    """C.1: the child code is a binary hash in some supplies; dates and years come typed."""
    folder = tmp_path / "x"
    write(folder / "all.csv", cin(CIN_LAchildID_Anon="x"))
    duckdb.execute(
        f"copy (select * replace ('\\xAB\\x01'::blob as CIN_LAchildID_Anon, CIN_LA::double as CIN_LA, "
        "CIN_ReferralDate::timestamp as CIN_ReferralDate, CIN_YearOfBirth::integer as CIN_YearOfBirth, "
        f"CIN_CINClosureDate::date as CIN_CINClosureDate) from read_csv('{folder}/all.csv', all_varchar = true)) "
        f"to '{folder}/CIN_2009_to_2023.parquet'"
    )
    (folder / "all.csv").unlink()
    (row,) = landed(land(folder)[0], "cin_records", provenance=True)
    assert (row["la_child_id"], row["la_code"], row["birth_year"]) == ("ab01", "306", 2010)
    assert (row["referral_date"], row["closure_date"]) == (date(2017, 5, 1), date(2017, 8, 1))
    assert row["source_row"] == 1


def test_a_parquet_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x" / "CIN_2009_to_2023.parquet"
    path.parent.mkdir()
    duckdb.execute(f"copy (select 1 as CIN_LA) to '{path}'")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        land(tmp_path / "x")


# --- Kinds of file -------------------------------------------------------------------------------------------


def test_a_folder_without_extracts_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SfpcError, match="holds no national extract"), Gate(tmp_path / "l", "national") as gate:
        land_national(tmp_path, gate)


def test_a_file_of_another_kind_is_listed_as_ignored(tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES["cin"], cin())
    (tmp_path / "x" / "notes.txt").write_text("hello", encoding="utf-8")
    _, manifest = land(tmp_path / "x")
    assert manifest["ignored"] == [{"file": "notes.txt", "reason": "not one of the extracts this project reads"}]


def test_files_known_and_not_needed_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write(folder / FILES["cla_episodes"], columns_of("cla_episodes"))
    write(folder / FILES["cla_years"], columns_of("cla_years"), columns_of("cla_years"))
    write(folder / FILES["absence"], columns_of("absence"))
    write(folder / "Absence_2019_2Term.csv", columns_of("absence"))
    write(folder / "Absence_2020_2Term.csv", {f"{n}_ab20": v for n, v in columns_of("absence").items()})
    write(folder / "AP_Census_2008_to_2020.csv", {"AP_PupilMatchingRefAnonymous": "P1", "AP_FSMeligible": "1"})
    write(folder / "PRU_Census_2012.csv", {"PupilMatchingRefAnonymous": "P1", "LAEstab_ANON": "1"})
    write(folder / "Autumn_Census_2020.csv", {"PupilMatchingRefAnonymous_AUT20": "P1"})
    target, manifest = land(folder)
    reasons = {i["file"]: i["reason"] for i in manifest["ignored"]}
    assert reasons == {
        "CLA_2006_to_2023.csv": "not needed: the file of all episodes is there (2 rows)",
        "Absence_2019_2Term.csv": "not needed: the file of the whole school year is there (1 rows)",
        "AP_Census_2008_to_2020.csv": "not loaded: it holds several years, and no confirmed column says which (1 rows)",
        "PRU_Census_2012.csv": "not loaded: it says nothing of free school meals (FV.COV.1) (1 rows)",
        "Autumn_Census_2020.csv": "not loaded: free school meals are taken from the spring census (FV.COV.1) (1 rows)",
    }
    assert [r["school_year"] for r in landed(target, "npd_absence")] == [2019, 2020]
    assert [r["period_start_date"] for r in landed(target, "cla_episodes")] == [None]


def test_a_census_of_alternative_provision_serves_free_school_meals(tmp_path: Path) -> None:
    columns = {f"AP_{n}_SPR21": v for n, v in columns_of("spring_census").items()}
    write(tmp_path / "x" / "AP_Census_2021.csv", columns)
    (row,) = landed(land(tmp_path / "x")[0], "npd_pupils")
    assert (row["census_year"], row["pupil_id"], row["fsm_eligible"]) == (2021, "P1", "1")


def test_disabilities_of_a_table_of_their_own_are_folded_into_the_census(tmp_path: Path) -> None:
    """C.1: one row per disability; joined as it is, it would multiply referrals."""
    folder = tmp_path / "x"
    children = [
        cin(CIN_LAchildID_Anon=child, CIN_Disability=flag, CIN_ReferralDate=day)
        for child, flag, day in (
            ("two", "1", "2017-05-01"), ("two", "1", "2017-07-01"), ("none", "0", "2017-05-01"),
            ("flag", "1", "2017-05-01"), ("unlisted", "1", "2017-05-01"), ("blank", "", "2017-05-01"),
        )
    ]  # fmt: skip
    write(folder / FILES["cin"], *children)
    base = {n: v for n, v in columns_of("cin_disabilities").items()}
    write(
        folder / FILES["cin_disabilities"],
        *(
            base | {"CIN_LAchildID_Anon": child, "CIN_Disability": code, "CIN_ACADYR": year}
            for child, code, year in (
                ("two", "VIS", "2017/2018"), ("TWO", "hear", "2018"), ("two", "VIS", "2017/2018"),
                ("two", "MOB", "2016/2017"), ("none", "NONE", "2017/2018"), ("flag", "NONE", "2017/2018"),
                ("blank", "LD", "2017/2018"), ("nobody", "LD", "2017/2018"), ("", "LD", "2017/2018"),
            )
        ),
    )  # fmt: skip
    target, manifest = land(folder)
    found = {(r["la_child_id"], r["referral_date"]): r["disability"] for r in landed(target, "cin_records")}
    assert found == {
        ("two", date(2017, 5, 1)): "HEAR,VIS", ("two", date(2017, 7, 1)): "HEAR,VIS", ("none", date(2017, 5, 1)): "0",
        ("flag", date(2017, 5, 1)): "1", ("unlisted", date(2017, 5, 1)): "1", ("blank", date(2017, 5, 1)): "LD",
    }  # fmt: skip
    (told,) = manifest["folded"]
    assert (told["rows"], told["rows_without_key_or_code"]) == (9, 1)
    assert (told["child_years_joined"], told["child_years_without_a_record"]) == (4, 2)
    assert len(told["sha256"]) == 64


# --- Care, one row a year ------------------------------------------------------------------------------------


def test_the_file_of_one_row_a_year_lands_with_its_period(tmp_path: Path) -> None:
    write(tmp_path / "x" / FILES["cla_years"], columns_of("cla_years"))
    target, manifest = land(tmp_path / "x")
    (episode,) = landed(target, "cla_episodes")
    assert (episode["episode_start_date"], episode["period_start_date"]) == (date(2017, 5, 11), date(2017, 5, 11))
    assert (episode["legal_status"], episode["reason_for_new_episode"]) == ("C1", None)
    (child,) = landed(target, "cla_children")
    assert child["la_child_id"] == "0012"
    assert "columns_not_loaded" not in manifest


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred synthetic children as Parquet and as CSV."""
    folder = tmp_path_factory.mktemp("national")
    for kind in ("parquet", "csv"):
        synthesise("reduced", 5, folder / kind, folder / f"{kind}_truth", SEEDS, kind, volume=0.03, quiet=True)
    return folder


def test_csv_and_parquet_of_the_same_children_land_the_same(extracts: Path) -> None:
    targets = [land(extracts / kind)[0] for kind in ("parquet", "csv")]
    for table in TABLES:
        first, second = (landed(target, table) for target in targets)
        assert first == second, table
        if table in ("cin_records", "cla_episodes", "npd_pupils", "npd_absence", "published_figures"):
            assert len(first) > 300


def test_a_second_landing_changes_nothing(extracts: Path) -> None:
    rows = [landed(land(extracts / "csv")[0], "cin_records", provenance=True) for _ in range(2)]
    assert rows[0] == rows[1]


def test_one_row_a_year_gives_the_periods_of_all_episodes(extracts: Path, tmp_path: Path) -> None:
    """C.1, B.3: the same children from both files of care; what one row a year cannot hold is null, never wrong."""
    one_a_year = tmp_path / "x"
    one_a_year.mkdir()
    for path in (extracts / "parquet").glob("*.parquet"):
        if path.stem != "CLA_Episode_Data":
            shutil.copy(path, one_a_year)
    duckdb.execute(
        "copy (select cla_CLA_LA, cla_CHILD_LA_CODE_Anon, cla_PupilMatchingRefAnonymous, cla_PROCESSING_YEAR, cla_SEX, "
        "cla_ETHNIC, cla_UASC_STATUS, year_of_birth, month_of_birth, poc_start as cla_POC_START, "
        "date_episode_started as cla_DATE_EPI_COMM, date_episode_ceased as cla_DATE_EPI_CEASED, cla_CAT_NEED, "
        "placement as cla_PLACEMENT, legal_status as cla_LEGAL_STATUS, reason_episode_ceased as cla_REC "
        f"from '{extracts}/parquet/CLA_Episode_Data.parquet' where legal_status not in ('V3', 'V4') "
        "qualify row_number() over (partition by cla_CLA_LA, cla_CHILD_LA_CODE_Anon, cla_PROCESSING_YEAR, poc_start "
        f"order by date_episode_started desc) = 1) to '{one_a_year}/CLA_2006_to_2025.parquet'"
    )
    periods = []
    for number, folder in enumerate((extracts / "parquet", one_a_year)):
        paths = Paths(ROOT, tmp_path / f"data{number}", tmp_path / "outputs")
        paths.data.mkdir()
        with Gate(paths.landing, "national", base=folder) as gate:
            land_national(folder, gate)
        selected = ("--select", "+int_spells__care_periods", "--indirect-selection", "cautious")
        run_dbt(paths, "build", *selected, target=tmp_path / f"target{number}")
        with duckdb.connect(str(paths.build_db), read_only=True) as con:
            rows = con.execute(
                "select la_id, child_key, care_start_date, care_end_date, reason_care_ceased_code, "
                "first_placement_code "
                "from intermediate.int_spells__care_periods order by all"
            ).fetchall()
        periods.append(rows)
    whole, thin = periods
    assert len(whole) == len(thin) > 200
    earlier = 0
    for all_episodes, stated in zip(whole, thin, strict=True):
        assert all_episodes[:2] == stated[:2] and all_episodes[3:5] == stated[3:5]
        # The stated start may lie before the first return, where no episode is seen.
        assert stated[2] <= all_episodes[2]
        earlier += stated[2] < all_episodes[2]
        if stated[5] is not None:
            assert (stated[2], stated[5]) == (all_episodes[2], all_episodes[5])
    assert 0 < earlier < 0.1 * len(whole)
    assert 0.3 * len(whole) < sum(stated[5] is not None for stated in thin) < 0.9 * len(whole)


# --- The register of LAs -------------------------------------------------------------------------------------


def test_the_register_of_las_agrees_with_its_source() -> None:
    """Trap 24: every code, validity and succession, row by row, where the source is at hand; else within itself."""
    with (SEEDS / "reference" / "local_authority_codes.csv").open(newline="", encoding="utf-8") as handle:
        codes = list(csv.DictReader(handle))
    with (SEEDS / "reference" / "local_authority_successors.csv").open(newline="", encoding="utf-8") as handle:
        successors = list(csv.DictReader(handle))
    ons_of: dict[str, set[str]] = {}
    for row in codes:
        ons_of.setdefault(row["ons_code"], set()).add(row["la_code"])
    assert len(codes) == 161 and len({row["la_code"] for row in codes}) == 158
    assert all(len(found) == 1 for found in ons_of.values()), "an ONS code means one LA"
    known = {row["la_code"] for row in codes}
    assert all({row["from_la_code"], row["to_la_code"]} <= known for row in successors)
    for year, count in ((2018, 152), (2019, 152), (2020, 151), (2021, 151), (2022, 152), (2023, 152), (2024, 153)):
        valid = {r["la_code"] for r in codes if int(r["first_return_year"]) <= year <= int(r["last_return_year"])}
        assert len(valid) == count, year
    shared = shared_dir()
    if shared is None:
        return
    with (shared / "reference-data" / "la_reference.csv").open(newline="", encoding="utf-8") as handle:
        source = list(csv.DictReader(handle))
    ours = {(r["la_code"], r["ons_code"]): r for r in codes}
    assert ours.keys() == {(r["dfe_code"], r["ons_code"]) for r in source} and len(source) == len(codes)
    for row in source:
        mine = ours[row["dfe_code"], row["ons_code"]]
        for theirs, name in (
            ("la_name", "la_name"), ("region_name", "region_name"), ("la_type", "la_type"),
            ("valid_from", "valid_from_date"), ("valid_to", "valid_to_date"), ("first_cin_year", "first_return_year"),
            ("last_cin_year", "last_return_year"),
        ):  # fmt: skip
            assert mine[name] == row[theirs], (row["dfe_code"], name)
    with (shared / "reference-data" / "la_successors.csv").open(newline="", encoding="utf-8") as handle:
        theirs_too = list(csv.DictReader(handle))
    kinds = {"split_part": "split"}
    listed = {
        (r["from_dfe_code"], r["to_dfe_code"], r["effective_date"], kinds.get(r["relationship"], r["relationship"]))
        for r in theirs_too
    }
    assert {(r["from_la_code"], r["to_la_code"], r["effective_date"], r["relationship"]) for r in successors} == listed


# --- The verb ------------------------------------------------------------------------------------------------


def test_the_verb_lands_extracts_and_published_tables(
    tmp_path: Path, extracts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SFPC_DATA_DIR", str(tmp_path / "data"))
    published = tmp_path / "elsewhere"
    published.mkdir()
    (table,) = (extracts / "csv" / "published").glob("c6_*.csv")
    (published / "anything.csv").write_bytes(table.read_bytes())
    assert main(["land", "--extracts", str(extracts / "parquet"), "--published", str(published)]) == 0
    assert "anything.csv as published table c6" in capsys.readouterr().err
    found = landed(tmp_path / "data" / "landing", "published_figures")
    assert {r["published_table"] for r in found} == {"c6"}
    assert main(["land", "--extracts", str(extracts / "parquet")]) == 0
    found = landed(tmp_path / "data" / "landing", "published_figures")
    assert len({r["published_table"] for r in found}) == 8
