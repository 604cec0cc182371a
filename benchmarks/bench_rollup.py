"""Requests to daily facts, against a plain DuckDB scan of the same columns of the same files.

    python benchmarks/bench_rollup.py DATA [--days N]

DATA is a data folder whose lake is filled (cloudbound demo makes one). Prints the median of three
runs of each and their ratio: exact de-duplication, member days, usage days with token costs.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from pipelines import lake, night, settings, warehouse
from pipelines.rollup import requests


def median_seconds(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--days", type=int, default=366)
    given = parser.parse_args()
    places = settings.Settings(
        data=given.data.resolve(), reference=settings.CHECKOUT / "data" / "reference"
    )
    work = night.prepare(places)
    entries = night.entries_of(work)
    spans = night.team_spans(work, entries)
    days = dict(islice(lake.days_of(entries, "requests").items(), given.days))
    paths = [str(e.path(places.lake, str(d))) for d, found in days.items() for e in found]

    def roll_up() -> None:
        for batch in requests.batches(days):
            requests.roll_up(batch, places.lake, spans, work.reference)

    columns = ", ".join(f"min({c})" for c in ("request_id", "received_at", *requests.CONTENT))

    def scan() -> None:
        with warehouse.scratch() as con:
            con.execute(f"select count(*), {columns} from read_parquet($paths)", {"paths": paths})

    rows = sum(e.days[str(d)] for d, found in days.items() for e in found)
    rolled, scanned = median_seconds(roll_up), median_seconds(scan)
    print(f"{rows:,} rows in {len(paths)} files over {len(days)} days")
    print(f"roll up  {rolled:6.2f} s  {rolled / rows * 1e9:6.0f} ns a row")
    print(f"scan     {scanned:6.2f} s  {scanned / rows * 1e9:6.0f} ns a row")
    print(f"ratio    {rolled / scanned:6.2f}")


if __name__ == "__main__":
    main()
