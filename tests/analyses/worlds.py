"""Small seeded worlds, written straight as the tables that the real SQL reads, with a known answer.

Belongs here: planted effects, nulls, and what makes a naive comparison wrong in each.
Does not belong here: the simulator's whole worlds (tests/simulate), what must be found (test_*.py).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

T0 = date(2025, 3, 1)
PLANS = np.array(["lite", "pro"])
Floats = NDArray[np.float64]


def chance(rng: np.random.Generator, logit: Floats) -> NDArray[np.bool_]:
    """A coin per unit, from its log-odds."""
    found: NDArray[np.bool_] = rng.random(len(logit)) < 1 / (1 + np.exp(-logit))
    return found


def names(count: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{n:06}" for n in range(count)]


def odds_ratio(exposed: NDArray[np.bool_], outcome: NDArray[np.bool_]) -> float:
    """The crude one."""
    a, b = (exposed & outcome).sum(), (exposed & ~outcome).sum()
    c, d = (~exposed & outcome).sum(), (~exposed & ~outcome).sum()
    return float(a * d / (b * c))


def cycles(seed: int, planted: float, teams: int = 1500, frailty: float = 0.0) -> pl.DataFrame:
    """journey.plan_cycles: demand makes a limit bind and, apart from it, makes a team renew.

    A bound 5-hour limit multiplies the odds of not renewing by `planted`, a bound monthly one does
    nothing. A team has cycles until it leaves, 3 at most; `frailty` is the spread of what each team
    is like, beyond what anybody sees.
    """
    rng = np.random.default_rng(seed)
    plan, own = rng.integers(0, 2, teams), frailty * rng.normal(0, 1, teams)
    usual = rng.normal(0, 1, teams)
    alive, parts = np.ones(teams, dtype=bool), []
    for number in (1, 2, 3):
        demand = usual + 0.3 * rng.normal(0, 1, teams)
        bound = chance(rng, -1.0 + 1.6 * demand)
        is_month = chance(rng, -1.0 + demand)
        logit = -0.6 - 1.2 * demand - 0.4 * plan + (number == 1) * 0.5 + own
        leaves = chance(rng, logit + np.log(planted) * (bound & ~is_month))
        attempted = np.maximum(np.rint(6000 * np.exp(0.5 * demand)), 1).astype(np.int64)
        by = np.where(bound, np.where(is_month, "month", "5h"), "none")
        part = pl.DataFrame(
            {
                "team_id": names(teams),
                "cycle_number": np.full(teams, number),
                "plan": PLANS[plan],
                "quota": np.full(teams, 18_000),
                "attempted": attempted,
                "bound_by": by,
                "blocked_days": bound.astype(np.int64),
                "blocked_hours": bound.astype(np.int64),
                "blocked_hours_5h": (by == "5h").astype(np.int64),
                "blocked_hours_week": np.zeros(teams, dtype=np.int64),
                "blocked_hours_month": (by == "month").astype(np.int64),
                "is_renewed": ~leaves,
                "next_event": np.where(leaves, "churned", "renewed"),
                "off_plan_after": np.zeros(teams, dtype=np.int64),
                "is_moved_after": np.zeros(teams, dtype=bool),
            }
        )
        parts.append(part.filter(pl.Series(alive)))
        alive = alive & ~leaves
    return pl.concat(parts)


@dataclass(frozen=True)
class MixWorld:
    """The tables, and the odds ratio of "ever used three models" that a dashboard would show."""

    tables: dict[str, pl.DataFrame]
    ever_three: float


def mix(seed: int, planted: float = 1.0, teams: int = 2000) -> MixWorld:
    """Who asks more uses more models and renews more; who stays goes on trying models.

    Using model m0 multiplies the odds of renewing by `planted`; the number of models does nothing.
    """
    rng = np.random.default_rng(seed)
    demand = rng.normal(0, 1, teams)
    plan, size = rng.integers(0, 2, teams), rng.integers(0, 2, teams)
    early = 1 + rng.binomial(3, 1 / (1 + np.exp(0.6 - 0.5 * demand)))
    order = rng.random((teams, 5)).argsort(axis=1)
    uses = np.zeros((teams, 5), dtype=bool)
    np.put_along_axis(uses, order, np.arange(5) < early[:, None], axis=1)
    logit = 0.5 + 0.4 * demand + 0.3 * plan + np.log(planted) * uses[:, 0]
    is_renewed = chance(rng, logit)
    late = np.where(is_renewed, rng.integers(0, 3, teams), 0)
    ever = np.zeros((teams, 5), dtype=bool)
    np.put_along_axis(ever, order, np.arange(5) < (early + late)[:, None], axis=1)
    requests = np.maximum(np.rint(400 * np.exp(0.8 * demand)), 40)
    team_ids = np.array(names(teams))

    def usage(used: NDArray[np.bool_], day: int) -> pl.DataFrame:
        who, model = np.nonzero(used)
        return pl.DataFrame(
            {
                "team_id": team_ids[who],
                "usage_on": [T0 + timedelta(days=day)] * len(who),
                "model": [f"m{m}" for m in model],
                "accepted": (requests[who] / used.sum(axis=1)[who]).astype(np.int64),
            }
        )

    tables = {
        "journey.teams": pl.DataFrame(
            {
                "team_id": team_ids,
                "integrated_on": [T0] * teams,
                "plan": PLANS[plan],
                "team_class": np.array(["solo", "small"])[size],
            }
        ),
        "journey.plan_cycles": pl.DataFrame(
            {
                "team_id": team_ids,
                "starts_on": [T0] * teams,
                "ends_on": [T0 + timedelta(days=30)] * teams,
                "is_renewed": is_renewed,
            }
        ),
        "fact.usage_days": pl.concat([usage(uses, 5), usage(ever & ~uses, 60)]),
    }
    return MixWorld(tables, odds_ratio(ever.sum(axis=1) >= 3, is_renewed))


@dataclass(frozen=True)
class Accounts:
    """The tables, what the comparison should find, and what a comparison without matching would."""

    tables: dict[str, pl.DataFrame]
    effect: float
    naive: float


def accounts(seed: int, plan_effect: float, count: int = 3000) -> Accounts:
    """Region, industry and prior spend drive both subscribing and moving.

    Each account subscribes on a day of its own or never; its workload begins at a rate of its own,
    which subscribing multiplies by `plan_effect`. `effect` is the mean over subscribers of their
    chance to move within 90 days of S less that of the accounts of the cell that hadn't subscribed
    by then (some do later), from the planted rates.
    """
    rng = np.random.default_rng(seed)
    region, industry = rng.integers(0, 2, count), rng.integers(0, 4, count)
    spends = rng.random(count) < 0.3
    wish = 0.8 * region + 0.35 * industry + 0.9 * spends
    subscribes = chance(rng, -2.2 + wish)
    s = np.where(subscribes, 150 + rng.integers(0, 150, count), 10_000)
    rate = 0.0004 * np.exp(wish)
    without = rng.exponential(1 / rate)
    after = rng.exponential(1 / (rate * plan_effect), count)
    onset = np.floor(np.where(without < s, without, s + np.minimum(after, 1e5))).astype(np.int64)
    is_own = subscribes & (onset >= s)
    cell = region * 100 + industry * 10 + spends
    differences = []
    for i in np.flatnonzero(is_own):
        others = (cell == cell[i]) & (s > s[i]) & (onset >= s[i])
        if others.any():
            before = np.clip(s[others] - s[i], 0, 91)
            hazard = rate[others] * (before + plan_effect * (91 - before))
            theirs = float((1 - np.exp(-hazard)).mean())
            differences.append(1 - np.exp(-91 * rate[i] * plan_effect) - theirs)
    never = ~subscribes & (onset >= 150)
    naive = (onset - s)[is_own] <= 90, (onset[never] - 150) <= 90
    ids = np.array(names(count))
    start, complete = date(2024, 11, 1), date(2025, 12, 1)
    days = np.datetime64(start) + np.minimum(s, 9_000)
    is_seen = onset <= (complete - start).days
    spend = _spend(ids[spends], start)
    return Accounts(
        {
            "journey.teams": pl.DataFrame(
                {
                    "team_id": ids,
                    "region": np.array(["domestic", "global"])[region],
                    "industry": [f"industry {i}" for i in industry],
                    "is_itt": is_own,
                    "subscribed_on": pl.Series(days).set(pl.Series(~subscribes), None),
                    "censored_on": [complete] * count,
                }
            ),
            "fact.teams": pl.DataFrame(
                {"team_id": ids, "opened_at": [datetime(2024, 11, 1, tzinfo=UTC)] * count}
            ),
            "journey.workload_days": spend,
            "journey.billed_teams": spend.group_by("team_id").agg(
                first_charge_on=pl.col("usage_on").min()
            ),
            "journey.qualifying_days": pl.DataFrame(
                {"team_id": ids[is_seen], "usage_on": np.datetime64(start) + onset[is_seen]}
            ),
        },
        effect=float(np.mean(differences)),
        naive=float(naive[0].mean() - naive[1].mean()),
    )


def _spend(ids: NDArray[Any], on: date) -> pl.DataFrame:
    """A little spend on one day, before everybody's S."""
    return pl.DataFrame({"team_id": ids, "usage_on": [on] * len(ids), "net_cny": [1.0] * len(ids)})
