"""The Dagster shell: the literal set of assets, what starts a night, and that it is one run."""

import shutil
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from pipelines import definitions, sql_assets
from pipelines.defs.resources import NightResource
from pipelines.defs.shared import GROUPS
from pipelines.errors import UsageError
from pipelines.settings import CHECKOUT

ASSETS = {
    "fact/assignments", "fact/blocked_hours", "fact/channel_costs", "fact/charge_days",
    "fact/member_days", "fact/subscriptions", "fact/teams", "fact/usage_days",
    "journey/active_days", "journey/adoption", "journey/billed_teams", "journey/churn", "journey/clocks", "journey/early_usage",
    "journey/forward_windows", "journey/habits", "journey/merges", "journey/milestones", "journey/moves",
    "journey/plan_cycles", "journey/qualifying_days", "journey/quota_states", "journey/segments", "journey/strata",
    "journey/subscribers", "journey/team_months", "journey/teams", "journey/workload_days",
    "lake/files",
    "metric/channels", "metric/conversion", "metric/cost_scenarios", "metric/curve",
    "metric/decision_numbers", "metric/decisions", "metric/definition_grid", "metric/definition_series",
    "metric/experiments", "metric/headline", "metric/incidence", "metric/incrementality",
    "metric/link_coverage", "metric/matched_controls", "metric/model_mix_retention", "metric/model_switches",
    "metric/naive_gap", "metric/plan_retention", "metric/quadrants", "metric/quota_friction",
    "metric/quota_maximisers", "metric/task_conversion", "metric/trap_index",
    "metric/unit_economics", "metric/workload_retention",
    "ops/clock", "ops/decision_prints", "ops/decisions", "ops/definition", "ops/files", "ops/money", "ops/prints", "ops/rejects",
    "ops/definition_drift", "ops/freshness", "ops/restatements",
    "ops/time_travel", "ops/volume",
    "ops/refusals_below_quota", "ops/repeated_ids", "ops/unmapped_services",
    "published/cloudbound", "published/report",
    "ref/assumptions", "ref/chips", "ref/coverage", "ref/decisions", "ref/experiments", "ref/fx", "ref/identity_stretches", "ref/models", "ref/plans",
    "ref/services", "ref/team_spans",
}  # fmt: skip
DAILY = {"fact/blocked_hours", "fact/charge_days", "fact/member_days", "fact/usage_days"}


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return definitions.defs()


@pytest.fixture(scope="module")
def specs(loaded: dg.Definitions) -> dict[str, dg.AssetSpec]:
    graph = loaded.resolve_asset_graph()
    return {s.key.to_user_string(): s for s in loaded.resolve_all_asset_specs() if graph}


def test_the_assets_are_these(specs: dict[str, dg.AssetSpec]) -> None:
    assert set(specs) == ASSETS


def test_the_daily_facts_are_daily_partitions_in_one_run(
    loaded: dg.Definitions, specs: dict[str, dg.AssetSpec]
) -> None:
    assert {k for k, s in specs.items() if s.partitions_def is not None} == DAILY
    graph = loaded.resolve_asset_graph()
    for key in DAILY:
        policy = graph.get(dg.AssetKey(key.split("/"))).backfill_policy
        assert policy == dg.BackfillPolicy.single_run()


def test_every_asset_has_a_sentence_a_group_an_owner_and_kinds(
    specs: dict[str, dg.AssetSpec],
) -> None:
    for key, spec in specs.items():
        assert spec.description, key
        assert spec.group_name in GROUPS.values(), key
        assert spec.owners == ["team:data"], key
        assert spec.kinds, key


def test_layers_are_numbered_in_the_order_in_which_data_flows(
    specs: dict[str, dg.AssetSpec],
) -> None:
    back = {
        (key, source.asset_key.to_user_string())
        for key, spec in specs.items()
        for source in spec.deps
        if specs[source.asset_key.to_user_string()].group_name > spec.group_name
    }
    assert back == set()


def test_every_sql_file_is_an_asset_with_the_dependencies_of_its_query(
    specs: dict[str, dg.AssetSpec],
) -> None:
    for asset in sql_assets.load_all():
        deps = {d.asset_key.to_user_string() for d in specs[asset.name.replace(".", "/")].deps}
        assert deps == {d.replace(".", "/") for d in asset.depends_on} | {"ops/clock"}


def test_the_night_starts_at_two_in_the_operating_zone(loaded: dg.Definitions) -> None:
    schedule = loaded.resolve_schedule_def("nightly")
    assert schedule.cron_schedule == "0 2 * * *"
    assert schedule.execution_timezone == "Asia/Shanghai"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    at = datetime(2026, 3, 2, 2, tzinfo=ZoneInfo("Asia/Shanghai"))
    with dg.build_schedule_context(
        scheduled_execution_time=at, repository_def=loaded.get_repository_def()
    ) as context:
        tick = schedule.evaluate_tick(context)
    assert tick.run_requests is not None
    assert tick.run_requests[0].tags["dagster/asset_partition_range_end"] == "2026-03-01"


def test_all_steps_of_a_run_work_by_one_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is changed while a run is at work is the next run's."""
    shutil.copytree(CHECKOUT / "data" / "reference", tmp_path / "reference")
    monkeypatch.setenv("CLOUDBOUND_REFERENCE", str(tmp_path / "reference"))
    run = NightResource()
    first = run.night()
    (tmp_path / "reference" / "definition.toml").write_text("not toml", "utf-8")
    second = run.night(progress=lambda *_: None)
    assert (second.definition, second.reference) == (first.definition, first.reference)
    assert second.progress is not first.progress
    with pytest.raises(UsageError, match="definition.toml"):
        NightResource().night()
