"""Studies whose truth is known (FV.EST.2, FV.EST.3, FV.POWER.1): process, verdicts, resumption, the committed run."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from sfpc.errors import SfpcError
from sfpc.estimation.cluster import CR1_T
from sfpc.estimation.few_clusters import CR2_T, CR3_T, SCORE_BOOTSTRAP, WILD_BOOTSTRAP
from sfpc.estimation.group_time import FGLS_T
from sfpc.estimation.imputation import JACKKNIFE_T
from sfpc.estimation.inference import Draws
from sfpc.estimation.linear import fit_linear
from sfpc.estimation.logit import fit_logit
from sfpc.estimation.permutation import PERMUTATION
from sfpc.settings import Paths, project_root
from sfpc.simulation import run as runner
from sfpc.simulation.run import Settings, detectable, run_simulation
from sfpc.simulation.study import (
    IMPUTATION,
    LINEAR,
    LOGIT,
    NAIVE,
    Model,
    SimulatedDesign,
    draw_studies,
    naive,
    read_designs,
    run_studies,
)
from sfpc.simulation.verdicts import NOT_DEFINED, PASSES, SUMMARY_COLUMNS, canaries, summarise, verdict

REFERENCE_DESIGN = read_designs()[0]
COMMITTED = project_root() / "docs" / "simulation"
FGLS = FGLS_T.format(order=1)
SMALL = Settings(draws=20, bootstrap_draws=99, permutation_draws=49, power_draws=40, logit_share=0.1)


def design(design_id: str) -> SimulatedDesign:
    return next(d for d in read_designs() if d.design_id == design_id)


def paths_in(folder: Path) -> Paths:
    return Paths(project_root(), folder / "data", folder / "outputs")


# --- the process ---


def test_designs_are_rows_and_the_reference_comes_first() -> None:
    """FV.EST.3: 5 + 5 LAs that go live on days of their own; a row that contradicts itself is refused."""
    designs = read_designs()
    assert [d.is_reference for d in designs] == [True] + [False] * (len(designs) - 1)
    first = designs[0]
    assert (first.treated_las, first.comparison_las, len(set(first.go_live))) == (5, 5, 5)
    assert first.rollout.periods[0] == date(2018, 1, 1) and first.rollout.treated.shape == (10, 24)
    assert set(np.unique(first.rollout.treated)) == {0.0, 1.0}
    live_quarters = first.rollout.treated.sum(axis=1)
    assert live_quarters.tolist() == [10, 9, 8, 6, 5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("go_live", "2021-07-01", "1 days in go_live, expected 5"),
        ("effect_scale", "per cent", "effect_scale 'per cent'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, column: str, value: str, message: str) -> None:
    source = Path(runner.__file__).with_name("designs.csv")
    rows = pd.read_csv(source, dtype=str)
    rows.loc[0, column] = value
    rows.to_csv(tmp_path / "designs.csv", index=False)
    with pytest.raises(ValueError, match=f"five_and_five: {message}"):
        read_designs(tmp_path / "designs.csv")


def test_studies_repeat_and_the_effect_changes_nothing_else() -> None:
    """Point 7: one seed, one batch, the same bytes; other batches are other LAs."""
    once, again = (draw_studies(REFERENCE_DESIGN, 5, 1, 0, -0.01) for _ in range(2))
    assert (once.events == again.events).all() and (once.children == again.children).all()
    none = draw_studies(REFERENCE_DESIGN, 5, 1, 0, 0.0)
    live = REFERENCE_DESIGN.rollout.treated > 0
    assert (none.children == once.children).all() and (none.truth == 0).all()
    assert none.events[:, live].sum() > once.events[:, live].sum()
    assert (draw_studies(REFERENCE_DESIGN, 5, 1, 1, 0.0).children != none.children).any()
    assert once.events.shape == (5, 10, 24) and (once.events <= once.children[:, :, None]).all()


def test_truth_is_the_realised_effect() -> None:
    """Methods E, trap: an effect larger than the share itself is clipped, and the truth says so."""
    high = replace(REFERENCE_DESIGN, baseline=0.5, icc=0.001)
    assert draw_studies(high, 3, 1, 0, -0.01).truth == pytest.approx([-0.01] * 3, abs=1e-12)
    clipped = draw_studies(REFERENCE_DESIGN, 50, 1, 0, -0.05).truth
    assert (clipped > -0.05).all() and (clipped < 0).all()
    # It takes two quarters to full size: LAs with 10, 9, 8, 6 and 5 live quarters have one of half size each.
    slow = replace(high, quarters_to_full_effect=2, size_log_sd=0.0)
    expected = -0.01 * (38 - 5 / 2) / 38
    assert draw_studies(slow, 3, 1, 0, -0.01).truth == pytest.approx([expected] * 3, abs=1e-12)
    even = replace(design("log_odds"), baseline=0.5, icc=0.001, shock_sd=1e-9, national_step_sd=0, la_trend_sd=0)
    flat = replace(even, common_shock_size=0.0)
    odds = draw_studies(flat, 3, 1, 0, -0.3).truth
    assert odds == pytest.approx([1 / (1 + np.exp(0.3)) - 0.5] * 3, abs=2e-3)


# --- cells and children ---


def test_cells_of_a_study_give_what_its_children_give() -> None:
    """FV.EST.1: coefficient, clustered and naive error, and the logit, against statsmodels on rows; 1e-9."""
    small = replace(REFERENCE_DESIGN, children_per_quarter=60, baseline=0.2, quarters=20)
    drawn, model = draw_studies(small, 1, 3, 0, 0.05), Model(small)
    cells = model.design(drawn.children[0], drawn.events[0])
    count = cells.weight.astype(np.int64)
    x = np.repeat(cells.x, count, axis=0)
    y = np.concatenate(
        [np.arange(n) < k for n, k in zip(count, cells.weighted_outcome.astype(np.int64), strict=True)]
    ).astype(np.float64)
    cluster = np.repeat(cells.cluster, count)
    assert len(y) == cells.children_count == drawn.children.sum() * 20
    fit = fit_linear(cells)
    plain = sm.OLS(y, x).fit()
    assert fit.coefficients == pytest.approx(plain.params, abs=1e-9)
    assert naive(fit).standard_error == pytest.approx(plain.bse[-1], rel=1e-9)
    assert naive(fit).p_value == pytest.approx(plain.pvalues[-1], rel=1e-7)
    clustered = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    groups, parameters = 10, x.shape[1]
    # statsmodels counts every LA indicator among the parameters.
    ours = fit.covariance.factor / (groups / (groups - 1) * (len(y) - 1) / (len(y) - parameters))
    assert fit.effect(0.05).standard_error == pytest.approx(clustered.bse[-1] * np.sqrt(ours), rel=1e-9)
    odds = sm.GLM(y, x, family=sm.families.Binomial()).fit(tol=1e-12)
    assert fit_logit(cells).coefficients == pytest.approx(odds.params, abs=1e-8)


# --- the methods on a few studies ---


def test_every_method_is_judged_and_the_right_one_is_primary() -> None:
    """FV.EST.3: the bootstrap is primary with five treated LAs, the permutation with three."""
    draws = Draws(99, 49, 1)
    found = run_studies(REFERENCE_DESIGN, 3, 1, 0, -0.01, draws, 1)
    methods = found.groupby("model")["inference_method"].agg(set).to_dict()
    assert methods == {
        LINEAR: {WILD_BOOTSTRAP, CR1_T, CR2_T, CR3_T, FGLS, PERMUTATION, NAIVE},
        LOGIT: {SCORE_BOOTSTRAP, CR1_T, PERMUTATION},
        IMPUTATION: {JACKKNIFE_T},
    }
    assert len(found) == 3 * 7 + 3 + 1
    assert set(found.loc[found["is_first"] & (found["model"] == LINEAR), "inference_method"]) == {WILD_BOOTSTRAP}
    few = run_studies(design("three_and_nine"), 2, 1, 0, 0.0, draws, 0)
    assert set(few.loc[few["is_first"], "inference_method"]) == {PERMUTATION}
    assert few.loc[few["inference_method"] == PERMUTATION, "ci_low"].isna().all()


def test_naive_errors_reject_far_more_than_the_primary_test() -> None:
    """FV.EST.3: 60 studies are enough to see it; the bands are for 2,000 (below)."""
    null = run_studies(REFERENCE_DESIGN, 60, 5, 0, 0.0, Draws(99, 19, 1), 0)
    rejected = null.assign(no=null["p_value"] <= 0.05).groupby("inference_method")["no"].mean()
    assert rejected[NAIVE] > 0.2
    assert rejected[WILD_BOOTSTRAP] < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)
    assert rejected[WILD_BOOTSTRAP] < rejected[NAIVE]


# --- verdicts ---


def judged(**changed: float) -> dict[str, float]:
    fine = {
        "size": 0.05,
        "null_draws": 2000,
        "coverage": 0.95,
        "effect_draws": 1000,
        "bias": 0.0001,
        "bias_error": 0.0001,
        "undefined_share": 0.0,
    }
    return {**fine, **changed}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, PASSES),
        ({"size": 0.035}, PASSES),
        ({"size": 0.0651}, "fails: rejects too often (6.5 %)"),
        ({"size": 0.0651, "null_draws": 500}, PASSES),
        ({"size": 0.003}, "fails: rejects too seldom (0.3 %)"),
        ({"coverage": 0.925}, "fails: interval too short (covers 92.5 %)"),
        ({"coverage": 0.99}, "fails: interval too wide (covers 99.0 %)"),
        ({"coverage": float("nan")}, PASSES),
        ({"bias": 0.0004}, "fails: biased (+0.040 points)"),
        ({"undefined_share": 0.2, "size": 0.5}, NOT_DEFINED),
        ({"size": 0.09, "bias": -0.01}, "fails: rejects too often (9.0 %), biased (-1.000 points)"),
    ],
)
def test_verdict_of_made_up_numbers(changed: dict[str, float], expected: str) -> None:
    """Methods E: 3.5 to 6.5 %, 93 to 97 %, three Monte-Carlo errors."""
    assert verdict(judged(**changed)) == expected


def test_summary_by_hand() -> None:
    """Four studies: one rejection under the null; the interval holds the truth in three."""
    rows = {"study": range(4), "model": LINEAR, "inference_method": NAIVE, "is_first": False}
    null = pd.DataFrame(
        {**rows, "estimate": 0.0, "truth": 0.0, "p_value": [0.01, 0.2, 0.9, np.nan], "ci_low": -1.0, "ci_high": 1.0}
    )
    effect = null.assign(
        estimate=[0.1, 0.3, 0.2, 0.2], truth=0.15, p_value=[0.01, 0.02, 0.9, 0.05], ci_low=[0.0, 0.2, 0.1, 0.1]
    )
    row = summarise("x", null, effect).iloc[0]
    assert list(row.index) == list(SUMMARY_COLUMNS)
    assert row["size"] == pytest.approx(1 / 3) and row["undefined_share"] == 0.25
    assert row["power"] == 0.75 and row["coverage"] == 0.75
    assert row["bias"] == pytest.approx(0.05)
    assert row["bias_error"] == pytest.approx(np.std([0.1, 0.3, 0.2, 0.2], ddof=1) / 2)
    assert row["role"] == "canary" and row["verdict"] == NOT_DEFINED


def test_a_canary_that_does_not_fail_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FV.EST.3: studies in which naive errors do well prove nothing; the report is written and the verb ends with 1."""
    monkeypatch.setattr(runner, "BATCH", 10)
    tame = replace(REFERENCE_DESIGN, shock_sd=1e-6, la_trend_sd=0.0, national_step_sd=0.0, common_shock_size=0.0)
    monkeypatch.setattr(runner, "read_designs", lambda: [tame])
    with pytest.raises(SfpcError, match=r"a canary did not fail.*children as independent rejects"):
        run_simulation(paths_in(tmp_path), SMALL, tmp_path / "out")
    assert "it does not fail" in (tmp_path / "out" / "simulation.md").read_text(encoding="utf-8")


# --- the verb ---


def test_report_is_written_resumed_and_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point 7: interrupted after one batch, it goes on there; the files are the same to the byte."""
    monkeypatch.setattr(runner, "canaries", lambda rows: {})
    monkeypatch.setattr(runner, "BATCH", 10)
    ids = ["five_and_five", "two_and_eighteen"]
    first = run_simulation(paths_in(tmp_path), SMALL, tmp_path / "first", design_ids=ids)
    assert not any((tmp_path / "data" / "simulation").iterdir())
    assert set(first["design_id"]) == set(ids)
    done: list[tuple[str, float]] = []

    def once_only(*given: object) -> pd.DataFrame:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append((given[0].design_id, given[4]))  # type: ignore[attr-defined]
        return run_studies(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run_studies", once_only)
    with pytest.raises(KeyboardInterrupt):
        run_simulation(paths_in(tmp_path), SMALL, tmp_path / "second", design_ids=ids)
    assert not (tmp_path / "second").exists()
    later: list[str] = []

    def counted(*given: object) -> pd.DataFrame:
        later.append(given[0].design_id)  # type: ignore[attr-defined]
        return run_studies(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run_studies", counted)
    run_simulation(paths_in(tmp_path), SMALL, tmp_path / "second", design_ids=ids)
    assert (len(done), len(later)) == (1, 4)
    for name in ("simulation.csv", "power.csv", "simulation.md"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_an_unknown_design_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SfpcError, match=r"no design 'six_and_six'.*five_and_five"):
        run_simulation(paths_in(tmp_path), SMALL, tmp_path, design_ids=["six_and_six"])


def test_detectable_effect_lies_between_points() -> None:
    power = pd.DataFrame(
        {"method": "m", "realised_effect": [0.0, -0.01, -0.02], "power": [0.05, 0.6, 0.9], "effect": [0, -0.01, -0.02]}
    )
    assert detectable(power, "m") == pytest.approx(0.01 + 0.01 * 0.2 / 0.3)
    assert np.isnan(detectable(power[power["power"] < 0.8], "m"))


# --- the committed run ---


def test_committed_run_is_about_the_designs_and_methods_of_today() -> None:
    """FV.EST.3: docs/simulation/simulation.csv, which the report reads; primary tests hold their size at 5 + 5."""
    held = pd.read_csv(COMMITTED / "simulation.csv")
    assert list(held.columns) == [*SUMMARY_COLUMNS, "seed"]
    assert set(held["design_id"]) == {d.design_id for d in read_designs()}
    assert held.groupby("design_id").size().eq(11).all()
    reference = held[held["design_id"] == REFERENCE_DESIGN.design_id]
    primary = reference[reference["role"] == "primary"]
    assert set(primary["inference_method"]) == {WILD_BOOTSTRAP, SCORE_BOOTSTRAP}
    assert (primary["verdict"] == PASSES).all()
    assert reference.loc[reference["model"] == LINEAR, "null_draws"].eq(2000).all()
    assert all(fails for _, _, fails in canaries(reference).values())
    again = [verdict(row) for row in held.to_dict("records")]
    assert [text.split("(")[0] for text in held["verdict"]] == [text.split("(")[0] for text in again]
    text = (COMMITTED / "simulation.md").read_text(encoding="utf-8")
    assert "as it must" in text and "does not fail" not in text


# --- nightly ---


@pytest.mark.long
def test_bands_of_methods_e(tmp_path: Path) -> None:
    """FV.EST.3: size at 2,000 studies, coverage at 1,000, bias within three Monte-Carlo errors, canaries, power."""
    settings = Settings(seed=7)
    found = run_simulation(paths_in(tmp_path), settings, tmp_path / "out", workers=2, design_ids=["five_and_five"])
    linear = found[found["model"] == LINEAR].set_index("inference_method")
    logit = found[found["model"] == LOGIT].set_index("inference_method")
    assert 0.035 <= linear.loc[WILD_BOOTSTRAP, "size"] <= 0.065
    assert 0.93 <= linear.loc[WILD_BOOTSTRAP, "coverage"] <= 0.97
    assert 0.03 <= linear.loc[CR3_T, "size"] <= 0.06
    assert 0.03 <= linear.loc[PERMUTATION, "size"] <= 0.065
    assert logit.loc[SCORE_BOOTSTRAP, "size"] <= 0.09
    assert linear.loc[NAIVE, "size"] > 0.30 and linear.loc[CR1_T, "size"] > 0.07
    assert linear.loc[FGLS, "estimate_sd"] < linear.loc[WILD_BOOTSTRAP, "estimate_sd"]
    assert (found["bias"].abs() <= 3 * found["bias_error"]).all()
    power = pd.read_csv(tmp_path / "out" / "power.csv")
    assert 0.007 <= detectable(power, WILD_BOOTSTRAP) <= 0.014
    strongest = power[(power["method"] == CR3_T)]["power"].iloc[-1]
    assert strongest >= 0.95
