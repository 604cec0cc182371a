"""Letting go of what is old: Dagster's runs, raw landing and lake files.

Belongs here: the jobs and when they run. Does not belong here: what is old (history.py,
retention.py).
"""

import dagster as dg

from pipelines import history, retention, settings, warehouse
from pipelines.night import utc_now


@dg.op(description="Deletes finished runs and their events after CLOUDBOUND_KEEP_HISTORY_DAYS.")
def purge_runs(context: dg.OpExecutionContext) -> None:
    days = settings.from_environment().keep_history_days
    purged = history.purge(context.instance, days, utc_now())
    context.log.info(f"{purged} runs older than {days} days are deleted")


@dg.job(
    description="Deletes old runs: Dagster itself keeps them for ever.",
    executor_def=dg.in_process_executor,
)
def purge_history() -> None:
    purge_runs()


@dg.op(description="Deletes raw files whose newest day is older than CLOUDBOUND_KEEP_DAYS.")
def expire_files(context: dg.OpExecutionContext) -> None:
    places = settings.from_environment()
    with warehouse.published(places.published) as con:
        clock = warehouse.one(con, "select as_of from ops.clock")
    assert clock is not None
    gone = retention.expire(places, clock[0], places.keep_days, utc_now())
    context.log.info(f"{len(gone.files)} files with no day from {gone.kept_from} on are deleted")


@dg.job(
    description="Deletes old raw files of landing and lake; every fact stays.",
    executor_def=dg.in_process_executor,
)
def expire_raw() -> None:
    expire_files()


def _weekly(job: dg.JobDefinition, cron: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        job=job,
        cron_schedule=cron,
        execution_timezone="Asia/Shanghai",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


@dg.definitions
def keeping() -> dg.Definitions:
    return dg.Definitions(
        jobs=[purge_history, expire_raw],
        schedules=[_weekly(purge_history, "30 5 * * 0"), _weekly(expire_raw, "0 6 * * 0")],
    )
