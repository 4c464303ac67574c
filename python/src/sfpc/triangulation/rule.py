"""When two estimates agree, and what they give together: arithmetic without data (FV.TRI.1).

Page: docs/methods/triangulation.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from sfpc.estimation.cluster import Estimate, infer
from sfpc.power.formulas import mdes_after

SIMPLE, PRECISION = "simple mean", "precision weighted"
POOLED, BOTH, NEITHER = "pooled", "both, with reasons", "neither"
RELY_ON_FIRST, RELY_ON_SECOND = "rely on the first", "rely on the second"
# The gates of a design together: none speaks against it, some is not known, one fails.
HOLD, UNKNOWN, FAIL = "hold", "not known", "fail"


@dataclass(frozen=True)
class Side:
    """One of the two estimates.

    estimate, standard_error: in one unit. freedom: degrees of freedom of the error; None where there are many.
    """

    estimate: float
    standard_error: float
    freedom: float | None

    @property
    def is_defined(self) -> bool:
        """Whether there is an estimate with an error."""
        return math.isfinite(self.estimate) and math.isfinite(self.standard_error) and self.standard_error > 0

    def interval(self, level: float) -> tuple[float, float]:
        """Estimate and t of `freedom` times the error on either side; NaN where it is not defined."""
        found = _infer(self.estimate, self.standard_error, self.freedom, level)
        return found.ci_low, found.ci_high


@dataclass(frozen=True)
class Agreement:
    """Whether two estimates agree.

    Attributes
    ----------
    covariance, correlation: of the two.
    difference, standard_error: first less second, in their unit.
    z, p_value: of no difference, by the normal distribution, which the rule uses.
    t_p_value: by t with the fewer degrees of freedom of the two.
    detectable_difference: what this test finds in 80 of 100 cases.
    is_same_sign, do_intervals_overlap, is_difference_small: the three conditions; is_aligned: all of them.
    """

    covariance: float
    correlation: float
    difference: float
    standard_error: float
    z: float
    p_value: float
    t_p_value: float
    detectable_difference: float
    is_same_sign: bool
    do_intervals_overlap: bool
    is_difference_small: bool

    @property
    def is_aligned(self) -> bool:
        """The rule declared beforehand: every condition holds."""
        return self.is_same_sign and self.do_intervals_overlap and self.is_difference_small


def agreement(first: Side, second: Side, covariance: float, level: float, limit: float) -> Agreement:
    """Test whether two estimates of one effect agree.

        z = (a - b) / sqrt(Va + Vb - 2 C)

    An estimate that is not defined agrees with nothing. An estimate of exactly 0 has no sign.

    Parameters
    ----------
    covariance: C, in the squared unit of the estimates.
    level: of the intervals that must overlap, two-sided. limit: p-value that the test of the difference must exceed.

    Raises ValueError where the covariance is impossible, |C| > sqrt(Va Vb).

    Source: FV.TRI.1; methods A13.
    """
    nan = float("nan")
    if not (first.is_defined and second.is_defined and math.isfinite(covariance)):
        return Agreement(covariance, nan, nan, nan, nan, nan, nan, nan, False, False, False)
    scale = first.standard_error * second.standard_error
    correlation = covariance / scale
    if abs(correlation) > 1 + 1e-9:
        raise ValueError(f"covariance {covariance:g} of errors {first.standard_error:g} and {second.standard_error:g}")
    variance = first.standard_error**2 + second.standard_error**2 - 2 * covariance
    difference = first.estimate - second.estimate
    error = math.sqrt(max(variance, 0.0))
    if error > 1e-12 * (first.standard_error + second.standard_error):
        z = difference / error
    else:
        z = math.copysign(math.inf, difference) if difference else 0.0
    p_value = float(2 * stats.norm.sf(abs(z)))
    freedom = fewer(first.freedom, second.freedom)
    (low_a, high_a), (low_b, high_b) = first.interval(level), second.interval(level)
    return Agreement(
        covariance=covariance,
        correlation=correlation,
        difference=difference,
        standard_error=error,
        z=z,
        p_value=p_value,
        t_p_value=p_value if freedom is None else float(2 * stats.t.sf(abs(z), freedom)),
        detectable_difference=mdes_after(error, freedom, level),
        is_same_sign=first.estimate * second.estimate > 0,
        do_intervals_overlap=max(low_a, low_b) <= min(high_a, high_b),
        is_difference_small=p_value > limit,
    )


def fewer(first: float | None, second: float | None) -> float | None:
    """The fewer degrees of freedom; None where both have many."""
    known = [value for value in (first, second) if value is not None]
    return min(known) if known else None


@dataclass(frozen=True)
class Pooled:
    """Two estimates as one: method, the weight of the first (0 to 1), and the estimate with interval and p-value."""

    method: str
    first_weight: float
    effect: Estimate


def pool_two(first: Side, second: Side, covariance: float, level: float) -> tuple[Pooled, Pooled]:
    """The simple mean and the mean with weights by precision, in this order.

        w = (Vb - C) / (Va + Vb - 2 C), held within 0 and 1;  V = w^2 Va + (1 - w)^2 Vb + 2 w (1 - w) C

    Both take t with the fewer degrees of freedom of the two. Whether pooling is allowed is not asked here.

    Source: FV.TRI.1 ("average estimate"); methods A13.
    """
    va, vb = first.standard_error**2, second.standard_error**2
    spread = va + vb - 2 * covariance
    weight = (vb - covariance) / spread if spread > 1e-12 * (va + vb) else 0.5
    freedom = fewer(first.freedom, second.freedom)

    def mean(method: str, w: float) -> Pooled:
        variance = w**2 * va + (1 - w) ** 2 * vb + 2 * w * (1 - w) * covariance
        estimate = w * first.estimate + (1 - w) * second.estimate
        return Pooled(method, w, _infer(estimate, math.sqrt(max(variance, 0.0)), freedom, level, method))

    return mean(SIMPLE, 0.5), mean(PRECISION, min(max(weight, 0.0), 1.0))


@dataclass(frozen=True)
class Jackknife:
    """An estimate without each LA that it stands on: `without` by LA, in its unit."""

    estimate: float
    without: Mapping[str, float]

    @property
    def factor(self) -> float:
        """(G - 1) / G."""
        return (len(self.without) - 1) / len(self.without) if self.without else float("nan")

    @property
    def side(self) -> Side:
        """Estimate, error by the jackknife over LAs (CR3) and G - 1 degrees of freedom; NaN with fewer than 2 LAs."""
        nan = float("nan")
        groups = len(self.without)
        if groups < 2:
            return Side(self.estimate, nan, nan)
        total = sum((value - self.estimate) ** 2 for value in self.without.values())
        return Side(self.estimate, math.sqrt(self.factor * total), float(groups - 1))


def joint_covariance(first: Jackknife, second: Jackknife) -> float:
    """Covariance of two estimates by leaving each LA out of both at once.

        C = sqrt(fa fb) * sum over LAs in both of (a without g - a)(b without g - b),  f = (G - 1) / G of each

    An LA that only one of them stands on does not move the other, and adds nothing. With the factors of the errors
    the covariance is one that errors so large can have. 0 where no LA is in both; NaN where an estimate without an LA
    of both is not identified.

    Source: FV.TRI.1; Efron and Tibshirani (1993) An Introduction to the Bootstrap, chapter 11; methods A13.
    """
    both = sorted(set(first.without) & set(second.without))
    if not both:
        return 0.0
    total = sum((first.without[la] - first.estimate) * (second.without[la] - second.estimate) for la in both)
    return math.sqrt(first.factor * second.factor) * total


def decide(first_gates: str, second_gates: str, are_defined: tuple[bool, bool], is_aligned: bool, unknown: str) -> str:
    """What follows, by the rule declared beforehand.

    first_gates, second_gates: `HOLD`, `UNKNOWN` or `FAIL`. unknown: "warn" (a gate of which nothing is known lets pass)
    or "block" (it counts as failed).

    Both designs stand and agree: pooled. Both stand and do not agree: both, with reasons. One stands: rely on it.
    None: neither. A design without an estimate does not stand. Nothing is pooled where a gate failed.

    Source: FV.TRI.1; methods A13.
    """
    if unknown not in ("warn", "block"):
        raise ValueError(f"unknown is '{unknown}'; expected warn or block")
    passes = (HOLD, UNKNOWN) if unknown == "warn" else (HOLD,)
    first = first_gates in passes and are_defined[0]
    second = second_gates in passes and are_defined[1]
    if first and second:
        return POOLED if is_aligned else BOTH
    if first:
        return RELY_ON_FIRST
    return RELY_ON_SECOND if second else NEITHER


def _infer(estimate: float, error: float, freedom: float | None, level: float, method: str = "") -> Estimate:
    # Many degrees of freedom: the normal distribution is t's limit.
    return infer(estimate, error, 0, level, method, 1e9 if freedom is None else freedom)
