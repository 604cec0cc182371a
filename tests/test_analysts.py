"""What an analyst does with the published file: a session, an older client, a notebook, a page."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines import session
from pipelines.settings import CHECKOUT
from tests import driver
from tests.hand import world

# A Python with DuckDB 1.5, whose packages must not meet ours; .ci/run makes it.
OLDER = os.environ.get("CLOUDBOUND_OLDER_DUCKDB")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysts")
    world.write(folder / "landing")
    driver.run(folder)
    return folder


class Terminal:
    """A command on a terminal of its own: what it prints, and keys for it."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        self.running = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=CHECKOUT
        )
        os.close(theirs)
        self.at, self.seen = ours, ""

    def until(self, wanted: str, seconds: float = 60) -> str:
        """What was printed since the last call, up to the wanted text."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen
            self.seen += os.read(self.at, 65536).decode()
        found, _, self.seen = self.seen.partition(wanted)
        return found

    def type(self, keys: str) -> None:
        os.write(self.at, keys.encode())


def test_a_session_welcomes_completes_and_answers(data: Path) -> None:
    env = os.environ | {"CLOUDBOUND_DATA": str(data), "TERM": "dumb"}
    terminal = Terminal([sys.executable, "-m", "pipelines.cli", "open"], env)
    try:
        welcome = terminal.until("cloudbound> ")
        queries = re.findall(r"(?m)^  (\w.*;)\r?$", welcome)
        assert len(queries) == 5
        for query in queries:
            terminal.type(f"{query}\n")
            answer = terminal.until("cloudbound> ")
            assert "---" in answer and "can't be answered" not in answer, query
        terminal.type("select share from metric.headl\t")
        terminal.until("metric.headline")  # the terminal shows what Tab has completed
        terminal.type(" where is_headline;\n")
        assert f"{world.HEADLINE.share:.6g}" in terminal.until("cloudbound> ")
        terminal.type("select nothing;\n")
        assert "can't be answered" in terminal.until("cloudbound> ")
        terminal.type("copy (select 1) to 'out.csv';\n")
        assert "can't be answered" in terminal.until("cloudbound> ")
        terminal.type(".quit\n")
        assert terminal.running.wait(30) == 0
    finally:
        terminal.running.kill()
        terminal.running.wait()
        os.close(terminal.at)


def test_every_query_of_the_welcome_is_in_the_text() -> None:
    assert session.WELCOME.count(";\n") + session.WELCOME.endswith(";") == 5


def test_an_older_client_reads_tables_comments_and_macros(data: Path) -> None:
    if OLDER is None:
        assert not os.environ.get("CI"), ".ci/run sets CLOUDBOUND_OLDER_DUCKDB"
        pytest.skip("CLOUDBOUND_OLDER_DUCKDB names no Python with DuckDB 1.5: see .ci/run")
    script = """
import duckdb, json, sys
con = duckdb.connect(sys.argv[1], read_only=True)
one = lambda query: con.execute(query).fetchone()[0]
print(json.dumps([
    duckdb.__version__,
    one("select share from metric.headline where is_headline"),
    one("select wilson_low(81, 263)"),
    one("select count(*) from kaplan_meier('journey.strata')"),
    one("select count(*) from conversion(90, 'plan')"),
    one("select comment from duckdb_tables() where table_name = 'headline'"),
    one("select count(*) from duckdb_functions() where not internal and comment is null"),
]))"""
    file = (data / "cloudbound.duckdb").resolve()
    done = subprocess.run(
        [OLDER, "-c", script, str(file)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    version, share, low, days, plans, comment, bare = json.loads(done.stdout)
    assert version.startswith("1.5.")
    assert share == pytest.approx(world.HEADLINE.share, abs=1e-12)
    assert low == pytest.approx(0.2552885198782742, abs=1e-12)
    assert days > 0 and plans > 0 and bare == 0
    assert comment.startswith("The number: ")


def test_every_macro_has_an_example_in_its_comment(data: Path) -> None:
    macros = driver.query(
        data, "select function_name, comment from duckdb_functions() where not internal"
    )
    assert len(macros) >= 10
    for name, comment in macros:
        assert "Example: " in str(comment), name
        example = str(comment).partition("Example: ")[2]
        driver.query(data, example)


def test_the_notebook_runs(data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(CHECKOUT / "docs" / "notebook.py")],
        env=os.environ | {"CLOUDBOUND_DATA": str(data)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    world.write(tmp_path / "world")
    there = tmp_path / "world"
    (tmp_path / "litellm-logs").mkdir()
    shutil.copy(there / "gateway" / "requests-a.jsonl", tmp_path / "litellm-logs")
    shutil.copy(there / "plan" / "events.jsonl", tmp_path / "plan-events.jsonl")
    shutil.copytree(there / "billing", tmp_path / "focus-exports")
    (tmp_path / "focus-exports" / "manifest.jsonl").unlink()
    shutil.copy(there / "directory" / "account_links.csv", tmp_path)
    blocks = re.findall(r"(?s)```sh\n(.*?)```", (CHECKOUT / "README.md").read_text("utf-8"))
    lines = next(block for block in blocks if "mydata" in block)
    command = f"{sys.executable} -m pipelines.cli"
    script = lines.replace("uv run cloudbound", command).replace(" TEAM ", " three-a-day ")
    env = os.environ | {"PYTHONPATH": str(CHECKOUT), "DAGSTER_HOME": str(CHECKOUT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Moved within 90 days" in done.stdout and "three-a-day" in done.stdout
