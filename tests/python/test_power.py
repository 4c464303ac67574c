"""Power (FV.POWER.1): the protocol's table, the variance of a roll-out, ICC from data, simulation."""

from __future__ import annotations

import csv
import math
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from conftest import SEEDS
from sfpc.economics import Economics, read_economics
from sfpc.errors import SfpcError
from sfpc.estimation.few_clusters import cr3
from sfpc.marts import open_marts
from sfpc.power.correlations import estimate_correlations
from sfpc.power.figure import power_figure
from sfpc.power.formulas import NotEstimableError, mdes_after, mdes_cluster, multiplier, power_at, share_sd
from sfpc.power.rollout import Rollout, design_variance, plan_rollout
from sfpc.power.run import (
    FORMULA,
    OWN,
    POWER_TABLES,
    accepted_las,
    movements,
    protocol_variants,
    rollout_of,
    run_power,
)
from sfpc.power.section import power_section
from sfpc.power.simulation import Movements, _Design, beta_parameters, draw_shares, simulate_power
from sfpc.settings import Paths

ICC, YEARLY, BASELINE = 0.01566, 5_200, 0.04
PROGRAMME, PRIMARY = "family_valued", "became_looked_after"


def assumptions() -> dict[str, float]:
    with (SEEDS / "economics" / "power_assumptions.csv").open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["programme_id"] == PROGRAMME]
    return {row["assumption"]: float(row["value"]) for row in rows}


def rollout(treated: np.ndarray, children: float) -> Rollout:
    groups, periods = treated.shape
    days = tuple(date(2017 + q // 4, 1 + 3 * (q % 4), 1) for q in range(periods))
    return Rollout(
        tuple(f"la{g}" for g in range(groups)), days, treated.astype(float), np.full(treated.shape, children)
    )


def steps(groups: int, periods: int, first: int, between: int = 1) -> np.ndarray:
    return np.array([[float(t >= first + between * g) for t in range(periods)] for g in range(groups)])


# --- The table ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clusters", "children", "level2_r2", "freedom", "expected"),
    [
        (15, 5_200, 0.6, None, 0.1162),
        (15, 5_200, 0.0, None, 0.1821),
        (5, 15_600, 0.0, None, 0.3142),
        (30, 5_200, 0.0, None, 0.1288),
        (15, 5_200, 0.6, 13, 0.1257),
        (5, 15_600, 0.0, 3, 0.4667),
        (10, 15_600, 0.0, None, 0.2222),
        (10, 15_600, 0.0, 8, 0.2534),
    ],
)
def test_cluster_formula(
    clusters: int, children: float, level2_r2: float, freedom: float | None, expected: float
) -> None:
    """methods B36 and C."""
    found = mdes_cluster(clusters, children, ICC, level2_r2=level2_r2, freedom=freedom)
    assert found == pytest.approx(expected, abs=5e-5)


def test_points_of_the_table() -> None:
    sd = share_sd(BASELINE)
    assert sd == pytest.approx(0.195959, abs=1e-6)
    assert mdes_cluster(15, YEARLY, ICC, level2_r2=0.6) * sd == pytest.approx(0.0228, abs=5e-5)
    assert mdes_cluster(15, YEARLY, ICC) * sd == pytest.approx(0.0357, abs=5e-5)
    assert multiplier(0.05, 0.8) == pytest.approx(2.80159, abs=5e-6)


def test_which_r2_gives_the_printed_value() -> None:
    """0.60 is the only value of one digit that rounds to 0.116; of three digits, 0.599 to 0.605 do."""
    fitting = [k / 1000 for k in range(1001) if round(mdes_cluster(15, YEARLY, ICC, level2_r2=k / 1000), 3) == 0.116]
    assert fitting == [k / 1000 for k in range(599, 606)]


def test_protocol_table_is_rows_and_names_what_it_leaves_unsaid() -> None:
    table = protocol_variants(assumptions())
    first, plain = table.iloc[0], table.iloc[1]
    assert first["mdes_sd"] == pytest.approx(0.1162, abs=5e-5)
    assert first["mdes_points"] == pytest.approx(2.28, abs=5e-3)
    assert plain["mdes_sd"] == pytest.approx(0.1821, abs=5e-5)
    assert table["is_printed_value"].tolist() == [True] + [False] * (len(table) - 1)
    assert "does not state" in first["note"] and "0.6" in first["note"]
    with (SEEDS / "economics" / "power_assumptions.csv").open(newline="", encoding="utf-8") as handle:
        unstated = {row["assumption"] for row in csv.DictReader(handle) if row["is_stated"] == "false"}
    assert unstated == {"share_treated", "level2_r2", "level1_r2"}
    stated = assumptions()
    assert stated["la_count"] * stated["year_count"] * stated["children_per_la_year"] == stated["children_count"]
    assert stated["children_per_la_year"] * stated["year_count"] == stated["children_per_la"]


def test_a_table_without_an_assumption_is_refused() -> None:
    short = {name: value for name, value in assumptions().items() if name != "icc"}
    with pytest.raises(SfpcError, match="no row for icc"):
        protocol_variants(short)


@pytest.mark.parametrize(
    "wrong",
    [
        {"icc": -0.1},
        {"icc": 1.1},
        {"share_treated": 0.0},
        {"level2_r2": 2.0},
        {"clusters": 1},
        {"power": 1.0},
        {"freedom": 0.5},
        {"sides": 3},
    ],
)
def test_values_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    given: dict[str, float] = {"clusters": 15, "children_per_cluster": 5_200, "icc": ICC, **wrong}
    with pytest.raises(ValueError, match="expected"):
        mdes_cluster(**given)  # type: ignore[arg-type]


# --- The roll-out -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("periods", "children", "cac", "expected"),
    [
        (6, 2_600, 0.759, 0.116),
        (6, 2_600, 0.8, 0.1070),
        (6, 2_600, 1.0, 0.0356),
        (12, 1_300, 0.70, 0.1157),
    ],
)
def test_stepped_wedge_of_five_las(periods: int, children: float, cac: float, expected: float) -> None:
    """methods C, the alternatives: LA effects random, one LA more in every period."""
    variance = design_variance(rollout(steps(5, periods, 1), children), ICC, cac, la_effects="random")
    assert multiplier(0.05, 0.8) * math.sqrt(variance) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("comparisons", "freedom", "cac", "unit", "expected"),
    [
        (5, 9, 0.95, 1.0, 0.0300),
        (5, 9, 0.90, 1.0, 0.0369),
        (5, 9, 0.80, 1.0, 0.0476),
        (5, 9, 0.95, 19.5959, 0.59),
        (5, 9, 0.90, 19.5959, 0.72),
        (5, 9, 0.80, 19.5959, 0.93),
        (25, 29, 0.95, 19.5959, 0.44),
        (25, 29, 0.90, 19.5959, 0.55),
        (25, 29, 0.80, 19.5959, 0.71),
    ],
)
def test_the_real_roll_out_by_quarter(comparisons: int, freedom: int, cac: float, unit: float, expected: float) -> None:
    """methods C: five LAs over 28 quarters of 1,300 children, go-live in quarters 17, 18, 19, 21 and 22."""
    treated = np.zeros((5 + comparisons, 28))
    for row, quarter in enumerate((17, 18, 19, 21, 22)):
        treated[row, quarter:] = 1.0
    error = math.sqrt(design_variance(rollout(treated, 1_300), ICC, cac, la_effects="random"))
    assert unit * mdes_after(error, freedom) == pytest.approx(expected, abs=0.006 if unit > 1 else 6e-5)


def test_two_periods_in_parallel_are_the_cluster_formula() -> None:
    """An identity: 15 + 15 LA-years before and after, autocorrelation r, is the formula with a level-2 R2 of r."""
    treated = np.zeros((30, 2))
    treated[:15, 1] = 1.0
    for cac in (0.0, 0.3, 0.6, 0.9):
        variance = design_variance(rollout(treated, YEARLY), ICC, cac)
        assert math.sqrt(variance) * multiplier(0.05, 0.8) == pytest.approx(
            mdes_cluster(15, YEARLY, ICC, level2_r2=cac), rel=1e-9
        )


def test_variance_is_that_of_least_squares_by_hand() -> None:
    """With fixed LA effects, equal cells and no decay, GLS is least squares on cell means."""
    treated = steps(4, 5, 1)
    x = np.column_stack(
        [np.kron(np.ones((4, 1)), np.eye(5)), np.kron(np.eye(4), np.ones((5, 1)))[:, 1:], treated.ravel()]
    )
    cell = ICC * (1 - 0.7) + (1 - ICC) / 900
    by_hand = cell * np.linalg.inv(x.T @ x)[-1, -1]
    assert design_variance(rollout(treated, 900), ICC, 0.7) == pytest.approx(by_hand, rel=1e-9)


def test_decay_by_the_dense_matrix() -> None:
    treated = steps(3, 4, 1)
    x = np.column_stack([np.kron(np.ones((3, 1)), np.eye(4)), treated.ravel()])
    lag = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    omega = np.kron(np.eye(3), ICC * 0.8**lag + np.eye(4) * (1 - ICC) / 500)
    by_hand = np.linalg.inv(x.T @ np.linalg.solve(omega, x))[-1, -1]
    found = design_variance(rollout(treated, 500), ICC, 0.8, la_effects="random", correlation="decaying")
    assert found == pytest.approx(by_hand, rel=1e-9)


def test_an_la_that_sent_nothing_for_a_period_has_no_cell_there() -> None:
    treated = steps(4, 5, 1)
    whole = rollout(treated, 900)
    children = whole.children.copy()
    children[3] = 0.0
    without = Rollout(whole.la_ids, whole.periods, whole.treated, children)
    three = rollout(treated[:3], 900)
    assert design_variance(without, ICC, 0.7) == pytest.approx(design_variance(three, ICC, 0.7), rel=1e-9)
    assert without.la_count == 3


def test_an_effect_that_cannot_be_told_has_no_variance() -> None:
    everybody = np.tile(steps(1, 5, 2), (4, 1))
    assert math.isnan(design_variance(rollout(everybody, 900), ICC, 0.7))
    assert math.isnan(design_variance(rollout(np.zeros((4, 5)), 900), ICC, 0.7))


def test_plan_from_go_live_rows_counts_days() -> None:
    quarters = [date(2021, 7, 1), date(2021, 10, 1), date(2022, 1, 1)]
    plan = plan_rollout({"b": None, "a": date(2021, 11, 1)}, quarters, date(2022, 3, 31), {"a": 1_000.0, "b": 1_300.0})
    assert plan.la_ids == ("a", "b")
    assert plan.treated[0].tolist() == pytest.approx([0.0, 61 / 92, 1.0])
    assert plan.treated[1].tolist() == [0.0, 0.0, 0.0]
    assert (plan.treated_las, plan.la_count) == (1, 2)
    with pytest.raises(ValueError, match="must rise"):
        plan_rollout({"a": None}, quarters[::-1], date(2022, 3, 31), {"a": 1.0})


def test_go_live_rows_of_every_programme_make_a_roll_out() -> None:
    """Rows alone: each programme's treatment LAs with as many comparison LAs."""
    with (SEEDS / "programmes" / "programme_local_authorities.csv").open(newline="", encoding="utf-8") as handle:
        rows = [r for r in csv.DictReader(handle) if r["role"] == "treatment"]
    programmes = sorted({r["programme_id"] for r in rows})
    assert len(programmes) >= 3
    quarters = [date(2017 + q // 4, 1 + 3 * (q % 4), 1) for q in range(1, 29)]
    for programme in programmes:
        days: dict[str, date | None] = {
            r["la_code"]: date.fromisoformat(r["go_live_date"]) for r in rows if r["programme_id"] == programme
        }
        days |= {f"comparison {la}": None for la in list(days)}
        plan = plan_rollout(days, quarters, date(2024, 3, 31), dict.fromkeys(days, 1_300.0))
        variance = design_variance(plan, ICC, 0.9)
        points = 100 * share_sd(BASELINE) * mdes_after(math.sqrt(variance), plan.la_count - 1.0)
        assert 0.4 < points < 1.2, programme


def test_a_roll_out_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="2 LAs and 3 periods"):
        Rollout(("a", "b"), (date(2021, 1, 1), date(2021, 4, 1), date(2021, 7, 1)), np.zeros((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="0 to 1"):
        Rollout(("a",), (date(2021, 1, 1),), np.array([[1.5]]), np.ones((1, 1)))


# --- After the fact -----------------------------------------------------------------------------


def test_minimum_detectable_effect_after_the_fact() -> None:
    """(t(0.975) + t(0.80)) times the error; 2.2622 + 0.8834 with nine degrees of freedom."""
    assert mdes_after(0.4, 9) == pytest.approx(0.4 * (2.262157 + 0.883404), abs=1e-5)
    assert mdes_after(1.0, None) == pytest.approx(2.80159, abs=5e-6)
    assert (
        math.isnan(mdes_after(math.nan, 9)) and math.isnan(mdes_after(0.0, 9)) and math.isnan(mdes_after(0.4, math.nan))
    )


def test_power_is_the_inverse_of_the_detectable_effect() -> None:
    for freedom in (None, 4.0, 9.0, 29.0):
        assert power_at(mdes_after(0.4, freedom), 0.4, freedom) == pytest.approx(0.8, abs=2e-3)
        assert power_at(0.0, 0.4, freedom) == pytest.approx(0.05, abs=1e-9)
        assert power_at(-0.9, 0.4, freedom) == power_at(0.9, 0.4, freedom)
    assert math.isnan(power_at(0.1, 0.0, 9))


# --- ICC and cluster autocorrelation ------------------------------------------------------------


def made_up_cells(seed: int, la_sd: float, shock_sd: float, las: int = 60, periods: int = 8) -> pd.DataFrame:
    """Cells of unequal size with known components; children of a cell have a standard deviation of 1."""
    generator = np.random.default_rng(seed)
    count = generator.integers(40, 400, size=(las, periods))
    level = generator.normal(0, la_sd, size=(las, 1)) + generator.normal(0, 0.3, size=(1, periods))
    mean = level + generator.normal(0, shock_sd, size=(las, periods))
    rows = []
    for la in range(las):
        for period in range(periods):
            children = generator.normal(mean[la, period], 1.0, size=count[la, period])
            rows.append((f"la{la:03d}", period, len(children), children.sum(), np.square(children).sum()))
    columns = ["la_id", "period", "children_count", "outcome_sum", "outcome_square_sum"]
    return pd.DataFrame(rows, columns=columns)


def test_components_are_found_on_average() -> None:
    """Unbiased by moments, with cells of unequal size and some missing."""
    la_sd, shock_sd = 0.15, 0.08
    found = []
    for seed in range(30):
        cells = made_up_cells(seed, la_sd, shock_sd, las=30, periods=6)
        drop = np.random.default_rng(1_000 + seed).random(len(cells)) < 0.1
        found.append(estimate_correlations(cells[~drop]))
    for name, truth in (("within_variance", 1.0), ("la_variance", la_sd**2), ("la_period_variance", shock_sd**2)):
        values = np.array([getattr(f, name) for f in found])
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - truth) < 3.5 * error, name
        assert error < 0.12 * truth, name


def test_components_by_dense_matrices() -> None:
    """The same moments with the residual makers written out, cells missing."""
    cells = made_up_cells(4, 0.15, 0.08, las=9, periods=5)
    cells = cells[np.random.default_rng(2).random(len(cells)) > 0.2]
    n = cells["children_count"].to_numpy(float)
    y = cells["outcome_sum"].to_numpy() / n
    la = pd.get_dummies(cells["la_id"]).to_numpy(float)
    period = pd.get_dummies(cells["period"]).to_numpy(float)
    within = (cells["outcome_square_sum"].to_numpy() - n * y**2).sum() / (n - 1).sum()

    def maker(x: np.ndarray) -> np.ndarray:
        return np.eye(len(x)) - x @ np.linalg.pinv(x)

    both, alone = maker(np.hstack([la, period])), maker(period)
    shock = (y @ both @ y - within * (np.diag(both) / n).sum()) / np.trace(both)
    known = shock * np.trace(alone) + within * (np.diag(alone) / n).sum()
    lasting = (y @ alone @ y - known) / np.trace(alone @ la @ la.T)
    found = estimate_correlations(cells)
    assert found.within_variance == pytest.approx(within, rel=1e-9)
    assert found.la_period_variance == pytest.approx(shock, rel=1e-8)
    assert found.la_variance == pytest.approx(lasting, rel=1e-8)


def test_icc_and_autocorrelation_of_one_large_set() -> None:
    found = estimate_correlations(made_up_cells(3, 0.15, 0.08))
    between = 0.15**2 + 0.08**2
    assert found.icc == pytest.approx(between / (1 + between), abs=3 * found.icc_error)
    assert found.cac == pytest.approx(0.15**2 / between, abs=3 * found.cac_error)
    assert 0 < found.icc_error < 0.02 and 0 < found.cac_error < 0.2
    assert (found.la_count, found.period_count) == (60, 8)
    assert found.notes == ()


def test_no_shocks_are_said_not_invented() -> None:
    notes = [estimate_correlations(made_up_cells(seed, 0.15, 0.0, las=12, periods=5)).notes for seed in range(8)]
    clipped = [note for note in notes if note]
    assert clipped and all("set to 0" in note[0] for note in clipped)
    found = next(
        f for s in range(8) if (f := estimate_correlations(made_up_cells(s, 0.15, 0.0, las=12, periods=5))).notes
    )
    assert found.la_period_variance == 0.0 and found.cac == 1.0 and math.isnan(found.cac_error)


def test_too_few_las_are_refused() -> None:
    cells = made_up_cells(1, 0.1, 0.1, las=2, periods=4)
    with pytest.raises(NotEstimableError, match="2 LAs and 4 periods"):
        estimate_correlations(cells)


# --- Simulation ---------------------------------------------------------------------------------


def test_beta_of_the_protocol() -> None:
    """methods E: mean 4 %, ICC 0.01566."""
    a, b = beta_parameters(BASELINE, ICC)
    assert (a, b) == (pytest.approx(2.5143, abs=5e-5), pytest.approx(60.343, abs=5e-4))
    with pytest.raises(ValueError, match="between 0 and 1"):
        beta_parameters(0.0, ICC)


def test_jackknife_of_all_studies_at_once_is_that_of_the_estimation_layer() -> None:
    """CR3 and the estimate of three studies, against the functions that the evaluation uses."""
    generator = np.random.default_rng(5)
    treated = np.vstack([steps(3, 6, 2), np.zeros((4, 6))])
    plan = Rollout(
        tuple(f"la{g}" for g in range(7)),
        tuple(date(2021, 1 + t, 1) for t in range(6)),
        treated,
        generator.integers(200, 2_000, size=(7, 6)).astype(float),
    )
    design = _Design.of(plan)
    moments = design.moments(generator.normal(0.04, 0.01, size=(3, 7, 6)))
    estimates, errors = design.estimates(moments)
    for study in range(3):
        reference = cr3(design.sums(moments[study]), 0.05)
        assert estimates[study] == pytest.approx(reference.estimate, rel=1e-9)
        assert errors[study] == pytest.approx(reference.standard_error, rel=1e-9)


def test_simulated_power_is_that_of_the_formula() -> None:
    """15 + 15 equal LAs, no national movement: spread and power by simulation against the variance of the roll-out.

    Shocks without autocorrelation are what the formula assumes; CR3 with t(G - 1) is a little cautious.
    """
    treated = np.zeros((30, 10))
    for row in range(15):
        treated[row, 3 + row // 4 :] = 1.0
    plan, shock, lasting = rollout(treated, 1_300), 0.004, 0.005
    still = Movements(shock, 0.0, 0.0, 0.0)
    shares = draw_shares(plan, BASELINE, lasting, still, 1_500, 11)
    variance = BASELINE * (1 - BASELINE)
    icc = lasting + shock**2 / variance
    cac = lasting / icc
    error = math.sqrt(design_variance(plan, icc, cac)) * math.sqrt(variance)
    effects = [0.0, -0.002, -0.0035, -0.005]
    found = simulate_power(plan, shares, effects, 0.05, 12)
    for planted, row in zip(effects, found, strict=True):
        assert row.sd_estimate == pytest.approx(error, rel=0.06)
        assert row.mean_estimate == pytest.approx(row.realised_effect, abs=4 * error / math.sqrt(1_500))
        expected = power_at(row.realised_effect, error, 29)
        assert row.power == pytest.approx(expected, abs=0.05), planted
    assert [row.power for row in found] == sorted(row.power for row in found)


def test_power_at_five_and_five() -> None:
    """methods E, measured by another hand: WCR 0.24, 0.65, 0.91, CR3 0.20, 0.63, 0.92 at half, one and one and a half
    points; unequal sizes, staggered, six years; both tests keep their size."""
    generator = np.random.default_rng(1)
    sizes = generator.lognormal(0, math.sqrt(math.log(1.25)), 10)
    treated = np.zeros((10, 6))
    for row, year in enumerate((2, 3, 3, 4, 5)):
        treated[row, year:] = 1.0
    plan = Rollout(
        tuple(f"la{g}" for g in range(10)),
        tuple(date(2017 + y, 4, 1) for y in range(6)),
        treated,
        np.repeat((YEARLY * sizes / sizes.mean()).round()[:, None], 6, axis=1),
    )
    shares = draw_shares(plan, BASELINE, ICC, Movements(0.006, 0.5, 0.002, 0.0), 800, 3)
    effects = (0.0, -0.005, -0.01, -0.015)
    found = simulate_power(plan, shares, effects, 0.05, 4, bootstrap_replications=250)
    by_method = {
        method: [r.power for r in found if r.method == method] for method in dict.fromkeys(r.method for r in found)
    }
    jackknife, bootstrap = by_method.values()
    assert jackknife == pytest.approx([0.045, 0.20, 0.63, 0.92], abs=0.07)
    assert bootstrap == pytest.approx([0.05, 0.24, 0.65, 0.91], abs=0.09)
    assert found[0].sd_estimate == pytest.approx(0.0036, abs=0.0004)


def test_what_the_effect_came_to_is_told_from_what_was_planted() -> None:
    """methods E, trap: a large effect on low shares is cut at 0."""
    plan = rollout(np.vstack([steps(4, 8, 3), np.zeros((4, 8))]), 1_300)
    shares = draw_shares(plan, BASELINE, ICC, Movements(0.005, 0.5, 0.002, 0.0), 200, 3)
    (row,) = simulate_power(plan, shares, [-0.023], 0.05, 4)
    assert -0.0229 < row.realised_effect < -0.017
    assert row.mean_estimate == pytest.approx(row.realised_effect, abs=0.002)


def test_one_treated_la_has_no_jackknife() -> None:
    plan = rollout(np.vstack([steps(1, 6, 3), np.zeros((5, 6))]), 1_300)
    shares = draw_shares(plan, BASELINE, ICC, Movements(0.005, 0.5, 0.0, 0.0), 10, 3)
    with pytest.raises(NotEstimableError, match="without some LA"):
        simulate_power(plan, shares, [0.0], 0.05, 4)


def test_same_seed_same_power() -> None:
    plan = rollout(np.vstack([steps(4, 8, 3), np.zeros((4, 8))]), 1_300)
    still = Movements(0.005, 0.5, 0.002, 0.0001, (date(2017, 4, 1), date(2017, 12, 31), -0.006), 0.3)
    runs = [
        simulate_power(plan, draw_shares(plan, BASELINE, ICC, still, 60, 3), [-0.01], 0.05, 4, 20) for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_a_common_shock_moves_the_quarters_it_lasts() -> None:
    plan = rollout(np.vstack([steps(4, 8, 3), np.zeros((4, 8))]), 1_300)
    still = Movements(0.0, 0.0, 0.0, 0.0, (plan.periods[2], plan.periods[3], -0.006), 0.0)
    shares = draw_shares(plan, BASELINE, 0.0, still, 2, 3)
    assert shares[0, 0].tolist() == pytest.approx([BASELINE] * 2 + [BASELINE - 0.006] * 2 + [BASELINE] * 4)


# --- On the marts -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results_of(evaluated: Paths) -> dict[str, pd.DataFrame]:
    def read(name: str) -> pd.DataFrame:
        with duckdb.connect() as connection:
            return connection.execute(f"select * from '{evaluated.results / name}.parquet'").df()

    return {name: read(name) for name in ("matched_pairs", "inference")}


def test_power_of_the_synthetic_programme(evaluated: Paths, results_of: dict[str, pd.DataFrame]) -> None:
    accepted = accepted_las(results_of["matched_pairs"], PROGRAMME)
    with open_marts(evaluated.marts_db) as connection:
        found = run_power(
            connection, PROGRAMME, comparators=accepted, inference=results_of["inference"], replications=60
        )
    for name, table in found.tables().items():
        assert list(table.columns) == list(POWER_TABLES[name]), name
        assert len(table) and (table["clause"] == "FV.POWER.1").all(), name
    own = found.correlations.set_index("outcome_id").loc[PRIMARY]
    assert 0 < own["icc"] < 0.05 and own["mean"] == pytest.approx(0.04, abs=0.015)
    design = found.design[found.design["outcome_id"] == PRIMARY]
    by_cac = design[design["assumption"] != OWN].sort_values("cac")
    assert by_cac["mdes"].is_monotonic_decreasing
    assert (design["treated_la_count"] + design["comparison_la_count"]).eq(len(accepted[PRIMARY])).all()
    after = found.after[found.after["outcome_id"] == PRIMARY]
    assert (after["mdes"] > 2.8 * after["standard_error"]).all()
    formula = found.curve[found.curve["method"] == FORMULA]
    nearest = formula.iloc[(formula["effect"] - design.iloc[0]["mdes"]).abs().argmin()]
    assert nearest["power"] == pytest.approx(0.8, abs=0.03)
    assert sum("does not state" in said for said in found.sentences) == 1


def test_sizes_are_the_children_of_the_marts(evaluated: Paths, results_of: dict[str, pd.DataFrame]) -> None:
    accepted = accepted_las(results_of["matched_pairs"], PROGRAMME)[PRIMARY]
    with open_marts(evaluated.marts_db) as connection:
        found = run_power(connection, PROGRAMME, comparators={PRIMARY: accepted}, replications=20)
        counted = connection.execute(
            "select count(*) from analysis_children where programme_id = ? and outcome_id = ?"
            " and list_contains(?, la_id) and outcome_value is not null",
            [PROGRAMME, PRIMARY, accepted],
        ).fetchone()
    mine = found.design[found.design["outcome_id"] == PRIMARY]
    assert counted is not None and (mine["children_count"] == counted[0]).all()
    others = found.design[found.design["outcome_id"] != PRIMARY]
    assert others["note"].str.contains("no pairs were given").all()
    assert found.after.empty


def test_figure_and_section(evaluated: Paths, results_of: dict[str, pd.DataFrame]) -> None:
    with open_marts(evaluated.marts_db) as connection:
        found = run_power(connection, PROGRAMME, inference=results_of["inference"], replications=40)
    section = power_section(found, "key", PRIMARY, 0.8)
    assert "0.1162" in section["lead"] and "does not state" in section["lead"]
    assert [table.key.split("-")[1] for table in section["tables"]] == ["protocol", "correlations", "design", "after"]
    assert section["chart"].count("<svg") == 2 and "nan" not in section["chart"]
    assert len(section["chart_table"].rows) == len(found.curve[found.curve["method"] != FORMULA])
    figure = power_figure(found.curve, "key", 0.8)
    assert figure is not None and figure.wide.png() == figure.wide.png()
    assert power_figure(found.curve.iloc[:0], "key", 0.8) is None


def test_an_unknown_programme_is_refused(evaluated: Paths) -> None:
    with open_marts(evaluated.marts_db) as connection, pytest.raises(SfpcError, match="no programme 'nothing'"):
        run_power(connection, "nothing")


def test_settings_come_from_the_mart(evaluated: Paths) -> None:
    with open_marts(evaluated.marts_db) as connection:
        economics = read_economics(connection)
    assert economics.power_table[PROGRAMME] == assumptions()
    assert movements(economics).shock_autocorrelation == 0.5
    assert economics.flag("admits_unverified_costs") is False
    with pytest.raises(SfpcError, match="no row for 'nothing'"):
        economics.number("nothing")
    with pytest.raises(SfpcError, match="not a number"):
        economics.number("green_book_edition")
    with pytest.raises(SfpcError, match="true or false"):
        economics.flag("default_reading")
    with pytest.raises(SfpcError, match="expected a date"):
        Economics({"common_shock_first_day": "soon"}, {}).day("common_shock_first_day")


def test_marts_without_settings_say_what_to_do(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.execute(f"attach '{tmp_path / 'old.duckdb'}' as published")
    connection.execute("create schema published.marts")
    with pytest.raises(SfpcError, match="dim_economic_settings: build them again"):
        read_economics(connection)


def test_cells_become_a_roll_out() -> None:
    cells = pd.DataFrame(
        [("a", "2021-01-01", 100, 0), ("a", "2021-04-01", 80, 20), ("b", "2021-04-01", 50, 0)],
        columns=["la_id", "quarter_start_date", "children_count", "treated_count"],
    )
    found = rollout_of(cells)
    assert found.children.tolist() == [[100.0, 80.0], [0.0, 50.0]]
    assert found.treated.tolist() == [[0.0, 0.25], [0.0, 0.0]]
    assert found.periods == (date(2021, 1, 1), date(2021, 4, 1))
