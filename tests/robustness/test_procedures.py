"""The procedures of docs/operations.md, done as they stand there."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import headline, warehouse
from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import deployment, small

GUIDE = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")
HISTORY = "select run_id from ops.runs order by run_id"


def blocks(language: str, after: str) -> list[str]:
    """Fenced blocks of the section that begins with this heading."""
    section = GUIDE.partition(f"\n## {after}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.S)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, first_night: Callable[[Path], None]) -> Path:
    folder = tmp_path_factory.mktemp("procedures") / "data"
    first_night(folder)
    (folder / "dagster").mkdir()
    return folder


def shell(script: str, data: Path) -> None:
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=data.parent,
        env=os.environ | {"CLOUDBOUND_DATA": str(data)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_back_up_and_restore(data: Path, tmp_path: Path) -> None:
    save, bring_back = blocks("sh", "Back up and restore")
    assert bring_back.splitlines()[1] == "cloudbound nightly"
    shell(save, data)
    there = tmp_path / "data"
    there.mkdir()
    shutil.copy(data.parent / "backup.tar", tmp_path)
    shell(bring_back.splitlines()[0], there)
    assert not (there / "lake").exists()
    before = small.version(data / "cloudbound.duckdb")
    assert small.version(there / "cloudbound.duckdb") == before
    cron(there, tmp_path)
    assert small.version(there / "cloudbound.duckdb") == before
    runs = driver.query(there, HISTORY)
    assert len(runs) == 2 and ("first",) in runs


def cron(data: Path, room: Path) -> None:
    """The two lines of cron, as the guide has them, on a print that is months old."""
    opt, env = room / "opt", room / "cloudbound.env"
    deployment.home(opt)
    (opt / ".venv").mkdir()
    (opt / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    example = (CHECKOUT / ".env.example").read_text("utf-8")
    checkout = "/absolute/path/of/this/checkout"
    env.write_text(example.replace(f"{checkout}/data", str(data)).replace(checkout, str(opt)))
    [lines] = blocks("cron", "Install as a service")
    lines = lines.replace("/opt/cloudbound", str(opt)).replace("/etc/cloudbound.env", str(env))
    zone, *jobs = lines.splitlines()
    assert zone == "CRON_TZ=Asia/Shanghai"
    nightly, overdue = (line.split(maxsplit=6)[6] for line in jobs)
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(room)}
    ended = [
        subprocess.run(["sh", "-c", line], cwd="/", env=bare, capture_output=True, text=True)
        for line in (overdue, nightly, overdue)
    ]
    assert [done.returncode for done in ended] == [1, 0, 0], ended
    assert "more than 36 hours" in ended[0].stderr


def test_the_lines_for_postgresql_are_those_that_are_tested() -> None:
    assert textwrap.indent(deployment.POSTGRES_STORAGE, "    ") in GUIDE


def test_a_print_of_more_than_36_hours_is_stale(data: Path) -> None:
    answer = headline.read(driver.places(data), None, None)
    assert answer["published_at"] == driver.NOW and answer["stale"] is True
    assert "STALE" in headline.text(answer)


def test_a_damaged_build_file_is_replaced_by_the_published_one(data: Path, tmp_path: Path) -> None:
    there = tmp_path / "data"
    shutil.copytree(data, there, symlinks=True)
    shutil.rmtree(there / "lake")
    build = there / "build.duckdb"
    build.write_bytes(build.read_bytes()[:4096] + bytes(100_000))
    assert "cp -L cloudbound.duckdb build.duckdb" in GUIDE
    subprocess.run(["cp", "-L", "cloudbound.duckdb", "build.duckdb"], cwd=there, check=True)
    # The lake is gone as well: the night makes it again from landing.
    before = small.version(there / "cloudbound.duckdb")
    driver.run(there, run_id="healed")
    assert small.version(there / "cloudbound.duckdb") == before
    assert driver.query(there, HISTORY) == [("first",), ("healed",)]


def test_the_version_before_comes_back_by_one_link(data: Path, tmp_path: Path) -> None:
    there = tmp_path / "data"
    shutil.copytree(data, there, symlinks=True)
    old = small.version(there / "cloudbound.duckdb")
    warehouse.publish(there / "build.duckdb", there / "cloudbound.duckdb")
    command = re.search(r"ln -sfn published/\d+/cloudbound.duckdb cloudbound.duckdb", GUIDE)
    assert command is not None
    shell(f"cd {there} && {command[0].replace('000041', '000001')}", there)
    assert (there / "cloudbound.duckdb").resolve().parent.name == "000001"
    assert small.version(there / "cloudbound.duckdb") == old


def test_a_build_file_written_anew_is_smaller_and_the_same(data: Path, tmp_path: Path) -> None:
    [script] = blocks("sh", "Upgrade DuckDB files")
    assert "warehouse.compact(" in script
    build = tmp_path / "build.duckdb"
    shutil.copy(data / "build.duckdb", build)
    with warehouse.build(build) as con:
        con.execute("create table replaced as from range(1_000_000)")
        con.execute("checkpoint")
        con.execute("drop table replaced")
    query = "select count(*), bit_xor(hash(t)) from fact.member_days as t"
    with warehouse.build(build) as con:
        before = warehouse.one(con, query)
    size = build.stat().st_size
    warehouse.compact(build)
    assert build.stat().st_size < size
    with warehouse.build(build) as con:
        assert warehouse.one(con, query) == before
        comment = "select comment from duckdb_tables() where table_name = 'member_days'"
        assert warehouse.one(con, comment) != (None,)


def test_the_units_are_sound(tmp_path: Path) -> None:
    units = blocks("ini", "Install as a service")
    assert len(units) == 2
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd here")
    for number, text in enumerate(units):
        program = re.search(r"ExecStart=(\S+)", text)
        assert program is not None
        # The checkout of the guide is not on this machine: a program that is stands for it.
        unit = tmp_path / f"cloudbound-{number}.service"
        unit.write_text(text.replace(program[1], "/bin/true"), "utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert unit.name not in done.stderr, done.stderr


def test_the_servers_of_the_guide_listen_on_this_machine_only() -> None:
    for command in re.findall(r"dagster-webserver[^\n]*", GUIDE):
        assert "-h 127.0.0.1" in command
    for document in (CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"):
        assert "0.0.0.0" not in document.read_text("utf-8")
