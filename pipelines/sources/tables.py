"""Containers to raw frames: CSV, JSON Lines, JSON arrays and Parquet, plain or gzip.

Belongs here: opening a file, splitting it into bounded pieces, numbering its lines, and keeping
what can't be read as a row with its line and reason.
Does not belong here: what any column means (that is each format's adapter).

Every reader yields (raw, broken): raw has those of the wanted columns that the file has, plus
line; broken has line, reason, row. Text containers give text columns (nested JSON stays text);
Parquet keeps its types. Memory is bounded by the size of a piece, never by that of the file.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow.parquet as pq

from pipelines.sources.base import BROKEN_SCHEMA, CHUNK_ROWS, MAX_LINE_BYTES, UnreadableFile

Piece = tuple[pl.DataFrame, pl.DataFrame]
_BLOCK = 32 << 20
_FEW = 256  # JSON lines that are parsed one by one when one of them is broken
_KEEP = 2_000  # characters of a broken row that are worth keeping
_GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)


def head_of(path: Path, size: int = 65_536) -> bytes:
    """First bytes of a file, decompressed; empty when it can't be decompressed."""
    try:
        with open_bytes(path) as handle:
            return handle.read(size)
    except (OSError, *_GZIP_ERRORS):
        return b""


def open_bytes(path: Path) -> BinaryIO:
    with path.open("rb") as handle:
        magic = handle.read(2)
    return gzip.open(path, "rb") if magic == b"\x1f\x8b" else path.open("rb")  # type: ignore[return-value]


def kind_of(path: Path, head: bytes) -> str:
    """'parquet', 'jsonl', 'json' (one array or object over many lines) or 'csv'."""
    if head[:4] == b"PAR1":
        return "parquet"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"[":
        return "json"
    if text[:1] == b"{":
        first, _, rest = text.partition(b"\n")
        try:
            json.loads(first)
        except ValueError:
            # A broken first line followed by other objects is still JSON Lines.
            return "jsonl" if rest.lstrip()[:2] in (b'{"', b"{}") else "json"
        return "jsonl"
    return "csv"


def columns_of(path: Path, head: bytes) -> list[str]:
    """Column names that a file shows in its first bytes; [] when it shows none."""
    kind = kind_of(path, head)
    if kind == "parquet":
        try:
            return list(pq.read_schema(path).names)
        except Exception:
            return []
    if kind == "csv":
        line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
        try:
            return [c.strip() for c in next(csv.reader([line.decode("utf-8")]), [])]
        except (UnicodeDecodeError, csv.Error):
            return []
    first = _first_object(head)
    return list(first) if first else []


def _first_object(head: bytes) -> dict[str, Any] | None:
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip().lstrip("[")
    decoder = json.JSONDecoder()
    for start in [text, *text.split("\n")[:50]]:
        try:
            value, _ = decoder.raw_decode(start.lstrip())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def pieces(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    """Raw pieces of a file of any of the four containers, with the wanted columns only.

    Raises UnreadableFile when the container itself is damaged.
    """
    head = head_of(path)
    if not head:
        raise UnreadableFile("the file is empty or its gzip is damaged")
    reader = {"parquet": _parquet, "jsonl": _jsonl, "json": _json, "csv": _csv}
    try:
        yield from reader[kind_of(path, head)](path, wanted)
    except _GZIP_ERRORS as error:
        raise UnreadableFile(f"the gzip is damaged ({error})") from None
    except UnicodeDecodeError:
        raise UnreadableFile("the text is not UTF-8") from None


def _parquet(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    try:
        file = pq.ParquetFile(path)
        present = [name for name in file.schema_arrow.names if name in wanted]
        start = 1
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=present):
            frame = pl.DataFrame(pl.from_arrow(batch))
            yield frame.with_row_index("line", start).cast({"line": pl.Int64}), _no_broken()
            start += frame.height
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        # pyarrow's errors are OSError or ValueError.
        raise UnreadableFile(f"the Parquet is damaged ({_short(error)})") from None


def _lines(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first line, lines) in blocks; over-long lines come as b'' plus a marker."""
    with open_bytes(path) as handle:
        number, rest, first = 1, b"", True
        while block := handle.read(_BLOCK):
            if first:
                block, first = block.removeprefix(b"\xef\xbb\xbf"), False
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if lines:
                yield number, lines
                number += len(lines)
            if len(rest) > MAX_LINE_BYTES:
                raise UnreadableFile(
                    f"line {number} is longer than {MAX_LINE_BYTES >> 20} MiB, so it can't be rows"
                )
        if rest:
            yield number, [rest]


def _jsonl(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    for start, lines in _lines(path):
        numbered = [(start + i, s) for i, line in enumerate(lines) if (s := line.strip())]
        for at in range(0, len(numbered), CHUNK_ROWS):
            yield _json_rows(numbered[at : at + CHUNK_ROWS], wanted)


def _json_rows(numbered: list[tuple[int, bytes]], wanted: Sequence[str]) -> Piece:
    try:
        text = b"\n".join(line for _, line in numbered)
        frame = pl.read_ndjson(text, schema=dict.fromkeys(wanted, pl.String))
        if frame.height == len(numbered):
            lines = pl.Series("line", [number for number, _ in numbered], dtype=pl.Int64)
            return frame.insert_column(0, lines), _no_broken()
    except pl.exceptions.PolarsError:
        pass
    if len(numbered) <= _FEW:
        return _json_rows_one_by_one(numbered, wanted)
    # A broken line spoils only the piece it stands in.
    size = max(_FEW, len(numbered) // 16)
    parts = [_json_rows(numbered[i : i + size], wanted) for i in range(0, len(numbered), size)]
    return pl.concat([raw for raw, _ in parts]), pl.concat([broken for _, broken in parts])


def _json_rows_one_by_one(numbered: list[tuple[int, bytes]], wanted: Sequence[str]) -> Piece:
    rows: list[dict[str, Any]] = []
    broken: list[tuple[int, str, str]] = []
    for number, line in numbered:
        try:
            value = json.loads(line, parse_float=str, parse_int=str)
        except UnicodeDecodeError:
            broken.append((number, "the line is not UTF-8", _shown(line)))
            continue
        except (ValueError, RecursionError) as error:
            broken.append((number, f"the line is not JSON ({_short(error)})", _shown(line)))
            continue
        if isinstance(value, dict):
            rows.append({"line": number, **_texts(value, wanted)})
        else:
            broken.append((number, "the line is not a JSON object", _shown(line)))
    return _frame(rows, wanted), _broken(broken)


def _json(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    """A JSON array of objects, or one object; line = position in the array."""
    with open_bytes(path) as handle:
        text = handle.read(_JSON_LIMIT + 1)
    if len(text) > _JSON_LIMIT:
        raise UnreadableFile(
            f"a JSON array of more than {_JSON_LIMIT >> 20} MiB: write it as JSON Lines"
        )
    try:
        value = json.loads(text.removeprefix(b"\xef\xbb\xbf"), parse_float=str, parse_int=str)
    except UnicodeDecodeError:
        raise UnreadableFile("the text is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"the file is not JSON ({_short(error)})") from None
    items = value if isinstance(value, list) else [value]
    for at in range(0, len(items), CHUNK_ROWS):
        rows: list[dict[str, Any]] = []
        broken: list[tuple[int, str, str]] = []
        for number, item in enumerate(items[at : at + CHUNK_ROWS], at + 1):
            if isinstance(item, dict):
                rows.append({"line": number, **_texts(item, wanted)})
            else:
                broken.append((number, "the entry is not a JSON object", _shown(item)))
        yield _frame(rows, wanted), _broken(broken)


_JSON_LIMIT = 256 << 20


def _csv(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    """Polars' reader while every row has the header's width, Python's row by row where not."""
    done = 0
    try:
        for raw, broken in _csv_fast(path, wanted):
            yield raw, broken
            done += raw.height
    except pl.exceptions.PolarsError:
        yield from _csv_row_by_row(path, wanted, skip=done)


def _csv_fast(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    scan = pl.scan_csv(path, infer_schema=False, row_index_name="line", row_index_offset=2)
    names = {c.strip().strip("\ufeff"): c for c in scan.collect_schema().names()}
    columns = [pl.col(names[w]).alias(w) for w in wanted if w in names]
    for batch in scan.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True):
        yield batch.select(pl.col("line").cast(pl.Int64), *columns), _no_broken()


def _csv_row_by_row(path: Path, wanted: Sequence[str], skip: int) -> Iterator[Piece]:
    with io.TextIOWrapper(open_bytes(path), "utf-8-sig", errors="replace", newline="") as text:
        csv.field_size_limit(MAX_LINE_BYTES)
        reader = csv.reader(text, strict=True)
        header = [c.strip() for c in next(reader, [])]
        rows: list[dict[str, Any]] = []
        broken: list[tuple[int, str, str]] = []
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                broken.append((line, f"the row is not CSV ({_short(error)})", ""))
                continue
            if not row:
                continue
            if skip > 0:
                skip -= 1
            elif len(row) == len(header):
                rows.append({"line": line, **_texts(dict(zip(header, row, strict=True)), wanted)})
            else:
                reason = f"the row has {len(row)} fields where the header has {len(header)}"
                broken.append((line, reason, _shown(",".join(row))))
            if len(rows) >= CHUNK_ROWS:
                yield _frame(rows, wanted), _broken(broken)
                rows, broken = [], []
        yield _frame(rows, wanted), _broken(broken)


def _frame(rows: list[dict[str, Any]], wanted: Sequence[str]) -> pl.DataFrame:
    schema: dict[str, Any] = {"line": pl.Int64} | dict.fromkeys(wanted, pl.String)
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)


def _texts(row: dict[str, Any], wanted: Sequence[str]) -> dict[str, str | None]:
    return {name: _as_text(row.get(name)) for name in wanted}


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _broken(rows: list[tuple[int, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=BROKEN_SCHEMA, orient="row")


def _no_broken() -> pl.DataFrame:
    return pl.DataFrame(schema=BROKEN_SCHEMA)


def _shown(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:_KEEP]


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
