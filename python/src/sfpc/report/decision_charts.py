"""The charts of a decision page: trends, changes, and the ten candidates as small multiples (FV.MATCH.4, .6)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sfpc.report.charts import BLACK, BLUE, COMPARATOR_STYLES, GREY, INK, NARROW, PALE, VERMILION
from sfpc.report.drawing import Drawing
from sfpc.report.words import decimal

PAGE_WIDTH = 1040
_OWN_BAND, _THEIR_BAND = "#8d9499", "#56b4e9"
_BETWEEN = 16.0
_Z = 1.959963984540054
"""Half the width of a 95 per cent band in standard errors."""


@dataclass(frozen=True)
class Trend:
    """An LA's periods before go-live: standardised values and changes with their sampling errors.

    days: first day of each period. values, changes: standard deviations of the outcome over LAs; NaN where unknown.
    value_errors, change_errors: sampling errors in the same unit; NaN where not known.
    """

    la_id: str
    label: str
    days: Sequence[date]
    values: Sequence[float]
    changes: Sequence[float]
    value_errors: Sequence[float]
    change_errors: Sequence[float]


@dataclass(frozen=True)
class Candidate:
    """A ranked candidate and how its distance compares with sampling error (NaN where that is not known)."""

    rank: int
    trend: Trend
    distance: float
    noise_ratio: float
    is_accepted: bool


@dataclass(frozen=True)
class Mark:
    """A shock inside the window: its letter, its day and the LA that it is about (none: all of England)."""

    letter: str
    day: date
    la_id: str | None = None


@dataclass(frozen=True)
class Picture:
    """What the charts of one treatment LA and outcome show. frequency: quarter, year or school_year."""

    own: Trend
    candidates: Sequence[Candidate]
    marks: Sequence[Mark]
    frequency: str

    @property
    def days(self) -> list[date]:
        """Every period that is shown."""
        return sorted({day for trend in (self.own, *(c.trend for c in self.candidates)) for day in trend.days})


class _Scale:
    """From days and values to pixels of a plot."""

    def __init__(self, picture: Picture, x: float, y: float, width: float, height: float, reach: float) -> None:
        days = picture.days
        self.left, self.top, self.width, self.height, self.reach = x, y, width, height, reach
        self.first = days[0].toordinal()
        self.span = max(1, days[-1].toordinal() - self.first)

    def x(self, day: date) -> float:
        return self.left + 4 + (self.width - 8) * (day.toordinal() - self.first) / self.span

    def y(self, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        inside = max(-self.reach, min(self.reach, value))
        return self.top + self.height * (0.5 - 0.5 * inside / self.reach)


def trend_overview(picture: Picture, width: int) -> Drawing:
    """Standardised trends of the LA, with its sampling error, and of its comparators or nearest candidates."""
    return _overview(picture, width, "values", "Standardised outcome: standard deviations from the mean of all LAs")


def change_overview(picture: Picture, width: int) -> Drawing:
    """Changes from the period before, which are what the distance is made of."""
    word = "quarter" if picture.frequency == "quarter" else "year"
    return _overview(picture, width, "changes", f"Change of the standardised outcome from the {word} before")


def candidate_panels(picture: Picture, width: int) -> Drawing:
    """The ranked candidates in order, each beside the treatment LA: values above, changes below, on one scale."""
    across = 2 if width <= NARROW else 5
    wide, head, tall, low, foot = width / across, 46.0, 92.0, 58.0, 30.0
    high = head + tall + _BETWEEN + low + foot
    drawing = Drawing(width, high * math.ceil(len(picture.candidates) / across))
    reach, change_reach = _reach(picture, "values"), _reach(picture, "changes")
    letters = int((wide - 12) / 6.1)
    for place, candidate in enumerate(picture.candidates):
        x, y = wide * (place % across), high * (place // across)
        drawing.words(
            x + 4, y + 14, _cut(f"{candidate.rank}. {candidate.trend.label}", letters), 12, INK,
            is_bold=candidate.is_accepted,
        )  # fmt: skip
        noise = f", {candidate.noise_ratio:.1f} × noise" if math.isfinite(candidate.noise_ratio) else ""
        accepted = ", taken" if candidate.is_accepted else ""
        drawing.words(x + 4, y + 29, _cut(f"{decimal(candidate.distance)}{noise}{accepted}", letters + 3), 10.5, GREY)
        upper = _Scale(picture, x + 22, y + head, wide - 30, tall, reach)
        lower = _Scale(picture, x + 22, y + head + tall + _BETWEEN, wide - 30, low, change_reach)
        for scale, kind in ((upper, "values"), (lower, "changes")):
            _frame(drawing, scale)
            _marks(drawing, picture, scale, candidate.trend, with_letters=kind == "values")
            _trend(drawing, picture, scale, picture.own, kind, BLACK, 1.7, _OWN_BAND)
            _trend(drawing, picture, scale, candidate.trend, kind, BLUE, 1.5, _THEIR_BAND, dash=(4, 2))
        days = picture.days
        bottom = lower.top + lower.height + 13
        drawing.words(upper.x(days[0]), bottom, _period(days[0], picture.frequency), 9.5, INK)
        drawing.words(upper.x(days[-1]), bottom, _period(days[-1], picture.frequency), 9.5, INK, "end")
    return drawing


def document_image(picture: Picture, title: str, lines: Sequence[str]) -> Drawing:
    """All charts below each other with a heading: what goes into a document as one image."""
    drawing = Drawing(PAGE_WIDTH, 30)
    drawing.words(8, 26, title, 17, INK, is_bold=True)
    y = 46.0
    for line in [part for text in lines for part in textwrap.wrap(text, 150)]:
        drawing.words(8, y, line, 12, INK)
        y += 17
    for part in (trend_overview, change_overview, candidate_panels):
        below = part(picture, PAGE_WIDTH - 16)
        drawing.place(below, 8, y + 8)
        y += below.height + 14
    drawing.height = y
    white = Drawing(PAGE_WIDTH, drawing.height)
    white.box(0, 0, PAGE_WIDTH, drawing.height, "#ffffff")
    white.place(drawing, 0, 0)
    return white


def _overview(picture: Picture, width: int, kind: str, title: str) -> Drawing:
    is_narrow = width <= NARROW
    chosen = [c for c in picture.candidates if c.is_accepted] or list(picture.candidates[:3])
    chosen = chosen[: len(COMPARATOR_STYLES)]
    key = 18.0 * (len(chosen) + 1) if is_narrow else 0.0
    right, high = (10.0 if is_narrow else 190.0), (170.0 if is_narrow else 220.0)
    titles = textwrap.wrap(title, 38 if is_narrow else 110)
    top = 18.0 * len(titles) + key + 12
    drawing = Drawing(width, top + high + 34)
    for line, text in enumerate(titles):
        drawing.words(2, 13 + 17 * line, text, 12, INK, is_bold=True)
    scale = _Scale(picture, 30, top, width - 30 - right, high, _reach(picture, kind))
    _frame(drawing, scale, with_numbers=True)
    _marks(drawing, picture, scale, picture.own, with_letters=True)
    styles = [(BLACK, (), 2.4), *((c, d[1] if isinstance(d, tuple) else (), 1.7) for c, d in COMPARATOR_STYLES)]
    lines = [picture.own, *(c.trend for c in chosen)]
    for trend, (colour, dash, thick) in reversed(list(zip(lines, styles, strict=False))):
        own = trend is picture.own
        _trend(drawing, picture, scale, trend, kind, colour, thick, _OWN_BAND if own else "", dash=dash)
    days = picture.days
    every = max(1, math.ceil(len(days) * (56 if is_narrow else 64) / scale.width))
    for day in days[::every]:
        drawing.words(scale.x(day), top + high + 18, _period(day, picture.frequency), 10.5, INK, "middle")
    for place, (trend, (colour, dash, thick)) in enumerate(zip(lines, styles, strict=False)):
        x = 4.0 if is_narrow else width - right + 10
        y = 18.0 * len(titles) + 6 + 18 * place if is_narrow else top + 12 + 34 * place
        drawing.line([(x, y), (x + 22, y)], colour, thick, dash)
        for line, text in enumerate(textwrap.wrap(trend.label, 44 if is_narrow else 24)[: 1 if is_narrow else 2]):
            drawing.words(x + 28, y + 4 + 13 * line, text, 11, INK, is_bold=place == 0)
    return drawing


def _frame(drawing: Drawing, scale: _Scale, with_numbers: bool = False) -> None:
    for value in (-scale.reach, 0.0, scale.reach):
        y = scale.y(value)
        drawing.line([(scale.left, y), (scale.left + scale.width, y)], GREY if value == 0 else PALE, 0.8)
        label = decimal(value, 0 if float(scale.reach).is_integer() else 1) if value else "0"
        drawing.words(scale.left - 4, y + 3.5, label, 11 if with_numbers else 9.5, INK, "end")


def _marks(drawing: Drawing, picture: Picture, scale: _Scale, other: Trend, with_letters: bool) -> None:
    """Marks of all of England, of the treatment LA and of the other LA that is shown."""
    for mark in picture.marks:
        if mark.la_id not in (None, picture.own.la_id, other.la_id):
            continue
        x = scale.x(mark.day)
        drawing.line([(x, scale.top), (x, scale.top + scale.height)], VERMILION, 0.9, (3, 2))
        if with_letters:
            drawing.words(x, scale.top - 3, mark.letter, 9.5, "#a34700", "middle", is_bold=True)


def _trend(
    drawing: Drawing,
    picture: Picture,
    scale: _Scale,
    trend: Trend,
    kind: str,
    colour: str,
    thick: float,
    band: str,
    dash: Sequence[float] = (),
) -> None:
    values = trend.values if kind == "values" else trend.changes
    errors = trend.value_errors if kind == "values" else trend.change_errors
    xs = [scale.x(day) for day in trend.days]
    if band:
        low = [scale.y(v - _Z * e) for v, e in zip(values, errors, strict=True)]
        high = [scale.y(v + _Z * e) for v, e in zip(values, errors, strict=True)]
        drawing.band(xs, low, high, band, 0.3)
    # A period that is not there is a gap, not a line across it.
    points: list[tuple[float, float]] = []
    step = 100 if picture.frequency == "quarter" else 400
    for place, day in enumerate(trend.days):
        if place and day.toordinal() - trend.days[place - 1].toordinal() > step:
            points.append((math.nan, math.nan))
        points.append((xs[place], scale.y(values[place])))
    drawing.line(points, colour, thick, dash)


def _reach(picture: Picture, kind: str) -> float:
    """Half the height of an axis: all values, at least 1, in steps of a half."""
    trends = (picture.own, *(c.trend for c in picture.candidates))
    values = [abs(v) for t in trends for v in (t.values if kind == "values" else t.changes) if math.isfinite(v)]
    return math.ceil(2 * max([1.0, *values])) / 2


def _period(day: date, frequency: str) -> str:
    if frequency == "quarter":
        return f"{day:%b %Y}"
    return f"{day.year}/{(day.year + 1) % 100:02d}"


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"
