"""A .sql file as a documented, checked table: parse the header, find what it reads, run it.

Belongs here: the grammar of the header and the execution of one file.
Does not belong here: Dagster (defs/), connections (warehouse.py), any business rule (the files).

Header, one comment line each, continued by lines that begin with `--   `:
    -- table: what it is, in a sentence
    -- grain: what makes a row
    -- column NAME: what it is (every column of the query, and no other)
    -- stop: a sentence | a condition that every row must meet, or nothing is published
    -- warn: a sentence | a condition whose breach is only reported
    -- days: SOURCE | N   a row of a day is made of SOURCE's rows of that day and N days after it
A condition that is null is a breach. What the table depends on comes from the parsed query. A query
with days makes those from $from_on on and before $to_on; made_days.py says which a night needs.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from pipelines import lineage, warehouse
from pipelines.errors import UsageError
from pipelines.settings import SQL

_LINE = re.compile(r"^-- (table|grain|stop|warn|days|column ([a-z0-9_]+)): (.+)$")
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")
SQL_SCHEMAS = ("ref", "fact", "journey", "metric", "ops")


@dataclass(frozen=True)
class Check:
    """A condition on every row; `stops` tells whether a breach stops the night."""

    sentence: str
    condition: str
    stops: bool

    @property
    def name(self) -> str:
        return re.sub(r"[^a-z0-9]+", "_", self.sentence.lower()).strip("_")[:80]


@dataclass(frozen=True)
class Days:
    """What the rows of a day are made of: `source`'s rows of it and of the `after` next days."""

    source: str
    after: str  # an expression


@dataclass(frozen=True)
class SqlAsset:
    """One .sql file, parsed."""

    path: Path
    schema: str
    table: str
    description: str
    grain: str
    columns: Mapping[str, str]
    checks: tuple[Check, ...]
    query: str
    parameters: frozenset[str]
    depends_on: tuple[str, ...]
    days: Days | None
    tree: Mapping[str, Any] = field(repr=False, compare=False)  # DuckDB's, of the query

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def query_parameters(self) -> frozenset[str]:
        """Parameters that the query binds; `parameters` are those of its checks as well."""
        return bound_in(self.query)

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What the query binds; without a day to start from or to end before, all days.

        Raises UsageError when a parameter of the query or of a check is missing.
        """
        given = {"from_on": date.min, "to_on": date.max, **parameters}
        missing = self.parameters - set(given)
        if missing:
            raise UsageError(f"{self.path}: no value for ${', $'.join(sorted(missing))}.")
        return {name: given[name] for name in sorted(self.query_parameters)}


@dataclass(frozen=True)
class Outcome:
    """What one run of one file did: rows in the table, breaches per check, types per column, and
    the day from which on they were made, when earlier ones stayed."""

    rows: int
    breaches: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    from_on: date | None = None


def parse(path: Path, con: duckdb.DuckDBPyConnection) -> SqlAsset:
    """Read one file; `con` parses its SQL. Raises UsageError naming what its header lacks."""
    header, query = _split(path)
    seen: dict[str, str] = {}
    days = None
    columns: dict[str, str] = {}
    checks: list[Check] = []
    for kind, column, text in header:
        if column:
            columns[column] = text
        elif kind in ("stop", "warn"):
            sentence, bar, condition = text.partition(" | ")
            if not bar:
                raise UsageError(f"{path}: the check {text!r} has no condition after ' | '.")
            checks.append(Check(sentence.strip(), condition.strip(), kind == "stop"))
        elif kind == "days":
            source, _, after = text.partition(" | ")
            days = Days(source.strip(), after.strip())
        else:
            seen[kind] = text
    for kind in ("table", "grain"):
        if kind not in seen:
            raise UsageError(f"{path}: the header has no line '-- {kind}: ...'.")
    if not columns:
        raise UsageError(f"{path}: the header documents no column.")
    schema, table = path.parent.name, path.stem
    tree = _tree(query, path, con)
    conditions = (_tree(f"select {check.condition}", path, con) for check in checks)
    read = set(_reads([tree, *conditions])) - {f"{schema}.{table}"}
    if len({days is not None, "from_on" in bound_in(query), "to_on" in bound_in(query)}) > 1:
        raise UsageError(
            f"{path}: a line '-- days: ...', $from_on and $to_on in the query need each other."
        )
    if days and not (days.source in read and days.after):
        raise UsageError(f"{path}: its days need a table that it reads and, after ' | ', a number.")
    return SqlAsset(
        path=path,
        schema=schema,
        table=table,
        description=seen["table"],
        grain=seen["grain"],
        columns=columns,
        checks=tuple(checks),
        query=query,
        parameters=bound_in(" ".join([query, *(c.condition for c in checks)])),
        depends_on=tuple(sorted(read)),
        days=days,
        tree=tree,
    )


def _split(path: Path) -> tuple[list[tuple[str, str, str]], str]:
    found: list[tuple[str, str, str]] = []
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("--"):
            return found, "\n".join(lines[number:]).strip().rstrip(";")
        match = _LINE.match(line)
        if match:
            kind, column, text = match.groups()
            found.append((kind, column or "", text.strip()))
        elif line.startswith("--   ") and found:
            kind, column, text = found[-1]
            found[-1] = (kind, column, f"{text} {line[2:].strip()}")
        else:
            raise UsageError(f"{path} line {number + 1}: not a header line: {line}")
    raise UsageError(f"{path} has a header but no query.")


def _tree(query: str, path: Path, con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """DuckDB's parse tree. Raises UsageError naming the file when the query doesn't parse."""
    row = warehouse.one(con, "select json_serialize_sql(?::varchar)", [query])
    assert row is not None
    tree: dict[str, Any] = json.loads(row[0])
    if tree.get("error"):
        raise UsageError(f"{path}: {tree.get('error_message', 'the query does not parse')}")
    return tree


def column_sources(
    asset: SqlAsset, documented: Mapping[str, Iterable[str]]
) -> dict[str, lineage.Sources]:
    """Column -> (table, column) that it is computed from; see lineage.py for what is left out."""
    return lineage.columns(asset.tree, asset.columns, documented)


def _reads(node: Any) -> Iterator[str]:
    """schema.table of everything that a parse tree reads.

    A table macro's source ('journey.strata') is a string there: strings that name a table of
    our schemas count as reads.
    """
    if isinstance(node, list):
        for item in node:
            yield from _reads(item)
    elif isinstance(node, dict):
        if node.get("type") == "BASE_TABLE" and node.get("schema_name"):
            yield f"{node['schema_name']}.{node['table_name']}"
        if node.get("type") == "TABLE_FUNCTION":
            for text in lineage.texts(node["function"]["arguments"]):
                schema, dot, _ = text.partition(".")
                if dot and schema in SQL_SCHEMAS:
                    yield text
        for item in node.values():
            yield from _reads(item)


@cache
def load_all(root: Path = SQL) -> tuple[SqlAsset, ...]:
    """Every table file below sql/, in an order in which each comes after what it reads.

    Raises UsageError when files read each other in a circle.
    """
    paths = [path for schema in SQL_SCHEMAS for path in sorted((root / schema).glob("*.sql"))]
    with warehouse.scratch() as con:
        parsed = {asset.name: asset for asset in (parse(path, con) for path in paths)}
    ordered: dict[str, SqlAsset] = {}
    while len(ordered) < len(parsed):
        ready = [
            asset
            for name, asset in parsed.items()
            if name not in ordered and all(d in ordered for d in asset.depends_on if d in parsed)
        ]
        if not ready:
            rest = ", ".join(sorted(set(parsed) - set(ordered)))
            raise UsageError(f"These SQL files read each other in a circle: {rest}.")
        ordered.update((asset.name, asset) for asset in ready)
    return tuple(ordered.values())


def bound_in(text: str) -> frozenset[str]:
    return frozenset(_PARAMETER.findall(text))


def run(con: duckdb.DuckDBPyConnection, asset: SqlAsset, parameters: Mapping[str, Any]) -> Outcome:
    """(Re)build the table, document it, and evaluate its checks.

    Raises UsageError when a parameter is missing, the query fails, or the columns that it gives
    are not exactly the documented ones.
    """
    fill(con, asset, parameters)
    return finish(con, asset, parameters)


def fill(con: duckdb.DuckDBPyConnection, asset: SqlAsset, parameters: Mapping[str, Any]) -> None:
    """The table's rows; with from_on among the parameters they join those that are there.

    Raises UsageError when a parameter is missing or the query fails.
    """
    bound = asset.values(parameters)
    try:
        if "from_on" in parameters:
            con.execute(f"insert into {asset.name} by name {asset.query}", bound)
        else:
            con.execute(f"create or replace table {asset.name} as {asset.query}", bound or None)
    except duckdb.Error as error:
        raise UsageError(f"{asset.path}: {str(error).strip()}") from error


def finish(
    con: duckdb.DuckDBPyConnection, asset: SqlAsset, parameters: Mapping[str, Any]
) -> Outcome:
    """Document a filled table and evaluate its checks. Raises UsageError when its columns are not
    exactly the documented ones."""
    types = column_types(con, asset.name)
    _same_columns(asset, types)
    warehouse.comment(
        con,
        asset.name,
        f"{asset.description} Grain: {asset.grain}",
        dict(asset.columns),
    )
    rows = warehouse.one(con, f"select count(*) from {asset.name}")
    assert rows is not None
    breaches = evaluate(con, asset.name, asset.checks, parameters)
    return Outcome(rows[0], breaches, types)


def column_types(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in con.execute(f"describe {table}").fetchall()}


def _same_columns(asset: SqlAsset, types: Mapping[str, str]) -> None:
    extra, lacking = set(types) - set(asset.columns), set(asset.columns) - set(types)
    if extra or lacking:
        raise UsageError(
            f"{asset.path}: undocumented columns {sorted(extra)}, "
            f"documented but not there {sorted(lacking)}."
        )


def evaluate(
    con: duckdb.DuckDBPyConnection,
    table: str,
    checks: Iterable[Check],
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Rows that breach each check (a null condition is a breach)."""
    breaches = {}
    for check in checks:
        bound = {name: (parameters or {})[name] for name in bound_in(check.condition)}
        query = f"select count(*) from {table} where ({check.condition}) is not true"
        row = warehouse.one(con, query, bound or None)
        assert row is not None
        breaches[check.name] = row[0]
    return breaches
