"""Whether the models keep to the SQL that DuckDB, Spark and PostgreSQL share: traps in the text, compiling, parsing.

Traps are texts that another engine runs without an error and answers differently (``traps_of``; the tests run them). As
a script, for `make portable`: every model is compiled by dbt for Spark and for PostgreSQL, without a connection, and
what comes out is parsed by sqlglot in the dialect of the engine. That shows macros that an engine lacks and text that
its grammar does not allow. It does not show that a function or a name exists there, that types fit or that rows are
equal: that takes a run on the engine, and a comparison of the marts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("spark", "postgres")

# Columns that are never null where rows are put in order: keys, and days that the landing layout requires or that a
# model makes from these. Anything else says where its nulls go.
NEVER_NULL = {
    *("anchor", "anchor_date", "bound_date", "care_period_key", "care_start_date", "child_key", "cohort"),
    *(
        "cin_plan_start_date",
        "cpp_start_date",
        "end_date",
        "episode_start_date",
        "first_date",
        "la_child_id",
        "la_code",
    ),
    *("la_id", "outcome_id", "programme_id", "reading_id", "referral_date", "referral_key", "return_year"),
    *(
        "shown_code",
        "published_date",
        "quarter_start_date",
        "reference_date",
        "register_year",
        "sample_number",
        "source_row",
        "start_date",
        "stay_end_date",
        "stay_start_date",
        "owner_month_number",
    ),
}
# Order items that need no word about nulls, by model, with the reason.
ORDERED_ALL_THE_SAME = {
    ("int_children__identities", "observations.pupil_id"): "rows without one are filtered before",
    ("int_children__shared_codes", "abs(owners.owner_month_number - reports.stated_month_number)"): "joined on both",
    ("stg_cin__assessments", "assessment_factor_codes"): "put into one text, which passes over nulls",
    ("int_cohort__trial_care_starts", "care_end_date desc"): "open periods stand apart by the item before",
    ("int_published__periods", "abs(denominators.register_year - numerators.register_year)"): "joined on both",
    ("int_spells__referrals", "referrals.closure_date desc"): "referrals without one stand apart by the item before",
}
# Casts of raw text that are made on purpose, by model.
RAW_CASTS = {
    "stg_la__statistics": "any text but a number or a marker stops DuckDB and PostgreSQL, and is null on Spark",
    "stg_la__published_figures": "as stg_la__statistics; years are judged by their length first",
}

STRING = re.compile(r"'(?:[^']|'')*'")
TRAPS = {
    "an identifier in double quotes (a text on Spark)": re.compile(r'"'),
    "a division that nullif does not guard (null, infinity or an error)": re.compile(r"/(?!\s*nullif\()(?!/)"),
    "// (no operator elsewhere)": re.compile(r"//"),
    "hash() (differs by engine; md5 does not)": re.compile(r"\bhash\("),
    "a 32-bit float": re.compile(r"\b(?:float|float4|real)\b"),
    "concat() (null on Spark where a part is null)": re.compile(r"\bconcat(?:_ws)?\("),
    "regexp_replace() (flags differ)": re.compile(r"\bregexp_replace\("),
    "~ (matches the whole, or a part)": re.compile(r"~"),
    "round() (halves differ)": re.compile(r"\bround\("),
    "date_trunc without a cast to date (a timestamp)": re.compile(r"(?<!cast\()\bdate_trunc\("),
    "trim(text, characters) (order of arguments differs)": re.compile(r"\b[lr]?trim\([^()]*,"),
    "varchar (no length on Spark): dbt.type_string": re.compile(r"\b(?:as|::)\s*varchar\b(?!\()"),
    "a function or clause of DuckDB alone": re.compile(
        r"\b(?:list|array_agg|arg_min|arg_max|quantile_cont|try_strptime|strptime|strftime|isodow|epoch|struct_pack|"
        r"read_csv|read_parquet|try_cast|median|min_by|max_by)\(|\bqualify\b|"
        r"\basof\b|\bsemi join\b|\banti join\b|\bgroup by all\b|\bunion by name\b|\bpivot\b|\bselect \* exclude\b|\[|\{"
    ),
}
# What a macro of dbt may compile to, but nobody writes.
IN_SOURCE = re.compile(r"(?<![.\w])(?:string_agg|listagg|date_diff|datediff|dateadd)\(")
RAW_CAST = re.compile(r"\bcast\((?!\d|date_trunc)[^()]*(?:\([^()]*\))?[^()]* as (?:integer|bigint|double|date)\)")


def traps_of(model: str, sql: str) -> Iterator[str]:
    """Texts in the compiled SQL of a model that another engine would answer differently, in words.

    sql: as DuckDB gets it, relations as schema.name, without comments.
    """
    bare = STRING.sub("''", sql)
    for trap, pattern in TRAPS.items():
        for found in pattern.finditer(bare):
            yield f"{trap}: {_around(bare, found.start())}"
    for items in _order_clauses(sql):
        for item in items:
            if not _has_its_nulls_settled(model, item):
                yield f"an order that does not say where nulls go (first on Spark, last elsewhere): {item}"
    if model.startswith("stg_") and model not in RAW_CASTS:
        for found in RAW_CAST.finditer(bare):
            # What this model has counted or added up itself is a number already.
            if not re.search(r"_count as ", found[0]):
                yield f"a bare cast of raw text (an error, or null on Spark): {found[0]}"


def traps_in_source(text: str) -> Iterator[str]:
    """Functions in the text of a model's file that dbt has a macro for."""
    for found in IN_SOURCE.finditer(re.sub(r"--[^\n]*", "", text)):
        yield f"use dbt's macro instead of {found[0]}...): {_around(text, found.start())}"


def _around(sql: str, place: int) -> str:
    return " ".join(sql[max(0, place - 40) : place + 40].split())


def _order_clauses(sql: str) -> Iterator[list[str]]:
    """The items of every `order by`."""
    # A percentile passes over nulls on every engine.
    for found in re.finditer(r"\border by\s", re.sub(r"\bwithin group \(\s*order by\s", "within group (", sql)):
        depth, item, items = 0, "", []
        for sign in found.string[found.end() :]:
            depth += (sign == "(") - (sign == ")")
            if depth < 0 or (depth == 0 and re.search(r"\b(?:rows|range) between$", item)):
                break
            if sign == "," and depth == 0:
                items.append(item)
                item = ""
            else:
                item += sign
        items.append(re.sub(r"\b(?:rows|range) between$", "", item))
        yield [" ".join(i.split()) for i in items]


def _has_its_nulls_settled(model: str, item: str) -> bool:
    if re.search(r"\bnulls (?:first|last)$", item) or (model, item) in ORDERED_ALL_THE_SAME:
        return True
    value = re.sub(r" (?:asc|desc)$", "", item)
    if re.fullmatch(r"case .* else .* end", value):
        return True
    if value.startswith("coalesce(") and re.search(r"(?:'|\d|as date\))\)?\)$", value):
        return True
    return value.split(".")[-1] in NEVER_NULL


# ---------------------------------------------------------------------------------------------------
# make portable
# ---------------------------------------------------------------------------------------------------

PROFILES = """
sfpc:
  target: spark
  outputs:
    spark: {type: spark, method: session, host: NA, schema: main, threads: 1}
    postgres: {type: postgres, host: nowhere, user: nobody, password: none, port: 5432, dbname: sfpc, schema: main}
"""
# What an engine can only do from some release on, or not at all, though its grammar allows it.
LIMITS = {
    "spark": {r"\bwith recursive\b": "recursive CTE: Spark 4.0 or newer"},
    "postgres": {r"\bmax\(\s*(?:is|has)_": "max of a boolean"},
}
# dbt-spark wants to import pyspark before it reads a profile of a session; nothing is asked of it while compiling.
COMPILE = (
    "import sys, types; sys.modules['pyspark'] = types.ModuleType('pyspark'); from dbt.cli.main import cli; "
    "sys.argv = ['dbt', '--quiet', 'compile', '--no-introspect', '--no-populate-cache', '--target', sys.argv[1]]; cli()"
)


def compiled_for(engine: str, folder: Path) -> dict[str, str]:
    """The SQL of every model for an engine; SystemExit with dbt's closing lines where it does not compile."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profiles.yml").write_text(PROFILES, encoding="utf-8")
    environment = os.environ | {
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "target" / "logs"),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, engine], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{engine}: does not compile\n" + "\n".join(done.stdout.strip().splitlines()[-12:]))
    manifest = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))
    return {
        node["name"]: node["compiled_code"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node.get("compiled_code")
    }


def main() -> int:
    """Compile, parse and print; 1 where a model would not run."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    refused = 0
    for engine in ENGINES:
        models = compiled_for(engine, ROOT / "target" / "portable" / engine)
        unread = {}
        for name, sql in sorted(models.items()):
            try:
                sqlglot.parse_one(sql, read=engine)
            except SqlglotError as error:
                unread[name] = str(error).splitlines()[0]
        print(f"{engine}: {len(models)} models compile, {len(models) - len(unread)} are read by the dialect")
        for name, reason in unread.items():
            print(f"  {name} would not run: {reason}")
        for name, sql in sorted(models.items()):
            for pattern, reason in LIMITS[engine].items():
                if re.search(pattern, sql):
                    print(f"  {name} runs with a limit: {reason}")
        refused += len(unread)
    print("not silent, but different where the data are bad:")
    for name, reason in RAW_CASTS.items():
        print(f"  {name}: {reason}")
    print("Compiled and parsed, not run: whether rows are equal, only a build on the engine shows.")
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
