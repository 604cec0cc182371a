"""Tables that are made by days: a night makes the days that read a changed one, and the whole
table is the one that a first night would make."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import duckdb
import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import example, given, settings

from pipelines import made_days, sql_assets, warehouse
from pipelines.definition import Definition
from pipelines.errors import UsageError
from pipelines.rollup.charges import CHARGE_DAYS

START = date(2026, 1, 1)
DEFINITION = Definition("test").with_fields(
    qualifying_window_days=4, qualifying_billable_days=2, lag_days=3
)
WORKLOAD_DAYS, FORWARD_WINDOWS = "journey.workload_days", "journey.forward_windows"
Spend = dict[tuple[str, int], int]  # (team, day after START) -> CNY
TWENTY_DAYS: Spend = {(team, day): 5 for team in "ab" for day in range(20)}


def on(day: int) -> date:
    return START + timedelta(days=day)


@contextmanager
def build() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.scratch() as con:
        for schema in warehouse.SCHEMAS:
            con.execute(f"create schema {schema}")
        yield con


def night(
    con: duckdb.DuckDBPyConnection,
    spend: Spend,
    as_of: int = 20,
    definition: Definition = DEFINITION,
) -> tuple[int | None, ...]:
    """The day from which on each of the two tables was made; none when it was made whole."""
    rows = [
        {"usage_on": on(day), "team_id": team, "provider": "p", "family": "deploy", "net_cny": cny}
        for (team, day), cny in spend.items()
    ]
    warehouse.replace_table(con, "fact.charge_days", pl.DataFrame(rows, schema=CHARGE_DAYS))
    complete = as_of - definition.lag_days - definition.qualifying_window_days
    clocks = {"as_of": on(as_of), "data_complete_on": on(complete)}
    by_name = {asset.name: asset for asset in sql_assets.load_all()}
    found = []
    for name in (WORKLOAD_DAYS, FORWARD_WINDOWS):
        days = by_name[name].days
        assert days is not None
        outcome = made_days.run(con, by_name[name], days, definition.parameters() | clocks)
        assert not any(outcome.breaches.values())
        found.append(None if outcome.from_on is None else (outcome.from_on - START).days)
    return tuple(found)


def hashes(con: duckdb.DuckDBPyConnection) -> list[str]:
    names = (WORKLOAD_DAYS, FORWARD_WINDOWS, "ops.made_days")
    return [warehouse.content_hash(con, name) for name in names]


def test_the_first_night_makes_all() -> None:
    with build() as con:
        assert night(con, TWENTY_DAYS) == (None, None)


def test_days_are_made_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """None twice: each piece begins where the one before it ended. A table whose days read three
    more is made in pieces of four times three days at least."""
    made: dict[str, list[tuple[object, object]]] = {WORKLOAD_DAYS: [], FORWARD_WINDOWS: []}
    fill = sql_assets.fill

    def seen(con: duckdb.DuckDBPyConnection, asset: sql_assets.SqlAsset, given_: Any) -> None:
        made[asset.name].append((given_.get("from_on"), given_.get("to_on")))
        fill(con, asset, given_)

    monkeypatch.setattr(sql_assets, "fill", seen)
    monkeypatch.setattr(made_days, "_ROWS_AT_ONCE", 16)
    with build() as con:
        night(con, TWENTY_DAYS)
        assert made == {
            WORKLOAD_DAYS: [(None, on(8)), (on(8), on(16)), (on(16), None)],
            FORWARD_WINDOWS: [(None, on(12)), (on(12), None)],
        }
        made[FORWARD_WINDOWS].clear()
        night(con, TWENTY_DAYS | {("c", 4): 5})
        assert made[FORWARD_WINDOWS] == [(on(1), on(13)), (on(13), None)]


def test_duckdb_cuts_no_piece_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it go on leaving things whole afterwards, also when a piece fails."""
    fill, seen = sql_assets.fill, []

    def off(con: duckdb.DuckDBPyConnection) -> object:
        row = con.execute("select current_setting('disabled_optimizers')").fetchone()
        return row and row[0]

    def failing(con: duckdb.DuckDBPyConnection, asset: sql_assets.SqlAsset, given_: Any) -> None:
        seen.append(off(con))
        fill(con, asset, given_)
        if asset.name == FORWARD_WINDOWS:
            raise UsageError("full")

    monkeypatch.setattr(sql_assets, "fill", failing)
    with build() as con:
        with pytest.raises(UsageError):
            night(con, TWENTY_DAYS)
        assert seen == ["partitioned_execution"] * 2
        assert off(con) == ""


def test_a_night_without_news_makes_what_lies_behind_the_clocks() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        assert night(con, TWENTY_DAYS) == (20, 13)


def test_a_new_day_is_made_with_the_windows_that_it_completes() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        assert night(con, TWENTY_DAYS | {("a", 20): 5}, as_of=21) == (20, 14)


def test_a_late_charge_remakes_its_day_and_every_window_that_reads_it() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        assert night(con, TWENTY_DAYS | {("c", 10): 5}) == (10, 7)


def test_a_day_that_is_gone_is_a_change() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        without = {at: cny for at, cny in TWENTY_DAYS.items() if at[1] != 5}
        assert night(con, without) == (5, 2)


def test_a_clock_that_is_turned_back_takes_days_away() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        assert night(con, TWENTY_DAYS, as_of=16) == (16, 9)


def test_a_change_before_the_first_day_of_the_table_makes_all() -> None:
    with build() as con:
        night(con, {at: cny for at, cny in TWENTY_DAYS.items() if at[1] > 5})
        assert night(con, TWENTY_DAYS) == (None, None)


def test_another_definition_makes_all_of_the_tables_that_bind_it() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        assert night(con, TWENTY_DAYS, definition=DEFINITION.with_fields(habit_active_days=9)) == (
            20,
            13,
        )
        wider = DEFINITION.with_fields(qualifying_window_days=5, lag_days=2)
        assert night(con, TWENTY_DAYS, definition=wider) == (20, None)


def test_another_query_makes_all() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        asset = next(a for a in sql_assets.load_all() if a.name == WORKLOAD_DAYS)
        assert asset.days is not None
        other = replace(asset, query=asset.query.replace("'deploy'", "'storage'", 1))
        clocks = {"as_of": on(20), "data_complete_on": on(13)}
        outcome = made_days.run(con, other, asset.days, DEFINITION.parameters() | clocks)
        assert outcome.from_on is None


def test_a_table_that_no_day_is_known_of_is_made_whole() -> None:
    with build() as con:
        night(con, TWENTY_DAYS)
        con.execute("delete from ops.made_days")
        later = {at: cny for at, cny in TWENTY_DAYS.items() if at[1] > 5}
        assert night(con, later) == (None, None)


_SPEND = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.integers(0, 24)), st.integers(-3, 30), max_size=40
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    nights=st.lists(st.tuples(_SPEND, st.integers(8, 25)), min_size=2, max_size=4),
    rows=st.integers(1, 40),
)
@example(nights=[(TWENTY_DAYS, 20), (TWENTY_DAYS, 12), (TWENTY_DAYS, 20)], rows=1)
@example(nights=[(TWENTY_DAYS, 20), ({}, 20), (TWENTY_DAYS, 20)], rows=7)
def test_whatever_came_before_the_tables_are_those_of_a_first_night(
    nights: list[tuple[Spend, int]], rows: int
) -> None:
    """Each night's charges are those of the night before with some of its own put over them; a
    night makes the days of so many rows at once, the first night all of them."""
    with build() as con, build() as fresh:
        spend: Spend = {}
        for more, as_of in nights:
            spend = spend | more if more else {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(made_days, "_ROWS_AT_ONCE", rows)
                night(con, spend, as_of)
        night(fresh, spend, nights[-1][1])
        assert hashes(con) == hashes(fresh)
