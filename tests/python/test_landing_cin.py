"""CIN census: every rule of its two readers (XML and flat tables) on small files, and the samples row by row."""

from __future__ import annotations

import copy
import csv
import itertools
import re
import tracemalloc
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import SEEDS, shared_dir
from sfpc.errors import InputError
from sfpc.landing import cin_xml
from sfpc.landing.cin_blades import Blade, BladeSet, identify_blade, read_blades
from sfpc.landing.cin_xml import Tally, census_year, read_cin_xml, read_header
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.layout import CIN_ASSESSMENTS, CIN_RECORDS, CIN_REVIEWS, CIN_SECTION47, TABLES
from sfpc.landing.national import land_national
from sfpc.landing.pseudonym import NOT_A_DATE, is_identifying, pupil_pseudonym
from sfpc.landing.returns import discover, land_returns
from sfpc.synthetic.extracts import synthesise
from sfpc.synthetic.returns import write_returns

KEY = b"k" * 32
UPN = "A123456789012"

HEADER = """<Header><CollectionDetails><Collection>CIN</Collection><Year>2023</Year>
<ReferenceDate>{date}</ReferenceDate></CollectionDetails>
<Source><SourceLevel>L</SourceLevel><LEA>{la}</LEA></Source></Header>"""
IDENTIFIERS = (
    "<ChildIdentifiers><LAchildID>C1</LAchildID><PersonBirthDate>2011-05-27</PersonBirthDate>"
    "<GenderCurrent>2</GenderCurrent></ChildIdentifiers>"
)
REFERRAL = "<CINdetails><CINreferralDate>2022-06-01</CINreferralDate></CINdetails>"


def quiet(_: str) -> None:
    pass


def message(*children: str, header: str | None = "", la: str = "331") -> str:
    if header == "":
        header = HEADER.format(date="2023-03-31", la=la)
    body = "".join(f"<Child>{child}</Child>" for child in children)
    return f"<Message>{header or ''}<Children>{body}</Children></Message>"


def cin_file(tmp_path: Path, text: str, name: str = "cin.xml", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def read_tables(path: Path, **options: object) -> dict[str, pd.DataFrame]:
    """All rows of a census by landing table."""
    options.setdefault("note", quiet)
    frames: dict[str, list[pd.DataFrame]] = {}
    for table, frame in read_cin_xml(path, KEY, **options):  # type: ignore[arg-type]
        frames.setdefault(table, []).append(frame)
    return {table: pd.concat(parts) for table, parts in frames.items()}


def read_cin(path: Path, **options: object) -> pd.DataFrame:
    return read_tables(path, **options)["cin_records"]


def one_row(tmp_path: Path, *children: str) -> dict[str, object]:
    frame = read_cin(cin_file(tmp_path, message(*children)))
    assert len(frame) == 1
    row = frame.iloc[0]
    return {name: None if pd.isna(value) else value for name, value in row.items()}


def cells(frame: pd.DataFrame) -> str:
    return "\n".join(str(value) for value in frame.to_numpy().ravel())


def values(frame: pd.DataFrame, *columns: str) -> list[list[object]]:
    """Cells of some columns, None where missing."""
    part = frame[list(columns)].astype(object)
    return part.where(part.notna(), None).to_numpy().tolist()  # type: ignore[no-any-return]


# XML: one row per plan


def test_one_row_per_plan_and_one_for_a_referral_without(tmp_path: Path) -> None:
    details = """<CINdetails><CINreferralDate>2022-06-01</CINreferralDate><ReferralSource>1A</ReferralSource>
    <PrimaryNeedCode>N4</PrimaryNeedCode><CINclosureDate>2023-02-01</CINclosureDate>
    <ReasonForClosure>RC1</ReasonForClosure>
    <CINPlanDates><CINPlanStartDate>2022-06-10</CINPlanStartDate>
    <CINPlanEndDate>2022-07-01</CINPlanEndDate></CINPlanDates>
    <CINPlanDates><CINPlanStartDate>2022-11-10</CINPlanStartDate></CINPlanDates>
    <ReferralNFA>false</ReferralNFA>
    <ChildProtectionPlans><CPPstartDate>2022-07-01</CPPstartDate><CPPendDate>2022-09-01</CPPendDate>
    <InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse><LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse>
    <NumberOfPreviousCPP>0</NumberOfPreviousCPP><Reviews><CPPreviewDate>2022-08-01</CPPreviewDate></Reviews>
    </ChildProtectionPlans>
    <ChildProtectionPlans><CPPstartDate>2022-10-01</CPPstartDate>
    <InitialCategoryOfAbuse>PHY</InitialCategoryOfAbuse><NumberOfPreviousCPP>1</NumberOfPreviousCPP>
    </ChildProtectionPlans></CINdetails>"""
    other = IDENTIFIERS.replace("C1", "C2")
    path = cin_file(tmp_path, message(IDENTIFIERS + details + REFERRAL, other + REFERRAL))
    frame = read_cin(path)
    assert list(frame.columns) == [*CIN_RECORDS.names, "source_row"]
    assert all(frame[name].dtype == "str" for name in CIN_RECORDS.names)
    assert frame["source_row"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["la_child_id"].tolist() == ["C1"] * 5 + ["C2"]
    plans = frame[["cin_plan_start_date", "cin_plan_end_date", "cpp_start_date", "cpp_end_date"]]
    assert plans.astype(object).where(plans.notna(), None).to_numpy().tolist() == [
        ["2022-06-10", "2022-07-01", None, None],
        ["2022-11-10", None, None, None],
        [None, None, "2022-07-01", "2022-09-01"],
        [None, None, "2022-10-01", None],
        [None] * 4,
        [None] * 4,
    ]
    first = frame.iloc[2]
    assert first[["return_year", "la_code", "referral_source", "primary_need"]].tolist() == [
        "2023",
        "331",
        "1A",
        "N4",
    ]
    assert first[["closure_date", "closure_reason", "referral_nfa"]].tolist() == [
        "2023-02-01",
        "RC1",
        "false",
    ]
    assert first[["cpp_initial_category", "cpp_previous_count"]].tolist() == ["NEG", "0"]


def test_chunks_hold_all_rows_and_running_numbers(tmp_path: Path) -> None:
    children = [IDENTIFIERS.replace("C1", f"C{i}") + REFERRAL + REFERRAL for i in range(7)]
    path = cin_file(tmp_path, message(*children))
    chunks = [frame for _, frame in read_cin_xml(path, KEY, chunk_rows=3)]
    assert [len(c) for c in chunks] == [4, 4, 4, 2]
    assert pd.concat(chunks)["source_row"].tolist() == list(range(1, 15))


def test_empty_groups_blanks_comments_and_stray_text(tmp_path: Path) -> None:
    row = one_row(
        tmp_path,
        """<ChildIdentifiers>noise<LAchildID> C<!-- cut -->1 </LAchildID><UPN/>
        <UPNunknown>UN3</UPNunknown>PersonBirthDate
        <PersonBirthDate>2015-03-27</PersonBirthDate></ChildIdentifiers>
        <ChildCharacteristics><Ethnicity> </Ethnicity><Disabilities/></ChildCharacteristics>
        <CINdetails><CINreferralDate>
        2022-06-01
        </CINreferralDate><CINclosureDate/><Assessments><FactorsIdentifiedAtAssessment/></Assessments>
        <CINPlanDates/><CINPlanDates><CINPlanStartDate/></CINPlanDates>
        <ChildProtectionPlans> </ChildProtectionPlans></CINdetails>""",
    )
    assert row["la_child_id"] == "C1"
    assert row["referral_date"] == "2022-06-01"
    for name in (
        "pupil_id",
        "ethnicity",
        "disability",
        "closure_date",
        "cin_plan_start_date",
        "cpp_start_date",
    ):
        assert row[name] is None, name


@pytest.mark.parametrize(
    ("dates", "year", "month", "expected"),
    [
        ("<PersonBirthDate>2011-05-27</PersonBirthDate>", "2011", "5", "0"),
        ("<PersonBirthDate/><ExpectedPersonBirthDate>2023-06-27</ExpectedPersonBirthDate>", "2023", "6", "1"),
        (
            "<PersonBirthDate>2011-12-27</PersonBirthDate>"
            "<ExpectedPersonBirthDate>2012-01-27</ExpectedPersonBirthDate>",
            "2011",
            "12",
            "0",
        ),
        ("", None, None, None),
        ("<PersonBirthDate>27/05/2011</PersonBirthDate>", NOT_A_DATE, None, "0"),
        ("<PersonBirthDate>2011-02-31</PersonBirthDate>", NOT_A_DATE, None, "0"),
        ("<PersonBirthDate>2011-05-27T00:00:00</PersonBirthDate>", "2011", "5", "0"),
    ],
)
def test_birth_is_year_and_month(
    tmp_path: Path, dates: str, year: str | None, month: str | None, expected: str | None
) -> None:
    identifiers = f"<ChildIdentifiers><LAchildID>C1</LAchildID>{dates}</ChildIdentifiers>"
    row = one_row(tmp_path, identifiers + REFERRAL)
    assert (row["birth_year"], row["birth_month"]) == (year, month)
    assert row["is_expected_birth"] == row["is_unborn"] == expected
    assert "27" not in "".join(str(value) for value in row.values())


@pytest.mark.parametrize("element", ["GenderCurrent", "Sex"])
@pytest.mark.parametrize("value", ["1", "0", "M", "U"])
def test_gender_as_sent(tmp_path: Path, element: str, value: str) -> None:
    identifiers = f"<ChildIdentifiers><LAchildID>C1</LAchildID><{element}>{value}</{element}></ChildIdentifiers>"
    assert one_row(tmp_path, identifiers + REFERRAL)["gender"] == value


def test_disability_codes_are_joined(tmp_path: Path) -> None:
    about = """<ChildCharacteristics><Ethnicity>WBRI</Ethnicity><Disabilities><Disability>HAND</Disability>
    <Disability/><Disability>HEAR</Disability></Disabilities></ChildCharacteristics>"""
    row = one_row(tmp_path, IDENTIFIERS + about + REFERRAL)
    assert (row["ethnicity"], row["disability"]) == ("WBRI", "HAND,HEAR")


def test_characteristics_after_the_referral_count_too(tmp_path: Path) -> None:
    row = one_row(
        tmp_path,
        REFERRAL + "<ChildCharacteristics><Ethnicity>AIND</Ethnicity></ChildCharacteristics>" + IDENTIFIERS,
    )
    assert (row["la_child_id"], row["ethnicity"]) == ("C1", "AIND")


def test_upn_is_pseudonymised(tmp_path: Path) -> None:
    child = IDENTIFIERS.replace(
        "<PersonBirthDate>", f"<UPN>{UPN}</UPN><FormerUPN>B{UPN[1:]}</FormerUPN><PersonBirthDate>"
    )
    frame = read_cin(cin_file(tmp_path, message(child + REFERRAL)))
    assert frame["pupil_id"].tolist() == [pupil_pseudonym(UPN, KEY)]
    assert UPN[1:] not in cells(frame)


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("2024-03-31", 2024),
        ("2024-01-15", 2024),
        ("2022-07-21", 2022),
        ("2022-11-30", 2022),
        ("31/03/2024", None),
        ("2024-02-30", None),
        ("20240331", None),
        (None, None),
    ],
)
def test_census_year(date: str | None, year: int | None) -> None:
    assert census_year(date) == year


def test_la_and_year_from_the_caller_without_a_header(tmp_path: Path) -> None:
    path = cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, header=None))
    frame = read_cin(path, la_code="332", return_year=2021)
    assert frame[["la_code", "return_year"]].to_numpy().tolist() == [["332", "2021"]]
    with pytest.raises(InputError, match="LA is unknown"):
        read_cin(path, return_year=2021)
    with pytest.raises(InputError, match="census year is unknown"):
        read_cin(path, la_code="332")


def test_the_header_goes_before_the_caller(tmp_path: Path) -> None:
    frame = read_cin(cin_file(tmp_path, message(IDENTIFIERS + REFERRAL)), la_code="999", return_year=1999)
    assert frame[["la_code", "return_year"]].to_numpy().tolist() == [["331", "2023"]]


def test_several_las_in_one_return(tmp_path: Path) -> None:
    header = HEADER.format(date="2023-03-31", la="331") + HEADER.format(date="2023-03-31", la="332")
    with pytest.raises(InputError, match=r"LEA.*331, 332"):
        read_cin(cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, header=header)))


def test_truncated_xml_names_its_place_and_leaves_nothing(tmp_path: Path) -> None:
    text = message(*[IDENTIFIERS.replace("C1", f"C{i}") + REFERRAL + "\n" for i in range(5)])
    path = cin_file(tmp_path, text[: text.rindex("<CINreferralDate>")], "in/cin.xml")
    rows = 0
    with pytest.raises(InputError, match=r"cin\.xml, row 7, column \d+: not well-formed XML"):
        for _, chunk in read_cin_xml(path, KEY, chunk_rows=1):
            rows += len(chunk)
    assert rows == 4, "rows come before the break is met: only the commit makes them count"
    target = tmp_path / "landing"
    with pytest.raises(InputError), Gate(target, "returns") as gate:
        land_returns(path.parent, gate, KEY, progress=quiet)
        gate.commit()
    assert not target.exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize(
    "prolog",
    [
        "<!DOCTYPE Message>",
        '<!-- -->\n<!DOCTYPE Message [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!-- \u2d2d\u3e00<Message> -->\n<!DOCTYPE Message SYSTEM "file:///etc/hostname">',
    ],
)
def test_document_types_are_refused(tmp_path: Path, prolog: str, encoding: str) -> None:
    declaration = "" if encoding.startswith("utf") else f'<?xml version="1.0" encoding="{encoding}"?>'
    if encoding == "cp1252":
        prolog = prolog.replace("\u2d2d\u3e00", "\u2013")
    path = cin_file(tmp_path, declaration + prolog + message(IDENTIFIERS + REFERRAL), encoding=encoding)
    with pytest.raises(InputError, match="document type or entities"):
        read_cin(path)
    with pytest.raises(InputError, match="document type or entities"):
        discover(tmp_path)


def test_undeclared_entity_is_an_error(tmp_path: Path) -> None:
    path = cin_file(tmp_path, message(IDENTIFIERS.replace("C1", "&xxe;") + REFERRAL))
    with pytest.raises(InputError, match="undefined entity"):
        read_cin(path)


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_declared_encodings(tmp_path: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + message(IDENTIFIERS.replace("C1", "é1") + REFERRAL)
    assert read_cin(cin_file(tmp_path, text, encoding=encoding))["la_child_id"].tolist() == ["é1"]


def test_wrong_encoding_is_told(tmp_path: Path) -> None:
    path = cin_file(tmp_path, message(IDENTIFIERS.replace("C1", "é1") + REFERRAL), encoding="cp1252")
    with pytest.raises(InputError, match="not well-formed"):
        read_cin(path)


def test_namespace(tmp_path: Path) -> None:
    text = message(IDENTIFIERS + REFERRAL).replace("<Message>", '<Message xmlns="urn:x">')
    frame = read_cin(cin_file(tmp_path, text))
    assert frame[["la_code", "la_child_id", "birth_month"]].to_numpy().tolist() == [["331", "C1", "5"]]


def test_child_without_referral_and_referral_without_date_are_rows_to_set_aside(tmp_path: Path) -> None:
    frame = read_cin(cin_file(tmp_path, message(IDENTIFIERS, IDENTIFIERS + "<CINdetails/>")))
    assert frame["referral_date"].isna().tolist() == [True, True]
    assert frame["source_row"].tolist() == [1, 2]


def test_referral_outside_a_child(tmp_path: Path) -> None:
    text = message(IDENTIFIERS + REFERRAL).replace("</Children>", REFERRAL + "</Children>")
    with pytest.raises(InputError, match="CINdetails outside a Child"):
        read_cin(cin_file(tmp_path, text))
    text = message(IDENTIFIERS + REFERRAL).replace("<Child>", REFERRAL + "<Child>")
    with pytest.raises(InputError, match="CINdetails outside a Child"):
        read_cin(cin_file(tmp_path, text))
    for text in (
        message(IDENTIFIERS + f"<Child>{IDENTIFIERS}</Child>"),
        message(IDENTIFIERS).replace("<Children>", "<Body><Children>").replace("</Children>", "</Children></Body>"),
    ):
        with pytest.raises(InputError, match="Child outside Children"):
            read_cin(cin_file(tmp_path, text))


def test_identifying_element_is_refused_and_unknown_ones_are_named(tmp_path: Path) -> None:
    notes: list[str] = []
    tally = Tally()
    new = "<NewGroup><NewItem>1</NewItem></NewGroup>"
    misplaced = REFERRAL.replace("</CINdetails>", "<CPPreviewDate>2022-08-01</CPPreviewDate></CINdetails>")
    path = cin_file(tmp_path, message(IDENTIFIERS + new + misplaced).replace("</Header>", "<New/></Header>"))
    assert len(read_cin(path, note=notes.append, tally=tally)) == 1
    assert "CPPreviewDate (1), New (1), NewGroup (1), NewItem (1)" in notes[0]
    assert tally.unknown.total() == 4
    for place in (
        IDENTIFIERS + REFERRAL + "<Surname>Doe</Surname>",
        IDENTIFIERS + REFERRAL.replace("</CINdetails>", "<Surname/></CINdetails>"),
        IDENTIFIERS.replace("C1<", "C1<Surname/><") + REFERRAL,
        IDENTIFIERS + new.replace("1", "<Surname>Doe</Surname>") + REFERRAL,
    ):
        with pytest.raises(InputError, match=r"column Surname: this element identifies a person"):
            read_cin(cin_file(tmp_path, message(place)))
    for text in (
        message(IDENTIFIERS + REFERRAL).replace("</Source>", "<Surname>Doe</Surname></Source>"),
        message(IDENTIFIERS + REFERRAL).replace("</Children>", "</Children><Surname>Doe</Surname>"),
    ):
        with pytest.raises(InputError, match=r"column Surname: this element identifies a person"):
            read_cin(cin_file(tmp_path, text))


def test_no_documented_name_counts_as_identifying() -> None:
    names = {*cin_xml.REFERRAL, *cin_xml.CPP, *cin_xml.CIN_PLAN, *cin_xml.ASSESSMENT, *cin_xml.SECTION47}
    names |= {*cin_xml.ABOUT_CHILD, *cin_xml.NOT_LOADED}.union(*cin_xml.NOT_LOADED.values())
    assert len(names) > 50
    assert not [name for name in names if is_identifying(name)]


def test_other_collections_are_no_cin(tmp_path: Path) -> None:
    header = HEADER.format(date="2023-03-31", la="331").replace("CIN<", "SC1<")
    path = cin_file(tmp_path, message(IDENTIFIERS, header=header))
    with pytest.raises(InputError, match="collection SC1"):
        read_cin(path)
    path = cin_file(tmp_path, "<EXPSSDA903><CHILD/></EXPSSDA903>")
    with pytest.raises(InputError, match="EXPSSDA903"):
        read_cin(path)
    assert read_header(path).has_children is False


def test_a_child_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cin_xml, "_BLOCK", 64)
    monkeypatch.setattr(cin_xml, "_MOST_BYTES_PER_CHILD", 1000)
    path = cin_file(tmp_path, message(*[IDENTIFIERS + REFERRAL] * 100))
    assert len(read_cin(path)) == 100
    nested = "<Assessments>" * 200 + "</Assessments>" * 200
    for text in (
        message(IDENTIFIERS + nested),
        message(IDENTIFIERS + "<Assessments/>" * 200),
        message(IDENTIFIERS.replace("C1", "C" * 3000)),
        message(IDENTIFIERS).replace("</Children>", "</Children>" + "<!-- more -->" * 200),
        message(IDENTIFIERS).replace("<Children>", "<Children>" + nested),
    ):
        with pytest.raises(InputError, match="more than 1000 bytes without the end of a Child"):
            read_cin(cin_file(tmp_path, text))


def test_a_deeply_nested_child_is_no_crash(tmp_path: Path) -> None:
    depth = 100_000
    path = cin_file(tmp_path, message(IDENTIFIERS + REFERRAL + "<a>" * depth + "</a>" * depth))
    tally = Tally()
    assert len(read_cin(path, tally=tally)) == 1
    assert tally.unknown == {"a": depth}


# XML: the other three tables, and what is not loaded


FULL = """<CINdetails><CINreferralDate>2022-06-01</CINreferralDate><ReferralSource>1A</ReferralSource>
<PrimaryNeedCode>N1</PrimaryNeedCode><DateOfInitialCPC>2022-06-03</DateOfInitialCPC>
<Assessments><AssessmentActualStartDate>2022-06-02</AssessmentActualStartDate>
<AssessmentInternalReviewDate>2022-06-20</AssessmentInternalReviewDate>
<AssessmentAuthorisationDate>2022-07-01</AssessmentAuthorisationDate><FactorsIdentifiedAtAssessment>
<AssessmentFactors>18B</AssessmentFactors><AssessmentFactors> 3C </AssessmentFactors><AssessmentFactors/>
</FactorsIdentifiedAtAssessment></Assessments>
<Assessments><AssessmentActualStartDate>2022-09-02</AssessmentActualStartDate>
<FactorsIdentifiedAtAssessment/></Assessments>
<Assessments/><Assessments><FactorsIdentifiedAtAssessment><AssessmentFactors>21</AssessmentFactors>
</FactorsIdentifiedAtAssessment></Assessments>
<CINPlanDates><CINPlanStartDate>2022-06-10</CINPlanStartDate></CINPlanDates>
<Section47><S47ActualStartDate>2022-06-10</S47ActualStartDate><InitialCPCtarget>2022-07-01</InitialCPCtarget>
<DateOfInitialCPC>2022-06-28</DateOfInitialCPC><ICPCnotRequired>false</ICPCnotRequired></Section47>
<Section47><S47ActualStartDate>2022-11-10</S47ActualStartDate><ICPCnotRequired>true</ICPCnotRequired></Section47>
<Section47><ICPCnotRequired>true</ICPCnotRequired></Section47>
<ReferralNFA>0</ReferralNFA>
<ChildProtectionPlans><CPPstartDate>2022-06-28</CPPstartDate><CPPendDate/>
<InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse><LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse>
<NumberOfPreviousCPP>0</NumberOfPreviousCPP><Reviews><CPPreviewDate>2022-09-01</CPPreviewDate>
<CPPreviewDate>2022-12-01</CPPreviewDate><CPPreviewDate/></Reviews>
<Reviews><CPPreviewDate>2023-02-01</CPPreviewDate></Reviews><Reviews/></ChildProtectionPlans>
<ChildProtectionPlans><Reviews><CPPreviewDate>2023-03-01</CPPreviewDate></Reviews></ChildProtectionPlans>
<PreProceedingsandFGDM><PPStartDate>2022-10-01</PPStartDate><PPOutcome>X</PPOutcome>
<ReviewMeetingsCount/></PreProceedingsandFGDM></CINdetails>"""


def test_one_pass_gives_four_tables(tmp_path: Path) -> None:
    path = cin_file(tmp_path, message(IDENTIFIERS + FULL, IDENTIFIERS.replace("C1", "C2") + REFERRAL + FULL))
    tables = read_tables(path)
    assert set(tables) == {"cin_records", "cin_assessments", "cin_section47", "cin_reviews"}
    for name, frame in tables.items():
        assert list(frame.columns) == [*TABLES[name].names, "source_row"]
        assert all(frame[column].dtype == "str" for column in TABLES[name].names)
        assert frame["source_row"].tolist() == list(range(1, len(frame) + 1))
        assert set(frame["return_year"]) == {"2023"} and set(frame["la_code"]) == {"331"}
    assert len(tables["cin_records"]) == 5
    first = {name: frame[frame["la_child_id"] == "C1"] for name, frame in tables.items()}
    day = "2022-06-01"
    assert values(first["cin_assessments"], *CIN_ASSESSMENTS.names[2:]) == [
        ["C1", day, "2022-06-02", "2022-07-01", "18B,3C"],
        ["C1", day, "2022-09-02", None, None],
        ["C1", day, None, None, "21"],
    ]
    assert values(first["cin_section47"], *CIN_SECTION47.names[2:]) == [
        ["C1", day, "2022-06-10", "2022-06-28"],
        ["C1", day, "2022-11-10", None],
        ["C1", day, None, "2022-06-03"],
    ]
    assert values(first["cin_reviews"], *CIN_REVIEWS.names[2:]) == [
        ["C1", day, "2022-06-28", "2022-09-01"],
        ["C1", day, "2022-06-28", "2022-12-01"],
        ["C1", day, "2022-06-28", "2023-02-01"],
        ["C1", day, None, "2023-03-01"],
    ]


def test_what_is_not_loaded_is_counted_by_name(tmp_path: Path) -> None:
    about = (
        "<ChildIdentifiers><LAchildID>C1</LAchildID><FormerUPN>B</FormerUPN><UPNunknown>UN3</UPNunknown>"
        "<PersonDeathDate/></ChildIdentifiers>"
    )
    text = message(about + FULL).replace("</LEA>", "</LEA><SoftwareCode>x</SoftwareCode><SerialNo>1</SerialNo>")
    content = "<Content><CBDSLevels><CBDSLevel>Child</CBDSLevel></CBDSLevels></Content>"
    tally, notes = Tally(), list[str]()
    read_tables(cin_file(tmp_path, text.replace("</Header>", content + "</Header>")), tally=tally, note=notes.append)
    assert tally.not_loaded == {
        "Year": 1,
        "SourceLevel": 1,
        "SoftwareCode": 1,
        "SerialNo": 1,
        "CBDSLevel": 1,
        "FormerUPN": 1,
        "UPNunknown": 1,
        "AssessmentInternalReviewDate": 1,
        "InitialCPCtarget": 1,
        "ICPCnotRequired": 3,
        "LatestCategoryOfAbuse": 1,
        "PPStartDate": 1,
        "PPOutcome": 1,
    }
    assert tally.empty == {"Assessments": 1, "Section47": 1, "ChildProtectionPlans": 1}
    assert not tally.unknown and not tally.repeated and not notes


def test_items_that_occur_twice_keep_the_first_value_and_are_told(tmp_path: Path) -> None:
    twice = (
        "<CINdetails><CINreferralDate/><CINreferralDate>2022-06-01</CINreferralDate>"
        "<CINreferralDate>2022-06-02</CINreferralDate><PrimaryNeedCode>N1</PrimaryNeedCode>"
        "<PrimaryNeedCode>N1</PrimaryNeedCode><DateOfInitialCPC>2022-06-05</DateOfInitialCPC>"
        "<DateOfInitialCPC>2022-06-06</DateOfInitialCPC><CINPlanDates><CINPlanStartDate>2022-06-07"
        "</CINPlanStartDate><CINPlanStartDate>2022-06-08</CINPlanStartDate></CINPlanDates></CINdetails>"
    )
    notes: list[str] = []
    other = IDENTIFIERS.replace("C1", "C9")
    tables = read_tables(cin_file(tmp_path, message(IDENTIFIERS + other + twice)), note=notes.append)
    columns = ("la_child_id", "referral_date", "primary_need", "cin_plan_start_date")
    assert values(tables["cin_records"], *columns) == [["C1", "2022-06-01", "N1", "2022-06-07"]]
    assert values(tables["cin_section47"], "initial_conference_date") == [["2022-06-05"]]
    expected = "CINPlanStartDate (1), CINreferralDate (1), DateOfInitialCPC (1), LAchildID (1)"
    assert notes[0].endswith(f"the first value kept: {expected}")


def test_a_conference_without_an_enquiry_has_its_own_day_in_the_data_window(tmp_path: Path) -> None:
    """DP.2: a child who moved in with a conference before the window is counted and left out, one within it lands."""
    moved_in = "<CINdetails><CINreferralDate>{0}</CINreferralDate><DateOfInitialCPC>{0}</DateOfInitialCPC></CINdetails>"
    text = message(IDENTIFIERS + moved_in.format("2018-05-01") + moved_in.format("2022-05-01") + FULL)
    cin_file(tmp_path, text, "in/a.xml")
    windows = read_windows(SEEDS / "protocol" / "data_windows.csv")
    with Gate(tmp_path / "landing", "returns", windows, base=tmp_path / "in", accepts_quarantine=True) as gate:
        land_returns(tmp_path / "in", gate, KEY, progress=quiet)
        account = gate.commit().set_index("table")
    assert account.loc["cin_section47", ["raw", "landed", "out_of_window"]].tolist() == [5, 4, 1]
    assert [row[5] for row in landed(tmp_path, "cin_section47") if row[4] is None] == [
        date(2022, 5, 1),
        date(2022, 6, 3),
    ]


def test_repeated_rows_of_one_file_are_counted_across_its_chunks(tmp_path: Path) -> None:
    """Chunks of four tables take turns; each table of a file is judged as a whole."""
    path = cin_file(tmp_path, message(*[IDENTIFIERS + FULL] * 3))
    with Gate(tmp_path / "landing", "returns", accepts_quarantine=True) as gate:
        for table, frame in read_cin_xml(path, KEY, chunk_rows=1):
            gate.add_rows(table, path, frame, "iso")
        account = gate.commit().set_index("table")
    assert len(account) == 4
    assert account.loc["cin_assessments", ["raw", "landed", "quarantined", "duplicate"]].tolist() == [9, 2, 3, 4]
    assert account.loc["cin_section47", ["raw", "landed", "quarantined", "duplicate"]].tolist() == [9, 3, 0, 6]


@pytest.mark.parametrize("year", range(2017, 2027))
def test_every_census_year_is_read(tmp_path: Path, year: int) -> None:
    """The items of each year (A.3): gender or sex, plans from 2022, factors 18A to 2020, an id of 20 characters."""
    sex = "<Sex>U</Sex>" if year >= 2025 else "<GenderCurrent>9</GenderCurrent>"
    factor = "18A" if year <= 2020 else "18B"
    plan = "<CINPlanDates><CINPlanStartDate>{0}-09-01</CINPlanStartDate></CINPlanDates>" if year >= 2022 else ""
    reason, source = ("RC9", "5D") if year >= 2023 else ("RC8", "5C")
    child = "C" * (20 if year >= 2025 else 10)
    text = (
        f"<ChildIdentifiers><LAchildID>{child}</LAchildID><PersonBirthDate>2011-05-27</PersonBirthDate>{sex}"
        "</ChildIdentifiers><CINdetails><CINreferralDate>{0}-08-01</CINreferralDate>"
        f"<ReferralSource>{source}</ReferralSource><ReasonForClosure>{reason}</ReasonForClosure><Assessments>"
        "<AssessmentActualStartDate>{0}-08-02</AssessmentActualStartDate><FactorsIdentifiedAtAssessment>"
        f"<AssessmentFactors>{factor}</AssessmentFactors></FactorsIdentifiedAtAssessment></Assessments>{plan}"
        "</CINdetails>"
    ).format(year - 1)
    for header in (HEADER.format(date=f"{year}-03-31", la="331"), None):
        path = cin_file(tmp_path, message(text, header=header))
        tables = read_tables(path, la_code="331", return_year=year)
        columns = ("return_year", "la_child_id", "gender", "referral_source", "closure_reason", "cin_plan_start_date")
        start = f"{year - 1}-09-01" if plan else None
        expected = [str(year), child, "U" if year >= 2025 else "9", source, reason, start]
        assert values(tables["cin_records"], *columns) == [expected]
        assert values(tables["cin_assessments"], "assessment_factors") == [[factor]]


# XML: streaming


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_rows_do_not_depend_on_where_a_block_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    children = [IDENTIFIERS.replace("C1", f"É{i}") + (FULL if i % 2 else REFERRAL) for i in range(5)]
    path = cin_file(tmp_path, message(*children) + "\n")
    whole = read_tables(path)
    monkeypatch.setattr(cin_xml, "_BLOCK", block)
    for name, frame in read_tables(path, chunk_rows=3).items():
        pd.testing.assert_frame_equal(frame.reset_index(drop=True), whole[name].reset_index(drop=True))


def test_several_lists_of_children_are_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cin_xml, "_BLOCK", 16)
    text = message(IDENTIFIERS + REFERRAL).replace("</Message>", "")
    more = IDENTIFIERS.replace("C1", "C2") + REFERRAL
    text += f"<Children/><Children><Child>{more}</Child></Children></Message>"
    assert read_cin(cin_file(tmp_path, text))["la_child_id"].tolist() == ["C1", "C2"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(children: int) -> int:
        path = cin_file(tmp_path, message(*[IDENTIFIERS + FULL] * children))
        tracemalloc.start()
        for _ in read_cin_xml(path, KEY, chunk_rows=100):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)
    assert peak(1_600) < 1.5 * peak(400)


# Flat tables: the same return written three ways


Group = dict[str, Any]

DATES = st.dates(date(2021, 4, 1), date(2022, 3, 31)).map(str)


def items(**choices: st.SearchStrategy[str]) -> st.SearchStrategy[Group]:
    """Any of some items, each with one of its values or not there."""
    return st.fixed_dictionaries({}, optional=dict(choices))


def codes(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


CPPS = st.fixed_dictionaries(
    {
        "items": items(
            CPPstartDate=DATES,
            CPPendDate=DATES,
            InitialCategoryOfAbuse=codes("NEG", "EMO"),
            LatestCategoryOfAbuse=codes("PHY"),
            NumberOfPreviousCPP=codes("0", "2"),
        ),
        "reviews": st.lists(DATES, max_size=3),
    }
)
ASSESSMENTS = st.fixed_dictionaries(
    {
        "items": items(
            AssessmentActualStartDate=DATES, AssessmentInternalReviewDate=DATES, AssessmentAuthorisationDate=DATES
        ),
        "factors": st.lists(codes("1A", "3C", "18B", "21"), max_size=3),
    }
)
DETAILS = st.fixed_dictionaries(
    {
        "items": items(
            CINreferralDate=DATES,
            ReferralSource=codes("1A", "5D"),
            PrimaryNeedCode=codes("N1", "N0"),
            CINclosureDate=DATES,
            ReasonForClosure=codes("RC9"),
            DateOfInitialCPC=DATES,
            ReferralNFA=codes("0", "true"),
        ),
        "assessments": st.lists(ASSESSMENTS, max_size=3),
        "plans": st.lists(items(CINPlanStartDate=DATES, CINPlanEndDate=DATES), max_size=2),
        "enquiries": st.lists(
            items(
                S47ActualStartDate=DATES, InitialCPCtarget=DATES, DateOfInitialCPC=DATES, ICPCnotRequired=codes("true")
            ),
            max_size=2,
        ),
        "cpps": st.lists(CPPS, max_size=2),
    }
)
CHILDREN = st.lists(
    st.fixed_dictionaries(
        {
            "items": items(
                UPN=codes(UPN, "A" + "2" * 12),
                UPNunknown=codes("UN2"),
                PersonBirthDate=DATES,
                ExpectedPersonBirthDate=DATES,
                GenderCurrent=codes("1", "0"),
            ),
            "ethnicity": st.none() | codes("WBRI", "NOBT"),
            "disabilities": st.lists(codes("HAND", "AUT"), max_size=2),
            "details": st.lists(DETAILS, max_size=3),
        }
    ),
    max_size=4,
).filter(lambda children: any(child["details"] for child in children))


def leaves(group: Group) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in group.items())


def as_xml(children: list[Group]) -> str:
    def wrapped(name: str, content: str) -> str:
        return f"<{name}>{content}</{name}>"

    def of_referral(details: Group) -> str:
        return wrapped(
            "CINdetails",
            leaves(details["items"])
            + "".join(
                wrapped(
                    "Assessments",
                    leaves(a["items"])
                    + wrapped(
                        "FactorsIdentifiedAtAssessment", "".join(leaves({"AssessmentFactors": f}) for f in a["factors"])
                    ),
                )
                for a in details["assessments"]
            )
            + "".join(wrapped("CINPlanDates", leaves(p)) for p in details["plans"])
            + "".join(wrapped("Section47", leaves(e)) for e in details["enquiries"])
            + "".join(
                wrapped(
                    "ChildProtectionPlans",
                    leaves(c["items"])
                    + wrapped("Reviews", "".join(leaves({"CPPreviewDate": r}) for r in c["reviews"])),
                )
                for c in details["cpps"]
            ),
        )

    return message(
        *(
            wrapped("ChildIdentifiers", leaves({"LAchildID": f"C{i}"} | child["items"]))
            + wrapped(
                "ChildCharacteristics",
                leaves({"Ethnicity": child["ethnicity"]} if child["ethnicity"] else {})
                + wrapped("Disabilities", "".join(leaves({"Disability": d}) for d in child["disabilities"])),
            )
            + "".join(map(of_referral, child["details"]))
            for i, child in enumerate(children)
        )
    )


COLUMNS = {
    "ChildIdentifiers": (
        "UPN",
        "FormerUPN",
        "UPNunknown",
        "PersonBirthDate",
        "ExpectedPersonBirthDate",
        "GenderCurrent",
    ),
    "CINdetails": (
        "CINreferralDate",
        "ReferralSource",
        "PrimaryNeedCode",
        "CINclosureDate",
        "ReasonForClosure",
        "DateOfInitialCPC",
        "ReferralNFA",
    ),
    "Assessments": ("AssessmentActualStartDate", "AssessmentInternalReviewDate", "AssessmentAuthorisationDate"),
    "CINplanDates": ("CINPlanStartDate", "CINPlanEndDate"),
    "Section47": ("S47ActualStartDate", "InitialCPCtarget", "DateOfInitialCPC", "ICPCnotRequired"),
    "ChildProtectionPlans": (
        "CPPstartDate",
        "CPPendDate",
        "InitialCategoryOfAbuse",
        "LatestCategoryOfAbuse",
        "NumberOfPreviousCPP",
    ),
}


def as_tables(children: list[Group], style: str) -> dict[str, list[Group]]:
    """A return as flat tables.

    ``within``: ids that count within the child or the row above (as validators export them). ``file``: ids
    that count within the file and no LAchildID below the child (as the collection system does). ``dates``:
    no ids but LAchildID.
    """
    tables: dict[str, list[Group]] = {}
    number = itertools.count(1)

    def add(table: str, links: Group, values: Group) -> None:
        tables.setdefault(table, []).append(links | values)

    for i, child in enumerate(children):
        by_child: Group = {"LAchildID": f"C{i}"}
        ethnicity = {"Ethnicity": child["ethnicity"]} if child["ethnicity"] else {}
        if style == "file":
            of_child = {"Child_XML_ID": str(next(number))}
            of_lists = {"ChildCharacteristics_ID": str(next(number))}
            add("Child", by_child | of_child | of_lists, child["items"] | ethnicity)
        else:
            of_child = of_lists = by_child
            add("ChildIdentifiers", by_child, child["items"])
            add("ChildCharacteristics", by_child, ethnicity)
        for disability in child["disabilities"]:
            add("Disabilities", of_lists, {"Disability": disability})
        for j, details in enumerate(child["details"], start=1):
            if style == "within":
                by_details = by_child | {"CINdetailsID": str(j)}
                add("CINdetails", by_details, details["items"])
            elif style == "file":
                by_details = {"CINdetails_ID": str(next(number))}
                add("CINdetails", by_details | of_child, details["items"])
            else:
                by_details = by_child | {"CINreferralDate": details["items"]["CINreferralDate"]}
                add("CINdetails", by_child, details["items"])
            for k, one in enumerate(details["assessments"], start=1):
                factors = [{"AssessmentFactor": code} for code in one["factors"]]
                if style == "dates":
                    listed = {"AssessmentFactors": str(one["factors"])} if factors else {}
                    add("Assessments", by_details, one["items"] | listed)
                    continue
                own = {"AssessmentID": str(k)} if style == "within" else {"Assessments_ID": str(next(number))}
                add("Assessments", by_details | own, one["items"])
                for factor in factors:
                    add("AssessmentFactorsList", own if style == "file" else by_details | own, factor)
            for plan in details["plans"]:
                add("CINplanDates", by_details, plan)
            for enquiry in details["enquiries"]:
                add("Section47", by_details, enquiry)
            for k, cpp in enumerate(details["cpps"], start=1):
                own = {"within": {"CPPID": str(k)}, "dates": {}}.get(style) or (
                    {"ChildProtectionPlans_ID": str(next(number))} if style == "file" else {}
                )
                add("ChildProtectionPlans", by_details | own, cpp["items"])
                if style == "dates":
                    own = {"CPPstartDate": cpp["items"]["CPPstartDate"]}
                for review in cpp["reviews"]:
                    add("Reviews", own if style == "file" else by_details | own, {"CPPreviewDate": review})
    return tables


def write_tables(folder: Path, tables: dict[str, list[Group]], upper: bool = False) -> Path:
    """One CSV per table with a column for every item that the census has, filled or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for name, lines in tables.items():
        known = COLUMNS.get(name, (*COLUMNS["ChildIdentifiers"], "Ethnicity") if name == "Child" else ())
        columns = list(dict.fromkeys([*(c for line in lines for c in line), *known]))
        if name == "ChildCharacteristics" and "Ethnicity" not in columns:
            columns.append("Ethnicity")
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as handle:
            out = csv.DictWriter(handle, columns)
            handle.write(",".join(c.upper() if upper else c for c in columns) + "\n")
            out.writerows(lines)
    return folder


def identified(folder: Path) -> tuple[Blade, ...]:
    blades = tuple(blade for path in sorted(folder.glob("*.csv")) if (blade := identify_blade(path)))
    assert len(blades) == len(list(folder.glob("*.csv"))), "every file is known"
    return blades


def read_set(folder: Path, **options: Any) -> dict[str, list[list[object]]]:
    """Rows of a folder of flat tables by landing table, sorted, without their places."""
    options.setdefault("note", quiet)
    found: dict[str, list[list[object]]] = {}
    for table, _, _, frame in read_blades(BladeSet("331", 2023, identified(folder)), KEY, **options):
        assert list(frame.columns) == [*TABLES[table].names, "source_row"]
        found.setdefault(table, []).extend(values(frame, *TABLES[table].names))
    return {table: sorted(rows, key=str) for table, rows in found.items()}


def read_xml(path: Path, **options: Any) -> dict[str, list[list[object]]]:
    return {
        table: sorted(values(frame, *TABLES[table].names), key=str)
        for table, frame in read_tables(path, **options).items()
    }


def with_unique_dates(children: list[Group]) -> list[Group]:
    """Dates that name a row: of a referral, of a plan within it."""
    children = copy.deepcopy(children)
    for child in children:
        for n, details in enumerate(child["details"], start=1):
            details["items"]["CINreferralDate"] = f"2021-05-{n:02d}"
            for m, cpp in enumerate(details["cpps"], start=1):
                cpp["items"]["CPPstartDate"] = f"2021-06-{m:02d}"
    return children


@pytest.mark.parametrize("style", ["within", "file", "dates"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(children=CHILDREN)
def test_flat_tables_give_the_rows_of_the_xml(tmp_path: Path, style: str, children: list[Group]) -> None:
    if style == "dates":
        children = with_unique_dates(children)
    of_xml, of_tables = Tally(), Tally()
    expected = read_xml(cin_file(tmp_path, as_xml(children)), tally=of_xml)
    folder = write_tables(tmp_path / style, as_tables(children, style), upper=style == "file")
    assert read_set(folder, tally=of_tables, chunk_rows=3) == expected
    for name in ("Year", "SourceLevel"):
        del of_xml.not_loaded[name]
    assert of_tables == of_xml


# Flat tables: small sets by hand


def blade_set(folder: Path, **tables: str) -> Path:
    """Tables written by hand: lines of a CSV, indented."""
    for name, text in tables.items():
        lines = [line.strip() for line in text.strip().splitlines()]
        path = folder / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


CHILD_TABLE = """LAchildID,PersonBirthDate,GenderCurrent
    C1,2011-05-27,2
    C2,2012-05-27,1"""
DETAILS_TABLE = """LAchildID,CINdetailsID,CINreferralDate,CINclosureDate
    C1,1,2022-06-01,
    C2,1,2022-07-01,"""


def land(folder: Path, tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Account and quarantine of a folder through the real gate, and what was said."""
    lines: list[str] = []
    with Gate(tmp_path / "landing", "returns", base=folder, accepts_quarantine=True) as gate:
        land_returns(folder, gate, KEY, progress=lines.append)
        account = gate.commit()
        return account, gate.quarantine(), lines


def landed(tmp_path: Path, table: str) -> list[tuple[object, ...]]:
    """Landed rows without their places."""
    con = duckdb.connect()
    names = ", ".join(TABLES[table].names)
    files = tmp_path / "landing" / table / "*.parquet"
    rows = con.execute(f"select {names} from read_parquet('{files}', union_by_name = true) order by all").fetchall()
    con.close()
    return rows


def test_rows_that_hang_on_nothing_are_set_aside(tmp_path: Path) -> None:
    """Each kind of table has one row too many: it is quarantined with its file and row, the others land."""
    folder = blade_set(
        tmp_path / "331" / "CIN_2023",
        ChildIdentifiers=CHILD_TABLE,
        ChildCharacteristics="LAchildID,Ethnicity\nC1,WBRI\nC8,WIRI",
        Disabilities="LAchildID,Disability\nC8,HAND\nC1,AUT",
        CINdetails=DETAILS_TABLE + "\nC9,1,2022-08-01,",
        Assessments="""LAchildID,CINdetailsID,AssessmentID,AssessmentActualStartDate,AssessmentAuthorisationDate
            C1,1,1,2022-06-02,2022-07-02
            C1,2,1,2022-06-03,2022-07-03
            C9,1,1,2022-08-03,2022-09-03""",
        AssessmentFactorsList="LAchildID,CINdetailsID,AssessmentID,AssessmentFactor\nC1,1,1,3C\nC1,1,9,4A",
        Section47="LAchildID,CINdetailsID,S47ActualStartDate\nC2,1,2022-07-04\nC2,7,2022-07-05",
        CINplanDates="LAchildID,CINdetailsID,CINPlanStartDate\nC2,1,2022-07-09\nC7,1,2022-07-10",
        ChildProtectionPlans="LAchildID,CINdetailsID,CPPID,CPPstartDate,CPPendDate\nC1,1,1,2022-06-20,\nC1,5,1,2022-06-21,",
        Reviews="LAchildID,CINdetailsID,CPPID,CPPreviewDate\nC1,1,1,2022-09-01\nC1,1,2,2022-09-02\nC1,5,1,2022-09-03",
    )
    account, aside, lines = land(tmp_path / "331", tmp_path)
    assert (account["raw"] == account.iloc[:, 3:].sum(axis=1)).all()
    places = sorted(
        zip(aside["landing_table"], aside["file"].str.replace("CIN_2023/", ""), aside["source_row"], strict=True)
    )
    assert places == [
        ("cin_assessments", "AssessmentFactorsList.csv", 3),
        ("cin_assessments", "Assessments.csv", 3),
        ("cin_assessments", "Assessments.csv", 4),
        ("cin_records", "CINdetails.csv", 4),
        ("cin_records", "CINplanDates.csv", 3),
        ("cin_records", "ChildCharacteristics.csv", 3),
        ("cin_records", "ChildProtectionPlans.csv", 3),
        ("cin_records", "Disabilities.csv", 2),
        ("cin_reviews", "Reviews.csv", 3),
        ("cin_reviews", "Reviews.csv", 4),
        ("cin_section47", "Section47.csv", 3),
    ]
    assert set(aside["column_name"]) == {"referral_date"}
    assert [row[2] for row in landed(tmp_path, "cin_records")] == ["C1", "C2"]
    assert [row[2:] for row in landed(tmp_path, "cin_assessments")] == [
        ("C1", date(2022, 6, 1), date(2022, 6, 2), date(2022, 7, 2), "3C")
    ]
    assert landed(tmp_path, "cin_records")[0][9:11] == ("WBRI", "AUT")
    said = "\n".join(lines)
    assert "Reviews.csv: 1 rows hang on no row" in said and "Section47.csv: 1 rows hang on no row" in said
    assert set(account["file"]) == {f"CIN_2023/{path.name}" for path in folder.iterdir()}


def test_a_code_of_two_children_is_no_guess(tmp_path: Path) -> None:
    """Trap 5: a code with two birth dates; where two rows say the same there is nothing to guess."""
    details = DETAILS_TABLE + "\nC3,1,2022-08-01,"
    children = CHILD_TABLE + "\nC1,2015-01-27,2\nC2,2012-05-27,1\nC3,2013-01-27,1"
    blade_set(tmp_path / "331" / "2023", ChildIdentifiers=children, CINdetails=details)
    _, aside, _ = land(tmp_path / "331", tmp_path)
    assert [row[2] for row in landed(tmp_path, "cin_records")] == ["C2", "C3"]
    assert sorted(aside["file"] + ":" + aside["source_row"].astype(str)) == [
        "2023/CINdetails.csv:2",
        "2023/ChildIdentifiers.csv:2",
        "2023/ChildIdentifiers.csv:4",
    ]


def test_dates_as_in_a_spreadsheet(tmp_path: Path) -> None:
    """dd/mm/yyyy counts for the whole return; a value of another form is set aside, never turned."""
    for folder, day in (("iso", "{2}-{1}-{0}"), ("uk", "{0}/{1}/{2}")):
        text = [
            (name, re.sub(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", lambda m: day.format(m[3], m[2], m[1]), table))  # noqa: B023
            for name, table in (
                ("ChildIdentifiers", CHILD_TABLE),
                ("CINdetails", DETAILS_TABLE),
                ("Reviews", "LAchildID,CINdetailsID,CPPID,CPPreviewDate\nC1,1,1,2022-09-13"),
                ("ChildProtectionPlans", "LAchildID,CINdetailsID,CPPID,CPPstartDate,CPPendDate\nC1,1,1,2022-06-20,"),
            )
        ]
        blade_set(tmp_path / folder / "331" / "2023", **dict(text))
        land(tmp_path / folder, tmp_path / folder)
    for table in ("cin_records", "cin_reviews"):
        assert landed(tmp_path / "iso", table) == landed(tmp_path / "uk", table) != []
    assert landed(tmp_path / "uk", "cin_records")[0][4:6] == (2011, 5)
    mixed = DETAILS_TABLE.replace("2022-06-01", "01/06/2022").replace("2022-07-01", "07/13/2022")
    children = CHILD_TABLE.replace("2012-05-27", "27/05/2012")
    blade_set(tmp_path / "mixed" / "331" / "2023", ChildIdentifiers=children, CINdetails=mixed)
    _, aside, _ = land(tmp_path / "mixed", tmp_path / "mixed")
    assert aside["column_name"].tolist() == ["birth_year", "referral_date"]
    assert landed(tmp_path / "mixed", "cin_records") == []


def test_an_assessment_repeated_for_every_factor_is_one(tmp_path: Path) -> None:
    """One row per factor, one row with a list, and the same assessment twice without any."""
    folder = blade_set(
        tmp_path / "x",
        ChildIdentifiers=CHILD_TABLE,
        CINdetails=DETAILS_TABLE,
        Assessments=""",LAchildID,CINdetailsID,AssessmentActualStartDate,AssessmentAuthorisationDate,AssessmentFactors
            0,C1,1,2022-06-02,2022-07-02,1A
            1,C1,1,2022-06-02,2022-07-02,3C
            2,C1,1,2022-08-02,2022-09-02,"['2B', '4A']"
            3,C1,1,2022-08-02,2022-09-02,"['2B', '4A']"
            4,C2,1,2022-08-02,,
            5,C2,1,2022-08-02,,""",
    )
    rows = read_set(folder)["cin_assessments"]
    assert [(row[2], row[4], row[6]) for row in rows] == [
        ("C1", "2022-06-02", "1A,3C"),
        ("C1", "2022-08-02", "2B,4A"),
        ("C1", "2022-08-02", "2B,4A"),
        ("C2", "2022-08-02", None),
        ("C2", "2022-08-02", None),
    ]


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("Child", "Ethnicity,LAchildID,UPN,PersonBirthDate,GenderCurrent,Child_XML_ID,ChildCharacteristics_ID"),
        ("ChildIdentifiers", "upn,lachildid,personbirthdate,sex"),
        ("ChildCharacteristics", "LA_child_ID,Ethnicity"),
        ("Disabilities", "ChildCharacteristics_ID,Disability"),
        ("CINdetails", "CINdetails_ID,CINreferralDate,ReferralSource,CINclosureDate,ReferralNFA,Child_XML_ID"),
        ("Assessments", "Assessments_ID,AssessmentActualStartDate,AssessmentAuthorisationDate,CINdetails_ID,LA,Year"),
        ("AssessmentFactors", "AssessmentFactors,Assessments_ID"),
        ("Section47", "S47ActualStartDate,DateOfInitialCPC,ICPCnotRequired,Section47_ID,CINdetails_ID"),
        ("CINPlanDates", "CINPlanStartDate,CINPlanEndDate,CINPlan_Id,CINdetails_Id"),
        ("ChildProtectionPlans", "LAchildID,CINreferralDate,CPPstartDate,CPPendDate"),
        ("Reviews", "Review_ID,CPPreviewDate,ChildProtectionPlans_ID"),
        ("Reviews", "LAchildID,CINreferralDate,CPPstartDate,CPPreviewDate"),
        ("PreProceedingsandFGDM", "LAchildID,CINdetailsID,PPStartDate,PPOutcome,CourtAppDate"),
        ("Header", "Collection,Year,ReferenceDate,SourceLevel,LEA,SoftwareCode,CBDSLevel"),
        (None, "LAchildID,CINreferralDate,CINclosureDate,CPPstartDate,CPPendDate,CPPreviewDate"),
        (None, "Ethnicity,Disability"),
        (None, "LAchildID,CINreferralDate"),
        (None, "CHILD,DECOM,RNE,LS"),
    ],
)
def test_a_table_is_known_by_its_columns(tmp_path: Path, kind: str | None, header: str) -> None:
    columns = header.split(",")
    for names in (columns, columns[::-1], [f" {name.upper()} " for name in columns], ["", *columns]):
        path = tmp_path / "any name.csv"
        path.write_text("\n".join(["A title", ",".join(names)]) + "\n", encoding="utf-16")
        blade = identify_blade(path)
        assert (blade.kind if blade else None) == kind
        assert blade is None or not blade.unknown


def test_columns_of_a_table_that_are_refused_or_named(tmp_path: Path) -> None:
    for column, problem in (
        ("Surname", "identifies a person"),
        ("CIN_referral_date", "holds the same as column"),
    ):
        blade_set(tmp_path, x=f"LAchildID,CINreferralDate,CINclosureDate,{column}")
        with pytest.raises(InputError, match=f"column {column.upper()}: .*{problem}"):
            identify_blade(tmp_path / "x.csv")
    folder = blade_set(tmp_path / "y", a=CHILD_TABLE, b=DETAILS_TABLE.replace("CINclosureDate", "CINclosureDate,Team"))
    lines: list[str] = []
    with pytest.raises(InputError, match="expected 5 values as in the header, found 4"):
        read_set(folder)
    blade_set(folder, b="LAchildID,CINdetailsID,CINreferralDate,CINclosureDate,Team\nC1,1,2022-06-01,,x")
    assert len(read_set(folder, note=lines.append)["cin_records"]) == 2
    assert "b.csv: columns that the census does not have, not loaded: TEAM" in "\n".join(lines)
    assert "no table Disabilities, Assessments, Section47, CINPlanDates, ChildProtectionPlans, Reviews" in lines[-1]


def test_sets_that_are_no_return(tmp_path: Path) -> None:
    folder = blade_set(tmp_path / "a", r="LAchildID,CPPstartDate,CPPreviewDate\nC1,2022-06-01,2022-09-01")
    with pytest.raises(InputError, match=r"Reviews of LA 331 and 2023 without ChildIdentifiers and CINdetails"):
        read_set(folder)
    blade_set(folder, c=CHILD_TABLE, d=DETAILS_TABLE, e=DETAILS_TABLE)
    with pytest.raises(InputError, match=r"e\.csv: a second table CINdetails .* beside .*d\.csv"):
        read_set(folder)
    (folder / "e.csv").unlink()
    blade_set(folder, p="CINdetails_ID,CPPstartDate,CPPendDate\n1,2022-06-01,")
    assert read_set(folder)["cin_reviews"][0][3] is None, "the plan has no child, so no review can be told to be its"
    blade_set(folder, p="ChildProtectionPlans_ID,CPPstartDate,CPPendDate\n1,2022-06-01,")
    with pytest.raises(
        InputError, match=r"no column links this table ChildProtectionPlans to d\.csv: expected an id of"
    ):
        read_set(folder)
    (folder / "p.csv").unlink()
    blade_set(folder, w="LAchildID,PersonBirthDate,Ethnicity\nC1,2011-05-27,WBRI")
    with pytest.raises(InputError, match="one of them is enough"):
        read_set(folder)


def test_la_and_year_of_flat_tables(tmp_path: Path) -> None:
    """Own columns first, then a year in the file's name, then the table Header, then the folders."""

    def sources(base: Path, la: str | None = None) -> set[tuple[str, str]]:
        gate = FakeGate()
        land_returns(base, gate, KEY, la, progress=quiet)
        return {(f["la_code"].iloc[0], f["return_year"].iloc[0]) for f in gate.frames}

    tables = {"c": CHILD_TABLE, "d": DETAILS_TABLE}
    blade_set(tmp_path / "a" / "332" / "2021-22", **tables)
    assert sources(tmp_path / "a") == {("332", "2022")}
    blade_set(tmp_path / "b", **{f"2020 {name}": table for name, table in tables.items()})
    assert sources(tmp_path / "b", "340") == {("340", "2020")}
    header = "Collection,Year,ReferenceDate,LEA\nCIN,2020,31/03/2021,341"
    blade_set(tmp_path / "c", **tables, header=header)
    assert sources(tmp_path / "c") == {("341", "2021")}
    blade_set(tmp_path / "e", header=header, **{f"2020 {name}": table for name, table in tables.items()})
    blade_set(tmp_path / "e", **tables)
    assert sources(tmp_path / "e") == {("341", "2021"), ("341", "2020")}
    stated = {name: add_columns(table, "LA,Year", "342,2018/19") for name, table in tables.items()}
    blade_set(tmp_path / "c", **stated)
    (tmp_path / "c" / "header.csv").unlink()
    assert sources(tmp_path / "c") == {("342", "2019")}
    for said in ("E10000031", "Warwickshire", "County of WARWICKSHIRE", "937"):
        blade_set(tmp_path / "f", **{k: add_columns(t, "LA,Year", f"{said},2018/19") for k, t in tables.items()})
        assert sources(tmp_path / "f") == {("937", "2019")}, said
    for name, year in (("Dorset", "2019"), ("Dorset", "2020")):
        blade_set(tmp_path / "g", **{k: add_columns(t, "LA,Year", f"{name},{year}") for k, t in tables.items()})
        assert sources(tmp_path / "g") == {({"2019": "835", "2020": "838"}[year], year)}
    for row, problem in (
        ("342,2018", "row 2, column YEAR: a second value|row 3, column YEAR: a second value"),
        ("Warwikshire,2019", r"row 2, column LA: a name of 11 characters that no LA has; nearest is Warwickshire"),
        ("E10999999,2019", r"row 2, column LA: an ONS code that is that of no LA"),
        ("342,2018/20", "expected the year that ends on 31 March"),
    ):
        blade_set(tmp_path / "c", **stated)
        text = add_columns(DETAILS_TABLE, "LA,Year", row)
        blade_set(tmp_path / "c", d=text.replace(row, "342,2018/19", 1) if "second" in problem else text)
        with pytest.raises(InputError, match=problem):
            sources(tmp_path / "c")


def add_columns(table: str, names: str, cells: str) -> str:
    header, *lines = table.splitlines()
    return "\n".join([f"{header},{names}", *(f"{line},{cells}" for line in lines)])


class FakeGate:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []

    def add_rows(self, table: str, file: Path, rows: pd.DataFrame, date_format: str) -> None:
        self.frames.append(rows)

    def add_empty(self, table: str, file: Path) -> None:
        pass

    def note_ignored(self, file: Path, reason: str) -> None:
        raise AssertionError(f"{file} was not read: {reason}")


def test_the_same_tables_twice_count_once_and_others_are_refused(tmp_path: Path) -> None:
    base = tmp_path / "331"
    for folder in ("2023", "2023 copy"):
        blade_set(base / folder, c=CHILD_TABLE, d=DETAILS_TABLE)
    account, _, _ = land(base, tmp_path)
    assert account[["raw", "landed", "duplicate"]].sum().tolist() == [4, 2, 2]
    blade_set(base / "2023 copy", c=CHILD_TABLE, d=DETAILS_TABLE.replace("2022-06-01,", "2022-06-01,2022-12-01"))
    with pytest.raises(InputError, match="a second CIN return of LA 331 and 2023 as flat tables, with other contents"):
        land(base, tmp_path)


# Whole returns: synthetic ones in both forms, and the samples of other projects


@pytest.fixture(scope="module")
def both_forms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A few LAs of synthetic children as XML and as flat tables."""
    folder = tmp_path_factory.mktemp("both")
    synthesise("reduced", 3, folder / "extracts", folder / "truth", SEEDS, volume=0.01, quiet=True)
    with Gate(folder / "landing", "national", base=folder / "extracts") as gate:
        land_national(folder / "extracts", gate)
    con = duckdb.connect()
    found = con.execute(
        f"select la_code from read_parquet('{folder}/landing/cin_records/*.parquet', union_by_name = true) "
        "where la_code is not null group by all order by count(*) desc, la_code limit 2"
    ).fetchall()
    con.close()
    las = [str(row[0]) for row in found]
    years = [2019, 2021, 2022]
    write_returns(folder / "landing", folder / "xml", las, years, progress=quiet)
    write_returns(folder / "landing", folder / "blades", las, years, cin_format="blades", progress=quiet)
    return folder / "xml", folder / "blades"


CIN_TABLES = ("cin_records", "cin_assessments", "cin_section47", "cin_reviews")


def test_synthetic_returns_land_the_same_from_both_forms(both_forms: tuple[Path, Path], tmp_path: Path) -> None:
    """Through the real gate with the data windows: the same landed rows, table by table."""
    windows = read_windows(SEEDS / "protocol" / "data_windows.csv")
    sums = []
    for form, base in zip(("xml", "blades"), both_forms, strict=True):
        (tmp_path / form).mkdir()
        with Gate(tmp_path / form / "landing", "returns", windows, base=base) as gate:
            land_returns(base, gate, KEY, progress=quiet)
            account = gate.commit()
        assert (account["raw"] == account.iloc[:, 3:].sum(axis=1)).all()
        part = account[account["table"].isin(CIN_TABLES)].groupby("table").sum(numeric_only=True)
        sums.append(part.to_dict())
    assert sums[0] == sums[1]
    for table in CIN_TABLES:
        rows = landed(tmp_path / "xml", table)
        assert len(rows) > 20, table
        assert rows == landed(tmp_path / "blades", table)
        assert sums[0]["out_of_window"][table] > 0, f"{table}: the returns reach beyond the data window"


def test_synthetic_activity_keeps_the_rules_of_the_census(both_forms: tuple[Path, Path]) -> None:
    """A.6, on the XML as text: 8831 and 4000 (NFA), 2990 (RC8, RC9), 2885, 8841, 8565, 8696, 8640."""
    seen: Counter[str] = Counter()
    for path in sorted(both_forms[0].rglob("CIN_*.xml")):
        year = int(path.stem[-4:])
        first, last = f"{year - 1}-04-01", f"{year}-03-31"
        for details in ET.parse(path).getroot().iter("CINdetails"):
            opened, closed = str(details.findtext("CINreferralDate")), details.findtext("CINclosureDate") or "9999"
            assessments, enquiries = details.findall("Assessments"), details.findall("Section47")
            if details.findtext("ReferralNFA") in ("1", "true"):
                assert not assessments and not enquiries and details.find("DateOfInitialCPC") is None
                seen["no further action"] += 1
                continue
            if details.findtext("ReasonForClosure") in ("RC8", "RC9"):
                assert len(assessments) == 1 and not enquiries
                seen["assessed only"] += 1
            for assessment in assessments:
                start = str(assessment.findtext("AssessmentActualStartDate"))
                end = assessment.findtext("AssessmentAuthorisationDate")
                factors = [str(e.text) for e in assessment.iter("AssessmentFactors")]
                assert opened <= start <= last and (end is None or start <= end <= closed)
                assert end is None or first <= end <= last
                assert bool(factors) == (end is not None) and len(set(factors)) == len(factors)
                assert year > 2020 or not {"18B", "18C", "19B", "19C", "24A"} & set(factors)
                assert year < 2021 or not {"18A", "19A"} & set(factors)
                seen["assessments"] += 1
                seen["open assessments"] += end is None
            conferences = [details.findtext("DateOfInitialCPC"), *(e.findtext("DateOfInitialCPC") for e in enquiries)]
            for enquiry in enquiries:
                start, day = str(enquiry.findtext("S47ActualStartDate")), enquiry.findtext("DateOfInitialCPC")
                assert opened <= start <= min(closed, day or last)
                assert (enquiry.findtext("ICPCnotRequired") == "true") == (day is None)
                seen["enquiries"] += 1
            for plan in details.findall("ChildProtectionPlans"):
                start, end = str(plan.findtext("CPPstartDate")), plan.findtext("CPPendDate") or last
                if max(first, opened) <= start <= min(last, closed) and end >= start:
                    assert start in conferences
                    seen["conferences"] += 1
                for review in plan.iter("CPPreviewDate"):
                    assert max(start, first) <= str(review.text) <= min(end, last) and str(review.text) > start
                    seen["reviews"] += 1
    assert min(seen.values()) > 5 and len(seen) == 7, seen


def independent_counts(path: Path) -> dict[str, int]:
    """Rows per table of a return, told from the tree as the plainest reader would."""
    root = ET.parse(path).getroot()
    records = 0
    for child in root.iter("Child"):
        for details in child.findall("CINdetails"):
            plans = [*details.findall("CINPlanDates"), *details.findall("ChildProtectionPlans")]
            records += max(1, len(plans))
        records += not child.findall("CINdetails")
    return {
        "cin_records": records,
        "cin_assessments": len(root.findall(".//Assessments")),
        "cin_section47": len(root.findall(".//Section47")) + len(root.findall(".//CINdetails/DateOfInitialCPC")),
        "cin_reviews": len(root.findall(".//CPPreviewDate")),
    }


def whole_returns() -> list[str]:
    folder = shared_dir()
    samples = sorted((folder / "samples" / "cin").glob("*.xml")) if folder else []
    return ["synthetic", *map(str, samples)]


@pytest.mark.parametrize("which", whole_returns(), ids=lambda name: Path(name).name)
def test_whole_returns_row_by_row(which: str, both_forms: tuple[Path, Path]) -> None:
    """Every row of every table, against the tree read by ElementTree in one piece."""
    paths = sorted(both_forms[0].rglob("CIN_*.xml"))[-3:] if which == "synthetic" else [Path(which)]
    for path in paths:
        notes: list[str] = []
        tables = read_tables(path, note=notes.append)
        expected = independent_counts(path)
        assert {name: len(tables.get(name, ())) for name in expected} == expected
        assert not notes
        root = ET.parse(path).getroot()
        factors = [[str(f.text) for f in a.iter("AssessmentFactors")] for a in root.iter("Assessments")]
        if "cin_assessments" in tables:
            told = [str(f).split(",") if f else [] for (f,) in values(tables["cin_assessments"], "assessment_factors")]
            assert told == factors
        reviews = [str(e.text).strip() for e in root.iter("CPPreviewDate")]
        assert [row for (row,) in values(tables["cin_reviews"], "review_date")] == reviews if reviews else True
        births = {str(e.text) for e in root.iter() if e.tag.endswith("PersonBirthDate") and e.text}
        upns = {str(e.text) for e in root.iter() if e.tag.endswith("UPN") and e.text}
        names = [name for name in CIN_RECORDS.names if not name.endswith("_date")]
        assert not (births | upns) & set(cells(tables["cin_records"][names]).splitlines())


def test_samples_of_other_projects_have_the_rows_that_they_hold(tmp_path: Path) -> None:
    """Exact rows of the three fake returns, counted with grep; of a twin in their shape where they are not there."""
    folder = shared_dir()
    if folder is not None:
        expected = {
            folder / "samples" / "cin" / "CIN_Census_2021.xml": (2, 1, 2, 1),
            folder / "samples" / "cin" / "CIN_Census_2024.xml": (3, 2, 2, 1),
            folder / "samples" / "cin" / "fake_CIN_data.xml": (402, 0, 350, 0),
        }
    else:
        moved_in = REFERRAL.replace("</CINdetails>", "<DateOfInitialCPC>2022-06-05</DateOfInitialCPC></CINdetails>")
        children = [IDENTIFIERS + (moved_in if i < 350 else REFERRAL) for i in range(402)]
        expected = {
            cin_file(tmp_path, message(IDENTIFIERS + FULL), "full.xml"): (2, 3, 3, 4),
            cin_file(tmp_path, message(*children), "many.xml"): (402, 0, 350, 0),
        }
    for path, counts in expected.items():
        tables = read_tables(path)
        assert tuple(len(tables.get(table, ())) for table in CIN_TABLES) == counts, path.name
