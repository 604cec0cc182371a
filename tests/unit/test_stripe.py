"""Stripe events by hand: which says what of a plan, in both API shapes, and in minor units."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.settings import CHECKOUT
from pipelines.sources import registry, stripe
from pipelines.sources.base import Options

START, END = 1740791061, 1743469461
SAMPLES = CHECKOUT.parent / "shared" / "data" / "subscriptions" / "stripe_webhooks"


def price(amount: int, currency: str = "cny", key: str = "lite") -> dict[str, Any]:
    return {"unit_amount": amount, "currency": currency, "lookup_key": key}


def subscription(new_shape: bool = False, **changes: Any) -> dict[str, Any]:
    period = {"current_period_start": START, "current_period_end": END}
    item = {"price": price(4000)} | (period if new_shape else {})
    thing = {"customer": "cus_1", "status": "active", "currency": "cny", "items": {"data": [item]}}
    return thing | ({} if new_shape else period) | changes


def event(kind: str, thing: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": more.pop("created", START),
        "data": {"object": thing} | more,
    }


def read(path: Path, *events: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    file = path / "events.jsonl"
    file.write_text("\n".join(json.dumps(e) for e in events), "utf-8")
    chunks = list(stripe.read(file, Options()))
    rows = [r for c in chunks for r in c.rows.to_dicts()]
    return rows, [r for c in chunks for r in c.broken["reason"].to_list()]


@pytest.mark.parametrize("new_shape", [False, True])
def test_the_period_is_found_in_both_shapes(tmp_path: Path, new_shape: bool) -> None:
    rows, _ = read(tmp_path, event("customer.subscription.created", subscription(new_shape)))
    (row,) = rows
    assert (row["event"], row["team"], row["plan"]) == ("started", "cus_1", "lite")
    assert row["period_end"].timestamp() == END
    assert row["list_amount"] == Decimal(40)


@pytest.mark.parametrize(
    ("thing", "more", "said"),
    [
        (subscription(items={"data": [{"price": price(20000)}]}),
         {"previous_attributes": {"items": {"data": [{"price": price(4000)}]}}}, "upgraded"),
        (subscription(items={"data": [{"price": price(4000)}]}),
         {"previous_attributes": {"items": {"data": [{"price": price(20000)}]}}}, "downgraded"),
        (subscription(cancel_at_period_end=True),
         {"previous_attributes": {"cancel_at_period_end": False}}, "cancelled"),
        (subscription(status="past_due"), {"previous_attributes": {"status": "active"}},
         "payment_failed"),
        (subscription(), {"previous_attributes": {"current_period_start": 1}}, "renewed"),
    ],
)  # fmt: skip
def test_an_update_says_what_changed(
    tmp_path: Path, thing: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    rows, _ = read(tmp_path, event("customer.subscription.updated", thing, **more))
    assert [r["event"] for r in rows] == [said]


def test_an_update_of_something_else_is_rejected_with_its_reason(tmp_path: Path) -> None:
    changed = event(
        "customer.subscription.updated",
        subscription(),
        created=START + 900_000,
        previous_attributes={"metadata": {}},
    )
    rows, reasons = read(tmp_path, changed)
    assert (rows, reasons) == ([], ["the update changes nothing of the plan"])


def test_deleted_is_the_end_and_a_trial_pays_nothing(tmp_path: Path) -> None:
    rows, _ = read(
        tmp_path,
        event("customer.subscription.deleted", subscription(ended_at=END)),
        event("customer.subscription.created", subscription(status="trialing")),
    )
    assert [(r["event"], r["net_amount"]) for r in rows] == [("ended", None), ("started", 0)]
    assert rows[0]["occurred_at"].timestamp() == END


@pytest.mark.parametrize(
    ("currency", "minor", "amount"),
    [("cny", 790, "7.90"), ("jpy", 790, "790"), ("kwd", 790, "0.790")],
)
def test_amounts_are_in_minor_units(tmp_path: Path, currency: str, minor: int, amount: str) -> None:
    invoice = {
        "customer": "cus_1", "currency": currency, "billing_reason": "subscription_create",
        "subtotal": 4000, "amount_paid": minor,
        "lines": {"data": [{"period": {"start": START, "end": END}, "price": price(4000)}]},
    }  # fmt: skip
    rows, _ = read(tmp_path, event("invoice.paid", invoice))
    assert [(r["event"], r["net_amount"]) for r in rows] == [("started", Decimal(amount))]


def test_a_list_object_holds_many_events_and_odd_ones_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    good, odd = (
        event("customer.subscription.created", subscription()),
        event("customer.subscription.created", {}),
    )
    odd["data"] = {}
    file.write_text(json.dumps({"object": "list", "data": [good, odd, event("plan.created", {})]}))
    found = registry.detect(file)
    assert found is not None and found[0].name == "stripe"
    (chunk,) = stripe.read(file, Options())
    assert chunk.rows.height == 1
    reasons = chunk.broken["reason"].to_list()
    assert reasons[1] == "plan.created is no plan event"
    assert "not the shape" in reasons[0]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not beside the checkout")
def test_every_real_webhook_is_accepted_or_rejected_with_a_reason() -> None:
    kinds: dict[str, int] = {}
    for path in sorted(SAMPLES.glob("*.json")):
        found = registry.detect(path)
        if found is None or found[0].name != "stripe":
            continue
        for chunk in stripe.read(path, Options()):
            assert chunk.rows.height + chunk.broken.height == 1
            for name in chunk.rows.select(pl.col("event"))["event"]:
                kinds[name] = kinds.get(name, 0) + 1
    assert kinds["ended"] == 1
