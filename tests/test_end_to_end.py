"""A planted world through the real command line: every label equals the truth, and no row is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pipelines.settings import CHECKOUT
from tests import driver

pytestmark = pytest.mark.slow


def cloudbound(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        env=os.environ | {"CLOUDBOUND_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    done = cloudbound(folder, "demo", "--teams", "300", "--days", "240", "--seed", "11")
    assert done.returncode == 0, done.stderr
    assert "Planted truth at 90 days" in done.stdout
    return folder


def test_every_planted_label_is_found(data: Path) -> None:
    truth = pl.read_parquet(data / "truth" / "teams.parquet")
    names = ["subscribed_on", "integrated_on", "state_at_t0", "moved_on", "censored_on"]
    rows = driver.query(data, f"select team_id, {', '.join(names)} from journey.teams")
    found = pl.DataFrame(rows, schema=["team_id", *names], orient="row", infer_schema_length=None)
    both = truth.select("team_id", *names).join(found, on="team_id", how="left", suffix="_found")
    assert both.height >= 150
    for name in names:
        wrong = both.filter(pl.col(name).ne_missing(pl.col(f"{name}_found")))
        shown = wrong.select("team_id", name, f"{name}_found").head(5).rows()
        assert wrong.height == 0, (name, wrong.height, shown)


def test_rows_and_money_add_up(data: Path) -> None:
    odd = driver.query(
        data,
        "select * from ops.files where rows_read <> accepted + rejected + superseded + duplicate",
    )
    assert odd == []
    assert driver.query(
        data,
        "select count(*) > 0, bool_and(billed + billed_rejected + billed_superseded = billed_in) from ops.money",
    ) == [(True, True)]


def test_every_file_of_the_simulator_is_read(data: Path) -> None:
    unread = driver.query(data, "select file from ops.files where family = 'unknown'")
    cut_off = (data / "landing" / "billing").glob("*/*.csv.gz")
    assert sorted(Path(str(file)).name for (file,) in unread) == sorted(p.name for p in cut_off)


def test_every_cookbook_query_answers(data: Path) -> None:
    queries = sorted((CHECKOUT / "sql" / "cookbook").glob("*.sql"))
    assert len(queries) >= 13
    for path in queries:
        text = path.read_text("utf-8")
        assert text.startswith("-- question: "), path.name
        driver.query(data, text)


def test_the_interval_of_the_estimate_is_sane(data: Path) -> None:
    number = json.loads(cloudbound(data, "headline", "--json").stdout)
    assert 0 < number["ci_low"] < number["share"] < number["ci_high"] < 1
    assert number["naive"]["natives_included"] > number["share"]


def test_the_job_of_dagster_and_the_plain_steps_end_with_the_same_tables(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "landing").symlink_to(data / "landing")
    driver.run(tmp_path)
    hashes = "select name, hash from ops.table_hashes order by 1"
    assert driver.query(tmp_path, hashes) == driver.query(data, hashes)
