"""SSDA903 tables: episodes and children looked after become text rows of the landing tables.

A table is known by its header, not by its name. A return as submitted states neither LA nor year (both
come from the folder and the name, see :mod:`sfpc.landing.returns`); a flat file out of a database has
columns LA and YEAR. Sheets of a workbook and the XML variant come here as CSV
(:mod:`sfpc.landing.workbook`, :mod:`sfpc.landing.ssda903_xml`). Birth dates are reduced to year and month
here and the day goes no further (DP.1); columns that no landing table names are not loaded (DP.7).
Source: docs/raw_data.md, section B.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.dates import plausible_serial, return_years
from sfpc.landing.la_register import UnknownLa, la_register
from sfpc.landing.layout import CLA_CHILDREN, CLA_EPISODES, Table
from sfpc.landing.pseudonym import birth_month, is_identifying, pupil_pseudonym
from sfpc.landing.text import Delimited, below_header, find_header, rows

CHUNK_ROWS = 50_000

EPISODES, HEADER, UASC = "Episodes", "Header", "UASC"

FILES: dict[str, tuple[str, ...]] = {
    HEADER: ("CHILD", "SEX", "DOB", "ETHNIC", "UPN", "MOTHER", "MC_DOB"),
    EPISODES: (
        "CHILD",
        "DECOM",
        "RNE",
        "LS",
        "CIN",
        "PLACE",
        "PLACE_PROVIDER",
        "DEC",
        "REC",
        "REASON_PLACE_CHANGE",
        "HOME_POST",
        "PL_POST",
        "URN",
    ),
    "Reviews": ("CHILD", "DOB", "REVIEW", "REVIEW_CODE"),
    UASC: ("CHILD", "SEX", "DOB", "DUC"),
    "OC2": (
        "CHILD",
        "DOB",
        "SDQ_SCORE",
        "SDQ_REASON",
        "CONVICTED",
        "HEALTH_CHECK",
        "IMMUNISATIONS",
        "TEETH_CHECK",
        "HEALTH_ASSESSMENT",
        "SUBSTANCE_MISUSE",
        "INTERVENTION_RECEIVED",
        "INTERVENTION_OFFERED",
    ),
    "OC3": ("CHILD", "DOB", "IN_TOUCH", "ACTIV", "ACCOM"),
    "AD1": (
        "CHILD",
        "DOB",
        "DATE_INT",
        "DATE_MATCH",
        "FOSTER_CARE",
        "NB_ADOPTR",
        "SEX_ADOPTR",
        "LS_ADOPTR",
    ),
    "PlacedAdoption": ("CHILD", "DOB", "DATE_PLACED", "DATE_PLACED_CEASED", "REASON_PLACED_CEASED"),
    "PrevPerm": ("CHILD", "DOB", "PREV_PERM", "LA_PERM", "DATE_PERM"),
    "Missing": ("CHILD", "DOB", "MISSING", "MIS_START", "MIS_END"),
    "SWEpisodes": ("CHILD", "DOB", "SW_ID", "SW_DECOM", "SW_DEC", "SW_REASON"),
    "DoLo": ("CHILD", "DOB", "DOLO_START", "DOLO_END"),
}

# Without one of these a table is not of the kind; the other columns of a kind may be missing (HOME_POST in
# a pseudonymised copy) or joined by new ones (2017 to 2026: only new files, codes and spellings, B.1).
_NEEDED: dict[str, tuple[str, ...]] = {
    HEADER: ("CHILD", "SEX", "DOB", "ETHNIC"),
    EPISODES: ("CHILD", "DECOM", "RNE", "LS", "CIN", "PLACE", "DEC", "REC"),
    UASC: ("CHILD", "DUC"),
    "Reviews": ("CHILD", "REVIEW"),
    "OC2": ("CHILD", "SDQ_SCORE"),
    "OC3": ("CHILD", "IN_TOUCH"),
    "AD1": ("CHILD", "DATE_INT"),
    "PlacedAdoption": ("CHILD", "DATE_PLACED"),
    "PrevPerm": ("CHILD", "PREV_PERM"),
    "Missing": ("CHILD", "MIS_START"),
    "SWEpisodes": ("CHILD", "SW_DECOM"),
    "DoLo": ("CHILD", "DOLO_START"),
}
_LOADED: dict[str, tuple[str, ...]] = {
    HEADER: ("CHILD", "SEX", "DOB", "ETHNIC", "UPN"),
    EPISODES: _NEEDED[EPISODES],
    UASC: ("CHILD",),
}
_DATES: dict[str, tuple[str, ...]] = {HEADER: ("DOB",), EPISODES: ("DECOM", "DEC"), UASC: ()}
_EPISODE_COLUMNS = {
    "CHILD": "la_child_id",
    "DECOM": "episode_start_date",
    "RNE": "reason_for_new_episode",
    "LS": "legal_status",
    "CIN": "category_of_need",
    "PLACE": "placement",
    "DEC": "episode_end_date",
    "REC": "reason_episode_ceased",
}
# A flat file of several returns says in each row whose it is and of which year (B.1).
_LA, _YEAR = "LA", "YEAR"

NOT_A_YEAR = "not a year"
"""Stands in for an unreadable YEAR, so that the gate sets the row aside."""


@dataclass(frozen=True)
class Origin:
    """Where the text of a table comes from.

    date_format: declared forms of dates, a name of ``dates.DATE_FORMATS``. has_numbers: numbers may be days
    of a spreadsheet one by one (a workbook); else only where a whole column is. is_1904: its first day.
    """

    date_format: str = "ssda903"
    has_numbers: bool = False
    is_1904: bool = False


SUBMITTED = Origin()
XML = Origin("ssda903_export")


@dataclass(frozen=True)
class CsvFile:
    """A table and what its header says it is.

    kind: a name of ``FILES``, or None. reason: why there is no kind, in words. is_empty: no value in
    the file at all (a single newline, as for files with nothing to return). table: the text and its header.
    serial_columns: columns of dates that hold days of a spreadsheet throughout.
    """

    path: Path
    kind: str | None
    reason: str
    is_empty: bool
    table: Delimited
    origin: Origin = SUBMITTED
    serial_columns: frozenset[str] = frozenset()

    @property
    def header_row(self) -> int:
        """Row of the header, from 1."""
        return self.table.header_row

    @property
    def columns(self) -> tuple[str, ...]:
        """Names in the header, upper case, blanks off, in order."""
        return self.table.columns

    @property
    def is_loaded(self) -> bool:
        """Whether a landing table takes anything from files of this kind."""
        return self.kind in _LOADED

    @property
    def has_la(self) -> bool:
        """Whether each row names its LA."""
        return _LA in self.columns

    @property
    def has_year(self) -> bool:
        """Whether each row names its return year."""
        return _YEAR in self.columns

    @property
    def date_format(self) -> str:
        """Declared forms of the dates: flat files come out of databases, which also write year first."""
        return XML.date_format if self.has_la or self.has_year else self.origin.date_format

    @property
    def not_loaded(self) -> tuple[str, ...]:
        """Columns of the file that no landing table takes (DP.7)."""
        taken = {*_LOADED.get(self.kind or "", ()), _LA, _YEAR}
        return tuple(name for name in self.columns if name and name not in taken)

    @property
    def notes(self) -> tuple[str, ...]:
        """What an analyst should know of how the file was read, in words."""
        serial = sorted(self.serial_columns)
        return (
            *self.table.notes,
            *([f"day numbers of a spreadsheet read as dates in {', '.join(serial)}"] if serial else []),
        )


def identify(path: Path, origin: Origin = SUBMITTED) -> CsvFile:
    """Tell which SSDA903 table a text file is by the set of its column names, in any order and case.

    The whole set as documented decides, with or without LA and YEAR; else the columns that tell the kinds
    apart do, so that a column more or less elsewhere does not matter. How the file is read (encoding,
    delimiter, title rows): :mod:`sfpc.landing.text`.

    Raises InputError where a loaded file repeats a column name, or holds a column whose name says that it
    identifies a person and that the format does not define (DP.1).
    """
    table = find_header(path, lambda columns: _kind(columns) is not None)
    if table.header_row:
        kind = _kind(table.columns)
        found = CsvFile(path, kind, "", False, table, origin)
        _refuse(found)
        return CsvFile(path, kind, "", False, table, origin, _serial_columns(found))
    if table.is_empty:
        return CsvFile(path, None, "empty: 0 rows and no header", True, table, origin)
    return CsvFile(path, None, table.problem or _unlike(table.columns), False, table, origin)


def count_rows(file: CsvFile) -> int:
    """Rows below the header that hold a value.

    Raises InputError where the file cannot be read to its end.
    """
    return sum(1 for _ in below_header(file.table))


def read_episodes(
    file: CsvFile | Path, la_code: str | None, return_year: int | None, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[pd.DataFrame]:
    """Text rows of an Episodes table, in chunks of ``chunk_rows``.

    Columns: those of ``layout.CLA_EPISODES`` as text (dtype str, blanks are missing; dates as sent, day
    numbers of a spreadsheet as dd/mm/yyyy) and ``source_row`` (integer), the row of the file from 1, header
    included. Values lose surrounding blanks and nothing else: child codes are not tidied.

    Parameters
    ----------
    la_code, return_year: of the whole file; a column LA or YEAR goes first, row by row.

    Raises InputError for a file of another kind, a row whose number of values is not the header's, an
    open quote, a byte that the encoding does not have, an LA that the register does not know.
    """
    file = _of_kind(file, EPISODES)
    body = ((number, (*source, *values)) for number, source, values in _stamped(file, la_code, return_year))
    columns = ["return_year", "la_code", *_EPISODE_COLUMNS.values()]
    return _frames(CLA_EPISODES, columns, body, chunk_rows)


def read_children(
    file: CsvFile | Path,
    la_code: str | None,
    return_year: int | None,
    key: bytes,
    uasc: Collection[ChildOfReturn],
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[pd.DataFrame]:
    """Text rows of a Header table, in chunks of ``chunk_rows``.

    Columns: those of ``layout.CLA_CHILDREN`` as text and ``source_row``, as in :func:`read_episodes`.
    The format has no yes or no for unaccompanied asylum-seeking children: a child in the UASC table is
    one (docs/raw_data.md B.5). A birth date of none of the declared forms puts a fixed marker into
    birth_year, for which the gate sets the row aside.

    Parameters
    ----------
    la_code, return_year: as in :func:`read_episodes`. key: key of the pupil pseudonyms. uasc: children of
    the UASC tables of the same set (:func:`read_uasc`).

    Raises InputError as :func:`read_episodes` does.
    """
    file = _of_kind(file, HEADER)

    def body() -> Iterator[_NumberedRow]:
        for number, source, (child, sex, born, ethnicity, upn) in _stamped(file, la_code, return_year):
            pupil = pupil_pseudonym(upn, key)
            is_uasc = "1" if (*source, child) in uasc else "0"
            year = int(source[0]) if source[0] and _FOUR_DIGITS.fullmatch(source[0]) else None
            born_in = birth_month(born, file.date_format, year)
            yield number, (*source, child, pupil, *born_in, sex, ethnicity, is_uasc)

    columns = [
        "return_year",
        "la_code",
        "la_child_id",
        "pupil_id",
        "birth_year",
        "birth_month",
        "gender",
        "ethnicity",
        "uasc_status",
    ]
    return _frames(CLA_CHILDREN, columns, body(), chunk_rows)


def read_uasc(file: CsvFile | Path, la_code: str | None, return_year: int | None) -> set[ChildOfReturn]:
    """Return year, LA and child code of the rows of a UASC table, as text, without surrounding blanks.

    Raises InputError as :func:`read_episodes` does.
    """
    table = _of_kind(file, UASC)
    return {(*source, child) for _, source, (child,) in _stamped(table, la_code, return_year) if child}


ChildOfReturn = tuple[str | None, str | None, str | None]
"""Return year, LA code and child code."""

_NumberedRow = tuple[int, tuple[str | None, ...]]
_FOUR_DIGITS = re.compile(r"[0-9]{4}", re.ASCII)


def _frames(table: Table, columns: list[str], body: Iterator[_NumberedRow], chunk_rows: int) -> Iterator[pd.DataFrame]:
    while chunk := list(islice(body, chunk_rows)):
        frame = pd.DataFrame([values for _, values in chunk], columns=columns, dtype="str")
        frame = frame.reindex(columns=table.names).astype("str")
        frame["source_row"] = [number for number, _ in chunk]
        yield frame


def _of_kind(file: CsvFile | Path, kind: str) -> CsvFile:
    file = identify(file) if isinstance(file, Path) else file
    if file.kind != kind:
        found = f"a {file.kind} file" if file.kind else file.reason
        raise InputError(f"expected an SSDA903 {kind} file, found {found}", file=file.path)
    return file


def _stamped(
    file: CsvFile, la_code: str | None, return_year: int | None
) -> Iterator[tuple[int, tuple[str | None, str | None], list[str | None]]]:
    """Row number, return year and LA, and the loaded columns of every row that holds a value."""
    wanted = _LOADED[file.kind or ""]
    dates = [i for i, name in enumerate(wanted) if name in _DATES[file.kind or ""]]
    numeric = [i for i in dates if file.origin.has_numbers or wanted[i] in file.serial_columns]
    year = None if return_year is None else str(return_year)
    for number, (la_given, year_given, *values) in rows(file.table, [_LA, _YEAR, *wanted]):
        for place in numeric:
            day = plausible_serial(values[place] or "", file.origin.is_1904)
            if day is not None:
                values[place] = f"{day:%d/%m/%Y}"
        row_year = _year_label(year_given) if file.has_year else year
        row_la = _la_code(la_given, row_year, file.path, number) if file.has_la else la_code
        yield number, (row_year, row_la), values


def _year_label(text: str | None) -> str | None:
    """The return year that a YEAR column states (2019, 2018/19, 2019.0); else a marker that the gate sets aside."""
    if text is None:
        return None
    years = return_years(text.removesuffix(".0"))
    return str(years.pop()) if len(years) == 1 and re.fullmatch(r"[0-9/ _.-]+", text) else NOT_A_YEAR


def _la_code(text: str | None, year: str | None, path: Path, row: int) -> str | None:
    """Three-digit code of the LA that an LA column names; a blank stays one, for the gate."""
    if text is None:
        return None
    try:
        return la_register().code_of(text, int(year) if year and _FOUR_DIGITS.fullmatch(year) else None)
    except UnknownLa as error:
        raise InputError(error.problem, file=path, row=row, column=_LA) from error


def _serial_columns(file: CsvFile) -> frozenset[str]:
    """Columns of dates in which every value is a number that stands for a plausible day (trap 19)."""
    names = [name for name in _DATES.get(file.kind or "", ()) if name in file.columns]
    if file.origin.has_numbers or not names:
        return frozenset()
    serial = dict.fromkeys(names, False)
    try:
        for _, values in rows(file.table, names):
            for name, value in zip(names, values, strict=True):
                if value is not None and name in serial:
                    serial[name] = plausible_serial(value) is not None
                    if not serial[name]:
                        del serial[name]
            if not serial:
                break
    except InputError:
        # The same damage stops the reader of the rows, which is where it belongs.
        return frozenset()
    return frozenset(name for name, is_serial in serial.items() if is_serial)


def _kind(columns: tuple[str, ...]) -> str | None:
    names = {name for name in columns if name} - {_LA, _YEAR}
    for kind, documented in FILES.items():
        if names == set(documented):
            return kind
    return next((kind for kind, needed in _NEEDED.items() if names >= set(needed)), None)


def _unlike(columns: tuple[str, ...]) -> str:
    """Why a header is none of the known ones, with the nearest."""
    common = {"CHILD", "DOB", "SEX"}
    names = set(columns) - common
    kind = max(FILES, key=lambda k: len(names & set(FILES[k])))
    if not names & set(FILES[kind]):
        return "not the header of an SSDA903 file"
    lacking = [n for n in _NEEDED.get(kind, FILES[kind]) if n not in columns]
    return f"not the header of an SSDA903 file; nearest is {kind}, without {', '.join(lacking)}"


def _refuse(file: CsvFile) -> None:
    if not file.is_loaded:
        return
    names = [name for name in file.columns if name]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError("this column occurs more than once in the header", file=file.path, column=repeated[0])
    for name in names:
        if name not in FILES[file.kind or ""] and is_identifying(name):
            raise InputError(
                "this column identifies a person and is not part of the return; nothing of the file is loaded (DP.1)",
                file=file.path,
                column=name,
            )
