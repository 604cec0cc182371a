"""What each analysis finds in worlds of known truth: planted effects, and nothing where there is
nothing, though the naive comparison would scream.

Belongs here: proofs over many seeds; SEEDS of them in the suite, more by CLOUDBOUND_TEST_SEEDS.
Does not belong here: the worlds (worlds.py), hand-counted rows (tests/sql).
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from pipelines import warehouse
from tests.analyses import harness, worlds
from tests.analyses.harness import SEEDS, fewest_covered, most_false_findings


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with harness.session() as session:
        yield session


def row(frame: pl.DataFrame, **values: str) -> dict[str, Any]:
    return frame.row(by_predicate=pl.all_horizontal(pl.col(c) == v for c, v in values.items()), named=True)  # fmt: skip


def friction(con: duckdb.DuckDBPyConnection, seed: int, planted: float) -> pl.DataFrame:
    warehouse.replace_table(con, "journey.plan_cycles", worlds.cycles(seed, planted))
    return harness.run(con, "metric.quota_friction")


def test_planted_odds_ratio_is_recovered_where_the_crude_one_has_the_wrong_sign(
    con: duckdb.DuckDBPyConnection,
) -> None:
    found = [row(friction(con, seed, 2.0), limit_name="5h") for seed in range(SEEDS)]
    covered = sum(f["ci_low"] <= 2.0 <= f["ci_high"] for f in found)
    print(
        f"covered: {covered} of {SEEDS}, crude {np.median([f['crude_odds_ratio'] for f in found])}"
    )
    assert covered >= fewest_covered(SEEDS)
    assert all(f["crude_odds_ratio"] < 1 for f in found)
    assert all("wrong sign" in f["warning"] for f in found if f["odds_ratio"] > 1)
    assert np.median([f["odds_ratio"] for f in found]) == pytest.approx(2.0, rel=0.1)


def test_limit_without_effect_is_found_without_effect(con: duckdb.DuckDBPyConnection) -> None:
    found = [friction(con, seed, 1.0) for seed in range(1000, 1000 + SEEDS)]
    for limit in ("5h", "month"):
        rows = [row(f, limit_name=limit) for f in found]
        false = sum(not r["ci_low"] <= 1.0 <= r["ci_high"] for r in rows)
        assert false <= most_false_findings(SEEDS), (limit, false)
        crude = [r["crude_odds_ratio"] for r in rows]
        assert max(crude) < 0.8, limit
        print(f"false findings of {limit}: {false} of {SEEDS}, crude {np.median(crude):.2f}")


def put(con: duckdb.DuckDBPyConnection, tables: dict[str, pl.DataFrame]) -> None:
    for name, frame in tables.items():
        warehouse.replace_table(con, name, frame)


def test_no_mix_is_found_in_a_null_world_though_ever_used_three_screams(
    con: duckdb.DuckDBPyConnection,
) -> None:
    false = 0
    for seed in range(SEEDS):
        world = worlds.mix(seed)
        put(con, world.tables)
        assert world.ever_three > 3
        rows = harness.run(con, "metric.model_mix_retention")
        assert rows["p_adjusted"].is_not_null().sum() >= 10
        false += rows.filter(pl.col("p_adjusted") < 0.05).height > 0
    print(f"worlds with a false finding: {false} of {SEEDS}")
    assert false <= most_false_findings(SEEDS), false


def test_planted_model_is_found_and_its_odds_ratio_covered(
    con: duckdb.DuckDBPyConnection,
) -> None:
    covered = 0
    for seed in range(SEEDS):
        put(con, worlds.mix(seed, planted=2.0).tables)
        found = row(harness.run(con, "metric.model_mix_retention"), kind="model", exposure="m0")
        assert found["p_adjusted"] < 0.05
        covered += found["ci_low"] <= 2.0 <= found["ci_high"]
    print(f"covered: {covered} of {SEEDS}")
    assert covered >= fewest_covered(SEEDS)


@pytest.mark.parametrize("plan_effect", [1.0, 2.5])
def test_matched_accounts_find_the_planted_difference_where_the_naive_one_is_wrong(
    con: duckdb.DuckDBPyConnection, plan_effect: float
) -> None:
    covered, differences, truths, naive = 0, [], [], []
    for seed in range(SEEDS):
        world = worlds.accounts(seed, plan_effect, count=1500)
        put(con, world.tables)
        found = row(harness.run(con, "metric.matched_controls"), by="all")
        assert found["label"] == "association"
        covered += found["ci_low"] <= world.effect <= found["ci_high"]
        differences.append(found["difference"])
        truths.append(world.effect)
        naive.append(world.naive)
    print(f"covered: {covered} of {SEEDS}, naive {np.mean(naive):.3f} for {np.mean(truths):.3f}")
    assert covered >= fewest_covered(SEEDS)
    assert np.mean(differences) == pytest.approx(np.mean(truths), abs=0.01)
    assert np.mean(naive) - np.mean(truths) > 0.02


def test_a_sequence_that_is_looked_at_every_week_doesnt_cry_wolf(
    con: duckdb.DuckDBPyConnection,
) -> None:
    """400 experiments without an effect, 50 weekly looks each: the fixed interval is wrong at some
    look in more than every fifth, the sequence in fewer than 5 %."""
    rng = np.random.default_rng(7)
    moved = rng.binomial(100, 0.15, (2, 400, 50)).cumsum(axis=2)
    teams = np.broadcast_to(100 * np.arange(1, 51), (400, 50))
    share = moved / teams
    error = np.sqrt((share * (1 - share) / teams).sum(axis=0))
    looks = pl.DataFrame(
        {
            "world": np.repeat(np.arange(400), 50),
            "difference": (share[1] - share[0]).ravel(),
            "std_error": error.ravel(),
            "n": (2 * teams).ravel(),
        }
    )
    warehouse.replace_table(con, "metric.looks", looks)
    wrong = warehouse.one(
        con,
        """
        select
            count(distinct world) filter (where abs(difference) > 1.959963984540054 * std_error),
            count(distinct world) filter (
                where confidence_sequence_low(difference, std_error, n, 5000) > 0
                or confidence_sequence_high(difference, std_error, n, 5000) < 0)
        from metric.looks
        """,
    )
    assert wrong is not None
    print(
        f"wrong at some look: {wrong[0]} of 400 by the fixed interval, {wrong[1]} by the sequence"
    )
    assert wrong[0] > 80
    assert wrong[1] <= 20
