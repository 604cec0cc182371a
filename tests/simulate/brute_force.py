"""The metric read off landing files by the plainest possible code, to judge the simulator by.

It shares nothing with the generator (and nothing with the product): dictionaries, loops, Decimals.
"""

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

import polars as pl
import pytest

ZONE = timedelta(hours=8)
LAG, WINDOW = 3, 28
DEPLOY = {"Elastic Compute Service", "Container Service for Kubernetes", "Function Compute"}
WORKLOAD = DEPLOY | {"Object Storage Service", "ApsaraDB RDS", "Simple Log Service", "CloudMonitor"}
USD = Decimal("7.1")


@dataclass(frozen=True)
class Rules:
    """The clauses that decoys break; a test switches one off to see its decoy move."""

    nets_credits: bool = True
    nets_lump_credits: bool = True
    nets_refunds: bool = True
    billable_above: Decimal = Decimal("0.005")
    min_billable_days: int = 21
    floor_cny: Decimal = Decimal(30)
    min_weeks: int = 2
    min_requests: int = 3
    min_active_days: int = 5
    counts_only_ok: bool = True
    counts_only_on_plan: bool = True
    excludes_plan_fee: bool = True
    uses_list_cost: bool = False


@dataclass
class World:
    """What the files say, before any rule."""

    calls: dict[str, dict[date, list[tuple[str, bool]]]]
    subscribed: dict[str, date]
    charges: dict[str, list[dict[str, str]]]
    newest_request: date = date.min
    newest_charge: date = date.min
    torn: int = 0
    duplicates: int = 0
    links: dict[tuple[str, str], list[tuple[datetime, date, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """(source, id) -> (recorded, valid from, team)."""
    unreadable: int = 0
    """Whole files."""

    def team(self, source: str, own: str, day: date) -> str:
        """The latest recorded link that holds, else the id itself."""
        holding = [link for link in self.links.get((source, own), []) if link[1] <= day]
        return max(holding)[2] if holding else own


@dataclass(frozen=True)
class Label:
    """What the brute force finds for one team."""

    subscribed_on: date
    integrated_on: date | None
    state: str | None
    moved_on: date | None
    censored_on: date | None = None
    merged_into: str | None = None


def business_day(moment: datetime) -> date:
    return (moment.astimezone(UTC) + ZONE).date()


def _lines(path: Path) -> tuple[list[dict], int]:
    good, torn = [], 0
    for line in path.read_text("utf-8").splitlines():
        try:
            good.append(json.loads(line))
        except json.JSONDecodeError:
            torn += 1
    return good, torn


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _all_lines(folder: Path, pattern: str, world: World) -> Iterator[dict]:
    for path in sorted(folder.glob(pattern)):
        rows, torn = _lines(path)
        world.torn += torn
        yield from rows


def read(landing: Path) -> World:
    world = World({}, {}, defaultdict(list))
    for row in _csv(landing / "directory/account_links.csv"):
        recorded, since = (datetime.fromisoformat(row[k]) for k in ("recorded_at", "valid_from"))
        assert row["valid_to"] == ""
        link = (recorded, business_day(since), row["team_id"])
        world.links[row["source"], row["source_id"]].append(link)
    _read_requests(landing, world)
    _read_subscriptions(landing, world)
    _read_charges(landing, world)
    return world


def _read_requests(landing: Path, world: World) -> None:
    best: dict[tuple[str, str, date], tuple[datetime, str, str, bool]] = {}

    def put(
        source: str, key: str, at: datetime, received: datetime, rest: tuple[str, str, bool]
    ) -> None:
        place = (source, key, business_day(at))
        world.duplicates += place in best
        if place not in best or best[place][0] < received:
            best[place] = (received, *rest)

    for path in sorted((landing / "gateway").glob("*.parquet")):
        frame = pl.read_parquet(path)
        for r in frame.select(
            "request_id", "requested_at", "received_at", "team", "status", "on_plan"
        ).iter_rows():
            put("gateway", r[0], r[1], r[2], (r[3], r[4], r[5]))
    for r in _all_lines(landing / "litellm", "spend-*.jsonl", world):
        at, end = (
            datetime.strptime(r[k], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
            for k in ("startTime", "endTime")
        )
        status = "ok" if r["status"] == "success" else "not ok"
        rest = (r["team_id"], status, "coding" in r["api_base"])
        put("litellm", r["request_id"], at, end, rest)
    for (source, _, day), (_, own, status, on_plan) in best.items():
        team = world.team(source, own, day)
        world.calls.setdefault(team, {}).setdefault(day, []).append((status, on_plan))
        world.newest_request = max(world.newest_request, day)


def _read_subscriptions(landing: Path, world: World) -> None:
    def put(source: str, own: str, at: datetime) -> None:
        day = business_day(at)
        team = world.team(source, own, day)
        world.subscribed[team] = min(world.subscribed.get(team, day), day)

    for r in _all_lines(landing / "plan", "subscriptions-*.jsonl", world):
        if r["event"] == "started" and r["net_amount"] > 0:
            put("plan", r["team"], datetime.fromisoformat(r["occurred_at"]))
    for r in _all_lines(landing / "stripe", "events-*.jsonl", world):
        if r["type"] == "invoice.paid" and r["data"]["object"]["amount_paid"] > 0:
            at = datetime.fromtimestamp(r["created"], UTC)
            put("stripe", r["data"]["object"]["customer"], at)


def _read_charges(landing: Path, world: World) -> None:
    statements: dict[tuple[str, str], tuple[str, list[dict[str, str]]]] = {}
    for folder in sorted(p for p in (landing / "billing").iterdir() if p.is_dir()):
        for path in sorted(folder.glob("*.csv.gz")):
            with pytest.raises(EOFError), gzip.open(path) as handle:
                handle.read()
            world.unreadable += 1
        for path in sorted(folder.glob("*.csv")):
            for row in _csv(path):
                if not _is_whole(row):
                    world.torn += 1
                    continue
                key = (row["BillingAccountId"], row["BillingPeriodStart"])
                if key not in statements or statements[key][0] < folder.name:
                    statements[key] = (folder.name, [])
                statements[key][1].append(row)
    for (account, _), (_, rows) in statements.items():
        has_effective = any(r["EffectiveCost"] != "NULL" for r in rows)
        for row in rows:
            row["cost"] = row["EffectiveCost" if has_effective else "BilledCost"]
            day = business_day(datetime.fromisoformat(row["ChargePeriodStart"]).replace(tzinfo=UTC))
            world.newest_charge = max(world.newest_charge, day)
            # No row of these worlds that counts for a workload spans a merge.
            world.charges[world.team("billing", account, day)].append(row)


def _is_whole(row: dict[str, str]) -> bool:
    """Neither torn nor with an amount that is no number."""
    if None in row.values():
        return False
    try:
        Decimal(row["BilledCost"])
    except InvalidOperation:
        return False
    return True


def _days(row: dict[str, str]) -> list[date]:
    start, end = (
        datetime.fromisoformat(row[f"ChargePeriod{k}"]).replace(tzinfo=UTC)
        for k in ("Start", "End")
    )
    k = max(1, -((start - end) // timedelta(hours=24)))
    first = business_day(start)
    return [first + timedelta(days=i) for i in range(k)]


def daily_net(rows: list[dict[str, str]], rules: Rules) -> dict[date, Decimal]:
    """Net workload cost in CNY by business day."""
    usage: list[tuple[date, str, Decimal]] = []
    lumps: list[tuple[list[date], str, Decimal]] = []
    for row in rows:
        is_credit = row["ChargeCategory"] == "Credit"
        is_refund = row["ChargeClass"] == "Correction"
        cost = Decimal(row["ListCost" if rules.uses_list_cost else "cost"])
        cost *= USD if row["BillingCurrency"] == "USD" else 1
        service = row["ServiceName"]
        if (is_credit and not rules.nets_credits) or (is_refund and not rules.nets_refunds):
            continue
        if service == "NULL":
            if rules.nets_lump_credits:
                lumps.append((_days(row), row["SubAccountId"], cost))
            continue
        is_fee = service == "Model Studio" and "Coding Plan" in row["ChargeDescription"]
        if service in WORKLOAD or (is_fee and not rules.excludes_plan_fee):
            days = _days(row)
            usage += [(day, row["SubAccountId"], cost / len(days)) for day in days]
    net: dict[date, Decimal] = defaultdict(Decimal)
    for day, _, cost in usage:
        net[day] += cost
    for days, account, credit in lumps:
        target = [(d, c) for d, a, c in usage if a == account and d in days and c > 0]
        total = sum(c for _, c in target)
        for day, cost in target:
            net[day] += credit * cost / total
    return net


def as_of(world: World) -> date:
    """One day after the newest day in both families; a family never seen doesn't count."""
    newest = [d for d in (world.newest_request, world.newest_charge) if d > date.min]
    return min(newest) + timedelta(days=1)


def merge_of(world: World, team: str) -> tuple[date, str] | None:
    """When and into whom a team was absorbed: all that was its own moved on."""
    own = {key for key, links in world.links.items() if any(k[2] == team for k in links)}
    last = [max(world.links[key]) for key in own]
    if not last or any(k[2] == team for k in last):
        return None
    return max((k[1], k[2]) for k in last)


def judge(world: World, team: str, rules: Rules = Rules()) -> Label:
    complete = as_of(world) - timedelta(days=LAG + WINDOW)
    decided, into = complete, None
    merge = merge_of(world, team)
    if merge is not None and merge[0] < as_of(world):
        into = merge[1]
        decided = min(complete, merge[0] - timedelta(days=WINDOW))
    since = world.subscribed[team]
    active = []
    for day, calls in sorted(world.calls.get(team, {}).items()):
        accepted = sum(
            (status == "ok" or not rules.counts_only_ok)
            and (on_plan or not rules.counts_only_on_plan)
            for status, on_plan in calls
        )
        if day >= since and accepted >= rules.min_requests:
            active.append(day)
    integrated = None
    for k, day in enumerate(active):
        window = [d for d in active[: k + 1] if (day - d).days < 14]
        weeks = {d.isocalendar()[:2] for d in window}
        if len(window) >= rules.min_active_days and len(weeks) >= rules.min_weeks:
            integrated = day
            break
    net = daily_net(world.charges.get(team, []), rules)
    billable = sorted(d for d, v in net.items() if v > rules.billable_above)
    found = []
    for q in billable:
        window = [d for d in billable if 0 <= (d - q).days < WINDOW]
        money = sum((v for d, v in net.items() if 0 <= (d - q).days < WINDOW), Decimal(0))
        worth = money.quantize(Decimal("0.01"), ROUND_HALF_UP) >= rules.floor_cny
        if len(window) >= rules.min_billable_days and worth and q <= decided:
            found.append(q)
    moved = next((q for q in found if q >= since), None)
    state = None
    if integrated is not None and integrated <= complete:
        if any(since - timedelta(days=180) <= q < since for q in found):
            state = "native"
        elif moved is not None and moved <= integrated:
            state = "pre_habit"
        elif any(q < since - timedelta(days=180) for q in found):
            state = "dormant"
        else:
            state = "new"
    return Label(since, integrated, state, moved, decided, into)
