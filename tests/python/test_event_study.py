"""The effect by quarters since go-live (FV.SENS.2): by hand, statsmodels, brute force, planted paths, size."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from sfpc.estimation import Design, Terms, build_design, fit_linear
from sfpc.estimation.cluster import CR1_T
from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT
from sfpc.estimation.event_study import EventStudy, event_study, periods_since_go_live
from sfpc.estimation.few_clusters import WILD_BOOTSTRAP, cluster_sums, cr2, cr3
from sfpc.estimation.joint import (
    CR1_F,
    CR2_F,
    CR3_F,
    WILD_WALD,
    coefficients_without,
    cr1_covariance,
    cr2_covariance,
    cr3_covariance,
    joint_tests,
)
from test_estimation import TERMS, rows_as_cells, simulated_children

LIVE = {"LA0": 12, "LA1": 15, "LA2": 15, "LA3": 18, "LA4": 21}


def children(seed: int = 3, size: int = 4000, las: int = 10) -> pd.DataFrame:
    """Simulated children of 36 months; five LAs go live in months 12 to 21; year effects by twelve months."""
    rows = simulated_children(seed=seed, size=size, las=las)
    generator = np.random.default_rng(1000 + seed)
    rows["month"] = generator.integers(0, 36, size)
    rows["year"] = (2020 + rows["month"] // 12).astype(str)
    rows["treated"] = (rows["month"] >= rows["la"].map(LIVE).fillna(99)).astype(float)
    return rows


def prepared(rows: pd.DataFrame, terms: Terms = TERMS) -> tuple[Design, np.ndarray, np.ndarray]:
    design = build_design(rows_as_cells(rows), terms)
    period = periods_since_go_live(rows["month"].to_numpy(dtype=np.int64), design.cluster, design.cluster_names, LIVE)
    return design, period, np.ones(len(rows), dtype=np.int64)


def study_of(rows: pd.DataFrame, first: int = -4, last: int = 4, draws: int = 199) -> EventStudy:
    return event_study(*prepared(rows), first, last, 0.05, draws)


def test_periods_count_whole_quarters_from_the_first_day_live() -> None:
    """FV.SENS.2: the month before go-live is in quarter -1, the month of go-live in quarter 0."""
    month = np.array([8, 9, 11, 12, 14, 15, 20])
    found = periods_since_go_live(month, np.zeros(7, dtype=np.int64), ("A", "B"), {"A": 12})
    assert found.tolist() == [-2, -1, -1, 0, 0, 1, 2]
    assert np.isnan(periods_since_go_live(month, np.ones(7, dtype=np.int64), ("A", "B"), {"A": 12})).all()


def test_effects_by_hand() -> None:
    """FV.SENS.2: one treated and one comparison LA; each quarter is a difference of differences against quarter -1."""
    treated, control = [0.30, 0.20, 0.25, 0.05], [0.10, 0.15, 0.12, 0.16]
    cells = pd.DataFrame(
        {
            "la": ["T"] * 4 + ["C"] * 4,
            "year": list("0123") * 2,
            "treated": [0.0, 0.0, 1.0, 1.0] + [0.0] * 4,
            CELL_COUNT: 10,
            CELL_WEIGHT: 10.0,
            CELL_OUTCOME: [10 * y for y in treated + control],
        }
    )
    design = build_design(cells, replace(TERMS, categorical=(), linear=()))
    period = np.array([-2.0, -1.0, 0.0, 1.0] + [np.nan] * 4)
    found = event_study(design, period, np.full(8, 10), -2, 1, 0.05, 99)
    expected = [(treated[k] - treated[1]) - (control[k] - control[1]) for k in (0, 2, 3)]
    assert found.identified == (-2, 0, 1)
    assert found.coefficients == pytest.approx(expected, abs=1e-12)
    assert [p.children_count for p in found.periods] == [10] * 4 and found.periods[1].methods == ()


def test_effects_equal_statsmodels_with_clusters() -> None:
    """FV.SENS.2: all dummies by WLS; coefficients and CR1 covariance, statsmodels' own factor undone."""
    rows = children()
    design, period, count = prepared(rows)
    found = event_study(design, period, count, -4, 4, 0.05, 99)
    binned = np.clip(np.where(np.isfinite(period), period, -1), -4, 4)
    dummies = {f"e{k}": (binned == k).astype(float) for k in range(-4, 5) if k != -1}
    factors = pd.get_dummies(rows[["la", "year", "need", "fsm"]], drop_first=True, dtype=float)
    x = pd.concat([factors, rows[["age", "la_pct"]]], axis=1).assign(one=1.0, **dummies)
    fit = sm.WLS(rows["y"], x, weights=rows["w"]).fit(
        cov_type="cluster", cov_kwds={"groups": rows["la"].astype("category").cat.codes}
    )
    names = list(dummies)
    assert found.coefficients == pytest.approx(fit.params[names].to_numpy(), abs=1e-9)
    k_all, k_ours = x.shape[1], x.shape[1] - 9
    undone = (len(rows) - k_all) / (len(rows) - k_ours)
    covariance = fit.cov_params().loc[names, names].to_numpy() * undone
    assert found.covariance == pytest.approx(covariance, rel=1e-6, abs=1e-12)


def test_a_quarter_has_the_methods_of_the_main_model() -> None:
    """FV.EST.3: bootstrap, CR1, CR2, CR3 of one coefficient are those of a model in which it is the treatment."""
    rows = children()
    design, period, count = prepared(rows)
    found = event_study(design, period, count, -2, 2, 0.05, 199)
    one = next(p for p in found.periods if p.period == 1)
    assert [e.inference_method for e in one.methods][:2] == [WILD_BOOTSTRAP, CR1_T]
    binned = np.clip(np.where(np.isfinite(period), period, -1), -2, 2)
    others = {f"e{k}": (binned == k).astype(float) for k in (-2, 0, 2)}
    cells = rows_as_cells(rows.assign(**others, treated=(binned == 1).astype(float)))
    fit = fit_linear(build_design(cells, replace(TERMS, linear=(*TERMS.linear, *others))))
    effect = fit.effect(0.05)
    assert one.methods[1].estimate == pytest.approx(effect.estimate, abs=1e-10)
    assert one.methods[1].standard_error == pytest.approx(effect.standard_error, rel=1e-8)
    sums = cluster_sums(fit.design)
    assert sums is not None
    assert one.methods[2].standard_error == pytest.approx(cr2(sums, 0.05).standard_error, rel=1e-7)
    assert one.methods[3].standard_error == pytest.approx(cr3(sums, 0.05).standard_error, rel=1e-7)


def with_leads(rows: pd.DataFrame) -> tuple[Design, Terms]:
    """The main model with two leads as further linear columns."""
    _, period, _ = prepared(rows)
    binned = np.where(np.isfinite(period), period, 99)
    cells = rows_as_cells(rows.assign(lead2=(binned == -2).astype(float), lead3=(binned <= -3).astype(float)))
    terms = replace(TERMS, linear=(*TERMS.linear, "lead2", "lead3"))
    return build_design(cells, terms), terms


def test_joint_test_equals_refitting_every_sign_pattern() -> None:
    """FV.EST.3: 2^8 refits on outcomes made from residuals without the leads, a Wald statistic each."""
    rows = children(size=900, las=8)
    design, _ = with_leads(rows)
    sums = cluster_sums(design)
    assert sums is not None
    at = [design.names.index(name) for name in ("lead2", "lead3")]
    positions = np.searchsorted(sums.columns, at)
    tests = {test.inference_method: test for test in joint_tests(sums, positions)}
    x, root = design.x, np.sqrt(design.weight)
    y = design.weighted_outcome / design.weight

    def wald(outcome: np.ndarray) -> float:
        fit = fit_linear(replace(design, weighted_outcome=design.weight * outcome))
        moved = fit.coefficients[at]
        return float(moved @ np.linalg.solve(fit.covariance.matrix[np.ix_(at, at)], moved))

    others = np.delete(np.arange(x.shape[1]), at)
    fitted = x[:, others] @ np.linalg.lstsq(root[:, None] * x[:, others], root * y, rcond=None)[0]
    observed = wald(y)
    reached = np.mean(
        [
            wald(fitted + np.array(signs)[design.cluster] * (y - fitted)) >= observed * (1 - 1e-9)
            for signs in product((-1.0, 1.0), repeat=8)
        ]
    )
    assert tests[WILD_WALD].statistic * 2 == pytest.approx(observed, rel=1e-8)
    assert tests[CR1_F].statistic * 2 == pytest.approx(observed, rel=1e-8)
    assert tests[WILD_WALD].p_value == reached
    assert list(tests) == [WILD_WALD, CR1_F, CR2_F, CR3_F]


def test_covariances_of_one_coefficient_are_those_of_few_clusters() -> None:
    """FV.EST.3: CR1, CR2 and CR3 of the treatment alone; CR3 of several by leaving out LAs by hand."""
    rows = children()
    design, terms = with_leads(rows)
    sums = cluster_sums(design)
    assert sums is not None
    own = np.array([sums.treatment])
    error = fit_linear(design).effect(0.05).standard_error
    assert np.sqrt(cr1_covariance(sums, own)[0, 0]) == pytest.approx(error, rel=1e-8)
    assert np.sqrt(cr2_covariance(sums, own)[0, 0]) == pytest.approx(cr2(sums, 0.05).standard_error, rel=1e-9)
    assert np.sqrt(cr3_covariance(sums, own)[0, 0]) == pytest.approx(cr3(sums, 0.05).standard_error, rel=1e-9)
    at = [design.names.index(name) for name in ("lead2", "lead3")]
    found = coefficients_without(sums, np.searchsorted(sums.columns, at))
    _, period, _ = prepared(rows)
    binned = np.where(np.isfinite(period), period, 99)
    full = rows.assign(lead2=(binned == -2).astype(float), lead3=(binned <= -3).astype(float))
    for code, la in enumerate(design.cluster_names):
        part = build_design(rows_as_cells(full[full["la"] != la]), terms)
        fit = fit_linear(part)
        expected = [fit.coefficients[part.names.index(name)] for name in ("lead2", "lead3")]
        assert found[code] == pytest.approx(expected, abs=1e-8)


def test_too_few_las_for_the_leads_is_said() -> None:
    """FV.EST.3: four coefficients with four LAs are not tested."""
    rows = children(size=3000)
    rows = rows[rows["la"].isin(["LA0", "LA1", "LA8", "LA9"])].reset_index(drop=True)
    found = study_of(rows, first=-5, last=1)
    tests = found.tidy_lead_tests()
    assert tests["p_value"].isna().all() and tests["note"].str.contains("4 coefficients cannot be tested").all()


def planted(seed: int, drift: float = 0.0, noise: float = 1.0) -> tuple[Design, np.ndarray, np.ndarray]:
    """Ten LAs by twelve quarters, one cell each; after go-live in quarters 5 to 9 the effect is -1, -2 and so on."""
    generator = np.random.default_rng(seed)
    start = {f"LA{i}": 5 + i for i in range(5)}
    rows = [(f"LA{a}", q) for a in range(10) for q in range(14)]
    since = np.array([q - start.get(la, np.nan) for la, q in rows])
    live = np.nan_to_num(since, nan=-1.0)
    shock = generator.normal(size=10)[[int(la[2:]) for la, _ in rows]] + generator.normal(size=14)[[q for _, q in rows]]
    y = shock - np.where(live >= 0, live + 1, 0.0) + noise * generator.normal(size=len(rows))
    y = y + drift * np.nan_to_num(since)
    cells = pd.DataFrame(
        {
            "la": [la for la, _ in rows],
            "year": [f"{q:02d}" for _, q in rows],
            "treated": (live >= 0).astype(float),
            CELL_COUNT: 1,
            CELL_WEIGHT: 1.0,
            CELL_OUTCOME: y,
        }
    )
    return build_design(cells, replace(TERMS, categorical=(), linear=())), since, np.ones(len(rows), dtype=np.int64)


def test_a_growing_effect_is_found_and_flat_leads_stay_flat() -> None:
    """FV.SENS.2: without noise the path is exact up to the bin that holds several quarters; leads are 0."""
    found = event_study(*planted(1, noise=0.0), -10, 8, 0.05, 99)
    path = dict(zip(found.identified, found.coefficients, strict=True))
    assert [path[k] for k in (-5, -2, 0, 1, 3)] == pytest.approx([0.0, 0.0, -1.0, -2.0, -4.0], abs=1e-9)
    noisy = event_study(*planted(2, noise=0.3), -3, 3, 0.05, 99)
    errors = np.sqrt(np.diag(noisy.covariance))
    truth = np.array([0.0, 0.0, -1.0, -2.0, -3.0])
    assert np.all(np.abs(noisy.coefficients[:5] - truth) < 4 * errors[:5] + 0.3)
    assert noisy.lead_tests[0].p_value > 0.05


def test_trends_that_part_before_go_live_are_noticed() -> None:
    """FV.SENS.2: a drift of one noise deviation a quarter."""
    assert event_study(*planted(3, drift=1.0), -3, 3, 0.05, 99).lead_tests[0].p_value < 0.05


def test_size_of_the_joint_test_at_ten_las() -> None:
    """FV.EST.3: three true nulls at once; the bootstrap keeps its level where F with CR1 is far from it."""
    design, since, _ = planted(0)
    binned = np.clip(np.where(np.isfinite(since), since, -1), -4, 99)
    columns = [(binned == k).astype(float) for k in (-4, -3, -2)]
    x = np.column_stack([design.x[:, :-1], design.x[:, -1], *columns])
    names = (*design.names, "a", "b", "c")
    wide = replace(design, x=x, names=names, treatment_column=x.shape[1] - 1, parameter_count=x.shape[1] - 9)
    generator = np.random.default_rng(5)
    rejected = {WILD_WALD: 0, CR1_F: 0}
    draws = 300
    for _ in range(draws):
        sums = cluster_sums(replace(wide, weighted_outcome=generator.normal(size=len(since))))
        assert sums is not None
        positions = np.arange(len(sums.columns) - 3, len(sums.columns))
        for test in joint_tests(sums, positions):
            if test.inference_method in rejected:
                rejected[test.inference_method] += test.p_value < 0.05
    assert 0.015 <= rejected[WILD_WALD] / draws <= 0.095
    assert rejected[CR1_F] / draws > 0.12


def test_what_is_not_identified_is_named() -> None:
    """FV.SENS.2: quarters without a treated child and quarters that the model fixes are NaN and named."""
    rows = children()
    far = study_of(rows, first=-4, last=10)
    assert any(note.startswith("no treated child at") for note in far.notes)
    lost = next(p for p in far.periods if p.period == 10)
    assert np.isnan(lost.methods[0].estimate) and lost.children_count == 0
    table = far.tidy()
    assert table[table["is_reference"]][["period", "estimate"]].to_numpy().tolist() == [[-1, 0.0]]
    assert set(table.loc[table["is_open_ended"], "period"]) == {-4}
    late = rows[~(rows["la"].isin(LIVE) & (rows["month"] >= 9) & (rows["month"] < 21))].reset_index(drop=True)
    none = study_of(late.assign(month=late["month"].where(~late["la"].isin(LIVE), 30)))
    assert none.identified == () and "no treated child in the last quarter" in none.notes[0]
    assert none.lead_tests[0].note == "no effect is identified"
    with pytest.raises(ValueError, match="expected first < -1"):
        study_of(rows, first=-1)
