"""The verbs of the command line. Each prints what it did; a problem is one line and exit code 2."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfpc.errors import SfpcError
from sfpc.progress import say, step
from sfpc.release.markers import mark_not_for_release
from sfpc.settings import Paths, default_paths

if TYPE_CHECKING:
    from sfpc.cost_benefit.survey import CostSurvey

DEFAULT_SEED = 20210701


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    os.umask(0o077)
    # Small matrices: threads inside BLAS cost far more than they give. Set before NumPy is imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.verb is None:
        parser.print_help()
        return 0
    try:
        paths = default_paths()
        try:
            options.run(paths, options)
        finally:
            mark_not_for_release(paths.outputs)
    except SfpcError as error:
        print(f"sfpc {options.verb}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A full disk, a folder that may not be read: nothing a traceback would explain.
        place = f"{error.filename}: " if error.filename else ""
        print(f"sfpc {options.verb}: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"sfpc {options.verb}: stopped; nothing half-written was kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sfpc", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", title="verbs", metavar="")

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        child = verbs.add_parser(name, help=text, description=text)
        child.set_defaults(run=run)
        return child

    def synthetic_options(child: argparse.ArgumentParser) -> None:
        child.add_argument("--size", choices=("reduced", "small", "national"), default="small")
        child.add_argument("--seed", type=int, default=DEFAULT_SEED)

    def accept_option(child: argparse.ArgumentParser) -> None:
        child.add_argument(
            "--accept-quarantine",
            action="store_true",
            help="land although more was set aside than the limit allows; the manifest records it",
        )

    child = verb("synthesise", _synthesise, "write synthetic national extracts and their planted truth")
    synthetic_options(child)
    child.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    child = verb("land", _land, "national extracts -> typed landing tables, every row accounted for")
    child.add_argument("--extracts", type=Path, help="folder of the extracts (default: data/extracts)")
    child.add_argument("--published", type=Path, help="folder of published LA tables (default: published in extracts)")
    child.add_argument(
        "--check",
        nargs="?",
        type=Path,
        const=True,
        metavar="DIR",
        help="read every file of DIR (or of --extracts), print the account, write nothing; exit 1 over the limit",
    )
    accept_option(child)
    verb("build", _build, "dbt build, then publish the marts")
    child = verb("decide", _decide, "pre-fill and check the decisions on pairs of LAs; never changes a decision")
    child.add_argument("--check", action="store_true", help="check the file and list stale decisions; write nothing")
    child.add_argument("--file", type=Path, help="the decisions file (default: seeds/protocol/la_match_decisions.csv)")
    verb("estimate", _estimate, "match LAs and children, run the regressions, write outputs/results")
    verb("report", _report, "write outputs/report/index.html from the results")
    child = verb("evaluate", _evaluate, "all of the above, from extracts to report")
    synthetic_options(child)
    child.add_argument("--extracts", type=Path, help="use these extracts instead of synthetic ones")
    child = verb("returns", _returns, "statutory returns (CIN census, SSDA903) -> referrals and care")
    child.add_argument("directory", nargs="?", type=Path, help="folder of returns (default: synthetic ones)")
    child.add_argument("--la", help="DfE code of the LA, for SSDA903 files that lie in no LA's folder")
    child.add_argument("--rows", action="store_true", help="list every row that was set aside")
    child.add_argument(
        "--check", action="store_true", help="print the account of DIRECTORY, write nothing; exit 1 over the limit"
    )
    accept_option(child)
    child = verb(
        "published", _published, "published LA figures -> matching and LA-level differences, one page to share"
    )
    child.add_argument("directory", nargs="?", type=Path, help="folder of published tables (default: a synthetic twin)")
    child = verb("simulation", _simulation, "size, bias, coverage and power of every method where the truth is known")
    child.add_argument("--quick", action="store_true", help="200 studies instead of 2,000, to outputs/simulation")
    child.add_argument("--draws", type=int, help="studies of the reference design (default: 2,000)")
    child.add_argument("--design", action="append", help="only this design (may be repeated)")
    child.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    child.add_argument("--out", type=Path, help="folder of the report (default: docs/simulation)")
    child = verb("recovery", _recovery, "many seeds of a reduced set: is the planted effect recovered?")
    child.add_argument("--seeds", type=int, default=50)
    child.add_argument("--workers", type=int, default=2)
    child = verb("costs", _costs, "the cost survey of LAs: an empty template, or a check of a filled one, cell by cell")
    child.add_argument("action", choices=("template", "check"))
    child.add_argument("file", type=Path, help="the survey (CSV); a template never overwrites one")
    child.add_argument("--la", action="append", default=[], help="DfE code of an LA to prepare rows for; repeatable")
    child = verb("release", _release, "disclosure control: what may leave of the last run -> outputs/release/<id>")
    child.add_argument("--profile", default="srs_strict", help="rules (seeds/governance/disclosure_profiles.csv)")
    child.add_argument("--by", default="", help="who releases, or has checked")
    child.add_argument("--check", action="store_true", help="say what would be released; write nothing")
    child.add_argument("--verify", action="store_true", help="compare every release with the ledger; exit 1 if changed")
    child.add_argument("--mark-checked", metavar="ID", help="mark a draft as checked by --by")
    child = verb("plan", _plan, "the analysis plan: lock it, check it, export it for pre-registration")
    child.add_argument("action", choices=("lock", "check", "export"))
    child.add_argument("--reason", default="", help="why a plan that is locked is locked anew")
    child.add_argument("--to", type=Path, help="folder of the export (default: outputs/plan)")
    child = verb(
        "explain", _explain, "walk a number back: results row -> specification, marts, models, files and hashes"
    )
    child.add_argument("address", help="effects.csv:12 (data row, the header not counted), or a table or mart's name")
    child.add_argument("where", nargs="*", metavar="column=value", help="choose the row by its values instead")
    child.add_argument("--json", action="store_true", help="as JSON on standard output")
    verb("verify", _verify, "compare every file from extracts to report with its recorded hash; exit 1 if one changed")
    child = verb("dictionary", _dictionary, "the data dictionary, worked queries and dbt's documentation")
    child.add_argument("--no-dbt-docs", action="store_true", help="leave out dbt's own documentation (faster)")
    child = verb("shell", _shell, "open the marts and results read-only, with a prompt or -c")
    child.add_argument("-c", "--command", action="append", metavar="SQL", help="run this and end (repeatable)")
    child.add_argument("--csv", action="store_true", help="rows as CSV on standard output")
    child.add_argument("--history", type=Path, help="keep what is typed in this file (default: kept nowhere)")
    child = verb("trace", _trace, "build and test what implements a clause of the protocol, and print it")
    child.add_argument("clause", help="id of the clause, as the register has it")
    child.add_argument("--no-pytest", action="store_true", help="models and their tests only")
    verb("bench", _bench, "speed, as ratios measured in one run")
    verb("bench-landing", _bench_landing, "speed and memory of landing the CIN census, on generated returns")
    child = verb("bench-estimation", _bench_estimation, "speed of estimation, beside other libraries on the same data")
    child.add_argument("--rows", type=int, default=1_000_000, help="made-up children (default: a million)")
    return parser


def _synthesise(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.synthetic.costs import synthetic_cost_survey
    from sfpc.synthetic.extracts import synthesise

    with step(f"synthetic national extracts, size {options.size}, seed {options.seed}"):
        done = synthesise(
            options.size,
            options.seed,
            paths.extracts,
            paths.truth,
            paths.root / "seeds",
            getattr(options, "format", "parquet"),
        )
    lines = synthetic_cost_survey(paths.cost_survey, paths.root / "seeds", options.seed)
    say(f"  {sum(done.rows.values()):,} rows at {done.rows_per_second:,.0f} rows a second in {paths.extracts}")
    say(f"  {lines} lines of costs in {paths.cost_survey}")


def _land(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.landing.account import account_text, landing_settings
    from sfpc.landing.gate import Gate, read_windows
    from sfpc.landing.national import land_national

    check = getattr(options, "check", None)
    source = check if isinstance(check, Path) else options.extracts or paths.extracts
    published = getattr(options, "published", None)
    protocol = paths.root / "seeds" / "protocol"
    windows = read_windows(protocol / "data_windows.csv")
    settings = landing_settings()
    if check is None:
        paths.data.mkdir(parents=True, exist_ok=True)
    gate = Gate(
        paths.landing,
        "national",
        windows,
        base=source,
        settings=settings,
        is_check=check is not None,
        accepts_quarantine=getattr(options, "accept_quarantine", False),
        readable=[published] if published else [],
    )
    with step(f"{'landing' if check is None else 'checking'} {source}"), gate:
        account = land_national(source, gate, published)
        if check is not None:
            print(account_text(account, gate.quarantine(), settings))
            gate.judge()
    if options.extracts and check is None and paths.truth.exists():
        say(f"  these are not the synthetic extracts: removing the planted truth in {paths.truth}")
        shutil.rmtree(paths.truth)
    totals = account.iloc[:, 2:].sum()
    say("  " + ", ".join(f"{str(name).replace('_', ' ')} {value:,}" for name, value in totals.items()))


def _build(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.warehouse.build import build

    build(paths, has_unit_tests=options.verb == "build")


def _decide(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.matching.decide import decide
    from sfpc.matching.decisions import DECISIONS_FILE

    file = options.file or paths.root / "seeds" / DECISIONS_FILE
    for line in decide(paths.marts_db, file, is_check=options.check):
        say(line)


def _estimate(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.evaluation import run
    from sfpc.provenance.results_record import write_results_record
    from sfpc.warehouse.publish import publish_results

    with step("matching and estimation"):
        done = run(paths.marts_db, paths.results, workers=os.cpu_count() or 1, survey=_survey(paths))
    if paths.cost_survey.is_file():
        write_results_record(paths.results, done.run_record, paths.cost_survey)
    with step("results beside the marts"):
        publish_results(paths)


def _survey(paths: Paths) -> CostSurvey | None:
    """What LAs reported of their costs, where a file of it is there."""
    from sfpc.cost_benefit.survey import read_categories, read_la_codes, read_survey

    if not paths.cost_survey.is_file():
        return None
    seeds = paths.root / "seeds"
    return read_survey(paths.cost_survey, read_categories(seeds), read_la_codes(seeds))


def _report(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.provenance.verify import write_report_record
    from sfpc.report.decision import write_evaluation_pages
    from sfpc.report.page import write_report

    with step("report"):
        page = write_report(paths)
        write_report_record(paths)
    say(f"  {page}")
    with step("pages to decide on comparison LAs"):
        page = write_evaluation_pages(paths)
    say(f"  {page}")


def _evaluate(paths: Paths, options: argparse.Namespace) -> None:
    if options.extracts is None:
        _synthesise(paths, options)
    _land(paths, options)
    _build(paths, options)
    _estimate(paths, options)
    _report(paths, options)


def _returns(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.returns import run_returns

    run_returns(
        paths,
        options.directory,
        options.la,
        options.rows,
        is_check=options.check,
        accepts_quarantine=options.accept_quarantine,
    )


def _published(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.published import run_published

    run_published(paths, options.directory)


def _recovery(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.recovery import run_recovery

    run_recovery(paths, options.seeds, options.workers)


def _costs(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.cost_benefit.verb import check_costs, prepare_template

    seeds = paths.root / "seeds"
    lines = prepare_template(options.file, seeds, options.la) if options.action == "template" else None
    for line in lines if lines is not None else check_costs(options.file, seeds):
        say(line)


def _release(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.release.verb import run_release

    run_release(
        paths,
        options.profile,
        options.by,
        is_check=options.check,
        is_verify=options.verify,
        checked=options.mark_checked,
    )


def _plan(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.plan import run_plan

    run_plan(paths, options.action, options.reason, options.to)


def _explain(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.provenance.explain import run_explain

    run_explain(paths, options.address, options.where, is_json=options.json)


def _verify(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.provenance.verify import run_verify

    run_verify(paths)


def _dictionary(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.provenance.dictionary import write_dictionary

    with step("data dictionary"):
        page = write_dictionary(paths, has_dbt_docs=not options.no_dbt_docs)
    say(f"  {page}")


def _shell(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.provenance.shell import run_shell

    run_shell(paths, options.command, is_csv=options.csv, history=options.history)


def _trace(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.trace import run_trace

    run_trace(paths, options.clause, with_pytest=not options.no_pytest)


def _simulation(paths: Paths, options: argparse.Namespace) -> None:
    from dataclasses import replace

    from sfpc.simulation.run import QUICK, Settings, run_simulation

    settings = QUICK if options.quick else Settings()
    if options.draws is not None:
        settings = replace(settings, draws=options.draws)
    folder = options.out or (paths.outputs if options.quick else paths.root / "docs") / "simulation"
    with step("studies whose truth is known"):
        run_simulation(paths, settings, folder, options.workers, options.design or None)
    say(f"  {folder / 'simulation.md'}")


def _bench(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.bench import run_bench

    run_bench(paths)


def _bench_landing(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.bench import run_landing_bench

    run_landing_bench(paths)


def _bench_estimation(paths: Paths, options: argparse.Namespace) -> None:
    from sfpc.bench_estimation import run_estimation_bench

    run_estimation_bench(options.rows)


if __name__ == "__main__":
    sys.exit(main())
