"""What of the past differs from the print before: why a closed cohort was restated.

Belongs here: what counts as the past of each input, and the comparison of two prints.
Does not belong here: the cohorts themselves (sql/ops/restatements.sql), when a night is printed
(prints.py).

Every night brings new days. Only what lies before the as-of day of the last print can restate it,
so each input is compared on those days alone, by content. Facts change only when their day is built
again: a day's content is read once (ops.day_contents), and what lies before a day is the sum of its
days.
"""

import json
from datetime import date, datetime
from typing import Any

import duckdb
import polars as pl

from pipelines import documented, tables, warehouse

# Cause -> the family whose days hold its rows, and the rows of those that were built anew.
DAYS = {
    "late requests": ("requests", "from fact.member_days semi join built using (usage_on)"),
    "refund or credit": (
        "charges",
        "from ops.adjustment_days semi join built using (usage_on) where kind = 'refund'",
    ),
    "correction": (
        "charges",
        "from ops.adjustment_days semi join built using (usage_on) where kind = 'correction'",
    ),
    # All other charges: the facts less those two.
    "late or re-stated charges": (
        "charges",
        """
        select usage_on, team_id, source, currency, sum(billed) as billed, sum(effective) as effective
        from (
            select usage_on, team_id, source, currency, billed, effective
            from fact.charge_days
            union all
            select usage_on, team_id, source, currency, -billed, -effective
            from ops.adjustment_days
        ) as others
        semi join built using (usage_on)
        group by all
        having sum(billed) <> 0 or sum(effective) <> 0""",
    ),
}
# Cause -> the rows that lie before $day.
PAST = {
    "plan events": "select * exclude (file, line) from fact.subscriptions where occurred_on < $day",
    "merge or link": """
        select source, source_id, team_id, from_on, least(coalesce(to_on, $day), $day) as to_on
        from ref.team_spans where from_on < $day""",
    "directory": """
        select * exclude (opened_at) from fact.teams
        where coalesce(opened_at < $day::timestamptz, true)""",
}
_CONTENTS: dict[str, Any] = {
    "cause": pl.String, "usage_on": pl.Date, "fingerprint": pl.String, "content": pl.Decimal(38, 0),
}  # fmt: skip


def seen(
    con: duckdb.DuckDBPyConnection, day: date, reference: str, known_at: datetime | None
) -> str:
    """As JSON, the day, and per cause a hash of what a print saw before it."""
    _read_built_days(con)
    contents = {cause: str(_before(con, cause, day)) for cause in DAYS}
    contents |= {cause: str(_content(con, query, day)) for cause, query in PAST.items()}
    others = {"reference files": reference, "another known-at": str(known_at)}
    return json.dumps({"before": str(day), "contents": contents | others})


def causes(
    con: duckdb.DuckDBPyConnection, before: str, reference: str, known_at: datetime | None
) -> list[str]:
    """The causes by which the same days now differ from what `seen` noted at an earlier print."""
    noted = json.loads(before)
    if "contents" not in noted:
        return ["another version of Cloudbound"]
    day = date.fromisoformat(noted["before"])
    now = json.loads(seen(con, day, reference, known_at))
    return [c for c, mark in now["contents"].items() if noted["contents"].get(c) != mark]


def _read_built_days(con: duckdb.DuckDBPyConnection) -> None:
    """ops.day_contents of the days that were built since it was last read, and of no other."""
    documented.ensure(con, tables.DAY_CONTENTS, _CONTENTS)
    contents = tables.DAY_CONTENTS.name
    for cause, (family, rows) in DAYS.items():
        con.execute(
            f"delete from {contents} where cause = $cause and (usage_on, fingerprint) not in "
            "(select (usage_on, fingerprint) from ops.built_days where family = $family)",
            {"cause": cause, "family": family},
        )
        con.execute(
            "create or replace temp table built as select usage_on, fingerprint "
            f"from ops.built_days anti join (from {contents} where cause = $cause) using (usage_on) "
            "where family = $family",
            {"cause": cause, "family": family},
        )
        con.execute(
            f"""
            insert into {contents} by name
            with found as (
                select usage_on, sum(hash(t)::hugeint) as content from ({rows}) as t group by usage_on
            )
            select $cause as cause, usage_on, fingerprint, coalesce(content, 0) as content
            from built left join found using (usage_on)""",
            {"cause": cause},
        )
    con.execute("drop table built")


def _before(con: duckdb.DuckDBPyConnection, cause: str, day: date) -> int:
    query = (
        f"select coalesce(sum(content), 0) from {tables.DAY_CONTENTS.name} "
        "where cause = $cause and usage_on < $day"
    )
    row = warehouse.one(con, query, {"cause": cause, "day": day})
    assert row is not None
    return int(row[0])


def _content(con: duckdb.DuckDBPyConnection, query: str, day: date) -> int:
    """The sum of the rows' hashes: it is the same in every order of them."""
    row = warehouse.one(
        con, f"select coalesce(sum(hash(t)::hugeint), 0) from ({query}) as t", {"day": day}
    )
    assert row is not None
    return int(row[0])
