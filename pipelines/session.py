"""The analyst's session on the published file: one query, or a prompt.

Belongs here: reading queries, printing rows. Does not belong here: what makes the session safe
(warehouse.published).
"""

import sys
from pathlib import Path
from typing import Any

import click
import duckdb

from pipelines import to_json, warehouse
from pipelines.errors import UsageError

WELCOME = """Cloudbound, read-only. End a query with ; and leave with .quit. To begin with:
  from metric.headline;
  from conversion(90, 'plan');
  from metric.naive_gap;
  select state_at_t0, why, count(*) from journey.teams group by all order by all;
  select table_name, comment from duckdb_tables();"""


def open_session(path: Path, sql: str | None, as_json: bool) -> None:
    """Run one query, or a prompt that ends with .quit. Raises UsageError for a bad query."""
    with warehouse.published(path) as con:
        if sql is not None:
            click.echo(_answer(con, sql, as_json))
        elif sys.stdin.isatty():
            _prompt(con, as_json)
        else:
            for query in sys.stdin.read().split(";"):
                if query.strip():
                    click.echo(_answer(con, query, as_json))


def _prompt(con: duckdb.DuckDBPyConnection, as_json: bool) -> None:
    _complete(con)
    click.echo(WELCOME)
    pending = ""
    while True:
        try:
            line = input("  ... " if pending else "cloudbound> ")
        except EOFError:
            return
        if line.strip() in (".quit", ".exit"):
            return
        pending += line + "\n"
        if pending.strip().endswith(";"):
            try:
                click.echo(_answer(con, pending, as_json))
            except UsageError as error:
                click.echo(str(error), err=True)
            pending = ""


def _complete(con: duckdb.DuckDBPyConnection) -> None:
    """Tab completes tables, columns and macros, where the terminal has readline."""
    try:
        import readline
    except ImportError:
        return
    words = sorted(
        {r[0] for r in con.execute("select schema_name || '.' || table_name from duckdb_tables()").fetchall()}
        | {r[0] for r in con.execute("select column_name from duckdb_columns() where not internal").fetchall()}
        | {r[0] for r in con.execute("select function_name from duckdb_functions() where not internal").fetchall()}
    )  # fmt: skip

    def match(text: str, state: int) -> str | None:
        found = [w for w in words if w.startswith(text)]
        return found[state] if state < len(found) else None

    readline.set_completer_delims(" \t\n,()=")
    readline.set_completer(match)
    readline.parse_and_bind("tab: complete")


def _answer(con: duckdb.DuckDBPyConnection, query: str, as_json: bool) -> str:
    try:
        cursor = con.execute(query)
        rows = cursor.fetchall() if cursor.description else []
    except duckdb.Error as error:
        raise UsageError(f"The query can't be answered: {' '.join(str(error).split())}") from None
    names = [column[0] for column in cursor.description or []]
    if as_json:
        return to_json.dumps([dict(zip(names, row, strict=True)) for row in rows])
    return _table(names, rows)


_SHOWN = 200


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Rows as aligned text, the first 200 of them."""
    if not names:
        return ""
    cells = [names, *([_cell(v) for v in row] for row in rows[:_SHOWN])]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    more = f"\n({len(rows):,} rows, the first {_SHOWN} shown)" if len(rows) > _SHOWN else ""
    return "\n".join(lines) + more


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
