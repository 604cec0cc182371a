"""A closed cohort that changes says what it was, what it is, and which input changed."""

from datetime import timedelta
from pathlib import Path

from tests import driver
from tests.hand import world

REFUND = """BillingAccountId,BilledCost,EffectiveCost,BillingCurrency,BillingPeriodStart,\
ChargePeriodStart,ChargePeriodEnd,ServiceName,ServiceCategory,ProviderName,ChargeCategory
thirty-yuan,-5.00,-5.00,CNY,2026-06-01T00:00:00Z,2025-11-03T00:00:00Z,2025-11-04T00:00:00Z,\
Elastic Compute Service,Compute,Alibaba Cloud,Credit
""".replace("\\\n", "")


def test_a_late_refund_restates_a_closed_cohort_and_is_named(tmp_path: Path) -> None:
    world.write(tmp_path / "landing")
    driver.run(tmp_path, as_of=world.AS_OF, run_id="first")
    changes = "select week_on, horizon_days, difference, cause from ops.restatements where difference <> 0"
    assert driver.query(tmp_path, changes) == []
    moved = "select moved_on from journey.teams where team_id = 'thirty-yuan'"
    assert driver.query(tmp_path, moved) != [(None,)]

    late = tmp_path / "landing" / "billing" / "2026-06-30"
    late.mkdir()
    (late / "refund.csv").write_text(REFUND, "utf-8")
    driver.run(tmp_path, as_of=world.AS_OF, run_id="second", now=driver.NOW + timedelta(days=1))
    assert driver.query(tmp_path, moved) == [(None,)]
    restated = driver.query(tmp_path, changes)
    assert restated
    assert {row[3] for row in restated} == {"refund, correction or re-statement"}
    assert all(float(str(row[2])) < 0 for row in restated)


def test_the_same_night_again_restates_nothing(tmp_path: Path) -> None:
    world.write(tmp_path / "landing")
    driver.run(tmp_path, run_id="first")
    driver.run(tmp_path, run_id="second", now=driver.NOW + timedelta(days=1))
    assert driver.query(tmp_path, "select count(*) from ops.restatements where cause <> ''") == [
        (0,)
    ]
    assert driver.query(
        tmp_path, "select tables_changed from ops.runs where run_id = 'second'"
    ) == [("",)]
