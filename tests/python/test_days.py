"""Hurdle and tobit models for days (FV.SENS.4): published numbers B29 and B30, planted parameters, cells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from sfpc.estimation import Design, build_design, compress
from sfpc.estimation.days import (
    fit_index_model,
    hurdle_effect,
    tobit_effect,
    tobit_likelihood,
    tobit_mean,
    truncated_negative_binomial,
    truncated_poisson,
)
from test_estimation import REFERENCE, TERMS, rows_as_cells, simulated_children

LONGEST = 550.0


def numbers(name: str) -> Any:
    entries = json.loads((REFERENCE / "expected/acceptance.json").read_text())
    return next(entry["expected"] for entry in entries if entry["id"] == name)


def with_days(seed: int = 3, size: int = 4000) -> pd.DataFrame:
    """Simulated children with whole days: 60 % none, else a negative binomial; the programme lowers both."""
    rows = simulated_children(seed=seed, size=size)
    generator = np.random.default_rng(seed)
    index = 4.5 + 0.02 * rows["age"] - 0.3 * rows["treated"]
    chance = 1 / (1 + np.exp(0.4 + 0.4 * rows["treated"]))
    size_parameter = 2.0
    days = generator.negative_binomial(size_parameter, size_parameter / (size_parameter + np.exp(index)))
    return rows.assign(y=np.where(generator.random(len(rows)) < chance, np.maximum(days, 1), 0).astype(float))


def check_tobit() -> None:
    """B29: R's AER, as in Greene."""
    data, expected = pd.read_csv(REFERENCE / "data/affairs.csv"), numbers("models.tobit_affairs")
    x = np.column_stack([np.ones(len(data)), data[list(expected["coef"])[1:]]]).astype(np.float64)
    y = data["affairs"].to_numpy(dtype=np.float64)
    start = np.linalg.lstsq(x, y, rcond=None)[0]
    fit = fit_index_model(x, y, np.ones(len(y)), tobit_likelihood(0.0, np.inf), start, float(np.log(y.std())))
    assert fit.log_likelihood == pytest.approx(expected["loglik"], abs=1e-8)
    assert np.exp(fit.further) == pytest.approx(expected["scale"], abs=1e-5)
    assert fit.coefficients == pytest.approx(np.array(list(expected["coef"].values())), abs=1e-5)
    errors = np.sqrt(np.diag(fit.bread))[:-1]
    assert errors == pytest.approx(np.array(list(expected["se"].values())), abs=1e-5)


def check_hurdle() -> None:
    """B30: the count part of R's pscl, Poisson and negative binomial (Zeileis and others 2008)."""
    data = pd.read_csv(REFERENCE / "data/biochemists.csv")
    x = np.column_stack(
        [np.ones(len(data)), data["fem"] == "Women", data["mar"] == "Married", data[["kid5", "phd", "ment"]]]
    ).astype(np.float64)
    y = data["art"].to_numpy(dtype=np.float64)
    some = y > 0
    for name, likelihood, further in (
        ("models.hurdle_bio_poisson", truncated_poisson, float("nan")),
        ("models.hurdle_bio_negbin", truncated_negative_binomial, 0.0),
    ):
        expected = numbers(name)
        fit = fit_index_model(x[some], y[some], np.ones(int(some.sum())), likelihood, np.zeros(6), further)
        assert fit.coefficients == pytest.approx(np.array(list(expected["count"].values())), abs=1e-4)
        errors = [error for term, error in expected["se"].items() if term.startswith("count")]
        assert np.sqrt(np.diag(fit.bread))[:6] == pytest.approx(np.array(errors), abs=1e-4)
        if not np.isnan(further):
            assert np.exp(fit.further) == pytest.approx(expected["theta"], abs=1e-4)


CHECKS: dict[str, Callable[[], None]] = {}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS = {"B29": check_tobit, "B30": check_hurdle}


@pytest.mark.parametrize("name", CHECKS or ["none"])
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.SENS.4: numbers of R's AER and pscl."""
    if name in CHECKS:
        CHECKS[name]()
    else:
        record_property("not_checked", f"B29, B30: no {REFERENCE}")


@pytest.mark.parametrize(
    ("likelihood", "further", "values"),
    [
        (tobit_likelihood(0.0, LONGEST), 0.3, [0.0, 1.5, LONGEST]),
        (truncated_poisson, 0.0, [1.0, 2.0, 7.0]),
        (truncated_negative_binomial, 0.4, [1.0, 2.0, 7.0]),
    ],
)
def test_derivatives_are_those_of_the_likelihood(likelihood: Any, further: float, values: list[float]) -> None:
    """Analytic first derivatives against central differences, at and between the limits."""
    y, index, step = np.array(values), np.array([0.2, -0.4, 1.1]), 1e-6
    value, by_index, by_further = likelihood(index, further, y)
    up, down = likelihood(index + step, further, y)[0], likelihood(index - step, further, y)[0]
    # Far from a limit the likelihood there is so steep that only the relative error says something.
    assert by_index == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-6)
    more, less = likelihood(index, further + step, y)[0], likelihood(index, further - step, y)[0]
    assert by_further == pytest.approx((more - less) / (2 * step), rel=1e-4, abs=1e-6)
    assert np.isfinite(value).all()


def test_expected_days_between_two_limits_by_integration() -> None:
    """The mean of a normal outcome cut at 0 and 550."""
    for index, scale in ((-40.0, 120.0), (200.0, 90.0), (600.0, 150.0)):
        by_hand = integrate.quad(
            lambda v, m=index, s=scale: min(max(v, 0.0), LONGEST) * stats.norm.pdf(v, m, s), -2000, 2000, limit=500
        )[0]
        found = tobit_mean(np.array([index]), float(np.log(scale)), 0.0, LONGEST)[0]
        assert found == pytest.approx(by_hand, rel=1e-6)


def in_cells(rows: pd.DataFrame) -> Design:
    """Children of equal terms and equal days as one row."""
    with duckdb.connect(":memory:") as connection:
        connection.register("children", rows.assign(days=rows["y"]))
        return build_design(compress(connection, "children", TERMS, "y", "w", keys=("days",)), TERMS)


def test_cells_of_equal_days_give_the_effect_of_the_children() -> None:
    """FV.SENS.4: compression is exact."""
    rows = with_days(size=1500)
    by_cell, by_row = in_cells(rows), build_design(rows_as_cells(rows), TERMS)
    for effect in (
        lambda design: tobit_effect(design, 0.0, LONGEST, 0.05),
        lambda design: hurdle_effect(design, 0.05),
    ):
        one, other = effect(by_cell), effect(by_row)
        assert one.effect.estimate == pytest.approx(other.effect.estimate, rel=1e-5)
        assert one.effect.standard_error == pytest.approx(other.effect.standard_error, rel=1e-4)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)


def test_hurdle_finds_the_planted_change_in_expected_days() -> None:
    """FV.SENS.4: within three standard errors of what both parts together plant among the treated."""
    rows = with_days(seed=11, size=12_000)
    treated = rows[rows["treated"] == 1]
    mean = np.exp(4.5 + 0.02 * treated["age"])
    planted = np.mean(mean * np.exp(-0.3) / (1 + np.exp(0.8)) - mean / (1 + np.exp(0.4)))
    found = hurdle_effect(build_design(rows_as_cells(rows), TERMS), 0.05).effect
    assert abs(found.estimate - planted) < 3 * found.standard_error
    assert found.ci_high < 0


def test_tobit_finds_its_own_planted_effect() -> None:
    """FV.SENS.4: a censored normal outcome; the effect on expected days within three standard errors."""
    rows = simulated_children(seed=5, size=8000)
    generator = np.random.default_rng(5)
    index = 60.0 + 4 * rows["age"] - 40 * rows["treated"]
    rows = rows.assign(y=np.clip(generator.normal(index, 150.0), 0.0, LONGEST))
    treated = rows["treated"] == 1
    log_scale = float(np.log(150.0))
    planted = np.mean(
        tobit_mean(index[treated].to_numpy(), log_scale, 0.0, LONGEST)
        - tobit_mean(index[treated].to_numpy() + 40, log_scale, 0.0, LONGEST)
    )
    found = tobit_effect(build_design(rows_as_cells(rows), TERMS), 0.0, LONGEST, 0.05).effect
    assert abs(found.estimate - planted) < 3 * found.standard_error
    assert found.ci_high < 0


def test_an_effect_that_is_not_identified_is_nan_and_said() -> None:
    """FV.SENS.4."""
    rows = with_days(size=600)
    design = build_design(rows_as_cells(rows.assign(treated=0.0)), TERMS)
    for found in (hurdle_effect(design, 0.05), tobit_effect(design, 0.0, LONGEST, 0.05)):
        assert np.isnan(found.effect.estimate) and found.notes == ("effect not identified",)
