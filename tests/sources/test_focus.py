"""FOCUS exports of five versions and six providers, in three containers."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.sources.reading import SHARED, Reading, read, write

SAMPLE = SHARED / "cloud" / "focus_1.0_real_sample_devhalf.csv"
ROW = {
    "BilledCost": "1.5", "EffectiveCost": "1.25", "ListCost": "2", "ContractedCost": "1.5",
    "BillingAccountId": "0012", "SubAccountId": "007", "BillingCurrency": "USD",
    "BillingPeriodStart": "2024-09-01T00:00:00Z", "ChargePeriodStart": "2024-09-03T00:00:00Z",
    "ChargePeriodEnd": "2024-09-04T00:00:00Z", "ChargeCategory": "Usage", "ChargeClass": "",
    "ServiceName": "Amazon Simple Storage Service", "ServiceCategory": "Storage",
    "ProviderName": "AWS", "RegionId": "eu-west-1", "ResourceId": "b-1", "ResourceType": "bucket",
    "SkuId": "000123", "ChargeDescription": "storage",
}  # fmt: skip


def focus(folder: Path, *rows: dict[str, str | None], name: str = "x.csv") -> Reading:
    frame = pl.DataFrame([{**ROW, **row} for row in rows])
    kept = [c for c in frame.columns if frame[c].null_count() < frame.height or c in ROW]
    return read(write(folder, name, frame.select(kept).write_csv(quote_style="necessary")))


def without(*columns: str) -> dict[str, str]:
    return {k: v for k, v in ROW.items() if k not in columns}


def test_one_row_is_read_column_by_column(tmp_path: Path) -> None:
    reading = focus(tmp_path, {})
    assert (reading.form, reading.warnings) == ("focus", [])
    (row,) = reading.rows
    assert row == {
        "account": "0012", "sub_account": "007", "provider": "AWS",
        "service": "Amazon Simple Storage Service", "sku": "000123", "description": "storage",
        "resource_type": "bucket", "resource": "b-1", "region": "eu-west-1",
        "service_category": "Storage", "service_subcategory": None, "charge_category": "Usage",
        "charge_class": None, "charge_start": datetime(2024, 9, 3, tzinfo=UTC),
        "charge_end": datetime(2024, 9, 4, tzinfo=UTC),
        "billing_period": datetime(2024, 9, 1, tzinfo=UTC), "billed": Decimal("1.5"),
        "effective": Decimal("1.25"), "list_cost": Decimal(2), "currency": "USD", "line": 2,
        "is_known_currency": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "dropped", "version", "provider"),
    [
        ({}, (), "1.0", "AWS"),
        ({"ServiceSubcategory": "Object Storage"}, (), "1.1 or later", "AWS"),
        ({"InvoiceId": "i", "ServiceSubcategory": ""}, (), "1.2 or later", "AWS"),
        ({"ServiceProviderName": "Databricks", "HostProviderName": "AWS"}, (), "1.3 or later",
         "Databricks"),
        ({"ServiceProviderName": "Microsoft"}, ("ProviderName",), "1.4", "Microsoft"),
    ],
)  # fmt: skip
def test_versions(
    tmp_path: Path, extra: dict[str, str], dropped: tuple[str, ...], version: str, provider: str
) -> None:
    frame = pl.DataFrame([without(*dropped) | extra])
    reading = read(write(tmp_path, "x.csv", frame.write_csv()))
    assert f"(version {version})" in reading.because
    assert reading.column("provider") == [provider]
    assert not [w for w in reading.warnings if "provider" in w]


@pytest.mark.parametrize(
    ("provider", "start", "expected"),
    [
        ("AWS", "2024-09-03T00:00:00.000Z", 0),
        ("Microsoft", "2024-09-03T00:00Z", 0),
        ("Google Cloud", "2024-09-03 00:00:00 UTC", 0),
        ("Google Cloud", "2024-09-02 17:00:00-07:00", 0),
        ("Oracle", "2024-09-03T00:00+00:00", 0),
        ("Alibaba Cloud", "2024-09-03T08:00:00+08:00", 0),
        ("Tencent Cloud", "2024-09-03 00:00:00", 0),
    ],
)
def test_each_provider_writes_times_its_own_way(
    tmp_path: Path, provider: str, start: str, expected: int
) -> None:
    reading = focus(tmp_path, {"ProviderName": provider, "ChargePeriodStart": start})
    assert reading.column("charge_start") == [datetime(2024, 9, 3, tzinfo=UTC)]


def test_alibabas_preview_is_accepted_with_a_warning(tmp_path: Path) -> None:
    frame = pl.DataFrame([ROW | {
        "ProviderName": "Alibaba Cloud", "BillingCurrency": "CNY", "ChargeDescription": "",
        "ContractedCost": "",
    }])  # fmt: skip
    reading = read(write(tmp_path, "x.csv", frame.write_csv()))
    assert len(reading.rows) == 1 and reading.rejects == []
    assert reading.warnings == ["ContractedCost is null on usage rows in some rows"]


@pytest.mark.parametrize("cost", ["", " null ", "NaN", "  "])
def test_a_cost_is_null_in_every_spelling(tmp_path: Path, cost: str) -> None:
    reading = focus(tmp_path, {}, {"ContractedCost": cost})
    assert reading.warnings == ["ContractedCost is null on usage rows in some rows"]


def test_tencents_preview_has_no_effective_cost_and_no_category(tmp_path: Path) -> None:
    empty = {"EffectiveCost": "", "ServiceCategory": "", "ProviderName": "Tencent Cloud"}
    reading = focus(tmp_path, empty)
    assert [(r["billed"], r["effective"]) for r in reading.rows] == [(Decimal("1.5"), None)]
    assert reading.warnings == [
        "EffectiveCost is null where BilledCost is not in some rows",
        "ServiceCategory is null in some rows",
    ]


def test_what_focus_does_not_know_is_a_warning_never_a_rejection(tmp_path: Path) -> None:
    reading = focus(
        tmp_path,
        {"ChargeCategory": "Refund", "ChargeClass": "Restated", "ServiceCategory": "Blockchain"},
        {"ChargePeriodEnd": ""},
        {"ChargeCategory": "usage", "ChargeClass": "CORRECTION"},
    )
    assert reading.rejects == []
    assert reading.warnings == [
        "ChargeCategory has values that FOCUS doesn't know: Refund",
        "ChargeClass has values that FOCUS doesn't know: Restated",
        "ChargePeriodEnd is null in some rows",
        "ServiceCategory has values that FOCUS doesn't know: Blockchain",
    ]
    assert reading.rows[2]["charge_category"] == "Usage"
    assert reading.rows[2]["charge_class"] == "Correction"


def test_a_rounded_effective_cost_is_named(tmp_path: Path) -> None:
    rounded = {"EffectiveCost": "0.000", "BilledCost": "0.4"}
    reading = focus(tmp_path, rounded, rounded)
    assert reading.warnings == [
        "EffectiveCost of AWS has no decimals although its BilledCost has: it is rounded"
    ]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"BilledCost": "n/a"}, "BilledCost can't be read as an amount"),
        ({"EffectiveCost": "1.2345678901234567891"}, "EffectiveCost can't be read as an amount"),
        ({"ChargePeriodEnd": "5/1/25"}, "ChargePeriodEnd can't be read as a time"),
        ({"BillingPeriodStart": "Sept"}, "BillingPeriodStart can't be read as a time"),
        ({"BillingCurrency": ""}, "currency is missing or can't be read"),
        ({"BillingCurrency": "XTS"}, "it is not true that currency has a rate in fx csv"),
        ({"BillingAccountId": "NULL"}, "account is missing or can't be read"),
        ({"BilledCost": "", "EffectiveCost": ""},
         "it is not true that billed or effective cost is a number"),
    ],
)  # fmt: skip
def test_a_row_that_the_metric_cannot_use_is_rejected(
    tmp_path: Path, fault: dict[str, str], reason: str
) -> None:
    reading = focus(tmp_path, {}, fault)
    assert len(reading.rows) == 1
    assert [(r["line"], r["reason"]) for r in reading.rejects] == [(3, reason)]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet", "x.jsonl", "x.json"])
def test_containers_give_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = [ROW, ROW | {"BilledCost": "0.123456789012345678", "ChargeDescription": 'a "b", c'}]
    frame = pl.DataFrame(rows)
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.write_parquet(path)
    elif name.endswith("jsonl"):
        frame.write_ndjson(path)
    elif name.endswith("json"):
        frame.write_json(path)
    else:
        write(tmp_path, name, frame.write_csv())
    reading = read(path)
    expected = read(write(tmp_path, "plain.csv", frame.write_csv()))
    assert [r | {"line": 0} for r in reading.rows] == [r | {"line": 0} for r in expected.rows]
    assert reading.column("billed")[1] == Decimal("0.123456789012345678")


def test_parquet_types_of_bigquery_and_databricks(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame([ROW]).with_columns(
        BilledCost=pl.lit(Decimal("1.5"), pl.Decimal(38, 9)),
        EffectiveCost=pl.lit(1.25),
        ListCost=pl.lit(2),
        ChargePeriodStart=pl.lit(datetime(2024, 9, 3), pl.Datetime("ns")),
        Tags=pl.lit([1, 2]),
    )
    frame.write_parquet(path)
    (row,) = read(path).rows
    assert (row["billed"], row["effective"], row["list_cost"]) == (
        Decimal("1.5"), Decimal("1.25"), Decimal(2),
    )  # fmt: skip
    assert row["charge_start"] == datetime(2024, 9, 3, tzinfo=UTC)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the shared samples are not beside the checkout")
def test_the_real_sample_loses_no_row_and_no_cent() -> None:
    reading = read(SAMPLE)
    assert (len(reading.rows), reading.rejects) == (356, [])
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for row in reading.rows:
        total = sums.setdefault((row["provider"], row["currency"]), [Decimal(0)] * 3)
        for at, cost in enumerate(("billed", "effective", "list_cost")):
            total[at] += row[cost]
    raw = pl.read_csv(SAMPLE, infer_schema=False)
    expected: dict[tuple[str, str], list[Decimal]] = {}
    for row in raw.to_dicts():
        key = (row["ProviderName"], row["BillingCurrency"])
        total = expected.setdefault(key, [Decimal(0)] * 3)
        for at, cost in enumerate(("BilledCost", "EffectiveCost", "ListCost")):
            total[at] += Decimal(row[cost])
    assert sums == expected
    assert {k: v[0] for k, v in sums.items()} == {
        ("AWS", "USD"): Decimal("1.6875732529"), ("Microsoft", "USD"): Decimal("0.39563418586"),
    }  # fmt: skip
    assert sum(r["resource_type"] is None for r in reading.rows) == 270  # NULL in the file
    assert [w for w in reading.warnings if "AWS" in w], "AWS rounds EffectiveCost in this sample"


SCENARIOS = sorted((SHARED / "cloud" / "focus_spec" / "scenarios").glob("*.csv"))


@pytest.mark.skipif(not SCENARIOS, reason="the shared samples are not beside the checkout")
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
def test_the_specifications_scenarios(path: Path) -> None:
    """Those with an account are read; their dates are a spreadsheet's, so their rows are not."""
    columns = pl.read_csv(path, infer_schema=False).columns
    if "BillingAccountId" not in columns:
        return
    reading = read(path)
    assert reading.form == "focus"
    assert all("ChargePeriodStart can't be read as a time" in r for r in reading.reasons)
