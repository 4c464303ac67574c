"""Hostile and damaged inputs (T6): each ends in a stated state, with no row half-landed.

Every case starts from the same small set of returns (or national extracts) that lands whole, does one thing to
it, and lands it over the earlier landing. Three ends are possible:

- ``Refused``: one sentence that names the file; the earlier landing is as it was, byte for byte;
- ``Landed`` with so many rows quarantined and so many not read (``ignored``: files listed with a reason);
- both with the account raw = landed + quarantined + out of window + duplicate, proven by the commit.

Design goals are 500 MB and 5 seconds each; they are not asserted, for they depend on the machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from conftest import SEEDS, shared_dir
from sfpc.errors import SfpcError
from sfpc.landing.account import read_landing_settings
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.national import land_national
from sfpc.landing.returns import land_returns

KEY = b"k" * 32
CIN = "331/CIN_2021.xml"
EPISODES = "331/2021-episodes.csv"
CHILDREN = "331/2021-header.csv"
NATIONAL = "CIN_2018_to_2021.csv"
CARE = "CLA_Episode_Data.csv"
SETTINGS = read_landing_settings(SEEDS / "protocol" / "landing_settings.csv")
WINDOWS = read_windows(SEEDS / "protocol" / "data_windows.csv")


def child(number: int, details: str = "") -> str:
    details = details or (
        f"<CINdetails><CINreferralDate>2020-06-0{number}</CINreferralDate><ReferralSource>1A</ReferralSource>"
        "<PrimaryNeedCode>N1</PrimaryNeedCode><ReferralNFA>0</ReferralNFA></CINdetails>"
    )
    return (
        f"<Child><ChildIdentifiers><LAchildID>10{number}</LAchildID><UPN>A12345678901{number}</UPN>"
        f"<PersonBirthDate>2011-05-2{number}</PersonBirthDate><GenderCurrent>2</GenderCurrent></ChildIdentifiers>"
        f"<ChildCharacteristics><Ethnicity>WBRI</Ethnicity></ChildCharacteristics>{details}</Child>\n"
    )


def census(*children: str, year: int = 2021) -> str:
    return (
        "<Message><Header><CollectionDetails><Collection>CIN</Collection>"
        f"<Year>{year}</Year><ReferenceDate>{year}-03-31</ReferenceDate></CollectionDetails>"
        "<Source><SourceLevel>L</SourceLevel><LEA>331</LEA></Source></Header><Children>\n"
        f"{''.join(children)}</Children></Message>\n"
    )


GOOD_CENSUS = census(*(child(n) for n in (1, 2, 3, 4)))
EPISODE_HEADER = "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN"
GOOD_EPISODES = [f"10{n},0{n}/07/2020,S,C2,N1,U1,PR1,05/0{n}/2021,E4A,,,," for n in (1, 2, 3)]
GOOD_CHILDREN = [f"10{n},2,2{n}/05/2011,WBRI,A12345678901{n},," for n in (1, 2, 3)]
CIN_HEADER = (
    "CIN_ACADYR,CIN_LA,CIN_LAchildID_Anon,CIN_PupilMatchingRefAnonymous,CIN_YearOfBirth,CIN_MonthOfBirth,CIN_Gender,"
    "CIN_Ethnicity,CIN_Disability,CIN_ReferralDate,CIN_PrimaryNeedCode,CIN_ReferralNFA,CIN_CINClosureDate,"
    "CIN_ReasonForClosure,CIN_CPPstartDate,CIN_CPPendDate,CIN_NumberOfPreviousCPP"
)
GOOD_NATIONAL = [f"2019/2020,306,00{n},P{n},2010,5,2,WBRI,0,2019-06-0{n},N1,0,2019-09-01,RC7,,," for n in (1, 2, 3)]
CARE_HEADER = (
    "cla_CLA_LA,cla_CHILD_LA_CODE_Anon,cla_PupilMatchingRefAnonymous,cla_PROCESSING_YEAR,cla_SEX,cla_ETHNIC,"
    "cla_UASC_STATUS,year_of_birth,month_of_birth,poc_start,date_episode_started,reason_for_new_episode,legal_status,"
    "cla_CAT_NEED,placement,date_episode_ceased,reason_episode_ceased"
)
GOOD_CARE = [
    f"306,00{n},P{n},2020,2,WBRI,0,2010,5,2019-07-0{n},2019-07-0{n},S,C2,N1,U1,2019-12-01,E4A" for n in (1, 2, 3)
]


def lines(header: str, rows: list[str]) -> bytes:
    return ("\n".join([header, *rows]) + "\n").encode()


def put(folder: Path, name: str, content: bytes | str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_good(folder: Path, kind: str) -> None:
    if kind == "returns":
        put(folder, CIN, GOOD_CENSUS)
        put(folder, EPISODES, lines(EPISODE_HEADER, GOOD_EPISODES))
        put(folder, CHILDREN, lines("CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB", GOOD_CHILDREN))
    else:
        put(folder, NATIONAL, lines(CIN_HEADER, GOOD_NATIONAL))
        put(folder, CARE, lines(CARE_HEADER, GOOD_CARE))


@dataclass(frozen=True)
class Refused:
    """Nothing lands; the sentence names the file and says why."""

    file: str
    why: str


@dataclass(frozen=True)
class Landed:
    """The landing is replaced: rows landed and set aside over all tables, repeats, and files listed as not read."""

    rows: int
    quarantined: int = 0
    duplicate: int = 0
    out_of_window: int = 0
    ignored: int = 0


@dataclass(frozen=True)
class Case:
    """One thing done to a good set. kind: returns or national."""

    name: str
    kind: str
    damage: Callable[[Path], object]
    end: Refused | Landed


GOOD = {"returns": Landed(10), "national": Landed(9)}


def land(source: Path, target: Path, kind: str) -> pd.DataFrame:
    with Gate(target, kind, WINDOWS, base=source, settings=SETTINGS, accepts_quarantine=True) as gate:
        if kind == "national":
            return land_national(source, gate)
        land_returns(source, gate, KEY, progress=lambda _: None)
        return gate.commit()


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


# What is done to a file


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def swap(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return rewrite(name, change)


def replace(name: str, content: bytes | str) -> Callable[[Path], object]:
    return lambda folder: put(folder, name, content)


def cut_at(name: str, marker: str, further: int = 0) -> Callable[[Path], object]:
    return rewrite(name, lambda c: c[: c.index(marker.encode()) + further])


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def zip_damaged() -> bytes:
    content = bytearray(zipped(("2022-episodes.csv", lines(EPISODE_HEADER, GOOD_EPISODES))))
    content[90:110] = bytes(20)
    return bytes(content)


def zip_with_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("2022-episodes.csv")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/hostname")
    return out.getvalue()


def zip_encrypted() -> bytes:
    content = bytearray(zipped(("2022-episodes.csv", b"CHILD\n")))
    # Bit 0 of the flags, in the local header and in the directory at the end.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def parquet_of(folder: Path, change: Callable[[bytes], bytes]) -> None:
    csv, path = folder / NATIONAL, folder / "CIN_2018_to_2021.parquet"
    duckdb.execute(f"copy (from read_csv('{csv}', all_varchar = true)) to '{path}' (format parquet)")
    csv.unlink()
    path.write_bytes(change(path.read_bytes()))


def typed_parquet(folder: Path, expression: str) -> None:
    csv, path = folder / NATIONAL, folder / "CIN_2018_to_2021.parquet"
    duckdb.execute(
        f"copy (select * replace ({expression}) from read_csv('{csv}', all_varchar = true)) "
        f"to '{path}' (format parquet)"
    )
    csv.unlink()


def copied(name: str, to: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, folder / to)

    return damage


def linked(name: str, to: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).symlink_to(to)


def outside_link(name: str, make: str) -> Callable[[Path], object]:
    """A file of the set is moved out of the folder and a link put in its place."""

    def damage(folder: Path) -> None:
        away = folder.parent / "away" / Path(name).name
        away.parent.mkdir()
        shutil.move(folder / name, away)
        (folder / make).symlink_to(away)

    return damage


LAUGHS = (
    '<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<Message>&c;</Message>"
)
ROW_4 = GOOD_EPISODES[2]
CIN_ROW = GOOD_NATIONAL[2]

CASES = [
    # CIN census XML: cut off
    Case("xml_cut_in_prolog", "returns", cut_at(CIN, "<Message>", 4), Landed(6, ignored=1)),
    Case(
        "xml_cut_in_header",
        "returns",
        cut_at(CIN, "<Source>"),
        Refused(CIN, "not well-formed|not readable as XML"),
    ),
    Case("xml_cut_after_first_child", "returns", cut_at(CIN, "</Child>", 8), Refused(CIN, "not well-formed XML")),
    Case("xml_cut_in_a_tag", "returns", cut_at(CIN, "<LAchildID>102", 5), Refused(CIN, "not well-formed XML")),
    Case("xml_cut_in_a_value", "returns", cut_at(CIN, "<LAchildID>103", 13), Refused(CIN, "not well-formed XML")),
    Case("xml_cut_in_a_date", "returns", cut_at(CIN, "2020-06-04", 7), Refused(CIN, "not well-formed XML")),
    Case(
        "xml_cut_before_the_end_of_children",
        "returns",
        cut_at(CIN, "</Children>"),
        Refused(CIN, "not well-formed"),
    ),
    Case("xml_cut_at_its_last_byte", "returns", cut_at(CIN, "</Message>", 9), Refused(CIN, "not well-formed XML")),
    Case("xml_of_no_byte", "returns", replace(CIN, b""), Landed(6, ignored=1)),
    # CIN census XML: hostile
    Case(
        "xml_doctype",
        "returns",
        swap(CIN, "<Message>", "<!DOCTYPE Message><Message>"),
        Refused(CIN, "document type"),
    ),
    Case("xml_entity_bomb", "returns", replace(CIN, LAUGHS), Refused(CIN, "document type or entities")),
    Case(
        "xml_external_entity",
        "returns",
        replace(CIN, '<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/hostname">]><Message>&x;</Message>'),
        Refused(CIN, "document type or entities"),
    ),
    Case(
        "xml_doctype_behind_a_comment_in_utf16",
        "returns",
        replace(CIN, ("<!-- x --><!DOCTYPE Message>" + GOOD_CENSUS).encode("utf-16")),
        Refused(CIN, "document type or entities"),
    ),
    Case(
        "xml_nested_deeply",
        "returns",
        swap(CIN, "<ReferralNFA>0", "<Assessments>" * 60_000 + "</Assessments>" * 60_000 + "<ReferralNFA>0"),
        Landed(10),
    ),
    Case(
        "xml_child_that_never_ends",
        "returns",
        swap(CIN, "<ReferralNFA>0", "<Assessments/>" * 600_000 + "<ReferralNFA>0"),
        Refused(CIN, "without the end of a Child"),
    ),
    Case("xml_undefined_entity", "returns", swap(CIN, ">102<", ">&nbsp;<"), Refused(CIN, "undefined entity")),
    Case("xml_zero_byte", "returns", swap(CIN, ">102<", ">1\x0002<"), Refused(CIN, "not well-formed XML")),
    Case(
        "xml_identifying_element",
        "returns",
        swap(CIN, "<UPN>", "<Surname>x</Surname><UPN>"),
        Refused(CIN, "identifies"),
    ),
    # CIN census XML: encodings
    Case(
        "xml_wrong_encoding_declared",
        "returns",
        rewrite(CIN, lambda c: b'<?xml version="1.0" encoding="utf-16"?>' + c),
        Landed(6, ignored=1),
    ),
    Case(
        "xml_encoding_that_does_not_exist",
        "returns",
        rewrite(CIN, lambda c: b'<?xml version="1.0" encoding="klingon"?>' + c),
        Landed(6, ignored=1),
    ),
    Case(
        "xml_bytes_of_another_encoding",
        "returns",
        rewrite(CIN, lambda c: c.replace(b">102<", b">1\xe92<")),
        Refused(CIN, "row 3, column 38: not well-formed"),
    ),
    Case("xml_utf8_bom", "returns", rewrite(CIN, lambda c: b"\xef\xbb\xbf" + c), Landed(10)),
    Case("xml_two_boms", "returns", rewrite(CIN, lambda c: b"\xef\xbb\xbf" * 2 + c), Landed(6, ignored=1)),
    Case("xml_utf16", "returns", rewrite(CIN, lambda c: c.decode().encode("utf-16")), Landed(10)),
    # CIN census XML: content
    Case(
        "xml_two_las",
        "returns",
        swap(CIN, "<LEA>331</LEA>", "<LEA>331</LEA><LEA>332</LEA>"),
        Refused(CIN, "331, 332"),
    ),
    Case("xml_child_twice", "returns", swap(CIN, child(2), child(2) * 2), Landed(10, duplicate=1)),
    Case("xml_date_of_another_form", "returns", swap(CIN, "2020-06-02", "02/06/2020"), Landed(9, quarantined=1)),
    Case("xml_date_that_is_none", "returns", swap(CIN, "2020-06-02", "2020-02-30"), Landed(9, quarantined=1)),
    Case("xml_referral_in_the_future", "returns", swap(CIN, "2020-06-02", "2028-06-02"), Landed(9, quarantined=1)),
    Case("xml_referral_before_1930", "returns", swap(CIN, "2020-06-02", "1900-01-01"), Landed(9, quarantined=1)),
    Case("xml_no_child_code", "returns", swap(CIN, "<LAchildID>102</LAchildID>", ""), Landed(9, quarantined=1)),
    Case("xml_name_as_child_code", "returns", swap(CIN, ">102<", ">Kelvora Brant<"), Landed(9, quarantined=1)),
    Case(
        "xml_birth_date_of_another_form",
        "returns",
        swap(CIN, "2011-05-22", "22/05/2011"),
        Landed(9, quarantined=1),
    ),
    Case("xml_of_another_kind", "returns", replace(CIN, "<School><Name>x</Name></School>"), Landed(6, ignored=1)),
    Case("xml_that_is_a_csv", "returns", replace(CIN, lines(EPISODE_HEADER, GOOD_EPISODES)), Landed(6, ignored=1)),
    Case(
        "xml_referral_outside_a_child",
        "returns",
        swap(CIN, "</Children>", "<CINdetails/></Children>"),
        Refused(CIN, "outside"),
    ),
    # SSDA903 CSV
    Case("csv_cut_in_a_row", "returns", cut_at(EPISODES, "103,03/07"), Landed(9)),
    Case("csv_cut_in_a_date", "returns", cut_at(EPISODES, "03/07/2020", 5), Refused(EPISODES, "expected 13 values")),
    Case("csv_cut_in_the_header", "returns", cut_at(EPISODES, "DECOM", 3), Landed(7, ignored=1)),
    Case("csv_of_no_byte", "returns", replace(EPISODES, b""), Landed(7)),
    Case("csv_of_one_newline", "returns", replace(EPISODES, b"\n"), Landed(7)),
    Case("csv_header_only", "returns", replace(EPISODES, lines(EPISODE_HEADER, [])), Landed(7)),
    Case(
        "csv_quote_never_closed",
        "returns",
        swap(EPISODES, "103,", '"103,'),
        Refused(EPISODES, "row 4: not readable as CSV"),
    ),
    Case(
        "csv_row_too_short",
        "returns",
        swap(EPISODES, ROW_4, "103,03/07/2020,S"),
        Refused(EPISODES, "expected 13 values"),
    ),
    Case(
        "csv_row_too_long",
        "returns",
        swap(EPISODES, ROW_4, ROW_4 + "x,y"),
        Refused(EPISODES, "expected 13 values"),
    ),
    Case("csv_zero_bytes", "returns", swap(EPISODES, "103,", "1\x0003,"), Refused(EPISODES, "row 4: not text")),
    Case(
        "csv_huge_field",
        "returns",
        swap(EPISODES, "103,", "1" * 5_000_000 + ","),
        Refused(EPISODES, "row 4: not readable as CSV"),
    ),
    Case("csv_utf16", "returns", rewrite(EPISODES, lambda c: c.decode().encode("utf-16")), Landed(10)),
    Case("csv_utf16_without_bom", "returns", rewrite(EPISODES, lambda c: c.decode().encode("utf-16-le")), Landed(10)),
    Case("csv_utf8_bom", "returns", rewrite(EPISODES, lambda c: b"\xef\xbb\xbf" + c), Landed(10)),
    Case("csv_old_line_ends", "returns", rewrite(EPISODES, lambda c: c.replace(b"\n", b"\r")), Landed(10)),
    Case(
        "csv_byte_that_no_encoding_has",
        "returns",
        rewrite(EPISODES, lambda c: c + b"\x81,\n"),
        Refused(EPISODES, "row 5: byte 0x81"),
    ),
    Case("csv_columns_swapped", "returns", swap(EPISODES, "CHILD,DECOM", "DECOM,CHILD"), Landed(7, quarantined=3)),
    Case(
        "csv_columns_in_another_order",
        "returns",
        swap(EPISODES, "HOME_POST,PL_POST", "PL_POST,HOME_POST"),
        Landed(10),
    ),
    Case("csv_column_twice", "returns", swap(EPISODES, "HOME_POST", "DECOM"), Refused(EPISODES, "more than once")),
    Case(
        "csv_column_of_names",
        "returns",
        swap(EPISODES, "HOME_POST", "SURNAME"),
        Refused(EPISODES, "identifies a person"),
    ),
    Case("csv_row_twice", "returns", swap(EPISODES, ROW_4, ROW_4 + "\n" + ROW_4), Landed(10, duplicate=1)),
    Case("csv_file_twice", "returns", copied(EPISODES, "331/2021-episodes copy.csv"), Landed(10, duplicate=3)),
    Case(
        "csv_ends_before_it_starts",
        "returns",
        swap(EPISODES, "05/03/2021", "05/03/2020"),
        Landed(9, quarantined=1),
    ),
    Case(
        "csv_month_and_day_swapped",
        "returns",
        swap(EPISODES, "03/07/2020", "07/23/2020"),
        Landed(9, quarantined=1),
    ),
    Case(
        "csv_episode_in_the_future",
        "returns",
        swap(EPISODES, ROW_4, "103,03/07/2031,S,C2,N1,U1,PR1,,,,,,"),
        Landed(9, 1),
    ),
    Case("csv_episode_before_1991", "returns", swap(EPISODES, "03/07/2020", "03/07/1990"), Landed(9, quarantined=1)),
    Case("csv_that_is_xml", "returns", replace(EPISODES, GOOD_CENSUS), Landed(7, ignored=1)),
    Case(
        "csv_under_the_name_of_a_picture",
        "returns",
        lambda f: (f / EPISODES).rename(f / "331/x.jpg"),
        Landed(7, ignored=1),
    ),
    Case("csv_postcode_as_child_code", "returns", swap(EPISODES, "103,", "LS1 4AP,"), Landed(9, quarantined=1)),
    # Archives
    Case(
        "zip_of_a_good_table",
        "returns",
        replace("331/2022.zip", zipped(("2022-episodes.csv", lines(EPISODE_HEADER, GOOD_EPISODES)))),
        Landed(13),
    ),
    Case(
        "zip_cut_off",
        "returns",
        replace("331/a.zip", zipped(("2022-episodes.csv", b"CHILD\n"))[:-20]),
        Refused("a.zip", "not a readable zip"),
    ),
    Case(
        "zip_damaged_inside",
        "returns",
        replace("331/2022.zip", zip_damaged()),
        Refused("2022.zip", "not a readable zip"),
    ),
    Case(
        "zip_path_out_of_the_archive",
        "returns",
        replace("331/a.zip", zipped(("../../evil 2022-episodes.csv", b"CHILD\n"))),
        Refused("a.zip", "leads out of the archive"),
    ),
    Case(
        "zip_absolute_path",
        "returns",
        replace("331/a.zip", zipped(("/etc/2022-episodes.csv", b"CHILD\n"))),
        Refused("a.zip", "leads out of the archive"),
    ),
    Case(
        "zip_bomb",
        "returns",
        replace("331/a.zip", zipped(("2022-episodes.csv", b"0" * (20 << 20)))),
        Refused("a.zip", "times its size"),
    ),
    Case(
        "zip_in_a_zip",
        "returns",
        replace("331/a.zip", zipped(("b.zip", zipped(("c.csv", b"CHILD\n"))))),
        Refused("a.zip", "archive within an archive"),
    ),
    Case(
        "zip_in_a_zip_under_another_name",
        "returns",
        replace("331/a.zip", zipped(("b.csv", zipped(("c.csv", b"CHILD\n"))))),
        Refused("a.zip", "archive under another name"),
    ),
    Case("zip_with_a_link", "returns", replace("331/a.zip", zip_with_link()), Refused("a.zip", "a link or device")),
    Case("zip_encrypted", "returns", replace("331/a.zip", zip_encrypted()), Refused("a.zip", "encrypted")),
    Case("zip_that_is_text", "returns", replace("331/a.zip", b"hello"), Refused("a.zip", "not a readable zip")),
    Case(
        "workbook_that_is_text",
        "returns",
        replace("331/2022.xlsx", b"hello"),
        Refused("2022.xlsx", "not a readable zip archive or workbook"),
    ),
    # Folders and links
    Case("folder_named_like_a_file", "returns", lambda f: (f / "331/2022-episodes.csv").mkdir(), Landed(10)),
    Case("link_in_a_circle", "returns", linked("331/2022-episodes.csv", "2022-episodes.csv"), Landed(10, ignored=1)),
    Case("link_to_nowhere", "returns", linked("331/2022-episodes.csv", "absent.csv"), Landed(10, ignored=1)),
    Case("link_to_the_folder_itself", "returns", linked("331/again", ".."), Landed(10, ignored=1)),
    # National extracts
    Case(
        "national_cut_in_a_row",
        "national",
        cut_at(NATIONAL, "2019-06-03", 4),
        Refused(NATIONAL, "row 4: expected 17 values"),
    ),
    Case("national_of_no_byte", "national", replace(NATIONAL, b""), Landed(6)),
    Case("national_header_only", "national", replace(NATIONAL, lines(CIN_HEADER, [])), Landed(6)),
    Case(
        "national_quote_never_closed",
        "national",
        swap(NATIONAL, "2019/2020,306,003", '"2019/2020,306,003'),
        Refused(NATIONAL, "row 4: a quote is left open"),
    ),
    Case(
        "national_row_too_long",
        "national",
        swap(NATIONAL, CIN_ROW, CIN_ROW + ",x,y"),
        Refused(NATIONAL, "row 4: expected 17 values"),
    ),
    Case(
        "national_column_missing",
        "national",
        swap(NATIONAL, "CIN_ReferralDate", "Something"),
        Refused(NATIONAL, "CIN_ReferralDate"),
    ),
    Case(
        "national_column_of_names",
        "national",
        swap(NATIONAL, "CIN_Disability", "CIN_Forename"),
        Refused(NATIONAL, "CIN_Forename: .* identifies a person"),
    ),
    Case(
        "national_columns_swapped",
        "national",
        swap(NATIONAL, "CIN_LA,CIN_LAchildID_Anon", "CIN_LAchildID_Anon,CIN_LA"),
        Landed(6, quarantined=3),
    ),
    Case("national_row_twice", "national", swap(NATIONAL, CIN_ROW, CIN_ROW + "\n" + CIN_ROW), Landed(9, duplicate=1)),
    Case(
        "national_date_in_the_future",
        "national",
        swap(NATIONAL, "2019-06-03", "2031-06-03"),
        Landed(8, quarantined=1),
    ),
    Case(
        "national_e_mail_as_child_code",
        "national",
        swap(NATIONAL, ",003,", ",a.b@example.org,"),
        Landed(8, quarantined=1),
    ),
    Case(
        "national_birth_date_in_the_year",
        "national",
        swap(NATIONAL, ",P3,2010,", ",P3,2010-05-27,"),
        Landed(8, quarantined=1),
    ),
    Case("parquet_good", "national", lambda f: parquet_of(f, lambda c: c), Landed(9)),
    Case(
        "parquet_cut_off",
        "national",
        lambda f: parquet_of(f, lambda c: c[: len(c) // 2]),
        Refused("CIN_2018_to_2021.parquet", "cannot be read as Parquet"),
    ),
    Case(
        "parquet_without_its_last_bytes",
        "national",
        lambda f: parquet_of(f, lambda c: c[:-4]),
        Refused("CIN_2018_to_2021.parquet", "cannot be read as Parquet"),
    ),
    Case(
        "parquet_damaged_inside",
        "national",
        lambda f: parquet_of(f, lambda c: c[:60] + b"\xff" * 200 + c[260:]),
        Refused("CIN_2018_to_2021.parquet", "cannot be read"),
    ),
    Case(
        "parquet_of_no_byte",
        "national",
        lambda f: parquet_of(f, lambda _: b""),
        Refused("CIN_2018_to_2021.parquet", "cannot be read as Parquet"),
    ),
    Case(
        "parquet_that_is_text",
        "national",
        lambda f: parquet_of(f, lambda _: b"PAR1 hello"),
        Refused("CIN_2018_to_2021.parquet", "cannot be read as Parquet"),
    ),
    Case(
        "parquet_year_too_large",
        "national",
        lambda f: typed_parquet(f, "99999999999::bigint as CIN_YearOfBirth"),
        Landed(6, quarantined=3),
    ),
    Case(
        "parquet_year_with_a_fraction",
        "national",
        lambda f: typed_parquet(f, "2010.5::double as CIN_YearOfBirth"),
        Landed(6, quarantined=3),
    ),
    Case(
        "parquet_date_as_a_number",
        "national",
        lambda f: typed_parquet(f, "43617::integer as CIN_ReferralDate"),
        Landed(6, quarantined=3),
    ),
    Case(
        "national_link_out_of_the_folder",
        "national",
        outside_link(NATIONAL, NATIONAL),
        Refused(NATIONAL, "cannot be read"),
    ),
    Case(
        "national_link_in_a_circle",
        "national",
        linked("Absence_2020_3Term.csv", "Absence_2020_3Term.csv"),
        Landed(9, ignored=1),
    ),
    Case(
        "national_folder_named_like_a_file",
        "national",
        lambda f: (f / "Absence_2020_3Term.csv").mkdir(),
        Landed(9),
    ),
]


def test_there_are_at_least_sixty_cases() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 60


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Per kind of source: ``in`` with good files and ``landing`` made from them."""
    folder = tmp_path_factory.mktemp("good")
    for kind, end in GOOD.items():
        write_good(folder / kind / "in", kind)
        account = land(folder / kind / "in", folder / kind / "landing", kind)
        assert account["landed"].sum() == end.rows
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_damaged_input_ends_in_its_stated_state(good: Path, tmp_path: Path, case: Case) -> None:
    shutil.copytree(good / case.kind, tmp_path / case.kind)
    source, target = tmp_path / case.kind / "in", tmp_path / case.kind / "landing"
    case.damage(source)
    before = fingerprint(target)
    if isinstance(case.end, Refused):
        with pytest.raises(SfpcError, match=case.end.why) as caught:
            land(source, target, case.kind)
        message = str(caught.value)
        assert Path(case.end.file).name in message, message
        assert "\n" not in message
        assert fingerprint(target) == before, "the earlier landing is as it was"
    else:
        account = land(source, target, case.kind)
        sums = account[["landed", "quarantined", "duplicate", "out_of_window"]].sum().tolist()
        end = case.end
        assert sums == [end.rows, end.quarantined, end.duplicate, end.out_of_window], account.to_string()
        manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
        assert len(manifest["ignored"]) == end.ignored, manifest["ignored"]
        assert len(pd.read_csv(target / "quarantine.csv").query("scope == 'row'")) == end.quarantined
    assert sorted(p.name for p in (tmp_path / case.kind).iterdir()) in (["in", "landing"], ["away", "in", "landing"])


# Files of others (or their twins made here), cut off anywhere


def whole_files(folder: Path) -> list[Path]:
    """A census and an episodes file to cut: those of other projects where they lie beside, else made here."""
    shared = shared_dir()
    samples = shared / "samples" if shared else None
    if samples and samples.is_dir():
        return [samples / "cin" / "fake_CIN_data.xml", samples / "ssda903" / "five-years" / "2019-episodes.csv"]
    put(folder, "CIN_2022.xml", census(*(child(1 + n % 9) for n in range(300)), year=2022))
    put(folder, "2019-episodes.csv", lines(EPISODE_HEADER, GOOD_EPISODES * 100))
    return [folder / "CIN_2022.xml", folder / "2019-episodes.csv"]


@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999])
def test_files_of_others_cut_off_anywhere(good: Path, tmp_path: Path, part: float) -> None:
    """A cut census never lands a row; a cut table lands whole rows or is refused."""
    shutil.copytree(good / "returns", tmp_path / "returns")
    target = tmp_path / "returns" / "landing"
    xml, table = whole_files(tmp_path / "whole")
    for number, whole in enumerate((xml, table)):
        source = tmp_path / f"in{number}" / "331"
        source.mkdir(parents=True)
        content = whole.read_bytes()
        (source / whole.name).write_bytes(content[: int(len(content) * part)])
        write_good(source.parent, "returns")
        before = fingerprint(target)
        try:
            account = land(source.parent, target, "returns").set_index(["file", "table"])
        except SfpcError as error:
            assert whole.name in str(error)
            assert fingerprint(target) == before
        else:
            rows = account[account.index.get_level_values("file").str.endswith(whole.name)]["raw"].sum()
            assert whole is table or rows == 0, "no row of a census that breaks off"
            assert rows <= content.count(b"\n")


# Cut off from outside

LANDING_SCRIPT = """
import sys, time
from pathlib import Path
from sfpc.landing import gate as module, identifiers
from sfpc.landing.gate import Gate
from sfpc.landing.returns import land_returns

source, target, flag, stage = (Path(a) for a in sys.argv[1:])

def wait(*_):
    flag.touch()
    time.sleep(60)

screened = []
screen = identifiers.screen
if stage.name == "reading":
    def second_file(*a):
        screened.append(1)
        return wait() if len(screened) == 2 else screen(*a)
    identifiers.screen = second_file
elif stage.name == "before_publishing":
    module.replace_folder = wait
elif stage.name == "between_the_renames":
    def half(new, old):
        old.rename(old.with_name(old.name + ".old"))
        wait()
    module.replace_folder = half
with Gate(target, "returns", base=source) as gate:
    land_returns(source, gate, b"k" * 32, progress=lambda _: None)
    gate.commit()
"""


@pytest.mark.parametrize("stage", ["reading", "before_publishing", "between_the_renames"])
def test_a_landing_that_is_killed_leaves_the_earlier_one(good: Path, tmp_path: Path, stage: str) -> None:
    """SIGKILL: nothing can be tidied; the earlier landing stands, at the latest when the next one begins."""
    shutil.copytree(good / "returns", tmp_path / "returns")
    source, target, flag = tmp_path / "returns" / "in", tmp_path / "returns" / "landing", tmp_path / "flag"
    before = fingerprint(target)
    put(source, EPISODES, lines(EPISODE_HEADER, GOOD_EPISODES[:1]))
    running = subprocess.Popen(
        [sys.executable, "-c", LANDING_SCRIPT, str(source), str(target), str(flag), stage],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        while not flag.exists():
            assert running.poll() is None, "the landing ended before it could be killed"
            time.sleep(0.05)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    left = sorted(p.name for p in target.parent.iterdir())
    assert "landing.incoming" in left
    with Gate(target, "returns", base=source):
        assert fingerprint(target) == before
    assert sorted(p.name for p in target.parent.iterdir()) == ["in", "landing"], "nothing of the killed one is left"
    assert land(source, target, "returns")["landed"].sum() == 8


def run_verb(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    from sfpc.cli import main

    monkeypatch.setenv("SFPC_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("SFPC_OUTPUT_DIR", str(folder / "outputs"))
    return main(arguments)


def test_a_file_that_may_not_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may read everything, so the refusal of the operating system is played here."""
    write_good(tmp_path / "in", "returns")
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == Path(EPISODES).name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    assert run_verb(monkeypatch, tmp_path, "returns", str(tmp_path / "in"), "--check") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "2021-episodes.csv" in last and "Permission denied" in last


def test_a_full_disk_leaves_the_earlier_landing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_good(tmp_path / "in", "national")
    assert run_verb(monkeypatch, tmp_path, "land", "--extracts", str(tmp_path / "in")) == 0
    target = tmp_path / "data" / "landing"
    before = fingerprint(target)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert run_verb(monkeypatch, tmp_path, "land", "--extracts", str(tmp_path / "in")) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert fingerprint(target) == before
    assert sorted(p.name for p in target.parent.iterdir()) == ["landing"]
