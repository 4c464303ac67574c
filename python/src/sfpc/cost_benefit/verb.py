"""The verb `sfpc costs template|check` (FV.CBA.1)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sfpc.cost_benefit.survey import PHASES, read_categories, read_la_codes, read_survey, write_template
from sfpc.errors import SfpcError


def prepare_template(path: Path, seeds: Path, la_codes: Sequence[str]) -> list[str]:
    """Write an empty survey with its guide; returns what to tell the analyst.

    la_codes: LAs to prepare rows for; without one, every treatment LA of the programmes.

    Raises SfpcError for a code that the register does not have, and where the survey exists.
    """
    unknown = sorted(set(la_codes) - read_la_codes(seeds))
    if unknown:
        raise SfpcError(f"--la: {', '.join(unknown)}; expected DfE codes of LAs in the register, three digits")
    chosen = list(la_codes) or _treatment_las(seeds)
    guide = write_template(path, read_categories(seeds), chosen)
    return [
        f"  {path}: rows to fill in for {len(chosen)} LAs; add, repeat or leave open what you need",
        f"  {guide}: what each column expects",
    ]


def check_costs(path: Path, seeds: Path) -> list[str]:
    """Check a filled survey; returns what to tell the analyst.

    Raises InputError or CostSurveyError where it cannot be used, naming every cell.
    """
    survey = read_survey(path, read_categories(seeds), read_la_codes(seeds))
    las = {line.la_code for line in survey.lines}
    said = [f"  {path}: {len(survey.lines)} lines of {len(las)} LAs can be used"]
    for phase in PHASES:
        mine = [line for line in survey.lines if line.phase == phase]
        forecast = sum(line.basis == "forecast" for line in mine)
        said.append(f"  {phase}: {len(mine)} lines, {forecast} of them forecast, £{sum(m.amount for m in mine):,.0f}")
    if survey.open_rows:
        said.append(f"  {len(survey.open_rows)} rows are still open and do not count")
    return said


def _treatment_las(seeds: Path) -> list[str]:
    with (seeds / "programmes" / "programme_local_authorities.csv").open(newline="", encoding="utf-8") as handle:
        return sorted({row["la_code"] for row in csv.DictReader(handle) if row["role"] == "treatment"})
