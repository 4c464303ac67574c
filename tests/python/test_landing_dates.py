"""How dates are written (docs/raw_data.md, trap 19): DuckDB and Python read the same forms the same way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904, from_excel

from sfpc.landing.dates import DATE_FORMATS, date_sql, from_serial, plausible_serial, to_date
from sfpc.landing.gate import Gate
from sfpc.landing.pseudonym import NOT_A_DATE, birth_month


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def both(
    con: duckdb.DuckDBPyConnection, texts: list[str], date_format: str, return_year: int | None
) -> list[date | None]:
    """What Python makes of the texts, after asking DuckDB for the same."""
    marks = ", ".join("(?::varchar, ?::bigint)" for _ in texts)
    values = [value for i, text in enumerate(texts) for value in (text, i)]
    query = f"select {date_sql('t', date_format)} from (values {marks}) v(t, i), (select ?::bigint as return_year) "
    sql = [row[0] for row in con.execute(query + "order by i", [*values, return_year]).fetchall()]
    python = [to_date(text, date_format, return_year) for text in texts]
    assert sql == python
    return python


DAY = date(2019, 7, 2)
ISO = ["2019-07-02", "2019-7-2", "2019-07-02T00:00:00", "2019-07-02 00:00:00", "2019-07-02 00:00:00.000"]
UK = ["02/07/2019", "2/7/2019", "02/07/2019 00:00", "02/07/2019 00:00:00"]
SHORT = ["02/07/19", "2/7/19", "02/07/19 00:00"]
NAMED = ["2019-Jul-02 00:00:00", "2019-JUL-2", "2019-jul-02"]


@pytest.mark.parametrize(
    ("date_format", "good", "bad"),
    [
        ("iso", ISO, UK + SHORT + NAMED),
        ("uk", UK, ISO + SHORT + NAMED),
        ("ssda903", UK + SHORT + NAMED, ISO),
        ("ssda903_export", ISO + UK + SHORT + NAMED, []),
    ],
)
def test_declared_forms_and_no_others(
    con: duckdb.DuckDBPyConnection, date_format: str, good: list[str], bad: list[str]
) -> None:
    assert both(con, good, date_format, 2020) == [DAY] * len(good)
    never = [
        *("", "7", "20190702", "02072019", "43648", "02.07.2019", "02-07-2019", "2019/07/02", "07/2019", "2019-Jux-02"),
        *("31/02/2019", "2019-02-31", "00/01/2019", "0000-01-01", "01/01/0000", "2019-13-01", "2019-Feb-30"),
        *("02/07/2019 09:30", "2019-07-02T00:00:01", "2019-07-02 12:00:00", "02/07/2019x", "x02/07/2019", "٠2/07/2019"),
        *("02/07/201", "02/07/20199", "2019-07-02\n", "'; drop table t --"),
    ]
    assert both(con, bad + never, date_format, 2020) == [None] * (len(bad) + len(never))


def test_day_and_month_are_never_swapped(con: duckdb.DuckDBPyConnection) -> None:
    for date_format in DATE_FORMATS:
        assert both(con, ["13/25/2020", "07/25/2020", "2020-25-07", "7/25/20"], date_format, 2020) == [None] * 4
    assert both(con, ["07/02/2019"], "uk", None) == [date(2019, 2, 7)]


@pytest.mark.parametrize(
    ("text", "return_year", "year"),
    [
        ("01/01/19", 2019, 2019),
        ("01/01/20", 2019, 1920),
        ("01/01/00", 2019, 2000),
        ("01/01/99", 2019, 1999),
        ("01/01/99", 1999, 1999),
    ],
)
def test_short_years_are_never_after_the_return(
    con: duckdb.DuckDBPyConnection, text: str, return_year: int, year: int
) -> None:
    assert both(con, [text], "ssda903", return_year) == [date(year, 1, 1)]
    assert birth_month(text, "ssda903", return_year) == (str(year), "1")


def test_short_years_need_the_return_year(con: duckdb.DuckDBPyConnection) -> None:
    assert both(con, ["01/01/19"], "ssda903", None) == [None]


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.from_regex(r"[0-3]?[0-9]/[01]?[0-9]/([12][09])?[0-9]{2}( 0?0:00(:00)?)?", fullmatch=True)
        | st.from_regex(r"[12][09][0-9]{2}-([01]?[0-9]|[A-Za-z]{3}|Feb|DEC)-[0-3]?[0-9]([T ]00:00:00)?", fullmatch=True)
        | st.text("0123456789/-: T", max_size=20),
        min_size=1,
        max_size=8,
    ),
    date_format=st.sampled_from(sorted(DATE_FORMATS)),
    return_year=st.none() | st.integers(1990, 2040),
)
def test_duckdb_and_python_agree(
    con: duckdb.DuckDBPyConnection, texts: list[str], date_format: str, return_year: int | None
) -> None:
    both(con, texts, date_format, return_year)


@given(day=st.dates(date(1980, 1, 1), date(2040, 12, 31)), year=st.integers(2013, 2040))
def test_every_day_in_every_form(day: date, year: int) -> None:
    for text in (f"{day:%d/%m/%Y}", f"{day:%Y-%b-%d} 00:00:00"):
        assert to_date(text, "ssda903", year) == day
        assert birth_month(text, "ssda903", year) == (str(day.year), str(day.month))
    short = to_date(f"{day:%d/%m/%y}", "ssda903", year)
    assert short is None or (short.year <= year < short.year + 100 and short.year % 100 == day.year % 100)
    assert to_date(day.isoformat(), "iso") == day


def test_serials() -> None:
    assert [from_serial(n) for n in (0, 1, 59, 60, 61, 43648)] == [
        None,
        date(1900, 1, 1),
        date(1900, 2, 28),
        None,
        date(1900, 3, 1),
        DAY,
    ]
    assert (from_serial(0, True), from_serial(42186, True)) == (date(1904, 1, 1), DAY)
    assert from_serial(10**9) is from_serial(10**9, True) is from_serial(-1, True) is None


@given(number=st.integers(61, 2_958_465))
def test_serials_as_the_spreadsheet_library_has_them(number: int) -> None:
    expected = from_excel(number)
    assert from_serial(number) == expected.date()
    if number < 2_957_003:
        assert from_serial(number, True) == from_excel(number, CALENDAR_MAC_1904).date()
        assert from_serial(number, True) == expected.date() + timedelta(days=1462)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("43648", DAY),
        ("43648.0", DAY),
        ("29221", date(1980, 1, 1)),
        ("29220", None),
        ("54788", date(2049, 12, 31)),
        ("54789", None),
        ("043648", None),
        ("43648.5", None),
        ("20190", None),
        ("٤3648", None),
        ("", None),
    ],
)
def test_plausible_serials(text: str, day: date | None) -> None:
    assert plausible_serial(text) == day


def test_birth_dates_of_other_forms_are_a_marker() -> None:
    assert birth_month("2011-05-27T00:00:00", "iso") == ("2011", "5")
    for text, date_format in (("27/05/11", "uk"), ("2011-05-27", "ssda903"), ("40690", "ssda903"), ("27/05/11", "iso")):
        assert birth_month(text, date_format, 2019) == (NOT_A_DATE, None)


def test_the_gate_sets_other_forms_aside(tmp_path: Path) -> None:
    """A year of two digits was once the year 19 after Christ."""
    starts = ["02/07/2019", "02/07/19", "2019-Jul-02 00:00:00", "2019-07-02", "13/25/2020"]
    frame = pd.DataFrame({"la_child_id": [str(i) for i in range(5)], "episode_start_date": starts})
    frame = frame.assign(la_code="306", return_year="2020", source_row=range(2, 7))
    (tmp_path / "x.csv").write_text("x", encoding="utf-8")
    with Gate(tmp_path / "landing", "returns", accepts_quarantine=True) as gate:
        gate.add_rows("cla_episodes", tmp_path / "x.csv", frame, "ssda903")
        gate.commit()
        aside = gate.quarantine()
    landed = duckdb.execute(
        f"select episode_start_date, count(*) from '{tmp_path}/landing/cla_episodes/*.parquet' group by 1"
    ).fetchall()
    assert landed == [(DAY, 3)]
    assert aside["source_row"].tolist() == [5, 6]
    assert set(aside["reason"]) == {f"not a date of the form {DATE_FORMATS['ssda903']}"}
