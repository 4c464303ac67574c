"""Decision pages: one per treatment LA and outcome, for the person who accepts or rejects its comparators (FV.MATCH.4).

Everything on them lies before go-live. One renderer serves the children's own data and published figures; each page
is one HTML file without anything from outside, with the same charts as a PNG beside it for a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from markupsafe import Markup

from sfpc.errors import SfpcError
from sfpc.marts import open_marts, read_mart
from sfpc.report import words
from sfpc.report.charts import NARROW
from sfpc.report.decision_charts import (
    PAGE_WIDTH,
    Candidate,
    Mark,
    Picture,
    Trend,
    candidate_panels,
    change_overview,
    document_image,
    trend_overview,
)
from sfpc.report.page import PAGE, fill, write_page
from sfpc.report.study import as_day, records
from sfpc.report.tables import Row, Table, letter, number, text
from sfpc.settings import Paths

NOT_HELD = "not held"
FOLDER = "matching"
MARKING = "Internal: not for release"
_MARTS = (
    "dim_outcomes",
    "dim_pair_facts",
    "dim_programme_local_authorities",
    "dim_shocks",
    "fct_la_quarter_outcomes",
)
_RULE = (
    "“Decided by” says whether a person or the automatic rule took a candidate; the rule serves only until a person has"
    " decided."
)


@dataclass(frozen=True)
class Subject:
    """One programme and one outcome, or published series, with all that its pages show.

    trends: a row per la_id and day with value, denominator, standardised_value, standardised_change,
        change_standard_error and, where it is known, value_standard_error; nothing from after go-live.
    ranking: rows of `rank_candidates`. reasons: why a treatment LA has no accepted comparator, by la_id.
    areas: la_id, la_name, go_live_date of treatment LAs and names of others. facts: rows of dim_pair_facts.
    shocks: rows of dim_shocks. factor: from the stored value to the unit shown.
    rule: one sentence on how comparators are chosen. notes: sentences on what the figures are.
    """

    programme_id: str
    programme: str
    outcome_id: str
    outcome: str
    frequency: str
    unit: str
    factor: float
    trends: pd.DataFrame
    ranking: pd.DataFrame
    reasons: dict[str, str]
    areas: pd.DataFrame
    facts: pd.DataFrame
    shocks: pd.DataFrame
    rule: str
    notes: Sequence[str] = field(default_factory=tuple)

    def name(self, la_id: str) -> str:
        """Name of an LA; of a reorganised area its first one."""
        names = self.areas.loc[self.areas["la_id"] == la_id, "la_name"]
        first, *later = (str(names.iloc[0]) if len(names) else f"LA {la_id}").split(" / ")
        return f"{first} (area)" if later else first


@dataclass(frozen=True)
class DecisionPage:
    """A page that was written: where, and what an index says of it.

    chart: the candidates as SVG for another page. nearest: names of the ranked, in order; accepted: of the accepted.
    """

    programme_id: str
    programme: str
    outcome_id: str
    outcome: str
    la_id: str
    la_name: str
    go_live: date
    path: Path
    png: Path
    chart: str
    nearest: Sequence[str]
    accepted: Sequence[str]
    smallest_noise_ratio: float
    reason: str


def write_decision_pages(folder: Path, subjects: Sequence[Subject], marking: str) -> list[DecisionPage]:
    """Write <programme>/<outcome>/<la_id>.html and .png for every treatment LA, and an index; returns the pages.

    marking: what stands on top of every page about who may see it. A treatment LA without a figure in its window has
    a page that says so and no chart.
    """
    pages = [
        _write(folder, subject, la, marking)
        for subject in subjects
        for la in records(subject.areas[subject.areas["is_treatment_la"].astype(bool)].sort_values("go_live_date"))
    ]
    write_page(folder / PAGE, _index(pages, marking))
    return pages


def write_evaluation_pages(paths: Paths) -> Path:
    """Write the decision pages of the last evaluation to ``paths.outputs``/matching; returns the path of the index.

    Reads the ranking from the results and the trends from the marts (pre-programme quarters only). Internal:
    disclosure control has not been applied. Raises SfpcError in one line where results or marts are missing.
    """
    tables = {}
    for name in ("la_ranking", "matched_pairs"):
        file = paths.results / f"{name}.parquet"
        if not file.is_file():
            raise SfpcError(f"no results at {file}: run `sfpc estimate` (or `make evaluate`) first")
        with duckdb.connect(":memory:") as connection:
            tables[name] = connection.execute("select * from read_parquet(?)", [str(file)]).df()
    with open_marts(paths.marts_db) as connection:
        marts = {name: read_mart(connection, name) for name in _MARTS}
    marking = f"{MARKING}; synthetic data" if paths.truth.is_dir() else MARKING
    write_decision_pages(paths.outputs / FOLDER, evaluation_subjects(marts, **tables), marking)
    return paths.outputs / FOLDER / PAGE


def evaluation_subjects(
    marts: Mapping[str, pd.DataFrame], la_ranking: pd.DataFrame, matched_pairs: pd.DataFrame
) -> list[Subject]:
    """One subject per programme and outcome with trends, from marts and results of the evaluation."""
    trends = marts["fct_la_quarter_outcomes"]
    trends = trends.assign(day=pd.to_datetime(trends["quarter_start_date"]), denominator=trends["denominator_count"])
    roles = marts["dim_programme_local_authorities"].assign(
        is_treatment_la=marts["dim_programme_local_authorities"]["role"] == "treatment"
    )
    outcomes = marts["dim_outcomes"].set_index("outcome_id")
    left_out = matched_pairs[matched_pairs["status"] == "excluded"]
    subjects = []
    pairs = trends[["programme_id", "outcome_id"]].drop_duplicates().sort_values(["programme_id", "outcome_id"])
    for row in records(pairs):
        key = {"programme_id": str(row.programme_id), "outcome_id": str(row.outcome_id)}
        out = _of(left_out, **key)
        told = outcomes.loc[row.outcome_id] if row.outcome_id in outcomes.index else None
        kind = "binary" if told is None else str(told["outcome_kind"])
        subjects.append(
            Subject(
                **key,
                programme=words.title_of(key["programme_id"], roles, "programme_id", "programme_name"),
                outcome=words.sentence(words.plain(key["outcome_id"])) if told is None else str(told["label"]),
                frequency="quarter",
                unit={"binary": "% of children", "days": "days per child"}.get(kind, "% (mean over children)"),
                factor=100.0 if kind == "binary" else 1.0,
                trends=_of(trends, **key),
                ranking=_of(la_ranking, **key),
                reasons=dict(zip(out["treatment_la_id"], out["reason"], strict=True)),
                areas=roles[roles["programme_id"] == row.programme_id],
                facts=marts["dim_pair_facts"][marts["dim_pair_facts"]["programme_id"] == row.programme_id],
                shocks=marts["dim_shocks"],
                rule=_RULE,
            )
        )
    return subjects


def _of(frame: pd.DataFrame, programme_id: str, outcome_id: str) -> pd.DataFrame:
    return frame[(frame["programme_id"] == programme_id) & (frame["outcome_id"] == outcome_id)]


def picture_of(subject: Subject, la_id: str, go_live: date) -> tuple[Picture, list[tuple[str, Any]]] | None:
    """What the charts show, and the shocks by letter; a shock after the window has no letter.

    None where the treatment LA has no figure in its window.
    """
    trends = subject.trends.sort_values("day")
    own = trends[trends["la_id"] == la_id]
    if own.empty:
        return None
    inside = trends[(trends["day"] >= own["day"].min()) & (trends["day"] <= own["day"].max())]
    # A candidate may hold the period before the window; the pair's distance does not use a change from there.
    inside = inside.assign(standardised_change=inside["standardised_change"].where(inside["day"] > own["day"].min()))
    ranked = subject.ranking[subject.ranking["treatment_la_id"] == la_id].sort_values("rank")
    candidates = [
        Candidate(
            rank=int(row.rank),
            trend=_trend(subject, inside, str(row.candidate_la_id)),
            distance=float(row.distance),
            noise_ratio=float(row.noise_ratio),
            is_accepted=bool(row.is_accepted),
        )
        for row in records(ranked)
    ]
    shown = {la_id, *(c.trend.la_id for c in candidates)}
    first, last = as_day(own["day"].min()), as_day(own["day"].max())
    days = pd.to_datetime(subject.shocks["shock_date"]).dt.date
    is_about = subject.shocks["la_id"].isna() | subject.shocks["la_id"].isin(shown)
    shocks = subject.shocks[is_about & (days >= first) & (days < go_live)].sort_values(["shock_date", "title"])
    marks: list[Mark] = []
    listed: list[tuple[str, Any]] = []
    for row in records(shocks):
        day = as_day(row.shock_date)
        name = ""
        if day <= last:
            name = letter(len(marks))
            marks.append(Mark(name, day, None if pd.isna(row.la_id) else str(row.la_id)))
        listed.append((name, row))
    return Picture(_trend(subject, inside, la_id), candidates, marks, subject.frequency), listed


def _trend(subject: Subject, trends: pd.DataFrame, la_id: str) -> Trend:
    rows = trends[trends["la_id"] == la_id]

    def numbers(column: str) -> list[float]:
        if column not in rows.columns:
            return [float("nan")] * len(rows)
        return [float(v) for v in rows[column].to_numpy(dtype=np.float64, na_value=np.nan)]

    return Trend(
        la_id=la_id,
        label=subject.name(la_id),
        days=[as_day(day) for day in rows["day"]],
        values=numbers("standardised_value"),
        changes=numbers("standardised_change"),
        value_errors=numbers("value_standard_error"),
        change_errors=numbers("change_standard_error"),
    )


def _write(folder: Path, subject: Subject, la: Any, marking: str) -> DecisionPage:
    la_id, go_live = str(la.la_id), as_day(la.go_live_date)
    place = folder / subject.programme_id / subject.outcome_id
    path, png = place / f"{la_id}.html", place / f"{la_id}.png"
    name = subject.name(la_id)
    found = picture_of(subject, la_id, go_live)
    reason = subject.reasons.get(la_id, "")
    charts: list[dict[str, Any]] = []
    picture, shocks = found or (None, [])
    window = "no figure in the window"
    key = f"{subject.programme_id}-{subject.outcome_id}-{la_id}"
    if picture is not None:
        window = f"{_period(picture.own.days[0], subject)} to {_period(picture.own.days[-1], subject)}"
        charts = _charts(picture, name, subject)
        lines = [
            f"{marking}.",
            f"{subject.programme}, live from {words.long_date(go_live)}. {words.sentence(subject.unit)}. "
            f"Shown: {window}; nothing from after go-live.",
            *_letters_in_words(subject, shocks),
        ]
        image = document_image(picture, f"{name}: {words.lowered(subject.outcome)}", lines)
        write_page(png, image.png())
    else:
        png.unlink(missing_ok=True)
    candidates = picture.candidates if picture else []
    html = fill(
        "decision.html.j2",
        title=f"{name}: {words.lowered(subject.outcome)}",
        marking=marking,
        subject=subject,
        name=name,
        status=[
            ("Programme", subject.programme),
            ("Live from", words.long_date(go_live)),
            ("Periods shown", window),
            ("Candidates ranked", str(len(candidates))),
            ("Taken", str(sum(c.is_accepted for c in candidates))),
        ],
        reason=words.sentence(reason),
        charts=charts,
        has_bands=bool(picture and np.isfinite(picture.own.change_errors).any()),
        image=png.name if picture else "",
        candidates=_candidates(subject, la_id, key) if candidates else None,
        own=_own_facts(subject, la_id, picture),
        shocks=_shocks(subject, shocks, key),
    )
    write_page(path, html)
    return DecisionPage(
        programme_id=subject.programme_id,
        programme=subject.programme,
        outcome_id=subject.outcome_id,
        outcome=subject.outcome,
        la_id=la_id,
        la_name=name,
        go_live=go_live,
        path=path.relative_to(folder),
        png=png.relative_to(folder),
        chart=candidate_panels(picture, PAGE_WIDTH).svg(charts[-1]["label"], "chart") if picture and candidates else "",
        nearest=[c.trend.label for c in candidates],
        accepted=[c.trend.label for c in candidates if c.is_accepted],
        smallest_noise_ratio=min((c.noise_ratio for c in candidates), default=float("nan")),
        reason=reason,
    )


def _charts(picture: Picture, name: str, subject: Subject) -> list[dict[str, Any]]:
    kinds = [
        ("Trends", trend_overview, f"Standardised trends of {name} and its nearest candidates before go-live"),
        ("Changes", change_overview, f"Changes from period to period of {name} and its nearest candidates"),
    ]
    if picture.candidates:
        kinds.append(
            ("Candidates", candidate_panels, f"{name} beside each of its {len(picture.candidates)} nearest candidates")
        )
    return [
        {
            "title": title,
            "label": label,
            "svg": Markup(
                draw(picture, PAGE_WIDTH).svg(label, "chart wide") + draw(picture, NARROW).svg(label, "chart narrow")
            ),
        }
        for title, draw, label in kinds
    ]


def _candidates(subject: Subject, la_id: str, key: str) -> Table:
    facts = subject.facts[subject.facts["treatment_la_id"] == la_id].set_index("la_id")
    rows = []
    for row in records(subject.ranking[subject.ranking["treatment_la_id"] == la_id].sort_values("rank")):
        other = str(row.candidate_la_id)
        told = facts.loc[other] if other in facts.index else None
        mean, size = _level(subject, other, la_id)
        rows.append(
            Row(
                [
                    subject.name(other),
                    str(row.rank),
                    words.decimal(row.distance),
                    words.decimal(row.noise_ratio, 1),
                    str(row.quarters_count),
                    _told(told, "region_name"),
                    _told(told, "ofsted_judgement"),
                    _neighbour(told),
                    _percent(told),
                    words.decimal(mean, 1),
                    words.whole(size),
                    words.sentence(str(row.decision)),
                    words.sentence(str(row.reason)),
                ],
                kind="chosen" if bool(row.is_accepted) else "",
            )
        )
    return Table(
        f"candidates-{key}",
        "The nearest candidates in rank order (shaded: taken)",
        [
            text("LA"), number("Rank"), number("Distance"), number("× noise"), number("Periods"), text("Region"),
            text("Ofsted at go-live"), text("Statistical neighbour"), number("Free school meals"),
            number("Mean of the outcome"), number("Children or sessions a period"), text("Decided by"), text("Why"),
        ],
        rows,
    )  # fmt: skip


def _own_facts(subject: Subject, la_id: str, picture: Picture | None) -> list[tuple[str, str]]:
    facts = subject.facts[(subject.facts["treatment_la_id"] == la_id) & (subject.facts["la_id"] == la_id)]
    told = facts.iloc[0] if len(facts) else None
    mean, size = _level(subject, la_id, la_id)
    judged = _told(told, "ofsted_judgement")
    if told is not None and not pd.isna(told["ofsted_published_date"]):
        judged += f" (published {words.long_date(as_day(told['ofsted_published_date']))})"
    neighbours = subject.facts[
        (subject.facts["treatment_la_id"] == la_id) & subject.facts["neighbour_rank"].notna()
    ].sort_values("neighbour_rank")
    names = [f"{subject.name(str(row.la_id))} ({int(row.neighbour_rank)})" for row in records(neighbours)]
    return [
        ("Region", _told(told, "region_name")),
        ("Ofsted at go-live", judged),
        ("Pupils with free school meals", _percent(told)),
        ("Statistical neighbours that may serve (rank)", words.listed(names) or NOT_HELD),
        ("Outcome before go-live", f"{words.decimal(mean, 1)} {subject.unit}, mean over the periods shown"),
        ("Children or sessions a period", words.whole(size)),
        ("Periods with a figure", str(len(picture.own.days)) if picture else "0"),
    ]


def _level(subject: Subject, la_id: str, treatment_la_id: str) -> tuple[float, float]:
    """Mean outcome in its own unit and mean size of an LA over the treatment LA's window."""
    own = subject.trends[subject.trends["la_id"] == treatment_la_id]["day"]
    rows = subject.trends[subject.trends["la_id"] == la_id]
    rows = rows[(rows["day"] >= own.min()) & (rows["day"] <= own.max())]
    if rows.empty:
        return float("nan"), float("nan")
    return subject.factor * float(rows["value"].mean()), float(rows["denominator"].mean())


def _told(facts: Any, column: str) -> str:
    return NOT_HELD if facts is None or pd.isna(facts[column]) else str(facts[column])


def _neighbour(facts: Any) -> str:
    return "no" if facts is None or pd.isna(facts["neighbour_rank"]) else f"yes, rank {int(facts['neighbour_rank'])}"


def _percent(facts: Any) -> str:
    return NOT_HELD if facts is None or pd.isna(facts["fsm_pct"]) else f"{words.decimal(float(facts['fsm_pct']), 1)}%"


def _shocks(subject: Subject, shocks: Sequence[tuple[str, Any]], key: str) -> Table | None:
    if not shocks:
        return None
    return Table(
        f"shocks-{key}",
        "Events of the shock register up to go-live; a letter where it is marked in the charts",
        [text("Mark"), text("Day"), text("Where"), text("Kind"), text("What happened"), text("Source")],
        [
            Row(
                [
                    name or "after the periods shown",
                    words.long_date(as_day(row.shock_date)),
                    "England" if pd.isna(row.la_id) else subject.name(str(row.la_id)),
                    words.sentence(str(row.kind)),
                    str(row.title),
                    str(row.source),
                ]
            )
            for name, row in shocks
        ],
    )


def _letters_in_words(subject: Subject, shocks: Sequence[tuple[str, Any]]) -> list[str]:
    marked = []
    for name, row in shocks:
        place = "England" if pd.isna(row.la_id) else subject.name(str(row.la_id))
        if name:
            marked.append(f"{name} {place}: {row.title} ({words.long_date(as_day(row.shock_date))})")
    return [f"Marks: {'; '.join(marked)}."] if marked else []


def _period(day: date, subject: Subject) -> str:
    if subject.frequency == "quarter":
        return f"{day:%B %Y}"
    return f"{day.year}/{(day.year + 1) % 100:02d}"


def _index(pages: Sequence[DecisionPage], marking: str) -> str:
    groups: dict[tuple[str, str], list[DecisionPage]] = {}
    for page in pages:
        groups.setdefault((page.programme, page.outcome), []).append(page)
    return fill(
        "decision_index.html.j2",
        marking=marking,
        groups=[
            {"title": f"{programme}: {words.lowered(outcome)}", "pages": held}
            for (programme, outcome), held in groups.items()
        ],
        decimal=words.decimal,
        listed=words.listed,
        sentence=words.sentence,
        long_date=words.long_date,
    )
