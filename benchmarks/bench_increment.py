"""What one more day costs, against rebuilding everything: from landed files to published numbers.

    python -m benchmarks.bench_increment FOLDER [--teams 1000000] [--days 90] [--rows 1200000]

Makes a landing of `--days` days and one more, runs a night over the first (the history), a night
over the whole (the increment), and in a second data folder one night over the whole from nothing
(the rebuild). Each step is timed, wall and processor; the published tables of both must be equal.

A day is a file of requests (a few thousand of them late ones of the day before), one of plan
events and one of charges, each account billed by the day. Bills that are re-stated month to date
cost the month to date again, whatever the rest does.
"""

import argparse
import inspect
import resource
import shutil
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl

from benchmarks import lake_days
from pipelines import accounts, night, prints, warehouse
from tests import driver

LATE_ROWS = 4_000
HASHES = "select name, hash from ops.table_hashes order by name"


def write_day(landing_folder: Path, number: int, teams: int, days: int, rows: int) -> None:
    """The files that arrive on day `number`."""
    on = lake_days.START + timedelta(days=number)
    charged = rows // 6
    _requests(
        landing_folder / "gateway" / f"requests-{on}.parquet", on, number, rows - charged, teams
    )
    _events(landing_folder / "plan" / f"events-{on}.parquet", on, number, teams, days)
    _charges(landing_folder / "cloud" / str(on) / "bill.parquet", on, number, charged, teams)


def _requests(path: Path, on: date, number: int, rows: int, teams: int) -> None:
    frame = lake_days.day(on, number, rows - LATE_ROWS, teams)
    if number:
        before = lake_days.day(on - timedelta(days=1), number - 1, LATE_ROWS, teams)
        late = before.with_columns(request_id=pl.concat_str(pl.lit("late-"), "request_id"))
        frame = pl.concat([frame, late])
    _write(frame.drop("line"), path)


def _events(path: Path, on: date, number: int, teams: int, days: int) -> None:
    """Every team starts once in the first two thirds of the days and renews every 30."""
    team = np.arange(teams)
    starts = (team * 7_919) % max(1, days * 2 // 3)
    age = number - starts
    due = team[(age >= 0) & (age % 30 == 0)]
    begins = datetime(on.year, on.month, on.day, 4, tzinfo=UTC)
    frame = pl.DataFrame({"team": due, "age": age[due]}).select(
        event_id=pl.format("evt-{}-{}", "team", "age"),
        team=pl.concat_str(pl.lit("team-"), pl.col("team").cast(pl.String).str.zfill(9)),
        plan=pl.when(pl.col("team") % 5 == 0).then(pl.lit("pro")).otherwise(pl.lit("lite")),
        event=pl.when(pl.col("age") == 0).then(pl.lit("started")).otherwise(pl.lit("renewed")),
        occurred_at=pl.lit(begins), period_start=pl.lit(begins),
        period_end=pl.lit(begins + timedelta(days=30)),
        list_amount=pl.lit("40"), net_amount=pl.lit("40"), currency=pl.lit("CNY"),
        promotion=pl.lit(None, pl.String),
    )  # fmt: skip
    _write(frame, path)


def _charges(path: Path, on: date, number: int, rows: int, teams: int) -> None:
    """Every fifth team moves at some time; the day bills the first `rows` that have."""
    team = np.arange(0, teams, 5)
    moved = team[(team * 104_729) % 200 <= number + 60][:rows]
    starts = datetime(on.year, on.month, on.day, tzinfo=UTC)
    cents = (moved * 31 + number) % 700 + 50
    frame = pl.DataFrame({"team": moved, "cents": cents}).select(
        BillingAccountId=pl.concat_str(pl.lit("team-"), pl.col("team").cast(pl.String).str.zfill(9)),
        ProviderName=pl.lit("Alibaba Cloud"), ServiceProviderName=pl.lit("Alibaba Cloud"),
        ServiceName=pl.lit("Elastic Compute Service"), ServiceCategory=pl.lit("Compute"),
        ChargeCategory=pl.lit("Usage"), ChargePeriodStart=pl.lit(starts),
        ChargePeriodEnd=pl.lit(starts + timedelta(days=1)), BillingPeriodStart=pl.lit(starts),
        BilledCost=pl.format("{}.{}", pl.col("cents") // 100, (pl.col("cents") % 100).cast(pl.String).str.zfill(2)),
        BillingCurrency=pl.lit("CNY"),
    ).with_columns(EffectiveCost="BilledCost", ListCost="BilledCost", ContractedCost="BilledCost")  # fmt: skip
    _write(frame, path)


def _write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, compression="zstd", compression_level=1)


def write_directory(landing_folder: Path, teams: int) -> None:
    """One file of teams; nothing is linked, so each account is its own team."""
    path = landing_folder / "directory" / "teams.parquet"
    team = pl.int_range(teams, eager=True)
    frame = pl.DataFrame({"n": team}).select(
        team_id=pl.concat_str(pl.lit("team-"), pl.col("n").cast(pl.String).str.zfill(9)),
        region=pl.when(pl.col("n") % 4 == 0).then(pl.lit("global")).otherwise(pl.lit("domestic")),
        industry=pl.format("industry {}", pl.col("n") % 8), channel=pl.format("channel {}", pl.col("n") % 4),
        opened_at=pl.lit(datetime(2025, 12, 1, tzinfo=UTC)),
    )  # fmt: skip
    _write(frame, path)


Steps = dict[str, tuple[float, float]]


class Timed:
    """A module of the night with a clock at every function; sql is told apart by its table."""

    def __init__(self, module: ModuleType, steps: Steps) -> None:
        self._module, self._steps = module, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return partial(self._timed, name, found) if inspect.isfunction(found) else found

    def _timed(self, name: str, function: Callable[..., Any], *given: Any, **more: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        answer = function(*given, **more)
        step = given[1].name if name == "run_sql" else name
        self._steps[step] = (time.perf_counter() - wall, time.process_time() - cpu)
        return answer


def run(data: Path, run_id: str) -> Steps:
    """One night without Dagster, each step's wall and processor seconds."""
    steps: Steps = {}
    for name, module in (("night", night), ("accounts", accounts), ("prints", prints)):
        setattr(driver, name, Timed(module, steps))
    driver.run(data, run_id=run_id)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teams", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rows", type=int, default=1_200_000, help="requests and charges a day")
    given = parser.parse_args()
    grown, whole = given.folder / "grown", given.folder / "whole"
    shutil.rmtree(given.folder, ignore_errors=True)
    write_directory(grown / "landing", given.teams)
    for number in range(given.days):
        write_day(grown / "landing", number, given.teams, given.days, given.rows)
    history = run(grown, "history")
    write_day(grown / "landing", given.days, given.teams, given.days, given.rows)
    increment = run(grown, "increment")
    # The same bytes under a second name: hard links.
    shutil.copytree(grown / "landing", whole / "landing", copy_function=_link)
    rebuild = run(whole, "rebuild")
    show(rebuild, increment)
    with warehouse.published(grown / "cloudbound.duckdb") as con:
        found = con.execute(HASHES).fetchall()
    with warehouse.published(whole / "cloudbound.duckdb") as con:
        print("published tables equal:", found == con.execute(HASHES).fetchall())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{given.teams:,} teams, {given.days} days, {given.rows:,} rows a day; peak {peak:.0f} MB"
    )
    del history


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def show(rebuild: Steps, increment: Steps) -> None:
    """A row per step: wall and processor seconds of both, and how much of the rebuild it is."""
    print(f"{'step':34} {'rebuild':>9} {'cpu':>8} {'increment':>10} {'cpu':>8}")
    for name, (wall, cpu) in rebuild.items():
        more, more_cpu = increment[name]
        print(f"{name:34} {wall:9.2f} {cpu:8.2f} {more:10.2f} {more_cpu:8.2f}")
    sums = [
        sum(times[clock] for times in steps.values())
        for steps in (rebuild, increment)
        for clock in (0, 1)
    ]
    print(f"{'all':34} {sums[0]:9.2f} {sums[1]:8.2f} {sums[2]:10.2f} {sums[3]:8.2f}")
    print(f"increment / rebuild: wall {sums[2] / sums[0]:.2f}, processor {sums[3] / sums[1]:.2f}")


if __name__ == "__main__":
    main()
