"""Hand-written children: a few landing rows each, and what the register says about them.

Every expected value was worked out with a calendar, not by running code. The children have ids of their
own, so all of them can be loaded together (``all_tables``) into this implementation or into any other.

Croydon (306) is a comparison LA; Warwickshire (937) went live on 1 July 2021, Newcastle (391) on
1 November 2021. The trial period is 1 January 2021 to 31 May 2023. The extracts cover all up to
31 March 2025 (the row of BACKGROUND sees to that).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

Row = dict[str, Any]

LAST_RETURN_YEAR = 2025
# Returns that did not come: an LA stopped after 2023, one went on with the census alone, one left out a year.
NOT_SENT = {
    *((kind, "203", year) for kind in ("cin", "cla") for year in (2024, 2025)),
    *(("cla", "208", year) for year in (2024, 2025)),
    *((kind, "209", 2019) for kind in ("cin", "cla")),
}


@dataclass
class Case:
    """One child in one programme.

    outcome: the expected values of its wide row; None: it has none. values: (is_in_sample, is_fully_observed,
    outcome_value) by outcome and reading. terms: (school year, term, possible, unauthorised), None where not measured.
    without: outcomes and readings of which it has no row, being in no sample of theirs.
    """

    name: str
    why: str
    rows: dict[str, list[Row]]
    child_id: tuple[str, ...]
    outcome: Row | None = field(default_factory=dict)
    periods: list[tuple[str, str | None]] | None = None
    spells: list[Row] | None = None
    tie_la_ids: list[str] = field(default_factory=list)
    values: dict[tuple[str, str], tuple[bool, bool, Any]] = field(default_factory=dict)
    terms: list[tuple[int, str, int | None, int | None]] | None = None
    without: list[tuple[str, str]] = field(default_factory=list)
    programme_id: str = "family_valued"

    @property
    def is_in_any_sample(self) -> bool:
        """Whether the child is of the programme's ages: no wide row of a mart holds others."""
        ages = [(self.outcome or {}).get(f"is_in_age_range{anchor}") for anchor in ("", "_at_care_start")]
        return False not in ages


CASES: list[Case] = []
# Children of the made-up programme, which only the seeds of the variant know.
VARIANT_CASES: list[Case] = []


def day(iso: str | None) -> date | None:
    return date.fromisoformat(iso) if iso else None


def return_year(iso: str) -> int:
    return int(iso[:4]) + (iso[5:7] >= "04")


def cin(child: str, referral: str, **values: Any) -> Row:
    """One CIN record: a girl in Croydon born May 2013, White British, abuse or neglect, still open."""
    year = values.get("return_year", return_year(referral))
    row = {
        "return_year": year,
        "la_code": "306",
        "la_child_id": child,
        "pupil_id": None,
        "birth_year": 2013,
        "birth_month": 5,
        "is_expected_birth": "0",
        "is_unborn": "0",
        "gender": "2" if year < 2025 else "F",
        "ethnicity": "WBRI",
        "disability": "0",
        "referral_date": referral,
        "referral_source": "6",
        "primary_need": "N1",
        "referral_nfa": "0",
        "closure_date": None,
        "closure_reason": None,
        "cpp_start_date": None,
        "cpp_end_date": None,
        "cpp_initial_category": None,
        "cpp_previous_count": None,
        "cin_plan_start_date": None,
        "cin_plan_end_date": None,
    }
    return _dated({**row, **values})


def assessment(child: str, referral: str, start: str, **values: Any) -> Row:
    """One assessment under a referral in Croydon."""
    row = {
        "return_year": return_year(start),
        "la_code": "306",
        "la_child_id": child,
        "referral_date": referral,
        "assessment_start_date": start,
        "assessment_authorisation_date": None,
        "assessment_factors": None,
    }
    return _dated({**row, **values})


def enquiry(child: str, referral: str, start: str, **values: Any) -> Row:
    """One section 47 enquiry under a referral in Croydon."""
    row = {
        "return_year": return_year(start),
        "la_code": "306",
        "la_child_id": child,
        "referral_date": referral,
        "enquiry_start_date": start,
        "initial_conference_date": None,
    }
    return _dated({**row, **values})


def episode(child: str, start: str, end: str | None = None, ceased: str | None = None, **values: Any) -> Row:
    """One episode of care: started (S), interim care order, foster care, in Croydon; still reported if open."""
    row = {
        "return_year": return_year(end) if end else LAST_RETURN_YEAR,
        "la_code": "306",
        "la_child_id": child,
        "episode_start_date": start,
        "reason_for_new_episode": "S",
        "legal_status": "C1",
        "category_of_need": "N1",
        "placement": "U6",
        "episode_end_date": end,
        "reason_episode_ceased": ceased,
    }
    return _dated({**row, **values})


def looked_after(child: str, year: int, **values: Any) -> Row:
    """One row of cla_children, agreeing with ``cin``."""
    row = {
        "return_year": year,
        "la_code": "306",
        "la_child_id": child,
        "pupil_id": None,
        "birth_year": 2013,
        "birth_month": 5,
        "gender": "2" if year < 2025 else "F",
        "ethnicity": "WBRI",
        "uasc_status": "0",
    }
    return {**row, **values}


def census(pupil: str, year: int, **values: Any) -> Row:
    """One spring census row: year 4, never on free meals."""
    row = {
        "census_year": year,
        "pupil_id": pupil,
        "gender": "F",
        "ethnicity": "WBRI",
        "nc_year": "4",
        "fsm_eligible": "0",
        "ever_fsm_6": "0",
        "ever_fsm_6_p": "0",
        "ever_fsm_all": "0",
    }
    return {**row, **values}


def absence(pupil: str, school_year: int, **sessions: tuple[int | None, int | None]) -> Row:
    """One enrolment in one school year: (possible, unauthorised) by half; halves not named were not attended."""
    row: Row = {"school_year": school_year, "pupil_id": pupil}
    for place, measure in enumerate(("sessions_possible", "unauthorised_absence")):
        for half in ("autumn", "spring", "summer", "summer6th"):
            row[f"{measure}_{half}"] = sessions.get(half, (None, None))[place]
    return row


def la_figure(la_code: str, measure: str, reference_date: str, value: str) -> Row:
    """One published figure of an LA."""
    return _dated({"la_code": la_code, "reference_date": reference_date, "measure": measure, "value": value})


def _dated(row: Row) -> Row:
    return {k: day(v) if k.endswith("_date") else v for k, v in row.items()}


def table_of(row: Row) -> str:
    """The landing table of a row, told by its columns."""
    marks = {
        "assessment_start_date": "cin_assessments",
        "enquiry_start_date": "cin_section47",
        "referral_date": "cin_records",
        "episode_start_date": "cla_episodes",
        "census_year": "npd_pupils",
        "school_year": "npd_absence",
        "uasc_status": "cla_children",
        "measure": "la_statistics",
    }
    return next(table for column, table in marks.items() if column in row)


def case(
    name: str,
    why: str,
    *rows: Row,
    child_id: tuple[str, ...] | None = None,
    **expected: Any,
) -> None:
    """Add a case; a row's table is told by its columns, its list by its programme."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        tables[table_of(row)].append(row)
    new = Case(name, why, dict(tables), child_id or ("la", "306", name.upper()), **expected)
    (VARIANT_CASES if new.programme_id == "made_up" else CASES).append(new)


def all_tables(cases: list[Case] | None = None) -> dict[str, list[Row]]:
    """The landing tables of all (or some) cases together, with the rows that close the extracts.

    In every LA of the cases one child is looked after all the time, so every LA returned, but for NOT_SENT.
    Warwickshire is always among them: a programme without a treatment LA in the extracts has no children.
    """
    chosen = CASES if cases is None else cases
    rows_with_la = [row for one in chosen for rows in one.rows.values() for row in rows if "la_code" in row]
    codes = sorted({"306", "937"} | {row["la_code"] for row in rows_with_la})
    years = [(c, y) for c in codes for y in range(2018, 2026)]
    censuses, returns = ([cy for cy in years if (kind, *cy) not in NOT_SENT] for kind in ("cin", "cla"))
    tables: dict[str, list[Row]] = {
        "cin_records": [cin("BACKGROUND", "2018-03-01", return_year=y, la_code=c) for c, y in censuses],
        "cla_children": [looked_after("BACKGROUND", y, la_code=c) for c, y in returns],
        "cla_episodes": [episode("BACKGROUND", "2016-05-01", return_year=y, la_code=c) for c, y in returns],
        "npd_pupils": [],
        "npd_absence": [],
        "cin_assessments": [
            assessment(
                "BACKGROUND",
                "2018-03-01",
                f"{year - 1}-06-01",
                return_year=year,
                la_code=code,
                assessment_factors="21",
            )
            for code in codes
            for year in range(2019, 2026)
        ],
        "cin_section47": [],
        "la_statistics": [],
        "data_windows": [],
    }
    for one in chosen:
        for table, rows in one.rows.items():
            tables[table].extend(rows)
    return tables


# --- The window of the primary outcome (FV.OUT.P) ---------------------------------------------------

case(
    "looked_after_on_last_day",
    "referral 10 March 2022 + 18 months = 10 September 2023, the last day counts",
    cin("LOOKED_AFTER_ON_LAST_DAY", "2022-03-10"),
    episode("LOOKED_AFTER_ON_LAST_DAY", "2023-09-10"),
    looked_after("LOOKED_AFTER_ON_LAST_DAY", 2024),
    outcome={
        "la_id": "306",
        "index_referral_date": day("2022-03-10"),
        "financial_year": "2021/22",
        "is_treatment_la": False,
        "is_treated": False,
        "age_at_referral_months": 106,
        "is_unborn_at_referral": False,
        "is_looked_after_at_referral": False,
        "gender": 2,
        "ethnicity": "WBRI",
        "ethnic_group": "White",
        "is_disabled": False,
        "is_fsm": None,
        "is_uasc": False,
        "previous_cpp_count": 0,
        "primary_need": 1,
        "first_care_start_date": day("2023-09-10"),
        "has_become_looked_after": True,
        "is_in_sample__became_looked_after": True,
        "is_fully_observed__became_looked_after": True,
    },
    periods=[("2023-09-10", None)],
)
case(
    "looked_after_day_after",
    "one day after the window: not within 18 months",
    cin("LOOKED_AFTER_DAY_AFTER", "2022-03-10"),
    episode("LOOKED_AFTER_DAY_AFTER", "2023-09-11"),
    outcome={
        "first_care_start_date": day("2023-09-11"),
        "first_care_start_date_in_window": None,
        "has_become_looked_after": False,
    },
)
case(
    "never_looked_after",
    "no episode at all is an observed 0",
    cin("NEVER_LOOKED_AFTER", "2022-03-10"),
    outcome={"first_care_start_date": None, "has_become_looked_after": False},
    periods=[],
)
case(
    "care_start_on_referral_day",
    "care that starts on the day of the referral is becoming looked after, not being looked after",
    cin("CARE_START_ON_REFERRAL_DAY", "2022-03-10"),
    episode("CARE_START_ON_REFERRAL_DAY", "2022-03-10", "2022-05-01", "E4A"),
    outcome={
        "is_looked_after_at_referral": False,
        "has_become_looked_after": True,
        "is_in_sample__became_looked_after": True,
    },
    periods=[("2022-03-10", "2022-05-01")],
)
case(
    "already_looked_after",
    "in care at the referral: flagged and out of the sample, also when a new period starts later",
    cin("ALREADY_LOOKED_AFTER", "2022-03-10"),
    episode("ALREADY_LOOKED_AFTER", "2021-12-01", "2022-03-11", "E4A"),
    episode("ALREADY_LOOKED_AFTER", "2022-10-01"),
    outcome={
        "is_looked_after_at_referral": True,
        "first_care_start_date": day("2022-10-01"),
        "has_become_looked_after": None,
        "is_in_sample__became_looked_after": False,
    },
    periods=[("2021-12-01", "2022-03-11"), ("2022-10-01", None)],
)
case(
    "care_ended_on_referral_day",
    "an earlier period that ends on the day of the referral is over; only the later start counts (D.3)",
    cin("CARE_ENDED_ON_REFERRAL_DAY", "2022-03-10"),
    episode("CARE_ENDED_ON_REFERRAL_DAY", "2021-12-01", "2022-03-10", "E4A"),
    episode("CARE_ENDED_ON_REFERRAL_DAY", "2022-04-02"),
    outcome={
        "is_looked_after_at_referral": False,
        "first_care_start_date": day("2022-04-02"),
        "has_become_looked_after": True,
        "is_in_sample__became_looked_after": True,
    },
)
case(
    "respite_only",
    "short breaks (V3, V4) are not becoming looked after, though they are coded S",
    cin("RESPITE_ONLY", "2022-03-10"),
    episode("RESPITE_ONLY", "2022-04-01", "2022-04-09", "E8", legal_status="V3"),
    episode("RESPITE_ONLY", "2022-06-01", legal_status="V4"),
    outcome={"first_care_start_date": None, "has_become_looked_after": False},
    periods=[],
)
case(
    "respite_then_care_same_day",
    "a care order on the day on which a short break starts: the short break does not hide it (B.4)",
    cin("RESPITE_THEN_CARE_SAME_DAY", "2022-03-10"),
    episode("RESPITE_THEN_CARE_SAME_DAY", "2022-05-01", "2022-05-06", "E8", legal_status="V3"),
    episode("RESPITE_THEN_CARE_SAME_DAY", "2022-05-01", "2022-07-01", "E4A", legal_status="L2"),
    outcome={"has_become_looked_after": True},
    periods=[("2022-05-01", "2022-07-01")],
)
case(
    "referral_31_august",
    "31 August 2021 + 18 months = 28 February 2023, which still counts",
    cin("REFERRAL_31_AUGUST", "2021-08-31"),
    episode("REFERRAL_31_AUGUST", "2023-02-28"),
    outcome={"has_become_looked_after": True},
)
case(
    "referral_31_august_day_after",
    "1 March 2023 is after 28 February 2023",
    cin("REFERRAL_31_AUGUST_DAY_AFTER", "2021-08-31"),
    episode("REFERRAL_31_AUGUST_DAY_AFTER", "2023-03-01"),
    outcome={"has_become_looked_after": False},
)
case(
    "referral_31_august_leap",
    "31 August 2022 + 18 months = 29 February 2024, which counts",
    cin("REFERRAL_31_AUGUST_LEAP", "2022-08-31"),
    episode("REFERRAL_31_AUGUST_LEAP", "2024-02-29"),
    outcome={"has_become_looked_after": True},
)

# --- Age (FV.SAMPLE.1) ------------------------------------------------------------------------------

case(
    "turns_18_before_referral",
    "born February 2004, referred February 2022: 216 months, 18 and out of the sample",
    cin("TURNS_18_BEFORE_REFERRAL", "2022-02-01", birth_year=2004, birth_month=2),
    outcome={
        "age_at_referral_months": 216,
        "is_in_age_range": False,
        "is_in_sample__became_looked_after": False,
    },
)
case(
    "17_turning_18_mid_window",
    "17 at the referral keeps the whole window: care after the 18th birthday counts (FV.SAMPLE.5)",
    cin("17_TURNING_18_MID_WINDOW", "2022-02-01", birth_year=2004, birth_month=3),
    episode("17_TURNING_18_MID_WINDOW", "2022-12-01"),
    outcome={
        "age_at_referral_months": 215,
        "has_become_looked_after": True,
        "is_in_sample__became_looked_after": True,
        "is_fully_observed__became_looked_after": True,
    },
)
case(
    "born_29_february",
    "born (29) February 2004, referred 31 January 2022: the month decides, 215 months, in the sample",
    cin("BORN_29_FEBRUARY", "2022-01-31", birth_year=2004, birth_month=2),
    outcome={"age_at_referral_months": 215, "is_in_sample__became_looked_after": True},
)
case(
    "unborn_at_referral",
    "expected in March, born in April after the referral: unborn, age 0, gender 0 though a boy later",
    cin(
        "UNBORN_AT_REFERRAL",
        "2022-01-20",
        birth_year=2022,
        birth_month=3,
        is_expected_birth="1",
        is_unborn="1",
        gender="0",
        ethnicity="NOBT",
    ),
    cin(
        "UNBORN_AT_REFERRAL",
        "2022-01-20",
        return_year=2023,
        birth_year=2022,
        birth_month=4,
        gender="1",
        closure_date="2022-09-01",
        closure_reason="RC7",
    ),
    episode("UNBORN_AT_REFERRAL", "2022-04-03"),
    outcome={
        "age_at_referral_months": 0,
        "is_unborn_at_referral": True,
        "gender": 0,
        "ethnicity": "WBRI",
        "has_become_looked_after": True,
        "is_in_sample__became_looked_after": True,
    },
)
case(
    "unborn_by_the_flag",
    "expected in the month of the referral: only the return's flag says unborn",
    cin(
        "UNBORN_BY_THE_FLAG",
        "2022-03-20",
        birth_year=2022,
        birth_month=3,
        is_expected_birth="1",
        is_unborn="1",
        gender="0",
    ),
    outcome={"age_at_referral_months": 0, "is_unborn_at_referral": True, "gender": 0},
)
case(
    "born_in_month_of_referral",
    "born in the month of the referral, no flag: born, age 0, gender known",
    cin("BORN_IN_MONTH_OF_REFERRAL", "2022-03-02", birth_year=2022, birth_month=3, gender="1"),
    outcome={"age_at_referral_months": 0, "is_unborn_at_referral": False, "gender": 1},
)

# --- Which referral (A.7, FV.SAMPLE.1, FV.SAMPLE.6, FV.PROG.3) --------------------------------------

case(
    "re_reported_referral",
    "one referral in three returns: one spell, latest closure, earliest valid need",
    cin("RE_REPORTED_REFERRAL", "2021-02-01", primary_need="XX"),
    cin("RE_REPORTED_REFERRAL", "2021-02-01", return_year=2022, primary_need="N4"),
    cin(
        "RE_REPORTED_REFERRAL",
        "2021-02-01",
        return_year=2023,
        primary_need="N5",
        closure_date="2022-06-30",
        closure_reason="RC7",
    ),
    outcome={"index_referral_date": day("2021-02-01"), "financial_year": "2020/21", "primary_need": 4},
    spells=[
        {
            "la_code": "306",
            "la_id": "306",
            "referral_date": day("2021-02-01"),
            "closure_date": day("2022-06-30"),
            "closure_reason": "RC7",
            "is_nfa": False,
            "primary_need": 4,
        }
    ],
)
case(
    "nfa_in_one_return_only",
    "no further action in one return, open in the next: further action",
    cin("NFA_IN_ONE_RETURN_ONLY", "2021-03-30", referral_nfa="1", primary_need=None),
    cin("NFA_IN_ONE_RETURN_ONLY", "2021-03-30", return_year=2022, referral_nfa="0", primary_need="N8"),
    outcome={"primary_need": 8},
    spells=[{"is_nfa": False, "primary_need": 8}],
)
case(
    "nfa_counts_as_referral",
    "basis 'all': a referral with no further action is the index though a real one follows",
    cin("NFA_COUNTS_AS_REFERRAL", "2021-06-01", referral_nfa="true", primary_need=None),
    cin("NFA_COUNTS_AS_REFERRAL", "2021-09-01"),
    outcome={"index_referral_date": day("2021-06-01"), "primary_need": None},
    spells=[{"is_nfa": True}, {"is_nfa": False}],
)
case(
    "first_in_the_trial_period",
    "a referral of 31 December 2020 is too early; the first one in the trial period is the index",
    cin("FIRST_IN_THE_TRIAL_PERIOD", "2020-12-31", closure_date="2021-02-10", closure_reason="RC7"),
    cin("FIRST_IN_THE_TRIAL_PERIOD", "2021-03-05", closure_date="2021-04-01", closure_reason="RC7"),
    cin("FIRST_IN_THE_TRIAL_PERIOD", "2022-03-05"),
    outcome={"index_referral_date": day("2021-03-05")},
)
case(
    "last_day_of_the_trial_period",
    "31 May 2023: six months after the last go-live month, to its end; observed to 30 November 2024",
    cin("LAST_DAY_OF_THE_TRIAL_PERIOD", "2023-05-31"),
    outcome={"index_referral_date": day("2023-05-31"), "is_fully_observed__became_looked_after": True},
)
case(
    "after_the_trial_period",
    "1 June 2023 is outside",
    cin("AFTER_THE_TRIAL_PERIOD", "2023-06-01"),
    outcome=None,
)
case(
    "two_las_same_day",
    "same day, two LAs, one pupil: Newcastle took no further action, so Croydon is the index",
    cin("TWO_LAS_SAME_DAY", "2022-03-10", pupil_id="PUPIL2LAS"),
    cin(
        "TWO_LAS_SAME_DAY_N",
        "2022-03-10",
        pupil_id="PUPIL2LAS",
        la_code="391",
        referral_nfa="1",
        primary_need=None,
    ),
    child_id=("pupil", "PUPIL2LAS"),
    outcome={"la_id": "306", "is_treatment_la": False, "primary_need": 1},
)
case(
    "two_las_same_day_longest_open",
    "both with further action: the referral that stayed open longest (Newcastle, still open)",
    cin(
        "TWO_LAS_LONGEST_OPEN",
        "2022-03-10",
        pupil_id="PUPILLONGEST",
        closure_date="2022-03-30",
        closure_reason="RC8",
    ),
    cin("TWO_LAS_LONGEST_OPEN_N", "2022-03-10", pupil_id="PUPILLONGEST", la_code="391", primary_need="N5"),
    child_id=("pupil", "PUPILLONGEST"),
    outcome={"la_id": "391", "is_treatment_la": True, "is_treated": True, "primary_need": 5},
)
case(
    "two_las_same_day_tie",
    "nothing tells the two apart but a hash: both are candidates",
    cin("TWO_LAS_TIE", "2022-03-10", pupil_id="PUPILTIE"),
    cin("TWO_LAS_TIE_N", "2022-03-10", pupil_id="PUPILTIE", la_code="391"),
    child_id=("pupil", "PUPILTIE"),
    outcome={"index_referral_date": day("2022-03-10")},
    tie_la_ids=["306", "391"],
)

# --- Treatment (FV.TREAT.1) -------------------------------------------------------------------------

case(
    "treated_from_the_first_day",
    "Warwickshire, 1 July 2021: treated",
    cin("TREATED_FROM_THE_FIRST_DAY", "2021-07-01", la_code="937"),
    child_id=("la", "937", "TREATED_FROM_THE_FIRST_DAY"),
    outcome={"is_treatment_la": True, "is_treated": True, "financial_year": "2021/22"},
)
case(
    "day_before_go_live",
    "Warwickshire, 30 June 2021: a treatment LA, not yet treated",
    cin("DAY_BEFORE_GO_LIVE", "2021-06-30", la_code="937"),
    child_id=("la", "937", "DAY_BEFORE_GO_LIVE"),
    outcome={"is_treatment_la": True, "is_treated": False},
)

# --- Who is who (FV.SAMPLE.1, traps 4 and 24) -------------------------------------------------------

case(
    "changed_child_id_bridged_by_pupil_id",
    "a new LA child id, the same pupil id: care under the new id belongs to the referral under the old",
    cin("CHANGED_CHILD_ID_OLD", "2022-03-10", pupil_id="PUPILBRIDGE", birth_month=6),
    looked_after("CHANGED_CHILD_ID_NEW", 2023, pupil_id="PUPILBRIDGE"),
    looked_after("CHANGED_CHILD_ID_NEW", 2024, pupil_id=None),
    episode("CHANGED_CHILD_ID_NEW", "2022-11-01", return_year=2024),
    child_id=("pupil", "PUPILBRIDGE"),
    outcome={
        "has_become_looked_after": True,
        "first_care_start_date": day("2022-11-01"),
        "age_at_referral_months": 106,
    },
)
case(
    "un_code_is_no_pupil_id",
    "'UN3' says why there is no pupil id; it links nobody",
    cin("UN_CODE_IS_NO_PUPIL_ID", "2022-03-10", pupil_id="UN3"),
    outcome={"index_referral_date": day("2022-03-10"), "is_fsm": None},
)
case(
    "reorganised_la",
    "Northamptonshire (928) then West Northamptonshire (941): one area, one referral, one period of care",
    cin("REORGANISED_LA", "2021-02-10", la_code="928"),
    cin(
        "REORGANISED_LA",
        "2021-02-10",
        return_year=2022,
        la_code="941",
        closure_date="2021-12-01",
        closure_reason="RC7",
    ),
    looked_after("REORGANISED_LA", 2021, la_code="928"),
    looked_after("REORGANISED_LA", 2022, la_code="941"),
    episode("REORGANISED_LA", "2021-02-20", la_code="928", return_year=2021),
    episode("REORGANISED_LA", "2021-02-20", "2021-06-01", "E4A", la_code="941"),
    child_id=("la", "928", "REORGANISED_LA", "2013-05"),
    outcome={"la_id": "928", "has_become_looked_after": True},
    periods=[("2021-02-20", "2021-06-01")],
    spells=[{"la_code": "928", "la_id": "928", "closure_date": day("2021-12-01")}],
)
case(
    "reused_id_in_reorganised_la",
    "the id of a Northamptonshire child given to another child in 941: two children, told by birth",
    cin("REUSED_ID", "2021-02-10", la_code="928", birth_year=2010, birth_month=1),
    cin("REUSED_ID", "2022-02-10", la_code="941"),
    looked_after("REUSED_ID", 2022, la_code="941"),
    episode("REUSED_ID", "2022-02-20", la_code="941"),
    child_id=("la", "928", "REUSED_ID", "2010-01"),
    outcome={"index_referral_date": day("2021-02-10"), "has_become_looked_after": False},
    periods=[],
)

# --- Chaining episodes of care (B.3) ----------------------------------------------------------------

case(
    "chained_episodes",
    "a change of placement and a change of status do not end care; 31 March rows are not new episodes",
    cin("CHAINED_EPISODES", "2022-03-10"),
    episode("CHAINED_EPISODES", "2022-03-20", return_year=2022),
    episode("CHAINED_EPISODES", "2022-03-20", "2022-06-01", "X1"),
    episode("CHAINED_EPISODES", "2022-06-01", "2022-08-01", "X1", reason_for_new_episode="P"),
    episode("CHAINED_EPISODES", "2022-08-01", "2022-12-24", "E4A", reason_for_new_episode="L"),
    periods=[("2022-03-20", "2022-12-24")],
    outcome={"first_care_start_date": day("2022-03-20")},
)
case(
    "gap_after_x1",
    "X1, then a gap, then a change of placement: the gap is in the record, care went on",
    cin("GAP_AFTER_X1", "2022-07-01"),
    episode("GAP_AFTER_X1", "2022-03-20", "2022-06-01", "X1"),
    episode("GAP_AFTER_X1", "2022-07-05", "2022-12-24", "E4A", reason_for_new_episode="P"),
    periods=[("2022-03-20", "2022-12-24")],
    outcome={"is_looked_after_at_referral": True, "first_care_start_date": None},
)
case(
    "s_after_x1",
    "X1, then a gap, then a start (S): a new period, the old one ended on its last day",
    cin("S_AFTER_X1", "2022-07-01"),
    episode("S_AFTER_X1", "2022-03-20", "2022-06-01", "X1"),
    episode("S_AFTER_X1", "2022-07-05", "2022-12-24", "E4A"),
    periods=[("2022-03-20", "2022-06-01"), ("2022-07-05", "2022-12-24")],
    outcome={"is_looked_after_at_referral": False, "has_become_looked_after": True},
)
case(
    "s_on_the_day_of_x1",
    "S on the very day of an X1 is a mis-coded change (rule 431): one period",
    cin("S_ON_THE_DAY_OF_X1", "2022-05-01"),
    episode("S_ON_THE_DAY_OF_X1", "2022-03-20", "2022-06-01", "X1"),
    episode("S_ON_THE_DAY_OF_X1", "2022-06-01", "2022-12-24", "E4A"),
    periods=[("2022-03-20", "2022-12-24")],
    outcome={"is_looked_after_at_referral": True, "is_in_sample__became_looked_after": False},
)
case(
    "home_and_back_the_same_day",
    "returned home and started again on one day: a new period (S after an end for good)",
    cin("HOME_AND_BACK_THE_SAME_DAY", "2022-06-01"),
    episode("HOME_AND_BACK_THE_SAME_DAY", "2022-03-20", "2022-06-01", "E4A"),
    episode("HOME_AND_BACK_THE_SAME_DAY", "2022-06-01", "2022-12-24", "E4A"),
    periods=[("2022-03-20", "2022-06-01"), ("2022-06-01", "2022-12-24")],
    outcome={"is_looked_after_at_referral": False, "has_become_looked_after": True},
)
case(
    "gap_after_an_end",
    "home, then back with a wrong reason (P instead of S): the gap makes it a new period",
    cin("GAP_AFTER_AN_END", "2022-06-10"),
    episode("GAP_AFTER_AN_END", "2022-03-20", "2022-06-01", "E4A"),
    episode("GAP_AFTER_AN_END", "2022-07-01", reason_for_new_episode="P"),
    periods=[("2022-03-20", "2022-06-01"), ("2022-07-01", None)],
    outcome={"has_become_looked_after": True},
)

# --- Covariates (FV.COV) ----------------------------------------------------------------------------

case(
    "gender_and_ethnicity_conflict",
    "recorded 2 then M, Pakistani then Indian, and a refusal: gender 4, code missing, group Asian",
    cin("GENDER_AND_ETHNICITY", "2022-03-10", ethnicity="APKN"),
    cin("GENDER_AND_ETHNICITY", "2022-03-10", return_year=2023, gender="0", ethnicity="REFU"),
    cin("GENDER_AND_ETHNICITY", "2022-03-10", return_year=2025, gender="M", ethnicity="aind "),
    child_id=("la", "306", "GENDER_AND_ETHNICITY"),
    outcome={"gender": 4, "ethnicity": None, "ethnic_group": "Asian"},
)
case(
    "ethnic_groups_conflict",
    "White British then Caribbean: group missing too; 2 then F then U is one gender",
    cin("ETHNIC_GROUPS_CONFLICT", "2022-03-10"),
    cin("ETHNIC_GROUPS_CONFLICT", "2024-05-01", return_year=2025, gender="U", ethnicity="BCRB"),
    cin("ETHNIC_GROUPS_CONFLICT", "2022-03-10", return_year=2025, gender="F", ethnicity="NOBT"),
    outcome={"gender": 2, "ethnicity": None, "ethnic_group": "Missing"},
)
case(
    "maximum_over_time",
    "disabled and asylum-seeking count once said, also after the referral and in another record",
    cin("MAXIMUM_OVER_TIME", "2022-03-10", disability="NONE"),
    cin("MAXIMUM_OVER_TIME", "2023-11-10", disability="AUT,LD"),
    looked_after("MAXIMUM_OVER_TIME", 2019, uasc_status="1"),
    looked_after("MAXIMUM_OVER_TIME", 2022, uasc_status="0"),
    outcome={
        "is_disabled": True,
        "is_uasc": True,
        "is_disabled_up_to_referral": False,
        "is_uasc_up_to_referral": True,
        "index_referral_date": day("2022-03-10"),
    },
)
case(
    "said_in_april",
    "referred in April 2021: the return to March 2022 covers the day, and says disabled and asylum-seeking",
    cin("SAID_IN_APRIL", "2021-04-10", disability="AUT"),
    looked_after("SAID_IN_APRIL", 2022, uasc_status="1"),
    outcome={
        "index_referral_date": day("2021-04-10"),
        "is_disabled_up_to_referral": True,
        "is_uasc_up_to_referral": True,
    },
)
case(
    "free_meals_in_the_next_spring",
    "referred 1 September 2021: the census of January 2022 is of the same academic year and counts",
    cin("FREE_MEALS_NEXT_SPRING", "2021-09-01", pupil_id="PUPILFSM1"),
    census("PUPILFSM1", 2021),
    census("PUPILFSM1", 2022, fsm_eligible="1"),
    child_id=("pupil", "PUPILFSM1"),
    outcome={"is_fsm": True},
)
case(
    "free_meals_too_late",
    "referred 31 August 2021: the census of January 2022 is of the next academic year",
    cin("FREE_MEALS_TOO_LATE", "2021-08-31", pupil_id="PUPILFSM2"),
    census("PUPILFSM2", 2021),
    census("PUPILFSM2", 2022, fsm_eligible="1"),
    child_id=("pupil", "PUPILFSM2"),
    outcome={"is_fsm": False},
)
case(
    "pupil_premium_in_year_3",
    "the pupil premium measure counts to year 2 only",
    cin("PUPIL_PREMIUM_IN_YEAR_3", "2021-09-01", pupil_id="PUPILFSM3"),
    census("PUPILFSM3", 2021, nc_year="3", ever_fsm_6_p="1", ever_fsm_6=None),
    child_id=("pupil", "PUPILFSM3"),
    outcome={"is_fsm": False},
)
case(
    "pupil_premium_in_year_2",
    "in year 2 it counts",
    cin("PUPIL_PREMIUM_IN_YEAR_2", "2021-09-01", pupil_id="PUPILFSM4"),
    census("PUPILFSM4", 2021, nc_year="2", ever_fsm_6_p="1", ever_fsm_6=None),
    child_id=("pupil", "PUPILFSM4"),
    outcome={"is_fsm": True},
)
case(
    "not_observed_in_a_census",
    "only a census after the referral's academic year: not observed",
    cin("NOT_OBSERVED_IN_A_CENSUS", "2021-08-31", pupil_id="PUPILFSM5"),
    census("PUPILFSM5", 2022, fsm_eligible="1"),
    child_id=("pupil", "PUPILFSM5"),
    outcome={"is_fsm": None},
)
case(
    "previous_plans_seen",
    "two earlier plans, one re-reported, one in another LA; the referral's own plan does not count",
    cin("PREVIOUS_PLANS_SEEN", "2018-05-01", pupil_id="PUPILCPP1", cpp_start_date="2018-05-20"),
    cin(
        "PREVIOUS_PLANS_SEEN",
        "2018-05-01",
        return_year=2020,
        pupil_id="PUPILCPP1",
        cpp_start_date="2018-05-20",
    ),
    cin(
        "PREVIOUS_PLANS_N",
        "2020-05-01",
        la_code="391",
        pupil_id="PUPILCPP1",
        cpp_start_date="2020-06-01",
        cpp_previous_count=0,
    ),
    cin(
        "PREVIOUS_PLANS_SEEN",
        "2022-03-10",
        pupil_id="PUPILCPP1",
        cpp_start_date="2022-03-30",
        cpp_previous_count=1,
    ),
    child_id=("pupil", "PUPILCPP1"),
    outcome={"previous_cpp_count": 2},
)
case(
    "previous_plans_stated",
    "no earlier plan in the extracts, but the first plan after the referral says 3; a later plan says 4",
    cin(
        "PREVIOUS_PLANS_STATED",
        "2022-03-10",
        cpp_start_date="2022-03-30",
        cpp_end_date="2022-09-30",
        cpp_previous_count=3,
    ),
    cin("PREVIOUS_PLANS_STATED", "2023-03-10", cpp_start_date="2023-03-30", cpp_previous_count=4),
    outcome={"previous_cpp_count": 3},
)

# --- Which report counts when they differ -----------------------------------------------------------

case(
    "pupil_id_of_the_first_year",
    "two pupil ids under one LA child id: the first one over the return years is the child's",
    cin("PUPIL_ID_OF_THE_FIRST_YEAR", "2021-02-01", pupil_id=None),
    cin("PUPIL_ID_OF_THE_FIRST_YEAR", "2021-02-01", return_year=2022, pupil_id="PUPILZ"),
    cin("PUPIL_ID_OF_THE_FIRST_YEAR", "2021-02-01", return_year=2023, pupil_id="PUPILA"),
    child_id=("pupil", "PUPILZ"),
    outcome={"index_referral_date": day("2021-02-01")},
)
case(
    "real_birth_before_expected",
    "a real birth counts, though a later return says expected again; of two real ones the later return's",
    cin("REAL_BIRTH", "2021-02-01", birth_month=5),
    cin("REAL_BIRTH", "2021-02-01", return_year=2022, birth_month=6),
    cin("REAL_BIRTH", "2021-02-01", return_year=2023, birth_month=8, is_expected_birth="1"),
    child_id=("la", "306", "REAL_BIRTH"),
    outcome={"age_at_referral_months": 92, "is_unborn_at_referral": False},
)
case(
    "two_las_same_day_nfa_open_longer",
    "further action decides before length: the Newcastle NFA referral, closed later, is not the index",
    cin("TWO_LAS_NFA_LONGER", "2022-03-10", pupil_id="PUPILNFA", closure_date="2022-03-20"),
    cin(
        "TWO_LAS_NFA_LONGER_N",
        "2022-03-10",
        pupil_id="PUPILNFA",
        la_code="391",
        referral_nfa="1",
        closure_date="2022-12-20",
    ),
    child_id=("pupil", "PUPILNFA"),
    outcome={"la_id": "306"},
)
case(
    "two_closures",
    "two returns with a closure: the later return's, even if it is the earlier day",
    cin("TWO_CLOSURES", "2021-02-01", closure_date="2021-03-31", closure_reason="RC8"),
    cin(
        "TWO_CLOSURES",
        "2021-02-01",
        return_year=2022,
        closure_date="2021-03-15",
        closure_reason="RC7",
    ),
    cin("TWO_CLOSURES", "2021-02-01", return_year=2023),
    outcome={"index_referral_date": day("2021-02-01")},
    spells=[{"closure_date": day("2021-03-15"), "closure_reason": "RC7"}],
)

# --- One child code, several children (trap 5, DECISIONS D30) ----------------------------------------

SHARED_CODE = (
    cin("SHARED_CODE", "2021-06-01", birth_year=2010, birth_month=1, closure_date="2021-07-01", closure_reason="RC8"),
    cin("SHARED_CODE", "2022-06-01", birth_year=2016, birth_month=5, gender="1", ethnicity="BCRB"),
    looked_after("SHARED_CODE", 2023, birth_year=2016, birth_month=5, gender="1", ethnicity="BCRB"),
    episode("SHARED_CODE", "2022-08-01", "2023-01-10", "E4A"),
)
case(
    "shared_code_elder",
    "one code, births six years apart in two returns: the elder child was referred and never looked after",
    *SHARED_CODE,
    child_id=("la", "306", "SHARED_CODE", "2010-01"),
    outcome={
        "index_referral_date": day("2021-06-01"),
        "age_at_referral_months": 137,
        "gender": 2,
        "ethnic_group": "White",
        "has_become_looked_after": False,
    },
    periods=[],
    spells=[{"referral_date": day("2021-06-01")}],
)
case(
    "shared_code_younger",
    "the younger one has the second referral, and the episode: the Header of that return states its birth",
    *SHARED_CODE,
    child_id=("la", "306", "SHARED_CODE", "2016-05"),
    outcome={
        "index_referral_date": day("2022-06-01"),
        "age_at_referral_months": 73,
        "gender": 1,
        "ethnic_group": "Black",
        "has_become_looked_after": True,
    },
    periods=[("2022-08-01", "2023-01-10")],
    spells=[{"referral_date": day("2022-06-01")}],
)

TWO_IN_ONE_RETURN = (
    cin("TWO_IN_ONE_RETURN", "2022-03-01", birth_year=2012, birth_month=2),
    cin("TWO_IN_ONE_RETURN", "2022-03-08", birth_year=2012, birth_month=9),
    looked_after("TWO_IN_ONE_RETURN", 2023, birth_year=2012, birth_month=2),
    looked_after("TWO_IN_ONE_RETURN", 2023, birth_year=2012, birth_month=9),
    episode("TWO_IN_ONE_RETURN", "2022-05-01", "2022-09-01", "E4A"),
)
case(
    "two_in_one_return",
    "seven months apart in one return: two children; with both in the Header nobody can say whose the episode is",
    *TWO_IN_ONE_RETURN,
    child_id=("la", "306", "TWO_IN_ONE_RETURN", "2012-02"),
    outcome={"index_referral_date": day("2022-03-01"), "has_become_looked_after": False},
    periods=[],
)
case(
    "two_in_one_return_the_other",
    "the other of the two",
    *TWO_IN_ONE_RETURN,
    child_id=("la", "306", "TWO_IN_ONE_RETURN", "2012-09"),
    outcome={"index_referral_date": day("2022-03-08"), "has_become_looked_after": False},
    periods=[],
)
case(
    "two_in_one_return_the_episode",
    "the episode is kept, under nobody's name",
    *TWO_IN_ONE_RETURN,
    child_id=("la", "306", "TWO_IN_ONE_RETURN", ""),
    outcome={"la_id": None, "is_in_age_range_at_care_start": False, "age_at_care_start_months": None},
    periods=[("2022-05-01", "2022-09-01")],
    spells=[],
)
case(
    "typing_error_corrected",
    "seven months apart in two returns is a correction: one child, the later return counts",
    cin("TYPING_ERROR", "2021-06-01", birth_year=2012, birth_month=2),
    cin("TYPING_ERROR", "2022-06-01", birth_year=2012, birth_month=9),
    child_id=("la", "306", "TYPING_ERROR"),
    outcome={"index_referral_date": day("2021-06-01"), "age_at_referral_months": 105},
    spells=[{"referral_date": day("2021-06-01")}, {"referral_date": day("2022-06-01")}],
)

UNBORN_UNDER_A_USED_CODE = (
    cin("USED_CODE", "2021-02-01", birth_year=2009, birth_month=3, closure_date="2021-03-01", closure_reason="RC7"),
    cin(
        "USED_CODE",
        "2022-01-20",
        birth_year=2022,
        birth_month=4,
        is_expected_birth="1",
        is_unborn="1",
        gender="0",
        ethnicity="NOBT",
    ),
    cin("USED_CODE", "2022-01-20", return_year=2023, birth_year=2022, birth_month=5, closure_date="2022-09-01"),
    cin("USED_CODE", "2021-11-01", birth_year=None, birth_month=None),
)
case(
    "unborn_under_a_used_code",
    "the unborn row belongs to the child born a month after the expected one, not to the code's earlier owner",
    *UNBORN_UNDER_A_USED_CODE,
    child_id=("la", "306", "USED_CODE", "2022-05"),
    outcome={"index_referral_date": day("2022-01-20"), "is_unborn_at_referral": True, "gender": 0},
    spells=[{"referral_date": day("2022-01-20"), "closure_date": day("2022-09-01")}],
)
case(
    "no_birth_under_a_used_code",
    "a return that states no birth for a code of two children: the referral is kept, its child's age is not known",
    *UNBORN_UNDER_A_USED_CODE,
    child_id=("la", "306", "USED_CODE", ""),
    outcome={"age_at_referral_months": None, "is_in_age_range": False},
    spells=[{"referral_date": day("2021-11-01")}],
)
case(
    "shared_code_one_pupil",
    "a pupil reference that both births carry makes them one child (D15: at most twelve months apart)",
    cin("SHARED_CODE_ONE_PUPIL", "2022-03-01", birth_year=2012, birth_month=2, pupil_id="PUPILSHARED"),
    cin("SHARED_CODE_ONE_PUPIL", "2022-03-08", birth_year=2012, birth_month=9, pupil_id="PUPILSHARED"),
    child_id=("pupil", "PUPILSHARED"),
    outcome={"index_referral_date": day("2022-03-01")},
    spells=[{"referral_date": day("2022-03-01")}, {"referral_date": day("2022-03-08")}],
)

# --- No further action, yet action (trap 13, DECISIONS D31) -------------------------------------------

case(
    "nfa_with_an_assessment",
    "flagged no further action, yet assessed: further action",
    cin("NFA_WITH_AN_ASSESSMENT", "2022-03-10", referral_nfa="1", primary_need=None),
    assessment("NFA_WITH_AN_ASSESSMENT", "2022-03-10", "2022-03-12"),
    outcome={"index_referral_date": day("2022-03-10")},
    spells=[{"is_nfa": False}],
)
case(
    "nfa_with_an_enquiry_later",
    "the section 47 enquiry stands in a later return than the flag",
    cin("NFA_WITH_AN_ENQUIRY", "2022-03-30", referral_nfa="1", primary_need=None),
    enquiry("NFA_WITH_AN_ENQUIRY", "2022-03-30", "2022-04-02"),
    child_id=("la", "306", "NFA_WITH_AN_ENQUIRY"),
    outcome={"index_referral_date": day("2022-03-30")},
    spells=[{"is_nfa": False}],
)
case(
    "nfa_with_a_plan",
    "a CIN plan under a referral with no further action",
    cin("NFA_WITH_A_PLAN", "2022-03-10", referral_nfa="1", cin_plan_start_date="2022-03-20"),
    cin("NFA_WITH_A_PLAN", "2022-05-10", referral_nfa="1"),
    outcome={"index_referral_date": day("2022-03-10")},
    spells=[{"is_nfa": False}, {"is_nfa": True}],
)

# --- The window of the primary outcome, other readings (FV.OUT.P, FV.SAMPLE.5) -----------------------

LOOKED_AFTER = "became_looked_after"

case(
    "care_after_exactly_12_months",
    "10 March 2022 to 10 March 2023: the last day of the 12-month reading",
    cin("CARE_AFTER_EXACTLY_12_MONTHS", "2022-03-10"),
    episode("CARE_AFTER_EXACTLY_12_MONTHS", "2023-03-10"),
    values={
        (LOOKED_AFTER, "window_12"): (True, True, True),
        (LOOKED_AFTER, "default"): (True, True, True),
        (LOOKED_AFTER, "window_24"): (True, True, True),
    },
)
case(
    "care_after_exactly_24_months",
    "10 March 2024 is within 24 months, not within 18",
    cin("CARE_AFTER_EXACTLY_24_MONTHS", "2022-03-10"),
    episode("CARE_AFTER_EXACTLY_24_MONTHS", "2024-03-10"),
    values={
        (LOOKED_AFTER, "window_12"): (True, True, False),
        (LOOKED_AFTER, "default"): (True, True, False),
        (LOOKED_AFTER, "window_24"): (True, True, True),
    },
)
case(
    "window_24_beyond_the_extract",
    "referred 10 May 2023: 24 months end on 10 May 2025, after the last return; missing, though care began",
    cin("WINDOW_24_BEYOND_THE_EXTRACT", "2023-05-10"),
    episode("WINDOW_24_BEYOND_THE_EXTRACT", "2023-08-01"),
    values={
        (LOOKED_AFTER, "default"): (True, True, True),
        (LOOKED_AFTER, "window_24"): (True, False, None),
    },
)
case(
    "kept_though_already_looked_after",
    "in care at the referral and again within 18 months: only the reading that keeps such children has a value",
    cin("KEPT_THOUGH_ALREADY_LOOKED_AFTER", "2022-03-10"),
    episode("KEPT_THOUGH_ALREADY_LOOKED_AFTER", "2021-12-01", "2022-03-11", "E4A"),
    episode("KEPT_THOUGH_ALREADY_LOOKED_AFTER", "2022-10-01", placement="U1"),
    outcome={"is_in_sample__kinship_care": False, "is_in_sample__started_cpp": True},
    values={
        (LOOKED_AFTER, "default"): (False, True, None),
        (LOOKED_AFTER, "with_already_looked_after"): (True, True, True),
        ("kinship_care", "default"): (False, True, None),
    },
)
case(
    "care_on_the_18th_birthday",
    "born March 2004: 18 on 1 March 2022; care from that day counts unless a reading censors at 18",
    cin("CARE_ON_THE_18TH_BIRTHDAY", "2022-02-01", birth_year=2004, birth_month=3),
    episode("CARE_ON_THE_18TH_BIRTHDAY", "2022-03-01"),
    values={
        (LOOKED_AFTER, "default"): (True, True, True),
        (LOOKED_AFTER, "censored_at_18"): (True, True, False),
    },
)
case(
    "care_on_the_eve_of_18",
    "the last day before the birthday counts in both",
    cin("CARE_ON_THE_EVE_OF_18", "2022-02-01", birth_year=2004, birth_month=3, cpp_start_date="2022-02-28"),
    episode("CARE_ON_THE_EVE_OF_18", "2022-02-28"),
    values={
        (LOOKED_AFTER, "censored_at_18"): (True, True, True),
        ("started_cpp", "censored_at_18"): (True, True, True),
    },
)

# --- Child protection plans and days on plans (FV.OUT.S1, FV.OUT.S2, D32) -----------------------------

case(
    "plan_on_last_day_of_12_months",
    "a child protection plan from 10 March 2023, twelve months after the referral to the day",
    cin("PLAN_ON_LAST_DAY", "2022-03-10", return_year=2023, cpp_start_date="2023-03-10"),
    child_id=("la", "306", "PLAN_ON_LAST_DAY"),
    outcome={"has_started_cpp": True, "is_in_sample__started_cpp": True, "is_fully_observed__started_cpp": True},
)
case(
    "plan_day_after_12_months",
    "a day later it is no plan within twelve months; its days within 18 months count all the same",
    cin("PLAN_DAY_AFTER", "2022-03-10", return_year=2023, cpp_start_date="2023-03-11", cpp_end_date="2023-03-31"),
    child_id=("la", "306", "PLAN_DAY_AFTER"),
    outcome={"has_started_cpp": False, "cpp_days": 20},
)
case(
    "plan_of_one_day",
    "started and ended on 1 April 2022: it started, and has no day",
    cin(
        "PLAN_OF_ONE_DAY",
        "2022-03-10",
        return_year=2023,
        cpp_start_date="2022-04-01",
        cpp_end_date="2022-04-01",
    ),
    outcome={"has_started_cpp": True, "cpp_days": 0, "plan_days": 0},
)
case(
    "plan_from_before_the_referral",
    "on a plan since December when referred again on 1 February 2021: not started, 28 + 9 days of it in the window; "
    "59 of the window's 546 days lie before CIN plans can be seen",
    cin(
        "PLAN_FROM_BEFORE",
        "2020-11-01",
        closure_date="2021-03-31",
        closure_reason="RC7",
        cpp_start_date="2020-12-01",
        cpp_end_date="2021-03-10",
    ),
    cin("PLAN_FROM_BEFORE", "2021-02-01", closure_date="2021-03-31", closure_reason="RC7"),
    child_id=("la", "306", "PLAN_FROM_BEFORE"),
    outcome={
        "index_referral_date": day("2021-02-01"),
        "has_started_cpp": False,
        "previous_cpp_count": 1,
        "cpp_days": 37,
        "plan_days": None,
        "cin_plan_days": None,
        "plan_observable_share": 487 / 546,
        "is_in_sample__plan_days": True,
        "is_fully_observed__plan_days": False,
    },
    values={("plan_days", "cpp_days"): (True, True, 37)},
)
case(
    "two_plans_overlap",
    "1 February to 1 May and 1 April to 1 June 2022: 120 days, April once",
    cin(
        "TWO_PLANS_OVERLAP",
        "2022-01-10",
        return_year=2023,
        cpp_start_date="2022-02-01",
        cpp_end_date="2022-05-01",
    ),
    cin(
        "TWO_PLANS_OVERLAP",
        "2022-01-10",
        return_year=2023,
        cpp_start_date="2022-04-01",
        cpp_end_date="2022-06-01",
    ),
    outcome={"cpp_days": 120, "plan_days": 120, "cin_plan_days": 0},
)
case(
    "cin_plan_beside_a_protection_plan",
    "CIN plan 20 January to 1 April, protection plan 1 March to 1 May 2022: 101 days, March is protection",
    cin(
        "CIN_PLAN_BESIDE",
        "2022-01-10",
        cin_plan_start_date="2022-01-20",
        return_year=2023,
        cin_plan_end_date="2022-04-01",
    ),
    cin("CIN_PLAN_BESIDE", "2022-01-10", return_year=2023, cpp_start_date="2022-03-01", cpp_end_date="2022-05-01"),
    child_id=("la", "306", "CIN_PLAN_BESIDE"),
    outcome={
        "plan_days": 101,
        "cpp_days": 61,
        "cin_plan_days": 40,
        "plan_observable_share": 1.0,
        "is_fully_observed__plan_days": True,
    },
)
case(
    "plan_open_at_end",
    "a CIN plan from 1 June 2022, still open in the last return: to the end of the window, 10 September 2023, 466 days",
    *(
        cin("PLAN_OPEN_AT_END", "2022-03-10", return_year=year, cin_plan_start_date="2022-06-01")
        for year in (2023, 2024, 2025)
    ),
    outcome={"plan_days": 466, "cin_plan_days": 466, "cpp_days": 0},
)
case(
    "plan_over_when_the_case_closed",
    "no end of the plan was ever stated, but the case closed on 1 December 2022: 183 days from 1 June",
    cin(
        "PLAN_OVER_WHEN_CLOSED",
        "2022-03-10",
        return_year=2023,
        cin_plan_start_date="2022-06-01",
        closure_date="2022-12-01",
        closure_reason="RC7",
    ),
    child_id=("la", "306", "PLAN_OVER_WHEN_CLOSED"),
    outcome={"plan_days": 183, "cin_episode_days": 266},
)
case(
    "plan_that_disappears",
    "open in the return of 2023, in no later one, though the LA went on returning: over by 31 March 2023, 303 days",
    cin("PLAN_THAT_DISAPPEARS", "2022-03-10", return_year=2023, cin_plan_start_date="2022-06-01"),
    outcome={"plan_days": 303, "cin_episode_days": 386},
)
case(
    "cin_plan_before_observable_day",
    "referred 31 March 2021: one day of the window lies before CIN plans can be seen, so days on plans are missing",
    cin("CIN_PLAN_BEFORE_OBSERVABLE_DAY", "2021-03-31", return_year=2022, cin_plan_start_date="2021-05-01"),
    outcome={
        "plan_days": None,
        "cin_plan_days": None,
        "cpp_days": 0,
        "cin_episode_days": 365,
        "plan_observable_share": 547 / 548,
        "is_fully_observed__plan_days": False,
    },
    values={
        ("plan_days", "default"): (True, False, None),
        ("plan_days", "cin_plan_days"): (True, False, None),
        ("plan_days", "cin_episode_days"): (True, True, 365),
    },
)
case(
    "cin_plan_from_the_observable_day",
    "referred a day later everything can be seen; the plan is over by 31 March 2022, 334 days from 1 May 2021",
    cin("CIN_PLAN_FROM_OBSERVABLE_DAY", "2021-04-01", cin_plan_start_date="2021-05-01"),
    child_id=("la", "306", "CIN_PLAN_FROM_OBSERVABLE_DAY"),
    outcome={"plan_days": 334, "plan_observable_share": 1.0, "is_fully_observed__plan_days": True},
)
case(
    "reopened_case_days",
    "open 10 March to 9 May (60), reopened that day to 8 June 2022 (30), again from 1 September 2023 (9 to the end)",
    cin("REOPENED_CASE_DAYS", "2022-03-10", return_year=2023, closure_date="2022-05-09", closure_reason="RC7"),
    cin("REOPENED_CASE_DAYS", "2022-05-09", closure_date="2022-06-08", closure_reason="RC7"),
    cin("REOPENED_CASE_DAYS", "2023-09-01"),
    outcome={"cin_episode_days": 99, "plan_days": 0},
    values={("plan_days", "cin_episode_days"): (True, True, 99)},
)

# --- Treatment in other readings (FV.TREAT.2 to 5) ----------------------------------------------------

case(
    "only_nfa_referrals",
    "treated by the date of the referral; never open, so no share of time and no days",
    cin("ONLY_NFA_REFERRALS", "2022-03-10", la_code="937", referral_nfa="1", primary_need=None),
    child_id=("la", "937", "ONLY_NFA_REFERRALS"),
    outcome={
        "is_treated": True,
        "is_treated_by_share_of_time": None,
        "is_treated_by_days": False,
        "is_treated_with_trailblazer": True,
        "is_in_embedding_period": False,
        "cin_episode_days": 0,
    },
)
case(
    "half_time_exactly",
    "Warwickshire, open 1 June to 31 July 2021: 30 days before go-live and 30 after are half of the time",
    cin("HALF_TIME_EXACTLY", "2021-06-01", la_code="937", closure_date="2021-07-31", closure_reason="RC7"),
    child_id=("la", "937", "HALF_TIME_EXACTLY"),
    outcome={"is_treated": False, "is_treated_by_share_of_time": True, "is_treated_by_days": True},
)
case(
    "four_weeks_exactly",
    "closed 29 July 2021: 28 days of 58 after go-live are four weeks, and less than half",
    cin("FOUR_WEEKS_EXACTLY", "2021-06-01", la_code="937", closure_date="2021-07-29", closure_reason="RC7"),
    child_id=("la", "937", "FOUR_WEEKS_EXACTLY"),
    outcome={"is_treated": False, "is_treated_by_share_of_time": False, "is_treated_by_days": True},
)
case(
    "a_day_short_of_four_weeks",
    "closed 28 July 2021: 27 days",
    cin("A_DAY_SHORT", "2021-06-01", la_code="937", closure_date="2021-07-28", closure_reason="RC7"),
    child_id=("la", "937", "A_DAY_SHORT"),
    outcome={"is_treated_by_share_of_time": False, "is_treated_by_days": False},
)
case(
    "open_in_two_las",
    "Croydon 1 May to 30 August 2021 (121 days), Warwickshire from 1 July (60 of the same days): less than half",
    cin(
        "OPEN_IN_TWO_LAS",
        "2021-05-01",
        pupil_id="PUPILTWOOPEN",
        closure_date="2021-08-30",
        closure_reason="RC7",
    ),
    cin(
        "OPEN_IN_TWO_LAS_W",
        "2021-07-01",
        pupil_id="PUPILTWOOPEN",
        la_code="937",
        closure_date="2021-08-30",
        closure_reason="RC7",
    ),
    child_id=("pupil", "PUPILTWOOPEN"),
    outcome={
        "la_id": "306",
        "is_treated": False,
        "is_treated_by_share_of_time": False,
        "is_treated_by_days": True,
        "cin_episode_days": 121,
    },
)
case(
    "trailblazer_without_a_date",
    "Darlington is the trailblazer and its date is not known: nobody can say whether the child was treated",
    cin("TRAILBLAZER", "2022-03-10", la_code="841"),
    child_id=("la", "841", "TRAILBLAZER"),
    outcome={"is_treatment_la": False, "is_treated": False, "is_treated_with_trailblazer": None},
)

# --- First placement (FV.SAMPLE.2, FV.OUT.S3) ---------------------------------------------------------

KINSHIP = ("kinship_care", "default")

case(
    "kinship_after_temporary_placement",
    "a hospital stay of five days, then an uncle: the temporary placement is read through",
    cin("KINSHIP_AFTER_TEMPORARY", "2022-03-10"),
    episode("KINSHIP_AFTER_TEMPORARY", "2022-04-01", "2022-04-06", "X1", placement="T1"),
    episode("KINSHIP_AFTER_TEMPORARY", "2022-04-06", placement="U3", reason_for_new_episode="P"),
    child_id=("la", "306", "KINSHIP_AFTER_TEMPORARY"),
    outcome={"is_kinship_first_placement": True, "is_in_sample__kinship_care": True},
    values={KINSHIP: (True, True, True)},
)
case(
    "kinship_later",
    "a stranger first, an aunt later: the first placement counts",
    cin("KINSHIP_LATER", "2022-03-10"),
    episode("KINSHIP_LATER", "2022-04-01", "2022-04-06", "X1", placement="U6"),
    episode("KINSHIP_LATER", "2022-04-06", placement="U1", reason_for_new_episode="P"),
    values={KINSHIP: (True, True, False)},
)
case(
    "placed_with_parents",
    "looked after and placed with the parents (P1): in the sample, not foster care",
    cin("PLACED_WITH_PARENTS", "2022-03-10"),
    episode("PLACED_WITH_PARENTS", "2022-04-01", placement="P1", legal_status="C2"),
    values={KINSHIP: (True, True, False)},
)
case(
    "only_a_temporary_placement",
    "no placement but a temporary one: in the sample, and nobody knows",
    cin("ONLY_TEMPORARY", "2022-03-10"),
    episode("ONLY_TEMPORARY", "2022-04-01", "2022-04-06", "E4A", placement="T4"),
    child_id=("la", "306", "ONLY_TEMPORARY"),
    outcome={"has_become_looked_after": True, "is_kinship_first_placement": None, "is_reunified": True},
    values={KINSHIP: (True, False, None)},
)
case(
    "kinship_too_late",
    "with a relative from the first day of care, 18 months and a day after the referral: not in the sample",
    cin("KINSHIP_TOO_LATE", "2022-03-10"),
    episode("KINSHIP_TOO_LATE", "2023-09-11", placement="U1"),
    values={KINSHIP: (False, True, None)},
)
case(
    "kinship_in_an_earlier_period",
    "with an aunt in a period of care that ended before the referral, with a stranger in the one after it",
    cin("KINSHIP_IN_AN_EARLIER_PERIOD", "2022-03-10"),
    episode("KINSHIP_IN_AN_EARLIER_PERIOD", "2021-04-01", "2021-08-01", "E4A", placement="U1"),
    episode("KINSHIP_IN_AN_EARLIER_PERIOD", "2022-05-01", placement="U6"),
    values={KINSHIP: (True, True, False)},
)

# --- Return home, anchored on the start of care (FV.SAMPLE.3, FV.OUT.S4) ------------------------------

HOME, HOME_ANY, HOME_18 = ("reunified", "default"), ("reunified", "with_unplanned"), ("reunified", "turning_18_in_care")

case(
    "return_on_last_day",
    "in care from 5 March 2021, home as planned on 5 September 2022, after another placement: the last day counts",
    cin("RETURN_ON_LAST_DAY", "2021-02-10"),
    looked_after("RETURN_ON_LAST_DAY", 2023),
    episode("RETURN_ON_LAST_DAY", "2021-03-05", "2021-10-01", "X1"),
    episode("RETURN_ON_LAST_DAY", "2021-10-01", "2022-09-05", "E4A", reason_for_new_episode="P"),
    outcome={
        "care_start_la_id": "306",
        "care_start_date": day("2021-03-05"),
        "age_at_care_start_months": 94,
        "is_treated_at_care_start": False,
        "is_reunified": True,
        "is_in_sample__reunified": True,
        "is_fully_observed__reunified": True,
    },
    values={HOME: (True, True, True), HOME_ANY: (True, True, True)},
)
case(
    "return_day_after",
    "a day later",
    cin("RETURN_DAY_AFTER", "2021-02-10"),
    episode("RETURN_DAY_AFTER", "2021-03-05", "2022-09-06", "E4A"),
    values={HOME: (True, True, False), HOME_ANY: (True, True, False)},
)
case(
    "return_unplanned",
    "home, but not as part of the care plan (E4B): only the reading that counts such returns",
    cin("RETURN_UNPLANNED", "2021-02-10"),
    episode("RETURN_UNPLANNED", "2021-03-05", "2021-09-01", "E4B"),
    values={HOME: (True, True, False), HOME_ANY: (True, True, True)},
)
case(
    "sgo_is_not_home",
    "special guardianship with a relative (E45) is not a return home, nor is a move to relatives (E13)",
    cin("SGO_IS_NOT_HOME", "2021-02-10"),
    episode("SGO_IS_NOT_HOME", "2021-03-05", "2021-09-01", "E45"),
    values={HOME: (True, True, False), HOME_ANY: (True, True, False)},
)
case(
    "home_and_back_again",
    "only the first period of care of the trial period counts: that one ended with a move to relatives",
    cin("HOME_AND_BACK_AGAIN", "2021-02-10"),
    episode("HOME_AND_BACK_AGAIN", "2021-03-05", "2021-09-01", "E13"),
    episode("HOME_AND_BACK_AGAIN", "2021-11-05", "2022-01-10", "E4A"),
    outcome={"care_start_date": day("2021-03-05"), "is_reunified": False},
)
case(
    "in_care_since_before_the_trial",
    "no period of care begins in the trial period: nothing to return from",
    cin("IN_CARE_SINCE_BEFORE", "2021-02-10"),
    episode("IN_CARE_SINCE_BEFORE", "2020-12-31", "2021-09-01", "E4A"),
    child_id=("la", "306", "IN_CARE_SINCE_BEFORE"),
    outcome={"care_start_date": None, "care_start_la_id": None, "is_reunified": None, "is_in_sample__reunified": False},
)
BORN_SEPTEMBER_2004 = {"birth_year": 2004, "birth_month": 9}
case(
    "turns_18_before_care_ends",
    "18 on 1 September 2022, home on 1 October, 16 months after the start of care: out of the sample",
    cin("TURNS_18_BEFORE", "2021-02-10", **BORN_SEPTEMBER_2004),
    episode("TURNS_18_BEFORE", "2021-06-01", "2022-10-01", "E4A"),
    child_id=("la", "306", "TURNS_18_BEFORE"),
    outcome={"age_at_care_start_months": 201, "is_in_sample__reunified": False},
    values={HOME: (False, True, None), HOME_18: (False, True, None)},
)
case(
    "turns_18_the_day_care_ends",
    "18 on the day of the return: not before care ended, so in the sample",
    cin("TURNS_18_THE_DAY", "2021-02-10", **BORN_SEPTEMBER_2004),
    episode("TURNS_18_THE_DAY", "2021-06-01", "2022-09-01", "E4A"),
    child_id=("la", "306", "TURNS_18_THE_DAY"),
    values={HOME: (True, True, True), HOME_18: (True, True, True)},
)
case(
    "turns_18_after_the_follow_up",
    "18 on 1 January 2023, 19 months after the start of care, which ends later: in the sample unless the reading asks "
    "whether the child turned 18 in care at all",
    cin("TURNS_18_AFTER", "2021-02-10", birth_year=2005, birth_month=1),
    episode("TURNS_18_AFTER", "2021-06-01", "2023-06-01", "E5"),
    child_id=("la", "306", "TURNS_18_AFTER"),
    values={HOME: (True, True, False), HOME_18: (False, True, None)},
)
case(
    "young_and_still_in_care",
    "in care to the last return and far from 18: in the sample of both, not returned",
    cin("YOUNG_AND_STILL_IN_CARE", "2021-02-10"),
    episode("YOUNG_AND_STILL_IN_CARE", "2021-06-01"),
    values={HOME: (True, True, False), HOME_18: (True, True, False)},
)
case(
    "care_without_referral",
    "in care from 10 June 2021 without a referral in the trial period: the need is that of the referral of 2020",
    cin("CARE_WITHOUT_REFERRAL", "2020-05-01", primary_need="N5", closure_date="2020-06-01", closure_reason="RC8"),
    looked_after("CARE_WITHOUT_REFERRAL", 2022),
    episode("CARE_WITHOUT_REFERRAL", "2021-06-10", "2022-01-10", "E4A"),
    outcome={
        "la_id": None,
        "index_referral_date": None,
        "is_treated": None,
        "age_at_referral_months": None,
        "is_treated_by_days": None,
        "has_become_looked_after": None,
        "care_start_la_id": "306",
        "care_start_date": day("2021-06-10"),
        "age_at_care_start_months": 97,
        "is_treated_at_care_start": False,
        "primary_need": 5,
        "gender": 2,
        "is_reunified": True,
        "is_in_sample__reunified": True,
        "is_in_sample__became_looked_after": False,
        "is_in_sample__kinship_care": False,
    },
)
case(
    "care_without_any_referral",
    "never in the census of children in need: the return on looked-after children is enough; no need is known",
    looked_after("CARE_WITHOUT_ANY_REFERRAL", 2022, uasc_status="1", gender="1"),
    episode("CARE_WITHOUT_ANY_REFERRAL", "2021-07-10", la_code="306"),
    outcome={"la_id": None, "primary_need": None, "gender": 1, "is_uasc": True, "is_in_sample__reunified": True},
)
case(
    "care_starts_in_other_la",
    "referred in Croydon, in care in Warwickshire after its go-live: not treated as referred, treated as in care",
    cin("CARE_STARTS_IN_OTHER_LA", "2021-06-01", pupil_id="PUPILOTHERLA"),
    looked_after("CARE_STARTS_IN_OTHER_LA_W", 2022, pupil_id="PUPILOTHERLA", la_code="937"),
    episode("CARE_STARTS_IN_OTHER_LA_W", "2021-07-05", "2021-12-01", "E4A", la_code="937", placement="U1"),
    child_id=("pupil", "PUPILOTHERLA"),
    outcome={
        "la_id": "306",
        "is_treated": False,
        "has_become_looked_after": True,
        "is_kinship_first_placement": True,
        "care_start_la_id": "937",
        "is_treated_at_care_start": True,
        "is_reunified": True,
    },
)
case(
    "care_before_the_referral",
    "the first period of care of the trial ended before the referral: it counts for the return, not as an outcome",
    cin("CARE_BEFORE_THE_REFERRAL", "2021-06-01"),
    episode("CARE_BEFORE_THE_REFERRAL", "2021-02-01", "2021-03-01", "E4A"),
    outcome={"care_start_date": day("2021-02-01"), "has_become_looked_after": False, "is_reunified": True},
)

# --- Figures of the LA (FV.COV.3, trap 25) ------------------------------------------------------------

case(
    "figure_of_the_la_before_the_referral",
    "the figure of the very day of the referral is not before it, and a marker is no number: that of 2021 counts",
    cin("LA_FIGURE", "2023-01-19", la_code="204"),
    la_figure("204", "pupils_fsm_pct", "2021-01-21", "21.5"),
    la_figure("204", "pupils_fsm_pct", "2022-01-20", "c"),
    la_figure("204", "pupils_fsm_pct", "2023-01-19", "23.5"),
    child_id=("la", "204", "LA_FIGURE"),
    outcome={"la_fsm_pct": 21.5, "la_white_british_pct": None},
)

# --- Absence (FV.OUT.S5, C.2, D33) --------------------------------------------------------------------

ABSENCE = ("unauthorised_absence", "default")


def year_of_school(pupil: str, school_year: int, possible: int = 60, unauthorised: int = 3) -> Row:
    """The same number of sessions in every half."""
    both = (possible, unauthorised)
    return absence(pupil, school_year, autumn=both, spring=both, summer=both, summer6th=both)


case(
    "absence_three_terms",
    "referred 15 November 2021: spring, both halves of summer, and the next autumn; 20 of 350 sessions",
    cin("ABSENCE_THREE_TERMS", "2021-11-15", pupil_id="PUPILABS1"),
    absence("PUPILABS1", 2022, autumn=(120, 30), spring=(110, 5), summer=(50, 3), summer6th=(60, 2)),
    absence("PUPILABS1", 2023, autumn=(130, 10), spring=(110, 40), summer=(50, 9), summer6th=(60, 9)),
    child_id=("pupil", "PUPILABS1"),
    outcome={
        "unauthorised_absence_pct": 2000 / 350,
        "is_in_sample__unauthorised_absence": True,
        "is_fully_observed__unauthorised_absence": True,
    },
    terms=[(2022, "spring", 110, 5), (2022, "summer", 110, 5), (2023, "autumn", 130, 10)],
)
case(
    "term_begins_on_referral_day",
    "referred on 1 September 2021, when autumn begins: not after it, the next term is spring",
    cin("TERM_BEGINS", "2021-09-01", pupil_id="PUPILABS2"),
    year_of_school("PUPILABS2", 2022),
    year_of_school("PUPILABS2", 2023),
    child_id=("pupil", "PUPILABS2"),
    terms=[(2022, "spring", 60, 3), (2022, "summer", 120, 6), (2023, "autumn", 60, 3)],
    values={ABSENCE: (True, True, 5.0)},
)
case(
    "term_begins_the_day_after",
    "referred on 31 August 2021: autumn begins the day after",
    cin("TERM_BEGINS_AFTER", "2021-08-31", pupil_id="PUPILABS3"),
    year_of_school("PUPILABS3", 2022),
    child_id=("pupil", "PUPILABS3"),
    terms=[(2022, "autumn", 60, 3), (2022, "spring", 60, 3), (2022, "summer", 120, 6)],
)
case(
    "easter_monday",
    "referred on Easter Monday 2022 (18 April): summer began that day, the next terms are of 2022/23",
    cin("EASTER_MONDAY", "2022-04-18", pupil_id="PUPILABS4"),
    year_of_school("PUPILABS4", 2022),
    year_of_school("PUPILABS4", 2023),
    child_id=("pupil", "PUPILABS4"),
    terms=[(2023, "autumn", 60, 3), (2023, "spring", 60, 3), (2023, "summer", 120, 6)],
)
case(
    "dual_enrolment",
    "two schools at once: sessions and absences add up; 12 of 400",
    cin("DUAL_ENROLMENT", "2021-08-31", pupil_id="PUPILABS5"),
    absence("PUPILABS5", 2022, autumn=(100, 5), spring=(100, 1), summer=(60, 1), summer6th=(60, 1)),
    absence("PUPILABS5", 2022, autumn=(40, 2), spring=(40, 2)),
    child_id=("pupil", "PUPILABS5"),
    terms=[(2022, "autumn", 140, 7), (2022, "spring", 140, 3), (2022, "summer", 120, 2)],
    values={ABSENCE: (True, True, 3.0)},
)
case(
    "zero_sessions",
    "no session was possible in any of the three terms: no rate, not nought",
    cin("ZERO_SESSIONS", "2021-08-31", pupil_id="PUPILABS6"),
    year_of_school("PUPILABS6", 2022, possible=0, unauthorised=0),
    child_id=("pupil", "PUPILABS6"),
    terms=[(2022, "autumn", None, None), (2022, "spring", None, None), (2022, "summer", None, None)],
    values={ABSENCE: (True, False, None)},
)
case(
    "zero_sessions_in_one_term",
    "no session was possible in spring: that term has no rate, the three together have one (9 of 180)",
    cin("ZERO_SESSIONS_IN_ONE", "2021-08-31", pupil_id="PUPILABS13"),
    absence("PUPILABS13", 2022, autumn=(60, 3), spring=(0, 0), summer=(60, 3), summer6th=(60, 3)),
    child_id=("pupil", "PUPILABS13"),
    terms=[(2022, "autumn", 60, 3), (2022, "spring", None, None), (2022, "summer", 120, 6)],
    values={ABSENCE: (True, True, 5.0)},
)
case(
    "half_a_summer",
    "the second half of summer is not there: the term is not measured, and neither is the rate",
    cin("HALF_A_SUMMER", "2021-08-31", pupil_id="PUPILABS7"),
    absence("PUPILABS7", 2022, autumn=(120, 6), spring=(110, 5), summer=(50, 3)),
    child_id=("pupil", "PUPILABS7"),
    terms=[(2022, "autumn", 120, 6), (2022, "spring", 110, 5), (2022, "summer", None, None)],
    values={ABSENCE: (True, False, None)},
)
case(
    "more_sessions_than_a_year_has",
    "421 possible sessions over two schools: the whole year leaves",
    cin("MORE_SESSIONS", "2021-08-31", pupil_id="PUPILABS8"),
    year_of_school("PUPILABS8", 2022, possible=90),
    absence("PUPILABS8", 2022, autumn=(61, 0)),
    child_id=("pupil", "PUPILABS8"),
    terms=[(2022, "autumn", None, None), (2022, "spring", None, None), (2022, "summer", None, None)],
    values={ABSENCE: (True, False, None)},
)
case(
    "unlinked_pupil",
    "of school age, but no pupil number links the child to a school: in the sample, not observed",
    cin("UNLINKED_PUPIL", "2021-08-31"),
    values={ABSENCE: (True, False, None)},
)
case(
    "five_on_31_august",
    "born August 2016: five on 31 August 2021",
    cin("FIVE_ON_31_AUGUST", "2021-07-01", pupil_id="PUPILABS9", birth_year=2016, birth_month=8),
    year_of_school("PUPILABS9", 2022),
    child_id=("pupil", "PUPILABS9"),
    values={ABSENCE: (True, True, 5.0)},
)
case(
    "four_on_31_august",
    "born September 2016: four",
    cin("FOUR_ON_31_AUGUST", "2021-07-01", pupil_id="PUPILABS10", birth_year=2016, birth_month=9),
    year_of_school("PUPILABS10", 2022),
    child_id=("pupil", "PUPILABS10"),
    outcome={"is_in_sample__unauthorised_absence": False},
    terms=[],
)
case(
    "sixteen_on_31_august",
    "born August 2005: sixteen on 31 August 2021",
    cin("SIXTEEN_ON_31_AUGUST", "2021-07-01", pupil_id="PUPILABS11", birth_year=2005, birth_month=8),
    year_of_school("PUPILABS11", 2022),
    child_id=("pupil", "PUPILABS11"),
    outcome={"is_in_sample__unauthorised_absence": False},
    terms=[],
)
case(
    "sixteen_before_the_third_term",
    "fifteen in 2021/22, sixteen before the autumn of 2022/23: two terms, no rate over three",
    cin("SIXTEEN_BEFORE_THIRD", "2021-11-15", pupil_id="PUPILABS12", birth_year=2005, birth_month=9),
    year_of_school("PUPILABS12", 2022),
    year_of_school("PUPILABS12", 2023),
    child_id=("pupil", "PUPILABS12"),
    outcome={"is_in_sample__unauthorised_absence": False},
    terms=[(2022, "spring", 60, 3), (2022, "summer", 120, 6)],
)

# --- Boundaries at which a changed model gave the same answers (tests/mutation) ------------------------


def linked(name: str, pupil: str, *las: str) -> list[Row]:
    """Header rows of 2022 that link the codes of one child in several LAs."""
    return [looked_after(f"{name}_{la}", 2022, la_code=la, pupil_id=pupil) for la in las]


case(
    "care_from_the_first_day_of_the_trial",
    "care that starts on 1 January 2021 starts in the trial period",
    looked_after("CARE_FROM_FIRST_DAY", 2021),
    episode("CARE_FROM_FIRST_DAY", "2021-01-01", "2021-06-01", "E4A"),
    child_id=("la", "306", "CARE_FROM_FIRST_DAY"),
    outcome={"care_start_date": day("2021-01-01"), "la_id": None},
    values={HOME: (True, True, True)},
)
case(
    "care_in_two_las_the_longer",
    "two starts of care on one day: the longer one (Newcastle), which did not end with a return home",
    *linked("CARE_LONGER", "PUPILCARELONGER", "306", "391"),
    episode("CARE_LONGER_306", "2021-03-05", "2021-05-01", "E4A"),
    episode("CARE_LONGER_391", "2021-03-05", "2021-09-01", "E13", la_code="391"),
    child_id=("pupil", "PUPILCARELONGER"),
    outcome={"care_start_la_id": "391"},
    values={HOME: (True, True, False)},
)
case(
    "care_in_two_las_one_open",
    "two starts of care on one day: the one that goes on (Croydon)",
    *linked("CARE_OPEN", "PUPILCAREOPEN", "306", "391"),
    episode("CARE_OPEN_306", "2021-03-05"),
    episode("CARE_OPEN_391", "2021-03-05", "2021-09-01", "E13", la_code="391"),
    child_id=("pupil", "PUPILCAREOPEN"),
    outcome={"care_start_la_id": "306"},
)
case(
    "two_las_same_day_both_closed",
    "both with further action and closed: the one that was open longer (Newcastle)",
    cin("TWO_LAS_CLOSED", "2022-03-10", pupil_id="PUPILCLOSED", closure_date="2022-03-30", closure_reason="RC7"),
    cin(
        "TWO_LAS_CLOSED_N",
        "2022-03-10",
        return_year=2023,
        la_code="391",
        pupil_id="PUPILCLOSED",
        closure_date="2022-04-15",
        closure_reason="RC7",
    ),
    child_id=("pupil", "PUPILCLOSED"),
    outcome={"la_id": "391"},
)
case(
    "turns_18_on_the_last_day_of_the_follow_up",
    "in care from 1 January 2022, 18 on 1 July 2023, the last day: not before it",
    looked_after("TURNS_18_LAST_DAY", 2022, birth_year=2005, birth_month=7),
    episode("TURNS_18_LAST_DAY", "2022-01-01"),
    child_id=("la", "306", "TURNS_18_LAST_DAY"),
    values={HOME: (True, True, False), HOME_18: (False, True, None)},
)
case(
    "turns_18_after_the_last_return",
    "still in care on 31 March 2025, 18 a day later: nothing later is known, so in the sample",
    looked_after("TURNS_18_AFTER_RETURN", 2022, birth_year=2007, birth_month=4),
    episode("TURNS_18_AFTER_RETURN", "2021-05-01"),
    child_id=("la", "306", "TURNS_18_AFTER_RETURN"),
    values={HOME: (True, True, False), HOME_18: (True, True, False)},
)
case(
    "turns_18_in_the_month_of_the_last_return",
    "18 on 1 March 2025 and still in care on the 31st",
    looked_after("TURNS_18_IN_MONTH", 2022, birth_year=2007, birth_month=3),
    episode("TURNS_18_IN_MONTH", "2021-05-01"),
    child_id=("la", "306", "TURNS_18_IN_MONTH"),
    values={HOME: (True, True, False), HOME_18: (False, True, None)},
)
case(
    "one_possible_session",
    "a single session was possible in a whole year, and missed: a rate all the same",
    cin("ONE_POSSIBLE_SESSION", "2021-08-31", pupil_id="PUPILABS14"),
    absence("PUPILABS14", 2022, autumn=(1, 1), spring=(0, 0), summer=(0, 0), summer6th=(0, 0)),
    child_id=("pupil", "PUPILABS14"),
    terms=[(2022, "autumn", 1, 1), (2022, "spring", None, None), (2022, "summer", None, None)],
    values={ABSENCE: (True, True, 100.0)},
)
case(
    "plan_from_the_day_the_case_closed",
    "a CIN plan that starts on 1 June 2022, when the case closes, and that no return ends: over at once",
    cin(
        "PLAN_FROM_CLOSURE",
        "2022-03-10",
        return_year=2023,
        cin_plan_start_date="2022-06-01",
        closure_date="2022-06-01",
        closure_reason="RC7",
    ),
    child_id=("la", "306", "PLAN_FROM_CLOSURE"),
    outcome={"plan_days": 0, "cin_plan_days": 0},
)
case(
    "plan_after_the_case_closed",
    "closed 1 May 2022, a plan from 1 June: the closure did not end it; over by 31 March 2023, 303 days (D66)",
    cin(
        "PLAN_AFTER_CLOSURE",
        "2022-03-10",
        return_year=2023,
        cpp_start_date="2022-06-01",
        closure_date="2022-05-01",
        closure_reason="RC7",
    ),
    child_id=("la", "306", "PLAN_AFTER_CLOSURE"),
    outcome={"plan_days": 303, "cpp_days": 303, "has_started_cpp": True},
)
for kind, days_column in (("cin_plan", "cin_plan_days"), ("cpp", "cpp_days")):
    case(
        f"{kind}_that_disappears_before_another",
        "a plan from 1 April 2022 in no return after 2023 (364 days to 31 March), another from 1 to 11 June 2023",
        cin(f"{kind}_OTHER".upper(), "2022-03-10", return_year=2023, **{f"{kind}_start_date": "2022-04-01"}),
        cin(
            f"{kind}_OTHER".upper(),
            "2022-03-10",
            return_year=2024,
            **{f"{kind}_start_date": "2023-06-01", f"{kind}_end_date": "2023-06-11"},
        ),
        child_id=("la", "306", f"{kind}_OTHER".upper()),
        outcome={"plan_days": 374, days_column: 374},
    )
    case(
        f"{kind}_end_corrected",
        "a plan from 1 June 2022 that ended on 1 September says one return, on 1 October says the next: 122 days",
        *(
            cin(
                f"{kind}_CORRECTED".upper(),
                "2022-03-10",
                return_year=year,
                **{f"{kind}_start_date": "2022-06-01", f"{kind}_end_date": end},
            )
            for year, end in ((2023, "2022-09-01"), (2024, "2022-10-01"))
        ),
        child_id=("la", "306", f"{kind}_CORRECTED".upper()),
        outcome={"plan_days": 122, days_column: 122},
    )
case(
    "short_referrals_within_a_long_one",
    "open 10 March to 10 September 2022 (184 days), with two short referrals inside, which add nothing",
    cin("SHORT_WITHIN_LONG", "2022-03-10", return_year=2023, closure_date="2022-09-10", closure_reason="RC7"),
    cin("SHORT_WITHIN_LONG", "2022-04-01", closure_date="2022-04-11", closure_reason="RC7"),
    cin("SHORT_WITHIN_LONG", "2022-06-01", closure_date="2022-06-11", closure_reason="RC7"),
    child_id=("la", "306", "SHORT_WITHIN_LONG"),
    outcome={"cin_episode_days": 184},
)
case(
    "short_referrals_within_a_long_one_treated",
    "Warwickshire, open to 28 July 2021: 27 days under the programme, the two short referrals inside add nothing",
    cin("SHORT_WITHIN_TREATED", "2021-06-01", la_code="937", closure_date="2021-07-28", closure_reason="RC7"),
    cin("SHORT_WITHIN_TREATED", "2021-07-02", la_code="937", closure_date="2021-07-04", closure_reason="RC7"),
    cin("SHORT_WITHIN_TREATED", "2021-07-10", la_code="937", closure_date="2021-07-12", closure_reason="RC7"),
    child_id=("la", "937", "SHORT_WITHIN_TREATED"),
    outcome={"is_treated_by_days": False},
)
for start, is_enough in (("2023-05-04", True), ("2023-05-05", False)):
    case(
        f"open_from_{start}_to_the_end_of_the_trial",
        "open from then on: to 31 May 2023, that day included, 28 or 27 days of the trial period",
        cin(f"OPEN_FROM_{start}", start, la_code="937"),
        child_id=("la", "937", f"OPEN_FROM_{start}"),
        outcome={"is_treated_by_days": is_enough},
    )
case(
    "temporary_placement_then_a_new_period",
    "nothing but a hospital stay; home and back on one day begins another period, whose placement is not this one's",
    cin("TEMPORARY_THEN_NEW", "2022-03-10"),
    episode("TEMPORARY_THEN_NEW", "2022-04-01", "2022-05-01", "E4A", return_year=2023, placement="T1"),
    episode("TEMPORARY_THEN_NEW", "2022-05-01", placement="U1"),
    child_id=("la", "306", "TEMPORARY_THEN_NEW"),
    values={KINSHIP: (True, False, None)},
)
case(
    "unlisted_placement_first",
    "a first placement that no list has: not known, whatever follows it",
    cin("UNLISTED_PLACEMENT", "2022-03-10"),
    episode("UNLISTED_PLACEMENT", "2022-04-01", "2022-05-01", "X1", return_year=2023, placement="ZZ"),
    episode("UNLISTED_PLACEMENT", "2022-05-01", placement="U1", reason_for_new_episode="P"),
    child_id=("la", "306", "UNLISTED_PLACEMENT"),
    values={KINSHIP: (True, False, None)},
)
case(
    "placement_of_the_other_la",
    "in hospital, then with an aunt in Croydon; between the two Newcastle placed the child in a home",
    cin("PLACEMENT_OTHER_306", "2022-03-10", pupil_id="PUPILPLACE"),
    *linked("PLACEMENT_OTHER", "PUPILPLACE", "306", "391"),
    episode("PLACEMENT_OTHER_306", "2022-04-01", "2022-06-01", "X1", placement="T1"),
    episode("PLACEMENT_OTHER_306", "2022-06-01", placement="U3", reason_for_new_episode="P"),
    episode("PLACEMENT_OTHER_391", "2022-04-15", placement="K2", la_code="391"),
    child_id=("pupil", "PUPILPLACE"),
    values={KINSHIP: (True, True, True)},
)
for number in range(1, 6):
    # Without the rule a hash would choose: five children, so that it cannot choose rightly every time.
    case(
        f"two_starts_of_care_own_la_first_{number}",
        "referred in Croydon, care starts in two LAs on one day: the placement in Croydon, with an aunt, counts",
        cin(f"OWN_LA_{number}_306", "2022-03-10", pupil_id=f"PUPILOWN{number}"),
        *linked(f"OWN_LA_{number}", f"PUPILOWN{number}", "306", "391"),
        episode(f"OWN_LA_{number}_306", "2022-04-01", placement="U1"),
        episode(f"OWN_LA_{number}_391", "2022-04-01", "2022-05-01", "E8", placement="K2", la_code="391"),
        child_id=("pupil", f"PUPILOWN{number}"),
        values={KINSHIP: (True, True, True)},
    )
for nc_year in ("R", "0", "1"):
    case(
        f"pupil_premium_in_year_{nc_year}",
        "pupil premium in an infant year",
        cin(f"INFANT_{nc_year}", "2022-03-10", pupil_id=f"PUPILINFANT{nc_year}"),
        census(f"PUPILINFANT{nc_year}", 2021, nc_year=nc_year, ever_fsm_6_p="1"),
        child_id=("pupil", f"PUPILINFANT{nc_year}"),
        outcome={"is_fsm": True},
    )
case(
    "previous_plans_stated_first",
    "the plan's first return says two plans before it, the next one none: the first counts",
    cin("PREVIOUS_STATED_FIRST", "2022-03-10", cpp_start_date="2022-03-20", cpp_previous_count=2),
    cin("PREVIOUS_STATED_FIRST", "2022-03-10", return_year=2023, cpp_start_date="2022-03-20", cpp_previous_count=0),
    child_id=("la", "306", "PREVIOUS_STATED_FIRST"),
    outcome={"previous_cpp_count": 2},
)
for here, there in ((1, 3), (3, 1)):
    case(
        f"previous_plans_stated_in_two_las_{here}_{there}",
        "two LAs start a plan on one day and state one and three plans before it: three",
        cin(
            f"STATED_TWICE_{here}",
            "2022-03-10",
            pupil_id=f"PUPILTWICE{here}",
            cpp_start_date="2022-03-20",
            cpp_previous_count=here,
        ),
        cin(
            f"STATED_TWICE_{here}_N",
            "2022-03-15",
            la_code="391",
            pupil_id=f"PUPILTWICE{here}",
            cpp_start_date="2022-03-20",
            cpp_previous_count=there,
        ),
        child_id=("pupil", f"PUPILTWICE{here}"),
        outcome={"previous_cpp_count": 3},
    )
case(
    "plan_of_another_las_referral_of_the_day",
    "referred to two LAs on one day; the plan from before hangs on Newcastle's referral, so it is not the index's own",
    cin("PLAN_OF_ANOTHER", "2022-03-10", pupil_id="PUPILANOTHER"),
    cin(
        "PLAN_OF_ANOTHER_N",
        "2022-03-10",
        la_code="391",
        pupil_id="PUPILANOTHER",
        closure_date="2022-03-20",
        closure_reason="RC7",
        cpp_start_date="2021-08-22",
        cpp_end_date="2022-03-15",
    ),
    child_id=("pupil", "PUPILANOTHER"),
    outcome={"la_id": "306", "previous_cpp_count": 1},
)
case(
    "nfa_with_a_plan_in_one_return",
    "no further action in both returns, a CIN plan in the second",
    cin("NFA_PLAN_IN_ONE", "2022-03-10", referral_nfa="1"),
    cin("NFA_PLAN_IN_ONE", "2022-03-10", return_year=2023, referral_nfa="1", cin_plan_start_date="2022-04-05"),
    child_id=("la", "306", "NFA_PLAN_IN_ONE"),
    spells=[{"is_nfa": False}],
)
for la_day, has_programme in (("2021-05-31", False), ("2021-06-01", True)):
    case(
        f"innovation_programme_from_{la_day}",
        "Norfolk's No Wrong Door began on 1 June 2021: that day has it, the day before does not",
        cin(f"INNOVATION_{la_day}", la_day, la_code="926"),
        child_id=("la", "926", f"INNOVATION_{la_day}"),
        outcome={"has_other_innovation_programme": has_programme},
    )
case(
    "unborn_by_the_flag_in_april",
    "referred on 10 April 2022: the flag stands in the return that ends in March 2023",
    cin("UNBORN_IN_APRIL", "2022-04-10", birth_year=None, birth_month=None, is_unborn="1"),
    child_id=("la", "306", "UNBORN_IN_APRIL"),
    outcome={"is_unborn_at_referral": True, "age_at_referral_months": 0},
)
case(
    "unborn_says_another_la",
    "born in January 2022, referred in February; Newcastle's return of that year still has the child as unborn",
    cin("UNBORN_ELSEWHERE", "2022-02-10", pupil_id="PUPILUNBORN", birth_year=2022, birth_month=1),
    cin(
        "UNBORN_ELSEWHERE_N",
        "2022-03-10",
        la_code="391",
        pupil_id="PUPILUNBORN",
        birth_year=2022,
        birth_month=1,
        is_unborn="1",
    ),
    child_id=("pupil", "PUPILUNBORN"),
    outcome={"is_unborn_at_referral": False, "age_at_referral_months": 1},
)
case(
    "legal_status_not_stated",
    "an episode without a legal status is no short break",
    cin("LEGAL_STATUS_NOT_STATED", "2022-03-10"),
    episode("LEGAL_STATUS_NOT_STATED", "2022-05-01", legal_status=None),
    outcome={"has_become_looked_after": True},
)
case(
    "period_stated_by_a_file_of_one_row_a_year",
    "the file of one row a year shows two later episodes and the start of the period they belong to (C.1, D42)",
    cin("PERIOD_STATED", "2021-01-10"),
    episode("PERIOD_STATED", "2021-06-01", "2021-07-01", "E8", return_year=2022, period_start_date="2021-03-05"),
    episode("PERIOD_STATED", "2021-09-01", "2022-09-05", "E4A", period_start_date="2021-03-05", placement="U1"),
    child_id=("la", "306", "PERIOD_STATED"),
    outcome={"care_start_date": day("2021-03-05")},
    periods=[("2021-03-05", "2022-09-05")],
    values={HOME: (True, True, True), KINSHIP: (True, False, None)},
)
case(
    "two_periods_stated_by_a_file_of_one_row_a_year",
    "another stated start parts two episodes that would be chained",
    cin("PERIODS_STATED", "2021-01-10"),
    episode("PERIODS_STATED", "2021-03-05", "2021-09-01", "X1", return_year=2022, period_start_date="2021-03-05"),
    episode(
        "PERIODS_STATED",
        "2021-09-01",
        "2022-09-05",
        "E4A",
        reason_for_new_episode="P",
        period_start_date="2021-09-01",
    ),
    child_id=("la", "306", "PERIODS_STATED"),
    periods=[("2021-03-05", "2021-09-01"), ("2021-09-01", "2022-09-05")],
)
for name, birth, la in (
    ("EIGHTEEN_IN_A_QUARTER", (2000, 2), "306"),
    ("TWELVE_IN_A_QUARTER", (2006, 2), "807"),
    ("ELEVEN_IN_A_QUARTER", (2006, 3), "807"),
):
    case(
        name.lower(),
        "care from 1 February 2018, before the trial: an entrant to the trend by age alone (FV.MATCH.3)",
        looked_after(name, 2018, la_code=la, birth_year=birth[0], birth_month=birth[1]),
        episode(name, "2018-02-01", "2018-09-01", "E4A", la_code=la),
        child_id=("la", la, name),
        outcome=None,
        periods=[("2018-02-01", "2018-09-01")],
    )

NORTHAMPTONSHIRE = ("940", "941")
for name, closures, expected in (
    ("LATER_CLOSURE", (("2021-06-01", "RC7"), ("2021-12-01", "RC8")), ("2021-12-01", "RC8")),
    ("SAME_CLOSURE", (("2021-06-01", "RC7"), ("2021-06-01", "RC8")), ("2021-06-01", "RC8")),
    ("ONE_REASON", (("2021-06-01", "RC7"), ("2021-06-01", None)), ("2021-06-01", "RC7")),
):
    case(
        f"two_codes_of_an_area_{name.lower()}",
        "both codes of the area report one referral in one year, with two needs: the later closure, no need",
        *(
            cin(
                name,
                "2021-05-10",
                la_code=code,
                primary_need=need,
                closure_date=closure,
                closure_reason=reason,
            )
            for code, need, (closure, reason) in zip(NORTHAMPTONSHIRE, ("N1", "N4"), closures, strict=True)
        ),
        child_id=("la", "928", name, "2013-05"),
        outcome={"primary_need": None},
        spells=[
            {
                "la_code": "940",
                "closure_date": day(expected[0]),
                "closure_reason": expected[1],
                "primary_need": None,
            }
        ],
    )
case(
    "two_las_same_day_one_forgets",
    "open in Croydon for a month; Newcastle forgets its referral of that day after March 2022: 31 days",
    cin("ONE_FORGETS", "2022-03-10", pupil_id="PUPILFORGETS"),
    cin(
        "ONE_FORGETS",
        "2022-03-10",
        return_year=2023,
        pupil_id="PUPILFORGETS",
        closure_date="2022-04-10",
        closure_reason="RC7",
    ),
    cin("ONE_FORGETS_N", "2022-03-10", la_code="391", pupil_id="PUPILFORGETS"),
    child_id=("pupil", "PUPILFORGETS"),
    outcome={"cin_episode_days": 31},
)
for kind, days_column in (("cin_plan", "cin_plan_days"), ("cpp", "cpp_days")):
    name, pupil = f"{kind}_TWO_LAS".upper(), f"PUPIL{kind.upper()}TWO"
    start, end = f"{kind}_start_date", f"{kind}_end_date"
    case(
        f"{kind}_in_two_las_one_forgets",
        "two LAs start a plan on 1 April 2022: Croydon's is in no return after 2023: 364 days",
        cin(name, "2022-03-10", return_year=2023, pupil_id=pupil, **{start: "2022-04-01"}),
        *(
            cin(
                f"{name}_N",
                "2022-03-15",
                return_year=year,
                la_code="391",
                pupil_id=pupil,
                **{start: "2022-04-01", end: "2022-05-01"},
            )
            for year in (2023, 2024)
        ),
        child_id=("pupil", pupil),
        outcome={"plan_days": 364, days_column: 364},
    )
case(
    "plan_ends_with_its_own_case",
    "Croydon's referral and with it the plan of 1 June closed on 1 July 2022: 30 days; Newcastle's goes on",
    cin(
        "OWN_CASE",
        "2022-03-10",
        return_year=2023,
        pupil_id="PUPILOWNCASE",
        cin_plan_start_date="2022-06-01",
        closure_date="2022-07-01",
        closure_reason="RC7",
    ),
    cin("OWN_CASE_N", "2022-03-10", return_year=2025, la_code="391", pupil_id="PUPILOWNCASE"),
    child_id=("pupil", "PUPILOWNCASE"),
    outcome={"plan_days": 30, "cin_plan_days": 30},
)
case(
    "nfa_beside_an_assessed_referral",
    "no further action on the first referral; the assessment belongs to the second",
    cin("NFA_BESIDE", "2022-03-10", referral_nfa="1"),
    cin("NFA_BESIDE", "2022-06-01"),
    assessment("NFA_BESIDE", "2022-06-01", "2022-06-10"),
    child_id=("la", "306", "NFA_BESIDE"),
    spells=[{"is_nfa": True}, {"is_nfa": False}],
)
case(
    "legal_status_lost_in_a_later_return",
    "an interim care order in one return, no status in the next, which has the end: one episode",
    cin("STATUS_LOST", "2022-03-10"),
    episode("STATUS_LOST", "2022-03-20", return_year=2022),
    episode("STATUS_LOST", "2022-03-20", "2022-08-01", "E4A", legal_status=None),
    child_id=("la", "306", "STATUS_LOST"),
    periods=[("2022-03-20", "2022-08-01")],
)
case(
    "long_respite_and_care_same_day",
    "a short break that starts with a care order and outlasts it does not stand in for it (B.4)",
    cin("LONG_RESPITE", "2022-03-10"),
    episode("LONG_RESPITE", "2022-05-01", "2022-07-10", "E8", legal_status="V3"),
    episode("LONG_RESPITE", "2022-05-01", "2022-07-01", "E4A", legal_status="L2"),
    child_id=("la", "306", "LONG_RESPITE"),
    periods=[("2022-05-01", "2022-07-01")],
)
case(
    "two_ends_in_one_return",
    "a return has the episode twice: the later end",
    cin("TWO_ENDS", "2022-03-10"),
    episode("TWO_ENDS", "2022-05-01", "2022-06-01", "E4A"),
    episode("TWO_ENDS", "2022-05-01", "2022-08-01", "E4A"),
    child_id=("la", "306", "TWO_ENDS"),
    periods=[("2022-05-01", "2022-08-01")],
)
case(
    "open_and_ended_in_one_return",
    "a return has the episode twice, once still open: the end is what is known more",
    cin("OPEN_AND_ENDED", "2022-03-10"),
    episode("OPEN_AND_ENDED", "2022-05-01", return_year=2023),
    episode("OPEN_AND_ENDED", "2022-05-01", "2022-08-01", "E4A"),
    child_id=("la", "306", "OPEN_AND_ENDED"),
    periods=[("2022-05-01", "2022-08-01")],
)
for reasons in ((None, "E4A"), ("E4A", None)):
    name = "REASON_FIRST" if reasons[0] else "REASON_LAST"
    case(
        f"reason_stated_once_{name.lower()}",
        "a return has the episode twice with one end, once without a reason: the reason stated",
        looked_after(name, 2022),
        *(episode(name, "2021-05-01", "2021-08-01", reason) for reason in reasons),
        child_id=("la", "306", name),
        values={HOME: (True, True, True)},
    )
case(
    "end_after_its_own_return",
    "the return of 2023 already has the end of 10 May; later ones have nothing more: the stated day counts",
    cin("END_AFTER_RETURN", "2022-03-10"),
    episode("END_AFTER_RETURN", "2022-05-01", "2023-05-10", "E4A", return_year=2023),
    child_id=("la", "306", "END_AFTER_RETURN"),
    periods=[("2022-05-01", "2023-05-10")],
)
case(
    "two_referrals_in_a_quarter",
    "before the trial: a plan 12 months and 5 days after the first referral of the quarter is too late (FV.MATCH.3)",
    cin("TWO_IN_A_QUARTER", "2018-01-10", closure_date="2018-02-10", closure_reason="RC7"),
    cin("TWO_IN_A_QUARTER", "2018-03-20"),
    cin("TWO_IN_A_QUARTER", "2018-03-20", return_year=2019, cpp_start_date="2019-01-15"),
    child_id=("la", "306", "TWO_IN_A_QUARTER"),
    outcome=None,
)
case(
    "previous_plans_stated_on_the_day",
    "a plan of last year, and one that starts on the day of the referral and states five before it",
    cin(
        "STATED_ON_THE_DAY",
        "2021-01-05",
        closure_date="2021-02-05",
        cpp_start_date="2021-01-10",
        cpp_end_date="2021-02-01",
    ),
    cin("STATED_ON_THE_DAY", "2021-01-20", cpp_start_date="2021-01-20", cpp_previous_count=5),
    child_id=("la", "306", "STATED_ON_THE_DAY"),
    outcome={"index_referral_date": day("2021-01-05"), "previous_cpp_count": 0},
)
case(
    "previous_plans_seen_and_stated_on_the_day",
    "a plan of 2020, and one that starts on the day of the referral and states five before it",
    cin(
        "SEEN_AND_STATED",
        "2020-01-05",
        closure_date="2020-02-05",
        closure_reason="RC7",
        cpp_start_date="2020-01-10",
        cpp_end_date="2020-02-01",
    ),
    cin("SEEN_AND_STATED", "2022-03-10", cpp_start_date="2022-03-10", cpp_previous_count=5),
    child_id=("la", "306", "SEEN_AND_STATED"),
    outcome={"previous_cpp_count": 5},
)
for census_year in (2016, 2017):
    case(
        f"eligible_in_{census_year}",
        "free meals in the sixth school year back, or the seventh: ever; of the last six years the strata know",
        cin(f"ELIGIBLE_{census_year}", "2022-03-10", pupil_id=f"PUPILELIGIBLE{census_year}"),
        census(f"PUPILELIGIBLE{census_year}", census_year, fsm_eligible="1"),
        census(f"PUPILELIGIBLE{census_year}", 2022),
        child_id=("pupil", f"PUPILELIGIBLE{census_year}"),
        outcome={"is_fsm": True},
    )
for name, flags in (
    ("EVER_BLANK", {"ever_fsm_all": None}),
    ("PREMIUM_BLANK", {"nc_year": "R", "ever_fsm_6_p": None}),
    ("YEAR_BLANK", {"nc_year": None, "ever_fsm_6_p": "1"}),
):
    case(
        f"census_{name.lower()}",
        "a blank in the census is not a yes, and not an unknown where a census is there",
        cin(name, "2022-03-10", pupil_id=f"PUPIL{name}"),
        census(f"PUPIL{name}", 2021, **flags),
        child_id=("pupil", f"PUPIL{name}"),
        outcome={"is_fsm": False},
    )
for start in ("2018-02-01", "2022-02-01"):
    case(
        f"in_care_from_{start}_age_not_known",
        "no birth in any return: no age, in no sample and no trend, counted in the flow",
        looked_after(f"NO_AGE_{start}", 2022, birth_year=None, birth_month=None),
        episode(f"NO_AGE_{start}", start, "2022-12-01", "E4A"),
        child_id=("la", "306", f"NO_AGE_{start}"),
        outcome={"is_in_age_range_at_care_start": False} if start > "2021" else None,
    )
case(
    "unlisted_placement_after_a_temporary_one",
    "in hospital, then in a placement that no list has, then with an aunt: not known",
    cin("UNLISTED_SECOND", "2022-03-10"),
    episode("UNLISTED_SECOND", "2022-04-01", "2022-05-01", "X1", return_year=2023, placement="T1"),
    episode(
        "UNLISTED_SECOND",
        "2022-05-01",
        "2022-06-01",
        "X1",
        return_year=2023,
        placement="ZZ",
        reason_for_new_episode="P",
    ),
    episode("UNLISTED_SECOND", "2022-06-01", placement="U1", reason_for_new_episode="P"),
    child_id=("la", "306", "UNLISTED_SECOND"),
    values={KINSHIP: (True, False, None)},
)

case(
    "open_in_an_la_that_stopped_returning",
    "closed in Croydon after a month; Greenwich's referral and plan of 1 June are in its last return: both go on",
    cin("IN_STOPPED_LA", "2022-03-10", pupil_id="PUPILSTOPPED", closure_date="2022-04-10", closure_reason="RC7"),
    cin(
        "IN_STOPPED_LA_G",
        "2022-03-15",
        return_year=2023,
        la_code="203",
        pupil_id="PUPILSTOPPED",
        cin_plan_start_date="2022-06-01",
    ),
    child_id=("pupil", "PUPILSTOPPED"),
    outcome={"la_id": "306", "cin_episode_days": 549, "plan_days": 466},
)
for kind, days_column in (("cin_plan", "cin_plan_days"), ("cpp", "cpp_days")):
    name = f"{kind}_TWO_CASES".upper()
    case(
        f"{kind}_under_two_referrals",
        "a plan from 1 June 2022 that goes on under a second referral: over when that one closed, 10 August, 70 days",
        cin(
            name,
            "2022-03-10",
            return_year=2023,
            closure_date="2022-07-01",
            closure_reason="RC7",
            **{f"{kind}_start_date": "2022-06-01"},
        ),
        cin(
            name,
            "2022-07-05",
            return_year=2023,
            closure_date="2022-08-10",
            closure_reason="RC7",
            **{f"{kind}_start_date": "2022-06-01"},
        ),
        child_id=("la", "306", name),
        outcome={"plan_days": 70, days_column: 70},
    )
for index, other in (("2021-01-05", "2020-12-01"), ("2021-01-06", "2021-02-01")):
    case(
        f"own_plan_under_another_referral_too_{other}",
        "a plan of December that stands under the index referral and under another one too is the index's own",
        cin(f"OWN_TOO_{other}", index, cpp_start_date="2020-12-15", return_year=2022),
        cin(f"OWN_TOO_{other}", other, cpp_start_date="2020-12-15", return_year=2022),
        child_id=("la", "306", f"OWN_TOO_{other}"),
        outcome={"previous_cpp_count": 0},
    )

case(
    "la_code_of_the_earliest_return",
    "West Northamptonshire reports the referral first, North Northamptonshire a year later: the first counts",
    cin("EARLIEST_CODE", "2021-05-10", return_year=2022, la_code="941"),
    cin("EARLIEST_CODE", "2021-05-10", return_year=2023, la_code="940"),
    child_id=("la", "928", "EARLIEST_CODE", "2013-05"),
    spells=[{"la_code": "941"}],
)
case(
    "ended_without_a_reason_in_the_last_return",
    "the last return has the end, but no reason for it: care ended that day",
    cin("NO_REASON", "2022-03-10"),
    episode("NO_REASON", "2022-05-01", "2024-06-01", None, return_year=2025),
    child_id=("la", "306", "NO_REASON"),
    periods=[("2022-05-01", "2024-06-01")],
)
case(
    "started_again_before_the_stated_end",
    "a new start on 1 July 2021, before the end of 1 September: the period is cut there, and nobody went home that day",
    looked_after("STARTED_AGAIN", 2022),
    episode("STARTED_AGAIN", "2021-05-01", "2021-09-01", "E4A"),
    episode("STARTED_AGAIN", "2021-07-01"),
    child_id=("la", "306", "STARTED_AGAIN"),
    periods=[("2021-05-01", "2021-07-01"), ("2021-07-01", None)],
    values={HOME: (True, True, False)},
)
for kind, days_column in (("cin_plan", "cin_plan_days"), ("cpp", "cpp_days")):
    name = f"{kind}_NEXT_YEAR".upper()
    case(
        f"{kind}_under_a_referral_of_the_next_year",
        "a plan from 1 June 2022 that the next return has under a second referral: over when that closed, 435 days",
        cin(
            name,
            "2022-03-10",
            return_year=2023,
            closure_date="2023-03-01",
            closure_reason="RC7",
            **{f"{kind}_start_date": "2022-06-01"},
        ),
        cin(
            name,
            "2023-04-05",
            return_year=2024,
            closure_date="2023-08-10",
            closure_reason="RC7",
            **{f"{kind}_start_date": "2022-06-01"},
        ),
        child_id=("la", "306", name),
        outcome={"plan_days": 435, days_column: 435},
    )
for index, other in (("2021-01-05", "2020-12-01"), ("2021-01-06", "2021-02-01")):
    case(
        f"own_plan_in_another_return_under_{other}",
        "one return has the plan of December under the index referral, the next under another: the index's own",
        cin(f"OWN_NEXT_{other}", index, cpp_start_date="2020-12-15", return_year=2021),
        cin(f"OWN_NEXT_{other}", other, cpp_start_date="2020-12-15", return_year=2022),
        child_id=("la", "306", f"OWN_NEXT_{other}"),
        outcome={"previous_cpp_count": 0},
    )
case(
    "previous_plans_stated_later",
    "the plan's first return says none before it, the next one two: the first counts",
    cin("STATED_LATER", "2022-03-10", cpp_start_date="2022-03-20", cpp_previous_count=0),
    cin("STATED_LATER", "2022-03-10", return_year=2023, cpp_start_date="2022-03-20", cpp_previous_count=2),
    child_id=("la", "306", "STATED_LATER"),
    outcome={"previous_cpp_count": 0},
)
case(
    "need_of_the_latest_referral",
    "two referrals before the trial and care in it: the need is that of the later one",
    cin("LATEST_NEED", "2020-02-01", primary_need="N5", closure_date="2020-03-01", closure_reason="RC7"),
    cin("LATEST_NEED", "2020-09-01", primary_need="N4", closure_date="2020-10-01", closure_reason="RC7"),
    episode("LATEST_NEED", "2021-06-10", "2022-01-10", "E4A"),
    child_id=("la", "306", "LATEST_NEED"),
    outcome={"primary_need": 4, "index_referral_date": None},
)
case(
    "still_in_care_where_care_returns_stopped",
    "Lambeth's last return on care is that of 2023, its census goes on; 18 on 1 May 2024, after it: in the sample",
    looked_after("CARE_RETURNS_STOPPED", 2022, la_code="208", birth_year=2006),
    episode("CARE_RETURNS_STOPPED", "2021-05-01", return_year=2023, la_code="208"),
    child_id=("la", "208", "CARE_RETURNS_STOPPED"),
    values={HOME_18: (True, True, False)},
)
case(
    "april_after_a_missing_return",
    "Lewisham sent no return of 2019; who enters in April 2019 is seen from the return of 2020 on (FV.MATCH.3)",
    cin("AFTER_A_GAP", "2019-04-15", la_code="209"),
    looked_after("AFTER_A_GAP", 2020, la_code="209"),
    episode("AFTER_A_GAP", "2019-04-20", "2019-12-01", "E4A", la_code="209"),
    child_id=("la", "209", "AFTER_A_GAP"),
    outcome=None,
)

case(
    "factors_of_one_of_two_las",
    "referred to two LAs on one day; only Newcastle's assessment shows domestic abuse: that sample is there",
    cin("FACTORS_OF_ONE", "2021-03-10", pupil_id="PUPILFACTORS"),
    cin(
        "FACTORS_OF_ONE_N",
        "2021-03-10",
        la_code="391",
        pupil_id="PUPILFACTORS",
        closure_date="2021-03-20",
        closure_reason="RC7",
    ),
    assessment("FACTORS_OF_ONE_N", "2021-03-10", "2021-03-12", la_code="391", assessment_factors="3B"),
    cin("TREATED_FS", "2018-01-01", la_code="212", return_year=2025),
    child_id=("pupil", "PUPILFACTORS"),
    programme_id="family_safeguarding",
    outcome={"la_id": "306"},
)

# --- Every window to the day, every code of a list (FV.OUT, B.2) ---------------------------------------

# Within 12, 18 and 24 months of 10 March 2022.
WINDOW_DAYS = {
    "2023-03-10": (True, True, True),
    "2023-03-11": (False, True, True),
    "2023-09-10": (False, True, True),
    "2023-09-11": (False, False, True),
    "2024-03-10": (False, False, True),
    "2024-03-11": (False, False, False),
}
WINDOWS = {"window_12": 0, "default": 1, "window_24": 2} | dict.fromkeys(
    ("with_already_looked_after", "censored_at_18", "without_nfa", "episodes_of_need"), 1
)
for start, is_within in WINDOW_DAYS.items():
    case(
        f"care_from_{start}",
        "referred 10 March 2022: within 12, 18, 24 months, 18 in four other readings",
        cin(f"CARE_FROM_{start}", "2022-03-10"),
        episode(f"CARE_FROM_{start}", start, placement="U1"),
        child_id=("la", "306", f"CARE_FROM_{start}"),
        values={("became_looked_after", reading): (True, True, is_within[n]) for reading, n in WINDOWS.items()}
        | {KINSHIP: (True, True, True) if is_within[1] else (False, True, None)},
    )
for start, is_within_12 in (("2023-03-10", True), ("2023-03-11", False)):
    case(
        f"cpp_from_{start}",
        "a plan on the last day of 12 months, or a day later, in both readings",
        cin(f"CPP_FROM_{start}", "2022-03-10", return_year=2023, cpp_start_date=start, cpp_end_date="2023-03-20"),
        child_id=("la", "306", f"CPP_FROM_{start}"),
        values={("started_cpp", r): (True, True, is_within_12) for r in ("default", "censored_at_18")},
    )
case(
    "all_days_of_the_window",
    "referred 10 March 2022 and open, with a protection plan from before: all 549 days to 10 September 2023",
    *(cin("ALL_DAYS", "2022-03-10", return_year=year, cpp_start_date="2022-03-01") for year in range(2022, 2026)),
    child_id=("la", "306", "ALL_DAYS"),
    values={("plan_days", r): (True, True, 549) for r in ("default", "cpp_days", "cin_episode_days")},
)
case(
    "all_days_of_a_cin_plan",
    "referred on the first day from which CIN plans are seen, a plan from that day on: all 548 days to 1 October 2022",
    *(
        cin("ALL_CIN_DAYS", "2021-04-01", return_year=year, cin_plan_start_date="2021-04-01")
        for year in range(2022, 2026)
    ),
    child_id=("la", "306", "ALL_CIN_DAYS"),
    values={("plan_days", "default"): (True, True, 548), ("plan_days", "cin_plan_days"): (True, True, 548)},
)
for end, is_within_18 in (("2022-09-05", True), ("2022-09-06", False)):
    case(
        f"home_on_{end}",
        "in care from 5 March 2021, home on the last day of 18 months or a day later, in every reading",
        looked_after(f"HOME_ON_{end}", 2022),
        episode(f"HOME_ON_{end}", "2021-03-05", end, "E4A"),
        child_id=("la", "306", f"HOME_ON_{end}"),
        values={reading: (True, True, is_within_18) for reading in (HOME, HOME_ANY, HOME_18)},
    )
for code, is_kinship in {
    **dict.fromkeys(("U1", "U2", "U3", "Q1", "F1", "F4"), True),
    **dict.fromkeys(
        (
            *("A3", "A4", "A5", "A6", "H5", "K1", "K2", "K3", "P1"),
            *("P2", "P3", "R1", "R2", "R3", "R5", "S1", "U4", "U5"),
            *("U6", "Z1", "Z11", "Z12", "Z13", "Z14"),
        ),
        False,
    ),
}.items():
    case(
        f"placed_in_{code}",
        "the first placement is that code",
        cin(f"PLACED_{code}", "2022-03-10"),
        episode(f"PLACED_{code}", "2022-04-01", placement=code),
        child_id=("la", "306", f"PLACED_{code}"),
        values={KINSHIP: (True, True, is_kinship)},
    )
for code in ("T0", "T1", "T2", "T3", "T4"):
    case(
        f"placed_in_{code}_then_with_an_aunt",
        "a temporary code is read through",
        cin(f"PLACED_{code}", "2022-03-10"),
        episode(f"PLACED_{code}", "2022-04-01", "2022-05-01", "X1", return_year=2023, placement=code),
        episode(f"PLACED_{code}", "2022-05-01", placement="U1", reason_for_new_episode="P"),
        child_id=("la", "306", f"PLACED_{code}"),
        values={KINSHIP: (True, True, True)},
    )
for code, planned, at_all in (
    ("E4A", True, True),
    ("E4B", False, True),
    ("E4", False, True),
    *(
        (code, False, False)
        for code in (
            *("E11", "E12", "E2", "E3", "E13", "E41", "E43", "E44", "E45"),
            *("E46", "E47", "E48", "E5", "E6", "E7", "E8", "E9", "E14"),
            *("E15", "E16", "E17"),
        )
    ),
):
    case(
        f"care_ended_with_{code}",
        "care ended within 18 months for that reason",
        looked_after(f"ENDED_{code}", 2022),
        episode(f"ENDED_{code}", "2021-03-05", "2021-09-01", code),
        child_id=("la", "306", f"ENDED_{code}"),
        values={HOME: (True, True, planned), HOME_ANY: (True, True, at_all)},
    )
for code, is_care in {
    **dict.fromkeys(("V3", "V4"), False),
    **dict.fromkeys(("C1", "C2", "D1", "E1", "V2", "L1", "L2", "L3", "J1", "J2", "J3"), True),
}.items():
    case(
        f"legal_status_{code}",
        "looked after under that legal status",
        cin(f"STATUS_{code}", "2022-03-10"),
        episode(f"STATUS_{code}", "2022-04-01", legal_status=code),
        child_id=("la", "306", f"STATUS_{code}"),
        outcome={"has_become_looked_after": is_care},
    )
for number in range(1, 10):
    case(
        f"closed_with_RC{number}",
        "RC8 and RC9 are no episodes of need (FV.SAMPLE.6)",
        cin(f"CLOSED_{number}", "2022-03-10", closure_date="2022-03-20", closure_reason=f"RC{number}"),
        child_id=("la", "306", f"CLOSED_{number}"),
        spells=[{"is_need": number < 8}],
    )

for code, live in (
    ("937", "2021-07-01"),
    ("391", "2021-11-01"),
    ("331", "2022-03-01"),
    ("334", "2022-07-01"),
    ("343", "2022-11-01"),
):
    for before in (1, 0):
        referred = str(date.fromisoformat(live) - timedelta(days=before))
        case(
            f"referred_in_{code}_on_{referred}",
            "on the day on which the LA goes live, or the day before (FV.PROG.1)",
            cin(f"LIVE_{before}", referred, la_code=code),
            child_id=("la", code, f"LIVE_{before}"),
            outcome={"is_treated": not before},
        )

# --- The sister programmes (FV.PROG.5) ----------------------------------------------------------------

case(
    "twelve_at_care_start",
    "No Wrong Door, from 12 on: born May 2009, in care in Redcar with an aunt on 10 May 2021, before its go-live",
    looked_after("TWELVE_AT_CARE_START", 2022, la_code="807", birth_year=2009),
    episode("TWELVE_AT_CARE_START", "2021-05-10", "2022-11-10", "E4A", la_code="807", placement="U1"),
    child_id=("la", "807", "TWELVE_AT_CARE_START"),
    programme_id="no_wrong_door",
    outcome={"age_at_care_start_months": 144, "is_treated_at_care_start": False, "la_id": None},
    values={KINSHIP: (True, True, True), HOME: (True, True, True)},
)
case(
    "eleven_at_care_start",
    "ten days earlier the child is 11 by the month",
    looked_after("ELEVEN_AT_CARE_START", 2022, la_code="807", birth_year=2009),
    episode("ELEVEN_AT_CARE_START", "2021-04-30", "2021-11-10", "E4A", la_code="807", placement="U1"),
    child_id=("la", "807", "ELEVEN_AT_CARE_START"),
    programme_id="no_wrong_door",
    outcome={"is_in_age_range_at_care_start": False, "is_in_sample__reunified": False},
)
case(
    "home_on_the_18th_birthday",
    "No Wrong Door censors at 18: a return on the birthday itself (1 March 2022) does not count, the child stays",
    looked_after("HOME_ON_THE_18TH", 2022, la_code="807", birth_year=2004, birth_month=3),
    episode("HOME_ON_THE_18TH", "2021-10-05", "2022-03-01", "E4A", la_code="807"),
    child_id=("la", "807", "HOME_ON_THE_18TH"),
    programme_id="no_wrong_door",
    outcome={"is_treated_at_care_start": True, "age_at_care_start_months": 211},
    values={HOME: (True, True, False)},
)
case(
    "last_day_known_by_day",
    "Family Safeguarding: the last go-live is 24 May 2022 to the day, so the trial ends on 24 November 2022",
    cin("LAST_DAY_KNOWN_BY_DAY", "2022-11-24", la_code="212", closure_date="2022-12-24", closure_reason="RC7"),
    child_id=("la", "212", "LAST_DAY_KNOWN_BY_DAY"),
    programme_id="family_safeguarding",
    outcome={"is_treated": True, "age_at_referral_months": 114, "plan_days": 30, "cin_episode_days": 30},
    values={("plan_days", "default"): (True, True, 30)},
)
case(
    "day_after_the_last_day",
    "25 November 2022 is outside",
    cin("DAY_AFTER_THE_LAST_DAY", "2022-11-25", la_code="212"),
    child_id=("la", "212", "DAY_AFTER_THE_LAST_DAY"),
    programme_id="family_safeguarding",
    outcome=None,
)
case(
    "thirteen_in_a_programme_to_twelve",
    "Family Safeguarding is for children up to 12: born November 2009, referred November 2022",
    cin("THIRTEEN", "2022-11-01", la_code="212", birth_year=2009, birth_month=11),
    child_id=("la", "212", "THIRTEEN"),
    programme_id="family_safeguarding",
    outcome={"age_at_referral_months": 156, "is_in_age_range": False},
)


# --- An alternative sample by assessment factors (FV.PROG.5) ------------------------------------------
# Walsall (335) goes live with Family Safeguarding on 1 September 2020; its trial period is 1 March 2020 to
# 24 November 2022, its ages 0 to 12. The sample: alcohol, drugs, domestic abuse, mental health (1A to 4C).

IN_SAMPLE_BY_FACTORS = ("became_looked_after", "assessment_factors")


def safeguarding(name: str, why: str, *rows: Row, **expected: Any) -> None:
    """Add a case of Walsall, whose rows carry its name."""
    child_id = ("la", "335", name.upper())
    case(name, why, *rows, child_id=child_id, programme_id="family_safeguarding", **expected)


safeguarding(
    "factor_at_the_second_referral",
    "the first referral's assessment shows neglect only, the second's mental health: the sample begins with the "
    "second, after go-live, and care on 10 April 2022 lies in its 18 months but not in those of the first",
    cin("FACTOR_AT_THE_SECOND_REFERRAL", "2020-08-31", la_code="335", closure_date="2020-09-10", closure_reason="RC8"),
    assessment(
        "FACTOR_AT_THE_SECOND_REFERRAL", "2020-08-31", "2020-09-01", la_code="335", assessment_factors="16A,14A"
    ),
    cin("FACTOR_AT_THE_SECOND_REFERRAL", "2020-10-10", la_code="335"),
    assessment(
        "FACTOR_AT_THE_SECOND_REFERRAL", "2020-10-10", "2020-10-11", la_code="335", assessment_factors="16A, 4B"
    ),
    episode("FACTOR_AT_THE_SECOND_REFERRAL", "2022-04-10", la_code="335"),
    outcome={"index_referral_date": day("2020-08-31"), "is_treated": False, "has_become_looked_after": False},
    values={
        ("became_looked_after", "default"): (True, True, False),
        IN_SAMPLE_BY_FACTORS: (True, True, True),
        ("started_cpp", "assessment_factors"): (True, True, False),
        # From 10 October 2020 to 31 March 2021: no later return has the referral (D32).
        ("plan_days", "assessment_factors"): (True, True, 172),
    },
)
safeguarding(
    "factor_in_a_later_assessment",
    "the second assessment under the first referral shows drug misuse of a parent: that referral counts",
    cin("FACTOR_IN_A_LATER_ASSESSMENT", "2020-09-01", la_code="335"),
    cin("FACTOR_IN_A_LATER_ASSESSMENT", "2020-09-01", return_year=2022, la_code="335"),
    assessment("FACTOR_IN_A_LATER_ASSESSMENT", "2020-09-01", "2020-09-02", la_code="335", assessment_factors="21"),
    assessment("FACTOR_IN_A_LATER_ASSESSMENT", "2020-09-01", "2021-09-02", la_code="335", assessment_factors="2B"),
    outcome={"is_treated": True},
    values={IN_SAMPLE_BY_FACTORS: (True, True, False)},
)
safeguarding(
    "thirteen_at_the_factor",
    "born May 2008: 12 at the first referral, 13 at the one whose assessment shows domestic abuse",
    cin("THIRTEEN_AT_THE_FACTOR", "2021-04-30", la_code="335", birth_year=2008),
    cin("THIRTEEN_AT_THE_FACTOR", "2021-05-01", la_code="335", birth_year=2008),
    assessment("THIRTEEN_AT_THE_FACTOR", "2021-05-01", "2021-05-02", la_code="335", assessment_factors="3A,3B"),
    outcome={"age_at_referral_months": 155, "is_in_age_range": True},
    without=[IN_SAMPLE_BY_FACTORS],
)
safeguarding(
    "no_such_factor",
    "5A and 13A are not of the sample, though one holds an A and the other a 3",
    cin("NO_SUCH_FACTOR", "2020-10-01", la_code="335"),
    assessment("NO_SUCH_FACTOR", "2020-10-01", "2020-10-02", la_code="335", assessment_factors="5A,13A"),
    outcome={"index_referral_date": day("2020-10-01")},
    without=[IN_SAMPLE_BY_FACTORS],
)
safeguarding(
    "factor_before_the_trial",
    "the factor was found under a referral before the trial period: not under the one in it",
    cin("FACTOR_BEFORE_THE_TRIAL", "2020-02-29", la_code="335", closure_date="2020-03-20", closure_reason="RC8"),
    assessment("FACTOR_BEFORE_THE_TRIAL", "2020-02-29", "2020-03-01", la_code="335", assessment_factors="1B"),
    cin("FACTOR_BEFORE_THE_TRIAL", "2020-10-01", la_code="335"),
    outcome={"index_referral_date": day("2020-10-01")},
    without=[IN_SAMPLE_BY_FACTORS],
)


# --- The made-up programme (variant/*.csv) ------------------------------------------------------------
# Ages 5 to 16, 1 July 2019 to 31 December 2020, without referrals that led to no further action; 382 went live on
# 1 October 2019 (embedding September to December), 841 is its trailblazer from 10 February 2020.


def made_up(name: str, why: str, *rows: Row, la_code: str = "382", **expected: Any) -> None:
    """Add a case of the made-up programme, whose rows carry its name."""
    child_id = expected.pop("child_id", ("la", la_code, name.upper()))
    case(name, why, *rows, child_id=child_id, programme_id="made_up", **expected)


made_up(
    "embedding_first_day",
    "referred on the first day of the embedding period, a month before go-live",
    cin("EMBEDDING_FIRST_DAY", "2019-09-01", la_code="382"),
    outcome={"is_treated": False, "is_in_embedding_period": True},
)
made_up(
    "embedding_last_day",
    "31 December 2019 is its last day and counts",
    cin("EMBEDDING_LAST_DAY", "2019-12-31", la_code="382"),
    outcome={"is_treated": True, "is_in_embedding_period": True},
)
made_up(
    "embedding_day_after",
    "1 January 2020 is after it",
    cin("EMBEDDING_DAY_AFTER", "2020-01-01", la_code="382"),
    outcome={"is_treated": True, "is_in_embedding_period": False},
)
made_up(
    "trailblazer_goes_live",
    "treated only where the trailblazer is added to the treatment group",
    cin("TRAILBLAZER_GOES_LIVE", "2020-02-10", la_code="841"),
    la_code="841",
    outcome={"is_treatment_la": False, "is_treated": False, "is_treated_with_trailblazer": True},
)
made_up(
    "trailblazer_day_before",
    "the day before it is not treated there either",
    cin("TRAILBLAZER_DAY_BEFORE", "2020-02-09", la_code="841"),
    la_code="841",
    outcome={"is_treated_with_trailblazer": False},
)
made_up(
    "nfa_is_no_referral_here",
    "on this basis the referral without further action does not count, the next one is the index",
    cin("NFA_IS_NO_REFERRAL_HERE", "2019-08-01", la_code="382", referral_nfa="1", primary_need=None),
    cin("NFA_IS_NO_REFERRAL_HERE", "2019-11-05", la_code="382"),
    outcome={"index_referral_date": day("2019-11-05"), "is_treated": True},
)
made_up(
    "a_quarter_of_the_time",
    "open 1 September to 11 October 2019: 10 of 40 days under it are the quarter it asks for, not its 14 days",
    cin("A_QUARTER_OF_THE_TIME", "2019-09-01", la_code="382", closure_date="2019-10-11", closure_reason="RC7"),
    outcome={"is_treated": False, "is_treated_by_share_of_time": True, "is_treated_by_days": False},
)
made_up(
    "last_day_by_its_own_row",
    "a row sets the end of its trial period, 31 December 2020",
    cin("LAST_DAY_BY_ITS_OWN_ROW", "2020-12-31", la_code="382"),
    outcome={"index_referral_date": day("2020-12-31")},
)
made_up(
    "day_after_its_own_row",
    "1 January 2021 is outside",
    cin("DAY_AFTER_ITS_OWN_ROW", "2021-01-01", la_code="382"),
    outcome=None,
)
made_up(
    "absence_gap_spring_2020",
    "referred 15 November 2019: spring and summer 2020 were not collected, whatever a row says; autumn was",
    cin("ABSENCE_GAP", "2019-11-15", la_code="382", pupil_id="PUPILGAP"),
    year_of_school("PUPILGAP", 2020),
    year_of_school("PUPILGAP", 2021),
    child_id=("pupil", "PUPILGAP"),
    terms=[(2020, "spring", None, None), (2020, "summer", None, None), (2021, "autumn", 60, 3)],
    values={ABSENCE: (True, False, None), ("unauthorised_absence", "two_terms"): (True, False, None)},
)
made_up(
    "on_a_plan_at_18",
    "16 at the referral, 18 on 1 October 2021, two weeks before the window ends: 30 days, the eve among them",
    cin("ON_A_PLAN_AT_18", "2020-07-15", la_code="382", birth_year=2003, birth_month=10),
    cin(
        "ON_A_PLAN_AT_18",
        "2020-07-15",
        return_year=2022,
        la_code="382",
        birth_year=2003,
        birth_month=10,
        cin_plan_start_date="2021-09-01",
    ),
    outcome={"age_at_referral_months": 201, "plan_days": 30, "cin_plan_days": 30, "cpp_days": 0},
)
made_up(
    "first_referred_too_young",
    "first referred in the trial period at 4, again at 5: the first referral is the index, so the child is too young",
    cin(
        "FIRST_REFERRED_TOO_YOUNG",
        "2019-11-01",
        la_code="382",
        birth_year=2015,
        birth_month=1,
        closure_date="2019-12-01",
    ),
    cin("FIRST_REFERRED_TOO_YOUNG", "2020-06-01", la_code="382", birth_year=2015, birth_month=1),
    outcome={"age_at_referral_months": 58, "is_in_age_range": False},
)
made_up(
    "another_basis",
    "referred without further action on 1 August, with it on 5 November 2019: another sample counts the first",
    cin("ANOTHER_BASIS", "2019-08-01", la_code="382", referral_nfa="1", primary_need=None),
    cin("ANOTHER_BASIS", "2019-11-05", la_code="382"),
    episode("ANOTHER_BASIS", "2020-08-02", la_code="382"),
    outcome={"index_referral_date": day("2019-11-05"), "has_become_looked_after": True},
    values={("became_looked_after", "any_basis"): (True, True, False)},
)
made_up(
    "factor_of_its_own_list",
    "its sample asks for 4A or 16A: 4B under the first referral is neither, 16A under the second begins it",
    cin("FACTOR_OF_ITS_OWN_LIST", "2019-11-05", la_code="382", closure_date="2019-12-05", closure_reason="RC7"),
    assessment("FACTOR_OF_ITS_OWN_LIST", "2019-11-05", "2019-11-06", la_code="382", assessment_factors="4B"),
    cin("FACTOR_OF_ITS_OWN_LIST", "2020-02-05", la_code="382"),
    assessment("FACTOR_OF_ITS_OWN_LIST", "2020-02-05", "2020-02-06", la_code="382", assessment_factors="16A"),
    episode("FACTOR_OF_ITS_OWN_LIST", "2021-02-05", la_code="382"),
    outcome={"index_referral_date": day("2019-11-05"), "has_become_looked_after": False},
    values={("became_looked_after", "assessed"): (True, True, True)},
)
