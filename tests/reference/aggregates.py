"""Counts over children, a second time: the participant flow, LA-quarter trends, until when a follow-up lasts.

Like definitions.py, from which every rule about one child comes, this is written from the protocol register
(FV.SAMPLE.4, FV.MATCH.3, FV.PROG.6), standard library only.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from definitions import (
    Anchor,
    Areas,
    ChildId,
    ChildRecord,
    Children,
    Context,
    Programme,
    Reading,
    Returns,
    Row,
    absence_terms,
    add_months,
    care_candidates,
    care_periods,
    index_candidates,
    is_fully_observed,
    is_in_sample,
    is_yes,
    outcome_value,
    plans,
    quarter_start_of,
    records_of,
    referral_spells,
)

# The LA at which a child's entry counts where only a hash decides between two: by programme, child and anchor.
Ties = Mapping[tuple[str, ChildId, str], str]


class Evaluation:
    """All children of some tables, with what every programme asks of them."""

    def __init__(self, tables: dict[str, list[Row]], seeds: dict[str, list[Row]]) -> None:
        self.seeds, self.areas = seeds, Areas(seeds["local_authority_successors"])
        children = Children(tables["cin_records"], tables["cla_children"], self.areas)
        activities = [row for name in ("cin_assessments", "cin_section47") for row in tables.get(name, [])]
        self.returns = Returns(
            tables["cin_records"],
            tables["cla_episodes"],
            seeds,
            self.areas,
            tables.get("data_windows", []),
            tables.get("cin_assessments", []),
        )
        found = {
            "referral_spells": referral_spells(tables["cin_records"], children, seeds, self.returns, activities),
            "care_periods": care_periods(tables["cla_episodes"], children, seeds, self.returns),
        }
        found["plans"] = plans(tables["cin_records"], children, found["referral_spells"], self.returns)
        self.records = records_of(tables, children, found)
        self.context = Context(seeds, self.areas, self.returns, tables.get("la_statistics", []))
        every = [Programme(row, seeds, self.areas) for row in seeds["programmes"]]
        self.programmes = [p for p in every if self.returns.areas_seen() & set(p.go_live)]
        self.rows = {row["programme_id"]: row for row in seeds["programmes"]}


def last_follow_ups(evaluation: Evaluation) -> dict[tuple[str, str, str], date]:
    """By programme, outcome and reading: the last day of follow-up of who enters on the last day (FV.PROG.6)."""
    out = {}
    for programme in evaluation.programmes:
        for reading in programme.readings:
            key = programme.programme_id, reading.outcome_id, reading.reading_id
            if reading.window_months is not None:
                out[key] = add_months(programme.trial_end, reading.window_months)
            else:
                terms = evaluation.context.terms
                following = terms.after(programme.trial_end, reading.window_terms or 0)
                last = terms.last_day(*following[-1][1:])
                assert last is not None
                out[key] = last
    return out


# ---------------------------------------------------------------------------------------------------
# The flow (FV.SAMPLE.4)
# ---------------------------------------------------------------------------------------------------


def sample_flow(evaluation: Evaluation, ties: Ties) -> Counter[tuple[Any, ...]]:
    """Referrals, or starts of care, by programme, outcome, LA, treatment LA, after go-live and step (1 to 9)."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for programme in evaluation.programmes:
        for child_id, record in evaluation.records.items():
            for reading in (r for r in programme.readings if r.is_default):
                for entry, step in _steps(evaluation, programme, child_id, record, reading, ties):
                    la_id, day = entry
                    is_treatment = la_id in programme.go_live
                    after = programme.is_treated(la_id, day)
                    counts[programme.programme_id, reading.outcome_id, la_id, is_treatment, after, step] += 1
    return counts


def _steps(
    evaluation: Evaluation,
    programme: Programme,
    child_id: ChildId,
    record: ChildRecord,
    reading: Reading,
    ties: Ties,
) -> Iterator[tuple[tuple[str, date], int]]:
    is_referral = reading.anchor == "REFERRAL"
    column = "referral_date" if is_referral else "care_start_date"
    rows = record.referrals if is_referral else record.periods
    first = index_candidates(rows, programme, "REFERRAL") if is_referral else care_candidates(rows, programme)
    chosen_la = ties.get((programme.programme_id, child_id, reading.anchor or ""))
    index = next((r for r in first if len(first) == 1 or r["la_id"] == chosen_la), None)
    for row in rows:
        if not programme.is_in_trial(row[column]):
            continue
        entry = row["la_id"], row[column]
        if is_referral and not programme.counts(row, "REFERRAL"):
            yield entry, 1
        elif row is not index:
            yield entry, 2
        else:
            yield entry, _step_of_index(evaluation.context, programme, record, reading, row)


def _step_of_index(context: Context, programme: Programme, record: ChildRecord, reading: Reading, row: Row) -> int:
    """Where the child's own entry ends: 3 age not known, 4 ages, 5 in care, 6 turns 18, 7 not about it, 8 not seen."""
    anchor = Anchor(reading.anchor or "", row, record, programme, context)
    if anchor.age_months is None:
        return 3
    if not anchor.is_of_age:
        return 4
    if reading.is_already_looked_after_excluded and anchor.is_looked_after:
        return 5
    observed = is_fully_observed(reading, anchor, record, programme, context)
    if not is_in_sample(reading, anchor, record, context):
        if reading.measure == "POOLED_TERMS":
            reaches = len(absence_terms(reading, anchor, record, context)) == reading.window_terms
            return 7 if reaches else 8
        if reading.measure == "FIRST_PLACEMENT" and anchor.kind == "REFERRAL":
            return 7 if observed else 8
        return 6
    return 9 if observed else 8


# ---------------------------------------------------------------------------------------------------
# Trends (FV.MATCH.1, FV.MATCH.3)
# ---------------------------------------------------------------------------------------------------


def trend_cells(evaluation: Evaluation) -> dict[tuple[str, str, str, date], tuple[float, int]]:
    """By programme, outcome, LA and quarter: the sum of the outcome, and the number of children it is known of."""
    cells: dict[tuple[str, str, str, date], list[float]] = defaultdict(list)
    for programme in evaluation.programmes:
        quarters = _quarters_of(evaluation, programme)
        for record in evaluation.records.values():
            for reading in programme.readings:
                if reading.is_trend:
                    for anchor in _entrants(evaluation, programme, record, reading, quarters):
                        by_itself = copy.copy(programme)
                        by_itself.trial_start = anchor.day
                        if is_in_sample(reading, anchor, record, evaluation.context) and is_fully_observed(
                            reading, anchor, record, by_itself, evaluation.context
                        ):
                            value = outcome_value(reading, anchor, record, evaluation.context)
                            key = programme.programme_id, reading.outcome_id, anchor.la_id
                            cells[*key, quarter_start_of(anchor.day)].append(float(value))
    return {key: (sum(values), len(values)) for key, values in cells.items()}


def _quarters_of(evaluation: Evaluation, programme: Programme) -> Callable[[str, date], bool]:
    """Whether a quarter is one of an LA's trend: whole in its own matching window, of a candidate in any."""
    row = evaluation.rows[programme.programme_id]
    seeds, areas = evaluation.seeds, evaluation.areas
    longest = max((r.window_months or 0 for r in programme.readings if r.is_trend), default=0)
    gap = max(int(row["matching_end_months"]), longest)
    windows = {
        la_id: (add_months(day, -int(row["matching_start_months"])), add_months(day, -gap))
        for la_id, day in programme.go_live.items()
        if day is not None
    }
    users = {
        areas.la_id(r["la_code"])
        for r in seeds["programme_local_authorities"]
        if r["programme_id"] == programme.programme_id
    }
    excluded = {
        areas.la_id(r["la_code"])
        for r in seeds["matching_exclusions"]
        if r["programme_id"] == programme.programme_id and is_yes(r["is_default"])
    }

    def has(la_id: str, quarter: date) -> bool:
        own = [windows[la_id]] if la_id in windows else []
        if la_id not in users | excluded:
            own = list(windows.values())
        return any(first <= quarter and add_months(quarter, 3) <= end for first, end in own)

    return has


def _entrants(
    evaluation: Evaluation,
    programme: Programme,
    record: ChildRecord,
    reading: Reading,
    has_quarter: Callable[[str, date], bool],
) -> Iterator[Anchor]:
    """The child's first referral, or start of care, in each LA and quarter, at the programme's ages."""
    is_referral = reading.anchor == "REFERRAL"
    first: dict[tuple[str, date], Anchor] = {}
    for row in record.referrals if is_referral else record.periods:
        day = row["referral_date" if is_referral else "care_start_date"]
        if not has_quarter(row["la_id"], quarter_start_of(day)) or (
            is_referral and not programme.counts(row, "REFERRAL")
        ):
            continue
        anchor = Anchor(reading.anchor or "", row, record, programme, evaluation.context)
        key = anchor.la_id, quarter_start_of(day)
        if anchor.is_of_age and (key not in first or day < first[key].day):
            first[key] = anchor
    yield from first.values()
