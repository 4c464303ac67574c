"""Financial years, prices of one year and discounting (FV.CBA.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from sfpc.errors import SfpcError

_YEAR = re.compile(r"(20\d\d)\s*[/-]\s*(\d\d|20\d\d)")


def financial_year(text: str) -> int:
    """The year in which a financial year ends: 2021/22, 2021-22 and 2021/2022 are 2022.

    Raises ValueError where the text is none, or its two years do not follow each other.
    """
    found = _YEAR.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no financial year; expected one such as 2021/22")
    start, end = int(found[1]), int(found[2]) % 100
    if (start + 1) % 100 != end or (len(found[2]) == 4 and int(found[2]) != start + 1):
        raise ValueError(f"'{text}' is no financial year; expected one such as 2021/22")
    return start + 1


def year_label(year: int) -> str:
    """The financial year that ends in a year: 2022 is 2021/22."""
    return f"{year - 1}/{year % 100:02d}"


def year_of(day: date) -> int:
    """The year in which the financial year of a day ends: 31 March 2022 is in 2022, 1 April 2022 in 2023."""
    return day.year + (day.month >= 4)


@dataclass(frozen=True)
class PriceIndex:
    """Price level by the year in which a financial year ends, in any unit."""

    levels: Mapping[int, float]

    def deflate(self, amount: float, from_year: int, to_year: int) -> float:
        """An amount in prices of one financial year, in those of another.

        Raises SfpcError where a year has no index: prices are not carried on.
        """
        for year in (from_year, to_year):
            if year not in self.levels:
                held = f"{year_label(min(self.levels))} to {year_label(max(self.levels))}" if self.levels else "none"
                raise SfpcError(f"no price index for {year_label(year)}; dim_price_indices holds {held}")
        return amount * self.levels[to_year] / self.levels[from_year]


@dataclass(frozen=True)
class DiscountSchedule:
    """Rates by band of years: (first year, last year, rate per year as a proportion), in order.

    edition: of the guidance that they come from.
    """

    bands: Sequence[tuple[int, int, float]]
    edition: str

    def rate(self, year: int) -> float:
        """The rate from the year before to this one; years before the first band have its rate."""
        if year < self.bands[0][0]:
            return self.bands[0][2]
        for first, last, rate in self.bands:
            if first <= year <= last:
                return rate
        raise SfpcError(f"dim_discount_rates: no rate for year {year}")

    def factor(self, year: int) -> float:
        """What a pound of a year of the appraisal is worth in year 0; above 1 for years before.

        The product of 1/(1 + rate) over the years between; with one rate 1/(1 + rate)^year.
        """
        value = 1.0
        for step in range(1, year + 1):
            value /= 1 + self.rate(step)
        for step in range(0, year, -1):
            value *= 1 + self.rate(step)
        return value

    def factors(self, last_year: int) -> NDArray[np.float64]:
        """(last_year + 1,), of years 0 to ``last_year``. At 3.5 per cent years 0 to 5 add up to 5.515052 (B37)."""
        return np.array([self.factor(year) for year in range(last_year + 1)])

    def at(self, rate: float) -> DiscountSchedule:
        """The same years at one rate."""
        return DiscountSchedule([(self.bands[0][0], self.bands[-1][1], rate)], f"{100 * rate:g} per cent throughout")
