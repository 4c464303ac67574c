"""What a year in care costs by where children live, and how long care lasts (FV.CBA.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.cost_benefit.prices import PriceIndex
from sfpc.errors import SfpcError

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class CareCost:
    """Cost of a year in care, weighted by where children live.

    per_year: pounds of the base year. groups: one row per kind of placement: placement_group, care_days_pct, item,
    period (of the price), is_verified, amount_gbp_per_year (base year), contribution_gbp, reason.
    """

    per_year: float
    groups: pd.DataFrame


def weighted_cost(
    mix: pd.DataFrame, unit_costs: pd.DataFrame, prices: PriceIndex, base_year: int, admits_unverified: bool = False
) -> CareCost:
    """Sum over kinds of placement of their share of days times what they cost a year.

    Of the costs that may stand for a kind, the most preferred with an admissible row counts; of its years that of the
    base year, else the latest before it, else the first after it, put into prices of the base year.

    Parameters
    ----------
    mix: placement_group and care_day_count, any number of rows (`fct_placement_mix`).
    unit_costs: `dim_unit_costs`. base_year: in which the financial year ends.
    admits_unverified: whether rows that nobody has verified may be used.

    Raises SfpcError where there are no days of care, or a kind with days has no admissible cost.
    """
    days = mix.groupby("placement_group")["care_day_count"].sum()
    days = days[days > 0]
    if days.empty:
        raise SfpcError("fct_placement_mix has no days of care for these LAs and years")
    allowed = unit_costs[
        unit_costs["amount_gbp_per_year"].notna()
        & (unit_costs["is_verified"].astype(bool) | admits_unverified)
        & unit_costs["return_year"].isin(list(prices.levels))
    ]
    rows = []
    for group, count in days.items():
        own = allowed[allowed["placement_group"] == group]
        if own.empty:
            verified = "" if admits_unverified else "verified "
            raise SfpcError(
                f"dim_unit_costs: no {verified}cost with a price year for the placement group '{group}', which has"
                f" {100 * count / days.sum():.1f} % of the days"
            )
        own = own[own["preference"] == own["preference"].min()]
        year = own["return_year"].astype(int)
        # The base year first, then years before it from the latest, then years after it from the earliest.
        order = np.where(year <= base_year, base_year - year, 1_000 + year - base_year)
        chosen = own.iloc[int(np.argmin(order))]
        amount = prices.deflate(float(chosen["amount_gbp_per_year"]), int(chosen["return_year"]), base_year)
        share = float(count / days.sum())
        rows.append(
            {
                "placement_group": group,
                "care_days_pct": 100 * share,
                "item": chosen["item"],
                "period": chosen["period"],
                "is_verified": bool(chosen["is_verified"]),
                "amount_gbp_per_year": amount,
                "contribution_gbp": share * amount,
                "reason": chosen["reason"],
            }
        )
    groups = pd.DataFrame(rows).sort_values("contribution_gbp", ascending=False, ignore_index=True)
    return CareCost(float(groups["contribution_gbp"].sum()), groups)


@dataclass(frozen=True)
class Durations:
    """How long care lasts: the share of children still in care so many days after its start (Kaplan and Meier).

    days: rising, from 0. survival: (same length), share still in care from that day until the next; 1 at the start.
    followed_days: longest time that anybody was seen for; beyond it nobody is counted as in care, because nothing is
    known there.
    periods_count: periods of care behind it.
    """

    days: NDArray[np.float64]
    survival: NDArray[np.float64]
    followed_days: float
    periods_count: int

    @cached_property
    def _area(self) -> NDArray[np.float64]:
        """Days in care up to each of `days`."""
        return np.concatenate([[0.0], np.cumsum(self.survival[:-1] * np.diff(self.days))])

    def years_in_care(self, last_year: int, stretch: float | NDArray[np.float64] = 1.0) -> NDArray[np.float64]:
        """(..., last_year + 1): years in care per child in each year since care began, 0 to 1.

        stretch: all durations multiplied by this; an array gives a row for each.
        """
        factor = np.asarray(stretch, dtype=np.float64)[..., None]
        edges = DAYS_PER_YEAR * np.arange(last_year + 2) / factor
        until = np.minimum(edges, self.followed_days)
        place = np.clip(np.searchsorted(self.days, until, side="right") - 1, 0, len(self.days) - 1)
        area = self._area[place] + self.survival[place] * (until - self.days[place])
        return np.asarray(np.diff(area, axis=-1) * factor / DAYS_PER_YEAR, dtype=np.float64)


def fixed_duration(years: float) -> Durations:
    """Every child in care for the same time, in years."""
    days = years * DAYS_PER_YEAR
    return Durations(np.array([0.0, days]), np.array([1.0, 0.0]), 1e9, 0)


def care_durations(lengths: Sequence[float], has_ended: Sequence[bool]) -> Durations:
    """Kaplan and Meier's estimate from lengths in days, those that go on being known up to their length only.

    Raises SfpcError where there is no period of care.

    Source: Kaplan and Meier (1958) J. American Statistical Association 53:457.
    """
    length = np.asarray(lengths, dtype=np.float64)
    ended = np.asarray(has_ended, dtype=np.bool_)
    if not len(length):
        raise SfpcError("fct_care_periods has no period of care that began in a returned year in these LAs")
    times = np.unique(length[ended])
    at_risk = len(length) - np.searchsorted(np.sort(length), times, side="left")
    events = np.searchsorted(np.sort(length[ended]), times, side="right") - np.searchsorted(
        np.sort(length[ended]), times, side="left"
    )
    survival = np.cumprod(1 - events / at_risk)
    days = np.concatenate([[0.0], times[times > 0]])
    start = float(survival[0]) if len(times) and times[0] == 0 else 1.0
    shares = np.concatenate([[start], survival[times > 0]])
    return Durations(days, shares, float(length.max()), len(length))
