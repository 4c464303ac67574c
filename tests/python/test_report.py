"""The report, from a handful of children whose every number is known by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from sfpc.errors import SfpcError
from sfpc.marts import REQUIRED_COLUMNS, fingerprints, open_marts
from sfpc.report import words
from sfpc.report.inputs import read_inputs
from sfpc.report.page import write_report
from sfpc.report.tables import lettered
from sfpc.results import RESULT_TABLES, write_json, write_result_table
from sfpc.settings import Paths

PROGRAMME, OUTCOME, RUN = "some_programme", "had_it", "0123456789ab"
LAS = {"T1": "Northby", "T2": "Southby", "C1": "Eastby / Eastby Vale", "C2": "Westby", "X1": "Midby"}
GO_LIVE = pd.Timestamp("2022-01-01")
# la, stratum, treated, children. Stratum "b" has no child in a comparison LA: those are not matched.
CELLS = [
    ("T1", "a", True, 8),
    ("T1", "b", True, 2),
    ("T1", "a", False, 6),
    ("T2", "a", True, 5),
    ("C1", "a", False, 12),
    ("C1", "c", False, 3),
    ("C2", "a", False, 9),
    ("X1", "a", False, 4),
]
MATCHED, TREATED = 8 + 6 + 12 + 9, 8
EFFECTS = pd.DataFrame(
    [
        ("lin", "Linear model", "linear", "percentage points", -1.987, 0.4, -2.9, -1.0741, 0.00312, False, "x: one"),
        ("log", "Logit", "logit", "percentage points", -2.1461, 0.4394, -3.1034, -1.1888, 0.000376, True, "two; one"),
        ("log", "Logit", "logit", "odds ratio", 0.5765, 0.06, 0.4593, 0.7235, 0.000194, False, None),
    ],
    columns=["specification_id", "label", "model", "scale", "estimate", "standard_error", "ci_low", "ci_high",
             "p_value", "is_primary", "note"],
).assign(
    programme_id=PROGRAMME, outcome_id=OUTCOME, clause="FV.EST.1", inference_method="CR1 by LA, t(G-1)",
    p_value_hochberg=float("nan"), degrees_of_freedom=12.0, children_count=MATCHED, treated_children_count=TREATED,
    cluster_count=3, treated_cluster_count=1, baseline_mean_pct=4.7282, weights="cem_protocol",
)  # fmt: skip
METHODS = EFFECTS.assign(is_primary_method=True)


@dataclass
class Page(HTMLParser):
    """What the tests need to know of a page."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)

    def table(self, key: str) -> list[list[str]]:
        """Cells of the body of a table."""
        body = self.text.split(f'<table id="{key}"', 1)[1].split("<tbody>", 1)[1].split("</tbody>", 1)[0]
        return [
            [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
            for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)
        ]


def children() -> pd.DataFrame:
    rows = []
    for la, stratum, is_treated, count in CELLS:
        for _ in range(count):
            number = len(rows)
            rows.append(
                {
                    "programme_id": PROGRAMME,
                    "child_id": f"child{number:03}",
                    "la_id": la,
                    "stratum": stratum,
                    "is_treated": is_treated,
                    "is_treatment_la": la.startswith("T"),
                    "index_referral_date": GO_LIVE + pd.Timedelta(days=30 if is_treated else -30),
                }
            )
    return pd.DataFrame(rows)


def marts() -> dict[str, pd.DataFrame]:
    cohort = children()
    areas = pd.DataFrame({"la_id": list(LAS), "la_name": list(LAS.values()), "programme_id": PROGRAMME})
    treatment = areas["la_id"].str.startswith("T")
    areas = areas.assign(
        role=np.where(treatment, "treatment", "comparison"),
        is_treatment_la=treatment,
        go_live_date=pd.Series(np.where(treatment, GO_LIVE, pd.NaT), dtype="datetime64[ns]"),
        is_matching_candidate=areas["la_id"].str.startswith("C"),
        exclusion_reason=np.where(areas["la_id"] == "X1", "partner_in_practice", None),
        trial_start_date=pd.Timestamp("2021-01-01"),
        trial_end_date=pd.Timestamp("2022-12-31"),
    )
    sample = cohort.groupby(["la_id", "is_treatment_la"]).size().reset_index(name="entry_count")
    sample = sample.assign(step_number=7, step="analysis sample", is_after_go_live=False)
    excluded = areas[["la_id", "is_treatment_la"]].assign(is_after_go_live=False)
    flow = pd.concat(
        [
            sample,
            excluded.assign(step_number=2, step="excluded: not of the programme's ages", entry_count=3),
            excluded.head(1).assign(
                step_number=6, step="excluded: follow-up not covered by the returns", entry_count=5
            ),
        ]
    ).assign(programme_id=PROGRAMME, outcome_id=OUTCOME)
    return {
        "dim_programme_local_authorities": areas,
        "dim_local_authorities": areas[["la_id", "la_name"]].assign(la_codes=areas["la_id"]),
        "dim_outcomes": pd.DataFrame(
            [
                (OUTCOME, "Had it within 18 months", "has_it", "binary", "implemented", True),
                ("later", "Comes later", "later", "binary", "planned", False),
            ],
            columns=["outcome_id", "label", "outcome_column", "outcome_kind", "status", "is_primary"],
        ),
        "dim_specifications": pd.DataFrame({"specification_id": ["log"]}),
        "dim_evaluation_settings": pd.DataFrame(
            [("significance_level", "0.05", "FV.EST.5", "Two-sided level")],
            columns=["setting", "value", "clause", "meaning"],
        ),
        "dim_protocol_definitions": pd.DataFrame(
            [
                ("FV.OUT.P", "Outcomes", "Had it <18 & more>", "implemented", "sql", "fct_child_outcomes"),
                ("FV.EST.3", "Regression", "Few clusters", "planned", "python", None),
            ],
            columns=["clause", "topic", "wording", "status", "home", "model"],
        ),
        "fct_sample_flow": flow,
        "fct_la_quarter_outcomes": trends().assign(standardised_value=0.0),
        **{
            name: pd.DataFrame(columns=sorted(REQUIRED_COLUMNS[name]), dtype="str")
            for name in (
                "fct_matching_trends",
                "fct_matching_quarters",
                "dim_matching_variants",
                "dim_la_match_decisions",
                "dim_shocks",
            )
        },
        "fct_cem_strata": cohort.assign(
            outcome_id=OUTCOME, covariate_stratum_id=cohort["stratum"], year_stratum_id=cohort["stratum"] + "1"
        ).drop(columns=["stratum"]),
        "fct_child_outcomes": cohort.drop(columns=["stratum"]).assign(is_unborn_at_referral=False),
        "fct_outcome_values": cohort.drop(columns=["stratum"]).assign(
            outcome_id=OUTCOME,
            is_default_reading=True,
            anchor_date=cohort["index_referral_date"],
            financial_year="2021/22",
            age_at_anchor_months=60,
            is_in_sample=True,
            is_fully_observed=True,
            outcome_value=0.0,
        ),
        "fct_referral_spells": cohort[["child_id", "la_id"]].assign(
            la_code=cohort["la_id"],
            la_child_id="L" + cohort["child_id"],
            referral_date=cohort["index_referral_date"],
        ),
    }


def trends() -> pd.DataFrame:
    quarters = pd.date_range("2018-01-01", periods=9, freq="QS")
    return pd.DataFrame(
        [
            (PROGRAMME, OUTCOME, la, day, count, 1000, count / 1000)
            for place, la in enumerate(LAS)
            for number, day in enumerate(quarters)
            for count in (40 + 3 * place + number % 4,)
        ],
        columns=["programme_id", "outcome_id", "la_id", "quarter_start_date", "numerator", "denominator_count",
                 "value"],
    )  # fmt: skip


def results() -> dict[str, pd.DataFrame]:
    keys = {"programme_id": PROGRAMME, "outcome_id": OUTCOME}
    ranking = pd.DataFrame(
        [
            ("T1", "C1", 1, 0.61, 0.85, 0.72, True, "within the limit"),
            ("T1", "C2", 2, 0.95, 0.90, 1.06, True, "within the limit"),
            ("T2", "C1", 1, 2.22, 1.13, 1.97, False, "1.97 times; the limit is 1.5"),
        ],
        columns=["treatment_la_id", "candidate_la_id", "rank", "distance", "expected_noise_distance", "noise_ratio",
                 "is_accepted", "reason"],
    ).assign(quarters_count=9, changes_count=8, decision="automatic rule", **keys)  # fmt: skip
    pairs = ranking[ranking["is_accepted"]].assign(status="accepted")
    left_out = pairs.head(1).assign(
        status="excluded", treatment_la_id="T2", candidate_la_id=None, rank=None, reason="none lies near enough"
    )
    own = trends().assign(standardised_value=0.0, standardised_change=0.0)
    drawn = [own[own["la_id"] == la].assign(treatment_la_id=la, arm="treatment") for la in ("T1", "T2")]
    drawn += [own[own["la_id"] == la].assign(treatment_la_id="T1", arm="comparison") for la in ("C1", "C2")]
    shares = pd.DataFrame(
        [
            (la, arm, "all", "year", n, m, m / n, m / n, m / n)
            for la in ("T1", "all")
            for arm, n, m in (("treatment", 16, 14), ("comparison", 24, 21))
        ],
        columns=["treatment_la_id", "arm", "period", "strata_used", "children_count", "matched_children_count",
                 "matched_share", "matched_share_year_strata", "matched_share_period_strata"],
    ).assign(**keys)  # fmt: skip
    imbalance = pd.DataFrame({"treatment_la_id": ["T1", "all"], "period": "all", "l1_before": 0.4, "l1_after": 0.3})
    balance = pd.DataFrame(
        {
            "covariate": ["gender", "gender", "is_fsm"],
            "level": ["1", "2", "not observed"],
            "treated_share_before": [0.5, 0.5, 0.336],
            "control_share_before": [0.6, 0.4, 0.338],
            "treated_share_after": [0.5, 0.5, 0.33],
            "control_share_after": [0.5, 0.5, 0.33],
            "difference_before": [-0.2, 0.2, -0.004],
            "difference_after": [0.0, 0.0, 0.0],
        }
    )
    return {
        "effects": EFFECTS,
        "inference": pd.concat(
            [METHODS.assign(is_primary_method=False, inference_method="permutation over LAs"), METHODS]
        ),
        "la_ranking": ranking,
        "matched_pairs": pd.concat([pairs, left_out]),
        "matched_trends": pd.concat(drawn),
        **{name: pd.DataFrame(columns=list(RESULT_TABLES[name])) for name in ("la_ranking_variants", "la_noise_pairs")},
        **evidence(),
        "cem_shares": shares,
        "cem_imbalance": imbalance.assign(treated_before=16, control_before=24, bins="gender, is_fsm", **keys),
        "cem_balance": balance.assign(**keys),
    }


def evidence() -> dict[str, pd.DataFrame]:
    """What the noise audit and the tests of trends and shocks found, with more rows than the page speaks of."""
    keys = {"programme_id": PROGRAMME, "outcome_id": OUTCOME}
    noise = pd.DataFrame(
        [("all", "Mostly <noise> overall."), ("T1", "One LA.")], columns=["treatment_la_id", "sentence"]
    )
    tests = pd.DataFrame(
        [
            ("joint_leads", "against the last quarter", None, 0.41, None),
            ("held_out_placebo", "go-live set 6 months early (p6): 2 of 2", -0.5, 0.2, 1.5),
            ("held_out_placebo", "no treatment LA finds a comparator", None, None, None),
            ("placebo_date", "one date alone", 9.87, 0.01, 1.0),
        ],
        columns=["test", "note", "estimate", "p_value", "detectable"],
    ).assign(unit="percentage points", cluster_count=3)
    shocks = pd.DataFrame(
        [("A rule", "2021-10-01", -1.25, 0.01), ("A quiet one", "2021-11-01", 0.1, 0.9)],
        columns=["shock_title", "as_of_date", "estimate", "p_value"],
    ).assign(test="shock_interaction", unit="percentage points")
    shocks["as_of_date"] = pd.to_datetime(shocks["as_of_date"])
    return {
        name: pd.DataFrame(frame.assign(**keys).reindex(columns=list(RESULT_TABLES[name])))
        for name, frame in (("la_noise", noise), ("parallel_trend_tests", tests), ("shock_tests", shocks))
    }


def write_marts(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema marts")
        for name, table in tables.items():
            absent = sorted(REQUIRED_COLUMNS.get(name, frozenset()) - set(table.columns))
            extra = "".join(f', null as "{column}"' for column in absent)
            connection.register("frame", table)
            connection.execute(f"create table marts.{name} as select *{extra} from frame")


def write_matched(folder: Path, outcomes: tuple[str, ...] = (OUTCOME,)) -> None:
    """Every child of T1 and its two comparators whose stratum holds children of both arms."""
    cohort = children()
    sets = cohort[cohort["la_id"].isin(["T1", "C1", "C2"])]
    arms = sets.groupby("stratum")["is_treatment_la"].agg(["min", "max"])
    both = arms.index[~arms["min"] & arms["max"]]
    matched = sets.loc[sets["stratum"].isin(both), ["child_id", "la_id"]]
    frame = pd.concat([matched.assign(outcome_id=outcome) for outcome in outcomes])
    frame = frame.assign(programme_id=PROGRAMME, weight_protocol=1.0, weight_ikp=1.0)
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        connection.execute(f"copy frame to '{folder / 'matched_children.parquet'}' (format parquet)")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Marts and results of real data: no truth, no landing, no recovery."""
    root = tmp_path_factory.mktemp("report")
    paths = Paths(root=root, data=root / "data", outputs=root / "outputs")
    write_marts(paths.marts_db, marts())
    with open_marts(paths.marts_db) as connection:
        held = fingerprints(connection)
    for name, table in results().items():
        columns = list(RESULT_TABLES[name])
        write_result_table(name, table.assign(run_id=RUN)[columns], paths.results)
    write_matched(paths.results)
    write_json(
        "run",
        {
            "run_id": RUN,
            "marts": held,
            "versions": {"sfpc": "9.9.9"},
            "settings": {
                "significance_level": 0.05,
                "matching_ranking_length": 10,
                "matching_maximum_comparators": 3,
                "matching_calliper_noise_ratio": 1.5,
            },
            "conventions": {"minimum_treated_clusters": 1},
            "finished_at": "2024-03-05T10:00:00+00:00",
        },
        paths.results,
    )
    return paths


@pytest.fixture
def paths(made: Paths, tmp_path: Path) -> Paths:
    """A copy that a test may change."""
    shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
    return Paths(root=tmp_path, data=tmp_path / "data", outputs=tmp_path / "outputs")


@pytest.fixture(scope="module")
def page(made: Paths) -> Page:
    return Page(write_report(made).read_text(encoding="utf-8"))


def plant_truth(paths: Paths, prefix: str = "L") -> None:
    """Of the 8 analysed treated children 4 are known; one of them was kept from the outcome: -25 points."""
    cohort = children()
    treated = cohort[cohort["is_treated"] & (cohort["stratum"] == "a") & (cohort["la_id"] == "T1")].head(4)
    unmatched = cohort[(cohort["stratum"] == "b")]
    known = pd.concat([treated, unmatched])
    truth = pd.DataFrame(
        {
            "la_code": known["la_id"],
            "la_child_id": prefix + known["child_id"],
            "anchor_date": known["index_referral_date"],
            "outcome_id": OUTCOME,
            "is_treated": True,
            "outcome_without": 1.0,
            # The unmatched lose the outcome too: they must not count.
            "outcome_with": [0.0, 1.0, 1.0, 1.0, 0.0, 0.0],
        }
    )
    paths.truth.mkdir(parents=True)
    with duckdb.connect(":memory:") as connection:
        connection.register("truth", truth)
        connection.execute(f"copy truth to '{paths.truth / 'potential_outcomes.parquet'}' (format parquet)")
    pd.DataFrame({"la_code": ["C1", "C2", "T1"], "twin_of": ["T1", None, None]}).to_csv(
        paths.truth / "planned_las.csv", index=False
    )


def test_page_says_what_noise_and_trend_tests_found(made: Paths) -> None:
    """FV.MATCH.4, .5, .7: the overall sentence, joint leads, held-out placebos, shocks that the arms met apart."""
    text = " ".join(write_report(made).read_text(encoding="utf-8").split())
    assert "Mostly &lt;noise&gt; overall." in text and "One LA." not in text
    assert "All quarters before go-live together give p = 0.41 with 3 LAs; with go-live set 6 months early," in text
    assert "part by −0.50 percentage points afterwards (p = 0.20; 1.50 could have been found)" in text
    assert "they never prove that they were" in text and "one date alone" not in text
    assert "the shock of 1 October 2021 (A rule): −1.25 percentage points, p = 0.01" in text
    assert "A quiet one" not in text


def test_page_carries_everything_and_asks_for_nothing(page: Page) -> None:
    assert not re.search(r"https?:", page.text)
    assert "@import" not in page.text
    assert not list(page.all("script"))
    assert not list(page.all("link"))
    assert not list(page.all("img"))
    targets = [a["href"] or "" for tag in ("a", "use") for a in page.all(tag)]
    assert all(target.startswith("#") for target in targets)
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert [name for name, times in ids.items() if times > 1] == []
    assert {target[1:] for target in targets} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page.text)) <= set(ids)


def test_programme_and_run_come_from_the_data(page: Page) -> None:
    assert "<h1>Some Programme</h1>" in page.text
    for shown in (RUN, "9.9.9", "5 March 2024", "Internal: not for release", "had it within 18 months"):
        assert shown in page.text


def test_numbers_equal_those_of_the_effects_file(page: Page, made: Paths) -> None:
    effects = pd.read_csv(made.results / "effects.csv")
    rows = page.table(f"effects-{PROGRAMME}-{OUTCOME}")
    assert len(rows) == len(effects)
    for cells, effect in zip(rows, effects.itertuples(), strict=True):
        low, high = (float(n) for n in cells[3].replace(words.MINUS, "-").split(" to "))
        assert float(cells[2].replace(words.MINUS, "-")) == pytest.approx(effect.estimate, abs=0.005)
        assert (low, high) == (pytest.approx(effect.ci_low, abs=0.005), pytest.approx(effect.ci_high, abs=0.005))
        assert float(cells[4]) == pytest.approx(effect.p_value, abs=0.00005)
        assert (cells[8], cells[9]) == (str(effect.children_count), str(effect.treated_children_count))
        assert cells[10] == f"{effect.cluster_count} ({effect.treated_cluster_count})"
    assert [row[-1] for row in rows] == ["a", "b c", words.DASH]
    assert "2.1 fewer had the outcome" in page.text
    assert "1.2 to 3.1 fewer" in page.text
    assert "about 4 in 10,000" in page.text
    assert "4.7 in every 100 matched children" in page.text


def test_flow_adds_up(page: Page) -> None:
    *rows, total = [
        [int(n.replace(",", "")) for n in cells[2:]] for cells in page.table(f"flow-table-{PROGRAMME}-{OUTCOME}")
    ]
    assert [sum(column) for column in zip(*rows, strict=True)] == total
    for referrals, ages, uncovered, sample, matched, treated in [*rows, total]:
        assert referrals == ages + uncovered + sample
        assert sample >= matched >= treated
    in_sample = sum(count for *_, count in CELLS)
    assert total == [in_sample + 15 + 5, 15, 5, in_sample, MATCHED, TREATED]
    drawing = re.search(r'<svg class="chart wide"[^>]*aria-label="Flow.*?</svg>', page.text, re.DOTALL)
    assert drawing is not None
    counts = [int(n.replace(",", "")) for n in re.findall(r'font-weight="700">([\d,]+)<', drawing[0])]
    everyone, left_out, sample, elsewhere, members, *arms, last = counts
    assert everyone - left_out == sample == in_sample
    assert sample - elsewhere == members
    # Level by level: in the arm, without a match, matched; treatment LAs first.
    assert arms == [16, 24, 2, 3, 14, 21]
    assert (members, last) == (16 + 24, 14 + 21)
    assert last == MATCHED


def test_every_figure_and_table_can_be_read_aloud(page: Page) -> None:
    figures, charts, tables = (list(page.all(tag)) for tag in ("figure", "svg", "table"))
    assert len(figures) >= 5
    assert len(charts) == 2 * len(figures)
    assert all(figure["aria-label"] for figure in figures)
    assert all(chart["role"] == "img" and len(chart["aria-label"] or "") > 20 for chart in charts)
    assert len(list(page.all("caption"))) == len(tables) >= 8
    heads = list(page.all("th"))
    assert all(head.get("scope") in ("col", "row") for head in heads)
    for body in re.findall(r"<tbody>.*?</tbody>", page.text, re.DOTALL):
        assert body.count("<tr") == body.count('scope="row"')


def test_words_of_the_data_are_escaped(page: Page) -> None:
    assert "Had it &lt;18 &amp; more&gt;" in page.text


def test_left_out_las_and_reasons_are_named(page: Page) -> None:
    assert "None lies near enough" in page.text
    assert "Partner in practice" in page.text
    assert "Southby is not part of this" in page.text
    assert "1 has a ratio below 1" in page.text


def test_real_data_show_no_truth(page: Page) -> None:
    assert "planted truth" not in page.text.lower()
    assert "ynthetic data only" not in page.text
    assert "<dd>real</dd>" in page.text


def test_truth_is_that_of_the_analysed_treated_children(paths: Paths) -> None:
    plant_truth(paths)
    text = write_report(paths).read_text(encoding="utf-8")
    assert f"it came to {words.MINUS}25.00 percentage points" in text
    assert "known for 4 of 8 of them (50.0%)" in text
    assert f"planted truth {words.MINUS}25.00" in text
    assert "interval does not contain the planted effect" in text
    assert "1 of the 2 accepted pairs is a pair of planted twins" in text
    assert "The data are synthetic." in text
    truth = read_inputs(paths).truth[(PROGRAMME, OUTCOME)]
    assert (truth.effect, truth.treated_count, truth.known_count) == (-25.0, 8, 4)


def test_truth_of_other_data_is_refused(paths: Paths) -> None:
    plant_truth(paths, prefix="another")
    with pytest.raises(SfpcError, match="not about these data"):
        write_report(paths)


def test_two_runs_give_the_same_bytes(made: Paths, tmp_path: Path) -> None:
    elsewhere = Paths(root=made.root, data=made.data, outputs=tmp_path)
    shutil.copytree(made.results, elsewhere.results)
    assert write_report(made).read_bytes() == write_report(elsewhere).read_bytes()
    assert [path.name for path in elsewhere.report.iterdir()] == ["index.html"]


@pytest.mark.parametrize("name", ["run.json", "effects.parquet", "cem_balance.parquet"])
def test_missing_results_are_one_line(paths: Paths, name: str) -> None:
    (paths.results / name).unlink()
    with pytest.raises(SfpcError, match=r"no results at .*sfpc estimate") as caught:
        write_report(paths)
    assert "\n" not in str(caught.value)
    assert not paths.report.exists() or not list(paths.report.glob(".*"))


def test_missing_marts_are_one_line(paths: Paths) -> None:
    paths.marts_db.unlink()
    with pytest.raises(SfpcError, match="no marts at"):
        write_report(paths)


def test_marts_that_changed_after_the_run_are_refused(paths: Paths) -> None:
    tables = marts()
    tables["fct_cem_strata"] = tables["fct_cem_strata"].iloc[1:]
    write_marts(paths.marts_db, tables)
    with pytest.raises(SfpcError, match="fct_cem_strata changed after the results were written"):
        write_report(paths)


def test_results_of_another_run_are_refused(paths: Paths) -> None:
    write_result_table("effects", EFFECTS.assign(run_id="other")[list(RESULT_TABLES["effects"])], paths.results)
    with pytest.raises(SfpcError, match="not of run 0123456789ab"):
        write_report(paths)


def test_a_flow_that_does_not_add_up_is_refused(paths: Paths) -> None:
    tables = marts()
    flow = tables["fct_sample_flow"].copy()
    flow["entry_count"] += 1
    tables["fct_sample_flow"] = flow
    write_marts(paths.marts_db, tables)
    with pytest.raises(SfpcError, match="does not add up"):
        write_report(paths)


def test_recovery_says_which_study_is_shown(paths: Paths) -> None:
    assert "make recovery" in write_report(paths).read_text(encoding="utf-8")
    runs = pd.DataFrame(
        {"seed": [1, 2], "model": "logit", "estimate_pp": [-2.0, -1.6], "truth_pp": [-1.8, -1.9],
         "standard_error_pp": 0.4, "ci_low_pp": -3.0, "ci_high_pp": -1.0}
    )  # fmt: skip
    model = {"seeds": 2, "mean_estimate_pp": -1.8, "mean_truth_pp": -1.85, "coverage_pct": 100.0, "bias_pp": 0.05}
    hits = [
        {"referrals_per_quarter": 1300, "share_top_one_pct": 8.0, "share_top_ten_pct": 28.5, "note": "simulated"},
        {"referrals_per_quarter": None, "share_top_one_pct": 90.0, "share_top_ten_pct": 99.0, "note": None},
    ]
    for folder, error in ((paths.root / "docs" / "recovery", 0.25), (paths.results, 0.01)):
        folder.mkdir(parents=True, exist_ok=True)
        runs.to_csv(folder / "recovery.csv", index=False)
        summary = {"logit": {**model, "monte_carlo_se_pp": error}, "twin_hits": hits, "code_version": "9.9.9"}
        (folder / "recovery.json").write_text(json.dumps(summary), encoding="utf-8")
        text = write_report(paths).read_text(encoding="utf-8")
        if folder == paths.results:
            assert "the mean estimate is outside two Monte Carlo standard errors" in text
            assert "outputs/results" in text
        else:
            assert "the mean estimate is within two Monte Carlo standard errors" in text
            assert "docs/recovery" in text
        assert "28.5" in text
        assert "no sampling noise" in text


def test_landing_account_is_summed(paths: Paths) -> None:
    paths.landing.mkdir(parents=True)
    pd.DataFrame(
        [("a.csv", "cin_records", 100, 90, 4, 6, 0), ("b.csv", "cin_records", 50, 50, 0, 0, 0)],
        columns=["file", "landing_table", "raw", "landed", "quarantined", "out_of_window", "duplicate"],
    ).to_csv(paths.landing / "reconciliation.csv", index=False)
    pd.DataFrame(
        [("a.csv", 3, "cin_records", "referral_date", "text", "not a date")] * 4,
        columns=["file", "source_row", "landing_table", "column_name", "value_class", "reason"],
    ).to_csv(paths.landing / "quarantine.csv", index=False)
    windows = {"national:cin_records": ["2017-04-01", "2025-03-31"]}
    (paths.landing / "manifest.json").write_text(json.dumps({"windows": windows, "files": []}), encoding="utf-8")
    page = Page(write_report(paths).read_text(encoding="utf-8"))
    assert page.table("landing")[-1] == ["All", "2", "150", "140", "4", "6", "0"]
    assert page.table("quarantine")[0][-1] == "4"
    assert "2 files held 150 rows; 140 were used and 10 set aside: every row is accounted for." in page.text
    assert "31 March 2025" in page.text
    assert "For 5 children the returns do not cover the whole follow-up" in page.text


def test_no_significance_is_claimed_with_too_few_treated_las(paths: Paths) -> None:
    record = json.loads((paths.results / "run.json").read_text(encoding="utf-8"))
    write_json("run", {**record, "conventions": {"minimum_treated_clusters": 4}}, paths.results)
    text = write_report(paths).read_text(encoding="utf-8")
    assert "statistically significant" not in text
    assert "Only 1 LA took up the programme in this analysis" in text


def test_an_effect_that_could_not_be_estimated_is_said_so(paths: Paths) -> None:
    empty = ["estimate", "standard_error", "ci_low", "ci_high", "p_value", "degrees_of_freedom"]
    frame = EFFECTS.assign(**dict.fromkeys(empty, np.nan), note="no children to analyse", run_id=RUN)
    write_result_table("effects", frame[list(RESULT_TABLES["effects"])], paths.results)
    text = write_report(paths).read_text(encoding="utf-8")
    assert "could be estimated" in text
    assert "No children to analyse." in text
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).lower().replace("financ", "")


def test_several_outcomes_stand_beside_each_other(paths: Paths) -> None:
    tables = marts()
    for name in ("fct_sample_flow", "fct_la_quarter_outcomes", "fct_cem_strata", "fct_outcome_values"):
        tables[name] = pd.concat([tables[name], tables[name].assign(outcome_id="later")])
    outcomes = tables["dim_outcomes"]
    outcomes.loc[outcomes["outcome_id"] == "later", ["outcome_kind", "status"]] = ("days", "implemented")
    write_marts(paths.marts_db, tables)
    for name, table in results().items():
        second = table.assign(outcome_id="later")
        if name == "effects":
            second = second[second["model"] == "linear"].assign(scale="days", baseline_mean_pct=np.nan)
        both = pd.concat([table, second]).assign(run_id=RUN)
        write_result_table(name, both[list(RESULT_TABLES[name])], paths.results)
    write_matched(paths.results, (OUTCOME, "later"))
    record = json.loads((paths.results / "run.json").read_text(encoding="utf-8"))
    write_json("run", {name: value for name, value in record.items() if name != "marts"}, paths.results)
    page = Page(write_report(paths).read_text(encoding="utf-8"))
    assert page.text.count("<h3>Some Programme: had it within 18 months</h3>") == 5
    assert page.text.count("<h3>Some Programme: comes later</h3>") == 5
    assert "came to 2.0 fewer days per child" in page.text
    assert "days per child" in page.text
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert max(ids.values()) == 1


def test_changes_in_words() -> None:
    assert words.change_interval(-3.10, -1.19) == "1.2 to 3.1 fewer"
    assert words.change_interval(-1.2, 0.3) == "1.2 fewer to 0.3 more"
    assert words.change_interval(0.2, 0.9) == "0.2 to 0.9 more"
    assert words.decimal(-0.0004) == "0.00"
    assert words.decimal(-1234.5, 1) == f"{words.MINUS}1,234.5"
    assert words.by_chance(0.00001) == "fewer than 1 in 10,000"
    assert words.by_chance(0.23) == "about 23 in 100"
    assert lettered(["x; y", None, "y"]) == (["a b", "", "b"], [("a", "x"), ("b", "y")])


def test_a_whole_run_gives_a_page(evaluated: Paths, tmp_path: Path) -> None:
    """Nothing hand-made: what landing, warehouse and evaluation wrote is what the page reads."""
    paths = Paths(evaluated.root, evaluated.data, tmp_path)
    shutil.copytree(evaluated.results, paths.results)
    page = Page(write_report(paths).read_text(encoding="utf-8"))
    assert page.table("landing")[-1][0] == "All"
    assert "every row is accounted for" in page.text
    assert page.text.count("<svg") > 5
