"""Containers to raw frames: CSV, JSON Lines, JSON documents and Parquet, plain or gzip.

Belongs here: opening a file, splitting it into bounded pieces, numbering its rows, and keeping
what can't be read as a row with its line and reason.
Does not belong here: what any column means (that is each format's adapter).

Every reader yields (raw, broken): raw has those of the wanted columns that the file has, plus
line; broken has line, reason, row. Text containers give text columns (nested JSON stays text),
but for numbers of JSON that a format asks for; Parquet keeps its types. Memory is bounded by the
size of a piece, never by that of the file.

A line is unique within a file: the line of a JSON Lines row, the place in an array or among the
rows of a document, the row's number plus one in a CSV, the row's number in Parquet.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources.base import (
    BROKEN_SCHEMA,
    CHUNK_ROWS,
    MAX_LINE_BYTES,
    UnreadableFile,
    ahead,
    broken_of,
    repeating,
    side_by_side,
)

Piece = tuple[pl.DataFrame, pl.DataFrame]
_Block = tuple[range, bytes]  # lines, and their numbers
# From one JSON value to the rows inside it, when the rows of a format lie deeper.
RowsIn = Callable[[dict[str, Any]], list[Any]]
Types = Mapping[str, pl.DataType]
_BLOCK = 31 << 20  # below the 32 MiB from which on malloc maps each block anew
_SCAN = 1 << 18  # fits a processor's cache, with what is made of it
_MOST_COLUMNS = 10_000
_MOST_ROWS_PER_BYTE = 100  # of a Parquet; more is a bomb
_HEAD = 65_536
_JSON_LIMIT = 64 << 20
_MOST_TEXTS = 50_000  # of a column that keeps each text once
_QUOTED_LINES = 1_000  # a quoted field of more lines is an open quote
_KEEP = 2_000  # characters of a broken row that are worth keeping
_BOM = b"\xef\xbb\xbf"
_DAMAGE = (OSError, EOFError, zlib.error)  # gzip's BadGzipFile is an OSError
_PARQUET_DAMAGE = (
    OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, NotImplementedError,
    pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip
_PARQUET_KEPT = (pl.String, pl.Boolean, pl.Date, pl.Datetime)


def head_of(path: Path, size: int = _HEAD) -> bytes:
    """First bytes of a file, decompressed; empty when it can't be decompressed."""
    head = b""
    try:
        with open_bytes(path) as handle:
            while len(head) < size and (more := handle.read1(size - len(head))):
                head += more
    except _DAMAGE:
        pass
    return head


def open_bytes(path: Path) -> Any:
    with path.open("rb") as handle:
        magic = handle.read(2)
    return gzip.open(path, "rb") if magic == b"\x1f\x8b" else path.open("rb")


def kind_of(path: Path, head: bytes) -> str:
    """'parquet', 'jsonl', 'json' (one array or object over many lines) or 'csv'."""
    if head[:4] == b"PAR1":
        return "parquet"
    text = head.removeprefix(_BOM).lstrip()
    if text[:1] == b"[":
        return "json"
    if text[:1] != b"{":
        return "csv"
    first, newline, rest = text.partition(b"\n")
    if not newline or _is_object(first):
        return "jsonl"
    # A broken first line followed by whole objects is still JSON Lines.
    following = [line for line in rest.split(b"\n")[:4] if line.strip()]
    return "jsonl" if any(_is_object(line) for line in following) else "json"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


@lru_cache(maxsize=8)
def columns_of(path: Path, head: bytes) -> tuple[str, ...]:
    """Column names that a file shows in its first bytes; none when it shows none.

    Kept, since every adapter asks it of the same file.
    """
    return tuple(_columns(path, head))


def _columns(path: Path, head: bytes) -> list[str]:
    kind = kind_of(path, head)
    if kind == "parquet":
        try:
            return list(pq.read_schema(path).names)
        except _PARQUET_DAMAGE:
            return []
    if kind == "csv":
        try:
            return _header(head.removeprefix(_BOM).partition(b"\n")[0].decode("utf-8"))
        except (UnicodeDecodeError, csv.Error):
            return []
    text = head.removeprefix(_BOM).decode("utf-8", "replace")
    starts = text.split("\n")[:50] if kind == "jsonl" else [text.lstrip().lstrip("[")]
    return list(dict.fromkeys(key for start in starts for key in _keys(start.strip())))


def _header(line: str) -> list[str]:
    return [c.strip() for c in next(csv.reader([line.rstrip("\r")]), [])]


def _keys(text: str) -> Iterable[str]:
    """Keys of the JSON object that text begins with, as far as the text goes."""
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, dict) else ()
    except (ValueError, RecursionError):
        return _first_keys(text)


def _first_keys(text: str) -> Iterator[str]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text) and text[at] in "{,":
        try:
            key, at = decoder.raw_decode(text, _past_blanks(text, at + 1))
            if not isinstance(key, str):
                return
            yield key
            at = _past_blanks(text, at)
            if text[at : at + 1] != ":":
                return
            _, at = decoder.raw_decode(text, _past_blanks(text, at + 1))
        except (ValueError, RecursionError):
            return
        at = _past_blanks(text, at)


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def pieces(
    path: Path,
    wanted: Sequence[str],
    rows_in: RowsIn | None = None,
    is_exact: bool = False,
    types: Types = MappingProxyType({}),
    repeats: bool = False,
) -> Iterator[Piece]:
    """Raw pieces of a file of any of the four containers, with the wanted columns only.

    rows_in opens JSON values whose rows lie deeper; is_exact keeps every digit of JSON numbers
    (the fast reader goes through floats); columns of `types` may come as whole numbers or
    booleans instead of text, where JSON has nothing else in them; with repeats, text columns that
    repeat few texts come as Categorical. Raises UnreadableFile when the
    container itself is damaged or has none of the wanted columns.
    """
    if path.is_dir():
        raise UnreadableFile("it is a folder, not a file")
    head = head_of(path)
    if not head:
        raise UnreadableFile("the file is empty or its gzip is damaged")
    kind, repeated = kind_of(path, head), _Repeated(repeats)
    if kind == "parquet":
        found = _parquet(path, wanted)
    elif kind == "csv":
        found = _csv(path, wanted, repeated)
    elif kind == "jsonl":
        found = _jsonl(path, wanted, rows_in, is_exact, types)
    else:
        found = _json(path, wanted, rows_in)
    try:
        yield from map(repeated.typed, ahead(found))
    except _DAMAGE as error:
        raise UnreadableFile(f"the file is damaged ({_short(error)})") from None
    except UnicodeDecodeError:
        raise UnreadableFile("the text is not UTF-8") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UnreadableFile(f"the file can't be read ({_short(error)})") from None


def _nothing_wanted(wanted: Sequence[str]) -> UnreadableFile:
    return UnreadableFile(f"it has none of the columns {', '.join(wanted[:5])}, ...")


def _parquet(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    try:
        file = pq.ParquetFile(path)
        _refuse_wide(len(file.schema_arrow.names))
        rows, size = file.metadata.num_rows, path.stat().st_size
        if rows > _MOST_ROWS_PER_BYTE * size:
            raise UnreadableFile(f"it says that {size:,} bytes hold {rows:,} rows")
        present = [name for name in file.schema_arrow.names if name in wanted]
        if not present:
            raise _nothing_wanted(wanted)
        start = 1
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=present):
            frame = pl.DataFrame([_column(n, batch.column(n)) for n in batch.schema.names])
            lines = pl.int_range(start, start + frame.height, dtype=pl.Int64, eager=True)
            yield frame.insert_column(0, lines.alias("line")), _no_broken()
            start += frame.height
    except UnreadableFile:
        raise
    except _PARQUET_DAMAGE as error:
        raise UnreadableFile(f"the Parquet is damaged ({_short(error)})") from None


def _column(name: str, values: pa.Array) -> pl.Series:
    """A Parquet column as text, number, boolean or time; the rest becomes text."""
    if pa.types.is_decimal(values.type) and (values.type.scale > 18 or values.type.precision > 38):
        values = values.cast(pa.string())
    series = pl.Series(name, pl.from_arrow(values))
    if series.dtype.is_nested():
        wrapped = series.alias("v").to_frame().select(pl.struct("v").struct.json_encode())
        text = wrapped.to_series().str.strip_prefix('{"v":').str.head(-1)
        return text.set(series.is_null(), None).alias(name)
    if series.dtype.is_numeric() or series.dtype in _PARQUET_KEPT:
        return series
    if series.dtype == pl.String or isinstance(series.dtype, (pl.Categorical, pl.Enum)):
        return series.cast(pl.String)
    return pl.Series(name, [_plain(v) for v in series], dtype=pl.String)


def _plain(value: Any) -> str | None:
    """Text of a value that no column should have, such as bytes or a duration."""
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Repeated:
    """The columns of a file that keep each text once, in one type for all of its pieces.

    The first piece says which repeat few texts; one that later has more is text from then on.
    """

    def __init__(self, is_wanted: bool) -> None:
        self.is_open = is_wanted
        self.types: dict[str, pl.DataType] = {}

    def typed(self, piece: Piece) -> Piece:
        frame, broken = piece
        if self.is_open and frame.height:
            self.is_open, self.types = False, {**repeating(frame)}
        typed = frame.with_columns(
            frame[name].cast(kind) for name, kind in self.types.items() if name in frame.columns
        )
        self.types = {n: kind for n, kind in self.types.items() if _has_few_texts(kind)}
        return typed, broken


def _has_few_texts(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Categorical) and len(kind.categories.to_series()) <= _MOST_TEXTS


def _blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes in blocks of whole lines."""
    with open_bytes(path) as handle:
        block = _whole_lines(handle, _BLOCK).removeprefix(_BOM)
        while block:
            yield block
            block = _whole_lines(handle, _BLOCK)


def _whole_lines(handle: Any, size: int) -> bytes:
    """So many bytes, and what is left of the last line."""
    if isinstance(handle, gzip.GzipFile):
        block = handle.read(size)
        return block if block.endswith(b"\n") else block + handle.readline(MAX_LINE_BYTES + 1)
    # Only then read, so that the block is not copied to be made longer.
    at = handle.tell()
    handle.seek(at + size)
    left = len(handle.readline(MAX_LINE_BYTES + 1))
    handle.seek(at)
    return bytes(handle.read(size + left))


def _found(text: memoryview, byte: bytes) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.frombuffer(text, dtype=np.uint8) == byte[0]
    return found


def _refuse_over_long(whole: bytes, number: int) -> None:
    """Raise UnreadableFile at a line that is too long to be a row; number is that of the first.

    Stride from line end to line end; a stride that meets none is an over-long line.
    """
    at = 0
    while at < len(whole):
        end = whole.rfind(b"\n", at, at + MAX_LINE_BYTES + 1)
        if end < 0 and len(whole) - at <= MAX_LINE_BYTES:
            return  # the last line has no end
        if end < 0:
            raise _over_long(number + whole.count(b"\n", 0, at))
        at = end + 1


def _over_long(line: int) -> UnreadableFile:
    return UnreadableFile(
        f"line {line} is longer than {MAX_LINE_BYTES >> 20} MiB, so it can't be rows"
    )


def _jsonl(
    path: Path,
    wanted: Sequence[str],
    rows_in: RowsIn | None,
    is_exact: bool,
    types: Types,
) -> Iterator[Piece]:
    blocks = ahead(_numbered_blocks(path))
    if not (rows_in or is_exact):
        read = partial(_json_piece, wanted=wanted, types={**types})
        yield from side_by_side(read, blocks)
        return
    last = 0
    for numbers, block in blocks:
        # One block's rows are numbered on from the last one's, so that no two share a line.
        rows, broken, last = _rows(_parsed(_numbered(numbers, block)), wanted, rows_in, last)
        yield _frame(rows, wanted), broken_of(broken)


def _numbered_blocks(path: Path) -> Iterator[_Block]:
    """A file's lines in blocks, each with the numbers of its lines."""
    start = 1
    for block in _blocks(path):
        _refuse_over_long(block, start)
        breaks = sum(int(np.count_nonzero(_found(p, b"\n"))) for p in _parts(block, _SCAN))
        yield range(start, start + breaks + (not block.endswith(b"\n"))), block
        start += breaks


def _numbered(numbers: Sequence[int], block: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank."""
    lines = zip(numbers, block.split(b"\n"), strict=False)
    return ((number, stripped) for number, line in lines if (stripped := line.strip()))


def _json_piece(numbered: _Block, wanted: Sequence[str], types: dict[str, pl.DataType]) -> Piece:
    """Rows by polars; by Python's reader what shows that it is no object or nothing for polars.

    Types that don't fit are let go, not to be tried in vain again and again.
    """
    numbers, block = numbered
    frame = _json_rows(numbers, block, wanted, tried := {**types})
    if frame is None and tried:
        types.clear()
        frame = _json_rows(numbers, block, wanted, {})
    if frame is not None:
        return frame, _no_broken()
    whole: list[tuple[int, bytes]] = []
    rest: list[tuple[int, bytes]] = []
    for n, line in _numbered(numbers, block):
        is_whole = line[:1] == b"{" and line[-1:] == b"}" and not _has_half_characters(line)
        (whole if is_whole else rest).append((n, line))
    frame = _json_rows([n for n, _ in whole], b"\n".join(line for _, line in whole), wanted, {})
    others = _numbered(numbers, block) if frame is None else rest
    rows, broken, _ = _rows(_parsed(others), wanted, None, 0)
    found = _frame(rows, wanted)
    return found if frame is None else pl.concat([frame, found]).sort("line"), broken_of(broken)


def _json_rows(
    numbers: Sequence[int], block: bytes, wanted: Sequence[str], types: Types
) -> pl.DataFrame | None:
    """Lines that are all objects, by polars; None when one is not, or not of its type."""
    if not block or _has_half_characters(block):
        return None
    try:
        frame = pl.read_ndjson(block, schema={**dict.fromkeys(wanted, pl.String()), **types})
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if frame.height != len(numbers):  # blank lines
        return None
    return frame.insert_column(0, pl.Series("line", numbers, pl.Int64))


def inside(text: pl.Series, wanted: Sequence[str]) -> pl.DataFrame:
    """Values of JSON objects inside a text column, as text; null where a text is no object."""
    lines = text.fill_null("{}").str.replace_all("\n", " ", literal=True)
    found = pl.DataFrame({"line": range(len(lines))}, schema={"line": pl.Int64})
    block = "\n".join(lines).encode()
    rows, _ = _json_piece((range(len(lines)), block), wanted, {})
    return found.join(rows, on="line", how="left", maintain_order="left").select(wanted)


def _has_half_characters(text: bytes) -> bool:
    """Whether JSON text may hold halves of characters, which polars reads as a zero byte."""
    return b"\\" in text and b"\\u" in text and (b"\\ud" in text or b"\\uD" in text)


def _parsed(numbered: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Any, str]]:
    """(line, value, '') or (line, the text, why it is no value)."""
    for number, line in numbered:
        try:
            yield number, _loads(line), ""
        except UnicodeDecodeError:
            yield number, line, "the line is not UTF-8"
        except (ValueError, RecursionError) as error:
            yield number, line, f"the line is not JSON ({_short(error)})"


def _loads(text: bytes) -> Any:
    """JSON with numbers kept as text, digit by digit."""
    return json.loads(text, parse_float=str, parse_int=str)


def _rows(
    values: Iterable[tuple[int, Any, str]], wanted: Sequence[str], rows_in: RowsIn | None, last: int
) -> tuple[list[dict[str, Any]], list[tuple[int, str, str]], int]:
    rows: list[dict[str, Any]] = []
    broken: list[tuple[int, str, str]] = []
    for line, value, fault in values:
        inside = [value] if fault or rows_in is None or not isinstance(value, dict) else None
        for row in rows_in(value) if inside is None and rows_in else inside or []:
            last = max(last + 1, line)
            if isinstance(row, dict) and not fault:
                rows.append({"line": last, **_texts(row, wanted)})
            else:
                broken.append((last, fault or "the entry is not a JSON object", _shown(row)))
    return rows, broken, last


def _json(path: Path, wanted: Sequence[str], rows_in: RowsIn | None) -> Iterator[Piece]:
    """A JSON array of objects, or one object; line = position of the row in it."""
    with open_bytes(path) as handle:
        text = handle.read(_JSON_LIMIT + 1)
    if len(text) > _JSON_LIMIT:
        raise UnreadableFile(
            f"a JSON document of more than {_JSON_LIMIT >> 20} MiB: write it as JSON Lines"
        )
    try:
        value = _loads(text.removeprefix(_BOM))
    except UnicodeDecodeError:
        raise UnreadableFile("the text is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"the file is not JSON ({_short(error)})") from None
    items = value if isinstance(value, list) else [value]
    last = 0
    for at in range(0, len(items), CHUNK_ROWS):
        numbered = ((n, item, "") for n, item in enumerate(items[at : at + CHUNK_ROWS], at + 1))
        rows, broken, last = _rows(numbered, wanted, rows_in, last)
        yield _frame(rows, wanted), broken_of(broken)


def _csv(path: Path, wanted: Sequence[str], repeated: _Repeated) -> Iterator[Piece]:
    """Block by block: by polars the lines that are plain rows, by Python's reader the others."""
    with open_bytes(path) as handle:
        first = handle.readline(MAX_LINE_BYTES).removeprefix(_BOM)
    try:
        header = _header(first.decode("utf-8").rstrip("\n"))
    except csv.Error as error:
        raise UnreadableFile(f"the header is not CSV ({_short(error)})") from None
    if not set(header) & set(wanted):
        raise _nothing_wanted(wanted)
    _refuse_wide(len(header))
    number, start, before = 1, 1, b""
    for more in ahead(_blocks(path)):
        block = before + more
        _refuse_over_long(block, start)
        if start == 1:
            block, start = block[len(first) :], 2
        lines = _lines(block, first.count(b","))
        if not before and not lines.is_plain.all() and block.count(b'"') % 2:
            before = block  # a quoted line break may lie across the end of the block
            continue
        start, before = start + len(lines.is_plain), b""
        piece, number = _csv_piece(lines, header, wanted, number, repeated.types)
        yield piece
    if before:
        lines = _lines(before, first.count(b","))
        yield _csv_piece(lines, header, wanted, number, repeated.types)[0]


def _csv_piece(
    lines: "_Lines", header: list[str], wanted: Sequence[str], number: int, types: Types
) -> tuple[Piece, int]:
    """The block's rows, numbered on from the one before, and the last number."""
    begins, is_fast = np.ones_like(lines.is_plain), lines.is_plain.copy()
    read: list[tuple[int, list[str], str, str]] = []
    end = 0
    for at in np.flatnonzero(~lines.is_plain).tolist():
        if at >= end:
            row, fault, shown, end = lines.row(at)
            begins[at + 1 : end] = is_fast[at + 1 : end] = False
            read.append((at, row, fault, shown))
    numbers = number + np.cumsum(begins)
    frame = _csv_fast(lines.joined(is_fast), numbers[is_fast], header, wanted, types)
    if frame is None:
        read += [(at, *lines.row(at)[:3]) for at in np.flatnonzero(is_fast).tolist()]
    rows: list[dict[str, Any]] = []
    broken: list[tuple[int, str, str]] = []
    for at, row, fault, shown in sorted(read):
        line = int(numbers[at])
        if not fault and not any(row):
            continue  # a row without any value is no row
        if fault or (fault := _fault(row, len(header))):
            broken.append((line, fault, _shown(shown)))
        else:
            rows.append({"line": line, **_texts(dict(zip(header, row, strict=True)), wanted)})
    last = int(numbers[-1]) if len(numbers) else number
    if frame is None:
        frame = _frame(rows, wanted)
    elif rows:
        others = _frame(rows, wanted).select(pl.col(n).cast(t) for n, t in frame.schema.items())
        frame = pl.concat([frame, others]).sort("line")
    return (frame, broken_of(broken)), last


def _csv_fast(
    text: bytes,
    numbers: npt.NDArray[np.int64],
    header: list[str],
    wanted: Sequence[str],
    types: Types,
) -> pl.DataFrame | None:
    """The wanted columns of plain lines; None when polars sees other rows in them than lines."""
    if not text:
        return None
    places = {name: f"column_{at}" for at, name in enumerate(header, 1) if name in wanted}
    try:
        frame = pl.read_csv(
            text,
            has_header=False,
            schema={f"column_{n}": types.get(c, pl.String()) for n, c in enumerate(header, 1)},
            columns=list(places.values()),
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if frame.height != len(numbers):
        return None
    line = pl.Series("line", numbers)
    return frame.select(line, *(pl.col(at).alias(name) for name, at in places.items()))


def _refuse_wide(columns: int) -> None:
    if columns > _MOST_COLUMNS:
        raise UnreadableFile(f"it has {columns:,} columns; {_MOST_COLUMNS:,} are the most")


@dataclass(frozen=True)
class _Lines:
    """A block of CSV, where each line of it begins (and the block ends), and which are plain.

    A plain line is a row by itself, and polars reads it as CSV means it: it has some value, the
    header's commas (more if some are quoted), and no open quote. Polars fills shorter rows up
    silently, and reads on from an open quote.
    """

    block: bytes
    starts: npt.NDArray[np.int64]
    is_plain: npt.NDArray[np.bool_]

    def joined(self, chosen: npt.NDArray[np.bool_]) -> bytes:
        if chosen.all():
            return self.block
        data = np.frombuffer(self.block, dtype=np.uint8)
        return data[np.repeat(chosen, np.diff(self.starts))].tobytes()

    def text(self, at: int) -> str:
        return self.block[self.starts[at] : self.starts[at + 1]].decode("utf-8", "surrogateescape")

    def row(self, at: int) -> tuple[list[str], str, str, int]:
        """(fields, '', text, next line) or ([], why not, text, next line) of the row at a line.

        An open quote costs its own line only.
        """
        first = self.text(at)
        taken = [first]
        if first.count('"') % 2:
            for more in range(at + 1, min(at + _QUOTED_LINES, len(self.is_plain))):
                taken.append(self.text(more))
                if taken[-1].count('"') % 2:
                    break
        whole = "".join(taken)
        if whole.count('"') % 2:
            return [], "the row is not CSV (a quote is never closed)", first, at + 1
        try:
            fields = next(csv.reader([whole.rstrip("\r\n")], strict=True), [])
        except csv.Error as error:
            return [], f"the row is not CSV ({_short(error)})", first, at + 1
        return fields, "", whole, at + len(taken)


def _lines(block: bytes, commas: int) -> _Lines:
    starts, is_plain, at = [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)], 0
    for part in _parts(block, _SCAN):
        ends = np.flatnonzero(_found(part, b"\n"))
        begins = np.concatenate(([0], ends[ends < len(part) - 1] + 1))
        starts.append(begins + at)
        is_plain.append(_plain_lines(part, begins, commas))
        at += len(part)
    return _Lines(block, np.concatenate([*starts, [at]]), np.concatenate(is_plain))


def _parts(text: bytes, size: int) -> Iterator[memoryview]:
    """Whole lines, about so many bytes at a time: what fits a cache is counted quicker."""
    view, at = memoryview(text), 0
    while at < len(text):
        end = text.find(b"\n", at + size) + 1 or len(text)
        yield view[at:end]
        at = end


def _plain_lines(
    part: memoryview, begins: npt.NDArray[np.int64], commas: int
) -> npt.NDArray[np.bool_]:
    # A count of quotes that runs over at 256 stays even or odd, and at worst is taken for none.
    quotes = np.add.reduceat(_found(part, b'"').view(np.uint8), begins, dtype=np.uint8)
    seen = _counts(_found(part, b","), begins)
    has_values = np.diff(begins, append=len(part)) > commas + 2  # beside commas and a line end
    is_full = (seen == commas) | ((seen > commas) & (quotes > 0))
    plain: npt.NDArray[np.bool_] = (quotes % 2 == 0) & is_full & has_values
    return plain


def _counts(found: npt.NDArray[np.bool_], begins: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """How many are found from each beginning to the next."""
    counts = np.add.reduceat(found.view(np.uint8), begins, dtype=np.uint8)
    if counts.sum(dtype=np.int64) == np.count_nonzero(found):
        return counts  # none ran over at 256, and bytes are counted five times as quick
    return np.add.reduceat(found.view(np.uint8), begins, dtype=np.uint32)


def _fault(row: list[str], width: int) -> str:
    if len(row) != width:
        return f"the row has {len(row)} fields where the header has {width}"
    if any(not field.isascii() and _valid(field) != field for field in row):
        return "the row is not UTF-8"
    return ""


def _frame(rows: list[dict[str, Any]], wanted: Sequence[str]) -> pl.DataFrame:
    schema: dict[str, Any] = {"line": pl.Int64} | dict.fromkeys(wanted, pl.String)
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)


def _texts(row: dict[str, Any], wanted: Sequence[str]) -> dict[str, str | None]:
    return {name: _as_text(row[name]) for name in wanted if name in row}


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value if value.isascii() else _valid(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=True)
    return str(value)


def _valid(text: str) -> str:
    """Text without the halves of characters that JSON's escapes can write."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _no_broken() -> pl.DataFrame:
    return pl.DataFrame(schema=BROKEN_SCHEMA)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value[:_KEEP].decode("utf-8", "replace")
    return _valid(str(value)[:_KEEP])


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
