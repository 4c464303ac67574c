"""From children in DuckDB to a design matrix, by way of cells of identical children.

Every covariate is discrete or takes few values, so children with the same covariates, LA and
treatment form cells. Weighted least squares, the weighted logit and their cluster-robust errors
need of a cell only its sum of weights and its weighted sum of the outcome: the results are those of
the children themselves, not an approximation (methods, finding 3). Page: docs/methods/regression.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

NOT_OBSERVED = "not observed"
# FV.COV.4: a covariate missing for more than this share of the children is dropped.
MISSING_COVARIATE_LIMIT = 0.30
# A column counts as dependent if less than this share of its squared length is left after the
# columns before it are projected out: far above rounding (about 1e-14), far below any covariate
# that varies at all.
DEPENDENCE_TOLERANCE = 1e-10

INTERCEPT = "intercept"
CELL_COUNT = "cell_children_count"
CELL_WEIGHT = "cell_weight"
CELL_OUTCOME = "cell_weighted_outcome"


@dataclass(frozen=True)
class Terms:
    """The right-hand side of FV.EST.1, as column names.

    Attributes
    ----------
    treatment: the 0/1 column whose coefficient is the effect.
    cluster: the LA column, whose levels are also fixed effects.
    periods: further fixed effects (financial year).
    categorical: covariates entered as one indicator per level.
    linear: covariates entered as they are.
    """

    treatment: str
    cluster: str
    periods: tuple[str, ...]
    categorical: tuple[str, ...]
    linear: tuple[str, ...]

    @property
    def factors(self) -> tuple[str, ...]:
        """All columns with levels, LA effects first."""
        return (self.cluster, *self.periods, *self.categorical)


@dataclass(frozen=True)
class Design:
    """A design matrix of full rank over cells.

    Attributes
    ----------
    x: (cells, K).
    names: of the K columns; indicators are 'column=level'.
    weight, weighted_outcome: (cells,), sums over the cell's children of w and of w * y.
    cluster: (cells,), codes of the LA.
    cluster_names: (G,), LA of each code.
    is_treated: (cells,).
    children_count: children behind all cells.
    parameter_count: K of `small_sample_factor`: columns less LA effects.
    treatment_column: position of the treatment in x; None where its effect is not identified.
    dropped: columns left out as linear combinations of others, or as missing too often.
    notes: sentences for the analyst.
    """

    x: NDArray[np.float64]
    names: tuple[str, ...]
    weight: NDArray[np.float64]
    weighted_outcome: NDArray[np.float64]
    cluster: NDArray[np.int64]
    cluster_names: tuple[str, ...]
    is_treated: NDArray[np.bool_]
    children_count: int
    parameter_count: int
    treatment_column: int | None
    dropped: tuple[str, ...]
    notes: tuple[str, ...]


def compress(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    terms: Terms,
    outcome: str,
    weight: str,
    keys: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Group the rows of `relation` into cells of equal terms.

    Parameters
    ----------
    relation: a table or view with the terms, the outcome and the weight; rows with a null outcome
        or without a positive weight are left out.
    keys: further whole-number columns that keep children apart without being terms (phase, quarter).

    Returns
    -------
    One row per cell, in the order of its terms: factors as text (null is the level 'not observed'),
    linear terms and treatment as double (null stays NaN), keys as bigint, and the number of children, the sum of
    weights and the weighted sum of the outcome.
    """
    columns = [
        *(f"coalesce(cast({name} as varchar), '{NOT_OBSERVED}') as {name}" for name in terms.factors),
        *(f"cast({name} as double) as {name}" for name in (*terms.linear, terms.treatment)),
        *(f"cast({name} as bigint) as {name}" for name in keys),
    ]
    return connection.execute(
        f"""
        select
            {", ".join(columns)},
            count(*) as {CELL_COUNT},
            sum({weight}) as {CELL_WEIGHT},
            sum({weight} * cast({outcome} as double)) as {CELL_OUTCOME}
        from {relation}
        where {outcome} is not null and {weight} > 0
        group by {", ".join(str(i + 1) for i in range(len(columns)))}
        order by {", ".join(str(i + 1) for i in range(len(columns)))}
        """
    ).df()


def build_design(cells: pd.DataFrame, terms: Terms) -> Design:
    """Build the design matrix of `cells` (from `compress`), dropping what the data do not identify.

    Columns stand in a fixed order: intercept, LA effects, periods, categorical, linear, treatment.
    The reference level of a factor is the one with the largest weight (ties: the first by name). A
    column that is a linear combination of those before it is dropped and reported; the treatment
    comes last, so that it survives only if its effect is identified given everything else.

    A linear covariate that is missing for more than `MISSING_COVARIATE_LIMIT` of the children is
    dropped (FV.COV.4); below that, missing is its own level: an indicator, with 0 in the covariate.
    """
    weight = cells[CELL_WEIGHT].to_numpy(dtype=np.float64)
    children = cells[CELL_COUNT].to_numpy(dtype=np.int64)
    total = int(children.sum())
    columns: list[NDArray[np.float64] | NDArray[np.bool_]] = [np.ones(len(cells))]
    names = [INTERCEPT]
    is_cluster_effect = [False]
    dropped: list[str] = []
    notes: list[str] = []

    def add(name: str, values: NDArray[np.float64] | NDArray[np.bool_], cluster_effect: bool = False) -> None:
        names.append(name)
        columns.append(values)
        is_cluster_effect.append(cluster_effect)

    for factor in terms.factors:
        codes, levels = pd.factorize(cells[factor].to_numpy(dtype=object), sort=True)
        sums = pd.Series(weight).groupby(codes).sum()
        reference = sums.idxmax() if len(sums) else None
        for code, level in enumerate(levels):
            if code != reference:
                add(f"{factor}={level}", codes == code, factor == terms.cluster)
    for covariate in terms.linear:
        values = cells[covariate].to_numpy(dtype=np.float64)
        missing = np.isnan(values)
        share = float(children[missing].sum()) / total if total else 0.0
        if share > MISSING_COVARIATE_LIMIT:
            dropped.append(covariate)
            notes.append(f"{covariate} left out: missing for more than {MISSING_COVARIATE_LIMIT:.0%} (FV.COV.4)")
            continue
        add(covariate, np.where(missing, 0.0, values))
        if missing.any():
            add(f"{covariate}={NOT_OBSERVED}", missing.astype(np.float64))
            notes.append(f"{covariate} is missing for some children, entered as a level of its own")
    treated = cells[terms.treatment].to_numpy(dtype=np.float64)
    add(terms.treatment, treated)

    x = np.empty((len(cells), len(columns)))
    for place, values in enumerate(columns):
        x[:, place] = values
    keep = independent_columns(x, weight)
    kept_names = [name for name, kept in zip(names, keep, strict=True) if kept]
    treatment_column = len(kept_names) - 1 if len(keep) and keep[-1] else None
    collinear = [name for name, kept in zip(names[:-1], keep[:-1], strict=True) if not kept]
    if collinear:
        notes.append(f"left out as linear combinations of other columns: {', '.join(collinear)}")
    cluster, cluster_names = pd.factorize(cells[terms.cluster].to_numpy(dtype=object), sort=True)
    cluster_effects = int(np.sum(keep & np.array(is_cluster_effect)))
    return Design(
        x=x if keep.all() else np.ascontiguousarray(x[:, keep]),
        names=tuple(kept_names),
        weight=weight,
        weighted_outcome=cells[CELL_OUTCOME].to_numpy(dtype=np.float64),
        cluster=cluster.astype(np.int64),
        cluster_names=tuple(str(name) for name in cluster_names),
        is_treated=treated == 1.0,
        children_count=total,
        parameter_count=len(kept_names) - cluster_effects,
        treatment_column=treatment_column,
        dropped=(*dropped, *collinear),
        notes=tuple(notes),
    )


def independent_columns(x: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the columns that are not linear combinations of marked columns before them.

    A Cholesky decomposition of X'WX that skips a column as soon as less than
    `DEPENDENCE_TOLERANCE` of its squared length is left. x is (cells, K), the result (K,).
    """
    root = np.sqrt(weight)[:, None] * x
    return independent_of(root.T @ root)


def independent_of(gram: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The same from X'WX (K, K) itself."""
    length = np.sqrt(np.clip(np.diag(gram), 0.0, None))
    scale = np.where(length > 0, length, 1.0)
    gram = gram / np.outer(scale, scale)
    keep = np.zeros(len(gram), dtype=np.bool_)
    factor = np.zeros_like(gram)
    for j in range(len(gram)):
        left = gram[j, j] - factor[j, :j] @ factor[j, :j]
        if length[j] > 0 and left > DEPENDENCE_TOLERANCE:
            keep[j] = True
            factor[j, j] = np.sqrt(left)
            factor[j + 1 :, j] = (gram[j + 1 :, j] - factor[j + 1 :, :j] @ factor[j, :j]) / factor[j, j]
    return keep
