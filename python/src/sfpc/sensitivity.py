"""What stands around the primary effect of an outcome: time since go-live, trends that are not parallel, single LAs.

Tables, not specifications: each has more than one number. Pages: docs/methods/event_study.md,
parallel_trend_bounds.md, staggered.md, few_clusters.md and missing_data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from sfpc.estimation.bounds import bounds_of
from sfpc.estimation.design import CELL_COUNT, MISSING_COVARIATE_LIMIT, Design, Terms, build_design
from sfpc.estimation.event_study import REFERENCE_PERIOD, EventStudy, event_study, periods_since_go_live
from sfpc.estimation.few_clusters import effects_without_each
from sfpc.estimation.missing_data import missing_patterns, missing_shares, missingness_tests
from sfpc.estimation.staggered import bacon, la_panel
from sfpc.marts import EvaluationSettings

SENSITIVITY_TABLES = (
    "event_study",
    "lead_tests",
    "trend_bounds",
    "bacon",
    "leave_one_out",
    "missing_covariates",
    "missing_patterns",
    "missingness_tests",
)
_EFFECT = ("estimate", "standard_error", "ci_low", "ci_high")
# What is to be put in the units that the outcome is reported in.
IN_UNITS_OF_THE_OUTCOME: Mapping[str, tuple[str, ...]] = {
    "event_study": _EFFECT,
    "trend_bounds": (*_EFFECT, "set_low", "set_high"),
    "bacon": ("coefficient", "effect"),
    "leave_one_out": _EFFECT,
}
# A quarter since go-live stands for itself where at least this share of the treated LAs has children in it.
LEAST_SHARE_OF_LAS = 0.5


def around_primary(
    cells: pd.DataFrame,
    rows: pd.DataFrame,
    terms: Terms,
    month: str,
    go_live_month: Mapping[str, int],
    settings: EvaluationSettings,
) -> dict[str, pd.DataFrame]:
    """Tables about the sample of a primary specification, by its linear model; a table without content is absent.

    Parameters
    ----------
    cells, rows: the sample as cells with the key `month` (months counted from any origin), and as children.
    go_live_month: per treated LA the month whose first day is its go-live, from the same origin.

    Effects are in units of the outcome. Source: FV.SENS.2, .3 and .6, FV.COV.4.
    """
    if not len(cells):
        return {}
    level, draws, seed = settings.significance_level, settings.bootstrap_draws, settings.inference_seed
    children = cells[CELL_COUNT].to_numpy(dtype=np.int64)
    design = build_design(cells, terms)
    months = cells[month].to_numpy(dtype=np.int64)
    covariates = [*terms.categorical, *terms.linear]
    found: dict[str, pd.DataFrame] = {
        "missing_covariates": missing_shares(rows, covariates, MISSING_COVARIATE_LIMIT),
        "missing_patterns": _patterns(rows, covariates, terms.treatment),
    }
    absent = found["missing_covariates"]
    asked = absent.loc[absent["missing_count"] > 0, "covariate"].tolist()
    if asked:
        found["missingness_tests"] = missingness_tests(cells, terms, asked, level, draws, seed)
    if design.treatment_column is None:
        return found
    left_out = effects_without_each(design, children, level, draws, seed)
    found["leave_one_out"] = pd.DataFrame(
        [{"la_id": one.la, "is_treated_la": one.is_treated_la, **asdict(one.effect)} for one in left_out]
    )
    study = _event_study(design, months, children, go_live_month, level, draws, seed)
    if study is not None:
        found["event_study"] = study.tidy()
        found["lead_tests"] = study.tidy_lead_tests().assign(note_on_study="; ".join(study.notes) or None)
        bounds = bounds_of(study, level)
        found["trend_bounds"] = bounds.tidy().assign(
            target=bounds.target,
            estimate=bounds.estimate,
            standard_error=bounds.standard_error,
            note="; ".join(bounds.notes) or None,
        )
        found["trend_bounds"]["breakdown"] = found["trend_bounds"]["restriction"].map(bounds.breakdown)
    panel = la_panel(design, months, go_live_month)
    if panel is not None:
        decomposed = bacon(panel)
        found["bacon"] = decomposed.comparisons.assign(
            coefficient=decomposed.coefficient, is_at_risk=decomposed.is_at_risk, period_months=panel.months
        )
    return found


def _event_study(
    design: Design,
    months: np.ndarray,
    children: np.ndarray,
    go_live_month: Mapping[str, int],
    level: float,
    draws: int,
    seed: int,
) -> EventStudy | None:
    """The event study over the quarters that enough LAs reach; None where there is none before or after go-live."""
    period = periods_since_go_live(months, design.cluster, design.cluster_names, go_live_month)
    known = np.isfinite(period)
    treated = len(np.unique(design.cluster[known]))
    if not treated:
        return None

    def is_reached(step: int) -> bool:
        reaching = len(np.unique(design.cluster[known & (period == step)]))
        return reaching >= max(1.0, LEAST_SHARE_OF_LAS * treated)

    first, last = REFERENCE_PERIOD, REFERENCE_PERIOD
    while is_reached(first - 1):
        first -= 1
    while is_reached(last + 1):
        last += 1
    if first == REFERENCE_PERIOD or last == REFERENCE_PERIOD:
        return None
    return event_study(design, period, children, first, last, level, draws, seed)


def _patterns(rows: pd.DataFrame, covariates: list[str], treatment: str) -> pd.DataFrame:
    """Patterns with the names of what is missing in one column."""
    found = missing_patterns(rows, covariates, treatment)
    names = [", ".join(name for name in covariates if not seen[name]) for _, seen in found[covariates].iterrows()]
    return found.drop(columns=covariates).assign(missing=names)
