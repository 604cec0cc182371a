"""Files that are damaged, huge, deep or not what they say: a clear reason, and nothing else."""

import gzip
import json
import re
import resource
import tracemalloc
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import lake, landing
from pipelines.errors import UsageError
from pipelines.sources import registry, tables
from pipelines.sources.base import MAX_LINE_BYTES, Options, UnreadableFile, to_amount
from tests.sources import test_focus
from tests.sources.reading import CURRENCIES, lines, read, write
from tests.sources.test_canonical import REQUEST

HEADER = ",".join(REQUEST)
ROW = ",".join(str(v) for v in REQUEST.values())
FORM = "canonical_requests"


def refusal(path: Path) -> str:
    """Why the file can't be read as requests."""
    with pytest.raises(UnreadableFile) as caught:
        for _ in registry.named(FORM).read(path, Options()):
            pass
    return str(caught.value)


def test_an_empty_file(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", "")
    assert registry.detect(path) is None
    assert registry.why_not(path) == refusal_of_empty()
    assert refusal(path) == "the file is empty or its gzip is damaged"


def refusal_of_empty() -> str:
    return "it is empty or its gzip is damaged"


def test_a_header_without_rows(tmp_path: Path) -> None:
    for text in (HEADER, HEADER + "\n", HEADER + "\r\n\r\n"):
        reading = read(write(tmp_path, "x.csv", text))
        assert (reading.form, reading.rows, reading.rejects) == (FORM, [], [])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
@pytest.mark.parametrize("kept", [0.2, 0.9, 0.999])
def test_a_truncated_gzip(tmp_path: Path, kind: str, kept: float) -> None:
    rows = [REQUEST | {"request_id": f"r{i:06d}{hash(str(i))}"} for i in range(5_000)]
    text = {
        "csv": pl.DataFrame(rows).write_csv(), "jsonl": lines(*rows), "json": json.dumps(rows),
    }[kind]  # fmt: skip
    whole = gzip.compress(text.encode())
    path = write(tmp_path, "x", whole[: int(len(whole) * kept)])
    assert registry.detect(path) is not None
    assert "damaged" in refusal(path)


def test_a_gzip_with_a_broken_head(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", b"\x1f\x8b\x08\x00garbage")
    assert registry.detect(path) is None
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_an_over_long_line(tmp_path: Path, kind: str, is_packed: bool) -> None:
    long = "x" * (MAX_LINE_BYTES + 1)
    first, rest = (HEADER, ROW) if kind == "csv" else (json.dumps(REQUEST), json.dumps(REQUEST))
    path = tmp_path / ("x.gz" if is_packed else "x")
    text = f"{first}\n{rest}\n{long}\n{rest}\n".encode()
    path.write_bytes(gzip.compress(text, 1) if is_packed else text)
    tracemalloc.start()
    assert refusal(path) == "line 3 is longer than 16 MiB, so it can't be rows"
    assert tracemalloc.get_traced_memory()[1] < 40 * MAX_LINE_BYTES
    tracemalloc.stop()


@pytest.mark.parametrize("size", [100, 100_000])
def test_deep_json(tmp_path: Path, size: int) -> None:
    deep = '{"request_id": ' + "[" * size + "]" * size + "}"
    path = write(tmp_path, "x.jsonl", f"{json.dumps(REQUEST)}\n{deep}\n{json.dumps(REQUEST)}\n")
    reading = read(path)
    assert len(reading.rows) == 2 and len(reading.rejects) == 1
    whole = write(tmp_path, "x.json", f"[{deep}]")
    if size > 1_000:
        assert "not JSON" in refusal(whole)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.parquet", b"PAR1 and nothing of it"),
        ("x.parquet", b"PAR1" + b"\x00" * 100 + b"PAR1"),
        ("x.parquet", b"\x7fELF\x02\x01\x01" + b"\x00" * 100),
        ("x.csv", b"PK\x03\x04" + b"\x00" * 100),
        ("x.json", b"%PDF-1.7 ..."),
        ("x.csv", "request_id,team\n".encode("utf-16")),
    ],
)
def test_wrong_magic_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path, name, content)
    assert registry.detect(path) is None
    assert registry.why_not(path)
    assert refusal(path)


def test_a_csv_called_parquet_is_read_for_what_it_is(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, "x.parquet", f"{HEADER}\n{ROW}\n")).rows) == 1


def test_a_folder_called_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.mkdir()
    assert registry.detect(path) is None
    assert registry.why_not(path) == refusal(path) == "it is a folder, not a file"


def test_a_parquet_of_another_schema(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(path)
    assert registry.detect(path) is None
    assert registry.why_not(path) == "it is parquet with the columns a, b, which no format has"
    assert refusal(path).startswith("it has none of the columns request_id, team")


def test_a_parquet_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame([REQUEST] * 100).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert registry.detect(path) is None
    assert "damaged" in refusal(path)


def test_parquet_columns_of_odd_types(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    odd = pl.DataFrame([REQUEST] * 2).with_columns(
        member=pl.lit(b"\xff\xfe"), task=pl.lit([1, 2]), session=pl.struct(a=1),
        input_tokens=pl.lit(True), output_tokens=pl.duration(days=1),
        requested_at=pl.Series([1.5, float("inf")]), model=pl.lit("m").cast(pl.Categorical),
    )  # fmt: skip
    odd.write_parquet(path)
    reading = read(path)
    assert len(reading.rows) + len(reading.rejects) == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,b", "the row has 2 fields where the header has 14"),
        (ROW + ",more", "the row has 15 fields where the header has 14"),
        (ROW.replace("debugging", '"debugging'), "the row is not CSV (a quote is never closed)"),
        (ROW.replace("debugging", 'de"bug"ging'), "the row has"),
    ],
)
def test_ragged_rows(tmp_path: Path, row: str, reason: str) -> None:
    path = write(tmp_path, "x.csv", f"{HEADER}\n{ROW}\n{row}\n{ROW}\n\n{ROW}")
    reading = read(path)
    if reason == "the row has":
        assert len(reading.rows) + len(reading.rejects) == 4
        return
    assert [(r["line"], r["reason"]) for r in reading.rejects] == [(3, reason)]
    assert reading.column("line") == [2, 4, 6]


def test_a_row_cut_off_in_its_middle_is_not_filled_up(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW}\n{ROW}"
    reading = read(write(tmp_path, "x.csv", text[: -len("true") - 2]))
    assert len(reading.rows) == 1
    assert reading.reasons == ["the row has 12 fields where the header has 14"]


def test_a_quoted_line_break_is_one_row(tmp_path: Path) -> None:
    row = ROW.replace("debugging", '"two\nlines, and ""quotes"""')
    reading = read(write(tmp_path, "x.csv", f"{HEADER}\n{row}\n{ROW}\n"))
    assert reading.column("task") == ['two\nlines, and "quotes"', "debugging"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_invalid_utf8_costs_its_row_only(tmp_path: Path, kind: str) -> None:
    line = ROW if kind == "csv" else json.dumps(REQUEST)
    bad = line.encode().replace(b"debugging", b"\xff\xfe")
    head = HEADER.encode() + b"\n" if kind == "csv" else b""
    path = write(tmp_path, "x", head + line.encode() + b"\n" + bad + b"\n" + line.encode())
    reading = read(path)
    assert len(reading.rows) == 2
    assert ["UTF-8" in r for r in reading.reasons] == [True]


def test_half_characters_of_json_escapes_are_replaced(tmp_path: Path) -> None:
    text = json.dumps(REQUEST).replace("debugging", "\\ud83d")
    reading = read(write(tmp_path, "x.jsonl", text + "\n{broken\n"))
    assert reading.column("task") == ["?"] and len(reading.rejects) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [("[1]", "the entry is not a JSON object"), ("nonsense", "the line is not JSON"),
     ('{"a": 1', "the line is not JSON"), ("7", "the entry is not a JSON object")],
)  # fmt: skip
def test_lines_that_are_no_objects(tmp_path: Path, line: str, reason: str) -> None:
    good = json.dumps(REQUEST)
    reading = read(write(tmp_path, "x.jsonl", f"{good}\n{line}\n\n{good}\n"))
    assert reading.column("line") == [1, 4]
    assert len(reading.rejects) == 1 and reading.reasons[0].startswith(reason)


def test_a_broken_first_line_does_not_hide_the_format(tmp_path: Path) -> None:
    good = json.dumps(REQUEST)
    reading = read(write(tmp_path, "x.jsonl", f'{{"request_id": \n{good}\n{good}\n'))
    assert (reading.form, len(reading.rows), len(reading.rejects)) == (FORM, 2, 1)


def test_a_name_with_glob_characters_is_a_name(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", f"{HEADER}\n{ROW}\n")
    path = write(tmp_path, "[a]*.csv", f"{HEADER}\n{ROW}\n")
    assert len(read(path).rows) == 1


def test_repeated_column_names_use_the_last_as_python_does(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", f"{HEADER},team\n{ROW},other\n")
    assert len(read(path).rows) == 1


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UsageError, match="There is no format 'excel'"):
        registry.named("excel")


def load(folder: Path) -> lake.Entry:
    """The one file of landing/s, brought into the lake."""
    context = lake.Context(folder / "lake", "Asia/Shanghai", CURRENCIES)
    files = landing.scan(folder / "landing", datetime(2026, 6, 1, tzinfo=UTC))
    (entry,) = lake.load(files, context, lambda *_: None)
    return entry


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "s"
    folder.mkdir(parents=True)
    return folder


def test_a_gzip_bomb_is_given_up_after_a_million_rows(
    tmp_path: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scaled down: 3,000 rows a block, given up after 20,000 of 200,000."""
    monkeypatch.setattr(lake, "MOST_REFUSED", 20_000)
    monkeypatch.setattr(tables, "_BLOCK", 3_000 * 14)
    write(
        delivered,
        "x.csv.gz",
        f"{HEADER}\n" + ("," * 13 + "\n") * 10 + ("x" + "," * 13 + "\n") * 200_000,
    )
    entry = load(tmp_path)
    assert entry.whole_file_reason.startswith("none of its first 2")
    assert entry.rows_read == entry.rejected < 30_000


def test_rejects_beyond_the_first_keep_line_and_reason_only(
    tmp_path: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "MOST_SHOWN", 10)
    monkeypatch.setattr(tables, "_BLOCK", 1_000)
    write(delivered, "x.csv", f"{HEADER}\n{ROW}\n" + ("x" + "," * 13 + "\n") * 1_000)
    entry = load(tmp_path)
    found = lake.rejects(entry, tmp_path / "lake")
    assert (entry.rows_read, entry.rejected, found.height) == (1_001, 1_000, 1_000)
    assert (
        found["reason"].null_count() == 0 and 10 <= found.filter(pl.col("row") != "").height < 300
    )


def test_a_first_piece_without_a_good_row_is_no_fault(
    tmp_path: Path, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK", 300)
    bad = test_focus.ROW | {"BillingAccountId": ""}
    pl.DataFrame([*[bad] * 20, *[test_focus.ROW] * 20, *[bad] * 20]).write_csv(delivered / "x.csv")
    entry = load(tmp_path)
    assert (entry.rows_read, entry.rejected, entry.days) == (60, 40, {"2024-09-03": 20})


@pytest.mark.parametrize("size", [40, 200, 1_000, 10_000])
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_the_ends_of_blocks_change_no_row(
    tmp_path: Path, size: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quoted line breaks, open quotes, ragged and empty rows, wherever a block may end."""
    broken = ROW.replace("debugging", '"two\nlines, ""quoted"""')
    rows = [ROW, broken, ROW, "a,b", ROW, "", ROW.replace("debugging", '"open'), ROW, broken, ROW]
    path = write(tmp_path, name, "\n".join([HEADER, *rows * 5]))
    expected = read(path)
    monkeypatch.setattr(tables, "_BLOCK", size)
    found = read(path)
    assert found.column("task") == expected.column("task") and len(found.rows) == 35
    lines_of = [[r["line"] for r in reading.rejects] for reading in (found, expected)]
    assert lines_of[0] == lines_of[1] and len(found.rejects) == 10


def test_more_columns_than_a_table_has(tmp_path: Path) -> None:
    more = "".join(f",c{n}" for n in range(10_000))
    path = write(tmp_path, "x.csv", f"{HEADER}{more}\n{ROW}{',' * 10_000}\n")
    assert refusal(path) == "it has 10,014 columns; 10,000 are the most"


def test_a_parquet_of_a_few_bytes_and_many_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"request_id": pl.repeat("r", 2_000_000, eager=True)}).write_parquet(
        path, row_group_size=2_000_000
    )
    assert re.fullmatch(r"it says that [\d,]+ bytes hold 2,000,000 rows", refusal(path))


def test_a_line_of_two_gigabytes_is_given_up_at_its_first_16_mebibytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("wb") as file:
        file.write(f"{HEADER}\n{ROW}\n".encode())
        file.truncate(2 << 30)  # a sparse file: two gigabytes of zeros without a line end
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(path) == "line 3 is longer than 16 MiB, so it can't be rows"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def test_a_json_document_beyond_the_limit_and_a_zip(tmp_path: Path) -> None:
    whole = gzip.compress(b"[" + b" " * (65 << 20) + json.dumps(REQUEST).encode() + b"]", 1)
    assert refusal(write(tmp_path, "x.json", whole)).startswith(
        "a JSON document of more than 64 MiB"
    )
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x.csv", f"{HEADER}\n{ROW}\n")
    assert registry.detect(path) is None and registry.why_not(path) == "it is a zip: unpack it"


def test_a_parquet_whose_pages_are_not_what_its_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame([REQUEST] * 2_000).write_parquet(path, compression="uncompressed")
    whole = bytearray(path.read_bytes())
    for at in range(4, len(whole) // 2, 37):
        whole[at] ^= 0xFF
    path.write_bytes(whole)
    try:
        found = read(path)
    except UnreadableFile as error:
        assert "damaged" in str(error)
    else:
        assert len(found.rows) + len(found.rejects) == 2_000


LINES = (
    "a,1,x\n", 'b,2,"y, and z"\n', 'c,3,"two\nlines"\n', 'd,"4,open\n', "e,5\n", "f,6,7,8\n", "\n",
    ",,\n", "g,7,w\r\n", 'h,"8"x,v\n', 'i,9,"say ""hi"""\n', "j,10,caf\u00e9\n",
)  # fmt: skip


@given(chosen=st.lists(st.sampled_from(LINES), max_size=12))
def test_lines_that_polars_reads_are_read_as_python_reads_them(chosen: list[str]) -> None:
    header = ["a", "b", "c"]
    lines = tables._lines("".join(chosen).encode(), commas=2)
    by_both = tables._csv_piece(lines, header, header, 1, {})
    nothing = replace(lines, is_plain=np.zeros_like(lines.is_plain))
    by_python = tables._csv_piece(nothing, header, header, 1, {})
    assert by_both[1] == by_python[1]
    assert by_both[0][1].equals(by_python[0][1])
    both, python = by_both[0][0], by_python[0][0].with_columns(pl.col(header).replace("", None))
    assert both.with_columns(pl.col(header).replace("", None)).equals(python)


def test_a_broken_line_costs_the_quick_reading_of_its_own_line_only(tmp_path: Path) -> None:
    row = json.dumps(REQUEST)
    text = f"{row}\n\n{row[:40]}\n[1]\n{row.replace('debugging', chr(92) + 'ud83d')}\n{row}\n"
    reading = read(write(tmp_path, "x.jsonl", text))
    assert reading.column("line") == [1, 5, 6]
    assert reading.column("task") == ["debugging", "?", "debugging"]
    assert [r["line"] for r in reading.rejects] == [3, 4]


def test_a_text_that_is_no_object_costs_the_quick_reading_of_itself_only() -> None:
    texts = [
        '{"a": {"b": 1}, "c": "x"}',
        "{broken",
        None,
        "[1]",
        '{\n"c": 12345678901234567890}',
        "",
    ]
    found = tables.inside(pl.Series(texts), ["a", "c"])
    assert found["c"].to_list() == ["x", None, None, None, "12345678901234567890", None]
    assert tables.inside(found["a"], ["b"])["b"].to_list() == ["1", *[None] * 5]


def test_amounts_that_are_hard_to_read_are_exact_beside_plain_ones() -> None:
    texts = [
        "0.000000000000000001",
        "7",
        "$10,100.00 ",
        None,
        "(2.5)",
        "25.?",
        "0.1234567890123456789",
    ]
    found = to_amount(pl.Series(texts)).to_list()
    exact = ["0.000000000000000001", "7", "10100", None, "-2.5", None, None]
    assert found == [Decimal(x) if x else None for x in exact]
