"""Records of files: what was written, with its hash, in a file that shows when it was edited itself (DP.8).

A record finds change and mishap. It holds no key, so it does not stop somebody who writes the record anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfpc.errors import SfpcError
from sfpc.landing.gate import sha256_of

OWN_HASH = "record_sha256"


@dataclass(frozen=True)
class Record:
    """A record that was read. is_whole: whether its bytes are those that `write_record` wrote."""

    path: Path
    content: Mapping[str, Any]
    is_whole: bool


def file_entry(path: Path) -> dict[str, Any]:
    """Hash and size in bytes of one file."""
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def entries_of(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Hash and size of files, by their place below a folder, in order."""
    return {path.relative_to(folder).as_posix(): file_entry(path) for path in sorted(files)}


def content_hash(content: Any) -> str:
    """SHA-256 of anything that JSON can hold, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record with its own hash, replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(_text(content))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_record(path: Path) -> Record | None:
    """Read a record; None where there is none. Raises SfpcError for a file that is no record at all."""
    if not path.is_file():
        return None
    held = path.read_bytes()
    try:
        content = json.loads(held)
        content.pop(OWN_HASH)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SfpcError(f"{path}: is not a record that this project wrote, or was damaged") from error
    return Record(path, content, held == _text(content).encode())


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps({**content, OWN_HASH: content_hash(content)}, indent=1, sort_keys=True) + "\n"
