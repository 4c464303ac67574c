"""What dbt knows of the project, kept small beside the marts: a model, what it is made from, and its clauses.

dbt's own manifest lies in a folder that may go; a number must be walked back without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfpc.errors import SfpcError

MODEL, SEED, SOURCE = "model", "seed", "source"


def manifest_path(root: Path, target: Path | None = None) -> Path:
    """Where dbt left its manifest: in its target folder."""
    # dbt runs in the project folder: a place that is not absolute is meant from there.
    return (target or root / os.environ.get("DBT_TARGET_PATH", "target")) / "manifest.json"


def read_lineage(manifest: Path) -> dict[str, dict[str, Any]]:
    """The models, seeds and sources of dbt's manifest, by name.

    Each has kind, file (below the project), description, grain, clauses, stored_as, needs (names), columns (name to
    data_type and description; of marts) and tests. A source is called as its landing table. Raises SfpcError where
    there is no manifest.
    """
    try:
        held = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SfpcError(f"{manifest}: dbt left no manifest that can be read; run `sfpc build` again") from error
    nodes = {key: node for key, node in held["nodes"].items() if node["resource_type"] in {MODEL, SEED}}
    names = {key: str(node["name"]) for key, node in {**nodes, **held["sources"]}.items()}
    tests: dict[str, list[str]] = {key: [] for key in names}
    for node in held["nodes"].values():
        if node["resource_type"] == "test":
            about = node.get("attached_node")
            for key in [about] if about else node["depends_on"]["nodes"]:
                if key in tests:
                    tests[key].append(_test_label(node))
    for node in held.get("unit_tests", {}).values():
        for key in node["depends_on"]["nodes"]:
            if names.get(key) == node["model"]:
                tests[key].append(f"on hand-made rows: {node['name']}")
    found: dict[str, dict[str, Any]] = {}
    for key, node in {**nodes, **held["sources"]}.items():
        meta = node.get("config", {}).get("meta", {})
        kind = str(node["resource_type"])
        found[names[key]] = {
            "kind": kind,
            "file": str(node["original_file_path"]),
            "description": " ".join(str(node.get("description") or node.get("source_description") or "").split()),
            "grain": str(meta.get("grain", "")),
            "clauses": [str(clause) for clause in meta.get("protocol_ref", [])],
            "stored_as": str(node.get("config", {}).get("materialized", "")),
            "layer": str(node["fqn"][1]) if kind == MODEL else kind,
            "needs": sorted(names[need] for need in node.get("depends_on", {}).get("nodes", []) if need in names),
            "columns": {
                str(column["name"]): {
                    "data_type": str(column.get("data_type") or ""),
                    "description": " ".join(str(column.get("description") or "").split()),
                }
                for column in node.get("columns", {}).values()
                if kind == MODEL and node["fqn"][1] == "marts"
            },
            "tests": sorted([*tests[key], *_keys(node)]),
        }
    return dict(sorted(found.items()))


def upstream(lineage: Mapping[str, Mapping[str, Any]], *names: str) -> dict[str, int]:
    """Everything that the named nodes are made from, with the fewest steps to each; the named ones have 0.

    A name that the lineage does not hold is left out.
    """
    steps = {name: 0 for name in names if name in lineage}
    waiting = list(steps)
    for name in waiting:
        for need in lineage[name]["needs"]:
            if need in lineage and need not in steps:
                steps[need] = steps[name] + 1
                waiting.append(need)
    return steps


def _keys(node: Mapping[str, Any]) -> list[str]:
    """Primary keys of a contract: the database refuses what breaks them, so that they need no test."""
    columns = [
        str(column["name"])
        for column in node.get("columns", {}).values()
        if any(constraint["type"] == "primary_key" for constraint in column.get("constraints") or [])
    ]
    held = [columns] if columns else []
    held += [c["columns"] for c in node.get("constraints") or [] if c["type"] == "primary_key" and c.get("columns")]
    return [f"primary_key({', '.join(names)})" for names in held]


def _test_label(node: Mapping[str, Any]) -> str:
    metadata = node.get("test_metadata") or {}
    if not metadata:
        return str(node["name"])
    arguments = metadata.get("kwargs", {})
    about = node.get("column_name") or ", ".join(
        map(str, arguments.get("columns", arguments.get("combination", [])) or [])
    )
    return f"{metadata['name']}({about})" if about else str(metadata["name"])
