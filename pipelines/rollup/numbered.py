"""Lake files of requests to their kinds with polars, without making a text of any row.

Belongs here: reading day files as Parquet keeps them, a text once and its number in every row, and
grouping rows by one whole number that stands for all that makes a kind.
Does not belong here: which deliveries count (requests.py), what a request counts as (aggregates.py).

Rules about texts are asked of the texts that occur, not of the rows. Row groups are counted one by
one, so what a day costs in memory is its kinds.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sorting
from pipelines.rollup import aggregates

Numbers = npt.NDArray[Any]  # whole ones
_TEXTS = ("team", "member", "model", "task", "status", "refused_by")
_PLAIN = ("on_plan", "requested_at", *aggregates.TOKENS)
_KIND = ("day", *_TEXTS, "on_plan", "tier")
_SUMS = ("requests", *aggregates.TOKENS)
_ON_PLAN = pl.DataFrame({"on_plan": [False, True, None]})
_NULL = pl.Series([None], dtype=pl.String)
_PIECE_ROWS = 100_000
_KEY_BITS = 62


class Counted(NamedTuple):
    """kinds: as `aggregates.kinds` gives them; refused: the rows that a quota refused.

    Keys of facts are of type Enum, in the order of their texts.
    """

    kinds: pl.DataFrame
    refused: pl.DataFrame


class _Piece(NamedTuple):
    """Row groups in turn, as (number of source and day, path, number of the group)."""

    groups: list[tuple[int, str, int]]
    first_row: int


class _Counts(NamedTuple):
    """What a piece holds, with numbers for its texts."""

    texts: dict[str, pl.Series]
    kinds: pl.DataFrame
    refused: pl.DataFrame


def counted(files: pl.DataFrame, lost: Numbers, bounds: Sequence[int]) -> Counted:
    """The rows of the files but the lost ones, which are numbered through all files, ascending.

    files: path, source and usage_on; bounds are `tier_bounds`.
    """
    days = files.select("source", "usage_on").unique(maintain_order=True)
    numbered = files.join(days.with_row_index("day"), on=days.columns, maintain_order="left")
    pieces = _pieces(numbered.select("day", "path").iter_rows())
    found = [_counts(piece, lost, bounds) for piece in pieces]
    pa.default_memory_pool().release_unused()  # what Arrow read into
    texts, kinds, refused = _together(found)
    words = {name: (name, texts[name]) for name in ("status", "refused_by")}
    words |= {name: (name, _ordered(texts[name])) for name in ("team", "model")}
    for name, (column, rule) in aggregates.NAMED.items():
        ruled = nw.from_native(texts[column].to_frame()).select(rule).to_native().to_series()
        words[name] = (column, ruled if name == "model_key" else _ordered(ruled))

    def named(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(
            pl.exclude("day", *_TEXTS),
            *days[rows["day"]],
            *(word.gather(rows[column]).alias(name) for name, (column, word) in words.items()),
        )

    return Counted(named(_summed(kinds, _key(kinds))), named(refused))


def _pieces(files: Iterable[tuple[int, str]]) -> Iterator[_Piece]:
    """A large row group by itself, small ones together."""
    groups: list[tuple[int, str, int]] = []
    first_row = rows = 0
    for day, path in files:
        known = pq.ParquetFile(path).metadata
        for group in range(known.num_row_groups):
            groups.append((day, path, group))
            rows += known.row_group(group).num_rows
            if rows >= _PIECE_ROWS:
                yield _Piece(groups, first_row)
                groups, first_row, rows = [], first_row + rows, 0
    if groups:
        yield _Piece(groups, first_row)


def _counts(piece: _Piece, lost: Numbers, bounds: Sequence[int]) -> _Counts:
    tables = [
        pq.ParquetFile(path, read_dictionary=_TEXTS).read_row_group(
            group, [*_TEXTS, *_PLAIN], use_threads=False
        )
        for _, path, group in piece.groups
    ]
    day = np.repeat([day for day, _, _ in piece.groups], [len(table) for table in tables])
    read = {name: _read([table.column(name) for table in tables], name) for name in _TEXTS}
    rows = pl.concat([pl.DataFrame(table.select(_PLAIN)) for table in tables]).with_columns(
        *(number for _, number in read.values()),
        day=day.astype(np.int32),
        requests=pl.lit(1, dtype=pl.Int64),
    )
    rows = aggregates.measured(nw.from_native(rows.lazy()), bounds).to_native().collect()
    key = _key(rows)
    gone = lost[np.searchsorted(lost, piece.first_row) :] - piece.first_row
    key[gone[: np.searchsorted(gone, len(key))]] = -1
    texts = {name: texts for name, (texts, _) in read.items()}
    pair = _on_plan(rows) * len(texts["status"]) + rows["status"].to_numpy()
    is_refused = _refused(tuple(texts["status"]))[pair] & (key >= 0)
    refused = rows.select("day", *_TEXTS, "on_plan", "requested_at").filter(is_refused)
    return _Counts(texts, _summed(rows, key), refused)


def _read(columns: Sequence[Any], name: str) -> tuple[pl.Series, pl.Series]:
    """The texts of Arrow columns, null behind those of each chunk, and the number of every row's."""
    texts, numbers, before = [], [], 0
    for chunk in (chunk for column in columns for chunk in column.chunks):
        number = _series(name, chunk.indices)
        if chunk.null_count:
            number = number.fill_null(len(chunk.dictionary))
        texts.append(_series(name, chunk.dictionary).append(_NULL))
        numbers.append(number + before if before else number)
        before += len(texts[-1])
    return pl.concat(texts), pl.concat(numbers)


def _series(name: str, array: Any) -> pl.Series:
    """By way of a table: a Series of an Arrow array would import pyarrow.compute first."""
    return pl.DataFrame(pa.table({name: array})).to_series()


def _key(rows: pl.DataFrame) -> npt.NDArray[np.int64]:
    """One number for each row, equal where all of _KIND is."""
    numbers = [rows[name].to_numpy() for name in ("day", *_TEXTS)]
    key, size = np.zeros(rows.height, dtype=np.int64), 1
    for part in (*numbers, _on_plan(rows), rows["tier"].fill_null(-1).to_numpy() + 1):
        more = int(part.max(initial=0)) + 1
        if size * more > 1 << _KEY_BITS:
            key = np.unique(key, return_inverse=True)[1]
            size = int(key.max()) + 1
        key *= more
        key += part
        size *= more
    return key


def _on_plan(rows: pl.DataFrame) -> Numbers:
    """The row's number in _ON_PLAN."""
    return rows["on_plan"].cast(pl.Int32).fill_null(2).to_numpy()


def _summed(rows: pl.DataFrame, key: Numbers) -> pl.DataFrame:
    """Kinds with their sums, by key; rows with the key -1 don't count."""
    order = sorting.order_of(key)
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    sums = {name: np.add.reduceat(rows[name].to_numpy()[order], starts) for name in _SUMS}
    return rows.select(_KIND)[order[starts]].with_columns(**sums)


@lru_cache  # row groups of a source have the same few
def _refused(status: tuple[str | None, ...]) -> npt.NDArray[np.bool_]:
    """Whether a quota refused, for each of _ON_PLAN with each status."""
    texts = pl.DataFrame({"status": status}, schema={"status": pl.String})
    pairs = _ON_PLAN.join(texts, how="cross", maintain_order="left_right")
    numbered = nw.from_native(pairs.with_row_index("pair").lazy())
    found = np.zeros(pairs.height, dtype=bool)
    found[aggregates.refused(numbered).to_native().collect()["pair"]] = True
    return found


def _together(
    found: Sequence[_Counts],
) -> tuple[dict[str, pl.Series], pl.DataFrame, pl.DataFrame]:
    """The texts of all pieces in order, null last, and rows with numbers that mean these."""
    kinds = [counts.kinds for counts in found]
    refused = [counts.refused for counts in found]
    known = {}
    for name in _TEXTS:
        known[name], numbers = _in_order(pl.concat([counts.texts[name] for counts in found]))
        before = 0
        for at, counts in enumerate(found):
            number = numbers.slice(before, len(counts.texts[name]))
            for rows in (kinds, refused):
                rows[at] = rows[at].with_columns(number.gather(rows[at][name]))
            before += len(number)
    return known, pl.concat(kinds), pl.concat(refused)


def _in_order(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The texts once each, null last, and the number of every one of them among those."""
    order = texts.arg_sort(nulls_last=True)
    ordered = texts.gather(order)
    is_new = ordered.ne_missing(ordered.shift()).to_numpy(writable=True)
    is_new[:1] = True  # also where it is null
    numbers = np.empty(len(texts), dtype=np.int32)
    numbers[order.to_numpy()] = np.cumsum(is_new) - 1
    return ordered.filter(pl.Series(is_new)), pl.Series(texts.name, numbers)


def _ordered(texts: pl.Series) -> pl.Series:
    """The texts as an Enum in their order."""
    known = texts.drop_nulls().unique(maintain_order=True).sort()
    return (texts.rank("dense") - 1).cat.to(pl.Enum(known))
