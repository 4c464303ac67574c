"""Inference on the effect with few LAs: wild cluster bootstrap, CR2, CR3 and permutation (FV.EST.3).

All of it works on sums over each LA's children, after the LA effects are taken out: with K covariates and G LAs,
X'WX and X'Wy per LA are everything that these methods need of the data, however many children there are. A draw of
the bootstrap then costs G^2 operations. Page: docs/methods/few_clusters.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sfpc.estimation.cluster import Estimate, infer, runs, small_sample_factor
from sfpc.estimation.design import Design, independent_of
from sfpc.estimation.logit import HeldFit, LogitFit, fit_with_effect_held
from sfpc.estimation.result import Result

CR2_T = "CR2 by LA, Satterthwaite"
CR3_T = "CR3 (jackknife) by LA, t(G-1)"
WILD_BOOTSTRAP = "wild cluster bootstrap, null imposed"
SCORE_BOOTSTRAP = "score cluster bootstrap, null imposed"

# Up to this many LAs every sign pattern is used; beyond, draws (Rademacher has 2^(G-1) distinct statistics).
ENUMERATED_CLUSTERS = 15
# Below this many LAs the sign patterns are too few for small p-values: Webb's six points instead.
WEBB_CLUSTERS = 8
# A bootstrap statistic that equals the observed one but for rounding counts as reaching it.
TIE_TOLERANCE = 1e-10
# Share of a direction that must be left for it to count as estimable, relative to its own length.
RANK_TOLERANCE = 1e-9
# The interval is searched within this many standard errors on each side.
WIDEST_SEARCH = 60.0
BISECTIONS = 60
# Ends of the logit's interval are found to this share of a standard error: each step is a fit.
SCORE_TOLERANCE = 0.01


@dataclass(frozen=True)
class ClusterSums:
    """What the linear model is about, LA by LA, with LA effects taken out.

    Attributes
    ----------
    gram: (G, K, K), X'WX of each LA, X less its LA means; columns without the LA effects and the intercept.
    moment: (G, K), X'Wy of each LA.
    treatment: position of the treatment among the K columns.
    factor: small-sample factor of CR1.
    columns: (K,), where the K columns stand in the design.
    """

    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    treatment: int
    factor: float
    columns: NDArray[np.int64]

    @property
    def cluster_count(self) -> int:
        """G."""
        return len(self.gram)

    @cached_property
    def bread(self) -> NDArray[np.float64]:
        """(K, K), inverse of X'WX over all LAs."""
        return inverse_of(self.gram.sum(axis=0))

    @cached_property
    def coefficients(self) -> NDArray[np.float64]:
        """(K,), weighted least squares."""
        return np.asarray(self.bread @ self.moment.sum(axis=0), dtype=np.float64)

    @property
    def estimate(self) -> float:
        """b1, in units of the outcome."""
        return float(self.coefficients[self.treatment])

    def scores(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(G, K), X'W(y - Xb) of each LA."""
        return np.asarray(self.moment - self.gram @ coefficients, dtype=np.float64)


def cluster_sums(design: Design) -> ClusterSums | None:
    """Sum a design by LA; None where the treatment is not identified or there are fewer than two LAs.

    Taking out LA means leaves the coefficients and scores of the model with LA effects unchanged (Frisch and Waugh
    1933), and a bootstrap that multiplies all residuals of an LA by one number commutes with it.
    """
    if design.treatment_column is None or len(design.cluster_names) < 2:
        return None
    groups, width = len(design.cluster_names), design.x.shape[1]
    before, gram, moment = np.zeros(width), np.zeros((groups, width, width)), np.zeros((groups, width))
    for group, mine in by_cluster(design):
        weight, rows, outcome = design.weight[mine], design.x[mine], design.weighted_outcome[mine]
        before += weight @ np.square(rows)
        # Children without the LA's mean: the weighted outcome of a cell is a sum, its share of the mean goes by weight.
        x = rows - (weight @ rows) / weight.sum()
        gram[group] = (x * weight[:, None]).T @ x
        moment[group] = x.T @ (outcome - weight * (outcome.sum() / weight.sum()))
    varies = np.einsum("gkk->k", gram) > RANK_TOLERANCE * np.where(before > 0, before, 1.0)
    if not varies[design.treatment_column]:
        return None
    treatment = int(varies[: design.treatment_column].sum())
    gram, moment = np.ascontiguousarray(gram[:, varies][:, :, varies]), moment[:, varies]
    factor = small_sample_factor(design.children_count, design.parameter_count, groups)
    return ClusterSums(gram, moment, treatment, factor, np.flatnonzero(varies))


def by_cluster(design: Design) -> Iterator[tuple[int, slice | NDArray[np.int64]]]:
    """Code and rows of each LA; a slice where they stand together, which spares a copy."""
    order, starts = runs(design.cluster)
    ends = np.append(starts[1:], len(design.cluster))
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        mine = slice(begin, end) if order is None else order[begin:end]
        yield int(design.cluster[begin if order is None else order[begin]]), mine


# --- CR2 and CR3 ------------------------------------------------------------------------------------------------------


def cr2(sums: ClusterSums, significance_level: float) -> Estimate:
    """CR2 with Satterthwaite degrees of freedom, in units of the outcome.

    Each LA's scores are inflated by the inverse square root of one less its own leverage, so that the variance is
    unbiased were the children independent with variance 1/w. The degrees of freedom match the first two moments of
    the variance under the same model. All matrices have the size of the coefficients: with X'WX = A, A^-1 = LL',
    the leverage of LA g acts on the columns of X only, through I - L'A_g L.

    Source: Bell and McCaffrey (2002) Survey Methodology 28:169; Pustejovsky and Tipton (2018) J. Business and Economic
    Statistics 36:672, equations 9 to 11.
    """
    root = np.linalg.cholesky(symmetric(sums.bread))
    contrast = np.asarray(root[sums.treatment], dtype=np.float64)
    scores = sums.scores(sums.coefficients) @ root
    inner = np.einsum("ki,gkl,lj->gij", root, sums.gram, root)
    adjusted = np.zeros((sums.cluster_count, len(contrast)))
    own = np.zeros(sums.cluster_count)
    for group, leverage in enumerate(inner):
        values, vectors = np.linalg.eigh(symmetric(np.eye(len(contrast)) - leverage))
        # A direction that one LA alone determines has no residual in it: the generalised inverse leaves it out.
        usable = values > RANK_TOLERANCE
        power = np.where(usable, np.where(usable, values, 1.0) ** -0.5, 0.0)
        adjusted[group] = vectors @ (power * (vectors.T @ contrast))
        own[group] = adjusted[group] @ leverage @ adjusted[group]
    pieces = np.einsum("gi,gi->g", adjusted, scores)
    error = float(np.sqrt(np.sum(pieces**2)))
    spread = np.einsum("gij,gj->gi", inner, adjusted)
    moments = np.diag(own) - spread @ spread.T
    freedom = float(np.trace(moments) ** 2 / np.sum(moments**2))
    return infer(sums.estimate, error, sums.cluster_count, significance_level, CR2_T, freedom)


def cr3(sums: ClusterSums, significance_level: float) -> Estimate:
    """CR3 as the jackknife over LAs, (G - 1)/G times the sum of (b without g - b)^2, with t(G - 1).

    NaN where the effect is not identified without some LA.

    Source: MacKinnon, Nielsen and Webb (2023) J. Econometrics 232:272 (CV3).
    """
    without = leave_one_out(sums)
    groups = sums.cluster_count
    error = float(np.sqrt((groups - 1) / groups * np.sum((without - sums.estimate) ** 2)))
    return infer(sums.estimate, error, groups, significance_level, CR3_T)


def leave_one_out(sums: ClusterSums) -> NDArray[np.float64]:
    """(G,), b1 without each LA in turn, in units of the outcome; NaN where it is not identified (FV.SENS.6)."""
    gram, moment = sums.gram.sum(axis=0), sums.moment.sum(axis=0)
    out = np.full(sums.cluster_count, np.nan)
    for group in range(sums.cluster_count):
        kept = _identified(sums, group)
        if kept is not None:
            left = (gram - sums.gram[group])[np.ix_(kept, kept)]
            out[group] = np.linalg.solve(left, (moment - sums.moment[group])[kept])[-1]
    return out


@dataclass(frozen=True)
class LeftOut(Result):
    """The effect without one LA: its name, whether any of its children are treated, and the wild cluster bootstrap."""

    la: str
    is_treated_la: bool
    effect: Estimate


def effects_without_each(
    design: Design, children: NDArray[np.int64], significance_level: float, draws: int = 9_999, seed: int = 0
) -> tuple[LeftOut, ...]:
    """The effect without each LA, treated and comparison ones, with inference; NaN where it is not identified.

    children: (cells,), number of children.

    Source: FV.SENS.6.
    """
    sums, nan = cluster_sums(design), float("nan")
    groups = len(design.cluster_names)
    counts = np.bincount(design.cluster, weights=children, minlength=groups)
    treated = np.bincount(design.cluster, weights=design.is_treated, minlength=groups) > 0
    found = []
    for code, la in enumerate(design.cluster_names):
        effect = Estimate(nan, nan, nan, nan, nan, nan, WILD_BOOTSTRAP)
        kept = None if sums is None else _identified(sums, code)
        if sums is not None and kept is not None and groups > 2:
            others = np.arange(groups) != code
            # With the intercept, which went with the LA effects.
            factor = small_sample_factor(int(counts[others].sum()), len(kept) + 1, groups - 1)
            gram, moment = sums.gram[others][:, kept][:, :, kept], sums.moment[others][:, kept]
            rest = ClusterSums(gram, moment, len(kept) - 1, factor, sums.columns[kept])
            effect = wild_bootstrap(rest, significance_level, draws, seed).effect
        found.append(LeftOut(la, bool(treated[code]), effect))
    return tuple(found)


def _identified(sums: ClusterSums, left_out: int) -> NDArray[np.int64] | None:
    """Columns identified without one LA, the treatment last; None where it is not among them."""
    gram = sums.gram.sum(axis=0)
    left = gram - sums.gram[left_out]
    # What varied in this LA alone is rounding now.
    candidates = np.flatnonzero(np.diag(left) > RANK_TOLERANCE * np.diag(gram))
    if sums.treatment not in candidates:
        return None
    # The treatment is judged last: it stays only if it is identified given all else.
    order = np.array([*(i for i in candidates.tolist() if i != sums.treatment), sums.treatment], dtype=np.int64)
    kept = order[independent_of(left[np.ix_(order, order)])]
    return kept if kept[-1] == sums.treatment else None


# --- Wild cluster bootstrap -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WildBootstrap(Result):
    """Result of the bootstrap, in units of the outcome.

    Attributes
    ----------
    effect: the estimate with the bootstrap's p-value and interval; standard error and t are those of CR1.
    draws: number of draws; all sign patterns where `is_enumerated`.
    is_enumerated: every pattern once, so that nothing depends on chance.
    weights: 'Rademacher' or 'Webb'.
    """

    effect: Estimate
    draws: int
    is_enumerated: bool
    weights: str


def wild_bootstrap(
    sums: ClusterSums,
    significance_level: float,
    draws: int = 9_999,
    seed: int = 0,
    weights: str | None = None,
    ends: bool = True,
) -> WildBootstrap:
    """Wild cluster restricted bootstrap (WCR11) of the effect against 0, with the interval by inversion.

    Residuals under the null are multiplied, LA by LA, by one random number; the statistic is t with CR1. The p-value
    is the share of draws whose |t| reaches the observed one. With at most `ENUMERATED_CLUSTERS` LAs every pattern of
    signs is used once; with fewer than `WEBB_CLUSTERS`, Webb's six points. The interval holds the effects that the
    same test does not reject; an end that lies beyond the search is infinite.

    Parameters
    ----------
    draws: where patterns are not enumerated.
    seed: of those draws.
    weights: 'Rademacher' or 'Webb'; chosen by the number of LAs where None.
    ends: whether the interval is wanted; a simulation of the test alone does without.

    Source: Cameron, Gelbach and Miller (2008) Review of Economics and Statistics 90:414; MacKinnon, Nielsen and Webb
    (2023); Webb (2023) Canadian J. Economics 56:839; FV.EST.3.
    """
    groups = sums.cluster_count
    chosen = weights or ("Webb" if groups < WEBB_CLUSTERS else "Rademacher")
    patterns, is_enumerated = multipliers(groups, chosen, draws, seed)
    # A pattern and its opposite have one |t|, and the second half of all patterns is the opposite of the first.
    test = RestrictedTest(sums, patterns[: len(patterns) // 2] if is_enumerated else patterns)
    nan = float("nan")
    error = float(np.sqrt(sums.factor * np.sum((sums.scores(sums.coefficients) @ sums.bread[sums.treatment]) ** 2)))
    if not (np.isfinite(error) and error > 0):
        effect = Estimate(sums.estimate, nan, nan, nan, nan, nan, WILD_BOOTSTRAP)
        return WildBootstrap(effect, len(patterns), is_enumerated, chosen)
    effect = Estimate(
        estimate=sums.estimate,
        standard_error=error,
        ci_low=test.end(significance_level, error, -1.0) if ends else nan,
        ci_high=test.end(significance_level, error, 1.0) if ends else nan,
        p_value=test.p_value(0.0),
        degrees_of_freedom=nan,
        inference_method=WILD_BOOTSTRAP,
    )
    return WildBootstrap(effect, len(patterns), is_enumerated, chosen)


class RestrictedTest:
    """p-values of any null effect from one set of draws.

    With the effect held at c, the restricted scores of LA g are s_g(c) = s_g(0) - c d_g, where s_g(0) and d_g are the
    scores of outcome and treatment after the other columns are projected out. The numerator of the bootstrap
    statistic is sum_g v_g m's_g and its CR1 pieces are linear in v too. Both are linear in c, so that five numbers per
    draw, from two products of the draws with a (G, G) matrix, give the test of every c.
    """

    def __init__(self, sums: ClusterSums, patterns: NDArray[np.float64]) -> None:
        self._sums = sums
        others = np.arange(len(sums.coefficients)) != sums.treatment
        gram = sums.gram.sum(axis=0)
        inverse = inverse_of(gram[np.ix_(others, others)])
        row = sums.bread[sums.treatment]

        def scores(moment: NDArray[np.float64]) -> NDArray[np.float64]:
            coefficients = np.zeros(len(row))
            coefficients[others] = inverse @ moment.sum(axis=0)[others]
            return np.asarray(moment - sums.gram @ coefficients, dtype=np.float64)

        # About the estimate, where the scores are smallest, so that no test subtracts large numbers.
        of_treatment = scores(sums.gram[:, :, sums.treatment])
        of_outcome = scores(sums.moment) - sums.estimate * of_treatment
        pull = sums.gram @ row

        def parts(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            pieces = scores @ row
            # Row g: how the CR1 piece of LA g depends on each LA's multiplier.
            dependence = np.diag(pieces) - pull @ (sums.bread @ scores.T)
            return patterns @ pieces, patterns @ dependence.T

        self._moved, own = parts(of_outcome)
        self._moved_by_null, of_null = parts(of_treatment)
        self._squares = tuple(np.einsum("dg,dg->d", a, b) for a, b in ((own, own), (own, of_null), (of_null, of_null)))
        residual = sums.scores(sums.coefficients) @ row
        self._error = float(np.sqrt(np.sum(residual**2)))

    def statistics(self, null: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(draws,), what each draw adds to `null`, in units of the outcome, and its CR0 error."""
        away = null - self._sums.estimate
        own, both, of_null = self._squares
        variance = own - 2 * away * both + away**2 * of_null
        return self._moved - away * self._moved_by_null, np.sqrt(np.maximum(variance, 0.0))

    def p_value(self, null: float) -> float:
        """Share of draws whose |t| reaches that of the estimate against `null`."""
        numerator, spread = self.statistics(null)
        observed = abs(self._sums.estimate - null) / self._error
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.abs(numerator) / spread
        statistic = np.where(spread > 0, statistic, np.where(np.abs(numerator) > 0, np.inf, 0.0))
        return float(np.mean(statistic >= observed * (1 - TIE_TOLERANCE)))

    def end(self, level: float, error: float, side: float) -> float:
        """The effect furthest to one side that is not rejected at `level`."""
        estimate = self._sums.estimate
        inside, outside = 0.0, 1.0
        while self.p_value(estimate + side * outside * error) > level:
            inside, outside = outside, outside * 1.6
            if outside > WIDEST_SEARCH:
                return side * float("inf")
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            if self.p_value(estimate + side * middle * error) > level:
                inside = middle
            else:
                outside = middle
            if outside - inside < 1e-7:
                break
        return estimate + side * inside * error


def multipliers(groups: int, weights: str, draws: int, seed: int) -> tuple[NDArray[np.float64], bool]:
    """(draws, G) multipliers, and whether they are all that there are."""
    if weights == "Rademacher" and groups <= ENUMERATED_CLUSTERS:
        bits = (np.arange(2**groups)[:, None] >> np.arange(groups)) & 1
        return np.asarray(1.0 - 2.0 * bits, dtype=np.float64), True
    generator = np.random.default_rng(seed)
    if weights == "Rademacher":
        return _with_observed(generator.choice([-1.0, 1.0], size=(draws, groups))), False
    if weights != "Webb":
        raise ValueError(f"weights '{weights}'; known are Rademacher and Webb")
    points = np.sqrt([0.5, 1.0, 1.5])
    return _with_observed(generator.choice(np.concatenate([-points, points]), size=(draws, groups))), False


def _with_observed(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The data themselves count as one draw, so that a p-value is never 0 (Davison and Hinkley 1997, section 4.2)."""
    return np.vstack([np.ones(drawn.shape[1]), drawn])


# --- Score bootstrap of the logit -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreBootstrap(Result):
    """Result of the score bootstrap.

    Attributes
    ----------
    statistic, p_value: of no effect.
    log_odds, marginal_effects: lower and upper end of the interval by inversion, in log odds and as average marginal
        effect (a difference of shares); infinite where the search ends.
    """

    statistic: float
    p_value: float
    log_odds: tuple[float, float]
    marginal_effects: tuple[float, float]


def score_bootstrap(fit: LogitFit, level: float, draws: int = 9_999, seed: int = 0) -> ScoreBootstrap:
    """Score version of the wild cluster bootstrap for the logit, null imposed, interval by inversion.

    The logit is fitted with the effect held at its null; with H its information and S_g the scores of LA g there, the
    pieces s_g are the treatment's row of H^-1 times S_g, and t = sum s_g / sqrt(sum (s_g - mean)^2). Signs are drawn
    LA by LA as in `wild_bootstrap`, without fitting again. The marginal effect at an end of the interval is that of
    the model fitted with the effect held there. NaN where a null model does not converge.

    With ten LAs its size is somewhat too large, which the permutation beside it shows (docs/methods/few_clusters.md).

    Source: Kline and Santos (2012) J. Econometric Methods 1:23; FV.EST.3.
    """
    design, column = fit.design, fit.design.treatment_column
    groups = len(design.cluster_names)
    nan = float("nan")
    undefined = ScoreBootstrap(nan, nan, (nan, nan), (nan, nan))
    effect = fit.log_odds_effect(level)
    if column is None or groups < 2 or not (fit.is_converged and effect.standard_error > 0):
        return undefined
    patterns, is_enumerated = multipliers(groups, "Webb" if groups < WEBB_CLUSTERS else "Rademacher", draws, seed)
    # A pattern and its opposite have one |t|, and the second half of all patterns is the opposite of the first.
    patterns = patterns[: len(patterns) // 2] if is_enumerated else patterns
    squared = patterns**2

    nearest: list[HeldFit] = []

    def test(null: float) -> tuple[float, float, float]:
        held = fit_with_effect_held(fit, null, nearest[-1] if nearest else None)
        if held is None:
            return nan, nan, nan
        nearest[:] = [held]
        residual = design.weighted_outcome - design.weight * held.probability
        try:
            row = np.linalg.solve(held.information, np.eye(design.x.shape[1])[column])
        except np.linalg.LinAlgError:
            return nan, nan, nan
        terms = residual * (design.x @ row)
        pieces = np.asarray(np.bincount(design.cluster, weights=terms, minlength=groups), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            observed = float(pieces.sum() / np.sqrt(np.sum((pieces - pieces.mean()) ** 2)))
        total = patterns @ pieces
        spread = np.sqrt(np.maximum(squared @ pieces**2 - total**2 / groups, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = np.abs(total) / spread >= abs(observed) * (1 - TIE_TOLERANCE)
        return observed, float(np.mean(reached)), held.marginal_effect

    statistic, p_value, _ = test(0.0)
    if not np.isfinite(p_value):
        return undefined
    low, high = (score_end(test, effect.estimate, effect.standard_error, level, side) for side in (-1.0, 1.0))
    return ScoreBootstrap(statistic, p_value, (low[0], high[0]), (low[1], high[1]))


def score_end(
    test: Callable[[float], tuple[float, float, float]], estimate: float, error: float, level: float, side: float
) -> tuple[float, float]:
    """The log odds furthest to one side that a score test does not reject, and the marginal effect there.

    test: from log odds to statistic, p-value and marginal effect of the model with the effect held there. NaN where a
    null model does not converge; infinite where the search ends.
    """
    nan = float("nan")
    inside, outside, marginal = 0.0, 1.5, nan
    while True:
        _, p_value, found = test(estimate + side * outside * error)
        if np.isnan(p_value):
            return nan, nan
        if p_value <= level:
            break
        inside, outside, marginal = outside, outside * 1.6, found
        if outside > WIDEST_SEARCH:
            return side * float("inf"), side * float("inf")
    while outside - inside > SCORE_TOLERANCE:
        middle = (inside + outside) / 2
        _, p_value, found = test(estimate + side * middle * error)
        if np.isnan(p_value):
            return nan, nan
        if p_value > level:
            inside, marginal = middle, found
        else:
            outside = middle
    return estimate + side * inside * error, marginal


def centred_t(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws,), sum over the root of the sum of squares about the mean, of the pieces (draws, G)."""
    centred = values - values.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values.sum(axis=1) / np.sqrt(np.sum(centred**2, axis=1)), dtype=np.float64)


# --- Several outcomes -------------------------------------------------------------------------------------------------


def hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values of a family, NaN where a p-value is not defined (it leaves the family).

    Source: Hochberg (1988) Biometrika 75:800, by way of statsmodels; FV.EST.8.
    """
    from statsmodels.stats.multitest import multipletests

    adjusted = np.full(len(p_values), np.nan)
    defined = np.isfinite(p_values)
    if defined.any():
        adjusted[defined] = multipletests(p_values[defined], method="simes-hochberg")[1]
    return adjusted


# --- Small helpers ----------------------------------------------------------------------------------------------------


def symmetric(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the rounding that makes a symmetric matrix look otherwise."""
    return np.asarray((matrix + matrix.T) / 2, dtype=np.float64)


def inverse_of(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of a positive definite matrix whose columns may differ much in length."""
    if not len(matrix):
        return np.zeros((0, 0))
    length = np.sqrt(np.diag(matrix))
    scaled = np.linalg.inv(matrix / np.outer(length, length))
    return symmetric(scaled / np.outer(length, length))
