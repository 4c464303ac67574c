"""Which cells are hidden for their own sake, how counts are rounded, and what a rounded count tells (DP.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfpc.release.audit import FREE, Interval
from sfpc.release.profiles import Profile
from sfpc.release.tables import EstimateOffer, Fit, Laid, Statistic

MEDIAN = 50.0


def rounded(count: int, base: int) -> int:
    """A count as it is shown: to the nearest multiple of the base, a half upwards."""
    return (2 * count + base) // (2 * base) * base


def interval(count: int, base: int, least: int) -> Interval:
    """Whole numbers that are shown as this count is: those that round to the same and are large enough."""
    shown = rounded(count, base)
    low = -((base - 2 * shown) // 2)
    return float(max(low, least)), float(low + base - 1)


def is_small(count: int, profile: Profile) -> bool:
    """Whether a count of children is too small to be shown."""
    return count < profile.count_minimum and not (count == 0 and profile.zero_is_shown)


def hidden_children(laid: Laid, profile: Profile) -> NDArray[np.bool_]:
    """Rows whose number of children is hidden for its own sake; a structural zero is not.

    Too few children, or a row of a sensitive variable that is all in one class, in truth or by what would be shown.
    """
    counts = laid.frame[laid.offer.children].to_numpy(dtype=np.int64)
    hidden = np.array([is_small(int(count), profile) for count in counts], dtype=bool) & ~laid.structural
    if profile.class_disclosure_is_checked:
        hidden |= _one_class(laid, profile) & ~laid.structural
    return hidden


def _one_class(laid: Laid, profile: Profile) -> NDArray[np.bool_]:
    """Rows of a combination of the other dimensions whose children are all, or seem to be all, in one level."""
    frame, offer = laid.frame, laid.offer
    found = np.zeros(len(frame), dtype=bool)
    names = [d.name for d in offer.dimensions]
    for dimension in offer.dimensions:
        if not dimension.is_sensitive:
            continue
        others = [name for name in names if name != dimension.name]
        is_leaf = ~frame[dimension.name].isin([dimension.total, *dimension.groups]).to_numpy()
        rows = frame[is_leaf].groupby(others, sort=False).indices if others else {"": np.arange(int(is_leaf.sum()))}
        places = np.flatnonzero(is_leaf)
        for members in rows.values():
            chosen = places[members]
            counts = frame[offer.children].to_numpy(dtype=np.int64)[chosen]
            total = int(counts.sum())
            base = profile.rounding_base
            seems = rounded(int(counts.max(initial=0)), base) >= rounded(total, base)
            if total > 0 and (counts.max(initial=0) == total or seems):
                found[chosen] = True
    return found


def hidden_events(laid: Laid, profile: Profile) -> NDArray[np.bool_]:
    """Rows of a rate whose children with the event are hidden: too few of them, or too few without it, or in all."""
    offer = laid.offer
    children = laid.frame[offer.children].to_numpy(dtype=np.int64)
    events = laid.frame[str(offer.numerator)].to_numpy(dtype=np.int64)
    few = np.array([is_small(int(n), profile) for n in events], dtype=bool)
    # Nobody without the event is a row of 100 per cent, whatever a profile does with zeros.
    all_but_few = children - events < profile.non_event_minimum
    hidden: NDArray[np.bool_] = (few | all_but_few | hidden_children(laid, profile)) & ~laid.structural
    return hidden


def hidden_values(laid: Laid, profile: Profile) -> dict[str, NDArray[np.bool_]]:
    """Rows of each value column that are hidden for their own sake."""
    offer, frame = laid.offer, laid.frame
    children = frame[offer.children].to_numpy(dtype=np.int64)
    few = children < max(profile.statistic_minimum, 1)
    hidden = {}
    for name in offer.values:
        unsafe = few | frame[name].isna().to_numpy()
        if offer.statistic == Statistic.PERCENTILE and offer.percentiles[name] != MEDIAN:
            share = min(offer.percentiles[name], 100 - offer.percentiles[name]) / 100
            unsafe = unsafe | (np.floor(children * share + 1e-9) < profile.percentile_minimum_each_side)
        if offer.statistic == Statistic.SUM:
            unsafe = unsafe | _dominated(laid, name, profile)
        hidden[name] = unsafe
    return hidden


def _dominated(laid: Laid, name: str, profile: Profile) -> NDArray[np.bool_]:
    """Sums of which one child, or two children, make up too much. Nothing is compared by division."""
    offer, frame = laid.offer, laid.frame
    total = frame[name].abs().to_numpy(dtype=np.float64)
    first = frame[str(offer.largest)].abs().to_numpy(dtype=np.float64)
    second = frame[str(offer.second_largest)].abs().to_numpy(dtype=np.float64)
    one = 100 * first > profile.dominance_largest_pct * total
    two = 100 * (first + second) > profile.dominance_two_largest_pct * total
    # A sum of nothing has no largest part, and says that every child has none: it is hidden.
    unsafe: NDArray[np.bool_] = one | two | (total == 0) | ~np.isfinite(first) | ~np.isfinite(second)
    return unsafe


def unsafe_fit(fit: Fit, profile: Profile) -> list[str]:
    """Why the estimates of a regression are not released; nothing where they are."""
    found = []
    if fit.children < profile.regression_minimum_children:
        found.append(f"fewer than {profile.regression_minimum_children} children")
    if fit.residual_df < profile.regression_minimum_residual_df:
        found.append(f"fewer than {profile.regression_minimum_residual_df} residual degrees of freedom")
    if fit.design_rows <= fit.parameters and fit.smallest_combination < profile.saturated_minimum_children:
        found.append(
            f"saturated: {fit.design_rows} distinct rows for {fit.parameters} parameters, with fewer than"
            f" {profile.saturated_minimum_children} children in a combination"
        )
    levels = fit.levels
    checked = levels if profile.covariate_levels_are_checked else levels[levels["is_released"].astype(bool)]
    for column in ("children", "events", "non_events"):
        small = checked[checked[column].notna() & (checked[column] < profile.factor_level_minimum)]
        for row in small.itertuples():
            found.append(
                f"{row.factor} {row.level}: fewer than {profile.factor_level_minimum} {column.replace('_', '-')}"
            )
    return found


def unsafe_estimates(offer: EstimateOffer, profile: Profile) -> list[list[str]]:
    """Per row of the offer, why it is not released."""
    found = []
    for position, fit in enumerate(offer.fits):
        reasons = unsafe_fit(fit, profile)
        row = offer.frame.iloc[position]
        children, treated = int(row[offer.children]), int(row[offer.treated_children])
        if children != fit.children:
            reasons.append("the number of children is not that of the regression")
        if treated < profile.factor_level_minimum or children - treated < profile.factor_level_minimum:
            reasons.append(f"fewer than {profile.factor_level_minimum} treated or untreated children")
        if all(not np.isfinite(float(row[name])) for name in offer.values):
            reasons.append("no estimate")
        found.append(reasons)
    return found


def hidden_interval(profile: Profile) -> Interval:
    """What a hidden cell tells: that it is no zero, where zeros are shown."""
    return (1.0 if profile.zero_is_shown else 0.0), FREE
