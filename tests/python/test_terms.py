"""Absence by term with child random effects (FV.EST.7): R's plm (B22, B24), dense matrices, planted effects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from sfpc.estimation import Design, Terms, build_design, compress, fit_linear
from sfpc.estimation.design import CELL_COUNT
from sfpc.estimation.few_clusters import cluster_sums, cr3, wild_bootstrap
from sfpc.estimation.terms import fit_quasi_demeaned, fit_terms
from test_estimation import REFERENCE, rows_as_cells

TERMS = Terms("treated", "la", ("year",), ("term",), ("months", "age"))


def numbers(name: str) -> Any:
    entries = json.loads((REFERENCE / "expected/acceptance.json").read_text())
    return next(entry["expected"] for entry in entries if entry["id"] == name)


def design_of(x: np.ndarray, y: np.ndarray, cluster: np.ndarray, weight: np.ndarray | None = None) -> Design:
    weight = np.ones(len(y)) if weight is None else weight
    return Design(
        x=np.asarray(x, dtype=np.float64),
        names=tuple(f"x{i}" for i in range(x.shape[1])),
        weight=weight,
        weighted_outcome=weight * y,
        cluster=cluster,
        cluster_names=tuple(map(str, range(int(cluster.max()) + 1))),
        is_treated=np.zeros(len(y), dtype=np.bool_),
        children_count=len(y),
        parameter_count=x.shape[1],
        treatment_column=x.shape[1] - 1,
        dropped=(),
        notes=(),
    )


def check_grunfeld() -> None:
    """B22: R's plm, Swamy and Arora, balanced (Greene, Baltagi)."""
    data, expected = pd.read_csv(REFERENCE / "data/grunfeld_plm.csv"), numbers("models.grunfeld_swar")
    firm = np.unique(data["firm"], return_inverse=True)[1]
    x = np.column_stack([np.ones(len(data)), data["value"], data["capital"]])
    found = fit_quasi_demeaned(design_of(x, data["inv"].to_numpy(dtype=np.float64), firm), firm)
    assert found.fit.coefficients == pytest.approx(list(expected["coef"].values()), rel=1e-9)
    assert found.term_variance == pytest.approx(expected["sigma2"]["idios"], rel=1e-10)
    assert found.child_variance == pytest.approx(expected["sigma2"]["id"], rel=1e-10)
    assert found.shares == {20: pytest.approx(expected["theta"], abs=1e-10)}
    errors = np.sqrt(np.diag(found.fit.covariance.matrix) / found.fit.covariance.factor)
    assert errors == pytest.approx(list(expected["se_cluster_arellano_HC0"].values()), rel=1e-8)
    # plm's own error: s^2 (X'X)^-1 of the quasi-demeaned rows.
    white = np.sqrt(found.fit.design.weight)[:, None] * found.fit.design.x
    residual = found.fit.design.weighted_outcome / found.fit.design.weight - found.fit.design.x @ found.fit.coefficients
    s2 = float(found.fit.design.weight @ residual**2) / (len(data) - 3)
    assert np.sqrt(s2 * np.diag(np.linalg.inv(white.T @ white))) == pytest.approx(
        list(expected["se"].values()), rel=1e-8
    )


def check_wage_panel() -> None:
    """B24: R's plm with columns that do not vary within persons (Wooldridge, example 14.4)."""
    data, expected = pd.read_csv(REFERENCE / "data/wagepan.csv"), numbers("models.wagepan_re")
    person = np.unique(data["nr"], return_inverse=True)[1]
    columns = ["educ", "black", "hisp", "exper", "expersq", "married", "union"]
    years = pd.get_dummies(data["year"], drop_first=True, dtype=float)
    x = np.column_stack([np.ones(len(data)), data[columns], years])
    found = fit_quasi_demeaned(design_of(x, data["lwage"].to_numpy(dtype=np.float64), person), person)
    assert found.fit.coefficients == pytest.approx(list(expected["coef"].values()), abs=1e-10)
    assert found.term_variance == pytest.approx(expected["sigma2"]["idios"], abs=1e-12)
    assert found.child_variance == pytest.approx(expected["sigma2"]["id"], abs=1e-12)
    assert found.shares[8] == pytest.approx(expected["theta"], abs=1e-12)
    errors = np.sqrt(np.diag(found.fit.covariance.matrix) / found.fit.covariance.factor)
    assert errors == pytest.approx(list(expected["se_cl"].values()), rel=1e-8)


CHECKS: dict[str, Callable[[], None]] = {}
if (REFERENCE / "expected/acceptance.json").is_file():
    CHECKS = {"B22": check_grunfeld, "B24": check_wage_panel}


@pytest.mark.parametrize("name", CHECKS or ["none"])
def test_reference_numbers(name: str, record_property: Callable[[str, object], None]) -> None:
    """FV.EST.7: numbers of R's plm."""
    if name in CHECKS:
        CHECKS[name]()
    else:
        record_property("not_checked", f"B22, B24: no {REFERENCE}")


def absences(
    seed: int, children: int = 1500, las: int = 10, child_deviation: float = 3.0, is_weighted: bool = False
) -> pd.DataFrame:
    """One to three terms of each child; the programme takes 2 points off."""
    generator = np.random.default_rng(seed)
    la = generator.integers(0, las, children)
    year = generator.integers(0, 4, children)
    count = generator.integers(1, 4, children)
    own = generator.normal(0, child_deviation, children)
    age, start = generator.integers(5, 16, children), generator.integers(0, 4, children)
    weight = generator.choice([0.5, 1.0, 2.5], children) if is_weighted else np.ones(children)
    rows = []
    for i in range(children):
        treated = float(la[i] < las // 2 and year[i] >= 1 + la[i] % 3)
        for number in range(count[i]):
            term = (start[i] + number) % 3
            y = 10 + 0.7 * la[i] + 0.5 * year[i] - 2 * treated + term + 0.3 * (age[i] - 10) + own[i]
            rows.append(
                (i, f"LA{la[i]}", f"202{year[i]}", treated, str(term), 1.0 + 4 * number, float(age[i]), weight[i],
                 y + 2 * generator.standard_normal())
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["child", "la", "year", "treated", "term", "months", "age", "w", "y"])


def test_two_children_by_hand() -> None:
    """FV.EST.7: four terms of two children, mean only: within 2 and 18 over 2, between 32 less half of it."""
    y = np.array([1.0, 3.0, 6.0, 12.0])
    child = np.array([0, 0, 1, 1])
    found = fit_quasi_demeaned(design_of(np.ones((4, 1)), y, child), child)
    # Within: (1 + 1 + 9 + 9) / 2 = 10. Between: means 2 and 9, 2 * 2 * 3.5^2 = 49 = 10 (2 - 1) + s2_u (4 - 2).
    assert (found.term_variance, found.child_variance) == pytest.approx((10.0, 19.5))
    assert found.shares == {2: pytest.approx(1 - np.sqrt(10 / (10 + 2 * 19.5)))}
    assert found.fit.coefficients == pytest.approx([5.5])


@pytest.mark.parametrize("is_weighted", [False, True])
def test_variances_equal_those_by_dense_projections(is_weighted: bool) -> None:
    """FV.EST.7: unbalanced, with weights: expectations of both sums of squares from n by n matrices."""
    rows = absences(4, children=90, las=4, is_weighted=is_weighted)
    cells = rows_as_cells(rows)
    found = fit_terms(cells, TERMS, "child")
    x = build_design(cells, TERMS).x
    member = pd.get_dummies(rows["child"], dtype=float).to_numpy()
    count = member.sum(axis=0)
    mean = (member / count) @ member.T
    weight = rows["w"].to_numpy() / rows.groupby("child")["w"].first().mean()
    root = np.diag(np.sqrt(weight))
    y = rows["y"].to_numpy()

    def left_over(maker: np.ndarray) -> tuple[float, np.ndarray]:
        """Residual sum of squares of maker @ y on maker @ x with weights, and its matrix as a form in y."""
        z = root @ maker @ x
        u, s, _ = np.linalg.svd(z, full_matrices=False)
        u = u[:, s > 1e-9 * s.max()]
        form = (root @ maker).T @ (np.eye(len(y)) - u @ u.T) @ root @ maker
        return float(y @ form @ y), form

    within, form_w = left_over(np.eye(len(y)) - mean)
    between, form_b = left_over(mean)
    same = member @ member.T
    system = np.array([[np.trace(form_w), np.sum(form_w * same)], [np.trace(form_b), np.sum(form_b * same)]])
    term, child = np.linalg.solve(system, [within, between])
    assert found.term_variance == pytest.approx(term, rel=1e-8)
    assert found.child_variance == pytest.approx(child, rel=1e-8)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_coefficients_are_generalised_least_squares(is_weighted: bool) -> None:
    """FV.EST.7: X'WV^-1X with V of every child written out; LA indicators stay 0 and 1."""
    rows = absences(5, children=300, is_weighted=is_weighted)
    cells = rows_as_cells(rows)
    found = fit_terms(cells, TERMS, "child")
    design = build_design(cells, TERMS)
    k = design.x.shape[1]
    left, right = np.zeros((k, k)), np.zeros(k)
    for _, mine in rows.groupby("child").indices.items():
        size = len(mine)
        v = found.term_variance * np.eye(size) + found.child_variance
        inverse = np.linalg.inv(v) * rows["w"].iloc[mine[0]]
        left += design.x[mine].T @ inverse @ design.x[mine]
        right += design.x[mine].T @ inverse @ rows["y"].to_numpy()[mine]
    assert found.fit.coefficients == pytest.approx(np.linalg.solve(left, right), rel=1e-8)
    effects = [i for i, name in enumerate(design.names) if name.startswith(("la=", "intercept"))]
    np.testing.assert_allclose(found.fit.design.x[:, effects], design.x[:, effects], atol=1e-12)


def test_methods_for_few_las_work_on_the_quasi_demeaned_terms() -> None:
    """FV.EST.3: sums by LA give the same effect and CR1; the jackknife equals fits without an LA at the same shares."""
    rows = absences(6)
    found = fit_terms(rows_as_cells(rows), TERMS, "child")
    sums = cluster_sums(found.fit.design)
    assert sums is not None
    effect = found.effect(0.05)
    assert sums.estimate == pytest.approx(effect.estimate, rel=1e-9)
    drawn = wild_bootstrap(sums, 0.05).effect
    assert drawn.standard_error == pytest.approx(effect.standard_error, rel=1e-9)
    assert drawn.ci_low < effect.estimate < drawn.ci_high
    design = found.fit.design
    without = []
    for code in range(10):
        kept = design.cluster != code
        columns = [i for i in range(design.x.shape[1]) if np.ptp(design.x[kept][:, i]) > 0 or i == 0]
        root = np.sqrt(design.weight[kept])
        y = design.weighted_outcome[kept] / root
        without.append(np.linalg.lstsq(root[:, None] * design.x[kept][:, columns], y, rcond=None)[0][-1])
    error = np.sqrt(0.9 * np.sum((np.array(without) - effect.estimate) ** 2))
    assert cr3(sums, 0.05).standard_error == pytest.approx(error, rel=1e-7)


def test_planted_effect_and_variances_are_found_and_efficient() -> None:
    """FV.EST.7: -2 points, variances 9 and 4, within three errors; random effects beat least squares."""
    estimates, plain, variances = [], [], []
    for seed in range(40):
        rows = absences(100 + seed, children=800)
        cells = rows_as_cells(rows)
        found = fit_terms(cells, TERMS, "child")
        estimates.append(found.effect(0.05).estimate)
        plain.append(fit_linear(build_design(cells, TERMS)).effect(0.05).estimate)
        variances.append((found.term_variance, found.child_variance))
    assert np.mean(estimates) == pytest.approx(-2.0, abs=3 * np.std(estimates) / np.sqrt(40))
    for values, truth in zip(np.transpose(variances), (4.0, 9.0), strict=True):
        assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / np.sqrt(40))
    assert np.std(estimates) < np.std(plain)


def test_one_term_each_is_the_linear_model_and_says_so() -> None:
    """FV.EST.7: no child with two terms."""
    rows = absences(7).drop_duplicates("child").reset_index(drop=True)
    cells = rows_as_cells(rows)
    found = fit_terms(cells, TERMS, "child")
    assert found.effect(0.05).estimate == pytest.approx(fit_linear(build_design(cells, TERMS)).effect(0.05).estimate)
    assert "no random effect" in found.notes[-1] and np.isnan(found.term_variance) and found.shares == {1: 0.0}


def test_children_that_do_not_differ_have_no_random_effect() -> None:
    """FV.EST.7: the variance is not negative."""
    rows = absences(8, child_deviation=0.0)
    # Less between children than chance would leave.
    rows["y"] -= rows.groupby("child")["y"].transform("mean")
    found = fit_terms(rows_as_cells(rows), TERMS, "child")
    assert found.child_variance == 0.0 and any("no variance" in note for note in found.notes)


def test_rows_that_are_not_one_term_of_one_child_are_refused() -> None:
    """FV.EST.7: several terms in a row, several weights or LAs of a child."""
    cells = rows_as_cells(absences(9, children=50))
    twice = cells["child"].value_counts().idxmax()
    at = cells.index[cells["child"] == twice][0]
    with pytest.raises(ValueError, match="a row stands for 2 terms"):
        fit_terms(cells.assign(**{CELL_COUNT: 2}), TERMS, "child")
    changed = cells.copy()
    changed.loc[at, "cell_weight"] = 7.0
    with pytest.raises(ValueError, match="a child has several weights"):
        fit_terms(changed, TERMS, "child")
    moved = cells.copy()
    moved.loc[at, "la"] = "elsewhere"
    with pytest.raises(ValueError, match="column la: a child has several values"):
        fit_terms(moved, TERMS, "child")


def test_rows_come_from_duckdb_as_for_the_main_model() -> None:
    """FV.EST.7: compress with the child among the keys keeps terms apart, whatever the order of the rows."""
    rows = absences(10, children=400, is_weighted=True)
    with duckdb.connect(":memory:") as connection:
        connection.register("terms", rows.sample(frac=1, random_state=1))
        cells = compress(connection, "terms", TERMS, "y", "w", keys=("child",))
    assert len(cells) == len(rows)
    a = fit_terms(cells, TERMS, "child").effect(0.05)
    b = fit_terms(rows_as_cells(rows), TERMS, "child").effect(0.05)
    assert (a.estimate, a.standard_error) == pytest.approx((b.estimate, b.standard_error), rel=1e-9)


def test_terms_that_hardly_differ_do_not_break_the_fit() -> None:
    """FV.EST.7: the child's mean counts for nearly everything, and it is said."""
    rows = absences(11, children=300)
    rows["y"] = rows.groupby("child")["y"].transform("first")
    found = fit_terms(rows_as_cells(rows), replace(TERMS, categorical=(), linear=("age",)), "child")
    assert np.isfinite(found.effect(0.05).estimate)
    assert any("hardly differ" in note for note in found.notes)
