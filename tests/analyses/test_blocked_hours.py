"""Hours in which a quota refused somebody, from hand rows of one day."""

from datetime import UTC, date, datetime
from typing import Any

import narwhals as nw
import polars as pl

from pipelines.rollup import aggregates, requests

DAY = date(2026, 1, 5)


def refused(at: str, limit: str | None, **changes: Any) -> dict[str, Any]:
    hour, minute, second = (int(part) for part in at.split(":"))
    return {
        "usage_on": DAY, "team_id": "t", "requested_at": datetime(2026, 1, 5, hour, minute, second,
        tzinfo=UTC), "status": "refused", "refused_by": limit, "on_plan": None, "member": None,
        "task": None, "input_tokens": 0, "cached_tokens": 0, "output_tokens": 0,
    } | changes  # fmt: skip


def hours(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    schema = {
        "on_plan": pl.Boolean,
        "member": pl.String,
        "task": pl.String,
        "refused_by": pl.String,
    }
    frame = nw.from_native(pl.DataFrame(rows, schema_overrides=schema).lazy())
    found = aggregates.hourly(aggregates.refused(frame)).grouped().collect().to_native()
    found = found.select(*requests.BLOCKED_HOURS).sort(*requests.keys_of(requests.BLOCKED_HOURS))
    assert found.schema == pl.Schema(requests.BLOCKED_HOURS)
    return [(row[1], row[2].hour, *row[3:]) for row in found.rows()]


def test_an_hour_counts_once_and_keeps_every_limit_that_refused() -> None:
    rows = [
        refused("10:00:00", "5h"),
        refused("10:59:59", "month"),
        refused("10:30:00", "5h", team_id="u"),
        refused("11:00:00", "week"),
        refused("11:00:01", None),
        refused("23:00:00", "5h"),
    ]
    expected = [
        ("t", 10, 1, 0, 1, 0), ("t", 11, 0, 1, 0, 1), ("t", 23, 1, 0, 0, 0), ("u", 10, 1, 0, 0, 0),
    ]  # fmt: skip
    assert hours(*rows) == expected
    assert hours(*reversed(rows)) == expected


def test_only_refusals_of_the_plan_block() -> None:
    rows = [
        refused("10:00:00", "5h", status="ok"),
        refused("11:00:00", "5h", status="throttled"),
        refused("12:00:00", "5h", status="failed"),
        refused("13:00:00", "5h", on_plan=False),
        refused("14:00:00", "5h", on_plan=True),
    ]
    assert hours(*rows) == [("t", 14, 1, 0, 0, 0)]
