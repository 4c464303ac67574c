"""The report that may leave (DP.5): made of the disclosure door's tables, not of the internal report.

What goes in is released tables, which only the judge makes, and what the project's own rows declare before any data are
read. No result and no mart is an input, so that nothing has to be taken out: a number that was not released is not
here. Chapters and the fate of every internal table and figure: `sfpc.report.outline`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from sfpc.estimation.inference import MINIMUM_TREATED_CLUSTERS
from sfpc.release.bundle import Document
from sfpc.release.judge import FEW, ReleasedTable
from sfpc.release.profiles import Profile
from sfpc.release.results import ALL, ARMS, STEPS
from sfpc.report import charts, outline, words
from sfpc.report.document import (
    Block,
    Facts,
    Fold,
    Heading,
    Items,
    Picture,
    Report,
    Section,
    Text,
    about,
    numbered,
)
from sfpc.report.study import is_of_care, whom
from sfpc.report.tables import Column, Row, Table, number, summary_columns, text

NAME = "report"
MARKING = "Releasable version: released tables alone"
# The usual rule of thumb of the love plot (Stuart 2010, Statistical Science 25:1, section 4.1).
BALANCE_LIMIT = 0.1
_ODDS = "odds ratio"


@dataclass(frozen=True)
class Outcome:
    """An outcome of a programme, as the rows of the protocol declare it."""

    programme_id: str
    outcome_id: str
    programme: str
    label: str
    kind: str
    is_primary: bool
    is_care: bool

    @property
    def key(self) -> str:
        """Identifier for anchors and figures."""
        return f"{self.programme_id}-{self.outcome_id}"

    @property
    def title(self) -> str:
        """Heading of what is about it."""
        return f"{self.programme}: {words.lowered(self.label)}"

    def key_of(self, name: str) -> str:
        """How the door calls a table of it."""
        return f"{self.programme_id}__{self.outcome_id}__{name}".lower()


@dataclass(frozen=True)
class Declared:
    """What is known without any data: rows of the protocol, the rules, and what identifies the run.

    outcomes: of every programme, the primary one first. level: significance. status: names with values for the top of
    the report; facts: for its end.
    """

    outcomes: Sequence[Outcome]
    level: float
    profile: Profile
    day: date
    status: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()


def declared(
    root: Path,
    profile: Profile,
    day: date,
    status: Sequence[tuple[str, str]] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> Declared:
    """Read what the project's seeds declare. root: the project."""

    def rows(*place: str) -> pd.DataFrame:
        return pd.read_csv(root.joinpath("seeds", *place), dtype=str, keep_default_na=False)

    programmes = rows("programmes", "programmes.csv").set_index("programme_id")["programme_name"].to_dict()
    outcomes = rows("protocol", "outcomes.csv").set_index("outcome_id")
    settings = rows("protocol", "evaluation_settings.csv").set_index("setting")["value"]
    readings = rows("protocol", "programme_outcomes.csv")
    held = [
        Outcome(
            row["programme_id"],
            row["outcome_id"],
            str(programmes[row["programme_id"]]),
            str(outcomes.loc[row["outcome_id"], "label"]),
            str(outcomes.loc[row["outcome_id"], "outcome_kind"]),
            row["is_primary"] == "true",
            is_of_care(row["anchor"], outcomes.loc[row["outcome_id"], "outcome_column"]),
        )
        for row in _rows(readings[readings["is_default"] == "true"])
    ]
    held.sort(key=lambda o: (o.programme_id, not o.is_primary, o.outcome_id))
    return Declared(tuple(held), float(settings["significance_level"]), profile, day, tuple(status), tuple(facts))


def documents(tables: Mapping[str, ReleasedTable], known: Declared) -> list[Document]:
    """The releasable report as a page and as a Word document, for `Door.release`."""
    # Documents alone need these libraries.
    from sfpc.report.page import fill
    from sfpc.report.word import document

    report = report_of(tables, known)
    return [
        Document(f"{NAME}.html", report.title, fill("template.html.j2", report=report).encode("utf-8")),
        Document(f"{NAME}.docx", report.title, document(report)),
    ]


def report_of(tables: Mapping[str, ReleasedTable], known: Declared) -> Report:
    """The releasable report. tables: by key, as the door gives them; anything else is refused with a TypeError."""
    strange = [key for key, table in tables.items() if not isinstance(table, ReleasedTable)]
    if strange:
        raise TypeError(f"{', '.join(strange)}: a releasable report is made of released tables and of nothing else")
    held = [_Study(outcome, tables) for outcome in known.outcomes]
    # Programmes of which nothing was released are not part of it.
    present = {study.outcome.programme_id for study in held if study.has_any}
    held = [study for study in held if study.outcome.programme_id in present]
    programmes = list(dict.fromkeys(study.outcome.programme for study in held))
    chapters: dict[str, list[Block]] = {
        "finding": _finding(held, known),
        "participants": [
            Text(
                "Children of the trial period, each once, by where they end. “Treated” are children in a treatment LA"
                " whose referral or start of care came on or after the day the programme went live there."
            ),
            *_per_study(held, _participants),
        ],
        "comparators": [
            Text("The pairs of LAs that were accepted, with the distance of their trends before go-live."),
            *_per_study(held, _pairs),
        ],
        "balance": [Text(outline.BALANCE), *_per_study(held, _balance)],
        "estimates": [
            Text(
                "The primary model and others on the same children. A logit is shown as the average change in"
                " percentage points and as an odds ratio (1 means no effect). The baseline is the outcome of matched"
                " children before go-live. Numbers of children by arm are not weighted."
            ),
            *_per_study(held, lambda study: _estimates(study, known)),
        ],
        "sensitivity": [
            Text("Of the other ways to ask the question, those on the same children as the primary model are shown."),
            *_per_study(held, lambda study: _sensitivity(study, known)),
        ],
        "missing": [Text(outline.MISSING), *_per_study(held, _missing)],
        "limits": [Items(_limits(known))],
        "about": _about(known),
    }
    for key in outline.TITLES:
        fates = [fate for fate in outline.FATES.get(key, ()) if fate.why]
        lines = list(dict.fromkeys(f"{fate.what}: left out, because {fate.why}." for fate in fates))
        chapters.setdefault(key, []).extend([Items(lines)] if lines else [])
    return Report(
        title=f"{words.listed(programmes)}: evaluation report, releasable version",
        name=words.listed(programmes),
        subtitle="Evaluation report, releasable version",
        marking=MARKING,
        footer=f"{MARKING}. Every number is in a table of this release, or follows from one.",
        status=[*known.status, ("Rules", known.profile.name), ("Date of the release", words.long_date(known.day))],
        moment=f"{known.day.isoformat()}T00:00:00Z",
        sections=numbered([Section(key, title, chapters[key]) for key, title in outline.TITLES.items()]),
    )


class _Study:
    """One outcome of a programme, and what was released of it."""

    def __init__(self, outcome: Outcome, tables: Mapping[str, ReleasedTable]) -> None:
        self.outcome = outcome
        self._tables = tables

    @property
    def has_any(self) -> bool:
        return any(key.startswith(self.outcome.key_of("")) for key in self._tables)

    def one(self, name: str) -> ReleasedTable | None:
        """The released table of a name; None where it was refused or not offered."""
        return self._tables.get(self.outcome.key_of(name))

    def several(self, name: str) -> list[ReleasedTable]:
        """Tables that stand in one file."""
        start = self.outcome.key_of(f"{name}_")
        return [table for key, table in self._tables.items() if key.startswith(start) and table.file == start[:-1]]

    @property
    def effects(self) -> list[dict[str, Any]]:
        """Rows of released effects, the primary one first."""
        table = self.one("effects")
        rows = [] if table is None else _rows(table.frame)
        return sorted(rows, key=lambda row: not _is_primary(row))

    @property
    def primary(self) -> dict[str, Any] | None:
        """The primary effect, if it was released with a number."""
        rows = [row for row in self.effects if _is_primary(row) and math.isfinite(_value(row["estimate"]))]
        return rows[0] if rows else None


def _per_study(held: Sequence[_Study], blocks_of: Callable[[_Study], list[Block]]) -> list[Block]:
    """The blocks of each outcome under its name, secondary ones folded; one line where nothing was released."""
    found: list[Block] = []
    for study in held:
        outcome = study.outcome
        blocks = blocks_of(study) or [Text("Nothing of this was released: too few children, or not estimated.")]
        blocks = about(blocks, outcome.title, outcome.key)
        found += [Heading(outcome.title), *blocks] if outcome.is_primary else [Fold(outcome.title, blocks, True)]
    return found


# --- numbers of released tables -----------------------------------------------------------------


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _is_primary(row: Mapping[str, Any]) -> bool:
    return str(row["is_primary"]).lower() == "true"


def _value(shown: Any) -> float:
    """A released number as a number; NaN where the cell is hidden or empty. '<0.0001' counts as 0."""
    if isinstance(shown, str):
        return 0.0 if shown.startswith("<") else math.nan
    return float(shown)


def _shown(shown: Any, places: int = 0) -> str:
    """A released number as a table shows it; a hidden one keeps its mark."""
    if isinstance(shown, str):
        return shown or words.DASH
    return words.decimal(float(shown), places)


def _interval(row: Mapping[str, Any], places: int = 3) -> str:
    return words.interval(_value(row["ci_low"]), _value(row["ci_high"]), places)


# A column of a report's table: of the released table, its heading, and its decimals (None: words).
_Columns = Sequence[tuple[str, str, int | None]]


def _table(
    key: str, caption: str, columns: _Columns, tables: Sequence[ReleasedTable], *, is_small: bool = False
) -> list[Block]:
    """Released tables under each other, cell by cell; nothing where there is none."""
    if not tables:
        return []
    heads: list[Column] = [text(label) if places is None else number(label) for _, label, places in columns]
    rows = [
        Row(
            tuple(
                words.sentence(words.plain(str(row[name]))) if places is None else _shown(row[name], places)
                for name, _, places in columns
            ),
            kind="total" if ALL in [str(row[name]) for name in table.dimensions] else "",
        )
        for table in tables
        for row in _rows(table.frame)
    ]
    return [Table(key=key, caption=caption, columns=heads, rows=rows, notes=_source(tables), is_small=is_small)]


def _source(tables: Sequence[ReleasedTable]) -> list[tuple[str, str]]:
    """Which files of the release a table is made of."""
    return [("Source", ", ".join(dict.fromkeys(f"{table.file}.csv" for table in tables)))]


# --- the chapters -------------------------------------------------------------------------------


def _finding(held: Sequence[_Study], known: Declared) -> list[Block]:
    blocks: list[Block] = []
    programmes = list(dict.fromkeys(study.outcome.programme_id for study in held))
    for programme_id in programmes:
        own = [study for study in held if study.outcome.programme_id == programme_id]
        programme = own[0].outcome.programme
        if len(programmes) > 1:
            blocks.append(Heading(programme))
        first, rest = _said(own[0], known)
        blocks += [Text(first, kind="lead"), *(Text(line, lead_in=name) for name, line in rest)]
        shown = [(study, study.primary) for study in own]
        estimated = [(study, row) for study, row in shown if row is not None]
        if len(estimated) > 1:
            blocks.append(Text(outline.SEVERAL_OUTCOMES))
        if estimated:
            blocks.append(_summary(programme_id, programme, estimated, known))
        missing = [study.outcome.label for study, row in shown if row is None]
        if missing:
            blocks.append(Items([f"{label}: no effect is in this release." for label in missing]))
        for scale in dict.fromkeys(str(row["scale"]) for _, row in estimated):
            bars = [
                _bar(row, study.outcome.label, study.outcome.is_primary)
                for study, row in estimated
                if row["scale"] == scale
            ]
            blocks.append(
                _forest(
                    f"summary-{programme_id}-{scale.replace(' ', '-')}",
                    bars,
                    scale,
                    f"Effect of {programme} on each outcome, in {scale}, with {_confidence(known)} intervals",
                    "Square: the primary outcome. Left of the line: fewer; right of it: more.",
                )
            )
    return blocks or [Text("No table of an effect was released.")]


def _confidence(known: Declared) -> str:
    return f"{100 * (1 - known.level):g}%"


def _said(study: _Study, known: Declared) -> tuple[str, list[tuple[str, str]]]:
    """The primary effect in words, of its released numbers."""
    outcome, row = study.outcome, study.primary
    if row is None:
        return f"No effect on the outcome ‘{words.lowered(outcome.label)}’ is in this release.", []
    names = ("estimate", "ci_low", "ci_high", "p_value", "p_value_hochberg", "baseline_mean_pct")
    numbers: dict[str, Any] = {name: _value(row[name]) for name in names}
    numbers |= {"scale": row["scale"], "treated_cluster_count": int(_value(row["treated_cluster_count"])), "note": ""}
    first, rest = words.finding(
        outcome.programme,
        numbers,
        {"label": outcome.label, "outcome_kind": outcome.kind},
        known.level,
        MINIMUM_TREATED_CLUSTERS,
        whom(outcome.is_care),
    )
    if outcome.is_care:
        rest.append(("Among whom.", outline.AMONG_WHOM))
    return first, rest


def _summary(
    programme_id: str, programme: str, estimated: Sequence[tuple[_Study, dict[str, Any]]], known: Declared
) -> Table:
    rows = []
    for study, row in estimated:
        outcome, scale = study.outcome, str(row["scale"])
        is_mean = outcome.kind != words.BINARY and scale == words.PERCENTAGE_POINTS
        low, high, baseline = (_value(row[name]) for name in ("ci_low", "ci_high", "baseline_mean_pct"))
        verdict = words.is_significant(
            {name: _value(row[name]) for name in ("p_value", "p_value_hochberg", "treated_cluster_count")},
            known.level,
            MINIMUM_TREATED_CLUSTERS,
        )
        rows.append(
            Row(
                (
                    f"{outcome.label}{' (primary)' if outcome.is_primary else ''}",
                    words.change(_value(row["estimate"]), outcome.kind, scale, whom(outcome.is_care)),
                    words.change_interval(low, high, words=("lower", "higher") if is_mean else ("fewer", "more")),
                    words.rate_before(baseline, outcome.kind),
                    {True: "yes", False: "no", None: "not said"}[verdict],
                    _shown(row["p_value"], 4),
                    _shown(row["p_value_hochberg"], 4),
                    _shown(row["children"]),
                    _shown(row["cluster_count"]),
                ),
                kind="chosen" if outcome.is_primary else "",
            )
        )
    return Table(
        key=f"summary-{programme_id}",
        caption=f"What changed under {programme}: every outcome with a released estimate",
        columns=summary_columns(_confidence(known)),
        rows=rows,
        notes=_source([table for study, _ in estimated if (table := study.one("effects")) is not None]),
    )


def _bar(row: Mapping[str, Any], label: str, is_first: bool) -> charts.Bar:
    estimate, low, high = (_value(row[name]) for name in ("estimate", "ci_low", "ci_high"))
    return charts.Bar(label, estimate, low, high, "primary" if is_first else "same")


def _forest(key: str, bars: Sequence[charts.Bar], scale: str, caption: str, note: str) -> Picture:
    said = "; ".join(f"{b.label} {words.decimal(b.estimate)} ({words.interval(b.low, b.high)})" for b in bars)
    figure = charts.both_widths(
        charts.forest_chart, key, f"{caption}: {said}.", groups=[("", bars)], unit=f"Effect in {scale}"
    )
    return Picture(figure, caption, note)


def _participants(study: _Study) -> list[Block]:
    table = study.one("children")
    if table is None:
        return []
    outcome = study.outcome
    cells = {(str(row["arm"]), str(row["step"])): row["children"] for row in _rows(table.frame)}

    def of(arm: str, step: str) -> str:
        return _shown(cells.get((arm, step), ""))

    row = study.primary
    last, lines = ("not released", []) if row is None else (_shown(row["children"]), [])
    if row is not None:
        lines = [f"{_shown(row['treated_children'])} treated, in {_shown(row['cluster_count'])} LAs"]
    flow = charts.Flow(
        stem=[(charts.FlowBox("Children of the trial period, each once", of(ALL, ALL)), None)],
        arms=[
            (
                charts.FlowBox(words.sentence(arm), of(arm, ALL)),
                charts.FlowBox(
                    "Left out: no child like them in the other arm",
                    of(arm, STEPS[3]),
                    [f"{words.sentence(step)}: {of(arm, step)}" for step in STEPS[:3]],
                ),
                charts.FlowBox("Matched children", of(arm, STEPS[4])),
            )
            for arm in ARMS
        ],
        last=charts.FlowBox("Children analysed in the primary model", last, lines),
    )
    caption = "From the children of the trial period to those analysed"
    figure = charts.both_widths(
        charts.flow_chart, f"flow-{outcome.key}", f"{caption}; the table below holds the same numbers.", flow=flow
    )
    columns: _Columns = (("arm", "Arm", None), ("step", "Where they end", None), ("children", "Children", 0))
    return [
        Picture(figure, caption, f"Rounded; {table.marker}: hidden. Rounded numbers need not add up."),
        *_table(f"flow-table-{outcome.key}", "Children by arm and by where they end", columns, [table]),
    ]


def _pairs(study: _Study) -> list[Block]:
    columns: _Columns = (
        ("treatment_la", "Treatment LA", None),
        ("comparison_la", "Comparison LA", None),
        ("rank", "Rank", 0),
        ("distance", "Distance", 2),
        ("noise_ratio", "Noise ratio", 2),
    )
    table = study.one("pairs")
    return _table(f"pairs-{study.outcome.key}", "Accepted pairs of LAs", columns, [table] if table else [])


def _balance(study: _Study) -> list[Block]:
    outcome, levels = study.outcome, study.several("balance")
    dots = []
    for table in levels:
        rows = _rows(table.frame)
        name = words.sentence(words.plain(str(rows[0]["covariate"])))
        before, after = (
            [abs(v) for row in rows if math.isfinite(v := _value(row[column]))]
            for column in ("difference_before", "difference_after")
        )
        if after:
            dots.append(charts.Dots(name, before, after))
    blocks: list[Block] = []
    if dots:
        caption = "Differences between the arms: one mark per released level of a characteristic"
        figure = charts.both_widths(
            charts.balance_chart,
            f"balance-{outcome.key}",
            f"{caption}; the table of levels holds the same numbers.",
            rows=dots,
            threshold=BALANCE_LIMIT,
        )
        blocks.append(Picture(figure, caption))
    shares, imbalance = study.one("matched_shares"), study.one("imbalance")
    of_set = ("set_of", "Set of", None)
    blocks += _table(
        f"shares-{outcome.key}",
        "Children matched, by set of LAs",
        (of_set, ("side", "Side", None), ("children", "Children", 0), ("children_with_it", "Matched", 0),
         ("rate_pct", "Matched, %", 1)),
        [shares] if shares else [],
    )  # fmt: skip
    blocks += _table(
        f"imbalance-{outcome.key}",
        "Imbalance L1 over all characteristics together, by set of LAs (0: the same mix, 1: nothing shared)",
        (of_set, ("l1_before", "Before", 3), ("l1_after", "After", 3)),
        [imbalance] if imbalance else [],
    )
    every = _table(
        f"levels-{outcome.key}",
        "Every level: weighted share of matched children in each arm (%) and standardised difference",
        (("covariate", "Characteristic", None), ("level", "Level (code)", None), ("treatment_pct", "Treatment, %", 1),
         ("comparison_pct", "Comparison, %", 1), ("difference_before", "Difference before", 3),
         ("difference_after", "Difference after", 3)),
        levels,
        is_small=True,
    )  # fmt: skip
    return [*blocks, *([Fold("Every level of every characteristic", every)] if every else [])]


def _estimates(study: _Study, known: Declared) -> list[Block]:
    outcome, effects, inference = study.outcome, study.one("effects"), study.one("inference")
    blocks: list[Block] = []
    if not outcome.is_primary and study.primary is not None:
        first, rest = _said(study, known)
        blocks += [Text(first), *(Text(line, lead_in=name) for name, line in rest)]
    if effects is not None:
        rows = [
            Row(
                (
                    f"{row['label']}{' (primary)' if _is_primary(row) else ''}",
                    str(row["scale"]),
                    _shown(row["estimate"], 3),
                    _interval(row),
                    _shown(row["p_value"], 4),
                    _shown(row["p_value_hochberg"], 4),
                    _shown(row["children"]),
                    _shown(row["treated_children"]),
                    _shown(row["cluster_count"]),
                    _shown(row["baseline_mean_pct"], 1),
                    str(row["inference_method"]),
                ),
                kind="chosen" if _is_primary(row) else "",
            )
            for row in study.effects
        ]
        heads = [text("Model"), text("Unit"), number("Estimate"), number(f"{_confidence(known)} interval")]
        heads += [number(n) for n in ("p", "p, adjusted", "Children", "Treated", "LAs", "Baseline, %")]
        blocks.append(
            Table(
                key=f"main-{outcome.key}",
                caption=f"The effect: {words.lowered(outcome.label)}",
                columns=[*heads, text("Method")],
                rows=rows,
                notes=[
                    *_source([effects]),
                    *(
                        [("Left out", f"rows whose regression is not safe: {effects.withheld}")]
                        if effects.withheld
                        else []
                    ),
                ],
                is_small=True,
            )
        )
    row = study.primary
    if inference is not None and row is not None:
        same = [
            one
            for one in _rows(inference.frame)
            if (one["specification_id"], one["scale"]) == (row["specification_id"], row["scale"])
        ]
        blocks.append(
            Table(
                key=f"inference-{outcome.key}",
                caption="How certain: the primary estimate by every method of inference",
                columns=[
                    text("Method"),
                    number("Estimate"),
                    number("Standard error"),
                    number(f"{_confidence(known)} interval"),
                    number("p"),
                    number("Degrees of freedom"),
                ],
                rows=[
                    Row(
                        (
                            str(one["inference_method"]),
                            _shown(one["estimate"], 3),
                            _shown(one["standard_error"], 3),
                            _interval(one),
                            _shown(one["p_value"], 4),
                            _shown(one["degrees_of_freedom"], 1),
                        )
                    )
                    for one in same
                ],
                notes=_source([inference]),
                is_small=True,
            )
        )
    by_arm, by_la = study.one("outcome"), study.one("outcome_by_la")
    arm = ("arm", "Arm", None)
    is_rate = by_arm is not None and "rate_pct" in by_arm.frame.columns
    counts: _Columns = (("children", "Children", 0), ("children_with_it", "With the outcome", 0), ("rate_pct", "%", 1))
    means: _Columns = (("children", "Children", 0), ("mean", "Mean", 1), ("sd", "Standard deviation", 1))
    blocks += _table(
        f"outcome-{outcome.key}",
        "The outcome of matched children by arm, not weighted",
        (arm, *(counts if is_rate else means)),
        [by_arm] if by_arm else [],
    )
    local = _table(
        f"outcome-by-la-{outcome.key}",
        "The outcome of matched children by LA and arm, not weighted",
        (("la", "LA", None), arm, *counts),
        [by_la] if by_la else [],
        is_small=True,
    )
    return [*blocks, *([Fold("By LA", local)] if local else [])]


def _sensitivity(study: _Study, known: Declared) -> list[Block]:
    row = study.primary
    if row is None:
        return []
    rows = [r for r in study.effects if r["scale"] == row["scale"] and math.isfinite(_value(r["estimate"]))]
    if len(rows) < 2:
        return [Text("Of this outcome, the primary model alone was released on these children.")]
    bars = [_bar(r, str(r["label"]), _is_primary(r)) for r in rows]
    caption = f"Estimates on the same children with their {_confidence(known)} intervals"
    return [_forest(f"forest-{study.outcome.key}", bars, str(row["scale"]), caption, "Square: the primary model.")]


def _missing(study: _Study) -> list[Block]:
    columns: _Columns = (
        ("covariate", "Characteristic", None),
        ("arm", "Arm", None),
        ("children", "Children", 0),
        ("children_with_it", "Missing", 0),
        ("rate_pct", "Missing, %", 1),
    )
    return _table(
        f"missing-{study.outcome.key}",
        "Characteristics of children in the sample that are missing, by arm",
        columns,
        study.several("missing"),
    )


def _limits(known: Declared) -> list[str]:
    rules = known.profile
    rounded = f" What is shown is rounded to {rules.rounding_base}." if rules.rounding_base > 1 else ""
    return [
        f"Numbers of children below {rules.count_minimum} are hidden ({rules.marker}), and so are others from which a"
        f" hidden one would follow.{rounded} Rates are made of the numbers shown.",
        "A verdict on significance goes by the released, rounded p-value.",
        "Comparisons of a few LAs: what happened in one of them weighs heavily, and other LAs may fare differently.",
        "Where an effect grows after go-live, the primary model's one number is smaller than the mean effect on the"
        " treated children.",
        "What was left out, and why, is said at the end of each chapter; the internal report has it.",
    ]


def _about(known: Declared) -> list[Block]:
    return [
        Facts(
            [
                *known.facts,
                ("Rules", known.profile.name),
                ("A hidden number", f"{known.profile.marker}: {FEW}, or kept back to protect another"),
            ]
        ),
        Text(
            "Every table of this report names the file of this release that it was made of. The same tables stand in"
            " tables.xlsx; results.json names the run, the marts and the results behind them by hash."
        ),
    ]
