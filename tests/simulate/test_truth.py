"""The closed forms against what the worlds show, and the judge on its boundaries."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from pipelines.simulate import feedback, truth, world
from pipelines.simulate.teams import CHANNELS, NEVER, PRESETS, Settings, build


def settings(name: str, seed: int, teams: int, days: int) -> Settings:
    return Settings(teams, days, seed, world.START, 0.2, PRESETS[name].intent, name)


def judged(s: Settings):
    """Teams, labels and C of a world, without writing it."""
    teams = world._teams(s)
    would_integrate_on, newest, _ = world._habits(s, 0, s.teams)
    habit = np.where(teams.takes_plan, would_integrate_on, NEVER)
    complete = truth.complete_day(newest, s.days - 1)
    moves = truth.planted_move(teams, habit)
    return teams, world._labels(s, 0, s.teams, habit, moves, complete), complete


def kaplan_meier(days: np.ndarray, moved: np.ndarray, horizon: int) -> tuple[float, float, float]:
    """Share and its log-log 95 % interval."""
    alive, greenwood = 1.0, 0.0
    for t in np.unique(days[moved & (days <= horizon)]):
        at_risk, events = int((days >= t).sum()), int((moved & (days == t)).sum())
        alive *= 1 - events / at_risk
        greenwood += events / (at_risk * (at_risk - events))
    width = 1.959963984540054 * math.sqrt(greenwood) / abs(math.log(alive))
    return 1 - alive, 1 - alive ** math.exp(-width), 1 - alive ** math.exp(width)


@pytest.mark.parametrize("name", ["healthy", "confounded", "quota-squeeze"])
def test_planted_share_is_what_kaplan_meier_finds(name: str) -> None:
    """Proof C in small: intervals cover the planted 90-day share, and the bias is noise."""
    worlds = 24 if name == "healthy" else 10
    errors, covered = [], 0
    for seed in range(100, 100 + worlds):
        s = settings(name, seed, 1_000, 260)
        teams, labels, complete = judged(s)
        shares = feedback.whole(s).shares[90] if s.has_quotas else truth.share(teams, 90)
        eligible = np.isin(labels.state, [truth.STATES.index(k) for k in ("new", "dormant")])
        decided = truth.censor_day(teams, complete)
        eligible &= labels.integrated_on < decided
        days = np.minimum(labels.moved_on, decided) - labels.integrated_on
        found, low, high = kaplan_meier(days[eligible], (labels.moved_on <= decided)[eligible], 90)
        planted = shares[eligible].mean()
        # Interval endpoints come as (low, high) of the share.
        covered += min(low, high) <= planted <= max(low, high)
        errors.append(found - planted)
    error = np.array(errors)
    assert abs(error.mean()) <= max(0.005, 3 * error.std(ddof=1) / math.sqrt(worlds))
    assert covered / worlds >= 0.95 - 3 * math.sqrt(0.0475 / worlds)


def test_share_is_the_formula() -> None:
    """1 - (1 - p (1 - exp(-(h / scale)^shape))) exp(-rate h), by hand for one team."""
    teams = build(settings("healthy", 1, 50, 100), 0, 50).take(np.array([3]))
    p, scale, shape, rate = (
        float(v[0])
        for v in (
            teams.moves_share,
            teams.move_scale_days,
            teams.move_shape,
            teams.organic_per_day,
        )
    )
    for h in truth.HORIZONS:
        by_plan = 1 - math.exp(-((h / scale) ** shape))
        expected = 1 - (1 - p * by_plan) * math.exp(-rate * h)
        assert truth.share(teams, h)[0] == pytest.approx(expected, abs=1e-12)


def test_waits_follow_their_distribution() -> None:
    """The drawn waits of many teams have the incidence that the formula says."""
    s = settings("healthy", 5, 200_000, 100)
    teams = build(s, 0, s.teams)
    wait = np.ceil(np.minimum(teams.plan_wait_days, teams.organic_wait_days))
    for h in truth.HORIZONS:
        planted = truth.share(teams, h)
        error = (wait <= h).mean() - planted.mean()
        assert abs(error) < 4 * math.sqrt(planted.mean() / s.teams)


def test_intent_zero_makes_the_naive_comparison_right() -> None:
    """With intent, who takes the plan would have moved anyway; without, there is no such gap."""
    gaps = {}
    for knob in (0.0, 2.0):
        s = Settings(150_000, 100, 4, world.START, 0.0, knob, "healthy")
        teams = build(s, 0, s.teams)
        own = teams.organic_per_day > 0
        soon = teams.organic_wait_days <= 180
        takes = teams.takes_plan
        gaps[knob] = soon[own & takes].mean() - soon[own & ~takes].mean()
    assert abs(gaps[0.0]) < 0.01
    assert gaps[2.0] > 0.04


def test_the_offer_is_random_and_is_taken() -> None:
    teams = build(settings("healthy", 6, 50_000, 100), 0, 50_000)
    offered = teams.arm == 1
    assert abs(teams.intent[offered].mean() - teams.intent[~offered].mean()) < 0.05
    assert teams.takes_plan[offered].mean() > teams.takes_plan[~offered].mean() + 0.2
    assert set(teams.channel) == set(range(len(CHANNELS)))


def test_null_world_has_no_plan_effect(tmp_path) -> None:
    summary = world.simulate(
        tmp_path / "landing", teams=300, days=60, seed=2, world="null", processes=1
    )
    accounts = pl.read_parquet(summary.truth / "accounts.parquet")
    both = accounts.select("moves_with_plan_on", "moves_without_plan_on")
    assert both["moves_with_plan_on"].equals(both["moves_without_plan_on"])
    assert set(accounts["intent"]) != {0.0}


def test_shares_are_weighted_means_of_teams(clean: world.SimulationSummary) -> None:
    teams = pl.read_parquet(clean.truth / "teams.parquet")
    shares = pl.read_parquet(clean.truth / "shares.parquet")
    population = teams.filter(
        pl.col("state_at_t0").is_in(["new", "dormant"])
        & (pl.col("integrated_on") < pl.col("censored_on"))
    )
    for segment in ("region", "archetype", "plan", "size"):
        for (value,), rows in population.group_by(segment):
            row = shares.filter(
                (pl.col("segment") == segment)
                & (pl.col("value") == value)
                & (pl.col("horizon_days") == 90)
            )
            assert row["teams"].item() == rows.height
            assert row["share"].item() == pytest.approx(rows["share_90"].mean())
    whole = shares.filter((pl.col("segment") == "all") & (pl.col("horizon_days") == 90))
    assert whole["share"].item() == pytest.approx(population["share_90"].mean())
    assert clean.shares[90] == whole["share"].item()


def test_the_default_world_is_worth_a_demo() -> None:
    s = settings("healthy", 7, 2_000, 365)
    teams, labels, _ = judged(s)
    integrated = labels.integrated_on < NEVER
    assert integrated.sum() >= 1_000
    eligible = np.isin(labels.state, [truth.STATES.index(k) for k in ("new", "dormant")])
    assert 0.18 < truth.share(teams, 90)[eligible].mean() < 0.30
    naive = (labels.moved_on[integrated] < NEVER).mean()
    assert naive > truth.share(teams, 90)[eligible].mean() + 0.05


START_MONDAY = date(2025, 1, 6)


@pytest.mark.parametrize(
    ("active", "formed"),
    [
        ([0, 1, 2, 3, 7], 7),
        ([0, 1, 2, 3, 4], NEVER),
        ([0, 1, 2, 3], NEVER),
        ([0, 1, 2, 3, 13], 13),
        ([0, 1, 2, 3, 14], NEVER),
        ([6, 7, 8, 9, 10], 10),
        ([4, 5, 6, 14, 15, 16, 17], 15),
    ],
)
def test_habit_boundaries(active: list[int], formed: int) -> None:
    days = np.zeros((1, 40), dtype=bool)
    days[0, active] = True
    weekday = np.arange(40) % 7
    assert truth.habit_day(days, weekday)[0] == formed


@pytest.mark.parametrize(
    ("billable", "amount", "qualifies"),
    [
        (range(21), 30 / 21, True),
        (range(20), 10.0, False),
        ([*range(20), 27], 2.0, True),
        ([*range(20), 28], 2.0, False),
        (range(28), 29.99 / 28, False),
        (range(28), 29.995 / 28, True),
        (range(28), 0.005, False),
    ],
)
def test_qualifying_boundaries(billable, amount: float, qualifies: bool) -> None:
    net = np.zeros((1, 60))
    net[0, list(billable)] = amount
    assert truth.qualifying(net)[0, 0] == qualifies


def test_complete_day_is_lag_and_window_before_as_of() -> None:
    as_of = START_MONDAY + timedelta(days=101)
    assert START_MONDAY + timedelta(days=truth.complete_day(100, 105)) == as_of - timedelta(31)
