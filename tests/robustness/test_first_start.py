"""Servers that start together on an empty history: `dagster dev` starts a daemon, a webserver and
their code servers at once, and each makes Dagster's history if there is none."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipelines.settings import CHECKOUT
from tests.robustness import deployment

OPEN_AT_ONCE = """
import importlib, sys
import alembic.command
import dagster as dg
importlib.import_module(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with dg.DagsterInstance.get() as instance:
    assert instance.get_runs() == [] and instance.all_logs("run") == []
    assert instance.all_instigator_state() == []
"""
SERVERS = 5
MODULES = {"sqlite": "pipelines.dagster_storage", "postgres": "dagster_postgres.storage"}
Empty = tuple[str, dict[str, str]]  # the module of its storage, and its environment


@pytest.fixture(params=MODULES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Empty]:
    """A deployment whose history nobody has made yet."""
    with ExitStack() as stack:
        found, storage = {"CLOUDBOUND_DATA": str(tmp_path / "data")}, ""
        if request.param == "postgres":
            pytest.importorskip("dagster_postgres")
            if deployment.server_binaries() is None:
                pytest.skip("there is no PostgreSQL server here")
            found["CLOUDBOUND_POSTGRES_URL"] = stack.enter_context(deployment.postgres())
            storage = deployment.POSTGRES_STORAGE
        home = deployment.home(tmp_path / "home", storage)
        yield MODULES[request.param], found | {"DAGSTER_HOME": str(home)}


def test_servers_that_start_together_make_one_history(empty: Empty) -> None:
    module, environment = empty
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AT_ONCE, module],
            cwd=CHECKOUT,
            env=os.environ | environment,
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
    said = [s.communicate(timeout=120)[1] for s in servers]
    assert [s.returncode for s in servers] == [0] * SERVERS, said
