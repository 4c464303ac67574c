"""The stepped wedge: LAs that all go live, one after another, compared with those that are not yet live (FV.TRI.2).

Two models of the same children. Random intercepts: log odds = x'b + beta D + sigma v_a with v_a ~ N(0, 1) by LA and
quarters among x, its likelihood by adaptive Gauss-Hermite quadrature. The linear twin has a fixed effect for each LA.
Errors come from the LAs alone, as in few_clusters. Page: docs/methods/stepped_wedge.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from sfpc.estimation.cluster import Estimate, infer
from sfpc.estimation.design import Design, Terms, build_design
from sfpc.estimation.few_clusters import (
    CR3_T,
    RANK_TOLERANCE,
    SCORE_BOOTSTRAP,
    TIE_TOLERANCE,
    WEBB_CLUSTERS,
    centred_t,
    cluster_sums,
    leave_one_out,
    multipliers,
    score_end,
)
from sfpc.estimation.inference import Draws, Timing, of_linear
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import drop_separated_levels, fit_logit, fit_logit_to_cells
from sfpc.estimation.permutation import Permutation, other_assignments, permutation_test
from sfpc.estimation.result import Result

Array = NDArray[np.float64]

RANDOM_INTERCEPT = "random_intercept_logit"
LINEAR = "linear_la_effects"
ORDER_PERMUTED = "permutation of the go-live order"
# Points of the quadrature: about the mode, a likelihood of hundreds of children is all but normal.
POINTS = 15
MAXIMUM_ITERATIONS = 200
MAXIMUM_HALVINGS = 40
MODE_ITERATIONS = 100
# On Newton's decrement, in units of the log-likelihood.
CONVERGENCE_TOLERANCE = 1e-11
# A spread of LAs below this, in log odds, is none.
NO_SPREAD = 1e-4
# Spreads from which the search starts anew where it ended at none and should not have.
RESTARTS = (0.05, 0.3, 1.0)
# Up to so many go-live orders each is used once, whatever the setting: 7 LAs with a day each.
ENUMERATED_ORDERS = 5_040
# Step in log odds for the slope of the marginal effect along the profile, as a share of the error.
SLOPE_STEP = 0.1


# --- The likelihood ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Integral:
    """The integral over each LA's intercept at given parameters.

    With Q points: points, shares (G, Q), the values of v and what each adds to the likelihood, as a share; logarithm
    (G,), of the likelihood of each LA; probability (cells, Q).
    """

    points: Array
    shares: Array
    logarithm: Array
    probability: Array


def _integrate(design: Design, index: Array, la_sd: float, points: int) -> _Integral:
    """Adaptive Gauss-Hermite quadrature: points about the mode of each LA's integrand, scaled by its curvature there.

    Source: Liu and Pierce (1994) Biometrika 81:624; Pinheiro and Bates (1995) J. Computational and Graphical Statistics
    4:12.
    """
    groups, code = len(design.cluster_names), design.cluster
    children, events = design.weight, design.weighted_outcome

    def total(values: Array) -> Array:
        return np.asarray(np.bincount(code, weights=values, minlength=groups), dtype=np.float64)

    def integrand(v: Array) -> Array:
        eta = index + la_sd * v[code]
        return total(events * eta - children * np.logaddexp(0.0, eta)) - v**2 / 2

    mode = np.zeros(groups)
    value = integrand(mode)
    for _ in range(MODE_ITERATIONS):
        p = expit(index + la_sd * mode[code])
        slope = la_sd * total(events - children * p) - mode
        curvature = 1.0 + la_sd**2 * total(children * p * (1 - p))
        step = slope / curvature
        if np.max(step * slope) < 1e-12:
            break
        # Halved for LAs where a whole step overshoots; the integrand is concave.
        for _ in range(MAXIMUM_HALVINGS):
            tried = integrand(mode + step)
            worse = tried < value - 1e-12 * np.abs(value)
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        mode, value = mode + step, tried
    p = expit(index + la_sd * mode[code])
    spread = 1.0 / np.sqrt(1.0 + la_sd**2 * total(children * p * (1 - p)))
    node, node_weight = np.polynomial.hermite.hermgauss(points)
    v = mode[:, None] + np.sqrt(2.0) * spread[:, None] * node
    eta = index[:, None] + la_sd * v[code]
    terms = events[:, None] * eta - children[:, None] * np.logaddexp(0.0, eta)
    logs = np.array([np.bincount(code, weights=terms[:, q], minlength=groups) for q in range(points)]).T
    logs = logs + np.log(node_weight) + node**2 - v**2 / 2
    whole = logsumexp(logs, axis=1)
    return _Integral(
        points=v,
        shares=np.exp(logs - whole[:, None]),
        logarithm=np.asarray(whole + np.log(spread) - np.log(np.pi) / 2, dtype=np.float64),
        probability=expit(eta),
    )


def log_likelihood(design: Design, coefficients: Array, la_sd: float, points: int = POINTS) -> float:
    """Log-likelihood of the random-intercept logit, without the binomial coefficients.

    design: of `without_la_effects`; coefficients (K,), la_sd in log odds.
    """
    return float(_integrate(design, design.x @ coefficients, la_sd, points).logarithm.sum())


@dataclass(frozen=True)
class RandomInterceptFit(Result):
    """A random-intercept logit.

    Attributes
    ----------
    design: without LA effects, K columns, cells by LA.
    coefficients: (K,), log odds given the LA.
    la_sd: standard deviation of LAs, in log odds; 0 where no spread is left.
    log_likelihood: without the binomial coefficients.
    scores: (G, K + 1), derivative of each LA's log-likelihood by coefficients and la_sd.
    information: (K + 1, K + 1), minus the second derivative of the log-likelihood.
    marginal_effect: mean over treated children of p(D=1) - p(D=0) given what their LA showed, a difference of shares.
    iterations, is_converged: of Newton's method.
    """

    design: Design
    coefficients: Array
    la_sd: float
    log_likelihood: float
    scores: Array
    information: Array
    marginal_effect: float
    iterations: int
    is_converged: bool

    @property
    def log_odds(self) -> float:
        """The effect; NaN where it is not identified or nothing converged."""
        column = self.design.treatment_column
        return float(self.coefficients[column]) if column is not None and self.is_converged else float("nan")

    @property
    def model_error(self) -> float:
        """Error of the log odds if the model were true, without shocks of LAs and quarters: a yardstick, no result."""
        row = self._effect_row()
        return float(np.sqrt(row[self.design.treatment_column])) if row is not None else float("nan")

    def pieces(self) -> Array | None:
        """(G,), what each LA's score contributes to the effect: the treatment's row of the inverse information times
        the scores. None where the information cannot be inverted."""
        row = self._effect_row()
        return None if row is None else np.asarray(self.scores @ row, dtype=np.float64)

    def _effect_row(self) -> Array | None:
        column = self.design.treatment_column
        if column is None:
            return None
        # Without a spread of LAs its derivative is 0 by symmetry, and it is left out.
        kept = len(self.information) if self.la_sd > 0 else len(self.information) - 1
        length = np.sqrt(np.abs(np.diag(self.information)[:kept]))
        if not np.all(length > 0):
            return None
        scaled = self.information[:kept, :kept] / np.outer(length, length)
        try:
            solved = np.linalg.solve(scaled, np.eye(kept)[column])
        except np.linalg.LinAlgError:
            return None
        row = np.zeros(len(self.information))
        row[:kept] = solved / length[column] / length
        return row


def without_la_effects(design: Design, cluster: str) -> Design:
    """The design without its indicators of LAs, which the random intercept replaces.

    cluster: name of the LA column. What the LA effects made redundant stays out.
    """
    kept = np.array([not name.startswith(f"{cluster}=") for name in design.names])
    column = design.treatment_column
    return replace(
        design,
        x=np.ascontiguousarray(design.x[:, kept]),
        names=tuple(name for name, held in zip(design.names, kept, strict=True) if held),
        treatment_column=None if column is None else int(kept[:column].sum()),
    )


def fit_random_intercept(
    design: Design,
    held: float | None = None,
    near: RandomInterceptFit | None = None,
    points: int = POINTS,
) -> RandomInterceptFit:
    """Maximise the likelihood of the random-intercept logit by Newton's method with step-halving.

    Score and information are exact for the quadrature: means over the integrand of those of the children given the
    intercept, less the spread of the score (Louis 1982).

    Parameters
    ----------
    design: of `without_la_effects`.
    held: log odds at which the effect is held; free where None.
    near: a fit whose parameters start the search.

    Source: FV.TRI.2; Hussey and Hughes (2007) Contemporary Clinical Trials 28:182 for the model; Louis (1982) J. Royal
    Statistical Society B 44:226.
    """
    size, groups = design.x.shape[1], len(design.cluster_names)
    order = np.argsort(design.cluster, kind="stable")
    design = replace(
        design,
        x=np.ascontiguousarray(design.x[order]),
        weight=design.weight[order],
        weighted_outcome=design.weighted_outcome[order],
        cluster=design.cluster[order],
        is_treated=design.is_treated[order],
    )
    parameters = _start(design) if near is None else np.append(near.coefficients, near.la_sd)
    free = np.ones(size + 1, dtype=bool)
    if held is not None:
        if design.treatment_column is None:
            raise ValueError("the effect cannot be held: the treatment is not in the design")
        parameters[design.treatment_column] = held
        free[design.treatment_column] = False
    integral = _integrate(design, design.x @ parameters[:-1], float(parameters[-1]), points)
    value, iterations, is_converged, restarts = float(integral.logarithm.sum()), 0, False, 0
    scores, information = _derivatives(design, integral, groups)
    while iterations < MAXIMUM_ITERATIONS:
        slope = scores.sum(axis=0)[free]
        direction = _ascent(information[np.ix_(free, free)], slope)
        decrement = float(slope @ direction)
        iterations += 1
        if not np.isfinite(decrement):
            break
        if decrement <= CONVERGENCE_TOLERANCE:
            if abs(parameters[-1]) < NO_SPREAD and information[-1, -1] < 0 and restarts < len(RESTARTS):
                # No spread is always a stationary point; here the likelihood rises away from it.
                parameters[-1] = RESTARTS[restarts]
                restarts += 1
                integral = _integrate(design, design.x @ parameters[:-1], float(parameters[-1]), points)
                value = float(integral.logarithm.sum())
                scores, information = _derivatives(design, integral, groups)
                continue
            is_converged = True
            break
        step, proposal, tried = 1.0, parameters, integral
        for _ in range(MAXIMUM_HALVINGS):
            proposal = parameters.copy()
            proposal[free] += step * direction
            tried = _integrate(design, design.x @ proposal[:-1], float(proposal[-1]), points)
            if float(tried.logarithm.sum()) >= value - 1e-13 * abs(value):
                break
            step /= 2
        parameters, integral, value = proposal, tried, float(tried.logarithm.sum())
        scores, information = _derivatives(design, integral, groups)
    la_sd = float(abs(parameters[-1]))
    if parameters[-1] < 0:
        # -sigma and -v are the same model.
        sign = np.append(np.ones(size), -1.0)
        scores, information = scores * sign, information * np.outer(sign, sign)
    return RandomInterceptFit(
        design=design,
        coefficients=parameters[:-1],
        la_sd=la_sd if la_sd > NO_SPREAD else 0.0,
        log_likelihood=value,
        scores=scores,
        information=information,
        marginal_effect=_marginal_effect(design, integral, parameters),
        iterations=iterations,
        is_converged=is_converged,
    )


def _start(design: Design) -> Array:
    """Coefficients of the logit without intercepts of LAs, and the spread of their rates in log odds."""
    logit = fit_logit(replace(design, parameter_count=min(design.parameter_count, design.children_count - 1)))
    groups = len(design.cluster_names)
    events = np.bincount(design.cluster, weights=design.weighted_outcome, minlength=groups) + 0.5
    others = np.bincount(design.cluster, weights=design.weight - design.weighted_outcome, minlength=groups) + 0.5
    spread = float(np.std(np.log(events / others)))
    coefficients = logit.coefficients if logit.is_converged else np.zeros(design.x.shape[1])
    return np.append(coefficients, min(max(spread, 0.1), 2.0))


def _derivatives(design: Design, integral: _Integral, groups: int) -> tuple[Array, Array]:
    """(G, K + 1) scores and (K + 1, K + 1) information, cells in the order of LAs."""
    size, x, code = design.x.shape[1], design.x, design.cluster
    shares, v = integral.shares, integral.points
    residual = design.weighted_outcome[:, None] - design.weight[:, None] * integral.probability
    spread = design.weight[:, None] * integral.probability * (1 - integral.probability) * shares[code]
    scores, information = np.zeros((groups, size + 1)), np.zeros((size + 1, size + 1))
    own = spread.sum(axis=1)
    information[:-1, :-1] = (x * own[:, None]).T @ x
    cross = x.T @ (spread * v[code]).sum(axis=1)
    information[:-1, -1] = information[-1, :-1] = cross
    information[-1, -1] = float((spread * v[code] ** 2).sum())
    bounds = np.searchsorted(code, np.arange(groups + 1))
    for group in range(groups):
        rows = slice(bounds[group], bounds[group + 1])
        at_points = np.vstack([x[rows].T @ residual[rows], v[group] * residual[rows].sum(axis=0)])
        scores[group] = at_points @ shares[group]
        centred = at_points - scores[group][:, None]
        information -= (centred * shares[group]) @ centred.T
    return scores, information


def _ascent(information: Array, slope: Array) -> Array:
    """Newton's direction; where the information is not positive, its eigenvalues are made so."""
    length = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    scaled = information / np.outer(length, length)
    values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    values = np.maximum(np.abs(values), 1e-10)
    return np.asarray(vectors @ ((vectors.T @ (slope / length)) / values) / length, dtype=np.float64)


def _marginal_effect(design: Design, integral: _Integral, parameters: Array) -> float:
    rows, column = design.is_treated, design.treatment_column
    if column is None or not rows.any():
        return float("nan")
    code, weight = design.cluster[rows], design.weight[rows]
    eta = (design.x[rows] @ parameters[:-1])[:, None] + parameters[-1] * integral.points[code]
    gained = (expit(eta) - expit(eta - parameters[column])) * integral.shares[code]
    return float(weight @ gained.sum(axis=1) / weight.sum())


# --- Inference --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SteppedWedge(Result):
    """A stepped wedge with every method of inference, the primary one first.

    Attributes
    ----------
    model: `RANDOM_INTERCEPT` or `LINEAR`.
    effects: in units of the outcome (a difference of shares for the former).
    log_odds: the same in log odds; empty for the linear model.
    without_each: by LA, the effect without it, in the units of `effects`; NaN where it is not identified.
    la_sd: spread of LAs in log odds; NaN for the linear model.
    la_count, wedge_count, period_count, children_count, treated_children_count: what it stands on.
    orders: other go-live orders that the permutation used; smallest_p: the least p-value that it can give.
    notes: sentences for the analyst.
    """

    model: str
    effects: tuple[Estimate, ...]
    log_odds: tuple[Estimate, ...]
    without_each: Mapping[str, float]
    la_sd: float
    la_count: int
    wedge_count: int
    period_count: int
    children_count: int
    treated_children_count: int
    orders: int
    smallest_p: float
    notes: tuple[str, ...]

    @property
    def effect(self) -> Estimate:
        """The primary method, in units of the outcome."""
        return self.effects[0]

    def by_method(self, method: str) -> Estimate | None:
        """One method, in units of the outcome."""
        return next((e for e in self.effects if e.inference_method == method), None)

    def tidy(self, factor: float = 1.0, scale: str = "units of the outcome") -> pd.DataFrame:
        """A row per scale and method: model, scale, is_primary_method, the fields of `Estimate`, and the counts.

        factor: from the unit of `effects` to `scale`. Log odds are given as odds ratios.
        """
        counts = {
            "la_sd_log_odds": self.la_sd,
            "la_count": self.la_count,
            "wedge_count": self.wedge_count,
            "period_count": self.period_count,
            "children_count": self.children_count,
            "treated_children_count": self.treated_children_count,
            "order_count": self.orders + 1,
            "smallest_p_value": self.smallest_p,
            "note": "; ".join(self.notes) or None,
        }
        given = [(scale, number, e.scaled(factor)) for number, e in enumerate(self.effects)]
        given += [("odds ratio", number, e.exponentiated()) for number, e in enumerate(self.log_odds)]
        return pd.DataFrame(
            [
                {"model": self.model, "scale": name, "is_primary_method": number == 0, **asdict(estimate), **counts}
                for name, number, estimate in given
            ]
        )


def fit_stepped_wedge(
    cells: pd.DataFrame,
    terms: Terms,
    timing: Timing,
    level: float,
    draws: Draws,
    *,
    model: str = RANDOM_INTERCEPT,
    strata: Mapping[str, str] | None = None,
) -> SteppedWedge:
    """Fit a stepped wedge to cells of children, with the methods that few LAs allow.

    Parameters
    ----------
    cells: of `compress`, with the columns of `terms`; LAs that go live at some time, weights are numbers of children.
    terms: cluster is the LA; `periods` holds the quarter. A binary outcome is 0 or 1 for `RANDOM_INTERCEPT`.
    timing: phase, quarter of each cell and first live phase of each LA, cells in the same order.
    strata: LA to stratum of the randomisation; one stratum where None.

    Methods, the primary one first: CR3 (jackknife over LAs) with t(G - 1); the score bootstrap (the linear twin:
    wild bootstrap, CR1, CR2); the permutation of the go-live order among the LAs of a stratum. Log odds and marginal
    effect share their p-values: errors and ends of intervals are carried over along the profile of the marginal effect.

    Source: FV.TRI.2, FV.EST.3; Hussey and Hughes (2007); MacKinnon, Nielsen and Webb (2023) J. Econometrics 232:272;
    Kline and Santos (2012) J. Econometric Methods 1:23; Ji, Fink, Robyn and Small (2017) Annals of Applied Statistics
    11:1 for the permutation.
    """
    if model not in (RANDOM_INTERCEPT, LINEAR):
        raise ValueError(f"model '{model}'; known are {RANDOM_INTERCEPT} and {LINEAR}")
    if len(timing.phase) != len(cells):
        raise ValueError(f"timing of {len(timing.phase)} cells for {len(cells)}")
    # By LA, the order that the integration works in.
    cells = cells.assign(**{_PHASE: timing.phase, _PERIOD: timing.period})
    cells = cells.sort_values(terms.cluster, kind="stable", ignore_index=True)
    if model == LINEAR:
        return _linear(cells, terms, timing, level, draws, strata)
    return _random_intercept(cells, terms, timing, level, draws, strata)


_PHASE, _PERIOD = "wedge_phase", "wedge_period"


def _linear(
    cells: pd.DataFrame, terms: Terms, timing: Timing, level: float, draws: Draws, strata: Mapping[str, str] | None
) -> SteppedWedge:
    design = build_design(cells, terms)
    sums = cluster_sums(design)
    about = _about(cells, design, timing)
    if sums is None:
        return _undefined(LINEAR, about, level, ("effect not identified: no LA is live while another is not",))
    own = Timing(_of(cells, _PHASE), _of(cells, _PERIOD), timing.go_live_phase)
    found = of_linear(fit_linear(design), None, level, draws)
    orders = max(draws.permutation, ENUMERATED_ORDERS)
    permuted = permutation_test(design, own.phase, dict(own.go_live_phase), orders, draws.seed, strata)
    found = sorted([*found, _permuted(found[0].estimate, permuted)], key=lambda e: e.inference_method != CR3_T)
    without = dict(zip(design.cluster_names, leave_one_out(sums).tolist(), strict=True))
    return SteppedWedge(
        model=LINEAR,
        effects=tuple(found),
        log_odds=(),
        without_each=without,
        la_sd=float("nan"),
        orders=permuted.draws,
        smallest_p=1.0 / (1 + permuted.draws),
        notes=(*design.notes, *_on_few(permuted, level, about["la_count"])),
        **about,
    )


def _random_intercept(
    cells: pd.DataFrame, terms: Terms, timing: Timing, level: float, draws: Draws, strata: Mapping[str, str] | None
) -> SteppedWedge:
    logit = fit_logit_to_cells(cells, terms)
    cells = logit.cells
    if logit.fit is None or not logit.fit.is_converged:
        about = _about(cells, logit.fit.design if logit.fit else None, timing)
        return _undefined(RANDOM_INTERCEPT, about, level, logit.notes)
    about = _about(cells, logit.fit.design, timing)
    if logit.fit.design.treatment_column is None:
        why = "effect not identified: no LA is live while another is not"
        return _undefined(RANDOM_INTERCEPT, about, level, (*logit.notes, why))
    design = without_la_effects(logit.fit.design, terms.cluster)
    fit = fit_random_intercept(design)
    if not fit.is_converged:
        return _undefined(RANDOM_INTERCEPT, about, level, (*logit.notes, "the likelihood did not converge"))
    groups = len(design.cluster_names)
    log_odds = fit.log_odds
    refits = log_odds_without_each(cells, terms, fit)
    gaps = np.array([refits[la] - log_odds for la in design.cluster_names])
    jackknife = float(np.sqrt((groups - 1) / groups * np.sum(gaps**2)))
    slope = _profile_slope(fit, jackknife)
    on_odds = [infer(log_odds, jackknife, groups, level, CR3_T)]
    low, high = (_profile(fit, end) for end in (on_odds[0].ci_low, on_odds[0].ci_high))
    effects = [
        replace(
            on_odds[0], estimate=fit.marginal_effect, standard_error=abs(slope) * jackknife, ci_low=low, ci_high=high
        )
    ]
    scored, ends, ends_as_effect = _score_bootstrap(fit, jackknife, level, draws)
    nan = float("nan")
    for found, interval, first in ((on_odds, ends, on_odds[0]), (effects, ends_as_effect, effects[0])):
        found.append(
            replace(
                first,
                ci_low=interval[0],
                ci_high=interval[1],
                p_value=scored,
                degrees_of_freedom=nan,
                inference_method=SCORE_BOOTSTRAP,
            )
        )
    permuted = permute_order(fit, _of(cells, _PHASE), timing.go_live_phase, draws, strata)
    effects.append(_permuted(fit.marginal_effect, permuted))
    on_odds.append(_permuted(log_odds, permuted))
    fixed = logit.fit.log_odds_effect(level).estimate
    return SteppedWedge(
        model=RANDOM_INTERCEPT,
        effects=tuple(effects),
        log_odds=tuple(on_odds),
        without_each={
            la: fit.marginal_effect + slope * float(gap) for la, gap in zip(design.cluster_names, gaps, strict=True)
        },
        la_sd=fit.la_sd,
        orders=permuted.draws,
        smallest_p=1.0 / (1 + permuted.draws),
        notes=(
            *logit.notes,
            *design.notes,
            f"log odds {log_odds:.3f}, with fixed effects of LAs {fixed:.3f}",
            *(["no spread between LAs is left: the intercepts are one"] if fit.la_sd == 0 else []),
            *_on_few(permuted, level, groups),
        ),
        **about,
    )


def log_odds_without_each(cells: pd.DataFrame, terms: Terms, fit: RandomInterceptFit) -> dict[str, float]:
    """By LA, the effect in log odds of the model fitted without it; NaN where it is not identified."""
    return {la: _without(cells, la, terms, fit) for la in fit.design.cluster_names}


def _without(cells: pd.DataFrame, la: str, terms: Terms, near: RandomInterceptFit) -> float:
    """Log odds of the effect without one LA; NaN where it is not identified."""
    left, _, is_separated = drop_separated_levels(cells[cells[terms.cluster] != la], terms)
    if is_separated or not len(left) or left[terms.cluster].nunique() < 2:
        return float("nan")
    design = build_design(left, terms)
    if design.treatment_column is None:
        return float("nan")
    own = without_la_effects(design, terms.cluster)
    names = dict(zip(near.design.names, near.coefficients.tolist(), strict=True))
    # The reference levels may differ: a start only where the columns are the same.
    same = near.la_sd > 0 and set(own.names) <= set(names)
    start = replace(near, design=own, coefficients=np.array([names[n] for n in own.names])) if same else None
    fit = fit_random_intercept(own, near=start)
    if not fit.is_converged:
        fit = fit_random_intercept(own)
    return fit.log_odds


def _profile(fit: RandomInterceptFit, log_odds: float) -> float:
    """Marginal effect of the model with the effect held at `log_odds`; NaN where it does not converge."""
    if not np.isfinite(log_odds):
        return float("nan")
    held = fit_random_intercept(fit.design, log_odds, fit)
    return held.marginal_effect if held.is_converged else float("nan")


def _profile_slope(fit: RandomInterceptFit, error: float) -> float:
    step = SLOPE_STEP * (error if np.isfinite(error) and error > 0 else fit.model_error)
    return (_profile(fit, fit.log_odds + step) - _profile(fit, fit.log_odds - step)) / (2 * step)


def _score_bootstrap(
    fit: RandomInterceptFit, error: float, level: float, draws: Draws
) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """p-value, and interval by inversion in log odds and as marginal effect, of the score bootstrap by LA."""
    groups, nan = len(fit.design.cluster_names), float("nan")
    patterns, _ = multipliers(groups, "Webb" if groups < WEBB_CLUSTERS else "Rademacher", draws.bootstrap, draws.seed)
    nearest = [fit]

    def test(null: float) -> tuple[float, float, float]:
        held = fit_random_intercept(fit.design, null, nearest[-1])
        pieces = held.pieces() if held.is_converged else None
        if pieces is None:
            return nan, nan, nan
        nearest[:] = [held]
        observed = float(centred_t(pieces[None, :])[0])
        reached = np.abs(centred_t(patterns * pieces)) >= abs(observed) * (1 - TIE_TOLERANCE)
        return observed, float(np.mean(reached)), held.marginal_effect

    _, p_value, _ = test(0.0)
    if not (np.isfinite(p_value) and np.isfinite(error) and error > 0):
        return p_value, (nan, nan), (nan, nan)
    ends = [score_end(test, fit.log_odds, error, level, side) for side in (-1.0, 1.0)]
    return p_value, (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])


def permute_order(
    fit: RandomInterceptFit,
    phase: NDArray[np.int64],
    go_live_phase: Mapping[str, int],
    draws: Draws,
    strata: Mapping[str, str] | None = None,
) -> Permutation:
    """Compare the score statistic of no effect with that of every other order in which the LAs might have gone live.

    The model without an effect does not depend on the order, so it is fitted once; for each order the statistic is the
    score of its treatment, freed of the other columns, over the root of its information. Valid if the order was drawn
    by lot within strata, whatever the errors within LAs and over time.

    phase: (cells,), number of go-live days up to theirs, in the order of the cells of `fit.design`.

    Source: FV.TRI.2, FV.EST.3; Ji, Fink, Robyn and Small (2017); Wang and De Gruttola (2017) Statistics in Medicine
    36:2831.
    """
    design = fit.design
    names, groups = design.cluster_names, len(design.cluster_names)
    real = np.array([go_live_phase.get(la, 0) for la in names], dtype=np.int64)
    null = fit_random_intercept(design, 0.0, fit)
    column = design.treatment_column
    if column is None or not null.is_converged:
        return Permutation(float("nan"), 0, False)
    integral = _integrate(null.design, null.design.x @ null.coefficients, null.la_sd, POINTS)
    shares, v, code = integral.shares, integral.points, design.cluster
    residual = design.weighted_outcome[:, None] - design.weight[:, None] * integral.probability
    spread = design.weight[:, None] * integral.probability * (1 - integral.probability) * shares[code]
    others = np.arange(design.x.shape[1]) != column
    x = design.x[:, others]
    keeps_spread = null.la_sd > 0
    kept = np.append(others, keeps_spread)
    inverse = np.linalg.inv(null.information[np.ix_(kept, kept)])
    phases = int(real.max(initial=0))
    score, own = np.zeros((groups, phases + 1)), np.zeros((groups, phases + 1))
    cross = np.zeros((groups, phases + 1, int(kept.sum())))
    for group in range(groups):
        rows = np.flatnonzero(code == group)
        at_points = x[rows].T @ residual[rows]
        if keeps_spread:
            at_points = np.vstack([at_points, v[group] * residual[rows].sum(axis=0)])
        for first in range(1, phases + 1):
            live = rows[phase[rows] >= first]
            of_treatment = residual[live].sum(axis=0)
            score[group, first] = of_treatment @ shares[group]
            centred = of_treatment - score[group, first]
            own[group, first] = spread[live].sum() - (centred**2) @ shares[group]
            both = x[live].T @ spread[live].sum(axis=1)
            if keeps_spread:
                both = np.append(both, (spread[live] * v[group]).sum())
            cross[group, first] = both - at_points @ (centred * shares[group])
    places = np.arange(groups)

    def statistic(assigned: NDArray[np.int64]) -> float:
        pull = cross[places, assigned].sum(axis=0)
        raw = own[places, assigned].sum()
        left = raw - pull @ inverse @ pull
        if not left > RANK_TOLERANCE * max(raw, 1e-300):
            return float("nan")
        # The scores of the other columns add up to 0 at the maximum.
        return float(abs(score[places, assigned].sum()) / np.sqrt(left))

    observed = statistic(real)
    if not np.isfinite(observed):
        return Permutation(float("nan"), 0, False)
    within: Sequence[str] | None = [strata.get(la, "") for la in names] if strata is not None else None
    assignments, is_enumerated = other_assignments(real, within, max(draws.permutation, ENUMERATED_ORDERS), draws.seed)
    found = np.array([statistic(assigned) for assigned in assignments])
    usable = found[np.isfinite(found)]
    reached = int(np.sum(usable >= observed * (1 - TIE_TOLERANCE)))
    return Permutation((1 + reached) / (1 + len(usable)), len(usable), is_enumerated)


def what_few_can_support(la_count: int, orders: int, level: float) -> str:
    """What a stepped wedge of so many LAs can and cannot support, in words.

    orders: go-live orders that might have been drawn, the real one included.
    """
    least = 1.0 / orders if orders else float("nan")
    reach = (
        f"{orders} orders of going live were possible, so no p-value by permutation can be below {least:.3f}"
        if orders
        else "no other order of going live is known"
    )
    verdict = "" if orders and least <= level else f": it cannot reject at {level:.0%} whatever happened"
    return (
        f"With {la_count} LAs {reach}{verdict}. So few LAs can show the direction and rough size of an effect that is"
        " large beside how LAs differ from quarter to quarter; they cannot rule out a moderate effect either way, tell"
        " apart effects of single LAs, show that an effect grows or fades, or check the model of their differences."
    )


# --- Small helpers ----------------------------------------------------------------------------------------------------


def _of(cells: pd.DataFrame, key: str) -> NDArray[np.int64]:
    return cells[key].to_numpy(dtype=np.int64)


def _about(cells: pd.DataFrame, design: Design | None, timing: Timing) -> dict[str, int]:
    las = design.cluster_names if design is not None else ()
    return {
        "la_count": len(las),
        "wedge_count": len({timing.go_live_phase[la] for la in las if la in timing.go_live_phase}),
        "period_count": int(cells[_PERIOD].nunique()),
        "children_count": int(design.weight.sum()) if design is not None else 0,
        "treated_children_count": int(design.weight[design.is_treated].sum()) if design is not None else 0,
    }


def _permuted(estimate: float, found: Permutation) -> Estimate:
    nan = float("nan")
    return Estimate(estimate, nan, nan, nan, found.p_value, nan, ORDER_PERMUTED)


def _on_few(permuted: Permutation, level: float, la_count: int) -> tuple[str, ...]:
    least = 1.0 / (1 + permuted.draws)
    said = [f"errors rest on {la_count} LAs"]
    if least > level:
        said.append(f"permutation cannot reject at {level:.0%}: {1 + permuted.draws} orders")
    return tuple(said)


def _undefined(model: str, about: dict[str, int], level: float, notes: tuple[str, ...]) -> SteppedWedge:
    nan = float("nan")
    nothing = infer(nan, nan, about["la_count"], level, CR3_T)
    return SteppedWedge(
        model=model,
        effects=(nothing,),
        log_odds=(nothing,) if model == RANDOM_INTERCEPT else (),
        without_each={},
        la_sd=nan,
        orders=0,
        smallest_p=nan,
        notes=notes,
        **about,
    )
