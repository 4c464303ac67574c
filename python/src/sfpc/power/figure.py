"""The figure of power against effect, with its table (FV.POWER.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sfpc.power.run import FORMULA
from sfpc.report.charts import BLUE, GREY, INK, NARROW, PALE, VERMILION, WIDE
from sfpc.report.drawing import Drawing
from sfpc.report.tables import Row, Table, number, text
from sfpc.report.words import decimal

_POINTS = (BLUE, VERMILION)


@dataclass(frozen=True)
class PowerFigure:
    """A drawing for two widths, what it says to those who cannot see it, and the table it is drawn from."""

    wide: Drawing
    narrow: Drawing
    label: str
    table: Table

    def svg(self) -> str:
        """Both widths; the style sheet of the report shows one."""
        return self.wide.svg(self.label, "chart wide") + self.narrow.svg(self.label, "chart narrow")


def power_figure(curve: pd.DataFrame, key: str, target: float) -> PowerFigure | None:
    """Power against the size of the effect: the formula as a line, simulated studies as dots with their error.

    Parameters
    ----------
    curve: rows of one programme and outcome of the table power_curve.
    key: of the table. target: power at which an effect counts as detectable (0 to 1), drawn as a line.

    Returns None for an empty curve.
    """
    if curve.empty:
        return None
    unit = str(curve["unit"].iloc[0])
    line = curve[curve["method"] == FORMULA].sort_values("effect")
    detectable = [float(e) for e, p in zip(line["effect"], line["power"], strict=True) if p >= target]
    said = f"{decimal(min(detectable))} {unit}" if detectable else "an effect beyond the figure"
    label = f"Power against the size of the effect. By the formula, {said} is found {100 * target:.0f} times in 100."
    return PowerFigure(
        _draw(curve, WIDE, target, unit), _draw(curve, NARROW, target, unit), label, _table(curve, key, unit)
    )


def _draw(curve: pd.DataFrame, width: int, target: float, unit: str) -> Drawing:
    methods = [str(m) for m in dict.fromkeys(curve["method"]) if m != FORMULA]
    left, right, top, height = 44.0, 14.0, 30.0, 260.0
    drawing = Drawing(width, top + height + 48 + 18 * (1 + len(methods)))
    wide = width - left - right
    furthest = float(curve["effect"].max()) or 1.0

    def x(effect: float) -> float:
        return left + wide * effect / furthest

    def y(power: float) -> float:
        return top + height * (1 - power)

    drawing.words(2, 16, "Chance of finding the effect", 12, INK)
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        drawing.line([(left, y(tick)), (width - right, y(tick))], PALE)
        drawing.words(left - 6, y(tick) + 4, f"{100 * tick:.0f}%", 11, INK, "end")
    for tick in _ticks(furthest):
        drawing.line([(x(tick), y(0)), (x(tick), y(0) + 4)], GREY)
        drawing.words(x(tick), y(0) + 18, decimal(tick, 1), 11, INK, "middle")
    drawing.words(left + wide / 2, y(0) + 36, f"Size of the effect in {unit}", 12, INK, "middle")
    drawing.line([(left, y(target)), (width - right, y(target))], INK, 1.2, (4, 3))
    line = curve[curve["method"] == FORMULA].sort_values("effect")
    drawing.line([(x(e), y(p)) for e, p in zip(line["effect"], line["power"], strict=True)], INK, 2.2)
    foot = y(0) + 58
    drawing.line([(left, foot - 4), (left + 20, foot - 4)], INK, 2.2)
    drawing.words(left + 26, foot, FORMULA, 12, INK)
    for place, method in enumerate(methods):
        colour = _POINTS[place % len(_POINTS)]
        # Beside each other: methods are tried at the same effects.
        shift = 3.0 * (place - (len(methods) - 1) / 2)
        for row in curve[curve["method"] == method].itertuples():
            at, power, error = x(float(row.effect)) + shift, float(row.power), float(row.monte_carlo_error)  # type: ignore[arg-type]
            ends = [max(0.0, power - 1.96 * error), min(1.0, power + 1.96 * error)]
            drawing.line([(at, y(end)) for end in ends], colour, 1.4)
            drawing.dot(at, y(power), 3.6, colour)
        drawing.dot(left + 10, foot + 14 + 18 * place, 3.6, colour)
        drawing.words(left + 26, foot + 18 + 18 * place, method, 12 if width > NARROW else 10.5, INK)
    return drawing


def _ticks(furthest: float) -> Sequence[float]:
    step = 10 ** math.floor(math.log10(furthest))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if furthest / s <= 6)
    return [step * i for i in range(int(furthest / step) + 1)]


def _table(curve: pd.DataFrame, key: str, unit: str) -> Table:
    """What was simulated, with the formula at the same effects."""
    line = curve[curve["method"] == FORMULA]
    rows = []
    for row in curve[curve["method"] != FORMULA].sort_values(["effect", "method"]).to_dict("records"):
        nearest = line.iloc[(line["effect"] - row["effect"]).abs().argmin()]
        rows.append(
            Row(
                (
                    decimal(row["effect"]),
                    str(row["method"]),
                    f"{100 * row['power']:.0f}%",
                    f"{100 * row['monte_carlo_error']:.1f}",
                    f"{100 * nearest['power']:.0f}%",
                )
            )
        )
    if not rows:
        rows = [
            Row((decimal(row["effect"]), FORMULA, "", "", f"{100 * row['power']:.0f}%"))
            for row in line.iloc[::5].to_dict("records")
        ]
    return Table(
        key=key,
        caption=f"Power against the size of the effect in {unit}",
        columns=[
            number("Size of the effect"),
            text("Test"),
            number("Found, simulated"),
            number("Monte Carlo error (points)"),
            number("Found, by the formula"),
        ],
        rows=rows,
    )
