"""The planted effect is found: on the small set, over seeds, and by matching (FV.EST.1, FV.MATCH.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, SEEDS
from sfpc import recovery
from sfpc.grid import of_one_basis
from sfpc.landing.gate import Gate, read_windows
from sfpc.landing.national import land_national
from sfpc.marts import REQUIRED_COLUMNS, EvaluationSettings, open_marts, read_mart, read_settings
from sfpc.recovery import RECOVERED_MODELS, Compiled, compile_warehouse, run_recovery, run_seed, summarise
from sfpc.settings import Paths
from sfpc.synthetic.twins import noise_free_ranking, simulate_twin_hits, standardise


@pytest.fixture(scope="session")
def settings(synthetic: Paths) -> EvaluationSettings:
    with open_marts(synthetic.marts_db) as connection:
        return read_settings(connection)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("compiled")
    return compile_warehouse(Paths(ROOT, folder, folder), folder)


def test_without_noise_the_twin_is_nearest_and_always_in_the_ten(synthetic: Paths) -> None:
    ranking = noise_free_ranking(synthetic.marts_db, synthetic.truth)
    with_twins = ranking[ranking.groupby("treatment_la_id")["is_twin"].transform("any")]
    nearest = with_twins[with_twins["rank"] == 1].set_index("treatment_la_id")["is_twin"]
    planned = pd.read_csv(synthetic.truth / "planned_las.csv", dtype=str)
    expected = set(planned["twin_of"].dropna())
    assert set(nearest.index) == expected, "every LA with a planted twin has one among the ten"
    assert nearest.sum() >= 3


def test_without_noise_the_la_without_a_twin_stands_apart(synthetic: Paths) -> None:
    ranking = noise_free_ranking(synthetic.marts_db, synthetic.truth)
    planned = pd.read_csv(synthetic.truth / "planned_las.csv", dtype={"la_code": str})
    alone = planned.loc[planned["has_no_twin"], "la_code"].item()
    nearest = ranking[ranking["rank"] == 1].set_index("treatment_la_id")["distance"]
    assert nearest.idxmax() == alone
    assert nearest[alone] > 2 * nearest.drop(alone).max()


def test_hit_rates_by_size(settings: EvaluationSettings) -> None:
    """Top one without noise at least 75 % and top ten nearly always; top ten at 5,200 a quarter at least 50 %.

    At 1,300 a quarter only better than chance (10 of 149) is asked: with shocks that persist, 12 to 13 % is what the
    method gives, below the 25 % that a design with independent shocks reaches (docs/methods/trend_distance.md).
    """
    none = simulate_twin_hits(None, 40, settings)
    large = simulate_twin_hits(5200, 200, settings)
    usual = simulate_twin_hits(1300, 200, settings)
    assert none.top_one >= 0.75
    assert none.top_ten == 1.0
    assert large.top_ten >= 0.50
    assert usual.top_ten > 10 / 149
    assert none.top_one > large.top_one >= usual.top_one


def test_standardising_in_python_is_what_the_mart_does(synthetic: Paths) -> None:
    with open_marts(synthetic.marts_db) as connection:
        mart = read_mart(connection, "fct_la_quarter_outcomes")
    mart = mart[mart["outcome_id"] == "became_looked_after"]
    mart = mart.sort_values(["la_id", "quarter_start_date"]).reset_index(drop=True)
    here = standardise(
        mart[["programme_id", "outcome_id", "la_id", "quarter_start_date", "value", "denominator_count"]]
    )
    for column in ("standardised_value", "standardised_change", "change_standard_error"):
        np.testing.assert_allclose(here[column], mart[column], rtol=1e-9, atol=1e-12)


def test_summary_by_hand() -> None:
    runs = pd.DataFrame(
        {
            "model": "linear",
            "estimate_pp": [-1.0, -3.0],
            "truth_pp": [-2.0, -2.0],
            "ci_low_pp": [-1.5, -3.5],
            "ci_high_pp": [-0.5, -1.5],
            "standard_error_pp": [0.3, 0.5],
            "no_programme_pp": [0.4, 0.2],
        }
    )
    summary = summarise(runs)["linear"]
    assert summary["bias_pp"] == pytest.approx(0.0)
    assert summary["monte_carlo_se_pp"] == pytest.approx(1.0)
    assert summary["coverage_pct"] == 50.0
    assert summary["mean_no_programme_pp"] == pytest.approx(0.3)
    assert summary["no_programme_monte_carlo_se_pp"] == pytest.approx(0.1)
    assert summary["weighting_pp"] == pytest.approx(-0.3)


def test_one_seed_runs_from_extracts_to_estimate(compiled: Compiled, tmp_path: Path) -> None:
    """The compiled warehouse without dbt gives what the whole way gives: an effect near the planted one."""
    rows = run_seed(ROOT, compiled, tmp_path / "seed", seed=5, volume=0.2)
    assert {r["model"] for r in rows} == {"logit", "linear", "imputation"}
    for row in rows:
        assert abs(row["estimate_pp"] - row["truth_pp"]) < 4 * row["standard_error_pp"]
        assert abs(row["no_programme_pp"]) < 4 * row["standard_error_pp"]
    # With its own weights, imputation gets the effect on the treated exactly; the rest is what LAs did by themselves.
    imputed = next(r for r in rows if r["model"] == "imputation")
    assert imputed["estimate_pp"] - imputed["no_programme_pp"] == pytest.approx(imputed["truth_pp"], abs=0.15)
    assert not (tmp_path / "seed").exists()


@pytest.mark.long
def test_recovery_over_fifty_seeds(tmp_path: Path) -> None:
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    paths.data.mkdir()
    summary = summarise(run_recovery(paths, seeds=50))
    imputation = summary["imputation"]
    assert abs(imputation["bias_pp"]) <= 2 * imputation["monte_carlo_se_pp"]
    for values in summary.values():
        assert abs(values["mean_no_programme_pp"]) <= 2 * values["no_programme_monte_carlo_se_pp"]
    # The canary: one coefficient for an effect that grows falls short of it (docs/methods/regression.md).
    assert summary["linear"]["weighting_pp"] > 0.1
    assert abs(imputation["weighting_pp"]) < 0.05


@pytest.mark.long
def test_truth_lies_in_the_interval_on_the_small_set(tmp_path: Path) -> None:
    from sfpc.cli import DEFAULT_SEED
    from sfpc.evaluation import run
    from sfpc.recovery import primary_truth
    from sfpc.synthetic.extracts import synthesise
    from sfpc.warehouse.build import run_dbt

    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    paths.data.mkdir()
    synthesise("small", DEFAULT_SEED, paths.extracts, paths.truth, SEEDS, quiet=True)
    windows = read_windows(SEEDS / "protocol" / "data_windows.csv")
    with Gate(paths.landing, "national", windows, base=paths.extracts) as gate:
        land_national(paths.extracts, gate)
    # What estimation reads, without tests: those run on smaller data elsewhere.
    read = [argument for mart in (*REQUIRED_COLUMNS, "fct_referral_spells") for argument in ("--select", f"+{mart}")]
    run_dbt(paths, "seed", target=tmp_path / "target")
    run_dbt(paths, "run", *read, target=tmp_path / "target")
    with open_marts(paths.build_db) as connection:
        only = of_one_basis(connection, "became_looked_after", RECOVERED_MODELS)
    results = run(paths.build_db, paths.results, outcome_id="became_looked_after", only=only)
    truth = primary_truth(paths, paths.build_db, results.matched_pairs)
    primary = results.effects[results.effects["is_primary"]].iloc[0]
    assert primary["ci_low"] <= truth <= primary["ci_high"]
    planned = pd.read_csv(paths.truth / "planned_las.csv", dtype={"la_code": str})
    alone = set(planned.loc[planned["has_no_twin"], "la_code"])
    pairs = results.matched_pairs
    excluded = pairs[pairs["status"] == "excluded"]
    assert set(excluded["treatment_la_id"]) == alone, "the LA without a twin, and no other, is left out"
    assert excluded["reason"].str.contains("times the distance that sampling error alone gives").all()
    assert (results.effects["treated_cluster_count"] == 4).all()


def test_the_study_writes_runs_and_summary(compiled: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb itself, on two small seeds: files, summary, twin hits."""
    import json

    monkeypatch.setattr(recovery, "compile_warehouse", lambda *_: compiled)
    paths = Paths(ROOT, tmp_path / "data", tmp_path / "outputs")
    paths.data.mkdir()
    runs = run_recovery(paths, seeds=2, workers=2, volume=0.1)
    assert sorted(runs["model"].value_counts().to_dict().values()) == [2, 2, 2]
    summary = json.loads((paths.results / "recovery.json").read_text(encoding="utf-8"))
    assert {"linear", "logit", "imputation", "twin_hits"} <= set(summary)
    assert [h["referrals_per_quarter"] for h in summary["twin_hits"]] == [1300, 5200, None]
    assert len(pd.read_csv(paths.results / "recovery.csv")) == len(runs)
