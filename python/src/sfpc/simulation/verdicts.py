"""From studies to a verdict per method and design: size, bias, coverage, and the canaries (FV.EST.3, FV.EST.5).

Bands lie about the nominal value and are never narrower than chance allows with the draws made.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sfpc.estimation.cluster import CR1_T
from sfpc.simulation.study import LEVEL, LINEAR, LOGIT, NAIVE

# Half-widths about 5 % rejections under a true null and about 95 % coverage (methods E); with few draws three
# Monte-Carlo errors, which at 2,000 draws is the first of them.
SIZE_REACH, COVERAGE_REACH = 0.015, 0.02
MONTE_CARLO_ERRORS = 3.0
# What must go wrong, or the studies are too easy to tell a good method from a bad one: share of true nulls rejected.
CANARIES = {NAIVE: 0.30, CR1_T: 0.07}
# A method that is undefined in more studies than this has no verdict.
UNDEFINED_LIMIT = 0.05
PRIMARY, BESIDE, CANARY = "primary", "beside", "canary"
PASSES, NOT_DEFINED = "passes", "not defined here"

SUMMARY_COLUMNS = (
    "design_id",
    "model",
    "inference_method",
    "role",
    "verdict",
    "null_draws",
    "size",
    "size_error",
    "effect_draws",
    "truth",
    "bias",
    "bias_error",
    "estimate_sd",
    "coverage",
    "coverage_error",
    "interval_width",
    "power",
    "power_error",
    "undefined_share",
)


def summarise(design_id: str, null: pd.DataFrame, effect: pd.DataFrame) -> pd.DataFrame:
    """Judge every model and method of a design; a row each, columns `SUMMARY_COLUMNS`.

    Parameters
    ----------
    null, effect: columns `sfpc.simulation.study.STUDY_COLUMNS`, without an effect and with one.

    size, coverage, power and their Monte-Carlo errors are shares of 0 to 1; truth, bias, estimate_sd and interval_width
    are proportions (0.01 is one percentage point). interval_width is a median. NaN where a method has no interval.
    """
    rows = []
    for (model, method), quiet in null.groupby(["model", "inference_method"], sort=True):
        moved = effect[(effect["model"] == model) & (effect["inference_method"] == method)]
        size, size_error, size_undefined = _share(quiet["p_value"] <= LEVEL, quiet["p_value"].notna())
        power, power_error, power_undefined = _share(moved["p_value"] <= LEVEL, moved["p_value"].notna())
        has_interval = bool(moved["ci_low"].notna().any())
        covered = (moved["ci_low"] <= moved["truth"]) & (moved["truth"] <= moved["ci_high"])
        coverage, coverage_error, _ = _share(covered, moved["ci_low"].notna())
        off = moved["estimate"] - moved["truth"]
        row = {
            "design_id": design_id,
            "model": model,
            "inference_method": method,
            "null_draws": len(quiet),
            "size": size,
            "size_error": size_error,
            "effect_draws": len(moved),
            "truth": moved["truth"].mean(),
            "bias": off.mean(),
            "bias_error": off.std(ddof=1) / np.sqrt(off.notna().sum()),
            "estimate_sd": off.std(ddof=1),
            "coverage": coverage if has_interval else np.nan,
            "coverage_error": coverage_error if has_interval else np.nan,
            "interval_width": (moved["ci_high"] - moved["ci_low"]).median() if has_interval else np.nan,
            "power": power,
            "power_error": power_error,
            "undefined_share": max(size_undefined, power_undefined),
        }
        is_first = quiet["is_first"].astype(bool).mean() > 0.5 and model in (LINEAR, LOGIT)
        row["role"] = CANARY if method == NAIVE else PRIMARY if is_first else BESIDE
        row["verdict"] = verdict(row)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def verdict(row: dict[str, float]) -> str:
    """One line: 'passes', or what fails and by how much.

    Size within 3.5 to 6.5 %, coverage within 93 to 97 %, both wider where draws are few, and bias within three
    Monte-Carlo errors of the realised effect (methods E).
    """
    if row["undefined_share"] > UNDEFINED_LIMIT:
        return NOT_DEFINED
    wrong = []
    reach = max(SIZE_REACH, MONTE_CARLO_ERRORS * float(np.sqrt(LEVEL * (1 - LEVEL) / row["null_draws"])))
    if abs(row["size"] - LEVEL) > reach:
        how = "often" if row["size"] > LEVEL else "seldom"
        wrong.append(f"rejects too {how} ({100 * row['size']:.1f} %)")
    if np.isfinite(row["coverage"]):
        chance = MONTE_CARLO_ERRORS * float(np.sqrt(LEVEL * (1 - LEVEL) / row["effect_draws"]))
        if abs(row["coverage"] - (1 - LEVEL)) > max(COVERAGE_REACH, chance):
            how = "short" if row["coverage"] < 1 - LEVEL else "wide"
            wrong.append(f"interval too {how} (covers {100 * row['coverage']:.1f} %)")
    if abs(row["bias"]) > MONTE_CARLO_ERRORS * row["bias_error"]:
        wrong.append(f"biased ({100 * row['bias']:+.3f} points)")
    return f"fails: {', '.join(wrong)}" if wrong else PASSES


def canaries(summary: pd.DataFrame) -> dict[str, tuple[float, float, bool]]:
    """Per canary: share of true nulls rejected by the linear model, its limit, and whether it fails as it must.

    summary: rows of one design.
    """
    found = {}
    linear = summary[summary["model"] == LINEAR].set_index("inference_method")["size"].to_dict()
    for method, limit in CANARIES.items():
        size = float(linear[method])
        found[method] = (size, limit, size > limit)
    return found


def _share(yes: pd.Series, defined: pd.Series) -> tuple[float, float, float]:
    """Share of yes among the defined, its Monte-Carlo error, and the share that is not defined."""
    count = int(defined.sum())
    if not count:
        return float("nan"), float("nan"), 1.0
    share = float(yes[defined].mean())
    return share, float(np.sqrt(share * (1 - share) / count)), 1 - count / len(defined)


__all__ = [
    "BESIDE",
    "CANARIES",
    "CANARY",
    "NOT_DEFINED",
    "PASSES",
    "PRIMARY",
    "SUMMARY_COLUMNS",
    "canaries",
    "summarise",
    "verdict",
]
