"""The page on published figures: one file that anyone may read, with the decision pages beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from sfpc.published import ALL_CANDIDATES, LAST_EVENT_YEAR, NEAREST, PublishedRun
from sfpc.report import words
from sfpc.report.charts import BLACK, BLUE, GREY, INK, NARROW, PALE
from sfpc.report.decision import DecisionPage, Subject, write_decision_pages
from sfpc.report.drawing import Drawing
from sfpc.report.page import PAGE, fill, write_page
from sfpc.report.study import as_day, records
from sfpc.report.tables import Row, Table, number, text
from sfpc.settings import Paths

MARKING = "Made from published figures alone: may be shared"
SYNTHETIC_MARKING = "Synthetic figures in the layout of the published ones: they say nothing about any real LA"
MATCHING = "matching"

_MARKERS = {
    "c": "a small number, suppressed",
    "x": "not available",
    "z": "not applicable",
    "u": "low reliability",
    "-": "missing",
    "k": "rounds to 0",
    "no figure": "no row for the LA, or not for all of its parts",
}
_LIMITS = (
    "Ecological: a rate of an LA is not the chance of a child. A rate can fall because other children live there.",
    "No cohort of first referrals: the trial follows each child from its first referral; here a year counts whoever it"
    " counts, as often as it counts them.",
    "No outcome within 18 months of the same child: a start of care or a plan in a year cannot be tied to a referral,"
    " nor to the children whom the programme reached.",
    "Few points before go-live: most figures are annual, and children starting to be looked after are held for few"
    " years. Whether trends were parallel can hardly be tested.",
    "The year of go-live is half before and half after; it is left out of the estimates.",
    "Few treatment LAs: intervals from clustered errors are too short. Read the share of lots beside them.",
    "LAs change how they record (referrals without further action above all); such a change looks like an effect.",
    "No adjustment for who the children are, no test of several outcomes at once: none of this is the trial's result.",
)
_METHOD = (
    "LA and year effects, each LA counting once. “Two-way fixed effects” is one coefficient; “imputation” predicts each"
    " treated year from the untreated ones and averages the gap. “By lot” is the share of {count} draws in which the"
    " go-live pattern, dealt to LAs by lot, gives at least as large a figure: with so few treatment LAs it is what to"
    " read. LAs chosen as nearest were chosen on the same figures, so their lots are drawn among few LAs and cannot"
    " give small shares."
)


def write_published(own: Paths, run: PublishedRun) -> Path:
    """Write the page, the decision pages and the tables behind them below ``own.outputs``; returns the page's path."""
    marking = SYNTHETIC_MARKING if run.is_synthetic else MARKING
    pages = write_decision_pages(own.outputs / MATCHING, _subjects(run), marking)
    for name, frame in (("ranking", run.ranking), ("differences", _as_frame(run)), ("events", _events_frame(run))):
        stream = io.StringIO()
        frame.to_csv(stream, index=False, lineterminator="\n")
        write_page(own.outputs / f"{name}.csv", stream.getvalue())
    return write_page(own.outputs / PAGE, render(run, pages, marking))


def render(run: PublishedRun, pages: Sequence[DecisionPage], marking: str) -> str:
    """The whole page as text."""
    names = [_programme(run, p) for p in run.programmes]
    periods = run.marts["fct_published_la_periods"]
    carried = periods[periods["is_denominator_carried"].astype(bool)].drop_duplicates(["la_id", "register_year"])
    areas = run.marts["dim_published_areas"]
    reorganised = areas[areas["is_reorganised"].astype(bool)].drop_duplicates("la_id")
    return fill(
        "published.html.j2",
        title=f"{words.listed(names)}: published figures",
        programmes=words.listed(names),
        marking=marking,
        status=[
            ("Data", "synthetic" if run.is_synthetic else "published LA figures"),
            ("Figures until", str(int(periods["register_year"].max()))),
            ("LAs", words.whole(periods["la_id"].nunique())),
            ("Read on", words.long_date(datetime.fromisoformat(run.landed_at).date())),
        ],
        limits=_LIMITS,
        series=_series_table(run),
        rule=(
            "Distance of the changes from period to period of the standardised figure (FV.MATCH.2). The"
            f" {run.settings.published_comparators} nearest of each LA are taken as comparators, by rule, not by eye;"
            " the pages below are made to judge them."
        ),
        method=_METHOD.format(count=words.whole(run.settings.published_permutations)),
        parts=[
            _part(run, programme, [p for p in pages if p.programme_id == programme]) for programme in run.programmes
        ],
        hidden=_hidden(run),
        reorganised=words.listed([str(n) for n in reorganised["la_name"]]),
        carried=words.times(len(carried), "year of an area", "years of areas"),
        files=_files(run),
        licence=(
            "The figures were made up for tests from the layout of published tables."
            if run.is_synthetic
            else "Contains public sector information licensed under the Open Government Licence v3.0. The page’s own"
            " sums, rates and distances are not those of the publishers."
        ),
    )


def _part(run: PublishedRun, programme_id: str, pages: Sequence[DecisionPage]) -> dict[str, Any]:
    areas = run.marts["dim_published_areas"]
    areas = areas[areas["programme_id"] == programme_id]
    series = [row for row in records(run.marts["dim_published_series"]) if isinstance(row.series_id, str)]
    excluded = areas[areas["exclusion_reason"].notna()].sort_values(["exclusion_reason", "la_name"])
    candidates = areas[areas["is_matching_candidate"].astype(bool)]
    periods = run.marts["fct_published_la_periods"]
    large = set(periods.loc[periods["is_matching_candidate"].astype(bool), "la_id"])
    small = sorted(_first(row.la_name) for row in records(candidates) if row.la_id not in large)
    rankings, unranked = _rankings(run, programme_id, series)
    return {
        "key": programme_id.replace("_", "-"),
        "title": _programme(run, programme_id),
        "treated": _treated(run, programme_id),
        "eligible": (
            f"Of {words.times(len(areas), 'area')} with published figures, {words.whole(len(candidates))} may serve as"
            f" comparators; {words.whole(len(excluded))} may not (FV.MATCH.1)."
            + (f" Too small for a rate that is more than chance: {words.listed(small)}." if small else "")
        ),
        "excluded": Table(
            f"excluded-{programme_id}",
            "LAs that may not serve as comparators",
            [text("LA"), text("Region"), text("Why")],
            [
                Row([_first(row.la_name), _or(row.region_name), words.sentence(words.plain(str(row.exclusion_reason)))])
                for row in records(excluded)
            ],
        ),
        "rankings": rankings,
        "unranked": unranked,
        "trends": [c for s in series if s.is_estimated for c in _trend_chart(run, programme_id, s)],
        "effects": _effects(run, programme_id, series),
        "events": [c for s in series if s.is_estimated for c in _event_chart(run, programme_id, s)],
        "decisions": [
            {"title": f"{p.la_name}: {words.lowered(p.outcome)}", "path": p.path.as_posix(), "chart": Markup(p.chart)}
            for p in pages
            if p.chart
        ],
    }


def _treated(run: PublishedRun, programme_id: str) -> Table:
    areas = run.marts["dim_published_areas"]
    own = areas[(areas["programme_id"] == programme_id) & areas["is_treatment_la"].astype(bool)]
    facts = run.marts["dim_pair_facts"]
    facts = facts[(facts["programme_id"] == programme_id) & (facts["la_id"] == facts["treatment_la_id"])]
    judged = dict(zip(facts["la_id"], facts["ofsted_judgement"], strict=True))
    series = run.marts["dim_published_series"]
    series = series[series["is_estimated"].astype(bool)]
    periods = run.marts["fct_published_la_periods"]
    before = periods[
        (periods["programme_id"] == programme_id) & (periods["exposure"] == "before") & periods["rate"].notna()
    ]
    counts = before.groupby(["la_id", "series_id"]).size()
    rows = [
        Row(
            [
                _first(row.la_name),
                words.long_date(as_day(row.go_live_date)),
                _or(row.region_name),
                _or(judged.get(row.la_id)),
                *(str(int(counts.get((row.la_id, s), 0))) for s in series["series_id"]),
            ]
        )
        for row in records(own.sort_values("go_live_date"))
    ]
    heads = [number(f"Years before: {words.lowered(str(label))}") for label in series["label"]]
    return Table(
        f"treated-{programme_id}",
        "Treatment LAs, and how many whole years of each figure lie before go-live",
        [text("LA"), text("Live from"), text("Region"), text("Ofsted at go-live"), *heads],
        rows,
    )


def _rankings(run: PublishedRun, programme_id: str, series: Sequence[Any]) -> tuple[list[Table], list[str]]:
    tables: list[Table] = []
    unranked: list[str] = []
    names = _names(run, programme_id)
    areas = run.marts["dim_published_areas"]
    own = areas[(areas["programme_id"] == programme_id) & areas["is_treatment_la"].astype(bool)]
    order = list(own.sort_values("go_live_date")["la_id"])
    for s in series:
        ranked = _ranked(run, programme_id, s.series_id)
        reasons = run.reasons.get((programme_id, s.series_id), {})
        rows = []
        for la in order:
            mine = ranked[ranked["treatment_la_id"] == la] if len(ranked) else ranked
            if len(mine):
                best = mine.sort_values("rank")
                listed = [f"{names[r.candidate_la_id]} ({words.decimal(r.distance)})" for r in records(best)]
                ratio = float(best["noise_ratio"].min())
                rows.append(
                    Row([names[la], ", ".join(listed), str(int(best["quarters_count"].max())), words.decimal(ratio, 1)])
                )
        if rows:
            tables.append(
                Table(
                    f"ranking-{programme_id}-{s.series_id}",
                    f"{s.label}: the nearest candidates, with distance",
                    [text("LA"), text("Nearest first"), number("Periods"), number("Smallest × noise")],
                    rows,
                )
            )
        for reason in sorted(set(reasons.values())):
            las = [names[la] for la in order if reasons.get(la) == reason]
            unranked.append(f"{s.label}, {words.listed(las)}: not ranked, because {reason}.")
    return tables, unranked


def _effects(run: PublishedRun, programme_id: str, series: Sequence[Any]) -> Table:
    labels = {s.series_id: s for s in series}
    rows = []
    for d in run.differences:
        if d.programme_id != programme_id:
            continue
        e = d.effect.estimate
        against = "nearest LAs" if d.comparison == NEAREST else "all candidates"
        rows.append(
            Row(
                [
                    str(labels[d.series_id].label),
                    str(labels[d.series_id].unit),
                    words.sentence(d.effect.model),
                    f"{against} ({d.comparison_count})",
                    str(d.treated_count),
                    words.decimal(e.estimate),
                    words.interval(e.ci_low, e.ci_high),
                    words.decimal(d.effect.permutation_p, 3),
                ],
                kind="chosen" if d.comparison == ALL_CANDIDATES and d.effect.model == "imputation" else "",
            )
        )
    return Table(
        f"effects-{programme_id}",
        "LA-level difference-in-differences, as a description (shaded: imputation against all candidates)",
        [
            text("Figure"), text("Unit"), text("Model"), text("Against"), number("Treatment LAs"), number("Difference"),
            number("95% interval, clustered"), number("By lot"),
        ],
        rows,
    )  # fmt: skip


# --- charts -------------------------------------------------------------------------------------


def _trend_chart(run: PublishedRun, programme_id: str, series: Any) -> list[dict[str, Any]]:
    periods = run.marts["fct_published_la_periods"]
    rows = periods[
        (periods["programme_id"] == programme_id) & (periods["series_id"] == series.series_id) & periods["rate"].notna()
    ]
    pool = rows[rows["is_matching_candidate"].astype(bool)].groupby("register_year")["rate"]
    if pool.ngroups == 0:
        return []
    quartiles = pool.quantile([0.25, 0.5, 0.75]).unstack()
    areas = run.marts["dim_published_areas"]
    own = areas[(areas["programme_id"] == programme_id) & areas["is_treatment_la"].astype(bool)]
    label = f"{series.label} in each treatment LA and in LAs that may be compared, by year"
    names = _names(run, programme_id)
    panels = [
        (names[la.la_id], as_day(la.go_live_date), rows[rows["la_id"] == la.la_id].set_index("register_year")["rate"])
        for la in records(own.sort_values("go_live_date"))
    ]
    start = "09-01" if series.frequency == "school_year" else "04-01"
    svg = "".join(
        _panels(width, panels, quartiles, start).svg(label, f"chart {css}")
        for width, css in ((1040, "wide"), (NARROW, "narrow"))
    )
    return [{"title": f"{series.label}: {series.unit}", "label": label, "svg": Markup(svg)}]


def _panels(
    width: int, panels: Sequence[tuple[str, date, pd.Series[float]]], quartiles: pd.DataFrame, start: str
) -> Drawing:
    across = 2 if width <= NARROW else min(5, max(3, len(panels)))
    wide, high, head, left = width / across, 150.0, 24.0, 34.0
    drawing = Drawing(width, high * math.ceil(len(panels) / across))
    years = [int(y) for y in quartiles.index]
    top = 1.08 * max([float(quartiles.to_numpy().max()), *(float(s.max()) for _, _, s in panels if len(s))])
    month = int(start[:2])
    for place, (name, go_live, rates) in enumerate(panels):
        x0, y0 = wide * (place % across) + left, high * (place // across) + head
        inner, tall = wide - left - 12, high - head - 24

        def at(year: float, x0: float = x0, inner: float = inner) -> float:
            return x0 + inner * (year - years[0]) / max(1, years[-1] - years[0])

        def up(value: float, y0: float = y0, tall: float = tall) -> float:
            return y0 + tall * (1 - value / top)

        drawing.words(x0 - left + 4, y0 - 9, name, 12, INK, is_bold=True)
        for value in (0.0, _round_down(top)):
            drawing.line([(x0, up(value)), (x0 + inner, up(value))], GREY if value == 0 else PALE, 0.8)
            drawing.words(x0 - 4, up(value) + 3.5, f"{value:g}", 9.5, INK, "end")
        xs = [at(y) for y in years]
        drawing.band(xs, [up(v) for v in quartiles[0.25]], [up(v) for v in quartiles[0.75]], "#8d9499", 0.28)
        drawing.line([(at(y), up(v)) for y, v in zip(years, quartiles[0.5], strict=True)], BLUE, 1.3, (4, 2))
        # A year stands at its end; go-live between the years by its own day.
        end_of_year = go_live.year + (go_live.month >= month)
        passed = ((go_live.month - month) % 12) / 12
        day = end_of_year - 1 + passed
        drawing.line([(at(day), y0 - 2), (at(day), y0 + tall)], INK, 1.0, (3, 2))
        known = {int(str(y)): float(v) for y, v in rates.items()}
        drawing.line([(at(y), up(known.get(y, math.nan))) for y in years], BLACK, 2.0)
        for year in years:
            drawing.dot(at(year), up(known.get(year, math.nan)), 2.1, BLACK)
        drawing.words(x0, y0 + tall + 15, _year(years[0]), 10, INK)
        drawing.words(x0 + inner, y0 + tall + 15, _year(years[-1]), 10, INK, "end")
    return drawing


def _event_chart(run: PublishedRun, programme_id: str, series: Any) -> list[dict[str, Any]]:
    events = run.events.get((programme_id, series.series_id), [])
    if not events:
        return []
    label = f"{series.label}: differences by year since go-live, with the range that lots give"

    def draw(width: int) -> Drawing:
        high, top, left = 190.0, 16.0, 44.0
        drawing = Drawing(width, top + high + 42)
        values = [v for e in events for v in (e.low, e.high, e.placebo_low, e.placebo_high, e.estimate)]
        reach = 1.08 * max(abs(v) for v in values if math.isfinite(v))
        steps = sorted({e.relative_period for e in events} | {-1})
        inner = width - left - 12

        def at(step: float) -> float:
            return left + inner * (step - steps[0] + 0.5) / (steps[-1] - steps[0] + 1)

        def up(value: float) -> float:
            return top + high * (0.5 - 0.5 * value / reach)

        for value in (_round_down(reach), 0.0, -_round_down(reach)):
            drawing.line([(left, up(value)), (left + inner, up(value))], GREY if value == 0 else PALE, 0.9)
            drawing.words(left - 5, up(value) + 4, f"{value:g}".replace("-", words.MINUS), 10.5, INK, "end")
        half = inner / (steps[-1] - steps[0] + 1) * 0.36
        for e in events:
            x = at(e.relative_period)
            if math.isfinite(e.placebo_low):
                drawing.box(
                    x - half, up(e.placebo_high), 2 * half, up(e.placebo_low) - up(e.placebo_high), "#8d9499", 0.28
                )
            drawing.line([(x, up(e.low)), (x, up(e.high))], BLUE, 2.2)
            drawing.dot(x, up(e.estimate), 4.5, BLUE)
            drawing.words(x, top + high + 32, f"{e.la_count} LA{'s' if e.la_count != 1 else ''}", 9.5, GREY, "middle")
        drawing.dot(at(-1), up(0), 3.5, GREY)
        drawing.line([(at(-0.5), top), (at(-0.5), top + high)], INK, 1.0, (3, 2))
        for step in steps:
            more = " or more" if step in (steps[0], LAST_EVENT_YEAR) and abs(step) > 2 and width > NARROW else ""
            drawing.words(at(step), top + high + 17, f"{step}{more}".replace("-", words.MINUS), 11, INK, "middle")
        return drawing

    svg = "".join(draw(width).svg(label, f"chart {css}") for width, css in ((720, "wide"), (NARROW, "narrow")))
    title = f"{series.label}: {series.unit}, by year since go-live"
    return [{"title": title, "label": label, "svg": Markup(svg)}]


def _round_down(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above the value."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next((power * step for step in (5, 2, 1) if power * step <= value), 0.0)


# --- decision pages -------------------------------------------------------------------------------


def _subjects(run: PublishedRun) -> list[Subject]:
    areas = run.marts["dim_published_areas"]
    facts = run.marts["dim_pair_facts"]
    trends = run.marts["fct_published_trends"]
    trends = trends.assign(day=pd.to_datetime(trends["period_start_date"]))
    subjects = []
    for programme_id in run.programmes:
        for s in records(run.marts["dim_published_series"]):
            if not isinstance(s.series_id, str):
                continue
            own = (trends["programme_id"] == programme_id) & (trends["series_id"] == s.series_id)
            subjects.append(
                Subject(
                    programme_id=programme_id,
                    programme=_programme(run, programme_id),
                    outcome_id=s.series_id,
                    outcome=str(s.label),
                    frequency=str(s.frequency),
                    unit=str(s.unit),
                    factor=1.0,
                    trends=trends[own],
                    ranking=_ranked(run, programme_id, s.series_id),
                    reasons=dict(run.reasons.get((programme_id, s.series_id), {})),
                    areas=areas[areas["programme_id"] == programme_id],
                    facts=facts[facts["programme_id"] == programme_id],
                    shocks=run.marts["dim_shocks"],
                    rule=(
                        f"Taken here without a person: the {run.settings.published_comparators} nearest, whatever their"
                        " distance. Sampling error is small beside the real movements of whole LAs, so “× noise” is"
                        " large for nearly every pair."
                    ),
                    notes=(f"What the figure stands for: {s.stands_for}.", f"What it cannot say: {s.cannot_say}."),
                )
            )
    return subjects


def _ranked(run: PublishedRun, programme_id: str, series_id: str) -> pd.DataFrame:
    ranking = run.ranking
    if ranking.empty:
        return pd.DataFrame(columns=["treatment_la_id", "candidate_la_id", "rank", "distance", "noise_ratio"])
    return ranking[(ranking["programme_id"] == programme_id) & (ranking["outcome_id"] == series_id)]


# --- tables ---------------------------------------------------------------------------------------


def _series_table(run: PublishedRun) -> Table:
    rows = []
    for s in records(run.marts["dim_published_series"].sort_values(["clause", "label"])):
        outcome = f"{s.outcome_label} ({s.clause})" if isinstance(s.outcome_label, str) else f"No outcome ({s.clause})"
        figure = str(s.label) if isinstance(s.series_id, str) else "None"
        unit = f"{s.unit}, by {words.plain(str(s.frequency))}" if isinstance(s.series_id, str) else words.DASH
        rows.append(Row([outcome, figure, unit, str(s.stands_for), str(s.cannot_say)]))
    return Table(
        "series",
        "Which published figure stands for which outcome of the protocol",
        [text("Outcome"), text("Published figure"), text("Unit"), text("Stands for"), text("Cannot say")],
        rows,
    )


def _hidden(run: PublishedRun) -> Table:
    periods = run.marts["fct_published_la_periods"]
    periods = periods.drop_duplicates(["series_id", "la_id", "period_start_date"])
    labels = {s.series_id: s for s in records(run.marts["dim_published_series"]) if isinstance(s.series_id, str)}
    rows = []
    for series_id, held in ((str(name), part) for name, part in periods.groupby("series_id", sort=True)):
        reasons = held["hidden_because"].dropna().value_counts().sort_index()
        told = [
            f"{count} {marker} ({_MARKERS.get(str(marker), 'unknown marker')})" for marker, count in reasons.items()
        ]
        rows.append(
            Row(
                [
                    str(labels[series_id].label),
                    words.plain(str(labels[series_id].frequency)),
                    words.whole(len(held)),
                    words.whole(int(reasons.sum())),
                    "; ".join(told) or "none",
                ]
            )
        )
    return Table(
        "hidden-figures",
        "LA-periods without a rate, by marker",
        [text("Figure"), text("Period"), number("LA-periods"), number("Without a rate"), text("Why")],
        rows,
    )


def _files(run: PublishedRun) -> Table:
    rows = []
    for row in records(run.files):
        title = run.titles.get(str(row.published_table), {})
        rows.append(
            Row(
                [
                    str(title.get("title", row.published_table)),
                    str(title.get("publication", "")),
                    str(title.get("publisher", "")),
                    str(row.source_file),
                    words.whole(row.rows_landed),
                    str(row.sha256)[:12],
                ]
            )
        )
    return Table(
        "files",
        "Tables read" + (" (synthetic, in the layout of these)" if run.is_synthetic else ""),
        [
            text("Table"), text("Publication"), text("Publisher"), text("File"), number("LA figures"),
            text("SHA-256 begins"),
        ],
        rows,
    )  # fmt: skip


def _as_frame(run: PublishedRun) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "programme_id": d.programme_id,
                "series_id": d.series_id,
                "comparison": d.comparison,
                "model": d.effect.model,
                "treated_la_count": d.treated_count,
                "comparison_la_count": d.comparison_count,
                "estimate": d.effect.estimate.estimate,
                "standard_error": d.effect.estimate.standard_error,
                "ci_low": d.effect.estimate.ci_low,
                "ci_high": d.effect.estimate.ci_high,
                "p_value_clustered": d.effect.estimate.p_value,
                "inference_method": d.effect.estimate.inference_method,
                "permutation_p_value": d.effect.permutation_p,
                "permutation_count": d.effect.permutation_count,
            }
            for d in run.differences
        ]
    )


def _events_frame(run: PublishedRun) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"programme_id": programme_id, "series_id": series_id, **event.__dict__}
            for (programme_id, series_id), events in run.events.items()
            for event in events
        ]
    )


def _programme(run: PublishedRun, programme_id: str) -> str:
    return words.title_of(programme_id, run.marts["dim_published_areas"], "programme_id", "programme_name")


def _names(run: PublishedRun, programme_id: str) -> dict[str, str]:
    areas = run.marts["dim_published_areas"]
    areas = areas[areas["programme_id"] == programme_id]
    return {str(row.la_id): _first(row.la_name) for row in records(areas)}


def _first(name: Any) -> str:
    first, *later = str(name).split(" / ")
    return f"{first} (area)" if later else first


def _or(value: Any) -> str:
    return (
        "not held" if value is None or (isinstance(value, float) and np.isnan(value)) or pd.isna(value) else str(value)
    )


def _year(end: int) -> str:
    return f"{end - 1}/{end % 100:02d}"
