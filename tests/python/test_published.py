"""The published profile: series from published tables, the blindfold, the page that anyone may read (FV.MATCH.1 to .4).

Everything runs on the synthetic twin of the tables, and on the real ones where they are at hand.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from browser import browser, look_at
from conftest import ROOT, SEEDS, shared_dir
from sfpc import published
from sfpc.errors import InputError
from sfpc.landing.published import LA_LEVEL, table_of
from sfpc.published import PublishedRun, analyse, land, run_published, synthetic_published
from sfpc.report.published import MARKING, SYNTHETIC_MARKING, render, write_published
from sfpc.settings import Paths
from sfpc.warehouse.build import build
from test_decision_pages import Page

PERMUTATIONS = 49
SOURCES = ("twin", "published") if shared_dir() else ("twin",)
EXPECTED_PROGRAMME = "family_valued"


@pytest.fixture(scope="module", params=SOURCES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Paths, Path]]:
    """Paths of a built published profile and the folder of its tables."""
    folder = tmp_path_factory.mktemp(request.param)
    paths = Paths(ROOT, folder / "data", folder / "outputs")
    paths.data.mkdir()
    shared = shared_dir()
    if request.param == "published" and shared is not None:
        source = shared / "reference-data" / "published"
    else:
        source = synthetic_published(paths, paths.data)
    land(paths, source)
    build(paths, selector=published.SELECTOR)
    yield paths, source
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def run_(built: tuple[Paths, Path]) -> PublishedRun:
    paths, _ = built
    return analyse(paths, is_synthetic="twin" in str(paths.data), permutations=PERMUTATIONS)


def only(run: PublishedRun, programme: str = EXPECTED_PROGRAMME) -> PublishedRun:
    """The run with one programme alone: pages take time."""
    return replace(
        run,
        programmes=[programme],
        differences=[d for d in run.differences if d.programme_id == programme],
        events={key: value for key, value in run.events.items() if key[0] == programme},
    )


def las(source: Path, table: str) -> list[dict[str, str]]:
    """LA rows of a published table, read anew."""
    for path in sorted(source.glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            found = table_of(tuple(reader.fieldnames or ()))
            if found is not None and found.name == table:
                return [row for row in reader if row["geographic_level"] == LA_LEVEL]
    raise AssertionError(table)


def periods(run: PublishedRun, series: str, programme: str = EXPECTED_PROGRAMME) -> pd.DataFrame:
    rows = run.marts["fct_published_la_periods"]
    return rows[(rows["programme_id"] == programme) & (rows["series_id"] == series)]


def test_rates_are_the_published_counts_on_the_published_population(
    built: tuple[Paths, Path], run_: PublishedRun
) -> None:
    """Counted anew from the files, LA by LA that was never reorganised; a marker leaves no rate (trap 25)."""
    _, source = built
    people = {
        (r["old_la_code"], int(r["time_period"]) + 1): r["population_estimate"] for r in las(source, "population")
    }
    held = periods(run_, "protection_plan_starts").set_index(["la_id", "register_year"])
    compared = hidden = 0
    for row in las(source, "d3"):
        key = (row["old_la_code"], int(row["time_period"]))
        if key not in held.index or len(str(held.loc[key, "la_id"] if "la_id" in held else key[0])) != 3:
            continue
        if key[0] in reorganised():
            continue
        value = held.loc[key, "rate"]
        if row["CPP_start"].isdigit() and people.get(key, "").isdigit():
            assert value == pytest.approx(10_000 * int(row["CPP_start"]) / int(people[key]), rel=1e-12), key
            compared += 1
        elif not row["CPP_start"].isdigit():
            assert pd.isna(value) and held.loc[key, "hidden_because"] == row["CPP_start"], key
            hidden += 1
    assert compared > 100 and hidden > 0


def reorganised() -> set[str]:
    with (SEEDS / "reference/local_authority_successors.csv").open(newline="", encoding="utf-8") as handle:
        rows = [r for r in csv.DictReader(handle) if r["relationship"] != "recode"]
    return {r["from_la_code"] for r in rows} | {r["to_la_code"] for r in rows}


def test_a_reorganised_area_is_one_series_over_the_break(built: tuple[Paths, Path], run_: PublishedRun) -> None:
    """FV.MATCH.1: before and after a split the area is the sum of its codes; populations may be carried, and say so."""
    _, source = built
    held = periods(run_, "referrals").set_index(["la_id", "register_year"])
    counts: Counter[int] = Counter()
    for row in las(source, "c1"):
        if row["old_la_code"] in ("928", "940", "941"):
            counts[int(row["time_period"])] += int(row["referral_count"])
    assert {2021, 2022} <= set(counts)
    for year, count in counts.items():
        assert held.loc[("928", year), "numerator"] == count
        assert held.loc[("928", year), "denominator"] > 0
    assert not held["is_denominator_carried"].isna().any()
    assert not {"940", "941"} & {la for la, _ in held.index}


def test_quarters_are_three_whole_months(built: tuple[Paths, Path], run_: PublishedRun) -> None:
    """FV.MATCH.3: monthly referrals become calendar quarters; one hidden month hides the quarter."""
    _, source = built
    held = periods(run_, "referrals_by_quarter")
    held = held.assign(day=pd.to_datetime(held["period_start_date"])).set_index(["la_id", "day"])
    compared = hidden = 0
    for row in las(source, "c6"):
        if row["old_la_code"] in reorganised():
            continue
        months = [row[m] for m in ("April", "May", "June")]
        key = (row["old_la_code"], pd.Timestamp(int(row["time_period"]) - 1, 4, 1))
        if all(m.isdigit() for m in months):
            assert held.loc[key, "numerator"] == sum(map(int, months))
            compared += 1
        else:
            assert pd.isna(held.loc[key, "rate"]) and held.loc[key, "hidden_because"] in months
            hidden += 1
    assert compared > 50 and hidden > 0


def test_matching_sees_nothing_from_go_live_on(built: tuple[Paths, Path], run_: PublishedRun) -> None:
    """FV.MATCH.3: counted anew from the programme rows; quarters keep the gap, years end by go-live."""
    with (SEEDS / "programmes/programme_local_authorities.csv").open(newline="", encoding="utf-8") as handle:
        live = {
            (r["programme_id"], r["la_code"]): pd.Timestamp(r["go_live_date"])
            for r in csv.DictReader(handle)
            if r["role"] == "treatment"
        }
    trends = run_.marts["fct_published_trends"]
    own = trends[trends["is_treatment_la"].astype(bool)]
    assert len(own) > 30
    for row in own.itertuples():
        go_live = live[str(row.programme_id), str(row.la_id)]
        gap = 18 if row.series_id == "referrals_by_quarter" else 0
        assert pd.Timestamp(row.period_end_date) < go_live - pd.DateOffset(months=gap), row
        if gap:
            assert pd.Timestamp(row.period_start_date) >= go_live - pd.DateOffset(months=48), row


def test_what_comes_after_go_live_cannot_move_the_ranking(built: tuple[Paths, Path], run_: PublishedRun) -> None:
    """FV.MATCH.3: figures of treatment LAs after go-live may be anything; the ranking stays."""
    paths, _ = built
    with duckdb.connect(str(paths.marts_db), read_only=True) as connection:
        trends = connection.execute("select * from marts.fct_published_trends order by all").df()
    moved = {**run_.marts, "fct_published_la_periods": run_.marts["fct_published_la_periods"].assign(rate=-1.0)}
    again, _ = published.rank_published({**moved, "fct_published_trends": trends}, run_.programmes, run_.settings)
    pd.testing.assert_frame_equal(again, run_.ranking)
    assert (again["rank"] <= run_.settings.matching_ranking_length).all()
    assert (again["is_accepted"] == (again["rank"] <= run_.settings.published_comparators)).all()


def test_a_ranking_is_the_distance_by_hand(run_: PublishedRun) -> None:
    """FV.MATCH.2: root mean square of the differences of changes between neighbouring periods that both have."""
    row = run_.ranking.sort_values(["programme_id", "outcome_id", "treatment_la_id", "rank"]).iloc[3]
    trends = run_.marts["fct_published_trends"]
    trends = trends[(trends["programme_id"] == row["programme_id"]) & (trends["series_id"] == row["outcome_id"])]
    a, b = (
        trends[trends["la_id"] == la].set_index("period_number")["standardised_value"]
        for la in (row["treatment_la_id"], row["candidate_la_id"])
    )
    both = sorted(set(a.index) & set(b.index))
    squares = [((a[n] - a[n - 1]) - (b[n] - b[n - 1])) ** 2 for n in both if n - 1 in a.index and n - 1 in b.index]
    assert row["distance"] == pytest.approx((sum(squares) / len(squares)) ** 0.5, rel=1e-9)
    assert (row["quarters_count"], row["changes_count"]) == (len(both), len(squares))


def test_every_treatment_la_is_ranked_or_told_why(run_: PublishedRun) -> None:
    areas = run_.marts["dim_published_areas"]
    for (programme, series), reasons in run_.reasons.items():
        own = areas[(areas["programme_id"] == programme) & areas["is_treatment_la"].astype(bool)]
        ranked = run_.ranking[(run_.ranking["programme_id"] == programme) & (run_.ranking["outcome_id"] == series)]
        assert {*ranked["treatment_la_id"], *reasons} == set(own["la_id"])
        assert all("needed" in r or "no candidate" in r for r in reasons.values())
    # The published figures of care start too late for anybody to be ranked on them.
    assert run_.reasons[EXPECTED_PROGRAMME, "care_starts"]


def test_differences_leave_the_year_of_go_live_out_and_carry_lots(run_: PublishedRun) -> None:
    """FV.EST.3: every difference has a clustered interval and a share of lots; the first event is years before."""
    assert {d.comparison for d in run_.differences} == {"nearest", "all"}
    for d in run_.differences:
        effect = d.effect
        assert effect.permutation_count == PERMUTATIONS + 1
        if d.treated_count > 1:
            assert 1 / (PERMUTATIONS + 1) <= effect.permutation_p <= 1
        assert effect.estimate.ci_low < effect.estimate.estimate < effect.estimate.ci_high
    own = [d for d in run_.differences if d.programme_id == EXPECTED_PROGRAMME]
    assert {d.series_id for d in own} >= {"care_starts", "protection_plan_starts", "episodes_open", "referrals"}
    assert all(-1 not in [e.relative_period for e in events] for events in run_.events.values())


def test_the_page_is_one_file_that_says_what_it_cannot_say(built: tuple[Paths, Path], run_: PublishedRun) -> None:
    paths, _ = built
    run = only(run_)
    path = write_published(paths, run)
    markup = path.read_text(encoding="utf-8")
    page = Page(markup)
    assert (SYNTHETIC_MARKING if run.is_synthetic else MARKING) in page.text
    for words in ("a description, not the trial's result", "Ecological", "No cohort of first referrals", "18 months",
                  "Few points before go-live", "By lot"):  # fmt: skip
        assert words in page.text, words
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe"}
    for _, attributes in page.tags:
        target = attributes.get("href") or ""
        assert not re.match(r"[a-z]+:|//", target), target
        assert target.startswith("#") or not target or (path.parent / target).is_file(), target
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert max(ids.values()) == 1
    areas = run.marts["dim_published_areas"]
    own = areas[(areas["programme_id"] == EXPECTED_PROGRAMME) & areas["is_treatment_la"].astype(bool)]
    assert len(own) == 5 and all(name in page.text for name in own["la_name"])
    for series in run.marts["dim_published_series"].itertuples():
        assert series.cannot_say in page.text
        assert series.label in page.text or pd.isna(series.series_id)
    for title in ("Characteristics of children in need", "Department for Education", "Office for National Statistics"):
        assert title in page.text
    for name in ("ranking", "differences", "events"):
        assert (path.parent / f"{name}.csv").stat().st_size > 200
    assert render(run, [], MARKING) == render(run, [], MARKING)


def test_the_page_in_a_real_browser(
    built: tuple[Paths, Path], run_: PublishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for decision pages; without a Chromium the page's charts are counted in its text, and the output says so."""
    run = only(run_)
    path = tmp_path / "index.html"
    path.write_text(render(run, [], MARKING), encoding="utf-8")
    wanted = len(run.events) + sum(1 for s in run.marts["dim_published_series"]["is_estimated"] if s)
    program = browser()
    if program is None:
        with capsys.disabled():
            print("\nno Chromium installed: charts counted in the page's text, not in a browser")
        assert path.read_text(encoding="utf-8").count('<svg class="chart wide"') >= wanted - 1
        return
    for width in (1280, 375):
        seen = look_at(program, path, width, tmp_path)
        assert len(seen.svgs) >= wanted - 1 and all(s["width"] <= width for s in seen.svgs)
        assert seen.cut == 0 and seen.asked == [] and seen.overflow <= 0


def test_a_folder_without_published_tables_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    with pytest.raises(InputError, match="holds none of the published tables"):
        run_published(paths, tmp_path / "in")
    with pytest.raises(InputError, match="expected a folder of published tables"):
        run_published(paths, tmp_path / "nowhere")


def test_readme_names_the_tables_and_their_publishers() -> None:
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    with (SEEDS / "protocol/published_tables.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            assert row["publisher"] in text and row["publication"].split(" (")[0] in text, row["published_table"]
