"""Data quality in the report: what was delivered, how it was recorded, what the returns get wrong."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sfpc.report import charts, words
from sfpc.report.inputs import Inputs
from sfpc.report.study import as_day, items, records
from sfpc.report.tables import Row, Table, number, text

_SOURCES = {
    "cin": "Children in need",
    "cla": "Looked after",
    "spring_census": "Spring census",
    "absence": "Absence",
    "la_statistics": "LA statistics",
}
# Over a block of narrow columns there is room for a short word.
_HEADINGS = {"cin": "In need"}
_COLLECTIONS = {"CIN": "Children in need", "SSDA903": "Looked after"}
# Charts of every LA stay readable up to here; beyond it they show the LAs of the analysis and those with a finding.
_MOST_ROWS = 30
_MOST_PANELS = 24
# Fields with less than this missing in every LA are named in a sentence, not drawn.
_WORTH_DRAWING_PCT = 1.0


def section(inputs: Inputs) -> dict[str, Any] | None:
    """The parts of the section, each with words, perhaps a chart, and tables; none where the marts lack them.

    A part holds ``title``, ``said``, ``figure``, ``chart`` (its markup), ``caption``, ``chart_note``, ``tables``,
    ``hidden`` and ``summary``.
    """
    if "fct_source_coverage" not in inputs.quality:
        return None
    parts = [_coverage(inputs), _recording(inputs), _missing(inputs), _rules(inputs), _codes(inputs), _months(inputs)]
    return {"parts": [part for part in parts if part is not None]}


def _part(title: str, said: list[str], **given: Any) -> dict[str, Any]:
    figure = given.pop("figure", None)
    given["chart"] = figure.svg() if figure is not None else ""
    blank = {"figure": figure, "caption": "", "chart_note": "", "tables": [], "hidden": [], "summary": ""}
    return {**blank, **given, "title": title, "said": said}


def _names(inputs: Inputs) -> dict[str, str]:
    frame = inputs.marts["dim_local_authorities"]
    return {str(la): str(name) for la, name in zip(frame["la_id"], frame["la_name"], strict=True)}


def _short(name: str) -> str:
    first, *later = name.split(" / ")
    return f"{first} (area)" if later else first


def _members(inputs: Inputs) -> list[str]:
    """Treatment LAs of the runs and their accepted comparators, treatment first."""
    pairs = inputs.results["matched_pairs"]
    accepted = pairs[pairs["status"] == "accepted"]
    ids = [*pairs["treatment_la_id"], *accepted["candidate_la_id"].dropna()]
    return list(dict.fromkeys(str(la) for la in ids))


def _chosen(inputs: Inputs, all_ids: list[str], found: list[str], most: int) -> list[str]:
    """All LAs where they fit, else those with a finding and those of the analysis; by name."""
    names = _names(inputs)
    ids = all_ids
    if len(ids) > most:
        wanted = list(dict.fromkeys([*found, *_members(inputs)]))
        ids = [la for la in wanted if la in set(all_ids)][:most]
    return sorted(ids, key=lambda la: names.get(la, la))


# --- what was delivered -------------------------------------------------------------------------


def _coverage(inputs: Inputs) -> dict[str, Any]:
    frame = inputs.quality["fct_source_coverage"]
    names = _names(inputs)
    sources = [source for source in _SOURCES if source in set(frame["source"])]
    years = sorted(int(year) for year in frame["return_year"].unique())
    states = _states(frame)
    amiss = [la for (la, _, _), state in states.items() if state in ("known", "lost")]
    everyone = sorted({la for la, _, _ in states})
    shown = _chosen(inputs, everyone, amiss, _MOST_ROWS)
    rows = [
        charts.CoverageRow(
            label=_short(names.get(la, la)),
            states=[[states.get((la, source, year), "none") for year in years] for source in sources],
        )
        for la in shown
    ]
    gaps = frame[frame["is_expected"].astype(bool) & ~frame["is_present"].astype(bool)]
    lost = gaps[gaps["is_dropped_out"].astype(bool) & gaps["known_missing_reason"].isna()]
    collapsed = frame[frame["is_join_collapsed"].astype(bool)]
    said = [
        f"{words.times(len(everyone), 'LA')} delivered something. "
        + (
            f"{words.times(len(gaps), 'return')} that the register of LAs would expect"
            f" {'is' if len(gaps) == 1 else 'are'} missing"
            + ("." if len(lost) else ", and none of them is unexplained.")
            if len(gaps)
            else "Every return that the register of LAs would expect is here."
        ),
    ]
    if len(lost):
        where = [
            f"{names.get(str(r.la_id), r.la_code)}, {_SOURCES[str(r.source)].lower()} {r.return_year}"
            for r in records(lost)
        ]
        said.append(f"Missing without a known reason: {'; '.join(where)}.")
    if len(collapsed):
        where = [
            f"{names.get(str(r.la_id), r.la_code)}, {_SOURCES[str(r.source)].lower()} {r.return_year}"
            f" ({r.joined_pct:.0f}% against {r.other_years_joined_pct:.0f}% in other years)"
            for r in records(collapsed)
        ]
        said.append(f"Far fewer children than in other years could be joined to another source: {'; '.join(where)}.")
    described = f"Matrix of LAs by year for {words.listed([_SOURCES[s].lower() for s in sources])}. " + " ".join(said)
    return _part(
        "What was delivered",
        said,
        figure=charts.both_widths(
            charts.coverage_chart,
            "coverage",
            described,
            rows=rows,
            years=years,
            blocks=[_HEADINGS.get(source, _SOURCES[source]) for source in sources],
        )
        if rows
        else None,
        caption="Returns by LA and year in which they end",
        chart_note="School data count as delivered where pupils of the LA were found in them."
        + ("" if len(shown) == len(everyone) else " Shown are LAs of the analysis and those with a gap."),
        hidden=[_gap_table(gaps, names)] if len(gaps) else [],
        tables=[_join_table(frame, sources)],
        summary="Every missing return",
    )


def _states(frame: pd.DataFrame) -> dict[tuple[str, str, int], str]:
    """Per LA, source and year: lost (missing or joined badly without a known reason), known, here or none."""
    is_missing = frame["is_expected"].astype(bool) & ~frame["is_present"].astype(bool)
    is_unexplained = is_missing & frame["is_dropped_out"].astype(bool) & frame["known_missing_reason"].isna()
    flags = frame[["la_id", "source", "return_year"]].assign(
        lost=frame["is_join_collapsed"].astype(bool) | is_unexplained,
        known=is_missing,
        here=frame["is_present"].astype(bool),
    )
    found = flags.groupby(["la_id", "source", "return_year"], sort=True)[["lost", "known", "here"]].any().reset_index()
    return {
        (str(r.la_id), str(r.source), int(r.return_year)): (
            "lost" if r.lost else "known" if r.known else "here" if r.here else "none"
        )
        for r in records(found)
    }


def _join_table(frame: pd.DataFrame, sources: list[str]) -> Table:
    what = {
        "cla": "Looked-after children with a children-in-need record",
        "spring_census": "Linked children of school age found in the spring census",
        "absence": "Linked children of school age found in the absence file",
    }
    rows = []
    for source in ("cin", "cla"):
        own = frame[frame["source"] == source]
        codes, linked = own["child_count"].sum(), own["pupil_linked_count"].sum()
        rows.append((f"{_SOURCES[source]}: children with a pupil reference", codes, linked, own["pupil_linked_pct"]))
    for source in (s for s in sources if s in what):
        own = frame[frame["source"] == source]
        rows.append((what[source], own["base_count"].sum(), own["joined_count"].sum(), own["joined_pct"]))
    return Table(
        key="joins",
        caption="How well the sources join, over all LAs and years",
        columns=[text("Join"), number("Children and years"), number("Found, %"), number("Lowest LA and year, %")],
        rows=[
            Row((label, words.whole(base), words.decimal(100 * found / base if base else None, 1), _lowest(shares)))
            for label, base, found, shares in rows
        ],
    )


def _lowest(shares: pd.Series) -> str:
    known = shares.dropna()
    return words.decimal(float(known.min()), 1) if len(known) else words.DASH


def _gap_table(gaps: pd.DataFrame, names: dict[str, str]) -> Table:
    return Table(
        key="gaps",
        caption="Returns that the register of LAs would expect and that are missing",
        columns=[text("LA (code)"), text("Source"), number("Year"), text("Known reason")],
        rows=[
            Row(
                (
                    f"{_short(names.get(str(row.la_id), ''))} ({row.la_code})",
                    _SOURCES[str(row.source)],
                    str(row.return_year),
                    _reason(row),
                )
            )
            for row in records(gaps.sort_values(["la_code", "source", "return_year"]))
        ],
    )


def _reason(row: Any) -> str:
    if not pd.isna(row.known_missing_reason):
        return str(row.known_missing_reason)
    is_school = row.source in ("spring_census", "absence")
    has_children = not pd.isna(row.base_count) and row.base_count > 0
    return "No child of the LA is known that year" if is_school and not has_children else words.DASH


# --- recording of referrals ---------------------------------------------------------------------


def _recording(inputs: Inputs) -> dict[str, Any] | None:
    frame = inputs.quality.get("fct_nfa_share")
    if frame is None or frame.empty:
        return None
    names = _names(inputs)
    quarters = frame[frame["period_kind"] == "quarter"].sort_values("period_start_date")
    yearly = frame[frame["period_kind"] == "year"].sort_values("period_start_date")
    breaks = yearly[yearly["is_break"].astype(bool)]
    jumps = yearly[yearly["is_referral_break"].astype(bool)]
    found = [str(la) for la in dict.fromkeys([*breaks["la_id"], *jumps["la_id"]])]
    shown = _chosen(inputs, sorted(str(la) for la in quarters["la_id"].unique()), found, _MOST_PANELS)
    panels = []
    for la in shown:
        own = quarters[quarters["la_id"] == la]
        marked = own[own["is_break"].astype(bool)]
        panels.append(
            charts.SharePanel(
                label=_short(names.get(la, la)),
                days=[as_day(day) for day in own["period_start_date"]],
                values=[float(value) for value in own["nfa_pct"]],
                breaks=[as_day(day) for day in marked["period_start_date"]],
            )
        )
    setting = _settings(inputs)
    what = [
        f"{names.get(str(r.la_id), r.la_id)} ({r.return_year - 1}/{r.return_year % 100:02}: from"
        f" {r.nfa_pct - r.change_points:.0f}% to {r.nfa_pct:.0f}%)"
        for r in records(breaks)
    ]
    said = [
        "LAs differ in which contacts they record as referrals without further action, and change it. A jump in the"
        " share is a change of recording, not of need."
    ]
    limit = setting.get("nfa_break_points", "the set number of")
    said.append(
        f"Breaks, a change of {limit} points or more from one year to the next: {'; '.join(what)}."
        if what
        else f"No LA changed by {limit} points or more from one year to the next."
    )
    if len(jumps):
        listed = [
            f"{names.get(str(r.la_id), r.la_id)} ({r.return_year - 1}/{r.return_year % 100:02})" for r in records(jumps)
        ]
        said.append(
            f"The number of referrals changed by a factor of {setting.get('referral_break_ratio', 'more than set')} or"
            f" more in {words.listed(listed)}."
        )
    is_all = len(shown) == quarters["la_id"].nunique()
    chart = charts.both_widths(
        charts.share_panels,
        "nfa",
        f"Share of referrals without further action by quarter, a panel per LA. {said[1]}",
        panels=panels,
    )
    return _part(
        "How referrals are recorded",
        said,
        figure=chart,
        caption="Referrals without further action, % of referrals in the quarter",
        chart_note="A dashed line marks a break of recording. All panels have one scale."
        + ("" if is_all else " Shown are LAs of the analysis and those with a break."),
    )


def _settings(inputs: Inputs) -> dict[str, str]:
    frame = inputs.marts["dim_evaluation_settings"]
    return {str(name): str(value) for name, value in zip(frame["setting"], frame["value"], strict=True)}


# --- missing fields -----------------------------------------------------------------------------


def _missing(inputs: Inputs) -> dict[str, Any] | None:
    frame = inputs.quality.get("fct_missingness")
    if frame is None or frame.empty:
        return None
    names = _names(inputs)
    sums = frame.groupby(["source_kind", "field", "la_id"], sort=True)[["row_count", "missing_count"]].sum()
    pct = (100 * sums["missing_count"] / sums["row_count"]).rename("pct").reset_index()
    worst = pct.groupby(["source_kind", "field"], sort=True)["pct"].max()
    drawn = [key for key, value in items(worst) if value >= _WORTH_DRAWING_PCT]
    rest = [key for key, value in items(worst) if value < _WORTH_DRAWING_PCT]
    complete = [
        f"{words.lowered(label)}: {words.listed([str(field) for kind, field in rest if kind == own])}"
        for own, label in _COLLECTIONS.items()
        if any(kind == own for kind, _ in rest)
    ]
    said = ["Among the children, referrals or episodes that should have the field, over all years."]
    if complete:
        said.append(
            f"In no LA is {_WORTH_DRAWING_PCT:g}% or more missing of these. {words.sentence('; '.join(complete))}."
        )
    if not drawn:
        return _part("What is not recorded", said)
    found = pct[pct["pct"] >= 10]["la_id"].astype(str).tolist()
    shown = _chosen(inputs, sorted(pct["la_id"].astype(str).unique()), found, _MOST_ROWS)
    cells = {(str(r.source_kind), str(r.field), str(r.la_id)): float(r.pct) for r in records(pct)}
    rows = [
        charts.HeatRow(_short(names.get(la, la)), [cells.get((kind, field, la), float("nan")) for kind, field in drawn])
        for la in shown
    ]
    heads = [f"{_COLLECTIONS[kind]}: {field}" for kind, field in drawn]
    highest = pct.sort_values("pct", ascending=False).iloc[0]
    described = (
        f"Heat map of the share missing by LA for {words.listed(heads)}. The highest is {highest['pct']:.0f}%"
        f" ({highest['field']}, {names.get(str(highest['la_id']), highest['la_id'])})."
    )
    return _part(
        "What is not recorded",
        said,
        figure=charts.both_widths(charts.heat_chart, "missing", described, rows=rows, heads=heads),
        caption="Missing, % of those that should have the field",
        chart_note="Pupil reference: children aged 5 to 15.",
    )


# --- rules --------------------------------------------------------------------------------------


def _rules(inputs: Inputs) -> dict[str, Any] | None:
    frame, rules = inputs.quality.get("fct_rule_breaches"), inputs.quality.get("dim_dfe_rules")
    if frame is None or rules is None or frame.empty:
        return None
    counts = frame.groupby("rule")[["checked_count", "breach_count"]].sum()
    enough = frame["checked_count"] >= float(_settings(inputs).get("quality_minimum_count", 0))
    judged = frame[enough & (frame["breach_pct"] > frame["tolerated_pct"])]
    over = judged.groupby("rule").size()
    joined = rules.merge(counts, left_on="rule", right_index=True, how="left").fillna(
        {"checked_count": 0, "breach_count": 0}
    )
    broken = joined[joined["breach_count"] > 0].sort_values("breach_count", ascending=False, kind="stable")
    kept = joined[joined["breach_count"] == 0].sort_values(["collection", "rule"])
    unchecked = int((kept["checked_count"] == 0).sum())
    said = [
        f"{words.times(len(joined), 'validation rule')} of the Department for Education that bear on the outcomes"
        f" here are checked within each return; {words.whole(len(broken))} are broken somewhere."
        " A breach is not dropped unless the table says so."
    ]
    if unchecked:
        said.append(
            f"{words.times(unchecked, 'rule')} could not be checked, because the extracts do not hold what"
            f" {'it is' if unchecked == 1 else 'they are'} about."
        )

    def table(key: str, caption: str, own: pd.DataFrame) -> Table:
        return Table(
            key=key,
            caption=caption,
            columns=[
                text("Rule"), text("What breaks it"), number("Checked"), number("Broken"), number("%"),
                number("LA-years above what is tolerated"), text("What becomes of it"),
            ],
            rows=[
                Row(
                    (
                        f"{r.collection} {r.rule}", str(r.statement), words.whole(r.checked_count),
                        words.whole(r.breach_count),
                        words.decimal(100 * r.breach_count / r.checked_count if r.checked_count else None, 2),
                        words.whole(int(over.get(r.rule, 0))), f"{words.sentence(str(r.treatment))}: {r.handling}",
                    )
                )
                for r in records(own)
            ],
        )  # fmt: skip

    return _part(
        "Rules of the Department for Education",
        said,
        tables=[table("rules-broken", "Rules that are broken, most breaches first", broken)] if len(broken) else [],
        hidden=[table("rules-kept", "Rules that no row breaks", kept)] if len(kept) else [],
        summary=f"{words.times(len(kept), 'rule')} that no row breaks",
    )


# --- codes and months ---------------------------------------------------------------------------


def _codes(inputs: Inputs) -> dict[str, Any] | None:
    frame = inputs.quality.get("fct_unknown_codes")
    if frame is None or frame.empty:
        return None
    unknown = frame[frame["unknown_count"] > 0]
    title = "Codes that no list knows"
    if unknown.empty:
        return _part(title, ["Every code stands in the code list of its return."])
    rows = []
    for (kind, field, codes), own in unknown.groupby(["source_kind", "field", "unknown_codes"], sort=True):
        years = sorted(int(year) for year in own["return_year"].unique())
        span = str(years[0]) if len(years) == 1 else f"{years[0]} to {years[-1]}"
        rows.append(
            Row(
                (
                    _COLLECTIONS[str(kind)], str(field), str(codes), span, words.whole(own["la_code"].nunique()),
                    words.whole(own["unknown_count"].sum()),
                )
            )
        )  # fmt: skip
    return _part(
        title,
        ["They may be misspelt, or used in a return before or after the years for which the code is valid."],
        tables=[
            Table(
                key="unknown-codes",
                caption="Unknown codes",
                columns=[text("Source"), text("Field"), text("Codes"), text("Returns"), number("LAs"), number("Rows")],
                rows=rows,
            )
        ],
    )


def _months(inputs: Inputs) -> dict[str, Any] | None:
    frame = inputs.quality.get("fct_referrals_by_month")
    if frame is None:
        return None
    title = "Referrals beside the published figures"
    published = frame.dropna(subset=["published_count"])
    if published.empty:
        return _part(title, ["No published referrals by month were landed, so none are compared."])
    names = _names(inputs)
    sums = published.groupby("la_id")[["referral_count", "published_count"]].sum()
    farthest = published.assign(distance=published["difference_pct"].abs()).groupby("la_id")["distance"].max()
    sums["pct"] = 100 * (sums["referral_count"] - sums["published_count"]) / sums["published_count"]
    order = sums["pct"].abs().sort_values(ascending=False).index
    table = Table(
        key="months",
        caption="Referrals in the months that are published, largest difference first",
        columns=[
            text("LA (code)"), number("Referrals here"), number("Published"), number("Difference, %"),
            number("Largest difference in a month, %"),
        ],
        rows=[
            Row(
                (
                    f"{_short(names.get(str(la), ''))} ({la})", words.whole(sums.loc[la, "referral_count"]),
                    words.whole(sums.loc[la, "published_count"]), words.decimal(float(sums.loc[la, "pct"]), 1),
                    words.decimal(float(farthest[la]), 1),
                )
            )
            for la in order
        ],
    )  # fmt: skip
    total, there = float(sums["referral_count"].sum()), float(sums["published_count"].sum())
    said = [
        f"Over {words.times(len(sums), 'LA')} the referrals here differ from the published ones by"
        f" {words.decimal(100 * (total - there) / there, 1)}%."
        + (" The data are synthetic, so the two need not agree." if inputs.is_synthetic else "")
    ]
    is_long = len(sums) > 12
    return _part(title, said, tables=[] if is_long else [table], hidden=[table] if is_long else [], summary="Every LA")
