"""The account of a landing: its settings, how much may be set aside, and the account as a person reads it (DP.2)."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import pandas as pd

from sfpc.errors import InputError
from sfpc.settings import project_root

SETTINGS = Path("seeds", "protocol", "landing_settings.csv")

PARTS = ("landed", "quarantined", "out_of_window", "duplicate")


@dataclass(frozen=True)
class LandingSettings:
    """Rows of the seed ``landing_settings.csv``; each has its meaning and source there.

    Dates are days, quarantine_limit_pct is a percentage (0 to 100), the others are numbers.
    """

    earliest_date: date
    earliest_episode_date: date
    last_date_months_after_return: int
    quarantine_limit_pct: float
    quarantine_minimum_rows: int


def read_landing_settings(path: Path) -> LandingSettings:
    """Settings of the landing step from a CSV with columns setting and value.

    Raises InputError when one is missing or not readable, naming it.
    """
    with path.open(newline="", encoding="utf-8") as handle:
        values = {row["setting"]: row["value"] for row in csv.DictReader(handle)}
    setting = ""
    try:
        setting = "earliest_date"
        earliest = date.fromisoformat(values[setting])
        setting = "earliest_episode_date"
        episode = date.fromisoformat(values[setting])
        setting = "last_date_months_after_return"
        months = int(values[setting])
        setting = "quarantine_limit_pct"
        limit = float(values[setting])
        setting = "quarantine_minimum_rows"
        return LandingSettings(earliest, episode, months, limit, int(values[setting]))
    except (KeyError, ValueError) as error:
        raise InputError(f"the setting {setting} is missing or not readable ({error})", file=path) from error


def landing_settings() -> LandingSettings:
    """The settings of the project, read once.

    Raises SfpcError outside the project.
    """
    return _read_once(project_root() / SETTINGS)


@lru_cache(maxsize=1)
def _read_once(path: Path) -> LandingSettings:
    return read_landing_settings(path)


@dataclass(frozen=True)
class Breach:
    """A file or a whole table (file None) with too many rows set aside: so many of so many."""

    file: str | None
    table: str
    rows: int
    raw: int
    main_reason: str

    @property
    def share_pct(self) -> float:
        """Share of the rows that were set aside, 0 to 100."""
        return 100 * self.rows / self.raw

    def __str__(self) -> str:
        what = f"{self.file}, table {self.table}" if self.file else f"table {self.table}, all files"
        return (
            f"{what}: {self.rows:,} of {self.raw:,} rows ({self.share_pct:.1f} %) set aside, most of them for "
            f"{self.main_reason}"
        )


def breaches(account: pd.DataFrame, quarantine: pd.DataFrame, settings: LandingSettings) -> list[Breach]:
    """Files and tables of which more was set aside than the limit allows, worst first.

    A row counts once, whether it was set aside whole or lost a value.

    Parameters
    ----------
    account: reconciliation per file and table. quarantine: one row per row or value set aside.
    """
    touched = quarantine.drop_duplicates(["file", "landing_table", "source_row"])
    raw: Counter[tuple[str | None, str]] = Counter()
    aside: Counter[tuple[str | None, str]] = Counter()
    for file, table, rows in zip(account["file"], account["table"], account["raw"], strict=True):
        raw[file, table] += int(rows)
        raw[None, table] += int(rows)
    for file, table in zip(touched["file"], touched["landing_table"], strict=True):
        aside[file, table] += 1
        aside[None, table] += 1
    out = []
    for (file, table), rows in aside.items():
        of = raw[file, table]
        is_enough = rows >= settings.quarantine_minimum_rows or rows == of
        if is_enough and 100 * rows > settings.quarantine_limit_pct * of:
            part = quarantine[quarantine["landing_table"] == table]
            part = part if file is None else part[part["file"] == file]
            reasons = Counter((part["column_name"] + ": " + part["reason"]).tolist())
            main = min(reasons, key=lambda reason: (-reasons[reason], reason))
            out.append(Breach(file, table, rows, of, main))
    return sorted(out, key=lambda b: (b.file is None, -b.share_pct, -b.rows, b.file or "", b.table))


def summarise(quarantine: pd.DataFrame) -> pd.DataFrame:
    """Rows and values set aside, per file, table, rule, column and reason; most frequent first.

    Columns: file, landing_table, scope (row or value), rule, column_name, reason, rows.
    """
    keys = ["file", "landing_table", "scope", "rule", "column_name", "reason"]
    out = quarantine.groupby(keys, sort=True).size().rename("rows").reset_index()
    return out.sort_values(["file", "landing_table", "rows", *keys[2:]], ascending=[True, True, False, *[True] * 4])


def account_text(account: pd.DataFrame, quarantine: pd.DataFrame, settings: LandingSettings) -> str:
    """Every file and table with what became of its rows, and below each the reasons for what was set aside."""
    summary = summarise(quarantine)
    width = max((len(f"{r.file} ({r.table})") for r in account.itertuples()), default=10)
    lines = [f"{'file (landing table)':<{width}}" + "".join(f"{n.replace('_', ' '):>15}" for n in ("raw", *PARTS))]
    for row in account.itertuples():
        numbers = "".join(f"{getattr(row, n):>15,}" for n in ("raw", *PARTS))
        lines.append(f"{f'{row.file} ({row.table})':<{width}}{numbers}")
        of_file = summary[(summary["file"] == row.file) & (summary["landing_table"] == row.table)]
        lines += [
            f"    {r.rows:,} x {r.column_name}: {r.reason} [{r.rule}{', value only' if r.scope == 'value' else ''}]"
            for r in of_file.itertuples()
        ]
    too_much = breaches(account, quarantine, settings)
    lines.append(f"limit for what is set aside: {settings.quarantine_limit_pct:g} % of a file or table")
    lines += [f"  over the limit: {breach}" for breach in too_much]
    return "\n".join(lines)
