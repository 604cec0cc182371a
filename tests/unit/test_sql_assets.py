"""The grammar of a .sql file's header, what a query reads, and how one file is run."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipelines import sql_assets, warehouse
from pipelines.errors import UsageError
from pipelines.sql_assets import Check, SqlAsset

HEADER = """-- table: Days of a team.
-- grain: team_id
-- column team_id: The team.
-- column days: Its days.
"""
QUERY = "select 'a' as team_id, 3 as days\n"
MADE = "usage_on >= $from_on and usage_on < $to_on"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.scratch() as session:
        for schema in warehouse.SCHEMAS:
            session.execute(f"create schema {schema}")
        yield session


def write(root: Path, text: str, name: str = "journey/days") -> Path:
    path = root / f"{name}.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def parsed(root: Path, con: duckdb.DuckDBPyConnection, text: str) -> SqlAsset:
    return sql_assets.parse(write(root, text), con)


def test_header_is_the_documentation(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    text = (
        HEADER
        + "-- stop: days are counted | days >= 0\n"
        + "-- warn: somebody has days | days > $least\n"
        + QUERY
    )
    asset = parsed(tmp_path, con, text)
    assert (asset.name, asset.description, asset.grain) == (
        "journey.days",
        "Days of a team.",
        "team_id",
    )
    assert asset.columns == {"team_id": "The team.", "days": "Its days."}
    assert asset.checks == (
        Check("days are counted", "days >= 0", stops=True),
        Check("somebody has days", "days > $least", stops=False),
    )
    assert asset.query == QUERY.strip()


def test_lines_are_continued_by_three_blanks(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    text = """-- table: Days of a team,
--   business days
--   of course.
-- grain: team_id,
--   days
-- column team_id: The
--   team.
-- column days: Its days.
-- stop: days are
--   counted | days >= 0
--   and days < 400
select 'a' as team_id, 3 as days
"""
    asset = parsed(tmp_path, con, text)
    assert asset.description == "Days of a team, business days of course."
    assert asset.grain == "team_id, days"
    assert asset.columns["team_id"] == "The team."
    assert asset.checks == (Check("days are counted", "days >= 0 and days < 400", stops=True),)


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("T0 is not before S", "t0_is_not_before_s"),
        ("at least 95 % are linked", "at_least_95_are_linked"),
        ("a" * 100, "a" * 80),
    ],
)
def test_check_is_named_by_its_sentence(sentence: str, name: str) -> None:
    assert Check(sentence, "true", stops=True).name == name


def test_comments_below_the_header_belong_to_the_query(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    asset = parsed(tmp_path, con, HEADER + "\n-- A paid day.\n" + QUERY.strip() + ";\n")
    assert asset.query == "-- A paid day.\n" + QUERY.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("-- table: Days of a team.\n", "") + QUERY, "no line '-- table: ...'"),
        (HEADER.replace("-- grain: team_id\n", "") + QUERY, "no line '-- grain: ...'"),
        ("-- table: Days.\n-- grain: team_id\n" + QUERY, "documents no column"),
        (HEADER + "-- stop: days are counted\n" + QUERY, "'days are counted' has no condition"),
        (HEADER + "-- warn: days are counted|days >= 0\n" + QUERY, "has no condition after ' | '"),
        (HEADER + "-- owner: somebody\n" + QUERY, "line 5: not a header line: -- owner: somebody"),
        (HEADER + "-- column Days: Its days.\n" + QUERY, "line 5: not a header line"),
        (HEADER + "-- column days:\n" + QUERY, "line 5: not a header line"),
        (HEADER + "--\n" + QUERY, "line 5: not a header line"),
        ("--   Days of a team.\n" + HEADER + QUERY, "line 1: not a header line"),
        (HEADER, "has a header but no query"),
        (HEADER + "select from where", "syntax error"),
        (HEADER + "create table t as select 1", "Only SELECT statements"),
        (HEADER + "-- stop: days are counted | days >=\n" + QUERY, "syntax error"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_file(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, text: str, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        sql_assets.parse(path, con)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("select 1 as team_id", set()),
        ("select * from ref.a", {"ref.a"}),
        ("from fact.a join journey.b using (team_id)", {"fact.a", "journey.b"}),
        ("with a as (select * from fact.b) select * from a", {"fact.b"}),
        ("with b as (select 1) select * from b, fact.b", {"fact.b"}),
        ("select (select max(x) from ref.a) as team_id", {"ref.a"}),
        ("select 1 where 1 in (select x from ops.a)", {"ops.a"}),
        ("select * from fact.a anti join fact.b using (x)", {"fact.a", "fact.b"}),
        ("unpivot (select * from fact.a) on columns(*) into name n value v", {"fact.a"}),
        ("select 1 from fact.a union all select 2 from fact.b", {"fact.a", "fact.b"}),
        ("select * from kaplan_meier('journey.strata')", {"journey.strata"}),
        ("with c as (from fact.a) select * from kaplan_meier('c')", {"fact.a"}),
        ("select * from kaplan_meier('other.strata')", set()),
        ("select 'journey.strata' as team_id", set()),
        ("select * from fact.a -- not from fact.b", {"fact.a"}),
        ("select * from journey.days", set()),
        ("select * from somewhere_else", set()),
    ],
)
def test_reads_come_from_the_parse_tree(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, query: str, reads: set[str]
) -> None:
    asset = parsed(tmp_path, con, HEADER + query)
    assert set(asset.depends_on) == reads


def test_checks_read_tables_too(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    check = "-- stop: days are few | days < (select count(*) from ref.a)\n"
    asset = parsed(tmp_path, con, HEADER + check + "select * from fact.b")
    assert asset.depends_on == ("fact.b", "ref.a")


def test_parameters_are_those_of_the_query(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    query = "select 'a' as team_id, $days_2 + $days_2 as days where $as_of > date '2026-01-01'"
    assert parsed(tmp_path, con, HEADER + query).parameters == {"days_2", "as_of"}


@pytest.mark.parametrize(
    ("line", "query", "words"),
    [
        ("-- days: fact.a | 0\n", "from fact.a", "need each other"),
        ("", f"from fact.a where {MADE}", "need each other"),
        ("-- days: fact.a | 0\n", "from fact.a where usage_on >= $from_on", "need each other"),
        ("-- days: fact.b | 0\n", f"from fact.a where {MADE}", "a table that it reads"),
        ("-- days: fact.a\n", f"from fact.a where {MADE}", "a number"),
    ],
)
def test_days_that_a_query_does_not_start_from_are_refused(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, line: str, query: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        parsed(tmp_path, con, HEADER + line + query)


def test_tables_come_after_what_they_read(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "from metric.first", "journey/last")
    write(tmp_path, HEADER + "from fact.given", "metric/first")
    write(tmp_path, HEADER + "from journey.last", "journey/after")
    names = [asset.name for asset in sql_assets.load_all(tmp_path)]
    assert names == ["metric.first", "journey.last", "journey.after"]


def test_files_that_read_each_other_are_named(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "from fact.given", "journey/fine")
    write(tmp_path, HEADER + "from metric.chicken", "journey/egg")
    write(tmp_path, HEADER + "from journey.egg", "metric/chicken")
    with pytest.raises(UsageError) as caught:
        sql_assets.load_all(tmp_path)
    message = "These SQL files read each other in a circle: journey.egg, metric.chicken."
    assert str(caught.value) == message


def test_run_makes_the_table_and_its_comments(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    header = HEADER.replace("Days of a team.", "Days of a 'team'.")
    asset = parsed(tmp_path, con, header + "select 'a' as team_id, $days as days")
    for days in (3, 4):
        outcome = sql_assets.run(con, asset, {"days": days, "unused": 1})
        assert (outcome.rows, outcome.breaches) == (1, {})
        assert outcome.types == {"team_id": "VARCHAR", "days": "INTEGER"}
        assert con.execute("from journey.days").fetchall() == [("a", days)]
    comment = con.execute("select comment from duckdb_tables()").fetchall()
    assert comment == [("Days of a 'team'. Grain: team_id",)]
    columns = con.execute(
        "select column_name, comment from duckdb_columns() where table_name = 'days' order by 1"
    ).fetchall()
    assert columns == [("days", "Its days."), ("team_id", "The team.")]


def test_breaches_are_rows_where_the_condition_is_not_true(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    checks = "-- stop: enough days | days >= $least\n-- warn: a team | team_id is not null\n"
    query = "select * from (values ('a', 1), ('b', 5), ('c', null)) as v(team_id, days)"
    asset = parsed(tmp_path, con, HEADER + checks + query)
    outcome = sql_assets.run(con, asset, {"least": 5})
    assert outcome.breaches == {"enough_days": 2, "a_team": 0}
    assert outcome.rows == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select 'a' as team_id", "undocumented columns [], documented but not there ['days']."),
        (
            "select 'a' as team_id, 3 as days, 1 as more",
            "undocumented columns ['more'], documented but not there [].",
        ),
        ("select 'a' as team_id, $days as days, $least as least", "no value for $days, $least."),
        ("select team_id, days from fact.nowhere", "nowhere"),
        ("select 'a' as team_id, error('no') as days", "no"),
    ],
)
def test_a_run_that_fails_names_the_file(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, query: str, message: str
) -> None:
    asset = parsed(tmp_path, con, HEADER + query)
    with pytest.raises(UsageError) as caught:
        sql_assets.run(con, asset, {})
    assert str(caught.value).startswith(f"{asset.path}: ")
    assert message in str(caught.value)


def test_every_check_of_the_real_files_has_its_own_name() -> None:
    for asset in sql_assets.load_all():
        assert len({check.name for check in asset.checks}) == len(asset.checks), asset.name
