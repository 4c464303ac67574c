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

from sfpc.synthetic.scenario import (
    FIRST_ENTRY,
    FIRST_RETURN_YEAR,
    LAST_DAY,
    LAST_RETURN_YEAR,
    PlannedLa,
    Scenario,
)

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
ETHNICITY_SHARES = np.array([66, 0.7, 0.3, 6, 0.7, 3.5, 1.5, 1.8, 3.2, 1.6, 3.2, 1.6, 1.6, 0.3, 1.7, 3.5, 1.2, 1.6])
UASC_ETHNICITY_SHARES = np.array([0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 32, 0, 40])
# Why care ends for those who do not go home and leave before 18; reasons at 18 are separate (REC codes).
OTHER_EXITS = ("E11", "E45", "E47", "E13", "E8", "E5", "E4B", "E16", "E9", "E3")
OTHER_EXIT_SHARES = (0.20, 0.17, 0.06, 0.09, 0.27, 0.06, 0.02, 0.02, 0.03, 0.08)
ADULT_EXITS = ("E17", "E5", "E6", "E7", "E8")
ADULT_EXIT_SHARES = (0.28, 0.25, 0.12, 0.05, 0.30)
SOURCES = ("6", "2A", "3A", "1A", "5A", "8")
SOURCE_SHARES = (0.29, 0.19, 0.15, 0.13, 0.14, 0.10)
NEEDS_SHARES = np.array([2.5, 57, 9, 3, 9, 13, 2, 0.5, 3, 1])
CARE_NEEDS = ("N1", "N5", "N4", "N3", "N2", "N6", "N8")
CARE_NEED_SHARES = (0.68, 0.145, 0.09, 0.03, 0.023, 0.023, 0.009)
KINSHIP_PLACEMENTS = ("U3", "U1", "U2")
KINSHIP_PLACEMENT_SHARES = (0.80, 0.15, 0.05)
FIRST_PLACEMENTS = ("U6", "U4", "U5", "K2", "P1", "H5", "R3", "K1", "Z1")
FIRST_PLACEMENT_SHARES = (0.59, 0.10, 0.02, 0.08, 0.075, 0.10, 0.015, 0.005, 0.015)
LATER_PLACEMENTS = ("U4", "U6", "U1", "U3", "K2", "P1", "A5", "A3", "H5", "R3", "P2")
LATER_PLACEMENT_SHARES = (0.30, 0.12, 0.12, 0.06, 0.08, 0.12, 0.08, 0.04, 0.05, 0.02, 0.01)
UASC_PLACEMENTS = ("U6", "H5", "U4", "K2")
UASC_PLACEMENT_SHARES = (0.45, 0.40, 0.10, 0.05)
TEMPORARY_PLACEMENTS = ("T0", "T1", "T2", "T3", "T4")
FIRST_LEGAL = ("V2", "C1", "J1", "C2")
FIRST_LEGAL_SHARES = (0.57, 0.38, 0.03, 0.02)
LATER_LEGAL = ("C2", "C1", "E1", "V2")
LATER_LEGAL_SHARES = (0.60, 0.20, 0.08, 0.12)

# Shares below are of referrals unless a comment says otherwise; docs/synthetic_extracts.md has target and result.
NOT_IN_NEED_SHARE, NOT_IN_NEED_SD = 0.32, 0.10  # of referrals with further action, between LAs
CARE_IF_NFA, CARE_IF_NOT_IN_NEED = 0.25, 0.3  # relative to the LA's rate
CARE_DELAY_DAYS, CARE_DELAY_INFANT_DAYS = 165.0, 100.0
UASC_SHARE_OF_STARTS, UASC_CARE_CHANCE = 0.16, 0.92
CPP_CHANCE = 0.175
CPP_LEVEL_SD, CPP_SHOCK_SD = 0.27, 0.15
CPP_EFFECT, DAYS_EFFECT, HOME_EFFECT, KIN_EFFECT = -0.02, -0.10, 0.04, 0.05
HOME_SHARE, HOME_SD = 0.20, 0.04
KIN_SHARE, KIN_SD = 0.195, 0.03
AGAIN_CHANCE, AGAIN_DAYS = 0.43, 205.0
WAITS_FOR_CARE_TO_END = 0.9
VOLUME_SHOCK_SD = 0.12
CHILDREN_PER_REFERRAL, CHILDREN_TREND = 1 / 1.55, -0.012
RISK_BY_AGE_MONTHS = (0, 12, 60, 120, 192)
RISK_BY_AGE = (2.9, 2.4, 0.78, 0.72, 0.76, 2.0)
RISK_NORMALISER = 1.25


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


@dataclass(frozen=True)
class Traits:
    """Levels of one LA beside its planned rate; twins share them.

    cpp: factor on the chance of a child protection plan per quarter (n_quarters); home, kin: shares of
    starts of care; absence: factor per school year, from FIRST_RETURN_YEAR on; not_in_need: share of
    referrals with further action.
    """

    cpp: Floats
    home: float
    kin: float
    absence: Floats
    not_in_need: float


@dataclass
class LaLives:
    """One LA's children and what happens to them.

    child_*: one entry per child; referral_*, care_*: one entry per referral or period of care with
    ``*_child`` pointing to the child. ``rates``: share looked after that was planned per quarter.
    potential: per treated or untreated child with a referral in the trial period, both outcomes.
    """

    la: PlannedLa
    rates: Floats
    traits: Traits
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


def draw_traits(world: World, la: PlannedLa) -> Traits:
    """Levels and shocks of everything but the primary outcome; the draws of a twin are its leader's."""
    rng = np.random.default_rng([world.seed, 5, int(la.twin_of or la.la_code)])
    level = rng.normal(0, CPP_LEVEL_SD)
    shocks = _persistent(rng, len(world.first_days), CPP_SHOCK_SD)
    years = LAST_RETURN_YEAR - FIRST_RETURN_YEAR + 1
    return Traits(
        cpp=np.exp(level + shocks - CPP_LEVEL_SD**2 / 2),
        home=float(np.clip(rng.normal(HOME_SHARE, HOME_SD), 0.10, 0.32)),
        kin=float(np.clip(rng.normal(KIN_SHARE, KIN_SD), 0.08, 0.28)),
        absence=np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.04, years)),
        not_in_need=float(np.clip(rng.normal(NOT_IN_NEED_SHARE, NOT_IN_NEED_SD), 0.12, 0.55)),
    )


def programme_ramp(go_live: int | None, days: Ints) -> Floats:
    """Share of the full effect that a start on each day meets: 0.4 at go-live, 1 after RAMP_MONTHS."""
    if go_live is None:
        return np.zeros(len(days))
    since = months_between(np.full(len(days), go_live), days)
    return np.where(days >= go_live, 0.4 + 0.6 * np.clip(since, 0, RAMP_MONTHS) / RAMP_MONTHS, 0.0)


def draw_la(scenario: Scenario, world: World, la: PlannedLa) -> LaLives:
    """All children of one LA from October 2015 to the last day, with referrals, plans, care and truth."""
    rng = np.random.default_rng([scenario.seed, 3, int(la.la_code)])
    rates, traits = planned_rates(world, la), draw_traits(world, la)
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
        effect_share[active[starts_index]] = programme_ramp(go_live, here[starts_index])
        done = _draw_referrals(rng, scenario, la, world, rates, traits, child, active, here, effect_share)
        rounds.append(done)
        # A case that is open is not referred again: nobody is before the case is closed, few before care ends.
        waits = rng.random(len(active)) < WAITS_FOR_CARE_TO_END
        free = np.where(waits, np.maximum(done["closed_without"], done["care_end"]), done["closed_without"])
        next_day = free + 1 + rng.exponential(AGAIN_DAYS, len(active)).astype(np.int64)
        again = (rng.random(len(active)) < AGAIN_CHANCE) & ~child["is_uasc"][active]
        again &= next_day <= days_since_epoch(LAST_DAY)
        again &= next_day < add_months(child["birth_day"][active], 12 * 19)
        day[active[again]] = next_day[again]
        active = active[again]
        if not len(active):
            break
    referral = {key: np.concatenate([r[key] for r in rounds]) for key in rounds[0]}
    child["index_day"], child["effect_share"] = index_day, effect_share
    child["last_day"] = day
    care = _draw_care(rng, la, traits, child, referral)
    _settle_closures(referral, care)
    respite = _draw_respite(rng, child)
    return LaLives(la, rates, traits, child, referral, care, respite, _potential(child, referral, care))


def _persistent(rng: np.random.Generator, n: int, sd: float) -> Floats:
    noise = rng.normal(0, sd * np.sqrt(1 - SHOCK_PERSISTENCE**2), n)
    out = np.empty(n)
    out[0] = rng.normal(0, sd)
    for t in range(1, n):
        out[t] = SHOCK_PERSISTENCE * out[t - 1] + noise[t]
    return out


def _expected_children(rng: np.random.Generator, la: PlannedLa, months: NDArray[Any]) -> Floats:
    """Expected first referrals per month: summer low, fewer in 2020/21, and a shock per financial year."""
    expected = np.full(len(months), la.referrals_per_year / 12 * CHILDREN_PER_REFERRAL)
    expected *= np.where(months.astype(np.int64) % 12 == 7, 0.82, 1.015)
    spring = (months >= np.datetime64("2020-04")) & (months <= np.datetime64("2020-06"))
    later = (months > np.datetime64("2020-06")) & (months <= np.datetime64("2021-03"))
    expected *= np.where(spring, 0.82, np.where(later, 0.93, 1.0))
    year = 1970 + (months.astype(np.int64) + 9) // 12  # financial year, by its end
    expected *= 1 + CHILDREN_TREND * (year - FIRST_RETURN_YEAR)
    shocks = np.exp(rng.normal(0, VOLUME_SHOCK_SD, year[-1] - year[0] + 1) - VOLUME_SHOCK_SD**2 / 2)
    return cast(Floats, expected * shocks[year - year[0]])


def _draw_children(rng: np.random.Generator, la: PlannedLa) -> Group:
    months = np.arange(np.datetime64(FIRST_ENTRY, "M"), np.datetime64(LAST_DAY, "M") + 1)
    counts = rng.poisson(_expected_children(rng, la, months))
    first = months.astype("datetime64[D]").astype(np.int64)
    lengths = (months + 1).astype("datetime64[D]").astype(np.int64) - first
    month = np.repeat(np.arange(len(months)), counts)
    n = len(month)
    first_day = first[month] + (rng.random(n) * lengths[month]).astype(np.int64)
    bands = np.array([(-210, -5), (0, 364), (365, 1824), (1825, 3649), (3650, 5839), (5840, 6569), (6580, 6800)])
    band = rng.choice(len(bands), n, p=[0.05, 0.08, 0.20, 0.25, 0.325, 0.085, 0.01])
    # In proportion to the LA's rate, so that the share of those who enter care is the same in twins.
    uasc = rng.random(n) < uasc_share(la)
    place = rng.random(n)
    age_days = np.where(uasc, 5480 + 950 * place, bands[band, 0] + place * (bands[band, 1] - bands[band, 0])).astype(
        np.int64
    )
    shares = rng.dirichlet(ETHNICITY_SHARES * 1.5)
    disabled = rng.random(n) < np.where(age_days > 365, 0.14, 0.05)
    fsm_share = np.clip(0.48 + 0.03 * (first_day - days_since_epoch(FIRST_ENTRY)) / 365.25, 0.48, 0.74)
    ethnicity = np.where(
        uasc,
        rng.choice(len(ETHNICITIES), n, p=UASC_ETHNICITY_SHARES / UASC_ETHNICITY_SHARES.sum()),
        rng.choice(len(ETHNICITIES), n, p=shares),
    )
    is_fsm = rng.random(n) < fsm_share
    return {
        "number": np.arange(n, dtype=np.int64),
        "first_day": first_day,
        "birth_day": first_day - age_days,
        "is_male": rng.random(n) < np.where(uasc, 0.9, 0.54),
        "ethnicity": ethnicity,
        "is_ethnicity_missing": rng.random(n) < la.missing_ethnicity,
        "is_disabled": disabled & ~uasc,
        "is_uasc": uasc,
        "is_fsm": is_fsm & ~uasc,
        "fsm_share": fsm_share,
        "has_pupil_link": rng.random(n) < np.where(uasc, 0.3, 0.95),
        "has_new_id": rng.random(n) < 0.01,
        "is_mover": (rng.random(n) < 0.015) & ~uasc,
        "gender_conflict": rng.random(n) < 0.003,
        "earlier_plans": ((rng.random(n) < 0.24) & (age_days > 700)).astype(np.int64) * (1 + (rng.random(n) < 0.2)),
        "unsure": rng.random(n),
    }


def uasc_share(la: PlannedLa) -> float:
    """Share of referred children who are unaccompanied, so that they are a fixed share of starts of care."""
    return UASC_SHARE_OF_STARTS * la.base_rate / UASC_CARE_CHANCE


def _draw_referrals(
    rng: np.random.Generator,
    scenario: Scenario,
    la: PlannedLa,
    world: World,
    rates: Floats,
    traits: Traits,
    child: Group,
    active: Ints,
    day: Ints,
    effect_shares: Floats,
) -> Group:
    """One referral of each active child with what follows from it in both worlds (arrays of n active)."""
    n = len(active)
    effect_share, uasc, birth = effect_shares[active], child["is_uasc"][active], child["birth_day"][active]
    months = months_between(birth, day)
    quarter = world.quarter_of(day)
    nfa_share = np.full(n, la.nfa_share)
    if la.nfa_break:
        before = day < days_since_epoch(la.nfa_break.on)
        nfa_share = np.where(before, la.nfa_break.share_before, la.nfa_break.share_after)
    nfa = (rng.random(n) < nfa_share) & ~uasc
    not_in_need = ~nfa & (rng.random(n) < traits.not_in_need) & ~uasc
    in_need = ~nfa & ~not_in_need
    # The rate among all referrals is the planned one whatever share is recorded as NFA or not in need.
    open_share = 1 - nfa_share
    low = traits.not_in_need * open_share
    weight_in_need = (1 - CARE_IF_NFA * nfa_share - CARE_IF_NOT_IN_NEED * low) / (open_share - low)
    factor = np.where(nfa, CARE_IF_NFA, np.where(not_in_need, CARE_IF_NOT_IN_NEED, weight_in_need))
    alone = uasc_share(la)
    others = np.maximum(rates[quarter] - UASC_CARE_CHANCE * alone, 0.002) / (1 - alone)
    base = np.clip(others * factor * _relative_risk(child, active, months), 0, 0.97)
    # A programme for families does not reach children who came without theirs.
    base = np.where(uasc, UASC_CARE_CHANCE, base)
    changed = np.where(uasc, base, np.clip(base + la.effect * effect_share, 0, 1))
    uniform = rng.random(n)
    waiting = np.where(uasc, 6.0, np.where(months < 12, CARE_DELAY_INFANT_DAYS, CARE_DELAY_DAYS))
    delay = rng.exponential(waiting, n).astype(np.int64)
    entry = np.maximum(day + delay, birth + 1)
    adult = add_months(birth, 12 * 18)
    possible = (entry < adult - 30) & (entry <= days_since_epoch(LAST_DAY))
    has_programme = effect_share * la.strength

    cpp_start = np.maximum(day + 15 + rng.gamma(2.0, 45, n).astype(np.int64), birth + 1)
    by_age = np.where(months < 60, 1.3, 0.85)
    cpp_base = np.where(in_need & ~uasc & (cpp_start < adult - 30), CPP_CHANCE * traits.cpp[quarter] * by_age, 0.0)
    cpp_base = np.clip(cpp_base * 0.68 / (1 - traits.not_in_need), 0, 0.9)
    cpp_changed = np.clip(cpp_base + CPP_EFFECT * has_programme, 0, 1)
    cpp_uniform = rng.random(n)
    cpp = {"without": cpp_uniform < cpp_base, "with": cpp_uniform < cpp_changed}
    cpp_length = np.clip(rng.lognormal(np.log(225), 0.68, n), 20, 850).astype(np.int64)
    plan_length = np.where(in_need, np.clip(rng.lognormal(np.log(135), 1.3, n), 10, 2200), 0).astype(np.int64)
    assessment = 10 + (rng.random(n) * 40).astype(np.int64)
    plan_start = day + assessment
    shorter = {"without": np.ones(n), "with": 1 + DAYS_EFFECT * has_programme}
    source = rng.choice(len(SOURCES), n, p=SOURCE_SHARES)
    # Schools were closed to most in much of 2020/21: a third fewer referrals from them.
    closed_schools = (day >= days_since_epoch(date(2020, 4, 1))) & (day < days_since_epoch(date(2021, 4, 1)))
    source = np.where((source == 1) & closed_schools & (rng.random(n) < 0.3), 3, source)
    out: Group = {
        "child": active,
        "day": day,
        "is_nfa": nfa,
        "is_not_in_need": not_in_need,
        "need": np.where(uasc & (rng.random(n) < 0.9), 8, rng.choice(10, n, p=NEEDS_SHARES / NEEDS_SHARES.sum())),
        "source": source,
        "care_without": possible & (uniform < base),
        "care_with": possible & (uniform < changed),
        "entry": entry,
        "cpp_start": cpp_start,
        "plan_start": plan_start,
    }
    for name, is_on_cpp in cpp.items():
        out[f"cpp_{name}"] = is_on_cpp
        out[f"cpp_end_{name}"] = cpp_start + (cpp_length * shorter[name]).astype(np.int64)
        out[f"plan_end_{name}"] = plan_start + (plan_length * shorter[name]).astype(np.int64)
        plain = np.where(not_in_need, plan_start, out[f"plan_end_{name}"] + 7)
        closed = np.where(is_on_cpp, np.maximum(plain, out[f"cpp_end_{name}"] + 14), plain)
        out[f"closed_{name}"] = np.where(nfa, day, closed)
    out |= _draw_care_lengths(rng, scenario, la, traits, out, adult)
    return out


def _draw_care_lengths(
    rng: np.random.Generator,
    scenario: Scenario,
    la: PlannedLa,
    traits: Traits,
    referral: Group,
    adult: Ints,
) -> Group:
    """How long care lasts in both worlds if it starts, and whether it ends at home (E4A)."""
    entry = referral["entry"]
    n = len(entry)
    go_live = days_since_epoch(la.go_live) if la.go_live else None
    in_trial = entry <= days_since_epoch(scenario.trial_end)
    share = np.where(in_trial, programme_ramp(go_live, entry), 0.0)
    uniform = rng.random(n)
    home_length = 20 + (rng.random(n) * 500).astype(np.int64)
    long_length = 60 + rng.gamma(1.2, 800, n).astype(np.int64)
    out: Group = {"care_share": share}
    latest = np.zeros(n, np.int64)
    for name, chance in (("without", traits.home), ("with", traits.home + HOME_EFFECT * la.strength * share)):
        home = uniform < chance
        end = np.minimum(entry + np.where(home, home_length, long_length), adult)
        out[f"home_{name}"], out[f"end_{name}"] = home & (end < adult), end
        latest = np.where(referral[f"care_{name}"], np.maximum(latest, end), latest)
    out["care_end"] = latest
    return out


def _relative_risk(child: Group, active: Ints, months: Ints) -> Floats:
    """Risk by age, disability and free school meals; about 1 on average."""
    by_age = np.array(RISK_BY_AGE)[np.searchsorted(RISK_BY_AGE_MONTHS, months, side="right")]
    index = 0.35 * child["is_disabled"][active] + 0.12 * (child["is_fsm"][active] - child["fsm_share"][active])
    return by_age * np.exp(index) / RISK_NORMALISER


def _draw_care(rng: np.random.Generator, la: PlannedLa, traits: Traits, child: Group, referral: Group) -> Group:
    """Periods of care of either world, ordered by child and entry, with what their episodes look like.

    The world with the programme is the one that the extracts show: for a child that no programme reaches
    both worlds are the same.
    """
    candidate = np.flatnonzero(referral["care_without"] | referral["care_with"])
    candidate = candidate[np.lexsort((referral["entry"][candidate], referral["child"][candidate]))]
    n = len(candidate)
    who, start = referral["child"][candidate], referral["entry"][candidate]
    age = start - child["birth_day"][who]
    uasc = child["is_uasc"][who]
    share = child["effect_share"][who]
    kin_uniform = rng.random(n)
    adult = add_months(child["birth_day"][who], 12 * 18)
    care: Group = {"child": who, "referral": candidate, "start": start}
    for name in ("without", "with"):
        end = referral[f"end_{name}"][candidate]
        care[f"end_{name}"] = end
        care[f"is_real_{name}"] = _not_inside(who, start, end, referral[f"care_{name}"][candidate])
        care[f"home_{name}"] = referral[f"home_{name}"][candidate]
        care[f"reaches_18_{name}"] = end >= adult
    care["kin_without"] = ~uasc & (kin_uniform < traits.kin)
    care["kin_with"] = ~uasc & (kin_uniform < traits.kin + KIN_EFFECT * la.strength * share)
    care["adult"], care["share"] = adult, referral["care_share"][candidate]

    def choice(codes: tuple[str, ...], shares: tuple[float, ...]) -> NDArray[Any]:
        weights = np.array(shares)
        return np.array(codes, dtype=object)[rng.choice(len(codes), n, p=weights / weights.sum())]

    is_16 = age >= 5840
    is_late_16 = age + 0.6 * (care["end_with"] - start) >= 5840
    first = choice(FIRST_PLACEMENTS, FIRST_PLACEMENT_SHARES)
    first = np.where((first == "H5") & ~is_16, "K2", np.where(is_16 & (rng.random(n) < 0.35), "H5", first))
    first = np.where(uasc, choice(UASC_PLACEMENTS, UASC_PLACEMENT_SHARES), first)
    kin = choice(KINSHIP_PLACEMENTS, KINSHIP_PLACEMENT_SHARES)
    care["placement_0"] = np.where(care["kin_with"], kin, first)
    for i in (1, 2):
        later = choice(LATER_PLACEMENTS, LATER_PLACEMENT_SHARES)
        later = np.where(np.isin(later, ("H5", "P2")) & ~is_late_16, "U4", later)
        later = np.where(is_late_16 & (rng.random(n) < 0.35), "H5", later)
        later = np.where(np.isin(later, ("A3", "A5")) & (age > 2200), "U4", later)
        care[f"placement_{i}"] = np.where(uasc & (later != "H5"), "U6", later)
    legal = choice(FIRST_LEGAL, FIRST_LEGAL_SHARES)
    care["legal_0"] = np.where(uasc | ((legal == "J1") & (age < 3650)), "V2", legal)
    for i in (1, 2):
        care[f"legal_{i}"] = np.where(uasc, "V2", choice(LATER_LEGAL, LATER_LEGAL_SHARES))
    care["need"] = np.where(uasc & (rng.random(n) < 0.95), "N8", choice(CARE_NEEDS, CARE_NEED_SHARES))
    leaving = np.where(
        care["reaches_18_with"],
        choice(ADULT_EXITS, ADULT_EXIT_SHARES),
        choice(OTHER_EXITS, OTHER_EXIT_SHARES),
    )
    care["exit"] = np.where(care["home_with"], "E4A", leaving)
    care["pieces"] = np.where(care["end_with"] - start < 40, 1, rng.integers(1, 4, n))
    care["cut_1"], care["cut_2"] = 0.45 * rng.random(n), 0.5 + 0.45 * rng.random(n)
    # First placements of a few days under a temporary code, and returns that leave days between two episodes.
    temporary = (rng.random(n) < 0.03) & (care["end_with"] - start > 30)
    care["temporary"] = np.where(temporary, choice(TEMPORARY_PLACEMENTS, (1, 1, 1, 1, 1)), "")
    care["temporary_days"] = np.where(temporary, rng.integers(1, 5, n), 0)
    care["gap_days"] = np.where(rng.random(n) < 0.02, rng.integers(1, 4, n), 0)
    return care


def _not_inside(who: Ints, start: Ints, end: Ints, occurs: Bools) -> Bools:
    """Which periods happen: none that begins within 30 days of the child's own earlier period."""
    kept = occurs.copy()
    last_child, last_end = -1, -1
    for i in np.flatnonzero(occurs):
        if who[i] == last_child and start[i] <= last_end + 30:
            kept[i] = False
        else:
            last_child, last_end = int(who[i]), int(end[i])
    return kept


def _settle_closures(referral: Group, care: Group) -> None:
    """A case stays open while its own period of care lasts."""
    closed = referral["closed_with"].copy()
    real = care["is_real_with"]
    rows = care["referral"][real]
    closed[rows] = np.where(referral["is_nfa"][rows], closed[rows], np.maximum(closed[rows], care["end_with"][real]))
    referral["closure"] = closed


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


def _potential(child: Group, referral: Group, care: Group) -> Group:
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
    cared = place[care["child"]]
    inside = (cared >= 0) & (care["start"] >= index[cared]) & (care["start"] <= ends[18][cared])
    for world in ("without", "with"):
        hit = inside & care[f"is_real_{world}"]
        out[f"became_looked_after_{world}"] = _any(cared[hit], len(who))
        cpp = (mine >= 0) & referral[f"cpp_{world}"]
        cpp &= (referral["cpp_start"] >= index[mine]) & (referral["cpp_start"] <= ends[12][mine])
        out[f"started_cpp_{world}"] = _any(mine[cpp], len(who))
        out[f"plan_days_{world}"] = _plan_days(referral, mine, counted, index, ends[18], world)
        # Ordered by child and entry: written from the last to the first, the first period stays.
        first = np.full(len(who), np.nan)
        rows = np.flatnonzero(hit)[::-1]
        first[cared[rows]] = care[f"kin_{world}"][rows]
        out[f"kinship_care_{world}"] = first
    already = (cared >= 0) & care["is_real_with"]
    already &= (care["start"] < index[cared]) & (care["end_with"] > index[cared])
    out["is_looked_after"] = _any(cared[already], len(who))
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
