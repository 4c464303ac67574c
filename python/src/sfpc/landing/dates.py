"""How dates are written: one home for every form, read the same way by DuckDB and by Python.

A source declares the forms it may use (``DATE_FORMATS``), with one order of day and month. A value of
another form is no date: nothing is guessed, a day is never swapped with a month. A time after the date
is read over only where it is midnight. Source: docs/raw_data.md B.1 and trap 19.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

FIRST_SERIAL_DATE, LAST_SERIAL_DATE = date(1980, 1, 1), date(2049, 12, 31)
"""Dates that a bare number may stand for: no child of a return since 2013 was born before the first one, and the
span leaves out numbers that are years, ages or codes of four digits."""

_MIDNIGHT = r"(?:[T ]0?0:00(?::00(?:\.0+)?)?)?"
_CENTURY = 100
_YEAR = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}(?![0-9])", re.ASCII)
_YEAR_SPAN = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})[-_/ ]?((?:19|20)?[0-9]{2})(?![0-9])", re.ASCII)


@dataclass(frozen=True)
class _Form:
    """pattern: of the whole value, group 1 the date, in the syntax that RE2 and Python share. style: of group 1."""

    pattern: str
    style: str

    @property
    def has_short_year(self) -> bool:
        return self.style.endswith("%y")


_ISO = _Form(rf"([1-9][0-9]{{3}}-[0-9]{{1,2}}-[0-9]{{1,2}}){_MIDNIGHT}", "%Y-%m-%d")
_UK = _Form(rf"([0-9]{{1,2}}/[0-9]{{1,2}}/[1-9][0-9]{{3}}){_MIDNIGHT}", "%d/%m/%Y")
_UK_SHORT = _Form(rf"([0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{2}}){_MIDNIGHT}", "%d/%m/%y")
_NAMED_MONTH = _Form(rf"([1-9][0-9]{{3}}-[A-Za-z]{{3}}-[0-9]{{1,2}}){_MIDNIGHT}", "%Y-%b-%d")
_COMPACT = _Form(r"([0-9]{1,2}[A-Za-z]{3}[1-9][0-9]{3})(?::00:00:00(?:\.0+)?)?", "%d%b%Y")

_FORMS: dict[str, tuple[_Form, ...]] = {
    "iso": (_ISO,),
    "uk": (_UK,),
    "named_month": (_NAMED_MONTH,),
    "compact": (_COMPACT,),
    "ssda903": (_UK, _UK_SHORT, _NAMED_MONTH),
    "ssda903_export": (_ISO, _UK, _UK_SHORT, _NAMED_MONTH),
}

DATE_FORMATS: dict[str, str] = {
    "iso": "YYYY-MM-DD",
    "uk": "dd/mm/yyyy",
    "named_month": "yyyy-Mon-dd",
    "compact": "ddMonyyyy",
    "ssda903": "dd/mm/yyyy, dd/mm/yy or yyyy-Mon-dd",
    "ssda903_export": "YYYY-MM-DD, dd/mm/yyyy, dd/mm/yy or yyyy-Mon-dd",
}
"""Names of the declared formats and how they are spelt. ``ssda903``: files as submitted and workbooks.
``ssda903_export``: the XML variant and flat files out of a database, which also write year first."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def date_sql(text: str, date_format: str) -> str:
    """DuckDB expression for the date in the text expression ``text``; null where it is none of the forms.

    A year of two digits is the latest one with these digits that is not after the return year: the
    query must have a column ``return_year`` where the format has such a form (the ``ssda903`` ones).
    """
    cases = []
    for form in _FORMS[date_format]:
        part = f"regexp_extract({text}, '{form.pattern}', 1)"
        if form.has_short_year:
            year = "try_cast(cast(return_year as varchar) as integer)"
            digits = f"try_cast(right({part}, 2) as integer)"
            full = f"cast({year} - ({year} - {digits}) % {_CENTURY} as varchar)"
            part, style = f"left({part}, length({part}) - 2) || {full}", form.style.replace("%y", "%Y")
        else:
            style = form.style
        cases.append(
            f"when regexp_full_match({text}, '{form.pattern}') then cast(try_strptime({part}, '{style}') as date)"
        )
    return f"case {' '.join(cases)} end"


def to_date(text: str, date_format: str, return_year: int | None = None) -> date | None:
    """The date in a text of one of the declared forms, as :func:`date_sql` reads it; None where it is none.

    A year of two digits needs the return year.
    """
    for form in _FORMS[date_format]:
        found = re.fullmatch(form.pattern, text, re.ASCII)
        if found is None:
            continue
        parts = re.findall("[0-9]+|[A-Za-z]+", found[1])
        if form.style.startswith("%d"):
            parts.reverse()
        year, month, day = parts
        if month.lower() in _MONTHS:
            month = str(_MONTHS.index(month.lower()) + 1)
        if form.has_short_year:
            if return_year is None:
                return None
            year = str(return_year - (return_year - int(year)) % _CENTURY)
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            return None
    return None


def return_years(text: str) -> set[int]:
    """Return years (ending 31 March) that a name or a value states.

    Four digits from 1900 to 2099 that stand alone; two years in a row (``2018-19``, ``2018/2019``,
    ``201819``) mean the second, and then single ones do not count.
    """
    spans = {
        int(first) + 1
        for first, second in _YEAR_SPAN.findall(text)
        if int(second[-2:]) == (int(first) + 1) % 100 and (len(second) == 2 or int(second) == int(first) + 1)
    }
    return spans or {int(year) for year in _YEAR.findall(text)}


def from_serial(number: int, is_1904: bool = False) -> date | None:
    """The date that a spreadsheet keeps as a number of days, or None where it has none.

    1900 system: day 1 is 1 January 1900, and day 60 is a 29 February 1900 that never was, so that later
    days count from 30 December 1899. 1904 system: day 0 is 1 January 1904.
    """
    if is_1904:
        return date(1904, 1, 1) + timedelta(days=number) if 0 <= number <= 2_957_003 else None
    if number == 60 or not 1 <= number <= 2_958_465:
        return None
    return date(1899, 12, 31 if number < 60 else 30) + timedelta(days=number)


def plausible_serial(text: str, is_1904: bool = False) -> date | None:
    """The date where a text is five digits (``.0`` allowed) that stand for a day of the plausible span, else None."""
    found = re.fullmatch(r"([1-9][0-9]{4})(?:\.0+)?", text, re.ASCII)
    day = from_serial(int(found[1]), is_1904) if found else None
    return day if day is not None and FIRST_SERIAL_DATE <= day <= LAST_SERIAL_DATE else None


def text_sql(day: str, date_format: str) -> str:
    """DuckDB expression for the date expression ``day`` as text in the first form of a declared format."""
    return f"strftime({day}, '{_FORMS[date_format][0].style}')"
