"""Planted labels against the brute-force reading of the written files, tolerance 0."""

import json
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


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_dirt_moves_no_label_at_any_seed(tmp_path, seed: int) -> None:
    """Duplicates, late and torn rows, amounts that are none, an upload that broke off, exports that
    come after the one that replaces them: once all is there, the files say the same."""
    told = []
    for dirt in (0.0, 1.0):
        out = tmp_path / str(dirt) / "landing"
        summary = simulate(out, teams=240, days=130, seed=seed, dirt=dirt, processes=1)
        world = brute_force.read(out)
        assert (world.torn > 0, world.duplicates > 0, world.unreadable > 0) == (dirt > 0,) * 3
        assert_labels_equal(summary, world)
        told.append(pl.read_parquet(summary.truth / "accounts.parquet"))
    assert told[0].equals(told[1])


def test_dirt_of_the_bills_is_there(dirty: SimulationSummary) -> None:
    """Good rows stand beside those that can't be read, and some exports come late."""
    lines = [
        line.split(",", 2)
        for path in sorted((dirty.out / "billing").glob("*/*.csv"))
        for line in path.read_text("utf-8").splitlines()
    ]
    torn = [line for line in lines if len(line) == 2]
    odd = [line for line in lines if len(line) == 3 and line[1].endswith("?")]
    assert len(torn) > 20
    assert len(odd) > 100
    good = {line[2] for line in lines if len(line) == 3 and not line[1].endswith("?")}
    assert all(line[2] in good for line in odd)
    entries = [
        json.loads(line) for line in (dirty.out / "billing/manifest.jsonl").read_text().splitlines()
    ]
    folders = [e["file"].split("/")[0] for e in entries]
    assert folders != sorted(folders)


def test_merges_and_splits_are_labelled(
    dirty: SimulationSummary, truth: pl.DataFrame, found: brute_force.World
) -> None:
    """The links decide: without them some labels would be others."""
    merged = truth.filter(pl.col("merged_on").is_not_null())
    assert merged.height >= 3
    early = merged.filter(pl.col("merged_on") <= dirty.complete_on)
    window = timedelta(days=28)
    assert (early["censored_on"] == early["merged_on"] - window).all()
    both = truth.filter(pl.col("team_id").is_in(merged["merged_into"].to_list()))
    assert both.height == merged.height
    assert (truth["split_on"].is_not_null()).sum() >= 3
    links = pl.read_csv(dirty.out / "directory/account_links.csv", try_parse_dates=True)
    late = links.filter(pl.col("confidence") == 0.95)
    days = (late["recorded_at"] - late["valid_from"]).dt.total_days()
    assert days.max() > 5  # type: ignore[operator]
    assert set(late["source"]) >= {"gateway", "billing"}
    before = brute_force.World({}, found.subscribed, found.charges)
    before.newest_request, before.newest_charge = found.newest_request, found.newest_charge
    before.calls = found.calls
    wrong = [
        row["team_id"]
        for row in merged.iter_rows(named=True)
        if planted(row) != brute_force.judge(before, row["team_id"])
    ]
    assert len(wrong) == merged.height


def test_worlds_without_quotas_count_a_merged_teams_calls_for_the_survivor(
    dirty: SimulationSummary, truth: pl.DataFrame, found: brute_force.World
) -> None:
    """In the files the absorbed team still calls by its own name."""
    merged = truth.filter(pl.col("merged_on").is_not_null())
    names = merged["team_id"].to_list()
    frames = [
        pl.read_parquet(p, columns=["team", "requested_at"])
        for p in sorted((dirty.out / "gateway").glob("*.parquet"))
    ]
    day = pl.col("requested_at").dt.offset_by("8h").dt.date()
    calls = pl.concat(frames).filter(pl.col("team").is_in(names)).with_columns(day=day)
    after = calls.join(merged, left_on="team", right_on="team_id").filter(
        pl.col("day") >= pl.col("merged_on")
    )
    assert after.height > 20
    for name, on in merged.select("team_id", "merged_on").iter_rows():
        assert all(day < on for day in found.calls[name])


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
