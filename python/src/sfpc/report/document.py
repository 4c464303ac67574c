"""The report as blocks: one content, from which the page, the Word document and the tables are written.

Sections hold blocks in the order of reading. Tables and figures are numbered in that order, so that a number means the
same table in every format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from sfpc.report.drawing import Drawing
from sfpc.report.tables import Table


class Drawn(Protocol):
    """What a figure must hold: a drawing for the page and one for the telephone, and its words."""

    @property
    def label(self) -> str:
        """What the figure shows, for those who cannot see it."""
        ...

    @property
    def wide(self) -> Drawing:
        """For a page or a document."""
        ...

    @property
    def narrow(self) -> Drawing:
        """For a telephone."""
        ...

    def svg(self) -> str:
        """Both as markup."""
        ...


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere: '#section' inside the report, or a file beside it."""

    text: str
    target: str


@dataclass(frozen=True)
class Text:
    """A paragraph; lead_in: its first words, set strongly. kind: '', 'lead', 'source' or 'when'."""

    shape: ClassVar[str] = "text"
    text: str
    lead_in: str = ""
    kind: str = ""
    link: Link | None = None


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    shape: ClassVar[str] = "items"
    lines: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    shape: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, of level 3 or 4; flag: a word beside it."""

    shape: ClassVar[str] = "heading"
    text: str
    level: int = 3
    flag: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure with its caption; note: how to read it."""

    shape: ClassVar[str] = "picture"
    figure: Drawn
    caption: str
    note: str = ""
    number: int = 0

    @property
    def title(self) -> str:
        """The caption with its number."""
        return f"Figure {self.number}. {self.caption}" if self.number else self.caption

    @property
    def markup(self) -> str:
        """Both widths as SVG."""
        return self.figure.svg()


@dataclass(frozen=True)
class Aside:
    """What is only known of synthetic data."""

    shape: ClassVar[str] = "aside"
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Fold:
    """Blocks that the page shows on request, and print and documents always."""

    shape: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence[Block]
    is_study: bool = False


@dataclass(frozen=True)
class Beside:
    """Two columns on a wide page. kind: 'finding with-truth' or 'pair'."""

    shape: ClassVar[str] = "beside"
    left: Sequence[Block]
    right: Sequence[Block]
    kind: str


@dataclass(frozen=True)
class Panel:
    """Blocks that belong together under a line."""

    shape: ClassVar[str] = "panel"
    blocks: Sequence[Block]


Block = Text | Items | Facts | Heading | Picture | Table | Aside | Fold | Beside | Panel


@dataclass(frozen=True)
class Section:
    """A numbered section; key: its anchor."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """The whole report. marking: who may see it; status: facts on top; moment: when the run finished (ISO)."""

    title: str
    name: str
    subtitle: str
    marking: str
    footer: str
    status: Sequence[tuple[str, str]]
    moment: str
    sections: Sequence[Section] = field(default_factory=tuple)


def changed(blocks: Sequence[Block], change: Callable[[Table | Picture], Table | Picture]) -> list[Block]:
    """The blocks with every table and figure changed, in the order of reading."""
    found: list[Block] = []
    for block in blocks:
        if isinstance(block, Table | Picture):
            found.append(change(block))
        elif isinstance(block, Aside | Fold | Panel):
            found.append(replace(block, blocks=changed(block.blocks, change)))
        elif isinstance(block, Beside):
            left = changed(block.left, change)
            found.append(replace(block, left=left, right=changed(block.right, change)))
        else:
            found.append(block)
    return found


def numbered(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The sections with their tables and figures numbered in the order of reading."""
    counts = {"table": 0, "picture": 0}

    def number(block: Table | Picture) -> Table | Picture:
        counts[block.shape] += 1
        return replace(block, number=counts[block.shape])

    return tuple(replace(section, blocks=changed(section.blocks, number)) for section in sections)


def about(blocks: Sequence[Block], title: str, key: str) -> list[Block]:
    """The blocks of a study, whose tables know what they are about wherever they stand."""

    def change(block: Table | Picture) -> Table | Picture:
        if isinstance(block, Picture):
            return block
        return replace(block, about=title, short=block.key.replace(f"-{key}", ""))

    return changed(blocks, change)


def tables_of(sections: Sequence[Section]) -> Iterator[tuple[Section, Table]]:
    """Every table with its section, in the order of reading."""
    for section in sections:
        for block in flat(section.blocks):
            if isinstance(block, Table):
                yield section, block


def flat(blocks: Sequence[Block]) -> Iterator[Block]:
    """Every block and the blocks inside it."""
    for block in blocks:
        yield block
        if isinstance(block, Aside | Fold | Panel):
            yield from flat(block.blocks)
        elif isinstance(block, Beside):
            yield from flat(block.left)
            yield from flat(block.right)
