"""Days of requests to facts on a Spark cluster: the same rules and sums as requests.py.

Belongs here: the session, reading the lake's Parquet on the workers, and de-duplication by a
window, in the order that requests.py states.
Does not belong here: what a request counts as (aggregates.py), writing facts (night.py).

Every worker must see the lake under the same path. Narwhals on Spark has no correct weekday, no
distinct counts over windows and no time zones: business days come from the lake's folders, and
nothing here asks for the rest.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pipelines.errors import UsageError
from pipelines.lake import Days
from pipelines.reference import Reference
from pipelines.rollup import aggregates
from pipelines.rollup.requests import (
    BLOCKED_HOURS,
    CONTENT,
    DESCENDING,
    IDENTITY,
    KEPT,
    MEMBER_DAYS,
    ORDER,
    REFUSED,
    USAGE_DAYS,
    RequestFacts,
    finished,
    keys_of,
)

_ROWS_PER_TASK = 500_000
_DAY_FILE = r"day=([^/]+)/([^/]+)\.parquet$"


@contextmanager
def session(master: str) -> Iterator["Session"]:
    """A session on the master (spark://host:port, local[n]), stopped afterwards.

    Raises UsageError when pyspark or Java is missing, or nobody listens at the master's address.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UsageError(
            f"The engine {master} needs pyspark: install the extra (uv sync --extra spark), or "
            "unset CLOUDBOUND_ENGINE."
        ) from None
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=f"{home}/bin" if home else None) is None:
        where = f"in JAVA_HOME ({home})" if home else "on the path"
        raise UsageError(
            f"The engine {master} needs Java 17, and there is no java {where}: install "
            "openjdk-17-jre-headless, or unset CLOUDBOUND_ENGINE."
        )
    _reachable(master)
    spark = (
        SparkSession.builder.master(master)
        .appName("cloudbound")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    try:
        yield Session(spark)
    finally:
        spark.stop()


def _reachable(master: str) -> None:
    """Spark itself would retry for a minute and then fail with a page of traces."""
    if not master.startswith("spark://"):
        return
    hosts = master.removeprefix("spark://").split(",")
    for host in hosts:
        name, _, port = host.rpartition(":")
        try:
            socket.create_connection((name.strip("[]"), int(port)), timeout=5).close()
        except OSError:
            continue
        return
    raise UsageError(
        f"No Spark master answers at {master}: start it, or correct or unset CLOUDBOUND_ENGINE."
    )


@dataclass(frozen=True)
class Session:
    """An open Spark session."""

    spark: Any

    def roll_up(
        self, days: Days, lake: Path, team_spans: pl.DataFrame, reference: Reference
    ) -> RequestFacts:
        """Facts of the given days from their lake files, as requests.roll_up gives them."""
        from pyspark import StorageLevel

        files = [(day, entry) for day, entries in days.items() for entry in entries]
        origins = pl.DataFrame(
            [(str(day), e.fingerprint, day, e.source) for day, e in files],
            schema={
                "day": pl.String,
                "fingerprint": pl.String,
                "usage_on": pl.Date,
                "source": pl.String,
            },
            orient="row",
        )
        if origins.is_empty():
            schemas = (MEMBER_DAYS, USAGE_DAYS, BLOCKED_HOURS, KEPT)
            return RequestFacts(*(pl.DataFrame(schema=s) for s in schemas))
        # Spark's own 200 tasks a shuffle cost more than the work of a small batch.
        rows_in = sum(entry.days[str(day)] for day, entry in files)
        tasks = max(self.spark.sparkContext.defaultParallelism, rows_in // _ROWS_PER_TASK)
        self.spark.conf.set("spark.sql.shuffle.partitions", str(tasks))
        paths = [str(entry.path(lake, str(day))) for day, entry in files]
        distinct = self._distinct(paths, origins).persist(StorageLevel.MEMORY_AND_DISK)
        rows: aggregates.Rows = nw.from_native(distinct)
        spans = aggregates.held_spans(team_spans, set(origins["source"]))
        linked = None if spans.is_empty() else self._small(spans)
        counted = aggregates.kinds(rows, aggregates.tier_bounds(reference))
        kinds = aggregates.with_team(counted, linked)
        held = kinds.to_native().persist(StorageLevel.MEMORY_AND_DISK)
        kinds = nw.from_native(held)
        refused = aggregates.with_team(aggregates.refused(rows).select(*REFUSED), linked)
        prices = self._small(aggregates.price_list(reference, days))
        facts = RequestFacts(
            member_days=_collected(aggregates.member_days(kinds).grouped(), MEMBER_DAYS),
            usage_days=_collected(aggregates.usage_days(kinds, prices).grouped(), USAGE_DAYS),
            blocked_hours=_collected(aggregates.hourly(refused).grouped(), BLOCKED_HOURS),
            kept=_kept(rows, origins),
        )
        held.unpersist()
        distinct.unpersist()
        return facts

    def _distinct(self, paths: list[str], origins: pl.DataFrame) -> Any:
        """Rows of the files without repeated deliveries."""
        from pyspark.sql import Window
        from pyspark.sql import functions as f

        path = f.col("_metadata.file_path")
        read = self.spark.read.parquet(*paths).select(
            "request_id", "received_at", "line", *CONTENT,
            f.regexp_extract(path, _DAY_FILE, 1).alias("day"),
            f.regexp_extract(path, _DAY_FILE, 2).alias("fingerprint"),
        )  # fmt: skip
        small = self._small(origins).to_native()
        rows = read.join(f.broadcast(small), ["day", "fingerprint"])
        order = [
            f.desc_nulls_last(name) if descends else f.asc_nulls_last(name)
            for name, descends in zip(ORDER, DESCENDING, strict=True)
        ]
        best = f.row_number().over(Window.partitionBy(*IDENTITY).orderBy(*order))
        return rows.withColumn("delivery", best).filter("delivery = 1").drop("delivery")

    def _small(self, frame: pl.DataFrame) -> aggregates.Rows:
        """A frame of this process on the cluster."""
        rows: aggregates.Rows = nw.from_native(self.spark.createDataFrame(frame.to_arrow()))
        return rows


def _collected(rows: aggregates.Rows, schema: dict[str, Any]) -> pl.DataFrame:
    found = pl.from_arrow(rows.to_native().toArrow())
    assert isinstance(found, pl.DataFrame)
    return finished(found.lazy(), schema).sort(keys_of(schema)).collect()


def _kept(rows: aggregates.Rows, origins: pl.DataFrame) -> pl.DataFrame:
    """KEPT, with a row for every file, also for one of which nothing counts."""
    counts = rows.group_by("usage_on", "fingerprint").agg(nw.len().cast(nw.Int64).alias("kept"))
    found = _collected(counts, KEPT)
    every = origins.select("usage_on", "fingerprint")
    joined = every.join(found, on=["usage_on", "fingerprint"], how="left")
    return joined.with_columns(pl.col("kept").fill_null(0)).sort("usage_on", "fingerprint")
