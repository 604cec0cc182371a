"""Stripe's files: containers, repeats, refunds, masked ids and hostile shapes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.sources.reading import SHARED, lines, read, write

WEBHOOKS = sorted((SHARED / "subscriptions" / "stripe_webhooks").glob("*.json"))
START, END = 1740791061, 1743469461


def event(kind: str, thing: dict[str, Any], **more: Any) -> dict[str, Any]:
    before = more.pop("before", None)
    data = {"object": thing} | ({"previous_attributes": before} if before else {})
    row = {"id": "evt_1", "object": "event", "created": START, "livemode": True, "type": kind}
    return row | {"data": data} | more


def item(amount: int | None, **more: Any) -> dict[str, Any]:
    price = {"unit_amount": amount, "currency": "cny", "lookup_key": "lite"}
    return {"price": price | more.pop("price", {}), "quantity": 1} | more


def subscription(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    thing = {"id": "sub_1", "customer": "cus_1", "status": "active", "currency": "cny"}
    return thing | {"items": {"data": list(items) or [item(4000)]}} | more


def invoice(**more: Any) -> dict[str, Any]:
    line = {"period": {"start": START, "end": END}, "plan": {"nickname": "lite", "amount": 4000}}
    thing = {"customer": {"id": "cus_1"}, "currency": "cny", "subtotal": 4000}
    return thing | {"amount_paid": 790, "lines": {"data": [line]}} | more


CREATED = event("customer.subscription.created", subscription())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("one.json", json.dumps(CREATED, indent=2)),
        ("one.json", json.dumps(CREATED)),
        ("lines.jsonl", lines(CREATED)),
        ("array.json", json.dumps([CREATED], indent=2)),
        ("list.json", json.dumps({"object": "list", "data": [CREATED], "has_more": False})),
        ("lines.jsonl.gz", lines(CREATED)),
    ],
)
def test_every_container(tmp_path: Path, name: str, content: str) -> None:
    reading = read(write(tmp_path, name, content))
    assert (reading.form, reading.rejects, reading.warnings) == ("stripe", [], [])
    (row,) = reading.rows
    said = (row["event_id"], row["event"], row["team"], row["plan"], row["list_amount"])
    assert said == ("evt_1", "started", "cus_1", "lite", Decimal(40))
    assert (row["net_amount"], row["currency"]) == (None, "CNY")


def test_repeats_are_left_for_the_night(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, "a.jsonl", lines(CREATED, CREATED))).rows) == 2


def test_masked_ids_are_no_identity(tmp_path: Path) -> None:
    ended = event("customer.subscription.deleted", subscription(), id="evt_000000")
    file = write(tmp_path, "a.jsonl", lines(CREATED | {"id": "evt_000000"}, ended))
    ids = read(file).column("event_id")
    assert len(set(ids)) == 2 and all(i.startswith("evt_000000:customer.") for i in ids)


def test_a_missing_api_version_is_no_fault(tmp_path: Path) -> None:
    rows = [CREATED | {"api_version": v} for v in (None, "2020-08-27", "2025-03-31.basil")]
    assert len(read(write(tmp_path, "a.jsonl", lines(*rows))).rows) == 3


@pytest.mark.parametrize(
    ("thing", "before", "said"),
    [
        (subscription(item(20000)), {"items": {"data": [item(4000)]}}, "upgraded"),
        (subscription(item(4000), plan={"amount": 4000}), {"plan": {"amount": 20000}},
         "downgraded"),
        (subscription(item(4000, quantity=3)), {"quantity": 2}, "upgraded"),
        (subscription(item(40000, price={"recurring": {"interval": "year"}})),
         {"items": {"data": [item(4000)]}}, "downgraded"),
        (subscription(cancel_at_period_end=True), {"cancel_at_period_end": False}, "cancelled"),
        (subscription(cancel_at=END), {"cancel_at": None}, "cancelled"),
        (subscription(status="unpaid"), {"status": "past_due"}, "payment_failed"),
    ],
)  # fmt: skip
def test_updates(tmp_path: Path, thing: dict[str, Any], before: dict[str, Any], said: str) -> None:
    changed = event("customer.subscription.updated", thing, before=before, created=START)
    assert read(write(tmp_path, "a.jsonl", lines(changed))).column("event") == [said]


@pytest.mark.parametrize(
    ("shape", "event_name"),
    [
        ({"subscription": "sub_1", "billing_reason": "subscription_create"}, "started"),
        ({"subscription": "sub_1", "billing_reason": "subscription_cycle"}, "renewed"),
        ({"subscription": "sub_1"}, "renewed"),
        ({"billing_reason": "subscription_cycle",
          "parent": {"subscription_details": {"subscription": "sub_1"}}}, "renewed"),
    ],
)  # fmt: skip
def test_invoices_of_both_shapes(tmp_path: Path, shape: dict[str, Any], event_name: str) -> None:
    file = write(tmp_path, "a.jsonl", lines(event("invoice.paid", invoice(**shape))))
    (row,) = read(file).rows
    assert (row["event"], row["net_amount"], row["list_amount"]) == (
        event_name, Decimal("7.9"), Decimal(40),
    )  # fmt: skip
    assert (row["team"], row["plan"], row["period_end"].timestamp()) == ("cus_1", "lite", END)


def test_the_plan_of_a_new_invoice_is_in_the_subscriptions_metadata(tmp_path: Path) -> None:
    details = {"subscription": "sub_1", "metadata": {"plan": "pro"}}
    line = {"period": {"start": START, "end": END},
            "pricing": {"price_details": {"price": "price_1", "product": "prod_1"}}}  # fmt: skip
    thing = invoice(
        parent={"subscription_details": details}, billing_reason="subscription_cycle",
        lines={"data": [line]},
    )  # fmt: skip
    assert read(write(tmp_path, "a.jsonl", lines(event("invoice.paid", thing)))).column("plan") == [
        "pro"
    ]


def test_a_prorated_line_is_not_the_period(tmp_path: Path) -> None:
    prorated = {"proration": True, "period": {"start": 1, "end": 2}, "amount": -100}
    regular = {"proration": False, "period": {"start": START, "end": END}}
    thing = invoice(subscription="sub_1", lines={"data": [prorated, regular]})
    (row,) = read(write(tmp_path, "a.jsonl", lines(event("invoice.paid", thing)))).rows
    assert row["period_start"].timestamp() == START


@pytest.mark.parametrize("kind", ["invoice.paid", "invoice.payment_failed"])
def test_an_invoice_without_a_subscription_is_not_the_plans(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path, "a.jsonl", lines(event(kind, invoice(billing_reason="manual"))))
    assert read(file).reasons == ["the invoice is for no subscription"]


@pytest.mark.parametrize(
    ("charge", "before", "net"),
    [
        ({"amount_refunded": 790, "currency": "cny"}, None, "-7.90"),
        ({"amount_refunded": 790, "currency": "cny"}, {"amount_refunded": 300}, "-4.90"),
        ({"amount_refunded": 790, "currency": "jpy"}, {"amount_refunded": 0}, "-790"),
        ({"amount_refunded": 790, "currency": "krw"}, None, "-790"),
        ({"amount_refunded": 790, "currency": "kwd"}, None, "-0.790"),
    ],
)
def test_a_refund_is_this_refund_in_the_currencys_own_units(
    tmp_path: Path, charge: dict[str, Any], before: dict[str, Any] | None, net: str
) -> None:
    refunded = event("charge.refunded", charge | {"customer": "cus_1"}, before=before)
    (row,) = read(write(tmp_path, "a.jsonl", lines(refunded))).rows
    assert (row["event"], row["net_amount"]) == ("refunded", Decimal(net))


def test_payment_succeeded_is_not_read_and_says_so(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "a.jsonl", lines(event("invoice.payment_succeeded", {}))))
    assert "send invoice.paid" in reading.warnings[0]


@pytest.mark.parametrize(
    "broken",
    [
        {"data": "abc"}, {"data": None}, {"data": {"object": []}}, {"created": None},
        {"created": "1e99"}, {"created": 10**30}, {"data": {"object": {"items": 7}}},
        {"data": {"object": subscription(item(10**40))}}, {"type": None},
        {"data": {"object": subscription(customer=[1])}},
        {"data": {"object": subscription(item(4000, quantity="x"))}},
        {"data": {"object": subscription(items={"data": [{"price": {"unit_amount": "1e999999999"}}]})}},
    ],
)  # fmt: skip
def test_an_odd_event_costs_itself_only(tmp_path: Path, broken: dict[str, Any]) -> None:
    reading = read(write(tmp_path, "a.jsonl", lines(CREATED, CREATED | broken)))
    assert len(reading.rows) == 1 and len(reading.rejects) == 1


@pytest.mark.skipif(not WEBHOOKS, reason="the shared samples are not beside the checkout")
def test_the_real_webhooks() -> None:
    said = {}
    for path in WEBHOOKS:
        reading = read(path)
        assert reading.form == "stripe"
        assert len(reading.rows) + len(reading.rejects) == 1
        for row in reading.rows:
            said[path.stem] = (row["event"], row["list_amount"], row["currency"])
    assert said == {
        "customer.subscription.created": ("started", Decimal(15), "USD"),
        "customer.subscription.deleted": ("ended", None, "USD"),
    }
