"""Synthetic DiD (FV.SENS.6): by hand, an exact quadratic programme, the library's class, placebos, planted effects."""

from __future__ import annotations

import warnings

import diff_diff
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from sfpc.estimation.staggered import Panel
from sfpc.estimation.synthetic_control import PLACEBO, synthetic_did


def panel_of(means: np.ndarray, first: np.ndarray) -> Panel:
    return Panel(tuple(f"LA{i:02d}" for i in range(len(means))), means, first, 3, ())


def factors(
    seed: int,
    live: tuple[int, ...] = (7, 8, 9, 11),
    groups: int = 24,
    periods: int = 16,
    effect: float = -2.0,
    noise: float = 0.3,
) -> Panel:
    """LAs that answer differently to two common movements; those that go live answer more than the others."""
    generator = np.random.default_rng(seed)
    first = np.zeros(groups, dtype=np.int64)
    first[: len(live)] = live
    loading = generator.normal(size=(groups, 2)) + 0.8 * (first > 0)[:, None]
    movement = 0.5 * np.cumsum(generator.normal(size=(2, periods)), axis=1)
    is_live = (first[:, None] > 0) & (np.arange(1, periods + 1)[None] >= first[:, None])
    means = generator.normal(0, 3, size=(groups, 1)) + loading @ movement + effect * is_live
    return panel_of(means + noise * generator.normal(size=means.shape), first)


def test_parallel_las_by_hand() -> None:
    """FV.SENS.6: one treated LA, comparison LAs all parallel: any weights give the mean effect of its live periods."""
    common = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    means = np.vstack([common + shift for shift in (10.0, 0.0, 1.0, -2.0)])
    means[0, 4:] += [-1.0, -3.0]
    found = synthetic_did(panel_of(means, np.array([5, 0, 0, 0])), 0.05, 20)
    assert found.methods[0].estimate == pytest.approx(-2.0, abs=1e-9)
    assert found.cohorts[0].misfit == pytest.approx(0.0, abs=1e-9) and found.cohorts[0].las == ("LA00",)
    assert sum(found.cohorts[0].la_weights.values()) == pytest.approx(1.0)
    assert np.isnan(found.methods[1].p_value) and any("no jackknife" in note for note in found.notes)


def test_cohorts_count_by_las_and_live_periods() -> None:
    """FV.SENS.6: two LAs live for four periods with -1, one for two with -4: (8 * -1 + 2 * -4) / 10."""
    generator = np.random.default_rng(1)
    means = generator.normal(size=(9, 1)) + generator.normal(size=(1, 10))
    first = np.array([7, 7, 9, 0, 0, 0, 0, 0, 0])
    means[:2, 6:] -= 1.0
    means[2, 8:] -= 4.0
    found = synthetic_did(panel_of(means, first), 0.05, 20)
    assert [cohort.estimate for cohort in found.cohorts] == pytest.approx([-1.0, -4.0], abs=1e-8)
    assert found.methods[0].estimate == pytest.approx(-1.6, abs=1e-8)


def exact(treated: np.ndarray, control: np.ndarray, before: int) -> tuple[float, np.ndarray]:
    """Algorithm 1 with both sets of weights as quadratic programmes, on the outcome as it is."""
    noise = np.std(np.diff(control[:, :before], axis=1), ddof=1)
    live = treated.shape[1] - before

    def solve(a: np.ndarray, target: np.ndarray, penalty: float) -> np.ndarray:
        a, target = a - a.mean(axis=0), target - target.mean()
        count = a.shape[1]
        ridge = penalty**2 * len(target)
        found = minimize(
            lambda w: np.sum((a @ w - target) ** 2) + ridge * w @ w,
            np.full(count, 1 / count),
            jac=lambda w: 2 * a.T @ (a @ w - target) + 2 * ridge * w,
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 5000},
        )
        return np.asarray(found.x)

    own = treated.mean(axis=0)
    las = solve(control[:, :before].T, own[:before], (len(treated) * live) ** 0.25 * noise)
    periods = solve(control[:, :before], control[:, before:].mean(axis=1), 1e-6 * noise)
    gap = own - las @ control
    return float(gap[before:].mean() - periods @ gap[:before]), las


def test_cohorts_equal_an_exact_quadratic_programme() -> None:
    """FV.SENS.6: estimates to a thousandth of the noise, weights to a thousandth (the library stops there)."""
    panel = factors(2)
    found = synthetic_did(panel, 0.05, 20)
    control = panel.means[panel.first_period == 0]
    for cohort in found.cohorts:
        treated = panel.means[panel.first_period == cohort.first_period]
        estimate, weights = exact(treated, control, cohort.first_period - 1)
        assert cohort.estimate == pytest.approx(estimate, abs=1e-3)
        assert list(cohort.la_weights.values()) == pytest.approx(weights, abs=2e-3)


def test_a_cohort_equals_the_library_class() -> None:
    """FV.SENS.6: diff-diff's own estimator on the LAs of one cohort and the comparison LAs."""
    panel = factors(3, live=(7, 7, 7))
    rows = panel.long().assign(treated=lambda d: (d["first_period"] > 0).astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = diff_diff.SyntheticDiD(variance_method="jackknife", seed=1).fit(
            rows, outcome="mean", treatment="treated", unit="la", time="period", post_periods=list(range(7, 17))
        )
    assert synthetic_did(panel, 0.05, 20).methods[0].estimate == pytest.approx(library.att, abs=1e-10)


def test_planted_effect_is_found_where_plain_differences_are_off() -> None:
    """FV.SENS.6: LAs that move more than the others; -2 within three errors over 30 panels, and nearer than one DiD."""
    estimates, plain = [], []
    for seed in range(30):
        panel = factors(50 + seed)
        estimates.append(synthetic_did(panel, 0.05, 0).methods[1].estimate)
        control = panel.means[panel.first_period == 0].mean(axis=0)
        gaps = [
            (panel.means[i, f - 1 :] - control[f - 1 :]).mean() - (panel.means[i, : f - 1] - control[: f - 1]).mean()
            for i, f in enumerate(panel.first_period[:4])
        ]
        plain.append(np.average(gaps, weights=17 - panel.first_period[:4]))
    assert np.mean(estimates) == pytest.approx(-2.0, abs=3 * np.std(estimates) / np.sqrt(30))
    assert np.mean(np.square(np.array(estimates) + 2)) < 0.5 * np.mean(np.square(np.array(plain) + 2))


def test_placebos_are_the_same_estimator_on_comparison_las() -> None:
    """FV.SENS.6: error, interval and p-value recomputed from panels without the treated LAs."""
    panel = factors(4, live=(7, 9), groups=10)
    found = synthetic_did(panel, 0.05, 30, seed=9)
    control = panel.means[2:]
    generator = np.random.default_rng(9)
    estimates = []
    for _ in range(30):
        first = np.zeros(8, dtype=np.int64)
        first[generator.permutation(8)[:2]] = [7, 9]
        estimates.append(synthetic_did(panel_of(control, first), 0.05, 0).methods[0].estimate)
    placebo = found.methods[0]
    assert placebo.inference_method == PLACEBO and found.placebo_count == 30
    assert placebo.standard_error == pytest.approx(np.std(estimates))
    reached = np.sum(np.abs(estimates) >= abs(placebo.estimate))
    assert placebo.p_value == pytest.approx((1 + reached) / 31)
    assert placebo.ci_high - placebo.estimate == pytest.approx(1.959964 * placebo.standard_error, rel=1e-6)
    again = synthetic_did(panel, 0.05, 30, seed=9)
    assert repr(again.methods) == repr(found.methods)


def test_error_is_the_jackknife_over_las() -> None:
    """FV.SENS.6: fits without each LA by hand."""
    panel = factors(5, groups=12)
    found = synthetic_did(panel, 0.05, 0)
    without = [synthetic_did(panel.without(i), 0.05, 0).methods[0].estimate for i in range(12)]
    error = np.sqrt(11 / 12 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert found.methods[1].standard_error == pytest.approx(error, rel=1e-9)
    assert found.methods[1].degrees_of_freedom == 11


def test_what_cannot_be_estimated_is_said() -> None:
    """FV.SENS.6: a go-live with one period before it, too few comparison LAs, progress."""
    panel = factors(6, live=(2, 8, 9), groups=12)
    calls: list[tuple[int, int]] = []
    found = synthetic_did(panel, 0.05, 10, progress=lambda done, wanted: calls.append((done, wanted)))
    assert np.isnan(found.cohorts[0].estimate) and "period 2" in found.notes[0]
    assert np.isfinite(found.methods[0].estimate) and calls[-1] == (10, 10)
    assert "only 10 placebos" in found.notes[1]
    assert set(found.tidy_weights()["first_period"]) == {8, 9}
    few = synthetic_did(factors(6, live=(7, 8, 9), groups=6), 0.05, 10)
    assert "no placebo: 3 comparison LAs for 3 treated ones" in few.notes[0] and np.isnan(few.methods[0].p_value)
    early = synthetic_did(factors(6, live=(2,), groups=6), 0.05, 10)
    assert np.isnan(early.methods[0].estimate) and "no cohort can be estimated" in early.notes
    assert isinstance(early.tidy_weights(), pd.DataFrame) and early.tidy_weights().empty
