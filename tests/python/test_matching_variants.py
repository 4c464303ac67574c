"""Every declared distance and window, the noise audit, and the rates at which planted twins are found (FV.MATCH.2, .3).

Distances are compared with an implementation of their definitions in plain Python, without arrays.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from sfpc.errors import SfpcError
from sfpc.matching.distance import (
    LIKELIHOOD,
    LIKELIHOOD_ALL,
    METRICS,
    RMS,
    SHRUNKEN,
    Signal,
    estimate_signal,
    measure,
    panel_of,
    shrunken_trends,
    signal_covariance,
)
from sfpc.matching.noise import audit_noise
from sfpc.matching.variants import rank_variants
from sfpc.synthetic.twins import simulate_metric_hits
from test_matching import Settings, roles

QUARTERS = pd.date_range("2016-10-01", periods=16, freq="QS")
TREATMENT = ["T1", "T2"]
CANDIDATES = [f"C{i:02d}" for i in range(14)]
OUTCOMES = ("a", "b")


def variants(*rows: tuple[str, str, str, float | None, bool]) -> pd.DataFrame:
    names = ["variant_id", "window_id", "metric", "twin_correlation", "is_default"]
    return pd.DataFrame(list(rows), columns=names).assign(clause="FV.MATCH.2", placebo_months=0)


EVERY = variants(
    ("default", "default", "rms", None, True),
    ("euclidean", "default", "euclidean", None, False),
    ("weighted", "default", "standard_error_weighted", None, False),
    ("last", "last", "rms", None, False),
    ("early", "early", "rms", None, False),
    ("shrunken", "default", "shrunken", None, False),
    ("likelihood", "default", "likelihood", 0.9, False),
    ("together", "default", "likelihood_all_outcomes", 0.9, False),
)
# What each treatment LA may look at, by window: first and one past the last of the quarters above.
WINDOWS = {"default": ((2, 12), (4, 13)), "last": ((3, 13), (5, 15)), "early": ((0, 9), (0, 6))}


def cells(seed: int = 4) -> pd.DataFrame:
    """Both outcomes of all LAs, with gaps, sizes that differ, and one LA that starts late."""
    rng = np.random.default_rng(seed)
    rows = []
    for outcome in OUTCOMES:
        for la in TREATMENT + CANDIDATES:
            trend = np.cumsum(rng.normal(0, 0.4, len(QUARTERS)))
            size = rng.integers(2000, 9000)
            for q, day in enumerate(QUARTERS):
                if rng.random() < 0.06 or (la == "C13" and q < 8):
                    continue
                rate = float(np.clip(0.05 + 0.01 * trend[q], 0.005, 0.5))
                hits = int(rng.binomial(size, rate))
                value = hits / size
                variance = value * (1 - value) / size
                rows.append((outcome, la, day, hits, size, value, variance, (value - 0.05) / 0.01, variance / 1e-4))
    names = ["outcome_id", "la_id", "quarter_start_date", "numerator", "denominator_count", "value",
             "sampling_variance", "standardised_value", "standardised_variance"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=names).assign(programme_id="fv")
    return frame.assign(is_matching_candidate=frame["la_id"].str.startswith("C"))


def shown() -> pd.DataFrame:
    rows = [
        ("fv", outcome, window, la, QUARTERS[q], window == "default")
        for outcome in OUTCOMES
        for window, bounds in WINDOWS.items()
        for la, (first, end) in zip(TREATMENT, bounds, strict=True)
        for q in range(first, end)
    ]
    names = ["programme_id", "outcome_id", "window_id", "treatment_la_id", "quarter_start_date", "is_default"]
    return pd.DataFrame(rows, columns=names)


def by_definition(
    frame: pd.DataFrame, outcome: str, treatment: str, candidate: str, window: tuple[int, int], metric: str
) -> tuple[int, float] | None:
    """Quarters and distance of one pair, written from the clause, one number at a time."""
    held: dict[str, dict[int, tuple[float, float]]] = {treatment: {}, candidate: {}}
    for row in frame.itertuples():
        if row.outcome_id == outcome and row.la_id in held:
            q = QUARTERS.get_loc(row.quarter_start_date)
            if window[0] <= q < window[1]:
                held[str(row.la_id)][int(q)] = (float(row.standardised_value), float(row.standardised_variance))
    both = sorted(set(held[treatment]) & set(held[candidate]))
    squares: list[float] = []
    weights: list[float] = []
    for q in both:
        if q - 1 not in both:
            continue
        change = {la: held[la][q][0] - held[la][q - 1][0] for la in held}
        squares.append((change[treatment] - change[candidate]) ** 2)
        weights.append(1 / sum(held[la][q][1] + held[la][q - 1][1] for la in held))
    if not squares:
        return None
    if metric == "euclidean":
        return len(both), math.sqrt(math.fsum(squares))
    if metric == "rms":
        return len(both), math.sqrt(math.fsum(squares) / len(squares))
    total = math.fsum(w * s for w, s in zip(weights, squares, strict=True))
    return len(both), math.sqrt(total / math.fsum(weights))


@pytest.fixture(scope="module")
def ranked() -> pd.DataFrame:
    return rank_variants(cells(), shown(), roles(TREATMENT, CANDIDATES), EVERY, Settings())


@pytest.mark.parametrize(
    ("variant", "window", "metric"),
    [
        ("default", "default", "rms"),
        ("euclidean", "default", "euclidean"),
        ("weighted", "default", "standard_error_weighted"),
        ("last", "last", "rms"),
        ("early", "early", "rms"),
    ],
)
def test_distances_agree_with_the_definition_on_a_panel_with_gaps(
    ranked: pd.DataFrame, variant: str, window: str, metric: str
) -> None:
    """FV.MATCH.2, FV.MATCH.3: to 1e-9, both outcomes, every window, ranks and counts too."""
    frame = cells()
    compared = 0
    for outcome in OUTCOMES:
        for t, la in enumerate(TREATMENT):
            expected = []
            for candidate in CANDIDATES:
                found = by_definition(frame, outcome, la, candidate, WINDOWS[window][t], metric)
                if found and found[0] >= 8:
                    expected.append((found[1], candidate, found[0]))
            expected = sorted(expected)[:10]
            own = ranked.query("variant_id == @variant and outcome_id == @outcome and treatment_la_id == @la")
            if not expected:
                assert own["candidate_la_id"].isna().all() and len(own) == 1
                assert "quarters of this window; 8 are needed" in own["reason"].iloc[0]
                continue
            assert own["candidate_la_id"].tolist() == [candidate for _, candidate, _ in expected]
            assert own["quarters_count"].tolist() == [count for *_, count in expected]
            np.testing.assert_allclose(own["distance"], [distance for distance, *_ in expected], rtol=0, atol=1e-9)
            compared += len(expected)
    assert compared >= 15


def test_gaps_are_in_the_panel_and_change_the_euclidean_order(ranked: pd.DataFrame) -> None:
    """The panel is one on which the metrics differ, or the agreement above would prove little."""
    counts = ranked.loc[ranked["variant_id"] == "default", "changes_count"].dropna()
    assert counts.nunique() > 2
    order = {name: own["candidate_la_id"].tolist() for name, own in ranked.groupby("variant_id")}
    assert order["default"] != order["euclidean"] != order["weighted"] != order["default"]


def test_a_treatment_la_is_read_in_its_own_window_only(ranked: pd.DataFrame) -> None:
    """FV.MATCH.3: figures outside the window may be anything, the ranking stays as it is."""
    frame = cells()
    spoilt = frame.copy()
    default = shown().query("window_id == 'default'")
    allowed = set(zip(default["treatment_la_id"], default["quarter_start_date"], strict=True))
    own = spoilt["la_id"].isin(TREATMENT)
    outside = own & ~pd.Series(
        [pair in allowed for pair in zip(spoilt["la_id"], spoilt["quarter_start_date"], strict=True)],
        index=spoilt.index,
    )
    assert outside.sum() > 5
    spoilt.loc[outside, ["standardised_value", "standardised_variance"]] = [99.0, 99.0]
    again = rank_variants(spoilt, shown(), roles(TREATMENT, CANDIDATES), EVERY, Settings())
    kept = [name for name in EVERY["variant_id"] if name not in ("last", "early")]
    pd.testing.assert_frame_equal(ranked[ranked["variant_id"].isin(kept)], again[again["variant_id"].isin(kept)])
    early = again.query("variant_id == 'early'")
    assert not early["distance"].equals(ranked.query("variant_id == 'early'")["distance"])


def test_default_rank_stands_beside_every_other_rank(ranked: pd.DataFrame) -> None:
    keys = ["outcome_id", "treatment_la_id", "candidate_la_id"]
    default = ranked[ranked["variant_id"] == "default"].set_index(keys)["rank"]
    for row in ranked[ranked["candidate_la_id"].notna()].itertuples():
        key = (row.outcome_id, row.treatment_la_id, row.candidate_la_id)
        assert (row.default_rank == default[key]) if key in default.index else pd.isna(row.default_rank)


def test_shrunken_trends_are_the_best_linear_prediction() -> None:
    """Against the normal conditional expectation, written with values and a common level instead of changes."""
    rng = np.random.default_rng(2)
    quarters, signal = 7, Signal(0.3, 0.6, 0.0, 0.0)
    z, v = rng.normal(size=(1, quarters)), rng.uniform(0.05, 0.4, (1, quarters))
    deviation = signal_covariance(signal, quarters)
    # A level that is not known at all: a very wide prior for it.
    joint = deviation + np.diag(v[0]) + 1e7 * np.ones((quarters, quarters))
    expected = deviation @ np.linalg.solve(joint, z[0])
    np.testing.assert_allclose(shrunken_trends(z, v, signal)[0], expected - expected.mean(), atol=1e-6)
    # A missing quarter is as good as one with an endless error, and its neighbours fill it.
    z_gap, v_gap = z.copy(), v.copy()
    z_gap[0, 3] = v_gap[0, 3] = np.nan
    keep = [q for q in range(quarters) if q != 3]
    joint = (deviation + np.diag(np.nan_to_num(v_gap[0])) + 1e7)[np.ix_(keep, keep)]
    expected = deviation[:, keep] @ np.linalg.solve(joint, z[0, keep])
    np.testing.assert_allclose(shrunken_trends(z_gap, v_gap, signal)[0], expected - expected.mean(), atol=1e-5)


def test_likelihood_is_the_ratio_of_two_normal_densities() -> None:
    """Against scipy's densities of the pair as twins and as strangers."""
    from scipy import stats

    rng = np.random.default_rng(6)
    quarters, signal, correlation = 6, Signal(0.4, 0.5, 0.0, 0.0), 0.8
    z, v = rng.normal(size=(4, quarters)), rng.uniform(0.05, 0.3, (4, quarters))
    found = measure(
        LIKELIHOOD, (z[:1], v[:1]), (z[1:], v[1:]), np.ones((1, quarters), dtype=bool), signal, correlation
    ).distance[0]
    step = np.diff(np.eye(quarters), axis=0)
    true = step @ signal_covariance(signal, quarters) @ step.T
    noise = [step @ np.diag(one) @ step.T for one in v]
    change = z @ step.T
    for c in (1, 2, 3):
        both = np.concatenate([change[0], change[c]])
        twin = np.block([[true + noise[0], correlation * true], [correlation * true, true + noise[c]]])
        stranger = np.block([[true + noise[0], 0 * true], [0 * true, true + noise[c]]])
        expected = -2 * (
            stats.multivariate_normal(cov=twin).logpdf(both) - stats.multivariate_normal(cov=stranger).logpdf(both)
        )
        assert found[c - 1] == pytest.approx(expected, abs=1e-8)


def test_signal_is_found_where_there_is_one_and_nowhere_else() -> None:
    """Moments: variance and persistence of planted shocks, reliability; pure noise has none."""
    rng = np.random.default_rng(8)
    las, quarters, persistence, variance, noise = 30_000, 10, 0.5, 0.6, 0.5
    moves = np.empty((las, quarters))
    moves[:, 0] = rng.normal(0, np.sqrt(variance), las)
    for q in range(1, quarters):
        moves[:, q] = persistence * moves[:, q - 1] + rng.normal(0, np.sqrt(variance * (1 - persistence**2)), las)
    v = np.full((las, quarters), noise)
    z = moves + rng.normal(size=v.shape) * np.sqrt(v) + rng.normal(size=(las, 1))
    found = estimate_signal(z, v)
    assert found.variance == pytest.approx(variance, rel=0.12)
    assert found.persistence == pytest.approx(persistence, abs=0.04)
    assert found.reliability == pytest.approx(0.6 / (0.6 + 1.0), abs=0.02)
    none = estimate_signal(rng.normal(size=v.shape) * np.sqrt(v), 1.05 * v)
    assert none == Signal(0.0, 0.0, 0.0, none.noise_variance) and none.reliability == 0
    empty = estimate_signal(np.full((3, 4), np.nan), np.full((3, 4), np.nan))
    assert empty.variance == 0 and np.isnan(empty.reliability)


def test_without_a_signal_nothing_is_ranked_by_it() -> None:
    """Noise alone: shrunken trends are all 0, and no order is read into that."""
    frame = cells().assign(standardised_variance=50.0)
    got = rank_variants(frame, shown(), roles(TREATMENT, CANDIDATES), EVERY, Settings())
    for name in ("shrunken", "likelihood"):
        own = got[got["variant_id"] == name]
        assert own["candidate_la_id"].isna().all() and own["reason"].str.contains("nothing but sampling error").all()
    assert got.loc[got["variant_id"] == "default", "candidate_la_id"].notna().all()


def test_all_outcomes_together_is_the_sum(ranked: pd.DataFrame) -> None:
    """An LA that is near in both outcomes comes first; the sum is the same whichever outcome is matched."""
    together = ranked[ranked["variant_id"] == "together"]
    wide = together.pivot_table(index=["treatment_la_id", "candidate_la_id"], columns="outcome_id", values="distance")
    shared = wide.dropna()
    assert len(shared) > 5
    np.testing.assert_allclose(shared["a"], shared["b"], atol=1e-12)
    alone = ranked[ranked["variant_id"] == "likelihood"].pivot_table(
        index=["treatment_la_id", "candidate_la_id"], columns="outcome_id", values="distance"
    )
    both = alone.dropna().join(shared.rename(columns=lambda outcome: f"{outcome}_sum"), how="inner")
    assert len(both) > 3
    np.testing.assert_allclose(both["a"] + both["b"], both["a_sum"], atol=1e-9)


def test_declarations_that_make_no_sense_are_refused() -> None:
    arguments = (cells(), shown(), roles(TREATMENT, CANDIDATES))
    with pytest.raises(SfpcError, match="has the metric 'manhattan'; known are rms"):
        rank_variants(*arguments, EVERY.assign(metric="manhattan"), Settings())
    with pytest.raises(SfpcError, match="exactly one row must be the default"):
        rank_variants(*arguments, EVERY.assign(is_default=False), Settings())
    with pytest.raises(SfpcError, match="'likelihood' needs a twin_correlation between 0 and 1, not"):
        rank_variants(*arguments, EVERY.assign(twin_correlation=np.nan), Settings())


def test_panel_has_a_full_calendar() -> None:
    frame = cells().query("outcome_id == 'a'")
    frame = frame[frame["quarter_start_date"] != QUARTERS[5]]
    panel = panel_of(frame)
    assert panel.z.shape == (16, 16) and np.isnan(panel.z[:, 5]).all()
    z, v = panel.of(["C01", "absent"])
    assert np.isnan(z[1]).all() and np.isnan(v[1]).all() and np.isfinite(z[0]).any()


# --- would chance do as well? --------------------------------------------------------------------


def noisy_cells(signal_sd: float, seed: int = 3) -> pd.DataFrame:
    """One outcome of 42 LAs with 1,300 children a quarter at 4 %, with LA shocks of this size; C00 copies T1."""
    rng = np.random.default_rng(seed)
    names = [*TREATMENT, *(f"C{i:02d}" for i in range(40))]
    shocks = {la: rng.normal(0, signal_sd, len(QUARTERS)) for la in names}
    shocks["C00"] = shocks["T1"]
    rows = []
    for la in names:
        hits = rng.binomial(1300, np.clip(0.04 + shocks[la], 0.002, 0.5))
        rows += [("fv", "a", la, day, int(h), 1300) for day, h in zip(QUARTERS, hits, strict=True)]
    columns = ["programme_id", "outcome_id", "la_id", "quarter_start_date", "numerator", "denominator_count"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["value"] = frame["numerator"] / 1300
    frame["sampling_variance"] = frame["value"] * (1 - frame["value"]) / 1300
    by_quarter = frame.groupby("quarter_start_date")["value"]
    spread = by_quarter.transform("std")
    frame["standardised_value"] = (frame["value"] - by_quarter.transform("mean")) / spread
    frame["standardised_variance"] = frame["sampling_variance"] / spread**2
    return frame.assign(is_matching_candidate=frame["la_id"].str.startswith("C"))


def audited(signal_sd: float, kind: str = "binary") -> tuple[pd.DataFrame, pd.DataFrame]:
    quarters = shown().query("outcome_id == 'a'")
    las = roles(TREATMENT, [f"C{i:02d}" for i in range(40)])
    return audit_noise(noisy_cells(signal_sd), quarters, las, {"a": kind}, "default", Settings())


def test_pure_noise_is_called_noise() -> None:
    """FV.MATCH.4: identical LAs: distances are those of sampling error, and chance finds as near a candidate."""
    pairs, outcomes = audited(0.0)
    assert not pairs["is_beyond_noise"].any()
    overall = outcomes[outcomes["treatment_la_id"] == "all"].iloc[0]
    assert overall["is_mostly_noise"] and overall["reliability"] < 0.2
    assert overall["sentence"].startswith("Quarterly matching is mostly noise for this outcome: ")
    single = outcomes[outcomes["treatment_la_id"] != "all"]
    assert (single["chance_p_value"] > 0.05).all()
    assert single["sentence"].str.contains("chance would do as well").all()


def test_a_strong_signal_is_told_from_noise() -> None:
    """FV.MATCH.4: shocks of 3 points: the copy is within noise and first, others are beyond it."""
    pairs, outcomes = audited(0.03)
    own = pairs[pairs["treatment_la_id"] == "T1"].set_index("candidate_la_id")
    assert own.loc["C00", "rank"] == 1 and not own.loc["C00", "is_beyond_noise"]
    assert own.drop("C00")["is_beyond_noise"].all()
    overall = outcomes[outcomes["treatment_la_id"] == "all"].iloc[0]
    assert not overall["is_mostly_noise"] and overall["reliability"] > 0.9
    assert overall["sentence"].startswith("Quarterly changes carry information for this outcome: ")
    by_la = outcomes.set_index("treatment_la_id")
    assert by_la.loc["T1", "chance_p_value"] < 0.05
    assert "nearer than chance would give" in by_la.loc["T1", "sentence"]
    assert by_la.loc["T2", "chance_p_value"] > 0.05


@pytest.mark.parametrize("kind", ["binary", "days"])
def test_noise_distribution_is_that_of_the_cells(kind: str) -> None:
    """The median lies below, the 95 % point above the expected distance; binomial and normal draws agree."""
    pairs, _ = audited(0.0, kind)
    frame = noisy_cells(0.0)
    expected = np.sqrt(4 * frame["standardised_variance"].mean())
    assert pairs["noise_median"].mean() == pytest.approx(0.97 * expected, rel=0.06)
    assert pairs["noise_p95"].mean() == pytest.approx(1.44 * expected, rel=0.08)
    share = pairs["noise_p_value"]
    assert ((share == 0) | (share >= 1 / 1000)).all() and share.between(0, 1).all()
    again, _ = audited(0.0, kind)
    pd.testing.assert_frame_equal(pairs, again)


# --- planted twins -------------------------------------------------------------------------------


def test_twins_are_found_at_the_stated_rates() -> None:
    """Bands: noise-free top one 75 %, top ten all; 5,200 a quarter top ten 50 %: the proposals keep them."""
    clean = simulate_metric_hits(None, 120, METRICS, outcomes=2)
    for metric in (RMS, LIKELIHOOD, LIKELIHOOD_ALL):
        assert clean[metric].top_one >= 0.75 and clean[metric].top_ten == 1, metric
    assert clean[SHRUNKEN].top_one >= 0.75 and clean[SHRUNKEN].top_ten >= 0.97
    large = simulate_metric_hits(5200, 150, METRICS, outcomes=2)
    for metric in (SHRUNKEN, LIKELIHOOD, LIKELIHOOD_ALL):
        assert large[metric].top_ten >= 0.5, metric


def test_the_proposal_beats_the_default_at_every_size() -> None:
    """docs/methods/trend_distance.md: on the same draws, likelihood above root mean square, all outcomes above one."""
    for size, least in ((1300, 0.25), (5200, 0.65)):
        hits = simulate_metric_hits(size, 150, (RMS, LIKELIHOOD, LIKELIHOOD_ALL), outcomes=3)
        assert hits[LIKELIHOOD].top_ten >= max(least, hits[RMS].top_ten + 0.08)
        assert hits[LIKELIHOOD_ALL].top_ten > hits[LIKELIHOOD].top_ten
