"""The blindfold: no window of matching sees an outcome from go-live on; mutations of it are caught (FV.MATCH.3, .5)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from conftest import ROOT, querying
from sfpc.errors import SfpcError
from sfpc.settings import Paths
from sfpc.warehouse.build import run_dbt

BUILT = (
    "matching_windows",
    "int_programmes__matching_windows",
    "int_programmes__matching_quarters",
    "fct_matching_quarters",
    "fct_matching_trends",
    "fct_la_quarter_outcomes",
)
BLIND = "matching_is_blind"
QUARTERS = "models/intermediate/programmes/int_programmes__matching_quarters.sql"
WINDOWS = "models/intermediate/programmes/int_programmes__matching_windows.sql"
SEED = "seeds/protocol/matching_windows.csv"

# What is replaced, by what, and what the test then says.
MUTATIONS: dict[str, tuple[str, str, str]] = {
    "the default window has no gap": (SEED, "true,,,,0", "true,,0,,0"),
    "the default window is a placebo": (SEED, "true,,,,0", "true,,,,3"),
    "follow-ups may end after go-live": (
        QUARTERS,
        "and followed.last_follow_up_date < windows.assumed_go_live_date",
        "and true",
    ),
    "quarters need not end inside the window": (
        QUARTERS,
        "and followed.next_quarter_date <= windows.window_end_date",
        "and followed.quarter_start_date <= windows.window_end_date",
    ),
    "a placebo has the real window": (
        WINDOWS,
        "then {{ add_months('areas.matching_end_date', '-windows.placebo_months') }}",
        "then areas.matching_end_date",
    ),
    "a placebo stands before the real go-live": (
        WINDOWS,
        "{{ add_months('areas.programme_start_date', '-windows.placebo_months') }} as assumed_go_live_date",
        "areas.programme_start_date as assumed_go_live_date",
    ),
    "the default mart holds every window": (
        "models/marts/evaluation/fct_la_quarter_outcomes.sql",
        "where is_in_default_window",
        "where true",
    ),
}


@pytest.fixture(scope="module")
def rebuild(
    synthetic: Paths, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, str, str] | None], None]:
    """Build the matching models again in a copy of the project, mutated or not, and run the test of the blindfold."""
    root = tmp_path_factory.mktemp("mutated") / "project"
    root.mkdir()
    for name in ("models", "macros", "seeds", "analysis", "tests/dbt"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / name, root / name)
    paths = Paths(root, root / "data", root / "outputs")
    paths.data.mkdir()

    def build(mutation: tuple[str, str, str] | None) -> None:
        shutil.copy(synthetic.build_db, paths.build_db)
        original = ""
        if mutation is not None:
            file, old, new = mutation
            original = (root / file).read_text(encoding="utf-8")
            assert original.count(old) >= 1, f"{file} no longer says: {old}"
            (root / file).write_text(original.replace(old, new, 1), encoding="utf-8")
        try:
            run_dbt(
                paths,
                "build",
                "--indirect-selection",
                "empty",
                "--select",
                *BUILT,
                BLIND,
                "--exclude-resource-type",
                "unit_test",
                landing=synthetic.landing,
                target=root / "target",
            )
        finally:
            if mutation is not None:
                (root / mutation[0]).write_text(original, encoding="utf-8")

    return build


def test_the_copy_as_it_is_passes(rebuild: Callable[[tuple[str, str, str] | None], None]) -> None:
    rebuild(None)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutated_blindfold_is_caught(rebuild: Callable[[tuple[str, str, str] | None], None], name: str) -> None:
    with pytest.raises(SfpcError) as caught:
        rebuild(MUTATIONS[name])
    assert BLIND in str(caught.value) and "FAIL" in str(caught.value)


def test_windows_of_the_synthetic_run(synthetic: Paths) -> None:
    """FV.MATCH.3, FV.MATCH.5: counted from the rows of the mart, without the models' own dates."""
    with querying(synthetic) as connection:
        rows = connection.execute(
            """
            with assumed as (
                select
                    quarters.*,
                    areas.go_live_date - case quarters.window_id
                        when 'placebo_6' then interval 6 month
                        when 'placebo_12' then interval 12 month
                        else interval 0 month
                    end as day
                from marts.fct_matching_quarters as quarters
                inner join marts.dim_programme_local_authorities as areas
                    on quarters.programme_id = areas.programme_id and quarters.treatment_la_id = areas.la_id
            )
            select
                window_id,
                bool_and(quarter_start_date + interval 3 month <= day - interval 18 month) as has_gap,
                bool_and(last_follow_up_date < day) as is_blind
            from assumed
            group by window_id
            """
        ).fetchall()
        eight = connection.execute(
            "select max(n) from (select count(*) as n from marts.fct_matching_quarters"
            " where window_id = 'last_8_quarters' group by outcome_id, treatment_la_id)"
        ).fetchone()
        more = connection.execute(
            """
            select outcome_id, count(*) filter (where window_id = 'no_gap') - count(*) filter (where is_default)
            from marts.fct_matching_quarters group by outcome_id
            """
        ).fetchall()
    found = {window: (has_gap, is_blind) for window, has_gap, is_blind in rows}
    assert set(found) == {"default", "last_8_quarters", "no_gap", "placebo_6", "placebo_12", "with_trailblazer"}
    assert all(is_blind for _, is_blind in found.values())
    assert all(has_gap for window, (has_gap, _) in found.items() if window != "no_gap") and not found["no_gap"][0]
    assert eight == (8,)
    # Without the gap, an outcome of 18 months can see no more; one of 12 months sees two quarters more per LA.
    added = dict(more)
    assert added["became_looked_after"] == 0 and added["started_cpp"] == 2 * 5


def test_eligibility_has_every_la_once_with_a_reason(synthetic: Paths) -> None:
    """FV.MATCH.1: all areas, each once per outcome; who is ranked is eligible, nobody else lacks a reason."""
    from sfpc.marts import open_marts, read_mart, read_settings
    from sfpc.matching.variants import rank_variants

    with querying(synthetic) as connection:
        counts = connection.execute(
            "select count(*), count(distinct (programme_id, outcome_id, la_id)),"
            " count(*) filter (where reason is null), count(*) filter (where is_eligible),"
            " count(distinct outcome_id) from marts.fct_la_eligibility"
        ).fetchone()
        areas = connection.execute("select count(*) from marts.dim_local_authorities").fetchone()
        eligible = set(
            connection.execute("select outcome_id, la_id from marts.fct_la_eligibility where is_eligible").fetchall()
        )
    assert counts is not None and areas is not None
    assert counts[0] == counts[1] == areas[0] * counts[4]
    assert counts[2] == counts[3] == len(eligible) > 0
    with open_marts(synthetic.marts_db) as connection:
        ranked = rank_variants(
            read_mart(connection, "fct_matching_trends"),
            read_mart(connection, "fct_matching_quarters"),
            read_mart(connection, "dim_programme_local_authorities"),
            read_mart(connection, "dim_matching_variants"),
            read_settings(connection),
        )
    default = ranked[(ranked["variant_id"] == "default") & ranked["candidate_la_id"].notna()]
    assert set(zip(default["outcome_id"], default["candidate_la_id"], strict=True)) <= eligible


def test_default_variant_is_the_ranking_of_the_evaluation(synthetic: Paths) -> None:
    """FV.MATCH.2: two paths, the mart's own changes and those made here from its values, to 1e-9."""
    import numpy as np

    from sfpc.marts import open_marts, read_mart, read_settings
    from sfpc.matching import rank_candidates
    from sfpc.matching.variants import rank_variants

    with open_marts(synthetic.marts_db) as connection:
        roles = read_mart(connection, "dim_programme_local_authorities")
        settings = read_settings(connection)
        trends, quarters = (read_mart(connection, n) for n in ("fct_matching_trends", "fct_matching_quarters"))
        ranked = rank_variants(trends, quarters, roles, read_mart(connection, "dim_matching_variants"), settings)
        expected = rank_candidates(read_mart(connection, "fct_la_quarter_outcomes"), roles, settings)
    own = ranked[(ranked["variant_id"] == "default") & ranked["candidate_la_id"].notna()].reset_index(drop=True)
    keys = ["programme_id", "outcome_id", "treatment_la_id", "rank", "candidate_la_id", "quarters_count"]
    assert own[keys].astype(str).to_numpy().tolist() == expected[keys].astype(str).to_numpy().tolist()
    np.testing.assert_allclose(own["distance"], expected["distance"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(own["noise_ratio"], expected["noise_ratio"], rtol=0, atol=1e-9)


def test_a_blank_seed_is_a_table(synthetic: Paths) -> None:
    """FV.MATCH.4: nobody has decided yet: the mart is there, typed and empty of decisions."""
    connection = duckdb.connect(str(synthetic.marts_db), read_only=True)
    try:
        types = dict(
            connection.execute(
                "select column_name, data_type from duckdb_columns() where table_name = 'dim_la_match_decisions'"
            ).fetchall()
        )
    finally:
        connection.close()
    assert types["decided_on"] == "DATE" and types["decision"] == "VARCHAR" and len(types) == 9


def test_seed_is_where_the_verb_writes() -> None:
    from sfpc.matching.decisions import DECISIONS_FILE

    assert (ROOT / "seeds" / DECISIONS_FILE).is_file() and isinstance(DECISIONS_FILE, Path)
