"""A made-up cost survey of the treatment LAs of the programmes (FV.CBA.1). Nothing in it is about a real LA."""

from __future__ import annotations

import csv
import math
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np

from sfpc.cost_benefit.prices import year_label, year_of
from sfpc.cost_benefit.survey import write_survey

_SPREAD = 0.25
"""Standard deviation of the logarithm of an amount; half of it belongs to the LA as a whole."""


def synthetic_cost_survey(path: Path, seeds: Path, seed: int, la_codes: set[str] | None = None) -> int:
    """Write a survey as LAs would send it: amounts vary about the medians of scenarios/costs.csv; returns its lines.

    Years are counted from the financial year of go-live; amounts stand in the prices of their year, later ones in those
    of the last year with a price index. An LA that treats in several programmes reports once, for its first go-live.

    Parameters
    ----------
    path: the CSV to write; replaced where it exists. seeds: the seeds folder (go-live dates).
    seed: of the amounts; each LA has draws of its own. la_codes: only these LAs.
    """
    go_live: dict[str, date] = {}
    with (seeds / "programmes" / "programme_local_authorities.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            if row["role"] == "treatment" and (la_codes is None or row["la_code"] in la_codes):
                day = date.fromisoformat(row["go_live_date"])
                go_live[row["la_code"]] = min(day, go_live.get(row["la_code"], day))
    with (seeds / "economics" / "gdp_deflators.csv").open(newline="", encoding="utf-8") as handle:
        priced = max(int(r["ending_year"]) for r in csv.DictReader(handle) if r["period_kind"] == "financial_year")
    medians = files("sfpc.synthetic").joinpath("scenarios/costs.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(medians.splitlines()))
    lines = []
    for la_code, day in sorted(go_live.items()):
        generator = np.random.default_rng([seed, int(la_code)])
        size = generator.normal(0.0, _SPREAD / math.sqrt(2))
        for row in rows:
            for year in range(int(row["first_year"]), int(row["last_year"]) + 1):
                own = math.exp(size + generator.normal(0.0, _SPREAD / math.sqrt(2)))
                falls = year_of(day) + year
                lines.append(
                    (
                        la_code,
                        row["category"],
                        row["phase"],
                        row["basis"],
                        year_label(falls),
                        f"{round(float(row['median_gbp']) * own, -2):.0f}",
                        year_label(min(falls, priced)),
                        row["overlap_share"],
                        row["life_years"],
                        "synthetic",
                    )
                )
    write_survey(path, lines)
    return len(lines)
