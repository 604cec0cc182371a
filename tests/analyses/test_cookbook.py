"""Every query of the cookbook answers a question by name, and runs.

Belongs here: the queries over an empty warehouse. Does not belong here: their answers
(tests/sql), the queries over a planted world (tests/test_end_to_end.py).
"""

from pathlib import Path

import duckdb
import pytest

from pipelines.settings import SQL
from tests.sql.conftest import con as warehouse_of_a_single_request

con = warehouse_of_a_single_request
QUERIES = sorted((SQL / "cookbook").glob("*.sql"))


def question(path: Path) -> str:
    first, _, _ = path.read_text("utf-8").partition("\n")
    assert first.startswith("-- question: "), path.name
    return first.removeprefix("-- question: ")


@pytest.mark.parametrize("path", QUERIES, ids=[p.stem for p in QUERIES])
def test_the_query_answers(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    assert question(path).endswith("?")
    con.execute(path.read_text("utf-8")).fetchall()
    assert con.description


def test_fifteen_questions_each_asked_once() -> None:
    asked = [question(path) for path in QUERIES]
    assert len(asked) >= 15
    assert len(set(asked)) == len(asked)


def test_every_analysis_has_a_question() -> None:
    text = " ".join(path.read_text("utf-8") for path in QUERIES)
    page = (SQL.parent / "docs" / "analyses.md").read_text("utf-8")
    tables = {p.stem for p in (SQL / "metric").glob("*.sql") if f"metric.{p.stem}" in page}
    rest = tables - {"conversion", "headline", "decision_numbers"}
    assert {t for t in rest if f"metric.{t}" not in text} == set()
