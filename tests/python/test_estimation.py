"""Regression on cells: FV.EST.1 to .6; reference numbers B15, B16 and B27 where available."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import sfpc.estimation
from sfpc.estimation import (
    Terms,
    build_design,
    cluster_covariance,
    compress,
    drop_separated_levels,
    fit_linear,
    fit_logit,
    fit_logit_to_cells,
    independent_columns,
    infer,
)
from sfpc.estimation.cluster import small_sample_factor
from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT
from sfpc.estimation.few_clusters import cluster_sums
from sfpc.estimation.imputation import fit_imputation
from sfpc.estimation.linear import triangle
from sfpc.estimation.result import Result

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / os.environ.get("SFPC_SHARED_DIR", "../shared") / "method-reference"

TERMS = Terms(
    treatment="treated",
    cluster="la",
    periods=("year",),
    categorical=("need", "fsm"),
    linear=("age", "la_pct"),
)


def rows_as_cells(rows: pd.DataFrame, outcome: str = "y", weight: str = "w") -> pd.DataFrame:
    """Each child is its own cell: the fit on rows that compression must reproduce."""
    return rows.assign(**{CELL_COUNT: 1, CELL_WEIGHT: rows[weight], CELL_OUTCOME: rows[weight] * rows[outcome]})


def simulated_children(seed: int = 1, size: int = 6000, las: int = 10) -> pd.DataFrame:
    """Children of ten LAs, five going live one after another, with fractional weights."""
    generator = np.random.default_rng(seed)
    la = generator.integers(0, las, size)
    year = generator.integers(0, 4, size)
    treated = (la < las // 2) & (year >= 1 + la % 3)
    frame = pd.DataFrame(
        {
            "la": np.char.add("LA", la.astype(str)),
            "year": np.char.add("20", (20 + year).astype(str)),
            "treated": treated.astype(float),
            "need": generator.choice(["1", "2", "3", "4"], size, p=[0.4, 0.3, 0.2, 0.1]),
            "fsm": generator.choice(["true", "false", "not observed"], size),
            "age": generator.integers(0, 18, size).astype(float),
            "la_pct": 15.0 + la + 0.3 * year * (1 + la % 4),
            "w": np.where(la < las // 2, 1.0, generator.choice([0.5, 1.25, 2.0], size)),
        }
    )
    index = -2.2 + 0.1 * la % 3 + 0.2 * year - 0.4 * treated - 0.05 * frame["age"]
    index += 0.3 * (frame["need"] == "1")
    frame["y"] = (generator.random(size) < 1 / (1 + np.exp(-index))).astype(float)
    return frame


def in_duckdb(rows: pd.DataFrame, terms: Terms = TERMS) -> pd.DataFrame:
    with duckdb.connect(":memory:") as connection:
        connection.register("children", rows)
        return compress(connection, "children", terms, "y", "w")


def cr0(matrix: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(matrix) / factor


# --- hand and simulation -------------------------------------------------------------------------


def test_two_by_two_difference_in_differences_by_hand() -> None:
    """FV.EST.1 without covariates is the difference of differences of the four cell means."""
    cells = pd.DataFrame(
        {
            "la": ["T", "T", "C", "C"],
            "year": ["0", "1", "0", "1"],
            "treated": [0.0, 1.0, 0.0, 0.0],
            CELL_COUNT: [10, 20, 40, 30],
            CELL_WEIGHT: [10.0, 20.0, 20.0, 15.0],
            CELL_OUTCOME: [4.0, 3.0, 6.0, 9.0],
        }
    )
    design = build_design(cells, replace(TERMS, categorical=(), linear=()))
    effect = fit_linear(design).effect(0.05)
    assert effect.estimate == pytest.approx((3 / 20 - 4 / 10) - (9 / 15 - 6 / 20), abs=1e-12)
    logit = fit_logit(design)
    odds = {name: value for name, value in zip("abcd", (0.4, 0.15, 0.3, 0.6), strict=True)}
    log_odds = {name: np.log(p / (1 - p)) for name, p in odds.items()}
    expected = (log_odds["b"] - log_odds["a"]) - (log_odds["d"] - log_odds["c"])
    assert logit.log_odds_effect(0.05).estimate == pytest.approx(expected, abs=1e-9)
    without = 1 / (1 + np.exp(-(log_odds["a"] + log_odds["d"] - log_odds["c"])))
    marginal = logit.average_marginal_effect(0.05).estimate
    assert marginal == pytest.approx(0.15 - without, abs=1e-9)


def test_cells_give_exactly_what_the_children_give() -> None:
    """FV.EST.1 on cells from DuckDB equals the row-level fit: estimates and errors to 1e-9."""
    rows = simulated_children()
    rows.loc[:1500, "la_pct"] = np.round(rows.loc[:1500, "la_pct"])
    cells = in_duckdb(rows)
    assert len(cells) < len(rows) and int(cells[CELL_COUNT].sum()) == len(rows)
    by_cell, by_row = build_design(cells, TERMS), build_design(rows_as_cells(rows), TERMS)
    assert by_cell.names == by_row.names
    assert by_cell.children_count == by_row.children_count == len(rows)
    for fit in (fit_linear, fit_logit):
        a, b = fit(by_cell), fit(by_row)
        np.testing.assert_allclose(a.coefficients, b.coefficients, atol=1e-9)
        np.testing.assert_allclose(a.covariance.matrix, b.covariance.matrix, atol=1e-9)
    a, b = fit_logit(by_cell), fit_logit(by_row)
    for x, y in zip(
        (a.average_marginal_effect(0.05), a.log_odds_effect(0.05)),
        (b.average_marginal_effect(0.05), b.log_odds_effect(0.05)),
        strict=True,
    ):
        assert x.estimate == pytest.approx(y.estimate, abs=1e-9)
        assert x.standard_error == pytest.approx(y.standard_error, abs=1e-9)
        assert x.p_value == pytest.approx(y.p_value, abs=1e-9)


def test_linear_equals_statsmodels_with_clusters() -> None:
    """FV.EST.1: WLS with clustered errors; statsmodels counts every dummy, the factor is undone."""
    rows = simulated_children(seed=2)
    design = build_design(rows_as_cells(rows), TERMS)
    fit = fit_linear(design)
    other = sm.WLS(rows["y"].to_numpy(), design.x, weights=rows["w"].to_numpy()).fit(
        cov_type="cluster", cov_kwds={"groups": design.cluster}
    )
    np.testing.assert_allclose(fit.coefficients, other.params, atol=1e-10)
    all_counted = small_sample_factor(len(rows), design.x.shape[1], 10)
    np.testing.assert_allclose(
        cr0(fit.covariance.matrix, fit.covariance.factor),
        cr0(other.cov_params(), all_counted),
        rtol=1e-8,
        atol=1e-14,
    )


def test_logit_equals_statsmodels_with_clusters() -> None:
    """FV.EST.4: weighted logit, clustered errors and marginal effect against GLM Binomial."""
    rows = simulated_children(seed=3)
    design = build_design(rows_as_cells(rows), TERMS)
    fit = fit_logit(design)
    assert fit.is_converged and not fit.is_separated.any()
    # statsmodels clusters no weighted GLM: repeat each child as often as its weight, in quarters.
    repeated = np.repeat(np.arange(len(rows)), (4 * rows["w"]).astype(int))
    other = sm.GLM(rows["y"].to_numpy()[repeated], design.x[repeated], family=sm.families.Binomial()).fit(
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": design.cluster[repeated], "use_correction": False},
    )
    np.testing.assert_allclose(fit.coefficients, other.params, atol=1e-8)
    np.testing.assert_allclose(
        cr0(fit.covariance.matrix, fit.covariance.factor), other.cov_params(), rtol=1e-7, atol=1e-12
    )
    effect = fit.average_marginal_effect(0.05)
    column = design.treatment_column
    assert column is not None

    def marginal(coefficients: np.ndarray) -> float:
        treated = design.x[design.is_treated]
        without = treated.copy()
        without[:, column] = 0
        difference = 1 / (1 + np.exp(-treated @ coefficients)) - 1 / (1 + np.exp(-without @ coefficients))
        return float(np.average(difference, weights=design.weight[design.is_treated]))

    params = np.asarray(other.params)
    assert effect.estimate == pytest.approx(marginal(params), abs=1e-9)
    steps = np.eye(len(params)) * 1e-5
    gradient = np.array([(marginal(params + s) - marginal(params - s)) / 2e-5 for s in steps])
    variance = gradient @ fit.covariance.matrix @ gradient
    assert effect.standard_error == pytest.approx(np.sqrt(variance), rel=1e-6)
    ratio = fit.log_odds_effect(0.05).exponentiated()
    assert ratio.estimate == pytest.approx(np.exp(params[column]), rel=1e-8)
    assert ratio.ci_low < ratio.estimate < ratio.ci_high
    assert ratio.p_value == fit.log_odds_effect(0.05).p_value


def test_triangle_of_pieces_is_that_of_the_whole() -> None:
    """FV.EST.1: R'R of the QR decomposition in pieces, with columns of very different length."""
    generator = np.random.default_rng(4)
    for rows in (5, 3_000, 10_007):
        x = generator.normal(size=(rows, 5)) * np.array([1.0, 1e-4, 1e4, 1.0, 1.0]) + np.array([0, 0, 0, 30.0, 0])
        scale = np.linalg.norm(x, axis=0)
        r = triangle(x)
        assert r.shape == (5, 5) and (np.tril(r, -1) == 0).all()
        assert (r.T @ r) / np.outer(scale, scale) == pytest.approx((x.T @ x) / np.outer(scale, scale), abs=1e-12)


def test_clusters_in_any_order_give_the_same_errors() -> None:
    """FV.EST.3: sums by LA do not need the cells to stand in the order of LAs."""
    rows = simulated_children(size=3000)
    design = build_design(rows_as_cells(rows), TERMS)
    order = np.argsort(design.cluster, kind="stable")
    assert (np.diff(design.cluster) < 0).any()
    sorted_design = replace(
        design,
        x=design.x[order],
        weight=design.weight[order],
        weighted_outcome=design.weighted_outcome[order],
        cluster=design.cluster[order],
        is_treated=design.is_treated[order],
    )
    here, there = cluster_sums(design), cluster_sums(sorted_design)
    assert here is not None and there is not None
    assert here.gram == pytest.approx(there.gram, abs=1e-9) and here.moment == pytest.approx(there.moment, abs=1e-9)
    ours, theirs = fit_linear(design).covariance, fit_linear(sorted_design).covariance
    assert ours.cluster_count == theirs.cluster_count == 10
    assert ours.matrix == pytest.approx(theirs.matrix, rel=1e-8, abs=1e-14)


def test_weights_are_probability_weights() -> None:
    """FV.CEM.10: the scale of the weights changes neither estimates nor errors."""
    rows = simulated_children(seed=4)
    designs = [build_design(rows_as_cells(rows.assign(w=rows["w"] * k)), TERMS) for k in (1, 1000, 1e-6)]
    for fit in (fit_linear, fit_logit):
        fits = [fit(design) for design in designs]
        for other in fits[1:]:
            np.testing.assert_allclose(fits[0].coefficients, other.coefficients, atol=1e-9)
            np.testing.assert_allclose(fits[0].covariance.matrix, other.covariance.matrix, atol=1e-10)


# --- reference numbers ---------------------------------------------------------------------------


def castle(states: int | None) -> tuple[pd.DataFrame, Terms]:
    data = pd.read_csv(REFERENCE / "data/castle.csv").astype({"year": str})
    if states is not None:
        data = data[data["state"].isin(sorted(data["state"].unique())[:states])]
    terms = Terms(treatment="post", cluster="state", periods=("year",), categorical=(), linear=())
    return rows_as_cells(data.assign(w=1.0), "l_homicide").reset_index(drop=True), terms


def check_castle(states: int | None, expected: dict[str, float]) -> None:
    cells, terms = castle(states)
    design = build_design(cells, terms)
    fit = fit_linear(design)
    effect = fit.effect(0.05)
    groups, rows = fit.covariance.cluster_count, design.children_count
    raw = effect.standard_error / np.sqrt(fit.covariance.factor)
    ours = {
        "beta": effect.estimate,
        "fixest": effect.standard_error,
        "CR0": raw,
        "CR1": raw * np.sqrt(groups / (groups - 1)),
        "CR1S": raw * np.sqrt(small_sample_factor(rows, design.x.shape[1], groups)),
    }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-8), name
    assert effect.degrees_of_freedom == groups - 1


def check_b15() -> str:
    """B15: castle, 50 clusters; fixest, clubSandwich, Stata's convention."""
    expected = next(
        entry["expected"]
        for entry in json.loads((REFERENCE / "expected/acceptance.json").read_text())
        if entry["id"] == "B15"
    )
    named = {name: expected[name] for name in ("beta", "CR0", "CR1", "CR1S")}
    check_castle(None, {**named, "fixest": expected["fixest_default_cluster"]})
    return ""


def check_b16() -> str:
    """B16: the first twelve states, five of them treated."""
    check_castle(
        12,
        {"beta": -0.0468112855, "fixest": 0.0960418108, "CR1": 0.0919211217, "CR1S": 0.1007714979},
    )
    return ""


def check_b27() -> str:
    """B27: logit on mroz with age bands; glm and sandwich."""
    data = pd.read_csv(REFERENCE / "data/mroz.csv")
    band = np.searchsorted([34, 39, 44, 49, 54], data["age"], side="left") + 1
    data = data.assign(w=1.0, band=band.astype(str))
    terms = Terms(
        treatment="educ",
        cluster="band",
        periods=(),
        categorical=(),
        linear=("exper", "kidslt6", "nwifeinc"),
    )
    design = build_design(rows_as_cells(data, "inlf"), terms)
    fit = fit_logit(design)
    effect = fit.log_odds_effect(0.05)
    raw = effect.standard_error / np.sqrt(fit.covariance.factor)
    assert effect.estimate == pytest.approx(0.226669302343603, abs=1e-6)
    assert raw == pytest.approx(0.0229288150959406, abs=1e-6)
    assert raw * np.sqrt(6 / 5) == pytest.approx(0.0251172584898233, abs=1e-6)
    probability = 1 / (1 + np.exp(-design.x @ fit.coefficients))
    marginal = np.mean(probability * (1 - probability)) * effect.estimate
    assert marginal == pytest.approx(0.0410502398876115, abs=1e-6)
    return ""


def check_simulated_conventions() -> str:
    """Always there: the conventions of B15 differ only in K, on the simulated children."""
    design = build_design(rows_as_cells(simulated_children(seed=7)), TERMS)
    # Intercept, 3 years, 3 needs, 2 FSM levels, age, LA share, treatment; the 9 LA effects not.
    assert design.parameter_count == 12 and design.x.shape[1] == 21
    fit = fit_linear(design)
    assert fit.covariance.factor == pytest.approx(10 / 9 * 5999 / (6000 - 12), abs=1e-15)
    return ""


CHECKS: dict[str, Callable[[], str]] = {"simulated": check_simulated_conventions}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS |= {"B15": check_b15, "B16": check_b16, "B27": check_b27}


@pytest.mark.parametrize("name", CHECKS)
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.EST.1, .3, .4: published conventions of clustered errors and a published logit."""
    not_checked = CHECKS[name]()
    if len(CHECKS) == 1:
        not_checked = f"B15, B16, B27: no {REFERENCE}"
    if not_checked:
        record_property("not_checked", not_checked)


# --- what the data do not identify ---------------------------------------------------------------


def test_dependent_columns_are_dropped_in_declared_order_and_reported() -> None:
    """FV.EST.1: LA effects stay, what they span goes; the treatment yields to everything else."""
    rows = simulated_children(seed=5)
    rows["la_pct"] = rows["la"].str[-1].astype(float)
    design = build_design(rows_as_cells(rows), TERMS)
    assert design.dropped == ("la_pct",) and "la_pct" in design.notes[0]
    assert design.treatment_column == design.x.shape[1] - 1
    assert fit_linear(design).effect(0.05).p_value > 0
    design = build_design(rows_as_cells(rows.assign(age=rows["treated"])), TERMS)
    assert design.treatment_column is None


def test_independent_columns_against_the_rank() -> None:
    """The rule keeps as many columns as the rank, the first ones, whatever their scale."""
    generator = np.random.default_rng(6)
    base = generator.normal(size=(200, 5)) * [1, 1e4, 1e-4, 1, 1]
    x = np.column_stack([base[:, :3], base[:, 0] + base[:, 1], base[:, 3], np.zeros(200), base[:, 4]])
    keep = independent_columns(x, generator.uniform(0.5, 2, 200))
    assert keep.tolist() == [True, True, True, False, True, False, True]


@pytest.mark.parametrize("when", ["never treated", "always treated"])
def test_no_variation_in_treatment_gives_nan_not_a_crash(when: str) -> None:
    """FV.SAMPLE.5: an effect that the data do not identify is NaN."""
    rows = simulated_children(seed=8).assign(treated=float(when == "always treated"))
    design = build_design(rows_as_cells(rows), TERMS)
    assert design.treatment_column is None
    for effect in (
        fit_linear(design).effect(0.05),
        fit_logit(design).average_marginal_effect(0.05),
        fit_logit(design).log_odds_effect(0.05),
    ):
        assert np.isnan([effect.estimate, effect.standard_error, effect.p_value, effect.ci_low]).all()


def test_missing_covariates_are_a_level_or_dropped() -> None:
    """FV.COV.4: above 30 % missing dropped, below that a level of its own, never silently."""
    rows = simulated_children(seed=9)
    some, most = rows.copy(), rows.copy()
    some.loc[:599, "age"] = np.nan
    most.loc[:2399, "age"] = np.nan
    design = build_design(in_duckdb(some), TERMS)
    assert "age=not observed" in design.names and "level of its own" in design.notes[0]
    assert np.isfinite(fit_linear(design).effect(0.05).estimate)
    design = build_design(in_duckdb(most), TERMS)
    assert design.dropped == ("age",) and "30%" in design.notes[0]
    missing_factor = rows.assign(need=rows["need"].where(rows["need"] != "4"))
    assert "need=not observed" in build_design(in_duckdb(missing_factor), TERMS).names


def test_levels_without_events_leave_the_logit_and_nothing_else_changes() -> None:
    """FV.EST.4: separated levels are left out, reported, and do not move the effect."""
    rows = simulated_children(seed=10)
    base = fit_logit(build_design(rows_as_cells(rows), TERMS)).log_odds_effect(0.05)
    extra = rows.head(30).assign(need="rare", y=0.0)
    sure = rows.head(20).assign(fsm="sure", y=1.0)
    cells = rows_as_cells(pd.concat([rows, extra, sure], ignore_index=True))
    kept, left_out, is_separated = drop_separated_levels(cells, TERMS)
    assert left_out == ("need=rare", "fsm=sure") and not is_separated and len(kept) == len(rows)
    effect = fit_logit(build_design(kept, TERMS)).log_odds_effect(0.05)
    assert effect.estimate == pytest.approx(base.estimate, abs=1e-12)
    # The limit of the likelihood with the level left in is the same.
    kept_in = fit_logit(build_design(rows_as_cells(pd.concat([rows, extra])), TERMS))
    assert kept_in.log_odds_effect(0.05).estimate == pytest.approx(base.estimate, abs=1e-6)
    assert kept_in.is_separated.tolist() == [False] * len(rows) + [True] * len(extra)
    whole = fit_logit_to_cells(cells, TERMS)
    assert whole.fit is not None and len(whole.cells) == len(rows)
    assert whole.fit.log_odds_effect(0.05) == effect
    assert [note.split(" left out")[0] for note in whole.notes] == [
        "1 of the levels of need",
        "1 of the levels of fsm",
    ]


def test_a_treatment_without_events_has_no_estimate() -> None:
    """FV.EST.4: no events among the treated -> flagged, not minus infinity."""
    rows = simulated_children(seed=11)
    rows.loc[rows["treated"] == 1, "y"] = 0.0
    _, left_out, is_separated = drop_separated_levels(rows_as_cells(rows), TERMS)
    assert left_out == () and is_separated
    whole = fit_logit_to_cells(rows_as_cells(rows), TERMS)
    assert whole.fit is None and "arm of the treatment" in whole.notes[0]


def test_separation_by_a_combination_is_left_out_and_reported() -> None:
    """FV.EST.4: children whom two covariates together predict perfectly do not move the effect."""
    rows = simulated_children(seed=12)
    # A level of `need` whose only events are those that a level of `fsm` has for itself.
    quiet = rows.head(40).assign(need="pair", y=0.0)
    loud = rows.head(60).assign(need="pair", fsm="pair", y=rows["y"].tail(60).to_numpy())
    assert 0 < loud["y"].sum() < 60
    cells = rows_as_cells(pd.concat([rows, quiet, loud], ignore_index=True))
    assert drop_separated_levels(cells, TERMS)[1] == ()
    whole = fit_logit_to_cells(cells, TERMS)
    assert whole.fit is not None and whole.fit.is_converged
    assert len(whole.cells) == len(rows) + len(loud)
    assert whole.notes == ("children whom covariates together predict perfectly left out (separation)",)
    without = fit_logit(build_design(rows_as_cells(pd.concat([rows, loud])), TERMS))
    assert whole.fit.log_odds_effect(0.05).estimate == pytest.approx(without.log_odds_effect(0.05).estimate, abs=1e-9)


def test_complete_separation_gives_no_estimate() -> None:
    """FV.EST.4: an outcome that a covariate decides leaves nothing to estimate, without a crash."""
    rows = simulated_children(seed=13)
    rows["y"] = (rows["age"] > 9).astype(float)
    whole = fit_logit_to_cells(rows_as_cells(rows), TERMS)
    assert whole.notes
    assert whole.fit is None or np.isnan(whole.fit.log_odds_effect(0.05).estimate)


# --- inference -----------------------------------------------------------------------------------


def test_inference_is_t_with_one_less_than_the_clusters() -> None:
    """FV.EST.3, .5: t(9) for ten LAs: 2.262157 at 5 % two-sided (table of Student's t)."""
    result = infer(2.0, 1.0, 10, 0.05)
    assert result.degrees_of_freedom == 9
    assert result.ci_high == pytest.approx(2 + 2.2621571628540993, abs=1e-10)
    assert result.ci_low == pytest.approx(2 - 2.2621571628540993, abs=1e-10)
    assert infer(-2.2621571628540993, 1.0, 10, 0.05).p_value == pytest.approx(0.05, abs=1e-9)
    assert infer(2.0, 1.0, 10, 0.10).ci_high < result.ci_high
    scaled = result.scaled(100)
    assert (scaled.estimate, scaled.p_value) == (200.0, result.p_value)


@pytest.mark.parametrize(("error", "clusters"), [(0.0, 10), (float("nan"), 10), (1.0, 1), (1.0, 0)])
def test_inference_without_a_usable_error_is_nan(error: float, clusters: int) -> None:
    """FV.EST.3: no error, no p-value."""
    result = infer(2.0, error, clusters, 0.05)
    assert result.estimate == 2.0
    assert np.isnan([result.standard_error, result.ci_low, result.ci_high, result.p_value]).all()


def test_cluster_covariance_by_hand() -> None:
    """FV.EST.3: the mean of three clusters: factor 3/2 * 5/5, squares of the cluster sums."""
    residual: Any = np.array([1.0, 1, -2, 0, 3, -3])
    covariance = cluster_covariance(
        np.array([[1 / 6]]), residual[:, None], np.array([0, 0, 1, 1, 2, 2]), rows=6, parameters=1
    )
    assert covariance.matrix[0, 0] == pytest.approx(1.5 * (4 + 4 + 0) / 36)
    assert covariance.cluster_count == 3
    assert np.isnan(small_sample_factor(5, 5, 3)) and np.isnan(small_sample_factor(5, 1, 1))


def test_results_are_frozen_and_tell_themselves() -> None:
    """Point 7: tidy, summary and to_dict of fits and estimates; NaN stays; twice the same."""
    design = build_design(rows_as_cells(simulated_children(size=2000)), TERMS)
    fit = fit_linear(design)
    effect = fit.effect(0.05)
    held = effect.to_dict()
    assert held["estimate"] == effect.estimate and held["inference_method"] == effect.inference_method
    assert effect.tidy().to_dict("records") == [held]
    assert f"estimate: {effect.estimate:.6g}" in effect.summary()
    table = fit.tidy()
    assert table["term"].tolist() == list(design.names)
    own = table.set_index("term").loc["treated"]
    assert (own["estimate"], own["standard_error"]) == (effect.estimate, effect.standard_error)
    logit = fit_logit(design)
    for result in (fit, logit, fit_imputation(rows_as_cells(simulated_children(size=2000)), TERMS)):
        with pytest.raises(FrozenInstanceError):
            result.extra = 1  # type: ignore[union-attr]
        assert json.dumps(result.to_dict()) == json.dumps(result.to_dict())
        assert result.summary().startswith(type(result).__name__)
    assert logit.to_dict()["is_converged"] is True and logit.to_dict()["design"]["children_count"] == 2000
    assert "x" not in logit.to_dict()["design"]
    undefined = infer(1.0, float("nan"), 10, 0.05)
    assert np.isnan(undefined.to_dict()["p_value"]) and np.isnan(undefined.tidy()["ci_low"].iloc[0])
    assert "p value: nan" in undefined.summary()


def test_every_public_result_tells_itself() -> None:
    """Point 7: whoever has an effect or coefficients is a `Result`; so a new estimator cannot leave it out."""
    telling = {"estimate", "coefficient", "coefficients", "effect", "effects"}
    without = set()
    for module in pkgutil.iter_modules(sfpc.estimation.__path__, "sfpc.estimation."):
        for found in vars(importlib.import_module(module.name)).values():
            if not isinstance(found, type) or not is_dataclass(found) or found.__name__.startswith("_"):
                continue
            if telling & {field.name for field in fields(found)} and not issubclass(found, Result):
                without.add(found.__name__)
    # Rows of the tables of other results, and what a bootstrap fits on its way.
    assert without <= {"Bound", "EventPeriod", "EventTime", "Cohort", "HeldFit"}
