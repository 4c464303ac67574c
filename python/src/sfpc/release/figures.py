"""Figures for release: drawn from a released table and from nothing else, with words for who cannot see them (DP.5).

A function here takes a `ReleasedTable`, which only the judge makes, so no figure can show a point that the table beside
it does not. Hidden cells are said to be hidden, not drawn as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfpc.release.judge import ReleasedTable
from sfpc.report.drawing import Drawing

_INK, _GREY, _PALE = "#26292b", "#6b7276", "#d9dee1"
_COLOUR = "#0072b2"
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _FOOT = 720.0, 300.0, 40.0, 26.0, 56.0, 48.0


@dataclass(frozen=True)
class Figure:
    """A figure of a released table: an SVG file with a title, and the table that it shows."""

    key: str
    table: str
    title: str
    svg: str


@dataclass(frozen=True)
class _Point:
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


def estimates_figure(table: ReleasedTable, label: str, unit: str, scale: str | None = None) -> Figure:
    """Estimates with their intervals, one line per row of the table (or per row of one `scale`).

    label: column that names a row; unit: of the axis.
    """
    _checked(table)
    frame = table.frame if scale is None else table.frame[table.frame["scale"] == scale]
    points = [
        _Point(str(row[label]), _as_number(row["estimate"]), _as_number(row["ci_low"]), _as_number(row["ci_high"]))
        for row in frame.to_dict("records")
    ]
    return _figure(table, points, unit)


def rates_figure(table: ReleasedTable, unit: str, column: str = "rate_pct") -> Figure:
    """One dot per row of a table of rates or means."""
    _checked(table)
    points = [
        _Point(", ".join(str(row[name]) for name in table.dimensions), _as_number(row[column]))
        for row in table.frame.to_dict("records")
    ]
    return _figure(table, points, unit)


def _checked(table: ReleasedTable) -> None:
    if not isinstance(table, ReleasedTable):
        raise TypeError("a figure is drawn from a released table and from nothing else")


def _as_number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _figure(table: ReleasedTable, points: list[_Point], unit: str) -> Figure:
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(points) + _FOOT)
    drawing.words(0, 20, table.title, 15, _INK, is_bold=True)
    ends = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.05 * (high - low) or 1.0
    low, high = low - room, high + room

    def across(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    foot = _TOP + _ROW * len(points)
    drawing.line([(across(0.0), _TOP - 8), (across(0.0), foot)], _GREY, 1.0, (3, 3))
    for number, point in enumerate(points):
        y = _TOP + _ROW * (number + 0.5)
        drawing.words(_LEFT - 12, y + 4, _short(point.label), 12, _INK, "end")
        if point.value is None:
            drawing.words(across(0.0) + 8, y + 4, "hidden", 12, _GREY)
            continue
        if point.low is not None and point.high is not None:
            drawing.line([(across(point.low), y), (across(point.high), y)], _COLOUR, 2.0)
        drawing.dot(across(point.value), y, 4.5, _COLOUR)
    drawing.line([(_LEFT, foot), (_WIDTH - _RIGHT, foot)], _PALE, 1.0)
    for value in (low + room, 0.0, high - room):
        drawing.words(across(value), foot + 18, f"{value:.1f}".replace("-", "\N{MINUS SIGN}"), 11, _GREY, "middle")
    drawing.words((_LEFT + _WIDTH - _RIGHT) / 2, foot + 38, unit, 12, _INK, "middle")
    hidden = sum(point.value is None for point in points)
    label = f"{table.title}; {len(points)} rows of the table {table.key}, {hidden} of them hidden; axis: {unit}"
    svg = drawing.svg(label, "figure").replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return Figure(f"{table.key}_figure", table.key, table.title, svg)


def _short(text: str) -> str:
    return text if len(text) <= 44 else f"{text[:43]}\N{HORIZONTAL ELLIPSIS}"
