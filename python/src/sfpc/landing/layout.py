"""The landing tables: what every format becomes, column by column.

Each column names the clause (or the section of the extract's documentation) that needs it: a column
of an input that has no entry here is not loaded (DP.7). Columns keep the codes of the source as text;
tidying codes is staging's work, joining sources is the intermediate layer's.

A row of a landing table is one row of the source: ``source_file`` and ``source_row`` lead back to it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One landing column.

    type: a DuckDB type; DATE columns arrive as text in the source's declared format.
    required: a row without it is quarantined.
    purpose: the clause that needs it.
    """

    name: str
    type: str
    purpose: str
    required: bool = False


@dataclass(frozen=True)
class Table:
    """One landing table.

    starts, ends: columns of the interval that the row is about; a row is out of the data window
    (DP.2) when that interval lies wholly outside it. An interval without an end is still open. Without
    ``ends`` the row is about one day, and ``starts`` may be an expression over its columns.
    about: what the rows are about, in words, and the columns that tell two of them apart; returns repeat
    what is still open, so there are more rows than things.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    starts: str | None = None
    ends: str | None = None
    about: tuple[str, tuple[str, ...]] | None = None

    @property
    def names(self) -> list[str]:
        """Column names in order, without the two provenance columns."""
        return [c.name for c in self.columns]


def _table(
    name: str,
    grain: str,
    *columns: Column,
    starts: str | None = None,
    ends: str | None = None,
    about: tuple[str, tuple[str, ...]] | None = None,
) -> Table:
    return Table(name, grain, columns, starts, ends, about)


CIN_RECORDS = _table(
    "cin_records",
    "one row per return year, child, referral and plan (child protection plan or CIN plan; one row "
    "without plan dates where the referral has neither)",
    Column("return_year", "INTEGER", "year that ends on 31 March; FV.PROG.4", required=True),
    Column("la_code", "VARCHAR", "three-digit DfE code; FV.SAMPLE.1", required=True),
    Column("la_child_id", "VARCHAR", "pseudonymous child code of the LA; FV.SAMPLE.1", required=True),
    Column("pupil_id", "VARCHAR", "pseudonymous national pupil reference; FV.SAMPLE.1"),
    Column("birth_year", "INTEGER", "FV.SAMPLE.1"),
    Column("birth_month", "INTEGER", "FV.SAMPLE.1"),
    Column("is_expected_birth", "VARCHAR", "1 where the birth date is an expected one; FV.SAMPLE.1"),
    Column("is_unborn", "VARCHAR", "the return's own unborn flag, 1 or 0; FV.SAMPLE.1"),
    Column("gender", "VARCHAR", "FV.COV.1"),
    Column("ethnicity", "VARCHAR", "FV.COV.1"),
    Column("disability", "VARCHAR", "0, 1, or the census codes joined by commas; FV.COV.1"),
    Column("referral_date", "DATE", "FV.SAMPLE.1", required=True),
    Column("referral_source", "VARCHAR", "FV.SAMPLE.6"),
    Column("primary_need", "VARCHAR", "FV.COV.1"),
    Column("referral_nfa", "VARCHAR", "1 or true: no further action; FV.SAMPLE.6"),
    Column("closure_date", "DATE", "FV.OUT.S2, FV.TREAT.2"),
    Column("closure_reason", "VARCHAR", "FV.SAMPLE.6"),
    Column("cpp_start_date", "DATE", "FV.OUT.S1"),
    Column("cpp_end_date", "DATE", "FV.OUT.S2"),
    Column("cpp_initial_category", "VARCHAR", "FV.OUT.S1"),
    Column("cpp_previous_count", "INTEGER", "FV.COV.1"),
    Column("cin_plan_start_date", "DATE", "FV.OUT.S2"),
    Column("cin_plan_end_date", "DATE", "FV.OUT.S2"),
    starts="referral_date",
    ends="closure_date",
    about=("referrals", ("la_code", "la_child_id", "referral_date")),
)

_REFERRAL_KEY = (
    Column("return_year", "INTEGER", "year that ends on 31 March; FV.PROG.4", required=True),
    Column("la_code", "VARCHAR", "three-digit DfE code; FV.SAMPLE.1", required=True),
    Column("la_child_id", "VARCHAR", "pseudonymous child code of the LA; FV.SAMPLE.1", required=True),
    Column("referral_date", "DATE", "the referral that the row hangs on; FV.SAMPLE.1", required=True),
)

CIN_ASSESSMENTS = _table(
    "cin_assessments",
    "one row per return year, child, referral and assessment",
    *_REFERRAL_KEY,
    Column("assessment_start_date", "DATE", "an NFA referral has none (rule 8831, A.6); FV.SAMPLE.6", required=True),
    Column("assessment_authorisation_date", "DATE", "end of the assessment (A.6, rule 8696); FV.SAMPLE.6"),
    Column("assessment_factors", "VARCHAR", "factor codes joined by commas (domestic abuse, health); FV.PROG.5, DP.10"),
    starts="assessment_start_date",
    ends="assessment_authorisation_date",
    about=("assessments", ("la_code", "la_child_id", "referral_date", "assessment_start_date")),
)

CIN_SECTION47 = _table(
    "cin_section47",
    "one row per return year, child, referral and section 47 enquiry; the conference of a child moving in has a row "
    "without an enquiry",
    *_REFERRAL_KEY,
    Column("enquiry_start_date", "DATE", "an NFA referral has none (rule 8831, A.6); FV.SAMPLE.6"),
    Column("initial_conference_date", "DATE", "a child protection plan starts that day (rule 2885, A.6); FV.OUT.S1"),
    starts="coalesce(enquiry_start_date, initial_conference_date)",
    about=("section 47 enquiries", ("la_code", "la_child_id", "referral_date", "enquiry_start_date")),
)

CIN_REVIEWS = _table(
    "cin_reviews",
    "one row per return year, child, child protection plan and review",
    *_REFERRAL_KEY,
    Column("cpp_start_date", "DATE", "FV.OUT.S1", required=True),
    Column("review_date", "DATE", "after the start of its plan (rule 8841, A.6); FV.OUT.S1", required=True),
    starts="review_date",
)

CLA_EPISODES = _table(
    "cla_episodes",
    "one row per return year, child and episode of care",
    Column("return_year", "INTEGER", "FV.PROG.4", required=True),
    Column("la_code", "VARCHAR", "FV.OUT.P", required=True),
    Column("la_child_id", "VARCHAR", "FV.OUT.P", required=True),
    Column("episode_start_date", "DATE", "DECOM; FV.OUT.P", required=True),
    Column("reason_for_new_episode", "VARCHAR", "RNE; FV.OUT.P"),
    Column("legal_status", "VARCHAR", "LS; FV.OUT.P (respite)"),
    Column("category_of_need", "VARCHAR", "CIN; FV.COV.1"),
    Column("placement", "VARCHAR", "PLACE; FV.OUT.S3"),
    Column("episode_end_date", "DATE", "DEC; FV.OUT.S4"),
    Column("reason_episode_ceased", "VARCHAR", "REC; FV.OUT.S4"),
    Column("period_start_date", "DATE", "start of the period of care as the national file states it; FV.OUT.P"),
    starts="episode_start_date",
    ends="episode_end_date",
    about=("episodes of care", ("la_code", "la_child_id", "episode_start_date")),
)

CLA_CHILDREN = _table(
    "cla_children",
    "one row per return year and child looked after",
    Column("return_year", "INTEGER", "FV.PROG.4", required=True),
    Column("la_code", "VARCHAR", "FV.COV.1", required=True),
    Column("la_child_id", "VARCHAR", "FV.COV.1", required=True),
    Column("pupil_id", "VARCHAR", "FV.SAMPLE.1"),
    Column("birth_year", "INTEGER", "FV.SAMPLE.3"),
    Column("birth_month", "INTEGER", "FV.SAMPLE.3"),
    Column("gender", "VARCHAR", "FV.COV.1"),
    Column("ethnicity", "VARCHAR", "FV.COV.1"),
    Column("uasc_status", "VARCHAR", "1 unaccompanied asylum-seeking child; FV.COV.1"),
)

NPD_PUPILS = _table(
    "npd_pupils",
    "one row per spring census and pupil enrolment",
    Column("census_year", "INTEGER", "year of the January census; FV.COV.2", required=True),
    Column("pupil_id", "VARCHAR", "FV.COV.1", required=True),
    Column("gender", "VARCHAR", "FV.COV.2"),
    Column("ethnicity", "VARCHAR", "FV.COV.2"),
    Column("nc_year", "VARCHAR", "national curriculum year; FV.CEM.6"),
    Column("fsm_eligible", "VARCHAR", "FV.COV.1"),
    Column("ever_fsm_6", "VARCHAR", "FV.CEM.6"),
    Column("ever_fsm_6_p", "VARCHAR", "pupil premium measure of ever-6; FV.CEM.6"),
    Column("ever_fsm_all", "VARCHAR", "FV.COV.1"),
)

NPD_ABSENCE = _table(
    "npd_absence",
    "one row per school year and pupil enrolment",
    Column(
        "school_year",
        "INTEGER",
        "calendar year in which the school year ends; FV.OUT.S5",
        required=True,
    ),
    Column("pupil_id", "VARCHAR", "FV.OUT.S5", required=True),
    *(
        Column(f"{measure}_{term}", "INTEGER", "FV.OUT.S5")
        for measure in ("sessions_possible", "unauthorised_absence")
        for term in ("autumn", "spring", "summer", "summer6th")
    ),
)

LA_STATISTICS = _table(
    "la_statistics",
    "one row per LA, reference date and measure",
    Column("la_code", "VARCHAR", "FV.COV.3", required=True),
    Column("reference_date", "DATE", "the day that the figure describes; FV.COV.3", required=True),
    Column("measure", "VARCHAR", "FV.COV.3", required=True),
    Column("value", "VARCHAR", "as published, markers included; FV.COV.3"),
)

PUBLISHED_FIGURES = _table(
    "published_figures",
    "one row per published table, LA, period, breakdown and measure",
    Column("published_table", "VARCHAR", "short name of the table, for example c6; FV.MATCH.1", required=True),
    Column("la_code", "VARCHAR", "three-digit DfE code; FV.SAMPLE.1"),
    Column("ons_code", "VARCHAR", "nine-character code, where the table has no other; FV.SAMPLE.1"),
    Column("time_period", "VARCHAR", "as published: 2020, 202021; FV.PROG.4", required=True),
    Column("breakdown", "VARCHAR", "what the figure is a part of, for example a month; FV.MATCH.1"),
    Column("measure", "VARCHAR", "name of the figure's column; FV.MATCH.1", required=True),
    Column("value", "VARCHAR", "as published, markers included (trap 25); FV.MATCH.1"),
)

SUBJECT_REGISTER = _table(
    "subject_register",
    "one row per child whose data may not be used",
    Column("la_code", "VARCHAR", "DP.3"),
    Column("la_child_id", "VARCHAR", "DP.3"),
    Column("pupil_id", "VARCHAR", "DP.3"),
    Column("status", "VARCHAR", "erased, objected, restricted, withdrawn or opted out; DP.3", required=True),
)

DATA_WINDOWS = _table(
    "data_windows",
    "one row per landing table whose rows were cut to a data window; written by the gate itself",
    Column("landing_table", "VARCHAR", "DP.2", required=True),
    Column("first_date", "DATE", "first day that the landed rows may be about; FV.SAMPLE.5", required=True),
    Column("last_date", "DATE", "last day that the landed rows may be about; FV.SAMPLE.5", required=True),
)

TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        CIN_RECORDS,
        CIN_ASSESSMENTS,
        CIN_SECTION47,
        CIN_REVIEWS,
        CLA_EPISODES,
        CLA_CHILDREN,
        NPD_PUPILS,
        NPD_ABSENCE,
        LA_STATISTICS,
        PUBLISHED_FIGURES,
        SUBJECT_REGISTER,
        DATA_WINDOWS,
    )
}
