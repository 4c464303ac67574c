"""Distances between the trends of LAs (FV.MATCH.2): one home for every metric, on whole panels at once.

A panel holds one outcome: standardised values z (LAs x quarters, NaN where an LA has none) and their sampling
variances v. Every metric works on changes from one quarter to the next; a change counts for a pair where both LAs hold
both of its quarters within the window of the treatment LA. Page: docs/methods/trend_distance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

RMS = "rms"
EUCLIDEAN = "euclidean"
WEIGHTED = "standard_error_weighted"
SHRUNKEN = "shrunken"
LIKELIHOOD = "likelihood"
LIKELIHOOD_ALL = "likelihood_all_outcomes"
METRICS = (RMS, EUCLIDEAN, WEIGHTED, SHRUNKEN, LIKELIHOOD, LIKELIHOOD_ALL)

# Sampling variance that stands for "not known": so large against 1, the variance over LAs, that it decides nothing.
UNKNOWN_VARIANCE = 1e6
# A perfect twin of the likelihood would have a variance of 0 where nothing is sampled.
SMALLEST_VARIANCE = 1e-9
HIGHEST_PERSISTENCE = 0.95


@dataclass(frozen=True)
class Panel:
    """Trends of one outcome.

    las: names, sorted; quarters: consecutive numbers (year * 4 + quarter - 1). z, v: (LAs, quarters); NaN where an
    LA has no value.
    """

    las: tuple[str, ...]
    quarters: NDArray[np.int64]
    z: Array
    v: Array

    def rows(self, las: list[str]) -> NDArray[np.int64]:
        """Positions of LAs; -1 where the panel does not have one."""
        place = {la: i for i, la in enumerate(self.las)}
        return np.array([place.get(la, -1) for la in las], dtype=np.int64)

    def of(self, las: list[str]) -> tuple[Array, Array]:
        """z and v of some LAs, NaN for those that the panel does not have."""
        rows = self.rows(las)
        gap = rows < 0
        z, v = self.z[rows].copy(), self.v[rows].copy()
        z[gap], v[gap] = np.nan, np.nan
        return z, v


@dataclass(frozen=True)
class Distances:
    """Treatment LAs x candidates. `noise` is the distance that sampling error alone gives identical trends.

    distance: the smaller, the nearer; NaN where a pair shares no change. noise: NaN where it is not defined.
    quarters, changes: how many both have within the window.
    """

    distance: Array
    noise: Array
    quarters: NDArray[np.int64]
    changes: NDArray[np.int64]


@dataclass(frozen=True)
class Signal:
    """What moves trends beyond sampling error, estimated over all LAs (empirical Bayes).

    Deviations of an LA from its own level are an AR(1) with this variance (in squared standard deviations over LAs) and
    persistence. `change_variance` and `noise_variance` are the mean variances of a change: true, and of sampling.
    """

    variance: float
    persistence: float
    change_variance: float
    noise_variance: float

    @property
    def reliability(self) -> float:
        """Share (0 to 1) of the variance of a quarterly change that is not sampling error."""
        total = self.change_variance + self.noise_variance
        return self.change_variance / total if total > 0 else float("nan")


def quarter_numbers(dates: pd.Series) -> NDArray[np.int64]:
    """Calendar quarters as consecutive numbers."""
    days = pd.to_datetime(dates)
    return np.asarray(days.dt.year * 4 + days.dt.quarter - 1, dtype=np.int64)


def panel_of(trends: pd.DataFrame) -> Panel:
    """Spread rows of one programme and outcome (`fct_matching_trends`) over LAs and quarters.

    The calendar is full: a quarter that no LA has must not make its neighbours look adjacent.
    """
    number = quarter_numbers(trends["quarter_start_date"])
    las, row = np.unique(trends["la_id"].to_numpy(dtype=str), return_inverse=True)
    first = int(number.min()) if len(number) else 0
    last = int(number.max()) if len(number) else -1
    shape = (len(las), last - first + 1)
    z, v = np.full(shape, np.nan), np.full(shape, np.nan)
    z[row, number - first] = trends["standardised_value"].to_numpy(dtype=np.float64)
    v[row, number - first] = trends["standardised_variance"].to_numpy(dtype=np.float64)
    return Panel(tuple(str(la) for la in las), np.arange(first, last + 1), z, v)


def difference_matrix(quarters: int) -> Array:
    """The (quarters - 1, quarters) matrix that turns values into changes."""
    return np.asarray(np.diff(np.eye(quarters), axis=0), dtype=np.float64)


def measure(
    metric: str,
    treated: tuple[Array, Array],
    candidates: tuple[Array, Array],
    window: Mask,
    signal: Signal | None = None,
    twin_correlation: float | None = None,
) -> Distances:
    """Distances of every candidate to every treatment LA.

    Parameters
    ----------
    metric: one of `METRICS`; `likelihood_all_outcomes` is summed from `likelihood` by the caller.
    treated, candidates: z and v, (T, Q) and (C, Q).
    window: (T, Q), quarters that may be looked at for each treatment LA.
    signal: needed by shrunken and likelihood; twin_correlation: by likelihood.

    Returns
    -------
    `Distances`, (T, C). With d the difference of a change between the two LAs, s2 the sum of their squared sampling
    errors and w = 1 / s2, over the m shared changes,

        rms                       sqrt( sum d^2 / m )
        euclidean                 sqrt( sum d^2 )
        standard_error_weighted   sqrt( sum w d^2 / sum w )
        shrunken                  root mean square of the difference of the best linear predictions of both trends
        likelihood                -2 log of p(candidate | treated, twin) / p(candidate)

    Source: FV.MATCH.2; docs/methods/trend_distance.md.
    """
    (z_t, v_t), (z_c, v_c) = treated, candidates
    z_t = np.where(window, z_t, np.nan)
    both = np.isfinite(z_t)[:, None, :] & np.isfinite(z_c)[None, :, :]
    use = both[..., 1:] & both[..., :-1]
    quarters, changes = both.sum(axis=-1), use.sum(axis=-1)
    if metric in (SHRUNKEN, LIKELIHOOD):
        assert signal is not None
        score = _shrunken if metric == SHRUNKEN else _likelihood(twin_correlation or 0.0)
        distance = np.full(quarters.shape, np.nan)
        if signal.variance > 0:
            for t in range(len(z_t)):
                distance[t] = score(z_t[t], v_t[t], z_c, v_c, window[t], signal)
        return Distances(np.where(changes > 0, distance, np.nan), np.full_like(distance, np.nan), quarters, changes)
    squares = np.square(np.diff(z_t, axis=1)[:, None, :] - np.diff(z_c, axis=1)[None, :, :])
    noises = (v_t[:, 1:] + v_t[:, :-1])[:, None, :] + (v_c[:, 1:] + v_c[:, :-1])[None, :, :]
    return Distances(*pooled(metric, squares, noises, use), quarters, changes)


def pooled(metric: str, squares: Array, noises: Array, use: Mask) -> tuple[Array, Array]:
    """Pool squared differences and squared sampling errors (..., changes) over the used changes.

    Returns the distance and the distance of sampling error alone; NaN where there is no change, or one is not known.
    """
    weight = 1.0 / np.maximum(noises, SMALLEST_VARIANCE) if metric == WEIGHTED else np.ones_like(squares)

    def root(values: Array) -> Array:
        total = np.where(use, weight * values, 0.0).sum(axis=-1)
        scale = np.ones(total.shape) if metric == EUCLIDEAN else np.where(use, weight, 0.0).sum(axis=-1)
        any_change = use.any(axis=-1)
        mean = np.divide(total, scale, out=np.full(total.shape, np.nan), where=any_change & (scale != 0))
        return np.asarray(np.sqrt(mean), dtype=np.float64)

    return root(squares), root(noises)


def estimate_signal(z: Array, v: Array) -> Signal:
    """Estimate what moves trends beyond sampling, by moments over all LAs (empirical Bayes).

    z, v: (LAs, quarters). With s2 the sampling variance of a change, the true variance of a change is the mean of
    (change^2 - s2), and its covariance with the next one the mean of (change * next + v of the quarter between); LAs
    count by 1 / (1 + s2)^2, so that small ones do not decide. For deviations that are an AR(1) with persistence r and
    variance S these are 2 S (1 - r) and -S (1 - r)^2. A variance that comes out negative is 0: no signal.
    """
    change = np.diff(z, axis=1)
    noise = v[:, 1:] + v[:, :-1]
    use = np.isfinite(change) & np.isfinite(noise)
    if not use.any():
        return Signal(0.0, 0.0, 0.0, float("nan"))
    weight = np.where(use, 1.0 / np.square(1.0 + np.where(use, noise, 0.0)), 0.0)
    gamma_0 = float(np.where(use, weight * (np.square(change) - noise), 0.0).sum() / weight.sum())
    sampling = float(np.where(use, weight * noise, 0.0).sum() / weight.sum())
    if gamma_0 <= 0:
        return Signal(0.0, 0.0, 0.0, sampling)
    pair = use[:, 1:] & use[:, :-1]
    pair_weight = np.where(pair, weight[:, 1:] * weight[:, :-1], 0.0)
    product = np.where(pair, change[:, 1:] * change[:, :-1] + v[:, 1:-1], 0.0)
    gamma_1 = float((pair_weight * product).sum() / pair_weight.sum()) if pair.any() else -0.25 * gamma_0
    persistence = float(np.clip(1 + 2 * gamma_1 / gamma_0, 0.0, HIGHEST_PERSISTENCE))
    return Signal(gamma_0 / (2 * (1 - persistence)), persistence, gamma_0, sampling)


def signal_covariance(signal: Signal, quarters: int) -> Array:
    """Covariance (quarters, quarters) of the deviations of an LA from its level."""
    lag = np.abs(np.subtract.outer(np.arange(quarters), np.arange(quarters)))
    return np.asarray(signal.variance * signal.persistence**lag, dtype=np.float64)


def shrunken_trends(z: Array, v: Array, signal: Signal) -> Array:
    """Best linear predictions (LAs, quarters) of deviations from the own level, given the changes.

    A missing quarter is predicted from its neighbours. Each row has mean 0.
    """
    quarters = z.shape[-1]
    step = difference_matrix(quarters)
    change, noise = _known(z, v)
    deviation = signal_covariance(signal, quarters)
    total = step @ deviation @ step.T + noise
    predicted = np.linalg.solve(total, change[..., None])[..., 0] @ (step @ deviation)
    return np.asarray(predicted - predicted.mean(axis=-1, keepdims=True), dtype=np.float64)


def _known(z: Array, v: Array) -> tuple[Array, Array]:
    """Changes and the covariance of their sampling errors; an unknown quarter has a variance that decides nothing."""
    step = difference_matrix(z.shape[-1])
    held = np.isfinite(z) & np.isfinite(v)
    variance = np.where(held, np.maximum(np.where(held, v, 0.0), SMALLEST_VARIANCE), UNKNOWN_VARIANCE)
    change = np.where(held, z, 0.0) @ step.T
    return change, np.einsum("iq,...q,jq->...ij", step, variance, step)


def _shrunken(z_t: Array, v_t: Array, z_c: Array, v_c: Array, window: Mask, signal: Signal) -> Array:
    own = shrunken_trends(z_t[None, window], v_t[None, window], signal)
    others = shrunken_trends(z_c[:, window], v_c[:, window], signal)
    return np.asarray(np.sqrt(np.mean(np.square(others - own), axis=-1)), dtype=np.float64)


def _likelihood(twin_correlation: float) -> Callable[..., Array]:
    """-2 log of the ratio of two densities of a candidate's changes: as the treatment LA's twin, and as a stranger."""

    def score(z_t: Array, v_t: Array, z_c: Array, v_c: Array, window: Mask, signal: Signal) -> Array:
        step = difference_matrix(int(window.sum()))
        change_t, noise_t = _known(z_t[window], v_t[window])
        change_c, noise_c = _known(z_c[:, window], v_c[:, window])
        true = step @ signal_covariance(signal, int(window.sum())) @ step.T
        gain = twin_correlation * true @ np.linalg.inv(true + noise_t)
        stranger = true + noise_c
        twin = stranger - twin_correlation * gain @ true
        return _quadratic(change_c - gain @ change_t, twin) - _quadratic(change_c, stranger)

    return score


def _quadratic(value: Array, covariance: Array) -> Array:
    """-2 log density of a normal vector, less the constant."""
    solved = np.linalg.solve(covariance, value[..., None])[..., 0]
    return np.asarray((value * solved).sum(axis=-1) + np.linalg.slogdet(covariance)[1], dtype=np.float64)
