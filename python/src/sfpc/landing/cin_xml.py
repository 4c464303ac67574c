"""CIN census XML: one return of one LA and year becomes text rows of four landing tables.

One pass gives referrals with their plans, assessments, section 47 enquiries and reviews. The file is
streamed, so memory does not grow with it. A return holds full birth dates by design; they are reduced to
year and month here and the day goes no further (DP.1). All other dates stay the text that was sent: the
gate types them. What an element becomes stands here once; :mod:`sfpc.landing.cin_blades` reads the same
return as flat tables by the same names. Source: docs/raw_data.md, sections A.2 and A.3.
"""

from __future__ import annotations

import gc
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.declarations import DECLARES, NOT_XML, LongPrologError, declaration_row
from sfpc.landing.layout import CIN_ASSESSMENTS, CIN_RECORDS, CIN_REVIEWS, CIN_SECTION47, Table
from sfpc.landing.pseudonym import birth_month, is_identifying, pupil_pseudonym
from sfpc.progress import say

COLLECTION = "CIN"
CHUNK_ROWS = 50_000

# A child is held whole; a file that never ends one must not fill the memory. A real child has kilobytes.
_BLOCK = 1 << 16
_MOST_BYTES_PER_CHILD = 1 << 22
_MOST_ELEMENTS_OF_HEADER = 1_000

# What the census calls it, and what the landing tables call it (A.2).
REFERRAL = {
    "CINreferralDate": "referral_date",
    "ReferralSource": "referral_source",
    "PrimaryNeedCode": "primary_need",
    "ReferralNFA": "referral_nfa",
    "CINclosureDate": "closure_date",
    "ReasonForClosure": "closure_reason",
}
CPP = {
    "CPPstartDate": "cpp_start_date",
    "CPPendDate": "cpp_end_date",
    "InitialCategoryOfAbuse": "cpp_initial_category",
    "NumberOfPreviousCPP": "cpp_previous_count",
}
CIN_PLAN = {"CINPlanStartDate": "cin_plan_start_date", "CINPlanEndDate": "cin_plan_end_date"}
ASSESSMENT = {
    "AssessmentActualStartDate": "assessment_start_date",
    "AssessmentAuthorisationDate": "assessment_authorisation_date",
}
SECTION47 = {"S47ActualStartDate": "enquiry_start_date", "DateOfInitialCPC": "initial_conference_date"}
ABOUT_CHILD = ("LAchildID", "UPN", "PersonBirthDate", "ExpectedPersonBirthDate", "GenderCurrent", "Sex", "Ethnicity")

NOT_LOADED = {
    "Header": ("Year", "SourceLevel", "SoftwareCode", "Release", "SerialNo", "DateTime", "CBDSLevel"),
    "ChildIdentifiers": ("FormerUPN", "UPNunknown", "PersonDeathDate"),
    "Assessments": ("AssessmentInternalReviewDate",),
    "Section47": ("InitialCPCtarget", "ICPCnotRequired"),
    "ChildProtectionPlans": ("LatestCategoryOfAbuse",),
    "PreProceedingsandFGDM": (
        "PPStartDate",
        "LBPSentDate",
        "FGDMMeetingOffer",
        "FGDMMeetingFac",
        "InitialPPMeetingDate",
        "ReviewMeetingsCount",
        "StepDecisionDate",
        "PPOutcome",
        "CourtAppDate",
        "LetterInitCPDate",
    ),
}
"""Items that the census has and no clause needs (DP.7), by the group that holds them (2017 to 2026, A.3)."""

Row = tuple[str | None, ...]

NO_REFERRAL: Row = (None,) * len(REFERRAL)
NO_PLAN: Row = (None,) * (len(CPP) + len(CIN_PLAN))

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Header:
    """What an XML return says about itself before its first child; None where it says nothing.

    root: first element, without namespace. namespace: ``{...}`` or blank. collection: as sent (a CIN
    census says ``CIN``). la_code: Header/Source/LEA. reference_date: as sent. return_year: label of the
    census (:func:`census_year`). has_children: a Children element follows.
    """

    root: str
    namespace: str
    collection: str | None
    la_code: str | None
    reference_date: str | None
    return_year: int | None
    has_children: bool


class UnreadableXml(InputError):
    """A file that breaks before its first element: nothing tells what it was meant to be."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(f"not readable as XML ({reason})", file=path)
        self.reason = reason


def census_year(reference_date: str | None) -> int | None:
    """Label of the census (year of the 31 March on which it ends) from a ReferenceDate, or None.

    The label is the calendar year of the date. Rule 100 allows 31 March only, where this is the year
    itself; a day from January to March belongs to the census about to end; a later day breaks the rule
    and is taken for the day of export or submission (returns are sent in from 1 April on), so the
    census is the one that ended on the 31 March before. Header/Year is not used: files exist where it
    is the year in which the census began and others where it is the year in which it ended.

    None when the value is blank or not of the form YYYY-MM-DD.
    """
    if reference_date is None or not _ISO_DATE.fullmatch(reference_date):
        return None
    try:
        return date.fromisoformat(reference_date).year
    except ValueError:
        return None


def read_header(path: Path) -> Header:
    """Root element, collection, LA and year of an XML return; reads up to its first child only.

    Raises InputError when the file cannot be parsed that far, declares a document type or entities, or
    names several LAs.
    """
    _refuse_declarations(path)
    found: dict[str, list[str]] = {"Collection": [], "ReferenceDate": [], "LEA": []}
    root, has_children, elements = "", False, 0
    with _parsing(path) as events:
        for event, element in events:
            name = _local(element.tag)
            if event == "start":
                root = root or element.tag
                elements += 1
                has_children = name == "Children"
                if has_children or elements > _MOST_ELEMENTS_OF_HEADER:
                    break
            elif name in found and (text := _text(element)):
                found[name].append(text)
    codes = sorted(set(found["LEA"]))
    if len(codes) > 1:
        raise InputError(
            f"one LA code expected in Header/Source, found {', '.join(codes)}",
            file=path,
            column="LEA",
        )
    reference_date = next(iter(found["ReferenceDate"]), None)
    return Header(
        root=_local(root),
        namespace=root[: root.rfind("}") + 1],
        collection=next(iter(found["Collection"]), None),
        la_code=codes[0] if codes else None,
        reference_date=reference_date,
        return_year=census_year(reference_date),
        has_children=has_children,
    )


def why_not_cin(header: Header) -> str | None:
    """Why an XML return is no CIN census, in words; None when it is one."""
    if header.root != "Message":
        return f"a CIN census starts with the element Message, this file with {header.root}"
    if header.collection is not None and header.collection.upper() != COLLECTION:
        return f"a return of the collection {header.collection}, not {COLLECTION}"
    if header.collection is None and not header.has_children:
        return "neither a Collection in its Header nor Children: not a CIN census"
    return None


@dataclass
class Tally:
    """Values of CIN returns that became no part of a row, counted by the name of their element.

    not_loaded: the census has it, no clause needs it (DP.7). unknown: the census, as documented, does not
    have it there. repeated: another value of an item that a group has once (the first stays). empty: groups
    (by name) that hold no value of a loaded item, and so give no row.
    """

    not_loaded: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what another tally counted too."""
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs)


def counted(counts: Counter[str]) -> str:
    """Names with their counts, for a line that an analyst reads."""
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items()))


def read_cin_xml(
    path: Path,
    key: bytes,
    *,
    la_code: str | None = None,
    return_year: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
    note: Callable[[str], None] = say,
    tally: Tally | None = None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Text rows of one CIN census in one pass: name of the landing table and a chunk of its rows.

    Columns: those of the table (``layout.TABLES``) as text (dtype str, blanks are missing) and
    ``source_row`` (integer), the running number of the row within its table and file from 1. Chunks of
    several tables take turns; all of them together hold about ``chunk_rows``.

    - ``cin_records``: a row per ChildProtectionPlans and per CINPlanDates with content; one without plan
      dates for a CINdetails without either; one without a referral date for a Child without CINdetails,
      which the gate sets aside.
    - ``cin_assessments``: a row per Assessments, factor codes joined by commas.
    - ``cin_section47``: a row per Section47; and one without an enquiry for a DateOfInitialCPC of the
      CINdetails itself (a child moving in).
    - ``cin_reviews``: a row per CPPreviewDate, of however many Reviews groups.

    A group has content when one of its loaded items does. Where a single item occurs twice in its group,
    the first that is not blank counts. A birth date that is not YYYY-MM-DD puts a fixed marker into
    birth_year, for which the gate sets the row aside.

    Parameters
    ----------
    key: key of the pupil pseudonyms (:func:`sfpc.landing.pseudonym.load_key`).
    la_code, return_year: used where the Header is missing or silent; the Header goes first.
    note: takes a line naming elements that the census, as documented, does not have (not loaded), and one
        naming items that occur twice with different values.
    tally: counts what became no part of a row; complete when the reader is through.

    Raises InputError: not well-formed (line and column), a document type or entity declaration, not a
    CIN census, LA or year unknown, a Child or CINdetails where it cannot be, a Child of more than 4 MiB,
    an element whose name says that it identifies a person (DP.1). Rows of earlier chunks may have been
    handed out by then: commit only when the reader is through.
    """
    header = read_header(path)
    reason = why_not_cin(header)
    if reason is not None:
        raise InputError(reason, file=path)
    la = header.la_code or la_code
    if la is None:
        raise InputError(
            "the LA is unknown: the file has no Header/Source/LEA, and no code was given",
            file=path,
            column="LEA",
        )
    year = header.return_year or return_year
    if year is None:
        raise InputError(
            "the census year is unknown: Header/CollectionDetails has no ReferenceDate of the form "
            "YYYY-MM-DD, and no year was given",
            file=path,
            column="ReferenceDate",
        )
    own = Tally()
    yield from _chunks(path, _Rows(path, key, la, str(year), header.namespace, own), header.namespace, chunk_rows)
    if own.unknown:
        note(
            f"{path}: elements that the census, as documented, does not have there; not loaded: {counted(own.unknown)}"
        )
    if own.repeated:
        note(f"{path}: items that occur twice in their group, the first value kept: {counted(own.repeated)}")
    if tally is not None:
        tally.add(own)


def child_values(values: Mapping[str, str], disabilities: Sequence[str], key: bytes, date_format: str = "iso") -> Row:
    """What a row of ``cin_records`` says of the child, after year and LA: la_child_id to disability.

    values: text of the items of ChildIdentifiers and ChildCharacteristics by name, blanks left out.
    date_format: of the birth dates (:func:`sfpc.landing.pseudonym.birth_month`).
    A birth date makes the child born, whatever else is there; an expected one alone makes it unborn (A.5).
    """
    born, expected = values.get("PersonBirthDate"), values.get("ExpectedPersonBirthDate")
    is_expected = "0" if born else "1" if expected else None
    return (
        values.get("LAchildID"),
        pupil_pseudonym(values.get("UPN"), key),
        *birth_month(born or expected, date_format),
        is_expected,
        is_expected,
        values.get("GenderCurrent") or values.get("Sex"),
        values.get("Ethnicity"),
        ",".join(disabilities) or None,
    )


def frame_of(table: Table, rows: list[Row], source_rows: Sequence[int]) -> pd.DataFrame:
    """Rows in the order of a landing table's columns, as its reader hands them over."""
    frame = pd.DataFrame(rows, columns=table.names, dtype="str")
    frame["source_row"] = source_rows
    return frame


_TABLES = (CIN_RECORDS, CIN_ASSESSMENTS, CIN_SECTION47, CIN_REVIEWS)


class _Rows:
    """Rows of the children read since the last chunk, per landing table."""

    def __init__(self, path: Path, key: bytes, la_code: str, return_year: str, namespace: str, tally: Tally) -> None:
        def slots(names: Iterable[str], first: int = 0) -> dict[str, int]:
            return {namespace + name: slot for slot, name in enumerate(names, first)}

        self._path, self._key, self._tally = path, key, tally
        self._source: Row = (return_year, la_code)
        # Places of a group's items in its part of a row: one look-up per element.
        self._referral, self._cpp, self._cin_plan = slots(REFERRAL), slots(CPP), slots(CIN_PLAN, len(CPP))
        self._assessment, self._section47 = slots(ASSESSMENT), slots(SECTION47)
        self._about = {namespace + name: name for name in ABOUT_CHILD}
        self._not_loaded = {
            namespace + group: frozenset(namespace + name for name in names) for group, names in NOT_LOADED.items()
        }
        self._about_groups = frozenset((f"{namespace}ChildIdentifiers", f"{namespace}ChildCharacteristics"))
        self._header_groups = frozenset(namespace + n for n in ("CollectionDetails", "Source", "Content", "CBDSLevels"))
        self._header_items = frozenset(namespace + name for name in ("Collection", "ReferenceDate", "LEA"))
        self.child = f"{namespace}Child"
        self._header = f"{namespace}Header"
        self._details = f"{namespace}CINdetails"
        self._disabilities, self._disability = f"{namespace}Disabilities", f"{namespace}Disability"
        self._assessments = f"{namespace}Assessments"
        self._factors, self._factor = f"{namespace}FactorsIdentifiedAtAssessment", f"{namespace}AssessmentFactors"
        self._enquiry, self._conference = f"{namespace}Section47", f"{namespace}DateOfInitialCPC"
        self._cin_plans, self._cpps = f"{namespace}CINPlanDates", f"{namespace}ChildProtectionPlans"
        self._reviews, self._review = f"{namespace}Reviews", f"{namespace}CPPreviewDate"
        self._pre_proceedings = f"{namespace}PreProceedingsandFGDM"
        self._rows: list[list[Row]] = [[] for _ in _TABLES]
        self._records, self._assessed, self._enquiries, self._reviewed = self._rows
        self._handed_out = [0] * len(_TABLES)

    def add_child(self, child: ET.Element) -> None:
        """Rows of one finished Child."""
        values: dict[str, str] = {}
        disabilities: list[str] = []
        referrals: list[ET.Element] = []
        for group in child:
            tag = group.tag
            if tag == self._details:
                referrals.append(group)
            elif tag in self._about_groups:
                self._add_about(group, values, disabilities)
            else:
                self._set_aside(group)
        about = child_values(values, disabilities, self._key)
        front = self._source + about
        if not referrals:
            self._records.append(front + NO_REFERRAL + NO_PLAN)
        for details in referrals:
            self._add_referral(details, front, (*self._source, about[0]))

    def _add_about(self, group: ET.Element, values: dict[str, str], disabilities: list[str]) -> None:
        for item in group:
            name = self._about.get(item.tag)
            if name is not None:
                text = self._leaf(item)
                if text is not None and values.setdefault(name, text) != text:
                    self._tally.repeated[name] += 1
            elif item.tag == self._disabilities:
                disabilities += self._list(item, self._disability)
            else:
                self._no_value(item, group.tag)

    def _add_referral(self, details: ET.Element, front: Row, child: Row) -> None:
        """Rows of one CINdetails, of all tables."""
        referral: list[str | None] = [None] * len(REFERRAL)
        conference: list[str | None] = [None]
        plans: list[Row] = []
        assessments: list[Row] = []
        enquiries: list[Row] = []
        reviews: list[Row] = []
        slot_of = self._referral.get
        for item in details:
            tag = item.tag
            slot = slot_of(tag)
            if slot is not None:
                if referral[slot] is None and not len(item):
                    text = item.text
                    referral[slot] = (text.strip() or None) if text is not None else None
                else:
                    self._put(item, referral, slot)
            elif tag == self._assessments:
                factors: list[str] = []
                dates = self._group(item, self._assessment, len(ASSESSMENT), self._factors, self._factor, factors)
                self._keep(item, (*dates, ",".join(factors) or None), assessments)
            elif tag == self._enquiry:
                self._keep(item, self._group(item, self._section47, len(SECTION47)), enquiries)
            elif tag == self._cin_plans:
                self._keep(item, self._group(item, self._cin_plan, len(NO_PLAN)), plans)
            elif tag == self._cpps:
                days: list[str] = []
                plan = self._group(item, self._cpp, len(NO_PLAN), self._reviews, self._review, days)
                self._keep(item, plan, plans)
                reviews += [(plan[0], day) for day in days]
            elif tag == self._conference:
                self._put(item, conference, 0)
            elif tag == self._pre_proceedings:
                for inner in item:
                    self._no_value(inner, tag)
            else:
                self._set_aside(item)
        if conference[0] is not None:
            enquiries.append((None, conference[0]))
        before = front + tuple(referral)
        self._records += [before + plan for plan in plans or (NO_PLAN,)]
        key = (*child, referral[0])
        self._assessed += [key + row for row in assessments]
        self._enquiries += [key + row for row in enquiries]
        self._reviewed += [key + row for row in reviews]

    def _group(
        self,
        group: ET.Element,
        slots: dict[str, int],
        width: int,
        list_tag: str | None = None,
        leaf_tag: str = "",
        listed: list[str] | None = None,
    ) -> Row:
        """Values of one group by slot; the leaves of the list that it may hold go to ``listed``."""
        values: list[str | None] = [None] * width
        slot_of = slots.get
        for item in group:
            tag = item.tag
            slot = slot_of(tag)
            if slot is not None:
                # As _put does, which is called for the rare cases alone: there are millions of items.
                if values[slot] is None and not len(item):
                    text = item.text
                    values[slot] = (text.strip() or None) if text is not None else None
                else:
                    self._put(item, values, slot)
            elif tag == list_tag and listed is not None:
                listed += self._list(item, leaf_tag)
            else:
                self._no_value(item, group.tag)
        return tuple(values)

    def _put(self, item: ET.Element, values: list[str | None], slot: int) -> None:
        """The first value that is not blank counts."""
        if len(item):
            self._leaf(item)
        text = item.text
        if text is not None and (text := text.strip()):
            if values[slot] is None:
                values[slot] = text
            elif values[slot] != text:
                self._tally.repeated[_local(item.tag)] += 1

    def _keep(self, group: ET.Element, row: Row, rows: list[Row]) -> None:
        if any(row):
            rows.append(row)
        else:
            self._tally.empty[_local(group.tag)] += 1

    def _list(self, group: ET.Element, leaf_tag: str) -> list[str]:
        texts = []
        for leaf in group:
            if leaf.tag != leaf_tag:
                self._set_aside(leaf)
                continue
            text = self._leaf(leaf) if len(leaf) else leaf.text
            if text is not None and (text := text.strip()):
                texts.append(text)
        return texts

    def _leaf(self, item: ET.Element) -> str | None:
        if len(item):
            for inner in item:
                self._set_aside(inner)
        text = item.text
        return (text.strip() or None) if text is not None else None

    def _no_value(self, item: ET.Element, group: str) -> None:
        """An item that becomes nothing: the census has it in this group, or not."""
        if item.tag not in self._not_loaded.get(group, ()):
            self._set_aside(item)
        elif self._leaf(item) is not None:
            self._tally.not_loaded[_local(item.tag)] += 1

    def add_other(self, element: ET.Element) -> None:
        """An element beside the children: the Header, or one that the census does not have."""
        if element.tag != self._header:
            self._set_aside(element)
            return
        groups = list(element)
        while groups:
            item = groups.pop()
            if item.tag in self._header_groups:
                groups += item
            elif item.tag in self._header_items:
                self._leaf(item)
            else:
                self._no_value(item, self._header)

    def _set_aside(self, element: ET.Element) -> None:
        """Name every element of a part that is not where the census has it; refuse what may not be there."""
        for inner in element.iter():
            name = _local(inner.tag)
            if is_identifying(name):
                raise InputError(
                    "this element identifies a person and must not be in the file; nothing of the file is loaded "
                    "(DP.1)",
                    file=self._path,
                    column=name,
                )
            if name in ("Child", "CINdetails"):
                above = "Children" if name == "Child" else "a Child"
                raise InputError(f"{name} outside {above}", file=self._path, column=name)
            self._tally.unknown[name] += 1

    @property
    def held(self) -> int:
        """Rows that wait to be taken."""
        return sum(map(len, self._rows))

    def take(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Hand over the finished rows of every table that has some."""
        for number, table in enumerate(_TABLES):
            rows = self._rows[number]
            if rows:
                first = self._handed_out[number] + 1
                self._handed_out[number] += len(rows)
                frame = frame_of(table, rows, range(first, first + len(rows)))
                rows.clear()
                yield table.name, frame


def _chunks(path: Path, rows: _Rows, namespace: str, chunk_rows: int) -> Iterator[tuple[str, pd.DataFrame]]:
    elements = _finished(path, f"{namespace}Children")
    while _add_some(elements, rows, chunk_rows):
        yield from rows.take()
    yield from rows.take()


def _add_some(elements: Iterator[tuple[ET.Element, bool]], rows: _Rows, chunk_rows: int) -> bool:
    """Add elements until a chunk is full; False when there are no more."""
    # A tree holds no cycles. Python would look for some at every few hundred elements, in everything that is
    # loaded, and need as long for that as for the reading.
    was_on = gc.isenabled()
    gc.disable()
    try:
        for element, is_in_children in elements:
            if not is_in_children or element.tag != rows.child:
                rows.add_other(element)
                continue
            rows.add_child(element)
            if rows.held >= chunk_rows:
                return True
        return False
    finally:
        if was_on:
            gc.enable()


def _finished(path: Path, children_tag: str) -> Iterator[tuple[ET.Element, bool]]:
    """Every finished element of Children (True) and beside Children (False), in order, then forgotten.

    The parser builds the tree on its own, without an event per element: an element above the root is put
    into the builder first, so that the tree can be looked at while it grows. Of each list, the last element
    may still grow; those before it are finished.
    """
    builder = ET.TreeBuilder()
    above = builder.start("above", {})
    parser = ET.XMLParser(target=builder)
    unfinished = 0
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            with _well_formed(path):
                parser.feed(block)
            unfinished += len(block)
            for finished in _cut(above, children_tag, 1):
                unfinished = 0
                yield finished
            if unfinished > _MOST_BYTES_PER_CHILD:
                raise InputError(
                    f"more than {_MOST_BYTES_PER_CHILD} bytes without the end of a Child: not a CIN census", file=path
                )
    with _well_formed(path):
        parser.close()
    yield from _cut(above, children_tag, 0)


def _cut(above: ET.Element, children_tag: str, growing: int) -> Iterator[tuple[ET.Element, bool]]:
    """Take the finished elements out of the tree; the last ``growing`` (0 or 1) of each list may still grow."""
    for root in above:
        groups = list(root)
        for place, group in enumerate(groups, start=1):
            is_growing = growing and place == len(groups)
            if group.tag == children_tag:
                finished = group[: len(group) - 1] if is_growing else group[:]
                del group[: len(finished)]
                yield from ((element, True) for element in finished)
            elif not is_growing:
                yield group, False
        del root[: len(groups) - growing]


def _text(element: ET.Element) -> str | None:
    text = element.text
    return (text.strip() or None) if text is not None else None


def _local(tag: str) -> str:
    return tag[tag.rfind("}") + 1 :]


@contextmanager
def _parsing(path: Path) -> Iterator[Iterator[tuple[str, ET.Element]]]:
    """Start and end events of a file; a break in the XML is told with its line and column."""
    with path.open("rb") as handle, _well_formed(path):
        yield ET.iterparse(handle, events=("start", "end"))


@contextmanager
def _well_formed(path: Path) -> Iterator[None]:
    try:
        yield
    except ET.ParseError as error:
        raise _not_xml(error, path, error.position) from error


def _not_xml(error: Exception, path: Path, position: tuple[int, int]) -> InputError:
    reason = str(error).split(": line")[0]
    return InputError(
        f"not well-formed XML ({reason}); nothing of the file is loaded",
        file=path,
        row=position[0],
        column=str(position[1] + 1),
    )


def _refuse_declarations(path: Path) -> None:
    """Refuse document type and entity declarations before anything is built from the file."""
    try:
        with path.open("rb") as handle:
            row = declaration_row(handle)
    except LongPrologError as error:
        raise InputError(str(error), file=path, row=1) from error
    except NOT_XML as error:
        raise UnreadableXml(str(error), path) from error
    if row is not None:
        raise InputError(f"the file {DECLARES}; a return needs none, and the file is refused", file=path, row=row)
