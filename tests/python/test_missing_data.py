"""Missing covariates (FV.COV.4): the rule, patterns, tests; imputation that recovers what was lost; pooling (B33)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from sfpc.estimation import build_design, compress, fit_linear
from sfpc.estimation.cluster import Estimate
from sfpc.estimation.design import NOT_OBSERVED
from sfpc.estimation.few_clusters import WILD_BOOTSTRAP, ClusterSums, cluster_sums, cr3, wild_bootstrap
from sfpc.estimation.joint import CR1_F, WILD_WALD
from sfpc.estimation.missing_data import complete_cases, missing_patterns, missing_shares, missingness_tests
from sfpc.estimation.multiple_imputation import (
    CATEGORICAL,
    LINEAR,
    Imputations,
    _Categorical,
    _Columns,
    _donors,
    _State,
    impute,
)
from sfpc.estimation.pooling import median_p, pool, pooled_wild_bootstrap, rubin
from test_estimation import REFERENCE, TERMS, rows_as_cells, simulated_children


def numbers(name: str) -> Any:
    entries = json.loads((REFERENCE / "expected/acceptance.json").read_text())
    return next(entry["expected"] for entry in entries if entry["id"] == name)


# --- What is missing --------------------------------------------------------------------------------------------------


def test_the_rule_by_hand() -> None:
    """FV.COV.4: complete, at the limit, above it; the limit is the caller's."""
    rows = pd.DataFrame({"a": [1.0] * 10, "b": [1.0] * 7 + [np.nan] * 3, "c": ["x"] * 6 + [None] * 4})
    found = missing_shares(rows, ["a", "b", "c"], 0.30)
    assert found["decision"].tolist() == ["complete", "imputed", "dropped"]
    assert found["missing_count"].tolist() == [0, 3, 4] and found["missing_share"].tolist() == [0.0, 0.3, 0.4]
    assert found["reason"][2] == "missing for 40.0%, more than 30% (FV.COV.4)"
    assert missing_shares(rows, ["c"], 0.40)["decision"].tolist() == ["imputed"]
    assert missing_shares(rows.iloc[:0], ["a"], 0.3)["missing_share"].isna().all()


def test_patterns_by_hand() -> None:
    """FV.COV.4: which are missing together, overall and among the treated."""
    rows = pd.DataFrame(
        {
            "need": ["1", None, "1", None, "2", "1"],
            "age": [1.0, np.nan, 3.0, 4.0, 5.0, 6.0],
            "treated": [1.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        }
    )
    found = missing_patterns(rows, ["need", "age"], "treated")
    assert found[["need", "age"]].to_numpy().tolist() == [[True, True], [False, True], [False, False]]
    assert found["children_count"].tolist() == [4, 1, 1] and found["treated_count"].tolist() == [2, 0, 1]
    assert found["missing_covariate_count"].tolist() == [0, 1, 2]
    assert found["treated_share"].tolist() == pytest.approx([2 / 3, 0.0, 1 / 3])
    assert len(complete_cases(rows, ["need", "age"])) == 4 and len(complete_cases(rows, [])) == 6


def with_gaps(rows: pd.DataFrame, seed: int, by_treatment: float = 0.0, by_age: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(700 + seed)
    chance = 0.1 + by_treatment * rows["treated"] + by_age * (rows["age"] > 8)
    gap = generator.random(len(rows)) < chance
    return rows.assign(need=rows["need"].astype(object).where(~gap, None))


def test_missingness_that_depends_on_treatment_is_found() -> None:
    """FV.COV.4: 15 points more among the treated; and age is told from what does not matter."""
    rows = with_gaps(simulated_children(seed=4), 4, by_treatment=0.15, by_age=0.1)
    with duckdb.connect(":memory:") as connection:
        connection.register("children", rows)
        cells = compress(connection, "children", TERMS, "y", "w")
    found = missingness_tests(cells, TERMS, ["need"], 0.05)
    own = found[found["term"] == "treated"]
    assert own["inference_method"].tolist()[0] == WILD_BOOTSTRAP
    assert own["estimate"].tolist() == pytest.approx([0.15] * 2, abs=0.05)
    assert (own["p_value"] < 0.05).all() and (own["missing_count"] == int(rows["need"].isna().sum())).all()
    bootstrap = found[found["inference_method"] == WILD_WALD].set_index("term")["p_value"]
    assert bootstrap["age"] < 0.05 < bootstrap["fsm"]
    assert set(found["term"]) == {"treated", "fsm", "age", "la_pct"}
    assert set(found["inference_method"]) >= {WILD_WALD, CR1_F}


def test_missingness_test_equals_a_model_by_hand() -> None:
    """FV.COV.4: the linear model of "is missing" without the covariate, children counting alike; a joint F of two."""
    rows = with_gaps(simulated_children(seed=5, size=2500), 5)
    coded = rows.assign(need=rows["need"].fillna(NOT_OBSERVED))
    found = missingness_tests(rows_as_cells(coded), TERMS, ["need"], 0.05, draws=199).set_index(
        ["term", "inference_method"]
    )
    asked = rows.assign(y=rows["need"].isna().astype(float), w=1.0)
    fit = fit_linear(build_design(rows_as_cells(asked), replace(TERMS, categorical=("fsm",))))
    sums = cluster_sums(fit.design)
    assert sums is not None
    expected = cr3(sums, 0.05)
    row = found.loc[("treated", expected.inference_method)]
    assert row["estimate"] == pytest.approx(expected.estimate, rel=1e-9)
    assert row["p_value"] == pytest.approx(expected.p_value, rel=1e-7)
    at = [i for i, name in enumerate(fit.design.names) if name.startswith("fsm=")]
    moved, covariance = fit.coefficients[at], fit.covariance.matrix[np.ix_(at, at)]
    assert found.loc[("fsm", CR1_F), "statistic"] == pytest.approx(
        moved @ np.linalg.solve(covariance, moved) / 2, rel=1e-7
    )


def test_missingness_that_cannot_be_asked_about_says_why() -> None:
    """FV.COV.4: nothing missing, all missing, treatment not identified."""
    rows = simulated_children(size=800)
    none = missingness_tests(rows_as_cells(rows), TERMS, ["need", "age"], 0.05)
    assert none["note"].tolist() == ["no value is missing"] * 2 and none["p_value"].isna().all()
    gone = missingness_tests(rows_as_cells(rows.assign(age=np.nan)), TERMS, ["age"], 0.05)
    assert gone["note"].tolist() == ["every value is missing"]
    flat = with_gaps(rows, 1).assign(treated=0.0)
    flat["need"] = flat["need"].fillna(NOT_OBSERVED)
    lost = missingness_tests(rows_as_cells(flat), TERMS, ["need"], 0.05)
    assert "not identified" in lost["note"][0]


# --- Imputation -------------------------------------------------------------------------------------------------------


def sample(seed: int, size: int = 1500, las: int = 10) -> pd.DataFrame:
    """Children whose outcome follows a need and a score, both missing at random given outcome, LA and age."""
    generator = np.random.default_rng(seed)
    la, year = generator.integers(0, las, size), generator.integers(0, 4, size)
    treated = ((la < las // 2) & (year >= 1 + la % 3)).astype(float)
    age = generator.integers(0, 18, size).astype(float)
    index = np.column_stack([np.zeros(size), -0.4 + 0.1 * age + 0.1 * la, -1.0 + 0.3 * (la % 3)])
    chance = np.exp(index) / np.exp(index).sum(axis=1, keepdims=True)
    need = (generator.random(size)[:, None] > np.cumsum(chance, axis=1)).sum(axis=1)
    score = 0.2 * age + 0.8 * (need == 1) + generator.normal(size=size)
    y = 0.1 * la - 0.5 * treated + 0.7 * (need == 1) - 0.4 * (need == 2) + 0.5 * score + generator.normal(size=size)
    rows = pd.DataFrame(
        {
            "la": np.char.add("LA", la.astype(str)),
            "year": year.astype(str),
            "treated": treated,
            "age": age,
            "need": np.char.add("N", need.astype(str)),
            "score": score,
            "y": y,
            "w": generator.choice([0.5, 1.0, 2.0], size),
        }
    )
    return rows


def lose(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A fifth of the needs and scores, oftener where the outcome is high: complete cases are biased."""
    generator = np.random.default_rng(500 + seed)
    high = (rows["y"] > rows["y"].median()).to_numpy()
    need = rows["need"].astype(object).where(generator.random(len(rows)) > 0.05 + 0.3 * high, None)
    score = rows["score"].where(generator.random(len(rows)) > 0.02 + 0.2 * high)
    return rows.assign(need=need, score=score)


KINDS = {"need": CATEGORICAL, "score": LINEAR}
FACTORS, NUMBERS = ["la", "year", "treated"], ["age", "y"]


def imputed(rows: pd.DataFrame, seed: int = 1, count: int = 5, **more: Any) -> Imputations:
    return impute(rows, KINDS, FACTORS, NUMBERS, "la", imputations=count, seed=seed, **more)


def test_columns_count_what_a_matrix_would() -> None:
    """FV.COV.4: index, moments and products by codes against a dense design of indicators."""
    rows = sample(1, size=300)
    state = _State.of(rows, [], {"need": CATEGORICAL}, ["la", "year"], ["age", "score"])
    columns = _Columns.of(state, "treated", np.arange(300))
    dense = [np.ones(300)]
    for name in ("la", "year", "need"):
        dense += [(state.codes[name] == code).astype(float) for code in range(1, len(state.levels[name]))]
    dense += [state.numbers["age"], state.numbers["score"]]
    x = np.column_stack(dense)
    generator = np.random.default_rng(0)
    beta, values, weight = generator.normal(size=x.shape[1]), generator.normal(size=300), generator.random(300)
    assert columns.width == x.shape[1]
    assert columns.index(beta) == pytest.approx(x @ beta)
    assert columns.moment(values) == pytest.approx(x.T @ values)
    assert columns.gram(weight) == pytest.approx(x.T @ (weight[:, None] * x), abs=1e-9)
    assert abs(state.numbers["age"].mean()) < 1e-12


def test_logits_against_the_most_frequent_level_estimate_the_multinomial_logit() -> None:
    """FV.COV.4: Begg and Gray's fits lie within half an error of statsmodels' joint fit, on 4,000 children."""
    rows = sample(2, size=4000)
    rows.loc[:10, "need"] = None
    state = _State.of(rows, ["need"], {"need": CATEGORICAL}, ["la", "year"], ["age"])
    model = _Categorical("need", state, np.ones(len(rows)), np.unique(rows["la"], return_inverse=True)[1])
    model.prepare(state)
    observed = state.observed["need"]
    columns = _Columns.of(state, "need", observed)
    x = np.column_stack([columns.index(row) for row in np.eye(columns.width)])
    joint = sm.MNLogit(state.codes["need"][observed], x).fit(disp=0)
    for level, logit in enumerate(model._logits):
        gap = np.abs(logit.start - joint.params[:, level]) / joint.bse[:, level]
        assert gap.max() < 0.5


def test_donors_are_the_nearest() -> None:
    """FV.COV.4: each of five nearest predictions serves, no other; equal predictions take turns."""
    generator = np.random.default_rng(0)
    fitted = np.arange(20.0)
    taken = {int(d) for _ in range(200) for d in _donors(fitted, np.array([7.1]), generator)}
    assert taken == {5, 6, 7, 8, 9}
    assert {int(d) for _ in range(200) for d in _donors(fitted, np.array([-5.0]), generator)} == {0, 1, 2, 3, 4}
    assert len({int(d) for _ in range(300) for d in _donors(np.zeros(40), np.array([0.0]), generator)}) > 35
    assert _donors(np.array([1.0, 2.0]), np.array([9.0]), generator)[0] in (0, 1)


def test_completed_sets_keep_what_was_observed() -> None:
    """FV.COV.4: no gap is left, nothing else changes, every value is one that occurs."""
    rows = lose(sample(3), 3)
    found = imputed(rows)
    for place in range(5):
        done = found.completed(place)
        for name in ("need", "score"):
            seen = rows[name].notna()
            assert done[name].notna().all() and (done.loc[seen, name] == rows.loc[seen, name]).all()
            assert set(done[name]) <= set(rows[name].dropna())
        pd.testing.assert_frame_equal(done.drop(columns=list(KINDS)), rows.drop(columns=list(KINDS)))
    assert done["score"].dtype == np.float64
    shares = found.diagnostics
    assert shares[shares["covariate"] == "need"]["imputed_share"].sum() == pytest.approx(1.0)
    assert (shares["r_hat"] < 1.6).all() and found.notes == ()


def test_a_set_depends_on_its_number_and_the_seed_alone() -> None:
    """FV.COV.4: the same twice; a set made alone is the one made among others; another seed differs; progress."""
    rows = lose(sample(4), 4)
    calls: list[tuple[int, int]] = []
    all_of_them = imputed(rows, progress=lambda done, wanted: calls.append((done, wanted)))
    again, alone, other = imputed(rows), imputed(rows, numbers=[3]), imputed(rows, seed=2)
    assert calls == [(i, 5) for i in range(1, 6)]
    for name in KINDS:
        assert (all_of_them.values[name] == again.values[name]).all()
        assert (all_of_them.values[name][3] == alone.values[name][0]).all()
        assert not (all_of_them.values[name] == other.values[name]).all()
    assert alone.numbers == (3,)


def effect_of(rows: pd.DataFrame, terms: Any) -> tuple[float, float]:
    fit = fit_linear(build_design(rows_as_cells(rows), terms))
    at = fit.design.names.index("need=N1") if "need=N1" in fit.design.names else -1
    if at < 0:
        # N1 is the reference: the other way round.
        at = fit.design.names.index("need=N0")
        return -float(fit.coefficients[at]), float(fit.covariance.matrix[at, at])
    zero = fit.design.names.index("need=N0") if "need=N0" in fit.design.names else None
    if zero is None:
        return float(fit.coefficients[at]), float(fit.covariance.matrix[at, at])
    pair = np.array([at, zero])
    both = fit.covariance.matrix[np.ix_(pair, pair)]
    contrast = np.array([1.0, -1.0])
    return float(contrast @ fit.coefficients[pair]), float(contrast @ both @ contrast)


ANALYSIS = replace(TERMS, categorical=("need",), linear=("age", "score"))


def test_imputation_recovers_what_complete_cases_lose() -> None:
    """FV.COV.4: need 1 raises the outcome by 0.7; imputed within three errors and covered 90 to 100 times in 100.

    Complete cases, having lost high outcomes oftener, fall short of it.
    """
    truth, draws = 0.7, 40
    estimates, complete, held = [], [], 0
    for seed in range(draws):
        rows = lose(sample(2000 + seed, size=1000), seed).assign(w=1.0)
        found = imputed(rows, seed=seed, count=8, iterations=4)
        pairs = np.array([effect_of(found.completed(i), ANALYSIS) for i in range(8)])
        pooled = rubin(pairs[:, 0], pairs[:, 1], 9.0, 0.05)
        estimates.append(pooled.estimate)
        held += pooled.ci_low <= truth <= pooled.ci_high
        complete.append(effect_of(complete_cases(rows, ["need", "score"]), ANALYSIS)[0])
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * np.std(estimates) / np.sqrt(draws))
    assert np.mean(complete) < truth - 3 * np.std(complete) / np.sqrt(draws)
    assert held / draws >= 0.9


def test_weights_and_las_are_respected() -> None:
    """FV.COV.4: shares among the imputed follow the weighted shares of their own LA."""
    generator = np.random.default_rng(6)
    size = 12_000
    la = generator.integers(0, 3, size)
    weight = generator.choice([1.0, 4.0], size)
    # Needs go by LA and weight: among the heavy ones of LA 2 nine in ten are N1.
    chance = np.array([0.2, 0.5, 0.8])[la] + np.where(weight > 1, 0.1, -0.1)
    need = np.where(generator.random(size) < chance, "N1", "N0").astype(object)
    need[generator.random(size) < 0.2] = None
    rows = pd.DataFrame({"la": la.astype(str), "need": need, "w": weight})
    for column, expected in (("w", chance @ np.diag(weight)), (None, chance)):
        found = impute(rows, {"need": CATEGORICAL}, ["la"], [], "la", column, imputations=20)
        positions = found.positions["need"]
        for code in range(3):
            mine = la[positions] == code
            share = float(np.mean(found.values["need"][:, mine] == "N1"))
            base = (weight if column else np.ones(size))[la == code].sum()
            assert share == pytest.approx(expected[la == code].sum() / base, abs=0.025)


def test_parameters_are_drawn_by_la() -> None:
    """FV.COV.4: needs that LAs share out differently by age make imputations differ more than children alone would."""
    generator = np.random.default_rng(7)
    las, each = 12, 400
    la = np.repeat(np.arange(las), each)
    age = generator.normal(size=las * each)
    slope = generator.normal(0, 1.0, las)[la]
    need = (generator.random(las * each) < 1 / (1 + np.exp(-slope * age))).astype(int).astype(str).astype(object)
    gap = generator.random(las * each) < 0.3
    rows = pd.DataFrame({"la": la.astype(str), "age": age, "need": np.where(gap, None, need)})

    def spread(frame: pd.DataFrame) -> float:
        found = impute(frame, {"need": CATEGORICAL}, ["la"], ["age"], "la", imputations=40)
        ages = age[found.positions["need"]]
        return float(np.std([np.mean((values == "1") * ages) for values in found.values["need"]]))

    mixed = rows.assign(la=generator.permutation(rows["la"].to_numpy()))
    assert spread(rows) > 1.3 * spread(mixed)


def test_a_level_that_an_la_never_has_does_not_run_away() -> None:
    """FV.COV.4: separation in the imputation model gives a small chance, not an error."""
    rows = lose(sample(8), 8)
    rows.loc[(rows["la"] == "LA3") & (rows["need"] == "N2"), "need"] = "N0"
    found = imputed(rows)
    in_la = rows["la"].to_numpy()[found.positions["need"]] == "LA3"
    assert np.mean(found.values["need"][:, in_la] == "N2") < 0.05


def test_a_covariate_with_one_value_takes_it() -> None:
    """FV.COV.4: and it is said; a single incomplete covariate needs one round, whose r_hat is not defined."""
    rows = sample(9, size=200)[["la", "age"]].assign(need=["only"] * 150 + [None] * 50)
    found = impute(rows, {"need": CATEGORICAL}, ["la"], ["age"], "la", imputations=2)
    assert set(found.completed(1)["need"]) == {"only"} and "only one value" in found.notes[0]
    assert found.diagnostics["r_hat"].isna().all()
    whole = impute(rows.assign(need="x"), {"need": CATEGORICAL}, ["la"], ["age"], "la", imputations=2)
    assert whole.values == {} and whole.diagnostics.empty


def test_what_cannot_be_imputed_is_refused() -> None:
    """FV.COV.4: gaps in predictors, weights that are not positive, nothing observed, an unknown kind."""
    rows = lose(sample(10, size=200), 10)
    with pytest.raises(ValueError, match="column la: expected the LA among the factors"):
        impute(rows, KINDS, ["year"], NUMBERS, "la")
    with pytest.raises(ValueError, match=r"column age: 1 rows without a value"):
        impute(rows.assign(age=rows["age"].where(rows.index > 0)), KINDS, FACTORS, NUMBERS, "la")
    with pytest.raises(ValueError, match="column w: expected a positive weight"):
        impute(rows.assign(w=0.0), KINDS, FACTORS, NUMBERS, "la", "w")
    with pytest.raises(ValueError, match="column score: every value is missing"):
        impute(rows.assign(score=np.nan), KINDS, FACTORS, NUMBERS, "la")
    with pytest.raises(ValueError, match="kind 'ordered'"):
        impute(rows, {"need": "ordered"}, FACTORS, NUMBERS, "la")


# --- Pooling ----------------------------------------------------------------------------------------------------------


def check_rubin() -> None:
    """B33: R's mice::pool of chl ~ age + bmi on twenty stored imputations of nhanes, dfcom 22."""
    data, expected = pd.read_csv(REFERENCE / "data/nhanes_imputed_m20.csv"), numbers("models.mice_nhanes")
    estimates, variances = [], []
    for _, rows in data.groupby(".imp"):
        fit = sm.OLS(rows["chl"], sm.add_constant(rows[["age", "bmi"]])).fit()
        estimates.append(fit.params.to_numpy())
        variances.append(np.square(fit.bse.to_numpy()))
    for place in range(3):
        found = rubin(np.array(estimates)[:, place], np.array(variances)[:, place], 22.0, 0.05)
        for name, value in (
            ("est", found.estimate),
            ("se", found.standard_error),
            ("df", found.degrees_of_freedom),
            ("p", found.p_value),
            ("ubar", found.within),
            ("b", found.between),
            ("t", found.total),
            ("fmi", found.missing_information),
            ("riv", found.relative_increase),
            ("lambda", found.missing_share),
        ):
            assert value == pytest.approx(expected[name][place], rel=1e-11), name


CHECKS: dict[str, Callable[[], None]] = {}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS = {"B33": check_rubin}


@pytest.mark.parametrize("name", CHECKS or ["none"])
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.COV.4: numbers of R's mice."""
    if name in CHECKS:
        CHECKS[name]()
    else:
        record_property("not_checked", f"B33: no {REFERENCE}")


def test_rubins_rules_by_hand() -> None:
    """FV.COV.4: estimates 1 and 3, squared errors 4 and 6: within 5, between 2, total 5 + 1.5 * 2 = 8."""
    found = rubin(np.array([1.0, 3.0]), np.array([4.0, 6.0]), 9.0, 0.05)
    assert (found.estimate, found.within, found.between, found.total) == (2.0, 5.0, 2.0, 8.0)
    assert found.relative_increase == pytest.approx(0.6) and found.missing_share == pytest.approx(3 / 8)
    first, second = 1 / (3 / 8) ** 2, 10 / 12 * 9 * 5 / 8
    assert found.degrees_of_freedom == pytest.approx(first * second / (first + second))
    assert found.degrees_of_freedom < 9


def test_pooling_without_missing_values_is_the_plain_result_but_for_a_few_degrees() -> None:
    """FV.COV.4: equal imputations: the same estimate and error; Barnard and Rubin's limit (v + 1) / (v + 3) v."""
    one = Estimate(1.0, 0.5, 0.0, 2.0, 0.07, 9.0, "CR1")
    found = pool([one] * 20, 0.05)
    assert (found.estimate, found.standard_error) == (1.0, 0.5)
    assert found.degrees_of_freedom == pytest.approx(7.5)
    assert found.inference_method == "CR1; 20 imputations, Rubin's rules"


def test_undefined_imputations_are_nan() -> None:
    """FV.COV.4: one imputation, one without an error."""
    assert np.isnan(rubin(np.array([1.0]), np.array([1.0]), 9.0, 0.05).p_value)
    broken = rubin(np.array([1.0, 2.0]), np.array([1.0, np.nan]), 9.0, 0.05)
    assert broken.estimate == 1.5 and np.isnan(broken.standard_error) and np.isnan(broken.ci_low)
    assert np.isnan(median_p(np.array([0.1, np.nan]))) and median_p(np.array([0.3, 0.1, 0.2])) == 0.2


def sums_of(rows: pd.DataFrame) -> ClusterSums:
    sums = cluster_sums(build_design(rows_as_cells(rows), TERMS))
    assert sums is not None
    return sums


def test_pooled_bootstrap_of_equal_imputations_is_the_bootstrap() -> None:
    """FV.EST.3: nothing between imputations: p-value exactly, ends to their precision."""
    sums = sums_of(simulated_children(size=2000))
    alone, pooled = wild_bootstrap(sums, 0.05).effect, pooled_wild_bootstrap([sums] * 4, 0.05)
    assert pooled.p_value == alone.p_value and pooled.estimate == pytest.approx(alone.estimate, abs=1e-14)
    assert pooled.ci_low == pytest.approx(alone.ci_low, abs=1e-5 * alone.standard_error)
    assert pooled.ci_high == pytest.approx(alone.ci_high, abs=1e-5 * alone.standard_error)
    assert pooled.inference_method.endswith("4 imputations, pooled t")


def test_pooled_bootstrap_has_the_size_of_the_pooled_t() -> None:
    """FV.EST.3: noise between imputations widens the interval; the p-value is near that of Rubin's t."""
    generator = np.random.default_rng(1)
    rows = simulated_children(size=3000)
    error = wild_bootstrap(sums_of(rows), 0.05, ends=False).effect.standard_error
    treated = rows["treated"].to_numpy()
    shifts = generator.normal(size=20)
    shifts = 0.8 * error * (shifts - shifts.mean()) / shifts.std(ddof=1)
    imputations = [sums_of(rows.assign(y=rows["y"] + shift * treated)) for shift in shifts]
    pooled = pooled_wild_bootstrap(imputations, 0.05)
    again = pooled_wild_bootstrap(imputations, 0.05)
    assert repr(pooled) == repr(again)
    alone = wild_bootstrap(imputations[0], 0.05).effect
    assert pooled.ci_high - pooled.ci_low > 1.1 * (alone.ci_high - alone.ci_low)
    by_t = rubin(
        np.array([s.estimate for s in imputations]),
        np.square([wild_bootstrap(s, 0.05, ends=False).effect.standard_error for s in imputations]),
        9.0,
        0.05,
    )
    assert pooled.standard_error == pytest.approx(by_t.standard_error, rel=1e-12)
    assert pooled.p_value == pytest.approx(by_t.p_value, abs=0.1)
    middle, half = (pooled.ci_low + pooled.ci_high) / 2, (pooled.ci_high - pooled.ci_low) / 2
    assert half == pytest.approx((by_t.ci_high - by_t.ci_low) / 2, rel=0.25)
    assert middle == pytest.approx(pooled.estimate, abs=0.3 * half)


def test_pooled_bootstrap_keeps_its_level() -> None:
    """FV.EST.3: ten LAs with shocks of their own, a true null, a variance between imputations of half that within."""
    generator = np.random.default_rng(3)
    rows = simulated_children(size=600)
    base = build_design(rows_as_cells(rows.assign(y=0.0)), replace(TERMS, categorical=(), linear=()))
    cell = rows.groupby(["la", "year"]).ngroup().to_numpy()
    treated = rows["treated"].to_numpy()
    rejected, draws = 0, 150
    for _ in range(draws):
        shock = generator.normal(size=cell.max() + 1)[cell] + generator.normal(size=len(rows))
        # What the missing values leave open is a shift of the effect: one that all imputations share, and their own.
        spread = 0.35 * generator.standard_normal(9)
        centre = 0.35 * generator.standard_normal()
        sets = []
        for shift in spread:
            y = shock + (centre + shift) * treated
            sums = cluster_sums(replace(base, weighted_outcome=base.weight * y))
            assert sums is not None
            sets.append(sums)
        rejected += pooled_wild_bootstrap(sets, 0.05, ends=False).p_value < 0.05
    assert 0.005 <= rejected / draws <= 0.11


def test_imputations_of_different_las_are_refused() -> None:
    """FV.EST.3: signs belong to LAs."""
    rows = simulated_children(size=2000)
    with pytest.raises(ValueError, match="the same LAs"):
        pooled_wild_bootstrap([sums_of(rows), sums_of(rows[rows["la"] != "LA9"])], 0.05)


def test_whole_way_from_gaps_to_one_result() -> None:
    """FV.COV.4, FV.EST.3: imputed, fitted, pooled; the missing indicator and complete cases stand beside it."""
    rows = with_gaps(simulated_children(seed=11, size=3000), 11, by_treatment=0.1)
    found = impute(rows, {"need": CATEGORICAL}, ["la", "year", "treated", "y", "fsm"], ["age"], "la", "w", 6)
    fits = [fit_linear(build_design(rows_as_cells(found.completed(i)), TERMS)) for i in range(6)]
    pooled = pool([fit.effect(0.05) for fit in fits], 0.05)
    bootstrap = pooled_wild_bootstrap([s for fit in fits if (s := cluster_sums(fit.design)) is not None], 0.05)
    full = fit_linear(build_design(rows_as_cells(simulated_children(seed=11, size=3000)), TERMS)).effect(0.05)
    assert pooled.estimate == pytest.approx(full.estimate, abs=0.5 * full.standard_error)
    assert bootstrap.estimate == pytest.approx(pooled.estimate, abs=1e-12)
    indicator = build_design(rows_as_cells(rows.assign(need=rows["need"].fillna(NOT_OBSERVED))), TERMS)
    assert f"need={NOT_OBSERVED}" in indicator.names
    assert len(complete_cases(rows, ["need"])) == int(rows["need"].notna().sum())
