"""A folder of statutory returns: what is in it, whose it is, and its rows handed to the gate.

CIN census XML (:mod:`sfpc.landing.cin_xml`), the same as flat tables (:mod:`sfpc.landing.cin_blades`) and
SSDA903 CSV (:mod:`sfpc.landing.ssda903`) lie in any arrangement of subfolders. Nothing is passed over
without a word: a file that is not read is listed with the reason.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.cin_blades import HEADER as CIN_HEADER
from sfpc.landing.cin_blades import Blade, BladeSet, identify_blade, read_blades, stated_source
from sfpc.landing.cin_xml import (
    Header,
    Tally,
    UnreadableXml,
    counted,
    read_cin_xml,
    read_header,
    why_not_cin,
)
from sfpc.landing.gate import sha256_of
from sfpc.landing.layout import CIN_RECORDS, CLA_CHILDREN, CLA_EPISODES
from sfpc.landing.ssda903 import (
    EPISODES,
    HEADER,
    UASC,
    CsvFile,
    identify,
    read_children,
    read_episodes,
    read_uasc,
)
from sfpc.progress import say

LA_NOT_STATED = "000"
"""Stands for the LA of SSDA903 files where nothing tells it; no real LA has this code."""

_LA_FOLDER = re.compile(r"[0-9]{3}")
_YEAR = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}(?![0-9])")
_YEAR_SPAN = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})[-_ ]?((?:19|20)?[0-9]{2})(?![0-9])")

# Social workers' episodes are another file.
_EPISODES_NAME = re.compile(r"(?<!sw)(?<!sw[_ -])episode")


class RowGate(Protocol):
    """The part of :class:`sfpc.landing.gate.Gate` that the readers feed."""

    def add_rows(self, table: str, file: Path, rows: pd.DataFrame, date_format: str) -> None:
        """Take text rows of a file."""

    def add_empty(self, table: str, file: Path) -> None:
        """Count a file without rows."""

    def note_ignored(self, file: Path, reason: str) -> None:
        """List a file that is not read."""


@dataclass(frozen=True)
class CinFile:
    """A CIN census and what its Header says."""

    path: Path
    header: Header


@dataclass(frozen=True)
class Ignored:
    """A file that is not read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class ReturnSet:
    """The files below a folder, each list in order of path.

    cin: CIN censuses. ssda903: Episodes, Header and UASC files. empty: CSV files without any value.
    ignored: everything else. blades: CIN censuses as flat tables.
    """

    directory: Path
    cin: tuple[CinFile, ...]
    ssda903: tuple[CsvFile, ...]
    empty: tuple[CsvFile, ...]
    ignored: tuple[Ignored, ...]
    blades: tuple[Blade, ...] = ()


@dataclass
class LandedReturns:
    """What :func:`land_returns` handed over.

    rows: rows per landing table, before the gate's checks. not_loaded: columns of the files read that
    no landing table takes (DP.7), by kind of file. la_codes: LA given to each SSDA903 file and to each
    CIN file. uasc_without_header: children in a UASC file and in no Header file of their set.
    cin_tally: values of the CIN returns that became no part of a row.
    """

    found: ReturnSet
    rows: Counter[str] = field(default_factory=Counter)
    not_loaded: dict[str, list[str]] = field(default_factory=dict)
    la_codes: dict[Path, str] = field(default_factory=dict)
    uasc_without_header: int = 0
    cin_tally: Tally = field(default_factory=Tally)


def discover(directory: Path) -> ReturnSet:
    """Find the returns below a folder, by what the files hold.

    An XML file is a CIN census when it is a Message of the collection CIN; a CSV file is what
    :func:`sfpc.landing.ssda903.identify` says, else what :func:`sfpc.landing.cin_blades.identify_blade` does.
    A file that breaks off or is damaged before that can be told is ignored with its reason; damage further
    on stops the landing when the file is read.

    Raises InputError when the folder does not exist, or a file must be refused rather than ignored
    (document type declaration, identifying column, several LAs in one return).
    """
    if not directory.is_dir():
        raise InputError("expected a folder with statutory returns", file=directory)
    cin: list[CinFile] = []
    ssda903: list[CsvFile] = []
    empty: list[CsvFile] = []
    ignored: list[Ignored] = []
    blades: list[Blade] = []
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        ending = path.suffix.lower()
        if ending == ".xml":
            header, reason = _cin_header(path)
            if header is not None and reason is None:
                cin.append(CinFile(path, header))
            else:
                ignored.append(Ignored(path, reason or ""))
        elif ending == ".csv":
            file = identify(path)
            if file.is_loaded:
                ssda903.append(file)
            elif file.is_empty:
                empty.append(file)
            elif (blade := identify_blade(path)) is not None:
                blades.append(blade)
            else:
                reason = f"SSDA903 {file.kind}: no landing table needs it (DP.7)"
                ignored.append(Ignored(path, reason if file.kind else file.reason))
        else:
            ignored.append(Ignored(path, "neither .xml nor .csv"))
    return ReturnSet(directory, tuple(cin), tuple(ssda903), tuple(empty), tuple(ignored), tuple(blades))


def land_returns(
    directory: Path,
    gate: RowGate,
    key: bytes,
    la_code: str | None = None,
    progress: Callable[[str], None] = say,
) -> LandedReturns:
    """Read every return below a folder and hand its rows to the gate; the caller commits the gate.

    LA and year of a CIN census come from its Header, else as for SSDA903 files, which state neither:
    the year from :func:`year_of`; the LA from the nearest folder whose name is a three-digit code, else
    the one LA of the CIN censuses in the nearest folder that has some below it, else ``la_code``, else
    ``LA_NOT_STATED`` with a line of progress. An SSDA903 set is the files of one folder, LA and year.

    Parameters
    ----------
    gate: takes text rows; dates are YYYY-MM-DD (``iso``) in CIN XML, dd/mm/yyyy (``uk``) in SSDA903, either
        in CIN flat tables (:func:`sfpc.landing.cin_blades.read_blades`).
    key: key of the pupil pseudonyms. progress: takes lines for the analyst.

    Raises InputError (nothing may be committed then): no return found, or a file that cannot be used.
    """
    found = discover(directory)
    if not (found.cin or found.blades or found.ssda903 or found.empty):
        seen = f"; {_number(len(found.ignored), 'file')} of other kinds" if found.ignored else ""
        raise InputError(f"no CIN census XML and no SSDA903 CSV{seen}", file=directory)
    landed = LandedReturns(found)
    for entry in found.ignored:
        gate.note_ignored(entry.path, entry.reason)
    _tell_ignored(found, progress)
    for file in found.cin:
        _land_cin(file, landed, gate, key, la_code, progress)
    _land_blades(landed, gate, key, la_code, progress)
    _tell_tally(landed.cin_tally, progress)
    _land_ssda903(landed, gate, key, la_code, progress)
    for empty in found.empty:
        _count_empty(empty.path, gate)
    for kind, columns in sorted(landed.not_loaded.items()):
        progress(f"SSDA903 {kind}: columns not loaded (DP.7): {', '.join(columns)}")
    nowhere = sorted({str(p.parent) for p, code in landed.la_codes.items() if code == LA_NOT_STATED})
    if nowhere:
        progress(
            f"LA not stated, code {LA_NOT_STATED} used, for the files in {', '.join(nowhere)}: put them "
            "in a folder named by the three-digit LA code, or give the code"
        )
    return landed


def year_of(path: Path, directory: Path) -> int:
    """Return year (ending 31 March) from the name of a file, else of the nearest folder above it.

    Four digits from 1900 to 2099 that stand alone, as in ``2019-episodes.csv``; two years in a row
    (``2018-19``, ``2018_2019``) mean the second. ``directory`` is the last folder looked at.

    Raises InputError when no name holds a year, or one holds several.
    """
    for name in (path.stem, *_folders(path, directory)):
        spans = {
            int(first) + 1
            for first, second in _YEAR_SPAN.findall(name)
            if int(second[-2:]) == (int(first) + 1) % 100 and (len(second) == 2 or int(second) == int(first) + 1)
        }
        years = spans or {int(year) for year in _YEAR.findall(name)}
        if len(years) > 1:
            raise InputError(
                f"which year is it? {name} holds {', '.join(map(str, sorted(years)))}; name the file by "
                "the year that ends on 31 March, like 2019-episodes.csv",
                file=path,
            )
        if years:
            return years.pop()
    raise InputError(
        "the return year is unknown: name the file or its folder by the year that ends on 31 March, "
        "like 2019-episodes.csv",
        file=path,
    )


def _cin_header(path: Path) -> tuple[Header | None, str | None]:
    try:
        header = read_header(path)
    except UnreadableXml as error:
        return None, f"not readable as XML ({error.reason})"
    return header, why_not_cin(header)


def _folders(path: Path, directory: Path) -> Iterator[str]:
    """Names of the folders above a file, nearest first, up to and with the folder of the set."""
    yield from reversed(path.relative_to(directory).parts[:-1])
    yield directory.resolve().name


def _la_from_folder(path: Path, directory: Path) -> str | None:
    return next((n for n in _folders(path, directory) if _LA_FOLDER.fullmatch(n)), None)


def _la_of(path: Path, found: ReturnSet, la_code: str | None) -> str:
    code = _la_from_folder(path, found.directory)
    if code is not None:
        return code
    for folder in path.parents:
        codes = {
            file.header.la_code or _la_from_folder(file.path, found.directory)
            for file in found.cin
            if file.path.is_relative_to(folder)
        } - {None}
        if len(codes) == 1:
            return str(codes.pop())
        if codes or folder == found.directory:
            break
    return la_code or LA_NOT_STATED


def _land_cin(
    file: CinFile,
    landed: LandedReturns,
    gate: RowGate,
    key: bytes,
    la_code: str | None,
    progress: Callable[[str], None],
) -> None:
    header, directory = file.header, landed.found.directory
    la = header.la_code or _la_of(file.path, landed.found, la_code)
    folder = _la_from_folder(file.path, directory)
    if folder is not None and folder != la:
        progress(f"{file.path}: the LA in its Header, {la}, counts, not that of its folder, {folder}")
    year = header.return_year or year_of(file.path, directory)
    if header.return_year is not None and header.reference_date != f"{year:04d}-03-31":
        progress(f"{file.path}: ReferenceDate {header.reference_date} is not a 31 March; read as the census of {year}")
    landed.la_codes[file.path] = la
    frames = read_cin_xml(file.path, key, la_code=la, return_year=year, note=progress, tally=landed.cin_tally)
    rows: Counter[str] = Counter({CIN_RECORDS.name: 0})
    for table, frame in frames:
        gate.add_rows(table, file.path, frame, "iso")
        rows[table] += len(frame)
    if not rows.total():
        gate.add_empty(CIN_RECORDS.name, file.path)
    landed.rows.update(rows)


def _land_blades(
    landed: LandedReturns, gate: RowGate, key: bytes, la_code: str | None, progress: Callable[[str], None]
) -> None:
    """Land flat tables of CIN returns: the tables of one folder, LA and year are one return.

    A table's own columns tell LA and year first; then a year in the file's name; then the table Header of
    the folder; then what tells it for SSDA903 files.
    """
    found = landed.found
    headers = {blade.path.parent: stated_source(blade) for blade in found.blades if blade.kind == CIN_HEADER}
    sets: dict[tuple[Path, str, int], list[Blade]] = defaultdict(list)
    for blade in found.blades:
        la, year = (None, None) if blade.kind == CIN_HEADER else stated_source(blade)
        header_la, header_year = headers.get(blade.path.parent, (None, None))
        if year is None and (header_year is None or _YEAR.search(blade.path.stem)):
            year = year_of(blade.path, found.directory)
        la = la or header_la or _la_of(blade.path, found, la_code)
        landed.la_codes[blade.path] = la
        sets[blade.path.parent, la, year or header_year or 0].append(blade)
    seen: dict[tuple[str, int], tuple[Path, list[str]]] = {}
    for (folder, la, year), blades in sets.items():
        contents = sorted(sha256_of(blade.path) for blade in blades)
        first, same = seen.setdefault((la, year), (folder, contents))
        if same != contents:
            raise InputError(
                f"a second CIN return of LA {la} and {year} as flat tables, with other contents than in {first}; "
                "keep the one that counts",
                file=folder,
            )
        one = BladeSet(la, year, tuple(blades))
        handed: set[Path] = set()
        for table, path, date_format, frame in read_blades(one, key, note=progress, tally=landed.cin_tally):
            gate.add_rows(table, path, frame, date_format)
            landed.rows[table] += len(frame)
            handed.add(path)
        for blade in blades:
            if blade.path not in handed:
                # No rows of its own, but it belongs in the account.
                gate.add_empty(blade.table, blade.path)


def _tell_tally(tally: Tally, progress: Callable[[str], None]) -> None:
    if tally.not_loaded:
        progress(f"CIN census: values seen and not loaded, no purpose (DP.7): {counted(tally.not_loaded)}")
    if tally.empty:
        progress(f"CIN census: groups without a value that is loaded, no row: {counted(tally.empty)}")


def _land_ssda903(
    landed: LandedReturns,
    gate: RowGate,
    key: bytes,
    la_code: str | None,
    progress: Callable[[str], None],
) -> None:
    sets: dict[tuple[Path, str, int], list[CsvFile]] = defaultdict(list)
    unused: dict[str, set[str]] = defaultdict(set)
    for file in landed.found.ssda903:
        la = _la_of(file.path, landed.found, la_code)
        landed.la_codes[file.path] = la
        sets[file.path.parent, la, year_of(file.path, landed.found.directory)].append(file)
        unused[str(file.kind)].update(file.not_loaded)
    landed.not_loaded = {kind: sorted(columns) for kind, columns in unused.items() if columns}
    without_uasc: list[Path] = []
    for (_, la, year), files in sets.items():
        lists = [file.path for file in files if file.kind == UASC]
        uasc: set[str] = set().union(*(read_uasc(path) for path in lists))
        for path in lists:
            # No rows of its own, but it decides those of the Header file: it belongs in the account.
            gate.add_empty(CLA_CHILDREN.name, path)
        children: set[str] = set()
        for file in files:
            if file.kind == EPISODES:
                frames = read_episodes(file.path, la, year)
                _hand_over(CLA_EPISODES.name, file.path, frames, "uk", gate, landed)
            elif file.kind == HEADER:
                frames = _noting(read_children(file.path, la, year, key, uasc), children)
                _hand_over(CLA_CHILDREN.name, file.path, frames, "uk", gate, landed)
                if not lists:
                    without_uasc.append(file.path)
        landed.uasc_without_header += len(uasc - children)
    if without_uasc:
        progress(
            f"{_number(len(without_uasc), 'SSDA903 Header file')} without a UASC file beside: no child there "
            f"counts as unaccompanied, for example {without_uasc[0]}"
        )
    if landed.uasc_without_header:
        progress(
            f"{landed.uasc_without_header} children of SSDA903 UASC files are in no Header file of the "
            "same folder, LA and year, and have no row"
        )


def _noting(frames: Iterator[pd.DataFrame], children: set[str]) -> Iterator[pd.DataFrame]:
    for frame in frames:
        children.update(frame["la_child_id"].dropna())
        yield frame


def _hand_over(
    table: str,
    path: Path,
    frames: Iterator[pd.DataFrame],
    date_format: str,
    gate: RowGate,
    landed: LandedReturns,
) -> None:
    rows = 0
    for frame in frames:
        gate.add_rows(table, path, frame, date_format)
        rows += len(frame)
    if rows == 0:
        gate.add_empty(table, path)
    landed.rows[table] += rows


def _count_empty(path: Path, gate: RowGate) -> None:
    # Without a header the name is all there is to go by; it decides nothing but the line of the account.
    name = path.stem.lower()
    if _EPISODES_NAME.search(name):
        gate.add_empty(CLA_EPISODES.name, path)
    elif "header" in name or "uasc" in name:
        gate.add_empty(CLA_CHILDREN.name, path)
    else:
        gate.note_ignored(path, "empty: 0 rows and no header")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _tell_ignored(found: ReturnSet, progress: Callable[[str], None]) -> None:
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for entry in found.ignored:
        by_reason[entry.reason].append(entry.path)
    for file in found.empty:
        by_reason[file.reason].append(file.path)
    for reason, paths in by_reason.items():
        example = paths[0].relative_to(found.directory)
        progress(f"{_number(len(paths), 'file')} not read: {reason} ({example}{' ...' if paths[1:] else ''})")
