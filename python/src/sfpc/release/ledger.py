"""The ledger of releases: a chain of hashes with every cell that was ever released (DP.5, DP.8).

One line of JSON per event, each with the hash of the line before. It holds true counts, because a later release is
compared with them, and so it never leaves itself; what a bundle carries of it is the hash of its own line.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfpc.errors import SfpcError
from sfpc.release.judge import Earlier, JudgedCell, Judgement
from sfpc.release.tables import Cube

LEDGER_FILE = Path("ledger") / "releases.jsonl"
START = "0" * 64
RELEASED, CHECKED = "released", "checked"


class LedgerError(SfpcError):
    """A ledger that is not what was written: nothing can be compared with it, so nothing is released."""


@dataclass(frozen=True)
class Ledger:
    """The ledger as it stands: its lines, oldest first, all hashes verified."""

    path: Path
    entries: tuple[Mapping[str, Any], ...]

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return str(self.entries[-1]["hash"]) if self.entries else START

    @property
    def hashes(self) -> frozenset[str]:
        """Hashes of all lines."""
        return frozenset(str(entry["hash"]) for entry in self.entries)

    def releases(self) -> list[Mapping[str, Any]]:
        """The lines of releases."""
        return [entry for entry in self.entries if entry["event"] == RELEASED]

    def earlier(self) -> Earlier:
        """What all releases told, for the judge."""
        cubes: list[Cube] = []
        cells: list[tuple[str, JudgedCell]] = []
        for entry in self.releases():
            for table in entry["tables"]:
                cubes += [_cube(content) for content in table["cubes"]]
                cells += [(str(entry["release_id"]), _cell(content)) for content in table["cells"]]
        return Earlier(tuple(cubes), tuple(cells))


def read_ledger(outputs: Path) -> Ledger:
    """Read and verify the ledger below an outputs folder; none yet is an empty one.

    Raises LedgerError (file, line) where a line was changed, left out, added or put elsewhere. Lines cut off at the end
    are found by `sfpc release --verify`, from the bundles.
    """
    path = outputs / LEDGER_FILE
    if not path.exists():
        return Ledger(path, ())
    entries: list[Mapping[str, Any]] = []
    previous = START
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        raise LedgerError(f"{path}: the last line is not complete")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise LedgerError(f"{path}, line {number}: is not JSON") from error
        if not isinstance(entry, dict) or entry.get("previous") != previous or entry.get("sequence") != number:
            raise LedgerError(f"{path}, line {number}: does not follow the line before it")
        if entry.get("hash") != hash_of(entry):
            raise LedgerError(f"{path}, line {number}: was changed after it was written")
        previous = str(entry["hash"])
        entries.append(entry)
    return Ledger(path, tuple(entries))


def append(ledger: Ledger, event: str, content: Mapping[str, Any]) -> Ledger:
    """Add a line; the file is replaced in one step and only if it is still what was read."""
    if read_ledger(ledger.path.parents[1]).head != ledger.head:
        raise LedgerError(f"{ledger.path}: another release was made in the meantime; run it again")
    entry: dict[str, Any] = {"sequence": len(ledger.entries) + 1, "event": event, "previous": ledger.head, **content}
    entry["hash"] = hash_of(entry)
    lines = [json.dumps(old, sort_keys=True, allow_nan=False) for old in (*ledger.entries, entry)]
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".releases.", dir=ledger.path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(ledger.path)
    finally:
        temporary.unlink(missing_ok=True)
    return Ledger(ledger.path, (*ledger.entries, entry))


def hash_of(entry: Mapping[str, Any]) -> str:
    """SHA-256 of a line without its own hash, as canonical JSON."""
    content = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def table_records(judgement: Judgement) -> list[dict[str, Any]]:
    """Every released table with its rows as released, and its cells and cubes with true counts."""
    return [
        {
            "key": table.key,
            "columns": [str(name) for name in table.frame.columns],
            "rows": table.frame.to_numpy().tolist(),
            "cells": [_cell_record(cell) for cell in judgement.cells[table.key]],
            "cubes": [_cube_record(cube) for cube in judgement.cubes[table.key]],
        }
        for table in judgement.tables
    ]


def _cell_record(cell: JudgedCell) -> dict[str, Any]:
    population, pairs = cell.key
    return {
        "population": population,
        "levels": [list(pair) for pair in pairs],
        "count": cell.count,
        "shown": cell.shown,
        "low": cell.low,
        "high": None if np.isinf(cell.high) else cell.high,
        "reason": cell.reason,
    }


def _cell(content: Mapping[str, Any]) -> JudgedCell:
    high = content["high"]
    return JudgedCell(
        (str(content["population"]), tuple((str(name), str(level)) for name, level in content["levels"])),
        int(content["count"]),
        None if content["shown"] is None else int(content["shown"]),
        float(content["low"]),
        float("inf") if high is None else float(high),
        str(content["reason"]),
    )


def _cube_record(cube: Cube) -> dict[str, Any]:
    return {
        "population": cube.population,
        "within": [list(pair) for pair in cube.within],
        "names": list(cube.names),
        "leaves": [list(levels) for levels in cube.leaves],
        "groups": [[[name, list(members)] for name, members in groups] for groups in cube.groups],
        "counts": cube.counts.ravel().tolist(),
        "structural": cube.structural.ravel().astype(int).tolist(),
    }


def _cube(content: Mapping[str, Any]) -> Cube:
    leaves = tuple(tuple(levels) for levels in content["leaves"])
    shape = tuple(len(levels) for levels in leaves)
    return Cube(
        str(content["population"]),
        tuple((str(name), str(level)) for name, level in content["within"]),
        tuple(content["names"]),
        leaves,
        tuple(tuple((name, tuple(members)) for name, members in groups) for groups in content["groups"]),
        np.array(content["counts"], dtype=np.int64).reshape(shape),
        np.array(content["structural"], dtype=bool).reshape(shape),
    )
