"""The sections on power, on the other design, on costs and benefits and on the analysis plan."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from sfpc.cost_benefit.run import CostBenefitResults
from sfpc.cost_benefit.section import cost_benefit_section
from sfpc.plan import PlanStatus
from sfpc.power.figure import power_figure
from sfpc.power.run import PowerResults
from sfpc.power.section import power_section
from sfpc.report import words
from sfpc.report.document import Block, Fold, Items, Picture, Text
from sfpc.report.study import Study, confidence
from sfpc.report.tables import Row, Table, number, text

_TARGET = "power_target"


def power(study: Study) -> list[Block]:
    """How small an effect this evaluation could have found (FV.POWER.1)."""
    inputs = study.inputs
    said = _sentences(inputs.results, study.programme_id, "power")
    if not said or _TARGET not in inputs.economic_settings:
        return []
    results = PowerResults.from_tables(study.programme_id, inputs.results, said)
    target = float(inputs.economic_settings[_TARGET])
    labels = inputs.marts["dim_outcomes"].set_index("outcome_id")["label"]
    found = power_section(results, study.key, study.outcome_id, target, lambda name: str(labels.get(name, name)))
    curve = results.curve[results.curve["outcome_id"] == study.outcome_id]
    figure = power_figure(curve, f"power-curve-{study.key}", target)
    blocks: list[Block] = [Text(found["lead"]), *(Text(line) for line in found["rest"])]
    if figure is not None:
        blocks += [Picture(figure, "Chance of finding an effect, by its size", found["chart_note"]), figure.table]
    return [*blocks, *found["tables"]]


def costs(study: Study) -> list[Block]:
    """What the programme costs and what it saves (FV.CBA.1, FV.CBA.2)."""
    inputs = study.inputs
    said = _sentences(inputs.results, study.programme_id, "costs and benefits")
    if not said:
        return []
    areas = inputs.marts["dim_local_authorities"].set_index("la_id")["la_name"]
    results = CostBenefitResults.from_tables(study.programme_id, inputs.results, said)
    found = cost_benefit_section(results, study.key, lambda la: str(areas.get(la, la)))
    first, *others = found["tables"]
    return [
        Text(found["lead"]),
        *(Text(line) for line in found["rest"]),
        first,
        Fold("By LA, by line of cost, and how far the result hangs on each figure", others),
    ]


def other_design(study: Study) -> list[Block]:
    """The stepped wedge on the treatment LAs alone, and whether the two designs agree (FV.TRI.1, FV.TRI.2)."""
    results = study.inputs.results
    said = _sentences(results, study.programme_id, "triangulation")
    if not said:
        return []

    def mine(name: str) -> pd.DataFrame:
        return results[name][results[name]["programme_id"] == study.programme_id]

    designs = Table(
        f"designs-{study.key}",
        "The effect by either design",
        [
            text("Design"),
            text("Unit"),
            number("Estimate"),
            number(f"{confidence(study.inputs)} interval"),
            number("p"),
            number("LAs"),
            number("Children"),
            text("Inference"),
        ],
        [
            Row(
                [
                    words.sentence(str(row["label"])),
                    str(row["scale"]),
                    words.decimal(row["estimate"]),
                    words.interval(row["ci_low"], row["ci_high"]),
                    words.p_value(row["p_value"]),
                    _count(row["la_count"]),
                    _count(row["children_count"]),
                    str(row["inference_method"]),
                ]
            )
            for _, row in mine("triangulation_designs").iterrows()
        ],
    )
    pooled = Table(
        f"pooled-{study.key}",
        "The two designs pooled; empty where the rule does not allow it",
        [text("Method"), number("Weight of the main design"), number("Estimate"), number("Interval"), text("Why not")],
        [
            Row(
                [
                    words.sentence(str(row["method"])),
                    words.decimal(row["did_weight"]),
                    words.decimal(row["estimate"]),
                    words.interval(row["ci_low"], row["ci_high"]),
                    "" if pd.isna(row["reason"]) else str(row["reason"]),
                ]
            )
            for _, row in mine("triangulation_pooled").iterrows()
        ],
    )
    assumed = Table(
        f"assumptions-{study.key}",
        "What each design assumes, and what these data say of it",
        [text("Design"), text("Assumption"), text("Decides"), text("Status"), text("Evidence of this run")],
        [
            Row(
                [
                    words.plain(str(row["design"])),
                    str(row["wording"]),
                    "gate" if row["is_gate"] else "",
                    words.plain(str(row["status"])),
                    "" if pd.isna(row["evidence"]) else str(row["evidence"]),
                ]
            )
            for _, row in mine("triangulation_assumptions").iterrows()
        ],
    )
    blocks: list[Block] = [*(Text(line) for line in said), designs, pooled, assumed]
    wedge = _sentences(results, study.programme_id, "stepped wedge")
    if wedge:
        models = Table(
            f"stepped-wedge-{study.key}",
            "The stepped wedge by model and method of inference",
            [
                text("Model"),
                text("Covariates"),
                text("Unit"),
                text("Inference"),
                number("Estimate"),
                number("Interval"),
                number("p"),
            ],
            [
                Row(
                    [
                        words.plain(str(row["model"])),
                        str(row["covariates"]),
                        str(row["scale"]),
                        str(row["inference_method"]),
                        words.decimal(row["estimate"]),
                        words.interval(row["ci_low"], row["ci_high"]),
                        words.p_value(row["p_value"]),
                    ],
                    "chosen" if row["is_primary"] and row["is_primary_method"] else "",
                )
                for _, row in mine("stepped_wedge").iterrows()
            ],
        )
        blocks.append(Fold("The stepped wedge in full", [*(Text(line) for line in wedge), models]))
    return blocks


def _count(value: float) -> str:
    return words.DASH if pd.isna(value) else words.whole(float(value))


def plan(status: PlanStatus) -> list[Block]:
    """Whether a plan was locked before results were seen, what changed, and what departs from it."""
    blocks: list[Block] = [Text(status.sentence)]
    if status.changes:
        blocks.append(Items([f"{change.part}: {change.what}" for change in status.changes]))
    if not status.deviations:
        return [*blocks, Text("No deviation from the plan is on record.")]
    rows = [Row([words.long_date(d.day), d.clause, d.what, d.reason]) for d in status.deviations]
    columns = [text("Since"), text("Clause"), text("What is done otherwise"), text("Why")]
    return [*blocks, Table("plan-deviations", "Deviations from the plan", columns, rows)]


def _sentences(results: Mapping[str, pd.DataFrame], programme_id: str, topic: str) -> tuple[str, ...]:
    held = results["sentences"]
    mine = held[(held["programme_id"] == programme_id) & (held["topic"] == topic)].sort_values("position")
    return tuple(str(line) for line in mine["sentence"])
