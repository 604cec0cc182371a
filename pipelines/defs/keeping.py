"""Letting go of what is old: Dagster's runs, raw landing and lake files.

Belongs here: the jobs and when they run. Does not belong here: what is old (history.py,
retention.py).
"""

import dagster as dg

from pipelines import history, settings
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


@dg.definitions
def keeping() -> dg.Definitions:
    zone = "Asia/Shanghai"
    return dg.Definitions(
        jobs=[purge_history],
        schedules=[
            dg.ScheduleDefinition(
                job=purge_history,
                cron_schedule="30 5 * * 0",
                execution_timezone=zone,
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
        ],
    )
