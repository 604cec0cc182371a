"""Tables that are made by days: which of them a night needs to make.

Belongs here: what each day was made of (ops.made_days), and the first that has to be made again.
Does not belong here: which tables these are (their header), the days of facts (night.py).

A day's rows follow from the query, from what it binds, and from the source's rows of the day and
those that the header names. Their content is compared, not who wrote them when: whatever changed a
row, a late file or a person forgotten, its day is made again.

Days are made some at a time, in their order, so that a day lies together without a sort and what
groups its rows stays small. DuckDB would cut each group by once more, into so many ranges of days as
the whole source is large, and read the piece once for each of them: that is off. Days after a piece that its own days read are read once more by the next
one: where there are such days, a piece is so long that they are at most a quarter of it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import duckdb
import polars as pl

from pipelines import documented, sql_assets, tables, warehouse
from pipelines.sql_assets import Days, Outcome, SqlAsset

_CLOCKS = frozenset({"as_of", "data_complete_on"})
_SPAN = frozenset({"from_on", "to_on"})
_ROWS_AT_ONCE = 2_000_000  # of the source
_DAYS_FOR_EACH_AFTER = 4
_MADE_DAYS: dict[str, Any] = {
    "table_name": pl.String, "usage_on": pl.Date, "fingerprint": pl.String,
}  # fmt: skip


def run(
    con: duckdb.DuckDBPyConnection, asset: SqlAsset, days: Days, parameters: Mapping[str, Any]
) -> Outcome:
    """The table as sql_assets.run makes it, by making the days from the first changed one on.

    Raises what it raises.
    """
    documented.ensure(con, tables.MADE_DAYS, _MADE_DAYS)
    bound = asset.values(parameters)
    key = repr((asset.query, {k: v for k, v in bound.items() if k not in _CLOCKS | _SPAN}))
    con.execute(
        f"create or replace temp table made_now as select $table as table_name, usage_on, "
        f"hash($key, sum(hash(whole_row)::hugeint))::varchar as fingerprint, count(*) as source_rows "
        f"from {days.source} as whole_row group by usage_on",
        {"table": asset.name, "key": key},
    )
    after = _after(con, days, parameters)
    from_on = _from_on(con, asset, after, parameters)
    if from_on is not None:
        con.execute(f"delete from {asset.name} where usage_on >= ?", [from_on])
    with warehouse.without(con, "partitioned_execution"):
        for first, end in pairwise([from_on, *_further_starts(con, from_on, after), None]):
            span = {"from_on": first, "to_on": end}
            given = {name: day for name, day in span.items() if day is not None}
            sql_assets.fill(con, asset, {**parameters, **given})
    con.execute(f"delete from {tables.MADE_DAYS.name} where table_name = ?", [asset.name])
    con.execute(
        f"insert into {tables.MADE_DAYS.name} by name select * exclude (source_rows) from made_now"
    )
    con.execute("drop table made_now")
    return replace(sql_assets.finish(con, asset, parameters), from_on=from_on)


def _after(con: duckdb.DuckDBPyConnection, days: Days, parameters: Mapping[str, Any]) -> int:
    """How many days after it a day reads."""
    bound = {name: parameters[name] for name in sql_assets.bound_in(days.after)}
    row = warehouse.one(con, f"select ({days.after})::int", bound or None)
    assert row is not None
    return int(row[0])


def _further_starts(con: duckdb.DuckDBPyConnection, from_on: date | None, after: int) -> list[date]:
    """The days, after the first to be made, at which other days than those before are made."""
    rows = con.execute(
        "select usage_on, source_rows from made_now where usage_on >= ? order by usage_on",
        [from_on or date.min],
    ).fetchall()
    starts: list[date] = []
    begin, held = None, 0
    for day, size in rows:
        begin = begin or day
        is_long = (day - begin).days >= _DAYS_FOR_EACH_AFTER * after
        if held and held + size > _ROWS_AT_ONCE and is_long:
            starts.append(day)
            begin, held = day, 0
        held += size
    return starts


def _from_on(
    con: duckdb.DuckDBPyConnection, asset: SqlAsset, after: int, parameters: Mapping[str, Any]
) -> date | None:
    """First day to make; None when all are.

    That is the first day that reads a changed one, or that lies behind the last day of the table
    or of a clock, whichever comes first: the clocks may stand elsewhere than last time.
    """
    made = tables.MADE_DAYS.name
    known = warehouse.one(con, f"select 1 from {made} where table_name = ?", [asset.name])
    if known is None or not warehouse.exists(con, asset.name):
        return None
    row = warehouse.one(
        con,
        f"""
        select
            min(usage_on) - $after as changed_on,
            (select min(usage_on) from {asset.name}) as first_on,
            (select max(usage_on) + 1 from {asset.name}) as ends_on
        from (from {made} where table_name = $table) as before
        full join made_now using (usage_on)
        where before.fingerprint is distinct from made_now.fingerprint
        """,
        {"table": asset.name, "after": after},
    )
    assert row is not None
    changed_on, first_on, ends_on = row
    if first_on is None:
        return None
    clocks = [parameters[name] for name in _CLOCKS & asset.query_parameters]
    start: date = min(day for day in (changed_on, ends_on, *clocks) if day is not None)
    return start if start > first_on else None
