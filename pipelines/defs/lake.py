"""Assets from landing to lake and reference: files in, clean events out.

Belongs here: one asset a step of night.py. Does not belong here: what the step does.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from pipelines import night as steps
from pipelines import tables
from pipelines.defs.resources import NightResource
from pipelines.defs.shared import GROUPS, OWNER, columns_metadata, source_link

THIS_FILE = source_link(Path(__file__))
LAKE = dg.AssetKey(["lake", "files"])


@dg.asset(
    key=LAKE,
    group_name=GROUPS["lake"],
    owners=[OWNER],
    kinds={"polars", "parquet"},
    metadata=THIS_FILE,
    description="Landing files as clean events by business day, each once; rejects with reason.",
)
def files(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult[None]:
    entries = steps.take_stock(night.night(), steps.utc_now())
    families = sorted({e.family for e in entries})
    rejected = sum(e.rejected for e in entries)
    for entry in entries:
        for warning in entry.warnings:
            context.log.warning(f"{entry.source}/{entry.name}: {warning}")
    return dg.MaterializeResult(
        metadata={
            "files": len(entries),
            "rows_read": sum(e.rows_read for e in entries),
            "rejected": rejected,
            "families": ", ".join(families),
        }
    )


def _spec(table: tables.Table, kind: str = "ref") -> dg.AssetSpec:
    schema, name = table.name.split(".")
    return dg.AssetSpec(
        key=[schema, name],
        deps=[LAKE],
        description=table.description,
        group_name=GROUPS[kind],
        owners=[OWNER],
        kinds={"polars", "duckdb"},
        metadata=THIS_FILE | columns_metadata(table.columns),
        skippable=False,
    )


@dg.multi_asset(
    name="reference",
    specs=[
        *(_spec(t) for t in tables.REFERENCE.values()),
        _spec(tables.TEAM_SPANS),
        _spec(tables.IDENTITY_STRETCHES),
        _spec(tables.COVERAGE),
        _spec(tables.DEFINITION, "ops"),
    ],
)
def reference(night: NightResource) -> Iterator[dg.MaterializeResult[None]]:
    for name, rows in steps.write_reference(night.night()).items():
        yield dg.MaterializeResult(asset_key=name.split("."), metadata={"dagster/row_count": rows})
