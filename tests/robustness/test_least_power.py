"""What a session on the published file may not do, and what never reaches it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines import lake, night, warehouse
from pipelines.errors import CheckFailed, UsageError
from tests import driver
from tests.robustness import small


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("power")
    small.first(folder / "landing")
    lay_addresses(folder)
    driver.run(folder)
    return folder


def lay_addresses(folder: Path) -> None:
    """An address as a member, as a team, in a bill, in a link and in a row that is rejected."""
    (folder / "landing" / "gateway" / "mail.csv").write_text(
        "request_id,team,member,requested_at,model,input_tokens,output_tokens,status\n"
        'm1,"t\'); drop table x; --<b>",ann@example.com,2026-01-05T04:00:00Z,glm-5,1,1,ok\n'
        "m2,ann@example.com,x,2026-01-05T04:00:00Z,glm-5,1,1,ok\n"
        "m3,t,ann@example.com,2026-01-05T04:00:00Z,glm-5,1,1,no such status\n",
        "utf-8",
    )
    bill = folder / "landing" / "mail" / "bill.csv"
    bill.parent.mkdir()
    bill.write_text(
        "BillingAccountId,BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName\n"
        "ann@example.com,5,CNY,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,Elastic Compute Service\n"
    )
    (folder / "landing" / "directory" / "links.csv").write_text(
        "source,source_id,team_id,valid_from,valid_to,recorded_at\n"
        "mail,ann@example.com,stays,2020-01-01T00:00:00Z,,2026-05-01T00:00:00Z\n"
    )


@pytest.mark.parametrize(
    "query",
    [
        "from read_csv('/etc/passwd')",
        "from '/etc/passwd'",
        "attach '/tmp/other.duckdb'",
        "copy (select 1) to '/tmp/out.csv'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "create table metric.mine as select 1",
        "delete from metric.headline",
    ],
)
def test_a_session_can_only_read_the_published_tables(data: Path, query: str) -> None:
    from pipelines import session

    with pytest.raises(UsageError) as caught:
        session.open_session(data / "cloudbound.duckdb", query, as_json=False)
    assert "\n" not in str(caught.value)


ADDRESS = b"ann@example.com"


def test_an_address_never_reaches_the_published_file(data: Path) -> None:
    """Not as a member, a team, an account, a linked id, nor in a row that is rejected."""
    members = driver.query(
        data, "select member_id from fact.member_days where member_id like 'm-%'"
    )
    assert len(members) == 1
    assert driver.query(
        data, "select count(*) from fact.member_days where team_id like 'id-%'"
    ) == [(1,)]
    [(row,)] = driver.query(data, "select row from ops.rejects where file like '%mail.csv'")
    assert "(address)" in str(row)
    for path in (data / "cloudbound.duckdb", data / "build.duckdb"):
        assert ADDRESS not in path.read_bytes()
    with duckdb.connect(str(data / "cloudbound.duckdb"), read_only=True) as con:
        columns = con.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns() "
            "where data_type = 'VARCHAR' and not internal"
        ).fetchall()
        for table, column in columns:
            like = f"select count(*) from {table} where \"{column}\" like '%ann@example%'"
            assert con.execute(like).fetchall() == [(0,)], (table, column)


def test_a_member_key_hides_every_member_and_every_rejected_row(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    lay_addresses(tmp_path)
    places = dataclasses.replace(driver.places(tmp_path), member_key="a key")
    work = night.prepare(places)
    entries = night.take_stock(work, driver.NOW)
    for entry in entries:
        for day in entry.days if entry.family == "requests" else ():
            members = pl.read_parquet(entry.path(places.lake, day))["member"].drop_nulls()
            assert members.str.starts_with("m-").all()
        assert set(lake.rejects(entry, places.lake)["row"]) <= {""}
    hashed = lake.pseudonym("ann@example.com", "a key", is_member=True)
    assert hashed != lake.pseudonym("ann@example.com", "another", is_member=True)


def test_sql_and_markup_in_a_name_stay_text(data: Path) -> None:
    from pipelines import explanation

    name = "t'); drop table x; --<b>"
    found = explanation.explain(driver.places(data), name)
    assert found["team_id"] == name
    assert found["why"] == "never_subscribed"


def test_a_link_out_of_landing_is_never_followed_and_stops_nothing(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    outside = tmp_path / "secret.csv"
    outside.write_text("team_id,region\nsecret-team,domestic\n")
    (tmp_path / "landing" / "directory" / "more.csv").symlink_to(outside)
    driver.run(tmp_path)
    rejected = driver.query(tmp_path, "select file, line, reason from ops.rejects")
    assert [row[:2] for row in rejected] == [("directory/more.csv", 0)]
    assert "leads out of" in str(rejected[0][2])
    assert b"secret-team" not in (tmp_path / "cloudbound.duckdb").read_bytes()


def test_a_charge_without_a_rate_stops_the_night_and_keeps_the_old_file(
    first_night: Callable[[Path], None], tmp_path: Path
) -> None:
    first_night(tmp_path)
    before = (tmp_path / "cloudbound.duckdb").read_bytes()
    bill = tmp_path / "landing" / "late" / "2031-01-01" / "bill.csv"
    bill.parent.mkdir(parents=True)
    bill.write_text(
        "BillingAccountId,BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName\n"
        "a,5,USD,2031-01-01T00:00:00Z,2031-01-02T00:00:00Z,Elastic Compute Service\n"
    )
    with pytest.raises(CheckFailed, match="no CNY rate for USD on 2031-01-01"):
        driver.run(tmp_path, run_id="second")
    assert (tmp_path / "cloudbound.duckdb").read_bytes() == before


def test_an_unknown_currency_rejects_the_row_and_an_odd_file_stops_nothing(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    bill = tmp_path / "landing" / "late" / "bill.csv"
    bill.parent.mkdir(parents=True)
    bill.write_text(
        "BillingAccountId,BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName\n"
        "a,5,XYZ,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,Elastic Compute Service\n"
    )
    (tmp_path / "landing" / "late" / "odd.bin").write_bytes(b"PAR1 not really")
    driver.run(tmp_path)
    rejected = driver.query(tmp_path, "select file, line, reason from ops.rejects order by file")
    assert rejected[0][:2] == ("late/bill.csv", 2)
    assert "currency has a rate" in str(rejected[0][2])
    assert rejected[1][:2] == ("late/odd.bin", 0)
    with warehouse.published(tmp_path / "cloudbound.duckdb") as con:
        assert warehouse.one(con, "select count(*) from ops.runs") == (1,)
