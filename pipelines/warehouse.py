"""The only module that opens DuckDB: the private build file and the published file.

Belongs here: connecting, writing frames whole or by day, macros, publishing, the safe session.
Does not belong here: what any table means (sql/, pipelines/tables.py).

One writer or many readers per file, across processes: a night writes the private build file and
publishes a copy of it by os.replace, so readers never wait and never see half a night.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.errors import UsageError
from pipelines.settings import SQL

if TYPE_CHECKING:
    import polars as pl  # half of the time that an answer takes to start, and DuckDB gives frames

# Analysts' older clients open files of this version; drop when they are all on DuckDB 2.
STORAGE_VERSION = "v1.5.0"
SCHEMAS = ("ref", "fact", "journey", "metric", "ops")
# So long a connection may take from following the link to having the file open.
_GRACE_SECONDS = 60


@contextmanager
def build(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The private build file, made when it is not there.

    Opening and closing it takes longer than most steps do; while a night holds one connection, those
    of its steps cost nothing and share one cache. Raises UsageError when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "storage_compatibility_version": STORAGE_VERSION,
        "temp_directory": str(path.parent / ".spill"),
        "memory_limit": os.environ.get("CLOUDBOUND_MEMORY") or "75%",
        # Only a checkpoint frees the blocks of replaced tables: without some the file doubles.
        "checkpoint_threshold": "100KB",
    }
    try:
        con = duckdb.connect(str(path), config=config)
    except duckdb.IOException as error:
        raise UsageError(
            f"{path} is held by another process, so this night can't write: {_first_line(error)}"
        ) from None
    try:
        con.execute("set timezone = 'UTC'")
        for schema in SCHEMAS:
            con.execute(f"create schema if not exists {schema}")
        yield con
    finally:
        con.close()


@contextmanager
def published(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only session on the published file that can reach nothing else.

    Raises UsageError when nothing has been published yet.
    """
    if not path.is_file():
        raise UsageError(f"There is no published file {path}: run cloudbound nightly (or demo).")
    config: dict[str, Any] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
    }
    try:
        con = duckdb.connect(str(path), read_only=True, config=config)
    except duckdb.Error as error:
        raise UsageError(f"{path} can't be opened: {_first_line(error)}") from None
    try:
        con.execute("set timezone = 'UTC'")
        con.execute("set lock_configuration = true")
        yield con
    finally:
        con.close()


def state(path: Path) -> str:
    """open, held (another process writes it) or broken: what a look at a DuckDB file finds."""
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            con.execute("select count(*) from information_schema.columns").fetchall()
    except duckdb.Error as error:
        return "held" if "set lock" in str(error) else "broken"
    return "open"


@contextmanager
def scratch(**frames: pl.DataFrame) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory session that sees the given frames as tables."""
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        for name, rows in frames.items():
            con.register(name, rows.to_arrow())
        yield con


@contextmanager
def beside(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The session sees ref, fact and ops of its file, and journey and metric in memory, empty;
    the name is the one that the file's own tables go by meanwhile.

    For running the rules once more under another definition, without touching the file.
    """
    row = one(con, "select current_database()")
    assert row is not None
    original = row[0]
    con.execute("attach ':memory:' as aside (read_write)")
    con.execute("use aside")
    try:
        for schema in SCHEMAS:
            con.execute(f"create schema {schema}")
        tables = con.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where database_name = ? and schema_name in ('ref', 'fact', 'ops')",
            [original],
        ).fetchall()
        for schema, name in tables:
            con.execute(f"create view {schema}.{name} as from {original}.{schema}.{name}")
        install_macros(con, over_tables=False)
        yield original
    finally:
        con.execute(f"use {original}")
        con.execute("detach aside")


def frame(con: duckdb.DuckDBPyConnection, query: str, parameters: Any = None) -> pl.DataFrame:
    """A query's rows as a polars frame."""
    rows: pl.DataFrame = con.sql(query, params=parameters).pl()
    return rows


def records(
    con: duckdb.DuckDBPyConnection, query: str, parameters: Any = None
) -> list[dict[str, Any]]:
    """A query's rows by column name, without polars: it takes longer to import than to ask."""
    cursor = con.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def one(
    con: duckdb.DuckDBPyConnection, query: str, parameters: Any = None
) -> tuple[Any, ...] | None:
    """A query's first row (fetchone would leave the connection busy in DuckDB 2)."""
    rows = con.execute(query, parameters).fetchall()
    return rows[0] if rows else None


def read_table(con: duckdb.DuckDBPyConnection, table: str) -> pl.DataFrame:
    """A whole table by its name. Raises UsageError when there is none of that name."""
    if not exists(con, table):
        raise UsageError(f"There is no file and no published table {table!r}: check the name.")
    rows: pl.DataFrame = con.table(table).pl()
    return rows


def exists(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    schema, _, name = table.partition(".")
    found = one(
        con,
        "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
        [schema, name],
    )
    return found is not None


def replace_table(con: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> int:
    """The table holds exactly these rows afterwards."""
    con.register("incoming", rows.to_arrow())
    try:
        con.execute(f"create or replace table {table} as select * from incoming")
    finally:
        con.unregister("incoming")
    return rows.height


def replace_days(
    con: duckdb.DuckDBPyConnection,
    table: str,
    days: Iterable[date],
    rows: pl.DataFrame,
    more: str = "true",
) -> None:
    """On these days (and where `more` holds) the table has exactly these rows afterwards.

    The caller wraps several of them into one transaction, so that a day is never half new.
    """
    con.register("incoming", rows.to_arrow())
    try:
        con.execute(f"create table if not exists {table} as select * from incoming limit 0")
        con.execute(
            f"delete from {table} where usage_on in (select unnest(?::date[])) and {more}",
            [list(days)],
        )
        con.execute(f"insert into {table} by name select * from incoming")
    finally:
        con.unregister("incoming")


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("begin transaction")
    try:
        yield
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")


@contextmanager
def without(con: duckdb.DuckDBPyConnection, optimizer: str) -> Iterator[None]:
    """One of duckdb_optimizers() is off meanwhile."""
    con.execute("set disabled_optimizers = ?", [optimizer])
    try:
        yield
    finally:
        con.execute("reset disabled_optimizers")


def comment(
    con: duckdb.DuckDBPyConnection,
    table: str,
    description: str,
    columns: dict[str, str],
) -> None:
    """COMMENT ON the table and each column (a replaced table has lost them)."""
    con.execute(f"comment on table {table} is {_literal(description)}")
    for column, text in columns.items():
        con.execute(f'comment on column {table}."{column}" is {_literal(text)}')


_OUR_TABLE = re.compile(r"\b(?:from|join) (?:ref|fact|journey|metric|ops)\.")


def install_macros(
    con: duckdb.DuckDBPyConnection, over_tables: bool, folder: Path = SQL / "macros"
) -> list[str]:
    """Create the folder's macros, with their header's sentence and example as COMMENT.

    DuckDB looks for a macro's tables when it is made: those over our own tables are made last.
    """
    names = []
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text("utf-8")
        if bool(_OUR_TABLE.search(text.partition("create or replace")[2])) != over_tables:
            continue
        con.execute(text)
        sentences = [
            f"{before}{line.partition(':')[2].strip()}"
            for start, before in (("-- macro:", ""), ("-- example:", "Example: "))
            for line in text.splitlines()
            if line.startswith(start)
        ]
        kind = "macro table" if " as table" in text.lower() else "macro"
        con.execute(f"comment on {kind} {path.stem} is {_literal(' '.join(sentences))}")
        names.append(path.stem)
    return names


def publish(build_file: Path, target: Path) -> None:
    """Copy the checkpointed build file into a folder of its own and point the target at it.

    The target is a symbolic link. DuckDB opens a file three times by its name, but follows links
    only once, before that: a connection sees one whole version, whatever is published meanwhile,
    and a new connection of the same process sees the new one. The version before stays, so that
    a connection that has just followed the link still finds it.
    """
    versions = target.parent / "published"
    versions.mkdir(exist_ok=True)
    remove_earlier(target, _GRACE_SECONDS)
    newest = max((int(p.name) for p in versions.iterdir() if p.name.isdigit()), default=0)
    version = versions / f"{newest + 1:06d}" / target.name
    version.parent.mkdir()
    shutil.copyfile(build_file, version)
    link = target.with_name(f".{target.name}.link")
    link.unlink(missing_ok=True)
    link.symlink_to(version.relative_to(target.parent))
    for written in (version, version.parent, versions):
        _to_disk(written)
    os.replace(link, target)
    _to_disk(target.parent)


def remove_earlier(target: Path, older_than_seconds: float = 0) -> None:
    """Delete every version but the published one, if it is older than that."""
    current = target.resolve().parent
    for other in (target.parent / "published").iterdir():
        age = time.time() - other.stat().st_mtime
        if other.is_dir() and other != current and age >= older_than_seconds:
            shutil.rmtree(other)


def compact(build_file: Path) -> None:
    """Write the build file anew: what was deleted leaves nothing behind in free blocks.

    Macros are left out: every night makes its own.
    """
    partial = build_file.with_name(f".{build_file.name}.partial")
    partial.unlink(missing_ok=True)
    with build(build_file) as con:
        for name, kind in con.execute(
            "select function_name, case function_type when 'table_macro' then 'macro table' "
            "else 'macro' end from duckdb_functions() where not internal"
        ).fetchall():
            con.execute(f"drop {kind} if exists {name}")
        con.execute(
            f"attach {_literal(str(partial))} as fresh (storage_version '{STORAGE_VERSION}')"
        )
        con.execute(f'copy from database "{build_file.stem}" to fresh')
        con.execute("detach fresh")
    os.replace(partial, build_file)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def content_hash(con: duckdb.DuckDBPyConnection, table: str) -> str:
    """A hash of a table's rows in any order: equal rows, equal hash."""
    row = one(
        con,
        f"select count(*), coalesce(bit_xor(hash(t)), 0), coalesce(sum(hash(t)::hugeint), 0) "
        f"from {table} t",
    )
    assert row is not None
    return f"{row[0]}-{row[1]:x}-{row[2]:x}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
