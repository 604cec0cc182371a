"""Assets of the facts: daily partitions from the lake, and the small tables beside them.

Belongs here: one asset a step of night.py. Does not belong here: what the step does.

A run that names partitions rebuilds those of them whose fingerprint changed, and any other day
that changed too: a late file must not wait for somebody to click its day. `force` rebuilds the
named days in any case.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from pipelines import night as steps
from pipelines import sql_assets, tables, warehouse
from pipelines.defs.lake import LAKE
from pipelines.defs.resources import NightResource
from pipelines.defs.shared import (
    DAYS,
    GROUPS,
    OWNER,
    check_results,
    check_specs,
    columns_metadata,
    outcome_metadata,
    source_link,
)
from pipelines.night import Night, Rebuilt
from pipelines.rollup import charges, requests

THIS_FILE = source_link(Path(__file__))
SPANS = dg.AssetKey(["ref", "team_spans"])
REQUEST_DAYS = (
    (tables.MEMBER_DAYS, requests.MEMBER_DAYS),
    (tables.USAGE_DAYS, requests.USAGE_DAYS),
    (tables.BLOCKED_HOURS, requests.BLOCKED_HOURS),
)
SINGLE_RUN = dg.BackfillPolicy.single_run()


class FactsConfig(dg.Config):
    """How a fact asset treats days whose inputs did not change."""

    force: bool = False


def _key(table: tables.Table) -> dg.AssetKey:
    return dg.AssetKey(table.name.split("."))


def _types(schema: Mapping[str, Any]) -> dict[str, str]:
    """DuckDB's names of a frame's types."""
    with warehouse.scratch(empty=pl.DataFrame(schema=schema)) as con:
        return sql_assets.column_types(con, "empty")


def _spec(
    table: tables.Table, *deps: dg.AssetKey, daily: Mapping[str, Any] | None = None
) -> dg.AssetSpec:
    """`daily`: the schema of a table of days. Dagster writes an event for each day of a run, so
    what is the same for all of them is said here, once."""
    types = _types(daily) if daily else {}
    return dg.AssetSpec(
        key=_key(table),
        deps=[LAKE, SPANS, *deps],
        description=table.description,
        group_name=GROUPS[table.name.split(".")[0]],
        owners=[OWNER],
        kinds={"polars", "duckdb"},
        metadata=THIS_FILE | columns_metadata(table.columns, types),
        partitions_def=DAYS if daily else None,
    )


def _forced(context: dg.AssetExecutionContext, config: FactsConfig) -> frozenset[date]:
    if not config.force or (not context.has_partition_key and not context.has_partition_key_range):
        return frozenset()
    return frozenset(date.fromisoformat(key) for key in context.partition_keys)


def _daily(
    context: dg.AssetExecutionContext,
    night: NightResource,
    config: FactsConfig,
    build: Callable[[Night, frozenset[date]], Rebuilt],
    written: list[tables.Table],
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    work = night.night(_log_progress(context))
    rebuilt = build(work, _forced(context, config))
    span = f"{rebuilt.days[0]} .. {rebuilt.days[-1]}" if rebuilt.days else "none"
    context.log.info(f"{len(rebuilt.days)} of {rebuilt.looked_at} days rebuilt: {span}")
    for line in steps.told(rebuilt):
        context.log.info(line)
    named = set(context.partition_keys) if context.has_partition_key_range else set()
    for table in written:
        outcome = steps.check_facts(work, table)
        for day in rebuilt.days:
            if named and str(day) not in named and DAYS.has_partition_key(str(day)):
                context.log_event(dg.AssetMaterialization(_key(table), partition=str(day)))
        yield dg.MaterializeResult(
            asset_key=_key(table),
            metadata={
                "dagster/row_count": outcome.rows,
                "days_rebuilt": len(rebuilt.days),
                "days": span,
            },
            check_results=list(check_results(_key(table), table.checks, outcome)),
        )


def _log_progress(context: dg.AssetExecutionContext) -> steps.Progress:
    def progress(step: str, done: int, total: int) -> None:
        shown = PROGRESS.get("show")
        if shown is not None:
            shown(step, done, total)
        elif done == total:
            context.log.debug(f"{step}: {done} of {total}")

    return progress


# The command line puts its progress bar here; a daemon's run leaves it empty.
PROGRESS: dict[str, steps.Progress] = {}


@dg.multi_asset(
    name="request_days",
    specs=[_spec(t, daily=schema) for t, schema in REQUEST_DAYS],
    check_specs=[c for t, _ in REQUEST_DAYS for c in check_specs(_key(t), t.checks)],
    backfill_policy=SINGLE_RUN,
)
def request_days(
    context: dg.AssetExecutionContext, night: NightResource, config: FactsConfig
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    yield from _daily(
        context, night, config, steps.build_request_days, [t for t, _ in REQUEST_DAYS]
    )


@dg.multi_asset(
    name="charge_days",
    specs=[
        _spec(tables.CHARGE_DAYS, dg.AssetKey(["ref", "fx"]), daily=charges.CHARGE_DAYS),
    ],
    check_specs=check_specs(_key(tables.CHARGE_DAYS), tables.CHARGE_DAYS.checks),
    backfill_policy=SINGLE_RUN,
)
def charge_days(
    context: dg.AssetExecutionContext, night: NightResource, config: FactsConfig
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    yield from _daily(context, night, config, steps.build_charge_days, [tables.CHARGE_DAYS])


@dg.multi_asset(
    name="small_facts",
    specs=[
        _spec(t)
        for t in (
            tables.SUBSCRIPTIONS,
            tables.TEAMS,
            tables.ASSIGNMENTS,
            tables.CHANNEL_COSTS,
        )
    ],
)
def small_facts(night: NightResource) -> Iterator[dg.MaterializeResult[None]]:
    work = night.night()
    rows = {tables.SUBSCRIPTIONS.name: steps.write_subscriptions(work)}
    rows |= steps.write_directory(work)
    for name in rows:
        outcome = steps.check_facts(work, tables.ALL[name])
        yield dg.MaterializeResult(
            asset_key=name.split("."),
            metadata=outcome_metadata(tables.ALL[name].columns, outcome),
        )


@dg.multi_asset(
    name="clock",
    specs=[
        dg.AssetSpec(
            key=_key(tables.CLOCK),
            deps=[
                _key(t)
                for t in (
                    tables.MEMBER_DAYS,
                    tables.USAGE_DAYS,
                    tables.BLOCKED_HOURS,
                    tables.CHARGE_DAYS,
                    tables.SUBSCRIPTIONS,
                )
            ],
            # Set from the facts and read by every layer after them, so it stands with the facts.
            group_name=GROUPS["fact"],
            owners=[OWNER],
            kinds={"duckdb"},
            description=tables.CLOCK.description,
            metadata=THIS_FILE | columns_metadata(tables.CLOCK.columns),
        )
    ],
    check_specs=check_specs(_key(tables.CLOCK), tables.CLOCK.checks),
)
def clock(night: NightResource) -> Iterator[dg.MaterializeResult[None]]:
    work = night.night()
    values = steps.set_clock(work)
    outcome = steps.check_facts(work, tables.CLOCK)
    yield dg.MaterializeResult(
        asset_key=_key(tables.CLOCK),
        metadata={k: str(v) for k, v in values.items()},
        check_results=list(check_results(_key(tables.CLOCK), tables.CLOCK.checks, outcome)),
    )
