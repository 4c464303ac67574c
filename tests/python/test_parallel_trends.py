"""Parallel trends and shocks: FV.MATCH.5 to .7. Numbers against independent computations; size by simulation."""

from __future__ import annotations

import itertools

import duckdb
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from sfpc.marts import ANALYSIS
from sfpc.matching.parallel import parallel_trend_tests, shock_tests, stack
from sfpc.matching.sets import members_of
from sfpc.matching.stacked import fit_stacked
from sfpc.matching.trends import window_trends
from test_matching import Settings, roles

QUARTERS = pd.date_range("2017-07-01", periods=10, freq="QS")
SETS = {"T1": ["C1", "C2"], "T2": ["C2", "C3", "C4"], "T3": ["C5"], "T4": ["C6"]}
ACCEPTED = pd.DataFrame(
    [("fv", "a", la, comparator) for la, own in SETS.items() for comparator in own],
    columns=["programme_id", "outcome_id", "treatment_la_id", "candidate_la_id"],
)
MEMBERS = members_of(ACCEPTED)
LAS = sorted(set(MEMBERS["la_id"]))
UNITS = {"a": (100.0, "percentage points")}
NO_PLACEBO = pd.DataFrame({"window_id": ["default"], "placebo_months": [0]})


def quarters_of(bounds: dict[str, tuple[int, int]] | None = None) -> pd.DataFrame:
    rows = [
        ("fv", "a", "default", la, day, day + pd.DateOffset(months=21) - pd.DateOffset(days=1), True)
        for la in SETS
        for day in QUARTERS[slice(*(bounds or {}).get(la, (0, 10)))]
    ]
    names = ["programme_id", "outcome_id", "window_id", "treatment_la_id", "quarter_start_date",
             "last_follow_up_date", "is_default"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def cells_of(values: dict[str, np.ndarray], variance: float = 3e-5) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"la_id": la, "quarter_start_date": QUARTERS[: len(own)], "value": own})
        for la, own in values.items()
    ]
    frame = pd.concat(frames, ignore_index=True).assign(programme_id="fv", outcome_id="a", sampling_variance=variance)
    frame["is_matching_candidate"] = frame["la_id"].str.startswith("C")
    return frame.assign(
        standardised_value=frame["value"] / 0.01,
        standardised_variance=variance / 1e-4,
        numerator=1,
        denominator_count=9,
    )


def noise(seed: int, sd: float = 0.005) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.01, len(QUARTERS))
    return {la: 0.05 + common + rng.normal(0, sd, len(QUARTERS)) for la in LAS}


def found_in(values: dict[str, np.ndarray], quarters: pd.DataFrame | None = None) -> pd.DataFrame:
    las = roles(list(SETS), [la for la in LAS if la.startswith("C")])
    shown = quarters_of() if quarters is None else quarters
    return parallel_trend_tests(cells_of(values), shown, MEMBERS, las, NO_PLACEBO, UNITS, Settings(), 0.05)


def dummies(panel: pd.DataFrame, x: np.ndarray) -> np.ndarray:
    keys = [panel["set_id"] + "|" + panel[name].astype(str) for name in ("la_id", "quarter")]
    return np.column_stack([x, *(pd.get_dummies(key, dtype=float).to_numpy() for key in keys)])


def test_stacked_fit_equals_least_squares_with_dummies() -> None:
    """Coefficients and F of a regression with every dummy; errors from what each LA adds to the coefficient."""
    panel = stack(cells_of(noise(1)), MEMBERS, quarters_of()[["treatment_la_id", "quarter_start_date"]])
    weights = panel.loc[~panel["is_treatment_arm"]].groupby("set_id")["weight"].sum()
    np.testing.assert_allclose(weights, 10)
    late = panel["quarter"] - panel["quarter"].min()
    arm = panel["is_treatment_arm"].to_numpy(dtype=float)
    x = np.column_stack([arm * (late >= 5), arm * (late == 2)])
    fit = fit_stacked(panel, x)
    root = np.sqrt(panel["weight"].to_numpy())
    full, null = dummies(panel, x) * root[:, None], dummies(panel, x[:, :0]) * root[:, None]
    y = panel["y"].to_numpy() * root
    projection = np.linalg.pinv(full)
    np.testing.assert_allclose(fit.coefficients, (projection @ y)[:2], atol=1e-12)
    left = np.square(y - full @ (projection @ y)).sum()
    without = np.square(y - null @ (np.linalg.pinv(null) @ y)).sum()
    assert fit.statistic == pytest.approx((without - left) / left, rel=1e-9)
    own = beyond(panel) - x @ fit.coefficients
    codes = pd.factorize(panel["la_id"])[0]
    for k in range(2):
        added = np.bincount(codes, projection[k] * root * own)
        assert fit.standard_errors[k] == pytest.approx(np.sqrt(10 / 9 * np.square(added).sum()), rel=1e-9)
    assert fit.cluster_count == panel["la_id"].nunique() == 10 and fit.row_count == len(panel)
    explained = fit_stacked(panel, np.ones((len(panel), 1)))
    assert np.isnan(explained.coefficients).all() and np.isnan(explained.p_value)


def beyond(panel: pd.DataFrame) -> np.ndarray:
    """What an LA does beyond effects of LA and quarter that all sets share."""
    shared = np.column_stack([pd.get_dummies(panel[name], dtype=float) for name in ("la_id", "quarter")])
    root = np.sqrt(panel["weight"].to_numpy())
    y = panel["y"].to_numpy()
    return np.asarray(y - shared @ (np.linalg.pinv(shared * root[:, None]) @ (y * root)))


def test_wild_bootstrap_equals_a_loop_over_all_sign_patterns() -> None:
    """Every one of the 2^10 patterns, refitted with all dummies; the null imposed."""
    panel = stack(cells_of(noise(2)), MEMBERS, quarters_of()[["treatment_la_id", "quarter_start_date"]])
    x = (panel["is_treatment_arm"] & (panel["quarter"] >= panel["quarter"].min() + 6)).to_numpy(dtype=float)[:, None]
    root = np.sqrt(panel["weight"].to_numpy())
    full = dummies(panel, x) * root[:, None]
    projection = np.linalg.pinv(full)
    null = np.linalg.pinv(full[:, 1:])
    codes = pd.factorize(panel["la_id"])[0]

    def f_of(values: np.ndarray) -> float:
        left = np.square(values - full @ (projection @ values)).sum()
        return float(np.square(values - full[:, 1:] @ (null @ values)).sum() / left)

    observed = f_of(panel["y"].to_numpy() * root)
    own = beyond(panel) * root
    drawn = [f_of(own * np.array(signs)[codes]) for signs in itertools.product((1.0, -1.0), repeat=10)]
    share = np.mean(np.array(drawn) - 1 >= (observed - 1) * (1 - 1e-9))
    assert fit_stacked(panel, x).p_value == pytest.approx(share, abs=1e-12)


def test_placebo_date_of_one_pair_by_hand() -> None:
    """FV.MATCH.5: difference after minus before, in percentage points."""
    members = MEMBERS[MEMBERS["treatment_la_id"] == "T3"]
    values = {"T3": np.array([1.0, 2, 4, 5]) / 100, "C5": np.array([1.0, 1, 1, 2]) / 100}
    las = roles(["T3"], ["C5"])
    got = parallel_trend_tests(cells_of(values), quarters_of(), members, las, NO_PLACEBO, UNITS, Settings(), 0.05)
    row = got[got["test"] == "placebo_date"]
    assert row["as_of_date"].tolist() == [QUARTERS[2]]
    assert row["estimate"].iloc[0] == pytest.approx((3 + 3) / 2 - (0 + 1) / 2)
    assert row["cluster_count"].iloc[0] == 2


def test_pair_tests_against_statsmodels() -> None:
    """The slope of a pair is a weighted line; its error never below that of sampling. Constancy is chi-squared."""
    values = noise(3, sd=0.02)
    got = found_in(values)
    own = got[(got["treatment_la_id"] == "T3") & (got["la_id"] == "C5")].set_index("test")
    difference = 100 * (values["T3"] - values["C5"])
    line = sm.OLS(difference, sm.add_constant(np.arange(10.0))).fit()
    slope = own.loc["pair_slope"]
    assert slope["estimate"] == pytest.approx(line.params[1], abs=1e-9)
    assert slope["standard_error"] == pytest.approx(line.bse[1], rel=1e-9)
    assert slope["p_value"] == pytest.approx(line.pvalues[1], rel=1e-9)
    assert slope["degrees_of_freedom"] == 8
    statistic = np.square(difference - difference.mean()).sum() / (2 * 3e-5 * 1e4)
    constant = own.loc["pair_constant_difference"]
    assert constant["statistic"] == pytest.approx(statistic) and constant["degrees_of_freedom"] == 9
    assert constant["p_value"] == pytest.approx(stats.chi2.sf(statistic, 9))
    calm = found_in({la: np.full(10, 0.05) for la in LAS}).set_index(["test", "treatment_la_id", "la_id"])
    error = calm.loc[("pair_slope", "T3", "C5"), "standard_error"]
    assert error == pytest.approx(100 * np.sqrt(2 * 3e-5 / np.square(np.arange(10) - 4.5).sum()))


def test_a_common_shock_is_no_violation_and_a_diverging_trend_is() -> None:
    """FV.MATCH.5: the joint test of leads and the last placebo dates see a trend of the treated; nothing common."""
    common = np.cumsum(np.random.default_rng(5).normal(0, 0.05, 10))
    calm = noise(4, sd=0.002)
    shifted = {la: own + common for la, own in calm.items()}
    left, right = found_in(calm), found_in(shifted)
    np.testing.assert_allclose(left["estimate"].astype(float), right["estimate"].astype(float), atol=1e-9)
    diverging = {la: own + (0.004 * np.arange(10) if la in SETS else 0) for la, own in calm.items()}
    found = found_in(diverging)
    joint = found[found["test"] == "joint_leads"].iloc[0]
    assert joint["p_value"] < 0.05 and joint["degrees_of_freedom"] == 9
    assert (found.loc[found["test"] == "placebo_date", "p_value"] < 0.05).all()
    slopes = found[found["test"] == "pair_slope"]
    assert slopes["estimate"].between(0.2, 0.6).all() and (slopes["p_value"] < 0.05).all()


def test_tests_keep_their_size_with_ten_clusters() -> None:
    """FV.EST.3, FV.MATCH.5: no violation, LAs with levels, a shared walk and persistent shocks of their own.

    Residuals of the fit itself, flipped by LA, reject 20 % here (docs/methods/parallel_trends.md).
    """
    shown = quarters_of()[["treatment_la_id", "quarter_start_date"]]
    panel = stack(cells_of(noise(1)), MEMBERS, shown)
    arm = panel["is_treatment_arm"].to_numpy(dtype=bool)
    lead = (panel["quarter"] - panel["quarter"].max()).to_numpy()
    joint = np.column_stack([(arm & (lead == k)).astype(float) for k in range(-9, 0)])
    placebo = (arm & (lead >= -3)).astype(float)[:, None]
    rng = np.random.default_rng(17)
    draws, rejected, covered = 300, np.zeros(2), 0
    for _ in range(draws):
        common = np.cumsum(rng.normal(0, 0.01, 10))
        values = {la: common + rng.normal(0, 0.01) + persistent(rng) for la in LAS}
        one = panel.assign(y=[values[la][q] for la, q in zip(panel["la_id"], lead + 9, strict=True)])
        single = fit_stacked(one, placebo)
        rejected += [fit_stacked(one, joint).p_value <= 0.05, single.p_value <= 0.05]
        covered += abs(single.coefficients[0]) <= stats.t.ppf(0.975, 9) * single.standard_errors[0]
    assert (rejected / draws <= 0.09).all() and (rejected / draws >= 0.01).all()
    assert covered / draws >= 0.93


def persistent(rng: np.random.Generator) -> np.ndarray:
    shocks = rng.normal(0, 0.005, 10)
    for q in range(1, 10):
        shocks[q] = 0.5 * shocks[q - 1] + np.sqrt(0.75) * shocks[q]
    return shocks


def test_windows_that_differ_are_stacked_each_on_its_own() -> None:
    """FV.MATCH.3: only quarters of the set's own window, and only where the whole set has a value."""
    values = noise(6)
    values["C1"] = values["C1"][:8]
    shown = quarters_of({"T1": (2, 10), "T2": (0, 5)})
    panel = stack(cells_of(values), MEMBERS, shown[["treatment_la_id", "quarter_start_date"]])
    first = panel[panel["set_id"] == "T1"].groupby("la_id")["quarter_start_date"].agg(["min", "max", "size"])
    assert first["min"].eq(QUARTERS[2]).all() and first["max"].eq(QUARTERS[7]).all() and first["size"].eq(6).all()
    assert panel[panel["set_id"] == "T2"]["quarter"].nunique() == 5
    got = found_in(values, shown)
    dates = got[got["test"] == "placebo_date"].set_index("as_of_date")
    assert "4 treatment LAs" in dates.loc[QUARTERS[4] - pd.DateOffset(months=3), "note"] or len(dates) >= 6


def test_a_short_set_has_no_slope_and_says_so() -> None:
    shown = quarters_of(dict.fromkeys(SETS, (0, 3)))
    got = found_in(noise(7), shown)
    slopes = got[got["test"] == "pair_slope"]
    assert slopes["p_value"].isna().all() and slopes["note"].str.contains("fewer than four quarters").all()
    assert not (got["test"] == "placebo_date").any()


# --- held out ------------------------------------------------------------------------------------


def test_held_out_quarters_are_not_matched_on_and_are_tested() -> None:
    """FV.MATCH.5: matching sees the placebo window alone; the effect is that of the quarters after it."""
    rng = np.random.default_rng(9)
    las = roles(list(SETS), [f"C{i}" for i in range(1, 7)])
    values = noise(8, sd=0.001)
    shown = quarters_of()
    early = shown[shown["quarter_start_date"] < QUARTERS[8]].assign(window_id="placebo", is_default=False)
    windows = pd.DataFrame({"window_id": ["default", "placebo"], "placebo_months": [0, 6]})

    def held_out(given: dict[str, np.ndarray]) -> pd.Series:
        got = parallel_trend_tests(
            cells_of(given), pd.concat([shown, early]), MEMBERS, las, windows, UNITS, Settings(), 0.05
        )
        rows = got[got["test"] == "held_out_placebo"]
        assert len(rows) == 1
        return rows.iloc[0]

    quiet = held_out(values)
    assert abs(quiet["estimate"]) < 0.15 and quiet["p_value"] > 0.05
    assert "go-live set 6 months early (placebo): 4 of 4" in quiet["note"]
    moved = {la: own + (np.r_[np.zeros(8), 0.02, 0.02] if la in SETS else 0.0) for la, own in values.items()}
    loud = held_out(moved)
    assert loud["estimate"] == pytest.approx(quiet["estimate"] + 2.0, abs=1e-9) and loud["p_value"] < 0.05
    wild = {la: own + rng.normal(0, 1, 10) * (la in SETS) for la, own in values.items()}
    nobody = held_out(wild)
    assert "no treatment LA finds a comparator before this placebo date (placebo)" in nobody["note"]
    assert np.isnan(nobody["p_value"])


def test_window_trends_hold_nothing_outside_the_window() -> None:
    cells = cells_of(noise(10))
    shown = quarters_of({"T1": (0, 4), "T2": (2, 6)}).query("treatment_la_id in ('T1', 'T2')")
    rows = window_trends(cells, shown)
    assert set(rows.loc[rows["la_id"] == "T1", "quarter_start_date"]) == set(QUARTERS[:4])
    assert set(rows.loc[rows["la_id"] == "C1", "quarter_start_date"]) == set(QUARTERS[:6])
    assert not rows["la_id"].isin(["T3", "T4"]).any()
    first = rows.groupby("la_id")["standardised_change"].first()
    assert first.isna().sum() == 0 or first.notna().any()
    assert rows.groupby("la_id").head(1)["standardised_change"].isna().all()


# --- shocks --------------------------------------------------------------------------------------


def children_after(effect: float, seed: int = 1, per_cell: int = 150) -> duckdb.DuckDBPyConnection:
    """Children entered from January 2021, go-live that day; from 2022 on treated LAs move by `effect`."""
    rng = np.random.default_rng(seed)
    rows = []
    for set_id, own in SETS.items():
        for la in [set_id, *own]:
            for day in pd.date_range("2021-01-01", periods=8, freq="QS"):
                rate = 0.2 + (0.05 if day >= pd.Timestamp("2022-01-01") else 0)
                rate += effect if la == set_id and day >= pd.Timestamp("2022-01-01") else 0
                for number, hit in enumerate(rng.random(per_cell) < rate):
                    rows.append((set_id, la, f"{la}-{day:%Y%m}-{number}", day + pd.Timedelta(days=40), float(hit)))
    frame = pd.DataFrame(rows, columns=["treatment_la_id", "la_id", "child_id", "anchor_date", "outcome_value"])
    frame = frame.assign(programme_id="fv", outcome_id="a", is_treatment_arm=frame["treatment_la_id"] == frame["la_id"])
    connection = duckdb.connect()
    connection.register("given", frame)
    connection.execute(
        "create temp table cem_weights as select programme_id, outcome_id, treatment_la_id, la_id,"
        " child_id || treatment_la_id as child_id, is_treatment_arm, true as is_matched, true as is_after_go_live,"
        " if(is_treatment_arm, 1.0, 0.7) as weight_protocol from given"
    )
    connection.execute(
        f"create temp view {ANALYSIS} as select programme_id, outcome_id, child_id || treatment_la_id as child_id,"
        " anchor_date, outcome_value from given"
    )
    return connection


def shocks(*rows: tuple[str, str | None, str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["shock_date", "la_id", "title"]).assign(kind="k")
    return frame.assign(shock_date=pd.to_datetime(frame["shock_date"]))


def shock_rows(values: dict[str, np.ndarray], effect: float, *register: tuple[str, str | None, str]) -> pd.DataFrame:
    with children_after(effect) as connection:
        return shock_tests(connection, shocks(*register), cells_of(values), quarters_of(), MEMBERS, UNITS, 0.05)


def test_response_of_a_pair_is_found_by_the_exposure_of_its_follow_ups() -> None:
    """FV.MATCH.6: the treatment LA responds by 3 points more for a follow-up wholly after the shock."""
    day = pd.Timestamp("2020-01-01")
    ends = QUARTERS + pd.DateOffset(months=21) - pd.DateOffset(days=1)
    exposure = np.clip(((ends - day) / (ends - QUARTERS)).to_numpy(dtype=float), 0, 1)
    values = {la: np.full(10, 0.05) + 0.02 * exposure for la in LAS}
    values["T3"] = values["T3"] + 0.03 * exposure
    got = shock_rows(values, 0.0, ("2020-01-01", None, "England"))
    pairs = got[got["test"] == "pair_shock_response"].set_index(["treatment_la_id", "la_id"])
    assert len(pairs) == len(ACCEPTED)
    assert pairs.loc[("T3", "C5"), "estimate"] == pytest.approx(3.0, abs=1e-9)
    assert pairs.loc[("T3", "C5"), "p_value"] < 0.05
    np.testing.assert_allclose(pairs["estimate"].astype(float).drop(("T3", "C5")), 0, atol=1e-9)
    assert (pairs["p_value"].drop(("T3", "C5")) > 0.5).all()


def test_a_shock_outside_the_window_has_a_reason_and_no_number() -> None:
    got = shock_rows(noise(1), 0.0, ("2010-01-01", None, "Long ago"), ("2030-01-01", None, "Yet to come"))
    pairs = got[got["test"] == "pair_shock_response"]
    assert pairs["p_value"].isna().all()
    said = pairs.groupby("shock_title")["note"].unique().str[0]
    assert "before all of the follow-ups" in said["Long ago"] and "after most of" in said["Yet to come"]
    after = got[got["test"] == "shock_interaction"]
    assert len(after) == 2 and after["note"].str.contains("2 whole quarters after go-live on either side").all()


def test_local_shocks_concern_their_own_pairs() -> None:
    """FV.MATCH.6, .7: compared for pairs with that LA; after go-live, leave the LA out."""
    got = shock_rows(noise(1), 0.0, ("2020-01-01", "C2", "A report"), ("2021-10-01", "C2", "Another"))
    pairs = got[got["test"] == "pair_shock_response"]
    assert set(zip(pairs["treatment_la_id"], pairs["la_id"], strict=True)) == {("T1", "C2"), ("T2", "C2")}
    after = got[got["test"] == "shock_interaction"]
    assert after["shock_title"].tolist() == ["Another"] and after["la_id"].tolist() == ["C2"]
    assert "leave this LA out instead" in after["note"].iloc[0] and after["p_value"].isna().all()


def test_interaction_after_go_live() -> None:
    """FV.MATCH.7: what meets both arms is no violation; what meets the treated alone is found, in points."""
    calm = shock_rows(noise(1), 0.0, ("2022-01-01", None, "A new rule"))
    calm = calm[calm["test"] == "shock_interaction"].iloc[0]
    assert calm["p_value"] > 0.05 and abs(calm["estimate"]) < 3 * calm["standard_error"]
    assert calm["clause"] == "FV.MATCH.7" and calm["cluster_count"] == 10 and calm["unit"] == "percentage points"
    moved = shock_rows(noise(1), 0.15, ("2022-01-01", None, "A new rule"))
    moved = moved[moved["test"] == "shock_interaction"].iloc[0]
    assert moved["p_value"] < 0.05 and abs(moved["estimate"] - 15) < 3 * moved["standard_error"]


def test_the_quarter_that_holds_a_shock_counts_for_neither_side() -> None:
    """FV.MATCH.7: a shock within a quarter leaves that quarter out; on its first day the quarter is after."""
    inside = shock_rows(noise(1), 0.15, ("2021-11-05", None, "Within"), ("2022-01-01", None, "First day"))
    inside = inside[inside["test"] == "shock_interaction"].set_index("shock_title")
    assert inside.loc["Within", "quarters_count"] == 7 and inside.loc["First day", "quarters_count"] == 8
    assert inside.loc["Within", "estimate"] == pytest.approx(15, abs=3 * inside.loc["Within", "standard_error"])
