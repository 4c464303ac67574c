"""The evaluation on a small set of marts: FV.MATCH, FV.CEM, FV.EST together, and the results files.

The marts are built here from simulated children with a planted effect; dbt is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from sfpc.errors import SfpcError
from sfpc.evaluation import EvaluationResults, run
from sfpc.marts import OTHER_TREATMENTS, EvaluationSettings, fingerprints, open_marts
from sfpc.matching.sets import matching_in
from sfpc.results import RESULT_TABLES

GO_LIVE = {
    "T1": "2021-07-01",
    "T2": "2021-11-01",
    "T3": "2022-03-01",
    "T4": "2022-07-01",
    "T5": "2022-11-01",
}
COMPARATORS = [f"C{i}" for i in range(1, 7)]
# Counts as treated only where a specification asks for it, from this day on.
TRAILBLAZER, TRAILBLAZER_DAY = "B1", "2022-01-01"
LAS = [*GO_LIVE, *COMPARATORS, TRAILBLAZER]
SETTINGS = {
    "matching_ranking_length": "10",
    "matching_minimum_quarters": "8",
    "matching_maximum_comparators": "2",
    "matching_calliper_noise_ratio": "1.5",
    "cem_year_fallback_share": "0.10",
    "logit_lower_rate_pct": "5",
    "logit_upper_rate_pct": "95",
    "significance_level": "0.05",
    "bootstrap_draws": "499",
    "permutation_draws": "99",
    "inference_seed": "1",
    "imputations": "3",
}
OUTCOMES = pd.DataFrame(
    [
        ("became_looked_after", "FV.OUT.P", "has_become_looked_after", "binary", True, "implemented"),
        ("started_cpp", "FV.OUT.S1", "has_started_cpp", "binary", False, "implemented"),
        ("plan_days", "FV.OUT.S2", "plan_days", "days", False, "implemented"),
        ("kinship_care", "FV.OUT.S3", "is_not_in_the_mart", "binary", False, "planned"),
    ],
    columns=["outcome_id", "clause", "outcome_column", "outcome_kind", "is_primary", "status"],
)
SPECIFICATIONS = pd.DataFrame(
    [
        ("p_logit", "became_looked_after", "FV.EST.1;FV.EST.4", "logit", "cem_protocol", True, "Logit"),
        ("p_linear", "became_looked_after", "FV.EST.1", "linear", "cem_protocol", False, "Linear"),
        ("p_imputed", "became_looked_after", "FV.SENS.6", "imputation", "cem_protocol", False, "Imputation"),
        ("p_ikp", "became_looked_after", "FV.CEM.10", "linear", "cem_ikp", False, "IKP weights"),
        ("p_none", "became_looked_after", "FV.SENS.6", "linear", "none", False, "No matching"),
        ("s1", "started_cpp", "FV.EST.6", "logit", "cem_protocol", True, "Plan"),
        ("s2", "plan_days", "FV.EST.6", "linear", "cem_protocol", True, "Days"),
    ],
    columns=["specification_id", "outcome_id", "clause", "model", "weights", "is_primary", "label"],
).assign(
    treatment="is_treated",
    reading_id="default",
    children="all",
    missing_covariates="as_levels",
    matching_window="default",
)

TRENDS = ("fct_matching_trends", "fct_matching_quarters")

# Further rows of the grid, in one run only: they take time.
FURTHER = pd.DataFrame(
    [
        (
            "p_embedding",
            "became_looked_after",
            "FV.TREAT.4",
            "linear",
            "cem_protocol",
            "without_embedding",
            "as_levels",
        ),
        ("p_shocks", "became_looked_after", "FV.SENS.6", "linear", "cem_protocol", "without_shocked_las", "as_levels"),
        ("p_complete", "became_looked_after", "FV.COV.4", "linear", "cem_protocol", "all", "left_out"),
        ("p_mi", "became_looked_after", "FV.COV.4", "linear", "cem_protocol", "all", "imputed"),
        ("p_strata", "became_looked_after", "FV.EST.4", "conditional_logit", "cem_protocol", "all", "as_levels"),
        ("p_period", "became_looked_after", "FV.CEM.1", "linear", "cem_period", "all", "as_levels"),
        ("p_synthetic", "became_looked_after", "FV.SENS.6", "synthetic_did", "cem_protocol", "all", "as_levels"),
    ],
    columns=["specification_id", "outcome_id", "clause", "model", "weights", "children", "missing_covariates"],
).assign(treatment="is_treated", reading_id="default", matching_window="default", is_primary=False, label="further")
WINDOWS = pd.DataFrame(
    [
        ("p_short", "FV.SENS.5", "is_treated", "short"),
        ("p_first", "FV.TREAT.5", "is_treated_with_trailblazer", "with_trailblazer"),
        ("p_nobody", "FV.TREAT.5", "is_treated_with_trailblazer", "short"),
    ],
    columns=["specification_id", "clause", "treatment", "matching_window"],
).assign(
    outcome_id="became_looked_after",
    model="linear",
    weights="cem_protocol",
    reading_id="default",
    children="all",
    missing_covariates="as_levels",
    is_primary=False,
    label="window",
)


@dataclass(frozen=True)
class Marts:
    """Tables of the simulated marts, and the effect that was planted (percentage points)."""

    tables: Mapping[str, pd.DataFrame]
    true_effect_pct: float

    def write(self, path: Path) -> Path:
        path.unlink(missing_ok=True)
        # Attached under another name: in marts.duckdb, `marts.x` would be ambiguous.
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"attach '{path}' as built; create schema built.marts")
            for name, table in self.tables.items():
                connection.register("frame", table)
                dates = [column for column in table.columns if column.endswith("_date")]
                casts = ", ".join(f"cast({column} as date) as {column}" for column in dates)
                columns = f"* replace ({casts})" if casts else "*"
                connection.execute(f"create table built.marts.{name} as select {columns} from frame")
                connection.unregister("frame")
        return path

    def with_table(self, name: str, table: pd.DataFrame) -> Marts:
        return Marts({**self.tables, name: table}, self.true_effect_pct)


def financial_year(dates: pd.Series) -> pd.Series:
    start = dates.dt.year - (dates.dt.month < 4)
    return start.astype(str) + "/" + (start + 1).astype(str).str[2:]


def simulate_children(seed: int, per_la: int) -> tuple[pd.DataFrame, float]:
    """One child a row; the treated have their log odds lowered, with the same random number."""
    generator = np.random.default_rng(seed)
    size = per_la * len(LAS)
    la = np.repeat(LAS, per_la)
    date = pd.Series(pd.Timestamp("2021-01-01") + pd.to_timedelta(generator.integers(0, 881, size), unit="D"))
    go_live = pd.Series(la).map(GO_LIVE)
    treated = (date >= pd.to_datetime(go_live)) & go_live.notna()
    ever = treated | ((la == TRAILBLAZER) & (date >= TRAILBLAZER_DAY))
    months = generator.integers(-3, 216, size)
    number = np.array([LAS.index(name) for name in la])
    frame = pd.DataFrame(
        {
            "programme_id": "fv",
            "child_id": [hashlib.md5(f"{seed}:{i}".encode()).hexdigest() for i in range(size)],
            "la_id": la,
            "index_referral_date": date,
            "financial_year": financial_year(date),
            "is_treatment_la": go_live.notna(),
            "is_treated": treated,
            "age_at_referral_months": np.maximum(months, 0),
            "is_unborn_at_referral": months < 0,
            "is_in_embedding_period": (la == "T1") & (date >= "2021-07-01") & (date < "2021-08-01"),
            "gender": np.where(months < 0, 0, generator.choice([1, 2], size)),
            "ethnicity": generator.choice(["WBRI", "WOTH", "BAFR", "AIND"], size, p=[0.6, 0.2, 0.1, 0.1]),
            "is_disabled": generator.random(size) < 0.1,
            "is_fsm": pd.Series(generator.choice([True, False, None], size), dtype="object"),
            "is_uasc": generator.random(size) < 0.02,
            "previous_cpp_count": generator.choice([0, 1, 2, 3], size, p=[0.9, 0.06, 0.03, 0.01]),
            "primary_need": pd.Series(generator.choice([1, 4, 5, pd.NA], size), dtype="Int64"),
            "has_other_innovation_programme": (number == 7) & (date >= pd.Timestamp("2022-01-01")),
        }
    )
    year = frame["financial_year"].str[:4].astype(int) - 2020
    for name in OTHER_TREATMENTS:
        frame[name] = ever if name.endswith("trailblazer") else treated
    frame["la_fsm_pct"] = 15.0 + number + 0.2 * year * (1 + number % 3)
    frame["la_white_british_pct"] = 80.0 - 2 * number - 0.1 * year
    base = -3.1 + 0.05 * (number % 4) + 0.1 * year - 0.02 * np.maximum(months, 0) / 12
    base += 0.5 * frame["is_disabled"].astype(float) + 0.6 * (frame["previous_cpp_count"] > 0)
    draw = generator.random(size)
    untreated = 1 / (1 + np.exp(-base))
    with_treatment = 1 / (1 + np.exp(-(base - 0.8)))
    frame["has_become_looked_after"] = draw < np.where(ever, with_treatment, untreated)
    frame["has_started_cpp"] = generator.random(size) < 0.3 - 0.05 * treated
    frame["plan_days"] = np.round(generator.gamma(1.0, 90, size) * (1 - 0.2 * treated))
    for outcome in ("became_looked_after", "started_cpp", "plan_days"):
        frame[f"is_in_sample__{outcome}"] = True
        frame[f"is_fully_observed__{outcome}"] = True
    frame.loc[:40, "is_in_sample__became_looked_after"] = False
    frame.loc[41:80, "is_fully_observed__became_looked_after"] = False
    effect = float(np.mean((with_treatment - untreated)[treated])) * 100
    return frame, effect


def simulate_trends(seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    quarters = pd.date_range("2017-07-01", "2021-04-01", freq="QS")
    rows = []
    for outcome in ("became_looked_after", "started_cpp", "plan_days"):
        common = generator.normal(size=len(quarters))
        for la in LAS:
            value = common + generator.normal(scale=0.5, size=len(quarters))
            held = np.ones(len(quarters), dtype=bool)
            if la in GO_LIVE:
                go_live = pd.Timestamp(GO_LIVE[la])
                held = np.asarray(
                    (quarters >= go_live - pd.DateOffset(months=48))
                    & (quarters + pd.DateOffset(months=3) <= go_live - pd.DateOffset(months=18))
                )
            frame = pd.DataFrame(
                {
                    "programme_id": "fv",
                    "outcome_id": outcome,
                    "la_id": la,
                    "quarter_start_date": quarters[held],
                    "numerator": 50.0,
                    "denominator_count": 1300,
                    "value": 0.04 + 0.01 * value[held],
                    "standardised_value": value[held],
                    "standardised_change": np.diff(value[held], prepend=np.nan),
                    "change_standard_error": 0.7,
                    "is_treatment_la": la in GO_LIVE,
                    "is_matching_candidate": la in COMPARATORS,
                }
            )
            rows.append(frame)
    return pd.concat(rows, ignore_index=True)


def windows_of(trends: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """fct_matching_trends and fct_matching_quarters: the default window, a shorter one, one with the trailblazer, and a
    placebo that ends half a year earlier."""
    cells = trends.drop(columns=["standardised_change", "change_standard_error"]).assign(
        sampling_variance=trends["value"] * (1 - trends["value"]) / 1300,
        standardised_variance=0.7**2 / 2,
        is_in_default_window=True,
    )
    own = trends.loc[trends["is_treatment_la"], ["programme_id", "outcome_id", "la_id", "quarter_start_date"]]
    own = own.rename(columns={"la_id": "treatment_la_id"})
    own["last_follow_up_date"] = own["quarter_start_date"] + pd.DateOffset(months=21) - pd.DateOffset(days=1)
    own["assumed_go_live_date"] = pd.to_datetime(own["treatment_la_id"].map(GO_LIVE))
    last = own.groupby(["outcome_id", "treatment_la_id"])["quarter_start_date"].transform("max")
    placebo = own[own["quarter_start_date"] <= last - pd.DateOffset(months=6)]
    placebo = placebo.assign(assumed_go_live_date=placebo["assumed_go_live_date"] - pd.DateOffset(months=6))
    day = pd.Timestamp(TRAILBLAZER_DAY)
    first = trends[
        (trends["la_id"] == TRAILBLAZER)
        & (trends["quarter_start_date"] >= day - pd.DateOffset(months=48))
        & (trends["quarter_start_date"] + pd.DateOffset(months=21) <= day)
    ].rename(columns={"la_id": "treatment_la_id"})
    first = first.assign(
        last_follow_up_date=first["quarter_start_date"] + pd.DateOffset(months=21) - pd.DateOffset(days=1),
        assumed_go_live_date=day,
    )[list(own.columns)]
    quarters = pd.concat(
        [
            own.assign(window_id="default"),
            own[own["quarter_start_date"] < last].assign(window_id="short"),
            own.assign(window_id="with_trailblazer"),
            first.assign(window_id="with_trailblazer"),
            placebo.assign(window_id="placebo"),
        ],
        ignore_index=True,
    )
    quarters["is_default"] = quarters["window_id"] == "default"
    return cells, quarters


VARIANTS = pd.DataFrame(
    [
        ("default", "default", "rms", None, True, 0, "FV.MATCH.2"),
        ("shrunken", "default", "shrunken", None, False, 0, "FV.MATCH.2"),
        ("likelihood", "default", "likelihood", 0.9, False, 0, "FV.MATCH.2"),
        ("placebo", "placebo", "rms", None, False, 6, "FV.MATCH.5"),
    ],
    columns=["variant_id", "window_id", "metric", "twin_correlation", "is_default", "placebo_months", "clause"],
)
SHOCKS = pd.DataFrame(
    [
        ("2020-03-26", None, "pandemic", "Lockdown", False),
        ("2022-01-01", None, "policy", "A new rule", False),
        ("2022-02-01", "T5", "recording", "A break in recording", True),
        ("2016-02-01", "T1", "recording", "A break long before", True),
    ],
    columns=["shock_date", "la_id", "kind", "title", "is_of_its_own"],
)
NO_DECISIONS = pd.DataFrame(
    columns=[
        "programme_id",
        "outcome_id",
        "treatment_la_id",
        "comparator_la_id",
        "decision",
        "reason",
        "decided_by",
        "decided_on",
        "data_version",
    ],
    dtype="str",
)


NO_TERMS = pd.DataFrame(
    columns=[
        "programme_id",
        "child_id",
        "term_order",
        "months_since_referral",
        "is_measured",
        "unauthorised_absence_pct",
    ],
    dtype="str",
)


def values_of(children: pd.DataFrame) -> pd.DataFrame:
    """fct_outcome_values of the children, from the columns that they have for each outcome."""
    columns = {
        "became_looked_after": "has_become_looked_after",
        "started_cpp": "has_started_cpp",
        "plan_days": "plan_days",
    }
    frames = []
    for outcome, column in columns.items():
        frame = children[
            ["programme_id", "child_id", "la_id", "financial_year", "is_treatment_la", "is_treated"]
        ].assign(
            outcome_id=outcome,
            reading_id="whole",
            is_default_reading=True,
            anchor_date=children["index_referral_date"],
            age_at_anchor_months=children["age_at_referral_months"],
            is_in_sample=children[f"is_in_sample__{outcome}"],
            is_fully_observed=children[f"is_fully_observed__{outcome}"],
            outcome_value=children[column].astype(float),
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def text(column: pd.Series) -> pd.Series:
    """Levels as text; missing is a level of its own."""
    return column.astype("object").where(column.notna(), "not observed").astype(str)


def strata_of(children: pd.DataFrame) -> pd.DataFrame:
    age = (children["age_at_referral_months"] // 12).map(lambda years: (years > 3) + (years > 12))
    parts = [
        children["gender"],
        age,
        children["ethnicity"].str[0],
        children["is_disabled"],
        children["is_fsm"],
        children["is_uasc"],
        children["previous_cpp_count"] > 0,
    ]
    key = pd.Series("", index=children.index)
    for part in parts:
        key = key + "|" + text(part)
    frames = []
    for outcome in ("became_looked_after", "started_cpp", "plan_days"):
        kept = children[f"is_in_sample__{outcome}"] & children[f"is_fully_observed__{outcome}"]
        columns = ["programme_id", "child_id", "la_id", "is_treatment_la", "index_referral_date"]
        frame = children.loc[kept, [*columns, "financial_year"]].assign(outcome_id=outcome)
        frame = frame.rename(columns={"index_referral_date": "anchor_date"})
        frame["covariate_stratum_id"] = [hashlib.md5(k.encode()).hexdigest() for k in key[kept]]
        year_key = key[kept] + children.loc[kept, "financial_year"]
        frame["year_stratum_id"] = [hashlib.md5(k.encode()).hexdigest() for k in year_key]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def simulate_marts(seed: int = 1, per_la: int = 1200) -> Marts:
    children, effect = simulate_children(seed, per_la)
    roles = pd.DataFrame(
        {
            "programme_id": "fv",
            "la_id": LAS,
            "la_name": LAS,
            "role": ["treatment"] * len(GO_LIVE) + ["comparison"] * len(COMPARATORS) + ["trailblazer"],
            "go_live_date": [*GO_LIVE.values(), *[None] * len(COMPARATORS), "2020-01-01"],
            "is_treatment_la": [la in GO_LIVE for la in LAS],
            "is_matching_candidate": [la in COMPARATORS for la in LAS],
        }
    )
    settings = pd.DataFrame({"setting": list(SETTINGS), "value": list(SETTINGS.values())})
    trends = simulate_trends(seed)
    cells, quarters = windows_of(trends)
    return Marts(
        {
            "dim_programme_local_authorities": roles,
            "dim_outcomes": OUTCOMES,
            "dim_specifications": SPECIFICATIONS,
            "dim_evaluation_settings": settings,
            "fct_la_quarter_outcomes": trends,
            "fct_matching_trends": cells,
            "fct_matching_quarters": quarters,
            "dim_matching_variants": VARIANTS,
            "dim_la_match_decisions": NO_DECISIONS,
            "dim_shocks": SHOCKS,
            "fct_cem_strata": strata_of(children),
            "fct_outcome_values": values_of(children),
            "fct_absence_terms": NO_TERMS,
            "fct_child_outcomes": children,
        },
        effect,
    )


@pytest.fixture(scope="module")
def marts() -> Marts:
    return simulate_marts()


@pytest.fixture(scope="module")
def small() -> Marts:
    return simulate_marts(seed=2, per_la=250)


@pytest.fixture(scope="module")
def evaluated(marts: Marts, tmp_path_factory: pytest.TempPathFactory) -> EvaluationResults:
    folder = tmp_path_factory.mktemp("evaluation")
    rows = pd.concat([SPECIFICATIONS, FURTHER, WINDOWS], ignore_index=True)
    whole = marts.with_table("dim_specifications", rows)
    return run(whole.write(folder / "marts.duckdb"), folder / "results")


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., EvaluationResults]:
    def call(marts: Marts, programme_id: str | None = None) -> EvaluationResults:
        return run(marts.write(tmp_path / "marts.duckdb"), tmp_path / "results", programme_id)

    return call


def one(effects: pd.DataFrame, specification_id: str, scale: str = "percentage points") -> pd.Series:
    rows = effects[(effects["specification_id"] == specification_id) & (effects["scale"] == scale)]
    assert len(rows) == 1
    return rows.iloc[0]


def edited(marts: Marts, setting: str, value: str) -> Marts:
    settings = marts.tables["dim_evaluation_settings"].copy()
    settings.loc[settings["setting"] == setting, "value"] = value
    return marts.with_table("dim_evaluation_settings", settings)


# --- the numbers ---------------------------------------------------------------------------------


def test_planted_effect_is_recovered(marts: Marts, evaluated: EvaluationResults) -> None:
    """FV.EST.1, .4: marginal effect and linear effect lie within three errors of the truth."""
    for specification in ("p_logit", "p_linear", "p_imputed", "p_ikp", "p_none"):
        row = one(evaluated.effects, specification)
        assert abs(row["estimate"] - marts.true_effect_pct) < 3 * row["standard_error"]
        assert row["ci_low"] < row["estimate"] < row["ci_high"] < 0
        assert row["p_value"] < 0.05
    ratio = one(evaluated.effects, "p_logit", "odds ratio")
    assert abs(np.log(ratio["estimate"]) + 0.8) < 0.5 and ratio["ci_high"] < 1
    days = one(evaluated.effects, "s2", "days")
    assert abs(days["estimate"] + 18) < 3 * days["standard_error"]


def test_linear_effect_equals_an_independent_computation(marts: Marts, evaluated: EvaluationResults) -> None:
    """FV.CEM.1 to .10 and FV.EST.1, .3, recomputed child by child with pandas and numpy."""
    pairs = evaluated.matched_pairs
    pairs = pairs[(pairs["outcome_id"] == "became_looked_after") & (pairs["status"] == "accepted")]
    shares = evaluated.cem_shares.query("outcome_id == 'became_looked_after'")
    strata = marts.tables["fct_cem_strata"].query("outcome_id == 'became_looked_after'")
    weights = pd.Series(0.0, index=pd.Index([], dtype="object"))
    before_weight = before_events = 0.0
    children = marts.tables["fct_child_outcomes"].set_index("child_id")
    for la, own in pairs.groupby("treatment_la_id"):
        members = strata[strata["la_id"].isin([la, *own["candidate_la_id"]])].copy()
        members["after"] = members["anchor_date"] >= pd.Timestamp(GO_LIVE[str(la)])
        used = shares.loc[shares["treatment_la_id"] == la, "strata_used"].iloc[0]
        key = members["year_stratum_id"]
        if used == "period":
            key = members["covariate_stratum_id"] + members["after"].astype(str)
        treated = (members["la_id"] == la).groupby(key).transform("sum")
        control = (members["la_id"] != la).groupby(key).transform("sum")
        ratio = np.where(members["la_id"] == la, 1.0, treated / control.where(control > 0))
        matched = members.assign(weight=ratio)[(treated > 0) & (control > 0)].set_index("child_id")
        weights = weights.add(matched["weight"], fill_value=0.0)
        before = matched[~matched["after"]]
        events = children.loc[before.index, "has_become_looked_after"].astype(float)
        before_weight += before["weight"].sum()
        before_events += (before["weight"] * events).sum()
    sample = children.loc[weights.index].assign(weight=weights)
    design = pd.DataFrame({"treated": sample["is_treated"].astype(float), "constant": 1.0})
    design["age"] = sample["age_at_referral_months"] // 12
    for column in ("previous_cpp_count", "la_fsm_pct", "la_white_british_pct"):
        design[column] = sample[column]
    for column in (
        "la_id",
        "financial_year",
        "gender",
        "ethnicity",
        "is_unborn_at_referral",
        "is_disabled",
        "is_fsm",
        "is_uasc",
        "primary_need",
        "has_other_innovation_programme",
    ):
        dummies = pd.get_dummies(text(sample[column]), prefix=column, drop_first=True, dtype=float)
        design = design.join(dummies)
    x, y = design.to_numpy(dtype=float), sample["has_become_looked_after"].to_numpy(dtype=float)
    weight = sample["weight"].to_numpy(dtype=float)
    bread = np.linalg.pinv(x.T @ (weight[:, None] * x))
    coefficients = bread @ x.T @ (weight * y)
    scores = pd.DataFrame(x * (weight * (y - x @ coefficients))[:, None])
    sums = scores.groupby(sample["la_id"].to_numpy()).sum().to_numpy()
    rank, groups = int(np.linalg.matrix_rank(x)), len(sums)
    factor = groups / (groups - 1) * (len(x) - 1) / (len(x) - (rank - (groups - 1)))
    error = np.sqrt(factor * (bread @ sums.T @ sums @ bread)[0, 0])
    row = one(evaluated.effects, "p_linear")
    assert row["estimate"] == pytest.approx(100 * coefficients[0], abs=1e-7)
    assert row["standard_error"] == pytest.approx(100 * error, abs=1e-7)
    assert row["children_count"] == len(sample)
    assert row["treated_children_count"] == int(sample["is_treated"].sum())
    assert row["cluster_count"] == sample["la_id"].nunique()
    assert row["baseline_mean_pct"] == pytest.approx(100 * before_events / before_weight, abs=1e-9)


def test_model_rule_follows_the_baseline_rate(evaluated: EvaluationResults) -> None:
    """FV.EST.4: 4 % -> logit, its marginal effect primary; 30 % -> linear; days -> linear."""
    effects = evaluated.effects
    primary = effects[effects["is_primary"]]
    assert primary[["outcome_id", "model", "scale"]].to_numpy().tolist() == [
        ["became_looked_after", "logit", "percentage points"],
        ["plan_days", "linear", "days"],
        ["started_cpp", "linear", "percentage points"],
    ]
    baseline = primary.set_index("outcome_id")["baseline_mean_pct"]
    assert baseline["became_looked_after"] < 5 < 25 < baseline["started_cpp"] < 35
    assert np.isnan(baseline["plan_days"])
    assert "logit (FV.EST.4)" in one(effects, "p_logit")["note"]
    # Declared as logit only: the linear model is added, and the rule makes it primary.
    assert one(effects, "s1__linear")["is_primary"] and not one(effects, "s1")["is_primary"]


def test_model_rule_reads_its_limits_from_the_settings(
    small: Marts, evaluate: Callable[..., EvaluationResults]
) -> None:
    """FV.EST.4: the rates are settings; a rate on the limit is between the two."""

    def primary(setting: str, limit: str) -> pd.Series:
        effects = evaluate(edited(small, setting, limit)).effects
        rows = effects[effects["is_primary"] & (effects["outcome_id"] == "became_looked_after")]
        assert len(rows) == 1
        return rows.iloc[0]

    first = primary("logit_lower_rate_pct", "1")
    rate = repr(float(first["baseline_mean_pct"]))
    assert first["model"] == "linear"
    assert primary("logit_lower_rate_pct", "50")["model"] == "logit"
    assert primary("logit_lower_rate_pct", rate)["model"] == "linear"


def test_protocol_and_ikp_weights_and_no_matching_side_by_side(marts: Marts, evaluated: EvaluationResults) -> None:
    """FV.CEM.10, FV.SENS.6, FV.SAMPLE.5: three weightings, each a row on its own sample."""
    effects = evaluated.effects
    protocol, ikp, none = (one(effects, name) for name in ("p_linear", "p_ikp", "p_none"))
    assert protocol["children_count"] == ikp["children_count"] < none["children_count"]
    assert [row["weights"] for row in (protocol, ikp, none)] == ["cem_protocol", "cem_ikp", "none"]
    assert protocol["estimate"] != ikp["estimate"] != none["estimate"]
    pairs = evaluated.matched_pairs.query("outcome_id == 'became_looked_after'")
    children = marts.tables["fct_child_outcomes"]
    kept = children["la_id"].isin([*pairs["treatment_la_id"], *pairs["candidate_la_id"]])
    for flag in ("is_in_sample", "is_fully_observed"):
        assert not children.loc[kept, f"{flag}__became_looked_after"].all()
        kept &= children[f"{flag}__became_looked_after"]
    assert none["children_count"] == int(kept.sum())


# --- matching as written -------------------------------------------------------------------------


def test_sets_trends_and_shares_fit_together(evaluated: EvaluationResults) -> None:
    """FV.MATCH.3, .4, FV.CEM.11: what the results say of pairs, trends and shares agrees."""
    pairs = evaluated.matched_pairs
    accepted = pairs[pairs["status"] == "accepted"]
    assert set(accepted["candidate_la_id"]) <= set(COMPARATORS)
    assert accepted.groupby(["outcome_id", "treatment_la_id"]).size().max() == 2
    assert len(accepted) == int(evaluated.la_ranking["is_accepted"].sum())
    trends = evaluated.matched_trends
    windows = trends.groupby(["outcome_id", "treatment_la_id", "la_id"])["quarter_start_date"].agg(set)
    for (outcome, treatment, la), quarters in windows.items():
        assert quarters == windows[(outcome, treatment, treatment)], la
        last = max(quarters) + pd.DateOffset(months=3 + 18)
        assert last <= pd.Timestamp(GO_LIVE[treatment])
    lasts = trends.groupby("treatment_la_id")["quarter_start_date"].max()
    assert lasts["T1"] < lasts["T5"]
    shares = evaluated.cem_shares
    parts = shares[(shares["period"] != "all") & (shares["treatment_la_id"] != "all")]
    whole = shares[(shares["period"] == "all") & (shares["treatment_la_id"] == "all")]
    for column in ("children_count", "matched_children_count"):
        sums = parts.groupby(["outcome_id", "arm"])[column].sum()
        pd.testing.assert_series_equal(sums, whole.groupby(["outcome_id", "arm"])[column].sum(), check_names=False)
    assert shares["matched_share"].between(0, 1).all()
    imbalance = evaluated.cem_imbalance
    assert (imbalance[["l1_before", "l1_after"]] > 0).all(axis=None)
    overall = imbalance.query("treatment_la_id == 'all' and period == 'all'")
    assert (overall["l1_after"] <= overall["l1_before"] + 0.02).all() and len(overall) == 3


def test_a_treatment_la_without_comparator_is_left_out_and_said_so(
    marts: Marts, evaluate: Callable[..., EvaluationResults]
) -> None:
    """FV.MATCH.4, FV.EST.3: excluded for that outcome alone; fewer than four treated LAs noted."""
    trends = marts.tables["fct_la_quarter_outcomes"].copy()
    wild = trends["la_id"].isin(["T1", "T2"]) & (trends["outcome_id"] == "became_looked_after")
    trends.loc[wild, "standardised_change"] *= 40
    result = evaluate(marts.with_table("fct_la_quarter_outcomes", trends))
    excluded = result.matched_pairs[result.matched_pairs["status"] == "excluded"]
    assert excluded[["outcome_id", "treatment_la_id"]].to_numpy().tolist() == [
        ["became_looked_after", "T1"],
        ["became_looked_after", "T2"],
    ]
    row = one(result.effects, "p_logit")
    assert row["treated_cluster_count"] == 3
    assert "only 3 treated LAs" in row["note"] and "2 of 5 treatment LAs excluded" in row["note"]
    assert "treated LAs" not in one(result.effects, "s1__linear")["note"]
    assert "T1" in set(result.matched_trends["la_id"])


# --- what cannot be estimated --------------------------------------------------------------------


def test_no_children_after_go_live_gives_nan_with_a_note(
    small: Marts, evaluate: Callable[..., EvaluationResults]
) -> None:
    """FV.SAMPLE.5: nothing observed after go-live -> NaN and a sentence, never a crash."""
    children = small.tables["fct_child_outcomes"]
    keep = children.loc[children["index_referral_date"] < pd.Timestamp("2021-07-01"), "child_id"]
    strata = small.tables["fct_cem_strata"]
    values = small.tables["fct_outcome_values"]
    result = evaluate(
        small.with_table("fct_child_outcomes", children[children["child_id"].isin(keep)])
        .with_table("fct_outcome_values", values[values["child_id"].isin(keep)])
        .with_table("fct_cem_strata", strata[strata["child_id"].isin(keep)])
    )
    numbers = result.effects[["estimate", "standard_error", "ci_low", "ci_high", "p_value"]]
    assert numbers.isna().all(axis=None)
    linear = one(result.effects, "p_linear")
    assert "not identified" in linear["note"] and linear["treated_children_count"] == 0
    assert "no effect can be estimated" in one(result.effects, "p_logit")["note"] or (
        "not identified" in one(result.effects, "p_logit")["note"]
    )


def test_nothing_matched_gives_nan_with_a_note(small: Marts, evaluate: Callable[..., EvaluationResults]) -> None:
    """FV.MATCH.4: no comparator for anyone -> every effect NaN, every LA listed."""
    result = evaluate(edited(small, "matching_calliper_noise_ratio", "0"))
    assert result.effects["estimate"].isna().all() and len(result.effects)
    assert result.effects["note"].str.contains("no children to analyse").all()
    assert result.effects["note"].str.contains("5 of 5 treatment LAs excluded").all()
    assert set(result.matched_pairs["status"]) == {"excluded"}
    assert result.cem_shares.empty and result.cem_balance.empty


# --- files, identity, messages -------------------------------------------------------------------


def test_files_hold_the_declared_columns_and_the_same_rows(evaluated: EvaluationResults) -> None:
    """Every table is there as Parquet and CSV with the declared columns; nothing temporary stays."""
    names = {f"{name}.{suffix}" for name in RESULT_TABLES for suffix in ("parquet", "csv")}
    assert {path.name for path in evaluated.results_dir.iterdir()} == names | {
        "run.json",
        "checksums.json",
        "matched_children.parquet",
    }
    with duckdb.connect(":memory:") as connection:
        for name, columns in RESULT_TABLES.items():
            path = evaluated.results_dir / f"{name}.parquet"
            described = connection.execute(f"describe select * from '{path}'").fetchall()
            assert {row[0]: row[1].lower() for row in described} == dict(columns)
            frame = connection.execute(f"select * from '{path}'").df()
            assert len(frame) == len(getattr(evaluated, name))
            text = pd.read_csv(path.with_suffix(".csv"), dtype={"run_id": str})
            assert list(text.columns) == list(columns) and len(text) == len(frame)
            assert set(frame["run_id"]) == ({evaluated.run_id} if len(frame) else set())
    effects = pd.read_csv(evaluated.results_dir / "effects.csv")
    np.testing.assert_allclose(effects["estimate"], evaluated.effects["estimate"], rtol=1e-12)


def test_run_record_says_what_was_used(evaluated: EvaluationResults) -> None:
    """FV.MATCH.4, DP.8: settings, versions, content of the marts and times are on record."""
    record = json.loads((evaluated.results_dir / "run.json").read_text())
    assert record["run_id"] == evaluated.run_id and record["programmes"] == ["fv"]
    assert record["settings"]["matching_calliper_noise_ratio"] == 1.5
    assert record["versions"]["duckdb"] == duckdb.__version__
    assert "gender" in record["conventions"]["imbalance_bins"]
    assert set(record["seconds"]) >= {"Matching children", "Estimating effects"}


def test_equal_inputs_give_equal_results_and_other_inputs_another_run_id(small: Marts, tmp_path: Path) -> None:
    """The run id depends on content, code and settings, not on the file or the clock."""
    first = run(small.write(tmp_path / "a.duckdb"), tmp_path / "a")
    content = (tmp_path / "a.duckdb").read_bytes()
    again = run(small.write(tmp_path / "b.duckdb"), tmp_path / "b")
    assert first.run_id == again.run_id
    for name in RESULT_TABLES:
        a, b = (tmp_path / folder / f"{name}.csv" for folder in ("a", "b"))
        assert a.read_bytes() == b.read_bytes(), name
    assert (tmp_path / "a.duckdb").read_bytes() == content
    other = run(edited(small, "significance_level", "0.1").write(tmp_path / "c.duckdb"), tmp_path / "c")
    assert other.run_id != first.run_id
    with open_marts(tmp_path / "a.duckdb") as connection:
        before = fingerprints(connection)
    shuffled = small.with_table("fct_child_outcomes", small.tables["fct_child_outcomes"].sample(frac=1, random_state=1))
    with open_marts(shuffled.write(tmp_path / "d.duckdb")) as connection:
        assert fingerprints(connection) == before
    children = small.tables["fct_child_outcomes"].copy()
    children.loc[0, "age_at_referral_months"] += 1
    changed = small.with_table("fct_child_outcomes", children)
    with open_marts(changed.write(tmp_path / "e.duckdb")) as connection:
        after = fingerprints(connection)
    assert {name for name in after if after[name] != before[name]} == {"fct_child_outcomes"}


def test_programmes_are_evaluated_apart(small: Marts, evaluate: Callable[..., EvaluationResults]) -> None:
    """FV.PROG.5: another programme is rows; one can be chosen, and they do not touch each other."""
    alone = evaluate(small).effects
    both = small
    for name, table in small.tables.items():
        if "programme_id" in table.columns:
            other = table.assign(programme_id="nwd")
            if name in ("fct_child_outcomes", "fct_cem_strata"):
                other = other[other["la_id"] != "C1"]
            both = both.with_table(name, pd.concat([table, other], ignore_index=True))
    effects = evaluate(both).effects
    assert effects["programme_id"].unique().tolist() == ["fv", "nwd"]
    fv = effects[effects["programme_id"] == "fv"].drop(columns="run_id")
    pd.testing.assert_frame_equal(fv, alone.drop(columns="run_id"), rtol=1e-12)
    assert evaluate(both, "nwd").effects["programme_id"].unique().tolist() == ["nwd"]
    with pytest.raises(SfpcError, match="no programme 'x'"):
        evaluate(both, "x")


def test_messages_for_the_analyst(small: Marts, tmp_path: Path) -> None:
    """What is wrong, where, and what was expected, in one line."""
    with pytest.raises(SfpcError, match="no marts at"):
        run(tmp_path / "absent.duckdb", tmp_path)

    def refused(marts: Marts, message: str) -> None:
        with pytest.raises(SfpcError, match=message):
            run(marts.write(tmp_path / "marts.duckdb"), tmp_path / "results")

    settings = small.tables["dim_evaluation_settings"]
    refused(small.with_table("dim_evaluation_settings", settings.iloc[1:]), "no row for 'matching_ranking")
    refused(edited(small, "matching_minimum_quarters", "8.5"), "not a whole number")
    refused(edited(small, "significance_level", "five"), "not a number")
    doubled = pd.concat([settings, settings.head(1)])
    refused(small.with_table("dim_evaluation_settings", doubled), "more than once")
    strata = small.tables["fct_cem_strata"].drop(columns="year_stratum_id")
    refused(small.with_table("fct_cem_strata", strata), "fct_cem_strata has no column year_stratum_id")
    asked = pd.concat([SPECIFICATIONS, SPECIFICATIONS.tail(1).assign(outcome_id="kinship_care")])
    implemented = small.with_table("dim_outcomes", OUTCOMES.assign(status="implemented"))
    refused(implemented.with_table("dim_specifications", asked), "'kinship_care' is implemented, but")
    refused(small.with_table("dim_specifications", SPECIFICATIONS.assign(model="probit")), "probit")
    refused(small.with_table("dim_specifications", SPECIFICATIONS.assign(weights="x")), "cem_protocol")
    roles = small.tables["dim_programme_local_authorities"].assign(go_live_date=None)
    refused(small.with_table("dim_programme_local_authorities", roles), "no go_live_date .* T1, T2")
    assert not (tmp_path / "results").exists()


def of(results: EvaluationResults, specification_id: str) -> pd.Series:
    """The row of one specification, on its first scale."""
    rows = results.effects[results.effects["specification_id"] == specification_id]
    return rows.iloc[0]


def test_specifications_leave_out_the_children_that_they_name(marts: Marts, evaluated: EvaluationResults) -> None:
    """FV.TREAT.4, FV.SENS.6, FV.COV.4: who is in the sample of a row follows from its columns."""
    whole = of(evaluated, "p_linear")
    with duckdb.connect(":memory:") as connection:
        matched = connection.execute(
            f"select child_id from '{evaluated.results_dir / 'matched_children.parquet'}'"
            " where outcome_id = 'became_looked_after' and weight_protocol > 0"
        ).df()
    children = marts.tables["fct_child_outcomes"].set_index("child_id").loc[matched["child_id"]]
    assert whole["children_count"] == len(children)
    embedded = int(children["is_in_embedding_period"].sum())
    assert embedded > 0 and of(evaluated, "p_embedding")["children_count"] == len(children) - embedded
    # A shock of its own leaves an LA out while children entered, not one from long before.
    shocked = int((children["la_id"] == "T5").sum())
    assert shocked > 0 and of(evaluated, "p_shocks")["children_count"] == len(children) - shocked
    assert of(evaluated, "p_shocks")["treated_cluster_count"] == whole["treated_cluster_count"] - 1
    complete = int(children["primary_need"].notna().sum())
    assert 0 < complete < len(children) and of(evaluated, "p_complete")["children_count"] == complete


def test_every_row_of_the_grid_finds_the_planted_effect(marts: Marts, evaluated: EvaluationResults) -> None:
    """Each model on the scale of a difference is within three standard errors of it (FV.COV.4, FV.SENS.6)."""
    for specification in ("p_embedding", "p_shocks", "p_complete", "p_mi", "p_period", "p_synthetic"):
        row = of(evaluated, specification)
        assert abs(row["estimate"] - marts.true_effect_pct) < 3 * row["standard_error"], specification
        assert row["ci_high"] < 0 or specification == "p_synthetic", specification
    assert "3 imputations" in of(evaluated, "p_mi")["inference_method"]
    assert "primary_need" in of(evaluated, "p_mi")["note"]
    odds = of(evaluated, "p_strata")
    assert odds["scale"] == "odds ratio" and odds["ci_low"] < np.exp(-0.8) < odds["ci_high"]


def test_other_windows_choose_other_las(marts: Marts, evaluated: EvaluationResults) -> None:
    """FV.SENS.5, FV.TREAT.5: the LAs are those that the rule picks in the window; the trailblazer has its own."""
    primary = "outcome_id == 'became_looked_after'"
    accepted = evaluated.matched_pairs.query(f"{primary} and status == 'accepted'")
    tables = {name: marts.tables[name].query(primary) for name in TRENDS}
    roles = marts.tables["dim_programme_local_authorities"]
    settings = EvaluationSettings(**evaluated.run_record["settings"])
    short, first = (
        matching_in(window, accepted, tables[TRENDS[0]], tables[TRENDS[1]], roles, settings)
        for window in ("short", "with_trailblazer")
    )
    row, whole = of(evaluated, "p_short"), of(evaluated, "p_linear")
    assert row["cluster_count"] == short.sets["la_id"].nunique()
    assert row["treated_cluster_count"] == short.sets["treatment_la_id"].nunique()

    def pairs_of(sets: pd.DataFrame) -> set[tuple[str, str]]:
        own = sets[~sets["is_treatment_arm"].astype(bool)]
        return set(zip(own["treatment_la_id"], own["la_id"], strict=True))

    decided = set(zip(accepted["treatment_la_id"], accepted["candidate_la_id"], strict=True))
    assert pairs_of(short.sets) != decided
    pairs = pairs_of(first.sets)
    assert {pair for pair in pairs if pair[0] != TRAILBLAZER} == decided
    assert first.added == {("fv", TRAILBLAZER)} and len(pairs) > len(decided)
    row = of(evaluated, "p_first")
    assert row["treated_cluster_count"] == whole["treated_cluster_count"] + 1
    for name in ("p_short", "p_first"):
        row = of(evaluated, name)
        assert abs(row["estimate"] - marts.true_effect_pct) < 3 * row["standard_error"], name
    nobody = of(evaluated, "p_nobody")
    assert np.isnan(nobody["estimate"]) and "no trailblazer" in nobody["note"]
    # What stands after it is on the pairs that were decided on again.
    assert evaluated.leave_one_out["la_id"].isin([TRAILBLAZER]).sum() == 0


def test_tables_around_the_primary_effect(evaluated: EvaluationResults) -> None:
    """FV.SENS.2, .3, .6 and FV.COV.4: each outcome with an effect has them, in the units of the outcome."""
    mine = {
        name: getattr(evaluated, name).query("outcome_id == 'became_looked_after'")
        for name in ("event_study", "lead_tests", "trend_bounds", "leave_one_out", "missing_covariates")
    }
    assert all(len(table) for table in mine.values())
    study = mine["event_study"]
    reference = study[study["is_reference"]]
    assert list(reference["period"]) == [-1] and list(reference["estimate"]) == [0.0]
    assert {-2, 0} <= set(study["period"]) and set(study["scale"]) == {"percentage points"}
    left = mine["leave_one_out"]
    assert set(left["la_id"]) == set(
        evaluated.matched_pairs.query("outcome_id == 'became_looked_after' and status == 'accepted'")[
            ["treatment_la_id", "candidate_la_id"]
        ]
        .to_numpy()
        .ravel()
    )
    assert set(left.loc[left["is_treated_la"], "la_id"]) <= set(GO_LIVE)
    # Without any LA the effect stays below 0: no single one makes it.
    assert (left["estimate"] < 0).all()
    bounds = mine["trend_bounds"]
    parallel = bounds[(bounds["limit"] == 0) & bounds["restriction"].str.contains("relative")]
    assert (parallel["ci_low"] < parallel["ci_high"]).all()
    shares = mine["missing_covariates"].set_index("covariate")["decision"]
    assert shares["primary_need"] == "imputed" and shares["gender"] == "complete"


def test_processes_and_resumption_do_not_change_a_number(
    small: Marts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes give the bytes of one; a run that was interrupted takes what it had done."""
    import sfpc.evaluation
    import sfpc.grid

    only = small.tables["dim_specifications"].query("model != 'imputation'")
    file = small.with_table("dim_specifications", only).write(tmp_path / "marts.duckdb")
    first = run(file, tmp_path / "one")
    run(file, tmp_path / "two", workers=2)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(sfpc.evaluation, "write_result_table", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(file, tmp_path / "three")
    kept = sorted((tmp_path / "three" / ".unfinished").rglob("*.pickle"))
    assert [path.stem for path in kept] == ["fv__became_looked_after", "fv__plan_days", "fv__started_cpp"]
    with monkeypatch.context() as context:
        context.setattr(sfpc.grid, "_estimate_outcome", stopped)
        again = run(file, tmp_path / "three")
    assert again.run_id == first.run_id and not (tmp_path / "three" / ".unfinished").exists()
    for name in ("effects", "inference", "event_study", "leave_one_out"):
        contents = {(tmp_path / folder / f"{name}.csv").read_bytes() for folder in ("one", "two", "three")}
        assert len(contents) == 1, name
