"""The analyses beyond the number at a million teams, each against a plain scan of what it reads.

    python -m benchmarks.bench_analyses FOLDER [--teams 1000000] [--days 240] [--memory 4GB] [--only NAME]

FOLDER gets a build file (facts.py, an experiment and channel costs, then all of sql/journey and the
headline's tables) the first time and keeps it. Then each table is made as a night makes it, its
checks included. Prints the seconds of each (median of the runs), the processor seconds (what other
work on the machine doesn't lengthen much), the ratio of these to those of the scan (min of every
column of the tables behind it that its SQL names), and the peak memory.
"""

import argparse
import os
import re
import resource
import statistics
import time
from pathlib import Path

from benchmarks import facts
from pipelines import night, settings, sql_assets, warehouse
from pipelines.night import Night
from pipelines.sql_assets import SqlAsset

ANALYSES = (
    "journey.quota_states", "journey.plan_cycles", "journey.early_usage", "journey.team_months",
    "metric.quadrants", "metric.quota_maximisers", "metric.quota_friction",
    "metric.model_mix_retention", "metric.model_switches", "metric.task_conversion",
    "metric.plan_retention", "metric.workload_retention", "metric.trap_index",
    "metric.incrementality", "metric.experiments", "metric.matched_controls", "metric.channels",
    "metric.unit_economics", "metric.cost_scenarios", "metric.decision_numbers",
    "metric.decisions",
)  # fmt: skip
_ASSIGNMENTS = """
insert into fact.assignments
select
    team_id,
    'launch-offer' as experiment,
    case when hash(team_id) % 100 < 15 then 'holdout' else 'offer' end as arm,
    opened_at - to_days(2) as assigned_at
from fact.teams
"""
_CHANNEL_COSTS = """
insert into fact.channel_costs
select
    date_trunc('month', opened_at)::date as month_on,
    channel,
    120 * count(*) as spend,
    'CNY' as currency
from fact.teams
group by all
"""


def prepare(folder: Path, teams: int, days: int) -> Night:
    """The night over the folder's build file, made when it isn't there."""
    folder.mkdir(parents=True, exist_ok=True)
    build = folder.resolve() / "build.duckdb"
    if build.is_file():
        return night.prepare(
            settings.Settings(build.parent, settings.CHECKOUT / "data" / "reference")
        )
    started = time.perf_counter()
    work = facts.fill(build, teams, days)
    with warehouse.build(build) as con:
        con.execute(_ASSIGNMENTS)
        con.execute(_CHANNEL_COSTS)
    for asset in sql_assets.load_all():
        if asset.schema in ("journey", "metric"):
            night.run_sql(work, asset)
    print(f"facts and journey made in {time.perf_counter() - started:.0f} s")
    return work


def scan(work: Night, asset: SqlAsset) -> float:
    """Processor seconds to read every column that the asset names, of every table that it reads."""
    words = set(re.findall(r"[a-z_0-9]+", asset.query))
    with warehouse.build(work.settings.build) as con:
        queries = []
        for table in asset.depends_on:
            if warehouse.exists(con, table):
                columns = [c for c in sql_assets.column_types(con, table) if c in words]
                shown = ", ".join(f'min("{c}")' for c in columns) or "count(*)"
                queries.append(f"select {shown} from {table}")
        started = time.process_time()
        for query in queries:
            con.execute(query).fetchall()
        return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teams", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=240)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="tables whose name contains this")
    given = parser.parse_args()
    os.environ["CLOUDBOUND_MEMORY"] = given.memory
    work = prepare(given.folder, given.teams, given.days)
    assets = {a.name: a for a in sql_assets.load_all()}
    total = 0.0
    for name in (n for n in ANALYSES if given.only in n):
        seconds, worked, scans = [], [], []
        for _ in range(given.runs):
            scans.append(scan(work, assets[name]))
            started, before = time.perf_counter(), time.process_time()
            night.run_sql(work, assets[name])
            seconds.append(time.perf_counter() - started)
            worked.append(time.process_time() - before)
        own, plain = statistics.median(worked), statistics.median(scans)
        total += own
        print(
            f"{name:30} {statistics.median(seconds):7.2f} s, processor {own:7.2f} s, "
            f"scan {plain:6.2f} s, {own / plain:6.1f} x",
            flush=True,
        )
    print(f"{'all':30} processor {total:7.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
