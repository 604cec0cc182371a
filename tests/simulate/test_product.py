"""The whole night over very dirty worlds with merges and splits: every label equals the truth.

CLOUDBOUND_TEST_SEEDS=20 makes it twenty worlds, the long proof.
"""

import os
from pathlib import Path

import polars as pl
import pytest

from pipelines.simulate.world import simulate
from tests import driver

pytestmark = pytest.mark.slow
FIRST = 52
"""A world with two merges by its decidable end; others may have none."""
SEEDS = range(FIRST, FIRST + int(os.environ.get("CLOUDBOUND_TEST_SEEDS", "1")))


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_of_a_very_dirty_world(tmp_path: Path, seed: int) -> None:
    summary = simulate(tmp_path / "landing", teams=400, days=170, seed=seed, dirt=1.0)
    driver.run(tmp_path)
    names = ["subscribed_on", "integrated_on", "state_at_t0", "moved_on", "censored_on"]
    names += ["merged_on", "merged_into"]
    rows = driver.query(tmp_path, f"select team_id, {', '.join(names)} from journey.teams")
    found = pl.DataFrame(rows, schema=["team_id", *names], orient="row", infer_schema_length=None)
    truth = pl.read_parquet(summary.truth / "teams.parquet")
    both = truth.select("team_id", *names).join(found, on="team_id", how="left", suffix="_found")
    if seed == FIRST:
        assert truth.filter(pl.col("merged_on") < summary.complete_on).height > 0
        assert truth["split_on"].is_not_null().any()
    for name in names:
        wrong = both.filter(pl.col(name).ne_missing(pl.col(f"{name}_found")))
        assert wrong.height == 0, (name, wrong.select("team_id", name, f"{name}_found").rows()[:5])
    reasons = {str(r) for (r,) in driver.query(tmp_path, "select distinct reason from ops.rejects")}
    assert any("can't be read as an amount" in r for r in reasons)
    assert any("fields where the header has" in r for r in reasons)
    cut_off = list((tmp_path / "landing/billing").glob("*/*.csv.gz"))
    assert cut_off
    unread = driver.query(
        tmp_path, "select count(*) from ops.files where accepted = 0 and file like '%.csv.gz'"
    )
    assert unread == [(len(cut_off),)]
