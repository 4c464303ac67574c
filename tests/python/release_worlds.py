"""Random children and small tables for the tests of the disclosure door."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conftest import ROOT
from sfpc.release.door import Door
from sfpc.release.profiles import Profile, read_profile
from sfpc.release.tables import Dimension, EstimateOffer, Fit, Offer, Statistic

MOMENT = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
DATA = {"run_id": "abc", "code_sha256": "def"}


def profile(name: str = "srs_strict") -> Profile:
    return read_profile(ROOT, name)


def door(folder: Path, name: str = "srs_strict", by: str = "a checker") -> Door:
    return Door(folder / "outputs", profile(name), DATA, by, MOMENT)


def children(draws: np.random.Generator, count: int, **levels: int) -> pd.DataFrame:
    """A row per child with a code, a level of each dimension (skewed, so that small cells occur) and an event."""
    frame = pd.DataFrame({"child_id": [f"child {i}" for i in range(count)]})
    for name, size in levels.items():
        weights = draws.dirichlet(np.full(size, 0.8))
        frame[name] = [f"{name}{value}" for value in draws.choice(size, size=count, p=weights)]
    frame["has_event"] = draws.random(count) < draws.uniform(0.03, 0.6)
    frame["amount"] = np.round(draws.lognormal(2.0, 1.5, size=count))
    return frame


def totals(*names: str, **more: Any) -> tuple[Dimension, ...]:
    return tuple(Dimension(name, total="all", **more) for name in names)


def table(
    counts: dict[Any, int] | Sequence[int], key: str = "sizes", population: str = "everybody", **about: Any
) -> Offer:
    """A table of counts with one dimension and its total, as somebody else would type it."""
    held = counts if isinstance(counts, dict) else {f"level {i}": n for i, n in enumerate(counts)}
    frame = pd.DataFrame({"group": [*held, "all"], "children": [*held.values(), sum(held.values())]})
    return Offer(key, "Children by group", Statistic.COUNT, frame, totals("group"), population, **about)


def levels(rows: Sequence[tuple[str, str, float, float, float, bool]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["factor", "level", "children", "events", "non_events", "is_released"])


SOUND_LEVELS = levels([("arm", "treated", 200, 50, 150, True), ("arm", "untreated", 300, 70, 230, True)])


def estimate(key: str = "effects", **changed: Any) -> EstimateOffer:
    """A sound estimate of one regression on 500 children; `changed` are fields of its fit."""
    facts: dict[str, Any] = {
        "children": 500,
        "parameters": 20,
        "design_rows": 300,
        "smallest_combination": 1,
        "levels": SOUND_LEVELS,
        **changed,
    }
    treated = 200 if facts["children"] >= 500 else facts["children"] // 2
    frame = pd.DataFrame(
        {
            "specification": ["primary"],
            "estimate": [-1.2345],
            "ci_low": [-2.0],
            "ci_high": [-0.5],
            "p_value": [0.0000123],
            "children": [facts["children"]],
            "treated_children": [treated],
        }
    )
    values = {"estimate": 3, "ci_low": 3, "ci_high": 3, "p_value": 4}
    return EstimateOffer(
        key, "Effects", frame, ("specification",), values, (Fit(**facts),), (("sample", {}),), context="One regression"
    )
