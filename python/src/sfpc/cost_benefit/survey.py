"""The cost survey: a CSV template for LAs, and reading it back with every cell checked (FV.CBA.1)."""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sfpc.cost_benefit.prices import financial_year, year_label
from sfpc.errors import InputError, SfpcError

PREREQUISITE, START_UP, RECURRING = "prerequisite", "start_up", "recurring"
PHASES = (PREREQUISITE, START_UP, RECURRING)
BASES = ("actual", "forecast")
# Column, what is expected there, an example.
_GUIDE = (
    ("la_code", "DfE code of the LA, three digits", "999"),
    ("category", "one of the categories listed in this guide", "training"),
    ("phase", "prerequisite (there before the programme), start_up (once) or recurring (every year)", START_UP),
    ("basis", "actual, or forecast where actual figures are not to be had", "actual"),
    ("financial_year", "year in which the cost falls, April to March", "2021/22"),
    ("amount_gbp", "pounds, 0 or more; the whole cost of the line in that year", "12500"),
    ("price_year", "financial year in whose prices the amount stands; empty: that in which it falls", "2021/22"),
    ("overlap_share", "share of the use that is not for the programme, 0 to 1; empty: 0", "0.25"),
    ("life_years", "years that it serves, from the year in which it falls; empty: 1", "4"),
    ("description", "what it is, without names of people; kept here, never in results", "Laptops for new staff"),
)
COLUMNS = tuple(column for column, _, _ in _GUIDE)
# Cells that nobody has filled in yet: a row with none of them is an open row of the template.
_ANSWERS = ("basis", "financial_year", "amount_gbp", "price_year", "overlap_share", "life_years", "description")
_EARLIEST, _LATEST = 2010, 2040
_LONGEST_LIFE = 50.0
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Problem:
    """A cell that cannot be used; row counts from 1, the header included."""

    file: str
    row: int
    column: str
    value: str
    expected: str

    def __str__(self) -> str:
        said = f"'{self.value}'" if self.value else "empty"
        return f"{self.file}, row {self.row}, column {self.column}: {said}; expected {self.expected}"


class CostSurveyError(SfpcError):
    """A survey with cells that cannot be used; the message has a line for each."""

    exit_code = 1

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} cell{'s' if len(problems) > 1 else ''} of the cost survey cannot be used"
        super().__init__("\n  ".join([f"{count}:", *map(str, problems)]))


@dataclass(frozen=True)
class CostLine:
    """A line of the survey.

    year, price_year: in which the financial year ends. amount: pounds of price_year. overlap_share: 0 to 1, use that is
    not for the programme. life_years: at least 1.
    """

    row: int
    la_code: str
    category: str
    phase: str
    basis: str
    year: int
    amount: float
    price_year: int
    overlap_share: float
    life_years: float


@dataclass(frozen=True)
class CostSurvey:
    """Every filled line, and the rows of the template that are still open."""

    file: str
    lines: tuple[CostLine, ...]
    open_rows: tuple[int, ...]


def read_categories(seeds: Path) -> dict[str, str]:
    """Categories and their meaning, from seeds/economics/cost_categories.csv, in order."""
    with (seeds / "economics" / "cost_categories.csv").open(newline="", encoding="utf-8") as handle:
        return {row["category_id"]: row["meaning"] for row in csv.DictReader(handle)}


def read_la_codes(seeds: Path) -> set[str]:
    """DfE codes of the register."""
    with (seeds / "reference" / "local_authority_codes.csv").open(newline="", encoding="utf-8") as handle:
        return {row["la_code"] for row in csv.DictReader(handle)}


def write_template(path: Path, categories: Mapping[str, str], la_codes: Sequence[str]) -> Path:
    """Write an empty survey: a row per LA, category and phase to start with; returns the guide written beside it.

    Rows may be added, repeated for other years and left open. An existing file is never overwritten.

    Raises SfpcError where the survey exists.
    """
    if path.exists():
        raise SfpcError(f"{path} exists; a survey is never overwritten: choose another name")
    empty = [""] * (len(COLUMNS) - 3)
    rows = [[la, category, phase, *empty] for la in la_codes for category in categories for phase in PHASES]
    guide = path.with_name(f"{path.stem}_guide.csv")
    listed = [("category", f"{category}: {meaning}", category) for category, meaning in categories.items()]
    _write(guide, ("column", "expected", "example"), [*_GUIDE, *listed])
    _write(path, COLUMNS, rows)
    return guide


def read_survey(path: Path, categories: Iterable[str], la_codes: Iterable[str]) -> CostSurvey:
    """Read a survey; every cell is checked and every problem told.

    categories, la_codes: what may stand there.

    Raises InputError for a file that is no such table (encoding, header, width of a row), CostSurveyError (one line per
    cell: file, row, column, value, what was expected) for anything in it that cannot be used.
    """
    survey, problems = check_survey(path, categories, la_codes)
    if problems:
        raise CostSurveyError(problems)
    return survey


def check_survey(path: Path, categories: Iterable[str], la_codes: Iterable[str]) -> tuple[CostSurvey, list[Problem]]:
    """As `read_survey`, but the problems are returned; lines with one are not among the lines."""
    known, codes = list(categories), set(la_codes)
    lines: list[CostLine] = []
    open_rows: list[int] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, cells in _rows(path):
        if not any(cells[name] for name in _ANSWERS):
            open_rows.append(number)
            continue
        line, wrong = _line(str(path), number, cells, known, codes)
        problems += wrong
        same = tuple(cells.values())
        if same in seen:
            problems.append(
                Problem(str(path), number, "la_code", cells["la_code"], f"a line once; this is row {seen[same]} again")
            )
        seen.setdefault(same, number)
        if line is not None:
            lines.append(line)
    return CostSurvey(str(path), tuple(lines), tuple(open_rows)), problems


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise InputError("no such file", file=path)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not readable as UTF-8; save it as CSV (UTF-8)", file=path) from error
    if "\0" in content:
        raise InputError("holds zero bytes; save it as CSV (UTF-8)", file=path)
    records = list(csv.reader(io.StringIO(content)))
    header = [name.strip().lower() for name in records[0]] if records else []
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name or "(empty)" for name in header if name not in COLUMNS]
    if missing or unknown or len(set(header)) < len(header):
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has {', '.join(unknown)}, which the template does not know"] if unknown else []
        said += ["has a column twice"] if len(set(header)) < len(header) else []
        raise InputError(f"the header {' and '.join(said)}; expected {','.join(COLUMNS)}", file=path, row=1)
    for number, record in enumerate(records[1:], start=2):
        if not any(cell.strip() for cell in record):
            continue
        if len(record) != len(header):
            raise InputError(f"{len(record)} cells; expected {len(header)}", file=path, row=number)
        given = dict(zip(header, record, strict=True))
        yield number, {name: given[name].strip() for name in COLUMNS}


def _line(
    file: str, row: int, cells: Mapping[str, str], categories: Sequence[str], la_codes: set[str]
) -> tuple[CostLine | None, list[Problem]]:
    problems: list[Problem] = []

    def read(column: str, how: Callable[[str], _Read], expected: str, otherwise: _Read) -> _Read:
        try:
            return how(cells[column])
        except ValueError:
            problems.append(Problem(file, row, column, cells[column], expected))
            return otherwise

    def number(column: str, low: float, high: float, expected: str, if_empty: float | None = None) -> float:
        def how(text: str) -> float:
            if not text and if_empty is not None:
                return if_empty
            value = float(text.replace(",", "").removeprefix("£")) if column == "amount_gbp" else float(text)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(text)
            return value

        return read(column, how, expected, low)

    def one_of(column: str, allowed: Sequence[str]) -> str:
        def how(text: str) -> str:
            if text.lower() not in allowed:
                raise ValueError(text)
            return text.lower()

        return read(column, how, f"one of {', '.join(allowed)}", "")

    def la(text: str) -> str:
        if text not in la_codes:
            raise ValueError(text)
        return text

    def year(text: str) -> int:
        value = financial_year(text)
        if not _EARLIEST <= value <= _LATEST:
            raise ValueError(text)
        return value

    span = f"a financial year such as 2021/22, from {year_label(_EARLIEST)} to {year_label(_LATEST)}"
    falls = read("financial_year", year, span, 0)
    line = CostLine(
        row=row,
        la_code=read("la_code", la, "the DfE code of an LA of the register, three digits", ""),
        category=one_of("category", categories),
        phase=one_of("phase", PHASES),
        basis=one_of("basis", BASES),
        year=falls,
        amount=number("amount_gbp", 0.0, 1e10, "pounds, 0 or more, such as 12500"),
        price_year=read("price_year", lambda text: year(text) if text else falls, f"nothing, or {span}", 0),
        overlap_share=number("overlap_share", 0.0, 1.0, "a share from 0 to 1, such as 0.25", 0.0),
        life_years=number("life_years", 1.0, _LONGEST_LIFE, f"years, 1 to {_LONGEST_LIFE:g}", 1.0),
    )
    return (None if problems else line), problems


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_survey(path: Path, lines: Iterable[Sequence[str]]) -> None:
    """Write a survey of filled lines, in the order of `COLUMNS`; replaced in one step."""
    _write(path, COLUMNS, lines)
