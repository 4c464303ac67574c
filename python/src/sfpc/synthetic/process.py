"""The life of the children of one LA: referrals, plans and care, in both potential worlds.

Every chance event is decided by one uniform number that serves the world with and the world without
the programme, so that the effect planted on a child is the difference of two stored outcomes and the
*realised* effect is known exactly (a nominal effect is clipped where a child's rate would fall below 0).

All days are integers, days since 1970-01-01. Arrays of one group have one length.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sfpc.synthetic.scenario import FIRST_ENTRY, LAST_DAY, PlannedLa, Scenario

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Group = dict[str, NDArray[Any]]

MOST_REFERRALS = 8
SHOCK_SD = 0.006
SHOCK_PERSISTENCE = 0.5
TWIN_CORRELATION = 0.97
NO_TWIN_SHOCK_SD = 0.03
FAILING_TREND_PER_QUARTER = 0.0015
RAMP_MONTHS = 12
# fmt: off
ETHNICITIES = (
    "WBRI", "WIRI", "WIRT", "WOTH", "WROM", "MWBC", "MWBA", "MWAS", "MOTH",
    "AIND", "APKN", "ABAN", "AOTH", "CHNE", "BCRB", "BAFR", "BOTH", "OOTH",
)
# fmt: on
ETHNICITY_SHARES = np.array(
    [66, 0.7, 0.3, 6, 0.7, 3.5, 1.5, 1.8, 3.2, 1.6, 3.2, 1.6, 1.6, 0.3, 1.7, 3.5, 1.2, 1.6]
)
OTHER_EXITS = ("E11", "E45", "E47", "E13", "E8", "E5", "E4B", "E16", "E9")
OTHER_EXIT_SHARES = (0.16, 0.10, 0.14, 0.10, 0.26, 0.08, 0.10, 0.02, 0.04)
SOURCES = ("6", "2A", "3A", "1A", "5A", "8")
SOURCE_SHARES = (0.29, 0.19, 0.15, 0.13, 0.14, 0.10)
NEEDS_SHARES = np.array([2.5, 57, 9, 3, 9, 13, 2, 0.5, 3, 1])


@dataclass(frozen=True)
class World:
    """What all LAs share: quarters, national course of the rate, shocks that twins follow.

    first_days: first day of each quarter (n_quarters); national: change of the rate (n_quarters).
    """

    first_days: Ints
    national: Floats
    covid: Floats
    seed: int

    def quarter_of(self, days: Ints) -> Ints:
        """Index of the quarter of each day."""
        return np.searchsorted(self.first_days, days, side="right") - 1


@dataclass
class LaLives:
    """One LA's children and what happens to them.

    child_*: one entry per child; referral_*, care_*: one entry per referral or period of care with
    ``*_child`` pointing to the child. ``rates``: share looked after that was planned per quarter.
    potential: per treated or untreated child with a referral in the trial period, both outcomes.
    """

    la: PlannedLa
    rates: Floats
    child: Group
    referral: Group
    care: Group
    respite: Group
    potential: Group


def days_since_epoch(day: date) -> int:
    """Days since 1970-01-01."""
    return int(np.datetime64(day, "D").astype(np.int64))


def add_months(days: Ints, months: int | Ints) -> Ints:
    """Calendar months added to each day; clamped to the last day of a shorter month."""
    as_days = days.astype("datetime64[D]")
    month = as_days.astype("datetime64[M]")
    day_of_month = (as_days - month.astype("datetime64[D]")).astype(np.int64)
    target = month + np.asarray(months)
    last = (target + 1).astype("datetime64[D]").astype(np.int64) - 1
    return cast(Ints, np.minimum(target.astype("datetime64[D]").astype(np.int64) + day_of_month, last))


def months_between(earlier: Ints, later: Ints) -> Ints:
    """Calendar months between the months of two days (the day of the month plays no part)."""
    return later.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) - earlier.astype(
        "datetime64[D]"
    ).astype("datetime64[M]").astype(np.int64)


def draw_world(scenario: Scenario) -> World:
    """National course: a slow random walk, and a dip from April to December 2020."""
    start, end = np.datetime64(FIRST_ENTRY, "M"), np.datetime64(LAST_DAY, "M")
    months = np.arange(start, end + 1, 3)
    first_days = months.astype("datetime64[D]").astype(np.int64)
    rng = np.random.default_rng([scenario.seed, 0])
    national = np.cumsum(rng.normal(0, 0.0006, len(months)))
    covid = np.isin(months, np.array(["2020-04", "2020-07", "2020-10"], dtype="datetime64[M]"))
    return World(first_days, national, np.where(covid, -0.006, 0.0), scenario.seed)


def planned_rates(world: World, la: PlannedLa) -> Floats:
    """Share looked after per quarter: level, national course, dip, own trend, and shocks shared by twins."""
    n = len(world.first_days)
    leader = la.twin_of or la.la_code
    group = np.random.default_rng([world.seed, 1, int(leader)])
    own = np.random.default_rng([world.seed, 2, int(la.la_code)])
    sensitivity = np.exp(group.normal(0, 0.3))
    trend = group.normal(0, 0.00015)
    sd = NO_TWIN_SHOCK_SD if la.has_no_twin else SHOCK_SD
    shared = _persistent(group, n, sd)
    alone = _persistent(own, n, sd)
    mix = TWIN_CORRELATION if la.twin_of else 1.0
    shocks = mix * shared + np.sqrt(1 - mix**2) * alone
    if la.has_failing_trend:
        trend += FAILING_TREND_PER_QUARTER
    middle = int(world.quarter_of(np.array([days_since_epoch(date(2019, 1, 1))]))[0])
    course = trend * (np.arange(n) - middle)
    rates = la.base_rate + world.national + world.covid * sensitivity + course + shocks
    return cast(Floats, np.clip(rates, 0.004, 0.25))


def draw_la(scenario: Scenario, world: World, la: PlannedLa) -> LaLives:
    """All children of one LA from October 2015 to the last day, with referrals, plans, care and truth."""
    rng = np.random.default_rng([scenario.seed, 3, int(la.la_code)])
    rates = planned_rates(world, la)
    child = _draw_children(rng, la)
    n = len(child["first_day"])
    trial = days_since_epoch(scenario.trial_start), days_since_epoch(scenario.trial_end)
    go_live = days_since_epoch(la.go_live) if la.go_live else None
    index_day = np.full(n, -1, np.int64)
    effect_share = np.zeros(n)
    day = child["first_day"].copy()
    active = np.arange(n)
    rounds: list[Group] = []
    for _ in range(MOST_REFERRALS):
        here = day[active]
        months = months_between(child["birth_day"][active], here)
        starts_index = (index_day[active] < 0) & (here >= trial[0]) & (here <= trial[1]) & (months < 216)
        index_day[active[starts_index]] = here[starts_index]
        if go_live is not None:
            treated = starts_index & (here >= go_live)
            ramp = (
                0.4
                + 0.6
                * np.minimum(months_between(np.full(treated.sum(), go_live), here[treated]), RAMP_MONTHS)
                / RAMP_MONTHS
            )
            effect_share[active[treated]] = ramp
        rounds.append(
            _draw_referrals(rng, la, world, rates, child, active, here, months, effect_share[active])
        )
        done = rounds[-1]
        again = (rng.random(len(active)) < 0.27) & (done["next_from"] < days_since_epoch(LAST_DAY))
        next_day = done["next_from"] + 1 + rng.exponential(260, len(active)).astype(np.int64)
        again &= (next_day <= days_since_epoch(LAST_DAY)) & (
            next_day < add_months(child["birth_day"][active], 12 * 19)
        )
        day[active[again]] = next_day[again]
        active = active[again]
        if not len(active):
            break
    referral = {key: np.concatenate([r[key] for r in rounds]) for key in rounds[0]}
    child["index_day"], child["effect_share"] = index_day, effect_share
    care = _draw_care(rng, scenario, la, child, referral)
    respite = _draw_respite(rng, child)
    return LaLives(la, rates, child, referral, care, respite, _potential(child, referral, care))


def _persistent(rng: np.random.Generator, n: int, sd: float) -> Floats:
    noise = rng.normal(0, sd * np.sqrt(1 - SHOCK_PERSISTENCE**2), n)
    out = np.empty(n)
    out[0] = rng.normal(0, sd)
    for t in range(1, n):
        out[t] = SHOCK_PERSISTENCE * out[t - 1] + noise[t]
    return out


def _draw_children(rng: np.random.Generator, la: PlannedLa) -> Group:
    months = np.arange(np.datetime64(FIRST_ENTRY, "M"), np.datetime64(LAST_DAY, "M") + 1)
    expected = np.full(len(months), la.referrals_per_year / 12 / 1.32)
    calendar = months.astype(int) % 12
    expected *= np.where(calendar == 7, 0.82, 1.015)
    expected *= np.where(
        (months >= np.datetime64("2020-04")) & (months <= np.datetime64("2020-06")), 0.82, 1.0
    )
    counts = rng.poisson(expected)
    first = months.astype("datetime64[D]").astype(np.int64)
    lengths = (months + 1).astype("datetime64[D]").astype(np.int64) - first
    month = np.repeat(np.arange(len(months)), counts)
    n = len(month)
    first_day = first[month] + (rng.random(n) * lengths[month]).astype(np.int64)
    bands = np.array(
        [(-210, -5), (0, 364), (365, 1824), (1825, 3649), (3650, 5839), (5840, 6569), (6580, 6800)]
    )
    band = rng.choice(len(bands), n, p=[0.05, 0.08, 0.20, 0.25, 0.325, 0.085, 0.01])
    age_days = bands[band, 0] + (rng.random(n) * (bands[band, 1] - bands[band, 0])).astype(np.int64)
    shares = rng.dirichlet(ETHNICITY_SHARES * 1.5)
    uasc = (band == 5) & (rng.random(n) < 0.06)
    disabled = rng.random(n) < np.where(age_days > 365, 0.13, 0.05)
    return {
        "number": np.arange(n, dtype=np.int64),
        "first_day": first_day,
        "birth_day": first_day - age_days,
        "is_male": rng.random(n) < np.where(uasc, 0.9, 0.53),
        "ethnicity": rng.choice(len(ETHNICITIES), n, p=shares),
        "is_ethnicity_missing": rng.random(n) < la.missing_ethnicity,
        "is_disabled": disabled,
        "is_uasc": uasc,
        "is_fsm": rng.random(n) < 0.52,
        "has_pupil_link": rng.random(n) < 0.95,
        "has_new_id": rng.random(n) < 0.01,
        "is_mover": rng.random(n) < 0.015,
        "gender_conflict": rng.random(n) < 0.003,
        "unsure": rng.random(n),
    }


def _draw_referrals(
    rng: np.random.Generator,
    la: PlannedLa,
    world: World,
    rates: Floats,
    child: Group,
    active: Ints,
    day: Ints,
    months: Ints,
    effect_share: Floats,
) -> Group:
    n = len(active)
    nfa_share = np.full(n, la.nfa_share)
    if la.nfa_break:
        before = day < days_since_epoch(la.nfa_break.on)
        nfa_share = np.where(before, la.nfa_break.share_before, la.nfa_break.share_after)
    nfa = rng.random(n) < nfa_share
    not_in_need = ~nfa & (rng.random(n) < 0.29)
    in_need = ~nfa & ~not_in_need
    # The rate among all referrals is the planned one whatever share is recorded as NFA.
    weight_in_need = (1 - 0.25 * nfa_share - 0.3 * 0.29 * (1 - nfa_share)) / (0.71 * (1 - nfa_share))
    factor = np.where(nfa, 0.25, np.where(not_in_need, 0.3, weight_in_need))
    relative = _relative_risk(child, active, months)
    base = np.clip(0.82 * rates[world.quarter_of(day)] * factor * relative, 0, 0.97)
    changed = np.clip(base + la.effect * effect_share, 0, 1)
    uniform = rng.random(n)
    delay = rng.exponential(165, n).astype(np.int64)
    entry = np.maximum(day + delay, child["birth_day"][active] + 1)
    adult = add_months(child["birth_day"][active], 12 * 18)
    possible = (entry < adult - 30) & (entry <= days_since_epoch(LAST_DAY))

    cpp_base = np.where(in_need, np.clip(0.165 * np.where(months < 60, 1.3, 0.85), 0, 1), 0.0)
    cpp_changed = np.clip(cpp_base - 0.02 * effect_share * (la.effect != 0), 0, 1)
    cpp_uniform = rng.random(n)
    cpp_start = np.maximum(day + 15 + rng.gamma(2.0, 45, n).astype(np.int64), child["birth_day"][active] + 1)
    cpp_length = np.clip(rng.lognormal(5.45, 0.6, n), 20, 1200).astype(np.int64)
    plan_length = np.where(in_need, np.clip(rng.lognormal(4.75, 1.25, n), 10, 1500), 0).astype(np.int64)
    shorter = 1 - 0.10 * effect_share * (la.effect != 0)
    assessment = 10 + (rng.random(n) * 40).astype(np.int64)
    plan_start = day + assessment
    plan_end = plan_start + plan_length
    plain_close = np.where(nfa, day, np.where(not_in_need, plan_start, plan_end + 7))
    closed = np.where(
        cpp_uniform < cpp_base, np.maximum(plain_close, cpp_start + cpp_length + 14), plain_close
    )
    closed_changed = np.where(
        cpp_uniform < cpp_changed,
        np.maximum(plain_close, cpp_start + (cpp_length * shorter).astype(np.int64) + 14),
        np.minimum(plain_close, day + assessment + (plan_length * shorter).astype(np.int64) + 7),
    )
    need = rng.choice(10, n, p=NEEDS_SHARES / NEEDS_SHARES.sum())
    return {
        "child": active,
        "day": day,
        "is_nfa": nfa,
        "is_not_in_need": not_in_need,
        "need": need,
        "source": rng.choice(len(SOURCES), n, p=SOURCE_SHARES),
        "care_without": possible & (uniform < base),
        "care_with": possible & (uniform < changed),
        "care_chance": base,
        "entry": entry,
        "cpp_without": cpp_uniform < cpp_base,
        "cpp_with": cpp_uniform < cpp_changed,
        "cpp_start": cpp_start,
        "cpp_end_without": cpp_start + cpp_length,
        "cpp_end_with": cpp_start + (cpp_length * shorter).astype(np.int64),
        "plan_start": plan_start,
        "plan_end_without": plan_end,
        "plan_end_with": plan_start + (plan_length * shorter).astype(np.int64),
        "closed_with": np.where(nfa, day, closed_changed),
        "next_from": closed,
    }


def _relative_risk(child: Group, active: Ints, months: Ints) -> Floats:
    """Risk by age, disability, free school meals and asylum status; about 1 on average."""
    index = (
        0.55 * (months < 12)
        + 0.15 * (months >= 156)
        + 0.35 * child["is_disabled"][active]
        + 0.12 * child["is_fsm"][active]
        + 2.3 * child["is_uasc"][active]
    )
    return cast(Floats, np.exp(index) / 1.26)


def _draw_care(
    rng: np.random.Generator,
    scenario: Scenario,
    la: PlannedLa,
    child: Group,
    referral: Group,
) -> Group:
    """Periods of care that happen: those of the world the child lives in, none inside another."""
    lives_with = child["effect_share"][referral["child"]] > 0
    # Both worlds' candidate entries keep their draws; only the lived ones become periods.
    candidate = np.flatnonzero(referral["care_without"] | referral["care_with"])
    candidate = candidate[np.lexsort((referral["entry"][candidate], referral["child"][candidate]))]
    n = len(candidate)
    who, entry = referral["child"][candidate], referral["entry"][candidate]
    under = np.zeros(n, bool)
    if la.go_live is not None:
        under = (entry >= days_since_epoch(la.go_live)) & (entry <= days_since_epoch(scenario.trial_end))
    share = (
        np.where(
            under,
            0.4 + 0.6 * np.minimum(months_between(np.full(n, days_since_epoch(la.go_live)), entry), 12) / 12,
            0.0,
        )
        if la.go_live
        else np.zeros(n)
    )
    home_uniform, kin_uniform = rng.random(n), rng.random(n)
    home_without, home_with = home_uniform < 0.20, home_uniform < 0.20 + 0.04 * share
    kin_share = child["effect_share"][who]
    kin_without, kin_with = kin_uniform < 0.18, kin_uniform < 0.18 + 0.05 * kin_share
    adult = add_months(child["birth_day"][who], 12 * 18)
    home_length = 20 + (rng.random(n) * 500).astype(np.int64)
    long_length = 60 + rng.gamma(1.3, 650, n).astype(np.int64)
    end = np.minimum(entry + np.where(home_with, home_length, long_length), adult)
    occurs = np.where(
        lives_with[candidate], referral["care_with"][candidate], referral["care_without"][candidate]
    )
    kept = occurs.copy()
    last_child, last_end = -1, -1
    for i in np.flatnonzero(occurs):
        if who[i] == last_child and entry[i] <= last_end + 30:
            kept[i] = False
        else:
            last_child, last_end = who[i], end[i]
    other = rng.choice(len(OTHER_EXITS), n, p=OTHER_EXIT_SHARES)
    return {
        "child": who,
        "referral": candidate,
        "start": entry,
        "end": end,
        "is_real": kept,
        "reaches_18": end >= adult,
        "home_without": home_without,
        "home_with": home_with,
        "kin_without": kin_without,
        "kin_with": kin_with,
        "share": share,
        "home_length": home_length,
        "other_exit": other,
        "pieces": rng.integers(1, 4, n),
        "cut": rng.random((n, 2)),
        "placement": rng.random((n, 3)),
        "legal": rng.random((n, 3)),
    }


def _draw_respite(rng: np.random.Generator, child: Group) -> Group:
    """Short breaks (V3, V4): coded like entries to care and not becoming looked after (FV.OUT.P)."""
    takers = np.flatnonzero(child["is_disabled"] & (rng.random(len(child["is_disabled"])) < 0.09))
    breaks = rng.integers(2, 7, len(takers))
    who = np.repeat(takers, breaks)
    order = np.concatenate([np.arange(b) for b in breaks]) if len(takers) else np.zeros(0, np.int64)
    start = np.maximum(child["first_day"][who], child["birth_day"][who] + 30) + 20 + order * 45
    start += rng.integers(0, 20, len(who))
    agreement = np.repeat(rng.random(len(takers)) < 0.3, breaks)
    fits = (start < add_months(child["birth_day"][who], 12 * 18) - 30) & (start < days_since_epoch(LAST_DAY))
    length = rng.integers(1, 15, len(who))
    return {
        "child": who[fits],
        "start": start[fits],
        "end": (start + length)[fits],
        "is_agreement": agreement[fits],
    }


def _potential(
    child: Group,
    referral: Group,
    care: Group,
) -> Group:
    """Both outcomes of every child with a referral in the trial period (windows of Table 1)."""
    who = np.flatnonzero(child["index_day"] >= 0)
    place = np.full(len(child["index_day"]), -1, np.int64)
    place[who] = np.arange(len(who))
    index = child["index_day"][who]
    ends = {months: add_months(index, months) for months in (12, 18)}
    out: Group = {
        "child": who,
        "index_day": index,
        "is_treated": child["effect_share"][who] > 0,
    }
    mine = place[referral["child"]]
    counted = (mine >= 0) & (referral["day"] >= index[mine])
    for world in ("without", "with"):
        hit = (mine >= 0) & referral[f"care_{world}"]
        hit &= (referral["entry"] >= index[mine]) & (referral["entry"] <= ends[18][mine])
        out[f"became_looked_after_{world}"] = _any(mine[hit], len(who))
        cpp = (mine >= 0) & referral[f"cpp_{world}"]
        cpp &= (referral["cpp_start"] >= index[mine]) & (referral["cpp_start"] <= ends[12][mine])
        out[f"started_cpp_{world}"] = _any(mine[cpp], len(who))
        out[f"plan_days_{world}"] = _plan_days(referral, mine, counted, index, ends[18], world)
        first = _first_period(care, referral, place, index, ends[18], world)
        out[f"kinship_care_{world}"] = first
    inside = (place[care["child"]] >= 0) & care["is_real"]
    out["is_looked_after"] = _any(
        place[care["child"]][
            inside
            & (care["start"] < index[place[care["child"]]])
            & (care["end"] > index[place[care["child"]]])
        ],
        len(who),
    )
    return out


def _any(places: Ints, n: int) -> Bools:
    out = np.zeros(n, bool)
    out[places] = True
    return out


def _plan_days(referral: Group, mine: Ints, counted: Bools, index: Ints, end: Ints, world: str) -> Ints:
    """Days on a plan in the window: the CIN plan runs until a child protection plan replaces it."""
    total = np.zeros(len(index), np.int64)
    on_cpp = referral[f"cpp_{world}"]
    has_plan = ~referral["is_nfa"] & ~referral["is_not_in_need"]
    plan_stop = np.where(
        on_cpp,
        np.minimum(referral[f"plan_end_{world}"], referral["cpp_start"]),
        referral[f"plan_end_{world}"],
    )
    for applies, start, stop in (
        (counted & has_plan, referral["plan_start"], plan_stop),
        (counted & on_cpp, referral["cpp_start"], referral[f"cpp_end_{world}"]),
    ):
        rows = np.flatnonzero(applies)
        to = mine[rows]
        days = np.minimum(stop[rows], end[to]) - np.maximum(start[rows], index[to])
        np.add.at(total, to, np.maximum(days, 0))
    return total


def _first_period(
    care: Group,
    referral: Group,
    place: Ints,
    index: Ints,
    end: Ints,
    world: str,
) -> Floats:
    """1 or 0 for kinship at the first period in the window, NaN for children who do not enter care."""
    out = np.full(len(index), np.nan)
    mine = place[care["child"]]
    rows = np.flatnonzero(
        (mine >= 0)
        & referral[f"care_{world}"][care["referral"]]
        & (care["start"] >= index[mine])
        & (care["start"] <= end[mine])
    )
    for row in rows[::-1]:  # ordered by child and entry: the earliest one is written last
        out[mine[row]] = float(care[f"kin_{world}"][row])
    return out
