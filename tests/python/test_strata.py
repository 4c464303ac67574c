"""Coarsened exact matching: FV.CEM.1, .9, .10, .11; reference numbers B1 to B6 where available."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from sfpc import strata
from sfpc.marts import ANALYSIS, SCHEMA

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / os.environ.get("SFPC_SHARED_DIR", "../shared") / "method-reference"
FLAGS = ("black", "married", "nodegree", "hispanic", "u74", "u75")


@dataclass(frozen=True)
class Reference:
    """Units with their strata, and what a reference program (or a hand) says about them."""

    units: pd.DataFrame
    bins: dict[str, pd.DataFrame]
    matched: tuple[int, int]
    weights: np.ndarray | None = None
    effect: float | None = None
    l1: dict[str, tuple[float, float]] = field(default_factory=dict)
    tolerance: float = 1e-8
    not_checked: str = ""


def by_hand() -> Reference:
    """Four strata: two shared, one of treated only, one of controls only."""
    units = pd.DataFrame(
        {
            "treated": [1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0],
            "stratum": list("AAAAAABBCDD"),
            "fine": ["a1", "a1", "a1", "a1", "a2", "a2", "b", "b", "c", "d", "d"],
            "outcome": [3.0, 5, 1, 1, 2, 2, 7, 4, 100, 50, 50],
        }
    )
    # m_T/m_C is 2/4 in A and 1/1 in B; M_C/M_T is 5/3. Effect: (15 - (.5 * 6 + 4)) / 3.
    # Fine bins before: treated (2,0,1,1,0)/4, control (2,2,1,0,2)/7; after: (2,0,1)/3, (1,1,1)/3.
    return Reference(
        units=units,
        bins={"strata": units[["stratum"]], "finer": units[["fine"]]},
        matched=(5, 3),
        weights=np.array([1, 1, *[5 / 6] * 4, 1, 5 / 3, 0, 0, 0]),
        effect=8 / 3,
        l1={"strata": (5 / 14, 0.0), "finer": (4 / 7, 1 / 3)},
    )


def coarsen(values: pd.Series, breaks: list[float], *, left_closed: bool = False) -> pd.Series:
    """R's cut: right-closed with the lowest value included; MatchIt's bins are left-closed."""
    side = "right" if left_closed else "left"
    codes = np.searchsorted(breaks, values, side=side)
    return pd.Series(np.clip(codes, 1, len(breaks) - 1), index=values.index)


def coarsened(data: pd.DataFrame, breaks: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame({name: coarsen(data[name], edges) for name, edges in breaks.items()})


def units_of(data: pd.DataFrame, treated: str, codes: pd.DataFrame) -> pd.DataFrame:
    key = codes.astype(str).agg("|".join, axis=1)
    return pd.DataFrame({"treated": data[treated], "stratum": key, "outcome": data["re78"]})


EXPLICIT = {"age": [0, 20, 25, 30, 40, 99], "education": [0, 6, 8, 11, 12, 99]}
EXPLICIT |= {name: [-1, 0, 5000, 10000, 1e9] for name in ("re74", "re75")}
EXPLICIT |= {name: [-1, 0, 1] for name in FLAGS}


def lalonde_explicit() -> Reference:
    """B5: R cem on LL with explicit cutpoints (recovered from its strata)."""
    data = pd.read_csv(REFERENCE / "data/LL_cem.csv")
    codes = coarsened(data, {name: list(edges) for name, edges in EXPLICIT.items()})
    return Reference(
        units=units_of(data, "treated", codes),
        bins={"the cutpoints": codes},
        matched=(286, 205),
        weights=pd.read_csv(REFERENCE / "expected/LL_cem_weights.csv")["w"].to_numpy(),
        effect=924.163661504381,
        l1={"the cutpoints": (0.482162804515746, 0.0)},
        not_checked="B5, L1 on finer age bins (.516482472, .250011614): its bins are not on file",
    )


def vignette(breaks_name: str, **expected: object) -> Callable[[], Reference]:
    """B1 to B4: the vignette of R cem, judged on its declared L1 breaks."""

    def load() -> Reference:
        data = pd.read_csv(REFERENCE / "data/lelonde_cem.csv")
        breaks = json.loads((REFERENCE / "expected/cem_breaks.json").read_text())
        codes = coarsened(data, breaks[breaks_name])
        if breaks_name == "lelonde_user_breaks":
            side = data["q1"].str.replace("strongly ", "")
            codes["q1"] = side.map({"agree": "a", "disagree": "d", "neutral": "n", "no opinion": "n"})
        else:
            codes["q1"] = data["q1"]
        fine = coarsened(data, breaks["lelonde_L1_breaks"]).assign(q1=data["q1"])
        return Reference(
            units=units_of(data, "treated", codes),
            bins={"vignette": fine},
            **expected,  # type: ignore[arg-type]
        )

    return load


def matchit() -> Reference:
    """B6: MatchIt with explicit cutpoints, left-closed (recovered from its subclasses)."""
    data = pd.read_csv(REFERENCE / "data/lalonde_matchit.csv")
    breaks = {"age": EXPLICIT["age"], "educ": [0, 7, 9, 12, 13, 99]}
    breaks |= {name: [-1, 1e-9, 5000, 10000, 1e9] for name in ("re74", "re75")}
    codes = pd.DataFrame(
        {name: coarsen(data[name], list(edges), left_closed=True) for name, edges in breaks.items()}
    ).join(data[["race", "married", "nodegree"]])
    return Reference(
        units=units_of(data, "treat", codes),
        bins={},
        matched=(65, 87),
        weights=pd.read_csv(REFERENCE / "expected/matchit_cem_weights.csv")["w"].to_numpy(),
        effect=-1072.9149214687,
        tolerance=1e-8,
    )


REFERENCES: dict[str, Callable[[], Reference]] = {"by hand": by_hand}
if (REFERENCE / "expected/acceptance.json").is_file():
    REFERENCES |= {
        "B5 R cem, LL, explicit": lalonde_explicit,
        "B1-B4 R cem, vignette, automatic": vignette(
            "lelonde_auto_breaks",
            matched=(95, 84),
            effect=1159.25419909159,
            l1={"vignette": (0.901538522385698, 0.605357142857143)},
        ),
        "B1-B4 R cem, vignette, user": vignette(
            "lelonde_user_breaks",
            matched=(158, 115),
            effect=787.31003328421,
            l1={"vignette": (0.901538522385698, 0.782456239412761)},
        ),
        "B6 MatchIt, explicit": matchit,
    }


@pytest.mark.parametrize("name", REFERENCES)
def test_weights_effect_and_imbalance_equal_the_reference(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    """FV.CEM.9 to .11 against R cem, MatchIt (B1 to B6) and a case worked by hand."""
    reference = REFERENCES[name]()
    if len(REFERENCES) == 1:
        record_property("not_checked", f"B1 to B6: no {REFERENCE}")
    if reference.not_checked:
        record_property("not_checked", reference.not_checked)
    units = reference.units.reset_index(names="unit")
    with duckdb.connect(":memory:") as connection:
        connection.register("reference_units", units)
        connection.execute(
            """
            create temp view units as
            select
                'p' as programme_id, 'o' as outcome_id, 'set' as treatment_la_id,
                stratum as stratum_id, treated = 1 as is_treatment_arm, 1 as unit_count,
                unit, outcome
            from reference_units
            """
        )
        strata.weigh_strata(connection, "units", "weighted")
        result = connection.execute("select * from weighted order by unit").df()
        control = ~result["is_treatment_arm"]
        matched = result["is_matched"]
        assert (int((matched & control).sum()), int((matched & ~control).sum())) == reference.matched
        if reference.weights is not None:
            np.testing.assert_allclose(result["weight_ikp"], reference.weights, atol=1e-12)
        # The protocol's weights add up to the treated of each stratum, IKP's to the controls.
        assert result.loc[control, "weight_protocol"].sum() == pytest.approx(reference.matched[1])
        assert result.loc[control, "weight_ikp"].sum() == pytest.approx(reference.matched[0])
        for weight in ("weight_protocol", "weight_ikp"):
            means = [
                np.average(result.loc[arm, "outcome"], weights=result.loc[arm, weight]) for arm in (~control, control)
            ]
            if reference.effect is not None:
                assert means[0] - means[1] == pytest.approx(reference.effect, abs=max(reference.tolerance, 1e-10))
        for label, bins in reference.bins.items():
            columns = [f"bin_{i}" for i in range(bins.shape[1])]
            frame = bins.astype(str).set_axis(columns, axis=1).reset_index(names="unit")
            connection.register("reference_bins", frame)
            for weight in ("weight_protocol", "weight_ikp"):
                connection.execute(
                    f"""
                    create or replace temp table cells as
                    select
                        programme_id, is_treatment_arm, {", ".join(columns)},
                        sum(unit_count) as unit_count, sum({weight}) as weight
                    from weighted inner join reference_bins using (unit)
                    group by all
                    """
                )
                l1 = strata.multivariate_l1(connection, "cells", columns, ["programme_id"])
                np.testing.assert_allclose(
                    l1.loc[0, ["l1_before", "l1_after"]].astype(float),
                    reference.l1[label],
                    atol=reference.tolerance,
                )
            connection.unregister("reference_bins")


def test_standardised_differences_by_hand() -> None:
    """FV.CEM.11: shares 1/2 and 1/4 before, 1/2 and 1/2 after, one denominator for both."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            """
            create temp table cells as
            select * from (values
                ('p', true, 'x', 2, 2.0), ('p', true, 'y', 2, 2.0),
                ('p', false, 'x', 1, 2.0), ('p', false, 'y', 3, 2.0)
            ) as rows (programme_id, is_treatment_arm, kind, unit_count, weight)
            """
        )
        frame = strata.standardised_differences(connection, "cells", ["kind"], ["programme_id"])
    row = frame.set_index("level").loc["x"]
    assert row["difference_before"] == pytest.approx(0.25 / np.sqrt((0.25 + 0.1875) / 2))
    assert row["difference_after"] == pytest.approx(0.0)
    assert (row["treated_share_before"], row["control_share_after"]) == (0.5, 0.5)


# --- sets of LAs, periods and the fallback -------------------------------------------------------


def child_marts(children: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """A connection that looks like `open_marts`, holding one outcome of the given children.

    children: child_id, la_id, anchor_date, stratum, and any bins (defaults otherwise).
    """
    connection = duckdb.connect(":memory:")
    connection.execute("attach ':memory:' as published; create schema published.marts")
    defaults: dict[str, object] = {
        "gender": 1,
        "age_at_anchor_months": 30,
        "ethnicity": "WBRI",
        "is_disabled": False,
        "is_fsm": False,
        "is_uasc": False,
        "previous_cpp_count": 0,
        "primary_need": 1,
    }
    missing = {name: value for name, value in defaults.items() if name not in children}
    frame = children.assign(**missing)
    dates = pd.to_datetime(frame["anchor_date"])
    start = dates.dt.year - (dates.dt.month < 4)
    frame["financial_year"] = start.astype(str) + "/" + (start + 1).astype(str).str[2:]
    connection.register("frame", frame)
    connection.execute(
        f"""
        create temp table {ANALYSIS} as
        select
            'fv' as programme_id, 'cla' as outcome_id, * replace (cast(anchor_date as date) as anchor_date)
        from frame
        """
    )
    connection.execute(
        f"""
        create table {SCHEMA}.fct_cem_strata as
        select
            'fv' as programme_id, 'cla' as outcome_id, child_id, la_id,
            cast(anchor_date as date) as anchor_date,
            md5(stratum) as covariate_stratum_id, md5(stratum || financial_year) as year_stratum_id
        from frame
        """
    )
    connection.unregister("frame")
    return connection


def children_of(*groups: tuple[str, str, str, int]) -> pd.DataFrame:
    """Children by (LA, date, stratum, how many), numbered through."""
    rows = [
        {"la_id": la, "anchor_date": date, "stratum": stratum}
        for la, date, stratum, count in groups
        for _ in range(count)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(child_id=[f"{i:04d}" for i in range(len(frame))])


def sets_of(go_live: dict[str, str], comparators: dict[str, list[str]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "programme_id": "fv",
                "outcome_id": "cla",
                "treatment_la_id": la,
                "la_id": member,
                "is_treatment_arm": member == la,
                "go_live_date": pd.Timestamp(date),
            }
            for la, date in go_live.items()
            for member in (la, *comparators[la])
        ]
    )


@pytest.fixture
def opened() -> Iterator[list[duckdb.DuckDBPyConnection]]:
    connections: list[duckdb.DuckDBPyConnection] = []
    yield connections
    for connection in connections:
        connection.close()


def test_comparators_are_pooled_and_a_shared_child_has_a_weight_per_set(
    opened: list[duckdb.DuckDBPyConnection],
) -> None:
    """FV.CEM.10: m_C counts all comparators of the set; the child's weight is the sum over sets."""
    connection = child_marts(
        children_of(
            ("T1", "2021-05-01", "x", 6),
            ("T2", "2021-05-01", "x", 2),
            ("C1", "2021-05-01", "x", 1),
            ("C2", "2021-05-01", "x", 2),
        )
    )
    opened.append(connection)
    sets = sets_of({"T1": "2021-07-01", "T2": "2021-11-01"}, {"T1": ["C1", "C2"], "T2": ["C2"]})
    strata.match_children(connection, sets, 0.1)
    weights = connection.execute(
        "select la_id, weight_protocol, weight_ikp from cem_child_weights order by child_id"
    ).df()
    assert len(weights) == 11
    by_la = weights.groupby("la_id")["weight_protocol"].agg(["min", "max"])
    # T1's set: 6 treated to 3 controls; T2's: 2 to 2. IKP: 5 control rows to 8 treated.
    assert by_la.loc["C1"].tolist() == [2.0, 2.0]
    assert by_la.loc["C2"].tolist() == [3.0, 3.0]
    assert by_la.loc["T1"].tolist() == [1.0, 1.0]
    controls = weights["la_id"].str.startswith("C")
    np.testing.assert_allclose(weights.loc[controls, "weight_ikp"], weights.loc[controls, "weight_protocol"] * 5 / 8)
    rows = connection.execute("select count(*) from cem_weights where is_matched").fetchone()
    assert rows == (13,)


def test_children_match_within_their_own_set_and_year_only(
    opened: list[duckdb.DuckDBPyConnection],
) -> None:
    """FV.CEM.1, .9: strata are pair x financial year x covariates; lone children are dropped."""
    connection = child_marts(
        children_of(
            ("T1", "2021-05-01", "x", 20),
            ("T1", "2021-05-01", "lone", 1),
            ("T2", "2021-05-01", "y", 20),
            ("C1", "2021-05-01", "x", 1),
            ("C1", "2021-05-01", "y", 1),
            ("C1", "2022-05-01", "x", 1),
            ("C2", "2021-05-01", "y", 1),
        )
    )
    opened.append(connection)
    sets = sets_of({"T1": "2021-07-01", "T2": "2021-11-01"}, {"T1": ["C1"], "T2": ["C2"]})
    matching = strata.match_children(connection, sets, 0.1)
    kept = connection.execute(
        "select la_id, anchor_date, stratum, count(*) from cem_child_weights"
        f" inner join {ANALYSIS} using (child_id, la_id) group by all order by all"
    ).fetchall()
    assert [(la, date.year, stratum, n) for la, date, stratum, n in kept] == [
        ("C1", 2021, "x", 1),
        ("C2", 2021, "y", 1),
        ("T1", 2021, "x", 20),
        ("T2", 2021, "y", 20),
    ]
    shares = matching.shares.set_index(["treatment_la_id", "arm", "period"])
    row = shares.loc[("T1", "treatment", "all")]
    assert (row["children_count"], row["matched_children_count"]) == (21, 20)
    assert row["strata_used"] == "year"
    assert shares.loc[("T1", "comparison", "all"), "matched_share"] == pytest.approx(1 / 3)
    overall = shares.loc[("all", "treatment", "all")]
    assert (overall["children_count"], overall["matched_children_count"]) == (41, 40)


def test_a_set_that_loses_too_many_falls_back_to_periods_at_its_own_go_live(
    opened: list[duckdb.DuckDBPyConnection],
) -> None:
    """FV.CEM.1: above the share lost, the same period (before, after go-live) replaces the year."""
    groups = (
        # Year 2020/21 has no comparator child: 2 of 10 are lost; as periods none is.
        ("T1", "2021-03-01", "x", 2),
        ("T1", "2021-05-01", "x", 4),
        ("T1", "2021-08-01", "x", 4),
        ("C1", "2021-06-30", "x", 3),
        ("C1", "2021-07-01", "x", 1),
    )
    sets = sets_of({"T1": "2021-07-01"}, {"T1": ["C1"]})
    connection = child_marts(children_of(*groups))
    opened.append(connection)
    at_the_limit = strata.match_children(connection, sets, 0.2).shares
    assert set(at_the_limit["strata_used"]) == {"year"}
    shares = strata.match_children(connection, sets, 0.19).shares
    assert set(shares["strata_used"]) == {"period"}
    row = shares.set_index(["treatment_la_id", "arm", "period"]).loc[("T1", "treatment", "all")]
    assert row["matched_share_year_strata"] == pytest.approx(0.8)
    assert row["matched_share_period_strata"] == row["matched_share"] == 1.0
    weights = connection.execute(
        "select is_after_go_live, min(weight_protocol), max(weight_protocol), count(*)"
        " from cem_weights where la_id = 'C1' group by 1 order by 1"
    ).fetchall()
    # The day of go-live is after: 6 treated to 3 before it, 4 to 1 from it on.
    assert weights == [(False, 2.0, 2.0, 3), (True, 4.0, 4.0, 1)]


def test_imbalance_on_declared_bins_is_finer_than_the_strata(
    opened: list[duckdb.DuckDBPyConnection],
) -> None:
    """FV.CEM.11: L1 sees what the strata do not (single years of age), overall, by set, by period."""
    children = children_of(("T1", "2021-05-01", "x", 4), ("C1", "2021-05-01", "x", 4))
    children["age_at_anchor_months"] = [12, 12, 12, 24, 12, 24, 24, 24]
    children["previous_cpp_count"] = [2, 5, 0, 0, 3, 0, 0, 0]
    connection = child_marts(children)
    opened.append(connection)
    matching = strata.match_children(connection, sets_of({"T1": "2021-07-01"}, {"T1": ["C1"]}), 0.1)
    # Cells (age, plans 0/1/2+): treated (1,2+) 2, (1,0) 1, (2,0) 1; control (1,2+) 1, (2,0) 3.
    assert matching.imbalance["l1_before"].tolist() == [0.5] * 3
    assert matching.imbalance["l1_after"].tolist() == [0.5] * 3
    places = matching.imbalance[["treatment_la_id", "period"]].to_numpy().tolist()
    assert places == [["T1", "all"], ["all", "all"], ["all", "before go-live"]]
    balance = matching.balance.set_index(["covariate", "level"])
    assert balance.loc[("previous_cpp_count", "2"), "treated_share_before"] == 0.5
    assert balance.loc[("age_years", "1"), "control_share_after"] == 0.25


def test_weights_do_not_depend_on_row_order_and_balance_the_strata(
    opened: list[duckdb.DuckDBPyConnection],
) -> None:
    """FV.CEM.10: in every stratum the controls weigh what the treated do."""
    generator = np.random.default_rng(5)
    size = 4000
    children = pd.DataFrame(
        {
            "child_id": [f"{i:05d}" for i in range(size)],
            "la_id": generator.choice(["T1", "T2", "C1", "C2", "C3"], size),
            "anchor_date": pd.Timestamp("2021-01-01") + pd.to_timedelta(generator.integers(0, 800, size), unit="D"),
            "stratum": generator.integers(0, 200, size).astype(str),
        }
    )
    sets = sets_of({"T1": "2021-07-01", "T2": "2021-11-01"}, {"T1": ["C1", "C2"], "T2": ["C2", "C3"]})
    tables = []
    for order in (children, children.sample(frac=1, random_state=1)):
        connection = child_marts(order)
        opened.append(connection)
        strata.match_children(connection, sets, 0.1)
        tables.append(connection.execute("select * from cem_child_weights order by outcome_id, child_id").df())
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=False, rtol=1e-12)
    worst = (
        opened[0]
        .execute(
            """
            with strata as (
                select
                    sum(if(is_treatment_arm, 1, -1) * weight_protocol) as difference
                from cem_weights
                inner join published.marts.fct_cem_strata using (child_id)
                inner join cem_bases using (treatment_la_id)
                where is_matched
                group by
                    treatment_la_id,
                    if(strata_used = 'year', year_stratum_id, covariate_stratum_id),
                    strata_used = 'year' or is_after_go_live
            )
            select max(abs(difference)), count(*) from strata
            """
        )
        .fetchone()
    )
    assert worst is not None and worst[0] < 1e-9 and worst[1] > 100
