"""The contents of the report in order: sections of words, figures and tables, for every format alike."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from sfpc.report import appendix, economics, outline, quality, sections, sensitivity, words
from sfpc.report.document import (
    Aside,
    Beside,
    Block,
    Facts,
    Fold,
    Heading,
    Items,
    Link,
    Panel,
    Picture,
    Report,
    Section,
    Text,
    about,
    numbered,
)
from sfpc.report.inputs import Inputs
from sfpc.report.study import Study, as_day, confidence, studies
from sfpc.report.tables import Table

MARKING = "Internal: not for release"
# Where the pages to decide on comparison LAs are, seen from the report's folder.
DECISION_PAGES = "../matching/index.html"
_SYNTHETIC = "Synthetic data only"


def report_of(inputs: Inputs) -> Report:
    """The whole report."""
    held = studies(inputs)
    programmes = list(dict.fromkeys(study.programme for study in held))
    first = list(dict.fromkeys(words.lowered(str(study.outcome["label"])) for study in held if study.is_primary))
    first = first or [words.lowered(str(held[0].outcome["label"]))]
    others = len({study.outcome_id for study in held}) - len(first)
    chapters: dict[str, list[Block]] = {
        "finding": _finding(inputs, held),
        "participants": _participants(held),
        "comparators": _comparators(held),
        "balance": _balance(held),
        "estimates": _effects(held),
        "sensitivity": _sensitivity(held),
        "missing": _missing(held),
        "power": _per_programme(held, economics.power),
        "triangulation": _per_programme(held, economics.other_design),
        "costs": _per_programme(held, economics.costs),
        "data": _data(inputs, held),
        "recovery": _recovery(inputs),
        "plan": economics.plan(inputs.plan),
        "protocol": _protocol(inputs),
        "limits": [Items(appendix.limits(inputs, held))],
        "about": _about(inputs),
    }
    return Report(
        title=f"{words.listed(programmes)}: evaluation report",
        name=words.listed(programmes),
        subtitle=f"Evaluation report: {'; '.join(first)}"
        + (f", and {words.times(others, 'other outcome')}" if others > 0 else ""),
        marking=MARKING,
        footer=f"{MARKING}. Disclosure control has not been applied to this report.",
        status=_status(inputs),
        moment=f"{inputs.run_date.isoformat()}T00:00:00Z",
        sections=numbered([Section(key, title, chapters[key]) for key, title in outline.TITLES.items()]),
    )


def _per_study(held: list[Study], blocks_of: Any) -> list[Block]:
    """The blocks of each outcome under its name; those of secondary outcomes fold, so that the primary one is seen."""
    found: list[Block] = []
    for study in held:
        blocks = about(blocks_of(study), study.title, study.key)
        if not blocks:
            continue
        if len(held) == 1:
            found += blocks
        elif study.is_primary:
            found += [Heading(study.title), *blocks]
        else:
            found.append(Fold(study.title, blocks, is_study=True))
    return found


def _per_programme(held: list[Study], blocks_of: Any) -> list[Block]:
    """The blocks of each programme's first outcome, under the programme's name where there are several."""
    first = {study.programme_id: study for study in reversed(held)}
    found: list[Block] = []
    for study in held:
        if first[study.programme_id] is study:
            blocks = about(blocks_of(study), study.title, study.key)
            found += ([Heading(study.programme)] if len(first) > 1 and blocks else []) + blocks
    return found or [Text("Not part of this run.")]


def _pictures(figure: Any, caption: str, note: str = "") -> list[Block]:
    return [] if figure is None else [Picture(figure, caption, note)]


def _small(table: Table) -> Table:
    return replace(table, is_small=True)


# --- the sections -------------------------------------------------------------------------------


def _finding(inputs: Inputs, held: list[Study]) -> list[Block]:
    blocks: list[Block] = []
    by_programme = [list(own) for _, own in groupby(held, key=lambda study: study.programme_id)]
    for own in by_programme:
        first = own[0]
        found = sections.finding(first)
        said: list[Block] = [
            Text(found["lead"], kind="lead"),
            *(Text(line, lead_in=name) for name, line in found["rest"]),
            Text("Read it with its limits:", link=Link("What this report cannot say", "#limits")),
        ]
        if len(by_programme) > 1:
            blocks.append(Heading(first.programme))
        if found["truth"]:
            blocks.append(
                Beside(said, [_truth(": the planted truth", found["truth"])], "finding with-truth"),
            )
        else:
            blocks += said
        if len(own) > 1:
            blocks.append(Text(outline.SEVERAL_OUTCOMES))
        blocks.append(sections.summary(own))
        unknown = sections.not_estimated(own)
        if unknown:
            blocks.append(Items(unknown))
        figure = sections.summary_chart(own)
        if figure is not None:
            has_truth = any(study.truth is not None for study in own)
            blocks.append(
                Picture(
                    figure,
                    f"Effect of {first.programme} on each outcome, with {confidence(inputs)} intervals",
                    "Square: the primary outcome. Left of the line: fewer; right of it: more."
                    + (" Hollow diamond: the planted effect (synthetic data)." if has_truth else ""),
                )
            )
    return blocks


def _truth(title: str, lines: list[str]) -> Aside:
    return Aside(f"{_SYNTHETIC}{title}", [Text(line) for line in lines])


def _participants(held: list[Study]) -> list[Block]:
    def blocks(study: Study) -> list[Block]:
        found = sections.participants(study)
        return [*_pictures(found["chart"], f"From {study.entries} to the children analysed"), found["table"]]

    return [
        Text(
            "Every referral of the trial period, or start of care where an outcome is counted from it, ends in"
            " exactly one"
            " place, so that the numbers add up from the first box to the last. A child counts once, with its first"
            " one in"
            " the trial period. “Treated” are children in a treatment LA whose referral or start of care came on or"
            " after"
            " the day the programme went live there."
        ),
        *_per_study(held, blocks),
    ]


def _comparators(held: list[Study]) -> list[Block]:
    def blocks(study: Study) -> list[Block]:
        found = sections.comparators(study)
        made: list[Block] = [Text(f"Only quarters before go-live are looked at. {found['rule']}")]
        for place, line in enumerate(found["noise"]):
            made.append(Text(line, lead_in="" if place else "How to read the noise ratio."))
        if found["twins"]:
            made.append(_truth(": planted twins", [found["twins"]]))
        for panel in found["panels"]:
            where = f"Live from {panel['go_live']}. " if panel["go_live"] else ""
            how = (
                "Compared with the LAs named in the chart."
                if panel["is_accepted"]
                else f"No comparison LA: {panel['reason']}. The chart shows the nearest candidates, none accepted."
            )
            caption = f"{panel['name']} and the LAs that it is set beside, before go-live"
            made.append(
                Panel(
                    [
                        Heading(panel["name"], 4, "" if panel["is_accepted"] else "left out"),
                        Text(where + how, kind="when"),
                        Beside([Picture(panel["chart"], caption)], [_small(panel["table"])], "pair"),
                    ]
                )
            )
        made.append(
            Text(
                f"Charts: the outcome per quarter of the {study.entry}, over the quarters used for matching; all on one"
                " scale. Grey band: 95% range of chance around the treatment LA's own rate. “(area)” marks an area"
                " of LAs"
                " that were reorganised; the table beside it names them all.",
                kind="source",
            )
        )
        if found["excluded"] is not None:
            made.append(found["excluded"])
        return made

    return [
        Text(
            "A page per treatment LA and outcome shows everything that a person needs who judges its comparators:",
            link=Link("pages to decide on comparison LAs", DECISION_PAGES),
        ),
        *_per_study(held, blocks),
    ]


def _balance(held: list[Study]) -> list[Block]:
    def blocks(study: Study) -> list[Block]:
        found = sections.balance(study)
        return [
            *(Text(line) for line in found["said"]),
            *_pictures(found["chart"], "Differences between the arms: one mark per level of a characteristic"),
            found["shares"],
            Fold("Every level of every characteristic", [_small(found["levels"])]),
        ]

    return [
        Text(outline.BALANCE),
        *_per_study(held, blocks),
    ]


def _effects(held: list[Study]) -> list[Block]:
    def blocks(study: Study) -> list[Block]:
        found = sections.finding(study)
        made: list[Block] = []
        # The first page says it of the primary outcome.
        if not (study.is_primary or len(held) == 1):
            made += [Text(found["lead"]), *(Text(line, lead_in=name) for name, line in found["rest"])]
            if found["truth"]:
                made.append(_truth(": the planted truth", found["truth"]))
        made.append(sections.main_effects(study))
        methods = sections.inference(study)
        made += [] if methods is None else [_small(methods)]
        planted = sections.planted_by_la(study)
        made += [] if planted is None else [Aside(f"{_SYNTHETIC}: the planted truth by LA", [_small(planted)])]
        return made

    return [
        Text(
            "The primary model and those that the protocol sets beside it, on the same children. A logit is shown as"
            " the"
            " average change in percentage points and as an odds ratio (1 means no effect). The baseline is the"
            " outcome of"
            " matched children before go-live; the effect size is the effect divided by the standard deviation that the"
            " outcome has at the baseline."
        ),
        *_per_study(held, blocks),
    ]


def _sensitivity(held: list[Study]) -> list[Block]:
    return [
        Text(
            "The same question can be asked in other ways. What follows shows every way that was tried, whatever it"
            " says,"
            " and how far the assumptions behind the result may fail before it changes."
        ),
        *_per_study(held, sensitivity.around),
    ]


def _missing(held: list[Study]) -> list[Block]:
    return [
        Text(
            f"{outline.MISSING} Beside it stand the analysis of children of whom everything is known and one with"
            " imputed values."
        ),
        *_per_study(held, sensitivity.missing_data),
    ]


def _data(inputs: Inputs, held: list[Study]) -> list[Block]:
    found = appendix.data_quality(inputs, held)
    blocks: list[Block] = []
    if found["table"] is not None:
        blocks += [Text(found["said"]), found["table"]]
        blocks += [] if found["quarantine"] is None else [_small(found["quarantine"])]
    else:
        blocks.append(
            Text("There is no account of the landing beside these marts, so rows received and used cannot be shown.")
        )
    if found["periods"]:
        blocks.append(Text(f"Periods that the sources cover: {'; '.join(found['periods'])}."))
    if found["unseen"]:
        blocks += [Heading("What could not be observed"), Items(found["unseen"])]
    for part in (quality.section(inputs) or {"parts": []})["parts"]:
        blocks.append(Heading(part["title"]))
        blocks += [Text(line) for line in part["said"]]
        blocks += _pictures(part["figure"], part["caption"], part["chart_note"])
        blocks += [_small(table) for table in part["tables"]]
        if part["hidden"]:
            blocks.append(Fold(part["summary"], [_small(table) for table in part["hidden"]]))
    return blocks


def _recovery(inputs: Inputs) -> list[Block]:
    found = appendix.recovery(inputs)
    if found is None:
        return [
            Text(
                "A recovery study repeats the whole method on many synthetic data sets. It was not run here;"
                " “make recovery” runs it."
            )
        ]
    shown = (
        "Shown is the reference run that is kept with the code (docs/recovery); none was made here."
        if found["is_reference"]
        else "Shown is the study made with this installation (outputs/results)."
    )
    caption = (
        "Error of the estimate: one dot per seed; diamond and bar are the mean and two Monte Carlo standard errors"
    )
    return [
        Text(
            "The whole method was run on many synthetic data sets, each from another seed, with a planted effect."
            f" {shown}"
        ),
        Items(found["said"]),
        *_pictures(found["chart"], caption),
        found["table"],
        *([] if found["hits"] is None else [found["hits"]]),
    ]


def _protocol(inputs: Inputs) -> list[Block]:
    found = appendix.protocol(inputs)
    return [Text(found["said"]), Fold("All clauses", [_small(table) for table in found["tables"]])]


def _about(inputs: Inputs) -> list[Block]:
    found = appendix.about(inputs)
    return [
        Facts(found["lines"]),
        Text(
            "The same tables stand in tables.xlsx and, one file each, in the folder tables; report.docx is this"
            " report for"
            " a word processor."
        ),
        *([_small(found["settings"])] if found["settings"].rows else []),
    ]


def _status(inputs: Inputs) -> list[tuple[str, str]]:
    versions = inputs.run.get("versions", {})
    manifest = inputs.landing.manifest if inputs.landing else {}
    last_days = sorted(last for _, last in manifest.get("windows", {}).values())
    lines = [("Data", "synthetic, with a planted effect" if inputs.is_synthetic else "real")]
    if last_days:
        lines.append(("Data until", words.long_date(as_day(last_days[-1]))))
    lines += [
        ("Estimates", "exploratory" if inputs.plan.is_exploratory else f"planned, locked on {inputs.plan.locked_on}"),
        ("Date of the run", words.long_date(inputs.run_date)),
        ("Run", str(inputs.run["run_id"])),
        ("Code version", str(versions.get("sfpc", words.DASH))),
    ]
    return lines
