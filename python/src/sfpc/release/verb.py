"""The verb `sfpc release`: release the last run, check a release, verify what was released."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sfpc.errors import SfpcError
from sfpc.plan import status as plan_status
from sfpc.progress import say, step
from sfpc.provenance.verify import changed_results
from sfpc.release.door import Door, releases, status_of, verify
from sfpc.release.figures import Figure, estimates_figure, rates_figure
from sfpc.release.judge import Judgement, ReleasedTable
from sfpc.release.profiles import DEFAULT_PROFILE, read_profile
from sfpc.release.results import offers_of_run
from sfpc.report.releasable import Declared, declared, documents
from sfpc.settings import Paths


class DamagedError(SfpcError):
    """Something in outputs/release is not what was released."""

    exit_code = 1


def run_release(
    paths: Paths,
    profile_name: str = DEFAULT_PROFILE,
    by: str = "",
    *,
    is_check: bool = False,
    is_verify: bool = False,
    checked: str | None = None,
) -> None:
    """Release what may be released of the last run.

    is_check: judge and say what would be released, write nothing. is_verify: compare every bundle with the ledger.
    checked: id of a draft that `by` has checked. Raises SfpcError in one line; exit code 1 where nothing may be
    released, or where a bundle is not what was released.
    """
    if is_verify:
        _verify(paths)
        return
    profile = read_profile(paths.root, profile_name)
    if checked is not None:
        folder = Door(paths.outputs, profile, {}, by).mark_checked(checked)
        say(f"release {checked} is marked as checked by {by}: {folder}")
        return
    changed = changed_results(paths)
    if changed:
        raise SfpcError(
            f"the results are not those that were estimated: {'; '.join(map(str, changed[:3]))}; run `sfpc estimate`"
            " again before anything leaves"
        )
    with step("what the run offers for release"):
        run = offers_of_run(paths)
    door = Door(paths.outputs, profile, run.data, by)
    if is_check:
        with step("judging it"):
            _say(door.judge(run.offers))
        return
    with step("judging it, and writing what may be released"):
        release = door.release(run.offers, figures_of, partial(documents, known=_declared(paths, door)))
    _say(release.judgement)
    say(f"  {release.folder} (draft); true counts and reasons for the checker: {release.checking}")


def _declared(paths: Paths, door: Door) -> Declared:
    """What the releasable report says beside released tables: rows of the protocol, and what identifies the run."""
    status = plan_status(paths)
    return declared(
        paths.root,
        door.profile,
        door.moment.date(),
        (
            ("Data", "synthetic, with a planted effect" if paths.truth.is_dir() else "real"),
            ("Estimates", "exploratory" if status.is_exploratory else f"planned, locked on {status.locked_on}"),
        ),
        (("Run", str(door.data["run_id"])),),
    )


def figures_of(tables: Mapping[str, ReleasedTable]) -> list[Figure]:
    """Figures of the released tables of a run: effects on the outcome's own scale, and the outcome by arm."""
    found = []
    for key, table in tables.items():
        if key.endswith("__effects"):
            own = [scale for scale in table.frame["scale"] if scale != "odds ratio"]
            if own:
                found.append(estimates_figure(table, "label", f"effect, {own[0]}", own[0]))
        elif key.endswith("__outcome"):
            is_rate = "rate_pct" in table.frame.columns
            found.append(
                rates_figure(
                    table, "children with the outcome, %" if is_rate else "mean", "rate_pct" if is_rate else "mean"
                )
            )
    return found


def _say(judgement: Judgement) -> None:
    cells = sum(len(table.frame) * len(table.numbers) for table in judgement.tables)
    hidden = sum(len(table.hidden) for table in judgement.tables)
    rows = sum(table.withheld for table in judgement.tables)
    say(
        f"  {judgement.profile.name}: {len(judgement.tables)} tables, {hidden:,} of {cells:,} numbers hidden,"
        f" {rows} rows of estimates left out; {judgement.audited:,} cells proven not to be worked out"
    )
    for refusal in judgement.refused:
        say(f"  refused: {refusal.key}: {'; '.join(refusal.reasons)}")


def _verify(paths: Paths) -> None:
    found = verify(paths.outputs)
    held = releases(paths.outputs)
    for release_id in held:
        say(f"  {release_id}: {status_of(paths.outputs, release_id)}")
    if found:
        raise DamagedError("; ".join(found))
    say(f"  {len(held)} releases, each as it was released; the ledger is whole")
