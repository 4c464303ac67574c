"""The sections of the report: each turns inputs into words, tables and charts for the template."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from sfpc.errors import SfpcError
from sfpc.report import charts, outline, words
from sfpc.report.drawing import Drawing
from sfpc.report.inputs import Inputs
from sfpc.report.study import (
    FEW_CLUSTERS,
    Study,
    as_day,
    confidence,
    is_planned,
    items,
    records,
    significance_level,
)
from sfpc.report.tables import Row, Table, number, summary_columns, text
from sfpc.report.words import PERCENTAGE_POINTS
from sfpc.strata import ALL

# The usual rule of thumb of the love plot (Stuart 2010, Statistical Science 25:1, section 4.1).
BALANCE_LIMIT = 0.1
# How many of the nearest candidates stand in the chart of an LA that has no accepted comparator.
_NEAREST_SHOWN = 3
_LEFT_OUT = "excluded: "


# --- 1: the finding -----------------------------------------------------------------------------


def finding(study: Study) -> dict[str, Any]:
    """The result in plain words and the planted truth beside it."""
    primary = study.primary
    first, rest = words.finding(
        study.programme,
        primary,
        study.outcome,
        significance_level(study.inputs),
        _fewest(study.inputs),
        study.who,
    )
    if is_planned(study.inputs, FEW_CLUSTERS) and rest:
        heading, certain = rest[0]
        rest[0] = (heading, f"{certain} With so few LAs, such intervals tend to be too narrow.")
    excluded = study.result("matched_pairs")
    excluded = excluded[excluded["status"] == "excluded"]
    if len(excluded):
        names = words.listed([study.la(la) for la in excluded["treatment_la_id"]])
        verb, them = ("is", "it") if len(excluded) == 1 else ("are", "them")
        rest.append(("Without whom.", f"{names} {verb} not part of this: no comparison LA was like {them}."))
    if study.is_of_care:
        rest.append(
            (
                "Among whom.",
                outline.AMONG_WHOM,
            )
        )
    return {"lead": first, "rest": rest, "truth": _truth_words(study, primary)}


def _fewest(inputs: Inputs) -> int:
    return int(inputs.run.get("conventions", {}).get("minimum_treated_clusters", 0))


def summary(held: list[Study]) -> Table:
    """The primary effect on every outcome of a programme in plain words (FV.EST.5, FV.EST.8)."""
    inputs = held[0].inputs
    level, rows = significance_level(inputs), []
    for study in held:
        effect = study.primary
        kind, scale = str(study.outcome["outcome_kind"]), str(effect["scale"])
        estimate, low, high = (float(effect[name]) for name in ("estimate", "ci_low", "ci_high"))
        is_known = math.isfinite(estimate)
        verdict = words.is_significant(effect, level, _fewest(inputs))
        is_mean = kind != words.BINARY and scale == PERCENTAGE_POINTS
        baseline = float(effect["baseline_mean_pct"])
        rows.append(
            Row(
                (
                    f"{study.outcome['label']}{' (primary)' if study.is_primary else ''}",
                    words.change(estimate, kind, scale, study.who) if is_known else "could not be estimated",
                    words.change_interval(low, high, words=("lower", "higher") if is_mean else ("fewer", "more"))
                    if is_known
                    else words.DASH,
                    words.rate_before(baseline, kind),
                    words.DASH if not is_known else {True: "yes", False: "no", None: "not said"}[verdict],
                    words.p_value(float(effect["p_value"])),
                    words.p_value(float(effect["p_value_hochberg"])),
                    words.whole(effect["children_count"]),
                    words.whole(effect["cluster_count"]),
                ),
                kind="chosen" if study.is_primary else "",
            )
        )
    return Table(
        key=f"summary-{held[0].programme_id}",
        caption=f"What changed under {held[0].programme}: every outcome of the protocol that was estimated",
        columns=summary_columns(confidence(inputs)),
        rows=rows,
    )


def not_estimated(held: list[Study]) -> list[str]:
    """The outcomes without an estimate, and why."""
    return [
        f"{study.outcome['label']} could not be estimated: {study.primary['note'] or 'no reason was given'}."
        for study in held
        if not math.isfinite(float(study.primary["estimate"]))
    ]


def summary_chart(held: list[Study]) -> charts.Figure | None:
    """The primary effects of a programme, by unit; each unit on an axis of its own."""
    panels = []
    for scale in dict.fromkeys(str(study.primary["scale"]) for study in held):
        own = [s for s in held if s.primary["scale"] == scale and math.isfinite(float(s.primary["estimate"]))]
        if own:
            panels.append((scale, [_bar(study) for study in own]))
    if not panels:
        return None
    said = "; ".join(
        f"{bar.label} {words.decimal(bar.estimate)} ({words.interval(bar.low, bar.high)}) {scale}"
        for scale, bars in panels
        for bar in bars
    )
    has_truth = any(math.isfinite(bar.truth) for _, bars in panels for bar in bars)
    planted = "; hollow diamonds: the planted effect" if has_truth else ""

    def draw(*, width: int) -> Drawing:
        whole = Drawing(width)
        for scale, bars in panels:
            part = charts.forest_chart(width=width, groups=[("", bars)], unit=_effect_unit(scale))
            whole.place(part, 0.0, whole.height + (14.0 if whole.height else 0.0))
        return whole

    level = confidence(held[0].inputs)
    return charts.both_widths(
        draw,
        f"summary-{held[0].programme_id}",
        f"Effect on each outcome with its {level} interval: {said}{planted}.",
    )


def _bar(study: Study) -> charts.Bar:
    effect = study.primary
    return charts.Bar(
        label=str(study.outcome["label"]),
        estimate=float(effect["estimate"]),
        low=float(effect["ci_low"]),
        high=float(effect["ci_high"]),
        kind="primary" if study.is_primary else "same",
        truth=math.nan if study.truth is None else study.truth.effect,
    )


def _effect_unit(scale: str) -> str:
    return "Effect in percentage points (children in every 100)" if scale == PERCENTAGE_POINTS else f"Effect in {scale}"


def _truth_words(study: Study, primary: dict[str, Any]) -> list[str]:
    truth = study.truth
    if truth is None:
        return []
    estimate, error = float(primary["estimate"]), float(primary["standard_error"])
    said = [
        f"The synthetic data were made with a known effect. Among the treated children analysed here it came"
        f" to {words.decimal(truth.effect)} {primary['scale']}, known for"
        f" {words.whole(truth.known_count)} of {words.whole(truth.treated_count)} of them"
        f" ({words.decimal(truth.known_pct, 1)}%)."
    ]
    if math.isfinite(estimate) and error > 0:
        is_inside = float(primary["ci_low"]) <= truth.effect <= float(primary["ci_high"])
        gap = estimate - truth.effect
        said.append(
            f"The estimate is {words.decimal(estimate)}: off by {words.decimal(gap)}, which is"
            f" {words.decimal(abs(gap) / error, 1)} standard errors. The {confidence(study.inputs)} interval"
            f" {'contains' if is_inside else 'does not contain'} the planted effect."
        )
    return said


# --- 2: who was studied -------------------------------------------------------------------------


def participants(study: Study) -> dict[str, Any]:
    """The participant flow as a drawing and as a table by LA."""
    steps = study.mart("fct_sample_flow").copy()
    excluded = steps[steps["step"].str.startswith(_LEFT_OUT)]
    last = int(steps["step_number"].max()) + (0 if len(excluded) < len(steps) else 1)
    counted = excluded.groupby(["step_number", "step"], sort=True)["entry_count"].sum()
    left_out = [(str(step).removeprefix(_LEFT_OUT), int(n)) for (_, step), n in items(counted)]
    referrals = int(steps["entry_count"].sum())
    sample = int(steps.loc[steps["step_number"] == last, "entry_count"].sum())
    analysed = study.analysed
    in_sample = int(analysed.by_la["sample_count"].sum())
    primary = study.primary
    if in_sample != sample or int(primary["children_count"]) > analysed.total("matched_count"):
        raise SfpcError(
            f"the participant flow of {study.key} does not add up: {sample} children in fct_sample_flow,"
            f" {in_sample} in fct_outcome_values, {analysed.total('matched_count')} matched and"
            f" {int(primary['children_count'])} analysed; build and estimate again"
        )
    flow = _flow(study, referrals, left_out, sample)
    said = (
        f"Flow from {words.whole(referrals)} {study.entries} to {words.whole(int(primary['children_count']))}"
        " children"
        f" analysed, {words.whole(int(primary['treated_children_count']))} of them treated. The table below"
        " gives"
        " the same numbers by LA."
    )
    return {
        "chart": charts.both_widths(charts.flow_chart, f"flow-{study.key}", said, flow=flow),
        "table": _flow_table(study, steps, last, left_out),
    }


def _flow(study: Study, referrals: int, left_out: list[tuple[str, int]], sample: int) -> charts.Flow:
    analysed = study.analysed
    areas = study.mart("dim_programme_local_authorities")
    outside = analysed.by_la[~analysed.by_la["is_member"].astype(bool)]
    no_pair = outside[outside["is_treatment_la"].astype(bool)]
    not_chosen = outside[~outside["is_treatment_la"].astype(bool)]
    members = analysed.members
    primary = study.primary
    matched = analysed.total("matched_count")
    final = int(primary["children_count"])
    lines = []
    if len(no_pair):
        lines.append(
            f"{words.times(len(no_pair), 'treatment LA')} without a comparison LA:"
            f" {words.whole(no_pair['sample_count'].sum())}"
        )
    if len(not_chosen):
        lines.append(
            f"{words.times(len(not_chosen), 'other LA')} not chosen for comparison:"
            f" {words.whole(not_chosen['sample_count'].sum())}"
        )
    first, final_day = (areas[name].dropna() for name in ("trial_start_date", "trial_end_date"))
    period = (
        f", {words.long_date(as_day(first.iloc[0]))} to {words.long_date(as_day(final_day.iloc[0]))}"
        if len(first) and len(final_day)
        else ""
    )
    stem: list[tuple[charts.FlowBox, charts.FlowBox | None]] = [
        (
            charts.FlowBox(f"{words.sentence(study.entries)} in the trial period{period}", words.whole(referrals)),
            charts.FlowBox(
                "Left out",
                words.whole(referrals - sample),
                [f"{words.sentence(label)}: {words.whole(n)}" for label, n in left_out],
            ),
        ),
        (
            charts.FlowBox(f"Children in the analysis sample, each with one {study.entry}", words.whole(sample)),
            charts.FlowBox("In LAs that are not compared", words.whole(outside["sample_count"].sum()), lines),
        ),
        (
            charts.FlowBox(
                "Children in treatment LAs and their comparison LAs",
                words.whole(members["sample_count"].sum()),
            ),
            None,
        ),
    ]
    arms = [
        _arm(members[members["is_treatment_la"].astype(bool)], "treatment LA", True),
        _arm(members[~members["is_treatment_la"].astype(bool)], "comparison LA", False),
    ]
    end_lines = [
        f"{words.whole(int(primary['treated_children_count']))} treated,"
        f" {words.whole(final - int(primary['treated_children_count']))} not treated",
        f"{words.times(int(primary['cluster_count']), 'LA')}, {int(primary['treated_cluster_count'])} of"
        " them with"
        " treated children",
    ]
    if final != matched:
        end_lines.append(f"{words.whole(matched - final)} matched children could not be used by the model")
    return charts.Flow(
        stem=stem,
        arms=arms,
        last=charts.FlowBox("Children analysed in the primary model", words.whole(final), end_lines),
    )


def _arm(frame: pd.DataFrame, noun: str, is_treatment: bool) -> tuple[charts.FlowBox, charts.FlowBox, charts.FlowBox]:
    sample, matched = int(frame["sample_count"].sum()), int(frame["matched_count"].sum())
    treated = int(frame["treated_matched_count"].sum())
    lines = (
        [
            f"{words.whole(treated)} after go-live (treated)",
            f"{words.whole(matched - treated)} before go-live",
        ]
        if is_treatment
        else []
    )
    return (
        charts.FlowBox(f"Children in {words.times(len(frame), noun)}", words.whole(sample)),
        charts.FlowBox("Left out: no child like them in the other arm", words.whole(sample - matched)),
        charts.FlowBox("Matched children", words.whole(matched), lines),
    )


def _flow_table(study: Study, steps: pd.DataFrame, last: int, left_out: list[tuple[str, int]]) -> Table:
    """One row per LA of the analysis; the others together by role, so that the table stays short."""
    counts = steps.pivot_table(index="la_id", columns="step_number", values="entry_count", aggfunc="sum", fill_value=0)
    numbers = sorted({int(step) for step in steps["step_number"]} - {last})
    by_la = study.analysed.by_la.set_index("la_id")
    excluded = set(study.result("matched_pairs").query("status == 'excluded'")["treatment_la_id"])
    roles = study.mart("dim_programme_local_authorities").set_index("la_id")["role"]

    def part(la_id: str) -> tuple[int, str]:
        if la_id in by_la.index and by_la.loc[la_id, "is_member"]:
            return (0, "Treatment") if by_la.loc[la_id, "is_treatment_la"] else (2, "Comparison")
        if la_id in excluded:
            return (1, "Treatment, left out")
        role = str(roles.get(la_id, ""))
        return (3, "Comparison, not chosen") if role == "comparison" else (4, words.sentence(words.plain(role)))

    def cells(ids: list[str]) -> list[int]:
        own = counts.reindex(ids, fill_value=0)
        base = by_la.reindex(ids).fillna(0)
        is_in = base["is_member"].astype(bool)
        return [
            int(own.to_numpy().sum()),
            *(int(own[step].sum()) for step in numbers),
            int(own[last].sum()) if last in own else 0,
            int(base.loc[is_in, "matched_count"].sum()),
            int(base.loc[is_in, "treated_matched_count"].sum()),
        ]

    parts = {str(la_id): part(str(la_id)) for la_id in counts.index}
    rows = []
    shown = sorted((la for la in parts if parts[la][0] < 3), key=lambda la: (parts[la][0], study.la(la)))
    for la_id in shown:
        rows.append(Row((f"{study.la(la_id)} ({la_id})", parts[la_id][1], *map(words.whole, cells([la_id])))))
    for group in sorted({p for p in parts.values() if p[0] >= 3}):
        ids = [la for la in parts if parts[la] == group]
        name = words.times(len(ids), "other LA") if len(ids) > 1 else f"{study.la(ids[0])} ({ids[0]})"
        rows.append(Row((name, group[1], *map(words.whole, cells(ids)))))
    rows.append(Row(("All", "", *map(words.whole, cells(list(parts)))), kind="total"))
    names = {int(row.step_number): str(row.step).removeprefix(_LEFT_OUT) for row in records(steps)}
    return Table(
        key=f"flow-table-{study.key}",
        caption=(
            f"{words.sentence(study.entries)} and children by LA. Each {study.entry} is counted once: in one of the"
            " reasons for being left out, or in the analysis sample"
        ),
        columns=[
            text("LA (code)"),
            text("Part"),
            number(words.sentence(study.entries)),
            *(number(words.sentence(names[step])) for step in numbers),
            number("Analysis sample (children)"),
            number("Matched"),
            number("Of these treated"),
        ],
        rows=rows,
    )


# --- 3: comparison LAs --------------------------------------------------------------------------


def comparators(study: Study) -> dict[str, Any]:
    """How each treatment LA came to its comparators: a chart and a ranking each, and who is left out."""
    ranking = study.result("la_ranking")
    pairs = study.result("matched_pairs")
    trends = study.result("matched_trends")
    settings = study.inputs.run["settings"]
    areas = study.mart("dim_programme_local_authorities")
    treatment = areas[areas["is_treatment_la"].astype(bool)].sort_values("go_live_date", kind="stable")
    ids = [str(la) for la in treatment["la_id"] if la in set(trends["treatment_la_id"])]
    lines = {la: _lines(study, la) for la in ids}
    tops = [max(line.values) for drawn in lines.values() for line in drawn]
    bands = [max(line.band[1]) for drawn in lines.values() for line in drawn if line.band is not None]
    top = 1.04 * max([*tops, *bands], default=1.0)
    panels = []
    for la in ids:
        own = ranking[ranking["treatment_la_id"] == la]
        is_accepted = bool(own["is_accepted"].astype(bool).any())
        go_live = treatment.loc[treatment["la_id"] == la, "go_live_date"].iloc[0]
        reason = pairs.loc[(pairs["treatment_la_id"] == la) & (pairs["status"] == "excluded"), "reason"]
        names = words.listed([line.label for line in lines[la][1:]])
        panels.append(
            {
                "name": study.la(la),
                "go_live": words.long_date(as_day(go_live)) if pd.notna(go_live) else "",
                "is_accepted": is_accepted,
                "reason": str(reason.iloc[0]) if len(reason) else "",
                "chart": charts.both_widths(
                    charts.trend_chart,
                    f"trend-{study.key}-{la}",
                    f"Quarterly outcome of {study.la(la)} and {names or 'no other LA'} before go-live,"
                    f" {study.value_unit}.",
                    own=lines[la][0],
                    others=lines[la][1:],
                    are_accepted=is_accepted,
                    unit=words.sentence(study.value_unit),
                    title=f"Quarter of the {study.entry}",
                    top_value=top,
                    wide=charts.BESIDE_A_TABLE,
                ),
                "table": _ranking_table(study, la, own),
            }
        )
    return {
        "panels": panels,
        "noise": _noise_words(study),
        "rule": (
            f"The {settings['matching_ranking_length']} candidates whose changes from quarter to quarter lie"
            " nearest"
            " to those of the treatment LA are ranked. "
            + _decided(ranking)
            + f" It takes up to {settings['matching_maximum_comparators']} of the nearest with a noise ratio of"
            f" {settings['matching_calliper_noise_ratio']:g} or less; an LA may serve several treatment LAs."
        ),
        "excluded": _exclusion_table(study),
        "twins": _twin_words(study),
    }


def _decided(ranking: pd.DataFrame) -> str:
    people = sorted(set(ranking["decision"].dropna()) - {"automatic rule"})
    if people:
        seen = " Some of them saw other data: look again." if "stale decision" in people else ""
        return f"People have decided on some pairs.{seen} For the rest an automatic rule decides."
    return "No person has looked at the pairs yet: an automatic rule decides."


def _lines(study: Study, la: str) -> list[charts.Line]:
    """The treatment LA first, with the chance range of its rate; then accepted or nearest candidates."""
    trends = study.result("matched_trends")
    own = trends[trends["treatment_la_id"] == la]
    drawn = [_line(study, own[own["arm"] == "treatment"], la, with_band=True)]
    accepted = own[own["arm"] == "comparison"]
    ranking = study.result("la_ranking").query("treatment_la_id == @la").sort_values("rank")
    if len(accepted):
        drawn += [
            _line(study, accepted[accepted["la_id"] == row.candidate_la_id], row.candidate_la_id)
            for row in records(ranking[ranking["is_accepted"].astype(bool)])
        ]
    else:
        # Nothing was accepted, so the results hold no series: the nearest show why.
        quarters = study.mart("fct_la_quarter_outcomes")
        window = set(own["quarter_start_date"])
        quarters = quarters[quarters["quarter_start_date"].isin(window)]
        drawn += [
            _line(study, quarters[quarters["la_id"] == row.candidate_la_id], row.candidate_la_id)
            for row in records(ranking.head(_NEAREST_SHOWN))
        ]
    return [line for line in drawn if len(line.days)]


def _line(study: Study, frame: pd.DataFrame, la_id: object, with_band: bool = False) -> charts.Line:
    frame = frame.dropna(subset=["value"]).sort_values("quarter_start_date")
    days = [as_day(value) for value in frame["quarter_start_date"]]
    values = [float(value) * study.factor for value in frame["value"]]
    band = None
    if with_band and study.outcome["outcome_kind"] == "binary" and days:
        rate, size = frame["value"].astype(float), frame["denominator_count"].astype(float)
        half = 1.96 * (rate * (1 - rate) / size) ** 0.5
        band = (
            [max(0.0, float(v)) * 100 for v in rate - half],
            [float(v) * 100 for v in rate + half],
        )
    return charts.Line(label=study.short_la(la_id), days=days, values=values, band=band)


def _ranking_table(study: Study, la: str, own: pd.DataFrame) -> Table:
    rows = [
        Row(
            (
                f"{int(row.rank)}. {study.la(row.candidate_la_id)} ({row.candidate_la_id})",
                words.decimal(row.noise_ratio),
                "yes" if row.is_accepted else "no",
                words.decimal(row.distance),
                words.decimal(row.expected_noise_distance),
            ),
            kind="chosen" if row.is_accepted else "",
        )
        for row in records(own.sort_values("rank"))
    ]
    quarters = sorted({int(n) for n in own["quarters_count"]})
    over = f", over {words.listed([str(n) for n in quarters])} quarters" if quarters else ""
    return Table(
        key=f"ranking-{study.key}-{la}",
        caption=f"Nearest candidates for {study.la(la)}{over}",
        columns=[
            text("LA (code)"),
            number("Noise ratio"),
            text("Accepted"),
            number("Distance"),
            number("By chance"),
        ],
        rows=rows,
    )


def _noise_words(study: Study) -> list[str]:
    """How much of the distances is sampling noise."""
    accepted = study.result("la_ranking").query("is_accepted == True")
    said = [
        "A quarterly rate jumps by chance, since it rests on few children. The"
        " noise"
        " ratio divides the distance of two LAs by the distance that two LAs with identical underlying"
        " trends would"
        " show by chance alone. Near 1, the pair is as alike as two identical LAs would look; below 1, it"
        " is that"
        " close by luck; well above 1, the two really differ.",
    ]
    trends = study.result("matched_trends").query("arm == 'treatment'")
    if study.outcome["outcome_kind"] == "binary" and len(trends):
        size = float(trends["denominator_count"].median())
        rate = float(trends["numerator"].sum() / trends["denominator_count"].sum())
        half = 196 * math.sqrt(rate * (1 - rate) / size)
        said.append(
            f"Here a typical quarter of a treatment LA holds {words.whole(size)} children, of whom"
            f" {words.decimal(100 * rate, 1)}% have the outcome. Chance alone moves such a rate by up to"
            f" {words.decimal(half, 1)} percentage points either way in 95 of 100 quarters (the grey band in"
            " the"
            " charts)."
        )
    if len(accepted):
        ratios = accepted["noise_ratio"].astype(float)
        below = int((ratios < 1).sum())
        said.append(
            f"Of the {words.times(len(ratios), 'accepted pair')}, {below} {'has' if below == 1 else 'have'}"
            " a ratio"
            f" below 1 (median {words.decimal(float(ratios.median()))}, largest"
            f" {words.decimal(float(ratios.max()))}). For a ratio of 1 or less, sampling noise explains the"
            " whole"
            " distance; the order among such pairs is largely luck. A small ratio therefore says that"
            " nothing speaks"
            " against the pair, and not that the two LAs move together."
        )
    said += [str(text) for text in study.result("la_noise").query("treatment_la_id == 'all'")["sentence"]]
    return said + _trend_words(study)


def _trend_words(study: Study) -> list[str]:
    """What the tests of parallel trends and of shocks found (FV.MATCH.5, FV.MATCH.7)."""
    tests = study.result("parallel_trend_tests").dropna(subset=["p_value"])
    found = [
        f"all quarters before go-live together give p = {words.decimal(float(row.p_value))}"
        f" with {int(row.cluster_count)} LAs"
        for row in records(tests.query("test == 'joint_leads'"))
    ]
    found += [
        f"with {row.note.split(' (')[0]}, LAs that were matched before part by {words.decimal(float(row.estimate))}"
        f" {row.unit} afterwards (p = {words.decimal(float(row.p_value))};"
        f" {words.decimal(float(row.detectable))} could have been found)"
        for row in records(tests.query("test == 'held_out_placebo'").sort_values("note"))
    ]
    said = []
    if found:
        said.append(
            f"Were trends parallel before go-live? {words.sentence('; '.join(found))}. Such tests can show that they"
            " were not; they never prove that they were."
        )
    shocks = study.result("shock_tests").dropna(subset=["p_value"])
    for row in records(shocks.query("test == 'shock_interaction' and p_value < 0.05")):
        said.append(
            f"After go-live the two arms differ in what follows the shock of {words.long_date(as_day(row.as_of_date))}"
            f" ({row.shock_title}): {words.decimal(float(row.estimate))} {row.unit},"
            f" p = {words.decimal(float(row.p_value))}. A violation of the assumption looks like this, and so does an"
            " effect that grows."
        )
    return said


def _exclusion_table(study: Study) -> Table | None:
    """Treatment LAs without a comparator, and LAs that may not serve as one, with the reasons."""
    rows = [
        Row((study.la(row.treatment_la_id), "Treatment LA left out", words.sentence(str(row.reason))))
        for row in records(study.result("matched_pairs").query("status == 'excluded'"))
    ]
    areas = study.mart("dim_programme_local_authorities")
    barred = areas[~areas["is_matching_candidate"].astype(bool) & ~areas["is_treatment_la"].astype(bool)]
    for reason, group in barred.groupby("exclusion_reason", sort=True):
        rows.append(
            Row(
                (
                    words.listed([str(name) for name in group["la_name"]]),
                    "Not a candidate for comparison",
                    words.sentence(words.plain(str(reason))),
                )
            )
        )
    if not rows:
        return None
    return Table(
        key=f"excluded-{study.key}",
        caption="LAs left out, and why",
        columns=[text("LA"), text("What"), text("Reason")],
        rows=rows,
    )


def _twin_words(study: Study) -> str:
    twins = study.inputs.twins.get((study.programme_id, study.outcome_id))
    if twins is None or twins.empty:
        return ""
    hits = int(twins["is_twin"].sum())
    return (
        f"The synthetic LAs were made with known twins, whose underlying trends are alike. {hits} of the"
        f" {words.times(len(twins), 'accepted pair')} {'is a pair' if hits == 1 else 'are pairs'} of planted"
        " twins."
    )


# --- 4: balance ---------------------------------------------------------------------------------


def balance(study: Study) -> dict[str, Any]:
    """Love plot, multivariate imbalance and shares matched."""
    frame = study.result("cem_balance").assign(
        before=lambda f: f["difference_before"].abs(), after=lambda f: f["difference_after"].abs()
    )
    rows = []
    for covariate, group in frame.groupby("covariate", sort=True):
        levels = len(group)
        rows.append(
            charts.Dots(
                label=f"{words.sentence(words.plain(str(covariate)))} ({words.times(levels, 'level')})",
                before=[float(v) for v in group["before"].dropna()],
                after=[float(v) for v in group["after"].dropna()],
            )
        )
    # Largest remaining difference first.
    rows.sort(key=lambda r: (-max(r.after, default=0.0), r.label))
    over = {name: int((frame[name] > BALANCE_LIMIT).sum()) for name in ("before", "after")}
    worst = frame.sort_values("after", ascending=False, kind="stable").head(1)
    said = []
    if len(worst):
        row = worst.iloc[0]
        said.append(
            f"Of {words.times(len(frame), 'level')} of {words.times(len(rows), 'characteristic')},"
            f" {over['before']}"
            f" differed by more than {BALANCE_LIMIT:g} before matching and {over['after']} after it. The"
            " largest"
            f" difference after matching is {words.decimal(float(row['after']), 3)}"
            f" ({words.plain(str(row['covariate']))}, level ‘{row['level']}’). What matching leaves, and"
            " characteristics on which children are not matched, the regression adjusts for."
        )
    imbalance = study.result("cem_imbalance")
    overall = imbalance[(imbalance["treatment_la_id"] == ALL) & (imbalance["period"] == ALL)]
    if len(overall):
        row = overall.iloc[0]
        said.append(
            "The imbalance L1 over all characteristics together went from"
            f" {words.decimal(float(row['l1_before']), 3)} to"
            f" {words.decimal(float(row['l1_after']), 3)}. It is 0 where two groups have exactly the same"
            " mix of"
            " children and 1 where they share none. It is measured on much finer groups than the matching"
            " uses;"
            " most of these hold few children, so that it stays well above 0 by chance alone. The change is"
            " what"
            " counts."
        )
    described = (
        f"Absolute standardised differences of {len(frame)} levels: {over['before']} above"
        f" {BALANCE_LIMIT:g} before matching, {over['after']} after."
    )
    return {
        "chart": charts.both_widths(
            charts.balance_chart, f"balance-{study.key}", described, rows=rows, threshold=BALANCE_LIMIT
        )
        if rows
        else None,
        "said": said,
        "shares": _share_table(study),
        "levels": _level_table(study, frame),
    }


def _share_table(study: Study) -> Table:
    shares, imbalance = study.result("cem_shares"), study.result("cem_imbalance")
    sets = sorted(set(shares["treatment_la_id"]) - {ALL}, key=study.la)
    rows = []
    for la in [*sets, ALL]:
        own = shares[(shares["treatment_la_id"] == la) & (shares["period"] == ALL)].set_index("arm")
        l1 = imbalance[(imbalance["treatment_la_id"] == la) & (imbalance["period"] == ALL)]
        cells = [study.la(la) if la != ALL else "All sets"]
        for arm in ("treatment", "comparison"):
            if arm in own.index:
                row = own.loc[arm]
                cells += [
                    words.whole(row["children_count"]),
                    words.whole(row["matched_children_count"]),
                    f"{100 * row['matched_share']:.1f}%",
                ]
            else:
                cells += [words.DASH] * 3
        basis = shares.loc[shares["treatment_la_id"] == la, "strata_used"]
        cells.append(words.plain(str(basis.iloc[0])) if len(basis) else words.DASH)
        for name in ("l1_before", "l1_after"):
            cells.append(words.decimal(float(l1[name].iloc[0]), 3) if len(l1) else words.DASH)
        rows.append(Row(cells, kind="total" if la == ALL else ""))
    return Table(
        key=f"shares-{study.key}",
        caption=(
            "Children matched and imbalance L1, by treatment LA (a comparison LA that serves several"
            " treatment LAs"
            " counts in each)"
        ),
        columns=[
            text("Treatment LA"),
            number("Treatment: children"),
            number("Treatment: matched"),
            number("Share"),
            number("Comparison: children"),
            number("Comparison: matched"),
            number("Share"),
            text("Matched within"),
            number("L1 before"),
            number("L1 after"),
        ],
        rows=rows,
    )


def _level_table(study: Study, frame: pd.DataFrame) -> Table:
    ordered = frame.assign(
        plain=[words.plain(str(name)) for name in frame["covariate"]],
        order=pd.to_numeric(frame["level"], errors="coerce"),
    ).sort_values(["plain", "order", "level"], kind="stable")
    rows = [
        Row(
            (
                words.sentence(row.plain),
                str(row.level),
                *(
                    f"{100 * value:.2f}" if pd.notna(value) else words.DASH
                    for value in (
                        row.treated_share_before,
                        row.control_share_before,
                        row.treated_share_after,
                        row.control_share_after,
                    )
                ),
                words.decimal(float(row.difference_before), 3),
                words.decimal(float(row.difference_after), 3),
            )
        )
        for row in records(ordered)
    ]
    return Table(
        key=f"levels-{study.key}",
        caption="Every level: share of children in each arm (%) and standardised difference",
        columns=[
            text("Characteristic"),
            text("Level (code)"),
            number("Treatment before, %"),
            number("Comparison before, %"),
            number("Treatment after, %"),
            number("Comparison after, %"),
            number("Difference before"),
            number("Difference after"),
        ],
        rows=rows,
    )


# --- 5: all estimates ---------------------------------------------------------------------------


def main_effects(study: Study) -> Table:
    """The primary specification and its companions on the same children: every unit and model (FV.EST.4)."""
    effects = study.result("effects")
    own = effects[effects["is_primary"].astype(bool) | (effects["specification_id"].isin(companions(study)))]
    own = own.assign(order=~own["is_primary"].astype(bool)).sort_values("order", kind="stable")
    rows = []
    for row in records(own):
        rows.append(
            Row(
                (
                    f"{row.label}{' (primary)' if row.is_primary else ''}",
                    str(row.scale),
                    words.decimal(row.estimate),
                    words.interval(row.ci_low, row.ci_high),
                    words.p_value(row.p_value),
                    words.p_value(row.p_value_hochberg),
                    words.decimal(_effect_size(study, row), 3),
                    words.whole(row.children_count),
                    words.whole(row.cluster_count),
                    words.decimal(row.baseline_mean_pct, 2),
                    str(row.inference_method)
                    + (f", {words.decimal(row.degrees_of_freedom, 0)} d.f." if row.degrees_of_freedom > 0 else ""),
                    # What `sfpc explain` takes: the data row of the file, from 1.
                    f"effects.csv:{row.Index + 1}",
                ),
                kind="chosen" if row.is_primary else "",
            )
        )
    return Table(
        key=f"main-{study.key}",
        caption=f"The effect: {words.lowered(str(study.outcome['label']))}",
        columns=[
            text("Model"),
            text("Unit"),
            number("Estimate"),
            number(f"{confidence(study.inputs)} interval"),
            number("p"),
            number("p, adjusted"),
            number("Effect size"),
            number("Children"),
            number("LAs"),
            number("Baseline, %"),
            text("Method"),
            text("Walk back"),
        ],
        rows=rows,
        notes=_clustering(study),
        is_small=True,
    )


def _clustering(study: Study) -> list[tuple[str, str]]:
    """How alike children of one LA are, in a note: the intraclass correlation of the outcome (FV.POWER.1)."""
    held = study.result("power_correlations")
    return [
        (
            "Clusters",
            f"LAs. The intraclass correlation of the outcome is {words.decimal(row.icc, 4)} (standard error"
            f" {words.decimal(row.icc_error, 4)}), over {words.whole(row.la_count)} LAs and"
            f" {words.whole(row.quarter_count)} quarters before go-live.",
        )
        for row in records(held[held["icc"].notna()])
    ]


def companions(study: Study) -> list[str]:
    """Specifications that differ from the primary one in the model alone, of the models that the protocol states."""
    held = study.specifications
    primary = study.primary["specification_id"]
    if primary not in held.index:
        return []
    same = [
        c
        for c in ("treatment", "matching_window", "missing_covariates", "reading_id", "children", "weights")
        if c in held.columns
    ]
    # A column without any value has no type of words.
    choices = held[same].astype("string").fillna("")
    alike = (choices == choices.loc[primary]).all(axis=1)
    stated = held["model"].isin(("linear", "logit", "imputation"))
    return [str(name) for name in held.index[alike & stated]]


def _effect_size(study: Study, row: Any) -> float:
    """The effect in standard deviations of a share at its baseline; NaN for other outcomes."""
    share = float(row.baseline_mean_pct) / 100
    if row.scale != PERCENTAGE_POINTS or study.outcome["outcome_kind"] != words.BINARY or not 0 < share < 1:
        return math.nan
    return float(row.estimate) / 100 / math.sqrt(share * (1 - share))


def inference(study: Study) -> Table | None:
    """The primary estimate's interval and p-value by every method, the primary method first (FV.EST.3)."""
    primary = study.primary
    found = study.result("inference")
    mine = found[
        (found["specification_id"] == primary["specification_id"]) & (found["scale"] == primary["scale"])
    ].sort_values("is_primary_method", ascending=False, kind="stable")
    if len(mine) < 2:
        return None
    return Table(
        key=f"inference-{study.key}",
        caption="How certain: the primary estimate by every method of inference",
        columns=[
            text("Method"),
            number("Estimate"),
            number("Standard error"),
            number(f"{confidence(study.inputs)} interval"),
            number("p"),
            number("Degrees of freedom"),
        ],
        rows=[
            Row(
                (
                    f"{row.inference_method}{' (primary)' if row.is_primary_method else ''}",
                    words.decimal(row.estimate),
                    words.decimal(row.standard_error),
                    words.interval(row.ci_low, row.ci_high),
                    words.p_value(row.p_value),
                    words.decimal(row.degrees_of_freedom, 1),
                ),
                kind="chosen" if row.is_primary_method else "",
            )
            for row in records(mine)
        ],
    )


def planted_by_la(study: Study) -> Table | None:
    """The planted effect by treatment LA; none for real data."""
    truth = study.truth
    if truth is None:
        return None
    rows = [
        Row(
            (
                f"{study.la(row.la_id)} ({row.la_id})",
                words.whole(row.treated_count),
                words.whole(row.known_count),
                words.decimal(row.effect),
            )
        )
        for row in records(truth.by_la)
    ]
    rows.append(
        Row(
            (
                "All",
                words.whole(truth.treated_count),
                words.whole(truth.known_count),
                words.decimal(truth.effect),
            ),
            kind="total",
        )
    )
    return Table(
        key=f"planted-{study.key}",
        caption=f"The planted effect among the treated children analysed, in {study.primary['scale']}",
        columns=[
            text("Treatment LA (code)"),
            number("Treated children analysed"),
            number("With known truth"),
            number("Planted effect"),
        ],
        rows=rows,
    )
