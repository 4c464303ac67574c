"""Regression on compressed cells, with cluster-robust inference (FV.EST)."""

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import Design, Terms, build_design, compress, independent_columns
from sfpc.estimation.imputation import ImputationFit, fit_imputation
from sfpc.estimation.linear import LinearFit, fit_linear
from sfpc.estimation.logit import (
    CellLogit,
    LogitFit,
    drop_separated_levels,
    fit_logit,
    fit_logit_to_cells,
)

__all__ = [
    "CellLogit",
    "ClusterCovariance",
    "Design",
    "Estimate",
    "ImputationFit",
    "LinearFit",
    "LogitFit",
    "Terms",
    "build_design",
    "cluster_covariance",
    "compress",
    "drop_separated_levels",
    "fit_imputation",
    "fit_linear",
    "fit_logit",
    "fit_logit_to_cells",
    "independent_columns",
    "infer",
]
