"""What a row must be for the metric to use it; everything else is a warning.

Belongs here: one schema per family, each rule a sentence that a reject can carry.
Does not belong here: reading formats (sources/) or de-duplication (rollup/).
"""

from typing import Any

import dataframely as dy
import polars as pl

from pipelines.sources.base import AMOUNT, BROKEN_SCHEMA, UTC_MICROSECONDS, broken_rows

_OLDEST, _NEWEST = (
    pl.datetime(2000, 1, 1, time_zone="UTC"),
    pl.datetime(2100, 1, 1, time_zone="UTC"),
)
MOST_TOKENS = 10**12  # of one request; sums of more would not fit
STATUSES = ["ok", "refused", "throttled", "failed"]
LIMITS = ["5h", "week", "month"]
EVENTS = [
    "started", "renewed", "upgraded", "downgraded", "cancelled", "ended", "refunded",
    "payment_failed",
]  # fmt: skip


class Text(dy.String):
    """Text, also where a piece of a file keeps each text once."""

    def validate_dtype(self, dtype: Any) -> bool:
        return super().validate_dtype(dtype) or isinstance(dtype, pl.Categorical)


def _instant(nullable: bool) -> dy.Datetime:
    return dy.Datetime(nullable=nullable, time_unit="us", time_zone="UTC")


def _sane(name: str) -> pl.Expr:
    return pl.col(name).is_between(_OLDEST, _NEWEST) | pl.col(name).is_null()


class Requests(dy.Schema):
    """One request to a model; see docs/formats.md."""

    request_id = Text(nullable=False)
    team = Text(nullable=False)
    member = Text(nullable=True)
    requested_at = _instant(nullable=False)
    received_at = _instant(nullable=True)
    model = Text(nullable=False)
    task = Text(nullable=True)
    session = Text(nullable=True)
    input_tokens = dy.Int64(nullable=True, min=0, max=MOST_TOKENS)
    cached_tokens = dy.Int64(nullable=True, min=0, max=MOST_TOKENS)
    output_tokens = dy.Int64(nullable=True, min=0, max=MOST_TOKENS)
    status = Text(nullable=False)
    refused_by = Text(nullable=True)
    on_plan = dy.Bool(nullable=True)
    line = dy.Int64(nullable=False)

    @dy.rule()
    def status_is_known(cls) -> pl.Expr:
        return pl.col("status").is_in(STATUSES)

    @dy.rule()
    def refused_by_is_a_known_limit(cls) -> pl.Expr:
        return pl.col("refused_by").is_null() | pl.col("refused_by").is_in(LIMITS)

    @dy.rule()
    def requested_at_is_between_2000_and_2100(cls) -> pl.Expr:
        return _sane("requested_at")


class Subscriptions(dy.Schema):
    """One event of a team's plan."""

    event_id = Text(nullable=False)
    team = Text(nullable=False)
    plan = Text(nullable=True)
    event = Text(nullable=False)
    occurred_at = _instant(nullable=False)
    period_start = _instant(nullable=True)
    period_end = _instant(nullable=True)
    list_amount = dy.Decimal(nullable=True, precision=38, scale=18)
    net_amount = dy.Decimal(nullable=True, precision=38, scale=18)
    currency = Text(nullable=True)
    promotion = Text(nullable=True)
    line = dy.Int64(nullable=False)

    @dy.rule()
    def event_is_known(cls) -> pl.Expr:
        return pl.col("event").is_in(EVENTS)

    @dy.rule()
    def occurred_at_is_between_2000_and_2100(cls) -> pl.Expr:
        return _sane("occurred_at")

    @dy.rule()
    def period_ends_after_it_starts(cls) -> pl.Expr:
        return pl.col("period_end").is_null() | (
            pl.col("period_end") >= pl.coalesce("period_start", "period_end")
        )


class Charges(dy.Schema):
    """One row of a cloud bill."""

    account = Text(nullable=False)
    sub_account = Text(nullable=True)
    provider = Text(nullable=True)
    service = Text(nullable=True)
    sku = Text(nullable=True)
    description = Text(nullable=True)
    resource_type = Text(nullable=True)
    resource = Text(nullable=True)
    region = Text(nullable=True)
    service_category = Text(nullable=True)
    service_subcategory = Text(nullable=True)
    charge_category = Text(nullable=True)
    charge_class = Text(nullable=True)
    charge_start = _instant(nullable=False)
    charge_end = _instant(nullable=True)
    billing_period = _instant(nullable=True)
    billed = dy.Decimal(nullable=True, precision=38, scale=18)
    effective = dy.Decimal(nullable=True, precision=38, scale=18)
    list_cost = dy.Decimal(nullable=True, precision=38, scale=18)
    currency = Text(nullable=False)
    line = dy.Int64(nullable=False)
    is_known_currency = dy.Bool(nullable=False)

    @dy.rule()
    def billed_or_effective_cost_is_a_number(cls) -> pl.Expr:
        return pl.col("billed").is_not_null() | pl.col("effective").is_not_null()

    @dy.rule()
    def charge_start_is_between_2000_and_2100(cls) -> pl.Expr:
        return _sane("charge_start")

    @dy.rule()
    def charge_ends_after_it_starts(cls) -> pl.Expr:
        return pl.col("charge_end").is_null() | (pl.col("charge_end") >= pl.col("charge_start"))

    @dy.rule()
    def charge_lasts_at_most_three_years(cls) -> pl.Expr:
        lasts = pl.col("charge_end") - pl.col("charge_start")
        return lasts.is_null() | (lasts <= pl.duration(days=1100))

    @dy.rule()
    def currency_has_a_rate_in_fx_csv(cls) -> pl.Expr:
        return pl.col("is_known_currency")


class AccountLinks(dy.Schema):
    """One statement that an id of a source belongs to a team."""

    link_source = Text(nullable=False)
    source_id = Text(nullable=False)
    team_id = Text(nullable=False)
    valid_from = _instant(nullable=False)
    valid_to = _instant(nullable=True)
    recorded_at = _instant(nullable=False)
    method = Text(nullable=True)
    confidence = dy.Float64(nullable=True, min=0, max=1)
    line = dy.Int64(nullable=False)

    @dy.rule()
    def link_ends_after_it_starts(cls) -> pl.Expr:
        return pl.col("valid_to").is_null() | (pl.col("valid_to") >= pl.col("valid_from"))


class Teams(dy.Schema):
    """What is known of a team beside its rows."""

    team_id = Text(nullable=False)
    region = Text(nullable=True)
    industry = Text(nullable=True)
    channel = Text(nullable=True)
    opened_at = _instant(nullable=True)
    line = dy.Int64(nullable=False)


class Assignments(dy.Schema):
    """One assignment of a team to an arm of an experiment."""

    team = Text(nullable=False)
    experiment = Text(nullable=False)
    arm = Text(nullable=False)
    assigned_at = _instant(nullable=False)
    line = dy.Int64(nullable=False)


class ChannelCosts(dy.Schema):
    """What a channel cost in a month."""

    month = _instant(nullable=False)
    channel = Text(nullable=False)
    spend = dy.Decimal(nullable=False, precision=38, scale=18)
    currency = Text(nullable=False)
    line = dy.Int64(nullable=False)


# Goes up whenever a rule judges a row otherwise: the lake is then read from landing again.
VERSION = 1
FAMILIES: dict[str, type[dy.Schema]] = {
    "requests": Requests,
    "subscriptions": Subscriptions,
    "charges": Charges,
    "account_links": AccountLinks,
    "teams": Teams,
    "assignments": Assignments,
    "channel_costs": ChannelCosts,
}
REJECTED = BROKEN_SCHEMA


def split(
    family: str, rows: pl.DataFrame, raw: pl.DataFrame, currencies: frozenset[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good rows, and rejects (line, reason, row as JSON text, and a charge's amounts).

    `currencies` are those with a rate in fx.csv. A row with several faults names them all. A
    column that the format doesn't have is null.
    """
    schema: Any = FAMILIES[family]
    columns = empty(family).schema
    rows = rows.with_columns(
        pl.lit(None, dtype).alias(name)
        for name, dtype in columns.items()
        if name not in (*rows.columns, "is_known_currency")
    )
    if family == "charges":
        known = pl.col("currency").is_in(sorted(currencies))
        rows = rows.with_columns(is_known_currency=known.fill_null(True))
    if schema.is_valid(rows):
        return rows.select(*columns), pl.DataFrame(schema=REJECTED)
    result = schema.filter(rows)
    good, failures = result.result, result.failure
    bad = failures.details()
    if bad.height == 0:
        return good, pl.DataFrame(schema=REJECTED)
    rules = [c for c in bad.columns if c not in rows.columns]
    reasons = pl.concat_str(
        [pl.when(pl.col(r) == "invalid").then(pl.lit(_sentence(r))) for r in rules],
        separator="; ",
        ignore_nulls=True,
    )
    reasoned = bad.with_columns(reasons.alias("reason"))
    # Line numbers are unique in a file, so each reject finds its row as it stood.
    found = raw.join(reasoned.select("line", "reason"), on="line", maintain_order="left")
    rows = found.select("line").join(reasoned, on="line", maintain_order="left")
    return good, broken_rows(found.drop("reason"), found["reason"], rows.drop("reason"))


def _sentence(rule: str) -> str:
    column, _, check = rule.partition("|")
    if check == "nullability":
        return f"{column} is missing or can't be read"
    if check:
        return f"{column} breaks the rule {check}"
    return f"it is not true that {rule.replace('_', ' ')}"


def empty(family: str) -> pl.DataFrame:
    """No rows, with the family's columns."""
    return FAMILIES[family].create_empty()


__all__ = ["AMOUNT", "FAMILIES", "REJECTED", "UTC_MICROSECONDS", "empty", "split"]
