"""What every format adapter is made of: the chunk it yields and the ways to read a value.

Belongs here: Format, Chunk, and the parsing of times, decimals, integers and nulls as text.
Does not belong here: a mapping of any one format, or rules on what a good row is (contracts).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

CHUNK_ROWS = 200_000
MAX_LINE_BYTES = 16 << 20
_SAMPLE = 10_000
_LARGE = pl.CompatLevel.oldest()  # texts as Arrow can parse them
# In microseconds since 1970: a day inside what Python's calendar holds in any zone.
_FIRST_TIME, _LAST_TIME, _NO_TIME = (
    days * 86_400_000_000 for days in (-719_161, 2_932_895, 2_932_897)
)
_TOO_MUCH = Decimal(10) ** 15  # in any currency, for one row
UTC_MICROSECONDS = pl.Datetime("us", "UTC")
AMOUNT = pl.Decimal(38, 18)
NULLS = ["", "NULL", "null", "None", "none", "{}", "NaN", "nan", "\\N"]

# A row that can't be used; of a charge also its amounts, where they can be read.
BROKEN_SCHEMA: dict[str, Any] = {
    "line": pl.Int64, "reason": pl.String, "row": pl.String, "currency": pl.String,
    "billed": AMOUNT, "effective": AMOUNT,
}  # fmt: skip


class UnreadableFile(ValueError):
    """The whole file is rejected; the message says why in a few words."""


@dataclass(frozen=True)
class Options:
    """What a source declares about its files."""

    timezone: str = "UTC"


@dataclass(frozen=True)
class Chunk:
    """A piece of a file.

    rows: canonical columns of the family plus line (1-based in the file).
    raw: the same rows, same order, as they stood in the file (kept only for rejects).
    broken: what could not be read as a row at all, see BROKEN_SCHEMA.
    """

    rows: pl.DataFrame
    raw: pl.DataFrame
    broken: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BROKEN_SCHEMA))
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One adapter: how to know the format, what family it feeds, what it maps, how to read it.

    mapping says, for people, where each canonical column comes from; looks_like gets the path and the first bytes (decompressed) and answers with a reason
    ("the header has BilledCost and ChargePeriodStart") or None. Bump version whenever read
    gives other rows for the same bytes: the lake is then rebuilt from landing.
    """

    name: str
    family: str
    version: int
    mapping: "Mapping"
    looks_like: Callable[[Path, bytes], str | None]
    read: Callable[[Path, Options], Iterator[Chunk]]


def ahead(found: Iterator[Any]) -> Iterator[Any]:
    """The same; the next is made by a thread while the last is used, which takes as long."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, found, None)
        while (made := coming.result()) is not None:
            coming = pool.submit(next, found, None)
            yield made


def side_by_side(make: Callable[[Any], Any], of: Iterable[Any]) -> Iterator[Any]:
    """make of each, in their order; two are made at a time, so that no core waits for the end of
    one. An error comes after all that was made before it."""
    fault: Exception | None = None
    with ThreadPoolExecutor(max_workers=2) as pool:
        coming: deque[Future[Any]] = deque()
        try:
            for one in of:
                coming.append(pool.submit(make, one))
                if len(coming) > 2:
                    yield coming.popleft().result()
        except Exception as error:
            fault = error
        while coming:
            yield coming.popleft().result()
    if fault is not None:
        raise fault


def repeating(frame: pl.DataFrame) -> dict[str, pl.Categorical]:
    """A type that keeps each text once, for every column that seems to repeat few of them."""
    columns = frame.select(pl.col(pl.String)) if frame.height > _SAMPLE else ()
    few = [c.name for c in columns if 10 * c.n_unique() < frame.height]
    return {name: pl.Categorical(pl.Categories.random()) for name in few}


def texts_of(column: pl.Series) -> pl.Series:
    """Each text that is in a column once."""
    texts = _texts(column)
    if not isinstance(column.dtype, pl.Categorical):
        return texts
    uses = np.bincount(column.to_physical().drop_nulls().to_numpy())
    return texts.gather(np.flatnonzero(uses)).alias(column.name)


def ranks(column: pl.Series) -> pl.Series:
    """Of a text column without nulls: which of its texts, in their order, each row has."""
    if not isinstance(column.dtype, pl.Categorical):
        return column.cast(pl.Enum(column.unique().sort())).to_physical()
    return column.dtype.categories.to_series().rank("dense").gather(column.to_physical())


def _texts(column: pl.Series) -> pl.Series:
    """Each text of a column once; of a Categorical by its place, other pieces' texts too."""
    if isinstance(column.dtype, pl.Categorical):
        return column.dtype.categories.to_series()
    return column.drop_nulls().unique()


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The same, with text where a column keeps each text once."""
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def cleaned(frame: pl.DataFrame) -> pl.DataFrame:
    """All columns as text without surrounding blanks, null for every spelling of null."""
    # A column that repeats itself is looked at text by text; most are clean as they are.
    spelled = {c.name: _texts(c) for c in frame if _is_repeated(c)}
    texts = pl.concat(list(spelled.values())) if spelled else pl.Series(dtype=pl.String)
    plain = _cleaned(texts.to_frame("text")).to_series()
    is_dirty = texts.ne_missing(plain)
    columns, at = [], 0
    for name, values in spelled.items():
        if is_dirty.slice(at, len(values)).any():
            columns.append(_respelled(frame[name], values, plain.slice(at, len(values))))
        at += len(values)
    others = _cleaned(frame.select(c for c in frame.columns if c not in spelled))
    return frame.with_columns(columns + others.get_columns())


def _cleaned(frame: pl.DataFrame) -> pl.DataFrame:
    # Two steps, since one expression would strip twice.
    stripped = frame.select(pl.all().cast(pl.String).str.strip_chars())
    return stripped.select(pl.when(~pl.all().is_in(NULLS)).then(pl.all()))


def clean(text: pl.Series) -> pl.Series:
    """cleaned, of one column."""
    return cleaned(text.to_frame("text")).to_series().alias(text.name)


def by_spelling(column: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """A change that leaves null as it is, made once a value where a text repeats few of them."""
    if not _is_repeated(column):
        return change(column)
    texts = _texts(column)
    changed = change(texts)
    if changed.dtype == pl.String and changed.equals(texts):
        return column
    return _respelled(column, texts, changed)


def _respelled(column: pl.Series, texts: pl.Series, changed: pl.Series) -> pl.Series:
    """The column with each of its texts changed, which stays Categorical if it is one."""
    is_kept_once = isinstance(column.dtype, pl.Categorical)
    if is_kept_once and changed.dtype == pl.String:
        changed = changed.cast(column.dtype)
    places = column if is_kept_once else column.cast(pl.Enum(texts))
    return changed.gather(places.to_physical()).alias(column.name)


def lower(text: pl.Series) -> pl.Series:
    return text.str.to_lowercase()


def upper(text: pl.Series) -> pl.Series:
    return text.str.to_uppercase()


def to_amount(column: pl.Series) -> pl.Series:
    """Decimal(38, 18) from numbers or text such as '$10,100.00 ', '-3.5', '(2.10)' or '1e-7'.

    Parentheses are the accountants' minus. Digits beyond the 18th are not representable, and
    sums of amounts of a quadrillion would not be: such a value becomes null, so that the
    contract rejects it instead of rounding money.
    """
    amount = _parsed_amount(column)
    low, high = amount.min(), amount.max()
    if low is not None and (low <= -_TOO_MUCH or high >= _TOO_MUCH):  # type: ignore[operator]
        return amount.set(amount.abs() >= _TOO_MUCH, None)
    return amount


def _parsed_amount(column: pl.Series) -> pl.Series:
    if column.dtype.is_decimal() or column.dtype.is_integer():
        return column.cast(AMOUNT, strict=False)
    text = column.cast(pl.String)
    # 19 characters can't hold more than 18 decimals, so the plain parser loses nothing there.
    short = text if (text.str.len_bytes().max() or 0) <= 19 else _run(text, _short)  # type: ignore[operator]
    parsed = short.str.to_decimal(scale=18).cast(AMOUNT)
    if parsed.null_count() == text.null_count():
        return parsed
    others = (parsed.is_null() & text.is_not_null()).arg_true()
    return parsed.scatter(others, _run(clean(text.gather(others)), _amount))


def _short(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.len_bytes() <= 19).then(text)


def _amount(text: pl.Expr) -> pl.Expr:
    bare = text.str.replace_all(r"[,$¥€£\s]", "").str.replace(r"^\((.*)\)$", "-$1")
    plain = pl.when(bare.str.contains(r"^[+-]?(\d+\.?\d*|\.\d+)$")).then(bare)
    exact = plain.otherwise(None).str.replace(r"(\.\d*?)0+$", "$1").str.strip_chars_end(".")
    fits = pl.when(exact.str.contains(r"^[+-]?\d{0,20}(\.\d{0,18})?$")).then(exact)
    # A float's text (1e-07) carries at most 17 digits; more than 18 decimals can't be meant.
    scientific = pl.when(bare.str.contains(r"^[+-]?\d+\.?\d*[eE][+-]?\d{1,2}$")).then(bare)
    return pl.coalesce(
        fits.otherwise(None).str.to_decimal(scale=18),
        scientific.otherwise(None).str.to_decimal(scale=18),
    ).cast(AMOUNT)


def to_integer(column: pl.Series) -> pl.Series:
    """Int64 from numbers or text such as '12', '12.0' or '1,200'; else null."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    text = column.cast(pl.String)
    parsed = text.cast(pl.Int64, strict=False)
    if parsed.null_count() == text.null_count():
        return parsed
    text = clean(text)
    return text.str.replace_all(",", "").str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)


def to_float(column: pl.Series) -> pl.Series:
    return clean(column.cast(pl.String)).cast(pl.Float64, strict=False)


def to_boolean(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return column
    return by_spelling(column, lambda c: _run(clean(c).str.to_lowercase(), _boolean))


def _boolean(text: pl.Expr) -> pl.Expr:
    yes, no = (
        text.is_in(["true", "1", "yes", "t", "y"]),
        text.is_in(["false", "0", "no", "f", "n"]),
    )
    return pl.when(yes).then(True).when(no).then(False).otherwise(None)


def to_instant(column: pl.Series, timezone: str = "UTC") -> pl.Series:
    """An instant as parsed_instant reads it, where a calendar has it; later than year 9999 or
    earlier than year 1 is no time, and the last day of 9999 (for ever) is the day before it."""
    found = parsed_instant(column, timezone)
    # As whole microseconds: Python has no time for what lies outside its calendar.
    since = found.to_physical()
    low, high = since.min(), since.max()
    if low is None or (low >= _FIRST_TIME and high <= _LAST_TIME):  # type: ignore[operator]
        return found
    inside = since.set((since < _FIRST_TIME) | (since >= _NO_TIME), None).clip(None, _LAST_TIME)
    return inside.cast(UTC_MICROSECONDS)


def parsed_instant(column: pl.Series, timezone: str = "UTC") -> pl.Series:
    """UTC microseconds from timestamps, dates, epochs, or text.

    Text may be ISO with Z or offset, naive (then in `timezone`), a date, or an epoch; an epoch
    is in s, ms, us or ns, told apart by its magnitude. What is none of these is null. Finer
    digits than microseconds are cut: a metric of whole days needs no more.
    """
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.cast(pl.Datetime("us", column.dtype.time_zone))
        if column.dtype.time_zone is None:
            return _local(zoned, timezone)
        return zoned.dt.convert_time_zone("UTC")
    if column.dtype == pl.Date:
        return _local(column.cast(pl.Datetime("us")), timezone)
    # A bill says the same hours again and again: each is parsed once.
    text = column if isinstance(column.dtype, pl.Categorical) else column.cast(pl.String)
    return by_spelling(text, partial(_instant, timezone=timezone))


def _instant(text: pl.Series, timezone: str) -> pl.Series:
    if (plain := _whole_seconds(text)) is not None:
        return plain
    text = clean(text)
    for pattern in ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"):
        parsed = text.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
        if parsed.null_count() == text.null_count():
            return parsed.cast(UTC_MICROSECONDS)
    for pattern in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"):
        plain = text.str.to_datetime(pattern, time_unit="us", strict=False)
        if plain.null_count() == text.null_count():
            return _local(plain, timezone).cast(UTC_MICROSECONDS)
    zoned, naive, epoch = (_run(text, part) for part in (_zoned_text, _naive_text, _epoch))
    return _first(zoned, _local(naive, timezone), epoch).cast(UTC_MICROSECONDS)


def _is_repeated(column: pl.Series) -> bool:
    return isinstance(column.dtype, pl.Categorical) or _repeats(column)


def _repeats(column: pl.Series) -> bool:
    """Whether a text column seems to hold few different values, each many times."""
    sample = column.head(_SAMPLE)
    return column.dtype == pl.String and len(column) > _SAMPLE > 10 * sample.n_unique()


def _whole_seconds(text: pl.Series) -> pl.Series | None:
    """The commonest spelling, 2026-01-31T12:00:00Z, by the quickest parser; None for any other."""
    sizes = text.str.len_bytes()
    if sizes.min() != 20 or sizes.max() != 20:
        return None
    try:  # by Arrow, in two thirds of the time; it takes no zone but Z in so many characters
        parsed = pc.cast(text.to_arrow(compat_level=_LARGE), pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return None
    return pl.Series(text.name, pl.from_arrow(parsed))


def _local(naive: pl.Series, timezone: str) -> pl.Series:
    there = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return there.dt.convert_time_zone("UTC")


def _iso(text: pl.Expr) -> pl.Expr:
    iso = text.str.replace(r"^(\d{4})/(\d{2})/(\d{2})", "$1-$2-$3")
    iso = iso.str.replace(r"^(\d{4}-\d{2}-\d{2}) ", "${1}T").str.replace(r" ?(UTC|z)$", "Z")
    iso = iso.str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00")
    iso = iso.str.replace(r"(\.\d{6})\d+", "$1")
    iso = iso.str.replace(r"(T.*[+-]\d{2}):?(\d{2})$", "$1:$2").str.replace(
        r"(T.*[+-]\d{2})$", "${1}:00"
    )
    return iso.str.replace(r"^(.{10}T\d{2}:\d{2})(Z|[+-]\d{2}:\d{2})?$", "$1:00$2")


def _zoned_text(text: pl.Expr) -> pl.Expr:
    return _iso(text).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
    )


def _naive_text(text: pl.Expr) -> pl.Expr:
    return _iso(text).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)


def _epoch(text: pl.Expr) -> pl.Expr:
    whole = text.str.extract(r"^(\d{9,19})(?:\.\d+)?$", 1).cast(pl.Int64, strict=False)
    fraction = text.str.extract(r"^\d{9,11}\.(\d{1,6})", 1)
    fraction = (fraction + "000000").str.slice(0, 6).cast(pl.Int64, strict=False).fill_null(0)
    micros = (
        pl.when(whole < 100_000_000_000)
        .then(whole * 1_000_000 + fraction)
        .when(whole < 100_000_000_000_000)
        .then(whole * 1_000)
        .when(whole < 100_000_000_000_000_000)
        .then(whole)
        .otherwise(whole // 1_000)
    )
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _run(text: pl.Series, build: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    return text.to_frame("text").select(build(pl.col("text")).alias("text"))["text"]


def _first(*columns: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(*columns).alias("first"))["first"]


PARSERS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "amount": to_amount,
    "integer": to_integer,
    "float": to_float,
    "boolean": to_boolean,
}
EMPTY: dict[str, pl.DataType] = {
    "text": pl.String(),
    "amount": AMOUNT,
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "boolean": pl.Boolean(),
    "instant": UTC_MICROSECONDS,
}
Mapping = dict[str, tuple[str, ...]]


KIND_NAMES = {
    "amount": "an amount", "integer": "a whole number", "float": "a number",
    "boolean": "yes or no", "instant": "a time",
}  # fmt: skip


def canonical(raw: pl.DataFrame, mapping: Mapping, timezone: str) -> pl.DataFrame:
    """Canonical columns of a raw frame by a mapping {column: (kind, raw name, other name...)}.

    The first raw name with a value wins; a name that the file doesn't have is null. The column
    line is carried over.
    """
    texts = {r for kind, *names in mapping.values() if kind == "text" for r in names}
    # All text is cleaned at once, by all cores; the other kinds are cleaned as they are parsed.
    plain = cleaned(raw.select(n for n in raw.columns if n in texts and n != "line"))
    columns = [raw["line"]]
    for name, (kind, *raw_names) in mapping.items():
        present = [(plain if kind == "text" else raw)[r] for r in raw_names if r in raw.columns]
        if kind == "instant":
            present = [to_instant(column, timezone) for column in present]
        elif kind != "text":
            present = [PARSERS[kind](column) for column in present]
        if len(present) > 1:
            same = as_text(pl.DataFrame([c.alias(str(at)) for at, c in enumerate(present)]))
            columns.append(_first(*same.get_columns()).alias(name))
        elif present:
            columns.append(present[0].alias(name))
        else:
            columns.append(pl.Series(name, [None] * raw.height, dtype=EMPTY[kind]))
    return pl.DataFrame(columns)


def convert(
    raw: pl.DataFrame,
    broken: pl.DataFrame,
    mapping: Mapping,
    timezone: str,
    may_be_unreadable: Sequence[str] = (),
) -> Chunk:
    """A chunk by a mapping, in which no value that is there but can't be read counts as absent.

    Such a row is rejected naming the value's column, except in the columns that
    may_be_unreadable: there the value is absent and a warning says so.
    """
    rows = canonical(raw, mapping, timezone)
    reasons: list[pl.Series] = []
    warnings: list[str] = []
    for name, (kind, *raw_names) in mapping.items():
        present = [r for r in raw_names if r in raw.columns]
        if kind == "text" or not present:
            continue
        if len(present) == 1 and rows[name].null_count() == raw[present[0]].null_count():
            continue
        given = [clean(raw[r]).is_not_null() for r in present]
        lost = pl.select(pl.any_horizontal(*given)).to_series() & rows[name].is_null()
        if not lost.any():
            continue
        fault = f"{' or '.join(present)} can't be read as {KIND_NAMES[kind]}"
        if name in may_be_unreadable:
            warnings.append(f"{fault} in some rows and counts as absent there")
        else:
            reasons.append(pl.select(pl.when(lost).then(pl.lit(fault))).to_series())
    if not reasons:
        return Chunk(rows=rows, raw=raw, broken=broken, warnings=tuple(warnings))
    reason = pl.select(pl.concat_str(reasons, separator="; ", ignore_nulls=True)).to_series()
    is_bad = reason != ""
    return Chunk(
        rows=rows.filter(~is_bad),
        raw=raw.filter(~is_bad),
        broken=pl.concat(
            [broken, broken_rows(raw.filter(is_bad), reason.filter(is_bad), rows.filter(is_bad))]
        ),
        warnings=tuple(warnings),
    )


def broken_rows(
    raw: pl.DataFrame, reason: pl.Series, rows: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Raw rows that are rejected; the amounts are those of rows, their canonical columns."""
    text = pl.struct(pl.exclude("line").cast(pl.String)).struct.json_encode().str.head(2_000)
    found = raw.select("line", reason.alias("reason"), text.alias("row"))
    known = [] if rows is None else [c for c in BROKEN_SCHEMA if c in rows.columns and c != "line"]
    amounts = [rows[c].cast(BROKEN_SCHEMA[c]) for c in known] if rows is not None else []
    return in_full(found.with_columns(amounts))


def in_full(broken: pl.DataFrame) -> pl.DataFrame:
    """Broken rows with every column of BROKEN_SCHEMA; an amount that is not known is null."""
    return broken.select(
        pl.col(name) if name in broken.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in BROKEN_SCHEMA.items()
    )


def broken_of(rows: Sequence[tuple[int, str, str]]) -> pl.DataFrame:
    """Broken rows from (line, reason, row)."""
    names = ("line", "reason", "row")
    schema = {name: BROKEN_SCHEMA[name] for name in names}
    return in_full(pl.DataFrame(rows, schema=schema, orient="row"))


def column_of(raw: pl.DataFrame, name: str) -> pl.Series:
    """Clean text of a column, all null when the file doesn't have it."""
    if name not in raw.columns:
        return pl.Series(name, [None] * raw.height, dtype=pl.String)
    return clean(raw[name]).cast(pl.String).alias(name)
