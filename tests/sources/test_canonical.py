"""Cloudbound's own files: every family from CSV, JSON Lines and Parquet, and the traps of values."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from pipelines.rollup import calendar
from pipelines.sources import base, tables
from pipelines.sources.base import UTC_MICROSECONDS, UnreadableFile
from tests.sources.reading import Reading, lines, read, write

AT = datetime(2025, 1, 24, 9, 20, 46, 847371, tzinfo=UTC)
REQUEST = {
    "request_id": "r1", "team": "0042", "member": "m", "requested_at": "2025-01-24T09:20:46.847371Z",
    "received_at": "2025-01-24T09:20:47Z", "model": "qwen3-coder-plus", "task": "debugging",
    "session": "s", "input_tokens": "120", "cached_tokens": "100", "output_tokens": "30",
    "status": "OK", "refused_by": "", "on_plan": "true",
}  # fmt: skip
EVENT = {
    "event_id": "e1", "team": "t", "plan": "lite", "event": "started",
    "occurred_at": "2025-01-24T09:20:46Z", "period_start": "2025-01-24", "period_end": "2025-02-24",
    "list_amount": "40.00", "net_amount": "7.90", "currency": "cny", "promotion": "first-month",
}  # fmt: skip


def csv(folder: Path, *rows: dict[str, Any]) -> Reading:
    return read(write(folder, "x.csv", pl.DataFrame(rows).write_csv()))


def test_requests(tmp_path: Path) -> None:
    reading = csv(tmp_path, REQUEST)
    assert reading.form == "canonical_requests"
    assert reading.rows == [{
        "request_id": "r1", "team": "0042", "member": "m", "requested_at": AT,
        "received_at": datetime(2025, 1, 24, 9, 20, 47, tzinfo=UTC), "model": "qwen3-coder-plus",
        "task": "debugging", "session": "s", "input_tokens": 120, "cached_tokens": 100,
        "output_tokens": 30, "status": "ok", "refused_by": None, "on_plan": True, "line": 2,
    }]  # fmt: skip


def test_subscriptions(tmp_path: Path) -> None:
    reading = csv(tmp_path, EVENT)
    assert reading.form == "canonical_subscriptions"
    (row,) = reading.rows
    assert (row["list_amount"], row["net_amount"]) == (Decimal(40), Decimal("7.9"))
    assert (row["currency"], row["period_end"]) == ("CNY", datetime(2025, 2, 24, tzinfo=UTC))


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("canonical_account_links", {"source": "s", "source_id": "1", "team_id": "t",
         "valid_from": "2025-01-01", "recorded_at": "2025-01-02", "confidence": "0.5"}),
        ("canonical_teams", {"team_id": "t", "region": "cn"}),
        ("canonical_teams", {"team_id": "t", "opened_at": "2025-01-01"}),
        ("canonical_channel_costs", {"month": "2025-01-01", "channel": "ads", "spend": "9.99",
         "currency": "CNY"}),
        ("canonical_assignments", {"team": "t", "experiment": "e", "arm": "a",
         "assigned_at": "2025-01-01"}),
    ],
)  # fmt: skip
def test_small_families(tmp_path: Path, form: str, row: dict[str, Any]) -> None:
    reading = csv(tmp_path, row)
    assert (reading.form, len(reading.rows), reading.rejects) == (form, 1, [])


def test_containers_give_the_same_rows(tmp_path: Path) -> None:
    frame = pl.DataFrame([REQUEST, REQUEST | {"request_id": "r2"}])
    expected = [r | {"line": 0} for r in csv(tmp_path, *frame.to_dicts()).rows]
    frame.write_parquet(tmp_path / "x.parquet")
    frame.write_ndjson(tmp_path / "x.jsonl")
    frame.write_json(tmp_path / "x.json")
    for name in ("x.parquet", "x.jsonl", "x.json"):
        assert [r | {"line": 0} for r in read(tmp_path / name).rows] == expected


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-24T09:20:46.847371Z", "2025-01-24T09:20:46.847371+00:00",
        "2025-01-24T17:20:46.847371+08:00", "2025-01-24 17:20:46.847371+0800",
        "2025-01-24 17:20:46.847371999+08", "2025-01-24T17:20:46.847371",
        "2025-01-24 17:20:46.847371", "1737710446.847371", "1737710446847371",
        "1737710446847371999", "2025-01-24 09:20:46.847371 UTC", "2025/01/24 17:20:46.847371",
    ],
)  # fmt: skip
@pytest.mark.parametrize("container", ["csv", "jsonl", "parquet"])
def test_every_way_to_write_a_time(tmp_path: Path, text: str, container: str) -> None:
    """A naive one is in the declared zone; nanoseconds above 2^53 keep every digit."""
    frame = pl.DataFrame([REQUEST | {"requested_at": text}])
    path = tmp_path / f"x.{container}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[
        container
    ](path)
    assert read(path, timezone="Asia/Shanghai").column("requested_at") == [AT]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1737710446, AT.replace(microsecond=0)),
        (1737710446847, AT.replace(microsecond=847000)),
        (1737710446847371, AT),
        (1737710446847371999, AT),
        (1737710446.847371, AT),
    ],
)
def test_epochs_as_numbers(tmp_path: Path, number: float, expected: datetime) -> None:
    row = REQUEST | {"requested_at": number}
    pl.DataFrame([row]).write_parquet(tmp_path / "x.parquet")
    for path in (tmp_path / "x.parquet", write(tmp_path, "x.jsonl", lines(row))):
        assert read(path).column("requested_at") == [expected]


def test_a_time_that_the_zone_skips_is_no_time(tmp_path: Path) -> None:
    frame = pl.DataFrame([REQUEST | {"requested_at": "2025-03-30T02:30:00"}])
    path = write(tmp_path, "x.csv", frame.write_csv())
    reading = read(path, timezone="Europe/Berlin")
    assert reading.reasons == ["requested_at can't be read as a time"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("$10,100.00 ", "10100"), ("0.123456789012345678", "0.123456789012345678"),
        ("123456789012345.123456789012345678", "123456789012345.123456789012345678"),
        ("-3.50", "-3.5"), ("(2.10)", "-2.1"), ("1e-7", "0.0000001"), ("¥40", "40"), ("+5", "5"),
        ("1.50000000000000000000", "1.5"), (".5", "0.5"), ("5.", "5"),
    ],
)  # fmt: skip
def test_every_way_to_write_an_amount(tmp_path: Path, text: str, amount: str) -> None:
    assert csv(tmp_path, EVENT | {"net_amount": text}).column("net_amount") == [Decimal(amount)]


@pytest.mark.parametrize(
    "text",
    [
        "0.1234567890123456789",
        ".1234567890123456789",
        "1.2.3",
        "12 CNY",
        "=1+1",
        "1e40",
        "--1",
        "∞",
    ],
)
def test_an_amount_that_would_lose_a_digit_is_rejected(tmp_path: Path, text: str) -> None:
    reading = csv(tmp_path, EVENT, EVENT | {"net_amount": text})
    assert reading.reasons == ["net_amount can't be read as an amount"]


def test_amounts_as_json_numbers_keep_every_digit(tmp_path: Path) -> None:
    line = lines(EVENT | {"net_amount": 0}).replace(
        '"net_amount": 0', '"net_amount": 0.123456789012345678'
    )
    for broken in ("", "{\n"):
        reading = read(write(tmp_path, "x.jsonl", line + broken))
        assert reading.column("net_amount") == [Decimal("0.123456789012345678")]


def test_decimals_finer_than_eighteen_digits_are_not_rounded(tmp_path: Path) -> None:
    fine = [Decimal("1.50000000000000000000"), Decimal("1.00000000000000000001")]
    frame = pl.DataFrame([EVENT, EVENT]).with_columns(
        net_amount=pl.Series(fine, dtype=pl.Decimal(38, 20))
    )
    frame.write_parquet(tmp_path / "x.parquet")
    reading = read(tmp_path / "x.parquet")
    assert reading.column("net_amount") == [Decimal("1.5")]
    assert reading.reasons == ["net_amount can't be read as an amount"]


@pytest.mark.parametrize("null", ["", "NULL", "null", "None", "{}", " ", "nan", "\\N"])
def test_every_way_to_write_nothing(tmp_path: Path, null: str) -> None:
    names = ("member", "received_at", "task", "session", "cached_tokens", "refused_by", "on_plan")
    (row,) = csv(tmp_path, REQUEST | dict.fromkeys(names, null)).rows
    assert [row[name] for name in names] == [None] * len(names)


def test_json_null_and_absent_fields(tmp_path: Path) -> None:
    short = {k: REQUEST[k] for k in ("request_id", "team", "requested_at", "status", "model")}
    reading = read(write(tmp_path, "x.jsonl", lines(short | {"member": None}, short)))
    assert [r["member"] for r in reading.rows] == [None, None]


def test_unknown_columns_and_their_order_do_not_matter(tmp_path: Path) -> None:
    shuffled = dict(reversed(list((REQUEST | {"x_note": "=cmd()|' /C calc'!A0"}).items())))
    assert csv(tmp_path, shuffled).rows == csv(tmp_path, REQUEST).rows


def test_formula_text_stays_text(tmp_path: Path) -> None:
    assert csv(tmp_path, REQUEST | {"member": "=1+1"}).column("member") == ["=1+1"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("has_bom", [False, True])
@pytest.mark.parametrize("has_last", [False, True])
def test_bom_line_ends_and_the_last_line(
    tmp_path: Path, ending: str, has_bom: bool, has_last: bool
) -> None:
    for name, text in (
        ("x.csv", pl.DataFrame([REQUEST, REQUEST]).write_csv()),
        ("x.jsonl", lines(REQUEST, REQUEST)),
    ):
        text = text.strip().replace("\n", ending) + (ending if has_last else "")
        reading = read(write(tmp_path, name, ("\ufeff" if has_bom else "") + text))
        assert (len(reading.rows), reading.rejects) == (2, [])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"request_id": ""}, "request_id is missing or can't be read"),
        ({"team": "NULL"}, "team is missing or can't be read"),
        ({"requested_at": ""}, "requested_at is missing or can't be read"),
        ({"requested_at": "soon"}, "requested_at can't be read as a time"),
        ({"requested_at": "1999-12-31"},
         "it is not true that requested at is between 2000 and 2100"),
        ({"status": "done"}, "it is not true that status is known"),
        ({"refused_by": "day"}, "it is not true that refused by is a known limit"),
        ({"on_plan": "perhaps"}, "on_plan can't be read as yes or no"),
        ({"input_tokens": "-1"}, "input_tokens breaks the rule min"),
    ],
)  # fmt: skip
def test_requests_that_the_metric_cannot_use(
    tmp_path: Path, fault: dict[str, str], reason: str
) -> None:
    reading = csv(tmp_path, REQUEST, REQUEST | fault)
    assert (len(reading.rows), reading.reasons) == (1, [reason])


def test_unreadable_details_are_warnings(tmp_path: Path) -> None:
    reading = csv(tmp_path, REQUEST | {"input_tokens": "many", "received_at": "later"})
    assert len(reading.rows) == 1
    assert reading.warnings == [
        "input_tokens can't be read as a whole number in some rows and counts as absent there",
        "received_at can't be read as a time in some rows and counts as absent there",
    ]


def test_a_link_with_an_unreadable_end_does_not_become_endless(tmp_path: Path) -> None:
    link = {"source": "s", "source_id": "1", "team_id": "t", "valid_from": "2025-01-01",
            "valid_to": "end of year", "recorded_at": "2025-01-02"}  # fmt: skip
    assert csv(tmp_path, link).reasons == ["valid_to can't be read as a time"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9999-12-31", "9999-12-30T00:00:00+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-30T00:00:00+00:00"),
        ("0000-01-01T00:00:00Z", None),
        ("0001-01-01", None),
    ],
)
def test_times_outside_the_calendar(tmp_path: Path, text: str, expected: str | None) -> None:
    """For ever is for ever, in any zone; a year that no calendar has is no time."""
    link = {"source": "s", "source_id": "1", "team_id": "t", "valid_from": "2025-01-01",
            "valid_to": text, "recorded_at": "2025-01-02"}  # fmt: skip
    reading = csv(tmp_path, link)
    assert [at.isoformat() for at in reading.column("valid_to")] == [expected] * (
        expected is not None
    )
    assert reading.reasons == ["valid_to can't be read as a time"] * (expected is None)


@pytest.mark.parametrize(
    "parse",
    [base.clean, base.to_instant, base.to_boolean, base.to_amount, base.to_integer, base.lower],
)
def test_a_column_that_repeats_itself_is_read_like_its_pieces(
    parse: Callable[[pl.Series], pl.Series],
) -> None:
    spellings = (
        "x", " x ", "", "NULL", None, "Yes", " no", "1", "2026-01-31T12:00:00Z", "2026-01-31 ",
        "1769860800", "12.50", "$1,000", "(2.1)", "\u00a0\u4e2d", "X",
    )  # fmt: skip
    column = pl.Series("text", [spellings[n * n % 97 % 16] for n in range(20_000)], pl.String)
    pieces = pl.concat([parse(column.slice(at, 100)) for at in range(0, 20_000, 100)])
    assert parse(column).equals(pieces)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("12", 12), ("-0", 0), ("null", None), ('"12"', 12), ('" 1,200 "', 1200), ("12.0", 12),
        ("12.5", None), ("true", None), ("[1]", None),
    ],
)  # fmt: skip
def test_a_json_number_is_the_same_among_numbers_and_among_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, expected: int | None
) -> None:
    monkeypatch.setattr(tables, "_BLOCK", 1_000)
    typed = REQUEST | {"cached_tokens": 1, "output_tokens": 2, "on_plan": True}
    plain = [typed | {"request_id": f"r{n}", "input_tokens": n} for n in range(20)]
    odd = json.dumps(typed | {"request_id": "odd", "input_tokens": 0})
    odd = odd.replace('"input_tokens": 0', f'"input_tokens": {token}') + "\n"
    text = lines(*plain[:10]) + odd + lines(*plain[10:])
    found = read(write(tmp_path, "requests.jsonl", text))
    assert found.column("input_tokens") == [*range(10), expected, *range(10, 20)]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("begin", ["2026-03-07", "2026-04-04", "2026-10-31", "2026-12-30"])
def test_a_business_day_is_the_same_by_addition_and_by_the_calendar(zone: str, begin: str) -> None:
    first = datetime.fromisoformat(f"{begin}T00:00:01Z")
    # Where the clock is changed at one of these four, addition would be wrong for half of them.
    at = pl.Series("at", [first + timedelta(minutes=7 * n) for n in range(500)], UTC_MICROSECONDS)
    found = calendar.business_days(at, zone).to_list()
    assert found == [instant.astimezone(ZoneInfo(zone)).date() for instant in at]


def test_what_was_read_before_a_file_turns_out_damaged_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK", 1_000)
    path = tmp_path / "requests.jsonl.gz"
    # Stored, not squeezed, so that the damage lies behind the first blocks.
    with gzip.open(path, "wb", compresslevel=0) as file:
        file.write(b"".join(b'{"request_id": "r%05d", "team": "t"}\n' % n for n in range(200)))
    path.write_bytes(path.read_bytes()[:-2_000])
    rows = 0
    with pytest.raises(UnreadableFile, match="damaged"):
        for raw, _ in tables.pieces(path, ["request_id", "team"]):
            rows += raw.height
    assert rows == 135
