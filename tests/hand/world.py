"""A world written by hand: every team sits on one boundary of the metric.

`write(landing)` lays the files down; `EXPECTED` is what must come out, one literal per team,
beside the rows that decide it: the decorator of a team's function is its expected row, the
docstring is the reason, the body is its life. `AS_OF`, `COMPLETE` (C) and `HEADLINE` hold for the
whole world with the default rule and the default definition.

What belongs here: rows and what must come out, nothing that computes it. Nothing of the product.

The usual life, from which every team differs in one point: it pays on Mon 2025-10-06 (S), works
three requests a day on Thu 10-09, Fri 10-10, Mon 10-13, Tue 10-14 and Wed 10-15 (T0), and its
cloud charges begin on 2025-11-01, 17 days after T0. Outcomes are letters for the horizons 30,
60, 90 and 180: C converted, N not converted, O open.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

SHANGHAI = ZoneInfo("Asia/Shanghai")
RECORDED_AT = "2026-05-01T00:00:00Z"
OLD_SNAPSHOT, SNAPSHOT = "2025-11-25", "2026-04-30"
OUTCOME = {"C": "converted", "N": "not_converted", "O": "open"}
HORIZONS = (30, 60, 90, 180)

AS_OF = date(2026, 4, 30)  # requests end on 04-30, charge starts on 04-29: the earlier one decides
COMPLETE = date(2026, 3, 30)  # A - 3 - 28; C + 27 = 04-26 = A - 4, the last complete day

HABIT = ("2025-10-09", "2025-10-10", "2025-10-13", "2025-10-14", "2025-10-15")

ECS = "Elastic Compute Service"
OSS = "Object Storage Service"
RDS = "ApsaraDB RDS"
SLS = "Simple Log Service"
EC2 = "Amazon Elastic Compute Cloud"
MODELS = "Model Studio"
SMS = "Short Message Service"
DOMAINS = "Domain Names"
SUPPORT = "Support Plan"
CATEGORY = {
    ECS: "Compute",
    EC2: "Compute",
    OSS: "Storage",
    RDS: "Databases",
    SLS: "Management and Governance",
    MODELS: "AI and Machine Learning",
    SMS: "Integration",
    DOMAINS: "Networking",
    SUPPORT: "Other",
}
FAMILY = {ECS: "deploy", EC2: "deploy", OSS: "storage", RDS: "database", SLS: "observability"}

REQUEST_COLUMNS = [
    "request_id",
    "team",
    "member",
    "requested_at",
    "received_at",
    "model",
    "task",
    "session",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "status",
    "refused_by",
    "on_plan",
]
SUBSCRIPTION_COLUMNS = [
    "event_id",
    "team",
    "plan",
    "event",
    "occurred_at",
    "period_start",
    "period_end",
    "list_amount",
    "net_amount",
    "currency",
    "promotion",
]
LINK_COLUMNS = [
    "source",
    "source_id",
    "team_id",
    "valid_from",
    "valid_to",
    "recorded_at",
    "method",
    "confidence",
]
TEAM_COLUMNS = ["team_id", "region", "industry", "channel", "opened_at"]
FOCUS_COLUMNS = [
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
]

Row = dict[str, str | int | bool | None]


@dataclass(frozen=True)
class Expected:
    """One row of the answer."""

    team: str
    subscribed_on: date | None
    integrated_on: date | None
    state: str | None
    moved_on: date | None
    converted_on: date | None
    outcomes: dict[int, str]
    censored_on: date
    team_class: str | None
    churned_on: date | None
    after_churn: bool
    merged_into: str | None
    merged_on: date | None
    merged_into_native: bool
    why: str


@dataclass(frozen=True)
class Headline:
    """What the whole world must print at 90 days."""

    teams: int
    moved: int
    at_risk: int
    share: float
    mature: tuple[int, int]
    """(teams, moved)"""
    itt: tuple[int, int, int]
    """(teams, moved, at risk)"""


# --- builders -----------------------------------------------------------------------------------


def iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local(day: str, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """A moment by the clock of the operating zone."""
    year, month, dom = (int(x) for x in day.split("-"))
    return datetime(year, month, dom, hour, minute, second, tzinfo=SHANGHAI)


def utc(day: str, hour: int = 0) -> datetime:
    year, month, dom = (int(x) for x in day.split("-"))
    return datetime(year, month, dom, hour, tzinfo=UTC)


def days_from(first: str, count: int, step: int = 1) -> list[str]:
    start = date.fromisoformat(first)
    return [(start + timedelta(days=i * step)).isoformat() for i in range(count)]


@dataclass
class World:
    """The rows of every file, in memory."""

    requests: dict[str, list[Row]] = field(
        default_factory=lambda: {"a.jsonl": [], "b.csv": [], "c.parquet": []}
    )
    subscriptions: list[Row] = field(default_factory=list)
    charges: dict[tuple[str, str], list[Row]] = field(default_factory=dict)
    links: list[Row] = field(default_factory=list)
    teams: list[Row] = field(default_factory=list)
    count: int = 0

    def pay(
        self,
        account: str,
        on: str = "2025-10-06",
        until: str | None = "2026-10-06",
        event: str = "started",
        net: str = "200.00",
        plan: str = "pro",
    ) -> None:
        """One subscription event; its period, if any, runs to the local midnight of `until`."""
        self.subscriptions.append(
            {
                "event_id": f"{account}-{event}-{on}",
                "team": account,
                "plan": plan,
                "event": event,
                "occurred_at": iso(local(on, 9)),
                "period_start": iso(local(on)) if until else None,
                "period_end": iso(local(until)) if until else None,
                "list_amount": "200.00",
                "net_amount": net,
                "currency": "CNY",
                "promotion": None,
            }
        )

    def request(
        self,
        account: str,
        at: datetime,
        request_id: str | None = None,
        *,
        status: str = "ok",
        refused_by: str | None = None,
        on_plan: bool | None = True,
        member: str = "dev-1",
        received: timedelta = timedelta(seconds=1),
        file: str | None = None,
    ) -> None:
        self.count += 1
        name = file or sorted(self.requests)[self.count % len(self.requests)]
        self.requests[name].append(
            {
                "request_id": request_id or f"{account}/{self.count:05d}",
                "team": account,
                "member": member,
                "requested_at": iso(at),
                "received_at": iso(at + received),
                "model": "qwen3-coder-plus",
                "task": None,
                "session": None,
                "input_tokens": 1200,
                "cached_tokens": 0,
                "output_tokens": 300,
                "status": status,
                "refused_by": refused_by,
                "on_plan": on_plan,
            }
        )

    def work(
        self,
        account: str,
        days: Iterable[str] = HABIT,
        n: int = 3,
        *,
        on_plan: bool | None = True,
        members: Sequence[str] = ("dev-1",),
    ) -> None:
        """n ok requests on each day, at ten in the morning."""
        for d, day in enumerate(days):
            for i in range(n):
                member = members[(d * n + i) % len(members)]
                self.request(account, local(day, 10, i), on_plan=on_plan, member=member)

    def usual(self, account: str) -> None:
        """S = 2025-10-06, T0 = 2025-10-15, no cloud."""
        self.pay(account)
        self.work(account)

    def charge(
        self,
        account: str,
        start: str | datetime,
        amount: str,
        *,
        days: int = 1,
        hours: int | None = None,
        service: str | None = ECS,
        effective: str | None = "same",
        category: str = "Usage",
        correction: bool = False,
        currency: str = "CNY",
        provider: str = "Alibaba Cloud",
        sub: str | None = None,
        billed_in: str | None = None,
        sku: str | None = None,
        description: str | None = None,
        snapshot: str = SNAPSHOT,
        source: str = "billing",
    ) -> None:
        """One FOCUS row; by default one whole UTC day, EffectiveCost = BilledCost."""
        begin = utc(start) if isinstance(start, str) else start
        end = begin + (timedelta(hours=hours) if hours else timedelta(days=days))
        month = (
            utc(f"{billed_in}-01") if billed_in else begin.astimezone(UTC).replace(day=1, hour=0)
        )
        after = (month + timedelta(days=32)).replace(day=1)
        cost = {"BilledCost": amount, "ListCost": amount, "ContractedCost": amount}
        self.charges.setdefault((source, snapshot), []).append(
            dict.fromkeys(FOCUS_COLUMNS)
            | cost
            | {
                "EffectiveCost": amount if effective == "same" else effective,
                "BillingAccountId": account,
                "BillingAccountName": account,
                "BillingCurrency": currency,
                "BillingPeriodStart": iso(month),
                "BillingPeriodEnd": iso(after),
                "ChargeCategory": category,
                "ChargeClass": "Correction" if correction else None,
                "ChargeDescription": description,
                "ChargeFrequency": "Recurring" if days > 1 else "Usage-Based",
                "ChargePeriodStart": iso(begin),
                "ChargePeriodEnd": iso(end),
                "InvoiceIssuerName": provider,
                "PricingCategory": "Standard",
                "ProviderName": provider,
                "PublisherName": provider,
                "RegionId": "cn-hangzhou",
                "ServiceCategory": CATEGORY[service] if service else "Other",
                "ServiceName": service,
                "SkuId": sku,
                "SubAccountId": sub,
            }
        )

    def run(
        self,
        account: str,
        days: Iterable[str],
        amount: str = "2.00",
        *,
        service: str = ECS,
        snapshot: str = SNAPSHOT,
        source: str = "billing",
        currency: str = "CNY",
        provider: str = "Alibaba Cloud",
        effective: str | None = "same",
        sub: str | None = None,
        description: str | None = None,
    ) -> None:
        """The same charge on each of the days."""
        for day in days:
            self.charge(
                account,
                day,
                amount,
                service=service,
                snapshot=snapshot,
                source=source,
                currency=currency,
                provider=provider,
                effective=effective,
                sub=sub,
                description=description,
            )

    def link(self, source: str, source_id: str, team: str, since: str = "2023-01-01") -> None:
        self.links.append(
            {
                "source": source,
                "source_id": source_id,
                "team_id": team,
                "valid_from": iso(local(since)),
                "valid_to": None,
                "recorded_at": RECORDED_AT,
                "method": "contract",
                "confidence": "1.0",
            }
        )

    def merge(self, account: str, into: str, on: str) -> None:
        """Every identity of an account belongs to another team from a day on."""
        for source in ("gateway", "plan", "billing"):
            self.link(source, account, into, since=on)


Life = Callable[[World, str], None]
TEAMS: dict[str, Life] = {}
EXPECTED: dict[str, Expected] = {}


def team(
    outcomes: str = "NNNO",
    *,
    s: str | None = "2025-10-06",
    t0: str | None = "2025-10-15",
    state: str | None = "new",
    w: str | None = None,
    moved: str | None = None,
    censored: str = "2026-03-30",
    size: str | None = "solo",
    churned: str | None = None,
    after_churn: bool = False,
    merged: tuple[str, str] | None = None,
    into_native: bool = False,
    name: str | None = None,
) -> Callable[[Life], Life]:
    """The expected row of the function below it; `moved` only where it isn't W."""

    def day(text: str | None) -> date | None:
        return date.fromisoformat(text) if text else None

    def register(life: Life) -> Life:
        me = name or life.__name__.replace("_", "-")
        EXPECTED[me] = Expected(
            team=me,
            subscribed_on=day(s),
            integrated_on=day(t0),
            state=state if t0 else None,
            moved_on=day(moved or w),
            converted_on=day(w),
            outcomes=dict(zip(HORIZONS, (OUTCOME[o] for o in outcomes), strict=True)) if t0 else {},
            censored_on=date.fromisoformat(censored),
            team_class=size if t0 else None,
            churned_on=day(churned),
            after_churn=after_churn,
            merged_into=merged[0] if merged else None,
            merged_on=day(merged[1]) if merged else None,
            merged_into_native=into_native,
            why=" ".join((life.__doc__ or "").split()),
        )
        TEAMS[me] = life
        return life

    return register


# --- the habit ----------------------------------------------------------------------------------


@team()
def three_a_day(w: World, me: str) -> None:
    """Exactly three requests on five days make a habit. Its last request ends the requests on
    04-30."""
    w.usual(me)
    w.request(me, local("2026-04-30", 10))


@team(t0=None)
def two_on_one_day(w: World, me: str) -> None:
    """Two requests are no active day: four active days are no habit."""
    w.pay(me)
    w.work(me, [d for d in HABIT if d != "2025-10-14"])
    w.work(me, ["2025-10-14"], n=2)


@team(t0=None)
def four_active_days(w: World, me: str) -> None:
    """Four busy active days in two weeks are one short."""
    w.pay(me)
    w.work(me, HABIT[:4], n=9)


@team(t0="2025-10-22")
def span_of_14(w: World, me: str) -> None:
    """Fifth active day on day 14 of the window: today is included."""
    w.pay(me)
    w.work(me, [*HABIT[:4], "2025-10-22"])


@team(t0=None)
def span_of_15(w: World, me: str) -> None:
    """Fifth active day on day 15: the first one has left the window."""
    w.pay(me)
    w.work(me, [*HABIT[:4], "2025-10-23"])


@team(t0=None)
def one_iso_week(w: World, me: str) -> None:
    """Five active days from Monday to Friday are one ISO week: a try, no habit."""
    w.pay(me)
    w.work(me, days_from("2025-10-06", 5))


@team(t0=None)
def week_across_new_year(w: World, me: str) -> None:
    """Mon 2025-12-29 to Fri 2026-01-02 is one ISO week (2026-W01) in two calendar years."""
    w.pay(me)
    w.work(me, days_from("2025-12-29", 5))


@team(t0="2025-10-13")
def monday_in_shanghai(w: World, me: str) -> None:
    """Half past midnight on Monday in Shanghai is Sunday in UTC: the second ISO week counts."""
    w.pay(me)
    w.work(me, days_from("2025-10-08", 4))
    for i in range(3):
        w.request(me, local("2025-10-13", 0, 30, i))


@team(t0=None)
def refused_only(w: World, me: str) -> None:
    """Refused, throttled and failed calls are demand: two accepted a day stay two."""
    w.pay(me)
    w.work(me, n=2)
    for day in HABIT:
        for refused_by in ("5h", "week", "month"):
            w.request(me, local(day, 11), status="refused", refused_by=refused_by)
        w.request(me, local(day, 12), status="throttled")
        w.request(me, local(day, 13), status="failed")


@team(t0=None)
def pay_as_you_go_requests(w: World, me: str) -> None:
    """Calls with a pay-as-you-go key aren't made on the plan."""
    w.pay(me)
    w.work(me, n=9, on_plan=False)


@team()
def source_does_not_say(w: World, me: str) -> None:
    """on_plan is null: a source that doesn't say counts as the plan."""
    w.pay(me)
    w.work(me, on_plan=None)


@team(s="2025-10-13", t0="2025-10-20")
def requests_before_s(w: World, me: str) -> None:
    """Requests before S don't count, those of the day of S do: 13, 14, 15, 16 and Mon 20."""
    w.pay(me, on="2025-10-13")
    w.work(me, [*HABIT, "2025-10-16", "2025-10-20"])


@team(s="2025-10-13", t0=None)
def free_trial(w: World, me: str) -> None:
    """A trial of 0 CNY is no paid subscription: S is its first renewal for money, three days
    too late."""
    w.pay(me, net="0.00", until="2025-10-13")
    w.pay(me, on="2025-10-13", event="renewed", net="7.90")
    w.work(me)


@team(s=None, t0=None)
def never_paid(w: World, me: str) -> None:
    """No subscription: no S, so nothing is accepted and nothing counts."""
    w.work(me)
    w.run(me, days_from("2025-11-01", 21))


@team(t0=None)
def same_request_twice(w: World, me: str) -> None:
    """Two requests a day, one delivered twice by two files: three rows are two requests."""
    w.pay(me)
    for day in HABIT:
        w.request(me, local(day, 10), f"{me}/{day}/1", file="a.jsonl")
        w.request(me, local(day, 11), f"{me}/{day}/2", file="a.jsonl")
        w.request(me, local(day, 11), f"{me}/{day}/2", file="c.parquet")


@team()
def same_id_on_two_days(w: World, me: str) -> None:
    """Identity is (source, request_id, business day): ids 1, 2, 3 count on each of the five
    days."""
    w.pay(me)
    for day in HABIT:
        for i in (1, 2, 3):
            w.request(me, local(day, 10, i), f"{me}/{i}")


@team(t0=None)
def ok_turned_failed(w: World, me: str) -> None:
    """The latest received_at wins: on the last day the third request turned out to have failed."""
    w.pay(me)
    w.work(me, HABIT[:4])
    w.work(me, HABIT[4:], n=2)
    for status, minutes in (("failed", 20), ("ok", 1)):
        w.request(
            me,
            local("2025-10-15", 12),
            f"{me}/turned",
            status=status,
            received=timedelta(minutes=minutes),
        )


@team()
def failed_turned_ok(w: World, me: str) -> None:
    """The other way round: the later version says ok, so the fifth day is active."""
    w.pay(me)
    w.work(me, HABIT[:4])
    w.work(me, HABIT[4:], n=2)
    for status, minutes in (("ok", 20), ("failed", 1)):
        w.request(
            me,
            local("2025-10-15", 12),
            f"{me}/turned",
            status=status,
            received=timedelta(minutes=minutes),
        )


@team(s="2025-09-01", size="small")
def five_members(w: World, me: str) -> None:
    """Five members in [T0-27, T0]; the sixth was last seen one day before."""
    w.pay(me, on="2025-09-01")
    w.request(me, local("2025-09-17", 10), member="dev-6")
    w.work(me, members=[f"dev-{i}" for i in range(1, 6)])


@team(s="2025-09-01", size="mid")
def six_members(w: World, me: str) -> None:
    """The sixth was seen on T0-27: mid begins at six."""
    w.pay(me, on="2025-09-01")
    w.request(me, local("2025-09-18", 10), member="dev-6")
    w.work(me, members=[f"dev-{i}" for i in range(1, 6)])


# --- the move -----------------------------------------------------------------------------------


@team("CCCC", w="2025-11-01")
def billable_21_days(w: World, me: str) -> None:
    """21 billable days and 42 CNY: moved. An account opened after S has full look-back: new,
    not unknown."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))


@team()
def billable_20_days(w: World, me: str) -> None:
    """20 billable days are one short, however much they cost."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20), "50.00")


@team("CCCC", w="2025-11-01")
def window_of_28(w: World, me: str) -> None:
    """The 21st billable day is q+27: inside."""
    w.usual(me)
    w.run(me, [*days_from("2025-11-01", 20), "2025-11-28"])


@team()
def window_of_29(w: World, me: str) -> None:
    """The 21st billable day is q+28: outside."""
    w.usual(me)
    w.run(me, [*days_from("2025-11-01", 20), "2025-11-29"])


@team("CCCC", w="2025-11-01")
def thirty_yuan(w: World, me: str) -> None:
    """20 x 1.43 + 1.40 = 30.00: at least 30 CNY."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20), "1.43")
    w.charge(me, "2025-11-21", "1.40")


@team()
def one_fen_short(w: World, me: str) -> None:
    """20 x 1.43 + 1.39 = 29.99."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20), "1.43")
    w.charge(me, "2025-11-21", "1.39")


@team("CCCC", w="2025-11-01")
def half_a_fen_rounds_up(w: World, me: str) -> None:
    """20 x 1.43 + 1.395 = 29.995, half-up 30.00."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20), "1.43")
    w.charge(me, "2025-11-21", "1.395")


@team()
def under_half_a_fen(w: World, me: str) -> None:
    """20 x 1.43 + 1.3949 = 29.9949, rounded 29.99."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20), "1.43")
    w.charge(me, "2025-11-21", "1.3949")


@team()
def day_of_half_a_fen(w: World, me: str) -> None:
    """A day of exactly 0.005 CNY isn't billable: > 0.005 is asked. 20 days remain."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20))
    w.charge(me, "2025-11-21", "0.005")


@team("CCCC", w="2025-11-01")
def day_over_half_a_fen(w: World, me: str) -> None:
    """0.0051 CNY is more than 0.005: the 21st billable day."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20))
    w.charge(me, "2025-11-21", "0.0051")


@team("CCCC", w="2025-11-01")
def families_together(w: World, me: str) -> None:
    """No family has 21 days alone: compute, storage, database and logs count together."""
    w.usual(me)
    for i, day in enumerate(days_from("2025-11-01", 21)):
        w.charge(me, day, "2.00", service=(ECS, OSS, RDS, SLS)[i % 4])


@team()
def utc_day_is_one_day(w: World, me: str) -> None:
    """11 UTC days, every other day: cut at Shanghai's midnight they would be 22 billable days."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 11, step=2), "3.00")


@team("CCCC", w="2025-10-16")
def hours_after_midnight(w: World, me: str) -> None:
    """17:00Z on T0's date is one o'clock on the next business day: W = T0 + 1, not T0."""
    w.usual(me)
    for day in days_from("2025-10-15", 21):
        w.charge(me, utc(day, 17), "2.00", hours=1)


@team(state="pre_habit", moved="2025-10-15")
def move_on_t0(w: World, me: str) -> None:
    """moved_on = T0: the cloud was there when the habit was: pre_habit, W null."""
    w.usual(me)
    w.run(me, days_from("2025-10-15", 21))


@team("CCCC", w="2025-10-16")
def move_after_t0(w: World, me: str) -> None:
    """One day later it is a conversion, in one day."""
    w.usual(me)
    w.run(me, days_from("2025-10-16", 21))


@team(state="pre_habit", moved="2025-10-06")
def move_on_s(w: World, me: str) -> None:
    """q = S isn't before S: not native, pre_habit."""
    w.usual(me)
    w.run(me, days_from("2025-10-06", 21))


@team(state="native")
def move_before_s(w: World, me: str) -> None:
    """q = S-1: native. From S on 20 days remain, so it never moves again."""
    w.usual(me)
    w.run(me, days_from("2025-10-05", 21))


@team(state="native", moved="2025-10-06")
def three_years_a_customer(w: World, me: str) -> None:
    """Monthly prepaid rows since January 2023: native, however long ago it began; q = S as well."""
    w.usual(me)
    month = utc("2023-01-01")
    while month < utc("2026-05-01"):
        after = (month + timedelta(days=32)).replace(day=1)
        w.charge(me, month, "310.00", days=(after - month).days)
        month = after


@team("CCCC", state="native", w="2025-11-01")
def cloud_180_days_before(w: World, me: str) -> None:
    """The only old q is 2025-04-09 = S-180: inside the look-back, native although it moves
    later."""
    w.usual(me)
    w.run(me, days_from("2025-04-09", 21))
    w.run(me, days_from("2025-11-01", 21))


@team("CCCC", state="dormant", w="2025-11-01")
def cloud_181_days_before(w: World, me: str) -> None:
    """The only old q is S-181: dormant, in the headline."""
    w.usual(me)
    w.run(me, days_from("2025-04-08", 21))
    w.run(me, days_from("2025-11-01", 21))


@team("NCCC", s="2025-11-27", t0="2025-12-03", state="unknown", w="2026-01-05")
def history_too_short(w: World, me: str) -> None:
    """billing2 begins on 2025-06-01, one day after S-180 = 05-31: unknown."""
    w.pay(me, on="2025-11-27", until="2026-11-27")
    w.work(me, ["2025-11-27", "2025-11-28", "2025-12-01", "2025-12-02", "2025-12-03"])
    w.run(me, days_from("2026-01-05", 21), source="billing2")


@team("NCCC", s="2025-11-28", t0="2025-12-03", w="2026-01-05")
def history_just_enough(w: World, me: str) -> None:
    """billing2 begins on S-180 itself: not after it, so new."""
    w.pay(me, on="2025-11-28", until="2026-11-28")
    w.work(me, ["2025-11-28", "2025-11-29", "2025-12-01", "2025-12-02", "2025-12-03"])
    w.run(me, days_from("2026-01-05", 21), source="billing2")


@team(s=None, t0=None)
def clock(w: World, me: str) -> None:
    """No subscriber. Begins billing2 on 2025-06-01 and ends the charges on 2026-04-29."""
    w.charge(me, "2025-06-01", "1.00", service=OSS, source="billing2")
    w.charge(me, "2026-04-29", "1.00", service=OSS)


# --- what a charge is worth ---------------------------------------------------------------------


@team()
def refund_unmoves(w: World, me: str) -> None:
    """A correction billed in December takes 2025-11-10 back to 0: 20 billable days, not moved
    any more."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.charge(me, "2025-11-10", "-2.00", correction=True, billed_in="2025-12")


@team("CCCC", w="2025-11-01")
def refund_leaves_a_fen(w: World, me: str) -> None:
    """An unmarked negative usage row leaves 0.01 CNY of the day: still billable, 40.01 in the
    window."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.charge(me, "2025-11-10", "-1.99", billed_in="2025-12")


@team()
def credit_to_zero(w: World, me: str) -> None:
    """Free credit on the service itself leaves a running workload with net 0."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    for day in days_from("2025-11-01", 21):
        w.charge(me, day, "-2.00", category="Credit")


@team()
def voucher_to_zero(w: World, me: str) -> None:
    """A voucher for the month names no service: spread over the 21 positive rows, every day is
    0."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.charge(me, "2025-11-01", "-42.00", days=30, service=None, category="Credit")


@team("CCCC", w="2025-11-01")
def voucher_pro_rata(w: World, me: str) -> None:
    """24 of voucher over 42 of compute and 42 of inference: 12 each, compute keeps 30.00."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.run(me, days_from("2025-11-01", 21), service=MODELS, description="Model Studio inference")
    w.charge(me, "2025-11-01", "-24.00", days=30, service=None, category="Credit")


@team("CCCC", w="2025-11-01")
def voucher_remainder(w: World, me: str) -> None:
    """50 of voucher from 11-22 on meet 1 CNY: 49 go to ops, not into the window of 42."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.charge(me, "2025-11-25", "1.00", service=OSS)
    w.charge(me, "2025-11-22", "-50.00", days=9, service=None, category="Credit")


@team("CCCC", w="2025-11-01")
def voucher_of_a_sub_account(w: World, me: str) -> None:
    """The voucher names sub-account a, the workload runs in b: only a's 1 CNY is touched."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21), sub=f"{me}-b")
    w.charge(me, "2025-11-03", "1.00", service=OSS, sub=f"{me}-a")
    w.charge(
        me, "2025-11-01", "-42.00", days=30, service=None, category="Credit", sub=f"{me}-a"
    )  # fmt: skip


@team()
def plan_fee_only(w: World, me: str) -> None:
    """The plan's own fee, monthly and by day, is never a workload."""
    w.usual(me)
    for month, days in (("2025-10-06", 31), ("2025-11-06", 30), ("2025-12-06", 31)):
        w.charge(
            me,
            month,
            "200.00",
            days=days,
            service=MODELS,
            category="Purchase",
            sku="sfm_coding_plan_pro",
            description="Model Studio Coding Plan Pro",
        )
    w.run(me, days_from("2025-11-01", 28), "6.60", service=MODELS, description="Coding Plan Lite")


@team()
def inference_only(w: World, me: str) -> None:
    """Model calls with a pay-as-you-go key are never a workload."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 28), "9.00", service=MODELS, description="inference tokens")


@team()
def never_a_workload(w: World, me: str) -> None:
    """Messages, domains, support, and the tax on a server that somebody else pays: none is a
    workload."""
    w.usual(me)
    for day in days_from("2025-11-01", 28):
        w.charge(me, day, "3.00", service=SMS)
        w.charge(me, day, "3.00", service=DOMAINS)
        w.charge(me, day, "3.00", service=SUPPORT)
        w.charge(me, day, "3.00", category="Tax", description="VAT")


@team("CCCC", w="2025-11-01")
def dollars(w: World, me: str) -> None:
    """21 x 0.50 USD are 10.50 of no currency, but some 74 CNY. Another cloud counts by default."""
    w.usual(me)
    days = days_from("2025-11-01", 21)
    w.run(me, days, "0.50", currency="USD", provider="AWS", service=EC2)


@team()
def yen(w: World, me: str) -> None:
    """21 x 20 JPY = 420 are some 20 CNY."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21), "20", currency="JPY")


@team("CCCC", w="2025-11-01")
def effective_cost(w: World, me: str) -> None:
    """BilledCost 1.00, EffectiveCost 2.00 a day: the period has EffectiveCost, so 42 CNY, not
    21."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21), "1.00", effective="2.00")


@team("CCCC", w="2025-11-01")
def billed_cost(w: World, me: str) -> None:
    """A period without any EffectiveCost falls back to BilledCost."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21), effective=None)


@team()
def commitment(w: World, me: str) -> None:
    """Purchase: billed 600, effective 0. Usage: billed 0, effective 1.00. Never both: 21 CNY."""
    w.usual(me)
    w.charge(me, "2025-11-01", "600.00", days=30, effective="0.00", category="Purchase")
    w.run(me, days_from("2025-11-01", 21), "0.00", effective="1.00")


@team()
def prepaid_month(w: World, me: str) -> None:
    """30 CNY for 30 days are 1 CNY a day: 28 CNY in 28 days."""
    w.usual(me)
    w.charge(me, "2025-11-01", "30.00", days=30)


@team("CCCC", w="2025-11-01")
def prepaid_month_moves(w: World, me: str) -> None:
    """32.15 CNY for 30 days: 28 days of it are 30.0067. The first day alone would be one
    billable day."""
    w.usual(me)
    w.charge(me, "2025-11-01", "32.15", days=30)


@team()
def prepaid_future(w: World, me: str) -> None:
    """Prepaid from 2026-04-20 into May: q > C isn't decided, and A doesn't follow it into the
    future."""
    w.usual(me)
    w.charge(me, "2026-04-20", "300.00", days=30)


@team()
def restated_down(w: World, me: str) -> None:
    """The newer snapshot of November has 20 days: it replaces the older one with 21."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21), snapshot=OLD_SNAPSHOT)
    w.run(me, days_from("2025-11-01", 20))


@team("CCCC", w="2025-11-01")
def restated_up(w: World, me: str) -> None:
    """The newer snapshot has the 21st day. 20 x 1.00 + 10.00 = 30.00 once."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 20), "1.00", snapshot=OLD_SNAPSHOT)
    w.run(me, days_from("2025-11-01", 20), "1.00")
    w.charge(me, "2025-11-21", "10.00")


@team()
def restated_once(w: World, me: str) -> None:
    """21 x 1.00 in both snapshots: added they would be 42, replaced they are 21."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21), "1.00", snapshot=OLD_SNAPSHOT)
    w.run(me, days_from("2025-11-01", 21), "1.00")


@team("CCCC", w="2025-11-01")
def twin_rows(w: World, me: str) -> None:
    """Two equal rows of one snapshot are two charges: 21 x 2 x 0.72 = 30.24."""
    w.usual(me)
    for day in days_from("2025-11-01", 21):
        w.charge(me, day, "0.72")
        w.charge(me, day, "0.72")


# --- who is who ---------------------------------------------------------------------------------


@team("CCCC", w="2025-11-01", name="0012345")
def numeric_id(w: World, me: str) -> None:
    """An id that looks like a number keeps its zeros; without a link the main account is the
    team."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))


@team("CCCC", w="2025-11-01")
def linked(w: World, me: str) -> None:
    """Three sources, three ids, one team."""
    w.link("gateway", "ak-77", me)
    w.link("plan", "cus_77", me)
    w.link("billing", "0077001", me)
    w.pay("cus_77")
    w.work("ak-77")
    w.run("0077001", days_from("2025-11-01", 21))


@team("NCCC", w="2025-12-01")
def reseller(w: World, me: str) -> None:
    """Owns the account: the rows of sub-account sub-8, which has no link, from December."""
    w.usual(me)
    w.link("billing", "reseller-account", me)
    w.run("reseller-account", days_from("2025-12-01", 21), sub="sub-8")


@team("CCCC", w="2025-11-01")
def reseller_customer(w: World, me: str) -> None:
    """The link of sub-account sub-9 wins over the link of its account."""
    w.usual(me)
    w.link("billing", "sub-9", me)
    w.run("reseller-account", days_from("2025-11-01", 21), sub="sub-9")


@team("CCCC", w="2025-11-01", censored="2025-11-01", merged=("survivor", "2025-11-29"))
def absorbed_decided(w: World, me: str) -> None:
    """Merged on m = 2025-11-29: q = 11-01 = m-28 could just be decided."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.merge(me, "survivor", on="2025-11-29")


@team("OOOO", censored="2025-10-31", merged=("survivor", "2025-11-28"))
def absorbed_undecided(w: World, me: str) -> None:
    """Merged one day earlier: q = m-27 couldn't, censored at m-28 (16 days), open at every
    horizon."""
    w.usual(me)
    w.run(me, days_from("2025-11-01", 21))
    w.merge(me, "survivor", on="2025-11-28")
    w.run(me, days_from("2025-12-01", 21))


@team("NCCC", w="2025-12-01")
def survivor(w: World, me: str) -> None:
    """Keeps its T0 and gets the rows from m on: those of absorbed-undecided's account in
    December."""
    w.usual(me)


@team("OOOO", censored="2025-10-04", merged=("survivor", "2025-11-01"))
def absorbed_early(w: World, me: str) -> None:
    """m-28 is before T0: no time at risk, out of the headline."""
    w.usual(me)
    w.merge(me, "survivor", on="2025-11-01")


@team(
    "NNOO",
    censored="2025-12-18",
    merged=("three-years-a-customer", "2026-01-15"),
    into_native=True,
)
def absorbed_by_a_native(w: World, me: str) -> None:
    """64 days at risk, then absorbed by a standing customer: flagged merged_into_native."""
    w.usual(me)
    w.merge(me, "three-years-a-customer", on="2026-01-15")


# --- the clocks ---------------------------------------------------------------------------------


@team("OOOO", s="2026-03-16", t0="2026-03-29")
def t0_before_c(w: World, me: str) -> None:
    """T0 = C-1: one day at risk, in the headline."""
    w.pay(me, on="2026-03-16", until="2027-03-16")
    w.work(me, ["2026-03-21", "2026-03-22", "2026-03-27", "2026-03-28", "2026-03-29"])


@team("OOOO", s="2026-03-16", t0="2026-03-30")
def t0_on_c(w: World, me: str) -> None:
    """T0 = C: has a state, but no day at risk."""
    w.pay(me, on="2026-03-16", until="2027-03-16")
    w.work(me, ["2026-03-25", "2026-03-26", "2026-03-27", "2026-03-28", "2026-03-30"])


@team("OOOO", s="2026-03-16", t0="2026-03-31", state=None)
def t0_after_c(w: World, me: str) -> None:
    """T0 = C+1: state null, outcome open."""
    w.pay(me, on="2026-03-16", until="2027-03-16")
    w.work(me, ["2026-03-26", "2026-03-27", "2026-03-28", "2026-03-30", "2026-03-31"])


@team("OOOO", s="2026-04-15", t0="2026-04-29", state=None)
def habit_before_a(w: World, me: str) -> None:
    """The fifth active day is A-1: the last day that is used at all."""
    w.pay(me, on="2026-04-15", until="2027-04-15")
    w.work(me, ["2026-04-23", "2026-04-24", "2026-04-27", "2026-04-28", "2026-04-29"])


@team(s="2026-04-15", t0=None)
def habit_on_a(w: World, me: str) -> None:
    """The fifth active day is A itself, which is exclusive: the requests go on, the charges
    don't."""
    w.pay(me, on="2026-04-15", until="2027-04-15")
    w.work(me, ["2026-04-23", "2026-04-24", "2026-04-27", "2026-04-28", "2026-04-30"])


@team("NNCC", w="2026-01-13")
def moved_in_90_days(w: World, me: str) -> None:
    """W-T0 = 90: within the horizon."""
    w.usual(me)
    w.run(me, days_from("2026-01-13", 21))


@team("NNNC", w="2026-01-14")
def moved_in_91_days(w: World, me: str) -> None:
    """W-T0 = 91: not converted at 90, for all that it moved."""
    w.usual(me)
    w.run(me, days_from("2026-01-14", 21))


@team("NNNO", s="2025-12-19", t0="2025-12-30")
def seen_for_90_days(w: World, me: str) -> None:
    """C-T0 = 90: seen long enough to say no; censored on day 90, still at risk that day."""
    w.pay(me, on="2025-12-19", until="2026-12-19")
    w.work(me, ["2025-12-25", "2025-12-26", "2025-12-27", "2025-12-29", "2025-12-30"])


@team("NNOO", s="2025-12-19", t0="2025-12-31")
def seen_for_89_days(w: World, me: str) -> None:
    """C-T0 = 89: one day too short to say."""
    w.pay(me, on="2025-12-19", until="2026-12-19")
    w.work(me, ["2025-12-25", "2025-12-26", "2025-12-29", "2025-12-30", "2025-12-31"])


@team("NNNC", w="2026-03-30")
def move_on_c(w: World, me: str) -> None:
    """q = C: the last decidable day, 166 days after T0."""
    w.usual(me)
    w.run(me, days_from("2026-03-30", 21))


@team()
def move_after_c(w: World, me: str) -> None:
    """q = C+1 isn't decided, although its 21 days are all there."""
    w.usual(me)
    w.run(me, days_from("2026-03-31", 21))


# --- the plan ends ------------------------------------------------------------------------------


@team()
def lite_to_pro(w: World, me: str) -> None:
    """An upgrade is no churn, and cancelling is intent, not the end."""
    w.pay(me, until="2025-11-06", plan="lite", net="7.90")
    w.pay(me, on="2025-10-20", until="2026-10-20", event="upgraded")
    w.pay(me, on="2025-12-01", until=None, event="cancelled")
    w.work(me)


@team()
def gap_of_14_days(w: World, me: str) -> None:
    """Ended on 2025-11-06, back on 11-20: a gap of 14 days is no churn."""
    w.pay(me, until="2025-11-06")
    w.pay(me, on="2025-11-06", until=None, event="ended")
    w.pay(me, on="2025-11-20", until="2026-11-20")
    w.work(me)


@team(churned="2025-11-06")
def gap_of_15_days(w: World, me: str) -> None:
    """Back on 11-21: churned on 11-06; the second subscription starts no second clock."""
    w.pay(me, until="2025-11-06")
    w.pay(me, on="2025-11-06", until=None, event="ended")
    w.pay(me, on="2025-11-21", until="2026-11-21")
    w.work(me)
    w.work(me, ["2025-11-27", "2025-11-28", "2025-12-01", "2025-12-02", "2025-12-03"])


@team("NCCC", w="2025-12-01", churned="2025-11-06", after_churn=True)
def moved_after_churn(w: World, me: str) -> None:
    """A conversion after the plan ended counts, flagged after_churn."""
    w.pay(me, until="2025-11-06")
    w.work(me)
    w.pay(me, on="2025-11-06", until=None, event="ended")
    w.run(me, days_from("2025-12-01", 21))


HEADLINE = Headline(
    # 68 new or dormant teams, without absorbed-early and t0-on-c, which have no day at risk
    teams=66,
    # 2 after 1 day, 21 after 17, 1 after 33, 3 after 47, 1 after 90; two more needed 91 and 166
    moved=28,
    # moved after 90 (still at risk that day), 91, 166; seen for 90, 159, 161, 168 and 28 times 166
    at_risk=35,
    # at risk 66, 62, 41, 40, 35; censored before: on day 1, 16, 64 and 89, one each
    # 64/66 x 41/62 x 40/41 x 37/40 x 34/35
    share=1 - (64 * 37 * 34) / (66 * 62 * 35),
    # without t0-before-c, seen-for-89-days and the three that were absorbed in time
    mature=(61, 27),
    # 87 subscribers - 3 natives - history-too-short - absorbed-early - two who paid after C; the
    # two pre_habit moved too, those with 90 and 91 days from T0 needed 99 and 100 from S; at risk
    # are the three late movers and 43 that didn't move: without absorbed-undecided,
    # absorbed-by-a-native and the three with T0 near C, who weren't seen for 90 days from S
    itt=(80, 29, 46),
)

# --- the whole world ----------------------------------------------------------------------------


def build() -> World:
    world = World()
    for name, life in TEAMS.items():
        life(world, name)
        world.teams.append(
            {
                "team_id": name,
                "region": "cn-hangzhou",
                "industry": "software",
                "channel": "organic",
                "opened_at": "2023-01-01T00:00:00Z",
            }
        )
    return world


def write(landing: Path) -> None:
    """Lay the world down as files, each source with its manifest."""
    world = build()
    for name, rows in world.requests.items():
        _write(landing / "gateway" / f"requests-{name}", REQUEST_COLUMNS, rows)
    half = len(world.subscriptions) // 2
    _write(landing / "plan" / "events.jsonl", SUBSCRIPTION_COLUMNS, world.subscriptions[:half])
    _write(landing / "plan" / "more.csv", SUBSCRIPTION_COLUMNS, world.subscriptions[half:])
    for (source, snapshot), rows in world.charges.items():
        folder = landing / source / snapshot
        _write(folder / "part-1.csv", FOCUS_COLUMNS, rows[::2])
        _write(folder / "part-2.csv", FOCUS_COLUMNS, rows[1::2])
    _write(landing / "directory" / "teams.csv", TEAM_COLUMNS, world.teams)
    _write(landing / "directory" / "account_links.csv", LINK_COLUMNS, world.links)
    for folder in sorted(p for p in landing.iterdir() if p.is_dir()):
        write_manifest(folder, {p: RECORDED_AT for p in folder.rglob("*") if p.is_file()})


def _write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([_text(row[c]) for c in columns] for row in rows)
    else:
        write_requests_parquet(path, rows)


def _text(value: str | int | bool | None) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_requests_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Canonical requests as Parquet, with real timestamps."""
    moment = pa.timestamp("us", tz="UTC")
    kinds = {"requested_at": moment, "received_at": moment, "on_plan": pa.bool_()}
    kinds |= dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens"), pa.int64())
    columns = {}
    for name in REQUEST_COLUMNS:
        values: list[object] = [row[name] for row in rows]
        if kinds.get(name) == moment:
            values = [datetime.fromisoformat(str(v)) if v is not None else None for v in values]
        columns[name] = pa.array(values, type=kinds.get(name, pa.string()))
    pq.write_table(pa.table(columns), path)


def write_manifest(source: Path, recorded: dict[Path, str]) -> None:
    """One line for each file of a source: what it is and when it was recorded."""
    lines = [
        json.dumps(
            {
                "file": path.relative_to(source).as_posix(),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "recorded_at": at,
                "format": "auto",
                "timezone": "UTC",
            }
        )
        for path, at in sorted(recorded.items())
    ]
    (source / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
