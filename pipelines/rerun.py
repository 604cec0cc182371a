"""The rules once more under other definitions, over the facts that are there.

Belongs here: running the journey and metric files beside a build or published file.
Does not belong here: any rule (sql/), or the night's own tables (night.py).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import duckdb
import polars as pl

from pipelines import sql_assets, warehouse
from pipelines.definition import Definition
from pipelines.errors import UsageError
from pipelines.sql_assets import SqlAsset

# What the published grid multiplies out; the definition's own values always join in.
GRID: dict[str, tuple[Any, ...]] = {
    "qualifying_floor_cny": tuple(Decimal(v) for v in (0, 10, 30, 100)),
    "qualifying_billable_days": (14, 21, 26),
    "habit_active_days": (3, 5, 8),
}
_SHARE = ("teams", "moved", "at_risk", "share", "ci_low", "ci_high")


@contextmanager
def under(
    con: duckdb.DuckDBPyConnection, definition: Definition, target: str | None = None
) -> Iterator[None]:
    """The session's journey and metric tables follow the given definition.

    The clocks are those of the file; C moves with the definition's lag and window. With a
    target only the tables that it needs are made.
    """
    with warehouse.beside(con):
        _same_days(con, definition)
        bound = _bound(con, definition)
        for asset in _needed(target):
            sql_assets.run(con, asset, bound)
        warehouse.install_macros(con, over_tables=target is None)
        yield


def _bound(con: duckdb.DuckDBPyConnection, definition: Definition) -> dict[str, Any]:
    clock = warehouse.one(con, "select as_of, known_at from ops.clock")
    assert clock is not None
    days = definition.lag_days + definition.qualifying_window_days
    return definition.parameters() | {
        "as_of": clock[0],
        "known_at": clock[1],
        "data_complete_on": clock[0] - timedelta(days=days),
    }


def _same_days(con: duckdb.DuckDBPyConnection, definition: Definition) -> None:
    row = warehouse.one(con, "select value from ops.definition where name = 'zone'")
    if row and json.loads(row[0]) != definition.zone:
        raise UsageError(
            f"The facts are cut into business days of {json.loads(row[0])}, this definition counts "
            f"days of {definition.zone}: run a night with it instead."
        )


def _needed(target: str | None) -> list[SqlAsset]:
    rules = [a for a in sql_assets.load_all() if a.schema in ("journey", "metric")]
    if target is None:
        return rules
    by_name = {a.name: a for a in rules}
    wanted, found = [target], set[str]()
    while wanted:
        name = wanted.pop()
        if name in by_name and name not in found:
            found.add(name)
            wanted += by_name[name].depends_on
    return [a for a in rules if a.name in found]


class _Versions:
    """The tables below a target, each once per set of parameter values that it, or a table below
    it, binds.

    A definition that changes the floor alone needs other qualifying days, but the same windows
    and habits; what the base definition already made in the file is used as it stands. A version
    that only one other reads is a view: its rows, the qualifying days among them, are never kept.
    Only teams with a habit under one of the definitions are looked at: no other is in the
    headline population, and nothing that a headline reads of a team comes from another team.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        original: str,
        target: str,
        base: Definition,
        definitions: Iterable[Definition],
    ) -> None:
        self._con = con
        *self._assets, self._target = _needed(target)
        made = self._keys(_bound(con, base))
        self._tables = {version: f"{original}.{version[0]}" for version in made.items()}
        reads = {
            ((name, keys[name]), (asset.name, keys[asset.name]))
            for keys in (self._keys(_bound(con, definition)) for definition in definitions)
            for asset in self._assets
            for name in asset.depends_on
            if name in keys
        }
        readers = Counter(version for version, _ in reads)
        self._views = {
            v for v, n in readers.items() if n == 1 and v[0] not in self._target.depends_on
        }
        con.execute("create schema version")
        self._look_at_the_integrated_only(definitions)

    def _look_at_the_integrated_only(self, definitions: Iterable[Definition]) -> None:
        con = self._con
        below = {a.name for a in _needed("journey.habits")}
        habits = set()
        for definition in definitions:
            bound = _bound(con, definition)
            self._show([a for a in self._assets if a.name in below], bound)
            habits.add(self._tables["journey.habits", self._keys(bound)["journey.habits"]])
        teams = (f"select team_id from {t} where integrated_on is not null" for t in sorted(habits))
        con.execute(f"create table version.integrated as {' union '.join(teams)}")
        for at, version in enumerate(v for v in self._tables if v[0] == "journey.subscribers"):
            con.execute(
                f"create table version.people_{at} as from {self._tables[version]} "
                "semi join version.integrated using (team_id)"
            )
            self._tables[version] = f"version.people_{at}"

    def show(self, definition: Definition) -> tuple[str, dict[str, Any]]:
        """The target's query and what it binds; every table that it reads is the definition's."""
        bound = _bound(self._con, definition)
        self._show(self._assets, bound)
        return self._target.query, self._target.values(bound)

    def _show(self, assets: Iterable[SqlAsset], bound: dict[str, Any]) -> None:
        keys = self._keys(bound)
        for asset in assets:
            version = asset.name, keys[asset.name]
            if version not in self._tables and version in self._views:
                query = self._unbound(asset, bound)
            else:
                query = f"from {self._table(asset, version, bound)}"
            self._con.execute(f"create or replace view {asset.name} as {query}")

    def _table(self, asset: SqlAsset, version: tuple[str, str], bound: dict[str, Any]) -> str:
        if version not in self._tables:
            self._tables[version] = f"version.table_{len(self._tables)}"
            made = f"create table {self._tables[version]} as {asset.query}"
            self._con.execute(made, asset.values(bound) or None)
        return self._tables[version]

    def _unbound(self, asset: SqlAsset, bound: dict[str, Any]) -> str:
        """The query of a view, which binds nothing: it reads the session's variables."""
        query = asset.query
        for name, value in asset.values(bound).items():
            self._con.execute(f"set variable {name} = $value", {"value": value})
            query = re.sub(rf"\${name}\b", f"getvariable('{name}')", query)
        return query

    def _keys(self, bound: dict[str, Any]) -> dict[str, str]:
        keys: dict[str, str] = {}
        for asset in self._assets:
            below = [keys[name] for name in asset.depends_on if name in keys]
            keys[asset.name] = repr((asset.values(bound), below))
        return keys


def _shares(
    con: duckdb.DuckDBPyConnection,
    base: Definition,
    definitions: Iterable[Definition],
    value: str,
) -> pl.DataFrame:
    """definition, value, horizon_days and the estimates of metric.conversion, per definition.

    Every definition is one more breakdown of the clocks, with the groups that `value` (an
    expression over journey.clocks) makes, so that metric/curve and metric/conversion do the rest.
    """
    with warehouse.beside(con) as original:
        con.execute(f"create table clocks as from {original}.journey.strata limit 0")
        definitions = list(definitions)
        versions = _Versions(con, original, "journey.clocks", base, definitions)
        for definition in definitions:
            query, bound = versions.show(definition)
            con.execute(
                f"""
                insert into clocks
                select
                    {{'population': 'nsm', 'by': $series, 'value': {value}}}, 'nsm', $series,
                    {value}, team_id, days, moved, potential_days, after_churn
                from ({query})
                where is_headline
                """,
                bound | {"series": definition.hash},
            )
        con.execute("create view journey.strata as from clocks")
        for asset in _needed("metric.conversion"):
            if asset.name in ("metric.curve", "metric.conversion"):
                sql_assets.run(con, asset, _bound(con, base))
        return warehouse.frame(
            con,
            'select "by" as definition, "value", * exclude (definition, population, "by", "value") from metric.conversion',
        )


def grid(con: duckdb.DuckDBPyConnection, base: Definition) -> pl.DataFrame:
    """The headline under every combination of the grid's values; see tables.DEFINITION_GRID."""
    definitions = list(_combinations(base))
    rows = [(*(getattr(d, f) for f in GRID), _fields_changed(d, base), d.hash) for d in definitions]
    schema: dict[str, Any] = {
        **dict.fromkeys(GRID, pl.Int32), "qualifying_floor_cny": pl.Decimal(18, 2),
        "fields_changed": pl.Int32, "definition": pl.String,
    }  # fmt: skip
    horizons = pl.DataFrame({"horizon_days": base.horizons}, schema={"horizon_days": pl.Int32})
    shares = _shares(con, base, definitions, "'all'")
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .join(horizons, how="cross")
        .join(shares, on=["definition", "horizon_days"], how="left")
        .with_columns(pl.col("teams", "moved", "at_risk").fill_null(0))
        .select(*schema, "horizon_days", *_SHARE)
        .sort(*GRID, "horizon_days")
    )


def _combinations(base: Definition) -> Iterator[Definition]:
    values = [sorted({*given, getattr(base, field)}) for field, given in GRID.items()]
    for chosen in product(*values):
        yield base.with_fields(**dict(zip(GRID, chosen, strict=True)))


def _fields_changed(definition: Definition, base: Definition) -> int:
    return sum(getattr(definition, field) != getattr(base, field) for field in GRID)


def series(
    con: duckdb.DuckDBPyConnection, current: Definition, earlier: Iterable[Definition]
) -> pl.DataFrame:
    """The weekly cohorts under the current and the earlier definitions; see
    tables.DEFINITION_SERIES.

    Earlier definitions whose business days lie in another zone are left out: the facts are cut
    into days of the current one.
    """
    definitions = [current, *(d for d in earlier if d.zone == current.zone)]
    versions = pl.DataFrame(
        [(d.hash, d.version, d == current) for d in definitions],
        schema={"definition": pl.String, "version": pl.String, "is_current": pl.Boolean},
        orient="row",
    )
    shares = _shares(con, current, definitions, "date_trunc('week', integrated_on)::date::varchar")
    return (
        versions.join(shares, on="definition")
        .with_columns(week_on=pl.col("value").str.to_date())
        .select(
            *versions.columns, "week_on", "horizon_days", *_SHARE,
            "mature_teams", "mature_moved", "mature_share",
        )
        .sort("definition", "week_on", "horizon_days")
    )  # fmt: skip
