"""Alibaba's bills and orders, as API responses, bare rows and CSV."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.sources import registry
from tests.sources.reading import lines, read, write


def item(**changes: Any) -> dict[str, Any]:
    row = {
        "BillAccountID": "1990123", "OwnerID": "0077", "BillingDate": "2024-10-01",
        "ProductCode": "ecs", "ProductName": "云服务器 ECS", "ProductDetail": "云服务器ECS-按量付费",
        "CommodityCode": "ecs", "ProductType": "", "SubscriptionType": "PayAsYouGo",
        "Item": "PayAsYouGoBill", "InstanceID": "i-1", "Region": "华东1（杭州）", "Currency": "CNY",
        "PretaxGrossAmount": 12.5, "PretaxAmount": 10.1, "AfterDiscountAmount": 11.0,
        "DeductedByCashCoupons": 0.1, "DeductedByPrepaidCard": 2.0, "ServicePeriod": "86400",
        "ServicePeriodUnit": "Second",
    }  # fmt: skip
    return row | changes


def bill(*items: Any) -> dict[str, Any]:
    data = {"BillingCycle": "2024-10", "AccountID": "999", "TotalCount": 1, "Items": list(items)}
    return {"Code": "Success", "Success": True, "Data": data}


def test_a_bill_of_a_day(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "a.json", json.dumps(bill(item()), indent=1)))
    assert (reading.form, reading.warnings) == ("alibaba_bill", [])
    assert reading.rows == [{
        "account": "1990123", "sub_account": "0077", "provider": "Alibaba Cloud",
        "service": "云服务器 ECS", "sku": "ecs", "description": "云服务器ECS-按量付费",
        "resource_type": None, "resource": "i-1", "region": "华东1（杭州）",
        "service_category": None, "service_subcategory": None, "charge_category": "Usage",
        "charge_class": None, "charge_start": datetime(2024, 9, 30, 16, tzinfo=UTC),
        "charge_end": datetime(2024, 10, 1, 16, tzinfo=UTC),
        "billing_period": datetime(2024, 9, 30, 16, tzinfo=UTC), "billed": Decimal("10.1"),
        "effective": Decimal(10), "list_cost": Decimal("12.5"), "currency": "CNY", "line": 1,
        "is_known_currency": True,
    }]  # fmt: skip


def test_bare_rows_older_responses_and_csv_give_the_same(tmp_path: Path) -> None:
    expected = read(write(tmp_path, "a.json", json.dumps(bill(item())))).rows
    older = bill()
    older["Data"]["Items"] = {"Item": [item()]}
    assert read(write(tmp_path, "b.json", json.dumps(older))).rows == expected
    assert read(write(tmp_path, "c.jsonl", lines(item()))).rows == expected
    table = write(tmp_path, "d.csv", "\ufeff" + pl.DataFrame([item()]).write_csv())
    assert [r | {"line": 1} for r in read(table).rows] == expected


def test_pages_of_many_rows_a_line_keep_lines_apart(tmp_path: Path) -> None:
    pages = lines(bill(item(), item()), bill(item(), 7))
    reading = read(write(tmp_path, "a.jsonl", pages))
    assert reading.column("line") == [1, 2, 3]
    assert reading.reasons == ["the entry is not a JSON object"]


def test_the_account_of_the_response_stands_in(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", json.dumps(bill(item(BillAccountID=""))))
    assert read(file).column("account") == ["999"]


@pytest.mark.parametrize(
    ("period", "unit", "end"),
    [
        ("1", "Month", datetime(2024, 10, 31, 16, tzinfo=UTC)),
        ("1", "年", datetime(2025, 9, 30, 16, tzinfo=UTC)),
        ("2", "Years", datetime(2026, 9, 30, 16, tzinfo=UTC)),
        ("7", "天", datetime(2024, 10, 7, 16, tzinfo=UTC)),
        ("3600", "秒", datetime(2024, 10, 1, 16, tzinfo=UTC)),
    ],
)
def test_an_order_covers_its_period(tmp_path: Path, period: str, unit: str, end: datetime) -> None:
    order = item(
        Item="SubscriptionOrder", SubscriptionType="Subscription", ServicePeriod=period,
        ServicePeriodUnit=unit,
    )  # fmt: skip
    (row,) = read(write(tmp_path, "a.json", json.dumps(bill(order)))).rows
    assert (row["charge_category"], row["charge_end"]) == ("Purchase", end)


def test_refunds_vouchers_and_odd_rows(tmp_path: Path) -> None:
    rows = [
        item(Item="Refund", PretaxAmount=-3, DeductedByCashCoupons=-1),
        item(PretaxAmount=5, DeductedByCashCoupons=5),
        item(DeductedByCashCoupons=None),
        item(Item="Gift"),
        item(Item="SubscriptionOrder", ServicePeriod="", ServicePeriodUnit=""),
    ]
    reading = read(write(tmp_path, "a.jsonl", lines(*rows)))
    assert reading.column("effective") == [
        Decimal(-2), Decimal(0), Decimal("10.1"), Decimal(10), Decimal(10),
    ]  # fmt: skip
    assert reading.rows[0]["charge_class"] == "Correction"
    assert reading.rows[3]["charge_category"] is None
    assert reading.warnings == [
        "some subscription orders have no readable ServicePeriod and count as one day",
        "unknown values of Item: Gift",
    ]


def test_a_row_of_a_month_is_rejected(tmp_path: Path) -> None:
    rows = [item(), item(BillingDate=""), item(PretaxAmount="many")]
    reading = read(write(tmp_path, "a.jsonl", lines(*rows)))
    assert reading.reasons == [
        "BillingDate is missing: ask for the bill with Granularity=DAILY",
        "PretaxAmount can't be read as an amount",
    ]


def order(**changes: Any) -> dict[str, Any]:
    row = {
        "OrderId": "2101", "OrderType": "New", "PaymentStatus": "Paid", "OwnerId": "0042",
        "CreateTime": "2025-01-24T09:20:00Z", "PaymentTime": "2025-01-24T09:21:00Z",
        "ProductCode": "sfm", "ProductType": "sfm_codingplan_public_cn", "Currency": "CNY",
        "CommodityCode": "sfm_codingplan_pro", "SubscriptionType": "Subscription",
        "PretaxGrossAmount": "200.00", "PretaxAmount": "39.9", "AfterTaxAmount": "39.9",
    }  # fmt: skip
    return row | changes


def orders(*rows: Any) -> dict[str, Any]:
    return {"Code": "Success", "Data": {"HostName": "", "OrderList": {"Order": list(rows)}}}


def test_an_order_of_the_plan(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "a.json", json.dumps(orders(order()))))
    assert reading.form == "alibaba_orders"
    assert reading.rows == [{
        "event_id": "2101", "team": "0042", "plan": "pro", "event": "started",
        "occurred_at": datetime(2025, 1, 24, 9, 21, tzinfo=UTC), "period_start": None,
        "period_end": None, "list_amount": Decimal(200), "net_amount": Decimal("39.9"),
        "currency": "CNY", "promotion": None, "line": 1,
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("New", "started"), ("Renew", "renewed"), ("Upgrade", "upgraded"),
        ("Downgrade", "downgraded"), ("Convert", "started"), ("CompensatoryRenew", "renewed"),
    ],
)  # fmt: skip
def test_order_types(tmp_path: Path, kind: str, event: str) -> None:
    file = write(tmp_path, "a.jsonl", lines(order(OrderType=kind)))
    assert read(file).column("event") == [event]


@pytest.mark.parametrize("amount", ["39.9", "-39.9"])
def test_a_refund_is_below_zero_whatever_its_sign(tmp_path: Path, amount: str) -> None:
    refund = order(OrderType="Refund", PaymentStatus=None, PretaxAmount=amount)
    (row,) = read(write(tmp_path, "a.jsonl", lines(refund))).rows
    assert (row["event"], row["net_amount"]) == ("refunded", Decimal("-39.9"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ProductCode": "ecs", "ProductType": "", "CommodityCode": "ecs"},
         "the product ecs is not the plan"),
        ({"PaymentStatus": "Unpaid"}, "the order is unpaid"),
        ({"PaymentStatus": "Cancelled"}, "the order is cancelled"),
        ({"OrderType": "ResizeDisk"}, "OrderType ResizeDisk is no plan event"),
        ({"OwnerId": ""}, "team is missing or can't be read"),
        ({"PretaxAmount": "free"}, "PretaxAmount can't be read as an amount"),
    ],
)  # fmt: skip
def test_orders_that_say_nothing(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    reading = read(write(tmp_path, "a.jsonl", lines(order(), order(**changes))))
    assert (len(reading.rows), reading.reasons) == (1, [reason])


def test_instances_are_starts(tmp_path: Path) -> None:
    instance = {
        "InstanceID": "sfm-1", "OwnerId": 42, "ProductCode": "sfm", "RenewStatus": "AutoRenewal",
        "ProductType": "sfm_codingplan_lite", "CreateTime": "2025-01-24T09:20:00Z",
        "EndTime": "2025-02-24T16:00:00Z", "ReleaseTime": "", "SubscriptionType": "Subscription",
    }  # fmt: skip
    released = instance | {"InstanceID": "sfm-2", "ReleaseTime": "2025-02-01T00:00:00Z"}
    answer = {"Data": {"PageNum": 1, "InstanceList": [instance, released]}}
    for content in (json.dumps(answer, indent=1), lines(instance, released)):
        reading = read(write(tmp_path, "a.json", content))
        assert reading.form == "alibaba_orders"
        assert [(r["event_id"], r["event"], r["plan"], r["team"]) for r in reading.rows] == [
            ("sfm-1", "started", "lite", "42"), ("sfm-2", "started", "lite", "42"),
        ]  # fmt: skip
        assert reading.column("period_end") == [
            datetime(2025, 2, 24, 16, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC),
        ]  # fmt: skip


def test_query_bill_is_not_taken_for_a_bill_of_instances(tmp_path: Path) -> None:
    file = write(tmp_path, "a.jsonl", lines(item(RecordID="1", BillingDate=None)))
    assert registry.detect(file) is None
    assert "DescribeInstanceBill" in registry.why_not(file)
