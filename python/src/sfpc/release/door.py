"""The door (DP.5): the only code that writes below outputs/release.

Nothing else names that folder. What goes through is judged with everything that was released before, put into the
ledger, and only then put in place, as a whole folder and in one step.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sfpc.errors import SfpcError
from sfpc.release.bundle import (
    CHECKED,
    CHECKSUMS,
    DRAFT,
    LEDGER_HASH,
    About,
    Document,
    as_checked,
    bundle_files,
    content_files,
    faults_of_bundle,
)
from sfpc.release.figures import Figure
from sfpc.release.judge import Judgement, ReleasedTable, judge
from sfpc.release.ledger import CHECKED as CHECKED_EVENT
from sfpc.release.ledger import RELEASED, append, read_ledger, table_records
from sfpc.release.markers import RELEASE, mark_not_for_release
from sfpc.release.profiles import Profile
from sfpc.release.tables import EstimateOffer, Offer, RefusedError

CHECKING = "checking"
_ID = re.compile(r"\d{4}-[0-9a-f]{8}")

DrawFigures = Callable[[Mapping[str, ReleasedTable]], Sequence[Figure]]
WriteDocuments = Callable[[Mapping[str, ReleasedTable]], Sequence[Document]]


@dataclass(frozen=True)
class Release:
    """What went through the door: its id, its folder, the checker's folder, and the judgement it rests on."""

    release_id: str
    folder: Path
    checking: Path
    judgement: Judgement


class Door:
    """Judges what is offered and writes what passes.

    Parameters
    ----------
    outputs: the outputs folder; bundles go to release/<id>, the ledger and the checker's files to folders beside it,
        which are not for release.
    profile: the rules. data: ids and hashes of what the numbers come from. by: who releases.
    moment: when; now without it.
    """

    def __init__(
        self,
        outputs: Path,
        profile: Profile,
        data: Mapping[str, Any],
        by: str = "",
        moment: datetime | None = None,
    ) -> None:
        self.outputs = outputs
        self.profile = profile
        self.data = data
        self.by = by
        self.moment = moment or datetime.now(UTC)

    def judge(self, offers: Sequence[Offer | EstimateOffer]) -> Judgement:
        """Judge without writing anything, with all earlier releases."""
        return judge(offers, self.profile, read_ledger(self.outputs).earlier())

    def release(
        self,
        offers: Sequence[Offer | EstimateOffer],
        figures: DrawFigures | None = None,
        documents: WriteDocuments | None = None,
    ) -> Release:
        """Release what may be released of the offers, with figures and documents made of the released tables.

        What is refused is left out and listed for the checker. Raises RefusedError, and writes nothing, where nothing
        may be released, and SfpcError where the ledger is damaged or a figure or document is not allowed.
        """
        ledger = read_ledger(self.outputs)
        judgement = judge(offers, self.profile, ledger.earlier())
        if not judgement.tables:
            raise RefusedError("release", [f"{r.key}: {', '.join(r.reasons)}" for r in judgement.refused] or ["empty"])
        tables = {table.key: table for table in judgement.tables}
        drawn = list(figures(tables)) if figures else []
        written = list(documents(tables)) if documents else []
        content = content_files(judgement, drawn, written, self.moment)
        number = len(ledger.releases()) + 1
        digest = hashlib.sha256(b"".join(n.encode() + c for n, c in sorted(content.items()) if n[-4:] != "xlsx"))
        release_id = f"{number:04d}-{digest.hexdigest()[:8]}"
        about = About(release_id, DRAFT, self.moment, self.by, self.data)
        files = bundle_files(judgement, drawn, written, content, about)
        faults = faults_of_bundle(files)
        if faults:
            raise SfpcError(f"the bundle is not sound: {'; '.join(faults)}")
        # The ledger first: a release that is not remembered must not exist, one that is remembered may fail to.
        ledger = append(
            ledger,
            RELEASED,
            {
                "release_id": release_id,
                "moment": self.moment.isoformat(timespec="seconds"),
                "by": self.by,
                "profile": self.profile.as_config(),
                "data": dict(self.data),
                "tables": table_records(judgement),
                "files": _hashes(files),
            },
        )
        files[LEDGER_HASH] = f"{ledger.head}\n".encode()
        checking = self._tell_the_checker(release_id, judgement)
        folder = self._put(release_id, files)
        mark_not_for_release(self.outputs)
        return Release(release_id, folder, checking, judgement)

    def mark_checked(self, release_id: str) -> Path:
        """Mark a draft as checked by `by`; the files with numbers stay as they are. Returns its folder."""
        if not self.by:
            raise SfpcError("who checked it? give a name")
        ledger = read_ledger(self.outputs)
        faults = verify(self.outputs, release_id)
        if faults:
            raise SfpcError(f"release {release_id} is not what was released: {'; '.join(faults)}")
        files = as_checked(read_bundle(self.outputs, release_id), self.by, self.moment)
        files.pop(f"{CHECKSUMS}/{LEDGER_HASH}.txt", None)
        ledger = append(
            ledger,
            CHECKED_EVENT,
            {
                "release_id": release_id,
                "moment": self.moment.isoformat(timespec="seconds"),
                "by": self.by,
                "files": _hashes({name: content for name, content in files.items() if name != LEDGER_HASH}),
            },
        )
        files[LEDGER_HASH] = f"{ledger.head}\n".encode()
        return self._put(release_id, files)

    def _put(self, release_id: str, files: Mapping[str, bytes]) -> Path:
        """Write a bundle and put it in place; the one function that writes below outputs/release."""
        place = self.outputs / RELEASE
        place.mkdir(parents=True, exist_ok=True)
        for left in [f for f in place.iterdir() if f.name.startswith((".building-", ".replaced-"))]:
            shutil.rmtree(left)
        aside = Path(tempfile.mkdtemp(prefix=".building-", dir=place))
        try:
            for name, content in files.items():
                if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                    raise SfpcError(f"'{name}' lies outside the bundle")
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            folder = place / release_id
            if folder.exists():
                old = Path(tempfile.mkdtemp(prefix=".replaced-", dir=place))
                folder.rename(old / release_id)
                aside.rename(folder)
                shutil.rmtree(old)
            else:
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return folder

    def _tell_the_checker(self, release_id: str, judgement: Judgement) -> Path:
        """Write true counts beside what is shown, and what was refused: for the checker, not for release."""
        folder = self.outputs / CHECKING / release_id
        folder.mkdir(parents=True, exist_ok=True)
        cells: list[list[object]] = [["table", "cell", "children", "shown", "reason hidden"]]
        for key, held in judgement.cells.items():
            for cell in held:
                population, pairs = cell.key
                words = ", ".join([population, *(f"{n} {v}" for n, v in pairs)])
                cells.append([key, words, cell.count, "" if cell.shown is None else cell.shown, cell.reason])
        refused: list[list[object]] = [["table", "row", "reason"]]
        refused += [[r.key, "all", reason] for r in judgement.refused for reason in r.reasons]
        refused += [[k, row, reason] for k, rows in judgement.withheld.items() for row, why in rows for reason in why]
        for name, rows in (("cells.csv", cells), ("refused.csv", refused)):
            stream = io.StringIO()
            csv.writer(stream, lineterminator="\n").writerows(rows)
            (folder / name).write_text(stream.getvalue(), encoding="utf-8")
        return folder


def read_bundle(outputs: Path, release_id: str) -> dict[str, bytes]:
    """The files of a released bundle, by their names in it."""
    folder = outputs / RELEASE / release_id
    if not _ID.fullmatch(release_id) or not folder.is_dir():
        raise SfpcError(f"there is no release {release_id} in {outputs / RELEASE}")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def releases(outputs: Path) -> list[str]:
    """Ids of the bundles that are in place, oldest first."""
    place = outputs / RELEASE
    return sorted(f.name for f in place.iterdir() if _ID.fullmatch(f.name)) if place.is_dir() else []


def verify(outputs: Path, release_id: str | None = None) -> list[str]:
    """What is not as it was released, in one bundle or all: files changed, missing or added, a ledger cut short.

    Raises LedgerError where the ledger itself was changed.
    """
    ledger = read_ledger(outputs)
    chosen = releases(outputs) if release_id is None else [release_id]
    found = []
    if release_id is None and (outputs / RELEASE).is_dir():
        strange = [f.name for f in (outputs / RELEASE).iterdir() if not _ID.fullmatch(f.name)]
        found += [f"{name}: did not go through the door" for name in sorted(strange)]
    for name in chosen:
        files = read_bundle(outputs, name)
        entries = [entry for entry in ledger.entries if entry.get("release_id") == name]
        if not entries:
            found.append(f"{name}: the ledger does not know it")
            continue
        stated = entries[-1]["files"]
        held = _hashes({n: content for n, content in files.items() if n != LEDGER_HASH})
        found += [f"{name}/{n}: is missing" for n in sorted(set(stated) - set(held))]
        found += [f"{name}/{n}: did not go through the door" for n in sorted(set(held) - set(stated))]
        found += [f"{name}/{n}: was changed" for n in sorted(stated) if n in held and held[n] != stated[n]]
        if files.get(LEDGER_HASH) != f"{entries[-1]['hash']}\n".encode():
            found.append(f"{name}/{LEDGER_HASH}: is not the ledger's hash of this release")
        found += [f"{name}: {fault}" for fault in faults_of_bundle(files)]
    return found


def status_of(outputs: Path, release_id: str) -> str:
    """draft or checked, as the ledger says."""
    events = [e["event"] for e in read_ledger(outputs).entries if e.get("release_id") == release_id]
    return CHECKED if CHECKED_EVENT in events else DRAFT


def _hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
