"""Small seeded worlds, written straight as the tables that the real SQL reads, with a known answer.

Belongs here: planted effects and nulls that each analysis must find, or must not.
Does not belong here: hand-counted rows (tests/sql), the simulator (tests/simulate).
"""

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import numpy as np
import polars as pl
import pytest

from pipelines import sql_assets, warehouse
from pipelines.definition import Definition
from pipelines.settings import SQL

AS_OF = date(2026, 1, 1)
T0 = date(2025, 3, 1)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.scratch() as session:
        for schema in warehouse.SCHEMAS:
            session.execute(f"create schema {schema}")
        warehouse.install_macros(session, over_tables=False)
        yield session


def run(con: duckdb.DuckDBPyConnection, table: str) -> pl.DataFrame:
    schema, _, name = table.partition(".")
    with warehouse.scratch() as parser:
        asset = sql_assets.parse(SQL / schema / f"{name}.sql", parser)
    complete = AS_OF - timedelta(days=31)
    clocks = {"as_of": AS_OF, "known_at": None, "data_complete_on": complete}
    outcome = sql_assets.run(con, asset, Definition("test").parameters() | clocks)
    assert not any(outcome.breaches.values()), outcome.breaches
    return con.table(table).pl()


def cycles(seed: int, odds_ratio: float, count: int = 12_000) -> pl.DataFrame:
    """Demand makes a limit bind and, apart from it, makes a team renew."""
    rng = np.random.default_rng(seed)
    demand = rng.normal(0, 1, count)
    is_bound = rng.random(count) < 1 / (1 + np.exp(1.0 - 1.6 * demand))
    logit = -0.6 - 1.2 * demand + np.log(odds_ratio) * is_bound
    leaves = rng.random(count) < 1 / (1 + np.exp(-logit))
    attempted = np.maximum(np.rint(6000 * np.exp(0.5 * demand)), 1).astype(np.int64)
    return pl.DataFrame(
        {
            "team_id": [f"t{n}" for n in range(count)],
            "cycle_number": np.ones(count, dtype=np.int64),
            "plan": np.where(rng.random(count) < 0.5, "lite", "pro"),
            "quota": np.full(count, 18_000),
            "attempted": attempted,
            "bound_by": np.where(is_bound, "5h", "none"),
            "blocked_days": is_bound.astype(np.int64),
            "is_renewed": ~leaves,
            "next_event": np.where(leaves, "churned", "renewed"),
            "off_plan_after": np.zeros(count, dtype=np.int64),
            "is_moved_after": np.zeros(count, dtype=bool),
        }
    )


def friction(con: duckdb.DuckDBPyConnection, seed: int, odds_ratio: float) -> dict[str, object]:
    warehouse.replace_table(con, "journey.plan_cycles", cycles(seed, odds_ratio))
    return run(con, "metric.quota_friction").row(
        by_predicate=pl.col("limit_name") == "5h", named=True
    )


def test_planted_odds_ratio_is_recovered_where_the_crude_one_has_the_wrong_sign(
    con: duckdb.DuckDBPyConnection,
) -> None:
    found = [friction(con, seed, 2.0) for seed in range(20)]
    assert sum(f["ci_low"] <= 2.0 <= f["ci_high"] for f in found) >= 18  # type: ignore[operator]
    assert all(f["crude_odds_ratio"] < 1 for f in found)  # type: ignore[operator]
    assert all("wrong sign" in str(f["warning"]) for f in found)


def test_limit_without_effect_is_found_without_effect(con: duckdb.DuckDBPyConnection) -> None:
    found = [friction(con, seed, 1.0) for seed in range(100, 120)]
    assert sum(f["ci_low"] <= 1.0 <= f["ci_high"] for f in found) >= 18  # type: ignore[operator]
    assert all(f["crude_odds_ratio"] < 0.8 for f in found)  # type: ignore[operator]


def model_world(con: duckdb.DuckDBPyConnection, seed: int, count: int = 3000) -> float:
    """Renewal is a coin; who stays goes on trying models. Gives the odds ratio of "ever used 3"."""
    rng = np.random.default_rng(seed)
    names = [f"t{n}" for n in range(count)]
    is_renewed = rng.random(count) < 0.7
    early = rng.integers(1, 4, count)
    late = np.where(is_renewed, rng.integers(0, 3, count), 0)
    ever = np.minimum(early + late, 4)
    teams = pl.DataFrame(
        {
            "team_id": names,
            "integrated_on": [T0] * count,
            "plan": ["lite"] * count,
            "team_class": ["solo"] * count,
        }
    )
    plan_cycles = pl.DataFrame(
        {
            "team_id": names,
            "starts_on": [T0] * count,
            "ends_on": [T0 + timedelta(days=30)] * count,
            "is_renewed": is_renewed,
        }
    )
    usage = pl.DataFrame(
        {
            "team_id": [names[n] for n in range(count) for _ in range(ever[n])],
            "usage_on": [
                T0 + timedelta(days=5 if k < early[n] else 60)
                for n in range(count)
                for k in range(ever[n])
            ],
            "model": [f"m{k}" for n in range(count) for k in range(ever[n])],
            "accepted": rng.integers(20, 30, int(ever.sum())),
        }
    )
    warehouse.replace_table(con, "journey.teams", teams)
    warehouse.replace_table(con, "journey.plan_cycles", plan_cycles)
    warehouse.replace_table(con, "fact.usage_days", usage)
    used = ever >= 3
    a, b = (used & is_renewed).sum(), (used & ~is_renewed).sum()
    c, d = (~used & is_renewed).sum(), (~used & ~is_renewed).sum()
    return float(a * d / (b * c))


def test_null_model_effect_is_null_though_ever_used_three_screams(
    con: duckdb.DuckDBPyConnection,
) -> None:
    false_findings = 0
    for seed in range(10):
        assert model_world(con, seed) > 1.5
        rows = run(con, "metric.model_mix_retention")
        assert rows.filter(pl.col("p_adjusted").is_not_null()).height >= 4
        false_findings += rows.filter(pl.col("p_adjusted") < 0.05).height > 0
    assert false_findings <= 2


def test_break_even_above_one_cannot_pay_back(con: duckdb.DuckDBPyConnection) -> None:
    names = [f"t{n}" for n in range(40)]
    teams = pl.DataFrame(
        {
            "team_id": names,
            "is_itt": [True] * 40,
            "is_headline": [False] * 40,
            "region": ["domestic"] * 40,
            "team_class": ["solo"] * 40,
        }
    )
    months = pl.DataFrame(
        {
            "team_id": names,
            "month_number": [1] * 40,
            "plan_net_cny": [10.0] * 40,
            "inference_cny": [500.0] * 40,
            "cloud_net_cny": [20.0] + [0.0] * 39,
            "is_moved": [True] + [False] * 39,
        }
    )
    conversion = pl.DataFrame(
        {
            "population": ["itt"],
            "by": ["all"],
            "value": ["all"],
            "horizon_days": [90],
            "share": [0.2],
            "ci_low": [0.1],
            "ci_high": [0.3],
        }
    )
    subscribers = pl.DataFrame({"team_id": names, "first_plan": ["lite"] * 40})
    warehouse.replace_table(con, "journey.teams", teams)
    warehouse.replace_table(con, "journey.subscribers", subscribers)
    warehouse.replace_table(con, "journey.team_months", months)
    warehouse.replace_table(con, "metric.conversion", conversion)
    row = run(con, "metric.unit_economics").row(by_predicate=pl.col("by") == "all", named=True)
    # Subsidy 490 a team; a converted team is worth 12 x 0.3 x 20 = 72: 490 / (0.9 x 72) = 7.56.
    assert row["p_star_low"] == pytest.approx(490 / 64.8)
    assert row["verdict"] == "cannot pay back"
    assert row["payback_month"] is None


@pytest.mark.parametrize(("kept", "is_broken"), [(1.0, False), (0.8, True)])
def test_arm_that_loses_teams_is_a_broken_split(
    con: duckdb.DuckDBPyConnection, kept: float, is_broken: bool
) -> None:
    rng = np.random.default_rng(3)
    is_offer = rng.random(4000) < 0.5
    is_logged = ~is_offer | (rng.random(4000) < kept)
    assignments = pl.DataFrame(
        {
            "team_id": [f"t{n}" for n in range(4000)],
            "experiment": ["price"] * 4000,
            "arm": np.where(is_offer, "offer", "holdout"),
        }
    ).filter(pl.Series(is_logged))
    effect = pl.DataFrame(
        {
            "experiment": ["price"],
            "arm": ["offer"],
            "teams": [1000],
            "moved": [300],
            "control_teams": [1000],
            "control_moved": [100],
            "itt": [0.2],
        }
    )
    plan_cycles = pl.DataFrame({"team_id": ["t0"], "cycle_number": [1], "is_renewed": [True]})
    warehouse.replace_table(con, "fact.assignments", assignments)
    warehouse.replace_table(con, "metric.incrementality", effect)
    warehouse.replace_table(con, "journey.plan_cycles", plan_cycles)
    row = run(con, "metric.experiments").row(0, named=True)
    assert row["has_srm"] is is_broken
    assert row["verdict"] == ("broken split" if is_broken else "better")
