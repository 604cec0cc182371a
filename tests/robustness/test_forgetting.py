"""A team or a member that asks to be forgotten is nowhere afterwards, and the rest is unchanged."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import duckdb
import polars as pl
import pytest

from pipelines import contracts, definitions, forgetting, lake, landing, night, retention
from pipelines.errors import UsageError
from pipelines.settings import CHECKOUT
from tests import driver
from tests.hand import world
from tests.robustness import small
from tests.test_restatements import contents

OTHERS = "select * from {} where team_id <> 'moves' order by all"
TABLES = ("journey.teams", "fact.member_days", "fact.usage_days", "fact.charge_days")


def others(data: Path) -> list[object]:
    return [driver.query(data, OTHERS.format(table)) for table in TABLES]


def in_every_container(folder: Path) -> None:
    """The small world's request log as JSON Lines in gzip, its bill as Parquet."""
    log = folder / "gateway" / "requests.jsonl"
    bill = next((folder / "billing").rglob("bill.csv"))
    packed = gzip.compress(log.read_bytes())
    (folder / "gateway" / "manifest.jsonl").unlink()
    (folder / "billing" / "manifest.jsonl").unlink()
    log.write_bytes(packed)
    table = pl.read_csv(bill, infer_schema=False)
    bill.unlink()
    table.write_parquet(bill.with_suffix(".parquet"))


def places_of(data: Path, name: str) -> list[str]:
    """Every file and table below the data folder in which a value is exactly this name."""
    found = []
    for path in sorted(p for p in data.rglob("*") if p.is_file() and not p.is_symlink()):
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if content[:4] == b"PAR1":
            table = pl.read_parquet(content)
            if any((table[c] == name).any() for c in table.columns if table[c].dtype == pl.String):
                found.append(str(path))
        elif path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as con:
                columns = con.execute(
                    "select schema_name || '.' || table_name, column_name from duckdb_columns() "
                    "where data_type = 'VARCHAR' and not internal"
                ).fetchall()
                for table_name, column in columns:
                    query = f'select 1 from {table_name} where "{column}" = ? limit 1'
                    if con.execute(query, [name]).fetchall():
                        found.append(f"{path.name} {table_name}")
        elif re.search(rb"(?<![\w-])" + re.escape(name.encode()) + rb"(?![\w-])", content):
            found.append(str(path))
    return found


def test_a_forgotten_team_is_nowhere_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    in_every_container(tmp_path / "landing")
    driver.run(tmp_path)
    before = others(tmp_path)
    recorded = {
        (f.source, f.name): f.recorded_at for f in landing.scan(tmp_path / "landing", driver.NOW)
    }
    places = driver.places(tmp_path)
    assert len(places_of(tmp_path, "moves")) > 20
    assert forgetting.kind_of_name(places, "moves") == "team"
    done = forgetting.forget(places, "moves", "team", driver.NOW)
    assert done.rows["requests"] > 0 and done.rows["charges"] > 0
    driver.run(tmp_path, run_id="after")
    forgetting.remove_earlier_versions(places)
    assert others(tmp_path) == before
    for table in TABLES:
        assert driver.query(tmp_path, f"select * from {table} where team_id = 'moves'") == []
    assert places_of(tmp_path, "moves") == []
    after = {
        (f.source, f.name): f.recorded_at for f in landing.scan(tmp_path / "landing", driver.NOW)
    }
    assert after.items() <= recorded.items()
    with pytest.raises(UsageError, match="no team and no member"):
        forgetting.kind_of_name(places, "moves")


def test_the_command_forgets_a_member_and_publishes(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    log = tmp_path / "landing" / "gateway" / "requests.jsonl"
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    for row in rows[::3]:
        row["member"] = "ann@example.com"
    rows.append(rows[0] | {"request_id": "broken", "status": "no such"})
    log.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    (log.parent / "manifest.jsonl").unlink()
    driver.run(tmp_path)
    hashed = driver.query(
        tmp_path, "select distinct member_id from fact.member_days where member_id like 'm-%'"
    )[0][0]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "forget", "ann@example.com"],
        cwd=CHECKOUT,
        env=os.environ | {"CLOUDBOUND_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "gateway/requests.jsonl" in done.stdout
    left = driver.query(tmp_path, "select count(*), sum(accepted) from fact.member_days")
    assert left[0][1] == len(rows) - 1 - len(rows[:-1][::3])
    assert (
        driver.query(tmp_path, f"select * from fact.member_days where member_id = '{hashed}'") == []
    )
    assert places_of(tmp_path, "ann@example.com") == []
    assert [p.name for p in (tmp_path / "published").iterdir()] == ["000002"]


def test_a_night_after_expiry_prints_the_same(
    first_night: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when a new link changes what every day would be made from."""
    first_night(tmp_path)
    before = dict(small.version(tmp_path / "cloudbound.duckdb"))
    accounts = driver.query(tmp_path, "from ops.files order by file")
    places = driver.places(tmp_path)
    [(as_of,)] = driver.query(tmp_path, "select as_of from ops.clock")
    assert isinstance(as_of, date)
    monkeypatch.setenv("CLOUDBOUND_DATA", str(tmp_path))
    assert definitions.defs().resolve_job_def("expire_raw").execute_in_process().success
    assert (tmp_path / "landing" / "gateway" / "requests.jsonl").exists()
    gone = retention.expire(places, as_of + timedelta(days=30), keep_days=1, now=driver.NOW)
    assert "gateway/requests.jsonl" in gone.files
    assert not (tmp_path / "landing" / "gateway" / "requests.jsonl").exists()
    assert list((tmp_path / "lake").glob("requests/day=*/*.parquet")) == []
    assert (tmp_path / "landing" / "plan" / "events.jsonl").exists()
    (tmp_path / "landing" / "directory" / "links.csv").write_text(
        "source,source_id,team_id,valid_from,valid_to,recorded_at\n"
        "gateway,nobody,elsewhere,2020-01-01T00:00:00Z,,2026-05-03T00:00:00Z\n"
    )
    driver.run(tmp_path, run_id="second")
    after = dict(small.version(tmp_path / "cloudbound.duckdb"))
    changed = {name for name in before if after[name] != before[name]}
    assert "ref.team_spans" in changed
    links = {"ref.team_spans", "ref.identity_stretches", "journey.billed_teams", "journey.merges"}
    assert changed <= links
    versions = f"lake {lake.LAKE_VERSION}, contracts {contracts.VERSION}"
    assert driver.query(tmp_path, "select distinct versions from ops.runs") == [(versions,)]
    kept = "from ops.files where file <> 'directory/links.csv' order by file"
    assert driver.query(tmp_path, kept) == accounts


def test_what_is_forgotten_of_days_whose_files_are_gone_is_a_change_of_the_past(
    first_night: Callable[[Path], None], tmp_path: Path
) -> None:
    first_night(tmp_path)
    places = driver.places(tmp_path)
    [(as_of,)] = driver.query(tmp_path, "select as_of from ops.clock")
    assert isinstance(as_of, date)
    retention.expire(places, as_of + timedelta(days=30), keep_days=1, now=driver.NOW)
    theirs = (
        "select source, currency, sum(billed), sum(effective) from fact.charge_days {} group by all"
    )
    charged = driver.query(tmp_path, theirs.format("where team_id = 'moves'"))
    assert charged
    before = contents(tmp_path)
    forgetting.forget(places, "moves", "team", driver.NOW)
    driver.run(tmp_path, run_id="after")
    forgetting.remove_earlier_versions(places)
    assert places_of(tmp_path, "moves") == []
    assert driver.query(tmp_path, "from ops.forgotten_money") == charged
    after = contents(tmp_path)
    assert {cause for cause, _, _ in set(before) - set(after)} == {
        "late requests",
        "late or re-stated charges",
    }
    assert after == contents(tmp_path, anew=True)


def test_money_adds_up_when_an_expired_bill_alone_still_names_the_forgotten(tmp_path: Path) -> None:
    """The newer bill, which had superseded it, is written anew without them."""
    small.first(tmp_path / "landing")
    bill = next((tmp_path / "landing" / "billing").rglob("bill.csv"))
    rows = pl.read_csv(bill, infer_schema=False)
    earlier = bill.parents[1] / "2025-11-15" / "bill.csv"
    earlier.parent.mkdir()
    rows.filter(pl.col("ChargePeriodStart") < "2025-11-15").write_csv(earlier)
    (bill.parents[1] / "manifest.jsonl").unlink()
    driver.run(tmp_path)
    places = driver.places(tmp_path)
    gone = retention.expire(places, date(2025, 12, 31), keep_days=30, now=driver.NOW)
    assert gone.files == ("billing/2025-11-15/bill.csv",)
    superseded = (
        "select billed_superseded, billed_forgotten from ops.money where source = 'billing'"
    )
    [(before, none)] = driver.query(tmp_path, superseded)
    forgetting.forget(places, "moves", "team", driver.NOW)
    driver.run(tmp_path, run_id="after")
    forgetting.remove_earlier_versions(places)
    assert places_of(tmp_path, "moves") == []
    [(after, forgotten)] = driver.query(tmp_path, superseded)
    assert none == 0 < forgotten and before == after + forgotten


def test_a_bill_of_days_that_are_no_longer_kept_is_refused_and_said(
    first_night: Callable[[Path], None], tmp_path: Path
) -> None:
    first_night(tmp_path)
    [(as_of,)] = driver.query(tmp_path, "select as_of from ops.clock")
    assert isinstance(as_of, date)
    retention.expire(driver.places(tmp_path), as_of + timedelta(days=30), 1, driver.NOW)
    before = driver.query(tmp_path, "from fact.charge_days order by all")
    small.late(tmp_path / "other")
    restated = tmp_path / "other" / "billing" / world.SNAPSHOT
    shutil.copytree(restated, tmp_path / "landing" / "billing" / world.SNAPSHOT)
    driver.run(tmp_path, run_id="second")
    assert driver.query(tmp_path, "from fact.charge_days order by all") == before
    said = driver.query(tmp_path, "select line, reason from ops.rejects")
    assert [(line, "no longer kept" in str(reason)) for line, reason in said] == [(0, True)]


@pytest.mark.parametrize("module, name", [(lake, "LAKE_VERSION"), (contracts, "VERSION")])
def test_another_version_reads_landing_again_and_the_old_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    small.first(tmp_path / "landing")
    work = night.prepare(driver.places(tmp_path))
    old = night.take_stock(work, driver.NOW)
    monkeypatch.setattr(module, name, 99)
    new = night.take_stock(work, driver.NOW)
    assert {e.fingerprint for e in old}.isdisjoint(e.fingerprint for e in new)
    assert [(e.name, e.days, e.rejected) for e in old] == [
        (e.name, e.days, e.rejected) for e in new
    ]
    folder = tmp_path / "lake"
    count = len([p for p in folder.rglob("*") if len(p.stem) == 16 and p.is_file()])
    assert lake.prune(folder, new) == count // 2
    assert all((folder / "catalog" / f"{e.fingerprint}.json").exists() for e in new)
    assert not any((folder / "catalog" / f"{e.fingerprint}.json").exists() for e in old)
