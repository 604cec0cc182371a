"""Days of requests to facts with polars: exact de-duplication, then the sums of aggregates.py.

Belongs here: the identity of a request, which of its deliveries counts, and reading the lake
without ever holding a day's rows.
Does not belong here: what a request counts as (aggregates.py), active days, habits, anything that
needs a second day (sql/journey).

Duplicates are looked for by a 64-bit hash of the id and judged on the identity itself, so the
exact comparison touches only the few rows whose hashes meet. Every query streams over the files
and reads the columns that it needs; what a day costs in memory is its groups.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pipelines.lake import Entry
from pipelines.reference import Reference
from pipelines.rollup import aggregates

VERSION = 3
IDENTITY = ["source", "request_id", "usage_on"]
CONTENT = [
    "team", "member", "requested_at", "model", "task", "session", "input_tokens",
    "cached_tokens", "output_tokens", "status", "refused_by", "on_plan",
]  # fmt: skip
# Of the deliveries of one request the first in this order counts: the latest received, then by
# content, then by file and line, nulls last everywhere.
ORDER = ["received_at", *CONTENT, "fingerprint", "line"]
DESCENDING = [True] + [False] * (len(ORDER) - 1)

MEMBER_DAYS: dict[str, Any] = {
    "usage_on": pl.Date, "team_id": pl.String, "member_id": pl.String, "accepted": pl.Int64,
    "refused_5h": pl.Int64, "refused_week": pl.Int64, "refused_month": pl.Int64,
    "refused_other": pl.Int64, "throttled": pl.Int64, "failed": pl.Int64, "off_plan": pl.Int64,
    "input_tokens": pl.Int64, "cached_tokens": pl.Int64, "output_tokens": pl.Int64,
}  # fmt: skip
USAGE_DAYS: dict[str, Any] = {
    "usage_on": pl.Date, "team_id": pl.String, "model": pl.String, "task": pl.String,
    "accepted": pl.Int64, "refused": pl.Int64, "input_tokens": pl.Int64,
    "cached_tokens": pl.Int64, "output_tokens": pl.Int64, "inference_cny": pl.Float64,
}  # fmt: skip
BLOCKED_HOURS: dict[str, Any] = {
    "usage_on": pl.Date, "team_id": pl.String, "hour_at": pl.Datetime("us", "UTC"),
    "refused_5h": pl.Int64, "refused_week": pl.Int64, "refused_month": pl.Int64,
    "refused_other": pl.Int64,
}  # fmt: skip
REFUSED = (
    "source", "usage_on", "team", "requested_at", "status", "refused_by", "on_plan",
)  # fmt: skip
KEPT: dict[str, Any] = {"usage_on": pl.Date, "fingerprint": pl.String, "kept": pl.Int64}
Days = dict[date, list[Entry]]


@dataclass(frozen=True)
class RequestFacts:
    """member_days: (usage_on, team, member); usage_days: (usage_on, team, model, task);
    blocked_hours: (usage_on, team, hour), only hours with a refusal;
    kept: rows that survived de-duplication, per (usage_on, fingerprint)."""

    member_days: pl.DataFrame
    usage_days: pl.DataFrame
    blocked_hours: pl.DataFrame
    kept: pl.DataFrame


def roll_up(days: Days, lake: Path, team_spans: pl.DataFrame, reference: Reference) -> RequestFacts:
    """Facts of the given days from their lake files."""
    files = [(day, entry) for day, entries in days.items() for entry in entries]
    if not files:
        schemas = (MEMBER_DAYS, USAGE_DAYS, BLOCKED_HOURS, KEPT)
        return RequestFacts(*(pl.DataFrame(schema=s) for s in schemas))
    scans, kept = [], []
    for source in sorted({entry.source for _, entry in files}):
        scan, again = _distinct([f for f in files if f[1].source == source], source, lake)
        scans.append(scan)
        kept.append(again)
    rows: aggregates.Rows = nw.from_native(pl.concat(scans))
    spans = aggregates.held_spans(team_spans, {entry.source for _, entry in files})

    def named(rows: aggregates.Rows) -> aggregates.Rows:
        """In memory, because it is used more than once."""
        linked = None if spans.is_empty() else nw.from_native(spans.lazy())
        return _held(aggregates.with_team(_held(rows), linked))

    kinds = named(aggregates.kinds(rows, aggregates.tier_bounds(reference)))
    refused = named(aggregates.refused(rows).select(*REFUSED))
    prices = nw.from_native(aggregates.price_list(reference, days).lazy())
    return RequestFacts(
        member_days=_collected(aggregates.member_days(kinds), MEMBER_DAYS),
        usage_days=_collected(aggregates.usage_days(kinds, prices), USAGE_DAYS),
        blocked_hours=_collected(aggregates.hourly(refused), BLOCKED_HOURS),
        kept=pl.concat(kept).sort("usage_on", "fingerprint"),
    )


def _held(rows: aggregates.Rows) -> aggregates.Rows:
    return rows.collect(backend="polars", engine="streaming").lazy()


def _collected(rows: aggregates.Rows, schema: dict[str, Any]) -> pl.DataFrame:
    return finished(rows.to_native(), schema).collect(engine="streaming")


def finished(facts: pl.LazyFrame, schema: dict[str, Any]) -> pl.LazyFrame:
    """A fact of any engine in its columns, sorted by its key.

    Costs become CNY here, once for all engines: they round divisions differently.
    """
    if schema is USAGE_DAYS:
        facts = facts.with_columns(inference_cny=pl.col("nano_cny") / 1e9)
    return facts.select(*schema).cast(pl.Schema(schema)).sort(keys_of(schema))


def keys_of(schema: dict[str, Any]) -> list[str]:
    """The columns of a fact that are no numbers: its grain."""
    return [name for name, kind in schema.items() if kind not in (pl.Int64, pl.Float64)]


def _distinct(
    files: Sequence[tuple[date, Entry]], source: str, lake: Path
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """One source's rows without repeated deliveries, and KEPT."""
    paths = [str(entry.path(lake, str(day))) for day, entry in files]
    scan = pl.scan_parquet(
        paths, glob=False, row_index_name="row", include_file_paths="path",
        hive_partitioning=True, hive_schema={"day": pl.Date},
    ).with_columns(source=pl.lit(source)).rename({"day": "usage_on"})  # fmt: skip
    origins = pl.DataFrame(
        [(day, e.fingerprint, e.days[str(day)]) for day, e in files],
        schema={"usage_on": pl.Date, "fingerprint": pl.String, "rows": pl.Int64},
        orient="row",
    )
    losers = _losers(scan, paths, origins)
    lost = losers.group_by("usage_on", "fingerprint").agg(lost=pl.len().cast(pl.Int64))
    kept = origins.join(lost, on=["usage_on", "fingerprint"], how="left").select(
        "usage_on", "fingerprint", kept=pl.col("rows") - pl.col("lost").fill_null(0)
    )
    if losers.height:
        scan = scan.filter(~pl.col("row").is_in(losers["row"].implode()))
    return scan, kept


def _losers(scan: pl.LazyFrame, paths: list[str], origins: pl.DataFrame) -> pl.DataFrame:
    """row, usage_on and fingerprint of the deliveries that don't count."""
    suspect = pl.col("request_id").hash()
    ids = pl.scan_parquet(paths, glob=False).select(suspect)
    hashes = ids.collect(engine="streaming").to_series().sort()
    meeting = hashes.filter(hashes == hashes.shift()).unique()
    if meeting.is_empty():
        return pl.DataFrame(
            schema={"row": pl.UInt32, "usage_on": pl.Date, "fingerprint": pl.String}
        )
    mark = pl.col("path").replace_strict(paths, origins["fingerprint"], return_dtype=pl.String)
    suspects = scan.filter(suspect.is_in(meeting.implode())).with_columns(fingerprint=mark)
    rows = suspects.select("row", *IDENTITY, *ORDER).collect(engine="streaming")
    return rows.join(deduplicate(rows), on="row", how="anti").select(
        "row", "usage_on", "fingerprint"
    )


def deduplicate(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per identity: the latest received_at, ties by content, then by file and line."""
    return rows.sort(ORDER, descending=DESCENDING, nulls_last=True).unique(
        IDENTITY, keep="first", maintain_order=True
    )


def batches(days: Days, rows_per_batch: int = 1_000_000) -> Iterable[Days]:
    """Whole days, grouped so that a batch holds about that many rows (bounded memory)."""
    batch: Days = {}
    rows = 0
    for day, entries in days.items():
        size = sum(e.days[str(day)] for e in entries)
        if batch and rows + size > rows_per_batch:
            yield batch
            batch, rows = {}, 0
        batch[day] = entries
        rows += size
    if batch:
        yield batch
