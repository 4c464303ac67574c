"""Staggered go-live (FV.SENS.2, FV.SENS.3): published numbers B9 to B14, a growing effect found exactly, the panel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import diff_diff
import numpy as np
import pandas as pd
import pytest

from sfpc.estimation import build_design
from sfpc.estimation.staggered import Panel, bacon, callaway_santanna, la_panel, sun_abraham
from test_estimation import REFERENCE, TERMS, rows_as_cells, simulated_children


def numbers(name: str) -> Any:
    entries = json.loads((REFERENCE / "expected/acceptance.json").read_text())
    return next(entry["expected"] for entry in entries if entry["id"] == name)


def panel_of(data: pd.DataFrame, unit: str, time: str, outcome: str, first: pd.Series) -> Panel:
    """A published panel as ours; first: the first treated time per row, 0 for never."""
    wide = data.pivot(index=unit, columns=time, values=outcome)
    begin = data.assign(first=first).groupby(unit)["first"].first().loc[wide.index]
    position = {int(year): number for number, year in enumerate(wide.columns, start=1)}
    firsts = np.array([position[int(value)] if value else 0 for value in begin], dtype=np.int64)
    return Panel(tuple(map(str, wide.index)), wide.to_numpy(dtype=np.float64), firsts, 12, ())


def check_bacon() -> None:
    """B9: R's bacondecomp on castle."""
    data = pd.read_csv(REFERENCE / "data/castle.csv")
    first = data["state"].map(data[data["post"] == 1].groupby("state")["year"].min()).fillna(0)
    found = bacon(panel_of(data, "state", "year", "l_homicide", first))
    rows = found.comparisons.set_index("comparison")
    names = {
        "Earlier vs Later Treated": "earlier against later live",
        "Later vs Earlier Treated": "later against earlier live",
        "Treated vs Untreated": "treated against never live",
    }
    for row in numbers("B9"):
        assert rows.loc[names[row["type"]], "weight"] == pytest.approx(row["w"], abs=1e-8)
        assert rows.loc[names[row["type"]], "effect"] == pytest.approx(row["avg"], abs=1e-8)
    assert found.coefficient == pytest.approx(numbers("B9b")[0], abs=1e-8)
    assert not found.is_at_risk


def check_bacon_with_always_treated() -> None:
    """B10: states that were always treated are told apart by bacondecomp; here they stand with the never treated.

    Neither changes over the panel, so the coefficient is the same and their two comparisons add up.
    """
    data = pd.read_csv(REFERENCE / "data/divorce_f.csv")
    first = data["st"].map(data[data["post"] == 1].groupby("st")["year"].min()).fillna(0)
    found = bacon(panel_of(data, "st", "year", "y", first))
    rows = found.comparisons.set_index("comparison")
    published = {row["type"]: (row["w"], row["avg"]) for row in numbers("B10")}
    unchanged = [published.pop(name) for name in ("Treated vs Untreated", "Later vs Always Treated")]
    weight = sum(w for w, _ in unchanged)
    expected = {
        "earlier against later live": published["Earlier vs Later Treated"],
        "later against earlier live": published["Later vs Earlier Treated"],
        "treated against never live": (weight, sum(w * effect for w, effect in unchanged) / weight),
    }
    for name, (w, effect) in expected.items():
        assert rows.loc[name, "weight"] == pytest.approx(w, abs=1e-8)
        assert rows.loc[name, "effect"] == pytest.approx(effect, abs=1e-8)
    assert found.coefficient == pytest.approx(sum(w * effect for w, effect in expected.values()), abs=1e-8)
    assert found.is_at_risk


def check_callaway_santanna() -> None:
    """B11 to B13: R's did on mpdta, both control groups, with and without a covariate, all three methods."""
    data = pd.read_csv(REFERENCE / "data/mpdta.csv")
    for control in ("never_treated", "not_yet_treated"):
        for covariates in ([], ["lpop"]):
            for method in ("dr", "reg", "ipw"):
                name = f"B11-13 {control.replace('_', '')}|~{'lpop' if covariates else '1'}|{method}"
                found = diff_diff.CallawaySantAnna(control_group=control, estimation_method=method).fit(
                    data,
                    outcome="lemp",
                    unit="countyreal",
                    time="year",
                    first_treat="first.treat",
                    covariates=covariates or None,
                )
                assert (found.overall_att, found.overall_se) == pytest.approx(numbers(name)["simple"], abs=1e-5), name


def check_staggered() -> None:
    """B13, B14: our panel (not yet treated) as R's did has it, and fixest's sunab on mpdta."""
    data = pd.read_csv(REFERENCE / "data/mpdta.csv")
    panel = panel_of(data, "countyreal", "year", "lemp", data["first.treat"])
    rows = panel.long()
    columns = {"outcome": "mean", "unit": "la", "time": "period", "first_treat": "first_period"}
    not_yet = diff_diff.CallawaySantAnna(control_group="not_yet_treated").fit(rows, **columns)
    assert not_yet.overall_att == pytest.approx(numbers("B11-13 notyettreated|~1|dr")["simple"][0], abs=1e-7)
    interacted = diff_diff.SunAbraham().fit(rows, **columns)
    assert interacted.overall_att == pytest.approx(numbers("B14")[1][0]["Estimate"], abs=1e-8)


CHECKS: dict[str, Callable[[], None]] = {}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS = {
        "B9": check_bacon,
        "B10": check_bacon_with_always_treated,
        "B11 to B13": check_callaway_santanna,
        "B13 and B14": check_staggered,
    }


@pytest.mark.parametrize("name", CHECKS or ["none"])
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.SENS.3: numbers of R's bacondecomp, did and fixest."""
    if name in CHECKS:
        CHECKS[name]()
    else:
        record_property("not_checked", f"B9 to B14: no {REFERENCE}")


def growing(noise: float = 0.0, seed: int = 1) -> Panel:
    """Twelve LAs, five of them live one after another; the effect grows by 1 a period."""
    generator = np.random.default_rng(seed)
    first = np.array([4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0])
    periods = np.arange(1, 13)
    since = periods[None, :] - first[:, None] + 1
    effect = np.where((first[:, None] > 0) & (since > 0), -1.0 * since, 0.0)
    means = generator.normal(size=(12, 1)) + generator.normal(size=(1, 12)) + effect
    return Panel(
        tuple(f"LA{i:02d}" for i in range(12)), means + noise * generator.normal(size=means.shape), first, 3, ()
    )


def test_estimators_find_a_growing_effect_that_one_coefficient_understates() -> None:
    """FV.SENS.3: without noise the mean effect is exact by both; the coefficient and its forbidden part are not."""
    panel = growing()
    since = np.arange(1, 13)[None, :] - panel.first_period[:, None] + 1
    live = (panel.first_period[:, None] > 0) & (since > 0)
    truth = -float(since[live].mean())
    assert callaway_santanna(panel, 0.05).estimate == pytest.approx(truth, abs=1e-8)
    assert sun_abraham(panel, 0.05).estimate == pytest.approx(truth, abs=1e-8)
    found = bacon(panel)
    assert abs(found.coefficient) < 0.85 * abs(truth)
    assert found.comparisons["weight"].sum() == pytest.approx(1.0)
    parts = found.comparisons["weight"] * found.comparisons["effect"]
    assert parts.sum() == pytest.approx(found.coefficient)


def test_error_is_the_jackknife_over_las() -> None:
    """FV.SENS.3: recomputed by leaving out each LA by hand."""
    panel = growing(noise=0.5)
    estimate = callaway_santanna(panel, 0.05)
    rows = panel.long()
    columns = {"outcome": "mean", "unit": "la", "time": "period", "first_treat": "first_period"}
    without = [
        diff_diff.CallawaySantAnna(control_group="not_yet_treated").fit(rows[rows["la"] != la], **columns).overall_att
        for la in range(12)
    ]
    error = np.sqrt(11 / 12 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert estimate.standard_error == pytest.approx(error, rel=1e-9)
    assert estimate.degrees_of_freedom == 11


def test_periods_open_with_each_go_live() -> None:
    """FV.SENS.3: go-lives 6, 10 and 14 months after the start make periods of two months; a tail is left out."""
    rows = simulated_children(size=6000)
    generator = np.random.default_rng(2)
    rows["month"] = generator.integers(100, 129, len(rows))
    live = {"LA0": 106, "LA1": 110, "LA2": 114}
    rows["treated"] = (rows["month"] >= rows["la"].map(live).fillna(999)).astype(float)
    design = build_design(rows_as_cells(rows), TERMS)
    panel = la_panel(design, rows["month"].to_numpy(dtype=np.int64), live)
    assert panel is not None and panel.months == 2 and panel.means.shape == (10, 14)
    assert dict(zip(panel.las, panel.first_period.tolist(), strict=True)) == {
        **dict.fromkeys((f"LA{i}" for i in range(3, 10)), 0),
        "LA0": 4,
        "LA1": 6,
        "LA2": 8,
    }
    assert la_panel(design, rows["month"].to_numpy(dtype=np.int64), {"LA0": 100}) is None
    assert la_panel(design, rows["month"].to_numpy(dtype=np.int64), {}) is None


def test_an_la_with_an_empty_period_is_left_out_and_named() -> None:
    """FV.SENS.3: a missing mean is not a mean of 0."""
    rows = simulated_children(size=6000)
    generator = np.random.default_rng(3)
    rows["month"] = generator.integers(0, 12, len(rows))
    rows = rows[~((rows["la"] == "LA9") & (rows["month"] < 4))].reset_index(drop=True)
    rows["treated"] = ((rows["la"] == "LA0") & (rows["month"] >= 4)).astype(float)
    panel = la_panel(build_design(rows_as_cells(rows), TERMS), rows["month"].to_numpy(dtype=np.int64), {"LA0": 4})
    assert panel is not None and panel.left_out == ("LA9",) and len(panel.las) == 9
