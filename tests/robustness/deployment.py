"""A real daemon, a real webserver and, when asked for, a real PostgreSQL, each on a free port.

Belongs here: starting, asking and stopping them. Does not belong here: what should be true.
"""

import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.settings import CHECKOUT

NO_CODE = "Error loading repository location"  # of the daemon's and the webserver's log
LISTENS, LOOPBACK = "0A", "0100007F"  # as /proc/net/tcp writes them
POSTGRES_STORAGE = "storage:\n  postgres:\n    postgres_url: {env: CLOUDBOUND_POSTGRES_URL}\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def home(folder: Path, storage: str = "") -> Path:
    """A DAGSTER_HOME with the checkout's settings, or those with another storage."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (CHECKOUT / "dagster.yaml").read_text("utf-8")
    if storage:
        start = text.index("storage:\n")
        text = text[:start] + storage + text[text.index("compute_logs:") :]
    (folder / "dagster.yaml").write_text(text, "utf-8")
    return folder


class Deployment:
    """Daemon and webserver over one data folder."""

    def __init__(self, data: Path, dagster_home: Path, **environment: str) -> None:
        self.data = data
        self.port = free_port()
        self.environment = (
            os.environ
            | {"CLOUDBOUND_DATA": str(data), "DAGSTER_HOME": str(dagster_home)}
            | environment
        )
        self.running: list[subprocess.Popen[bytes]] = []
        self.logs = [data.parent / f"server-{number}.log" for number in range(2)]

    def start(self) -> None:
        tools = Path(sys.executable).parent
        web = ["-h", "127.0.0.1", "-p", str(self.port)]
        servers = [[str(tools / "dagster-daemon"), "run"], [str(tools / "dagster-webserver"), *web]]
        for command, path in zip(servers, self.logs, strict=True):
            with path.open("wb") as log:
                self.running.append(
                    subprocess.Popen(
                        command, cwd=CHECKOUT, env=self.environment, stdout=log, stderr=log
                    )
                )
        self.wait_for(self._answers, 240, "the webserver answers")

    def wait_for(self, what: Callable[[], Any], seconds: float, why: str) -> Any:
        """The first true answer of `what`; fails at once when a server has ended or has no code."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := what():
                return found
            self._are_well(why)
            time.sleep(0.5)
        raise AssertionError(f"{why}: not within {seconds} s")

    def _are_well(self, why: str) -> None:
        for process, path in zip(self.running, self.logs, strict=True):
            said = path.read_text("utf-8", "replace")
            assert process.poll() is None, f"{why}: a server ended: {said[-4000:]}"
            assert NO_CODE not in said, f"{why}: {said[said.index(NO_CODE) :][-4000:]}"

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGINT)
        for process in self.running:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.loads(answer.read())
        assert "errors" not in found, found
        return found["data"]

    def listens_on(self) -> set[str]:
        """The addresses on which the servers and whatever they started take connections (Linux)."""
        parents = {
            int(path.name): int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            for path in Path("/proc").glob("[0-9]*")
            if path.joinpath("stat").is_file()
        }
        family = {process.pid for process in self.running}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        held = {
            os.readlink(handle)
            for pid in family
            for handle in Path(f"/proc/{pid}/fd").iterdir()
            if handle.is_symlink()
        }
        found = set()
        for table in ("tcp", "tcp6"):
            for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *rest = row.split()
                if state == LISTENS and f"socket:[{rest[5]}]" in held:
                    found.add(local.partition(":")[0])
        return found

    def _answers(self) -> bool:
        try:
            return bool(self.ask("{ version }"))
        except OSError:
            return False

    def runs(self) -> list[dict[str, Any]]:
        """Every run of the nightly job, newest first, its tags as a dict."""
        found = self.ask(
            '{ runsOrError(filter: {pipelineName: "nightly"}) { ... on Runs { results { runId '
            "status tags { key value } } } } }"
        )["runsOrError"]["results"]
        return [r | {"tags": {t["key"]: t["value"] for t in r["tags"]}} for r in found]

    def check(self, *asset_key: str) -> dict[str, str]:
        """Name of each check of an asset -> how its last execution ended."""
        found = self.ask(
            "query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetChecksOrError {"
            " ... on AssetChecks { checks { name executionForLatestMaterialization { status } } }"
            " } } }",
            keys=[{"path": list(asset_key)}],
        )["assetNodes"][0]["assetChecksOrError"]["checks"]
        return {
            c["name"]: (c["executionForLatestMaterialization"] or {}).get("status", "")
            for c in found
        }


def server_binaries() -> Path | None:
    """The folder of PostgreSQL's server programs, as Debian lays them out or as PATH has them."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    on_path = shutil.which("initdb")
    if found:
        return Path(found[-1]).parent
    return Path(on_path).parent if on_path else None


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database of a cluster of its own, which only loopback reaches.

    The server refuses to run as root: there it runs as the user postgres, else nobody.
    """
    programs = server_binaries()
    assert programs is not None
    cluster, port = Path(tempfile.mkdtemp(prefix="cloudbound-postgres-")), free_port()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        names = {u.pw_name for u in pwd.getpwall()}
        who = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(cluster, who.pw_uid, who.pw_gid)
        user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": [], "cwd": "/"}

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **user,
        )

    run("initdb", "-D", str(cluster), "-U", "dagster", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
    run(
        "pg_ctl",
        "-D",
        str(cluster),
        "-o",
        f"{options} -c fsync=off",
        "-w",
        "-l",
        str(cluster / "log"),
        "start",
    )
    try:
        yield f"postgresql://dagster@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", str(cluster), "-m", "immediate", "-w", "stop")
        shutil.rmtree(cluster)
