"""Dagster's history in PostgreSQL: what docs/operations.md says, done with Debian's server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines import history
from pipelines.night import utc_now
from pipelines.settings import CHECKOUT
from tests import driver
from tests.robustness import deployment, small

pytest.importorskip("dagster_postgres")
if deployment.server_binaries() is None:
    pytest.skip("there is no PostgreSQL server here", allow_module_level=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    room = tmp_path_factory.mktemp("postgres")
    small.first(room / "data" / "landing")
    with deployment.postgres() as url:
        yield {
            "CLOUDBOUND_DATA": str(room / "data"),
            # Each day of a run is some events of a connection each: days of four months will do.
            "CLOUDBOUND_PARTITIONS_START": "2026-01-01",
            "CLOUDBOUND_POSTGRES_URL": url,
            "DAGSTER_HOME": str(deployment.home(room / "home", deployment.POSTGRES_STORAGE)),
        }


def run(environment: dict[str, str], *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_night_a_backfill_and_a_purge_go_through_postgresql(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(environment["CLOUDBOUND_DATA"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run(environment, "pipelines.cli", "nightly")
    assert small.version(data / "cloudbound.duckdb")
    days = "2026-01-05...2026-01-09"
    run(
        environment,
        *("dagster", "asset", "materialize", "-m", "pipelines.definitions"),
        *("--select", "key:fact/charge_days", "--partition-range", days),
    )
    with dg.DagsterInstance.get() as instance:
        assert "postgres" in type(instance.run_storage).__module__
        assert not (data / "dagster" / "history").exists()
        runs = instance.get_runs()
        assert [r.status for r in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
        charge_days = dg.AssetKey(["fact", "charge_days"])
        backfilled = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=charge_days,
                asset_partitions=[f"2026-01-0{d}" for d in range(5, 10)],
            ),
            limit=100,
        ).records
        assert {r.run_id for r in backfilled} >= {runs[0].run_id}
        assert len([r for r in backfilled if r.run_id == runs[0].run_id]) == 5
        assert history.purge(instance, 1, utc_now()) == 0
        assert history.purge(instance, 1, utc_now() + timedelta(days=2)) == 2
        assert instance.get_runs() == []
        assert instance.all_logs(runs[0].run_id) == []
    assert driver.query(data, "select count(*) from ops.runs") == [(1,)]
