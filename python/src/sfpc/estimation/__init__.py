"""Regression on compressed cells, with cluster-robust inference (FV.EST)."""

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import Design, Terms, build_design, compress, independent_columns
from sfpc.estimation.linear import LinearFit, fit_linear
from sfpc.estimation.logit import LogitFit, drop_separated_levels, fit_logit

__all__ = [
    "ClusterCovariance",
    "Design",
    "Estimate",
    "LinearFit",
    "LogitFit",
    "Terms",
    "build_design",
    "cluster_covariance",
    "compress",
    "drop_separated_levels",
    "fit_linear",
    "fit_logit",
    "independent_columns",
    "infer",
]
