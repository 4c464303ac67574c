"""Multiple imputation of missing covariates by chained equations, with LAs and weights respected (FV.COV.4).

Nearly every predictor is a code, so sums over rows are counts by code: no design matrix is ever built, and a step of a
logit on 100,000 children takes milliseconds. `sfpc.estimation.pooling` makes one result of the imputations. Page:
docs/methods/missing_data.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

CATEGORICAL, LINEAR = "categorical", "linear"

# Logits of the imputation carry a normal prior of this standard deviation (log odds) on every coefficient but the
# intercept, so that a level without events does not run away (White, Daniel and Royston 2010 say why).
PRIOR_DEVIATION = 5.0
# Donors of predictive mean matching (mice's default).
DONORS = 5
# Newton's decrement below which a fit counts as found: no combination of coefficients is then 0.03 standard errors off.
FIT_TOLERANCE = 1e-3
FULL_STEPS, CHEAP_STEPS = 40, 12
# Factors are counted together as long as no more combinations of their levels occur.
LARGEST_BLOCK = 1_000


@dataclass(frozen=True)
class Imputations:
    """Completed sets of the same children.

    Attributes
    ----------
    rows: the children, missing values as they came.
    values: covariate -> (m, missing) imputed values, in the order of `positions`.
    positions: covariate -> (missing,) rows whose value is missing.
    numbers: (m,), which imputations these are, from 0.
    diagnostics: per covariate and level observed_share, imputed_share and, over chains, r_hat (for a linear covariate
        means instead of shares, level empty); r_hat is NaN where chains are shorter than four rounds or nothing moves.
    notes: sentences for the analyst.
    """

    rows: pd.DataFrame
    values: dict[str, NDArray[np.object_]]
    positions: dict[str, Codes]
    numbers: tuple[int, ...]
    diagnostics: pd.DataFrame
    notes: tuple[str, ...]

    def completed(self, place: int) -> pd.DataFrame:
        """The children with the values of one imputation, by its place in `numbers`."""
        out = self.rows.copy()
        for name, positions in self.positions.items():
            column = out[name].to_numpy(dtype=object, copy=True)
            column[positions] = self.values[name][place]
            kept = pd.Series(column, index=out.index)
            out[name] = kept.astype(np.float64) if isinstance(self.values[name][place][0], float) else kept
        return out


def impute(
    rows: pd.DataFrame,
    covariates: Mapping[str, str],
    factors: Sequence[str],
    linear: Sequence[str],
    cluster: str,
    weight: str | None = None,
    imputations: int = 20,
    iterations: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    numbers: Sequence[int] | None = None,
) -> Imputations:
    """Impute missing covariates by chained equations.

    Parameters
    ----------
    rows: one per child; null is missing.
    covariates: name -> 'categorical' or 'linear', the ones to impute. Each is a predictor of the others.
    factors: complete predictors that are codes: LA, year, treatment and a binary outcome belong among them.
    linear: complete numeric predictors, such as an outcome in days.
    cluster: the LA column, among `factors`.
    weight: matching weights, which the fits use; every row must have a positive one.
    imputations, iterations: completed sets, and rounds of each chain (one round where one covariate is missing).
    progress: called with completed sets done and wanted.
    numbers: which of the sets to make; all without it. A set does not depend on which others are made.

    A category is drawn from a multinomial logit, fitted as one logit of each level against the most frequent one (Begg
    and Gray 1984); a number by predictive mean matching. Parameters are drawn before values, by one step of a Bayesian
    bootstrap that gives exponential weights to whole LAs and, beside them, to children; every model has LA effects.

    ValueError where a predictor, the weight or the LA is missing or a covariate has no observed value.

    Source: FV.COV.4; van Buuren and Groothuis-Oudshoorn (2011) J. Statistical Software 45(3); Rubin (1987), chapter 5.
    """
    chosen = tuple(range(imputations)) if numbers is None else tuple(numbers)
    absent = {name: int(rows[name].isna().to_numpy().sum()) for name in covariates}
    names = sorted((name for name in covariates if absent[name]), key=lambda name: (absent[name], name))
    _check(rows, covariates, factors, linear, cluster, weight)
    weights = np.ones(len(rows)) if weight is None else rows[weight].to_numpy(dtype=np.float64)
    notes: list[str] = []
    state = _State.of(rows, names, covariates, factors, linear)
    models = {
        name: _model(state, name, covariates[name], weights, np.unique(rows[cluster], return_inverse=True)[1], notes)
        for name in names
    }
    # One set of starting values and of second derivatives for all chains, so that a chain depends on its number alone.
    generator = np.random.default_rng([seed, 0])
    state.fill(generator)
    for name in names:
        models[name].prepare(state)
    rounds = 1 if len(names) == 1 else iterations
    values: dict[str, list[NDArray[np.object_]]] = {name: [] for name in names}
    traces: dict[str, list[Array]] = {name: [] for name in names}
    slow: set[str] = set()
    for done, number in enumerate(chosen, start=1):
        generator = np.random.default_rng([seed, 1, number])
        state.fill(generator)
        path: dict[str, list[Array]] = {name: [] for name in names}
        for model in models.values():
            model.restart()
        for _ in range(rounds):
            for name in names:
                if not models[name].draw(state, generator):
                    slow.add(name)
                path[name].append(state.summary(name))
        for name in names:
            values[name].append(state.imputed(name))
            traces[name].append(np.array(path[name]))
        if progress is not None:
            progress(done, len(chosen))
    notes += [f"{name}: a logit of the imputation did not settle" for name in sorted(slow)]
    return Imputations(
        rows=rows,
        values={name: np.array(found, dtype=object) for name, found in values.items()},
        positions={name: state.positions[name] for name in names},
        numbers=chosen,
        diagnostics=_diagnostics(state, names, traces),
        notes=tuple(notes),
    )


def _check(
    rows: pd.DataFrame,
    covariates: Mapping[str, str],
    factors: Sequence[str],
    linear: Sequence[str],
    cluster: str,
    weight: str | None,
) -> None:
    if cluster not in factors:
        raise ValueError(f"column {cluster}: expected the LA among the factors of the imputation model")
    for name in (*factors, *linear, *([weight] if weight else [])):
        if rows[name].isna().any():
            count = int(rows[name].isna().sum())
            raise ValueError(f"column {name}: {count} rows without a value, expected none in a predictor or weight")
    if weight is not None and not (rows[weight] > 0).all():
        raise ValueError(f"column {weight}: expected a positive weight in every row")
    for name, kind in covariates.items():
        if kind not in (CATEGORICAL, LINEAR):
            raise ValueError(f"covariate {name}: kind '{kind}', expected '{CATEGORICAL}' or '{LINEAR}'")
        if len(rows) and rows[name].isna().all():
            raise ValueError(f"column {name}: every value is missing, expected some to learn from")


@dataclass
class _State:
    """Predictors as codes and numbers, with the current values of what is missing.

    codes: name -> (n,); code 0 is the most frequent level. numbers: name -> (n,), standardised; given: as they came.
    donors: name -> (missing,), rows whose numbers the missing ones have now.
    blocks: the complete factors, several taken together as long as few combinations occur: codes (n,) and the
        indicators (combinations, columns) that a code stands for.
    """

    codes: dict[str, Codes]
    levels: dict[str, list[object]]
    numbers: dict[str, Array]
    given: dict[str, Array]
    donors: dict[str, Codes]
    positions: dict[str, Codes]
    observed: dict[str, Codes]
    blocks: list[tuple[Codes, Array]]

    @classmethod
    def of(
        cls,
        rows: pd.DataFrame,
        names: Sequence[str],
        covariates: Mapping[str, str],
        factors: Sequence[str],
        linear: Sequence[str],
    ) -> _State:
        state = cls({}, {}, {}, {}, {}, {}, {}, [])
        coded = [*factors, *(name for name, kind in covariates.items() if kind == CATEGORICAL)]
        for name in coded:
            shares = rows[name].value_counts()
            # Equal counts go by name, so that the order of the rows does not matter.
            found = [(-int(n), str(level), level) for level, n in shares.items()]
            order = [level for _, _, level in sorted(found, key=lambda one: one[:2])]
            state.levels[name] = list(order)
            place = {level: code for code, level in enumerate(order)}
            state.codes[name] = np.array(rows[name].map(place).fillna(-1), dtype=np.int64)
        for name in (*linear, *(name for name, kind in covariates.items() if kind == LINEAR)):
            values = rows[name].to_numpy(dtype=np.float64)
            centre, scale = float(np.nanmean(values)), float(np.nanstd(values))
            state.given[name] = values
            state.numbers[name] = (values - centre) / (scale if scale > 0 else 1.0)
        for name in names:
            missing = rows[name].isna().to_numpy()
            state.positions[name], state.observed[name] = np.flatnonzero(missing), np.flatnonzero(~missing)
        for name in (name for name in coded if name not in state.positions):
            state.join(state.codes[name], np.eye(len(state.levels[name]))[:, 1:])
        return state

    def join(self, codes: Codes, indicators: Array) -> None:
        """Add a factor to the last block, or begin another where too many combinations would occur."""
        if self.blocks:
            held, design = self.blocks[-1]
            found, together = np.unique(held * len(indicators) + codes, return_inverse=True)
            if len(found) <= LARGEST_BLOCK:
                first, second = np.divmod(found, len(indicators))
                self.blocks[-1] = (together.astype(np.int64), np.hstack([design[first], indicators[second]]))
                return
        self.blocks.append((codes, indicators))

    def fill(self, generator: np.random.Generator) -> None:
        """Give every missing value an observed one by lot."""
        for name, positions in self.positions.items():
            drawn = generator.choice(self.observed[name], len(positions))
            if name in self.codes:
                self.codes[name][positions] = self.codes[name][drawn]
            else:
                self.take(name, drawn)

    def take(self, name: str, donors: Codes) -> None:
        """Give the missing numbers of a covariate those of other rows."""
        self.numbers[name][self.positions[name]] = self.numbers[name][donors]
        self.donors[name] = donors

    def summary(self, name: str) -> Array:
        """Shares of the levels, or the mean, among the imputed."""
        positions = self.positions[name]
        if name in self.codes:
            counts = np.bincount(self.codes[name][positions], minlength=len(self.levels[name]))
            return np.asarray(counts / len(positions), dtype=np.float64)
        return np.array([float(self.given[name][self.donors[name]].mean())])

    def imputed(self, name: str) -> NDArray[np.object_]:
        """(missing,), current values."""
        positions = self.positions[name]
        if name in self.codes:
            levels = np.empty(len(self.levels[name]), dtype=object)
            levels[:] = self.levels[name]
            return np.asarray(levels[self.codes[name][positions]], dtype=object)
        found = np.empty(len(positions), dtype=object)
        found[:] = self.given[name][self.donors[name]].tolist()
        return found


@dataclass
class _Columns:
    """An intercept, indicators of all levels but the first of each factor, and numbers, of some rows.

    blocks: codes of the rows, and the indicators (combinations, columns) that a code stands for.
    """

    blocks: list[tuple[Codes, Array]]
    numbers: list[Array]
    count: int

    @classmethod
    def of(cls, state: _State, without: str, rows: Codes, fixed: list[Codes] | None = None) -> _Columns:
        """fixed: from `fixed_codes`, to spare looking them up again."""
        known = cls.fixed_codes(state, rows) if fixed is None else fixed
        blocks = list(zip(known, [design for _, design in state.blocks], strict=True))
        for name in state.codes:
            if name in state.positions and name != without:
                blocks.append((state.codes[name][rows], np.eye(len(state.levels[name]))[:, 1:]))
        numbers = [values[rows] for name, values in state.numbers.items() if name != without]
        return cls(blocks, numbers, len(rows))

    @staticmethod
    def fixed_codes(state: _State, rows: Codes) -> list[Codes]:
        """Codes of what no imputation changes."""
        return [codes[rows] for codes, _ in state.blocks]

    @property
    def width(self) -> int:
        return 1 + sum(int(design.shape[1]) for _, design in self.blocks) + len(self.numbers)

    def index(self, coefficients: Array) -> Array:
        out = np.full(self.count, coefficients[0])
        at = 1
        for codes, design in self.blocks:
            out += (design @ coefficients[at : at + design.shape[1]])[codes]
            at += design.shape[1]
        for values in self.numbers:
            out += coefficients[at] * values
            at += 1
        return out

    def moment(self, values: Array) -> Array:
        """X'values."""
        parts = [np.array([values.sum()])]
        parts += [np.bincount(codes, weights=values, minlength=len(design)) @ design for codes, design in self.blocks]
        parts.append(np.array([float(numbers @ values) for numbers in self.numbers]))
        return np.concatenate(parts)

    def gram(self, weight: Array) -> Array:
        """X'WX by counting pairs of codes."""
        out = np.zeros((self.width, self.width))
        starts = np.cumsum([1, *(design.shape[1] for _, design in self.blocks)])
        out[0] = self.moment(weight)
        for i, (codes, design) in enumerate(self.blocks):
            own = slice(starts[i], starts[i + 1])
            counts = np.bincount(codes, weights=weight, minlength=len(design))
            out[own, own] = design.T @ (counts[:, None] * design)
            for j in range(i + 1, len(self.blocks)):
                others, theirs = self.blocks[j]
                shape = (len(design), len(theirs))
                pairs = np.bincount(codes * shape[1] + others, weights=weight, minlength=shape[0] * shape[1])
                out[own, starts[j] : starts[j + 1]] = design.T @ pairs.reshape(shape) @ theirs
            for k, numbers in enumerate(self.numbers):
                sums = np.bincount(codes, weights=weight * numbers, minlength=len(design))
                out[own, starts[-1] + k] = sums @ design
        for k, numbers in enumerate(self.numbers):
            for m in range(k, len(self.numbers)):
                out[starts[-1] + k, starts[-1] + m] = float((weight * numbers) @ self.numbers[m])
        return np.asarray(np.triu(out) + np.triu(out, 1).T, dtype=np.float64)


class _Model(ABC):
    """What the two kinds of covariates share: rows, weights and the lots of the bootstrap."""

    def __init__(self, name: str, state: _State, weight: Array, cluster: Codes) -> None:
        self.name = name
        self._weight = weight * len(weight) / weight.sum()
        self._cluster, self._clusters = cluster, int(cluster.max()) + 1 if len(cluster) else 0
        self._missing = state.positions[name]

    def _lots(self, generator: np.random.Generator) -> Array:
        """(n,), by how much the lots of a child's LA and its own exceed their mean of 1 together."""
        las = generator.standard_exponential(self._clusters) - 1.0
        return np.asarray(las[self._cluster] + generator.standard_exponential(len(self._cluster)) - 1.0)

    @abstractmethod
    def prepare(self, state: _State) -> None:
        """What all chains share."""

    @abstractmethod
    def restart(self) -> None:
        """Forget the chain before."""

    @abstractmethod
    def draw(self, state: _State, generator: np.random.Generator) -> bool:
        """Replace the missing values by drawn ones; whether the fit settled."""


@dataclass
class _Logit:
    """One level against the most frequent one."""

    rows: Codes
    event: Array
    fixed: list[Codes]
    start: Array = field(default_factory=lambda: np.zeros(0))
    start_inverse: Array = field(default_factory=lambda: np.zeros((0, 0)))
    current: Array = field(default_factory=lambda: np.zeros(0))
    inverse: Array = field(default_factory=lambda: np.zeros((0, 0)))


class _Categorical(_Model):
    def __init__(self, name: str, state: _State, weight: Array, cluster: Codes) -> None:
        super().__init__(name, state, weight, cluster)
        observed = state.observed[name]
        codes = state.codes[name][observed]
        self._logits = []
        for level in range(1, len(state.levels[name])):
            mine = (codes == 0) | (codes == level)
            rows, event = observed[mine], (codes[mine] == level).astype(np.float64)
            self._logits.append(_Logit(rows, event, _Columns.fixed_codes(state, rows)))

    def prepare(self, state: _State) -> None:
        for logit in self._logits:
            columns = _Columns.of(state, self.name, logit.rows, logit.fixed)
            logit.start = np.zeros(columns.width)
            logit.start_inverse, _, _ = self._fit(columns, logit, logit.start, FULL_STEPS, renew=True)

    def restart(self) -> None:
        for logit in self._logits:
            logit.current, logit.inverse = logit.start.copy(), logit.start_inverse

    def _fit(
        self, columns: _Columns, logit: _Logit, coefficients: Array, steps: int, renew: bool
    ) -> tuple[Array, Array, bool]:
        """Move `coefficients` to the maximum; with `renew` by Newton's own second derivatives, else by the ones kept.

        Returns the inverse information, event less chance, and whether the maximum was found.
        """
        weight = self._weight[logit.rows]
        prior = np.full(columns.width, PRIOR_DEVIATION**-2)
        prior[0] = 0.0
        inverse, residual = logit.inverse, logit.event
        for _ in range(steps):
            chance = expit(columns.index(coefficients))
            residual = logit.event - chance
            score = columns.moment(weight * residual) - prior * coefficients
            if renew:
                information = columns.gram(weight * chance * (1 - chance)) + np.diag(prior)
                inverse = np.asarray(np.linalg.pinv(information, hermitian=True), dtype=np.float64)
            move = inverse @ score
            decrement = float(score @ move)
            if decrement <= FIT_TOLERANCE:
                return inverse, residual, True
            # A step of more than three log odds anywhere leaves the region in which the curvature says anything.
            coefficients += move / max(1.0, float(np.abs(move).max()) / 3.0)
        return inverse, residual, False

    def draw(self, state: _State, generator: np.random.Generator) -> bool:
        if not self._logits:
            state.codes[self.name][self._missing] = 0
            return True
        lots = self._weight * self._lots(generator)
        target = _Columns.of(state, self.name, self._missing)
        index = np.zeros((len(self._missing), len(self._logits) + 1))
        is_found = True
        for level, logit in enumerate(self._logits, start=1):
            columns = _Columns.of(state, self.name, logit.rows, logit.fixed)
            inverse, residual, is_near = self._fit(columns, logit, logit.current, CHEAP_STEPS, renew=False)
            if not is_near:
                inverse, residual, is_near = self._fit(columns, logit, logit.current, FULL_STEPS, renew=True)
                logit.inverse = inverse
            is_found &= is_near
            score = columns.moment(lots[logit.rows] * residual)
            index[:, level] = target.index(logit.current + inverse @ score)
        index -= index.max(axis=1, keepdims=True)
        chance = np.exp(index)
        edges = np.cumsum(chance, axis=1)
        drawn = generator.random(len(self._missing)) * edges[:, -1]
        state.codes[self.name][self._missing] = (drawn[:, None] >= edges[:, :-1]).sum(axis=1)
        return is_found


class _Number(_Model):
    def __init__(self, name: str, state: _State, weight: Array, cluster: Codes) -> None:
        super().__init__(name, state, weight, cluster)
        self._observed = state.observed[name]
        self._value = state.numbers[name][self._observed]

    def prepare(self, state: _State) -> None:
        """Least squares has no start to keep."""

    def restart(self) -> None:
        """Nor anything to forget."""

    def draw(self, state: _State, generator: np.random.Generator) -> bool:
        weight = self._weight[self._observed]
        columns = _Columns.of(state, self.name, self._observed)
        inverse = np.linalg.pinv(columns.gram(weight), hermitian=True)
        coefficients = inverse @ columns.moment(weight * self._value)
        fitted = columns.index(coefficients)
        lots = self._lots(generator)[self._observed]
        drawn = coefficients + inverse @ columns.moment(weight * lots * (self._value - fitted))
        wanted = _Columns.of(state, self.name, self._missing).index(drawn)
        state.take(self.name, self._observed[_donors(fitted, wanted, generator)])
        return True


def _donors(fitted: Array, wanted: Array, generator: np.random.Generator) -> Codes:
    """For each wanted prediction one of the `DONORS` observed children whose predictions are nearest."""
    # Children with equal predictions stand in random order, or the same few would always be taken.
    shuffled = generator.permutation(len(fitted))
    order = shuffled[np.argsort(fitted[shuffled], kind="stable")]
    count = min(DONORS, len(fitted))
    place = np.searchsorted(fitted[order], wanted)
    near = np.clip(place[:, None] + np.arange(-count, count), 0, len(fitted) - 1)
    gap = np.abs(fitted[order][near] - wanted[:, None])
    # A place beyond the ends repeats the last child.
    gap[:, 1:][near[:, 1:] == near[:, :-1]] = np.inf
    nearest = np.argpartition(gap, count - 1, axis=1)[:, :count]
    taken = nearest[np.arange(len(wanted)), generator.integers(0, count, len(wanted))]
    return np.asarray(order[near[np.arange(len(wanted)), taken]], dtype=np.int64)


def _model(state: _State, name: str, kind: str, weight: Array, cluster: Codes, notes: list[str]) -> _Model:
    if kind == LINEAR:
        return _Number(name, state, weight, cluster)
    if len(state.levels[name]) == 1:
        notes.append(f"{name}: only one value is observed, which is given to all")
    return _Categorical(name, state, weight, cluster)


def _diagnostics(state: _State, names: Sequence[str], traces: Mapping[str, list[Array]]) -> pd.DataFrame:
    rows = []
    for name in names:
        chains = np.array(traces[name])
        r_hat = _r_hat(chains)
        observed = state.observed[name]
        if name in state.codes:
            shares = np.bincount(state.codes[name][observed], minlength=len(state.levels[name])) / len(observed)
            levels: list[object] = [str(level) for level in state.levels[name]]
        else:
            shares, levels = np.array([float(state.given[name][observed].mean())]), [None]
        for place, level in enumerate(levels):
            imputed = float(chains[:, -1, place].mean()) if len(chains) else float("nan")
            rows.append((name, level, float(shares[place]), imputed, float(r_hat[place])))
    return pd.DataFrame(rows, columns=["covariate", "level", "observed_share", "imputed_share", "r_hat"])


def _r_hat(chains: Array) -> Array:
    """(levels,) of chains (m, rounds, levels): how much a scale could still shrink, from their second halves.

    Source: Gelman and Rubin (1992) Statistical Science 7:457.
    """
    if chains.ndim != 3 or chains.shape[0] < 2 or chains.shape[1] < 4:
        return np.full(chains.shape[-1] if chains.ndim == 3 else 1, np.nan)
    kept = chains[:, chains.shape[1] // 2 :]
    length = kept.shape[1]
    within = kept.var(axis=1, ddof=1).mean(axis=0)
    between = kept.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt((length - 1) / length + between / within), dtype=np.float64)


__all__ = [
    "CATEGORICAL",
    "LINEAR",
    "Imputations",
    "impute",
]
