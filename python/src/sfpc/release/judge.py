"""From offers to what may be released: primary masks, rounding, the audit, and what is hidden to pass it (DP.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.release.audit import ContradictionError, Exposed, Guarded, Interval, audit, differences
from sfpc.release.masks import (
    hidden_children,
    hidden_events,
    hidden_interval,
    hidden_values,
    interval,
    is_small,
    rounded,
    unsafe_estimates,
)
from sfpc.release.profiles import Profile
from sfpc.release.tables import (
    CellKey,
    Cube,
    Dimension,
    EstimateOffer,
    Laid,
    Offer,
    RefusedError,
    Statistic,
    as_pairs,
    lay_out,
)

FEW = "too few children"
TO_PROTECT = "to protect another cell"
STRUCTURAL = "there can be none"
RATE = "rate_pct"
_ALL = "all"
# Only this module makes released tables: whoever draws or writes is given one and cannot make their own.
_SEAL = object()


@dataclass(frozen=True)
class ReleasedTable:
    """A table as it may leave: rounded, hidden cells marked, every value as it will be read.

    Attributes
    ----------
    frame: whole numbers, numbers and words; `marker` where a cell is hidden.
    dimensions: columns that tell the rows apart. counts: columns of children. numbers: all columns of numbers.
    hidden: (row, column) of hidden cells, from 0. withheld: rows of estimates that are left out.
    """

    key: str
    title: str
    statistic: str
    frame: pd.DataFrame
    dimensions: tuple[str, ...]
    counts: tuple[str, ...]
    numbers: tuple[str, ...]
    marker: str
    file: str
    hidden: tuple[tuple[int, int], ...] = ()
    withheld: int = 0
    context: str = ""
    command: str = ""
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("a released table comes from the disclosure door and from nowhere else")


@dataclass(frozen=True)
class Refusal:
    """What is not released, and why."""

    key: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class JudgedCell:
    """A cell with its true count and what is said of it; for the checker and the ledger, never for release.

    shown: the count as shown; None where it is hidden, and where only a value of these children is shown.
    """

    key: CellKey
    count: int
    shown: int | None
    low: float
    high: float
    reason: str

    @property
    def was_told(self) -> bool:
        """Whether anything about these children is shown."""
        return self.shown is not None or not self.reason


@dataclass(frozen=True)
class Earlier:
    """What earlier releases told: their cubes, and per cell and release the count, whether shown, and its interval."""

    cubes: tuple[Cube, ...] = ()
    cells: tuple[tuple[str, JudgedCell], ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What may be released and what may not.

    cells: by table. withheld: per table of estimates, the rows left out with their reasons. audited: cells of which it
    was proven that they cannot be worked out.
    """

    profile: Profile
    tables: tuple[ReleasedTable, ...]
    refused: tuple[Refusal, ...]
    cells: Mapping[str, tuple[JudgedCell, ...]]
    cubes: Mapping[str, tuple[Cube, ...]]
    withheld: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]
    audited: int


@dataclass
class _Table:
    """A table while it is judged."""

    laid: Laid
    offer: Offer
    estimate: EstimateOffer | None = None
    values_hidden: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


class _Case:
    """All tables of one release while they are judged."""

    def __init__(self, profile: Profile, earlier: Earlier) -> None:
        self.profile = profile
        self.earlier = earlier
        self.tables: dict[str, list[_Table]] = {}
        self.refused: dict[str, list[str]] = {}
        self.withheld: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.counts: dict[CellKey, int] = {}
        self.bases: dict[CellKey, int] = {}
        self.uses: dict[CellKey, int] = {}
        self.reasons: dict[CellKey, str] = {}
        self.can_be_zero: set[CellKey] = set()
        self.follows: dict[CellKey, set[CellKey]] = {}
        self.audited = 0
        self.seen: dict[CellKey, tuple[float, float]] = {}

    def refuse(self, key: str, reasons: Iterable[str]) -> None:
        """Take a table out, with the reasons."""
        self.refused.setdefault(key, []).extend(reasons)
        self.tables.pop(key, None)

    def all_tables(self) -> list[_Table]:
        return [table for tables in self.tables.values() for table in tables]

    def collect(self) -> None:
        """Every cell of every table with its primary mask; a cell that two tables share has one mask."""
        for store in (self.counts, self.bases, self.uses, self.reasons, self.follows, self.seen):
            store.clear()
        self.can_be_zero.clear()
        for key, tables in list(self.tables.items()):
            clash = [reason for table in tables for reason in self._take(table)]
            if clash:
                self.refuse(key, clash)
                self.collect()
                return

    def _take(self, table: _Table) -> list[str]:
        laid, offer, profile = table.laid, table.offer, self.profile
        numbers = laid.frame[offer.children].to_numpy(dtype=np.int64)
        few = hidden_children(laid, profile)
        if not offer.shows_children:
            return []
        columns = [(laid.cells, numbers, few)]
        if laid.events:
            with_event = laid.frame[str(offer.numerator)].to_numpy(dtype=np.int64)
            columns.append((laid.events, with_event, hidden_events(laid, profile)))
        for keys, counts, hidden in columns:
            for position, cell in enumerate(keys):
                count = int(counts[position])
                if self.counts.setdefault(cell, count) != count:
                    return [f"{_words(cell)}: {count} children here, {self.counts[cell]} in another table"]
                self.uses[cell] = self.uses.get(cell, 0) + 1
                base = profile.wide_rounding_base if laid.wide[position] else profile.rounding_base
                self.bases[cell] = max(base, self.bases.get(cell, 1))
                if laid.structural[position]:
                    self.reasons.setdefault(cell, STRUCTURAL)
                elif hidden[position]:
                    self.reasons[cell] = FEW
                    if not is_small(count, profile):
                        self.can_be_zero |= {cell}
                if count == 0 and hidden[position]:
                    self.can_be_zero |= {cell}
        for cell, event in zip(laid.cells, laid.events, strict=False):
            self.follows.setdefault(cell, set()).add(event)
        if laid.events and profile.zero_is_shown:
            self.can_be_zero |= set(laid.events)
        return []

    def is_shown(self, cell: CellKey) -> bool:
        return cell in self.counts and cell not in self.reasons

    def hide(self, cell: CellKey, reason: str = TO_PROTECT) -> None:
        """Hide a cell; with the children of a row go the children with the event."""
        self.reasons.setdefault(cell, reason)
        for event in self.follows.get(cell, ()):
            self.reasons.setdefault(event, reason)

    def interval_of(self, cell: CellKey) -> Interval:
        """What is told of a cell."""
        reason = self.reasons.get(cell)
        if reason == STRUCTURAL:
            return 0.0, 0.0
        if reason:
            low, high = hidden_interval(self.profile)
            return (0.0 if cell in self.can_be_zero else low), high
        count = self.counts[cell]
        if count == 0:
            return 0.0, 0.0
        return interval(count, self.bases[cell], self.profile.count_minimum)

    def known(self, population: str) -> dict[CellKey, Interval]:
        """Everything told about a population, now and earlier."""
        found: dict[CellKey, Interval] = {}

        def tell(cell: CellKey, low: float, high: float) -> None:
            before = found.get(cell, (0.0, float("inf")))
            found[cell] = (max(low, before[0]), min(high, before[1]))

        for cell in self.counts:
            if cell[0] == population:
                tell(cell, *self.interval_of(cell))
        for table in self.all_tables():
            for event, rest in zip(table.laid.events, table.laid.rest, strict=True):
                # Whoever sees the children with the event knows that enough are without it.
                if event[0] == population and self.is_shown(event):
                    tell(rest, float(self.profile.non_event_minimum), float("inf"))
        counts = self.all_counts(population)
        # The newest first: of a cell whose children are others by now, an earlier release tells nothing.
        for _, old in reversed(self.earlier.cells):
            if old.key[0] == population and counts.setdefault(old.key, old.count) == old.count:
                tell(old.key, old.low, old.high)
        return found

    def all_counts(self, population: str) -> dict[CellKey, int]:
        """True counts of every cell of the tables of a population, shown or not."""
        found: dict[CellKey, int] = {}
        for table in self.all_tables():
            for cube in _counted(table):
                if cube.population == population:
                    found.update({(population, pairs): count for pairs, count in cube.sums.items()})
        return found

    def cubes(self, population: str) -> list[Cube]:
        """Cubes of a population, now and earlier, each once; an earlier one only if its children are still the same."""
        now = [cube for table in self.all_tables() for cube in _counted(table) if cube.population == population]
        counts = self.all_counts(population)
        found: dict[tuple[Any, ...], Cube] = {}
        for cube in now:
            found.setdefault(_identity(cube), cube)
        for cube in reversed(self.earlier.cubes):
            sums = {(population, pairs): count for pairs, count in cube.sums.items()}
            if cube.population == population and all(counts.get(key, count) == count for key, count in sums.items()):
                counts |= sums
                found.setdefault(_identity(cube), cube)
        return list(found.values())

    def guarded(self, population: str, cubes: Sequence[Cube]) -> list[Guarded]:
        """Cells that must not be known: small ones, hidden ones, and rounded ones to the last child."""
        profile, found = self.profile, {}
        shown_before = {
            cell.key: cell for _, cell in self.earlier.cells if cell.shown is not None and cell.key[0] == population
        }
        for cube in cubes:
            for pairs, count in cube.sums.items():
                if pairs in cube.impossible:
                    continue
                cell = (population, pairs)
                hidden = cell in self.reasons and self.reasons[cell] != STRUCTURAL
                if hidden or (is_small(count, profile) and cell not in shown_before):
                    found[cell] = Guarded(cell, count, profile.audit_suppressed_width)
                elif self._is_rounded(cell, count) or (cell in shown_before and _is_open(shown_before[cell])):
                    found[cell] = Guarded(cell, count, profile.audit_rounded_width)
        for cell, gap in differences(cubes):
            if is_small(gap, profile):
                found[cell] = Guarded(cell, gap, profile.audit_suppressed_width)
        return list(found.values())

    def _is_rounded(self, cell: CellKey, count: int) -> bool:
        # Where parts are shown as they are, a rounded total is coarse for its readers' sake and protects nobody.
        return self.is_shown(cell) and self.profile.rounding_base > 1 and count > 0

    def protect(self, population: str) -> None:
        """Hide cells until nothing that must not be known can be worked out; else take tables out."""
        while any(cube.population == population for table in self.all_tables() for cube in _counted(table)):
            cubes = self.cubes(population)
            guarded = self.guarded(population, cubes)
            try:
                exposed = audit(cubes, self.known(population), guarded, self.seen)
            except ContradictionError as error:
                self._take_out(population, str(error))
                continue
            if not exposed:
                self.audited += len(guarded)
                return
            chosen: set[CellKey] = set()
            for exposure in exposed:
                # One loss can cover several exposed cells: look again before more is hidden.
                if exposure.key in chosen or chosen & set(exposure.needed):
                    continue
                cell = self._cheapest(exposure, population)
                if cell is not None:
                    chosen.add(cell)
            if not chosen:
                worst = exposed[0]
                self._take_out(
                    population,
                    f"{_words(worst.key)} can be worked out ({worst.low} to {worst.high}), with what was released"
                    " earlier or is in other tables, and there is nothing left to hide",
                )
                continue
            for cell in chosen:
                self.hide(cell)

    def _take_out(self, population: str, reason: str) -> None:
        """Refuse the last table of a population, and judge what is left from the start."""
        keys = [k for k, ts in self.tables.items() if any(t.offer.population == population for t in ts)]
        self.refuse(keys[-1], [reason])
        self.collect()

    def _cheapest(self, exposed: Exposed, population: str) -> CellKey | None:
        """The shown cell whose loss costs least among those that an attacker needs; else any of that population."""
        shown = {cell for cell in self.counts if cell[0] == population and self.is_shown(cell) and self.counts[cell]}
        needed = [cell for cell in exposed.needed if cell in shown and cell != exposed.key]
        near = needed or [cell for cell in shown if cell != exposed.key] or list(shown)
        return min(near, key=lambda cell: (self.counts[cell] * self.uses[cell], -len(cell[1]), cell), default=None)

    def mask_values(self) -> None:
        """Hide values for their own sake, and further ones where a group's value would give a hidden one away."""
        for table in self.all_tables():
            offer, laid = table.offer, table.laid
            if not offer.values:
                continue
            hidden = hidden_values(laid, self.profile)
            if offer.shows_children:
                lost = np.array([cell in self.reasons for cell in laid.cells], dtype=bool)
                hidden = {name: found | lost for name, found in hidden.items()}
            if offer.adds_up or offer.statistic == Statistic.SUM:
                together = np.any(np.array(list(hidden.values())), axis=0)
                together = _hide_to_protect_sums(laid, together, self.profile)
                hidden = dict.fromkeys(hidden, together)
            table.values_hidden = hidden

    def compare_with_earlier(self) -> None:
        """Refuse tables of which a cell differs by a few children from an earlier release (differencing)."""
        least = self.profile.earlier_difference_minimum
        before: dict[CellKey, list[tuple[str, JudgedCell]]] = {}
        for release, earlier in self.earlier.cells:
            before.setdefault(earlier.key, []).append((release, earlier))
        for key, tables in list(self.tables.items()):
            found = []
            for table in tables:
                for cell, count, is_shown in self._told(table):
                    for release, old in before.get(cell, ()):
                        if 0 < abs(old.count - count) < least and (is_shown or old.was_told):
                            found.append(
                                f"{_words(cell)} differs by fewer than {least} children from release {release}"
                            )
            if found:
                self.refuse(key, list(dict.fromkeys(found))[:5])

    def _told(self, table: _Table) -> list[tuple[CellKey, int, bool]]:
        """Every cell of a table that can have children, with its count and whether anything about it is shown."""
        laid, offer = table.laid, table.offer
        numbers = laid.frame[offer.children].to_numpy(dtype=np.int64)
        found = []
        for position, cell in enumerate(laid.cells):
            if laid.structural[position]:
                continue
            has_value = any(not hidden[position] for hidden in table.values_hidden.values())
            found.append((cell, int(numbers[position]), has_value or (offer.shows_children and self.is_shown(cell))))
        for position, event in enumerate(laid.events):
            if laid.structural[position]:
                continue
            with_event = int(laid.frame[str(offer.numerator)].iloc[position])
            is_shown = self.is_shown(event)
            found.append((event, with_event, is_shown))
            found.append((laid.rest[position], int(numbers[position]) - with_event, is_shown))
        return found


def judge(offers: Sequence[Offer | EstimateOffer], profile: Profile, earlier: Earlier | None = None) -> Judgement:
    """Judge tables and estimates together: what is released of each, and what is refused.

    Tables are taken in the order given; where two cannot be released together, the later one is refused.
    """
    case = _Case(profile, earlier or Earlier())
    seen: set[str] = set()
    for offer in offers:
        try:
            if offer.key in seen:
                raise RefusedError(offer.key, ["another table has this name"])
            seen.add(offer.key)
            case.tables[offer.key] = (
                _estimate_tables(case, offer) if isinstance(offer, EstimateOffer) else [_Table(lay_out(offer), offer)]
            )
        except RefusedError as error:
            case.refused.setdefault(offer.key, []).extend(error.reasons)
    case.collect()
    while True:
        held = dict(case.tables)
        case.audited = 0
        for population in dict.fromkeys(table.offer.population for table in case.all_tables()):
            case.protect(population)
        case.mask_values()
        case.compare_with_earlier()
        _refuse_empty(case)
        gone = [table for key, tables in held.items() if key not in case.tables for table in tables]
        # A table that tells no numbers of children protects and endangers no other: what is proven stays so.
        if not any(_counted(table) for table in gone):
            break
        case.collect()
    return _judgement(case, offers)


def _estimate_tables(case: _Case, offer: EstimateOffer) -> list[_Table]:
    """The children behind estimates, as tables of their own: one per population, treated and untreated."""
    columns = [*offer.row_key, *offer.labels, offer.children, offer.treated_children, *offer.values]
    undeclared = [str(name) for name in offer.frame.columns if name not in columns]
    missing = [name for name in columns if name not in offer.frame.columns]
    reasons = []
    if undeclared or missing:
        reasons.append(f"column {', '.join([*undeclared, *missing])} is not declared or not there")
    if len(offer.fits) != len(offer.frame) or len(offer.counts) != len(offer.frame):
        reasons.append("every row needs what its regression stands on, and whom it counts")
    if not len(offer.frame):
        reasons.append("it has no rows")
    if reasons:
        raise RefusedError(offer.key, reasons)
    unsafe = unsafe_estimates(offer, case.profile)
    case.withheld[offer.key] = [
        (" ".join(str(v) for v in offer.frame[list(offer.row_key)].iloc[i]), tuple(why))
        for i, why in enumerate(unsafe)
        if why
    ]
    safe = [i for i, why in enumerate(unsafe) if not why]
    if not safe:
        raise RefusedError(offer.key, list(dict.fromkeys(reason for why in unsafe for reason in why))[:8])
    made: dict[tuple[str, Any], tuple[int, int]] = {}
    for i in safe:
        population, within = offer.counts[i]
        row = offer.frame.iloc[i]
        numbers = int(row[offer.children]), int(row[offer.treated_children])
        if made.setdefault((population, as_pairs(dict(within))), numbers) != numbers:
            raise RefusedError(offer.key, ["two regressions on the same children have different numbers of them"])
    tables = []
    for (population, within), (children, treated) in made.items():
        levels = [offer.treated_level, offer.other_level, _ALL]
        frame = pd.DataFrame({offer.arm: levels, "children": [treated, children - treated, children]})
        counts = Offer(
            offer.key,
            offer.title,
            Statistic.COUNT,
            frame,
            (Dimension(offer.arm, total=_ALL),),
            population,
            dict(within),
        )
        tables.append(_Table(lay_out(counts), counts, estimate=offer))
    return tables


def _refuse_empty(case: _Case) -> None:
    for key, tables in list(case.tables.items()):
        if tables[0].estimate is not None:
            continue
        (table,) = tables
        told = [is_shown for _, _, is_shown in case._told(table)]
        if not any(told) and not (table.laid.structural.any() and table.offer.shows_children):
            case.refuse(key, ["every cell has to be hidden"])


def _hide_to_protect_sums(laid: Laid, hidden: NDArray[np.bool_], profile: Profile) -> NDArray[np.bool_]:
    """Hide further values until no hidden one, and none of a few children, follows from the values of groups.

    The numbers of children are taken as known, so that a mean tells its sum. A cell follows where the rows of the shown
    cells span it; a group less its shown parts must have enough children and more than one part, or none.
    """
    offer, frame = laid.offer, laid.frame
    children = frame[offer.children].to_numpy(dtype=np.int64)
    hidden = hidden.copy()
    for cube in laid.cubes:
        masks: dict[int, NDArray[np.bool_]] = {}
        for position, (_, pairs) in enumerate(laid.cells):
            mask = cube.mask(dict(pairs))
            if mask is not None:
                masks[position] = mask.ravel()
        if not masks:
            continue
        size = cube.counts.size
        everyone = np.ones(size, dtype=bool)
        leaf_children = cube.counts.ravel()
        while True:
            shown = [p for p in masks if not hidden[p]]
            known = [masks[p] for p in shown] + ([everyone] if offer.has_known_total else [])
            culprit = _culprit(masks, hidden, shown, known, leaf_children, children, profile)
            if culprit is None:
                break
            hidden[culprit] = True
    return hidden


def _culprit(
    masks: Mapping[int, NDArray[np.bool_]],
    hidden: NDArray[np.bool_],
    shown: Sequence[int],
    known: Sequence[NDArray[np.bool_]],
    leaf_children: NDArray[np.int64],
    children: NDArray[np.int64],
    profile: Profile,
) -> int | None:
    """The shown value to hide next; None where nothing hidden follows from what is shown."""
    if not known or not shown:
        return None
    matrix = np.array(known, dtype=np.float64).T
    secret = [masks[p] for p in masks if hidden[p] and leaf_children[masks[p]].sum() > 0]
    for group in known:
        inside = [m for m in known if (m <= group).all() and not (m == group).all()]
        covered = np.any(np.array(inside), axis=0) if inside else np.zeros_like(group)
        left = group & ~covered
        count = int(leaf_children[left].sum())
        if inside and 0 < count < profile.statistic_minimum:
            secret.append(left)
    for target in secret:
        weights, *_ = np.linalg.lstsq(matrix, target.astype(np.float64), rcond=None)
        if np.abs(matrix @ weights - target).max() < 1e-6:
            used = [p for p, weight in zip(shown, weights, strict=False) if abs(weight) > 1e-6]
            if used:
                return min(used, key=lambda p: (int(masks[p].sum()), int(children[p]), p))
    return None


def _judgement(case: _Case, offers: Sequence[Offer | EstimateOffer]) -> Judgement:
    released, cells, cubes = [], {}, {}
    for offer in offers:
        if offer.key not in case.tables:
            continue
        tables = case.tables[offer.key]
        released.append(
            _compose_estimates(case, offer) if isinstance(offer, EstimateOffer) else _compose(case, tables[0])
        )
        cells[offer.key] = tuple(cell for table in tables for cell in _judged_cells(case, table))
        cubes[offer.key] = tuple(cube for table in tables for cube in _counted(table))
    return Judgement(
        case.profile,
        tuple(released),
        tuple(Refusal(key, tuple(reasons)) for key, reasons in case.refused.items()),
        cells,
        cubes,
        {key: tuple(rows) for key, rows in case.withheld.items()},
        case.audited,
    )


def _judged_cells(case: _Case, table: _Table) -> list[JudgedCell]:
    found = []
    for cell, count, is_told in case._told(table):
        if cell in case.counts:
            low, high = case.interval_of(cell)
            shown = rounded(count, case.bases[cell]) if case.is_shown(cell) else None
            if case.reasons.get(cell) == STRUCTURAL:
                shown = 0
            found.append(JudgedCell(cell, count, shown, low, high, case.reasons.get(cell, "")))
        else:
            low = float(case.profile.non_event_minimum if cell in table.laid.rest else case.profile.statistic_minimum)
            told = (low, float("inf")) if is_told else (0.0, float("inf"))
            found.append(JudgedCell(cell, count, None, *told, "" if is_told else FEW))
    return found


def _identity(cube: Cube) -> tuple[Any, ...]:
    return (
        cube.population,
        cube.within,
        cube.names,
        cube.leaves,
        cube.groups,
        cube.counts.tobytes(),
        cube.structural.tobytes(),
    )


def _counted(table: _Table) -> tuple[Cube, ...]:
    """The cubes whose counts are told; behind a table of values alone nobody learns how many children there are."""
    return table.laid.cubes if table.offer.shows_children else ()


def _is_open(cell: JudgedCell) -> bool:
    """Whether what was told of a cell leaves more than one value."""
    return cell.high > cell.low


def _words(cell: CellKey) -> str:
    population, pairs = cell
    return ", ".join([population, *(f"{name} {level}" for name, level in pairs)])


def _compose(case: _Case, table: _Table) -> ReleasedTable:
    """A table as it may leave."""
    offer, laid, profile = table.offer, table.laid, case.profile
    names = [d.name for d in offer.dimensions]
    columns: dict[str, list[Any]] = {name: [value] * len(laid.frame) for name, value in offer.constants.items()}
    columns |= {name: [str(v) for v in laid.frame[name]] for name in names}
    columns |= {name: ["" if pd.isna(v) else str(v) for v in laid.frame[name]] for name in offer.labels}
    counts: list[str] = []
    numbers: list[str] = []
    if offer.shows_children:
        columns["children"] = [_shown(case, cell) for cell in laid.cells]
        counts.append("children")
    if laid.events:
        columns["children_with_it"] = [_shown(case, cell) for cell in laid.events]
        counts.append("children_with_it")
        columns[RATE] = [
            _rate(n, x, profile) for n, x in zip(columns["children"], columns["children_with_it"], strict=True)
        ]
        numbers.append(RATE)
    for name, decimals in offer.values.items():
        columns[name] = [
            profile.marker if hidden else _number(value, decimals, name)
            for value, hidden in zip(laid.frame[name], table.values_hidden[name], strict=True)
        ]
        numbers.append(name)
    frame = pd.DataFrame(columns, dtype=object)
    if not offer.shows_structural:
        frame = frame[~laid.structural].reset_index(drop=True)
    hidden = tuple(
        (row, column)
        for column, name in enumerate(frame.columns)
        if name in [*counts, *numbers]
        for row, value in enumerate(frame[name])
        if value == profile.marker
    )
    return ReleasedTable(
        offer.key,
        offer.title,
        str(offer.statistic),
        frame,
        (*offer.constants, *names),
        tuple(counts),
        tuple([*counts, *numbers]),
        profile.marker,
        offer.file or offer.key,
        hidden,
        0,
        offer.context,
        offer.command,
        _SEAL,
    )


def _compose_estimates(case: _Case, offer: EstimateOffer) -> ReleasedTable:
    """Estimates as they may leave: rows whose regression is not safe are left out."""
    profile = case.profile
    unsafe = unsafe_estimates(offer, profile)
    rows: list[dict[str, Any]] = []
    for position, why in enumerate(unsafe):
        if why:
            continue
        row = offer.frame.iloc[position]
        population, within = offer.counts[position]
        everyone = (population, as_pairs(dict(within)))
        treated = (population, as_pairs({**within, offer.arm: offer.treated_level}))
        rows.append(
            {
                **{name: "" if pd.isna(row[name]) else str(row[name]) for name in (*offer.row_key, *offer.labels)},
                **{name: _number(row[name], decimals, name) for name, decimals in offer.values.items()},
                "children": _shown(case, everyone),
                "treated_children": _shown(case, treated),
            }
        )
    frame = pd.DataFrame(rows, dtype=object)
    counts = ("children", "treated_children")
    hidden = tuple(
        (row, column)
        for column, name in enumerate(frame.columns)
        if name in counts
        for row, value in enumerate(frame[name])
        if value == profile.marker
    )
    return ReleasedTable(
        offer.key,
        offer.title,
        "estimate",
        frame,
        offer.row_key,
        counts,
        (*offer.values, *counts),
        profile.marker,
        offer.file or offer.key,
        hidden,
        sum(bool(why) for why in unsafe),
        offer.context,
        offer.command,
        _SEAL,
    )


def _shown(case: _Case, cell: CellKey) -> int | str:
    if case.reasons.get(cell) == STRUCTURAL:
        return 0
    if cell in case.reasons:
        return case.profile.marker
    return rounded(case.counts[cell], case.bases[cell])


def _rate(children: int | str, events: int | str, profile: Profile) -> float | str:
    """A rate in per cent, made of rounded counts alone."""
    if isinstance(children, str) or isinstance(events, str):
        return profile.marker
    return _number(100 * events / children, profile.rate_decimals) if children else ""


def _number(value: Any, decimals: int, name: str = "") -> float | str:
    """A number as it is shown; a p-value that is not 0 is not shown as 0."""
    if pd.isna(value) or not np.isfinite(float(value)):
        return ""
    found = round(float(value), decimals) + 0.0
    if name.startswith("p_value") and found == 0.0:
        return f"<{10.0**-decimals:.{decimals}f}"
    return int(found) if decimals == 0 else found
