"""Charts of the report: drawn for two widths, named for screen readers, the same bytes on every run.

Every chart is made twice, for a page and for a telephone, and the style sheet shows one of them: a
chart that is only scaled down has letters that nobody can read. Documents take the wide one as PNG.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from sfpc.report.drawing import Drawing
from sfpc.report.words import decimal, interval

# Okabe and Ito's palette: distinct for every common colour vision; dashes and shapes tell marks apart in grey.
BLACK, BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = (
    "#1a1a1a",
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#e69f00",
    "#56b4e9",
    "#cc79a7",
)
GREY, PALE, INK = "#6b7276", "#d9dee1", "#26292b"
TRUTH = "#7a3e6c"
COMPARATOR_STYLES = (
    (BLUE, "-"),
    (VERMILION, (0, (5, 2))),
    (GREEN, (0, (2, 1.5))),
    (ORANGE, (0, (6, 1.5, 1, 1.5))),
)

WIDE, BESIDE_A_TABLE, NARROW = 720, 560, 320
# Width of an average letter as a share of its size: text is not measured, so this leaves some room.
_LETTER = 0.54
_DASHES = ((), (10.0, 4.0), (4.0, 3.0), (11.0, 3.0, 2.0, 3.0))


@dataclass(frozen=True)
class Figure:
    """A chart for the page and for the telephone, with what it says to those who cannot see it."""

    key: str
    label: str
    wide: Drawing
    narrow: Drawing

    def svg(self) -> str:
        """Both widths; the style sheet shows one."""
        return self.wide.svg(self.label, "chart wide") + self.narrow.svg(self.label, "chart narrow")


@dataclass(frozen=True)
class Bar:
    """An estimate with its interval. kind: primary, same (a variant of it) or other (not the same question).

    An end that is infinite is drawn as an arrow, one that is not a number is left out. truth: the planted effect, drawn
    on the row; NaN where there is none.
    """

    label: str
    estimate: float
    low: float
    high: float
    kind: str = "same"
    truth: float = math.nan


@dataclass(frozen=True)
class Choice:
    """A column of the specification curve: its estimate, and per kind of choice the one that it made."""

    bar: Bar
    made: Sequence[str]


@dataclass(frozen=True)
class Step:
    """A period since go-live of the event study; label: as the axis says it."""

    label: str
    estimate: float
    low: float
    high: float
    is_before: bool
    is_reference: bool
    is_open_ended: bool


@dataclass(frozen=True)
class Comparison:
    """A kind of two-by-two comparison of Goodman-Bacon's decomposition: weight (0 to 1) and effect."""

    label: str
    weight: float
    effect: float


@dataclass(frozen=True)
class Line:
    """One LA's quarters: dates and values in the unit of the axis, with an optional chance band."""

    label: str
    days: Sequence[date]
    values: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None


@dataclass(frozen=True)
class Dots:
    """One covariate of the love plot: absolute differences of its levels before and after."""

    label: str
    before: Sequence[float]
    after: Sequence[float]


@dataclass(frozen=True)
class Errors:
    """Errors of a model over the seeds of a recovery study, with their mean and its error."""

    label: str
    values: Sequence[float]
    mean: float
    monte_carlo_error: float


@dataclass(frozen=True)
class FlowBox:
    """A box of the flow: a count, what it counts, and lines below."""

    title: str
    count: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Flow:
    """The participant flow: a stem with what is left out beside it, then the two arms."""

    stem: Sequence[tuple[FlowBox, FlowBox | None]]
    arms: Sequence[tuple[FlowBox, FlowBox, FlowBox]]
    last: FlowBox


@dataclass(frozen=True)
class CoverageRow:
    """One LA of the coverage matrix: per source a state per year ('here', 'known', 'lost' or 'none')."""

    label: str
    states: Sequence[Sequence[str]]


@dataclass(frozen=True)
class SharePanel:
    """One LA of the small multiples: quarters, shares in per cent, and the quarters in which recording broke."""

    label: str
    days: Sequence[date]
    values: Sequence[float]
    breaks: Sequence[date]


@dataclass(frozen=True)
class HeatRow:
    """One LA of the heat map: a value in per cent per column; NaN where there is nothing to judge."""

    label: str
    values: Sequence[float]


def both_widths(draw: Callable[..., Drawing], key: str, label: str, wide: int = WIDE, **content: object) -> Figure:
    """Draw a chart for the page and for the telephone."""
    return Figure(key, label, draw(width=wide, **content), draw(width=NARROW, **content))


class _Axis:
    """From values to pixels, with ticks at round values."""

    def __init__(self, low: float, high: float, start: float, end: float, most: int = 6) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end
        self.ticks, self.places = _ticks(low, high, most)

    def at(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def label(self, value: float) -> str:
        return decimal(value, self.places)


def _ticks(low: float, high: float, most: int) -> tuple[list[float], int]:
    """Round values within the range, at most so many, and the decimal places that they need."""
    raw = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    values = [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return values, max(0, -math.floor(math.log10(step) + 1e-9))


def _wrap(text: str, room: float, size: float) -> list[str]:
    return textwrap.wrap(text, max(8, int(room / (size * _LETTER)))) or [""]


def _cut(text: str, room: float, size: float) -> str:
    letters = max(4, int(room / (size * _LETTER)))
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _bottom_axis(drawing: Drawing, axis: _Axis, top: float, y: float, title: str, has_grid: bool = True) -> None:
    """Ticks with their values below a line, pale lines above it, and the title with its unit."""
    for value in axis.ticks:
        x = axis.at(value)
        if has_grid:
            drawing.line([(x, top), (x, y)], PALE, 0.8)
        drawing.line([(x, y), (x, y + 4)], GREY)
        drawing.words(x, y + 17, axis.label(value), 11, INK, "middle")
    drawing.line([(axis.start, y), (axis.end, y)], GREY)
    room = axis.end - axis.start
    middle = (axis.start + axis.end) / 2
    needed = len(title) * 12 * _LETTER
    if needed > room:
        # A title wider than the plot is set over the whole drawing.
        middle = min(max(middle, needed / 2 + 2), max(drawing.width - needed / 2 - 2, drawing.width / 2))
    for number, line in enumerate(_wrap(title, max(room, drawing.width - 8), 12)):
        drawing.words(middle, y + 36 + 15 * number, line, 12, INK, "middle")


def _left_axis(drawing: Drawing, axis: _Axis, left: float, right: float) -> None:
    """Values left of pale lines; the axis runs upwards (start is the lower end)."""
    for value in axis.ticks:
        y = axis.at(value)
        drawing.line([(left, y), (right, y)], PALE, 0.8)
        drawing.words(left - 6, y + 4, axis.label(value), 11, INK, "end")


def _mark(drawing: Drawing, x: float, y: float, text: str, colour: str) -> None:
    """A word above a vertical line, kept inside the drawing."""
    half = len(text) * 12 * _LETTER / 2
    place = min(max(x, half + 2), drawing.width - half - 2)
    drawing.words(place, y, text, 12, colour, "middle")


def _range(bars: Sequence[Bar], marks: Sequence[float]) -> tuple[float, float]:
    """The range that shows every estimate and, unless they dwarf them, every interval."""
    centre = [v for v in (0.0, *marks, *(b.estimate for b in bars), *(b.truth for b in bars)) if math.isfinite(v)]
    ends = [v for b in bars for v in (b.low, b.high) if math.isfinite(v)]
    low, high = min(centre), max(centre)
    widths = sorted(b.high - b.low for b in bars if math.isfinite(b.high - b.low))
    typical = widths[len(widths) // 2] if widths else 0.0
    room = max(2.0 * typical, 0.6 * (high - low), 1e-9)
    low, high = max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)
    margin = 0.06 * ((high - low) or 1.0)
    return low - margin, high + margin


def _interval(drawing: Drawing, bar: Bar, axis: _Axis, y: float, is_upright: bool = False) -> None:
    """The interval and the estimate of a bar: along the axis at y, or upright at x = y; arrows where it runs on."""

    def place(value: float, across: float = 0.0) -> tuple[float, float]:
        along = axis.at(value)
        return (y + across, along) if is_upright else (along, y + across)

    colour = {"primary": BLUE, "same": GREY}.get(bar.kind, VERMILION)
    thickness = 5.0 if bar.kind == "primary" else 2.6
    if not (math.isnan(bar.low) or math.isnan(bar.high)):
        low, high = max(bar.low, axis.low), min(bar.high, axis.high)
        if low < high:
            drawing.line([place(low), place(high)], colour, thickness)
            step = 0.012 * (axis.high - axis.low)
            for end, is_cut, sign in ((low, bar.low < axis.low, 1), (high, bar.high > axis.high, -1)):
                if is_cut:
                    drawing.line([place(end + sign * step, -4), place(end), place(end + sign * step, 4)], colour, 1.6)
    if math.isfinite(bar.truth):
        drawing.diamond(*place(bar.truth), 7, TRUTH, is_hollow=True)
    if math.isfinite(bar.estimate) and axis.low <= bar.estimate <= axis.high:
        x, at = place(bar.estimate)
        if bar.kind == "primary":
            drawing.box(x - 6, at - 6, 12, 12, BLUE)
        elif bar.kind == "same":
            drawing.dot(x, at, 5, GREY)
        else:
            drawing.ring(x, at, 5, VERMILION, 1.8)


def _figures_of(bar: Bar) -> str:
    if not math.isfinite(bar.estimate):
        return "not estimated"
    found = interval(bar.low, bar.high)
    return f"{decimal(bar.estimate)} ({found if any(c.isdigit() for c in found) else 'no interval'})"


def forest_chart(
    *,
    width: int,
    groups: Sequence[tuple[str, Sequence[Bar]]],
    unit: str,
    reference: float = math.nan,
    reference_name: str = "primary",
    truth: float = math.nan,
    label_width: float = 262.0,
) -> Drawing:
    """Estimates with their intervals, a row each, in groups with headings; the numbers stand beside them.

    reference: an estimate to compare all rows with, as a dashed line; truth: the planted effect, likewise.
    """
    is_narrow = width <= NARROW
    left, right = (8.0, width - 8.0) if is_narrow else (label_width, width - 168.0)
    bars = [bar for _, own in groups for bar in own]
    axis = _Axis(*_range(bars, [reference, truth]), left, right, 4 if is_narrow else 6)
    drawing = Drawing(width)
    marks = [(0.0, "no effect", INK)]
    marks += [(reference, reference_name, BLUE)] if math.isfinite(reference) else []
    marks += [(truth, f"planted truth {decimal(truth)}", TRUTH)] if math.isfinite(truth) else []
    top = 8.0 + 15 * len(marks)
    rows: list[tuple[Bar | str, list[str], float]] = []
    for heading, own in groups:
        if heading:
            lines = _wrap(heading, width - 12, 12.5)
            rows.append((heading, lines, 17.0 * len(lines) + 10))
        for bar in own:
            lines = _wrap(bar.label, (width - 8 if is_narrow else label_width - 14), 12)
            rows.append((bar, lines, 15.0 * len(lines) + (37 if is_narrow else 8)))
    bottom = top + sum(height for *_, height in rows) + 4
    for number, (value, text, colour) in enumerate(marks):
        dash = () if value == 0.0 and number == 0 else (2.0, 3.0) if colour == BLUE else (6.0, 4.0)
        drawing.line([(axis.at(value), top - 4), (axis.at(value), bottom)], colour, 1.2 if not dash else 1.5, dash)
        _mark(drawing, axis.at(value), 14.0 + 15 * number, text, colour)
    y = top
    for what, lines, height in rows:
        if isinstance(what, str):
            drawing.box(0, y + 3, width, height - 3, "#eef1f3")
            for number, line in enumerate(lines):
                drawing.words(4, y + 18 + 17 * number, line, 12.5, INK, is_bold=True)
        else:
            is_bold = what.kind == "primary"
            if is_narrow:
                # The words lie over the lines of the axis: a white field keeps them readable.
                drawing.box(
                    0, y + 2, min(width, 12 + max(map(len, lines)) * 12 * 0.6), 15.0 * len(lines), "#ffffff", 0.85
                )
            for number, line in enumerate(lines):
                drawing.words(4, y + 14 + 15 * number, line, 12, INK, is_bold=is_bold)
            if is_narrow:
                drawing.box(0, y + 2 + 15 * len(lines), 150, 15, "#ffffff", 0.85)
                drawing.words(4, y + 14 + 15 * len(lines), _figures_of(what), 12, INK, is_bold=is_bold)
                _interval(drawing, what, axis, y + height - 10)
            else:
                _interval(drawing, what, axis, y + height / 2)
                drawing.words(width - 2, y + height / 2 + 4, _figures_of(what), 11.5, INK, "end", is_bold=is_bold)
        y += height
    _bottom_axis(drawing, axis, bottom, bottom, unit, has_grid=False)
    drawing.height = bottom + 44 + (15 if len(_wrap(unit, max(right - left, width - 8), 12)) > 1 else 0)
    return drawing


def specification_curve(
    *, width: int, choices: Sequence[Choice], kinds: Sequence[str], unit: str, reference: float
) -> Drawing:
    """Estimates in order of size with their intervals, and below them which choices each one rests on."""
    is_narrow = width <= NARROW
    size = 10.5 if is_narrow else 11.5
    left = 118.0 if is_narrow else 250.0
    drawing = Drawing(width)
    top, tall = 34.0, 190.0
    axis = _Axis(*_range([c.bar for c in choices], [reference]), top + tall, top, 6)
    _left_axis(drawing, axis, left, width - 4)
    for number, line in enumerate(_wrap(unit, width - 8, 12)[:2]):
        drawing.words(2, 14 + 14 * number, line, 12, INK)
    step = (width - 8 - left) / len(choices)
    xs = [left + step * (place + 0.5) for place in range(len(choices))]
    drawing.line([(left, axis.at(0)), (width - 4, axis.at(0))], INK, 1.2)
    drawing.words(left - 6, axis.at(0) + (16 if 0 not in axis.ticks else 4), "0", 11, INK, "end", is_bold=True)
    if math.isfinite(reference):
        drawing.line([(left, axis.at(reference)), (width - 4, axis.at(reference))], BLUE, 1.5, (2.0, 3.0))
    for x, choice in zip(xs, choices, strict=True):
        _interval(drawing, choice.bar, axis, x, is_upright=True)
    y = top + tall + 16
    for place, kind in enumerate(kinds):
        made = list(dict.fromkeys(choice.made[place] for choice in choices))
        if len(made) < 2:
            continue
        drawing.box(0, y, width, 18, "#eef1f3")
        drawing.words(4, y + 13, kind, 12, INK, is_bold=True)
        y += 20
        for option in made:
            lines = _wrap(option, left - 10, size)
            middle = y + 7.5 * len(lines)
            for number, line in enumerate(lines):
                drawing.words(4, y + 12 + 14 * number, line, size, INK)
            for x, choice in zip(xs, choices, strict=True):
                if choice.made[place] == option:
                    is_primary = choice.bar.kind == "primary"
                    if is_primary:
                        drawing.box(x - 4.5, middle - 4, 9, 9, BLUE)
                    else:
                        drawing.dot(x, middle, 3.6, GREY)
                else:
                    drawing.box(x - 1, middle - 1, 2, 2, PALE)
            y += 14.0 * len(lines) + 3
        y += 5
    drawing.height = y + 2
    return drawing


def event_chart(*, width: int, steps: Sequence[Step], unit: str, title: str) -> Drawing:
    """The effect by period since go-live with intervals; before go-live grey and round, after it blue and square."""
    is_narrow = width <= NARROW
    left, top, tall = 44.0, 40.0, 240.0
    drawing = Drawing(width)
    bars = [Bar(step.label, step.estimate, step.low, step.high) for step in steps]
    axis = _Axis(*_range(bars, []), top + tall, top, 7)
    _left_axis(drawing, axis, left, width - 4)
    for number, line in enumerate(_wrap(unit, width - 8, 12)[:2]):
        drawing.words(2, 14 + 14 * number, line, 12, INK)
    drawing.line([(left, axis.at(0)), (width - 4, axis.at(0))], INK, 1.2)
    room = (width - 8 - left) / len(steps)
    border = left + room * sum(step.is_before for step in steps)
    drawing.line([(border, top), (border, top + tall)], INK, 1.2, (4.0, 3.0))
    drawing.words(border + 4, top + 10, "go-live", 11, INK)
    for place, (step, bar) in enumerate(zip(steps, bars, strict=True)):
        x = left + room * (place + 0.5)
        colour = GREY if step.is_before else BLUE
        if step.is_reference:
            drawing.ring(x, axis.at(0), 5, INK, 1.6)
        else:
            if not (math.isnan(step.low) or math.isnan(step.high)):
                low, high = max(step.low, axis.low), min(step.high, axis.high)
                drawing.line([(x, axis.at(low)), (x, axis.at(high))], colour, 2.6)
                for end, is_cut, sign in ((low, step.low < axis.low, -1), (high, step.high > axis.high, 1)):
                    if is_cut:
                        at = axis.at(end)
                        drawing.line([(x - 4, at + 6 * sign), (x, at), (x + 4, at + 6 * sign)], colour, 1.6)
            if math.isfinite(bar.estimate):
                at = axis.at(bar.estimate)
                if step.is_before:
                    drawing.dot(x, at, 5, GREY)
                else:
                    drawing.box(x - 5, at - 5, 10, 10, BLUE)
                if step.is_open_ended:
                    drawing.dot(x, at, 2.2, "#ffffff")
        for number, line in enumerate(step.label.split("\n")):
            drawing.words(x, top + tall + 17 + 13 * number, line, 9.5 if is_narrow else 11, INK, "middle")
    drawing.words((left + width) / 2, top + tall + 52, title, 12, INK, "middle")
    drawing.height = top + tall + 62
    return drawing


def bacon_chart(*, width: int, rows: Sequence[Comparison], unit: str, coefficient: float) -> Drawing:
    """Goodman-Bacon's plot: a mark per kind of comparison, its effect against its weight."""
    drawing = Drawing(width)
    left, top, tall = 44.0, 40.0, 210.0
    effects = [Bar("", row.effect, math.nan, math.nan) for row in rows]
    axis = _Axis(*_range(effects, [coefficient]), top + tall, top, 6)
    along = _Axis(0.0, 100.0, left, width - 14.0, 5)
    _left_axis(drawing, axis, left, width - 4)
    for number, line in enumerate(_wrap(unit, width - 8, 12)[:2]):
        drawing.words(2, 14 + 14 * number, line, 12, INK)
    drawing.line([(left, axis.at(0)), (width - 4, axis.at(0))], INK, 1.2)
    drawing.line([(left, axis.at(coefficient)), (width - 4, axis.at(coefficient))], BLACK, 1.4, (4.0, 3.0))
    _bottom_axis(drawing, along, top + tall, top + tall, "Weight of the comparison, %", has_grid=False)
    y = top + tall + 62
    for number, row in enumerate(rows):
        x, at = along.at(100 * row.weight), axis.at(row.effect)
        for dot_x, dot_y in ((x, at), (12.0, y - 4)):
            if number % 3 == 0:
                drawing.ring(dot_x, dot_y, 6, BLUE, 2)
            elif number % 3 == 1:
                drawing.diamond(dot_x, dot_y, 7, VERMILION)
            else:
                drawing.box(dot_x - 5.5, dot_y - 5.5, 11, 11, BLACK)
        text = f"{row.label}: weight {100 * row.weight:.1f}%, effect {decimal(row.effect)}"
        for line in _wrap(text, width - 30, 12):
            drawing.words(26, y, line, 12, INK)
            y += 16
        y += 3
    drawing.line([(2, y - 4), (22, y - 4)], BLACK, 1.4, (4.0, 3.0))
    drawing.words(
        26, y, f"their weighted mean, the one coefficient: {decimal(coefficient)}", 12 if width > NARROW else 11, INK
    )
    drawing.height = y + 8
    return drawing


def trend_chart(
    *,
    width: int,
    own: Line,
    others: Sequence[Line],
    are_accepted: bool,
    unit: str,
    top_value: float,
    title: str,
) -> Drawing:
    """Quarters of a treatment LA and its comparators; the band is the chance range of the LA's own rate.

    Others that were not accepted are drawn grey and thin.
    """
    is_narrow = width <= NARROW
    lines = [own, *others[: len(COMPARATOR_STYLES)]]
    colours = [BLACK, *(colour if are_accepted else GREY for colour, _ in COMPARATOR_STYLES)]
    thickness = [2.6, *([1.8 if are_accepted else 1.2] * len(COMPARATOR_STYLES))]
    dashes = [(), *_DASHES]
    key_height = 18.0 * len(lines) + 6 if is_narrow else 0.0
    right = width - (12.0 if is_narrow else 152.0)
    left, top, tall = 34.0, 30.0 + key_height, 176.0 if is_narrow else 284.0
    bottom = top + tall
    drawing = Drawing(width, bottom + 58)
    days = sorted({day for line in lines for day in line.days})
    first, span = days[0].toordinal() - 20, max(1, days[-1].toordinal() - days[0].toordinal()) + 40
    axis = _Axis(0.0, top_value, bottom, top, 6)
    _left_axis(drawing, axis, left, right)
    drawing.words(2, 16 + key_height, _cut(unit, width - 4, 11), 11 if is_narrow else 12, INK)

    def x(day: date) -> float:
        return left + (right - left) * (day.toordinal() - first) / span

    if own.band is not None:
        drawing.band(
            [x(day) for day in own.days], [axis.at(v) for v in own.band[0]],
            [axis.at(min(v, top_value)) for v in own.band[1]], "#e4e7e9", 1.0,
        )  # fmt: skip
        _left_axis(drawing, axis, left, right)
    drawn = list(zip(lines, colours, thickness, dashes, strict=False))
    for line, colour, thick, dash in reversed(drawn):
        drawing.line([(x(d), axis.at(v)) for d, v in zip(line.days, line.values, strict=True)], colour, thick, dash)
    drawing.line([(left, bottom), (right, bottom)], GREY)
    for day in days[:: 3 if is_narrow else 2]:
        drawing.line([(x(day), bottom), (x(day), bottom + 4)], GREY)
        drawing.words(x(day), bottom + 16, f"{day:%b}", 11, INK, "middle")
        drawing.words(x(day), bottom + 29, f"{day.year}", 11, INK, "middle")
    drawing.words((left + right) / 2, bottom + 48, title, 12, INK, "middle")
    if is_narrow:
        places = [14.0 + 18 * number for number in range(len(lines))]
        names = [[_cut(line.label, width - 40, 11)] for line in lines]
        start = 4.0
    else:
        names = [_wrap(line.label, 152 - 34, 11) for line in lines]
        ends = [axis.at(line.values[-1]) for line in lines]
        places = _spread(ends, [13.0 * len(parts) + 5 for parts in names], top - 10, bottom + 10)
        start = right + 6
    for (_, colour, thick, dash), parts, y in zip(drawn, names, places, strict=False):
        drawing.line([(start, y), (start + 20, y)], colour, thick, dash)
        for number, part in enumerate(parts):
            offset = y + 4 + 13 * (number - (len(parts) - 1) / 2)
            drawing.words(start + 25, offset, part, 11, INK, is_bold=thick > 2)
    return drawing


def balance_chart(*, width: int, rows: Sequence[Dots], threshold: float) -> Drawing:
    """Love plot: a row per covariate, a mark per level, before (hollow) and after matching (filled)."""
    is_narrow = width <= NARROW
    row, top = (52.0 if is_narrow else 38.0), 44.0
    left = 12.0 if is_narrow else 300.0
    bottom = top + row * len(rows)
    drawing = Drawing(width, bottom + 46)
    values = [v for r in rows for v in (*r.before, *r.after) if math.isfinite(v)]
    axis = _Axis(0.0, max([*values, threshold]) * 1.12, left, width - 14.0, 5)
    drawing.line([(axis.at(threshold), top - 4), (axis.at(threshold), bottom)], VERMILION, 1.2, (4.0, 3.0))
    _mark(drawing, axis.at(threshold), top - 10, f"usual limit {threshold:g}", "#a34700")
    for position, dots in enumerate(rows):
        base = top + row * position
        drawing.line([(left, base + row), (width - 14, base + row)], PALE, 0.8)
        if is_narrow:
            drawing.words(4, base + 17, dots.label, 12, INK)
        else:
            drawing.words(8, base + row / 2 + 4, dots.label, 12, INK)
        for value in dots.before:
            drawing.ring(axis.at(value), base + row - 24, 3.8, GREY, 1.2)
        for value in dots.after:
            drawing.dot(axis.at(value), base + row - 11, 4, BLUE)
    drawing.ring(14, 12, 4.5, GREY, 1.4)
    drawing.words(24, 16, "before", 12, INK)
    drawing.dot(84, 12, 5, BLUE)
    drawing.words(94, 16, "after matching", 12, INK)
    title = "Absolute standardised difference (no unit)"
    _bottom_axis(drawing, axis, bottom, bottom, title, has_grid=False)
    return drawing


def recovery_chart(*, width: int, rows: Sequence[Errors], unit: str) -> Drawing:
    """A dot per seed: estimate less truth; the mean with two Monte Carlo standard errors below."""
    top, size = 26.0, 9.0
    reach = max([0.01, *(abs(v) for r in rows for v in r.values)]) * 1.15
    axis = _Axis(-reach, reach, 14.0, width - 14.0, 5 if width <= NARROW else 8)
    swarms = [_stacked(errors.values, (width - 28) / (2 * reach), size) for errors in rows]
    deepest = max([1, *(max(levels, default=0) + 1 for _, levels in swarms)])
    row = math.ceil(30 + size * deepest + 36)
    bottom = top + row * len(rows)
    drawing = Drawing(width, bottom + 46)
    drawing.line([(axis.at(0), top - 4), (axis.at(0), bottom)], TRUTH, 1.8, (7.0, 5.0))
    _mark(drawing, axis.at(0), 14, "no error: estimate equals truth", TRUTH)
    for position, (errors, (xs, levels)) in enumerate(zip(rows, swarms, strict=True)):
        base = top + row * position
        floor = base + 30 + size * deepest - size / 2
        drawing.words(14, base + 16, errors.label, 12, INK, is_bold=True)
        for value, level in zip(xs, levels, strict=True):
            drawing.dot(axis.at(value), floor - size * level, 4, SKY)
        band = 2 * errors.monte_carlo_error
        drawing.line([(axis.at(errors.mean - band), floor + 16), (axis.at(errors.mean + band), floor + 16)], BLACK, 3)
        drawing.diamond(axis.at(errors.mean), floor + 16, 6, BLACK)
    _bottom_axis(drawing, axis, bottom, bottom, unit, has_grid=False)
    return drawing


def flow_chart(*, width: int, flow: Flow) -> Drawing:
    """The participant flow as boxes and arrows."""
    return _FlowDrawing(width).draw(flow)


class _FlowDrawing:
    """Boxes placed from the top; heights follow the text, so that any label fits."""

    size, step, pad, between = 12.5, 17.0, 10.0, 28.0

    def __init__(self, width: int) -> None:
        self.width = width
        self.is_narrow = width <= NARROW
        self.drawing = Drawing(width)

    def draw(self, flow: Flow) -> Drawing:
        gap = 26.0
        left, stem = 1.0, (self.width - 2 if self.is_narrow else (self.width - 2 - self.between) / 2)
        side_x = 34.0 if self.is_narrow else stem + 44
        side_width = self.width - side_x - 1
        middle = 16.0 if self.is_narrow else left + stem / 2
        y = 1.0
        for box, side in flow.stem:
            y = self._box(left, y, stem, box)
            if side is None:
                # The stem ends here: the lines to the arms start from this height.
                self._line(middle, y, middle, y + gap / 2)
                y += gap / 2
                continue
            start = y
            bottom = self._box(side_x, y + 14, side_width, side, is_side=True)
            centre = start + 14 + (bottom - start - 14) / 2
            y = bottom + 14
            self._arrow(middle, start, middle, y)
            self._arrow(middle, centre, side_x, centre)
        arms = self._arms_below_each_other if self.is_narrow else self._arms_side_by_side
        y = arms(flow, y, gap)
        y = self._box(left, y, self.width - 2, flow.last, is_last=True)
        self.drawing.height = math.ceil(y + 1)
        return self.drawing

    def _arms_side_by_side(self, flow: Flow, y: float, gap: float) -> float:
        wide = (self.width - 2 - self.between * (len(flow.arms) - 1)) / len(flow.arms)
        xs = [1 + position * (wide + self.between) for position in range(len(flow.arms))]
        self._line(xs[0] + wide / 2, y, xs[-1] + wide / 2, y)
        for x in xs:
            self._arrow(x + wide / 2, y, x + wide / 2, y + gap)
        y += gap
        # Within an arm a spine runs down the left, and what is left out hangs on it.
        indents = (0.0, 48.0, 0.0)
        for number, indent in enumerate(indents):
            high = max(self._height(boxes[number], wide - indent) for boxes in flow.arms)
            for x, boxes in zip(xs, flow.arms, strict=True):
                self._box(x + indent, y, wide - indent, boxes[number], is_side=number == 1, height=high)
                if number == 1:
                    self._line(x + 20, y - 10, x + 20, y + high)
                    self._arrow(x + 20, y + high / 2, x + indent, y + high / 2)
                    self._arrow(x + 20, y + high, x + 20, y + high + 12)
                elif number == 2:
                    self._arrow(x + wide / 2, y + high, x + wide / 2, y + high + gap)
            y += high + (10 if number == 0 else 12 if number == 1 else gap)
        return y

    def _arms_below_each_other(self, flow: Flow, y: float, gap: float) -> float:
        # One under the other, each indented from the stem that runs on to the last box.
        start = y
        for boxes in flow.arms:
            y += 8
            for number, box in enumerate(boxes):
                x = 56.0 if number == 1 else 34.0
                top = y
                y = self._box(x, y, self.width - x - 1, box, is_side=number == 1)
                if number == 0:
                    self._arrow(16, top + 14, x, top + 14)
                y += 8
        y += gap - 8
        self._arrow(16, start - 1, 16, y)
        return y

    def _lines(self, box: FlowBox, wide: float) -> list[tuple[str, bool]]:
        room = wide - 2 * self.pad
        lines = [(line, False) for line in _wrap(box.title, room, self.size)]
        lines.append((box.count, True))
        for text in box.lines:
            lines += [(line, False) for line in _wrap(text, room, self.size)]
        return lines

    def _height(self, box: FlowBox, wide: float) -> float:
        return len(self._lines(box, wide)) * self.step + 2 * self.pad

    def _box(
        self,
        x: float,
        y: float,
        wide: float,
        box: FlowBox,
        *,
        is_side: bool = False,
        is_last: bool = False,
        height: float | None = None,
    ) -> float:
        high = self._height(box, wide) if height is None else height
        fill = "#f4f6f7" if is_side else "#e8f1f8" if is_last else "#ffffff"
        stroke = "#9aa3a8" if is_side else BLUE if is_last else INK
        self.drawing.box(x, y, wide, high, fill)
        self.drawing.frame(x, y, wide, high, stroke)
        baseline = y + self.pad + self.size
        for text, is_strong in self._lines(box, wide):
            self.drawing.words(x + self.pad, baseline, text, self.size, INK, is_bold=is_strong)
            baseline += self.step
        return y + high

    def _line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.drawing.line([(x1, y1), (x2, y2)], GREY)

    def _arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self._line(x1, y1, x2, y2)
        head = (
            [(x2, y2), (x2 - 4, y2 - 7), (x2 + 4, y2 - 7)]
            if x1 == x2
            else [(x2, y2), (x2 - 7, y2 - 4), (x2 - 7, y2 + 4)]
        )
        self.drawing.shape(head, GREY)


def _spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Positions as near to the wanted ones as room for each label's height allows."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    floor = low
    for i in order:
        placed[i] = max(wanted[i], floor + heights[i] / 2)
        floor = placed[i] + heights[i] / 2
    ceiling = high
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling - heights[i] / 2)
        ceiling = placed[i] - heights[i] / 2
    return placed


def _stacked(values: Sequence[float], per_unit: float, size: float) -> tuple[list[float], list[int]]:
    """Levels of dots such that none lies on another: the lowest that is free, from left to right."""
    ends: list[float] = []
    xs, levels = sorted(values), []
    for value in xs:
        place = value * per_unit
        level = next((i for i, end in enumerate(ends) if place - end >= size), len(ends))
        ends[level : level + 1] = [place]
        levels.append(level)
    return xs, levels


# --- data quality -------------------------------------------------------------------------------


def coverage_chart(*, width: int, rows: Sequence[CoverageRow], years: Sequence[int], blocks: Sequence[str]) -> Drawing:
    """A block per source, a row per LA, a mark per year; blocks stand beside or below each other."""
    is_narrow = width <= NARROW
    step, names, head, gap, foot = 17.0, (112.0 if is_narrow else 172.0), 40.0, 14.0, (48.0 if is_narrow else 30.0)
    cell = (width - names - 8) / len(years) if is_narrow else (width - names - gap * len(blocks)) / (
        len(years) * len(blocks)
    )  # fmt: skip
    tall = head + step * len(rows)
    height = tall * (len(blocks) if is_narrow else 1) + foot
    drawing = Drawing(width, height)
    for number, block in enumerate(blocks):
        top = tall * number if is_narrow else 0.0
        left = names if is_narrow else names + number * (cell * len(years) + gap)
        drawing.words(left, top + 14, block, 12, INK, is_bold=True)
        every = 1 if cell >= 26 else max(1, math.ceil(26 / cell))
        for place, year in enumerate(years):
            if place % every == 0:
                drawing.words(left + cell * (place + 0.5), top + 31, f"’{year % 100:02}", 10, INK, "middle")
        for line, row in enumerate(rows):
            y = top + head + step * line
            if is_narrow or number == 0:
                drawing.words(0, y + 12, _cut(row.label, names - 6, 11), 11, INK)
            for place, state in enumerate(row.states[number]):
                _state_mark(drawing, state, left + cell * (place + 0.5), y + 8, min(cell, step) * 0.36)
    x, y = 0.0, height - foot + 20
    for state, words in (
        ("here", "received"),
        ("known", "missing"),
        ("lost", "missing, unexplained"),
        ("none", "not due"),
    ):
        space = 26 + 6.4 * len(words)
        if x + space > width:
            x, y = 0.0, y + 18
        _state_mark(drawing, state, x + 7, y - 4, 5.5)
        drawing.words(x + 18, y, words, 11, INK)
        x += space
    return drawing


def _state_mark(drawing: Drawing, state: str, x: float, y: float, r: float) -> None:
    """A full, an empty or a crossed square, or a small dot: told apart without colour."""
    if state == "none":
        drawing.dot(x, y, 1.2, GREY)
        return
    if state == "here":
        drawing.box(x - r, y - r, 2 * r, 2 * r, BLUE)
        return
    colour = GREY if state == "known" else VERMILION
    drawing.frame(x - r, y - r, 2 * r, 2 * r, colour)
    if state == "lost":
        drawing.line([(x - r, y - r), (x + r, y + r)], colour, 1.4)
        drawing.line([(x + r, y - r), (x - r, y + r)], colour, 1.4)


def share_panels(*, width: int, panels: Sequence[SharePanel]) -> Drawing:
    """Small multiples on one scale: a panel per LA, its breaks of recording as dashed lines."""
    across = 2 if width <= NARROW else 4
    wide, high, top, left = width / across, 108.0, 22.0, 30.0
    down = math.ceil(len(panels) / across)
    drawing = Drawing(width, high * down + 22)
    days = [day for panel in panels for day in panel.days]
    first, last = min(days), max(days)
    peak = max([*(value for panel in panels for value in panel.values), 10.0])
    ceiling = 10 * math.ceil(peak / 10)
    inner, tall = wide - left - 12, high - top - 14
    for place, panel in enumerate(panels):
        x0, y0 = wide * (place % across) + left, high * (place // across) + top
        along = _Axis(first.toordinal(), max(last.toordinal(), first.toordinal() + 1), x0, x0 + inner)
        up = _Axis(0.0, ceiling, y0 + tall, y0)
        name = _cut(panel.label, wide - 14, 11.5)
        drawing.words(x0 - left + 2, y0 - 7, name, 11.5, INK, is_bold=bool(panel.breaks))
        for value in (0, ceiling):
            drawing.line([(x0, up.at(value)), (x0 + inner, up.at(value))], PALE if value else GREY)
            drawing.words(x0 - 5, up.at(value) + 3.5, str(value), 10, INK, "end")
        for day in panel.breaks:
            drawing.line([(along.at(day.toordinal()), y) for y in (y0 + tall, y0)], VERMILION, 1.6, (4.0, 2.0))
        points = [(along.at(d.toordinal()), up.at(v)) for d, v in zip(panel.days, panel.values, strict=True)]
        drawing.line(points, BLUE, 1.6)
    drawing.words(2, high * down + 14, f"{first:%b %Y} to {last:%b %Y} in every panel", 11, INK)
    return drawing


def heat_chart(*, width: int, rows: Sequence[HeatRow], heads: Sequence[str]) -> Drawing:
    """A row per LA, a column per field, the share in figures on a field that darkens with it."""
    is_narrow = width <= NARROW
    names, step = (104.0 if is_narrow else 180.0), 19.0
    cell = min(110.0, (width - names) / len(heads))
    letters = max(6, int(cell / 6.2))
    wrapped = [textwrap.wrap(head, letters, break_long_words=False) for head in heads]
    size = 9.5 if is_narrow else 11
    head_height = 14.0 * max(len(lines) for lines in wrapped) + 8
    drawing = Drawing(width, head_height + step * len(rows) + 2)
    highest = max([value for row in rows for value in row.values if math.isfinite(value)], default=1.0) or 1.0
    for place, lines in enumerate(wrapped):
        for number, words in enumerate(lines):
            y = head_height - 8 - 14 * (len(lines) - 1 - number)
            drawing.words(names + cell * (place + 0.5), y, words, size, INK, "middle")
    for line, row in enumerate(rows):
        y = head_height + step * line
        drawing.words(0, y + 13, _cut(row.label, names - 6, 11), 11, INK)
        for place, value in enumerate(row.values):
            if not math.isfinite(value):
                continue
            x, depth = names + cell * place, value / highest
            shade = "#" + "".join(f"{round(255 - depth * (255 - part)):02x}" for part in (0x0B, 0x4F, 0x80))
            drawing.box(x + 1, y + 1, cell - 2, step - 2, shade)
            drawing.frame(x + 1, y + 1, cell - 2, step - 2, PALE)
            drawing.words(x + cell / 2, y + 13, f"{value:.0f}", 11, "#ffffff" if depth > 0.5 else INK, "middle")
    return drawing
