"""Run dbt on the landed tables and publish what it built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sfpc.errors import SfpcError
from sfpc.progress import say, step
from sfpc.provenance.build_record import made_from, write_build_record
from sfpc.settings import Paths
from sfpc.warehouse.publish import publish

QUALITY_VARIABLE = "SFPC_DATA_QUALITY"
"""Severity of the tests of data quality: error (the default) stops a build, warn reports."""


def dbt_environment(
    paths: Paths,
    target: Path | None = None,
    build_db: Path | None = None,
    landing: Path | None = None,
) -> dict[str, str]:
    """Environment in which dbt reads this project's landing tables and writes its build file."""
    environment = dict(os.environ)
    environment |= {
        "DBT_PROFILES_DIR": str(paths.root),
        "SFPC_LANDING_DIR": str(landing or paths.landing),
        "SFPC_BUILD_DB": str(build_db or paths.build_db),
        "SFPC_TEMP_DIR": str(paths.data / "tmp"),
    }
    if target is not None:
        environment |= {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target / "logs")}
    return environment


def run_dbt(
    paths: Paths,
    *arguments: str,
    quiet: bool = True,
    target: Path | None = None,
    build_db: Path | None = None,
    landing: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Run one dbt command in the project folder.

    target: folder for compiled files and logs; build_db: file to build in; landing: folder of the landing
    tables; each where not the usual one. settings: more environment variables.
    Raises SfpcError with dbt's own closing lines when it fails.
    """
    dbt = Path(sys.executable).with_name("dbt")
    (paths.data / "tmp").mkdir(parents=True, exist_ok=True)
    command = [str(dbt), *(["--quiet"] if quiet else []), *arguments]
    done = subprocess.run(
        command,
        cwd=paths.root,
        env=dbt_environment(paths, target, build_db, landing) | dict(settings or {}),
        capture_output=quiet,
        text=True,
        check=False,
    )
    if done.returncode:
        closing = "\n".join((done.stdout or "").strip().splitlines()[-25:]) if quiet else ""
        raise SfpcError(f"dbt {arguments[0]} failed{':' if closing else ''}\n{closing}".rstrip())


def build(
    paths: Paths,
    quiet: bool = True,
    stops_on_quality: bool = True,
    selector: str | None = None,
    has_unit_tests: bool = False,
) -> None:
    """Build every model and test its data, or those of a selector (selectors.yml), then publish the marts.

    stops_on_quality: whether data that break the rules of their own collection by more than is tolerated, or an LA
    that drops out, stop the build; without it they are counted in the marts and nothing else (DECISIONS D37).
    has_unit_tests: whether the definitions are proven on hand-made rows too. They do not depend on the data:
    `dbt build`, `make build` and `make test` do it.

    dbt writes to a fresh file beside the old one, so a failed build leaves the published marts and the
    last good build file as they were, and no row of an earlier landing stays in old blocks.
    """
    workshop = paths.data / "building"
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir(parents=True)
    try:
        given = made_from(paths)
        with step(f"dbt build: models, data tests{' and unit tests' if has_unit_tests else ''}"):
            quality = {} if stops_on_quality else {QUALITY_VARIABLE: "warn"}
            chosen = ["build", *(["--selector", selector] if selector else [])]
            if not has_unit_tests:
                chosen += ["--exclude-resource-type", "unit_test"]
            run_dbt(paths, *chosen, quiet=quiet, build_db=workshop / paths.build_db.name, settings=quality)
        (workshop / paths.build_db.name).replace(paths.build_db)
        write_build_record(paths, given)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    with step("publishing the marts"):
        published = publish(paths)
    say(f"  {len(published)} marts in {paths.marts_db}")
