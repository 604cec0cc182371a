"""What starts a night: the schedule's tick and the sensor on landing."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from pipelines.defs import jobs
from tests.robustness import small


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
