"""Real nights: the real daemon ticks the schedule, the real webserver says how they ended.

One story over one deployment, because a daemon takes longer to start than a night takes. It waits
for minutes of the clock rather than for the machine, so the suite has its beginning only; all of
it, on SQLite and on PostgreSQL, runs with

    CLOUDBOUND_TEST_ALL_NIGHTS=1 python -m pytest -n 0 tests/robustness/test_nights.py

Last run (24 November 2026, a loaded machine of 2 cores): both passed, 6 and 12 minutes.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.settings import CHECKOUT
from tests.robustness import deployment, small
from tests.robustness.deployment import Deployment

ALL = bool(os.environ.get("CLOUDBOUND_TEST_ALL_NIGHTS"))
STORAGES = ["sqlite", "postgres"] if ALL else ["sqlite"]
EVERY_MINUTE = "* * * * *"
NOTES = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
PATIENCE = 600
RETRY_OF = "dagster/parent_run_id"
KEY = "a-key-that-nobody-may-see"
SENSOR = {
    "repositoryLocationName": "cloudbound",
    "repositoryName": "__repository__",
    "sensorName": "landing_files",
}
SCHEDULE = {k: v for k, v in SENSOR.items() if k != "sensorName"} | {"scheduleName": "nightly"}


@pytest.fixture(params=STORAGES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    data, reference = tmp_path / "data", tmp_path / "reference"
    small.first(data / "landing")
    shutil.copytree(CHECKOUT / "data" / "reference", reference)
    environment = {
        "CLOUDBOUND_NIGHTLY_CRON": EVERY_MINUTE,
        "CLOUDBOUND_MEMBER_KEY": KEY,
        "CLOUDBOUND_REFERENCE": str(reference),
        "CLOUDBOUND_ALERT_COMMAND": shlex.join(
            [sys.executable, "-c", NOTES, str(tmp_path / "told")]
        ),
    }
    with ExitStack() as stack:
        storage = ""
        if request.param == "postgres":
            pytest.importorskip("dagster_postgres")
            storage = deployment.POSTGRES_STORAGE
            environment["CLOUDBOUND_POSTGRES_URL"] = stack.enter_context(deployment.postgres())
        made = Deployment(data, deployment.home(tmp_path / "home", storage), **environment)
        stack.callback(made.stop)
        made.start()
        yield made


def ended(house: Deployment, known: set[str], why: str, **tags: str) -> dict[str, Any]:
    """The first run that is not among the known ones, has the tags, and is over."""

    def found() -> dict[str, Any] | None:
        for run in reversed(house.runs()):
            is_new = run["runId"] not in known and tags.items() <= run["tags"].items()
            if is_new and run["status"] in ("SUCCESS", "FAILURE"):
                return run
        return None

    run: dict[str, Any] = house.wait_for(found, PATIENCE, why)
    return run


def ids(house: Deployment) -> set[str]:
    return {r["runId"] for r in house.runs()}


def schedule(house: Deployment, is_on: bool) -> None:
    """Turn the schedule on, or off and wait until no run is under way."""
    if is_on:
        start = (
            "mutation($s: ScheduleSelector!) { startSchedule(scheduleSelector: $s) { __typename } }"
        )
        house.ask(start, s=SCHEDULE)
        return
    state = house.ask(
        "query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) { ... on Schedule {"
        " scheduleState { id } } } }",
        s=SCHEDULE,
    )["scheduleOrError"]["scheduleState"]["id"]
    house.ask("mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }", id=state)


def quiet(house: Deployment) -> set[str]:
    """All runs, once none is under way; new ticks that still wait in the queue are taken out."""
    cancel = (
        "mutation($run: String!) { terminateRun(runId: $run, terminatePolicy: "
        "MARK_AS_CANCELED_IMMEDIATELY) { __typename } }"
    )

    def is_quiet() -> bool:
        runs = house.runs()
        for run in (r for r in runs if r["status"] in ("QUEUED", "NOT_STARTED")):
            if RETRY_OF not in run["tags"]:
                house.ask(cancel, run=run["runId"])
        return all(r["status"] in ("SUCCESS", "FAILURE", "CANCELED") for r in runs)

    house.wait_for(is_quiet, PATIENCE, "no run is under way")
    return ids(house)


def failed_alarms(told: Path) -> int:
    lines = told.read_text("utf-8").splitlines() if told.exists() else []
    return [json.loads(line)["kind"] for line in lines].count("failed")


def test_nights_of_a_real_daemon(house: Deployment, tmp_path: Path) -> None:
    published, told = house.data / "cloudbound.duckdb", tmp_path / "told"

    # The schedule, running by default, is ticked at its time, and the night publishes.
    first = ended(house, set(), "the schedule's first night")
    assert first["status"] == "SUCCESS"
    assert first["tags"]["dagster/schedule_name"] == "nightly"
    schedule(house, is_on=False)
    assert house.listens_on() == {deployment.LOOPBACK}
    known = quiet(house)
    old = small.version(published)

    # A stopping check fails: nothing is published, the UI says so, someone is told once a night.
    chips = house.data.parent / "reference" / "chips.csv"
    sound = chips.read_text("utf-8")
    names = sound.splitlines()[0].split(",")
    rows = [line.split(",") for line in sound.splitlines()[1:]]
    for row in rows:
        row[names.index("hour_cny")] = "-" + row[names.index("hour_cny")]
    chips.write_text("\n".join(",".join(r) for r in [names, *rows]) + "\n", "utf-8")
    before = published.resolve()
    if ALL:
        schedule(house, is_on=True)
    else:
        command = [sys.executable, "-m", "pipelines.cli", "nightly"]
        done = subprocess.run(command, cwd=CHECKOUT, env=house.environment, capture_output=True)
        assert done.returncode == 1, done.stderr
    failed = ended(house, known, "a night with a failed check")
    schedule(house, is_on=False)
    assert failed["status"] == "FAILURE"
    nights = quiet(house) - known
    first_tries = [r for r in house.runs() if r["runId"] in nights and RETRY_OF not in r["tags"]]
    told_of = [r["runId"] for r in first_tries if r["status"] == "FAILURE"]
    house.wait_for(lambda: failed_alarms(told) >= len(told_of), PATIENCE, "an alarm")
    known = quiet(house)
    assert failed_alarms(told) == len(told_of)
    assert "FAILED" in house.check("metric", "cost_scenarios").values()
    assert published.resolve() == before and small.version(published) == old
    chips.write_text(sound, "utf-8")
    without_secrets(house)
    if not ALL:
        return

    # Daemon and webserver stop; a night is missed; after a restart it is made up for, and
    # nothing of the history is lost.
    seen = {r["runId"]: r["status"] for r in house.runs()}
    schedule(house, is_on=True)
    house.stop()
    time.sleep(61)
    house.start()
    assert {r["runId"]: r["status"] for r in house.runs()}.items() >= seen.items()
    assert ended(house, set(seen), "the missed night")["status"] == "SUCCESS"
    schedule(house, is_on=False)

    # A fault that passes: somebody holds the build file for a moment, and a retry heals it.
    known = quiet(house)
    with duckdb.connect(str(house.data / "build.duckdb")):
        schedule(house, is_on=True)
        assert ended(house, known, "a night that fails")["status"] == "FAILURE"
        schedule(house, is_on=False)
    parent = {RETRY_OF: _failed_since(house, known)}
    assert ended(house, known, "its retry", **parent)["status"] == "SUCCESS"

    # The sensor sees late files and starts a night for them.
    known = quiet(house)
    start = "mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"
    house.ask(start, s=SENSOR)
    small.late(house.data / "landing")
    late = ended(house, known, "the sensor's night", **{"dagster/sensor_name": "landing_files"})
    assert late["status"] == "SUCCESS"
    assert small.version(published) != old

    without_secrets(house)


def without_secrets(house: Deployment) -> None:
    """No secret has come into logs, history, metadata or any published file."""
    for path in (p for p in house.data.parent.rglob("*") if p.is_file()):
        assert KEY.encode() not in path.read_bytes(), path


def _failed_since(house: Deployment, known: set[str]) -> str:
    failed = [r["runId"] for r in house.runs() if r["status"] == "FAILURE"]
    return next(run for run in reversed(failed) if run not in known)
