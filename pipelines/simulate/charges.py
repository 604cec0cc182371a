"""What the cloud bills: FOCUS 1.0 rows of every account, month by month, export by export.

Belongs here: runs of workload (when they start, how much a day), the rows that come of them,
credits, refunds, the plan fee, wrong-key inference and cents, and the CSV snapshots that re-state
open months.
Does not belong here: when a team moves (truth.planted_move) and which decoy it is (decoys.py).

Money is counted in 1e-12 of the account's currency as 64-bit integers, so files and truth agree
exactly.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from pipelines.simulate import decoys, dirt
from pipelines.simulate.decoys import Bill
from pipelines.simulate.names import Names
from pipelines.simulate.streams import F64, I64, bits, mix, to_unit
from pipelines.simulate.subscriptions import paid_cycles
from pipelines.simulate.teams import (
    CURRENCIES,
    LOOKBACK_DAYS,
    NEVER,
    Settings,
    Teams,
    account_id,
    second_account_id,
)

UNIT = 10**12
CNY_PER_USD = 7.0
"""Only for the simulator's own judgement: planted amounts keep far from every threshold, so any
rate between 6 and 8 gives the same labels."""

NORMAL, FREE, CREDITED_DAILY, CREDITED_LUMP, FLOOR, REFUNDED, WORKDAYS, BURST = range(8)
REFUND_RUN_DAYS, REFUND_AFTER_DAYS = 24, 28
_DELAY_DAYS = np.array([0, 18, 55, 85])
_HAS_FAMILY = np.array([1.0, 0.55, 0.34, 0.22])
_PART = np.array([1.0, 0.14, 0.45, 0.07])
FAMILIES = ("deploy", "storage", "database", "observability")
_VOUCHER_DAYS = 20

_SERVICE = {
    "ecs": (
        "Elastic Compute Service",
        "Compute",
        "ecs",
        "ecs.instance",
        "Instance-Hours",
    ),
    "ack": (
        "Container Service for Kubernetes",
        "Compute",
        "csk",
        "cluster",
        "Cluster-Hours",
    ),
    "fc": ("Function Compute", "Compute", "fc", "function", "CU"),
    "oss": ("Object Storage Service", "Storage", "oss", "bucket", "GB"),
    "rds": ("ApsaraDB RDS", "Databases", "rds", "DB instance", "Instance-Hours"),
    "sls": ("Simple Log Service", "Management and Governance", "sls", "project", "GB"),
    "cms": ("CloudMonitor", "Management and Governance", "cms", "monitor", "Calls"),
    "sfm": (
        "Model Studio",
        "AI and Machine Learning",
        "maas_inference_dp_cn",
        "model",
        "1K Tokens",
    ),
    "plan": (
        "Model Studio",
        "AI and Machine Learning",
        "sfm_codingplan_dp_cn",
        "plan",
        "Month",
    ),
    "sms": ("Short Message Service", "Other", "dysms", "template", "Messages"),
    "odd": ("Quantum Widget Service", "Other", "qws", "widget", "Widgets"),
    "none": (None, "Other", None, None, None),
}
SERVICES = tuple(_SERVICE)
_DEPLOY = np.array([SERVICES.index(c) for c in ("ecs", "ack", "fc")])
_FAMILY_SERVICE = np.array([-1] + [SERVICES.index(c) for c in ("oss", "rds", "sls")])
CATEGORIES = ("Usage", "Purchase", "Credit", "Adjustment")
_REGION = {0: ("cn-hangzhou", "China (Hangzhou)"), 1: ("ap-southeast-1", "Singapore")}


@dataclass(frozen=True)
class Runs:
    """Stretches of workload: [starts_on, ends_on) of one account each, in day numbers."""

    team: I64
    starts_on: I64
    ends_on: I64
    mode: NDArray[np.int8]
    daily: F64
    number: NDArray[np.int8]

    def take(self, where: NDArray[np.bool_] | I64) -> Runs:
        """Some of the runs."""
        return Runs(**{k: v[where] for k, v in self.__dict__.items()})


def runs(settings: Settings, teams: Teams, integrated_on: I64, moves_on: I64) -> Runs:
    """Every run of every account; `team` points into `teams`."""
    s, i = settings.streams, teams.index
    at = np.arange(len(teams))
    bill = teams.decoy
    start = teams.eligible_on
    u = s.uniform("run start", i)
    stops = s.uniform("run stops", i)
    usd = np.where(teams.currency == 1, CNY_PER_USD, 1.0)
    daily = np.clip(np.exp(np.log(24.0) + 1.1 * ndtri(s.uniform("run size", i))), 6.0, 2_500.0)
    daily *= np.sqrt(teams.members) / usd
    flat = np.maximum(12.0, np.minimum(daily * usd, 60.0)) / usd
    lasts = np.where(
        stops < settings.preset.workloads_end, 45 - 150 * np.log(s.uniform("run length", i)), NEVER
    )
    lasts = np.minimum(lasts, NEVER).astype(np.int64)
    parts: list[Runs] = []

    def add(
        kind: NDArray[np.bool_],
        begins: I64,
        ends: I64,
        mode: int,
        size: F64,
        number: int,
    ) -> None:
        w = np.flatnonzero(kind)
        full = np.full(len(w), mode, dtype=np.int8)
        parts.append(
            Runs(
                at[w],
                begins[w],
                ends[w],
                full,
                size[w],
                np.full(len(w), number, dtype=np.int8),
            )
        )

    def billed(*kinds: Bill) -> NDArray[np.bool_]:
        return decoys.with_bill(*kinds)[bill]

    # A decoy starts after its habit, so that everything but its one clause is in place.
    habit = np.minimum(integrated_on, start + 60)
    later = habit + 3 + np.floor(40 * u).astype(np.int64)
    later = np.where(start >= NEVER, NEVER, later)
    add(billed(Bill.MOVES, Bill.DORMANT), moves_on, moves_on + lasts, NORMAL, daily, 1)
    rush = start + np.floor(5 * u).astype(np.int64)
    add(billed(Bill.RUSH), rush, rush + lasts, NORMAL, daily, 1)
    standing = np.maximum(-LOOKBACK_DAYS, start - 30 - np.floor(500 * u).astype(np.int64))
    add(billed(Bill.STANDING), standing, start + 30 + lasts, NORMAL, daily, 1)
    recent = np.maximum(-LOOKBACK_DAYS, start - 1 - np.floor(25 * u).astype(np.int64))
    add(billed(Bill.RECENT), recent, start + 30 + lasts, NORMAL, daily, 1)
    length = 32 + np.floor(18 * stops).astype(np.int64)
    room = np.maximum(start + 20 - length, 0)
    past = -LOOKBACK_DAYS + np.floor(u * (room + 1)).astype(np.int64)
    add(billed(Bill.DORMANT), past, past + length, NORMAL, flat, 0)
    add(billed(Bill.FREE), later, later + 120, FREE, flat, 1)
    add(billed(Bill.CREDITED_DAILY), later, later + 120, CREDITED_DAILY, flat, 1)
    add(billed(Bill.CREDITED_LUMP), later, later + 120, CREDITED_LUMP, flat, 1)
    add(billed(Bill.BURST), later, later + 9, BURST, flat * 10, 1)
    add(billed(Bill.BELOW_FLOOR), later, later + 90, FLOOR, 0.9 / usd, 1)
    add(billed(Bill.REFUNDED), later, later + REFUND_RUN_DAYS, REFUNDED, flat, 1)
    add(billed(Bill.WORKDAYS), later, later + 150, WORKDAYS, flat, 1)
    joined = [
        np.concatenate(column) for column in zip(*(p.__dict__.values() for p in parts), strict=True)
    ]
    every = Runs(*joined)
    closes = np.where(teams.closes_cloud, teams.merged_on, NEVER)[every.team]
    every = replace(every, ends_on=np.minimum(every.ends_on, closes))
    every = every.take((every.starts_on < settings.days) & (every.ends_on > every.starts_on))
    return every.take(np.lexsort((every.number, every.team)))


def amounts(settings: Settings, teams: Teams, some: Runs, days: I64) -> I64:
    """Usage cost by (run, day, family), in 1e-12 of the account's currency, before credits."""
    s = settings.streams
    index = teams.index[some.team] * 2 + some.number
    since = days[None, :] - some.starts_on[:, None]
    inside = (since >= 0) & (days[None, :] < some.ends_on[:, None])
    week = (settings.start.weekday() + days) % 7
    word = s.grid("workload", index, days)
    own = s.words("workload shape", index)
    is_normal = (some.mode == NORMAL)[:, None]
    # Many workloads rest one day a week (never the first day): 24 billable days of 28 at the least.
    rests = (bits(own, 0, 8) < 90)[:, None]
    rest_day = 1 + (own >> np.uint64(8)).astype(np.int64)[:, None] % 6
    on = inside & ~(is_normal & rests & (since % 7 == rest_day))
    on &= ~((some.mode == WORKDAYS)[:, None] & (week >= 5)[None, :])
    most = 0.2 + 2.5 * to_unit(mix(own)) * settings.preset.charge_growth
    growth = np.where(is_normal, 1 + np.clip(since, 0, 300) / 300 * most[:, None], 1.0)
    noise = np.where((some.mode == FLOOR)[:, None], 1.0, 0.8 + 0.4 * bits(word, 0, 12) / 4096)
    level = some.daily[:, None] * growth * noise
    cost = np.zeros((len(some.team), len(days), len(FAMILIES)), dtype=np.int64)
    for family in range(len(FAMILIES)):
        begins = np.floor(_DELAY_DAYS[family] * to_unit(mix(own + np.uint64(family)))).astype(
            np.int64
        )
        has = bits(own, 16 + 8 * family, 8) < 256 * _HAS_FAMILY[family]
        has &= (some.mode == NORMAL) | (family == 0)
        running = on & has[:, None] & (since >= begins[:, None])
        if family == 0:
            value = np.floor(level * _PART[family] * 1e4) * 1e8
        else:
            value = np.floor(level * _PART[family] * 1e9) * 1e3
        np.copyto(cost[:, :, family], value.astype(np.int64), where=running)
    return cost


def _voucher(settings: Settings, teams: Teams, some: Runs, days: I64, cost: I64) -> I64:
    """A new customer's voucher: a fifth off the compute of the first days, a row a day."""
    has = settings.streams.uniform("voucher", teams.index[some.team]) < 0.15
    has &= (some.mode == NORMAL) & (some.number == 1)
    since = days[None, :] - some.starts_on[:, None]
    fifth = cost[:, :, 0] // (5 * 10**6) * 10**6
    return np.where(has[:, None] & (since >= 0) & (since < _VOUCHER_DAYS), -fifth, 0)


def _lump_days(settings: Settings, some: Runs, days: I64) -> NDArray[np.bool_]:
    """Days covered by a lump credit: blocks of a week, cut at month ends, credited when over."""
    since = days[None, :] - some.starts_on[:, None]
    until = days + (6 - (days % 7))
    month_end = np.array([_month_end(settings, int(d)) for d in days])
    until = np.minimum(np.minimum(until, month_end)[None, :], some.ends_on[:, None] - 1)
    return np.asarray((since >= 0) & (until < settings.days))


def net(settings: Settings, teams: Teams, some: Runs, days: I64) -> F64:
    """Net workload cost in CNY by (team, day): what the rows of this module sum to."""
    total = np.zeros((len(teams), len(days)))
    if not len(some.team):
        return total
    cost = amounts(settings, teams, some, days)
    value = cost.sum(axis=2) + _voucher(settings, teams, some, days, cost)
    free = (some.mode == FREE) | (some.mode == CREDITED_DAILY)
    value[free] = 0
    refunded = (some.mode == REFUNDED) & (some.starts_on + REFUND_AFTER_DAYS < settings.days)
    value[refunded] = 0
    lump = some.mode == CREDITED_LUMP
    value[lump[:, None] & _lump_days(settings, some, days)] = 0
    rate = np.where(teams.currency[some.team] == 1, CNY_PER_USD, 1.0)
    np.add.at(total, some.team, value / UNIT * rate[:, None])
    # From the day of a merge on, what the absorbed team's account is charged is the survivor's.
    absorbed = np.flatnonzero(teams.merged_on < NEVER)
    moves = days[None, :] >= teams.merged_on[absorbed, None]
    total[absorbed - 1] += np.where(moves, total[absorbed], 0.0)
    total[absorbed] = np.where(moves, 0.0, total[absorbed])
    return total


@dataclass(frozen=True)
class Lines:
    """Charge rows before they are text; `posted_on` decides the billing month."""

    team: I64
    day: I64
    last_day: I64
    posted_on: I64
    service: I64
    billed: I64
    effective: I64
    listed: I64
    category: I64
    is_correction: NDArray[np.bool_]
    is_project: NDArray[np.bool_]
    detail: I64

    @staticmethod
    def make(
        team: I64,
        day: I64,
        service: I64 | int,
        billed: I64,
        *,
        effective: I64 | None = None,
        listed: I64 | None = None,
        posted_on: I64 | None = None,
        last_day: I64 | None = None,
        category: I64 | int = 0,
        is_correction: bool = False,
        is_project: bool = True,
        detail: I64 | int = 0,
    ) -> Lines:
        """Rows from what differs; scalars are spread."""
        n = len(team)

        def column(value: I64 | int) -> I64:
            return np.broadcast_to(np.asarray(value, dtype=np.int64), (n,))

        return Lines(
            team=team,
            day=day,
            last_day=day if last_day is None else last_day,
            posted_on=day if posted_on is None else posted_on,
            service=column(service),
            billed=billed,
            effective=billed if effective is None else effective,
            listed=billed if listed is None else listed,
            category=column(category),
            is_correction=np.full(n, is_correction),
            is_project=np.full(n, is_project),
            detail=column(detail),
        )


def join(parts: list[Lines]) -> Lines:
    """Lines one after another."""
    columns = zip(*(p.__dict__.values() for p in parts), strict=True)
    return Lines(*(np.concatenate(c) for c in columns))


def _month_end(settings: Settings, day: int) -> int:
    on = settings.on(day)
    last = on.replace(day=calendar.monthrange(on.year, on.month)[1])
    return (last - settings.start).days


def months(settings: Settings) -> list[tuple[int, int]]:
    """[first, last] day number of every billing month, cut at the world's ends."""
    spans, day = [], -LOOKBACK_DAYS
    while day < settings.days:
        last = _month_end(settings, day)
        spans.append((day, min(last, settings.days - 1)))
        day = last + 1
    return spans


def lines(settings: Settings, teams: Teams, every: Runs, first: int, last: int) -> Lines:
    """All rows that are posted on the days first..last."""
    days = np.arange(first, last + 1)
    touching = every.take((every.starts_on <= last) & (every.ends_on > first))
    parts = [
        *_usage(settings, teams, touching, days),
        *_refunds(settings, teams, every, first, last),
        *_plan_fees(settings, teams, first, last),
        *_wrong_key(settings, teams, days),
        *_noise(settings, teams, days),
    ]
    return join(parts)


def _deploy_service(settings: Settings, teams: Teams, some: Runs) -> I64:
    """Which kind of compute a run deploys on."""
    word = settings.streams.words("deploy service", teams.index[some.team])
    return np.asarray(_DEPLOY[(word >> np.uint64(40)).astype(np.int64) % len(_DEPLOY)])


def _usage(settings: Settings, teams: Teams, some: Runs, days: I64) -> Iterator[Lines]:
    cost = amounts(settings, teams, some, days)
    deploy = _deploy_service(settings, teams, some)
    is_free = some.mode == FREE
    # A reserved workload is bought once a month; its days then bill nothing and cost their part.
    reserved = (settings.streams.uniform("reserved", teams.index[some.team]) < 0.15) & (
        some.mode == NORMAL
    )
    reserved &= teams.has_effective[some.team]
    for family in range(len(FAMILIES)):
        run, k = np.nonzero(cost[:, :, family])
        value = cost[run, k, family]
        service = deploy[run] if family == 0 else np.full(len(run), _FAMILY_SERVICE[family])
        billed = np.where(is_free[run] | (reserved[run] & (family == 0)), 0, value)
        effective = np.where(is_free[run], 0, value)
        yield Lines.make(
            some.team[run], days[k], service, billed, effective=effective, listed=value
        )
    bought = np.flatnonzero(reserved & (cost[:, :, 0].sum(axis=1) > 0))
    if len(bought):
        month = np.arange(days[0], _month_end(settings, int(days[0])) + 1)
        total = amounts(settings, teams, some.take(bought), month)[:, :, 0].sum(axis=1)
        first_day = days[(cost[bought, :, 0] > 0).argmax(axis=1)]
        yield Lines.make(
            some.team[bought],
            first_day,
            deploy[bought],
            total,
            effective=total * 0,
            category=1,
        )
    credit = _voucher(settings, teams, some, days, cost)
    credit = np.where((some.mode == CREDITED_DAILY)[:, None], -cost[:, :, 0], credit)
    run, k = np.nonzero(credit)
    yield Lines.make(some.team[run], days[k], deploy[run], credit[run, k], category=2)
    lump = np.flatnonzero(some.mode == CREDITED_LUMP)
    if len(lump):
        covered = np.where(_lump_days(settings, some.take(lump), days), cost[lump, :, 0], 0)
        for block in np.unique(days // 7):
            inside = np.flatnonzero(days // 7 == block)
            total = covered[:, inside].sum(axis=1)
            has = np.flatnonzero(total)
            own = lump[has]
            begin = np.maximum(days[inside[0]], some.starts_on[own])
            until = np.minimum(days[inside[-1]], some.ends_on[own] - 1)
            none = SERVICES.index("none")
            team = some.team[own]
            yield Lines.make(team, begin, none, -total[has], last_day=until, category=2)


def _refunds(
    settings: Settings, teams: Teams, every: Runs, first: int, last: int
) -> Iterator[Lines]:
    posted = every.starts_on + REFUND_AFTER_DAYS
    some = every.take((every.mode == REFUNDED) & (posted >= first) & (posted <= last))
    deploy = _deploy_service(settings, teams, some)
    for j in range(len(some.team)):
        one = some.take(np.array([j]))
        days = np.arange(one.starts_on[0], one.ends_on[0])
        cost = amounts(settings, teams, one, days)[0, :, 0]
        n = len(days)
        yield Lines.make(
            np.repeat(one.team, n),
            days,
            np.repeat(deploy[j], n),
            -cost,
            posted_on=np.repeat(one.starts_on + REFUND_AFTER_DAYS, n),
            is_correction=True,
        )


def _plan_fees(settings: Settings, teams: Teams, first: int, last: int) -> Iterator[Lines]:
    """The plan's fee: a purchase; of the decoys that have nothing else, amortised by day."""
    paid = paid_cycles(settings, teams)
    fee = paid.amount_fen * 10**10
    plan = SERVICES.index("plan")
    is_spread = teams.decoy[paid.team] == decoys.CODE["plan_fee"]
    w = np.flatnonzero((paid.starts_on >= first) & (paid.starts_on <= last))
    yield Lines.make(
        paid.team[w],
        paid.starts_on[w],
        plan,
        fee[w],
        effective=np.where(is_spread[w], 0, fee[w]),
        listed=paid.list_fen[w] * 10**10,
        category=1,
        is_project=False,
        detail=paid.plan[w],
    )
    w = np.flatnonzero(is_spread & (paid.starts_on <= last) & (paid.ends_on > first))
    days = np.arange(first, last + 1)
    inside = (days[None, :] >= paid.starts_on[w, None]) & (days[None, :] < paid.ends_on[w, None])
    row, k = np.nonzero(inside)
    part = fee[w] // (paid.ends_on[w] - paid.starts_on[w])
    yield Lines.make(
        paid.team[w[row]],
        days[k],
        plan,
        np.zeros(len(row), dtype=np.int64),
        effective=part[row],
        listed=part[row],
        is_project=False,
        detail=paid.plan[w[row]],
    )


def _wrong_key(settings: Settings, teams: Teams, days: I64) -> Iterator[Lines]:
    at = np.flatnonzero(decoys.IS_OFF_PLAN[teams.decoy] & (teams.subscribed_on <= days[-1]))
    word = settings.streams.grid("wrong key", teams.index[at], days)
    on = days[None, :] >= teams.subscribed_on[at, None]
    team, k = np.nonzero(on & (((settings.start.weekday() + days) % 7) < 5)[None, :])
    value = (2 + bits(word[team, k], 0, 12).astype(np.int64)) * 10**10
    yield Lines.make(at[team], days[k], SERVICES.index("sfm"), value, is_project=False)


def _noise(settings: Settings, teams: Teams, days: I64) -> Iterator[Lines]:
    """Cents of log delivery, free quota and text messages: what makes "any charge" a bad rule."""
    kind = settings.streams.uniform("noise", teams.index)
    span = (60 * settings.streams.uniform("noise days", teams.index)).astype(np.int64)
    begins = teams.eligible_on + (span // 3)
    on = (days[None, :] >= begins[:, None]) & (days[None, :] < (begins + span)[:, None])
    on[decoys.IS_BILLED_DECOY[teams.decoy]] = False  # these break one clause, and no other
    on[np.minimum(teams.merged_on, teams.absorbs_on) < NEVER] = (
        False  # two cents make a billable day
    )
    for service, low, high, value in (
        ("oss", 0.0, 0.15, 2_100_000_000),
        ("sls", 0.0, 0.15, 700_000_000),
        ("fc", 0.15, 0.25, 0),
        ("sms", 0.25, 0.30, 45 * 10**9),
    ):
        at = np.flatnonzero((kind >= low) & (kind < high))
        team, k = np.nonzero(on[at])
        cost = value // np.where(teams.currency[at[team]] == 1, 8, 1)
        listed = np.maximum(cost, 3 * 10**10)
        yield Lines.make(at[team], days[k], SERVICES.index(service), cost, listed=listed)
    at = np.flatnonzero(dirt.odd_service(settings, teams))
    team, k = np.nonzero(on[at])
    yield Lines.make(at[team], days[k], SERVICES.index("odd"), np.full(len(team), 3 * 10**12))


COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory",
    "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "Id",
    "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
)  # fmt: skip
"""The columns of FOCUS 1.0 as multi-cloud exports write them (with the extra `Id`)."""


def _decimal(units: I64) -> pl.Series:
    """1e-12 units as decimal text, two to twelve digits after the point."""
    frame = pl.DataFrame({"v": units, "a": np.abs(units)})
    part = (pl.col("a") % UNIT).cast(pl.String).str.zfill(12)
    digits = pl.concat_str(part.str.slice(0, 2), part.str.slice(2).str.strip_chars_end("0"))
    sign = pl.when(pl.col("v") < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    whole = (pl.col("a") // UNIT).cast(pl.String)
    return frame.select(pl.concat_str(sign, whole, pl.lit("."), digits)).to_series()


def focus(settings: Settings, teams: Teams, names: Names, made: Lines, month: int) -> pl.DataFrame:
    """Rows of one billing month as the text of a FOCUS file; `month` is any day number in it."""
    index = teams.index[made.team]
    is_global = teams.region[made.team] == 1
    # Domestic bills are cut at midnight UTC+8, global ones at midnight UTC: one business day each.
    shift = np.where(is_global, 0, -8)
    origin = np.datetime64(settings.start, "D")

    def clock(day: I64) -> pl.Series:
        at = (origin + day).astype("datetime64[h]") + shift
        return pl.Series(at.astype("datetime64[ms]")).dt.strftime("%Y-%m-%d %H:%M:%S")

    on = settings.on(month)
    begin = (on.replace(day=1) - settings.start).days
    after = _month_end(settings, month) + 1
    n = len(index)
    facts = {k: [_SERVICE[c][k] for c in SERVICES] for k in range(5)}

    def service(k: int) -> pl.Series:
        return pl.Series(facts[k], dtype=pl.String).gather(made.service)

    def chosen(options: list[str | None], codes: NDArray[Any]) -> pl.Series:
        return pl.Series(options, dtype=pl.String).gather(codes.astype(np.int64))

    accounts = pl.Series([account_id(i) for i in teams.index.tolist()]).gather(made.team)
    seconds = pl.Series([second_account_id(i) for i in teams.index.tolist()]).gather(made.team)
    has_second = dirt.second_account(settings, teams) | (teams.split_on < NEVER)
    elsewhere = has_second[made.team] & np.isin(made.service, _FAMILY_SERVICE)
    accounts = seconds.zip_with(pl.Series(elsewhere), accounts)
    currency = chosen(list(CURRENCIES), teams.currency[made.team])
    null = pl.Series([None] * n, dtype=pl.String)
    plan = SERVICES.index("plan")
    is_fee = made.service == plan
    sfm = SERVICES.index("sfm")
    cost = _decimal(made.billed)
    effective = _decimal(made.effective).zip_with(pl.Series(teams.has_effective[made.team]), null)
    category = chosen(list(CATEGORIES), made.category)
    text = np.where(is_fee, 1 + made.detail, np.where(made.service == sfm, 3, 0))
    text = np.where(made.category == 2, 4, np.where(made.is_correction, 5, text))
    description = chosen(
        [None, "sfm Coding Plan Lite monthly fee", "sfm Coding Plan Pro monthly fee",
         "Model inference qwen3-coder-plus, pay-as-you-go", "Voucher", "Refund of usage"],
        text,
    )  # fmt: skip
    description = description.fill_null(
        pl.select(pl.concat_str(service(0), pl.lit(" usage"))).to_series()
    )
    region = {k: chosen([_REGION[0][k], _REGION[1][k]], is_global.astype(np.int64)) for k in (0, 1)}
    project = made.is_project.astype(bool)
    resource = pl.select(
        pl.concat_str(service(2), pl.lit("-"), pl.Series(index).cast(pl.String).str.zfill(7))
    ).to_series()
    project_names = names.projects(index)
    tags = pl.select(
        pl.concat_str(pl.lit('{"project": "'), project_names, pl.lit('"}'))
    ).to_series()
    identity = settings.streams.words("focus id", index * 16_384 + made.day) >> np.uint64(24)
    columns = dict.fromkeys(COLUMNS, null) | {
        "BilledCost": cost,
        "BillingAccountId": accounts,
        "BillingAccountName": names.companies(index, teams.region[made.team]),
        "BillingCurrency": currency,
        "BillingPeriodEnd": clock(np.full(n, after)),
        "BillingPeriodStart": clock(np.full(n, begin)),
        "ChargeCategory": category,
        "ChargeClass": chosen([None, "Correction"], made.is_correction.astype(np.int64)),
        "ChargeDescription": description,
        "ChargeFrequency": chosen(["Usage-Based", "Recurring", "One-Time"],
                                  np.where(is_fee, 1, np.where(made.category == 0, 0, 2))),
        "ChargePeriodEnd": clock(made.last_day + 1),
        "ChargePeriodStart": clock(made.day),
        "ConsumedUnit": service(4),
        "EffectiveCost": effective,
        "InvoiceIssuerName": chosen(
            ["Alibaba Cloud Computing Co., Ltd.", "Alibaba Cloud (Singapore) Private Limited"],
            is_global.astype(np.int64),
        ),
        "ListCost": _decimal(made.listed),
        "PricingCategory": chosen(["Standard", "Committed"],
                                  (made.billed == 0) & (made.effective != 0)),
        "PricingUnit": service(4),
        "ProviderName": pl.Series(["Alibaba Cloud"]).new_from_index(0, n),
        "PublisherName": pl.Series(["Alibaba Cloud"]).new_from_index(0, n),
        "RegionId": region[0],
        "RegionName": region[1],
        "ResourceId": resource.zip_with(pl.Series(project), null),
        "ResourceType": service(3).zip_with(pl.Series(project), null),
        "ServiceCategory": service(1),
        "Id": pl.Series(identity).cast(pl.String),
        "ServiceName": service(0),
        "SkuId": service(2),
        "SubAccountId": accounts.zip_with(pl.Series(~project), pl.select(
            pl.concat_str(pl.lit("rg-"), accounts)).to_series()),
        "SubAccountName": project_names.zip_with(pl.Series(project), null),
        "Tags": tags.zip_with(pl.Series(project), null),
    }  # fmt: skip
    return pl.DataFrame({name: columns[name] for name in COLUMNS})


@dataclass(frozen=True)
class Snapshot:
    """One export: a folder name, the file in it, what it covers and when it was recorded."""

    folder: str
    number: int
    first: int
    last: int
    is_final: bool
    recorded_on: date


def snapshots(settings: Settings) -> list[Snapshot]:
    """Exports: on the 11th a first statement of the open month, on the 3rd the whole month.

    The world's last, open month is stated once more on the day after its last day.
    """
    exports: list[Snapshot] = []
    for first, last in months(settings):
        opened = settings.on(first)
        early = opened.replace(day=11)
        early_day = (early - settings.start).days
        close = settings.on(_month_end(settings, first)) + timedelta(days=3)
        close = min(close, settings.on(settings.days))
        if first < early_day <= last and early < close:
            exports.append(Snapshot(early.isoformat(), 1, first, early_day - 1, False, early))
        taken = sum(e.folder == close.isoformat() for e in exports)
        exports.append(Snapshot(close.isoformat(), taken + 1, first, last, True, close))
    return exports


def export(
    settings: Settings, teams: Teams, names: Names, every: Runs, what: Snapshot
) -> pl.DataFrame:
    """The rows of one export. A first statement lacks a few rows and guesses the rest too low."""
    made = lines(settings, teams, every, what.first, what.last)
    if not what.is_final:
        key = teams.index[made.team] * 16_384 + made.day
        keep = settings.streams.uniform("first statement", key) > 0.04
        columns = {k: v[keep] for k, v in made.__dict__.items()}
        for money in ("billed", "effective"):
            columns[money] = columns[money] // 10**7 * 9 * 10**6
        made = Lines(**columns)
    return focus(settings, teams, names, made, what.first)


HOUSE_ACCOUNT = "1000000000000001"


def house(settings: Settings, what: Snapshot) -> pl.DataFrame:
    """The export job's own storage, a fraction of a cent on every day: coverage has no hole."""
    days, month = np.arange(what.first, what.last + 1), what.first
    begin = settings.on(month).replace(day=1)
    after = settings.on(_month_end(settings, month) + 1)
    n = len(days)

    def clock(on: date) -> str:
        return f"{on - timedelta(days=1)} 16:00:00"

    def same(value: str | None) -> pl.Series:
        return pl.Series([value] * n, dtype=pl.String)

    columns = {name: same(None) for name in COLUMNS} | {
        "BilledCost": same("0.00031"),
        "BillingAccountId": same(HOUSE_ACCOUNT),
        "BillingAccountName": same("Export job"),
        "BillingCurrency": same("CNY"),
        "BillingPeriodEnd": same(clock(after)),
        "BillingPeriodStart": same(clock(begin)),
        "ChargeCategory": same("Usage"),
        "ChargeDescription": same("Object Storage Service usage"),
        "ChargeFrequency": same("Usage-Based"),
        "ChargePeriodEnd": pl.Series([clock(settings.on(d + 1)) for d in days.tolist()]),
        "ChargePeriodStart": pl.Series([clock(settings.on(d)) for d in days.tolist()]),
        "ConsumedUnit": same("GB"),
        "EffectiveCost": same("0.00031"),
        "InvoiceIssuerName": same("Alibaba Cloud Computing Co., Ltd."),
        "ListCost": same("0.00031"),
        "PricingCategory": same("Standard"),
        "PricingUnit": same("GB"),
        "ProviderName": same("Alibaba Cloud"),
        "PublisherName": same("Alibaba Cloud"),
        "RegionId": same("cn-hangzhou"),
        "RegionName": same("China (Hangzhou)"),
        "ResourceId": same("oss-exports"),
        "ResourceType": same("bucket"),
        "ServiceCategory": same("Storage"),
        "Id": pl.Series([str(10_000 + d) for d in days.tolist()]),
        "ServiceName": same("Object Storage Service"),
        "SkuId": same("oss"),
        "SubAccountId": same(HOUSE_ACCOUNT),
    }
    return pl.DataFrame({name: columns[name] for name in COLUMNS})
