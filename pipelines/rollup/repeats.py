"""Request ids that stand on more than one business day: each day counts, and their number warns.

Belongs here: the counting. Does not belong here: duplicates within a day (requests.py).

A gateway that delivers a request again weeks later says so in no other way, but to look for that
every night would mean to read all of history: a day is held against the WINDOW days before it.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.lake import Entry

WINDOW = 7  # days
REPEATED_IDS: dict[str, Any] = {"usage_on": pl.Date, "source": pl.String, "ids": pl.Int64}
Ids = dict[str, npt.NDArray[np.uint64]]


def looked_at(changed: Iterable[date]) -> list[date]:
    """Days whose count may differ when these changed."""
    return sorted({day + timedelta(days=n) for day in changed for n in range(WINDOW + 1)})


def repeated_ids(days: dict[date, list[Entry]], lake: Path, looked: Iterable[date]) -> pl.DataFrame:
    """usage_on, source, ids: how many of the day's ids also stand on one of the days before.

    Holds the 64-bit hashes of WINDOW + 1 days at a time.
    """
    known: dict[date, Ids] = {}
    rows: list[tuple[date, str, int]] = []
    for day in sorted(d for d in looked if d in days):
        before = [day - timedelta(days=n) for n in range(1, WINDOW + 1)]
        known = {d: ids for d, ids in known.items() if d >= before[-1]}
        for d in (*before, day):
            if d in days and d not in known:
                known[d] = _ids(days[d], lake, d)
        for source, ids in known[day].items():
            earlier = [known[d][source] for d in before if d in known and source in known[d]]
            found = sum(np.isin(ids, other, assume_unique=True) for other in earlier)
            if earlier and (count := int(np.count_nonzero(found))):
                rows.append((day, source, count))
    return pl.DataFrame(rows, schema=REPEATED_IDS, orient="row")


def _ids(entries: list[Entry], lake: Path, day: date) -> Ids:
    found: Ids = {}
    for source in sorted({e.source for e in entries}):
        paths = [str(e.path(lake, str(day))) for e in entries if e.source == source]
        scan = pl.scan_parquet(paths, glob=False)
        hashes = scan.select(pl.col("request_id").hash()).collect(engine="streaming")
        found[source] = np.unique(hashes["request_id"].to_numpy())
    return found
