"""CIN census as flat tables ("blades"): the same rows as from the XML of the return.

A blade is one table of a return as a CSV file, as the collection system and validators lay it out: a column
per element of a group, and columns that link a row to the group above it. The link is an id (of the row
above, counted within the file or within the child) or the natural keys, LAchildID and dates. A file is known
by its header, not by its name. What an item becomes stands in :mod:`sfpc.landing.cin_xml`.
Source: docs/raw_data.md A.2 and A.8.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.cin_xml import (
    ASSESSMENT,
    CHUNK_ROWS,
    CIN_PLAN,
    CPP,
    NO_PLAN,
    NO_REFERRAL,
    NOT_LOADED,
    REFERRAL,
    SECTION47,
    Row,
    Tally,
    census_year,
    child_values,
    frame_of,
)
from sfpc.landing.la_register import UnknownLa, la_register
from sfpc.landing.layout import CIN_ASSESSMENTS, CIN_RECORDS, CIN_REVIEWS, CIN_SECTION47, TABLES
from sfpc.landing.pseudonym import is_identifying
from sfpc.landing.text import Delimited, find_header, rows
from sfpc.progress import say

HEADER = "Header"
CHILD = "Child"
IDENTIFIERS = "ChildIdentifiers"
CHARACTERISTICS = "ChildCharacteristics"
DISABILITIES = "Disabilities"
DETAILS = "CINdetails"
ASSESSMENTS = "Assessments"
FACTORS = "AssessmentFactors"
ENQUIRIES = "Section47"
CIN_PLANS = "CINPlanDates"
CPPS = "ChildProtectionPlans"
REVIEWS = "Reviews"
PRE_PROCEEDINGS = "PreProceedingsandFGDM"


@dataclass(frozen=True)
class _Kind:
    """One table of a return.

    items: what the census calls the values it may hold. known_by: those that a header must have. table:
    the landing table that its rows come to stand in. above: the kind that its rows hang on. own_id, date:
    what names one of its rows, for the rows that hang on it.
    """

    items: tuple[str, ...]
    known_by: tuple[str, ...]
    table: str = CIN_RECORDS.name
    above: str | None = CHILD
    own_id: str | None = None
    date: str | None = None


_BIRTHS = ("UPN", "PersonBirthDate", "ExpectedPersonBirthDate", "GenderCurrent", "Sex", *NOT_LOADED[IDENTIFIERS])

# In the order in which a header is tried: two tables hold AssessmentFactors, the dates tell them apart.
_KINDS = {
    REVIEWS: _Kind(("CPPreviewDate",), ("CPPreviewDate",), CIN_REVIEWS.name, CPPS),
    CPPS: _Kind(
        (*CPP, *NOT_LOADED[CPPS]), ("CPPstartDate", "CPPendDate"), CIN_RECORDS.name, DETAILS, "cpp", "CPPstartDate"
    ),
    CIN_PLANS: _Kind(tuple(CIN_PLAN), ("CINPlanStartDate",), CIN_RECORDS.name, DETAILS),
    ENQUIRIES: _Kind((*SECTION47, *NOT_LOADED[ENQUIRIES]), ("S47ActualStartDate",), CIN_SECTION47.name, DETAILS),
    ASSESSMENTS: _Kind(
        (*ASSESSMENT, "AssessmentFactors", *NOT_LOADED[ASSESSMENTS]),
        ("AssessmentActualStartDate", "AssessmentAuthorisationDate"),
        CIN_ASSESSMENTS.name,
        DETAILS,
        "assessment",
        "AssessmentActualStartDate",
    ),
    FACTORS: _Kind(("AssessmentFactors",), ("AssessmentFactors",), CIN_ASSESSMENTS.name, ASSESSMENTS),
    PRE_PROCEEDINGS: _Kind(NOT_LOADED[PRE_PROCEEDINGS], ("PPStartDate", "PPOutcome"), above=None),
    DETAILS: _Kind(
        (*REFERRAL, "DateOfInitialCPC"), ("CINreferralDate", "CINclosureDate"), own_id="details", date="CINreferralDate"
    ),
    DISABILITIES: _Kind(("Disability",), ("Disability",)),
    CHILD: _Kind((*_BIRTHS, "Ethnicity"), ("LAchildID", "PersonBirthDate", "Ethnicity"), above=None),
    IDENTIFIERS: _Kind(_BIRTHS, ("LAchildID", "PersonBirthDate"), above=None),
    CHARACTERISTICS: _Kind(("Ethnicity",), ("Ethnicity",)),
    HEADER: _Kind(("Collection", "ReferenceDate", "LEA", *NOT_LOADED[HEADER]), ("LEA", "ReferenceDate"), above=None),
}
_LISTS = (CHARACTERISTICS, DISABILITIES)

# Names are compared in upper case without underscores: CINdetails_ID is CINdetailsID.
_IDS = {
    "LACHILDID": "LAchildID",
    "CHILDXMLID": "child",
    "CHILDCHARACTERISTICSID": "characteristics",
    "CINDETAILSID": "details",
    "CINDETAILID": "details",
    "ASSESSMENTSID": "assessment",
    "ASSESSMENTID": "assessment",
    "CHILDPROTECTIONPLANSID": "cpp",
    "CHILDPROTECTIONPLANID": "cpp",
    "CPPID": "cpp",
}
_DATES = ("CINreferralDate", "AssessmentActualStartDate", "CPPstartDate")
_KEYS = _IDS | {name.upper(): name for name in _DATES}
# Ids of rows that nothing hangs on.
_IDLE = frozenset(
    ("SECTION47ID", "REVIEWID", "REVIEWSID", "CINPLANID", "CINPLANDATESID", "DISABILITIESID", "DISABILITYID")
)
_ITEMS = {item.upper(): item for kind in _KINDS.values() for item in kind.items}
_ITEMS["ASSESSMENTFACTOR"] = "AssessmentFactors"
_LA_COLUMN, _YEAR_COLUMN = "LA", "YEAR"
_SOURCE = {"LA": _LA_COLUMN, "LACODE": _LA_COLUMN, "LEA": _LA_COLUMN, "YEAR": _YEAR_COLUMN, "RETURNYEAR": _YEAR_COLUMN}
_UNUSED = frozenset(name for names in NOT_LOADED.values() for name in names)

_LA_CODE = re.compile(r"[0-9]{3}")
_ONE_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_TWO_YEARS = re.compile(r"((?:19|20)[0-9]{2}) ?[-/_] ?((?:19|20)?[0-9]{2})")
_UK_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
# A list of codes may stand in one cell, as software writes lists: ['1A', '2B'].
_BETWEEN_CODES = re.compile(r"[\[\]'\",;\s]+")


@dataclass(frozen=True)
class Blade:
    """A CSV file that is one table of a CIN return.

    kind: which table, by the name of its group. columns: names in the file (upper case) by what they hold:
    an item of the census, a link (an id or a date), LA or YEAR. unknown: the other columns.
    """

    kind: str
    file: Delimited
    columns: Mapping[str, str]
    unknown: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def table(self) -> str:
        """The landing table that its rows come to stand in."""
        return _KINDS[self.kind].table


def identify_blade(path: Path) -> Blade | None:
    """Tell which table of a CIN return a CSV file is by the set of its column names; None when it is none.

    Order and case of the names do not matter, nor underscores. A table may lack items and may hold columns
    that nobody knows; a file that holds items of two groups is no blade.

    Raises InputError where a blade repeats a column, or holds one whose name says that it identifies a
    person (DP.1).
    """
    file = find_header(path, lambda names: _kind_of(names) is not None)
    kind = _kind_of(file.columns) if file.header_row else None
    if kind is None:
        return None
    columns: dict[str, str] = {}
    unknown: list[str] = []
    for name in filter(None, file.columns):
        meaning = _meaning(name, kind)
        if meaning is not None and meaning in columns:
            raise InputError(f"holds the same as column {columns[meaning]}; one is expected", file=path, column=name)
        if meaning is not None:
            columns[meaning] = name
        elif is_identifying(name):
            raise InputError(
                "this column identifies a person and is not part of the return; nothing of the file is loaded (DP.1)",
                file=path,
                column=name,
            )
        elif _plain(name) not in _IDLE:
            unknown.append(name)
    return Blade(kind, file, columns, tuple(unknown))


def _plain(name: str) -> str:
    return name.upper().replace("_", "").replace(" ", "")


def _meaning(name: str, kind: str) -> str | None:
    """What a column of this kind of table holds; None where the census does not have it."""
    plain = _plain(name)
    item = _ITEMS.get(plain)
    if item in _KINDS[kind].items:
        return item
    return _KEYS.get(plain) or _SOURCE.get(plain)


def _kind_of(names: Sequence[str]) -> str | None:
    plain = {_plain(name) for name in names if name}
    items = {_ITEMS[name] for name in plain if name in _ITEMS} - set(_DATES) - {"LEA", "Year"}
    has_id = not plain.isdisjoint(_IDS)
    for name, kind in _KINDS.items():
        known = {_meaning(column, name) for column in plain}
        if known >= set(kind.known_by) and items <= set(kind.items) and (has_id or name == HEADER):
            return name
    return None


def stated_source(blade: Blade) -> tuple[str | None, int | None]:
    """LA code and return year that a blade states itself; None where it does not.

    The table Header states LEA and ReferenceDate, and the year is told as in the XML
    (:func:`sfpc.landing.cin_xml.census_year`); any other may have columns LA and Year, where the year is the
    one that ends on 31 March (2022, 2021/22). An LA may be a three-digit code, an ONS code or a name, which are
    looked up in the register (:mod:`sfpc.landing.la_register`).

    Raises InputError (row, column): an LA that the register does not know, a year that is none, two different
    ones in one file.
    """
    is_header = blade.kind == HEADER
    meanings = ("LEA", "ReferenceDate") if is_header else (_LA_COLUMN, _YEAR_COLUMN)
    wanted = [blade.columns[meaning] for meaning in meanings if meaning in blade.columns]
    found: dict[str, tuple[int, str]] = {}
    for number, values in rows(blade.file, wanted) if wanted else ():
        for column, value in zip(wanted, values, strict=True):
            if value is not None and found.setdefault(column, (number, value))[1] != value:
                raise InputError(
                    "a second value; split this file into one per LA and year",
                    file=blade.path,
                    row=number,
                    column=column,
                )
    la_column, year_column = (blade.columns.get(meaning, "") for meaning in meanings)
    number, text = found.get(year_column, (0, None))
    if is_header:
        year = census_year(text and _UK_DATE.sub(r"\3-\2-\1", text))
    else:
        year = None if text is None else _return_year(text, blade, number, year_column)
    number, la = found.get(la_column, (0, None))
    if la is not None and not _LA_CODE.fullmatch(la):
        try:
            la = la_register().code_of(la, year)
        except UnknownLa as error:
            raise InputError(error.problem, file=blade.path, row=number, column=la_column) from error
    return la, year


def _return_year(text: str, blade: Blade, number: int, column: str) -> int:
    if _ONE_YEAR.fullmatch(text):
        return int(text)
    both = _TWO_YEARS.fullmatch(text)
    year = int(both[1]) + 1 if both else 0
    if both is None or not str(year).endswith(both[2]):
        raise InputError(
            "expected the year that ends on 31 March, like 2022 or 2021/22", file=blade.path, row=number, column=column
        )
    return year


@dataclass(frozen=True)
class BladeSet:
    """The tables of one return: of one LA and year, one of each kind.

    Raises InputError when a kind is there twice, or the tables of children and of referrals are not there.
    """

    la_code: str
    return_year: int
    blades: tuple[Blade, ...]

    def __post_init__(self) -> None:
        kinds = self.by_kind
        about = f"of LA {self.la_code} and {self.return_year}"
        for blade in self.blades:
            if kinds[blade.kind] is not blade:
                raise InputError(
                    f"a second table {blade.kind} {about}, beside {kinds[blade.kind].path}; a return has one",
                    file=blade.path,
                )
        if CHILD in kinds and (more := kinds.get(IDENTIFIERS) or kinds.get(CHARACTERISTICS)):
            raise InputError(f"says the same {about} as {kinds[CHILD].path}; one of them is enough", file=more.path)
        missing = [IDENTIFIERS] * (CHILD not in kinds and IDENTIFIERS not in kinds) + [DETAILS] * (DETAILS not in kinds)
        if missing:
            raise InputError(
                f"a table {self.blades[0].kind} {about} without {' and '.join(missing)} in the same folder: its rows "
                "would hang on nothing",
                file=self.blades[0].path,
            )

    @property
    def by_kind(self) -> dict[str, Blade]:
        """The first blade of each kind."""
        return {blade.kind: blade for blade in reversed(self.blades)}


def read_blades(
    found: BladeSet,
    key: bytes,
    *,
    chunk_rows: int = CHUNK_ROWS,
    note: Callable[[str], None] = say,
    tally: Tally | None = None,
) -> Iterator[tuple[str, Path, str, pd.DataFrame]]:
    """Text rows of one return: landing table, file, date format (of the gate) and a chunk of rows.

    Columns and rows are those of :func:`sfpc.landing.cin_xml.read_cin_xml`. ``source_row`` is the row of the
    blade, header included, that the landing row stands for: the plan's where there is one, else that of
    CINdetails, else the child's. The conference of a child moving in stands for its CINdetails; an
    assessment that a file repeats for every factor for the first of its rows.

    A row that finds no row to hang on, or several that say different things, is handed over without a
    referral date, with everything that hangs on it: the gate sets it aside. So is a row of factors,
    disabilities or characteristics.

    Dates are YYYY-MM-DD or dd/mm/yyyy, the form of the first referral date for the whole return; any other
    form is the gate's to set aside. The tables of one return are held in memory.

    Parameters
    ----------
    key: key of the pupil pseudonyms. note: takes lines about rows that hang on nothing, unknown columns and
        tables that are not there. tally: counts values that became no part of a row.

    Raises InputError: a table that has no columns to link it, a damaged file (row). Rows may have been
    handed out by then: commit only when the reader is through.
    """
    reader = _Reader(found, key)
    for kind, table, lines in reader.landing_rows():
        path, layout = found.by_kind[kind].path, TABLES[table]
        for start in range(0, len(lines), chunk_rows):
            part = lines[start : start + chunk_rows]
            frame = frame_of(layout, [row for _, row in part], [number for number, _ in part])
            yield table, path, reader.date_format, frame
    for kind, count in reader.lost.items():
        note(
            f"{found.by_kind[kind].path}: {count:,} rows hang on no row of the return, or on several that differ; "
            "set aside"
        )
    for blade in found.blades:
        for text in blade.file.notes:
            note(f"{blade.path}: {text}")
        if blade.unknown:
            note(f"{blade.path}: columns that the census does not have, not loaded: {', '.join(blade.unknown)}")
    optional = (DISABILITIES, ASSESSMENTS, ENQUIRIES, CIN_PLANS, CPPS, REVIEWS)
    if absent := [kind for kind in optional if kind not in found.by_kind]:
        note(f"{found.by_kind[DETAILS].path}: no table {', '.join(absent)} beside it for {found.return_year}")
    if tally is not None:
        tally.add(reader.tally)


@dataclass(slots=True)
class _Line:
    """A row of a blade: its number, what it links by (with what it takes over from above), its values.

    codes: disabilities of a child, factors of an assessment. is_lost: it, or one above it, hangs on nothing.
    has_rows: something hangs on it, so that it needs no landing row of its own. front: what it tells of its
    child, once asked.
    """

    number: int
    keys: dict[str, str]
    values: dict[str, str]
    codes: list[str]
    above: _Line | None = None
    is_lost: bool = False
    has_rows: bool = False
    front: Row | None = None


class _Reader:
    """The tables of one return, linked."""

    def __init__(self, found: BladeSet, key: bytes) -> None:
        self._blades, self._key = found.by_kind, key
        self._source: Row = (str(found.return_year), found.la_code)
        self._children = CHILD if CHILD in self._blades else IDENTIFIERS
        self.tally = Tally()
        self.lost: Counter[str] = Counter()
        self._lines = {kind: list(self._read(blade)) for kind, blade in self._blades.items()}
        first = next((day for line in self._lines[DETAILS] if (day := line.values.get("CINreferralDate"))), "")
        self.date_format = "uk" if "/" in first else "iso"
        if FACTORS not in self._blades and ASSESSMENTS in self._blades:
            self._lines[ASSESSMENTS] = _one_per_assessment(self._lines[ASSESSMENTS])
        # From the top down, so that keys are handed on.
        for kind in (*_LISTS, DETAILS, ASSESSMENTS, ENQUIRIES, CIN_PLANS, CPPS, FACTORS, REVIEWS):
            if kind in self._lines:
                self._hang(kind)

    def _read(self, blade: Blade) -> Iterator[_Line]:
        items = _KINDS[blade.kind].items
        meanings = list(blade.columns)
        for number, row in rows(blade.file, list(blade.columns.values())):
            given = {meaning: value for meaning, value in zip(meanings, row, strict=True) if value is not None}
            keys = {name: given[name] for name in _KEY_NAMES & given.keys()}
            values = {name: given[name] for name in items if name in given}
            for name in _UNUSED & values.keys():
                self.tally.not_loaded[name] += 1
                del values[name]
            yield _Line(number, keys, values, [])

    def _hang(self, kind: str) -> None:
        rule = _KINDS[kind]
        above = self._children if rule.above == CHILD else str(rule.above)
        parents = self._lines.get(above, [])
        link = self._link(kind, above) if above in self._blades else []
        index: dict[tuple[str | None, ...], list[_Line]] = defaultdict(list)
        for parent in parents:
            index[tuple(parent.keys.get(name) for name in link)].append(parent)
        for line in self._lines[kind]:
            key = tuple(line.keys.get(name) for name in link)
            candidates = index.get(key, []) if key and None not in key else []
            if not candidates or (len(candidates) > 1 and self._is_riddle(kind, candidates)):
                line.is_lost = True
                self.lost[kind] += 1
                continue
            parent = line.above = candidates[0]
            line.is_lost = parent.is_lost
            if rule.own_id is not None:
                line.keys = parent.keys | line.keys
            if kind == FACTORS:
                parent.codes += _codes(line.values.get("AssessmentFactors"))
            for twin in candidates:
                if kind in _LISTS:
                    self._add_to_child(twin, line)
                twin.has_rows |= kind == DETAILS or any(_plan(kind, line))

    def _add_to_child(self, child: _Line, line: _Line) -> None:
        if "Disability" in line.values:
            child.codes.append(line.values["Disability"])
        ethnicity = line.values.get("Ethnicity")
        if ethnicity is not None and child.values.setdefault("Ethnicity", ethnicity) != ethnicity:
            self.tally.repeated["Ethnicity"] += 1

    def _offered(self, kind: str) -> set[str]:
        """Keys that the rows of a table have, their own and those of the rows above."""
        if kind not in self._blades:
            return set()
        above = _KINDS[kind].above
        own = set(_KEY_NAMES & self._blades[kind].columns.keys())
        return own | (self._offered(self._children if above == CHILD else above) if above else set())

    def _link(self, kind: str, above: str) -> list[str]:
        """The columns by which a table hangs on the one above it: ids where both have one, else dates."""
        offered = self._offered(above)
        shared = [n for n in self._blades[kind].columns if n in offered and n != _KINDS[kind].own_id]
        ids = [name for name in shared if name not in _DATES]
        parent = _KINDS[above]
        if parent.own_id in ids or (parent.own_id is None and ids):
            return ids
        if parent.date in shared and ids:
            return shared
        accepted = f"an id of {above}, or LAchildID with {parent.date}" if parent.own_id else "LAchildID"
        raise InputError(
            f"no column links this table {kind} to {self._blades[above].path.name}: expected {accepted} in both",
            file=self._blades[kind].path,
        )

    def _is_riddle(self, kind: str, parents: list[_Line]) -> bool:
        """Whether it makes a difference on which of several rows with the same keys a row hangs."""
        meant: set[object]
        if kind in _LISTS:
            return False
        if kind == FACTORS:
            return True
        if kind == DETAILS:
            meant = {self._front(parent) for parent in parents}
        elif kind in (CIN_PLANS, CPPS):
            meant = {self._before(parent) for parent in parents}
        else:
            names = ("LAchildID", "CINreferralDate", "CPPstartDate")
            meant = {(parent.is_lost, *map(parent.keys.get, names)) for parent in parents}
        return len(meant) > 1

    def _front(self, child: _Line) -> Row:
        if child.front is None:
            about = child_values(child.values | child.keys, child.codes, self._key, self.date_format)
            child.front = self._source + about
        return child.front

    def _before(self, details: _Line) -> Row:
        """The part of a ``cin_records`` row that a CINdetails tells, its child included."""
        if details.above is None:
            front = self._source + child_values(details.keys, [], self._key, self.date_format)
        else:
            front = self._front(details.above)
        referral = [details.values.get(name) for name in REFERRAL]
        if details.is_lost:
            referral[_REFERRAL_DATE] = None
        return (*front, *referral)

    def landing_rows(self) -> Iterator[tuple[str, str, list[tuple[int, Row]]]]:
        """Kind of blade, landing table, and number and values of every row, blade by blade."""
        for kind, lines in self._lines.items():
            records = [(line.number, row) for line in lines if (row := self._record(kind, line)) is not None]
            if records:
                yield kind, CIN_RECORDS.name, records
            events = [(line.number, row) for line in lines if (row := self._event(kind, line)) is not None]
            if events:
                yield kind, CIN_SECTION47.name if kind == DETAILS else _KINDS[kind].table, events

    def _record(self, kind: str, line: _Line) -> Row | None:
        """The row of ``cin_records`` that a row of a blade stands for."""
        if kind in (CIN_PLANS, CPPS):
            plan = _plan(kind, line)
            if not any(plan):
                self.tally.empty[kind] += 1
                return None
            return (self._before(line.above) if line.above else self._before(line)) + plan
        if kind == DETAILS and not line.has_rows:
            return self._before(line) + NO_PLAN
        if kind == self._children and not line.has_rows:
            return self._front(line) + NO_REFERRAL + NO_PLAN
        if kind in _LISTS and line.above is None:
            codes = [line.values["Disability"]] if "Disability" in line.values else []
            about = child_values(line.values | line.keys, codes, self._key, self.date_format)
            return self._source + about + NO_REFERRAL + NO_PLAN
        return None

    def _event(self, kind: str, line: _Line) -> Row | None:
        """The row of another landing table that a row of a blade stands for."""
        given = line.values.get
        content: Row
        if kind == ASSESSMENTS:
            content = (*(given(name) for name in ASSESSMENT), ",".join(line.codes) or None)
        elif kind == FACTORS and line.above is None:
            content = (line.keys.get("AssessmentActualStartDate"), None, given("AssessmentFactors"))
        elif kind == ENQUIRIES:
            content = tuple(given(name) for name in SECTION47)
        elif kind == DETAILS and "DateOfInitialCPC" in line.values:
            content = (None, given("DateOfInitialCPC"))
        elif kind == REVIEWS and "CPPreviewDate" in line.values:
            start = line.above.values.get("CPPstartDate") if line.above else line.keys.get("CPPstartDate")
            content = (start, given("CPPreviewDate"))
        else:
            return None
        if not any(content):
            self.tally.empty[kind] += 1
            return None
        keys = line.keys if line.above is None else line.above.keys | line.keys
        return (*self._source, keys.get("LAchildID"), None if line.is_lost else keys.get("CINreferralDate"), *content)


_KEY_NAMES = frozenset(_KEYS.values())
_REFERRAL_DATE = list(REFERRAL).index("CINreferralDate")


def _plan(kind: str, line: _Line) -> Row:
    cpp = [line.values.get(name) if kind == CPPS else None for name in CPP]
    return (*cpp, *(line.values.get(name) if kind == CIN_PLANS else None for name in CIN_PLAN))


def _codes(text: str | None) -> list[str]:
    return [code for code in _BETWEEN_CODES.split(text or "") if code]


def _one_per_assessment(lines: list[_Line]) -> list[_Line]:
    """Rows that differ in their one factor alone are one assessment: some software repeats it for every factor."""
    seen: dict[object, _Line] = {}
    for line in lines:
        text = line.values.pop("AssessmentFactors", None)
        line.codes += _codes(text)
        same = tuple(sorted((line.keys | line.values).items()))
        first = seen.setdefault(same if line.codes == [text] else line.number, line)
        if first is not line:
            first.codes += line.codes
    return list(seen.values())
