"""A roll-out as it was (or is planned), and the variance that generalised least squares gives it (FV.POWER.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LaEffects = Literal["fixed", "random"]
Correlation = Literal["constant", "decaying"]


@dataclass(frozen=True)
class Rollout:
    """LAs by periods.

    Attributes
    ----------
    la_ids: (G,).
    periods: (T,), first day of each period.
    treated: (G, T), share (0 to 1) of the LA's children of the period who enter after go-live.
    children: (G, T), children; 0 where the LA has none.
    """

    la_ids: tuple[str, ...]
    periods: tuple[date, ...]
    treated: NDArray[np.float64]
    children: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.la_ids), len(self.periods))
        if self.treated.shape != shape or self.children.shape != shape:
            raise ValueError(
                f"{shape[0]} LAs and {shape[1]} periods; treated is {self.treated.shape},"
                f" children {self.children.shape}"
            )
        if not ((self.treated >= 0) & (self.treated <= 1)).all() or not (self.children >= 0).all():
            raise ValueError("treated is expected from 0 to 1 and children 0 or more")

    @property
    def treated_las(self) -> int:
        """LAs with any treated period that has children."""
        return int(((self.treated > 0) & (self.children > 0)).any(axis=1).sum())

    @property
    def la_count(self) -> int:
        """LAs with children."""
        return int((self.children > 0).any(axis=1).sum())


def plan_rollout(
    go_live: Mapping[str, date | None],
    periods: Sequence[date],
    last_day: date,
    children_per_period: Mapping[str, float],
) -> Rollout:
    """Roll-out from go-live rows, for planning: children enter evenly over a period.

    Parameters
    ----------
    go_live: by LA; None for a comparison LA.
    periods: first days, rising; a period ends the day before the next, the last one with ``last_day``.
    children_per_period: by LA.
    """
    edges = [day.toordinal() for day in (*periods, date.fromordinal(last_day.toordinal() + 1))]
    if any(b <= a for a, b in pairwise(edges)):
        raise ValueError("periods must rise, and last_day lie in the last one")
    las = tuple(sorted(go_live))
    treated = np.zeros((len(las), len(periods)))
    for row, la in enumerate(las):
        day = go_live[la]
        if day is None:
            continue
        for column, (first, after) in enumerate(pairwise(edges)):
            treated[row, column] = min(1.0, max(0.0, (after - day.toordinal()) / (after - first)))
    children = np.repeat(np.array([[float(children_per_period[la])] for la in las]), len(periods), axis=1)
    return Rollout(las, tuple(periods), treated, children)


def design_variance(
    rollout: Rollout,
    icc: float,
    cac: float,
    *,
    la_effects: LaEffects = "fixed",
    correlation: Correlation = "constant",
) -> float:
    """Variance of the effect by generalised least squares, the outcome's variance being 1; NaN if not identified.

    The mean of an LA and period is period effect + b treated + LA effect + LA-by-period shock + sampling error, with
    variances icc cac (permanent), icc (1 - cac) (shock) and (1 - icc)/n. Period effects are always fixed. With fixed LA
    effects, as FV.EST.1 has them, the permanent part drops out and only icc (1 - cac) counts.

    Parameters
    ----------
    icc: share of the outcome's variance between LAs in one period.
    cac: cluster autocorrelation: correlation of an LA's true means of two periods. 1 is Hussey and Hughes's model.
    la_effects: 'random' as in the stepped-wedge literature.
    correlation: 'constant', or 'decaying': cac to the power of the number of periods between two.

    Source: Hussey and Hughes (2007) Contemporary Clinical Trials 28:182; Hooper, Teerenstra, de Hoop and Eldridge
    (2016) Statistics in Medicine 35:4718; Kasza, Hemming, Hooper, Matthews and Forbes (2019) Statistical Methods in
    Medical Research 28:703 (decay).
    """
    for value, name in ((icc, "icc"), (cac, "cac")):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; expected 0 to 1")
    groups, periods = rollout.treated.shape
    fixed = la_effects == "fixed"
    width = periods + groups + 1 if fixed else periods + 1
    information = np.zeros((width, width))
    distance = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    for group in range(groups):
        seen = rollout.children[group] > 0
        if not seen.any():
            continue
        x = np.zeros((int(seen.sum()), width))
        x[np.arange(len(x)), np.flatnonzero(seen)] = 1.0
        if fixed:
            x[:, periods + group] = 1.0
        x[:, -1] = rollout.treated[group, seen]
        sampling = np.diag((1 - icc) / rollout.children[group, seen])
        if correlation == "decaying":
            between = icc * np.power(cac, distance[np.ix_(seen, seen)].astype(np.float64))
        else:
            permanent = 0.0 if fixed else cac
            between = icc * (permanent + (1 - cac) * np.eye(len(x)))
        information += x.T @ np.linalg.solve(between + sampling, x)
    # One LA effect is a sum of period effects: the generalised inverse leaves the effect's own variance as it is.
    effects, treatment = information[:-1, :-1], information[:-1, -1]
    explained = treatment @ np.linalg.pinv(effects, rcond=1e-12, hermitian=True) @ treatment
    left = information[-1, -1] - explained
    if not left > 1e-9 * max(information[-1, -1], 1e-300):
        return float("nan")
    return float(1 / left)
