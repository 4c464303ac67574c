"""Minimum detectable effects and power from a standard error (FV.POWER.1).

Effects are in standard deviations of the outcome unless a function says otherwise. Page: docs/methods/power.md.
"""

from __future__ import annotations

import math

from scipy import stats


class NotEstimableError(ValueError):
    """The data, or the design, do not say what was asked."""


def multiplier(significance_level: float, power: float, freedom: float | None = None, sides: int = 2) -> float:
    """How many standard errors an effect must measure to be found with the given power.

    The quantiles of the normal distribution without ``freedom``, else of Student's t with so many degrees of freedom:
    z(1 - alpha/2) + z(power) is 2.80159 at 5 per cent, two-sided, and 80 per cent.

    Raises ValueError for a level or power outside 0 to 1, or degrees of freedom below 1.

    Source: Bloom (1995) Evaluation Review 19:547.
    """
    _within(significance_level, "significance_level")
    _within(power, "power")
    if sides not in (1, 2):
        raise ValueError(f"sides is {sides}; expected 1 or 2")
    tail = 1 - significance_level / sides
    if freedom is None:
        return float(stats.norm.ppf(tail) + stats.norm.ppf(power))
    if freedom < 1:
        raise ValueError(f"freedom is {freedom}; expected 1 or more")
    return float(stats.t.ppf(tail, freedom) + stats.t.ppf(power, freedom))


def mdes_cluster(
    clusters: int,
    children_per_cluster: float,
    icc: float,
    *,
    share_treated: float = 0.5,
    level2_r2: float = 0.0,
    level1_r2: float = 0.0,
    significance_level: float = 0.05,
    power: float = 0.8,
    freedom: float | None = None,
    sides: int = 2,
) -> float:
    """Minimum detectable effect of a two-level cluster design, in standard deviations of the outcome.

    M sqrt( icc (1 - R2_between) / (P (1 - P) K) + (1 - icc)(1 - R2_within) / (P (1 - P) K n) ), with K clusters of n
    children, a share P of the clusters treated.

    Parameters
    ----------
    icc: share of the outcome's variance that lies between clusters.
    level2_r2, level1_r2: share of the variance between and within clusters that covariates explain.
    freedom: degrees of freedom of `multiplier`; the normal distribution without it.

    Raises ValueError for a value outside its range.

    Source: Bloom, Richburg-Hayes and Black (2007) Educational Evaluation and Policy Analysis 29:30; Dong and Maynard
    (2013, PowerUp!) J. Research on Educational Effectiveness 6:24; FV.POWER.1.
    """
    _within(share_treated, "share_treated")
    for value, name in ((icc, "icc"), (level2_r2, "level2_r2"), (level1_r2, "level1_r2")):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; expected 0 to 1")
    if clusters < 2 or children_per_cluster <= 0:
        raise ValueError(f"{clusters} clusters of {children_per_cluster} children; expected at least 2 of more than 0")
    spread = share_treated * (1 - share_treated) * clusters
    variance = icc * (1 - level2_r2) / spread + (1 - icc) * (1 - level1_r2) / (spread * children_per_cluster)
    return multiplier(significance_level, power, freedom, sides) * math.sqrt(variance)


def mdes_after(
    standard_error: float, freedom: float | None, significance_level: float = 0.05, power: float = 0.8
) -> float:
    """Minimum detectable effect after the fact, in the unit of the standard error; NaN without one.

    (t(1 - alpha/2) + t(power)) times the error that was estimated: what a study as precise as this one finds with the
    given power. It says nothing about whether the effect that was found is true.

    Source: methods C; Bloom (1995).
    """
    if not (math.isfinite(standard_error) and standard_error > 0):
        return math.nan
    if freedom is not None and not (math.isfinite(freedom) and freedom >= 1):
        return math.nan
    return multiplier(significance_level, power, freedom) * standard_error


def power_at(effect: float, standard_error: float, freedom: float | None, significance_level: float = 0.05) -> float:
    """Chance (0 to 1) that a two-sided test finds an effect, both in one unit; NaN without a standard error.

    The inverse of `mdes_after`: at that effect it is the power asked for, but for the negligible chance of a
    significant result on the wrong side.
    """
    if not (math.isfinite(standard_error) and standard_error > 0 and math.isfinite(effect)):
        return math.nan
    distance = abs(effect) / standard_error
    spread = stats.norm() if freedom is None else stats.t(freedom)
    critical = spread.ppf(1 - significance_level / 2)
    return float(spread.cdf(distance - critical) + spread.cdf(-distance - critical))


def share_sd(share: float) -> float:
    """Standard deviation of a yes-or-no outcome with this share of yes (0 to 1): sqrt(p (1 - p))."""
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; expected 0 to 1")
    return math.sqrt(share * (1 - share))


def _within(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; expected more than 0 and less than 1")
