"""The tables of the report as a workbook and as CSV files: the same cells as on the page, numbers as numbers."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from sfpc.report.document import Report, Section, tables_of
from sfpc.report.tables import Table
from sfpc.report.words import DASH, MINUS, tidy

# A cell that begins with one of these would be read as a formula (governance: text cells are prefixed).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(rf"^{MINUS}?\d[\d,]*(\.\d+)?%?$")
_INTERVAL = re.compile(r"^(.+?) to (.+)$")
_WIDEST = 60
# Columns whose cells are marks of the notes below the table.
_LETTERED = ("Method", "Note", "Notes")

Value = str | float | int | None


@dataclass(frozen=True)
class Cell:
    """A value with the format in which a workbook shows it as the page does ('General' for text)."""

    value: Value
    format: str = "General"


def cell(text: str, is_number: bool) -> Cell:
    """A cell of the report as a value: a number where its column holds numbers, else text that is no formula."""
    text = tidy(text)
    if is_number:
        if text in ("", DASH):
            return Cell(None)
        if _NUMBER.match(text):
            plain = text.replace(MINUS, "-").replace(",", "")
            is_share = plain.endswith("%")
            places = len(plain.rstrip("%").partition(".")[2])
            pattern = (
                f"{'#,##0' if ',' in text else '0'}{'.' + '0' * places if places else ''}{'%' if is_share else ''}"
            )
            if is_share:
                return Cell(round(float(plain.rstrip("%")) / 100, places + 2), pattern)
            return Cell(float(plain) if places else int(plain), pattern)
    return Cell(f"'{text}" if text.startswith(_FORMULA) else text)


def cells_of(table: Table) -> tuple[list[str], list[list[Cell]]]:
    """Headings and rows; a column of intervals becomes two, its lower and its upper end."""
    heads: list[str] = []
    columns: list[list[Cell]] = []
    for place, column in enumerate(table.columns):
        texts = [tidy(str(row.cells[place])) for row in table.rows]
        ends = [_INTERVAL.match(text) for text in texts]
        is_interval = (
            column.is_number and any(ends) and all(e or t in ("", DASH) for e, t in zip(ends, texts, strict=True))
        )
        if is_interval:
            for number, word in ((1, "from"), (2, "to")):
                heads.append(f"{column.label}, {word}")
                columns.append([cell(end[number], True) if end else Cell(None) for end in ends])
        else:
            heads.append(column.label)
            columns.append([cell(text, column.is_number) for text in texts])
    # A heading is data of a kind: it may begin with a sign too.
    return [str(cell(head, False).value) for head in heads], [list(row) for row in zip(*columns, strict=True)]


def names(report: Report) -> Iterator[tuple[Section, Table, str]]:
    """Every table with its section and the name of its sheet and file: its number and key, 31 characters at most."""
    for section, table in tables_of(report.sections):
        key = re.sub(r"[^A-Za-z0-9_-]+", "-", table.short or table.key)
        yield section, table, f"{table.number:03} {key}"[:31].rstrip("-_ ")


def csv_files(report: Report) -> dict[str, str]:
    """A CSV file per table, by file name, with a list of them: UTF-8 with a byte order mark, notes written out."""
    files = {}
    listing: list[Sequence[Value]] = [("table", "file", "section", "about", "title", "who may see it")]
    for section, table in tables_of(report.sections):
        file = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"table-{table.number:03}-{table.key}.csv")
        heads, rows = cells_of(table)
        notes = dict(table.notes)
        values: list[Sequence[Value]] = [heads]
        for row in rows:
            values.append(
                [_noted(one.value, notes) if heads[place] in _LETTERED else one.value for place, one in enumerate(row)]
            )
        files[file] = _csv(values)
        title = cell(table.caption, False).value
        listing.append((table.number, file, section.title, cell(table.about, False).value, title, report.marking))
    files["index.csv"] = _csv(listing)
    return files


def _noted(value: Value, notes: dict[str, str]) -> Value:
    """Letters of notes written out: a file has no lines below its table."""
    marks = str(value or "").split()
    if not marks or any(mark not in notes for mark in marks):
        return value
    return cell("; ".join(notes[mark] for mark in marks), False).value


def _csv(rows: Sequence[Sequence[Value]]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerows([["" if v is None else v for v in row] for row in rows])
    return "\N{BOM}" + stream.getvalue()


def workbook(report: Report) -> bytes:
    """A workbook with a list of the tables and a sheet for each; equal reports give equal bytes."""
    book = Workbook()
    front = book.active
    assert front is not None
    front.title = "Contents"
    front["A1"], front["A1"].font = report.title, Font(bold=True, size=14)
    front["A2"], front["A2"].font = report.marking, Font(bold=True)
    for place, (name, value) in enumerate(report.status):
        front.cell(4 + place, 1, name)
        front.cell(4 + place, 2, str(cell(value, False).value))
    start = 6 + len(report.status)
    for place, head in enumerate(("Table", "Title", "About", "Section"), 1):
        front.cell(start, place, head).font = Font(bold=True)
    for offset, (section, table, name) in enumerate(names(report), 1):
        _sheet(book.create_sheet(name), report, table)
        link = front.cell(start + offset, 1, table.number)
        link.hyperlink = f"#'{name}'!A1"
        link.font = Font(color="0B4F80", underline="single")
        front.cell(start + offset, 2, str(cell(table.caption, False).value))
        front.cell(start + offset, 3, str(cell(table.about, False).value))
        front.cell(start + offset, 4, section.title)
    for letter, width in (("A", 22), ("B", 90), ("C", 60), ("D", 44)):
        front.column_dimensions[letter].width = width
    stream = io.BytesIO()
    book.save(stream)
    return repeatable(stream.getvalue(), report.moment)


def _sheet(sheet: Worksheet, report: Report, table: Table) -> None:
    heads, rows = cells_of(table)
    sheet["A1"], sheet["A1"].font = str(cell(table.title, False).value), Font(bold=True, size=12)
    sheet["A2"] = str(cell(table.about, False).value)
    sheet["A3"], sheet["A3"].font = report.marking, Font(bold=True, color="505A5F")
    for place, head in enumerate(heads, 1):
        top = sheet.cell(5, place, head)
        top.font, top.alignment = Font(bold=True), Alignment(wrap_text=True, vertical="bottom")
    for down, (row, given) in enumerate(zip(rows, table.rows, strict=True), 6):
        for place, one in enumerate(row, 1):
            made = sheet.cell(down, place, one.value)
            made.number_format = one.format
            made.alignment = Alignment(vertical="top", wrap_text=isinstance(one.value, str))
            if given.kind == "total":
                made.font = Font(bold=True)
            elif given.kind == "chosen":
                made.fill = PatternFill("solid", fgColor="E8F1F8")
    for place, head in enumerate(heads):
        longest = max([len(str(row[place].value or "")) for row in rows], default=0)
        width = min(_WIDEST, max(9, longest + 2, min(len(head) + 2, 16)))
        sheet.column_dimensions[get_column_letter(place + 1)].width = width
    for number, (letter, note) in enumerate(table.notes):
        sheet.cell(7 + len(rows) + number, 1, str(cell(f"{letter} {note}", False).value))
    sheet.freeze_panes = "B6"
    for item, words in ((sheet.oddHeader, report.marking), (sheet.oddFooter, "&P / &N")):
        assert item is not None
        item.center.text = words
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = 9
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = "5:5"


def repeatable(package: bytes, moment: str) -> bytes:
    """An office file without the time of writing: fixed dates in the archive, the run's moment in its properties."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(package)) as old,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as new,
    ):
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "docProps/core.xml":
                dated = r"(<dcterms:(created|modified)[^>]*>)[^<]*(</dcterms:\2>)"
                content = re.sub(dated, rf"\g<1>{moment}\g<3>", content.decode("utf-8")).encode("utf-8")
            fresh = zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0))
            fresh.compress_type, fresh.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            new.writestr(fresh, content)
    return stream.getvalue()
