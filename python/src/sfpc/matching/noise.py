"""Would chance do as well? Distances beside what sampling error alone would give (FV.MATCH.2, FV.MATCH.4).

Three questions. Of a pair: is its distance larger than two LAs with identical trends would show? Of a treatment LA: is
its nearest candidate nearer than the nearest of as many strangers? Of an outcome: how much of a quarterly change is
sampling error? Page: docs/methods/trend_distance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sfpc.matching.distance import (
    RMS,
    SHRUNKEN,
    UNKNOWN_VARIANCE,
    Array,
    difference_matrix,
    pooled,
    signal_covariance,
)
from sfpc.matching.trends import MatchingSettings, nearest
from sfpc.matching.variants import OutcomeTrends, measured, outcome_trends

DRAWS = 1000
SEED = 20210701
# Below this share of true variance in a change, more than half of what is matched on is sampling error.
MOSTLY_NOISE = 0.5

PAIR_COLUMNS = (
    "programme_id",
    "outcome_id",
    "treatment_la_id",
    "candidate_la_id",
    "rank",
    "distance",
    "noise_median",
    "noise_p95",
    "noise_p_value",
    "is_beyond_noise",
    "shrunken_rank",
    "clause",
)
OUTCOME_COLUMNS = (
    "programme_id",
    "outcome_id",
    "treatment_la_id",
    "reliability",
    "signal_sd",
    "noise_sd",
    "ranked_count",
    "within_noise_count",
    "nearest_distance",
    "nearest_by_chance",
    "chance_p_value",
    "shared_with_shrunken_count",
    "is_mostly_noise",
    "sentence",
    "clause",
)


def audit_noise(
    trends: pd.DataFrame,
    quarters: pd.DataFrame,
    roles: pd.DataFrame,
    kinds: Mapping[str, str],
    window_id: str,
    settings: MatchingSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the default ranking with what sampling error alone would give.

    Parameters
    ----------
    trends, quarters, roles: as for `sfpc.matching.variants.rank_variants`.
    kinds: outcome_kind by outcome_id; cells of 'binary' outcomes are drawn as binomials of their own rate and size,
        others as normals with their sampling variance.
    window_id: the default window.

    Returns
    -------
    Pairs (`PAIR_COLUMNS`): a row per ranked pair, with the median and the 95 % point of the distance between two LAs
    whose true trends are identical and whose cells have these sizes, and the share of draws (0 to 1) at or beyond the
    observed distance. Outcomes (`OUTCOME_COLUMNS`): a row per treatment LA and one for 'all', with the share of the
    variance of a quarterly change that is not sampling error, the median distance of the nearest of as many strangers
    (LAs whose trends have nothing to do with the treatment LA's), the share of draws in which the nearest stranger is
    at least as near as the nearest candidate, and a sentence. Draws have a fixed seed of their own per outcome.

    Source: FV.MATCH.4; docs/methods/trend_distance.md.
    """
    pairs: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    shares = trends.set_index(["programme_id", "outcome_id"]).sort_index()
    for number, one in enumerate(outcome_trends(trends, quarters, roles)):
        if window_id not in one.windows:
            continue
        cells = shares.loc[[(one.programme_id, one.outcome_id)]]
        rng = np.random.default_rng([SEED, number])
        own_pairs, own_summaries = _audit_one(one, cells, kinds.get(one.outcome_id, ""), window_id, settings, rng)
        pairs += own_pairs
        summaries += own_summaries
    pair_frame = pd.DataFrame(pairs, columns=list(PAIR_COLUMNS))
    pair_frame["shrunken_rank"] = pair_frame["shrunken_rank"].astype("Int64")
    return pair_frame, pd.DataFrame(summaries, columns=list(OUTCOME_COLUMNS))


def _audit_one(
    one: OutcomeTrends,
    cells: pd.DataFrame,
    kind: str,
    window_id: str,
    settings: MatchingSettings,
    rng: np.random.Generator,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    window = one.windows[window_id]
    distances = measured(one, window_id, RMS, None)
    shrunken = measured(one, window_id, SHRUNKEN, None)
    signal = one.signal(window_id)
    assert distances is not None and shrunken is not None
    about = {"programme_id": one.programme_id, "outcome_id": one.outcome_id}
    z_t, v_t = one.panel.of(one.treatment)
    z_c, v_c = one.panel.of(one.candidates)
    draw = _cell_errors(one, cells, kind)
    pairs: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    for t, la_id in enumerate(one.treatment):
        order = nearest(distances.distance[t], distances.quarters[t], settings)
        again = nearest(shrunken.distance[t], shrunken.quarters[t], settings)
        place = {int(c): rank for rank, c in enumerate(again, start=1)}
        if not len(order):
            continue
        error_t = draw(la_id, rng)
        within = 0
        for rank, c in enumerate(order, start=1):
            both = window[t] & np.isfinite(z_t[t]) & np.isfinite(z_c[c])
            use = both[1:] & both[:-1]
            error = np.diff(np.nan_to_num(error_t - draw(one.candidates[c], rng)), axis=1)
            noise, _ = pooled(RMS, np.square(error), np.ones_like(error), np.broadcast_to(use, error.shape))
            share = float(np.mean(noise >= distances.distance[t, c]))
            limit = float(np.quantile(noise, 0.95))
            is_beyond = bool(distances.distance[t, c] > limit)
            within += not is_beyond
            pairs.append(
                {
                    **about,
                    "treatment_la_id": la_id,
                    "candidate_la_id": one.candidates[c],
                    "rank": rank,
                    "distance": float(distances.distance[t, c]),
                    "noise_median": float(np.median(noise)),
                    "noise_p95": limit,
                    "noise_p_value": share,
                    "is_beyond_noise": is_beyond,
                    "shrunken_rank": place.get(int(c)),
                    "clause": "FV.MATCH.4",
                }
            )
        # As many strangers as there are candidates to choose from, each with a candidate's own sampling error.
        eligible = np.isfinite(distances.distance[t]) & (distances.quarters[t] >= settings.matching_minimum_quarters)
        chance = _nearest_strangers(
            z_t[t], v_c[eligible], z_c[eligible], window[t], signal_covariance(signal, z_t.shape[1]), rng
        )
        closest = float(distances.distance[t, order[0]])
        summaries.append(
            {
                **about,
                "treatment_la_id": la_id,
                "reliability": signal.reliability,
                "signal_sd": float(np.sqrt(signal.change_variance)),
                "noise_sd": _own_noise(v_t[t], window[t]),
                "ranked_count": len(order),
                "within_noise_count": within,
                "nearest_distance": closest,
                "nearest_by_chance": float(np.median(chance)),
                "chance_p_value": float(np.mean(chance <= closest)),
                "shared_with_shrunken_count": len(set(order.tolist()) & set(again.tolist())),
                "is_mostly_noise": not signal.reliability >= MOSTLY_NOISE,
                "clause": "FV.MATCH.4",
            }
        )
    for row in summaries:
        row["sentence"] = _sentence(row)
    if summaries:
        summaries.append(_overall(about, summaries, signal.noise_variance))
    return pairs, summaries


def _cell_errors(one: OutcomeTrends, cells: pd.DataFrame, kind: str) -> Any:
    """Give a function that draws the sampling errors (draws, quarters) of an LA's standardised values.

    A quarter with the spread s of its LAs has the standardised variance rate_variance / s^2, which gives s back; where
    no LA of a quarter varies (all or none of its children), the errors are 0, as they are in the distance.
    """
    first = int(one.panel.quarters[0])
    shape = (len(one.panel.las), len(one.panel.quarters))
    place = {la: i for i, la in enumerate(one.panel.las)}
    count, hits, sampling = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    days = pd.to_datetime(cells["quarter_start_date"])
    quarter = (days.dt.year * 4 + days.dt.quarter - 1 - first).to_numpy(dtype=np.int64)
    row = np.array([place[la] for la in cells["la_id"]], dtype=np.int64)
    count[row, quarter] = cells["denominator_count"].to_numpy(dtype=np.float64)
    hits[row, quarter] = cells["numerator"].to_numpy(dtype=np.float64)
    sampling[row, quarter] = cells["sampling_variance"].to_numpy(dtype=np.float64)
    scaled = np.nan_to_num(one.panel.v)
    spread = np.sqrt(np.divide(sampling, scaled, out=np.zeros(shape), where=scaled > 0))
    spread = np.where(spread > 0, spread, np.max(spread, axis=0, keepdims=True))

    def draw(la_id: str, rng: np.random.Generator) -> Array:
        i = place[la_id]
        n, scale = count[i], spread[i]
        if kind == "binary":
            rate = np.divide(hits[i], n, out=np.zeros_like(n), where=n > 0)
            drawn = rng.binomial(n.astype(np.int64), np.clip(rate, 0, 1), (DRAWS, len(n)))
            error = np.divide(drawn, n, out=np.zeros(drawn.shape), where=n > 0) - rate
        else:
            error = rng.normal(size=(DRAWS, len(n))) * np.sqrt(sampling[i])
        return np.asarray(np.divide(error, scale, out=np.zeros(error.shape), where=scale > 0), dtype=np.float64)

    return draw


def _nearest_strangers(
    z_t: Array, v_c: Array, z_c: Array, window: Any, deviation: Array, rng: np.random.Generator
) -> Array:
    """Draw the distance of the nearest of some strangers; (draws,).

    z_t, window: (quarters,); v_c, z_c: (strangers, quarters).

    A stranger moves by the same process as all LAs do, on its own, and is sampled as finely as a candidate.
    """
    draws = DRAWS // 5
    step = difference_matrix(len(z_t))
    held = window & np.isfinite(z_t)
    use = (held[1:] & held[:-1])[None, :] & np.isfinite(z_c)[:, 1:] & np.isfinite(z_c)[:, :-1]
    root = np.linalg.cholesky(deviation + 1e-12 * np.eye(len(z_t)))
    change = step @ np.where(held, z_t, 0.0)
    noise = np.sqrt(np.where(np.isfinite(v_c), v_c, UNKNOWN_VARIANCE))
    best = np.full(draws, np.inf)
    for i in range(draws):
        moves = rng.normal(size=v_c.shape) @ root.T + rng.normal(size=v_c.shape) * noise
        distance, _ = pooled(RMS, np.square(moves @ step.T - change), np.ones(use.shape), use)
        best[i] = np.nanmin(distance)
    return best


def _own_noise(v: Array, window: Any) -> float:
    held = np.where(window, v, np.nan)
    values = held[1:] + held[:-1]
    return float(np.sqrt(np.nanmean(values))) if np.isfinite(values).any() else float("nan")


def _sentence(row: dict[str, Any]) -> str:
    noisy = f"{100 * (1 - row['reliability']):.0f} % of the variance of a quarterly change is sampling error"
    lead = "Quarterly matching is mostly noise here: " if row["is_mostly_noise"] else ""
    text = f"{lead}{noisy}; "
    text += (
        f"{row['within_noise_count']} of the {row['ranked_count']} nearest candidates are no further away than an LA"
        " with the very same trend may be by chance, "
    )
    share = row["chance_p_value"]
    if share > 0.05:
        text += f"and the nearest of as many strangers would be as near as the nearest candidate in {100 * share:.0f} %"
        text += " of draws: chance would do as well."
    else:
        text += "but the nearest candidate is nearer than chance would give."
    return text[0].upper() + text[1:]


def _overall(about: dict[str, Any], rows: list[dict[str, Any]], noise_variance: float) -> dict[str, Any]:
    frame = pd.DataFrame(rows)
    reliability = float(frame["reliability"].iloc[0])
    mostly = bool(frame["is_mostly_noise"].iloc[0])
    by_chance = int((frame["chance_p_value"] > 0.05).sum())
    noisy = f"{100 * (1 - reliability):.0f} % of the variance of a quarterly change is sampling error"
    verdict = (
        f"Quarterly matching is mostly noise for this outcome: {noisy}."
        if mostly
        else f"Quarterly changes carry information for this outcome: {noisy}."
    )
    return {
        **about,
        "treatment_la_id": "all",
        "reliability": reliability,
        "signal_sd": float(frame["signal_sd"].iloc[0]),
        "noise_sd": float(np.sqrt(noise_variance)),
        "ranked_count": int(frame["ranked_count"].sum()),
        "within_noise_count": int(frame["within_noise_count"].sum()),
        "nearest_distance": float(frame["nearest_distance"].median()),
        "nearest_by_chance": float(frame["nearest_by_chance"].median()),
        "chance_p_value": np.nan,
        "shared_with_shrunken_count": int(frame["shared_with_shrunken_count"].sum()),
        "is_mostly_noise": mostly,
        "sentence": f"{verdict} For {by_chance} of {len(frame)} treatment LAs chance would find a candidate as near as"
        " the nearest.",
        "clause": "FV.MATCH.4",
    }
