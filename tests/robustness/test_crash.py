"""Kill a night at its writes and renames: the next one ends as if nothing had happened.

The points are found, not listed: Python's own writes and renames just before they happen
(killed_night.py), and every change of a file just after it, DuckDB's and polars' too (kernel.py).
Ten seeded ones by default, five of a first night and five of a second; every point with

    CLOUDBOUND_TEST_ALL_CRASHES=1 python -m pytest -n 0 tests/robustness/test_crash.py

(=50 takes every fiftieth). Last run (29 November 2026, =25): 82 kills at 82 points, all healed.
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
from tests.robustness.kernel import Watch

ALL = "CLOUDBOUND_TEST_ALL_CRASHES"
SEED, EACH = 20261124, 5


@dataclass(frozen=True)
class Undisturbed:
    """A data folder before a night, what that night publishes, and its number of points."""

    before: Path
    old: small.Version | None
    new: small.Version
    points: dict[str, int]


@dataclass(frozen=True)
class Ended:
    """How a night in a process of its own ended, and the changes that were seen of it."""

    code: int
    points: dict[str, int]
    said: str


def child(data: Path, run_id: str, fatal: dict[str, int]) -> Ended:
    """A night that is killed at the named point: {"python": n} or {"kernel": n}; {}: never."""
    command = [sys.executable, "-m", "tests.robustness.killed_night", str(data), run_id]
    process = subprocess.Popen(
        [*command, str(fatal.get("python", 0))],
        cwd=CHECKOUT,
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Watch(data, fatal.get("kernel", 0), process.kill) as watch:
        out, said = process.communicate(timeout=300)
    points = {"python": int(out or 0), "kernel": watch.seen}
    return Ended(process.returncode, points, said)


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
        shutil.copytree(data, before, symlinks=True)
        done = child(data, name, {})
        assert done.code == 0, done.said
        new = small.version(data / "cloudbound.duckdb")
        assert new != old
        found[name] = Undisturbed(before, old, new, done.points)
        old = new
    return found


def chosen(points: dict[str, int], name: str) -> list[dict[str, int]]:
    every = [{kind: n} for kind, count in points.items() for n in range(1, count + 1)]
    if stride := int(os.environ.get(ALL) or 0):
        return every[:: max(stride, 1)]
    rng = random.Random(f"{SEED}-{name}")
    kinds = ["python", "kernel"] * EACH
    return [{kind: rng.randint(1, points[kind])} for kind in kinds[:EACH]]


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_killed_night_leaves_a_whole_file_and_the_next_one_heals(
    name: str, nights: dict[str, Undisturbed], room: Path
) -> None:
    night = nights[name]
    assert night.points["python"] >= EACH
    assert night.points["kernel"] > night.points["python"]
    killed, fatals = 0, chosen(night.points, name)
    for number, fatal in enumerate(fatals):
        data = room / f"{name}-{number}"
        shutil.copytree(night.before, data, symlinks=True)
        ended = child(data, name, fatal)
        # The kernel merges changes as it likes: the last numbers may not come up again.
        assert ended.code in (-signal.SIGKILL, 0), (fatal, ended.said)
        assert ended.code or "kernel" in fatal, fatal
        killed += ended.code != 0
        published = data / "cloudbound.duckdb"
        left = small.version(published) if published.exists() else None
        assert left in (night.old, night.new), fatal
        driver.run(data, run_id=f"{name}-again")
        assert small.version(published) == night.new, fatal
        shutil.rmtree(data)
    assert killed >= 0.8 * len(fatals)
    print(f"{name} night: {killed} kills of {len(fatals)} chosen among {night.points}")
