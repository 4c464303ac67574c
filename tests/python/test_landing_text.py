"""Delimited text files: encodings, line ends, delimiters, title rows, damage (docs/raw_data.md, traps 20 and 21)."""

from __future__ import annotations

import csv
import io
import stat
import tracemalloc
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfpc.errors import InputError
from sfpc.landing.text import Delimited, as_utf8, examine, find_header, rows, tidy

COLUMNS = ("CHILD", "START", "NAME OF TOWN")
HEADER = ",".join(COLUMNS)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-16-be-mark", "cp1252")


def is_header(columns: tuple[str, ...]) -> bool:
    return set(COLUMNS) <= set(columns)


def encoded(text: str, encoding: str) -> bytes:
    return b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-mark" else text.encode(encoding)


def write(tmp_path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = tmp_path / "a file.csv"
    path.write_bytes(content if isinstance(content, bytes) else encoded(content, encoding))
    return path


def read(path: Path) -> list[tuple[int, list[str | None]]]:
    return list(rows(find_header(path, is_header), COLUMNS))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_every_encoding_and_line_end_reads_alike(tmp_path: Path, encoding: str, end: str, last: bool) -> None:
    lines = ["A title – for people", "", HEADER.lower(), "001, 5/5/2020 ,Ynys Môn", "", ",,", '2,"a,b",’'] + [
        "3,,x"
    ] * 99
    path = write(tmp_path, end.join(lines) + (end if last else ""), encoding)
    file = find_header(path, is_header)
    assert (file.header_row, file.columns, file.delimiter) == (3, COLUMNS, ",")
    expected: list[tuple[int, list[str | None]]] = [(4, ["001", "5/5/2020", "Ynys Môn"]), (7, ["2", "a,b", "’"])]
    assert read(path) == expected + [(8 + i, ["3", None, "x"]) for i in range(99)]


@pytest.mark.parametrize(("delimiter", "name"), [("\t", "tab"), (";", "semicolon"), ("|", "pipe")])
def test_other_delimiters_only_where_the_header_then_is_known(tmp_path: Path, delimiter: str, name: str) -> None:
    path = write(tmp_path, delimiter.join(COLUMNS) + f"\n1{delimiter}a,b{delimiter}c\n")
    file = find_header(path, is_header)
    assert (file.delimiter, file.notes) == (delimiter, (f"{name}s between the values",))
    assert read(path) == [(2, ["1", "a,b", "c"])]
    path = write(tmp_path, delimiter.join(["x", "y", "z"]) + f"\n1{delimiter}2{delimiter}3\n")
    assert find_header(path, is_header).header_row == 0


def test_quoted_values_under_another_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path, ";".join(f'"{name}"' for name in COLUMNS) + '\n"1";"2";"a ""b"""\n')
    assert read(path) == [(2, ["1", "2", 'a "b"'])]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\r\n", b"\r", b"\n" * 20, b"\xef\xbb\xbf\n", b",,\n ,\n", b"\xff\xfe"]
)
def test_files_without_a_value_are_empty(tmp_path: Path, content: bytes) -> None:
    file = find_header(write(tmp_path, content), is_header)
    assert file.is_empty and file.header_row == 0


def test_the_header_must_come_soon(tmp_path: Path) -> None:
    titles = "title\n\n" * 9
    assert find_header(write(tmp_path, titles + HEADER), is_header).header_row == 19
    assert find_header(write(tmp_path, titles + "title\n" + HEADER), is_header).header_row == 0


def test_what_was_found_out_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, f"Title\r{HEADER}\r1,2,Môn\r".replace(",", ";"), "cp1252")
    assert find_header(path, is_header).notes == (
        "not UTF-8, read as Windows-1252",
        "semicolons between the values",
        "1 rows above the header",
    )
    assert examine(write(tmp_path, "a\rb")).notes == ("lines end in a carriage return",)
    assert examine(write(tmp_path, "ab" * 20, "utf-16-le")).notes == ("read as UTF-16 without a byte order mark",)
    assert examine(write(tmp_path, "a,b\r\n")).notes == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"{HEADER}\n1,2\n", "row 2: expected 3 values as in the header, found 2"),
        (f"{HEADER}\n1,2,3\n1,2,3,4\n", "row 3: expected 3 values as in the header, found 4"),
        (f'{HEADER}\n1,2,3\n"4,5,6\n7,8,9\n', "row 3: not readable as CSV"),
        (f'{HEADER}\n1,2,3\n"4,5,6\n7,8",9,10\n', "row 3: a value holds a line break"),
        (f'{HEADER}\n1,2,"3"x\n', "row 2: not readable as CSV"),
        (f"{HEADER}\n1,2,3\n1,\0,3\n", "row 3: not text: zero bytes"),
        (f"{HEADER}\n1,2,3\n".encode() + b"1,\x81,3\n", "row 3: byte 0x81 is neither"),
        (f"{HEADER}\n1,2,é\n".encode() + b"1,\xff\0,3\n", "row 3: not text: zero bytes"),
        (f"{HEADER}\n1,2,{'x' * 200_000}\n", "row 2: not readable as CSV"),
        (f"{HEADER}\n1,2,{'x' * 2_000_000}\n", "row 2: not readable as CSV .a line of more than"),
        (f"{HEADER}\n1,2,3\n".encode("utf-16") + b"1", "row 3: not readable as UTF-16"),
        (f"{HEADER}\n1,2,\0\n".encode("utf-16"), "row 2: not text: zero bytes"),
    ],
)
def test_damage_below_a_known_header_is_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = write(tmp_path, content)
    assert find_header(path, is_header).header_row == 1
    with pytest.raises(InputError, match=f"a file.csv, {problem}"):
        read(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04abc", "zip archive or a workbook"),
        (b"\xd0\xcf\x11\xe0\0\0", "old Excel workbook"),
        (HEADER.encode("utf-32"), "UTF-32"),
        (b"\0\1\2\3" * 50, "zero bytes"),
        (b"a,b\n\0\n", "zero bytes"),
        (b'"a\n', "not readable as CSV"),
        (b"\xff\xfea", "UTF-16"),
    ],
)
def test_what_is_no_text_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    file = find_header(write(tmp_path, content), is_header)
    assert file.header_row == 0 and not file.is_empty and problem in file.problem


def test_utf16_without_a_mark_only_beyond_doubt(tmp_path: Path) -> None:
    for content in (b"a\0,b\n" * 40, b"a\0b\0cd" * 40, b"\0a" * 10 + b"b\0" * 10, b"a\0b\0\0\0" * 40):
        assert examine(write(tmp_path, content)).damage == "not text: zero bytes", content[:8]


@pytest.mark.parametrize("text", ["", "  ", "null", "N/A ", "#MultiValue"])
def test_words_for_nothing(text: str) -> None:
    assert tidy(text) is None


@pytest.mark.parametrize("text", [" NONE", "0", "NA", "NULL1", "-"])
def test_words_that_are_values(text: str) -> None:
    assert tidy(text) == text.strip()


def test_plain_files_are_not_copied(tmp_path: Path) -> None:
    for content in (f"{HEADER}\n1,2,é\n", f"{HEADER}\r\n1,2,3", ""):
        path = write(tmp_path, content)
        assert as_utf8(path, tmp_path / "absent") == path


@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if e != "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_others_become_utf8_that_duckdb_reads(tmp_path: Path, encoding: str, end: str) -> None:
    content = end.join([HEADER, "001,5/5/2020,Ynys Môn", "2,’,"] * 1) + end
    path = write(tmp_path, content, encoding)
    work = tmp_path / "work"
    work.mkdir()
    copy = as_utf8(path, work)
    assert copy.parent == work and list(work.iterdir()) == [copy]
    assert copy.read_bytes() == content.replace(end, "\n").encode("utf-8")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    found = duckdb.execute(f"select * from read_csv('{copy}', header = true, all_varchar = true)").fetchall()
    assert found == [("001", "5/5/2020", "Ynys Môn"), ("2", "’", None)]
    assert as_utf8(path, work) == copy


def test_damaged_files_have_no_copy(tmp_path: Path) -> None:
    path = write(tmp_path, b"a,b\n\x81,\n")
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(InputError, match="row 2: byte 0x81"):
        as_utf8(path, work)
    assert not list(work.iterdir())


def test_files_of_one_name_do_not_meet_in_the_work_folder(tmp_path: Path) -> None:
    copies = set()
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        copies.add(as_utf8(write(tmp_path / name, name, "utf-16"), tmp_path))
    assert len(copies) == 2


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(lines: int) -> int:
        path = write(tmp_path, HEADER + "\n" + "123456,01/01/2020,somewhere\n" * lines, "utf-16")
        tracemalloc.start()
        for _ in rows(find_header(path, is_header), COLUMNS):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(60_000)
    assert peak(240_000) < 1.2 * peak(60_000)


VALUES = st.text(st.characters(codec="cp1252", exclude_categories=["Cc"], exclude_characters="\0"), max_size=8).map(
    str.strip
)
TABLES = st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=TABLES,
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from(",;|\t"),
)
def test_a_table_comes_back_whatever_the_file(
    tmp_path: Path, table: list[list[str]], encoding: str, end: str, delimiter: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    # A first row of plain letters, as headers are, so that the encoding can be told at all.
    writer.writerow(COLUMNS)
    writer.writerows(table)
    file: Delimited = find_header(write(tmp_path, out.getvalue(), encoding), is_header)
    expected = [(number, [tidy(value) for value in row]) for number, row in enumerate(table, start=2) if any(row)]
    assert list(rows(file, COLUMNS)) == expected
