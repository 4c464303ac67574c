"""Governance tests T1 and T2: nobody works a cell out of what was released, and the primary mask is an oracle's.

The package acro cannot be installed beside these versions, so the oracle of T2 is written here: loops over children, no
line shared with the masks. The attacker of T1 is written here too. He knows what is published, the rules, and the
dimensions; his unknowns are the cells of one table of all dimensions together, which the door's audit does not use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from release_worlds import children, door, profile, table, totals
from sfpc.release.audit import Guarded, audit
from sfpc.release.door import Release
from sfpc.release.judge import FEW, TO_PROTECT, ReleasedTable, judge
from sfpc.release.masks import hidden_children, hidden_events, hidden_values, interval
from sfpc.release.profiles import Profile
from sfpc.release.tables import Cube, Dimension, Offer, RefusedError, Statistic, lay_out, of_children

EVENT = "has_event"
# What an attacker reads out of a published number: everything that rounds to it and is not hidden.
Reading = dict[tuple[tuple[str, str], ...], tuple[float, float]]


def read(tables: Sequence[ReleasedTable], rules: Profile) -> Reading:
    """Intervals of all cells that the tables publish, and of those that they hide."""
    found: Reading = {}

    def note(pairs: dict[str, str], shown: Any, least: float) -> None:
        key = tuple(sorted(pairs.items()))
        if shown == rules.marker:
            told = (float(rules.zero_is_shown), math.inf)
        else:
            reach = [n for n in range(max(0, shown - 10), shown + 11) if nearest(n, rules.rounding_base) == shown]
            told = (max(float(reach[0]), least if shown else 0.0), float(reach[-1]))
        before = found.get(key, (0.0, math.inf))
        found[key] = max(told[0], before[0]), min(told[1], before[1])

    for held in tables:
        for row in held.frame.to_dict("records"):
            pairs = {name: row[name] for name in held.dimensions if row[name] != "all"}
            note(pairs, row["children"], float(rules.count_minimum))
            if "children_with_it" in row:
                note({**pairs, EVENT: "yes"}, row["children_with_it"], float(rules.count_minimum))
                if row["children_with_it"] != rules.marker:
                    key = tuple(sorted({**pairs, EVENT: "no"}.items()))
                    found[key] = (max(float(rules.non_event_minimum), found.get(key, (0.0, 0.0))[0]), math.inf)
    return found


def nearest(count: int, base: int) -> int:
    return math.floor(count / base + 0.5) * base


def attack(
    reading: Reading, dimensions: dict[str, list[str]]
) -> dict[tuple[tuple[str, str], ...], tuple[float, float]]:
    """Smallest and largest value of every published or hidden cell, by linear programming over all dimensions."""
    names = list(dimensions)
    unknown = list(product(*dimensions.values()))
    rows = {
        key: np.array([float(all(cell[names.index(n)] == v for n, v in key)) for cell in unknown]) for key in reading
    }
    limits, ends = [], []
    for key, (low, high) in reading.items():
        if math.isfinite(high):
            limits.append(rows[key])
            ends.append(high)
        if low > 0:
            limits.append(-rows[key])
            ends.append(-low)
    found = {}
    for key, (low, high) in reading.items():
        if high == low:
            continue
        least = linprog(rows[key], A_ub=np.array(limits), b_ub=ends, bounds=(0, None))
        most = linprog(-rows[key], A_ub=np.array(limits), b_ub=ends, bounds=(0, None))
        assert least.status == 0 and most.status in (0, 3), "no set of children fits what was published"
        found[key] = (float(least.fun), -float(most.fun) if most.status == 0 else math.inf)
    return found


def values_left(low: float, high: float) -> float:
    """How many whole numbers a cell can still be."""
    return math.inf if math.isinf(high) else math.floor(high + 1e-6) - math.ceil(low - 1e-6) + 1


def worst(tables: Sequence[ReleasedTable], rows: pd.DataFrame, names: Sequence[str], rules: Profile) -> tuple[int, int]:
    """Cells that are recovered exactly, and the fewest values that a hidden cell can still have."""
    dimensions = {name: sorted(set(rows[name])) for name in names}
    if any("children_with_it" in held.frame.columns for held in tables):
        dimensions[EVENT] = ["no", "yes"]
    reading = read(tables, rules)
    found = attack(reading, dimensions)
    exact = sum(values_left(*ends) <= 1 for key, ends in found.items())
    # Children without the event have no column; that there are enough of them is known of every shown rate.
    open_ = [key for key, told in reading.items() if told[0] <= 1 and math.isinf(told[1])]
    hidden = [values_left(*found[key]) for key in open_]
    return exact, int(min([99, *hidden]))


def world(seed: int) -> tuple[np.random.Generator, pd.DataFrame]:
    draws = np.random.default_rng(seed)
    return draws, children(draws, int(draws.integers(30, 500)), a=4, b=int(draws.integers(2, 5)), c=3)


@pytest.mark.parametrize("block", range(6))
def test_t1_no_cell_of_a_table_with_margins_is_recovered(block: int) -> None:
    """DP.5: 150 tables of two dimensions with all totals, under each profile."""
    names = ("srs_strict", "opensafely", "dfe_publication")
    for seed in range(25 * block, 25 * (block + 1)):
        _, rows = world(seed)
        rules = profile(names[seed % 3])
        found = judge([of_children("counts", "t", rows, "child_id", totals("a", "b"), "p")], rules)
        if not found.tables:
            continue
        exact, fewest = worst(found.tables, rows, ("a", "b"), rules)
        assert exact == 0, f"seed {seed}"
        assert fewest > rules.audit_suppressed_width, f"seed {seed}"


@pytest.mark.parametrize("block", range(6))
def test_t1_no_cell_of_linked_tables_is_recovered(block: int) -> None:
    """DP.5: 90 sets of linked tables: each pair of three dimensions, rates among them, one population."""
    for seed in range(1_000 + 15 * block, 1_015 + 15 * block):
        _, rows = world(seed)
        rules = profile("srs_strict" if seed % 2 else "opensafely")
        offers = [
            of_children("ab", "t", rows, "child_id", totals("a", "b"), "p"),
            of_children("bc", "t", rows, "child_id", totals("b", "c"), "p"),
            of_children("ac", "t", rows, "child_id", totals("a", "c"), "p"),
            of_children("rates", "t", rows, "child_id", totals("a"), "p", event=EVENT),
        ]
        found = judge(offers, rules)
        if found.tables:
            exact, fewest = worst(found.tables, rows, ("a", "b", "c"), rules)
            assert exact == 0, f"seed {seed}"
            assert fewest >= 2, f"seed {seed}"


def test_t1_no_cell_is_recovered_from_a_release_and_earlier_ones(tmp_path: Path) -> None:
    """DP.5: 40 series of three releases on the same children, finer each time, put together by the attacker."""
    rules = profile()
    several = 0
    for seed in range(2_000, 2_040):
        _, rows = world(seed)
        series = [
            of_children("one", "t", rows, "child_id", totals("a"), "p"),
            of_children("two", "t", rows, "child_id", totals("a", "b"), "p"),
            of_children("three", "t", rows, "child_id", totals("b"), "p", event=EVENT),
        ]
        released: list[ReleasedTable] = []
        for offer in series:
            try:
                released += door(tmp_path / str(seed)).release([offer]).judgement.tables
            except RefusedError:
                continue
        several += len(released) > 1
        if released:
            exact, fewest = worst(released, rows, ("a", "b"), rules)
            assert exact == 0, f"seed {seed}"
            assert fewest > rules.audit_suppressed_width, f"seed {seed}"
    assert several > 20


def test_the_attacker_of_t1_can_attack() -> None:
    """With true margins and small cells hidden, as many a table is published, he recovers many cells."""
    rules = replace(profile(), rounding_base=1)
    hidden = recovered = 0
    for seed in range(40):
        _, rows = world(seed)
        laid = lay_out(of_children("counts", "t", rows, "child_id", totals("a", "b"), "p"))
        reading: Reading = {}
        for (_, pairs), count in zip(laid.cells, laid.frame["children"], strict=True):
            reading[pairs] = (0.0, 9.0) if count < 10 and len(pairs) == 2 else (float(count), float(count))
        found = attack(reading, {name: sorted(set(rows[name])) for name in ("a", "b")})
        hidden += len(found)
        recovered += sum(values_left(*ends) <= 1 for ends in found.values())
    assert hidden > 100
    assert recovered > 0.2 * hidden
    assert rules.rounding_base == 1


def test_four_twelves_are_not_given_away_by_their_total() -> None:
    """Four cells that round to 10 and a total that rounds to 50 can only be 12 each: something has to go."""
    rules = profile()
    exposed = audit(
        lay_out(table([12, 12, 12, 12])).cubes,
        {("everybody", (("group", f"level {i}"),)): (10.0, 12.0) for i in range(4)} | {("everybody", ()): (48.0, 52.0)},
        [Guarded(("everybody", (("group", f"level {i}"),)), 12, 1) for i in range(4)],
    )
    assert {(e.low, e.high) for e in exposed} == {(12, 12)}
    (released,) = judge([table([12, 12, 12, 12])], rules).tables
    assert rules.marker in set(released.frame["children"])


def cube(names: str, leaves: Sequence[Sequence[str]], counts: Any) -> Cube:
    numbers = np.array(counts, dtype=np.int64)
    groups = tuple(() for _ in names)
    return Cube("p", (), tuple(names), tuple(map(tuple, leaves)), groups, numbers, np.zeros(numbers.shape, dtype=bool))


def test_the_audit_finds_what_counting_every_possible_table_finds() -> None:
    """All tables of two by two with up to 24 children a cell, against the audit's two worlds."""
    names = [("a0", "b0"), ("a0", "b1"), ("a1", "b0"), ("a1", "b1")]
    grid = np.stack(np.meshgrid(*[np.arange(25)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    exposed_somewhere = safe_somewhere = 0
    for seed in range(25):
        draws = np.random.default_rng(seed)
        counts = draws.integers(0, 7, size=4)
        table_ = cube("ab", [("a0", "a1"), ("b0", "b1")], counts.reshape(2, 2))
        base = int(draws.choice([1, 3, 5]))
        cells = {
            key: np.array([all(level in name for _, level in key) for name in names], dtype=float)
            for key in table_.sums
        }
        known, possible = {}, np.ones(len(grid), dtype=bool)
        for key, line in cells.items():
            count = int(line @ counts)
            # The whole is always told, so that every table is among those that are counted.
            if key and draws.random() < 0.5:
                continue
            known["p", key] = interval(count, base, 0)
            values = grid @ line
            possible &= (values >= known["p", key][0]) & (values <= known["p", key][1])
        if int(known["p", ()][1]) > 24:
            continue
        guarded = [Guarded(("p", key), int(line @ counts), int(draws.integers(1, 6))) for key, line in cells.items()]
        guarded = guarded[:8]
        reach = {key: (grid[possible] @ line).astype(int) for key, line in cells.items()}
        truth = {g.key: (reach[g.key[1]].min(), reach[g.key[1]].max()) for g in guarded}
        narrow = {g.key: truth[g.key] for g in guarded if truth[g.key][1] - truth[g.key][0] < g.width}
        found = {e.key: (e.low, e.high) for e in audit([table_], known, guarded)}
        assert found == narrow, seed
        exposed_somewhere += len(narrow)
        safe_somewhere += len(guarded) - len(narrow)
    assert exposed_somewhere > 5 and safe_somewhere > 5


def test_three_tables_tell_more_than_each_pair_of_them() -> None:
    """a by c and b by c leave 3 to 6 for a cell of a by b; their totals alone leave 0 to 6."""
    ab = cube("ab", [("a0", "a1"), ("b0", "b1")], [[4, 2], [22, 21]])
    ac = cube("ac", [("a0", "a1"), ("c0", "c1")], [[6, 0], [3, 40]])
    bc = cube("bc", [("b0", "b1"), ("c0", "c1")], [[6, 20], [3, 20]])
    known = {("p", key): (float(n), float(n)) for held in (ac, bc) for key, n in held.sums.items() if len(key) == 2}
    secret = Guarded(("p", (("a", "a0"), ("b", "b0"))), 4, 4)
    (exposed,) = audit([ab, ac, bc], known, [secret])
    assert (exposed.low, exposed.high) == (3, 6)
    without_c = {("p", key): (float(n), float(n)) for key, n in ab.sums.items() if len(key) == 1}
    assert audit([ab], without_c, [secret]) == []


def test_tables_that_share_a_cell_that_neither_shows_are_linked() -> None:
    """Two tables without totals: the children of the one add up to those of the other, so 53 less 50 is known."""
    one = replace(table({"a0": 3, "a1": 50}, "one"), frame=pd.DataFrame({"group": ["a0", "a1"], "children": [3, 50]}))
    one = replace(one, dimensions=(Dimension("group"),))
    frame = pd.DataFrame({"other": ["b0", "b1"], "children": [20, 33]})
    two = Offer("two", "t", Statistic.COUNT, frame, (Dimension("other"),), "everybody")
    rules = profile("dfe_publication")
    found = judge([one, two], rules)
    shown = [value for held in found.tables for value in held.frame["children"]]
    assert shown.count(rules.marker) + 2 * len(found.refused) > 1, "one more has to go"
    assert list(judge([one], rules).tables[0].frame["children"]) == ["c", 50]


def oracle(rows: pd.DataFrame, names: Sequence[str]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Every cell, by loops over rows: its children, how many have the event, and what each adds up to."""
    cells: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows.to_dict("records"):
        for chosen in product(*[(row[name], "all") for name in names]):
            cell = cells.setdefault(chosen, {"amounts": {}, "events": set()})
            cell["amounts"][row["child_id"]] = cell["amounts"].get(row["child_id"], 0.0) + row["amount"]
            if row[EVENT]:
                cell["events"].add(row["child_id"])
    return cells


def too_few(cell: dict[str, Any]) -> bool:
    return len(cell["amounts"]) < 10


def few_with_or_without(cell: dict[str, Any]) -> bool:
    with_event = len(cell["events"])
    return with_event < 10 or len(cell["amounts"]) - with_event < 10


def dominated(cell: dict[str, Any]) -> bool:
    parts = sorted(cell["amounts"].values(), reverse=True)
    whole = sum(parts)
    return len(parts) < 10 or whole == 0 or parts[0] / whole > 0.4375 or sum(parts[:2]) / whole > 0.85


def test_t2_primary_mask_is_that_of_an_independent_oracle() -> None:
    """DP.5: threshold, events and non-events, dominance: more than 2,000 cells each, children with several rows."""
    rules = profile()
    judged = {"threshold": 0, "events": 0, "dominance": 0}
    hidden = dict.fromkeys(judged, 0)
    for seed in range(130):
        draws = np.random.default_rng(5_000 + seed)
        rows = children(draws, int(draws.integers(30, 260)), a=4, b=4)
        rows["amount"] = np.round(draws.pareto(0.9, size=len(rows)) * 10)
        again = rows.sample(frac=0.5, random_state=seed)
        again = again.assign(has_event=draws.random(len(again)) < 0.1, amount=3.0)
        rows = pd.concat([rows, again], ignore_index=True)
        cells = oracle(rows, ("a", "b"))
        dimensions = totals("a", "b")
        made = {
            "threshold": of_children("t", "t", rows, "child_id", dimensions, "p"),
            "events": of_children("t", "t", rows, "child_id", dimensions, "p", event=EVENT),
            "dominance": of_children("t", "t", rows, "child_id", dimensions, "p", amount="amount"),
        }
        for rule, says in (("threshold", too_few), ("events", few_with_or_without), ("dominance", dominated)):
            laid = lay_out(made[rule])
            if rule == "threshold":
                mask = hidden_children(laid, rules)
            elif rule == "events":
                mask = hidden_events(laid, rules)
            else:
                mask = hidden_values(laid, rules)["amount"]
            for row, is_hidden in zip(laid.frame.to_dict("records"), mask, strict=True):
                cell = cells.get((row["a"], row["b"]), {"amounts": {}, "events": set()})
                assert bool(is_hidden) == says(cell), (rule, seed, row)
                judged[rule] += 1
                hidden[rule] += bool(is_hidden)
    assert min(judged.values()) > 2_000, judged
    assert all(0.1 * judged[rule] < hidden[rule] < 0.95 * judged[rule] for rule in judged), hidden


def spanned(released: ReleasedTable, offer: Offer, column: str) -> list[str]:
    """Cells whose value follows from published ones, children being known: by rank, not by the door's least squares."""
    names = [d.name for d in offer.dimensions]
    leaves = [sorted(set(offer.frame[name]) - {"all"}) for name in names]
    grid = list(product(*leaves))
    rows, hidden = [], []
    for row in released.frame.to_dict("records"):
        line = np.array([float(all(row[n] in ("all", v) for n, v in zip(names, cell, strict=True))) for cell in grid])
        if row[column] == released.marker:
            hidden.append((line, str(row)))
        elif row[column] != "":
            rows.append(line)
    if not rows:
        return []
    rank = np.linalg.matrix_rank(np.array(rows))
    return [what for line, what in hidden if np.linalg.matrix_rank(np.array([*rows, line])) == rank]


def test_no_hidden_mean_or_sum_follows_from_those_of_groups() -> None:
    """DP.5: a mean tells its sum, and a sum less the others is the hidden one."""
    rules = profile()
    checked = 0
    for seed in range(45):
        draws = np.random.default_rng(9_000 + seed)
        rows = children(draws, int(draws.integers(60, 400)), a=4, b=3)
        for kind, column in ((Statistic.VALUE, "mean"), (Statistic.SUM, "amount")):
            offer = of_children("t", "t", rows, "child_id", totals("a", "b"), "p", amount="amount", statistic=kind)
            for released in judge([offer], rules).tables:
                shown = offer.frame.set_index(["a", "b"])
                has_children = [what for what in spanned(released, offer, column)]
                empty = [
                    what
                    for what in has_children
                    if any(f"'a': '{a}'" in what and f"'b': '{b}'" in what for a, b in product(*_levels(rows)))
                    and not any(f"'a': '{a}'" in what and f"'b': '{b}'" in what for a, b in shown.index)
                ]
                assert len(has_children) == len(empty), (seed, kind, has_children)
                checked += 1
    assert checked > 60


def _levels(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    return [*sorted(set(rows["a"])), "all"], [*sorted(set(rows["b"])), "all"]


def test_children_of_a_part_cannot_be_taken_from_those_of_all() -> None:
    """A table of some of the children beside one of all: what is left between them is a cell, too (differencing)."""
    rules = profile()
    everybody = table([120, 240, 200], "all_children")
    most = table([120, 237, 200], "most_children", within={"kept": "yes"})
    found = judge([everybody, most], rules)
    reading = {key: (c.low, c.high) for key in found.cells for c in found.cells[key] for key in [c.key]}
    for level, left in (("level 1", 3), ("level 0", 0)):
        whole = reading[("everybody", (("group", level),))]
        part = reading[("everybody", (("group", level), ("kept", "yes")))]
        assert whole[1] - part[0] - max(0.0, whole[0] - part[1]) >= rules.audit_suppressed_width, left


def test_a_wide_release_is_proven_in_time(tmp_path: Path) -> None:
    """150 areas by arm with an event, and the same children by quarter: proven, and most of it shown."""
    draws = np.random.default_rng(7)
    rows = pd.DataFrame(
        {
            "child_id": [f"child {i}" for i in range(60_000)],
            "la": [f"la {i:03d}" for i in draws.choice(150, 60_000, p=draws.dirichlet(np.full(150, 2.0)))],
            "arm": draws.choice(["treated", "compared"], 60_000),
            "quarter": draws.choice([f"q{i}" for i in range(8)], 60_000),
            EVENT: draws.random(60_000) < 0.06,
        }
    )
    released: Release = door(tmp_path).release(
        [
            of_children("by_la", "t", rows, "child_id", totals("la", "arm"), "p", event=EVENT),
            of_children("by_quarter", "t", rows, "child_id", totals("quarter", "arm"), "p", event=EVENT),
        ]
    )
    assert len(released.judgement.tables[0].frame) == 151 * 3
    reasons = [cell.reason for cells in released.judgement.cells.values() for cell in cells if cell.key[1]]
    # Nearly all that is hidden is small itself: rounding protects the rest, so little has to go for its sake.
    assert reasons.count(FEW) > 50
    assert reasons.count(TO_PROTECT) < 0.1 * reasons.count(FEW)
