"""Where things are on disk. Paths only: facts are seed rows, rules are SQL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def project_root() -> Path:
    """The folder that holds dbt_project.yml: the working directory or one above it."""
    from sfpc.errors import SfpcError

    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise SfpcError(f"run this inside the project: no dbt_project.yml in {here} or above it")


@dataclass(frozen=True)
class Paths:
    """Every place a verb reads or writes, below one data folder and one outputs folder."""

    root: Path
    data: Path
    outputs: Path

    @property
    def extracts(self) -> Path:
        """National extracts as received (or synthesised)."""
        return self.data / "extracts"

    @property
    def landing(self) -> Path:
        """Typed landing tables (Parquet) with their reconciliation and manifest."""
        return self.data / "landing"

    @property
    def cost_survey(self) -> Path:
        """What LAs reported of their costs, where they did (`sfpc costs template`)."""
        return self.data / "cost_survey.csv"

    @property
    def build_db(self) -> Path:
        """The DuckDB file that dbt writes."""
        return self.data / "build.duckdb"

    @property
    def marts_db(self) -> Path:
        """The published DuckDB file: marts only, replaced atomically."""
        return self.data / "warehouse.duckdb"

    @property
    def build_record(self) -> Path:
        """What the build file was made from: seeds, definitions, landing, lineage."""
        return self.data / "build.json"

    @property
    def warehouse_record(self) -> Path:
        """What is published, with hashes, and what it was made from."""
        return self.marts_db.with_suffix(".json")

    @property
    def marts_parquet(self) -> Path:
        """The published marts as Parquet, one file each."""
        return self.data / "marts"

    @property
    def results(self) -> Path:
        """Tidy results of the Python verbs."""
        return self.outputs / "results"

    @property
    def dictionary(self) -> Path:
        """The data dictionary, and dbt's own documentation."""
        return self.outputs / "dictionary"

    @property
    def report(self) -> Path:
        """The report folder."""
        return self.outputs / "report"

    @property
    def truth(self) -> Path:
        """What a synthetic run planted; absent for real data."""
        return self.data / "truth"


def default_paths() -> Paths:
    """Paths below the project, or below SFPC_DATA_DIR and SFPC_OUTPUT_DIR where those are set."""
    root = project_root()
    return Paths(
        root=root,
        data=Path(os.environ.get("SFPC_DATA_DIR", root / "data")).resolve(),
        outputs=Path(os.environ.get("SFPC_OUTPUT_DIR", root / "outputs")).resolve(),
    )
