"""What is true in this world: planted labels of every team, and the closed-form shares behind them.

Belongs here: the simulator's own plain reading of the metric (habit, qualifying days, states) on
planted daily counts and net charges, the closed-form incidence, and the truth files.
Does not belong here: the product's metric. This code shares nothing with it, so that the two can be
compared; the pipeline never reads what is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.simulate import decoys
from pipelines.simulate.streams import F64, I64
from pipelines.simulate.teams import (
    ARCHETYPES,
    ARMS,
    CHANNELS,
    INDUSTRIES,
    LAG_DAYS,
    LOOKBACK_DAYS,
    NEVER,
    PLANS,
    REACH_ARMS,
    REGIONS,
    SIZES,
    TRIAL_ARMS,
    WINDOW_DAYS,
    Settings,
    Teams,
    team_id,
)

HORIZONS = (30, 60, 90, 180)
SEGMENTS = ("region", "industry", "channel", "archetype", "plan", "size")
STATES = ("native", "pre_habit", "unknown", "dormant", "new")
_BILLABLE_CNY = 0.005
_FLOOR_CNY = 30.0
_MIN_BILLABLE_DAYS = 21
IS_AT_RISK = pl.col("state_at_t0").is_in(["new", "dormant"]) & (
    pl.col("censored_on") > pl.col("integrated_on")
)
"""The headline's population, of the rows of truth/teams.parquet."""


@dataclass(frozen=True)
class Labels:
    """The judged labels of a range of teams; days are day numbers, NEVER where there is none."""

    integrated_on: I64
    moved_on: I64
    state: NDArray[np.int8]
    planted_on: I64


def habit_day(active: NDArray[np.bool_], weekday: I64) -> I64:
    """T0 by column number: first day whose last 14 days hold >= 5 active days in >= 2 ISO weeks."""
    teams, days = active.shape
    run = np.zeros((teams, days + 1), dtype=np.int32)
    np.cumsum(active, axis=1, out=run[:, 1:])
    last = np.arange(days)
    first = np.maximum(last - 13, 0)
    monday = np.maximum(last - weekday, first)
    monday_before = np.maximum(last - weekday - 7, first)
    this = run[:, last + 1] - run[:, monday]
    previous = run[:, monday] - run[:, monday_before]
    older = run[:, monday_before] - run[:, first]
    weeks = (this > 0).astype(np.int8) + (previous > 0) + (older > 0)
    formed = (this + previous + older >= 5) & (weeks >= 2)
    return np.where(formed.any(axis=1), formed.argmax(axis=1), NEVER).astype(np.int64)


def qualifying(net_cny: F64) -> NDArray[np.bool_]:
    """q: billable days with >= 21 billable days and >= 30 CNY (rounded to 0.01) in [q, q + 27]."""
    teams, days = net_cny.shape
    billable = net_cny > _BILLABLE_CNY
    count = np.zeros((teams, days + 1), dtype=np.int32)
    money = np.zeros((teams, days + 1))
    np.cumsum(billable, axis=1, out=count[:, 1:])
    np.cumsum(net_cny, axis=1, out=money[:, 1:])
    first = np.arange(days)
    last = np.minimum(first + WINDOW_DAYS, days)
    enough = count[:, last] - count[:, first] >= _MIN_BILLABLE_DAYS
    worth = np.floor((money[:, last] - money[:, first]) * 100 + 0.5 + 1e-6) >= _FLOOR_CNY * 100
    return billable & enough & worth


def judge(
    teams: Teams, integrated_on: I64, net_cny: F64, complete_on: int, planted_on: I64
) -> Labels:
    """States and moves from net charges whose column 0 is day -LOOKBACK_DAYS."""
    q = qualifying(net_cny)
    days = np.arange(net_cny.shape[1]) - LOOKBACK_DAYS
    q &= days[None, :] <= censor_day(teams, complete_on)[:, None]
    since = days[None, :] - teams.subscribed_on[:, None]
    after = q & (since >= 0)
    moved = np.where(after.any(axis=1), after.argmax(axis=1) - LOOKBACK_DAYS, NEVER).astype(
        np.int64
    )
    is_native = (q & (since < 0) & (since >= -LOOKBACK_DAYS)).any(axis=1)
    was_customer = (q & (since < -LOOKBACK_DAYS)).any(axis=1)
    state = np.full(len(teams), STATES.index("new"), dtype=np.int8)
    state[was_customer] = STATES.index("dormant")
    state[moved <= integrated_on] = STATES.index("pre_habit")
    state[is_native] = STATES.index("native")
    state[(integrated_on > complete_on) | (integrated_on == NEVER)] = -1
    return Labels(integrated_on, moved, state, planted_on)


def censor_day(teams: Teams, complete_on: int) -> I64:
    """The last day on which each team's move is decided: an absorbed team's window must be its own."""
    return np.minimum(complete_on, teams.merged_on - WINDOW_DAYS)


def with_merges(teams: Teams, accepted: NDArray[np.int32], days: I64) -> NDArray[np.int32]:
    """Accepted requests by (team, day) where an absorbed team's count for the survivor.

    A survivor stands right before the team that it absorbs.
    """
    absorbed = np.flatnonzero(teams.merged_on < NEVER)
    moves = days[None, :] >= teams.merged_on[absorbed, None]
    made = accepted.copy()
    made[absorbed - 1] += np.where(moves, accepted[absorbed], 0)
    made[absorbed] = np.where(moves, 0, accepted[absorbed])
    return made


def planted_move(teams: Teams, integrated_on: I64) -> I64:
    """W (or the organic move of who never integrates), as a day number.

    The organic clock runs from the subscription, the plan's from T0. Both waits are rounded up, so
    a team that moves later than its habit moves at T0 + ceil(min(plan, organic left)).
    """
    organic = np.where(
        np.isfinite(teams.organic_wait_days),
        teams.eligible_on + np.ceil(np.minimum(teams.organic_wait_days, NEVER)),
        NEVER,
    ).astype(np.int64)
    moves = np.isfinite(teams.plan_wait_days) & (integrated_on < NEVER)
    by_plan = np.where(
        moves, integrated_on + np.ceil(np.minimum(teams.plan_wait_days, NEVER)), NEVER
    ).astype(np.int64)
    return np.minimum(np.minimum(organic, by_plan), NEVER)


def organic_move(teams: Teams) -> I64:
    """The move of the same team had it never had the plan."""
    return planted_move(teams, np.full(len(teams), NEVER, dtype=np.int64))


def share(teams: Teams, horizon: int) -> F64:
    """P(W - T0 <= h) of each team, given integrated and not on the cloud at T0."""
    by_plan = -np.expm1(-((horizon / teams.move_scale_days) ** teams.move_shape))
    return 1.0 - (1.0 - teams.moves_share * by_plan) * np.exp(-teams.organic_per_day * horizon)


def itt_share(teams: Teams, integrated_on: I64, horizon: int) -> F64:
    """P(move - subscription <= h) of each team, given the day its habit formed."""
    left = np.clip(horizon - (integrated_on - teams.subscribed_on), 0, horizon)
    by_plan = -np.expm1(-((left / teams.move_scale_days) ** teams.move_shape))
    at_once = decoys.with_bill(decoys.Bill.RUSH)[teams.decoy]
    organic = np.exp(-teams.organic_per_day * horizon)
    return np.where(at_once, 1.0, 1.0 - (1.0 - teams.moves_share * by_plan) * organic)


def _dates(settings: Settings, day: I64, last: int) -> pl.Series:
    origin = np.datetime64(settings.start, "D")
    inside = day <= last
    series = pl.Series((origin + np.where(inside, day, 0)).astype("datetime64[D]"))
    return series.zip_with(pl.Series(inside), pl.Series([None] * len(day), dtype=pl.Date))


def _names(codes: NDArray[np.int8] | I64, names: tuple[str, ...]) -> list[str]:
    return [names[c] for c in codes.tolist()]


def frame(
    settings: Settings,
    teams: Teams,
    labels: Labels,
    plan: I64,
    complete_on: int,
    shares_of: dict[int, F64],
    itt_shares_of: dict[int, F64],
) -> pl.DataFrame:
    """One row per account of the world: labels, segments, both outcomes and its true shares."""
    has_state = labels.state >= 0
    end = settings.days - 1
    can_move = decoys.with_bill(decoys.Bill.MOVES, decoys.Bill.DORMANT)[teams.decoy]
    planted_on = np.where(can_move, labels.planted_on, NEVER)
    without_on = np.where(can_move, organic_move(teams), NEVER)
    columns: dict[str, object] = {
        "team_id": [team_id(i) for i in teams.index.tolist()],
        "subscribed_on": _dates(settings, teams.subscribed_on, end),
        "integrated_on": _dates(settings, labels.integrated_on, end),
        "state_at_t0": [STATES[c] if c >= 0 else None for c in labels.state.tolist()],
        "moved_on": _dates(settings, labels.moved_on, complete_on),
        "censored_on": _dates(settings, censor_day(teams, complete_on), end),
        "merged_on": _dates(settings, teams.merged_on, end),
        "merged_into": pl.Series(
            [
                team_id(i - 1) if is_gone else None
                for i, is_gone in zip(
                    teams.index.tolist(), (teams.merged_on <= end).tolist(), strict=True
                )
            ],
            dtype=pl.String,
        ),
        "split_on": _dates(settings, teams.split_on, end),
        "region": _names(teams.region, REGIONS),
        "industry": _names(teams.industry, INDUSTRIES),
        "channel": _names(teams.channel, CHANNELS),
        "archetype": _names(teams.archetype, ARCHETYPES),
        "plan": _names(plan, PLANS),
        "size": _names(teams.size, SIZES),
        "decoy": _names(teams.decoy, decoys.NAMES),
        "intent": teams.intent,
        "offer": _names(teams.arm, ARMS),
        "takes_plan": teams.takes_plan,
        "takes_if_held_out": teams.takes_by_arm[:, 0],
        "takes_if_offered": teams.takes_by_arm[:, 1],
        "ads_arm": pl.Series(_names(teams.reach_arm, REACH_ARMS)).zip_with(
            pl.Series(teams.channel == CHANNELS.index("ads")),
            pl.Series([None] * len(teams), dtype=pl.String),
        ),
        "trial": _names(teams.trial_arm, TRIAL_ARMS),
        "is_brought_by_channel": teams.is_brought,
        "is_held_out_from_channel": teams.is_missing,
        "has_retaining_model": teams.is_retained,
        "quota_share_aimed": teams.fills,
        "eligible_on": _dates(settings, teams.eligible_on, end),
        "moves_with_plan_on": _dates(settings, planted_on, NEVER - 1),
        "moves_without_plan_on": _dates(settings, without_on, NEVER - 1),
    }
    for horizon in HORIZONS:
        columns[f"share_{horizon}"] = pl.Series(shares_of[horizon]).zip_with(
            pl.Series(has_state & (labels.state != STATES.index("native"))),
            pl.Series([None] * len(teams), dtype=pl.Float64),
        )
        known = (teams.subscribed_on + horizon < settings.days) & ~decoys.with_bill(
            decoys.Bill.STANDING, decoys.Bill.RECENT
        )[teams.decoy]
        columns[f"itt_share_{horizon}"] = pl.Series(itt_shares_of[horizon]).zip_with(
            pl.Series(known), pl.Series([None] * len(teams), dtype=pl.Float64)
        )
    return pl.DataFrame(columns)


def shares(accounts: pl.DataFrame) -> pl.DataFrame:
    """The population's closed-form truth, by segment and horizon.

    `share` is the mean over integrated new and dormant teams that are at risk for a day;
    `itt_share` the mean over non-native subscribers whose whole horizon lies inside the world.
    """
    population = accounts.filter(pl.col("subscribed_on").is_not_null())
    parts = []
    for segment in ("all", *SEGMENTS):
        value = pl.lit("all") if segment == "all" else pl.col(segment)
        for horizon in HORIZONS:
            parts.append(
                population.group_by(value=value)
                .agg(
                    teams=IS_AT_RISK.sum().cast(pl.Int64),
                    share=pl.col(f"share_{horizon}").filter(IS_AT_RISK).mean(),
                    itt_share=pl.col(f"itt_share_{horizon}").mean(),
                )
                .select(
                    segment=pl.lit(segment),
                    value="value",
                    horizon_days=pl.lit(horizon, pl.Int64),
                    teams="teams",
                    share="share",
                    itt_share="itt_share",
                )
                .sort("value")
            )
    return pl.concat(parts)


def write(folder: Path, accounts: pl.DataFrame) -> pl.DataFrame:
    """Write the truth files and return the shares.

    teams.parquet holds the metric's teams (who has a subscription), accounts.parquet everybody.
    """
    folder.mkdir(parents=True, exist_ok=True)
    population = shares(accounts)
    accounts.write_parquet(folder / "accounts.parquet")
    accounts.filter(pl.col("subscribed_on").is_not_null()).write_parquet(folder / "teams.parquet")
    population.write_parquet(folder / "shares.parquet")
    return population


def complete_day(newest_request: int, newest_charge: int) -> int:
    """C of the default as-of: A = 1 + the newest day in both families, C = A - lag - 28."""
    return min(newest_request, newest_charge) + 1 - LAG_DAYS - WINDOW_DAYS
