"""Excel workbooks: every sheet becomes a CSV with the same rows, read from there on as any CSV.

Row numbers stay those of the sheet. Dates that are dates become dd/mm/yyyy; numbers lose the ``.0`` that
spreadsheets give to codes and keep the leading zeros that their format shows. Formulas count with the
result that the workbook holds; macros are never run. Source: docs/raw_data.md B.1, traps 6, 19 and 20.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from sfpc.errors import InputError
from sfpc.landing.archive import check_workbook

_MOST_DIGITS = 15
_OLD_OR_ENCRYPTED = b"\xd0\xcf\x11\xe0"
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")
_UNSAFE = re.compile(r"[^\w .-]")


@dataclass(frozen=True)
class Sheet:
    """One sheet. title: as the workbook spells it. path: the CSV. is_1904: whether days count from 1904."""

    title: str
    path: Path
    is_hidden: bool
    is_1904: bool


def read_sheets(path: Path, folder: Path) -> list[Sheet]:
    """Write every sheet of a workbook as UTF-8 CSV into ``folder`` (owner alone may read it), in order.

    Raises InputError: no workbook or a damaged one, an old (.xls) or encrypted one, one that a check of
    :mod:`sfpc.landing.archive` refuses, a number of more than 15 digits (a spreadsheet has lost the others),
    a formula without a stored result.
    """
    with path.open("rb") as handle:
        if handle.read(4) == _OLD_OR_ENCRYPTED:
            raise InputError("an old Excel workbook, or one with a password: save it as .xlsx without one", file=path)
    check_workbook(path)
    has_formulas = _has_formulas(path)
    out = []
    with _workbook(path, data_only=True) as values, _workbook(path, data_only=False) as formulas:
        for number, sheet in enumerate(values.worksheets, start=1):
            place = folder / f"{number:03d}"
            place.mkdir(mode=0o700, parents=True)
            target = place / f"{_UNSAFE.sub('_', sheet.title)}.csv"
            rows = _rows(sheet)
            if has_formulas:
                rows = _with_results(rows, _rows(formulas[sheet.title]), path, sheet.title)
            with os.fdopen(
                os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8", newline=""
            ) as handle_out:
                _write(rows, csv.writer(handle_out, lineterminator="\n"), path, sheet.title)
            is_hidden = sheet.sheet_state != "visible"
            out.append(Sheet(sheet.title, target, is_hidden, values.epoch == CALENDAR_MAC_1904))
    return out


@contextmanager
def _workbook(path: Path, *, data_only: bool) -> Iterator[Any]:
    """An open workbook. The library warns of features it leaves out, and raises whatever damage leads it to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            book = load_workbook(path, read_only=True, data_only=data_only, keep_links=False)
            try:
                yield book
            finally:
                book.close()
        except (InputError, OSError):
            raise
        except Exception as error:
            raise InputError(f"not readable as a workbook ({type(error).__name__}: {error})", file=path) from error


def _rows(sheet: Any) -> Iterator[tuple[Any, ...]]:
    # The size that a sheet states of itself is often wrong.
    sheet.reset_dimensions()
    yield from sheet.iter_rows()


def _write(rows: Iterator[tuple[Any, ...]], writer: Any, path: Path, title: str) -> None:
    width = 0
    for number, row in enumerate(rows, start=1):
        texts = []
        for column, cell in enumerate(row, start=1):
            text = _text(cell)
            if text is None:
                raise InputError(
                    f"a number of more than {_MOST_DIGITS} digits, of which a spreadsheet keeps no more; send codes as "
                    "text",
                    file=f"{path}!{title}",
                    row=number,
                    column=get_column_letter(column),
                )
            texts.append(text)
        width = max(width, len(texts))
        writer.writerow(texts + [""] * (width - len(texts)))


def _text(cell: Any) -> str | None:
    """A cell as text; None for a number that has lost digits."""
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, str):
        return " ".join(value.splitlines())
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        value = (value + timedelta(milliseconds=500)).replace(microsecond=0)
        return f"{value:%d/%m/%Y}" if value.time() == time() else f"{value:%d/%m/%Y %H:%M:%S}"
    if isinstance(value, date):
        return f"{value:%d/%m/%Y}"
    if isinstance(value, int | float):
        if value != int(value):
            return repr(value)
        digits = str(int(value))
        if len(digits.lstrip("-")) > _MOST_DIGITS:
            return None
        shown = str(cell.number_format or "")
        return digits.zfill(len(shown)) if re.fullmatch("0+", shown) else digits
    return str(value)


def _with_results(
    values: Iterator[tuple[Any, ...]], formulas: Iterator[tuple[Any, ...]], path: Path, title: str
) -> Iterator[tuple[Any, ...]]:
    """Rows of results, after a look that no formula stands without one."""
    for number, (row, source) in enumerate(zip(values, formulas, strict=True), start=1):
        for column, (cell, formula) in enumerate(zip(row, source, strict=True), start=1):
            if formula.data_type == "f" and cell.value is None:
                raise InputError(
                    "a formula whose result the workbook does not hold: open and save it, or paste values",
                    file=f"{path}!{title}",
                    row=number,
                    column=get_column_letter(column),
                )
        yield row


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if "worksheets/" not in info.filename:
                continue
            tail = b""
            with archive.open(info) as source:
                while block := source.read(1 << 20):
                    if _FORMULA.search(tail + block):
                        return True
                    tail = block[-40:]
    return False
