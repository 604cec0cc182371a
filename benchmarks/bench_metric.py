"""Every table of sql/journey and sql/metric, against a plain scan of the columns that they read.

    python benchmarks/bench_metric.py FOLDER [--teams 1000000] [--days 90] [--memory 4GB]

FOLDER gets a build file of facts (facts.py) the first time and keeps it. Prints the seconds of
each table (median of the runs), their sum, and its ratio to the scan.
"""

import argparse
import os
import resource
import statistics
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import facts
from pipelines import night, settings, sql_assets, warehouse

# The columns of the facts that the journey and the headline read.
SCAN = (
    "select count(*), min(usage_on), min(team_id), sum(accepted) from fact.member_days",
    "select count(*), min(usage_on), min(team_id), min(model), min(task), sum(accepted) from fact.usage_days",
    "select count(*), min(usage_on), min(team_id), min(family), min(provider), sum(net_cny) from fact.charge_days",
    "select count(*), min(team_id), min(plan), min(event), min(occurred_at), min(period_start_on), "
    "min(period_end_on), sum(net_amount) from fact.subscriptions",
    "select count(*), min(team_id), min(region), min(industry), min(channel) from fact.teams",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teams", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="tables whose name contains this")
    given = parser.parse_args()
    os.environ["CLOUDBOUND_MEMORY"] = given.memory
    given.folder.mkdir(parents=True, exist_ok=True)
    build = given.folder.resolve() / "build.duckdb"
    if build.is_file():
        places = settings.Settings(build.parent, settings.CHECKOUT / "data" / "reference")
        work = night.prepare(places)
    else:
        started = time.perf_counter()
        work = facts.fill(build, given.teams, given.days)
        print(f"facts made in {time.perf_counter() - started:.0f} s")
    seconds: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    scans, scan_cpu = [], []
    assets = [
        a
        for a in sql_assets.load_all()
        if a.schema in ("journey", "metric") and given.only in a.name
    ]
    for _ in range(given.runs):
        started, used = time.perf_counter(), time.process_time()
        with warehouse.build(build) as con:
            for query in SCAN:
                con.execute(query).fetchall()
        scans.append(time.perf_counter() - started)
        scan_cpu.append(time.process_time() - used)
        for asset in assets:
            started, used = time.perf_counter(), time.process_time()
            night.run_sql(work, asset)
            seconds[asset.name].append(time.perf_counter() - started)
            cpu[asset.name].append(time.process_time() - used)
    scan = statistics.median(scans)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    with warehouse.build(build) as con:
        for name in ("fact.member_days", "fact.charge_days", "journey.teams"):
            rows = warehouse.one(con, f"select count(*) from {name}")
            print(f"{name:32} {rows[0] if rows else 0:>14,} rows")
    for name, median in medians.items():
        print(f"{name:32} {median:8.2f} s {median / scan:7.2f} x   cpu {min(cpu[name]):.2f} s")
    print(f"{'scan':32} {scan:8.2f} s             cpu {min(scan_cpu):.2f} s")
    journey = sum(m for name, m in medians.items() if name.startswith("journey."))
    print(f"{'journey':32} {journey:8.2f} s {journey / scan:7.2f} x")
    print(f"{'all':32} {sum(medians.values()):8.2f} s {sum(medians.values()) / scan:7.2f} x")
    used = sum(min(times) for times in cpu.values())
    print(f"{'processor time':32} {used:8.2f} s {used / min(scan_cpu):7.2f} x")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
