"""Does matching find the planted twins? Without sampling noise, and with it, by size of LA (FV.MATCH.2)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.marts import EvaluationSettings, open_marts, read_mart, read_settings
from sfpc.matching import rank_candidates
from sfpc.matching.distance import LIKELIHOOD, LIKELIHOOD_ALL, estimate_signal, measure

SIMULATED_LAS = 150
SIMULATED_QUARTERS = 10
SIMULATED_RATE = 0.04
SIMULATED_SHOCK_SD = 0.005
SIMULATED_PERSISTENCE = 0.5
SIMULATED_TWIN_CORRELATION = 0.9


@dataclass(frozen=True)
class TwinHits:
    """How often the planted twin was found.

    referrals_per_quarter: size of every LA; None where the true rates themselves were matched.
    top_one, top_ten: shares (0 to 1) of draws in which the twin was nearest, or among the ten nearest.
    """

    referrals_per_quarter: int | None
    draws: int
    top_one: float
    top_ten: float


def noise_free_ranking(marts_db: Path, truth: Path) -> pd.DataFrame:
    """Rank candidates on the planned rates instead of the observed shares.

    The quarters and LAs are those of the matching mart; only the values are replaced by what was planned.
    Returns the ranking with the column ``is_twin``.
    """
    with open_marts(marts_db) as connection:
        trends = read_mart(connection, "fct_la_quarter_outcomes")
        roles = read_mart(connection, "dim_programme_local_authorities")
        outcomes = read_mart(connection, "dim_outcomes")
        settings = read_settings(connection)
    # The planned rates are those of the primary outcome.
    trends = trends[trends["outcome_id"].isin(outcomes.loc[outcomes["is_primary"], "outcome_id"])]
    planned = pd.read_csv(truth / "planned_rates.csv", dtype={"la_code": str}, parse_dates=["quarter_start_date"])
    trends = trends.assign(quarter_start_date=pd.to_datetime(trends["quarter_start_date"]))
    merged = trends.merge(
        planned[["la_code", "quarter_start_date", "rate"]],
        left_on=["la_id", "quarter_start_date"],
        right_on=["la_code", "quarter_start_date"],
        how="inner",
    )
    ranking = rank_candidates(standardise(merged.assign(value=merged["rate"])), roles, settings)
    twins = twin_pairs(truth)
    pairs = zip(ranking["treatment_la_id"], ranking["candidate_la_id"], strict=True)
    return ranking.assign(is_twin=[pair in twins for pair in pairs])


def twin_pairs(truth: Path) -> set[tuple[str, str]]:
    """Pairs (treatment LA, twin) of a synthetic run."""
    with (truth / "planned_las.csv").open(newline="", encoding="utf-8") as handle:
        return {(row["twin_of"], row["la_code"]) for row in csv.DictReader(handle) if row["twin_of"]}


def standardise(trends: pd.DataFrame) -> pd.DataFrame:
    """Standardised values, changes and their sampling error from ``value`` and ``denominator_count``.

    The mart does this in SQL for observed shares; here it serves planned or simulated ones.
    """
    keys = ["programme_id", "outcome_id"]
    out = trends.sort_values([*keys, "la_id", "quarter_start_date"]).reset_index(drop=True)
    by_quarter = out.groupby([*keys, "quarter_start_date"])["value"]
    spread = by_quarter.transform("std")
    out["standardised_value"] = (out["value"] - by_quarter.transform("mean")) / spread
    variance = out["value"] * (1 - out["value"]) / out["denominator_count"] / spread**2
    by_la = [out[k] for k in (*keys, "la_id")]
    out["standardised_change"] = out["standardised_value"].groupby(by_la).diff()
    out["change_standard_error"] = np.sqrt(variance + variance.groupby(by_la).shift())
    return out


def simulate_twin_hits(
    referrals_per_quarter: int | None, draws: int, settings: EvaluationSettings, seed: int = 1
) -> TwinHits:
    """Simulate a panel of LAs of one size with one true twin and count how often it is found.

    150 LAs, ten quarters, 4 %, AR(1) shocks of 0.5 points, the twin's correlated 0.9.
    Source: FV.MATCH.2; docs/methods/trend_distance.md.
    """
    rng = np.random.default_rng([seed, referrals_per_quarter or 0])
    quarters = pd.date_range("2018-01-01", periods=SIMULATED_QUARTERS, freq="QS")
    names = np.array([f"{i:03d}" for i in range(SIMULATED_LAS)])
    roles = pd.DataFrame(
        {
            "programme_id": "simulated",
            "la_id": names,
            "role": np.where(names == "000", "treatment", "comparison"),
            "is_matching_candidate": names != "000",
        }
    )
    first = ten = 0
    for _ in range(draws):
        rates = _panel(rng)
        size = referrals_per_quarter or 10**9
        shares = rates if referrals_per_quarter is None else rng.binomial(size, rates) / size
        trends = pd.DataFrame(
            {
                "programme_id": "simulated",
                "outcome_id": "simulated",
                "la_id": np.repeat(names, SIMULATED_QUARTERS),
                "quarter_start_date": np.tile(quarters, SIMULATED_LAS),
                "value": shares.ravel(),
                "denominator_count": size,
            }
        )
        ranking = rank_candidates(standardise(trends), roles, settings)
        found = list(ranking["candidate_la_id"])
        first += found[0] == "001"
        ten += "001" in found
    return TwinHits(referrals_per_quarter, draws, first / draws, ten / draws)


def simulate_metric_hits(
    referrals_per_quarter: int | None, draws: int, metrics: Sequence[str], seed: int = 1, outcomes: int = 1
) -> dict[str, TwinHits]:
    """Count how often each distance finds the one true twin, all on the same draws.

    The design is that of `simulate_twin_hits`. outcomes: as many outcomes, each with shocks of its own that the twin
    shares; `likelihood_all_outcomes` sums over them, every other metric sees the first.
    Source: FV.MATCH.2; docs/methods/trend_distance.md.
    """
    rng = np.random.default_rng([seed, referrals_per_quarter or 0, outcomes])
    ranks: dict[str, list[int]] = {metric: [] for metric in metrics}
    window = np.ones((1, SIMULATED_QUARTERS), dtype=np.bool_)
    for _ in range(draws):
        scores: dict[str, list[NDArray[np.float64]]] = {metric: [] for metric in metrics}
        for number in range(outcomes):
            z, v = _standardised(_panel(rng), referrals_per_quarter, rng)
            signal = estimate_signal(z, v)
            for metric in metrics:
                if number and metric != LIKELIHOOD_ALL:
                    continue
                name = LIKELIHOOD if metric == LIKELIHOOD_ALL else metric
                found = measure(name, (z[:1], v[:1]), (z[1:], v[1:]), window, signal, SIMULATED_TWIN_CORRELATION)
                scores[metric].append(found.distance[0])
        for metric in metrics:
            total = np.sum(scores[metric], axis=0)
            ranks[metric].append(1 + int((total[1:] < total[0]).sum()))
    return {
        metric: TwinHits(
            referrals_per_quarter,
            draws,
            float(np.mean(np.array(found) == 1)),
            float(np.mean(np.array(found) <= 10)),
        )
        for metric, found in ranks.items()
    }


def _standardised(
    rates: NDArray[np.float64], referrals_per_quarter: int | None, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Observed shares in standard deviations over LAs, and their sampling variances (LAs x quarters)."""
    if referrals_per_quarter is None:
        shares, variance = rates, np.zeros_like(rates)
    else:
        shares = rng.binomial(referrals_per_quarter, rates) / referrals_per_quarter
        variance = shares * (1 - shares) / referrals_per_quarter
    spread = shares.std(axis=0, ddof=1)
    return (shares - shares.mean(axis=0)) / spread, variance / spread**2


def _panel(rng: np.random.Generator) -> NDArray[np.float64]:
    """Rates (LAs x quarters); LA 001 is the twin of LA 000."""
    shape = (SIMULATED_LAS, SIMULATED_QUARTERS)
    noise = rng.normal(0, SIMULATED_SHOCK_SD * np.sqrt(1 - SIMULATED_PERSISTENCE**2), shape)
    shocks = np.empty(shape)
    shocks[:, 0] = rng.normal(0, SIMULATED_SHOCK_SD, SIMULATED_LAS)
    for quarter in range(1, SIMULATED_QUARTERS):
        shocks[:, quarter] = SIMULATED_PERSISTENCE * shocks[:, quarter - 1] + noise[:, quarter]
    mix = SIMULATED_TWIN_CORRELATION
    shocks[1] = mix * shocks[0] + np.sqrt(1 - mix**2) * shocks[1]
    levels = np.clip(rng.beta(2.5143, 60.343, SIMULATED_LAS), 0.02, None)[:, None]
    levels[1] = levels[0] = SIMULATED_RATE
    rates: NDArray[np.float64] = np.clip(levels + shocks, 0.002, 0.5)
    return rates
