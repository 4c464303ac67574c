"""Conditional logit: effects of many small strata without estimating them (FV.EST.4).

Given how many children of a stratum have the event, its effect says nothing about which of them do. Every stratum of
the matching, or every pair, may then have an effect of its own without the bias that many indicators bring. Page:
docs/methods/conditional_logit.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from sfpc.estimation.cluster import ClusterCovariance, Estimate, cluster_covariance, infer
from sfpc.estimation.design import independent_of
from sfpc.estimation.result import Result, coefficient_table

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

CONDITIONAL_T = "CR1 by LA of the conditional logit, t(G-1)"
MAXIMUM_ITERATIONS = 50
MAXIMUM_HALVINGS = 30
# On Newton's decrement: a step this small moves no coefficient by a millionth of its error.
CONVERGENCE_TOLERANCE = 1e-14
# A coefficient with a larger error than this (log odds per standard deviation within strata) is not held by the data:
# where covariates separate the events it runs away and its error faster.
LARGEST_ERROR = 50.0
# Strata are worked through in pieces of at most this many numbers.
PIECE = 4_000_000
# A step of the recursion over types of children is this many times as fast as one over children: it is a product of
# matrices.
TYPES_ADVANTAGE = 10.0


@dataclass(frozen=True)
class ConditionalFit(Result):
    """A conditional logit.

    Attributes
    ----------
    names, coefficients: (K,), log odds, of the columns that vary within strata.
    covariance: CR1 by LA; model_covariance: (K, K), inverse of the information.
    log_likelihood, null_log_likelihood: at the estimate and without covariates.
    is_converged: False where the steps did not settle or the data do not hold a coefficient; the effect is then NaN.
    iterations: Newton steps.
    strata_count, children_count, event_count: of the strata that tell anything.
    dropped: strata left out, by reason -> (strata, children, events).
    notes: sentences for the analyst.
    """

    names: tuple[str, ...]
    coefficients: Array
    covariance: ClusterCovariance
    model_covariance: Array
    log_likelihood: float
    null_log_likelihood: float
    is_converged: bool
    iterations: int
    strata_count: int
    children_count: int
    event_count: int
    dropped: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def tidy(self) -> pd.DataFrame:
        """A row per coefficient: term, estimate, standard_error (CR1 by LA), in units of the coefficient."""
        return coefficient_table(self.names, self.coefficients, self.covariance.matrix)

    def log_odds_effect(self, name: str, level: float) -> Estimate:
        """Return the coefficient of a column in log odds (`exponentiated()` for the odds ratio); NaN if undefined.

        There is no marginal effect: it would need the strata's own effects, which this model leaves open.
        """
        groups, nan = self.covariance.cluster_count, float("nan")
        if name not in self.names or not self.is_converged:
            return infer(nan, nan, groups, level, CONDITIONAL_T)
        place = self.names.index(name)
        error = float(np.sqrt(self.covariance.matrix[place, place]))
        return infer(float(self.coefficients[place]), error, groups, level, CONDITIONAL_T)


def fit_conditional(x: Array, event: Array, stratum: Codes, cluster: Codes, names: tuple[str, ...]) -> ConditionalFit:
    """Maximise the exact conditional likelihood by Newton's method.

    Parameters
    ----------
    x: (children, K), without an intercept; the treatment last, so that it gives way to no other column.
    event: (children,), 0 or 1.
    stratum: (children,), codes of strata; cluster: (children,), codes of LAs.

    Strata without an event, with only events or with one child are left out and counted; so are columns that do not
    vary within the rest. There are no weights: matched strata balance the arms themselves. LAs may cross strata: what a
    child adds to the score counts for its LA, times sqrt(n / (n - 1)), which is right where a stratum's children come
    from n LAs and cautious where they share one. A stratum of n children of
    whom d have the event costs n times min(d, n - d) times K^2, whatever its size.

    Source: FV.EST.4; Gail, Lubin and Rubinstein (1981) Biometrika 68:703 (recursion); Chamberlain (1980) Review of
    Economic Studies 47:225.
    """
    if not np.isin(event, (0.0, 1.0)).all():
        raise ValueError("event: expected 0 or 1 for every child")
    order = np.argsort(stratum, kind="stable")
    codes, begin, size = np.unique(stratum[order], return_index=True, return_counts=True)
    events = np.add.reduceat(event[order], begin) if len(codes) else np.zeros(0)
    reasons = {
        "one child": size == 1,
        "no event": (size > 1) & (events == 0),
        "only events": (size > 1) & (events == size),
    }
    dropped = {
        reason: (int(mine.sum()), int(size[mine].sum()), int(events[mine].sum())) for reason, mine in reasons.items()
    }
    used = (events > 0) & (events < size)
    notes = [
        f"{strata} strata with {children} children left out: {reason}"
        for reason, (strata, children, _) in dropped.items()
        if strata
    ]
    rows = order[np.repeat(used, size)]
    groups = len(np.unique(cluster[rows]))
    code = np.repeat(np.arange(int(used.sum())), size[used])
    kept_names, centred = _varying(x[rows], code, names, notes)
    strata, children, total = int(used.sum()), len(rows), int(events[used].sum())
    if not len(kept_names):
        notes.append("nothing varies within strata that have children with and without the event: no estimate")
        nan = np.full((0, 0), np.nan)
        return ConditionalFit(
            (), np.zeros(0), ClusterCovariance(nan, float("nan"), groups), nan, float("nan"), float("nan"), False, 0,
            strata, children, total, dropped, tuple(notes),
        )  # fmt: skip
    # Columns of standard deviation 1 within strata: percentages beside indicators would be ill-conditioned.
    length = np.sqrt(np.mean(np.square(centred), axis=0))
    problem = _Strata(centred / length, event[rows], code)
    found = _maximise(problem, len(kept_names))
    try:
        bread = np.asarray(np.linalg.inv(found.information), dtype=np.float64)
    except np.linalg.LinAlgError:
        bread = np.full((len(kept_names), len(kept_names)), np.nan)
    is_held = bool(np.all(np.diag(bread) < LARGEST_ERROR**2))
    if not (found.is_converged and is_held):
        notes.append("the conditional logit did not settle (covariates may separate the events): no estimate")
    # Given their number, events of a stratum exclude each other: squares of single children fall short by n / (n - 1).
    short = size[used] / (size[used] - 1.0)
    scores = problem.scores(found.coefficients) * np.sqrt(short)[code][:, None]
    robust = cluster_covariance(bread, scores, cluster[rows], rows=children, parameters=len(kept_names))
    scale = np.outer(length, length)
    return ConditionalFit(
        names=kept_names,
        coefficients=found.coefficients / length,
        covariance=ClusterCovariance(robust.matrix / scale, robust.factor, robust.cluster_count),
        model_covariance=bread / scale,
        log_likelihood=found.value,
        null_log_likelihood=problem.derivatives(np.zeros(len(kept_names)))[0],
        is_converged=found.is_converged and is_held,
        iterations=found.iterations,
        strata_count=strata,
        children_count=children,
        event_count=total,
        dropped=dropped,
        notes=tuple(notes),
    )


def _varying(x: Array, code: Codes, names: tuple[str, ...], notes: list[str]) -> tuple[tuple[str, ...], Array]:
    """Columns less their mean in the stratum, those that the others or the strata fix left out."""
    count = np.bincount(code)
    centred = np.empty_like(x)
    for column in range(x.shape[1]):
        mean = np.bincount(code, weights=x[:, column], minlength=len(count)) / np.maximum(count, 1)
        centred[:, column] = x[:, column] - mean[code] if len(code) else x[:, column]
    before, after = np.sum(np.square(x), axis=0), np.sum(np.square(centred), axis=0)
    kept = after > 1e-10 * np.where(before > 0, before, 1.0)
    kept[kept] = independent_of(centred[:, kept].T @ centred[:, kept])
    lost = [name for name, is_kept in zip(names, kept, strict=True) if not is_kept]
    if lost and len(code):
        notes.append(f"left out, since strata or other columns fix them: {', '.join(lost)}")
    return tuple(name for name, is_kept in zip(names, kept, strict=True) if is_kept), centred[:, kept]


@dataclass(frozen=True)
class _Batch:
    """Strata of one number of events, sorted by falling size; `rows[s, i]` is child i of stratum s."""

    rows: Codes
    size: Codes
    events: int


class _Strata:
    """The conditional likelihood.

    With p_i = expit(eta_i + a) for any a of the stratum, the probability of its events given their number is the
    product of p and 1 - p over its children divided by P(sum = d), a being free. P is built up child by child: with q
    = 1 - p, P_j <- P_j q + P_(j-1) p. With a such that d events are expected nothing under- or overflows. The
    derivatives follow by the same recursion.
    """

    def __init__(self, x: Array, event: Array, code: Codes) -> None:
        count = np.bincount(code)
        events = np.bincount(code, weights=event).astype(np.int64)
        begin = np.concatenate([[0], np.cumsum(count)[:-1]])
        # More events than not: the same likelihood with both swapped and the sign turned is shorter.
        swapped = 2 * events > count
        self._sign = np.where(swapped, -1.0, 1.0)[code]
        self._x, self._event = x * self._sign[:, None], np.where(swapped[code], 1.0 - event, event)
        self._code, self._count = code, count
        self._offset = np.log(np.minimum(events, count - events) / np.maximum(events, count - events))
        few = np.minimum(events, count - events)
        self._types = _Types.of(self._x, code, few)
        self._batches = list(self._batched(begin, count, few)) if self._types is None else []

    def _batched(self, begin: Codes, count: Codes, few: Codes) -> Iterator[_Batch]:
        width = self._x.shape[1]
        for d in np.unique(few):
            mine = np.flatnonzero(few == d)
            mine = mine[np.argsort(-count[mine], kind="stable")]
            while len(mine):
                # A batch keeps the state of every stratum (d + 1 times K^2) and the prefixes of every child.
                each = (int(d) + 1) * max(width * (width + 1), int(count[mine[0]]) + 1)
                taken, mine = mine[: max(1, PIECE // each)], mine[max(1, PIECE // each) :]
                longest = int(count[taken[0]])
                rows = np.minimum(begin[taken][:, None] + np.arange(longest), len(self._code) - 1)
                yield _Batch(rows.astype(np.int64), count[taken], int(d))

    def _probabilities(self, coefficients: Array) -> Array:
        index = self._x @ coefficients
        # The mean index of a stratum is 0 to first order, columns being centred; what is left is near enough.
        mean = np.bincount(self._code, weights=index) / self._count
        return np.asarray(expit(index - mean[self._code] + self._offset[self._code]), dtype=np.float64)

    def derivatives(self, coefficients: Array) -> tuple[float, Array, Array]:
        """Log likelihood, gradient (K,) and information (K, K)."""
        p = np.clip(self._probabilities(coefficients), 1e-300, 1 - 1e-16)
        value = float(self._event @ np.log(p) + (1 - self._event) @ np.log1p(-p))
        if self._types is not None:
            chance, logarithm, information = self._types.moments(p)
            return value - logarithm, self._x.T @ (self._event - chance), information
        gradient = self._x.T @ (self._event - p)
        spread = p * (1 - p)
        information = (self._x * spread[:, None]).T @ self._x
        width = len(coefficients)
        for batch in self._batches:
            strata, d = len(batch.size), batch.events
            f = np.zeros((strata, d + 1))
            f[:, 0] = 1.0
            first = np.zeros((strata, d + 1, width))
            second = np.zeros((strata, d + 1, width, width))
            for place in range(batch.rows.shape[1]):
                live = int(np.searchsorted(-batch.size, -place, side="left"))
                row = batch.rows[:live, place]
                chance, x = p[row][:, None], self._x[row]
                slope = (chance * (1 - chance))[:, :, None]
                old, old_first = f[:live], first[:live]
                step = _shifted(old) - old
                step_first = _shifted(old_first) - old_first
                cross = step_first[:, :, :, None] * x[:, None, None, :]
                bend = slope * (1 - 2 * chance)[:, :, None]
                second[:live] += (
                    chance[:, :, None, None] * (_shifted(second[:live]) - second[:live])
                    + slope[..., None] * (cross + cross.swapaxes(2, 3))
                    + (bend * step[:, :, None])[..., None] * (x[:, :, None] * x[:, None, :])[:, None]
                )
                first[:live] = old_first + chance[:, :, None] * step_first + slope * step[:, :, None] * x[:, None, :]
                f[:live] = old + chance * step
            last = f[:, d]
            relative = first[:, d] / last[:, None]
            value -= float(np.log(last).sum())
            gradient = gradient - relative.sum(axis=0)
            information = information + (second[:, d] / last[:, None, None]).sum(axis=0) - relative.T @ relative
        return value, gradient, information

    def scores(self, coefficients: Array) -> Array:
        """(children, K), what each child adds to the gradient, given the number of events of its stratum.

        (x - m)(event - c) with c the chance of the child to be among those with the event and m the mean of x with the
        weights c (1 - c): what a child adds when the stratum's effect is estimated too.
        """
        chance = self._inclusion(self._probabilities(coefficients))
        weight = chance * (1 - chance)
        total = np.bincount(self._code, weights=weight)
        out = np.empty_like(self._x)
        for column in range(self._x.shape[1]):
            values = self._x[:, column]
            mean = np.bincount(self._code, weights=weight * values) / total
            out[:, column] = (values - mean[self._code]) * (self._event - chance)
        return out

    def _inclusion(self, p: Array) -> Array:
        """(children,), chance to be among the d of the stratum: p_i P(d - 1 among the others) / P(d)."""
        if self._types is not None:
            return self._types.moments(p)[0]
        out = np.empty(len(p))
        for batch in self._batches:
            strata, d, longest = len(batch.size), batch.events, batch.rows.shape[1]
            before = np.zeros((longest + 1, strata, d + 1))
            before[0, :, 0] = 1.0
            chances = np.where(np.arange(longest) < batch.size[:, None], p[batch.rows], 0.0)
            for place in range(longest):
                step = _shifted(before[place]) - before[place]
                before[place + 1] = before[place] + chances[:, place, None] * step
            after = np.zeros((strata, d + 1))
            after[:, 0] = 1.0
            for place in range(longest - 1, -1, -1):
                others = np.einsum("sj,sj->s", before[place][:, :d], after[:, d - 1 :: -1][:, :d])
                live = batch.size > place
                out[batch.rows[live, place]] = (chances[:, place] * others / before[longest][:, d])[live]
                after = after + chances[:, place, None] * (_shifted(after) - after)
        return out


@dataclass(frozen=True)
class _Types:
    """Strata as counts of equal children, for covariates that take few values in a stratum.

    How many of each type have the event, given how many have it in all, is a product of binomials given their sum: with
    types instead of children the recursion has a handful of steps, and its moments are those of the types' counts.

    Attributes
    ----------
    type_of: (children,), type of each child, numbered over all strata.
    rows: (types,), a child of each type. x: (types, K). size: (types,).
    batches: strata of one number of events d: d, and (strata, T) types, -1 where a stratum has fewer.
    """

    type_of: Codes
    rows: Codes
    x: Array
    size: Codes
    batches: tuple[tuple[int, Codes], ...]

    @classmethod
    def of(cls, x: Array, code: Codes, few: Codes) -> _Types | None:
        """few: (strata,), events or, where these are fewer, the others. None where children one by one are faster."""
        _, row_code = np.unique(x, axis=0, return_inverse=True)
        key = code * (int(row_code.max()) + 1) + row_code
        _, rows, type_of, size = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        stratum = code[rows]
        held = np.bincount(stratum, minlength=len(few))
        by_type = float(np.sum(held**3.0 * (few + 1.0) ** 2))
        by_child = float(np.sum(np.bincount(code) * (few + 1.0))) * x.shape[1] ** 2
        if by_type > TYPES_ADVANTAGE * by_child:
            return None
        first = np.concatenate([[0], np.cumsum(held)[:-1]])
        batches = []
        for d in np.unique(few):
            mine = np.flatnonzero(few == d)
            width = int(held[mine].max())
            # The states of a stratum: T^2 / 2 pairs of types by d + 1.
            step = max(1, PIECE // (width * width * (int(d) + 1) ** 2))
            for begin in range(0, len(mine), step):
                taken = mine[begin : begin + step]
                place = np.arange(width)
                batches.append(
                    (int(d), np.where(place < held[taken][:, None], first[taken][:, None] + place, -1).astype(np.int64))
                )
        return cls(type_of.astype(np.int64), rows, x[rows], size.astype(np.int64), tuple(batches))

    def moments(self, p: Array) -> tuple[Array, float, Array]:
        """Chance of each child (children,), sum of the logarithms of P(d), and the covariance of X'events (K, K).

        p: (children,), chances that are equal within a type and free by stratum.
        """
        chance = np.zeros(len(self.rows))
        logarithm, covariance = 0.0, np.zeros((self.x.shape[1], self.x.shape[1]))
        for d, types in self.batches:
            strata, width = types.shape
            held = types >= 0
            count = np.where(held, self.size[types], 0)
            each = np.where(held, p[self.rows[types]], 0.5)
            events = np.arange(d + 1.0)
            # (strata, T, d + 1), chance that j of a type have the event.
            alone = stats.binom.pmf(events, count[:, :, None], each[:, :, None])
            # A product of polynomials in the number of events, of degree d at most, is one with a triangular matrix.
            lag = np.subtract.outer(np.arange(d + 1), np.arange(d + 1)).T
            nothing = np.zeros((strata, 1, d + 1))
            nothing[:, 0, 0] = 1.0
            # States: plain; with j of one type as a factor; with j k of two types (j^2 of one).
            state, pairs = nothing, []
            for place in range(width):
                table = [alone[:, place] * events**power for power in range(3)]
                by = [np.where(lag >= 0, values[:, np.abs(lag)], 0.0) for values in table]
                moved = state[:, : 1 + place] @ by[1]
                state = np.concatenate(
                    [state[:, : 1 + place] @ by[0], moved[:, :1], state[:, 1 + place :] @ by[0], moved[:, 1:],
                     state[:, :1] @ by[2]],
                    axis=1,
                )  # fmt: skip
                pairs += [*((other, place) for other in range(place)), (place, place)]
            final = state[:, :, d] / state[:, :1, d]
            logarithm += float(np.log(state[:, 0, d]).sum())
            mean = final[:, 1 : 1 + width]
            square = np.zeros((strata, width, width))
            for number, (one, other) in enumerate(pairs, start=1 + width):
                square[:, one, other] = square[:, other, one] = final[:, number]
            spread = square - mean[:, :, None] * mean[:, None, :]
            x = np.where(held[:, :, None], self.x[types], 0.0)
            covariance += np.tensordot(x, spread @ x, axes=([0, 1], [0, 1]))
            chance[types[held]] = mean[held] / count[held]
        return chance[self.type_of], logarithm, covariance


def _shifted(values: Array) -> Array:
    """The entry before each along the second axis, 0 before the first."""
    out = np.zeros_like(values)
    out[:, 1:] = values[:, :-1]
    return out


@dataclass(frozen=True)
class _Maximum:
    coefficients: Array
    value: float
    information: Array
    iterations: int
    is_converged: bool


def _maximise(problem: _Strata, width: int) -> _Maximum:
    coefficients = np.zeros(width)
    value, gradient, information = problem.derivatives(coefficients)
    for iterations in range(MAXIMUM_ITERATIONS):
        try:
            direction = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            return _Maximum(coefficients, value, information, iterations, False)
        decrement = float(gradient @ direction)
        if not np.isfinite(decrement) or decrement < 0:
            return _Maximum(coefficients, value, information, iterations, False)
        if decrement <= CONVERGENCE_TOLERANCE:
            return _Maximum(coefficients, value, information, iterations, True)
        step = 1.0
        for _ in range(MAXIMUM_HALVINGS):
            proposed = problem.derivatives(coefficients + step * direction)
            if np.isfinite(proposed[0]) and proposed[0] >= value - 1e-12 * abs(value):
                break
            step /= 2
        else:
            return _Maximum(coefficients, value, information, iterations, False)
        coefficients, (value, gradient, information) = coefficients + step * direction, proposed
    return _Maximum(coefficients, value, information, MAXIMUM_ITERATIONS, False)


__all__ = ["CONDITIONAL_T", "ConditionalFit", "fit_conditional"]
