"""How alike children of one LA are, and how much of it lasts: ICC and cluster autocorrelation (FV.POWER.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.power.formulas import NotEstimableError

CELL_COLUMNS = ("la_id", "period", "children_count", "outcome_sum", "outcome_square_sum")


@dataclass(frozen=True)
class Correlations:
    """Variance components of an outcome, in its own unit squared, and what they say.

    Attributes
    ----------
    mean: of all children.
    within_variance: between children of one LA and period.
    la_variance: between LAs, lasting. la_period_variance: shocks of an LA in a period. Both at least 0.
    icc: (la + la_period) / all three. cac: la / (la + la_period), NaN where both are 0.
    icc_error, cac_error: jackknife over LAs; NaN for cac where a component was set to 0.
    la_count, period_count, children_count: behind the estimate.
    notes: sentences where a component had to be set to 0.
    """

    mean: float
    within_variance: float
    la_variance: float
    la_period_variance: float
    icc: float
    cac: float
    icc_error: float
    cac_error: float
    la_count: int
    period_count: int
    children_count: int
    notes: tuple[str, ...]

    @property
    def outcome_sd(self) -> float:
        """Standard deviation of the outcome over children of one period, in its unit."""
        return float(np.sqrt(self.within_variance + self.la_variance + self.la_period_variance))


def estimate_correlations(cells: pd.DataFrame) -> Correlations:
    """Variance components by moments, exact for unequal cells; errors by leaving out each LA once.

    With y the cell means and n their children, E[y'My] of two residual makers M (of LA and period effects, and of
    period effects alone) is a sum of the three components with known factors: the first gives the shocks, the second
    the LAs.

    Parameters
    ----------
    cells: `CELL_COLUMNS`, one row per LA and period, of children whom the programme has not reached. Cells of fewer
        than two children are left out.

    Raises NotEstimableError where fewer than three LAs or two periods are left.

    Source: Searle, Casella and McCulloch (1992), Variance Components, section 5.3 (Henderson's method 3).
    """
    cells = cells[cells["children_count"] >= 2]
    las, periods = cells["la_id"].nunique(), cells["period"].nunique()
    if las < 3 or periods < 2:
        raise NotEstimableError(f"{las} LAs and {periods} periods with children; at least 3 and 2 are needed")
    mean, within, la, shock = _components(cells)
    notes = []
    if shock < 0:
        notes.append("shocks of an LA in a period cannot be told from sampling error: set to 0")
    if la < 0:
        notes.append("lasting differences between LAs cannot be told from their shocks: set to 0")
    la, shock = max(la, 0.0), max(shock, 0.0)
    icc, cac = _ratios(within, la, shock)
    without = np.array(
        [_ratios(*_components(cells[cells["la_id"] != name])[1:]) for name in sorted(set(cells["la_id"]))]
    )
    return Correlations(
        mean=mean,
        within_variance=within,
        la_variance=la,
        la_period_variance=shock,
        icc=icc,
        cac=cac,
        icc_error=_jackknife(without[:, 0]),
        # At a bound the jackknife sees no movement, which is not certainty.
        cac_error=float("nan") if notes else _jackknife(without[:, 1]),
        la_count=int(las),
        period_count=int(periods),
        children_count=int(cells["children_count"].sum()),
        notes=tuple(notes),
    )


def _components(cells: pd.DataFrame) -> tuple[float, float, float, float]:
    """Mean, variance within cells, between LAs, and of LA by period; the latter two may be negative."""
    count = cells["children_count"].to_numpy(dtype=np.float64)
    total = cells["outcome_sum"].to_numpy(dtype=np.float64)
    square = cells["outcome_square_sum"].to_numpy(dtype=np.float64)
    # Less the mean: what residuals do not see, and sums of squares do not lose digits to.
    y = total / count - total.sum() / count.sum()
    within = float((square - total**2 / count).sum() / (count - 1).sum())
    la, period = _codes(cells["la_id"]), _codes(cells["period"])
    both = _residuals(y, count, [la, period])
    period_only = _residuals(y, count, [period])
    shock = (both.squares - within * both.sampling) / both.freedom
    # The trace of M0 ZZ', Z the indicators of LAs: cells less one for each period, since an LA has one cell in each.
    between = len(y) - (period.max() + 1)
    known = shock * period_only.freedom + within * period_only.sampling
    return float(total.sum() / count.sum()), within, float((period_only.squares - known) / between), float(shock)


@dataclass(frozen=True)
class _Residuals:
    """What a residual maker M says of cell means: y'My, its trace, the sum of its diagonal over the cells' sizes."""

    squares: float
    freedom: float
    sampling: float


def _residuals(y: NDArray[np.float64], count: NDArray[np.float64], factors: list[NDArray[np.int64]]) -> _Residuals:
    """Of the effects of one or two factors; all from the small matrix X'X, since a row of X has one 1 per factor."""
    starts = np.cumsum([0, *(int(f.max()) + 1 for f in factors)])
    place = [f + start for f, start in zip(factors, starts, strict=False)]
    gram = np.zeros((starts[-1], starts[-1]))
    moment = np.zeros(starts[-1])
    for first in place:
        np.add.at(moment, first, y)
        for second in place:
            np.add.at(gram, (first, second), 1.0)
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    leverage = sum((inverse[first, second] for first in place for second in place), start=np.zeros(len(y)))
    return _Residuals(
        squares=float(y @ y - moment @ inverse @ moment),
        freedom=float((1 - leverage).sum()),
        sampling=float(((1 - leverage) / count).sum()),
    )


def _codes(values: pd.Series[Any]) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(values, sort=True)[0], dtype=np.int64)


def _ratios(within: float, la: float, shock: float) -> tuple[float, float]:
    la, shock = max(la, 0.0), max(shock, 0.0)
    between = la + shock
    return between / (between + within) if between + within > 0 else float("nan"), (
        la / between if between > 0 else float("nan")
    )


def _jackknife(values: NDArray[np.float64]) -> float:
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float("nan")
    return float(np.sqrt((len(values) - 1) / len(values) * np.square(values - values.mean()).sum()))
