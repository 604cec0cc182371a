"""Who is told of a night that failed, was stopped or is missing.

Belongs here: the sensors that notice. Does not belong here: what is said and how (alerts.py).
A night of the command line tells by itself, so its runs are left out here.
"""

import dagster as dg

from pipelines import alerts, settings
from pipelines.alerts import Alarm
from pipelines.defs.jobs import BY_COMMAND_LINE, NIGHTLY
from pipelines.night import utc_now

_RUNNING = dg.DefaultSensorStatus.RUNNING


def _tell(context: dg.RunStatusSensorContext, kind: str, text: str) -> None:
    run = context.dagster_run
    if BY_COMMAND_LINE.items() <= run.tags.items() or run.tags.get("dagster/will_retry") == "true":
        return
    alarm = Alarm(kind, text, run.run_id)
    for fault in alerts.tell(settings.from_environment(), alarm):
        context.log.warning(fault)


@dg.run_failure_sensor(
    monitored_jobs=[NIGHTLY],
    default_status=_RUNNING,
    description="Tells someone that a night failed and won't be tried again.",
)
def night_failed(context: dg.RunFailureSensorContext) -> None:
    said = [context.failure_event.message or "The night failed."]
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            said.append(f"{event.step_key}: {error.message.strip()}")
    _tell(context, "failed", " ".join(" ".join(said).split()))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    monitored_jobs=[NIGHTLY],
    default_status=_RUNNING,
    description="Tells someone that a night was stopped.",
)
def night_stopped(context: dg.RunStatusSensorContext) -> None:
    _tell(context, "stopped", "The night was stopped before it published.")


@dg.sensor(
    minimum_interval_seconds=600,
    default_status=_RUNNING,
    description="Tells someone, once per print, that the newest one is older than 36 hours.",
)
def night_missed(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    places = settings.from_environment()
    if alerts.last_published(places) is None:
        return dg.SkipReason("Nothing has been published yet.")
    alarm = alerts.overdue(places, utc_now())
    if alarm is None:
        return dg.SkipReason("The newest print is young enough.")
    if context.cursor != alarm.text:
        faults = alerts.tell(places, alarm)
        context.update_cursor(alarm.text)
        return dg.SkipReason(" ".join([alarm.text, *faults]))
    return dg.SkipReason(f"Told already: {alarm.text}")


@dg.definitions
def alarms() -> dg.Definitions:
    return dg.Definitions(sensors=[night_failed, night_stopped, night_missed])
