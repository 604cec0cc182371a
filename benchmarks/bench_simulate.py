"""How fast worlds are made, and that memory does not grow with their days.

    python benchmarks/bench_simulate.py [--rows-per-day 400000] [--teams 50000] [--days 60]
                                        [--world healthy]

Prints request rows a second for the request stage (drawn, encoded and written as Parquet), the time
of the whole world, and the peak memory of a short and of a twice as long world.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

TARGET_ROWS_PER_SECOND = 3_000_000
PROCESSES = 2


def measure(
    world: str, teams: int, days: int, rows_per_day: int | None, processes: int
) -> dict[str, float]:
    """One world in a fresh process: seconds by stage, rows, peak MB of it and its workers."""
    from pipelines.simulate.world import simulate

    folder = Path(tempfile.mkdtemp(prefix="bench-simulate-"))
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}

    def note(stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        begun.setdefault(stage, max([*ended.values(), start]))
        ended[stage] = now

    start = time.perf_counter()
    try:
        made = simulate(
            folder / "landing",
            teams=teams,
            days=days,
            seed=1,
            world=world,
            rows_per_day=rows_per_day,
            processes=processes,
            progress=note,
        )
        whole = time.perf_counter() - start
        written = sum(p.stat().st_size for p in (folder / "landing/gateway").glob("*.parquet"))
    finally:
        shutil.rmtree(folder)
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        "rows": made.request_rows,
        "request_seconds": ended["request rows"] - begun["request rows"],
        "whole_seconds": whole,
        "peak_mb": peak / 1024,
        "parquet_mb": written / 1e6,
    }


def fresh(*job: Any) -> dict[str, float]:
    """`measure` in a process of its own, so that peaks do not mix."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *job).result()


def rows_per_core_second(teams: int, days: int, rows_per_day: int) -> float:
    """Request rows per second of one core's own time: what a busy machine can't blur."""
    from pipelines.simulate import world

    settings = world._checked(teams, days, 1, world.START, None, 0.2, None, "healthy", 1)
    settings = replace(settings, scale=world._scale(settings, rows_per_day))
    folder = Path(tempfile.mkdtemp(prefix="bench-simulate-"))
    try:
        (folder / "gateway").mkdir()
        (folder / "litellm").mkdir()
        world._requests(settings, folder, 0, 1)
        start = time.process_time()
        written = world._requests(settings, folder, days - 4, days)
        spent = time.process_time() - start
    finally:
        shutil.rmtree(folder)
    return sum(w.rows for w in written) / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rows-per-day", type=int, default=400_000, help="0: as the world has it")
    parser.add_argument("--world", default="healthy")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, {PROCESSES} processes")
    if asked.rows_per_day:
        own = rows_per_core_second(asked.teams, asked.days, asked.rows_per_day)
        print(f"one core's own time: {own / 1e6:.2f}M request rows/s drawn, encoded and written")
    for days in (asked.days, 2 * asked.days):
        got = fresh(asked.world, asked.teams, days, asked.rows_per_day or None, PROCESSES)
        speed = got["rows"] / got["request_seconds"]
        verdict = "meets" if speed >= TARGET_ROWS_PER_SECOND else "misses"
        print(
            f"{days:>4} days {got['rows'] / 1e6:7.1f}M rows:"
            f" requests {got['request_seconds']:6.1f} s"
            f" = {speed / 1e6:.2f}M rows/s ({verdict} {TARGET_ROWS_PER_SECOND / 1e6:.0f}M),"
            f" whole world {got['whole_seconds']:6.1f} s, {got['parquet_mb']:.0f} MB Parquet,"
            f" peak {got['peak_mb']:.0f} MB a process"
        )


if __name__ == "__main__":
    main()
