"""The gate every raw row passes: text in, typed landing tables and a full account out.

Readers hand over text rows in the columns of :mod:`sfpc.landing.layout`. The gate types them, sets
aside what cannot be used (with file, row, column, reason and rule, never the value), leaves out what lies
outside the data window, counts exact repeats, and writes everything to a folder that takes the place of the
old one only when all files are through: a failure half-way leaves the earlier landing as it was.

Rows wait and are judged in files of the gate's own work folder, not in memory, so that a file of any size needs
no more memory than a small one. That folder is the owner's alone and goes when the gate does.

For every file and table: raw rows = landed + quarantined + out of window + duplicate. The same files give the
same bytes again, but for the time in the manifest.
"""

from __future__ import annotations

import csv
import getpass
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType

import duckdb
import pandas as pd

from sfpc import __version__
from sfpc.errors import InputError, QuarantineError, SfpcError
from sfpc.landing import identifiers
from sfpc.landing.account import Breach, LandingSettings, breaches, landing_settings, summarise
from sfpc.landing.dates import DATE_FORMATS, date_sql
from sfpc.landing.layout import TABLES, Column, Table
from sfpc.landing.pseudonym import NOT_A_DATE

RECONCILIATION_COLUMNS = (
    "file",
    "table",
    "raw",
    "landed",
    "quarantined",
    "out_of_window",
    "duplicate",
)
QUARANTINE_COLUMNS = (
    "file",
    "source_row",
    "landing_table",
    "column_name",
    "value_class",
    "reason",
    "rule",
    "scope",
)

# Whole numbers of the landing tables are years, months and counts. Anything longer is something else.
_MOST_DIGITS = 4
_RETURN_YEARS = ("return_year", "census_year", "school_year")
_BIRTH_NUMBERS = ("birth_year", "birth_month")

# Rows that readers hand over are judged and written so many at a time, or as many as one piece has.
_ROWS_AT_ONCE = 60_000
# Rows of which exact repeats are looked for at once; more are looked through in several passes.
_ROWS_PER_PASS = 1 << 20
# Of the files in the work folder.
_SCRATCH_FORM = "format parquet, compression lz4_raw, row_group_size 40960"

# Interval that ends before it starts: the DfE rule that says so, by the column of the end (A.6, B.3).
_REVERSED_RULES = {
    "closure_date": "8630",
    "episode_end_date": "356",
    "cpp_end_date": "8925",
    "cin_plan_end_date": "4011",
}
# Plans that hang on a referral: start, end and what else goes blank when the plan is set aside.
_PLANS = (
    ("cpp_start_date", "cpp_end_date", "cpp_initial_category"),
    ("cin_plan_start_date", "cin_plan_end_date"),
)


@dataclass(frozen=True)
class Window:
    """First and last day of the data that a source may hold, both included (DP.2, FV.PROG.6)."""

    first_day: date
    last_day: date


def read_windows(path: Path) -> dict[tuple[str, str], Window]:
    """Data windows by (source kind, landing table) from the seed ``data_windows.csv``.

    Raises InputError when a row is not readable.
    """
    windows: dict[tuple[str, str], Window] = {}
    with path.open(newline="", encoding="utf-8") as handle:
        for number, row in enumerate(csv.DictReader(handle), start=2):
            try:
                window = Window(date.fromisoformat(row["first_date"]), date.fromisoformat(row["last_date"]))
                windows[row["source_kind"], row["landing_table"]] = window
            except (KeyError, ValueError) as error:
                raise InputError(
                    f"expected source_kind, landing_table, first_date and last_date ({error})",
                    file=path,
                    row=number,
                ) from error
    return windows


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Gate:
    """Collects rows for all landing tables and publishes them together.

    Parameters
    ----------
    target: folder of the landing tables; replaced by :meth:`commit`.
    source_kind: ``national`` or ``returns``; chooses the data windows.
    windows: data window per (source kind, landing table); none means no limit.
    base: folder that file names are given relative to; the gate's database can read nothing outside it and
    ``readable`` (a link that leads out included). Without it any file can be read.
    settings: limits for dates and for what may be set aside; without them those of the project's seed hold.
    is_check: do everything and publish nothing.
    accepts_quarantine: publish although more was set aside than the limit allows; the manifest says so.
    key_id: tells which pseudonym key was used (:func:`sfpc.landing.pseudonym.key_id`), never the key.
    """

    def __init__(
        self,
        target: Path,
        source_kind: str,
        windows: dict[tuple[str, str], Window] | None = None,
        base: Path | None = None,
        *,
        settings: LandingSettings | None = None,
        is_check: bool = False,
        accepts_quarantine: bool = False,
        key_id: str | None = None,
        readable: Sequence[Path] = (),
    ) -> None:
        self._base = base.resolve() if base else None
        self._base_names = [str(p) for p in (base, base.resolve()) if str(p) != "."] if base else []
        self.target = target
        self.source_kind = source_kind
        self.settings = settings or landing_settings()
        self._windows = windows or {}
        self._is_check = is_check
        self._accepts_quarantine = accepts_quarantine
        self._key_id = key_id
        if is_check:
            beside = target.parent if target.parent.is_dir() else None
            self._work = Path(tempfile.mkdtemp(prefix=f"{target.name}.checking.", dir=beside))
        else:
            restore_folder(target)
            self._work = target.with_name(target.name + ".incoming")
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.parent.mkdir(parents=True, exist_ok=True)
            # The landing belongs to the one who made it, whatever the umask (DP.1).
            self._work.mkdir(mode=0o700)
        for table in TABLES.values():
            (self._work / table.name).mkdir()
        self._con = duckdb.connect()
        self._con.execute(f"set temp_directory = '{_quoted(str(self._work / 'tmp'))}'")
        self._con.execute("set memory_limit = '4GB'")
        self._con.execute("set preserve_insertion_order = false")
        # Each file of the work folder is read once or twice and then goes: nothing to keep in memory.
        self._con.execute("set enable_external_file_cache = false")
        if base is not None:
            self._close_in(base, *readable)
        self._con.execute(
            "create table quarantine (file varchar, source_row bigint, landing_table varchar, column_name varchar, "
            "value_class varchar, reason varchar, rule varchar, scope varchar)"
        )
        columns = ", ".join(f"{name} bigint" for name in RECONCILIATION_COLUMNS[2:])
        self._con.execute(f'create table reconciliation (file varchar, "table" varchar, {columns})')
        self._parts = 0
        self._scratched = 0
        self._seen: dict[str, _Seen] = {}
        self._ignored: list[dict[str, str]] = []
        self._notes: list[dict[str, str]] = []
        self._contents: dict[tuple[str, str, str], str] = {}
        self._told: dict[str, list[dict[str, object]]] = {}
        self._part_names: dict[Path, str] = {}
        self._pending: dict[str, _Pending] = {}
        self._things: dict[str, int] = {}
        self._distinct: dict[str, tuple[str, int]] | None = None

    def _close_in(self, *folders: Path) -> None:
        """Let the database touch the input and the work folder and nothing else, for good (DP.1)."""
        allowed = dict.fromkeys(str(p) for f in (*folders, self._work) for p in (f.absolute(), f.resolve()))
        listed = ", ".join(f"'{_quoted(folder)}'" for folder in allowed)
        self._con.execute("set autoinstall_known_extensions = false")
        self._con.execute("set autoload_known_extensions = false")
        self._con.execute(f"set allowed_directories = [{listed}]")
        self._con.execute("set enable_external_access = false")
        self._con.execute("set lock_configuration = true")

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._con.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def add_rows(self, table: str, file: Path, rows: pd.DataFrame, date_format: str) -> None:
        """Take text rows (columns of the landing table plus ``source_row``) read from ``file``.

        Pieces of several tables of one file may come in turns.
        """
        pending = self._pending.get(table)
        if pending is None or (pending.file, pending.date_format) != (file, date_format):
            self._finish_rows(table)
            pending = self._pending[table] = _Pending(file, date_format)
        pending.note_order(rows["source_row"])
        # A column without a value in this piece is text all the same.
        text = [n for n in rows.columns if rows[n].dtype == object or pd.api.types.is_string_dtype(rows[n])]
        casts = ", ".join(f"cast({name} as varchar) as {name}" for name in text)
        self._con.register("given_rows", rows)
        with _told_as_input_error(file):
            piece = self._write_scratch(f"select *{f' replace ({casts})' if casts else ''} from given_rows")
        self._con.unregister("given_rows")
        pending.add(piece, len(rows))

    def add_empty(self, table: str, file: Path) -> None:
        """Account for a file that holds a header and no row."""
        self._finish_rows()
        self._count(table, file, (0, 0, 0, 0, 0))

    def note_ignored(self, file: Path, reason: str) -> None:
        """Record a file that was found and not read, with the reason."""
        self._ignored.append({"file": self.name_of(file), "reason": reason})

    def note(self, text: str, file: Path | None = None) -> None:
        """Record what a reader has to say about a file, or about all of them, for the manifest."""
        for folder in self._base_names:
            text = text.replace(f"{folder}{os.sep}", "")
        entry = {"note": text} | ({"file": self.name_of(file)} if file else {})
        if entry not in self._notes:
            self._notes.append(entry)

    def tell(self, topic: str, file: Path, **facts: object) -> None:
        """Add a row to the manifest's table ``topic``: what a reader found out about a file, besides its rows."""
        self._told.setdefault(topic, []).append({"file": self.name_of(file), **facts})

    def scratch(self) -> Path:
        """A private folder for what readers must put down (members of archives); gone when the gate is."""
        folder = self._work / "tmp" / "scratch"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def name_part(self, part: Path, container: Path, name: str) -> None:
        """Call a file that was taken out of another one ``container!name`` in the account; hash the other one too."""
        self._part_names[part] = f"{self._look_at(container)}!{name}"

    def add_query(self, table: str, file: Path, query: str, date_format: str) -> None:
        """Take the rows of a DuckDB query over ``file``, in the columns of the table plus ``source_row``.

        Text columns are parsed by the one declared date format; a value of any other form is
        quarantined, never guessed (a day is never swapped with a month).
        """
        self._finish_rows()
        self._take(table, file, [query], date_format)

    def _finish_rows(self, only: str | None = None) -> None:
        """Rows of one file and table may come in pieces; they are judged together once the file is through."""
        for table in [only] if only else list(self._pending):
            if table in self._pending:
                rows = self._pending.pop(table)
                queries = [f"select * from {_parquet(part)}" for part in rows.parts]
                self._take(table, rows.file, queries, rows.date_format, rows.is_ordered)
                for piece in itertools.chain.from_iterable(rows.parts):
                    piece.unlink()

    def _write_scratch(self, query: str) -> Path:
        """Put the rows of a query down in a file of the work folder."""
        folder = self._work / "tmp"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._scratched += 1
        path = folder / f"rows_{self._scratched:06d}.parquet"
        self._con.execute(f"copy ({query}) to '{_quoted(str(path))}' ({_SCRATCH_FORM})")
        return path

    def _take(self, table: str, file: Path, queries: Sequence[str], date_format: str, is_ordered: bool = False) -> None:
        """Judge and write the rows of some queries; is_ordered: they come by source_row, each number once."""
        with _told_as_input_error(file):
            self._land(TABLES[table], file, queries, date_format, is_ordered)

    def _land(self, layout: Table, file: Path, queries: Sequence[str], date_format: str, is_ordered: bool) -> None:
        self._look_at(file)
        parts = [self._judge(layout, file, query, date_format) for query in queries]
        self._show_checked(parts)
        raw = self._one("select count(*) from checked")
        if raw and self._is_repeat(layout, file):
            self._count(layout.name, file, (raw, 0, 0, 0, raw))
        else:
            if marked := self._find_identifiers(layout, file, raw):
                for number, part in enumerate(parts):
                    parts[number] = self._write_scratch(marked.format(checked=_parquet([part])))
                    part.unlink()
                self._show_checked(parts)
            blanks = _Judged(layout, {}, date_format, self.settings).blanks
            self._land_checked(layout, file, parts, blanks, raw, is_ordered)
        self._con.execute("drop view checked")
        for part in parts:
            part.unlink()

    def _judge(self, layout: Table, file: Path, query: str, date_format: str) -> Path:
        """Type the rows of a query and say what is wrong with each; returns where they were put down."""
        types = {r[0]: r[1] for r in self._con.execute(f"describe {query}").fetchall()}
        needed = [*(c.name for c in layout.columns if c.required), "source_row"]
        if missing := [c for c in needed if c not in types]:
            raise InputError(f"the reader did not deliver {', '.join(missing)}", file=file)
        # What a format does not have is not observed.
        if absent := [c for c in layout.names if c not in types]:
            query = f"select *, {', '.join(f'null::varchar as {c}' for c in absent)} from ({query})"
            types |= dict.fromkeys(absent, "VARCHAR")
        return self._write_scratch(_Judged(layout, types, date_format, self.settings).query(query))

    def _show_checked(self, parts: list[Path]) -> None:
        """Judged rows are called ``checked`` in queries."""
        self._con.execute(f"create or replace temp view checked as from {_parquet(parts)}")

    def _land_checked(
        self, layout: Table, file: Path, parts: list[Path], blanks: list[_Blank], raw: int, is_ordered: bool
    ) -> None:
        """Write the rows of ``checked`` that can be used, and count what became of all of them."""
        outside = self._outside(layout, self._windows.get((self.source_kind, layout.name)))
        counts = self._con.execute(
            f"select count(problem), count(*) filter (problem is null and ({outside})), coalesce(bit_or(blanked), 0) "
            "from checked"
        ).fetchone()
        quarantined, out, blanked = counts or (0, 0, 0)
        self._set_aside(layout, file, quarantined, blanks, blanked)
        if layout.about is not None:
            self._write_things(layout)
        kept = f"problem is null and not ({outside})"
        names = ", ".join(layout.names)
        usable = raw - quarantined - out
        # The first occurrence in the file stays; the others are counted.
        is_first = f"row_number() over (partition by {names} order by source_row) = 1"
        has_repeats = self._find_repeats(names, kept, usable)
        landed = 0
        if is_ordered:
            # Piece by piece, and row numbers tell the rows apart.
            if has_repeats:
                self._con.execute(
                    "create or replace temp table again as select source_row from "
                    f"(select * from checked where {kept}) where hash({names}) in (select hashed from repeats) "
                    f"qualify not {is_first}"
                )
                kept += " and source_row not in (select source_row from again)"
            for part in parts:
                landed += self._write_part(layout, file, f"from {_parquet([part])} where {kept} order by source_row")
        else:
            is_unique = self._one("select cast(count(*) = count(distinct source_row) as integer) from checked")
            order = "source_row" if is_unique else f"source_row, {names}"
            some = f"from checked where {kept}"
            if has_repeats:
                some = f"from (select * {some} qualify {is_first})"
            landed = self._write_part(layout, file, f"{some} order by {order}")
        self._count(layout.name, file, (raw, landed, quarantined, out, usable - landed))

    def _write_part(self, layout: Table, file: Path, rows: str) -> int:
        """Write landed rows in the order of the file: the same file gives the same bytes whatever the threads do."""
        part = self._work / layout.name / f"part_{self._parts:05d}.parquet"
        self._parts += 1
        columns = f"{', '.join(layout.names)}, '{_quoted(self.name_of(file))}' as source_file, source_row"
        return self._one(f"copy (select {columns} {rows}) to '{_quoted(str(part))}' (format parquet, compression zstd)")

    def _find_repeats(self, names: str, kept: str, count: int) -> bool:
        """Hashes that several rows share go to the table ``repeats``: few rows are left to be compared in full."""
        self._con.execute("create or replace temp table repeats (hashed ubigint)")
        passes = 1 + count // _ROWS_PER_PASS
        for number in range(passes):
            some = f"where hashed % {passes} = {number} " if passes > 1 else ""
            self._con.execute(
                f"insert into repeats select hashed from (select hash({names}) as hashed from checked where {kept}) "
                f"{some}group by hashed having count(*) > 1"
            )
        return self._one("select count(*) from repeats") > 0

    def _write_things(self, layout: Table) -> None:
        """Keep what tells apart what the usable rows are about, for :meth:`distinct`."""
        folder = self._work / "tmp" / "things" / layout.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        columns = ", ".join(layout.about[1] if layout.about else ())
        self._distinct = None
        self._things[layout.name] = self._things.get(layout.name, 0) + self._one(
            f"copy (select {columns} from checked where problem is null) "
            f"to '{_quoted(str(folder / f'{self._parts:05d}.parquet'))}' ({_SCRATCH_FORM})"
        )

    def commit(self) -> pd.DataFrame:
        """Publish all tables at once with a manifest of hashes (DP.8); return the account per file and table.

        Beside the landing tables stand ``reconciliation``, ``quarantine`` and ``quarantine_summary``, each as
        a folder with Parquet and as CSV. A check publishes nothing.

        Raises SfpcError, and publishes nothing, when an account does not add up; InputError when a file
        changed while it was read; QuarantineError when more was set aside than the settings allow.
        """
        self._finish_rows()
        account = self.reconciliation()
        self._prove(account)
        self._compare_files()
        if self._is_check:
            return account
        too_much = self.breaches()
        if not self._accepts_quarantine:
            self.judge()
        self._list_what_nobody_mentioned()
        for table in TABLES.values():
            columns = ", ".join(f"null::{c.type} as {c.name}" for c in table.columns)
            self._con.execute(
                f"copy (select {columns}, null::varchar as source_file, null::bigint as source_row where false) "
                f"to '{_quoted(str(self._work / table.name / 'layout.parquet'))}' (format parquet)"
            )
        self._write_windows()
        self._write_account(account)
        # Counted from files of the work folder, which go now.
        self.distinct()
        shutil.rmtree(self._work / "tmp", ignore_errors=True)
        manifest = self._manifest(account, too_much)
        (self._work / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        replace_folder(self._work, self.target)
        return account

    def breaches(self) -> list[Breach]:
        """Files and tables of which more was set aside than the settings allow, worst first."""
        return breaches(self.reconciliation(), self.quarantine(), self.settings)

    def judge(self) -> None:
        """Raise QuarantineError, naming the worst file, when more was set aside than the settings allow (DP.2)."""
        too_much = self.breaches()
        if too_much:
            raise QuarantineError(
                f"{too_much[0]}; the limit is {self.settings.quarantine_limit_pct:g} %. Nothing was landed. "
                "--check lists every reason; --accept-quarantine lands the rest"
            )

    def _prove(self, account: pd.DataFrame) -> None:
        wrong = account[account["raw"] != account.iloc[:, 3:].sum(axis=1)]
        if len(wrong):
            raise SfpcError(f"rows are not all accounted for in {', '.join(wrong['file'])}; nothing was landed")
        listed = self._con.execute(
            "select file, landing_table, count(*) as n from quarantine where scope = 'row' group by all"
        ).fetchall()
        reasons = {(str(file), str(table)): int(n) for file, table, n in listed}
        numbers = zip(account["file"], account["table"], account["quarantined"], strict=True)
        counted = {(str(file), str(table)): int(n) for file, table, n in numbers if n}
        if reasons != counted:
            file, table = min(key for key, _ in reasons.items() ^ counted.items())
            raise SfpcError(f"the reasons do not add up to the rows set aside in {file}, {table}; nothing was landed")

    def _compare_files(self) -> None:
        for seen in self._seen.values():
            if seen.stamp != _stamp(seen.path):
                raise InputError("changed while it was read; nothing was landed", file=seen.path)

    def _list_what_nobody_mentioned(self) -> None:
        """What lies in the input folder and no reader spoke of is told: nothing is passed over without a word."""
        if self._base is None or not self._base.is_dir():
            return
        mentioned = {*self._seen, *(entry["file"] for entry in self._ignored)}
        mentioned |= {str(entry["file"]) for entries in self._told.values() for entry in entries}
        own = (_resolved(self.target), _resolved(self._work))
        for path in sorted(self._base.rglob("*")):
            if path.is_symlink() and not path.exists():
                reason = "a link that leads nowhere"
            elif path.is_symlink() and path.is_dir():
                reason = "a link to a folder: not followed"
            elif path.is_file():
                reason = "not looked at"
            else:
                continue
            name = str(path.relative_to(self._base))
            if name not in mentioned and self.name_of(path) not in mentioned and not _is_below(path, own):
                self._ignored.append({"file": name, "reason": reason})

    def _write_account(self, account: pd.DataFrame) -> None:
        aside = self.quarantine()
        tables = {
            "reconciliation": account.rename(columns={"table": "landing_table"}),
            "quarantine": aside,
            "quarantine_summary": summarise(aside),
        }
        for name, rows in tables.items():
            (self._work / name).mkdir()
            self._con.register("account_rows", rows)
            casts = ", ".join(
                f"cast({c} as {'bigint' if rows[c].dtype.kind == 'i' or c == 'source_row' else 'varchar'}) as {c}"
                for c in rows.columns
            )
            for file, form in ((f"{name}/{name}.parquet", "format parquet"), (f"{name}.csv", "format csv, header")):
                place = _quoted(str(self._work / file))
                self._con.execute(f"copy (select {casts} from account_rows order by all) to '{place}' ({form})")
            self._con.unregister("account_rows")

    def _manifest(self, account: pd.DataFrame, too_much: list[Breach]) -> dict[str, object]:
        rows = account.groupby("file")["raw"].sum()
        tables = account.groupby("file")["table"].agg(sorted)
        return {
            "source_kind": self.source_kind,
            "landed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "landed_by": _user(),
            "code_version": __version__,
            "pseudonym_key_id": self._key_id,
            "files": [
                {
                    "file": name,
                    "sha256": seen.sha256,
                    "bytes": seen.stamp[0],
                    "rows": int(rows.get(name, 0)),
                    "kind": list(tables.get(name, [])),
                }
                for name, seen in sorted(self._seen.items())
            ],
            "ignored": sorted(self._ignored, key=lambda entry: (entry["file"], entry["reason"])),
            "notes": self._notes,
            **self._told,
            "windows": {
                f"{kind}:{table}": [w.first_day.isoformat(), w.last_day.isoformat()]
                for (kind, table), w in self._windows.items()
                if kind == self.source_kind
            },
            "quarantine_limit_pct": self.settings.quarantine_limit_pct,
            "accepted_over_the_limit": [str(breach) for breach in too_much],
            # Where the files lay, from here, and what was made of them: both can be compared later (DP.8).
            "folder": os.path.relpath(self._base, self.target.resolve()) if self._base is not None else None,
            "landing": {
                path.relative_to(self._work).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
                for path in sorted(self._work.rglob("*"))
                if path.is_file() and path.name != "manifest.json"
            },
        }

    def _write_windows(self) -> None:
        """The windows that were applied, for the warehouse: what lies beyond them is not observed (FV.SAMPLE.5)."""
        for (kind, table), window in self._windows.items():
            if kind == self.source_kind:
                self._con.execute(
                    f"copy (select '{table}' as landing_table, date '{window.first_day}' as first_date, "
                    f"date '{window.last_day}' as last_date, 'data_windows.csv' as source_file, "
                    "0::bigint as source_row) "
                    f"to '{_quoted(str(self._work / 'data_windows' / table))}.parquet' (format parquet)"
                )

    def reconciliation(self) -> pd.DataFrame:
        """Raw, landed, quarantined, out-of-window and duplicate rows per file and table so far."""
        self._finish_rows()
        sums = ", ".join(f"sum({c})::bigint as {c}" for c in RECONCILIATION_COLUMNS[2:])
        return self._con.execute(
            f'select file, "table", {sums} from reconciliation group by all order by "table", file'
        ).df()

    def distinct(self) -> dict[str, tuple[str, int]]:
        """Per table: what its usable rows are about, and how many different ones all files hold.

        Rows outside the data window are among them; so this number is a fact about the files.
        """
        self._finish_rows()
        if self._distinct is None:
            self._distinct = self._count_distinct()
        return self._distinct

    def _count_distinct(self) -> dict[str, tuple[str, int]]:
        out = {}
        for name, rows in self._things.items():
            what, columns = TABLES[name].about or ("", ())
            listed, passes = ", ".join(columns), 1 + rows // _ROWS_PER_PASS
            files = _quoted(str(self._work / "tmp" / "things" / name / "*.parquet"))
            out[name] = (
                what,
                sum(
                    self._one(
                        f"select count(*) from (select distinct {listed} from read_parquet('{files}') "
                        f"where hash({listed}) % {passes} = {number})"
                    )
                    for number in range(passes)
                ),
            )
        return out

    def quarantine(self) -> pd.DataFrame:
        """Every row or value set aside: file, row, table, column, class of the value (never the value), reason,
        rule (a DfE rule number where one applies) and scope (``row``; ``value``: the row landed without it).
        """
        self._finish_rows()
        return self._con.execute("select * from quarantine order by all").df()

    def name_of(self, file: Path) -> str:
        """A file's name as the account gives it: relative to the base folder where it lies below it."""
        if file in self._part_names:
            return self._part_names[file]
        if self._base is not None:
            for place in (_resolved(file), file.absolute()):
                if place.is_relative_to(self._base):
                    return str(place.relative_to(self._base))
        return str(file)

    def _look_at(self, file: Path) -> str:
        """Hash a file the first time it is met; returns the name the account gives it."""
        name = self.name_of(file)
        if name not in self._seen:
            try:
                stamp = _stamp(file)
                self._seen[name] = _Seen(file, sha256_of(file), stamp)
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", file=file) from error
        return name

    def _is_repeat(self, layout: Table, file: Path) -> bool:
        """The same bytes again for the same LA and year (SSDA903 files hold neither, so both count)."""
        name = self._look_at(file)
        about = "-"
        if {"la_code", "return_year"} <= set(layout.names):
            row = self._con.execute(
                "select la_code, return_year from checked order by source_row, la_code, return_year limit 1"
            ).fetchone()
            about = str(row)
        first = self._contents.setdefault((self._seen[name].sha256, layout.name, about), name)
        return first != name

    def _find_identifiers(self, layout: Table, file: Path, raw: int) -> str | None:
        """The query over ``{checked}`` that marks rows with a value that identifies a person; None where none has.

        A column full of them refuses the file (DP.1).
        """
        columns = [c.name for c in layout.columns if c.type == "VARCHAR"]
        found = identifiers.screen(self._con, "checked", columns)
        for number in [c.name for c in layout.columns if c.name in _BIRTH_NUMBERS]:
            rows = self._one(
                f"select count(*) from checked where problem.rule = 'identifier' and problem.column_name = '{number}'"
            )
            if rows:
                found.append(identifiers.Suspicion(number, _FULL_DATE, rows, raw))
        for suspicion in found:
            if suspicion.refuses_file:
                raise InputError(
                    f"{suspicion.rows:,} of {suspicion.of_rows:,} values have the form of a {suspicion.kind}; no such "
                    "value may come in, and nothing of the file is landed (DP.1)",
                    file=file,
                    column=suspicion.column,
                )
        marked = list(dict.fromkeys(s.column for s in found if s.column in columns))
        if not marked:
            return None
        cases = " ".join(
            f"when {column}_found.kind is not null then {{{{'column_name': '{column}', "
            f"'reason': case when {column}_found.kind = '{identifiers.NO_CODE}' then 'text where a code belongs' "
            f"else 'has the form of a ' || {column}_found.kind end, "
            f"'rule': case when {column}_found.kind = '{identifiers.NO_CODE}' then 'code-form' else 'identifier' end, "
            f"'value_class': case when {column}_found.kind = '{identifiers.NO_CODE}' then 'text' "
            f"else {column}_found.kind end}}}}"
            for column in marked
        )
        joins = " ".join(
            f"left join (select value, kind from identifying where column_name = '{column}') as {column}_found "
            f"on {column}_found.value = checked.{column}"
            for column in marked
        )
        return (
            f"select checked.* replace (case when checked.problem is not null then checked.problem {cases} end "
            f"as problem) from {{checked}} as checked {joins}"
        )

    def _set_aside(self, layout: Table, file: Path, rows: int, blanks: list[_Blank], blanked: int) -> None:
        name, table = self.name_of(file), layout.name
        if rows:
            self._con.execute(
                "insert into quarantine select ?, source_row, ?, problem.column_name, problem.value_class, "
                "problem.reason, problem.rule, 'row' from checked where problem is not null",
                [name, table],
            )
        # A value that goes alone: the row stays.
        for bit, blank in enumerate(blanks):
            if blanked & 1 << bit:
                self._con.execute(
                    "insert into quarantine select ?, source_row, ?, ?, 'date', ?, ?, 'value' "
                    f"from checked where problem is null and blanked & {1 << bit} <> 0",
                    [name, table, blank.column, blank.reason, blank.rule],
                )

    def _outside(self, layout: Table, window: Window | None) -> str:
        if window is None or layout.starts is None:
            return "false"
        after = f"{layout.starts} > date '{window.last_day}'"
        if layout.ends is None:
            return f"coalesce({after} or {layout.starts} < date '{window.first_day}', false)"
        return f"coalesce({after}, false) or coalesce({layout.ends} < date '{window.first_day}', false)"

    def _count(self, table: str, file: Path, counts: tuple[int, int, int, int, int]) -> None:
        name = self._look_at(file)
        self._con.execute("insert into reconciliation values (?, ?, ?, ?, ?, ?, ?)", [name, table, *counts])

    def _one(self, query: str) -> int:
        row = self._con.execute(query).fetchone()
        return int(row[0]) if row else 0


_FULL_DATE = "full date of birth"


@dataclass
class _Pending:
    """Rows of one file and table that wait for the rest of the file.

    parts: files of the work folder, those of each part judged together. is_ordered: rows come by source_row,
    each number once.
    """

    file: Path
    date_format: str
    parts: list[list[Path]] = field(default_factory=list)
    is_ordered: bool = True
    last: int | None = None
    rows_of_part: int = 0

    def add(self, piece: Path, rows: int) -> None:
        """Take the next piece."""
        if not self.parts or self.rows_of_part + rows > _ROWS_AT_ONCE:
            self.parts.append([])
            self.rows_of_part = 0
        self.parts[-1].append(piece)
        self.rows_of_part += rows

    def note_order(self, numbers: pd.Series) -> None:
        """Look whether the rows of the next piece are in order."""
        if len(numbers):
            follows = self.last is None or int(numbers.iloc[0]) > self.last
            self.is_ordered &= follows and bool(numbers.is_monotonic_increasing and numbers.is_unique)
            self.last = int(numbers.iloc[-1])


@dataclass(frozen=True)
class _Seen:
    """A file as it was when its first row was judged; stamp: bytes and time of its last change."""

    path: Path
    sha256: str
    stamp: tuple[int, int]


@dataclass(frozen=True)
class _Problem:
    """A condition (SQL) under which a row cannot be used, the column to blame, why, by which rule.

    value_class: SQL expression for the kind of value that stood there.
    """

    condition: str
    column: str
    reason: str
    rule: str
    value_class: str


@dataclass(frozen=True)
class _Blank:
    """A condition (SQL) under which some columns go blank and the row stays."""

    condition: str
    columns: tuple[str, ...]
    column: str
    reason: str
    rule: str


class _Judged:
    """The query that types the rows of one table and says of each what is wrong with it.

    Result: the columns of the table, ``source_row``, ``problem`` (a struct of column_name, reason, rule and
    value_class; null for a row that can be used) and ``blanked`` (one bit per entry of ``blanks``).
    """

    def __init__(self, layout: Table, types: dict[str, str], date_format: str, settings: LandingSettings) -> None:
        self.layout = layout
        self._types = types
        self._date_format, self._spelt = date_format, DATE_FORMATS[date_format]
        self._settings = settings
        self.blanks = self._find_blanks()

    def query(self, given: str) -> str:
        names = self.layout.names
        typed = ", ".join(
            f"{_as_text(c.name, self._types[c.name])} as text_{c.name}, {self._value(c)} as typed_{c.name}"
            for c in self.layout.columns
        )
        early_and_late = [b for b in self.blanks if b.rule in ("early-date", "future-date")]
        others = [b for b in self.blanks if b not in early_and_late]
        problems = self._problems()
        cases = " ".join(
            f"when {p.condition} then {{'column_name': '{p.column}', 'reason': '{_quoted(p.reason)}', "
            f"'rule': '{p.rule}', 'value_class': {p.value_class}}}"
            for p in problems
        )
        kind = "struct(column_name varchar, reason varchar, rule varchar, value_class varchar)"
        return (
            f"with typed as (select source_row, {typed} from ({given})), "
            f"dated as (select *, {', '.join(self._after('typed', n, early_and_late) for n in names)} from typed), "
            f"blanked as (select *, {', '.join(self._after('dated', n, others) for n in names)} from dated) "
            f"select {', '.join(f'blanked_{n} as {n}' for n in names)}, source_row, "
            f"cast(case {cases} end as {kind}) as problem, {self._bits()} as blanked from blanked"
        )

    def _after(self, level: str, name: str, blanks: list[_Blank]) -> str:
        result = {"typed": "dated", "dated": "blanked"}[level]
        conditions = [f"coalesce({b.condition}, false)" for b in blanks if name in b.columns]
        value = f"{level}_{name}"
        if conditions:
            value = f"case when {' or '.join(conditions)} then null else {value} end"
        return f"{value} as {result}_{name}"

    def _bits(self) -> str:
        bits = [f"case when {b.condition} then {1 << i} else 0 end" for i, b in enumerate(self.blanks)]
        return " + ".join(bits) or "0"

    def _value(self, column: Column) -> str:
        """The typed value of a column."""
        name, given = column.name, self._types[column.name]
        if column.type == "VARCHAR":
            return _as_text(name, given)
        if column.type == "DATE":
            if given == "DATE" or given.startswith("TIMESTAMP"):
                return f"cast({name} as date)"
            return date_sql(_as_text(name, given), self._date_format)
        text = _as_text(name, given)
        form = rf"regexp_full_match({text}, '-?[0-9]{{1,{_MOST_DIGITS}}}(\.0*)?')"
        return f"case when {form} then try_cast({text} as {column.type.lower()}) end"

    def _problems(self) -> list[_Problem]:
        out: list[_Problem] = []
        for column in self.layout.columns:
            name, text = column.name, f"text_{column.name}"
            if column.type != "VARCHAR":
                unusable = f"{text} is not null and typed_{name} is null"
                if column.type == "DATE":
                    what, rule = f"not a date of the form {self._spelt}", "date-form"
                else:
                    what, rule = f"not a whole number of at most {_MOST_DIGITS} digits", "whole-number"
                if name in _BIRTH_NUMBERS:
                    out += [
                        _Problem(
                            f"{text} = '{NOT_A_DATE}'",
                            name,
                            f"birth date not of the form {self._spelt}",
                            "date-form",
                            "'text'",
                        ),
                        _Problem(
                            f"case when {unusable} or typed_{name} > 9999 then {identifiers.is_full_date(text)} end",
                            name,
                            f"has the form of a {_FULL_DATE}",
                            "identifier",
                            f"'{_FULL_DATE}'",
                        ),
                    ]
                out.append(_Problem(unusable, name, what, rule, _value_class(text)))
            if column.required:
                out.append(_Problem(f"{text} is null", name, "missing, and needed", "required", "'blank'"))
            if name in _RETURN_YEARS:
                out.append(
                    _Problem(f"typed_{name} not between 1990 and 2099", name, "not a year", "whole-number", "'digits'")
                )
        out += self._out_of_time()
        starts, ends = self.layout.starts, self.layout.ends
        if starts is not None and ends is not None:
            # No telling which of the two dates is wrong (DECISIONS D10).
            rule = _REVERSED_RULES.get(ends, "reversed-interval")
            out.append(_Problem(f"dated_{ends} < dated_{starts}", ends, f"before {starts}", rule, "'date'"))
        return out

    def _dates(self) -> list[tuple[str, str, str, str, str]]:
        """Per date column: name, and condition, reason and rule for a day too early, then condition for the future."""
        limits = self._settings
        out = []
        for column in (c for c in self.layout.columns if c.type == "DATE"):
            value = f"typed_{column.name}"
            if self.layout.name == "cla_episodes":
                day, rule = limits.earliest_episode_date, "353"
            else:
                day, rule = limits.earliest_date, "early-date"
            late = ""
            if "return_year" in self.layout.names:
                late = (
                    f"{value} > case when typed_return_year between 1990 and 2099 then cast(make_date("
                    f"typed_return_year, 3, 31) + interval '{limits.last_date_months_after_return} months' as date) end"
                )
            out.append((column.name, f"{value} < date '{day}'", f"before {day}", rule, late))
        return out

    def _late_reason(self) -> str:
        months = self._settings.last_date_months_after_return
        return f"in the future: more than {months} months after the end of the return's year"

    def _out_of_time(self) -> list[_Problem]:
        """A row whose own date cannot be: it is about nothing (trap 17)."""
        out = []
        for name, early, before, rule, late in self._dates():
            if self._decides_row(name):
                out.append(_Problem(early, name, before, rule, "'date'"))
                if late:
                    out.append(_Problem(late, name, self._late_reason(), "future-date", "'date'"))
        return out

    def _decides_row(self, name: str) -> bool:
        starts = re.findall(r"\w+", self.layout.starts or "")
        return name in starts or any(c.required for c in self.layout.columns if c.name == name)

    def _find_blanks(self) -> list[_Blank]:
        """Dates that cannot be and that the row can do without, and plans that end before they start."""
        names = set(self.layout.names)
        plans = [tuple(c for c in plan if c in names) for plan in _PLANS if set(plan[:2]) <= names]
        starts = {plan[0]: plan for plan in plans}
        out = []
        for name, early, before, _, late in self._dates():
            if not self._decides_row(name):
                columns = starts.get(name, (name,))
                what = ": the plan was set aside, the referral kept" if name in starts else ": left blank"
                out.append(_Blank(early, columns, name, before + what, "early-date"))
                if late:
                    out.append(_Blank(late, columns, name, self._late_reason() + what, "future-date"))
        for plan in plans:
            if self._decides_row(plan[0]):
                continue
            out.append(
                _Blank(
                    f"dated_{plan[1]} < dated_{plan[0]}",
                    plan,
                    plan[1],
                    "before the start of the plan: the plan was set aside, the referral kept",
                    _REVERSED_RULES[plan[1]],
                )
            )
        return out


def restore_folder(target: Path) -> None:
    """Undo a replacement that was cut off between its two renames: the old folder stands again."""
    old = target.with_name(target.name + ".old")
    if old.is_dir() and not target.exists():
        old.rename(target)


def replace_folder(source: Path, target: Path) -> None:
    """Put ``source`` in the place of ``target``; the old folder goes only after the new one stands."""
    restore_folder(target)
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _parquet(files: Sequence[Path]) -> str:
    """Parquet files of the work folder as a relation."""
    listed = ", ".join(f"'{_quoted(str(file))}'" for file in files)
    return f"read_parquet([{listed}], union_by_name = true)"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _as_text(name: str, given: str) -> str:
    """A column as text: blanks around it off, nothing at all is null."""
    if given == "VARCHAR":
        return f"nullif(trim({name}), '')"
    if given == "BLOB":
        return f"hex({name})"
    if given in ("DOUBLE", "FLOAT"):
        return f"case when not isnan({name}) then cast({name} as varchar) end"
    return f"cast({name} as varchar)"


def _value_class(text: str) -> str:
    """What kind of value stood there; the value itself is never kept."""
    return (
        f"case when {text} is null then 'blank' "
        f"when regexp_full_match({text}, '[0-9]+') then 'digits' "
        f"when regexp_full_match({text}, '[0-9/: .-]+') then 'date-like' else 'text' end"
    )


@contextmanager
def _told_as_input_error(file: Path) -> Iterator[None]:
    """What the database has to say about the rows of a file (or a full disk) becomes one line."""
    try:
        yield
    except duckdb.PermissionException as error:
        raise InputError(
            "lies outside the folder that is being landed (a link that leads out of it?)", file=file
        ) from error
    except duckdb.Error as error:
        raise InputError(f"cannot be landed: {_without_values(error)}", file=file) from error


def _without_values(error: duckdb.Error) -> str:
    """The first line of a database message without what it quotes: that may be a value of the file."""
    first = (str(error).splitlines() or ["no reason given"])[0]
    return re.sub(r"'[^']*'|\"[^\"]*\"", "...", first)[:200]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _resolved(path: Path) -> Path:
    """Where a path leads; a link that leads in a circle stays where it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
