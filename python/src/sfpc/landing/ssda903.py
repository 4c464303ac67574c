"""SSDA903 CSV files: episodes and children looked after become text rows of the landing tables.

A file is known by its header, not by its name; neither LA nor year stands in it (both come from the
folder and the name, see :mod:`sfpc.landing.returns`). Birth dates (dd/mm/yyyy) are reduced to year and
month here and the day goes no further (DP.1); columns that no landing table names are not loaded (DP.7).
Source: docs/raw_data.md, section B.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.layout import CLA_CHILDREN, CLA_EPISODES, Table
from sfpc.landing.pseudonym import birth_month, is_identifying, pupil_pseudonym

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

# Without one of these a file is not of the kind; the other columns of a kind may be missing or joined
# by new ones.
_NEEDED: dict[str, tuple[str, ...]] = {
    HEADER: ("CHILD", "SEX", "DOB", "ETHNIC"),
    EPISODES: ("CHILD", "DECOM", "RNE", "LS", "CIN", "PLACE", "DEC", "REC"),
    UASC: ("CHILD", "DUC"),
}
_LOADED: dict[str, tuple[str, ...]] = {
    HEADER: ("CHILD", "SEX", "DOB", "ETHNIC", "UPN"),
    EPISODES: _NEEDED[EPISODES],
    UASC: ("CHILD",),
}
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
# Title lines above the header occur in files saved from a spreadsheet.
_HEADER_WITHIN = 5
# A flat file of several LAs or years would be given one LA and one year.
_FLAT = frozenset({"LA", "YEAR"})


@dataclass(frozen=True)
class CsvFile:
    """A CSV file and what its header says it is.

    kind: a name of ``FILES``, or None. reason: why there is no kind, in words. is_empty: no value in
    the file at all (a single newline, as for files with nothing to return). encoding: Python codec.
    header_row: row of the header, from 1. columns: its names, upper case, blanks off, in order.
    """

    path: Path
    kind: str | None
    reason: str
    is_empty: bool
    encoding: str
    header_row: int
    columns: tuple[str, ...]

    @property
    def is_loaded(self) -> bool:
        """Whether a landing table takes anything from files of this kind."""
        return self.kind in _LOADED

    @property
    def not_loaded(self) -> tuple[str, ...]:
        """Columns of the file that no landing table takes (DP.7)."""
        taken = _LOADED.get(self.kind or "", ())
        return tuple(name for name in self.columns if name and name not in taken)


def identify(path: Path) -> CsvFile:
    """Tell which SSDA903 file a CSV is by the set of its column names, in any order and case.

    The whole set as documented decides; else the columns that the landing tables need do, so that a
    column more or less elsewhere does not matter. Up to four title lines above the header are passed
    over. Encodings: UTF-8 with or without BOM, UTF-16 with BOM, else windows-1252.

    Raises InputError where a loaded file repeats a column name, holds a column whose name says that it
    identifies a person and that the format does not define (DP.1), or has columns LA or YEAR (a flat
    file of several returns).
    """
    encoding, trouble = _encoding(path)
    if trouble:
        return CsvFile(path, None, trouble, False, encoding, 0, ())
    first_columns: tuple[str, ...] = ()
    try:
        for number, row in enumerate(_records(path, encoding), start=1):
            columns = tuple(value.strip().upper() for value in row)
            kind = _kind(columns)
            if kind is not None:
                found = CsvFile(path, kind, "", False, encoding, number, columns)
                _refuse(found)
                return found
            if any(columns) and not first_columns:
                first_columns = columns
            # Blank lines do not count here: whether a file is empty shows only at its end.
            if first_columns and number >= _HEADER_WITHIN:
                break
    except (csv.Error, UnicodeError) as error:
        return CsvFile(path, None, f"not readable as CSV ({error})", False, encoding, 0, ())
    if not first_columns:
        return CsvFile(path, None, "empty: 0 rows and no header", True, encoding, 0, ())
    return CsvFile(path, None, _unlike(first_columns), False, encoding, 0, first_columns)


def read_episodes(
    path: Path, la_code: str, return_year: int, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[pd.DataFrame]:
    """Text rows of an Episodes file, in chunks of ``chunk_rows``.

    Columns: those of ``layout.CLA_EPISODES`` as text (dtype str, blanks are missing; dates as sent,
    dd/mm/yyyy) and ``source_row`` (integer), the row of the file from 1, header included. Values lose
    surrounding blanks and nothing else: child codes are not tidied.

    Raises InputError for a file of another kind, a row whose number of values is not the header's, an
    open quote, a byte that the encoding does not have.
    """
    file = _of_kind(path, EPISODES)
    source = (str(return_year), la_code)
    rows = ((number, (*source, *values)) for number, values in _values(file, list(_EPISODE_COLUMNS)))
    columns = ["return_year", "la_code", *_EPISODE_COLUMNS.values()]
    return _frames(CLA_EPISODES, columns, rows, chunk_rows)


def read_children(
    path: Path,
    la_code: str,
    return_year: int,
    key: bytes,
    uasc: Collection[str],
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[pd.DataFrame]:
    """Text rows of a Header file, in chunks of ``chunk_rows``.

    Columns: those of ``layout.CLA_CHILDREN`` as text and ``source_row``, as in :func:`read_episodes`.
    The format has no yes or no for unaccompanied asylum-seeking children: a child in the UASC file is
    one (docs/raw_data.md B.5). A birth date that is not dd/mm/yyyy puts a fixed marker into birth_year,
    for which the gate sets the row aside.

    Parameters
    ----------
    key: key of the pupil pseudonyms. uasc: child codes of the UASC file of the same set.

    Raises InputError as :func:`read_episodes` does.
    """
    file = _of_kind(path, HEADER)
    source = (str(return_year), la_code)

    def rows() -> Iterator[_NumberedRow]:
        for number, (child, sex, born, ethnicity, upn) in _values(file, list(_LOADED[HEADER])):
            pupil = pupil_pseudonym(upn, key)
            is_uasc = "1" if child in uasc else "0"
            born_in = birth_month(born, "uk")
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
    return _frames(CLA_CHILDREN, columns, rows(), chunk_rows)


def read_uasc(path: Path) -> set[str]:
    """Child codes in a UASC file, as they stand there without surrounding blanks.

    Raises InputError as :func:`read_episodes` does.
    """
    return {child for _, (child,) in _values(_of_kind(path, UASC), ["CHILD"]) if child}


_NumberedRow = tuple[int, tuple[str | None, ...]]


def _frames(table: Table, columns: list[str], rows: Iterator[_NumberedRow], chunk_rows: int) -> Iterator[pd.DataFrame]:
    while chunk := list(islice(rows, chunk_rows)):
        frame = pd.DataFrame([values for _, values in chunk], columns=columns, dtype="str")
        frame = frame.reindex(columns=table.names).astype("str")
        frame["source_row"] = [number for number, _ in chunk]
        yield frame


def _of_kind(path: Path, kind: str) -> CsvFile:
    file = identify(path)
    if file.kind != kind:
        found = f"a {file.kind} file" if file.kind else file.reason
        raise InputError(f"expected an SSDA903 {kind} file, found {found}", file=path)
    return file


def _values(file: CsvFile, wanted: list[str]) -> Iterator[tuple[int, list[str | None]]]:
    """Row number and the wanted columns of every row that holds a value; None where blank or absent."""
    width = max(i for i, name in enumerate(file.columns, start=1) if name)
    places = [file.columns.index(name) if name in file.columns else None for name in wanted]
    number = 0
    try:
        for number, row in enumerate(_records(file.path, file.encoding), start=1):
            if number <= file.header_row or not any(value.strip() for value in row):
                continue
            if len(row) < width or any(value.strip() for value in row[width:]):
                raise InputError(
                    f"expected {width} values as in the header, found {len(row)} "
                    "(a damaged line, or an unquoted comma)",
                    file=file.path,
                    row=number,
                )
            yield number, [None if i is None else row[i].strip() or None for i in places]
    except (csv.Error, UnicodeError) as error:
        raise InputError(f"not readable as CSV ({error})", file=file.path, row=number + 1) from error


def _records(path: Path, encoding: str) -> Iterator[list[str]]:
    with path.open(newline="", encoding=encoding) as handle:
        # Strict: a quote left open would otherwise swallow the rest of the file without a word.
        yield from csv.reader(handle, strict=True)


def _encoding(path: Path) -> tuple[str, str]:
    """Codec of a file, and what is wrong with it if it is no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as handle:
        first = handle.read(4)
        if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16", ""
        codec = "utf-8-sig" if first.startswith(codecs.BOM_UTF8) else "utf-8"
        handle.seek(0)
        while block := handle.read(1 << 20):
            if b"\0" in block:
                return codec, "not text: zero bytes (UTF-16 is read only with its byte order mark)"
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                if codec == "utf-8":
                    codec = "cp1252"
                return codec, ""
    return codec, ""


def _kind(columns: tuple[str, ...]) -> str | None:
    names = {name for name in columns if name}
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
        if name in FILES[file.kind or ""]:
            continue
        if is_identifying(name):
            raise InputError(
                "this column identifies a person and is not part of the return; nothing of the file is loaded (DP.1)",
                file=file.path,
                column=name,
            )
        if name in _FLAT:
            raise InputError(
                "a return as submitted has no such column; split this file into one per LA and year",
                file=file.path,
                column=name,
            )
