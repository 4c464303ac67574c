"""The analysis plan: locked before outcomes after go-live are read, checked, and exported for pre-registration.

The plan is rows (seeds of protocol, programmes and code sets) and the code that turns them into numbers. The lock holds
their canonical hashes and the rows themselves, so that a change is not only found but named. Page: docs/plan.md.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from sfpc.errors import InputError, SfpcError
from sfpc.progress import say
from sfpc.settings import Paths

LOCK_FILE = "plan.lock.json"
DEVIATIONS_FILE = Path("seeds") / "governance" / "deviations.csv"
DEVIATION_COLUMNS = ("date", "clause", "what", "reason")
LOCKED, CHANGED, ABSENT = "locked", "changed", "absent"
LOCK_VERSION = 1

_SEEDS = ("seeds/protocol", "seeds/programmes", "seeds/codesets")
# About published figures, or about what is wrong with raw data: no estimate of the trial hangs on them.
_NOT_THE_PLAN = ("published_series.csv", "published_series_figures.csv", "published_tables.csv", "data_traps.csv")
# Progress of the work, not a promise.
_NOT_COMPARED: Mapping[str, tuple[str, ...]] = {"protocol_clauses.csv": ("status", "home")}
_SQL = ("models", "macros")
_PYTHON = Path("python") / "src" / "sfpc"
# Python that shows, releases, times or makes up data, and makes no number of the trial.
_NO_NUMBERS = (
    "report",
    "release",
    "synthetic",
    "bench.py",
    "cli.py",
    "plan.py",
    "progress.py",
    "provenance",
    "published.py",
    "recovery.py",
    "trace.py",
)


@dataclass(frozen=True)
class PlanChange:
    """A difference between the locked plan and the plan now. part: file of rows, or kind of code; what: in words."""

    part: str
    what: str


@dataclass(frozen=True)
class Deviation:
    """A row of deviations.csv: what is done otherwise than planned, since when, and why."""

    day: date
    clause: str
    what: str
    reason: str


@dataclass(frozen=True)
class PlanStatus:
    """Where the plan stands.

    Attributes
    ----------
    state: 'locked' (nothing changed since), 'changed' or 'absent'.
    changes: every change since the lock; parts: the parts they are in.
    locked_on, plan_sha256, git_commit, reason: of the lock; empty where there is none.
    results_seen: id of the run on real data whose results lay there when the plan was locked; empty where none did.
    history: earlier locks, oldest first, as (day, hash, reason of the lock that followed).
    deviations: the listed deviations.
    """

    state: str
    changes: tuple[PlanChange, ...] = ()
    locked_on: str = ""
    plan_sha256: str = ""
    git_commit: str = ""
    reason: str = ""
    results_seen: str = ""
    history: tuple[tuple[str, str, str], ...] = ()
    deviations: tuple[Deviation, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that changed."""
        return tuple(dict.fromkeys(change.part for change in self.changes))

    @property
    def is_exploratory(self) -> bool:
        """Whether estimates made now are exploratory: no lock, a changed plan, or a lock after results were seen."""
        return self.state != LOCKED or bool(self.results_seen)

    @property
    def sentence(self) -> str:
        """The status in one sentence, for the head of a report."""
        if self.state == ABSENT:
            return "No analysis plan was locked before these estimates were made: they are exploratory."
        if self.state == CHANGED:
            return (
                f"The analysis plan locked on {self.locked_on} was changed since ({', '.join(self.parts)}): these"
                " estimates are exploratory."
            )
        if self.results_seen:
            return (
                f"The analysis plan was locked on {self.locked_on}, when results of run {self.results_seen} had been"
                " seen: these estimates are exploratory."
            )
        return f"These estimates follow the analysis plan locked on {self.locked_on}."


def status(paths: Paths) -> PlanStatus:
    """Compare the plan with its lock. Raises InputError where the list of deviations cannot be used."""
    deviations = tuple(read_deviations(paths.root))
    path = paths.root / LOCK_FILE
    if not path.is_file():
        return PlanStatus(ABSENT, deviations=deviations)
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
        told = {
            "locked_on": str(lock["locked_on"]),
            "plan_sha256": str(lock["plan_sha256"]),
            "git_commit": str(lock["git_commit"]),
            "reason": str(lock["reason"]),
            "results_seen": str(lock["results_seen"]),
        }
        history = tuple((str(h["locked_on"]), str(h["plan_sha256"]), str(h["reason"])) for h in lock["history"])
        is_whole = lock["lock_sha256"] == _lock_hash(lock) and lock["plan_sha256"] == _plan_hash(lock["parts"])
        locked_parts = lock["parts"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise SfpcError(f"{path}: is not a lock that `sfpc plan lock` wrote") from error
    changes = [] if is_whole else [PlanChange(LOCK_FILE, "was edited after it was written")]
    changes += _changes(locked_parts, _parts(paths.root))
    return PlanStatus(CHANGED if changes else LOCKED, tuple(changes), **told, history=history, deviations=deviations)


def lock(paths: Paths, reason: str = "", moment: datetime | None = None) -> PlanStatus:
    """Lock the plan: write plan.lock.json. Returns the status after it.

    reason: why a plan that is locked already is locked anew; without it a lock is never replaced. Raises SfpcError
    where there is a lock and no reason, or a lock of just this plan.
    """
    path = paths.root / LOCK_FILE
    before = status(paths)
    if before.state != ABSENT and not reason.strip():
        raise SfpcError(
            f"the plan is locked since {before.locked_on} ({before.state}); to lock it anew say why: --reason '...'"
        )
    if before.state == LOCKED:
        raise SfpcError(f"nothing changed since the plan was locked on {before.locked_on}")
    parts = _parts(paths.root)
    history = [{"locked_on": d, "plan_sha256": h, "reason": r} for d, h, r in before.history]
    if before.state != ABSENT:
        history.append({"locked_on": before.locked_on, "plan_sha256": before.plan_sha256, "reason": reason.strip()})
    content: dict[str, Any] = {
        "version": LOCK_VERSION,
        "locked_on": (moment or datetime.now(UTC)).date().isoformat(),
        "reason": reason.strip(),
        "plan_sha256": _plan_hash(parts),
        "git_commit": commit_of(paths.root),
        "results_seen": _results_seen(paths),
        "history": history,
        "parts": parts,
    }
    content["lock_sha256"] = _lock_hash(content)
    _write(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return status(paths)


def read_deviations(root: Path) -> list[Deviation]:
    """Read the deviations, oldest first; raises InputError (file, row, column) for a row that cannot be used."""
    path = root / DEVIATIONS_FILE
    if not path.is_file():
        return []
    clauses = {row["clause"] for row in _rows(root / "seeds" / "protocol" / "protocol_clauses.csv")}
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.reader(handle)
        if tuple(next(reader, ())) != DEVIATION_COLUMNS:
            raise InputError(f"the header must be {','.join(DEVIATION_COLUMNS)}", file=path, row=1)
        found = []
        for number, line in enumerate(reader, start=2):
            if not any(value.strip() for value in line):
                continue
            if len(line) != len(DEVIATION_COLUMNS):
                raise InputError(f"{len(line)} values; {len(DEVIATION_COLUMNS)} are expected", file=path, row=number)
            row = dict(zip(DEVIATION_COLUMNS, (value.strip() for value in line), strict=True))
            for column, value in row.items():
                if not value:
                    raise InputError("a deviation needs it", file=path, row=number, column=column)
            if row["clause"] not in clauses:
                raise InputError(
                    f"'{row['clause']}' is no clause of the register", file=path, row=number, column="clause"
                )
            try:
                day = date.fromisoformat(row["date"])
            except ValueError as error:
                raise InputError(
                    f"'{row['date']}' is not a date as 2026-03-31", file=path, row=number, column="date"
                ) from error
            found.append(Deviation(day, row["clause"], row["what"], row["reason"]))
    return sorted(found, key=lambda deviation: (deviation.day, deviation.clause, deviation.what))


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a seed; a cell without its blanks, however lines end and columns stand."""
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        return [{str(name): (value or "").strip() for name, value in row.items() if name} for row in reader]


def _parts(root: Path) -> dict[str, Any]:
    """Everything that is locked, by part: of seeds hash and rows, of code a hash per file."""
    parts: dict[str, Any] = {}
    for folder in _SEEDS:
        for path in sorted((root / folder).glob("*.csv")):
            if path.name in _NOT_THE_PLAN:
                continue
            left_out = _NOT_COMPARED.get(path.name, ())
            rows = [{name: value for name, value in row.items() if name not in left_out} for row in _rows(path)]
            rows.sort(key=lambda row: json.dumps(row, sort_keys=True))
            parts[f"{folder}/{path.name}"] = {"sha256": _sha256(rows), "columns": _columns(path), "rows": rows}
    sql = [p for folder in _SQL for p in sorted((root / folder).rglob("*.sql"))]
    python = [
        p for p in sorted((root / _PYTHON).rglob("*")) if p.suffix in {".py", ".csv", ".sql"} and not _is_shown(root, p)
    ]
    for name, held in (("definitions in SQL", sql), ("estimators in Python", python)):
        hashes = {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in held}
        parts[name] = {"sha256": _sha256(hashes), "files": hashes}
    return parts


def _is_shown(root: Path, path: Path) -> bool:
    return path.relative_to(root / _PYTHON).parts[0] in _NO_NUMBERS


def _columns(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as handle:
        return [name for name in next(csv.reader(handle), []) if name]


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plan_hash(parts: Mapping[str, Any]) -> str:
    """One hash of the whole plan; the order of columns does not matter."""
    return _sha256({name: {k: v for k, v in part.items() if k != "columns"} for name, part in parts.items()})


def _lock_hash(content: Mapping[str, Any]) -> str:
    return _sha256({name: value for name, value in content.items() if name != "lock_sha256"})


def _changes(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[PlanChange]:
    found = []
    for part in sorted(set(locked) | set(now)):
        if part not in now:
            found.append(PlanChange(part, "is no longer there"))
        elif part not in locked:
            found.append(PlanChange(part, "is new"))
        elif "files" in now[part]:
            before, after = locked[part]["files"], now[part]["files"]
            found += [PlanChange(part, f"{name} is no longer there") for name in sorted(set(before) - set(after))]
            found += [PlanChange(part, f"{name} is new") for name in sorted(set(after) - set(before))]
            found += [
                PlanChange(part, f"{name} was changed")
                for name in sorted(set(before) & set(after))
                if before[name] != after[name]
            ]
        elif locked[part]["sha256"] != now[part]["sha256"]:
            found += [PlanChange(part, what) for what in _row_changes(locked[part], now[part])]
    return found


def _row_changes(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed in a seed, row by row; a row goes by the first columns that tell all rows apart."""
    before, after = locked["rows"], now["rows"]
    columns = [name for name in locked["columns"] if all(name in row for row in (*before, *after))]
    keys: list[str] = []
    for name in columns:
        keys.append(name)
        if all(len({tuple(row[k] for k in keys) for row in rows}) == len(rows) for rows in (before, after)):
            break

    def label(row: Mapping[str, str]) -> str:
        return "/".join(row[key] for key in keys)

    old, new = {label(row): row for row in before}, {label(row): row for row in after}
    found = [f"{name} was taken out" for name in old if name not in new]
    found += [f"{name} is new" for name in new if name not in old]
    for name in old:
        if name in new and old[name] != new[name]:
            for column in sorted(set(old[name]) | set(new[name])):
                was, is_ = old[name].get(column, ""), new[name].get(column, "")
                if was != is_:
                    found.append(f"{name}: {column} was '{was}', is '{is_}'")
    return found or ["its rows were changed"]


def commit_of(root: Path) -> str:
    """The commit of the project and whether anything is not committed; empty outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return ""
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return ""
    return f"{commit}, with changes that are not committed" if git("status", "--porcelain") else commit


def _results_seen(paths: Paths) -> str:
    """Run on real data whose results are there; on synthetic data nobody sees an outcome."""
    run = paths.results / "run.json"
    if not run.is_file() or paths.truth.is_dir():
        return ""
    try:
        return str(json.loads(run.read_text(encoding="utf-8"))["run_id"])
    except (json.JSONDecodeError, KeyError) as error:
        raise SfpcError(f"{run}: is not the record of a run; run `sfpc estimate` again") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Block:
    """A piece of the form: a heading, sentences, or a table."""

    heading: str = ""
    level: int = 2
    sentences: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def export(paths: Paths, folder: Path | None = None) -> tuple[Path, Path]:
    """Write the plan as a form for pre-registration: preregistration.md and .html; returns both.

    folder: default outputs/plan. Every section cites its clauses. The form is made of rows of the project alone, never
    of data. Raises SfpcError where a lock or a list of deviations cannot be read.
    """
    blocks = _form(paths)
    place = folder or paths.outputs / "plan"
    markdown, page = place / "preregistration.md", place / "preregistration.html"
    _write(markdown, _as_markdown(blocks))
    _write(page, _as_html(blocks))
    return markdown, page


def _form(paths: Paths) -> list[_Block]:
    protocol = paths.root / "seeds" / "protocol"
    seed = {path.stem: _rows(path) for path in sorted(protocol.glob("*.csv"))}
    programmes = _rows(paths.root / "seeds" / "programmes" / "programmes.csv")
    areas = _rows(paths.root / "seeds" / "programmes" / "programme_local_authorities.csv")
    names = {
        row["la_code"]: row["la_name"]
        for row in _rows(paths.root / "seeds" / "reference" / "local_authority_codes.csv")
    }
    wording = {row["clause"]: row["wording"] for row in seed["protocol_clauses"]}
    settings = {row["setting"]: row for row in seed["evaluation_settings"]}
    outcomes = {row["outcome_id"]: row for row in seed["outcomes"]}

    def cited(*clauses: str) -> tuple[str, ...]:
        return tuple(f"{wording[clause]} ({clause})." for clause in clauses if clause in wording)

    def topic(name: str) -> tuple[str, ...]:
        return cited(*(row["clause"] for row in seed["protocol_clauses"] if row["topic"] == name))

    blocks = [_Block("Analysis plan", 1, _of_lock(status(paths)))]
    for programme in programmes:
        own = programme["programme_id"]
        blocks.append(
            _Block(f"Programme: {programme['programme_name']}", 2, cited("FV.PROG.1", "FV.PROG.2", "FV.PROG.3"))
        )
        blocks.append(
            _Block(
                "Local authorities",
                3,
                (),
                ("local authority", "role", "go-live", "precision", "source"),
                tuple(
                    (
                        names.get(row["la_code"], row["la_code"]),
                        row["role"],
                        row["go_live_date"] or "not known",
                        row.get("date_precision", row.get("go_live_precision", "")),
                        row["source"],
                    )
                    for row in areas
                    if row["programme_id"] == own
                ),
            )
        )
        readings = [row for row in seed["programme_outcomes"] if row["programme_id"] == own]
        blocks.append(
            _Block(
                "Outcomes",
                3,
                cited(*dict.fromkeys(row["clause"] for row in readings if row["is_default"] == "true")),
                ("outcome", "role", "counted from", "window", "what is measured", "sample rule", "clause"),
                tuple(_outcome_row(row, outcomes) for row in readings if row["is_default"] == "true"),
            )
        )
        blocks.append(
            _Block(
                "Alternative readings of the outcomes",
                3,
                ("Each is estimated beside the default and replaces it nowhere.",),
                ("outcome", "reading", "counted from", "window", "what is measured", "sample rule", "clause"),
                tuple(
                    (_outcome_row(row, outcomes)[0], row["reading_id"], *_outcome_row(row, outcomes)[2:])
                    for row in readings
                    if row["is_default"] != "true"
                ),
            )
        )
        samples = [row for row in seed["referral_samples"] if row["programme_id"] == own]
        blocks.append(
            _Block(
                "Samples",
                3,
                (
                    f"Children are referred at {programme.get('minimum_age_years', '0')} to"
                    f" {programme.get('maximum_age_years', '17')} years; referrals count on the basis"
                    f" '{programme['referral_basis']}'.",
                    *cited("FV.SAMPLE.1", "FV.SAMPLE.4", "FV.SAMPLE.5", "FV.SAMPLE.6"),
                ),
                ("alternative sample", "basis", "source", "clause"),
                tuple((r["sample_id"], r["referral_basis"], r["source"], r["clause"]) for r in samples),
            )
        )
    blocks.append(_Block("Who is treated", 2, topic("Treatment")))
    blocks.append(_Block("Matching of local authorities", 2, topic("Matching of LAs")))
    blocks.append(
        _Block(
            "Windows and distances",
            3,
            (),
            ("distance", "window", "default", "clause"),
            tuple((r["label"], r["window_id"], _yes(r["is_default"]), r["clause"]) for r in seed["matching_variants"]),
        )
    )
    blocks.append(_Block("Matching of children", 2, topic("Matching of children")))
    blocks.append(_Block("Covariates", 2, topic("Covariates")))
    blocks.append(
        _Block(
            "Specifications",
            2,
            (
                f"The primary specification of a binary outcome is linear for baseline rates of"
                f" {settings['logit_lower_rate_pct']['value']} to {settings['logit_upper_rate_pct']['value']} per cent"
                " and a logit outside; its companion is always shown. The row marked primary names the weights.",
                *cited("FV.EST.1", "FV.EST.4", "FV.EST.6"),
            ),
            ("outcome", "specification", "model", "weights", "primary", "clauses"),
            tuple(
                (
                    outcomes[r["outcome_id"]]["label"] if r["outcome_id"] in outcomes else r["outcome_id"],
                    r["label"],
                    r["model"],
                    r["weights"],
                    _yes(r["is_primary"]),
                    r["clause"].replace(";", ", "),
                )
                for r in seed["specifications"]
            ),
        )
    )
    blocks.append(_Block("Inference", 2, cited("FV.EST.3", "FV.EST.5", "FV.EST.8")))
    blocks.append(_Block("Sensitivity analyses", 2, topic("Sensitivity")))
    blocks.append(
        _Block(
            "Settings",
            2,
            (),
            ("setting", "value", "clause", "meaning"),
            tuple((r["setting"], r["value"], r["clause"], r["meaning"]) for r in seed["evaluation_settings"]),
        )
    )
    blocks.append(
        _Block(
            "Data windows",
            2,
            cited("FV.PROG.4", "FV.PROG.6", "DP.2"),
            ("source", "table", "first day", "last day"),
            tuple(
                (r["source_kind"], r["landing_table"], r["first_date"], r["last_date"]) for r in seed["data_windows"]
            ),
        )
    )
    deviations = read_deviations(paths.root)
    blocks.append(
        _Block(
            "Deviations",
            2,
            () if deviations else ("None is listed.",),
            ("since", "clause", "what", "why"),
            tuple((d.day.isoformat(), d.clause, d.what, d.reason) for d in deviations),
        )
    )
    return blocks


def _of_lock(now: PlanStatus) -> tuple[str, ...]:
    if now.state == ABSENT:
        return ("This plan is not locked.",)
    lines = [f"Locked on {now.locked_on}; SHA-256 of the plan {now.plan_sha256}."]
    if now.git_commit:
        lines.append(f"Code: commit {now.git_commit}.")
    if now.state == CHANGED:
        lines.append(f"What follows is the plan now. It was changed since the lock in: {', '.join(now.parts)}.")
    if now.results_seen:
        lines.append(f"Results of run {now.results_seen} had been seen when it was locked.")
    lines += [
        f"An earlier plan was locked on {day} ({sha[:12]}); locked anew because: {why}" for day, sha, why in now.history
    ]
    return tuple(lines)


def _outcome_row(row: Mapping[str, str], outcomes: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    window = f"{row['window_months']} months" if row["window_months"] else f"{row['window_terms']} school terms"
    rules = []
    if row["is_already_looked_after_excluded"] == "true":
        rules.append("without children already looked after")
    if row["is_censored_at_18"] == "true":
        rules.append("up to the 18th birthday")
    if row["turning_18_exclusion"] != "none":
        rules.append(f"without who turns 18 ({row['turning_18_exclusion'].replace('_', ' ')})")
    label = outcomes[row["outcome_id"]]["label"] if row["outcome_id"] in outcomes else row["outcome_id"]
    return (
        label,
        "primary" if row["is_primary"] == "true" else "secondary",
        row["anchor"].replace("_", " "),
        window,
        row["measure"].replace("_", " "),
        "; ".join(rules) or "none",
        row["clause"],
    )


def _yes(text: str) -> str:
    return "yes" if text == "true" else ""


def _as_markdown(blocks: Sequence[_Block]) -> str:
    stream = io.StringIO()
    for block in blocks:
        if block.heading:
            stream.write(f"{'#' * block.level} {block.heading}\n\n")
        for sentence in block.sentences:
            stream.write(f"- {sentence}\n")
        if block.sentences:
            stream.write("\n")
        if block.rows:
            stream.write(f"| {' | '.join(block.head)} |\n|{'---|' * len(block.head)}\n")
            for row in block.rows:
                stream.write(f"| {' | '.join(_cell(value) for value in row)} |\n")
            stream.write("\n")
    return stream.getvalue()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _as_html(blocks: Sequence[_Block]) -> str:
    style = (files("sfpc.report") / "style.css").read_text(encoding="utf-8")
    title = blocks[0].heading
    parts = [
        "<!doctype html>",
        '<html lang="en-GB"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>",
    ]
    for block in blocks:
        if block.heading:
            parts.append(f"<h{block.level}>{escape(block.heading)}</h{block.level}>")
        if block.sentences:
            parts.append(f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in block.sentences)}</ul>")
        if block.rows:
            head = "".join(f'<th scope="col">{escape(name)}</th>' for name in block.head)
            body = "".join(
                f'<tr><th scope="row">{escape(row[0])}</th>'
                + "".join(f"<td>{escape(value)}</td>" for value in row[1:])
                + "</tr>"
                for row in block.rows
            )
            parts.append(
                f'<table aria-label="{escape(block.heading)}"><thead><tr>{head}</tr></thead>'
                f"<tbody>{body}</tbody></table>"
            )
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def run_plan(paths: Paths, action: str, reason: str = "", folder: Path | None = None) -> None:
    """The verb: lock, check (exit code 1 unless locked and unchanged) or export."""
    if action == "lock":
        now = lock(paths, reason)
        say(f"  {paths.root / LOCK_FILE}: locked on {now.locked_on}, {now.plan_sha256[:12]}")
        say(f"  {now.sentence}")
        return
    if action == "export":
        for path in export(paths, folder):
            say(f"  {path}")
        return
    now = status(paths)
    say(f"  {now.state}. {now.sentence}")
    for change in now.changes:
        say(f"  {change.part}: {change.what}")
    for deviation in now.deviations:
        say(f"  deviation since {deviation.day}, {deviation.clause}: {deviation.what} ({deviation.reason})")
    if now.is_exploratory:
        raise NotLockedError(f"the plan is {now.state}" if now.state != LOCKED else "the plan was locked too late")


class NotLockedError(SfpcError):
    """Estimates made now would be exploratory."""

    exit_code = 1
