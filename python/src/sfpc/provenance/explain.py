"""`sfpc explain`: a number walked back, from a results row or a mart's column to the bytes of files (DP.8).

Nothing is worked out anew: what is told was recorded by the run (run.json, checksums.json), the build (warehouse.json)
and the landing (manifest.json), and is compared with what lies there now.
"""

from __future__ import annotations

import csv
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import duckdb

from sfpc.errors import SfpcError
from sfpc.plan import status as plan_status
from sfpc.provenance.lineage import MODEL, SEED, SOURCE, upstream
from sfpc.provenance.results_dictionary import MATCHED_CHILDREN, ResultTable, results_dictionary
from sfpc.provenance.results_record import RECORD
from sfpc.provenance.seal import read_record
from sfpc.provenance.verify import Verification, verify
from sfpc.settings import Paths
from sfpc.trace import cited_clauses

_QUOTE = "'"
_SUFFIXES = (".csv", ".parquet")
_WIDTH = 110
# Which column of the matched children holds the weights that a specification names.
_WEIGHTS = {"cem_protocol": "weight_protocol", "cem_ikp": "weight_ikp", "cem_period": "weight_period"}
# What a specification has where it is about the matched children as they are.
_USUAL = {
    "weights": "cem_protocol",
    "matching_window": "default",
    "reading_id": "default",
    "children": "all",
    "treatment": "is_treated",
    "missing_covariates": "as_levels",
}
# Settings of a run that draws hang on.
_RANDOM = ("inference_seed", "bootstrap_draws", "permutation_draws", "imputations")


@dataclass(frozen=True)
class Explanation:
    """A number and everything it came from.

    Attributes
    ----------
    address: what was asked for; table, description, grain: the results table or mart it is in.
    row: 1-based data row of a results table (0: not a row); values: the row's own, as text, empty where null.
    columns: what each of them means.
    specification: the row of dim_specifications; about_specification: how it belongs to the row.
    clauses: clause to wording. plan: where the analysis plan stands.
    children: matched children by arm with the sum of weights; about_children: which these are.
    marts: those that the number is computed from; models: all upstream of them, nearest first; seeds likewise.
    landing: landing tables with rows and files; inputs: files with rows, bytes and SHA-256.
    code, run: versions, settings, seeds, ids and times. changed: what is not as it was recorded; verdict: in words.
    """

    address: str
    table: str
    description: str
    grain: str
    row: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    specification: Mapping[str, str] = field(default_factory=dict)
    about_specification: str = ""
    clauses: Mapping[str, str] = field(default_factory=dict)
    plan: str = ""
    children: Sequence[Mapping[str, Any]] = ()
    about_children: str = ""
    marts: Sequence[Mapping[str, Any]] = ()
    models: Sequence[Mapping[str, Any]] = ()
    seeds: Sequence[Mapping[str, Any]] = ()
    landing: Sequence[Mapping[str, Any]] = ()
    inputs: Sequence[Mapping[str, Any]] = ()
    code: Mapping[str, str] = field(default_factory=dict)
    run: Mapping[str, str] = field(default_factory=dict)
    changed: Sequence[str] = ()
    verdict: str = ""


def explain(paths: Paths, address: str, where: Sequence[str] = ()) -> Explanation:
    """Walk one number back; see `Walker.explain`. Raises SfpcError also where the database is damaged."""
    try:
        with Walker(paths) as walker:
            return walker.explain(address, where)
    except duckdb.Error as error:
        raise SfpcError(f"{paths.marts_db}: cannot be read; `sfpc verify` says what changed") from error


class Walker:
    """Walks numbers of one run back. What many numbers share is read once; files are compared once, when first asked.

    Raises SfpcError where there is no record of what the marts were built from.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.tables = results_dictionary()
        record = read_record(paths.warehouse_record)
        if record is None or record.content.get("build") is None:
            raise SfpcError(f"{paths.warehouse_record}: no record of what the marts were built from; run `sfpc build`")
        self.built = record.content
        if not paths.marts_db.is_file():
            raise SfpcError(f"no marts at {paths.marts_db}: build them first (make build)")
        # A database of its own: a shell may have the same file open with everything else closed to it.
        self._marts = duckdb.connect(":memory:")
        self._marts.execute(f"attach '{str(paths.marts_db).replace(_QUOTE, _QUOTE * 2)}' as published (read_only)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._marts.close()

    def explain(self, address: str, where: Sequence[str] = ()) -> Explanation:
        """Walk a number back.

        address: 'effects.csv:12' (data row 12, the header not counted), 'effects' with where=('programme_id=...', ...),
        a mart, or 'mart.column'. Raises SfpcError for what is not there, naming what is; for a choice that fits no row
        or several, naming the rows.
        """
        name, row, column = _parse(address)
        if name in self.tables:
            if column:
                raise SfpcError(f"{address}: of a results table say the row, as {name}.csv:1")
            return self._of_result(address, self.tables[name], row, where)
        if name in self.built["marts"]:
            if row or where:
                raise SfpcError(
                    f"{address}: of a mart say the column, as {name}.column; rows of children are not shown"
                )
            return self._of_mart(address, name, column)
        raise SfpcError(
            f"no results table or mart '{name}'; results: {', '.join(self.tables)};"
            f" marts: {', '.join(self.built['marts'])}"
        )

    @cached_property
    def verification(self) -> Verification:
        """What changed since, by `sfpc verify`."""
        return verify(self.paths)

    def _of_result(self, address: str, table: ResultTable, row: int, where: Sequence[str]) -> Explanation:
        record = read_record(self.paths.results / RECORD)
        if record is None:
            raise SfpcError(f"no results at {self.paths.results}: run `sfpc estimate` (or `make evaluate`) first")
        number, values = self._row(table, row, where)
        specification, about = self._specification(table, values)
        children, about_children = self._children(values, specification)
        cited = cited_clauses(" ".join((*table.clauses, values.get("clause", ""), specification.get("clause", ""))))
        return Explanation(
            address=address,
            table=table.name,
            description=table.description,
            grain=table.grain,
            row=number,
            values=values,
            columns=table.columns,
            specification=specification,
            about_specification=about,
            clauses=self._wording(cited),
            plan=self._plan,
            children=children,
            about_children=about_children,
            code=_code(self.built, self._run),
            run=_run(self._run, self.built),
            changed=[f"{finding.stage}: {finding}" for finding in self.verification.findings],
            verdict=self.verification.sentence,
            **self._lineage(table.marts, record.content["inputs"]),
        )

    def _of_mart(self, address: str, name: str, column: str) -> Explanation:
        node = self.built["build"]["lineage"][name]
        if column and column not in node["columns"]:
            raise SfpcError(f"{name} has no column '{column}'; it has {', '.join(node['columns'])}")
        return Explanation(
            address=address,
            table=name,
            description=node["description"],
            grain=node["grain"],
            columns={c: held["description"] for c, held in node["columns"].items() if column in ("", c)},
            clauses=self._wording(set(node["clauses"])),
            plan=self._plan,
            code=_code(self.built, {}),
            run=_run({}, self.built),
            changed=[f"{finding.stage}: {finding}" for finding in self.verification.findings],
            verdict=self.verification.sentence,
            **self._lineage((name,), {}),
        )

    @cached_property
    def _run(self) -> Mapping[str, Any]:
        held: Mapping[str, Any] = json.loads((self.paths.results / "run.json").read_text(encoding="utf-8"))
        return held

    @cached_property
    def _plan(self) -> str:
        return plan_status(self.paths).sentence

    @cached_property
    def _register(self) -> Mapping[str, str]:
        place = self.paths.root / "seeds" / "protocol" / "protocol_clauses.csv"
        with place.open(newline="", encoding="utf-8") as handle:
            return {row["clause"]: row["wording"] for row in csv.DictReader(handle)}

    def _wording(self, clauses: set[str]) -> dict[str, str]:
        return {clause: self._register.get(clause, "not in the register") for clause in sorted(clauses)}

    @cached_property
    def _rows(self) -> dict[str, list[dict[str, str]]]:
        """The rows of results tables that were asked for, by table, in the order of the files."""
        return {}

    def _rows_of(self, table: ResultTable) -> list[dict[str, str]]:
        if table.name not in self._rows:
            file = self.paths.results / f"{table.name}.parquet"
            if not file.is_file():
                raise SfpcError(f"no results at {file}: run `sfpc estimate` again")
            columns = ", ".join(f"coalesce(cast(\"{column}\" as varchar), '')" for column in table.columns)
            try:
                with duckdb.connect(":memory:") as connection:
                    held = connection.execute(
                        f"select {columns} from read_parquet(?, file_row_number = true) order by file_row_number",
                        [str(file)],
                    ).fetchall()
            except duckdb.Error as error:
                raise SfpcError(f"{file}: cannot be read; `sfpc verify` says what changed") from error
            self._rows[table.name] = [dict(zip(table.columns, values, strict=True)) for values in held]
        return self._rows[table.name]

    def _row(self, table: ResultTable, row: int, where: Sequence[str]) -> tuple[int, dict[str, str]]:
        """The one row that is meant, with its place. Nothing of a child is shown: matched children are only counted."""
        if table.name == MATCHED_CHILDREN:
            raise SfpcError("matched_children holds children; explain a row of effects, which counts them")
        if bool(row) == bool(where):
            raise SfpcError(f"say one row: {table.name}.csv:ROW, or column=value of {table.name} ({table.grain})")
        wanted = {}
        for choice in where:
            column, sign, value = choice.partition("=")
            if not sign or column not in table.columns:
                raise SfpcError(f"'{choice}': expected column=value with a column of {', '.join(table.columns)}")
            wanted[column] = value
        rows = self._rows_of(table)
        if row > len(rows):
            raise SfpcError(f"{table.name} has no data row {row}; its data rows are 1 to {len(rows)}")
        places = [row] if row else [
            place for place, values in enumerate(rows, start=1) if wanted.items() <= values.items()
        ]  # fmt: skip
        if not places:
            raise SfpcError(f"{table.name} has no row with {', '.join(where)}")
        if len(places) > 1:
            more = f" and {len(places) - 10} more" if len(places) > 10 else ""
            listed = ", ".join(map(str, places[:10]))
            raise SfpcError(f"{len(places)} rows of {table.name} fit: {listed}{more}; there is {table.grain}")
        return places[0], rows[places[0] - 1]

    @cached_property
    def _specifications(self) -> dict[tuple[str, str], dict[str, str]]:
        found = self._marts.execute("select * from published.marts.dim_specifications")
        columns = [column[0] for column in found.description or []]
        rows = [{c: "" if v is None else str(v) for c, v in zip(columns, r, strict=True)} for r in found.fetchall()]
        return {(row["specification_id"], row["outcome_id"]): row for row in rows}

    def _specification(self, table: ResultTable, values: Mapping[str, str]) -> tuple[dict[str, str], str]:
        """The row of dim_specifications that the row is about, or goes with, and which of the two."""
        outcome = values.get("outcome_id", "")
        if not outcome or "dim_specifications" not in table.marts:
            return {}, ""
        name, about = values.get("specification_id", ""), "This row is an estimate of it."
        if not name:
            about = "The primary specification of the outcome, which this row goes with."
            key = (values["programme_id"], outcome, "true")
            effects = self._rows_of(self.tables["effects"])
            name = next(
                (
                    e["specification_id"]
                    for e in effects
                    if (e["programme_id"], e["outcome_id"], e["is_primary"]) == key
                ),
                "",
            )
        if not name:
            return {}, ""
        held = self._specifications.get((name, outcome))
        if held is None:
            return {"specification_id": name}, (
                "No row of dim_specifications: it stands beside the primary one by the baseline rate (FV.EST.4)."
            )
        return held, about

    @cached_property
    def _arms(self) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """Matched children by programme, outcome and column of weights."""
        return {}

    def _children(
        self, values: Mapping[str, str], specification: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], str]:
        """The matched children of the outcome by arm."""
        file = self.paths.results / f"{MATCHED_CHILDREN}.parquet"
        if not values.get("outcome_id") or not file.is_file():
            return [], ""
        weights = values.get("weights") or specification.get("weights") or "cem_protocol"
        column = _WEIGHTS.get(weights, "weight_protocol")
        key = (values["programme_id"], values["outcome_id"], column)
        if key not in self._arms:
            rows = self._marts.execute(
                f"""
                select
                    case when children.is_treated then 'treated'
                        when children.is_treatment_la then 'treatment LA before go-live'
                        else 'comparison LA' end as arm,
                    count(*), count(distinct children.la_id), sum(matched.{column})
                from read_parquet($file) as matched
                inner join published.marts.fct_outcome_values as children using (programme_id, outcome_id, child_id)
                where children.is_default_reading and programme_id = $programme and outcome_id = $outcome
                    and matched.{column} > 0
                group by arm order by arm desc
                """,
                {"file": str(file), "programme": key[0], "outcome": key[1]},
            ).fetchall()
            self._arms[key] = [
                {"arm": str(arm), "children": int(count), "las": int(las), "weight": round(float(weight), 6)}
                for arm, count, las, weight in rows
            ]
        children = self._arms[key]
        total = sum(row["children"] for row in children)
        own = values.get("children_count", "")
        about = f"Matched children of the outcome in its default reading, by {column} (matched_children.parquet)."
        other = " and ".join(
            f"{name} '{specification[name]}'"
            for name, usual in _USUAL.items()
            if specification.get(name, usual) != usual
        )
        if own and (other or int(own) != total):
            why = (
                f"its specification has {other}" if other else "its note or its model says which children it leaves out"
            )
            about += f" The row itself rests on {int(own):,} children where these are {total:,}: {why}."
        return children, about

    @cached_property
    def _lineages(self) -> dict[tuple[str, ...], dict[str, Any]]:
        return {}

    @cached_property
    def _manifest(self) -> Mapping[str, Any]:
        place = self.paths.landing / "manifest.json"
        try:
            held: Mapping[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SfpcError(f"{place}: cannot be read; `sfpc verify` says what changed") from error
        return held

    def _lineage(self, marts: tuple[str, ...], beside: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Marts, models, seeds, landing tables and input files upstream, each with what was recorded of it."""
        if marts in self._lineages:
            return self._lineages[marts]
        build = self.built["build"]
        lineage = build["lineage"]
        steps = upstream(lineage, *marts)
        names = sorted(steps, key=lambda name: (steps[name], name))
        of_kind = {kind: [n for n in names if lineage[n]["kind"] == kind] for kind in (MODEL, SEED, SOURCE)}
        hashes = self._manifest.get("landing", {})
        inputs = [
            {"file": e["file"], "tables": e["kind"], "bytes": e["bytes"], "sha256": e["sha256"]}
            for e in self._manifest["files"]
            if set(e["kind"]) & set(of_kind[SOURCE])
        ]
        # Costs alone rest on a file that is not landed.
        if "dim_unit_costs" in marts:
            inputs += [{"file": name, "tables": [], **entry} for name, entry in beside.items()]
        self._lineages[marts] = {
            "marts": [
                {k: lineage[name][k] for k in ("description", "grain", "clauses")}
                | {"name": name, **{k: self.built["marts"][name][k] for k in ("rows", "content", "sha256")}}
                for name in marts
                if name in lineage and name in self.built["marts"]
            ],
            "models": [
                {k: lineage[name][k] for k in ("layer", "file", "grain", "clauses")}
                | {"name": name, "steps": steps[name]}
                | {"sha256": build["definitions"].get(lineage[name]["file"], {}).get("sha256", "")}
                for name in of_kind[MODEL]
            ],
            "seeds": [
                {"name": name, "file": lineage[name]["file"], **build["seeds"].get(lineage[name]["file"], {})}
                for name in of_kind[SEED]
            ],
            "landing": [
                {
                    "table": name,
                    "rows": self._landed_rows(name),
                    "files": {f: e["sha256"] for f, e in hashes.items() if f.startswith(f"{name}/")},
                }
                for name in of_kind[SOURCE]
            ],
            "inputs": inputs,
        }
        return self._lineages[marts]

    def _landed_rows(self, table: str) -> int | None:
        """Rows of a landing table; None where it cannot be read (the verification says why)."""
        place = str(self.paths.landing / table / "*.parquet")
        try:
            row = self._marts.execute("select count(*) from read_parquet(?, union_by_name = true)", [place]).fetchone()
        except duckdb.Error:
            return None
        return int(row[0]) if row else None


def _parse(address: str) -> tuple[str, int, str]:
    """Name, data row (0: none) and column (empty: none) of an address."""
    text, colon, number = address.strip().rpartition(":")
    if not colon:
        text, number = address.strip(), ""
    if colon and not re.fullmatch(r"[1-9]\d*", number):
        raise SfpcError(f"{address}: '{number}' is no data row; the first row below the header is 1, as effects.csv:1")
    name = Path(text).name
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), int(number or 0), ""
    stem, _, column = name.removeprefix("marts.").removeprefix("results.").partition(".")
    return stem, int(number or 0), column


def _code(built: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, str]:
    told = {"commit of the build": str(built["build"]["git_commit"] or "not in a repository")}
    if run:
        told["estimators (SHA-256)"] = str(run["code_sha256"])
        told["versions"] = ", ".join(f"{name} {value}" for name, value in run["versions"].items())
    return told


def _run(run: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, str]:
    told = {"build": f"{built['build_id']}, built {built['build']['built_at']}"}
    told["landing manifest (SHA-256)"] = str(built["build"]["landing_manifest_sha256"])
    if run:
        told["run"] = f"{run['run_id']}, finished {run['finished_at']}, on build {run['build_id']}"
        told["settings"] = ", ".join(f"{k} {v}" for k, v in run["settings"].items() if k not in _RANDOM)
        told["random numbers"] = ", ".join(f"{k} {run['settings'][k]}" for k in _RANDOM if k in run["settings"])
    return told


def as_json(found: Explanation) -> str:
    """The explanation as JSON."""
    return json.dumps(asdict(found), indent=1)


def as_text(found: Explanation) -> str:
    """The explanation as a page of plain text, from the number back to the files."""
    head = f"{found.table}: {found.description}"
    lines = ["NOT FOR RELEASE", "", *_wrapped(head, ""), *_wrapped(f"Grain: {found.grain}.", "")]
    if found.row:
        place = f"{found.table}.csv, data row {found.row} (line {found.row + 1} of the file, its header counted)"
        lines += ["", f"THE ROW  {place}"]
        width = max(map(len, found.values))
        lines += [
            f"  {name.ljust(width)}  {value or '(empty)'}{'' if not value else f'   [{found.columns[name]}]'}"
            for name, value in found.values.items()
        ]
    else:
        lines += ["", "COLUMNS", *(line for n, d in found.columns.items() for line in _wrapped(f"{n}: {d}"))]
    if found.specification:
        lines += ["", f"THE SPECIFICATION  {found.about_specification}"]
        lines += [f"  {name.ljust(20)}{value}" for name, value in found.specification.items()]
    lines += ["", "THE CLAUSES", *(line for c, w in found.clauses.items() for line in _wrapped(f"{c}: {w}"))]
    lines += ["", "THE PLAN", *_wrapped(found.plan)]
    if found.children:
        lines += ["", "THE CHILDREN", *_wrapped(found.about_children)]
        lines += [
            f"  {row['arm'].ljust(28)}{row['children']:>9,} children, {row['las']:>3} LAs, weights {row['weight']:,.2f}"
            for row in found.children
        ]
    lines += ["", f"THE MARTS  {len(found.marts)} that it is computed from"]
    for mart in found.marts:
        lines += _wrapped(f"{mart['name']} ({mart['rows']:,} rows, {mart['grain']}): {mart['description']}")
    lines += ["", f"THE MODELS  {len(found.models)} of dbt, from the mart back; steps, file and clauses"]
    lines += [f"  {model['steps']}  {model['file']}  {', '.join(model['clauses'])}" for model in found.models]
    lines += ["", f"THE SEEDS  {len(found.seeds)}"]
    lines += [f"  {str(seed.get('sha256', ''))[:12]}  {seed['file']}" for seed in found.seeds]
    lines += ["", f"THE LANDING TABLES  {len(found.landing)}"]
    lines += [
        f"  {t['table'].ljust(24)}{_rows_text(t['rows']):>11} rows in {len(t['files'])} files" for t in found.landing
    ]
    lines += ["", f"THE INPUT FILES  {len(found.inputs)}; bytes and SHA-256"]
    for entry in found.inputs:
        lines += [f"  {entry['file']}", f"    {entry['bytes']:,} bytes  {entry['sha256']}"]
    lines += ["", "THE CODE AND THE RUN"]
    for name, value in {**found.code, **found.run}.items():
        lines += _wrapped(f"{name}: {value}")
    lines += ["", "SINCE THEN", *_wrapped(found.verdict)]
    lines += [line for what in found.changed for line in _wrapped(what)]
    return "\n".join(lines)


def _rows_text(rows: int | None) -> str:
    return "unreadable" if rows is None else f"{rows:,}"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def run_explain(paths: Paths, address: str, where: Sequence[str] = (), is_json: bool = False) -> None:
    """The verb: print the explanation."""
    found = explain(paths, address, where)
    print(as_json(found) if is_json else as_text(found))
