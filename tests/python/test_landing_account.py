"""What the landing step does with every row: rules, the account as tables, the limit, the check (DP.2, DP.8)."""

from __future__ import annotations

import json
import os
import stat
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from conftest import ROOT, SEEDS
from sfpc.cli import main
from sfpc.errors import InputError, QuarantineError, SfpcError
from sfpc.landing import gate as module
from sfpc.landing.account import Breach, LandingSettings, account_text, breaches, read_landing_settings, summarise
from sfpc.landing.gate import Gate, Window, replace_folder, restore_folder
from sfpc.landing.layout import TABLES
from sfpc.landing.pseudonym import NOT_A_DATE, key_id, passing_key

SETTINGS = read_landing_settings(SEEDS / "protocol" / "landing_settings.csv")
CIN = {"return_year": "2021", "la_code": "306", "la_child_id": "1", "referral_date": "2020-05-01"}
EPISODE = {
    "return_year": "2021",
    "la_code": "306",
    "la_child_id": "1",
    "episode_start_date": "2020-02-01",
    "reason_for_new_episode": "S",
    "episode_end_date": "2020-03-01",
}


def frame(*rows: dict[str, str]) -> pd.DataFrame:
    out = pd.DataFrame(list(rows), dtype=str)
    out["source_row"] = range(2, len(out) + 2)
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "given.csv"
    path.parent.mkdir()
    path.write_text("stands for the rows", encoding="utf-8")
    return path


def land(
    tmp_path: Path, file: Path, table: str, *rows: dict[str, str], settings: LandingSettings | None = SETTINGS
) -> tuple[dict[str, int], list[tuple[object, ...]], list[dict[str, object]]]:
    """Account, what was set aside (row, column, rule, scope) and the rows that landed."""
    target = tmp_path / "landing"
    with Gate(target, "returns", base=file.parent, settings=settings, accepts_quarantine=True) as gate:
        gate.add_rows(table, file, frame(*rows), "iso")
        (account,) = gate.commit().iloc[:, 2:].to_dict("records")
        aside = gate.quarantine()
    kept = duckdb.execute(f"select * from read_parquet('{target}/{table}/*.parquet') order by source_row").df()
    listed = list(aside[["source_row", "column_name", "rule", "scope"]].itertuples(index=False, name=None))
    return account, listed, kept.astype(object).where(kept.notna(), None).to_dict("records")


@pytest.mark.parametrize(
    ("table", "row", "column", "rule"),
    [
        ("cin_records", {"referral_date": "01/05/2020"}, "referral_date", "date-form"),
        ("cin_records", {"la_child_id": " "}, "la_child_id", "required"),
        ("cin_records", {"cpp_previous_count": "one"}, "cpp_previous_count", "whole-number"),
        ("cin_records", {"cpp_previous_count": "123456"}, "cpp_previous_count", "whole-number"),
        ("cin_records", {"cpp_previous_count": "2.7"}, "cpp_previous_count", "whole-number"),
        ("cin_records", {"return_year": "21"}, "return_year", "whole-number"),
        ("cin_records", {"birth_year": "2010-05-27"}, "birth_year", "identifier"),
        ("cin_records", {"birth_month": "27052010"}, "birth_month", "identifier"),
        ("cin_records", {"birth_year": NOT_A_DATE}, "birth_year", "date-form"),
        ("cin_records", {"closure_date": "2020-04-30"}, "closure_date", "8630"),
        ("cin_records", {"referral_date": "2022-08-01"}, "referral_date", "future-date"),
        ("cin_records", {"referral_date": "1929-12-31"}, "referral_date", "early-date"),
        ("cin_records", {"primary_need": "see the file note"}, "primary_need", "identifier"),
        ("cin_records", {"la_code": "Northtown"}, "la_code", "code-form"),
        ("cla_episodes", {"episode_end_date": "2020-01-31"}, "episode_end_date", "356"),
        ("cla_episodes", {"episode_start_date": "1991-10-13"}, "episode_start_date", "353"),
        (
            "cla_episodes",
            {"episode_start_date": "2022-08-01", "episode_end_date": ""},
            "episode_start_date",
            "future-date",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside_by_a_rule(
    tmp_path: Path, file: Path, table: str, row: dict[str, str], column: str, rule: str
) -> None:
    good = {"cin_records": CIN, "cla_episodes": EPISODE}[table]
    account, aside, kept = land(tmp_path, file, table, good, good | {"la_child_id": "2"} | row)
    assert aside == [(3, column, rule, "row")]
    assert (account["raw"], account["landed"], account["quarantined"]) == (2, 1, 1)
    assert [r["source_row"] for r in kept] == [2]


@pytest.mark.parametrize(
    ("table", "row", "column", "rule", "blank"),
    [
        ("cin_records", {"closure_date": "1900-01-01"}, "closure_date", "early-date", ["closure_date"]),
        ("cin_records", {"closure_date": "2028-01-01"}, "closure_date", "future-date", ["closure_date"]),
        (
            "cin_records",
            {"cpp_start_date": "1900-01-01", "cpp_end_date": "2020-12-01", "cpp_initial_category": "NEG"},
            "cpp_start_date",
            "early-date",
            ["cpp_start_date", "cpp_end_date", "cpp_initial_category"],
        ),
        (
            "cin_records",
            {"cin_plan_start_date": "2020-12-01", "cin_plan_end_date": "2020-11-01"},
            "cin_plan_end_date",
            "4011",
            ["cin_plan_start_date", "cin_plan_end_date"],
        ),
        (
            "cin_records",
            {"cpp_start_date": "2020-12-01", "cpp_end_date": "2020-11-01", "cpp_initial_category": "NEG"},
            "cpp_end_date",
            "8925",
            ["cpp_start_date", "cpp_end_date", "cpp_initial_category"],
        ),
        ("cla_episodes", {"period_start_date": "1900-01-01"}, "period_start_date", "early-date", ["period_start_date"]),
        ("cla_episodes", {"episode_end_date": "2031-01-01"}, "episode_end_date", "future-date", ["episode_end_date"]),
    ],
)
def test_a_date_that_the_row_can_do_without_goes_alone(
    tmp_path: Path, file: Path, table: str, row: dict[str, str], column: str, rule: str, blank: list[str]
) -> None:
    """Trap 17: an end before 1930 or in the future is a placeholder; the row is about something all the same."""
    good = {"cin_records": CIN, "cla_episodes": EPISODE}[table]
    account, aside, kept = land(tmp_path, file, table, good | row)
    assert aside == [(2, column, rule, "value")]
    assert (account["landed"], account["quarantined"]) == (1, 0)
    assert [kept[0][name] for name in blank] == [None] * len(blank)
    start = TABLES[table].starts
    assert start is not None and kept[0][start] is not None


def test_the_last_days_that_are_not_in_the_future(tmp_path: Path, file: Path) -> None:
    """31 March, 12 months for a folder labelled by the first year of its return, 4 until the last day of sending."""
    rows = [CIN | {"la_child_id": str(i), "referral_date": day} for i, day in enumerate(("2022-07-31", "2022-08-01"))]
    _, aside, kept = land(tmp_path, file, "cin_records", *rows)
    assert [r["referral_date"].date() for r in kept] == [date(2022, 7, 31)]
    assert aside == [(3, "referral_date", "future-date", "row")]
    none_given = land(tmp_path, file, "cin_records", *rows, settings=None)
    assert none_given[1] == aside, "who gives no settings gets those of the project"


def test_births_in_1900_are_left_to_the_rule_of_the_unborn(tmp_path: Path, file: Path) -> None:
    _, aside, kept = land(tmp_path, file, "cin_records", CIN | {"birth_year": "1900", "birth_month": "1"})
    assert aside == [] and (kept[0]["birth_year"], kept[0]["birth_month"]) == (1900, 1)


def test_a_row_about_no_day_is_accounted_for(tmp_path: Path, file: Path) -> None:
    """An enquiry without any date lies in no window and outside none."""
    windows = {("returns", "cin_section47"): Window(date(2019, 1, 1), date(2025, 12, 31))}
    with Gate(tmp_path / "landing", "returns", windows, base=file.parent) as gate:
        gate.add_rows("cin_section47", file, frame(CIN, CIN | {"enquiry_start_date": "2018-05-05"}), "iso")
        account = gate.commit()
    assert account.iloc[0, 2:].tolist() == [2, 1, 0, 1, 0]


def test_numbers_of_typed_columns_are_not_rounded(tmp_path: Path, file: Path) -> None:
    rows = pd.DataFrame(
        {
            "return_year": [2021, 2021, 2021],
            "la_code": [306.0, 306.0, 306.0],
            "la_child_id": [1, 2, 3],
            "referral_date": pd.to_datetime(["2020-05-01"] * 3),
            "birth_year": [2010.0, 2010.5, float("nan")],
            "source_row": [2, 3, 4],
        }
    )
    with Gate(tmp_path / "landing", "returns", base=file.parent) as gate:
        gate.add_rows("cin_records", file, rows, "iso")
        gate.commit()
        aside = gate.quarantine()
    assert aside[["source_row", "column_name", "rule"]].to_numpy().tolist() == [[3, "birth_year", "whole-number"]]


# The account as tables


MIXED = [
    CIN,
    CIN,
    CIN | {"la_child_id": "2", "referral_date": "x"},
    CIN | {"la_child_id": "3", "referral_date": "y"},
    CIN | {"la_child_id": "4", "closure_date": "1900-01-01"},
    CIN | {"la_child_id": "a.b@example.org"},
    CIN | {"la_child_id": "6", "referral_date": "2015-01-01", "closure_date": "2015-02-01"},
]


def write_mixed(tmp_path: Path, file: Path, **options: object) -> pd.DataFrame:
    windows = {("returns", "cin_records"): Window(date(2019, 1, 1), date(2025, 12, 31))}
    with Gate(tmp_path / "landing", "returns", windows, base=file.parent, **options) as gate:  # type: ignore[arg-type]
        gate.add_rows("cin_records", file, frame(*MIXED), "iso")
        gate.note(f"{file}: something an analyst should know")
        return gate.commit()


def test_the_account_adds_up_per_file_table_and_reason(tmp_path: Path, file: Path) -> None:
    account = write_mixed(tmp_path, file, settings=SETTINGS, accepts_quarantine=True)
    assert account.iloc[0].tolist() == ["given.csv", "cin_records", 7, 2, 3, 1, 1]
    landing = tmp_path / "landing"
    summary = pd.read_csv(landing / "quarantine_summary.csv")
    assert summary[["scope", "rule", "column_name", "rows"]].to_numpy().tolist() == [
        ["row", "date-form", "referral_date", 2],
        ["row", "identifier", "la_child_id", 1],
        ["value", "early-date", "closure_date", 1],
    ]
    assert summary.query("scope == 'row'")["rows"].sum() == account["quarantined"][0]
    for name in ("reconciliation", "quarantine", "quarantine_summary"):
        stored = duckdb.execute(f"select * from '{landing / name / name}.parquet'").df()
        pd.testing.assert_frame_equal(stored, pd.read_csv(landing / f"{name}.csv"), check_dtype=False)
    assert "example.org" not in "".join(p.read_text() for p in landing.glob("*.csv"))


def test_dbt_reads_the_account_as_a_source(tmp_path: Path, file: Path) -> None:
    """The sources of the account are where the landing step puts them, through the location of all landing tables."""
    write_mixed(tmp_path, file, settings=SETTINGS, accepts_quarantine=True)
    sources = yaml.safe_load((ROOT / "models/staging/_sources.yml").read_text(encoding="utf-8"))["sources"]
    (account,) = [s for s in sources if s["name"] == "account"]
    location = account["config"]["meta"]["external_location"]
    location = location.replace("{{ var('landing_dir', env_var('SFPC_LANDING_DIR', 'data/landing')) }}", "LANDING")
    for table in account["tables"]:
        relation = location.replace("LANDING", str(tmp_path / "landing")).replace("${name}", table["name"])
        assert duckdb.execute(f"select count(*) from {relation}").fetchall()[0][0] > 0


def test_an_account_that_does_not_add_up_publishes_nothing(tmp_path: Path, file: Path) -> None:
    for damage, why in (
        ("delete from quarantine where source_row = 4", "the reasons do not add up .* given.csv, cin_records"),
        ("update reconciliation set landed = landed + 1", "rows are not all accounted for in given.csv"),
    ):
        with Gate(tmp_path / "landing", "returns", base=file.parent) as gate:
            gate.add_rows("cin_records", file, frame(*MIXED), "iso")
            gate.reconciliation()
            gate._con.execute(damage)
            with pytest.raises(SfpcError, match=why):
                gate.commit()
        assert not (tmp_path / "landing").exists()


# The limit


def many(bad: int, good: int) -> list[dict[str, str]]:
    return [CIN | {"la_child_id": str(i), "referral_date": "x" if i < bad else "2020-05-01"} for i in range(bad + good)]


@pytest.mark.parametrize(
    ("bad", "good", "is_over"),
    [(10, 189, True), (10, 190, False), (9, 1, False), (9, 0, True), (1, 0, True), (0, 5, False), (60, 1140, False)],
)
def test_where_the_limit_lies(tmp_path: Path, file: Path, bad: int, good: int, is_over: bool) -> None:
    """More than 5 % of at least ten rows, or all there are (DECISIONS D45)."""
    with Gate(tmp_path / "landing", "returns", base=file.parent, settings=SETTINGS) as gate:
        gate.add_rows("cin_records", file, frame(*many(bad, good)), "iso")
        if is_over:
            with pytest.raises(QuarantineError, match=r"given\.csv, table cin_records: .* set aside.*referral_date"):
                gate.commit()
        else:
            gate.commit()
    assert (tmp_path / "landing").exists() != is_over


def test_values_that_go_alone_count_for_the_limit_once_per_row() -> None:
    account = pd.DataFrame([["f", "t", 100, 100, 0, 0, 0]], columns=list(module.RECONCILIATION_COLUMNS))
    row = {"file": "f", "landing_table": "t", "column_name": "c", "reason": "r", "rule": "early-date", "scope": "value"}
    aside = pd.DataFrame([row | {"source_row": i % 12} for i in range(24)])
    assert [(b.file, b.rows) for b in breaches(account, aside, SETTINGS)] == [("f", 12), (None, 12)]
    assert breaches(account, aside.head(9), SETTINGS) == []


def test_the_worst_file_comes_first() -> None:
    account = pd.DataFrame(
        [["a", "t", 100, 80, 20, 0, 0], ["b", "t", 100, 50, 50, 0, 0]], columns=list(module.RECONCILIATION_COLUMNS)
    )
    row = {"landing_table": "t", "column_name": "c", "reason": "r", "rule": "x", "scope": "row"}
    aside = pd.DataFrame(
        [row | {"file": name, "source_row": i} for name, n in (("a", 20), ("b", 50)) for i in range(n)]
    )
    found = breaches(account, aside, SETTINGS)
    assert found[0] == Breach("b", "t", 50, 100, "c: r")
    assert [b.file for b in found] == ["b", "a", None]
    assert "over the limit: b, table t: 50 of 100 rows (50.0 %)" in account_text(account, aside.assign(), SETTINGS)
    assert summarise(aside)["rows"].tolist() == [20, 50]


def test_settings_that_cannot_be_read_name_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "landing_settings.csv"
    path.write_text("setting,value\nearliest_date,1930\n", encoding="utf-8")
    with pytest.raises(InputError, match="the setting earliest_date is missing or not readable"):
        read_landing_settings(path)
    rows = pd.read_csv(SEEDS / "protocol" / "landing_settings.csv")
    assert rows[["clause", "meaning", "source"]].notna().all(axis=None)


# Twice the same


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "manifest.json"
    }


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Half a million rows on all threads, repeats and rows set aside among them; only the manifest's time differs."""
    source = tmp_path / "in"
    source.mkdir()
    duckdb.execute(
        "copy (select '2019/2020' as CIN_ACADYR, '306' as CIN_LA, (i % 400000)::varchar as CIN_LAchildID_Anon, "
        "md5((i % 400000)::varchar) as CIN_PupilMatchingRefAnonymous, 2010 as CIN_YearOfBirth, 5 as CIN_MonthOfBirth, "
        "2 as CIN_Gender, 'WBRI' as CIN_Ethnicity, 0 as CIN_Disability, date '2019-05-01' as CIN_ReferralDate, "
        "'N1' as CIN_PrimaryNeedCode, 0 as CIN_ReferralNFA, case when i % 1000 = 0 then date '2019-01-01' end as "
        "CIN_CINClosureDate, 'RC8' as CIN_ReasonForClosure, null::date as CIN_CPPstartDate, null::date as "
        f"CIN_CPPendDate, 0 as CIN_NumberOfPreviousCPP from range(500000) t(i)) to '{source}/CIN_2018_to_2021.parquet'"
    )
    results = []
    for _ in range(2):
        with Gate(tmp_path / "landing", "national", base=source, settings=SETTINGS) as gate:
            from sfpc.landing.national import land_national

            account = land_national(source, gate)
        manifest = json.loads((tmp_path / "landing" / "manifest.json").read_text(encoding="utf-8"))
        manifest.pop("landed_at")
        results.append((folder_bytes(tmp_path / "landing"), manifest))
    assert account.iloc[0, 2:].tolist() == [500_000, 399_600, 500, 0, 99_900]
    (first, first_manifest), (second, second_manifest) = results
    assert first == second
    assert first_manifest == second_manifest


def test_the_manifest_says_who_what_and_with_which_key(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "an-analyst")
    key = passing_key()
    (file.parent / "notes").mkdir()
    (file.parent / "notes" / "read me.txt").write_text("x", encoding="utf-8")
    write_mixed(tmp_path, file, settings=SETTINGS, accepts_quarantine=True, key_id=key_id(key))
    text = (tmp_path / "landing" / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    (entry,) = manifest["files"]
    assert entry == {
        "file": "given.csv",
        "sha256": module.sha256_of(file),
        "bytes": file.stat().st_size,
        "rows": 7,
        "kind": ["cin_records"],
    }
    assert manifest["landed_by"] == "an-analyst"
    assert manifest["pseudonym_key_id"] == key_id(key) and len(key_id(key)) == 12
    assert key.decode() not in text and key_id(passing_key()) != key_id(key)
    assert manifest["notes"] == [{"note": "given.csv: something an analyst should know"}]
    assert manifest["ignored"] == [{"file": "notes/read me.txt", "reason": "not looked at"}]
    assert manifest["accepted_over_the_limit"] == []
    assert manifest["code_version"]


# The gate's own house


def test_the_database_of_the_gate_is_closed_in(tmp_path: Path, file: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text("a\n1\n", encoding="utf-8")
    with Gate(tmp_path / "landing", "national", base=file.parent) as gate:
        for query in (
            f"from read_csv('{tmp_path}/elsewhere.csv')",
            f"from read_csv('{file.parent}/../elsewhere.csv')",
            f"copy (select 1) to '{tmp_path}/out.csv'",
            f"attach '{tmp_path}/other.duckdb'",
            "from glob('/*')",
            "from read_csv('http://localhost/x.csv')",
            "install httpfs",
            "set enable_external_access = true",
            "set allowed_directories = ['/']",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled|locked|[Cc]annot|not allowed"):
                gate._con.execute(query)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere.csv", "in"]


def test_a_query_over_a_file_outside_is_refused_by_name(tmp_path: Path, file: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text("a\n1\n", encoding="utf-8")
    link = file.parent / "link.csv"
    link.symlink_to(tmp_path / "elsewhere.csv")
    with (
        pytest.raises(InputError, match=r"link\.csv: lies outside the folder that is being landed"),
        Gate(tmp_path / "landing", "national", base=file.parent) as gate,
    ):
        gate.add_query("cla_episodes", link, f"select *, 1 as source_row from read_csv('{link}')", "iso")


def test_a_failing_query_names_the_file_and_no_value(tmp_path: Path, file: Path) -> None:
    with (
        pytest.raises(InputError, match=r"given\.csv: cannot be landed") as caught,
        Gate(tmp_path / "landing", "national", base=file.parent) as gate,
    ):
        query = "select 1 as source_row, cast('SECRETNAME' || random()::varchar as integer) as return_year"
        columns = [c for c in TABLES["cla_children"].names if c != "return_year"]
        gate.add_query("cla_children", file, f"{query}, {', '.join(f'null as {c}' for c in columns)}", "iso")
    assert "SECRETNAME" not in str(caught.value)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, file: Path) -> None:
    with Gate(tmp_path / "landing", "returns", base=file.parent) as gate:
        gate.add_rows("cin_records", file, frame(CIN), "iso")
        gate.reconciliation()
        file.write_text("another content", encoding="utf-8")
        with pytest.raises(InputError, match=r"given\.csv: changed while it was read"):
            gate.commit()
    assert not (tmp_path / "landing").exists()


def test_the_landing_is_its_owners_alone(tmp_path: Path, file: Path) -> None:
    before = os.umask(0o022)
    try:
        write_mixed(tmp_path, file)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "landing").stat().st_mode) == 0o700


def test_a_replacement_that_was_cut_off_is_undone(tmp_path: Path) -> None:
    target, old, new = (tmp_path / name for name in ("landing", "landing.old", "new"))
    for folder in (old, new):
        folder.mkdir()
        (folder / folder.name).write_text("x", encoding="utf-8")
    restore_folder(target)
    assert [p.name for p in target.iterdir()] == ["landing.old"] and not old.exists()
    target.rename(old)
    replace_folder(new, target)
    assert [p.name for p in target.iterdir()] == ["new"] and not old.exists()


# The verbs


NATIONAL = (
    "CIN_ACADYR,CIN_LA,CIN_LAchildID_Anon,CIN_PupilMatchingRefAnonymous,CIN_YearOfBirth,CIN_MonthOfBirth,CIN_Gender,"
    "CIN_Ethnicity,CIN_Disability,CIN_ReferralDate,CIN_PrimaryNeedCode,CIN_ReferralNFA,CIN_CINClosureDate,"
    "CIN_ReasonForClosure,CIN_CPPstartDate,CIN_CPPendDate,CIN_NumberOfPreviousCPP\n"
)


@pytest.fixture
def extracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ten good rows and ten that are set aside."""
    monkeypatch.setenv("SFPC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SFPC_OUTPUT_DIR", str(tmp_path / "outputs"))
    folder = tmp_path / "extracts"
    folder.mkdir()
    rows = [
        f"2019/2020,306,{i},P{i},2010,5,2,WBRI,0,{d},N1,0,,,,,\n"
        for i in range(10)
        for d in ("2019-05-01", "2019-13-01")
    ]
    (folder / "CIN_2018_to_2021.csv").write_text(NATIONAL + "".join(rows), encoding="utf-8")
    return folder


def test_a_check_prints_the_account_and_writes_nothing(
    tmp_path: Path, extracts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["land", "--check", str(extracts)]) == 1
    out = capsys.readouterr()
    assert "CIN_2018_to_2021.csv (cin_records)" in out.out and "10 x referral_date: not a date" in out.out
    assert "[date-form]" in out.out
    assert "10 of 20 rows (50.0 %) set aside" in out.err and "Nothing was landed" in out.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["extracts"]
    assert main(["land", "--check", "--extracts", str(extracts)]) == 1


def test_landing_over_the_limit_is_refused_unless_accepted(
    tmp_path: Path, extracts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["land", "--extracts", str(extracts)]) == 1
    assert "CIN_2018_to_2021.csv, table cin_records: 10 of 20 rows" in capsys.readouterr().err
    assert not (tmp_path / "data" / "landing").exists()
    assert main(["land", "--extracts", str(extracts), "--accept-quarantine"]) == 0
    manifest = json.loads((tmp_path / "data" / "landing" / "manifest.json").read_text(encoding="utf-8"))
    assert "10 of 20 rows (50.0 %) set aside" in manifest["accepted_over_the_limit"][0]
    before = folder_bytes(tmp_path / "data" / "landing")
    assert main(["land", "--extracts", str(extracts)]) == 1
    assert folder_bytes(tmp_path / "data" / "landing") == before


def test_the_check_of_returns(tmp_path: Path, extracts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "returns" / "331"
    folder.mkdir(parents=True)
    header = "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN\n"
    path = folder / "2021-episodes.csv"
    path.write_text(header + "1,01/07/2020,S,C2,N1,U1,PR1,,,,,,\n", encoding="utf-8")
    assert main(["returns", str(folder.parent), "--check"]) == 0
    assert "331/2021-episodes.csv (cla_episodes)" in capsys.readouterr().out
    path.write_text(header + "1,31/06/2020,S,C2,N1,U1,PR1,,,,,,\n", encoding="utf-8")
    assert main(["returns", str(folder.parent), "--check"]) == 1
    out = capsys.readouterr()
    assert "1 x episode_start_date: not a date of the form dd/mm/yyyy" in out.out
    assert "1 of 1 rows (100.0 %)" in out.err
    assert not (tmp_path / "data").exists()
    assert main(["returns", "--check"]) == 2
