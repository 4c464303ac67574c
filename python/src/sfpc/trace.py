"""What implements a clause: its wording and readings, the models that cite it, and their tests with results.

A model cites a clause in meta.protocol_ref, a test in its text, a seed row in its column clause, a decision in its
heading. `trace` builds the models and what they need in a file of its own, beside the warehouse, and runs the tests.
"""

from __future__ import annotations

import ast
import csv
import difflib
import json
import re
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfpc.errors import SfpcError
from sfpc.progress import say, step
from sfpc.settings import Paths
from sfpc.warehouse.build import run_dbt

CLAUSE = re.compile(r"\b(?:FV\.[A-Z]+\.(?:[A-Z]?\d+|P)|DP\.\d+)\b")
_RANGE = re.compile(r"((?:FV\.[A-Z]+|DP)\.)(\d+) (?:to|-) (?:\1|\.)?(\d+)")
_LIST = re.compile(r"((?:FV\.[A-Z]+)\.)\d+((?:, | and |,? ?\.)\.?\d+)+")
_WIDTH = 110
_MOST_ROWS = 8


def cited_clauses(text: str) -> set[str]:
    """Clause ids in a text; a range (number to .number) and a list (number, .number) count as what they say."""
    found = set(CLAUSE.findall(text))
    for match in _RANGE.finditer(text):
        prefix, first, last = match.group(1), int(match.group(2)), int(match.group(3))
        found |= {f"{prefix}{number}" for number in range(first, last + 1)}
    for match in _LIST.finditer(text):
        found |= {f"{match.group(1)}{number}" for number in re.findall(r"\.(\d+)", match.group(0))}
    return found


@dataclass(frozen=True)
class Result:
    """A test that answers for a clause. kind: data test, unit test or pytest; where: the model or file it is about."""

    kind: str
    name: str
    where: str
    status: str

    @property
    def is_bad(self) -> bool:
        """Whether it failed or could not be run."""
        return self.status not in {"pass", "warn"}


@dataclass
class Trace:
    """A clause, what implements it, and how its tests went.

    readings: rows of the seeds and decisions that cite it, one sentence each. models: name to state (built, or why
    not). modules: Python files that cite it.
    """

    clause: str
    wording: str
    status: str
    home: str
    readings: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    tests: list[Result] = field(default_factory=list)

    @property
    def bad(self) -> list[Result]:
        """The tests that did not pass."""
        return [test for test in self.tests if test.is_bad]


def trace(paths: Paths, clause: str, with_pytest: bool = True) -> Trace:
    """Build and test what implements a clause, on the existing landing.

    with_pytest: whether the pytest tests that cite it run too (they make extracts of their own and take longer).
    Raises SfpcError for a clause that is not in the register, naming the nearest ones, and where dbt cannot build.
    """
    row = registered(paths.root, clause)
    found = Trace(row["clause"], row["wording"], row["status"], row["home"], readings_of(paths.root, row["clause"]))
    found.modules = modules_of(paths.root, found.clause)
    workshop = paths.data / "trace"
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir(parents=True)
    try:
        with step(f"models that cite {found.clause}, with what they need, and their tests"):
            _run_models(paths, workshop, found)
        if with_pytest:
            chosen = pytests_by_clause(paths.root).get(found.clause, [])
            if chosen:
                with step(f"{len(chosen)} pytest tests that cite {found.clause}"):
                    found.tests += run_pytest(paths.root, chosen, workshop)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return found


def registered(root: Path, clause: str) -> dict[str, str]:
    """The row of the register (seeds/protocol/protocol_clauses.csv) of a clause, in whatever case it is written."""
    with (root / "seeds/protocol/protocol_clauses.csv").open(newline="", encoding="utf-8") as handle:
        register = {row["clause"]: row for row in csv.DictReader(handle)}
    wanted = clause.strip().upper()
    if wanted in register:
        return register[wanted]
    family = [known for known in register if wanted and known.startswith(wanted.rstrip(".") + ".")]
    nearest = family or difflib.get_close_matches(wanted, register, n=5, cutoff=0.5)
    hint = f"the nearest are {', '.join(nearest)}" if nearest else "nothing in it is near"
    raise SfpcError(f"no clause '{clause}' in the register (seeds/protocol/protocol_clauses.csv); {hint}")


def readings_of(root: Path, clause: str) -> list[str]:
    """How the clause is read: the rows of the seeds that cite it (the first of each), and the decisions that do."""
    said = []
    for path in sorted((root / "seeds").rglob("*.csv")):
        if path.stem == "protocol_clauses":
            continue
        rows = []
        with path.open(newline="", encoding="utf-8") as handle:
            for number, row in enumerate(csv.DictReader(handle), start=2):
                if clause in (row.get("clause") or "").split(";"):
                    named = [f"{k} {v}" for k, v in row.items() if v and k not in {"clause", "source"}]
                    rows.append(f"{path.name} row {number}: {', '.join(named)}")
        said += rows[:_MOST_ROWS]
        if len(rows) > _MOST_ROWS:
            said.append(f"{path.name}: {len(rows) - _MOST_ROWS} more rows")
    decisions = (root / "DECISIONS.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (D\d+ .*)$", decisions, re.MULTILINE)
    return said + [f"DECISIONS {heading}" for heading in headings if clause in cited_clauses(heading)]


def modules_of(root: Path, clause: str) -> list[str]:
    """Python modules that cite a clause, as paths below the project."""
    modules = sorted((root / "python/src").rglob("*.py"))
    return [
        str(path.relative_to(root)) for path in modules if clause in cited_clauses(path.read_text(encoding="utf-8"))
    ]


def models_of(manifest: dict[str, Any], clause: str) -> dict[str, str]:
    """Names of the models whose meta.protocol_ref cites a clause, by node id."""
    return {
        key: str(node["name"])
        for key, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and clause in node["config"]["meta"].get("protocol_ref", [])
    }


def pytests_by_clause(root: Path) -> dict[str, list[str]]:
    """Node ids of the pytest tests whose text or name cites a clause, by clause; each file is read once."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            for clause in cited_clauses("\n".join(lines[node.lineno - 1 : node.end_lineno])):
                found.setdefault(clause, []).append(f"{path.relative_to(root)}::{node.name}")
    return found


def run_pytest(root: Path, node_ids: Iterable[str], workshop: Path) -> list[Result]:
    """Run pytest tests in a process of their own; a Result each, parameters of one test apart."""
    account = workshop / "pytest.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={account}", *node_ids]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1} or not account.is_file():
        closing = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise SfpcError(f"pytest did not run:\n{closing}")
    results = []
    for test in ET.parse(account).getroot().iter("testcase"):
        failed = test.find("failure") is not None or test.find("error") is not None
        where = (test.get("classname") or "").replace(".", "/") + ".py"
        results.append(Result("pytest", test.get("name") or "", where, "fail" if failed else "pass"))
    return results


def _run_models(paths: Paths, workshop: Path, found: Trace) -> None:
    target, build_db = workshop / "target", workshop / "build.duckdb"
    run_dbt(paths, "parse", target=target, build_db=build_db)
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    models = models_of(manifest, found.clause)
    if not models:
        return
    names = sorted(models.values())
    # Two steps, so that the tests of what the models only need do not run: they answer for other clauses.
    needed = [f"+{name}" for name in names]
    tests = ("resource_type:test", "resource_type:unit_test")
    run_dbt(paths, "build", "--select", *needed, "--exclude", *tests, target=target, build_db=build_db)
    found.models = {name: "built" for name in names}
    (target / "run_results.json").unlink()
    try:
        selected = ("--select", *names, "--indirect-selection", "buildable")
        run_dbt(paths, "test", *selected, target=target, build_db=build_db)
    except SfpcError:
        # Which tests failed, and why, is in the results.
        if not (target / "run_results.json").is_file():
            raise
    outcome = json.loads((target / "run_results.json").read_text(encoding="utf-8"))
    nodes = {**manifest["nodes"], **manifest["unit_tests"]}
    for result in outcome["results"]:
        node = nodes.get(result["unique_id"])
        if node is not None and node["resource_type"] in {"test", "unit_test"}:
            found.tests.append(_result_of(node, str(result["status"]), models))


def _result_of(node: dict[str, Any], status: str, models: dict[str, str]) -> Result:
    parents = sorted({models[key] for key in node["depends_on"]["nodes"] if key in models})
    if node["resource_type"] == "unit_test":
        return Result("unit test", str(node["name"]), str(node["model"]), status)
    metadata = node.get("test_metadata") or {}
    column = node.get("column_name")
    name = f"{metadata['name']}({column})" if metadata and column else str(metadata.get("name") or node["name"])
    return Result("data test", name, ", ".join(parents), status)


def as_text(found: Trace) -> str:
    """The trace as a page of plain text."""
    home = f" in {found.home}" if found.home else ""
    lines = [f"{found.clause}: {found.status}{home}", *_wrapped(found.wording)]
    lines += _section("Readings: rows and decisions that cite it", found.readings)
    lines += _section("Models that cite it", [f"{name}  ({state})" for name, state in found.models.items()])
    lines += _section("Python modules that cite it", found.modules)
    rows = [(test.status.upper(), test.kind, test.where, test.name) for test in found.tests]
    lines += ["", "Tests"]
    if rows:
        rows.sort(key=lambda row: (row[0] == "PASS", row[1], row[2], row[3]))
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        lines += ["  " + "  ".join([*(row[p].ljust(widths[p]) for p in range(3)), row[3]]) for row in rows]
    else:
        lines.append("  none ran")
    passed = len(found.tests) - len(found.bad)
    lines += ["", f"{passed} of {len(found.tests)} tests passed."]
    return "\n".join(lines)


def _section(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return ["", title, "  none"]
    return ["", title, *(line for entry in entries for line in _wrapped(entry, "    "))]


def _wrapped(text: str, hanging: str = "  ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent=hanging)


def run_trace(paths: Paths, clause: str, with_pytest: bool = True) -> None:
    """The verb: print the trace; raises SfpcError when a test did not pass."""
    found = trace(paths, clause, with_pytest)
    say("")
    print(as_text(found))
    if found.bad:
        raise SfpcError(f"{len(found.bad)} of {len(found.tests)} tests of {found.clause} did not pass")
