"""The compiled SQL of the project, run again and again on small landing tables in memory, without dbt.

dbt compiles the project once and makes the seeds' column types (compile_project); after that a warehouse of a few
hundred children takes a second to build (Replay), and a changed model only what hangs on it (Replay.changed).
Every model is a table here, views too: what is compared are rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sfpc.landing.layout import TABLES
from sfpc.settings import Paths
from sfpc.warehouse.build import run_dbt

Row = dict[str, Any]

# A relation of dbt as it stands in compiled SQL: "database"."schema"."name".
RELATION = re.compile(r'"\w+"\."(\w+)"\."(\w+)"')
SOURCE = re.compile(r"read_parquet\('[^']*/(\w+)/\*\.parquet', union_by_name = true\)")
COMMENT = re.compile(r"--[^\n]*")
MUTANT_SCHEMA = "mutant"
# One thread and little memory: the warehouses are tiny, and a mutant that pairs everything with everything must stop.
ENGINE: dict[str, Any] = {"threads": 1, "memory_limit": "2GB", "temp_directory": ""}


@dataclass(frozen=True)
class Model:
    """One model: its compiled SQL with relations as schema.name, and the models and seeds it reads."""

    name: str
    schema: str
    path: str
    parents: tuple[str, ...]
    sql: str

    @property
    def relation(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Project:
    """What replaying needs: models in the order of their building, and the columns and types of the seeds."""

    models: dict[str, Model]
    seed_columns: dict[str, list[tuple[str, str]]]

    def needed(self, marts: Iterable[str]) -> dict[str, Model]:
        """The models that the marts hang on, themselves included, in order."""
        wanted: set[str] = set()
        waiting = list(marts)
        while waiting:
            name = waiting.pop()
            if name in self.models and name not in wanted:
                wanted.add(name)
                waiting += self.models[name].parents
        return {name: model for name, model in self.models.items() if name in wanted}


def compile_project(paths: Paths, target: Path) -> Project:
    """Compile the project with dbt and load its seeds, once.

    paths: a project with a data folder of its own. target: a folder for compiled files.
    """
    run_dbt(paths, "seed", target=target, build_db=target / "seeds.duckdb")
    run_dbt(paths, "compile", target=target, build_db=target / "seeds.duckdb")
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    nodes = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    models: dict[str, Model] = {}

    def add(name: str) -> None:
        if name in models or name not in nodes:
            return
        parents = tuple(p.rsplit(".", 1)[1] for p in nodes[name]["depends_on"]["nodes"])
        for parent in parents:
            add(parent)
        sql = SOURCE.sub(r"landing.\1", RELATION.sub(r"\1.\2", COMMENT.sub("", nodes[name]["compiled_code"])))
        models[name] = Model(name, nodes[name]["schema"], nodes[name]["path"], parents, sql.strip())

    for name in sorted(nodes):
        add(name)
    with duckdb.connect(str(target / "seeds.duckdb"), read_only=True) as seeds:
        columns: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in seeds.execute(
            "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'seeds' "
            "order by table_name, column_index"
        ).fetchall():
            columns.setdefault(table, []).append((column, kind))
    return Project(models, columns)


class Replay:
    """A warehouse in memory: landing tables and seeds as rows, every needed model as a table."""

    def __init__(
        self,
        project: Project,
        seeds: Mapping[str, list[Row]],
        tables: Mapping[str, list[Row]],
        marts: Iterable[str],
    ) -> None:
        self.project, self.marts = project, tuple(marts)
        self.models = project.needed(self.marts)
        self.connection = duckdb.connect(config=ENGINE)
        for schema in {"landing", "seeds", MUTANT_SCHEMA, *(m.schema for m in self.models.values())}:
            self.connection.execute(f"create schema if not exists {schema}")
        for name, columns in project.seed_columns.items():
            self._fill(f"seeds.{name}", columns, seeds[name])
        self.land(tables)

    def land(self, tables: Mapping[str, list[Row]]) -> None:
        """Put rows in the landing tables, instead of those that were there, and build everything again."""
        for name, table in TABLES.items():
            columns = [*((c.name, c.type) for c in table.columns), ("source_file", "varchar"), ("source_row", "bigint")]
            rows = [{**row, "source_row": number} for number, row in enumerate(tables.get(name, []), start=2)]
            self._fill(f"landing.{name}", columns, rows)
        for model in self.models.values():
            self._build(model.relation, model.sql)
        self._sums: dict[str, Any] = {}

    def _fill(self, relation: str, columns: list[tuple[str, str]], rows: list[Row]) -> None:
        typed = ", ".join(f"{name} {kind}" for name, kind in columns)
        self.connection.execute(f"create or replace table {relation} ({typed})")
        if rows:
            lists = ", ".join(f"unnest(?::varchar[])::{kind}" for _, kind in columns)
            values = [[_text(row.get(name)) for row in rows] for name, _ in columns]
            self.connection.execute(f"insert into {relation} select {lists}", values)

    def _build(self, relation: str, sql: str) -> None:
        self.connection.execute(f"create or replace table {relation} as {sql}")

    def _sum(self, relation: str) -> Any:
        """Rows counted and hashed, in any order: equal for equal contents."""
        query = f"select count(*), coalesce(sum(hash(t)::hugeint), 0) from {relation} as t"
        return self.connection.execute(query).fetchone()

    def _is_same(self, name: str, relation: str) -> bool:
        original = self.models[name].relation if name in self.models else f"seeds.{name}"
        if original not in self._sums:
            self._sums[original] = self._sum(original)
        return bool(self._sum(relation) == self._sums[original])

    def changed(self, name: str, sql: str) -> Iterator[str]:
        """Run another text for a model, or for a seed, and what hangs on it; each mart that comes out otherwise.

        Its rows stand in schema mutant until the next call. Raises duckdb.Error where the text does not run.
        """
        if name in self.models:
            self._build(f"{MUTANT_SCHEMA}.{name}", sql)
        else:
            # A seed keeps its types.
            self._build(f"{MUTANT_SCHEMA}.{name}", f"select * from seeds.{name} limit 0")
            self.connection.execute(f"insert into {MUTANT_SCHEMA}.{name} {sql}")
        if self._is_same(name, f"{MUTANT_SCHEMA}.{name}"):
            return
        changed = {name}
        for model in self.models.values():
            if model.name == name or not changed & set(model.parents):
                continue
            self._build(f"{MUTANT_SCHEMA}.{model.name}", _reading(model.sql, self.relations_of(changed)))
            if not self._is_same(model.name, f"{MUTANT_SCHEMA}.{model.name}"):
                changed.add(model.name)
                if model.name in self.marts:
                    yield model.name

    def relations_of(self, names: Iterable[str]) -> dict[str, str]:
        """Where changed models and seeds stand instead of their own place."""
        schemas = {name: self.models[name].schema if name in self.models else "seeds" for name in names}
        return {f"{schema}.{name}": f"{MUTANT_SCHEMA}.{name}" for name, schema in schemas.items()}


def _reading(sql: str, relations: Mapping[str, str]) -> str:
    return re.sub(r"\b(\w+\.\w+)\b", lambda found: relations.get(found[1], found[1]), sql)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
