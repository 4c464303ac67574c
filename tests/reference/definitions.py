"""The definitions of the evaluation, a second time, in plain Python.

This file is the independent reading of the protocol register that the SQL warehouse is compared with,
child by child. It was written without sight of the SQL (see README.md) and is meant to be read from top
to bottom by somebody who knows social care data but not this project: a child is followed from the rows
of the returns to one row of outcome and covariates. Clause ids (FV.SAMPLE.1) are those of the protocol
register; B.3 and the like are sections of the description of the raw data.

The rules use the standard library only. ``evaluate`` takes the landing tables and the seeds as lists of
dicts. From the command line:

    python tests/reference/definitions.py data/landing seeds out.json --every 300
"""

from __future__ import annotations

import argparse
import calendar
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ChildId = tuple[str, ...]

OPEN_FOR_EVER = date.max


# ---------------------------------------------------------------------------------------------------
# Values and dates
# ---------------------------------------------------------------------------------------------------


NOT_A_VALUE = {"", "NULL", "N/A", "#N/A", "#MULTIVALUE"}


def tidy(value: Any) -> str | None:
    """A code or id without surrounding blanks, in capitals; None for what says that there is no value (trap 21)."""
    cleaned = str(value).strip().upper() if value is not None else ""
    return None if cleaned in NOT_A_VALUE else cleaned


def child_code(value: Any) -> str | None:
    """A child code as tidy has it, without the '.0' that a spreadsheet adds (trap 6)."""
    code = tidy(value)
    return code.removesuffix(".0") if code else None


def as_date(value: Any) -> date | None:
    """A date from a date or an ISO text; an empty value is None."""
    if value is None or value == "":
        return None
    return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])


def is_yes(value: Any) -> bool:
    """Whether a flag says yes: 1, true (trap 21). Everything else, blanks included, does not."""
    return tidy(value) in {"1", "TRUE"}


def add_months(day: date, months: int) -> date:
    """The same day some calendar months later; where that month lacks the day, its last day."""
    years, month_index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month_index + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def end_of_month(day: date) -> date:
    """The last day of the month of a day."""
    return date(day.year, day.month, calendar.monthrange(day.year, day.month)[1])


def return_year_of(day: date) -> int:
    """The return that covers a day, by the year in which it ends: 1 April to 31 March (FV.PROG.4)."""
    return day.year + (day.month >= 4)


def financial_year_of(day: date) -> str:
    """The financial year of a day as '2021/22' (FV.PROG.4)."""
    ends = return_year_of(day)
    return f"{ends - 1}/{ends % 100:02d}"


def quarter_start_of(day: date) -> date:
    """The first day of the calendar quarter of a day (FV.PROG.4)."""
    return date(day.year, day.month - (day.month - 1) % 3, 1)


def union_days(intervals: Iterable[tuple[date, date | None]], first: date, end: date) -> set[int]:
    """The days (ordinals) of half-open intervals that lie in [first, end); one without an end goes on.

    A set of days, so that no day can count twice however the intervals overlap (FV.OUT.S2).
    """
    days: set[int] = set()
    for starts, ends in intervals:
        stop = end if ends is None else min(ends, end)
        days.update(range(max(starts, first).toordinal(), stop.toordinal()))
    return days


def academic_year_of(day: date) -> int:
    """The year in which the academic year of a day ends: 1 September to 31 August (FV.COV.2)."""
    return day.year + (day.month >= 9)


# ---------------------------------------------------------------------------------------------------
# Which LA, which child (FV.SAMPLE.1, FV.MATCH.1)
# ---------------------------------------------------------------------------------------------------


class Areas:
    """Continuing LA areas: LA codes joined through merges and splits, named by their lowest code."""

    def __init__(self, successors: Iterable[Row]) -> None:
        groups: dict[str, set[str]] = {}
        for row in successors:
            if not is_yes(row["is_verified"]) or tidy(row["relationship"]) not in {"MERGE", "SPLIT"}:
                continue
            old, new = tidy(row["from_la_code"]), tidy(row["to_la_code"])
            joined = groups.get(old, {old}) | groups.get(new, {new})
            for code in joined:
                groups[code] = joined
        self._codes = groups

    def la_id(self, la_code: Any) -> str:
        """The area of an LA code; an LA without successors is its own area."""
        code = tidy(la_code)
        return min(self._codes.get(code, {code}))

    def has_several_codes(self, la_id: str) -> bool:
        """Whether the area is made of more than one LA code."""
        return len(self._codes.get(la_id, {la_id})) > 1


def birth_month_of(row: Row) -> tuple[int, int] | None:
    """Year and month of birth of a row, None where they are missing or no child of the return can have them.

    Some returns write unborn children as January 1900 (section 0, fact 10).
    """
    if row.get("birth_year") is None or row.get("birth_month") is None:
        return None
    year, month, returned = int(row["birth_year"]), int(row["birth_month"]), int(row["return_year"])
    return (year, month) if returned - 30 <= year <= returned + 1 and 1 <= month <= 12 else None


def is_placeholder_birth(row: Row) -> bool:
    """Whether a row writes an unborn child as born in January 1900."""
    return (row.get("birth_year"), row.get("birth_month")) == (1900, 1)


def says_unborn(row: Row) -> bool:
    """Whether a row says that its child is not born yet: an expected date, the flag, or January 1900 (A.5)."""
    return is_yes(row.get("is_expected_birth")) or is_yes(row.get("is_unborn")) or is_placeholder_birth(row)


def months_of(birth: tuple[int, int]) -> int:
    """A month as a number, so that two can be subtracted."""
    return birth[0] * 12 + birth[1]


def pupil_id_of(row: Row) -> str | None:
    """The pseudonymous pupil id; 'UN1' to 'UN7' are reasons for having none (trap 18)."""
    pupil = tidy(row.get("pupil_id"))
    return None if pupil is None or re.fullmatch(r"UN\d", pupil) else pupil


class SharedCodes:
    """Child codes of an LA that stand for several children, and whose a row of such a code is (DECISIONS D30)."""

    def __init__(self, cin_records: Iterable[Row], cla_children: Iterable[Row]) -> None:
        stated: dict[tuple, dict[tuple[str, int], set[tuple[int, int]]]] = defaultdict(lambda: defaultdict(set))
        for source, rows in (("CIN", cin_records), ("SSDA903", cla_children)):
            for row in rows:
                birth = birth_month_of(row)
                if birth is not None and not says_unborn(row):
                    stated[self._code(row)][source, int(row["return_year"])].add(birth)
        self._stated = {code: dict(returns) for code, returns in stated.items() if self._is_shared(returns)}

    @staticmethod
    def _code(row: Row) -> tuple[str | None, str | None]:
        return tidy(row["la_code"]), child_code(row["la_child_id"])

    @staticmethod
    def _is_shared(returns: dict[tuple[str, int], set[tuple[int, int]]]) -> bool:
        months = [months_of(birth) for births in returns.values() for birth in births]
        return max(months) - min(months) > 12 or any(len(births) > 1 for births in returns.values())

    def has(self, row: Row) -> bool:
        """Whether the row's code stands for several children."""
        return self._code(row) in self._stated

    def birth_of_owner(self, row: Row, source: str) -> tuple[int, int] | None:
        """The month of birth of the child, among those of the row's code, whose row it is; None: nothing tells."""
        returns = self._stated[self._code(row)]
        birth = birth_month_of(row)
        if says_unborn(row):
            near = [
                (abs(months_of(born) - months_of(birth)), born)
                for births in returns.values()
                for born in births
                if birth is not None and abs(months_of(born) - months_of(birth)) <= 12
            ]
            return min(near)[1] if near else None
        if birth is not None:
            return birth
        of_return = returns.get((source, int(row["return_year"])), set())
        return next(iter(of_return)) if len(of_return) == 1 else None


class Children:
    """Who is who. An LA child is an area and an LA child id; a child is one or several LA children.

    LA child ids may be given twice where an area is made of several LA codes (a reorganisation), so
    there the month of birth belongs to the LA child; so it does where one code stands for several children
    (trap 5). The pupil id of an LA child is its first one over the return years; LA children with the same
    pupil id are one child (trap 4).
    """

    def __init__(self, cin_records: Iterable[Row], cla_children: Iterable[Row], areas: Areas) -> None:
        self.areas = areas
        self.child_ids_seen: set[ChildId] = set()
        self.la_ids_of_child: dict[ChildId, set[tuple[str, str]]] = defaultdict(set)
        tables = [("CIN", list(cin_records)), ("SSDA903", list(cla_children))]
        self._shared = SharedCodes(tables[0][1], tables[1][1])
        self._births = self._births_of_codes(tables)
        first_pupil: dict[tuple, tuple[int, str]] = {}
        keys: set[tuple] = set()
        codes: dict[tuple, tuple] = {}
        for source, rows in tables:
            for row in rows:
                key = self._la_child(row, source)
                keys.add(key)
                codes[self._code(row, source)] = key
                pupil = pupil_id_of(row)
                if pupil is not None:
                    seen = (int(row["return_year"]), pupil)
                    first_pupil[key] = min(seen, first_pupil.get(key, seen))
        self._pupils = self._sound_pupils({key: pupil for key, (_, pupil) in first_pupil.items()}, codes)
        for key in keys:
            child = self._child_of_key(key)
            self.child_ids_seen.add(child)
            self.la_ids_of_child[child].add((key[0], key[1]))

    def _sound_pupils(self, pupils: dict[tuple, str], codes: dict[tuple, tuple]) -> dict[tuple, str]:
        """Pupil ids whose LA children were born at most twelve months apart (DECISIONS D15)."""
        months: dict[str, list[int]] = defaultdict(list)
        for code, key in codes.items():
            pupil = pupils.get(key)
            if pupil and code in self._births:
                months[pupil].append(months_of(self._births[code]))
        unsound = {pupil for pupil, born in months.items() if max(born) - min(born) > 12}
        return {key: pupil for key, pupil in pupils.items() if pupil not in unsound}

    def _code(self, row: Row, source: str) -> tuple:
        """LA code and child id, and the child among several under that code (None where nothing tells which)."""
        owner = self._shared.birth_of_owner(row, source) if self._shared.has(row) else None
        return tidy(row["la_code"]), child_code(row["la_child_id"]), owner

    def _births_of_codes(self, tables: list[tuple[str, list[Row]]]) -> dict[tuple, tuple[int, int]]:
        """Month of birth of an LA code's child id: the latest real one, else the latest expected one.

        Within a return the smallest; an unborn child keeps its identity when it is born (DECISIONS D5). One of
        several children under a code is known by its real month.
        """
        known: dict[tuple, list[tuple]] = defaultdict(list)
        for source, rows in tables:
            for row in rows:
                birth = birth_month_of(row)
                if birth:
                    rank = (is_yes(row.get("is_expected_birth")), -int(row["return_year"]), birth)
                    known[self._code(row, source)].append(rank)
        return {code: code[2] or min(ranks)[2] for code, ranks in known.items()}

    def _la_child(self, row: Row, source: str) -> tuple:
        la_id = self.areas.la_id(row["la_code"])
        key: tuple = (la_id, child_code(row["la_child_id"]))
        if self.areas.has_several_codes(la_id) or self._shared.has(row):
            birth = self._births.get(self._code(row, source))
            key += ("{:04d}-{:02d}".format(*birth) if birth else "",)
        return key

    def _child_of_key(self, key: tuple) -> ChildId:
        pupil = self._pupils.get(key)
        return ("pupil", pupil) if pupil else ("la", *key)

    def child_of(self, row: Row, source: str) -> ChildId:
        """The child of a row of the census (CIN) or of the return on looked-after children (SSDA903)."""
        return self._child_of_key(self._la_child(row, source))


# ---------------------------------------------------------------------------------------------------
# Referrals (A.7, FV.SAMPLE.1, FV.SAMPLE.6)
# ---------------------------------------------------------------------------------------------------


def referral_spells(
    cin_records: Iterable[Row], children: Children, seeds: dict, returns: Returns, activities: Sequence[Row] = ()
) -> list[Row]:
    """One row per area, child and referral date, joined over the returns that report it (A.7).

    A referral is repeated in every return while it is open, so its fields come from different years:
    no further action only if all reports say so and none shows any action (activities: assessments and
    section 47 enquiries; the plans stand in the records), the closure from the latest return that has one, the
    need from the earliest return that has a valid code.

    is_need: no further action, RC8 and RC9 are no episodes of need (FV.SAMPLE.6). open_until: the first day on
    which it was open no more, None where it still is, the referral date where it never was (D31). factors: the codes
    that any assessment under it shows, in any return (A.4).
    """
    not_need = {
        tidy(r["closure_reason_code"]) for r in seeds["closure_reason_codes"] if not is_yes(r["is_episode_of_need"])
    }
    acted = {
        (children.areas.la_id(row["la_code"]), children.child_of(row, "CIN"), as_date(row["referral_date"]))
        for row in activities
    }
    factors: dict[tuple, set[str]] = defaultdict(set)
    for row in activities:
        key = children.areas.la_id(row["la_code"]), children.child_of(row, "CIN"), as_date(row["referral_date"])
        factors[key] |= factors_of(row)
    needs = {tidy(r["primary_need_code"]): int(r["primary_need"]) for r in seeds["primary_need_codes"]}
    reports: dict[tuple, list[Row]] = defaultdict(list)
    for row in cin_records:
        la_id = children.areas.la_id(row["la_code"])
        reports[la_id, children.child_of(row, "CIN"), as_date(row["referral_date"])].append(row)
    spells = []
    for (la_id, child_id, referral_date), rows in sorted(reports.items()):
        closure_date, closure_reason = _latest_closure(rows)
        is_nfa = (la_id, child_id, referral_date) not in acted and all(
            is_yes(r.get("referral_nfa")) and not _has_plan(r) for r in rows
        )
        open_until = closure_date or _unseen_end(rows, la_id, returns)
        spells.append(
            {
                "la_code": min((int(r["return_year"]), tidy(r["la_code"])) for r in rows)[1],
                "la_id": la_id,
                "child_id": child_id,
                "referral_date": referral_date,
                "closure_date": closure_date,
                "closure_reason": closure_reason,
                "is_nfa": is_nfa,
                "is_need": not is_nfa and closure_reason not in not_need,
                "open_until": referral_date if is_nfa else open_until,
                "primary_need": _earliest_need(rows, needs),
                "factors": factors[la_id, child_id, referral_date],
            }
        )
    return spells


def factors_of(row: Row) -> set[str]:
    """The factor codes of an assessment, which a row holds joined by commas; none of another row."""
    listed = (tidy(row.get("assessment_factors")) or "").split(",")
    return {code.strip() for code in listed} - {""}


def _unseen_end(rows: list[Row], la_id: str, returns: Returns) -> date | None:
    """31 March of the last return that has something open, where the LA went on returning; else None (D7, D32)."""
    last_report = max(int(r["return_year"]) for r in rows)
    return date(last_report, 3, 31) if last_report < returns.last_year("cin", la_id) else None


def _has_plan(row: Row) -> bool:
    return bool(row.get("cpp_start_date") or row.get("cin_plan_start_date"))


def _latest_closure(rows: list[Row]) -> tuple[date | None, str | None]:
    """The closure of the latest return that states one, with its own reason (D6, D66); within a return the later."""
    stated = [
        (bool(r.get("closure_date")), int(r["return_year"]), as_date(r["closure_date"]), tidy(r.get("closure_reason")))
        for r in rows
    ]
    _, _, day, reason = max(stated, key=lambda c: (*c[:2], c[2] or date.min, c[3] or ""))
    return day, reason


def _earliest_need(rows: list[Row], needs: dict[str | None, int]) -> int | None:
    """The need of the earliest return with a valid code; two needs in that return: not known (A.7)."""
    found = [
        (int(r["return_year"]), needs[tidy(r.get("primary_need"))])
        for r in rows
        if tidy(r.get("primary_need")) in needs
    ]
    in_first_year = {need for year, need in found if year == min(found)[0]}
    return in_first_year.pop() if len(in_first_year) == 1 else None


# ---------------------------------------------------------------------------------------------------
# Plans (A.7, D10, D32, FV.OUT.S1, FV.OUT.S2)
# ---------------------------------------------------------------------------------------------------


def plans(cin_records: Iterable[Row], children: Children, spells: list[Row], returns: Returns) -> list[Row]:
    """One row per area, child, kind of plan (cpp, cin_plan) and start date, joined over the returns (A.7).

    An ended plan is not repeated, so the years are united; the end is the latest return's that states one. A plan
    that no return ends was over when its referral closed, else by 31 March of the last return that has it if the
    LA went on returning, else it goes on (D32). A report that ends before it starts is set aside (D10).
    """
    closed = {(s["la_id"], s["child_id"], s["referral_date"]): s["closure_date"] for s in spells}
    reports: dict[tuple, list[Row]] = defaultdict(list)
    for row in cin_records:
        for kind in ("cpp", "cin_plan"):
            start, end = as_date(row.get(f"{kind}_start_date")), as_date(row.get(f"{kind}_end_date"))
            if start is None or (end is not None and end < start):
                continue
            key = children.areas.la_id(row["la_code"]), children.child_of(row, "CIN"), kind, start
            reports[key].append({**row, "end": end})
    out = []
    for (la_id, child_id, kind, start), rows in sorted(reports.items()):
        stated = [(int(r["return_year"]), r["end"]) for r in rows if r["end"] is not None]
        if stated:
            end = max(stated)[1]
        else:
            # Under several referrals it goes on until the last has closed; a closure before the plan began cannot have
            # ended it (D66).
            closure = closed[la_id, child_id, max(as_date(r["referral_date"]) for r in rows)]
            end = closure if closure is not None and closure >= start else _unseen_end(rows, la_id, returns)
        out.append({"la_id": la_id, "child_id": child_id, "kind": kind, "start_date": start, "end_date": end})
    return out


# ---------------------------------------------------------------------------------------------------
# Periods of care (B.3, B.4, FV.OUT.P)
# ---------------------------------------------------------------------------------------------------


TABLE_OF_KIND = {"cin": "cin_records", "cla": "cla_episodes", "assessment": "cin_assessments"}


class Returns:
    """Which returns the extracts hold: years by LA code, for the census (cin) and looked-after children (cla).

    assessment: censuses that hold factors of assessments, which national extracts never do.
    windows: the days to which landing cut the rows of a table (D8), where it did.
    """

    def __init__(
        self,
        cin_records: Iterable[Row],
        cla_episodes: Iterable[Row],
        seeds: dict,
        areas: Areas,
        windows: Iterable[Row] = (),
        assessments: Iterable[Row] = (),
    ) -> None:
        self.areas = areas
        self.sent: dict[str, set[tuple[str | None, int]]] = {"cin": set(), "cla": set(), "assessment": set()}
        self._last_years: dict[tuple[str, str], int] = {}
        self._has: dict[tuple[str, str, int], bool] = {}
        with_factors = (row for row in assessments if factors_of(row))
        for kind, rows in (("cin", cin_records), ("cla", cla_episodes), ("assessment", with_factors)):
            for row in rows:
                self.sent[kind].add((tidy(row["la_code"]), int(row["return_year"])))
        self.windows = {r["landing_table"]: (as_date(r["first_date"]), as_date(r["last_date"])) for r in windows}
        self.valid: dict[tuple[str, int], set[str | None]] = defaultdict(set)
        for row in seeds["local_authority_codes"]:
            code = tidy(row["la_code"])
            for year in range(int(row["first_return_year"]), int(row["last_return_year"]) + 1):
                self.valid[areas.la_id(code), year].add(code)

    def areas_seen(self) -> set[str]:
        """The areas of the extracts."""
        return {self.areas.la_id(code) for sent in self.sent.values() for code, _ in sent}

    def last_year(self, kind: str, la_id: str) -> int:
        """The last year in which the area returned."""
        if (kind, la_id) not in self._last_years:
            years = [year for code, year in self.sent[kind] if self.areas.la_id(code) == la_id]
            self._last_years[kind, la_id] = max(years)
        return self._last_years[kind, la_id]

    def last_whole_year(self, kind: str, la_id: str) -> int | None:
        """The last year in which the area returned under all codes that were valid; None where it never did."""
        years = {year for code, year in self.sent[kind] if self.areas.la_id(code) == la_id}
        return max((year for year in years if self.has(kind, la_id, year)), default=None)

    def has(self, kind: str, la_id: str, year: int) -> bool:
        """Whether every code of the area that was valid in the year returned; one that is in no register, itself."""
        if (kind, la_id, year) not in self._has:
            came = {code for code, sent in self.sent[kind] if sent == year and self.areas.la_id(code) == la_id}
            self._has[kind, la_id, year] = bool(came) and len(came) >= len(self.valid.get((la_id, year), ()))
        return self._has[kind, la_id, year]

    def cover(self, kind: str, la_id: str, first_day: date, last_day: date) -> bool:
        """Whether the area returned in every year of a stretch of days, and landing kept them (FV.SAMPLE.5, D8)."""
        first, last = self.windows.get(TABLE_OF_KIND[kind], (first_day, last_day))
        return (
            first <= first_day
            and last_day <= last
            and all(self.has(kind, la_id, y) for y in range(return_year_of(first_day), return_year_of(last_day) + 1))
        )


def care_periods(cla_episodes: Iterable[Row], children: Children, seeds: dict, returns: Returns) -> list[Row]:
    """Episodes of care chained into periods of care, per area and child (B.3).

    end_reason: why the last episode ceased, if it was stated (FV.OUT.S4). placements: those of its episodes in
    order (FV.OUT.S3).

    Short breaks (V3, V4) are no care in the sense of the outcome and leave before anything else is done;
    an episode that is open on 31 March comes again in the next return and counts once, as the latest
    return has it.
    """
    respite = {tidy(r["legal_status_code"]) for r in seeds["legal_status_codes"] if is_yes(r["is_respite"])}
    latest: dict[tuple, tuple] = {}
    for row in cla_episodes:
        if tidy(row.get("legal_status")) in respite:
            continue
        key = (
            children.areas.la_id(row["la_code"]),
            children.child_of(row, "SSDA903"),
            as_date(row["episode_start_date"]),
        )
        report = _report_of_episode(row)
        latest[key] = max(report, latest.get(key, report))
    episodes: dict[tuple, list[Row]] = defaultdict(list)
    for (la_id, child_id, start), (year, _, end, ceased, new, placement, stated) in sorted(latest.items()):
        episode = {
            # A period cannot start after one of its episodes (C.1).
            "stated_start": stated if date.min < stated <= start else None,
            "start": start,
            "end": None if end == date.min else end,
            "ceased": ceased,
            "new": new,
            "placement": placement,
            "over_by": date(year, 3, 31) if year < returns.last_year("cla", la_id) else None,
        }
        episodes[la_id, child_id].append(episode)
    return [
        {"la_id": la_id, "child_id": child_id, **period}
        for (la_id, child_id), of_child in episodes.items()
        for period in chain_episodes(of_child)
    ]


def _report_of_episode(row: Row) -> tuple:
    """What one return says of an episode, so that the greatest is the one to take.

    The latest return; within a return an ended episode before an open one, the later end first.
    A reason ceased without a date ('-10' of the national file, B.2) does not end an episode.
    """
    end = as_date(row.get("episode_end_date"))
    ceased = tidy(row.get("reason_episode_ceased"))
    if ceased == "-10":
        end, ceased = None, None
    new, placement = tidy(row.get("reason_for_new_episode")), tidy(row.get("placement"))
    stated = as_date(row.get("period_start_date")) or date.min
    return int(row["return_year"]), end is not None, end or date.min, ceased or "", new or "", placement or "", stated


def chain_episodes(episodes: list[Row]) -> list[Row]:
    """Each period of care of one child in one LA; episodes come ordered by start.

    A new period begins at the first episode; after an open episode if a start (S) follows; after X1 if a start
    follows a gap (any other gap after X1 is one of the record, not of care); after an end for good at a gap
    or a start. A period without an end is open, unless the LA went on reporting without it: then it was over
    by the end of the last year that reports it, or at the next start. An X1 in the last report of the LA means
    that care goes on; one after which nothing or a new start follows ended care that day (DECISIONS D7).
    """
    periods: list[list[Row]] = []
    for episode in episodes:
        if not periods or _begins_a_period(episode, periods[-1][-1]):
            periods.append([])
        periods[-1].append(episode)
    out = []
    for number, of_period in enumerate(periods):
        last = of_period[-1]
        following = _start_of(periods[number + 1]) if number + 1 < len(periods) else None
        goes_on = last["ceased"] == "X1" and following is None and last["over_by"] is None
        stated = None if goes_on else last["end"]
        end = min((d for d in (stated or last["over_by"], following) if d is not None), default=None)
        out.append(
            {
                "care_start_date": _start_of(of_period),
                "care_end_date": end,
                "end_reason": last["ceased"] if last["ceased"] not in {"", "X1"} and stated and stated == end else None,
                "is_end_inferred": stated is None and end is not None,
                # Where the first episode is not seen, neither is the first placement (C.1).
                "placements": [e["placement"] or None for e in of_period]
                if _start_of(of_period) == of_period[0]["start"]
                else [None],
            }
        )
    return out


def _start_of(episodes: list[Row]) -> date:
    """The start of a period: of its first episode, or an earlier one that the file of one row a year states (D42)."""
    return min(episode["stated_start"] or episode["start"] for episode in episodes)


def _begins_a_period(episode: Row, previous: Row) -> bool:
    if episode["stated_start"] and previous["stated_start"]:
        return bool(episode["stated_start"] != previous["stated_start"])
    is_start = episode["new"] == "S"
    if previous["end"] is None:
        return is_start
    is_gap = episode["start"] > previous["end"]
    if previous["ceased"] == "X1":
        return is_gap and is_start
    return is_gap or is_start


# ---------------------------------------------------------------------------------------------------
# Programme and trial period (FV.PROG.1 to 3, FV.PROG.5)
# ---------------------------------------------------------------------------------------------------


class Reading:
    """One way of reading an outcome, as its row says (FV.OUT.*): what is measured, from where, for how long."""

    def __init__(self, row: Row, seeds: dict) -> None:
        self.outcome_id, self.reading_id = row["outcome_id"], row["reading_id"]
        self.is_default = is_yes(row["is_default"])
        self.is_trend = is_yes(row["is_trend_reading"])
        self.anchor, self.measure = tidy(row["anchor"]), tidy(row["measure"])
        self.window_months = int(row["window_months"]) if row["window_months"] else None
        self.window_terms = int(row["window_terms"]) if row["window_terms"] else None
        self.is_already_looked_after_excluded = is_yes(row["is_already_looked_after_excluded"])
        self.is_censored_at_18 = is_yes(row["is_censored_at_18"])
        self.turning_18_exclusion = tidy(row["turning_18_exclusion"])
        self.observable_from = as_date(row["observable_from_date"])
        outcome = next(r for r in seeds["outcomes"] if r["outcome_id"] == self.outcome_id)
        self.source_kind, self.outcome_column = outcome["source_kind"], outcome["outcome_column"]


class Programme:
    """A programme as its rows describe it: LAs and dates, trial period, ages, outcomes."""

    def __init__(self, row: Row, seeds: dict, areas: Areas) -> None:
        self.programme_id = row["programme_id"]
        self.minimum_age, self.maximum_age = int(row["minimum_age_years"]), int(row["maximum_age_years"])
        self.referral_basis = tidy(row["referral_basis"])
        self.treated_minimum_time_pct = float(row["treated_minimum_time_pct"])
        self.treated_minimum_days = int(row["treated_minimum_days"])
        las = [r for r in seeds["programme_local_authorities"] if r["programme_id"] == self.programme_id]
        treatment = [r for r in las if tidy(r["role"]) == "TREATMENT" and as_date(r["go_live_date"])]
        self.go_live = {areas.la_id(r["la_code"]): as_date(r["go_live_date"]) for r in treatment}
        self.trailblazers = {
            areas.la_id(r["la_code"]): as_date(r["go_live_date"]) for r in las if tidy(r["role"]) == "TRAILBLAZER"
        }
        self.embedding = {
            areas.la_id(r["la_code"]): (as_date(r["embedding_start_date"]), as_date(r["embedding_end_date"]))
            for r in las
            if as_date(r["embedding_start_date"]) and as_date(r["embedding_end_date"])
        }
        self.trial_start, self.trial_end = self._trial_period(row, treatment)
        self.readings = [
            Reading(r, seeds) for r in seeds["programme_outcomes"] if r["programme_id"] == self.programme_id
        ]
        self.samples: dict[str, tuple[str | None, set[str]]] = {
            tidy(r["sample_id"]) or "": (tidy(r["referral_basis"]), set())
            for r in seeds["referral_samples"]
            if r["programme_id"] == self.programme_id
        }
        for r in seeds["sample_factors"]:
            if r["programme_id"] == self.programme_id:
                self.samples[tidy(r["sample_id"]) or ""][1].add(r["assessment_factor_code"])

    def counts(self, referral: Row, sample_id: str = "REFERRAL") -> bool:
        """Whether a referral counts in a sample: on its basis (FV.SAMPLE.6), with one of its factors if it has any."""
        basis, factors = self.samples.get(sample_id, (self.referral_basis, set()))
        if factors and not referral["factors"] & factors:
            return False
        if basis == "WITHOUT_NFA":
            return not referral["is_nfa"]
        if basis == "EPISODES_OF_NEED":
            return bool(referral["is_need"])
        return True

    def is_of_age(self, age_months: int | None) -> bool:
        """Whether an age is one of the programme's (FV.SAMPLE.1)."""
        return age_months is not None and self.minimum_age <= age_months // 12 <= self.maximum_age

    def is_in_trial(self, day: date) -> bool:
        """Whether a day lies in the trial period, both ends included (FV.PROG.3)."""
        return self.trial_start <= day <= self.trial_end

    def is_treated(self, la_id: str, day: date) -> bool:
        """On or after the go-live day of a treatment LA (FV.TREAT.1)."""
        return la_id in self.go_live and day >= self.go_live[la_id]

    def is_treated_with_trailblazer(self, la_id: str, day: date) -> bool | None:
        """The same with the trailblazer as a treatment LA; None there while its date is not known (FV.TREAT.5)."""
        if la_id not in self.trailblazers:
            return self.is_treated(la_id, day)
        go_live = self.trailblazers[la_id]
        return None if go_live is None else day >= go_live

    def is_embedding(self, la_id: str, day: date) -> bool:
        """In the embedding period of the LA, both ends included; an LA without both dates has none (FV.TREAT.4)."""
        first, last = self.embedding.get(la_id, (date.max, date.min))
        return first <= day <= last

    @staticmethod
    def _trial_period(row: Row, treatment: list[Row]) -> tuple[date, date]:
        """Some months before the first go-live until some months after the last one (FV.PROG.3).

        Both ends count. A last go-live that is known by month only runs to the end of the month.
        """
        first = min(as_date(r["go_live_date"]) for r in treatment)
        last = max(treatment, key=lambda r: as_date(r["go_live_date"]))
        start = add_months(first, -int(row["months_before_first_go_live"]))
        end = add_months(as_date(last["go_live_date"]), int(row["months_after_last_go_live"]))
        if tidy(last["date_precision"]) == "MONTH":
            end = end_of_month(end)
        overrides = row.get("trial_start_date_override"), row.get("trial_end_date_override")
        return as_date(overrides[0]) or start, as_date(overrides[1]) or end


# ---------------------------------------------------------------------------------------------------
# The child: birth and covariates (FV.COV)
# ---------------------------------------------------------------------------------------------------


class ChildRecord:
    """All rows of one child from every table."""

    def __init__(self) -> None:
        self.cin: list[Row] = []
        self.cla: list[Row] = []
        self.census: list[Row] = []
        self.absence: list[Row] = []
        self.referrals: list[Row] = []
        self.periods: list[Row] = []
        self.plans: list[Row] = []


def birth_of(record: ChildRecord) -> tuple[int, int] | None:
    """Year and month of birth: the latest return's real one, else the latest expected one (A.5)."""
    real, expected = [], []
    for row in record.cin + record.cla:
        birth = birth_month_of(row)
        if birth is not None:
            is_expected = is_yes(row.get("is_expected_birth"))
            (expected if is_expected else real).append((int(row["return_year"]), birth))
    found = real or expected
    return min((b for year, b in found if year == max(found)[0]), default=None)


def is_unborn_at(day: date, la_id: str, birth: tuple[int, int] | None, record: ChildRecord, areas: Areas) -> bool:
    """Born, or expected, in a later month than the referral, or unborn by the LA's own return (A.5)."""
    if birth is not None and birth > (day.year, day.month):
        return True
    return any(
        (is_yes(row.get("is_unborn")) or is_placeholder_birth(row))
        for row in record.cin
        if int(row["return_year"]) == return_year_of(day) and areas.la_id(row["la_code"]) == la_id
    )


def gender_of(record: ChildRecord, gender_codes: list[Row]) -> int:
    """Gender over all CIN and CLA records: 1, 2, 3; 0 not recorded; 4 when records conflict (FV.COV.2).

    The codes changed in the 2025 returns (1/2 became M/F), so a code is read by source and year. A code
    the list does not know in that year counts as not recorded, and not recorded conflicts with nothing.
    """
    recorded = set()
    for source, rows in (("CIN", record.cin), ("SSDA903", record.cla)):
        for row in rows:
            recorded.add(_gender_code(source, int(row["return_year"]), tidy(row.get("gender")), gender_codes))
    recorded.discard(0)
    if len(recorded) > 1:
        return 4
    return recorded.pop() if recorded else 0


def _gender_code(source: str, year: int, code: str | None, gender_codes: list[Row]) -> int:
    for row in gender_codes:
        first, last = row.get("first_return_year"), row.get("last_return_year")
        if (
            row["source_kind"] == source
            and tidy(row["gender_code"]) == code
            and (not first or int(first) <= year)
            and (not last or year <= int(last))
        ):
            return int(row["gender"])
    return 0


def ethnicity_of(record: ChildRecord, groups: dict[str | None, str]) -> tuple[str | None, str]:
    """Ethnic code and group over all CIN and CLA records (FV.COV.2).

    Refused, not obtained, blank and unknown codes say nothing. More than one real code: the code is
    missing, and the group stays if all the codes lie in it.
    """
    codes = {tidy(row.get("ethnicity")) for row in record.cin + record.cla}
    real = {code for code in codes if groups.get(code, "Missing") != "Missing"}
    real_groups = {groups[code] for code in real}
    code = next(iter(real)) if len(real) == 1 else None
    return code, (real_groups.pop() if len(real_groups) == 1 else "Missing")


def is_disabled(record: ChildRecord, up_to: date = date.max) -> bool:
    """Whether any CIN record says so: 1 or any code of the census but NONE (FV.COV.2, the maximum).

    up_to: records of returns after the one that covers this day say nothing (the alternative).
    """
    return any(
        part not in {"", "0", "NONE"}
        for row in record.cin
        if int(row["return_year"]) <= return_year_of(up_to)
        for part in (p.strip() for p in (tidy(row.get("disability")) or "").split(","))
    )


def is_uasc(record: ChildRecord, up_to: date = date.max) -> bool:
    """Whether any looked-after record says unaccompanied asylum-seeking child (FV.COV.2; up_to as for disability)."""
    return any(is_yes(row.get("uasc_status")) for row in record.cla if int(row["return_year"]) <= return_year_of(up_to))


INFANT_YEARS = {"R", "0", "1", "2"}


def is_fsm(record: ChildRecord, referral_date: date) -> bool | None:
    """Ever on free school meals in a spring census up to the academic year of the referral (FV.COV.2).

    The pupil premium measure counts in reception, year 1 and year 2, where every child gets free meals
    (FV.CEM.6). Without any census by then: not observed.
    """
    by_then = [r for r in record.census if int(r["census_year"]) <= academic_year_of(referral_date)]
    if not by_then:
        return None
    return any(
        is_yes(r.get("fsm_eligible"))
        or is_yes(r.get("ever_fsm_6"))
        or is_yes(r.get("ever_fsm_all"))
        or (tidy(r.get("nc_year")) in INFANT_YEARS and is_yes(r.get("ever_fsm_6_p")))
        for r in by_then
    )


def fsm_group(record: ChildRecord, day: date) -> str:
    """Free school meals in the last six years, or pupil premium in an infant year, for the strata (FV.CEM.6, D17)."""
    this_year = academic_year_of(day)
    by_then = [r for r in record.census if int(r["census_year"]) <= this_year]
    if not by_then:
        return "not observed"
    latest = max(int(r["census_year"]) for r in by_then)
    is_eligible = any(
        (int(r["census_year"]) == latest and is_yes(r.get("ever_fsm_6")))
        or (int(r["census_year"]) > this_year - 6 and is_yes(r.get("fsm_eligible")))
        or (tidy(r.get("nc_year")) in INFANT_YEARS and is_yes(r.get("ever_fsm_6_p")))
        for r in by_then
    )
    return "eligible" if is_eligible else "not eligible"


def previous_cpp_count(record: ChildRecord, day: date, index: Row | None, areas: Areas) -> int:
    """Child protection plans before a day: the index referral, or the start of care (FV.COV.1).

    The plans seen in any LA that started before the day and are not the index referral's own; or, if larger,
    what the earliest plan on or after it says of earlier plans (NumberOfPreviousCPP, which knows plans from
    before the extracts). A plan is an LA and a start date.
    """
    found: dict[tuple[date, str], list[Row]] = defaultdict(list)
    for row in record.cin:
        start, end = as_date(row.get("cpp_start_date")), as_date(row.get("cpp_end_date"))
        if start is not None and (end is None or end >= start):
            found[start, areas.la_id(row["la_code"])].append(row)
    earlier = [
        reports
        for (start, la_id), reports in found.items()
        if start < day
        and not (
            index is not None
            and la_id == index["la_id"]
            and any(as_date(r["referral_date"]) == index["referral_date"] for r in reports)
        )
    ]
    next_start = min((start for start, _ in found if start >= day), default=None)
    stated = []
    for (start, _), reports in found.items():
        first = min(int(r["return_year"]) for r in reports)
        counts = [r.get("cpp_previous_count") for r in reports if int(r["return_year"]) == first]
        if start == next_start:
            stated += [int(c) for c in counts if c is not None]
    return max(len(earlier), *stated, 0)


def need_at(day: date, la_id: str, referrals: list[Row]) -> int | None:
    """The need of the latest referral up to a day; of several that day, one in the same LA first (FV.COV.1)."""
    latest = max((r["referral_date"] for r in referrals if r["referral_date"] <= day), default=None)
    of_day = [r for r in referrals if r["referral_date"] == latest]
    of_day.sort(key=lambda r: (r["la_id"] != la_id, *_rank_on_the_day(r)))
    return of_day[0]["primary_need"] if of_day else None


# ---------------------------------------------------------------------------------------------------
# The child's outcome row (FV.SAMPLE, FV.TREAT.1, FV.OUT.P)
# ---------------------------------------------------------------------------------------------------


def index_candidates(referrals: list[Row], programme: Programme, sample_id: str = "REFERRAL") -> list[Row]:
    """The first referral in the trial period, or several of one day that no rule tells apart (FV.SAMPLE.1).

    sample_id: REFERRAL, or an alternative sample of the programme (FV.PROG.5).

    On one day in two LAs: the one with further action, then the one that stayed open longest. An open
    referral has stayed open longest; one without further action and without a closure was never open
    (section 0, fact 3). What is left would go to a hash.
    """
    in_trial = [r for r in referrals if programme.is_in_trial(r["referral_date"]) and programme.counts(r, sample_id)]
    return _best_of_first_day(in_trial, "referral_date", _rank_on_the_day)


def care_candidates(periods: list[Row], programme: Programme) -> list[Row]:
    """The first period of care that starts in the trial period (FV.SAMPLE.3); of one day, the longest."""
    in_trial = [p for p in periods if programme.is_in_trial(p["care_start_date"])]
    return _best_of_first_day(
        in_trial, "care_start_date", lambda p: -((p["care_end_date"] or OPEN_FOR_EVER) - p["care_start_date"]).days
    )


def _best_of_first_day(rows: list[Row], column: str, rank: Callable[[Row], Any]) -> list[Row]:
    of_day = [r for r in rows if r[column] == min(x[column] for x in rows)]
    return [r for r in of_day if rank(r) == min(rank(x) for x in of_day)]


def _rank_on_the_day(referral: Row) -> tuple[bool, int]:
    if referral["closure_date"] is not None:
        closed = referral["closure_date"]
    else:
        closed = referral["referral_date"] if referral["is_nfa"] else OPEN_FOR_EVER
    return referral["is_nfa"], -(closed - referral["referral_date"]).days


def is_looked_after_at(day: date, periods: list[Row]) -> bool:
    """In a period of care, in any LA, that began before the day and lasts beyond it (FV.OUT.P)."""
    return any(p["care_start_date"] < day and (p["care_end_date"] is None or p["care_end_date"] > day) for p in periods)


class Anchor:
    """From where a child is followed: its index referral, or the start of its first period of care in the trial.

    kind: REFERRAL, CARE_START, or an alternative sample of referrals by its id.

    LA, age and treatment are those at the anchor (FV.TREAT.1).
    """

    def __init__(self, kind: str, start: Row, record: ChildRecord, programme: Programme, context: Context) -> None:
        self.kind, self.start, self.la_id = kind, start, start["la_id"]
        self.day: date = start["care_start_date" if kind == "CARE_START" else "referral_date"]
        self.birth = birth_of(record)
        # A child in care is born, whatever its month of birth says; only a referral can be about the unborn (D66).
        self.is_unborn = kind != "CARE_START" and is_unborn_at(self.day, self.la_id, self.birth, record, context.areas)
        self.age_months = None
        if self.is_unborn:
            self.age_months = 0
        elif self.birth is not None:
            self.age_months = max(months_of((self.day.year, self.day.month)) - months_of(self.birth), 0)
        self.is_of_age = programme.is_of_age(self.age_months)
        self.is_treated = programme.is_treated(self.la_id, self.day)
        self.is_looked_after = is_looked_after_at(self.day, record.periods)
        self.eighteenth_birthday = date(self.birth[0] + 18, self.birth[1], 1) if self.birth else None


class Window:
    """The days in which an outcome may happen, both ends included (FV.OUT.*).

    last: the last day; of a window of terms, that of the last term, None where the register of terms ends before.
    end: where days are counted, the first day that does not count (FV.OUT.S2). Where a programme censors at 18
    nothing from the birthday on counts (FV.SAMPLE.5).
    """

    def __init__(self, reading: Reading, anchor: Anchor, context: Context) -> None:
        self.first = anchor.day
        if reading.window_months is None:
            terms = context.terms.after(anchor.day, reading.window_terms or 0)
            whole = len(terms) == reading.window_terms
            self.last = self.end = context.terms.last_day(*terms[-1][1:]) if whole else None
            return
        self.last = self.end = add_months(anchor.day, reading.window_months)
        birthday = anchor.eighteenth_birthday
        if reading.is_censored_at_18 and birthday is not None and birthday <= self.last:
            self.last, self.end = birthday - timedelta(days=1), birthday

    def has(self, day: date | None) -> bool:
        """Whether a day lies in the window."""
        return day is not None and self.last is not None and self.first <= day <= self.last


def first_care_in(window: Window, record: ChildRecord) -> list[Row]:
    """The first periods of care that start in the window, several if they start on one day."""
    starts = [p for p in record.periods if window.has(p["care_start_date"])]
    return [p for p in starts if p["care_start_date"] == min(x["care_start_date"] for x in starts)]


def is_kinship_first_placement(period: Row, context: Context) -> bool | None:
    """Whether the first placement is foster care by a relative or friend (FV.OUT.S3).

    Temporary placements are read through to the next one. None where no other follows, or where the placement
    is not recorded or not in the list: then nobody knows.
    """
    for placement in period["placements"]:
        known = context.placements.get(placement)
        if known is None:
            return None
        if not is_yes(known["is_temporary"]):
            return is_yes(known["is_kinship_foster"])
    return None


def days_on(measure: str, window: Window, record: ChildRecord) -> int:
    """Days in the window on plans, or of open episodes of need, in any LA, no day twice (FV.OUT.S2).

    The window's last day does not count, as the end day of a plan does not. A day on both kinds of plan is one on
    a child protection plan (D32).
    """
    if measure == "CIN_EPISODE":
        spells = [(r["referral_date"], r["open_until"]) for r in record.referrals]
        return len(union_days(spells, window.first, window.end))
    of_kind = {
        kind: union_days(
            [(p["start_date"], p["end_date"]) for p in record.plans if p["kind"] == kind], window.first, window.end
        )
        for kind in ("cpp", "cin_plan")
    }
    chosen = {
        "CPP": of_kind["cpp"],
        "CIN_PLAN": of_kind["cin_plan"] - of_kind["cpp"],
        "PLAN": of_kind["cpp"] | of_kind["cin_plan"],
    }
    return len(chosen[measure])


# ---------------------------------------------------------------------------------------------------
# Absence (C.2, D33, FV.OUT.S5)
# ---------------------------------------------------------------------------------------------------

HALVES = {"autumn": ("autumn",), "spring": ("spring",), "summer": ("summer", "summer6th")}
MOST_SESSIONS_OF_A_YEAR = 420


class SchoolTerms:
    """Terms in order of their first day: autumn 1 September, spring 1 January, summer Easter Monday."""

    def __init__(self, seeds: dict) -> None:
        rows = {(int(r["school_year"]), r["term"]): r for r in seeds["school_terms"]}
        self.collected: dict[tuple[int, str], bool] = {}
        begins: list[tuple[date, int, str]] = []
        for year in sorted({y for y, _ in rows}):
            days = {
                "autumn": date(year - 1, 9, 1),
                "spring": date(year, 1, 1),
                "summer": as_date(rows[year, "summer"]["first_date"]),
            }
            for term, begin in days.items():
                assert begin is not None
                begins.append((begin, year, term))
                self.collected[year, term] = all(is_yes(rows[year, half]["is_collected"]) for half in HALVES[term])
        self.begins = sorted(begins)

        self._last_days = {(year, half): as_date(row["last_date"]) for (year, half), row in rows.items()}

    def last_day(self, school_year: int, term: str) -> date | None:
        """The last day of a term; of summer, of its second half."""
        return self._last_days[school_year, HALVES[term][-1]]

    def after(self, day: date, count: int) -> list[tuple[date, int, str]]:
        """The closest terms that begin after a day: first day, school year, term."""
        return [term for term in self.begins if term[0] > day][:count]


def is_of_school_age(birth: tuple[int, int] | None, school_year: int) -> bool:
    """Aged 5 to 15 on 31 August before the school year (FV.OUT.S5); the month is all that is known of the birth."""
    if birth is None:
        return False
    return 5 <= (months_of((school_year - 1, 8)) - months_of(birth)) // 12 <= 15


def sessions_of(record: ChildRecord, school_year: int, term: str, terms: SchoolTerms) -> tuple[int, int] | None:
    """Possible sessions of a term and those missed without authorisation, over all enrolments (C.2).

    An enrolment states a half where it states both figures and the half was collected (D66). None where no enrolment
    states the term (of summer: both halves), and where the year has more sessions than a year can have.
    """
    stated: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in (r for r in record.absence if int(r["school_year"]) == school_year):
        for name, halves in HALVES.items():
            for half in halves if terms.collected[school_year, name] else ():
                figures = row[f"sessions_possible_{half}"], row[f"unauthorised_absence_{half}"]
                if None not in figures:
                    stated[half].append(figures)
    if sum(possible for halves in stated.values() for possible, _ in halves) > MOST_SESSIONS_OF_A_YEAR:
        return None
    of_term = [stated[half] for half in HALVES[term]]
    if not all(of_term):
        return None
    return sum(p for half in of_term for p, _ in half), sum(u for half in of_term for _, u in half)


class Term:
    """One of the terms that count for a child: its sessions, None where nobody collected or stated them."""

    def __init__(self, order: int, begin: date, school_year: int, term: str, anchor: Anchor, sessions: Any) -> None:
        self.order, self.begin, self.school_year, self.term = order, begin, school_year, term
        self.is_of_school_age = is_of_school_age(anchor.birth, school_year)
        self.sessions: tuple[int, int] | None = sessions

    def row(self, referral_date: date) -> Row:
        """The row of the term; measured where there is a rate, which needs a possible session."""
        is_measured = self.sessions is not None and self.sessions[0] > 0
        possible, unauthorised = self.sessions if self.sessions and is_measured else (None, None)
        months = months_of((self.begin.year, self.begin.month)) - months_of((referral_date.year, referral_date.month))
        return {
            "term_order": self.order,
            "school_year": self.school_year,
            "term": self.term,
            "months_since_referral": months,
            "is_measured": is_measured,
            "sessions_possible_count": possible,
            "unauthorised_absence_count": unauthorised,
        }


def absence_terms(reading: Reading, anchor: Anchor, record: ChildRecord, context: Context) -> list[Term]:
    """The terms that count for a child."""
    following = context.terms.after(anchor.day, reading.window_terms or 0)
    return [
        Term(
            order,
            begin,
            school_year,
            term,
            anchor,
            sessions_of(record, school_year, term, context.terms),
        )
        for order, (begin, school_year, term) in enumerate(following, start=1)
    ]


# ---------------------------------------------------------------------------------------------------
# One outcome of one child (FV.OUT, FV.SAMPLE.2, FV.SAMPLE.3, FV.SAMPLE.5)
# ---------------------------------------------------------------------------------------------------


def is_in_sample(reading: Reading, anchor: Anchor, record: ChildRecord, context: Context) -> bool:
    """Whether a child is in the sample of a reading; whether its window is observed is asked elsewhere."""
    if reading.is_already_looked_after_excluded and anchor.is_looked_after:
        return False
    if reading.measure == "FIRST_PLACEMENT" and anchor.kind != "CARE_START":
        return bool(first_care_in(Window(reading, anchor, context), record))
    if reading.measure == "POOLED_TERMS":
        terms = absence_terms(reading, anchor, record, context)
        return len(terms) == reading.window_terms and all(t.is_of_school_age for t in terms)
    return not turns_18_first(reading, anchor, context)


def turns_18_first(reading: Reading, anchor: Anchor, context: Context) -> bool:
    """Whether the child turns 18 before its period of care ends (FV.SAMPLE.3).

    by_follow_up: before the end or the last day of the window, whichever is first. by_end_of_care: before the end;
    a period that still goes on is looked at up to the last day that the LA's returns cover. Where the reading
    censors at 18 instead, nobody leaves.
    """
    birthday = anchor.eighteenth_birthday
    if reading.turning_18_exclusion == "NONE" or reading.is_censored_at_18 or birthday is None:
        return False
    end = anchor.start["care_end_date"]
    if end is None:
        last_year = context.returns.last_whole_year("cla", anchor.la_id)
        end = date.max if last_year is None else date(last_year, 3, 31) + timedelta(days=1)
    if reading.turning_18_exclusion == "BY_FOLLOW_UP":
        end = min(end, Window(reading, anchor, context).last)
    return birthday < end


def is_fully_observed(
    reading: Reading, anchor: Anchor, record: ChildRecord, programme: Programme, context: Context
) -> bool:
    """Whether the returns show the outcome: they cover the window (FV.SAMPLE.5, D8), and state what is asked of them.

    The LA must have returned the outcome's source in every year of the window, and the source of the anchor (the
    census for a referral, with assessments for a sample by their factors, the return on looked-after children for a
    start of care) since the trial began.
    """
    goes_by_factors = bool(programme.samples.get(anchor.kind, (None, set()))[1])
    entries = "cla" if anchor.kind == "CARE_START" else "assessment" if goes_by_factors else "cin"
    if not context.returns.cover(entries, anchor.la_id, programme.trial_start, anchor.day):
        return False
    if reading.measure == "POOLED_TERMS":
        terms = absence_terms(reading, anchor, record, context)
        stated = [t.sessions for t in terms if t.sessions is not None]
        return len(stated) == reading.window_terms and sum(possible for possible, _ in stated) > 0
    window = Window(reading, anchor, context)
    if reading.measure == "FIRST_PLACEMENT":
        periods = first_care_of(reading, anchor, record, context)
        if periods and is_kinship_first_placement(periods[0], context) is None:
            return False
    if reading.observable_from is not None and window.first < reading.observable_from:
        return False
    return context.returns.cover(reading.source_kind, anchor.la_id, window.first, window.last)


def first_care_of(reading: Reading, anchor: Anchor, record: ChildRecord, context: Context) -> list[Row]:
    """The period of care whose first placement counts; of two that start one day, the one in the child's LA first."""
    if anchor.kind == "CARE_START":
        return [anchor.start]
    periods = first_care_in(Window(reading, anchor, context), record)
    return sorted(periods, key=lambda p: p["la_id"] != anchor.la_id)


def outcome_value(reading: Reading, anchor: Anchor, record: ChildRecord, context: Context) -> Any:
    """The value of an outcome, as the rows that there are show it."""
    window = Window(reading, anchor, context)
    if reading.measure == "CARE_START":
        return bool(first_care_in(window, record))
    if reading.measure == "CPP_START":
        return any(p["kind"] == "cpp" and window.has(p["start_date"]) for p in record.plans)
    if reading.measure in {"PLAN", "CPP", "CIN_PLAN", "CIN_EPISODE"}:
        return days_on(reading.measure, window, record)
    if reading.measure == "FIRST_PLACEMENT":
        periods = first_care_of(reading, anchor, record, context)
        return is_kinship_first_placement(periods[0], context) if periods else None
    if reading.measure in {"PLANNED_RETURN", "ANY_RETURN"}:
        ceased = context.reasons_ceased.get(anchor.start["end_reason"])
        counts = "is_reunified_planned" if reading.measure == "PLANNED_RETURN" else "is_reunified_any"
        return ceased is not None and is_yes(ceased[counts]) and window.has(anchor.start["care_end_date"])
    if reading.measure == "POOLED_TERMS":
        stated = [t.sessions for t in absence_terms(reading, anchor, record, context) if t.sessions is not None]
        return 100 * sum(unauthorised for _, unauthorised in stated) / sum(possible for possible, _ in stated)
    raise ValueError(f"measure {reading.measure!r} is not written here")


# ---------------------------------------------------------------------------------------------------
# Treatment in other readings (FV.TREAT.2, FV.TREAT.3)
# ---------------------------------------------------------------------------------------------------


def time_under_programme(record: ChildRecord, programme: Programme) -> tuple[int, int]:
    """Days on open referrals in the trial period, in any LA, and those of them under the programme.

    A day is under the programme when a referral is open in a treatment LA that has gone live by then.
    """
    end = programme.trial_end + timedelta(days=1)
    spells = [(r["la_id"], r["referral_date"], r["open_until"]) for r in record.referrals]
    open_days = union_days([(a, b) for _, a, b in spells], programme.trial_start, end)
    treated_days: set[int] = set()
    for la_id, go_live in programme.go_live.items():
        own = [(a, b) for la, a, b in spells if la == la_id]
        treated_days |= union_days(own, max(programme.trial_start, go_live), end)
    return len(open_days), len(treated_days)


# ---------------------------------------------------------------------------------------------------
# Rows
# ---------------------------------------------------------------------------------------------------

REFERRAL_COLUMNS = (
    "la_id",
    "index_referral_date",
    "financial_year",
    "quarter_start_date",
    "is_treatment_la",
    "is_treated",
    "is_treated_by_share_of_time",
    "is_treated_by_days",
    "is_treated_with_trailblazer",
    "is_in_embedding_period",
    "age_at_referral_months",
    "is_unborn_at_referral",
    "is_looked_after_at_referral",
    "first_care_start_date",
    "first_care_start_date_in_window",
)


def child_row(
    child_id: ChildId, referral: Anchor | None, care: Anchor | None, record: ChildRecord, p: Programme, context: Context
) -> Row:
    """The wide row of a child: at its index referral, and at its first start of care in the trial period.

    Covariates are those at the referral; of a child in care without a referral, those at the start of care. An anchor
    outside the programme's ages is none where the other one is within them.
    """
    of_age = referral is not None and referral.is_of_age, care is not None and care.is_of_age
    if any(of_age):
        referral, care = (referral if of_age[0] else None), (care if of_age[1] else None)
    code, group = ethnicity_of(record, context.ethnic_groups)
    anchor = referral or care
    assert anchor is not None
    row: Row = {"programme_id": p.programme_id, "child_id": child_id, **dict.fromkeys(REFERRAL_COLUMNS)}
    if referral is not None:
        row |= referral_columns(referral, record, p, context)
    row |= {
        "is_linked_to_pupil": child_id[0] == "pupil",
        "is_in_age_range": of_age[0],
        "is_in_age_range_at_care_start": of_age[1],
        "care_start_la_id": care.la_id if care else None,
        "care_start_date": care.day if care else None,
        "age_at_care_start_months": care.age_months if care else None,
        "is_treated_at_care_start": care.is_treated if care else None,
        "gender": 0 if anchor.is_unborn else gender_of(record, context.gender_codes),
        "ethnicity": code,
        "ethnic_group": group,
        "is_disabled": is_disabled(record),
        "is_fsm": is_fsm(record, anchor.day),
        "is_uasc": is_uasc(record),
        "is_disabled_up_to_referral": is_disabled(record, anchor.day),
        "is_uasc_up_to_referral": is_uasc(record, anchor.day),
        "previous_cpp_count": previous_cpp_count(record, anchor.day, referral and referral.start, context.areas),
        "primary_need": referral.start["primary_need"]
        if referral
        else need_at(anchor.day, anchor.la_id, record.referrals),
        "la_fsm_pct": context.la_figures.latest(anchor.la_id, "pupils_fsm_pct", anchor.day),
        "la_white_british_pct": context.la_figures.latest(anchor.la_id, "pupils_white_british_pct", anchor.day),
        "has_other_innovation_programme": context.la_figures.has_other_programme(
            anchor.la_id, p.programme_id, anchor.day
        ),
    }
    return row


def referral_columns(referral: Anchor, record: ChildRecord, programme: Programme, context: Context) -> Row:
    """What the wide row says of the index referral."""
    day, la_id = referral.day, referral.la_id
    open_days, treated_days = time_under_programme(record, programme)
    share = 100 * treated_days >= programme.treated_minimum_time_pct * open_days if open_days else None
    first_care = min((q["care_start_date"] for q in record.periods if q["care_start_date"] >= day), default=None)
    primary = next(r for r in programme.readings if r.measure == "CARE_START" and r.is_default)
    in_window = Window(primary, referral, context).has(first_care)
    return {
        "la_id": la_id,
        "index_referral_date": day,
        "financial_year": financial_year_of(day),
        "quarter_start_date": quarter_start_of(day),
        "is_treatment_la": la_id in programme.go_live,
        "is_treated": referral.is_treated,
        "is_treated_by_share_of_time": share,
        "is_treated_by_days": treated_days >= programme.treated_minimum_days,
        "is_treated_with_trailblazer": programme.is_treated_with_trailblazer(la_id, day),
        "is_in_embedding_period": programme.is_embedding(la_id, day),
        "age_at_referral_months": referral.age_months,
        "is_unborn_at_referral": referral.is_unborn,
        "is_looked_after_at_referral": referral.is_looked_after,
        "first_care_start_date": first_care,
        "first_care_start_date_in_window": first_care if in_window else None,
    }


DAYS_COLUMNS = {"CPP": "cpp_days", "CIN_PLAN": "cin_plan_days", "CIN_EPISODE": "cin_episode_days"}
OUTCOME_IDS = ("became_looked_after", "started_cpp", "plan_days", "kinship_care", "reunified", "unauthorised_absence")


def outcome_columns(
    anchors: dict[str, Anchor | None], record: ChildRecord, programme: Programme, context: Context
) -> tuple[Row, list[Row]]:
    """The outcome columns of the wide row, and one long row per reading of an anchor within the programme's ages.

    An outcome that is not fully observed, or whose sample the child is not in, is missing.
    """
    wide: Row = dict.fromkeys([r.outcome_column for r in context.all_readings] + [*DAYS_COLUMNS.values()])
    wide["plan_observable_share"] = None
    for outcome_id in OUTCOME_IDS:
        wide |= {f"is_in_sample__{outcome_id}": False, f"is_fully_observed__{outcome_id}": False}
    values = []
    for reading in programme.readings:
        anchor = anchors[reading.anchor or ""]
        if anchor is None or not anchor.is_of_age:
            continue
        in_sample = is_in_sample(reading, anchor, record, context)
        observed = is_fully_observed(reading, anchor, record, programme, context)
        value = outcome_value(reading, anchor, record, context) if observed and in_sample else None
        values.append(
            {
                "outcome_id": reading.outcome_id,
                "reading_id": reading.reading_id,
                "is_default": reading.is_default,
                "anchor": (reading.anchor or "").lower(),
                "la_id": anchor.la_id,
                "anchor_date": anchor.day,
                "window_end_date": Window(reading, anchor, context).last,
                "is_treated": anchor.is_treated,
                "age_at_anchor_months": anchor.age_months,
                "is_in_sample": in_sample,
                "is_fully_observed": observed,
                "outcome_value": value,
            }
        )
        if reading.is_default:
            wide |= {
                reading.outcome_column: value,
                f"is_in_sample__{reading.outcome_id}": in_sample,
                f"is_fully_observed__{reading.outcome_id}": observed,
            }
            if reading.outcome_id == "plan_days":
                wide["plan_observable_share"] = observable_share(reading, Window(reading, anchor, context))
        if reading.measure in DAYS_COLUMNS and reading.anchor == "REFERRAL":
            wide[DAYS_COLUMNS[reading.measure]] = value
    return wide, values


def stratum_keys(anchor: Anchor, record: ChildRecord, context: Context) -> Row:
    """What children are matched on exactly, coarsened, at the anchor of the outcome (FV.CEM.2 to 8)."""
    gender = 0 if anchor.is_unborn else gender_of(record, context.gender_codes)
    assert anchor.age_months is not None
    index = None if anchor.kind == "CARE_START" else anchor.start
    return {
        "la_id": anchor.la_id,
        "anchor_date": anchor.day,
        "financial_year": financial_year_of(anchor.day),
        "gender_group": 0 if gender == 4 else gender,
        "age_band": "0-3" if anchor.age_months < 48 else "4-12" if anchor.age_months < 156 else "13+",
        "ethnic_group": ethnicity_of(record, context.ethnic_groups)[1],
        "is_disabled": is_disabled(record),
        "fsm_group": fsm_group(record, anchor.day),
        "is_uasc": is_uasc(record),
        "has_previous_cpp": previous_cpp_count(record, anchor.day, index, context.areas) > 0,
    }


def observable_share(reading: Reading, window: Window) -> float:
    """The share of the window's days from which on both kinds of plan can be seen (FV.OUT.S2)."""
    seen_from = max(window.first, reading.observable_from or window.first)
    return max((window.end - seen_from).days, 0) / (window.end - window.first).days


class LaFigures:
    """What is known of an LA: published figures by date, and the innovation programmes it ran (FV.COV.3)."""

    def __init__(self, la_statistics: Iterable[Row], seeds: dict, areas: Areas) -> None:
        found: dict[tuple, list[float]] = defaultdict(list)
        for row in la_statistics:
            value = tidy(row["value"])
            # Markers such as c, x, z and u stand for no number (trap 25).
            if value is not None and re.fullmatch(r"-?\d+(\.\d+)?", value):
                found[areas.la_id(row["la_code"]), row["measure"], as_date(row["reference_date"])].append(float(value))
        self._figures: dict[tuple[str, str], list[tuple[date, float]]] = defaultdict(list)
        for (la_id, measure, day), values in found.items():
            self._figures[la_id, measure].append((day, sum(values) / len(values)))
        self._programmes = [
            (areas.la_id(r["la_code"]), r["programme_id"], as_date(r["start_date"]), as_date(r["end_date"]))
            for r in seeds["innovation_programmes"]
            if is_yes(r["is_default"])
        ]

    def latest(self, la_id: str, measure: str, day: date) -> float | None:
        """The figure of the most recent point before a day; of an area with several codes, their mean."""
        before = [figure for figure in self._figures[la_id, measure] if figure[0] < day]
        return max(before)[1] if before else None

    def has_other_programme(self, la_id: str, programme_id: str, day: date) -> bool:
        """Whether an innovation programme other than the evaluated one runs in the LA on a day."""
        return any(
            la == la_id and other != programme_id and start is not None and start <= day and (end is None or day <= end)
            for la, other, start, end in self._programmes
        )


class Context:
    """What is the same for all children: areas, code lists, terms, figures of LAs, what the extracts cover."""

    def __init__(self, seeds: dict, areas: Areas, returns: Returns, la_statistics: Iterable[Row]) -> None:
        self.la_figures = LaFigures(la_statistics, seeds, areas)
        self.areas = areas
        self.returns = returns
        self.gender_codes = seeds["gender_codes"]
        self.ethnic_groups = {tidy(r["ethnicity_code"]): r["ethnic_group"] for r in seeds["ethnicity_codes"]}
        self.placements = {tidy(r["placement_code"]): r for r in seeds["placement_codes"]}
        self.reasons_ceased = {tidy(r["reason_episode_ceased_code"]): r for r in seeds["reason_episode_ceased_codes"]}
        self.terms = SchoolTerms(seeds)
        self.all_readings = [Reading(r, seeds) for r in seeds["programme_outcomes"]]


def child_label(child_id: ChildId) -> str:
    """The child id as one text."""
    return "|".join(child_id)


def evaluate(
    tables: dict[str, list[Row]],
    seeds: dict[str, list[Row]],
    *,
    returns: Returns | None = None,
    only: set[ChildId] | None = None,
) -> dict[str, list[Row]]:
    """Every row of every programme, for all children in the tables.

    tables: the landing tables by name. seeds: the seeds by file name without suffix.
    returns: the returns of the whole extracts, where the tables are a part of them.
    only: the children to return, where the tables hold rows of others too.

    Returns referral_spells, care_periods, plans, child_outcomes (wide), outcome_values (a row per reading),
    absence_terms, and cem_strata (children with a value of a default reading, but those of ties). A programme
    without a treatment LA in the extracts has no children. is_alternative marks outcome_values of an LA that only
    a hash would have chosen.
    """
    areas = Areas(seeds["local_authority_successors"])
    children = Children(tables["cin_records"], tables["cla_children"], areas)
    activities = [row for name in ("cin_assessments", "cin_section47") for row in tables.get(name, [])]
    returns = returns or Returns(
        tables["cin_records"],
        tables["cla_episodes"],
        seeds,
        areas,
        tables.get("data_windows", []),
        tables.get("cin_assessments", []),
    )
    found: dict[str, list[Row]] = {
        "referral_spells": referral_spells(tables["cin_records"], children, seeds, returns, activities),
        "care_periods": care_periods(tables["cla_episodes"], children, seeds, returns),
        "child_outcomes": [],
        "outcome_values": [],
        "absence_terms": [],
        "cem_strata": [],
    }
    found["plans"] = plans(tables["cin_records"], children, found["referral_spells"], returns)
    records = records_of(tables, children, found)
    context = Context(seeds, areas, returns, tables.get("la_statistics", []))
    for programme_row in seeds["programmes"]:
        programme = Programme(programme_row, seeds, areas)
        if not returns.areas_seen() & set(programme.go_live):
            continue
        for child_id, record in sorted(records.items()):
            if only is None or child_id in only:
                add_child(found, child_id, record, programme, context)
    if only is None:
        return found
    return {name: [r for r in rows if r["child_id"] in only] for name, rows in found.items()}


def records_of(
    tables: dict[str, list[Row]], children: Children, found: dict[str, list[Row]]
) -> dict[ChildId, ChildRecord]:
    """All rows of each child."""
    records: dict[ChildId, ChildRecord] = defaultdict(ChildRecord)
    for row in tables["cin_records"]:
        records[children.child_of(row, "CIN")].cin.append(row)
    for row in tables["cla_children"]:
        records[children.child_of(row, "SSDA903")].cla.append(row)
    for name in ("npd_pupils", "npd_absence"):
        for row in tables.get(name, []):
            pupil: ChildId = ("pupil", tidy(row["pupil_id"]) or "")
            if pupil in records:
                (records[pupil].census if name == "npd_pupils" else records[pupil].absence).append(row)
    for name, attribute in (("referral_spells", "referrals"), ("care_periods", "periods"), ("plans", "plans")):
        for row in found[name]:
            getattr(records[row["child_id"]], attribute).append(row)
    return records


def add_child(
    found: dict[str, list[Row]], child_id: ChildId, record: ChildRecord, programme: Programme, context: Context
) -> None:
    """Add the rows of one child in one programme."""
    referrals = [
        Anchor("REFERRAL", r, record, programme, context) for r in index_candidates(record.referrals, programme)
    ]
    cares = [Anchor("CARE_START", q, record, programme, context) for q in care_candidates(record.periods, programme)]
    key = {"programme_id": programme.programme_id, "child_id": child_id}
    nobody: dict[str, Anchor | None] = dict.fromkeys(["REFERRAL", "CARE_START", *programme.samples])
    for sample_id in programme.samples:
        for number, start in enumerate(index_candidates(record.referrals, programme, sample_id)):
            anchor = Anchor(sample_id, start, record, programme, context)
            _, values = outcome_columns({**nobody, sample_id: anchor}, record, programme, context)
            found["outcome_values"] += [{**key, **value, "is_alternative": number > 0} for value in values]
    if not referrals and not cares:
        return
    candidates = []
    for referral, care in product(referrals or [None], cares or [None]):
        anchors = {**nobody, "REFERRAL": referral, "CARE_START": care}
        wide, values = outcome_columns(anchors, record, programme, context)
        row = child_row(child_id, referral, care, record, programme, context) | wide
        candidates.append((row, values, anchors))
    candidates.sort(key=lambda c: _hash_of(c[0]))
    rows = [row for row, _, _ in candidates]
    found["child_outcomes"].append({**rows[0], "tie_candidates": rows if len(rows) > 1 else []})
    for number, (_, values, _) in enumerate(candidates):
        found["outcome_values"] += [{**key, **value, "is_alternative": number > 0} for value in values]
    for value in candidates[0][1]:
        of_value = candidates[0][2][value["anchor"].upper()]
        if value["is_default"] and value["outcome_value"] is not None and len(candidates) == 1:
            assert of_value is not None
            keys = stratum_keys(of_value, record, context)
            found["cem_strata"].append({**key, "outcome_id": value["outcome_id"], **keys})
    for reading in programme.readings:
        if reading.measure == "POOLED_TERMS" and reading.is_default and referrals and referrals[0].is_of_age:
            terms = absence_terms(reading, referrals[0], record, context)
            found["absence_terms"] += [{**key, **t.row(referrals[0].day)} for t in terms if t.is_of_school_age]


def _hash_of(row: Row) -> str:
    """What decides where nothing else does: never the LA code, which would decide treatment (FV.SAMPLE.1)."""
    text = f"{row['la_id']}|{row['care_start_la_id']}|{child_label(row['child_id'])}"
    return hashlib.md5(text.encode()).hexdigest()


def main() -> None:
    """Evaluate a part of a landing directory and write it as JSON."""
    from landing_rows import read_part, read_seeds

    parser = argparse.ArgumentParser(description="Reference definitions on a landing directory")
    parser.add_argument("landing_dir", type=Path)
    parser.add_argument("seeds_dir", type=Path)
    parser.add_argument("out_json", type=Path)
    parser.add_argument("--every", type=int, metavar="N", help="one child in N, by a hash of its identity")
    parser.add_argument("--pupils", nargs="+", default=[], metavar="ID", help="these pupil ids")
    arguments = parser.parse_args()

    seeds = read_seeds(arguments.seeds_dir)
    part = read_part(arguments.landing_dir, seeds, every=arguments.every, pupils=arguments.pupils)
    found = evaluate(part.tables, seeds, returns=part.returns, only=part.children)
    text = json.dumps(found, default=lambda v: v.isoformat(), indent=1)
    arguments.out_json.write_text(text, encoding="utf-8")
    print({name: len(rows) for name, rows in found.items()})


if __name__ == "__main__":
    main()
