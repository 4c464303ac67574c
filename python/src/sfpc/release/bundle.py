"""The files of a released bundle, as bytes: tables, figures, sheets, and the index that the SACRO viewer opens.

Nothing is written here. The index is results.json with `version`, `results` and, per result, `files` with `name`;
beside it lie config.json with the rules and checksums/<file>.txt with the SHA-256 of every file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openpyxl import Workbook

from sfpc.errors import SfpcError
from sfpc.release.figures import Figure
from sfpc.release.judge import Judgement, ReleasedTable
from sfpc.release.profiles import Profile

VERSION = "0.4.0"
INDEX, CONFIG, LEDGER_HASH, CHECKSUMS = "results.json", "config.json", "ledger.txt", "checksums"
WORKBOOK = "tables.xlsx"
DRAFT, CHECKED = "draft", "checked"
# What the viewer calls a draft and a checked output.
_STATUS = {DRAFT: "review", CHECKED: "pass"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# The pseudonym of an extract, or the child_id of the marts; the places of a decimal number are neither, whether an
# exponent follows them or not.
_CHILD_CODE = re.compile(
    r"(?<![0-9a-zA-Z])(?:[0-9a-f]{26,}|(?!(?<=[0-9]\.)[0-9]{14}(?:[0-9]|e[-+]))[0-9a-f]{15})(?![0-9a-zA-Z])"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*(?:\.sheet)?\.(?:csv|svg|txt|xlsx|html|md|docx)")
_DOCUMENTS, _OFFICE = ("html", "md", "docx"), (".docx", ".xlsx")
_KEYS = ("uid", "status", "type", "properties", "files", "outcome", "command", "summary", "timestamp", "comments")


@dataclass(frozen=True)
class Document:
    """A page or text for release, made of released tables. `name` ends in .html, .md or .docx."""

    name: str
    title: str
    text: str | bytes

    @property
    def uid(self) -> str:
        """Its name without its ending: documents of one name are one output in several formats."""
        return self.name.rsplit(".", 1)[0]


@dataclass(frozen=True)
class About:
    """What all sheets of a release say: its id, status, moment, who made it, rules, and the data it comes from.

    data: names (run, code, marts, files of results) and their ids or hashes, so that every number can be walked back.
    """

    release_id: str
    status: str
    made_at: datetime
    by: str
    data: Mapping[str, Any]


def safe_text(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: words that start with = + - @ get an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def table_files(tables: Sequence[ReleasedTable]) -> dict[str, list[ReleasedTable]]:
    """Tables by the file that they stand in; those of one file have the same columns."""
    files: dict[str, list[ReleasedTable]] = {}
    for table in tables:
        files.setdefault(f"{table.file}.csv", []).append(table)
    for name, held in files.items():
        if len({tuple(t.frame.columns) for t in held}) > 1:
            raise SfpcError(f"{name}: its tables have different columns: {', '.join(t.key for t in held)}")
    return files


def content_files(
    judgement: Judgement, figures: Sequence[Figure], documents: Sequence[Document], moment: datetime
) -> dict[str, bytes]:
    """Tables as CSV and in one workbook, figures and documents; raises SfpcError for what may not be in a bundle."""
    files: dict[str, bytes] = {}
    keys = {table.key for table in judgement.tables}
    held = table_files(judgement.tables)
    for name, tables in held.items():
        files[name] = _csv(tables)
    files[WORKBOOK] = _workbook(held, moment)
    for figure in figures:
        if figure.table not in keys:
            raise SfpcError(f"the figure {figure.key} shows the table {figure.table}, which is not released")
        files[f"{figure.key}.svg"] = figure.svg.encode()
    for document in documents:
        if document.name.rsplit(".", 1)[-1] not in _DOCUMENTS:
            raise SfpcError(f"{document.name}: a document is {', '.join(f'.{end}' for end in _DOCUMENTS)}")
        if document.name in files:
            raise SfpcError(f"two outputs are called {document.name}")
        files[document.name] = document.text if isinstance(document.text, bytes) else document.text.encode()
    for name, content in files.items():
        if not _NAME.fullmatch(name):
            raise SfpcError(f"'{name}' is not a name of a released file")
        if any(_CHILD_CODE.search(text) for text in texts_of(name, content)):
            raise SfpcError(f"{name}: holds what looks like the code of a child")
    return files


def texts_of(name: str, content: bytes) -> list[str]:
    """What a file of a bundle says: its text, or the texts inside an office file."""
    if not name.endswith(_OFFICE):
        return [content.decode()]
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        return [package.read(part).decode() for part in package.namelist() if part.endswith((".xml", ".rels"))]


def bundle_files(
    judgement: Judgement,
    figures: Sequence[Figure],
    documents: Sequence[Document],
    content: Mapping[str, bytes],
    about: About,
) -> dict[str, bytes]:
    """Every file of a bundle but its ledger hash: content, sheets, index, rules, checksums."""
    files = dict(content)
    results: dict[str, Any] = {}
    for name, tables in table_files(judgement.tables).items():
        drawn = [f"{f.key}.svg" for f in figures if f.table in {t.key for t in tables}]
        sheet = f"{tables[0].file}.sheet.txt"
        files[sheet] = _sheet(name, tables, judgement, about).encode()
        results[tables[0].file] = _result(tables[0].file, "table", tables, [name, *drawn, sheet], about)
    made: dict[str, tuple[str, list[str]]] = {"tables": ("all tables of the release", [WORKBOOK])}
    for document in documents:
        made.setdefault(document.uid, (document.title, []))[1].append(document.name)
    for uid, (title, names) in made.items():
        if uid in results:
            raise SfpcError(f"two outputs are called {uid}")
        sheet = f"{uid}.sheet.txt"
        files[sheet] = _document_sheet(names, title, judgement, about).encode()
        results[uid] = _result(uid, "custom", judgement.tables, [*names, sheet], about)
        results[uid]["summary"] = title
    index = {
        "version": VERSION,
        "results": results,
        "release": {
            "release_id": about.release_id,
            "status": about.status,
            "made_at": about.made_at.isoformat(timespec="seconds"),
            "by": about.by,
            "profile": judgement.profile.name,
            "data": dict(about.data),
        },
    }
    files[INDEX] = _json(index)
    files[CONFIG] = _json(judgement.profile.as_config())
    return with_checksums(files)


def with_checksums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with a checksum file for each."""
    held = {name: content for name, content in files.items() if not name.startswith(f"{CHECKSUMS}/")}
    return held | {f"{CHECKSUMS}/{n}.txt": hashlib.sha256(c).hexdigest().encode() for n, c in held.items()}


def as_checked(files: Mapping[str, bytes], by: str, moment: datetime) -> dict[str, bytes]:
    """The files of a draft, marked as checked by somebody."""
    new = dict(files)
    index = json.loads(files[INDEX])
    index["release"] |= {"status": CHECKED, "checked_by": by, "checked_at": moment.isoformat(timespec="seconds")}
    for result in index["results"].values():
        result["status"] = _STATUS[CHECKED]
        result["properties"]["status"] = CHECKED
    new[INDEX] = _json(index)
    for name in files:
        if name.endswith(".sheet.txt") and "/" not in name:
            text = files[name].decode().replace(f"Status: {DRAFT}", f"Status: {CHECKED}, {by}, {moment.date()}", 1)
            new[name] = text.encode()
    return with_checksums(new)


def faults_of_bundle(files: Mapping[str, bytes]) -> list[str]:
    """What the viewer's loader, or a person, would stumble over; nothing in a sound bundle."""
    if INDEX not in files:
        return [f"no {INDEX}"]
    try:
        index = json.loads(files[INDEX])
    except (json.JSONDecodeError, UnicodeDecodeError):
        return [f"{INDEX} is not JSON"]
    if not isinstance(index, dict) or not re.fullmatch(r"\d+\.\d+\.\d+", str(index.get("version"))):
        return [f"{INDEX}: no version"]
    results = index.get("results")
    if not isinstance(results, dict) or not results:
        return [f"{INDEX}: no results"]
    found = []
    listed = {INDEX, CONFIG, LEDGER_HASH}
    for uid, result in results.items():
        if not isinstance(result, dict):
            found.append(f"{uid}: is no result")
            continue
        found += [f"{uid}: no {key}" for key in _KEYS if key not in result]
        if result.get("uid") != uid:
            found.append(f"{uid}: has the uid {result.get('uid')}")
        if result.get("status") not in _STATUS.values():
            found.append(f"{uid}: status {result.get('status')}")
        named = result.get("files")
        if not isinstance(named, list) or not named:
            found.append(f"{uid}: no files")
            continue
        for entry in named:
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or "/" in name or "\\" in name or name not in files:
                found.append(f"{uid}: the file {name} is not there")
                continue
            listed.add(name)
    for name, content in files.items():
        if name.startswith(f"{CHECKSUMS}/"):
            if name.removeprefix(f"{CHECKSUMS}/").removesuffix(".txt") not in files:
                found.append(f"{name}: checksum of a file that is not there")
            continue
        if name not in listed:
            found.append(f"{name}: is in no result")
        stated = files.get(f"{CHECKSUMS}/{name}.txt")
        if name != LEDGER_HASH and (stated is None or stated.decode() != hashlib.sha256(content).hexdigest()):
            found.append(f"{name}: no checksum, or another file than the one it was made of")
    return found


def _csv(tables: Sequence[ReleasedTable]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([safe_text(str(name)) for name in tables[0].frame.columns])
    for table in tables:
        writer.writerows([safe_text(value) for value in row] for row in table.frame.to_numpy().tolist())
    return stream.getvalue().encode()


def _workbook(files: Mapping[str, Sequence[ReleasedTable]], moment: datetime) -> bytes:
    book = Workbook()
    book.remove(book["Sheet"])
    contents = book.create_sheet("contents")
    contents.append(["sheet", "file", "title"])
    for number, (name, tables) in enumerate(files.items(), start=1):
        title = f"table {number}"
        contents.append([title, name, safe_text(tables[0].title)])
        sheet = book.create_sheet(title)
        sheet.append([safe_text(str(column)) for column in tables[0].frame.columns])
        for table in tables:
            for row in table.frame.to_numpy().tolist():
                sheet.append([safe_text(value) for value in row])
    book.properties.creator = "sfpc"
    book.properties.created = book.properties.modified = moment.replace(tzinfo=None)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _result(uid: str, kind: str, tables: Sequence[ReleasedTable], names: Sequence[str], about: About) -> dict[str, Any]:
    files: list[dict[str, Any]] = [{"name": name, "sdc": {"summary": {}, "cells": {}}} for name in names]
    if kind == "table":
        start, cells = 0, []
        for table in tables:
            cells += [[row + start, column] for row, column in table.hidden]
            start += len(table.frame)
        files[0]["sdc"] = {"summary": {"suppressed": len(cells)}, "cells": {"suppressed": cells}}
    return {
        "uid": uid,
        "status": _STATUS[about.status],
        "type": kind,
        "properties": {"method": tables[0].statistic, "status": about.status, "profile_marker": tables[0].marker},
        "files": files,
        "outcome": {},
        "command": tables[0].command,
        "summary": tables[0].title if kind == "table" else "all tables of the release",
        "exception": "",
        "timestamp": about.made_at.isoformat(timespec="seconds"),
        "comments": [text for text in dict.fromkeys(t.context for t in tables) if text],
    }


def _sheet(name: str, tables: Sequence[ReleasedTable], judgement: Judgement, about: About) -> str:
    """What a checker needs to know of a file; its numbers are those of the table, rounded and hidden alike."""
    lines = [
        *_heading(name, tables[0].title, [tables[0].command], judgement.profile, about),
        *(f"Context: {text}" for text in dict.fromkeys(t.context for t in tables) if text),
        "",
        "Unweighted numbers of children behind each row, rounded as in the table:",
    ]
    profile = judgement.profile
    for table in tables:
        if table.withheld:
            lines.append(f"  {table.withheld} rows are left out: what their regression stands on is not enough")
        for row in table.frame.to_dict("records"):
            what = ", ".join(str(row[column]) for column in table.dimensions)
            if table.counts:
                numbers = "; ".join(f"{column.replace('_', ' ')} {row[column]}" for column in table.counts)
            else:
                numbers = f"{profile.statistic_minimum} or more where a value is shown"
            lines.append(f"  {what}: {numbers}")
    return "\n".join(lines) + "\n"


def _document_sheet(names: Sequence[str], title: str, judgement: Judgement, about: About) -> str:
    """What a checker needs to know of a document: what it was made of."""
    lines = [
        *_heading(" and ".join(names), title, ["sfpc release"], judgement.profile, about),
        "Context: Made of the tables of this release and of nothing else; each has a sheet of its own with the",
        "unweighted numbers of children:",
        *(f"  {name}" for name in table_files(judgement.tables)),
    ]
    return "\n".join(lines) + "\n"


def _heading(name: str, title: str, commands: Sequence[str], profile: Profile, about: About) -> list[str]:
    """The first lines of every sheet."""
    return [
        f"Sheet of {name}",
        "",
        f"Title: {title}",
        f"Status: {about.status}",
        f"Release: {about.release_id}, {about.made_at.date()}" + (f", {about.by}" if about.by else ""),
        f"Rules: {profile.name}; a hidden cell is {profile.marker}; counts are distinct children",
        *(f"Command: {command}" for command in commands),
        *(f"Data: {key} {value}" for key, value in about.data.items() if isinstance(value, str)),
    ]


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
