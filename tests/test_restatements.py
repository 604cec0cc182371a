"""A closed cohort that changes says what it was, what it is, and which input changed."""

from datetime import date, timedelta
from pathlib import Path

from pipelines import restatement, warehouse
from tests import driver
from tests.hand import world

REFUND = """BillingAccountId,BilledCost,EffectiveCost,BillingCurrency,BillingPeriodStart,\
ChargePeriodStart,ChargePeriodEnd,ServiceName,ServiceCategory,ProviderName,ChargeCategory
thirty-yuan,-5.00,-5.00,CNY,2026-06-01T00:00:00Z,2025-11-03T00:00:00Z,2025-11-04T00:00:00Z,\
Elastic Compute Service,Compute,Alibaba Cloud,Credit
""".replace("\\\n", "")


def contents(data: Path, anew: bool = False) -> list[tuple[object, ...]]:
    """What the build file knows of the content of each day; anew, what its facts give now."""
    with warehouse.build(driver.places(data).build) as con:
        if anew:
            con.execute("delete from ops.day_contents")
            restatement.seen(con, date.max, "", None)
        return con.execute(
            "select cause, usage_on, content from ops.day_contents order by all"
        ).fetchall()


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
    assert {row[3] for row in restated} == {"refund or credit"}
    assert all(float(str(row[2])) < 0 for row in restated)


def _later(data: Path, run_id: str, days: int) -> str:
    """Causes that this night printed for the cohorts of the world."""
    driver.run(data, as_of=world.AS_OF, run_id=run_id, now=driver.NOW + timedelta(days=days))
    rows = driver.query(
        data, f"select distinct changed_inputs from ops.prints where run_id = '{run_id}'"
    )
    assert len(rows) == 1
    return str(rows[0][0])


def test_each_kind_of_late_row_is_named_and_a_new_day_is_none(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    world.write(landing)
    assert _later(tmp_path, "first", 0) == ""

    def request(name: str, day: str) -> None:
        row = (
            f'{{"request_id": "{name}", "team": "three-a-day", "requested_at": "{day}T02:00:00Z", '
            '"model": "glm-5", "input_tokens": 1, "output_tokens": 1, "status": "ok"}\n'
        )
        (landing / "gateway" / f"{name}.jsonl").write_text(row, "utf-8")

    request("of-tomorrow", str(world.AS_OF + timedelta(days=3)))
    assert _later(tmp_path, "new-day", 1) == ""
    request("late", "2025-10-20")
    assert _later(tmp_path, "late-request", 2) == "late requests"

    for name, row in {
        "correction": REFUND.replace("Category\n", "Category,ChargeClass\n").replace(
            ",Credit", ",Usage,Correction"
        ),
        "more": REFUND.replace("-5.00,-5.00", "5.00,5.00").replace(",Credit", ",Usage"),
    }.items():
        folder = landing / f"billing-{name}" / "2026-06-30"
        folder.mkdir(parents=True)
        (folder / "bill.csv").write_text(row, "utf-8")
    # The team's history now starts with the latest of its bills, but its charges are all there.
    assert _later(tmp_path, "charges", 3) == "correction, late or re-stated charges"

    links = "source,source_id,team_id,valid_from,recorded_at\ngateway,some-id,three-a-day,{},{}\n"
    for number, valid_from in enumerate(("2026-05-02", "2025-12-01")):
        text = links.format(f"{valid_from}T00:00:00Z", "2026-05-20T00:00:00Z")
        (landing / "directory" / f"links-{number}.csv").write_text(text, "utf-8")
        expected = "merge or link" if valid_from < str(world.AS_OF) else ""
        assert _later(tmp_path, f"link-{number}", 4 + number) == expected


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
    with warehouse.build(driver.places(tmp_path).build) as con:
        con.execute('update ops.runs set inputs = \'{"before": "2026-01-01", "hashes": {}}\'')
    assert _later(tmp_path, "upgraded", 2) == "another version of Cloudbound"
