"""Conditional logit (FV.EST.4): by hand, R's clogit (B28), statsmodels, enumeration, the bias it is there to avoid."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit
from statsmodels.discrete.conditional_models import ConditionalLogit

from sfpc.estimation import conditional
from sfpc.estimation.conditional import _Strata, fit_conditional
from test_estimation import REFERENCE


def numbers(name: str) -> Any:
    entries = json.loads((REFERENCE / "expected/acceptance.json").read_text())
    return next(entry["expected"] for entry in entries if entry["id"] == name)


def check_mroz() -> None:
    """B28: survival::clogit, exact, 753 women in six age bands of up to 162."""
    data, expected = pd.read_csv(REFERENCE / "data/mroz.csv"), numbers("models.clogit_mroz")
    names = tuple(expected["coef"])
    band = np.digitize(data["age"], [34.5, 39.5, 44.5, 49.5, 54.5])
    x, event = data[list(names)].to_numpy(dtype=np.float64), data["inlf"].to_numpy(dtype=np.float64)
    found = fit_conditional(x, event, band, np.arange(len(data)) % 10, names)
    assert found.is_converged and found.names == names
    assert found.coefficients == pytest.approx(list(expected["coef"].values()), abs=1e-6)
    assert np.sqrt(np.diag(found.model_covariance)) == pytest.approx(list(expected["se"].values()), abs=1e-6)
    assert (found.null_log_likelihood, found.log_likelihood) == pytest.approx(expected["loglik"], abs=1e-8)


CHECKS: dict[str, Callable[[], None]] = {}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS = {"B28": check_mroz}


@pytest.mark.parametrize("name", CHECKS or ["none"])
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.EST.4: numbers of R's survival."""
    if name in CHECKS:
        CHECKS[name]()
    else:
        record_property("not_checked", f"B28: no {REFERENCE}")


def strata(
    seed: int, count: int = 400, sizes: tuple[int, ...] = (2, 3, 4, 6), effect: float = -0.7
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Children of small strata with effects of their own: x (age, treated), event, stratum, LA (across strata)."""
    generator = np.random.default_rng(seed)
    stratum = np.repeat(np.arange(count), generator.choice(sizes, count))
    own = generator.normal(0, 1.5, count)[stratum]
    age, treated = generator.normal(size=len(stratum)), generator.integers(0, 2, len(stratum)).astype(float)
    event = (generator.random(len(stratum)) < expit(own + 0.5 * age + effect * treated)).astype(float)
    return np.column_stack([age, treated]), event, stratum, generator.integers(0, 10, len(stratum))


def test_pairs_by_hand() -> None:
    """FV.EST.4: one treated and one untreated child a pair: the odds ratio is the ratio of discordant pairs."""
    x = np.tile([1.0, 0.0], 20)[:, None]
    event = np.array([1, 0] * 9 + [0, 1] * 3 + [1, 1] * 4 + [0, 0] * 4, dtype=np.float64)
    found = fit_conditional(x, event, np.repeat(np.arange(20), 2), np.tile([0, 1], 20), ("treated",))
    assert found.coefficients[0] == pytest.approx(np.log(9 / 3), abs=1e-8)
    assert np.sqrt(found.model_covariance[0, 0]) == pytest.approx(np.sqrt(1 / 9 + 1 / 3), abs=1e-8)
    assert found.null_log_likelihood == pytest.approx(12 * np.log(0.5))
    assert (found.strata_count, found.children_count, found.event_count) == (12, 24, 12)
    assert found.dropped == {"one child": (0, 0, 0), "no event": (4, 8, 0), "only events": (4, 8, 8)}
    assert found.notes == (
        "4 strata with 8 children left out: no event",
        "4 strata with 8 children left out: only events",
    )


def test_equals_statsmodels() -> None:
    """FV.EST.4: coefficients, errors and likelihood on 400 strata of two to six."""
    x, event, stratum, la = strata(1)
    found = fit_conditional(x, event, stratum, la, ("age", "treated"))
    import warnings

    with warnings.catch_warnings():
        # statsmodels warns of the groups that it leaves out.
        warnings.simplefilter("ignore")
        fit = ConditionalLogit(event, x, groups=stratum).fit(method="newton", tol=1e-10)
    assert found.coefficients == pytest.approx(fit.params, abs=1e-6)
    assert np.sqrt(np.diag(found.model_covariance)) == pytest.approx(fit.bse, rel=1e-4)
    assert found.log_likelihood == pytest.approx(fit.llf, abs=1e-7)


def test_types_of_children_give_what_children_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """FV.EST.4: counts of equal children in the place of children: value, gradient, information and scores, 1e-10."""
    generator = np.random.default_rng(5)
    code = np.repeat(np.arange(60), generator.integers(2, 40, 60))
    la = generator.integers(0, 4, len(code))
    x = np.column_stack([la == 1, la == 2, la == 3, (la == 0) & (generator.random(len(code)) < 0.5)]).astype(float)
    event = (generator.random(len(code)) < generator.uniform(0.1, 0.9, 60)[code]).astype(np.float64)
    count, events = np.bincount(code), np.bincount(code, weights=event)
    used = ((events > 0) & (events < count))[code]
    _, code = np.unique(code[used], return_inverse=True)
    beta = np.array([0.4, -0.3, 0.2, -0.6])
    by_type = _Strata(x[used], event[used], code)
    monkeypatch.setattr(conditional, "TYPES_ADVANTAGE", 0.0)
    by_child = _Strata(x[used], event[used], code)
    assert by_type._types is not None and by_child._types is None
    for ours, theirs in zip(by_type.derivatives(beta), by_child.derivatives(beta), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-10)
    assert by_type.scores(beta) == pytest.approx(by_child.scores(beta), abs=1e-10)


def test_derivatives_equal_enumeration() -> None:
    """FV.EST.4: a stratum of seven with three events (and one with five), all subsets written out."""
    generator = np.random.default_rng(2)
    x, beta = generator.normal(size=(14, 3)), np.array([0.4, -0.8, 1.1])
    event = np.array([1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1], dtype=np.float64)
    code = np.repeat([0, 1], 7)
    value, gradient, information = _Strata(x, event, code).derivatives(beta)
    expected, slope, bend = 0.0, np.zeros(3), np.zeros((3, 3))
    inclusion = np.zeros(14)
    for begin in (0, 7):
        mine = x[begin : begin + 7]
        chosen = list(combinations(range(7), int(event[begin : begin + 7].sum())))
        sums = np.array([mine[list(one)].sum(axis=0) for one in chosen])
        weight = np.exp(sums @ beta)
        weight /= weight.sum()
        mean = weight @ sums
        own = event[begin : begin + 7] @ mine
        expected += float(own @ beta - np.log(np.exp(sums @ beta).sum()))
        slope += own - mean
        bend += (sums * weight[:, None]).T @ sums - np.outer(mean, mean)
        for one, share in zip(chosen, weight, strict=True):
            inclusion[begin + np.array(one)] += share
    assert value == pytest.approx(expected, abs=1e-10)
    assert gradient == pytest.approx(slope, abs=1e-10)
    assert information == pytest.approx(bend, abs=1e-10)
    problem = _Strata(x, event, code)
    chance = problem._inclusion(problem._probabilities(beta))
    # In the second stratum events and others are swapped.
    assert chance == pytest.approx(np.where(code == 0, inclusion, 1 - inclusion), abs=1e-10)
    assert problem.scores(beta).sum(axis=0) == pytest.approx(slope, abs=1e-9)


def test_a_large_stratum_is_exact_and_does_not_overflow() -> None:
    """FV.EST.4: 3,000 children with 150 events have 10^253 subsets; the estimate nears that of the plain logit."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(3000, 2))
    event = (generator.random(3000) < expit(-3.3 + x @ np.array([0.5, -0.4]))).astype(float)
    found = fit_conditional(x, event, np.zeros(3000, dtype=np.int64), np.arange(3000) % 10, ("a", "b"))
    plain = sm.Logit(event, sm.add_constant(x)).fit(disp=0)
    assert found.is_converged and np.isfinite(found.log_likelihood)
    assert found.coefficients == pytest.approx(plain.params[1:], abs=0.01)
    assert np.sqrt(np.diag(found.model_covariance)) == pytest.approx(plain.bse[1:], rel=0.01)


def test_errors_are_the_sandwich_of_the_scores_by_la() -> None:
    """FV.EST.4: LAs cross the strata; with each child its own LA the error is near the model's."""
    x, event, stratum, la = strata(4, count=1500)
    found = fit_conditional(x, event, stratum, la, ("age", "treated"))
    effect = found.log_odds_effect("treated", 0.05)
    assert effect.standard_error == pytest.approx(np.sqrt(found.covariance.matrix[1, 1]))
    assert effect.degrees_of_freedom == 9 and found.covariance.cluster_count == 10
    own = fit_conditional(x, event, stratum, np.arange(len(event)), ("age", "treated"))
    assert np.diag(own.covariance.matrix) == pytest.approx(np.diag(own.model_covariance), rel=0.15)
    odds = effect.exponentiated()
    assert odds.estimate == pytest.approx(np.exp(effect.estimate)) and odds.p_value == effect.p_value


def test_planted_effect_is_found_where_indicators_double_it() -> None:
    """FV.EST.4: the incidental parameters problem: with pairs, a logit with a dummy each finds twice the effect."""
    x, event, stratum, la = strata(5, count=6000, sizes=(2,))
    found = fit_conditional(x, event, stratum, la, ("age", "treated"))
    errors = np.sqrt(np.diag(found.model_covariance))
    assert np.all(np.abs(found.coefficients - [0.5, -0.7]) < 3 * errors)
    kept = np.isin(stratum, np.flatnonzero(np.bincount(stratum, event) == 1))
    # With pairs the fitted dummies have a closed form: half the difference, so that twice the effect maximises.
    first = kept & (np.arange(len(event)) % 2 == 0)
    second = kept & (np.arange(len(event)) % 2 == 1)
    halves = sm.Logit(event[first], (x[first] - x[second]) / 2).fit(disp=0)
    assert halves.params == pytest.approx(2 * found.coefficients, abs=1e-6)


def test_what_strata_fix_is_left_out_and_named() -> None:
    """FV.EST.4: a column that is constant in every stratum, and one that others give."""
    x, event, stratum, la = strata(6)
    wide = np.column_stack([stratum % 3, x[:, 0], 2 * x[:, 0] + stratum, x[:, 1]])
    found = fit_conditional(wide, event, stratum, la, ("constant", "age", "again", "treated"))
    plain = fit_conditional(x, event, stratum, la, ("age", "treated"))
    assert found.names == ("age", "treated") and "constant, again" in found.notes[-1]
    assert found.coefficients == pytest.approx(plain.coefficients, abs=1e-9)
    assert np.isnan(found.log_odds_effect("constant", 0.05).estimate)


def test_separation_is_reported_not_hidden() -> None:
    """FV.EST.4: every discordant pair points the same way; and nothing that varies at all."""
    x, event = np.tile([1.0, 0.0], 10)[:, None], np.tile([1.0, 0.0], 10)
    found = fit_conditional(x, event, np.repeat(np.arange(10), 2), np.tile([0, 1], 10), ("treated",))
    assert not found.is_converged and "did not settle" in found.notes[-1]
    assert np.isnan(found.log_odds_effect("treated", 0.05).estimate)
    none = fit_conditional(np.ones((4, 1)), np.array([1.0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.arange(4), ("one",))
    assert none.names == () and "nothing varies" in none.notes[-1] and not none.is_converged
    empty = fit_conditional(np.ones((4, 1)), np.zeros(4), np.array([0, 0, 1, 1]), np.arange(4), ("one",))
    assert empty.strata_count == 0 and np.isnan(empty.log_odds_effect("one", 0.05).p_value)
    with pytest.raises(ValueError, match="expected 0 or 1"):
        fit_conditional(x, event / 2, np.repeat(np.arange(10), 2), np.tile([0, 1], 10), ("treated",))


def test_order_of_the_children_does_not_matter() -> None:
    """FV.EST.4: shuffled rows and renamed strata."""
    x, event, stratum, la = strata(7)
    order = np.random.default_rng(0).permutation(len(event))
    a = fit_conditional(x, event, stratum, la, ("age", "treated"))
    b = fit_conditional(x[order], event[order], 5 * stratum[order] + 3, la[order], ("age", "treated"))
    assert a.coefficients == pytest.approx(b.coefficients, abs=1e-10)
    assert a.covariance.matrix == pytest.approx(b.covariance.matrix, rel=1e-8)
