"""Sections on how far the result depends on how it was found: variants, time, timing of go-live, trends, single LAs.

Everything is drawn from the results tables; the table of the same numbers stands beside each figure.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from sfpc.report import charts, words
from sfpc.report.document import Block, Fold, Heading, Items, Picture, Text
from sfpc.report.study import Study, confidence, records, significance_level
from sfpc.report.tables import Row, Table, lettered, number, text
from sfpc.report.words import PERCENTAGE_POINTS

# Definitions of being treated that rest on what happened after the referral: exposure, not intention to treat
# (FV.TREAT.2, FV.TREAT.3).
_EXPOSURES = frozenset({"is_treated_by_share_of_time", "is_treated_by_days"})
_EXPOSURE_MARK = "exposure, not intention to treat"
# What a specification chooses, in the order in which a difference from the primary one names its group.
_CHOICES = {
    "treatment": ("Who counts as treated", "Other definitions of who counts as treated"),
    "matching_window": ("Quarters that LAs are matched on", "LAs matched on other quarters"),
    "missing_covariates": ("Missing characteristics", "Other ways with missing characteristics"),
    "reading_id": ("Reading of the outcome", "Other readings of the outcome"),
    "children": ("Children", "Other children"),
    "weights": ("Weights", "Other weights"),
    "model": ("Model", "Other models"),
}
_SAME = "The same children and definitions"
# Labels only: a choice that is not here is shown by its own name.
_PLAIN = {
    ("missing_covariates", "as_levels"): "a group of their own",
    ("missing_covariates", "imputed"): "imputed",
    ("missing_covariates", "left_out"): "children left out",
    ("matching_window", "default"): "as in the protocol",
    ("matching_window", "last_8_quarters"): "the last eight",
    ("matching_window", "no_gap"): "without the gap before go-live",
    ("matching_window", "with_trailblazer"): "as in the protocol, the trailblazer's too",
    ("reading_id", "default"): "as in the protocol",
    ("reading_id", "window_12"): "within 12 months",
    ("reading_id", "window_24"): "within 24 months",
    ("reading_id", "cpp_days"): "child protection plans only",
    ("reading_id", "cin_plan_days"): "CIN plans only",
    ("reading_id", "cin_episode_days"): "open CIN episodes",
    ("reading_id", "with_already_looked_after"): "looked after already: kept",
    ("children", "all"): "all matched",
    ("children", "without_shocked_las"): "without LAs with a shock",
    ("weights", "cem_protocol"): "matching",
    ("weights", "cem_ikp"): "matching, scaled",
    ("weights", "cem_period"): "matching within periods",
    ("model", "callaway_santanna"): "Callaway and Sant'Anna",
    ("model", "sun_abraham"): "Sun and Abraham",
    ("model", "synthetic_did"): "synthetic difference in differences",
    ("model", "child_effects"): "child random effects",
}
RELATIVE, SMOOTH = "relative magnitudes", "smoothness"


def _plain(kind: str, value: object) -> str:
    return _PLAIN.get((kind, str(value)), words.plain(str(value)))


def _choice(study: Study, specification_id: str, kind: str) -> str | None:
    """What a specification chose; none where the register of specifications does not hold it."""
    held = study.specifications
    if specification_id not in held.index:
        return None
    value: Any = held.loc[specification_id, kind]
    return None if pd.isna(value) else str(value)


def is_exposure(study: Study, specification_id: str) -> bool:
    """Whether a specification counts as treated whom the programme reached, instead of whom it was meant for."""
    return _choice(study, specification_id, "treatment") in _EXPOSURES


def label_of(study: Study, row: Any) -> str:
    """The label of a row of effects, saying where it is exposure."""
    label = str(row.label)
    if not is_exposure(study, str(row.specification_id)):
        return label
    return f"{label.removesuffix(' (exposure)')} ({_EXPOSURE_MARK})"


def _group(study: Study, specification_id: str) -> str:
    primary = str(study.primary["specification_id"])
    for kind, (_, heading) in _CHOICES.items():
        if _choice(study, specification_id, kind) != _choice(study, primary, kind) and kind != "model":
            return heading
    return _SAME


def _unit(scale: str, is_short: bool = False) -> str:
    if scale != PERCENTAGE_POINTS:
        return f"Effect in {scale}"
    return "Effect in percentage points" + ("" if is_short else " (children in every 100)")


# --- every specification ------------------------------------------------------------------------


def variants(study: Study) -> list[Block]:
    """Forest plot and specification curve of the variants that ask the same question; the table of all estimates."""
    primary = study.primary
    effects = study.result("effects")
    mine = effects[effects["scale"] == primary["scale"]]
    blocks: list[Block] = []
    known = mine[mine["estimate"].notna()]
    asked = [row for row in records(known) if not is_exposure(study, str(row.specification_id))]
    exposed = [row for row in records(known) if is_exposure(study, str(row.specification_id))]
    if math.isfinite(float(primary["estimate"])) and len(asked) > 1:
        blocks += [Text(line) for line in _variant_words(study, asked, exposed)]
        blocks += _forest(study, asked, exposed)
        if len(asked) > 2:
            blocks.append(_curve(study, asked))
    blocks.append(estimates(study))
    return blocks


def _variant_words(study: Study, asked: list[Any], exposed: list[Any]) -> list[str]:
    primary = study.primary
    scale, estimate = str(primary["scale"]), float(primary["estimate"])
    others = [row for row in asked if not row.is_primary]
    found = [float(row.estimate) for row in asked]
    same_sign = sum((float(row.estimate) < 0) == (estimate < 0) for row in others)
    with_interval = [r for r in others if not (math.isnan(r.ci_low) or math.isnan(r.ci_high))]
    without_zero = sum(r.ci_low > 0 or r.ci_high < 0 for r in with_interval)
    said = [
        f"{words.times(len(others), 'variant')} of the analysis {'asks' if len(others) == 1 else 'ask'} the same"
        " question"
        f" another way. The estimates lie between {words.decimal(min(found))} and {words.decimal(max(found))}"
        f" {scale}; the"
        f" primary one is {words.decimal(estimate)}. {words.whole(same_sign)} of {words.whole(len(others))} point the"
        " same"
        f" way, and the interval leaves out 0 in {words.whole(without_zero)} of the {words.whole(len(with_interval))}"
        " that"
        " have one. They share most of their children and are no independent confirmations."
    ]
    if exposed:
        names = words.listed([words.decimal(float(row.estimate)) for row in exposed])
        said.append(
            f"{words.times(len(exposed), 'other estimate')} ({names} {scale}) {'is' if len(exposed) == 1 else 'are'} of"
            " exposure and not of intention to treat: who counts as treated depends on how long a case stayed open"
            " after"
            " go-live. Cases that stay open long are harder cases, so that such an estimate mixes the effect with who"
            " the children are. It is shown because the protocol lists it, on an axis of its own."
        )
    return said


def _as_bar(study: Study, row: Any, kind: str) -> charts.Bar:
    return charts.Bar(label_of(study, row), float(row.estimate), float(row.ci_low), float(row.ci_high), kind)


def _forest(study: Study, asked: list[Any], exposed: list[Any]) -> list[Block]:
    primary, level = study.primary, confidence(study.inputs)
    scale = str(primary["scale"])
    first = [row for row in asked if row.is_primary]
    rest = [row for row in asked if not row.is_primary]
    headings = [_SAME, *(heading for _, heading in reversed(_CHOICES.values()))]
    groups = [("Primary analysis", [_as_bar(study, row, "primary") for row in first])]
    for heading in headings:
        own = [_as_bar(study, row, "same") for row in rest if _group(study, str(row.specification_id)) == heading]
        if own:
            groups.append((heading, own))
    truth = math.nan if study.truth is None else study.truth.effect
    blocks: list[Block] = [
        Picture(
            charts.both_widths(
                charts.forest_chart,
                f"forest-{study.key}",
                f"Forest plot in {scale}, {level} intervals: " + _spoken(groups) + ".",
                groups=groups,
                unit=_unit(scale),
                reference=float(primary["estimate"]),
                truth=truth,
            ),
            f"Every variant that asks the same question: estimates with their {level} intervals",
            "Square: the primary analysis. Dotted line: its estimate. An arrow: the interval runs on.",
        )
    ]
    if exposed:
        others = [("", [_as_bar(study, row, "other") for row in exposed])]
        blocks.append(
            Picture(
                charts.both_widths(
                    charts.forest_chart,
                    f"exposure-{study.key}",
                    f"Estimates of exposure in {scale}, {level} intervals: " + _spoken(others) + ".",
                    groups=others,
                    unit=_unit(scale),
                    reference=float(primary["estimate"]),
                ),
                f"Exposure, not intention to treat: estimates with their {level} intervals",
                "Not comparable with the primary analysis, whose estimate is the dotted line.",
            )
        )
    return blocks


def _spoken(groups: list[tuple[str, list[charts.Bar]]]) -> str:
    return "; ".join(
        f"{bar.label} {words.decimal(bar.estimate)} ({words.interval(bar.low, bar.high)})"
        for _, own in groups
        for bar in own
    )


def _curve(study: Study, asked: list[Any]) -> Picture:
    primary = study.primary
    ordered = sorted(asked, key=lambda row: float(row.estimate))
    choices = [
        charts.Choice(
            _as_bar(study, row, "primary" if row.is_primary else "same"),
            [_plain(kind, _choice(study, str(row.specification_id), kind) or words.DASH) for kind in _CHOICES],
        )
        for row in ordered
    ]
    place = next((i + 1 for i, row in enumerate(ordered) if row.is_primary), 0)
    return Picture(
        charts.both_widths(
            charts.specification_curve,
            f"curve-{study.key}",
            f"Specification curve: {len(ordered)} estimates in order of size, from"
            f" {words.decimal(float(ordered[0].estimate))} to {words.decimal(float(ordered[-1].estimate))}"
            f" {primary['scale']}; the primary one is number {place} from the left. Below each, the choices it rests"
            " on.",
            choices=choices,
            kinds=[name for name, _ in _CHOICES.values()],
            unit=_unit(str(primary["scale"])),
            reference=float(primary["estimate"]),
        ),
        "Specification curve: the same estimates in order of size, and the choices that each rests on",
        "Square: the primary analysis. Choices that all of them share are not shown.",
    )


def estimates(study: Study) -> Table:
    """Every row of the effects, the primary one first, with its method and notes below the table."""
    effects = study.result("effects")
    headings = [_SAME, *(heading for _, heading in reversed(_CHOICES.values()))]
    order = [(not row.is_primary, headings.index(_group(study, str(row.specification_id)))) for row in records(effects)]
    effects = effects.iloc[sorted(range(len(effects)), key=lambda place: order[place])]
    marks, notes = lettered([None if pd.isna(note) else words.spoken(str(note)) for note in effects["note"]])
    methods = list(dict.fromkeys(str(name) for name in effects["inference_method"]))
    rows = []
    for row, mark in zip(records(effects), marks, strict=True):
        rows.append(
            Row(
                (
                    f"{label_of(study, row)}{' (primary)' if row.is_primary else ''}",
                    str(row.scale),
                    words.decimal(row.estimate),
                    words.interval(row.ci_low, row.ci_high),
                    words.p_value(row.p_value),
                    str(methods.index(str(row.inference_method)) + 1),
                    words.decimal(row.degrees_of_freedom, 0),
                    words.whole(row.children_count),
                    words.whole(row.treated_children_count),
                    words.whole(row.cluster_count),
                    words.whole(row.treated_cluster_count),
                    words.decimal(row.baseline_mean_pct, 2),
                    mark or words.DASH,
                ),
                kind="chosen" if row.is_primary else "",
            )
        )
    return Table(
        key=f"effects-{study.key}",
        caption=f"All estimates of the run: {words.lowered(str(study.outcome['label']))}",
        columns=[
            text("Model"),
            text("Unit"),
            number("Estimate"),
            number(f"{confidence(study.inputs)} interval"),
            number("p"),
            text("Method"),
            number("Degrees of freedom"),
            number("Children"),
            number("Treated children"),
            number("LAs"),
            number("With treated"),
            number("Baseline, %"),
            text("Notes"),
        ],
        rows=rows,
        notes=[*((str(place), name) for place, name in enumerate(methods, 1)), *notes],
        is_small=True,
    )


# --- time since go-live -------------------------------------------------------------------------


def event_study(study: Study) -> list[Block]:
    """The effect by quarter since go-live, and whether the groups parted before it (FV.SENS.2)."""
    frame = study.result("event_study")
    if frame.empty:
        return []
    method, own = _first_method(frame, "is_reference")
    unit = str(own["scale"].iloc[0])
    steps = [
        charts.Step(
            label=_quarter(int(row.period), bool(row.is_open_ended)),
            estimate=float(row.estimate),
            low=float(row.ci_low),
            high=float(row.ci_high),
            is_before=int(row.period) < 0,
            is_reference=bool(row.is_reference),
            is_open_ended=bool(row.is_open_ended),
        )
        for row in records(own)
    ]
    level = confidence(study.inputs)
    described = "; ".join(
        f"quarter {step.label.replace(chr(10), ' ')} {words.decimal(step.estimate)}"
        f" ({words.interval(step.low, step.high)})"
        for step in steps
        if not step.is_reference
    )
    blocks: list[Block] = [Text(line) for line in _lead_words(study, own)]
    blocks.append(
        Picture(
            charts.both_widths(
                charts.event_chart,
                f"event-{study.key}",
                f"Effect by quarter since go-live in {unit}, {level} intervals by {method}: {described}.",
                steps=steps,
                unit=_unit(unit, is_short=True) + ", against the last quarter before go-live",
                title="Quarters since go-live of the LA",
            ),
            f"Effect by quarter since go-live, with {level} intervals",
            f"Intervals: {method}. Open circle: the quarter that all others are compared with. A white centre: the"
            " quarter"
            " and all beyond it. Later quarters rest on the LAs that went live first.",
        )
    )
    blocks.append(
        Table(
            key=f"event-study-{study.key}",
            caption="Effect by quarter since go-live",
            columns=[
                text("Quarter since go-live"),
                number(f"Estimate, {unit}"),
                number(f"{level} interval"),
                number("p"),
                number("Children"),
                number("LAs"),
            ],
            rows=[
                Row(
                    (
                        _quarter(int(row.period), bool(row.is_open_ended)).replace("\n", " ")
                        + (" (reference)" if row.is_reference else ""),
                        words.decimal(row.estimate),
                        words.interval(row.ci_low, row.ci_high),
                        words.p_value(row.p_value),
                        words.whole(row.children_count),
                        words.whole(row.cluster_count),
                    )
                )
                for row in records(own)
            ],
            is_small=True,
        )
    )
    tests = study.result("lead_tests")
    if len(tests):
        blocks.append(_lead_table(study, tests))
    return blocks


def _first_method(frame: pd.DataFrame, reference: str | None = None) -> tuple[str, pd.DataFrame]:
    """The rows by the first method of inference that the results list, and the reference rows with them."""
    is_reference = frame[reference].astype(bool) if reference else pd.Series(False, index=frame.index)
    methods = frame.loc[~is_reference, "inference_method"]
    method = str(methods.iloc[0]) if len(methods) else ""
    return method, frame[is_reference | (frame["inference_method"] == method)]


def _quarter(period: int, is_open_ended: bool) -> str:
    text = words.decimal(float(period), 0)
    return text if not is_open_ended else f"{text} or\n{'earlier' if period < 0 else 'later'}"


def _lead_words(study: Study, own: pd.DataFrame) -> list[str]:
    said = []
    tests = study.result("lead_tests")
    level = significance_level(study.inputs)
    if len(tests):
        first = tests.iloc[0]
        p, count = first["p_value"], int(first["coefficient_count"])
        if pd.isna(p):
            said.append(
                f"The quarters before go-live could not be tested together: {first['note'] or 'no reason given'}."
            )
        elif float(p) < level:
            said.append(
                f"Before go-live the two groups were already moving apart: the {words.times(count, 'quarter')} before"
                " it,"
                f" tested together, differ from the last one by more than chance allows (p = {words.p_value(float(p))},"
                f" {first['inference_method']}). The effect must be read with that."
            )
        else:
            others = [float(v) for v in tests["p_value"].iloc[1:].dropna()]
            said.append(
                "Before go-live there is no sign that the two groups were moving apart: the"
                f" {words.times(count, 'quarter')}"
                f" before it, tested together, differ from the last one by no more than chance allows (p ="
                f" {words.p_value(float(p))}, {first['inference_method']}). With this few LAs such a test misses"
                " much, so it"
                " does not prove that trends were parallel."
            )
            if any(other < level for other in others):
                said[-1] += (
                    " Tests made for many LAs, in the table below, give p down to"
                    f" {words.p_value(min(others))}; with few LAs they accuse too often."
                )
        notes = [str(note) for note in tests["note_on_study"].dropna().unique() if str(note)]
        said += [words.sentence(words.spoken(note)) + "." for note in notes]
    after = own[(own["period"] >= 0) & ~own["is_open_ended"].astype(bool)].dropna(subset=["estimate"])
    if len(after) > 1:
        head, tail = after.iloc[0], after.iloc[-1]
        said.append(
            f"In the first quarter after go-live the estimate is {words.decimal(float(head['estimate']))}"
            f" {head['scale']}; in quarter {int(tail['period'])}, the last that stands for itself, it is"
            f" {words.decimal(float(tail['estimate']))} and rests on {words.times(int(tail['cluster_count']), 'LA')}."
        )
    return said


def _lead_table(study: Study, tests: pd.DataFrame) -> Table:
    marks, notes = lettered([None if pd.isna(note) else str(note) for note in tests["note"]])
    return Table(
        key=f"leads-{study.key}",
        caption="Were the groups moving apart before go-live? All quarters before it together",
        columns=[
            text("Method"),
            number("Statistic"),
            number("Quarters"),
            number("Degrees of freedom"),
            number("p"),
            text("Note"),
        ],
        rows=[
            Row(
                (
                    f"{row.inference_method}{' (leads)' if place == 0 else ''}",
                    words.decimal(row.statistic),
                    words.whole(row.coefficient_count),
                    words.decimal(row.degrees_of_freedom, 1),
                    words.p_value(row.p_value),
                    mark or words.DASH,
                ),
                kind="chosen" if place == 0 else "",
            )
            for place, (row, mark) in enumerate(zip(records(tests), marks, strict=True))
        ],
        notes=notes,
        is_small=True,
    )


# --- timing of go-live --------------------------------------------------------------------------


def bacon(study: Study) -> list[Block]:
    """Goodman-Bacon's decomposition (FV.SENS.3)."""
    frame = study.result("bacon").sort_values("weight", ascending=False, kind="stable")
    if frame.empty:
        return []
    unit, coefficient = str(frame["scale"].iloc[0]), float(frame["coefficient"].iloc[0])
    parts = [f"{100 * row.weight:.0f}% from ‘{row.comparison}’" for row in records(frame)]
    risk = (
        "The weight of LAs that are live already is large enough to put the one coefficient at risk: the estimators"
        " that"
        " leave such comparisons out stand among the variants above and come first in judging the effect."
        if bool(frame["is_at_risk"].astype(bool).any())
        else "The weight of comparisons with LAs that are live already is too small to put the one coefficient at risk."
    )
    rows = [charts.Comparison(str(r.comparison), float(r.weight), float(r.effect)) for r in records(frame)]
    said = "; ".join(f"{r.label}: weight {100 * r.weight:.1f}%, effect {words.decimal(r.effect)}" for r in rows)
    return [
        Text(
            "LAs went live one after another, so the one coefficient is an average of comparisons of pairs of"
            " groups. Its"
            f" weight comes to {words.listed(parts)}. A comparison of an LA with one that is live already goes wrong"
            " where"
            f" effects grow. {risk}"
        ),
        Picture(
            charts.both_widths(
                charts.bacon_chart,
                f"bacon-{study.key}",
                f"Goodman-Bacon plot, effect in {unit} against weight: {said}; weighted mean"
                f" {words.decimal(coefficient)}.",
                rows=rows,
                unit=_unit(unit, is_short=True),
                coefficient=coefficient,
            ),
            "Goodman-Bacon decomposition: the effect of each kind of comparison against its weight",
            f"Means of LAs over periods of {words.times(int(frame['period_months'].iloc[0]), 'month')}, LAs count"
            " alike, so"
            " that the mean is not exactly the primary estimate.",
        ),
        Table(
            key=f"bacon-table-{study.key}",
            caption="Goodman-Bacon decomposition",
            columns=[text("Comparison"), number("Weight, %"), number(f"Effect, {unit}")],
            rows=[
                *(
                    Row((words.sentence(r.label), words.decimal(100 * r.weight, 1), words.decimal(r.effect)))
                    for r in rows
                ),
                Row(
                    ("Weighted mean", words.decimal(100 * float(frame["weight"].sum()), 1), words.decimal(coefficient)),
                    kind="total",
                ),
            ],
            is_small=True,
        ),
    ]


# --- trends that are not parallel ---------------------------------------------------------------


def trend_bounds(study: Study) -> list[Block]:
    """How far trends may part before the conclusion changes (FV.SENS.6)."""
    frame = study.result("trend_bounds")
    if frame.empty:
        return []
    first = frame.iloc[0]
    unit, level = str(first["scale"]), confidence(study.inputs)
    rows = []
    for row in records(frame):
        rows.append(
            Row(
                (
                    words.sentence(str(row.restriction)),
                    words.decimal(float(row.limit), 1)
                    if row.restriction == RELATIVE
                    else words.decimal(float(row.limit) * study.factor, 3),
                    words.interval(row.set_low, row.set_high),
                    words.interval(row.ci_low, row.ci_high),
                    words.DASH
                    if math.isnan(row.ci_low) or math.isnan(row.ci_high)
                    else "no"
                    if row.ci_low > 0 or row.ci_high < 0
                    else "yes",
                )
            )
        )
    notes = [str(note) for note in frame["note"].dropna().unique()]
    return [
        *(Text(line) for line in _breakdown_words(study, frame)),
        Table(
            key=f"bounds-{study.key}",
            caption=(
                f"What remains of the effect if trends part after go-live, in {unit} ({first['target']}; with parallel"
                f" trends {words.decimal(float(first['estimate']))})"
            ),
            columns=[
                text("Trends may part by"),
                number("At most (M)"),
                number("Effects the estimates allow"),
                number(f"{level} interval"),
                text("Interval holds 0"),
            ],
            rows=rows,
            notes=[
                ("M", "Relative magnitudes: times the largest step before go-live, from quarter to quarter. Smoothness:"
                 f" change of slope in {unit} a quarter; 0 is a straight line that goes on."),
                *((chr(97 + place), words.sentence(note)) for place, note in enumerate(notes)),
            ],
            is_small=True,
        ),
    ]  # fmt: skip


def _breakdown_words(study: Study, frame: pd.DataFrame) -> list[str]:
    said = []
    own = frame[frame["restriction"] == RELATIVE]
    if len(own):
        value = float(own["breakdown"].iloc[0])
        if math.isnan(value):
            said.append("How far trends may part before the conclusion changes could not be worked out.")
        elif value <= 0:
            said.append(
                "Breakdown value: none. Even with exactly parallel trends the interval of this effect holds 0, so"
                " that there"
                " is no conclusion that parting trends could change."
            )
        elif math.isinf(value):
            said.append(
                "Breakdown value: none was reached. However far trends were let part, up to twenty times their"
                " largest step"
                " before go-live, the interval leaves out 0."
            )
        else:
            said.append(
                f"Breakdown value: {words.decimal(value)}. The interval leaves out 0 as long as the difference in"
                " trends"
                f" moves, from one quarter to the next, by no more than {words.decimal(value)} times its largest step"
                " before"
                " go-live. Should trends have parted further than that after go-live, they alone could have made the"
                f" result. {_how_robust(value)}"
            )
    smooth = frame[frame["restriction"] == SMOOTH]
    if len(smooth):
        value = float(smooth["breakdown"].iloc[0]) * study.factor
        line = smooth.sort_values("limit").iloc[0]
        low, high, estimate = float(line["ci_low"]), float(line["ci_high"]), float(line["estimate"])
        if (low > 0 and estimate < 0) or (high < 0 and estimate > 0):
            said.append(
                "If the difference in trends before go-live had gone on in a straight line, the effect would point"
                " the other"
                f" way ({words.interval(low, high)} {line['scale']}): the conclusion rests on its not having gone on."
            )
        elif value > 0 and math.isfinite(value):
            said.append(
                "If the difference in trends went on in a straight line instead, its slope could change by up to"
                f" {words.decimal(value, 3)} {line['scale']} a quarter before the interval holds 0."
            )
    return said


def _how_robust(value: float) -> str:
    if value < 1:
        return "This is less than was seen before go-live, so the result leans on trends having been parallel."
    return "This is as much as was seen before go-live or more, so the result does not lean on it alone."


# --- single LAs ---------------------------------------------------------------------------------


def leave_one_out(study: Study) -> list[Block]:
    """The estimate without each LA in turn (FV.SENS.6)."""
    frame = study.result("leave_one_out")
    if frame.empty:
        return []
    unit, level = str(frame["scale"].iloc[0]), confidence(study.inputs)
    ordered = frame.assign(
        name=[f"{study.la(la)} ({la})" for la in frame["la_id"]], short=[study.short_la(la) for la in frame["la_id"]]
    ).sort_values(["is_treated_la", "estimate"], ascending=[False, True], kind="stable")
    known = ordered.dropna(subset=["estimate"])
    whole = _linear(study)
    groups = [
        (
            heading,
            [
                charts.Bar(f"without {row.short}", float(row.estimate), float(row.ci_low), float(row.ci_high))
                for row in records(known[known["is_treated_la"].astype(bool) == is_treated])
            ],
        )
        for heading, is_treated in (("Treatment LAs", True), ("Comparison LAs", False))
    ]
    groups = [(heading, bars) for heading, bars in groups if bars]
    blocks: list[Block] = []
    if len(known):
        low, high = known["estimate"].min(), known["estimate"].max()
        holding = known[(known["ci_low"] <= 0) & (known["ci_high"] >= 0)]
        no_interval = known[known["ci_low"].isna() | known["ci_high"].isna()]
        ends = (
            "The interval leaves out 0 whichever LA is left out."
            if holding.empty and no_interval.empty
            else f"The interval holds 0 without {words.listed([str(n) for n in holding['short']])}."
            if 0 < len(holding) < len(known)
            else "The interval holds 0 whichever LA is left out."
            if len(holding) == len(known)
            else ""
        )
        far = known.assign(away=(known["estimate"] - whole).abs()).sort_values("away").iloc[-1]
        most = (
            f" {far['short']} matters most: without it the estimate is {words.decimal(float(far['estimate']))}."
            if math.isfinite(whole)
            else ""
        )
        with_all = f" With all LAs the same model gives {words.decimal(whole)}." if math.isfinite(whole) else ""
        blocks.append(
            Text(
                f"Left out one at a time, the LAs leave estimates between {words.decimal(float(low))} and"
                f" {words.decimal(float(high))} {unit}.{with_all}{most} {ends}".strip()
            )
        )
        blocks.append(
            Picture(
                charts.both_widths(
                    charts.forest_chart,
                    f"without-{study.key}",
                    f"Estimates in {unit} without each LA in turn, {level} intervals: {_spoken(groups)}.",
                    groups=groups,
                    unit=_unit(unit),
                    reference=whole,
                    reference_name="all LAs",
                ),
                f"The estimate without each LA in turn, with {level} intervals",
                "Dotted line: the same linear model with all LAs.",
            )
        )
    blocks.append(
        Table(
            key=f"leave-one-out-{study.key}",
            caption="The estimate of the linear model without each LA in turn",
            columns=[
                text("Left out: LA (code)"),
                text("Part"),
                number(f"Estimate, {unit}"),
                number(f"{level} interval"),
                number("p"),
                text("Method"),
            ],
            rows=[
                Row(
                    (
                        str(row.name),
                        "Treatment" if row.is_treated_la else "Comparison",
                        words.decimal(row.estimate),
                        words.interval(row.ci_low, row.ci_high),
                        words.p_value(row.p_value),
                        str(row.inference_method),
                    )
                )
                for row in records(ordered)
            ],
            is_small=True,
        )
    )
    return blocks


def _linear(study: Study) -> float:
    """The estimate of the linear model on the sample of the primary specification; NaN where none was run."""
    primary = study.primary
    effects = study.result("effects")
    for row in records(effects[(effects["model"] == "linear") & (effects["scale"] == primary["scale"])]):
        if _group(study, str(row.specification_id)) == _SAME:
            return float(row.estimate)
    return math.nan


# --- all of it ----------------------------------------------------------------------------------


def around(study: Study) -> list[Block]:
    """Everything around the primary effect of one outcome, each part with a heading."""
    parts = (
        ("Other ways to ask the same question", variants(study)),
        ("Time since go-live, and before it", event_study(study)),
        ("LAs that went live one after another", bacon(study)),
        ("If trends were not parallel", trend_bounds(study)),
        ("Single LAs", leave_one_out(study)),
    )
    blocks: list[Block] = []
    for title, held in parts:
        if held:
            blocks += [Heading(title, 4), *held]
    return blocks


# --- missing characteristics --------------------------------------------------------------------


def missing_data(study: Study) -> list[Block]:
    """Which characteristics are missing, what that is related to, and what it does to the effect (FV.COV.4)."""
    shares = study.result("missing_covariates")
    if shares.empty:
        return []
    blocks: list[Block] = [Items(_missing_words(study, shares))]
    beside = _missing_effects(study)
    if beside is not None:
        blocks.append(beside)
    blocks.append(
        Table(
            key=f"missing-{study.key}",
            caption="Characteristics of the matched children: how many are missing, and what is done about it",
            columns=[
                text("Characteristic"),
                number("Children"),
                number("Missing"),
                number("Missing, %"),
                text("In the imputed analysis"),
                text("Reason"),
            ],
            rows=[
                Row(
                    (
                        words.sentence(words.plain(str(row.covariate))),
                        words.whole(row.children_count),
                        words.whole(row.missing_count),
                        words.decimal(100 * float(row.missing_share), 1),
                        str(row.decision),
                        str(row.reason),
                    )
                )
                for row in records(shares)
            ],
            is_small=True,
        )
    )
    patterns = study.result("missing_patterns")
    if len(patterns):
        blocks.append(
            Table(
                key=f"patterns-{study.key}",
                caption="Which characteristics are missing together, most frequent first",
                columns=[
                    text("Missing"),
                    number("Children"),
                    number("Of all, %"),
                    number("Treated children"),
                    number("Of the treated, %"),
                ],
                rows=[
                    Row(
                        (
                            _pattern(row.missing),
                            words.whole(row.children_count),
                            words.decimal(100 * float(row.share), 1),
                            words.whole(row.treated_count),
                            words.decimal(100 * float(row.treated_share), 1),
                        )
                    )
                    for row in records(patterns)
                ],
                is_small=True,
            )
        )
    tests = study.result("missingness_tests")
    if len(tests):
        blocks.append(
            Fold(
                "Is it related to anything whether a characteristic is missing? Every test", [_test_table(study, tests)]
            )
        )
    return blocks


def _pattern(names: Any) -> str:
    if pd.isna(names) or not str(names):
        return "Nothing"
    return words.sentence(words.listed([words.plain(name) for name in str(names).split(", ")]))


def _missing_words(study: Study, shares: pd.DataFrame) -> list[str]:
    absent = shares[shares["missing_count"] > 0].sort_values("missing_share", ascending=False)
    total = int(shares["children_count"].iloc[0])
    if absent.empty:
        return [f"No characteristic is missing for any of the {words.whole(total)} matched children."]
    parts = [f"{words.plain(str(r.covariate))} for {100 * r.missing_share:.1f}%" for r in records(absent)]
    said = [f"Of {words.whole(total)} matched children, missing are {words.listed(parts)}."]
    dropped = absent[absent["decision"] == "dropped"]
    if len(dropped):
        names = words.listed([words.plain(str(name)) for name in dropped["covariate"]])
        said.append(
            f"{words.sentence(names)} {'is' if len(dropped) == 1 else 'are'} missing for too many to be imputed and"
            f" {'is' if len(dropped) == 1 else 'are'} left out where others are imputed; in the primary analysis what"
            " is"
            " missing is a group of its own."
        )
    tests = study.result("missingness_tests")
    if tests.empty:
        return said
    level = significance_level(study.inputs)
    to_treatment = tests[tests["term"] == "is_treated"]
    for name in absent["covariate"]:
        own = to_treatment[to_treatment["covariate"] == name].dropna(subset=["p_value"])
        rest = tests[(tests["covariate"] == name) & (tests["term"] != "is_treated")]
        # One method a term: the first that the results list.
        rest = rest.drop_duplicates("term").dropna(subset=["p_value"])
        related = [words.plain(str(term)) for term in rest.loc[rest["p_value"] < level, "term"]]
        if own.empty:
            continue
        row = own.iloc[0]
        gap = (
            f"{words.sentence(words.plain(str(name)))} is missing {words.decimal(abs(100 * float(row['estimate'])), 1)}"
            f" percentage points {'less' if float(row['estimate']) < 0 else 'more'} often among treated children, other"
            f" things equal (p = {words.p_value(float(row['p_value']))})"
        )
        said.append(
            f"{gap}. Whether it is missing is related to {words.listed(related)}, so not to chance alone."
            if related
            else f"{gap}, and is related to none of the other characteristics that could be tested."
        )
    return said


def _missing_effects(study: Study) -> Table | None:
    """The primary estimate beside complete cases and imputed rows."""
    primary = study.primary
    effects = study.result("effects")
    own = [
        row
        for row in records(effects[effects["scale"] == primary["scale"]])
        if row.is_primary
        or _choice(study, str(row.specification_id), "missing_covariates") in ("imputed", "left_out")
        or (row.model == "linear" and _group(study, str(row.specification_id)) == _SAME)
    ]
    if len(own) < 2:
        return None
    order = [None, "as_levels", "left_out", "imputed"]
    own.sort(
        key=lambda r: (not r.is_primary, order.index(_choice(study, str(r.specification_id), "missing_covariates")))
    )
    return Table(
        key=f"missing-effects-{study.key}",
        caption="The effect by what is done about missing characteristics",
        columns=[
            text("Analysis"),
            text("Missing characteristics"),
            number(f"Estimate, {primary['scale']}"),
            number(f"{confidence(study.inputs)} interval"),
            number("p"),
            number("Children"),
            text("Method"),
        ],
        rows=[
            Row(
                (
                    f"{label_of(study, row)}{' (primary)' if row.is_primary else ''}",
                    _plain(
                        "missing_covariates",
                        _choice(study, str(row.specification_id), "missing_covariates") or "as_levels",
                    ),
                    words.decimal(row.estimate),
                    words.interval(row.ci_low, row.ci_high),
                    words.p_value(row.p_value),
                    words.whole(row.children_count),
                    str(row.inference_method),
                ),
                kind="chosen" if row.is_primary else "",
            )
            for row in own
        ],
        is_small=True,
    )


def _test_table(study: Study, tests: pd.DataFrame) -> Table:
    marks, notes = lettered([None if pd.isna(note) else words.spoken(str(note)) for note in tests["note"]])
    return Table(
        key=f"missingness-{study.key}",
        caption="Is it related to treatment and other characteristics whether a characteristic is missing?",
        columns=[
            text("Missing"),
            text("Related to"),
            number("Difference, percentage points"),
            number(f"{confidence(study.inputs)} interval"),
            number("Statistic"),
            number("Coefficients"),
            number("Degrees of freedom"),
            number("p"),
            text("Method and notes"),
        ],
        rows=[
            Row(
                (
                    words.sentence(words.plain(str(row.covariate))),
                    words.plain(str(row.term)),
                    words.decimal(100 * float(row.estimate), 2),
                    words.interval(100 * float(row.ci_low), 100 * float(row.ci_high)),
                    words.decimal(row.statistic),
                    words.DASH if pd.isna(row.coefficient_count) else words.whole(row.coefficient_count),
                    words.decimal(row.degrees_of_freedom, 1),
                    words.p_value(row.p_value),
                    f"{row.inference_method}{f' ({mark})' if mark else ''}",
                )
            )
            for row, mark in zip(records(tests), marks, strict=True)
        ],
        notes=notes,
        is_small=True,
    )
