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
from collections.abc import Iterable
from datetime import date, timedelta
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
    cin_records: Iterable[Row], children: Children, seeds: dict, activities: Iterable[Row] = ()
) -> list[Row]:
    """One row per area, child and referral date, joined over the returns that report it (A.7).

    A referral is repeated in every return while it is open, so its fields come from different years:
    no further action only if all reports say so and none shows any action (activities: assessments and
    section 47 enquiries; the plans stand in the records), the closure from the latest return that has one, the
    need from the earliest return that has a valid code.
    """
    acted = {
        (children.areas.la_id(row["la_code"]), children.child_of(row, "CIN"), as_date(row["referral_date"]))
        for row in activities
    }
    needs = {tidy(r["primary_need_code"]): int(r["primary_need"]) for r in seeds["primary_need_codes"]}
    reports: dict[tuple, list[Row]] = defaultdict(list)
    for row in cin_records:
        la_id = children.areas.la_id(row["la_code"])
        reports[la_id, children.child_of(row, "CIN"), as_date(row["referral_date"])].append(row)
    spells = []
    for (la_id, child_id, referral_date), rows in sorted(reports.items()):
        closure_date, closure_reason = _latest_closure(rows)
        spells.append(
            {
                "la_code": min((int(r["return_year"]), tidy(r["la_code"])) for r in rows)[1],
                "la_id": la_id,
                "child_id": child_id,
                "referral_date": referral_date,
                "closure_date": closure_date,
                "closure_reason": closure_reason,
                "is_nfa": all(is_yes(r.get("referral_nfa")) and not _has_plan(r) for r in rows)
                and (la_id, child_id, referral_date) not in acted,
                "primary_need": _earliest_need(rows, needs),
            }
        )
    return spells


def _has_plan(row: Row) -> bool:
    return bool(row.get("cpp_start_date") or row.get("cin_plan_start_date"))


def _latest_closure(rows: list[Row]) -> tuple[date | None, str | None]:
    """Closure date and reason, each from the latest return with a value (within a return: the later)."""
    dates = [(int(r["return_year"]), as_date(r["closure_date"])) for r in rows if r.get("closure_date")]
    reasons = [
        (int(r["return_year"]), as_date(r.get("closure_date")) or date.min, tidy(r["closure_reason"]))
        for r in rows
        if tidy(r.get("closure_reason"))
    ]
    return (max(dates)[1] if dates else None), (max(reasons)[2] if reasons else None)


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
# Periods of care (B.3, B.4, FV.OUT.P)
# ---------------------------------------------------------------------------------------------------


class Returns:
    """Which returns the extracts hold: years by LA code, for the census (cin) and looked-after children (cla)."""

    def __init__(self, cin_records: Iterable[Row], cla_episodes: Iterable[Row], seeds: dict, areas: Areas) -> None:
        self.areas = areas
        self.sent: dict[str, set[tuple[str | None, int]]] = {"cin": set(), "cla": set()}
        for kind, rows in (("cin", cin_records), ("cla", cla_episodes)):
            for row in rows:
                self.sent[kind].add((tidy(row["la_code"]), int(row["return_year"])))
        self.valid: dict[tuple[str, int], set[str | None]] = defaultdict(set)
        for row in seeds["local_authority_codes"]:
            code = tidy(row["la_code"])
            for year in range(int(row["first_return_year"]), int(row["last_return_year"]) + 1):
                self.valid[areas.la_id(code), year].add(code)

    def last_year(self, la_id: str) -> int:
        """The last year in which the area returned episodes of care."""
        return max(year for code, year in self.sent["cla"] if self.areas.la_id(code) == la_id)

    def has(self, kind: str, la_id: str, year: int) -> bool:
        """Whether every code of the area that was valid in the year returned; one that is in no register, itself."""
        came = {code for code, sent in self.sent[kind] if sent == year and self.areas.la_id(code) == la_id}
        return bool(came) and len(came) >= len(self.valid.get((la_id, year), ()))

    def cover(self, kind: str, la_id: str, first_day: date, last_day: date) -> bool:
        """Whether the area returned in every year of a stretch of days (FV.SAMPLE.5)."""
        return all(self.has(kind, la_id, y) for y in range(return_year_of(first_day), return_year_of(last_day) + 1))


def care_periods(cla_episodes: Iterable[Row], children: Children, seeds: dict, returns: Returns) -> list[Row]:
    """Episodes of care chained into periods of care, per area and child (B.3).

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
    last_years: dict[str, int] = {}
    for (la_id, child_id, start), (year, _, end, ceased, new) in sorted(latest.items()):
        if la_id not in last_years:
            last_years[la_id] = returns.last_year(la_id)
        over_by = date(year, 3, 31) if year < last_years[la_id] else None
        stated = None if end == date.min else end
        episode = {"start": start, "end": stated, "ceased": ceased, "new": new, "over_by": over_by}
        episodes[la_id, child_id].append(episode)
    return [
        {"la_id": la_id, "child_id": child_id, "care_start_date": start, "care_end_date": end}
        for (la_id, child_id), of_child in episodes.items()
        for start, end in chain_episodes(of_child)
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
    new = tidy(row.get("reason_for_new_episode"))
    return int(row["return_year"]), end is not None, end or date.min, ceased or "", new or ""


def chain_episodes(episodes: list[Row]) -> list[tuple[date, date | None]]:
    """Start and end of each period of care of one child in one LA; episodes come ordered by start.

    A new period begins at the first episode; after an open episode if a start (S) follows; after X1 if a start
    follows a gap (any other gap after X1 is one of the record, not of care); after an end for good at a gap
    or a start. A period without an end is open, unless the LA went on reporting without it: then it was over
    by the end of the last year that reports it, or at the next start. An X1 in the last report of the LA means
    that care goes on; one after which nothing or a new start follows ended care that day (DECISIONS D7).
    """
    starts: list[date] = []
    last: list[Row] = []
    for episode in episodes:
        if not last or _begins_a_period(episode, last[-1]):
            starts.append(episode["start"])
            last.append(episode)
        else:
            last[-1] = episode
    ends = []
    for number, episode in enumerate(last):
        following = starts[number + 1] if number + 1 < len(starts) else None
        goes_on = episode["ceased"] == "X1" and following is None and episode["over_by"] is None
        stated = None if goes_on else episode["end"]
        known = [d for d in (stated or episode["over_by"], following) if d is not None]
        ends.append(min(known, default=None))
    return list(zip(starts, ends, strict=True))


def _begins_a_period(episode: Row, previous: Row) -> bool:
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


class Programme:
    """A programme as its rows describe it: go-live dates, trial period, ages and the outcome's window."""

    def __init__(self, row: Row, seeds: dict, areas: Areas) -> None:
        self.programme_id = row["programme_id"]
        self.minimum_age, self.maximum_age = int(row["minimum_age_years"]), int(row["maximum_age_years"])
        if tidy(row["referral_basis"]) != "ALL":
            raise ValueError(f"referral basis {row['referral_basis']!r} is not written here, only 'all'")
        treatment = [
            r
            for r in seeds["programme_local_authorities"]
            if r["programme_id"] == self.programme_id and tidy(r["role"]) == "TREATMENT" and as_date(r["go_live_date"])
        ]
        self.go_live = {areas.la_id(r["la_code"]): as_date(r["go_live_date"]) for r in treatment}
        self.trial_start, self.trial_end = self._trial_period(row, treatment)
        outcome = next(
            r
            for r in seeds["programme_outcomes"]
            if r["programme_id"] == self.programme_id and r["outcome_id"] == "became_looked_after"
        )
        self.window_months = int(outcome["window_months"])
        self.is_already_looked_after_excluded = is_yes(outcome["is_already_looked_after_excluded"])
        self.is_censored_at_18 = is_yes(outcome["is_censored_at_18"])

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
        self.referrals: list[Row] = []
        self.periods: list[Row] = []


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


def is_disabled(record: ChildRecord) -> bool:
    """Whether any CIN record says so: 1 or any code of the census but NONE (FV.COV.2, the maximum)."""
    return any(
        part not in {"", "0", "NONE"}
        for row in record.cin
        for part in (p.strip() for p in (tidy(row.get("disability")) or "").split(","))
    )


def is_uasc(record: ChildRecord) -> bool:
    """Whether any looked-after record says unaccompanied asylum-seeking child (FV.COV.2, the maximum)."""
    return any(is_yes(row.get("uasc_status")) for row in record.cla)


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
        or (tidy(r.get("nc_year")) in {"R", "0", "1", "2"} and is_yes(r.get("ever_fsm_6_p")))
        for r in by_then
    )


def previous_cpp_count(record: ChildRecord, index: Row, areas: Areas) -> int:
    """Child protection plans before the index referral (FV.COV.1).

    The plans seen in any LA that started before the referral and are not its own; or, if larger, what
    the earliest plan on or after the referral says of earlier plans (NumberOfPreviousCPP, which knows
    plans from before the extracts). A plan is an LA and a start date.
    """
    plans: dict[tuple[date, str], list[Row]] = defaultdict(list)
    for row in record.cin:
        start = as_date(row.get("cpp_start_date"))
        if start is not None:
            plans[start, areas.la_id(row["la_code"])].append(row)
    referral_date = index["referral_date"]
    earlier = [
        reports
        for (start, la_id), reports in plans.items()
        if start < referral_date
        and not (la_id == index["la_id"] and any(as_date(r["referral_date"]) == referral_date for r in reports))
    ]
    next_start = min((start for start, _ in plans if start >= referral_date), default=None)
    stated = []
    for (start, _), reports in plans.items():
        counts = [int(r["cpp_previous_count"]) for r in reports if r.get("cpp_previous_count") is not None]
        if start == next_start and counts:
            stated.append(min(counts))
    return max(len(earlier), *stated, 0)


# ---------------------------------------------------------------------------------------------------
# The child's outcome row (FV.SAMPLE, FV.TREAT.1, FV.OUT.P)
# ---------------------------------------------------------------------------------------------------


def index_candidates(referrals: list[Row], programme: Programme) -> list[Row]:
    """The first referral in the trial period, or several of one day that no rule tells apart (FV.SAMPLE.1).

    On one day in two LAs: the one with further action, then the one that stayed open longest. An open
    referral has stayed open longest; one without further action and without a closure was never open
    (section 0, fact 3). What is left would go to a hash.
    """
    in_trial = [r for r in referrals if programme.trial_start <= r["referral_date"] <= programme.trial_end]
    if not in_trial:
        return []
    first_day = min(r["referral_date"] for r in in_trial)
    of_day = [r for r in in_trial if r["referral_date"] == first_day]
    best = min(_rank_on_the_day(r) for r in of_day)
    return [r for r in of_day if _rank_on_the_day(r) == best]


def _rank_on_the_day(referral: Row) -> tuple[bool, int]:
    if referral["closure_date"] is not None:
        closed = referral["closure_date"]
    else:
        closed = referral["referral_date"] if referral["is_nfa"] else OPEN_FOR_EVER
    return referral["is_nfa"], -(closed - referral["referral_date"]).days


def is_looked_after_at(day: date, periods: list[Row]) -> bool:
    """In a period of care, in any LA, that began before the day and lasts beyond it (FV.OUT.P)."""
    return any(p["care_start_date"] < day and (p["care_end_date"] is None or p["care_end_date"] > day) for p in periods)


def outcome_row(index: Row, child_id: ChildId, record: ChildRecord, programme: Programme, context: Context) -> Row:
    """Sample, treatment, covariates and outcome of a child at its index referral."""
    day, la_id = index["referral_date"], index["la_id"]
    birth = birth_of(record)
    is_unborn = is_unborn_at(day, la_id, birth, record, context.areas)
    age_months = None
    if is_unborn:
        age_months = 0
    elif birth is not None:
        age_months = (day.year - birth[0]) * 12 + day.month - birth[1]
    is_in_age_range = age_months is not None and programme.minimum_age <= age_months // 12 <= programme.maximum_age
    is_looked_after = is_looked_after_at(day, record.periods)
    code, group = ethnicity_of(record, context.ethnic_groups)

    window_end = add_months(day, programme.window_months)
    if programme.is_censored_at_18 and birth is not None:
        eighteenth_birthday = date(birth[0] + 18, birth[1], 1)
        window_end = min(window_end, eighteenth_birthday - timedelta(days=1))
    is_fully_observed = context.returns.cover("cla", la_id, day, window_end) and context.returns.cover(
        "cin", la_id, programme.trial_start, day
    )
    first_care = min((p["care_start_date"] for p in record.periods if p["care_start_date"] >= day), default=None)
    becomes_looked_after = first_care is not None and first_care <= window_end
    return {
        "programme_id": programme.programme_id,
        "child_id": child_id,
        "la_id": la_id,
        "index_referral_date": day,
        "financial_year": financial_year_of(day),
        "is_treatment_la": la_id in programme.go_live,
        "is_treated": la_id in programme.go_live and day >= programme.go_live[la_id],
        "age_at_referral_months": age_months,
        "is_in_age_range": is_in_age_range,
        "is_unborn_at_referral": is_unborn,
        "is_looked_after_at_referral": is_looked_after,
        "gender": 0 if is_unborn else gender_of(record, context.gender_codes),
        "ethnicity": code,
        "ethnic_group": group,
        "is_disabled": is_disabled(record),
        "is_fsm": is_fsm(record, day),
        "is_uasc": is_uasc(record),
        "previous_cpp_count": previous_cpp_count(record, index, context.areas),
        "primary_need": index["primary_need"],
        "first_care_start_date": first_care,
        "first_care_start_date_in_window": first_care if becomes_looked_after else None,
        "has_become_looked_after": becomes_looked_after if is_fully_observed else None,
        "is_in_sample__became_looked_after": is_in_age_range
        and not (is_looked_after and programme.is_already_looked_after_excluded),
        "is_fully_observed__became_looked_after": is_fully_observed,
    }


class Context:
    """What is the same for all children: areas, code lists, the last day that the CLA extract covers."""

    def __init__(self, seeds: dict, areas: Areas, returns: Returns) -> None:
        self.areas = areas
        self.returns = returns
        self.gender_codes = seeds["gender_codes"]
        self.ethnic_groups = {tidy(r["ethnicity_code"]): r["ethnic_group"] for r in seeds["ethnicity_codes"]}


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
    """Referral spells, care periods and outcome rows of all children in the tables.

    tables: the landing tables by name. seeds: the seeds by file name without suffix.
    returns: the returns of the whole extracts, where the tables are a part of them.
    only: the children to return, where the tables hold rows of others too.
    """
    areas = Areas(seeds["local_authority_successors"])
    children = Children(tables["cin_records"], tables["cla_children"], areas)
    activities = [row for name in ("cin_assessments", "cin_section47") for row in tables.get(name, [])]
    spells = referral_spells(tables["cin_records"], children, seeds, activities)
    returns = returns or Returns(tables["cin_records"], tables["cla_episodes"], seeds, areas)
    periods = care_periods(tables["cla_episodes"], children, seeds, returns)
    context = Context(seeds, areas, returns)

    records: dict[ChildId, ChildRecord] = defaultdict(ChildRecord)
    for row in tables["cin_records"]:
        records[children.child_of(row, "CIN")].cin.append(row)
    for row in tables["cla_children"]:
        records[children.child_of(row, "SSDA903")].cla.append(row)
    for row in tables["npd_pupils"]:
        pupil: ChildId = ("pupil", tidy(row["pupil_id"]) or "")
        if pupil in records:
            records[pupil].census.append(row)
    for spell in spells:
        records[spell["child_id"]].referrals.append(spell)
    for period in periods:
        records[period["child_id"]].periods.append(period)

    outcomes = []
    for programme_row in seeds["programmes"]:
        programme = Programme(programme_row, seeds, areas)
        for child_id, record in sorted(records.items()):
            candidates = index_candidates(record.referrals, programme)
            if not candidates:
                continue
            rows = [outcome_row(c, child_id, record, programme, context) for c in candidates]
            rows.sort(key=lambda r: hashlib.md5(f"{r['la_id']}|{child_label(r['child_id'])}".encode()).hexdigest())
            outcomes.append({**rows[0], "tie_candidates": rows if len(rows) > 1 else []})
    found = {"referral_spells": spells, "care_periods": periods, "child_outcomes": outcomes}
    if only is None:
        return found
    return {name: [r for r in rows if r["child_id"] in only] for name, rows in found.items()}


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
