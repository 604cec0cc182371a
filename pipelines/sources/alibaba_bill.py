"""Alibaba Cloud bills: the rows of DescribeInstanceBill and QueryInstanceBill by day.

Belongs here: the bill's field names, its day, the period of a prepaid order, and its cost columns.
Does not belong here: which product is a workload (data/reference/services.csv).
Source of the facts: help.aliyun.com, DescribeInstanceBill (BssOpenApi 2017-12-14).

A file holds API responses (rows in Data.Items or Data.Items.Item), bare rows as JSON, JSON Lines,
CSV under the API's names, or Parquet. The bill has to be asked for with Granularity=DAILY: a row
of a month would lend every day of it a share of a machine that ran for two.

Cost: list is PretaxGrossAmount, billed is PretaxAmount (payable, after discounts and coupons),
effective is PretaxAmount less DeductedByCashCoupons, because a voucher (代金券) is free credit.
A prepaid card (储值卡) was bought, so it stays. All are before tax.
BillingDate is a day of UTC+8. A subscription order covers its ServicePeriod from that day on, so
that its price is spread over it; everything else is one day.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.sources.base import (
    AMOUNT,
    Chunk,
    Format,
    Mapping,
    Options,
    broken_rows,
    column_of,
    convert,
)  # fmt: skip
from pipelines.sources.tables import columns_of, pieces

ZONE = "Asia/Shanghai"
BILL: Mapping = {
    "account": ("text", "BillAccountID", "AccountID"),
    "sub_account": ("text", "OwnerID"),
    "service": ("text", "ProductName", "ProductDetail", "ProductCode"),
    "sku": ("text", "CommodityCode", "ProductType", "ProductCode"),
    "description": ("text", "BillingItem", "ProductDetail"),
    "resource": ("text", "InstanceID"),
    "region": ("text", "Region"),
    "charge_start": ("instant", "BillingDate"),
    "billed": ("amount", "PretaxAmount"),
    "list_cost": ("amount", "PretaxGrossAmount"),
    "currency": ("text", "Currency"),
    "voucher": ("amount", "DeductedByCashCoupons"),
}
# The bill's type of row as FOCUS says it: (category, class).
CATEGORIES = {
    "PayAsYouGoBill": ("Usage", None),
    "SubscriptionOrder": ("Purchase", None),
    "Refund": ("Usage", "Correction"),
    "Adjustment": ("Adjustment", None),
}
PERIODS = {
    "year": "y", "年": "y", "month": "mo", "月": "mo", "week": "w", "周": "w", "day": "d",
    "天": "d", "日": "d", "hour": "h", "小时": "h", "minute": "m", "分钟": "m", "second": "s",
    "秒": "s",
}  # fmt: skip
OTHERS = ("Item", "SubscriptionType", "ServicePeriod", "ServicePeriodUnit")
# For people: with the columns that need a rule each, see read and _derived.
MAPPING: Mapping = {name: said for name, said in BILL.items() if name != "voucher"} | {
    "charge_category": ("text", "Item"),
    "charge_class": ("text", "Item"),
    "charge_end": ("instant", "ServicePeriod", "ServicePeriodUnit"),
    "billing_period": ("instant", "BillingDate"),
    "effective": ("amount", "PretaxAmount", "DeductedByCashCoupons"),
}
MUST_HAVE = ("PretaxAmount", "PretaxGrossAmount", "ProductCode")
_MONTHLY = "BillingDate is missing: ask for the bill with Granularity=DAILY"


def looks_like(path: Path, head: bytes) -> str | None:
    columns = columns_of(path, head)
    # Orders have these columns too, but an OrderId; QueryBill has them, but a RecordID.
    is_bill = all(c in columns for c in MUST_HAVE) and "SubscriptionType" in columns
    if is_bill and not {"OrderId", "RecordID"} & set(columns):
        return f"it has the bill's columns {', '.join(MUST_HAVE)}"
    if "Data" in columns and b'"Items"' in head and b'"PretaxGrossAmount"' in head:
        is_other = b'"OrderId"' in head or b'"RecordID"' in head or b'"SplitItemID"' in head
        return None if is_other else "it is a response with bill items in Data.Items"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical charge rows; the bill's days are UTC+8 whatever the source declares."""
    wanted = list(dict.fromkeys([n for _, *names in BILL.values() for n in names]))
    for raw, broken in pieces(path, [*wanted, *OTHERS], rows_in=_items, is_exact=True):
        chunk = convert(raw, broken, BILL, ZONE)
        rows = chunk.rows.with_columns(_derived(chunk.raw)).with_columns(
            provider=pl.lit("Alibaba Cloud"),
            charge_end=_end(),
            billing_period=_month(),
            effective=pl.col("billed") - pl.col("voucher").fill_null(pl.lit(0, AMOUNT)),
            currency=pl.col("currency").str.to_uppercase(),
        )
        has_day = rows["charge_start"].is_not_null()
        monthly, of_month = chunk.raw.filter(~has_day), rows.filter(~has_day)
        reason = pl.Series("reason", [_MONTHLY] * monthly.height, dtype=pl.String)
        rows, kept = rows.filter(has_day), chunk.raw.filter(has_day)
        yield Chunk(
            rows=rows.drop("voucher", "period"),
            raw=kept,
            broken=pl.concat([chunk.broken, broken_rows(monthly, reason, of_month)]),
            warnings=(*chunk.warnings, *_warnings(rows, kept)),
        )


def _items(value: dict[str, Any]) -> list[Any]:
    """Rows of a response, each with the response's account; a bare row is its own."""
    data = value.get("Data")
    if not isinstance(data, dict):
        return [value]
    items = data.get("Items")
    items = items.get("Item") if isinstance(items, dict) else items
    account = {"AccountID": data.get("AccountID")}
    found = items if isinstance(items, list) else []
    return [account | item if isinstance(item, dict) else item for item in found]


def _derived(raw: pl.DataFrame) -> list[pl.Series]:
    """Category and class of the row's type, and the length of a prepaid period such as 1mo."""
    item, kind = column_of(raw, "Item"), column_of(raw, "SubscriptionType")
    unit = column_of(raw, "ServicePeriodUnit").str.to_lowercase().str.replace(r"s$", "")
    unit = unit.replace_strict(PERIODS, default=None, return_dtype=pl.String)
    count = column_of(raw, "ServicePeriod").str.extract(r"^([1-9]\d{0,8})(\.0+)?$", 1)
    is_prepaid = (item == "SubscriptionOrder") | (item.is_null() & (kind == "Subscription"))
    categories = {name: category for name, (category, _) in CATEGORIES.items()}
    classes = {name: said for name, (_, said) in CATEGORIES.items() if said}
    return pl.select(
        charge_category=item.replace_strict(categories, default=None, return_dtype=pl.String),
        charge_class=item.replace_strict(classes, default=None, return_dtype=pl.String),
        period=pl.when(is_prepaid.fill_null(False)).then(pl.concat_str([count, unit])),
    ).get_columns()


def _local() -> pl.Expr:
    return pl.col("charge_start").dt.convert_time_zone(ZONE)


def _end() -> pl.Expr:
    day = _local().dt.offset_by("1d")
    whole = pl.when(pl.col("period").is_not_null()).then(_local().dt.offset_by(pl.col("period")))
    return pl.max_horizontal(day, whole).dt.convert_time_zone("UTC")


def _month() -> pl.Expr:
    return _local().dt.truncate("1mo").dt.convert_time_zone("UTC")


def _warnings(rows: pl.DataFrame, raw: pl.DataFrame) -> Iterator[str]:
    unknown = column_of(raw, "Item").drop_nulls()
    unknown = unknown.filter(~unknown.is_in(list(CATEGORIES))).unique().sort().head(5)
    if unknown.len():
        yield f"unknown values of Item: {', '.join(unknown)}"
    is_order = (column_of(raw, "Item") == "SubscriptionOrder").fill_null(False)
    if (is_order & rows["period"].is_null()).any():
        yield "some subscription orders have no readable ServicePeriod and count as one day"


FORMATS = (
    Format(
        name="alibaba_bill",
        family="charges",
        version=1,
        mapping=MAPPING,
        looks_like=looks_like,
        read=read,
    ),
)
