"""SSDA903 as XML: one file becomes the CSV files of the same return, read from there on as those.

EXPSSDA903 > CHILD > HEADER and EPISODE*; two names differ from the CSV (CHILDID for CHILD, PL for PLACE).
Row n + 1 of a table is the n-th HEADER or EPISODE of the file. Source: docs/raw_data.md B.1.
"""

from __future__ import annotations

import csv
import os
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfpc.errors import InputError
from sfpc.landing.cin_xml import read_header
from sfpc.landing.pseudonym import is_identifying

ROOT = "EXPSSDA903"

_CHILD = {"CHILDID": "CHILD", "CHILD": "CHILD"}
_CHILD_COLUMNS = ("CHILD", "SEX", "DOB", "ETHNIC", "UPN")
_EPISODE_COLUMNS = ("DECOM", "RNE", "LS", "CIN", "PLACE", "DEC", "REC")
_EPISODE = {"PL": "PLACE", **{name: name for name in _EPISODE_COLUMNS}}
_UASC = ("UASC", "DUC")
_YES = frozenset({"1", "true", "y", "yes"})
# The tree of one child is held whole; a file that never closes one must not fill the memory.
_MOST_ELEMENTS_PER_CHILD = 100_000


@dataclass(frozen=True)
class XmlTables:
    """The tables of one file. tables: CSV by kind of file (Header, Episodes, UASC). not_loaded: elements by name."""

    tables: dict[str, Path]
    not_loaded: Counter[str]


def write_tables(path: Path, folder: Path) -> XmlTables:
    """Write the Header, Episodes and UASC tables of an SSDA903 XML file as CSV into ``folder``.

    Only columns that a landing table takes are written; every other element is counted (DP.7). A child is
    in the UASC table where its UASC element says yes or DUC holds a date.

    Raises InputError: another root, a document type or entities, not well-formed (line and column), an
    element whose name says that it identifies a person (DP.1), an EPISODE or HEADER outside a CHILD.
    """
    if read_header(path).root != ROOT:
        raise InputError(f"expected the root element {ROOT}", file=path)
    kinds = {
        "Header": _CHILD_COLUMNS,
        "Episodes": ("CHILD", *_EPISODE_COLUMNS),
        "UASC": ("CHILD", "DUC"),
    }
    tables = {kind: folder / f"{kind}.csv" for kind in kinds}
    seen: Counter[str] = Counter()
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for kind, columns in kinds.items():
            handle = os.open(tables[kind], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            out = stack.enter_context(os.fdopen(handle, "w", encoding="utf-8", newline=""))
            writers[kind] = csv.writer(out, lineterminator="\n")
            writers[kind].writerow(columns)
        try:
            _stream(path, writers, seen)
        except ET.ParseError as error:
            line, column = error.position
            raise InputError(
                f"not well-formed XML ({str(error).split(': line')[0]}); nothing of the file is loaded",
                file=path,
                row=line,
                column=str(column + 1),
            ) from error
    return XmlTables(tables, seen)


def _stream(path: Path, writers: dict[str, Any], seen: Counter[str]) -> None:
    depth, held, top = 0, 0, ""
    root: ET.Element | None = None
    with path.open("rb") as handle:
        for event, element in ET.iterparse(handle, events=("start", "end")):
            if event == "start":
                root = element if root is None else root
                depth += 1
                held += 1
                name = _local(element)
                top = name if depth == 2 else top
                if is_identifying(name):
                    raise InputError(
                        "this element identifies a person and must not be in the file; nothing of the file is loaded "
                        "(DP.1)",
                        file=path,
                        column=name,
                    )
                if name in ("HEADER", "EPISODE") and (depth, top) != (3, "CHILD"):
                    raise InputError(f"{name} outside a CHILD", file=path, column=name)
                if held > _MOST_ELEMENTS_PER_CHILD:
                    raise InputError(f"more than {_MOST_ELEMENTS_PER_CHILD} elements in one CHILD", file=path)
                continue
            depth -= 1
            if depth == 1 and root is not None:
                if _local(element) == "CHILD":
                    _write_child(element, writers, seen)
                else:
                    seen.update(_local(item) for item in element.iter())
                root.clear()
                held = 0


def _write_child(child: ET.Element, writers: dict[str, Any], seen: Counter[str]) -> None:
    headers = [group for group in child if _local(group) == "HEADER"]
    code = ""
    for group in headers:
        values = _values(group, {**_CHILD, **{name: name for name in (*_CHILD_COLUMNS, *_UASC)}}, seen)
        code = code or values.get("CHILD", "")
        writers["Header"].writerow([values.get(name, "") for name in _CHILD_COLUMNS])
        if values.get("UASC", "").lower() in _YES or values.get("DUC"):
            writers["UASC"].writerow([values.get("CHILD", ""), values.get("DUC", "")])
    for group in child:
        name = _local(group)
        if name == "EPISODE":
            values = _values(group, _EPISODE, seen)
            writers["Episodes"].writerow([code, *(values.get(column, "") for column in _EPISODE_COLUMNS)])
        elif name != "HEADER":
            seen.update(_local(item) for item in group.iter())


def _values(group: ET.Element, wanted: dict[str, str], seen: Counter[str]) -> dict[str, str]:
    """Column and value of the wanted items of a group; where one occurs twice, the first that is not blank."""
    values: dict[str, str] = {}
    for item in group:
        name = _local(item)
        if name not in wanted:
            seen.update(_local(part) for part in item.iter())
        elif text := " ".join((item.text or "").split()):
            values.setdefault(wanted[name], text)
    return values


def _local(element: ET.Element) -> str:
    return str(element.tag[element.tag.rfind("}") + 1 :])
