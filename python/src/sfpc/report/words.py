"""Numbers and findings in words, for people who do not read statistics."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
NO_LIMIT = "no limit"
# The kinds of outcome in dim_outcomes, and the unit in which effects on shares are stated.
BINARY, PERCENTAGE_POINTS = "binary", "percentage points"

# Names of covariates and tables in plain words. Labels only: one that is not here is shown by its
# own name, so that a new covariate needs no change.
_PLAIN = {
    "age_years": "age at referral",
    "is_disabled": "disability",
    "is_fsm": "free school meals",
    "is_treated": "treatment",
    "is_unborn_at_referral": "not yet born at referral",
    "is_uasc": "unaccompanied asylum-seeking child",
    "previous_cpp_count": "previous child protection plans",
    "cin_records": "children in need returns",
    "cla_children": "children looked after returns: children",
    "cla_episodes": "children looked after returns: episodes",
    "la_fsm_pct": "share with free school meals in the LA",
    "la_white_british_pct": "share White British in the LA",
    "has_other_innovation_programme": "another innovation programme in the LA",
    "npd_absence": "school census: absence",
    "npd_pupils": "school census: pupils",
    "la_statistics": "published LA statistics",
    "cem_protocol": "matching weights",
    "cem_ikp": "matching weights, scaled",
    "cem_period": "matching weights within periods",
    "none": "no weights",
}


def plain(name: str) -> str:
    """A column or table name in plain words."""
    return _PLAIN.get(name, name.replace("_", " "))


def spoken(text: str) -> str:
    """A text in which names of columns are replaced by plain words."""
    return re.sub(r"\b[a-z]+(?:_[a-z0-9]+)+\b", lambda found: plain(found[0]), text)


def tidy(text: str) -> str:
    """Percent signs stand at their number, whoever wrote the text; a line never breaks between them."""
    return re.sub(r"(\d) %", r"\1%", text)


def sentence(text: str) -> str:
    """The text with a capital at the start and the rest as it is."""
    return text[:1].upper() + text[1:]


def lowered(label: str) -> str:
    """A label inside a sentence: lower case at the start, unless it starts with an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def title_of(identifier: str, frame: pd.DataFrame, id_column: str, name_column: str) -> str:
    """The name that a dimension holds for an identifier, else one made of the identifier."""
    if {id_column, name_column} <= set(frame.columns):
        names = frame.loc[frame[id_column] == identifier, name_column].dropna()
        if len(names):
            return str(names.iloc[0])
    return identifier.replace("_", " ").title()


def whole(value: float) -> str:
    """A count with thousands separators."""
    return decimal(value, 0)


def decimal(value: float | None, places: int = 2) -> str:
    """A number with a true minus sign; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{abs(value):,.{places}f}"
    is_zero = not any(digit in text for digit in "123456789")
    return text if value >= 0 or is_zero else MINUS + text


def interval(low: float, high: float, places: int = 2) -> str:
    """Both ends of an interval; an end that is infinite is 'no limit'. A dash where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return DASH
    return " to ".join(decimal(end, places) if math.isfinite(end) else NO_LIMIT for end in (low, high))


def p_value(value: float) -> str:
    """A p-value as a table shows it."""
    if not math.isfinite(value):
        return DASH
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def share(part: float, total: float, places: int = 1) -> str:
    """A share in per cent."""
    return f"{100 * part / total:.{places}f}%" if total else DASH


def long_date(day: date) -> str:
    """A date as a department writes it: 5 March 2024."""
    return f"{day.day} {day:%B %Y}"


def listed(items: Sequence[str]) -> str:
    """A list in a sentence: a, b and c."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def times(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"


def direction(value: float, places: int = 1, unit: str = "") -> str:
    """A change as 'n fewer' or 'n more'."""
    amount = decimal(abs(value), places)
    word = "fewer" if value < 0 else "more"
    return f"{amount}{unit} {word}"


def change_interval(low: float, high: float, places: int = 1, words: tuple[str, str] = ("fewer", "more")) -> str:
    """An interval of a change, the smaller change first: '1.2 to 3.1 fewer', '1.2 fewer to 0.3 more'."""
    less, more = words
    if math.isnan(low) or math.isnan(high):
        return "not known"
    if low < 0 and high <= 0:
        return f"{_amount(-high, places)} to {_amount(-low, places)} {less}"
    if low >= 0:
        return f"{_amount(low, places)} to {_amount(high, places)} {more}"
    return f"{_amount(-low, places)} {less} to {_amount(high, places)} {more}"


def _amount(value: float, places: int) -> str:
    return decimal(value, places) if math.isfinite(value) else NO_LIMIT


def by_chance(value: float) -> str:
    """A p-value as a natural frequency."""
    if value < 0.0001:
        return "fewer than 1 in 10,000"
    if value < 0.01:
        return f"about {max(1, round(value * 10_000))} in 10,000"
    return f"about {round(value * 100)} in 100"


def change(estimate: float, kind: str, scale: str, who: str, places: int = 1) -> str:
    """An effect in a few words: '1.6 fewer in every 100 children referred', '3.4 fewer days per child'.

    kind: outcome_kind of dim_outcomes; scale: the unit of the estimate; who: whom the outcome is about.
    """
    if kind == BINARY and scale == PERCENTAGE_POINTS:
        return f"{direction(estimate, places)} in every 100 {who}"
    if scale == PERCENTAGE_POINTS:
        word = "lower" if estimate < 0 else "higher"
        return f"{decimal(abs(estimate), places)} percentage points {word}"
    return f"{direction(estimate, places)} {scale} per child"


def finding(
    programme: str,
    effect: Mapping[str, Any],
    outcome: Mapping[str, Any],
    level: float,
    fewest_treated_las: int,
    who: str = "children referred",
) -> tuple[str, list[tuple[str, str]]]:
    """The result: how much in one sentence, then how certain and against what baseline, with headings.

    effect: a row of effects, the primary one of its outcome; outcome: its row of dim_outcomes; level: significance;
    fewest_treated_las: with fewer, no statement about significance is made (FV.EST.3); who: whom the outcome is about.
    """
    estimate, low, high = (float(effect[name]) for name in ("estimate", "ci_low", "ci_high"))
    label = lowered(str(outcome["label"]))
    if not math.isfinite(estimate):
        return f"No effect on the outcome ‘{label}’ could be estimated.", [
            ("Why.", sentence(str(effect["note"] or "no reason was given")) + ".")
        ]
    confidence = f"{100 * (1 - level):g}%"
    is_points = effect["scale"] == PERCENTAGE_POINTS
    is_share = is_points and outcome["outcome_kind"] == BINARY
    if is_share:
        first = (
            f"For every 100 {who} under {programme}, {direction(estimate)} had the outcome"
            f" ‘{label}’ than would have had it without ({confidence} interval:"
            f" {change_interval(low, high)})."
        )
    elif is_points:
        first = (
            f"Under {programme}, the outcome ‘{label}’ was {change(estimate, '', PERCENTAGE_POINTS, who)} than it would"
            f" have been without ({confidence} interval: {change_interval(low, high, words=('lower', 'higher'))})."
        )
    else:
        first = (
            f"Under {programme}, the outcome ‘{label}’ came to {direction(estimate)} {effect['scale']} per"
            " child"
            f" than it would have without ({confidence} interval: {change_interval(low, high)})."
        )
    chance, adjusted = float(effect["p_value"]), float(effect["p_value_hochberg"])
    treated_las = int(effect["treated_cluster_count"])
    verdict = is_significant(effect, level, fewest_treated_las)
    if verdict is None:
        second = (
            f"Only {times(treated_las, 'LA')} took up the programme in this analysis: too few for its"
            " interval and p-value to be trusted, so nothing is said here about statistical significance."
        )
    elif verdict:
        second = (
            "The difference is statistically significant: if the programme made no difference, a result"
            f" at least this far from zero would come about by chance in {by_chance(chance)} studies like"
            " this one."
        )
    elif chance < level:
        second = (
            "Taken alone, a result at least this far from zero would come about by chance in"
            f" {by_chance(chance)} studies like this one if the programme made no difference. One among several"
            " outcomes"
            " that were looked at, it is not statistically significant."
        )
    else:
        second = (
            "The difference is not statistically significant: if the programme made no difference, a"
            f" result at least this far from zero would come about by chance in {by_chance(chance)} studies"
            " like this one, so the data cannot tell the effect from none at all."
        )
    if verdict is not None and math.isfinite(adjusted):
        second += f" Adjusted for all secondary outcomes together (Hochberg), p = {p_value(adjusted)}."
    rest = [("How certain.", second)]
    baseline = float(effect["baseline_mean_pct"])
    if math.isfinite(baseline):
        among = "of both groups" if who == "children referred" else f"({who}) of both groups"
        rest.append(
            (
                "Against what.",
                f"Before the programme, {decimal(baseline, 1)} in every 100 matched children {among} had this outcome."
                if is_share
                else f"Before the programme, its mean among the matched children {among} was {decimal(baseline, 1)}%.",
            )
        )
    return first, rest


def is_significant(effect: Mapping[str, Any], level: float, fewest_treated_las: int) -> bool | None:
    """By the adjusted p-value where there is one (FV.EST.5, FV.EST.8); None where nothing may be said (FV.EST.3)."""
    chance, adjusted = float(effect["p_value"]), float(effect["p_value_hochberg"])
    if int(effect["treated_cluster_count"]) < fewest_treated_las or not math.isfinite(chance):
        return None
    return (adjusted if math.isfinite(adjusted) else chance) < level


def rate_before(baseline_pct: float, kind: str) -> str:
    """The outcome before the programme, of those where it is a share or a mean in per cent; a dash where unknown."""
    if not math.isfinite(baseline_pct):
        return DASH
    return f"{decimal(baseline_pct, 1)} in 100" if kind == BINARY else f"{decimal(baseline_pct, 1)}%"
