"""`make returns`: statutory returns through the same staging to referrals and periods of care (DP.9).

Runs on returns made from synthetic children always, and on the fake returns of other projects where they lie
beside the project.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import duckdb
import pytest

from conftest import ROOT, querying, shared_dir
from sfpc.errors import SfpcError
from sfpc.returns import ReturnsRun, run_returns, synthetic_returns
from sfpc.settings import Paths


@dataclass
class Landed:
    kind: str
    source: Path
    run: ReturnsRun
    paths: Paths
    printed: str


def kinds() -> list[str]:
    folder = shared_dir()
    return ["synthetic", *(["samples"] if folder and (folder / "samples").is_dir() else [])]


@pytest.fixture(scope="module", params=kinds())
def landed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    folder = tmp_path_factory.mktemp(request.param)
    paths = Paths(ROOT, folder / "data", folder / "outputs")
    if request.param == "synthetic":
        source = synthetic_returns(paths, folder / "made")
    else:
        shared = shared_dir()
        assert shared is not None
        source = shared / "samples"
    out = StringIO()
    with redirect_stdout(out):
        run = run_returns(paths, source)
    yield Landed(request.param, source, run, Paths(ROOT, paths.data / "returns", paths.outputs), out.getvalue())


def rows_of_csv(source: Path, columns: set[str]) -> list[dict[str, str]]:
    """Every row of every CSV whose header has these columns, read in the plainest way."""
    rows = []
    for path in sorted(source.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            if columns <= set(reader.fieldnames or ()):
                rows += [{**row, "folder": str(path.parent)} for row in reader]
    return rows


def test_every_raw_row_is_accounted_for(landed: Landed) -> None:
    account = landed.run.account
    parts = account["landed"] + account["quarantined"] + account["out_of_window"] + account["duplicate"]
    assert (account["raw"] == parts).all()
    episodes = rows_of_csv(landed.source, {"CHILD", "DECOM", "RNE"})
    assert account.loc[account["table"] == "cla_episodes", "raw"].sum() == len(episodes)
    for word in ("raw rows", "landed", "quarantined", "outside the data window"):
        assert word in landed.printed


def test_distinct_episodes_of_the_files(landed: Landed) -> None:
    """The five-year set of another project holds 2,827 different episodes in 3,737 rows."""
    rows = rows_of_csv(landed.source, {"CHILD", "DECOM", "RNE"})
    distinct = {(r["folder"], r["CHILD"], r["DECOM"]) for r in rows}
    assert landed.run.distinct["cla_episodes"] == ("episodes of care", len(distinct))
    if landed.kind == "samples":
        assert (len(rows), len(distinct)) == (3737, 2827)


def test_marts_hold_what_was_landed_and_no_more(landed: Landed) -> None:
    con = duckdb.connect()
    referrals = con.execute(
        "select count(distinct (la_code, upper(trim(la_child_id)), referral_date)) "
        f"from read_parquet('{landed.paths.landing}/cin_records/*.parquet', union_by_name = true)"
    ).fetchone()
    con.close()
    assert referrals is not None
    assert 0 < landed.run.marts["fct_referral_spells"] <= referrals[0]
    assert landed.run.marts["fct_care_periods"] > 0


def test_respite_rows_never_start_a_period_of_care(landed: Landed) -> None:
    """FV.OUT.P: checked on the raw files, without the warehouse's own code list."""
    respite = {"V3", "V4"}
    rows = rows_of_csv(landed.source, {"CHILD", "DECOM", "RNE"})
    assert any(r["LS"] in respite for r in rows), "the files hold short breaks"
    only_respite = {r["CHILD"].strip() for r in rows} - {r["CHILD"].strip() for r in rows if r["LS"] not in respite}
    assert only_respite
    con = duckdb.connect(str(landed.paths.build_db), read_only=True)
    found = con.execute(
        "select distinct i.la_child_id from intermediate.int_children__identities i "
        "inner join marts.fct_care_periods p on p.child_id = printf('%015x', i.child_key)"
    ).fetchall()
    con.close()
    assert found
    assert not only_respite & {r[0] for r in found}


def test_no_day_of_birth_and_no_pupil_number_is_stored(landed: Landed) -> None:
    """DP.1: pupil references are keyed hashes; births are year and month."""
    numbers = {r["UPN"] for r in rows_of_csv(landed.source, {"CHILD", "SEX", "DOB", "UPN"}) if len(r["UPN"]) == 13}
    con = duckdb.connect()
    for table in ("cin_records", "cla_children"):
        relation = f"read_parquet('{landed.paths.landing}/{table}/*.parquet', union_by_name = true)"
        kept = {r[0] for r in con.execute(f"select distinct pupil_id from {relation}").fetchall()}
        assert not kept & numbers
        columns = [d[0] for d in con.execute(f"describe select * from {relation}").fetchall()]
        assert not [c for c in columns if "birth" in c and c not in {"birth_year", "birth_month", "is_expected_birth"}]
    con.close()


def test_a_folder_without_returns_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SfpcError, match="no CIN census XML and no SSDA903 CSV"):
        run_returns(Paths(ROOT, tmp_path / "data", tmp_path / "outputs"), tmp_path)
    assert not (tmp_path / "data" / "returns" / "landing").exists()


def test_a_broken_file_leaves_nothing(tmp_path: Path) -> None:
    """A truncated census stops the landing with file, line and column; no landing appears."""
    source = tmp_path / "in" / "306"
    source.mkdir(parents=True)
    (source / "CIN_2021.xml").write_text(
        "<Message><Header><CollectionDetails><Collection>CIN</Collection><Year>2021</Year>"
        "<ReferenceDate>2021-03-31</ReferenceDate></CollectionDetails><Source><LEA>306</LEA></Source></Header>"
        "<Children><Child><ChildIdentifiers><LAchildID>A1</LAchildID>",
        encoding="utf-8",
    )
    with pytest.raises(SfpcError, match=r"CIN_2021\.xml"):
        run_returns(Paths(ROOT, tmp_path / "data", tmp_path / "outputs"), tmp_path / "in")
    assert not (tmp_path / "data" / "returns" / "landing").exists()


def test_marts_of_returns_are_queryable(landed: Landed) -> None:
    with querying(landed.paths) as connection:
        unknown = connection.execute(
            "select count(*) from marts.fct_referral_spells s "
            "left join marts.dim_local_authorities a on a.la_id = s.la_id where a.la_id is null"
        ).fetchone()
    assert unknown == (0,)
