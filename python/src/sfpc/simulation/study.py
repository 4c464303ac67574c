"""Made-up studies, cell by cell, put through the methods that the evaluation offers (FV.EST.2, FV.EST.3).

The process is that of `sfpc.power.simulation`, the methods are `of_linear` and `of_logit` of
`sfpc.estimation.inference`: what is judged here is what the grid runs. A design is a row of designs.csv. Page:
docs/simulation/simulation.md.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.design import INTERCEPT, Design
from sfpc.estimation.few_clusters import cluster_sums
from sfpc.estimation.imputation import impute_design
from sfpc.estimation.inference import Draws, Timing, of_linear, of_logit
from sfpc.estimation.linear import LinearFit, fit_linear
from sfpc.estimation.logit import fit_logit
from sfpc.power.rollout import Rollout, plan_rollout
from sfpc.power.simulation import Movements, draw_shares

LEVEL = 0.05
POINTS, LOG_ODDS = "points", "log odds"
NAIVE = "children as independent"
LINEAR, LOGIT, IMPUTATION = "linear", "logit, average marginal effect", "imputation"
STUDY_COLUMNS = ("study", "model", "inference_method", "is_first", "estimate", "truth", "p_value", "ci_low", "ci_high")
# The lockdowns of 2020: the quarters whose shares the common shock moves.
COMMON_SHOCK = (date(2020, 4, 1), date(2020, 12, 31))
# An LA has at least this many children a quarter, however the draw of its size goes.
SMALLEST_SIZE = 50


@dataclass(frozen=True)
class SimulatedDesign:
    """A row of designs.csv.

    Attributes
    ----------
    go_live: first day of the quarter in which each treated LA goes live.
    period_months: length of the periods that have an effect in the model (3: quarters, 12: years).
    baseline, icc: mean share and intra-cluster correlation of lasting LA levels, as proportions.
    children_per_quarter: median over LAs; size_log_sd: standard deviation of the logarithm of an LA's size.
    shock_sd, shock_autocorrelation, national_step_sd, la_trend_sd, common_shock_size, common_shock_sensitivity_sd: as
        `sfpc.power.simulation.Movements` has them.
    effect: when at its full size; effect_scale: 'points', added to the share of treated children (a proportion), or
        'log odds', added to its log odds.
    quarters_to_full_effect: 1 for an effect that is there at once; else it grows in equal steps.
    share_of_draws: of the number asked for.
    """

    design_id: str
    label: str
    treated_las: int
    comparison_las: int
    go_live: tuple[date, ...]
    first_quarter: date
    quarters: int
    period_months: int
    baseline: float
    icc: float
    children_per_quarter: float
    size_log_sd: float
    shock_sd: float
    shock_autocorrelation: float
    national_step_sd: float
    la_trend_sd: float
    common_shock_size: float
    common_shock_sensitivity_sd: float
    effect: float
    effect_scale: str
    quarters_to_full_effect: int
    share_of_draws: float
    is_reference: bool
    why: str

    @property
    def movements(self) -> Movements:
        """How shares move."""
        return Movements(
            self.shock_sd,
            self.shock_autocorrelation,
            self.national_step_sd,
            self.la_trend_sd,
            (*COMMON_SHOCK, self.common_shock_size),
            self.common_shock_sensitivity_sd,
        )

    @property
    def rollout(self) -> Rollout:
        """LAs by quarters, every LA of the median size; treated LAs come first."""
        quarters = [_months_on(self.first_quarter, 3 * number) for number in range(self.quarters + 1)]
        las = [f"LA{number:02d}" for number in range(self.treated_las + self.comparison_las)]
        return plan_rollout(
            {la: self.go_live[number] if number < self.treated_las else None for number, la in enumerate(las)},
            quarters[:-1],
            quarters[-1] - timedelta(days=1),
            dict.fromkeys(las, self.children_per_quarter),
        )


def read_designs(file: Path | None = None) -> list[SimulatedDesign]:
    """The rows of designs.csv (or of another file of its columns), the reference design first.

    ValueError where the days of go-live are not as many as the treated LAs, or the scale of an effect is not known.
    """
    text = file or resources.files("sfpc.simulation").joinpath("designs.csv")
    with text.open(encoding="utf-8") as handle:
        rows = pd.read_csv(handle, parse_dates=["first_quarter"]).to_dict("records")
    found = []
    for row in rows:
        days = tuple(date.fromisoformat(day) for day in str(row["go_live"]).split(";"))
        if len(days) != row["treated_las"]:
            wanted = row["treated_las"]
            raise ValueError(
                f"designs.csv, {row['design_id']}: {len(days)} days in go_live, expected {wanted}, one per LA"
            )
        if row["effect_scale"] not in (POINTS, LOG_ODDS):
            raise ValueError(
                f"designs.csv, {row['design_id']}: effect_scale '{row['effect_scale']}', expected"
                f" '{POINTS}' or '{LOG_ODDS}'"
            )
        given = {**row, "go_live": days, "first_quarter": row["first_quarter"].date()}
        found.append(SimulatedDesign(**{field.name: given[field.name] for field in fields(SimulatedDesign)}))
    return sorted(found, key=lambda design: not design.is_reference)


@dataclass(frozen=True)
class Studies:
    """R studies of one design.

    Attributes
    ----------
    children: (R, G), of an LA in every quarter.
    events: (R, G, T), children with the outcome.
    truth: (R,), mean over treated children of what the programme added to their share, after clipping at 0 and 1.
    """

    children: NDArray[np.int64]
    events: NDArray[np.int64]
    truth: NDArray[np.float64]


def draw_studies(design: SimulatedDesign, studies: int, seed: int, batch: int, effect: float) -> Studies:
    """Draw a batch; the same seed, design and batch give the same LAs and shocks whatever the effect.

    effect: at its full size, on the design's scale.
    """
    rollout = design.rollout
    # The design's name is part of the seed: another order of rows changes nothing.
    name = zlib.crc32(design.design_id.encode())
    generator = np.random.default_rng([seed, name, batch])
    shares = draw_shares(
        rollout, design.baseline, design.icc, design.movements, studies, int(generator.integers(2**63))
    )
    spread = generator.normal(0.0, design.size_log_sd, shares.shape[:2])
    children = np.maximum(np.rint(design.children_per_quarter * np.exp(spread)), SMALLEST_SIZE).astype(np.int64)
    live = rollout.treated > 0
    since = np.cumsum(live, axis=1)
    added = effect * np.minimum(since / design.quarters_to_full_effect, 1.0)
    if design.effect_scale == LOG_ODDS:
        probability = np.where(live, expit(logit(shares) + added), shares)
    else:
        probability = np.clip(shares + added, 0.0, 1.0)
    gained = ((probability - shares) * live).sum(axis=2)
    treated_children = children * live.sum(axis=1)
    return Studies(
        children,
        generator.binomial(children[:, :, None], probability),
        np.asarray((gained * children).sum(axis=1) / treated_children.sum(axis=1), dtype=np.float64),
    )


class Model:
    """What the studies of one design share: the columns of the model, LAs and quarters of its cells."""

    def __init__(self, design: SimulatedDesign) -> None:
        rollout = design.rollout
        self._live = rollout.treated > 0
        groups, quarters = rollout.treated.shape
        la, quarter = np.indices((groups, quarters)).reshape(2, -1)
        period = 3 * quarter // design.period_months
        columns = [np.ones(len(la)), *(la == code for code in range(1, groups))]
        columns += [period == code for code in range(1, period.max() + 1)]
        self._x = np.column_stack([*columns, self._live.ravel()]).astype(np.float64)
        self._names = (
            INTERCEPT,
            *(f"la={name}" for name in rollout.la_ids[1:]),
            *(f"period={code}" for code in range(1, period.max() + 1)),
            "is_treated",
        )
        self._la, self._las = la.astype(np.int64), rollout.la_ids
        days = sorted(set(design.go_live))
        phase = np.array([sum(day <= first for day in days) for first in rollout.periods], dtype=np.int64)
        self.timing = Timing(
            phase=phase[quarter],
            period=quarter.astype(np.int64),
            go_live_phase={la: 1 + days.index(day) for la, day in zip(rollout.la_ids, design.go_live, strict=False)},
        )

    def design(self, children: NDArray[np.int64], events: NDArray[np.int64]) -> Design:
        """Cells of one study: children (G,), events (G, T)."""
        count = np.repeat(children, events.shape[1])
        return Design(
            x=self._x,
            names=self._names,
            weight=count.astype(np.float64),
            weighted_outcome=events.ravel().astype(np.float64),
            cluster=self._la,
            cluster_names=self._las,
            is_treated=self._live.ravel(),
            children_count=int(count.sum()),
            parameter_count=self._x.shape[1] - len(self._las) + 1,
            treatment_column=self._x.shape[1] - 1,
            dropped=(),
            notes=(),
        )


def naive(fit: LinearFit) -> Estimate:
    """The canary: errors as if children were independent, in units of the outcome (0 and 1)."""
    design = fit.design
    sums = cluster_sums(design)
    if sums is None:
        raise ValueError("the effect is not identified")
    fitted = design.x @ fit.coefficients
    # A cell of n children with k events: k (1 - f)^2 + (n - k) f^2.
    squares = design.weighted_outcome * (1 - 2 * fitted) + design.weight * fitted**2
    freedom = design.children_count - design.x.shape[1]
    variance = float(squares.sum()) / freedom * sums.bread[sums.treatment, sums.treatment]
    return infer(sums.estimate, float(np.sqrt(variance)), len(sums.gram), LEVEL, NAIVE, float(freedom))


def run_studies(
    design: SimulatedDesign, studies: int, seed: int, batch: int, effect: float, draws: Draws, logit_studies: int
) -> pd.DataFrame:
    """Estimate every study of a batch by every method; a row per study, model and method, columns `STUDY_COLUMNS`.

    Parameters
    ----------
    effect: at its full size, on the design's scale. draws: of bootstrap and permutation within a study.
    logit_studies: the first so many are estimated by logit and imputation too, which take longer.

    is_first marks the method that `sfpc.estimation.inference` puts first; numbers are proportions.
    """
    drawn, model = draw_studies(design, studies, seed, batch, effect), Model(design)
    rows: list[tuple[object, ...]] = []
    for number in range(studies):
        cells = model.design(drawn.children[number], drawn.events[number])
        mine = replace(draws, seed=draws.seed + number)
        fit = fit_linear(cells)
        found = {LINEAR: [*of_linear(fit, model.timing, LEVEL, mine), naive(fit)]}
        if number < logit_studies:
            found[LOGIT] = of_logit(fit_logit(cells), model.timing, LEVEL, mine)[0]
            counts = np.repeat(drawn.children[number], drawn.events.shape[2])
            found[IMPUTATION] = [impute_design(cells, counts).effect(LEVEL)]
        for name, methods in found.items():
            rows += [
                (
                    batch * studies + number,
                    name,
                    one.inference_method,
                    place == 0,
                    one.estimate,
                    float(drawn.truth[number]),
                    one.p_value,
                    one.ci_low,
                    one.ci_high,
                )
                for place, one in enumerate(methods)
            ]
    return pd.DataFrame(rows, columns=list(STUDY_COLUMNS))


def _months_on(day: date, months: int) -> date:
    total = 12 * day.year + day.month - 1 + months
    return date(total // 12, total % 12 + 1, 1)
