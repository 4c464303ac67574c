"""The report: one HTML file that carries its style and its charts and asks for nothing from outside."""

from __future__ import annotations

import os
import re
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from sfpc.report import appendix, quality, sections, words
from sfpc.report.inputs import Inputs, read_inputs
from sfpc.report.study import Study, as_day, confidence, studies
from sfpc.settings import Paths

PAGE = "index.html"


def write_report(paths: Paths) -> Path:
    """Write the report of the last run to ``paths.report`` and return its path.

    The file is replaced in one step; equal inputs give equal bytes. Raises SfpcError in one line
    where results or marts are missing or do not belong together.
    """
    return write_page(paths.report / PAGE, render(read_inputs(paths)))


def write_page(target: Path, content: str | bytes) -> Path:
    """Put a page or an image in place in one step; returns its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def fill(template: str, **content: Any) -> str:
    """A template of this folder with its content and the style sheet of all pages."""
    package = files("sfpc.report")
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_tidy,
        loader=FunctionLoader(lambda name: (package / name).read_text(encoding="utf-8")),
    )
    style = (package / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=Markup(style), **content)


def render(inputs: Inputs) -> str:
    """The whole page as text."""
    held = studies(inputs)
    programmes = list(dict.fromkeys(study.programme for study in held))
    outcomes = list(dict.fromkeys(words.lowered(str(study.outcome["label"])) for study in held))
    return fill(
        "template.html.j2",
        title=f"{words.listed(programmes)}: evaluation report",
        programmes=words.listed(programmes),
        outcomes=outcomes,
        status=_status(inputs),
        is_synthetic=inputs.is_synthetic,
        studies=[_study(study) for study in held],
        data=appendix.data_quality(inputs, held),
        quality=_with_charts(quality.section(inputs)),
        recovery=_with_markup(appendix.recovery(inputs)),
        protocol=appendix.protocol(inputs),
        limits=appendix.limits(inputs, held),
        about=appendix.about(inputs),
        level=confidence(inputs),
    )


def _tidy(value: Any) -> Any:
    """Percent signs stand at their number, whoever wrote the text; a line never breaks between them."""
    return re.sub(r"(\d) %", r"\1%", value) if type(value) is str else value


def _study(study: Study) -> dict[str, Any]:
    compared = sections.comparators(study)
    compared["panels"] = [_with_markup(panel) for panel in compared["panels"]]
    return {
        "key": study.key,
        "title": study.title,
        "finding": _with_markup(sections.finding(study)),
        "participants": _with_markup(sections.participants(study)),
        "comparators": compared,
        "balance": _with_markup(sections.balance(study)),
        "estimates": sections.estimates(study),
        "planted": sections.planted_by_la(study),
    }


def _with_markup(section: dict[str, Any] | None) -> dict[str, Any]:
    """Mark the chart of a section as markup: it is the only text here that is not escaped."""
    if section is None:
        return {}
    return {**section, "chart": Markup(section["chart"])}


def _with_charts(section: dict[str, Any] | None) -> dict[str, Any]:
    """Mark the charts of the parts of a section as markup."""
    return {} if section is None else {**section, "parts": [_with_markup(part) for part in section["parts"]]}


def _status(inputs: Inputs) -> list[tuple[str, str]]:
    versions = inputs.run.get("versions", {})
    manifest = inputs.landing.manifest if inputs.landing else {}
    last_days = sorted(last for _, last in manifest.get("windows", {}).values())
    lines = [("Data", "synthetic, with a planted effect" if inputs.is_synthetic else "real")]
    if last_days:
        lines.append(("Data until", words.long_date(as_day(last_days[-1]))))
    lines += [
        ("Date of the run", words.long_date(inputs.run_date)),
        ("Run", str(inputs.run["run_id"])),
        ("Code version", str(versions.get("sfpc", words.DASH))),
    ]
    return lines
