"""What somebody who has every released table can work out of a hidden or rounded cell (DP.5).

Unknown are the leaf cells of all tables, whole numbers from 0 on. Known is: every shown cell lies in its rounding
interval, every hidden one is at least the smallest hidden value, tables of one population agree on the cells they
share, and a table of some of the children holds at most as many as a table of all of them. For every cell that must not
be known, HiGHS looks for two such worlds that lie far enough apart; where there are none, the cell can be worked out.

The worlds are whole numbers, not fractions: the answer is exact and never kinder than that of an attacker who uses
linear programming alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from sfpc.errors import SfpcError
from sfpc.release.tables import CellKey, Cube, as_pairs

FREE = float("inf")
# Unknown cells of a joint table that ties three or more tables of one population together; larger ones are left out.
_JOINT_LIMIT = 4_000
_ROUNDS = 8
_SECONDS = 10.0
_SEED = 20210701
# Exposed cells told at a time: hiding what gives one away mostly covers others, too.
_MOST = 8

Interval = tuple[float, float]


class ContradictionError(SfpcError):
    """Tables that no set of children fits: they do not count the same children although they say so."""


@dataclass(frozen=True)
class Guarded:
    """A cell that must not be known: its true count, and how far apart its possible values must lie."""

    key: CellKey
    count: int
    width: int


@dataclass(frozen=True)
class Exposed:
    """A cell that can be worked out too closely: the smallest and the largest value it can have.

    needed: the shown cells that an attacker needs for it, as far as known.
    """

    key: CellKey
    count: int
    low: int
    high: int
    needed: tuple[CellKey, ...]


@dataclass
class System:
    """Everything released, as rows over unknown leaf cells: low <= rows @ x <= high."""

    cubes: Sequence[Cube]
    offsets: list[int] = field(default_factory=list)
    size: int = 0
    rows: list[tuple[NDArray[np.int64], NDArray[np.float64], float, float, CellKey | None]] = field(
        default_factory=list
    )
    lower: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    upper: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    differences: list[tuple[CellKey, NDArray[np.int64], NDArray[np.float64], int]] = field(default_factory=list)

    def where(self, key: CellKey) -> list[NDArray[np.int64]]:
        """The unknowns that make up a cell, once for every cube that has it."""
        population, pairs = key
        return [
            offset + cube.parts[pairs]
            for cube, offset in zip(self.cubes, self.offsets, strict=True)
            if cube.population == population and pairs in cube.parts
        ]


def build_system(cubes: Sequence[Cube], known: Mapping[CellKey, Interval]) -> System:
    """Set up what is known of the cells of `cubes`; `known` holds the interval of every cell that anything tells of."""
    system = System(cubes)
    for cube in cubes:
        system.offsets.append(system.size)
        system.size += cube.counts.size
    lower, upper = np.zeros(system.size), np.full(system.size, FREE)
    for cube, offset in zip(cubes, system.offsets, strict=True):
        block = slice(offset, offset + cube.counts.size)
        upper[block][cube.structural.ravel()] = 0.0
    for key, (low, high) in known.items():
        for unknowns in system.where(key):
            if len(unknowns) == 1:
                place = unknowns[0]
                lower[place], upper[place] = max(lower[place], low), min(upper[place], high)
            system.rows.append((unknowns, np.ones(len(unknowns)), low, high, key))
    for first in range(len(cubes)):
        for second in range(first):
            _link(system, first, second)
    joint_size = _joint(system)
    system.lower = np.concatenate([lower, np.zeros(joint_size)])
    system.upper = np.concatenate([upper, np.full(joint_size, FREE)])
    return system


def _shared(a: Cube, b: Cube, name: str) -> tuple[str | None, ...]:
    """Levels of a dimension that two cubes both know; where their leaf levels differ, None stands for all of it."""
    leaves_a, leaves_b = a.leaves[a.names.index(name)], b.leaves[b.names.index(name)]
    if set(leaves_a) == set(leaves_b):
        return leaves_a
    known = [*leaves_a, *(level for level, _ in a.groups[a.names.index(name)])]
    return (None, *(level for level in known if _members(b, name, level) is not None))


def _members(cube: Cube, name: str, level: str) -> tuple[str, ...] | None:
    """The leaf levels that a level stands for in a cube; None where it does not know it."""
    if name not in cube.names:
        return None
    axis = cube.names.index(name)
    if level in cube.leaves[axis]:
        return (level,)
    return dict(cube.groups[axis]).get(level)


def _link(system: System, one: int, other: int) -> None:
    """Tie two cubes of one population together: equal on what they share, or one within the other."""
    a, b = system.cubes[one], system.cubes[other]
    if a.population != b.population:
        return
    inside_a, inside_b = dict(a.within), dict(b.within)
    restrict_a: dict[str, str] = {}
    restrict_b: dict[str, str] = {}
    narrower: set[str] = set()
    for name in sorted(set(inside_a) | set(inside_b)):
        if name in inside_a and name in inside_b:
            if inside_a[name] != inside_b[name]:
                return
        elif name in inside_a:
            if _members(b, name, inside_a[name]) is not None:
                restrict_b[name] = inside_a[name]
            else:
                narrower.add("a")
        elif _members(a, name, inside_b[name]) is not None:
            restrict_a[name] = inside_b[name]
        else:
            narrower.add("b")
    if len(narrower) == 2:
        return
    common = [name for name in a.names if name in b.names and name not in restrict_a and name not in restrict_b]
    for levels in _combinations([_shared(a, b, name) for name in common]):
        chosen = {name: level for name, level in zip(common, levels, strict=True) if level is not None}
        cell_a = as_pairs({**inside_a, **restrict_a, **chosen})
        cell_b = as_pairs({**inside_b, **restrict_b, **chosen})
        if cell_a not in a.parts or cell_b not in b.parts:
            continue
        places_a, places_b = system.offsets[one] + a.parts[cell_a], system.offsets[other] + b.parts[cell_b]
        places = np.concatenate([places_a, places_b])
        count_a, count_b = a.sums[cell_a], b.sums[cell_b]
        sign = np.concatenate([np.ones(len(places_a)), -np.ones(len(places_b))])
        if not narrower:
            # Two releases of different data do not agree; then nothing is known from the one about the other.
            if count_a == count_b:
                system.rows.append((places, sign, 0.0, 0.0, None))
            continue
        if "a" in narrower:
            sign, gap = -sign, count_b - count_a
        else:
            gap = count_a - count_b
        if gap >= 0:
            system.rows.append((places, sign, 0.0, FREE, None))
            small, large = (a, b) if "a" in narrower else (b, a)
            key = (a.population, as_pairs({**dict(large.within), **chosen, "rest without": _words(small.within)}))
            system.differences.append((key, places, sign, gap))


def _words(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {level}" for name, level in pairs)


def _combinations(choices: Sequence[Sequence[str | None]]) -> list[tuple[str | None, ...]]:
    found: list[tuple[str | None, ...]] = [()]
    for levels in choices:
        found = [(*start, level) for start in found for level in levels]
    return found


def _joint(system: System) -> int:
    """Tie three or more cubes of one population together by the table of all their dimensions; returns its size.

    Two tables that share a margin can always both come from one table of children; three need not, so that they can
    tell more together than each pair of them.
    """
    size = 0
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[int]] = {}
    for number, cube in enumerate(system.cubes):
        groups.setdefault((cube.population, cube.within), []).append(number)
    for members in groups.values():
        levels: dict[str, tuple[str, ...]] = {}
        usable = []
        for number in members:
            cube = system.cubes[number]
            theirs = dict(zip(cube.names, cube.leaves, strict=True))
            if all(levels.get(name, found) == found for name, found in theirs.items()):
                levels.update(theirs)
                usable.append(number)
        total = int(np.prod([len(found) for found in levels.values()])) if levels else 0
        if len(usable) < 3 or total > _JOINT_LIMIT or any(len(system.cubes[n].names) == len(levels) for n in usable):
            continue
        if not _agree([system.cubes[number] for number in usable]):
            continue
        names = list(levels)
        grid = np.arange(total).reshape([len(levels[name]) for name in names])
        for number in usable:
            cube = system.cubes[number]
            axes = [names.index(name) for name in cube.names]
            moved = np.moveaxis(grid, axes, range(len(axes))).reshape(cube.counts.size, -1)
            for place, parts in enumerate(moved):
                places = np.concatenate([[system.offsets[number] + place], system.size + size + parts])
                sign = np.concatenate([[1.0], -np.ones(len(parts))])
                system.rows.append((places, sign, 0.0, 0.0, None))
        size += total
    return size


def _agree(cubes: Sequence[Cube]) -> bool:
    """Whether tables of one population have equal shared margins, as tables of the same data do."""
    for a in cubes:
        for b in cubes:
            common = [name for name in a.names if name in b.names]
            rest_a = tuple(axis for axis, name in enumerate(a.names) if name not in common)
            rest_b = tuple(axis for axis, name in enumerate(b.names) if name not in common)
            margin_a = np.moveaxis(a.counts.sum(axis=rest_a), range(len(common)), _order(a, common))
            margin_b = np.moveaxis(b.counts.sum(axis=rest_b), range(len(common)), _order(b, common))
            if not np.array_equal(margin_a, margin_b):
                return False
    return True


def _order(cube: Cube, common: Sequence[str]) -> list[int]:
    """Where each remaining axis of a margin goes, so that the axes stand in alphabetical order of their names."""
    kept = [name for name in cube.names if name in common]
    return [sorted(common).index(name) for name in kept]


class Attacker:
    """Finds the smallest and the largest value that a cell can have, given everything that is known."""

    def __init__(self, system: System) -> None:
        self.system = system
        count = len(system.lower)
        places = [row[0] for row in system.rows]
        weights = [row[1] for row in system.rows]
        pointers = np.concatenate([[0], np.cumsum([len(p) for p in places])]) if places else np.zeros(1)
        columns = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
        data = np.concatenate(weights) if weights else np.zeros(0)
        self.matrix = csr_array((data, columns, pointers.astype(np.int64)), shape=(len(places), count))
        self.low = np.array([row[2] for row in system.rows])
        self.high = np.array([row[3] for row in system.rows])
        self.bounds = Bounds(system.lower, system.upper)
        self.is_whole = np.ones(count)
        self.solved = 0

    def world(self, objective: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """A world that fits everything released and makes `objective` smallest; None where none was found in time."""
        constraints = [LinearConstraint(self.matrix, self.low, self.high)] if len(self.low) else []
        # An objective without a lower end is one that nothing bounds; a ceiling keeps it finite.
        bounds = Bounds(self.system.lower, np.minimum(self.system.upper, self._ceiling()))
        self.solved += 1
        result = milp(
            objective,
            integrality=self.is_whole,
            bounds=bounds,
            constraints=constraints,
            options={"time_limit": _SECONDS, "mip_rel_gap": 0.0},
        )
        if result.status == 2:
            raise ContradictionError("the tables contradict each other: no set of children fits all of them")
        return None if result.x is None else np.round(result.x)

    def _ceiling(self) -> float:
        finite = self.high[np.isfinite(self.high)]
        return 10.0 * (float(finite.max()) if len(finite) else 0.0) + 1_000.0

    def needed(self, objective: NDArray[np.float64]) -> set[CellKey]:
        """Shown cells whose intervals hold the objective at its smallest value (dual values of the relaxation)."""
        finite_high, finite_low = np.isfinite(self.high), np.isfinite(self.low)
        upper = self.matrix[finite_high]
        lower = -self.matrix[finite_low]
        stacked = vstack([upper, lower])
        ends = np.concatenate([self.high[finite_high], -self.low[finite_low]])
        ceiling = np.minimum(self.system.upper, self._ceiling())
        result = linprog(objective, A_ub=stacked, b_ub=ends, bounds=np.column_stack([self.system.lower * 0.0, ceiling]))
        if result.status != 0:
            return set()
        owners = [*np.flatnonzero(finite_high), *np.flatnonzero(finite_low)]
        keys = (self.system.rows[owners[i]][4] for i in np.flatnonzero(np.abs(result.ineqlin.marginals) > 1e-9))
        return {key for key in keys if key is not None}


def audit(
    cubes: Sequence[Cube],
    known: Mapping[CellKey, Interval],
    guarded: Sequence[Guarded],
    seen: dict[CellKey, tuple[float, float]] | None = None,
) -> list[Exposed]:
    """Guarded cells that can be worked out too closely, the first few; none is the proof that is wanted.

    Parameters
    ----------
    cubes: of every table released now or earlier. known: interval of every shown, hidden or otherwise known cell.
    guarded: the cells that must not be known, with the distance that two possible values must have.
    seen: smallest and largest value of cells in worlds that were found before, when at least as much was known; what is
        found now is added. A world stays possible when more is hidden.
    """
    seen = {} if seen is None else seen
    system = build_system(cubes, known)
    attacker = Attacker(system)
    size = len(system.lower)
    goals: list[tuple[CellKey, NDArray[np.float64], int, int]] = []
    for cell in guarded:
        for unknowns in system.where(cell.key)[:1]:
            goal = np.zeros(size)
            goal[unknowns] = 1.0
            goals.append((cell.key, goal, cell.count, cell.width))
    cell_count = len(goals)
    widths = {cell.key: cell.width for cell in guarded}
    for key, places, sign, gap in system.differences:
        if key in widths:
            goal = np.zeros(size)
            np.add.at(goal, places, sign)
            goals.append((key, goal, gap, widths[key]))
    if not goals:
        return []
    matrix = np.array([goal for _, goal, _, _ in goals])
    low = np.array([min(float(count), seen.get(key, (FREE, -FREE))[0]) for key, _, count, _ in goals])
    high = np.array([max(float(count), seen.get(key, (FREE, -FREE))[1]) for key, _, count, _ in goals])
    width = np.array([float(w) for _, _, _, w in goals])
    draws = np.random.default_rng(_SEED)

    def remember() -> None:
        # Differences are left out: two of them can have one name and, over several releases, different children.
        for number, (key, _, _, _) in enumerate(goals[:cell_count]):
            before = seen.get(key, (FREE, -FREE))
            seen[key] = min(before[0], float(low[number])), max(before[1], float(high[number]))

    def see(world: NDArray[np.float64] | None) -> None:
        if world is not None:
            values = matrix @ world
            np.minimum(low, values, out=low)
            np.maximum(high, values, out=high)

    for turn in range(_ROUNDS):
        open_ = high - low < width
        if not open_.any():
            remember()
            return []
        signs = draws.choice([-1.0, 1.0], size=len(goals)) if turn > 1 else np.full(len(goals), 1.0 - 2.0 * turn)
        see(attacker.world((signs * open_) @ matrix))
    found = []
    for number, (key, goal, count, _) in enumerate(goals):
        if high[number] - low[number] >= width[number]:
            continue
        see(attacker.world(goal))
        if high[number] - low[number] >= width[number]:
            continue
        see(attacker.world(-goal))
        if high[number] - low[number] >= width[number]:
            continue
        needed = attacker.needed(goal) | attacker.needed(-goal)
        found.append(Exposed(key, count, int(low[number]), int(high[number]), tuple(sorted(needed))))
        if len(found) == _MOST:
            break
    remember()
    return found


def differences(cubes: Sequence[Cube]) -> list[tuple[CellKey, int]]:
    """Children of a table of all who are not in a table of some of them: cells that no table shows."""
    return [(key, gap) for key, _, _, gap in build_system(cubes, {}).differences]
