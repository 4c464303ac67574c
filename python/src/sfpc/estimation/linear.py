"""Weighted linear model with LA effects and cluster-robust errors (FV.EST.1, FV.EST.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import Design
from sfpc.estimation.result import Result, coefficient_table

# Rows of the QR decomposition taken at a time.
PIECE = 2_048


@dataclass(frozen=True)
class LinearFit(Result):
    """Coefficients (K,) in units of the outcome, in the order of `design.names`."""

    design: Design
    coefficients: NDArray[np.float64]
    covariance: ClusterCovariance

    def tidy(self) -> pd.DataFrame:
        """A row per coefficient: term, estimate, standard_error (CR1 by LA), in units of the coefficient."""
        return coefficient_table(self.design.names, self.coefficients, self.covariance.matrix)

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


def triangle(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """R (K, K) of the QR decomposition of rows (n, K), up to signs.

    Piece by piece, and then of the pieces' triangles: as stable as at once, and what is worked on fits the cache.
    """
    count, width = rows.shape
    pieces = count // PIECE
    if pieces < 2 or width >= PIECE:
        return np.asarray(np.linalg.qr(rows, mode="r")[:width], dtype=np.float64)
    whole = np.linalg.qr(rows[: pieces * PIECE].reshape(pieces, PIECE, width), mode="r")
    return np.asarray(np.linalg.qr(np.vstack([*whole, rows[pieces * PIECE :]]), mode="r"), dtype=np.float64)


def fit_linear(design: Design) -> LinearFit:
    """Fit Y = X b by weighted least squares, b = (X'WX)^-1 X'WY, with CR1 errors.

    W are probability weights: they enter the scores, so their scale does not matter.

    Source: FV.EST.1; Cameron and Miller (2015), equations 11 and 12; docs/methods/regression.md.
    """
    # QR of the scaled rows, not the normal equations: percentages beside indicators would square
    # an already large condition number.
    r = triangle(np.sqrt(design.weight)[:, None] * design.x)
    inverse = np.linalg.solve(r, np.eye(r.shape[0]))
    coefficients = np.zeros(r.shape[0])
    residual = design.weighted_outcome
    # The second time on what the first left over, which brings back the digits that going without Q costs (Bjorck
    # 1987, corrected seminormal equations).
    for _ in range(2):
        coefficients = coefficients + inverse @ (inverse.T @ (design.x.T @ residual))
        residual = design.weighted_outcome - design.weight * (design.x @ coefficients)
    covariance = cluster_covariance(
        inverse @ inverse.T,
        design.x * residual[:, None],
        design.cluster,
        rows=design.children_count,
        parameters=design.parameter_count,
    )
    return LinearFit(design=design, coefficients=coefficients, covariance=covariance)
