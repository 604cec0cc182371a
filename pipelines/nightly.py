"""The nightly job in this process: the same job, instance and history as the schedule's.

Belongs here: planning the run's days, running the Dagster job, and saying how it ended.
Does not belong here: the steps (night.py), their assets (defs/).
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import dagster as dg

from pipelines import alerts, prints, warehouse
from pipelines import night as steps
from pipelines.alerts import Alarm
from pipelines.definitions import defs
from pipelines.defs.facts import PROGRESS
from pipelines.defs.jobs import BY_COMMAND_LINE, range_tags
from pipelines.defs.resources import only_one
from pipelines.errors import CheckFailed, UsageError
from pipelines.settings import CHECKOUT, Settings

_ERRORS = {"UsageError": UsageError, "CheckFailed": CheckFailed}


@dataclass(frozen=True)
class Done:
    """How a night ended."""

    as_of: date
    data_complete_on: date
    first_day: date
    last_day: date
    tables_changed: tuple[str, ...]
    warnings: tuple[str, ...]


def run(
    places: Settings,
    as_of: date | None,
    known_at: datetime | None,
    show: steps.Progress,
) -> Done:
    """One whole night. Raises UsageError, or CheckFailed when nothing was published."""
    os.environ.setdefault("DAGSTER_HOME", str(CHECKOUT))
    night = steps.prepare(places, as_of, known_at, show)
    with only_one(places.lock, "cloudbound nightly"):
        steps.take_stock(night, steps.utc_now())
        first, last = steps.touched_days(night)
    PROGRESS["show"] = show
    resource: dict[str, Any] = {
        "as_of": str(as_of) if as_of else "",
        "known_at": known_at.isoformat() if known_at else "",
    }
    with dg.DagsterInstance.get() as instance:
        result = (
            defs()
            .resolve_job_def("nightly")
            .execute_in_process(
                instance=instance,
                run_config={
                    "resources": {"night": {"config": resource}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                tags=range_tags(first, last) | BY_COMMAND_LINE,
                raise_on_error=False,
            )
        )
        warnings = _failed_checks(result, dg.AssetCheckSeverity.WARN)
        if not result.success:
            raise _reason(result)
    return _done(places, first, last, warnings)


@contextmanager
def told(places: Settings) -> Iterator[None]:
    """Whatever ends the night badly is said to whom the settings name, and goes on from there.

    A polite end (SIGTERM, as systemd and cron send it) counts as stopped.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | dg.DagsterExecutionInterruptedError)
        text = "The night was stopped before it published." if stopped else str(error)
        for fault in alerts.tell(places, Alarm("stopped" if stopped else "failed", text)):
            print(fault, file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def sentence(done: Done) -> str:
    """What a night did, and what it warns of."""
    changed = len(done.tables_changed)
    what = (
        f"{changed} published tables changed"
        if changed
        else "no published number changed: landing holds nothing new"
    )
    lines = [
        f"Published as of {done.as_of} (decided up to {done.data_complete_on}; "
        f"days {done.first_day} to {done.last_day}): {what}."
    ]
    lines += [f"Warning: {w}" for w in done.warnings]
    return "\n".join(lines)


def _failed_checks(
    result: dg.ExecuteInProcessResult, severity: dg.AssetCheckSeverity
) -> tuple[str, ...]:
    sentences = prints.check_sentences()
    found = []
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed and evaluation.severity == severity:
            table = ".".join(evaluation.asset_key.path)
            said = sentences.get((table, evaluation.check_name), evaluation.check_name)
            rows = evaluation.metadata["breaches"].value
            examples = evaluation.metadata.get("examples")
            which = f": {examples.value}" if examples else ""
            found.append(
                f"{table}: it should hold that {said}, but {rows} rows say otherwise{which}."
            )
    return tuple(found)


def _reason(result: dg.ExecuteInProcessResult) -> Exception:
    """The first error of ours below the failed step, else the failed stopping checks."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        error = event.step_failure_data.error
        while error is not None:
            if error.cls_name in _ERRORS:
                message = error.message.partition(": ")[2].strip()
                return _ERRORS[error.cls_name](message)
            error = error.cause
    stops = _failed_checks(result, dg.AssetCheckSeverity.ERROR)
    if stops:
        return CheckFailed("Nothing was published: " + " ".join(stops))
    failed = next((e for e in result.all_events if e.is_step_failure), None)
    said = failed.step_failure_data.error if failed else None
    deepest = said
    while deepest is not None and deepest.cause is not None:
        deepest = deepest.cause
    message = deepest.message.strip() if deepest else "the run failed"
    step = failed.step_key if failed else "nightly"
    published = any(
        e.is_step_success and e.step_key == "published__cloudbound" for e in result.all_events
    )
    done = "The new file is published, but" if published else "Nothing was published:"
    return CheckFailed(
        f"{done} the step {step} failed ({message}); "
        f"the whole story is in run {result.run_id} of the Dagster UI."
    )


def _done(places: Settings, first: date, last: date, warnings: tuple[str, ...]) -> Done:
    with warehouse.published(places.published) as con:
        clock = warehouse.one(con, "select as_of, data_complete_on from ops.clock")
        changed = warehouse.one(con, "select arg_max(tables_changed, published_at) from ops.runs")
    assert clock is not None and changed is not None
    names = tuple(n for n in (changed[0] or "").split(", ") if n)
    return Done(clock[0], clock[1], first, last, names, warnings)
