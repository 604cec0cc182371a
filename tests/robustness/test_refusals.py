"""Nights that can't be done end with one sentence and an exit code, and publish nothing."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.defs.resources import only_one
from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import small

HOLDS = """
import sys, time
from pathlib import Path
from pipelines.defs.resources import only_one
with only_one(Path(sys.argv[1]), "run of the test"):
    print("held", flush=True)
    time.sleep(120)
"""


def nightly(data: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "nightly"],
        cwd=CHECKOUT,
        env=os.environ | {"CLOUDBOUND_DATA": str(data)} | more,
        capture_output=True,
        text=True,
        timeout=200,
    )


def sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of stderr of a command that ended with this code."""
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_second_night_names_the_holder_and_the_lock_goes_with_a_killed_process(
    tmp_path: Path,
) -> None:
    small.first(tmp_path / "landing")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "night.lock")],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = sentence(nightly(tmp_path), 2)
        assert f"run of the test, process {holder.pid}" in said
        assert not (tmp_path / "cloudbound.duckdb").exists()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with only_one(tmp_path / "night.lock", "the next night"):
        pass


def test_an_empty_landing_is_one_sentence(tmp_path: Path) -> None:
    assert "holds no files" in sentence(nightly(tmp_path), 2)
    assert not (tmp_path / "cloudbound.duckdb").exists()


def test_a_landing_of_unreadable_files_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "gateway"
    folder.mkdir(parents=True)
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 10)
    assert "noise.bin" in sentence(nightly(tmp_path), 2)
    assert not (tmp_path / "cloudbound.duckdb").exists()


def test_a_corrupt_reference_file_is_named(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    shutil.copytree(CHECKOUT / "data" / "reference", tmp_path / "reference")
    (tmp_path / "reference" / "fx.csv").write_text("currency\nUSD\n", "utf-8")
    done = nightly(tmp_path, CLOUDBOUND_REFERENCE=str(tmp_path / "reference"))
    assert "fx.csv" in sentence(done, 2)
    assert not (tmp_path / "cloudbound.duckdb").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB of its own; only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_leaves_the_old_file(
    first_night: Callable[[Path], None], small_disk: Path, trouble: str
) -> None:
    first_night(small_disk)
    published = small_disk / "cloudbound.duckdb"
    old = small.version(published)
    small.late(small_disk / "landing")
    filler = small_disk / "filler"
    if trouble == "full":
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1 << 16))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = nightly(small_disk)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert {"full": "No space left", "read-only": "Read-only"}[trouble] in done.stderr
    assert small.version(published) == old
    if trouble == "full":
        filler.unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    driver.run(small_disk, run_id="healed")
    assert small.version(published) != old
