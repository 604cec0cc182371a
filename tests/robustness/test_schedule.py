"""What starts a night: the schedule's tick and the sensor on landing."""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from pipelines import definitions, history
from pipelines.defs import jobs
from pipelines.night import utc_now
from tests import driver
from tests.hand import world
from tests.robustness import deployment, small


def tick(day: int) -> dg.RunRequest:
    """What the schedule asks for on this day of May 2026."""
    at = datetime(2026, 5, day, 2, tzinfo=ZoneInfo("Asia/Shanghai"))
    with dg.build_schedule_context(scheduled_execution_time=at) as context:
        request = jobs.nightly(context)
    assert isinstance(request, dg.RunRequest)
    return request


def test_the_schedule_runs_by_default_and_asks_for_yesterday_in_the_operating_zone() -> None:
    assert jobs.nightly.default_status == dg.DefaultScheduleStatus.RUNNING
    assert jobs.nightly.cron_schedule == "0 2 * * *"
    assert jobs.nightly.execution_timezone == "Asia/Shanghai"
    tags = tick(2).tags
    assert tags["dagster/asset_partition_range_start"] == "2026-05-01"
    assert tags["dagster/asset_partition_range_end"] == "2026-05-01"


DELIVERIES = (("directory", "plan"), ("billing",), ("gateway",))  # of 2, 3 and 4 May


def deliver(all_of_it: Path, landing: Path, source: str, day: int) -> None:
    """Bring what this source's folder has more, recorded on this day."""
    manifest = landing / source / "manifest.jsonl"
    known = manifest.read_text("utf-8")
    shutil.copytree(all_of_it / source, landing / source, dirs_exist_ok=True)
    more = (all_of_it / source / "manifest.jsonl").read_text("utf-8")
    manifest.write_text(
        known
        + "".join(
            line.replace(small.LATE, f"2026-05-{day:02d}T00:00:00Z") + "\n"
            for line in more.splitlines()
            if small.LATE in line
        )
    )


def test_one_night_makes_up_for_three_that_were_missed(
    first_night: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three days of deliveries and one tick, against a night after each delivery."""
    first_night(tmp_path / "each")
    first_night(tmp_path / "missed")
    shutil.copytree(tmp_path / "each" / "landing", tmp_path / "all")
    small.late(tmp_path / "all")
    for day, sources in enumerate(DELIVERIES, start=2):
        for name in ("each", "missed"):
            for source in sources:
                deliver(tmp_path / "all", tmp_path / name / "landing", source, day)
        driver.run(tmp_path / "each", run_id=f"night of {day} May")
    expected = small.version(tmp_path / "each" / "cloudbound.duckdb")
    assert small.version(tmp_path / "missed" / "cloudbound.duckdb") != expected

    monkeypatch.setenv("CLOUDBOUND_DATA", str(tmp_path / "missed"))
    monkeypatch.setenv("DAGSTER_HOME", str(deployment.home(tmp_path / "home")))
    night = definitions.defs().resolve_job_def("nightly")
    with dg.DagsterInstance.get() as instance:
        done = night.execute_in_process(instance=instance, tags=dict(tick(5).tags))
        built = instance.get_materialized_partitions(dg.AssetKey(["fact", "charge_days"]))
    assert done.success
    assert small.version(tmp_path / "missed" / "cloudbound.duckdb") == expected
    # The tick named one day, 4 May; the days of the missed deliveries were built all the same.
    assert set(world.days_from("2025-11-10", 25)) <= set(built)

    # Each closed cohort is on record as in the undisturbed house; of the nights only the done ones.
    cohorts = "select distinct week_on, horizon_days from ops.prints order by all"
    assert driver.query(tmp_path / "missed", cohorts) == driver.query(tmp_path / "each", cohorts)
    assert driver.query(tmp_path / "missed", "select count(*) from ops.runs") == [(2,)]
    assert driver.query(tmp_path / "each", "select count(*) from ops.runs") == [(4,)]


def answers(context: dg.SensorEvaluationContext) -> list[type]:
    found = jobs.landing_files(context)
    assert isinstance(found, Iterator)
    return [type(answer) for answer in found]


def test_the_sensor_asks_for_a_run_for_a_new_file_and_skips_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDBOUND_DATA", str(tmp_path))
    small.first(tmp_path / "landing")
    with dg.build_sensor_context(cursor=None) as context:
        asked = answers(context)
        cursor = context.cursor
    assert asked == [dg.RunRequest]
    with dg.build_sensor_context(cursor=cursor) as context:
        assert answers(context) == [dg.SkipReason]
    small.late(tmp_path / "landing")
    with dg.build_sensor_context(cursor=cursor) as context:
        assert answers(context) == [dg.RunRequest]


def test_what_watches_over_the_nights_runs_by_default() -> None:
    loaded = definitions.defs()
    sensors = {s.name: s.default_status for s in loaded.get_repository_def().sensor_defs}
    running, stopped = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    assert sensors == {
        "landing_files": stopped,
        "night_failed": running,
        "night_missed": running,
        "night_stopped": running,
    }
    schedules = {s.name: s.default_status for s in loaded.get_repository_def().schedule_defs}
    on = dg.DefaultScheduleStatus.RUNNING
    assert schedules == {
        "nightly": on,
        "purge_history_schedule": on,
        "expire_raw_schedule": on,
    }


def test_the_headline_is_late_after_36_hours() -> None:
    specs = {s.key.to_user_string(): s for s in definitions.defs().resolve_all_asset_specs()}
    late = dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)
    )
    assert {k for k, s in specs.items() if s.freshness_policy} == {"metric/headline"}
    assert specs["metric/headline"].freshness_policy == late


def test_old_runs_are_purged_from_sqlite_and_young_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDBOUND_DATA", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(deployment.home(tmp_path / "home")))

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
    def thing() -> None:
        """One partitioned asset."""

    with dg.DagsterInstance.get() as instance:
        for day in ("2026-01-01", "2026-01-02"):
            assert dg.materialize([thing], partition_key=day, instance=instance).success
        purge = definitions.defs().resolve_job_def("purge_history")
        assert purge.execute_in_process(instance=instance).success
        [_, young, old] = [r.run_id for r in instance.get_runs()]
        assert {young, old} <= {p.name for p in (tmp_path / "dagster").iterdir()}
        now = utc_now()
        assert history.purge(instance, 90, now) == 0
        assert len(list((tmp_path / "dagster" / "history" / "runs").glob("*.db"))) >= 3
        assert history.purge(instance, 90, now + timedelta(days=91)) == 3
        assert instance.get_runs() == []
        assert not {young, old} & {p.name for p in (tmp_path / "dagster").iterdir()}
        assert instance.all_logs(old) == [] and instance.all_logs(young) == []
        assert instance.fetch_materializations(dg.AssetKey("thing"), limit=9).records == []
