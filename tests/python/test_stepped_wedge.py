"""The stepped wedge (FV.TRI.2): brute-force integrals, hand-worked wedges, stated coverage at four and five LAs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations, product
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, stats
from scipy.special import expit

from sfpc.errors import SfpcError
from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT, Design, Terms, build_design
from sfpc.estimation.few_clusters import CR3_T, SCORE_BOOTSTRAP
from sfpc.estimation.inference import Draws, Timing
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import fit_logit
from sfpc.estimation.permutation import other_assignments
from sfpc.estimation.stepped_wedge import (
    LINEAR,
    ORDER_PERMUTED,
    RANDOM_INTERCEPT,
    RandomInterceptFit,
    SteppedWedge,
    fit_random_intercept,
    fit_stepped_wedge,
    log_likelihood,
    log_odds_without_each,
    permute_order,
    what_few_can_support,
    without_la_effects,
)
from sfpc.grid import Outcome
from sfpc.marts import open_marts, read_settings
from sfpc.triangulation.wedge import STEPPED_WEDGE_TABLES, SteppedWedgeResults, run_stepped_wedge
from test_evaluation import Marts
from triangulation_marts import GO_LIVE_FOUR, wedge_marts

TERMS = Terms("live", "la", ("period",), (), ())
DRAWS = Draws(bootstrap=499, permutation=999, seed=1)
# First period that is live, by LA: four LAs and five.
FOUR, FIVE = (2, 3, 5, 6), (2, 3, 4, 5, 6)


def wedge_cells(
    first: Sequence[int],
    effect: float,
    seed: int = 0,
    children: int = 400,
    periods: int = 8,
    la_sd: float = 0.3,
    shock_sd: float = 0.0,
) -> tuple[pd.DataFrame, Timing]:
    """Cells by LA and period of a simulated wedge; `effect` in log odds."""
    generator = np.random.default_rng(seed)
    level = generator.normal(0, la_sd, len(first))
    time = np.cumsum(generator.normal(0, 0.05, periods))
    rows = []
    for la, period in product(range(len(first)), range(periods)):
        live = float(period >= first[la])
        index = -2.5 + level[la] + time[period] + effect * live + generator.normal(0, shock_sd)
        size = int(children * (1 + 0.3 * la))
        rows.append((f"L{la}", str(period), live, size, float(size), float(generator.binomial(size, expit(index)))))
    cells = pd.DataFrame(rows, columns=["la", "period", "live", CELL_COUNT, CELL_WEIGHT, CELL_OUTCOME])
    return cells, timing_of(cells, {f"L{la}": step for la, step in enumerate(first)})


def timing_of(cells: pd.DataFrame, first: Mapping[str, int]) -> Timing:
    steps = sorted(set(first.values()))
    period = cells["period"].astype(int).to_numpy()
    phase = np.array([sum(p >= step for step in steps) for p in period], dtype=np.int64)
    return Timing(phase, period.astype(np.int64), {la: 1 + steps.index(step) for la, step in first.items()})


def random_design(cells: pd.DataFrame) -> Design:
    return without_la_effects(build_design(cells, TERMS), "la")


def wedge(cells: pd.DataFrame, timing: Timing, model: str, strata: Mapping[str, str] | None = None) -> SteppedWedge:
    return fit_stepped_wedge(cells, TERMS, timing, 0.05, DRAWS, model=model, strata=strata)


def by_integration(design: Design, coefficients: np.ndarray, la_sd: float) -> float:
    """Log-likelihood by the trapezium rule on 6,001 values of each LA's intercept."""
    v = np.linspace(-9, 9, 6001)
    total = 0.0
    for group in range(len(design.cluster_names)):
        rows = design.cluster == group
        eta = (design.x[rows] @ coefficients)[:, None] + la_sd * v
        logs = design.weighted_outcome[rows] @ eta - design.weight[rows] @ np.logaddexp(0, eta) + stats.norm.logpdf(v)
        total += logs.max() + np.log(integrate.trapezoid(np.exp(logs - logs.max()), v))
    return total


# --- the likelihood ---


@pytest.mark.parametrize("la_sd", [0.0, 0.4, 1.0])
def test_likelihood_of_one_child_without_covariates_is_a_half(la_sd: float) -> None:
    """FV.TRI.2: by symmetry, whatever the spread of LAs."""
    design = Design(
        x=np.ones((1, 1)),
        names=("intercept",),
        weight=np.ones(1),
        weighted_outcome=np.ones(1),
        cluster=np.zeros(1, dtype=np.int64),
        cluster_names=("a",),
        is_treated=np.zeros(1, dtype=bool),
        children_count=1,
        parameter_count=1,
        treatment_column=None,
        dropped=(),
        notes=(),
    )
    assert log_likelihood(design, np.zeros(1), la_sd, 40) == pytest.approx(np.log(0.5), abs=1e-12)


@pytest.mark.parametrize(("children", "la_sd"), [(6, 0.5), (6, 1.5), (60, 0.8), (2000, 0.3)])
def test_quadrature_equals_adaptive_integration(children: int, la_sd: float) -> None:
    """FV.TRI.2: few children, where the integrand is far from normal, and many, where it is a needle."""
    cells, _ = wedge_cells(FOUR, -0.4, seed=3, children=children)
    design = random_design(cells)
    coefficients = np.random.default_rng(5).normal(0, 0.3, design.x.shape[1])
    coefficients[0] = -2.2
    assert log_likelihood(design, coefficients, la_sd) == pytest.approx(
        by_integration(design, coefficients, la_sd), abs=1e-6
    )


def test_maximum_is_that_of_the_integrated_likelihood() -> None:
    """FV.TRI.2: a search without derivatives of the integrated likelihood ends where Newton's method does."""
    cells, _ = wedge_cells((1, 2, 3, 3), -0.6, seed=7, children=60, periods=4, la_sd=0.8)
    cells = cells.assign(period=(cells["period"].astype(int) // 2).astype(str))
    cells = cells.groupby(["la", "period", "live"], as_index=False).sum()
    design = random_design(cells)
    fit = fit_random_intercept(design)
    start = np.append(fit.coefficients + 0.05, fit.la_sd + 0.1)
    found = optimize.minimize(
        lambda p: -by_integration(fit.design, p[:-1], float(p[-1])),
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 600},
    )
    assert fit.is_converged and fit.la_sd > 0.1
    assert np.append(fit.coefficients, fit.la_sd) == pytest.approx(found.x, abs=2e-4)
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-6)


def test_no_spread_is_left_where_the_likelihood_rises_away_from_it() -> None:
    """FV.TRI.2: a search that starts at no spread, a stationary point, finds the maximum all the same."""
    cells, _ = wedge_cells(FIVE, -0.4, seed=3, la_sd=0.5)
    fit = fit_random_intercept(random_design(cells))
    near = RandomInterceptFit(**{**vars(fit), "coefficients": np.zeros(len(fit.coefficients)), "la_sd": 1e-9})
    again = fit_random_intercept(random_design(cells), near=near)
    assert again.la_sd == pytest.approx(fit.la_sd, abs=1e-5) and fit.la_sd > 0.2
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)


def test_score_and_information_are_the_derivatives() -> None:
    """FV.TRI.2: Louis's identities against differences of the log-likelihood, away from the maximum."""
    cells, _ = wedge_cells(FIVE, -0.4, seed=4, children=80)
    held = fit_random_intercept(random_design(cells), held=0.3)
    at = np.append(held.coefficients, held.la_sd)

    def value(parameters: np.ndarray) -> float:
        return log_likelihood(held.design, parameters[:-1], float(parameters[-1]), 40)

    step = 1e-4 * np.eye(len(at))
    slope = np.array([(value(at + s) - value(at - s)) / 2e-4 for s in step])
    assert held.scores.sum(axis=0) == pytest.approx(slope, abs=1e-4)
    curve = np.array(
        [
            [(value(at + s + t) - value(at + s - t) - value(at - s + t) + value(at - s - t)) / 4e-8 for t in step]
            for s in step
        ]
    )
    assert held.information == pytest.approx(-curve, rel=2e-3, abs=0.02)
    assert held.log_odds == 0.3


def test_without_spread_the_model_is_the_plain_logit() -> None:
    """FV.TRI.2: LAs of one rate; the spread is 0 and said to be so."""
    cells, timing = wedge_cells(FIVE, -0.5, seed=2, la_sd=0.0)
    cells[CELL_OUTCOME] = np.round(cells[CELL_WEIGHT] * np.where(cells["live"] == 1, 0.06, 0.1))
    fit = fit_random_intercept(random_design(cells))
    assert fit.la_sd == 0 and fit.is_converged
    assert fit.coefficients == pytest.approx(fit_logit(fit.design).coefficients, abs=1e-4)
    found = wedge(cells, timing, RANDOM_INTERCEPT)
    assert any("no spread" in note for note in found.notes)
    assert np.isfinite(found.effect.p_value)


def test_cells_are_the_children_themselves() -> None:
    """FV.TRI.2: splitting cells changes nothing."""
    cells, _ = wedge_cells(FOUR, -0.4, seed=6, children=40)
    one = cells.copy()
    one[CELL_OUTCOME] = np.floor(cells[CELL_OUTCOME] / 2)
    one[CELL_WEIGHT] = one[CELL_COUNT] = cells[CELL_COUNT] // 3
    rest = cells.copy()
    for name in (CELL_OUTCOME, CELL_WEIGHT, CELL_COUNT):
        rest[name] = cells[name] - one[name]
    whole, parts = (fit_random_intercept(random_design(c)) for c in (cells, pd.concat([rest, one], ignore_index=True)))
    assert parts.log_odds == pytest.approx(whole.log_odds, abs=1e-7)
    assert parts.la_sd == pytest.approx(whole.la_sd, abs=1e-6)
    assert parts.marginal_effect == pytest.approx(whole.marginal_effect, abs=1e-8)


def test_marginal_effect_with_large_las_is_that_of_their_own_levels() -> None:
    """FV.TRI.2: with many children each LA's intercept is known, and p(D=1) - p(D=0) follows by hand."""
    cells, _ = wedge_cells(FIVE, -0.4, seed=9, children=200_000)
    fit = fit_random_intercept(random_design(cells))
    fixed = fit_logit(build_design(cells, TERMS))
    assert fit.log_odds == pytest.approx(fixed.log_odds_effect(0.05).estimate, abs=1e-4)
    assert fit.marginal_effect == pytest.approx(fixed.average_marginal_effect(0.05).estimate, abs=1e-5)


# --- inference ---


def test_linear_twin_of_two_las_by_hand() -> None:
    """FV.TRI.2: a goes live in the second of three periods, b in the third; d = a - b is 1, 5, 2 points.

    The effect is what d does in the second period beyond its mean in the others: 5 - 1.5 = 3.5 points.
    """
    means = {("a", 0): 0.11, ("a", 1): 0.16, ("a", 2): 0.14, ("b", 0): 0.10, ("b", 1): 0.11, ("b", 2): 0.12}
    live = {("a", 1), ("a", 2), ("b", 2)}
    cells = pd.DataFrame(
        [(la, str(t), float((la, t) in live), 1000, 1000.0, 1000 * mean) for (la, t), mean in means.items()],
        columns=["la", "period", "live", CELL_COUNT, CELL_WEIGHT, CELL_OUTCOME],
    )
    found = wedge(cells, timing_of(cells, {"a": 1, "b": 2}), LINEAR)
    assert found.effect.estimate == pytest.approx(0.035, abs=1e-12)
    # Without either LA the other has nobody to be compared with.
    assert all(np.isnan(value) for value in found.without_each.values())
    assert np.isnan(found.effect.p_value)
    assert (found.la_count, found.wedge_count, found.period_count, found.orders) == (2, 2, 3, 1)


def test_jackknife_refits_without_each_la() -> None:
    """FV.TRI.2: CR3 of the log odds from fits without each LA, and of the linear twin."""
    cells, timing = wedge_cells(FIVE, -0.5, seed=12, shock_sd=0.1)
    found = wedge(cells, timing, RANDOM_INTERCEPT)
    own = fit_random_intercept(random_design(cells)).log_odds
    without = np.array(
        [fit_random_intercept(random_design(cells[cells["la"] != la])).log_odds for la in found.without_each]
    )
    error = np.sqrt(4 / 5 * np.sum((without - own) ** 2))
    assert found.log_odds[0].standard_error == pytest.approx(error, rel=1e-5)
    assert found.log_odds[0].p_value == pytest.approx(2 * stats.t.sf(abs(own / error), 4), rel=1e-4)
    assert found.effect.p_value == found.log_odds[0].p_value
    linear = wedge(cells, timing, LINEAR)
    for la, value in linear.without_each.items():
        alone = fit_linear(build_design(cells[cells["la"] != la], TERMS)).effect(0.05).estimate
        assert value == pytest.approx(alone, rel=1e-8)


def test_primary_method_and_its_interval_on_both_scales() -> None:
    """FV.TRI.2: CR3 first, the bootstrap and the permutation beside it; one p-value for log odds and points."""
    cells, timing = wedge_cells(FIVE, -0.7, seed=14)
    found = wedge(cells, timing, RANDOM_INTERCEPT)
    assert [e.inference_method for e in found.effects] == [CR3_T, SCORE_BOOTSTRAP, ORDER_PERMUTED]
    assert [e.p_value for e in found.effects] == [e.p_value for e in found.log_odds]
    assert found.effect.ci_low < found.effect.estimate < found.effect.ci_high < 0
    # The ends are marginal effects of models with the effect held at the ends of the log odds.
    held = fit_random_intercept(random_design(cells), held=found.log_odds[0].ci_low)
    assert found.effect.ci_low == pytest.approx(held.marginal_effect, rel=1e-4)
    boot = found.by_method(SCORE_BOOTSTRAP)
    assert boot is not None and boot.ci_low < found.effect.estimate < boot.ci_high
    tidy = found.tidy(100.0, "percentage points")
    assert set(tidy["scale"]) == {"percentage points", "odds ratio"} and len(tidy) == 6
    first = tidy[tidy["is_primary_method"] & (tidy["scale"] == "percentage points")].iloc[0]
    assert first["estimate"] == pytest.approx(100 * found.effect.estimate)
    assert tidy["order_count"].unique().tolist() == [120]


def statistic_of(cells: pd.DataFrame, first: Mapping[str, int]) -> float:
    """The score statistic of an order from a fit of its own, with the effect held at 0."""
    live = [float(p >= first[la]) for la, p in zip(cells["la"], cells["period"].astype(int), strict=True)]
    held = fit_random_intercept(random_design(cells.assign(live=live)), held=0.0)
    column = held.design.treatment_column
    assert column is not None
    return abs(held.scores[:, column].sum()) * np.sqrt(np.linalg.inv(held.information)[column, column])


def test_permuted_orders_are_refitted_orders() -> None:
    """FV.TRI.2: the p-value of four LAs against 24 fits, one per order."""
    cells, timing = wedge_cells(FOUR, -0.3, seed=21)
    fit = fit_random_intercept(random_design(cells))
    found = permute_order(fit, timing.phase, timing.go_live_phase, DRAWS)
    names = [f"L{i}" for i in range(4)]
    real = statistic_of(cells, dict(zip(names, FOUR, strict=True)))
    all_of_them = [statistic_of(cells, dict(zip(names, order, strict=True))) for order in permutations(FOUR)]
    assert found.is_enumerated and found.draws == 23
    assert found.p_value == np.mean([value >= real * (1 - 1e-6) for value in all_of_them])


def test_orders_are_exchanged_within_strata_only() -> None:
    """FV.TRI.2: strata of two and three LAs have 2! x 3! orders; LAs that go live on one day give no new order."""
    strata = {"L0": "small", "L1": "small", "L2": "large", "L3": "large", "L4": "large"}
    cells, timing = wedge_cells(FIVE, -0.5, seed=5)
    for model in (RANDOM_INTERCEPT, LINEAR):
        found = wedge(cells, timing, model, strata)
        assert found.orders == 11 and found.smallest_p == pytest.approx(1 / 12)
        assert found.effects[-1].p_value >= 1 / 12
        assert any("cannot reject" in note for note in found.notes)
    others, is_enumerated = other_assignments(np.array([1, 1, 2, 3]), None, 999, 0)
    assert is_enumerated and len(others) == 11
    others, _ = other_assignments(np.array([1, 2, 1, 3]), ["a", "a", "b", "b"], 999, 0)
    assert sorted(map(tuple, others.tolist())) == [(1, 2, 3, 1), (2, 1, 1, 3), (2, 1, 3, 1)]


def test_many_orders_are_drawn_within_strata() -> None:
    """FV.EST.3: more orders than draws; each drawn one keeps the go-lives of its stratum."""
    real = np.arange(1, 9)
    strata = ["a"] * 5 + ["b"] * 3
    drawn, is_enumerated = other_assignments(real, strata, 200, 3)
    assert not is_enumerated and drawn.shape == (200, 8)
    assert (np.sort(drawn[:, :5], axis=1) == real[:5]).all() and (np.sort(drawn[:, 5:], axis=1) == real[5:]).all()


def test_what_cannot_be_estimated_says_why() -> None:
    """FV.TRI.2: NaN with a note, never a number."""
    cells, timing = wedge_cells((4, 4, 4), -0.5, seed=1)
    for model in (RANDOM_INTERCEPT, LINEAR):
        found = wedge(cells, timing, model)
        assert np.isnan(found.effect.estimate) and any("not identified" in note for note in found.notes)
        assert np.isnan(found.tidy()["p_value"]).all()
    cells, timing = wedge_cells(FOUR, -0.5, seed=1)
    none = cells.assign(**{CELL_OUTCOME: np.where(cells["live"] == 1, 0.0, cells[CELL_OUTCOME])})
    found = wedge(none, timing, RANDOM_INTERCEPT)
    assert np.isnan(found.effect.estimate) and any("arm" in note for note in found.notes)
    with pytest.raises(ValueError, match="known are"):
        wedge(cells, timing, "probit")
    with pytest.raises(ValueError, match="timing of"):
        wedge(cells.iloc[1:], timing, LINEAR)


def test_what_few_las_can_support_is_said() -> None:
    """FV.TRI.2: four LAs reach 0.042, three 0.167."""
    four, three = what_few_can_support(4, 24, 0.05), what_few_can_support(3, 6, 0.05)
    assert "4 LAs" in four and "below 0.042" in four and "whatever happened" not in four
    assert "below 0.167" in three and "cannot reject at 5% whatever happened" in three


@pytest.mark.parametrize("first", [FOUR, FIVE], ids=["four", "five"])
@pytest.mark.parametrize(("effect", "shock_sd"), [(-0.5, 0.0), (0.0, 0.1)], ids=["effect", "null_with_shocks"])
def test_planted_effect_is_recovered_with_stated_coverage(
    first: tuple[int, ...], effect: float, shock_sd: float
) -> None:
    """FV.TRI.2: 60 wedges in random order. CR3 covers in 97 to 99 of 100, permutation rejects a true null in 3 to 5.

    Measured with 300 wedges each (docs/methods/stepped_wedge.md); the bounds here allow for 60.
    """
    draws, covered, found, rejected = 60, 0, [], 0
    for seed in range(draws):
        order = tuple(np.random.default_rng(1000 + seed).permutation(first).tolist())
        cells, timing = wedge_cells(order, effect, seed=seed, shock_sd=shock_sd, children=600)
        fit = fit_random_intercept(random_design(cells))
        gaps = np.array(list(log_odds_without_each(cells, TERMS, fit).values())) - fit.log_odds
        error = np.sqrt((len(first) - 1) / len(first) * np.sum(gaps**2))
        covered += abs(fit.log_odds - effect) <= stats.t.ppf(0.975, len(first) - 1) * error
        found.append(fit.log_odds)
        rejected += permute_order(fit, timing.phase, timing.go_live_phase, DRAWS).p_value <= 0.05
    spread = float(np.std(found)) / np.sqrt(draws)
    assert abs(np.mean(found) - effect) < 3 * spread
    assert covered >= 0.9 * draws
    assert rejected <= 7 if effect == 0 else rejected >= 0.6 * draws


# --- on marts ---

PRIMARY = Outcome("became_looked_after", "binary", True)
DAYS = Outcome("plan_days", "days", False)


@pytest.fixture(scope="module")
def marts() -> Marts:
    return wedge_marts()


def run_on(marts: Marts, folder: Path, outcome: Outcome = PRIMARY, programme: str = "fv") -> SteppedWedgeResults:
    with open_marts(marts.write(folder / "marts.duckdb")) as connection:
        return run_stepped_wedge(connection, programme, outcome, read_settings(connection))


def test_run_uses_the_treatment_las_alone(marts: Marts, tmp_path: Path) -> None:
    """FV.TRI.2: five LAs, no comparator and no trailblazer; wedges by go-live row; a planted effect within 3 errors."""
    found = run_on(marts, tmp_path)
    assert found.wedges["la_id"].tolist() == ["T1", "T2", "T3", "T4", "T5"]
    assert found.wedges["wedge"].tolist() == [1, 2, 3, 4, 5]
    assert (found.wedges["quarters_before"] > 0).all() and (found.wedges["quarters_after"] > 0).all()
    children = marts.tables["fct_child_outcomes"]
    kept = children[
        children["la_id"].str.startswith("T")
        & children["is_in_sample__became_looked_after"]
        & children["is_fully_observed__became_looked_after"]
    ]
    assert found.wedges["children_before"].sum() == (~kept["is_treated"]).sum()
    assert found.wedges["children_after"].sum() == kept["is_treated"].sum()
    primary = found.primary
    assert primary.model == RANDOM_INTERCEPT and primary.orders == 119 and primary.la_count == 5
    assert abs(100 * primary.effect.estimate - marts.true_effect_pct) < 3 * 100 * primary.effect.standard_error
    assert set(found.estimates["covariates"]) == {"children's covariates", "none"}
    assert found.estimates["is_primary"].sum() == 6
    assert set(found.checks["check"]) == {"lead", "constant_effect"}
    for name, frame in found.tables().items():
        assert list(frame.columns) == list(STEPPED_WEDGE_TABLES[name])
        assert (frame["clause"] == "FV.TRI.2").all()
    assert any("5 LAs" in sentence for sentence in found.sentences)


def test_linear_twin_on_marts_equals_least_squares_child_by_child(marts: Marts, tmp_path: Path) -> None:
    """FV.TRI.2: LA and quarter indicators and live, on rows of children, without the project's design."""
    found = run_on(marts, tmp_path)
    children = marts.tables["fct_child_outcomes"]
    kept = children[
        children["la_id"].str.startswith("T")
        & children["is_in_sample__became_looked_after"]
        & children["is_fully_observed__became_looked_after"]
    ]
    quarter = kept["index_referral_date"].dt.to_period("Q").astype(str)
    x = np.column_stack(
        [
            kept["is_treated"].astype(float),
            pd.get_dummies(kept["la_id"]).to_numpy(float),
            pd.get_dummies(quarter).to_numpy(float)[:, 1:],
        ]
    )
    expected = np.linalg.lstsq(x, kept["has_become_looked_after"].to_numpy(float), rcond=None)[0][0]
    bare = found.estimates[(found.estimates["model"] == LINEAR) & (found.estimates["covariates"] == "none")]
    np.testing.assert_allclose(bare["estimate"], 100 * expected, rtol=1e-8)


def test_four_las_and_strata(marts: Marts, tmp_path: Path) -> None:
    """FV.TRI.2: a programme of four LAs, dates drawn within two strata: four orders, and the sentence says so."""
    roles = marts.tables["dim_programme_local_authorities"].copy()
    roles.loc[roles["la_id"] == "T5", ["role", "go_live_date"]] = ["treatment_withdrawn", None]
    drawn = marts.tables["dim_randomisation"]
    drawn = drawn[drawn["la_id"].isin(GO_LIVE_FOUR)].assign(stratum=["a", "a", "b", "b"])
    four = marts.with_table("dim_programme_local_authorities", roles).with_table("dim_randomisation", drawn)
    found = run_on(four, tmp_path)
    assert found.primary.la_count == 4 and found.primary.orders == 3
    assert found.primary.effects[-1].p_value >= 0.25
    assert any("4 orders" in sentence and "whatever happened" in sentence for sentence in found.sentences)
    assert np.isfinite(found.primary.effect.p_value)


def test_days_have_the_linear_twin_alone(marts: Marts, tmp_path: Path) -> None:
    """FV.TRI.2, FV.EST.6: no logit of days."""
    found = run_on(marts, tmp_path, DAYS)
    assert set(found.estimates["model"]) == {LINEAR} and found.scale == "days"
    assert abs(found.primary.effect.estimate + 18) < 4 * found.primary.effect.standard_error


def test_what_is_missing_is_named(marts: Marts, tmp_path: Path) -> None:
    """FV.TRI.2: programme, mart, setting, go-live."""
    with pytest.raises(SfpcError, match="no programme 'other'"):
        run_on(marts, tmp_path, programme="other")
    without = Marts({k: v for k, v in marts.tables.items() if k != "dim_randomisation"}, 0.0)
    with pytest.raises(SfpcError, match="no dim_randomisation"):
        run_on(without, tmp_path)
    settings = marts.tables["dim_evaluation_settings"]
    fewer = settings[settings["setting"] != "stepped_wedge_lead_months"]
    with pytest.raises(SfpcError, match="no row for 'stepped_wedge_lead_months'"):
        run_on(marts.with_table("dim_evaluation_settings", fewer), tmp_path)
    wrong = settings.assign(value=settings["value"].where(settings["setting"] != "stepped_wedge_lead_months", "six"))
    with pytest.raises(SfpcError, match="whole number of months"):
        run_on(marts.with_table("dim_evaluation_settings", wrong), tmp_path)
    roles = marts.tables["dim_programme_local_authorities"].copy()
    roles.loc[roles["la_id"] == "T2", "go_live_date"] = None
    with pytest.raises(SfpcError, match="no go_live_date for the treatment LA T2"):
        run_on(marts.with_table("dim_programme_local_authorities", roles), tmp_path)
    one = marts.tables["dim_programme_local_authorities"].copy()
    one.loc[one["role"].eq("treatment") & one["la_id"].ne("T1"), ["role", "go_live_date"]] = ["comparison", None]
    with pytest.raises(SfpcError, match="two treatment LAs or more; found 1"):
        run_on(marts.with_table("dim_programme_local_authorities", one), tmp_path)


def test_seeds_name_the_treatment_las_of_every_programme() -> None:
    """FV.TRI.2: a row of the randomisation for each, and no other."""
    folder = Path(__file__).resolve().parents[2] / "seeds/programmes"
    listed = duckdb.sql(f"select programme_id, la_code from read_csv('{folder}/randomisation.csv', all_varchar=true)")
    treated = duckdb.sql(
        f"select programme_id, la_code from read_csv('{folder}/programme_local_authorities.csv', all_varchar=true)"
        " where role = 'treatment'"
    )
    assert sorted(listed.fetchall()) == sorted(treated.fetchall())


def test_fit_has_no_effect_where_nothing_converged() -> None:
    """FV.TRI.2: NaN, not the last step of a search."""
    cells, _ = wedge_cells(FOUR, -0.5, seed=1)
    fit = fit_random_intercept(random_design(cells))
    lost = RandomInterceptFit(**{**vars(fit), "is_converged": False})
    assert np.isnan(lost.log_odds) and np.isfinite(fit.log_odds) and fit.model_error > 0
    with pytest.raises(ValueError, match="cannot be held"):
        fit_random_intercept(random_design(cells.assign(live=0.0)), held=0.0)
