"""One result from several imputations: Rubin's rules and a wild cluster bootstrap of the pooled t (FV.COV.4, FV.EST.3).

Page: docs/methods/missing_data.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfpc.estimation.cluster import Estimate
from sfpc.estimation.few_clusters import (
    BISECTIONS,
    TIE_TOLERANCE,
    WEBB_CLUSTERS,
    WIDEST_SEARCH,
    WILD_BOOTSTRAP,
    ClusterSums,
    RestrictedTest,
    multipliers,
)
from sfpc.estimation.result import Result

Array = NDArray[np.float64]

POOLED = "{method}; {count} imputations, Rubin's rules"
POOLED_BOOTSTRAP = WILD_BOOTSTRAP + "; {count} imputations, pooled t"
# Draws of the imputation noise are repeated until there are this many in all.
FEWEST_DRAWS = 20_000


@dataclass(frozen=True)
class Pooled(Result):
    """An estimate over m imputations.

    Attributes
    ----------
    estimate, standard_error, degrees_of_freedom, ci_low, ci_high, p_value: pooled; NaN where undefined.
    within, between, total: variances, total = within + (1 + 1/m) between.
    relative_increase, missing_share, missing_information: riv, lambda and fmi of Rubin (1987) and R's mice.
    imputation_count: m.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float
    ci_low: float
    ci_high: float
    p_value: float
    within: float
    between: float
    total: float
    relative_increase: float
    missing_share: float
    missing_information: float
    imputation_count: int


def rubin(estimates: Array, variances: Array, complete_freedom: float, level: float) -> Pooled:
    """Pool m estimates (m,) and their squared errors (m,).

    complete_freedom: degrees of freedom of a complete set: G - 1 for errors clustered by LA.

    NaN in any imputation, or only one, gives NaN for everything but the mean of the estimates.

    Source: Rubin (1987) Multiple Imputation for Nonresponse in Surveys, chapter 3; Barnard and Rubin (1999) Biometrika
    86:948 (degrees of freedom), as in R's mice::pool.
    """
    count, nan = len(estimates), float("nan")
    mean, within = float(np.mean(estimates)), float(np.mean(variances))
    between = float(np.var(estimates, ddof=1)) if count > 1 else nan
    total = within + (1 + 1 / count) * between
    if not (np.isfinite(mean) and total > 0 and within > 0 and complete_freedom > 0):
        return Pooled(mean, nan, nan, nan, nan, nan, within, between, total, nan, nan, nan, count)
    increase = (1 + 1 / count) * between / within
    share = (1 + 1 / count) * between / total
    # As share goes to 0 the first of the two goes to infinity and the second to its limit.
    of_imputations = (count - 1) / share**2 if share > 0 else float("inf")
    of_children = (
        (complete_freedom + 1) / (complete_freedom + 3) * complete_freedom * (1 - share)
        if np.isfinite(complete_freedom)
        else float("inf")
    )
    inverse = 1 / of_imputations + 1 / of_children
    freedom = 1 / inverse if inverse > 0 else float("inf")
    information = (increase + 2 / (freedom + 3)) / (1 + increase)
    error = float(np.sqrt(total))
    reach = float(stats.t.ppf(1 - level / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return Pooled(
        mean, error, freedom, mean - reach, mean + reach, p_value, within, between, total, increase, share, information,
        count,
    )  # fmt: skip


def pool(estimates: Sequence[Estimate], level: float) -> Estimate:
    """Pool one method's estimates of the imputations.

    The mean of their degrees of freedom stands for those of a complete set.
    """
    found = rubin(
        np.array([e.estimate for e in estimates]),
        np.square([e.standard_error for e in estimates]),
        float(np.mean([e.degrees_of_freedom for e in estimates])),
        level,
    )
    return Estimate(
        estimate=found.estimate,
        standard_error=found.standard_error,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p_value=found.p_value,
        degrees_of_freedom=found.degrees_of_freedom,
        inference_method=POOLED.format(method=estimates[0].inference_method, count=len(estimates)),
    )


def median_p(p_values: Array) -> float:
    """The median of the imputations' p-values; NaN where one of them is.

    Source: Eekhout, van de Wiel and Heymans (2017) BMC Medical Research Methodology 17:129.
    """
    return float(np.median(p_values))


def pooled_wild_bootstrap(
    imputations: Sequence[ClusterSums], level: float, draws: int = 9_999, seed: int = 0, ends: bool = True
) -> Estimate:
    """Wild cluster bootstrap of the pooled t, null imposed, interval by inversion.

    The statistic is (Q - null) / sqrt(T) with Q and T of `rubin` on CR1 errors. A draw takes one imputation m, LA-wise
    signs v, a standard normal z and a chi-squared c with m - 1 degrees of freedom over m - 1, all independent:

        t* = (b*(m, v) + sqrt(B') z) / sqrt(U*(m, v) + B' c),   B' = (1 + 1/m) B

    with b* and U* the effect and squared CR1 error of the restricted bootstrap on imputation m and B the variance
    between imputations. So the error of the children comes from the signs, that of the imputations from z, and that of
    T from both denominators. Equal imputations give the wild cluster bootstrap itself.

    ends: whether the interval is wanted.

    Source: Cameron, Gelbach and Miller (2008); Rubin (1987), section 3.3; the combination is this project's
    (docs/methods/missing_data.md).
    """
    count, groups = len(imputations), imputations[0].cluster_count
    method = POOLED_BOOTSTRAP.format(count=count)
    nan = float("nan")
    if any(sums.cluster_count != groups for sums in imputations):
        raise ValueError("imputations: expected the same LAs in all of them")
    patterns, _ = multipliers(groups, "Webb" if groups < WEBB_CLUSTERS else "Rademacher", draws, seed)
    tests = [RestrictedTest(sums, patterns) for sums in imputations]
    effects = np.array([sums.estimate for sums in imputations])
    variances = np.array(
        [s.factor * np.sum((s.scores(s.coefficients) @ s.bread[s.treatment]) ** 2) for s in imputations]
    )
    pooled = rubin(effects, variances, float(groups - 1), level)
    if not np.isfinite(pooled.standard_error):
        return Estimate(pooled.estimate, nan, nan, nan, nan, nan, method)
    extra = (1 + 1 / count) * pooled.between
    generator = np.random.default_rng([seed, 1])
    repeats = max(1, -(-FEWEST_DRAWS // (len(patterns) * count)))
    shape = (count, repeats, len(patterns))
    noise = np.sqrt(extra) * generator.standard_normal(shape)
    guess = extra * generator.chisquare(max(count - 1, 1), shape) / max(count - 1, 1)

    def p_value(null: float) -> float:
        observed = abs(pooled.estimate - null) / pooled.standard_error * (1 - TIE_TOLERANCE)
        reached = 0.0
        for number, (sums, test) in enumerate(zip(imputations, tests, strict=True)):
            moved, spread = test.statistics(null)
            error = np.sqrt(sums.factor * spread**2 + guess[number])
            found = np.abs(moved + noise[number])
            reached += float(np.mean((found >= observed * error) & ((error > 0) | (found > 0))))
        return reached / count

    def end(side: float) -> float:
        inside, outside = 0.0, 1.0
        while p_value(pooled.estimate + side * outside * pooled.standard_error) > level:
            inside, outside = outside, outside * 1.6
            if outside > WIDEST_SEARCH:
                return side * float("inf")
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            if p_value(pooled.estimate + side * middle * pooled.standard_error) > level:
                inside = middle
            else:
                outside = middle
            if outside - inside < 1e-6:
                break
        return pooled.estimate + side * inside * pooled.standard_error

    low, high = (end(-1.0), end(1.0)) if ends else (nan, nan)
    return Estimate(pooled.estimate, pooled.standard_error, low, high, p_value(0.0), nan, method)


__all__ = ["Pooled", "median_p", "pool", "pooled_wild_bootstrap", "rubin"]
