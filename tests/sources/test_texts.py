"""Columns that repeat few texts keep each text once while a file is read: the rows are the same."""

import io
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipelines import lake, landing
from pipelines.sources import base, tables
from tests.sources import test_focus
from tests.sources.reading import CURRENCIES, lines
from tests.sources.test_canonical import REQUEST

NEVER = {
    "_SAMPLE": 10**9, "_MOST_TEXTS": 50_000, "_BLOCK": 1 << 20, "CHUNK_ROWS": 300,
    "HELD_BYTES": 1 << 28,
}  # fmt: skip
WAYS = (
    {"_SAMPLE": 20, "_BLOCK": 1 << 20},
    {"_SAMPLE": 20, "_BLOCK": 25_000},
    {"_SAMPLE": 20, "_BLOCK": 25_000, "HELD_BYTES": 20_000},
    {"_SAMPLE": 20, "_BLOCK": 25_000, "_MOST_TEXTS": 3},
    {"_SAMPLE": 20, "_BLOCK": 25_000, "_MOST_TEXTS": 12, "HELD_BYTES": 20_000},
)
PICK = random.Random(5)


def one_of(*texts: Any) -> Any:
    """Mostly the first of them, so that few are seen at the beginning of a file."""
    return texts[0] if PICK.random() < 0.9 else PICK.choice(texts)


def charge(number: int) -> dict[str, Any]:
    # The later, the more accounts: what repeats at first is not what repeats in the end.
    account = PICK.randrange(1 + number // 90)
    return test_focus.ROW | {
        "BillingAccountId": one_of("0012", " 0012 ", "", "owner@example.com"),
        "SubAccountId": one_of(f"a{account}", "NULL", f" a{account}", "x@example.com"),
        "BillingCurrency": one_of("USD", "usd", " cny", "XXX", ""),
        "ChargePeriodStart": f"2024-09-{1 + number % 9:02d}" + one_of("T05:00:00Z", " ", "T99"),
        "ChargePeriodEnd": one_of("", "2024-10-04T00:00:00Z", "never"),
        "ChargeCategory": one_of("Usage", "usage", " CREDIT", "Other", ""),
        "ServiceName": one_of("Amazon Simple Storage Service", "", "nan"),
        "ProviderName": one_of("AWS", "Microsoft"),
        "BilledCost": one_of("1.5", "-0.25", "$2,000.10", "much", "1e-7"),
        "EffectiveCost": one_of("0", "1.25", ""),
        "ChargeDescription": one_of("storage", "two, of them", 'say "hi"', "\u00a0\u4e2d\n"),
    }


def request(number: int) -> dict[str, Any]:
    return REQUEST | {
        "request_id": f"r{number}",
        "team": one_of(f"t{PICK.randrange(1 + number // 90)}", "", "team@example.com"),
        "member": one_of("m1", "me@example.com", " m2 ", None),
        "requested_at": f"2025-01-{1 + number % 9:02d}T09:20:46" + one_of("Z", "", "+08:00", "x"),
        "received_at": one_of("2025-01-24T09:20:47Z", "1737710447", "soon"),
        "model": one_of("glm-4.6", "GLM-4.6", "None"),
        "status": one_of("ok", "OK ", "refused", "lost"),
        "refused_by": one_of(None, "5H", "year"),
        "input_tokens": one_of(7, "1,200", 12.5, -1),
        "on_plan": one_of(True, "no", "perhaps"),
    }


def link(number: int) -> dict[str, Any]:
    return {
        "source": one_of("cloud", " cloud ", "billing", ""),
        "source_id": f"i{number}",
        "team_id": one_of(f"t{PICK.randrange(1 + number // 90)}", "", "team@example.com"),
        "valid_from": f"2025-01-{1 + number % 9:02d}" + one_of("T00:00:00Z", "", "T99"),
        "valid_to": one_of("", "2025-03-01", "never"),
        "recorded_at": one_of("2025-01-24T09:20:47Z", "1737710447"),
        "method": one_of("console", "None"),
        "confidence": one_of("0.9", " 0.5", "high", "", "1", "1.5"),
    }


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(rows).write_parquet(file)
    return file.getvalue()


FILES: dict[str, str | bytes] = {
    "charges.csv": pl.DataFrame([charge(n) for n in range(2_000)]).write_csv(),
    "requests.csv": pl.DataFrame(
        [{k: None if v is None else str(v) for k, v in request(n).items()} for n in range(2_000)]
    ).write_csv(),
    "requests.jsonl": lines(*(request(n) for n in range(2_000))),
    "links.csv": pl.DataFrame([link(n) for n in range(2_000)]).write_csv(),
    "links.jsonl": lines(*(link(n) for n in range(2_000))),
    "charges.parquet": as_parquet([charge(n) for n in range(2_000)]),
}


def set_limits(monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]) -> None:
    for module in (base, tables, lake):
        for name, limit in (NEVER | limits).items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, limit)


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def taken(folder: Path, name: str) -> tuple[lake.Entry, dict[str, pl.DataFrame]]:
    """The entry of a file, and every Parquet of its lake."""
    landed = folder / "landing" / "s" / name
    landed.parent.mkdir(parents=True)
    write(landed, FILES[name])
    now = datetime(2026, 6, 1, tzinfo=UTC)
    context = lake.Context(folder / "lake", "Asia/Shanghai", CURRENCIES, member_key="secret")
    (entry,) = lake.load(landing.scan(folder / "landing", now), context, lambda *_: None)
    found = {
        str(path.relative_to(folder)): pl.read_parquet(path, hive_partitioning=False)
        for path in sorted((folder / "lake").rglob("*.parquet"))
    }
    return entry, found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("limits", WAYS)
def test_the_rows_of_a_file_are_the_same_where_each_text_is_kept_once(
    tmp_path: Path, name: str, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits(monkeypatch, limits | {"_SAMPLE": NEVER["_SAMPLE"]})
    entry, expected = taken(tmp_path / "as_text", name)
    set_limits(monkeypatch, limits)
    found_entry, found = taken(tmp_path / "once", name)
    assert found_entry == entry and entry.rejected and entry.rows_read > 1_800
    assert found.keys() == expected.keys()
    for path, frame in expected.items():
        assert found[path].equals(frame) and found[path].schema == frame.schema, path


@pytest.mark.parametrize("name", FILES)
def test_each_text_is_kept_once_until_there_are_too_many(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the tests above would compare a thing with itself."""
    set_limits(monkeypatch, {"_SAMPLE": 20, "_BLOCK": 25_000, "_MOST_TEXTS": 12})
    path = tmp_path / name
    write(path, FILES[name])
    columns = {"charges": "SubAccountId", "requests": "team", "links": "team_id"}
    column = columns[name.partition(".")[0]]
    wanted = [column, "ChargeCategory", "status", "source_id"]
    types = [raw.schema[column] for raw, _ in tables.pieces(path, wanted, repeats=True)]
    assert len(types) > 5 and len(set(types)) == 2
    assert isinstance(types[0], pl.Categorical) and types[-1] == pl.String
    plain = [raw.schema[column] for raw, _ in tables.pieces(path, wanted)]
    assert set(plain) == {pl.String()}


def test_a_day_holds_no_text_of_another_day_or_of_a_hidden_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts that pieces of a file share must not all follow each row into its Parquet."""
    set_limits(monkeypatch, {"_SAMPLE": 20, "_BLOCK": 25_000})
    taken(tmp_path, "requests.csv")
    days = sorted((tmp_path / "lake" / "requests").rglob("*.parquet"))
    assert len(days) > 5
    for day in days:
        table = pq.ParquetFile(day, read_dictionary=["team", "member", "task"]).read()
        for name in ("team", "member", "task"):
            for chunk in table.column(name).chunks:
                texts = chunk.dictionary.to_pylist()
                assert set(texts) == set(chunk.drop_null().to_pylist())
                assert not any("@" in text for text in texts)
