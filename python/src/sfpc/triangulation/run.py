"""Does the stepped wedge agree with the difference in differences, and what follows (FV.TRI.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from sfpc.cost_benefit.appraisal import EffectEstimate
from sfpc.errors import SfpcError
from sfpc.estimation.cluster import infer
from sfpc.estimation.design import build_design
from sfpc.estimation.few_clusters import CR3_T, cluster_sums, leave_one_out
from sfpc.estimation.logit import LogitFit, fit_logit_to_cells, fit_with_effect_held
from sfpc.grid import PERCENTAGE_POINTS, TERMS, Calendar, Outcome, Samples, Specification, complete, read_outcomes
from sfpc.marts import EvaluationSettings, read_settings
from sfpc.matching.sets import sets_of
from sfpc.strata import weigh_children
from sfpc.triangulation.evidence import FAILS, NOT_KNOWN, Evidence, assess, gates_of
from sfpc.triangulation.rule import (
    BOTH,
    FAIL,
    NEITHER,
    POOLED,
    PRECISION,
    RELY_ON_FIRST,
    RELY_ON_SECOND,
    SIMPLE,
    UNKNOWN,
    Agreement,
    Jackknife,
    Side,
    agreement,
    decide,
    joint_covariance,
    pool_two,
)
from sfpc.triangulation.tables import TRIANGULATION_TABLES
from sfpc.triangulation.wedge import SteppedWedgeResults, mart_of, run_stepped_wedge, text_setting

CLAUSE = "FV.TRI.1"
DID, WEDGE, EXTERNAL = "did", "stepped_wedge", "external"
NAMES: Mapping[str, str] = {
    DID: "the difference in differences",
    WEDGE: "the stepped wedge",
    EXTERNAL: "the estimate from elsewhere",
}
BY_JACKKNIFE, ASSUMED = "joint jackknife over LAs", "assumed correlation"
# The tables of an evaluation that speak to assumptions.
EVIDENCE_TABLES = (
    "effects",
    "matched_pairs",
    "lead_tests",
    "trend_bounds",
    "parallel_trend_tests",
    "shock_tests",
    "la_noise",
)
# An effect that is estimated anew must equal the one in the results to this share of its size.
SAME_ESTIMATE = 1e-4


@dataclass(frozen=True)
class ExternalEstimate:
    """An estimate from elsewhere in place of our own stepped wedge.

    estimate, standard_error: in `scale` (percentage points, days); negative: fewer. degrees_of_freedom: None where
    there are many. do_assumptions_hold: as its source says; None where it does not. source: shown.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float | None
    scale: str
    do_assumptions_hold: bool | None
    source: str


@dataclass(frozen=True)
class TriangulationResults:
    """What two designs say together.

    The frames have the columns of `TRIANGULATION_TABLES`, effects in `scale`; `conclusion` is pooled, both, with
    reasons, neither, or "rely on" a design; `sentences` are for an analyst, the conclusion first. wedge: None where an
    external estimate stands in its place or none could be made.
    """

    programme_id: str
    outcome_id: str
    scale: str
    conclusion: str
    designs: pd.DataFrame
    agreement: pd.DataFrame
    pooled: pd.DataFrame
    assumptions: pd.DataFrame
    conclusions: pd.DataFrame
    wedge: SteppedWedgeResults | None
    sentences: tuple[str, ...]

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names of `TRIANGULATION_TABLES`."""
        return {
            "triangulation_designs": self.designs,
            "triangulation_agreement": self.agreement,
            "triangulation_pooled": self.pooled,
            "triangulation_assumptions": self.assumptions,
            "triangulation_conclusion": self.conclusions,
        }

    def effect(self) -> EffectEstimate | None:
        """The pooled effect as a proportion, for `sfpc.cost_benefit.run`; None where nothing was pooled (FV.CBA.1).

        None too where the outcome is not one of yes or no.
        """
        row = self.pooled[self.pooled["is_headline"].astype(bool)].iloc[0]
        if self.conclusion != POOLED or self.scale != PERCENTAGE_POINTS:
            return None
        return EffectEstimate(
            float(row["estimate"]) / 100,
            float(row["ci_low"]) / 100,
            float(row["ci_high"]) / 100,
            float(row["p_value"]),
            f"{NAMES[DID]} and {NAMES[str(self.conclusions.iloc[0]['other_design'])]}, {row['method']}",
        )


def run_triangulation(
    connection: duckdb.DuckDBPyConnection,
    programme_id: str,
    results: Mapping[str, pd.DataFrame],
    *,
    outcome_id: str | None = None,
    external: ExternalEstimate | None = None,
    wedge: SteppedWedgeResults | None = None,
) -> TriangulationResults:
    """Compare the primary difference in differences with the stepped wedge, and conclude by the declared rule.

    Parameters
    ----------
    connection: of `sfpc.marts.open_marts`.
    results: tables of an evaluation of these marts, by name; of `EVIDENCE_TABLES` those that are there. effects and
        matched_pairs must be.
    outcome_id: the primary outcome where None.
    external: in place of the stepped wedge; where None, a row of `dim_external_estimates`, and without one our own.
    wedge: one that was run already.

    Both errors are CR3's, by leaving out LAs: their covariance is that of leaving each LA out of both at once. In a
    logit, what an LA moves is measured in log odds and carried to the outcome's unit along the profile of the
    marginal effect. The covariance with an external estimate is not known: the correlations of a setting are tried.

    Raises SfpcError where the marts or results lack something, or the effects are not of these marts.

    Source: FV.TRI.1; methods A13.
    """
    settings = read_settings(connection)
    rule = _read_rule(connection)
    outcome = _outcome(connection, outcome_id)
    mine = {name: _mine(results, name, programme_id, outcome.outcome_id) for name in EVIDENCE_TABLES}
    for name in ("effects", "matched_pairs"):
        if name not in results:
            raise SfpcError(f"no results table '{name}': run the evaluation first (sfpc evaluate)")
    roles = mart_of(connection, "dim_programme_local_authorities", "programme_id = ?", programme_id)
    if roles.empty:
        raise SfpcError(f"no programme '{programme_id}' in the marts")
    if external is None and wedge is None:
        external = _external_row(connection, programme_id, outcome)
    if external is not None:
        wedge = None
        if external.scale != outcome.scale:
            raise SfpcError(
                f"{external.source}: the estimate is in {external.scale}; that of {outcome.outcome_id} is in"
                f" {outcome.scale}"
            )
    elif wedge is None:
        wedge = run_stepped_wedge(connection, programme_id, outcome, settings)
    did, did_row = _difference_in_differences(connection, programme_id, outcome, mine, roles, settings)
    other = EXTERNAL if external is not None else WEDGE
    first = did.side if did is not None else Side(math.nan, math.nan, math.nan)
    own, second = _second(external, wedge)
    assessed = assess(
        mart_of(connection, "dim_design_assumptions"),
        (DID, other),
        Evidence(
            results=mine,
            wedge=wedge,
            randomisation=mart_of(connection, "dim_randomisation", "programme_id = ?", programme_id),
            do_external_hold=external.do_assumptions_hold if external is not None else None,
            gate=rule.gate,
            level=settings.significance_level,
        ),
    )
    gates = (gates_of(assessed, DID), gates_of(assessed, other))
    tried = _tried(did, own, first, second, rule, settings.significance_level)
    # Where a correlation is assumed, every one must let them agree.
    is_aligned = bool(tried) and all(found.is_aligned for _, found in tried)
    defined = (first.is_defined, second.is_defined)
    conclusion = decide(*gates, defined, is_aligned, rule.unknown)
    named = {RELY_ON_FIRST: f"rely on {DID}", RELY_ON_SECOND: f"rely on {other}"}.get(conclusion, conclusion)
    shared = len(set(did.without) & set(own.without)) if did is not None and own is not None else 0
    about = {"programme_id": programme_id, "outcome_id": outcome.outcome_id}
    scaled = {**about, "scale": outcome.scale, "clause": CLAUSE}
    designs = [
        _design_row(DID, first, gates[0], did_row, settings.significance_level),
        _design_row(other, second, gates[1], _about_other(external, wedge), settings.significance_level),
    ]
    pooled = _pooled(conclusion, gates, first, second, tried, settings.significance_level, defined, other)
    sentence = _conclusion_in_words(conclusion, gates, other, first, second, outcome, assessed, pooled, rule)
    frames = {
        "triangulation_designs": pd.DataFrame(designs).assign(**scaled),
        "triangulation_agreement": pd.DataFrame(
            [{**_agreement_row(found), "covariance_from": source, "shared_la_count": shared} for source, found in tried]
        ).assign(**scaled),
        "triangulation_pooled": pd.DataFrame(pooled).assign(**scaled),
        "triangulation_assumptions": assessed.assign(**about),
        "triangulation_conclusion": pd.DataFrame(
            [
                {
                    **about,
                    "conclusion": named,
                    "did_gates": gates[0],
                    "other_design": other,
                    "other_gates": gates[1],
                    "is_aligned": is_aligned,
                    "sentence": sentence,
                    "clause": CLAUSE,
                }
            ]
        ),
    }
    tidy = {
        name: frame.reindex(columns=list(TRIANGULATION_TABLES[name])).reset_index(drop=True)
        for name, frame in frames.items()
    }
    said = (
        sentence,
        *_agreement_in_words(tried, first, second, outcome, other, settings.significance_level),
        *_reasons(conclusion, did, own, mine, tried, outcome),
        *(wedge.sentences if wedge is not None else ()),
    )
    return TriangulationResults(
        programme_id=programme_id,
        outcome_id=outcome.outcome_id,
        scale=outcome.scale,
        conclusion=named,
        designs=tidy["triangulation_designs"],
        agreement=tidy["triangulation_agreement"],
        pooled=tidy["triangulation_pooled"],
        assumptions=tidy["triangulation_assumptions"],
        conclusions=tidy["triangulation_conclusion"],
        wedge=wedge,
        sentences=said,
    )


# --- What goes in -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """What was declared beforehand: rows of `dim_evaluation_settings`."""

    difference: float
    gate: float
    unknown: str
    correlations: tuple[float, ...]


def _read_rule(connection: duckdb.DuckDBPyConnection) -> _Rule:
    def share(setting: str) -> float:
        value = text_setting(connection, setting)
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not 0 < found < 1:
            raise SfpcError(f"dim_evaluation_settings: '{setting}' is '{value}'; expected a number between 0 and 1")
        return found

    unknown = text_setting(connection, "triangulation_unknown_gate")
    if unknown not in ("warn", "block"):
        raise SfpcError(f"dim_evaluation_settings: 'triangulation_unknown_gate' is '{unknown}'; expected warn or block")
    listed = text_setting(connection, "triangulation_external_correlations")
    try:
        correlations = tuple(float(value) for value in listed.split(";"))
    except ValueError as error:
        raise SfpcError(
            f"dim_evaluation_settings: 'triangulation_external_correlations' is '{listed}'; expected numbers with ;"
        ) from error
    if not all(-1 < value < 1 for value in correlations):
        raise SfpcError(
            f"dim_evaluation_settings: 'triangulation_external_correlations' is '{listed}'; expected -1 < r < 1"
        )
    return _Rule(share("triangulation_difference_p_value"), share("triangulation_gate_p_value"), unknown, correlations)


def _outcome(connection: duckdb.DuckDBPyConnection, outcome_id: str | None) -> Outcome:
    outcomes = read_outcomes(connection)
    found = [o for o in outcomes if (o.is_primary if outcome_id is None else o.outcome_id == outcome_id)]
    if len(found) != 1:
        wanted = "primary outcome" if outcome_id is None else f"outcome '{outcome_id}'"
        raise SfpcError(
            f"dim_outcomes: {len(found)} times {wanted}; expected one of {', '.join(o.outcome_id for o in outcomes)}"
        )
    return found[0]


def _mine(results: Mapping[str, pd.DataFrame], name: str, programme_id: str, outcome_id: str) -> pd.DataFrame:
    if name not in results:
        return pd.DataFrame()
    table = results[name]
    return table[(table["programme_id"] == programme_id) & (table["outcome_id"] == outcome_id)].reset_index(drop=True)


def _external_row(
    connection: duckdb.DuckDBPyConnection, programme_id: str, outcome: Outcome
) -> ExternalEstimate | None:
    rows = mart_of(
        connection, "dim_external_estimates", "programme_id = ? and outcome_id = ?", programme_id, outcome.outcome_id
    )
    if rows.empty:
        return None
    row = rows.iloc[0]
    holds, freedom = row["do_assumptions_hold"], row["degrees_of_freedom"]
    return ExternalEstimate(
        float(row["estimate"]),
        float(row["standard_error"]),
        None if pd.isna(freedom) else float(freedom),
        str(row["unit"]),
        None if pd.isna(holds) else bool(holds),
        f"{row['design']}: {row['source']}",
    )


def _second(external: ExternalEstimate | None, wedge: SteppedWedgeResults | None) -> tuple[Jackknife | None, Side]:
    """The other estimate, LA by LA where it is ours."""
    if external is not None:
        return None, Side(external.estimate, external.standard_error, external.degrees_of_freedom)
    if wedge is None:
        return None, Side(math.nan, math.nan, math.nan)
    primary = wedge.primary
    own = Jackknife(
        primary.effect.estimate * wedge.factor,
        {la: value * wedge.factor for la, value in primary.without_each.items()},
    )
    return own, own.side


def _difference_in_differences(
    connection: duckdb.DuckDBPyConnection,
    programme_id: str,
    outcome: Outcome,
    mine: Mapping[str, pd.DataFrame],
    roles: pd.DataFrame,
    settings: EvaluationSettings,
) -> tuple[Jackknife | None, dict[str, Any]]:
    """The primary estimate and each one without an LA, fitted anew on the matched children; None without one."""
    effects = mine["effects"]
    primary = effects[effects["is_primary"].astype(bool) & (effects["scale"] == outcome.scale)]
    if len(primary) > 1:
        raise SfpcError(f"effects: {len(primary)} primary rows of {outcome.outcome_id} in {programme_id}; expected one")
    if primary.empty or not np.isfinite(float(primary.iloc[0]["estimate"])):
        return None, {"label": "no primary estimate of the outcome"}
    row = primary.iloc[0]
    described = {
        "label": str(row["label"]),
        "la_count": int(row["cluster_count"]),
        "treated_la_count": int(row["treated_cluster_count"]),
        "children_count": int(row["children_count"]),
    }
    pairs = mine["matched_pairs"]
    weigh_children(connection, sets_of(pairs[pairs["status"] == "accepted"], roles), settings.cem_year_fallback_share)
    specification = _specification(connection, row)
    cells = Samples(connection, programme_id, outcome, Calendar.of(roles)).cells(specification)
    if specification.missing_covariates == "left_out":
        cells = complete(cells)
    without = _without_each(cells, specification.model, outcome)
    if without is None:
        return None, {**described, "label": f"{row['label']}: the effect cannot be estimated anew"}
    found = Jackknife(without.estimate * outcome.factor, {la: v * outcome.factor for la, v in without.without.items()})
    known = float(row["estimate"])
    if abs(found.estimate - known) > SAME_ESTIMATE * max(abs(known), 1e-6):
        raise SfpcError(
            f"effects: the primary estimate of {outcome.outcome_id} is {known:.6g}, but these marts give"
            f" {found.estimate:.6g}: the results are of other marts; run the evaluation again"
        )
    return found, described


def _specification(connection: duckdb.DuckDBPyConnection, row: pd.Series) -> Specification:
    """The specification of an effect; the one added by FV.EST.4 is its declared one with another model."""
    declared = str(row["specification_id"]).split("__", 1)[0]
    found = mart_of(
        connection, "dim_specifications", "specification_id = ? and outcome_id = ?", declared, row["outcome_id"]
    )
    if len(found) != 1:
        raise SfpcError(f"dim_specifications: {len(found)} rows '{declared}', which effects names; expected one")
    of_effect: dict[str, Any] = {"specification_id": str(row["specification_id"]), "model": str(row["model"])}
    values = {field.name: found.iloc[0][field.name] for field in fields(Specification)}
    return Specification(**{**values, **of_effect, "is_primary": True})


def _without_each(cells: pd.DataFrame, model: str, outcome: Outcome) -> Jackknife | None:
    """The effect and each one without an LA, in units of the outcome; None for a model or sample without an effect."""
    if model == "linear":
        design = build_design(cells, TERMS)
        sums = cluster_sums(design)
        if sums is None:
            return None
        return Jackknife(sums.estimate, dict(zip(design.cluster_names, leave_one_out(sums).tolist(), strict=True)))
    if model != "logit":
        raise SfpcError(f"effects: the primary model of {outcome.outcome_id} is '{model}'; expected linear or logit")
    whole = fit_logit_to_cells(cells, TERMS)
    if whole.fit is None or not math.isfinite(whole.fit.log_odds_effect(0.05).estimate):
        return None
    effect = whole.fit.average_marginal_effect(0.05).estimate
    log_odds, slope = whole.fit.log_odds_effect(0.05), _slope(whole.fit)
    without = {}
    for la in whole.fit.design.cluster_names:
        left = fit_logit_to_cells(whole.cells[whole.cells[TERMS.cluster] != la].reset_index(drop=True), TERMS)
        found = left.fit.log_odds_effect(0.05).estimate if left.fit is not None else math.nan
        without[la] = effect + slope * (found - log_odds.estimate)
    return Jackknife(effect, without)


def _slope(fit: LogitFit) -> float:
    """How the marginal effect moves with the log odds, the other coefficients fitted anew."""
    effect = fit.log_odds_effect(0.05)
    step = 0.1 * effect.standard_error
    ends = [fit_with_effect_held(fit, effect.estimate + side * step) for side in (-1.0, 1.0)]
    if ends[0] is None or ends[1] is None:
        return math.nan
    return (ends[1].marginal_effect - ends[0].marginal_effect) / (2 * step)


# --- What comes out ---------------------------------------------------------------------------------------------------


def _tried(
    did: Jackknife | None, own: Jackknife | None, first: Side, second: Side, rule: _Rule, level: float
) -> list[tuple[str, Agreement]]:
    if not (first.is_defined and second.is_defined):
        return [(BY_JACKKNIFE if own is not None else ASSUMED, agreement(first, second, math.nan, level, 0.5))]
    if did is not None and own is not None:
        return [(BY_JACKKNIFE, agreement(first, second, joint_covariance(did, own), level, rule.difference))]
    scale = first.standard_error * second.standard_error
    return [(ASSUMED, agreement(first, second, r * scale, level, rule.difference)) for r in rule.correlations]


def _agreement_row(found: Agreement) -> dict[str, Any]:
    return {**vars(found), "is_aligned": found.is_aligned}


def _about_other(external: ExternalEstimate | None, wedge: SteppedWedgeResults | None) -> dict[str, Any]:
    if external is not None:
        return {"label": external.source}
    if wedge is None:
        return {"label": "no stepped wedge"}
    primary = wedge.primary
    return {
        "label": f"{primary.model.replace('_', ' ')}, treatment LAs alone",
        "la_count": primary.la_count,
        "treated_la_count": primary.la_count,
        "children_count": primary.children_count,
    }


def _design_row(design: str, side: Side, gates: str, described: dict[str, Any], level: float) -> dict[str, Any]:
    found = infer(side.estimate, side.standard_error, 0, level, "", 1e9 if side.freedom is None else side.freedom)
    return {
        "design": design,
        "estimate": side.estimate,
        "standard_error": side.standard_error,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p_value": found.p_value,
        "degrees_of_freedom": side.freedom,
        "inference_method": "as published" if design == EXTERNAL else CR3_T,
        "gates": gates,
        **described,
    }


def _pooled(
    conclusion: str,
    gates: tuple[str, str],
    first: Side,
    second: Side,
    tried: list[tuple[str, Agreement]],
    level: float,
    defined: tuple[bool, bool],
    other: str,
) -> list[dict[str, Any]]:
    """Both means, or two rows that say why there are none."""
    if conclusion != POOLED:
        if not all(defined):
            reason = "not pooled: an estimate or its error is missing"
        elif FAIL in gates:
            failed = [NAMES[d] for d, state in zip((DID, other), gates, strict=True) if state == FAIL]
            reason = f"not pooled: a gate of {' and of '.join(failed)} failed"
        elif conclusion == BOTH:
            reason = "not pooled: the estimates do not agree"
        else:
            reason = "not pooled: of a gate nothing is known, and the rule blocks"
        return [{"method": method, "is_headline": method == SIMPLE, "reason": reason} for method in (SIMPLE, PRECISION)]
    # Of assumed correlations the highest, which leaves the widest interval of the mean.
    found = max((held for _, held in tried), key=lambda held: held.correlation)
    return [
        {
            "method": pooled.method,
            "correlation": found.correlation,
            "did_weight": pooled.first_weight,
            "estimate": pooled.effect.estimate,
            "standard_error": pooled.effect.standard_error,
            "ci_low": pooled.effect.ci_low,
            "ci_high": pooled.effect.ci_high,
            "p_value": pooled.effect.p_value,
            "degrees_of_freedom": min(
                (side.freedom for side in (first, second) if side.freedom is not None), default=None
            ),
            # The protocol's "average".
            "is_headline": pooled.method == SIMPLE,
            "reason": None,
        }
        for pooled in pool_two(first, second, found.covariance, level)
    ]


def _number(side: Side, level: float, outcome: Outcome) -> str:
    low, high = side.interval(level)
    return f"{side.estimate:.2f} {outcome.scale} ({low:.2f} to {high:.2f})"


def _conclusion_in_words(
    conclusion: str,
    gates: tuple[str, str],
    other: str,
    first: Side,
    second: Side,
    outcome: Outcome,
    assessed: pd.DataFrame,
    pooled: list[dict[str, Any]],
    rule: _Rule,
) -> str:
    failed = _named(assessed, FAILS)
    unknown = _named(assessed, NOT_KNOWN)
    caveat = f" Not known, so taken on trust: {unknown}." if unknown and rule.unknown == "warn" else ""
    if conclusion == POOLED:
        mean = pooled[0]
        return (
            f"Both designs agree: pooled, the effect is {mean['estimate']:.2f} {outcome.scale}"
            f" ({mean['ci_low']:.2f} to {mean['ci_high']:.2f})." + caveat
        )
    if conclusion == BOTH:
        return (
            f"The designs do not agree and the gates of neither failed: both are reported, {first.estimate:.2f} and"
            f" {second.estimate:.2f} {outcome.scale}, with what may account for it." + caveat
        )
    why = f" What failed: {failed}." if failed else ""
    if conclusion in (RELY_ON_FIRST, RELY_ON_SECOND):
        names = (DID, other) if conclusion == RELY_ON_FIRST else (other, DID)
        kept, side = names[0], first if conclusion == RELY_ON_FIRST else second
        state = gates[1] if conclusion == RELY_ON_FIRST else gates[0]
        missing = not (second if conclusion == RELY_ON_FIRST else first).is_defined
        reason = (
            f"{NAMES[names[1]]} gives no estimate with an error"
            if missing
            else f"a gate of {NAMES[names[1]]} failed"
            if state == FAIL
            else f"of a gate of {NAMES[names[1]]} nothing is known"
        )
        return (
            f"{NAMES[kept][0].upper()}{NAMES[kept][1:]} is relied upon, {side.estimate:.2f} {outcome.scale}: {reason}."
            " Nothing is pooled." + why + caveat
        )
    if conclusion != NEITHER:
        raise ValueError(f"no words for the conclusion '{conclusion}'")
    missing_both = not (first.is_defined or second.is_defined)
    reason = "no design gives an estimate with an error" if missing_both else "no design passes its gates"
    return f"Neither design is relied upon: {reason}. Nothing is pooled." + why


def _named(assessed: pd.DataFrame, status: str) -> str:
    gates = assessed[assessed["is_gate"].astype(bool) & (assessed["status"] == status)]
    return "; ".join(f"{row['wording']} ({row['evidence']})" for row in gates.to_dict("records"))


def _agreement_in_words(
    tried: list[tuple[str, Agreement]], first: Side, second: Side, outcome: Outcome, other: str, level: float
) -> tuple[str, ...]:
    found = [held for _, held in tried if math.isfinite(held.z) or math.isinf(held.z)]
    if not found:
        return ()
    held = found[0]
    parts = [
        "the signs are the same" if held.is_same_sign else "the signs differ",
        "the intervals overlap" if held.do_intervals_overlap else "the intervals do not overlap",
        f"the difference of {held.difference:.2f} {outcome.scale} has p = {min(h.p_value for h in found):.3f}",
    ]
    at_least = f"; a difference below {held.detectable_difference:.2f} could hardly be found"
    return (
        f"{NAMES[DID][0].upper()}{NAMES[DID][1:]} gives {_number(first, level, outcome)}, {NAMES[other]}"
        f" {_number(second, level, outcome)}: {', '.join(parts)}{at_least}.",
    )


def _reasons(
    conclusion: str,
    did: Jackknife | None,
    own: Jackknife | None,
    mine: Mapping[str, pd.DataFrame],
    tried: list[tuple[str, Agreement]],
    outcome: Outcome,
) -> tuple[str, ...]:
    """What may account for a difference, where there is one to account for."""
    if conclusion != BOTH or did is None or own is None:
        return ()
    said = []
    alone = sorted(set(own.without) - set(did.without))
    if alone:
        moved = [own.without[la] for la in alone if math.isfinite(own.without[la])]
        without = f"; without {'it' if len(alone) == 1 else 'each'} the stepped wedge gives " + ", ".join(
            f"{value:.2f}" for value in moved
        )
        said.append(
            f"In the stepped wedge alone, for want of a comparator: {', '.join(alone)}{without if moved else ''}."
        )
    for name, held in (("difference in differences", did), ("stepped wedge", own)):
        gaps = {la: abs(value - held.estimate) for la, value in held.without.items() if math.isfinite(value)}
        if gaps:
            most = max(gaps, key=lambda la: gaps[la])
            said.append(f"The {name} hangs most on {most}: without it, {held.without[most]:.2f} {outcome.scale}.")
    return tuple(said)


__all__ = [
    "EVIDENCE_TABLES",
    "TRIANGULATION_TABLES",
    "UNKNOWN",
    "ExternalEstimate",
    "TriangulationResults",
    "run_triangulation",
]
