"""What starts a night: the schedule's tick and the sensor on landing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from pipelines import definitions, history
from pipelines.defs import jobs
from pipelines.night import utc_now
from tests.robustness import deployment, small


def test_the_schedule_runs_by_default_and_asks_for_yesterday_in_the_operating_zone() -> None:
    assert jobs.nightly.default_status == dg.DefaultScheduleStatus.RUNNING
    assert jobs.nightly.cron_schedule == "0 2 * * *"
    assert jobs.nightly.execution_timezone == "Asia/Shanghai"
    tick = datetime(2026, 5, 2, 2, tzinfo=ZoneInfo("Asia/Shanghai"))
    with dg.build_schedule_context(scheduled_execution_time=tick) as context:
        request = jobs.nightly(context)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-05-01"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-05-01"


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
        [young, old] = [r.run_id for r in instance.get_runs()]
        now = utc_now()
        assert history.purge(instance, 90, now) == 0
        assert len(list((tmp_path / "dagster" / "history" / "runs").glob("*.db"))) >= 3
        assert history.purge(instance, 90, now + timedelta(days=91)) == 2
        assert instance.get_runs() == []
        assert instance.all_logs(old) == [] and instance.all_logs(young) == []
        assert instance.fetch_materializations(dg.AssetKey("thing"), limit=9).records == []
