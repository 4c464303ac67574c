"""What is offered for release: a table in long form that says what it counts, or the estimates of regressions.

A cell is a number of distinct children of a population with certain levels of certain dimensions. Everything that is
judged, hidden, audited and remembered is about cells, so two tables that share a cell are known to share it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfpc.errors import SfpcError

YES, NO = "yes", "no"
CHILDREN = "children"
# Names that no column of a release may have: they say that a row is a child, or about a child's own data.
_IDENTIFIERS = re.compile(
    r"((^|_)(child|pupil|person|sibling|referral|episode|record|case|plan)_?(id|ids|code|key|hash|number|reference)$)"
    r"|^(upn|uln|nhs_number|ni_number|postcode|address|email|name|forename|surname|date_of_birth|birth_date|dob)$"
)
_EXTREMES = re.compile(r"(^|_)(min|max|minimum|maximum|smallest|largest|range)($|_)")
_KEY = re.compile(r"[a-z0-9][a-z0-9_]{0,119}")

Pairs = tuple[tuple[str, str], ...]
CellKey = tuple[str, Pairs]


class RefusedError(SfpcError):
    """Something that is not released, with every reason."""

    exit_code = 1

    def __init__(self, key: str, reasons: Sequence[str]) -> None:
        super().__init__(f"{key}: not released: {'; '.join(reasons)}")
        self.key = key
        self.reasons = tuple(reasons)


class Statistic(StrEnum):
    """What a table shows beside the number of children."""

    COUNT = "count"
    RATE = "rate"
    VALUE = "value"
    PERCENTILE = "percentile"
    SUM = "sum"


@dataclass(frozen=True)
class Dimension:
    """A column that says which children a row is about.

    Attributes
    ----------
    name: the column. `of`: what it is about, where other tables have a column of that name about something else; two
        tables with a dimension of one `identity` mean the same by it.
    total: the level that stands for all others together; None where no row does.
    groups: levels that are several others together, with those others.
    is_partition: whether every child has exactly one level; where not (an LA that serves two sets), no total can be
        given.
    is_sensitive: whether it may not be seen that all children of a row are in one level.
    levels: all levels in their order, those without any child included; without it the levels that occur, by name.
    is_geography: whether total and groups are England and regions, which some profiles round more coarsely.
    """

    name: str
    total: str | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_partition: bool = True
    is_sensitive: bool = False
    is_geography: bool = False
    levels: tuple[str, ...] = ()
    of: str = ""

    @property
    def identity(self) -> str:
        """What the dimension is called in a cell."""
        return f"{self.name} of {self.of}" if self.of else self.name


@dataclass(frozen=True)
class Offer:
    """A table that is offered for release: one row per combination of levels, unrounded.

    Attributes
    ----------
    key: name of the table; tables of the same `file` are put under each other in one file (default: a file each).
    frame: the columns that are named here and no other. A combination of levels that is not there has no children.
    population: whom the cells count; `within`: levels that all of them share, as (dimension, level).
    children: column of the number of distinct children.
    numerator, event: for a rate, the column of children with the event, and the event's name.
    values: for other statistics, the columns with their decimals.
    percentiles: of the columns of a table of percentiles, which percentile each is (0 to 100, both excluded; 50 is the
        median).
    adds_up: the values are means or shares of a total: those of a group follow from those of its parts.
    has_known_total: the total of the values is known (100 per cent) although no row shows it.
    largest, second_largest: for sums, the columns of the largest contributions of one child and of the next.
    structural_zero: column that is true where there can be no children. is_absent_structural: combinations that are not
        there cannot exist (an LA has one region).
    shows_children: whether the number of children is a column of what is released; shows_structural: whether rows that
        cannot have children are.
    labels: columns of words, one value per row. They are no dimensions and hold nothing about a child.
    constants: columns that have the same words in every row.
    unit: what is counted; children is the only unit that is released.
    context, command: for the sheet: what the table is, and what made it.
    """

    key: str
    title: str
    statistic: Statistic
    frame: pd.DataFrame
    dimensions: tuple[Dimension, ...]
    population: str
    within: Mapping[str, str] = field(default_factory=dict)
    children: str = CHILDREN
    numerator: str | None = None
    event: str | None = None
    values: Mapping[str, int] = field(default_factory=dict)
    percentiles: Mapping[str, float] = field(default_factory=dict)
    adds_up: bool = False
    has_known_total: bool = False
    largest: str | None = None
    second_largest: str | None = None
    structural_zero: str | None = None
    is_absent_structural: bool = False
    shows_children: bool = True
    shows_structural: bool = True
    labels: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None
    unit: str = CHILDREN
    context: str = ""
    command: str = ""


@dataclass(frozen=True)
class Fit:
    """What a regression stands on.

    Attributes
    ----------
    children: distinct children of the regression.
    parameters: p, all of them; design_rows: d, distinct rows of regressors.
    smallest_combination: m, fewest children in an observed combination of the categorical regressors.
    levels: one row per level of a factor: factor, level, children, events, non_events (events and non-events empty
        where the outcome has none), is_released (the coefficient is released, or the level is what it is about).
    """

    children: int
    parameters: int
    design_rows: int
    smallest_combination: int
    levels: pd.DataFrame

    @property
    def residual_df(self) -> int:
        """Residual degrees of freedom."""
        return self.children - self.parameters


@dataclass(frozen=True)
class EstimateOffer:
    """Estimates of regressions that are offered for release, one row each.

    Attributes
    ----------
    frame: the columns named here and no other.
    row_key: columns that tell the rows apart; labels: further words.
    values: columns of numbers with their decimals.
    fits: per row, in the order of the frame, what the regression stands on.
    counts: per row, the name of the population and the levels that the children of the regression share; `arm` is the
        dimension that tells treated from other children, with its two levels.
    """

    key: str
    title: str
    frame: pd.DataFrame
    row_key: tuple[str, ...]
    values: Mapping[str, int]
    fits: tuple[Fit, ...]
    counts: tuple[tuple[str, Mapping[str, str]], ...]
    children: str = CHILDREN
    treated_children: str = "treated_children"
    arm: str = "is_treated"
    treated_level: str = YES
    other_level: str = NO
    labels: tuple[str, ...] = ()
    file: str | None = None
    context: str = ""
    command: str = ""


@dataclass(frozen=True)
class Cube:
    """All leaf cells of a table: distinct children by dimension.

    counts: (levels of the first dimension, of the second, ...). groups: of each dimension, levels that are several
    leaf levels. structural: where there can be no children, same shape.
    """

    population: str
    within: Pairs
    names: tuple[str, ...]
    leaves: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]
    counts: NDArray[np.int64]
    structural: NDArray[np.bool_]

    def mask(self, pairs: Mapping[str, str]) -> NDArray[np.bool_] | None:
        """The leaf cells that make up a cell; None where the cell is not one of this cube."""
        rest = dict(pairs)
        for name, level in self.within:
            if rest.pop(name, None) != level:
                return None
        found = np.ones(self.counts.shape, dtype=bool)
        for axis, (name, leaves, groups) in enumerate(zip(self.names, self.leaves, self.groups, strict=True)):
            if name not in rest:
                continue
            level = rest.pop(name)
            members = dict(groups).get(level, (level,))
            if any(member not in leaves for member in members):
                return None
            chosen = np.array([leaf in members for leaf in leaves])
            shape = [1] * self.counts.ndim
            shape[axis] = len(leaves)
            found &= chosen.reshape(shape)
        return None if rest else found

    def cells(self) -> list[Pairs]:
        """Every cell: each dimension at a leaf level, a group, or left out (all of it)."""
        choices = [
            [None, *leaves, *(name for name, _ in groups)]
            for leaves, groups in zip(self.leaves, self.groups, strict=True)
        ]
        return [
            as_pairs({**dict(self.within), **{n: v for n, v in zip(self.names, chosen, strict=True) if v is not None}})
            for chosen in product(*choices)
        ]

    @cached_property
    def parts(self) -> Mapping[Pairs, NDArray[np.int64]]:
        """Of every cell, where the leaf cells that make it up stand in the flattened counts."""
        found = {}
        for pairs in self.cells():
            mask = self.mask(dict(pairs))
            assert mask is not None
            found[pairs] = np.flatnonzero(mask.ravel())
        return found

    @cached_property
    def sums(self) -> Mapping[Pairs, int]:
        """Children of every cell."""
        flat = self.counts.ravel()
        return {pairs: int(flat[places].sum()) for pairs, places in self.parts.items()}

    @cached_property
    def impossible(self) -> frozenset[Pairs]:
        """Cells that cannot have children."""
        flat = self.structural.ravel()
        return frozenset(pairs for pairs, places in self.parts.items() if flat[places].all())


@dataclass(frozen=True)
class Laid:
    """An offer laid out: its completed frame, the cell of each row and of each row's event, and its cubes.

    cells: per row of the frame, the key of its children; events: that of the children with the event; rest: that of
    those without; wide: rows that are rounded as England and regions are.
    """

    offer: Offer
    frame: pd.DataFrame
    cubes: tuple[Cube, ...]
    cells: tuple[CellKey, ...]
    events: tuple[CellKey, ...]
    rest: tuple[CellKey, ...]
    structural: NDArray[np.bool_]
    wide: NDArray[np.bool_]


def as_pairs(levels: Mapping[str, str]) -> Pairs:
    """Levels of a cell, in the one order."""
    return tuple(sorted(levels.items()))


def of_children(
    key: str,
    title: str,
    rows: pd.DataFrame,
    child: str,
    dimensions: Sequence[Dimension],
    population: str,
    *,
    event: str | None = None,
    amount: str | None = None,
    statistic: Statistic | None = None,
    **about: object,
) -> Offer:
    """A table made of rows about children: every child counts once per cell, however many rows it has.

    Parameters
    ----------
    rows: any number of rows per child: `child`, the dimensions, and `event` (true or false: true in any row counts) or
        `amount` (a number, added up per child).
    dimensions: totals and groups are made here. population: whom the cells count.
    statistic: with an amount, SUM (default: with the largest contributions of children) or VALUE (mean and sd).
    """
    dimensions = tuple(dimensions)
    names = [d.name for d in dimensions]
    held = rows[[child, *names, *([event] if event else []), *([amount] if amount else [])]]
    blocks = []
    for choice in product(*[[None, *([d.total] if d.total else []), *d.groups] for d in dimensions]):
        part = held
        for dimension, level in zip(dimensions, choice, strict=True):
            if level is None:
                continue
            if level in dimension.groups:
                part = part[part[dimension.name].isin(dimension.groups[level])]
            part = part.assign(**{dimension.name: level})
        blocks.append(_counted(part, child, names, event, amount))
    frame = pd.concat(blocks, ignore_index=True)
    counted = Statistic.RATE if event else Statistic.COUNT
    kind = counted if amount is None else statistic or Statistic.SUM
    columns: dict[str, object] = {}
    if event:
        columns = {"numerator": "events", "event": event}
    elif kind == Statistic.SUM:
        columns = {"values": {"amount": 0}, "largest": "largest", "second_largest": "second_largest"}
        frame = frame.drop(columns=["mean", "sd"])
    elif kind == Statistic.VALUE:
        columns = {"values": {"mean": 1, "sd": 1}, "adds_up": True}
        frame = frame.drop(columns=["amount", "largest", "second_largest"])
    return Offer(key, title, kind, frame, dimensions, population, **columns, **about)  # type: ignore[arg-type]


def _counted(rows: pd.DataFrame, child: str, names: list[str], event: str | None, amount: str | None) -> pd.DataFrame:
    """One block of a table: distinct children by the levels in `names`."""
    each = [*names, child]
    children: pd.Series[Any]
    if event:
        children = rows.assign(**{event: rows[event].astype(bool)}).groupby(each, sort=True)[event].any()
    elif amount:
        children = rows.groupby(each, sort=True)[amount].sum()
    else:
        children = rows.groupby(each, sort=True).size()
    by = children.groupby(level=names, sort=True) if names else children.groupby(lambda _: 0)
    frame = by.size().rename(CHILDREN).to_frame()
    if event:
        frame["events"] = by.sum().astype(int)
    elif amount:
        frame["amount"] = by.sum()
        frame["largest"] = by.apply(lambda v: v.abs().max())
        frame["second_largest"] = by.apply(lambda v: v.abs().nlargest(2).iloc[-1] if len(v) > 1 else 0.0)
        frame["mean"], frame["sd"] = by.mean(), by.std().fillna(0.0)
    return frame.reset_index() if names else frame.reset_index(drop=True)


def lay_out(offer: Offer) -> Laid:
    """Check an offer and lay it out in cells; raises RefusedError with every reason found."""
    reasons = _faults(offer)
    if reasons:
        raise RefusedError(offer.key, reasons)
    frame = _completed(offer)
    partition = [d for d in offer.dimensions if d.is_partition]
    slices = [d for d in offer.dimensions if not d.is_partition]
    leaves = {d.name: _leaves(d, frame) for d in partition}
    flags = _structural(offer, frame)
    frame = frame.reset_index(drop=True)
    cells: list[CellKey] = []
    for row in frame[[d.name for d in offer.dimensions]].itertuples(index=False):
        levels = dict(offer.within)
        for dimension, level in zip(offer.dimensions, row, strict=True):
            if level != dimension.total:
                levels[dimension.identity] = str(level)
        cells.append((offer.population, as_pairs(levels)))
    is_rate = offer.statistic == Statistic.RATE
    event = str(offer.event)
    events = tuple(_with(cell, event, YES) for cell in cells) if is_rate else ()
    rest = tuple(_with(cell, event, NO) for cell in cells) if is_rate else ()
    cubes = []
    groups = tuple(tuple((g, tuple(m)) for g, m in d.groups.items()) for d in partition)
    is_leaf = np.ones(len(frame), dtype=bool)
    for d in partition:
        is_leaf &= frame[d.name].isin(leaves[d.name]).to_numpy()
    keyed = frame.groupby([d.name for d in slices], sort=True).indices if slices else {(): np.arange(len(frame))}
    for value, positions in keyed.items():
        chosen = value if isinstance(value, tuple) else (value,)
        within = {**offer.within, **{d.identity: str(v) for d, v in zip(slices, chosen, strict=True)}}
        shape = tuple(len(leaves[d.name]) for d in partition) + ((2,) if is_rate else ())
        counts = np.zeros(shape, dtype=np.int64)
        structural = np.zeros(shape, dtype=bool)
        for position in positions:
            if not is_leaf[position]:
                continue
            place = tuple(leaves[d.name].index(str(frame[d.name].iloc[position])) for d in partition)
            children = int(frame[offer.children].iloc[position])
            structural[place] = flags[position]
            if is_rate:
                with_event = int(frame[str(offer.numerator)].iloc[position])
                counts[(*place, 0)], counts[(*place, 1)] = with_event, children - with_event
            else:
                counts[place] = children
        cubes.append(
            Cube(
                offer.population,
                as_pairs(within),
                tuple(d.identity for d in partition) + ((event,) if is_rate else ()),
                tuple(leaves[d.name] for d in partition) + (((YES, NO),) if is_rate else ()),
                groups + (((),) if is_rate else ()),
                counts,
                structural,
            )
        )
    laid = Laid(offer, frame, tuple(cubes), tuple(cells), events, rest, flags, _wide(offer, frame))
    reasons = _unequal_totals(laid)
    if reasons:
        raise RefusedError(offer.key, reasons)
    return laid


def _with(cell: CellKey, name: str, level: str) -> CellKey:
    population, pairs = cell
    return population, as_pairs({**dict(pairs), name: level})


def columns_of(offer: Offer) -> list[str]:
    """Every column that the frame of an offer must have."""
    names = [d.name for d in offer.dimensions]
    extra = [offer.numerator, offer.largest, offer.second_largest, offer.structural_zero]
    return [*names, *offer.labels, offer.children, *(name for name in extra if name), *offer.values]


def _faults(offer: Offer) -> list[str]:
    """What is wrong with an offer before anything is counted."""
    found = []
    if not _KEY.fullmatch(offer.key) or not _KEY.fullmatch(offer.file or offer.key):
        found.append("the name of a table is made of small letters, digits and underscores")
    if offer.unit != CHILDREN:
        found.append(f"it counts {offer.unit}; only distinct children are counted")
    wanted, held = columns_of(offer), [str(name) for name in offer.frame.columns]
    missing = [name for name in wanted if name not in held]
    undeclared = [name for name in held if name not in wanted]
    if len(set(wanted)) < len(wanted):
        found.append("a column is declared twice")
    if missing:
        found.append(f"no column {', '.join(missing)}")
    if undeclared:
        found.append(f"column {', '.join(undeclared)} is not declared")
    found += [
        f"column {name} is about a single child"
        for name in [*wanted, *undeclared, *offer.within, *offer.constants]
        if _IDENTIFIERS.search(name.lower())
    ]
    found += [
        f"{name}: no minimum or maximum is released"
        for name in offer.values
        if _EXTREMES.search(name.lower()) or offer.percentiles.get(name) in (0, 100)
    ]
    if not len(offer.frame):
        found.append("it has no rows")
    found += _faults_of_kind(offer)
    if found:
        return found
    frame = offer.frame
    names = [d.name for d in offer.dimensions]
    if names and frame[names].isna().to_numpy().any():
        found.append(f"a level of {', '.join(n for n in names if frame[n].isna().any())} is empty")
    if (frame.duplicated(names).any() if names else len(frame) > 1) and not found:
        found.append("two rows have the same levels")
    for d in offer.dimensions:
        if not d.is_partition and (d.total is not None or d.groups):
            found.append(f"{d.name}: a child can have several levels, so no total or group can be given")
        levels = set(frame[d.name].dropna().astype(str)) - {d.total, *d.groups}
        if d.levels and levels - set(d.levels):
            found.append(f"{d.name}: the level {', '.join(sorted(levels - set(d.levels)))} is not declared")
        levels |= set(d.levels)
        unknown = sorted({member for members in d.groups.values() for member in members} - levels)
        if unknown:
            found.append(f"{d.name}: a group has the level {', '.join(unknown)}, which no row has")
        if not levels:
            found.append(f"{d.name}: only totals; the levels they are made of are needed to judge them")
    counts = [offer.children, *([offer.numerator] if offer.numerator else [])]
    for name in counts:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.isna().any() or (numbers < 0).any() or (numbers % 1 != 0).any():
            found.append(f"{name}: whole numbers of children from 0 on are expected in every row")
    if not found and offer.numerator and (frame[offer.numerator] > frame[offer.children]).any():
        found.append(f"more children in {offer.numerator} than in {offer.children}")
    for name in [*offer.values, *(n for n in (offer.largest, offer.second_largest) if n)]:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if (numbers.isna() & frame[name].notna()).any():
            found.append(f"{name}: numbers are expected")
    return found


def _faults_of_kind(offer: Offer) -> list[str]:
    kind, found = offer.statistic, []
    if offer.event in [d.identity for d in offer.dimensions] or offer.event in offer.within:
        found.append(f"the event {offer.event} has the name of a dimension")
    if (kind == Statistic.RATE) != (offer.numerator is not None and offer.event is not None):
        found.append("a rate, and nothing else, needs the children with the event and the event's name")
    if kind in (Statistic.VALUE, Statistic.PERCENTILE, Statistic.SUM) and not offer.values:
        found.append(f"a table of kind {kind} needs its values")
    if kind in (Statistic.COUNT, Statistic.RATE) and offer.values:
        found.append(f"a table of kind {kind} has no values beside its counts")
    if kind == Statistic.SUM and not (offer.largest and offer.second_largest):
        found.append("a sum needs the largest and the second largest contribution of a child")
    if (kind == Statistic.PERCENTILE) != bool(offer.percentiles) or set(offer.percentiles) - set(offer.values):
        found.append("a table of percentiles, and nothing else, says which percentile each column is")
    if kind == Statistic.PERCENTILE and set(offer.values) != set(offer.percentiles):
        found.append("a column of a table of percentiles is no percentile")
    found += [f"{n}: a percentile lies between 0 and 100" for n, p in offer.percentiles.items() if not 0 <= p <= 100]
    return found


def _leaves(dimension: Dimension, frame: pd.DataFrame) -> tuple[str, ...]:
    levels = frame[dimension.name].astype(str)
    return dimension.levels or tuple(sorted(set(levels) - {dimension.total, *dimension.groups}))


def _completed(offer: Offer) -> pd.DataFrame:
    """The frame with a row for every combination of leaf levels, in an order that does not depend on the counts.

    A row that is not there, or that stands last, would say that there are no children.
    """
    names = [d.name for d in offer.dimensions]
    frame = offer.frame.reset_index(drop=True).copy()
    for name in names:
        frame[name] = frame[name].astype(str)
    if not names:
        return frame
    # Totals that were not offered stay away; only leaf cells are completed, within each level of what overlaps.
    whole = [d for d in offer.dimensions if d.is_partition]
    held = set(frame[names].itertuples(index=False, name=None))
    slices = frame[[d.name for d in offer.dimensions if not d.is_partition]].drop_duplicates()
    starts = slices.to_dict("records") if len(slices.columns) else [{}]
    absent = []
    for start, chosen in product(starts, product(*(_leaves(d, frame) for d in whole))):
        levels = {**start, **{d.name: level for d, level in zip(whole, chosen, strict=True)}}
        combination = tuple(str(levels[name]) for name in names)
        if combination not in held:
            absent.append(combination)
    added = pd.DataFrame(absent, columns=names)
    added[offer.children] = 0
    if offer.numerator:
        added[offer.numerator] = 0
    if offer.structural_zero:
        added[offer.structural_zero] = offer.is_absent_structural
    for name in [*offer.labels]:
        added[name] = ""
    for name in [*offer.values, *(n for n in (offer.largest, offer.second_largest) if n)]:
        added[name] = math.nan
    frame = pd.concat([frame, added[frame.columns]], ignore_index=True) if absent else frame
    orders = []
    for dimension in offer.dimensions:
        order = [*_leaves(dimension, frame), *dimension.groups, dimension.total]
        orders.append([order.index(level) for level in frame[dimension.name]])
    return frame.iloc[np.lexsort(orders[::-1])]


def _structural(offer: Offer, frame: pd.DataFrame) -> NDArray[np.bool_]:
    flags = np.zeros(len(frame), dtype=bool)
    if offer.structural_zero:
        flags |= frame[offer.structural_zero].fillna(False).astype(bool).to_numpy()
    if offer.is_absent_structural:
        flags |= frame.index.to_numpy() >= len(offer.frame)
    return flags


def _wide(offer: Offer, frame: pd.DataFrame) -> NDArray[np.bool_]:
    flags = np.zeros(len(frame), dtype=bool)
    for d in offer.dimensions:
        if d.is_geography:
            flags |= frame[d.name].isin([d.total, *d.groups]).to_numpy()
    return flags


def _unequal_totals(laid: Laid) -> list[str]:
    """Totals that are not the sum of their parts: then the table does not count distinct children of one population."""
    found = []
    for position, (population, pairs) in enumerate(laid.cells):
        stated = int(laid.frame[laid.offer.children].iloc[position])
        for cube in laid.cubes:
            mask = cube.mask(dict(pairs))
            if mask is None:
                continue
            summed = int(cube.counts[mask].sum())
            if summed != stated:
                where = ", ".join(f"{n} {v}" for n, v in pairs) or population
                found.append(f"the row {where} has {stated} children, its parts have {summed}")
            elif laid.events:
                events = int(laid.frame[str(laid.offer.numerator)].iloc[position])
                chosen = cube.mask(dict(laid.events[position][1]))
                assert chosen is not None
                if int(cube.counts[chosen].sum()) != events:
                    found.append(f"{laid.offer.numerator}: a total is not the sum of its parts")
            if laid.structural[position] and stated:
                found.append("a cell that cannot have children has some")
    return found[:3]
