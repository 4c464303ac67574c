"""Estimators for staggered go-live on means per LA and period (FV.SENS.2, FV.SENS.3).

One coefficient for LAs that go live one after another is a weighted sum of two-by-two comparisons, some of which set
an LA against one that is live already. Goodman-Bacon's decomposition shows the weights; Callaway and Sant'Anna's and
Sun and Abraham's estimators leave such comparisons out. All three come from the library diff-diff; what is ours is
the panel they work on, the error by the jackknife over LAs (analytic errors collapse when every LA is a cohort of
its own) and the words. Page: docs/methods/staggered.md.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import diff_diff
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.design import Design
from sfpc.estimation.group_time import adjusted_means
from sfpc.estimation.result import Result

JACKKNIFE_T = "jackknife over LAs, t(G-1)"

# Weight of comparisons with LAs that are live already, above which the coefficient is said to be at risk (FV.SENS.3).
FORBIDDEN_WEIGHT = 0.10
_FORBIDDEN = "later_vs_earlier"


@dataclass(frozen=True)
class Panel:
    """Adjusted means of LAs over periods of equal length.

    Attributes
    ----------
    las: (G,), names.
    means: (G, T), in units of the outcome; every LA has every period.
    first_period: (G,), 1 for the first period of the panel and so on; 0 for an LA that never goes live.
    months: length of a period: the longest for which every go-live opens one.
    left_out: LAs without children in some period.
    """

    las: tuple[str, ...]
    means: NDArray[np.float64]
    first_period: NDArray[np.int64]
    months: int
    left_out: tuple[str, ...]

    def long(self) -> pd.DataFrame:
        """A row per LA and period, in the columns that diff-diff is given."""
        groups, periods = self.means.shape
        return pd.DataFrame(
            {
                "la": np.repeat(np.arange(groups), periods),
                "period": np.tile(np.arange(1, periods + 1), groups),
                "mean": self.means.ravel(),
                "first_period": np.repeat(self.first_period, periods),
            }
        )

    def without(self, position: int) -> Panel:
        """The panel without one LA."""
        kept = np.arange(len(self.las)) != position
        las = tuple(la for la, is_kept in zip(self.las, kept, strict=True) if is_kept)
        return Panel(las, self.means[kept], self.first_period[kept], self.months, self.left_out)


def la_panel(design: Design, month: NDArray[np.int64], go_live_month: Mapping[str, int]) -> Panel | None:
    """Means per LA and period at equal covariates; None where an LA goes live in the first period or none is left.

    Parameters
    ----------
    month: (cells,), months counted from any origin.
    go_live_month: per treated LA, the month whose first day is its go-live, from the same origin.

    A period opens with each go-live, so that no LA is half treated in it: its length is the greatest common divisor of
    the distances between go-lives and the first month. Months at the end that fill no period are left out.
    """
    present = {la: first for la, first in go_live_month.items() if la in design.cluster_names}
    if not present or not len(month):
        return None
    start, end = int(month.min()), int(month.max())
    length = reduce(math.gcd, (first - start for first in present.values()))
    if length <= 0 or min(present.values()) <= start:
        return None
    periods = (end + 1 - start) // length
    period = np.minimum((month - start) // length, periods)
    means, _ = adjusted_means(design, period.astype(np.int64))
    means = means[:, :periods]
    whole = np.isfinite(means).all(axis=1)
    names = np.array(design.cluster_names)
    first = np.array([1 + (present[la] - start) // length if la in present else 0 for la in names], dtype=np.int64)
    first = np.where(first > periods, 0, first)
    if not (first[whole] > 0).any() or not (first[whole] == 0).any():
        return None
    return Panel(tuple(names[whole]), means[whole], first[whole], length, tuple(names[~whole]))


def callaway_santanna(panel: Panel, level: float) -> Estimate:
    """Effect on the treated LAs over their live periods, against LAs not live yet.

    Source: Callaway and Sant'Anna (2021) J. Econometrics 225:200, the simple aggregation, by way of diff-diff.
    """

    def fit(rows: pd.DataFrame) -> float:
        model = diff_diff.CallawaySantAnna(control_group="not_yet_treated")
        return float(model.fit(rows, outcome="mean", unit="la", time="period", first_treat="first_period").overall_att)

    return _with_jackknife(panel, fit, level)


def sun_abraham(panel: Panel, level: float) -> Estimate:
    """The same by interactions of cohort and time since go-live, against LAs that never go live.

    Source: Sun and Abraham (2021) J. Econometrics 225:175, by way of diff-diff.
    """

    def fit(rows: pd.DataFrame) -> float:
        model = diff_diff.SunAbraham()
        return float(model.fit(rows, outcome="mean", unit="la", time="period", first_treat="first_period").overall_att)

    return _with_jackknife(panel, fit, level)


@dataclass(frozen=True)
class Bacon(Result):
    """Goodman-Bacon's decomposition of the coefficient on the panel.

    Attributes
    ----------
    coefficient: two-way fixed effects, in units of the outcome, unweighted over LAs and periods.
    comparisons: comparison ('treated against never live', 'earlier against later live', 'later against earlier live'),
        weight (sum 1) and mean effect of each kind.
    is_at_risk: more than `FORBIDDEN_WEIGHT` of the weight sets an LA against one that is live already.
    """

    coefficient: float
    comparisons: pd.DataFrame
    is_at_risk: bool

    def tidy(self) -> pd.DataFrame:
        """A row per kind of comparison: comparison, weight, effect."""
        return self.comparisons.copy()


_NAMES = {
    "treated_vs_never": "treated against never live",
    "earlier_vs_later": "earlier against later live",
    _FORBIDDEN: "later against earlier live",
}


def bacon(panel: Panel) -> Bacon:
    """Decompose the coefficient of the panel.

    Source: Goodman-Bacon (2021) J. Econometrics 225:254, equations 10 and 11, by way of diff-diff (exact weights).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = diff_diff.BaconDecomposition(weights="exact").fit(
            panel.long(), outcome="mean", unit="la", time="period", first_treat="first_period"
        )
    rows = found.to_dataframe()
    rows = rows.assign(part=rows["weight"] * rows["estimate"]).groupby("comparison_type")[["weight", "part"]].sum()
    comparisons = pd.DataFrame(
        {
            "comparison": [_NAMES[str(kind)] for kind in rows.index],
            "weight": rows["weight"].to_numpy(),
            "effect": (rows["part"] / rows["weight"]).to_numpy(),
        }
    )
    forbidden = float(rows["weight"].get(_FORBIDDEN, 0.0))
    return Bacon(float(found.twfe_estimate), comparisons, forbidden > FORBIDDEN_WEIGHT)


def _with_jackknife(panel: Panel, fit: Callable[[pd.DataFrame], float], level: float) -> Estimate:
    """The estimate with the jackknife over LAs; NaN as error where it is not identified without some LA."""

    def safely(one: Panel) -> float:
        if not (one.first_period > 0).any() or not (one.first_period == 0).any():
            return float("nan")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return fit(one.long())
            except (ValueError, np.linalg.LinAlgError):
                return float("nan")

    groups = len(panel.las)
    estimate = safely(panel)
    without = np.array([safely(panel.without(position)) for position in range(groups)])
    error = float(np.sqrt((groups - 1) / groups * np.sum((without - without.mean()) ** 2)))
    return infer(estimate, error, groups, level, JACKKNIFE_T)
