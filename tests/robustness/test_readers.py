"""Readers of the published file while nights publish: no error, and one whole version each."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import warehouse
from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import small

READERS, PUBLISHES = 8, 20
READS = """
import json, sys
from pathlib import Path
import duckdb
from tests.robustness import small

published, stop, ready = (Path(a) for a in sys.argv[1:])
seen, answers = {}, 0
while not stop.exists() or answers == 0:
    with duckdb.connect(str(published), read_only=True) as con:
        [(as_of, whole)] = con.execute(small.CONSISTENT).fetchall()
        hashes = con.execute("select name, hash from ops.table_hashes order by 1").fetchall()
    assert whole, as_of
    version = json.dumps(hashes)
    seen[version] = seen.get(version, 0) + 1
    answers += 1
    ready.touch()
print(json.dumps([answers, list(seen)]))
"""


@pytest.fixture(scope="module")
def versions(
    tmp_path_factory: pytest.TempPathFactory, first_night: Callable[[Path], None]
) -> tuple[Path, Path]:
    """Two build files of two nights."""
    data = tmp_path_factory.mktemp("readers")
    first_night(data)
    old = Path(shutil.copy(data / "build.duckdb", data / "old.duckdb"))
    small.late(data / "landing")
    driver.run(data, run_id="second")
    return old, data / "build.duckdb"


def hashes(path: Path) -> str:
    with warehouse.published(path) as con:
        found = con.execute("select name, hash from ops.table_hashes order by 1").fetchall()
    return json.dumps(found)


def test_readers_meet_no_error_and_one_whole_version_each(
    versions: tuple[Path, Path], tmp_path: Path
) -> None:
    target, stop = tmp_path / "cloudbound.duckdb", tmp_path / "stop"
    warehouse.publish(versions[0], target)
    marks = [tmp_path / f"ready-{n}" for n in range(READERS)]
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READS, str(target), str(stop), str(mark)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mark in marks
    ]
    try:
        while not all(m.exists() for m in marks) and all(r.poll() is None for r in readers):
            time.sleep(0.05)
        for turn in range(PUBLISHES):
            warehouse.publish(versions[(turn + 1) % 2], target)
    finally:
        stop.touch()
    ended = [(*r.communicate(timeout=60), r.returncode) for r in readers]
    assert [code for _, _, code in ended] == [0] * READERS, [e[-500:] for _, e, _ in ended]
    allowed = {hashes(v) for v in versions}
    assert len(allowed) == 2
    for out, _, _ in ended:
        answers, seen = json.loads(out)
        assert answers >= 1
        assert set(seen) <= allowed


NOTEBOOK = """
import sys
import duckdb

target, query = sys.argv[1:]
kept = duckdb.connect(target, read_only=True)
before = kept.execute(query).fetchall()
print("open", flush=True)
sys.stdin.readline()
assert kept.execute(query).fetchall() == before
with duckdb.connect(target, read_only=True) as again:
    assert again.execute(query).fetchall() != before
print("done", flush=True)
"""


def test_a_notebook_that_keeps_the_file_open_blocks_no_night_and_sees_the_new_file_when_it_asks(
    versions: tuple[Path, Path], tmp_path: Path
) -> None:
    target = tmp_path / "cloudbound.duckdb"
    warehouse.publish(versions[0], target)
    query = "select moved from metric.headline where is_headline"
    notebook = subprocess.Popen(
        [sys.executable, "-c", NOTEBOOK, str(target), query],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert notebook.stdout is not None and notebook.stdin is not None
    assert notebook.stdout.readline() == "open\n"
    for turn in range(PUBLISHES + 1):
        warehouse.publish(versions[(turn + 1) % 2], target)
    out, _ = notebook.communicate("go on\n", timeout=60)
    assert (out, notebook.returncode) == ("done\n", 0)


def test_two_versions_stay_once_the_grace_is_over(
    versions: tuple[Path, Path], tmp_path: Path
) -> None:
    target = tmp_path / "cloudbound.duckdb"
    for turn in range(4):
        warehouse.publish(versions[turn % 2], target)
        for folder in (tmp_path / "published").iterdir():
            os.utime(folder, (0, 0))
    assert sorted(p.name for p in (tmp_path / "published").iterdir()) == ["000003", "000004"]
    assert target.resolve().parent.name == "000004"
