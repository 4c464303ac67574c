"""How a value of a national extract is read: column names that count as equal, and the SQL of each reading.

A reading turns a value into the text (or the typed value) that the gate judges. The readings of the seed
``national_columns``: ``text``; ``year_end`` (2017/2018, 2017/18, 201718 and 2018 are all 2018);
``la_code`` (DfE or ONS code, through the register of LAs); ``birth_year`` and ``birth_month`` (of a date
or of a month such as 01/2015: the day is dropped here); ``is_filled``. Source: docs/raw_data.md C.1 and
traps 19, 21 and 24.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from sfpc.errors import InputError
from sfpc.landing.dates import date_sql, text_sql
from sfpc.landing.pseudonym import NOT_A_DATE
from sfpc.landing.text import MISSING

YEAR_SUFFIX = re.compile(r"_(?:spr|ab|aut|sum)(\d{2})$")
DATE_READINGS = ("birth_year", "birth_month")
MONTH_ONLY = "[0-9]{1,2}/[0-9]{4}|[0-9]{4}-[0-9]{2}"
"""A month of birth without a day (01/2015, 2015-01), in RE2 syntax: it says nothing of the form of dates."""

_PREFIX = re.compile(r"^(?:cin|cla|ab|ap|pru)_")
_KEPT_TYPES = ("DATE", "INTEGER", "SMALLINT", "TINYINT")


@dataclass(frozen=True)
class AcceptedName:
    """One accepted name of a landing column of one landing table and how its value is read."""

    landing_table: str
    column: str
    name: str
    reading: str
    is_required: bool


@dataclass(frozen=True)
class Given:
    """A column as the file has it: name, DuckDB type, SQL identifier in the relation that is read."""

    name: str
    type: str
    identifier: str


def accepted_names(seeds: Path) -> dict[str, list[AcceptedName]]:
    """Accepted names per kind of extract, in order of preference, from the seed ``national_columns``."""
    out: dict[str, list[AcceptedName]] = {}
    with (seeds / "sources" / "national_columns.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            out.setdefault(row["extract_kind"], []).append(
                AcceptedName(
                    row["landing_table"],
                    row["landing_column"],
                    row["accepted_name"],
                    row["reading"],
                    row["is_required"] == "true",
                )
            )
    return out


def key(name: str) -> str:
    """A column's name without what makes no difference: case, blanks or underscores, the suffix of a year."""
    return YEAR_SUFFIX.sub("", re.sub(r"[\s_]+", "_", name.strip().lower()))


def bare(name: str) -> str:
    """The key of a name without the prefix of its table."""
    return _PREFIX.sub("", key(name))


def matching(name: str, columns: tuple[Given, ...], file: Path) -> list[Given]:
    """The column that an accepted name means: the one of that name, else the one that differs by its prefix alone.

    Raises InputError where two columns would do: nothing says which is meant.
    """
    found = [c for c in columns if key(c.name) == key(name)] or [c for c in columns if bare(c.name) == bare(name)]
    if len(found) > 1:
        raise InputError(
            f"stands more than once ({', '.join(c.name for c in found)}); keep the one that is meant",
            file=file,
            column=name,
        )
    return found


def text_of(given: Given, date_format: str) -> str:
    """SQL of a value as text: blanks off, null where blank or a word of text.MISSING (trap 21)."""
    if given.type == "DATE" or given.type.startswith("TIMESTAMP"):
        return text_sql(f"cast({given.identifier} as date)", date_format)
    if given.type == "BLOB":
        # Pseudonyms come as binary hashes in some supplies (C.1).
        return f"lower(hex({given.identifier}))"
    text = f"trim(cast({given.identifier} as varchar))"
    if given.type != "VARCHAR":
        return f"regexp_replace({text}, '\\.0$', '')"
    nothing = ", ".join(f"'{word}'" for word in ("", *MISSING))
    return f"(case when upper({text}) not in ({nothing}) then {text} end)"


def la_code_of(text: str, register: dict[str, str]) -> str:
    """SQL of the three-digit code of a DfE or ONS code; null where the register (its codes) has neither (trap 24)."""
    codes, values = (", ".join(f"'{v}'" for v in part) for part in (register.keys(), register.values()))
    return f"map([{codes}], [{values}])[upper(regexp_replace({text}, '\\.0$', ''))]"


def reading_of(name: AcceptedName, given: Given, date_format: str, register: dict[str, str], alone: bool) -> str:
    """SQL of a value read as the seed says; typed as in the file where it is typed and no other name is filled."""
    text = text_of(given, date_format)
    match name.reading:
        case "text":
            return given.identifier if alone and given.type in _KEPT_TYPES else text
        case "la_code":
            return la_code_of(text, register)
        case "is_filled":
            return f"case when {text} is not null then '1' else '0' end"
        case "year_end":
            return _year_end(text)
        case "birth_year" | "birth_month":
            return _birth(name.reading, text, date_format)
    raise ValueError(f"national_columns.csv: unknown reading {name.reading}")


def _year_end(text: str) -> str:
    """The year in which a financial or school year ends; a text that the gate will refuse where it is no year."""
    first = f"try_cast(left({text}, 4) as integer)"
    return (
        f"case when {text} is null then null "
        f"when regexp_full_match({text}, '[0-9]{{4}}[/-][0-9]{{4}}') "
        f"and try_cast(right({text}, 4) as integer) = {first} + 1 then right({text}, 4) "
        f"when regexp_full_match({text}, '[0-9]{{4}}[/-]?[0-9]{{2}}') "
        f"and try_cast(right({text}, 2) as integer) = ({first} + 1) % 100 then cast({first} + 1 as varchar) "
        f"when regexp_full_match({text}, '[0-9]{{4}}(\\.0)?') then left({text}, 4) else 'not a year' end"
    )


def _birth(reading: str, text: str, date_format: str) -> str:
    day = date_sql(text, date_format)
    part, slashed, dashed, unreadable = (
        ("year", f"right({text}, 4)", f"left({text}, 4)", f"'{NOT_A_DATE}'")
        if reading == "birth_year"
        else ("month", f"split_part({text}, '/', 1)", f"right({text}, 2)", "null")
    )
    return (
        f"case when {text} is null then null "
        f"when regexp_full_match({text}, '(0?[1-9]|1[0-2])/[0-9]{{4}}') then {slashed} "
        f"when regexp_full_match({text}, '[0-9]{{4}}-(0[1-9]|1[0-2])') then {dashed} "
        f"when {day} is not null then cast({part}({day}) as varchar) else {unreadable} end"
    )
