"""The gate every raw row passes: text in, typed landing tables and a full account out.

Readers hand over text rows in the columns of :mod:`sfpc.landing.layout`. The gate types them, sets
aside what cannot be used (with file, row, column and reason), leaves out what lies outside the data
window, counts exact repeats, and writes everything to a folder that takes the place of the old one
only when all files are through: a failure half-way leaves the earlier landing as it was.

For every file and table: raw rows = landed + quarantined + out of window + duplicate.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType

import duckdb
import pandas as pd

from sfpc import __version__
from sfpc.errors import InputError, SfpcError
from sfpc.landing.dates import DATE_FORMATS, date_sql
from sfpc.landing.layout import TABLES, Column, Table

RECONCILIATION_COLUMNS = (
    "file",
    "table",
    "raw",
    "landed",
    "quarantined",
    "out_of_window",
    "duplicate",
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
    base: folder that file names are given relative to.
    """

    def __init__(
        self,
        target: Path,
        source_kind: str,
        windows: dict[tuple[str, str], Window] | None = None,
        base: Path | None = None,
    ) -> None:
        self._base = base.resolve() if base else None
        self.target = target
        self.source_kind = source_kind
        self._windows = windows or {}
        self._work = target.with_name(target.name + ".incoming")
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        for table in TABLES.values():
            (self._work / table.name).mkdir()
        self._con = duckdb.connect()
        self._con.execute(f"set temp_directory = '{self._work / 'tmp'}'")
        self._con.execute("set memory_limit = '4GB'")
        self._con.execute("set preserve_insertion_order = false")
        self._con.execute(
            "create table quarantine (file varchar, source_row bigint, landing_table varchar, "
            "column_name varchar, value_class varchar, reason varchar)"
        )
        columns = ", ".join(f"{name} bigint" for name in RECONCILIATION_COLUMNS[2:])
        self._con.execute(f'create table reconciliation (file varchar, "table" varchar, {columns})')
        self._parts = 0
        self._part_names: dict[Path, str] = {}
        self._hashes: dict[str, str] = {}
        self._ignored: list[dict[str, str]] = []
        self._told: dict[str, list[dict[str, object]]] = {}
        self._contents: dict[tuple[str, str, str], str] = {}
        self._pending: dict[str, tuple[Path, str]] = {}

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
        if self._pending.get(table) != (file, date_format):
            self._finish_rows(table)
            self._pending[table] = (file, date_format)
            self._con.execute(f"create or replace temp table pending_{table} as select * from rows where false")
        self._con.execute(f"insert into pending_{table} by name select * from rows")

    def add_empty(self, table: str, file: Path) -> None:
        """Account for a file that holds a header and no row."""
        self._finish_rows()
        self._count(table, file, (0, 0, 0, 0, 0))

    def note_ignored(self, file: Path, reason: str) -> None:
        """Record a file that was found and not read, with the reason."""
        self._ignored.append({"file": self.name_of(file), "reason": reason})

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
        whole = self.name_of(container)
        self._part_names[part] = f"{whole}!{name}"
        if whole not in self._hashes:
            self._hashes[whole] = sha256_of(container)

    def add_query(self, table: str, file: Path, query: str, date_format: str) -> None:
        """Take the rows of a DuckDB query over ``file``, in the columns of the table plus ``source_row``.

        Text columns are parsed by the one declared date format; a value of any other form is
        quarantined, never guessed (a day is never swapped with a month).
        """
        self._finish_rows()
        self._take(table, file, query, date_format)

    def _finish_rows(self, only: str | None = None) -> None:
        """Rows of one file and table may come in pieces; they are judged together once the file is through."""
        for table in [only] if only else list(self._pending):
            if table in self._pending:
                file, date_format = self._pending.pop(table)
                self._take(table, file, f"select * from pending_{table}", date_format)
                self._con.execute(f"drop table pending_{table}")

    def _take(self, table: str, file: Path, query: str, date_format: str) -> None:
        layout = TABLES[table]
        raw = self._one(f"select count(*) from ({query})")
        if raw and self._is_repeat(table, file, query):
            self._count(table, file, (raw, 0, 0, 0, raw))
            return
        types = {r[0]: r[1] for r in self._con.execute(f"describe {query}").fetchall()}
        needed = [*(c.name for c in layout.columns if c.required), "source_row"]
        if missing := [c for c in needed if c not in types]:
            raise InputError(f"the reader did not deliver {', '.join(missing)}", file=file)
        # What a format does not have is not observed.
        if absent := [c for c in layout.names if c not in types]:
            query = f"select *, {', '.join(f'null::varchar as {c}' for c in absent)} from ({query})"
            types |= dict.fromkeys(absent, "VARCHAR")
        part = self._work / table / f"part_{self._parts:05d}.parquet"
        self._parts += 1
        self._con.execute(f"create or replace temp table checked as {self._checked(layout, query, types, date_format)}")
        self._set_aside(layout, file)
        if layout.about is not None:
            columns = ", ".join(layout.about[1])
            self._con.execute(f"create table if not exists things_{table} as select {columns} from checked where false")
            self._con.execute(
                f"insert into things_{table} select distinct {columns} from checked where problem_column is null"
            )
        window = self._windows.get((self.source_kind, table))
        outside = self._outside(layout, window)
        kept = f"select * from checked where problem_column is null and not ({outside})"
        names = ", ".join(layout.names)
        distinct = self._one(f"select count(*) from (select distinct {names} from ({kept}))")
        landed = self._one(f"select count(*) from ({kept})")
        duplicate = landed - distinct
        if duplicate:
            # The first occurrence in the file stays; the others are counted.
            kept = f"{kept} qualify row_number() over (partition by {names} order by source_row) = 1"
        self._con.execute(
            f"copy (select {names}, '{_quoted(self.name_of(file))}' as source_file, source_row from ({kept})) "
            f"to '{part}' (format parquet, compression zstd)"
        )
        quarantined = self._one("select count(*) from checked where problem_column is not null")
        out = self._one(f"select count(*) from checked where problem_column is null and ({outside})")
        self._count(table, file, (raw, distinct, quarantined, out, duplicate))

    def commit(self) -> pd.DataFrame:
        """Publish all tables at once with a manifest of hashes (DP.8); return the account per file and table.

        Raises SfpcError when an account does not add up (nothing is published then).
        """
        self._finish_rows()
        account = self.reconciliation()
        wrong = account[account["raw"] != account.iloc[:, 3:].sum(axis=1)]
        if len(wrong):
            raise SfpcError(f"rows are not all accounted for in {', '.join(wrong['file'])}; nothing was landed")
        for table in TABLES.values():
            columns = ", ".join(f"null::{c.type} as {c.name}" for c in table.columns)
            self._con.execute(
                f"copy (select {columns}, null::varchar as source_file, null::bigint as source_row where false) "
                f"to '{self._work / table.name / 'layout.parquet'}' (format parquet)"
            )
        self._write_windows()
        self._con.execute(f"copy (select * from quarantine order by all) to '{self._work / 'quarantine.csv'}' (header)")
        account.to_csv(self._work / "reconciliation.csv", index=False)
        manifest = {
            "source_kind": self.source_kind,
            "landed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "code_version": __version__,
            "files": [{"file": name, "sha256": digest} for name, digest in sorted(self._hashes.items())],
            "ignored": self._ignored,
            **self._told,
            "windows": {
                f"{kind}:{table}": [w.first_day.isoformat(), w.last_day.isoformat()]
                for (kind, table), w in self._windows.items()
                if kind == self.source_kind
            },
        }
        (self._work / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(self._work / "tmp", ignore_errors=True)
        replace_folder(self._work, self.target)
        return account

    def _write_windows(self) -> None:
        """The windows that were applied, for the warehouse: what lies beyond them is not observed (FV.SAMPLE.5)."""
        for (kind, table), window in self._windows.items():
            if kind == self.source_kind:
                self._con.execute(
                    f"copy (select '{table}' as landing_table, date '{window.first_day}' as first_date, "
                    f"date '{window.last_day}' as last_date, 'data_windows.csv' as source_file, "
                    "0::bigint as source_row) "
                    f"to '{self._work / 'data_windows' / table}.parquet' (format parquet)"
                )

    def reconciliation(self) -> pd.DataFrame:
        """Raw, landed, quarantined, out-of-window and duplicate rows per file and table so far."""
        sums = ", ".join(f"sum({c})::bigint as {c}" for c in RECONCILIATION_COLUMNS[2:])
        return self._con.execute(
            f'select file, "table", {sums} from reconciliation group by all order by "table", file'
        ).df()

    def distinct(self) -> dict[str, tuple[str, int]]:
        """Per table: what its usable rows are about, and how many different ones all files hold.

        Rows outside the data window are among them; so this number is a fact about the files.
        """
        self._finish_rows()
        out = {}
        for table in TABLES.values():
            seen = self._con.execute(
                "select count(*) from duckdb_tables() where table_name = ?", [f"things_{table.name}"]
            ).fetchone()
            if table.about is not None and seen and seen[0]:
                out[table.name] = (
                    table.about[0],
                    self._one(f"select count(*) from (select distinct * from things_{table.name})"),
                )
        return out

    def quarantine(self) -> pd.DataFrame:
        """Every row set aside: file, row, table, column, class of the value (never the value), reason."""
        return self._con.execute("select * from quarantine order by all").df()

    def name_of(self, file: Path) -> str:
        """A file's name as the account gives it: relative to the base folder where it lies below it."""
        if file in self._part_names:
            return self._part_names[file]
        if self._base is not None and file.resolve().is_relative_to(self._base):
            return str(file.resolve().relative_to(self._base))
        return str(file)

    def _is_repeat(self, table: str, file: Path, query: str) -> bool:
        """The same bytes again for the same LA and year (SSDA903 files hold neither, so both count)."""
        name = self.name_of(file)
        if name not in self._hashes:
            self._hashes[name] = sha256_of(file)
        names = TABLES[table].names
        about = "-"
        if {"la_code", "return_year"} <= set(names):
            row = self._con.execute(f"select la_code, return_year from ({query}) limit 1").fetchone()
            about = str(row)
        first = self._contents.setdefault((self._hashes[name], table, about), name)
        return first != name

    def _checked(self, layout: Table, query: str, types: dict[str, str], date_format: str) -> str:
        style, spelt = date_format, DATE_FORMATS[date_format]
        typed, problems, reasons, classes = [], [], [], []
        reversed_plans = _reversed_plans(layout, types, style)
        for column in layout.columns:
            expression, wrong, reason = _typed(column, types[column.name], style, spelt)
            for condition, columns in reversed_plans:
                if column.name in columns:
                    expression = f"case when not coalesce({condition}, false) then {expression} end"
            typed.append(f"{expression} as {column.name}")
            for condition, message in (
                (wrong, reason),
                *(_required(column) if column.required else ()),
            ):
                if condition:
                    problems.append(f"when {condition} then '{column.name}'")
                    reasons.append(f"when {condition} then '{_quoted(message)}'")
                    classes.append(f"when {condition} then {_value_class(column.name)}")
        for condition, column_name, message in _order_problems(layout, types, style):
            problems.append(f"when {condition} then '{column_name}'")
            reasons.append(f"when {condition} then '{message}'")
            classes.append(f"when {condition} then 'date'")
        return (
            f"select {', '.join(typed)}, source_row, {_first_reversed(reversed_plans)} as set_aside_column, "
            f"case {' '.join(problems)} end as problem_column, "
            f"case {' '.join(reasons)} end as problem_reason, case {' '.join(classes)} end as problem_class "
            f"from ({query})"
        )

    def _set_aside(self, layout: Table, file: Path) -> None:
        self._con.execute(
            "insert into quarantine select ?, source_row, ?, problem_column, problem_class, problem_reason "
            "from checked where problem_column is not null",
            [self.name_of(file), layout.name],
        )
        # A plan that ends before it starts is set aside alone: the referral it hangs on stays.
        self._con.execute(
            "insert into quarantine select ?, source_row, ?, set_aside_column, 'date', "
            "'before the start of the plan: the plan was set aside, the referral kept' "
            "from checked where problem_column is null and set_aside_column is not null",
            [self.name_of(file), layout.name],
        )

    def _outside(self, layout: Table, window: Window | None) -> str:
        if window is None or layout.starts is None:
            return "false"
        after = f"{layout.starts} > date '{window.last_day}'"
        if layout.ends is None:
            return f"{after} or {layout.starts} < date '{window.first_day}'"
        return f"{after} or coalesce({layout.ends} < date '{window.first_day}', false)"

    def _count(self, table: str, file: Path, counts: tuple[int, int, int, int, int]) -> None:
        name = self.name_of(file)
        if name not in self._hashes:
            self._hashes[name] = sha256_of(file)
        self._con.execute("insert into reconciliation values (?, ?, ?, ?, ?, ?, ?)", [name, table, *counts])

    def _one(self, query: str) -> int:
        row = self._con.execute(query).fetchone()
        return int(row[0]) if row else 0


def replace_folder(source: Path, target: Path) -> None:
    """Put ``source`` in the place of ``target``; the old folder goes only after the new one stands."""
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _blank(name: str) -> str:
    return f"nullif(trim({name}), '')"


def _typed(column: Column, given: str, style: str, spelt: str) -> tuple[str, str, str]:
    """Typed expression, the condition under which a value cannot be used, and the reason in words."""
    name = column.name
    if column.type == "VARCHAR":
        return (_blank(name) if given == "VARCHAR" else f"cast({name} as varchar)"), "", ""
    if given != "VARCHAR":
        return f"cast({name} as {column.type.lower()})", "", ""
    text = _blank(name)
    if column.type == "DATE":
        value = date_sql(text, style)
        return value, f"{text} is not null and {value} is null", f"not a date of the form {spelt}"
    value = f"try_cast({text} as {column.type.lower()})"
    return value, f"{text} is not null and {value} is null", "not a whole number"


def _required(column: Column) -> tuple[tuple[str, str], ...]:
    return ((f"nullif(trim(cast({column.name} as varchar)), '') is null", "missing, and needed"),)


def _parsed(name: str, types: dict[str, str], style: str) -> str:
    return name if types[name] != "VARCHAR" else date_sql(_blank(name), style)


def _order_problems(layout: Table, types: dict[str, str], style: str) -> list[tuple[str, str, str]]:
    """An interval that ends before it starts: no telling which date is wrong, so the row is set aside."""
    if layout.starts is None or layout.ends is None:
        return []
    start, end = (_parsed(name, types, style) for name in (layout.starts, layout.ends))
    return [(f"{end} < {start}", layout.ends, f"before {layout.starts}")]


def _reversed_plans(layout: Table, types: dict[str, str], style: str) -> list[tuple[str, tuple[str, ...]]]:
    """Per kind of plan: the condition that it ends before it starts, and the columns that then go blank."""
    plans = [
        ("cpp_end_date", "cpp_start_date", "cpp_initial_category"),
        ("cin_plan_end_date", "cin_plan_start_date"),
    ]
    return [
        (f"{_parsed(columns[0], types, style)} < {_parsed(columns[1], types, style)}", columns)
        for columns in plans
        if set(columns) <= set(layout.names)
    ]


def _first_reversed(reversed_plans: list[tuple[str, tuple[str, ...]]]) -> str:
    if not reversed_plans:
        return "null::varchar"
    return "case " + " ".join(f"when {c} then '{columns[0]}'" for c, columns in reversed_plans) + " end"


def _value_class(name: str) -> str:
    """What kind of value stood there; the value itself is never kept."""
    text = f"cast({name} as varchar)"
    return (
        f"case when nullif(trim({text}), '') is null then 'blank' "
        f"when regexp_full_match(trim({text}), '[0-9]+') then 'digits' "
        f"when regexp_full_match(trim({text}), '[0-9/: .-]+') then 'date-like' else 'text' end"
    )
