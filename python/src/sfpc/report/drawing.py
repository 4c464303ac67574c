"""One drawing, two formats: strokes and words in pixels that become SVG text or a PNG for a document.

Pages carry the SVG, documents the PNG; both come from the same strokes, so they cannot differ. Drawing asks for nothing
from outside, and equal drawings give equal bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

FONT_STACK = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PNG_SCALE = 2.0
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}

Point = tuple[float, float]


@dataclass(frozen=True)
class Stroke:
    """A line through points; dash: lengths of strokes and gaps in pixels."""

    points: Sequence[Point]
    colour: str
    width: float
    dash: Sequence[float] = ()


@dataclass(frozen=True)
class Area:
    """A filled shape without an outline."""

    points: Sequence[Point]
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Words:
    """A line of text; y is its baseline."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: str = "start"
    is_bold: bool = False


@dataclass
class Drawing:
    """Parts in the order in which they lie on each other; y grows downwards."""

    width: float
    height: float = 0.0
    parts: list[Stroke | Area | Words] = field(default_factory=list)

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0, dash: Sequence[float] = ()) -> None:
        """A line; points that are not finite break it, and a point alone between breaks becomes a short dash."""
        run: list[Point] = []
        for point in [*points, (math.nan, math.nan)]:
            if all(map(math.isfinite, point)):
                run.append(point)
                continue
            if len(run) == 1:
                (x, y) = run[0]
                run = [(x - 1.5, y), (x + 1.5, y)]
            if run:
                self.parts.append(Stroke(tuple(run), colour, width, dash))
            run = []

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], fill: str, opacity: float) -> None:
        """A band between two lines; where either end is not finite there is none."""
        known = [math.isfinite(a) and math.isfinite(b) for a, b in zip(low, high, strict=True)]
        start = 0
        for place in range(len(xs) + 1):
            if place < len(xs) and known[place]:
                continue
            run = list(range(start, place))
            if run:
                edges = [(xs[i] - (2 if len(run) == 1 else 0), high[i]) for i in run]
                edges += [(xs[i] + 2, high[i]) for i in run if len(run) == 1]
                edges += [(xs[i] + 2, low[i]) for i in run if len(run) == 1]
                edges += [(xs[i] - (2 if len(run) == 1 else 0), low[i]) for i in reversed(run)]
                self.parts.append(Area(tuple(edges), fill, opacity))
            start = place + 1

    def box(self, x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> None:
        """A filled rectangle."""
        self.parts.append(Area(((x, y), (x + width, y), (x + width, y + height), (x, y + height)), fill, opacity))

    def dot(self, x: float, y: float, radius: float, fill: str) -> None:
        """A filled dot, drawn as a polygon of twelve corners."""
        if math.isfinite(x) and math.isfinite(y):
            turns = [math.pi * i / 6 for i in range(12)]
            self.parts.append(Area(tuple((x + radius * math.cos(a), y + radius * math.sin(a)) for a in turns), fill))

    def shape(self, points: Sequence[Point], fill: str) -> None:
        """A filled shape."""
        self.parts.append(Area(tuple(points), fill))

    def ring(self, x: float, y: float, radius: float, colour: str, width: float = 1.2) -> None:
        """A hollow dot; what lies behind it is covered in white."""
        if math.isfinite(x) and math.isfinite(y):
            self.dot(x, y, radius, "#ffffff")
            turns = [math.pi * i / 8 for i in range(17)]
            self.line([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in turns], colour, width)

    def diamond(self, x: float, y: float, radius: float, colour: str, is_hollow: bool = False) -> None:
        """A square on its corner."""
        if math.isfinite(x) and math.isfinite(y):
            corners = ((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y))
            self.parts.append(Area(corners, "#ffffff" if is_hollow else colour))
            if is_hollow:
                self.line([*corners, corners[0]], colour, 1.5)

    def frame(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """The outline of a rectangle."""
        self.line([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)], colour)

    def words(
        self, x: float, y: float, text: str, size: float, colour: str, anchor: str = "start", is_bold: bool = False
    ) -> None:
        """A line of text with its baseline at y."""
        self.parts.append(Words(x, y, text, size, colour, anchor, is_bold))

    def place(self, other: Drawing, x: float, y: float) -> None:
        """Put another drawing onto this one."""
        for part in other.parts:
            if isinstance(part, Words):
                self.words(part.x + x, part.y + y, part.text, part.size, part.colour, part.anchor, part.is_bold)
            elif isinstance(part, Stroke):
                moved = tuple((a + x, b + y) for a, b in part.points)
                self.parts.append(Stroke(moved, part.colour, part.width, part.dash))
            else:
                self.parts.append(Area(tuple((a + x, b + y) for a, b in part.points), part.fill, part.opacity))
        self.height = max(self.height, y + other.height)

    def svg(self, label: str, css: str) -> str:
        """As an SVG element with a name for screen readers, to stand in a page."""
        return (
            f'<svg class="{css}" role="img" aria-label="{escape(label)}" '
            f'viewBox="0 0 {self.width:g} {math.ceil(self.height)}" style="max-width:{self.width:g}px" '
            f'font-family="{FONT_STACK}">{"".join(map(_as_svg, self.parts))}</svg>'
        )

    def png(self) -> bytes:
        """As a PNG of twice the size in pixels, on white."""
        stream = io.BytesIO()
        with matplotlib.rc_context({"font.family": "DejaVu Sans", "text.parse_math": False}):
            figure = Figure(figsize=(self.width / 72, math.ceil(self.height) / 72), dpi=72 * PNG_SCALE)
            canvas = FigureCanvasAgg(figure)
            to_pixels = Affine2D().scale(1, -1).translate(0, math.ceil(self.height)).scale(PNG_SCALE)
            for order, part in enumerate(self.parts):
                artist = _as_artist(part)
                artist.set_transform(to_pixels)
                artist.set_zorder(order)
                figure.add_artist(artist)
            # Flat colours: a higher level takes three times as long for a tenth of the bytes.
            canvas.print_figure(
                stream, format="png", dpi=72 * PNG_SCALE, metadata={"Software": None}, pil_kwargs={"compress_level": 3}
            )
        return stream.getvalue()


def _as_svg(part: Stroke | Area | Words) -> str:
    if isinstance(part, Words):
        anchor = "" if part.anchor == "start" else f' text-anchor="{part.anchor}"'
        weight = ' font-weight="700"' if part.is_bold else ""
        return (
            f'<text x="{part.x:.1f}" y="{part.y:.1f}" font-size="{part.size:g}" fill="{part.colour}"{anchor}{weight}>'
            f"{escape(part.text)}</text>"
        )
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in part.points)
    if isinstance(part, Area):
        opacity = "" if part.opacity == 1 else f' fill-opacity="{part.opacity:g}"'
        return f'<path d="{path}Z" fill="{part.fill}"{opacity}/>'
    dash = f' stroke-dasharray="{" ".join(f"{d:g}" for d in part.dash)}"' if part.dash else ""
    return (
        f'<path d="{path}" fill="none" stroke="{part.colour}" stroke-width="{part.width:g}" '
        f'stroke-linejoin="round"{dash}/>'
    )


def _as_artist(part: Stroke | Area | Words) -> Any:
    if isinstance(part, Words):
        weight = "bold" if part.is_bold else "normal"
        # DejaVu is wider than the fonts of a page; a little smaller, it takes the same room.
        return Text(
            part.x, part.y, part.text, fontsize=part.size * 0.92, color=part.colour, ha=_ANCHORS[part.anchor],
            va="baseline", fontweight=weight,
        )  # fmt: skip
    if isinstance(part, Area):
        return Polygon(part.points, closed=True, facecolor=part.fill, edgecolor="none", alpha=part.opacity)
    dash: Any = (0, tuple(d / part.width for d in part.dash)) if part.dash else "-"
    xs, ys = [x for x, _ in part.points], [y for _, y in part.points]
    return Line2D(xs, ys, color=part.colour, linewidth=part.width, linestyle=dash, solid_joinstyle="round")
