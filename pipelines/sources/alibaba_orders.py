"""Alibaba Cloud orders and instances of the plan: QueryOrders and QueryAvailableInstances.

Belongs here: the field names of both answers, and which order says what of a plan.
Does not belong here: orders of other products (rejected with that reason), bills (alibaba_bill).
Source of the facts: help.aliyun.com, QueryOrders and QueryAvailableInstances (BssOpenApi
2017-12-14); the plan's product code sfm from model-studio's GetBillingOverview.

A file holds API responses (rows in Data.OrderList.Order or Data.InstanceList), or bare rows.
The answer names no buyer unless the caller adds one to each row: OwnerId, AccountId or UserId.

    New, Convert                    started       Refund      refunded, its amount below zero
    Renew, CompensatoryRenew        renewed       Downgrade   downgraded
    Upgrade, TempUpgrade            upgraded
An order that is unpaid or void is no event. An instance is the start of its plan, until its end
or its release; it says no amount and no renewal, so orders are the better source. Amounts are
before tax. Times are UTC.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.sources.base import (
    Chunk,
    Format,
    Mapping,
    Options,
    broken_rows,
    column_of,
    convert,
)  # fmt: skip
from pipelines.sources.tables import columns_of, pieces

BUYER = ("OwnerId", "OwnerID", "AccountId", "AccountID", "UserId")
ORDERS: Mapping = {
    "event_id": ("text", "OrderId"),
    "team": ("text", *BUYER),
    "occurred_at": ("instant", "PaymentTime", "CreateTime"),
    "period_start": ("instant", "UsageStartTime"),
    "period_end": ("instant", "UsageEndTime"),
    "list_amount": ("amount", "PretaxGrossAmount"),
    "net_amount": ("amount", "PretaxAmount"),
    "currency": ("text", "Currency", "PaymentCurrency"),
}
INSTANCES: Mapping = {
    "event_id": ("text", "InstanceID"),
    "team": ("text", *BUYER),
    "occurred_at": ("instant", "CreateTime"),
    "period_start": ("instant", "CreateTime"),
    "period_end": ("instant", "EndTime"),
    "released_at": ("instant", "ReleaseTime"),
}
EVENTS = {
    "new": "started", "convert": "started", "renew": "renewed", "compensatoryrenew": "renewed",
    "upgrade": "upgraded", "tempupgrade": "upgraded", "downgrade": "downgraded",
    "refund": "refunded",
}  # fmt: skip
PLAN_PRODUCT = r"(?i)\bsfm|coding.?plan|token.?plan"
PLANS = r"(?i)(?:^|[^a-z])(lite|pro|max|team)(?:[^a-z]|$)"
NAMED = ("ProductType", "CommodityCode", "Config", "ProductCode")
# For people: with the columns that need a rule each, see _plan and _orders.
MAPPING: Mapping = ORDERS | {
    "event_id": (*ORDERS["event_id"], "InstanceID"),
    "plan": ("text", *NAMED),
    "event": ("text", "OrderType"),
    "period_start": (*ORDERS["period_start"], "CreateTime"),
    "period_end": (*ORDERS["period_end"], "EndTime", "ReleaseTime"),
}
OTHERS = ("OrderType", "PaymentStatus", "RenewStatus", *NAMED)


def looks_like(path: Path, head: bytes) -> str | None:
    columns = columns_of(path, head)
    if "OrderId" in columns and "OrderType" in columns and "ProductCode" in columns:
        return "it has the columns OrderId, OrderType and ProductCode of orders"
    if "InstanceID" in columns and "RenewStatus" in columns and "EndTime" in columns:
        return "it has the columns InstanceID, RenewStatus and EndTime of instances"
    if "Data" in columns and b'"OrderList"' in head:
        return "it is a response with orders in Data.OrderList"
    if "Data" in columns and b'"InstanceList"' in head and b'"RenewStatus"' in head:
        return "it is a response with instances in Data.InstanceList"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical subscription rows; a time without a zone is UTC, as the API has it."""
    mapped = [n for m in (ORDERS, INSTANCES) for _, *names in m.values() for n in names]
    for raw, broken in pieces(path, list(dict.fromkeys([*mapped, *OTHERS])), _rows, is_exact=True):
        reason = _reason(raw)
        kept = raw.filter(reason.is_null())
        others = broken_rows(raw.filter(reason.is_not_null()), reason.drop_nulls())
        is_order = column_of(kept, "OrderId").is_not_null()
        yield _orders(kept.filter(is_order), pl.concat([broken, others]))
        if not is_order.all():
            yield _instances(kept.filter(~is_order), broken.clear())


def _rows(value: dict[str, Any]) -> list[Any]:
    """Orders or instances of a response; a bare row is its own."""
    data = value.get("Data")
    if not isinstance(data, dict):
        return [value]
    orders = data.get("OrderList")
    found = orders.get("Order") if isinstance(orders, dict) else orders
    found = data.get("InstanceList") if found is None else found
    return found if isinstance(found, list) else []


def _reason(raw: pl.DataFrame) -> pl.Series:
    """Why a row is no plan event, null where it is one."""
    product, paid = (
        column_of(raw, "ProductCode"),
        column_of(raw, "PaymentStatus").str.to_lowercase(),
    )
    kind = column_of(raw, "OrderType")
    said = pl.concat_str([column_of(raw, n) for n in NAMED], separator=" ", ignore_nulls=True)
    is_order = pl.lit(column_of(raw, "OrderId").is_not_null())
    is_open = is_order & paid.is_in(["unpaid", "cancelled"])
    is_known = kind.str.to_lowercase().is_in(list(EVENTS)).fill_null(False)
    return pl.select(
        pl.when(~said.str.contains(PLAN_PRODUCT))
        .then(pl.format("the product {} is not the plan", product.fill_null("without a code")))
        .when(is_open)
        .then(pl.format("the order is {}", paid))
        .when(is_order & ~is_known)
        .then(pl.format("OrderType {} is no plan event", kind.fill_null("(missing)")))
    ).to_series().alias("reason")  # fmt: skip


def _plan(raw: pl.DataFrame) -> pl.Series:
    """lite, pro, ... where a code or the configuration names it, else the most specific code."""
    codes = [column_of(raw, name) for name in NAMED]
    said = pl.concat_str(codes, separator=" ", ignore_nulls=True)
    said = said.str.replace_all("_", " ")
    named = said.str.extract(PLANS, 1).str.to_lowercase()
    return pl.select(plan=pl.coalesce(named, *codes)).to_series()


def _orders(raw: pl.DataFrame, broken: pl.DataFrame) -> Chunk:
    chunk = convert(raw, broken, ORDERS, "UTC")
    kind = column_of(chunk.raw, "OrderType").str.to_lowercase()
    event = kind.replace_strict(EVENTS, default=None, return_dtype=pl.String)
    rows = chunk.rows.with_columns(
        _plan(chunk.raw), event=event, promotion=pl.lit(None, pl.String),
        currency=pl.col("currency").str.to_uppercase(),
    )  # fmt: skip
    is_refund = pl.col("event") == "refunded"
    back = -pl.col("net_amount").abs()
    net = pl.when(is_refund).then(back).otherwise("net_amount")
    rows = rows.with_columns(net_amount=net.cast(rows["net_amount"].dtype))
    return Chunk(rows=rows, raw=chunk.raw, broken=chunk.broken, warnings=chunk.warnings)


def _instances(raw: pl.DataFrame, broken: pl.DataFrame) -> Chunk:
    chunk = convert(raw, broken, INSTANCES, "UTC")
    rows = chunk.rows.with_columns(
        _plan(chunk.raw),
        event=pl.lit("started"),
        period_end=pl.min_horizontal("period_end", "released_at"),
        list_amount=pl.lit(None, pl.Decimal(38, 18)),
        net_amount=pl.lit(None, pl.Decimal(38, 18)),
        currency=pl.lit(None, pl.String),
        promotion=pl.lit(None, pl.String),
    )
    return Chunk(
        rows=rows.drop("released_at"),
        raw=chunk.raw,
        broken=chunk.broken,
        warnings=(*chunk.warnings, "instances say no amounts and no renewals: orders say both"),
    )


FORMATS = (
    Format(
        name="alibaba_orders",
        family="subscriptions",
        version=1,
        mapping=MAPPING,
        looks_like=looks_like,
        read=read,
    ),
)
