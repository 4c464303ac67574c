"""Zip archives and workbooks: what is taken out, and that nothing of a hostile one is (governance, trap 20)."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook

from sfpc.errors import InputError
from sfpc.landing.archive import CAPS, Caps, check_archive, check_workbook, extract_archive
from sfpc.landing.gate import Gate
from sfpc.landing.returns import discover, land_returns
from sfpc.landing.ssda903 import FILES
from sfpc.landing.workbook import read_sheets

KEY = b"k" * 32
EPISODES = ",".join(FILES["Episodes"])
EPISODE = "00123,01/07/2019,S,C2,N1,U1,PR1,,,,AB1 2CD,EF3 4GH,SC123456"
TABLE = f"{EPISODES}\n{EPISODE}\n".encode()


def quiet(_: str) -> None:
    pass


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=method)
    return path


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def patched(path: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))
    return path


def encrypt(content: bytearray) -> None:
    """Set the flag of encryption in the local and in the central header."""
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1


def break_content(content: bytearray) -> None:
    place = content.index(b"PK\x03\x04") + 60
    content[place] ^= 0xFF


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def lie_about_the_size(content: bytearray) -> None:
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 5)


def test_members_come_out_under_their_base_names(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("331/2019/x.csv", b"one"), ("331/", b""), ("332/2019/x.csv", b"two"))
    members = extract_archive(path, tmp_path / "out")
    assert [(m.name, m.path.name, m.path.read_bytes()) for m in members] == [
        ("331/2019/x.csv", "x.csv", b"one"),
        ("332/2019/x.csv", "x.csv", b"two"),
    ]
    assert len({m.path for m in members}) == 2
    for member in members:
        assert member.path.is_relative_to(tmp_path / "out")
        assert len(member.path.relative_to(tmp_path / "out").parts) == 2
        assert stat.S_IMODE(member.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(member.path.parent.stat().st_mode) == 0o700


BAD_NAMES = ["../x.csv", "a/../../x.csv", "/etc/x.csv", "C:x.csv", "C:/x.csv", "a\\..\\x.csv", "a\nb.csv", "x" * 201]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", ("good.csv", TABLE), (name, TABLE))
    with pytest.raises(InputError, match=r"a\.zip: member .*(leads out of the archive|no name for a file)"):
        extract_archive(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    path = zipped(tmp_path / "a.zip", (entry("x.csv", kind | 0o777), b"/etc/hostname"))
    with pytest.raises(InputError, match="link or device"):
        extract_archive(path, tmp_path / "out")


def test_plain_files_with_unix_modes_are_taken(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", (entry("x.csv", stat.S_IFREG | 0o777), b"1"), (entry("d/", stat.S_IFDIR), b""))
    assert [m.name for m in extract_archive(path, tmp_path / "out")] == ["x.csv"]


@pytest.mark.parametrize("name", ["b.zip", "b.ZIP", "b.tar.gz", "b.7z"])
def test_archives_within_archives(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="an archive within an archive"):
        extract_archive(zipped(tmp_path / "a.zip", (name, b"x")), tmp_path / "out")


def test_an_archive_under_another_name(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", ("x.csv", TABLE)).read_bytes()
    with pytest.raises(InputError, match="an archive under another name"):
        extract_archive(zipped(tmp_path / "a.zip", ("x.csv", inner)), tmp_path / "out")


def test_bombs(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("x.csv", b"0" * (CAPS.ratio_from_bytes + 1)))
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        check_archive(path)
    path = zipped(tmp_path / "b.zip", *((f"{i}.csv", b"abc") for i in range(20)))
    assert len(check_archive(path)) == 20
    with pytest.raises(InputError, match="20 entries in the archive; at most 19"):
        check_archive(path, Caps(entries=19))
    with pytest.raises(InputError, match="60 bytes when unpacked; at most 59"):
        check_archive(path, Caps(total_bytes=59))
    assert len(check_archive(path, Caps(entries=20, total_bytes=60))) == 20


def test_an_archive_cannot_deliver_more_than_it_states(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "a.zip", ("x.csv", TABLE * 1000)), lie_about_the_size)
    with pytest.raises(InputError, match="not a readable zip archive"):
        extract_archive(path, tmp_path / "out")
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.csv")) <= 5


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (encrypt, "encrypted; send the file without a password"),
        (break_content, "not a readable zip archive"),
        (cut, "not a readable zip archive"),
    ],
)
def test_encrypted_and_damaged_archives(tmp_path: Path, change: Callable[[bytearray], None], problem: str) -> None:
    path = patched(zipped(tmp_path / "a.zip", ("x.csv", TABLE * 50)), change)
    with pytest.raises(InputError, match=problem):
        extract_archive(path, tmp_path / "out")


def test_unusual_compression_and_double_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compressed in an unusual way"):
        check_archive(zipped(tmp_path / "a.zip", ("x.csv", TABLE), method=zipfile.ZIP_LZMA))
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(tmp_path / "b.zip", ("x.csv", b"1"), ("x.csv", b"2"))
    with pytest.raises(InputError, match="the name occurs twice"):
        check_archive(path)
    with pytest.raises(InputError, match="the name occurs twice"):
        check_archive(zipped(tmp_path / "c.zip", ("x.csv", b"1"), ("X.csv", b"2")))


# Workbooks


def workbook(path: Path) -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(FILES["Episodes"])
    book.save(path)
    return path


def rewritten(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """The same workbook with one member changed."""
    with zipfile.ZipFile(path) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    contents[member] = change(contents[member])
    return zipped(path, *contents.items())


@pytest.mark.parametrize(
    "member", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "[Content_Types].xml", "_rels/.rels"]
)
def test_workbooks_with_declarations(tmp_path: Path, member: str) -> None:
    path = workbook(tmp_path / "a.xlsx")
    check_workbook(path)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'

    def declare(content: bytes) -> bytes:
        end = content.index(b"?>") + 2 if content.startswith(b"<?xml") else 0
        return content[:end] + bomb + content[end:]

    rewritten(path, member, declare)
    with pytest.raises(InputError, match="declares a document type or entities"):
        read_sheets(path, tmp_path / "out")


def test_workbooks_whose_xml_does_not_begin(tmp_path: Path) -> None:
    """A declaration may hide behind a comment without end: what is not looked through is not opened."""
    path = workbook(tmp_path / "a.xlsx")
    comment = b"<!--" + bytes(range(97, 123)) * 50_000 + b"-->"
    rewritten(path, "xl/workbook.xml", lambda content: comment + b"<!DOCTYPE x>" + content)
    with pytest.raises(InputError, match=r"member 'xl/workbook\.xml': no element in the first 1048576 bytes"):
        check_workbook(path, Caps(ratio_from_bytes=1 << 30))


def test_workbooks_that_unpack_to_too_much(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match=r"bytes when unpacked; at most 100 are taken"):
        check_workbook(path, Caps(total_bytes=100))
    rewritten(path, "xl/worksheets/sheet1.xml", lambda content: content + b" " * (CAPS.ratio_from_bytes + 1))
    with pytest.raises(
        InputError, match=r"a\.xlsx: member 'xl/worksheets/sheet1\.xml': unpacks to more than 200 times"
    ):
        read_sheets(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"no workbook at all"])
def test_what_is_no_workbook(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.xlsx: not a readable zip archive or workbook"):
        read_sheets(path, tmp_path / "out")


def test_a_zip_that_is_no_workbook_and_a_workbook_in_pieces(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.xlsx", ("x.csv", TABLE))
    with pytest.raises(InputError, match="not readable as a workbook"):
        read_sheets(path, tmp_path / "out")
    path = rewritten(workbook(tmp_path / "b.xlsx"), "xl/worksheets/sheet1.xml", lambda content: content[:-30])
    with pytest.raises(InputError, match="not readable as a workbook"):
        read_sheets(path, tmp_path / "out")


def test_old_and_encrypted_workbooks(tmp_path: Path) -> None:
    for name in ("a.xls", "a.xlsx"):
        path = tmp_path / name
        path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
        with pytest.raises(InputError, match=r"a\.xlsx?: an old Excel workbook.*save it as \.xlsx"):
            discover(tmp_path, lambda: tmp_path / "out")
        path.unlink()


# Through the landing


def test_members_land_under_the_name_of_their_archive(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    inner = workbook(tmp_path / "x.xlsx").read_bytes()
    path = zipped(
        folder / "returns.zip",
        ("331/2019-episodes.csv", TABLE),
        ("331/2020-book.xlsx", inner),
        ("332/2019-oc3.csv", b"CHILD,DOB,IN_TOUCH,ACTIV,ACCOM\n1,,,,\n"),
    )
    with Gate(tmp_path / "landing", "returns", base=folder) as gate:
        landed = land_returns(folder, gate, KEY, progress=quiet)
        assert (tmp_path / "landing.incoming" / "tmp" / "scratch").exists()
        account = gate.commit()
    assert not list(tmp_path.glob("landing.*"))
    assert not list((tmp_path / "landing").rglob("scratch"))
    assert account[["file", "table", "raw", "landed"]].to_numpy().tolist() == [
        ["returns.zip!331/2019-episodes.csv", "cla_episodes", 1, 1],
        ["returns.zip!331/2020-book.xlsx!Sheet", "cla_episodes", 0, 0],
    ]
    manifest = (tmp_path / "landing" / "manifest.json").read_text(encoding="utf-8")
    for name in ("returns.zip", "returns.zip!331/2019-episodes.csv", "returns.zip!331/2020-book.xlsx"):
        assert f'"file": "{name}"' in manifest
    assert "returns.zip!332/2019-oc3.csv" in manifest
    assert set(landed.la_codes.values()) == {"331"}
    assert path.exists()


CENSUS = (
    b"<Message><Header><CollectionDetails><Collection>CIN</Collection><ReferenceDate>2023-03-31</ReferenceDate>"
    b"</CollectionDetails><Source><LEA>333</LEA></Source></Header><Children><Child><ChildIdentifiers>"
    b"<LAchildID>1</LAchildID></ChildIdentifiers><New/><CINdetails><CINreferralDate>2022-06-01</CINreferralDate>"
    b"</CINdetails></Child></Children></Message>"
)


def test_a_census_in_an_archive(tmp_path: Path) -> None:
    """Its Header gives the LA to the SSDA903 files beside it, and messages name the member."""
    path = zipped(tmp_path / "in" / "a.zip", ("cin.xml", CENSUS), ("2019-episodes.csv", TABLE))
    lines: list[str] = []
    with Gate(tmp_path / "landing", "returns", base=tmp_path / "in") as gate:
        landed = land_returns(tmp_path / "in", gate, KEY, progress=lines.append)
        account = gate.commit()
    assert sorted(account["file"]) == ["a.zip!2019-episodes.csv", "a.zip!cin.xml"]
    assert set(landed.la_codes.values()) == {"333"}
    assert not [line for line in lines if "scratch" in line]
    assert any(f"{path}!cin.xml: elements" in line for line in lines)
    zipped(path, ("cin.xml", CENSUS[:-20]))
    with (
        pytest.raises(InputError, match=r"a\.zip!cin\.xml, row 1, column \d+: not well-formed"),
        Gate(tmp_path / "landing", "returns", base=tmp_path / "in") as gate,
    ):
        land_returns(tmp_path / "in", gate, KEY, progress=quiet)


def test_flat_tables_of_a_census_in_an_archive_and_in_a_workbook(tmp_path: Path) -> None:
    child = ["LAchildID", "PersonBirthDate", "GenderCurrent", "Ethnicity"], ["1", "2010-05-27", "1", "WBRI"]
    details = ["LAchildID", "CINreferralDate", "CINclosureDate"], ["1", "2022-06-01", None]
    book = Workbook()
    for sheet, rows in ((book.active, child), (book.create_sheet("b"), details)):
        assert sheet is not None
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "book.xlsx")
    texts = ["\n".join(",".join(value or "" for value in row) for row in rows).encode() for rows in (child, details)]
    zipped(
        tmp_path / "in" / "a.zip",
        ("331/2023/child.csv", texts[0]),
        ("331/2023/details.csv", texts[1]),
        ("332/2023.xlsx", (tmp_path / "book.xlsx").read_bytes()),
    )
    with Gate(tmp_path / "landing", "returns", base=tmp_path / "in") as gate:
        land_returns(tmp_path / "in", gate, KEY, progress=quiet)
        account = gate.commit()
    assert account.loc[account["landed"] > 0, ["file", "landed"]].to_numpy().tolist() == [
        ["a.zip!331/2023/details.csv", 1],
        ["a.zip!332/2023.xlsx!b", 1],
    ]


def test_a_refused_archive_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    zipped(folder / "331" / "good 2019.zip", ("2019-episodes.csv", TABLE))
    bad = TABLE.replace(b"U1,PR1", b"U1")
    zipped(folder / "331" / "z bad 2019.zip", ("set/2019-episodes.csv", bad))
    with (
        pytest.raises(InputError, match=r"331/z bad 2019\.zip!set/2019-episodes\.csv, row 2: expected 13 values"),
        Gate(tmp_path / "landing", "returns", base=folder) as gate,
    ):
        land_returns(folder, gate, KEY, progress=quiet)
        gate.commit()
    assert not list(tmp_path.glob("landing*"))


def test_the_same_file_inside_and_outside_counts_once(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "331"
    zipped(folder / "copy.zip", ("2019-episodes.csv", TABLE))
    (folder / "2019-episodes.csv").write_bytes(TABLE)
    with Gate(tmp_path / "landing", "returns", base=folder) as gate:
        land_returns(tmp_path / "in", gate, KEY, progress=quiet)
        account = gate.commit()
    assert account[["raw", "landed", "duplicate"]].sum().tolist() == [2, 1, 1]


def test_without_a_folder_to_unpack_into_archives_are_listed(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", ("x.csv", TABLE))
    workbook(tmp_path / "b.xlsx")
    found = discover(tmp_path)
    assert [entry.path.name for entry in found.ignored] == ["a.zip", "b.xlsx"]
    assert all("no folder was given" in entry.reason for entry in found.ignored)


def test_an_archive_without_files_is_listed(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip")
    (tmp_path / "out").mkdir()
    assert [e.reason for e in discover(tmp_path, lambda: tmp_path / "out").ignored] == ["an archive without files"]
