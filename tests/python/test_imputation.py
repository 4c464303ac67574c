"""The effect on the treated by imputation (FV.SENS.6): by hand, against an independent fit, with a growing effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from sfpc.estimation import Terms, build_design, fit_imputation, fit_linear
from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT
from sfpc.estimation.imputation import JACKKNIFE_T
from test_estimation import TERMS, in_duckdb, simulated_children

PLAIN = replace(TERMS, categorical=(), linear=())


def cells(rows: list[tuple[str, str, float, int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["la", "year", "treated", CELL_COUNT, CELL_WEIGHT, CELL_OUTCOME])


def test_two_by_two_by_hand() -> None:
    """With one LA treated from the second year on it is the difference of differences."""
    fit = fit_imputation(
        cells(
            [
                ("T", "0", 0, 10, 10.0, 4.0),
                ("T", "1", 1, 20, 20.0, 3.0),
                ("C", "0", 0, 40, 20.0, 6.0),
                ("C", "1", 0, 30, 15.0, 9.0),
            ]
        ),
        PLAIN,
    )
    assert fit.estimate == pytest.approx((3 / 20 - 4 / 10) - (9 / 15 - 6 / 20), abs=1e-12)
    assert (fit.imputed_count, fit.left_out_count, fit.cluster_count) == (20, 0, 2)
    # Neither LA can be left out: no error, and none is made up.
    assert np.isnan(fit.standard_error)
    assert np.isnan(fit.effect(0.05).p_value)


def growing_effect() -> pd.DataFrame:
    """Noise-free: three LAs go live one after another, the effect grows by 1 a year; two LAs never do."""
    rows = []
    for number, start in enumerate((1, 2, 3, None, None)):
        for year in range(6):
            effect = float(year - start + 1) if start is not None and year >= start else 0.0
            mean = 10.0 * number + 2.0 * year + effect
            rows.append((f"LA{number}", f"20{year}", float(effect > 0), 10, 10.0, 10.0 * mean))
    return cells(rows)


def test_an_effect_that_grows_is_found_where_one_coefficient_misses_it() -> None:
    frame = growing_effect()
    treated = frame[frame["treated"] == 1.0]
    truth = np.average([1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3], weights=treated[CELL_WEIGHT])
    fit = fit_imputation(frame, PLAIN)
    assert fit.estimate == pytest.approx(truth, abs=1e-10)
    coefficient = fit_linear(build_design(frame, PLAIN)).effect(0.05).estimate
    assert coefficient < 0.8 * truth


def by_rows(rows: pd.DataFrame) -> float:
    """The same estimate child by child with statsmodels: WLS on the untreated, mean residual of the treated."""
    x = pd.get_dummies(rows[["la", "year", "need", "fsm"]], drop_first=True, dtype=float)
    x = sm.add_constant(x.assign(age=rows["age"], la_pct=rows["la_pct"]))
    untreated = rows["treated"] == 0.0
    fit = sm.WLS(rows.loc[untreated, "y"], x[untreated], weights=rows.loc[untreated, "w"]).fit()
    gained = rows.loc[~untreated, "y"] - fit.predict(x[~untreated])
    return float(np.average(gained, weights=rows.loc[~untreated, "w"]))


def test_agrees_with_statsmodels_child_by_child_and_so_does_the_jackknife() -> None:
    rows = simulated_children(seed=3)
    fit = fit_imputation(in_duckdb(rows), TERMS)
    assert fit.estimate == pytest.approx(by_rows(rows), abs=1e-9)
    names = sorted(rows["la"].unique())
    without = np.array([by_rows(rows[rows["la"] != name]) for name in names])
    error = np.sqrt((len(names) - 1) / len(names) * np.sum((without - without.mean()) ** 2))
    assert fit.standard_error == pytest.approx(error, rel=1e-7)
    effect = fit.effect(0.05)
    assert effect.inference_method == JACKKNIFE_T
    assert effect.degrees_of_freedom == len(names) - 1


def test_a_level_only_the_treated_have_is_left_out_and_said() -> None:
    rows = simulated_children(seed=4)
    rare = (rows["treated"] == 1.0) & (np.arange(len(rows)) % 50 == 0)
    changed = rows.assign(need=np.where(rare, "9", rows["need"]), y=np.where(rare, 1.0, rows["y"]))
    fit = fit_imputation(in_duckdb(changed), TERMS)
    assert fit.left_out_count == int(rare.sum())
    assert fit.estimate == pytest.approx(fit_imputation(in_duckdb(rows[~rare]), TERMS).estimate, abs=1e-9)
    assert any("left out" in note for note in fit.notes)


def test_without_treated_or_untreated_children_nothing_is_claimed() -> None:
    terms: Terms = PLAIN
    frame = growing_effect()
    for part in (frame[frame["treated"] == 0.0], frame[frame["treated"] == 1.0]):
        fit = fit_imputation(part.reset_index(drop=True), terms)
        assert np.isnan(fit.estimate) and fit.imputed_count == 0
        assert np.isnan(fit.effect(0.05).ci_low)
