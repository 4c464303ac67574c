"""The report in its three formats: one HTML file that asks for nothing from outside, a Word document, and tables."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from sfpc.report import words
from sfpc.report.contents import report_of
from sfpc.report.document import Report
from sfpc.report.inputs import Inputs, read_inputs
from sfpc.settings import Paths

PAGE, DOCUMENT, WORKBOOK, TABLES = "index.html", "report.docx", "tables.xlsx", "tables"


def write_report(paths: Paths) -> Path:
    """Write the report of the last run to ``paths.report`` and return the path of its page.

    Beside the page: report.docx, tables.xlsx and the folder tables with a CSV file per table, from the same content.
    Each is replaced in one step; equal inputs give equal bytes. Raises SfpcError in one line where results or marts are
    missing or do not belong together.
    """
    # Pages alone are written without the libraries for documents and workbooks.
    from sfpc.report.export import csv_files, workbook
    from sfpc.report.word import document

    report = report_of(read_inputs(paths))
    page, held, book = _render(report), document(report), workbook(report)
    write_page(paths.report / DOCUMENT, held)
    write_page(paths.report / WORKBOOK, book)
    write_folder(paths.report / TABLES, csv_files(report))
    return write_page(paths.report / PAGE, page)


def render(inputs: Inputs) -> str:
    """The whole page as text."""
    return _render(report_of(inputs))


def _render(report: Report) -> str:
    return fill("template.html.j2", report=report)


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


def write_folder(target: Path, contents: dict[str, str]) -> None:
    """Write the files of a folder that holds nothing else; a file of an earlier run is removed."""
    for name, content in contents.items():
        write_page(target / name, content)
    for old in target.iterdir():
        if old.is_file() and old.name not in contents:
            old.unlink()


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
    # Charts are the only text that is not escaped.
    environment.filters["markup"] = Markup
    # Names and code stand as they are: hyphens and quotes mean something in them.
    environment.filters["verbatim"] = escape
    style = (package / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=Markup(style), **content)


def _tidy(value: Any) -> Any:
    return words.tidy(value) if type(value) is str else value
