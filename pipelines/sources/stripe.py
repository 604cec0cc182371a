"""Stripe events as plan events: webhooks saved one a file, as JSON Lines, an array or a list object.

Belongs here: which Stripe event says what about a plan, in both API shapes (before 2025-03-31 the
period stands on the subscription and the subscription on the invoice; since then on
items.data[] and in parent.subscription_details).
Does not belong here: de-duplication by event id (night.py), which event is paid (sql/journey).
Source of the facts: Stripe's API reference of Event, Subscription, Invoice and Charge, and its
changelog of 2025-03-31.

    customer.subscription.created   started    price as list amount; nothing paid while trialing
    customer.subscription.updated   upgraded, downgraded, cancelled (an intent), renewed,
                                    payment_failed, by what changed
    customer.subscription.deleted   ended
    invoice.paid                    started, renewed or upgraded, by billing_reason; amount paid
    invoice.payment_failed          payment_failed
    charge.refunded                 refunded
Everything else says nothing of a plan: rejected with that reason, so that rows add up.
The team is the customer; account_links of the source turn cus_... into a team.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.sources.base import AMOUNT, BROKEN_SCHEMA, UTC_MICROSECONDS, Chunk, Format, Options
from pipelines.sources.tables import columns_of, pieces

WANTED = ("id", "object", "type", "created", "data")
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
BILLING_REASONS = {
    "subscription_create": "started",
    "subscription_cycle": "renewed",
    "subscription_update": "upgraded",
    "subscription": "renewed",
}
_ROW: dict[str, Any] = {
    "event_id": pl.String, "team": pl.String, "plan": pl.String, "event": pl.String,
    "occurred_at": UTC_MICROSECONDS, "period_start": UTC_MICROSECONDS,
    "period_end": UTC_MICROSECONDS, "list_amount": AMOUNT, "net_amount": AMOUNT,
    "currency": pl.String, "promotion": pl.String, "line": pl.Int64,
}  # fmt: skip


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
    for raw, broken in pieces(path, WANTED):
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        others: list[tuple[int, str, str]] = []
        for row in raw.iter_rows(named=True):
            for event in _events(row):
                try:
                    rows.append(_canonical(event) | {"line": row["line"]})
                    lines.append(row["line"])
                except (_NoPlanEvent, KeyError, TypeError, ValueError, AttributeError) as error:
                    shown = f"{event.get('type')} {event.get('id')}"
                    reason = str(error) if isinstance(error, _NoPlanEvent) else _odd(error)
                    others.append((row["line"], reason, shown))
        frame = pl.DataFrame(rows, schema=_ROW)
        shown_rows = pl.DataFrame({"line": lines, "event": frame["event_id"]}, strict=False)
        yield Chunk(
            rows=frame,
            raw=shown_rows.cast({"line": pl.Int64}).unique("line", keep="first"),
            broken=pl.concat([broken, pl.DataFrame(others, schema=BROKEN_SCHEMA, orient="row")]),
        )


def _odd(error: Exception) -> str:
    return f"the event has not the shape of Stripe's ({type(error).__name__}: {error})"


def _events(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The event of a row, or those of a list object."""
    data = json.loads(row["data"]) if row["data"] else {}
    if row["object"] == "list" and isinstance(data, list):
        yield from (item for item in data if isinstance(item, dict))
    else:
        yield {k: row[k] for k in ("id", "type", "created")} | {"data": data}


def _canonical(event: dict[str, Any]) -> dict[str, Any]:
    kind, data = str(event["type"]), event["data"]
    thing = data["object"]
    before = data.get("previous_attributes") or {}
    if kind.startswith("customer.subscription."):
        said = _of_subscription(kind, thing, before, int(event["created"]))
    elif kind in ("invoice.paid", "invoice.payment_failed"):
        said = _of_invoice(kind, thing)
    elif kind == "charge.refunded":
        said = {
            "event": "refunded",
            "net_amount": _amount(-int(thing["amount_refunded"]), thing["currency"]),
        }
    else:
        raise _NoPlanEvent(f"{kind} is no plan event")
    return {
        "event_id": event["id"],
        "team": _id(thing.get("customer")),
        "occurred_at": _instant(event["created"]),
        "currency": (thing.get("currency") or _price(thing).get("currency") or "").upper() or None,
        "plan": _plan(thing),
        "promotion": _promotion(thing),
        "period_start": None,
        "period_end": None,
        "list_amount": None,
        "net_amount": None,
        **said,
    }


def _of_subscription(
    kind: str, thing: dict[str, Any], before: dict[str, Any], created: int
) -> dict[str, Any]:
    price, item = _price(thing), _item(thing)
    # Before 2025-03-31 the period stands on the subscription, since then on its items.
    start = thing.get("current_period_start") or item.get("current_period_start")
    end = thing.get("current_period_end") or item.get("current_period_end")
    said: dict[str, Any] = {
        "period_start": _instant(start),
        "period_end": _instant(end),
        "list_amount": _amount(price.get("unit_amount"), price.get("currency")),
    }
    status = thing.get("status")
    if kind.endswith(".deleted"):
        return {"event": "ended", "occurred_at": _instant(thing.get("ended_at") or created)}
    if kind.endswith(".created"):
        if status == "trialing":
            return said | {"event": "started", "net_amount": Decimal(0)}
        if status == "active":
            return said | {"event": "started"}
        raise _NoPlanEvent(f"the subscription is {status}: nothing has begun")
    if kind.endswith(".updated"):
        return said | {"event": _change(thing, before, start, created)}
    raise _NoPlanEvent(f"{kind} is no plan event")


def _change(thing: dict[str, Any], before: dict[str, Any], start: Any, created: int) -> str:
    """What an update changed: the price, the intent to stay, the state of payment or the period."""
    was = _price(before).get("unit_amount")
    now = _price(thing).get("unit_amount")
    if was is not None and now is not None and int(was) != int(now):
        return "upgraded" if int(now) > int(was) else "downgraded"
    if thing.get("cancel_at_period_end") and before.get("cancel_at_period_end", False) is not True:
        return "cancelled"
    if thing.get("status") in ("past_due", "unpaid", "incomplete_expired"):
        return "payment_failed"
    moved = "current_period_start" in before or "items" in before
    begins_now = start is not None and abs(created - int(start)) < 86_400
    if thing.get("status") == "active" and begins_now and (moved or not before):
        return "renewed"
    raise _NoPlanEvent("the update changes nothing of the plan")


def _of_invoice(kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    currency = thing["currency"]
    line: dict[str, Any] = next(iter((thing.get("lines") or {}).get("data") or []), {})
    period = line.get("period") or {}
    said: dict[str, Any] = {
        "period_start": _instant(period.get("start")),
        "period_end": _instant(period.get("end")),
        "list_amount": _amount(thing.get("subtotal"), currency),
    }
    if kind == "invoice.payment_failed":
        return said | {"event": "payment_failed", "net_amount": Decimal(0)}
    event = BILLING_REASONS.get(str(thing.get("billing_reason")))
    if event is None:
        raise _NoPlanEvent("the invoice is for no subscription")
    return said | {"event": event, "net_amount": _amount(thing.get("amount_paid"), currency)}


def _item(thing: dict[str, Any]) -> dict[str, Any]:
    source = thing.get("items") or thing.get("lines") or {}
    found = source.get("data") if isinstance(source, dict) else None
    return found[0] if found else {}


def _price(thing: dict[str, Any]) -> dict[str, Any]:
    """The price of the first item or line; plan is its older name."""
    item = _item(thing)
    price = item.get("price") or item.get("plan") or thing.get("plan") or {}
    if isinstance(price, dict) and "unit_amount" not in price and "amount" in price:
        return price | {"unit_amount": price["amount"]}
    return price if isinstance(price, dict) else {}


def _plan(thing: dict[str, Any]) -> str | None:
    price = _price(thing)
    named = (thing.get("metadata") or {}).get("plan")
    return named or price.get("lookup_key") or price.get("nickname") or _id(price.get("product"))


def _promotion(thing: dict[str, Any]) -> str | None:
    coupon = (thing.get("discount") or {}).get("coupon") or {}
    return coupon.get("name") or coupon.get("id")


def _id(value: Any) -> str | None:
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
    return Decimal(int(minor)).scaleb(-digits)


FORMATS = (
    Format(name="stripe", family="subscriptions", version=1, looks_like=looks_like, read=read),
)
