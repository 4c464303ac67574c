"""Bounds of Rambachan and Roth (FV.SENS.6): R's HonestDiD on its own example, linear programmes, coverage, words."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import combinations

import diff_diff
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

from sfpc.estimation.bounds import RELATIVE, SMOOTH, _container, _Relative, bounds_of, trend_bounds
from sfpc.estimation.event_study import EventPeriod, EventStudy
from sfpc.estimation.joint import JointTest

# Benzarti and Carloni (2019) as in the data of R's HonestDiD (BCdata_EventStudy): four leads, four lags, rounded to ten
# digits.
PUBLISHED = np.array(
    [
        0.006696351804,
        0.02934503369,
        -0.006472972222,
        0.0730149895,
        0.1959611177,
        0.3120639026,
        0.2395415455,
        0.1260425001,
    ]
)
UPPER = [
    [8.428358124e-4, 4.768686777e-4, 2.618051076e-4, 2.354220342e-4, 1.676371467e-4, 1.128707663e-4, 1.992816215e-5,
     -1.368265366e-4],
    [6.425420288e-4, 3.987425007e-4, 2.435515198e-4, 2.201960306e-4, 1.804591157e-4, 3.84376508e-5, -2.960421989e-5],
    [5.229949602e-4, 2.11768609e-4, 1.840722252e-4, 1.45852784e-4, 7.005197403e-5, 5.952994979e-5],
    [3.089595411e-4, 1.197866077e-4, 1.334081317e-4, 1.016335009e-4, 1.079051726e-4],
    [3.59970436e-4, 2.478818642e-4, 1.749579242e-4, 1.654256921e-4],
    [4.263949813e-4, 2.171437809e-4, 2.892747871e-4],
    [4.886697861e-4, 3.805322049e-4],
    [7.61739444e-4],
]  # fmt: skip
# R's HonestDiD on it, effect of the first period: createSensitivityResults_relativeMagnitudes (C-LF, grid of 0.00076)
# by Mbar, and createSensitivityResults (FLCI) by M. The upper end at Mbar 2 is where R's grid ends, not an end.
R_RELATIVE = {
    0.5: (0.11812948578, 0.27158386603),
    1.0: (0.06723125075, 0.31868372531),
    1.5: (0.01329431512, 0.36958196034),
    2.0: (-0.04216197081, None),
}
R_SMOOTH = {
    0.0: (0.131411316, 0.2161696482),
    0.01: (0.15496526708, 0.27038453033),
    0.02: (0.17730108790, 0.31595646819),
    0.03: (0.18940446443, 0.34854775004),
    0.1: (0.1194440001, 0.4185082143),
    0.2: (0.01944400015, 0.5185082143),
}
R_GRID = 40 * np.sqrt(3.59970436e-4) / 999
FIRST = np.array([1.0, 0.0, 0.0, 0.0])


def published_covariance() -> np.ndarray:
    matrix = np.zeros((8, 8))
    for row, values in enumerate(UPPER):
        matrix[row, row:] = values
    return matrix + np.triu(matrix, 1).T


def test_intervals_equal_those_of_r() -> None:
    """FV.SENS.6: relative magnitudes to R's grid and simulation, smoothness to the flatness of its optimum."""
    found = trend_bounds(PUBLISHED, published_covariance(), 4, 0.05, tuple(R_RELATIVE), tuple(R_SMOOTH), FIRST)
    assert found.estimate == PUBLISHED[4] and found.standard_error == pytest.approx(0.0189729, abs=1e-7)
    for bound in found.bounds:
        low, high = (R_RELATIVE if bound.restriction == RELATIVE else R_SMOOTH)[bound.limit]
        tolerance = 1.5 * R_GRID if bound.restriction == RELATIVE else 1e-3
        assert bound.ci_low == pytest.approx(low, abs=tolerance), bound
        if high is not None:
            assert bound.ci_high == pytest.approx(high, abs=tolerance), bound
    # R: excluded at 1.5, included at 2; smoothness: excluded at 0.2, by 0.0194, and one more unit of M costs one.
    assert found.breakdown[RELATIVE] == pytest.approx(1.5 + 0.5 * 0.0133 / (0.0133 + 0.0422), abs=0.02)
    assert found.breakdown[SMOOTH] == pytest.approx(0.2 + 0.0194, abs=0.001)


def test_sets_by_hand() -> None:
    """FV.SENS.6: steps before go-live 1, -3 and 2; the second lag is two steps away, so twice the reach."""
    leads, lags = [0.0, 1.0, -2.0], [5.0, 7.0]
    covariance = np.eye(5) * 0.01
    for target, estimate, reach in ((FIRST[:2], 5.0, 3.0), (np.array([0.0, 1.0]), 7.0, 6.0), (None, 6.0, 4.5)):
        found = trend_bounds(np.array(leads + lags), covariance, 3, 0.05, (0.5, 2.0), (), target)
        for bound in found.bounds:
            expected = (estimate - bound.limit * reach, estimate + bound.limit * reach)
            assert (bound.set_low, bound.set_high) == pytest.approx(expected, abs=1e-9)
            assert bound.ci_low < bound.set_low and bound.ci_high > bound.set_high


def test_no_violation_gives_the_usual_interval_nearly() -> None:
    """FV.SENS.6: at 0 the hybrid test is the two-sided normal one, up to its two steps; t where degrees are given."""
    found = trend_bounds(PUBLISHED, published_covariance(), 4, 0.05, (0.0,), (), FIRST)
    reach = stats.norm.ppf(0.975) * found.standard_error
    assert found.bounds[0].ci_low == pytest.approx(found.estimate - reach, abs=0.03 * reach)
    few = trend_bounds(PUBLISHED, published_covariance(), 4, 0.05, (0.0,), (), FIRST, freedom=9.0)
    wider = stats.t.ppf(0.975, 9) * found.standard_error
    assert few.bounds[0].ci_high == pytest.approx(few.estimate + wider, abs=0.03 * wider)
    assert few.standard_error == pytest.approx(found.standard_error) and "9 degrees of freedom" in few.notes[0]


def test_eliminated_moments_equal_the_linear_programme() -> None:
    """FV.SENS.6: the largest moment equals min eta over the effects of the other periods, as in Andrews and others."""
    covariance = published_covariance()
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    relative = _Relative(PUBLISHED, covariance, 4, weights, 0.05)
    limit = 0.7
    before, after = np.diff(np.vstack([np.eye(8)[:4], np.zeros(8)]), axis=0), np.eye(8)[4:]
    after = np.diff(np.vstack([np.zeros(8), after]), axis=0)
    tests = iter(relative._tests(limit))
    for step in before:
        for sign in (1.0, -1.0):
            test = next(tests)
            rows = np.vstack([after - limit * sign * step, -after - limit * sign * step])
            deviation = np.sqrt(np.einsum("ri,ij,rj->r", rows, covariance, rows))
            for effect in (0.05, 0.22, 0.6):
                # Variables: eta and the lags' effects tau; weights' tau = effect, rows (b - tau) <= deviation eta.
                found = linprog(
                    np.array([1.0, 0, 0, 0, 0]),
                    A_ub=np.column_stack([-deviation, -rows[:, 4:]]),
                    b_ub=-rows @ PUBLISHED,
                    A_eq=np.concatenate([[0.0], weights])[None, :],
                    b_eq=[effect],
                    bounds=(None, None),
                )
                moments = test._value + effect * test._slope
                assert moments.max() == pytest.approx(found.fun, abs=1e-7)


def test_conditional_step_is_the_truncated_normal() -> None:
    """FV.SENS.6: with two moments the bounds of the largest are found by hand; the decision follows from them."""
    relative = _Relative(PUBLISHED, published_covariance(), 4, FIRST, 0.05)
    test = relative._tests(1.0)[0]
    for effect in np.linspace(-0.3, 0.7, 41):
        moments = test._value + effect * test._slope
        top = int(np.argmax(moments))
        low, high = -np.inf, test._first
        for other in range(len(moments)):
            share = test._covariance[other, top] / test._covariance[top, top]
            rest = moments[other] - share * moments[top]
            if share < 1 - 1e-12:
                low = max(low, rest / (1 - share))
            elif share > 1 + 1e-12:
                high = min(high, rest / (1 - share))
        deviation = np.sqrt(test._covariance[top, top])
        level = (0.05 - 0.005) / (1 - 0.005)
        truncated = stats.truncnorm(low / deviation, high / deviation)
        rejected = moments[top] > test._first or moments[top] / deviation > max(0.0, truncated.ppf(1 - level))
        assert bool(test.accepts(np.array([effect]))[0]) is not rejected


def test_library_sets_are_used_and_its_narrower_interval_is_not() -> None:
    """FV.SENS.6: the library's interval for relative magnitudes takes the largest step before go-live as known."""
    found = trend_bounds(PUBLISHED, published_covariance(), 4, 0.05, (1.0,), (), FIRST).bounds[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = diff_diff.HonestDiD(method="relative_magnitude", l_vec=FIRST).fit(
            _container(PUBLISHED, published_covariance(), 4), M=1.0
        )
    assert (found.set_low, found.set_high) == (library.lb, library.ub)
    assert found.ci_low < library.ci_lb - 0.01 and abs(library.ci_lb - R_RELATIVE[1.0][0]) > 0.01


def test_interval_covers_an_effect_under_the_restriction() -> None:
    """FV.SENS.6: trends that part after go-live as much as allowed; the true effect is held 95 times in 100 or more."""
    generator = np.random.default_rng(8)
    # A path whose steps before go-live are 1 at most and whose step after it is 1: the effect of 0 looks like 1.
    truth = np.array([1.0, 0.0, 1.0])
    root = 0.2 * np.linalg.cholesky(0.5 * np.eye(3) + 0.5)
    covariance = root @ root.T
    draws = 300
    held = 0
    for _ in range(draws):
        drawn = truth + root @ generator.standard_normal(3)
        held += _Relative(drawn, covariance, 2, np.ones(1), 0.05).accepts(0.0, 1.0)
    assert held / draws >= 0.92


def test_ends_are_the_last_effects_not_rejected() -> None:
    """FV.SENS.6: just inside accepted, just outside not; intervals grow with the limit."""
    relative = _Relative(PUBLISHED, published_covariance(), 4, np.full(4, 0.25), 0.05)
    intervals = [relative.interval(limit) for limit in (0.0, 0.5, 1.0, 2.0)]
    for limit, (low, high) in zip((0.0, 0.5, 1.0, 2.0), intervals, strict=True):
        assert relative.accepts(low + 1e-4, limit) and not relative.accepts(low - 1e-4, limit)
        assert relative.accepts(high - 1e-4, limit) and not relative.accepts(high + 1e-4, limit)
    for inner, outer in combinations(intervals, 2):
        assert outer[0] < inner[0] and outer[1] > inner[1]


def study(identified: tuple[int, ...], open_ended: tuple[int, ...] = ()) -> EventStudy:
    periods = tuple(EventPeriod(k, k in open_ended, (), 10, 5) for k in identified)
    count = len(identified)
    coefficients = np.where(np.array(identified) >= 0, 10.0, 0.1)
    covariance = np.eye(count) * 0.04 + 0.04
    tests = (JointTest(1.0, 1, 9.0, 0.5, "x"),)
    return EventStudy(periods, identified, coefficients, covariance, covariance, tests, 10, ())


def test_open_ends_and_what_lies_beyond_a_gap_are_left_out() -> None:
    """FV.SENS.6: the first and last bin are not quarters that follow on the others."""
    found = bounds_of(study((-4, -3, -2, 0, 1, 3, 4), (-4, 4)), 0.05, (1.0,), ())
    assert found.target == "mean effect over quarters 0 to 1 since go-live; leads -3 to -2"
    assert found.estimate == 10.0 and "9 degrees of freedom" in found.notes[1]
    wider = replace(study((-2, 0)), covariance=np.eye(2) * 0.01)
    narrow = replace(wider, covariance_cr3=np.full((2, 2), np.nan))
    by_cr3, by_cr1 = bounds_of(wider, 0.05, (1.0,), ()), bounds_of(narrow, 0.05, (1.0,), ())
    assert "CR3" in by_cr3.notes[0] and "CR1, since some LA" in by_cr1.notes[0]
    assert by_cr3.bounds[0].ci_low < by_cr1.bounds[0].ci_low
    assert found.tidy()["restriction"].tolist() == [RELATIVE] and set(found.breakdown) == {RELATIVE}


def test_undefined_bounds_say_why() -> None:
    """FV.SENS.6: no lead, no lag, no covariance."""
    assert "before go-live" in bounds_of(study((0, 1)), 0.05).notes[0]
    assert "before go-live" in bounds_of(study((-3, 0, 1)), 0.05).notes[0]
    none = bounds_of(study((-3, -2)), 0.05)
    assert "after go-live" in none.notes[0] and np.isnan(none.breakdown[RELATIVE]) and none.tidy().empty
    blank = study((-2, 0))
    nothing = np.full((2, 2), np.nan)
    unknown = bounds_of(replace(blank, covariance=nothing, covariance_cr3=nothing), 0.05)
    assert unknown.notes[-1] == "no bounds: the covariance of the event study is not defined"
    with pytest.raises(ValueError, match="0 leads and 1 lags"):
        trend_bounds(np.ones(1), np.eye(1), 0, 0.05)


def test_an_effect_that_is_not_significant_breaks_down_at_once() -> None:
    """FV.SENS.6: 0 where parallel trends do not suffice either; infinite where nothing tried is enough."""
    weak = trend_bounds(np.array([0.1, 0.0, 0.5]), np.eye(3), 2, 0.05, (1.0,), (0.0,))
    assert weak.breakdown == {RELATIVE: 0.0, SMOOTH: 0.0}
    strong = trend_bounds(np.array([0.0, 0.0, 500.0]), np.eye(3) * 0.01, 2, 0.05, (1.0,), (0.0,))
    assert strong.breakdown == {RELATIVE: np.inf, SMOOTH: np.inf}
