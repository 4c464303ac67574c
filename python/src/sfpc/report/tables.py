"""Tables of the report: header cells with scope, numbers to the right, a caption for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds numbers (set to the right)."""

    label: str
    is_number: bool = False


@dataclass(frozen=True)
class Row:
    """A row of cells, the first of which heads the row. `kind`: '', 'total' or 'chosen'."""

    cells: Sequence[str]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; `notes` stand below it, each with its letter.

    number: its place in a report, from 1. about: the study that it is about, for where it stands away from its section;
    short: a name of its kind, the same for every study.
    """

    shape: ClassVar[str] = "table"
    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[tuple[str, str]] = field(default_factory=tuple)
    is_small: bool = False
    number: int = 0
    about: str = ""
    short: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.key}: {len(row.cells)} cells for {len(self.columns)} columns")

    @property
    def title(self) -> str:
        """The caption with its number."""
        return f"Table {self.number}. {self.caption}" if self.number else self.caption


def text(label: str) -> Column:
    """A column of words."""
    return Column(label)


def number(label: str) -> Column:
    """A column of numbers."""
    return Column(label, is_number=True)


def lettered(notes: Sequence[str | None]) -> tuple[list[str], list[tuple[str, str]]]:
    """Turn notes of the form 'a; b' into letters per row and one list of notes with their letters."""
    letters: dict[str, str] = {}
    marks: list[str] = []
    for note in notes:
        parts = [part.strip() for part in (note or "").split(";") if part.strip()]
        for part in parts:
            letters.setdefault(part, letter(len(letters)))
        marks.append(" ".join(letters[part] for part in parts))
    return marks, [(letter, note) for note, letter in letters.items()]


def letter(position: int) -> str:
    """Name of a mark or note: a to z, then aa, ab and so on."""
    first, last = divmod(position, 26)
    return ("" if first == 0 else chr(96 + first)) + chr(97 + last)


def summary_columns(confidence: str) -> list[Column]:
    """Columns of the summary on the first page, in both versions of the report; confidence: of the interval."""
    return [
        text("Outcome"),
        text("Effect of the programme"),
        text(f"{confidence} interval"),
        text("Before the programme"),
        text("Statistically significant"),
        number("p"),
        number("p, adjusted"),
        number("Children"),
        number("LAs"),
    ]
