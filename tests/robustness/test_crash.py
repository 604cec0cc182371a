"""Kill a night at its writes and renames: the next one ends as if nothing had happened.

Ten seeded points by default, five of a first night and five of a second; every point with

    CLOUDBOUND_TEST_ALL_CRASHES=1 python -m pytest tests/robustness/test_crash.py
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import small

ALL = "CLOUDBOUND_TEST_ALL_CRASHES"
SEED, EACH = 20261124, 5


@dataclass(frozen=True)
class Undisturbed:
    """A data folder before a night, what that night publishes, and its number of points."""

    before: Path
    old: small.Version | None
    new: small.Version
    points: int


def child(data: Path, run_id: str, fatal: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.robustness.killed_night", str(data), run_id, str(fatal)],
        cwd=CHECKOUT,
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder in memory where there is one: the kill is the test, not the disk."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="cloudbound-crash-", dir=parent))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def nights(room: Path) -> dict[str, Undisturbed]:
    found = {}
    data, old = room / "data", None
    for name, deliver in (("first", small.first), ("second", small.late)):
        deliver(data / "landing")
        before = room / f"before-{name}"
        shutil.copytree(data, before)
        done = child(data, name, 0)
        assert done.returncode == 0, done.stderr
        new = small.version(data / "cloudbound.duckdb")
        assert new != old
        found[name] = Undisturbed(before, old, new, int(done.stdout))
        old = new
    return found


def chosen(points: int, name: str) -> list[int]:
    every = list(range(1, points + 1))
    if os.environ.get(ALL):
        return every
    return sorted(random.Random(f"{SEED}-{name}").sample(every, min(EACH, points)))


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_killed_night_leaves_a_whole_file_and_the_next_one_heals(
    name: str, nights: dict[str, Undisturbed], room: Path
) -> None:
    night = nights[name]
    assert night.points >= EACH
    for fatal in chosen(night.points, name):
        data = room / f"{name}-{fatal}"
        shutil.copytree(night.before, data)
        killed = child(data, name, fatal)
        assert killed.returncode == -signal.SIGKILL, (fatal, killed.stderr)
        published = data / "cloudbound.duckdb"
        left = small.version(published) if published.exists() else None
        assert left in (night.old, night.new), fatal
        driver.run(data, run_id=f"{name}-again")
        assert small.version(published) == night.new, fatal
        shutil.rmtree(data)
