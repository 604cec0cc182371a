"""The empty warehouse of the SQL cases: every table with the types that a real night gives it."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipelines import warehouse
from tests import driver

ONE_REQUEST = (
    '{"request_id": "1", "team": "t", "requested_at": "2026-01-05T00:00:00Z", '
    '"model": "m", "status": "ok"}\n'
)


def empty_tables(build: Path) -> Iterator[str]:
    """A `create table` for every table of a build file."""
    with duckdb.connect(str(build), read_only=True) as con:
        tables = con.execute(
            "select table_schema, table_name from information_schema.tables"
        ).fetchall()
        for schema, table in tables:
            columns = con.execute(f"describe {schema}.{table}").fetchall()
            body = ", ".join(f'"{name}" {kind}' for name, kind, *_ in columns)
            yield f"create table {schema}.{table} ({body})"


@pytest.fixture(scope="session")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session with macros and empty tables, copied from a night over a single request."""
    data = tmp_path_factory.mktemp("empty")
    landing = data / "landing" / "plan"
    landing.mkdir(parents=True)
    (landing / "requests.jsonl").write_text(ONE_REQUEST, "utf-8")
    work = driver.run(data)
    with warehouse.scratch() as session:
        session.execute("set threads = 1")
        for schema in warehouse.SCHEMAS:
            session.execute(f"create schema {schema}")
        for statement in empty_tables(work.settings.build):
            session.execute(statement)
        warehouse.install_macros(session, over_tables=False)
        warehouse.install_macros(session, over_tables=True)
        yield session
