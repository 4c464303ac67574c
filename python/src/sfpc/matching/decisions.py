"""Decisions of people on pairs of LAs: pre-fill, check, apply (FV.MATCH.4).

The file is the seed `la_match_decisions.csv`: a row per candidate that somebody looked at or should look at. A row with
a decision is never changed here; what it was based on is its data version, a hash of the trends of that programme and
outcome. Page: docs/methods/trend_distance.md.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast

import pandas as pd

from sfpc.errors import InputError, SfpcError
from sfpc.matching.trends import MatchingSettings, rank_candidates

COLUMNS = (
    "programme_id",
    "outcome_id",
    "treatment_la_id",
    "comparator_la_id",
    "decision",
    "reason",
    "decided_by",
    "decided_on",
    "data_version",
)
ACCEPT, REJECT = "accept", "reject"
DECIDED = "decided"
STALE = "stale decision"
DECISIONS_FILE = Path("protocol") / "la_match_decisions.csv"

Key = tuple[str, str, str]
VersionKey = tuple[str, str]


@dataclass(frozen=True)
class Decision:
    """One row of the file. `decision` is 'accept', 'reject' or empty: not decided yet."""

    programme_id: str
    outcome_id: str
    treatment_la_id: str
    comparator_la_id: str
    decision: str = ""
    reason: str = ""
    decided_by: str = ""
    decided_on: str = ""
    data_version: str = ""

    @property
    def key(self) -> Key:
        """Programme, outcome and treatment LA."""
        return self.programme_id, self.outcome_id, self.treatment_la_id

    @property
    def pair(self) -> tuple[str, str, str, str]:
        """What must be unique."""
        return (*self.key, self.comparator_la_id)


@dataclass(frozen=True)
class Prefilled:
    """What a pre-fill did: all rows of the new file, how many were added or dropped, and the stale decisions."""

    rows: list[Decision]
    added: int
    dropped: int
    stale: list[Decision]


def data_versions(trends: pd.DataFrame) -> dict[VersionKey, str]:
    """Version of the trends by programme and outcome: twelve hexadecimal digits.

    trends: `fct_la_quarter_outcomes`. A hash of LA, quarter, numerator (six decimals, because sums of fractions differ
    in their last digits from build to build) and denominator, sorted, so that the order of rows does not matter.
    """
    versions: dict[VersionKey, str] = {}
    for (programme_id, outcome_id), group in trends.groupby(["programme_id", "outcome_id"], sort=True):
        days = pd.to_datetime(group["quarter_start_date"]).dt.strftime("%Y-%m-%d")
        lines = sorted(
            f"{la}|{day}|{numerator + 0.0:.6f}|{count}"
            for la, day, numerator, count in zip(
                group["la_id"],
                days,
                group["numerator"].astype(float),
                group["denominator_count"].astype("int64"),
                strict=True,
            )
        )
        content = "\n".join([str(programme_id), str(outcome_id), *lines])
        versions[(str(programme_id), str(outcome_id))] = hashlib.sha256(content.encode()).hexdigest()[:12]
    return versions


def read_decisions(path: Path) -> list[Decision]:
    """Read the file; every row is checked for what can be told from the row alone.

    Raises InputError (file, row, column, what was expected) for another header, a row of another width, a decision that
    is neither accept nor reject nor empty, a decision without reason, name, date or data version, a date that is none,
    and a pair that stands there twice. A file that does not exist has no rows.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not readable as UTF-8; save it as CSV (UTF-8)", file=path) from error
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or tuple(name.strip() for name in lines[0]) != COLUMNS:
        raise InputError(f"the header must be {','.join(COLUMNS)}", file=path, row=1)
    rows: list[Decision] = []
    seen: dict[tuple[str, str, str, str], int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line or not any(value.strip() for value in line):
            continue
        if len(line) != len(COLUMNS):
            raise InputError(f"{len(line)} values; {len(COLUMNS)} are expected", file=path, row=number)
        row = Decision(*(value.strip() for value in line))
        _check_row(row, path, number)
        if row.pair in seen:
            raise InputError(
                f"this pair stands in row {seen[row.pair]} already", file=path, row=number, column="comparator_la_id"
            )
        seen[row.pair] = number
        rows.append(row)
    return rows


def _check_row(row: Decision, path: Path, number: int) -> None:
    for column in COLUMNS[:4]:
        if not getattr(row, column):
            raise InputError("is empty", file=path, row=number, column=column)
    if row.decision not in ("", ACCEPT, REJECT):
        raise InputError(
            f"'{row.decision}' is not a decision; expected {ACCEPT}, {REJECT}, or nothing while it is open",
            file=path,
            row=number,
            column="decision",
        )
    for column in ("reason", "decided_by", "decided_on", "data_version"):
        if row.decision and not getattr(row, column):
            raise InputError("a decision needs it", file=path, row=number, column=column)
    if row.decided_on:
        try:
            date.fromisoformat(row.decided_on)
        except ValueError as error:
            raise InputError(
                f"'{row.decided_on}' is not a date; expected YYYY-MM-DD", file=path, row=number, column="decided_on"
            ) from error


def check_against_marts(
    rows: list[Decision], path: Path, roles: pd.DataFrame, versions: Mapping[VersionKey, str]
) -> None:
    """Check what only the marts can tell: programme, outcome, treatment LA, candidate.

    Raises InputError with the row, as `read_decisions` does. Rows of a programme that the marts do not hold are left
    alone: its LAs sent nothing this time.
    """
    lines = _line_numbers(rows, path)
    held = {programme for programme, _ in versions}
    treatment = {(r["programme_id"], r["la_id"]) for _, r in roles[roles["role"] == "treatment"].iterrows()}
    able = roles[roles["is_matching_candidate"].astype(bool)]
    candidates = {(r["programme_id"], r["la_id"]) for _, r in able.iterrows()}
    for row in rows:
        if row.programme_id not in held:
            continue
        problems = (
            ("outcome_id", (row.programme_id, row.outcome_id) in versions, "no trend of this outcome in the marts"),
            (
                "treatment_la_id",
                (row.programme_id, row.treatment_la_id) in treatment,
                f"'{row.treatment_la_id}' is no treatment LA of the programme",
            ),
            (
                "comparator_la_id",
                (row.programme_id, row.comparator_la_id) in candidates or row.decision == REJECT,
                f"'{row.comparator_la_id}' may not serve as a comparator (fct_la_eligibility says why)",
            ),
        )
        for column, is_right, problem in problems:
            if not is_right:
                raise InputError(problem, file=path, row=lines[row.pair], column=column)


def _line_numbers(rows: list[Decision], path: Path) -> dict[tuple[str, str, str, str], int]:
    """Row in the file of every pair; blank lines are counted, as an editor does."""
    if not path.exists():
        return {row.pair: number for number, row in enumerate(rows, start=2)}
    lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    return {
        (line[0].strip(), line[1].strip(), line[2].strip(), line[3].strip()): number
        for number, line in enumerate(lines, start=1)
        if len(line) == len(COLUMNS)
    }


def prefill(rows: list[Decision], ranking: pd.DataFrame, versions: Mapping[VersionKey, str]) -> Prefilled:
    """Add the ranked candidates that the file lacks; never touch a row with a decision.

    An open row gets the present data version, and leaves when its candidate is no longer ranked. Order: programme,
    outcome, treatment LA; within it, rows with a decision as they stood, then open rows by rank.
    """
    kept = [row for row in rows if row.decision]
    decided = {row.pair for row in kept}
    open_before = {row.pair: row for row in rows if not row.decision}
    ranked: list[Decision] = []
    for one in ranking.sort_values(["programme_id", "outcome_id", "treatment_la_id", "rank"]).itertuples():
        row = Decision(
            str(one.programme_id),
            str(one.outcome_id),
            str(one.treatment_la_id),
            str(one.candidate_la_id),
            data_version=versions[(str(one.programme_id), str(one.outcome_id))],
        )
        if row.pair in decided:
            continue
        before = open_before.get(row.pair)
        # What somebody noted without deciding yet is theirs.
        ranked.append(
            Decision(*row.pair, "", before.reason, before.decided_by, before.decided_on, row.data_version)
            if before
            else row
        )
    listed = {row.pair for row in ranked}
    programmes = {programme for programme, _ in versions}
    absent = [row for pair, row in open_before.items() if pair not in listed and row.programme_id not in programmes]
    dropped = len(open_before) - len(absent) - sum(pair in listed for pair in open_before)
    everything = sorted([*kept, *ranked, *absent], key=lambda row: row.key)
    return Prefilled(
        rows=everything,
        added=sum(row.pair not in open_before for row in ranked),
        dropped=dropped,
        stale=[row for row in kept if is_stale(row, versions)],
    )


def is_stale(row: Decision, versions: Mapping[VersionKey, str]) -> bool:
    """Whether the trends have changed since; trends that are not held tell nothing."""
    present = versions.get((row.programme_id, row.outcome_id))
    return present is not None and row.data_version != present


def write_decisions(rows: list[Decision], path: Path) -> None:
    """Write the file, replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, column) for column in COLUMNS] for row in rows)
    temporary = Path(name)
    try:
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def decisions_of(frame: pd.DataFrame) -> list[Decision]:
    """Rows of `dim_la_match_decisions`."""
    rows = []
    for record in frame.to_dict("records"):
        values = {str(k): "" if pd.isna(v) else v for k, v in record.items()}
        day = values["decided_on"]
        values["decided_on"] = pd.Timestamp(day).strftime("%Y-%m-%d") if day != "" else ""
        rows.append(Decision(**{column: str(values[column]) for column in COLUMNS}))
    return rows


def apply_decisions(
    ranking: pd.DataFrame,
    decisions: list[Decision],
    trends: pd.DataFrame,
    roles: pd.DataFrame,
    settings: MatchingSettings,
) -> pd.DataFrame:
    """Let decisions replace the automatic rule, treatment LA by treatment LA.

    Where a person accepted a candidate of a treatment LA and outcome, exactly the accepted are comparators. Where all
    decisions are rejections, the automatic rule serves among ranked candidates that nobody rejected; if that leaves
    none, there is no comparator. A decision made on other data counts and is marked stale. An accepted LA beyond the
    ranked ten joins the ranking with its own rank.

    Parameters
    ----------
    ranking: from `rank_candidates`; trends, roles, settings: what it was made from.

    Returns
    -------
    The ranking with `is_accepted`, `decision` ('automatic rule', 'decided' or 'stale decision') and `reason`.

    Raises SfpcError where an accepted LA cannot be compared on these data: it is no candidate, or has no trend.

    Source: FV.MATCH.4; docs/methods/trend_distance.md.
    """
    made = [row for row in decisions if row.decision]
    if not made:
        return ranking
    versions = data_versions(trends)
    everyone: pd.DataFrame | None = None
    frame = ranking.copy()
    by_key: dict[Key, dict[str, Decision]] = {}
    for row in made:
        if (row.programme_id, row.outcome_id) in versions:
            by_key.setdefault(row.key, {})[row.comparator_la_id] = row
    for key, own in by_key.items():
        here = (frame["programme_id"] == key[0]) & (frame["outcome_id"] == key[1])
        here &= frame["treatment_la_id"] == key[2]
        accepted = [row for row in own.values() if row.decision == ACCEPT]
        missing = [row for row in accepted if row.comparator_la_id not in set(frame.loc[here, "candidate_la_id"])]
        if missing:
            everyone = rank_candidates(trends, roles, _Unlimited(settings)) if everyone is None else everyone
            extra = _beyond_the_ranking(missing, everyone)
            frame = pd.concat([frame, extra], ignore_index=True)
            here = (frame["programme_id"] == key[0]) & (frame["outcome_id"] == key[1])
            here &= frame["treatment_la_id"] == key[2]
        taken = 0
        for i in frame.index[here]:
            row_or_none = own.get(str(frame.at[i, "candidate_la_id"]))
            if row_or_none is not None:
                frame.at[i, "is_accepted"] = row_or_none.decision == ACCEPT
                frame.at[i, "decision"] = STALE if is_stale(row_or_none, versions) else DECIDED
                frame.at[i, "reason"] = _words(row_or_none, versions)
            elif accepted:
                frame.at[i, "is_accepted"] = False
                frame.at[i, "decision"] = DECIDED
                frame.at[i, "reason"] = "not decided; others of this treatment LA were accepted"
            else:
                ratio = float(cast(float, frame.at[i, "noise_ratio"]))
                is_taken = (
                    ratio <= settings.matching_calliper_noise_ratio and taken < settings.matching_maximum_comparators
                )
                taken += is_taken
                frame.at[i, "is_accepted"] = is_taken
                if is_taken:
                    frame.at[i, "reason"] = (
                        f"{ratio:.2f} times the distance of sampling error alone, within the limit of"
                        f" {settings.matching_calliper_noise_ratio:g}; nobody decided on it"
                    )
    order = ["programme_id", "outcome_id", "treatment_la_id", "rank"]
    return frame.sort_values(order, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Unlimited:
    """The settings of a ranking that lists every candidate."""

    inner: MatchingSettings

    @property
    def matching_ranking_length(self) -> int:
        return 1_000_000

    @property
    def matching_minimum_quarters(self) -> int:
        return self.inner.matching_minimum_quarters

    @property
    def matching_maximum_comparators(self) -> int:
        return self.inner.matching_maximum_comparators

    @property
    def matching_calliper_noise_ratio(self) -> float:
        return self.inner.matching_calliper_noise_ratio


def _beyond_the_ranking(missing: list[Decision], everyone: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for row in missing:
        found = everyone[
            (everyone["programme_id"] == row.programme_id)
            & (everyone["outcome_id"] == row.outcome_id)
            & (everyone["treatment_la_id"] == row.treatment_la_id)
            & (everyone["candidate_la_id"] == row.comparator_la_id)
        ]
        if found.empty:
            raise SfpcError(
                f"la_match_decisions: {row.decided_by} accepted {row.comparator_la_id} for {row.treatment_la_id}"
                f" ({row.programme_id}, {row.outcome_id}), but it is no candidate or shares too few quarters with it;"
                " reject it or look at the pair again (sfpc decide)"
            )
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def _words(row: Decision, versions: Mapping[VersionKey, str]) -> str:
    verb = "accepted" if row.decision == ACCEPT else "rejected"
    text = f"{verb} by {row.decided_by} on {row.decided_on}: {row.reason}"
    if is_stale(row, versions):
        present = versions[(row.programme_id, row.outcome_id)]
        text += f" (seen on data version {row.data_version}; the trends are now {present})"
    return text
