"""What FORMATS warns of, trap by trap, through whole nights: landing file to published table.

Belongs here: the traps that only a night shows. What one adapter shows stands in its own test;
TRAPS names a test for every trap, docs/formats.md prints them, and both are checked here.
"""

import importlib
import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import inspection, lake, landing, night, tables
from pipelines.rollup import charges, repeats
from pipelines.settings import CHECKOUT
from pipelines.sources import page
from tests import driver
from tests.sources import facts
from tests.sources.reading import lines
from tests.sources.test_canonical import REQUEST
from tests.sources.test_focus import ROW

CODING = {"ServiceName": "Model Studio", "SkuId": "sfm_coding_plan", "ResourceType": "",
          "ServiceCategory": "AI and Machine Learning"}  # fmt: skip


def bill(landing: Path, name: str, *changes: dict[str, str]) -> None:
    path = landing / "billing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame([ROW | change for change in changes]).write_csv(path)


def log(landing: Path, name: str, *changes: dict[str, Any]) -> None:
    path = landing / "gateway" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines(*(REQUEST | change for change in changes)))


def test_trap_1_the_greatest_snapshot_name_wins_whatever_came_first(tmp_path: Path) -> None:
    for order in (("2024-09-09", "2024-09-10"), ("2024-09-10", "2024-09-09")):
        data = tmp_path / order[0]
        for name in order:
            bill(data / "landing", f"{name}/a.csv", {"BilledCost": name[-2:]})
            bill(data / "landing", f"{name}/b.csv", {"BilledCost": "1"})
            facts.load(data)
        assert facts.query(data, "select sum(billed) from fact.charge_days") == [(11,)]


def test_trap_2_a_correction_of_a_later_period_is_booked_on_the_day_it_corrects(
    tmp_path: Path,
) -> None:
    """Marked (ChargeClass Correction) or as an unmarked negative Usage."""
    october = {"BillingPeriodStart": "2024-10-01T00:00:00Z", "BilledCost": "-1"}
    bill(tmp_path / "landing", "2024-09-30/a.csv", {"BilledCost": "5"})
    bill(
        tmp_path / "landing", "2024-10-05/a.csv",
        october | {"ChargeClass": "Correction", "EffectiveCost": "-1"},
        october | {"EffectiveCost": "-0.25"},
    )  # fmt: skip
    facts.load(tmp_path)
    assert facts.query(
        tmp_path, "select usage_on::varchar, billed, effective from fact.charge_days"
    ) == [("2024-09-03", 3, 0)]


def test_trap_3_commitments_count_once_and_the_basis_is_chosen_once(tmp_path: Path) -> None:
    """The purchase is billed and has no effective cost; its use is effective and bills nothing."""
    bill(
        tmp_path / "landing", "2024-09-30/a.csv",
        {"ChargeCategory": "Purchase", "BilledCost": "100", "EffectiveCost": "0"},
        {"BilledCost": "0", "EffectiveCost": "60"},
        {"BilledCost": "0", "EffectiveCost": "40", "ChargePeriodStart": "2024-09-04T00:00:00Z",
         "ChargePeriodEnd": "2024-09-05T00:00:00Z"},
    )  # fmt: skip
    facts.load(tmp_path)
    rate = facts.query(tmp_path, "select sum(net_cny) / 100 from fact.charge_days")[0][0]
    assert 6 < float(str(rate)) < 8  # 100 USD in CNY, not 200


def test_trap_4_free_credit_leaves_a_running_workload_without_a_billable_day(
    tmp_path: Path,
) -> None:
    credit = {"ChargeCategory": "Credit", "ServiceName": "", "ResourceType": "",
              "BilledCost": "-1.5", "EffectiveCost": "-1.25"}  # fmt: skip
    bill(tmp_path / "landing", "2024-09-30/a.csv", {}, credit)
    facts.load(tmp_path)
    assert facts.query(
        tmp_path, "select family, net_cny from fact.charge_days order by family"
    ) == [("credit", 0), ("storage", 0)]


def test_a_credit_of_a_month_is_spread_the_same_however_few_days_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a year of bills nor its credits fit into memory at once."""

    def day(n: int, cost: str, sub: str = "007") -> dict[str, str]:
        on = {"ChargePeriodStart": f"2024-09-{n:02d}T00:00:00Z", "SubAccountId": sub}
        end = {"ChargePeriodEnd": f"2024-09-{n + 1:02d}T00:00:00Z"}
        return on | end | {"BilledCost": cost, "EffectiveCost": cost}

    credit = {"ChargeCategory": "Credit", "ServiceName": "", "ResourceType": ""}
    of_month = credit | {
        "ChargePeriodStart": "2024-09-01T00:00:00Z", "ChargePeriodEnd": "2024-09-30T00:00:00Z",
        "SubAccountId": "", "BilledCost": "-8", "EffectiveCost": "-8",
    }  # fmt: skip
    bill(
        tmp_path / "landing", "2024-09-30/a.csv",
        day(2, "4"), day(9, "6", "008"), day(20, "10"), of_month, credit | day(9, "-2", "008"),
    )  # fmt: skip
    work = facts.load(tmp_path)
    entries = night.entries_of(work)
    winning, _ = charges.settled(lake.statements(entries, work.settings.lake))
    whole = charges.ledger(entries, winning, work.settings.lake)
    assert whole.credit_rates.height == 3
    for_each_day = charges.ledger(entries, winning, work.settings.lake, rows_per_batch=1)
    assert whole.credit_rates.equals(for_each_day.credit_rates)
    assert whole.unallocated.equals(for_each_day.unallocated)
    before = facts.query(tmp_path, "from fact.charge_days order by all")
    monkeypatch.setattr(charges, "ROWS_AT_ONCE", 1)
    night.build_charge_days(work, force=frozenset(lake.days_of(entries, "charges")))
    assert facts.query(tmp_path, "from fact.charge_days order by all") == before


@pytest.mark.parametrize(
    ("charge", "family"),
    [
        ({"ServiceName": "Amazon Elastic Container Service for Kubernetes",
          "ServiceCategory": "Other"}, "deploy"),
        ({"ServiceName": "Amazon EC2 Container Registry (ECR)", "ServiceCategory": "Other"},
         "deploy"),
        ({"ServiceName": "Azure Machine Learning", "ResourceType": "disk",
          "ServiceCategory": "AI and Machine Learning"}, "storage"),
        ({"ServiceName": "Azure Machine Learning", "ResourceType": "Virtual machine",
          "ServiceCategory": "AI and Machine Learning"}, "deploy"),
        ({"ServiceName": "Anything", "ServiceCategory": "Management and Governance",
          "ServiceSubcategory": "Observability"}, "observability"),
        ({"ServiceName": "Anything", "ServiceCategory": "Management and Governance"}, "other"),
    ],
)  # fmt: skip
def test_trap_5_service_and_resource_type_before_category(
    tmp_path: Path, charge: dict[str, str], family: str
) -> None:
    blank = {"ResourceType": "", "ServiceSubcategory": ""}
    bill(tmp_path / "landing", "2024-09-30/a.csv", blank | charge)
    assert [row[1] for row in _families(tmp_path)] == [family]


def _families(data: Path) -> list[tuple[object, ...]]:
    (answer,) = inspection.inspect(
        driver.places(data), [data / "landing/billing/2024-09-30/a.csv"], None, "auto", "UTC"
    )
    return [(f["rows"], f["family"]) for f in answer["families"]]


@pytest.mark.parametrize(
    ("charge", "family"),
    [
        (CODING, "plan_fee"),
        ({"ServiceName": "大模型服务平台百炼", "SkuId": "sfm_codingplan_public_cn"}, "plan_fee"),
        (CODING | {"SkuId": "qwen3-coder-plus-input"}, "model_inference"),
        ({"ServiceName": "Support Plan", "ServiceCategory": "Other"}, "support"),
        ({"ServiceName": "Alibaba Cloud Marketplace", "ServiceCategory": "Other"}, "marketplace"),
        ({"ServiceName": "Short Message Service", "ServiceCategory": "Other"}, "messaging"),
        ({"ServiceName": "Domains", "ServiceCategory": "Web"}, "domain"),
        ({"ServiceName": "Elastic Compute Service", "ChargeCategory": "Tax"}, "tax"),
    ],
)
def test_trap_6_what_never_is_a_workload(
    tmp_path: Path, charge: dict[str, str], family: str
) -> None:
    bill(tmp_path / "landing", "2024-09-30/a.csv", {"ResourceType": ""} | charge)
    assert [row[1] for row in _families(tmp_path)] == [family]


def test_trap_6_a_pay_as_you_go_call_is_no_activity_on_the_plan(tmp_path: Path) -> None:
    log(tmp_path / "landing", "a.jsonl", {"request_id": "p", "on_plan": False}, {})
    facts.load(tmp_path)
    assert facts.query(tmp_path, "select accepted, off_plan from fact.member_days") == [(1, 1)]


def test_trap_7_sums_per_currency_are_exact_and_currencies_are_never_added(
    tmp_path: Path,
) -> None:
    tiny = "0.000000000000000001"
    bill(
        tmp_path / "landing", "2024-09-30/a.csv",
        {"BilledCost": '$10,100.00 ', "EffectiveCost": tiny},
        {"BilledCost": "999999999999999", "EffectiveCost": tiny},
        {"BilledCost": "0.1", "EffectiveCost": "0.2", "BillingCurrency": "EUR"},
        {"BilledCost": "0.2", "EffectiveCost": "0.1", "BillingCurrency": "EUR"},
    )  # fmt: skip
    facts.load(tmp_path)
    assert facts.query(
        tmp_path,
        "select currency, sum(billed)::varchar, sum(effective)::varchar from fact.charge_days "
        "group by 1 order by 1",
    ) == [
        ("EUR", "0.300000000000000000", "0.300000000000000000"),
        ("USD", "1000000000010099.000000000000000000", "0.000000000000000002"),
    ]


def test_trap_9_a_naive_time_is_in_the_zone_that_its_source_declares(tmp_path: Path) -> None:
    for source, zone in (("utc", "UTC"), ("cn", "Asia/Shanghai")):
        path = tmp_path / "a.jsonl"
        path.write_text(lines(REQUEST | {"requested_at": "2026-01-05 20:00:00", "team": source}))
        landing.ingest(tmp_path / "landing", [path], source, driver.NOW, timezone=zone)
    facts.load(tmp_path)
    assert facts.query(
        tmp_path, "select team_id, usage_on::varchar from fact.member_days order by 1"
    ) == [("cn", "2026-01-05"), ("utc", "2026-01-06")]


def test_trap_9_a_month_is_not_a_first_day_event_and_ends_are_exclusive(tmp_path: Path) -> None:
    month = {"ChargePeriodStart": "2024-09-01T00:00:00Z", "ChargePeriodEnd": "2024-10-01T00:00:00Z"}
    bill(tmp_path / "landing", "2024-09-30/a.csv", month | {"BilledCost": "1"})
    facts.load(tmp_path)
    assert facts.query(
        tmp_path,
        "select count(*), min(usage_on)::varchar, max(usage_on)::varchar, sum(billed) "
        "from fact.charge_days",
    ) == [(30, "2024-09-01", "2024-09-30", 1)]


def test_trap_10_one_delivery_counts_and_the_latest_received_is_it(tmp_path: Path) -> None:
    early, late = "2026-01-05T04:00:01Z", "2026-01-07T00:00:00Z"
    at = {"requested_at": "2026-01-05T04:00:00Z"}
    log(tmp_path / "landing", "a.jsonl", at | {"received_at": late, "status": "failed"})
    log(tmp_path / "landing", "b.jsonl", at | {"received_at": early}, at | {"received_at": early})
    facts.load(tmp_path)
    assert facts.query(tmp_path, "select accepted, failed from fact.member_days") == [(0, 1)]
    assert facts.query(
        tmp_path, "select file, accepted, duplicate from ops.files order by file"
    ) == [("gateway/a.jsonl", 1, 0), ("gateway/b.jsonl", 0, 2)]


def test_trap_10_an_id_on_two_days_counts_on_both_and_its_number_warns(tmp_path: Path) -> None:
    """Also across files and nights, and whichever day comes first."""
    days = [{"requested_at": f"2026-01-{d:02d}T04:00:00Z"} for d in (5, 9, 20)]
    log(tmp_path / "landing", "b.jsonl", days[1], {"request_id": "other"} | days[1])
    facts.load(tmp_path)
    query = "select usage_on::varchar, source, ids from ops.repeated_ids"
    assert facts.query(tmp_path, query) == []
    log(tmp_path / "landing", "a.jsonl", days[0], days[2])
    work = facts.load(tmp_path)
    assert facts.query(tmp_path, query) == [("2026-01-09", "gateway", 1)]
    assert facts.query(tmp_path, "select sum(accepted) from fact.member_days") == [(4,)]
    assert night.check_facts(work, tables.REPEATED_IDS).breaches == {
        "no_request_id_stands_on_two_days": 1
    }


@pytest.mark.parametrize("rows_per_batch", [1, 1_000_000])
@pytest.mark.parametrize(("later", "ids"), [(12, 1), (13, 1), (14, 0)])
def test_trap_10_an_id_is_looked_for_on_seven_days_whatever_batch_they_are_in(
    tmp_path: Path, later: int, ids: int, rows_per_batch: int
) -> None:
    for day in (6, 9, later):
        row = {"requested_at": f"2026-01-{day:02d}T04:00:00Z"}
        log(tmp_path / "landing", f"{day}.jsonl", row | {"request_id": "9" if day == 9 else "6"})
    days = lake.days_of(night.entries_of(facts.load(tmp_path)), "requests")
    found = repeats.repeated_ids(days, tmp_path / "lake", days, rows_per_batch)
    assert found.rows() == [(date(2026, 1, later), "gateway", 1)] * ids


def test_trap_10_exact_duplicate_charges_of_a_snapshot_are_real(tmp_path: Path) -> None:
    bill(tmp_path / "landing", "2024-09-30/a.csv", {}, {}, {})
    facts.load(tmp_path)
    assert facts.query(tmp_path, "select sum(billed) from fact.charge_days") == [(Decimal("4.5"),)]


def test_trap_12_a_refusal_below_the_quota_is_an_alarm(tmp_path: Path) -> None:
    """Lite grants 1,200 requests in five hours; this team was refused at its second."""
    event = {"event_id": "e", "team": "0042", "plan": "lite", "event": "started", "currency": "CNY",
             "occurred_at": "2026-01-01T00:00:00Z", "period_start": "2026-01-01T00:00:00Z",
             "period_end": "2026-02-01T00:00:00Z", "net_amount": "7.9"}  # fmt: skip
    (tmp_path / "landing" / "plan").mkdir(parents=True)
    (tmp_path / "landing" / "plan" / "events.jsonl").write_text(lines(event))
    at = {"requested_at": "2026-01-05T04:00:00Z"}
    log(tmp_path / "landing", "a.jsonl", at, at | {
        "request_id": "r2", "status": "refused", "refused_by": "5h"})  # fmt: skip
    log(tmp_path / "landing", "b.jsonl", {"requested_at": "2026-01-09T04:00:00Z"})
    driver.run(tmp_path)
    assert driver.query(
        tmp_path,
        "select team_id, usage_on::varchar, limit_name, accepted, quota "
        "from ops.refusals_below_quota",
    ) == [("0042", "2026-01-05", "5h", 1, 1200)]


def test_conformance_faults_of_a_source_are_warnings_in_ops_files(tmp_path: Path) -> None:
    bill(tmp_path / "landing", "2024-09-30/a.csv", {"ContractedCost": ""})
    facts.load(tmp_path)
    assert facts.query(tmp_path, "select accepted, rejected, warnings from ops.files") == [
        (1, 0, "ContractedCost is null on usage rows in some rows")
    ]


# Trap -> where its tests are; docs/formats.md prints them.
TRAPS: dict[int, tuple[str, ...]] = {
    1: ("test_traps.test_trap_1_the_greatest_snapshot_name_wins_whatever_came_first",),
    2: ("test_traps.test_trap_2_a_correction_of_a_later_period_is_booked_on_the_day_it_corrects",),
    3: ("test_traps.test_trap_3_commitments_count_once_and_the_basis_is_chosen_once",
        "test_focus.test_a_rounded_effective_cost_is_named"),
    4: ("test_traps.test_trap_4_free_credit_leaves_a_running_workload_without_a_billable_day",),
    5: ("test_traps.test_trap_5_service_and_resource_type_before_category",
        "test_services.test_families", "test_focus.test_versions"),
    6: ("test_traps.test_trap_6_what_never_is_a_workload",
        "test_traps.test_trap_6_a_pay_as_you_go_call_is_no_activity_on_the_plan",
        "test_litellm.test_the_plans_host"),
    7: ("test_traps.test_trap_7_sums_per_currency_are_exact_and_currencies_are_never_added",
        "test_canonical.test_every_way_to_write_an_amount"),
    8: ("test_canonical.test_every_way_to_write_nothing",
        "test_canonical.test_unknown_columns_and_their_order_do_not_matter",
        "test_canonical.test_bom_line_ends_and_the_last_line"),
    9: ("test_traps.test_trap_9_a_naive_time_is_in_the_zone_that_its_source_declares",
        "test_traps.test_trap_9_a_month_is_not_a_first_day_event_and_ends_are_exclusive",
        "test_canonical.test_every_way_to_write_a_time"),
    10: ("test_traps.test_trap_10_one_delivery_counts_and_the_latest_received_is_it",
         "test_traps.test_trap_10_an_id_on_two_days_counts_on_both_and_its_number_warns",
         "test_traps.test_trap_10_exact_duplicate_charges_of_a_snapshot_are_real",
         "test_stripe_files.test_masked_ids_are_no_identity"),
    11: ("test_delivery.test_order_repetition_splitting_and_merging_change_nothing",),
    12: ("test_otlp.test_everything_else_is_rejected",
         "test_traps.test_trap_12_a_refusal_below_the_quota_is_an_alarm"),
    13: ("test_litellm.test_a_spend_log", "test_litellm.test_the_team_and_the_member"),
    14: ("test_stripe_files.test_a_refund_is_this_refund_in_the_currencys_own_units",
         "test_stripe_files.test_updates", "test_stripe_files.test_a_missing_api_version_is_no_fault"),
    15: ("test_hostile.test_a_truncated_gzip", "test_hostile.test_an_over_long_line",
         "test_hostile.test_deep_json", "test_fuzz.test_every_outcome_is_accepted_or_rejected",
         "test_landing.test_what_cannot_be_opened_is_rejected_whole_and_the_rest_is_read"),
}  # fmt: skip
NAMED = {(number, name) for number, names in TRAPS.items() for name in names}


def test_every_trap_has_its_tests_and_the_page_names_them() -> None:
    assert sorted(TRAPS) == list(range(1, 16))
    for _, name in NAMED:
        module, _, function = name.partition(".")
        assert callable(getattr(importlib.import_module(f"tests.sources.{module}"), function)), name
    text = (CHECKOUT / "docs" / "formats.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", text, re.MULTILINE)
    printed = {(int(n), name) for n, cell in rows for name in re.findall(r"`([\w.]+)`", cell)}
    assert printed == NAMED


def test_the_page_is_fresh() -> None:
    text = page.PAGE.read_text("utf-8")
    assert page.page(text) == text, "run python -m pipelines.sources.page"
    assert json.dumps(text).count("made by python -m pipelines.sources.page") == 1
