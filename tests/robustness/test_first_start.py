"""Servers that start together on an empty data folder: `dagster dev` starts a daemon, a webserver
and their code servers at once, and each makes Dagster's history if there is none."""

import subprocess
import sys
from pathlib import Path

from pipelines.settings import CHECKOUT

OPEN_AT_ONCE = """
import sys
from pipelines.dagster_storage import DataFolderStorage
print("ready", flush=True)
sys.stdin.readline()
storage = DataFolderStorage(sys.argv[1])
with storage.event_log_storage.run_connection("run"):
    pass
"""
SERVERS, ROUNDS = 5, 2


def test_servers_that_start_together_make_one_history(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN_AT_ONCE]
    failed = []
    for number in range(ROUNDS):
        folder = tmp_path / f"round-{number}"
        servers = [
            subprocess.Popen(
                [*command, str(folder)],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(SERVERS)
        ]
        for server in servers:
            assert server.stdout and server.stdout.readline() == "ready\n"
        for server in servers:
            assert server.stdin
            server.stdin.write("\n")
            server.stdin.flush()
        failed += [e for s in servers if (e := s.communicate(timeout=120)[1]) or s.returncode]
    assert not failed, failed[0]
