"""Stacked pairs: least squares on LA-quarters with effects of LA and quarter in every set (FV.MATCH.5 to .7).

A set is a treatment LA with its comparators, which count for one LA together. Errors are clustered by physical LA: a
comparator of two treatment LAs is one cluster. With few clusters p-values come from the wild cluster bootstrap with
the null imposed; t(G - 1) stands beside it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

ENUMERATED = 12  # up to this many clusters every sign pattern is used, 2^12 of them
RANDOM_DRAWS = 999
SEED = 20210701
WILD = "wild cluster bootstrap by LA, null imposed"


@dataclass(frozen=True)
class StackedFit:
    """Coefficients (K,), their CR1 errors, wild bootstrap p-values, and the joint test of all of them.

    joint_statistic: the sum of squared t statistics; it needs no inverse of a covariance that few clusters leave
    singular. joint_p_value: its bootstrap p-value. NaN where nothing can be tested.
    """

    coefficients: Array
    standard_errors: Array
    p_values: Array
    joint_statistic: float
    joint_p_value: float
    cluster_count: int
    row_count: int


def fit_stacked(panel: pd.DataFrame, regressors: Array, *, is_joint: bool = False) -> StackedFit:
    """Fit y on regressors, with set-by-LA and set-by-quarter effects, weighted.

    Parameters
    ----------
    panel: a row per set_id, la_id and quarter with y and weight (above 0).
    regressors: (rows, K).
    is_joint: bootstrap the joint test of all regressors instead of each of them; the other p-values are NaN.

    A regressor that the effects explain has NaN throughout. Factor G / (G - 1) on the sandwich.

    Source: Cameron, Gelbach and Miller (2008) Review of Economics and Statistics 90:414; FV.EST.3.
    """
    count = regressors.shape[1]
    root = np.sqrt(panel["weight"].to_numpy(dtype=np.float64))
    effects = root[:, None] * _effects(panel)
    basis, strength, _ = np.linalg.svd(effects, full_matrices=False)
    basis = basis[:, strength > 1e-9 * max(float(strength.max(initial=0.0)), 1e-300)]

    def without_effects(values: Array) -> Array:
        return np.asarray(values - basis @ (basis.T @ values), dtype=np.float64)

    x_all = without_effects(root[:, None] * regressors)
    norms = np.linalg.norm(x_all, axis=0)
    known = norms > 1e-8 * np.maximum(np.linalg.norm(root[:, None] * regressors, axis=0), 1e-300)
    x = x_all[:, known]
    y = without_effects(root * panel["y"].to_numpy(dtype=np.float64))
    codes, cluster = np.unique(panel["la_id"].to_numpy(dtype=str), return_inverse=True)
    g = len(codes)
    nothing = np.full(count, np.nan)
    if not known.any() or g < 2 or np.linalg.matrix_rank(x) < x.shape[1]:
        return StackedFit(nothing, nothing, nothing, np.nan, np.nan, g, len(panel))
    bread = np.linalg.inv(x.T @ x)
    member = np.equal.outer(np.arange(g), cluster).astype(np.float64)
    factor = g / (g - 1)

    def statistics(values: Array) -> tuple[Array, Array]:
        """Coefficients and errors (draws, K) of columns of values (rows, draws)."""
        beta = bread @ (x.T @ values)
        residual = values - x @ beta
        variance = np.zeros((values.shape[1], x.shape[1]))
        rotated = x @ bread
        for k in range(x.shape[1]):
            variance[:, k] = factor * np.square(member @ (rotated[:, [k]] * residual)).sum(axis=0)
        return beta.T, np.sqrt(variance)

    beta, error = statistics(y[:, None])
    signs = _signs(g)
    p_values = np.full(int(known.sum()), np.nan)
    joint, joint_p = np.nan, np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        t = beta[0] / error[0]
        if is_joint:
            b, s = statistics(without_effects(y[:, None] * signs[:, cluster].T))
            joint = float(np.square(t).sum())
            joint_p = _share(np.square(b / s).sum(axis=1), joint)
        else:
            for k in range(x.shape[1]):
                others = np.delete(x, k, axis=1)
                null = y - others @ np.linalg.lstsq(others, y, rcond=None)[0] if others.shape[1] else y
                b, s = statistics(without_effects(null[:, None] * signs[:, cluster].T))
                p_values[k] = _share(np.abs(b[:, k] / s[:, k]), abs(t[k]))

    def spread(values: Array) -> Array:
        out = nothing.copy()
        out[known] = values
        return out

    return StackedFit(spread(beta[0]), spread(error[0]), spread(p_values), joint, joint_p, g, len(panel))


def _share(drawn: Array, observed: float) -> float:
    """Share of draws at least as large, ties counted; NaN draws (a fit without error) count as not larger."""
    if not np.isfinite(observed):
        return float("nan")
    return float(np.mean(np.nan_to_num(drawn, nan=-1.0) >= observed * (1 - 1e-12)))


def _signs(clusters: int) -> Array:
    """Sign patterns (draws, clusters): all of them where they are few, else random ones after the identity."""
    if clusters <= ENUMERATED:
        return np.array(list(itertools.product((1.0, -1.0), repeat=clusters)))
    rng = np.random.default_rng([SEED, clusters])
    drawn = rng.integers(0, 2, (RANDOM_DRAWS, clusters)) * 2.0 - 1.0
    return np.vstack([np.ones((1, clusters)), drawn])


def _effects(panel: pd.DataFrame) -> Array:
    parts = []
    for column in ("la_id", "quarter"):
        key = panel["set_id"].astype(str) + "|" + panel[column].astype(str)
        _, code = np.unique(key.to_numpy(dtype=str), return_inverse=True)
        parts.append(np.equal.outer(code, np.arange(code.max() + 1)).astype(np.float64))
    return np.hstack(parts)
