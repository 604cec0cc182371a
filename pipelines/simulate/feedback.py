"""Quotas that answer back: demand meets nested limits, refusals frustrate, frustration leaves.

Belongs here: the quota engine with its real reset rules (5 h rolling, week from Monday 00:00 UTC+8,
month from the subscription day), renewal that depends on what was refused, the daily Markov chain
of a team, and its exact distribution by matrix product.
Does not belong here: demand itself (requests.py) and the closed-form tier's clocks (teams.py).

What a team wants to ask does not depend on its state, so refusals are a function of demand alone
and the chain's transition matrices are known day by day: truth needs no sampling.
What is decided of these worlds is kept whole in memory; the closed-form tier is the one for size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.simulate import decoys, requests, truth
from pipelines.simulate.streams import F64, I64, Streams, bits, to_unit
from pipelines.simulate.subscriptions import cycle_day, end_day
from pipelines.simulate.teams import (
    KEEP_FIRST,
    KEEP_LATER,
    NEVER,
    PLANS,
    Settings,
    Teams,
    build,
    team_id,
)

FIVE_HOURS = np.array([1_200, 6_000])
WEEK = np.array([9_000, 45_000])
MONTH = np.array([18_000, 90_000])
"""Requests by plan (lite, pro): help.aliyun.com/zh/model-studio/coding-plan."""

STATES = ("calm", "frustrated", "churned", "moved on plan", "moved after", "left early")
CALM, FRUSTRATED, CHURNED, MOVED_ON, MOVED_AFTER, LEFT = range(6)
FRUSTRATES = 0.55
"""A day with a refusal frustrates a calm team this often; a day without calms one so often:"""
CALMS = 0.08
UPSET_DAYS = 3
"""So long after a refusal a team leans on its other models and takes on smaller tasks."""
_MOVES_A_DAY = np.array([0.0062, 0.0032, 0.0016, 0.0010, 0.0016])
_SLOWER_FRUSTRATED, _SLOWER_CHURNED = 0.5, 0.35

DEMAND_SLOPE = 0.28
"""Who asks more renews more: log-odds of leaving per unit of log(attempted / monthly quota)."""
_LOGIT_BASE, _LOGIT_FIRST_MONTH = -2.25, 0.5
_BLOCK_CELLS = 60_000
Columns = TypeVar("Columns", Teams, requests.Counts)


@dataclass(frozen=True)
class Whole:
    """Everything a feedback world decides before its rows are written."""

    teams: Teams
    counts: requests.Counts
    shares: dict[int, F64]
    itt_shares: dict[int, F64]
    cycles: pl.DataFrame


def cycle_numbers(settings: Settings, teams: Teams, days: int) -> tuple[I64, NDArray[np.bool_]]:
    """Cycle number by (team, day), -1 before the subscription, and whether a cycle starts there."""
    number = np.full((len(teams), days), -1, dtype=np.int64)
    starts = np.zeros((len(teams), days), dtype=bool)
    row = np.flatnonzero(teams.subscribed_on < days)
    for k in range(days // 28 + 2):
        day = cycle_day(settings, teams.subscribed_on[row], np.full(len(row), k))
        row, day = row[day < days], day[day < days]
        starts[row, day] = True
        number[row, day] = 1
    number[starts] = 1
    return np.where(starts.cumsum(axis=1) > 0, starts.cumsum(axis=1) - 1, -1), starts


def meet_quotas(
    settings: Settings,
    teams: Teams,
    wanted: requests.I32,
    cycle: I64,
    starts: NDArray[np.bool_],
) -> requests.Counts:
    """What of the wanted calls is accepted and what refused, day by day, as if nobody ever left.

    A busy day is two sittings more than five hours apart, so the rolling limit is a limit on each.
    Refused once, people try a few more times and give up.
    """
    count, days = wanted.shape
    word = settings.streams.grid("sittings", teams.index, np.arange(days))
    first_part = 0.5 + 0.5 * bits(word, 0, 12) / 4096
    patience = 12 + bits(word, 12, 5)
    pro = (cycle >= teams.upgrade_cycle[:, None]) | (teams.first_plan == 1)[:, None]
    plan = pro.astype(np.intp)
    week_used = np.zeros(count, dtype=np.int64)
    month_used = np.zeros(count, dtype=np.int64)
    sittings = np.zeros((count, days, 6), dtype=np.int16)
    for day in range(days):
        if (settings.start.weekday() + day) % 7 == 0:
            week_used[:] = 0
        month_used[starts[:, day]] = 0
        p = plan[:, day]
        morning = np.ceil(wanted[:, day] * first_part[:, day]).astype(np.int64)
        for k, ask in enumerate((morning, wanted[:, day] - morning)):
            left_week, left_month = WEEK[p] - week_used, MONTH[p] - month_used
            accepted = np.minimum(np.minimum(ask, FIVE_HOURS[p]), np.minimum(left_week, left_month))
            refused = np.minimum(ask - accepted, patience[:, day])
            limit = np.where(accepted == left_month, 2, np.where(accepted == left_week, 1, 0))
            week_used += accepted
            month_used += accepted
            sittings[:, day, 3 * k] = accepted
            sittings[:, day, 3 * k + 1] = refused
            sittings[:, day, 3 * k + 2] = limit
    ok = (sittings[:, :, 0] + sittings[:, :, 3]).astype(np.int32)
    refused = (sittings[:, :, 1] + sittings[:, :, 4]).astype(np.int32)
    return requests.Counts(
        ok, np.zeros_like(ok), refused, ~decoys.IS_OFF_PLAN[teams.decoy], sittings
    )


@lru_cache(maxsize=1)
def whole(settings: Settings) -> Whole:
    """A feedback world: who stays how long, who moves when, and what they call.

    Decided for a block of teams at a time, because the deciding holds far more than its outcome.
    """
    days = settings.days + max(truth.HORIZONS) + 1
    step = max(1, _BLOCK_CELLS // days)
    blocks = [
        _decide(settings, build(settings, a, min(a + step, settings.teams)), days)
        for a in range(0, settings.teams, step)
    ]
    return Whole(
        teams=_joined(Teams, [b.teams for b in blocks]),
        counts=_joined(requests.Counts, [b.counts for b in blocks]),
        shares={h: np.concatenate([b.shares[h] for b in blocks]) for h in truth.HORIZONS},
        itt_shares={h: np.concatenate([b.itt_shares[h] for b in blocks]) for h in truth.HORIZONS},
        cycles=pl.concat([b.cycles for b in blocks]),
    )


def _joined(kind: type[Columns], parts: Sequence[Columns]) -> Columns:
    """Parts of a record of arrays, one below the other."""
    columns: dict[str, Any] = {}
    for name in (f.name for f in fields(kind)):
        values = [getattr(part, name) for part in parts]
        columns[name] = None if values[0] is None else np.concatenate(values)
    return kind(**columns)


def _decide(settings: Settings, base: Teams, days: int) -> Whole:
    """The world of some teams. `days` reaches past the world's end, to where truth is told."""
    forever = replace(base, cycles=np.full(len(base), 1_000))
    plain = requests.counts(settings, forever, np.arange(days))
    cycle, starts = cycle_numbers(settings, base, days)
    met = meet_quotas(settings, base, plain.ok, cycle, starts)
    met = replace(met, bad=np.where(met.refused > 0, 0, plain.bad).astype(np.int32))
    habit = truth.habit_day(met.accepted >= 3, requests.weekdays(settings, np.arange(days)))
    if settings.preset.renewal == "logit":
        cycles, table = _renew_by_demand(settings, base, met, cycle)
        teams = replace(base, cycles=cycles)
        shares = {h: truth.share(teams, h) for h in truth.HORIZONS}
        seen = cut(settings, teams, met)
        real_habit = truth.habit_day(
            seen.accepted >= 3, requests.weekdays(settings, np.arange(settings.days))
        )
        itt = {h: truth.itt_share(teams, real_habit, h) for h in truth.HORIZONS}
        return Whole(teams, seen, shares, itt, table)
    teams, shares, itt = _chain(settings, base, met, cycle, starts, habit)
    at_once = decoys.with_bill(decoys.Bill.RUSH)[teams.decoy]
    itt = {h: np.where(at_once, 1.0, share) for h, share in itt.items()}
    table = _cycle_table(settings, teams, met, cycle)
    return Whole(teams, cut(settings, teams, met), shares, itt, table)


def cut(settings: Settings, teams: Teams, met: requests.Counts) -> requests.Counts:
    """The counts inside the world, and none after the plan ended."""
    days = settings.days
    on = np.arange(days)[None, :] < end_day(settings, teams)[:, None]
    assert met.sittings is not None
    refused = np.where(on, met.refused[:, :days], 0).astype(np.int32)
    upset = np.zeros(refused.shape, dtype=bool)
    for ago in range(1, UPSET_DAYS + 1):
        upset[:, ago:] |= refused[:, :-ago] > 0
    return requests.Counts(
        np.where(on, met.ok[:, :days], 0).astype(np.int32),
        np.where(on, met.bad[:, :days], 0).astype(np.int32),
        refused,
        met.is_on_plan,
        np.where(on[:, :, None], met.sittings[:, :days], 0).astype(np.int16),
        upset,
    )


def _leave_odds(settings: Settings, teams: Teams) -> tuple[F64, F64]:
    """Odds of leaving at the end of the first and of a later cycle, when calm."""
    first, later = KEEP_FIRST[teams.archetype], KEEP_LATER[teams.archetype]
    less = np.exp(-settings.preset.model_log_odds * teams.is_retained)
    return (1 - first) / first * less, (1 - later) / later * less


def _chain(
    settings: Settings,
    teams: Teams,
    met: requests.Counts,
    cycle: I64,
    starts: NDArray[np.bool_],
    habit: I64,
) -> tuple[Teams, dict[int, F64], dict[int, F64]]:
    """One path of every team's chain, and its exact distribution."""
    s: Streams = settings.streams
    count, days = met.ok.shape
    draws = [to_unit(s.grid(f"chain {k}", teams.index, np.arange(days))) for k in range(3)]
    odds = np.stack(_leave_odds(settings, teams), axis=1)
    ratio = np.exp(settings.preset.quota_log_odds)
    speed = settings.preset.plan_effect * _MOVES_A_DAY[teams.archetype]
    speed = np.where(decoys.NEVER_MOVES[teams.decoy], 0.0, speed)
    refused = met.refused > 0
    slower = _SLOWER_FRUSTRATED if settings.preset.has_slow_frustrated else 1.0

    state = np.full(count, -1)
    churned_on = np.full(count, NEVER)
    moved_on = np.full(count, NEVER)
    law = np.zeros((count, len(STATES)))
    given = np.zeros_like(law)
    shares = {h: np.zeros(count) for h in truth.HORIZONS}
    itt = {h: np.zeros(count) for h in truth.HORIZONS}
    for day in range(days):
        born = teams.subscribed_on == day
        state[born] = CALM
        law[born, CALM] = 1.0
        leaving = np.zeros((count, 2))
        ends = starts[:, day] & ~born
        which = np.minimum(cycle[:, day] - 1, 1)
        own = np.where(ends, np.take_along_axis(odds, np.maximum(which, 0)[:, None], 1)[:, 0], 0.0)
        leaving[:, CALM] = own / (1 + own)
        leaving[:, FRUSTRATED] = own * ratio / (1 + own * ratio)
        to = np.where(habit < day, CHURNED, LEFT)
        up = np.where(refused[:, day], FRUSTRATES, 0.0)
        down = np.where(refused[:, day], 0.0, CALMS)
        hazard = np.where(habit < day, speed, 0.0)
        law = _step(law, leaving, to, up, down, hazard, slower)
        given = _step(given, leaving, to, up, down, hazard, slower)
        formed = habit == day
        on_plan = law[formed, CALM] + law[formed, FRUSTRATED]
        for mood in (CALM, FRUSTRATED):
            given[formed, mood] = law[formed, mood] / np.maximum(on_plan, 1e-300)
        for h in truth.HORIZONS:
            due: NDArray[np.bool_] = habit + h == day
            shares[h][due] = given[due, MOVED_ON] + given[due, MOVED_AFTER]
            due = teams.subscribed_on + h == day
            itt[h][due] = law[due, MOVED_ON] + law[due, MOVED_AFTER]

        on = (state == CALM) | (state == FRUSTRATED)
        leaves = on & (draws[0][:, day] < leaving[np.arange(count), np.clip(state, 0, 1)])
        churned_on[leaves] = day
        state[leaves] = to[leaves]
        upset = (state == CALM) & (draws[1][:, day] < up)
        calmed = (state == FRUSTRATED) & (draws[1][:, day] < down)
        state[upset], state[calmed] = FRUSTRATED, CALM
        factor = np.select(
            [state == CALM, state == FRUSTRATED, state == CHURNED],
            [1.0, slower, _SLOWER_CHURNED],
            0.0,
        )
        moves = draws[2][:, day] < hazard * factor
        moved_on[moves] = day
        state[moves] = np.where(state[moves] == CHURNED, MOVED_AFTER, MOVED_ON)
    # A team that moved on the plan keeps it: its later renewals do not touch the metric.
    kept = np.where(churned_on < NEVER, np.take_along_axis(
        cycle, np.minimum(churned_on, days - 1)[:, None], 1)[:, 0], 1_000)  # fmt: skip
    integrated = (habit < NEVER) & (habit < churned_on)
    wait = np.where((moved_on < NEVER) & integrated, moved_on - habit - 0.5, np.inf)
    made = replace(
        teams,
        cycles=np.maximum(kept, 1),
        plan_wait_days=wait,
        organic_wait_days=np.full(count, np.inf),
        organic_per_day=np.zeros(count),
    )
    return made, shares, itt


def _step(
    law: F64,
    leaving: F64,
    to: NDArray[np.intp],
    up: F64,
    down: F64,
    hazard: F64,
    slower: float = _SLOWER_FRUSTRATED,
) -> F64:
    """One day: the product with the matrices of renewal, of mood and of moving, in this order."""
    new = law.copy()
    gone = law[:, :2] * leaving
    new[:, :2] -= gone
    np.add.at(new, (np.arange(len(law)), to), gone.sum(axis=1))
    upset, calmed = new[:, CALM] * up, new[:, FRUSTRATED] * down
    new[:, CALM] += calmed - upset
    new[:, FRUSTRATED] += upset - calmed
    for state, factor, target in (
        (CALM, 1.0, MOVED_ON),
        (FRUSTRATED, slower, MOVED_ON),
        (CHURNED, _SLOWER_CHURNED, MOVED_AFTER),
    ):
        part = new[:, state] * hazard * factor
        new[:, state] -= part
        new[:, target] += part
    return new


def _by_cycle(met: requests.Counts, cycle: I64) -> tuple[I64, I64, I64]:
    """Accepted calls, refused calls, and refused days by limit, for each (team, cycle)."""
    assert met.sittings is not None
    width = int(cycle.max(initial=0)) + 1
    place = np.where(cycle >= 0, cycle, width)
    row = np.broadcast_to(np.arange(len(cycle))[:, None], cycle.shape)
    accepted = np.zeros((len(cycle), width + 1), dtype=np.int64)
    refused = np.zeros_like(accepted)
    np.add.at(accepted, (row, place), met.ok)
    np.add.at(refused, (row, place), met.refused)
    limits = np.zeros((len(cycle), width + 1, 3), dtype=np.int64)
    for k in (0, 3):
        hit = met.sittings[:, :, k + 1] > 0
        np.add.at(limits, (row[hit], place[hit], met.sittings[:, :, k + 2][hit]), 1)
    return accepted[:, :width], refused[:, :width], limits[:, :width]


def _renew_by_demand(
    settings: Settings, teams: Teams, met: requests.Counts, cycle: I64
) -> tuple[I64, pl.DataFrame]:
    """Cycles each team buys when a bound limit multiplies the odds of leaving."""
    accepted, refused, _ = _by_cycle(met, cycle)
    width = accepted.shape[1]
    number = np.arange(width)[None, :]
    pro = (number >= teams.upgrade_cycle[:, None]) | (teams.first_plan == 1)[:, None]
    attempted = accepted + refused
    quota = MONTH[pro.astype(np.intp)]
    x = np.log(np.maximum(attempted, 1) / quota)
    logit = _LOGIT_BASE - DEMAND_SLOPE * x + settings.preset.quota_log_odds * (refused > 0)
    logit = logit + np.where(number == 0, _LOGIT_FIRST_MONTH, 0.0)
    logit -= settings.preset.model_log_odds * teams.is_retained[:, None]
    leave = 1 / (1 + np.exp(-logit))
    draw = to_unit(settings.streams.grid("renewal", teams.index, np.arange(width)))
    leaves = draw < leave
    cycles = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 1, width).astype(np.int64)
    made = replace(teams, cycles=cycles)
    return cycles, _cycle_table(settings, made, met, cycle, leave)


def _cycle_table(
    settings: Settings,
    teams: Teams,
    met: requests.Counts,
    cycle: I64,
    leave: F64 | None = None,
) -> pl.DataFrame:
    """One row per plan month that ended inside the world: what bound, was it renewed."""
    accepted, refused, limits = _by_cycle(met, cycle)
    width = accepted.shape[1]
    number = np.broadcast_to(np.arange(width)[None, :], accepted.shape)
    row, k = np.nonzero((number < teams.cycles[:, None]) & (teams.subscribed_on < NEVER)[:, None])
    since = cycle_day(settings, teams.subscribed_on[row], k)
    until = cycle_day(settings, teams.subscribed_on[row], k + 1)
    inside = until < settings.days
    row, k, since, until = row[inside], k[inside], since[inside], until[inside]
    origin = np.datetime64(settings.start, "D")
    pro = (k >= teams.upgrade_cycle[row]) | (teams.first_plan[row] == 1)
    columns: dict[str, object] = {
        "team_id": [team_id(i) for i in teams.index[row].tolist()],
        "cycle": k,
        "starts_on": (origin + since).astype("datetime64[D]"),
        "ends_on": (origin + until).astype("datetime64[D]"),
        "plan": [PLANS[int(p)] for p in pro.tolist()],
        "accepted": accepted[row, k],
        "refused": refused[row, k],
        "sittings_refused_5h": limits[row, k, 0],
        "sittings_refused_week": limits[row, k, 1],
        "sittings_refused_month": limits[row, k, 2],
        "renewed": k + 1 < teams.cycles[row],
    }
    if leave is not None:
        columns["true_leave_share"] = leave[row, k]
    return pl.DataFrame(columns)
