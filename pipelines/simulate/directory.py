"""The small tables: teams, account links, the offer's assignments, what channels cost.

Belongs here: their CSV text. Does not belong here: how the traits came about (teams.py).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.simulate import dirt
from pipelines.simulate.streams import I64, bits
from pipelines.simulate.subscriptions import customer_id
from pipelines.simulate.teams import (
    ARMS,
    CHANNELS,
    INDUSTRIES,
    LOOKBACK_DAYS,
    REGIONS,
    Settings,
    Teams,
    account_id,
    second_account_id,
    team_id,
)

EXPERIMENT = "launch-offer"
_CHANNEL_COST_CNY = {
    "organic": 0,
    "ads": 420,
    "sales": 2_600,
    "partner": 900,
    "campus": 150,
}
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
    opened = np.minimum(some.eligible_on, 0) - LOOKBACK_DAYS - 1 - some.index % 700
    return pl.DataFrame(
        {
            "team_id": [team_id(i) for i in some.index.tolist()],
            "region": [REGIONS[c] for c in some.region.tolist()],
            "industry": [INDUSTRIES[c] for c in some.industry.tolist()],
            "channel": [CHANNELS[c] for c in some.channel.tolist()],
            "opened_at": [_moment(settings, d, 36_000) for d in opened.tolist()],
        }
    )


def _links(settings: Settings, some: Teams) -> pl.DataFrame:
    """Billing accounts and Stripe customers; a second account is recorded weeks late."""
    since = _moment(settings, -LOOKBACK_DAYS - _LINKED_BEFORE_DAYS)
    first = _moment(settings, -LOOKBACK_DAYS)
    rows: list[tuple[str, str, str, str, None, str, str, float]] = []
    has_second = dirt.second_account(settings, some)
    for k, i in enumerate(some.index.tolist()):
        team = team_id(i)
        rows.append(("billing", account_id(i), team, since, None, first, "contract", 1.0))
        if some.is_stripe[k]:
            at = _moment(settings, int(some.eligible_on[k]))
            rows.append(("stripe", customer_id(i), team, since, None, at, "metadata", 1.0))
        if has_second[k]:
            late = _moment(settings, int(some.eligible_on[k]) + 25, 50_000)
            rows.append(("billing", second_account_id(i), team, since, None, late, "merge", 0.9))
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


def _assignments(settings: Settings, some: Teams) -> pl.DataFrame:
    """Everybody who was eligible, whether they took the plan or not."""
    word = settings.streams.words("assigned at", some.index)
    before = bits(word, 0, 2)
    second = bits(word, 2, 15).tolist()
    days = (some.eligible_on - before).tolist()
    return pl.DataFrame(
        {
            "team": [team_id(i) for i in some.index.tolist()],
            "experiment": [EXPERIMENT] * len(some),
            "arm": [ARMS[c] for c in some.arm.tolist()],
            "assigned_at": [_moment(settings, d, s) for d, s in zip(days, second, strict=True)],
        }
    )


def _channel_costs(settings: Settings, some: Teams) -> pl.DataFrame:
    """Spend by month: a price per account that the channel brought."""
    month = (np.datetime64(settings.start, "D") + some.eligible_on).astype("datetime64[M]")
    first = np.datetime64(settings.start, "M")
    number: I64 = (month - first).astype(np.int64)
    rows = []
    for m in range(int(number.max(initial=0)) + 1):
        for code, channel in enumerate(CHANNELS):
            brought = int(((number == m) & (some.channel == code)).sum())
            spend = _CHANNEL_COST_CNY[channel] * brought
            rows.append((f"{first + m}-01", channel, f"{spend}.00", "CNY"))
    return pl.DataFrame(rows, schema=["month", "channel", "spend", "currency"], orient="row")
