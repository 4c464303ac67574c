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
import openpyxl
import pandas as pd
import pytest
from docx import Document

from browser import browser, look_at
from sfpc.errors import SfpcError
from sfpc.marts import REQUIRED_COLUMNS, fingerprints, open_marts
from sfpc.report import charts, words
from sfpc.report.contents import report_of
from sfpc.report.document import Picture, flat, tables_of
from sfpc.report.export import Cell, cell, cells_of, csv_files
from sfpc.report.inputs import read_inputs
from sfpc.report.page import render, write_report
from sfpc.report.tables import Row, Table, lettered, number, text
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
        ("wide", "Wide window", "linear", "percentage points", 0.31, 0.3, -0.4, 1.02, 0.41, False, None),
        ("gone", "Complete cases", "linear", "percentage points", -1.5, 0.5, float("nan"), float("nan"), 0.2, False,
         None),
        ("long", "Linear, long treated", "linear", "percentage points", 9.25, 3.0, 3.1, 15.4, 0.01, False, None),
        ("boot", "Sun and Abraham", "sun_abraham", "percentage points", -1.8, 0.7, -3.5, float("inf"), 0.06, False,
         None),
    ],
    columns=["specification_id", "label", "model", "scale", "estimate", "standard_error", "ci_low", "ci_high",
             "p_value", "is_primary", "note"],
).assign(
    programme_id=PROGRAMME, outcome_id=OUTCOME, clause="FV.EST.1", inference_method="CR1 by LA, t(G-1)",
    p_value_hochberg=float("nan"), degrees_of_freedom=12.0, children_count=MATCHED, treated_children_count=TREATED,
    cluster_count=3, treated_cluster_count=1, baseline_mean_pct=4.7282, weights="cem_protocol",
)  # fmt: skip
METHODS = EFFECTS.head(3).assign(is_primary_method=True)
SPECIFICATIONS = pd.DataFrame(
    [
        ("lin", "linear", "is_treated", "default", "as_levels"),
        ("log", "logit", "is_treated", "default", "as_levels"),
        ("wide", "linear", "is_treated", "window_24", "as_levels"),
        ("gone", "linear", "is_treated", "default", "left_out"),
        ("long", "linear", "is_treated_by_days", "default", "as_levels"),
        ("boot", "sun_abraham", "is_treated", "default", "as_levels"),
    ],
    columns=["specification_id", "model", "treatment", "reading_id", "missing_covariates"],
).assign(outcome_id=OUTCOME, children="all", weights="cem_protocol")


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
        "dim_specifications": SPECIFICATIONS,
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
                "fct_absence_terms",
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
            anchor="referral",
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
    given = {
        "effects": EFFECTS,
        "inference": pd.concat(
            [METHODS.assign(is_primary_method=False, inference_method="permutation over LAs"), METHODS]
        ),
        "la_ranking": ranking,
        "matched_pairs": pd.concat([pairs, left_out]),
        "matched_trends": pd.concat(drawn),
        **{name: pd.DataFrame(columns=list(RESULT_TABLES[name])) for name in ("la_ranking_variants", "la_noise_pairs")},
        **evidence(),
        **around(),
        "cem_shares": shares,
        "cem_imbalance": imbalance.assign(treated_before=16, control_before=24, bins="gender, is_fsm", **keys),
        "cem_balance": balance.assign(**keys),
    }
    empty = {name: pd.DataFrame(columns=list(columns), dtype="str") for name, columns in RESULT_TABLES.items()}
    return {**empty, **given}


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


def around() -> dict[str, pd.DataFrame]:
    """What stands around the primary effect: two methods where the page must take the first."""
    keys = {"programme_id": PROGRAMME, "outcome_id": OUTCOME}
    effect = {"scale": "percentage points", "standard_error": 0.3, "degrees_of_freedom": 2.0}
    steps = pd.DataFrame(
        [
            (-2, False, True, 0.25, -0.5, float("inf"), 0.5, "first"),
            (-2, False, True, 0.25, 0.2, 0.3, 0.01, "second"),
            (-1, True, False, 0.0, None, None, None, "reference"),
            (0, False, False, -1.111, -1.5, -0.7, 0.01, "first"),
            (1, False, False, -2.222, -2.6, -1.8, 0.01, "first"),
            (2, False, True, -2.5, -3.0, -2.0, 0.01, "first"),
        ],
        columns=["period", "is_reference", "is_open_ended", "estimate", "ci_low", "ci_high", "p_value",
                 "inference_method"],
    ).assign(children_count=30, cluster_count=3, **effect)  # fmt: skip
    leads = pd.DataFrame({"statistic": [1.5, 9.5], "p_value": [0.37, 0.001], "inference_method": ["first", "second"]})
    bounds = pd.DataFrame(
        [
            ("relative magnitudes", 0.0, -2.0, -1.0),
            ("relative magnitudes", 1.0, -4.0, 1.0),
            ("smoothness", 0.002, -3, 2),
        ],
        columns=["restriction", "limit", "ci_low", "ci_high"],
    ).assign(target="mean effect", estimate=-1.5, set_low=-2.0, set_high=-1.0, note="widened", **effect)
    bounds["breakdown"] = [0.4, 0.4, 0.001]
    bacon = pd.DataFrame(
        [("later against earlier live", 0.125, 3.0), ("treated against never live", 0.875, -2.0)],
        columns=["comparison", "weight", "effect"],
    ).assign(scale="percentage points", coefficient=-1.375, is_at_risk=True, period_months=2)
    left = pd.DataFrame(
        [("T1", True, -1.0, -2.5, 0.5), ("C1", False, -2.2, -3.0, -1.4), ("C2", False, -2.0, -2.9, -1.1)],
        columns=["la_id", "is_treated_la", "estimate", "ci_low", "ci_high"],
    ).assign(p_value=0.04, inference_method="first", **effect)
    shares = pd.DataFrame(
        [("gender", 0, 0.0, "complete"), ("is_fsm", 14, 0.4, "dropped")],
        columns=["covariate", "missing_count", "missing_share", "decision"],
    ).assign(children_count=MATCHED, reason="because")
    patterns = pd.DataFrame({"missing": [None, "is_fsm, gender"], "missing_covariate_count": [0, 2]}).assign(
        children_count=[21, 14], share=[0.6, 0.4], treated_count=[5, 3], treated_share=[0.625, 0.375]
    )
    related = pd.DataFrame(
        [("is_treated", -0.021, 0.3), ("gender", None, 0.002), ("ethnicity", None, 0.7)],
        columns=["term", "estimate", "p_value"],
    ).assign(covariate="is_fsm", missing_count=14, inference_method="first")
    frames = {
        "event_study": steps,
        "lead_tests": leads.assign(coefficient_count=1, note_on_study="la_fsm_pct is constant"),
        "trend_bounds": bounds,
        "bacon": bacon,
        "leave_one_out": left,
        "missing_covariates": shares,
        "missing_patterns": patterns,
        "missingness_tests": related,
    }
    return {
        name: pd.DataFrame(frame.assign(**keys).reindex(columns=list(RESULT_TABLES[name])))
        for name, frame in frames.items()
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


def shown(paths: Paths) -> str:
    """The page alone: the document and the tables take longer."""
    return render(read_inputs(paths))


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


def test_page_says_what_noise_and_trend_tests_found(page: Page) -> None:
    """FV.MATCH.4, .5, .7: the overall sentence, joint leads, held-out placebos, shocks that the arms met apart."""
    text = " ".join(page.text.split())
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
    assert [target for target in targets if not target.startswith("#")] == ["../matching/index.html"]
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert [name for name, times in ids.items() if times > 1] == []
    assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page.text)) <= set(ids)


def test_programme_and_run_come_from_the_data(page: Page) -> None:
    assert "<h1>Some Programme</h1>" in page.text
    for shown in (RUN, "9.9.9", "5 March 2024", "Internal: not for release", "had it within 18 months"):
        assert shown in page.text


def test_main_effects_name_the_row_that_they_are_walked_back_from(page: Page, made: Paths) -> None:
    """DP.8: the address is what `sfpc explain` takes, the data row of effects.csv counted from 1."""
    effects = pd.read_csv(made.results / "effects.csv")
    rows = page.table(f"main-{PROGRAMME}-{OUTCOME}")
    assert rows
    for cells in rows:
        name, _, row = cells[-1].partition(":")
        effect = effects.iloc[int(row) - 1]
        assert name == "effects.csv" and cells[0].startswith(effect["label"])
        assert float(cells[2].replace(words.MINUS, "-")) == pytest.approx(effect["estimate"], abs=0.005)
    assert "sfpc explain effects.csv:ROW" in page.text


def test_numbers_equal_those_of_the_effects_file(page: Page, made: Paths) -> None:
    effects = pd.read_csv(made.results / "effects.csv")
    rows = page.table(f"effects-{PROGRAMME}-{OUTCOME}")
    assert len(rows) == len(effects)
    # The primary one first, then the groups of the forest plot: models, readings, missing data, exposure.
    order = [1, 0, 2, 6, 3, 4, 5]
    for cells, effect in zip(rows, effects.iloc[order].itertuples(), strict=True):
        assert float(cells[2].replace(words.MINUS, "-")) == pytest.approx(effect.estimate, abs=0.005)
        if not np.isfinite(effect.ci_high):
            assert cells[3] in (words.DASH, f"{words.MINUS}3.50 to no limit")
            continue
        low, high = (float(n) for n in cells[3].replace(words.MINUS, "-").split(" to "))
        assert (low, high) == (pytest.approx(effect.ci_low, abs=0.005), pytest.approx(effect.ci_high, abs=0.005))
        assert float(cells[4]) == pytest.approx(effect.p_value, abs=0.00005)
        assert (cells[7], cells[8]) == (str(effect.children_count), str(effect.treated_children_count))
        assert (cells[9], cells[10]) == (str(effect.cluster_count), str(effect.treated_cluster_count))
    assert [row[-1] for row in rows] == ["a b", "c", *[words.DASH] * 5]
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
    text = shown(paths)
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
    names = ["index.html", "report.docx", "tables", "tables.xlsx"]
    assert sorted(path.name for path in elsewhere.report.iterdir()) == names
    for file in made.report.rglob("*.*"):
        assert file.read_bytes() == (elsewhere.report / file.relative_to(made.report)).read_bytes(), file.name


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
    assert "make recovery" in shown(paths)
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
        text = shown(paths)
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
    page = Page(shown(paths))
    assert page.table("landing")[-1] == ["All", "2", "150", "140", "4", "6", "0"]
    assert page.table("quarantine")[0][-1] == "4"
    assert "2 files held 150 rows; 140 were used and 10 set aside: every row is accounted for." in page.text
    assert "31 March 2025" in page.text
    assert "For 5 children the returns do not cover the whole follow-up" in page.text


def test_no_significance_is_claimed_with_too_few_treated_las(paths: Paths) -> None:
    record = json.loads((paths.results / "run.json").read_text(encoding="utf-8"))
    write_json("run", {**record, "conventions": {"minimum_treated_clusters": 4}}, paths.results)
    text = shown(paths)
    assert "statistically significant" not in text
    assert "Only 1 LA took up the programme in this analysis" in text


def test_an_effect_that_could_not_be_estimated_is_said_so(paths: Paths) -> None:
    empty = ["estimate", "standard_error", "ci_low", "ci_high", "p_value", "degrees_of_freedom"]
    frame = EFFECTS.assign(**dict.fromkeys(empty, np.nan), note="no children to analyse", run_id=RUN)
    write_result_table("effects", frame[list(RESULT_TABLES["effects"])], paths.results)
    text = shown(paths)
    assert "could be estimated" in text
    assert "No children to analyse." in text
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).lower().replace("financ", "")


def rebuild(paths: Paths, tables: dict[str, pd.DataFrame]) -> None:
    """Other marts under the same results."""
    write_marts(paths.marts_db, tables)
    record = json.loads((paths.results / "run.json").read_text(encoding="utf-8"))
    write_json("run", {name: value for name, value in record.items() if name != "marts"}, paths.results)


def two_outcomes(paths: Paths, adjusted: float = float("nan")) -> None:
    """A second outcome in days, with its results; adjusted: its p-value after Hochberg."""
    tables = marts()
    for name in ("fct_sample_flow", "fct_la_quarter_outcomes", "fct_cem_strata", "fct_outcome_values"):
        tables[name] = pd.concat([tables[name], tables[name].assign(outcome_id="later")])
    outcomes = tables["dim_outcomes"]
    outcomes.loc[outcomes["outcome_id"] == "later", ["outcome_kind", "status"]] = ("days", "implemented")
    rebuild(paths, tables)
    for name, table in results().items():
        second = table.assign(outcome_id="later")
        if name == "effects":
            second = second[second["model"] == "linear"].assign(
                scale="days", baseline_mean_pct=np.nan, p_value_hochberg=adjusted
            )
        both = pd.concat([table, second]).assign(run_id=RUN)
        write_result_table(name, both[list(RESULT_TABLES[name])], paths.results)
    write_matched(paths.results, (OUTCOME, "later"))


def test_several_outcomes_stand_beside_each_other(paths: Paths) -> None:
    two_outcomes(paths)
    page = Page(shown(paths))
    # The primary outcome stands open, the other one folds, in every section that repeats.
    assert page.text.count("<h3>Some Programme: had it within 18 months</h3>") == 6
    assert page.text.count("<summary>Some Programme: comes later</summary>") == 6
    assert "came to 2.0 fewer days per child" in page.text
    assert "days per child" in page.text
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert max(ids.values()) == 1


def test_first_page_holds_every_outcome_in_plain_words(paths: Paths) -> None:
    """Size, interval, baseline and certainty; the secondary outcome goes by its adjusted p; no unit is mixed up."""
    two_outcomes(paths, adjusted=0.08)
    page = Page(shown(paths))
    rows = page.table(f"summary-{PROGRAMME}")
    assert rows == [
        ["Had it within 18 months (primary)", "2.1 fewer in every 100 children referred", "1.2 to 3.1 fewer",
         "4.7 in 100", "yes", "0.0004", words.DASH, "35", "3"],
        ["Comes later", "2.0 fewer days per child", "1.1 to 2.9 fewer", words.DASH, "no", "0.0031", "0.0800",
         "35", "3"],
    ]  # fmt: skip
    text = " ".join(page.text.split())
    assert "One among several outcomes that were looked at, it is not statistically significant." in text
    assert "Adjusted for all secondary outcomes together (Hochberg), p = 0.0800." in text


@pytest.mark.parametrize(("anchor", "column"), [("care_start", "has_it"), ("referral", "is_kinship_first_placement")])
def test_outcomes_of_children_in_care_are_per_100_of_them(paths: Paths, anchor: str, column: str) -> None:
    tables = marts()
    tables["fct_outcome_values"] = tables["fct_outcome_values"].assign(anchor=anchor)
    tables["dim_outcomes"] = tables["dim_outcomes"].assign(outcome_column=column)
    rebuild(paths, tables)
    text = " ".join(shown(paths).split())
    assert "For every 100 children who became looked after under Some Programme, 2.1 fewer had" in text
    assert "children referred" not in text
    assert "Only children who became looked after can have this outcome." in text
    assert ("Starts of care in the trial period" in text) == (anchor == "care_start")
    assert ("Quarter of the start of care" in text) == (anchor == "care_start")


def test_a_mean_in_per_cent_is_not_a_number_of_children(paths: Paths) -> None:
    tables = marts()
    tables["dim_outcomes"] = tables["dim_outcomes"].assign(outcome_kind="percentage")
    rebuild(paths, tables)
    text = " ".join(shown(paths).split())
    assert "was 2.1 percentage points lower than it would have been without (95% interval: 1.2 to 3.1 lower)" in text
    assert "its mean among the matched children of both groups was 4.7%" in text
    assert "in every 100" not in text.split('id="participants"')[0].replace("(children in every 100)", "")


def test_variants_leave_exposure_out_and_name_it(page: Page) -> None:
    text = " ".join(page.text.split())
    said = "4 variants of the analysis ask the same question another way. The estimates lie between"
    assert f"{said} {words.MINUS}2.15 and 0.31" in text
    assert "3 of 4 point the same way, and the interval leaves out 0 in 1 of the 3 that have one" in text
    assert "1 other estimate (9.25 percentage points) is of exposure and not of intention to treat" in text
    rows = page.table(f"effects-{PROGRAMME}-{OUTCOME}")
    assert [row[0] for row in rows if "exposure" in row[0]] == [
        "Linear, long treated (exposure, not intention to treat)"
    ]
    forest, exposure, curve = (
        next(a["aria-label"] or "" for a in page.all("svg") if (a["aria-label"] or "").startswith(start))
        for start in ("Forest plot", "Estimates of exposure", "Specification curve")
    )
    # What is drawn is what the table holds; ratios are on another scale and stand in the table alone.
    for row in rows:
        shown_in = [row[2] in label for label in (forest, exposure)]
        assert shown_in == ([False, False] if row[1] == "odds ratio" else [row[2] != "9.25", row[2] == "9.25"])
    assert "5 estimates in order of size" in curve and "the primary one is number 1 from the left" in curve


def test_time_since_go_live_is_that_of_the_first_method(page: Page) -> None:
    rows = page.table(f"event-study-{PROGRAMME}-{OUTCOME}")
    minus = words.MINUS
    assert [row[:3] for row in rows] == [
        [f"{minus}2 or earlier", "0.25", f"{minus}0.50 to no limit"],
        [f"{minus}1 (reference)", "0.00", words.DASH],
        ["0", f"{minus}1.11", f"{minus}1.50 to {minus}0.70"],
        ["1", f"{minus}2.22", f"{minus}2.60 to {minus}1.80"],
        ["2 or later", f"{minus}2.50", f"{minus}3.00 to {minus}2.00"],
    ]
    text = " ".join(page.text.split())
    assert "Before go-live there is no sign that the two groups were moving apart: the 1 quarter before it" in text
    assert (
        "does not prove that trends were parallel. Tests made for many LAs, in the table below, give p down to 0.0010"
        in text
    )
    assert "Share with free school meals in the LA is constant." in text
    assert f"in quarter 1, the last that stands for itself, it is {minus}2.22 and rests on 3 LAs" in text


def test_groups_that_parted_before_go_live_are_said_so(paths: Paths) -> None:
    leads = around()["lead_tests"].assign(run_id=RUN, p_value=0.004)
    write_result_table("lead_tests", leads[list(RESULT_TABLES["lead_tests"])], paths.results)
    assert "the two groups were already moving apart" in shown(paths)


def test_decomposition_bounds_and_single_las_are_put_in_words(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "88% from ‘treated against never live’ and 12% from ‘later against earlier live’" in text
    assert "large enough to put the one coefficient at risk" in text
    assert page.table(f"bacon-table-{PROGRAMME}-{OUTCOME}")[-1] == ["Weighted mean", "100.0", f"{words.MINUS}1.38"]
    assert "Breakdown value: 0.40." in text and "leans on trends having been parallel" in text
    # A change of slope is stored as a share and shown in percentage points.
    assert "slope could change by up to 0.100 percentage points a quarter" in text
    bounds = page.table(f"bounds-{PROGRAMME}-{OUTCOME}")
    assert [(row[1], row[4]) for row in bounds] == [("0.0", "no"), ("1.0", "yes"), ("0.200", "yes")]
    assert "With all LAs the same model gives −1.99. Northby matters most: without it the estimate is −1.00." in text
    assert "The interval holds 0 without Northby." in text


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "exactly parallel trends"), (np.inf, "none was reached"), (np.nan, "could not be worked out")],
)
def test_a_breakdown_value_without_a_number_is_said_in_words(paths: Paths, value: float, said: str) -> None:
    bounds = around()["trend_bounds"].assign(run_id=RUN, breakdown=value)
    write_result_table("trend_bounds", bounds[list(RESULT_TABLES["trend_bounds"])], paths.results)
    assert said in " ".join(shown(paths).split())


def test_missing_data_stand_beside_the_primary_effect(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "Of 35 matched children, missing are free school meals for 40.0%." in text
    assert "Free school meals is missing 2.1 percentage points less often among treated children" in text
    assert "Whether it is missing is related to gender, so not to chance alone." in text
    beside = page.table(f"missing-effects-{PROGRAMME}-{OUTCOME}")
    assert [(row[0], row[1]) for row in beside] == [
        ("Logit (primary)", "a group of their own"),
        ("Linear model", "a group of their own"),
        ("Complete cases", "children left out"),
    ]
    assert [row[0] for row in page.table(f"patterns-{PROGRAMME}-{OUTCOME}")] == [
        "Nothing",
        "Free school meals and gender",
    ]


def test_parts_without_results_are_left_out(paths: Paths) -> None:
    for name in around():
        empty = pd.DataFrame(columns=list(RESULT_TABLES[name]), dtype="str")
        write_result_table(name, empty, paths.results)
    page = Page(shown(paths))
    for title in (
        "Time since go-live",
        "LAs that went live one after another",
        "If trends were not parallel",
        "Single LAs",
    ):
        assert title not in page.text
    assert "Other ways to ask the same question" in page.text


def test_document_and_workbook_hold_what_the_page_holds(page: Page, made: Paths) -> None:
    """Every table in the same order with the same cells; figures carry their words; every page says who may see it."""
    document = Document(str(made.report / "report.docx"))
    ids = [str(a["id"]) for a in page.all("table")]
    captions = re.findall(r"<caption>(.*?)</caption>", page.text)
    wide = [
        p.text.removesuffix(": in the appendix.") for p in document.paragraphs if p.text.endswith("in the appendix.")
    ]
    in_order = [key for key, caption in zip(ids, captions, strict=True) if caption not in wide]
    in_order += [key for key, caption in zip(ids, captions, strict=True) if caption in wide]
    assert len(wide) >= 2 and len(document.tables) == len(ids)
    for key, table in zip(in_order, document.tables, strict=True):
        cells = [[c.text for c in row.cells] for row in table.rows][1:]
        assert cells == [[html_text(c) for c in row] for row in page.table(key)], key
    pictures = [shape._inline.docPr for shape in document.inline_shapes]
    labels = [a["aria-label"] for a in page.all("svg")][::2]
    assert [picture.get("descr") for picture in pictures] == labels
    assert all(section.header.paragraphs[0].text == "Internal: not for release" for section in document.sections)
    book = openpyxl.load_workbook(made.report / "tables.xlsx")
    assert len(book.sheetnames) == len(ids) + 1
    for key, name in zip(ids, book.sheetnames[1:], strict=True):
        sheet = book[name]
        assert sheet["A3"].value == "Internal: not for release"
        held = [[c for c in row if c is not None] for row in sheet.iter_rows(min_row=6, values_only=True)]
        rows = page.table(key)
        assert [row[0] for row in held[: len(rows)]] == [
            cell(html_text(row[0]), isinstance(row_held[0], int | float)).value
            for row, row_held in zip(rows, held, strict=False)
        ], key


def html_text(cell: str) -> str:
    return cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("&#39;", "'")


def test_numbers_of_a_table_are_numbers_in_a_workbook() -> None:
    minus = words.MINUS
    assert cell(f"{minus}1,234.50", True) == Cell(-1234.5, "#,##0.00")
    assert cell("12", True) == Cell(12, "0")
    assert cell("33.8%", True) == Cell(0.338, "0.0%")
    assert cell("<0.0001", True) == Cell("<0.0001")
    assert cell(words.DASH, True) == Cell(None)
    assert cell("331", False) == Cell("331")
    table = Table(
        key="k",
        caption="c",
        columns=[text("A"), number("95% interval")],
        rows=[Row(("x", f"{minus}1.50 to no limit")), Row(("y", words.DASH)), Row(("z", "0.10 to 0.20"))],
    )
    heads, rows = cells_of(table)
    assert heads == ["A", "95% interval, from", "95% interval, to"]
    assert [[one.value for one in row] for row in rows] == [["x", -1.5, "no limit"], ["y", None, None], ["z", 0.1, 0.2]]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_name_that_looks_like_a_formula_is_no_formula(paths: Paths, sign: str) -> None:
    tables = marts()
    evil = f"{sign}HYPERLINK(1)"
    for name in ("dim_programme_local_authorities", "dim_local_authorities"):
        tables[name] = tables[name].assign(la_name=tables[name]["la_name"].replace("Midby", evil))
    rebuild(paths, tables)
    files = csv_files(report_of(read_inputs(paths)))
    held = files[f"table-{next(n for n in files if 'excluded' in n).split('-')[1]}-excluded-{PROGRAMME}-{OUTCOME}.csv"]
    assert f"'{evil}" in held
    for content in files.values():
        assert not re.search(rf'(^|,|\n)"?{re.escape(evil)}', content.removeprefix("\ufeff"))
    assert cell(evil, False).value == f"'{evil}" and cell(evil, True).value == f"'{evil}"


def test_files_of_an_earlier_run_do_not_stay(paths: Paths) -> None:
    stale = paths.report / "tables" / "table-999-old.csv"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("old", encoding="utf-8")
    write_report(paths)
    assert not stale.exists()
    listed = pd.read_csv(paths.report / "tables" / "index.csv", encoding="utf-8-sig")
    assert sorted([*listed["file"], "index.csv"]) == sorted(f.name for f in (paths.report / "tables").iterdir())
    assert set(listed["who may see it"]) == {"Internal: not for release"}


def test_every_figure_names_its_unit_and_makes_a_picture(made: Paths) -> None:
    """Axes say what they measure, in both widths, and a drawing of either width is a picture of twice its size."""
    report = report_of(read_inputs(made))
    pictures = [b for section in report.sections for b in flat(section.blocks) if isinstance(b, Picture)]
    assert [p.number for p in pictures] == list(range(1, len(pictures) + 1))
    numbers = [table.number for _, table in tables_of(report.sections)]
    assert numbers == list(range(1, len(numbers) + 1))
    units = ("percentage points", "Effect in", "no unit", "%", "children")
    for picture in pictures:
        for drawing in (picture.figure.wide, picture.figure.narrow):
            said = " ".join(part.text for part in drawing.parts if hasattr(part, "text"))
            assert any(unit in said for unit in units), picture.caption
    image = pictures[0].figure.narrow.png()
    assert image[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(image[16:20], "big") == 2 * charts.NARROW


def test_shapes_tell_marks_apart_without_colour() -> None:
    """Primary, variant and exposure differ in their shape, and an interval that runs on ends in an arrow."""
    bars = [charts.Bar(k, -1.0, -2.0, np.inf, k) for k in ("primary", "same", "other")]
    drawing = charts.forest_chart(width=charts.WIDE, groups=[("", bars)], unit="Effect in days")
    marks = [len(part.points) for part in drawing.parts if type(part).__name__ == "Area" and part.fill != "#eef1f3"]
    # A square, a dot of twelve corners, and a white dot under the ring.
    assert marks == [4, 12, 12]
    arrows = [part for part in drawing.parts if type(part).__name__ == "Stroke" and len(part.points) == 3]
    assert len(arrows) == 3
    said = [part.text for part in drawing.parts if type(part).__name__ == "Words"]
    assert f"{words.MINUS}1.00 ({words.MINUS}2.00 to no limit)" in said


def test_an_interval_that_dwarfs_the_rest_is_cut_with_an_arrow() -> None:
    bars = [charts.Bar("a", -1.0, -2.0, 0.0), charts.Bar("b", -1.5, -2.5, -0.5), charts.Bar("c", 1.0, -900.0, 900.0)]
    drawing = charts.forest_chart(width=charts.NARROW, groups=[("", bars)], unit="Effect in days")
    xs = [x for part in drawing.parts if type(part).__name__ != "Words" for x, _ in part.points]
    assert min(xs) >= 0 and max(xs) <= charts.NARROW
    assert sum(type(part).__name__ == "Stroke" and len(part.points) == 3 for part in drawing.parts) == 2


def test_the_page_in_a_real_browser(made: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Opened offline at the width of a screen and of a telephone; without a Chromium its charts are counted instead."""
    page = tmp_path / "index.html"
    page.write_text(shown(made), encoding="utf-8")
    wanted = page.read_text(encoding="utf-8").count('<svg class="chart wide"')
    assert wanted > 10
    program = browser()
    if program is None:
        with capsys.disabled():
            print("\nno Chromium installed: charts counted in the page's text, not in a browser")
        return
    for width in (1280, 375):
        seen = look_at(program, page, width, tmp_path)
        assert len(seen.svgs) == wanted and all(s["width"] <= width for s in seen.svgs)
        assert seen.cut == 0 and seen.asked == [] and seen.overflow <= 0


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
    assert len(list((paths.report / "tables").iterdir())) == page.text.count("<table ") + 1


def test_truth_is_known_for_nearly_all_treated_children_of_every_outcome(evaluated: Paths) -> None:
    """Followed from a referral or from the start of care: a truth of a few odd children would mislead."""
    known = {outcome: truth.known_pct for (_, outcome), truth in read_inputs(evaluated).truth.items()}
    assert {"became_looked_after", "reunified"} <= set(known)
    assert min(known.values()) > 80, known
