"""One programme and one outcome of a run, and what every section asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from sfpc.report import words
from sfpc.report.inputs import Inputs
from sfpc.report.sample import AnalysedChildren
from sfpc.report.truth import Truth

# The clause on inference with few clusters.
FEW_CLUSTERS = "FV.EST.3"
# Outcomes about children in care, wherever they are counted from: by definition nobody else can have them (FV.OUT.S3).
_OF_CHILDREN_IN_CARE = frozenset({"is_kinship_first_placement"})
CARE_START = "care_start"


@dataclass(frozen=True)
class Study:
    """One programme and one outcome: the unit that most sections repeat."""

    programme_id: str
    outcome_id: str
    programme: str
    outcome: dict[str, Any]
    inputs: Inputs

    @property
    def key(self) -> str:
        """Identifier for anchors and figures."""
        return f"{self.programme_id}-{self.outcome_id}"

    @property
    def title(self) -> str:
        """Heading where a report holds several studies."""
        return f"{self.programme}: {words.lowered(str(self.outcome['label']))}"

    @property
    def factor(self) -> float:
        """From the stored unit to the unit shown."""
        return 100.0 if self.outcome["outcome_kind"] == "binary" else 1.0

    @property
    def value_unit(self) -> str:
        """Unit of the outcome itself, as an axis names it."""
        if self.outcome["outcome_kind"] == "days":
            return "days per child"
        is_share = self.outcome["outcome_kind"] == "binary"
        return "children with the outcome, % per quarter" if is_share else "mean of the outcome, %"

    @property
    def anchor(self) -> str:
        """What the outcome is counted from: referral (of any kind) or care_start."""
        held = self.inputs.anchors.get((self.programme_id, self.outcome_id))
        return held or str(self.outcome.get("anchor") or "referral")

    @property
    def entry(self) -> str:
        """The event that a child comes in with."""
        return "start of care" if self.anchor == CARE_START else "referral"

    @property
    def entries(self) -> str:
        """More than one of it."""
        return "starts of care" if self.anchor == CARE_START else "referrals"

    @property
    def who(self) -> str:
        """Whom the outcome is about."""
        return whom(self.is_of_care)

    @property
    def is_of_care(self) -> bool:
        """Whether only children who became looked after can have the outcome."""
        return is_of_care(self.anchor, self.outcome.get("outcome_column"))

    @property
    def is_primary(self) -> bool:
        """Whether it is the primary outcome of the programme."""
        return self.outcome.get("is_primary") in (True, 1)

    @cached_property
    def specifications(self) -> pd.DataFrame:
        """The rows of dim_specifications that are about this outcome, by specification_id."""
        return self.mart("dim_specifications").drop_duplicates("specification_id").set_index("specification_id")

    @property
    def truth(self) -> Truth | None:
        """The planted effect; none for real data."""
        return self.inputs.truth.get((self.programme_id, self.outcome_id))

    @property
    def analysed(self) -> AnalysedChildren:
        """Who was matched, by LA."""
        return self.inputs.analysed[(self.programme_id, self.outcome_id)]

    def result(self, table: str) -> pd.DataFrame:
        """The rows of a results table that are about this study."""
        return self._mine(self.inputs.results[table])

    def mart(self, name: str) -> pd.DataFrame:
        """The rows of a mart that are about this study, or about its programme."""
        return self._mine(self.inputs.marts[name])

    def _mine(self, frame: pd.DataFrame) -> pd.DataFrame:
        for column, value in (("programme_id", self.programme_id), ("outcome_id", self.outcome_id)):
            if column in frame.columns:
                frame = frame[frame[column] == value]
        return frame

    def la(self, la_id: object) -> str:
        """Name of an LA."""
        frame = self.inputs.marts["dim_local_authorities"]
        names = frame.loc[frame["la_id"] == la_id, "la_name"]
        return str(names.iloc[0]) if len(names) else f"LA {la_id} (name not held)"

    def short_la(self, la_id: object) -> str:
        """Name for a chart: of a reorganised area its first name (the table gives all)."""
        first, *later = self.la(la_id).split(" / ")
        return f"{first} (area)" if later else first

    @cached_property
    def primary(self) -> dict[str, Any]:
        """The primary effect; where none is flagged, the first on the outcome's own scale."""
        effects = self.result("effects")
        flagged = effects[effects["is_primary"].astype(bool)]
        chosen = flagged if len(flagged) else effects
        return dict(chosen.iloc[0])


def is_of_care(anchor: str, outcome_column: object) -> bool:
    """Whether only children who became looked after can have an outcome."""
    return anchor == CARE_START or outcome_column in _OF_CHILDREN_IN_CARE


def whom(is_care: bool) -> str:
    """Whom an outcome is about."""
    return "children who became looked after" if is_care else "children referred"


def studies(inputs: Inputs) -> list[Study]:
    """All programmes and outcomes with effects, the primary outcome of each programme first."""
    outcomes = inputs.marts["dim_outcomes"].set_index("outcome_id", drop=False)
    areas = inputs.marts["dim_programme_local_authorities"]
    found = []
    pairs = inputs.results["effects"][["programme_id", "outcome_id"]].drop_duplicates()
    for row in records(pairs):
        known = row.outcome_id in outcomes.index
        outcome = (
            {str(name): value for name, value in outcomes.loc[row.outcome_id].items()}
            if known
            else {"label": words.sentence(words.plain(str(row.outcome_id))), "outcome_kind": "binary"}
        )
        found.append(
            Study(
                programme_id=str(row.programme_id),
                outcome_id=str(row.outcome_id),
                programme=words.title_of(str(row.programme_id), areas, "programme_id", "programme_name"),
                outcome=outcome,
                inputs=inputs,
            )
        )
    return sorted(found, key=lambda s: (s.programme_id, not s.outcome.get("is_primary", False), s.outcome_id))


def significance_level(inputs: Inputs) -> float:
    """The two-sided level of the run."""
    return float(inputs.run["settings"]["significance_level"])


def confidence(inputs: Inputs) -> str:
    """The level of the intervals, as words: 95%."""
    return f"{100 * (1 - significance_level(inputs)):g}%"


def is_planned(inputs: Inputs, clause: str) -> bool:
    """Whether the register of clauses says that a clause is not built yet."""
    register = inputs.marts["dim_protocol_definitions"]
    return bool(((register["clause"] == clause) & (register["status"] == "planned")).any())


def records(frame: pd.DataFrame) -> list[Any]:
    """The rows as named tuples."""
    return list(frame.itertuples())


def items(series: Any) -> list[tuple[Any, Any]]:
    """Labels and values of a series; a label of several levels is a tuple."""
    return list(series.items())


def as_day(value: Any) -> date:
    """A date of any kind as a plain date."""
    return pd.Timestamp(value).date()
