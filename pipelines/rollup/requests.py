"""One day of requests to facts: exact de-duplication, then member days and usage days.

Belongs here: the identity of a request, what is accepted, what its tokens cost.
Does not belong here: active days, habits, anything that needs a second day (sql/journey).

Duplicates are looked for by a 64-bit hash of the identity and judged on the identity itself, so
the exact comparison touches only the few rows whose hashes meet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.lake import Entry, read_days
from pipelines.reference import HOME_CURRENCY, Reference
from pipelines.rollup.links import with_team

VERSION = 2
IDENTITY = ["source", "request_id", "usage_on"]
CONTENT = [
    "team", "member", "requested_at", "model", "task", "session", "input_tokens",
    "cached_tokens", "output_tokens", "status", "refused_by", "on_plan",
]  # fmt: skip
UNCLASSIFIED = "unclassified"

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
KEPT: dict[str, Any] = {"usage_on": pl.Date, "fingerprint": pl.String, "kept": pl.Int64}


@dataclass(frozen=True)
class RequestFacts:
    """member_days: (usage_on, team, member); usage_days: (usage_on, team, model, task);
    blocked_hours: (usage_on, team, hour), only hours with a refusal;
    kept: rows that survived de-duplication, per (usage_on, fingerprint)."""

    member_days: pl.DataFrame
    usage_days: pl.DataFrame
    blocked_hours: pl.DataFrame
    kept: pl.DataFrame


def roll_up(
    days: dict[date, list[Entry]],
    lake: Path,
    team_spans: pl.DataFrame,
    reference: Reference,
) -> RequestFacts:
    """Facts of the given days from their lake files."""
    files = [(day, entry) for day, entries in days.items() for entry in entries]
    if not files:
        schemas = (MEMBER_DAYS, USAGE_DAYS, BLOCKED_HOURS, KEPT)
        return RequestFacts(*(pl.DataFrame(schema=s) for s in schemas))
    rows = deduplicate(read_days(files, lake, ["request_id", "received_at", "line", *CONTENT]))
    kept = rows.group_by("usage_on", "fingerprint").agg(kept=pl.len().cast(pl.Int64))
    named = with_team(rows, team_spans, "team", "usage_on")
    flagged = named.with_columns(*_flags())
    return RequestFacts(
        member_days=_member_days(flagged),
        usage_days=_usage_days(flagged, reference),
        blocked_hours=_blocked_hours(flagged),
        kept=kept.sort("usage_on", "fingerprint"),
    )


def deduplicate(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per identity: the latest received_at, ties by content, then by file and line."""
    hashes = rows.select(pl.struct(IDENTITY).hash().alias("hash"))["hash"]
    suspects = hashes.is_duplicated()
    if not suspects.any():
        return rows
    order = ["received_at", *CONTENT, "fingerprint", "line"]
    descending = [True] + [False] * (len(order) - 1)
    best = (
        rows.filter(suspects)
        .sort(order, descending=descending, nulls_last=True)
        .unique(IDENTITY, keep="first", maintain_order=True)
    )
    return pl.concat([rows.filter(~suspects), best])


def _flags() -> list[pl.Expr]:
    on_plan = pl.col("on_plan").fill_null(True)
    refused = on_plan & (pl.col("status") == "refused")
    limit = pl.col("refused_by").fill_null("")
    return [
        (on_plan & (pl.col("status") == "ok")).alias("accepted"),
        refused.alias("refused"),
        *((refused & (limit == name)).alias(f"refused_{name}") for name in ("5h", "week", "month")),
        (refused & ~limit.is_in(["5h", "week", "month"])).alias("refused_other"),
        (on_plan & (pl.col("status") == "throttled")).alias("throttled"),
        (on_plan & (pl.col("status") == "failed")).alias("failed"),
        (~on_plan).alias("off_plan"),
        pl.col("member").fill_null("").alias("member_id"),
        pl.col("task").fill_null(UNCLASSIFIED).alias("task"),
        pl.min_horizontal(
            pl.col("cached_tokens").fill_null(0), pl.col("input_tokens").fill_null(0)
        ).alias("cached_tokens"),
        pl.col("input_tokens", "output_tokens").fill_null(0),
    ]


def _tokens() -> list[pl.Expr]:
    """Tokens of accepted requests; input includes cached."""
    names = ("input_tokens", "cached_tokens", "output_tokens")
    return [(pl.col(name) * pl.col("accepted")).sum() for name in names]


def _member_days(flagged: pl.DataFrame) -> pl.DataFrame:
    counts = [c for c in MEMBER_DAYS if MEMBER_DAYS[c] == pl.Int64 and "tokens" not in c]
    keys = ["usage_on", "team_id", "member_id"]
    days = flagged.group_by(keys).agg(pl.col(counts).sum().cast(pl.Int64), *_tokens())
    return days.select(*MEMBER_DAYS).sort(keys)


def _blocked_hours(flagged: pl.DataFrame) -> pl.DataFrame:
    counts = [c for c in BLOCKED_HOURS if BLOCKED_HOURS[c] == pl.Int64]
    keys = ["usage_on", "team_id", "hour_at"]
    refused = flagged.filter("refused").with_columns(
        hour_at=pl.col("requested_at").dt.truncate("1h")
    )
    hours = refused.group_by(keys).agg(pl.col(counts).sum().cast(pl.Int64))
    return hours.select(*BLOCKED_HOURS).sort(keys)


def _usage_days(flagged: pl.DataFrame, reference: Reference) -> pl.DataFrame:
    keys = ["usage_on", "team_id", "model", "task"]
    # Whole billionths: a sum of floats would depend on how the rows were split into files.
    nano_cny = (_cost(flagged, reference) * 1e9).round().cast(pl.Int64).fill_null(0)
    priced = flagged.with_columns(nano_cny=nano_cny)
    days = priced.group_by(keys).agg(
        pl.col("accepted", "refused").sum().cast(pl.Int64),
        *_tokens(),
        inference_cny=(pl.col("nano_cny") * pl.col("accepted")).sum() / 1e9,
    )
    return days.select(*USAGE_DAYS).sort(keys)


def _cost(rows: pl.DataFrame, reference: Reference) -> pl.Series:
    """CNY of each request's tokens: dated price, tier by input length, cached apart.

    A model without a price costs null (and 0 in the sums, with a warning check beside them).
    """
    models = rows.select("model").unique()
    prices = reference.models.with_columns(key=pl.col("model").str.to_lowercase()).drop("model")
    known = models.with_columns(key=pl.col("model").str.to_lowercase()).join(prices, on="key")
    cost = pl.lit(None, pl.Float64)
    usd_rates = _rates(rows, reference, known["currency"].unique().to_list())
    fresh = pl.col("input_tokens") - pl.col("cached_tokens")
    for price in known.iter_rows(named=True):
        tier = pl.col("input_tokens") > price["min_input_tokens"]
        if price["min_input_tokens"] == 0:
            tier = pl.lit(True)
        if price["max_input_tokens"] is not None:
            tier = tier & (pl.col("input_tokens") <= price["max_input_tokens"])
        dated = pl.col("usage_on") >= price["valid_from"]
        if price["valid_to"] is not None:
            dated = dated & (pl.col("usage_on") < price["valid_to"])
        amount = (
            fresh * price["input_per_million"]
            + pl.col("cached_tokens") * price["cached_per_million"]
            + pl.col("output_tokens") * price["output_per_million"]
        ) / 1e6
        amount = amount * pl.col(f"rate_{price['currency']}")
        cost = (
            pl.when((pl.col("model") == price["model"]) & tier & dated).then(amount).otherwise(cost)
        )
    return rows.join(usd_rates, on="usage_on", how="left", maintain_order="left").select(
        cost.alias("inference_cny")
    )["inference_cny"]


def _rates(rows: pl.DataFrame, reference: Reference, currencies: list[str]) -> pl.DataFrame:
    """usage_on, rate_<currency>: the last rate that started by then (a cost needs no stop)."""
    days = rows.select("usage_on").unique().sort("usage_on")
    for currency in currencies:
        name = f"rate_{currency}"
        if currency == HOME_CURRENCY:
            days = days.with_columns(pl.lit(1.0).alias(name))
            continue
        fx = reference.fx.filter(pl.col("currency") == currency).sort("valid_from")
        rates = fx.select("valid_from", pl.col("cny_per_unit").cast(pl.Float64).alias(name))
        days = days.join_asof(rates, left_on="usage_on", right_on="valid_from").drop("valid_from")
    return days


def batches(
    days: dict[date, list[Entry]], rows_per_batch: int = 1_000_000
) -> Iterable[dict[date, list[Entry]]]:
    """Whole days, grouped so that a batch holds about that many rows (bounded memory)."""
    batch: dict[date, list[Entry]] = {}
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
