"""The small tables: teams, account links, the experiments' assignments, what channels cost.

Belongs here: their CSV text, and which experiments are logged for whom. Does not belong here: how
the traits and arms came about (teams.py) and what they do (truth.py).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.simulate import dirt
from pipelines.simulate.names import names
from pipelines.simulate.streams import F64, I64, bits
from pipelines.simulate.subscriptions import customer_id
from pipelines.simulate.teams import (
    ARMS,
    CHANNELS,
    INDUSTRIES,
    LOOKBACK_DAYS,
    NEVER,
    REACH_ARMS,
    REGIONS,
    TRIAL_ARMS,
    Settings,
    Teams,
    account_id,
    merge_recorded_on,
    offshoot_id,
    second_account_id,
    team_id,
)

OFFER, REACH, TRIAL, PRICE = "launch-offer", "ads-holdout", "one-click-deploy", "price-test"
"""Experiments: the plan's offer, who sees ads, a packaging change that works, one that doesn't."""
LOST_OF_ARM = 0.3
"""Where a world plants a broken split: this part of the price test's treatment is never logged."""
_CHANNEL_COST_CNY = np.array([0, 420, 2_600, 900, 150])
"""By channel, an account that it reached."""
_LINKED_BEFORE_DAYS = 400


def _moment(settings: Settings, day: int, second: int = 0) -> str:
    midnight = datetime.combine(settings.on(day), time(), UTC) - timedelta(hours=8)
    return (midnight + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def known(settings: Settings, teams: Teams) -> Teams:
    """Accounts that exist before the world ends."""
    return teams.take(teams.eligible_on < settings.days)


def write(settings: Settings, teams: Teams, folder: Path) -> list[Path]:
    """Write the four tables; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    some = known(settings, teams)
    tables = {
        "teams.csv": _teams(settings, some),
        "account_links.csv": _links(settings, some),
        "assignments.csv": _assignments(settings, some),
        "channel_costs.csv": _channel_costs(settings, some),
    }
    for name, table in tables.items():
        table.write_csv(folder / name)
    return [folder / name for name in tables]


def _teams(settings: Settings, some: Teams) -> pl.DataFrame:
    read = names(settings.seed)
    opened = np.minimum(some.eligible_on, 0) - LOOKBACK_DAYS - 1 - some.index % 700
    return pl.DataFrame(
        {
            "team_id": [team_id(i) for i in some.index.tolist()],
            "region": [REGIONS[c] for c in some.region.tolist()],
            "industry": [INDUSTRIES[c] for c in some.industry.tolist()],
            "channel": [CHANNELS[c] for c in some.channel.tolist()],
            "opened_at": [_moment(settings, d, 36_000) for d in opened.tolist()],
            "company": read.companies(some.index, some.region),
            "office": read.offices(some.index, some.region),
            "project": read.projects(some.index),
        }
    )


def _links(settings: Settings, some: Teams) -> pl.DataFrame:
    """Billing accounts and Stripe customers; a second account is recorded weeks late.

    A merge moves every id of the absorbed team to the survivor from its day on, recorded up to
    weeks later. A split moves the second account alone: its compute, and so its clock, stays.
    """
    since = _moment(settings, -LOOKBACK_DAYS - _LINKED_BEFORE_DAYS)
    first = _moment(settings, -LOOKBACK_DAYS)
    rows: list[tuple[str, str, str, str, None, str, str, float]] = []
    has_second = dirt.second_account(settings, some)
    recorded = merge_recorded_on(settings, some)
    for k, i in enumerate(some.index.tolist()):
        team = team_id(i)
        rows.append(("billing", account_id(i), team, since, None, first, "contract", 1.0))
        if some.is_stripe[k]:
            at = _moment(settings, int(some.eligible_on[k]))
            rows.append(("stripe", customer_id(i), team, since, None, at, "metadata", 1.0))
        if some.split_on[k] < NEVER:
            rows.append(
                ("billing", second_account_id(i), team, since, None, first, "contract", 1.0)
            )
        elif has_second[k]:
            late = _moment(settings, int(some.eligible_on[k]) + 25, 50_000)
            rows.append(("billing", second_account_id(i), team, since, None, late, "merge", 0.9))
        if some.split_on[k] < settings.days:
            on, late = (_moment(settings, int(some.split_on[k]) + later) for later in (0, 6))
            own, to = second_account_id(i), offshoot_id(i)
            rows.append(("billing", own, to, on, None, late, "split", 0.9))
        if some.merged_on[k] < settings.days:
            on = _moment(settings, int(some.merged_on[k]))
            late = _moment(settings, int(recorded[k]), 61_000)
            for source, own in _ids(some, k, bool(has_second[k])):
                rows.append((source, own, team_id(i - 1), on, None, late, "merge", 0.95))
    names = (
        "source",
        "source_id",
        "team_id",
        "valid_from",
        "valid_to",
        "recorded_at",
        "method",
    )
    return pl.DataFrame(rows, schema=[*names, "confidence"], orient="row")


def _ids(some: Teams, k: int, has_second: bool) -> list[tuple[str, str]]:
    """Every (source, id) that is one team's own."""
    i = int(some.index[k])
    ids = [("litellm" if some.is_litellm[k] else "gateway", team_id(i)), ("billing", account_id(i))]
    ids.append(("stripe", customer_id(i)) if some.is_stripe[k] else ("plan", team_id(i)))
    return ids + [("billing", second_account_id(i))] * has_second


def assigned_on(settings: Settings, some: Teams) -> I64:
    """The day on which an account is assigned to be offered the plan, or not."""
    return np.asarray(
        some.eligible_on - bits(settings.streams.words("assigned at", some.index), 0, 2)
    )


def _assignments(settings: Settings, some: Teams) -> pl.DataFrame:
    """Everybody who was eligible, whether they took the plan or not; trials when they subscribe."""
    word = settings.streams.words("assigned at", some.index)
    second = bits(word, 2, 15)
    team = np.array([team_id(i) for i in some.index.tolist()])
    before = assigned_on(settings, some)
    everybody = np.ones(len(some), dtype=bool)
    pays = some.subscribed_on < settings.days
    is_logged = (some.price_arm == 0) | (
        settings.streams.uniform("lost assignment", some.index)
        >= LOST_OF_ARM * settings.preset.has_broken_split
    )
    parts = []
    for experiment, who, arm, arms, on, at in (
        (OFFER, everybody, some.arm, ARMS, before, second),
        (REACH, some.channel == CHANNELS.index("ads"), some.reach_arm, REACH_ARMS, before, second),
        (TRIAL, pays, some.trial_arm, TRIAL_ARMS, some.subscribed_on, second // 2),
        (PRICE, pays & is_logged, some.price_arm, TRIAL_ARMS, some.subscribed_on, second // 2),
    ):
        w = np.flatnonzero(who)
        moments = zip(on[w].tolist(), at[w].tolist(), strict=True)
        parts.append(
            pl.DataFrame(
                {
                    "team": team[w],
                    "experiment": [experiment] * len(w),
                    "arm": [arms[c] for c in arm[w].tolist()],
                    "assigned_at": [_moment(settings, d, s) for d, s in moments],
                },
                schema=dict.fromkeys(("team", "experiment", "arm", "assigned_at"), pl.String),
            )
        )
    return pl.concat(parts)


def spend(settings: Settings, some: Teams) -> tuple[np.datetime64, F64]:
    """The first month, and CNY by (month, channel): a price per reached account that moves by
    15 % from month to month."""
    month = (np.datetime64(settings.start, "D") + some.eligible_on).astype("datetime64[M]")
    first = np.datetime64(settings.start, "M")
    number: I64 = (month - first).astype(np.int64)
    brought = np.zeros((int(number.max(initial=0)) + 1, len(CHANNELS)))
    np.add.at(brought, (number, some.channel.astype(np.intp)), ~some.is_missing)
    cell = np.arange(brought.size).reshape(brought.shape)
    price = _CHANNEL_COST_CNY * (0.85 + 0.3 * settings.streams.uniform("price of reach", cell))
    return first, np.round(brought * price, 2)


def _channel_costs(settings: Settings, some: Teams) -> pl.DataFrame:
    """Spend by month."""
    first, amounts = spend(settings, some)
    rows = [
        (f"{first + m}-01", channel, f"{amounts[m, code]:.2f}", "CNY")
        for m in range(len(amounts))
        for code, channel in enumerate(CHANNELS)
    ]
    return pl.DataFrame(rows, schema=["month", "channel", "spend", "currency"], orient="row")
