"""Charts as SVG text: drawn for two widths, named for screen readers, the same bytes on every run.

Every chart is made twice, for a page and for a telephone, and the style sheet shows one of them: a
chart that is only scaled down has letters that nobody can read.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sfpc.report.words import decimal, interval

# Okabe and Ito's palette: distinct for every common colour vision; dashes tell lines apart in grey.
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
_FONT_STACK = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'.replace('"', "'")
# Text is measured with the font that comes with matplotlib, which is wider than those it is shown
# in: what does not collide here does not collide there.
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.parse_math": False,
}
# A white field behind words, so that marked lines pass behind them.
_PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Bar:
    """An estimate with its interval; `is_primary` draws it stronger."""

    label: str
    estimate: float
    low: float
    high: float
    is_primary: bool


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


def both_widths(draw: Callable[..., str], key: str, label: str, wide: int = WIDE, **content: Any) -> str:
    """Draw a chart for the page and for the telephone; the style sheet shows one."""
    return "".join(
        draw(key=f"{key}-{name}", label=label, width=width, css=f"chart {name}", **content)
        for name, width in (("wide", wide), ("narrow", NARROW))
    )


def effect_chart(
    *,
    key: str,
    label: str,
    width: int,
    css: str,
    bars: Sequence[Bar],
    truth: float | None,
    unit: str,
) -> str:
    """Estimates with intervals on one axis, no effect and the planted truth as marked lines."""
    is_narrow = width <= NARROW
    row = 74 if is_narrow else 54
    top, foot, side, column = 46, 52, 14, 14 if is_narrow else 190
    height = top + row * len(bars) + foot
    figure, axes = _figure(width, height, left=side, right=column, top=top, bottom=foot)
    ends = [0.0, *(v for b in bars for v in (b.low, b.high, b.estimate) if math.isfinite(v))]
    ends += [truth] if truth is not None else []
    margin = 0.12 * ((max(ends) - min(ends)) or 1.0)
    low, high = min(ends) - margin, max(ends) + margin
    axes.set_xlim(low, high)
    axes.set_ylim(row * len(bars), 0)
    axes.yaxis.set_visible(False)
    for name in ("left", "right", "top"):
        axes.spines[name].set_visible(False)
    axes.axvline(0, color=INK, linewidth=1.2)
    _mark(axes, 0.0, -26, "no effect", INK)
    if truth is not None:
        axes.axvline(truth, color=TRUTH, linewidth=1.8, linestyle=(0, (4, 3)))
        _mark(axes, truth, -8, f"planted truth {decimal(truth)}", TRUTH)
    for position, bar in enumerate(bars):
        y = row * position + 20
        middle = y + (36 if is_narrow else 16)
        colour, weight = (BLUE, "bold") if bar.is_primary else (GREY, "normal")
        axes.text(low, y, bar.label, ha="left", va="baseline", fontsize=12, fontweight=weight, bbox=_PAPER)
        figures = f"{decimal(bar.estimate)} ({interval(bar.low, bar.high)})"
        if is_narrow:
            axes.text(low, y + 17, figures, ha="left", va="baseline", fontsize=12, fontweight=weight, bbox=_PAPER)
        else:
            figure.text(
                (width - 4) / width,
                1 - (top + middle + 4) / height,
                figures,
                ha="right",
                va="baseline",
                fontsize=12,
                fontweight=weight,
            )
        if math.isfinite(bar.low) and math.isfinite(bar.high):
            axes.plot(
                [bar.low, bar.high],
                [middle, middle],
                color=colour,
                linewidth=5 if bar.is_primary else 3,
                solid_capstyle="butt",
            )
        if math.isfinite(bar.estimate):
            axes.plot(
                [bar.estimate],
                [middle],
                marker="o",
                markersize=12 if bar.is_primary else 9,
                color=colour,
                markeredgecolor="white",
                markeredgewidth=1.5,
            )
    axes.xaxis.set_major_formatter(lambda value, _: decimal(value, 1) if value else "0")
    axes.set_xlabel(unit, fontsize=12)
    return _svg(figure, key, label, css)


def trend_chart(
    *,
    key: str,
    label: str,
    width: int,
    css: str,
    own: Line,
    others: Sequence[Line],
    are_accepted: bool,
    unit: str,
    top_value: float,
) -> str:
    """Quarters of a treatment LA and its comparators; the band is the chance range of the LA's own rate.

    Others that were not accepted are drawn pale.
    """
    is_narrow = width <= NARROW
    styles = [
        (BLACK, "-", 2.6),
        *((colour, dash, 1.7) for colour, dash in COMPARATOR_STYLES),
    ]
    lines = [own, *others[: len(COMPARATOR_STYLES)]]
    if not are_accepted:
        styles = [styles[0], *((GREY, dash, 1.2) for _, dash in COMPARATOR_STYLES)]
    key_height = 18 * len(lines) + 6 if is_narrow else 0
    height = (264 if is_narrow else 372) + key_height
    right = 12 if is_narrow else 146
    figure, axes = _figure(width, height, left=34, right=right, top=30 + key_height, bottom=58)
    _quiet(axes)
    axes.set_ylim(0, top_value)
    days = [day for line in lines for day in line.days]
    axes.set_xlim(_number(min(days)) - 20, _number(max(days)) + 20)
    if own.band is not None:
        axes.fill_between(_numbers(own.days), own.band[0], own.band[1], color="#e4e7e9", linewidth=0)
    for line, (colour, dash, thickness) in reversed(list(zip(lines, styles, strict=False))):
        axes.plot(
            _numbers(line.days),
            line.values,
            color=colour,
            linestyle=dash,
            linewidth=thickness,
            solid_capstyle="round",
        )
    _quarters(axes, sorted(set(days)), width)
    figure.text(2 / width, 1 - (18 + key_height) / height, unit, fontsize=12 if width > NARROW else 11, va="baseline")
    axes.set_xlabel("Quarter of the referral", fontsize=12 if width > NARROW else 11)
    if is_narrow:
        for position, (line, style) in enumerate(zip(lines, styles, strict=False)):
            _swatch(figure, width, height, 8, height - 14 - 18 * position, line.label, style)
    else:
        ends = [axes.transData.transform((_number(line.days[-1]), line.values[-1]))[1] for line in lines]
        wrapped = [textwrap.wrap(line.label, 17, break_long_words=False) or [""] for line in lines]
        for y, parts, style in zip(
            _spread(ends, [13.0 * len(parts) + 5 for parts in wrapped], 56, height - 20),
            wrapped,
            styles,
            strict=False,
        ):
            _swatch(figure, width, height, width - right + 6, y, "\n".join(parts), style)
    return _svg(figure, key, label, css)


def balance_chart(*, key: str, label: str, width: int, css: str, rows: Sequence[Dots], threshold: float) -> str:
    """Love plot: a row per covariate, a mark per level, before (hollow) and after matching (filled)."""
    is_narrow = width <= NARROW
    row, top, foot = (52 if is_narrow else 38), 40, 52
    left = 12 if is_narrow else 300
    height = top + row * len(rows) + foot
    figure, axes = _figure(width, height, left=left, right=14, top=top, bottom=foot)
    for name in ("left", "right", "top"):
        axes.spines[name].set_visible(False)
    axes.yaxis.set_visible(False)
    values = [v for r in rows for v in (*r.before, *r.after) if math.isfinite(v)]
    axes.set_xlim(-0.003, max([*values, threshold]) * 1.12)
    axes.set_ylim(row * len(rows), 0)
    axes.axvline(threshold, color=VERMILION, linewidth=1.2, linestyle=(0, (4, 3)))
    _mark(axes, threshold, -8, f"usual limit {threshold:g}", "#a34700", side=-1)
    for position, dots in enumerate(rows):
        base = row * position
        before, after = (base + row - 24, base + row - 11)
        axes.axhline(base + row, color=PALE, linewidth=0.8)
        if is_narrow:
            axes.text(0, base + 17, dots.label, ha="left", va="baseline", fontsize=12, bbox=_PAPER)
        else:
            figure.text(
                8 / width,
                1 - (top + base + row / 2 + 4) / height,
                dots.label,
                ha="left",
                va="baseline",
                fontsize=12,
            )
        axes.plot(
            dots.before,
            [before] * len(dots.before),
            linestyle="",
            marker="o",
            markersize=7,
            markerfacecolor="none",
            markeredgecolor=GREY,
            markeredgewidth=1.1,
        )
        axes.plot(
            dots.after,
            [after] * len(dots.after),
            linestyle="",
            marker="o",
            markersize=7,
            markerfacecolor=BLUE,
            markeredgecolor="white",
            markeredgewidth=0.6,
        )
    y = 1 - 12 / height
    for x, text, face, edge in ((14, "before", "none", GREY), (78, "after matching", BLUE, "white")):
        figure.add_artist(
            Line2D([x / width], [y], marker="o", markersize=8, markerfacecolor=face, markeredgecolor=edge)
        )
        figure.text((x + 8) / width, y, text, fontsize=12, va="center", ha="left")
    axes.set_xlabel("Absolute standardised difference (no unit)", fontsize=12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return _svg(figure, key, label, css)


def recovery_chart(*, key: str, label: str, width: int, css: str, rows: Sequence[Errors], unit: str) -> str:
    """A dot per seed: estimate less truth; the mean with two Monte Carlo standard errors below."""
    top, foot, size = 26, 52, 9.0
    reach = max([0.01, *(abs(v) for r in rows for v in r.values)]) * 1.15
    per_point = (width - 28) / (2 * reach)
    swarms = [_stacked(errors.values, per_point, size) for errors in rows]
    deepest = max([1, *(max(levels, default=0) + 1 for _, levels in swarms)])
    row = math.ceil(30 + size * deepest + 36)
    height = top + row * len(rows) + foot
    figure, axes = _figure(width, height, left=14, right=14, top=top, bottom=foot)
    for name in ("left", "right", "top"):
        axes.spines[name].set_visible(False)
    axes.yaxis.set_visible(False)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(row * len(rows), 0)
    axes.axvline(0, color=TRUTH, linewidth=1.8, linestyle=(0, (4, 3)))
    _mark(axes, 0.0, -8, "no error: estimate equals truth", TRUTH)
    for position, (errors, (xs, levels)) in enumerate(zip(rows, swarms, strict=True)):
        base = row * position
        floor = base + 30 + size * deepest - size / 2
        ys = [floor - size * level for level in levels]
        axes.text(-reach, base + 16, errors.label, ha="left", va="baseline", fontsize=12, fontweight="bold")
        axes.plot(
            xs,
            ys,
            linestyle="",
            marker="o",
            markersize=8,
            color=SKY,
            markeredgecolor="white",
            markeredgewidth=0.6,
        )
        band = 2 * errors.monte_carlo_error
        axes.plot(
            [errors.mean - band, errors.mean + band],
            [floor + 16] * 2,
            color=BLACK,
            linewidth=3,
            solid_capstyle="butt",
        )
        axes.plot([errors.mean], [floor + 16], marker="D", markersize=8, color=BLACK, markeredgecolor="white")
    axes.xaxis.set_major_formatter(lambda value, _: decimal(value, 1) if value else "0")
    axes.set_xlabel(unit, fontsize=12)
    return _svg(figure, key, label, css)


def flow_chart(*, key: str, label: str, width: int, css: str, flow: Flow) -> str:
    """The participant flow as boxes and arrows."""
    return _FlowDrawing(key, label, width, css).draw(flow)


class _FlowDrawing:
    """Boxes placed from the top; heights follow the text, so that any label fits."""

    size, step, pad, between = 12.5, 17.0, 10.0, 28.0

    def __init__(self, key: str, label: str, width: int, css: str) -> None:
        self.key, self.label, self.width, self.css = key, label, width, css
        self.is_narrow = width <= NARROW
        self.parts: list[str] = []

    def draw(self, flow: Flow) -> str:
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
        height = math.ceil(y + 1)
        return (
            f'<svg class="{self.css}" role="img" aria-label="{escape(self.label)}" '
            f'viewBox="0 0 {self.width} {height}" style="max-width:{self.width}px" '
            f'font-family="{_FONT_STACK}" font-size="{self.size}">{"".join(self.parts)}</svg>'
        )

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

    def _wrapped(self, text: str, wide: float, scale: float = 1.0) -> list[str]:
        letters = int((wide - 2 * self.pad) / (self.size * scale * 0.53))
        return textwrap.wrap(text, max(12, letters)) or [""]

    def _lines(self, box: FlowBox, wide: float) -> list[tuple[str, bool]]:
        lines = [(line, False) for line in self._wrapped(box.title, wide)]
        lines.append((box.count, True))
        for text in box.lines:
            lines += [(line, False) for line in self._wrapped(text, wide)]
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
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="3" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="1"/>'
        )
        baseline = y + self.pad + self.size
        for text, is_strong in self._lines(box, wide):
            weight = ' font-weight="700"' if is_strong else ""
            self.parts.append(
                f'<text x="{x + self.pad:.1f}" y="{baseline:.1f}" fill="{INK}"{weight}>{escape(text)}</text>'
            )
            baseline += self.step
        return y + high

    def _line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{GREY}" fill="none"/>')

    def _arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self._line(x1, y1, x2, y2)
        head = f"M{x2:.1f} {y2:.1f}l-4 -7h8z" if x1 == x2 else f"M{x2:.1f} {y2:.1f}l-7 -4v8z"
        self.parts.append(f'<path d="{head}" fill="{GREY}"/>')


def _figure(width: int, height: float, *, left: float, right: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """A figure in which one point is one pixel, with margins in pixels."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        axes = figure.add_axes(
            (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        )
    axes.tick_params(length=4, labelsize=11)
    return figure, axes


def _svg(figure: Figure, key: str, label: str, css: str) -> str:
    """The figure as an SVG element that can stand in a page beside others."""
    stream = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": key}):
        figure.savefig(stream, format="svg", metadata=_NO_METADATA, transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # Groups are numbered alike in every figure; in one page an id may stand once.
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", _FONT_STACK, text)
    view = re.search(r'viewBox="([^"]+)"', text)
    assert view is not None
    width = float(view[1].split()[2])
    opening = (
        f'<svg class="{css}" role="img" aria-label="{escape(label)}" viewBox="{view[1]}" style="max-width:{width:g}px">'
    )
    text = re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
    return re.sub(r"\n\s*", "\n", text).strip()


def _quiet(axes: Axes) -> None:
    for name in ("right", "top"):
        axes.spines[name].set_visible(False)
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)


def _mark(axes: Axes, x: float, y: float, text: str, colour: str, side: int = 0) -> None:
    """A word above a vertical line, kept inside the axes."""
    low, high = axes.get_xlim()
    place = (x - low) / (high - low)
    align = {-1: "right", 1: "left"}.get(side, "left" if place < 0.25 else "right" if place > 0.75 else "center")
    axes.text(x, y, text, color=colour, ha=align, va="baseline", fontsize=12, clip_on=False)


def _number(day: date) -> float:
    # Days since 1970, matplotlib's own scale for dates.
    return float((day - date(1970, 1, 1)).days)


def _numbers(days: Sequence[date]) -> list[float]:
    return [_number(day) for day in days]


def _quarters(axes: Axes, days: Sequence[date], width: int) -> None:
    """Ticks at quarters, as many as have room, as 'Jul 2018' over two lines."""
    every = 2 if width > NARROW else 3
    shown = days[::every]
    axes.set_xticks(_numbers(shown), [f"{day:%b}\n{day:%Y}" for day in shown])


def _swatch(
    figure: Figure, width: int, height: float, x: float, y: float, text: str, style: tuple[Any, Any, float]
) -> None:
    """A short stroke in the style of a line, with the line's name in dark ink (y in pixels from below)."""
    colour, dash, thickness = style
    figure.add_artist(
        Line2D(
            [x / width, (x + 20) / width],
            [y / height] * 2,
            color=colour,
            linestyle=dash,
            linewidth=thickness,
        )
    )
    weight = "bold" if thickness > 2 else "normal"
    figure.text(
        (x + 26) / width,
        y / height,
        text,
        fontsize=11,
        va="center",
        ha="left",
        fontweight=weight,
        linespacing=1.1,
    )


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


def coverage_chart(
    *,
    key: str,
    label: str,
    width: int,
    css: str,
    rows: Sequence[CoverageRow],
    years: Sequence[int],
    blocks: Sequence[str],
) -> str:
    """A block per source, a row per LA, a mark per year; blocks stand beside or below each other."""
    is_narrow = width <= NARROW
    step, names, head, gap, foot = 17.0, (112.0 if is_narrow else 172.0), 40.0, 14.0, (48.0 if is_narrow else 30.0)
    cell = (width - names - 8) / len(years) if is_narrow else (width - names - gap * len(blocks)) / (
        len(years) * len(blocks)
    )  # fmt: skip
    tall = head + step * len(rows)
    height = tall * (len(blocks) if is_narrow else 1) + foot
    parts: list[str] = []

    def write(x: float, y: float, words: str, size: float = 11, anchor: str = "start", weight: str = "normal") -> None:
        parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{INK}">{escape(words)}</text>'
        )

    for number, block in enumerate(blocks):
        top = tall * number if is_narrow else 0.0
        left = names if is_narrow else names + number * (cell * len(years) + gap)
        write(left, top + 14, block, 12, weight="bold")
        every = 1 if cell >= 26 else max(1, math.ceil(26 / cell))
        for place, year in enumerate(years):
            if place % every == 0:
                write(left + cell * (place + 0.5), top + 31, f"’{year % 100:02}", 10, "middle")
        for line, row in enumerate(rows):
            y = top + head + step * line
            if is_narrow or number == 0:
                room = int((names - 6) / 6.0)
                shown = row.label if len(row.label) <= room else row.label[: room - 1] + "…"
                write(0, y + 12, shown)
            for place, state in enumerate(row.states[number]):
                parts.append(_state_mark(state, left + cell * (place + 0.5), y + 8, min(cell, step) * 0.36))
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
        parts.append(_state_mark(state, x + 7, y - 4, 5.5))
        write(x + 18, y, words)
        x += space
    return (
        f'<svg class="{css}" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {math.ceil(height)}" '
        f'style="max-width:{width}px" font-family="{_FONT_STACK}">{"".join(parts)}</svg>'
    )


def _state_mark(state: str, x: float, y: float, r: float) -> str:
    """A full, an empty or a crossed square, or a small dot: told apart without colour."""
    if state == "none":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.2" fill="{GREY}"/>'
    box = f'x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}"'
    if state == "here":
        return f'<rect {box} fill="{BLUE}"/>'
    colour = GREY if state == "known" else VERMILION
    cross = "" if state == "known" else (
        f'<path d="M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m0 {-2 * r:.1f}l{-2 * r:.1f} {2 * r:.1f}" '
        f'stroke="{colour}" stroke-width="1.4"/>'
    )  # fmt: skip
    return f'<rect {box} fill="none" stroke="{colour}" stroke-width="1.4"/>{cross}'


def share_panels(*, key: str, label: str, width: int, css: str, panels: Sequence[SharePanel]) -> str:
    """Small multiples on one scale: a panel per LA, its breaks of recording as red lines."""
    across = 2 if width <= NARROW else 4
    wide, high, top, left = width / across, 108.0, 22.0, 30.0
    down = math.ceil(len(panels) / across)
    height = high * down + 22
    days = [day for panel in panels for day in panel.days]
    first, last = _number(min(days)), _number(max(days))
    peak = max([*(value for panel in panels for value in panel.values), 10.0])
    ceiling = 10 * math.ceil(peak / 10)
    parts: list[str] = []
    room = int((wide - 14) / 6.3)
    for place, panel in enumerate(panels):
        x0, y0 = wide * (place % across) + left, high * (place // across) + top
        inner, tall = wide - left - 12, high - top - 14

        def at(
            day: date, value: float, x0: float = x0, y0: float = y0, inner: float = inner, tall: float = tall
        ) -> str:
            x = x0 + inner * (_number(day) - first) / ((last - first) or 1)
            return f"{x:.1f} {y0 + tall * (1 - value / ceiling):.1f}"

        name = panel.label if len(panel.label) <= room else panel.label[: room - 1] + "…"
        weight = "bold" if panel.breaks else "normal"
        parts.append(
            f'<text x="{x0 - left + 2:.1f}" y="{y0 - 7:.1f}" font-size="11.5" font-weight="{weight}" '
            f'fill="{INK}">{escape(name)}</text>'
        )
        for value in (0, ceiling):
            y = y0 + tall * (1 - value / ceiling)
            parts.append(
                f'<path d="M{x0:.1f} {y:.1f}h{inner:.1f}" stroke="{PALE if value else GREY}" fill="none"/>'
                f'<text x="{x0 - 5:.1f}" y="{y + 3.5:.1f}" font-size="10" text-anchor="end" fill="{INK}">{value}</text>'
            )
        line = "L".join(at(day, value) for day, value in zip(panel.days, panel.values, strict=True))
        for day in panel.breaks:
            low, high_end = at(day, 0), at(day, ceiling)
            parts.append(
                f'<path d="M{low}L{high_end}" stroke="{VERMILION}" stroke-width="1.6" stroke-dasharray="4 2"/>'
            )
        parts.append(f'<path d="M{line}" stroke="{BLUE}" stroke-width="1.6" fill="none" stroke-linejoin="round"/>')
    y = height - 8
    ends = f"{min(days):%b %Y} to {max(days):%b %Y} in every panel"
    parts.append(f'<text x="2" y="{y:.1f}" font-size="11" fill="{INK}">{ends}</text>')
    return (
        f'<svg class="{css}" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {math.ceil(height)}" '
        f'style="max-width:{width}px" font-family="{_FONT_STACK}">{"".join(parts)}</svg>'
    )


def heat_chart(*, key: str, label: str, width: int, css: str, rows: Sequence[HeatRow], heads: Sequence[str]) -> str:
    """A row per LA, a column per field, the share in figures on a field that darkens with it."""
    is_narrow = width <= NARROW
    names, step = (104.0 if is_narrow else 180.0), 19.0
    cell = min(110.0, (width - names) / len(heads))
    letters = max(6, int(cell / 6.2))
    wrapped = [textwrap.wrap(head, letters, break_long_words=False) for head in heads]
    size = 9.5 if is_narrow else 11
    head_height = 14.0 * max(len(lines) for lines in wrapped) + 8
    height = head_height + step * len(rows) + 2
    highest = max([value for row in rows for value in row.values if math.isfinite(value)], default=1.0) or 1.0
    room = int((names - 6) / 6.0)
    parts: list[str] = []
    for place, lines in enumerate(wrapped):
        x = names + cell * (place + 0.5)
        for number, words in enumerate(lines):
            y = head_height - 8 - 14 * (len(lines) - 1 - number)
            parts.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="middle" fill="{INK}">'
                f"{escape(words)}</text>"
            )
    for line, row in enumerate(rows):
        y = head_height + step * line
        name = row.label if len(row.label) <= room else row.label[: room - 1] + "…"
        parts.append(f'<text x="0" y="{y + 13:.1f}" font-size="11" fill="{INK}">{escape(name)}</text>')
        for place, value in enumerate(row.values):
            x = names + cell * place
            if not math.isfinite(value):
                continue
            depth = value / highest
            shade = "#" + "".join(f"{round(255 - depth * (255 - part)):02x}" for part in (0x0B, 0x4F, 0x80))
            ink = "#ffffff" if depth > 0.5 else INK
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" height="{step - 2:.1f}" fill="{shade}" '
                f'stroke="{PALE}" stroke-width="0.6"/>'
                f'<text x="{x + cell / 2:.1f}" y="{y + 13:.1f}" font-size="11" text-anchor="middle" '
                f'fill="{ink}">{value:.0f}</text>'
            )
    return (
        f'<svg class="{css}" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {math.ceil(height)}" '
        f'style="max-width:{width}px" font-family="{_FONT_STACK}">{"".join(parts)}</svg>'
    )
