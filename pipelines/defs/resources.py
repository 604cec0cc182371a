"""What an asset is handed: the night it works for, and what it works under: the lock, and the open
build file.

Belongs here: Dagster resources. Does not belong here: any step of the night (night.py).
"""

import fcntl
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from pipelines import night, settings, warehouse
from pipelines.errors import UsageError
from pipelines.night import Night


class NightResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The night's two clocks, '' = the default: newest complete data, everything recorded."""

    as_of: str = ""
    known_at: str = ""
    # Read once, so that all steps of a run work by the same definition and prices.
    _prepared: Night | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["NightResource"]:
        places = settings.from_environment()
        assert context.run is not None
        # What was imported by now outlives the run: nobody need look for garbage in it again.
        gc.freeze()
        with only_one(places.lock, f"run {context.run.run_id}"), warehouse.build(places.build):
            yield self

    def night(self, progress: night.Progress = night.silent) -> Night:
        if self._prepared is None:
            self._prepared = night.prepare(
                settings.from_environment(),
                as_of=date.fromisoformat(self.as_of) if self.as_of else None,
                known_at=datetime.fromisoformat(self.known_at) if self.known_at else None,
            )
        return replace(self._prepared, progress=progress)


@contextmanager
def only_one(lock: Path, holder: str) -> Iterator[None]:
    """Hold the data folder's lock; UsageError names who holds it otherwise.

    The lock is the open file's, so it goes with the process, however that ends.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            who = handle.read().strip() or "another process"
            raise UsageError(
                f"Another night is at work on {lock.parent} ({who}): wait until it is done."
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(f"{holder}, process {os.getpid()}")
        handle.flush()
        yield
