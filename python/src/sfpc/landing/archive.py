"""Zip archives and workbooks: looked through before anything is taken out of them (governance: hostile files).

Entries, sizes and ratios are capped; links, paths that lead elsewhere, encryption and archives within
archives are refused, and then nothing of the archive is used. A workbook (.xlsx) is a zip archive too and
passes the same checks before any library opens it.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from sfpc.errors import InputError
from sfpc.landing.declarations import DECLARES, NOT_XML, LongPrologError, declaration_row

WORKBOOKS = (".xlsx", ".xlsm")
"""Workbooks that are read. Macros of an .xlsm are never run: nothing here runs anything."""

_NESTED = (".zip", ".7z", ".rar", ".gz", ".tgz", ".bz2", ".xz", ".tar", ".cab", ".iso", ".jar", ".zst")
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20
_ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Caps:
    """What an archive may hold.

    entries: number of members, folders included. total_bytes: of all members unpacked. ratio: unpacked
    to packed size of one member, from ``ratio_from_bytes`` unpacked bytes on (small files of one repeated
    character are harmless).
    """

    entries: int = 5_000
    total_bytes: int = 4 << 30
    ratio: int = 200
    ratio_from_bytes: int = 8 << 20


CAPS = Caps()
"""Above what real returns need: ten years of 152 LAs are some 1,500 censuses or sets, returns shrink 10 to 40 times."""


WORKBOOK_CAPS = Caps(entries=2_000, total_bytes=512 << 20)
"""Narrower: the texts of a workbook are held in memory at once."""


@dataclass(frozen=True)
class Member:
    """A file taken out of an archive. name: as the archive has it, with its folders. path: where it was put."""

    name: str
    path: Path


def check_archive(path: Path, caps: Caps = CAPS) -> list[zipfile.ZipInfo]:
    """Look through a zip archive without unpacking it; returns its files, in order.

    Raises InputError, naming the member: no zip archive or a damaged one, too many entries, too large
    unpacked, a ratio that only a bomb has, a name that is absolute or leads out of the archive, a link or
    device, an encrypted member, an unusual compression, a name that occurs twice.
    """
    with _opened(path) as archive:
        infos = archive.infolist()
    if len(infos) > caps.entries:
        raise InputError(f"{len(infos)} entries in the archive; at most {caps.entries} are taken", file=path)
    total = sum(info.file_size for info in infos)
    if total > caps.total_bytes:
        raise InputError(f"{total} bytes when unpacked; at most {caps.total_bytes} are taken", file=path)
    seen: set[str] = set()
    for info in infos:
        reason = _why_not(info, caps)
        if reason is None and info.filename.casefold() in seen:
            reason = "the name occurs twice"
        if reason is not None:
            raise InputError(f"member {_shown(info.filename)}: {reason}; the archive is refused", file=path)
        seen.add(info.filename.casefold())
    return [info for info in infos if not info.is_dir()]


def extract_archive(path: Path, folder: Path, caps: Caps = CAPS) -> list[Member]:
    """Put the files of a zip archive into ``folder``, each under its base name in a numbered folder of its own.

    Only the owner may read them. Raises InputError as :func:`check_archive` does, and for a member that is
    an archive itself, whatever its name (a workbook is not), or whose content is damaged.
    """
    infos = check_archive(path, caps)
    members = []
    with _opened(path) as archive:
        for number, info in enumerate(infos, start=1):
            name = PurePosixPath(info.filename)
            if name.suffix.lower() in _NESTED:
                raise InputError(f"member {_shown(info.filename)}: an archive within an archive; unpack it", file=path)
            target = folder / f"{number:05d}" / name.name
            target.parent.mkdir(mode=0o700, parents=True)
            with archive.open(info) as source, _private(target) as out:
                block = source.read(_BLOCK)
                if block.startswith(_ZIP_MAGIC) and name.suffix.lower() not in WORKBOOKS:
                    raise InputError(
                        f"member {_shown(info.filename)}: an archive under another name; unpack it", file=path
                    )
                while block:
                    out.write(block)
                    block = source.read(_BLOCK)
            members.append(Member(info.filename, target))
    return members


def check_workbook(path: Path, caps: Caps = WORKBOOK_CAPS) -> None:
    """Pass a workbook through the checks of an archive, and refuse XML in it that declares types or entities.

    Raises InputError as :func:`check_archive` does.
    """
    infos = check_archive(path, caps)
    with _opened(path) as archive:
        for info in infos:
            if info.filename.lower().endswith((".xml", ".rels", ".vml")) and (reason := _why_not_xml(archive, info)):
                raise InputError(f"member {_shown(info.filename)}: {reason}; the workbook is refused", file=path)


def _why_not_xml(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str | None:
    """Why no library may open an XML member, in words; None where one may."""
    try:
        with archive.open(info) as source:
            return None if declaration_row(source) is None else DECLARES
    except LongPrologError as error:
        return str(error)
    except NOT_XML:
        # No XML at all: the library that reads the workbook says so, without having built anything from it.
        return None


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive; what breaks while it is open is told as damage."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # The library says "not implemented" of a kind of compression that it cannot read.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(
            f"not a readable zip archive or workbook ({error}); nothing of it is used", file=path
        ) from error


@contextmanager
def _private(target: Path) -> Iterator[IO[bytes]]:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(target, flags, 0o600), "wb") as out:
        yield out


def _why_not(info: zipfile.ZipInfo, caps: Caps) -> str | None:
    """Why a member is refused, in words; None where it is taken."""
    name = info.filename
    parts = PurePosixPath(name).parts
    if not parts or "\\" in name or name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        return "the name leads out of the archive"
    if any(ord(character) < 32 for character in name) or len(parts[-1].encode()) > 200:
        return "no name for a file"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or device, not a file"
    if info.flag_bits & 0x1:
        return "encrypted; send the file without a password"
    if info.compress_type not in _READABLE:
        return "compressed in an unusual way"
    if info.file_size > caps.ratio_from_bytes and info.file_size > caps.ratio * max(info.compress_size, 1):
        return f"unpacks to more than {caps.ratio} times its size"
    return None


def _shown(name: str) -> str:
    """A member's name in a message: one line, not too long."""
    return ascii(name[:100])
