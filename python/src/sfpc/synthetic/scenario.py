"""What is planted: the LAs of a synthetic run, their twins, their effects and their traits.

Facts come from rows: ``scenarios/plan.csv`` (what is planted where), the programme seeds (go-live dates,
trial period rules) and the register of LA codes. Magnitudes follow published figures; see
docs/synthetic_extracts.md.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np

from sfpc.errors import SfpcError

SIZES = ("reduced", "small", "national")
FIRST_RETURN_YEAR, LAST_RETURN_YEAR = 2018, 2025
REDUCED_VOLUME = 0.3
FIRST_ENTRY = date(2015, 10, 1)
ENGLAND_REFERRALS_PER_YEAR = 650_000.0  # DfE c1, years ending 2018 to 2025: 597,760 to 655,630
# The planned effect on the primary outcome at which every secondary effect has its stated size.
REFERENCE_EFFECT = -0.02
LAST_DAY = date(LAST_RETURN_YEAR, 3, 31)


@dataclass(frozen=True)
class NfaBreak:
    """A change in how an LA records referrals with no further action (FV.SAMPLE.6)."""

    on: date
    share_before: float
    share_after: float


@dataclass(frozen=True)
class PlannedLa:
    """One LA (a continuing area) of a synthetic run.

    la_code: code under which it reports at first.
    successors: (code, first day, probability) of the LAs that take over its children.
    base_rate: share looked after within 18 months of a referral, before shocks.
    effect: change of that share twelve months after go-live, as a proportion (negative: fewer).
    go_live: day that the programme goes live; None for all but treatment LAs.
    """

    la_code: str
    referrals_per_year: float
    base_rate: float
    twin_of: str | None = None
    effect: float = 0.0
    go_live: date | None = None
    successors: tuple[tuple[str, date, float], ...] = ()
    nfa_break: NfaBreak | None = None
    nfa_share: float = 0.07
    missing_ethnicity: float = 0.05
    missing_returns: frozenset[int] = field(default_factory=frozenset)
    has_no_twin: bool = False
    has_failing_trend: bool = False

    @property
    def strength(self) -> float:
        """How strong the programme is here beside an LA whose planned effect is REFERENCE_EFFECT; 0 without it."""
        return self.effect / REFERENCE_EFFECT


@dataclass(frozen=True)
class Scenario:
    """A synthetic run: its LAs, the trial period and the seed of all draws."""

    size: str
    seed: int
    las: tuple[PlannedLa, ...]
    trial_start: date
    trial_end: date


def load_scenario(size: str, seed: int, seeds_dir: Path, volume: float | None = None) -> Scenario:
    """Read the plan for one size.

    volume: factor on the number of referrals of every LA; the reduced set defaults to REDUCED_VOLUME.
    Raises SfpcError for an unknown size or a treatment LA of the plan without a go-live date.
    """
    if size not in SIZES:
        raise SfpcError(f"size {size!r} is not one of {', '.join(SIZES)}")
    factor = volume if volume is not None else (REDUCED_VOLUME if size == "reduced" else 1.0)
    go_live = {
        row["la_code"]: date.fromisoformat(row["go_live_date"])
        for row in _rows(seeds_dir / "programmes" / "programme_local_authorities.csv")
        if row["role"] == "treatment"
    }
    successors = _successors(seeds_dir)
    plan = [row for row in _plan_rows() if size in row["sizes"].split("|")]
    las = [_planned(row, factor, go_live, successors) for row in plan]
    if size == "national":
        las += _unplanned(seeds_dir, seed, las, factor, successors)
    untreated = [la.la_code for la in las if la.effect and la.go_live is None]
    if untreated:
        raise SfpcError(f"the plan gives an effect to {', '.join(untreated)}, which have no go-live date")
    trial_start, trial_end = _trial_period(seeds_dir, list(go_live.values()))
    return Scenario(size, seed, tuple(las), trial_start, trial_end)


def months_later(day: date, months: int) -> date:
    """The same day some months later; the last day of the month where it has no such day."""
    start = np.datetime64(day, "M") + months
    last = (start + 1).astype("datetime64[D]") - 1
    return min(start.astype("datetime64[D]") + (day.day - 1), last).astype(date)  # type: ignore[no-any-return]


def _planned(
    row: dict[str, str],
    factor: float,
    go_live: dict[str, date],
    successors: dict[str, tuple[tuple[str, date, float], ...]],
) -> PlannedLa:
    traits = [t.split(":") for t in row["trait"].split(";") if t]
    kinds = {t[0] for t in traits}
    nfa = next(
        (NfaBreak(date.fromisoformat(t[1]), float(t[2]), float(t[3])) for t in traits if t[0] == "nfa_break"),
        None,
    )
    missing = next((float(t[1]) for t in traits if t[0] == "missing_ethnicity"), 0.05)
    return PlannedLa(
        la_code=row["la_code"],
        referrals_per_year=float(row["referrals_per_year"]) * factor,
        base_rate=float(row["base_rate_pct"]) / 100,
        twin_of=row["twin_of"] or None,
        effect=float(row["effect_points"] or 0) / 100,
        go_live=go_live.get(row["la_code"]) if row["effect_points"] else None,
        successors=successors.get(row["la_code"], ()),
        nfa_break=nfa,
        missing_ethnicity=missing,
        missing_returns=frozenset(int(t[1]) for t in traits if t[0] == "missing_returns"),
        has_no_twin="no_twin" in kinds,
        has_failing_trend="failing_trend" in kinds,
    )


def _unplanned(
    seeds_dir: Path,
    seed: int,
    planned: list[PlannedLa],
    factor: float,
    successors: dict[str, tuple[tuple[str, date, float], ...]],
) -> Iterator[PlannedLa]:
    """All other LAs of the register: sizes log-normal, rates Beta with the protocol's ICC (FV.POWER.1).

    Sizes are scaled so that England has its number of referrals, times the factor.
    """
    taken = {la.la_code for la in planned}
    later = {code for steps in successors.values() for code, _, _ in steps}
    codes = sorted(
        {
            row["la_code"]
            for row in _rows(seeds_dir / "reference" / "local_authority_codes.csv")
            if row["la_code"] not in taken | later
        }
    )
    rng = np.random.default_rng([seed, 7])
    sizes = np.exp(rng.normal(8.16, 0.64, len(codes)))
    sizes *= (factor * ENGLAND_REFERRALS_PER_YEAR - sum(la.referrals_per_year for la in planned)) / sizes.sum()
    rates = np.clip(rng.beta(2.5143, 60.343, len(codes)), 0.012, 0.11)
    shares = np.clip(rng.gamma(0.6, 0.12, len(codes)), 0, 0.35)
    for code, size, rate, share in zip(codes, sizes, rates, shares, strict=True):
        yield PlannedLa(code, float(size), float(rate), successors=successors.get(code, ()), nfa_share=float(share))


def _successors(seeds_dir: Path) -> dict[str, tuple[tuple[str, date, float], ...]]:
    """Per predecessor code: successor codes, the day they took over and the share of children that moved."""
    steps: dict[str, list[tuple[str, date]]] = {}
    for row in _rows(seeds_dir / "reference" / "local_authority_successors.csv"):
        if row["relationship"] != "recode":
            steps.setdefault(row["from_la_code"], []).append(
                (row["to_la_code"], date.fromisoformat(row["effective_date"]))
            )
    return {code: tuple((to, on, 1 / len(tos)) for to, on in tos) for code, tos in steps.items()}


def _trial_period(seeds_dir: Path, go_live: list[date]) -> tuple[date, date]:
    """FV.PROG.3, computed here on its own so that the planted truth does not lean on the SQL it tests."""
    programme = next(iter(_rows(seeds_dir / "programmes" / "programmes.csv")))
    start = months_later(min(go_live), -int(programme["months_before_first_go_live"]))
    end_month = months_later(max(go_live), int(programme["months_after_last_go_live"]))
    end = (np.datetime64(end_month, "M") + 1).astype("datetime64[D]") - 1
    return start, end.astype(date)


def _plan_rows() -> list[dict[str, str]]:
    text = (files("sfpc.synthetic") / "scenarios" / "plan.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))
