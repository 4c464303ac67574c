"""Speed of estimation as ratios to other libraries on the same made-up children: nothing here passes or fails.

Seconds are processor time of this process, so that what else the machine does counts for little. Where a library is not
installed the line says so. The last column is how far the two estimates lie apart.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

import duckdb
import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm

from sfpc.estimation.cluster import Estimate
from sfpc.estimation.design import CELL_COUNT, Design, Terms, build_design, compress
from sfpc.estimation.few_clusters import cluster_sums, cr2, cr3, score_bootstrap, wild_bootstrap
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import fit_logit
from sfpc.estimation.permutation import permutation_test

T = TypeVar("T")

SEED = 1
LEVEL = 0.05
LAS, TREATED, YEARS = 20, 5, 6
DRAWS = 9_999
# Rows that statsmodels gets at most: its dense matrix of a million rows needs several gigabytes.
LARGEST_DENSE = 200_000
TERMS = Terms(
    treatment="treated",
    cluster="la",
    periods=("year",),
    categorical=("gender", "ethnicity", "need"),
    linear=("age",),
)


@dataclass(frozen=True)
class Measured:
    """One stage beside another library's; seconds of the processor, estimates in units of the outcome."""

    stage: str
    rows: int
    seconds: float
    yardstick: str
    yardstick_seconds: float | None
    difference: float | None = None


def made_up_children(rows: int) -> pd.DataFrame:
    """Children with LA, year, phase (go-live days behind them), covariates, a weight and a rare outcome."""
    generator = np.random.default_rng(SEED)
    la = generator.integers(0, LAS, rows)
    year = generator.integers(0, YEARS, rows)
    first = np.where(np.arange(LAS) < TREATED, 2 + np.arange(LAS) % 3, YEARS + 1)
    treated = (year >= first[la]).astype(np.int64)
    need = generator.integers(0, 8, rows)
    age = generator.integers(0, 18, rows)
    level = generator.normal(0, 0.2, LAS)[la] + generator.normal(0, 0.1, (LAS, YEARS))[la, year]
    chance = 1 / (1 + np.exp(3.0 - level - 0.05 * need + 0.02 * age + 0.2 * treated))
    return pd.DataFrame(
        {
            "la": np.char.add("LA", np.char.zfill(la.astype(str), 2)),
            "year": (2016 + year).astype(str),
            "phase": np.clip(year - 1, 0, 3),
            "gender": generator.integers(1, 3, rows).astype(str),
            "ethnicity": generator.choice(list("ABCDE"), rows),
            "need": need.astype(str),
            "age": age.astype(np.float64),
            "treated": treated,
            "weight": generator.choice([0.5, 1.0, 1.5, 2.0], rows),
            "y": (generator.random(rows) < chance).astype(np.float64),
        }
    )


def run_estimation_bench(rows: int = 1_000_000) -> list[Measured]:
    """Measure each estimator on `rows` made-up children, print the table, and return it."""
    children = made_up_children(rows)
    pyfixest = _installed("pyfixest")
    lines = measure(children, pyfixest)
    version = f"pyfixest {pyfixest.__version__}" if pyfixest is not None else "pyfixest is not installed: not compared"
    print(
        f"{rows:,} children, {LAS} LAs, seed {SEED}, {os.cpu_count()} processors, DuckDB {duckdb.__version__},"
        f" statsmodels {statsmodels.__version__}; {version}"
    )
    print(f"{'stage':<48}{'rows':>11}{'seconds':>9}{'ratio':>8}  {'beside':<38}{'seconds':>9}{'apart':>10}")
    for line in lines:
        other = "" if line.yardstick_seconds is None else f"{line.yardstick_seconds:>9.3f}"
        ratio = "" if line.yardstick_seconds is None else f"{line.seconds / max(line.yardstick_seconds, 1e-9):.3f}"
        apart = "" if line.difference is None else f"{line.difference:.1e}"
        print(
            f"{line.stage:<48}{line.rows:>11,}{line.seconds:>9.3f}{ratio:>8}  {line.yardstick:<38}{other:>9}{apart:>10}"
        )
    return lines


def measure(children: pd.DataFrame, pyfixest: ModuleType | None) -> list[Measured]:
    """Lines of the table; pyfixest: the package, or None where it is not there."""
    dense = children.iloc[:LARGEST_DENSE]
    lines = []
    few = _design(dense)
    ours, effect = _seconds(lambda: fit_linear(_design(dense)).effect(LEVEL))
    lines.append(_beside("linear, from children to clustered error", len(dense), ours, effect, *_wls(dense)))
    logit_seconds, odds = _seconds(lambda: fit_logit(_design(dense.assign(weight=1.0))).log_odds_effect(LEVEL))
    lines.append(_beside("logit, from children to clustered error", len(dense), logit_seconds, odds, *_glm(dense)))
    if pyfixest is not None:
        lines.append(
            _beside("linear, from children to clustered error", len(dense), ours, effect, *_feols(pyfixest, dense))
        )
    else:
        nothing = "pyfixest feols: not installed"
        lines.append(Measured("linear, from children to clustered error", len(dense), ours, nothing, None))
    whole_seconds, design = _seconds(lambda: _design(children))
    fit_seconds, _ = _seconds(lambda: fit_linear(design))
    sums_seconds, sums = _seconds(lambda: cluster_sums(design))
    if sums is None:
        raise ValueError("the effect is not identified in the made-up children")
    rows = len(children)
    lines += [
        Measured("children to cells to design matrix", rows, whole_seconds, "a scan of them", _scan(children)),
        Measured("linear fit with CR1, on the design", rows, fit_seconds, "design matrix", whole_seconds),
        Measured("sums by LA", rows, sums_seconds, "linear fit", fit_seconds),
    ]
    phase = _cells(children)["phase"].to_numpy(dtype=np.int64)
    go_live = {f"LA{la:02d}": 1 + la % 3 for la in range(TREATED)}
    later: list[tuple[str, Callable[[], object]]] = [
        (f"wild cluster bootstrap with interval, {DRAWS:,}", lambda: wild_bootstrap(sums, LEVEL, DRAWS, SEED)),
        ("CR2 with Satterthwaite", lambda: cr2(sums, LEVEL)),
        ("CR3", lambda: cr3(sums, LEVEL)),
        ("permutation over LAs, 1,999", lambda: permutation_test(design, phase, go_live, 1_999, SEED)),
    ]
    for stage, work in later:
        lines.append(Measured(stage, rows, _seconds(work)[0], "linear fit", fit_seconds))
    logit = fit_logit(few)
    seconds, _ = _seconds(lambda: score_bootstrap(logit, LEVEL, DRAWS, SEED))
    lines.append(
        Measured(f"score bootstrap with interval, {DRAWS:,}", len(dense), seconds, "logit from children", logit_seconds)
    )
    return lines


def _beside(
    stage: str, rows: int, seconds: float, ours: Estimate, name: str, theirs: float, estimate: float
) -> Measured:
    return Measured(stage, rows, seconds, name, theirs, abs(ours.estimate - estimate))


def _cells(children: pd.DataFrame) -> pd.DataFrame:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("children", children)
        return compress(connection, "children", TERMS, "y", "weight", keys=("phase",))


def _design(children: pd.DataFrame) -> Design:
    cells = _cells(children)
    if int(cells[CELL_COUNT].sum()) != len(children):
        raise ValueError("cells hold other children than were given")
    return build_design(cells, TERMS)


def _scan(children: pd.DataFrame) -> float:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("create table held as select * from children")
        return _seconds(lambda: connection.execute("select sum(y * weight) from held group by la, year").fetchall())[0]


def _wls(children: pd.DataFrame) -> tuple[str, float, float]:
    def work() -> float:
        x = _dummies(children)
        fit = sm.WLS(children["y"].to_numpy(), x, weights=children["weight"].to_numpy()).fit(
            cov_type="cluster", cov_kwds={"groups": children["la"].astype("category").cat.codes.to_numpy()}
        )
        return float(fit.params[-1])

    seconds, estimate = _seconds(work)
    return "statsmodels WLS, indicators, clustered", seconds, estimate


def _glm(children: pd.DataFrame) -> tuple[str, float, float]:
    def work() -> float:
        x = _dummies(children)
        fit = sm.GLM(children["y"].to_numpy(), x, family=sm.families.Binomial()).fit(
            cov_type="cluster", cov_kwds={"groups": children["la"].astype("category").cat.codes.to_numpy()}
        )
        return float(fit.params[-1])

    seconds, estimate = _seconds(work)
    return "statsmodels GLM, indicators, clustered", seconds, estimate


def _feols(pyfixest: ModuleType, children: pd.DataFrame) -> tuple[str, float, float]:
    def work() -> float:
        fit = pyfixest.feols(
            "y ~ treated + age | la + year + gender + ethnicity + need",
            data=children.assign(cluster=children["la"].astype("category").cat.codes),
            weights="weight",
            vcov={"CRV1": "cluster"},
        )
        return float(fit.coef()["treated"])

    # The first call compiles; the second is the library's own speed.
    work()
    seconds, estimate = _seconds(work)
    return "pyfixest feols, clustered", seconds, estimate


def _dummies(children: pd.DataFrame) -> np.ndarray:
    names = [*TERMS.factors]
    indicators = pd.get_dummies(children[names], columns=names, drop_first=True, dtype=np.float64)
    rest = children[[*TERMS.linear, TERMS.treatment]].to_numpy(dtype=np.float64)
    return np.column_stack([np.ones(len(children)), indicators.to_numpy(), rest])


def _seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Processor time and what the work gave."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def _installed(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
