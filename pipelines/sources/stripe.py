"""Stripe events: webhooks saved one a file, as JSON Lines, as an array or as a list object.

Belongs here: which Stripe event says what about a plan, in both API shapes (before 2025-03-31 the
period stands on the subscription and the subscription on the invoice; since then on
items.data[] and in parent.subscription_details).
Does not belong here: de-duplication by event id (night.py), which event is paid (sql/journey).
Source of the facts: Stripe's API reference of Event, Subscription, Invoice and Charge, its
changelog of 2025-03-31 and docs.stripe.com/currencies.

    customer.subscription.created   started    price as list amount; nothing paid while trialing
    customer.subscription.updated   upgraded, downgraded, cancelled (an intent), renewed,
                                    payment_failed, by what changed
    customer.subscription.deleted   ended
    invoice.paid                    started, renewed or upgraded, by billing_reason; amount paid
    invoice.payment_failed          payment_failed
    charge.refunded                 refunded, with the amount of this refund below zero
Everything else says nothing of a plan: rejected with that reason, so that rows add up.
The team is the customer; account_links of the source turn cus_... into a team. The plan is
metadata.plan, else the price's lookup_key, nickname or product.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.sources.base import (
    AMOUNT,
    UTC_MICROSECONDS,
    Chunk,
    Format,
    Mapping,
    Options,
    broken_of,
    column_of,
)
from pipelines.sources.tables import columns_of, pieces

WANTED = ("id", "object", "type", "created", "livemode", "data")
# For people: where each column stands; which of them an event has, see _canonical.
MAPPING: Mapping = {
    "event_id": ("text", "id"),
    "team": ("text", "customer"),
    "plan": ("text", "metadata.plan", "price.lookup_key", "price.nickname", "price.product"),
    "event": ("text", "type", "billing_reason", "previous_attributes"),
    "occurred_at": ("instant", "created", "ended_at"),
    "period_start": (
        "instant", "current_period_start", "items.data.current_period_start", "lines.period.start",
    ),
    "period_end": (
        "instant", "current_period_end", "items.data.current_period_end", "lines.period.end",
    ),
    "list_amount": ("amount", "items.price.unit_amount", "subtotal"),
    "net_amount": ("amount", "amount_paid", "amount_refunded"),
    "currency": ("text", "currency"),
    "promotion": ("text", "discount.coupon", "discounts.source.coupon"),
}  # fmt: skip
ZERO_DECIMAL = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
}  # fmt: skip
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
BILLING_REASONS = {
    "subscription_create": "started",
    "quote_accept": "started",
    "subscription_cycle": "renewed",
    "subscription_update": "upgraded",
    "subscription": "renewed",
}
MONTHS = {
    "day": Fraction(12, 365), "week": Fraction(84, 365), "month": Fraction(1), "year": Fraction(12),
}  # fmt: skip
_ROW: dict[str, Any] = {
    "event_id": pl.String, "team": pl.String, "plan": pl.String, "event": pl.String,
    "occurred_at": UTC_MICROSECONDS, "period_start": UTC_MICROSECONDS,
    "period_end": UTC_MICROSECONDS, "list_amount": AMOUNT, "net_amount": AMOUNT,
    "currency": pl.String, "promotion": pl.String, "line": pl.Int64,
}  # fmt: skip
_ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)
_MASKED = re.compile(r"evt_0+")
_ONLY_PAID = "invoice.payment_succeeded is not read: send invoice.paid, which says the same"


class _NoPlanEvent(ValueError):
    pass


def looks_like(path: Path, head: bytes) -> str | None:
    columns = set(columns_of(path, head))
    if {"id", "type", "created", "data"} <= columns:
        return "it has the columns id, type, created and data of Stripe events"
    if {"object", "data"} <= columns and b'"evt_' in head:
        return "it is a list object of Stripe events"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical subscription rows; created is Stripe's epoch, so no zone is needed."""
    for found, broken in pieces(path, WANTED, rows_in=_events):
        raw = found.select("line", *(column_of(found, name) for name in WANTED))
        rows: list[dict[str, Any]] = []
        others: list[tuple[int, str, str]] = []
        for event in raw.iter_rows(named=True):
            try:
                rows.append(_canonical(event) | {"line": event["line"]})
            except _NoPlanEvent as no:
                others.append((event["line"], str(no), f"{event['type']} {event['id']}"))
            except _ODD as error:
                odd = f"the event has not the shape of Stripe's ({type(error).__name__}: {error})"
                others.append((event["line"], odd[:300], f"{event['type']} {event['id']}"))
        yield Chunk(
            rows=pl.DataFrame(rows, schema=_ROW),
            raw=raw.select("line", "id", "type", "created", "data"),
            broken=pl.concat([broken, broken_of(others)]),
            warnings=tuple(_warnings(raw)),
        )


def _events(value: dict[str, Any]) -> list[Any]:
    """The event itself, or those of a list object."""
    data = value.get("data")
    return data if value.get("object") == "list" and isinstance(data, list) else [value]


def _warnings(raw: pl.DataFrame) -> Iterator[str]:
    if (raw["livemode"] == "false").any():
        yield "some events are of Stripe's test mode (livemode is false)"
    if (raw["type"] == "invoice.payment_succeeded").any() and not (
        raw["type"] == "invoice.paid"
    ).any():
        yield _ONLY_PAID


def _canonical(event: dict[str, Any]) -> dict[str, Any]:
    kind, data = str(event["type"]), json.loads(event["data"] or "null")
    thing, created = data["object"], int(event["created"])
    before = data.get("previous_attributes") or {}
    if kind.startswith("customer.subscription."):
        said = _of_subscription(kind, thing, before, created)
    elif kind in ("invoice.paid", "invoice.payment_failed"):
        said = _of_invoice(kind, thing)
    elif kind == "charge.refunded":
        refunded = int(thing["amount_refunded"]) - int(before.get("amount_refunded") or 0)
        said = {"event": "refunded", "net_amount": _amount(-refunded, thing["currency"])}
    else:
        raise _NoPlanEvent(f"{kind} is no plan event")
    currency = thing.get("currency") or _price(_item(thing)).get("currency")
    event_id = event["id"]
    if event_id and _MASKED.fullmatch(event_id):
        # Ids that were blanked out are no identity: the event's own words are.
        event_id = f"{event_id}:{kind}:{created}:{thing.get('id')}"
    return {
        "event_id": event_id,
        "team": _text(_id(thing.get("customer"))),
        "occurred_at": _instant(created),
        "currency": _text(currency.upper()) if currency else None,
        "plan": _text(_plan(thing)),
        "promotion": _text(_promotion(thing)),
        "period_start": None,
        "period_end": None,
        "list_amount": None,
        "net_amount": None,
        **said,
    }


def _of_subscription(
    kind: str, thing: dict[str, Any], before: dict[str, Any], created: int
) -> dict[str, Any]:
    item = _item(thing)
    # Before 2025-03-31 the period stands on the subscription, since then on its items.
    start = thing.get("current_period_start") or item.get("current_period_start")
    end = thing.get("current_period_end") or item.get("current_period_end")
    said: dict[str, Any] = {
        "period_start": _instant(start),
        "period_end": _instant(end),
        "list_amount": _list_amount(thing),
    }
    status = thing.get("status")
    if kind.endswith(".deleted"):
        return {"event": "ended", "occurred_at": _instant(thing.get("ended_at") or created)}
    if kind.endswith(".created"):
        if status == "trialing":
            return said | {"event": "started", "net_amount": Decimal(0)}
        if status in ("active", "past_due"):
            return said | {"event": "started"}
        raise _NoPlanEvent(f"the subscription is {status}: nothing has begun")
    if kind.endswith(".updated"):
        return said | {"event": _change(thing, before, start, created)}
    raise _NoPlanEvent(f"{kind} is no plan event")


def _change(thing: dict[str, Any], before: dict[str, Any], start: Any, created: int) -> str:
    """What an update changed: the price, the intent to stay, the state of payment or the period."""
    was, now = _monthly(before, thing), _monthly(thing, thing)
    if was is not None and now is not None and was != now:
        return "upgraded" if now > was else "downgraded"
    if thing.get("cancel_at_period_end") and before.get("cancel_at_period_end", False) is not True:
        return "cancelled"
    if thing.get("cancel_at") and "cancel_at" in before and not before["cancel_at"]:
        return "cancelled"
    is_new_status = "status" in before or not before
    if is_new_status and thing.get("status") in ("past_due", "unpaid", "incomplete_expired"):
        return "payment_failed"
    moved = "current_period_start" in before or "items" in before
    begins_now = start is not None and abs(created - int(start)) < 86_400
    if thing.get("status") == "active" and begins_now and (moved or not before):
        return "renewed"
    raise _NoPlanEvent("the update changes nothing of the plan")


def _of_invoice(kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    currency, line = thing["currency"], _item(thing)
    period = line.get("period") or {}
    parent = (thing.get("parent") or {}).get("subscription_details") or {}
    is_of_plan = thing.get("subscription") or parent.get("subscription") or line.get("subscription")
    reason = thing.get("billing_reason") or ("subscription" if is_of_plan else "")
    said: dict[str, Any] = {
        "period_start": _instant(period.get("start")),
        "period_end": _instant(period.get("end")),
        "list_amount": _amount(thing.get("subtotal"), currency),
    }
    if reason not in BILLING_REASONS and not (is_of_plan and kind == "invoice.payment_failed"):
        raise _NoPlanEvent("the invoice is for no subscription")
    if kind == "invoice.payment_failed":
        return said | {"event": "payment_failed", "net_amount": Decimal(0)}
    net = _amount(thing.get("amount_paid"), currency)
    return said | {"event": BILLING_REASONS[reason], "net_amount": net}


def _items(thing: dict[str, Any]) -> list[dict[str, Any]]:
    """Items of a subscription or lines of an invoice, those that are no proration first."""
    source = thing.get("items") or thing.get("lines") or {}
    found = [item for item in source.get("data") or [] if isinstance(item, dict)]
    return sorted(found, key=lambda item: bool(item.get("proration")))


def _item(thing: dict[str, Any]) -> dict[str, Any]:
    return next(iter(_items(thing)), {})


def _price(item: dict[str, Any]) -> dict[str, Any]:
    """The price of an item or line; plan is its older name, with amount and interval."""
    price = item.get("price") or item.get("plan") or {}
    if not isinstance(price, dict):
        return {"id": price}
    amount = price.get("unit_amount", price.get("amount"))
    return price | {"unit_amount": amount if amount is not None else price.get("amount_decimal")}


def _monthly(changed: dict[str, Any], thing: dict[str, Any]) -> Fraction | None:
    """Price of a month as an update's object, or its earlier attributes, say; null when silent."""
    items = _items(changed)
    if not items and changed.get("plan"):
        items = [{"plan": changed["plan"], "quantity": changed.get("quantity")}]
    if not items and "quantity" in changed:
        items = [_item(thing) | {"quantity": changed["quantity"]}]
    total = Fraction(0)
    for item in items:
        price = _price(item)
        if price["unit_amount"] is None:
            return None
        every = price.get("recurring") or price
        months = MONTHS.get(str(every.get("interval")), Fraction(1))
        months = months * int(every.get("interval_count") or 1)
        total += Fraction(_minor(price["unit_amount"])) * int(item.get("quantity") or 1) / months
    return total if items else None


def _list_amount(thing: dict[str, Any]) -> Decimal | None:
    items = _items(thing)
    prices = [
        (_price(item).get("unit_amount"), int(item.get("quantity") or 1), _price(item))
        for item in items
    ]
    if not prices or any(amount is None for amount, _, _ in prices):
        return None
    total = sum(_minor(amount) * quantity for amount, quantity, _ in prices)
    return _amount(total, thing.get("currency") or prices[0][2].get("currency"))


def _plan(thing: dict[str, Any]) -> Any:
    item = _item(thing)
    price = _price(item)
    details = thing.get("subscription_details") or {}
    details = (thing.get("parent") or {}).get("subscription_details") or details
    for owner in (thing, details, item):
        if named := (owner.get("metadata") or {}).get("plan"):
            return str(named)
    return price.get("lookup_key") or price.get("nickname") or _id(price.get("product"))


def _promotion(thing: dict[str, Any]) -> Any:
    """Name or id of the coupon; since 2025 discounts may be bare ids, which say nothing more."""
    discount = thing.get("discount") or next(iter(thing.get("discounts") or []), None)
    if not isinstance(discount, dict):
        return discount
    coupon = discount.get("coupon") or (discount.get("source") or {}).get("coupon") or {}
    return coupon if isinstance(coupon, str) else coupon.get("name") or coupon.get("id")


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value.encode("utf-8", "replace").decode("utf-8") if value else None


def _id(value: Any) -> Any:
    """An id, also of an expanded object."""
    return value.get("id") if isinstance(value, dict) else value


def _instant(epoch: Any) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(int(epoch), UTC)


def _amount(minor: Any, currency: Any) -> Decimal | None:
    """Minor units to the currency's own: yen have none, dinars have three digits."""
    if minor is None or currency is None:
        return None
    code = str(currency).lower()
    digits = 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2
    return _minor(minor).scaleb(-digits)


def _minor(value: Any) -> Decimal:
    """An amount of a size and fineness that a Decimal(38, 18) holds in any currency."""
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -15 or amount.adjusted() > 18:
        raise ValueError(f"{value} is no amount")
    return amount


FORMATS = (
    Format(
        name="stripe",
        family="subscriptions",
        version=1,
        mapping=MAPPING,
        looks_like=looks_like,
        read=read,
    ),
)
