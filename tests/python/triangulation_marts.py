"""The simulated marts of test_evaluation with what stepped wedge and triangulation read besides."""

from __future__ import annotations

import csv

import pandas as pd

from conftest import SEEDS
from test_evaluation import GO_LIVE, Marts, simulate_marts

GO_LIVE_FOUR = list(GO_LIVE)[:4]


def _rows(name: str) -> pd.DataFrame:
    with (SEEDS / "protocol" / name).open(newline="", encoding="utf-8") as handle:
        return pd.DataFrame(list(csv.DictReader(handle)))


def wedge_marts(seed: int = 1, per_la: int = 1200) -> Marts:
    """Simulated marts with the settings and assumptions of the seeds; every order drawn by lot and kept."""
    marts = simulate_marts(seed, per_la)
    own = marts.tables["dim_evaluation_settings"]
    declared = _rows("evaluation_settings.csv")
    declared = declared[declared["clause"].isin(["FV.TRI.1", "FV.TRI.2"])][["setting", "value"]]
    extra = pd.DataFrame({"setting": ["imputations"], "value": ["2"]})
    settings = pd.concat([own, declared, extra[~extra["setting"].isin(own["setting"])]], ignore_index=True)
    assumptions = _rows("design_assumptions.csv")
    randomisation = pd.DataFrame(
        {
            "programme_id": "fv",
            "la_id": list(GO_LIVE),
            "stratum": "all",
            "is_order_randomised": True,
            "planned_go_live_date": list(GO_LIVE.values()),
            "go_live_date": list(GO_LIVE.values()),
            "is_order_kept": True,
        }
    )
    external = pd.DataFrame(
        {
            "programme_id": pd.Series(dtype="str"),
            "outcome_id": pd.Series(dtype="str"),
            "design": pd.Series(dtype="str"),
            "estimate": pd.Series(dtype="float"),
            "standard_error": pd.Series(dtype="float"),
            "degrees_of_freedom": pd.Series(dtype="float"),
            "unit": pd.Series(dtype="str"),
            "do_assumptions_hold": pd.Series(dtype="boolean"),
            "source": pd.Series(dtype="str"),
            "clause": pd.Series(dtype="str"),
        }
    )
    found = marts.with_table("dim_evaluation_settings", settings)
    found = found.with_table("dim_design_assumptions", assumptions.assign(is_gate=assumptions["is_gate"] == "true"))
    found = found.with_table("dim_randomisation", randomisation)
    return found.with_table("dim_external_estimates", external)
