"""Request ids that stand on more than one business day: each day counts, and their number warns.

Belongs here: the counting. Does not belong here: duplicates within a day (requests.py).

A gateway that delivers a request again weeks later says so in no other way, but to look for that
every night would mean to read all of history: a day is held against the WINDOW days before it.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.lake import ROWS_AT_ONCE, Days, batches

WINDOW = 7  # days
# Every batch is sorted together with the WINDOW days before it: a small one would sort them anew.
IDS_AT_ONCE = 4 * ROWS_AT_ONCE
REPEATED_IDS: dict[str, Any] = {"usage_on": pl.Date, "source": pl.String, "ids": pl.Int64}
_IDS = {"usage_on": pl.Date, "id": pl.UInt64}


def looked_at(changed: Iterable[date]) -> list[date]:
    """Days whose count may differ when these changed."""
    return sorted({day + timedelta(days=n) for day in changed for n in range(WINDOW + 1)})


def repeated_ids(
    days: Days, lake: Path, looked: Iterable[date], rows_per_batch: int = IDS_AT_ONCE
) -> pl.DataFrame:
    """usage_on, source, ids: how many of the day's ids also stand on one of the days before.

    Holds the 64-bit hashes of a batch and of the WINDOW days before it.
    """
    looked = sorted(d for d in looked if d in days)
    read = {d + timedelta(days=-n) for d in looked for n in range(WINDOW + 1)} & days.keys()
    sources = sorted({e.source for d in read for e in days[d]})
    found = [pl.DataFrame(schema=REPEATED_IDS)]
    for source in sources:
        of_source = {d: [e for e in days[d] if e.source == source] for d in sorted(read)}
        before = pl.DataFrame(schema=_IDS)
        present = {d: entries for d, entries in of_source.items() if entries}
        for batch in batches(present, rows_per_batch):
            ids = pl.concat([before, _ids(batch, lake)])
            counted = sorted(batch.keys() & set(looked))
            again = _again(ids).filter(pl.col("usage_on").is_in(counted))
            found.append(again.select("usage_on", pl.lit(source).alias("source"), "ids"))
            before = ids.filter(pl.col("usage_on") > max(batch) - timedelta(days=WINDOW))
    return pl.concat(found).sort("usage_on", "source")


def _again(ids: pl.DataFrame) -> pl.DataFrame:
    """usage_on, ids: those that stand on one of the WINDOW days before, too."""
    in_order = ids["id"].sort()
    meeting = in_order.filter(in_order == in_order.shift()).unique()
    suspects = ids.filter(pl.col("id").is_in(meeting.implode())).unique().sort("id", "usage_on")
    is_again = (pl.col("id") == pl.col("id").shift()) & (
        pl.col("usage_on") - pl.col("usage_on").shift() <= timedelta(days=WINDOW)
    )
    return suspects.filter(is_again).group_by("usage_on").agg(ids=pl.len().cast(pl.Int64))


def _ids(batch: Days, lake: Path) -> pl.DataFrame:
    """usage_on, id: the hash of every row's request id."""
    paths = [str(e.path(lake, str(day))) for day, entries in batch.items() for e in entries]
    scan = pl.scan_parquet(paths, glob=False, hive_partitioning=True, hive_schema={"day": pl.Date})
    return scan.select(usage_on="day", id=pl.col("request_id").hash()).collect(engine="streaming")
