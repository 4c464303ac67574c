"""The published profile: matching and LA-level differences on figures that anyone may read (FV.MATCH.1 to .4).

Real LAs, real trends, no child: eligibility, ranking, decision pages and difference-in-differences on published LA
tables, as a description. Without a folder it runs on the synthetic twin of the same tables. Page:
docs/methods/published_figures.md.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from sfpc.errors import InputError, SfpcError
from sfpc.estimation.panel import EventTime, PanelEffect, build_panel, estimate_effects, event_study
from sfpc.landing.account import read_landing_settings
from sfpc.landing.gate import Gate
from sfpc.landing.published import land_published
from sfpc.matching.trends import rank_candidates
from sfpc.progress import say, step
from sfpc.settings import Paths
from sfpc.warehouse.build import build

SELECTOR = "published"
SYNTHETIC_VOLUME = 0.1
NEAREST, ALL_CANDIDATES = "nearest", "all"
RULE = "nearest in published figures"
FIRST_EVENT_YEAR, LAST_EVENT_YEAR = -4, 3
_SEED = 20210701
_MARTS = (
    "dim_published_areas",
    "dim_published_series",
    "fct_published_la_periods",
    "fct_published_trends",
    "dim_pair_facts",
    "dim_shocks",
    "dim_evaluation_settings",
)


@dataclass(frozen=True)
class PublishedSettings:
    """Settings of the profile; the first four as `sfpc.matching.MatchingSettings`.

    published_comparators: comparators per treatment LA. published_first_year: first year of the differences.
    published_permutations: placebo assignments. significance_level: two-sided, as a proportion.
    """

    matching_ranking_length: int
    matching_minimum_quarters: int
    matching_maximum_comparators: int
    matching_calliper_noise_ratio: float
    published_comparators: int
    published_first_year: int
    published_permutations: int
    significance_level: float


@dataclass(frozen=True)
class Difference:
    """An effect of one series and comparison ('nearest' or 'all'), and the LAs behind it."""

    programme_id: str
    series_id: str
    comparison: str
    treated_count: int
    comparison_count: int
    effect: PanelEffect


@dataclass(frozen=True)
class PublishedRun:
    """What the page is made of; every table is about LAs.

    marts: by name. ranking: rows of `rank_candidates`, outcome_id being the series. reasons: why a treatment LA
    has no ranking, by programme, series and la_id. differences, events: by programme and series where estimated.
    files: one row per file landed and published table (source_file, published_table, rows_landed, sha256).
    """

    is_synthetic: bool
    landed_at: str
    settings: PublishedSettings
    programmes: list[str]
    marts: Mapping[str, pd.DataFrame]
    ranking: pd.DataFrame
    reasons: Mapping[tuple[str, str], dict[str, str]]
    differences: list[Difference]
    events: Mapping[tuple[str, str], list[EventTime]]
    files: pd.DataFrame
    titles: Mapping[str, Mapping[str, str]]


def run_published(paths: Paths, directory: Path | None) -> Path:
    """Land the published tables below ``directory``, match, estimate and write the page; returns its path.

    Everything goes to ``data/published`` and ``outputs/published``. Raises InputError for a folder without a table
    that is known, or a table that cannot be read; SfpcError where none of the programmes has a treatment LA in it.
    """
    from sfpc.report.published import write_published

    own = Paths(paths.root, paths.data / "published", paths.outputs / "published")
    own.data.mkdir(parents=True, exist_ok=True)
    source = directory if directory is not None else synthetic_published(paths, own.data)
    with step(f"landing published figures in {source}"):
        land(own, source)
    build(own, selector=SELECTOR)
    with step("matching and differences on published figures"):
        run = analyse(own, is_synthetic=directory is None)
    with step("pages"):
        page = write_published(own, run)
    say(f"  {page}")
    return page


def land(own: Paths, source: Path) -> None:
    """Land the published tables below ``source``, and nothing else."""
    settings = read_landing_settings(own.root / "seeds" / "protocol" / "landing_settings.csv")
    with Gate(own.landing, "national", base=source, settings=settings) as gate:
        if not land_published(source, gate):
            raise InputError(
                "holds none of the published tables that this project reads (README names them); they are known by "
                "their header, whatever the file is called",
                file=source,
            )
        gate.commit()


def synthetic_published(paths: Paths, folder: Path) -> Path:
    """Write a small synthetic run and its published tables; returns the folder of the tables."""
    from sfpc.synthetic.extracts import synthesise

    work = Paths(paths.root, folder / "synthetic", folder)
    with step("synthetic children for published figures"):
        synthesise("small", 1, work.extracts, work.truth, paths.root / "seeds", volume=SYNTHETIC_VOLUME, quiet=True)
    return work.extracts / "published"


def analyse(own: Paths, is_synthetic: bool, permutations: int | None = None) -> PublishedRun:
    """Rank and estimate from the marts in ``own``, for every programme with a treatment LA in the figures.

    permutations: placebo assignments, where not those of the settings.
    """
    with duckdb.connect(str(own.marts_db), read_only=True) as connection:
        connection.execute("set threads = 1")
        marts = {name: connection.execute(f"select * from marts.{name} order by all").df() for name in _MARTS}
    settings = read_published_settings(marts["dim_evaluation_settings"])
    if permutations is not None:
        settings = replace(settings, published_permutations=permutations)
    areas = marts["dim_published_areas"]
    held = set(areas.loc[areas["is_treatment_la"].astype(bool), "programme_id"])
    programmes = [p for p in _rows(own.root / "seeds" / "programmes" / "programmes.csv", "programme_id") if p in held]
    if not programmes:
        raise SfpcError("the published figures hold no treatment LA of any programme")
    ranking, reasons = rank_published(marts, programmes, settings)
    differences, events = _differences(marts, programmes, ranking, settings)
    manifest: Mapping[str, Any] = json.loads((own.landing / "manifest.json").read_text(encoding="utf-8"))
    tables = own.root / "seeds" / "protocol" / "published_tables.csv"
    with tables.open(newline="", encoding="utf-8") as handle:
        titles = {row["published_table"]: row for row in csv.DictReader(handle)}
    return PublishedRun(
        is_synthetic=is_synthetic,
        landed_at=str(manifest["landed_at"]),
        settings=settings,
        programmes=programmes,
        marts=marts,
        ranking=ranking,
        reasons=reasons,
        differences=differences,
        events=events,
        files=_files(own, manifest),
        titles=titles,
    )


def read_published_settings(rows: pd.DataFrame) -> PublishedSettings:
    """The settings from dim_evaluation_settings; one that is absent or not a number is an error naming it."""
    values = dict(zip(rows["setting"], rows["value"], strict=True))
    given: dict[str, float] = {}
    for name in PublishedSettings.__dataclass_fields__:
        try:
            given[name] = float(values[name])
        except (KeyError, ValueError) as error:
            raise SfpcError(f"dim_evaluation_settings: no number for '{name}'") from error
    whole = {n: int(v) for n, v in given.items() if PublishedSettings.__dataclass_fields__[n].type == "int"}
    return PublishedSettings(**{**given, **whole})  # type: ignore[arg-type]


def rank_published(
    marts: Mapping[str, pd.DataFrame], programmes: list[str], settings: PublishedSettings
) -> tuple[pd.DataFrame, dict[tuple[str, str], dict[str, str]]]:
    """Rank candidates by the trends of every series, and say why a treatment LA has no ranking.

    The distance is that of FV.MATCH.2. Whom the rule takes differs: the nearest `published_comparators`, within the
    calliper or not (DECISIONS D76).
    """
    areas, trends = marts["dim_published_areas"], marts["fct_published_trends"]
    rankings: list[pd.DataFrame] = []
    reasons: dict[tuple[str, str], dict[str, str]] = {}
    for series in _records(_series(marts)):
        least = settings.matching_minimum_quarters if pd.isna(series.minimum_periods) else int(series.minimum_periods)
        own_settings = replace(settings, matching_minimum_quarters=least)
        for programme_id in programmes:
            roles = areas[areas["programme_id"] == programme_id]
            rows = trends[(trends["programme_id"] == programme_id) & (trends["series_id"] == series.series_id)]
            ranked = rank_candidates(_as_quarters(rows), roles, own_settings) if len(rows) else pd.DataFrame()
            counts = rows.groupby("la_id").size()
            missing: dict[str, str] = {}
            for la_id in roles.loc[roles["is_treatment_la"].astype(bool), "la_id"]:
                if len(ranked) and (ranked["treatment_la_id"] == la_id).any():
                    continue
                held = int(counts.get(la_id, 0))
                word = "quarters" if series.frequency == "quarter" else "years"
                missing[str(la_id)] = (
                    f"the published figures hold {held} whole {word if held != 1 else word[:-1]} of the LA before"
                    f" go-live; {least} are needed"
                    if held < least
                    else f"no candidate shares {least} {word} with this LA"
                )
            reasons[programme_id, str(series.series_id)] = missing
            if len(ranked):
                rankings.append(_taken(ranked, settings))
    return (pd.concat(rankings, ignore_index=True) if rankings else pd.DataFrame()), reasons


def _as_quarters(rows: pd.DataFrame) -> pd.DataFrame:
    """Trends as the ranking reads them: it counts calendar quarters, and here period follows on period."""
    number = rows["period_number"].astype(int)
    days = pd.to_datetime({"year": 2000 + number // 4, "month": 3 * (number % 4) + 1, "day": 1})
    return rows.assign(outcome_id=rows["series_id"], quarter_start_date=days)


def _taken(ranked: pd.DataFrame, settings: PublishedSettings) -> pd.DataFrame:
    is_taken = ranked["rank"] <= settings.published_comparators
    limit = settings.matching_calliper_noise_ratio

    def reason(ratio: float, taken: bool) -> str:
        known = np.isfinite(ratio)
        place = f"{ratio:.1f} times the distance of sampling error alone" if known else "sampling error is not known"
        beyond = f", more than the limit of {limit:g} for the children's own data" if known and ratio > limit else ""
        return f"{'one of' if taken else 'not one of'} the {settings.published_comparators} nearest; {place}{beyond}"

    reasons = [reason(float(r), bool(t)) for r, t in zip(ranked["noise_ratio"], is_taken, strict=True)]
    return ranked.assign(is_accepted=is_taken, decision=RULE, reason=reasons)


def _differences(
    marts: Mapping[str, pd.DataFrame], programmes: list[str], ranking: pd.DataFrame, settings: PublishedSettings
) -> tuple[list[Difference], dict[tuple[str, str], list[EventTime]]]:
    periods = marts["fct_published_la_periods"]
    periods = periods[periods["register_year"] >= settings.published_first_year]
    series = _series(marts)
    differences: list[Difference] = []
    events: dict[tuple[str, str], list[EventTime]] = {}
    arguments = (settings.significance_level, settings.published_permutations, _SEED)
    for programme_id in programmes:
        for series_id in series.loc[series["is_estimated"].astype(bool), "series_id"]:
            rows = periods[(periods["programme_id"] == programme_id) & (periods["series_id"] == series_id)]
            for comparison, others in _comparisons(rows, ranking, programme_id, str(series_id)).items():
                panel = build_panel(rows[rows["is_treatment_la"].astype(bool) | rows["la_id"].isin(others)])
                treated = int(panel.is_treated_la.sum())
                counts = (treated, len(panel.la_ids) - treated)
                for effect in estimate_effects(panel, *arguments):
                    differences.append(Difference(programme_id, str(series_id), comparison, *counts, effect))
                if comparison == ALL_CANDIDATES:
                    events[programme_id, str(series_id)] = event_study(
                        panel, FIRST_EVENT_YEAR, LAST_EVENT_YEAR, *arguments
                    )
    return differences, events


def _comparisons(rows: pd.DataFrame, ranking: pd.DataFrame, programme_id: str, series_id: str) -> dict[str, list[str]]:
    """Comparison LAs: those taken by the ranking of this series, and all candidates."""
    result: dict[str, list[str]] = {}
    if len(ranking):
        own = ranking[
            (ranking["programme_id"] == programme_id)
            & (ranking["outcome_id"] == series_id)
            & ranking["is_accepted"].astype(bool)
        ]
        if len(own):
            result[NEAREST] = sorted(own["candidate_la_id"].unique())
    result[ALL_CANDIDATES] = sorted(rows.loc[rows["is_matching_candidate"].astype(bool), "la_id"].unique())
    return result


def _series(marts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    series = marts["dim_published_series"]
    return series[series["series_id"].notna()]


def _records(frame: pd.DataFrame) -> list[Any]:
    """The rows as named tuples."""
    return list(frame.itertuples())


def _rows(path: Path, column: str) -> list[str]:
    with path.open(newline="", encoding="utf-8") as handle:
        return [row[column] for row in csv.DictReader(handle)]


def _files(own: Paths, manifest: Mapping[str, Any]) -> pd.DataFrame:
    with duckdb.connect() as connection:
        files = connection.execute(
            "select source_file, published_table, count(*) as rows_landed from read_parquet(?, union_by_name = true) "
            "group by source_file, published_table order by published_table, source_file",
            [str(own.landing / "published_figures" / "*.parquet")],
        ).df()
    hashes = {entry["file"]: entry["sha256"] for entry in manifest["files"]}
    return files.assign(sha256=[hashes.get(name, "") for name in files["source_file"]])
