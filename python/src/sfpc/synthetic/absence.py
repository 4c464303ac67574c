"""School absence of synthetic pupils, by term, with both potential outcomes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from sfpc.synthetic.process import Floats, LaLives, days_since_epoch
from sfpc.synthetic.scenario import FIRST_RETURN_YEAR, LAST_RETURN_YEAR, Scenario

TERMS = ("autumn", "spring", "summer", "summer6th")
SESSIONS = {"autumn": 140, "spring": 114, "summer": 58, "summer6th": 66}
TERMS_FOLLOWED = 3
RELATIVE_EFFECT = -0.12
# Unauthorised share of sessions in 2018/19 of a child referred, by phase, and its course by school year ending
# 2018 to 2025 (DfE, outcomes for children in need).
PRIMARY_RATE, SECONDARY_RATE, HIGHEST_RATE = 0.028, 0.082, 0.7
PRIMARY_COURSE = (0.98, 1.0, 1.0, 0.88, 1.40, 1.57, 1.60, 1.55)
SECONDARY_COURSE = (0.97, 1.0, 1.0, 0.88, 1.45, 1.74, 1.84, 1.77)
# Relative to the children who have neither a child protection plan nor care.
ON_PLAN, IN_CARE = 1.45, 0.42


@dataclass(frozen=True)
class Terms:
    """School terms in order: three a year (both halves of the summer are one).

    first_days: first day of each term; is_collected: whether absence was collected in it.
    """

    keys: list[tuple[int, str]]
    first_days: np.ndarray
    is_collected: np.ndarray
    collected_parts: frozenset[tuple[int, str]]


def read_terms(path: Path) -> Terms:
    """Terms from the seed school_terms.csv."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [r for r in csv.DictReader(handle) if FIRST_RETURN_YEAR <= int(r["school_year"]) <= LAST_RETURN_YEAR]
    collected = frozenset((int(r["school_year"]), r["term"]) for r in rows if r["is_collected"] == "true")
    whole = [r for r in rows if r["term"] != "summer6th"]
    return Terms(
        keys=[(int(r["school_year"]), r["term"]) for r in whole],
        first_days=np.array([_term_start(date.fromisoformat(r["first_date"]), r["term"]) for r in whole]),
        is_collected=np.array([r["is_collected"] == "true" for r in whole]),
        collected_parts=collected,
    )


def _term_start(first_collected: date, term: str) -> int:
    """Autumn begins on 1 September although its collection opens on 1 August (FV.OUT.S5)."""
    return days_since_epoch(first_collected.replace(month=9) if term == "autumn" else first_collected)


def _levels(rng: np.random.Generator, lives: LaLives) -> Floats:
    """Each child's own level: skewed, higher on a child protection plan, lower in care (mean about 1).

    Which children those are is taken from the world without the programme, so that the effect on
    absence is the planted one alone.
    """
    level = rng.gamma(0.8, 1 / 0.8, len(lives.child["birth_day"]))
    on_plan, in_care = np.ones(len(level)), np.ones(len(level))
    on_plan[lives.referral["child"][lives.referral["cpp_without"]]] = ON_PLAN
    in_care[lives.care["child"][lives.care["is_real_without"]]] = IN_CARE
    return level * on_plan * in_care


def draw_absence(scenario: Scenario, lives: LaLives, terms: Terms) -> pd.DataFrame:
    """One row per pupil and school year, terms wide; adds both absence outcomes to ``lives.potential``.

    Unauthorised absence is floor(sessions x rate + uniform), the uniform shared by both worlds.
    """
    rng = np.random.default_rng([scenario.seed, 4, int(lives.la.la_code)])
    child, potential = lives.child, lives.potential
    birth = child["birth_day"].astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    month = child["birth_day"].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    pupils = np.flatnonzero(child["has_pupil_link"])
    level = _levels(rng, lives)
    first, last = (
        child[key].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) for key in ("first_day", "last_day")
    )
    # From the school year before the first referral to the second after the last.
    from_year, to_year = 1970 + (first + 4) // 12 - 1, 1970 + (last + 4) // 12 + 2
    place = np.full(len(birth), -1, np.int64)
    place[potential["child"]] = np.arange(len(potential["child"]))
    index = np.where(place >= 0, child["index_day"], 10**7)
    first_after = np.searchsorted(terms.first_days, index, side="right")
    sums = {w: np.zeros((2, len(birth))) for w in ("without", "with")}
    seen = np.zeros(len(birth), np.int64)
    frames = []
    for year in range(FIRST_RETURN_YEAR, LAST_RETURN_YEAR + 1):
        age = year - 1 - birth - (month > 8)  # completed years on 31 August before the school year
        here = pupils[
            (age[pupils] >= 5) & (age[pupils] <= 15) & (year >= from_year[pupils]) & (year <= to_year[pupils])
        ]
        at = year - FIRST_RETURN_YEAR
        phase = np.where(age[here] >= 11, SECONDARY_RATE * SECONDARY_COURSE[at], PRIMARY_RATE * PRIMARY_COURSE[at])
        rate = np.minimum(HIGHEST_RATE, level[here] * phase * lives.traits.absence[at])
        columns: dict[str, np.ndarray] = {"number": here, "nc_year": age[here] - 4}
        for term in TERMS:
            possible = rng.binomial(SESSIONS[term], 0.985, len(here))
            uniform = rng.random(len(here))
            whole = "summer" if term == "summer6th" else term
            position = terms.keys.index((year, whole))
            follows = (position >= first_after[here]) & (position < first_after[here] + TERMS_FOLLOWED)
            treated = follows & (child["effect_share"][here] > 0)
            felt = child["effect_share"][here] * treated * lives.la.strength
            changed = rate * (1 + RELATIVE_EFFECT * felt)
            absent = {
                "without": np.floor(possible * rate + uniform),
                "with": np.floor(possible * changed + uniform),
            }
            collected = (year, term) in terms.collected_parts
            if collected:
                for world, values in absent.items():
                    np.add.at(sums[world][0], here[follows], values[follows])
                    np.add.at(sums[world][1], here[follows], possible[follows])
                if term != "summer6th":
                    seen[here[follows]] += 1
            columns[f"possible_{term}"] = np.where(collected, possible, -1)
            columns[f"absent_{term}"] = np.where(collected, absent["with"].astype(np.int64), -1)
        columns["school_year"] = np.full(len(here), year)
        frames.append(pd.DataFrame(columns))
    who = potential["child"]
    for world, (absent_sum, possible_sum) in sums.items():
        share = np.where(possible_sum[who] > 0, 100 * absent_sum[who] / np.maximum(possible_sum[who], 1), np.nan)
        potential[f"unauthorised_absence_{world}"] = np.where(seen[who] == TERMS_FOLLOWED, share, np.nan)
    return pd.concat(frames, ignore_index=True)
