"""What a run says about the assumptions of each design (FV.TRI.1, FV.SENS.2, FV.MATCH.4 to .7).

Which assumptions there are, where the evidence on them stands and which are gates are rows of `dim_design_assumptions`,
declared before any estimate is seen. A test that finds nothing does not show that an assumption holds: it is then "not
contradicted", never more. Page: docs/methods/triangulation.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.estimation.few_clusters import CR3_T, hochberg
from sfpc.estimation.inference import MINIMUM_TREATED_CLUSTERS
from sfpc.triangulation.rule import FAIL, HOLD, UNKNOWN
from sfpc.triangulation.wedge import CONSTANT_EFFECT, LEAD, SteppedWedgeResults

HOLDS, NOT_CONTRADICTED, FAILS, NOT_KNOWN = "holds", "not contradicted", "fails", "not known"


@dataclass(frozen=True)
class Finding:
    """What the evidence says: status, the least corrected p-value and the number of tests, in words."""

    status: str
    sentence: str
    p_value: float = math.nan
    test_count: int = 0


@dataclass(frozen=True)
class Evidence:
    """All that may be looked at for one programme and outcome.

    results: tables of an evaluation, rows of this programme and outcome alone. wedge: None where there is none.
    do_external_hold: what the source of an external estimate says of its own assumptions; None where nothing.
    gate: p-value below which a test fails. level: two-sided significance level.
    """

    results: Mapping[str, pd.DataFrame]
    wedge: SteppedWedgeResults | None
    randomisation: pd.DataFrame
    do_external_hold: bool | None
    gate: float
    level: float

    def table(self, name: str) -> pd.DataFrame:
        """A results table, empty where the run has none."""
        return self.results.get(name, pd.DataFrame())


def assess(assumptions: pd.DataFrame, designs: tuple[str, ...], evidence: Evidence) -> pd.DataFrame:
    """Judge each assumption of the designs.

    assumptions: `dim_design_assumptions`. Returns its rows with status, p_value, test_count and evidence in words.
    Raises SfpcError where a row names evidence that nothing here knows.
    """
    rows = []
    for row in assumptions[assumptions["design"].isin(designs)].to_dict("records"):
        source = str(row["evidence"])
        if source not in _JUDGES:
            raise SfpcError(
                f"dim_design_assumptions: '{row['assumption_id']}' has evidence '{source}'; known are"
                f" {', '.join(sorted(_JUDGES))}"
            )
        found = _JUDGES[source](evidence)
        rows.append(
            {
                **{key: row[key] for key in ("assumption_id", "design", "wording", "is_gate", "clause")},
                "status": found.status,
                "p_value": found.p_value,
                "test_count": found.test_count,
                "evidence": found.sentence,
            }
        )
    order = pd.CategoricalDtype(list(designs), ordered=True)
    frame = pd.DataFrame(rows)
    return (
        frame.assign(design=frame["design"].astype(order))
        .sort_values(["design", "is_gate", "assumption_id"], ascending=[True, False, True], ignore_index=True)
        .astype({"design": "str"})
    )


def gates_of(assessed: pd.DataFrame, design: str) -> str:
    """`FAIL` where a gate of the design fails, `UNKNOWN` where one is not known, else `HOLD`.

    A design without a single gate is `UNKNOWN`: nothing was declared that could have failed.
    """
    gates = assessed.loc[(assessed["design"] == design) & assessed["is_gate"].astype(bool), "status"]
    if (gates == FAILS).any():
        return FAIL
    return UNKNOWN if gates.empty or (gates == NOT_KNOWN).any() else HOLD


# --- Judges, by the name of the evidence ------------------------------------------------------------------------------


def _tests(p_values: pd.Series, evidence: Evidence, words: str) -> Finding:
    """Tests of one assumption: it fails where the least p-value, after Hochberg, lies below the gate."""
    known = p_values.dropna().to_numpy(dtype=np.float64)
    if not len(known):
        return Finding(NOT_KNOWN, f"{words}: no test could be made")
    least = float(hochberg(known).min())
    corrected = f", the least of {len(known)} after Hochberg's correction" if len(known) > 1 else ""
    status = FAILS if least < evidence.gate else NOT_CONTRADICTED
    return Finding(status, f"{words}: p = {least:.3f}{corrected}", least, len(known))


def _leads(evidence: Evidence) -> Finding:
    tests = evidence.table("lead_tests")
    if len(tests):
        # The F tests beside it reject far too often with few LAs.
        tests = tests[tests["inference_method"].str.startswith("wild cluster bootstrap")]
    return _tests(_p(tests), evidence, "all quarters before go-live at once, wild cluster bootstrap")


def _trend_tests(name: str, words: str) -> Callable[[Evidence], Finding]:
    def judge(evidence: Evidence) -> Finding:
        tests = evidence.table("parallel_trend_tests")
        return _tests(_p(tests[tests["test"] == name] if len(tests) else tests), evidence, words)

    return judge


def _shock_tests(name: str, words: str) -> Callable[[Evidence], Finding]:
    def judge(evidence: Evidence) -> Finding:
        tests = evidence.table("shock_tests")
        return _tests(_p(tests[tests["test"] == name] if len(tests) else tests), evidence, words)

    return judge


def _p(tests: pd.DataFrame) -> pd.Series:
    return tests["p_value"].astype(float) if len(tests) else pd.Series(dtype=float)


def _treated_las(evidence: Evidence) -> Finding:
    effects = evidence.table("effects")
    primary = effects[effects["is_primary"].astype(bool)] if len(effects) else effects
    if primary.empty:
        return Finding(NOT_KNOWN, "no primary estimate")
    count = int(primary.iloc[0]["treated_cluster_count"])
    return _at_least(count, "treated LAs")


def _wedge_las(evidence: Evidence) -> Finding:
    if evidence.wedge is None:
        return Finding(NOT_KNOWN, "no stepped wedge")
    return _at_least(evidence.wedge.primary.la_count, "LAs")


def _at_least(count: int, what: str) -> Finding:
    status = HOLDS if count >= MINIMUM_TREATED_CLUSTERS else FAILS
    return Finding(status, f"{count} {what}; at least {MINIMUM_TREATED_CLUSTERS} are needed")


def _noise(evidence: Evidence) -> Finding:
    noise = evidence.table("la_noise")
    if noise.empty:
        return Finding(NOT_KNOWN, "the noise of matching was not measured")
    mostly = int(noise["is_mostly_noise"].astype(bool).sum())
    words = f"for {mostly} of {len(noise)} treatment LAs the trends matched on are mostly sampling error"
    return Finding(FAILS if mostly else NOT_CONTRADICTED, words)


def _pairs(evidence: Evidence) -> Finding:
    pairs = evidence.table("matched_pairs")
    if pairs.empty:
        return Finding(NOT_KNOWN, "no pairs")
    matched = set(pairs.loc[pairs["status"] == "accepted", "treatment_la_id"])
    left_out = sorted(set(pairs["treatment_la_id"]) - matched)
    if not left_out:
        return Finding(HOLDS, f"all {len(matched)} treatment LAs have comparators")
    return Finding(FAILS, f"without a comparator, and left out: {', '.join(left_out)}")


def _trend_bounds(evidence: Evidence) -> Finding:
    bounds = evidence.table("trend_bounds")
    bounds = bounds[bounds["restriction"] == "relative magnitudes"] if len(bounds) else bounds
    limits = bounds["breakdown"].dropna().to_numpy(dtype=np.float64) if len(bounds) else np.empty(0)
    if not len(limits):
        return Finding(NOT_KNOWN, "no bounds")
    breakdown = float(limits[0])
    words = f"the interval excludes 0 up to departures of {breakdown:g} times the largest step before go-live"
    return Finding(NOT_CONTRADICTED if breakdown >= 1 else FAILS, words)


def _order(evidence: Evidence) -> Finding:
    drawn = evidence.randomisation
    if drawn.empty or drawn["is_order_randomised"].isna().any():
        return Finding(NOT_KNOWN, "the documents do not say whether the order was drawn by lot")
    if not drawn["is_order_randomised"].astype(bool).all():
        return Finding(FAILS, "the order was not drawn by lot for every LA")
    kept = drawn["is_order_kept"]
    broken = sorted(drawn.loc[kept.notna() & (kept == False), "la_id"].astype(str))  # noqa: E712
    if broken:
        return Finding(FAILS, f"drawn by lot, but the order was not kept by {', '.join(broken)}")
    if kept.isna().any():
        return Finding(
            NOT_KNOWN, "drawn by lot; the dates that were drawn are not known, so nobody can say if they held"
        )
    return Finding(HOLDS, "drawn by lot, and the order was kept within every stratum")


def _wedge_check(check: str, words: str) -> Callable[[Evidence], Finding]:
    def judge(evidence: Evidence) -> Finding:
        if evidence.wedge is None:
            return Finding(NOT_KNOWN, "no stepped wedge")
        checks = evidence.wedge.checks
        mine = checks[(checks["check"] == check) & (checks["inference_method"] == CR3_T)]
        return _tests(_p(mine), evidence, words)

    return judge


def _smallest_p(evidence: Evidence) -> Finding:
    if evidence.wedge is None or not math.isfinite(evidence.wedge.primary.smallest_p):
        return Finding(NOT_KNOWN, "no stepped wedge")
    primary = evidence.wedge.primary
    words = f"{primary.orders + 1} orders were possible, so the least p-value is {primary.smallest_p:.3f}"
    return Finding(HOLDS if primary.smallest_p <= evidence.level else FAILS, words)


def _untested(_: Evidence) -> Finding:
    return Finding(NOT_KNOWN, "nothing in the data of these LAs alone can test it once all are live")


def _external(evidence: Evidence) -> Finding:
    if evidence.do_external_hold is None:
        return Finding(NOT_KNOWN, "its source does not say")
    return Finding(HOLDS if evidence.do_external_hold else FAILS, "as its source says")


_JUDGES: Mapping[str, Callable[[Evidence], Finding]] = {
    "lead_tests": _leads,
    "joint_leads": _trend_tests("joint_leads", "all quarters of the window at once, wild cluster bootstrap"),
    "held_out_placebo": _trend_tests("held_out_placebo", "placebo go-lives on quarters held out of the matching"),
    "pair_shock_response": _shock_tests("pair_shock_response", "response of pairs to shocks before go-live"),
    "shock_interaction": _shock_tests("shock_interaction", "shocks after go-live, treatment LAs against comparators"),
    "treated_cluster_count": _treated_las,
    "la_count": _wedge_las,
    "la_noise": _noise,
    "matched_pairs": _pairs,
    "trend_bounds": _trend_bounds,
    "dim_randomisation": _order,
    LEAD: _wedge_check(LEAD, "months before go-live, CR3"),
    CONSTANT_EFFECT: _wedge_check(CONSTANT_EFFECT, "later months against the first, CR3"),
    "smallest_p_value": _smallest_p,
    "untested": _untested,
    "external_estimates": _external,
}
