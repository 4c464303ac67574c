"""How a delimited text file is read: encoding, line ends, delimiter, title rows, damage. The one home for it.

A reader says which sets of column names are a header; everything else about the file is found out here
and told (``notes``), never guessed silently. Row numbers are those a spreadsheet shows: from 1, title
rows, blank rows and the header included; a quoted line break does not start a new row.
Source: docs/raw_data.md, traps 20 and 21.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from sfpc.errors import InputError

HEADER_WITHIN = 10
"""The header is among the first rows that hold a value: up to four title rows occur (trap 20); ten leave room."""

MISSING = ("NULL", "N/A", "#MULTIVALUE")
"""Words that extracts write where there is no value, in any case (trap 21)."""

IsHeader = Callable[[tuple[str, ...]], bool]

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
_BLOCK = 1 << 20
_SAMPLE = 1 << 12
_LONGEST_LINE = 1 << 20
# The five bytes that Windows-1252 leaves undefined.
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive or a workbook; name it .zip or .xlsx"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as .xlsx"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "Parquet; name it .parquet"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
)
_MISSING = frozenset(MISSING)


@dataclass(frozen=True)
class TextFile:
    """What the bytes of a text file are.

    encoding: Python codec. is_plain: UTF-8 without a byte order mark and with line feeds, so that any
    reader takes it as it is. notes: what an analyst should know, in words. damage, damage_row: why the
    file cannot be read to its end, and the line of it; None where it can.
    """

    path: Path
    encoding: str
    is_plain: bool = True
    notes: tuple[str, ...] = ()
    damage: str | None = None
    damage_row: int | None = None

    def refuse_damage(self) -> None:
        """Raise InputError where the file cannot be read to its end."""
        if self.damage is not None:
            raise InputError(self.damage, file=self.path, row=self.damage_row)


@dataclass(frozen=True)
class Delimited:
    """A text file and the header that was found in it.

    header_row: row of the header from 1, 0 where none was found. columns: names in the header, upper
    case, blanks off, in order; without a header the first row that holds a value. delimiter: between
    values. problem: why no row could be looked at, in words.
    """

    text: TextFile
    header_row: int = 0
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.text.path

    @property
    def is_empty(self) -> bool:
        """Whether the file holds no value at all: zero bytes, or nothing but line ends (trap 20)."""
        return not self.columns and not self.problem


def examine(path: Path) -> TextFile:
    """Tell the encoding of a file from all its bytes.

    UTF-8 with or without byte order mark, UTF-16 with one, UTF-16 without one where the pattern of zero
    bytes leaves no doubt (every zero byte of the first 4 KB on the same side of its pair, in at least
    three of four pairs, and the whole file decodes without a zero character); else Windows-1252, which
    is noted. Zero bytes in any other text, and bytes that no encoding has, are damage.

    The work is one pass over the file (two for Windows-1252), in blocks.
    """
    with path.open("rb") as handle:
        sample = handle.read(_SAMPLE)
        for magic, what in _OTHER_FORMATS:
            if sample.startswith(magic):
                return TextFile(path, "utf-8", False, damage=f"not text: it begins like {what}")
        if sample[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
            return TextFile(path, "utf-8", False, damage="UTF-32 is not read; save the file as UTF-8")
        if sample[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return _utf16(path, handle, "utf-16", "UTF-16")
        if b"\0" in sample:
            codec = _utf16_without_mark(sample)
            if codec is not None:
                found = _utf16(path, handle, codec, "UTF-16 without a byte order mark")
                if found.damage is None:
                    return found
        return _utf8(path, handle) or _windows_1252(path, handle)


def find_header(path: Path, is_header: IsHeader, within: int = HEADER_WITHIN) -> Delimited:
    """Find the header of a delimited file: the first row that ``is_header`` knows.

    Looked for in the first ``within`` rows that hold a value. Values are separated by commas; by tabs,
    semicolons or pipes only where the header is known that way and not with commas. Where nothing is
    known, ``header_row`` is 0.
    """
    text = examine(path)
    first: tuple[str, ...] = ()
    problem = text.damage or ""
    for delimiter, name in _DELIMITERS.items():
        try:
            for number, columns in _first_rows(text, delimiter, within):
                if delimiter == "," or problem:
                    first = first or columns
                if is_header(columns):
                    notes = (
                        *text.notes,
                        *([f"{name}s between the values"] if delimiter != "," else []),
                        *([f"{number - 1} rows above the header"] if number > 1 else []),
                    )
                    return Delimited(text, number, columns, delimiter, notes=notes)
        except csv.Error as error:
            problem = problem or f"not readable as CSV ({error})"
    return Delimited(text, 0, first, problem=problem, notes=text.notes)


def rows(file: Delimited, columns: Sequence[str]) -> Iterator[tuple[int, list[str | None]]]:
    """Row number and the wanted columns of every row below the header that holds a value.

    Values lose surrounding blanks and nothing else; None where blank, one of ``MISSING``, or the file
    has no such column.

    Raises InputError: a row whose number of values is not the header's, a quote left open (also where it
    was closed again rows later: no value of an extract holds a line break), damage of the file.
    """
    file.text.refuse_damage()
    width = max(i for i, name in enumerate(file.columns, start=1) if name)
    places = [file.columns.index(name) if name in file.columns else None for name in columns]
    for number, row in below_header(file):
        if len(row) < width or any(value.strip() for value in row[width:]):
            raise InputError(
                f"expected {width} values as in the header, found {len(row)} (a damaged line, or an unquoted comma)",
                file=file.path,
                row=number,
            )
        if any("\n" in value or "\r" in value for value in row):
            raise InputError("a value holds a line break: a quote was left open here", file=file.path, row=number)
        yield number, [None if i is None else tidy(row[i]) for i in places]


def below_header(file: Delimited) -> Iterator[tuple[int, list[str]]]:
    """Row number and all values, as they stand, of every row below the header that holds a value.

    Raises InputError for a quote left open and damage of the file.
    """
    file.text.refuse_damage()
    number = 0
    try:
        for number, row in enumerate(_records(file.text, file.delimiter), start=1):
            if number > file.header_row and any(value.strip() for value in row):
                yield number, row
    except csv.Error as error:
        raise InputError(f"not readable as CSV ({error})", file=file.path, row=number + 1) from error


def tidy(value: str) -> str | None:
    """A value without surrounding blanks; None where nothing is left or a word says that there is none."""
    text = value.strip()
    return None if not text or text.upper() in _MISSING else text


def as_utf8(path: Path, folder: Path) -> Path:
    """The same text as plain UTF-8 with line feeds, for readers that take nothing else.

    A file that is so already is returned itself; else a copy in ``folder`` (owner alone may read it).
    Rows keep their numbers: title rows and delimiters stay; :func:`find_header` tells them.

    Raises InputError where the file cannot be read to its end.
    """
    text = examine(path)
    text.refuse_damage()
    if text.is_plain:
        return path
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    target = folder / f"{path.stem}.{digest}{path.suffix}"
    aside = target.with_name(target.name + ".part")
    with (
        path.open(encoding=text.encoding, newline=None) as source,
        os.fdopen(
            os.open(aside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8", newline=""
        ) as out,
    ):
        while block := source.read(_BLOCK):
            out.write(block)
    aside.replace(target)
    return target


def _first_rows(text: TextFile, delimiter: str, within: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number and names (upper case, blanks off) of the first rows that hold a value."""
    named = (
        (number, tuple(value.strip().upper() for value in row))
        for number, row in enumerate(_records(text, delimiter, errors="replace"), start=1)
    )
    yield from islice((row for row in named if any(row[1])), within)


def _records(text: TextFile, delimiter: str, errors: str = "strict") -> Iterator[list[str]]:
    with text.path.open(newline="", encoding=text.encoding, errors=errors) as handle:
        # Strict: a quote left open would otherwise swallow the rest of the file without a word.
        yield from csv.reader(_lines(handle), delimiter=delimiter, strict=True)


def _lines(handle: IO[str]) -> Iterator[str]:
    """Lines of a file; one that does not end must not fill the memory."""
    while line := handle.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE} characters")
        yield line


def _utf8(path: Path, handle: IO[bytes]) -> TextFile | None:
    """The file as UTF-8, damaged where it holds zero bytes; None where it is another encoding."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    handle.seek(0)
    has_mark = handle.read(3) == codecs.BOM_UTF8
    has_bare_return, ends_in_return, lines = False, False, 1
    handle.seek(0)
    while block := handle.read(_BLOCK):
        if b"\0" in block:
            return _zero_bytes(path, "utf-8-sig", lines + block[: block.index(b"\0")].count(b"\n"))
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            return None
        has_bare_return |= ends_in_return and not block.startswith(b"\n")
        ends_in_return = block.endswith(b"\r")
        has_bare_return |= block.count(b"\r") - block.count(b"\r\n") > ends_in_return
        lines += block.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    has_bare_return |= ends_in_return
    notes = ("lines end in a carriage return",) if has_bare_return else ()
    return TextFile(path, "utf-8-sig" if has_mark else "utf-8", not has_mark and not has_bare_return, notes)


def _windows_1252(path: Path, handle: IO[bytes]) -> TextFile:
    handle.seek(0)
    lines = 1
    while block := handle.read(_BLOCK):
        zero = block.find(b"\0")
        if zero >= 0:
            return _zero_bytes(path, "cp1252", lines + block[:zero].count(b"\n"))
        undefined = _UNDEFINED.search(block)
        if undefined is not None:
            return TextFile(
                path,
                "cp1252",
                False,
                damage=f"byte 0x{undefined[0].hex()} is neither UTF-8 nor Windows-1252; save the file as UTF-8",
                damage_row=lines + block[: undefined.start()].count(b"\n"),
            )
        lines += block.count(b"\n")
    return TextFile(path, "cp1252", False, ("not UTF-8, read as Windows-1252",))


def _zero_bytes(path: Path, encoding: str, row: int) -> TextFile:
    return TextFile(path, encoding, False, damage="not text: zero bytes", damage_row=row)


def _utf16_without_mark(sample: bytes) -> str | None:
    """Codec where the zero bytes of a sample all stand on one side of their pairs, and nearly everywhere."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if min(even, odd) or max(even, odd) < 0.75 * (len(sample) // 2):
        return None
    return "utf-16-be" if even else "utf-16-le"


def _utf16(path: Path, handle: IO[bytes], codec: str, name: str) -> TextFile:
    handle.seek(0)
    decoder = codecs.getincrementaldecoder(codec)()
    lines = 1
    try:
        while block := handle.read(_BLOCK):
            text = decoder.decode(block)
            if "\0" in text:
                return _zero_bytes(path, codec, lines + text[: text.index("\0")].count("\n"))
            lines += text.count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return TextFile(path, codec, False, damage=f"not readable as {name} ({error.reason})", damage_row=lines)
    return TextFile(path, codec, False, (f"read as {name}",))
