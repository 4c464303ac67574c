"""The verb `sfpc simulation`: every design, with progress, resumed where it was stopped, and its report.

A batch of studies is a file in data/simulation until the report is written; the folder's name tells code, seed and
settings apart, so that a batch is never taken from another run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

import sfpc
from sfpc.errors import SfpcError
from sfpc.estimation.few_clusters import CR3_T, WILD_BOOTSTRAP
from sfpc.estimation.inference import Draws
from sfpc.power.formulas import power_at
from sfpc.power.rollout import Rollout
from sfpc.power.simulation import as_frame, draw_shares, simulate_power
from sfpc.progress import say
from sfpc.settings import Paths
from sfpc.simulation.study import LEVEL, POINTS, STUDY_COLUMNS, SimulatedDesign, read_designs, run_studies
from sfpc.simulation.verdicts import CANARY, PASSES, PRIMARY, SUMMARY_COLUMNS, canaries, summarise

BATCH = 50
# Sizes of the power curve, as proportions: a fall in the share of children.
POWER_AT = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.0228)
TARGET_POWER = 0.80
POWER_COLUMNS = (
    "method",
    "effect",
    "realised_effect",
    "power",
    "monte_carlo_error",
    "replications",
    "formula_power",
    "mean_estimate",
    "sd_estimate",
)
_CODE = ("estimation", "simulation", "power/simulation.py", "power/rollout.py")


@dataclass(frozen=True)
class Settings:
    """How much chance is used.

    Attributes
    ----------
    draws: studies of the reference design under a true null; half as many with an effect, and of every other design
        the share that its row names.
    logit_share: of them also estimated by logit and imputation.
    bootstrap_draws, permutation_draws: within a study, where patterns or assignments are not all used.
    power_draws: studies per point of the power curve.
    seed: of everything.
    """

    draws: int = 2_000
    logit_share: float = 0.5
    bootstrap_draws: int = 999
    permutation_draws: int = 499
    power_draws: int = 2_000
    seed: int = 20210701


QUICK = Settings(draws=200, power_draws=400)


@dataclass(frozen=True)
class _Batch:
    design: SimulatedDesign
    number: int
    effect: float
    settings: Settings

    @property
    def name(self) -> str:
        return f"{self.design.design_id}__{'effect' if self.effect else 'null'}__{self.number:04d}.csv"


def run_simulation(
    paths: Paths, settings: Settings, folder: Path, workers: int = 1, design_ids: list[str] | None = None
) -> pd.DataFrame:
    """Simulate every design, write simulation.csv, power.csv and simulation.md to `folder`, and return the summary.

    Parameters
    ----------
    workers: processes; the numbers do not depend on it. design_ids: only these designs.

    Raises SfpcError for a design that is not in designs.csv, and, after writing, where a canary does not fail.
    """
    designs = [d for d in read_designs() if design_ids is None or d.design_id in design_ids]
    unknown = sorted(set(design_ids or []) - {d.design_id for d in designs})
    if unknown:
        known = ", ".join(d.design_id for d in read_designs())
        raise SfpcError(f"no design '{', '.join(unknown)}' in designs.csv; known are {known}")
    kept = paths.data / "simulation" / _fingerprint(settings)
    kept.mkdir(parents=True, exist_ok=True)
    wanted = [batch for design in designs for batch in _batches(design, settings)]
    waiting = [batch for batch in wanted if not (kept / batch.name).is_file()]
    if len(waiting) < len(wanted):
        say(f"  {len(wanted) - len(waiting)} of {len(wanted)} batches taken from the run that was interrupted")
    started = time.monotonic()
    for done, batch in enumerate(_run(waiting, kept, workers), start=1):
        if done % 10 == 0 or done == len(waiting):
            left = (time.monotonic() - started) / done * (len(waiting) - done)
            say(f"  {done} of {len(waiting)} batches done ({batch.design.design_id}), about {left / 60:.0f} min left")
    parts = []
    for design in designs:
        mine = [batch for batch in wanted if batch.design is design]
        null = pd.concat([_read(kept / b.name) for b in mine if not b.effect], ignore_index=True)
        moved = pd.concat([_read(kept / b.name) for b in mine if b.effect], ignore_index=True)
        parts.append(summarise(design.design_id, null, moved))
    summary = pd.concat(parts, ignore_index=True)[list(SUMMARY_COLUMNS)]
    reference = next((design for design in designs if design.is_reference), None)
    power = power_curve(reference, settings) if reference is not None else pd.DataFrame(columns=list(POWER_COLUMNS))
    _write(folder, summary, power, designs, settings, detectable_by_protocol(paths.root / "seeds"))
    shutil.rmtree(kept, ignore_errors=True)
    if reference is not None:
        silent = [
            f"{method} rejects {100 * size:.1f} % of true nulls, expected more than {100 * limit:.0f} %"
            for method, (size, limit, fails) in canaries(summary[summary["design_id"] == reference.design_id]).items()
            if not fails
        ]
        if silent:
            raise SfpcError(f"a canary did not fail, so the studies prove nothing: {'; '.join(silent)}")
    return summary


def _fingerprint(settings: Settings) -> str:
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    root = Path(sfpc.__file__).parent
    for name in _CODE:
        place = root / name
        for file in sorted([*place.rglob("*.py"), *place.rglob("*.csv")]) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def draws_of(design: SimulatedDesign, settings: Settings) -> tuple[int, int]:
    """Studies of a design under a true null and with an effect, in whole batches."""
    null = BATCH * max(1, round(settings.draws * design.share_of_draws / BATCH))
    return null, BATCH * max(1, round(null / 2 / BATCH))


def _batches(design: SimulatedDesign, settings: Settings) -> list[_Batch]:
    null, moved = draws_of(design, settings)
    return [
        *(_Batch(design, number, 0.0, settings) for number in range(null // BATCH)),
        *(_Batch(design, number, design.effect, settings) for number in range(moved // BATCH)),
    ]


def _do(batch: _Batch, folder: Path) -> None:
    settings = batch.settings
    draws = Draws(settings.bootstrap_draws, settings.permutation_draws, settings.seed)
    logit = round(BATCH * settings.logit_share)
    found = run_studies(batch.design, BATCH, settings.seed, batch.number, batch.effect, draws, logit)
    incoming = folder / f".{batch.name}"
    found[list(STUDY_COLUMNS)].to_csv(incoming, index=False)
    incoming.replace(folder / batch.name)


def _read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file)


def _run(batches: list[_Batch], folder: Path, workers: int) -> Iterator[_Batch]:
    if workers <= 1:
        for batch in batches:
            _do(batch, folder)
            yield batch
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(_do, batch, folder): batch for batch in batches}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]


# --- Power ------------------------------------------------------------------------------------------------------------


def power_curve(design: SimulatedDesign, settings: Settings) -> pd.DataFrame:
    """Power of the design at `POWER_AT`, by CR3 and by the wild cluster bootstrap; columns `POWER_COLUMNS`.

    The LAs of each arm have sizes that lie evenly over the distribution that studies draw from. formula_power is what
    the spread of the estimates without an effect promises with t(G - 1). Effects are proportions.

    Source: FV.POWER.1; `sfpc.power.simulation.simulate_power`.
    """
    plain = design.rollout

    def sizes(count: int) -> NDArray[np.float64]:
        quantiles = stats.norm.ppf((np.arange(count) + 0.5) / count)
        return np.asarray(design.children_per_quarter * np.exp(design.size_log_sd * quantiles), dtype=np.float64)

    per_la = np.concatenate([sizes(design.treated_las), sizes(design.comparison_las)])
    rollout = Rollout(
        plain.la_ids, plain.periods, plain.treated, np.repeat(per_la[:, None], len(plain.periods), axis=1)
    )
    shares = draw_shares(rollout, design.baseline, design.icc, design.movements, settings.power_draws, settings.seed)
    found = as_frame(
        simulate_power(
            rollout,
            shares,
            [-size for size in POWER_AT],
            LEVEL,
            settings.seed + 1,
            bootstrap_replications=settings.power_draws,
            bootstrap_draws=settings.bootstrap_draws,
        )
    )
    error = float(found.loc[found["effect"] == 0, "sd_estimate"].iloc[0])
    freedom = float(len(per_la) - 1)
    found["formula_power"] = [power_at(size, error, freedom, LEVEL) for size in found["realised_effect"]]
    return found[list(POWER_COLUMNS)]


def detectable(power: pd.DataFrame, method: str) -> float:
    """The smallest effect (a proportion, above 0) found with a power of 80 %, between points; NaN beyond them."""
    mine = power[power["method"] == method]
    size, share = mine["realised_effect"].abs().to_numpy(), mine["power"].to_numpy()
    above = np.flatnonzero(share >= TARGET_POWER)
    if not len(above) or above[0] == 0:
        return float("nan")
    last = int(above[0])
    part = (TARGET_POWER - share[last - 1]) / (share[last] - share[last - 1])
    return float(size[last - 1] + part * (size[last] - size[last - 1]))


def detectable_by_protocol(seeds: Path) -> float:
    """The effect (a proportion) that the protocol's table calls detectable (FV.POWER.1)."""
    rows = pd.read_csv(seeds / "economics" / "power_assumptions.csv")
    stated = rows.loc[rows["assumption"] == "mdes_share", "value"]
    return float(stated.iloc[0]) if len(stated) else float("nan")


# --- The report -------------------------------------------------------------------------------------------------------


def _write(
    folder: Path,
    summary: pd.DataFrame,
    power: pd.DataFrame,
    designs: list[SimulatedDesign],
    settings: Settings,
    stated: float,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("simulation.csv", summary.assign(seed=settings.seed).to_csv(index=False, float_format="%.6g")),
        ("power.csv", power.assign(seed=settings.seed).to_csv(index=False, float_format="%.6g")),
        ("simulation.md", report_text(summary, power, designs, settings, stated)),
    ):
        incoming = folder / f".{name}.incoming"
        incoming.write_text(text, encoding="utf-8")
        incoming.replace(folder / name)


def report_text(
    summary: pd.DataFrame, power: pd.DataFrame, designs: list[SimulatedDesign], settings: Settings, stated: float
) -> str:
    """The report as Markdown; effects in percentage points, shares in per cent."""
    lines = [
        "# What every method does with studies whose truth is known",
        "",
        "Written by `make simulation`; do not edit. Clauses FV.EST.2, FV.EST.3, FV.EST.5, FV.POWER.1. Modules"
        " `sfpc.simulation`;",
        "the designs are rows of `python/src/sfpc/simulation/designs.csv`, the process is that of"
        " `sfpc.power.simulation`, the methods are",
        "those that the evaluation runs (`of_linear`, `of_logit`). Numbers: [simulation.csv](simulation.csv),"
        " [power.csv](power.csv).",
        "",
        f"Seed {settings.seed}; bootstrap draws {settings.bootstrap_draws:,} where sign patterns are not all used"
        f" (more than 15 LAs), permutations {settings.permutation_draws:,};",
        f"logit and imputation on {settings.logit_share:.0%} of the studies.",
        "",
        "**passes** means: 3.5 to 6.5 % of true nulls rejected at 5 %, 93 to 97 % of 95 % intervals hold the realised"
        " effect, bias within three",
        "Monte-Carlo errors of it (methods E); with fewer than 2,000 studies the bands widen to three Monte-Carlo"
        " errors. A method that fails is",
        "labelled with what fails. The realised effect is the mean over treated children of what the programme added,"
        " after clipping at 0.",
        "",
    ]
    for design in designs:
        rows = summary[summary["design_id"] == design.design_id]
        lines += [
            f"## {design.label[0].upper()}{design.label[1:]}",
            "",
            f"`{design.design_id}`: {design.why}. {rows['null_draws'].max():,} studies without an effect,"
            f" {rows['effect_draws'].max():,} with one of {_effect(design)}.",
            "",
            "| model | method | role | true nulls rejected | bias | 95 % interval covers | power | verdict |",
            "|---|---|---|---|---|---|---|---|",
        ]
        order = rows.assign(_canary=rows["role"] == CANARY, _other=rows["role"] != PRIMARY)
        by = {"_canary": True, "model": False, "_other": True, "inference_method": True}
        order = order.sort_values(list(by), ascending=list(by.values()))
        lines += [_row(row) for row in order.to_dict("records")]
        lines.append("")
    reference = next((design for design in designs if design.is_reference), None)
    if reference is None:
        return "\n".join(lines)
    rows = summary[summary["design_id"] == reference.design_id]
    why = "They must fail, or the studies are too easy to tell a good method from a bad one."
    lines += ["## The canaries", "", why, ""]
    for method, (size, limit, fails) in canaries(rows).items():
        said = "as it must" if fails else "**it does not fail: the studies prove nothing**"
        lines.append(f"* {method}: {_pct(size)} of true nulls rejected, expected more than {_pct(limit, 0)}: {said}.")
    lines += ["", "## Power", "", *_power_lines(reference, power, stated), ""]
    return "\n".join(lines)


def _effect(design: SimulatedDesign) -> str:
    size = f"{100 * design.effect:+.1f} points" if design.effect_scale == POINTS else f"{design.effect:+.2f} log odds"
    steps = design.quarters_to_full_effect
    return size if steps == 1 else f"{size}, reached after {steps} quarters"


def _row(row: Mapping[Hashable, Any]) -> str:
    null = f"{_pct(row['size'])} ± {100 * row['size_error']:.1f}" if np.isfinite(row["size"]) else "–"
    covers = f"{_pct(row['coverage'])} ± {100 * row['coverage_error']:.1f}" if np.isfinite(row["coverage"]) else "–"
    bias = f"{100 * row['bias']:+.3f} ± {100 * row['bias_error']:.3f}" if np.isfinite(row["bias"]) else "–"
    verdict = f"**{row['verdict']}**" if row["verdict"] == PASSES else row["verdict"]
    power = _pct(row["power"], 0) if np.isfinite(row["power"]) else "–"
    cells = (row["model"], row["inference_method"], row["role"], null, bias, covers, power, verdict)
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _power_lines(design: SimulatedDesign, power: pd.DataFrame, stated: float) -> list[str]:
    lines = [
        f"`{design.design_id}`, by size of a fall in the share of children. The formula is what the spread of the"
        " estimates promises with t(G − 1).",
        "",
        "| points | " + " | ".join((CR3_T, WILD_BOOTSTRAP, "formula")) + " |",
        "|---|---|---|---|",
    ]
    for effect in power["effect"].drop_duplicates():
        rows = power[power["effect"] == effect].set_index("method")
        cells = [
            f"{_pct(rows.loc[m, 'power'], 0)} ± {100 * rows.loc[m, 'monte_carlo_error']:.0f}"
            for m in (CR3_T, WILD_BOOTSTRAP)
        ]
        lines.append(f"| {abs(100 * effect):.2f} | {' | '.join(cells)} | {_pct(rows.loc[CR3_T, 'formula_power'], 0)} |")
    found = 100 * detectable(power, WILD_BOOTSTRAP)
    lines += [
        "",
        f"Detectable with a power of 80 %: {found:.2f} points by the wild cluster bootstrap,"
        f" {100 * detectable(power, CR3_T):.2f} by CR3; the protocol's table states {100 * stated:.1f}.",
    ]
    return lines


def _pct(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


__all__ = ["QUICK", "Settings", "detectable", "power_curve", "report_text", "run_simulation"]
