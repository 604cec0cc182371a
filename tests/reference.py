"""The judge: the metric once more, slowly, in plain Python.

What belongs here: one small function per rule of METRIC.md, with the sentence that it implements
quoted in its docstring, and `evaluate`, which applies them in the order of the text. Dataclasses,
dictionaries, `Decimal` and `datetime` only. What does not: anything of the product, any frame
library, any SQL, any clever step that would need a test of its own. Slow is fine; unclear is not.

Input is canonical rows (`Evidence`), a `Definition`, optionally an as-of day A and a known-at time
K. Output is one row per team, the daily facts behind it, and the estimators over those rows.

Readings (where METRIC.md or FORMATS.md leave a choice, this file chose):

R1  First paid subscription: the first started, renewed, upgraded or downgraded event whose net
    amount is above 0; a missing net amount falls back to the list amount, and when both are
    missing the event counts as paid. S is the business day of occurred_at. A later refund or
    failed payment doesn't move S.
R2  Subscription events are delivered at least once: one per (source, event_id), the latest
    occurred_at, ties by content.
R3  Latest received_at wins among copies of one request; a missing received_at is older than any
    other. Ties by content: the greatest tuple of the row's fields. De-duplication comes before
    every filter, so a refused last version removes an ok first one, and the last version's team
    owns the request.
R4  The newest business day of the charges (default A) is the newest business day of a charge
    *start*: a prepaid row that reaches into the future is no observation of that future.
    Requests of any status count. Subscriptions, links and teams are no family of the as-of
    rule.
R5  Days >= A are not used at all (requests, subscription events, booked parts of charges,
    merges). A first q later than the last decidable day is not decided: moved_on and W are
    null, not "later than C".
R6  A member that a source doesn't name is one member ("") of its team.
R7  A member counts for the class with >= 1 accepted request in [T0-27, T0], on an active day or
    not.
R8  Links are read by whole business days: a link holds on the business days from the one of
    valid_from up to, not including, the one of valid_to. Rows with the same (source, source_id,
    valid_from) are versions of one link: the last recorded one is the link. Among links that
    hold on a day the last recorded wins, then the later valid_from, then the greater team_id.
    For K the row's own recorded_at counts.
R9  A charge that covers many days is linked day by day: on a merge day m its parts before m
    stay with the absorbed team, the others go to the survivor. Sub-account link before account
    link, before the account's own id.
R10 A team is absorbed when every identity (source, account, sub-account) that ever was its own
    is linked to another team from some day < A on. m is the last of these days; the survivor is
    the team of that last move. One identity that stays makes it a split: the team keeps its
    clock and nothing is flagged.
R11 moved_on of an absorbed team is the first q in [S, min(C, m-28)], as its censor day says.
    Its state is null by the letter only when T0 > C; T0 > m-28 leaves a state, but no time >=
    1.
R12 The billing period of a charge is identified by its start. A snapshot is the first
    sub-folder of a source; files beside the sub-folders are the snapshot "" (the smallest).
    Names compare as text.
R13 A period "has" EffectiveCost when any row of its winning snapshot has one (0 is one). Then a
    row without one is worth 0 in that period.
R14 Equal decimal parts have 18 decimals, rounded toward zero; the last part takes what is
    missing. A charge without an end, or that ends at or before its start, is one day.
R15 A credit without a service is a negative amount whose service name is missing. Its positive
    rows: same source, account and currency, and same sub-account if the credit names one (all
    of the account if it doesn't; no second try on the account). Day parts count that fall on
    the credit's own business days, whatever billing period they are billed in, non-workloads
    too. Each credit is spread on its own, never beyond those parts' sum: what exceeds it, and
    the rounding (18 decimals, toward zero), is the remainder.
R16 Conversion happens after splitting and spreading, without rounding. A rate holds for 7 days
    past its validity; a pair that is missing after that is an error.
R17 Coverage of a team: the charge sources where it has a booked part or a link that holds on
    some day (one that another link overrules on every day is none). All of them
    have to reach back to S-180 (the latest start decides). A team that is in none is covered by
    the earliest source; with no charge source at all nobody is covered. The earliest charge day
    of a source is the earliest business day of a charge start among the rows that count (after
    snapshot replacement).
R18 Outcomes are given for every integrated team whatever its state; the headline then takes new
    and dormant. A team that is not integrated has none.
R19 Plan churn: covers are [period start or occurred_at, period end) of started, renewed,
    upgraded and downgraded from S on; `ended` cuts every cover short; cancelled, refunded and
    payment_failed change nothing. churned_on is the first uncovered day of the first gap longer
    than 14 days (next start - first uncovered day > 14; an open gap once that day + 14 < A)
    that isn't over at T0. after_churn: W >= churned_on.
R20 ITT: native and unknown are judged at S (q in [S-180, S-1]; coverage), integrated or not;
    entrants have C - S >= 0. Null rules as for the headline, on C - S.
R21 F(h) = 0 has the interval [0, 1 - 0.025^(1/n)] with n = at risk at h; in the table of a
    Kaplan-Meier curve n is that row's own at_risk.
R22 A row for every team seen in requests, subscriptions, charges (days < A) or the teams table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import TypeVar
from zoneinfo import ZoneInfo

DIGITS = 100  # working precision of every sum and product: far more than any row carries
ATOM = Decimal(1).scaleb(-18)
FEN = Decimal("0.01")
Z95 = 1.959963984540054
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
Key = TypeVar("Key")
PAID_EVENTS = ("started", "renewed", "upgraded", "downgraded")


@dataclass(frozen=True)
class Definition:
    """Every parameter of METRIC.md with its default."""

    zone: str = "Asia/Shanghai"
    active_day_requests: int = 3
    habit_window_days: int = 14
    habit_active_days: int = 5
    habit_weeks: int = 2
    habit_min_members: int = 1
    workload_families: tuple[str, ...] = ("deploy", "storage", "database", "observability")
    host_providers: tuple[str, ...] | None = None
    billable_cny: Decimal = Decimal("0.005")
    qualifying_days: int = 21
    qualifying_window: int = 28
    qualifying_cny: Decimal = Decimal(30)
    lookback_days: int = 180
    lag_days: int = 3
    churn_grace_days: int = 14
    class_window_days: int = 28
    fx_grace_days: int = 7
    horizons: tuple[int, ...] = (30, 60, 90, 180)
    headline_horizon: int = 90
    min_at_risk: int = 10


# --- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    source: str
    request_id: str
    account: str
    requested_at: datetime
    status: str
    recorded_at: datetime
    member: str | None = None
    received_at: datetime | None = None
    on_plan: bool | None = None
    refused_by: str | None = None
    model: str = ""
    task: str | None = None
    session: str | None = None
    input_tokens: int = 0
    cached_tokens: int | None = None
    output_tokens: int = 0


@dataclass(frozen=True)
class Subscription:
    source: str
    event_id: str
    account: str
    plan: str
    event: str
    occurred_at: datetime
    recorded_at: datetime
    period_start: datetime | None = None
    period_end: datetime | None = None
    list_amount: Decimal | None = None
    net_amount: Decimal | None = None
    currency: str | None = None
    promotion: str | None = None


@dataclass(frozen=True)
class Charge:
    """One bill row. `family` is resolved by the caller; `service` is None when the row names
    none."""

    source: str
    snapshot: str
    account: str
    provider: str
    family: str
    charge_start: datetime
    charge_end: datetime | None
    currency: str
    billing_period: datetime
    recorded_at: datetime
    billed: Decimal | None = None
    effective: Decimal | None = None
    sub_account: str | None = None
    service: str | None = None
    service_category: str | None = None
    category: str = "Usage"
    charge_class: str | None = None
    sku: str | None = None
    resource: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Link:
    source: str
    source_id: str
    team_id: str
    valid_from: datetime
    valid_to: datetime | None
    recorded_at: datetime


@dataclass(frozen=True)
class Team:
    team_id: str
    region: str | None = None
    industry: str | None = None
    channel: str | None = None


@dataclass(frozen=True)
class Rate:
    """CNY for one unit of a currency on the days valid_from..valid_to, both included."""

    currency: str
    valid_from: date
    valid_to: date
    cny: Decimal


@dataclass(frozen=True)
class Evidence:
    """Everything that came in, plus the rates and declared coverage that the rules need."""

    requests: Sequence[Request] = ()
    subscriptions: Sequence[Subscription] = ()
    charges: Sequence[Charge] = ()
    links: Sequence[Link] = ()
    teams: Sequence[Team] = ()
    rates: Sequence[Rate] = ()
    coverage: Mapping[str, date] = field(default_factory=dict)


# --- results ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The share of one charge that is booked on one business day, in the charge's own currency."""

    day: date
    amount: Decimal
    charge: Charge


@dataclass
class Facts:
    """What the team rows are made of. Days are business days before A; families include
    non-workloads."""

    on_plan_ok: dict[tuple[str, date], int] = field(default_factory=dict)
    """(team, day) -> ok requests on the plan, before S too."""
    accepted: dict[tuple[str, date], int] = field(default_factory=dict)
    """(team, day) -> accepted requests (from S on)."""
    calls: dict[tuple[str, date, str, str], int] = field(default_factory=dict)
    """(team, day, member, kind) -> distinct requests on the plan; kind is the status, with
    refused_by behind a refused one (refused_5h)."""
    net: dict[tuple[str, date, str], Decimal] = field(default_factory=dict)
    """(team, day, family) -> CNY on the chosen cost basis, credits spread."""
    net_by_provider: dict[tuple[str, date, str, str], Decimal] = field(default_factory=dict)
    """(team, day, family, provider) -> the same, by provider."""
    booked: dict[tuple[date, str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    """(day, provider, currency) -> (billed, effective) of every current row, nothing spread,
    nothing converted."""
    remainder: dict[tuple[str, str, str], Decimal] = field(default_factory=dict)
    """(source, account, currency) -> credit that met no positive row: for ops, never for a
    family."""


@dataclass(frozen=True)
class TeamRow:
    team_id: str
    subscribed_on: date | None = None
    integrated_on: date | None = None
    state_at_t0: str | None = None
    moved_on: date | None = None
    converted_on: date | None = None
    """W"""
    censored_on: date | None = None
    team_class: str | None = None
    members_at_t0: int | None = None
    outcomes: Mapping[int, str] = field(default_factory=dict)
    churned_on: date | None = None
    after_churn: bool = False
    merged_into: str | None = None
    merged_on: date | None = None
    merged_into_native: bool = False
    native_at_s: bool = False
    unknown_at_s: bool = False


@dataclass(frozen=True)
class Evaluation:
    as_of: date
    data_complete_on: date
    teams: Mapping[str, TeamRow]
    facts: Facts
    coverage: Mapping[str, date]
    qualifying: Mapping[str, Sequence[date]]


# --- clocks -------------------------------------------------------------------------------------


def business_day(at: datetime, definition: Definition) -> date:
    """METRIC: "calendar day in the operating zone (`Asia/Shanghai`). Timestamps are stored in
    UTC"."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no zone: canonical timestamps are UTC")
    return at.astimezone(ZoneInfo(definition.zone)).date()


def known(recorded_at: datetime, known_at: datetime | None) -> bool:
    """METRIC: "only rows recorded up to K are used; default K = everything recorded"."""
    return known_at is None or recorded_at <= known_at


def default_as_of(
    requests: Sequence[Request], charges: Sequence[Charge], definition: Definition
) -> date:
    """METRIC: "Default A = 1 + the newest business day present in both requests and charges
    (the family that ends earlier decides: silence is not observation; a family never seen
    doesn't count)"."""
    newest = []
    if requests:
        newest.append(max(business_day(r.requested_at, definition) for r in requests))
    if charges:
        newest.append(max(business_day(c.charge_start, definition) for c in charges))
    if not newest:
        raise ValueError("neither a request nor a charge is known: there is no as-of day")
    return min(newest) + timedelta(days=1)


def data_complete_day(as_of: date, definition: Definition) -> date:
    """METRIC: "the last complete usage day is A - lag - 1 (lag 3 d); a q needs q..q+27 complete, so
    C = A - lag - 28 is the last decidable day"."""
    return as_of - timedelta(days=definition.lag_days + definition.qualifying_window)


# --- teams --------------------------------------------------------------------------------------


class LinkBook:
    """METRIC: "`account_links(source, source_id -> team_id, valid_from, valid_to, recorded_at,
    method, confidence)`; with no link the cloud main account is the team"."""

    def __init__(
        self, links: Iterable[Link], definition: Definition, known_at: datetime | None = None
    ) -> None:
        self.definition = definition
        versions: dict[tuple[str, str, datetime], Link] = {}
        for link in links:
            if not known(link.recorded_at, known_at):
                continue
            key = (link.source, link.source_id, link.valid_from)
            held = versions.get(key)
            if held is None or self._newer(link) > self._newer(held):
                versions[key] = link
        self.by_id: dict[tuple[str, str], list[Link]] = defaultdict(list)
        for link in versions.values():
            self.by_id[link.source, link.source_id].append(link)

    @staticmethod
    def _newer(link: Link) -> tuple[datetime, datetime, str]:
        end = link.valid_to or datetime.max.replace(tzinfo=UTC)
        return (link.recorded_at, end, link.team_id)

    def holds(self, link: Link, day: date) -> bool:
        """Reading R8: whole business days, the end exclusive."""
        if business_day(link.valid_from, self.definition) > day:
            return False
        return link.valid_to is None or day < business_day(link.valid_to, self.definition)

    def linked(self, source: str, source_id: str, day: date) -> str | None:
        """The team that a link names for an id on a day, else None."""
        holding = [k for k in self.by_id.get((source, source_id), ()) if self.holds(k, day)]
        if not holding:
            return None
        return max(holding, key=lambda k: (k.recorded_at, k.valid_from, k.team_id)).team_id

    def explicit(self, identity: Identity, day: date) -> str | None:
        """Sub-account link before account link; None when neither holds."""
        team = None
        if identity.sub_account is not None:
            team = self.linked(identity.source, identity.sub_account, day)
        return team if team is not None else self.linked(identity.source, identity.account, day)

    def team(self, identity: Identity, day: date) -> str:
        """The team of an identity on a day."""
        return self.explicit(identity, day) or identity.account

    def change_days(self, identity: Identity) -> list[date]:
        """Every day on which the team of an identity could change."""
        days: set[date] = set()
        for name in (identity.account, identity.sub_account):
            for link in self.by_id.get((identity.source, name), ()) if name is not None else ():
                days.add(business_day(link.valid_from, self.definition))
                if link.valid_to is not None:
                    days.add(business_day(link.valid_to, self.definition))
        return sorted(days)


@dataclass(frozen=True, order=True)
class Identity:
    """What a source calls a team: an account, or a sub-account of one."""

    source: str
    account: str
    sub_account: str | None = None


@dataclass(frozen=True)
class Merge:
    into: str
    on: date


def identities(evidence: Evidence, book: LinkBook) -> set[Identity]:
    """Every identity that delivered a row or stands in a link."""
    found = {Identity(r.source, r.account) for r in evidence.requests}
    found |= {Identity(s.source, s.account) for s in evidence.subscriptions}
    found |= {Identity(c.source, c.account, c.sub_account) for c in evidence.charges}
    sub_accounts = {(i.source, i.sub_account) for i in found}
    found |= {Identity(*key) for key in book.by_id if key not in sub_accounts}
    return found


def merges(evidence: Evidence, book: LinkBook, as_of: date) -> dict[str, Merge]:
    """METRIC: "Merge on day m: the survivor keeps T0 and gets the rows from m on; rows before m
    stay with the absorbed team" and "Split: the parent keeps the clock". Reading R10."""
    moves: dict[str, list[tuple[date, str]]] = defaultdict(list)
    keeps: set[str] = set()
    for identity in identities(evidence, book):
        changes = [d for d in book.change_days(identity) if d < as_of]
        teams = [book.team(identity, date.min), *(book.team(identity, day) for day in changes)]
        keeps.add(teams[-1])
        last_move: dict[str, tuple[date, str]] = {}
        for before, after, day in zip(teams, teams[1:], changes, strict=False):
            if after != before and book.explicit(identity, day) is not None:
                last_move[before] = (day, after)
            elif after != before:
                keeps.add(before)  # the link ended and nothing took over: no merge
        for team, move in last_move.items():
            moves[team].append(move)
    return {
        team: Merge(into=max(found)[1], on=max(found)[0])
        for team, found in moves.items()
        if team not in keeps
    }


# --- requests -----------------------------------------------------------------------------------


def _content(row: object) -> tuple[str, ...]:
    """A total order on the fields of a row, for ties: times by their moment, not by their zone."""
    return tuple(
        f"{key}={value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value!r}"
        for key, value in sorted(vars(row).items())
    )


def distinct_requests(requests: Iterable[Request], definition: Definition) -> list[Request]:
    """METRIC: "counted once per (source, request id)". FORMATS 10: "keep the latest
    received_at, ties by content. Identity = (source, request_id, business_day of requested_at):
    an id seen on two days counts on both"."""
    copies: dict[tuple[str, str, date], list[Request]] = defaultdict(list)
    for row in requests:
        day = business_day(row.requested_at, definition)
        copies[row.source, row.request_id, day].append(row)
    return [
        max(rows, key=lambda r: (r.received_at or LONG_AGO, _content(r)))
        for rows in copies.values()
    ]


def is_on_plan(request: Request) -> bool:
    """METRIC: "made on the plan (not with a pay-as-you-go key; a source that doesn't say counts
    as the plan)"."""
    return request.on_plan is not False


def is_accepted(request: Request, day: date, subscribed_on: date | None) -> bool:
    """METRIC: "accepted request: made on the plan ..., on business days >= S ..., status ok
    .... Refused (quota), throttled and failed calls are demand, never activity"."""
    if subscribed_on is None or day < subscribed_on:
        return False
    return is_on_plan(request) and request.status == "ok"


def active_days(accepted_by_day: Mapping[date, int], definition: Definition) -> set[date]:
    """METRIC: "active day: >= 3 accepted requests of the team on that business day"."""
    return {d for d, n in accepted_by_day.items() if n >= definition.active_day_requests}


def integrated_on(
    members_by_day: Mapping[date, Mapping[str, int]], definition: Definition
) -> date | None:
    """METRIC: "first day on which the trailing 14 days (today included) hold >= 5 active days,
    in >= 2 ISO weeks, by >= `habit_min_members` distinct members (default 1; a member counts
    with >= 1 accepted request on an active day of the window). Never backdated"."""
    totals = {day: sum(members.values()) for day, members in members_by_day.items()}
    active = active_days(totals, definition)
    for today in sorted(active):  # a window only gains on an active day
        first = today - timedelta(days=definition.habit_window_days - 1)
        window = [day for day in active if first <= day <= today]
        weeks = {day.isocalendar()[:2] for day in window}
        members = {m for day in window for m, n in members_by_day[day].items() if n >= 1}
        if (
            len(window) >= definition.habit_active_days
            and len(weeks) >= definition.habit_weeks
            and len(members) >= definition.habit_min_members
        ):
            return today
    return None


def members_at(
    t0: date, members_by_day: Mapping[date, Mapping[str, int]], definition: Definition
) -> int:
    """METRIC: "members active in the 28 d up to T0"."""
    first = t0 - timedelta(days=definition.class_window_days - 1)
    seen = {m for d, ms in members_by_day.items() if first <= d <= t0 for m, n in ms.items() if n}
    return len(seen)


def class_of(members: int) -> str:
    """METRIC: "solo 1, small 2-5, mid 6-20, large 21+"."""
    if members <= 1:
        return "solo"
    if members <= 5:
        return "small"
    return "mid" if members <= 20 else "large"


# --- subscriptions ------------------------------------------------------------------------------


def distinct_events(events: Iterable[Subscription]) -> list[Subscription]:
    """FORMATS 10: "at-least-once delivery everywhere ... by event id". Reading R2."""
    copies: dict[tuple[str, str], list[Subscription]] = defaultdict(list)
    for event in events:
        copies[event.source, event.event_id].append(event)
    return [max(rows, key=lambda e: (e.occurred_at, _content(e))) for rows in copies.values()]


def is_paid(event: Subscription) -> bool:
    """METRIC: "first paid subscription". Reading R1."""
    if event.event not in PAID_EVENTS:
        return False
    amount = event.net_amount if event.net_amount is not None else event.list_amount
    return amount is None or amount > 0


def subscribed_on(events: Iterable[Subscription], definition: Definition) -> date | None:
    """METRIC: "S = business day of the first paid subscription"."""
    return min(
        (business_day(e.occurred_at, definition) for e in events if is_paid(e)), default=None
    )


def plan_covers(
    events: Iterable[Subscription], s: date, definition: Definition
) -> list[tuple[date, date]]:
    """The stretches [first covered day, first uncovered day) of a plan, from S on. Reading R19."""
    covers: list[tuple[date, date]] = []
    for event in sorted(events, key=lambda e: (e.occurred_at, e.event_id)):
        day = business_day(event.occurred_at, definition)
        if day < s:
            continue
        if event.event in PAID_EVENTS:
            start = day
            if event.period_start is not None:
                start = business_day(event.period_start, definition)
            end = date.max
            if event.period_end is not None:
                end = business_day(event.period_end, definition)
            covers.append((start, end))
        elif event.event == "ended":
            covers = [(a, min(b, day)) for a, b in covers]
    return sorted((a, b) for a, b in covers if a < b)


def churned_on(
    covers: Sequence[tuple[date, date]], t0: date | None, as_of: date, definition: Definition
) -> date | None:
    """METRIC: "a gap of <= 14 d is no churn; Lite->Pro is not churn". Reading R19."""
    if not covers:
        return None
    grace = timedelta(days=definition.churn_grace_days)
    covered_until = covers[0][1]
    for start, end in [*covers[1:], (date.max, date.max)]:
        if start - covered_until > grace:
            decided = covered_until + grace < as_of if covered_until < date.max - grace else False
            if decided and (t0 is None or start > t0):
                return covered_until
        covered_until = max(covered_until, end)
    return None


# --- charges ------------------------------------------------------------------------------------


def current_charges(charges: Iterable[Charge]) -> list[Charge]:
    """FORMATS 1: "The newest snapshot of (source, account, billing period) replaces the older
    one, never adds to it" and "the greatest snapshot name ... wins"; 10: "exact duplicate rows
    inside one snapshot are real"."""
    rows = list(charges)
    newest: dict[tuple[str, str, datetime], str] = {}
    for row in rows:
        key = (row.source, row.account, row.billing_period)
        newest[key] = max(newest.get(key, ""), row.snapshot)
    return [r for r in rows if r.snapshot == newest[r.source, r.account, r.billing_period]]


def costs(charges: Iterable[Charge]) -> list[tuple[Charge, Decimal]]:
    """METRIC: "Cost basis is chosen once per (source, account, billing period): EffectiveCost
    where that period has it, else BilledCost; never both"."""
    rows = list(charges)
    effective = {
        (r.source, r.account, r.billing_period) for r in rows if r.effective is not None
    }  # fmt: skip
    chosen = []
    for row in rows:
        has_it = (row.source, row.account, row.billing_period) in effective
        amount = row.effective if has_it else row.billed
        chosen.append((row, amount if amount is not None else Decimal(0)))
    return chosen


def day_count(start: datetime, end: datetime | None) -> int:
    """METRIC: "k = ceil((end - start) / 24 h) days counted from the business day of start (end is
    exclusive)"."""
    if end is None or end <= start:
        return 1
    return -(-(end - start) // timedelta(hours=24))


def equal_parts(amount: Decimal, k: int) -> list[Decimal]:
    """METRIC: "equal decimal parts, the remainder on the last; k = 1 is booked whole"."""
    if k == 1:
        return [amount]
    with localcontext(prec=DIGITS):
        part = (amount / k).quantize(ATOM, rounding=ROUND_DOWN)
        return [part] * (k - 1) + [amount - part * (k - 1)]


def parts_of(charge: Charge, amount: Decimal, definition: Definition) -> list[Part]:
    """METRIC: "booked on the usage day", "Prepaid is amortised"."""
    first = business_day(charge.charge_start, definition)
    amounts = equal_parts(amount, day_count(charge.charge_start, charge.charge_end))
    return [Part(first + timedelta(days=i), share, charge) for i, share in enumerate(amounts)]


def is_unassigned_credit(charge: Charge, amount: Decimal) -> bool:
    """METRIC: "A credit or refund without a service"."""
    return amount < 0 and charge.service is None


def spread(credit: Part, positives: Sequence[Part]) -> tuple[list[Part], Decimal]:
    """METRIC: "spread over the positive rows of the same sub-account (else account) in its charge
    period, pro rata over all families; a remainder goes to ops, never to a family". Reading R15.

    `credit` carries the whole amount, `positives` are the day parts that it may touch.
    """
    with localcontext(prec=DIGITS):
        base = sum((p.amount for p in positives), Decimal(0))
        usable = max(credit.amount, -base)
        shares = []
        for part in positives:
            share = (usable * part.amount / base).quantize(ATOM, rounding=ROUND_DOWN)
            shares.append(Part(part.day, share, part.charge))
        return shares, credit.amount - sum((s.amount for s in shares), Decimal(0))


def net_parts(
    charges: Iterable[Charge], definition: Definition
) -> tuple[list[Part], dict[tuple[str, str, str], Decimal]]:
    """METRIC: "net of a usage day: signed sum (credits, vouchers, refunds and corrections come
    negative) booked on the usage day that they correct". Gives all parts, and the remainders of
    unassigned credits."""
    booked: list[Part] = []
    credits: list[tuple[Charge, Decimal]] = []
    for charge, amount in costs(charges):
        if is_unassigned_credit(charge, amount):
            credits.append((charge, amount))
        else:
            booked.extend(parts_of(charge, amount, definition))
    positive_of: dict[tuple[str, str, str], list[Part]] = defaultdict(list)
    for part in booked:
        if part.amount > 0:
            row = part.charge
            positive_of[row.source, row.account, row.currency].append(part)
    remainder: dict[tuple[str, str, str], Decimal] = {}
    for row, amount in credits:
        first = business_day(row.charge_start, definition)
        last = first + timedelta(days=day_count(row.charge_start, row.charge_end) - 1)
        key = (row.source, row.account, row.currency)
        touched = [
            part
            for part in positive_of[key]
            if first <= part.day <= last
            and row.sub_account in (None, part.charge.sub_account)
        ]  # fmt: skip
        shares, left = spread(Part(first, amount, row), touched)
        booked.extend(shares)
        with localcontext(prec=DIGITS):
            remainder[key] = remainder.get(key, Decimal(0)) + left
    return booked, remainder


def to_cny(
    amount: Decimal, currency: str, day: date, rates: Sequence[Rate], definition: Definition
) -> Decimal:
    """METRIC: "Converted to CNY at that day's rate". FORMATS: "the last rate holds 7 days, then
    the night stops with the missing pair named"."""
    if currency == "CNY":
        return amount
    begun = [r for r in rates if r.currency == currency and r.valid_from <= day]
    if begun:
        rate = max(begun, key=lambda r: r.valid_from)
        if day <= rate.valid_to + timedelta(days=definition.fx_grace_days):
            with localcontext(prec=DIGITS):
                return amount * rate.cny
    raise ValueError(f"no CNY rate for {currency} on {day}")


def is_workload(family: str, provider: str, definition: Definition) -> bool:
    """METRIC: "workload families: deploy ..., storage, database, observability" and
    "`host_providers` of the definition (default: all) limits workloads to the plan owner's own
    cloud"."""
    hosts = definition.host_providers
    return family in definition.workload_families and (hosts is None or provider in hosts)


def qualifying_days(
    net_by_day: Mapping[date, Decimal], last: date, definition: Definition
) -> list[date]:
    """METRIC: "billable day: net of the workload families together > 0.005 CNY"; "qualifying day
    q: a billable day with >= 21 billable days and net >= 30 CNY (window sum rounded half-up to
    0.01) within [q, q+27]".

    Only days up to `last` can be decided.
    """
    billable = sorted(d for d, net in net_by_day.items() if net > definition.billable_cny)
    found = []
    for q in billable:
        if q > last:
            break
        end = q + timedelta(days=definition.qualifying_window - 1)
        days = sum(1 for d in billable if q <= d <= end)
        if days < definition.qualifying_days:
            continue
        with localcontext(prec=DIGITS):
            net = sum((n for d, n in net_by_day.items() if q <= d <= end), Decimal(0))
            if net.quantize(FEN, rounding=ROUND_HALF_UP) >= definition.qualifying_cny:
                found.append(q)
    return found


def source_coverage(
    charges: Iterable[Charge], declared: Mapping[str, date], definition: Definition
) -> dict[str, date]:
    """METRIC: "that start is a property of the source, `ref.coverage(source, starts_on)`,
    default its earliest charge day, never of the team"."""
    starts: dict[str, date] = {}
    for row in charges:
        day = business_day(row.charge_start, definition)
        starts[row.source] = min(starts.get(row.source, day), day)
    return {**starts, **declared}


def covered_from(sources: Iterable[str], coverage: Mapping[str, date]) -> date | None:
    """The first day of a team's billing history. Reading R17."""
    own = [coverage[s] for s in sources if s in coverage]
    if own:
        return max(own)
    return min(coverage.values(), default=None)


# --- one row per team ---------------------------------------------------------------------------


def first_move(qualifying: Iterable[date], s: date | None) -> date | None:
    """METRIC: "`moved_on` = first q >= S"."""
    return min((q for q in qualifying if s is not None and q >= s), default=None)


def is_native(qualifying: Iterable[date], s: date, definition: Definition) -> bool:
    """METRIC: "`native` (any q in [S-180, S-1]: a standing customer is native, however long ago
    it began)"."""
    first = s - timedelta(days=definition.lookback_days)
    return any(first <= q < s for q in qualifying)


def is_unknown(covered: date | None, s: date, definition: Definition) -> bool:
    """METRIC: "`unknown` (the export's billing history starts after S-180)"."""
    return covered is None or covered > s - timedelta(days=definition.lookback_days)


def is_dormant(qualifying: Iterable[date], s: date, definition: Definition) -> bool:
    """METRIC: "`dormant` (some q < S-180, none after until moved_on)"."""
    first = s - timedelta(days=definition.lookback_days)
    return any(q < first for q in qualifying) and not is_native(qualifying, s, definition)


def state_at(
    t0: date,
    s: date,
    moved_on: date | None,
    qualifying: Sequence[date],
    covered: date | None,
    complete: date,
    definition: Definition,
) -> str | None:
    """METRIC: "State at T0, exactly one, in this precedence: native, pre_habit (moved_on <=
    T0), unknown, dormant, new. T0 > C: state null"."""
    if t0 > complete:
        return None
    if is_native(qualifying, s, definition):
        return "native"
    if moved_on is not None and moved_on <= t0:
        return "pre_habit"
    if is_unknown(covered, s, definition):
        return "unknown"
    return "dormant" if is_dormant(qualifying, s, definition) else "new"


def converted_on(moved_on: date | None, t0: date | None) -> date | None:
    """METRIC: "W = moved_on if moved_on > T0, else null"."""
    if moved_on is None or t0 is None or moved_on <= t0:
        return None
    return moved_on


def censor_day(complete: date, merge: Merge | None, definition: Definition) -> date:
    """METRIC: "Censor at C, never at A"; "the absorbed team, whose time = min(W, C, m-28) - T0
    ... a q near m could not have been decided"."""
    if merge is None:
        return complete
    return min(complete, merge.on - timedelta(days=definition.qualifying_window))


def outcome(t0: date, w: date | None, censored_on: date, horizon: int) -> str:
    """METRIC: "converted (W-T0 <= h), not_converted (C-T0 >= h without it), open (the rest,
    merge-censored before h included)"; "T0 > C: ... outcome open"."""
    if w is not None and (w - t0).days <= horizon:
        return "converted"
    return "not_converted" if (censored_on - t0).days >= horizon else "open"


def evaluate(
    evidence: Evidence,
    definition: Definition | None = None,
    as_of: date | None = None,
    known_at: datetime | None = None,
) -> Evaluation:
    """Every team's row and every daily fact, as of A, by what was known at K."""
    definition = definition or Definition()
    book = LinkBook(evidence.links, definition, known_at)
    seen = Evidence(
        requests=[r for r in evidence.requests if known(r.recorded_at, known_at)],
        subscriptions=[s for s in evidence.subscriptions if known(s.recorded_at, known_at)],
        charges=current_charges(c for c in evidence.charges if known(c.recorded_at, known_at)),
        links=[k for k in evidence.links if known(k.recorded_at, known_at)],
        teams=evidence.teams,
        rates=evidence.rates,
        coverage=evidence.coverage,
    )
    a = as_of or default_as_of(seen.requests, seen.charges, definition)
    c = data_complete_day(a, definition)
    facts = Facts()

    events = _events_by_team(seen, book, a, definition)
    s_of = {team: subscribed_on(rows, definition) for team, rows in events.items()}
    members = _requests(seen, book, a, s_of, facts, definition)
    charge_sources = _charges(seen, book, a, facts, definition)
    for source, source_id in book.by_id:
        for day in book.change_days(Identity(source, source_id)):
            linked = book.linked(source, source_id, day)
            if linked is not None and day < a:
                charge_sources[linked].add(source)
    coverage = source_coverage(seen.charges, seen.coverage, definition)
    workload = _workload_days(facts, definition)
    merged = merges(seen, book, a)

    everyone = {t.team_id for t in seen.teams} | set(events)
    everyone |= {team for team, *_ in facts.calls} | {team for team, *_ in facts.net}
    rows: dict[str, TeamRow] = {}
    all_q: dict[str, list[date]] = {}
    for team in sorted(everyone):
        end = censor_day(c, merged.get(team), definition)
        all_q[team] = qualifying_days(workload.get(team, {}), end, definition)
        rows[team] = _team_row(
            team,
            s=s_of.get(team),
            events=events.get(team, []),
            members=members.get(team, {}),
            qualifying=all_q[team],
            covered=covered_from(charge_sources.get(team, ()), coverage),
            merge=merged.get(team),
            as_of=a,
            complete=c,
            definition=definition,
        )
    for team, row in rows.items():
        survivor = rows.get(row.merged_into) if row.merged_into else None
        if survivor is not None and survivor.state_at_t0 == "native":
            rows[team] = replace(row, merged_into_native=True)
    return Evaluation(a, c, rows, facts, coverage, all_q)


def _team_row(
    team: str,
    *,
    s: date | None,
    events: Sequence[Subscription],
    members: Mapping[date, Mapping[str, int]],
    qualifying: Sequence[date],
    covered: date | None,
    merge: Merge | None,
    as_of: date,
    complete: date,
    definition: Definition,
) -> TeamRow:
    """METRIC, "One row per team"."""
    end = censor_day(complete, merge, definition)
    row = TeamRow(
        team,
        censored_on=end,
        merged_into=merge.into if merge else None,
        merged_on=merge.on if merge else None,
    )
    if s is None:
        return row
    t0 = integrated_on(members, definition)
    moved = first_move(qualifying, s)
    w = converted_on(moved, t0)
    churn = churned_on(plan_covers(events, s, definition), t0, as_of, definition)
    count = members_at(t0, members, definition) if t0 else None
    return replace(
        row,
        subscribed_on=s,
        integrated_on=t0,
        state_at_t0=(
            state_at(t0, s, moved, qualifying, covered, complete, definition) if t0 else None
        ),
        moved_on=moved,
        converted_on=w,
        team_class=class_of(count) if count is not None else None,
        members_at_t0=count,
        outcomes={h: outcome(t0, w, end, h) for h in definition.horizons} if t0 else {},
        churned_on=churn,
        after_churn=w is not None and churn is not None and w >= churn,
        native_at_s=is_native(qualifying, s, definition),
        unknown_at_s=is_unknown(covered, s, definition),
    )


def _events_by_team(
    seen: Evidence, book: LinkBook, as_of: date, definition: Definition
) -> dict[str, list[Subscription]]:
    events: dict[str, list[Subscription]] = defaultdict(list)
    for event in distinct_events(seen.subscriptions):
        day = business_day(event.occurred_at, definition)
        if day < as_of:
            events[book.team(Identity(event.source, event.account), day)].append(event)
    return dict(events)


def _requests(
    seen: Evidence,
    book: LinkBook,
    as_of: date,
    s_of: Mapping[str, date | None],
    facts: Facts,
    definition: Definition,
) -> dict[str, dict[date, dict[str, int]]]:
    """Accepted requests as team -> day -> member -> count; the daily facts on the way."""
    members: dict[str, dict[date, dict[str, int]]] = {}
    for row in distinct_requests(seen.requests, definition):
        day = business_day(row.requested_at, definition)
        if day >= as_of:
            continue
        team = book.team(Identity(row.source, row.account), day)
        member = row.member or ""
        if is_on_plan(row):
            kind = f"refused_{row.refused_by}" if row.refused_by else row.status
            _add(facts.calls, (team, day, member, kind))
            if row.status == "ok":
                _add(facts.on_plan_ok, (team, day))
        if is_accepted(row, day, s_of.get(team)):
            _add(facts.accepted, (team, day))
            _add(members.setdefault(team, {}).setdefault(day, {}), member)
    return members


def _add(counts: dict[Key, int], key: Key) -> None:
    counts[key] = counts.get(key, 0) + 1


def _charges(
    seen: Evidence, book: LinkBook, as_of: date, facts: Facts, definition: Definition
) -> dict[str, set[str]]:
    """Fill the money facts; gives the charge sources of each team."""
    sources: dict[str, set[str]] = defaultdict(set)
    parts, facts.remainder = net_parts(seen.charges, definition)
    with localcontext(prec=DIGITS):
        for part in parts:
            row = part.charge
            if part.day >= as_of:
                continue
            identity = Identity(row.source, row.account, row.sub_account)
            team = book.team(identity, part.day)
            sources[team].add(row.source)
            cny = to_cny(part.amount, row.currency, part.day, seen.rates, definition)
            key = (team, part.day, row.family)
            facts.net[key] = facts.net.get(key, Decimal(0)) + cny
            split = (*key, row.provider)
            facts.net_by_provider[split] = facts.net_by_provider.get(split, Decimal(0)) + cny
        for row in seen.charges:
            billed = parts_of(row, row.billed or Decimal(0), definition)
            effective = parts_of(row, row.effective or Decimal(0), definition)
            for one, two in zip(billed, effective, strict=True):
                if one.day < as_of:
                    cell = (one.day, row.provider, row.currency)
                    old = facts.booked.get(cell, (Decimal(0), Decimal(0)))
                    facts.booked[cell] = (old[0] + one.amount, old[1] + two.amount)
    return sources


def _workload_days(facts: Facts, definition: Definition) -> dict[str, dict[date, Decimal]]:
    """METRIC: "net of the workload families together"."""
    days: dict[str, dict[date, Decimal]] = defaultdict(dict)
    with localcontext(prec=DIGITS):
        for (team, day, family, provider), net in facts.net_by_provider.items():
            if is_workload(family, provider, definition):
                days[team][day] = days[team].get(day, Decimal(0)) + net
    return days


# --- estimators ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    teams: int
    moved: int
    at_risk: int | None
    share: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class KaplanMeierRow:
    days: int
    at_risk: int
    moved: int
    censored: int
    share: float
    ci_low: float | None
    ci_high: float | None


def kaplan_meier(times: Iterable[tuple[int, bool]]) -> list[KaplanMeierRow]:
    """METRIC: "F = 1 - prod(1 - d/n); a team censored on day t is still at risk on day t". A
    row for every distinct day of (days, moved)."""
    pairs = list(times)
    survival = Fraction(1)
    greenwood = 0.0
    table = []
    for day in sorted({t for t, _ in pairs}):
        n = sum(1 for t, _ in pairs if t >= day)
        d = sum(1 for t, moved in pairs if t == day and moved)
        censored = sum(1 for t, moved in pairs if t == day and not moved)
        survival *= 1 - Fraction(d, n)
        greenwood += d / (n * (n - d)) if d < n else math.inf
        low, high = complementary_log_log(survival, greenwood, n)
        table.append(KaplanMeierRow(day, n, d, censored, float(1 - survival), low, high))
    return table


def complementary_log_log(
    survival: Fraction, greenwood: float, n: int
) -> tuple[float | None, float | None]:
    """METRIC: "95 % CI 1 - S^exp(-+z sqrt(g)/|ln S|); F = 0 -> [0, 1 - 0.025^(1/n)] (n = at
    risk that day); S = 0 -> upper 1, lower null"."""
    if survival == 1:
        return 0.0, (1 - 0.025 ** (1 / n) if n else None)
    if survival == 0:
        return None, 1.0
    s = float(survival)
    width = Z95 * math.sqrt(greenwood) / abs(math.log(s))
    return 1 - s ** math.exp(-width), 1 - s ** math.exp(width)


def wilson(x: int, n: int) -> tuple[float | None, float | None]:
    """METRIC: "Wilson. n = 0 -> null; x = 0 -> lower exactly 0; x = n -> upper exactly 1"."""
    if n == 0:
        return None, None
    z2 = Z95 * Z95
    centre = (x + z2 / 2) / (n + z2)
    half = Z95 / (n + z2) * math.sqrt(x * (n - x) / n + z2 / 4)
    return (0.0 if x == 0 else centre - half), (1.0 if x == n else centre + half)


def share_at(
    times: Sequence[tuple[int, bool]], potential: Sequence[int], horizon: int, min_at_risk: int
) -> Share:
    """METRIC: "`moved` = events with time <= h; `at_risk` = entrants with time >= h"; "F(h) is
    null when nobody has C-T0 >= h or fewer than 10 are at risk at h"."""
    moved = sum(1 for t, event in times if event and t <= horizon)
    at_risk = sum(1 for t, _ in times if t >= horizon)
    if at_risk < min_at_risk or not any(p >= horizon for p in potential):
        return Share(len(times), moved, at_risk, None, None, None)
    past = [row for row in kaplan_meier(times) if row.days <= horizon]
    if not past or past[-1].share == 0:
        low, high = complementary_log_log(Fraction(1), 0.0, at_risk)
        return Share(len(times), moved, at_risk, 0.0, low, high)
    last = past[-1]
    return Share(len(times), moved, at_risk, last.share, last.ci_low, last.ci_high)


def time_to_move(start: date, moved: date | None, censored_on: date) -> tuple[int, bool]:
    """METRIC: "time = min(W-T0, C-T0) days, event = W <= C"."""
    if moved is not None and moved <= censored_on:
        return (moved - start).days, True
    return (censored_on - start).days, False


def population(evaluation: Evaluation) -> list[TeamRow]:
    """METRIC: "Headline population = new + dormant"."""
    return [r for r in evaluation.teams.values() if r.state_at_t0 in ("new", "dormant")]


def headline(
    evaluation: Evaluation, horizon: int | None = None, definition: Definition | None = None
) -> Share:
    """METRIC: "Kaplan-Meier (headline) ... teams with C-T0 >= 1 (these are `teams` in the
    headline)"."""
    definition = definition or Definition()
    h = definition.headline_horizon if horizon is None else horizon
    times, potential = [], []
    for row in population(evaluation):
        t0, end = row.integrated_on, row.censored_on
        if t0 is not None and end is not None and (end - t0).days >= 1:
            times.append(time_to_move(t0, row.converted_on, end))
            potential.append((end - t0).days)
    return share_at(times, potential, h, definition.min_at_risk)


def mature_rate(
    evaluation: Evaluation, horizon: int | None = None, definition: Definition | None = None
) -> Share:
    """METRIC: "Mature rate (audit). n = #{T0 <= C-h}, x = #{W-T0 <= h among them}; Wilson"."""
    definition = definition or Definition()
    h = definition.headline_horizon if horizon is None else horizon
    n = x = 0
    for row in population(evaluation):
        t0, end, w = row.integrated_on, row.censored_on, row.converted_on
        if t0 is None or end is None or (end - t0).days < h:
            continue
        n += 1
        x += 1 if w is not None and (w - t0).days <= h else 0
    low, high = wilson(x, n)
    return Share(n, x, None, x / n if n else None, low, high)


def intention_to_treat(
    evaluation: Evaluation, horizon: int | None = None, definition: Definition | None = None
) -> Share:
    """METRIC: "ITT(h) = P(W - subscribed <= h | first paid subscription, not native) ... (KM
    from S on moved_on, day 0 allowed, native and unknown out)". Reading R20."""
    definition = definition or Definition()
    h = definition.headline_horizon if horizon is None else horizon
    times, potential = [], []
    for row in evaluation.teams.values():
        s, end = row.subscribed_on, row.censored_on
        if s is None or end is None or s > end or row.native_at_s or row.unknown_at_s:
            continue
        times.append(time_to_move(s, row.moved_on, end))
        potential.append((end - s).days)
    return share_at(times, potential, h, definition.min_at_risk)
