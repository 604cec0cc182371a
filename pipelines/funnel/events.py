"""Events of a file or a table as entity, event and at.

Belongs here: reading every kind of event file, what counts as a time, who nobody is, and which
line of a damaged file is to blame. Does not belong here: what is asked of the events.

Parquet stays on disk until it is counted, as far as its columns are of the right kind.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.errors import UsageError

REQUIRED = ("entity", "event", "at")
ENTITY_ALIAS = "team_id"
UTC_MICROSECONDS = pl.Datetime("us", "UTC")
SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".ndjson", ".parquet"})

_ISO = "%Y-%m-%dT%H:%M:%S%.f%#z"
_LOOSE_ISO = (
    r"(?i)^(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ]+(?<minute>\d{2}:\d{2})(?::(?<second>\d{2})(?:[.,](?<fraction>\d{1,9})\d*)?)?)?"
    r"\s*(?<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_EPOCH_UNITS = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))


@dataclass(frozen=True)
class Events:
    """Events to count; `source` names them in messages.

    `frame` has entity (a whole number or text), event (text), at (UTC, microseconds) and what else
    was given. A row without an entity or without a time is nobody's.
    """

    frame: pl.LazyFrame
    source: str

    def collect(self, query: pl.LazyFrame) -> pl.DataFrame:
        """What `query` of the frame gives; a UsageError where the file turns out to be damaged."""
        try:
            return query.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(self.source) from error


def load_events(path: Path) -> Events:
    """Events of a .json, .jsonl, .ndjson, .csv or .parquet file."""
    return clean_events(_read(path), str(path))


def clean_events(frame: pl.DataFrame | pl.LazyFrame, source: str) -> Events:
    """Give `frame` the columns entity, event and at (UTC); `source` names it in messages."""
    events = Events(frame.lazy(), source)
    kinds = events.frame.collect_schema()
    if not kinds:
        return clean_events(pl.DataFrame(schema=dict.fromkeys(REQUIRED, pl.String)), source)
    if "entity" not in kinds and ENTITY_ALIAS in kinds:
        return clean_events(events.frame.with_columns(entity=ENTITY_ALIAS), source)
    for column in REQUIRED:
        if column not in kinds:
            raise UsageError(
                f"{source} has no column {column!r}: it needs entity (or {ENTITY_ALIAS}), event "
                f"and at, and has {', '.join(kinds)}."
            )
    others = [column for column, is_known in _KNOWN.items() if not is_known(kinds[column])]
    if others:
        read = events.collect(events.frame)
        columns = [_OTHERS[column](read[column], source) for column in others]
        return clean_events(read.with_columns(columns), source)
    return Events(events.frame.with_columns(_entity(kinds["entity"]), _at(kinds["at"])), source)


def _read(path: Path) -> pl.DataFrame | pl.LazyFrame:
    readers: dict[str, Callable[[Path], pl.DataFrame | pl.LazyFrame]] = {
        ".csv": lambda file: pl.read_csv(file, infer_schema=False, glob=False),
        ".json": lambda file: pl.read_json(file, infer_schema_length=None),
        ".jsonl": _read_json_lines,
        ".ndjson": _read_json_lines,
        ".parquet": _scan_parquet,
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
        raise _unreadable(f"{path}", f" as {suffix[1:]}{_fault(path, suffix)}") from error


def _unreadable(source: str, how: str = "") -> UsageError:
    return UsageError(f"{source} cannot be read{how}: repair or re-export it.")


def _scan_parquet(path: Path) -> pl.LazyFrame:
    frame = pl.scan_parquet(path, glob=False)
    frame.collect_schema()
    return frame


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


def _named(values: pl.Series, source: str) -> pl.Series:
    return _text(values.fill_nan(None) if values.dtype.is_float() else values, source)


def _is_name(kind: pl.DataType) -> bool:
    return kind == pl.String or kind.is_integer()


def _entity(kind: pl.DataType) -> pl.Expr:
    entity = pl.col("entity")
    if kind.is_integer():
        return entity
    return entity.map_batches(_blank_to_null, return_dtype=pl.String, is_elementwise=True)


def _blank_to_null(text: pl.Series) -> pl.Series:
    # What begins with a printed character of ASCII needs no closer look.
    if not ((text < "!") | (text > "~")).any():
        return text
    return text.set(text.str.strip_chars() == "", None)


def _is_time(kind: pl.DataType) -> bool:
    return kind == pl.Date or isinstance(kind, pl.Datetime)


def _at(kind: pl.DataType) -> pl.Expr:
    at = pl.col("at").cast(pl.Datetime("us")) if kind == pl.Date else pl.col("at")
    return at.dt.cast_time_unit("us").dt.convert_time_zone("UTC")  # which takes no zone for UTC


def _times(values: pl.Series, source: str) -> pl.Series:
    kind = values.dtype
    if kind == pl.Null:
        return values.cast(UTC_MICROSECONDS)
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


# Columns of other kinds are read whole, since a column of numbers has one unit for all its rows.
_KNOWN = {"entity": _is_name, "event": lambda kind: kind == pl.String, "at": _is_time}
_OTHERS = {"entity": _named, "event": _text, "at": _times}
