"""What a sceptic asks of the matching of LAs, gathered from the marts: other rankings, noise, trends, shocks."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.marts import EvaluationSettings, read_mart
from sfpc.matching.noise import audit_noise
from sfpc.matching.parallel import parallel_trend_tests, shock_tests
from sfpc.matching.variants import rank_variants

Units = Mapping[str, tuple[float, str]]


def evidence_on_trends(
    connection: duckdb.DuckDBPyConnection,
    members: pd.DataFrame,
    roles: pd.DataFrame,
    units: Units,
    settings: EvaluationSettings,
) -> dict[str, pd.DataFrame]:
    """Rank by every variant, audit the noise and test trends before go-live.

    Parameters
    ----------
    connection: from `sfpc.marts.open_marts`.
    members: programme_id, outcome_id, treatment_la_id, la_id, is_treatment_arm of the accepted pairs.
    roles: rows of `dim_programme_local_authorities`, of the programmes that are evaluated.
    units: by outcome_id, from the stored unit to the reported one and its name; trends of these outcomes are tested.
        Rankings and noise are of every outcome that has trends.

    Returns
    -------
    la_ranking_variants, la_noise_pairs, la_noise and parallel_trend_tests (FV.MATCH.2 to .5, FV.SENS.5).
    """
    trends, quarters = (_held(read_mart(connection, name), roles) for name in _TRENDS)
    outcomes_held = read_mart(connection, "dim_outcomes")
    kinds = dict(zip(outcomes_held["outcome_id"], outcomes_held["outcome_kind"], strict=True))
    variants = read_mart(connection, "dim_matching_variants")
    pairs, outcomes = audit_noise(trends, quarters, roles, kinds, _default_window(variants), settings)
    return {
        "la_ranking_variants": rank_variants(trends, quarters, roles, variants, settings),
        "la_noise_pairs": pairs,
        "la_noise": outcomes,
        "parallel_trend_tests": parallel_trend_tests(
            trends, quarters, members, roles, variants, units, settings, settings.significance_level
        ),
    }


def evidence_after_matching(
    connection: duckdb.DuckDBPyConnection, members: pd.DataFrame, units: Units, settings: EvaluationSettings
) -> pd.DataFrame:
    """Compare responses to shocks (FV.MATCH.6, FV.MATCH.7); children must be matched on this connection already."""
    trends, quarters = (_held(read_mart(connection, name), members) for name in _TRENDS)
    shocks = read_mart(connection, "dim_shocks")
    return shock_tests(connection, shocks, trends, quarters, members, units, settings.significance_level)


_TRENDS = ("fct_matching_trends", "fct_matching_quarters")


def _held(frame: pd.DataFrame, of: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["programme_id"].isin(set(of["programme_id"]))]


def _default_window(variants: pd.DataFrame) -> str:
    default = variants.loc[variants["is_default"].astype(bool), "window_id"]
    if len(default) != 1:
        raise SfpcError("matching_variants: exactly one row must be the default")
    return str(default.iloc[0])
