"""Rows that matter, as numbers and in order.

Belongs here: coding events as numbers, and rows sorted by (entity, time) some entities at a time.
Does not belong here: which rows make an attempt.

Entities are dealt out to ranges that fit a processor's cache, one core each. There rows are sorted
by (entity, time, event) packed into single integers.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.errors import UsageError
from pipelines.funnel.definition import Plan
from pipelines.funnel.events import Events
from pipelines.sorting import by_upper_bits, in_place, order_of

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Columns = tuple[npt.NDArray[Any], ...]

_NOBODY = 255  # a code that no plan gives out
_TIME_UNITS = (86_400_000_000, 1_000_000, 1_000, 1)
_HASHES = ("first_hash", "second_hash")
_KEY_BITS = 63
_RANGE_BITS = 8  # of entities: the ranges that numpy deals rows out to in one pass
_MOMENT_BITS = 55  # of a time and a code; leaves room for some entities
_RUN_ROWS = 1 << 16  # at least, where entities are spread evenly
_SLICE_ROWS = 1 << 19
_BLOCK_ROWS = 1 << 19

logger = logging.getLogger(__name__)


def coded(events: Events, plan: Plan, by: str | None) -> pl.DataFrame:
    """The rows that matter as numbers: ids_of them, at (microseconds from the first), code, by.

    Rows without an entity or without a time are left out and counted in the log.
    """
    kinds = events.frame.collect_schema()
    is_somebody = pl.col("entity").is_not_null() & pl.col("at").is_not_null()
    code = pl.when(is_somebody).then(plan.code(pl.col("event"))).otherwise(_NOBODY)
    columns = {"at": pl.col("at").to_physical(), "code": code.cast(pl.UInt8)}
    if kinds["entity"].is_integer():
        columns["entity"] = pl.col("entity")
    else:  # to hash a text takes a fifth of the time of a dictionary
        columns |= {name: pl.col("entity").hash(seed) for seed, name in enumerate(_HASHES)}
    if by is not None:
        columns["by"] = _comparable(by, kinds[by])
    query = events.frame.select(**columns)
    if not plan.needs_every_row:
        query = query.filter(pl.col("code") > 0)
    rows = _without_nobody(events.collect(query), events)
    rows = rows.with_columns(pl.col("at") - pl.col("at").min())
    return rows.with_columns(_numbered(rows["entity"])) if "entity" in columns else rows


def _without_nobody(rows: pl.DataFrame, events: Events) -> pl.DataFrame:
    is_nobody = rows["code"] == _NOBODY
    if not is_nobody.any():
        return rows
    of = events.collect(events.frame.select(pl.len())).item()
    logger.warning(
        "%s: left out %d of %d rows that have no entity or no time.",
        events.source,
        is_nobody.sum(),
        of,
    )
    return rows.filter(~is_nobody)


def _comparable(by: str, kind: pl.DataType) -> pl.Expr:
    if kind.is_nested():
        raise UsageError(f"Column {by!r} holds {kind}: group by a plain column.")
    is_plain = kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean
    return pl.col(by) if is_plain else pl.col(by).cast(pl.String)


def _numbered(entity: pl.Series) -> pl.Series:
    """Numbers from 0 on, equal for equal entities."""
    least, greatest = entity.min(), entity.max()
    if not isinstance(least, int) or not isinstance(greatest, int):
        return entity.cast(pl.Int64)
    if greatest - least < 4 * len(entity) and greatest < 1 << _KEY_BITS:
        return entity.cast(pl.Int64) - least
    return (entity.rank("dense") - 1).cast(pl.Int64)


def ids_of(rows: pl.DataFrame) -> list[str]:
    """The columns that together say whose a row is."""
    return [name for name in ("entity", *_HASHES) if name in rows.columns]


class Sorted(NamedTuple):
    """Rows by entity and time; ids are the entity's in the columns that ids_of names."""

    entity: Ints
    at: Ints
    code: Codes
    ids: Columns


Run = Callable[[], Sorted]


@dataclass(frozen=True)
class _Dealt:
    """Ids and moment of all rows; in each slice of rows they stand range of entities by range.

    `starts` has a row per slice and a column per range, and one for the end of the slice.
    """

    columns: Columns
    starts: Ints
    own_bits: int  # of an id: those that differ within a range

    def of_range(self, number: int) -> list[npt.NDArray[Any]]:
        parts = [slice(*ends) for ends in self.starts[:, number : number + 2]]
        return [np.concatenate([column[part] for part in parts]) for column in self.columns]


@dataclass(frozen=True)
class _Moments:
    """Time and code of a row as one number, which sorts by time; bits = how many it takes."""

    bits: int
    code_bits: int
    unit: int
    times: Ints | None  # where the number has a time's place among these

    def number(self, at: Ints, code: Codes) -> Ints:
        number = at // self.unit if self.times is None else np.searchsorted(self.times, at)
        number <<= self.code_bits  # in place: to touch new memory takes longer than to compute
        number |= code
        return number

    def at(self, number: Ints) -> Ints:
        time = (number & _ones(self.bits)) >> self.code_bits
        return time * self.unit if self.times is None else self.times[time]

    def code(self, number: Ints) -> Codes:
        return (number & _ones(self.code_bits)).astype(np.uint8)


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _greatest(numbers: pl.Series) -> int:
    greatest = numbers.max()
    assert isinstance(greatest, int)
    return greatest


def _moments(rows: pl.DataFrame) -> _Moments:
    code_bits = _greatest(rows["code"]).bit_length()
    unit, times = _unit(rows["at"]), None
    last = _greatest(rows["at"]) // unit
    if last.bit_length() + code_bits > _MOMENT_BITS:
        times = rows["at"].unique().sort().to_numpy()
        last = times.size
    return _Moments(last.bit_length() + code_bits, code_bits, unit, times)


def _unit(at: pl.Series) -> int:
    """The coarsest unit of time that loses nothing; the head of the data rules most out at once."""
    return next(
        unit
        for unit in _TIME_UNITS
        if not any((part % unit != 0).any() for part in (at.head(1024), at))
    )


def runs(rows: pl.DataFrame, pool: ThreadPoolExecutor) -> Iterator[Run]:
    """All rows sorted by (entity, at), some entities at a time; what is called does the work.

    Rows are dealt out to ranges of entities slice by slice, which stays near the processor; a run
    gathers its range from all slices.
    """
    moments = _moments(rows)
    dealt = _dealt(rows, moments, pool)
    for number in np.flatnonzero(np.diff(dealt.starts).any(axis=0)):
        yield partial(_run, dealt, int(number), moments)


def _dealt(rows: pl.DataFrame, moments: _Moments, pool: ThreadPoolExecutor) -> _Dealt:
    ids = ids_of(rows)
    range_bits = min(max((rows.height // _RUN_ROWS).bit_length(), 1), _RANGE_BITS)
    own_bits = max(_greatest(rows[ids[0]]).bit_length() - range_bits, 1)
    kinds = [*(rows[name].head(0).to_numpy().dtype for name in ids), np.int64]
    columns = tuple(np.empty(rows.height, kind) for kind in kinds)

    def deal(start: int) -> Ints:
        some = rows.slice(start, _SLICE_ROWS)
        moment = moments.number(some["at"].to_numpy(), some["code"].to_numpy())
        given = [*(some[name].to_numpy() for name in ids), moment]
        number = (given[0] >> given[0].dtype.type(own_bits)).astype(np.uint8)
        order = np.argsort(number, kind="stable")  # of 8 bits: linear
        for values, column in zip(given, columns, strict=True):
            # "clip" writes into place without a buffer
            np.take(values, order, out=column[start : start + some.height], mode="clip")
        sizes = np.bincount(number, minlength=1 << range_bits)
        return start + np.cumsum(np.append(0, sizes))

    starts = np.array(list(pool.map(deal, range(0, rows.height, _SLICE_ROWS))))
    return _Dealt(columns, starts, own_bits)


def _run(dealt: _Dealt, number: int, moments: _Moments) -> Sorted:
    first, *second, moment = dealt.of_range(number)
    if second:
        return _sorted_texts(first, second[0], moment, moments, dealt.own_bits)
    return _sorted_numbers(first, moment, moments)


def _sorted_numbers(entity: Ints, moment: Ints, moments: _Moments) -> Sorted:
    part = entity >> (_KEY_BITS - moments.bits)
    if (part != part[0]).any():
        order = order_of(part)
        entity, moment = entity[order], moment[order]
    entity, key = _in_order(entity, moment, moments)
    return Sorted(entity, moments.at(key), moments.code(key), (entity,))


def _sorted_texts(
    first: Hashes, second: Hashes, moment: Ints, moments: _Moments, own_bits: int
) -> Sorted:
    order = _side_by_side(first, second, own_bits)
    first, second, moment = first[order], second[order], moment[order]
    entity = np.cumsum(changes(first) | changes(second)) - 1
    entity, key = _in_order(entity, moment, moments)
    return Sorted(entity, moments.at(key), moments.code(key), (first, second))


def _in_order(entity: Ints, moment: Ints, moments: _Moments) -> tuple[Ints, Ints]:
    """Entity and key of rows in order; entities ascend but for the bits that a key has room for."""
    low_bits = _KEY_BITS - moments.bits
    part = entity >> low_bits
    key = entity & _ones(low_bits)
    key <<= moments.bits
    key |= moment
    for piece in np.split(key, np.flatnonzero(part[1:] != part[:-1]) + 1):
        in_place(piece)
    part <<= low_bits
    part |= key >> moments.bits
    return part, key


def _side_by_side(first: Hashes, second: Hashes, own_bits: int) -> Ints:
    """An order in which equal pairs of hashes follow each other.

    The upper bits of the first settle it, but where two pairs share those.
    """
    order, bits = by_upper_bits(first << np.uint64(64 - own_bits))  # the others are equal here
    differs = changes(first[order]) | changes(second[order])
    if (differs & ~changes(bits)).any():
        return np.lexsort((second, first))
    return order


def blocks(rows: Sorted) -> Iterator[Sorted]:
    """Runs of whole entities, small enough to stay near the processor."""
    start = 0
    while start < rows.entity.size:
        last = min(start + _BLOCK_ROWS, rows.entity.size) - 1
        end = int(np.searchsorted(rows.entity, rows.entity[last], side="right"))
        run = slice(start, end)
        ids = tuple(column[run] for column in rows.ids)
        yield Sorted(rows.entity[run], rows.at[run], rows.code[run], ids)
        start = end


def changes(values: npt.NDArray[Any]) -> Flags:
    """Where a value differs from the one before it; the first always does."""
    changes = np.ones(values.size, dtype=bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes
