"""Raw landing rows of children near every edge of the definitions, drawn by Hypothesis.

Dates lie on and around windows, terms, birthdays, month ends, go-live days and the ends of returns; children are seen
by two LAs, reported again by later returns or dropped by them, unborn, without a birth, with short breaks between
episodes. Nothing here says what should come out: the reference implementation does.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from definitions import add_months, return_year_of
from hand_cases import (
    LAST_RETURN_YEAR,
    Case,
    absence,
    all_tables,
    assessment,
    census,
    cin,
    enquiry,
    episode,
    la_figure,
    looked_after,
    table_of,
)

Row = dict[str, Any]

# Comparison LAs, treatment LAs and trailblazers of the programmes and of the variant's, a reorganised area (928, 940,
# 941), and LAs with a year for which they sent no return (see GAPS).
LAS = ["306", "306", "937", "937", "391", "331", "841", "928", "941", "382", "892", "394", "860", "830", "354", "301"]
GAPS = {("354", "cla", 2023), ("354", "cla", 2019), ("301", "cin", 2022), ("301", "cin", 2019), ("301", "cla", 2025)}
GAPS |= {("394", "cin", year) for year in (2024, 2025)} | {("830", "cla", year) for year in range(2016, 2026)}
EDGE_DAYS = """
    trial periods, go-live and embedding days of the programmes and of the variant:
    2021-01-01 2023-05-31 2021-07-01 2021-11-01 2022-03-01 2020-04-01 2022-03-31 2019-10-01 2020-03-01 2022-11-24
    2019-07-01 2020-12-31 2020-06-15 2020-03-10 2020-04-09 2021-02-10 2020-09-01
    from when CIN plans are seen, terms, leap days, ends of months and of financial years:
    2021-04-01 2020-07-01 2021-09-01 2022-01-01 2022-04-18 2021-04-05 2022-08-31 2020-02-29 2021-08-31 2022-03-31
    2022-09-30 2023-03-31 2023-09-30
    matching windows:
    2017-07-01 2019-12-31 2017-11-01 2020-04-30 2016-04-01 2018-10-01 2018-04-15 2019-04-15
"""
EDGES = [date.fromisoformat(word) for word in EDGE_DAYS.split() if word[:2] == "20"]
MONTHS = [0, 0, 1, 3, 6, 9, 12, 12, 15, 15, 18, 18, 24, -1, -6, -14]
BIRTH_MONTHS_BEFORE = [0, 1, -1, -3, 47, 48, 59, 60, 61, 71, 72, 143, 144, 155, 156, 180, 186, 191, 192, 198, 200]
BIRTH_MONTHS_BEFORE += [201, 203, 204, 205, 206, 207, 209, 210, 213, 215, 216, 217, 30, 90, 110, 120]


@st.composite
def edge_days(draw: st.DrawFn) -> date:
    """A day on, before or after an edge, or some days away."""
    return draw(st.sampled_from(EDGES)) + timedelta(days=draw(st.sampled_from([0, 0, 0, 1, -1, 2, -2, 17, -40, 75])))


def after(draw: st.DrawFn, day: date) -> date:
    """A day some calendar months from another, or a day beside that."""
    moved = add_months(day, draw(st.sampled_from(MONTHS)))
    return moved + timedelta(days=draw(st.sampled_from([0, 0, 0, 1, -1, 1, -1, 5, -9, 28])))


def ends_of(draw: st.DrawFn, start: date) -> date | None:
    """The end of something that begins on a day: none, at once, after weeks, at or beside a number of months."""
    kind = draw(st.sampled_from(["open", "open", "days", "days", "months"]))
    if kind == "open":
        return None
    if kind == "days":
        return start + timedelta(days=draw(st.sampled_from([0, 1, 10, 27, 28, 29, 60, 200, 400])))
    months = add_months(start, draw(st.sampled_from([1, 6, 9, 12, 15, 18])))
    return months + timedelta(days=draw(st.sampled_from([0, 1, -1])))


def report_years(draw: st.DrawFn, start: date, end: date | None) -> list[int]:
    """The returns that hold something: every year while it is open; some forget it, some begin late."""
    first = max(return_year_of(start), 2016)
    last = LAST_RETURN_YEAR if end is None else min(return_year_of(end), LAST_RETURN_YEAR)
    years = list(range(first, max(first, last) + 1))
    kind = draw(st.sampled_from(["all", "all", "all", "first", "last", "until"]))
    if kind == "first":
        return years[:1]
    if kind == "last":
        return years[-1:]
    return years[: draw(st.integers(1, len(years)))] if kind == "until" else years


class Drawn:
    """One child while its rows are drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.rows = draw, []
        self.la = draw(st.sampled_from(LAS))
        self.first_day = draw(edge_days())
        self.pupil = draw(st.sampled_from([None, "PUPIL", "PUPIL", "UN3"]))
        months = self.first_day.year * 12 + self.first_day.month - 1 - draw(st.sampled_from(BIRTH_MONTHS_BEFORE))
        self.birth: Row = {"birth_year": months // 12, "birth_month": months % 12 + 1}
        self.kind_of_birth = draw(st.sampled_from(["known"] * 8 + ["none", "expected", "flag", "january_1900"]))

    def person(self, year: int) -> Row:
        """What a return says of the child; ethnicity and gender differ now and then."""
        draw = self.draw
        letters = year >= 2025
        genders = (["F"] * 6 + ["M", "U"]) if letters else (["2"] * 6 + ["1", "0", "9", None])
        return {
            **self.birth,
            "pupil_id": self.pupil,
            "gender": draw(st.sampled_from(genders)),
            "ethnicity": draw(st.sampled_from(["WBRI"] * 5 + ["WIRI", "BCRB", "REFU", "NOBT", None, "ZZZZ"])),
        }

    def stated_birth(self, year: int) -> Row:
        """The birth as a return of that year states it."""
        born = self.birth["birth_year"], self.birth["birth_month"]
        is_before = (year - 1, 4) <= born and self.draw(st.booleans())
        if self.kind_of_birth == "none":
            return {"birth_year": None, "birth_month": None}
        if self.kind_of_birth == "expected" and is_before:
            return {"is_expected_birth": "1"}
        if self.kind_of_birth == "flag" and is_before:
            return {"is_unborn": "1"}
        if self.kind_of_birth == "january_1900" and is_before:
            return {"birth_year": 1900, "birth_month": 1}
        return {}

    def referral(self, la: str, day: date) -> None:
        """A referral in every return that has it, with its plans."""
        draw = self.draw
        end = ends_of(draw, day)
        is_nfa = draw(st.sampled_from([False] * 5 + [True]))
        reason = draw(st.sampled_from(["RC7", "RC8", "RC9", "RC1", None])) if end else None
        plans = [
            self.plan(day, kind)
            for kind in draw(
                st.sampled_from(
                    [[], [], ["cpp"], ["cin_plan"], ["cpp", "cin_plan"], ["cpp", "cpp"], ["cin_plan", "cin_plan"]]
                )
            )
        ]
        for year in report_years(draw, day, end):
            closed = {"closure_date": end, "closure_reason": reason} if end and return_year_of(end) <= year else {}
            row = {
                "return_year": year,
                "la_code": self.code_of(la, year),
                "referral_nfa": "1" if is_nfa and draw(st.sampled_from([True] * 5 + [False])) else "0",
                "primary_need": draw(st.sampled_from(["N1", "N1", "N4", "N0", "A2", None])),
                "disability": draw(st.sampled_from(["0"] * 5 + ["1", "NONE", "AUT,BEH", None])),
                **self.person(year),
                **self.stated_birth(year),
                **closed,
            }
            seen = [p for p in plans if return_year_of(p[1]) <= year and not (p[2] and return_year_of(p[2]) < year)]
            for kind, start, until, previous in seen or [("", day, None, None)]:
                stated = {f"{kind}_start_date": start, f"{kind}_end_date": until} if kind else {}
                if until and return_year_of(until) > year:
                    stated[f"{kind}_end_date"] = None
                if kind == "cpp":
                    stated["cpp_previous_count"] = previous
                self.rows.append(cin("CHILD", str(day), **_texts({**row, **stated})))
        if not is_nfa and draw(st.booleans()):
            year = draw(st.sampled_from(report_years(draw, day, end)))
            factors = draw(st.sampled_from([None, "3B", "4A,16A", "5A", "1C,ZZ", "16A"]))
            row = assessment("CHILD", str(day), str(day), la_code=self.code_of(la, year), assessment_factors=factors)
            self.rows.append({**row, "return_year": year})
        if is_nfa and draw(st.sampled_from([False, False, True])):
            activity = draw(st.sampled_from([assessment, enquiry]))
            self.rows.append(activity("CHILD", str(day), str(day), la_code=self.code_of(la, return_year_of(day))))

    def plan(self, referral: date, kind: str) -> tuple[str, date, date | None, int | None]:
        start = after(self.draw, referral)
        return kind, start, ends_of(self.draw, start), self.draw(st.sampled_from([None, 0, 1, 2]))

    def care(self, la: str, day: date) -> None:
        """A chain of episodes, each in every return that has it."""
        draw = self.draw
        start: date | None = day
        for number in range(draw(st.sampled_from([1, 1, 2, 3, 4]))):
            assert start is not None
            end = ends_of(draw, start)
            ceased = draw(st.sampled_from(["X1", "X1", "E4A", "E4A", "E4B", "E13", "E45", "E8", None])) if end else None
            new = draw(st.sampled_from(["S", "S", "P", "L", "B"])) if number else "S"
            status = draw(st.sampled_from(["C1"] * 6 + ["V2", "V3", "V4", "L2"]))
            placement = draw(
                st.sampled_from(["U6", "U1", "U2", "U3", "Q1", "F1", "P1", "K2", "T0", "T3", "T4", None, "ZZ"])
            )
            for year in report_years(draw, start, end):
                is_over = end is not None and return_year_of(end) <= year
                self.rows.append(
                    episode(
                        "CHILD",
                        str(start),
                        str(end) if is_over else None,
                        ceased if is_over else draw(st.sampled_from([None, None, None, "-10"])),
                        return_year=year,
                        la_code=self.code_of(la, year),
                        reason_for_new_episode=new,
                        legal_status=status,
                        placement=placement,
                    )
                )
            if end is None:
                if draw(st.booleans()):
                    break
                end = start + timedelta(days=draw(st.sampled_from([1, 30, 365])))
            start = end + timedelta(days=draw(st.sampled_from([0, 0, 0, 1, 1, 20])))
        for year in sorted({r["return_year"] for r in self.rows if table_of(r) == "cla_episodes"}):
            if draw(st.sampled_from([True, True, True, False])):
                values = self.person(year) | {"uasc_status": draw(st.sampled_from(["0"] * 5 + ["1", None]))}
                self.rows.append(looked_after("CHILD", year, la_code=self.code_of(la, year), **values))

    def school(self) -> None:
        """Sessions and censuses around the first referral."""
        draw = self.draw
        this_year = self.first_day.year + (self.first_day.month >= 9)
        sessions = st.sampled_from([(60, 3), (60, 0), (120, 7), (0, 0), (None, None), (60, None), (430, 1)])
        often = st.sampled_from([True, True, True, True, False])
        for year in (this_year - 1, this_year, this_year + 1, this_year + 2):
            if year > 2025:
                continue
            for _ in range(draw(st.sampled_from([1, 1, 1, 2, 0]))):
                halves = {
                    half: (60, draw(st.integers(0, 9))) if draw(often) else draw(sessions)
                    for half in ("autumn", "spring", "summer", "summer6th")
                }
                self.rows.append(absence("PUPIL", year, **halves))
        for year in range(this_year - 7, this_year + 2):
            if draw(st.sampled_from([True, False, False])):
                flags = {flag: draw(st.sampled_from(["0", "0", "0", "1", None])) for flag in FLAGS}
                self.rows.append(
                    census("PUPIL", year, nc_year=draw(st.sampled_from(["R", "1", "2", "3", "4"])), **flags)
                )

    def code_of(self, la: str, year: int) -> str:
        """The code under which an LA returns: Northamptonshire until 2021, West Northamptonshire from 2022 on."""
        if la in {"928", "941"}:
            return "928" if year <= 2021 else "941"
        return la


FLAGS = ("fsm_eligible", "ever_fsm_6", "ever_fsm_6_p", "ever_fsm_all")


def _texts(row: Row) -> Row:
    return {k: str(v) if isinstance(v, date) else v for k, v in row.items()}


@st.composite
def children(draw: st.DrawFn) -> list[Row]:
    """The rows of one child, whose code is CHILD and whose pupil reference is PUPIL; see numbered."""
    child = Drawn(draw)
    other = draw(st.sampled_from([child.la] * 8 + LAS))
    child.referral(child.la, child.first_day)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        same_day = draw(st.sampled_from([True, False, False]))
        child.referral(other, child.first_day if same_day else after(draw, child.first_day))
    for la in draw(st.sampled_from([[], [child.la], [child.la], [other], [child.la, other]])):
        child.care(la, after(draw, child.first_day))
    if child.pupil == "PUPIL":
        child.school()
    if draw(st.sampled_from([True] + [False] * 7)):
        child.rows = [r for r in child.rows if table_of(r) in {"cla_episodes", "cla_children"}] or child.rows
    return child.rows


def numbered(rows: list[Row], number: int) -> list[Row]:
    """A child's rows under codes of its own."""
    codes = {"CHILD": f"C{number}", "PUPIL": f"P{number}"}
    return [{k: codes.get(v, v) if isinstance(v, str) else v for k, v in row.items()} for row in rows]


FIGURES = [
    la_figure(la, measure, day, value)
    for number, la in enumerate(("306", "937", "928", "941", "940", "391"))
    for measure, day, value in (
        ("pupils_fsm_pct", "2020-12-31", f"{20 + number}.5"),
        ("pupils_fsm_pct", "2021-07-01" if number % 2 else "2021-08-30", f"{10 + number}.5"),
        ("pupils_white_british_pct", "2021-06-30" if number % 2 else "2020-12-31", f"{60 + number}"),
        ("pupils_white_british_pct", "2022-01-20", "c"),
    )
]


def tables_of(drawn: list[list[Row]]) -> dict[str, list[Row]]:
    """The landing tables of drawn children together, with the LAs' background returns but for GAPS."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for number, rows in enumerate(drawn):
        for row in numbered(rows, number):
            tables[table_of(row)].append(row)
    codes = sorted({"940", *LAS})
    tables["cin_records"] += [cin("B", "2018-03-01", return_year=y, la_code=c) for c in codes for y in YEARS]
    tables["cla_episodes"] += [episode("B", "2016-05-01", return_year=y, la_code=c) for c in codes for y in YEARS]
    for number, first_day in enumerate(("2017-07-01", "2023-03-31")):
        # One whose window begins with the first day that landing kept, one whose window ends with the last.
        tables["cin_records"].append(cin(f"W{number}", first_day))
    tables["la_statistics"] += FIGURES
    tables["data_windows"] += WINDOWS
    everything = all_tables([Case("edges", "", dict(tables), ("la", "306", "EDGES"))])
    kinds = {"cin_records": "cin", "cla_episodes": "cla", "cla_children": "cla", "cin_assessments": "cin"}
    returned = {
        name: [r for r in rows if (r.get("la_code"), kinds.get(name), r.get("return_year")) not in GAPS]
        for name, rows in everything.items()
    }
    # Episodes under a code that no row says anything about are in no model: nobody knows whose they are.
    known = {(r["la_code"], r["la_child_id"]) for name in ("cin_records", "cla_children") for r in returned[name]}
    episodes = [r for r in returned["cla_episodes"] if (r["la_code"], r["la_child_id"]) in known]
    return {**returned, "cla_episodes": episodes}


# Landing cut the returns to these days (DP.2); both ends are ends of somebody's window.
WINDOWS: list[Row] = [
    {"landing_table": table, "first_date": date(2017, 7, 1), "last_date": date(2024, 9, 30)}
    for table in ("cin_records", "cla_episodes")
]
YEARS = range(2016, LAST_RETURN_YEAR + 1)
