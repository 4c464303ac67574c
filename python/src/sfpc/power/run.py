"""Power of a programme's evaluation as it is: its LAs, dates and sizes, read from the marts (FV.POWER.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from sfpc.economics import Economics, read_economics
from sfpc.errors import SfpcError
from sfpc.marts import SCHEMA
from sfpc.power.correlations import Correlations, estimate_correlations
from sfpc.power.formulas import NotEstimableError, mdes_after, mdes_cluster, multiplier, power_at, share_sd
from sfpc.power.rollout import Rollout, design_variance
from sfpc.power.simulation import Movements, as_frame, draw_shares, simulate_power

CLAUSE = "FV.POWER.1"
# Cluster autocorrelations shown beside the one that the data give (methods C).
SHOWN_AUTOCORRELATIONS = (1.0, 0.95, 0.9, 0.8)
OWN = "as in the data"
FORMULA = "formula, t(G-1)"
# Points of the curve of power against the effect, and up to how many times the minimum detectable effect they reach.
_CURVE_POINTS, _CURVE_REACH = 41, 2.0
_SIMULATED_AT = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_BOOTSTRAP_REPLICATIONS = 150
# What the protocol's table must hold, stated or not.
_POWER_TABLE = (
    *("mdes", "baseline", "icc", "significance_level", "power", "sides", "la_count", "children_per_la_year"),
    *("children_per_la", "year_count", "share_treated", "level2_r2", "level1_r2"),
)
_UNTREATED = {
    "la_id": "la_id",
    "quarter_start_date": "period",
    "untreated_count": "children_count",
    "untreated_sum": "outcome_sum",
    "untreated_square_sum": "outcome_square_sum",
}

# Columns and DuckDB types of the tables, in the form of `sfpc.results.RESULT_TABLES` (which adds run_id).
POWER_TABLES: Mapping[str, Mapping[str, str]] = {
    "power_protocol": {
        "programme_id": "varchar",
        "variant": "varchar",
        "cluster_count": "bigint",
        "children_per_cluster": "double",
        "icc": "double",
        "share_treated": "double",
        "level2_r2": "double",
        "multiplier": "double",
        "mdes_sd": "double",
        "mdes_points": "double",
        "printed_mdes_sd": "double",
        "is_printed_value": "boolean",
        "note": "varchar",
        "clause": "varchar",
    },
    "power_correlations": {
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "mean": "double",
        "outcome_sd": "double",
        "icc": "double",
        "icc_error": "double",
        "cac": "double",
        "cac_error": "double",
        "la_sd": "double",
        "la_period_sd": "double",
        "la_count": "bigint",
        "quarter_count": "bigint",
        "children_count": "bigint",
        "note": "varchar",
        "clause": "varchar",
    },
    "power_design": {
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "assumption": "varchar",
        "icc": "double",
        "cac": "double",
        "treated_la_count": "bigint",
        "comparison_la_count": "bigint",
        "quarter_count": "bigint",
        "children_count": "bigint",
        "degrees_of_freedom": "double",
        "standard_error": "double",
        "mdes_sd": "double",
        "mdes": "double",
        "unit": "varchar",
        "note": "varchar",
        "clause": "varchar",
    },
    "power_after": {
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "specification_id": "varchar",
        "inference_method": "varchar",
        "estimate": "double",
        "standard_error": "double",
        "degrees_of_freedom": "double",
        "mdes": "double",
        "unit": "varchar",
        "note": "varchar",
        "clause": "varchar",
    },
    "power_curve": {
        "programme_id": "varchar",
        "outcome_id": "varchar",
        "method": "varchar",
        "effect": "double",
        "power": "double",
        "monte_carlo_error": "double",
        "unit": "varchar",
        "note": "varchar",
        "clause": "varchar",
    },
}


@dataclass(frozen=True)
class PowerResults:
    """What is known of a programme's power.

    `protocol`, `correlations`, `design`, `after` and `curve` have the columns of `POWER_TABLES`; `sentences` are for an
    analyst.
    """

    programme_id: str
    protocol: pd.DataFrame
    correlations: pd.DataFrame
    design: pd.DataFrame
    after: pd.DataFrame
    curve: pd.DataFrame
    sentences: tuple[str, ...]

    @classmethod
    def from_tables(
        cls, programme_id: str, tables: Mapping[str, pd.DataFrame], sentences: Sequence[str]
    ) -> PowerResults:
        """The results of one programme, from the results tables of a run."""

        def mine(name: str) -> pd.DataFrame:
            return tables[name][tables[name]["programme_id"] == programme_id].reset_index(drop=True)

        return cls(
            programme_id=programme_id,
            protocol=mine("power_protocol"),
            correlations=mine("power_correlations"),
            design=mine("power_design"),
            after=mine("power_after"),
            curve=mine("power_curve"),
            sentences=tuple(sentences),
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names of `POWER_TABLES`."""
        return {
            "power_protocol": self.protocol,
            "power_correlations": self.correlations,
            "power_design": self.design,
            "power_after": self.after,
            "power_curve": self.curve,
        }


def run_power(
    connection: duckdb.DuckDBPyConnection,
    programme_id: str,
    *,
    comparators: Mapping[str, Sequence[str]] | None = None,
    inference: pd.DataFrame | None = None,
    replications: int | None = None,
    seed: int | None = None,
) -> PowerResults:
    """Power and minimum detectable effects of one programme.

    Parameters
    ----------
    connection: of `sfpc.marts.open_marts`.
    comparators: by outcome, the LAs that the evaluation accepted (`accepted_las` makes them from matched_pairs); where
        an outcome is not there, or without it, every LA that may serve as a comparator and says so in the note.
    inference: the results table of that name; without it there is no minimum detectable effect after the fact.
    replications: simulated studies per effect; the setting power_replications where None. seed: of the draws.

    Returns
    -------
    `PowerResults`; effects on yes-or-no outcomes are in percentage points, on others in the outcome's unit.

    Raises SfpcError where the marts hold no such programme, or lack the settings.
    """
    economics = read_economics(connection)
    roles = connection.execute(
        f"select la_id, role, go_live_date, is_matching_candidate from {SCHEMA}.dim_programme_local_authorities"
        " where programme_id = ? order by la_id",
        [programme_id],
    ).df()
    if roles.empty:
        raise SfpcError(f"no programme '{programme_id}' in the marts")
    level, target = _level(connection), economics.number("power_target")
    cells = _cells(connection, programme_id)
    kinds = dict(connection.execute(f"select outcome_id, outcome_kind from {SCHEMA}.dim_outcomes").fetchall())
    primary = [
        row[0]
        for row in connection.execute(
            f"select outcome_id from {SCHEMA}.dim_outcomes where is_primary order by outcome_id"
        ).fetchall()
    ]
    correlations: list[dict[str, Any]] = []
    designs: list[dict[str, Any]] = []
    curves: list[pd.DataFrame] = []
    found: dict[str, Correlations] = {}
    for outcome_id, mine in cells.groupby("outcome_id", sort=True):
        outcome = str(outcome_id)
        about = {"programme_id": programme_id, "outcome_id": outcome, "clause": CLAUSE}
        untreated = mine.loc[mine["untreated_count"] > 0, list(_UNTREATED)].rename(columns=_UNTREATED)
        try:
            own = estimate_correlations(untreated)
        except NotEstimableError as reason:
            correlations.append({**about, **_no_correlations(untreated), "note": f"not estimated: {reason}"})
            continue
        found[outcome] = own
        correlations.append({**about, **_as_row(own)})
        is_share = kinds.get(outcome) == "binary"
        factor, unit = (100.0, "percentage points") if is_share else (1.0, "units of the outcome")
        sd = own.outcome_sd * factor
        members, note = _members(roles, outcome, comparators)
        rollout = rollout_of(mine[mine["la_id"].isin(members)])
        if not rollout.treated_las or rollout.treated_las == rollout.la_count:
            designs.append({**about, **_no_design(rollout), "unit": unit, "note": "no treated LA, or no other"})
            continue
        freedom = float(rollout.la_count - 1)
        for assumption, cac in _autocorrelations(own):
            error = math.sqrt(design_variance(rollout, own.icc, cac))
            mdes = mdes_after(error, freedom, level, target)
            designs.append(
                {
                    **about,
                    **_no_design(rollout),
                    "assumption": assumption,
                    "icc": own.icc,
                    "cac": cac,
                    "degrees_of_freedom": freedom,
                    "standard_error": error * sd,
                    "mdes_sd": mdes,
                    "mdes": mdes * sd,
                    "unit": unit,
                    "note": note,
                }
            )
        if outcome in primary and is_share:
            curves.append(
                _curve(rollout, own, economics, level, target, replications, seed).assign(**about, unit=unit, note=note)
            )
    after = _after(inference, programme_id, level, target)
    results = {
        "power_protocol": _protocol(economics, programme_id, primary, found),
        "power_correlations": pd.DataFrame(correlations),
        "power_design": pd.DataFrame(designs),
        "power_after": after,
        "power_curve": pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(),
    }
    tidy = {name: _tidy(name, frame) for name, frame in results.items()}
    return PowerResults(
        programme_id,
        tidy["power_protocol"],
        tidy["power_correlations"],
        tidy["power_design"],
        tidy["power_after"],
        tidy["power_curve"],
        _sentences(tidy, primary, target, level),
    )


def accepted_las(matched_pairs: pd.DataFrame, programme_id: str) -> dict[str, list[str]]:
    """By outcome, treatment LAs that were matched and their accepted comparators, from the results table."""
    mine = matched_pairs[(matched_pairs["programme_id"] == programme_id) & (matched_pairs["status"] == "accepted")]
    return {
        str(outcome): sorted({*group["treatment_la_id"].astype(str), *group["candidate_la_id"].astype(str)})
        for outcome, group in mine.groupby("outcome_id")
    }


def rollout_of(cells: pd.DataFrame) -> Rollout:
    """The roll-out of cells with la_id, quarter_start_date, children_count and treated_count."""
    las = tuple(sorted(cells["la_id"].unique()))
    quarters = sorted(pd.to_datetime(cells["quarter_start_date"]).unique())
    shape = (len(las), len(quarters))
    children, treated = np.zeros(shape), np.zeros(shape)
    row = cells["la_id"].map({la: i for i, la in enumerate(las)}).to_numpy(dtype=np.int64)
    column = pd.to_datetime(cells["quarter_start_date"]).map({q: i for i, q in enumerate(quarters)})
    place = (row, column.to_numpy(dtype=np.int64))
    count = cells["children_count"].to_numpy(dtype=np.float64)
    children[place] = count
    treated[place] = cells["treated_count"].to_numpy(dtype=np.float64) / np.where(count > 0, count, 1.0)
    return Rollout(las, tuple(pd.Timestamp(q).date() for q in quarters), treated, children)


def _cells(connection: duckdb.DuckDBPyConnection, programme_id: str) -> pd.DataFrame:
    """Children with an outcome by LA and quarter, all and those whom the programme has not reached."""
    return connection.execute(
        f"""
        select
            outcome_id,
            la_id,
            cast(date_trunc('quarter', anchor_date) as date) as quarter_start_date,
            count(*) as children_count,
            count(*) filter (where is_treated) as treated_count,
            count(*) filter (where not is_treated) as untreated_count,
            coalesce(sum(outcome_value) filter (where not is_treated), 0) as untreated_sum,
            coalesce(sum(outcome_value * outcome_value) filter (where not is_treated), 0) as untreated_square_sum
        from {SCHEMA}.fct_outcome_values
        where programme_id = ? and is_default_reading and is_in_sample and is_fully_observed
            and outcome_value is not null
        group by all
        order by all
        """,
        [programme_id],
    ).df()


def _members(
    roles: pd.DataFrame, outcome: str, comparators: Mapping[str, Sequence[str]] | None
) -> tuple[set[str], str]:
    if comparators is not None and outcome in comparators:
        return set(comparators[outcome]), "treatment LAs and accepted comparators"
    able = roles[(roles["role"] == "treatment") | roles["is_matching_candidate"].astype(bool)]
    return set(able["la_id"]), "treatment LAs and every LA that may serve as a comparator: no pairs were given"


def _autocorrelations(own: Correlations) -> list[tuple[str, float]]:
    shown = [(f"cluster autocorrelation {value:g}", value) for value in SHOWN_AUTOCORRELATIONS]
    return [(OWN, own.cac), *shown] if math.isfinite(own.cac) else shown


def _curve(
    rollout: Rollout,
    own: Correlations,
    economics: Economics,
    level: float,
    target: float,
    replications: int | None,
    seed: int | None,
) -> pd.DataFrame:
    """Power (0 to 1) against the size of an effect in points: by formula and by simulation."""
    sd, freedom = share_sd(own.mean), float(rollout.la_count - 1)
    cac = own.cac if math.isfinite(own.cac) else 1.0
    error = math.sqrt(design_variance(rollout, own.icc, cac)) * sd
    reach = _CURVE_REACH * mdes_after(error, freedom, level, target)
    sizes = np.linspace(0.0, reach, _CURVE_POINTS)
    formula = pd.DataFrame(
        {
            "method": FORMULA,
            "effect": 100 * sizes,
            "power": [power_at(size, error, freedom, level) for size in sizes],
            "monte_carlo_error": math.nan,
        }
    )
    lasting = own.la_variance / own.outcome_sd**2
    count = int(economics.number("power_replications")) if replications is None else replications
    start = int(economics.number("economics_seed")) if seed is None else seed
    shares = draw_shares(rollout, own.mean, lasting, movements(economics), count, start)
    try:
        simulated = as_frame(
            simulate_power(
                rollout,
                shares,
                # Fewer children is what programmes hope for; the table holds the size.
                [-reach / _CURVE_REACH * share for share in _SIMULATED_AT],
                level,
                start + 1,
                bootstrap_replications=min(count, _BOOTSTRAP_REPLICATIONS),
            )
        )
    except NotEstimableError:
        # One LA carries the effect alone: the jackknife is not defined, and neither is its power.
        return formula
    simulated = simulated.assign(
        effect=100 * simulated["realised_effect"].abs(), method="simulated: " + simulated["method"]
    )
    return pd.concat([formula, simulated[["method", "effect", "power", "monte_carlo_error"]]], ignore_index=True)


def movements(economics: Economics) -> Movements:
    """How shares of LAs move in simulated studies, from the rows of seeds/economics/power_simulation.csv."""
    first, last = economics.day("common_shock_first_day"), economics.day("common_shock_last_day")
    return Movements(
        shock_sd=economics.number("shock_sd"),
        shock_autocorrelation=economics.number("shock_autocorrelation"),
        national_step_sd=economics.number("national_step_sd"),
        la_trend_sd=economics.number("la_trend_sd"),
        common_shock=(first, last, economics.number("common_shock_size")),
        common_shock_sensitivity_sd=economics.number("common_shock_sensitivity_sd"),
    )


def protocol_variants(assumptions: Mapping[str, float], own: Correlations | None = None) -> pd.DataFrame:
    """The protocol's table recomputed: with what it leaves unsaid, without it, and by other readings of its clusters.

    Parameters
    ----------
    assumptions: by name, the rows of seeds/economics/power_assumptions.csv of one programme.
    own: adds a row with the data's own ICC and baseline.

    Returns
    -------
    One row per variant: clusters, children per cluster, ICC, level-2 R2, multiplier, effect in standard deviations and
    in percentage points, and whether it rounds to the printed value.

    Raises SfpcError where an assumption is missing.
    """
    missing = [name for name in _POWER_TABLE if name not in assumptions]
    if missing:
        raise SfpcError(f"power_assumptions: no row for {', '.join(missing)}")
    a = assumptions
    las, years = int(a["la_count"]), int(a["year_count"])
    yearly, total, r2, printed = a["children_per_la_year"], a["children_per_la"], a["level2_r2"], a["mdes"]
    la_years = las * years
    table: list[tuple[str, int, float, float, float, float | None, float, str]] = [
        (
            "LA-years as clusters, with the unstated level-2 R2", la_years, yearly, r2, a["icc"], None, a["baseline"],
            f"reproduces the table; it does not state that LA-years are the clusters nor a level-2 R2 of {r2:g}",
        ),
        ("LA-years as clusters, nothing added", la_years, yearly, 0.0, a["icc"], None, a["baseline"], "as stated"),
        (
            "the same as the first, with t", la_years, yearly, r2, a["icc"], la_years - 2.0, a["baseline"],
            "degrees of freedom: clusters less 2",
        ),
        ("LAs as clusters", las, total, 0.0, a["icc"], None, a["baseline"], "the table's own number of clusters"),
        (
            "LAs as clusters, with t", las, total, 0.0, a["icc"], las - 2.0, a["baseline"],
            "degrees of freedom: LAs less 2",
        ),
        (
            "as many comparison LAs beside them", 2 * las, total, 0.0, a["icc"], 2 * las - 2.0, a["baseline"],
            "the table counts treatment LAs only; with t",
        ),
        (
            "LA-years of both arms", 2 * la_years, yearly, 0.0, a["icc"], None, a["baseline"],
            "the table counts treatment LAs only",
        ),
    ]  # fmt: skip
    if own is not None:
        table.append(
            (
                "the first, with the ICC and baseline of the data", la_years, yearly, r2, own.icc, None, own.mean,
                "ICC and baseline as estimated below",
            )
        )  # fmt: skip
    level, power, sides = a["significance_level"], a["power"], int(a["sides"])
    rows = []
    for variant, clusters, children, level2, icc, freedom, baseline, note in table:
        mdes = mdes_cluster(
            clusters, children, icc, share_treated=a["share_treated"], level2_r2=level2, level1_r2=a["level1_r2"],
            significance_level=level, power=power, freedom=freedom, sides=sides,
        )  # fmt: skip
        rows.append(
            {
                "variant": variant,
                "cluster_count": clusters,
                "children_per_cluster": children,
                "icc": icc,
                "share_treated": a["share_treated"],
                "level2_r2": level2,
                "multiplier": multiplier(level, power, freedom, sides),
                "mdes_sd": mdes,
                "mdes_points": 100 * mdes * share_sd(baseline),
                "printed_mdes_sd": printed,
                "is_printed_value": round(mdes, 3) == round(printed, 3),
                "note": note,
                "clause": CLAUSE,
            }
        )
    return pd.DataFrame(rows)


def _protocol(
    economics: Economics, programme_id: str, primary: Sequence[str], found: Mapping[str, Correlations]
) -> pd.DataFrame:
    assumptions = economics.power_table.get(programme_id)
    if not assumptions:
        return pd.DataFrame()
    own = next((found[outcome] for outcome in primary if outcome in found), None)
    return protocol_variants(assumptions, own).assign(programme_id=programme_id)


def _after(inference: pd.DataFrame | None, programme_id: str, level: float, target: float) -> pd.DataFrame:
    """Minimum detectable effects of what was estimated, for methods with a standard error and degrees of freedom."""
    if inference is None:
        return pd.DataFrame()
    mine = inference[(inference["programme_id"] == programme_id) & (inference["scale"] != "odds ratio")]
    rows = []
    for row in mine.to_dict("records"):
        error = float(row["standard_error"])
        freedom = float(row["degrees_of_freedom"])
        mdes = mdes_after(error, freedom, level, target)
        if not math.isfinite(mdes):
            continue
        rows.append(
            {
                "programme_id": programme_id,
                "outcome_id": row["outcome_id"],
                "specification_id": row["specification_id"],
                "inference_method": row["inference_method"],
                "estimate": float(row["estimate"]),
                "standard_error": error,
                "degrees_of_freedom": freedom,
                "mdes": mdes,
                "unit": row["scale"],
                "note": None,
                "clause": CLAUSE,
            }
        )
    return pd.DataFrame(rows)


def _as_row(own: Correlations) -> dict[str, Any]:
    return {
        "mean": own.mean,
        "outcome_sd": own.outcome_sd,
        "icc": own.icc,
        "icc_error": own.icc_error,
        "cac": own.cac,
        "cac_error": own.cac_error,
        "la_sd": math.sqrt(own.la_variance),
        "la_period_sd": math.sqrt(own.la_period_variance),
        "la_count": own.la_count,
        "quarter_count": own.period_count,
        "children_count": own.children_count,
        "note": "; ".join(own.notes) or None,
    }


def _no_correlations(cells: pd.DataFrame) -> dict[str, Any]:
    unknown = ("mean", "outcome_sd", "icc", "icc_error", "cac", "cac_error", "la_sd", "la_period_sd")
    return {
        **dict.fromkeys(unknown, math.nan),
        "la_count": int(cells["la_id"].nunique()),
        "quarter_count": int(cells["period"].nunique()),
        "children_count": int(cells["children_count"].sum()),
    }


def _no_design(rollout: Rollout) -> dict[str, Any]:
    unknown = ("icc", "cac", "degrees_of_freedom", "standard_error", "mdes_sd", "mdes")
    return {
        **dict.fromkeys(unknown, math.nan),
        "assumption": None,
        "treated_la_count": rollout.treated_las,
        "comparison_la_count": rollout.la_count - rollout.treated_las,
        "quarter_count": len(rollout.periods),
        "children_count": int(rollout.children.sum()),
    }


def _tidy(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Exactly the declared columns, whatever was there to be said."""
    return frame.reindex(columns=list(POWER_TABLES[name])).reset_index(drop=True)


def _level(connection: duckdb.DuckDBPyConnection) -> float:
    row = connection.execute(
        f"select value from {SCHEMA}.dim_evaluation_settings where setting = 'significance_level'"
    ).fetchone()
    if row is None:
        raise SfpcError("dim_evaluation_settings: no row for 'significance_level'")
    return float(row[0])


def _sentences(
    tables: Mapping[str, pd.DataFrame], primary: Sequence[str], target: float, level: float
) -> tuple[str, ...]:
    """What an analyst should take from the tables."""
    said = []
    protocol = tables["power_protocol"]
    if len(protocol):
        first, plain = protocol.iloc[0], protocol.iloc[1]
        said.append(
            f"The protocol's table gives {first['printed_mdes_sd']:.3f} standard deviations. That is"
            f" {first['mdes_sd']:.4f} with {first['cluster_count']} LA-years as clusters and a level-2 R2 of"
            f" {first['level2_r2']:.2f}, which the table does not state; without it, it is {plain['mdes_sd']:.4f}"
            f" ({plain['mdes_points']:.1f} points)."
        )
    correlations = tables["power_correlations"]
    mine = correlations[correlations["outcome_id"].isin(list(primary)) & correlations["icc"].notna()]
    for row in mine.to_dict("records"):
        lasting = (
            "" if math.isnan(row["cac"]) else f", of which a share of {row['cac']:.2f} lasts from quarter to quarter"
        )
        said.append(f"In these data the ICC of the primary outcome is {row['icc']:.4f}{lasting}.")
    design = tables["power_design"]
    mine = design[design["outcome_id"].isin(list(primary)) & (design["assumption"] == OWN)]
    for row in mine.to_dict("records"):
        said.append(
            f"With {row['treated_la_count']} treatment and {row['comparison_la_count']} comparison LAs, their dates and"
            f" sizes, an effect of {row['mdes']:.2f} {row['unit']} is found {100 * target:.0f} times in 100 at the"
            f" {100 * level:g}% level, by the formula; covariates and weights are not in it."
        )
    return tuple(said)
