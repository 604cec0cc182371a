"""Frames into documented tables: the rows, and the table's own words as COMMENTs.

Belongs here: replacing, appending to and making sure of a table of tables.py.
Does not belong here: what a table holds (night.py, accounts.py, prints.py), days (warehouse.py).
"""

from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from pipelines import warehouse
from pipelines.tables import Table


def append(con: duckdb.DuckDBPyConnection, table: Table, rows: pl.DataFrame) -> None:
    con.register("incoming", rows.to_arrow())
    con.execute(f"create table if not exists {table.name} as select * from incoming limit 0")
    for name, kind in con.execute(
        "select column_name, column_type from (describe incoming)"
    ).fetchall():
        # A build file of an earlier version lacks the newer columns.
        con.execute(f'alter table {table.name} add column if not exists "{name}" {kind}')
    con.execute(f"insert into {table.name} by name select * from incoming")
    con.unregister("incoming")
    describe(con, table)


def write(con: duckdb.DuckDBPyConnection, table: Table, rows: pl.DataFrame) -> int:
    warehouse.replace_table(con, table.name, rows)
    describe(con, table)
    return rows.height


def describe(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    warehouse.comment(con, table.name, f"{table.description} Grain: {table.grain}.", table.columns)


def ensure(con: duckdb.DuckDBPyConnection, table: Table, schema: Mapping[str, Any]) -> None:
    """The table exists, even when no day was ever built, and is documented."""
    if not warehouse.exists(con, table.name):
        warehouse.replace_table(con, table.name, pl.DataFrame(schema=schema))
    describe(con, table)
