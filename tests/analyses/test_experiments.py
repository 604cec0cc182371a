"""An assignment log that loses teams, through the real SQL. Hand-counted rows are in tests/sql."""

import numpy as np
import polars as pl
import pytest

from pipelines import warehouse
from tests.analyses import harness


@pytest.mark.parametrize(("kept", "is_broken"), [(1.0, False), (0.8, True)])
def test_arm_that_loses_teams_is_a_broken_split(kept: float, is_broken: bool) -> None:
    rng = np.random.default_rng(3)
    is_treated = rng.random(4000) < 0.5
    is_logged = ~is_treated | (rng.random(4000) < kept)
    assignments = pl.DataFrame(
        {
            "team_id": [f"t{n}" for n in range(4000)],
            "experiment": ["price-test"] * 4000,
            "arm": np.where(is_treated, "treatment", "control"),
        }
    ).filter(pl.Series(is_logged))
    effect = {
        "experiment": "price-test", "arm": "treatment", "teams": 1000, "moved": 300,
        "control_teams": 1000, "control_moved": 100, "itt": 0.2,
    }  # fmt: skip
    cycle = {
        "team_id": "t0", "cycle_number": 1, "is_renewed": True, "ends_on": harness.AS_OF,
        "blocked_hours": 0,
    }  # fmt: skip
    month = {
        "team_id": "t0", "month_number": 1, "plan_net_cny": 40.0, "cloud_net_cny": 0.0,
        "inference_cny": 1.0,
    }  # fmt: skip
    with harness.session() as con:
        warehouse.replace_table(con, "fact.assignments", assignments)
        for name, values in (
            ("metric.incrementality", effect),
            ("journey.plan_cycles", cycle),
            ("journey.team_months", month),
        ):
            warehouse.replace_table(con, name, pl.DataFrame([values]))
        row = harness.run(con, "metric.experiments").row(0, named=True)
    assert row["has_srm"] is is_broken
    assert row["verdict"] == ("broken split" if is_broken else "better")
    assert row["is_planned"]
