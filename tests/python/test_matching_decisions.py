"""Decisions on pairs of LAs: the file, its checks, and what they do to the matching (FV.MATCH.4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sfpc.cli import main
from sfpc.errors import InputError, SfpcError
from sfpc.evaluation import run
from sfpc.matching import excluded_treatment_las, rank_candidates
from sfpc.matching.decide import decide
from sfpc.matching.decisions import (
    COLUMNS,
    Decision,
    apply_decisions,
    data_versions,
    prefill,
    read_decisions,
    write_decisions,
)
from test_evaluation import NO_DECISIONS, Marts, simulate_marts
from test_matching import Settings, roles, trend

CANDIDATES = [f"C{i:02d}" for i in range(12)]
PAIR = ("fv", "looked_after", "T")


def trends_of_thirteen() -> pd.DataFrame:
    """T and twelve candidates, each a little further away than the one before; the calliper passes all."""
    base = np.array([0.0, 1, 0, 1, 0, 1, 0, 1, 0])
    wave = (-1.0) ** np.arange(9)
    frames = [trend("T", base.tolist())]
    frames += [trend(la, (base + 0.05 * (i + 1) * wave).tolist()) for i, la in enumerate(CANDIDATES)]
    return pd.concat(frames).assign(numerator=50.0, denominator_count=1300)


@pytest.fixture
def trends() -> pd.DataFrame:
    return trends_of_thirteen()


@pytest.fixture
def ranking(trends: pd.DataFrame) -> pd.DataFrame:
    return rank_candidates(trends, roles(["T"], CANDIDATES), Settings())


def decision(la: str, what: str, version: str) -> Decision:
    return Decision(*PAIR, la, what, "trends cross", "A. Analyst", "2026-11-20", version)


def applied(trends: pd.DataFrame, *decisions: Decision) -> pd.DataFrame:
    las = roles(["T"], CANDIDATES)
    return apply_decisions(rank_candidates(trends, las, Settings()), list(decisions), trends, las, Settings())


def version_of(trends: pd.DataFrame) -> str:
    return data_versions(trends)[("fv", "looked_after")]


# --- the data version ----------------------------------------------------------------------------


def test_data_version_is_the_content_not_the_order(trends: pd.DataFrame) -> None:
    version = version_of(trends)
    assert len(version) == 12
    assert version_of(trends.sample(frac=1, random_state=3)) == version
    # A sum of fractions may differ in its last digits from one build to the next.
    assert version_of(trends.assign(numerator=trends["numerator"] + 1e-10)) == version
    assert version_of(trends.assign(standardised_value=0.0)) == version
    for column, change in (("numerator", 1.0), ("denominator_count", 1)):
        changed = trends.reset_index(drop=True)
        changed.loc[3, column] += change
        assert version_of(changed) != version
    assert version_of(trends[trends["la_id"] != "C05"]) != version
    other = pd.concat([trends, trends.assign(outcome_id="other", numerator=3.0)])
    assert version_of(other) == version != data_versions(other)[("fv", "other")]


# --- reading and checking ------------------------------------------------------------------------


GOOD = "fv,looked_after,T,C01,accept,moves together,A. Analyst,2026-11-20,abc123abc123"


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        (
            GOOD.replace("accept", "maybe"),
            "row 3, column decision",
            "'maybe' is not a decision; expected accept, reject",
        ),
        (GOOD.replace("moves together", ""), "row 3, column reason", "a decision needs it"),
        (GOOD.replace("A. Analyst", " "), "row 3, column decided_by", "a decision needs it"),
        (GOOD.replace("2026-11-20", "20/11/2026"), "row 3, column decided_on", "expected YYYY-MM-DD"),
        (GOOD.replace("abc123abc123", ""), "row 3, column data_version", "a decision needs it"),
        (GOOD.replace("fv,", ","), "row 3, column programme_id", "is empty"),
        (GOOD.replace("C01", "C00"), "row 3, column comparator_la_id", "stands in row 2 already"),
        (GOOD + ",more", "row 3", "10 values; 9 are expected"),
    ],
)
def test_a_wrong_row_is_named_with_file_row_and_column(tmp_path: Path, line: str, place: str, said: str) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text("\n".join([",".join(COLUMNS), GOOD.replace("C01", "C00"), line, ""]), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_decisions(file)
    assert f"decisions.csv, {place}" in str(caught.value) and said in str(caught.value)


def test_header_encoding_and_absence(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    assert read_decisions(file) == []
    file.write_text("programme,outcome\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 1: the header must be programme_id,outcome_id"):
        read_decisions(file)
    file.write_bytes(b"\xff\xfe\x00caf\xe9")
    with pytest.raises(InputError, match="UTF-8"):
        read_decisions(file)
    # Saved by a spreadsheet: a byte order mark, and blank lines.
    file.write_text("\ufeff" + ",".join(COLUMNS) + "\n\n" + GOOD + "\n,,,,,,,,\n", encoding="utf-8")
    assert [row.comparator_la_id for row in read_decisions(file)] == ["C01"]


def test_the_seed_of_the_project_is_a_valid_file() -> None:
    from conftest import SEEDS

    assert isinstance(read_decisions(SEEDS / "protocol" / "la_match_decisions.csv"), list)


# --- pre-filling ---------------------------------------------------------------------------------


def test_prefill_adds_the_ten_and_never_touches_a_decision(trends: pd.DataFrame, ranking: pd.DataFrame) -> None:
    version = version_of(trends)
    mine = decision("C01", "reject", "older")
    beyond = decision("C11", "accept", version)
    noted = Decision(*PAIR, "C02", reason="ask the LA", data_version="older")
    gone = Decision(*PAIR, "C10", data_version="older")
    elsewhere = Decision("other", "looked_after", "T", "C02", data_version="older")
    done = prefill([noted, beyond, gone, mine, elsewhere], ranking, data_versions(trends))
    assert mine in done.rows and beyond in done.rows and elsewhere in done.rows
    assert replace(noted, data_version=version) in done.rows
    assert gone not in done.rows and done.dropped == 1
    assert done.added == 8 and len(done.rows) == 8 + 3 + 1
    assert {row.comparator_la_id for row in done.rows if not row.decision and row.programme_id == "fv"} == set(
        CANDIDATES[:10]
    ) - {"C01"}
    assert done.stale == [mine]
    again = prefill(done.rows, ranking, data_versions(trends))
    assert again.rows == done.rows and (again.added, again.dropped) == (0, 0)


def test_writing_and_reading_give_the_same_rows(tmp_path: Path) -> None:
    rows = [decision("C01", "accept", "v"), Decision(*PAIR, "C02", reason='says "no", twice', data_version="v")]
    write_decisions(rows, tmp_path / "decisions.csv")
    assert read_decisions(tmp_path / "decisions.csv") == rows
    assert [path.name for path in tmp_path.iterdir()] == ["decisions.csv"]


# --- what decisions do ---------------------------------------------------------------------------


def test_without_decisions_the_automatic_rule_stands(trends: pd.DataFrame, ranking: pd.DataFrame) -> None:
    open_row = Decision(*PAIR, "C00", data_version=version_of(trends))
    pd.testing.assert_frame_equal(applied(trends, open_row), ranking)
    assert set(ranking["decision"]) == {"automatic rule"}


def test_accepted_ones_are_the_comparators(trends: pd.DataFrame) -> None:
    version = version_of(trends)
    got = applied(trends, decision("C04", "accept", version), decision("C00", "reject", version))
    rows = got.set_index("candidate_la_id")
    assert rows.index[rows["is_accepted"].astype(bool)].tolist() == ["C04"]
    assert set(rows["decision"]) == {"decided"}
    assert rows.loc["C04", "reason"] == "accepted by A. Analyst on 2026-11-20: trends cross"
    assert "others of this treatment LA were accepted" in rows.loc["C01", "reason"]


def test_rejections_alone_leave_the_rule_to_the_others(trends: pd.DataFrame) -> None:
    got = applied(trends, decision("C00", "reject", version_of(trends))).set_index("candidate_la_id")
    accepted = got[got["is_accepted"].astype(bool)]
    assert accepted.index.tolist() == ["C01", "C02", "C03"]
    assert accepted["decision"].tolist() == ["automatic rule"] * 3
    assert got.loc["C00", "decision"] == "decided" and not got.loc["C00", "is_accepted"]


def test_none_of_ten_accepted_excludes_and_says_so(trends: pd.DataFrame) -> None:
    version = version_of(trends)
    got = applied(trends, *(decision(la, "reject", version) for la in CANDIDATES[:10]))
    assert not got["is_accepted"].any()
    excluded = excluded_treatment_las(got, trends, roles(["T"], CANDIDATES), Settings())
    assert excluded["decision"].tolist() == ["decided"]
    reason = excluded["reason"].iloc[0]
    assert "none of the 10 candidates" in reason and "10 were decided by a person" in reason and "A. Analyst" in reason


def test_a_stale_decision_counts_and_is_marked(trends: pd.DataFrame) -> None:
    got = applied(trends, decision("C03", "accept", "000000000000")).set_index("candidate_la_id")
    assert got.loc["C03", "is_accepted"] and got.loc["C03", "decision"] == "stale decision"
    assert "seen on data version 000000000000" in got.loc["C03", "reason"]
    assert version_of(trends) in got.loc["C03", "reason"]


def test_an_accepted_la_beyond_the_ten_joins_with_its_own_rank(trends: pd.DataFrame) -> None:
    got = applied(trends, decision("C11", "accept", version_of(trends)))
    last = got.iloc[-1]
    assert (last["candidate_la_id"], last["rank"], bool(last["is_accepted"])) == ("C11", 12, True)
    assert len(got) == 11 and got["is_accepted"].sum() == 1


def test_an_accepted_la_without_a_trend_is_an_error_not_a_gap(trends: pd.DataFrame) -> None:
    short = trends[(trends["la_id"] != "C03") | (trends["quarter_start_date"] < "2018-01-01")]
    with pytest.raises(SfpcError, match=r"A. Analyst accepted C03 for T .*shares too few quarters"):
        applied(short, decision("C03", "accept", "v"))


# --- the verb and the whole run ------------------------------------------------------------------


@pytest.fixture(scope="module")
def marts() -> Marts:
    return simulate_marts(seed=5, per_la=200)


def test_decide_prefills_checks_and_keeps(marts: Marts, tmp_path: Path) -> None:
    database, file = marts.write(tmp_path / "marts.duckdb"), tmp_path / "seeds" / "la_match_decisions.csv"
    told = decide(database, file, is_check=True)
    assert "0 decisions" in told[0] and not file.exists()
    decide(database, file)
    rows = read_decisions(file)
    assert len(rows) == 3 * 5 * 6 and not any(row.decision for row in rows)
    first = replace(rows[0], decision="reject", reason="local review", decided_by="B", decided_on="2026-11-21")
    write_decisions([first, *rows[1:]], file)
    before = file.read_bytes()
    assert decide(database, file)[-1].strip() == "nothing to add" and file.read_bytes() == before
    # Other data: the decision stays as it is and is named; open rows get the new version.
    trends = marts.tables["fct_la_quarter_outcomes"].assign(numerator=51.0)
    changed = marts.with_table("fct_la_quarter_outcomes", trends).write(tmp_path / "changed.duckdb")
    told = decide(changed, file)
    assert any("stale" in line and first.comparator_la_id in line for line in told)
    after = read_decisions(file)
    assert after[0] == first and all(row.data_version != first.data_version for row in after[1:])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("outcome_id", "nothing", "no trend of this outcome"),
        ("treatment_la_id", "C1", "'C1' is no treatment LA"),
        ("comparator_la_id", "B1", "'B1' may not serve as a comparator"),
    ],
)
def test_decide_names_the_row_that_the_marts_contradict(
    marts: Marts, tmp_path: Path, column: str, value: str, said: str
) -> None:
    row = Decision("fv", "plan_days", "T1", "C1", "accept", "why", "who", "2026-11-20", "v")
    file = tmp_path / "decisions.csv"
    write_decisions([replace(row, comparator_la_id="C2"), replace(row, **{column: value})], file)
    before = file.read_bytes()
    with pytest.raises(InputError) as caught:
        decide(marts.write(tmp_path / "marts.duckdb"), file)
    assert f"decisions.csv, row 3, column {column}: " in str(caught.value) and said in str(caught.value)
    assert file.read_bytes() == before


def test_decide_is_a_verb(
    marts: Marts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFPC_DATA_DIR", str(tmp_path))
    marts.write(tmp_path / "warehouse.duckdb")
    file = tmp_path / "decisions.csv"
    assert main(["decide", "--file", str(file)]) == 0 and len(read_decisions(file)) == 90
    file.write_text("wrong\n", encoding="utf-8")
    assert main(["decide", "--check", "--file", str(file)]) == 2
    assert "decisions.csv, row 1: the header must be" in capsys.readouterr().err


def test_results_carry_what_was_used(marts: Marts, tmp_path: Path) -> None:
    """FV.MATCH.4: automatic, decided and stale decisions in one run; all rejected -> excluded for that outcome only."""
    trends = marts.tables["fct_la_quarter_outcomes"]
    versions = data_versions(trends)
    candidates = [f"C{i}" for i in range(1, 7)]

    def row(outcome: str, la: str, candidate: str, what: str, version: str) -> tuple[str, ...]:
        return ("fv", outcome, la, candidate, what, "seen", "B", "2026-11-21", version)

    made = [row("started_cpp", "T1", la, "reject", versions[("fv", "started_cpp")]) for la in candidates]
    made.append(row("started_cpp", "T2", "C6", "accept", "old"))
    made.append(row("became_looked_after", "T1", "C6", "accept", versions[("fv", "became_looked_after")]))
    decided = pd.DataFrame(made, columns=list(NO_DECISIONS.columns))
    result = run(
        marts.with_table("dim_la_match_decisions", decided).write(tmp_path / "marts.duckdb"), tmp_path / "results"
    )
    pairs = result.matched_pairs.set_index(["outcome_id", "treatment_la_id"]).sort_index()
    assert pairs.loc[[("started_cpp", "T1")], "status"].tolist() == ["excluded"]
    assert pairs.loc[[("started_cpp", "T1")], "decision"].tolist() == ["decided"]
    assert pairs.loc[[("started_cpp", "T2")], "candidate_la_id"].tolist() == ["C6"]
    assert pairs.loc[[("started_cpp", "T2")], "decision"].tolist() == ["stale decision"]
    assert pairs.loc[[("became_looked_after", "T1")], "decision"].tolist() == ["decided"]
    assert set(pairs.loc[[("became_looked_after", "T3")], "decision"]) == {"automatic rule"}
    assert set(pairs.loc[[("plan_days", "T1")], "status"]) == {"accepted"}
    notes = result.effects.loc[result.effects["outcome_id"] == "started_cpp", "note"]
    assert notes.str.contains("1 of 5 treatment LAs excluded").all()
    assert result.run_record["data_versions"]["fv/started_cpp"] == versions[("fv", "started_cpp")]
