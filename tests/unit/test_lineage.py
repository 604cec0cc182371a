"""Column lineage: what a column is computed from, by the parse tree, and nothing guessed."""

import json

import pytest

from pipelines import lineage, sql_assets, tables, warehouse

DOCUMENTED = {"fact.a": ("id", "x", "y"), "fact.b": ("id", "z")}


def sources(query: str, *wanted: str) -> dict[str, set[str]]:
    with warehouse.scratch() as con:
        row = warehouse.one(con, "select json_serialize_sql(?::varchar)", [query])
    assert row is not None
    found = lineage.columns(json.loads(row[0]), wanted, DOCUMENTED)
    return {c: {f"{t.removeprefix('fact.')}.{n}" for t, n in s} for c, s in found.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select x as c from fact.a", {"a.x"}),
        ("select t.x + u.z as c from fact.a as t join fact.b as u using (id)", {"a.x", "b.z"}),
        ("select id as c from fact.a join fact.b using (id)", {"a.id", "b.id"}),
        ("with w as (select x as v from fact.a) select v as c from w", {"a.x"}),
        ("with w(v) as (select x from fact.a) select v as c from w", {"a.x"}),
        ("with w as (select * from fact.a) select w.y as c from w", {"a.y"}),
        ("with w as (select * replace (y as x) from fact.a) select x as c from w", {"a.y"}),
        ("select x as c from fact.a union all select z from fact.b", {"a.x", "b.z"}),
        ("select sum(x) filter (where y > 0) as c from fact.a", {"a.x", "a.y"}),
        ("select sum(x) over (partition by id order by y) as c from fact.a", {"a.x", "a.id", "a.y"}),
        ("select (select max(z) from fact.b) as c from fact.a", {"b.z"}),
        ("select (select max(z + a.x) from fact.b) as c from fact.a", {"b.z", "a.x"}),
        ("select x as d, d + 1 as c from fact.a", {"a.x"}),
        ("select u.c from fact.a, unnest([x]) as u(c)", {"a.x"}),
        ("with w as (select x, y from fact.a) select share as c from kaplan_meier('w')", {"a.x", "a.y"}),
        ("select k.share as c from kaplan_meier('fact.b') as k", {"b.id", "b.z"}),
        ("with w as (select {'p': x} as s from fact.a) select s.p as c from w", {"a.x"}),
        ("select v as c from (unpivot fact.a on x, y into name n value v)", {"a.id", "a.x", "a.y"}),
        ("from (select y as c from fact.a)", {"a.y"}),
    ],
)  # fmt: skip
def test_a_value_comes_from(query: str, expected: set[str]) -> None:
    assert sources(query, "c") == {"c": expected}


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) as c from fact.a",
        "select $p::int as c from fact.a",
        "select 'all' as c from fact.a where x > 1 group by y",
    ],
)
def test_a_count_a_parameter_or_a_constant_has_no_source(query: str) -> None:
    assert sources(query, "c") == {}


def test_what_star_leaves_out_is_not_there() -> None:
    query = "with w as (select * exclude (x) from fact.a) select y as c, x as d from w"
    assert sources(query, "c", "d") == {"c": {"a.y"}}


def test_every_source_in_the_house_is_a_documented_column_of_a_table_that_is_read() -> None:
    documented = {a.name: tuple(a.columns) for a in sql_assets.load_all()} | {
        t.name: tuple(t.columns) for t in tables.ALL.values()
    }
    columns = with_source = 0
    for asset in sql_assets.load_all():
        found = sql_assets.column_sources(asset, documented)
        columns, with_source = columns + len(asset.columns), with_source + len(found)
        for table, column in {s for sources in found.values() for s in sources}:
            assert table in asset.depends_on and column in documented[table], asset.name
    assert with_source > 0.9 * columns  # the rest are counts, parameters and constants
