"""Evidence on parallel trends and on common shocks (FV.MATCH.5 to .7). Page: docs/methods/parallel_trends.md.

None of these tests proves that trends are parallel. Each row says what it tests, with how many LAs, and how large a
difference it could have found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sfpc.estimation.cluster import infer
from sfpc.marts import ANALYSIS
from sfpc.matching.distance import quarter_numbers
from sfpc.matching.sets import members_of
from sfpc.matching.stacked import WILD, StackedFit, fit_stacked
from sfpc.matching.trends import MatchingSettings, rank_candidates, window_trends

Array = NDArray[np.float64]

ALL = "all"
# Quarters on either side of a date that a comparison of before and after needs at least.
QUARTERS_EITHER_SIDE = 2
# A shock must change the exposure of follow-ups by this much of a window, or nothing can be told.
SMALLEST_EXPOSURE_RANGE = 0.2
POWER = 0.8

TEST_COLUMNS = (
    "programme_id",
    "outcome_id",
    "test",
    "treatment_la_id",
    "la_id",
    "as_of_date",
    "shock_title",
    "estimate",
    "standard_error",
    "ci_low",
    "ci_high",
    "statistic",
    "degrees_of_freedom",
    "p_value",
    "t_p_value",
    "detectable",
    "inference_method",
    "quarters_count",
    "cluster_count",
    "unit",
    "note",
    "clause",
)

Row = dict[str, Any]
# Treatment LA, comparator, and what differs between them by quarter.
Pair = tuple[str, str, pd.DataFrame]


def _row(**values: Any) -> Row:
    empty: Row = dict.fromkeys(TEST_COLUMNS)
    for name in ("estimate", "standard_error", "ci_low", "ci_high", "statistic", "p_value", "t_p_value", "detectable"):
        empty[name] = np.nan
    empty["degrees_of_freedom"] = np.nan
    return empty | {"la_id": ALL, "treatment_la_id": ALL} | values


def as_tests(rows: list[Row]) -> pd.DataFrame:
    """Rows as a frame of `TEST_COLUMNS`."""
    frame = pd.DataFrame(rows, columns=list(TEST_COLUMNS))
    frame["as_of_date"] = pd.to_datetime(frame["as_of_date"])
    for column in ("quarters_count", "cluster_count"):
        frame[column] = frame[column].astype("Int64")
    return frame


def stack(cells: pd.DataFrame, members: pd.DataFrame, quarters: pd.DataFrame) -> pd.DataFrame:
    """Stack the sets of one outcome: a row per set, member and quarter that the whole set holds.

    cells: LA quarters with value; members: treatment_la_id, la_id, is_treatment_arm; quarters: treatment_la_id and
    quarter_start_date that may be looked at. The treatment LA weighs 1, its k comparators 1 / k each. Returns set_id,
    la_id, quarter (a number), quarter_start_date, is_treatment_arm, y, sampling_variance, weight.
    """
    rows = members.merge(quarters, on="treatment_la_id").merge(
        cells[["la_id", "quarter_start_date", "value", "sampling_variance"]], on=["la_id", "quarter_start_date"]
    )
    keys = ["treatment_la_id", "quarter_start_date"]
    whole = members.groupby("treatment_la_id").size()
    present = rows.groupby(keys)["la_id"].transform("size")
    rows = rows[present == rows["treatment_la_id"].map(whole)]
    arm = rows["is_treatment_arm"].astype(bool)
    comparators = rows["treatment_la_id"].map(whole) - 1
    return pd.DataFrame(
        {
            "set_id": rows["treatment_la_id"].astype(str),
            "la_id": rows["la_id"].astype(str),
            "quarter": quarter_numbers(rows["quarter_start_date"]),
            "quarter_start_date": pd.to_datetime(rows["quarter_start_date"]),
            "is_treatment_arm": arm,
            "y": rows["value"].astype(float),
            "sampling_variance": rows["sampling_variance"].astype(float),
            "weight": np.where(arm, 1.0, 1.0 / comparators),
        }
    ).reset_index(drop=True)


def parallel_trend_tests(
    cells: pd.DataFrame,
    quarters: pd.DataFrame,
    members: pd.DataFrame,
    roles: pd.DataFrame,
    windows: pd.DataFrame,
    factors: Mapping[str, tuple[float, str]],
    settings: MatchingSettings,
    level: float,
) -> pd.DataFrame:
    """Test the assumption of parallel trends on quarters before go-live (FV.MATCH.5).

    Parameters
    ----------
    cells, quarters, roles, windows: `fct_matching_trends`, `fct_matching_quarters`, `dim_programme_local_authorities`,
        `dim_matching_variants`.
    members: programme_id, outcome_id, treatment_la_id, la_id, is_treatment_arm of the accepted pairs.
    factors: by outcome_id, from the stored unit to the reported one, and the name of that.
    level: two-sided significance level.

    Returns
    -------
    `TEST_COLUMNS`, a row per test:

    placebo_date: as if go-live had been on as_of_date, within the window that was matched on; difference after and
        before, treatment LAs against comparators. Matching on the same quarters makes it small: it can only accuse.
    joint_leads: all differences from the last quarter of the window at once.
    held_out_placebo: matched before a placebo go-live under the same blindfold, tested on the quarters between the two
        windows, which that matching did not see. The one with a fair chance to fail.
    pair_slope: difference of one pair by quarter: its linear trend, t with m - 2 degrees of freedom.
    pair_constant_difference: whether that difference changes more than sampling error explains, chi-squared with m - 1.

    `detectable` is the difference that a test of this error finds in 80 % of cases. Estimates are in the unit of
    `factors`; a slope is per quarter.

    Source: FV.MATCH.5; docs/methods/parallel_trends.md.
    """
    rows: list[Row] = []
    default = quarters[quarters["is_default"].astype(bool)]
    for (programme, outcome), own in members.groupby(["programme_id", "outcome_id"], sort=True):
        about = {"programme_id": programme, "outcome_id": outcome, "unit": factors[str(outcome)][1]}
        factor = factors[str(outcome)][0]
        panel = stack(_of(cells, about), own, _of(default, about)[["treatment_la_id", "quarter_start_date"]])
        panel = _scaled(panel, factor)
        rows += [{**row, **about} for row in _placebo_dates(panel, level)]
        rows += [{**row, **about} for row in _joint_leads(panel)]
        rows += [{**row, **about} for row in _pair_tests(panel, level)]
    rows += _held_out(cells, quarters, roles, windows, factors, settings, level)
    return as_tests(rows)


def _of(frame: pd.DataFrame, about: Mapping[str, object]) -> pd.DataFrame:
    return frame[(frame["programme_id"] == about["programme_id"]) & (frame["outcome_id"] == about["outcome_id"])]


def _one(flag: pd.Series) -> Array:
    """A flag as the only regressor, (rows, 1)."""
    return np.asarray(flag, dtype=np.float64)[:, None]


def _scaled(panel: pd.DataFrame, factor: float) -> pd.DataFrame:
    return panel.assign(y=panel["y"] * factor, sampling_variance=panel["sampling_variance"] * factor**2)


def _before_after(panel: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Rows of the sets that hold enough quarters on both sides of a day."""
    after = panel["quarter_start_date"] >= day
    sides = panel.assign(after=after).groupby(["set_id", "after"])["quarter"].nunique().unstack(fill_value=0)
    sides = sides.reindex(columns=[False, True], fill_value=0)
    kept = sides.index[(sides >= QUARTERS_EITHER_SIDE).all(axis=1)]
    return panel[panel["set_id"].isin(kept)].reset_index(drop=True)


def _estimated(fit: StackedFit, level: float) -> Row:
    estimate = infer(float(fit.coefficients[0]), float(fit.standard_errors[0]), fit.cluster_count, level)
    return {
        "estimate": estimate.estimate,
        "standard_error": estimate.standard_error,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "statistic": float(fit.coefficients[0] / fit.standard_errors[0]) if fit.standard_errors[0] > 0 else np.nan,
        "p_value": fit.p_value,
        "t_p_value": estimate.p_value,
        "detectable": _detectable(estimate.standard_error, estimate.degrees_of_freedom, level),
        "inference_method": f"{WILD}; interval t(G-1)",
        "cluster_count": fit.cluster_count,
    }


def _detectable(error: float, freedom: float, level: float) -> float:
    """Effect that a two-sided test finds with `POWER`."""
    if not (np.isfinite(error) and np.isfinite(freedom) and freedom > 0):
        return float("nan")
    return float((stats.t.ppf(1 - level / 2, freedom) + stats.t.ppf(POWER, freedom)) * error)


def _placebo_dates(panel: pd.DataFrame, level: float) -> Iterator[Row]:
    for day in sorted(panel["quarter_start_date"].unique()):
        rows = _before_after(panel, pd.Timestamp(day))
        if rows.empty:
            continue
        after = rows["is_treatment_arm"] & (rows["quarter_start_date"] >= day)
        fit = fit_stacked(rows, _one(after))
        yield _row(
            test="placebo_date",
            as_of_date=day,
            quarters_count=rows["quarter"].nunique(),
            note=f"{rows['set_id'].nunique()} treatment LAs have quarters on both sides",
            clause="FV.MATCH.5",
            **_estimated(fit, level),
        )


def _joint_leads(panel: pd.DataFrame) -> Iterator[Row]:
    if panel.empty:
        return
    last = panel.groupby("set_id")["quarter"].transform("max")
    lead = (panel["quarter"] - last).to_numpy(dtype=np.int64)
    arm = panel["is_treatment_arm"].to_numpy(dtype=bool)
    leads = sorted(set(lead[arm].tolist()) - {0})
    if not leads:
        return
    fit = fit_stacked(panel, np.column_stack([(arm & (lead == k)).astype(np.float64) for k in leads]))
    yield _row(
        test="joint_leads",
        statistic=fit.statistic,
        degrees_of_freedom=float(len(leads)),
        p_value=fit.p_value,
        inference_method=f"F statistic of {len(leads)} leads; {WILD}",
        quarters_count=len(leads) + 1,
        cluster_count=fit.cluster_count,
        note="against the last quarter of each window; not rejecting is no proof of parallel trends",
        clause="FV.MATCH.5",
    )


def _differences(panel: pd.DataFrame) -> list[Pair]:
    """Per pair: quarters with a sampling error, difference of the treatment LA and the comparator, its variance."""
    pairs = []
    for set_id, own in panel.groupby("set_id", sort=True):
        treated = own[own["is_treatment_arm"]].set_index("quarter")
        for la_id, other in own[~own["is_treatment_arm"]].groupby("la_id", sort=True):
            other = other.set_index("quarter").reindex(treated.index)
            own_quarters = pd.DataFrame(
                {
                    "quarter_start_date": treated["quarter_start_date"],
                    "difference": treated["y"] - other["y"],
                    "variance": treated["sampling_variance"] + other["sampling_variance"],
                }
            ).dropna()
            pairs.append((str(set_id), str(la_id), own_quarters[own_quarters["variance"] > 0]))
    return pairs


def _line(x: Array, y: Array, variance: Array, level: float) -> Row:
    """Weighted least-squares slope of y on x; errors from the residuals, but never below sampling error."""
    m = len(x)
    weight = 1.0 / variance
    centre = (weight * x).sum() / weight.sum()
    spread = (weight * np.square(x - centre)).sum()
    slope = (weight * (x - centre) * y).sum() / spread
    level_y = (weight * y).sum() / weight.sum()
    residual = y - level_y - slope * (x - centre)
    scale = max(1.0, float((weight * np.square(residual)).sum() / (m - 2)))
    error = float(np.sqrt(scale / spread))
    freedom = m - 2
    reach = float(stats.t.ppf(1 - level / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(slope / error), freedom))
    return {
        "estimate": float(slope),
        "standard_error": error,
        "ci_low": float(slope - reach),
        "ci_high": float(slope + reach),
        "statistic": float(slope / error),
        "degrees_of_freedom": float(freedom),
        "p_value": p,
        "t_p_value": p,
        "detectable": _detectable(error, freedom, level),
        "inference_method": f"weighted line, sampling error or residuals, whichever is larger; t({freedom})",
    }


def _pair_tests(panel: pd.DataFrame, level: float) -> Iterator[Row]:
    for set_id, la_id, own in _differences(panel):
        common = {"treatment_la_id": set_id, "la_id": la_id, "quarters_count": len(own), "clause": "FV.MATCH.5"}
        if len(own) < 4:
            yield _row(test="pair_slope", note="fewer than four quarters with a sampling error", **common)
            continue
        y, variance = own["difference"].to_numpy(), own["variance"].to_numpy()
        yield _row(
            test="pair_slope",
            note="per quarter",
            **_line(own.index.to_numpy(dtype=np.float64), y, variance, level),
            **common,
        )
        weight = 1.0 / variance
        statistic = float((weight * np.square(y - (weight * y).sum() / weight.sum())).sum())
        yield _row(
            test="pair_constant_difference",
            statistic=statistic,
            degrees_of_freedom=float(len(own) - 1),
            p_value=float(stats.chi2.sf(statistic, len(own) - 1)),
            inference_method="chi-squared of sampling error alone",
            note="a small p-value: the difference moves more than sampling error explains",
            **common,
        )


def _held_out(
    cells: pd.DataFrame,
    quarters: pd.DataFrame,
    roles: pd.DataFrame,
    windows: pd.DataFrame,
    factors: Mapping[str, tuple[float, str]],
    settings: MatchingSettings,
    level: float,
) -> Iterator[Row]:
    """Match before a placebo go-live, then look at the quarters that only the real window holds."""
    keys = ["programme_id", "outcome_id", "treatment_la_id"]
    placebos = windows.loc[windows["placebo_months"] > 0, ["window_id", "placebo_months"]].drop_duplicates()
    default = quarters[quarters["is_default"].astype(bool)]
    for window_id, months in zip(placebos["window_id"], placebos["placebo_months"], strict=True):
        seen = quarters[quarters["window_id"] == window_id]
        ranking = rank_candidates(window_trends(cells, seen), roles, settings)
        accepted = ranking[ranking["is_accepted"].astype(bool)]
        for (programme, outcome), own in accepted.groupby(["programme_id", "outcome_id"], sort=True):
            if str(outcome) not in factors:
                continue
            about = {"programme_id": programme, "outcome_id": outcome, "unit": factors[str(outcome)][1]}
            members = members_of(own)
            matched = _of(seen, about)
            last = matched.groupby("treatment_la_id")["quarter_start_date"].max()
            later = _of(default, about)
            later = later[later["quarter_start_date"] > later["treatment_la_id"].map(last)]
            shown = pd.concat([matched, later])[["treatment_la_id", "quarter_start_date"]]
            panel = _scaled(stack(_of(cells, about), members, shown), factors[str(outcome)][0])
            is_later = panel["quarter_start_date"] > panel["set_id"].map(last)
            has_both = is_later.groupby(panel["set_id"]).transform("any")
            panel, is_later = panel[has_both].reset_index(drop=True), is_later[has_both].reset_index(drop=True)
            if panel.empty:
                continue
            fit = fit_stacked(panel, _one(panel["is_treatment_arm"] & is_later))
            yield _row(
                **about,
                test="held_out_placebo",
                quarters_count=panel["quarter"].nunique(),
                note=f"go-live set {months} months early ({window_id}): {panel['set_id'].nunique()} of"
                f" {matched['treatment_la_id'].nunique()} treatment LAs have comparators and later quarters",
                clause="FV.MATCH.5",
                **_estimated(fit, level),
            )
        yield from _unmatched(seen, accepted, factors, str(window_id), keys)


def _unmatched(
    seen: pd.DataFrame,
    accepted: pd.DataFrame,
    factors: Mapping[str, tuple[float, str]],
    window_id: str,
    keys: list[str],
) -> Iterator[Row]:
    """A row for every outcome that a placebo date leaves without any comparator."""
    held = set(zip(accepted["programme_id"], accepted["outcome_id"], strict=True))
    for programme, outcome in sorted(set(zip(seen[keys[0]], seen[keys[1]], strict=True)) - held):
        if str(outcome) in factors:
            yield _row(
                programme_id=programme,
                outcome_id=outcome,
                unit=factors[str(outcome)][1],
                test="held_out_placebo",
                note=f"no treatment LA finds a comparator before this placebo date ({window_id})",
                clause="FV.MATCH.5",
            )


def shock_tests(
    connection: duckdb.DuckDBPyConnection,
    shocks: pd.DataFrame,
    cells: pd.DataFrame,
    quarters: pd.DataFrame,
    members: pd.DataFrame,
    factors: Mapping[str, tuple[float, str]],
    level: float,
) -> pd.DataFrame:
    """Compare how pairs respond to shocks, before go-live (FV.MATCH.6) and after it (FV.MATCH.7).

    Parameters
    ----------
    connection: on which `sfpc.strata.match_children` has run.
    shocks: `dim_shocks`; the others as for `parallel_trend_tests`.

    Returns
    -------
    `TEST_COLUMNS`:

    pair_shock_response: difference of one pair on the share of a quarter's follow-up that lies after the shock; the
        estimate is the difference of the responses of a follow-up that lies wholly after it.
    shock_interaction: children who entered after go-live, weighted as matched; entered after the shock, interacted with
        the treatment LA. Effects of LA and quarter within a set take up what the shock does to both.

    Where a national shock cannot be told from the data, the row says why and has no numbers. A shock of one LA is
    compared for pairs with that LA, where the data tell; after go-live it cannot be told from what else happened there,
    so the row names the LA to leave out.

    Source: FV.MATCH.6, .7; docs/methods/parallel_trends.md.
    """
    rows: list[Row] = []
    default = quarters[quarters["is_default"].astype(bool)]
    for (programme, outcome), own in members.groupby(["programme_id", "outcome_id"], sort=True):
        factor, unit = factors[str(outcome)]
        about = {"programme_id": programme, "outcome_id": outcome, "unit": unit}
        shown = _of(default, about)
        panel = _scaled(
            stack(_of(cells, about), own, shown[["treatment_la_id", "quarter_start_date"]]),
            factor,
        )
        pairs = _differences(panel)
        # The follow-up of a quarter is the outcome's, whichever treatment LA looks at it.
        ends = shown.drop_duplicates("quarter_start_date").set_index("quarter_start_date")["last_follow_up_date"]
        after = _scaled(_after_go_live(connection, str(programme), str(outcome), own), factor)
        for shock in shocks.sort_values(["shock_date", "la_id", "title"], na_position="first").to_dict("records"):
            named = {"as_of_date": shock["shock_date"], "shock_title": shock["title"]}
            rows += [{**row, **about, **named} for row in _responses(pairs, ends, shock, level)]
            rows += [{**row, **about, **named} for row in _interaction(after, shock, level)]
    return as_tests(rows)


def _responses(pairs: Sequence[Pair], ends: pd.Series, shock: Mapping[Any, Any], level: float) -> Iterator[Row]:
    day = pd.Timestamp(shock["shock_date"])
    for set_id, la_id, own in pairs:
        is_national = pd.isna(shock["la_id"])
        if not is_national and shock["la_id"] not in (set_id, la_id):
            continue
        start = own["quarter_start_date"]
        end = pd.to_datetime(start.map(ends))
        exposure = np.clip(((end - day) / (end - start)).to_numpy(dtype=np.float64), 0.0, 1.0)
        common = {
            "test": "pair_shock_response",
            "treatment_la_id": set_id,
            "la_id": la_id,
            "quarters_count": len(own),
            "clause": "FV.MATCH.6",
        }
        if len(own) < 4 or float(np.ptp(exposure)) < SMALLEST_EXPOSURE_RANGE:
            if not is_national:
                continue
            reason = "before all of" if len(own) and exposure.min() > 1 - SMALLEST_EXPOSURE_RANGE else "after most of"
            yield _row(note=f"the shock lies {reason} the follow-ups of the matching window", **common)
            continue
        yield _row(
            note="response of a follow-up wholly after the shock; a trend that sets in late looks the same",
            **_line(exposure, own["difference"].to_numpy(), own["variance"].to_numpy(), level),
            **common,
        )


def _after_go_live(
    connection: duckdb.DuckDBPyConnection, programme_id: str, outcome_id: str, members: pd.DataFrame
) -> pd.DataFrame:
    """Weighted means of the matched children by set, LA and quarter of entry, from the set's go-live on."""
    frame = connection.execute(
        f"""
        select
            weights.treatment_la_id as set_id, weights.la_id, weights.is_treatment_arm,
            cast(date_trunc('quarter', children.anchor_date) as date) as quarter_start_date,
            sum(weights.weight_protocol * children.outcome_value) / sum(weights.weight_protocol) as y,
            sum(weights.weight_protocol) as weight
        from cem_weights as weights
        inner join {ANALYSIS} as children using (programme_id, outcome_id, child_id)
        where
            weights.programme_id = $programme and weights.outcome_id = $outcome
            and weights.is_matched and weights.is_after_go_live
        group by all
        order by all
        """,
        {"programme": programme_id, "outcome": outcome_id},
    ).df()
    frame = frame[frame["set_id"].isin(set(members["treatment_la_id"]))].reset_index(drop=True)
    frame["quarter"] = quarter_numbers(frame["quarter_start_date"])
    frame["quarter_start_date"] = pd.to_datetime(frame["quarter_start_date"])
    frame["is_treatment_arm"] = frame["is_treatment_arm"].astype(bool)
    return frame.assign(sampling_variance=np.nan)


def _interaction(after: pd.DataFrame, shock: Mapping[Any, Any], level: float) -> Iterator[Row]:
    day = pd.Timestamp(shock["shock_date"])
    common = {"test": "shock_interaction", "clause": "FV.MATCH.7"}
    if not pd.isna(shock["la_id"]):
        here = after[after["la_id"] == shock["la_id"]]
        if len(here) and here["quarter_start_date"].min() <= day <= here["quarter_start_date"].max():
            yield _row(
                **common,
                la_id=shock["la_id"],
                note="a shock of one LA cannot be told from what else happened there: leave this LA out instead",
            )
        return
    # The quarter of the shock holds entrants before and after it: it counts for neither.
    holds = (after["quarter_start_date"] <= day) & (day < after["quarter_start_date"] + pd.DateOffset(months=3))
    begins = after["quarter_start_date"] == day
    rows = _before_after(after[~holds | begins].reset_index(drop=True), day) if len(after) else after
    if rows.empty:
        yield _row(
            **common,
            note=f"no treatment LA has {QUARTERS_EITHER_SIDE} whole quarters after go-live on either side of the shock",
        )
        return
    met = rows["is_treatment_arm"] & (rows["quarter_start_date"] >= day)
    fit = fit_stacked(rows, _one(met))
    yield _row(
        **common,
        **_estimated(fit, level),
        quarters_count=rows["quarter"].nunique(),
        note=f"{rows['set_id'].nunique()} treatment LAs; a significant interaction signals a violation, and an effect"
        " that grows after go-live looks the same",
    )
