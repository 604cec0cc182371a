"""The end of a night: accounts, the print, the published file.

Belongs here: one asset a step of night.py, accounts.py or prints.py. Does not belong here: what the step does.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from pipelines import accounts as files_and_money
from pipelines import night as steps
from pipelines import prints as records
from pipelines import sql_assets, tables
from pipelines.defs.resources import NightResource
from pipelines.defs.shared import (
    GROUPS,
    OWNER,
    check_results,
    check_specs,
    columns_metadata,
    outcome_metadata,
    source_link,
)
from pipelines.sql_assets import Outcome

THIS_FILE = source_link(Path(__file__))
ACCOUNTS = (tables.FILES, tables.MONEY, tables.UNMAPPED_SERVICES, tables.REPEATED_IDS)
OTHER_DEFINITIONS = (tables.DEFINITION_GRID, tables.DEFINITION_SERIES)
FILES, REJECTS, MONEY, PRINTS, DECISION_PRINTS = (
    dg.AssetKey(t.name.split("."))
    for t in (
        tables.FILES,
        tables.REJECTS,
        tables.MONEY,
        tables.PRINTS,
        tables.DECISION_PRINTS,
    )
)
FACTS = [
    dg.AssetKey(t.name.split("."))
    for t in (
        tables.MEMBER_DAYS,
        tables.CHARGE_DAYS,
        tables.SUBSCRIPTIONS,
        tables.TEAMS,
    )
]


@dg.multi_asset(
    name="accounts",
    specs=[
        dg.AssetSpec(
            key=t.name.split("."),
            deps=FACTS,
            description=t.description,
            group_name=GROUPS["ops"],
            owners=[OWNER],
            kinds={"polars", "duckdb"},
            metadata=THIS_FILE | columns_metadata(t.columns),
        )
        for t in (*ACCOUNTS, tables.REJECTS)
    ],
    check_specs=[
        c for t in ACCOUNTS for c in check_specs(dg.AssetKey(t.name.split(".")), t.checks)
    ],
)
def accounts(night: NightResource) -> Iterator[dg.MaterializeResult[None]]:
    work = night.night()
    outcome = files_and_money.account_for(work)
    examples = {tables.UNMAPPED_SERVICES.name: files_and_money.unknown_services(work)}
    for table in ACCOUNTS:
        key = dg.AssetKey(table.name.split("."))
        prefix = f"{table.name}: "
        own = {
            k.removeprefix(prefix): v for k, v in outcome.breaches.items() if k.startswith(prefix)
        }
        seen = Outcome(outcome.rows, own)
        results = list(check_results(key, table.checks, seen, examples.get(table.name, "")))
        rows = steps.check_facts(work, table).rows
        yield dg.MaterializeResult(
            asset_key=key, metadata={"dagster/row_count": rows}, check_results=results
        )
    rejected = steps.check_facts(work, tables.REJECTS).rows
    yield dg.MaterializeResult(asset_key=REJECTS, metadata={"dagster/row_count": rejected})


@dg.multi_asset(
    name="other_definitions",
    specs=[
        dg.AssetSpec(
            key=t.name.split("."),
            deps=[dg.AssetKey(["metric", "headline"])],
            description=t.description,
            group_name=GROUPS["metric"],
            owners=[OWNER],
            kinds={"sql", "duckdb"},
            metadata=THIS_FILE | columns_metadata(t.columns),
        )
        for t in OTHER_DEFINITIONS
    ],
    check_specs=[
        c for t in OTHER_DEFINITIONS for c in check_specs(dg.AssetKey(t.name.split(".")), t.checks)
    ],
)
def other_definitions(night: NightResource) -> Iterator[dg.MaterializeResult[None]]:
    work = night.night()
    steps.write_other_definitions(work)
    for table in OTHER_DEFINITIONS:
        key = dg.AssetKey(table.name.split("."))
        outcome = steps.check_facts(work, table)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=outcome_metadata(table.columns, outcome),
            check_results=list(check_results(key, table.checks, outcome)),
        )


@dg.multi_asset(
    name="prints",
    specs=[
        dg.AssetSpec(
            key=t.name.split("."),
            deps=[dg.AssetKey(["metric", source])],
            group_name=GROUPS["ops"],
            owners=[OWNER],
            kinds={"duckdb"},
            description=t.description,
            metadata=THIS_FILE | columns_metadata(t.columns),
        )
        for t, source in ((tables.PRINTS, "conversion"), (tables.DECISION_PRINTS, "decisions"))
    ],
)
def prints(
    context: dg.AssetExecutionContext, night: NightResource
) -> Iterator[dg.MaterializeResult[None]]:
    rows = records.record_print(night.night(), context.run.run_id, steps.utc_now())
    yield dg.MaterializeResult(asset_key=PRINTS, metadata={"closed_cohorts": rows})
    yield dg.MaterializeResult(asset_key=DECISION_PRINTS)


@dg.asset(
    key=["published", "cloudbound"],
    deps=[
        FILES,
        REJECTS,
        MONEY,
        PRINTS,
        DECISION_PRINTS,
        *(dg.AssetKey(t.name.split(".")) for t in OTHER_DEFINITIONS),
        *(dg.AssetKey([a.schema, a.table]) for a in sql_assets.load_all()),
    ],
    group_name=GROUPS["published"],
    owners=[OWNER],
    kinds={"duckdb"},
    metadata=THIS_FILE,
    description="The published DuckDB file, put in place in one step: readers never wait.",
)
def cloudbound(
    context: dg.AssetExecutionContext, night: NightResource
) -> dg.MaterializeResult[None]:
    started = context.instance.get_run_record_by_id(context.run.run_id)
    now = steps.utc_now()
    started_at = started.create_timestamp if started else now
    done = records.publish(night.night(), context.run.run_id, _utc(started_at), now)
    return dg.MaterializeResult(
        metadata={
            "tables_changed": len(done.tables_changed),
            "changed": ", ".join(done.tables_changed) or "nothing: every number stands",
        }
    )


@dg.asset(
    key=["published", "report"],
    deps=[dg.AssetKey(["published", "cloudbound"])],
    group_name=GROUPS["published"],
    owners=[OWNER],
    kinds={"html"},
    metadata=THIS_FILE,
    description="The weekly report beside the published file: one page without a network.",
)
def report(night: NightResource) -> dg.MaterializeResult[None]:
    from pipelines.report.writing import write

    places = night.night().settings
    write(places, places.report)
    return dg.MaterializeResult(metadata={"page": dg.MetadataValue.path(places.report)})


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
