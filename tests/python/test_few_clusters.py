"""Inference with few LAs (FV.EST.3, FV.EST.8): brute force, published numbers B15 to B21 and B34, and stated size."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sfpc.estimation import build_design, fit_linear, fit_logit
from sfpc.estimation.cluster import small_sample_factor
from sfpc.estimation.design import INTERCEPT, Design
from sfpc.estimation.few_clusters import (
    ClusterSums,
    cluster_sums,
    cr2,
    cr3,
    effects_without_each,
    hochberg,
    leave_one_out,
    score_bootstrap,
    wild_bootstrap,
)
from sfpc.estimation.group_time import adjusted_means, fit_group_time, probability_limit
from sfpc.estimation.inference import Draws, Timing, of_linear, of_logit
from sfpc.estimation.logit import fit_with_effect_held
from sfpc.estimation.permutation import permutation_test
from test_estimation import REFERENCE, TERMS, castle, rows_as_cells, simulated_children

LIVE = {f"LA{i}": 1 + i % 3 for i in range(5)}


def children(seed: int = 3, size: int = 3000, las: int = 10) -> tuple[pd.DataFrame, Design, np.ndarray]:
    """Simulated children, their design and the phase of each: years 2021 to 2023 open phases 1 to 3."""
    rows = simulated_children(seed=seed, size=size, las=las)
    return rows, build_design(rows_as_cells(rows), TERMS), rows["year"].str[-1].to_numpy(dtype=np.int64)


def sums_of(design: Design) -> ClusterSums:
    sums = cluster_sums(design)
    assert sums is not None
    return sums


def without_cluster(rows: pd.DataFrame, la: str) -> float:
    return fit_linear(build_design(rows_as_cells(rows[rows["la"] != la]), TERMS)).effect(0.05).estimate


# --- by brute force ---


def test_sums_by_la_give_the_estimate_and_cr1_of_the_model_with_la_effects() -> None:
    """FV.EST.1: taking out LA means changes nothing (Frisch and Waugh)."""
    _, design, _ = children()
    sums, effect = sums_of(design), fit_linear(design).effect(0.05)
    assert sums.estimate == pytest.approx(effect.estimate, rel=1e-9)
    assert wild_bootstrap(sums, 0.05).effect.standard_error == pytest.approx(effect.standard_error, rel=1e-9)


def test_leaving_out_an_la_equals_fitting_without_it() -> None:
    """FV.SENS.6, and CR3 from it."""
    rows, design, _ = children()
    sums = sums_of(design)
    expected = np.array([without_cluster(rows, la) for la in design.cluster_names])
    assert leave_one_out(sums) == pytest.approx(expected, rel=1e-8)
    error = np.sqrt(9 / 10 * np.sum((expected - sums.estimate) ** 2))
    assert cr3(sums, 0.05).standard_error == pytest.approx(error, rel=1e-8)


def test_each_la_left_out_has_its_arm_and_the_methods_of_a_model_without_it() -> None:
    """FV.SENS.6: estimate, CR1 and bootstrap of both arms equal those of a design built without the LA."""
    rows, design, _ = children(size=1500)
    found = effects_without_each(design, np.ones(len(rows), dtype=np.int64), 0.05)
    assert [one.la for one in found] == list(design.cluster_names)
    assert [one.la for one in found if one.is_treated_la] == [f"LA{i}" for i in range(5)]
    for one in found[2:7]:
        without = build_design(rows_as_cells(rows[rows["la"] != one.la]), TERMS)
        expected = wild_bootstrap(sums_of(without), 0.05).effect
        assert one.effect.p_value == expected.p_value
        for name in ("estimate", "standard_error", "ci_low", "ci_high"):
            assert getattr(one.effect, name) == pytest.approx(getattr(expected, name), rel=1e-6)


def test_without_the_only_treated_la_there_is_no_effect() -> None:
    """FV.SENS.6: NaN, not 0."""
    rows, _, _ = children(size=1500)
    few = rows[rows["la"].isin(["LA0", "LA7", "LA8", "LA9"])].reset_index(drop=True)
    design = build_design(rows_as_cells(few), TERMS)
    found = effects_without_each(design, np.ones(len(few), dtype=np.int64), 0.05, draws=99)
    assert [bool(np.isnan(one.effect.estimate)) for one in found] == [True, False, False, False]


def test_wild_bootstrap_equals_refitting_every_sign_pattern() -> None:
    """FV.EST.3: 2^8 refits of the model on outcomes made from restricted residuals, one by one."""
    rows, design, _ = children(size=900, las=8)
    sums = sums_of(design)
    others = np.arange(design.x.shape[1]) != design.treatment_column
    x, y = design.x, design.weighted_outcome / design.weight
    root = np.sqrt(design.weight)
    restricted = np.linalg.lstsq(root[:, None] * x[:, others], root * y, rcond=None)[0]
    fitted = x[:, others] @ restricted
    observed = fit_linear(design).effect(0.05)
    statistic = abs(observed.estimate / observed.standard_error)
    reached = 0
    for signs in product((-1.0, 1.0), repeat=8):
        drawn = fitted + np.array(signs)[design.cluster] * (y - fitted)
        effect = fit_linear(build_design(rows_as_cells(rows.assign(y=drawn)), TERMS)).effect(0.05)
        reached += abs(effect.estimate / effect.standard_error) >= statistic * (1 - 1e-9)
    assert wild_bootstrap(sums, 0.05, weights="Rademacher").effect.p_value == reached / 2**8


def test_ends_of_the_interval_are_where_the_test_turns() -> None:
    """FV.EST.3: an outcome from which an end of the interval is taken off is just (not) rejected."""
    rows, design, _ = children(seed=7)
    effect = wild_bootstrap(sums_of(design), 0.05).effect
    assert effect.ci_low < effect.estimate < effect.ci_high
    width = effect.ci_high - effect.ci_low
    for end, outward in ((effect.ci_low, -1.0), (effect.ci_high, 1.0)):
        for step, is_inside in ((-1e-3, True), (1e-3, False)):
            null = end + outward * step * width
            moved = build_design(rows_as_cells(rows.assign(y=rows["y"] - null * rows["treated"])), TERMS)
            assert (wild_bootstrap(sums_of(moved), 0.05).effect.p_value > 0.05) is is_inside


def test_draws_beyond_enumeration_repeat_and_never_give_zero() -> None:
    """FV.EST.3: the data count as one draw; the seed decides the rest."""
    _, design, _ = children(size=4000, las=20)
    sums = sums_of(design)
    first, again = wild_bootstrap(sums, 0.05, draws=499, seed=5), wild_bootstrap(sums, 0.05, draws=499, seed=5)
    assert repr(first) == repr(again) and not first.is_enumerated and first.draws == 500
    assert first.effect.p_value >= 1 / 500


def test_few_las_get_weights_of_six_points() -> None:
    """FV.EST.3: with six LAs signs alone give 32 different statistics."""
    rows, _, _ = children(size=1500)
    few = build_design(rows_as_cells(rows[rows["la"].isin([f"LA{i}" for i in (0, 1, 2, 7, 8, 9)])]), TERMS)
    found = wild_bootstrap(sums_of(few), 0.05, draws=999)
    assert found.weights == "Webb" and not found.is_enumerated
    with pytest.raises(ValueError, match="known are Rademacher and Webb"):
        wild_bootstrap(sums_of(few), 0.05, weights="Mammen")


def test_permutation_equals_refitting_every_assignment() -> None:
    """FV.EST.3: all 20 assignments of two go-live days to two of five LAs."""
    rows, _, _ = children(size=1500)
    rows = rows[rows["la"].isin([f"LA{i}" for i in (0, 1, 7, 8, 9)])].reset_index(drop=True)
    phase = rows["year"].str[-1].astype(int)
    names = sorted(rows["la"].unique())
    statistics = {}
    for one in names:
        for two in names:
            if one != two:
                live = rows["la"].map({one: 1, two: 2}).fillna(99)
                drawn = rows.assign(treated=(phase >= live).astype(float))
                effect = fit_linear(build_design(rows_as_cells(drawn), TERMS)).effect(0.05)
                statistics[one, two] = abs(effect.estimate / effect.standard_error)
    expected = np.mean([s >= statistics["LA0", "LA1"] * (1 - 1e-9) for s in statistics.values()])
    design = build_design(rows_as_cells(rows), TERMS)
    found = permutation_test(design, phase.to_numpy(), {"LA0": 1, "LA1": 2}, draws=50)
    assert (found.p_value, found.draws, found.is_enumerated) == (expected, 19, True)
    some = permutation_test(design, phase.to_numpy(), {"LA0": 1, "LA1": 2}, draws=10, seed=2)
    assert some.draws == 10 and not some.is_enumerated and 1 / 11 <= some.p_value <= 1


def test_adjusted_means_are_effects_of_la_and_period() -> None:
    """FV.EST.2: the first step equals one regression with an indicator per LA and period."""
    rows, design, phase = children(size=2000)
    means, treated = adjusted_means(design, phase)
    covariates = pd.get_dummies(rows[["need", "fsm"]], drop_first=True, dtype=float).assign(age=rows["age"])
    group = pd.get_dummies(rows["la"] + rows["year"], dtype=float)
    root = np.sqrt(rows["w"].to_numpy())
    x = np.column_stack([group, covariates]) * root[:, None]
    slopes = np.linalg.lstsq(x, root * rows["y"].to_numpy(), rcond=None)[0]
    overall = np.average(covariates, axis=0, weights=rows["w"]) @ slopes[group.shape[1] :]
    assert means.ravel() == pytest.approx(slopes[: group.shape[1]] + overall, abs=1e-9)
    assert treated[0].tolist() == [0.0, 1.0, 1.0, 1.0]


def test_group_means_without_autoregression_are_two_way_least_squares() -> None:
    """FV.EST.2: an LA without children in a period is left out, not taken as 0."""
    generator = np.random.default_rng(4)
    treated = np.zeros((6, 8))
    treated[:3, 4:] = 1.0
    means = generator.normal(size=(6, 8)) - 0.5 * treated
    means[5, 7] = np.nan
    fit = fit_group_time(means, treated, autoregression=np.zeros(1))
    group, period = np.nonzero(np.isfinite(means))
    x = np.column_stack([treated[group, period], np.eye(6)[group], np.eye(8)[period][:, 1:]])
    assert fit.estimate == pytest.approx(np.linalg.lstsq(x, means[group, period], rcond=None)[0][0], abs=1e-10)


def test_logit_with_the_effect_held_is_the_likelihood_s_maximum() -> None:
    """FV.EST.4: wherever the search starts, the score of all other coefficients is nought."""
    _, design, _ = children(size=4000)
    fit = fit_logit(design)
    near = None
    for null in (0.0, -1.5, 0.75):
        near = fit_with_effect_held(fit, null, near)
        assert near is not None
        fresh = fit_with_effect_held(fit, null)
        assert fresh is not None and near.marginal_effect == pytest.approx(fresh.marginal_effect, abs=1e-7)
        score = design.x.T @ (design.weighted_outcome - design.weight * near.probability)
        free = np.arange(design.x.shape[1]) != design.treatment_column
        assert np.abs(score[free]).max() < 1e-3 < np.abs(score[~free]).max()


def test_score_bootstrap_interval_holds_the_estimate_on_both_scales() -> None:
    """FV.EST.3, FV.EST.4."""
    _, design, _ = children(size=6000)
    fit = fit_logit(design)
    found = score_bootstrap(fit, 0.05)
    assert found.log_odds[0] < fit.log_odds_effect(0.05).estimate < found.log_odds[1]
    assert found.marginal_effects[0] < fit.average_marginal_effect(0.05).estimate < found.marginal_effects[1]


# --- which one is primary ---


def test_all_methods_stand_side_by_side_and_the_primary_comes_first() -> None:
    """FV.EST.3: with three treated LAs only the permutation is left, without an interval."""
    rows, design, phase = children()
    timing = Timing(phase, phase, LIVE)
    usual = of_linear(fit_linear(design), timing, 0.05, Draws(permutation=99))
    assert [e.inference_method.split(",")[0] for e in usual] == [
        "wild cluster bootstrap",
        "CR1 by LA",
        "CR2 by LA",
        "CR3 (jackknife) by LA",
        "feasible GLS with AR(1) errors",
        "permutation over LAs",
    ]
    few = rows[~rows["la"].isin(["LA0", "LA1"])].reset_index(drop=True)
    small = build_design(rows_as_cells(few), TERMS)
    phase = few["year"].str[-1].to_numpy(dtype=np.int64)
    live = {la: first for la, first in LIVE.items() if la not in ("LA0", "LA1")}
    found = of_linear(fit_linear(small), Timing(phase, phase, live), 0.05, Draws(permutation=99))
    assert found[0].inference_method == "permutation over LAs" and np.isnan(found[0].ci_low)
    effects, odds = of_logit(fit_logit(small), Timing(phase, phase, live), 0.05, Draws(permutation=99))
    assert effects[0].inference_method == odds[0].inference_method == "permutation over LAs"
    assert effects[0].p_value == odds[0].p_value


# --- published and independent numbers ---


def expected(name: str) -> Any:
    entries = json.loads((REFERENCE / "expected/acceptance.json").read_text())
    return next(entry["expected"] for entry in entries if entry["id"] == name)


def check_cr2_and_cr3() -> None:
    """B15, B16: clubSandwich and summclust."""
    for states, name in ((None, "B15"), (12, "B16-17")):
        cells, terms = castle(states)
        sums, numbers = sums_of(build_design(cells, terms)), expected(name)
        second = cr2(sums, 0.05)
        assert second.standard_error == pytest.approx(numbers["CR2"], abs=1e-10)
        assert second.degrees_of_freedom == pytest.approx(numbers["CR2_df"], abs=1e-8)
        assert second.p_value == pytest.approx(numbers["CR2_p"], abs=1e-10)
        assert cr3(sums, 0.05).standard_error == pytest.approx(numbers["CRV3J"], abs=1e-10)


def check_wild_bootstrap() -> None:
    """B17: fwildclusterboot's full enumeration, and its 99,999 draws of Webb's weights."""
    cells, terms = castle(12)
    sums, numbers = sums_of(build_design(cells, terms)), expected("B16-17")
    assert wild_bootstrap(sums, 0.05).effect.p_value == numbers["WCR11_rad_fullenum"]["p"]
    webb = wild_bootstrap(sums, 0.05, draws=20_000, weights="Webb").effect.p_value
    assert webb == pytest.approx(numbers["WCR11_webb"]["p"], abs=0.012)


def check_voters() -> None:
    """B18: forty clusters, no effects of them: CR2, the jackknife, and the bootstrap by draws."""
    data, numbers = pd.read_csv(REFERENCE / "data/voters.csv"), expected("B18")
    names = ["proposition_vote", "treatment", "ideology1", "log_income", "Q1_immigration", "Q2_defense", "group_id1"]
    data = data.dropna(subset=names)
    x = np.column_stack([np.ones(len(data)), data[["ideology1", "log_income", "treatment"]]])
    y = data["proposition_vote"].to_numpy(dtype=np.float64)
    rows = [np.flatnonzero(data["group_id1"].to_numpy() == group) for group in np.unique(data["group_id1"])]
    gram, moment = np.array([x[r].T @ x[r] for r in rows]), np.array([x[r].T @ y[r] for r in rows])
    factor = small_sample_factor(len(y), 4, len(rows))
    sums = ClusterSums(gram, moment, 3, factor, np.arange(4))
    assert (len(y), len(rows)) == (numbers["n"], numbers["G"])
    found = wild_bootstrap(sums, 0.05, draws=99_999, seed=1)
    assert found.effect.estimate == pytest.approx(numbers["beta"], abs=1e-10)
    assert found.effect.standard_error == pytest.approx(numbers["CR1S"], abs=1e-10)
    assert cr2(sums, 0.05).standard_error == pytest.approx(numbers["CR2"], abs=1e-10)
    # clubSandwich's CR3 lacks (G - 1)/G.
    assert cr3(sums, 0.05).standard_error == pytest.approx(numbers["CR3"] * np.sqrt(39 / 40), abs=1e-10)
    assert found.effect.p_value == pytest.approx(numbers["WCR11_rad"]["p"], abs=6e-4)
    assert not found.is_enumerated


def check_score_bootstrap() -> None:
    """B19: two independent codings."""
    data, numbers = pd.read_csv(REFERENCE / "data/mroz_clusters.csv"), expected("B19")
    names = ["educ", "exper", "kidslt6", "nwifeinc"]
    clusters, cluster = np.unique(data["cl"], return_inverse=True)
    for position, name in enumerate(names, start=1):
        design = Design(
            x=np.column_stack([np.ones(len(data)), data[names]]),
            names=(INTERCEPT, *names),
            weight=np.ones(len(data)),
            weighted_outcome=data["inlf"].to_numpy(dtype=np.float64),
            cluster=cluster.astype(np.int64),
            cluster_names=tuple(map(str, clusters)),
            is_treated=np.ones(len(data), dtype=np.bool_),
            children_count=len(data),
            parameter_count=5,
            treatment_column=position,
            dropped=(),
            notes=(),
        )
        found = score_bootstrap(fit_logit(design), 0.05)
        assert found.statistic == pytest.approx(numbers[name]["t"], abs=1e-6)
        assert found.p_value == numbers[name]["p"]


def check_group_time() -> None:
    """B20: nlme's GLS and an independent coding of Hansen's correction."""
    cells, _ = castle(12)
    means = cells.pivot(index="state", columns="year", values="l_homicide").to_numpy()
    treated = cells.pivot(index="state", columns="year", values="post").to_numpy(dtype=np.float64)
    numbers = expected("B20-21")
    found = {
        "ar1_uncorrected": fit_group_time(means, treated, is_bias_corrected=False),
        "ar1_hansen": fit_group_time(means, treated),
        "ar2_hansen": fit_group_time(means, treated, order=2),
        "phi0.4_fixed": fit_group_time(means, treated, autoregression=np.array([0.4])),
    }
    for name, fit in found.items():
        assert fit.estimate == pytest.approx(numbers[name]["beta"], abs=1e-9)
        assert fit.standard_error == pytest.approx(numbers[name]["se"], abs=1e-9)
        assert fit.autoregression == pytest.approx(np.array(numbers[name]["phi"]), abs=1e-9)


CHECKS: dict[str, Callable[[], None]] = {}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS = {
        "B15 and B16": check_cr2_and_cr3,
        "B17": check_wild_bootstrap,
        "B18": check_voters,
        "B19": check_score_bootstrap,
        "B20": check_group_time,
    }


@pytest.mark.parametrize("name", CHECKS or ["none"])
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.EST.3: numbers of R's clubSandwich, summclust, fwildclusterboot and nlme."""
    if name in CHECKS:
        CHECKS[name]()
    else:
        record_property("not_checked", f"B15 to B20: no {REFERENCE}")


@pytest.mark.parametrize(
    ("periods", "autoregression", "limit"),
    [(6, 0.0, -0.2), (6, 0.4, 0.0801459), (6, 0.8, 0.3190979), (11, 0.8, 0.5688729), (24, 0.8, 0.7082627)],
)
def test_least_squares_autoregression_has_the_stated_limit(periods: int, autoregression: float, limit: float) -> None:
    """B21: Hansen (2007), checked by others against 40,000 simulated LAs."""
    assert probability_limit(np.array([autoregression]), periods)[0] == pytest.approx(limit, abs=1e-7)


def test_hochberg_by_hand_and_without_undefined_outcomes() -> None:
    """FV.EST.8, B34."""
    assert hochberg(np.array([0.011, 0.04, 0.2, 0.03, 0.6])) == pytest.approx([0.055, 0.12, 0.4, 0.12, 0.6])
    adjusted = hochberg(np.array([0.02, np.nan, 0.04]))
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04]) and np.isnan(adjusted[1])


# --- size under a true null ---


def null_design(generator: np.random.Generator, las: int = 10, years: int = 6, treated: int = 5) -> Design:
    """Adjusted means of LAs and years as cells: staggered go-live, unequal LAs, shocks that persist, no effect."""
    size = generator.lognormal(np.log(5200), 0.5, las)
    shock = np.zeros((las, years))
    shock[:, 0] = generator.normal(0, 0.006, las)
    for year in range(1, years):
        shock[:, year] = 0.5 * shock[:, year - 1] + generator.normal(0, 0.006 * np.sqrt(0.75), las)
    rate = np.clip(generator.beta(2.5143, 60.343, las)[:, None] + shock, 0.002, 0.5)
    la, year = np.indices((las, years)).reshape(2, -1)
    live = (la < treated) & (year >= 2 + la % 3)
    count = size[la]
    mean = generator.binomial(count.astype(int), rate[la, year]) / count.astype(int)
    x = np.column_stack([np.ones(las * years), np.eye(las)[la][:, 1:], np.eye(years)[year][:, 1:], live])
    return Design(
        x=x,
        names=tuple(f"x{i}" for i in range(x.shape[1])),
        weight=count,
        weighted_outcome=count * mean,
        cluster=la.astype(np.int64),
        cluster_names=tuple(f"LA{i:02d}" for i in range(las)),
        is_treated=live,
        children_count=int(count.sum()),
        parameter_count=1 + years,
        treatment_column=x.shape[1] - 1,
        dropped=(),
        notes=(),
    )


def rejections(draws: int, seed: int) -> dict[str, float]:
    generator = np.random.default_rng(seed)
    counts = dict.fromkeys(("wild", "cr1", "cr2", "cr3"), 0)
    for _ in range(draws):
        design = null_design(generator)
        sums = sums_of(design)
        tests = {
            "wild": wild_bootstrap(sums, 0.05, ends=False).effect.p_value,
            "cr1": fit_linear(design).effect(0.05).p_value,
            "cr2": cr2(sums, 0.05).p_value,
            "cr3": cr3(sums, 0.05).p_value,
        }
        for name, p_value in tests.items():
            counts[name] += p_value < 0.05
    return {name: count / draws for name, count in counts.items()}


@pytest.mark.long
def test_size_of_the_primary_test_and_of_its_companions() -> None:
    """FV.EST.3: 5 + 5 unequal LAs, staggered; bands of methods section E at 2,000 draws, and the canary CR1."""
    found = rejections(2_000, seed=1)
    assert 0.035 <= found["wild"] <= 0.065
    assert 0.03 <= found["cr3"] <= 0.06
    assert found["cr2"] <= 0.065
    assert found["cr1"] > 0.07


def test_primary_test_rejects_a_true_null_about_one_time_in_twenty() -> None:
    """FV.EST.3: the same at 300 draws, within four Monte-Carlo errors of 5 %."""
    found = rejections(300, seed=2)
    assert abs(found["wild"] - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 300)
    assert found["cr1"] >= found["wild"]
