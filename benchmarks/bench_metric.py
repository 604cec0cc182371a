"""Every table of sql/journey and sql/metric, and the grid of definitions, against plain scans.

    python -m benchmarks.bench_metric FOLDER [--teams 1000000] [--days 90] [--memory 4GB]

FOLDER gets a build file of facts (facts.py) the first time and keeps it. Each table is made as a
night makes it, its checks included. Prints the seconds of each (median of the runs), the processor
seconds (what other work on the machine doesn't lengthen much), and their sum against a scan of the
columns that all of them read; then what a group by and a forward window cost by themselves.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import facts
from pipelines import night, rerun, settings, sql_assets, warehouse
from pipelines.night import Night

# The columns of the facts that the journey and the headline read.
SCAN = (
    "select count(*), min(usage_on), min(team_id), sum(accepted) from fact.member_days",
    "select count(*), min(usage_on), min(team_id), min(model), min(task), sum(accepted) from fact.usage_days",
    "select count(*), min(usage_on), min(team_id), min(family), min(provider), sum(net_cny) from fact.charge_days",
    "select count(*), min(team_id), min(plan), min(event), min(occurred_at), min(period_start_on), "
    "min(period_end_on), sum(net_amount) from fact.subscriptions",
    "select count(*), min(team_id), min(region), min(industry), min(channel) from fact.teams",
)
# What no table of team days can do without, each by itself.
FLOORS = {
    "group by team and day": "create or replace temp table floor as select team_id, usage_on, "
    "sum(net_cny) as net_cny from fact.charge_days group by all",
    "window of 28 days": "create or replace temp table floor as select team_id, usage_on, "
    "sum(net_cny) over (partition by team_id order by usage_on range between current row "
    "and to_days(27) following) as net_cny from journey.workload_days",
}


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
    print(f"facts made in {time.perf_counter() - started:.0f} s")
    return work


def median(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median wall and processor seconds."""
    walls, used = [], []
    for _ in range(runs):
        wall, own = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        used.append(time.process_time() - own)
    return statistics.median(walls), statistics.median(used)


def ask(build: Path, *queries: str) -> None:
    with warehouse.build(build) as con:
        for query in queries:
            con.execute(query).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teams", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    os.environ["CLOUDBOUND_MEMORY"] = given.memory
    work = prepare(given.folder, given.teams, given.days)
    build = work.settings.build
    with warehouse.build(build) as con:
        for name in ("member_days", "usage_days", "charge_days"):
            rows = warehouse.one(con, f"select count(*) from fact.{name}")
            print(f"fact.{name:28} {rows[0] if rows else 0:>14,} rows")
    scan = median(lambda: ask(build, *SCAN), given.runs)

    def show(name: str, cost: tuple[float, float]) -> None:
        print(
            f"{name:32} {cost[0]:8.2f} s {cost[0] / scan[0]:7.2f} x   processor {cost[1]:7.2f} s "
            f"{cost[1] / scan[1]:7.2f} x",
            flush=True,
        )

    show("scan", scan)
    sums = {"journey": (0.0, 0.0), "metric": (0.0, 0.0)}
    for asset in sql_assets.load_all():
        if asset.schema in sums:
            cost = median(lambda asset=asset: night.run_sql(work, asset), given.runs)  # type: ignore[misc]
            show(asset.name, cost)
            sums[asset.schema] = tuple(map(sum, zip(sums[asset.schema], cost, strict=True)))  # type: ignore[assignment]
    for schema, cost in sums.items():
        show(schema, cost)
    with warehouse.build(build) as con:
        show("grid of definitions", median(lambda: rerun.grid(con, work.definition), 1))
    for name, query in FLOORS.items():
        show(name, median(lambda query=query: ask(build, query), given.runs))  # type: ignore[misc]
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
