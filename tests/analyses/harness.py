"""Runs the real SQL of one table over hand-made frames, as often as a proof needs.

Belongs here: the session, the parameters, and how many seeds a proof looks at.
Does not belong here: worlds (worlds.py), what they must show (test_*.py).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache

import duckdb
import polars as pl
from scipy.stats import binom

from pipelines import decisions, reference, settings, sql_assets, warehouse
from pipelines.definition import Definition
from pipelines.sql_assets import SqlAsset

AS_OF = date(2026, 1, 1)
COMPLETE = AS_OF - timedelta(days=31)
SEEDS = max(40, int(os.environ.get("CLOUDBOUND_TEST_SEEDS", "40")))
"""Worlds per proof; CLOUDBOUND_TEST_SEEDS=400 is the long run whose figures docs/analyses.md has."""


def most_false_findings(worlds: int, rate: float = 0.05) -> int:
    """More than these a test with that rate has in less than 1 of 100 such runs (binomial)."""
    return int(binom.ppf(0.99, worlds, rate))


def fewest_covered(worlds: int) -> float:
    """At least these the 95 % intervals cover: 90 %, or with fewer than 200 worlds what chance
    leaves of 95 % in 99 of 100 such runs (binomial)."""
    return 0.9 * worlds if worlds >= 200 else float(binom.ppf(0.01, worlds, 0.95))


@cache
def asset(name: str) -> SqlAsset:
    return next(a for a in sql_assets.load_all() if a.name == name)


@cache
def reference_tables() -> dict[str, pl.DataFrame]:
    found = reference.load(settings.CHECKOUT / "data" / "reference").tables()
    assert set(found["decisions"].columns) == set(decisions.SCHEMA)
    return found


@contextmanager
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    """Schemas, macros and the checkout's reference files; one thread, so that runs are alike."""
    with warehouse.scratch() as con:
        con.execute("set threads = 1")
        for schema in warehouse.SCHEMAS:
            con.execute(f"create schema {schema}")
        warehouse.install_macros(con, over_tables=False)
        for name, frame in reference_tables().items():
            warehouse.replace_table(con, f"ref.{name}", frame)
        yield con


def run(con: duckdb.DuckDBPyConnection, table: str) -> pl.DataFrame:
    """Rebuild one table from what the session holds. No stopping check may breach."""
    clocks = {"as_of": AS_OF, "known_at": None, "data_complete_on": COMPLETE}
    outcome = sql_assets.run(con, asset(table), Definition("test").parameters() | clocks)
    stops = {c.name for c in asset(table).checks if c.stops}
    found = {name: rows for name, rows in outcome.breaches.items() if rows and name in stops}
    assert not found, found
    return con.table(table).pl()
