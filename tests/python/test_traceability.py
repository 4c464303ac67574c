"""Every definition has a clause, every implemented clause a home, and no rule or name stands where it must not."""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, manifest_of
from sfpc.settings import Paths
from sfpc.trace import CLAUSE, cited_clauses, models_of, pytests_by_clause
from test_quality import OF_RULES


@cache
def clauses() -> dict[str, dict[str, str]]:
    with (ROOT / "seeds/protocol/protocol_clauses.csv").open(newline="", encoding="utf-8") as handle:
        return {row["clause"]: row for row in csv.DictReader(handle)}


@pytest.fixture(scope="session")
def manifest(synthetic: Paths) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(manifest_of(synthetic).read_text(encoding="utf-8"))
    return content


def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {k: n for k, n in manifest["nodes"].items() if n["resource_type"] == "model"}


def ancestors(manifest: dict[str, Any], node: str) -> set[str]:
    """Every node that a node is built from, however far back."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        held = manifest["nodes"].get(waiting.pop())
        new = set(held["depends_on"].get("nodes", [])) - found if held else set()
        found |= new
        waiting += new
    return found


def sources_of(suffixes: tuple[str, ...], *folders: str) -> list[Path]:
    return [p for f in folders for p in sorted((ROOT / f).rglob("*")) if p.suffix in suffixes and p.is_file()]


def test_every_model_cites_a_clause_that_exists(manifest: dict[str, Any]) -> None:
    for node in models(manifest).values():
        cited = node["config"]["meta"].get("protocol_ref", [])
        assert cited, f"{node['name']} cites no clause (meta.protocol_ref)"
        unknown = set(cited) - set(clauses())
        assert not unknown, f"{node['name']} cites {unknown}, which are not in the register"


def test_every_model_states_its_grain_and_has_a_description(manifest: dict[str, Any]) -> None:
    for node in models(manifest).values():
        assert node["config"]["meta"].get("grain"), f"{node['name']} states no grain"
        assert node["description"], f"{node['name']} has no description"


# Models whose outermost `group by` or `select distinct` is their stated grain: a test of it could not fail (D139).
GROUPED_BY_GRAIN = {
    "int_cohort__trend_referrals",
    "int_programmes__reaches",
    "int_programmes__shocks",
    "int_programmes__trend_quarters",
    "int_published__area_figures",
    "int_quality__child_code_bridges",
    "int_quality__cin_children",
    "int_spells__assessment_factors",
    "int_spells__child_protection_plans",
    "int_spells__cin_plans",
    "stg_cin__assessments",
    "stg_cin__child_protection_plans",
    "stg_cin__children",
    "stg_cin__cin_plans",
    "stg_cin__referrals",
    "stg_cin__reviews",
    "stg_cin__section47",
    "stg_cla__children",
    "stg_npd__pupils",
}


# Views of which test_quality.test_a_thing_is_judged_once asks whether they keep their grain.
JUDGED_ONCE = {f"int_quality__{kind}_rules" for kind in OF_RULES}


def test_the_grain_of_every_table_is_proven(manifest: dict[str, Any]) -> None:
    """Each model but the two that keep raw rows groups by its grain, or has a test of it, a key or a stored twin."""
    tested = set()
    for node in manifest["nodes"].values():
        about = node.get("test_metadata") or {}
        if about.get("name") == "sound_rows" and about["kwargs"].get("key"):
            tested.add(node["attached_node"])
    for key, node in models(manifest).items():
        if node["name"] in JUDGED_ONCE:
            assert node["config"]["materialized"] == "view", f"{node['name']}: a table proves its own grain"
            continue
        keyed = any(c["type"] == "primary_key" for col in node["columns"].values() for c in col.get("constraints", []))
        raw = node["config"]["meta"]["grain"].startswith(("one row per raw", "one row per source, return"))
        stored = node["config"]["meta"].get("grain_proven_by")
        if stored:
            assert node["config"]["materialized"] == "view", f"{node['name']}: a table proves its own grain"
            assert f"model.sfpc.{stored}" in tested and key in ancestors(manifest, f"model.sfpc.{stored}")
        grouped = node["name"] in GROUPED_BY_GRAIN
        if grouped:
            text = str(node["raw_code"])
            assert re.search(r"^(group by|select distinct)\b", text, re.MULTILINE), f"{node['name']} does not group"
            assert not re.search(r"^union\b", text, re.MULTILINE), f"{node['name']}: groups of several queries"
        assert keyed or key in tested or raw or stored or grouped, f"{node['name']}: grain not proven"


def test_marts_have_contracts_with_types_and_comments(manifest: dict[str, Any]) -> None:
    marts = [n for n in models(manifest).values() if n["fqn"][1] == "marts"]
    assert len(marts) >= 8
    for node in marts:
        assert node["contract"]["enforced"], f"{node['name']} has no contract"
        for column in node["columns"].values():
            assert column["data_type"] and column["description"], f"{node['name']}.{column['name']}"


OUTCOMES = ("became_looked_after", "started_cpp", "plan_days", "kinship_care", "reunified", "unauthorised_absence")
# What analysts were promised, by mart: more columns may come, these stay.
PROMISED = {
    "fct_child_outcomes": (
        "programme_id child_id la_id index_referral_date financial_year quarter_start_date is_treatment_la is_treated "
        "age_at_referral_months is_unborn_at_referral is_looked_after_at_referral first_care_start_date "
        "care_start_la_id age_at_care_start_months is_treated_at_care_start gender ethnicity ethnic_group is_disabled "
        "is_fsm is_uasc previous_cpp_count primary_need has_become_looked_after has_started_cpp plan_days cpp_days "
        "cin_plan_days plan_observable_share cin_episode_days is_kinship_first_placement is_reunified "
        "unauthorised_absence_pct "
        + " ".join(f"is_in_sample__{outcome} is_fully_observed__{outcome}" for outcome in OUTCOMES)
    ),
    "fct_absence_terms": (
        "programme_id child_id term_order sessions_possible_count unauthorised_absence_count months_since_referral"
    ),
    "fct_la_quarter_outcomes": (
        "programme_id outcome_id la_id quarter_start_date numerator denominator_count value standardised_value "
        "standardised_change change_standard_error"
    ),
    "fct_cem_strata": "covariate_stratum_id year_stratum_id",
    "fct_sample_flow": "programme_id outcome_id la_id is_treatment_la is_after_go_live step entry_count",
    "fct_referral_spells": "referral_id child_id la_id referral_date closure_date is_nfa primary_need",
    "fct_care_periods": "care_period_id child_id la_id care_start_date care_end_date",
    "dim_local_authorities": "la_id la_name la_codes",
    "dim_protocol_definitions": "clause wording status model tests",
}


def test_marts_have_the_columns_that_analysts_were_promised(manifest: dict[str, Any]) -> None:
    columns = {node["name"]: set(node["columns"]) for node in models(manifest).values()}
    for mart, promised in PROMISED.items():
        assert not set(promised.split()) - columns[mart], mart


def test_implemented_clauses_have_a_home(manifest: dict[str, Any]) -> None:
    cited_by_models = {c for n in models(manifest).values() for c in n["config"]["meta"].get("protocol_ref", [])}
    python = "\n".join(p.read_text(encoding="utf-8") for p in sources_of((".py",), "python/src"))
    cited_by_python = cited_clauses(python)
    for clause, row in clauses().items():
        if row["status"] == "planned":
            continue
        if "sql" in row["home"]:
            assert clause in cited_by_models, f"{clause} is marked implemented in SQL; no model cites it"
        if "python" in row["home"] or "landing" in row["home"]:
            assert clause in cited_by_python, f"{clause} is marked implemented in Python; no module cites it"


def test_no_citation_of_a_clause_that_does_not_exist() -> None:
    places = sources_of((".sql", ".yml", ".py", ".csv", ".md"), "models", "macros", "seeds", "python/src", "tests")
    for path in [*places, ROOT / "DECISIONS.md"]:
        unknown = set(CLAUSE.findall(path.read_text(encoding="utf-8"))) - set(clauses())
        assert not unknown, f"{path.relative_to(ROOT)} cites {unknown}"


def test_seed_rows_cite_clauses_that_exist() -> None:
    for path in sources_of((".csv",), "seeds"):
        with path.open(newline="", encoding="utf-8") as handle:
            for number, row in enumerate(csv.DictReader(handle), start=2):
                for clause in (row.get("clause") or "").split(";"):
                    assert not clause or clause in clauses(), f"{path.name} row {number}: {clause}"


def names_of_las_and_programmes() -> list[str]:
    with (ROOT / "seeds/reference/local_authority_codes.csv").open(newline="", encoding="utf-8") as handle:
        names = {row["la_name"] for row in csv.DictReader(handle)}
    with (ROOT / "seeds/programmes/programmes.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            names |= {row["programme_id"], row["programme_name"]}
    # Words that are also plain English in code or prose.
    return sorted(names - {"Reading", "Bath", "Bury", "Barnet"})


def test_no_programme_or_la_is_named_in_code() -> None:
    pattern = re.compile(r"\b(" + "|".join(re.escape(n) for n in names_of_las_and_programmes()) + r")\b")
    for path in [
        *sources_of((".sql",), "models", "macros", "analysis", "tests/dbt"),
        *sources_of((".py", ".sql"), "python/src"),
    ]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number} names {pattern.search(line)}"


def test_no_window_length_is_typed_in_a_model() -> None:
    """Months come from the protocol and programme seeds; one model adds them to a date (FV.OUT.P)."""
    months = re.compile(r"add_months\([^)]*?,\s*'?-?(\d+)'?\s*\)")
    for path in sources_of((".sql",), "models"):
        for match in months.finditer(path.read_text(encoding="utf-8")):
            assert match.group(1) in {"1", "3"}, f"{path.name} types a window of {match.group(1)} months"


def test_only_staging_reads_sources_and_only_through_the_governed_door(manifest: dict[str, Any]) -> None:
    """DP.3: the register of subjects cannot be walked around; a staging model may rest on another one."""
    held = models(manifest)
    for node in held.values():
        parents = node["depends_on"]["nodes"]
        reads_sources = any(parent.startswith("source.") for parent in parents)
        if node["fqn"][1] == "staging":
            assert reads_sources or any(held[p]["fqn"][1] == "staging" for p in parents if p in held), node["name"]
        else:
            assert not reads_sources, node["name"]
        if reads_sources:
            assert "governed_source(" in node["raw_code"], node["name"]
            assert "source(" not in node["raw_code"].replace("governed_source(", ""), node["name"]


def test_marts_do_not_read_staging_and_layers_point_one_way(manifest: dict[str, Any]) -> None:
    allowed = {
        "staging": {"staging"},
        "intermediate": {"staging", "intermediate"},
        "marts": {"intermediate", "marts"},
    }
    nodes = models(manifest)
    for node in nodes.values():
        for parent in node["depends_on"]["nodes"]:
            if parent in nodes:
                layer = nodes[parent]["fqn"][1]
                assert layer in allowed[node["fqn"][1]], f"{node['name']} reads {nodes[parent]['name']}"


def test_outcome_models_have_their_yml_beside_them() -> None:
    for path in sources_of((".sql",), "models"):
        assert path.with_suffix(".yml").is_file(), f"{path.name} has no {path.stem}.yml"


def test_no_double_quoted_identifier_or_engine_hash_in_models() -> None:
    """The portable subset: a double-quoted name is a string on another engine, hash() differs everywhere."""
    for path in sources_of((".sql",), "models"):
        code = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        code = re.sub(r"\{[{%#].*?[}%#]\}", "", code, flags=re.DOTALL)
        assert '"' not in code, path.name
        assert not re.search(r"(?<!_)\bhash\(", code), path.name


DEFINITIONS = re.compile(r"FV\.(?:PROG|SAMPLE|OUT|TREAT|COV)\.\w+|FV\.CEM\.[1-8]|FV\.MATCH\.[1-3]")


def clauses_of_tests(manifest: dict[str, Any]) -> set[str]:
    """Clauses that a test's own text cites: unit tests, singular tests, pytest, and the hand-written children."""
    found = set(pytests_by_clause(ROOT))
    for node in manifest["unit_tests"].values():
        found |= cited_clauses(node["description"] or "")
    for path in [*sources_of((".sql",), "tests/dbt"), ROOT / "tests/reference/hand_cases.py"]:
        found |= cited_clauses(path.read_text(encoding="utf-8"))
    return found


def test_every_definition_has_a_model_and_a_test(manifest: dict[str, Any]) -> None:
    """Samples, outcomes, treatment, covariates, strata keys, trends: a model, tests on it, and one that says so."""
    defined = [clause for clause in clauses() if DEFINITIONS.fullmatch(clause)]
    assert len(defined) == 38
    tested = clauses_of_tests(manifest)
    for clause in defined:
        models = models_of(manifest, clause)
        assert models, f"no model cites {clause}"
        on_them = [
            node["name"]
            for node in [*manifest["nodes"].values(), *manifest["unit_tests"].values()]
            if node["resource_type"] in {"test", "unit_test"} and set(node["depends_on"]["nodes"]) & set(models)
        ]
        assert on_them, f"no test on the models that cite {clause}"
        assert clause in tested, f"no test says that it tests {clause}"


def test_register_in_the_warehouse_is_complete_and_true(synthetic: Paths, manifest: dict[str, Any]) -> None:
    """Every clause once, with the models that cite it and no other; planned outcomes of a programme beside them."""
    from conftest import querying

    with querying(synthetic) as connection:
        rows = connection.execute(
            "select clause, wording, status, model, tests from marts.dim_protocol_definitions"
        ).fetchall()
    listed = {row[0]: row[1:] for row in rows}
    assert len(listed) == len(rows)
    for clause, seed in clauses().items():
        wording, status, model, tests = listed.pop(clause)
        assert (wording, status) == (seed["wording"], seed["status"])
        assert sorted((model or "").split(", ")) == sorted(models_of(manifest, clause).values() or [""]), clause
        assert tests > 0 or not DEFINITIONS.fullmatch(clause), clause
    with (ROOT / "seeds/protocol/planned_outcomes.csv").open(newline="", encoding="utf-8") as handle:
        planned = {f"{row['clause']}:{row['outcome_id']}": row["label"] for row in csv.DictReader(handle)}
    assert set(listed) == set(planned)
    for clause, (wording, status, model, tests) in listed.items():
        assert planned[clause] in wording and (status, model, tests) == ("planned", None, 0)


def test_planned_outcomes_are_read_by_the_register_alone(manifest: dict[str, Any]) -> None:
    (seed,) = (key for key, node in manifest["nodes"].items() if node["name"] == "planned_outcomes")
    readers = [node["name"] for node in models(manifest).values() if seed in node["depends_on"]["nodes"]]
    assert readers == ["dim_protocol_definitions"]


def test_register_in_the_warehouse_names_the_models(synthetic: Paths) -> None:
    from conftest import querying

    with querying(synthetic) as connection:
        row = connection.execute(
            "select model, tests from marts.dim_protocol_definitions where clause = 'FV.OUT.P'"
        ).fetchone()
    assert row is not None
    assert "int_outcomes__became_looked_after" in row[0]
    assert row[1] > 0


def test_decisions_are_cited_by_ids_that_exist() -> None:
    decisions = set(re.findall(r"^## (D\d+)", (ROOT / "DECISIONS.md").read_text(encoding="utf-8"), re.MULTILINE))
    for path in sources_of((".sql", ".py"), "models", "macros", "python/src", "tests/reference"):
        for cited in re.findall(r"DECISIONS (D\d+)", path.read_text(encoding="utf-8")):
            assert cited in decisions, f"{path.name} cites {cited}"
