"""What of the past differs from the print before: why a closed cohort was restated.

Belongs here: what counts as the past of each input, and the comparison of two prints.
Does not belong here: the cohorts themselves (sql/ops/restatements.sql), when a night is printed
(night.py).

Every night brings new days. Only what lies before the as-of day of the last print can restate it,
so each input is compared on those days alone, by content.
"""

import json
from datetime import date, datetime

import duckdb

from pipelines import warehouse

# Cause -> the rows that lie before $day.
PAST = {
    "late requests": "select * from fact.member_days where usage_on < $day",
    "refund or credit": """
        select * from ops.adjustment_days where kind = 'refund' and usage_on < $day""",
    "correction": """
        select * from ops.adjustment_days where kind = 'correction' and usage_on < $day""",
    # All other charges: the facts less those two.
    "late or re-stated charges": """
        select usage_on, team_id, source, currency, sum(billed) as billed, sum(effective) as effective
        from (
            select usage_on, team_id, source, currency, billed, effective
            from fact.charge_days
            union all
            select usage_on, team_id, source, currency, -billed, -effective
            from ops.adjustment_days
        ) as others
        where usage_on < $day
        group by all
        having sum(billed) <> 0 or sum(effective) <> 0""",
    "plan events": "select * exclude (file, line) from fact.subscriptions where occurred_on < $day",
    "merge or link": """
        select source, source_id, team_id, from_on, least(coalesce(to_on, $day), $day) as to_on
        from ref.team_spans where from_on < $day""",
    "directory": """
        select * exclude (opened_at) from fact.teams
        where coalesce(opened_at < $day::timestamptz, true)""",
}


def seen(
    con: duckdb.DuckDBPyConnection, day: date, reference: str, known_at: datetime | None
) -> str:
    """As JSON, the day, and per cause the hash of what a print saw before it."""
    hashes = {cause: _hash(con, query, day) for cause, query in PAST.items()}
    return json.dumps(
        {
            "before": str(day),
            "hashes": hashes | {"reference files": reference, "another known-at": str(known_at)},
        }
    )


def causes(
    con: duckdb.DuckDBPyConnection, before: str, reference: str, known_at: datetime | None
) -> list[str]:
    """The causes by which the same days now differ from what `seen` noted at an earlier print."""
    noted = json.loads(before)
    if "before" not in noted:
        return ["another version of Cloudbound"]
    day = date.fromisoformat(noted["before"])
    now = json.loads(seen(con, day, reference, known_at))
    return [c for c, mark in now["hashes"].items() if noted["hashes"].get(c) != mark]


def _hash(con: duckdb.DuckDBPyConnection, query: str, day: date) -> str:
    row = warehouse.one(
        con,
        "select count(*), coalesce(bit_xor(hash(t)), 0), coalesce(sum(hash(t)::hugeint), 0) "
        f"from ({query}) as t",
        {"day": day},
    )
    assert row is not None
    return f"{row[0]}-{row[1]:x}-{row[2]:x}"
