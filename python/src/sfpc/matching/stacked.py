"""Stacked pairs: least squares on LA-quarters with effects of LA and quarter in every set (FV.MATCH.5 to .7).

A set is a treatment LA with its comparators, which count for one LA together. Errors are clustered by physical LA: a
comparator of two treatment LAs is one cluster. P-values come from a wild cluster bootstrap with the null imposed.

Why not from the residuals of the fit: in a set with one comparator the quarter effects make the residuals of the two
LAs mirror images. Taken for two independent clusters they halve the variance; simulated, a test at 5 % then rejects
20 % of true nulls (docs/methods/parallel_trends.md). What is resampled here is what an LA does beyond effects of LA and
quarter that all sets share.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

ENUMERATED = 12  # up to this many clusters every sign pattern is used, 2^12 of them
RANDOM_DRAWS = 1999
SEED = 20210701
WILD = "wild cluster bootstrap by LA, null imposed"


@dataclass(frozen=True)
class StackedFit:
    """Coefficients (K,), their errors clustered by LA, and the test that all of them are 0.

    statistic: coefficients' (X'X) coefficients over the sum of squared residuals, an F statistic but for its degrees of
    freedom. p_value: its bootstrap p-value. NaN where nothing can be tested.
    """

    coefficients: Array
    standard_errors: Array
    statistic: float
    p_value: float
    cluster_count: int
    row_count: int


def fit_stacked(panel: pd.DataFrame, regressors: Array) -> StackedFit:
    """Fit y on regressors, with set-by-LA and set-by-quarter effects, weighted.

    Parameters
    ----------
    panel: a row per set_id, la_id and quarter with y and weight (above 0).
    regressors: (rows, K). One that the effects explain has NaN; it is left out of the test.

    Source: Cameron, Gelbach and Miller (2008) Review of Economics and Statistics 90:414, with residuals that are
    common to all sets; FV.EST.3; docs/methods/parallel_trends.md.
    """
    nothing = np.full(regressors.shape[1], np.nan)
    root = np.sqrt(panel["weight"].to_numpy(dtype=np.float64))
    codes, cluster = np.unique(panel["la_id"].to_numpy(dtype=str), return_inverse=True)
    g = len(codes)
    basis = _basis(root[:, None] * _dummies(panel, "la_id", "quarter", within="set_id"))

    def absorb(values: Array) -> Array:
        return np.asarray(values - basis @ (basis.T @ values), dtype=np.float64)

    raw = root[:, None] * regressors
    x = absorb(raw)
    known = np.linalg.norm(x, axis=0) > 1e-8 * np.maximum(np.linalg.norm(raw, axis=0), 1e-300)
    x = x[:, known]
    if not known.any() or g < 2 or np.linalg.matrix_rank(x) < x.shape[1]:
        return StackedFit(nothing, nothing, np.nan, np.nan, g, len(panel))
    bread = np.linalg.inv(x.T @ x)
    y = panel["y"].to_numpy(dtype=np.float64)
    beyond = y - _fitted(root, _dummies(panel, "la_id", "quarter"), y)

    member = np.equal.outer(np.arange(g), cluster).astype(np.float64)

    def fit(parts: Array, factors: Array) -> tuple[Array, Array]:
        """Coefficients (K, draws) and F statistics (draws,) of parts (rows, P) added up with factors (P, draws).

        Both are linear in the parts and quadratic in what is left of them, so that a draw costs no row.
        """
        loading = bread @ (x.T @ parts)
        left = absorb(parts) - x @ loading
        beta = loading @ factors
        unexplained = (factors * ((left.T @ left) @ factors)).sum(axis=0)
        explained = (beta * (x.T @ x @ beta)).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return beta, np.asarray(explained / unexplained, dtype=np.float64)

    beta, statistic = fit((root * y)[:, None], np.ones((1, 1)))
    _, drawn = fit((member * (root * beyond)).T, _signs(g).T)
    # Errors: what each LA adds to the coefficients, with the estimated effect taken out of what it does.
    own = beyond - regressors[:, known] @ beta[:, 0]
    added = member @ ((x @ bread) * (root * own)[:, None])
    coefficients, errors = nothing.copy(), nothing.copy()
    coefficients[known] = beta[:, 0]
    errors[known] = np.sqrt(g / (g - 1) * np.square(added).sum(axis=0))
    return StackedFit(coefficients, errors, float(statistic[0]), _share(drawn, float(statistic[0])), g, len(panel))


def _share(drawn: Array, observed: float) -> float:
    """Share of draws at least as large, ties counted; a fit without any error counts as infinitely large."""
    if np.isnan(observed):
        return float("nan")
    return float(np.mean(np.nan_to_num(drawn, nan=-1.0, posinf=np.inf) >= observed * (1 - 1e-9)))


def _signs(clusters: int) -> Array:
    """Sign patterns (draws, clusters): all of them where they are few, else random ones after the identity."""
    if clusters <= ENUMERATED:
        return np.array(list(itertools.product((1.0, -1.0), repeat=clusters)))
    rng = np.random.default_rng([SEED, clusters])
    drawn = rng.integers(0, 2, (RANDOM_DRAWS, clusters)) * 2.0 - 1.0
    return np.vstack([np.ones((1, clusters)), drawn])


def _basis(effects: Array) -> Array:
    """Orthonormal columns that span the effects."""
    basis, strength, _ = np.linalg.svd(effects, full_matrices=False)
    return np.asarray(basis[:, strength > 1e-9 * max(float(strength.max(initial=0.0)), 1e-300)], dtype=np.float64)


def _fitted(root: Array, effects: Array, y: Array) -> Array:
    """Fit of y on effects, weighted."""
    solved = np.linalg.lstsq(root[:, None] * effects, root * y, rcond=None)[0]
    return np.asarray(effects @ solved, dtype=np.float64)


def _dummies(panel: pd.DataFrame, *columns: str, within: str | None = None) -> Array:
    parts = []
    for column in columns:
        key = panel[column].astype(str)
        key = key if within is None else panel[within].astype(str) + "|" + key
        _, code = np.unique(key.to_numpy(dtype=str), return_inverse=True)
        parts.append(np.equal.outer(code, np.arange(code.max() + 1)).astype(np.float64))
    return np.hstack(parts)
