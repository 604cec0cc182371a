"""Every case of every SQL file, run against the real file with the real macros."""

import duckdb
import pytest

from pipelines import sql_assets
from pipelines.settings import SQL
from tests.sql import runner
from tests.sql.runner import Case

ASSETS = {asset.name: asset for asset in sql_assets.load_all()}
CASES = runner.cases()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    asset = None if case.table.startswith("macros.") else ASSETS[case.table]
    assert runner.faults(con, asset, case) == [], case.why


def test_every_table_has_a_case() -> None:
    assert {case.table for case in CASES} >= set(ASSETS)


def test_every_folder_is_one_of_a_table_or_macro() -> None:
    macros = {f"macros.{path.stem}" for path in (SQL / "macros").glob("*.sql")}
    assert {case.table for case in CASES} <= set(ASSETS) | macros
