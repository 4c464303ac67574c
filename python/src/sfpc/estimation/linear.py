"""Weighted linear model with LA effects and cluster-robust errors (FV.EST.1, FV.EST.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import Design


@dataclass(frozen=True)
class LinearFit:
    """Coefficients (K,) in units of the outcome, in the order of `design.names`."""

    design: Design
    coefficients: NDArray[np.float64]
    covariance: ClusterCovariance

    def effect(self, significance_level: float) -> Estimate:
        """Return b1, in units of the outcome; NaN where the treatment is not identified."""
        column = self.design.treatment_column
        if column is None:
            nan = float("nan")
            return infer(nan, nan, self.covariance.cluster_count, significance_level)
        return infer(
            float(self.coefficients[column]),
            float(np.sqrt(self.covariance.matrix[column, column])),
            self.covariance.cluster_count,
            significance_level,
        )


def fit_linear(design: Design) -> LinearFit:
    """Fit Y = X b by weighted least squares, b = (X'WX)^-1 X'WY, with CR1 errors.

    W are probability weights: they enter the scores, so their scale does not matter.

    Source: FV.EST.1; Cameron and Miller (2015), equations 11 and 12; docs/methods/regression.md.
    """
    root = np.sqrt(design.weight)
    # QR of the scaled rows, not the normal equations: percentages beside indicators would square
    # an already large condition number.
    q, r = np.linalg.qr(root[:, None] * design.x)
    inverse = np.linalg.solve(r, np.eye(r.shape[0]))
    coefficients = inverse @ (q.T @ (design.weighted_outcome / root))
    residual = design.weighted_outcome - design.weight * (design.x @ coefficients)
    covariance = cluster_covariance(
        inverse @ inverse.T,
        design.x * residual[:, None],
        design.cluster,
        rows=design.children_count,
        parameters=design.parameter_count,
    )
    return LinearFit(design=design, coefficients=coefficients, covariance=covariance)
