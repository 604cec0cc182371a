"""Every .sql file as an asset: key, dependencies, columns and checks come from the file.

Belongs here: the factory. Does not belong here: the grammar of the files (sql_assets.py).
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache

import dagster as dg

from pipelines import night as steps
from pipelines import sql_assets, tables, warehouse
from pipelines.alerts import STALE_AFTER
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
from pipelines.sql_assets import SqlAsset

CLOCK = dg.AssetKey(["ops", "clock"])
FRESHNESS = {
    "metric.headline": dg.FreshnessPolicy.time_window(
        fail_window=STALE_AFTER, warn_window=timedelta(hours=26)
    )
}


@cache
def _documented() -> dict[str, tuple[str, ...]]:
    return {a.name: tuple(a.columns) for a in sql_assets.load_all()} | {
        t.name: tuple(t.columns) for t in tables.ALL.values()
    }


def _column_lineage(asset: SqlAsset) -> dict[str, dg.TableColumnLineage]:
    found = sql_assets.column_sources(asset, _documented())
    deps = {
        column: [dg.TableColumnDep(table.split("."), name) for table, name in sorted(sources)]
        for column, sources in found.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}


def _chart(
    context: dg.AssetExecutionContext, work: steps.Night, asset: SqlAsset
) -> dict[str, dg.MarkdownMetadataValue]:
    """The table's chart. A picture never stops a night: what goes wrong with it is logged."""
    if asset.schema != "metric":
        return {}
    # Altair is a second of imports that only these steps need.
    from pipelines.report.inline import chart_of

    try:
        with warehouse.build(work.settings.build) as con:
            drawn = chart_of(con, asset.name)
    except Exception as error:
        context.log.warning(f"{asset.name} has no chart: {error}")
        return {}
    return {"chart": dg.MetadataValue.md(drawn)} if drawn else {}


def _asset(asset: SqlAsset) -> dg.AssetsDefinition:
    key = dg.AssetKey([asset.schema, asset.table])

    @dg.multi_asset(
        name=f"{asset.schema}__{asset.table}",
        specs=[
            dg.AssetSpec(
                key=key,
                deps=sorted({CLOCK, *(dg.AssetKey(d.split(".")) for d in asset.depends_on)}),
                description=f"{asset.description}\n\nGrain: {asset.grain}.",
                group_name=GROUPS[asset.schema],
                owners=[OWNER],
                kinds={"sql", "duckdb"},
                freshness_policy=FRESHNESS.get(asset.name),
                metadata=columns_metadata(asset.columns)
                | source_link(asset.path)
                | {"sql": dg.MetadataValue.md(f"```sql\n{asset.query}\n```")},
            )
        ],
        check_specs=check_specs(key, asset.checks),
    )
    def table(
        context: dg.AssetExecutionContext, night: NightResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        work = night.night()
        outcome = steps.run_sql(work, asset)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=outcome_metadata(asset.columns, outcome)
            | _column_lineage(asset)
            | _chart(context, work, asset),
            check_results=list(check_results(key, asset.checks, outcome)),
        )

    return table


@dg.definitions
def tables_from_sql() -> dg.Definitions:
    return dg.Definitions(assets=[_asset(a) for a in sql_assets.load_all()])
