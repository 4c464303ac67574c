"""Small changes of a model's compiled SQL, each of which a test must notice.

What changes: comparisons; numbers beside them or in date arithmetic; members of code lists; joins (inner or left, a
condition less); min and max and their like; what coalesce falls back on; the direction of an order; a not. The text is
the compiled one, so a macro is changed at every place where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SWAPS = {
    "<=": "<",
    "<": "<=",
    ">=": ">",
    ">": ">=",
    "<>": "=",
    "min": "max",
    "max": "min",
    "least": "greatest",
    "greatest": "least",
    "bool_and": "bool_or",
    "bool_or": "bool_and",
    "lag": "lead",
    "lead": "lag",
    "desc": "asc",
    "inner join": "left join",
    "left join": "inner join",
    "full outer join": "inner join",
    "is not null": "is null",
    "is null": "is not null",
    "true": "false",
    "false": "true",
}
WORDS = r"inner join|left join|full outer join|is not null|is null|min|max|least|greatest|bool_and|bool_or|lag|lead"
TOKEN = re.compile(rf"'(?:[^']|'')*'|<=|>=|<>|<|>|\b(?:{WORDS}|desc|true|false)\b")
EQUAL_TO_TEXT = re.compile(r"(?<![<>])= (?='|\d)")
JOIN_CONDITION = re.compile(r"\b\w+\.\w+ = \w+\.\w+\b")
NUMBER = re.compile(r"(?:(?<=[<>=+*] )|(?<=[<>=+*-] )|(?<=\())\b\d+\b|\b\d+\b(?= (?:\*|and) )")
NOT = re.compile(r"\bnot (?=[\w(])")
TEXT_LIST = re.compile(r"\bin \(('[^)]*')\)")
ORDERED_NULLS = re.compile(r"nulls last")
# The join of rows to children, one macro at every place: who is who is the business of the models of children.
IDENTITY = re.compile(
    r"left join intermediate\.int_children__shared_codes.*?= identities\.owner_month_number", flags=re.DOTALL
)


@dataclass(frozen=True)
class Mutant:
    """One change of one model: what stood there, what stands there now, and the text around it."""

    model: str
    kind: str
    before: str
    after: str
    start: int
    sql: str
    around: str

    @property
    def label(self) -> str:
        """Model, change and surroundings; the same for the same text wherever it stands, so a list can name it."""
        return f"{self.model}: {self.kind}: {self.around}"


def mutants_of(model: str, sql: str) -> Iterator[Mutant]:
    """Every mutant of a model's SQL, but of the join of rows to children."""
    spared = [found.span() for found in IDENTITY.finditer(sql)]
    for mutant in _all_mutants_of(model, sql):
        if not any(start <= mutant.start < end for start, end in spared):
            yield mutant


def _all_mutants_of(model: str, sql: str) -> Iterator[Mutant]:
    texts = [(found.start(), found.end()) for found in re.finditer(r"'(?:[^']|'')*'", sql)]

    def is_in_text(place: int) -> bool:
        return any(start < place < end for start, end in texts)

    def mutant(kind: str, start: int, end: int, after: str) -> Mutant:
        around = " ".join(
            f"{sql[max(0, start - 60) : start]}[{sql[start:end]} -> {after}]{sql[end : end + 50]}".split()
        )
        return Mutant(model, kind, sql[start:end], after, start, sql[:start] + after + sql[end:], around)

    for found in TOKEN.finditer(sql):
        if not found[0].startswith("'"):
            kind = "join" if "join" in found[0] else "comparison" if found[0][0] in "<>" else "function"
            yield mutant(kind, *found.span(), SWAPS[found[0]])
    for found in EQUAL_TO_TEXT.finditer(sql):
        yield mutant("comparison", *found.span(), "<> ")
    for found in JOIN_CONDITION.finditer(sql):
        yield mutant("join condition", *found.span(), "true")
    for found in NUMBER.finditer(sql):
        if is_in_text(found.start()) or sql[: found.start()].endswith("= "):
            continue
        for step in (-1, 1):
            yield mutant("number", *found.span(), str(int(found[0]) + step))
    for found in NOT.finditer(sql):
        if not is_in_text(found.start()) and not sql[: found.start()].endswith("is "):
            yield mutant("not", *found.span(), "")
    for found in ORDERED_NULLS.finditer(sql):
        yield mutant("order", *found.span(), "nulls first")
    for found in TEXT_LIST.finditer(sql):
        members = re.findall(r"'[^']*'", found[1])
        for member in members:
            rest = ", ".join(m for m in members if m != member)
            yield mutant("code list", found.start(1), found.end(1), rest or "''")
    yield from _without_fallbacks(sql, mutant)


def _without_fallbacks(sql: str, mutant: object) -> Iterator[Mutant]:
    """coalesce(a, b, c): once without each argument."""
    for found in re.finditer(r"\bcoalesce\(", sql):
        arguments = _arguments(sql, found.end())
        last = arguments[-1][1]
        for number in range(len(arguments)):
            rest = [sql[start:end].strip() for place, (start, end) in enumerate(arguments) if place != number]
            after = f"coalesce({', '.join(rest)})" if len(rest) > 1 else f"({rest[0]})"
            yield mutant("fallback", found.start(), last + 1, after)  # type: ignore[operator]


def _arguments(sql: str, start: int) -> list[tuple[int, int]]:
    """The arguments of a call whose bracket opens before start: where each begins and ends."""
    depth, begin, out, is_text = 0, start, [], False
    for place in range(start, len(sql)):
        sign = sql[place]
        if sign == "'":
            is_text = not is_text
        elif is_text:
            continue
        elif sign == "(":
            depth += 1
        elif sign == ")" and depth:
            depth -= 1
        elif sign == ")" or (sign == "," and not depth):
            out.append((begin, place))
            begin = place + 1
            if sign == ")":
                return out
    raise ValueError(f"a bracket is not closed: {sql[start : start + 40]}")
