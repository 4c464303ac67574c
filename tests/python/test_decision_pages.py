"""Decision pages: what they show, what they must not show, and how they look in a browser (FV.MATCH.4, .6)."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from browser import browser, look_at
from conftest import querying
from sfpc.errors import SfpcError
from sfpc.report.decision import Subject, picture_of, write_decision_pages, write_evaluation_pages
from sfpc.report.decision_charts import PAGE_WIDTH, candidate_panels, document_image
from sfpc.report.drawing import Area, Drawing, Stroke
from sfpc.settings import Paths

GO_LIVE = date(2022, 1, 1)
QUARTERS = pd.date_range("2018-01-01", periods=10, freq="QS")
NAMES = {"t": "Northby", **{f"c{i:02d}": f"Candidate {i}" for i in range(12)}, "c03": "Upper Vale / Lower Vale"}
TEXT_WIDTHS = {"wide": 1280, "telephone": 375}


def subject() -> Subject:
    """A treatment LA, twelve candidates, ten of them ranked; a gap in the first; shocks before and after go-live."""
    generator = np.random.default_rng(5)
    out = []
    for la in NAMES:
        values = generator.normal(0, 0.8, 10).cumsum() / 2
        for i, day in enumerate(QUARTERS):
            if la == "c00" and i == 4:
                continue
            has_before = i > 0 and not (la == "c00" and i == 5)
            out.append(
                {
                    "la_id": la, "day": day, "value": 0.04 + i / 1000, "denominator": 1200,
                    "standardised_value": values[i],
                    "standardised_change": values[i] - values[i - 1] if has_before else np.nan,
                    "value_standard_error": 0.3, "change_standard_error": 0.4 if has_before else np.nan,
                }
            )  # fmt: skip
    ranking = pd.DataFrame(
        {
            "treatment_la_id": "t", "candidate_la_id": [f"c{i:02d}" for i in range(10)], "rank": range(1, 11),
            "distance": np.linspace(0.4, 0.9, 10), "noise_ratio": np.linspace(1.1, 2.4, 10), "quarters_count": 10,
            "is_accepted": [True, True, *[False] * 8], "decision": "automatic rule", "reason": "by the rule",
        }
    )  # fmt: skip
    areas = pd.DataFrame(
        {
            "la_id": list(NAMES), "la_name": list(NAMES.values()),
            "go_live_date": [pd.Timestamp(GO_LIVE), *[pd.NaT] * 12], "is_treatment_la": [True, *[False] * 12],
        }
    )  # fmt: skip
    facts = pd.DataFrame(
        [
            ("t", "t", "North", "Good", pd.Timestamp("2019-05-01"), None, 21.5),
            ("t", "c00", "North", "Outstanding", pd.Timestamp("2020-05-01"), 3, 19.0),
            ("t", "c01", "South", None, pd.NaT, None, None),
        ],
        columns=[
            "treatment_la_id", "la_id", "region_name", "ofsted_judgement", "ofsted_published_date", "neighbour_rank",
            "fsm_pct",
        ],
    )  # fmt: skip
    shocks = pd.DataFrame(
        [
            (pd.Timestamp("2018-05-05"), None, "pandemic", "Something everywhere", "a source"),
            (pd.Timestamp("2019-02-01"), "t", "Ofsted", "Something here", "a source"),
            (pd.Timestamp("2019-03-01"), "c02", "Ofsted", "Something at a candidate", "a source"),
            (pd.Timestamp("2019-03-01"), "c11", "Ofsted", "Something at an LA that is not ranked", "a source"),
            (pd.Timestamp("2021-06-01"), None, "policy", "Something after the window", "a source"),
            (pd.Timestamp("2022-01-01"), None, "policy", "Something at go-live", "a source"),
            (pd.Timestamp("2017-06-01"), None, "policy", "Something before the window", "a source"),
        ],
        columns=["shock_date", "la_id", "kind", "title", "source"],
    )
    return Subject(
        "some_programme", "Some Programme", "had_it", "Had it within 18 months", "quarter", "% of children", 100.0,
        pd.DataFrame(out), ranking, {}, areas, facts, shocks, "A rule in one sentence.", ("A note.",),
    )  # fmt: skip


class Page(HTMLParser):
    """Tags with attributes and all text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return int(width), int(height)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("decisions")
    write_decision_pages(target, [subject()], "Internal: not for release")
    return target


def test_a_page_holds_charts_facts_and_shocks(folder: Path) -> None:
    page = Page((folder / "some_programme/had_it/t.html").read_text(encoding="utf-8"))
    assert "Northby" in page.text and "live from" in page.text.lower() and "1 January 2022" in page.text
    labels = [a["aria-label"] for tag, a in page.tags if tag == "svg"]
    assert len(labels) == 6 and len(set(labels)) == 3  # three charts at two widths
    for words in ("Outstanding", "yes, rank 3", "19.0%", "Good (published 1 May 2019)", "not held", "By the rule"):
        assert words in page.text, words
    for words in ("Something everywhere", "Something here", "Something at a candidate", "Something after the window"):
        assert words in page.text, words
    assert "Internal: not for release" in page.text


def test_nothing_from_go_live_on_and_nobody_else_is_shown(folder: Path) -> None:
    """FV.MATCH.3, FV.MATCH.6: shocks from go-live on, before the window or of LAs that are not ranked stay outside."""
    text = (folder / "some_programme/had_it/t.html").read_text(encoding="utf-8")
    for words in ("Something at go-live", "Something before the window", "not ranked", "Candidate 10", "Candidate 11"):
        assert words not in text, words


def test_a_page_asks_for_nothing_from_outside(folder: Path) -> None:
    for path in folder.rglob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"}
        for _, attributes in page.tags:
            for name in ("href", "src"):
                target = attributes.get(name)
                assert target is None or not re.match(r"[a-z]+:|//", target), target
                if target and not target.startswith("#"):
                    assert (path.parent / target).is_file(), target
        assert "url(" not in path.read_text(encoding="utf-8")


def test_candidates_stand_in_rank_order_with_marks_of_their_own() -> None:
    """FV.MATCH.4, FV.MATCH.6: ten panels; a candidate's own shock is marked in its panel alone."""
    found = picture_of(subject(), "t", GO_LIVE)
    assert found is not None
    picture, shocks = found
    assert [c.rank for c in picture.candidates] == list(range(1, 11))
    assert [(name, row.title) for name, row in shocks if name] == [
        ("a", "Something everywhere"), ("b", "Something here"), ("c", "Something at a candidate")
    ]  # fmt: skip
    drawing = candidate_panels(picture, PAGE_WIDTH)
    titles = [p.text for p in drawing.parts if hasattr(p, "text") and re.match(r"\d+\. ", p.text)]
    assert titles == [f"{i + 1}. {'Upper Vale (area)' if i == 3 else f'Candidate {i}'}" for i in range(10)]
    letters = [p.text for p in drawing.parts if hasattr(p, "text") and p.text in ("a", "b", "c")]
    assert (letters.count("a"), letters.count("b"), letters.count("c")) == (10, 10, 1)


def test_a_change_into_the_window_is_not_drawn() -> None:
    """FV.MATCH.3: a candidate that holds the quarter before the window has no change in its first quarter."""
    own = subject()
    trends = own.trends.copy()
    is_first = (trends["la_id"] == "c01") & (trends["day"] == QUARTERS[0])
    trends.loc[is_first, "standardised_change"] = 2.5
    before = trends[is_first].assign(day=pd.Timestamp("2017-10-01"))
    found = picture_of(replace(own, trends=pd.concat([before, trends])), "t", GO_LIVE)
    assert found is not None
    candidate = found[0].candidates[1].trend
    assert candidate.la_id == "c01" and candidate.days[0] == QUARTERS[0].date()
    assert np.isnan(candidate.changes[0]) and np.isfinite(candidate.changes[1:]).all()


def test_a_missing_quarter_is_a_gap_and_a_band_is_two_errors_wide() -> None:
    picture, _ = picture_of(subject(), "t", GO_LIVE) or pytest.fail("no picture")
    first = picture.candidates[0].trend
    assert len(first.days) == 9
    drawing = candidate_panels(replace(picture, candidates=picture.candidates[:1], marks=[]), PAGE_WIDTH)
    blue = [p for p in drawing.parts if isinstance(p, Stroke) and p.colour == "#0072b2"]
    # Values in two pieces; changes in two as well, the first after the gap having none.
    assert [len(p.points) for p in blue] == [4, 5, 3, 4]
    bands = [p for p in drawing.parts if isinstance(p, Area) and p.fill == "#8d9499"]
    (upper, lower) = bands[0].points[0][1], bands[0].points[-1][1]
    reach = 2 * max(1.0, max(abs(v) for c in [picture.own, first] for v in c.values))
    height_per_unit = 92.0 / (2 * np.ceil(reach) / 2)
    assert lower - upper == pytest.approx(2 * 1.959964 * 0.3 * height_per_unit, rel=1e-6)


def test_the_image_is_the_same_drawing_and_the_same_bytes(folder: Path) -> None:
    content = (folder / "some_programme/had_it/t.png").read_bytes()
    width, height = png_size(content)
    assert width == 2 * PAGE_WIDTH and height > 1500
    picture, _ = picture_of(subject(), "t", GO_LIVE) or pytest.fail("no picture")
    image = document_image(picture, "Title", ["A line."])
    assert image.png() == image.png()
    assert png_size(image.png())[1] == 2 * int(np.ceil(image.height))
    # Not a blank sheet: the data of the image do not fold to nearly nothing.
    body = content[content.index(b"IDAT") + 4 :]
    assert len(zlib.compress(body)) > 20_000


def test_an_la_without_a_figure_or_a_candidate_says_so(tmp_path: Path) -> None:
    own = subject()
    bare = replace(
        own,
        trends=own.trends[own.trends["la_id"] != "t"],
        ranking=own.ranking.iloc[:0],
        reasons={"t": "too few quarters: 0 of 8"},
    )
    (page,) = write_decision_pages(tmp_path, [bare], "Internal")
    text = Page((tmp_path / page.path).read_text(encoding="utf-8")).text
    assert "Too few quarters: 0 of 8." in text and "no figure in the window" in text
    assert not (tmp_path / page.png).exists() and page.chart == ""
    assert "none: too few quarters" in Page((tmp_path / "index.html").read_text(encoding="utf-8")).text


def test_a_drawing_breaks_where_a_point_is_missing() -> None:
    drawing = Drawing(100, 50)
    nan = float("nan")
    drawing.line([(0, 0), (1, 1), (2, nan), (3, 3)], "#000000")
    drawing.band([0, 1, 2], [1, nan, 1], [2, 2, 2], "#eeeeee", 0.5)
    assert [len(p.points) for p in drawing.parts] == [2, 2, 4, 4]
    assert drawing.svg("a < b", "chart").startswith('<svg class="chart" role="img" aria-label="a &lt; b"')


@pytest.mark.parametrize("window", list(TEXT_WIDTHS))
def test_the_page_in_a_real_browser(
    window: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opened offline at the width of a screen and of a telephone: charts are seen, nothing is cut or asked for.

    Without an installed Chromium the charts are measured from their text instead, and the output says so.
    """
    path = folder / "some_programme/had_it/t.html"
    program = browser()
    if program is None:
        with capsys.disabled():
            print("\nno Chromium installed: charts measured from their text, not in a browser")
        check_as_text(path)
        return
    seen = look_at(program, path, TEXT_WIDTHS[window], tmp_path)
    assert seen.title.startswith("Northby")
    assert len(seen.svgs) == 3 and all(s["height"] > 100 for s in seen.svgs)
    assert all(s["width"] <= TEXT_WIDTHS[window] for s in seen.svgs)
    assert seen.words > 100 and seen.cut == 0
    assert seen.asked == []
    assert seen.overflow <= 0


def test_charts_fit_when_measured_as_text(folder: Path) -> None:
    """The check that stands in for a browser holds too, so that it cannot rot."""
    check_as_text(folder / "some_programme/had_it/t.html")


def check_as_text(path: Path) -> None:
    """Every chart has a view, a name and words inside its view, by a width of 0.62 em a letter."""
    markup = path.read_text(encoding="utf-8")
    charts = re.findall(r"<svg .*?</svg>", markup, flags=re.DOTALL)
    assert len(charts) == 6
    for chart in charts:
        view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', chart)
        assert view is not None and 'role="img"' in chart and re.search(r'aria-label="[^"]{10,}"', chart)
        width, height = float(view[1]), float(view[2])
        words = re.findall(r'<text x="(-?[\d.]+)" y="(-?[\d.]+)" font-size="([\d.]+)"([^>]*)>([^<]*)<', chart)
        assert len(words) > 5
        for x, y, size, rest, text in words:
            reach = 0.62 * float(size) * len(text)
            left = float(x) - (reach if '"end"' in rest else reach / 2 if '"middle"' in rest else 0)
            assert left >= -12 and left + reach <= width + 24, text
            assert 0 <= float(y) <= height, text


def test_the_evaluation_has_a_page_for_every_la_and_outcome(evaluated: Paths, tmp_path: Path) -> None:
    """One renderer serves the children's own data: what evaluation ranked is what the pages show (FV.MATCH.4)."""
    paths = Paths(evaluated.root, evaluated.data, tmp_path)
    with pytest.raises(SfpcError, match="run `sfpc estimate`"):
        write_evaluation_pages(paths)
    shutil.copytree(evaluated.results, paths.results)
    index = write_evaluation_pages(paths)
    with querying(evaluated) as connection:
        expected: list[Any] = connection.execute(
            "select distinct t.programme_id, t.outcome_id, r.la_id from marts.fct_la_quarter_outcomes as t "
            "inner join marts.dim_programme_local_authorities as r on r.programme_id = t.programme_id "
            "where r.role = 'treatment'"
        ).fetchall()
    pages = {f"{p}/{o}/{la}.html" for p, o, la in expected}
    assert {str(p.relative_to(index.parent)) for p in index.parent.rglob("*.html")} == {*pages, "index.html"}
    assert all(link in index.read_text(encoding="utf-8") for link in pages)
    ranked = pd.read_csv(paths.results / "la_ranking.csv", dtype=str)
    best = ranked[ranked["rank"] == "1"].iloc[0]
    page = (index.parent / best["programme_id"] / best["outcome_id"] / f"{best['treatment_la_id']}.html").read_text(
        encoding="utf-8"
    )
    assert "Internal: not for release" in page and "Bands: what sampling error alone" in page
    with querying(evaluated) as connection:
        (name,) = connection.execute(
            "select la_name from marts.dim_local_authorities where la_id = ?", [best["candidate_la_id"]]
        ).fetchone() or ("",)
    assert f"1. {name.split(' / ')[0]}" in page
