"""Planted effects: in the truth, in what teams do, and as the real analyses' SQL finds them."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from pipelines import sql_assets, warehouse
from pipelines.definition import Definition
from pipelines.settings import CHECKOUT, SQL
from pipelines.simulate import charges, decoys, directory, effects, feedback, requests, truth, world
from pipelines.simulate.subscriptions import cycle_day, paid_cycles
from pipelines.simulate.teams import (
    CHANNELS,
    LOOKBACK_DAYS,
    MODELS,
    NEVER,
    PLANS,
    PRESETS,
    SIZES,
    Settings,
    Teams,
    build,
    channel_iota,
    team_id,
    trial_factor,
)


def settings(name: str, seed: int, teams: int, days: int, *without: str) -> Settings:
    intent = PRESETS[name].intent
    return Settings(teams, days, seed, world.START, 0.0, intent, name, without=without)


class Told:
    """A world as the tables that the analyses read, straight from what was planted."""

    def __init__(self, s: Settings) -> None:
        self.settings, self.teams = s, world._teams(s)
        self.days = np.arange(s.days)
        self.counts = world._counts(s, self.teams, self.days)
        habit, newest, _ = world._habits(s, 0, s.teams)
        self.integrated_on = np.where(self.teams.takes_plan, habit, NEVER)
        self.complete_on = truth.complete_day(newest, s.days - 1)
        moves = truth.planted_move(self.teams, self.integrated_on)
        runs = charges.runs(s, self.teams, self.integrated_on, moves)
        self.net = charges.net(s, self.teams, runs, np.arange(-LOOKBACK_DAYS, s.days))
        self.labels = truth.judge(self.teams, self.integrated_on, self.net, self.complete_on, moves)
        self.names = np.array([team_id(i) for i in self.teams.index.tolist()])

    def on(self, day: np.ndarray) -> np.ndarray:
        return (np.datetime64(self.settings.start, "D") + day).astype("datetime64[D]")

    def journey_teams(self) -> pl.DataFrame:
        is_team = self.teams.subscribed_on < self.settings.days
        at = np.flatnonzero(is_team & (self.integrated_on < NEVER))
        return pl.DataFrame(
            {
                "team_id": self.names[at],
                "subscribed_on": self.on(self.teams.subscribed_on[at]),
                "integrated_on": self.on(self.integrated_on[at]),
                "is_native": self.labels.state[at] == truth.STATES.index("native"),
                "plan": [PLANS[k] for k in self.teams.first_plan[at].tolist()],
                "team_class": [SIZES[k] for k in self.teams.size[at].tolist()],
            }
        )

    def run(self, table: str, given: dict[str, pl.DataFrame]) -> pl.DataFrame:
        """The real SQL of a table over these ones."""
        as_of = self.settings.on(self.settings.days)
        clocks = {
            "as_of": as_of,
            "known_at": None,
            "data_complete_on": as_of - timedelta(days=31),
        }
        with warehouse.scratch() as con, warehouse.scratch() as parser:
            for schema in warehouse.SCHEMAS:
                con.execute(f"create schema {schema}")
            warehouse.install_macros(con, over_tables=False)
            for path in sorted((CHECKOUT / "data/reference").glob("assumptions.csv")):
                warehouse.replace_table(con, f"ref.{path.stem}", pl.read_csv(path))
            for name, frame in given.items():
                warehouse.replace_table(con, name, frame)
            schema, _, name = table.partition(".")
            asset = sql_assets.parse(SQL / schema / f"{name}.sql", parser)
            outcome = sql_assets.run(con, asset, Definition("test").parameters() | clocks)
            assert not any(outcome.breaches.values()), outcome.breaches
            return con.table(table).pl()


def trap_index(name: str, seed: int) -> pl.DataFrame:
    """metric.trap_index of a world, from the first week that has one."""
    told = Told(settings(name, seed, 2_000, 300))
    team, day = np.nonzero(told.counts.accepted >= 3)
    monday = day - requests.weekdays(told.settings, day)
    active = pl.DataFrame({"team_id": told.names[team], "iso_week_on": told.on(monday)}).unique()
    team, day = np.nonzero(told.counts.accepted)
    cny = told.counts.accepted[team, day] * 0.01
    usage = pl.DataFrame(
        {"team_id": told.names[team], "usage_on": told.on(day), "inference_cny": cny}
    )
    after = told.net[:, LOOKBACK_DAYS:]
    team, day = np.nonzero(after)
    workload = pl.DataFrame(
        {"team_id": told.names[team], "usage_on": told.on(day), "net_cny": after[team, day]}
    )
    teams = told.journey_teams()
    found = told.run(
        "metric.trap_index",
        {
            "journey.active_days": active,
            "fact.usage_days": usage,
            "journey.subscribers": teams.select("team_id", "subscribed_on"),
            "journey.workload_days": workload,
            "journey.teams": teams,
        },
    )
    return found.filter(pl.col("trap_index").is_not_null())


def test_trap_index_alerts_in_the_trap_and_not_in_the_healthy_world() -> None:
    """Planted: calls grow tenfold in a year, 0.044 a week in logs; workloads hardly grow.

    Few teams move in the trap, so one world's margin is noisy: every world must alert, the slopes
    are held against the planted ones over four.
    """
    planted = PRESETS["trap"].rate_growth_per_day * 7
    assert planted == pytest.approx(0.0442, abs=1e-4)
    late = [trap_index("trap", seed).tail(20) for seed in (1, 2, 3, 4)]
    assert all(weeks["is_alert"].sum() >= 3 for weeks in late)
    every = pl.concat(late)
    assert abs(every["cost_slope"].mean() - planted) < 0.015  # type: ignore[operator]
    assert abs(every["margin_slope"].mean()) < 0.02  # type: ignore[arg-type]
    for seed in (1, 2):
        healthy = trap_index("healthy", seed)
        assert healthy["is_alert"].sum() == 0
        assert healthy["trap_index"].mean() < -0.02  # type: ignore[operator]


def calls_by_model(told: Told) -> pl.DataFrame:
    """Accepted calls by (team, day, model) around the habit, of the rows as they are written."""
    parts = []
    late = np.flatnonzero(told.integrated_on < told.settings.days)
    for first in range(0, len(late), 400):
        w = late[first : first + 400]
        some = told.teams.take(w)
        made = requests.rows(told.settings, some, told.days, told.counts.cut(w))
        ok = made.status == 0
        day = (made.at_ms[ok] // 1000 + 8 * 3600) // 86_400
        parts.append(
            pl.DataFrame(
                {"team": w[made.team[ok]], "usage_on": day, "model": made.model[ok].astype(int)}
            )
            .group_by("team", "usage_on", "model")
            .len("accepted")
        )
    calls = pl.concat(parts)
    return calls.select(
        team_id=pl.Series(told.names[calls["team"].to_numpy()]),
        usage_on=pl.col("usage_on").cast(pl.Int32).cast(pl.Date),
        model=pl.Series([MODELS[k] for k in calls["model"].to_list()]),
        accepted=pl.col("accepted").cast(pl.Int64),
    )


def cycles_of(told: Told) -> pl.DataFrame:
    """Plan months, and whether they were renewed where that is decided."""
    s, teams = told.settings, told.teams
    paid = paid_cycles(s, teams)
    renewed = pl.Series(paid.cycle + 1 < teams.cycles[paid.team])
    return pl.DataFrame(
        {
            "team_id": told.names[paid.team],
            "starts_on": told.on(paid.starts_on),
            "ends_on": told.on(paid.ends_on),
            "is_renewed": renewed,
        }
    ).with_columns(
        is_renewed=pl.when(pl.col("ends_on") + timedelta(days=14) < s.on(s.days)).then("is_renewed")
    )


def model_rows(s: Settings) -> pl.DataFrame:
    told = Told(s)
    return told.run(
        "metric.model_mix_retention",
        {
            "journey.teams": told.journey_teams(),
            "journey.plan_cycles": cycles_of(told),
            "fact.usage_days": calls_by_model(told),
        },
    )


def test_model_that_retains_is_found_and_only_where_it_was_planted() -> None:
    """Odds ratio 3 a month within an archetype; the table, which can't see archetypes and takes who is
    still there after 28 days, finds about 2."""
    logs = []
    for seed in (1, 2):
        rows = model_rows(settings("healthy", seed, 6_000, 250))
        found = rows.row(
            by_predicate=(pl.col("kind") == "model") & (pl.col("exposure") == "qwen3-coder-plus"),
            named=True,
        )
        assert found["p_adjusted"] < 0.05
        logs.append(np.log(found["odds_ratio"]))
    assert np.log(1.5) < np.mean(logs) < np.log(3)
    for world_without in (
        settings("healthy", 1, 6_000, 250, "model"),
        settings("null", 2, 6_000, 250),
    ):
        assert (model_rows(world_without)["p_adjusted"] < 0.05).sum() == 0


def test_renewal_is_planted_by_model_and_nothing_else() -> None:
    """Within an archetype, the odds of renewing the first month by the retaining model."""
    for without, planted in (((), 3.0), (("model",), 1.0)):
        teams = build(settings("healthy", 5, 120_000, 100, *without), 0, 120_000)
        natural = (teams.decoy == 0) & (teams.archetype == 1)
        stays = teams.cycles > 1
        p, q = (stays[natural & (teams.is_retained == k)].mean() for k in (True, False))
        assert p / (1 - p) / (q / (1 - q)) == pytest.approx(planted, rel=0.1)


def test_each_effect_can_be_left_out() -> None:
    for name in PRESETS:
        planted = {
            (row["effect"]): row["value"]
            for row in effects.planted(
                settings(name, 1, 10, 10, "plan", "quota", "model")
            ).iter_rows(named=True)
        }
        assert (planted["plan"], planted["quota"], planted["model"]) == (0.0, 1.0, 1.0)
    null = effects.planted(settings("null", 1, 10, 10))
    assert set(null.filter(pl.col("effect") == "channel")["value"]) == {0.0}
    squeeze = effects.planted(settings("quota-squeeze", 1, 10, 10))
    assert squeeze.filter(pl.col("effect") == "quota")["value"].item() == pytest.approx(3.0)


def test_a_quota_without_effect_leaves_renewal_to_demand() -> None:
    """The cycles of a confounded world without the quota's effect: the same refusals, no odds."""
    s = settings("confounded", 3, 1_500, 240, "quota")
    cycles, planted = (feedback.whole(k).cycles for k in (s, settings("confounded", 3, 1_500, 240)))
    bound = pl.col("refused") > 0
    logit = (pl.col("true_leave_share") / (1 - pl.col("true_leave_share"))).log()
    quota = pl.when(pl.col("plan") == "pro").then(90_000).otherwise(18_000)
    asked = (pl.max_horizontal(pl.col("accepted") + pl.col("refused"), 1) / quota).log()
    rest = logit + feedback.DEMAND_SLOPE * asked - 0.5 * (pl.col("cycle") == 0)
    for frame, odds in ((cycles, 1.0), (planted, 2.0)):
        means = frame.group_by(bound=bound).agg(rest.mean().alias("rest")).sort("bound")["rest"]
        assert len(means) == 2
        assert np.exp(means[1] - means[0]) == pytest.approx(odds, rel=1e-9)


# --- experiments and channels -----------------------------------------------------------------


def potential(s: Settings) -> tuple[Teams, np.ndarray]:
    teams = build(s, 0, s.teams)
    habit, _, _ = world._habits(s, 0, s.teams)
    return teams, habit


def moved_within(s: Settings, teams: Teams, habit: np.ndarray, days: int) -> np.ndarray:
    """Whether an account moves within `days` of its assignment, as it really went."""
    on = truth.planted_move(teams, np.where(teams.takes_plan, habit, NEVER))
    rushes = decoys.with_bill(decoys.Bill.RUSH)[teams.decoy]
    return rushes | (on <= directory.assigned_on(s, teams) + days)


@pytest.mark.parametrize("name", ["healthy", "null"])
def test_experiments_have_the_effect_that_the_truth_says(name: str) -> None:
    s = settings(name, 8, 24_000, 200)
    teams, habit = potential(s)
    told = {
        row["experiment"]: row for row in effects.experiments(s, teams, habit).iter_rows(named=True)
    }
    # Only who had the whole horizon, so that nothing is cut off by the end of the world.
    own = (teams.eligible_on < s.days) & ~decoys.with_bill(
        decoys.Bill.STANDING, decoys.Bill.RECENT
    )[teams.decoy]
    moved = moved_within(s, teams, habit, 90)
    pays = own & (teams.subscribed_on < s.days)
    ads = own & (teams.channel == CHANNELS.index("ads"))
    for experiment, who, arm in (
        (directory.OFFER, own, teams.arm),
        (directory.REACH, ads, teams.reach_arm),
        (directory.TRIAL, pays, teams.trial_arm),
        (directory.PRICE, pays, teams.price_arm),
    ):
        one, other = (moved[who & (arm == k)] for k in (1, 0))
        error = np.sqrt(one.var() / len(one) + other.var() / len(other))
        seen = one.mean() - other.mean()
        assert abs(seen - told[experiment]["itt"]) < 3.5 * error, experiment
        if name == "null":
            assert told[experiment]["itt"] == 0.0
        elif experiment != directory.PRICE:
            assert told[experiment]["itt"] > 2 * error, experiment


def test_trial_moves_only_the_share_that_the_plan_moves() -> None:
    s = settings("healthy", 8, 4_000, 100)
    teams = build(s, 0, s.teams)
    plain = build(Settings(**{**s.__dict__, "without": ("plan",)}), 0, s.teams)
    assert (trial_factor(s, 1), trial_factor(s, 0)) == (1.2, 0.8)
    assert np.array_equal(teams.organic_per_day, plain.organic_per_day)
    assert np.array_equal(teams.takes_plan, plain.takes_plan)
    assert not plain.moves_share.any()


@pytest.mark.parametrize(("name", "is_broken"), [("healthy", False), ("confounded", True)])
def test_split_of_the_price_test(tmp_path, name: str, is_broken: bool) -> None:
    s = settings(name, 4, 3_000, 200)
    teams = build(s, 0, s.teams)
    directory.write(s, teams, tmp_path)
    log = pl.read_csv(tmp_path / "assignments.csv")
    assert set(log["experiment"]) == {
        directory.OFFER,
        directory.REACH,
        directory.TRIAL,
        directory.PRICE,
    }
    assert not log.select("team", "experiment").is_duplicated().any()
    price = log.filter(pl.col("experiment") == directory.PRICE)["arm"].value_counts()
    counts = dict(price.iter_rows())
    z = abs(counts["treatment"] - counts["control"]) / np.sqrt(price["count"].sum())
    assert (z > 4) == is_broken
    told = effects.experiments(s, teams, np.full(s.teams, NEVER))
    lost = told.filter(pl.col("experiment") == directory.PRICE)["logged_share"].item()
    assert lost == (0.7 if is_broken else 1.0)


def test_channels_cost_what_the_files_say(tmp_path) -> None:
    summary = world.simulate(tmp_path / "landing", teams=2_000, days=150, seed=6, processes=1)
    told = pl.read_parquet(summary.truth / "channels.parquet")
    costs = pl.read_csv(summary.out / "directory/channel_costs.csv")
    spent = costs.group_by("channel").agg(pl.col("spend").sum())
    both = told.join(spent, on="channel")
    assert both["spend_cny"].to_list() == pytest.approx(both["spend"].to_list())
    assert told["iota"].to_list() == channel_iota(settings("healthy", 6, 1, 1)).tolist()
    paid = told.filter(pl.col("iota") > 0)
    true_cost = pl.col("spend_cny") / (pl.col("iota") * pl.col("moved"))
    assert paid.select((pl.col("cost_per_incremental_cny") - true_cost).abs().max()).item() < 1e-6
    accounts = pl.read_parquet(summary.truth / "accounts.parquet")
    # Who is held out and would only have come by the ads never acts.
    missing = accounts.filter("is_held_out_from_channel")
    assert missing.height > 10
    assert set(missing["ads_arm"]) == {"holdout"}
    assert missing["subscribed_on"].null_count() == missing.height
    assert missing["moves_with_plan_on"].null_count() == missing.height


# --- full quotas ------------------------------------------------------------------------------


def test_default_world_uses_quotas_for_real() -> None:
    """Some teams fill nine tenths of two months, none exceeds a quota, all quadrants have teams."""
    told = Told(settings("healthy", 7, 2_000, 365))
    s, teams, counts = told.settings, told.teams, told.counts
    lite = np.flatnonzero((teams.first_plan == 0) & teams.takes_plan & (teams.fills > 0))
    full = np.zeros(s.teams, dtype=int)
    bound = 0
    for k in lite.tolist():
        one = teams.subscribed_on[k : k + 1]
        if teams.upgrade_cycle[k] < teams.cycles[k]:
            pro = int(cycle_day(s, one, teams.upgrade_cycle[k : k + 1])[0])
            assert not counts.refused[k, pro:].any()
        for cycle in range(int(min(teams.cycles[k], teams.upgrade_cycle[k], 12))):
            a, b = (int(cycle_day(s, one, np.array([cycle + j]))[0]) for j in (0, 1))
            if b > s.days:
                break
            accepted = counts.ok[k, a:b]
            assert accepted.sum() <= 18_000
            assert accepted.max() <= 1_200
            full[k] += accepted.sum() >= 16_200
            assert counts.limit is not None
            refused = counts.refused[k, a:b] > 0
            by_month = refused & (counts.limit[k, a:b] == 2)
            bound += int(refused.sum())
            assert (accepted[refused & ~by_month] == 1_200).all()
            assert not by_month.any() or accepted.sum() == 18_000
        weeks = counts.ok[k, : s.days // 7 * 7].reshape(-1, 7).sum(axis=1)
        assert weeks.max() <= 9_000 or teams.upgrade_cycle[k] < NEVER
    assert (full >= 2).sum() >= 5
    assert bound > 50
    mature = np.isin(told.labels.state, [3, 4]) & (told.integrated_on + 90 <= told.complete_on)
    at = np.flatnonzero(mature)
    run = np.concatenate([np.zeros((len(at), 1)), counts.accepted[at].cumsum(axis=1)], axis=1)
    first = told.integrated_on[at] + 1
    row = np.arange(len(at))
    used = run[row, first + 28] - run[row, first]
    much = used / np.where(teams.first_plan[at] == 1, 90_000, 18_000) * 30 / 28 >= 0.5
    moved = told.labels.moved_on[at] - told.integrated_on[at] <= 90
    cells = {
        (a, b): int((much == a)[moved == b].sum()) for a in (False, True) for b in (False, True)
    }
    assert min(cells.values()) >= 2, cells
    assert 0.17 < truth.share(teams, 90)[at].mean() < 0.25


def test_blocks_of_days_plan_the_same_month() -> None:
    s = settings("healthy", 3, 900, 120)
    teams = build(s, 0, s.teams)
    whole = requests.counts(s, teams, np.arange(120))
    assert min(whole.ok.min(), whole.bad.min(), whole.refused.min()) == 0
    for first, last in ((0, 1), (30, 37), (59, 90), (119, 120)):
        part = requests.counts(s, teams, np.arange(first, last))
        for name in ("ok", "bad", "refused", "limit"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[:, first:last])
