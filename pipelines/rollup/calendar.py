"""Instants to business days, and a charge's amount to the days it covers.

Belongs here: the rules of METRIC that turn a row's time and money into days.
Does not belong here: windows, weeks or states (sql/journey).
"""

from datetime import timedelta
from decimal import Decimal

import polars as pl

_DAY = 86_400_000_000  # microseconds


def on_business_day(instant: pl.Expr, zone: str) -> pl.Expr:
    """Calendar day of a UTC instant in the operating zone."""
    return instant.dt.convert_time_zone(zone).dt.date()


def business_days(instants: pl.Series, zone: str) -> pl.Series:
    """on_business_day of many: one addition, where the zone's clock is not changed in between."""
    first, last = instants.min(), instants.max()
    hour = timedelta(hours=1)
    if first is not None and (last - first) / hour < len(instants):  # type: ignore[operator]
        hours = pl.datetime_range(first, last + hour, hour).dt.convert_time_zone(zone)  # type: ignore[operator, arg-type]
        offsets = pl.select(hours.dt.base_utc_offset() + hours.dt.dst_offset()).to_series().unique()
        if len(offsets) == 1:
            there: pl.Series = instants + offsets.item()
            return there.dt.date()
    return instants.to_frame("at").select(on_business_day(pl.col("at"), zone)).to_series()


def daily_parts(charges: pl.DataFrame, zone: str) -> pl.DataFrame:
    """One row per business day that a charge covers: usage_on, billed, effective, list_cost.

    k = ceil((end - start) / 24 h) days counted from the business day of start (the end is
    exclusive), equal decimal parts, the remainder on the last; k = 1 is booked whole. A charge
    without an end, or of no length, is one day. Sums over the parts equal the charge exactly.
    """
    length = (pl.col("charge_end") - pl.col("charge_start")).dt.total_microseconds().fill_null(0)
    counted = charges.with_columns(
        first_on=business_days(charges["charge_start"], zone),
        parts=pl.max_horizontal((length + _DAY - 1) // _DAY, 1),
    )
    many = counted.filter(pl.col("parts") > 1)
    single = counted.filter(pl.col("parts") == 1) if many.height else counted
    single = single.with_columns(usage_on=pl.col("first_on"))
    if many.height:
        many = many.with_columns(part=pl.int_ranges(0, "parts")).explode("part", empty_as_null=True)
        many = many.with_columns(
            *(_part(amount) for amount in ("billed", "effective", "list_cost")),
            usage_on=pl.col("first_on") + pl.duration(days=pl.col("part")),
        ).drop("part")
        single = pl.concat([single, many.select(single.columns)])
    return single.drop("first_on", "is_known_currency", strict=False)


def _part(amount: str) -> pl.Expr:
    """The amount's k-th part, cut at the 18th decimal, and what is left on the last day."""
    k = pl.col("parts").cast(pl.Decimal(38, 0))
    rounded = (pl.col(amount) / k).cast(pl.Decimal(38, 18))
    # Decimal division rounds; one unit of the last place too much is taken back.
    last_place = pl.lit(Decimal(1).scaleb(-18), pl.Decimal(38, 18))
    over = (rounded * k).abs() > pl.col(amount).abs()
    cut = pl.when(pl.col(amount) < 0).then(rounded + last_place).otherwise(rounded - last_place)
    each = pl.when(over).then(cut).otherwise(rounded)
    rest = pl.col(amount) - each * (k - 1)
    return pl.when(pl.col("part") == pl.col("parts") - 1).then(rest).otherwise(each).alias(amount)


def is_unallocated_credit() -> pl.Expr:
    """A credit or refund that names no service: it lowers what it was given for, pro rata."""
    lowest = pl.min_horizontal("effective", "billed")
    return pl.col("service").is_null() & (lowest < 0)
