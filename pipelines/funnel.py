"""Funnels over any table of events: how many entities got through the steps, and how fast.

Belongs here: reading an event file into (entity, event, at), the definition of a funnel, and its
numbers. Does not belong here: the command line, DuckDB sessions, and the meaning of Cloudbound's
own milestones; a published table comes in as a frame through `clean_events`.

What is counted. An attempt is a chain of distinct rows of one entity that fill steps 1..k in turn,
all within the window. Every entity counts once, with its best attempt.

    question                       answer
    which attempt counts           any entry may win: most steps, then clean before tainted, then
                                   the earliest first step, then every next step as early as can be
    window                         inclusive, measured from the first step; none = no limit
    equal times                    a moment (one entity, one time) has no inner order: its rows may
                                   fill steps in any order, so the order of the file never matters
    one row                        fills one step at most, also where steps repeat or are `*`
    `*`                            any row, except one of an excluded event
    exclusion                      taints an attempt when it lies strictly between the first and the
                                   last step; of an incomplete attempt, after the first step and up
                                   to the window's end, inclusive; a tainted winner counts nowhere
    strict                         contiguous rows: no other row of the entity in between
    unordered                      k = at least k distinct steps by distinct rows in one window
    median_seconds                 from the previous step to this one in the winning attempts; null
                                   for step 1 and for a step that nobody reached
    by                             the value at the winning attempt's first row (the smallest, when
                                   several rows of that moment could be it), so parts sum to totals
    time                           microseconds; finer digits are cut off, which may make ties
    numbers as time                one unit for the column by its largest: < 1e11 seconds, < 1e14
                                   milliseconds, < 1e17 microseconds, else nanoseconds
    no events at all               nobody reached anything: zeros, not an error

How it stays fast. Entities are dealt out to ranges that fit a processor's cache, one core each.
There rows are sorted by (entity, time, event) packed into single integers, cut into moments, and
every attempt then walks one step per pass over arrays, so the work is the sort plus (number of
steps) x (number of first steps), on hostile input too.
"""

import csv
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.sorting import by_upper_bits, in_place

Mode = Literal["ordered", "strict", "unordered"]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

ANY_EVENT = "*"
REQUIRED = ("entity", "event", "at")
ENTITY_ALIAS = "team_id"
UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_WINDOW = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([smhd])\s*")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ISO = "%Y-%m-%dT%H:%M:%S%.f%#z"
_LOOSE_ISO = (
    r"(?i)^(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ]+(?<minute>\d{2}:\d{2})(?::(?<second>\d{2})(?:[.,](?<fraction>\d{1,9})\d*)?)?)?"
    r"\s*(?<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_EPOCH_UNITS = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))
_TIME_UNITS = (86_400_000_000, 1_000_000, 1_000, 1)
_HASHES = ("first_hash", "second_hash")
_KEY_BITS = 63
_RANGE_BITS = 8  # of entities: the ranges that numpy deals rows out to in one pass
_MOMENT_BITS = 55  # of a time and a code; leaves room for some entities
_RUN_ROWS = 1 << 16
_BLOCK_ROWS = 1 << 19
_MOST_STEPS = 64
_FEW = 8
_NEVER = -1
_PLAIN = (str, int, float, bool, type(None))

logger = logging.getLogger(__name__)


class UsageError(ValueError):
    """The request cannot be met as written; the message is one sentence for whoever asked."""


class Events(NamedTuple):
    """Events ready for `funnel`, and how many rows without an entity or a time were left out."""

    frame: pl.DataFrame
    dropped: int


@dataclass(frozen=True)
class FunnelResult:
    """One funnel: of everybody (`group` is None), or of one value of the column `by`."""

    group: object
    reached: list[int]
    median_seconds: list[float | None]
    by: str | None = None


# Input ------------------------------------------------------------------------------------------


def parse_window(text: str) -> int:
    """Microseconds of '14d', '1.5h', '90m', '30s' or '0.001s', rounded down."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise UsageError(
            f"Window {text!r} is not a duration: write a number and s, m, h or d, such as 14d."
        )
    number, unit = match.groups()
    return int(Fraction(number) * _UNIT_SECONDS[unit] * 1_000_000)


def load_events(path: Path) -> pl.DataFrame:
    """Events of a .json, .jsonl, .csv or .parquet file; rows left out are counted in the log."""
    events = clean_events(_read(path), str(path))
    if events.dropped:
        logger.warning(
            "%s: left out %d of %d rows that have no entity or no time.",
            path,
            events.dropped,
            events.dropped + events.frame.height,
        )
    return events.frame


def clean_events(frame: pl.DataFrame, source: str) -> Events:
    """Give `frame` the columns entity, event and at (UTC); `source` names it in messages."""
    if not frame.columns:
        frame = pl.DataFrame(schema=dict.fromkeys(REQUIRED, pl.String))
    if "entity" not in frame.columns and ENTITY_ALIAS in frame.columns:
        frame = frame.with_columns(pl.col(ENTITY_ALIAS).alias("entity"))
    for column in REQUIRED:
        if column not in frame.columns:
            raise UsageError(
                f"{source} has no column {column!r}: it needs entity (or {ENTITY_ALIAS}), event "
                f"and at, and has {', '.join(frame.columns)}."
            )
    cleaned = frame.with_columns(
        _identity(frame["entity"], source),
        _text(frame["event"], source),
        _times(frame["at"], source),
    ).drop_nulls(["entity", "at"])
    return Events(cleaned, frame.height - cleaned.height)


def _read(path: Path) -> pl.DataFrame:
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".csv": lambda file: pl.read_csv(file, infer_schema=False, glob=False),
        ".json": lambda file: pl.read_json(file, infer_schema_length=None),
        ".jsonl": _read_json_lines,
        ".ndjson": _read_json_lines,
        ".parquet": lambda file: pl.read_parquet(file, glob=False),
    }
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UsageError(f"{path} is not a file: check the path.")
    if suffix not in readers:
        raise UsageError(
            f"{path} is of no known kind: give a file that ends in {', '.join(readers)}."
        )
    try:
        return readers[suffix](path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read as {suffix[1:]}{_fault(path, suffix)}: repair or re-export it."
        ) from error


def _read_json_lines(path: Path) -> pl.DataFrame:
    if path.stat().st_size == 0:
        return pl.DataFrame()
    with path.open("rb") as file:
        return pl.read_ndjson(file, infer_schema_length=None)


def _fault(path: Path, suffix: str) -> str:
    """Where the file breaks, as ' (line N)', or '' where no single line is to blame."""
    finders = {".csv": _csv_fault, ".json": _json_fault}
    if suffix == ".parquet":
        return ""
    line = finders.get(suffix, _json_lines_fault)(path.read_bytes())
    return f" (line {line})" if line else ""


def _csv_fault(content: bytes) -> int | None:
    try:
        rows = csv.reader(content.decode().splitlines())
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    width = len(next(rows, []))
    return next((rows.line_num for row in rows if len(row) > width), None)


def _json_fault(content: bytes) -> int | None:
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return error.lineno
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return None


def _json_lines_fault(content: bytes) -> int | None:
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                return number
        except ValueError:
            return number
    return None


def _text(values: pl.Series, source: str) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"{source} has {values.dtype} in column {values.name!r}: write text or numbers there."
        ) from error


def _identity(values: pl.Series, source: str) -> pl.Series:
    """Whole numbers as they are, all else as text; what names nobody becomes null."""
    if values.dtype.is_integer():
        return values
    if values.dtype.is_float():
        values = values.fill_nan(None)
    return _blank_to_null(_text(values, source))


def _blank_to_null(text: pl.Series) -> pl.Series:
    # What begins with a printed character of ASCII needs no closer look.
    if not ((text < "!") | (text > "~")).any():
        return text
    return text.set(text.str.strip_chars() == "", None)


def _times(values: pl.Series, source: str) -> pl.Series:
    kind = values.dtype
    if kind == pl.Null:
        return values.cast(UTC_MICROSECONDS)
    if isinstance(kind, pl.Datetime):
        return _in_utc(values.dt.cast_time_unit("us"))
    if kind == pl.Date:
        return _in_utc(values.cast(pl.Datetime("us")))
    if kind == pl.String:
        given = _blank_to_null(values.str.strip_chars())
        parsed = _times_from_text(given)
    elif kind.is_numeric():
        given = values.cast(pl.Float64) if kind.is_decimal() else values
        given = given.fill_nan(None) if given.dtype.is_float() else given
        parsed = _times_from_numbers(given)
    else:
        raise UsageError(f"{source} has {kind} in column 'at': write ISO text or epoch numbers.")
    bad = given.is_not_null() & parsed.is_null()
    if bad.any():
        row = bad.arg_max()
        raise UsageError(
            f"{source} has no time in row {(row or 0) + 1}, at = {values[row or 0]!r}: write ISO "
            "text such as 2024-01-31T08:00:00Z or an epoch number."
        )
    return parsed


def _in_utc(values: pl.Series) -> pl.Series:
    if getattr(values.dtype, "time_zone", None) is None:
        return values.dt.replace_time_zone("UTC")
    return values.dt.convert_time_zone("UTC")


def _times_from_text(text: pl.Series) -> pl.Series:
    parsed = text.str.to_datetime(_ISO, strict=False, time_unit="us")
    if parsed.null_count() == text.null_count():
        return parsed
    parts = text.str.extract_groups(_LOOSE_ISO).struct.unnest()
    zone = pl.col("zone").str.replace(r"(?i)^(Z|UTC)$", "+00:00").fill_null("+00:00")
    loose = parts.select(
        at=pl.concat_str(
            pl.col("day"),
            pl.lit("T"),
            pl.col("minute").fill_null("00:00"),
            pl.lit(":"),
            pl.col("second").fill_null("00"),
            pl.lit("."),
            pl.col("fraction").fill_null("0"),
            zone,
        ).str.to_datetime(_ISO, strict=False, time_unit="us")
    )["at"]
    numbers = text.set(~text.str.contains(_NUMBER), None)
    whole = numbers.str.to_integer(strict=False)
    is_whole = whole.null_count() == numbers.null_count()
    epoch = _times_from_numbers(whole if is_whole else numbers.cast(pl.Float64))
    return pl.select(at=pl.coalesce(parsed, loose, epoch))["at"]


def _times_from_numbers(values: pl.Series) -> pl.Series:
    if not values.dtype.is_float():
        values = values.cast(pl.Int64, strict=False)
    largest = float(values.abs().max() or 0)  # type: ignore[arg-type]
    factor = next((factor for limit, factor in _EPOCH_UNITS if largest < limit), None)
    if factor is None:
        microseconds = values // 1_000
    else:
        microseconds = (values * factor).round() if values.dtype.is_float() else values * factor
    return microseconds.cast(pl.Int64, strict=False).cast(UTC_MICROSECONDS)


# Definition -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What is asked. Event codes: 0 = any other event, 1.. = named steps, last = excluded."""

    steps: tuple[str, ...]
    excluded: tuple[str, ...]
    mode: Mode
    window_us: int | None

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step for step in self.steps if step != ANY_EVENT))

    @cached_property
    def stars(self) -> int:
        return self.steps.count(ANY_EVENT)

    @property
    def excluded_code(self) -> int:
        return len(self.names) + 1

    @property
    def needs_every_row(self) -> bool:
        return self.mode == "strict" or self.stars > 0

    @property
    def earliest_entry_suffices(self) -> bool:
        """Without a limit and without exclusions an entity's first entry reaches all it can."""
        return self.mode != "strict" and self.window_us is None and not self.excluded

    @cached_property
    def claims(self) -> Ints:
        """claims[k, j] = how many of steps j..k-1 compete with step k for the same rows."""
        return np.array(
            [
                [sum(step in (taken, ANY_EVENT) for taken in self.steps[j:k]) for j in range(k + 1)]
                + [0] * (len(self.steps) - k - 1)
                for k, step in enumerate(self.steps)
            ],
            dtype=np.int64,
        )

    def code(self, event: pl.Expr) -> pl.Expr:
        codes = {name: position for position, name in enumerate(self.names, start=1)}
        codes |= dict.fromkeys(self.excluded, self.excluded_code)
        if len(codes) > _FEW:
            return event.replace_strict(
                list(codes), list(codes.values()), default=0, return_dtype=pl.UInt8
            )
        found = pl.lit(0, dtype=pl.UInt8)
        for name, number in codes.items():  # a third of the time of a table
            found = pl.when(event == name).then(pl.lit(number, dtype=pl.UInt8)).otherwise(found)
        return found

    def may_enter(self, code: pl.Expr) -> pl.Expr:
        """Whether a row may be the first row of an attempt."""
        entries = self.steps if self.mode == "unordered" else self.steps[:1]
        if ANY_EVENT in entries:
            return code != self.excluded_code
        return code.is_in([self.names.index(step) + 1 for step in dict.fromkeys(entries)])


def funnel(
    events: pl.DataFrame,
    steps: Sequence[str],
    *,
    window_us: int | None = None,
    mode: Mode = "ordered",
    exclude: Sequence[str] = (),
    by: str | None = None,
) -> list[FunnelResult]:
    """The funnel of everybody, then, with `by`, one for every value of that column.

    `events` is as `load_events` or `clean_events` gives it.
    """
    plan = _plan(steps, window_us, mode, exclude)
    if by is not None and by not in events.columns:
        raise UsageError(
            f"There is no column {by!r} to group by: choose one of {', '.join(events.columns)}."
        )
    rows = _coded_rows(events, plan, by)
    winners = _winners(rows, plan)
    results = [_result(winners.at, None, by)]
    if by is not None:
        groups = _groups(rows, winners, plan)
        results += [_result(winners.at[:, index], value, by) for value, index in groups]
    return results


SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".ndjson", ".parquet"})


def text(results: Sequence[FunnelResult], steps: Sequence[str]) -> str:
    """Counts, shares of the first step and median seconds from the step before, for people."""
    lines = []
    for result in results:
        if result.by is not None:
            total = result is results[0]
            lines.append("all" if total else f"{result.by} = {result.group}")
        for step, reached, median in zip(steps, result.reached, result.median_seconds, strict=True):
            share = f"{reached / result.reached[0]:>7.1%}" if result.reached[0] else "    n/a"
            after = "" if median is None else f"  median {median:,.0f} s after the step before"
            lines.append(f"{step:<24} {reached:>10,} {share}{after}")
    return "\n".join(lines)


def to_json(results: Sequence[FunnelResult]) -> dict[str, Any]:
    """What `cloudbound funnel --json` prints for the results of `funnel`."""
    total, *groups = results
    answer = {"reached": total.reached, "median_seconds": total.median_seconds}
    if total.by is None:
        return answer
    parts = [
        {
            "value": group.group if isinstance(group.group, _PLAIN) else str(group.group),
            "reached": group.reached,
            "median_seconds": group.median_seconds,
        }
        for group in groups
    ]
    return answer | {"groups": parts}


def _plan(steps: Sequence[str], window_us: int | None, mode: Mode, exclude: Sequence[str]) -> _Plan:
    if not 0 < len(steps) <= _MOST_STEPS or "" in steps:
        raise UsageError(
            f"Steps {','.join(steps)!r} make no funnel: name 1 to {_MOST_STEPS} events, "
            f"{ANY_EVENT} for any."
        )
    if mode not in get_args(Mode):
        raise UsageError(f"Mode {mode!r} is unknown: choose one of {', '.join(get_args(Mode))}.")
    if window_us is not None and window_us < 0:
        raise UsageError(f"Window {window_us} us is negative: give zero or more.")
    for event in exclude:
        if event in (*steps, ANY_EVENT, ""):
            raise UsageError(f"Event {event!r} cannot be excluded: name an event that is no step.")
    return _Plan(tuple(steps), tuple(exclude), mode, window_us)


def _result(at: Ints, group: object, by: str | None) -> FunnelResult:
    """Counts and medians of winners; `at` has a row per step, a column per winner."""
    got_there = at != _NEVER
    medians: list[float | None] = [None]
    for step in range(1, len(at)):
        took = (at[step] - at[step - 1])[got_there[step]]
        medians.append(float(np.median(took)) / 1e6 if took.size else None)
    return FunnelResult(group, got_there.sum(axis=1).tolist(), medians, by)


def _groups(
    rows: pl.DataFrame, winners: "_Winners", plan: _Plan
) -> Iterator[tuple[object, npt.NDArray[np.intp]]]:
    """Every value of the column with the positions of the winners that began there."""
    ids = _ids(rows)
    first = pl.DataFrame([*map(pl.Series, ids, winners.ids), pl.Series("at", winners.at[0])])
    first = first.with_row_index("winner")
    values = (
        rows.lazy()
        .filter(plan.may_enter(pl.col("code")))
        .join(first.lazy(), on=[*ids, "at"])
        .group_by("winner")
        .agg(pl.col("by").min())
        .group_by("by")
        .agg("winner")
        .sort("by", nulls_last=True)
        .collect()
    )
    for value, index in values.iter_rows():
        yield value, np.asarray(index, dtype=np.intp)


# Rows in order ----------------------------------------------------------------------------------


def _coded_rows(events: pl.DataFrame, plan: _Plan, by: str | None) -> pl.DataFrame:
    """The rows that matter as numbers: _ids, at (microseconds from the first) and code."""
    columns = {"at": pl.col("at").to_physical(), "code": plan.code(pl.col("event"))}
    if events["entity"].dtype.is_integer():
        columns["entity"] = pl.col("entity")
    else:  # to hash a text takes a fifth of the time of a dictionary
        columns |= {name: pl.col("entity").hash(seed) for seed, name in enumerate(_HASHES)}
    if by is not None:
        columns["by"] = _comparable(events[by])
    rows = events.lazy().select(**columns)
    if not plan.needs_every_row:
        rows = rows.filter(pl.col("code") > 0)
    coded = rows.collect(engine="streaming").with_columns(pl.col("at") - pl.col("at").min())
    return coded.with_columns(_numbered(coded["entity"])) if "entity" in columns else coded


def _comparable(values: pl.Series) -> pl.Expr:
    if values.dtype.is_nested():
        raise UsageError(f"Column {values.name!r} holds {values.dtype}: group by a plain column.")
    plain = values.dtype.is_numeric() or values.dtype.is_temporal() or values.dtype == pl.Boolean
    column = pl.col(values.name)
    return column if plain else column.cast(pl.String)


def _numbered(entity: pl.Series) -> pl.Series:
    """Numbers from 0 on, equal for equal entities."""
    least, greatest = entity.min(), entity.max()
    if not isinstance(least, int) or not isinstance(greatest, int):
        return entity.cast(pl.Int64)
    if greatest - least < 4 * len(entity) and greatest < 1 << _KEY_BITS:
        return entity.cast(pl.Int64) - least
    return (entity.rank("dense") - 1).cast(pl.Int64)


def _ids(rows: pl.DataFrame) -> list[str]:
    """The columns that together say whose a row is."""
    return [name for name in ("entity", *_HASHES) if name in rows.columns]


class _Sorted(NamedTuple):
    """Rows by entity and time; ids are the entity's in the columns _ids."""

    entity: Ints
    at: Ints
    code: Codes
    ids: tuple[npt.NDArray[Any], ...]


Run = Callable[[], _Sorted]


@dataclass(frozen=True)
class _Moments:
    """Time and code of each row as one number, which sorts by time; bits = how many it takes."""

    number: Ints
    bits: int
    code_bits: int
    unit: int
    times: Ints | None = None  # where the number has a time's place among these

    def at(self, number: Ints) -> Ints:
        time = (number & _ones(self.bits)) >> self.code_bits
        return time * self.unit if self.times is None else self.times[time]

    def code(self, number: Ints) -> Codes:
        return (number & _ones(self.code_bits)).astype(np.uint8)


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _moments(rows: pl.DataFrame) -> _Moments:
    at, code = rows["at"].to_numpy(), rows["code"].to_numpy()
    code_bits = int(code.max()).bit_length()
    unit, times = _unit(at), None
    number = at // unit
    if int(number.max()).bit_length() + code_bits > _MOMENT_BITS:
        times, number = np.unique(at, return_inverse=True)
    bits = int(number.max()).bit_length() + code_bits
    number <<= code_bits  # in place: to touch new memory takes longer than to compute
    number |= code
    return _Moments(number, bits, code_bits, unit, times)


def _runs(rows: pl.DataFrame) -> Iterator[Run]:
    """All rows sorted by (entity, at), some entities at a time; what is called does the work."""
    moments = _moments(rows)
    if "entity" in rows.columns:
        return _runs_of_numbers(rows["entity"].to_numpy(), moments)
    first, second = (rows[name].to_numpy() for name in _HASHES)
    return _runs_of_texts(first, second, moments)


def _runs_of_numbers(entity: Ints, moments: _Moments) -> Iterator[Run]:
    """Entities are dealt out to ranges small enough for number and moment to fit into one key."""
    bits = max(int(entity.max()).bit_length() - _RANGE_BITS, 0)
    bits = min(bits, _KEY_BITS - moments.bits)
    key = entity & _ones(bits)
    key <<= moments.bits
    key |= moments.number
    order, sizes = _dealt(entity >> bits)
    ends = np.cumsum(sizes)
    start = 0
    while start < sizes.size:
        # Many small ranges make one run.
        end = int(np.searchsorted(ends, ends[start] + _RUN_ROWS, side="right"))
        chosen = order[ends[start] - sizes[start] : ends[end - 1]]
        firsts = np.repeat(np.arange(start, end) << bits, sizes[start:end])
        yield partial(_run_of_numbers, key, moments, chosen, firsts, sizes[start:end])
        start = end


def _run_of_numbers(
    key: Ints, moments: _Moments, chosen: Ints, firsts: Ints, sizes: Ints
) -> _Sorted:
    key = _sorted_pieces(key[chosen], sizes)
    entity = firsts + (key >> moments.bits)
    return _Sorted(entity, moments.at(key), moments.code(key), (entity,))


def _runs_of_texts(first: Hashes, second: Hashes, moments: _Moments) -> Iterator[Run]:
    order, sizes = _dealt(first >> np.uint64(64 - _RANGE_BITS))
    for chosen in np.split(order, np.cumsum(sizes)[:-1]):
        if chosen.size:
            yield partial(_run_of_texts, first, second, moments, chosen)


def _run_of_texts(first: Hashes, second: Hashes, moments: _Moments, chosen: Ints) -> _Sorted:
    first, second, moment = first[chosen], second[chosen], moments.number[chosen]
    order = _side_by_side(first, second)
    first, second, moment = first[order], second[order], moment[order]
    entity = np.cumsum(_changes(first) | _changes(second)) - 1
    bits = _KEY_BITS - moments.bits
    key = ((entity & _ones(bits)) << moments.bits) | moment
    key = _sorted_pieces(key, np.bincount(entity >> bits))  # an entity's hashes stay in place
    return _Sorted(entity, moments.at(key), moments.code(key), (first, second))


def _dealt(ranges: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """The rows range by range, and the size of each range."""
    sizes = np.bincount(ranges.astype(np.int64, copy=False))
    # numpy sorts 16-bit numbers by radix, in linear time, and 8 of them in one pass.
    narrow = np.uint16 if sizes.size <= 1 << 16 else np.int64
    return np.argsort(ranges.astype(narrow), kind="stable"), sizes


def _sorted_pieces(key: Ints, sizes: Ints) -> Ints:
    """The same array, sorted in pieces of these sizes."""
    for piece in np.split(key, np.cumsum(sizes)[:-1]):
        in_place(piece)
    return key


def _side_by_side(first: Hashes, second: Hashes) -> Ints:
    """An order in which equal pairs of hashes follow each other.

    The upper bits of the first settle it, but where two pairs share those.
    """
    order, bits = by_upper_bits(first << np.uint64(_RANGE_BITS))  # which are equal in a range
    differs = _changes(first[order]) | _changes(second[order])
    if (differs & ~_changes(bits)).any():
        return np.lexsort((second, first))
    return order


def _unit(at: Ints) -> int:
    """The coarsest unit of time that loses nothing; the head of the data rules most out at once."""
    return next(
        unit for unit in _TIME_UNITS if not (at[:1024] % unit).any() and not (at % unit).any()
    )


def _blocks(rows: _Sorted) -> Iterator[_Sorted]:
    """Runs of whole entities, small enough to stay near the processor."""
    start = 0
    while start < rows.entity.size:
        last = min(start + _BLOCK_ROWS, rows.entity.size) - 1
        end = int(np.searchsorted(rows.entity, rows.entity[last], side="right"))
        run = slice(start, end)
        ids = tuple(column[run] for column in rows.ids)
        yield _Sorted(rows.entity[run], rows.at[run], rows.code[run], ids)
        start = end


# Attempts ---------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """The rows that may fill one step, as moments in order.

    `before[m]` counts those before moment m, so the rows of moment m are
    `moment[before[m]:before[m + 1]]`; behind the last row stands the moment that nobody has.
    """

    moment: Ints
    before: Ints

    def at_position(self, position: Ints) -> Ints:
        return self.moment[np.minimum(position, self.moment.size - 1)]

    def in_moment(self, moment: Ints) -> Ints:
        return self.before[moment + 1] - self.before[moment]

    def moments(self) -> Ints:
        return np.flatnonzero(self.before[1:] > self.before[:-1])


class _Block:
    """Whole entities cut into moments: the rows of one entity at one time."""

    def __init__(self, rows: _Sorted, plan: _Plan) -> None:
        new = _changes(rows.entity) | _changes(rows.at)
        self.plan = plan
        self.rows = rows
        self.code = rows.code
        self.moment = np.cumsum(new) - 1
        self.nobody = int(self.moment[-1]) + 1
        self.entity: Ints = np.append(rows.entity[new], -1)
        self.at: Ints = np.append(rows.at[new], _NEVER)

    def ids(self, moment: Ints) -> tuple[npt.NDArray[Any], ...]:
        """Whose the moments are."""
        row = np.searchsorted(self.moment, moment)
        return tuple(column[row] for column in self.rows.ids)

    @cached_property
    def all(self) -> _Rows:
        return self._rows(self.moment)

    @cached_property
    def usable(self) -> _Rows:
        return self._rows(self.moment[self.code != self.plan.excluded_code])

    @cached_property
    def excluded(self) -> _Rows:
        return self._rows(self.moment[self.code == self.plan.excluded_code])

    @cached_property
    def by_step(self) -> dict[str, _Rows]:
        named = {
            name: self._rows(self.moment[self.code == code])
            for code, name in enumerate(self.plan.names, start=1)
        }
        return named | {ANY_EVENT: self.usable} if self.plan.stars else named

    def _rows(self, moment: Ints) -> _Rows:
        before = np.zeros(self.nobody + 2, dtype=np.int64)
        np.cumsum(np.bincount(moment, minlength=self.nobody + 1), out=before[1:])
        return _Rows(np.append(moment, self.nobody), before)

    def step(self, number: int) -> _Rows:
        return self.by_step[self.plan.steps[number]]

    def in_reach(self, first: Ints, later: Ints) -> Flags:
        """Whether `later` is of the same entity and inside the window that opens at `first`."""
        reach: Flags = self.entity[later] == self.entity[first]
        if self.plan.window_us is not None:
            reach &= self.at[later] - self.at[first] <= self.plan.window_us
        return reach

    def fits(self, number: int, since: Ints | int, moment: Ints) -> Flags:
        """Whether `moment` can fill step `number` besides the steps `since`..number-1 it fills."""
        fits: Flags = self.plan.claims[number, since] < self.step(number).in_moment(moment)
        fits &= number - since < self.usable.in_moment(moment)
        return fits

    def entries(self, moments: Ints) -> Ints:
        if not self.plan.earliest_entry_suffices:
            return moments
        return moments[np.unique(self.entity[moments], return_index=True)[1]]


def _ordered(block: _Block) -> Ints:
    """From every entry, each next step at the earliest moment that can still fill it.

    Being early never costs a later step, so this is the furthest and the soonest for the entry.
    """
    plan = block.plan
    start = block.entries(block.step(0).moments())
    reached = np.full((len(plan.steps), start.size), block.nobody)
    reached[0] = start
    live, here, since = (
        np.arange(start.size),
        start,
        np.zeros(start.size, dtype=np.int64),
    )
    for number in range(1, len(plan.steps)):
        rows = block.step(number)
        position = rows.before[here] + plan.claims[number, since]
        if plan.stars:
            spent = number - since == block.usable.in_moment(here)
            position = np.where(spent, rows.before[here + 1], position)
        there = rows.at_position(position)
        goes_on = block.in_reach(start[live], there)
        since = np.where(there == here, since, number)[goes_on]
        live, here = live[goes_on], there[goes_on]
        reached[number, live] = here
    return reached


def _strict(block: _Block) -> Ints:
    """From every entry, contiguous rows: a moment in the middle has to be used up entirely.

    The order inside a moment is free, so an attempt may leave its first moment after any number
    of steps that the moment can fill: each such number is an attempt of its own.
    """
    plan = block.plan
    seeds = [block.step(0).moments()]
    for number in range(1, len(plan.steps)):
        seeds.append(seeds[-1][block.fits(number, 0, seeds[-1])])
    start = np.concatenate(seeds)
    level = np.repeat(np.arange(1, len(seeds) + 1), [seed.size for seed in seeds])
    longest_first = np.lexsort((-level, start))
    start, level = start[longest_first], level[longest_first]
    reached = np.where(np.arange(len(plan.steps))[:, None] < level, start, block.nobody)
    moment, since = start.copy(), np.zeros(start.size, dtype=np.int64)
    for number in range(1, len(plan.steps)):
        live = np.flatnonzero(level == number)
        here, first = moment[live], start[live]
        stays = (here != first) & block.fits(number, since[live], here)
        used_up = (here == first) | (number - since[live] == block.all.in_moment(here))
        there = np.where(stays, here, here + 1)
        enters = used_up & block.in_reach(first, there) & block.fits(number, number, there)
        goes_on = stays | enters
        live, there = live[goes_on], there[goes_on]
        since[live] = np.where(there == moment[live], since[live], number)
        moment[live] = reached[number, live] = there
        level[live] += 1
    return reached


def _unordered(block: _Block) -> Ints:
    """From every entry, the moments at which one more step can have been done.

    With s steps `*`, k steps are done once k - s named ones are and k rows have passed.
    """
    plan = block.plan
    entry = np.zeros(block.nobody, dtype=bool)
    for rows in block.by_step.values():
        entry[rows.moments()] = True
    start = block.entries(np.flatnonzero(entry))
    named = [
        block.by_step[name].at_position(block.by_step[name].before[start] + repeat)
        for name, times in Counter(plan.steps).items()
        if name != ANY_EVENT
        for repeat in range(times)
    ]
    done = np.sort(np.array(named, dtype=np.int64).reshape(len(named), start.size), axis=0)
    reached = np.empty((len(plan.steps), start.size), dtype=np.int64)
    for number in range(len(plan.steps)):
        there = done[number - plan.stars] if number >= plan.stars else start
        if plan.stars:
            rows_passed = block.usable.at_position(block.usable.before[start] + number)
            there = np.maximum(there, rows_passed)
        reached[number] = np.where(block.in_reach(start, there), there, block.nobody)
    return reached


_ATTEMPTS: dict[Mode, Callable[[_Block], Ints]] = {
    "ordered": _ordered,
    "strict": _strict,
    "unordered": _unordered,
}


# Winners ----------------------------------------------------------------------------------------


class _Winners(NamedTuple):
    """The best clean attempt of every entity that counts; `at` has a row per step.

    ids are those of the entity in the columns _ids.
    """

    ids: tuple[npt.NDArray[Any], ...]
    at: Ints


def _winners(rows: pl.DataFrame, plan: _Plan) -> _Winners:
    if rows.is_empty():
        none = tuple(rows[name].to_numpy() for name in _ids(rows))
        return _Winners(none, np.empty((len(plan.steps), 0), np.int64))

    def best(run: Run) -> list[_Winners]:
        return [_best(plan, block) for block in _blocks(run())]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy works outside the interpreter's lock
        found = list(chain.from_iterable(pool.map(best, _runs(rows))))
    return _Winners(
        tuple(map(np.concatenate, zip(*(each.ids for each in found), strict=True))),
        np.concatenate([each.at for each in found], axis=1),
    )


def _best(plan: _Plan, rows: _Sorted) -> _Winners:
    """Per entity the attempt with the most steps, clean before tainted, earliest first."""
    block = _Block(rows, plan)
    reached = _ATTEMPTS[plan.mode](block)
    level = (reached != block.nobody).sum(axis=0)
    tainted = _tainted(block, reached) if plan.excluded else np.zeros(level.size, dtype=bool)
    score = 2 * level + ~tainted
    entity = block.entity[reached[0]]
    opens = np.flatnonzero(_changes(entity))
    if not opens.size:
        return _Winners(block.ids(reached[0]), block.at[reached])
    sizes = np.diff(np.append(opens, entity.size))
    wins = np.flatnonzero(score == np.repeat(np.maximum.reduceat(score, opens), sizes))
    wins = wins[_changes(entity[wins])]
    wins = wins[~tainted[wins]]
    return _Winners(block.ids(reached[0, wins]), block.at[reached[:, wins]])


def _tainted(block: _Block, reached: Ints) -> Flags:
    """Whether an excluded row lies after the first step and before the last, or in the window."""
    first, last = reached[0], reached[-1]
    after_first = block.excluded.before[first + 1]
    next_excluded = block.excluded.at_position(after_first)
    return np.where(
        last == block.nobody, block.in_reach(first, next_excluded), next_excluded < last
    )


def _changes(values: npt.NDArray[Any]) -> Flags:
    """Where a value differs from the one before it; the first always does."""
    changes = np.ones(values.size, dtype=bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes
