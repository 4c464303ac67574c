"""Differences on a panel of LAs: the same numbers as the estimators of the children's data, and lots (FV.EST.1, .3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT, Terms, build_design
from sfpc.estimation.imputation import fit_imputation
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.panel import (
    LaPanel,
    build_panel,
    estimate_effects,
    event_by_order,
    event_study,
    imputation_by_order,
    twfe_by_order,
)

TERMS = Terms("is_treated", "la_id", ("period",), (), ())
GO_LIVE = {"a": 2022, "b": 2023, "c": 2023}


def rows(effect: float = 0.0, las: int = 12, seed: int = 4, hole: bool = True) -> pd.DataFrame:
    """Years 2018 to 2025 of some LAs; the effect grows by year; one treated and one other LA lack a year."""
    generator = np.random.default_rng(seed)
    out = []
    for i in range(las):
        la = chr(97 + i)
        level = generator.normal(50, 10)
        for year in range(2018, 2026):
            since = year - GO_LIVE[la] if la in GO_LIVE else None
            out.append(
                {
                    "la_id": la,
                    "register_year": year,
                    "rate": level + year - 2018 + generator.normal(0, 3) + (effect * since if (since or 0) > 0 else 0),
                    "exposure": None if since is None else "before" if since < 0 else "after" if since else "during",
                    "relative_period": since,
                }
            )
    frame = pd.DataFrame(out)
    if hole:
        frame = frame[~((frame["la_id"] == "b") & (frame["register_year"] == 2021))]
        frame.loc[(frame["la_id"] == "f") & (frame["register_year"] == 2019), "rate"] = np.nan
    return frame


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows as cells of children, written anew."""
    used = frame[frame["rate"].notna() & (frame["exposure"] != "during")]
    return pd.DataFrame(
        {
            "la_id": used["la_id"],
            "period": used["register_year"].astype(str),
            "is_treated": (used["exposure"] == "after").astype(float),
            CELL_COUNT: 1,
            CELL_WEIGHT: 1.0,
            CELL_OUTCOME: used["rate"],
        }
    ).reset_index(drop=True)


def shuffled(panel: LaPanel, order: list[int]) -> pd.DataFrame:
    """Cells of the assignment in which LA i has the pattern of LA order[i]."""
    out = []
    for i, la in enumerate(panel.la_ids):
        for t, year in enumerate(panel.periods):
            if np.isfinite(panel.outcome[i, t]) and not panel.is_during[order[i], t]:
                out.append((la, str(year), float(panel.is_after[order[i], t]), 1, 1.0, panel.outcome[i, t]))
    return pd.DataFrame(out, columns=["la_id", "period", "is_treated", CELL_COUNT, CELL_WEIGHT, CELL_OUTCOME])


def test_effects_are_those_of_the_estimators_for_children() -> None:
    """FV.EST.1, FV.SENS.6: with a row per LA and year and gaps, to ten digits, errors included."""
    frame = rows(effect=-2)
    linear, imputed = estimate_effects(build_panel(frame), 0.05, 9, 1)
    expected = fit_linear(build_design(cells(frame), TERMS)).effect(0.05)
    assert linear.estimate == expected
    fit = fit_imputation(cells(frame), TERMS).effect(0.05)
    assert imputed.estimate.estimate == pytest.approx(fit.estimate, abs=1e-10)
    assert imputed.estimate.standard_error == pytest.approx(fit.standard_error, abs=1e-10)
    assert imputed.estimate.inference_method == fit.inference_method
    assert imputed.estimate.estimate < 0


def test_every_assignment_is_estimated_as_the_actual_one() -> None:
    """FV.EST.3: each lot gives the coefficient that a regression on its own rows gives."""
    panel = build_panel(rows(effect=-2))
    generator = np.random.default_rng(9)
    orders = np.array([np.arange(12), *(generator.permutation(12) for _ in range(6))])
    twfe, imputed = twfe_by_order(panel, orders), imputation_by_order(panel, orders)
    for i, order in enumerate(orders):
        own = shuffled(panel, order.tolist())
        assert twfe[i] == pytest.approx(fit_linear(build_design(own, TERMS)).effect(0.05).estimate, abs=1e-9)
        assert imputed[i] == pytest.approx(fit_imputation(own, TERMS).estimate, abs=1e-9)


def test_the_event_study_is_the_regression_on_indicators() -> None:
    """FV.SENS.2: distances from go-live against the last whole year; the far ends take in what is beyond."""
    panel = build_panel(rows(effect=-5))
    events = event_study(panel, -3, 2, 0.05, 19, 1)
    assert [e.relative_period for e in events] == [-3, -2, 0, 1, 2]
    actual = event_by_order(panel, np.arange(12)[None], [-3, -2, 0, 1, 2], -3, 2)[0]
    np.testing.assert_allclose([e.estimate for e in events], actual, atol=1e-8)
    # One LA lacks its second year before go-live.
    assert [e.la_count for e in events] == [3, 2, 3, 3, 3]
    assert events[-1].estimate < events[-2].estimate < 0
    assert all(e.low < e.estimate < e.high and e.placebo_low < e.placebo_high for e in events)


def test_the_share_of_lots_finds_an_effect_and_not_noise() -> None:
    """FV.EST.3: permutation over LAs; the actual assignment is one of them, so the share is never 0."""
    strong = estimate_effects(build_panel(rows(effect=-20)), 0.05, 199, 1)
    assert [e.permutation_p for e in strong] == [pytest.approx(1 / 200)] * 2
    shares = [estimate_effects(build_panel(rows(seed=s)), 0.05, 199, s)[1].permutation_p for s in range(40)]
    assert np.mean(np.array(shares) <= 0.05) <= 0.15
    assert 0.3 < np.mean(shares) < 0.7
    one = rows(effect=-20)
    one = one[~one["la_id"].isin(["b", "c"])]
    assert all(np.isnan(e.permutation_p) for e in estimate_effects(build_panel(one), 0.05, 19, 1))


def test_an_la_without_a_year_before_is_left_out() -> None:
    """Nothing can be subtracted from its figures; the year of go-live is in no estimate."""
    frame = rows(hole=False)
    late = frame[~((frame["la_id"] == "a") & (frame["exposure"] == "before"))]
    panel = build_panel(late)
    assert "a" not in panel.la_ids and len(panel.la_ids) == 11
    assert panel.is_treated_la.sum() == 2
    moved = frame.copy()
    moved.loc[moved["exposure"] == "during", "rate"] = 1e6
    for before, after in zip(
        estimate_effects(build_panel(frame), 0.05, 9, 1), estimate_effects(build_panel(moved), 0.05, 9, 1), strict=True
    ):
        assert before.estimate.estimate == pytest.approx(after.estimate.estimate, abs=1e-6)
    untreated = build_panel(frame[~frame["la_id"].isin(GO_LIVE)])
    assert estimate_effects(untreated, 0.05, 9, 1) == []


def test_a_whole_year_from_its_first_day_is_after() -> None:
    """FV.TREAT.1: go-live on the first day of a year leaves no year in between."""
    frame = rows(hole=False)
    frame.loc[(frame["la_id"] == "a") & (frame["relative_period"] == 0), "exposure"] = "after"
    panel = build_panel(frame)
    assert panel.is_after[0].sum() == 4 and panel.is_during[0].sum() == 0
    assert replace(panel, la_ids=()).is_treated_la.sum() == 3
