"""The nightly job, its schedule, and the sensor on landing.

Belongs here: what starts a night, and when. Does not belong here: what a night does, and who is
told of a bad one (alarms.py).
"""

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from pipelines import landing, settings
from pipelines.defs.resources import NightResource

NIGHTLY = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.all(),
    description="Landing to the published number.",
    executor_def=dg.in_process_executor,
    # A fault that passes (a file held for a moment, a worker that died) heals by itself.
    tags={"dagster/max_retries": "2"},
)
BY_COMMAND_LINE = {"cloudbound/started_by": "command line"}
CRON = os.environ.get("CLOUDBOUND_NIGHTLY_CRON") or "0 2 * * *"


def range_tags(first: date, last: date) -> dict[str, str]:
    """Tags of one run over all days from first to last."""
    first = max(first, date.fromisoformat(settings.from_environment().partitions_start))
    return {
        "dagster/asset_partition_range_start": str(first),
        "dagster/asset_partition_range_end": str(max(first, last)),
    }


@dg.schedule(
    job=NIGHTLY,
    cron_schedule=CRON,
    execution_timezone="Asia/Shanghai",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 02:00 in the operating zone.",
)
def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    yesterday = context.scheduled_execution_time.date() - timedelta(days=1)
    tick = context.scheduled_execution_time.isoformat()
    return dg.RunRequest(run_key=tick, tags=range_tags(yesterday, yesterday))


@dg.sensor(
    job=NIGHTLY,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Starts a night when files have come into landing that no night has seen.",
)
def landing_files(
    context: dg.SensorEvaluationContext,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    seen = set(json.loads(context.cursor)) if context.cursor else set()
    names = {p.as_posix() for p in landing.file_names(settings.from_environment().landing)}
    fresh = names - seen
    if not fresh:
        yield dg.SkipReason("Landing holds no file that a night has not seen.")
        return
    context.update_cursor(json.dumps(sorted(names)))
    today = date.today()
    yield dg.RunRequest(run_key=f"{len(names)}-{sorted(fresh)[-1]}", tags=range_tags(today, today))


@dg.definitions
def jobs() -> dg.Definitions:
    return dg.Definitions(
        jobs=[NIGHTLY],
        schedules=[nightly],
        sensors=[landing_files],
        resources={"night": NightResource.configure_at_launch()},
        executor=dg.in_process_executor,
    )
