"""Two designs together (FV.TRI.1): the rule by hand, the joint jackknife, evidence, and never a pool behind a gate."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfpc.errors import SfpcError
from sfpc.evaluation import run
from sfpc.grid import read_outcomes
from sfpc.marts import open_marts, read_settings
from sfpc.triangulation.evidence import (
    FAILS,
    HOLDS,
    NOT_CONTRADICTED,
    NOT_KNOWN,
    Evidence,
    assess,
    gates_of,
)
from sfpc.triangulation.rule import (
    BOTH,
    FAIL,
    HOLD,
    NEITHER,
    POOLED,
    RELY_ON_FIRST,
    RELY_ON_SECOND,
    UNKNOWN,
    Jackknife,
    Side,
    agreement,
    decide,
    joint_covariance,
    pool_two,
)
from sfpc.triangulation.run import (
    EVIDENCE_TABLES,
    TRIANGULATION_TABLES,
    ExternalEstimate,
    TriangulationResults,
    run_triangulation,
)
from sfpc.triangulation.wedge import SteppedWedgeResults, run_stepped_wedge
from test_evaluation import Marts
from triangulation_marts import wedge_marts

Tables = Mapping[str, pd.DataFrame]

# --- the rule, by hand ---


def test_difference_by_hand() -> None:
    """FV.TRI.1: -2 and -1 with errors 1 and covariance 0.5: the difference has error 1, z = -1, p = 0.3173."""
    found = agreement(Side(-2, 1, None), Side(-1, 1, 4), 0.5, 0.05, 0.05)
    assert (found.difference, found.standard_error, found.z) == pytest.approx((-1, 1, -1))
    assert found.correlation == 0.5
    assert found.p_value == pytest.approx(0.31731, abs=1e-5)
    assert found.t_p_value == pytest.approx(2 * stats.t.sf(1, 4))
    assert found.detectable_difference == pytest.approx(stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4))
    assert found.is_same_sign and found.do_intervals_overlap and found.is_difference_small and found.is_aligned


@pytest.mark.parametrize(
    ("first", "second", "covariance", "broken"),
    [
        ((-2.0, 1.0), (0.1, 1.0), 0.0, "is_same_sign"),
        ((-2.0, 1.0), (0.0, 1.0), 0.0, "is_same_sign"),
        # Errors that move together leave a difference of 1 with an error of 0.45: z = 2.24.
        ((-2.0, 1.0), (-1.0, 1.0), 0.9, "is_difference_small"),
        ((-9.0, 1.0), (-1.0, 1.0), 0.0, "do_intervals_overlap"),
    ],
)
def test_each_condition_alone_is_enough_to_disagree(
    first: tuple[float, float], second: tuple[float, float], covariance: float, broken: str
) -> None:
    """FV.TRI.1: same sign, difference test, intervals."""
    found = agreement(Side(*first, None), Side(*second, None), covariance, 0.05, 0.05)
    assert not getattr(found, broken) and not found.is_aligned


def test_agreement_without_numbers_is_none() -> None:
    """FV.TRI.1: a missing estimate, error or covariance agrees with nothing; an impossible covariance is refused."""
    nan = float("nan")
    for first, covariance in (
        (Side(nan, 1, 4), 0.0),
        (Side(-1, nan, 4), 0.0),
        (Side(-1, 0, 4), 0.0),
        (Side(-1, 1, 4), nan),
    ):
        found = agreement(first, Side(-1, 1, 4), covariance, 0.05, 0.05)
        assert math.isnan(found.p_value) and not found.is_aligned
    with pytest.raises(ValueError, match="covariance"):
        agreement(Side(-1, 1, 4), Side(-1, 1, 4), 1.5, 0.05, 0.05)
    same = Side(-1, 1, None)
    assert agreement(same, same, 1.0, 0.05, 0.05).is_aligned
    assert math.isinf(agreement(same, Side(-2, 1, None), 1.0, 0.05, 0.05).z)


@pytest.mark.parametrize(
    ("va", "vb", "covariance", "weight", "variance"),
    [
        (1.0, 1.0, 0.5, 0.5, 0.75),
        (1.0, 4.0, 0.0, 0.8, 0.8),
        # (V1 V2 - C^2) / (V1 + V2 - 2 C) of the methods page: (1 x 4 - 0.25) / (5 - 1).
        (1.0, 4.0, 0.5, 0.875, 0.9375),
        # The weight would be 1.25: the second estimate adds nothing that the first lacks.
        (1.0, 4.0, 1.5, 1.0, 1.0),
        (4.0, 1.0, 1.5, 0.0, 1.0),
    ],
)
def test_weights_by_precision_by_hand(va: float, vb: float, covariance: float, weight: float, variance: float) -> None:
    """FV.TRI.1, methods A13: w = (Vb - C) / (Va + Vb - 2 C), held within 0 and 1."""
    simple, precise = pool_two(Side(-2, math.sqrt(va), 9), Side(-1, math.sqrt(vb), 4), covariance, 0.05)
    assert simple.effect.estimate == -1.5 and simple.first_weight == 0.5
    assert simple.effect.standard_error == pytest.approx(math.sqrt((va + vb + 2 * covariance) / 4))
    assert precise.first_weight == pytest.approx(weight)
    assert precise.effect.estimate == pytest.approx(-1 - weight)
    assert precise.effect.standard_error == pytest.approx(math.sqrt(variance))
    reach = stats.t.ppf(0.975, 4) * math.sqrt(variance)
    assert (precise.effect.ci_low, precise.effect.ci_high) == pytest.approx((-1 - weight - reach, -1 - weight + reach))


def test_joint_jackknife_by_hand() -> None:
    """FV.TRI.1: means over LAs 1, 2, 3 and 2, 3, 4 of values 1, 2, 6, 4 and 3, 5, 7."""
    a, b = {"1": 1.0, "2": 2.0, "3": 6.0}, {"2": 3.0, "3": 5.0, "4": 7.0}

    def jackknife(values: Mapping[str, float]) -> Jackknife:
        mean = float(np.mean(list(values.values())))
        return Jackknife(mean, {la: float(np.mean([v for k, v in values.items() if k != la])) for la in values})

    first, second = jackknife(a), jackknife(b)
    # The error of a mean: the standard deviation over the root of 3.
    assert first.side.standard_error == pytest.approx(math.sqrt(7 / 3))
    assert second.side.standard_error == pytest.approx(math.sqrt(4 / 3)) and second.side.freedom == 2
    # Without LA 2: 3.5 - 3 and 6 - 5; without 3: 1.5 - 3 and 5 - 5. Two thirds of 0.5 x 1 + -1.5 x 0.
    assert joint_covariance(first, second) == pytest.approx(1 / 3)
    assert joint_covariance(first, first) == pytest.approx(first.side.standard_error**2)
    assert joint_covariance(first, jackknife({"8": 1.0, "9": 2.0})) == 0
    assert math.isnan(Jackknife(1.0, {"1": 1.0}).side.standard_error)


def test_joint_jackknife_recovers_the_covariance_of_overlapping_means() -> None:
    """FV.TRI.1: 4,000 draws of two means, of six and of five LAs, that share four; the true covariance is 4 / 30.

    Its mean by hand is sqrt(5/6 x 4/5) x 4 / (5 x 4) x (1 - 1/6 - 1/5 + 4/30): 6 % too small with so few LAs.
    """
    generator = np.random.default_rng(4)
    found = []
    for _ in range(4000):
        x = generator.normal(size=7)
        sets = (x[:6], np.append(x[:4], x[6]))
        names = ([str(i) for i in range(6)], ["0", "1", "2", "3", "6"])
        first, second = (
            Jackknife(float(v.mean()), {la: float(np.delete(v, i).mean()) for i, la in enumerate(own)})
            for v, own in zip(sets, names, strict=True)
        )
        found.append(joint_covariance(first, second))
    expected = math.sqrt(2 / 3) * 4 / 20 * (1 - 1 / 6 - 1 / 5 + 4 / 30)
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / math.sqrt(4000))
    assert expected == pytest.approx(4 / 30, rel=0.07)


def test_nothing_is_pooled_where_a_gate_failed() -> None:
    """FV.TRI.1: every combination of gates, estimates, agreement and treatment of the unknown."""
    states, flags = (HOLD, UNKNOWN, FAIL), (True, False)
    for first, second, a, b, aligned, unknown in product(states, states, flags, flags, flags, ("warn", "block")):
        found = decide(first, second, (a, b), aligned, unknown)
        if found == POOLED:
            assert FAIL not in (first, second) and a and b and aligned
            assert unknown == "warn" or UNKNOWN not in (first, second)
        if found == BOTH:
            assert not aligned and a and b
        if FAIL in (first, second):
            assert found in (RELY_ON_FIRST, RELY_ON_SECOND, NEITHER)
        if found == RELY_ON_FIRST:
            assert a and first != FAIL
        if found == RELY_ON_SECOND:
            assert b and second != FAIL
    assert decide(HOLD, HOLD, (True, True), True, "block") == POOLED
    assert decide(HOLD, UNKNOWN, (True, True), True, "warn") == POOLED
    assert decide(HOLD, UNKNOWN, (True, True), True, "block") == RELY_ON_FIRST
    assert decide(FAIL, HOLD, (True, True), True, "warn") == RELY_ON_SECOND
    assert decide(FAIL, FAIL, (True, True), True, "warn") == NEITHER
    with pytest.raises(ValueError, match="warn or block"):
        decide(HOLD, HOLD, (True, True), True, "ignore")


# --- on marts ---


@pytest.fixture(scope="module")
def marts() -> Marts:
    return wedge_marts(seed=1, per_la=1000)


@pytest.fixture(scope="module")
def results(marts: Marts, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """An evaluation of the primary outcome, the primary logit and its companion alone."""
    folder = tmp_path_factory.mktemp("triangulation")
    asked = marts.tables["dim_specifications"]
    few = marts.with_table("dim_specifications", asked[asked["specification_id"].isin(["p_logit", "p_linear"])])
    found = run(few.write(folder / "marts.duckdb"), folder / "results", outcome_id="became_looked_after")
    tables: dict[str, pd.DataFrame] = {name: getattr(found, name) for name in EVIDENCE_TABLES}
    # Whatever chance did to the tests of this run, here no gate of theirs is near.
    for name in ("lead_tests", "parallel_trend_tests", "shock_tests"):
        tables[name] = tables[name].assign(p_value=tables[name]["p_value"].clip(lower=0.4))
    return tables


@pytest.fixture(scope="module")
def written(marts: Marts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marts.write(tmp_path_factory.mktemp("written") / "marts.duckdb")


@pytest.fixture(scope="module")
def own_wedge(written: Path) -> SteppedWedgeResults:
    with open_marts(written) as connection:
        (primary,) = [o for o in read_outcomes(connection) if o.is_primary]
        return run_stepped_wedge(connection, "fv", primary, read_settings(connection))


@pytest.fixture
def triangulate(
    written: Path, results: Tables, own_wedge: SteppedWedgeResults, tmp_path: Path
) -> Callable[..., TriangulationResults]:
    """Triangulate with some tables changed; the stepped wedge, which none of them moves, is run once."""

    def call(
        tables: Tables = results, changed: Mapping[str, pd.DataFrame] | None = None, **others: Any
    ) -> TriangulationResults:
        path = written
        if changed:
            path = tmp_path / "marts.duckdb"
            shutil.copy(written, path)
            with duckdb.connect(":memory:") as connection:
                connection.execute(f"attach '{path}' as built")
                for name, table in changed.items():
                    connection.register("frame", table)
                    connection.execute(f"create or replace table built.marts.{name} as select * from frame")
                    connection.unregister("frame")
        takes_own = "external" not in others and "dim_external_estimates" not in (changed or {})
        with open_marts(path) as connection:
            return run_triangulation(
                connection, "fv", tables, **{**({"wedge": own_wedge} if takes_own else {}), **others}
            )

    return call


def settings_with(marts: Marts, setting: str, value: str) -> dict[str, pd.DataFrame]:
    frame = marts.tables["dim_evaluation_settings"].copy()
    frame.loc[frame["setting"] == setting, "value"] = value
    return {"dim_evaluation_settings": frame}


def test_two_designs_that_agree_are_pooled(
    marts: Marts, results: Tables, triangulate: Callable[..., TriangulationResults]
) -> None:
    """FV.TRI.1: gates hold, same effect planted in both: pooled between the two, near the truth."""
    found = triangulate(wedge=None)
    did, wedge = (found.designs.set_index("design").loc[name] for name in ("did", "stepped_wedge"))
    primary = results["effects"].query("is_primary").iloc[0]
    assert did["estimate"] == pytest.approx(primary["estimate"], rel=1e-6)
    assert found.wedge is not None
    assert wedge["estimate"] == pytest.approx(100 * found.wedge.primary.effect.estimate)
    assert wedge["standard_error"] == pytest.approx(100 * found.wedge.primary.effect.standard_error, rel=1e-6)
    (agreed,) = found.agreement.to_dict("records")
    shared = results["matched_pairs"].query("status == 'accepted'")["treatment_la_id"].nunique()
    assert agreed["covariance_from"] == "joint jackknife over LAs" and agreed["shared_la_count"] == shared
    assert agreed["covariance"] == pytest.approx(
        agreed["correlation"] * did["standard_error"] * wedge["standard_error"], rel=1e-9
    )
    assert agreed["is_aligned"] and found.conclusion == POOLED
    simple, precise = found.pooled.to_dict("records")
    assert simple["is_headline"] and simple["estimate"] == pytest.approx((did["estimate"] + wedge["estimate"]) / 2)
    assert 0 <= precise["did_weight"] <= 1
    assert precise["standard_error"] <= min(did["standard_error"], wedge["standard_error"]) + 1e-12
    assert simple["ci_low"] < marts.true_effect_pct < simple["ci_high"] < 0
    effect = found.effect()
    assert effect is not None and effect.estimate == pytest.approx(simple["estimate"] / 100)
    assert "pooled" in found.sentences[0] and "agree" in found.sentences[0]
    for name, frame in found.tables().items():
        assert list(frame.columns) == list(TRIANGULATION_TABLES[name]) and len(frame)


def test_difference_in_differences_without_an_la_is_a_logit_without_it(
    results: Tables, triangulate: Callable[..., TriangulationResults]
) -> None:
    """FV.TRI.1: the error of the log odds over LAs, carried to points, is that of the linear companion's size."""
    did = triangulate().designs.set_index("design").loc["did"]
    linear = results["effects"].query("specification_id == 'p_linear' and scale == 'percentage points'").iloc[0]
    assert 0.4 < did["standard_error"] / linear["standard_error"] < 2.5
    assert did["degrees_of_freedom"] == did["la_count"] - 1


def fail_leads(results: Tables) -> Tables:
    return {**results, "lead_tests": results["lead_tests"].assign(p_value=0.001)}


def out_of_order(marts: Marts) -> dict[str, pd.DataFrame]:
    drawn = marts.tables["dim_randomisation"]
    return {"dim_randomisation": drawn.assign(is_order_kept=~drawn["la_id"].isin(["T2", "T3"]))}


def nothing_pooled(found: TriangulationResults) -> None:
    assert found.pooled["estimate"].isna().all() and found.pooled["did_weight"].isna().all()
    assert found.pooled["reason"].str.startswith("not pooled").all()
    assert found.effect() is None and found.conclusion != POOLED
    assert "Nothing is pooled" in found.sentences[0] or found.conclusion == BOTH


def test_a_failed_gate_leaves_the_other_design(
    marts: Marts, results: Tables, triangulate: Callable[..., TriangulationResults]
) -> None:
    """FV.TRI.1: leads fail: the stepped wedge; order not kept: the difference in differences; both: neither."""
    leads = triangulate(fail_leads(results))
    assert leads.conclusion == "rely on stepped_wedge" and "event study" in leads.sentences[0]
    order = triangulate(changed=out_of_order(marts))
    assert order.conclusion == "rely on did" and "T2, T3" in order.sentences[0]
    both = triangulate(fail_leads(results), changed=out_of_order(marts))
    assert both.conclusion == NEITHER
    for found in (leads, order, both):
        assert found.agreement["is_aligned"].all()
        nothing_pooled(found)
        assert found.pooled["reason"].str.contains("gate").all()


def test_what_is_not_known_warns_or_blocks(marts: Marts, triangulate: Callable[..., TriangulationResults]) -> None:
    """FV.TRI.1: an order drawn by lot of which the dates are not known."""
    drawn = marts.tables["dim_randomisation"].assign(is_order_kept=pd.Series([None] * 5, dtype="boolean"))
    warned = triangulate(changed={"dim_randomisation": drawn})
    assert warned.conclusion == POOLED and "taken on trust" in warned.sentences[0]
    blocked = triangulate(
        changed={"dim_randomisation": drawn, **settings_with(marts, "triangulation_unknown_gate", "block")}
    )
    assert blocked.conclusion == "rely on did"
    nothing_pooled(blocked)


def test_designs_that_disagree_are_both_reported(
    own_wedge: SteppedWedgeResults, triangulate: Callable[..., TriangulationResults]
) -> None:
    """FV.TRI.1: the wedge moved to the other side of 0; reasons name the LAs that each hangs on."""
    covariates, primary = own_wedge.fits[0]
    gap = 0.1
    turned = replace(
        primary,
        effects=(replace(primary.effect, estimate=primary.effect.estimate + gap), *primary.effects[1:]),
        without_each={la: value + gap for la, value in primary.without_each.items()},
    )
    found = triangulate(wedge=replace(own_wedge, fits=((covariates, turned), *own_wedge.fits[1:])))
    assert found.conclusion == BOTH and not found.agreement["is_same_sign"].any()
    nothing_pooled(found)
    assert any("hangs most on" in sentence for sentence in found.sentences)


def test_an_external_estimate_stands_in(marts: Marts, triangulate: Callable[..., TriangulationResults]) -> None:
    """FV.TRI.1: as a row; its correlation is not known, so all are tried, and the widest interval is shown."""
    did = triangulate().designs.iloc[0]
    row = pd.DataFrame(
        [
            {
                "programme_id": "fv",
                "outcome_id": "became_looked_after",
                "design": "sister trial",
                "estimate": float(did["estimate"]) - 0.05,
                "standard_error": 0.8,
                "degrees_of_freedom": 6.0,
                "unit": "percentage points",
                "do_assumptions_hold": True,
                "source": "a report",
                "clause": "FV.TRI.1",
            }
        ]
    )
    found = triangulate(changed={"dim_external_estimates": row})
    assert found.wedge is None and found.designs["design"].tolist() == ["did", "external"]
    assert found.agreement["correlation"].tolist() == pytest.approx([0, 0.3, 0.6, 0.9])
    assert found.agreement["covariance_from"].unique().tolist() == ["assumed correlation"]
    assert found.conclusion == POOLED and found.pooled["correlation"].tolist() == pytest.approx([0.9, 0.9])
    doubtful = triangulate(changed={"dim_external_estimates": row.assign(do_assumptions_hold=False)})
    assert doubtful.conclusion == "rely on did"
    nothing_pooled(doubtful)
    silent = row.assign(do_assumptions_hold=pd.Series([None], dtype="boolean"))
    assert "taken on trust" in triangulate(changed={"dim_external_estimates": silent}).sentences[0]
    # Near the other one but with errors so alike that they differ at a high correlation alone.
    error = float(did["standard_error"])
    apart = ExternalEstimate(float(did["estimate"]) - 1.5 * error, error, None, "percentage points", True, "b")
    split = triangulate(external=apart)
    assert split.agreement["is_aligned"].tolist() == [True, True, True, False] and split.conclusion == BOTH
    nothing_pooled(split)
    with pytest.raises(SfpcError, match="is in days"):
        triangulate(external=replace(apart, scale="days"))


def test_what_does_not_fit_is_refused(
    marts: Marts, results: Tables, triangulate: Callable[..., TriangulationResults]
) -> None:
    """FV.TRI.1: results of other marts, missing tables, wrong settings, evidence that nobody knows."""
    effects = results["effects"].assign(estimate=results["effects"]["estimate"] * 1.01)
    with pytest.raises(SfpcError, match="results are of other marts"):
        triangulate({**results, "effects": effects})
    with pytest.raises(SfpcError, match="no results table 'matched_pairs'"):
        triangulate({"effects": results["effects"]})
    with pytest.raises(SfpcError, match="0 times outcome 'height'"):
        triangulate(outcome_id="height")
    for setting, value, words in (
        ("triangulation_unknown_gate", "perhaps", "warn or block"),
        ("triangulation_gate_p_value", "5", "between 0 and 1"),
        ("triangulation_external_correlations", "0;high", "numbers with ;"),
        ("triangulation_external_correlations", "0;1", "-1 < r < 1"),
    ):
        with pytest.raises(SfpcError, match=words):
            triangulate(changed=settings_with(marts, setting, value))
    odd = marts.tables["dim_design_assumptions"].copy()
    odd.loc[0, "evidence"] = "hearsay"
    with pytest.raises(SfpcError, match="evidence 'hearsay'"):
        triangulate(changed={"dim_design_assumptions": odd})


def test_without_a_primary_estimate_the_wedge_alone_remains(
    results: Tables, triangulate: Callable[..., TriangulationResults]
) -> None:
    """FV.TRI.1: nothing is pooled with nothing."""
    none = {**results, "effects": results["effects"].assign(estimate=np.nan)}
    found = triangulate(none)
    assert found.conclusion == "rely on stepped_wedge" and "gives no estimate" in found.sentences[0]
    nothing_pooled(found)


# --- the evidence ---


def evidence_of(tables: Tables, **others: Any) -> Evidence:
    given: dict[str, Any] = {
        "results": tables,
        "wedge": None,
        "randomisation": pd.DataFrame(columns=["la_id", "is_order_randomised", "is_order_kept"]),
        "do_external_hold": None,
        "gate": 0.05,
        "level": 0.05,
    }
    return Evidence(**{**given, **others})


def status_of(source: str, evidence: Evidence) -> str:
    row = {"assumption_id": "a", "design": "did", "wording": "w", "evidence": source, "is_gate": True, "clause": "c"}
    return str(assess(pd.DataFrame([row]), ("did",), evidence).iloc[0]["status"])


BOOTSTRAP = "wild cluster bootstrap of the CR1 Wald statistic, null imposed"


@pytest.mark.parametrize(
    ("source", "name", "rows", "expected"),
    [
        ("lead_tests", "lead_tests", [{"inference_method": BOOTSTRAP, "p_value": 0.2}], NOT_CONTRADICTED),
        ("lead_tests", "lead_tests", [{"inference_method": BOOTSTRAP, "p_value": 0.01}], FAILS),
        # The F tests reject far too often with few LAs, and do not count.
        ("lead_tests", "lead_tests", [{"inference_method": "CR1 by LA, F(q, G-1)", "p_value": 0.0}], NOT_KNOWN),
        ("joint_leads", "parallel_trend_tests", [{"test": "placebo_date", "p_value": 0.0}], NOT_KNOWN),
        ("joint_leads", "parallel_trend_tests", [{"test": "joint_leads", "p_value": 0.04}], FAILS),
        # Two tests of one assumption: 0.03 alone would fail, corrected it does not.
        (
            "held_out_placebo",
            "parallel_trend_tests",
            [{"test": "held_out_placebo", "p_value": 0.03}, {"test": "held_out_placebo", "p_value": 0.6}],
            NOT_CONTRADICTED,
        ),
        ("pair_shock_response", "shock_tests", [{"test": "pair_shock_response", "p_value": np.nan}], NOT_KNOWN),
        ("treated_cluster_count", "effects", [{"is_primary": True, "treated_cluster_count": 4}], HOLDS),
        ("treated_cluster_count", "effects", [{"is_primary": True, "treated_cluster_count": 3}], FAILS),
        ("la_noise", "la_noise", [{"is_mostly_noise": True}, {"is_mostly_noise": False}], FAILS),
        ("la_noise", "la_noise", [{"is_mostly_noise": False}], NOT_CONTRADICTED),
        ("matched_pairs", "matched_pairs", [{"treatment_la_id": "1", "status": "accepted"}], HOLDS),
        ("matched_pairs", "matched_pairs", [{"treatment_la_id": "1", "status": "excluded"}], FAILS),
        ("trend_bounds", "trend_bounds", [{"restriction": "relative magnitudes", "breakdown": 0.5}], FAILS),
        ("trend_bounds", "trend_bounds", [{"restriction": "relative magnitudes", "breakdown": 1.5}], NOT_CONTRADICTED),
        ("trend_bounds", "trend_bounds", [{"restriction": "smoothness", "breakdown": 1.5}], NOT_KNOWN),
    ],
)
def test_evidence_of_a_run(source: str, name: str, rows: list[dict[str, Any]], expected: str) -> None:
    """FV.TRI.1: what a run must show for an assumption to fail, to be not contradicted, or not to be known."""
    assert status_of(source, evidence_of({name: pd.DataFrame(rows)})) == expected
    assert status_of(source, evidence_of({})) == NOT_KNOWN


@pytest.mark.parametrize(
    ("randomised", "kept", "expected"),
    [
        ([True, True], [True, True], HOLDS),
        ([True, True], [True, False], FAILS),
        ([True, True], [None, None], NOT_KNOWN),
        # One stratum of which nothing is known does not hide an order that was broken in another.
        ([True, True], [False, None], FAILS),
        ([True, False], [True, True], FAILS),
        ([None, True], [True, True], NOT_KNOWN),
    ],
)
def test_evidence_on_the_order(randomised: list[bool | None], kept: list[bool | None], expected: str) -> None:
    """FV.TRI.1: randomisation order kept or not."""
    drawn = pd.DataFrame(
        {
            "la_id": ["1", "2"],
            "is_order_randomised": pd.Series(randomised, dtype="object"),
            "is_order_kept": pd.Series(kept, dtype="object"),
        }
    )
    assert status_of("dim_randomisation", evidence_of({}, randomisation=drawn)) == expected
    typed = drawn.astype({"is_order_randomised": "boolean", "is_order_kept": "boolean"})
    assert status_of("dim_randomisation", evidence_of({}, randomisation=typed)) == expected


@pytest.mark.parametrize(("said", "expected"), [(True, HOLDS), (False, FAILS), (None, NOT_KNOWN)])
def test_evidence_of_an_external_estimate(said: bool | None, expected: str) -> None:
    """FV.TRI.1: what its source says."""
    assert status_of("external_estimates", evidence_of({}, do_external_hold=said)) == expected


def test_gates_of_a_design() -> None:
    """FV.TRI.1: one failed gate fails the design; what is merely shown does not; without gates nothing is known."""
    frame = pd.DataFrame(
        [("did", True, HOLDS), ("did", True, NOT_KNOWN), ("did", False, FAILS), ("external", False, HOLDS)],
        columns=["design", "is_gate", "status"],
    )
    assert gates_of(frame, "did") == UNKNOWN
    assert gates_of(frame.assign(status=HOLDS), "did") == HOLD
    assert gates_of(frame.assign(is_gate=True), "did") == FAIL
    assert gates_of(frame, "external") == UNKNOWN and gates_of(frame, "stepped_wedge") == UNKNOWN


def test_seeds_of_the_rule_are_known_and_complete(marts: Marts) -> None:
    """FV.TRI.1: every declared assumption has a judge; each design has gates; the external one too."""
    assumptions = marts.tables["dim_design_assumptions"]
    assessed = assess(assumptions, ("did", "stepped_wedge", "external"), evidence_of({}))
    assert len(assessed) == len(assumptions)
    assert set(assessed.loc[assessed["is_gate"], "design"]) == {"did", "stepped_wedge", "external"}
    assert (assessed["status"] == NOT_KNOWN).all()
