"""The report as a Word document: the blocks of the page in the same order, with the same tables and figures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

from docx import Document
from docx.enum.section import WD_ORIENT, WD_SECTION
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Cm, Pt, RGBColor

from sfpc.report.document import (
    Aside,
    Beside,
    Block,
    Facts,
    Fold,
    Heading,
    Items,
    Panel,
    Picture,
    Report,
    Text,
)
from sfpc.report.export import repeatable
from sfpc.report.tables import Table
from sfpc.report.words import tidy

_TEXT_CM, _LANDSCAPE_CM, _MARGIN_CM = 17.0, 25.7, 2.0
# A table with more columns stands in the appendix across the page, one with more rows in the workbook alone.
_MOST_COLUMNS, _MOST_ROWS = 9, 80
# Width of a figure that fills the text; narrower ones keep their scale.
_FULL_WIDTH_PX = 720
_SHADES = {"chosen": "E8F1F8"}


def document(report: Report) -> bytes:
    """The document; equal reports give equal bytes. Figures carry their words as alternative text."""
    return _Writer(report).written()


class _Writer:
    """Writes blocks one after another; wide tables wait for the appendix."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.document: Any = Document()
        self.wide: list[Table] = []
        self.pictures = 0

    def written(self) -> bytes:
        report = self.report
        self._set_up()
        self.document.add_paragraph(report.name, style="Title")
        self._paragraph(report.subtitle, style="Subtitle")
        self._facts(report.status)
        for place, section in enumerate(report.sections, 1):
            heading = self.document.add_heading(f"{place}. {section.title}", level=1)
            _bookmark(heading, place, section.key)
            if place > 1:
                heading.paragraph_format.space_before = Pt(18)
            self._blocks(section.blocks)
            if place == 1:
                self._contents()
        if self.wide:
            self._appendix()
        self._paragraph(report.footer)
        stream = io.BytesIO()
        self.document.save(stream)
        return repeatable(stream.getvalue(), report.moment)

    def _set_up(self) -> None:
        report, styles = self.report, self.document.styles
        normal = styles["Normal"]
        normal.font.name, normal.font.size = "Arial", Pt(10)
        normal.paragraph_format.space_after = Pt(6)
        for name, size in (("Title", 24), ("Subtitle", 12), ("Heading 1", 16), ("Heading 2", 13), ("Heading 3", 11)):
            style = styles[name]
            style.font.name, style.font.size, style.font.color.rgb = "Arial", Pt(size), RGBColor(0x1D, 0x22, 0x25)
            fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
            for which in ("w:asciiTheme", "w:hAnsiTheme", "w:eastAsiaTheme", "w:cstheme"):
                fonts.attrib.pop(qn(which), None)
        caption = styles["Caption"]
        caption.font.size, caption.font.bold, caption.font.color.rgb = Pt(9.5), True, RGBColor(0x1D, 0x22, 0x25)
        caption.paragraph_format.keep_with_next, caption.paragraph_format.space_after = True, Pt(3)
        caption.paragraph_format.space_before = Pt(8)
        first = self.document.sections[0]
        first.page_width, first.page_height = Cm(21.0), Cm(29.7)
        for side in ("left_margin", "right_margin", "top_margin", "bottom_margin"):
            setattr(first, side, Cm(_MARGIN_CM))
        first.header.paragraphs[0].text = report.marking
        footer = first.footer.paragraphs[0]
        footer.add_run(f"{report.title}, run of {report.moment[:10]}, page ")
        _page_number(footer)
        properties = self.document.core_properties
        properties.title, properties.author, properties.comments = report.title, "", report.marking
        properties.language = "en-GB"
        language = styles.element.find(f"{qn('w:docDefaults')}//{qn('w:lang')}")
        if language is not None:
            language.set(qn("w:val"), "en-GB")

    def _contents(self) -> None:
        self.document.add_heading("Contents", level=2)
        for place, section in enumerate(self.report.sections, 1):
            line = self.document.add_paragraph()
            line.paragraph_format.space_after = Pt(1)
            _link(line, f"{place}. {section.title}", section.key)

    def _paragraph(self, text: str, lead_in: str = "", style: str | None = None) -> Any:
        made = self.document.add_paragraph(style=style)
        if lead_in:
            made.add_run(f"{tidy(lead_in)} ").bold = True
        made.add_run(tidy(text))
        return made

    def _blocks(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self._block(block)

    def _block(self, block: Block) -> None:
        match block:
            case Text():
                self._text(block)
            case Items():
                for line in block.lines:
                    self._paragraph(line, style="List Bullet")
            case Facts():
                self._facts(block.pairs)
            case Heading():
                flag = f" ({block.flag})" if block.flag else ""
                self.document.add_heading(f"{tidy(block.text)}{flag}", level=block.level - 1)
            case Picture():
                self._picture(block)
            case Table():
                self._place(block)
            case Aside():
                self.document.add_heading(tidy(block.title), level=3)
                self._blocks(block.blocks)
            case Fold():
                self.document.add_heading(tidy(block.summary), level=2 if block.is_study else 3)
                self._blocks(block.blocks)
            case Beside():
                self._blocks([*block.left, *block.right])
            case Panel():
                self._blocks(block.blocks)

    def _text(self, block: Text) -> None:
        made = self._paragraph(block.text, block.lead_in)
        if block.kind == "lead":
            for run in made.runs:
                run.bold, run.font.size = True, Pt(13)
        elif block.kind in ("source", "when"):
            for run in made.runs:
                run.font.size = Pt(9)
        if block.link is not None:
            made.add_run(" ")
            if block.link.target.startswith("#"):
                _link(made, block.link.text, block.link.target[1:])
            else:
                made.add_run(f"{block.link.text} ({block.link.target})")
            made.add_run(".")

    def _facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        for name, value in pairs:
            self._paragraph(value, f"{name}:").paragraph_format.space_after = Pt(2)

    def _picture(self, block: Picture) -> None:
        self._paragraph(block.title, style="Caption")
        line = self.document.add_paragraph()
        drawing = block.figure.wide
        width = min(_TEXT_CM, _TEXT_CM * drawing.width / _FULL_WIDTH_PX)
        # No taller than a page.
        width = min(width, 21.0 * drawing.width / max(drawing.height, 1.0))
        shape = line.add_run().add_picture(io.BytesIO(drawing.png()), width=Cm(width))
        self.pictures += 1
        shape._inline.docPr.set("descr", tidy(block.figure.label))
        shape._inline.docPr.set("title", tidy(block.title))
        if block.note:
            line.paragraph_format.keep_with_next = True
            for run in self._paragraph(block.note).runs:
                run.font.size = Pt(9)

    def _place(self, table: Table) -> None:
        if len(table.rows) > _MOST_ROWS:
            self._paragraph(f"{table.title}. {len(table.rows)} rows: see tables.xlsx.")
        elif len(table.columns) > _MOST_COLUMNS:
            self._paragraph(f"{table.title}: in the appendix.")
            self.wide.append(table)
        else:
            self._table(table, _TEXT_CM, 8.0 if len(table.columns) > 6 or table.is_small else 9.0)

    def _table(self, table: Table, room: float, size: float) -> None:
        self._paragraph(table.title, style="Caption")
        body = self.document.element.body
        body.insert(len(body) - 1, parse_xml(_table_xml(table, room, size)))
        for letter, note in table.notes:
            line = self._paragraph(note, letter)
            line.paragraph_format.space_after = Pt(1)
            for run in line.runs:
                run.font.size = Pt(8)
        self.document.add_paragraph().paragraph_format.space_after = Pt(4)

    def _appendix(self) -> None:
        across = self.document.add_section(WD_SECTION.NEW_PAGE)
        across.orientation = WD_ORIENT.LANDSCAPE
        across.page_width, across.page_height = Cm(29.7), Cm(21.0)
        self.document.add_heading("Appendix: wide tables", level=1)
        for table in self.wide:
            if table.about:
                self.document.add_heading(tidy(table.about), level=3)
            self._table(table, _LANDSCAPE_CM, 7.0)


def _table_xml(table: Table, room: float, size: float) -> str:
    """A table as markup: cell by cell through the library takes a hundred times as long."""
    shares = _shares(table)
    widths = [round(room * share * 567) for share in shares]
    grid = "".join(f'<w:gridCol w:w="{width}"/>' for width in widths)
    half = round(2 * size)

    def row(cells: Sequence[str], is_head: bool, kind: str) -> str:
        made = []
        for text, column, width in zip(cells, table.columns, widths, strict=True):
            shade = f'<w:shd w:val="clear" w:color="auto" w:fill="{_SHADES[kind]}"/>' if kind in _SHADES else ""
            side = '<w:jc w:val="right"/>' if column.is_number else ""
            strong = "<w:b/>" if is_head or kind == "total" else ""
            made.append(
                f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/>{shade}</w:tcPr><w:p><w:pPr>'
                f'<w:spacing w:before="20" w:after="20"/>{side}</w:pPr><w:r>'
                f'<w:rPr>{strong}<w:sz w:val="{half}"/></w:rPr>'
                f'<w:t xml:space="preserve">{escape(tidy(str(text)), quote=False)}</w:t></w:r></w:p></w:tc>'
            )
        head = "<w:tblHeader/>" if is_head else ""
        return f"<w:tr><w:trPr><w:cantSplit/>{head}</w:trPr>{''.join(made)}</w:tr>"

    line = 'w:val="single" w:sz="4" w:space="0" w:color="C9CFD3"'
    rows = [row([c.label for c in table.columns], True, ""), *(row(r.cells, False, r.kind) for r in table.rows)]
    return (
        f'<w:tbl {nsdecls("w")}><w:tblPr><w:tblW w:w="{sum(widths)}" w:type="dxa"/><w:tblBorders>'
        f"<w:top {line}/><w:bottom {line}/><w:insideH {line}/></w:tblBorders>"
        '<w:tblLayout w:type="fixed"/><w:tblCellMar><w:left w:w="40" w:type="dxa"/><w:right w:w="60" w:type="dxa"/>'
        '</w:tblCellMar><w:tblLook w:firstRow="1" w:firstColumn="1"/>'
        f'<w:tblCaption w:val="{escape(tidy(table.title))}"/></w:tblPr><w:tblGrid>{grid}</w:tblGrid>'
        f"{''.join(rows)}</w:tbl>"
    )


def _shares(table: Table) -> list[float]:
    """Widths of the columns as shares of the whole: by their longest word and by how much they hold."""
    wanted = []
    for place, column in enumerate(table.columns):
        texts = [column.label, *(str(row.cells[place]) for row in table.rows)]
        word = max(len(part) for text in texts for part in (text.split() or [""]))
        longest = max(len(text) for text in texts[1:]) if table.rows else word
        wanted.append(float(max(word + 1, min(longest, 34 if not column.is_number else 22), 4)))
    return [width / sum(wanted) for width in wanted]


def _bookmark(paragraph: Any, number: int, name: str) -> None:
    start = parse_xml(f'<w:bookmarkStart {nsdecls("w")} w:id="{number}" w:name="{name}"/>')
    end = parse_xml(f'<w:bookmarkEnd {nsdecls("w")} w:id="{number}"/>')
    paragraph._p.insert(1 if paragraph._p.pPr is not None else 0, start)
    paragraph._p.append(end)


def _link(paragraph: Any, text: str, anchor: str) -> None:
    """A link to a heading of the document."""
    paragraph._p.append(
        parse_xml(
            f'<w:hyperlink {nsdecls("w")} w:anchor="{anchor}"><w:r><w:rPr><w:color w:val="0B4F80"/>'
            f'<w:u w:val="single"/>'
            f'</w:rPr><w:t xml:space="preserve">{escape(tidy(text), quote=False)}</w:t></w:r></w:hyperlink>'
        )
    )


def _page_number(paragraph: Any) -> None:
    paragraph._p.append(
        parse_xml(f'<w:fldSimple {nsdecls("w")} w:instr=" PAGE "><w:r><w:t>1</w:t></w:r></w:fldSimple>')
    )
