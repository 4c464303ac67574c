"""The sections at the end of the report: data, recovery, protocol, limits, the run."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pandas as pd

from sfpc.report import charts, words
from sfpc.report.inputs import Inputs, Landing
from sfpc.report.sensitivity import is_exposure
from sfpc.report.study import (
    Study,
    confidence,
    is_planned,
    items,
    records,
)
from sfpc.report.tables import Row, Table, number, text
from sfpc.strata import NOT_OBSERVED

# What a clause that is not built yet means for the reader; shown only while the register says so.
_OPEN_CLAUSES = {
    "FV.MATCH.5": "Whether the LAs would have moved in parallel without the programme has not been tested"
    " yet with placebo dates. The estimate rests on that assumption.",
    "FV.MATCH.6": "Local events, such as an inspection or a new practice model in one of the LAs, are not"
    " registered yet. One that falls near go-live would be counted as an effect of the programme.",
    "FV.COV.4": "Characteristics that were not recorded count as a group of their own. Multiple imputation"
    " is not built yet.",
    "FV.SENS.1": "Other definitions of who counts as treated have not been tried yet.",
    "FV.SENS.2": "The estimate is one average over all treated children. It does not show whether the"
    " effect grows or fades with time since go-live.",
    "FV.SENS.3": "LAs went live at different times. Whether that biases the estimate has not been examined yet.",
    "DP.5": "Disclosure control is not applied: the tables hold exact and small numbers. The report must"
    " not leave the project.",
}


# --- 6: data ------------------------------------------------------------------------------------


# Of many LAs, so many are named.
_MOST_PLACES = 5
# How far a clause is built, readable without colour.
MARKS = {"implemented": "●", "partly": "◐"}


def data_quality(inputs: Inputs, held: list[Study]) -> dict[str, Any]:
    """The landing account, and what could not be observed."""
    landing = inputs.landing
    windows = landing.manifest.get("windows", {}) if landing else {}
    periods = [
        f"{words.sentence(words.plain(name.rpartition(':')[2]))}:"
        f" {words.long_date(date.fromisoformat(first))}"
        f" to {words.long_date(date.fromisoformat(last))}"
        for name, (first, last) in sorted(windows.items())
    ]
    said = ""
    if landing is not None:
        account = landing.reconciliation
        raw, landed = int(account["raw"].sum()), int(account["landed"].sum())
        others = int(account.drop(columns=["file", "landing_table", "raw", "landed"]).to_numpy().sum())
        agrees = "every row is accounted for" if raw == landed + others else "the account does not add up"
        said = (
            f"{words.times(account['file'].nunique(), 'file')} held {words.whole(raw)} rows;"
            f" {words.whole(landed)} were used and {words.whole(others)} set aside: {agrees}."
        )
    return {
        "said": said,
        "table": _landing_table(landing) if landing else None,
        "quarantine": _quarantine_table(landing) if landing else None,
        "periods": periods,
        "unseen": _unseen(inputs, held),
    }


def _landing_table(landing: Landing) -> Table:
    account = landing.reconciliation
    reasons = [name for name in account.columns if name not in ("file", "landing_table")]
    rows = []
    for table, group in account.groupby("landing_table", sort=True):
        sums = group[reasons].sum()
        rows.append(
            Row(
                (
                    words.sentence(words.plain(str(table))),
                    words.whole(group["file"].nunique()),
                    *(words.whole(sums[reason]) for reason in reasons),
                )
            )
        )
    total = account[reasons].sum()
    rows.append(
        Row(
            (
                "All",
                words.whole(account["file"].nunique()),
                *(words.whole(total[reason]) for reason in reasons),
            ),
            kind="total",
        )
    )
    headings = {"raw": "Rows received", "landed": "Used"}
    return Table(
        key="landing",
        caption="Rows received and what became of them",
        columns=[
            text("Source"),
            number("Files"),
            *(number(headings.get(reason, words.sentence(words.plain(reason)))) for reason in reasons),
        ],
        rows=rows,
    )


def _quarantine_table(landing: Landing) -> Table | None:
    frame = landing.quarantine
    if frame.empty:
        return None
    counted = frame.groupby(["landing_table", "column_name", "reason"], sort=True, dropna=False).size()
    return Table(
        key="quarantine",
        caption="Rows set aside, by reason",
        columns=[text("Source"), text("Column"), text("Reason"), number("Rows")],
        rows=[
            Row((words.sentence(words.plain(str(table))), str(column), str(reason), words.whole(n)))
            for (table, column, reason), n in items(counted)
        ],
    )


def _unseen(inputs: Inputs, held: list[Study]) -> list[str]:
    """What the data do not show, from the data themselves."""
    about: dict[str, list[str]] = {}
    for study in held:
        found = []
        steps = study.mart("fct_sample_flow")
        uncovered = steps[steps["step"].str.contains("follow-up")]
        if len(uncovered):
            by_la = uncovered.groupby("la_id")["entry_count"].sum()
            most = by_la.sort_values(ascending=False, kind="stable").head(_MOST_PLACES)
            places = words.listed([f"{study.la(la)} ({words.whole(n)})" for la, n in items(most)])
            if len(by_la) > len(most):
                places = f"{words.times(len(by_la), 'LA')}, most in {places}"
            found.append(
                f"For {words.times(int(by_la.sum()), 'child', 'children')} the returns do not cover the whole"
                f" follow-up; they are left out, not counted as 0: {places}."
            )
        counts = study.result("cem_balance").query("level == @NOT_OBSERVED", local_dict={"NOT_OBSERVED": NOT_OBSERVED})
        parts = [
            f"{words.plain(str(row.covariate))} {100 * row.treated_share_before:.1f}% and"
            f" {100 * row.control_share_before:.1f}%"
            for row in records(counts.sort_values("treated_share_before", ascending=False))
        ]
        if parts:
            found.append(f"Not observed, as shares of the treatment and the comparison arm: {'; '.join(parts)}.")
        for line in found:
            about.setdefault(line, []).append(words.lowered(str(study.outcome["label"])))
    said = [f"{line} ({'; '.join(labels)})" if len(held) > 1 else line for line, labels in about.items()]
    outcomes = inputs.marts["dim_outcomes"]
    waiting = [words.lowered(str(label)) for label in outcomes.loc[outcomes["status"] == "planned", "label"]]
    if waiting:
        said.append(f"Outcomes of the protocol that are not estimated yet: {'; '.join(waiting)}.")
    register = inputs.marts["dim_local_authorities"]
    seen = set(inputs.marts["dim_programme_local_authorities"]["la_id"])
    absent = sorted(set(register["la_id"]) - seen)
    if absent:
        said.append(
            f"{words.whole(len(absent))} of the {words.times(len(register), 'LA')} in the register have no"
            " data here"
            " and could not serve for comparison."
        )
    return said


# --- 7: recovery --------------------------------------------------------------------------------


def recovery(inputs: Inputs) -> dict[str, Any] | None:
    """The recovery study: does the method find an effect that was planted?"""
    found = inputs.recovery
    if found is None:
        return None
    models = {
        name: values
        for name, values in dict(found.summary.get("models", found.summary)).items()
        if isinstance(values, dict) and "bias_pp" in values
    }
    runs = found.runs.dropna(subset=["estimate_pp", "truth_pp"])
    rows, said, cells = [], [], []
    for name, values in models.items():
        own = runs[runs["model"] == name]
        bias, error = float(values["bias_pp"]), float(values["monte_carlo_se_pp"])
        is_within = abs(bias) <= 2 * error
        rows.append(
            charts.Errors(
                label=words.sentence(name),
                values=[float(v) for v in own["estimate_pp"] - own["truth_pp"]],
                mean=bias,
                monte_carlo_error=error,
            )
        )
        said.append(
            f"{words.sentence(name)}: over {words.times(int(values['seeds']), 'seed')} the mean estimate is"
            f" {words.decimal(float(values['mean_estimate_pp']))} and the mean truth"
            f" {words.decimal(float(values['mean_truth_pp']))} percentage points; the mean estimate is"
            f" {'within' if is_within else 'outside'} two Monte Carlo standard errors"
            f" ({words.decimal(2 * error)}) of the truth."
            + (
                f" Of the bias, {words.decimal(float(values['mean_no_programme_pp']))} is there without the programme"
                f" and {words.decimal(float(values['weighting_pp']))} comes from what the model makes of an effect"
                " that grows after go-live."
                if "weighting_pp" in values
                else ""
            )
        )
        cells.append(
            Row(
                (
                    words.sentence(name),
                    words.whole(values["seeds"]),
                    words.decimal(float(values["mean_estimate_pp"]), 3),
                    words.decimal(float(values["mean_truth_pp"]), 3),
                    words.decimal(bias, 3),
                    words.decimal(error, 3),
                    words.decimal(float(values.get("mean_no_programme_pp", math.nan)), 3),
                    words.decimal(float(values.get("weighting_pp", math.nan)), 3),
                    f"{words.decimal(float(values['coverage_pct']), 1)}",
                )
            )
        )
    described = "Error of the estimate, a dot per seed. " + " ".join(
        f"{r.label}: mean error {words.decimal(r.mean)} percentage points." for r in rows
    )
    hits = found.summary.get("twin_hits") or []
    return {
        "is_reference": found.is_reference,
        "said": said,
        "chart": charts.both_widths(
            charts.recovery_chart,
            "recovery",
            described,
            rows=rows,
            unit="Estimate less truth, percentage points",
        )
        if rows
        else None,
        "table": Table(
            key="recovery-table",
            caption="Recovery of a planted effect, in percentage points",
            columns=[
                text("Model"),
                number("Seeds"),
                number("Mean estimate"),
                number("Mean truth"),
                number("Bias"),
                number("Monte Carlo standard error"),
                number("Found without the programme"),
                number("Due to weighting"),
                number(f"{confidence(inputs)} interval covers, % of seeds"),
            ],
            rows=cells,
        ),
        "hits": Table(
            key="twin-hits",
            caption="How often the planted twin of an LA is found, by size of LA",
            columns=[
                text("Referrals a quarter"),
                number("Twin is the nearest, %"),
                number("Twin is among the ten nearest, %"),
                text("Note"),
            ],
            rows=[
                Row(
                    (
                        words.whole(size) if (size := hit.get("referrals_per_quarter")) else "no sampling noise",
                        words.decimal(hit.get("share_top_one_pct"), 1),
                        words.decimal(hit.get("share_top_ten_pct"), 1),
                        str(hit.get("note") or words.DASH),
                    )
                )
                for hit in hits
            ],
        )
        if hits
        else None,
    }


# --- 8: protocol, limits, run -------------------------------------------------------------------


def protocol(inputs: Inputs) -> dict[str, Any]:
    """The map of clauses, by topic."""
    frame = inputs.marts["dim_protocol_definitions"]
    order = frame["clause"].map(_clause_order)
    frame = frame.assign(order=order).sort_values("order", kind="stable")
    done = frame["status"] == "implemented"
    tables = []
    for position, topic in enumerate(frame["topic"].drop_duplicates()):
        own = frame[frame["topic"] == topic]
        rows = []
        for row in records(own):
            is_done = row.status == "implemented"
            models = "" if pd.isna(row.model) else str(row.model)
            place = models or (f"in {row.home}" if is_done else words.DASH)
            rows.append(
                Row((str(row.clause), str(row.wording), f"{MARKS.get(str(row.status), '○')} {row.status}", place))
            )
        tables.append(
            Table(
                key=f"protocol-{position}",
                caption=f"{topic}: {int(done[own.index].sum())} of {len(own)} implemented",
                columns=[text("Clause"), text("Wording"), text("Status"), text("Models")],
                rows=rows,
            )
        )
    partly = int((frame["status"] == "partly").sum())
    some = f"; {partly} in part" if partly else ""
    return {
        "said": (
            f"{int(done.sum())} of {words.times(len(frame), 'clause')} are implemented{some}; the others are planned."
        ),
        "tables": tables,
    }


def _clause_order(clause: str) -> tuple[str, int]:
    stem, _, last = clause.partition(":")[0].rpartition(".")
    return (stem, int(last)) if last.isdigit() else (stem, 0 if last == "P" else 100 + int("0" + last[1:]))


def limits(inputs: Inputs, held: list[Study]) -> list[str]:
    """What the report cannot say, in plain words."""
    said = []
    if inputs.is_synthetic:
        said.append(
            "The data are synthetic. The report shows that the method runs and how near it comes to a"
            " planted effect;"
            " it says nothing about the real programme."
        )
    estimated = [study for study in held if int(study.primary["cluster_count"]) > 0]
    if estimated:
        treated = [int(study.primary["treated_cluster_count"]) for study in estimated]
        others = [int(study.primary["cluster_count"]) - n for study, n in zip(estimated, treated, strict=True)]
        said.append(
            f"{'The estimate rests' if len(estimated) == 1 else 'The estimates rest'} on {_span(treated)} treatment and"
            f" {_span(others)} comparison LAs. What happened in one of them weighs heavily, and other LAs may fare"
            " differently."
        )
    for study in held:
        if "imputation" in set(study.result("effects")["model"]):
            said.append(
                "The primary model has one number for the effect. Where an effect grows after go-live, that number is"
                " smaller than the mean effect on the treated children, because first months and early LAs count for"
                " more than their share; the estimate by imputation stands beside it for that reason."
            )
        if study.is_of_care:
            said.append(
                f"‘{study.outcome['label']}’ is about children who became looked after. The programme may change who"
                " these are, so that a difference need not be an effect on the same children."
            )
        if not set(study.result("la_ranking")["decision"].dropna()) - {"automatic rule"}:
            said.append(
                "Comparison LAs were chosen by rule. The protocol asks that a person looks at each pair's"
                " trends and accepts or rejects it."
            )
    said += [
        meaning
        for clause, meaning in _OPEN_CLAUSES.items()
        if is_planned(inputs, clause) and not _is_shown(inputs, held, clause)
    ]
    return list(dict.fromkeys(said))


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return words.whole(low) if low == high else f"{words.whole(low)} to {words.whole(high)}"


def _is_shown(inputs: Inputs, held: list[Study], clause: str) -> bool:
    """Whether the results hold what a clause asks for, whatever the register of clauses says."""
    if clause == "FV.SENS.1":
        return any(
            is_exposure(study, str(name)) for study in held for name in study.result("effects")["specification_id"]
        )
    tables = {"FV.SENS.2": "event_study", "FV.SENS.3": "bacon", "FV.MATCH.5": "parallel_trend_tests",
              "FV.MATCH.6": "shock_tests"}  # fmt: skip
    return clause in tables and len(inputs.results[tables[clause]]) > 0


def about(inputs: Inputs) -> dict[str, Any]:
    """Versions, settings and what identifies the run."""
    versions = inputs.run.get("versions", {})
    settings = inputs.marts["dim_evaluation_settings"]
    manifest = inputs.landing.manifest if inputs.landing else {}
    return {
        "lines": [
            ("Run", str(inputs.run["run_id"])),
            ("Code (SHA-256 of the estimation source)", str(inputs.run.get("code_sha256", words.DASH))),
            ("Versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
            (
                "Walk back",
                "sfpc explain effects.csv:ROW, as the main effects name it; sfpc verify says what changed since",
            ),
            (
                "Extracts",
                f"{len(manifest.get('files', []))} files, hashes in data/landing/manifest.json"
                if manifest
                else "no landing manifest",
            ),
        ],
        "settings": Table(
            key="settings",
            caption="Settings of matching and estimation",
            columns=[text("Meaning"), number("Value"), text("Clause"), text("Name")],
            rows=[
                Row((str(r.meaning), str(r.value), str(r.clause), str(r.setting)))
                for r in records(settings.sort_values("setting"))
            ]
            if {"clause", "meaning"} <= set(settings.columns)
            else [],
        ),
    }
