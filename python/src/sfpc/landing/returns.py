"""A folder of statutory returns: what is in it, whose it is, and its rows handed to the gate.

CIN census XML (:mod:`sfpc.landing.cin_xml`), the same as flat tables (:mod:`sfpc.landing.cin_blades`) and
SSDA903 tables (:mod:`sfpc.landing.ssda903`: CSV, sheets of a workbook, XML) lie in any arrangement of
subfolders and zip archives. Nothing is passed over without a word: a file that is not read is listed with
the reason.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd

from sfpc.errors import InputError
from sfpc.landing.archive import WORKBOOKS, extract_archive
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
from sfpc.landing.dates import return_years
from sfpc.landing.gate import sha256_of
from sfpc.landing.la_register import la_register
from sfpc.landing.layout import CIN_RECORDS, CLA_CHILDREN, CLA_EPISODES
from sfpc.landing.ssda903 import (
    EPISODES,
    HEADER,
    SUBMITTED,
    UASC,
    XML,
    ChildOfReturn,
    CsvFile,
    Origin,
    count_rows,
    identify,
    read_children,
    read_episodes,
    read_uasc,
)
from sfpc.landing.ssda903_xml import ROOT as SSDA903_ROOT
from sfpc.landing.ssda903_xml import write_tables
from sfpc.landing.workbook import read_sheets
from sfpc.progress import say

LA_NOT_STATED = "000"
"""Stands for the LA of SSDA903 files where nothing tells it; no real LA has this code."""

_LA_FOLDER = re.compile(r"[0-9]{3}")
_LA_IN_NAME = re.compile(r"(?<![0-9A-Za-z])[0-9]{3}(?![0-9A-Za-z])")
_TEXT_FILES = (".csv", ".tsv", ".txt")

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

    def scratch(self) -> Path:
        """A private folder for parts of archives and workbooks; lives until all rows are judged."""

    def name_part(self, part: Path, container: Path, name: str) -> None:
        """Name a file that was taken out of another one."""


@dataclass(frozen=True)
class CinFile:
    """A CIN census and what its Header says."""

    path: Path
    header: Header


@dataclass(frozen=True)
class Ignored:
    """A file that is not read, and why. rows: what it holds, where that is known."""

    path: Path
    reason: str
    rows: int | None = None


@dataclass(frozen=True)
class Part:
    """A file that was taken out of another one: a member of an archive, a sheet, a table of an XML file.

    path: where it was put. container: the file it comes from, which may be a part itself. name: in there.
    place: where it would lie, were the container a folder; LA and year are looked for there.
    """

    path: Path
    container: Path
    name: str
    place: Path


@dataclass(frozen=True)
class ReturnSet:
    """The files below a folder, each list in order of path.

    cin: CIN censuses. ssda903: Episodes, Header and UASC tables. empty: text files without any value.
    ignored: everything else. parts: files among these that come out of another one, by path. notes: files
    and what an analyst should know of how they are read. blades: CIN censuses as flat tables.
    """

    directory: Path
    cin: tuple[CinFile, ...]
    ssda903: tuple[CsvFile, ...]
    empty: tuple[CsvFile, ...]
    ignored: tuple[Ignored, ...]
    parts: dict[Path, Part] = field(default_factory=dict)
    notes: tuple[tuple[Path, str], ...] = ()
    blades: tuple[Blade, ...] = ()

    def place(self, path: Path) -> Path:
        """Where a file lies; for a part where it would lie, were its container a folder."""
        return self.parts[path].place if path in self.parts else path

    def shown(self, path: Path) -> str:
        """A file as an analyst knows it: relative to the folder, parts as ``container!name``."""
        return _shown(path, self.directory, self.parts)


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


def discover(directory: Path, scratch: Callable[[], Path] | None = None) -> ReturnSet:
    """Find the returns below a folder, by what the files hold.

    An XML file is a CIN census when it is a Message of the collection CIN and an SSDA903 return when its
    root is EXPSSDA903; a text file, a sheet of a workbook or a table of SSDA903 XML is what
    :func:`sfpc.landing.ssda903.identify` says, else :func:`sfpc.landing.cin_blades.identify_blade`; members of
    a zip archive are looked at as files are. A file that breaks off or is damaged before that can be told is
    ignored with its reason; damage further on stops the landing when the file is read.

    Parameters
    ----------
    scratch: gives a private folder for the parts of archives, workbooks and SSDA903 XML, which must live
    until the rows are read. Without it such files are ignored.

    Raises InputError for a file that must not be used (document type or entities, an identifying
    column, several LAs in one return, a hostile or damaged archive, an old Excel workbook).
    """
    if not directory.is_dir():
        raise InputError("expected a folder with statutory returns", file=directory)
    finder = _Finder(directory, scratch)
    with _parts_named(directory, finder.parts):
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            finder.look(path, path)
    return finder.found()


def land_returns(
    directory: Path,
    gate: RowGate,
    key: bytes,
    la_code: str | None = None,
    progress: Callable[[str], None] = say,
) -> LandedReturns:
    """Read every return below a folder and hand its rows to the gate; the caller commits the gate.

    LA and year of a CIN census come from its Header, those of a flat SSDA903 file from its columns LA and
    YEAR; else, as for SSDA903 files as submitted, which state neither: the year from :func:`year_of`; the LA
    from the nearest folder whose name is a three-digit code, else from a name of the file (or of the archive or
    workbook that it came in) that holds the code of one LA, like 331_2019_episodes.csv, else the one LA of the CIN
    censuses in the nearest folder that has some below it, else ``la_code``, else ``LA_NOT_STATED`` with a line of
    progress. An SSDA903 set is the tables of one folder (an archive, a workbook or an XML file counts as one), LA and
    year.

    Parameters
    ----------
    gate: takes text rows; dates are YYYY-MM-DD (``iso``) in CIN XML, of the ``ssda903`` forms in SSDA903, either of
        YYYY-MM-DD and dd/mm/yyyy in CIN flat tables (:func:`sfpc.landing.cin_blades.read_blades`).
    key: key of the pupil pseudonyms. progress: takes lines for the analyst.

    Raises InputError (nothing may be committed then): no return found, or a file that cannot be used.
    """
    found = discover(directory, lambda: gate.scratch())
    for part in found.parts.values():
        gate.name_part(part.path, part.container, part.name)
    with _parts_named(directory, found.parts):
        return _land(found, gate, key, la_code, lambda line: progress(_renamed(line, directory, found.parts)))


def _land(
    found: ReturnSet, gate: RowGate, key: bytes, la_code: str | None, progress: Callable[[str], None]
) -> LandedReturns:
    if not (found.cin or found.blades or found.ssda903 or found.empty):
        seen = f"; {_number(len(found.ignored), 'file')} of other kinds" if found.ignored else ""
        raise InputError(f"no CIN census XML and no SSDA903 CSV{seen}", file=found.directory)
    landed = LandedReturns(found)
    for entry in found.ignored:
        rows = "" if entry.rows is None else f"; {_number(entry.rows, 'row')}"
        gate.note_ignored(entry.path, entry.reason + rows)
    _tell_ignored(found, progress)
    _tell_notes(found, progress)
    for file in found.cin:
        _land_cin(file, landed, gate, key, la_code, progress)
    _land_blades(landed, gate, key, la_code, progress)
    _tell_tally(landed.cin_tally, progress)
    _land_ssda903(landed, gate, key, la_code, progress)
    for empty in found.empty:
        _count_empty(empty.path, gate)
    for kind, columns in sorted(landed.not_loaded.items()):
        progress(f"SSDA903 {kind}: columns not loaded (DP.7): {', '.join(columns)}")
    nowhere = sorted({str(found.place(p).parent) for p, code in landed.la_codes.items() if code == LA_NOT_STATED})
    if nowhere:
        progress(
            f"LA not stated, code {LA_NOT_STATED} used, for the files in {', '.join(nowhere)}: put them "
            "in a folder named by the three-digit LA code, or give the code"
        )
    return landed


def year_of(path: Path, directory: Path) -> int:
    """Return year (ending 31 March) from the name of a file, else of the nearest folder above it.

    As in ``2019-episodes.csv`` or ``2018-19`` (:func:`sfpc.landing.dates.return_years`). ``directory`` is the
    last folder looked at.

    Raises InputError when no name holds a year, or one holds several.
    """
    for name in (path.stem, *_folders(path, directory)):
        years = return_years(name)
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


class _Finder:
    """Sorts files into the lists of a :class:`ReturnSet`, opening what holds other files."""

    def __init__(self, directory: Path, scratch: Callable[[], Path] | None) -> None:
        self.parts: dict[Path, Part] = {}
        self._directory = directory
        self._scratch = scratch
        self._cin: list[CinFile] = []
        self._ssda903: list[CsvFile] = []
        self._empty: list[CsvFile] = []
        self._ignored: list[Ignored] = []
        self._blades: list[Blade] = []
        self._notes: list[tuple[Path, str]] = []
        self._opened = 0

    def found(self) -> ReturnSet:
        """What was found so far."""
        return ReturnSet(
            self._directory,
            tuple(self._cin),
            tuple(self._ssda903),
            tuple(self._empty),
            tuple(self._ignored),
            self.parts,
            tuple(self._notes),
            tuple(self._blades),
        )

    def look(self, path: Path, place: Path) -> None:
        """Sort one file in, by its ending first."""
        ending = path.suffix.lower()
        if ending == ".xml":
            self._xml(path, place)
        elif ending in _TEXT_FILES:
            self._table(path, SUBMITTED)
        elif ending in WORKBOOKS:
            self._workbook(path, place)
        elif ending == ".zip":
            self._archive(path, place)
        elif ending == ".xls":
            raise InputError("an old Excel workbook (.xls): save it as .xlsx", file=path)
        else:
            self._ignore(path, "neither .xml nor .csv, .xlsx or .zip")

    def _ignore(self, path: Path, reason: str) -> None:
        self._ignored.append(Ignored(path, reason))

    def _xml(self, path: Path, place: Path) -> None:
        header, reason = _cin_header(path)
        if header is not None and header.root == SSDA903_ROOT:
            folder = self._folder_for(path)
            if folder is None:
                return
            written = write_tables(path, folder)
            for kind, table in written.tables.items():
                self._take_out(table, path, kind, place)
                self._table(table, XML)
            if written.not_loaded:
                counts = ", ".join(f"{name} ({count})" for name, count in sorted(written.not_loaded.items()))
                self._notes.append((path, f"elements not loaded, no purpose (DP.7): {counts}"))
        elif header is not None and reason is None:
            self._cin.append(CinFile(path, header))
        else:
            self._ignore(path, reason or "")

    def _table(self, path: Path, origin: Origin) -> None:
        file = identify(path, origin)
        if file.is_loaded:
            self._ssda903.append(file)
            self._notes += [(path, note) for note in file.notes]
        elif file.is_empty:
            self._empty.append(file)
        elif file.kind:
            reason = f"SSDA903 {file.kind}: not loaded, no purpose (DP.7)"
            try:
                self._ignored.append(Ignored(path, reason, count_rows(file)))
            except InputError:
                self._ignore(path, f"{reason}; the file is damaged and its rows cannot be counted")
        elif (blade := identify_blade(path)) is not None:
            self._blades.append(blade)
            self._notes += [(path, note) for note in blade.file.notes]
        else:
            self._ignore(path, file.reason)

    def _workbook(self, path: Path, place: Path) -> None:
        folder = self._folder_for(path)
        if folder is None:
            return
        if path.suffix.lower() == ".xlsm":
            self._notes.append((path, "a workbook that may hold macros; they are not run"))
        for sheet in read_sheets(path, folder):
            self._take_out(sheet.path, path, sheet.title, place)
            if sheet.is_hidden:
                self._notes.append((sheet.path, "a hidden sheet, read like the others"))
            self._table(sheet.path, Origin(SUBMITTED.date_format, has_numbers=True, is_1904=sheet.is_1904))

    def _archive(self, path: Path, place: Path) -> None:
        folder = self._folder_for(path)
        if folder is None:
            return
        members = extract_archive(path, folder)
        if not members:
            self._ignore(path, "an archive without files")
        for member in members:
            self._take_out(member.path, path, member.name, place)
            self.look(member.path, self.parts[member.path].place)

    def _folder_for(self, path: Path) -> Path | None:
        """A new folder for the parts of a file; None, and the file ignored, where there is no scratch."""
        if self._scratch is None:
            self._ignore(path, "holds other files, and no folder was given to take them out into")
            return None
        self._opened += 1
        folder = self._scratch() / f"{self._opened:05d}"
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def _take_out(self, part: Path, container: Path, name: str, place: Path) -> None:
        self.parts[part] = Part(part, container, name, place.with_suffix("") / name)


@contextmanager
def _parts_named(directory: Path, parts: dict[Path, Part]) -> Iterator[None]:
    """A problem in a part is told with the name that the analyst knows, not with where the part was put."""
    try:
        yield
    except InputError as error:
        text = _renamed(str(error), directory, parts)
        if text == str(error):
            raise
        raise InputError(text) from error


def _renamed(text: str, directory: Path, parts: dict[Path, Part]) -> str:
    for path in sorted(parts, key=lambda p: len(str(p)), reverse=True):
        text = text.replace(str(path), str(directory / _shown(path, directory, parts)))
    return text


def _shown(path: Path, directory: Path, parts: dict[Path, Part]) -> str:
    if path in parts:
        return f"{_shown(parts[path].container, directory, parts)}!{parts[path].name}"
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path)


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


def _la_from_name(path: Path, found: ReturnSet) -> str | None:
    """The one code of the register that stands alone in the name of a file, or of what it was taken out of."""
    names = [found.place(path).stem]
    while path in found.parts:
        path = found.parts[path].container
        names.append(path.stem)
    codes = {code for name in names for code in _LA_IN_NAME.findall(name)} & set(la_register().codes.values())
    return codes.pop() if len(codes) == 1 else None


def _la_of(path: Path, found: ReturnSet, la_code: str | None) -> str:
    code = _la_from_folder(found.place(path), found.directory) or _la_from_name(path, found)
    if code is not None:
        return code
    path = found.place(path)
    for folder in path.parents:
        codes = {
            file.header.la_code or _la_from_folder(found.place(file.path), found.directory)
            for file in found.cin
            if found.place(file.path).is_relative_to(folder)
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
    header, directory, place = file.header, landed.found.directory, landed.found.place(file.path)
    la = header.la_code or _la_of(file.path, landed.found, la_code)
    folder = _la_from_folder(place, directory)
    if folder is not None and folder != la:
        progress(f"{place}: the LA in its Header, {la}, counts, not that of its folder, {folder}")
    year = header.return_year or year_of(place, directory)
    if header.return_year is not None and header.reference_date != f"{year:04d}-03-31":
        progress(f"{place}: ReferenceDate {header.reference_date} is not a 31 March; read as the census of {year}")
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
    headers = {
        found.place(blade.path).parent: stated_source(blade) for blade in found.blades if blade.kind == CIN_HEADER
    }
    sets: dict[tuple[Path, str, int], list[Blade]] = defaultdict(list)
    for blade in found.blades:
        la, year = (None, None) if blade.kind == CIN_HEADER else stated_source(blade)
        place = found.place(blade.path)
        header_la, header_year = headers.get(place.parent, (None, None))
        if year is None and (header_year is None or return_years(place.stem)):
            year = year_of(place, found.directory)
        la = la or header_la or _la_of(blade.path, found, la_code)
        landed.la_codes[blade.path] = la
        sets[place.parent, la, year or header_year or 0].append(blade)
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
    found = landed.found
    sets: dict[Path, list[CsvFile]] = defaultdict(list)
    unused: dict[str, set[str]] = defaultdict(set)
    owners: dict[Path, tuple[str | None, int | None]] = {}
    for file in found.ssda903:
        la = None if file.has_la else _la_of(file.path, found, la_code)
        if la is not None:
            landed.la_codes[file.path] = la
        owners[file.path] = la, None if file.has_year else year_of(found.place(file.path), found.directory)
        sets[found.place(file.path).parent].append(file)
        unused[str(file.kind)].update(file.not_loaded)
    landed.not_loaded = {kind: sorted(columns) for kind, columns in unused.items() if columns}
    without_uasc: list[Path] = []
    for files in sets.values():
        lists = [file for file in files if file.kind == UASC]
        uasc: set[ChildOfReturn] = set().union(*(read_uasc(file, *owners[file.path]) for file in lists))
        for file in lists:
            # No rows of its own, but it decides those of the Header file: it belongs in the account.
            gate.add_empty(CLA_CHILDREN.name, file.path)
        children: set[ChildOfReturn] = set()
        for file in files:
            owner, codes = owners[file.path], set[str]()
            if file.kind == EPISODES:
                frames = _noting(read_episodes(file, *owner), set(), codes)
                _hand_over(CLA_EPISODES.name, file.path, frames, file.date_format, gate, landed)
            elif file.kind == HEADER:
                frames = _noting(read_children(file, *owner, key, uasc), children, codes)
                _hand_over(CLA_CHILDREN.name, file.path, frames, file.date_format, gate, landed)
                if not any(_same_return(owner, owners[other.path]) for other in lists):
                    without_uasc.append(file.path)
            folder = _la_from_folder(found.place(file.path), found.directory)
            if file.has_la and folder is not None and codes - {folder}:
                progress(f"{found.shown(file.path)}: the LA in its column LA counts, not that of its folder, {folder}")
        landed.uasc_without_header += len(uasc - children)
    if without_uasc:
        progress(
            f"{_number(len(without_uasc), 'SSDA903 Header file')} without a UASC file beside: no child there "
            f"counts as unaccompanied, for example {found.shown(without_uasc[0])}"
        )
    if landed.uasc_without_header:
        progress(
            f"{landed.uasc_without_header} children of SSDA903 UASC files are in no Header file of the "
            "same folder, LA and year, and have no row"
        )


def _same_return(one: tuple[str | None, int | None], other: tuple[str | None, int | None]) -> bool:
    """Whether two tables may be of one LA and year; None: a column of the table says it row by row."""
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


def _noting(frames: Iterator[pd.DataFrame], children: set[ChildOfReturn], codes: set[str]) -> Iterator[pd.DataFrame]:
    for frame in frames:
        children.update(frame[["return_year", "la_code", "la_child_id"]].itertuples(index=False, name=None))
        codes.update(frame["la_code"].dropna())
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
    by_reason: dict[str, list[Ignored]] = defaultdict(list)
    for entry in found.ignored:
        by_reason[entry.reason].append(entry)
    for file in found.empty:
        by_reason[file.reason].append(Ignored(file.path, file.reason))
    for reason, entries in by_reason.items():
        rows = [entry.rows for entry in entries if entry.rows is not None]
        counted = f"; {_number(sum(rows), 'row')}" if rows else ""
        example = f"{found.shown(entries[0].path)}{' ...' if entries[1:] else ''}"
        progress(f"{_number(len(entries), 'file')} not read: {reason}{counted} ({example})")


def _tell_notes(found: ReturnSet, progress: Callable[[str], None]) -> None:
    by_note: dict[str, list[Path]] = defaultdict(list)
    for path, note in found.notes:
        by_note[note].append(path)
    for note, paths in by_note.items():
        progress(f"{_number(len(paths), 'file')}: {note} ({found.shown(paths[0])}{' ...' if paths[1:] else ''})")
