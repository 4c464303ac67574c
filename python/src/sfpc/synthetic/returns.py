"""Synthetic children as statutory returns: CIN census XML and SSDA903 CSV from the landing tables.

The landing tables of the synthetic national extracts hold year and month of birth only, so the returns
carry an invented day, the 15th. UPNs are invented from the pupil pseudonyms. Assessments, section 47
enquiries and reviews, which national extracts do not hold, are derived from the referral and its plans alone,
by the rules of A.6. Element order, headers and code sets: docs/raw_data.md, sections A and B.
"""

from __future__ import annotations

import csv
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO
from xml.sax.saxutils import escape

import duckdb

from sfpc.errors import InputError, SfpcError
from sfpc.landing.gate import replace_folder
from sfpc.landing.ssda903 import EPISODES, FILES, HEADER, UASC
from sfpc.progress import say

BIRTH_DAY = 15
"""Invented day of every birth date; the 15th is the usual dummy day."""

# The first census and SSDA903 collection with Sex (M, F, U) in the place of gender (1, 2, 0, 9).
_SEX_FROM = 2025
_BATCH = 20_000
_LA = re.compile(r"[0-9A-Za-z]{1,12}")
# Characters that XML 1.0 cannot hold.
_NOT_XML = {code: None for code in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)}
_GENDER = {
    "1": ("1", "M"),
    "M": ("1", "M"),
    "2": ("2", "F"),
    "F": ("2", "F"),
    "9": ("9", "U"),
    "0": ("0", "U"),
    "U": ("0", "U"),
}

_CIN_CHILD = (
    "la_child_id",
    "upn",
    "birth_year",
    "birth_month",
    "is_expected",
    "gender",
    "ethnicity",
    "disability",
)
_CIN_REFERRAL = (
    "referral_date",
    "referral_source",
    "primary_need",
    "closure_date",
    "closure_reason",
    "referral_nfa",
)
# Of the referral over all returns: what happens in one year must agree with what the next will say.
_CIN_OUTLOOK = ("last_closure_date", "is_assessed_only")
_CIN_PLAN = ("cin_plan_start_date", "cin_plan_end_date")
_CPP = ("cpp_start_date", "cpp_end_date", "cpp_initial_category", "cpp_previous_count")

# Factors with the first and last census of those that changed (A.3) and how many of 1,000 assessments show each: of the
# order of what is known of England (domestic abuse and mental health of a parent in three of ten), not calibrated. 9A
# says who is an unaccompanied asylum-seeking child, which is the SSDA903's to say.
_FACTORS: tuple[tuple[str, int, int, int], ...] = (
    *(
        (f"{number}{letter}", 0, 9999, share)
        for number, shares in enumerate(
            ((30, 160, 40), (45, 170, 60), (120, 320, 90), (150, 320, 70), (110, 40, 20), (70, 80, 25)), start=1
        )
        for letter, share in zip("ABC", shares, strict=True)
    ),
    *((code, 0, 9999, share) for code, share in (("7A", 40), ("8B", 5), ("10A", 30), ("11A", 30), ("12A", 6))),
    *((code, 0, 9999, share) for code, share in (("13A", 22), ("14A", 80), ("15A", 50), ("16A", 190), ("17A", 220))),
    *((code, 0, 2020, share) for code, share in (("18A", 140), ("19A", 80))),
    *((code, 2021, 9999, share) for code, share in (("18B", 20), ("18C", 130), ("19B", 30), ("19C", 60))),
    ("24A", 2022, 9999, 30),
)
_NO_FACTOR = "21"
# Days: an assessment takes 10 to 45; the conference is due 15 working days after the enquiry starts; a plan is
# reviewed after three months, then every six.
_ASSESSMENT_DAYS = (10, 45)
_CONFERENCE_DAYS = 21
_REVIEW_DAYS = (84, 168)
_REASSESSED_AFTER_DAYS = 365

_Row = tuple[Any, ...]


@dataclass
class WrittenReturns:
    """What was written: files, and the children, referrals, plans and episodes in them.

    children: Child elements; looked_after: rows of the Header files; enquiries: Section47 groups; reviews:
    dates of them.
    """

    cin_files: int = 0
    ssda903_sets: int = 0
    children: int = 0
    referrals: int = 0
    cpps: int = 0
    cin_plans: int = 0
    assessments: int = 0
    enquiries: int = 0
    reviews: int = 0
    episodes: int = 0
    looked_after: int = 0


def write_returns(
    landing_dir: Path,
    target: Path,
    la_codes: list[str] | None = None,
    years: list[int] | None = None,
    *,
    cin_format: Literal["xml", "blades"] = "xml",
    replace: bool = False,
    progress: Callable[[str], None] = say,
) -> WrittenReturns:
    """Write the landing tables of ``landing_dir`` as statutory returns below ``target``.

    For every LA and return year: ``<la>/cin/CIN_<year>.xml``, and ``<la>/ssda903/<year>-episodes.csv``,
    ``-header.csv``, ``-uasc.csv`` and ``-ad1.csv`` (one newline, as files with nothing to return have).
    The same tables give the same bytes. The folder appears when all is written. A census as ``blades`` is a
    folder ``<la>/cin/CIN_<year>`` of flat tables with dates as dd/mm/yyyy (docs/raw_data.md A.8).

    A child that is unborn or whose birth date is an expected one gets ExpectedPersonBirthDate, any other
    PersonBirthDate. Gender codes 1, 2, 0, 9 to 2024, Sex M, F, U from 2025. A bare disability flag
    becomes DDA (1) or NONE (0). UPNs have the shape of one (13 characters) and a first letter (S, then
    O, I) that the DfE's check letters leave out: no real pupil can have it. The same pupil pseudonym
    gives the same UPN in every file, different ones different UPNs.

    Parameters
    ----------
    landing_dir: ``<table>/*.parquet`` for cin_records, cla_episodes and cla_children, typed.
    la_codes, years: what to write; None for all.
    cin_format: how the censuses are written. replace: whether a target folder that holds files may be replaced.

    Raises InputError for a missing table, an LA code that is no code, nothing to write; SfpcError when
    the target holds files and ``replace`` is off.
    """
    for table in ("cin_records", "cla_episodes", "cla_children"):
        if not any((landing_dir / table).glob("*.parquet")):
            raise InputError(f"expected Parquet files of {table}", file=landing_dir / table)
    if target.exists() and any(target.iterdir()) and not replace:
        raise SfpcError(f"{target} holds files already; choose an empty folder for the returns")
    aside = target.with_name(target.name + ".incoming")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with duckdb.connect() as con:
            spill = aside / "spill"
            con.execute("set temp_directory = ?", [str(spill)])
            con.execute("set memory_limit = '4GB'")
            _prepare(con, landing_dir, la_codes, years)
            written = WrittenReturns()
            _write_cin(con, aside, written, _XmlCensus if cin_format == "xml" else _FlatCensus)
            _write_ssda903(con, aside, written)
        shutil.rmtree(spill, ignore_errors=True)
        if not (written.cin_files or written.ssda903_sets):
            raise InputError("no rows of the LAs and years asked for", file=landing_dir)
        replace_folder(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    progress(
        f"{written.cin_files} CIN censuses ({written.referrals} referrals) and {written.ssda903_sets} "
        f"SSDA903 sets ({written.episodes} episodes) in {target}"
    )
    return written


def _prepare(
    con: duckdb.DuckDBPyConnection,
    landing_dir: Path,
    la_codes: list[str] | None,
    years: list[int] | None,
) -> None:
    """Views of the wanted rows, and one invented UPN per pupil of all rows (so a part is a part of all)."""
    for table in ("cin_records", "cla_episodes", "cla_children"):
        files = str(landing_dir / table / "*.parquet").replace("'", "''")
        con.execute(f"create temp view all_{table} as select * from read_parquet('{files}', union_by_name = true)")
    con.execute(
        """
        create temp view cin_referrals as
        select
            *,
            max(closure_date) over same_referral as last_closure_date,
            coalesce(
                bool_or(upper(trim(closure_reason)) in ('RC8', 'RC9')) over same_referral, false
            ) as is_assessed_only
        from all_cin_records
        window same_referral as (partition by la_code, la_child_id, referral_date)
        """
    )
    con.execute("create temp table wanted_la as select unnest(?::varchar[]) as la", [la_codes or []])
    con.execute("create temp table wanted_year as select unnest(?::int[]) as year", [years or []])
    wanted = " and ".join(
        [
            *(["la_code in (select la from wanted_la)"] if la_codes is not None else []),
            *(["return_year in (select year from wanted_year)"] if years is not None else []),
            "true",
        ]
    )
    con.execute(
        """
        create temp table upns as
        with pupils as (
            select pupil_id from all_cin_records where pupil_id is not null
            union
            select pupil_id from all_cla_children where pupil_id is not null
        ),
        hashed as (
            select pupil_id, cast(('0x' || substr(md5(pupil_id), 1, 15)) as ubigint) % 1000000000000 as digits
            from pupils
        )
        select
            pupil_id,
            ['S', 'O', 'I'][row_number() over (partition by digits order by pupil_id)]
            || lpad(cast(digits as varchar), 12, '0') as upn
        from hashed
        """
    )
    if con.execute("select 1 from upns where upn is null").fetchone():
        raise SfpcError("more than three pupil pseudonyms share one invented UPN")
    for table, source in (("cin_records", "cin_referrals"), ("cla_children", "all_cla_children")):
        con.execute(
            f"create temp view {table} as select t.*, u.upn from {source} as t "
            f"left join upns as u using (pupil_id) where {wanted}"
        )
    con.execute(f"create temp view cla_episodes as select * from all_cla_episodes where {wanted}")
    for table in ("cin_records", "cla_children", "cla_episodes"):
        for (code,) in con.execute(f"select distinct la_code from {table} order by all").fetchall():
            # It becomes the name of a folder.
            if not _LA.fullmatch(code or ""):
                raise InputError(f"not an LA code: {code!r}", file=table, column="la_code")


def _batches(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[_Row]:
    result = con.execute(query)
    while rows := result.fetchmany(_BATCH):
        yield from rows


@dataclass
class _Referral:
    """One CINdetails: its own items, and the groups in it."""

    items: _Row
    assessments: list[tuple[str, str | None, list[str]]] = field(default_factory=list)
    cin_plans: list[_Row] = field(default_factory=list)
    enquiries: list[tuple[str, str, str | None, bool]] = field(default_factory=list)
    cpps: list[_Row] = field(default_factory=list)
    reviews: list[list[str]] = field(default_factory=list)
    moved_in_with: str | None = None


class _Census(Protocol):
    """One census being written, child by child."""

    def __init__(self, folder: Path, la: str, year: int) -> None:
        """Begin a census of one LA and year below its folder."""

    def child(self, child: _Row) -> None:
        """Begin a child."""

    def referral(self, referral: _Referral) -> None:
        """A referral of the child begun last."""

    def close(self) -> None:
        """End the census."""


def _write_cin(con: duckdb.DuckDBPyConnection, folder: Path, written: WrittenReturns, census_of: type[_Census]) -> None:
    """One census per LA and year, from one pass over all rows in order."""
    child_end = 2 + len(_CIN_CHILD)
    referral_end = child_end + len(_CIN_REFERRAL)
    outlook_end = referral_end + len(_CIN_OUTLOOK)
    plan_end = outlook_end + len(_CIN_PLAN)
    expected = "lower(trim({})) in ('1', 'true', 'y', 'yes')"
    columns = [
        "la_code",
        "return_year",
        *_CIN_CHILD,
        *_CIN_REFERRAL,
        *_CIN_OUTLOOK,
        *_CIN_PLAN,
        *_CPP,
    ]
    select = ", ".join(
        f"coalesce({expected.format('is_expected_birth')}, false) "
        f"or coalesce({expected.format('is_unborn')}, false) as is_expected"
        if name == "is_expected"
        else f"cast({name} as varchar) as {name}"
        if name.endswith("_date")
        else name
        for name in columns
    )
    rows = _batches(con, f"select distinct {select} from cin_records order by all")
    key: _Row | None = None
    census: _Census | None = None
    child: _Row | None = None
    outlook: _Row = ()
    referral: _Referral | None = None

    def end_referral() -> None:
        nonlocal referral
        if census is not None and key is not None and child is not None and referral is not None:
            _add_activity(referral, f"{key[0]}|{child[0]}", key[1], *outlook)
            census.referral(referral)
            written.referrals += 1
            written.cin_plans += len(referral.cin_plans)
            written.cpps += len(referral.cpps)
            written.assessments += len(referral.assessments)
            written.enquiries += len(referral.enquiries)
            written.reviews += sum(map(len, referral.reviews))
        referral = None

    def end_census() -> None:
        end_referral()
        if census is not None:
            census.close()

    try:
        for row in rows:
            if row[:2] != key:
                end_census()
                key, child = row[:2], None
                census = census_of(folder / key[0] / "cin", *key)
                written.cin_files += 1
            assert census is not None
            if row[2:child_end] != child:
                end_referral()
                child = row[2:child_end]
                census.child(child)
                written.children += 1
            if referral is None or row[child_end:referral_end] != referral.items:
                end_referral()
                referral = _Referral(row[child_end:referral_end])
                outlook = row[referral_end:outlook_end]
            for plan, plans in (
                (row[outlook_end:plan_end], referral.cin_plans),
                (row[plan_end:], referral.cpps),
            ):
                if any(value is not None for value in plan) and plan not in plans:
                    plans.append(plan)
    finally:
        end_census()


def _add_activity(referral: _Referral, whose: str, year: int, last_closure: str | None, is_assessed_only: bool) -> None:
    """Assessments, enquiries and reviews that the return of ``year`` would hold, from the referral and its plans.

    A.6: a referral without further action has none; one closed as RC8 or RC9 has one assessment and no enquiry;
    a plan starts on the day of its conference, and its reviews come after. Ended things are in the return of
    their year only (A.7). A plan that starts on the day of the referral came with a child moving in (A.1).
    """
    referred_on, *_, nfa = referral.items
    referral.reviews = [[] for _ in referral.cpps]
    if referred_on is None or (nfa or "").strip().lower() in {"1", "true"}:
        return
    opened = date.fromisoformat(referred_on)
    closed = date.fromisoformat(last_closure) if last_closure else date.max
    first, last = date(year - 1, 4, 1), date(year, 3, 31)
    if closed < opened:
        return
    # Nothing is drawn at random: the same referral gives the same activity in any part of any set.
    draw = zlib.crc32(f"{whose}|{referred_on}".encode())
    _add_assessments(referral, draw, (opened, closed), (first, last), is_assessed_only)
    for (start_text, end_text, *_), reviews in zip(referral.cpps, referral.reviews, strict=True):
        if start_text is None:
            continue
        start, end = date.fromisoformat(start_text), date.fromisoformat(end_text) if end_text else date.max
        review = start + timedelta(_REVIEW_DAYS[0])
        while review <= min(end, last):
            if review >= first:
                reviews.append(review.isoformat())
            review += timedelta(_REVIEW_DAYS[1])
        if is_assessed_only or not (first <= start <= last and opened <= start <= closed):
            continue
        if start == opened:
            referral.moved_in_with = start_text
        else:
            asked = max(opened, start - timedelta(5 + draw % 10))
            referral.enquiries.append(_enquiry(asked, start_text))
    asked = opened + timedelta(draw % 5)
    if not referral.cpps and not is_assessed_only and draw % 7 == 0 and asked <= closed and first <= asked <= last:
        referral.enquiries.append(_enquiry(asked, None))


def _enquiry(asked: date, conference: str | None) -> tuple[str, str, str | None, bool]:
    """Start, day by which the conference is due, its day, and whether none is required."""
    due = asked + timedelta(_CONFERENCE_DAYS)
    return asked.isoformat(), due.isoformat(), conference, conference is None


def _add_assessments(
    referral: _Referral, draw: int, life: tuple[date, date], census: tuple[date, date], is_assessed_only: bool
) -> None:
    """One assessment at the referral and one a year later while it stays open; only the first under RC8, RC9."""
    (opened, closed), (first, last) = life, census
    shortest, longest = _ASSESSMENT_DAYS
    start = opened
    while start <= last and (start < closed or start == opened):
        end = min(closed, start + timedelta(shortest + draw % (longest - shortest + 1)))
        if is_assessed_only:
            end = closed
        if first <= end <= last:
            factors = [] if is_assessed_only else _factors(draw + start.toordinal(), last.year)
            factors = factors or [_NO_FACTOR]
            referral.assessments.append((start.isoformat(), end.isoformat(), factors))
        elif end > last:
            referral.assessments.append((start.isoformat(), None, []))
        if is_assessed_only:
            return
        start += timedelta(_REASSESSED_AFTER_DAYS)


def _factors(draw: int, census_year: int) -> list[str]:
    """Factors of an assessment: each by its own share, from the digits of a number mixed with its place."""
    return [
        code
        for place, (code, since, until, share) in enumerate(_FACTORS)
        if since <= census_year <= until
        and ((draw ^ (place + 1) * 0x9E3779B1) * 0x85EBCA6B & 0xFFFFFFFF) * 1000 >> 32 < share
    ]


class _XmlCensus:
    """A census as the XML that LAs send."""

    def __init__(self, folder: Path, la: str, year: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out = (folder / f"CIN_{year}.xml").open("w", encoding="utf-8", newline="\n")
        self._year, self._in_child = year, False
        _write_header(self._out, la, year)

    def child(self, child: _Row) -> None:
        self._end_child()
        _write_child(self._out, child, self._year)
        self._in_child = True

    def referral(self, referral: _Referral) -> None:
        _write_referral(self._out, referral)

    def close(self) -> None:
        self._end_child()
        self._out.write("</Children>\n</Message>\n")
        self._out.close()

    def _end_child(self) -> None:
        self._out.write("</Child>\n" if self._in_child else "")
        self._in_child = False


_TABLES = {
    "Header": ("Collection", "Year", "ReferenceDate", "SourceLevel", "LEA", "SoftwareCode"),
    "Child": (
        "Ethnicity",
        "LAchildID",
        "UPN",
        "UPNunknown",
        "PersonBirthDate",
        "ExpectedPersonBirthDate",
        "GenderCurrent",
        "Sex",
        "Child_XML_ID",
        "ChildCharacteristics_ID",
    ),
    "Disability": ("ChildCharacteristics_ID", "Disability"),
    "CINdetails": (
        "CINdetails_ID",
        "CINreferralDate",
        "ReferralSource",
        "PrimaryNeedCode",
        "CINclosureDate",
        "ReasonForClosure",
        "DateOfInitialCPC",
        "ReferralNFA",
        "Child_XML_ID",
    ),
    "Assessments": (
        "Assessments_ID",
        "AssessmentActualStartDate",
        "AssessmentInternalReviewDate",
        "AssessmentAuthorisationDate",
        "CINdetails_ID",
    ),
    "AssessmentFactors": ("AssessmentFactors", "Assessments_ID"),
    "CINPlanDates": ("CINPlanStartDate", "CINPlanEndDate", "CINPlan_ID", "CINdetails_ID"),
    "Section47": (
        "S47ActualStartDate",
        "InitialCPCtarget",
        "DateOfInitialCPC",
        "ICPCnotRequired",
        "Section47_ID",
        "CINdetails_ID",
    ),
    "ChildProtectionPlans": (
        "ChildProtectionPlans_ID",
        "CPPstartDate",
        "CPPendDate",
        "InitialCategoryOfAbuse",
        "LatestCategoryOfAbuse",
        "NumberOfPreviousCPP",
        "CINdetails_ID",
    ),
    "Reviews": ("Review_ID", "CPPreviewDate", "ChildProtectionPlans_ID"),
}


class _FlatCensus:
    """A census as flat tables that are linked by ids, counted through the whole census."""

    def __init__(self, folder: Path, la: str, year: int) -> None:
        place = folder / f"CIN_{year}"
        place.mkdir(parents=True, exist_ok=True)
        self._year, self._ids = year, count(1)
        self._child_id = self._details_id = 0
        self._files = ExitStack()
        self._writers: dict[str, Any] = {}
        for name, columns in _TABLES.items():
            handle = self._files.enter_context((place / f"{name}.csv").open("w", encoding="utf-8", newline=""))
            self._writers[name] = csv.writer(handle, lineterminator="\n")
            self._writers[name].writerow(columns)
        self._write("Header", "CIN", year, _uk(f"{year:04d}-03-31"), "L", la, "synthetic")

    def _write(self, table: str, *values: object) -> None:
        self._writers[table].writerow(values)

    def child(self, child: _Row) -> None:
        child_id, upn, *_, ethnicity, disability = child
        born, unknown, gender = _identity(child, self._year)
        births = (None, _uk(born)) if child[4] else (_uk(born), None)
        sexes = (None, gender) if self._year >= _SEX_FROM else (gender, None)
        self._child_id, characteristics = next(self._ids), next(self._ids)
        ids = (self._child_id, characteristics)
        self._write("Child", ethnicity, child_id, upn, None if upn else unknown, *births, *sexes, *ids)
        for code in _disabilities(disability):
            self._write("Disability", characteristics, code)

    def referral(self, referral: _Referral) -> None:
        started, source, need, closed, reason, nfa = referral.items
        details = next(self._ids)
        dates = (_uk(closed), reason, _uk(referral.moved_in_with))
        self._write("CINdetails", details, _uk(started), source, need, *dates, nfa, self._child_id)
        for start, end, factors in referral.assessments:
            own = next(self._ids)
            self._write("Assessments", own, _uk(start), None, _uk(end), details)
            for factor in factors:
                self._write("AssessmentFactors", factor, own)
        for start, end in referral.cin_plans:
            self._write("CINPlanDates", _uk(start), _uk(end), next(self._ids), details)
        for asked, due, conference, is_not_required in referral.enquiries:
            needs = (_uk(asked), _uk(due), _uk(conference), str(is_not_required).lower())
            self._write("Section47", *needs, next(self._ids), details)
        for (start, end, category, previous), reviews in zip(referral.cpps, referral.reviews, strict=True):
            own = next(self._ids)
            kinds = (category, category, previous)
            self._write("ChildProtectionPlans", own, _uk(start), _uk(end), *kinds, details)
            for review in reviews:
                self._write("Reviews", next(self._ids), _uk(review), own)

    def close(self) -> None:
        self._files.close()


def _uk(day: str | None) -> str | None:
    return None if day is None else date.fromisoformat(day).strftime("%d/%m/%Y")


def _write_header(out: TextIO, la: str, year: int) -> None:
    out.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<Message>\n<Header>\n<CollectionDetails>'
        f"<Collection>CIN</Collection><Year>{year}</Year><ReferenceDate>{year:04d}-03-31</ReferenceDate>"
        "</CollectionDetails>\n<Source><SourceLevel>L</SourceLevel>"
        f"<LEA>{la}</LEA><SoftwareCode>synthetic</SoftwareCode><Release>1</Release>"
        f"<SerialNo>001</SerialNo><DateTime>{year:04d}-05-31T12:00:00</DateTime></Source>\n</Header>\n"
        "<Children>\n"
    )


def _identity(child: _Row, year: int) -> tuple[str | None, str, str | None]:
    """Birth date, reason for having no UPN, and gender in the codes of the year."""
    _, _, birth_year, birth_month, is_expected, gender, _, _ = child
    birth = _birth(birth_year, birth_month)
    birth_date = f"{birth[0]:04d}-{birth[1]:02d}-{BIRTH_DAY}" if birth else None
    is_young = is_expected or birth is None or year - birth[0] < 6
    return birth_date, "UN1" if is_young else "UN6", _gender(gender, year)


def _disabilities(disability: str | None) -> list[str]:
    flags = {"0": ["NONE"], "1": ["DDA"]}
    codes = flags.get(disability or "", (disability or "").split(","))
    return [code.strip() for code in codes if code.strip()]


def _write_child(out: TextIO, child: _Row, year: int) -> None:
    child_id, upn, _, _, is_expected, _, ethnicity, disability = child
    birth_date, unknown, gender = _identity(child, year)
    out.write(
        "<Child>\n<ChildIdentifiers>"
        + _leaf("LAchildID", child_id)
        + (_leaf("UPN", upn) or _leaf("UPNunknown", unknown))
        + _leaf("ExpectedPersonBirthDate" if is_expected else "PersonBirthDate", birth_date)
        + _leaf("Sex" if year >= _SEX_FROM else "GenderCurrent", gender)
        + "</ChildIdentifiers>\n<ChildCharacteristics>"
        + _leaf("Ethnicity", ethnicity)
    )
    leaves = "".join(_leaf("Disability", code) for code in _disabilities(disability))
    out.write(f"<Disabilities>{leaves}</Disabilities>" if leaves else "")
    out.write("</ChildCharacteristics>\n")


def _write_referral(out: TextIO, referral: _Referral) -> None:
    names = (
        "CINreferralDate",
        "ReferralSource",
        "PrimaryNeedCode",
        "CINclosureDate",
        "ReasonForClosure",
        "DateOfInitialCPC",
    )
    *values, nfa = referral.items
    out.write("<CINdetails>" + "".join(map(_leaf, names, [*values, referral.moved_in_with])))
    for start, end, factors in referral.assessments:
        codes = "".join(_leaf("AssessmentFactors", code) for code in factors)
        out.write(
            "<Assessments>"
            + _leaf("AssessmentActualStartDate", start)
            + _leaf("AssessmentAuthorisationDate", end)
            + (f"<FactorsIdentifiedAtAssessment>{codes}</FactorsIdentifiedAtAssessment>" if codes else "")
            + "</Assessments>"
        )
    for start, end in referral.cin_plans:
        out.write(
            "<CINPlanDates>" + _leaf("CINPlanStartDate", start) + _leaf("CINPlanEndDate", end) + "</CINPlanDates>"
        )
    for asked, due, conference, is_not_required in referral.enquiries:
        out.write(
            "<Section47>"
            + _leaf("S47ActualStartDate", asked)
            + _leaf("InitialCPCtarget", due)
            + _leaf("DateOfInitialCPC", conference)
            + _leaf("ICPCnotRequired", str(is_not_required).lower())
            + "</Section47>"
        )
    out.write(_leaf("ReferralNFA", nfa))
    for (start, end, category, previous), reviews in zip(referral.cpps, referral.reviews, strict=True):
        days = "".join(_leaf("CPPreviewDate", review) for review in reviews)
        out.write(
            "<ChildProtectionPlans>"
            + _leaf("CPPstartDate", start)
            + _leaf("CPPendDate", end)
            + _leaf("InitialCategoryOfAbuse", category)
            + _leaf("LatestCategoryOfAbuse", category)
            + _leaf("NumberOfPreviousCPP", previous)
            + (f"<Reviews>{days}</Reviews>" if days else "")
            + "</ChildProtectionPlans>"
        )
    out.write("</CINdetails>\n")


def _leaf(name: str, value: object) -> str:
    """An element, or nothing for a missing value (an empty element would say something was there)."""
    if value is None or value == "":
        return ""
    return f"<{name}>{escape(str(value).translate(_NOT_XML))}</{name}>"


def _gender(value: str | None, year: int) -> str | None:
    """Gender in the codes of the return year; a value that is no code as it is."""
    if value is None:
        return None
    codes = _GENDER.get(value.strip().upper())
    return value if codes is None else codes[year >= _SEX_FROM]


def _birth(year: int | None, month: int | None) -> tuple[int, int] | None:
    return None if year is None or month is None else (year, month)


def _write_ssda903(con: duckdb.DuckDBPyConnection, folder: Path, written: WrittenReturns) -> None:
    sets = con.execute(
        "select la_code, return_year from cla_episodes union select la_code, return_year from cla_children order by all"
    ).fetchall()
    # A file without rows has its header all the same.
    for la, year in sets:
        place = folder / la / "ssda903"
        place.mkdir(parents=True, exist_ok=True)
        for name, kind in (("episodes", EPISODES), ("header", HEADER), ("uasc", UASC)):
            (place / f"{year}-{name}.csv").write_text(",".join(FILES[kind]) + "\n", encoding="utf-8", newline="\n")
        (place / f"{year}-ad1.csv").write_text("\n", encoding="utf-8", newline="\n")
    written.ssda903_sets = len(sets)
    episodes = _batches(
        con,
        "select la_code, return_year, la_child_id, strftime(episode_start_date, '%d/%m/%Y'), "
        "reason_for_new_episode, legal_status, category_of_need, placement, "
        "strftime(episode_end_date, '%d/%m/%Y'), reason_episode_ceased from cla_episodes "
        "order by la_code, return_year, la_child_id, episode_start_date, episode_end_date, "
        "reason_for_new_episode, legal_status, category_of_need, placement, reason_episode_ceased",
    )

    def episode_lines() -> Iterator[tuple[_Row, str, list[Any]]]:
        for la, year, child, start, rne, status, need, placement, end, reason in episodes:
            written.episodes += 1
            line = [child, start, rne, status, need, placement, None, end, reason, *[None] * 4]
            yield (la, year), "episodes", line

    _append(folder, episode_lines())
    children = _batches(
        con,
        "select distinct la_code, return_year, la_child_id, upn, birth_year, birth_month, gender, "
        "ethnicity, coalesce(lower(trim(uasc_status)) in ('1', 'true', 'y', 'yes'), false) "
        "from cla_children order by all",
    )

    def child_lines() -> Iterator[tuple[_Row, str, list[Any]]]:
        for la, year, child, upn, birth_year, birth_month, gender, ethnicity, is_uasc in children:
            written.looked_after += 1
            birth = _birth(birth_year, birth_month)
            born = f"{BIRTH_DAY}/{birth[1]:02d}/{birth[0]:04d}" if birth else None
            sex = _gender(gender, year)
            unknown = "UN1" if birth is None or year - birth[0] < 6 else "UN5"
            yield (la, year), "header", [child, sex, born, ethnicity, upn or unknown, None, None]
            if is_uasc:
                yield (la, year), "uasc", [child, sex, born, None]

    _append(folder, child_lines())


def _append(folder: Path, lines: Iterator[tuple[_Row, str, list[Any]]]) -> None:
    """Add lines to the files of their sets; the lines come set by set."""
    current: _Row | None = None
    writers: dict[str, Any] = {}
    with ExitStack() as stack:
        for place, name, line in lines:
            if place != current:
                stack.close()
                writers.clear()
                current = place
            if name not in writers:
                la, year = place
                path = folder / la / "ssda903" / f"{year}-{name}.csv"
                handle = stack.enter_context(path.open("a", encoding="utf-8", newline=""))
                writers[name] = csv.writer(handle, lineterminator="\n")
            writers[name].writerow(line)
