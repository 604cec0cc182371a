"""The daily reductions on hand rows: duplicates, costs, parts, bases, credits, rates, links."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from pipelines import lake, reference, settings
from pipelines.errors import CheckFailed
from pipelines.rollup import aggregates, calendar, charges, links, numbered, requests
from pipelines.sources.base import AMOUNT, UTC_MICROSECONDS

REFERENCE = reference.load(settings.CHECKOUT / "data" / "reference")
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def request(**changes: Any) -> dict[str, Any]:
    return {
        "source": "gateway", "request_id": "r1", "usage_on": date(2026, 1, 5), "team": "t",
        "member": None, "requested_at": NOON, "received_at": NOON, "model": "qwen3.5-plus",
        "task": None, "session": None, "input_tokens": 10, "cached_tokens": None,
        "output_tokens": 1, "status": "ok", "refused_by": None, "on_plan": None,
        "fingerprint": "f", "line": 1,
    } | changes  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    schema = {"received_at": UTC_MICROSECONDS, "requested_at": UTC_MICROSECONDS,
              "member": pl.String, "task": pl.String, "session": pl.String,
              "refused_by": pl.String, "on_plan": pl.Boolean, "cached_tokens": pl.Int64}  # fmt: skip
    return pl.DataFrame(rows, schema_overrides=schema)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, 1),
        ({"request_id": "r2"}, 2),
        ({"source": "other"}, 2),
        ({"usage_on": date(2026, 1, 6)}, 2),
    ],
)
def test_identity_is_source_id_and_business_day(changes: dict[str, Any], kept: int) -> None:
    assert requests.deduplicate(frame(request(), request(**changes))).height == kept


def test_the_latest_delivery_wins_whatever_the_order() -> None:
    early = request(status="ok", received_at=NOON)
    late = request(status="failed", received_at=NOON + timedelta(hours=1), fingerprint="g")
    unknown = request(status="throttled", received_at=None, fingerprint="h")
    for rows in ([early, late, unknown], [unknown, late, early], [late, unknown, early]):
        assert requests.deduplicate(frame(*rows))["status"].to_list() == ["failed"]


def test_equal_deliveries_are_settled_by_content_not_by_order() -> None:
    one, two = request(status="ok", fingerprint="b"), request(status="failed", fingerprint="a")
    first = requests.deduplicate(frame(one, two))["status"].to_list()
    assert requests.deduplicate(frame(two, one))["status"].to_list() == first


@pytest.mark.parametrize(
    ("texts", "known", "numbers"),
    [
        (["b", None, "a", "b", None], [None, "a", "b"], [2, 0, 1, 2, 0]),
        ([None, None], [None], [0, 0]),  # a column that no row fills
        (["a"], ["a"], [0]),
        ([], [], []),
    ],
)
def test_texts_are_numbered_in_their_order_null_first(
    texts: list[str | None], known: list[str | None], numbers: list[int]
) -> None:
    found = numbered.in_order(pl.Series("team", texts, pl.String))
    assert [column.to_list() for column in found] == [known, numbers]
    assert [column.name for column in found] == ["team", "team"]


@pytest.mark.parametrize("rows", [slice(0, 19), slice(3, 17), slice(9, 10), slice(4, 4)])
def test_rows_without_a_text_get_the_number_behind_the_texts(rows: slice) -> None:
    """Also in a slice, where Arrow's bits of what is null begin within a byte."""
    numbers = [None if row % 3 == 0 else row for row in range(19)]
    found = numbered._filled(pa.array(numbers, pa.int32())[rows], 99)
    expected = [99 if number is None else number for number in numbers[rows]]
    assert pl.Series("team", found, pl.Int32).to_list() == expected


@pytest.mark.parametrize(("piece_rows", "key_bits"), [(100_000, 62), (7, 62), (100_000, 12)])
def test_kinds_of_numbers_are_kinds_of_texts(
    piece_rows: int, key_bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a kind is cut into pieces, and where a key outgrows its bits."""
    monkeypatch.setattr(numbered, "_PIECE_ROWS", piece_rows)
    monkeypatch.setattr(numbered, "_KEY_BITS", key_bits)
    texts = {"team": "ba", "member": [None, "", "m"], "model": "Gg", "task": [None, "code"],
             "status": ["ok", "refused"], "refused_by": [None, "5h"],
             "on_plan": [None, True, False], "input_tokens": [None, 9, 200_000]}  # fmt: skip
    draw = np.random.default_rng(5)
    drawn = ({name: of[draw.integers(len(of))] for name, of in texts.items()} for _ in range(400))
    rows = frame(*(request(**row) for row in drawn))
    lost = np.arange(3, 400, 9)
    files = pl.DataFrame({"source": "gateway", "usage_on": [date(2026, 1, 5), date(2026, 1, 6)],
                          "path": [str(tmp_path / "a"), str(tmp_path / "b")]})  # fmt: skip
    rows = rows.with_columns(usage_on=files["usage_on"].gather(np.arange(400) // 250))
    for path, part in zip(files["path"], (rows[:250], rows[250:]), strict=True):
        part.write_parquet(path, row_group_size=60)
    bounds = aggregates.tier_bounds(REFERENCE)
    found = numbered.counted(files, lost, bounds)
    counting = rows.with_row_index("row").filter(~pl.col("row").is_in(lost)).lazy()
    kinds = aggregates.kinds(nw.from_native(counting), bounds).to_native().collect()
    every = [name for name in kinds.columns if name != "member"]

    def in_words(rows: pl.DataFrame) -> pl.DataFrame:
        texts = found.words.items()
        return rows.with_columns(
            word.gather(rows[name]).alias(name) for name, word in texts if name in rows.columns
        )

    assert_frame_equal(
        in_words(found.kinds).select(every), kinds.select(every), check_row_order=False
    )
    refused = aggregates.refused(nw.from_native(counting)).to_native().collect()
    assert_frame_equal(
        in_words(found.refused).select(requests.REFUSED),
        refused.select(requests.REFUSED),
        check_row_order=False,
    )


def test_keys_too_wide_for_one_number_are_still_told_apart() -> None:
    """Teams x hours of a long batch outgrow 63 bits, where rows are many or hours far apart."""
    far = 1 << 62
    rows = pl.DataFrame(
        {"team": [3, 0, 3, 1, 2, 0], "at": [far, far, far, 7, 7, 7], "n": [1, 2, 4, 8, 16, 32]}
    )
    assert numbered.summed(rows, ("team", "at"), ("n",)).rows() == [
        (0, 7, 32), (0, far, 2), (1, 7, 8), (2, 7, 16), (3, far, 5),
    ]  # fmt: skip
    assert numbered.summed(rows.clear(), ("team", "at"), ("n",)).rows() == []


def test_facts_are_those_of_any_engine(tmp_path: Path) -> None:
    """Two ids are one team for some days; texts left out meet texts that say the same."""
    texts = {"team": "abcé", "member": [None, "", "m", "M"], "model": ["G", "g", None],
             "task": [None, "code", "unclassified"], "status": ["ok", "refused", "failed"],
             "refused_by": [None, "5h", "day"], "on_plan": [None, True, False],
             "input_tokens": [None, 9, 200_000]}  # fmt: skip
    draw = np.random.default_rng(7)
    drawn = [{name: of[draw.integers(len(of))] for name, of in texts.items()} for _ in range(300)]
    days = [date(2026, 1, 5), date(2026, 1, 6)]
    rows = frame(
        *(
            request(**row, request_id=f"r{n}", usage_on=days[n % 2], requested_at=NOON - n * HOUR)
            for n, row in enumerate(drawn)
        )
    )
    entry = lake.Entry("f", "gateway", *[""] * 3, NOON, *[""] * 3)
    entry = replace(entry, days={str(day): 150 for day in days})
    for day in days:
        entry.path(tmp_path, str(day)).parent.mkdir(parents=True)
        rows.filter(usage_on=day).write_parquet(entry.path(tmp_path, str(day)), row_group_size=40)
    spans = pl.DataFrame(
        {"source": "gateway", "source_id": ["b", "c", "a"], "team_id": ["z", "z", "é"],
         "from_on": days[0], "to_on": [None, days[1], None]},
        schema_overrides={"to_on": pl.Date},
    )  # fmt: skip
    prices = nw.from_native(aggregates.price_list(REFERENCE, days).lazy())
    bounds = aggregates.tier_bounds(REFERENCE)
    for linked in (spans, spans.clear()):
        held = nw.from_native(aggregates.held_spans(linked, ["gateway"]).lazy())
        kinds, refused = (
            aggregates.with_team(each, held if linked.height else None)
            for each in (
                aggregates.kinds(nw.from_native(rows.lazy()), bounds),
                aggregates.refused(nw.from_native(rows.lazy())),
            )
        )
        found = requests.roll_up({day: [entry] for day in days}, tmp_path, linked, REFERENCE)
        for fact, schema, table in (
            (aggregates.member_days(kinds), requests.MEMBER_DAYS, found.member_days),
            (aggregates.usage_days(kinds, prices), requests.USAGE_DAYS, found.usage_days),
            (aggregates.hourly(refused), requests.BLOCKED_HOURS, found.blocked_hours),
        ):
            expected = requests.finished(fact.grouped().to_native(), schema)
            assert_frame_equal(table, expected.sort(requests.keys_of(schema)).collect())


def usage(*rows: dict[str, Any]) -> pl.DataFrame:
    lazy = nw.from_native(frame(*rows).lazy())
    kinds = aggregates.kinds(lazy, aggregates.tier_bounds(REFERENCE))
    named = aggregates.with_team(kinds, None)
    prices = aggregates.price_list(REFERENCE, {row["usage_on"] for row in rows}).lazy()
    found = aggregates.usage_days(named, nw.from_native(prices)).grouped().to_native()
    return requests.finished(found, requests.USAGE_DAYS).collect()


@pytest.mark.parametrize(
    ("model", "tokens", "cached", "out", "cost"),
    [
        ("qwen3.5-plus", 100_000, 0, 1_000, 0.08 + 0.0048),
        ("QWEN3.5-Plus", 128_000, 0, 0, 0.1024),  # the tier's upper bound is inside it
        ("qwen3.5-plus", 128_001, 0, 0, 0.256002),
        ("glm-5", 10_000, 9_000, 0, 0.006 + 0.0108),
        ("nobody-knows-it", 1_000, 0, 0, 0),
        ("glm-5", 1_000, 2_000, 0, 0.0012),  # no more can be cached than was sent
    ],
)
def test_tokens_cost_by_model_input_length_and_cache(
    model: str, tokens: int, cached: int, out: int, cost: float
) -> None:
    row = request(model=model, input_tokens=tokens, cached_tokens=cached, output_tokens=out)
    assert usage(row)["inference_cny"].to_list() == [pytest.approx(cost, abs=1e-9)]


def test_only_accepted_tokens_cost_and_each_in_its_own_tier() -> None:
    short, long = {"input_tokens": 128_000}, {"input_tokens": 128_001}
    rows = [request(**short), request(**long), request(**long, status="failed")]
    found = usage(*rows, request(**long, on_plan=False)).row(0, named=True)
    assert found["inference_cny"] == pytest.approx(
        0.1024 + 0.256002 + 0.0000048 + 0.000012, abs=1e-9
    )
    assert (found["accepted"], found["input_tokens"]) == (2, 256_001)


def test_a_price_holds_from_its_first_day_to_the_day_before_its_last() -> None:
    columns = REFERENCE.models.columns
    prices = [
        ("m", date(2026, 1, 1), date(2026, 1, 6), 0, None, "CNY", 1.0, 1.0, 1.0, ""),
        ("m", date(2026, 1, 6), None, 0, None, "CNY", 2.0, 2.0, 2.0, ""),
    ]
    models = pl.DataFrame(prices, schema=REFERENCE.models.schema, orient="row").select(columns)
    days = [date(2025, 12, 31), date(2026, 1, 5), date(2026, 1, 6)]
    found = aggregates.price_list(replace(REFERENCE, models=models), days)
    assert found.select("usage_on", "fresh_price").rows() == [(days[1], 1.0), (days[2], 2.0)]


def charge(start: datetime, end: datetime | None, billed: str) -> pl.DataFrame:
    amount = pl.Series([Decimal(billed)], dtype=AMOUNT)
    return pl.DataFrame(
        {"charge_start": [start], "charge_end": [end], "line": [2]},
        schema_overrides={"charge_start": UTC_MICROSECONDS, "charge_end": UTC_MICROSECONDS},
    ).with_columns(billed=amount, effective=amount, list_cost=amount)


def parts(start: datetime, end: datetime | None, billed: str) -> list[tuple[date, Decimal]]:
    rows = calendar.daily_parts(charge(start, end, billed), "Asia/Shanghai").sort("usage_on")
    return [(day, amount) for day, amount in rows.select("usage_on", "billed").iter_rows()]


def test_a_utc_day_is_one_business_day() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    assert parts(start, start + timedelta(days=1), "7") == [(date(2026, 1, 5), Decimal(7))]


def test_a_second_more_than_a_day_is_two() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    assert len(parts(start, start + timedelta(days=1, seconds=1), "7")) == 2


@pytest.mark.parametrize("amount", ["100", "200", "-100.01", "0.000000000000000001", "1e-18"])
def test_parts_are_cut_and_the_last_takes_the_rest(amount: str) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    found = [a for _, a in parts(start, start + timedelta(days=3), amount)]
    each = (Decimal(amount) / 3).quantize(Decimal(1).scaleb(-18), rounding="ROUND_DOWN")
    assert found == [each, each, Decimal(amount) - 2 * each]
    assert sum(found) == Decimal(amount)


def test_a_charge_without_an_end_is_one_day() -> None:
    assert len(parts(datetime(2026, 1, 5, 16, tzinfo=UTC), None, "5")) == 1


def credit_and_use(
    credit: str, uses: dict[str | None, str], sub: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    credits = pl.DataFrame(
        {"credit_id": [0], "source": ["b"], "account": ["a"], "currency": ["CNY"],
         "first_on": [date(2026, 1, 1)], "last_on": [date(2026, 1, 31)]}
    ).with_columns(
        sub_account=pl.lit(sub, pl.String), credit=pl.Series([Decimal(credit)], dtype=AMOUNT)
    )  # fmt: skip
    positive = pl.DataFrame(
        {"source": ["b"] * len(uses), "account": ["a"] * len(uses),
         "sub_account": list(uses), "currency": ["CNY"] * len(uses),
         "usage_on": [date(2026, 1, 5)] * len(uses)}, schema_overrides={"sub_account": pl.String}
    ).with_columns(positive=pl.Series([Decimal(v) for v in uses.values()], dtype=AMOUNT))  # fmt: skip
    return charges._spread(credits, charges._reach(credits, positive))


def test_a_credit_is_spread_over_the_account_pro_rata() -> None:
    rates, left = credit_and_use("-30", {"x": "20", None: "40"}, None)
    assert rates["rate"].to_list() == [Decimal("0.5"), Decimal("0.5")]
    assert left["unallocated"].to_list() == [Decimal(0)]


def test_a_credit_of_a_sub_account_stays_there_and_leaves_a_remainder() -> None:
    rates, left = credit_and_use("-30", {"x": "20", "y": "40"}, "x")
    assert rates.select("sub_account", "rate").rows() == [("x", Decimal(1))]
    assert left["unallocated"].to_list() == [Decimal(-10)]


def test_a_credit_without_use_is_left_whole() -> None:
    rates, left = credit_and_use("-30", {"y": "40"}, "x")
    assert rates.height == 0
    assert left["unallocated"].to_list() == [Decimal(-30)]


def rates_on(currency: str, day: date) -> list[Decimal]:
    pairs = pl.DataFrame({"currency": [currency], "usage_on": [day]})
    return charges.cny_rates(pairs, REFERENCE)["cny_per_unit"].to_list()


def test_a_lapsed_rate_holds_seven_days_and_then_stops_the_night() -> None:
    last = REFERENCE.fx.filter(pl.col("currency") == "USD")["valid_to"].max()
    assert isinstance(last, date)
    assert rates_on("USD", last + timedelta(days=6)) == rates_on("USD", last - timedelta(days=1))
    with pytest.raises(CheckFailed, match=f"USD on {last + timedelta(days=7)}"):
        rates_on("USD", last + timedelta(days=7))


def test_home_currency_needs_no_rate() -> None:
    assert rates_on("CNY", date(1999, 1, 1)) == [Decimal(1)]


def link(team: str, start: str, end: str | None, recorded: str) -> dict[str, Any]:
    def at(text: str | None) -> datetime | None:
        return None if text is None else datetime.fromisoformat(text + "T00:00:00+00:00")

    return {"link_source": "b", "source_id": "1", "team_id": team, "valid_from": at(start),
            "valid_to": at(end), "recorded_at": at(recorded)}  # fmt: skip


def spans(*rows: dict[str, Any], known_at: str | None = None) -> list[tuple[Any, ...]]:
    schema = dict.fromkeys(("valid_from", "valid_to", "recorded_at"), UTC_MICROSECONDS)
    moment = datetime.fromisoformat(known_at + "T00:00:00+00:00") if known_at else None
    found = links.spans(pl.DataFrame(rows, schema_overrides=schema), "Asia/Shanghai", moment)
    return found.select("team_id", "from_on", "to_on").rows()


def test_the_latest_recorded_link_wins_from_its_day_on() -> None:
    rows = (
        link("a", "2025-01-01", None, "2025-01-01"),
        link("b", "2025-06-01", None, "2025-07-01"),
    )
    assert spans(*rows) == [
        ("a", date(2025, 1, 1), date(2025, 6, 1)),
        ("b", date(2025, 6, 1), None),
    ]
    assert spans(*rows, known_at="2025-06-15") == [("a", date(2025, 1, 1), None)]


def test_a_later_version_of_a_link_closes_it() -> None:
    rows = (
        link("a", "2025-01-01", None, "2025-01-01"),
        link("a", "2025-01-01", "2025-03-01", "2025-04-01"),
    )
    assert spans(*rows) == [("a", date(2025, 1, 1), date(2025, 3, 1))]


def test_the_history_of_an_identity_goes_by_its_sub_account_then_its_account() -> None:
    def day(number: int) -> date:
        return date(2026, 1, number)

    team_spans = pl.DataFrame(
        [
            ("b", "account", "owner", day(1), None),
            ("b", "sub", "guest", day(5), day(9)),
            ("b", "silent", "nobody", day(2), day(4)),
            ("b", "silent", "nobody", day(4), None),
        ],
        schema=links.SPANS,
        orient="row",
    )
    identities = pl.DataFrame(
        [("b", "account", "sub"), ("b", "owner", None), ("b", "a stranger", None)],
        schema=links.IDENTITY,
        orient="row",
    )
    assert links.stretches(identities, team_spans).rows() == [
        ("b", "account", None, "account", None, False),
        ("b", "account", None, "owner", day(1), True),
        ("b", "account", "sub", "account", None, False),
        ("b", "account", "sub", "owner", day(1), True),
        ("b", "account", "sub", "guest", day(5), True),
        ("b", "account", "sub", "owner", day(9), True),
        ("b", "owner", None, "owner", None, False),
        ("b", "silent", None, "silent", None, False),
        ("b", "silent", None, "nobody", day(2), True),
    ]


@pytest.mark.parametrize("seed", range(60))
def test_statements_that_no_other_can_touch_are_decided_as_all_are(seed: int) -> None:
    pick = random.Random(seed)
    files = [(f"f{n}", pick.choice("ab"), f"2026-01-{pick.randint(1, 3):02d}") for n in range(4)]
    rows = {
        (*pick.choice(files), pick.choice("xyz"), pick.randint(1, 4), pick.choice(("USD", "CNY")))
        for _ in range(pick.randint(1, 12))
    }
    names = ["fingerprint", "source", "snapshot", "account", "billing_period", "currency"]
    stated = pl.DataFrame(sorted(rows), schema=names, orient="row").with_columns(
        has_effective=pl.Series([pick.random() < 0.5 for _ in rows])
    )
    winning, found = charges.settled(stated)
    newest = stated.filter(pl.col("snapshot") == pl.col("snapshot").max().over(charges.STATEMENT))
    expected = newest.group_by([*charges.STATEMENT, "snapshot"]).agg(pl.col("has_effective").any())
    assert winning.sort(pl.all()).equals(expected.select(winning.columns).sort(pl.all()))
    joined = stated.join(expected, on=charges.STATEMENT, how="left", suffix="_now")
    assert found.sort(pl.all()).equals(joined.select(found.columns).sort(pl.all()))


def test_the_newest_snapshot_counts_and_the_basis_is_chosen_once() -> None:
    month = datetime(2026, 1, 1, tzinfo=UTC)

    def bill(*files: tuple[str, bool]) -> pl.DataFrame:
        rows = [(f"{file}", "USD", "b", "a", month, *file) for file in files]
        schema = ["fingerprint", "currency", *charges.STATEMENT, "snapshot", "has_effective"]
        return pl.DataFrame(rows, schema=schema, orient="row")

    old, new, more = ("2026-01-10", True), ("2026-01-20", False), ("2026-01-20", True)
    chosen, told = charges.settled(bill(new, old))
    assert chosen.rows() == [("b", "a", month, "2026-01-20", False)]
    assert set(told["snapshot_now"]) == {"2026-01-20"}
    assert charges.settled(bill(more, new, old))[0]["has_effective"].to_list() == [True]
    other_account = bill(old).with_columns(account=pl.lit("z"))
    other_period = bill(old).with_columns(billing_period=pl.lit(datetime(2025, 12, 1, tzinfo=UTC)))
    _, told = charges.settled(pl.concat([bill(new, old), other_account, other_period]))
    superseded = told.filter(pl.col("snapshot") != pl.col("snapshot_now"))
    assert superseded.select(bill(old).columns).equals(bill(old))
