"""The plan as it is sold: cycles, first-month price, renewal, upgrade, end.

Belongs here: cycle arithmetic, prices, and the events in two dialects (canonical rows, Stripe
webhooks).
Does not belong here: how a team decides to renew (its traits are in teams.py) and the plan fee as a
billing row (charges.py asks `paid_cycles`).
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from pipelines.simulate.streams import I64, bits
from pipelines.simulate.teams import CURRENCIES, PLANS, Settings, Teams, team_id

LIST_FEN = np.array([[4_000, 20_000], [1_000, 5_000]])
"""Monthly price in minor units by currency (CNY, USD) and plan (lite, pro)."""
FIRST_FEN = np.array([[790, 3_990], [200, 1_000]])
_ZONE_SECONDS = 8 * 3600


@dataclass(frozen=True)
class PaidCycles:
    """One row per paid plan month that began inside the world, in (team, cycle) order."""

    team: I64
    cycle: I64
    starts_on: I64
    ends_on: I64
    plan: I64
    amount_fen: I64
    list_fen: I64
    second: I64
    is_upgrade: np.ndarray[tuple[int], np.dtype[np.bool_]]


def cycle_day(settings: Settings, subscribed_on: I64, cycle: I64) -> I64:
    """The first day of a cycle: the subscription's day of the month, or the month's last day."""
    origin = np.datetime64(settings.start, "D")
    day = origin + subscribed_on
    month = day.astype("datetime64[M]")
    day_of_month = (day - month.astype("datetime64[D]")).astype(np.int64)
    target = month + cycle
    length = ((target + 1).astype("datetime64[D]") - target.astype("datetime64[D]")).astype(
        np.int64
    )
    begin = (target.astype("datetime64[D]") - origin).astype(np.int64)
    return np.asarray(begin + np.minimum(day_of_month, length - 1))


def end_day(settings: Settings, teams: Teams) -> I64:
    """The first day without the plan (far away for who never leaves)."""
    ends = np.array(teams.subscribed_on)
    has = teams.takes_plan
    cycles = np.minimum(teams.cycles[has], 1200)
    ends[has] = cycle_day(settings, teams.subscribed_on[has], cycles)
    return ends


def plan_at(settings: Settings, teams: Teams, day: I64) -> I64:
    """The plan held on a day (index into PLANS)."""
    has = teams.takes_plan & (teams.upgrade_cycle < teams.cycles)
    plan = teams.first_plan.astype(np.int64)
    since = cycle_day(settings, teams.subscribed_on[has], teams.upgrade_cycle[has])
    plan[has] = np.where(day[has] >= since, 1, plan[has])
    return plan


def paid_cycles(settings: Settings, teams: Teams) -> PaidCycles:
    """Every plan month bought before the world ends."""
    at = np.flatnonzero(teams.takes_plan & (teams.subscribed_on < settings.days))
    most = (settings.days - teams.subscribed_on[at]) // 28 + 1
    count = np.minimum(teams.cycles[at], most)
    row = np.repeat(at, count)
    cycle = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    starts = cycle_day(settings, teams.subscribed_on[row], cycle)
    inside = starts < settings.days
    row, cycle, starts = row[inside], cycle[inside], starts[inside]
    ends = cycle_day(settings, teams.subscribed_on[row], cycle + 1)
    upgraded = cycle >= teams.upgrade_cycle[row]
    plan = np.where(upgraded, 1, teams.first_plan[row]).astype(np.int64)
    currency = teams.currency[row]
    list_fen = LIST_FEN[currency, plan]
    word = settings.streams.words("payment time", teams.index[row])
    return PaidCycles(
        team=row,
        cycle=cycle,
        starts_on=starts,
        ends_on=ends,
        plan=plan,
        amount_fen=np.where(cycle == 0, FIRST_FEN[currency, plan], list_fen),
        list_fen=list_fen,
        second=8 * 3600 + bits(word, 0, 15).astype(np.int64),
        is_upgrade=cycle == teams.upgrade_cycle[row],
    )


def _moment(settings: Settings, day: int, second: int) -> datetime:
    midnight = datetime.combine(settings.on(day), datetime.min.time(), UTC)
    return midnight + timedelta(seconds=second - _ZONE_SECONDS)


@dataclass(frozen=True)
class Event:
    """One subscription event of one team."""

    at: datetime
    team: int
    name: str
    plan: int
    begins: datetime
    ends: datetime
    list_fen: int
    paid_fen: int
    currency: int
    is_first: bool
    number: int


def events(
    settings: Settings, teams: Teams, cycles: PaidCycles, first: int, last: int
) -> Iterator[tuple[bool, Event]]:
    """(is_stripe, event) for the subscription events of the days first..last, in team order."""
    begins_now = (cycles.starts_on >= first) & (cycles.starts_on <= last)
    is_end = cycles.cycle + 1 == teams.cycles[cycles.team]
    ends_now = is_end & (cycles.ends_on >= first) & (cycles.ends_on <= last)
    for k in np.flatnonzero(begins_now | ends_now).tolist():
        at = int(cycles.team[k])
        number = int(cycles.cycle[k])
        second = int(cycles.second[k])
        begins = _moment(settings, int(cycles.starts_on[k]), second)
        name = "upgraded" if cycles.is_upgrade[k] else "renewed"
        event = Event(
            at=begins,
            team=int(teams.index[at]),
            name=name if number else "started",
            plan=int(cycles.plan[k]),
            begins=begins,
            ends=_moment(settings, int(cycles.ends_on[k]), second),
            list_fen=int(cycles.list_fen[k]),
            paid_fen=int(cycles.amount_fen[k]),
            currency=int(teams.currency[at]),
            is_first=number == 0,
            number=number,
        )
        if begins_now[k]:
            yield bool(teams.is_stripe[at]), event
        if ends_now[k]:
            end = Event(**{**event.__dict__, "at": event.ends, "name": "ended", "paid_fen": 0})
            yield bool(teams.is_stripe[at]), end


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def canonical_line(event: Event) -> str:
    """An event as one line of the canonical JSONL; amounts keep two decimals."""
    promotion = '"first-month"' if event.is_first else "null"
    ended = event.name == "ended"
    paid = "null" if ended else f"{event.paid_fen / 100:.2f}"
    return (
        f'{{"event_id":"sub-{event.team:07d}-{event.number:03d}-{event.name}",'
        f'"team":"{team_id(event.team)}","plan":"{PLANS[event.plan]}","event":"{event.name}",'
        f'"occurred_at":"{_utc(event.at)}","period_start":"{_utc(event.begins)}",'
        f'"period_end":"{_utc(event.ends)}","list_amount":{event.list_fen / 100:.2f},'
        f'"net_amount":{paid},"currency":"{CURRENCIES[event.currency]}","promotion":{promotion}}}'
    )


def customer_id(index: int) -> str:
    """The Stripe customer of a team."""
    return f"cus_{index:014d}"


def stripe_lines(event: Event) -> Iterator[str]:
    """An event as Stripe webhooks: the subscription's own, and the paid invoice beside it.

    Every second team sends the API of before 2025-03-31 (the period on the subscription), the
    others the API since then (the period on each item).
    """
    currency = CURRENCIES[event.currency].lower()
    is_old = event.team % 2 == 0
    begins, ends = (calendar.timegm(m.utctimetuple()) for m in (event.begins, event.ends))
    at = calendar.timegm(event.at.utctimetuple())
    customer, key = customer_id(event.team), f"{event.team:07d}{event.number:03d}"
    plan = PLANS[event.plan]
    period = {"current_period_start": begins, "current_period_end": ends}
    price = {
        "id": f"price_{plan}_{currency}",
        "object": "price",
        "currency": currency,
        "lookup_key": plan,
        "nickname": f"Coding Plan {plan.capitalize()}",
        "product": f"prod_coding_plan_{plan}",
        "recurring": {"interval": "month", "interval_count": 1},
        "type": "recurring",
        "unit_amount": event.list_fen,
    }
    metadata = {"team_id": team_id(event.team), "plan": plan}
    item = {
        "id": f"si_{event.team:014d}",
        "object": "subscription_item",
        "price": price,
        "quantity": 1,
    }
    is_end = event.name == "ended"
    subscription = {
        "id": f"sub_{event.team:014d}",
        "object": "subscription",
        "customer": customer,
        "status": "canceled" if is_end else "active",
        "cancel_at_period_end": is_end,
        "ended_at": at if is_end else None,
        "currency": currency,
        "items": {"object": "list", "data": [item if is_old else {**item, **period}]},
        "metadata": metadata,
        **(period if is_old else {}),
    }
    kind = {"started": "created", "ended": "deleted"}.get(event.name, "updated")
    envelope = {
        "object": "event",
        "api_version": "2020-08-27" if is_old else "2025-03-31.basil",
        "created": at,
        "livemode": False,
        "pending_webhooks": 1,
    }
    body = {"object": subscription}
    yield json.dumps(
        {
            "id": f"evt_{key}{kind}",
            **envelope,
            "type": f"customer.subscription.{kind}",
            "data": body,
        },
        separators=(",", ":"),
    )
    if is_end:
        return
    line = {
        "id": f"il_{key}",
        "object": "line_item",
        "amount": event.paid_fen,
        "currency": currency,
        "period": {"start": begins, "end": ends},
        "price": price,
        "subscription": subscription["id"],
    }
    invoice = {
        "id": f"in_{key}",
        "object": "invoice",
        "customer": customer,
        "subscription": subscription["id"],
        "billing_reason": "subscription_create" if event.is_first else "subscription_cycle",
        "status": "paid",
        "currency": currency,
        "subtotal": event.list_fen,
        "total": event.paid_fen,
        "amount_paid": event.paid_fen,
        "amount_due": event.paid_fen,
        "lines": {"object": "list", "data": [line]},
        "metadata": metadata,
    }
    yield json.dumps(
        {
            "id": f"evt_{key}paid",
            **envelope,
            "type": "invoice.paid",
            "data": {"object": invoice},
        },
        separators=(",", ":"),
    )
