"""The judge is judged: it must give the hand-written rows, and notice every planted mistake.

The landing files of `world.write` are read back here by a small reader of their own, so that
nothing but the files carries the facts. The reader serves the generated worlds too.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests import reference, strategies
from tests.hand import world
from tests.reference import Charge, Definition, Evidence, Link, Rate, Request, Subscription, Team

RATES = (
    Rate("USD", date(2023, 1, 1), date(2026, 12, 31), Decimal("7.1")),
    Rate("JPY", date(2023, 1, 1), date(2026, 12, 31), Decimal("0.047")),
)

# --- a tiny reader ------------------------------------------------------------------------------

Row = dict[str, Any]


def rows_of(path: Path) -> list[Row]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    with io.StringIO(data.decode("utf-8-sig"), newline="") as file:
        return [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]


def files_of(landing: Path) -> Iterator[tuple[str, Path, str, datetime]]:
    """(source, file, snapshot, recorded_at) of every file in a manifest."""
    for manifest in sorted(landing.glob("*/manifest.jsonl")):
        source = manifest.parent
        for line in manifest.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            folders = Path(entry["file"]).parts[:-1]
            recorded_at = moment(entry["recorded_at"])
            assert recorded_at is not None
            yield source.name, source / entry["file"], folders[0] if folders else "", recorded_at


def moment(value: str | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value)


def surely(value: str | datetime | None) -> datetime:
    found = moment(value)
    assert found is not None
    return found


def number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def truth(value: str | bool | None) -> bool | None:
    return value if value is None or isinstance(value, bool) else value == "true"


def family_of(row: Row) -> str:
    if row["ChargeCategory"] == "Tax":
        return "tax"
    return {**world.FAMILY, **strategies.FAMILY}.get(row["ServiceName"] or "", "other")


def request(row: Row, source: str, recorded_at: datetime) -> Request:
    return Request(
        source=source,
        request_id=row["request_id"],
        account=row["team"],
        member=row["member"],
        requested_at=surely(row["requested_at"]),
        received_at=moment(row["received_at"]),
        status=row["status"],
        refused_by=row["refused_by"],
        on_plan=truth(row["on_plan"]),
        model=row["model"],
        task=row["task"],
        session=row["session"],
        input_tokens=int(row["input_tokens"]),
        cached_tokens=None if row["cached_tokens"] is None else int(row["cached_tokens"]),
        output_tokens=int(row["output_tokens"]),
        recorded_at=recorded_at,
    )


def subscription(row: Row, source: str, recorded_at: datetime) -> Subscription:
    return Subscription(
        source=source,
        event_id=row["event_id"],
        account=row["team"],
        plan=row["plan"],
        event=row["event"],
        occurred_at=surely(row["occurred_at"]),
        period_start=moment(row["period_start"]),
        period_end=moment(row["period_end"]),
        list_amount=number(row["list_amount"]),
        net_amount=number(row["net_amount"]),
        currency=row["currency"],
        promotion=row["promotion"],
        recorded_at=recorded_at,
    )


def charge(row: Row, source: str, snapshot: str, recorded_at: datetime) -> Charge:
    return Charge(
        source=source,
        snapshot=snapshot,
        account=row["BillingAccountId"],
        sub_account=row["SubAccountId"],
        provider=row["ProviderName"],
        family=family_of(row),
        service=row["ServiceName"],
        service_category=row["ServiceCategory"],
        charge_start=surely(row["ChargePeriodStart"]),
        charge_end=surely(row["ChargePeriodEnd"]),
        category=row["ChargeCategory"],
        charge_class=row["ChargeClass"],
        billed=number(row["BilledCost"]),
        effective=number(row["EffectiveCost"]),
        currency=row["BillingCurrency"],
        billing_period=surely(row["BillingPeriodStart"]),
        sku=row["SkuId"],
        resource=row["ResourceId"],
        description=row["ChargeDescription"],
        recorded_at=recorded_at,
    )


def link(row: Row) -> Link:
    return Link(
        source=row["source"],
        source_id=row["source_id"],
        team_id=row["team_id"],
        valid_from=surely(row["valid_from"]),
        valid_to=moment(row["valid_to"]),
        recorded_at=surely(row["recorded_at"]),
    )


def read_landing(landing: Path, rates: tuple[Rate, ...] = RATES) -> Evidence:
    requests: list[Request] = []
    subscriptions: list[Subscription] = []
    charges: list[Charge] = []
    links: list[Link] = []
    teams: list[Team] = []
    for source, path, snapshot, recorded_at in files_of(landing):
        for row in rows_of(path):
            if "request_id" in row:
                requests.append(request(row, source, recorded_at))
            elif "event_id" in row:
                subscriptions.append(subscription(row, source, recorded_at))
            elif "BillingAccountId" in row:
                charges.append(charge(row, source, snapshot, recorded_at))
            elif "source_id" in row:
                links.append(link(row))
            else:
                teams.append(Team(row["team_id"], row["region"], row["industry"], row["channel"]))
    return Evidence(requests, subscriptions, charges, links, teams, rates)


# --- the hand world -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    landing = tmp_path_factory.mktemp("hand") / "landing"
    world.write(landing)
    return read_landing(landing)


@pytest.fixture(scope="module")
def answer(evidence: Evidence) -> reference.Evaluation:
    return reference.evaluate(evidence)


def shown(row: reference.TeamRow) -> dict[str, object]:
    """A team row in the words of `world.Expected`."""
    return {
        "team": row.team_id,
        "subscribed_on": row.subscribed_on,
        "integrated_on": row.integrated_on,
        "state": row.state_at_t0,
        "moved_on": row.moved_on,
        "converted_on": row.converted_on,
        "outcomes": dict(row.outcomes),
        "censored_on": row.censored_on,
        "team_class": row.team_class,
        "churned_on": row.churned_on,
        "after_churn": row.after_churn,
        "merged_into": row.merged_into,
        "merged_on": row.merged_on,
        "merged_into_native": row.merged_into_native,
    }


@pytest.mark.parametrize("team", sorted(world.EXPECTED))
def test_team_row(answer: reference.Evaluation, team: str) -> None:
    expected = asdict(world.EXPECTED[team])
    why = expected.pop("why")
    assert shown(answer.teams[team]) == expected, why


def test_nobody_else(answer: reference.Evaluation) -> None:
    assert set(answer.teams) == set(world.EXPECTED)


def test_clocks(answer: reference.Evaluation) -> None:
    assert (answer.as_of, answer.data_complete_on) == (world.AS_OF, world.COMPLETE)


def test_coverage(answer: reference.Evaluation) -> None:
    assert answer.coverage == {"billing": date(2023, 1, 1), "billing2": date(2025, 6, 1)}


def test_headline(answer: reference.Evaluation) -> None:
    share = reference.headline(answer)
    expected = world.HEADLINE
    assert (share.teams, share.moved, share.at_risk) == (
        expected.teams,
        expected.moved,
        expected.at_risk,
    )
    assert share.share == pytest.approx(expected.share, abs=1e-12)


def test_mature_rate(answer: reference.Evaluation) -> None:
    share = reference.mature_rate(answer)
    assert (share.teams, share.moved) == world.HEADLINE.mature


def test_intention_to_treat(answer: reference.Evaluation) -> None:
    share = reference.intention_to_treat(answer)
    assert (share.teams, share.moved, share.at_risk) == world.HEADLINE.itt


def test_voucher_remainder_goes_to_ops(answer: reference.Evaluation) -> None:
    left = {key[1]: value for key, value in answer.facts.remainder.items() if abs(value) > 1}
    assert left == {"voucher-remainder": Decimal(-49), "voucher-of-a-sub-account": Decimal(-41)}


MUTANTS: dict[str, tuple[Definition, str]] = {
    "2 requests are active": (Definition(active_day_requests=2), "two-on-one-day"),
    "4 requests are active": (Definition(active_day_requests=4), "three-a-day"),
    "4 active days": (Definition(habit_active_days=4), "four-active-days"),
    "6 active days": (Definition(habit_active_days=6), "three-a-day"),
    "15-day habit window": (Definition(habit_window_days=15), "span-of-15"),
    "13-day habit window": (Definition(habit_window_days=13), "span-of-14"),
    "one week is enough": (Definition(habit_weeks=1), "one-iso-week"),
    "business day in UTC": (Definition(zone="UTC"), "monday-in-shanghai"),
    "20 billable days": (Definition(qualifying_days=20), "billable-20-days"),
    "22 billable days": (Definition(qualifying_days=22), "billable-21-days"),
    "27-day window": (Definition(qualifying_window=27), "window-of-28"),
    "29-day window": (Definition(qualifying_window=29), "window-of-29"),
    "29.99 CNY": (Definition(qualifying_cny=Decimal("29.99")), "one-fen-short"),
    "30.01 CNY": (Definition(qualifying_cny=Decimal("30.01")), "thirty-yuan"),
    "billable above 0.0049": (Definition(billable_cny=Decimal("0.0049")), "day-of-half-a-fen"),
    "billable above 0.0051": (Definition(billable_cny=Decimal("0.0051")), "day-over-half-a-fen"),
    "look-back of 179": (Definition(lookback_days=179), "cloud-180-days-before"),
    "look-back of 181": (Definition(lookback_days=181), "cloud-181-days-before"),
    "lag of 2": (Definition(lag_days=2), "move-after-c"),
    "lag of 4": (Definition(lag_days=4), "move-on-c"),
    "own cloud only": (Definition(host_providers=("Alibaba Cloud",)), "dollars"),
    "grace of 13": (Definition(churn_grace_days=13), "gap-of-14-days"),
    "grace of 15": (Definition(churn_grace_days=15), "gap-of-15-days"),
    "class window of 29": (Definition(class_window_days=29), "five-members"),
    "class window of 27": (Definition(class_window_days=27), "six-members"),
    "two members": (Definition(habit_min_members=2), "three-a-day"),
    "fees are workloads": (
        Definition(workload_families=("deploy", "storage", "database", "observability", "other")),
        "plan-fee-only",
    ),
    "logs are no workload": (
        Definition(workload_families=("deploy", "storage", "database")),
        "families-together",
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_parameter_has_a_team_on_its_boundary(evidence: Evidence, mutant: str) -> None:
    definition, team = MUTANTS[mutant]
    expected = asdict(world.EXPECTED[team])
    del expected["why"]
    wrong = reference.evaluate(evidence, definition)
    assert shown(wrong.teams[team]) != expected


Spoiler = Callable[[Evidence], Evidence]
SPOILERS: dict[str, tuple[Spoiler, str]] = {
    "no de-duplication": (
        lambda e: replace(
            e, requests=[replace(r, request_id=str(i)) for i, r in enumerate(e.requests)]
        ),
        "same-request-twice",
    ),
    "request ids without a day": (
        lambda e: replace(
            e, requests=list({(r.source, r.request_id): r for r in e.requests}.values())
        ),
        "same-id-on-two-days",
    ),
    "first version of a request wins": (
        lambda e: replace(
            e,
            requests=[
                replace(
                    r,
                    received_at=r.received_at and r.requested_at - (r.received_at - r.requested_at),
                )
                for r in e.requests
            ],
        ),
        "ok-turned-failed",
    ),
    "refused is active": (
        lambda e: replace(e, requests=[replace(r, status="ok") for r in e.requests]),
        "refused-only",
    ),
    "pay-as-you-go counts": (
        lambda e: replace(e, requests=[replace(r, on_plan=None) for r in e.requests]),
        "pay-as-you-go-requests",
    ),
    "unknown key is pay-as-you-go": (
        lambda e: replace(e, requests=[replace(r, on_plan=r.on_plan or False) for r in e.requests]),
        "source-does-not-say",
    ),
    "free is paid": (
        lambda e: replace(
            e, subscriptions=[replace(s, net_amount=Decimal(1)) for s in e.subscriptions]
        ),
        "free-trial",
    ),
    "credits are dropped": (
        lambda e: replace(e, charges=[c for c in e.charges if c.category != "Credit"]),
        "credit-to-zero",
    ),
    "vouchers are dropped": (
        lambda e: replace(e, charges=[c for c in e.charges if c.service]),
        "voucher-to-zero",
    ),
    "vouchers go to compute": (
        lambda e: replace(
            e,
            charges=[
                c if c.service else replace(c, service="ECS", family="deploy") for c in e.charges
            ],
        ),
        "voucher-pro-rata",
    ),
    "vouchers ignore sub-accounts": (
        lambda e: replace(e, charges=[replace(c, sub_account=None) for c in e.charges]),
        "voucher-of-a-sub-account",
    ),
    "corrections are dropped": (
        lambda e: replace(e, charges=[c for c in e.charges if c.charge_class is None]),
        "refund-unmoves",
    ),
    "tax is a workload": (
        lambda e: replace(
            e,
            charges=[replace(c, family="deploy") if c.family == "tax" else c for c in e.charges],
        ),
        "never-a-workload",
    ),
    "currencies are added": (
        lambda e: replace(e, charges=[replace(c, currency="CNY") for c in e.charges]),
        "yen",
    ),
    "BilledCost always": (
        lambda e: replace(e, charges=[replace(c, effective=None) for c in e.charges]),
        "effective-cost",
    ),
    "EffectiveCost always": (
        lambda e: replace(e, charges=[replace(c, billed=None) for c in e.charges]),
        "billed-cost",
    ),
    "both costs": (
        lambda e: replace(
            e,
            charges=[
                replace(c, billed=(c.billed or Decimal(0)) + (c.effective or 0), effective=None)
                for c in e.charges
            ],
        ),
        "commitment",
    ),
    "prepaid is a first-day event": (
        lambda e: replace(e, charges=[replace(c, charge_end=None) for c in e.charges]),
        "prepaid-month-moves",
    ),
    "snapshots add up": (
        lambda e: replace(e, charges=[replace(c, snapshot="") for c in e.charges]),
        "restated-once",
    ),
    "equal charges are one": (
        lambda e: replace(e, charges=list(dict.fromkeys(e.charges))),
        "twin-rows",
    ),
    "UTC days are cut at midnight": (
        lambda e: replace(
            e,
            charges=[
                replace(c, charge_end=c.charge_end and c.charge_end + timedelta(hours=8))
                for c in e.charges
            ],
        ),
        "utc-day-is-one-day",
    ),
    "links are ignored": (lambda e: replace(e, links=()), "linked"),
    "account links only": (
        lambda e: replace(e, links=[k for k in e.links if k.source_id != "sub-9"]),
        "reseller-customer",
    ),
    "a merge is for ever": (
        lambda e: replace(
            e, links=[replace(k, valid_from=datetime(2023, 1, 1, tzinfo=UTC)) for k in e.links]
        ),
        "absorbed-decided",
    ),
    "coverage of the team": (
        lambda e: replace(e, coverage={"billing": date(2025, 11, 1)}),
        "billable-21-days",
    ),
    "one coverage for all": (
        lambda e: replace(e, coverage={"billing2": date(2023, 1, 1)}),
        "history-too-short",
    ),
    "coverage may begin a day late": (
        lambda e: replace(e, coverage={"billing2": date(2025, 6, 2)}),
        "history-just-enough",
    ),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_every_rule_has_a_team_that_notices(evidence: Evidence, spoiler: str) -> None:
    spoil, team = SPOILERS[spoiler]
    expected = asdict(world.EXPECTED[team])
    del expected["why"]
    wrong = reference.evaluate(spoil(evidence), as_of=world.AS_OF)
    assert shown(wrong.teams[team]) != expected


# --- the estimators -----------------------------------------------------------------------------

# Freireich et al. 1963, the 6-MP arm: weeks of remission, False = censored; printed survival.
REMISSION = (
    [(6, True)] * 3
    + [(6, False), (7, True), (9, False), (10, True), (10, False), (11, False), (13, True)]
    + [(16, True), (17, False), (19, False), (20, False), (22, True), (23, True), (25, False)]
    + [(32, False), (32, False), (34, False), (35, False)]
)
SURVIVAL = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}


def test_kaplan_meier_prints_the_published_table() -> None:
    table = {row.days: row for row in reference.kaplan_meier(REMISSION)}
    assert {d: round(1 - table[d].share, 3) for d in SURVIVAL} == SURVIVAL
    assert table[6].at_risk == 21
    # R survival 3.5-3, conf.type = "log-log"
    assert table[10].ci_low == pytest.approx(1 - 0.889361835169265, abs=1e-9)
    assert table[10].ci_high == pytest.approx(1 - 0.503199510799957, abs=1e-9)


def test_kaplan_meier_edges() -> None:
    first, last = reference.kaplan_meier([(1, False), (2, True)])
    assert (first.share, first.ci_low) == (0, 0)
    assert first.ci_high == pytest.approx(1 - 0.025 ** (1 / 2))
    assert (last.share, last.ci_low, last.ci_high) == (1, None, 1)
    assert reference.kaplan_meier([]) == []


# Newcombe 1998, table I, score interval without continuity correction.
@pytest.mark.parametrize(
    ("moved", "teams", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_prints_the_published_table(moved: int, teams: int, low: float, high: float) -> None:
    found_low, found_high = reference.wilson(moved, teams)
    assert found_low == pytest.approx(low, abs=5e-5)
    assert found_high == pytest.approx(high, abs=5e-5)


def test_wilson_edges() -> None:
    assert reference.wilson(0, 0) == (None, None)
    assert reference.wilson(0, 7)[0] == 0
    assert reference.wilson(7, 7)[1] == 1


@pytest.mark.parametrize(("at_risk", "printed"), [(9, False), (10, True)])
def test_fewer_than_ten_at_risk_print_no_share(at_risk: int, printed: bool) -> None:
    times = [(90, False)] * at_risk + [(89, False)] * 5 + [(3, True)]
    share = reference.share_at(times, [t for t, _ in times], 90, Definition().min_at_risk)
    assert share.at_risk == at_risk
    assert (share.share is not None) is printed


def test_share_is_null_when_nobody_could_be_seen_that_long() -> None:
    share = reference.share_at([(60, False)] * 30, [60] * 30, 90, 0)
    assert (share.teams, share.at_risk, share.share) == (30, 0, None)


def test_nobody_moved() -> None:
    share = reference.share_at([(100, False)] * 20, [100] * 20, 90, 10)
    assert (share.share, share.ci_low) == (0, 0)
    assert share.ci_high == pytest.approx(1 - math.pow(0.025, 1 / 20))


# --- the generated worlds -----------------------------------------------------------------------


def canonical(evidence: Evidence) -> dict[str, list[str]]:
    """Rows as sorted text, times in UTC: what two readings of the same facts share."""

    def text(row: object) -> str:
        fields = {
            k: v.astimezone(UTC).isoformat() if isinstance(v, datetime) else str(v)
            for k, v in vars(row).items()
            if k != "family"
        }
        return json.dumps(fields, sort_keys=True)

    names = ("requests", "subscriptions", "charges", "links", "teams")
    return {name: sorted(text(row) for row in getattr(evidence, name)) for name in names}


@pytest.mark.parametrize("seed", range(6))
def test_files_in_any_split_and_order_carry_the_same_world(seed: int, tmp_path: Path) -> None:
    drawn = strategies.make_world(seed)
    answers = [reference.evaluate(drawn)]
    for turn in range(2):
        landing = tmp_path / f"landing-{turn}"
        strategies.write_landing(drawn, landing, files=1 + 3 * turn, shuffle_seed=seed + turn)
        read = read_landing(landing, strategies.RATES)
        assert canonical(read) == canonical(drawn)
        answers.append(reference.evaluate(read))
    assert answers[0] == answers[1] == answers[2]


def test_generated_worlds_are_the_same_for_ever() -> None:
    assert strategies.make_world(7) == strategies.make_world(7)
    assert strategies.make_world(7) != strategies.make_world(8)


def test_generated_worlds_reach_every_corner() -> None:
    seen: set[object] = set()
    for seed in range(40):
        drawn = strategies.make_world(seed)
        answer = reference.evaluate(drawn)
        for row in answer.teams.values():
            seen |= {("state", row.state_at_t0), ("class", row.team_class)}
            seen |= {(h, o) for h, o in row.outcomes.items()}
            seen |= {
                name
                for name, reached in (
                    ("merged", row.merged_into is not None),
                    ("merged into a native", row.merged_into_native),
                    ("after churn", row.after_churn),
                    ("T0 = W", row.integrated_on is not None and row.integrated_on == row.moved_on),
                    ("W = C", row.converted_on == answer.data_complete_on),
                )
                if reached
            }
        seen |= {"remainder" for left in answer.facts.remainder.values() if left < -1}
        seen |= {"share" for h in (30, 90) if reference.headline(answer, h).share is not None}
    assert seen >= {
        *(("state", s) for s in ("native", "pre_habit", "unknown", "dormant", "new", None)),
        *(("class", c) for c in ("solo", "small", "mid", None)),
        *((h, o) for h in Definition().horizons for o in world.OUTCOME.values()),
        *("merged", "merged into a native", "after churn", "T0 = W", "W = C", "remainder", "share"),
    }


@pytest.mark.parametrize("seed", range(12))
def test_the_past_is_what_was_recorded_then(seed: int) -> None:
    """K picks the rows, and nothing recorded later can reach an answer."""
    drawn = strategies.make_world(seed)
    for as_of, known_at in strategies.clocks(drawn, seed):
        if known_at is None or not any(r.recorded_at <= known_at for r in drawn.requests):
            continue
        then = replace(
            drawn,
            requests=[r for r in drawn.requests if r.recorded_at <= known_at],
            subscriptions=[s for s in drawn.subscriptions if s.recorded_at <= known_at],
            charges=[c for c in drawn.charges if c.recorded_at <= known_at],
            links=[k for k in drawn.links if k.recorded_at <= known_at],
        )
        assert reference.evaluate(drawn, None, as_of, known_at) == reference.evaluate(then)


@pytest.mark.parametrize("seed", range(12))
def test_every_cent_is_somewhere(seed: int) -> None:
    """Per provider and currency, the days and the remainders add up to the current rows."""
    drawn = strategies.make_world(seed)
    definition = Definition()
    charges = reference.current_charges(drawn.charges)
    parts, left = reference.net_parts(charges, definition)
    for currency in {c.currency for c in charges}:
        paid = sum(a for c, a in reference.costs(charges) if c.currency == currency)
        booked = sum(p.amount for p in parts if p.charge.currency == currency)
        ops = sum(v for (_, _, c), v in left.items() if c == currency)
        assert booked + ops == paid
