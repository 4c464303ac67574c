"""CIN census XML: one return of one LA and year becomes text rows of ``cin_records``.

The file is streamed, so memory does not grow with it. A return holds full birth dates by design;
they are reduced to year and month here and the day goes no further (DP.1). All other dates stay the
text that was sent: the gate types them. Source: docs/raw_data.md, section A.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from xml.parsers import expat

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.layout import CIN_RECORDS
from sfpc.landing.pseudonym import birth_month, is_identifying, pupil_pseudonym
from sfpc.progress import say

COLLECTION = "CIN"
CHUNK_ROWS = 50_000

# The tree of one child is held whole; a file that never closes one must not fill the memory.
_MOST_ELEMENTS_PER_CHILD = 500_000
_MOST_ELEMENTS_OF_HEADER = 1_000
_LONGEST_PROLOG = 1 << 20

_REFERRAL = {
    "CINreferralDate": "referral_date",
    "ReferralSource": "referral_source",
    "PrimaryNeedCode": "primary_need",
    "ReferralNFA": "referral_nfa",
    "CINclosureDate": "closure_date",
    "ReasonForClosure": "closure_reason",
}
_CPP = {
    "CPPstartDate": "cpp_start_date",
    "CPPendDate": "cpp_end_date",
    "InitialCategoryOfAbuse": "cpp_initial_category",
    "NumberOfPreviousCPP": "cpp_previous_count",
}
_CIN_PLAN = {"CINPlanStartDate": "cin_plan_start_date", "CINPlanEndDate": "cin_plan_end_date"}
_CHILD = (
    "return_year",
    "la_code",
    "la_child_id",
    "pupil_id",
    "birth_year",
    "birth_month",
    "is_expected_birth",
    "is_unborn",
    "gender",
    "ethnicity",
    "disability",
)
_COLUMNS = (*_CHILD, *_REFERRAL.values(), *_CPP.values(), *_CIN_PLAN.values())
_NO_PLAN: tuple[str | None, ...] = (None,) * (len(_CPP) + len(_CIN_PLAN))

_TREE = """
Message Header CollectionDetails Collection Year ReferenceDate Source SourceLevel LEA SoftwareCode
Release SerialNo DateTime Children Child ChildIdentifiers LAchildID UPN FormerUPN UPNunknown
PersonBirthDate ExpectedPersonBirthDate GenderCurrent Sex PersonDeathDate ChildCharacteristics Ethnicity
Disabilities Disability CINdetails CINreferralDate ReferralSource PrimaryNeedCode CINclosureDate
ReasonForClosure DateOfInitialCPC Assessments AssessmentActualStartDate AssessmentInternalReviewDate
AssessmentAuthorisationDate FactorsIdentifiedAtAssessment AssessmentFactors CINPlanDates CINPlanStartDate
CINPlanEndDate Section47 S47ActualStartDate InitialCPCtarget ICPCnotRequired ReferralNFA
ChildProtectionPlans CPPstartDate CPPendDate InitialCategoryOfAbuse LatestCategoryOfAbuse
NumberOfPreviousCPP Reviews CPPreviewDate PreProceedingsandFGDM PPStartDate LBPSentDate FGDMMeetingOffer
FGDMMeetingFac InitialPPMeetingDate ReviewMeetingsCount StepDecisionDate PPOutcome CourtAppDate
LetterInitCPDate
"""
_DOCUMENTED = frozenset(_TREE.split())

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


def read_cin_xml(
    path: Path,
    key: bytes,
    *,
    la_code: str | None = None,
    return_year: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
    note: Callable[[str], None] = say,
) -> Iterator[pd.DataFrame]:
    """Text rows of one CIN census, in chunks of about ``chunk_rows``.

    Columns: those of ``layout.CIN_RECORDS`` as text (dtype str, blanks are missing) and ``source_row``
    (integer), the running number of the row in the file from 1. Every ChildProtectionPlans and every
    CINPlanDates with content gives one row; a CINdetails without either gives one row without plan
    dates; a Child without CINdetails gives one row without a referral date, which the gate sets aside.

    Where a single item occurs twice in its group, the first that is not blank counts. A birth date that
    is not YYYY-MM-DD puts a fixed marker into birth_year, for which the gate sets the row aside.

    Parameters
    ----------
    key: key of the pupil pseudonyms (:func:`sfpc.landing.pseudonym.load_key`).
    la_code, return_year: used where the Header is missing or silent; the Header goes first.
    note: takes a line naming elements that the census, as documented, does not have (not loaded).

    Raises InputError: not well-formed (line and column), a document type or entity declaration, not a
    CIN census, LA or year unknown, an element whose name says that it identifies a person (DP.1). Rows
    of earlier chunks may have been handed out by then: commit only when the reader is through.
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
    rows = _Rows(key, la, str(year), header.namespace)
    return _chunks(path, rows, header.namespace, chunk_rows, note)


class _Rows:
    """Rows of finished children (``done``) and of the child being read (``open``)."""

    def __init__(self, key: bytes, la_code: str, return_year: str, namespace: str) -> None:
        self.done: list[tuple[str | None, ...]] = []
        self.open: list[tuple[str | None, ...]] = []
        self._handed_out = 0
        self._key = key
        self._source = (return_year, la_code)
        # Slots in a row's three parts, by element name: one look-up per element.
        self._referral = {namespace + name: slot for slot, name in enumerate(_REFERRAL)}
        self._cpp = {namespace + name: slot for slot, name in enumerate(_CPP)}
        self._cin_plan = {namespace + name: slot for slot, name in enumerate(_CIN_PLAN, len(_CPP))}
        self._plans = {
            f"{namespace}ChildProtectionPlans": self._cpp,
            f"{namespace}CINPlanDates": self._cin_plan,
        }
        self._about_child = {f"{namespace}{name}" for name in ("ChildIdentifiers", "ChildCharacteristics")}
        self._disabilities = f"{namespace}Disabilities"
        self._prefix = len(namespace)

    def add_referral(self, details: ET.Element) -> None:
        """Rows of one CINdetails."""
        referral: list[str | None] = [None] * len(_REFERRAL)
        plans: list[tuple[str | None, ...]] = []
        for item in details:
            slot = self._referral.get(item.tag)
            if slot is not None:
                if referral[slot] is None:
                    referral[slot] = _text(item)
            elif item.tag in self._plans:
                plan = _slots(item, self._plans[item.tag])
                if plan != _NO_PLAN:
                    plans.append(plan)
        self.open += [(*referral, *plan) for plan in plans or [_NO_PLAN]]

    def end_child(self, child: ET.Element) -> None:
        """Put the child's own values in front of its rows."""
        values: dict[str, str] = {}
        disabilities: list[str] = []
        for group in child:
            if group.tag not in self._about_child:
                continue
            for item in group:
                if item.tag == self._disabilities:
                    disabilities += [text for code in item if (text := _text(code))]
                elif text := _text(item):
                    values.setdefault(item.tag[self._prefix :], text)
        born, expected = values.get("PersonBirthDate"), values.get("ExpectedPersonBirthDate")
        is_expected = "0" if born else "1" if expected else None
        front = (
            *self._source,
            values.get("LAchildID"),
            pupil_pseudonym(values.get("UPN"), self._key),
            *birth_month(born or expected, "iso"),
            is_expected,
            is_expected,
            values.get("GenderCurrent") or values.get("Sex"),
            values.get("Ethnicity"),
            ",".join(disabilities) or None,
        )
        nothing = ((None,) * len(_REFERRAL) + _NO_PLAN,)
        self.done += [front + row for row in self.open or nothing]
        self.open = []

    def take(self) -> pd.DataFrame:
        """Hand over the finished rows."""
        frame = pd.DataFrame(self.done, columns=list(_COLUMNS), dtype="str")[CIN_RECORDS.names]
        first = self._handed_out + 1
        self._handed_out += len(self.done)
        frame["source_row"] = range(first, self._handed_out + 1)
        self.done = []
        return frame


def _chunks(
    path: Path, rows: _Rows, space: str, chunk_rows: int, note: Callable[[str], None]
) -> Iterator[pd.DataFrame]:
    documented = {space + name for name in _DOCUMENTED}
    children_tag, child_tag, details_tag = (space + name for name in ("Children", "Child", "CINdetails"))
    unknown: set[str] = set()
    children: ET.Element | None = None
    held = 0
    with _parsing(path) as events:
        for event, element in events:
            tag = element.tag
            if event == "start":
                held += 1
                if held > _MOST_ELEMENTS_PER_CHILD:
                    raise InputError(
                        f"more than {_MOST_ELEMENTS_PER_CHILD} elements outside or inside one Child",
                        file=path,
                    )
                if tag not in documented:
                    unknown.add(_allowed(_local(tag), path))
                elif tag == children_tag:
                    children = element
                elif tag == child_tag and rows.open:
                    break
            elif tag == details_tag:
                rows.add_referral(element)
                element.clear()
            elif tag == child_tag:
                rows.end_child(element)
                held = 0
                if children is not None:
                    children.clear()
                if len(rows.done) >= chunk_rows:
                    yield rows.take()
    if rows.open:
        raise InputError("CINdetails outside a Child", file=path, column="CINdetails")
    if rows.done:
        yield rows.take()
    if unknown:
        note(
            f"{path}: elements that the census, as documented, does not have; not loaded: {', '.join(sorted(unknown))}"
        )


def _allowed(name: str, path: Path) -> str:
    if is_identifying(name):
        raise InputError(
            "this element identifies a person and must not be in the file; nothing of the file is loaded (DP.1)",
            file=path,
            column=name,
        )
    return name


def _slots(group: ET.Element, slots: dict[str, int]) -> tuple[str | None, ...]:
    values = list(_NO_PLAN)
    for item in group:
        slot = slots.get(item.tag)
        if slot is not None and values[slot] is None:
            values[slot] = _text(item)
    return tuple(values)


def _text(element: ET.Element) -> str | None:
    text = element.text
    return (text.strip() or None) if text is not None else None


def _local(tag: str) -> str:
    return tag[tag.rfind("}") + 1 :]


@contextmanager
def _parsing(path: Path) -> Iterator[Iterator[tuple[str, ET.Element]]]:
    """Start and end events of a file; a break in the XML is told with its line and column."""
    with path.open("rb") as handle:
        try:
            yield ET.iterparse(handle, events=("start", "end"))
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


class _RootReached(Exception):
    """Ends the scan of the prolog."""


def _refuse_declarations(path: Path) -> None:
    """Refuse document type and entity declarations before anything is built from the file.

    Declarations can only stand before the first element, and only the parser itself reads every
    encoding as the later reading will: so the parser scans the prolog, with nothing else switched on.
    """

    def refuse(*_: object) -> None:
        raise InputError(
            "the file declares a document type or entities (<!DOCTYPE, <!ENTITY); a return needs none, "
            "and the file is refused",
            file=path,
            row=parser.CurrentLineNumber,
        )

    def stop(*_: object) -> None:
        raise _RootReached

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = stop
    scanned = 0
    try:
        with path.open("rb") as handle:
            while block := handle.read(1 << 16):
                scanned += len(block)
                parser.Parse(block, False)
                if scanned > _LONGEST_PROLOG:
                    raise InputError(f"no element in the first {_LONGEST_PROLOG} bytes", file=path, row=1)
            parser.Parse(b"", True)
    except _RootReached:
        return
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise UnreadableXml(str(error), path) from error
