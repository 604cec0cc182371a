"""What a request counts as, and the sums of a day: one list for every engine.

Belongs here: kinds of requests, their flags, their price, and what each of the three request facts
sums up, as Narwhals expressions that polars and Spark run alike.
Does not belong here: reading the lake and de-duplication (requests.py, spark.py), windows over
days (sql/journey).

Rows are first counted by kind, that is by everything that decides what a request counts as. The
facts are sums over kinds, a quarter of the rows, so the rows themselves are grouped once. Only whole
numbers are summed: the order of rows and their split into files never shows.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

import narwhals as nw
import polars as pl

from pipelines.reference import HOME_CURRENCY, Reference

Rows = nw.LazyFrame[Any]
UNCLASSIFIED = "unclassified"
LIMITS = ("5h", "week", "month")
REFUSALS = (*(f"refused_{limit}" for limit in LIMITS), "refused_other")
TOKENS = ("input_tokens", "cached_tokens", "output_tokens")
MEMBER_KEYS = ("usage_on", "team_id", "member_id")
MEMBER_COUNTS = ("accepted", *REFUSALS, "throttled", "failed", "off_plan")
USAGE_KEYS = ("usage_on", "team_id", "model", "task")
HOUR_KEYS = ("usage_on", "team_id", "hour_at")
KIND = (
    "source", "usage_on", "team", "member", "model", "task", "tier", "status", "refused_by", "on_plan",
)  # fmt: skip
SUMS = (nw.len().cast(nw.Int64).alias("requests"), *(nw.col(name).sum() for name in TOKENS))
# What facts have for a text that a source left out or wrote in its own way: its column, and how.
NAMED = {
    "member_id": ("member", nw.col("member").fill_null("")),
    "model_key": ("model", nw.col("model").str.to_lowercase()),
    "task": ("task", nw.col("task").fill_null(UNCLASSIFIED)),
}
PRICES: dict[str, Any] = {
    "usage_on": pl.Date, "model_key": pl.String, "tier": pl.Int64, "fresh_price": pl.Float64,
    "cached_price": pl.Float64, "output_price": pl.Float64,
}  # fmt: skip


class Fact(NamedTuple):
    """What a fact sums up: `of` for each `by`, over rows that have both."""

    rows: Rows
    by: tuple[str, ...]
    of: tuple[str, ...]

    def grouped(self) -> Rows:
        """One row for each `by`, in no order."""
        return self.rows.group_by(*self.by).agg(*(nw.col(name).sum() for name in self.of))


def kinds(rows: Rows, bounds: Iterable[int]) -> Rows:
    """Requests of each kind and their tokens; bounds are `tier_bounds`.

    rows: source, usage_on, team, member, model, task, status, refused_by, on_plan and tokens.
    Grain KIND; requests, input_tokens (cached tokens are part of it), cached_tokens, output_tokens,
    and NAMED.
    """
    return (
        measured(rows, bounds)
        .group_by(*KIND)
        .agg(*SUMS)
        .with_columns(**{name: rule for name, (_, rule) in NAMED.items()})
    )


def measured(rows: Rows, bounds: Iterable[int]) -> Rows:
    """Rows with their tier, and tokens that can be summed."""
    given = {name: nw.col(name).fill_null(0) for name in TOKENS}
    given["cached_tokens"] = nw.min_horizontal(given["cached_tokens"], given["input_tokens"])
    over = [(nw.col("input_tokens") > bound).cast(nw.Int64) for bound in bounds]
    return rows.with_columns(tier=sum(over, nw.lit(0))).with_columns(**given)


def with_team(rows: Rows, spans: Rows | None) -> Rows:
    """Kinds with team_id: the linked team on that day, else the source's own id.

    spans: source, team, from_on, to_on, linked, as `held_spans` gives them. They meet the few
    (source, team, day) that occur, and those the kinds: an id of many stretches repeats none.
    None: these sources have no links.
    """
    if spans is None:
        return rows.with_columns(team_id=nw.col("team"))
    key = ["source", "team", "usage_on"]
    hits = rows.select(*key).unique().join(spans, on=["source", "team"], how="inner")
    is_held = (nw.col("usage_on") >= nw.col("from_on")) & (nw.col("usage_on") < nw.col("to_on"))
    named = hits.filter(is_held).select(*key, "linked")
    joined = rows.join(named, on=key, how="left")
    return joined.with_columns(team_id=nw.coalesce("linked", "team")).drop("linked")


def held_spans(team_spans: pl.DataFrame, sources: Iterable[str]) -> pl.DataFrame:
    """The stretches of these sources' ids, for `with_team`: an open end is the last day there is."""
    held = team_spans.filter(pl.col("source").is_in(list(sources)))
    return held.select(
        "source", "from_on", pl.col("to_on").fill_null(date.max), team="source_id", linked="team_id"
    )


def member_days(kinds: Rows) -> Fact:
    """Grain usage_on, team_id, member_id ('' for none); tokens of accepted requests."""
    return Fact(_flagged(kinds), MEMBER_KEYS, (*MEMBER_COUNTS, *TOKENS))


def usage_days(kinds: Rows, prices: Rows) -> Fact:
    """Grain usage_on, team_id, model, task, with nano_cny; prices are `price_list`'s.

    A model without a price costs nothing here, with a warning check beside the table.
    """
    priced = _flagged(kinds).join(prices, on=["usage_on", "model_key", "tier"], how="left")
    # Prices are per million, so a thousandth of that is the price of a token in billionths. Whole
    # billionths, half up, make the sum the same in any order.
    nano = 1000.0 * (
        (nw.col("input_tokens") - nw.col("cached_tokens")) * nw.col("fresh_price")
        + nw.col("cached_tokens") * nw.col("cached_price")
        + nw.col("output_tokens") * nw.col("output_price")
    )
    costed = priced.with_columns(nano_cny=(nano + 0.5).floor().fill_null(0.0).cast(nw.Int64))
    return Fact(costed, USAGE_KEYS, ("accepted", "refused", *TOKENS, "nano_cny"))


def refused(rows: Rows) -> Rows:
    """The rows that a quota refused, for `hourly` (their hours are no part of a kind)."""
    return rows.filter(_is_on_plan() & (nw.col("status") == "refused"))


def hourly(refused: Rows) -> Fact:
    """Refused rows with team_id to grain usage_on, team_id, hour_at (UTC)."""
    one = refused.with_columns(
        nw.lit(1).alias("requests"),
        *(nw.lit(0).alias(name) for name in TOKENS),
        nw.col("requested_at").dt.truncate("1h").alias("hour_at"),
    )
    return Fact(_flagged(one), HOUR_KEYS, REFUSALS)


def _is_on_plan() -> nw.Expr:
    """A source that doesn't say counts as the plan."""
    return nw.col("on_plan").fill_null(True)


def _flagged(kinds: Rows) -> Rows:
    """How many requests of a kind count as what; tokens of accepted requests only."""
    status, limit = nw.col("status"), nw.col("refused_by").fill_null("")
    is_accepted = _is_on_plan() & (status == "ok")
    is_refused = _is_on_plan() & (status == "refused")
    flags = {
        "accepted": is_accepted,
        "refused": is_refused,
        **{f"refused_{name}": is_refused & (limit == name) for name in LIMITS},
        "refused_other": is_refused & ~limit.is_in(LIMITS),
        "throttled": _is_on_plan() & (status == "throttled"),
        "failed": _is_on_plan() & (status == "failed"),
        "off_plan": ~_is_on_plan(),
    }
    counts = {name: flag.cast(nw.Int64) * nw.col("requests") for name, flag in flags.items()}
    tokens = {name: is_accepted.cast(nw.Int64) * nw.col(name) for name in TOKENS}
    return kinds.with_columns(**counts, **tokens)


def tier_bounds(reference: Reference) -> list[int]:
    """Input lengths at which some model's price changes; a tier is the number of those below."""
    models = reference.models
    bounds = set(models["min_input_tokens"]) | set(models["max_input_tokens"])
    return sorted(bounds - {0, None})


def price_list(reference: Reference, days: Iterable[date]) -> pl.DataFrame:
    """CNY per million tokens for each day, model (lower case) and tier; the last row that fits."""
    bounds = tier_bounds(reference)
    found: dict[tuple[date, str, int], tuple[date, str, int, float, float, float]] = {}
    rates = {c: _rates(reference, c) for c in reference.models["currency"].unique()}
    for day in days:
        for price in reference.models.iter_rows(named=True):
            until, rate = price["valid_to"], _rate_on(rates[price["currency"]], day)
            if day < price["valid_from"] or (until is not None and day >= until) or rate is None:
                continue
            least, most = price["min_input_tokens"], price["max_input_tokens"]
            for tier, (low, high) in enumerate(zip([0, *bounds], [*bounds, None], strict=True)):
                if low >= least and (most is None or (high is not None and high <= most)):
                    key = (day, price["model"].lower(), tier)
                    kinds = ("input_per_million", "cached_per_million", "output_per_million")
                    fresh, cached, output = (price[kind] * rate for kind in kinds)
                    found[key] = (*key, fresh, cached, output)
    return pl.DataFrame(list(found.values()), schema=PRICES, orient="row")


def _rates(reference: Reference, currency: str) -> list[tuple[date, float]]:
    if currency == HOME_CURRENCY:
        return [(date.min, 1.0)]
    fx = reference.fx.filter(pl.col("currency") == currency).sort("valid_from")
    return [(day, float(rate)) for day, rate in fx.select("valid_from", "cny_per_unit").iter_rows()]


def _rate_on(rates: list[tuple[date, float]], day: date) -> float | None:
    """The last rate that started by then (a cost needs no stop when rates end)."""
    return next((rate for start, rate in reversed(rates) if start <= day), None)
