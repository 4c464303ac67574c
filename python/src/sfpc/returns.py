"""Statutory returns all the way to referrals and periods of care, with an account of every raw row (DP.9)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from sfpc.errors import InputError, SfpcError
from sfpc.landing.account import account_text as check_text
from sfpc.landing.account import landing_settings
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.pseudonym import key_id, load_key, passing_key
from sfpc.landing.returns import land_returns
from sfpc.marts import count_rows, open_marts
from sfpc.progress import say, step
from sfpc.settings import Paths
from sfpc.warehouse.build import build

SYNTHETIC_VOLUME = 0.05
SYNTHETIC_LAS = 3


@dataclass(frozen=True)
class ReturnsRun:
    """Account of one run.

    account: rows per file and landing table (columns of the gate's reconciliation).
    distinct: what the usable rows of a table are about and how many different ones the files hold.
    quarantine: one row per row set aside (file, row, column, class of value, reason).
    marts: rows of fct_referral_spells and fct_care_periods.
    """

    account: pd.DataFrame
    distinct: dict[str, tuple[str, int]]
    quarantine: pd.DataFrame
    marts: dict[str, int]


def run_returns(
    paths: Paths,
    directory: Path | None,
    la_code: str | None = None,
    list_rows: bool = False,
    *,
    is_check: bool = False,
    accepts_quarantine: bool = False,
) -> ReturnsRun:
    """Land the returns below ``directory``, build the warehouse on them and print the account.

    Everything goes to ``data/returns``; the national landing and its marts are left as they are. Without
    a directory, synthetic returns of a few LAs are written first. A check prints the account and writes nothing.
    Raises InputError for a folder without returns or a file that cannot be read, QuarantineError when more was
    set aside than the limit allows and that is not accepted; nothing is landed then.
    """
    own = Paths(paths.root, paths.data / "returns", paths.outputs / "returns")
    if is_check and directory is None:
        raise SfpcError("a check writes nothing, not even synthetic returns: name the folder to check")
    if not is_check:
        own.data.mkdir(parents=True, exist_ok=True)
    source = directory if directory is not None else synthetic_returns(paths, own.data)
    if not source.is_dir():
        raise InputError("expected a folder with statutory returns", file=source)
    protocol = paths.root / "seeds" / "protocol"
    settings = landing_settings()
    key = passing_key() if is_check else load_key(own.data)
    gate = Gate(
        own.landing,
        "returns",
        read_windows(protocol / "data_windows.csv"),
        base=source,
        settings=settings,
        is_check=is_check,
        accepts_quarantine=accepts_quarantine,
        key_id=key_id(key),
    )

    def progress(line: str) -> None:
        say(line)
        gate.note(line)

    with step(f"{'checking' if is_check else 'landing'} returns in {source}"), gate:
        land_returns(source, gate, key, la_code, progress)
        distinct, aside = gate.distinct(), gate.quarantine()
        account = gate.commit()
        if is_check:
            print(check_text(account, aside, settings))
            gate.judge()
            return ReturnsRun(account, distinct, aside, {})
    build(own, stops_on_quality=False)
    run = ReturnsRun(account, distinct, aside, _mart_rows(own))
    print(account_text(run, list_rows))
    return run


def synthetic_returns(paths: Paths, folder: Path) -> Path:
    """Write a few LAs of a small synthetic run as statutory returns; returns their folder."""
    from sfpc.landing.national import land_national
    from sfpc.synthetic.extracts import synthesise
    from sfpc.synthetic.returns import write_returns

    work = Paths(paths.root, folder / "national", folder)
    with step("synthetic children for returns"):
        synthesise("reduced", 1, work.extracts, work.truth, paths.root / "seeds", volume=SYNTHETIC_VOLUME, quiet=True)
        with Gate(work.landing, "national", base=work.extracts) as gate:
            land_national(work.extracts, gate)
        con = duckdb.connect()
        codes = con.execute(
            f"select distinct la_code from read_parquet('{work.landing}/cin_records/*.parquet') "
            "order by la_code limit ?",
            [SYNTHETIC_LAS],
        ).fetchall()
        con.close()
        target = folder / "synthetic"
        write_returns(work.landing, target, [str(code[0]) for code in codes], replace=True)
    return target


def account_text(run: ReturnsRun, list_rows: bool = False) -> str:
    """The account as a person reads it: what every raw row became."""
    lines = ["", "What became of every raw row"]
    numbers = list(run.account.columns[2:])
    for table, part in run.account.groupby("table", sort=True):
        sums = part[numbers].sum()
        lines.append(
            f"  {table}: {sums['raw']:,} raw rows = {sums['landed']:,} landed + {sums['quarantined']:,} "
            f"quarantined + {sums['out_of_window']:,} outside the data window + {sums['duplicate']:,} duplicate"
        )
        if table in run.distinct:
            noun, count = run.distinct[str(table)]
            usable = int(sums["raw"] - sums["quarantined"])
            lines.append(f"    {usable:,} usable rows tell of {count:,} different {noun} (open ones are repeated)")
    if len(run.quarantine):
        lines.append("  Set aside, by reason")
        tally = Counter(f"{row.landing_table}.{row.column_name}: {row.reason}" for row in run.quarantine.itertuples())
        lines += [f"    {count:,} x {reason}" for reason, count in sorted(tally.items())]
    if list_rows:
        lines += [
            f"    {r.file}, row {r.source_row}, column {r.column_name}: {r.reason}" for r in run.quarantine.itertuples()
        ]
    lines.append("In the warehouse")
    lines += [f"  {name}: {count:,} rows" for name, count in run.marts.items()]
    return "\n".join(lines)


def _mart_rows(paths: Paths) -> dict[str, int]:
    with open_marts(paths.marts_db) as connection:
        return {name: count_rows(connection, name) for name in ("fct_referral_spells", "fct_care_periods")}
