"""Runs one hand-written case of one SQL file: given rows in, the real query, expected rows out.

Belongs here: reading a case, filling its input tables, running the file, comparing the rows.
Does not belong here: any expectation (the .yaml files), the types of a table (a real, empty night
makes them, see conftest.py).

A case is tests/sql/<schema>/<table>/<case>.yaml:
    why: one sentence
    parameters: {definition field or as_of, known_at, data_complete_on, to_on: value}
    given: {schema.table: [rows, only the columns that matter]}
    expect: rows in the order of the grain, only the columns that matter
    only: {column: value} - compare only the rows that have these values
    expect_breaches: {check: rows}; a check that isn't named must hold for every row
    expect_error: words of the error
    query: a query to compare instead of the table, for a macro over our tables (schema macros)
In a row `2026-01-05..2026-01-09` and `a1..a10` stand for a row each, and so does a list in a
column that holds no lists. Columns that no row names are null, counts of fact tables 0.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import yaml  # type: ignore[import-untyped]  # drop with a PyYAML that ships its types

from pipelines import sql_assets
from pipelines.definition import Definition
from pipelines.errors import UsageError
from pipelines.sql_assets import SqlAsset

HERE = Path(__file__).parent
AS_OF = date(2026, 7, 1)
CLOCKS = ("as_of", "known_at", "data_complete_on")
Row = dict[str, Any]

_DAYS = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")
_NAMES = re.compile(r"([a-z_-]+)(\d+)\.\.\1(\d+)")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML in which a key that is written twice is an error, not a lost half of a case."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Row:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if key != "<<" and keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"written twice: {sorted(twice)} {node.start_mark}")
        found: Row = super().construct_mapping(node, deep)
        return found


@dataclass(frozen=True)
class Case:
    """One .yaml file."""

    path: Path
    why: str
    parameters: Row = field(default_factory=dict)
    given: dict[str, list[Row]] = field(default_factory=dict)
    expect: list[Row] | None = None
    only: Row = field(default_factory=dict)
    expect_breaches: dict[str, int] = field(default_factory=dict)
    expect_error: str | None = None
    query: str | None = None

    @property
    def table(self) -> str:
        return f"{self.path.parent.parent.name}.{self.path.parent.name}"

    @property
    def id(self) -> str:
        return f"{self.path.parent.parent.name}/{self.path.parent.name}/{self.path.stem}"


def load(path: Path) -> Case:
    """Read one case. Raises ValueError naming the file when it isn't one."""
    try:
        document = yaml.load(path.read_text("utf-8"), Loader=_Loader)
        case = Case(path=path, **document)
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not case.why.endswith(".") or (
        case.expect is None and not case.expect_breaches and not case.expect_error
    ):
        raise ValueError(f"{path} needs a sentence why, and expectations.")
    return case


@cache
def cases() -> tuple[Case, ...]:
    """All cases, table by table."""
    return tuple(load(path) for path in sorted(HERE.glob("*/*/*.yaml")))


_NO_FIELDS = {*CLOCKS, "to_on"}


def parameters(case: Case) -> Row:
    """What the file may bind: the default definition with the case's fields, and its clocks.

    C follows from A as in night.set_clock unless the case says it.
    """
    unknown = set(case.parameters) - _NO_FIELDS - {f.name for f in fields(Definition)}
    if unknown:
        raise ValueError(f"{case.path}: unknown parameters {sorted(unknown)}.")
    types = {f.name: f.type for f in fields(Definition)}
    changes = {
        name: Decimal(str(value))
        if types[name] is Decimal
        else (tuple(value) if isinstance(value, list) else value)
        for name, value in case.parameters.items()
        if name not in _NO_FIELDS
    }
    definition = Definition(version="case").with_fields(**changes)
    as_of = case.parameters.get("as_of", AS_OF)
    complete = as_of - timedelta(days=definition.lag_days + definition.qualifying_window_days)
    return definition.parameters() | {
        "as_of": as_of,
        "known_at": case.parameters.get("known_at"),
        "data_complete_on": case.parameters.get("data_complete_on", complete),
        **{name: day for name, day in case.parameters.items() if name == "to_on"},
    }


def faults(
    con: duckdb.DuckDBPyConnection, asset: SqlAsset | None, case: Case, prelude: str = ""
) -> list[str]:
    """What differs from the case's expectations: no text, no difference.

    `con` stays as it was, whatever the prelude (a macro made anew) did.
    """
    con.execute("begin transaction")
    try:
        con.execute(prelude)
        for table, rows in case.given.items():
            if asset is not None and table not in asset.depends_on:
                raise ValueError(f"{case.path}: {asset.name} doesn't read {table}.")
            _fill(con, table, rows)
        if asset is None:
            assert case.query is not None, case.path
            return list(_differences(_rows(con, case.query), case))
        try:
            outcome = sql_assets.run(con, asset, parameters(case))
        except UsageError as error:
            if case.expect_error is None:
                raise
            return [] if case.expect_error in str(error) else [f"another error: {error}"]
        if case.expect_error is not None:
            return [f"no error, but {outcome.rows} rows"]
        return [*_breaches(asset, outcome.breaches, case), *_table_differences(con, asset, case)]
    finally:
        con.execute("rollback")


def _breaches(asset: SqlAsset, found: Mapping[str, int], case: Case) -> Iterator[str]:
    unknown = set(case.expect_breaches) - {c.name for c in asset.checks}
    if unknown:
        raise ValueError(f"{case.path}: {asset.name} has no check {sorted(unknown)}.")
    for name, rows in found.items():
        if rows != case.expect_breaches.get(name, 0):
            yield f"{name}: {rows} rows in breach"


def _table_differences(
    con: duckdb.DuckDBPyConnection, asset: SqlAsset, case: Case
) -> Iterator[str]:
    if case.expect is None:
        return
    grain = ", ".join(f'"{c}"' for c in _grain(asset))
    order = f" order by {grain}" if grain else ""
    yield from _differences(_rows(con, f"select * from {asset.name}{order}"), case)


def _grain(asset: SqlAsset) -> list[str]:
    named = [text.strip() for text in asset.grain.rstrip(".").split(",")]
    return [name for name in named if name in asset.columns]


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _differences(rows: list[Row], case: Case) -> Iterator[str]:
    lists = frozenset(name for row in rows for name, value in row.items() if type(value) is list)
    wanted = [row for given in case.expect or [] for row in expand(given, lists)]
    found = [r for r in rows if all(_equal(v, r[c]) for c, v in case.only.items())]
    if len(found) != len(wanted):
        shown = {name: None for row in wanted for name in row} or (found[0] if found else {})
        text = "; ".join(str({name: r[name] for name in shown}) for r in found)
        yield f"{len(found)} rows, not {len(wanted)}: {text}"
        return
    for number, (expected, actual) in enumerate(zip(wanted, found, strict=True)):
        for name, value in expected.items():
            if not _equal(value, actual[name]):
                yield f"row {number}: {name} is {actual[name]!r}, not {value!r} ({expected})"


def _equal(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(actual, float) and isinstance(expected, (int, float)):
        return math.isclose(expected, actual, rel_tol=0, abs_tol=1e-9)
    if isinstance(actual, Decimal) and isinstance(expected, (int, float)):
        return Decimal(str(expected)) == actual
    return bool(expected == actual)


def expand(row: Row, lists: frozenset[str] = frozenset()) -> Iterator[Row]:
    """A row each for `2026-01-05..2026-01-09`, `a1..a10` and lists; `lists` hold lists."""
    choices = [[value] if name in lists else _choices(value) for name, value in row.items()]
    for values in product(*choices):
        yield dict(zip(row, values, strict=True))


def _choices(value: Any) -> list[Any]:
    if isinstance(value, list) and value:
        return [choice for item in value for choice in _choices(item)]
    if isinstance(value, str) and (days := _DAYS.fullmatch(value)):
        first, last = (date.fromisoformat(text) for text in days.groups())
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]
    if isinstance(value, str) and (names := _NAMES.fullmatch(value)):
        prefix, low, high = names.groups()
        width = len(high)
        return [f"{prefix}{n:0{width}}" for n in range(int(low), int(high) + 1)]
    return [value]


def _fill(con: duckdb.DuckDBPyConnection, table: str, given: list[Row]) -> None:
    types = sql_assets.column_types(con, table)
    lists = frozenset(name for name, kind in types.items() if kind.endswith("[]"))
    rows = [row for one in given for row in expand(one, lists)]
    named = list({name: None for row in rows for name in row})
    unknown = set(named) - set(types)
    if unknown:
        raise ValueError(f"{table} has no columns {sorted(unknown)}.")
    for row in rows:
        for name, value in row.items():
            if isinstance(value, bool) and types[name] != "BOOLEAN":
                raise ValueError(f"{table}.{name}: YAML reads {value} there, quote the word.")
    zeros = {n for n, t in types.items() if table.startswith("fact.") and t == "BIGINT"}
    names = [*named, *sorted(zeros - set(named))]
    texts = [
        ", ".join(
            _literal(row.get(name, 0 if name in zeros else None), types[name]) for name in names
        )
        for row in rows
    ]
    columns = ", ".join(f'"{n}"' for n in names)
    con.execute(f"insert into {table} ({columns}) values ({'), ('.join(texts)})")


def _literal(value: Any, kind: str) -> str:
    text = _text(value)
    return "null" if text is None else "'" + text.replace("'", "''") + f"'::{kind}"


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return "{" + ", ".join(f"'{k}': '{v}'" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value)
