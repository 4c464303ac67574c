"""Power by simulation: many studies of one roll-out, made up cell by cell and analysed as the real one (FV.POWER.1).

An LA's share in a quarter is its lasting level plus national movement, a common shock to which LAs are differently
sensitive, a trend and an autoregressive shock of its own; the children of a cell are drawn from it (methods E). Each
study is estimated with LA and period effects, and tested with CR3 and t(G - 1), all studies at once, or with the wild
cluster bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sfpc.estimation.cluster import small_sample_factor
from sfpc.estimation.design import independent_of
from sfpc.estimation.few_clusters import CR3_T, WILD_BOOTSTRAP, ClusterSums, wild_bootstrap
from sfpc.power.formulas import NotEstimableError
from sfpc.power.rollout import Rollout

# A share of children stays this far from 0 and 1 whatever the shocks.
_EDGE = 0.0005


@dataclass(frozen=True)
class Movements:
    """How shares of LAs move, as proportions.

    Attributes
    ----------
    shock_sd, shock_autocorrelation: of the LA-by-period shock, an AR(1) with this spread in every period.
    national_step_sd: step of the national random walk. la_trend_sd: LA trends, per period.
    common_shock: first day, last day, size in an LA of usual sensitivity; None without.
    common_shock_sensitivity_sd: of the logarithm of an LA's sensitivity to it.
    """

    shock_sd: float
    shock_autocorrelation: float
    national_step_sd: float
    la_trend_sd: float
    common_shock: tuple[date, date, float] | None = None
    common_shock_sensitivity_sd: float = 0.0


@dataclass(frozen=True)
class Simulated:
    """Power at one planted effect.

    effect: planted, as a proportion. realised_effect: mean over treated children, after clipping at 0 and 1.
    power: share (0 to 1) of studies with p below the level. monte_carlo_error: of that share.
    mean_estimate, sd_estimate: over studies, as proportions. replications: studies.
    """

    effect: float
    method: str
    power: float
    monte_carlo_error: float
    realised_effect: float
    mean_estimate: float
    sd_estimate: float
    replications: int


def beta_parameters(mean: float, icc: float) -> tuple[float, float]:
    """Beta distribution of LA shares with this mean and intra-cluster correlation: icc = 1/(a + b + 1).

    mean 0.04 and icc 0.01566 give a = 2.5143, b = 60.343 (methods E).
    """
    if not (0 < mean < 1 and 0 < icc < 1):
        raise ValueError(f"mean {mean} and icc {icc}; both are expected between 0 and 1")
    total = 1 / icc - 1
    return mean * total, (1 - mean) * total


def draw_shares(
    rollout: Rollout, mean: float, lasting_icc: float, movements: Movements, replications: int, seed: int
) -> NDArray[np.float64]:
    """(R, G, T) shares without the programme.

    lasting_icc: intra-cluster correlation of the lasting levels alone; 0 for equal levels.
    """
    generator = np.random.default_rng(seed)
    groups, periods = rollout.treated.shape
    size = (replications, groups)
    level = generator.beta(*beta_parameters(mean, lasting_icc), size=size) if lasting_icc > 0 else np.full(size, mean)
    shock = np.empty((*size, periods))
    steps = generator.normal(0.0, movements.shock_sd, size=(*size, periods))
    phi = movements.shock_autocorrelation
    shock[..., 0] = steps[..., 0]
    for period in range(1, periods):
        shock[..., period] = phi * shock[..., period - 1] + np.sqrt(1 - phi**2) * steps[..., period]
    national = np.cumsum(generator.normal(0.0, movements.national_step_sd, size=(replications, periods)), axis=1)
    national -= national.mean(axis=1, keepdims=True)
    trend = generator.normal(0.0, movements.la_trend_sd, size=size)[..., None] * (np.arange(periods) - periods / 2)
    sensitivity = generator.lognormal(0.0, movements.common_shock_sensitivity_sd, size=size)
    hit = np.zeros(periods)
    if movements.common_shock is not None:
        first, last, amount = movements.common_shock
        hit = np.array([amount if first <= day <= last else 0.0 for day in rollout.periods])
    shares = level[..., None] + shock + national[:, None, :] + trend + sensitivity[..., None] * hit
    return np.asarray(np.clip(shares, _EDGE, 1 - _EDGE), dtype=np.float64)


def simulate_power(
    rollout: Rollout,
    shares: NDArray[np.float64],
    effects: Sequence[float],
    significance_level: float,
    seed: int,
    bootstrap_replications: int = 0,
    bootstrap_draws: int = 999,
) -> list[Simulated]:
    """Power at each effect, by CR3 and, for the first ``bootstrap_replications`` studies, by the wild bootstrap.

    Parameters
    ----------
    shares: (R, G, T) of `draw_shares`; the same studies serve every effect.
    effects: added to the share of treated children, as proportions.

    Raises NotEstimableError where the roll-out does not identify an effect, with or without some LA.
    """
    design = _Design.of(rollout)
    generator = np.random.default_rng(seed)
    count = rollout.children.round().astype(np.int64)
    treated_children = rollout.treated * rollout.children
    critical = stats.t.ppf(1 - significance_level / 2, design.groups - 1)
    found: list[Simulated] = []
    for effect in effects:
        raised = np.clip(shares + effect, 0.0, 1.0)
        probability = shares + rollout.treated * (raised - shares)
        realised = float(((raised - shares) * treated_children).sum() / (treated_children.sum() * len(shares)))
        means = generator.binomial(count, probability) / np.where(count > 0, count, 1)
        moments = design.moments(means)
        estimates, errors = design.estimates(moments)
        rejected = np.abs(estimates) > critical * errors
        about = (realised, float(estimates.mean()), float(estimates.std(ddof=1)))
        found.append(_simulated(effect, CR3_T, rejected, *about))
        if bootstrap_replications:
            chosen = moments[:bootstrap_replications]
            rejected = np.array(
                [
                    wild_bootstrap(design.sums(m), significance_level, bootstrap_draws, seed, ends=False).effect.p_value
                    <= significance_level
                    for m in chosen
                ]
            )
            found.append(_simulated(effect, WILD_BOOTSTRAP, rejected, *about))
    return found


def as_frame(found: Sequence[Simulated]) -> pd.DataFrame:
    """One row per effect and method, the fields of `Simulated` as columns."""
    return pd.DataFrame([vars(row) for row in found], columns=list(Simulated.__dataclass_fields__))


def _simulated(
    effect: float, method: str, rejected: NDArray[np.bool_], realised: float, mean: float, spread: float
) -> Simulated:
    power = float(rejected.mean())
    error = float(np.sqrt(power * (1 - power) / len(rejected)))
    return Simulated(effect, method, power, error, realised, mean, spread, len(rejected))


@dataclass(frozen=True)
class _Design:
    """What does not change from study to study: with LA means taken out, X'W of each LA and the inverses it needs.

    weighted: (G, T, K), rows of X times their weight. gram: (G, K, K). full: (K,) row of the effect in the inverse.
    without: (G, K), the same without each LA.
    """

    weighted: NDArray[np.float64]
    gram: NDArray[np.float64]
    full: NDArray[np.float64]
    without: NDArray[np.float64]
    factor: float

    @property
    def groups(self) -> int:
        return len(self.gram)

    @classmethod
    def of(cls, rollout: Rollout) -> _Design:
        groups, periods = rollout.treated.shape
        weight = rollout.children
        if not (weight.sum(axis=1) > 0).all():
            raise NotEstimableError("an LA without children cannot be simulated")
        columns = np.concatenate(
            [np.broadcast_to(np.eye(periods)[:, 1:], (groups, periods, periods - 1)), rollout.treated[..., None]],
            axis=2,
        )
        mean = (weight[..., None] * columns).sum(axis=1) / weight.sum(axis=1)[:, None]
        x = columns - mean[:, None, :]
        weighted = weight[..., None] * x
        gram = np.einsum("gtk,gtl->gkl", weighted, x)
        total = gram.sum(axis=0)
        factor = small_sample_factor(int(weight.sum()), periods + 1, groups)
        without = np.array([_row_of_effect(total - own, total) for own in gram])
        return cls(weighted, gram, _row_of_effect(total, total), without, factor)

    def moments(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R, G, K) from (R, G, T)."""
        return np.asarray(np.einsum("gtk,rgt->rgk", self.weighted, means, optimize=True), dtype=np.float64)

    def estimates(self, moments: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(R,) effects and (R,) CR3 errors: the jackknife over LAs, as `few_clusters.cr3` has it."""
        total = moments.sum(axis=1)
        estimate = total @ self.full
        without = np.einsum("rgk,gk->rg", total[:, None, :] - moments, self.without)
        groups = self.groups
        error = np.sqrt((groups - 1) / groups * np.square(without - estimate[:, None]).sum(axis=1))
        return estimate, error

    def sums(self, moment: NDArray[np.float64]) -> ClusterSums:
        """One study in the form of the estimation layer."""
        count = self.gram.shape[1]
        return ClusterSums(self.gram, moment, count - 1, self.factor, np.arange(count))


def _row_of_effect(gram: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,), the last row of the inverse, 0 for columns that are not estimable."""
    candidates = np.flatnonzero(np.diag(gram) > 1e-9 * np.diag(scale))
    kept = candidates[independent_of(gram[np.ix_(candidates, candidates)])]
    if not len(kept) or kept[-1] != len(gram) - 1:
        raise NotEstimableError("the roll-out does not identify an effect, with or without some LA")
    row = np.zeros(len(gram))
    unit = np.zeros(len(kept))
    unit[-1] = 1.0
    row[kept] = np.linalg.solve(gram[np.ix_(kept, kept)], unit)
    return row
