"""Landing to lake, against polars reading the same file and writing it as Parquet.

    python benchmarks/bench_ingest.py [--rows N]      a FOCUS CSV, a log of requests as JSONL in
                                                      order of time, the same shuffled; 5 pairs each
    python benchmarks/bench_ingest.py --big [--gb 5]  one FOCUS CSV of that size: peak memory

Cloudbound detects the format, reads with every decimal exact, holds the contracts, splits charges
into business days and writes one file a day. The peer infers a schema and writes one file. They
run in turn, and the share is the median of the peer's time over ours: 1 is polars' speed; by
processor time it says what the work costs, by the clock also how well it uses all cores, which
needs an idle machine. Files are made in a temporary folder (TMPDIR) and deleted; each measured
run is a process of its own, so that peaks don't mix.
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


def write_requests(path: Path, rows: int, is_log: bool) -> None:
    """Requests of a month as the canonical JSON Lines, a log's in order of time."""
    pick = random.Random(7)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = [pick.randrange(30 * 86_400) for _ in range(rows)]
    with path.open("w", encoding="utf-8") as file:
        for number, second in enumerate(sorted(seconds) if is_log else seconds):
            at = start + timedelta(seconds=second)
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
    started = now_in_seconds()
    (entry,) = lake.load([file], context, lambda *_: None)
    report(started, entry.rows_read)
    assert entry.rejected == 0 and not entry.whole_file_reason, entry


def peer(path: Path, out: Path) -> None:
    import polars as pl

    started = now_in_seconds()
    frame = pl.read_csv(path) if path.suffix == ".csv" else pl.read_ndjson(path)
    out.mkdir()
    frame.write_parquet(out / "x.parquet")
    report(started, frame.height)


def now_in_seconds() -> tuple[float, float]:
    """By the clock, and of the processors."""
    return time.perf_counter(), time.process_time()


def report(started: tuple[float, float], rows: int) -> None:
    clock, processor = (b - a for a, b in zip(started, now_in_seconds(), strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({"clock": clock, "processor": processor, "rows": rows, "peak": peak}))


def measured(way: str, path: Path) -> dict[str, float]:
    """Seconds by clock and processor, rows and peak (bytes) of a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "--run", way, str(path), str(Path(out) / "lake")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def compare(path: Path) -> None:
    pairs = [(measured("ours", path), measured("peer", path)) for _ in range(5)]
    print(f"{path.name}: {pairs[0][0]['rows']:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
    for name, runs in zip(("cloudbound", "polars"), zip(*pairs, strict=True), strict=True):
        clock, processor = (statistics.median(r[k] for r in runs) for k in ("clock", "processor"))
        print(
            f"  {name:10} {clock:6.2f} s, {processor:6.2f} s of processor, "
            f"peak {max(r['peak'] for r in runs) / 1e6:,.0f} MB"
        )
    for by in ("clock", "processor"):
        shares = sorted(theirs[by] / mine[by] for mine, theirs in pairs)
        print(f"  by {by} {statistics.median(shares):.2f} of polars' speed", end=" ")
        print(f"({shares[0]:.2f} to {shares[-1]:.2f})")


def big(path: Path, gigabytes: float) -> None:
    write_focus(path, 200_000, int(gigabytes * 1e9))
    run = measured("ours", path)
    size = path.stat().st_size
    print(f"{path.name}: {run['rows']:,} rows, {size / 1e9:.2f} GB")
    print(
        f"  cloudbound {run['clock']:6.1f} s, {run['processor']:6.1f} s of processor, "
        f"peak {run['peak'] / 1e9:.2f} GB"
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
        for name in ("log.jsonl", "shuffled.jsonl"):
            write_requests(source / name, given.rows, is_log=name == "log.jsonl")
            compare(source / name)
            (source / name).unlink()


if __name__ == "__main__":
    main()
