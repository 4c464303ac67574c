"""Which covariates are missing, whether that is related to anything, and what to do about it (FV.COV.4).

Imputation itself is `sfpc.estimation.multiple_imputation`. Page: docs/methods/missing_data.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from sfpc.estimation.design import CELL_COUNT, CELL_OUTCOME, CELL_WEIGHT, NOT_OBSERVED, Terms, build_design
from sfpc.estimation.few_clusters import cluster_sums, cr3, wild_bootstrap
from sfpc.estimation.joint import joint_tests
from sfpc.estimation.linear import LinearFit, fit_linear

COMPLETE, IMPUTED, DROPPED = "complete", "imputed", "dropped"


def missing_shares(rows: pd.DataFrame, covariates: Sequence[str], limit: float) -> pd.DataFrame:
    """What FV.COV.4 says of each covariate.

    Parameters
    ----------
    rows: children with an outcome; null is missing. A level of its own ("not observed") is not (DECISIONS D72).
    limit: share of missing children above which a covariate is dropped.

    Returns
    -------
    Per covariate: children_count, missing_count, missing_share, decision (complete, imputed, dropped) and reason.
    """
    found = []
    for name in covariates:
        missing = int(rows[name].isna().sum())
        share = missing / len(rows) if len(rows) else float("nan")
        if missing == 0:
            decision, reason = COMPLETE, "no value is missing"
        elif share > limit:
            decision, reason = DROPPED, f"missing for {share:.1%}, more than {limit:.0%} (FV.COV.4)"
        else:
            decision, reason = IMPUTED, f"missing for {share:.1%}, at most {limit:.0%} (FV.COV.4)"
        found.append((name, len(rows), missing, share, decision, reason))
    columns = ["covariate", "children_count", "missing_count", "missing_share", "decision", "reason"]
    return pd.DataFrame(found, columns=columns)


def missing_patterns(rows: pd.DataFrame, covariates: Sequence[str], treatment: str) -> pd.DataFrame:
    """Which covariates are missing together, the most frequent pattern first.

    Returns
    -------
    Per pattern: a boolean column per covariate (True: observed), missing_covariate_count, children_count, share (of all
    children), treated_count and treated_share (of the treated).
    """
    observed = rows[list(covariates)].notna()
    treated = rows[treatment].to_numpy(dtype=np.float64) == 1.0
    found = (
        observed.assign(children_count=1, treated_count=treated.astype(np.int64))
        .groupby(list(covariates), sort=True, as_index=False)
        .sum()
    )
    found.insert(len(covariates), "missing_covariate_count", (~found[list(covariates)]).sum(axis=1))
    found["share"] = found["children_count"] / max(len(rows), 1)
    found["treated_share"] = found["treated_count"] / max(int(treated.sum()), 1)
    order = ["children_count", "missing_covariate_count", *covariates]
    return found.sort_values(order, ascending=[False, True, *[False] * len(covariates)], ignore_index=True)


def complete_cases(rows: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """The children none of whose covariates is missing: the analysis that stands beside the imputation."""
    return rows[rows[list(covariates)].notna().all(axis=1)].reset_index(drop=True)


def missingness_tests(
    cells: pd.DataFrame, terms: Terms, covariates: Sequence[str], level: float, draws: int = 9_999, seed: int = 0
) -> pd.DataFrame:
    """Is it related to treatment and to the other covariates whether a covariate is missing?

    A linear model of "is missing" on everything else in FV.EST.1 (LA and year effects, treatment, the other covariates,
    their missing values as levels), children counting alike. The treatment's coefficient is a difference of shares; a
    covariate is tested by all its columns together.

    Parameters
    ----------
    cells: from `design.compress`; a categorical covariate is missing where 'not observed', a linear one where NaN.
    covariates: among the terms' categorical and linear ones, the ones to ask about.

    Returns
    -------
    Per covariate and term (treatment or another covariate): missing_count, estimate and standard_error (treatment and
    linear covariates), ci_low, ci_high (treatment), statistic (F), coefficient_count, degrees_of_freedom, p_value,
    inference_method, note. The wild cluster bootstrap comes first; the other row of the treatment is CR3, that of a
    covariate CR1.
    """
    found: list[dict[str, object]] = []
    children = cells[CELL_COUNT].to_numpy(dtype=np.float64)
    for covariate in covariates:
        values = cells[covariate]
        missing = ((values == NOT_OBSERVED) if covariate in terms.categorical else values.isna()).to_numpy()
        about = {"covariate": covariate, "missing_count": int(children[missing].sum())}
        nan = float("nan")
        if not missing.any() or missing.all():
            why = "no value is missing" if not missing.any() else "every value is missing"
            found.append({**about, "term": terms.treatment, "estimate": nan, "p_value": nan, "note": why})
            continue
        others = replace(
            terms,
            categorical=tuple(name for name in terms.categorical if name != covariate),
            linear=tuple(name for name in terms.linear if name != covariate),
        )
        asked = cells.assign(**{CELL_WEIGHT: children, CELL_OUTCOME: children * missing})
        design = build_design(asked, others)
        sums = cluster_sums(design)
        if sums is None:
            why = "not identified: the treatment does not vary within LAs and years"
            found.append({**about, "term": terms.treatment, "estimate": nan, "p_value": nan, "note": why})
            continue
        for estimate in (wild_bootstrap(sums, level, draws, seed).effect, cr3(sums, level)):
            found.append({**about, "term": terms.treatment, "note": "", **asdict(estimate)})
        fit = fit_linear(design)
        names = [design.names[column] for column in sums.columns]
        for term in (*others.categorical, *others.linear):
            mine = [i for i, name in enumerate(names) if name == term or name.startswith(f"{term}=")]
            if mine:
                tests = joint_tests(sums, np.array(mine, dtype=np.int64), draws, seed)[:2]
                single = _coefficient(fit, term)
                found += [{**about, "term": term, **asdict(test), **single} for test in tests]
    columns = [
        "covariate", "missing_count", "term", "estimate", "standard_error", "ci_low", "ci_high", "statistic",
        "coefficient_count", "degrees_of_freedom", "p_value", "inference_method", "note",
    ]  # fmt: skip
    return pd.DataFrame(found).reindex(columns=columns)


def _coefficient(fit: LinearFit, term: str) -> dict[str, float]:
    """Coefficient and CR1 error of a linear covariate; nothing for one of several columns."""
    if term not in fit.design.names:
        return {}
    place = fit.design.names.index(term)
    error = float(np.sqrt(fit.covariance.matrix[place, place]))
    return {"estimate": float(fit.coefficients[place]), "standard_error": error}


__all__ = ["complete_cases", "missing_patterns", "missing_shares", "missingness_tests"]
