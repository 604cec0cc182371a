"""A print: its closed cohorts and decisions on record, its stopping checks, the published file.

Belongs here: what a night keeps of itself for later nights, and whether it may be published.
Does not belong here: the numbers (sql/), putting the file in place (warehouse.py).
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb
import polars as pl

from pipelines import contracts, documented, lake, restatement, sql_assets, tables, warehouse
from pipelines import definition as definitions
from pipelines import night as steps
from pipelines.definition import Definition
from pipelines.errors import CheckFailed
from pipelines.night import Night
from pipelines.sql_assets import Check


def _causes(con: duckdb.DuckDBPyConnection, night: Night) -> list[str]:
    """What of the past differs from the last published night."""
    if not warehouse.exists(con, "ops.runs"):
        return []
    last = warehouse.one(con, "select arg_max(inputs, published_at) from ops.runs")
    if not last or not last[0]:
        return []
    return restatement.causes(con, last[0], night.reference.hash, night.known_at)


def record_print(night: Night, run_id: str, now: datetime) -> int:
    """This night's closed cohorts and decisions, after those of the nights that were published."""
    with warehouse.build(night.settings.build) as con, warehouse.transaction(con):
        rows = warehouse.frame(
            con,
            """
            select
                $run_id::varchar as run_id, $printed_at::timestamptz as printed_at, clock.as_of,
                clock.known_at, clock.definition, c."value"::date as week_on, c.horizon_days,
                c.mature_teams, c.mature_moved, c.mature_share, $changed::varchar as changed_inputs
            from metric.conversion as c cross join ops.clock as clock
            where
                c.population = 'nsm' and c."by" = 'week'
                and c."value"::date + 6 + c.horizon_days <= clock.data_complete_on
            order by all
            """,
            {
                "run_id": run_id,
                "printed_at": now,
                "changed": ", ".join(_causes(con, night)),
            },
        )
        documented.append(con, tables.PRINTS, rows)
        documented.append(con, tables.DECISION_PRINTS, _decisions(con, run_id, now))
        if warehouse.exists(con, "ops.runs"):
            # A night that failed after this step was never printed.
            for table in (tables.PRINTS, tables.DECISION_PRINTS):
                con.execute(
                    f"delete from {table.name} where run_id <> ? "
                    "and run_id not in (from ops.runs select run_id)",
                    [run_id],
                )
        return rows.height


def _decisions(con: duckdb.DuckDBPyConnection, run_id: str, now: datetime) -> pl.DataFrame:
    """This night's verdicts, with the clocks and the definition that reproduce them."""
    return warehouse.frame(
        con,
        """
        select
            $run_id::varchar as run_id, $printed_at::timestamptz as printed_at, clock.as_of,
            clock.known_at, clock.definition, d.name, d.rule, d.side, d.threshold, d.number,
            d.ci_low, d.ci_high, d.teams, d.verdict, d.because, d.todo
        from metric.decisions as d cross join ops.clock as clock
        order by d.name
        """,
        {"run_id": run_id, "printed_at": now},
    )


@dataclass(frozen=True)
class Published:
    """What a night published."""

    tables_changed: tuple[str, ...]
    published_at: datetime


def _all_checks() -> list[tuple[str, tuple[Check, ...]]]:
    return [
        *((a.name, a.checks) for a in sql_assets.load_all()),
        *((t.name, t.checks) for t in tables.ALL.values()),
    ]


def check_sentences() -> dict[tuple[str, str], str]:
    """(table, name of the check) -> its sentence."""
    return {(name, c.name): c.sentence for name, checks in _all_checks() for c in checks}


def verdict(night: Night) -> list[str]:
    """The stopping checks that this print breaches, over all tables: it may not be published."""
    found = []
    with warehouse.build(night.settings.build) as con:
        bound = steps.parameters(con, night.definition)
        for name, checks in _all_checks():
            stops = [c for c in checks if c.stops]
            breaches = sql_assets.evaluate(con, name, stops, bound)
            found += [
                f"{name}: {c.sentence} ({breaches[c.name]} rows)" for c in stops if breaches[c.name]
            ]
    return found


def publish(night: Night, run_id: str, started_at: datetime, now: datetime) -> Published:
    """Record the print and put the new file in place.

    Raises CheckFailed, publishing nothing, when a stopping check is breached.
    """
    if stops := verdict(night):
        raise CheckFailed("Nothing was published, because these checks failed: " + "; ".join(stops))
    with warehouse.build(night.settings.build) as con:
        clock = warehouse.frame(con, "from ops.clock").row(0, named=True)
        names = [a.name for a in sql_assets.load_all() if a.schema in ("journey", "metric")]
        hashes = {name: warehouse.content_hash(con, name) for name in names}
        before = dict(
            con.execute("select name, hash from ops.table_hashes").fetchall()
            if warehouse.exists(con, "ops.table_hashes")
            else []
        )
        changed = tuple(sorted(n for n in names if hashes[n] != before.get(n)))
        files = warehouse.one(con, "select count(*) from ops.files")
        run = {
            "run_id": run_id,
            "as_of": clock["as_of"],
            "known_at": clock["known_at"],
            "definition": clock["definition"],
            "started_at": started_at,
            "published_at": now,
            "files": files[0] if files else 0,
            "tables_changed": ", ".join(changed),
            "inputs": restatement.seen(con, clock["as_of"], night.reference.hash, night.known_at),
            "versions": f"lake {lake.LAKE_VERSION}, contracts {contracts.VERSION}",
        }
        utc = pl.Datetime("us", "UTC")
        schema: dict[str, Any] = {
            "run_id": pl.String, "as_of": pl.Date, "known_at": utc, "definition": pl.String,
            "started_at": utc, "published_at": utc, "files": pl.Int64,
            "tables_changed": pl.String, "inputs": pl.String, "versions": pl.String,
        }  # fmt: skip
        with warehouse.transaction(con):
            documented.append(con, tables.RUNS, pl.DataFrame([run], schema=schema))
            _remember_definition(con, night.definition, clock["as_of"], now)
            hashed = pl.DataFrame(list(hashes.items()), schema=["name", "hash"], orient="row")
            documented.write(con, tables.HASHES, hashed)
            warehouse.install_macros(con, over_tables=True)
        con.execute("checkpoint")
    warehouse.publish(night.settings.build, night.settings.published)
    return Published(changed, now)


def _remember_definition(
    con: duckdb.DuckDBPyConnection, definition: Definition, as_of: date, now: datetime
) -> None:
    row = {
        "definition": definition.hash,
        "version": definition.version,
        "first_as_of": as_of,
        "first_published_at": now,
        "fields": definitions.to_json(definition),
    }
    schema: dict[str, Any] = dict.fromkeys(tables.DEFINITIONS.columns, pl.String) | {
        "first_as_of": pl.Date, "first_published_at": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    rows = pl.DataFrame([row], schema=schema)
    if warehouse.exists(con, tables.DEFINITIONS.name):
        known = warehouse.read_table(con, tables.DEFINITIONS.name)
        rows = rows.filter(~pl.col("definition").is_in(known["definition"].to_list()))
    documented.append(con, tables.DEFINITIONS, rows)
