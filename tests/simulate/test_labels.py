"""Planted labels against the brute-force reading of the written files, tolerance 0."""

from datetime import timedelta
from decimal import Decimal

import brute_force
import polars as pl
import pytest
from brute_force import Label, Rules

from pipelines.simulate import decoys
from pipelines.simulate.world import SimulationSummary, simulate


@pytest.fixture(scope="session")
def found(dirty: SimulationSummary) -> brute_force.World:
    return brute_force.read(dirty.out)


@pytest.fixture(scope="session")
def truth(dirty: SimulationSummary) -> pl.DataFrame:
    return pl.read_parquet(dirty.truth / "teams.parquet")


def planted(row: dict) -> Label:
    names = ("subscribed_on", "integrated_on", "state_at_t0", "moved_on")
    return Label(*(row[k] for k in (*names, "censored_on", "merged_into")))


def assert_labels_equal(summary: SimulationSummary, world: brute_force.World) -> None:
    teams = pl.read_parquet(summary.truth / "teams.parquet")
    assert set(world.subscribed) == set(teams["team_id"])
    as_of = brute_force.as_of(world)
    assert summary.as_of == as_of
    alone = teams.filter(pl.col("merged_on").is_null())
    assert set(alone["censored_on"]) == {as_of - timedelta(days=31)}
    wrong = {
        row["team_id"]: (row["decoy"], planted(row), label)
        for row in teams.iter_rows(named=True)
        if planted(row) != (label := brute_force.judge(world, row["team_id"]))
    }
    assert wrong == {}


def test_every_label_of_a_dirty_world(dirty: SimulationSummary, found: brute_force.World) -> None:
    assert found.torn > 0
    assert found.duplicates > 0
    assert_labels_equal(dirty, found)


@pytest.mark.parametrize("world", ["quota-squeeze", "confounded", "trap", "null"])
def test_every_label_of_other_worlds(tmp_path, world: str) -> None:
    summary = simulate(tmp_path / "landing", teams=110, days=120, seed=5, world=world, processes=1)
    assert_labels_equal(summary, brute_force.read(summary.out))


@pytest.mark.parametrize(("days", "seed"), [(1, 3), (40, 1), (75, 2)])
def test_short_worlds(tmp_path, days: int, seed: int) -> None:
    """Nothing may be decidable yet; labels are still what the files say."""
    summary = simulate(tmp_path / "landing", teams=300, days=days, seed=seed, processes=1)
    assert_labels_equal(summary, brute_force.read(summary.out))


def test_another_start_and_zone_edges(tmp_path) -> None:
    """A start in mid-week and mid-month of a leap year."""
    from datetime import date

    summary = simulate(
        tmp_path / "landing", teams=120, days=100, seed=4, start=date(2024, 2, 29), processes=1
    )
    assert_labels_equal(summary, brute_force.read(summary.out))


def test_dirt_moves_no_label(dirty: SimulationSummary, clean: SimulationSummary) -> None:
    one, other = (pl.read_parquet(s.truth / "accounts.parquet") for s in (dirty, clean))
    assert one.equals(other)


def test_every_label_of_a_clean_world(tmp_path) -> None:
    summary = simulate(tmp_path / "landing", teams=150, days=150, seed=6, dirt=0.0, processes=1)
    world = brute_force.read(summary.out)
    assert (world.torn, world.duplicates) == (0, 0)
    assert_labels_equal(summary, world)


FLIPS = {
    "free_tier": Rules(uses_list_cost=True),
    "credited_daily": Rules(nets_credits=False),
    "credited_lump": Rules(nets_lump_credits=False),
    "burst": Rules(min_billable_days=9),
    "below_floor": Rules(floor_cny=Decimal(20)),
    "refunded": Rules(nets_refunds=False),
    "workdays": Rules(min_billable_days=20),
    "plan_fee": Rules(excludes_plan_fee=False),
    "one_week": Rules(min_weeks=1),
    "two_a_day": Rules(min_requests=2),
    "sparse": Rules(min_active_days=4),
    "failing": Rules(counts_only_ok=False),
    "wrong_key": Rules(counts_only_on_plan=False),
}


@pytest.mark.parametrize("name", FLIPS)
def test_a_decoy_breaks_exactly_one_clause(
    name: str, found: brute_force.World, truth: pl.DataFrame, dirty: SimulationSummary
) -> None:
    """As planted it is no success; without its one clause it would be one."""
    early = dirty.complete_on - timedelta(days=65)
    teams = truth.filter((pl.col("decoy") == name) & (pl.col("subscribed_on") <= early))
    assert teams.height > 0
    breaks_habit = not decoys.with_calls(decoys.Calls.STEADY)[decoys.CODE[name]]
    for row in teams.iter_rows(named=True):
        label = brute_force.judge(found, row["team_id"])
        flipped = brute_force.judge(found, row["team_id"], FLIPS[name])
        if breaks_habit or name == "wrong_key":
            assert label.integrated_on is None
            assert flipped.integrated_on is not None
        else:
            assert label.integrated_on is not None
            assert label.state == "new"
            assert label.moved_on is None
            assert flipped.moved_on is not None
            # The fee is paid from the first day on: counted, it may be a move before the habit.
            assert name == "plan_fee" or flipped.moved_on > label.integrated_on


def test_past_customers_and_rush(truth: pl.DataFrame) -> None:
    states = {
        name: set(rows["state_at_t0"].drop_nulls()) for (name,), rows in truth.group_by("decoy")
    }
    assert states["native"] == states["native_recent"] == {"native"}
    assert states["rush"] == {"pre_habit"}
    assert "dormant" in states["dormant"]
    assert states["none"] <= {"new", "pre_habit"}


def test_planted_moves_are_what_the_charges_show(truth: pl.DataFrame) -> None:
    planted_moves = truth.filter(
        pl.col("decoy").is_in(["none", "dormant"])
        & (pl.col("moves_with_plan_on") <= pl.col("censored_on"))
    )
    assert planted_moves.height > 20
    assert (planted_moves["moved_on"] == planted_moves["moves_with_plan_on"]).all()
