"""Synthetic children as statutory returns: CIN census XML and SSDA903 CSV from the landing tables.

The landing tables of the synthetic national extracts hold year and month of birth only, so the returns
carry an invented day, the 15th. UPNs are invented from the pupil pseudonyms. Element order, headers and
code sets: docs/raw_data.md, sections A and B.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape

import duckdb

from sfpc.errors import InputError, SfpcError
from sfpc.landing.gate import replace_folder
from sfpc.landing.ssda903 import EPISODES, FILES, HEADER, UASC
from sfpc.progress import say

BIRTH_DAY = 15
"""Invented day of every birth date; the 15th is the usual dummy day."""

# The first census and SSDA903 collection with Sex (M, F, U) in the place of gender (1, 2, 0, 9).
_SEX_FROM = 2025
_BATCH = 20_000
_LA = re.compile(r"[0-9A-Za-z]{1,12}")
# Characters that XML 1.0 cannot hold.
_NOT_XML = {code: None for code in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)}
_GENDER = {
    "1": ("1", "M"),
    "M": ("1", "M"),
    "2": ("2", "F"),
    "F": ("2", "F"),
    "9": ("9", "U"),
    "0": ("0", "U"),
    "U": ("0", "U"),
}

_CIN_CHILD = (
    "la_child_id",
    "upn",
    "birth_year",
    "birth_month",
    "is_expected",
    "gender",
    "ethnicity",
    "disability",
)
_CIN_REFERRAL = (
    "referral_date",
    "referral_source",
    "primary_need",
    "closure_date",
    "closure_reason",
    "referral_nfa",
)
_CIN_PLAN = ("cin_plan_start_date", "cin_plan_end_date")
_CPP = ("cpp_start_date", "cpp_end_date", "cpp_initial_category", "cpp_previous_count")

_Row = tuple[Any, ...]


@dataclass
class WrittenReturns:
    """What was written: files, and the children, referrals, plans and episodes in them.

    children: Child elements; looked_after: rows of the Header files.
    """

    cin_files: int = 0
    ssda903_sets: int = 0
    children: int = 0
    referrals: int = 0
    cpps: int = 0
    cin_plans: int = 0
    episodes: int = 0
    looked_after: int = 0


def write_returns(
    landing_dir: Path,
    target: Path,
    la_codes: list[str] | None = None,
    years: list[int] | None = None,
    *,
    replace: bool = False,
    progress: Callable[[str], None] = say,
) -> WrittenReturns:
    """Write the landing tables of ``landing_dir`` as statutory returns below ``target``.

    For every LA and return year: ``<la>/cin/CIN_<year>.xml``, and ``<la>/ssda903/<year>-episodes.csv``,
    ``-header.csv``, ``-uasc.csv`` and ``-ad1.csv`` (one newline, as files with nothing to return have).
    The same tables give the same bytes. The folder appears when all is written.

    A child that is unborn or whose birth date is an expected one gets ExpectedPersonBirthDate, any other
    PersonBirthDate. Gender codes 1, 2, 0, 9 to 2024, Sex M, F, U from 2025. A bare disability flag
    becomes DDA (1) or NONE (0). UPNs have the shape of one (13 characters) and a first letter (S, then
    O, I) that the DfE's check letters leave out: no real pupil can have it. The same pupil pseudonym
    gives the same UPN in every file, different ones different UPNs.

    Parameters
    ----------
    landing_dir: ``<table>/*.parquet`` for cin_records, cla_episodes and cla_children, typed.
    la_codes, years: what to write; None for all.
    replace: whether a target folder that holds files may be replaced.

    Raises InputError for a missing table, an LA code that is no code, nothing to write; SfpcError when
    the target holds files and ``replace`` is off.
    """
    for table in ("cin_records", "cla_episodes", "cla_children"):
        if not any((landing_dir / table).glob("*.parquet")):
            raise InputError(f"expected Parquet files of {table}", file=landing_dir / table)
    if target.exists() and any(target.iterdir()) and not replace:
        raise SfpcError(f"{target} holds files already; choose an empty folder for the returns")
    aside = target.with_name(target.name + ".incoming")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with duckdb.connect() as con:
            spill = aside / "spill"
            con.execute("set temp_directory = ?", [str(spill)])
            con.execute("set memory_limit = '4GB'")
            _prepare(con, landing_dir, la_codes, years)
            written = WrittenReturns()
            _write_cin(con, aside, written)
            _write_ssda903(con, aside, written)
        shutil.rmtree(spill, ignore_errors=True)
        if not (written.cin_files or written.ssda903_sets):
            raise InputError("no rows of the LAs and years asked for", file=landing_dir)
        replace_folder(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    progress(
        f"{written.cin_files} CIN censuses ({written.referrals} referrals) and {written.ssda903_sets} "
        f"SSDA903 sets ({written.episodes} episodes) in {target}"
    )
    return written


def _prepare(
    con: duckdb.DuckDBPyConnection,
    landing_dir: Path,
    la_codes: list[str] | None,
    years: list[int] | None,
) -> None:
    """Views of the wanted rows, and one invented UPN per pupil of all rows (so a part is a part of all)."""
    for table in ("cin_records", "cla_episodes", "cla_children"):
        files = str(landing_dir / table / "*.parquet").replace("'", "''")
        con.execute(f"create temp view all_{table} as select * from read_parquet('{files}', union_by_name = true)")
    con.execute("create temp table wanted_la as select unnest(?::varchar[]) as la", [la_codes or []])
    con.execute("create temp table wanted_year as select unnest(?::int[]) as year", [years or []])
    wanted = " and ".join(
        [
            *(["la_code in (select la from wanted_la)"] if la_codes is not None else []),
            *(["return_year in (select year from wanted_year)"] if years is not None else []),
            "true",
        ]
    )
    con.execute(
        """
        create temp table upns as
        with pupils as (
            select pupil_id from all_cin_records where pupil_id is not null
            union
            select pupil_id from all_cla_children where pupil_id is not null
        ),
        hashed as (
            select pupil_id, cast(('0x' || substr(md5(pupil_id), 1, 15)) as ubigint) % 1000000000000 as digits
            from pupils
        )
        select
            pupil_id,
            ['S', 'O', 'I'][row_number() over (partition by digits order by pupil_id)]
            || lpad(cast(digits as varchar), 12, '0') as upn
        from hashed
        """
    )
    if con.execute("select 1 from upns where upn is null").fetchone():
        raise SfpcError("more than three pupil pseudonyms share one invented UPN")
    for table in ("cin_records", "cla_children"):
        con.execute(
            f"create temp view {table} as select t.*, u.upn from all_{table} as t "
            f"left join upns as u using (pupil_id) where {wanted}"
        )
    con.execute(f"create temp view cla_episodes as select * from all_cla_episodes where {wanted}")
    for table in ("cin_records", "cla_children", "cla_episodes"):
        for (code,) in con.execute(f"select distinct la_code from {table} order by all").fetchall():
            # It becomes the name of a folder.
            if not _LA.fullmatch(code or ""):
                raise InputError(f"not an LA code: {code!r}", file=table, column="la_code")


def _batches(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[_Row]:
    result = con.execute(query)
    while rows := result.fetchmany(_BATCH):
        yield from rows


def _write_cin(con: duckdb.DuckDBPyConnection, folder: Path, written: WrittenReturns) -> None:
    """One census per LA and year, from one pass over all rows in order."""
    child_end = 2 + len(_CIN_CHILD)
    referral_end = child_end + len(_CIN_REFERRAL)
    plan_end = referral_end + len(_CIN_PLAN)
    expected = "lower(trim({})) in ('1', 'true', 'y', 'yes')"
    columns = [
        "la_code",
        "return_year",
        *_CIN_CHILD,
        *_CIN_REFERRAL,
        *_CIN_PLAN,
        *_CPP,
    ]
    select = ", ".join(
        f"coalesce({expected.format('is_expected_birth')}, false) "
        f"or coalesce({expected.format('is_unborn')}, false) as is_expected"
        if name == "is_expected"
        else f"cast({name} as varchar) as {name}"
        if name.endswith("_date")
        else name
        for name in columns
    )
    rows = _batches(con, f"select distinct {select} from cin_records order by all")
    census: _Row | None = None
    child: _Row | None = None
    referral: _Row | None = None
    cin_plans: list[_Row] = []
    cpps: list[_Row] = []
    with ExitStack() as stack:
        out: TextIO | None = None

        def end_referral() -> None:
            nonlocal referral
            if out is not None and referral is not None:
                _write_referral(out, referral, cin_plans, cpps)
                written.referrals += 1
                written.cin_plans += len(cin_plans)
                written.cpps += len(cpps)
            referral = None
            cin_plans.clear()
            cpps.clear()

        def end_child() -> None:
            nonlocal child
            end_referral()
            if out is not None and child is not None:
                out.write("</Child>\n")
            child = None

        def end_census() -> None:
            end_child()
            if out is not None:
                out.write("</Children>\n</Message>\n")
            stack.close()

        for row in rows:
            if row[:2] != census:
                end_census()
                census = row[:2]
                la, year = census
                path = folder / la / "cin" / f"CIN_{year}.xml"
                path.parent.mkdir(parents=True, exist_ok=True)
                out = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                _write_header(out, la, year)
                written.cin_files += 1
            assert out is not None and census is not None
            if row[2:child_end] != child:
                end_child()
                child = row[2:child_end]
                _write_child(out, child, census[1])
                written.children += 1
            if row[child_end:referral_end] != referral:
                end_referral()
                referral = row[child_end:referral_end]
            for plan, plans in ((row[referral_end:plan_end], cin_plans), (row[plan_end:], cpps)):
                if any(value is not None for value in plan) and plan not in plans:
                    plans.append(plan)
        end_census()


def _write_header(out: TextIO, la: str, year: int) -> None:
    out.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<Message>\n<Header>\n<CollectionDetails>'
        f"<Collection>CIN</Collection><Year>{year}</Year><ReferenceDate>{year:04d}-03-31</ReferenceDate>"
        "</CollectionDetails>\n<Source><SourceLevel>L</SourceLevel>"
        f"<LEA>{la}</LEA><SoftwareCode>synthetic</SoftwareCode><Release>1</Release>"
        f"<SerialNo>001</SerialNo><DateTime>{year:04d}-05-31T12:00:00</DateTime></Source>\n</Header>\n"
        "<Children>\n"
    )


def _write_child(out: TextIO, child: _Row, year: int) -> None:
    child_id, upn, birth_year, birth_month, is_expected, gender, ethnicity, disability = child
    birth = _birth(birth_year, birth_month)
    birth_date = f"{birth[0]:04d}-{birth[1]:02d}-{BIRTH_DAY}" if birth else None
    is_young = is_expected or birth is None or year - birth[0] < 6
    out.write(
        "<Child>\n<ChildIdentifiers>"
        + _leaf("LAchildID", child_id)
        + (_leaf("UPN", upn) or _leaf("UPNunknown", "UN1" if is_young else "UN6"))
        + _leaf("ExpectedPersonBirthDate" if is_expected else "PersonBirthDate", birth_date)
        + _leaf("Sex" if year >= _SEX_FROM else "GenderCurrent", _gender(gender, year))
        + "</ChildIdentifiers>\n<ChildCharacteristics>"
        + _leaf("Ethnicity", ethnicity)
    )
    flags = {"0": ["NONE"], "1": ["DDA"]}
    codes = flags.get(disability or "", (disability or "").split(","))
    leaves = "".join(_leaf("Disability", code.strip()) for code in codes)
    out.write(f"<Disabilities>{leaves}</Disabilities>" if leaves else "")
    out.write("</ChildCharacteristics>\n")


def _write_referral(out: TextIO, referral: _Row, cin_plans: list[_Row], cpps: list[_Row]) -> None:
    names = (
        "CINreferralDate",
        "ReferralSource",
        "PrimaryNeedCode",
        "CINclosureDate",
        "ReasonForClosure",
    )
    *values, nfa = referral
    out.write("<CINdetails>" + "".join(map(_leaf, names, values)))
    for start, end in cin_plans:
        out.write(
            "<CINPlanDates>" + _leaf("CINPlanStartDate", start) + _leaf("CINPlanEndDate", end) + "</CINPlanDates>"
        )
    out.write(_leaf("ReferralNFA", nfa))
    for start, end, category, previous in cpps:
        out.write(
            "<ChildProtectionPlans>"
            + _leaf("CPPstartDate", start)
            + _leaf("CPPendDate", end)
            + _leaf("InitialCategoryOfAbuse", category)
            + _leaf("LatestCategoryOfAbuse", category)
            + _leaf("NumberOfPreviousCPP", previous)
            + "</ChildProtectionPlans>"
        )
    out.write("</CINdetails>\n")


def _leaf(name: str, value: object) -> str:
    """An element, or nothing for a missing value (an empty element would say something was there)."""
    if value is None or value == "":
        return ""
    return f"<{name}>{escape(str(value).translate(_NOT_XML))}</{name}>"


def _gender(value: str | None, year: int) -> str | None:
    """Gender in the codes of the return year; a value that is no code as it is."""
    if value is None:
        return None
    codes = _GENDER.get(value.strip().upper())
    return value if codes is None else codes[year >= _SEX_FROM]


def _birth(year: int | None, month: int | None) -> tuple[int, int] | None:
    return None if year is None or month is None else (year, month)


def _write_ssda903(con: duckdb.DuckDBPyConnection, folder: Path, written: WrittenReturns) -> None:
    sets = con.execute(
        "select la_code, return_year from cla_episodes union select la_code, return_year from cla_children order by all"
    ).fetchall()
    # A file without rows has its header all the same.
    for la, year in sets:
        place = folder / la / "ssda903"
        place.mkdir(parents=True, exist_ok=True)
        for name, kind in (("episodes", EPISODES), ("header", HEADER), ("uasc", UASC)):
            (place / f"{year}-{name}.csv").write_text(",".join(FILES[kind]) + "\n", encoding="utf-8", newline="\n")
        (place / f"{year}-ad1.csv").write_text("\n", encoding="utf-8", newline="\n")
    written.ssda903_sets = len(sets)
    episodes = _batches(
        con,
        "select la_code, return_year, la_child_id, strftime(episode_start_date, '%d/%m/%Y'), "
        "reason_for_new_episode, legal_status, category_of_need, placement, "
        "strftime(episode_end_date, '%d/%m/%Y'), reason_episode_ceased from cla_episodes "
        "order by la_code, return_year, la_child_id, episode_start_date, episode_end_date, "
        "reason_for_new_episode, legal_status, category_of_need, placement, reason_episode_ceased",
    )

    def episode_lines() -> Iterator[tuple[_Row, str, list[Any]]]:
        for la, year, child, start, rne, status, need, placement, end, reason in episodes:
            written.episodes += 1
            line = [child, start, rne, status, need, placement, None, end, reason, *[None] * 4]
            yield (la, year), "episodes", line

    _append(folder, episode_lines())
    children = _batches(
        con,
        "select distinct la_code, return_year, la_child_id, upn, birth_year, birth_month, gender, "
        "ethnicity, coalesce(lower(trim(uasc_status)) in ('1', 'true', 'y', 'yes'), false) "
        "from cla_children order by all",
    )

    def child_lines() -> Iterator[tuple[_Row, str, list[Any]]]:
        for la, year, child, upn, birth_year, birth_month, gender, ethnicity, is_uasc in children:
            written.looked_after += 1
            birth = _birth(birth_year, birth_month)
            born = f"{BIRTH_DAY}/{birth[1]:02d}/{birth[0]:04d}" if birth else None
            sex = _gender(gender, year)
            unknown = "UN1" if birth is None or year - birth[0] < 6 else "UN5"
            yield (la, year), "header", [child, sex, born, ethnicity, upn or unknown, None, None]
            if is_uasc:
                yield (la, year), "uasc", [child, sex, born, None]

    _append(folder, child_lines())


def _append(folder: Path, lines: Iterator[tuple[_Row, str, list[Any]]]) -> None:
    """Add lines to the files of their sets; the lines come set by set."""
    current: _Row | None = None
    writers: dict[str, Any] = {}
    with ExitStack() as stack:
        for place, name, line in lines:
            if place != current:
                stack.close()
                writers.clear()
                current = place
            if name not in writers:
                la, year = place
                path = folder / la / "ssda903" / f"{year}-{name}.csv"
                handle = stack.enter_context(path.open("a", encoding="utf-8", newline=""))
                writers[name] = csv.writer(handle, lineterminator="\n")
            writers[name].writerow(line)
