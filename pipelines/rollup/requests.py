"""Days of requests to facts with polars: exact de-duplication, then the sums of aggregates.py.

Belongs here: the identity of a request, which of its deliveries counts, and how facts look.
Does not belong here: counting rows (numbered.py), what a request counts as (aggregates.py), active
days, habits, anything that needs a second day (sql/journey).

Duplicates are looked for by a hash of the id and judged on the identity itself, so the exact
comparison touches only the few rows whose hashes meet.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from pipelines import sorting
from pipelines.lake import Days
from pipelines.reference import Reference
from pipelines.rollup import aggregates, numbered
from pipelines.rollup.numbered import Numbers

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
_FILES = {
    "source": pl.String, "usage_on": pl.Date, "fingerprint": pl.String, "rows": pl.Int64,
    "path": pl.String,
}  # fmt: skip
_ORIGIN = ("source", "usage_on", "fingerprint")


Words = dict[str, pl.Series]


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
    files = _files(days, lake)
    if files.is_empty():
        schemas = (MEMBER_DAYS, USAGE_DAYS, BLOCKED_HOURS, KEPT)
        return RequestFacts(*(pl.DataFrame(schema=s) for s in schemas))
    lost = _lost(files)
    counted = numbered.counted(files, lost, aggregates.tier_bounds(reference))
    spans = aggregates.held_spans(team_spans, files["source"].unique())
    kinds, of_kinds = _with_team(counted.kinds, spans, counted.words)
    refused, of_refused = _with_team(counted.refused, spans, counted.words)
    prices = nw.from_native(aggregates.price_list(reference, days).lazy())
    # Beside the others: it is the largest, and a processor would stand idle.
    usage = numbered.WORKERS.submit(
        _collected, aggregates.usage_days(kinds, prices), of_kinds, USAGE_DAYS
    )
    return RequestFacts(
        member_days=_collected(aggregates.member_days(kinds), of_kinds, MEMBER_DAYS),
        blocked_hours=_collected(aggregates.hourly(refused), of_refused, BLOCKED_HOURS),
        kept=_kept(files, lost),
        usage_days=usage.result(),
    )


def _files(days: Days, lake: Path) -> pl.DataFrame:
    """The files of a source together; their rows are numbered in this order."""
    files = [
        (e.source, day, e.fingerprint, e.days[str(day)], str(e.path(lake, str(day))))
        for day, entries in days.items()
        for e in entries
    ]
    return pl.DataFrame(files, schema=_FILES, orient="row").sort("source", maintain_order=True)


def _kept(files: pl.DataFrame, lost: Numbers) -> pl.DataFrame:
    ends = files["rows"].cum_sum().to_numpy()
    of_file = np.bincount(np.searchsorted(ends, lost, side="right"), minlength=len(ends))
    kept = files.select("usage_on", "fingerprint", kept=pl.col("rows") - pl.Series(of_file))
    return kept.sort("usage_on", "fingerprint")


def _with_team(
    rows: pl.DataFrame, spans: pl.DataFrame, words: Words
) -> tuple[aggregates.Rows, Words]:
    """Rows with the number of their team_id, and the words with its texts.

    A day names each of its teams once.
    """
    if spans.is_empty():
        own = rows.lazy().with_columns(team_id="team")
        return nw.from_native(own), words | {"team_id": words["team"]}
    key = ["source", "usage_on", "team"]
    teams = rows.select(key).unique()
    texts = teams.with_columns(words["team"].gather(teams["team"]), number="team")
    named = aggregates.with_team(nw.from_native(texts.lazy()), nw.from_native(spans.lazy()))
    found = named.to_native().collect()
    known, number = numbered.in_order(found["team_id"])
    found = found.select("source", "usage_on", number.alias("team_id"), team="number")
    return nw.from_native(rows.lazy().join(found.lazy(), on=key)), words | {"team_id": known}


def _collected(fact: aggregates.Fact, words: Words, schema: dict[str, Any]) -> pl.DataFrame:
    rows = fact.rows.select(*fact.by, *fact.of).to_native()
    found = numbered.summed(rows.collect(engine="streaming"), fact.by, fact.of)
    texts = (words[name].gather(found[name]).alias(name) for name in fact.by if name in words)
    return finished(found.lazy().with_columns(texts), schema).collect()


def finished(facts: pl.LazyFrame, schema: dict[str, Any]) -> pl.LazyFrame:
    """A fact of any engine in its columns.

    Costs become CNY here, once for all engines: they round divisions differently.
    """
    if schema is USAGE_DAYS:
        facts = facts.with_columns(inference_cny=pl.col("nano_cny") / 1e9)
    return facts.select(*schema).cast(pl.Schema(schema))


def keys_of(schema: dict[str, Any]) -> list[str]:
    """The columns of a fact that are no numbers: its grain."""
    return [name for name, kind in schema.items() if kind not in (pl.Int64, pl.Float64)]


def _lost(files: pl.DataFrame) -> Numbers:
    """The deliveries that don't count, as ascending numbers of rows."""
    lost, before = [], 0
    for of_source in files.partition_by("source", maintain_order=True):
        lost.append(before + _lost_of_source(of_source))
        before += int(of_source["rows"].sum())
    return np.sort(np.concatenate(lost))


def _lost_of_source(files: pl.DataFrame) -> Numbers:
    """Where received_at alone settles which delivery counts, no more of the rows is read."""
    ids = pl.scan_parquet(files["path"].to_list(), glob=False).select("request_id", "received_at")
    suspects = _meeting(ids.collect(engine="streaming"))
    file = np.searchsorted(files["rows"].cum_sum(), suspects["row"], side="right")
    origins = files.select(*_ORIGIN)[file]
    repeated = pl.concat([suspects, origins], how="horizontal").filter(pl.len().over(IDENTITY) > 1)
    newest = repeated.filter(
        pl.col("received_at").eq_missing(pl.col("received_at").max().over(IDENTITY))
    )
    tied = newest.filter(pl.len().over(IDENTITY) > 1)
    if tied.height:
        known = tied.select("row", *_ORIGIN).lazy()
        scan = pl.scan_parquet(files["path"].to_list(), glob=False, row_index_name="row")
        rows = scan.filter(pl.col("row").is_in(tied["row"].implode())).join(known, on="row")
        settled = deduplicate(rows.select("row", *IDENTITY, *ORDER).collect(engine="streaming"))
        newest = newest.join(tied, on="row", how="anti").select("row").vstack(settled.select("row"))
    return repeated.join(newest, on="row", how="anti")["row"].to_numpy()


def _meeting(ids: pl.DataFrame) -> pl.DataFrame:
    """Rows whose ids may be equal, with their number."""
    rows = sorting.meeting(ids["request_id"].hash().to_numpy())
    found: pl.DataFrame = ids[rows]
    return found.with_columns(row=pl.Series(rows).cast(pl.get_index_type()))


def deduplicate(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per identity: the latest received_at, ties by content, then by file and line."""
    return rows.sort(ORDER, descending=DESCENDING, nulls_last=True).unique(
        IDENTITY, keep="first", maintain_order=True
    )
