"""The gate of the landing step: every row is somewhere, nothing is half-landed, nothing is guessed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from sfpc.errors import InputError
from sfpc.landing.gate import Gate, Window, read_windows
from sfpc.landing.layout import TABLES

EPISODE = {
    "return_year": "2021",
    "la_code": "306",
    "la_child_id": "a",
    "episode_start_date": "01/02/2020",
    "reason_for_new_episode": "S",
    "legal_status": "C1",
    "category_of_need": "N1",
    "placement": "U6",
    "episode_end_date": "01/03/2020",
    "reason_episode_ceased": "E4A",
}
CIN = {
    **{c: "" for c in TABLES["cin_records"].names},
    "return_year": "2021",
    "la_code": "306",
    "la_child_id": "a",
    "referral_date": "2020-05-01",
}


def frame(*rows: dict[str, str]) -> pd.DataFrame:
    out = pd.DataFrame(list(rows), dtype=str)
    out["source_row"] = range(2, len(out) + 2)
    return out


def landed(folder: Path, table: str) -> list[tuple[object, ...]]:
    return duckdb.execute(f"select * from read_parquet('{folder}/{table}/*.parquet') order by all").fetchall()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "2021-episodes.csv"
    path.parent.mkdir()
    path.write_text("anything", encoding="utf-8")
    return path


def test_every_row_is_accounted_for(tmp_path: Path, file: Path) -> None:
    """raw = landed + quarantined + out of window + duplicate (DP.2)."""
    windows = {("returns", "cla_episodes"): Window(date(2019, 1, 1), date(2025, 12, 31))}
    with Gate(tmp_path / "landing", "returns", windows, base=file.parent, accepts_quarantine=True) as gate:
        rows = frame(
            EPISODE,
            EPISODE,
            {**EPISODE, "la_child_id": "b", "episode_start_date": "31/02/2020"},
            {**EPISODE, "la_child_id": "c", "episode_start_date": "02/13/2020"},
            {**EPISODE, "la_child_id": ""},
            {**EPISODE, "la_child_id": "d", "episode_end_date": "01/01/2020"},
            {
                **EPISODE,
                "la_child_id": "e",
                "episode_start_date": "01/02/2015",
                "episode_end_date": "31/12/2018",
            },
            {
                **EPISODE,
                "la_child_id": "f",
                "episode_start_date": "01/02/2015",
                "episode_end_date": "01/01/2019",
            },
            {
                **EPISODE,
                "la_child_id": "g",
                "return_year": "2025",
                "episode_start_date": "01/01/2026",
                "episode_end_date": "",
            },
            {**EPISODE, "la_child_id": "h", "episode_start_date": "01/02/2015", "episode_end_date": ""},
        )
        gate.add_rows("cla_episodes", file, rows, "uk")
        account = gate.commit()
        aside = gate.quarantine()
    (row,) = account.to_dict("records")
    assert row == {
        "file": "2021-episodes.csv",
        "table": "cla_episodes",
        "raw": 10,
        "landed": 3,
        "quarantined": 4,
        "out_of_window": 2,
        "duplicate": 1,
    }
    assert list(zip(aside["source_row"], aside["column_name"], aside["value_class"], strict=True)) == [
        (4, "episode_start_date", "date-like"),
        (5, "episode_start_date", "date-like"),
        (6, "la_child_id", "blank"),
        (7, "episode_end_date", "date"),
    ]
    children = [r[2] for r in landed(tmp_path / "landing", "cla_episodes")]
    assert children == ["a", "f", "h"]


def test_quarantine_never_holds_the_value(tmp_path: Path, file: Path) -> None:
    with Gate(tmp_path / "landing", "returns", base=file.parent, accepts_quarantine=True) as gate:
        gate.add_rows("cla_episodes", file, frame({**EPISODE, "episode_start_date": "SECRETNAME"}), "uk")
        gate.commit()
        assert "SECRETNAME" not in gate.quarantine().to_csv()
    for path in (tmp_path / "landing").rglob("*"):
        assert path.is_dir() or b"SECRETNAME" not in path.read_bytes(), path.name


def test_a_failed_landing_leaves_the_earlier_one(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "landing"
    with Gate(target, "returns", base=file.parent) as gate:
        gate.add_rows("cla_episodes", file, frame(EPISODE), "uk")
        gate.commit()
    before = landed(target, "cla_episodes")
    with pytest.raises(RuntimeError), Gate(target, "returns", base=file.parent) as gate:
        gate.add_rows("cla_episodes", file, frame({**EPISODE, "la_child_id": "z"}), "uk")
        raise RuntimeError("the reader met a broken file")
    assert landed(target, "cla_episodes") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "landing"]


def test_every_table_exists_even_when_nothing_was_sent(tmp_path: Path, file: Path) -> None:
    with Gate(tmp_path / "landing", "returns", base=file.parent) as gate:
        gate.add_rows("cla_episodes", file, frame(EPISODE), "uk")
        gate.commit()
    for name, table in TABLES.items():
        described = duckdb.execute(
            f"describe select * from read_parquet('{tmp_path}/landing/{name}/*.parquet', union_by_name = true)"
        ).fetchall()
        assert [d[0] for d in described] == [*table.names, "source_file", "source_row"]
        assert [d[1] for d in described][:-2] == [c.type for c in table.columns]


def test_duplicates_are_found_across_pieces_of_a_file(tmp_path: Path, file: Path) -> None:
    with Gate(tmp_path / "landing", "returns", base=file.parent) as gate:
        gate.add_rows("cla_episodes", file, frame(EPISODE), "uk")
        gate.add_rows("cla_episodes", file, frame(EPISODE), "uk")
        account = gate.commit()
    assert (account["raw"][0], account["landed"][0], account["duplicate"][0]) == (2, 1, 1)


def test_the_same_bytes_twice_count_once_but_not_for_another_year(tmp_path: Path, file: Path) -> None:
    again = file.with_name("2021-episodes-copy.csv")
    later = file.with_name("2022-episodes.csv")
    for path in (again, later):
        path.write_bytes(file.read_bytes())
    with Gate(tmp_path / "landing", "returns", base=file.parent) as gate:
        gate.add_rows("cla_episodes", file, frame(EPISODE), "uk")
        gate.add_rows("cla_episodes", again, frame(EPISODE), "uk")
        gate.add_rows("cla_episodes", later, frame({**EPISODE, "return_year": "2022"}), "uk")
        account = gate.commit().set_index("file")
        assert gate.distinct() == {"cla_episodes": ("episodes of care", 1)}
    assert account.loc[again.name, "duplicate"] == 1
    assert account.loc[later.name, "landed"] == 1


def test_a_plan_that_ends_before_it_starts_is_set_aside_and_its_referral_kept(tmp_path: Path, file: Path) -> None:
    row = {**CIN, "cpp_start_date": "2020-07-01", "cpp_end_date": "2020-06-01", "cpp_initial_category": "NEG"}
    with Gate(tmp_path / "landing", "national", base=file.parent, accepts_quarantine=True) as gate:
        gate.add_rows("cin_records", file, frame(row), "iso")
        account, aside = gate.commit(), gate.quarantine()
    assert (account["landed"][0], account["quarantined"][0]) == (1, 0)
    assert "the referral kept" in aside["reason"][0]
    names = [*TABLES["cin_records"].names]
    (kept,) = landed(tmp_path / "landing", "cin_records")
    values = dict(zip(names, kept, strict=False))
    assert values["referral_date"] == date(2020, 5, 1)
    assert values["cpp_start_date"] is None and values["cpp_end_date"] is None


def test_a_day_is_never_swapped_with_a_month(tmp_path: Path, file: Path) -> None:
    with Gate(tmp_path / "landing", "returns", base=file.parent, accepts_quarantine=True) as gate:
        gate.add_rows("cla_episodes", file, frame({**EPISODE, "episode_start_date": "2020-02-01"}), "uk")
        account = gate.commit()
    assert account["quarantined"][0] == 1


def test_unreadable_windows_name_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "data_windows.csv"
    path.write_text("source_kind,landing_table,first_date,last_date\nreturns,cin_records,2019,2025-12-31\n")
    with pytest.raises(InputError, match=r"data_windows\.csv, row 2: expected"):
        read_windows(path)
