"""Landing to lake, against polars reading the same file and writing it as Parquet.

    python benchmarks/bench_ingest.py [--rows N]      a FOCUS CSV and a JSONL of requests, 3 runs each
    python benchmarks/bench_ingest.py --big [--gb 5]  one FOCUS CSV of that size: peak memory

Cloudbound detects the format, reads with every decimal exact, holds the contracts, splits charges
into business days and writes one file a day. The peer infers a schema and writes one file. The
share is the peer's time over ours: 1 is polars' speed. Files are made in a temporary folder
(TMPDIR) and deleted; each measured run is a process of its own, so that peaks don't mix.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

SERVICES = (
    ("Amazon Elastic Compute Cloud", "Compute", "instance"),
    ("Amazon Simple Storage Service", "Storage", "bucket"),
    ("Amazon Relational Database Service", "Databases", "db"),
    ("AmazonCloudWatch", "Management and Governance", ""),
    ("AWS Key Management Service", "Identity", ""),
)
COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceCategory", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
)  # fmt: skip


def focus_lines(rows: int, pick: random.Random) -> list[str]:
    """Hourly rows of a month: costs of up to 12 decimals, ids, text with commas in quotes."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for number in range(rows):
        service, category, kind = SERVICES[number % len(SERVICES)]
        begin = start + timedelta(hours=pick.randrange(744))
        cost = f"{pick.random() / 50:.12f}"
        account = f"{number % 997:012d}"
        values = {
            "AvailabilityZone": "us-west-2a", "BilledCost": cost, "BillingAccountId": "001122334455",
            "BillingAccountName": "main", "BillingCurrency": "USD",
            "BillingPeriodEnd": "2026-02-01T00:00:00Z", "BillingPeriodStart": "2026-01-01T00:00:00Z",
            "ChargeCategory": "Usage", "ChargeDescription": '"$0.01 per hour, first 10"',
            "ChargeFrequency": "Usage-Based", "ChargePeriodStart": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
            "ChargePeriodEnd": f"{begin + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "ConsumedQuantity": "1.0", "ConsumedUnit": "Hours", "ContractedCost": cost,
            "ContractedUnitPrice": "0.01", "EffectiveCost": cost, "InvoiceIssuerName": "AWS",
            "ListCost": cost, "ListUnitPrice": "0.01", "PricingCategory": "Standard",
            "PricingQuantity": "1.0", "PricingUnit": "Hours", "ProviderName": "AWS",
            "PublisherName": "AWS", "RegionId": "us-west-2", "RegionName": "Oregon",
            "ResourceId": f"arn:aws:x:us-west-2:{account}:{pick.randrange(5_000):08x}",
            "ResourceType": kind, "ServiceCategory": category, "ServiceName": service,
            "SkuId": f"SKU{number % 97:09d}", "SkuPriceId": f"SKU{number % 97:09d}.P",
            "SubAccountId": account, "SubAccountName": f"team-{number % 997}",
            "Tags": '"{""team"": ""a"", ""env"": ""prod""}"',
        }  # fmt: skip
        found.append(",".join(values.get(c, "") for c in COLUMNS) + "\n")
    return found


def write_focus(path: Path, rows: int, size: int = 0) -> None:
    """That many different rows; over and over until the file has the size."""
    lines = focus_lines(rows, random.Random(7))
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(lines)
        while file.tell() < size:
            file.writelines(lines)


def write_requests(path: Path, rows: int) -> None:
    """Requests of a month as the canonical JSON Lines."""
    pick = random.Random(7)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            at = start + timedelta(seconds=pick.randrange(30 * 86_400))
            row = {
                "request_id": f"req-{number:012x}", "team": f"team-{pick.randrange(2_000):05d}",
                "member": f"m{pick.randrange(9)}", "requested_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "received_at": f"{at + timedelta(seconds=3):%Y-%m-%dT%H:%M:%SZ}",
                "model": pick.choice(("qwen3-coder-plus", "glm-4.6", "kimi-k2")),
                "task": pick.choice(("feature", "debugging", "infra")), "session": f"s{number // 9}",
                "input_tokens": pick.randrange(20_000), "cached_tokens": 10,
                "output_tokens": pick.randrange(900), "status": "ok", "refused_by": None,
                "on_plan": True,
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")


def ours(path: Path, out: Path) -> None:
    from pipelines import lake, landing, reference
    from pipelines.settings import CHECKOUT

    known = reference.load(CHECKOUT / "data" / "reference")
    context = lake.Context(out, "Asia/Shanghai", known.currencies)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    (file,) = [f for f in landing.scan(path.parents[1], now) if f.path == path]
    started = time.perf_counter()
    (entry,) = lake.load([file], context, lambda *_: None)
    report(started, entry.rows_read)
    assert entry.rejected == 0 and not entry.whole_file_reason, entry


def peer(path: Path, out: Path) -> None:
    import polars as pl

    started = time.perf_counter()
    frame = pl.read_csv(path) if path.suffix == ".csv" else pl.read_ndjson(path)
    out.mkdir()
    frame.write_parquet(out / "x.parquet")
    report(started, frame.height)


def report(started: float, rows: int) -> None:
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({"seconds": seconds, "rows": rows, "peak": peak}))


def measured(way: str, path: Path, runs: int) -> tuple[float, int, int]:
    """Median seconds, rows and greatest peak (bytes) of fresh processes."""
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, __file__, "--run", way, str(path), str(Path(out) / "lake")]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
    seconds = statistics.median(f["seconds"] for f in found)
    return seconds, found[0]["rows"], max(f["peak"] for f in found)


def compare(path: Path) -> None:
    size = path.stat().st_size
    mine, rows, peak = measured("ours", path, 3)
    theirs, _, their_peak = measured("peer", path, 3)
    print(f"{path.name}: {rows:,} rows, {size / 1e6:,.0f} MB")
    print(
        f"  cloudbound {mine:6.2f} s {rows / mine / 1e3:7.0f} k rows/s, peak {peak / 1e6:,.0f} MB"
    )
    print(
        f"  polars     {theirs:6.2f} s {rows / theirs / 1e3:7.0f} k rows/s, peak {their_peak / 1e6:,.0f} MB"
    )
    print(f"  share of polars' speed {theirs / mine:.2f}")


def big(path: Path, gigabytes: float) -> None:
    write_focus(path, 200_000, int(gigabytes * 1e9))
    seconds, rows, peak = measured("ours", path, 1)
    size = path.stat().st_size
    print(f"{path.name}: {rows:,} rows, {size / 1e9:.2f} GB")
    print(
        f"  cloudbound {seconds:6.1f} s, {size / seconds / 1e6:,.0f} MB/s, peak {peak / 1e9:.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--gb", type=float, default=5)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        way, path, out = given.run
        {"ours": ours, "peer": peer}[way](Path(path), Path(out))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "landing" / "source"
        source.mkdir(parents=True)
        if given.big:
            big(source / "focus.csv", given.gb)
            return
        write_focus(source / "focus.csv", given.rows)
        compare(source / "focus.csv")
        (source / "focus.csv").unlink()
        write_requests(source / "requests.jsonl", given.rows)
        compare(source / "requests.jsonl")


if __name__ == "__main__":
    main()
