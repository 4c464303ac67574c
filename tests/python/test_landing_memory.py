"""A file of any size is judged piece by piece: the same landing as in one piece, in memory that does not grow."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from conftest import ROOT
from sfpc.bench import write_census
from sfpc.errors import InputError
from sfpc.landing import gate as module
from sfpc.landing.gate import Gate
from sfpc.landing.layout import TABLES

NAMES = TABLES["cla_episodes"].names


def episodes(count: int) -> pd.DataFrame:
    """Rows of many kinds: usable, repeated, without an id, with an end that is no date, with an identifier."""
    rows = []
    for number in range(count):
        row = {
            "return_year": "2021",
            "la_code": "306",
            "la_child_id": f"{1_000 + number}",
            "episode_start_date": f"2020-{1 + number % 12:02}-{1 + number % 28:02}",
            "legal_status": "C2" if number > count // 2 else None,
            "episode_end_date": None,
        }
        if number % 10 == 3 and number > 100:
            row = dict(rows[number - 100])
        elif number % 50 == 7:
            row["la_child_id"] = None
        elif number % 50 == 9:
            row["episode_end_date"] = "31/02/2020"
        elif number % 100 == 41 and number > count // 2:
            row["la_child_id"] = f"child{number}@example.org"
        rows.append(row)
    frame = pd.DataFrame(rows, dtype="str")
    frame["source_row"] = range(2, count + 2)
    return frame


def land(
    folder: Path, pieces: list[pd.DataFrame], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> tuple[list[int], list[tuple[object, ...]], list[tuple[object, ...]], dict[str, tuple[str, int]]]:
    """Counts, landed rows in the order of the parts, what was set aside, and how many things the file is about."""
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(module, "_ROWS_PER_PASS", at_once)
    file = folder / "in" / "given.csv"
    file.parent.mkdir(parents=True)
    file.write_text("stands for the rows", encoding="utf-8")
    with Gate(folder / "landing", "returns", base=file.parent, accepts_quarantine=True) as gate:
        for piece in pieces:
            gate.add_rows("cla_episodes", file, piece, "iso")
        account = gate.commit()
        aside, distinct = gate.quarantine(), gate.distinct()
    parts = sorted((folder / "landing" / "cla_episodes").glob("part_*.parquet"))
    landed = [row for part in parts for row in duckdb.execute(f"select * from '{part}'").fetchall()]
    listed = [tuple(row) for row in aside.itertuples(index=False, name=None)]
    return account.iloc[0, 2:].tolist(), landed, listed, distinct


def test_many_pieces_give_the_landing_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats, identifiers and an empty column that fills later are seen across the pieces, and the order stays."""
    rows = episodes(2_000)
    whole = land(tmp_path / "whole", [rows], monkeypatch, 1 << 20)
    pieces = [rows.iloc[start : start + 130] for start in range(0, len(rows), 130)]
    cut = land(tmp_path / "cut", pieces, monkeypatch, 400)
    assert whole == cut
    (raw, landed, quarantined, _, duplicate), kept, aside, distinct = whole
    assert (raw, landed, duplicate) == (2_000, len(kept), raw - landed - quarantined)
    assert duplicate > 100 and {"required", "date-form", "identifier"} == {str(row[6]) for row in aside}
    numbers = [row[-1] for row in kept]
    assert numbers == sorted(numbers) and len(list((tmp_path / "cut" / "landing" / "cla_episodes").glob("part_*"))) > 4
    usable = rows[~rows["source_row"].isin([row[1] for row in aside])]
    assert distinct["cla_episodes"][1] == len(usable[["la_child_id", "episode_start_date"]].drop_duplicates())


def test_pieces_that_come_out_of_order_are_put_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = episodes(900)
    whole = land(tmp_path / "whole", [rows], monkeypatch, 1 << 20)
    pieces = [rows.iloc[start : start + 130] for start in range(0, len(rows), 130)]
    assert land(tmp_path / "turned", pieces[::-1], monkeypatch, 300) == whole
    shuffled = rows.sample(frac=1, random_state=1)
    assert land(tmp_path / "shuffled", [shuffled], monkeypatch, 300) == whole


def test_what_waits_is_the_owners_alone_and_goes_with_the_gate(tmp_path: Path) -> None:
    file = tmp_path / "in" / "given.csv"
    file.parent.mkdir()
    file.write_text("stands for the rows", encoding="utf-8")
    broken = episodes(50).drop(columns="episode_start_date")
    with (
        pytest.raises(InputError, match="did not deliver episode_start_date"),
        Gate(tmp_path / "landing", "returns", base=file.parent) as gate,
    ):
        gate.add_rows("cla_episodes", file, broken, "iso")
        work = tmp_path / "landing.incoming"
        waiting = [path for path in work.rglob("*") if path.is_file()]
        assert waiting, "rows wait in the work folder"
        assert stat.S_IMODE(work.stat().st_mode) == 0o700
        gate.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


# Small pieces, so that a small file has many of them; the rest is what the verb does.
LANDING = """
import functools, sys
from pathlib import Path
from sfpc.bench import land_census, measured
from sfpc.landing import gate, returns
gate._ROWS_AT_ONCE = 6_000
gate._ROWS_PER_PASS = 20_000
returns.read_cin_xml = functools.partial(returns.read_cin_xml, chunk_rows=6_000)
print(measured(land_census, Path(sys.argv[1]), Path(sys.argv[2]))[1])
"""


def test_memory_does_not_grow_with_the_census(tmp_path: Path) -> None:
    """26 MB more of the same return: where rows wait in memory they take most of that."""
    peaks = []
    for megabytes in (4, 30):
        path = tmp_path / str(megabytes) / "in" / "306" / "CIN_2023.xml"
        path.parent.mkdir(parents=True)
        write_census(path, megabytes)
        done = subprocess.run(
            [sys.executable, "-c", LANDING, str(path), str(ROOT)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        peaks.append(float(done.stdout.split()[-1]))
        landed = tmp_path / str(megabytes) / "landing"
        assert (landed / "manifest.json").exists()
        path.unlink()
    assert peaks[1] - peaks[0] < 18, f"peak memory {peaks[0]:.0f} MB, with 26 MB more {peaks[1]:.0f} MB"
