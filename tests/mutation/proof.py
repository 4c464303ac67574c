"""Whether a changed model is noticed: by the reference implementation's answers on hand-written and drawn children.

A warehouse (Stage) first has to agree with the reference in everything compared. From then on a mutant is noticed as
soon as one compared value differs from what stood there, because then it differs from the reference too.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from hypothesis import HealthCheck, Phase, given, settings

from aggregates import Evaluation, last_follow_ups, sample_flow, trend_cells
from definitions import evaluate
from edges import children, tables_of
from hand_cases import Case
from mutants import Mutant
from replay import MUTANT_SCHEMA, Project, Replay
from test_reference_agreement import MART_NAMES, MARTS, Marts, check_named_child, compare, is_same, md5_of

Row = dict[str, Any]
Tables = Mapping[str, list[Row]]

SECONDS = 20
FLOW = ("programme_id", "outcome_id", "la_id", "is_treatment_la", "is_after_go_live", "step_number")
CELL = ("programme_id", "outcome_id", "la_id", "quarter_start_date")
FOLLOW_UP = ("programme_id", "outcome_id", "reading_id", "fully_observed_from_data_to_date")
# What is compared with the reference, by mart.
COMPARED = {
    mart: tuple(dict.fromkeys(MART_NAMES.get(c, c) for c in ("child_id", *grain, *columns)))
    for mart, (_, grain, columns) in MARTS.items()
} | {
    "fct_sample_flow": (*FLOW, "entry_count"),
    "fct_la_quarter_outcomes": (*CELL, "round(numerator, 6)", "denominator_count"),
    "fct_observability": FOLLOW_UP,
}


def without_minimum(seeds: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Seeds in which the trend of an LA needs no number of children: here an LA has a handful."""
    programmes = [{**row, "matching_minimum_size_pct": "1"} for row in seeds["programmes"]]
    return {**seeds, "programmes": programmes}


def disagreements(connection: duckdb.DuckDBPyConnection, tables: Tables, seeds: Mapping[str, list[Row]]) -> list[str]:
    """Where the marts of a warehouse and the reference implementation differ, in words."""
    found = compare(connection, evaluate(dict(tables), dict(seeds)), None).found
    everything = Evaluation(dict(tables), dict(seeds))
    by_hash = {md5_of(child): child for child in everything.records}
    ties = {}
    for programme, child, *las in connection.execute(
        "select programme_id, child_id, la_id, care_start_la_id from marts.fct_child_outcomes"
    ).fetchall():
        for anchor, la in zip(("REFERRAL", "CARE_START"), las, strict=True):
            ties[programme, by_hash[child], anchor] = la
    flow = sample_flow(everything, ties)
    follow_ups = {key: (day,) for key, day in last_follow_ups(everything).items()}
    for mart, grain, columns, there in (
        ("fct_sample_flow", FLOW, "entry_count", {key: (count,) for key, count in flow.items()}),
        ("fct_la_quarter_outcomes", CELL, "numerator, denominator_count", trend_cells(everything)),
        ("fct_observability", FOLLOW_UP[:3], FOLLOW_UP[3], follow_ups),
    ):
        rows = connection.execute(f"select distinct {', '.join(grain)}, {columns} from marts.{mart}").fetchall()
        here = {row[: len(grain)]: row[len(grain) :] for row in rows}
        for key in sorted(here.keys() | there.keys(), key=str):
            pair = here.get(key), there.get(key)  # type: ignore[call-overload]
            if None in pair or not all(is_same(a, b) for a, b in zip(*pair, strict=True)):
                found.append(f"{mart}: {key} is {pair[0]} in SQL and {pair[1]} in Python")
    return found


def drawn_children(count: int) -> list[list[Row]]:
    """As many children near the edges as asked for; the same in every run of the same Hypothesis."""
    out: list[list[Row]] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(children())
    def collect(child: list[Row]) -> None:
        out.append(child)

    collect()
    return out


def without_ties(drawn: list[list[Row]], seeds: Mapping[str, list[Row]]) -> list[list[Row]]:
    """The children whose LA no hash decides; of the others the reference cannot say which LA it is."""
    found = evaluate(tables_of(drawn), dict(seeds))
    tied = {row["child_id"] for row in found["child_outcomes"] if row["tie_candidates"]}
    numbers = {name for child in tied for name in child if name[:1] in {"C", "P"}}
    return [rows for number, rows in enumerate(drawn) if not {f"C{number}", f"P{number}"} & numbers]


@dataclass
class Stage:
    """A warehouse that agrees with the reference."""

    name: str
    replay: Replay
    cases: Sequence[Case] = ()

    @classmethod
    def of(
        cls,
        name: str,
        project: Project,
        seeds: Mapping[str, list[Row]],
        tables: Tables,
        cases: Sequence[Case] = (),
    ) -> Stage:
        """Build it and compare everything; AssertionError where the reference disagrees already."""
        replay = Replay(project, seeds, tables, COMPARED)
        found = disagreements(replay.connection, tables, seeds)
        assert not found, f"{name}: {len(found)} disagreements before any change, for example:\n" + "\n".join(found[:9])
        return cls(name, replay, cases)

    @staticmethod
    def marts() -> tuple[str, ...]:
        """The marts that are compared."""
        return tuple(COMPARED)

    def notices(self, mutant: Mutant) -> bool:
        """Whether a compared value comes out otherwise. Raises duckdb.Error where the mutant does not run."""
        timer = threading.Timer(SECONDS, self.replay.connection.interrupt)
        timer.start()
        try:
            return any(self._differs(mart) for mart in self.replay.changed(mutant.model, mutant.sql))
        finally:
            timer.cancel()

    def _differs(self, mart: str) -> bool:
        columns = ", ".join(COMPARED[mart])
        pair = f"select {columns} from marts.{mart}", f"select {columns} from {MUTANT_SCHEMA}.{mart}"
        return any(
            self.replay.connection.execute(f"({one}) except all ({other}) limit 1").fetchone() is not None
            for one, other in (pair, pair[::-1])
        )

    def case_that_notices(self, mutant: Mutant) -> str | None:
        """The first named child whose values, worked out by hand, a changed row of a seed spoils.

        The reference reads the seeds too, so only what stands in the cases themselves can notice.
        """
        changed = set(self.replay.changed(mutant.model, mutant.sql))
        if not changed:
            return None
        marts = self.rows(changed)
        for case in self.cases:
            try:
                check_named_child(case, marts)
            except (AssertionError, KeyError, ValueError):
                return case.name
        return None

    def rows(self, changed: set[str]) -> Marts:
        """The rows of all marts by programme and child, of the changed ones as they are now."""
        out: Marts = {}
        for mart, (_, grain, columns) in MARTS.items():
            names = tuple(dict.fromkeys((*grain, *columns)))
            schema = MUTANT_SCHEMA if mart in changed else "marts"
            query = f"select child_id, {', '.join(MART_NAMES.get(c, c) for c in names)} from {schema}.{mart}"
            of_mart = out.setdefault(mart, {})
            for values in self.replay.connection.execute(query).fetchall():
                row = dict(zip(("child_id", *names), values, strict=True))
                of_mart.setdefault((row.get("programme_id", ""), row["child_id"]), []).append(row)
        return out


def verdict(stages: Sequence[Stage], mutant: Mutant) -> str:
    """The name of the stage that notices the mutant; 'survived'; 'does not run' where DuckDB refuses or gives up."""
    for stage in stages:
        try:
            if stage.notices(mutant):
                return stage.name
        except duckdb.Error:
            return "does not run"
    return "survived"
