"""The published LA-level tables that would belong to synthetic extracts, counted from the extracts themselves.

Same headers, levels and markers as the real ones (docs/raw_data.md section F): counts of 1 to 5 are ``c``, an LA
without a return in a year is ``x``, a share without a base ``z``, one that rounds to nothing ``k``; national and
regional rows stand beside those of LAs, rounded to 10. Every figure that is not a marker agrees with the extracts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from pathlib import Path

import duckdb

from sfpc.landing.published import LA_LEVEL, MONTHS, PUBLISHED_TABLES

SMALLEST_SHOWN = 6
FIRST_CLA_PERIOD, FIRST_CIN_PLAN_PERIOD, FIRST_ABSENCE_PERIOD = 2021, 2022, 2019
Row = dict[str, object]

_PLACE = [
    "time_period", "time_identifier", "geographic_level", "country_code", "country_name", "region_code", "region_name",
    "old_la_code", "new_la_code", "la_name",
]  # fmt: skip


@dataclass(frozen=True)
class _Twin:
    """One table: file name, SQL of its counts by la_code, y and breakdown, and the shares worked out from them.

    fixed: columns with one text. shares: column -> (numerator, denominator, factor). not_available: figures that the
    extracts cannot give, all x.
    """

    table: str
    file: str
    query: str
    breakdown: tuple[str, ...] = ()
    fixed: dict[str, str] = field(default_factory=dict)
    shares: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    not_available: tuple[str, ...] = ()
    first_period: int = 0
    periods: str = "Reporting year"
    encoding: str = "utf-8"


def _per_10k(count: str) -> tuple[str, str, float]:
    return count, "population", 10_000.0


_PLANS = (
    "CINPlan_start", "CINPlan_child_start", "CINPlan_end", "CINPlan_child_end", "CINPlan_anypoint",
    "CINPlan_child_anypoint", "CINPlan_At31",
)  # fmt: skip
_TWINS = (
    _Twin(
        "c1",
        "c1_children_in_need_referrals_and_rereferrals",
        "select la_code, y, count(*) as referral_count, count(*) filter (where is_repeat) as rereferral_count, "
        "count(*) filter (where is_nfa) as no_further_action_count, "
        "count(*) filter (where is_not_in_need) as not_in_need_count, count(distinct child) as referral_child_count, "
        "count(distinct child) filter (where is_repeat) as rereferral_child_count from referral group by all",
        fixed={"category": "Referrals and Re-referrals"},
        shares={
            "rereferral_percent": ("rereferral_count", "referral_count", 100),
            "no_further_action_percent": ("no_further_action_count", "referral_count", 100),
            "not_in_need_percent": ("not_in_need_count", "referral_count", 100),
            "rereferral_child_percent": ("rereferral_child_count", "referral_child_count", 100),
        },
    ),
    _Twin(
        "c6",
        "c6_children_in_need_referrals_by_month",
        "select la_code, y, count(*) as Referrals, "
        + ", ".join(
            f"count(*) filter (where month(d) = {(i + 3) % 12 + 1}) as {month}" for i, month in enumerate(MONTHS)
        )
        + " from referral group by all",
        fixed={"category": "Month of referral"},
    ),
    _Twin(
        "b1",
        "b1_children_in_need",
        "select la_code, y, count(*) as Anypoint_episodes, count(distinct child) as Anypoint_child, "
        "count(*) filter (where is_started) as Started_episodes, "
        "count(distinct child) filter (where is_started) as Started_child, "
        "count(*) filter (where is_ended) as Ended_episodes, "
        "count(distinct child) filter (where is_ended) as Ended_child, "
        "count(*) filter (where not is_ended) as At31_episodes from in_need group by all",
        fixed={"category": "Children in Need"},
        not_available=("awaiting_assessment",),
    ),
    _Twin(
        "b7",
        "b7_child_in_need_plans",
        "select la_code, y, count(*) filter (where return_year(started) = y) as CINPlan_start, "
        "count(distinct child) filter (where return_year(started) = y) as CINPlan_child_start, "
        "count(ended) as CINPlan_end, count(distinct child) filter (where ended is not null) as CINPlan_child_end, "
        "count(*) as CINPlan_anypoint, count(distinct child) as CINPlan_child_anypoint, "
        "count(*) filter (where ended is null) as CINPlan_At31 from cin_plan group by all",
        fixed={"category": "CIN Plans"},
        shares={f"{plan}_rate": _per_10k(plan) for plan in _PLANS},
        first_period=FIRST_CIN_PLAN_PERIOD,
    ),
    _Twin(
        "d3",
        "d3_cpps_subsequent_plan",
        "select la_code, y, count(*) as CPP_start, count(*) filter (where previous_count > 0) as CPP_subsequent "
        "from protection_plan group by all",
        fixed={"category": "Child Protection Plans which are a second or subsequent plan"},
        shares={"CPP_subsequent_percent": ("CPP_subsequent", "CPP_start", 100)},
    ),
    _Twin(
        "cla",
        "cla_number_and_rate_per_10k_children",
        "select la_code, y, population_type, count(distinct child) filter (where case population_type "
        "when 'Children starting to be looked after each year' then is_started "
        "when 'Children ceasing to be looked after each year' then is_ceased else is_at_year_end end) "
        "as children_count from looked_after cross join (select unnest(["
        "'Children starting to be looked after each year', 'Children ceasing to be looked after each year', "
        "'Children looked after on 31 March each year']) as population_type) group by all",
        breakdown=("population_type",),
        shares={"rate_per_10000": _per_10k("children_count")},
        first_period=FIRST_CLA_PERIOD,
        encoding="utf-8-sig",
    ),
    _Twin(
        "absence",
        "absence_la",
        "select la_code, y, social_care_group, phase_type_grouping, count(*) as t_pupils, "
        "sum(possible)::bigint as t_sess_possible, sum(unauthorised)::bigint as t_sess_unauthorised "
        "from absent where y <> 2020 group by all",
        breakdown=("social_care_group", "phase_type_grouping"),
        fixed={"absence_terms": "six half terms"},
        shares={"pt_sess_unauthorised": ("t_sess_unauthorised", "t_sess_possible", 100)},
        not_available=(
            "t_sess_overall", "pt_overall", "t_sess_authorised", "pt_sess_authorised", "t_pupils_pa_10_exact",
            "pt_pupils_pa_10_exact", "t_pupils_pa_50_exact", "pt_pupils_pa_50_exact",
        ),
        first_period=FIRST_ABSENCE_PERIOD,
        periods="Academic year",
    ),
    _Twin(
        "population",
        "ons_mid-year_population_estimates",
        "select listed.la_code, listed.y, children as population_estimate "
        "from listed inner join population on listed.la_code = population.la_code",
        fixed={"age_group": "Children aged 0 to 17 years"},
    ),
)  # fmt: skip


def write_published(parts: Path, target: Path, seeds_dir: Path) -> dict[str, int]:
    """Write the eight published tables of a synthetic run to the folder ``target``; returns the rows per file.

    parts: folder with the rows of the extracts as Parquet, in the folders ``cin``, ``cla`` and ``absence``. The same
    rows give the same bytes. The care table starts with a byte order mark, as the real one does. Tables begin with the
    first period that DfE publishes, where that is later than the run's.
    """
    target.mkdir(parents=True)
    written = {}
    with duckdb.connect() as con:
        con.execute("set memory_limit = '2GB'")
        con.execute("create macro return_year(d) as (year(d) + (month(d) >= 4)::integer)::integer")
        for name in ("cin", "cla", "absence"):
            year = ", right(CIN_ACADYR, 4)::integer as y" if name == "cin" else ""
            con.execute(f"create view {name} as select *{year} from read_parquet('{_quoted(parts / name)}/*.parquet')")
        con.execute((files("sfpc.synthetic") / "sql" / "published.sql").read_text(encoding="utf-8"))
        _list_las(con, seeds_dir)
        for twin in _TWINS:
            rows = list(_counts(con, twin))
            years = [int(str(row["y"])) for row in rows]
            plain = twin.table in ("cla", "absence")
            name = twin.file if plain else f"{twin.file}_{min(years)}_to_{max(years)}"
            written[name] = _write(target / f"{name}.csv", twin, rows)
    return written


def _list_las(con: duckdb.DuckDBPyConnection, seeds_dir: Path) -> None:
    """The table ``listed``: LA codes of the run in every year in which the register has them, with name and region."""
    register = _quoted(seeds_dir / "reference" / "local_authority_codes.csv")
    con.execute(
        "create temp table listed as select r.la_code, y.y, "
        + ", ".join(f"max_by(r.{c}, r.last_return_year) as {c}" for c in ("ons_code", "la_name", "region_name"))
        + f" from read_csv('{register}', all_varchar = true) as r "
        "inner join (select distinct y from cin) as y "
        "on y.y between r.first_return_year::integer and r.last_return_year::integer "
        "where r.la_code in (select la_code from referral) group by all"
    )


def _counts(con: duckdb.DuckDBPyConnection, twin: _Twin) -> Iterator[Row]:
    """Counts of every LA and year of the register, in order; None where the LA sent no return."""
    con.execute(f"create or replace temp table counted as {twin.query}")
    kinds = ", ".join(twin.breakdown)
    crossed = f"cross join (select distinct {kinds} from counted)" if kinds else ""
    numbers = [
        name for name, *_ in con.execute("describe counted").fetchall() if name not in ("la_code", "y", *twin.breakdown)
    ]
    # An LA that returned and has none of a kind has 0; figures of a year in which it did not return are not available.
    known = "true" if twin.table == "population" else "(l.la_code, l.y) in (select (la_code, y) from referral)"
    if twin.table == "absence":
        known += " and l.y in (select y from counted)"
    figures = ", ".join(f"case when {known} then coalesce(c.{n}, 0) end as {n}" for n in numbers)
    using = ", ".join(("la_code", "y", *twin.breakdown))
    result = con.execute(
        f"select l.*, p.children as population, {figures} from (select * from listed {crossed}) as l "
        f"left join counted as c using ({using}) inner join population as p on p.la_code = l.la_code "
        f"where l.y >= {twin.first_period} order by l.y desc{', ' + kinds if kinds else ''}, l.la_code"
    )
    names = [d[0] for d in result.description or ()]
    while batch := result.fetchmany(10_000):
        for values in batch:
            row: Row = dict(zip(names, values, strict=True))
            yield {"population_estimate": row["population"], **row}


def _write(path: Path, twin: _Twin, rows: list[Row]) -> int:
    table = next(t for t in PUBLISHED_TABLES if t.name == twin.table)
    figures = (*table.measures, *table.months)
    header = list(dict.fromkeys([*_PLACE, *twin.fixed, *table.breakdown, *figures]))
    count = 0
    with path.open("w", newline="", encoding=twin.encoding) as handle:
        writer = csv.DictWriter(handle, header, restval="", lineterminator="\n")
        writer.writeheader()
        for _, group in groupby(rows, key=lambda row: [row[c] for c in ("y", *twin.breakdown)]):
            las = list(group)
            year = int(str(las[0]["y"]))
            common: Row = {
                "time_period": f"{year - 1}{year % 100:02d}" if twin.periods == "Academic year" else str(year),
                "time_identifier": twin.periods,
                "country_code": "E92000001",
                "country_name": "England",
                **twin.fixed,
                **{c: las[0][c] for c in twin.breakdown},
            }
            lines = [{"geographic_level": "National", **_of_many(twin, figures, las)}]
            for region in sorted({str(la["region_name"]) for la in las}):
                part = [la for la in las if la["region_name"] == region]
                lines.append({"geographic_level": "Regional", "region_name": region, **_of_many(twin, figures, part)})
            for la in las:
                place = {
                    "geographic_level": LA_LEVEL, "region_name": la["region_name"], "old_la_code": la["la_code"],
                    "new_la_code": la["ons_code"], "la_name": la["la_name"],
                }  # fmt: skip
                lines.append({**place, **_of_one(twin, figures, la)})
            writer.writerows({**common, **line} for line in lines)
            count += len(lines)
    return count


def _of_one(twin: _Twin, figures: tuple[str, ...], la: Row) -> Row:
    """Figures of an LA: small counts and what can be worked out from them are hidden."""
    shown: Row = {}
    for name in figures:
        top, base, factor = twin.shares.get(name, (name, "", 0.0))
        values = [la.get(column) for column in (top, base) if column]
        if name in twin.not_available or any(v is None for v in values):
            shown[name] = "x"
        elif any(0 < int(str(v)) < SMALLEST_SHOWN for v in values):
            shown[name] = "c"
        else:
            shown[name] = _share(values, factor) if base else values[0]
    return shown


def _of_many(twin: _Twin, figures: tuple[str, ...], las: list[Row]) -> Row:
    """Figures of several LAs: sums of what was returned, rounded to 10."""
    shown: Row = {}
    for name in figures:
        top, base, factor = twin.shares.get(name, (name, "", 0.0))
        returned = [la for la in las if la.get(top) is not None]
        sums: list[object] = [sum(int(str(la[c])) for la in returned) for c in (top, base) if c]
        if name in twin.not_available or not returned:
            shown[name] = "x"
        else:
            shown[name] = _share(sums, factor) if base else round(int(str(sums[0])), -1)
    return shown


def _share(values: list[object], factor: float) -> object:
    top, base = (int(str(v)) for v in values)
    if not base:
        return "z"
    share = round(factor * top / base, 1)
    return "k" if top and not share else share


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
