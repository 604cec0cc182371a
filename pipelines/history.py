"""Dagster keeps the events of every run for ever; this lets go of the old ones.

Belongs here: which runs are old, and their deletion through Dagster's own interface, so that it
works on SQLite and PostgreSQL alike. Does not belong here: ticks (dagster.yaml's retention), and
the published history (ops.runs, ops.prints), which stays.
"""

from datetime import datetime, timedelta

import dagster as dg

_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_BATCH = 100


def purge(instance: dg.DagsterInstance, keep_days: int, now: datetime) -> int:
    """Delete finished runs created more than keep_days before now, with their events and what their
    steps printed; their number."""
    old = dg.RunsFilter(statuses=_FINISHED, created_before=now - timedelta(days=keep_days))
    purged = 0
    while records := instance.get_run_records(old, limit=_BATCH):
        for record in records:
            run_id = record.dagster_run.run_id
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            instance.delete_run(run_id)
        purged += len(records)
    return purged
