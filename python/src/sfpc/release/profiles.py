"""Profiles of rules for outputs (DP.5): rows of seeds/governance/disclosure_profiles.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sfpc.errors import InputError, SfpcError

PROFILES_FILE = Path("seeds") / "governance" / "disclosure_profiles.csv"
DEFAULT_PROFILE = "srs_strict"
COLUMNS = ("profile", "rule", "value", "source")

# Rules of which the smaller value is the stricter one; of all others it is the larger.
_SMALLER_IS_STRICTER = frozenset(
    {"zero_is_shown", "rate_decimals", "dominance_largest_pct", "dominance_two_largest_pct"}
)
_TEXT = frozenset({"marker"})
_SHARES = frozenset({"dominance_largest_pct", "dominance_two_largest_pct"})


@dataclass(frozen=True)
class Profile:
    """The rules of one profile. Counts are distinct children.

    Attributes
    ----------
    count_minimum: smallest count that is shown; non_event_minimum: smallest number of children without the event that
        lets the number with it be shown.
    zero_is_shown: whether a zero that is not structural is shown.
    rounding_base, wide_rounding_base: counts are rounded to multiples of it; the wide one is for totals and groups of a
        dimension that is a geography (England, regions).
    marker: what stands in a hidden cell, whatever it was hidden for.
    rate_decimals: decimals of rates, which are made of rounded counts.
    statistic_minimum: children behind a mean, standard deviation or median.
    percentile_minimum_each_side: children on each side of any other percentile.
    dominance_largest_pct, dominance_two_largest_pct: largest shares of a sum that one child, two children may have.
    class_disclosure_is_checked: whether a row of a sensitive variable may not be all in one class.
    regression_minimum_children, regression_minimum_residual_df: of every regression.
    factor_level_minimum: children, events and non-events of every level of a factor.
    covariate_levels_are_checked: whether this holds for levels whose coefficients are not released, too.
    saturated_minimum_children: fewest children in a combination of factors where the model has as many parameters as
        distinct rows.
    earlier_difference_minimum: smallest difference from an earlier release, other than none.
    audit_suppressed_width, audit_rounded_width: how far apart the smallest and the largest possible value of a hidden
        and of a rounded cell must lie, given everything that is released.
    sources: of each rule, where its value comes from.
    """

    name: str
    count_minimum: int
    non_event_minimum: int
    zero_is_shown: bool
    rounding_base: int
    wide_rounding_base: int
    marker: str
    rate_decimals: int
    statistic_minimum: int
    percentile_minimum_each_side: int
    dominance_largest_pct: float
    dominance_two_largest_pct: float
    class_disclosure_is_checked: bool
    regression_minimum_children: int
    regression_minimum_residual_df: int
    factor_level_minimum: int
    covariate_levels_are_checked: bool
    saturated_minimum_children: int
    earlier_difference_minimum: int
    audit_suppressed_width: int
    audit_rounded_width: int
    sources: Mapping[str, str]

    def as_config(self) -> dict[str, Any]:
        """The rules as plain values, for config.json of a bundle."""
        return {"profile": self.name, **{rule: getattr(self, rule) for rule in RULES}}


RULES = tuple(f.name for f in fields(Profile) if f.name not in {"name", "sources"})
_FLAGS = frozenset({"zero_is_shown", "class_disclosure_is_checked", "covariate_levels_are_checked"})


def read_profile(root: Path, name: str = DEFAULT_PROFILE) -> Profile:
    """Read a profile.

    root: the project. Raises InputError (file, row, column) for a row that cannot be used, and SfpcError for a profile
    that is not there or lacks a rule.
    """
    path = root / PROFILES_FILE
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"the header must be {','.join(COLUMNS)}", file=path, row=1)
        rows = list(enumerate(reader, start=2))
    known = sorted({row["profile"] for _, row in rows})
    if name not in known:
        raise SfpcError(f"{path}: no profile '{name}'; it has {', '.join(known)}")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for number, row in rows:
        rule = row["rule"]
        if rule not in RULES:
            raise InputError(f"'{rule}' is not a rule; known are {', '.join(RULES)}", file=path, row=number)
        if not row["source"]:
            raise InputError("a rule needs its source", file=path, row=number, column="source")
        value = _value(rule, row["value"], path, number)
        if row["profile"] == name and (rule not in values or _is_stricter(rule, value, values[rule], path, number)):
            values[rule], sources[rule] = value, row["source"]
    missing = [rule for rule in RULES if rule not in values]
    if missing:
        raise SfpcError(f"{path}: the profile '{name}' has no row for {', '.join(missing)}")
    return Profile(name=name, sources=sources, **values)


def _value(rule: str, text: str, path: Path, number: int) -> Any:
    if rule in _TEXT:
        if not text or text[0].isdigit():
            raise InputError(f"'{text}' cannot mark a hidden cell", file=path, row=number, column="value")
        return text
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"'{text}' is not a number", file=path, row=number, column="value") from error
    if rule in _SHARES:
        is_usable = 0 < value <= 100
    elif rule in _FLAGS:
        is_usable = value in (0, 1)
    else:
        smallest = 1 if "rounding_base" in rule or rule == "audit_rounded_width" else 0
        is_usable = value.is_integer() and value >= smallest
    if not is_usable:
        raise InputError(f"'{text}' is not a value of {rule}", file=path, row=number, column="value")
    if rule in _SHARES:
        return value
    return bool(value) if rule in _FLAGS else int(value)


def _is_stricter(rule: str, value: Any, than: Any, path: Path, number: int) -> bool:
    if rule in _TEXT:
        if value != than:
            raise InputError(f"two markers, '{than}' and '{value}'", file=path, row=number, column="value")
        return False
    return bool(value < than if rule in _SMALLER_IS_STRICTER else value > than)
