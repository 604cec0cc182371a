"""A night on a real Spark cluster ends in the same file as a night on polars, and says in one
sentence what is missing where it can't run."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines import lake, night, settings, warehouse
from pipelines.errors import UsageError
from pipelines.rollup import aggregates, engines
from tests import driver, strategies
from tests.spark import cluster
from tests.test_random_worlds import reference_with

HASHES = "select name, hash from ops.table_hashes order by name"
FACTS = ("fact.member_days", "fact.usage_days", "fact.blocked_hours", "ops.kept_days")


# A laptop may do without; CI never does.
needs_spark = pytest.mark.skipif(
    not os.environ.get("CI")
    and (shutil.which("java") is None or importlib.util.find_spec("pyspark") is None),
    reason="no Java, or not installed with --extra spark",
)


def table(data: Path, name: str) -> pl.DataFrame:
    with warehouse.published(data / "cloudbound.duckdb") as con:
        return warehouse.frame(con, f"from {name} order by all")


@needs_spark
def test_a_night_on_a_cluster_equals_a_night_on_polars(tmp_path: Path) -> None:
    """Duplicates, late rows, merges and links are in this world, as the first lines make sure."""
    world = strategies.make_world(23)
    folder = reference_with(tmp_path / "reference")
    data = {engine: tmp_path / engine for engine in ("polars", "spark")}
    for each in data.values():
        strategies.write_landing(world, each / "landing", files=3, shuffle_seed=23)
    work = driver.run(data["polars"], reference=folder)
    entries = night.entries_of(work)
    files = [e for e in entries if e.family == "requests" and not e.is_copy]
    spans = night.team_spans(work, entries)
    assert aggregates.held_spans(spans, {e.source for e in files}).height > 0
    assert table(data["polars"], "fact.member_days").height > 100
    kept = table(data["polars"], "ops.kept_days")["kept"].sum()
    assert kept < sum(sum(e.days.values()) for e in files)
    assert max(len(f) for f in lake.days_of(entries, "requests").values()) > 1

    with cluster.running(tmp_path / "cluster") as master:
        night_on(master, data["spark"], folder, tmp_path / "cluster")
    for name in FACTS:
        assert_frame_equal(table(data["spark"], name), table(data["polars"], name))
    assert driver.query(data["spark"], HASHES) == driver.query(data["polars"], HASHES)


def night_on(master: str, data: Path, reference: Path, cluster_folder: Path) -> None:
    """A whole night in a process of its own: a JVM lives as long as the process it was started by."""
    script = (
        "import sys; from pathlib import Path; from tests import driver; "
        "driver.run(Path(sys.argv[1]), reference=Path(sys.argv[2]), engine=sys.argv[3])"
    )
    environment = os.environ | {
        "SPARK_CONF_DIR": str(cluster_folder / "conf"), "SPARK_LOCAL_IP": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, str(data), str(reference), master],
        cwd=settings.CHECKOUT, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Registered app cloudbound" in (cluster_folder / "master.log").read_text("utf-8")


@pytest.mark.parametrize(
    "engine", ["polars", "spark://a:7077", "spark://a:1,b:2", "local", "local[4]", "local[*]"]
)
def test_engines_by_name(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDBOUND_ENGINE", engine)
    assert settings.from_environment().engine == engine


@pytest.mark.parametrize(
    "engine",
    ["duckdb", "spark", "spark://", "spark://a", "yarn", "local[x]", "Polars", "k8s://a:1"],
)
def test_any_other_engine_is_refused(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDBOUND_ENGINE", engine)
    with pytest.raises(UsageError, match="set it to polars, to the master of a Spark cluster"):
        settings.from_environment()


@needs_spark
def test_a_master_that_does_not_answer_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        master = f"spark://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"No Spark master answers at {master}"):
            open_it(master)


def open_it(engine: str) -> None:
    with engines.opened(engine):
        raise AssertionError("opened")


@needs_spark
def test_missing_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="needs Java 17, and there is no java in JAVA_HOME"):
        open_it("local[1]")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no java on the path: install openjdk-17-jre-headless"):
        open_it("local[1]")


def test_missing_pyspark_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UsageError, match="needs pyspark: install the extra"):
        open_it("local[1]")
