"""Someone is told: of a night that fails, is stopped or is missing, by command and by webhook."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines import alerts, warehouse
from pipelines.alerts import Alarm
from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import small

KEY = "a-key-that-nobody-may-see"
TELLS = """
import json, os, sys
from pathlib import Path
told = {"said": sys.argv[2], "alarm": json.loads(sys.stdin.read())}
assert "CLOUDBOUND_MEMBER_KEY" not in os.environ
with Path(sys.argv[1]).open("a") as file:
    file.write(json.dumps(told) + "\\n")
"""


class Ear:
    """A webhook on a free loopback port, and a command that writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[dict[str, str]] = []
        self.noted = folder / "told.jsonl"
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                ear.heard.append(json.loads(self.rfile.read(length)))
                self.send_response(500 if self.path.endswith("broken") else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """No noise in the tests."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/secret-path"
        script = folder / "tells.py"
        script.write_text(TELLS, "utf-8")
        self.command = shlex.join([sys.executable, str(script), str(self.noted)])
        self.environment = {
            "CLOUDBOUND_ALERT_COMMAND": self.command,
            "CLOUDBOUND_ALERT_WEBHOOK": self.address,
            "CLOUDBOUND_MEMBER_KEY": KEY,
        }

    def notes(self) -> list[dict[str, object]]:
        lines = self.noted.read_text("utf-8").splitlines() if self.noted.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    listening = Ear(tmp_path)
    thread = threading.Thread(target=listening.server.serve_forever)
    thread.start()
    yield listening
    listening.server.shutdown()
    thread.join()
    listening.server.server_close()


def start(data: Path, ear: Ear, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *command],
        cwd=CHECKOUT,
        env=os.environ | {"CLOUDBOUND_DATA": str(data)} | ear.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_night_that_fails_is_told_once_each_and_keeps_its_secrets(
    tmp_path: Path, ear: Ear
) -> None:
    data = tmp_path / "data"
    out, said = start(data, ear, "nightly").communicate(timeout=200)
    [alarm] = ear.heard
    assert alarm["kind"] == "failed"
    assert "holds no files" in alarm["text"] and alarm["text"] in said
    assert ear.notes() == [{"said": alarm["text"], "alarm": alarm}]
    for secret in (KEY, "secret-path"):
        assert secret not in out + said


def test_a_night_that_is_ended_politely_is_told_as_stopped(tmp_path: Path, ear: Ear) -> None:
    data = tmp_path / "data"
    small.first(data / "landing")
    night = start(data, ear, "nightly")
    while night.poll() is None and not (data / "night.lock").exists():
        time.sleep(0.02)
    night.send_signal(signal.SIGTERM)
    _, said = night.communicate(timeout=200)
    assert night.returncode == 130, said
    assert [a["kind"] for a in ear.heard] == ["stopped"]
    assert not (data / "cloudbound.duckdb").exists()


def test_a_missing_night_is_told_after_36_hours_and_not_before(tmp_path: Path, ear: Ear) -> None:
    data = tmp_path / "data"
    published = datetime.now(UTC) - timedelta(hours=37)
    with warehouse.build(data / "build.duckdb") as con:
        con.execute("create table ops.runs as select ?::timestamptz as published_at", [published])
    warehouse.publish(data / "build.duckdb", data / "cloudbound.duckdb")
    late = start(data, ear, "overdue")
    _, said = late.communicate(timeout=60)
    assert late.returncode == 1
    assert [a["kind"] for a in ear.heard] == ["missed"]
    assert f"{published:%Y-%m-%d %H:%M}" in said
    places = driver.places(data)
    assert alerts.overdue(places, published + timedelta(hours=36)) is None
    assert alerts.overdue(places, published + timedelta(hours=36, seconds=1)) is not None
    nothing = alerts.overdue(driver.places(tmp_path / "empty"), published)
    assert nothing is not None and nothing.kind == "missed"


def test_what_is_wrong_with_the_means_is_a_sentence_without_the_address(
    tmp_path: Path, ear: Ear
) -> None:
    def told(command: str, webhook: str) -> list[str]:
        places = type(driver.places(tmp_path))(
            data=tmp_path, reference=tmp_path, alert_command=command, alert_webhook=webhook
        )
        assert "secret" not in repr(places)
        return alerts.tell(places, Alarm("failed", "x"))

    assert told("", "") == []
    faults = told("false", f"{ear.address}/broken")
    assert faults[0] == "The alert command ended with code 1."
    assert "500" in faults[1]
    faults = told("/no/such/command", "file:///etc/passwd?secret")
    assert [f.partition(" could")[0].partition(" is")[0] for f in faults] == [
        "The alert command",
        "The alert webhook",
    ]
    assert not any("secret" in f for f in faults)
