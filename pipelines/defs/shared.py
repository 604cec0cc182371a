"""What several asset modules of this shell share: names of groups, metadata, partitions.

Belongs here: the turning of a step's outcome into Dagster metadata and check results.
Does not belong here: assets, or anything that computes.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg

from pipelines import settings
from pipelines.sql_assets import Check, Outcome

OWNER = "team:data"
GROUPS = {
    "lake": "1_lake",
    "ref": "2_reference",
    "fact": "3_facts",
    "journey": "4_journey",
    "metric": "5_metric",
    "ops": "6_operations",
    "published": "7_published",
}
DAYS = dg.DailyPartitionsDefinition(
    start_date=settings.from_environment().partitions_start, timezone="Asia/Shanghai"
)


def columns_metadata(
    columns: Mapping[str, str], types: Mapping[str, str] = MappingProxyType({})
) -> dict[str, dg.TableSchema]:
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(name=n, type=types.get(n, ""), description=d) for n, d in columns.items()
        ]
    )
    return {"dagster/column_schema": schema}


def outcome_metadata(columns: Mapping[str, str], outcome: Outcome) -> dict[str, Any]:
    """Rows, the columns with the types that they really have, and the first day that was made."""
    made = {} if outcome.from_on is None else {"made_from_on": str(outcome.from_on)}
    return {"dagster/row_count": outcome.rows} | made | columns_metadata(columns, outcome.types)


def check_specs(key: dg.AssetKey, checks: Iterable[Check]) -> list[dg.AssetCheckSpec]:
    """One check a sentence; those that stop the night block what comes after them."""
    return [
        dg.AssetCheckSpec(
            name=check.name,
            asset=key,
            description=f"{check.sentence[0].upper()}{check.sentence[1:]}.",
            blocking=check.stops,
            metadata={"condition": check.condition},
        )
        for check in checks
    ]


def check_results(
    key: dg.AssetKey, checks: Iterable[Check], outcome: Outcome, examples: str = ""
) -> Iterator[dg.AssetCheckResult]:
    for check in checks:
        breaches = outcome.breaches[check.name]
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=check.name,
            passed=breaches == 0,
            severity=dg.AssetCheckSeverity.ERROR if check.stops else dg.AssetCheckSeverity.WARN,
            metadata={"breaches": breaches} | ({"examples": examples} if examples else {}),
        )


def source_link(path: Path, line: int = 1) -> dict[str, Any]:
    """The file, as a link that the UI opens in an editor."""
    name = path.relative_to(settings.CHECKOUT).as_posix()
    with warnings.catch_warnings():
        # Both classes are beta in the pinned 1.13.27; look again when that pin moves.
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=name)
        links = dg.CodeReferencesMetadataValue(code_references=[reference])
    return {"dagster/code_references": links}
