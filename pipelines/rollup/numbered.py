"""Lake files of requests to their kinds with polars, without making a text of any row.

Belongs here: reading day files as Parquet keeps them, a text once and its number in every row, and
sums by one whole number that stands for all that makes a kind, or the key of a fact.
Does not belong here: which deliveries count (requests.py), what a request counts as (aggregates.py).

Rules about texts are asked of the texts that occur, not of the rows. Row groups are counted one by
one, so what a day costs in memory is its kinds. Within one polars is asked seldom: it hands work to
threads of its own, which wait for a processor while all are busy with row groups.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
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
_NUMBERED = (*_TEXTS, "on_plan")
_KIND = ("day", *_NUMBERED, "tier")
_SUMS = ("requests", *aggregates.TOKENS)
_ON_PLAN = pl.DataFrame({"on_plan": [False, True, None]})  # numbered as texts are
_NULL = pl.Series([None], dtype=pl.String)
_PIECE_ROWS = 100_000
_KEY_BITS = 62
WORKERS = ThreadPoolExecutor(os.cpu_count())  # kept: new threads take memory of their own


class Counted(NamedTuple):
    """kinds: as `aggregates.kinds` gives them; refused: the rows that a quota refused.

    Keys of facts are numbers of texts, which stand in `words` in their order, null first.
    """

    kinds: pl.DataFrame
    refused: pl.DataFrame
    words: dict[str, pl.Series]


class _Piece(NamedTuple):
    """Row groups in turn, as (number of source and day, path, number of the group)."""

    groups: list[tuple[int, str, int]]
    first_row: int


class _Counts(NamedTuple):
    """What a piece holds, with numbers for its texts and for what _ON_PLAN says."""

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
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what each thread once used
    # Without a name of its own the list goes when its pieces are together.
    texts, kinds, refused = _together(
        list(WORKERS.map(partial(_counts, lost=lost, bounds=bounds), pieces))
    )
    words = {name: texts[name] for name in ("team", "model")}
    values = {name: (name, texts[name]) for name in ("status", "refused_by")}
    values["on_plan"] = ("on_plan", _ON_PLAN["on_plan"])
    for name, (column, rule) in aggregates.NAMED.items():
        ruled = nw.from_native(texts[column].to_frame()).select(rule).to_native().to_series()
        if name != "model_key":
            words[name], ruled = in_order(ruled)
        values[name] = (column, ruled)

    def named(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(
            pl.exclude("day", *_NUMBERED),
            "team",
            "model",
            *days[rows["day"]],
            *(value.gather(rows[column]).alias(name) for name, (column, value) in values.items()),
        )

    summed = _summed(kinds, _key(kinds), _KIND, _SUMS)
    return Counted(named(summed), named(refused), words)


def summed(rows: pl.DataFrame, by: Sequence[str], of: Sequence[str]) -> pl.DataFrame:
    """One row for each `by`, ascending, with the sums of `of`; by: dates, times, whole numbers."""
    return _summed(rows, _packed([_place(rows[name]) for name in by]), by, of)


def _place(values: pl.Series) -> Numbers:
    """Whole numbers from 0 on in the order of the values."""
    number = values.to_physical()
    return (number - (number.min() or 0)).to_numpy()


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
    plain = pl.concat([pl.DataFrame(table.select(_PLAIN)) for table in tables])
    numbered = plain.lazy().with_columns(
        *(number for _, number in read.values()),
        pl.col("on_plan").cast(pl.Int32).fill_null(_ON_PLAN.height - 1),
        day=day.astype(np.int32),
        requests=pl.lit(1, dtype=pl.Int64),
    )
    rows = aggregates.measured(nw.from_native(numbered), bounds).to_native().collect()
    key = _key(rows)
    gone = lost[np.searchsorted(lost, piece.first_row) :] - piece.first_row
    key[gone[: np.searchsorted(gone, len(key))]] = -1
    texts = {name: texts for name, (texts, _) in read.items()}
    pair = rows["on_plan"].to_numpy() * len(texts["status"]) + rows["status"].to_numpy()
    is_refused = _refused(tuple(texts["status"]))[pair] & (key >= 0)
    refused = rows[np.flatnonzero(is_refused), ["day", *_NUMBERED, "requested_at"]]
    return _Counts(texts, _summed(rows, key, _KIND, _SUMS), refused)


def _read(columns: Sequence[Any], name: str) -> tuple[pl.Series, pl.Series]:
    """The texts of Arrow columns, null behind those of each chunk, and the number of every row's."""
    texts, numbers, before = [], [], 0
    for chunk in (chunk for column in columns for chunk in column.chunks):
        number = pl.Series(name, _filled(chunk.indices, len(chunk.dictionary)))
        texts.append(pl.Series(name, chunk.dictionary).append(_NULL))
        numbers.append(number + before if before else number)
        before += len(texts[-1])
    return pl.concat(texts), pl.concat(numbers)


def _filled(indices: Any, null: int) -> Any:
    """Numbers without null, by hand: Arrow's fill_null would import pandas."""
    if not indices.null_count:
        return indices
    valid, data = indices.buffers()
    end = indices.offset + len(indices)
    is_valid = np.unpackbits(np.frombuffer(valid, np.uint8), count=end, bitorder="little")
    found = np.where(is_valid, np.frombuffer(data, np.int32, count=end), np.int32(null))
    return found[indices.offset :]


def _key(rows: pl.DataFrame) -> npt.NDArray[np.int64]:
    """One number for each row, equal where all of _KIND is."""
    numbers = [rows[name].to_numpy() for name in ("day", *_NUMBERED)]
    tier = rows["tier"].fill_null(-1) if rows["tier"].null_count() else rows["tier"]
    return _packed([*numbers, tier.to_numpy() + 1])


def _packed(parts: Sequence[Numbers]) -> npt.NDArray[np.int64]:
    """One number for each row, which ascends as the parts do, the first of them first."""
    key, size = np.zeros(len(parts[0]), dtype=np.int64), 1
    for part in parts:
        more = int(part.max(initial=0)) + 1
        if size * more > 1 << _KEY_BITS:
            key, part = (np.unique(each, return_inverse=True)[1] for each in (key, part))
            size, more = (int(each.max()) + 1 for each in (key, part))
        key *= more
        key += part
        size *= more
    return key


def _summed(rows: pl.DataFrame, key: Numbers, by: Sequence[str], of: Sequence[str]) -> pl.DataFrame:
    """The sums of each key, ascending, beside what it stands for; the key -1 doesn't count."""
    order = None if (key[1:] >= key[:-1]).all() else sorting.order_of(key)
    starts = np.flatnonzero(np.diff(key if order is None else key[order], prepend=-1))
    bounds = np.append(starts, len(key))
    total = np.zeros(len(key) + 1, dtype=np.int64)

    def added_up(name: str) -> pl.Series:
        values = rows[name].to_numpy()
        np.cumsum(values if order is None else values[order], out=total[1:])
        return pl.Series(name, np.diff(total[bounds]))

    first = starts if order is None else order[starts]
    return rows[first, list(by)].hstack([added_up(name) for name in of])


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
    """The texts of all pieces in order, null first, and rows with numbers that mean these."""
    every = {name: pl.concat([counts.texts[name] for counts in found]) for name in _TEXTS}
    ordered = {name: in_order(texts) for name, texts in every.items()}
    before = dict.fromkeys(_TEXTS, 0)
    kinds: list[pl.DataFrame] = []
    refused: list[pl.DataFrame] = []
    for counts in found:
        numbers = {n: number.to_numpy()[before[n] :] for n, (_, number) in ordered.items()}
        for rows, into in ((counts.kinds, kinds), (counts.refused, refused)):
            into.append(
                rows.with_columns(
                    pl.Series(name, number[rows[name].to_numpy()])
                    for name, number in numbers.items()
                )
            )
        before = {name: before[name] + len(texts) for name, texts in counts.texts.items()}
    return (
        {name: texts for name, (texts, _) in ordered.items()},
        pl.concat(kinds),
        pl.concat(refused),
    )


def in_order(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The texts once each, null first, and the number of every one of them among those."""
    order = texts.arg_sort()
    ordered = texts.gather(order)
    is_new = ordered.ne_missing(ordered.shift()).to_numpy(writable=True)
    is_new[:1] = True  # also where it is null
    numbers = np.empty(len(texts), dtype=np.int32)
    numbers[order.to_numpy()] = np.cumsum(is_new) - 1
    return ordered.filter(pl.Series(is_new)), pl.Series(texts.name, numbers)
