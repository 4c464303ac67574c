"""The same children as national extracts and as statutory returns: the same marts, up to what each way holds (DP.9).

Not compared: child_id (a hash of the pseudonym, which differs by way in), school and LA covariates (returns hold no
census and no statistics), and the rules of collection.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from conftest import ROOT, SEEDS, TARGET
from sfpc.landing.gate import Gate
from sfpc.landing.national import land_national
from sfpc.landing.returns import land_returns
from sfpc.settings import Paths
from sfpc.synthetic.extracts import synthesise
from sfpc.synthetic.returns import write_returns
from sfpc.warehouse.build import run_dbt

KEY = b"k" * 32
SEED, VOLUME = 3, 0.05
MARTS = ("fct_referral_spells", "fct_care_periods", "fct_child_outcomes")

# A child is known by the code and day under which it was first referred in the trial period.
CHILDREN = """
    select spells.la_code, spells.la_child_id, {columns}
    from marts.fct_child_outcomes as children
    inner join marts.fct_referral_spells as spells
        on
            children.child_id = spells.child_id
            and children.la_id = spells.la_id
            and children.index_referral_date = spells.referral_date
    order by all
"""
CARE = """
    with codes as (
        select child_id, min(la_code || ':' || la_child_id) as first_code
        from marts.fct_referral_spells group by child_id
    )
    select codes.first_code, {columns}
    from marts.fct_care_periods as periods left join codes using (child_id)
    order by all
"""
SPELLS = "select {columns} from marts.fct_referral_spells order by all"
COMPARED = {
    "referrals": (
        SPELLS,
        "la_id, la_code, la_child_id, referral_date, is_nfa, referral_source_code, primary_need, closure_date, "
        "closure_reason_code, is_episode_of_need",
    ),
    "periods of care": (CARE, "periods.la_id, care_start_date, care_end_date, reason_care_ceased_code"),
    "children": (
        CHILDREN,
        "children.programme_id, children.la_id, index_referral_date, financial_year, is_treatment_la, is_treated, "
        "children.age_at_referral_months, children.is_unborn_at_referral, is_looked_after_at_referral, "
        "first_care_start_date, gender, "
        "ethnicity, ethnic_group, is_disabled, is_uasc, previous_cpp_count, children.primary_need, is_linked_to_pupil, "
        "has_become_looked_after, is_in_sample__became_looked_after, is_fully_observed__became_looked_after",
    ),
}


def built(paths: Paths) -> Path:
    """Seeds and the compared marts, without tests: those run on both ways elsewhere."""
    selected = [argument for mart in MARTS for argument in ("--select", f"+{mart}")]
    untested = [argument for kind in ("test", "unit_test") for argument in ("--exclude-resource-type", kind)]
    run_dbt(paths, "build", *selected, *untested, target=TARGET / paths.data.name)
    return paths.build_db


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two_ways")
    national = Paths(ROOT, folder / "national", folder / "out")
    returned = Paths(ROOT, folder / "returned", folder / "out")
    for paths in (national, returned):
        paths.data.mkdir()
    synthesise("reduced", SEED, national.extracts, national.truth, SEEDS, volume=VOLUME, quiet=True)
    with Gate(national.landing, "national", base=national.extracts) as gate:
        land_national(national.extracts, gate)
    source = folder / "returns"
    write_returns(national.landing, source, progress=lambda _: None)
    with Gate(returned.landing, "returns", base=source) as gate:
        land_returns(source, gate, KEY, progress=lambda _: None)
        gate.commit()
    return built(national), built(returned)


@pytest.mark.parametrize("name", COMPARED)
def test_returns_and_national_extracts_give_the_same_marts(databases: tuple[Path, Path], name: str) -> None:
    query, columns = COMPARED[name]
    connection = duckdb.connect()
    rows = []
    for way, database in zip(("national", "returned"), databases, strict=True):
        connection.execute(f"attach '{database}' as {way} (read_only)")
        connection.execute(f"use {way}")
        rows.append(connection.execute(query.format(columns=columns)).fetchall())
    connection.close()
    national, returned = rows
    assert len(national) > 200
    missing, added = set(national) - set(returned), set(returned) - set(national)
    assert not missing and not added, f"{len(missing)} only national, {len(added)} only returned"
    assert len(national) == len(returned)
