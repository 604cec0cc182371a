"""Readers of the published file while nights publish: no error, and one whole version each."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import warehouse
from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import small

READERS, PUBLISHES = 4, 20
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
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two build files of two nights."""
    data = tmp_path_factory.mktemp("readers")
    built = []
    for name, deliver in (("old", small.first), ("new", small.late)):
        deliver(data / "landing")
        driver.run(data, run_id=name)
        copy = data / f"{name}.duckdb"
        copy.write_bytes((data / "build.duckdb").read_bytes())
        built.append(copy)
    yield built[0], built[1]


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


def test_a_reader_that_keeps_the_file_open_keeps_its_version(
    versions: tuple[Path, Path], tmp_path: Path
) -> None:
    target = tmp_path / "cloudbound.duckdb"
    warehouse.publish(versions[0], target)
    query = "select moved from metric.headline where is_headline"
    with warehouse.published(target) as con:
        before = con.execute(query).fetchall()
        for turn in range(PUBLISHES):
            warehouse.publish(versions[(turn + 1) % 2], target)
            assert con.execute(query).fetchall() == before
    warehouse.publish(versions[1], target)
    with warehouse.published(target) as con:
        assert con.execute(query).fetchall() != before
