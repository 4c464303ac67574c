"""Cluster-robust covariance and inference: the one place where errors become p-values.

Convention, declared once here and used by every model: the sandwich with clusters = LA (CR0) times
`small_sample_factor` (CR1 as in fixest's default), and Student's t with G - 1 degrees of freedom
(Brewer, Crossley and Joyce 2018, their straightforward method; FV.EST.3). Page:
docs/methods/regression.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfpc.estimation.result import Result

CR1_T = "CR1 by LA, t(G-1)"


@dataclass(frozen=True)
class ClusterCovariance:
    """Covariance of K coefficients.

    Attributes
    ----------
    matrix: (K, K), small-sample factor included; NaN with fewer than two clusters.
    factor: that factor.
    cluster_count: G.
    """

    matrix: NDArray[np.float64]
    factor: float
    cluster_count: int


@dataclass(frozen=True)
class Estimate(Result):
    """One number with its inference; every field is NaN where it is undefined.

    `estimate`, `standard_error`, `ci_low` and `ci_high` share one unit; `p_value` is two-sided.
    """

    estimate: float
    standard_error: float
    ci_low: float
    ci_high: float
    p_value: float
    degrees_of_freedom: float
    inference_method: str

    def scaled(self, factor: float) -> Estimate:
        """Return the same result in another unit (`factor` > 0), such as per cent for a share."""
        return replace(
            self,
            estimate=self.estimate * factor,
            standard_error=self.standard_error * factor,
            ci_low=self.ci_low * factor,
            ci_high=self.ci_high * factor,
        )

    def exponentiated(self) -> Estimate:
        """Return the result of a log odds as an odds ratio.

        The interval is the exponentiated one; the standard error is the delta method's; the p-value
        stays that of the log odds, whose null is an odds ratio of 1.
        """
        # A separated level can leave log odds too large to exponentiate; infinity says so.
        with np.errstate(over="ignore"):
            ratio = float(np.exp(self.estimate))
            return replace(
                self,
                estimate=ratio,
                standard_error=ratio * self.standard_error,
                ci_low=float(np.exp(self.ci_low)),
                ci_high=float(np.exp(self.ci_high)),
            )


def small_sample_factor(rows: int, parameters: int, clusters: int) -> float:
    """Return G / (G - 1) * (N - 1) / (N - K); NaN where that is undefined.

    N is children, G is LAs. K counts the estimated coefficients, intercept and financial years
    included, but not the LA effects, since they are nested in the clusters (fixest's default,
    `ssc(fixef.K = "nested")`; docs/methods/regression.md). The other conventions differ only in K.
    """
    if clusters < 2 or rows <= parameters:
        return float("nan")
    return clusters / (clusters - 1) * (rows - 1) / (rows - parameters)


def cluster_covariance(
    bread: NDArray[np.float64],
    scores: NDArray[np.float64],
    cluster: NDArray[np.int64],
    *,
    rows: int,
    parameters: int,
) -> ClusterCovariance:
    """Return the sandwich  factor * B (sum over clusters of s_g s_g') B.

    Parameters
    ----------
    bread: (K, K), inverse of the information (linear: of X'WX).
    scores: (cells, K), one row per cell: x * (sum of w y - sum of w * fitted). Scores add up, so
        cells give exactly the sandwich of the children they stand for.
    cluster: (cells,), codes 0 to G - 1.
    rows, parameters: N and K of `small_sample_factor`.

    Source: Cameron and Miller (2015) J. Human Resources 50:317, equations 11 and 12; docs/methods/regression.md.
    """
    order, starts = runs(cluster)
    sums = np.add.reduceat(scores if order is None else scores[order], starts, axis=0) if len(starts) else scores[:0]
    factor = small_sample_factor(rows, parameters, len(starts))
    half = sums @ bread
    return ClusterCovariance(matrix=factor * (half.T @ half), factor=factor, cluster_count=len(starts))


def runs(cluster: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
    """An order of the rows in which each cluster stands together, and where each begins.

    The order is None where the rows have it already, as cells have: their first column is the cluster.
    """
    steps = np.diff(cluster)
    order = None
    if (steps < 0).any():
        order = np.argsort(cluster, kind="stable")
        steps = np.diff(cluster[order])
    starts = np.concatenate([np.zeros(min(len(cluster), 1), dtype=np.int64), 1 + np.flatnonzero(steps)])
    return order, starts


def infer(
    estimate: float,
    standard_error: float,
    cluster_count: int,
    significance_level: float,
    inference_method: str = CR1_T,
    freedom: float | None = None,
) -> Estimate:
    """Test against 0 and give the interval, two-sided, with t of `freedom`, or of G - 1 without it.

    A standard error that is NaN or 0 gives NaN for interval and p-value: with it nothing is known
    about the error, not certainty.

    Source: FV.EST.3, FV.EST.5; Brewer, Crossley and Joyce (2018) J. Econometric Methods 7(1).
    """
    nan = float("nan")
    if freedom is None:
        freedom = float(cluster_count - 1) if cluster_count > 1 else nan
    if not (np.isfinite(estimate) and np.isfinite(freedom) and standard_error > 0):
        return Estimate(estimate, nan, nan, nan, nan, freedom, inference_method)
    reach = float(stats.t.ppf(1 - significance_level / 2, freedom)) * standard_error
    return Estimate(
        estimate=estimate,
        standard_error=standard_error,
        ci_low=estimate - reach,
        ci_high=estimate + reach,
        p_value=float(2 * stats.t.sf(abs(estimate / standard_error), freedom)),
        degrees_of_freedom=freedom,
        inference_method=inference_method,
    )
