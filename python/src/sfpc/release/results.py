"""What a run of the evaluation offers for release: results and marts as tables that say what they count.

Counts are made here, in SQL, of distinct children; a results table that counts rows of another kind (referrals, or sums
of weights) is not offered. Words that a run wrote about a single regression are not offered either: they can say that
all children of a group had the event.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from sfpc.errors import SfpcError
from sfpc.grid import MODELS, TERMS, of_one_basis, terms_sql
from sfpc.marts import ANALYSIS, SCHEMA, fingerprints, open_marts, read_mart
from sfpc.release.tables import Dimension, EstimateOffer, Fit, Offer, Statistic
from sfpc.results import RESULT_TABLES
from sfpc.settings import Paths

ALL = "all"
# Where a child of the trial period ends; each child in one step, by programme and outcome.
STEPS = (
    "not one the outcome is about",
    "not fully observed",
    "local authority not compared",
    "compared, without a match",
    "compared and matched",
)
MATCHED = STEPS[4]
OBSERVED, COMPARED = "fully observed", "in a compared local authority"
STEP_GROUPS = {OBSERVED: STEPS[2:], COMPARED: STEPS[3:]}
ARMS = ("treated", "treatment LA before go-live", "comparison LA")
NOT_TREATED = "not treated"
ARM_GROUPS = {NOT_TREATED: ARMS[1:]}
_SIDES = ("treatment", "comparison")
_COVARIATES_OF_BALANCE = {
    "age_years": "greatest(age_at_anchor_months, 0) // 12",
    "previous_cpp_count": "least(previous_cpp_count, 2)",
}


@dataclass(frozen=True)
class Run:
    """What a run offers, and the ids and hashes of what it was made from."""

    offers: tuple[Offer | EstimateOffer, ...]
    data: Mapping[str, Any]


def offers_of_run(paths: Paths) -> Run:
    """Everything that the last run offers for release.

    Raises SfpcError in one line where results or marts are missing or do not belong together.
    """
    run_file = paths.results / "run.json"
    if not run_file.is_file():
        raise SfpcError(f"no results at {paths.results}: run `sfpc estimate` (or `make evaluate`) first")
    run = json.loads(run_file.read_text(encoding="utf-8"))
    results = {name: _read(paths.results / f"{name}.parquet", str(run["run_id"])) for name in RESULT_TABLES}
    with open_marts(paths.marts_db) as connection:
        now = fingerprints(connection)
        changed = sorted(mart for mart, content in run["marts"].items() if now.get(mart, content) != content)
        if changed:
            raise SfpcError(
                f"{paths.marts_db}: {', '.join(changed)} changed after the results were written; run `sfpc estimate`"
            )
        offers = _offers(connection, results, paths)
    data = {
        "run_id": str(run["run_id"]),
        "code_sha256": str(run["code_sha256"]),
        "marts": dict(run["marts"]),
        "results": {f.name: _sha256(f) for f in sorted(paths.results.glob("*.parquet"))},
    }
    manifest = paths.landing / "manifest.json"
    if manifest.is_file():
        data["landing_manifest_sha256"] = _sha256(manifest)
    return Run(tuple(offers), data)


def _read(path: Path, run_id: str) -> pd.DataFrame:
    if not path.is_file():
        raise SfpcError(f"no results at {path}: run `sfpc estimate` again")
    with duckdb.connect(":memory:") as connection:
        frame = connection.execute("select * from read_parquet(?)", [str(path)]).df()
    if set(frame["run_id"]) - {run_id}:
        raise SfpcError(f"{path} is not of run {run_id} (run.json); run `sfpc estimate` again")
    return frame


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _offers(
    connection: duckdb.DuckDBPyConnection, results: Mapping[str, pd.DataFrame], paths: Paths
) -> list[Offer | EstimateOffer]:
    _lay_children(connection, results["matched_pairs"], paths.results / "matched_children.parquet")
    outcomes = read_mart(connection, "dim_outcomes").set_index("outcome_id")
    everybody = _outcomes_about_everybody(paths.root)
    areas = read_mart(connection, "dim_local_authorities").set_index("la_id")["la_name"].to_dict()
    held = connection.execute(
        "select distinct programme_id, outcome_id, anchor from release_children order by all"
    ).fetchall()
    offers: list[Offer | EstimateOffer] = []
    for programme_id, outcome_id, anchor in held:
        about = _About(
            connection,
            str(programme_id),
            str(outcome_id),
            str(outcomes.loc[outcome_id, "label"]),
            str(outcomes.loc[outcome_id, "outcome_kind"]),
            {str(k): str(v) for k, v in areas.items()},
            str(anchor),
            (str(programme_id), str(outcome_id)) in everybody,
        )
        mine = {
            name: frame[(frame["programme_id"] == programme_id) & (frame["outcome_id"] == outcome_id)]
            for name, frame in results.items()
            if "outcome_id" in frame
        }
        # A regression on other children would tell those whom it leaves out: only those on the primary one's leave.
        beside = of_one_basis(connection, str(outcome_id), MODELS)
        effects = mine["effects"][mine["effects"]["specification_id"].isin(beside)]
        counts = effects.loc[effects["is_primary"].astype(bool), ["children_count", "treated_children_count"]]
        effects = effects.merge(counts.drop_duplicates(), on=["children_count", "treated_children_count"])
        same = set(effects["specification_id"])
        for name in ("effects", "inference"):
            mine[name] = mine[name][mine[name]["specification_id"].isin(same)]
        offers += [*_flow(about), *_outcome(about), *_missing(about)]
        offers += [*_shares(about, mine["cem_shares"]), *_imbalance(about, mine["cem_imbalance"])]
        offers += [*_balance(about, mine["cem_balance"]), *_pairs(about, mine["matched_pairs"], mine["matched_trends"])]
        offers += _estimates(about, mine["effects"], mine["inference"])
    return offers


@dataclass(frozen=True)
class _About:
    connection: duckdb.DuckDBPyConnection
    programme_id: str
    outcome_id: str
    label: str
    kind: str
    areas: Mapping[str, str]
    anchor: str
    has_everybody: bool

    @property
    def population(self) -> str:
        """Children of the trial period, each once: outcomes that run from the same day are about the same ones."""
        return f"{self.programme_id}/{self.anchor}"

    @property
    def steps(self) -> Dimension:
        """Where children end, which each outcome decides for itself."""
        return Dimension("step", total=ALL, levels=STEPS, groups=STEP_GROUPS, of=self.outcome_id)

    def at(self, step: str) -> dict[str, str]:
        """Children in a step of this outcome."""
        return {self.steps.identity: step}

    def key(self, name: str) -> str:
        """Name of a table of this programme and outcome."""
        return f"{self.programme_id}__{self.outcome_id}__{name}".lower()

    def title(self, text: str) -> str:
        return f"{self.label}: {text}"

    def select(self, sql: str) -> pd.DataFrame:
        """A query on the children of this programme and outcome, as the view `mine`."""
        return self.connection.execute(
            "with mine as (select * from release_children where programme_id = $programme and outcome_id = $outcome) "
            + sql,
            {"programme": self.programme_id, "outcome": self.outcome_id},
        ).df()

    @property
    def constants(self) -> dict[str, str]:
        return {"programme": self.programme_id, "outcome": self.outcome_id}


def _outcomes_about_everybody(root: Path) -> set[tuple[str, str]]:
    """Programme and outcome whose default reading leaves nobody out of the sample, by its row alone (FV.SAMPLE.5)."""
    rows = pd.read_csv(root / "seeds" / "protocol" / "programme_outcomes.csv", dtype=str, keep_default_na=False)
    plain = (
        (rows["is_default"] == "true")
        & (rows["is_already_looked_after_excluded"] == "false")
        & (rows["turning_18_exclusion"] == "none")
        & (rows["is_censored_at_18"] == "false")
        & rows["measure"].isin(["cpp_start", "plan", "cpp", "cin_plan", "cin_episode"])
    )
    return set(rows.loc[plain, ["programme_id", "outcome_id"]].itertuples(index=False, name=None))


def _lay_children(connection: duckdb.DuckDBPyConnection, pairs: pd.DataFrame, matched: Path) -> None:
    """Make the temporary table release_children: a row per programme, outcome and child, with arm and step."""
    if not matched.is_file():
        raise SfpcError(f"no matched children at {matched}: run `sfpc estimate` again")
    accepted = pairs[pairs["status"] == "accepted"]
    members = {
        (str(row.programme_id), str(row.outcome_id), str(la))
        for row in accepted.itertuples()
        for la in (row.treatment_la_id, row.candidate_la_id)
    }
    connection.execute(
        "create or replace temp table release_members (programme_id varchar, outcome_id varchar, la_id varchar)"
    )
    if members:
        connection.executemany("insert into release_members values (?, ?, ?)", sorted(members))
    place = str(matched).replace("'", "''")
    steps = ", ".join(f"'{step}'" for step in STEPS)
    connection.execute(
        f"""
        create or replace temp table release_children as
        select
            children.programme_id, children.outcome_id, children.child_id, children.la_id, children.anchor_date,
            children.outcome_value, children.anchor,
            case
                when children.is_treated then '{ARMS[0]}'
                when children.is_treatment_la then '{ARMS[1]}'
                else '{ARMS[2]}'
            end as arm,
            list_extract([{steps}], case
                when not children.is_in_sample then 1
                when not children.is_fully_observed then 2
                when members.la_id is null then 3
                when matched.child_id is null then 4
                else 5
            end) as step
        from {SCHEMA}.fct_outcome_values as children
        left join release_members as members using (programme_id, outcome_id, la_id)
        left join (
            select distinct programme_id, outcome_id, child_id from read_parquet('{place}')
        ) as matched using (programme_id, outcome_id, child_id)
        where children.is_default_reading
        """
    )
    (doubled,) = connection.execute(
        "select count(*) - count(distinct (programme_id, outcome_id, child_id)) from release_children"
    ).fetchone() or (0,)
    if doubled:
        raise SfpcError(f"fct_outcome_values: {doubled} children have more than one row of an outcome")


def _with_totals(frame: pd.DataFrame, names: list[str], counts: list[str]) -> pd.DataFrame:
    """The frame with the sums over every dimension, as the level 'all'."""
    for name in names:
        rest = [n for n in frame.columns if n not in (name, *counts)]
        total = (
            frame.groupby(rest, sort=False)[counts].sum().reset_index() if rest else frame[counts].sum().to_frame().T
        )
        frame = pd.concat([frame, total.assign(**{name: ALL})[frame.columns]], ignore_index=True)
    return frame


def _flow(about: _About) -> list[Offer]:
    frame = about.select("select arm, step, count(distinct child_id) as children from mine group by all order by all")
    if about.has_everybody:
        nobody = pd.DataFrame({"arm": [*ARMS, ALL], "step": STEPS[0], "children": 0})
        frame = pd.concat([frame, nobody[nobody["arm"] != ALL]], ignore_index=True)
    frame = _with_totals(frame, ["arm", "step"], ["children"])
    frame["cannot_be"] = about.has_everybody & (frame["step"] == STEPS[0])
    dimensions = (
        Dimension("arm", total=ALL, levels=ARMS, groups=ARM_GROUPS),
        about.steps,
    )
    return [
        Offer(
            about.key("children"),
            about.title("where the children of the trial period end"),
            Statistic.COUNT,
            frame,
            dimensions,
            about.population,
            structural_zero="cannot_be",
            constants=about.constants,
            context="Children, each once; referrals are counted in fct_sample_flow and are not released.",
            command="sfpc release (FV.SAMPLE.4)",
        )
    ]


def _outcome(about: _About) -> list[Offer]:
    """The outcome of matched children by arm, and by LA and arm."""
    within = about.at(MATCHED)
    arms = Dimension("arm", total=ALL, levels=ARMS, groups=ARM_GROUPS)
    common: dict[str, Any] = {
        "population": about.population,
        "within": within,
        "constants": about.constants,
        "context": "Compared and matched children, each once, not weighted.",
        "command": "sfpc release",
    }
    if about.kind != "binary":
        frame = about.select(
            f"""
            select arm, count(distinct child_id) as children, avg(outcome_value) as mean,
                coalesce(stddev_samp(outcome_value), 0) as sd
            from mine where step = '{MATCHED}' group by arm
            union all
            select '{ALL}', count(distinct child_id), avg(outcome_value),
                coalesce(stddev_samp(outcome_value), 0)
            from mine where step = '{MATCHED}' having count(*) > 0
            """
        )
        if frame.empty:
            return []
        return [
            Offer(
                about.key("outcome"),
                about.title("mean and standard deviation"),
                Statistic.VALUE,
                frame,
                (arms,),
                values={"mean": 1, "sd": 1},
                adds_up=True,
                **common,
            )
        ]
    frame = about.select(
        f"""
        select arm, count(distinct child_id) as children,
            count(distinct case when outcome_value = 1 then child_id end) as events
        from mine where step = '{MATCHED}' group by arm
        """
    )
    by_area = about.select(
        f"""
        select la_id as la, arm, count(distinct child_id) as children,
            count(distinct case when outcome_value = 1 then child_id end) as events
        from mine where step = '{MATCHED}' group by all
        """
    )
    if frame.empty:
        return []
    by_area["la"] = by_area["la"].map(lambda la: about.areas.get(la, la))
    treatment = sorted(set(by_area.loc[by_area["arm"] != ARMS[2], "la"]))
    # An LA is on one side of the comparison: the other combinations cannot have children.
    other = [(la, arm) for la in sorted(set(by_area["la"])) for arm in ARMS if (arm == ARMS[2]) == (la in treatment)]
    impossible = pd.DataFrame(other, columns=["la", "arm"]).assign(children=0, events=0)
    by_area = pd.concat([by_area, impossible], ignore_index=True)
    by_area = _with_totals(by_area, ["la"], ["children", "events"])
    sided = by_area.assign(is_impossible=False)
    sided.loc[(sided["la"] != ALL) & ((sided["arm"] == ARMS[2]) == sided["la"].isin(treatment)), "is_impossible"] = True
    return [
        Offer(
            about.key("outcome"),
            about.title("children with the outcome"),
            Statistic.RATE,
            _with_totals(frame, ["arm"], ["children", "events"]),
            (arms,),
            numerator="events",
            event=about.outcome_id,
            **common,
        ),
        Offer(
            about.key("outcome_by_la"),
            about.title("children with the outcome, by local authority"),
            Statistic.RATE,
            sided,
            (Dimension("la", total=ALL), Dimension("arm", levels=ARMS)),
            numerator="events",
            event=about.outcome_id,
            structural_zero="is_impossible",
            shows_structural=False,
            **common,
        ),
    ]


def _missing(about: _About) -> list[Offer]:
    """Missing covariates by arm, as fct_covariate_missingness has them."""
    frame = about.connection.execute(
        f"""
        select covariate, arm, child_count as children, missing_count as events
        from {SCHEMA}.fct_covariate_missingness
        where programme_id = $programme and outcome_id = $outcome
        order by all
        """,
        {"programme": about.programme_id, "outcome": about.outcome_id},
    ).df()
    offers = []
    for covariate in sorted(set(frame["covariate"].astype(str))):
        rows = frame[frame["covariate"] == covariate]
        # Where nobody misses it by design, there is no number of children to hide.
        if not rows["events"].any():
            continue
        offers.append(
            Offer(
                about.key(f"missing_{covariate}"),
                about.title("missing covariates"),
                Statistic.RATE,
                _with_totals(rows[["arm", "children", "events"]], ["arm"], ["children", "events"]),
                (Dimension("arm", total=ALL, levels=ARMS, groups=ARM_GROUPS),),
                about.population,
                about.at(OBSERVED),
                numerator="events",
                event=f"missing {covariate}",
                constants={**about.constants, "covariate": covariate},
                file=about.key("missing"),
                context="Children in the sample and fully observed (FV.COV.4).",
                command="sfpc release",
            )
        )
    return offers


def _shares(about: _About, shares: pd.DataFrame) -> list[Offer]:
    """Children and matched children of each set of LAs; a comparison child can be in several sets."""
    rows = shares[shares["period"] == ALL]
    if rows.empty:
        return []
    frame = pd.DataFrame(
        {
            "set_of": rows["treatment_la_id"].map(lambda la: about.areas.get(la, la)),
            "side": rows["arm"],
            "children": rows["children_count"].astype(int),
            "events": rows["matched_children_count"].astype(int),
        }
    )
    return [
        Offer(
            about.key("matched_shares"),
            about.title("children matched, by set of local authorities"),
            Statistic.RATE,
            frame,
            (Dimension("set_of", is_partition=False, of=about.outcome_id), Dimension("side", levels=_SIDES)),
            about.population,
            numerator="events",
            event=f"matched in the set for {about.outcome_id}",
            constants=about.constants,
            context="Children of a treatment LA and of its comparison LAs, by set (FV.CEM.11).",
            command="sfpc estimate; sfpc release",
        )
    ]


def _imbalance(about: _About, imbalance: pd.DataFrame) -> list[Offer]:
    rows = imbalance[imbalance["period"] == ALL]
    if rows.empty:
        return []
    smaller = np.minimum(rows["treated_before"].astype(int), rows["control_before"].astype(int))
    frame = pd.DataFrame(
        {
            "set_of": rows["treatment_la_id"].map(lambda la: about.areas.get(la, la)),
            "children": smaller,
            "l1_before": rows["l1_before"],
            "l1_after": rows["l1_after"],
        }
    )
    return [
        Offer(
            about.key("imbalance"),
            about.title("multivariate imbalance, by set of local authorities"),
            Statistic.VALUE,
            frame,
            (Dimension("set_of", is_partition=False, of=about.outcome_id),),
            about.population,
            {"smaller side of": f"imbalance of {about.outcome_id}"},
            values={"l1_before": 3, "l1_after": 3},
            shows_children=False,
            constants=about.constants,
            context="L1 on declared bins, 0 to 1; judged by the smaller side of the set (FV.CEM.11).",
            command="sfpc estimate; sfpc release",
        )
    ]


def _balance(about: _About, balance: pd.DataFrame) -> list[Offer]:
    """Weighted shares of every level of a covariate, judged by the matched children of the smaller side."""
    offers: list[Offer] = []
    covariates = [str(name) for name in sorted(set(balance["covariate"]))]
    if not covariates:
        return offers
    listed = ", ".join(f"{_COVARIATES_OF_BALANCE.get(name, name)} as {name}" for name in covariates)
    about.connection.execute(
        f"""
        create or replace temp table release_balance as
        select {listed}, mine.arm <> '{ARMS[2]}' as is_treatment
        from (select * exclude (outcome_value) from {ANALYSIS}) as children
        inner join (select programme_id, outcome_id, child_id, arm, step from release_children) as mine
            using (programme_id, outcome_id, child_id)
        where programme_id = $programme and outcome_id = $outcome and mine.step = '{MATCHED}'
        """,
        {"programme": about.programme_id, "outcome": about.outcome_id},
    )
    for covariate in covariates:
        rows = balance[balance["covariate"] == covariate]
        # A child has one row of an outcome, so that rows are children here.
        counts = about.connection.execute(
            f"""
            select coalesce(cast({covariate} as varchar), 'not observed') as level,
                count(*) filter (where is_treatment) as treatment,
                count(*) filter (where not is_treatment) as comparison
            from release_balance group by all
            """
        ).df()
        frame = rows.assign(level=rows["level"].astype(str)).merge(counts, on="level", how="left")
        smaller = np.minimum(frame["treatment"].fillna(0), frame["comparison"].fillna(0)).astype(int)
        if frame.empty:
            continue
        offers.append(
            Offer(
                about.key(f"balance_{covariate}"),
                about.title("balance of covariates, matched children, weighted"),
                Statistic.VALUE,
                pd.DataFrame(
                    {
                        "level": frame["level"],
                        "children": smaller,
                        "treatment_pct": 100 * frame["treated_share_after"],
                        "comparison_pct": 100 * frame["control_share_after"],
                        "difference_before": frame["difference_before"],
                        "difference_after": frame["difference_after"],
                    }
                ),
                (Dimension("level"),),
                about.population,
                {**about.at(MATCHED), "smaller side by": covariate},
                values={
                    "treatment_pct": 1,
                    "comparison_pct": 1,
                    "difference_before": 3,
                    "difference_after": 3,
                },
                adds_up=True,
                has_known_total=True,
                shows_children=False,
                constants={**about.constants, "covariate": covariate},
                file=about.key("balance"),
                context="Judged by the matched children of the smaller side; differences are standardised (FV.CEM.11).",
                command="sfpc estimate; sfpc release",
            )
        )
    return offers


def _pairs(about: _About, pairs: pd.DataFrame, trends: pd.DataFrame) -> list[Offer]:
    """Accepted pairs of LAs with their distances; the children are those of the LA with fewer in the window."""
    accepted = pairs[pairs["status"] == "accepted"]
    if accepted.empty:
        return []
    by_quarter = trends.groupby("la_id")["denominator_count"].min()
    frame = pd.DataFrame(
        {
            "treatment_la": accepted["treatment_la_id"].map(lambda la: about.areas.get(la, la)),
            "comparison_la": accepted["candidate_la_id"].map(lambda la: about.areas.get(la, la)),
            "children": [
                int(min(by_quarter.get(a, 0), by_quarter.get(b, 0)))
                for a, b in zip(accepted["treatment_la_id"], accepted["candidate_la_id"], strict=True)
            ],
            "rank": accepted["rank"].astype(float),
            "distance": accepted["distance"],
            "noise_ratio": accepted["noise_ratio"],
        }
    )
    return [
        Offer(
            about.key("pairs"),
            about.title("accepted comparison local authorities"),
            Statistic.VALUE,
            frame,
            (Dimension("treatment_la", is_partition=False), Dimension("comparison_la", is_partition=False)),
            about.population,
            {"fewest in a quarter of": f"pair for {about.outcome_id}"},
            values={"rank": 0, "distance": 2, "noise_ratio": 2},
            shows_children=False,
            constants=about.constants,
            context="Distance of trends (FV.MATCH.2); judged by the quarter with the fewest children in either LA.",
            command="sfpc estimate; sfpc release",
        )
    ]


def _estimates(about: _About, effects: pd.DataFrame, inference: pd.DataFrame) -> list[EstimateOffer]:
    """Effects, and each effect by method of inference; one regression is judged once for both."""
    rows = effects[(effects["children_count"] > 0) & effects["weights"].isin(_SAMPLES)].reset_index(drop=True)
    if rows.empty:
        return []
    fits = {weights: _fit(about, weights) for weights in dict.fromkeys(rows["weights"])}
    made: list[tuple[Fit, tuple[str, Mapping[str, str]]]] = []
    for weights, model, children in zip(
        rows["weights"].astype(str), rows["model"].astype(str), rows["children_count"].astype(int), strict=True
    ):
        fit, within = fits[weights], about.at(_SAMPLES[weights])
        if children != fit.children:
            # A model that had to leave children out is about fewer; they are a part of all matched ones.
            within[f"model of {about.outcome_id}"] = model
        own = Fit(children, fit.parameters, fit.design_rows, fit.smallest_combination, fit.levels)
        made.append((own, (about.population, within)))
    keys = ("specification_id", "scale")
    of_row = {(str(r.specification_id), str(r.scale)): i for i, r in enumerate(rows.itertuples())}
    offers = [
        EstimateOffer(
            about.key("effects"),
            about.title("effects"),
            pd.DataFrame(
                {
                    "programme": rows["programme_id"],
                    "outcome": rows["outcome_id"],
                    "specification_id": rows["specification_id"],
                    "scale": rows["scale"],
                    "label": rows["label"],
                    "clause": rows["clause"],
                    "is_primary": rows["is_primary"].astype(str),
                    "inference_method": rows["inference_method"],
                    **{name: rows[name] for name in _EFFECT_VALUES},
                    "children": rows["children_count"],
                    "treated_children": rows["treated_children_count"],
                }
            ),
            ("programme", "outcome", *keys),
            _EFFECT_VALUES,
            tuple(fit for fit, _ in made),
            tuple(counts for _, counts in made),
            labels=("label", "clause", "is_primary", "inference_method"),
            arm="arm",
            treated_level=ARMS[0],
            other_level=NOT_TREATED,
            context="Estimates of regressions; the weights and covariates are those of the specification (FV.EST.1).",
            command="sfpc estimate; sfpc release",
        )
    ]
    chosen = [
        (i, of_row[(str(r.specification_id), str(r.scale))])
        for i, r in enumerate(inference.itertuples())
        if (str(r.specification_id), str(r.scale)) in of_row
    ]
    if chosen:
        methods = inference.iloc[[i for i, _ in chosen]].reset_index(drop=True)
        behind = rows.iloc[[j for _, j in chosen]].reset_index(drop=True)
        offers.append(
            EstimateOffer(
                about.key("inference"),
                about.title("effects, by method of inference"),
                pd.DataFrame(
                    {
                        "programme": methods["programme_id"],
                        "outcome": methods["outcome_id"],
                        "specification_id": methods["specification_id"],
                        "scale": methods["scale"],
                        "inference_method": methods["inference_method"],
                        **{name: methods[name] for name in _INFERENCE_VALUES},
                        "children": behind["children_count"],
                        "treated_children": behind["treated_children_count"],
                    }
                ),
                ("programme", "outcome", *keys, "inference_method"),
                _INFERENCE_VALUES,
                tuple(made[j][0] for _, j in chosen),
                tuple(made[j][1] for _, j in chosen),
                arm="arm",
                treated_level=ARMS[0],
                other_level=NOT_TREATED,
                context="The same regressions with every method of inference (FV.EST.3).",
                command="sfpc estimate; sfpc release",
            )
        )
    return offers


# Whom a regression is about, by its weights.
_SAMPLES: Mapping[str, str] = {
    "cem_protocol": MATCHED,
    "cem_ikp": MATCHED,
    "none": COMPARED,
}
_INFERENCE_VALUES = {
    "estimate": 3,
    "standard_error": 3,
    "ci_low": 3,
    "ci_high": 3,
    "p_value": 4,
    "degrees_of_freedom": 1,
}
_EFFECT_VALUES = {
    "estimate": 3,
    "standard_error": 3,
    "ci_low": 3,
    "ci_high": 3,
    "p_value": 4,
    "p_value_hochberg": 4,
    "degrees_of_freedom": 1,
    "cluster_count": 0,
    "treated_cluster_count": 0,
    "baseline_mean_pct": 1,
}


def _fit(about: _About, weights: str) -> Fit:
    """What the regressions of one outcome and weighting stand on, counted on their children."""
    connection, steps = about.connection, _SAMPLES[weights]
    members = STEP_GROUPS.get(steps, (steps,))
    listed = ", ".join(f"'{step}'" for step in members)
    connection.execute(
        f"""
        create or replace temp table release_fit as
        select {terms_sql("children")}, mine.outcome_value
        from {ANALYSIS} as children
        inner join release_children as mine using (programme_id, outcome_id, child_id)
        where programme_id = $programme and outcome_id = $outcome and mine.step in ({listed})
        """,
        {"programme": about.programme_id, "outcome": about.outcome_id},
    )
    factors = (*TERMS.factors, TERMS.treatment)
    every = ", ".join((*factors, *TERMS.linear))
    children, rows = _row(connection, f"select count(*), count(distinct ({every})) from release_fit")
    (smallest,) = _row(
        connection, f"select min(n) from (select count(*) as n from release_fit group by {', '.join(factors)})"
    )
    events = "sum(outcome_value)" if about.kind == "binary" else "null"
    levels = pd.concat(
        [
            connection.execute(
                f"""
                select '{name}' as factor, coalesce(cast({name} as varchar), 'not observed') as level,
                    count(*) as children, {events} as events, count(*) - {events} as non_events,
                    {name == TERMS.treatment} as is_released
                from release_fit group by all order by all
                """
            )
            .df()
            .astype({"events": "float64", "non_events": "float64"})
            for name in factors
        ],
        ignore_index=True,
    )
    parameters = 1 + len(TERMS.linear) + sum(int(n) - 1 for n in levels.groupby("factor").size())
    return Fit(int(children), parameters, int(rows), int(smallest or 0), levels)


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return tuple(connection.execute(sql).fetchone() or ())
