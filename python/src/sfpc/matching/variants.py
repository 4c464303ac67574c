"""Rankings of candidates by every declared distance and window at once (FV.MATCH.2, FV.MATCH.3, FV.MATCH.5).

Windows, metrics and placebo dates are rows of `dim_matching_variants`; what a window may look at is
`fct_matching_quarters`, where the blindfold is. Nothing else than `fct_matching_trends` is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.matching.distance import (
    LIKELIHOOD,
    LIKELIHOOD_ALL,
    METRICS,
    Distances,
    Mask,
    Panel,
    Signal,
    estimate_signal,
    measure,
    panel_of,
    quarter_numbers,
)
from sfpc.matching.trends import MatchingSettings, nearest

VARIANT_COLUMNS = (
    "programme_id",
    "outcome_id",
    "variant_id",
    "window_id",
    "metric",
    "treatment_la_id",
    "candidate_la_id",
    "rank",
    "distance",
    "noise_ratio",
    "default_rank",
    "quarters_count",
    "changes_count",
    "reason",
    "clause",
)


@dataclass(frozen=True)
class OutcomeTrends:
    """The trends of one outcome of a programme, ready for every window.

    windows: by window_id, (treatment LAs, quarters): what may be looked at for each.
    """

    programme_id: str
    outcome_id: str
    treatment: list[str]
    candidates: list[str]
    panel: Panel
    windows: dict[str, Mask]

    def signal(self, window_id: str) -> Signal:
        """Signal over all LAs of the matching, in the quarters that some treatment LA's window holds."""
        held = self.windows[window_id].any(axis=0)
        z, v = self.panel.of([*self.treatment, *self.candidates])
        # A treatment LA is looked at in its own window only.
        z[: len(self.treatment)] = np.where(self.windows[window_id], z[: len(self.treatment)], np.nan)
        return estimate_signal(z[:, held], v[:, held])


def outcome_trends(trends: pd.DataFrame, quarters: pd.DataFrame, roles: pd.DataFrame) -> Iterator[OutcomeTrends]:
    """Split the marts by programme and outcome.

    trends: `fct_matching_trends`; quarters: `fct_matching_quarters`; roles: `dim_programme_local_authorities`.
    """
    shown = dict(list(quarters.groupby(["programme_id", "outcome_id"], sort=True)))
    for (programme_id, outcome_id), group in trends.groupby(["programme_id", "outcome_id"], sort=True):
        own = roles[roles["programme_id"] == programme_id]
        is_treatment = own["role"] == "treatment"
        treatment = sorted(own.loc[is_treatment, "la_id"])
        candidates = sorted(own.loc[own["is_matching_candidate"].astype(bool) & ~is_treatment, "la_id"])
        panel = panel_of(group)
        place = {la: i for i, la in enumerate(treatment)}
        windows: dict[str, Mask] = {}
        allowed = shown.get((programme_id, outcome_id))
        if allowed is not None:
            for window_id, rows in allowed.groupby("window_id", sort=True):
                mask = np.zeros((len(treatment), len(panel.quarters)), dtype=np.bool_)
                number = quarter_numbers(rows["quarter_start_date"]) - panel.quarters[0]
                for la, q in zip(rows["treatment_la_id"], number, strict=True):
                    if la in place and 0 <= q < mask.shape[1]:
                        mask[place[la], q] = True
                windows[str(window_id)] = mask
        yield OutcomeTrends(str(programme_id), str(outcome_id), treatment, candidates, panel, windows)


def measured(one: OutcomeTrends, window_id: str, metric: str, twin_correlation: float | None) -> Distances | None:
    """Distances of one outcome in one window; None where no treatment LA has a quarter in it."""
    if window_id not in one.windows:
        return None
    needs_signal = metric not in METRICS[:3]
    return measure(
        metric,
        one.panel.of(one.treatment),
        one.panel.of(one.candidates),
        one.windows[window_id],
        one.signal(window_id) if needs_signal else None,
        twin_correlation,
    )


def rank_variants(
    trends: pd.DataFrame,
    quarters: pd.DataFrame,
    roles: pd.DataFrame,
    variants: pd.DataFrame,
    settings: MatchingSettings,
) -> pd.DataFrame:
    """Rank the nearest candidates by every variant.

    Parameters
    ----------
    trends, quarters, roles, variants: `fct_matching_trends`, `fct_matching_quarters`,
        `dim_programme_local_authorities`, `dim_matching_variants`.

    Returns
    -------
    `VARIANT_COLUMNS`, a row per programme, outcome, variant, treatment LA and ranked candidate; a treatment LA that a
    variant cannot rank has one row without a candidate and with the reason. Distances of different metrics are on
    different scales; `default_rank` is the place of the candidate in the default ranking, empty beyond its length.

    Raises SfpcError for a metric that is not known, and where not exactly one variant is the default.

    Source: FV.MATCH.2, .3, .5; docs/methods/trend_distance.md.
    """
    declared = _declared(variants)
    everything = list(outcome_trends(trends, quarters, roles))
    rows: list[dict[str, Any]] = []
    done: dict[tuple[str, str, float | None], list[Distances | None]] = {}
    for variant in declared:
        key = _measure_of(variant)
        if key not in done:
            done[key] = [measured(one, *key) for one in everything]
        found = list(zip(everything, done[key], strict=True))
        if variant["metric"] == LIKELIHOOD_ALL:
            found = _summed(found)
        for one, distances in found:
            for row in _rows(one, distances, variant, settings):
                rows.append(row)
    frame = pd.DataFrame(rows, columns=[c for c in VARIANT_COLUMNS if c != "default_rank"])
    keys = ["programme_id", "outcome_id", "treatment_la_id", "candidate_la_id"]
    default = next(str(variant["variant_id"]) for variant in declared if variant["is_default"])
    ranks = frame.loc[frame["variant_id"] == default, [*keys, "rank"]].rename(columns={"rank": "default_rank"})
    ranks = ranks[ranks["candidate_la_id"].notna()]
    frame = frame.merge(ranks, on=keys, how="left")
    for column in ("rank", "default_rank", "quarters_count", "changes_count"):
        frame[column] = frame[column].astype("Int64")
    return frame[list(VARIANT_COLUMNS)]


def _declared(variants: pd.DataFrame) -> list[dict[str, Any]]:
    ordered = variants.sort_values(["is_default", "variant_id"], ascending=[False, True])
    declared: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in ordered.to_dict("records")]
    for variant in declared:
        if variant["metric"] not in METRICS:
            raise SfpcError(
                f"matching_variants: '{variant['variant_id']}' has the metric '{variant['metric']}';"
                f" known are {', '.join(METRICS)}"
            )
        correlation = variant["twin_correlation"]
        needs = variant["metric"] in (LIKELIHOOD, LIKELIHOOD_ALL)
        if needs and not (pd.notna(correlation) and 0 < float(correlation) < 1):
            raise SfpcError(
                f"matching_variants: '{variant['variant_id']}' needs a twin_correlation between 0 and 1,"
                f" not '{correlation}'"
            )
    if sum(bool(variant["is_default"]) for variant in declared) != 1:
        raise SfpcError("matching_variants: exactly one row must be the default")
    return declared


def _measure_of(variant: dict[str, Any]) -> tuple[str, str, float | None]:
    """Window, metric and twin correlation: likelihoods over all outcomes start from those of each."""
    metric = LIKELIHOOD if variant["metric"] == LIKELIHOOD_ALL else str(variant["metric"])
    correlation = variant["twin_correlation"]
    return str(variant["window_id"]), metric, None if pd.isna(correlation) else float(correlation)


def _summed(found: list[tuple[OutcomeTrends, Distances | None]]) -> list[tuple[OutcomeTrends, Distances | None]]:
    """Likelihoods added over the outcomes of a programme; an outcome that says nothing of a pair adds nothing."""
    totals: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for one, distances in found:
        if distances is not None:
            said = np.nan_to_num(distances.distance)
            totals[one.programme_id] = totals.get(one.programme_id, np.zeros_like(said)) + said
    summed: list[tuple[OutcomeTrends, Distances | None]] = []
    for one, own in found:
        if own is None:
            summed.append((one, None))
            continue
        total = np.where(np.isfinite(own.distance), totals[one.programme_id], np.nan)
        summed.append((one, Distances(total, own.noise, own.quarters, own.changes)))
    return summed


def _rows(
    one: OutcomeTrends, distances: Distances | None, variant: dict[str, Any], settings: MatchingSettings
) -> Iterator[dict[str, Any]]:
    window = one.windows.get(str(variant["window_id"]))
    z, _ = one.panel.of(one.treatment)
    for t, la_id in enumerate(one.treatment):
        about = {
            "programme_id": one.programme_id,
            "outcome_id": one.outcome_id,
            **{name: variant[name] for name in ("variant_id", "window_id", "metric", "clause")},
            "treatment_la_id": la_id,
        }
        order = (
            nearest(distances.distance[t], distances.quarters[t], settings)
            if distances is not None
            else np.array([], dtype=np.int64)
        )
        if distances is None or not len(order):
            held = 0 if window is None else int((window[t] & np.isfinite(z[t])).sum())
            yield {
                **about,
                "candidate_la_id": None,
                "rank": None,
                "distance": np.nan,
                "noise_ratio": np.nan,
                "quarters_count": held,
                "changes_count": None,
                "reason": _why_not(held, settings),
            }
            continue
        for rank, c in enumerate(order, start=1):
            distance, noise = float(distances.distance[t, c]), float(distances.noise[t, c])
            yield {
                **about,
                "candidate_la_id": one.candidates[c],
                "rank": rank,
                "distance": distance,
                "noise_ratio": distance / noise if noise > 0 else np.nan,
                "quarters_count": int(distances.quarters[t, c]),
                "changes_count": int(distances.changes[t, c]),
                "reason": None,
            }


def _why_not(quarters: int, settings: MatchingSettings) -> str:
    needed = settings.matching_minimum_quarters
    if quarters < needed:
        return f"the LA has a value in {quarters} quarters of this window; {needed} are needed"
    return f"no candidate shares {needed} quarters of this window with this LA, or nothing but sampling error moves it"
