"""The published marts: what analysts query, and what holds of every build."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from conftest import ROOT, manifest_of, querying
from sfpc.errors import SfpcError
from sfpc.marts import open_marts
from sfpc.settings import Paths
from sfpc.warehouse.build import run_dbt
from sfpc.warehouse.publish import publish


def test_published_file_holds_marts_only_and_no_view(synthetic: Paths) -> None:
    with querying(synthetic) as connection:
        tables = connection.execute("select distinct schema_name from duckdb_tables()").fetchall()
        views = connection.execute("select count(*) from duckdb_views() where not internal").fetchone()
    assert tables == [("marts",)]
    assert views == (0,)


def test_comments_reach_the_published_file(synthetic: Paths) -> None:
    with querying(synthetic) as connection:
        bare = connection.execute(
            "select table_name from duckdb_tables() where comment is null "
            "union all select table_name || '.' || column_name from duckdb_columns() "
            "where schema_name = 'marts' and comment is null"
        ).fetchall()
    assert bare == []


def test_no_window_is_lost_on_the_way_to_its_outcome(synthetic: Paths) -> None:
    """FV.OUT.*: every measure that a reading asks for is some outcome model's, and that model drops no row."""
    with duckdb.connect(str(synthetic.build_db), read_only=True) as connection:
        asked = connection.execute(
            "select reading_number, count(*) from intermediate.int_cohort__outcome_windows group by 1 order by 1"
        ).fetchall()
        found = connection.execute(
            "select reading_number, count(*) from intermediate.int_outcomes__all group by 1 order by 1"
        ).fetchall()
    assert found == asked
    assert len(asked) > 10


def test_two_children_under_one_key_are_found(synthetic: Paths) -> None:
    """The test keys_stand_for_one_child as compiled: nothing as the children are, and the key that two were given."""
    nodes = json.loads(manifest_of(synthetic).read_text(encoding="utf-8"))["nodes"].values()
    query = next(node["compiled_code"] for node in nodes if node["name"] == "keys_stand_for_one_child")
    identities = next(node["relation_name"] for node in nodes if node["name"] == "int_children__identities")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{synthetic.build_db}' (read_only)")
        connection.execute(f"create temp table seen as from {identities}")
        query = query.replace(identities, "seen")
        assert connection.execute(query).fetchall() == []
        lowest, highest = connection.execute("select min(child_key), max(child_key) from seen").fetchone()
        connection.execute("update seen set child_key = ? where child_key = ?", [lowest, highest])
        assert connection.execute(query).fetchall() == [(lowest,)]


def test_every_question_about_rows_finds_the_row_it_asks_for(synthetic: Paths) -> None:
    """The test sound_rows of each table, as compiled, on one row: doubled, emptied, with a value of no list."""
    nodes = json.loads(manifest_of(synthetic).read_text(encoding="utf-8"))["nodes"]
    relations = {node["name"]: node["relation_name"] for node in nodes.values() if node.get("relation_name")}
    asked = 0
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"attach '{synthetic.build_db}' (read_only)")
        for node in nodes.values():
            about = node.get("test_metadata") or {}
            if about.get("name") != "sound_rows":
                continue
            tested = nodes[node["attached_node"]]
            kwargs, name = about["kwargs"], tested["name"]
            connection.execute(f"create or replace temp table seen as from {tested['relation_name']} limit 1")
            types = dict(connection.execute("select column_name, column_type from (describe seen)").fetchall())
            if not connection.execute("select count(*) from seen").fetchone()[0]:
                listed = {c: v.split(", ")[0] for c, v in kwargs.get("one_of", {}).items()}
                made = {c: f"coalesce(try_cast('1' as {t}), try_cast('2020-01-01' as {t}))" for c, t in types.items()}
                made |= {c: f"'{v}'" for c, v in listed.items()}
                for column, place in kwargs.get("found_in", {}).items():
                    other = relations[place["to"].removeprefix("ref('").removesuffix("')")]
                    made[column] = f"(select any_value({place['field']}) from {other})"
                connection.execute(f"insert into seen select {', '.join(made.values())}")
            query = node["compiled_code"].replace(tested["relation_name"], "seen")

            def problems(change: str, query: str = query) -> set[str]:
                connection.execute("begin")
                connection.execute(change)
                found = {row[-1] for row in connection.execute(query).fetchall()}
                connection.execute("rollback")
                return found

            assert problems("select 1") == set(), name
            if kwargs.get("key"):
                assert "more than one row" in problems("insert into seen from seen"), name
                asked += 1
            for column in filter(None, kwargs.get("never_null", "").split(", ")):
                assert f"{column} is empty" in problems(f"update seen set {column} = null"), (name, column)
                asked += 1
            strange = {c: "-1" if t in ("INTEGER", "BIGINT") else "'no such value'" for c, t in types.items()}
            for column in kwargs.get("one_of", {}):
                change = f"update seen set {column} = {strange[column]}"
                assert f"{column} has a value that is not listed for it" in problems(change), (name, column)
                asked += 1
            for column in kwargs.get("found_in", {}):
                change = f"update seen set {column} = {strange[column]}"
                assert any(text.startswith(f"{column} is not found in ") for text in problems(change)), (name, column)
                asked += 1
    assert asked > 300


def test_a_model_that_fails_leaves_the_table_that_stood_there(tmp_path: Path) -> None:
    """Tables are replaced in one transaction: also one built again, and one that was a view before."""
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    shutil.copytree(ROOT / "macros", project / "macros", ignore=shutil.ignore_patterns("quality.sql", "_macros.yml"))
    (project / "dbt_project.yml").write_text("name: p\nprofile: p\nmodels: {p: {+materialized: table}}\n")
    (project / "profiles.yml").write_text(
        "p: {target: d, outputs: {d: {type: duckdb, path: build.duckdb, schema: main, threads: 1}}}\n"
    )

    def run(sql: str) -> int:
        (project / "models" / "m.sql").write_text(sql)
        command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "run"]
        return subprocess.run(command, cwd=project, capture_output=True, check=False, timeout=300).returncode

    def held() -> tuple[object, ...] | None:
        with duckdb.connect(str(project / "build.duckdb"), read_only=True) as connection:
            return connection.execute(
                "select any_value(a), any_value(table_type), count(*) from m, "
                "information_schema.tables where table_name like 'm%'"
            ).fetchone()

    assert run("{{ config(materialized='view') }} select 1 as a") == 0
    assert held() == (1, "VIEW", 1)
    assert run("select 2 as a") == 0
    assert held() == (2, "BASE TABLE", 1)
    assert run("select 3 as a") == 0
    assert held() == (3, "BASE TABLE", 1)
    assert run("select error('no') as a") != 0
    assert held() == (3, "BASE TABLE", 1)


def test_every_mart_is_also_a_parquet_file(synthetic: Paths) -> None:
    with querying(synthetic) as connection:
        names = [r[0] for r in connection.execute("select table_name from duckdb_tables()").fetchall()]
        for name in names:
            file = synthetic.marts_parquet / f"{name}.parquet"
            here = connection.execute(f"select count(*) from marts.{name}").fetchone()
            there = connection.execute(f"select count(*) from '{file}'").fetchone()
            assert here == there, name


def test_publishing_again_gives_the_same_bytes(synthetic: Paths) -> None:
    before = {p.name: p.read_bytes() for p in synthetic.marts_parquet.glob("*.parquet")}
    publish(synthetic)
    assert {p.name: p.read_bytes() for p in synthetic.marts_parquet.glob("*.parquet")} == before


def test_a_reader_keeps_its_snapshot_while_a_new_one_is_published(synthetic: Paths) -> None:
    with querying(synthetic) as connection:
        publish(synthetic)
        assert connection.execute("select count(*) > 0 from marts.fct_child_outcomes").fetchone() == (True,)


def test_missing_marts_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SfpcError, match="no marts at"), open_marts(tmp_path / "warehouse.duckdb"):
        pass
    with pytest.raises(SfpcError, match="no build to publish"):
        publish(Paths(ROOT, tmp_path, tmp_path))


def test_build_without_landing_says_what_to_do(tmp_path: Path) -> None:
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    with pytest.raises(SfpcError, match="No landed tables"):
        run_dbt(paths, "build", target=tmp_path / "target")


def test_worked_questions_run(synthetic: Paths, tmp_path: Path) -> None:
    """Every file of analysis/ compiles and gives rows, or is named here as one that may rightly give none."""
    run_dbt(synthetic, "compile", "--select", "path:analysis", target=tmp_path)
    compiled = sorted((tmp_path / "compiled").rglob("analysis/*.sql"))
    assert {p.name for p in compiled} == {p.name for p in (ROOT / "analysis").glob("*.sql")}
    connection = duckdb.connect(str(synthetic.build_db), read_only=True)
    try:
        for path in compiled:
            rows = connection.execute(path.read_text(encoding="utf-8")).fetchall()
            assert rows or path.name == "strata_without_a_comparison_child.sql", path.name
    finally:
        connection.close()


def test_every_mart_has_a_worked_question_and_a_row_in_the_readme() -> None:
    queries = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "analysis").glob("*.sql"))
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for path in sorted((ROOT / "models/marts").rglob("*.sql")):
        assert f"ref('{path.stem}')" in queries, f"no query of analysis/ reads {path.stem}"
        (row,) = [line for line in rows if f"`{path.stem}`" in line.split("|")[1]]
        assert "(analysis/" in row and "?" in row.split("|")[3], f"README: {path.stem} has no example question"


def test_readme_names_every_worked_question() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "analysis").glob("*.sql"):
        assert path.name in readme, f"README does not name {path.name}"


def test_manifest_names_every_file_with_its_hash(synthetic: Paths) -> None:
    """DP.8: a landing can be walked back to the bytes it came from."""
    from sfpc.landing.gate import sha256_of

    manifest = json.loads((synthetic.landing / "manifest.json").read_text(encoding="utf-8"))
    files = {f["file"]: f["sha256"] for f in manifest["files"]}
    found = [p for p in synthetic.extracts.rglob("*") if p.is_file()]
    assert files == {str(p.relative_to(synthetic.extracts)): sha256_of(p) for p in found}


def test_trial_period_and_treatment_of_the_protocol(synthetic: Paths) -> None:
    """FV.PROG.1 and FV.PROG.3: the protocol's own dates come out of the rows."""
    with querying(synthetic) as connection:
        period = connection.execute(
            "select distinct trial_start_date::varchar, trial_end_date::varchar "
            "from marts.dim_programme_local_authorities"
        ).fetchall()
        live = connection.execute(
            "select go_live_date::varchar from marts.dim_programme_local_authorities where is_treatment_la order by 1"
        ).fetchall()
    assert period == [("2021-01-01", "2023-05-31")]
    assert [d[0] for d in live] == ["2021-07-01", "2021-11-01", "2022-03-01", "2022-07-01", "2022-11-01"]


def test_trial_periods_of_the_sister_programmes(synthetic: Paths) -> None:
    """FV.PROG.3, FV.PROG.5: the evaluators' own windows come out of their rows; a withdrawn LA is not treated."""
    connection = duckdb.connect(str(synthetic.build_db), read_only=True)
    try:
        found = connection.execute(
            "select programme_id, trial_start_date::varchar, trial_end_date::varchar "
            "from intermediate.int_programmes__trial_periods order by 1"
        ).fetchall()
        ages = connection.execute(
            "select programme_id, minimum_age_years, maximum_age_years from seeds.programmes order by 1"
        ).fetchall()
        withdrawn = connection.execute(
            "select count(*), sum(is_treatment_la::integer) from intermediate.int_programmes__local_authorities "
            "where role = 'treatment_withdrawn'"
        ).fetchone()
    finally:
        connection.close()
    assert found == [
        ("family_safeguarding", "2020-03-01", "2022-11-24"),
        ("family_valued", "2021-01-01", "2023-05-31"),
        ("no_wrong_door", "2019-10-01", "2022-03-31"),
    ]
    assert ages == [("family_safeguarding", 0, 12), ("family_valued", 0, 17), ("no_wrong_door", 12, 17)]
    assert withdrawn == (1, 0)


def test_registered_children_are_nowhere(synthetic: Paths, tmp_path: Path) -> None:
    """DP.3: a child on the subject register is in no mart; everybody else stays."""
    import shutil

    with querying(synthetic) as connection:
        child = connection.execute(
            "select child_id from marts.fct_referral_spells order by referral_id limit 1"
        ).fetchone()[0]
        before = connection.execute("select count(distinct child_id) from marts.fct_referral_spells").fetchone()
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    shutil.copytree(synthetic.landing, paths.landing)
    identities = duckdb.connect(str(synthetic.build_db), read_only=True)
    codes = identities.execute(
        "select la_code, la_child_id from intermediate.int_children__identities where child_key = ?", [int(child, 16)]
    ).fetchall()
    identities.close()
    values = ", ".join(f"('{la}', '{code}', null, 'erased', 'subject_register.csv', 2)" for la, code in codes)
    duckdb.execute(
        f"copy (select * from (values {values}) "
        "r (la_code, la_child_id, pupil_id, status, source_file, source_row)) "
        f"to '{paths.landing / 'subject_register' / 'rows.parquet'}' (format parquet)"
    )
    run_dbt(
        paths,
        "build",
        "--select",
        "+fct_referral_spells",
        "--exclude",
        "resource_type:test",
        "resource_type:unit_test",
        target=tmp_path / "target",
    )
    connection = duckdb.connect(str(paths.build_db), read_only=True)
    try:
        for table, column, value in (
            ("marts.fct_referral_spells", "child_id", child),
            ("intermediate.int_children__identities", "child_key", int(child, 16)),
        ):
            found = connection.execute(f"select count(*) from {table} where {column} = ?", [value]).fetchone()
            assert found == (0,), table
        after = connection.execute("select count(distinct child_id) from marts.fct_referral_spells").fetchone()
    finally:
        connection.close()
    assert after[0] == before[0] - 1


def test_query_of_the_readme_runs(synthetic: Paths) -> None:
    import re

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    queries = re.findall(r"\.sql\('([^']+)'\)", text)
    assert queries
    with querying(synthetic) as connection:
        for query in queries:
            assert connection.execute(query).fetchall()


def test_every_macro_is_described_with_its_arguments() -> None:
    import re

    import yaml

    described = {m["name"]: m for m in yaml.safe_load((ROOT / "macros/_macros.yml").read_text())["macros"]}
    for path in sorted((ROOT / "macros").glob("*.sql")):
        for name, arguments in re.findall(r"{% macro (\w+)\(([^)]*)\)", path.read_text(encoding="utf-8")):
            if "__" in name or name == "generate_schema_name" or name == "type_double":
                continue
            assert name in described, f"{path.name}: {name} is not described"
            listed = [a["name"] for a in described[name].get("arguments", [])]
            assert listed == [a.split("=")[0].strip() for a in arguments.split(",") if a.strip()], name


def test_a_build_goes_on_after_it_used_its_temporary_folder(tmp_path: Path) -> None:
    """dbt opens the build file as the profile says and asks for a cursor per model, also after one had to spill."""
    import jinja2
    import yaml
    from dbt.adapters.duckdb.credentials import DuckDBCredentials
    from dbt.adapters.duckdb.environments.local import LocalEnvironment

    given = {
        "SFPC_BUILD_DB": str(tmp_path / "b.duckdb"),
        "SFPC_MEMORY_LIMIT": "60MB",
        "SFPC_TEMP_DIR": str(tmp_path / "tmp"),
    }
    text = jinja2.Template((ROOT / "profiles.yml").read_text(encoding="utf-8")).render(
        env_var=lambda name, default=None: given.get(name, default)
    )
    output = yaml.safe_load(text)["sfpc"]["outputs"]["duckdb"]
    output["database"] = "b"
    environment = LocalEnvironment(DuckDBCredentials.from_dict(output))
    first = environment.handle().cursor()
    first.execute("create table t as select md5(range::varchar) as k from range(1000000) order by k")
    with pytest.raises(duckdb.NotImplementedException, match="temporary directory"):
        first.execute(f"set temp_directory = '{tmp_path}'")
    second = environment.handle().cursor()
    assert second.execute("select count(*) from t").fetchall()[0][0] == 1_000_000
    environment.close()
