"""Random worlds, small and nasty, for comparing the product with `tests.reference`.

`make_world(seed)` draws canonical rows with nothing but `random.Random(seed)`: the same seed is
the same world for ever. Values cluster on the boundaries of the metric. `write_landing` lays a
world down as landing files, split and ordered at random; whatever the split, the answer is the
same. `clocks` proposes (A, K) pairs to ask for.

What belongs here: drawing rows and writing files. No expectation is computed here, and nothing
of the product is imported. Left out on purpose, because the text leaves the answer open: copies
of one request with equal received_at and different content, a missing received_at among copies,
two vouchers over the same rows, a link that ends without a successor, and two files of one
snapshot with the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal, localcontext
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from tests.hand.world import (
    FOCUS_COLUMNS,
    write_manifest,
    write_requests_parquet,
)
from tests.reference import Charge, Evidence, Link, Rate, Request, Subscription, Team

ZONE = ZoneInfo("Asia/Shanghai")
LAG_AND_WINDOW = 3 + 28
T = TypeVar("T")
Row = dict[str, str | int | bool | None]

RATES = (
    Rate("USD", date(2023, 1, 1), date(2027, 12, 31), Decimal("7.1")),
    Rate("EUR", date(2023, 1, 1), date(2027, 12, 31), Decimal("8.2")),
    Rate("JPY", date(2023, 1, 1), date(2027, 12, 31), Decimal("0.047")),
)


@dataclass(frozen=True)
class Service:
    name: str
    category: str
    provider: str
    family: str


ALIBABA, AWS = "Alibaba Cloud", "AWS"
WORKLOADS = (
    Service("Elastic Compute Service", "Compute", ALIBABA, "deploy"),
    Service("Object Storage Service", "Storage", ALIBABA, "storage"),
    Service("ApsaraDB RDS", "Databases", ALIBABA, "database"),
    Service("Simple Log Service", "Management and Governance", ALIBABA, "observability"),
    Service("Amazon Elastic Compute Cloud", "Compute", AWS, "deploy"),
    Service("Amazon Simple Storage Service", "Storage", AWS, "storage"),
)
DECOYS = (
    Service("Model Studio", "AI and Machine Learning", ALIBABA, "other"),
    Service("Short Message Service", "Integration", ALIBABA, "other"),
    Service("Domain Names", "Networking", ALIBABA, "other"),
    Service("Support Plan", "Other", ALIBABA, "other"),
)
FAMILY = {s.name: s.family for s in (*WORKLOADS, *DECOYS)}

HABITS = (
    (0, 1, 4, 5, 6),
    (0, 1, 4, 5, 6),
    (0, 1, 4, 5, 6),
    (0, 1, 4, 5, 6, 7, 8, 11, 12, 13, 14, 18, 19),
    (0, 1, 2, 3, 13),
    (0, 1, 2, 3, 14),
    (0, 1, 2, 3, 4),
    (0, 1, 2, 3),
    (0, 3, 6, 9, 12),
    (0, 4, 8, 12, 16, 20, 24),
    (0, 1, 2, 3, 9, 10, 16, 17, 18),
)
TOTALS = ("29.99", "29.9949", "29.995", "30", "30", "30.01", "45", "45", "60", "120", "9.5")
CENTS = ("0.005", "0.0051", "0.0049", "0.01")


@dataclass
class Life:
    """What is drawn for one team before any row exists."""

    team: str
    start: date | None
    base: date
    habit: tuple[int, ...]
    t0: date
    """The day on which the habit is there, when nothing else goes wrong."""
    ids: dict[str, str] = field(default_factory=dict)


class _World:
    """Draws one world; every public method adds rows."""

    def __init__(self, seed: int, rates: Sequence[Rate]) -> None:
        self.random = random.Random(seed)
        self.rates = rates
        pick = self.random
        self.calm = self.chance(0.3)  # long, many early teams, full look-back: shares get printed
        self.length = 300 if self.calm else pick.choice((60, 90, 150, 220, 240, 270, 300))
        self.first = date(2025, 1, 1) + timedelta(days=pick.randrange(120))
        self.last = self.first + timedelta(days=self.length - 1)
        self.charges_end = self.last - timedelta(days=pick.choice((0, 0, 1, 2)))
        self.complete = self.charges_end + timedelta(days=1 - LAG_AND_WINDOW)
        steps = sorted(pick.sample(range(20, self.length), 3))
        self.batches = [self._utc(self.first + timedelta(days=d), 1) for d in steps]
        self.batches.append(self._utc(self.last + timedelta(days=3), 1))
        self.requests: list[Request] = []
        self.subscriptions: list[Subscription] = []
        self.bill: list[Charge] = []  # the final truth of each period; snapshots are drawn from it
        self.links: list[Link] = []
        self.teams: list[Team] = []
        self.lives: list[Life] = []
        self.joined: set[str] = set()
        self.trouble = 0.0  # how often a call of the team at hand isn't an accepted one

    # small draws

    @staticmethod
    def _utc(day: date, hour: int = 0) -> datetime:
        return datetime.combine(day, time(hour), tzinfo=UTC)

    @staticmethod
    def _midnight(day: date) -> datetime:
        """The moment when a business day begins."""
        return datetime.combine(day, time(), tzinfo=ZONE).astimezone(UTC)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def day(self, low: date, high: date) -> date:
        return low + timedelta(days=self.random.randrange(max((high - low).days, 0) + 1))

    def moment(self, day: date) -> datetime:
        """A time of a business day, often beside its midnight."""
        second = self.random.choice((0, 1, 30 * 60, 24 * 3600 - 1, self.random.randrange(86400)))
        return self._midnight(day) + timedelta(seconds=second)

    def recorded(self, at: datetime) -> datetime:
        """The first batch after a moment, sometimes a later one."""
        later = [b for b in self.batches if b >= at] or self.batches[-1:]
        return later[min(self.random.choice((0, 0, 0, 0, 1, 2)), len(later) - 1)]

    # teams and links

    def team(self, number: int) -> None:
        pick = self.random
        name = pick.choice(("team-{}", "00{}", "t{}")).format(number)
        latest = max(self.complete - timedelta(days=pick.choice((4, 6, 8, 20))), self.first)
        start = self.day(self.first, latest)
        if self.calm:
            start = self.day(self.first, self.first + timedelta(days=120))
        elif self.chance(0.4):  # leave room for the look-back
            start = self.day(min(self.first + timedelta(days=180), latest), latest)
        elif self.chance(0.1):  # the habit comes when the data ends
            start = self.charges_end - timedelta(days=pick.choice((4, 5, 6, 7)))
        elif self.chance(0.5):  # leave room for the horizons
            start = self.day(self.first, self.first + (latest - self.first) / 3)
        base = start + timedelta(days=pick.choice((0, 0, 0, 0, 0, 1, 7, 25)))
        if self.chance(0.1):
            base = start - timedelta(days=pick.choice((1, 3)))
        habit = pick.choice(HABITS[:5] if self.calm else HABITS)
        t0 = base + timedelta(days=habit[min(4, len(habit) - 1)])
        life = Life(name, None if self.chance(0.05) else start, base, habit, t0)
        for source in ("gateway", "proxy", "plan", "billing", "billing2"):
            life.ids[source] = name
        if self.chance(0.4):
            self._link_team(life)
        self.lives.append(life)
        if self.chance(0.8):
            region = pick.choice(("cn-hangzhou", "cn-beijing", None))
            self.teams.append(Team(name, region, "software", pick.choice(("ads", "organic"))))

    def _link_team(self, life: Life) -> None:
        """Every source has an id of its own; sometimes the first link was wrong and is
        corrected."""
        long_ago = self._midnight(self.first - timedelta(days=400))
        corrected = self.chance(0.2)
        for source in life.ids:
            life.ids[source] = f"{source[0]}{len(source)}-{life.team}"
            link = Link(source, life.ids[source], life.team, long_ago, None, self.batches[0])
            if corrected and self.lives:
                wrong = self.random.choice(self.lives).team
                self.links.append(replace(link, team_id=wrong))
                link = replace(link, recorded_at=self.batches[1])
            self.links.append(link)

    def merge(self) -> None:
        """One team joins another, or, when an id stays behind, only a part of it does."""
        absorbed, survivor = self.random.sample(self.lives, 2)
        if {absorbed.team, survivor.team} & self.joined:
            return  # no chains, no circles
        self.joined |= {absorbed.team, survivor.team}
        if self.chance(0.3):  # the survivor is a standing customer
            for i in range(8):
                begin = self._utc(survivor.base + timedelta(days=30 * i - 100))
                self._row(
                    survivor, "billing", begin, 720, Decimal(90), WORKLOADS[0], "CNY", None
                )  # fmt: skip
        starts = [c.charge_start for c in self.bill if c.account == absorbed.ids["billing"]]
        around = [absorbed.t0 + timedelta(days=d) for d in (28, 29, 40, 60)]
        around += [
            s.astimezone(ZONE).date() + timedelta(days=d) for s in starts[:2] for d in (27, 28, 29)
        ]
        on = self.random.choice(around)
        stays = self.random.choice(list(absorbed.ids)) if self.chance(0.25) else None
        recorded_at = self.recorded(self._midnight(on)) if self.chance(0.8) else self.batches[0]
        for source, source_id in absorbed.ids.items():
            if source == stays:
                continue
            old = [x for x in self.links if (x.source, x.source_id) == (source, source_id)]
            if old and self.chance(0.5):
                closed = replace(old[-1], valid_to=self._midnight(on), recorded_at=recorded_at)
                if closed.recorded_at > old[-1].recorded_at:
                    self.links.append(closed)
            since = self._midnight(on)
            known = max([recorded_at, *(x.recorded_at for x in old)])
            self.links.append(Link(source, source_id, survivor.team, since, None, known))

    def resell(self) -> None:
        """A sub-account that belongs to another team than its account."""
        owned = sorted({(c.source, c.account, c.sub_account) for c in self.bill if c.sub_account})
        if not owned or self.chance(0.5):
            return
        source, _, sub = self.random.choice(owned)
        since = self._midnight(self.first - timedelta(days=400))
        if self.chance(0.3):
            since = self._midnight(self.day(self.first, self.last))
        team = self.random.choice(self.lives).team
        if team not in self.joined:
            self.links.append(Link(source, str(sub), team, since, None, self.batches[0]))

    # the plan

    def plan(self, life: Life) -> None:
        if life.start is None:
            return
        events: list[tuple[date, str, date | None, str | None]] = []
        cursor = life.start
        if self.chance(0.15):
            trial = cursor - timedelta(days=self.random.choice((3, 7, 14)))
            events.append((trial, "started", cursor, "0"))
        until = cursor + timedelta(days=self.random.choice((30, 31, 365)))
        events.append((cursor, "started", until, self.random.choice(("7.90", "200", None))))
        while until < self.last and self.chance(0.85):
            gap = self.random.choice((0, 0, 0, 0, 0, 13, 14, 15, 16))
            if gap or self.chance(0.1):
                events.append((until, "ended", None, None))
            cursor = until + timedelta(days=gap)
            until = cursor + timedelta(days=30)
            kind = self.random.choice(("renewed", "renewed", "upgraded", "downgraded"))
            events.append((cursor, "started" if gap else kind, until, "40"))
        noise = [k for k in ("refunded", "payment_failed", "cancelled") if self.chance(0.1)]
        events += [(self.day(life.start, self.last), kind, None, "-7.90") for kind in noise]
        for number, (on, kind, end, net) in enumerate(events):
            if on > self.last:
                continue
            occurred_at = self._midnight(on) + timedelta(hours=9)
            event = Subscription(
                source="plan",
                event_id=f"ev-{life.team}-{number}",
                account=life.ids["plan"],
                plan=self.random.choice(("lite", "pro")),
                event=kind,
                occurred_at=occurred_at,
                recorded_at=self.recorded(occurred_at),
                period_start=self._midnight(on) if end else None,
                period_end=self._midnight(end) if end else None,
                list_amount=Decimal(200) if end else None,
                net_amount=Decimal(net) if net is not None else None,
                currency="CNY",
            )
            self.subscriptions.append(event)
            if self.chance(0.1):
                self.subscriptions.append(replace(event, recorded_at=self.batches[-1]))

    # the requests

    def work(self, life: Life) -> None:
        members = [f"m{i}" for i in range(self.random.choice((1, 1, 1, 2, 5, 6, 21)))]
        if self.chance(0.1):
            members.append("")
        source = self.random.choice(("gateway", "gateway", "gateway", "proxy"))
        keyless = self.chance(0.2)
        counts = (2, 3) if self.chance(0.1) else (3, 3, 3, 4, 5)
        self.trouble = 0.1 if self.chance(0.15) else 0.004
        for offset in life.habit:
            day = life.base + timedelta(days=offset)
            for i in range(self.random.choice(counts)):
                self._request(life, source, day, f"{life.team}-{offset}-{i}", members, keyless)
            if self.chance(0.2):
                self._request(
                    life, source, day, f"{life.team}-{offset}-no", members, keyless, ok=False
                )
        for _ in range(self.random.choice((0, 0, 3, 10))):
            day = self.day(self.first, self.last)
            self._request(life, source, day, f"{life.team}-x{day}", members, keyless)
        if self.chance(0.3):  # a member at the edge of the 28 days of the class
            day = life.t0 - timedelta(days=self.random.choice((26, 27, 28)))
            self._request(life, source, day, f"{life.team}-edge", ["edge"], keyless)
        if self.chance(0.2):  # ids that come back every day
            for offset in (0, 1, 5):
                day = life.base + timedelta(days=offset)
                self._request(life, source, day, f"{life.team}-again", members, keyless)

    def _request(
        self,
        life: Life,
        source: str,
        day: date,
        request_id: str,
        members: Sequence[str],
        keyless: bool,
        *,
        ok: bool = True,
    ) -> None:
        if day > self.last:
            return
        pick = self.random
        if any(
            r.request_id == request_id and r.source == source
            and r.requested_at.astimezone(ZONE).date() == day
            for r in self.requests
        ):  # fmt: skip
            return  # another version of a request is only made below, where it can't tie
        at = self.moment(day)
        status = "ok"
        if not ok or self.chance(self.trouble):
            status = pick.choice(("refused", "throttled", "failed"))
        request = Request(
            source=source,
            request_id=request_id,
            account=life.ids[source],
            requested_at=at,
            received_at=at + timedelta(seconds=800 + pick.randrange(600)),
            status=status,
            refused_by=pick.choice(("5h", "week", "month")) if status == "refused" else None,
            recorded_at=self.recorded(at),
            member=pick.choice(members) or None,
            on_plan=None if keyless else not self.chance(self.trouble),
            model=pick.choice(("qwen3-coder-plus", "qwen3.5-plus")),
            task=pick.choice(("code", "deploy", None)),
            input_tokens=pick.randrange(5000),
            cached_tokens=pick.choice((None, 0, 10)),
            output_tokens=pick.randrange(900),
        )
        again = self.chance(0.15)
        if again:  # delivered again, byte for byte
            self.requests.append(replace(request, recorded_at=self.recorded(at)))
        if self.chance(0.08):  # another version, received earlier or, seldom, later
            assert request.received_at is not None
            seconds = pick.choice((700, 7200, 900_000)) if self.chance(self.trouble) else -700
            other = replace(
                request,
                status="failed" if request.status == "ok" else "ok",
                refused_by=None,
                received_at=request.received_at + timedelta(seconds=seconds),
                recorded_at=self.recorded(at),
            )
            self.requests.append(other)
        elif not again and self.chance(0.05):
            request = replace(request, received_at=None)
        self.requests.append(request)

    # the bill

    def spend(self, life: Life) -> None:
        """Spells of charges that begin on the days where the metric decides."""
        start = life.start or life.t0
        old = [start + timedelta(days=d) for d in (-210, -181, -180, -179, -22, -1)]
        near = [life.t0 + timedelta(days=d) for d in (-6, -1, 0, 0, 1, 1)]
        later = [
            life.t0 + timedelta(days=d) for d in (1, 2, 10, 17, 29, 30, 31, 45, 60, 89, 90, 91)
        ]
        end = [self.complete + timedelta(days=d) for d in (-1, 0, 1)]
        source = self.random.choice(("billing", "billing", "billing", "billing2"))
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            days = self.random.choice((old, near, later, later, later, later, end))
            self._spell(life, source, self.random.choice(days))
        if self.chance(0.05):
            self._spell(life, "billing2", self.random.choice(later))
        for _ in range(self.random.choice((0, 0, 1, 4))):
            self._decoys(life, source)

    def _spell(self, life: Life, source: str, first: date) -> None:
        pick = self.random
        count = pick.choice((20, 21, 21, 21, 21, 22, 28, 40, 60))
        offsets = list(range(count))
        layout = pick.randrange(8)
        if layout == 0 and count <= 21:  # the last day ends the window, or leaves it
            offsets[-1] = pick.choice((26, 27, 28))
        elif layout == 1:
            offsets = [2 * i for i in range(11)]
        total = Decimal(pick.choice(TOTALS))
        service = pick.choice(WORKLOADS)
        currency = pick.choice(("CNY",) * 6 + ("USD", "EUR", "JPY"))
        if currency != "CNY":
            rate = next(r.cny for r in self.rates if r.currency == currency)
            total = (total / rate).quantize(Decimal("0.0001"))
        sub = pick.choice((None, None, f"{life.ids[source]}-a", f"{life.ids[source]}-b"))
        other = f"{life.ids[source]}-c"
        mixed = self.chance(0.3)
        if layout == 2:
            self._long_row(life, source, first, total, service, currency, sub)
            return
        share = (total / len(offsets)).quantize(
            Decimal(1).scaleb(-pick.choice((2, 4, 18))), ROUND_DOWN
        )
        amounts = [share] * (len(offsets) - 1) + [total - share * (len(offsets) - 1)]
        if self.chance(0.1):
            amounts[-1] = Decimal(pick.choice(CENTS))
        several = self.chance(0.3)
        shape = pick.randrange(4)
        for offset, amount in zip(offsets, amounts, strict=True):
            day = first + timedelta(days=offset)
            service = pick.choice(WORKLOADS) if several else service
            begin, hours = self._utc(day), 24
            if shape == 1:
                begin, hours = self._midnight(day), 24
            elif shape == 2:
                begin, hours = self._midnight(day) + timedelta(hours=pick.randrange(24)), 1
            pieces = [amount]
            if self.chance(0.1):  # two equal rows are two charges
                with localcontext(prec=60):
                    pieces = [amount / 2, amount / 2]
            where = pick.choice((sub, other)) if mixed else sub
            for piece in pieces:
                self._row(life, source, begin, hours, piece, service, currency, where)
        if self.chance(0.25):
            self._give_back(life, source, first, offsets, amounts, service, currency, sub)

    def _long_row(
        self,
        life: Life,
        source: str,
        first: date,
        total: Decimal,
        service: Service,
        currency: str,
        sub: str | None,
    ) -> None:
        """Prepaid: a month, a year that reaches into the future, a week again and again, 36
        hours."""
        hours = self.random.choice((30 * 24, 31 * 24, 365 * 24, 7 * 24, 36))
        if hours < 24 * 30:
            for i in range(24 * 35 // hours):
                begin = self._utc(first) + timedelta(hours=hours * i)
                self._row(life, source, begin, hours, total / 4, service, currency, sub)
        else:
            self._row(life, source, self._utc(first), hours, total, service, currency, sub)

    def _give_back(
        self,
        life: Life,
        source: str,
        first: date,
        offsets: Sequence[int],
        amounts: Sequence[Decimal],
        service: Service,
        currency: str,
        sub: str | None,
    ) -> None:
        """A correction, a refund, a credit on the service, or a voucher that names none."""
        pick = self.random
        i = pick.randrange(len(offsets))
        day = self._utc(first + timedelta(days=offsets[i]))
        kind = pick.randrange(4)
        if kind == 0:
            late = (day.replace(day=1) + timedelta(days=40)).replace(day=1)
            self._row(
                life, source, day, 24, -amounts[i], service, currency, sub,
                charge_class="Correction", period=late,
            )  # fmt: skip
        elif kind == 1:
            self._row(life, source, day, 24, -amounts[i] / 2, service, currency, sub)
        elif kind == 2:
            self._row(
                life, source, day, 24, -amounts[i], service, currency, sub, category="Credit"
            )  # fmt: skip
        else:
            month = day.replace(day=1)
            account = life.ids[source]
            if any(c.service is None and c.account == account for c in self.bill):
                return  # two vouchers over the same rows: the text doesn't say which goes first
            begin, hours = pick.choice(((month, 31 * 24), (day, 24), (day, 7 * 24)))
            value = -sum(amounts, Decimal(0)) * pick.choice((1, 2, 3, 6)) / 4
            self._row(
                life, source, begin, hours, value, None, currency, pick.choice((None, sub)),
                category="Credit",
            )  # fmt: skip

    def _decoys(self, life: Life, source: str) -> None:
        """Money that is no workload, for weeks."""
        first = self.day(self.first, self.last)
        service = self.random.choice(DECOYS)
        tax = self.chance(0.2)
        for i in range(self.random.choice((1, 21, 28))):
            self._row(
                life, source, self._utc(first + timedelta(days=i)), 24, Decimal("4.5"),
                replace(WORKLOADS[0], family="tax") if tax else service, "CNY", None,
                category="Tax" if tax else "Usage",
            )  # fmt: skip

    def _row(
        self,
        life: Life,
        source: str,
        begin: datetime,
        hours: int,
        amount: Decimal,
        service: Service | None,
        currency: str,
        sub: str | None,
        *,
        category: str = "Usage",
        charge_class: str | None = None,
        period: datetime | None = None,
    ) -> None:
        if begin.astimezone(ZONE).date() > self.charges_end:
            return
        period = (period or begin).replace(day=1, hour=0, minute=0, second=0)
        account = life.ids[source]
        billed, effective = self._costs(account, period, amount)
        self.bill.append(
            Charge(
                source=source,
                snapshot="",
                account=account,
                sub_account=sub,
                provider=service.provider if service else ALIBABA,
                family=service.family if service else "other",
                service=service.name if service else None,
                service_category=service.category if service else "Other",
                charge_start=begin,
                charge_end=begin + timedelta(hours=hours),
                currency=currency,
                billing_period=period,
                recorded_at=begin,
                billed=billed,
                effective=effective,
                category=category,
                charge_class=charge_class,
            )
        )

    def _costs(
        self, account: str, period: datetime, amount: Decimal
    ) -> tuple[Decimal, Decimal | None]:
        """One cost basis a period: equal, without EffectiveCost, discounted, committed."""
        amount = amount.quantize(Decimal(1).scaleb(-18))
        kind = random.Random(f"{account} {period:%Y-%m}").randrange(8)
        if kind == 0:
            return amount, None
        if kind == 1:
            return (amount * 3).quantize(Decimal("0.01")), amount
        if kind == 2:
            return Decimal(0), amount
        if kind == 3 and self.chance(0.1):
            return amount, None
        return amount, amount

    # snapshots

    def snapshots(self) -> list[Charge]:
        """Restate each period: early prints lack rows, have others, or say another amount."""
        periods: dict[tuple[str, str, datetime], list[Charge]] = defaultdict(list)
        for row in self.bill:
            periods[row.source, row.account, row.billing_period].append(row)
        rows: list[Charge] = []
        for (source, _, period), final in sorted(periods.items(), key=lambda x: x[0]):
            if source == "billing2":  # files beside each other: one snapshot without a name
                rows += [replace(c, recorded_at=self.recorded(c.charge_start)) for c in final]
                continue
            ends = [period + timedelta(days=d) for d in sorted(self.random.sample(range(5, 75), 3))]
            ends = ends[: self.random.choice((0, 1, 2))]
            last = max([self.batches[-1], *ends]) + timedelta(days=1)
            for at in ends:
                early = [self._misprint(c) for c in final if c.charge_start < at]
                early = [c for c in early if not self.chance(0.1)]
                rows += self._print(early, at, self.recorded(at))
            rows += self._print(final, last, self.batches[-1])
        return rows

    def _misprint(self, row: Charge) -> Charge:
        if self.chance(0.1) and row.billed is not None and row.effective is not None:
            return replace(row, billed=row.billed * 2, effective=row.effective * 2)
        return row

    @staticmethod
    def _print(rows: Iterable[Charge], at: datetime, recorded_at: datetime) -> list[Charge]:
        """One snapshot; an old one may arrive after a newer one."""
        return [replace(c, snapshot=f"{at:%Y-%m-%d}", recorded_at=recorded_at) for c in rows]

    def anchor(self) -> None:
        """Pin the first and last day of both families: an account that is no subscriber."""
        life = Life("anchor", None, self.first, (), self.first)
        life.ids = dict.fromkeys(("gateway", "billing", "billing2"), "anchor")
        storage = WORKLOADS[1]
        starts = [x.start for x in self.lives if x.start is not None]
        for source in ("billing", "billing2"):
            if source == "billing2" and self.chance(0.3):
                continue
            begin = self.first
            if self.calm or self.chance(0.5):
                begin = self.first - timedelta(days=200)
            elif starts:
                edge = self.random.choice(starts) - timedelta(days=180)
                begin = edge + timedelta(days=self.random.choice((0, 0, 1)))
            self._row(life, source, self._utc(begin), 24, Decimal(1), storage, "CNY", None)
        end = self._utc(self.charges_end)
        self._row(life, "billing", end, 24, Decimal(1), storage, "CNY", None)
        self._request(life, "gateway", self.last, "anchor", ["m"], keyless=False)


def make_world(seed: int, rates: Sequence[Rate] = RATES) -> Evidence:
    """Ten to forty teams over 60 to 300 days."""
    world = _World(seed, rates)
    for number in range(40 if world.calm else world.random.randrange(10, 41)):
        world.team(number)
    for life in world.lives:
        world.plan(life)
        world.work(life)
        world.spend(life)
    for _ in range(world.random.choice((0, 1, 2, 3))):
        world.merge()
    world.resell()
    world.anchor()
    return Evidence(
        requests=world.requests,
        subscriptions=world.subscriptions,
        charges=world.snapshots(),
        links=world.links,
        teams=world.teams,
        rates=tuple(rates),
    )


def clocks(evidence: Evidence, seed: int) -> list[tuple[date | None, datetime | None]]:
    """Pairs (A, K) worth asking for: the defaults, an earlier A, K on a batch and just before
    it."""
    pick = random.Random(seed)
    times = sorted({r.recorded_at for r in evidence.requests})
    newest = max(r.requested_at for r in evidence.requests).date()
    earlier = newest - timedelta(days=pick.randrange(1, 20))
    batch = pick.choice(times)
    pairs: list[tuple[date | None, datetime | None]] = [
        (None, None),
        (earlier, None),
        (None, batch),
    ]
    if batch > times[0]:
        pairs.append((None, batch - timedelta(microseconds=1)))
    return pairs


# --- landing files ------------------------------------------------------------------------------


def write_landing(evidence: Evidence, landing: Path, files: int = 3, shuffle_seed: int = 0) -> None:
    """The world as files: every batch of rows shuffled and dealt into up to `files` files.

    A file has one recorded time, so rows of two batches never share one.
    """
    pick = random.Random(shuffle_seed)
    recorded: dict[str, dict[Path, str]] = defaultdict(dict)

    def deal(folder: Path, stem: str, kinds: Sequence[str], rows: list[Row], at: datetime) -> None:
        pick.shuffle(rows)
        piles = [pile for pile in _deal(rows, pick.randrange(1, files + 1), pick) if pile]
        for number, pile in enumerate(_unlike(piles)):
            path = folder / f"{stem}-{at:%Y%m%dT%H%M%S}-{number}.{pick.choice(kinds)}"
            _write(path, pile, pick)
            recorded[path.relative_to(landing).parts[0]][path] = _stamp(at)

    for (source, at), requests in _grouped(evidence.requests, lambda r: (r.source, r.recorded_at)):
        rows = [_request_row(r) for r in requests]
        deal(landing / source, "requests", ("jsonl", "csv", "parquet", "csv.gz"), rows, at)
    for (source, at), events in _grouped(
        evidence.subscriptions, lambda s: (s.source, s.recorded_at)
    ):
        rows = [_subscription_row(s) for s in events]
        deal(landing / source, "events", ("jsonl", "csv"), rows, at)
    for (source, snapshot, at), charges in _grouped(
        evidence.charges, lambda c: (c.source, c.snapshot, c.recorded_at)
    ):
        rows = [_charge_row(c) for c in charges]
        deal(landing / source / snapshot, "bill", ("csv", "csv", "csv.gz"), rows, at)
    for (at,), links in _grouped(evidence.links, lambda k: (k.recorded_at,)):
        deal(landing / "directory", "account_links", ("csv",), [_link_row(k) for k in links], at)
    first = min(r.recorded_at for r in evidence.requests)
    if evidence.teams:
        path = landing / "directory" / "teams.csv"
        _write(path, [_team_row(t) for t in evidence.teams], pick)
        recorded["directory"][path] = _stamp(first)
    for source, paths in recorded.items():
        write_manifest(landing / source, paths)


def _grouped(rows: Iterable[T], key: Callable[[T], Any]) -> list[tuple[Any, list[T]]]:
    groups: dict[Any, list[T]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return sorted(groups.items())


def _deal(rows: Sequence[Row], count: int, pick: random.Random) -> list[list[Row]]:
    piles: list[list[Row]] = [[] for _ in range(count)]
    for row in rows:
        pick.choice(piles).append(row)
    return piles


def _unlike(piles: list[list[Row]]) -> list[list[Row]]:
    """Piles of which no two hold the same rows."""
    unlike: list[list[Row]] = []
    for pile in piles:
        same = [other for other in unlike if sorted(map(repr, other)) == sorted(map(repr, pile))]
        if same:
            same[0].extend(pile)
        else:
            unlike.append(pile)
    return unlike


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _iso(at: datetime | None) -> str | None:
    return _stamp(at) if at is not None else None


def _plain(value: Decimal | None) -> str | None:
    return f"{value:f}" if value is not None else None


def _request_row(row: Request) -> Row:
    return {
        "request_id": row.request_id,
        "team": row.account,
        "member": row.member,
        "requested_at": _iso(row.requested_at),
        "received_at": _iso(row.received_at),
        "model": row.model,
        "task": row.task,
        "session": row.session,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "status": row.status,
        "refused_by": row.refused_by,
        "on_plan": row.on_plan,
    }


def _subscription_row(row: Subscription) -> Row:
    return {
        "event_id": row.event_id,
        "team": row.account,
        "plan": row.plan,
        "event": row.event,
        "occurred_at": _iso(row.occurred_at),
        "period_start": _iso(row.period_start),
        "period_end": _iso(row.period_end),
        "list_amount": _plain(row.list_amount),
        "net_amount": _plain(row.net_amount),
        "currency": row.currency,
        "promotion": row.promotion,
    }


def _charge_row(row: Charge) -> Row:
    billed = _plain(row.billed)
    period_end = (row.billing_period + timedelta(days=32)).replace(day=1)
    return dict.fromkeys(FOCUS_COLUMNS) | {
        "BilledCost": billed,
        "BillingAccountId": row.account,
        "BillingAccountName": row.account,
        "BillingCurrency": row.currency,
        "BillingPeriodStart": _iso(row.billing_period),
        "BillingPeriodEnd": _iso(period_end),
        "ChargeCategory": row.category,
        "ChargeClass": row.charge_class,
        "ChargeDescription": row.description,
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _iso(row.charge_start),
        "ChargePeriodEnd": _iso(row.charge_end),
        "ContractedCost": billed,
        "EffectiveCost": _plain(row.effective),
        "InvoiceIssuerName": row.provider,
        "ListCost": billed,
        "PricingCategory": "Standard",
        "ProviderName": row.provider,
        "PublisherName": row.provider,
        "ResourceId": row.resource,
        "ServiceCategory": row.service_category,
        "ServiceName": row.service,
        "SkuId": row.sku,
        "SubAccountId": row.sub_account,
    }


def _link_row(row: Link) -> Row:
    return {
        "source": row.source,
        "source_id": row.source_id,
        "team_id": row.team_id,
        "valid_from": _iso(row.valid_from),
        "valid_to": _iso(row.valid_to),
        "recorded_at": _iso(row.recorded_at),
        "method": "contract",
        "confidence": "1.0",
    }


def _team_row(row: Team) -> Row:
    return {
        "team_id": row.team_id,
        "region": row.region,
        "industry": row.industry,
        "channel": row.channel,
        "opened_at": None,
    }


def _write(path: Path, rows: Sequence[Row], pick: random.Random) -> None:
    """One file; CSV columns in any order, with or without BOM, LF or CRLF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        write_requests_parquet(path, rows)
        return
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return
    columns = pick.sample(list(rows[0]), len(rows[0]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=pick.choice(("\n", "\r\n")))
    writer.writerow(columns)
    writer.writerows([_cell(row[c]) for c in columns] for row in rows)
    data = text.getvalue().encode(pick.choice(("utf-8", "utf-8", "utf-8-sig")))
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _cell(value: str | int | bool | None) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
