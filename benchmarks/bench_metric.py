"""Every table of sql/journey and sql/metric, and the grid of definitions, against plain scans.

    python -m benchmarks.bench_metric FOLDER [--teams 1000000] [--days 90] [--memory 4GB]

FOLDER gets a build file of facts (facts.py) the first time and keeps it. Each table is made whole, as
a first night makes it, its checks included. Prints the seconds of each (median of the runs) and the processor
seconds (what other work on the machine doesn't lengthen much), against two scans: that of the columns
that the table itself needs, and that of the columns of facts that any of them needs, once. DuckDB's
plans say which columns these are. Then what a group by and a forward window cost by themselves.
"""

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import facts
from pipelines import night, rerun, settings, sql_assets, warehouse
from pipelines.night import Night
from pipelines.sql_assets import SqlAsset

SCHEMAS = ("journey", "metric")
# What no table of team days can do without, each by itself.
FLOORS = {
    "group by team and day": "create or replace temp table floor as select team_id, usage_on, "
    "sum(net_cny) as net_cny from fact.charge_days group by all",
    "window of 28 days": "create or replace temp table floor as select team_id, usage_on, "
    "sum(net_cny) over (partition by team_id order by (usage_on - date '1970-01-01')::int "
    "range between current row and 27 following) as net_cny from journey.workload_days",
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


Cost = tuple[float, float]


def _sum(costs: Iterable[Cost]) -> Cost:
    walls, used = zip(*costs, strict=True)
    return sum(walls), sum(used)


def median(work: Callable[[], object], runs: int) -> Cost:
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


def needed(work: Night, asset: SqlAsset) -> dict[str, set[str]]:
    """Table -> columns of it that the query's plan reads."""
    found: dict[str, set[str]] = {}
    with warehouse.build(work.settings.build) as con:
        bound = asset.values(night.parameters(con, work.definition))
        plan = warehouse.one(con, f"explain (format json) {asset.query}", bound or None)
    assert plan is not None
    for node in _nodes(json.loads(plan[1])):
        extra = node.get("extra_info", {})
        if "Table" in extra:
            columns = extra.get("Projections", [])
            names = {columns} if isinstance(columns, str) else set(columns)
            found.setdefault(extra["Table"], set()).update(names)
    return found


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    for node in plan if isinstance(plan, list) else [plan]:
        yield node
        yield from _nodes(node.get("children", []))


def scans(columns: Mapping[str, set[str]]) -> list[str]:
    """A query for each table that reads these columns of all its rows."""
    return [
        "select "
        + ", ".join(["count(*)", *(f'min("{name}")' for name in sorted(names) if name)])
        + f" from {table}"
        for table, names in columns.items()
    ]


def make(work: Night, asset: SqlAsset) -> None:
    """The whole table, also where a night makes only the days that changed."""
    if asset.days:
        ask(work.settings.build, "drop table if exists ops.made_days")
    night.run_sql(work, asset)


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
    costs: list[tuple[str, Cost, Cost]] = []
    facts_read: dict[str, set[str]] = {}
    for asset in (a for a in sql_assets.load_all() if a.schema in SCHEMAS):
        columns = needed(work, asset)
        for table in (t for t in columns if ".fact." in t):
            facts_read.setdefault(table, set()).update(columns[table])
        own = median(partial(ask, build, *scans(columns)), given.runs)
        cost = median(partial(make, work, asset), given.runs)
        print(f"{asset.name:30} {cost[0]:8.2f} s", flush=True)
        costs.append((asset.name, cost, own))
    scan = median(partial(ask, build, *scans(facts_read)), given.runs)

    def show(name: str, cost: Cost, own: Cost | None = None) -> None:
        against = [f"{c:8.2f} s {c / s:6.1f} x" for c, s in zip(cost, scan, strict=True)]
        if own:
            against += [f"{c / s:6.1f} x" for c, s in zip(cost, own, strict=True)]
        print(f"{name:30}", *against, flush=True)

    print("wall and processor, each against the scan of the facts, then against the own scan")
    show("scan of the facts", scan)
    for name, cost, own in costs:
        show(name, cost, own)
    for schemas in (*((schema,) for schema in SCHEMAS), SCHEMAS):
        part = [row for row in costs if row[0].partition(".")[0] in schemas]
        show(" and ".join(schemas), _sum(c for _, c, _ in part), _sum(o for _, _, o in part))
    with warehouse.build(build) as con:
        show("grid of definitions", median(partial(rerun.grid, con, work.definition), 1))
    for name, query in FLOORS.items():
        show(name, median(partial(ask, build, query), given.runs))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
