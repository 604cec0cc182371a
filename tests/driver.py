"""Runs a night's steps in their order without Dagster, for tests that need many nights.

Belongs here: the order of the steps, once more, and nothing else; test_end_to_end.py shows that
the Dagster job ends with the same tables.
"""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from pipelines import accounts, night, prints, settings, sql_assets, warehouse
from pipelines.night import Night

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def places(data: Path, reference: Path | None = None, engine: str = "polars") -> settings.Settings:
    return settings.Settings(
        data=data,
        reference=reference or settings.CHECKOUT / "data" / "reference",
        engine=engine,
    )


def fill(work: Night, now: datetime = NOW) -> None:
    """Landing to ref.* and fact.*."""
    night.take_stock(work, now)
    night.write_reference(work)
    night.build_request_days(work)
    night.build_charge_days(work)
    night.write_subscriptions(work)
    night.write_directory(work)


def run(
    data: Path,
    as_of: date | None = None,
    known_at: datetime | None = None,
    reference: Path | None = None,
    run_id: str = "test",
    now: datetime = NOW,
    engine: str = "polars",
) -> Night:
    """One night over data/landing, published to data/cloudbound.duckdb."""
    work = night.prepare(places(data, reference, engine), as_of, known_at)
    with warehouse.build(work.settings.build):
        fill(work, now)
        night.set_clock(work)
        assets = sql_assets.load_all()
        for asset in (a for a in assets if a.schema != "ops"):
            night.run_sql(work, asset)
        accounts.account_for(work)
        night.write_other_definitions(work)
        prints.record_print(work, run_id, now)
        for asset in (a for a in assets if a.schema == "ops"):
            night.run_sql(work, asset)
        prints.publish(work, run_id, now, now)
    return work


def query(data: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows of the published file."""
    os.environ.setdefault("TZ", "UTC")
    with duckdb.connect(str(data / "cloudbound.duckdb"), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        return con.execute(sql).fetchall()
