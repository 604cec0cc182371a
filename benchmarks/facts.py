"""Facts of any number of teams, made by DuckDB itself: what the metric's SQL is measured on.

Belongs here: fact, ref and ops tables of plausible shape, the same for the same arguments.
Does not belong here: planted truth (pipelines/simulate), timing (bench_*.py).

A team subscribes in the first two thirds of the days, is active on some days of its own rate
(heavy-tailed), and one in five has a workload from some day on. All draws are hashes of
(purpose, team, day), so that nothing depends on the number of threads.
"""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl

from pipelines import night, settings, tables, warehouse
from pipelines.rollup import charges, requests

START = date(2026, 1, 1)


def fill(path: Path, teams: int, days: int) -> night.Night:
    """A build file with facts; returns the night that runs SQL over it (A = START + days)."""
    places = settings.Settings(data=path.parent, reference=settings.CHECKOUT / "data" / "reference")
    work = night.prepare(places)
    with warehouse.build(places.build) as con:
        con.execute(
            "create or replace macro draw(purpose, a, b) as "
            "hash(purpose, a, b) / 18446744073709551616::double"
        )
        con.execute(
            "create temp table people as " + _TEAMS, {"teams": teams, "days": days, "start": START}
        )
        for name, query in (("fact.teams", _DIRECTORY), ("fact.subscriptions", _SUBSCRIPTIONS)):
            con.execute(f"create table {name} as {query}")
        for name, query in (
            ("fact.member_days", _MEMBER_DAYS),
            ("fact.usage_days", _USAGE_DAYS),
            ("fact.charge_days", _CHARGE_DAYS),
        ):
            _by_day(
                con,
                name,
                query,
                days + 180 if "charge" in name else days,
                -180 if "charge" in name else 0,
            )
        con.execute(f"create table fact.blocked_hours as {_BLOCKED_HOURS}")
        con.execute(f"create table fact.assignments as {_ASSIGNMENTS}")
        con.execute(f"create table fact.channel_costs as {_CHANNEL_COSTS}")
        _small(con, work, START + timedelta(days=days))
        con.execute("drop table people")
        con.execute("drop macro draw")
        con.execute("checkpoint")
    return work


def _by_day(con: duckdb.DuckDBPyConnection, name: str, query: str, days: int, first: int) -> None:
    for at in range(0, days, 15):
        bound = {"from": first + at, "to": first + min(at + 15, days), "start": START}
        kind = f"create table {name} as" if at == 0 else f"insert into {name} by name"
        con.execute(f"{kind} {query}", bound)


def _small(con: duckdb.DuckDBPyConnection, work: night.Night, as_of: date) -> None:
    for name, frame in work.reference.tables().items():
        warehouse.replace_table(con, tables.REFERENCE[name].name, frame)
    empty = {
        tables.TEAM_SPANS.name: {
            "source": pl.String, "source_id": pl.String, "team_id": pl.String,
            "from_on": pl.Date, "to_on": pl.Date,
        },
        tables.IDENTITY_STRETCHES.name: {
            "source": pl.String, "account": pl.String, "sub_account": pl.String,
            "team_id": pl.String, "from_on": pl.Date, "is_linked": pl.Boolean,
        },
        tables.UNMAPPED_DAYS.name: charges.UNMAPPED,
        tables.KEPT_DAYS.name: requests.KEPT,
    }  # fmt: skip
    for name, schema in empty.items():
        warehouse.replace_table(con, name, pl.DataFrame(schema=schema))
    coverage = pl.DataFrame({"source": ["cloud"], "starts_on": [START - timedelta(days=180)]})
    warehouse.replace_table(con, tables.COVERAGE.name, coverage)
    definition = work.definition
    complete = as_of - timedelta(days=definition.lag_days + definition.qualifying_window_days)
    con.execute(
        "create table ops.clock as select $as_of::date as as_of, null::timestamptz as known_at, "
        "$complete::date as data_complete_on, $as_of::date - 1 as last_request_on, "
        "$as_of::date - 1 as last_charge_on, $definition::text as definition, "
        "$reference::text as reference",
        {
            "as_of": as_of, "complete": complete, "definition": definition.hash,
            "reference": work.reference.hash,
        },
    )  # fmt: skip
    warehouse.install_macros(con, over_tables=False)


# One row per team: when it subscribed, how often it is active, when its workload begins.
_TEAMS = """
select
    'team-' || lpad(i::text, 9, '0') as team_id,
    i,
    ($start::date + (draw('s', i, 0) * $days * 2 / 3)::int) as subscribed_on,
    (1 + floor(4 * draw('members', i, 0) ^ 3))::int as members,
    least(0.9, 0.02 / (0.02 + draw('rate', i, 0))) as activity,
    case when draw('moves', i, 0) < 0.2
        then $start::date - 120 + (draw('w', i, 0) * ($days + 90))::int end as workload_on
from range($teams) as t(i)
"""
_DIRECTORY = """
select
    team_id,
    case when draw('region', i, 0) < 0.8 then 'domestic' else 'global' end as region,
    'industry ' || (draw('industry', i, 0) * 8)::int as industry,
    ['search', 'referral', 'campus', 'sales'][1 + (hash('channel', i) % 4)::int] as channel,
    subscribed_on::timestamptz as opened_at
from people
"""
_SUBSCRIPTIONS = """
select
    'plan' as source,
    'evt-' || i || '-' || cycle as event_id,
    team_id,
    case when i % 5 = 0 then 'pro' else 'lite' end as plan,
    case when cycle = 0 then 'started' else 'renewed' end as event,
    (subscribed_on + 30 * cycle)::timestamptz as occurred_at,
    (subscribed_on + 30 * cycle)::date as occurred_on,
    (subscribed_on + 30 * cycle)::date as period_start_on,
    (subscribed_on + 30 * cycle + 30)::date as period_end_on,
    case when i % 5 = 0 then 200 else 40 end::decimal(38, 18) as list_amount,
    case when cycle = 0 then 7.9 when i % 5 = 0 then 200 else 40 end::decimal(38, 18) as net_amount,
    'CNY' as currency,
    null::text as promotion,
    'plan/events.jsonl' as file,
    i * 12 + cycle as line
from people, (select unnest([0, 1, 2]) as cycle)
where draw('renews', i, cycle) < 0.8 ^ cycle
"""
_ASSIGNMENTS = """
select
    team_id,
    'launch-offer' as experiment,
    case when hash(team_id) % 100 < 15 then 'holdout' else 'offer' end as arm,
    opened_at - to_days(2) as assigned_at
from fact.teams
"""
_CHANNEL_COSTS = """
select
    date_trunc('month', opened_at)::date as month_on,
    channel,
    (120 * count(*))::decimal(18, 2) as spend,
    'CNY' as currency
from fact.teams
group by all
"""
_ACTIVE = """
    from people, range($from::int, $to::int) as d(offset_days)
    where
        $start::date + offset_days::int >= subscribed_on
        and draw('active', i, offset_days) < activity
"""
_MEMBER_DAYS = f"""
select
    ($start::date + offset_days::int)::date as usage_on,
    team_id,
    'member-' || i || '-' || (hash('member', i, offset_days) % members)::text as member_id,
    (1 + draw('n', i, offset_days) ^ 4 * 60)::bigint as accepted,
    0::bigint as refused_5h,
    0::bigint as refused_week,
    (draw('refused', i, offset_days) < 0.01)::bigint as refused_month,
    0::bigint as refused_other,
    0::bigint as throttled,
    0::bigint as failed,
    0::bigint as off_plan,
    accepted * 9000 as input_tokens,
    accepted * 5000 as cached_tokens,
    accepted * 90 as output_tokens
{_ACTIVE}
order by all
"""
_USAGE_DAYS = f"""
select
    ($start::date + offset_days::int)::date as usage_on,
    team_id,
    ['qwen3.5-plus', 'glm-5', 'MiniMax-M2.5', 'kimi-k2.5'][1 + (hash('model', i) % 4)::int] as model,
    ['code', 'test', 'infra', 'unclassified'][1 + (hash('task', i, offset_days) % 4)::int] as task,
    (1 + draw('n', i, offset_days) ^ 4 * 60)::bigint as accepted,
    (draw('refused', i, offset_days) < 0.01)::bigint as refused,
    accepted * 9000 as input_tokens,
    accepted * 5000 as cached_tokens,
    accepted * 90 as output_tokens,
    accepted * 0.02 as inference_cny
{_ACTIVE}
order by all
"""
_BLOCKED_HOURS = """
select
    usage_on,
    team_id,
    usage_on::timestamptz + to_hours(10) as hour_at,
    sum(refused_5h)::bigint as refused_5h,
    sum(refused_week)::bigint as refused_week,
    sum(refused_month)::bigint as refused_month,
    sum(refused_other)::bigint as refused_other
from fact.member_days
where refused_5h + refused_week + refused_month + refused_other > 0
group by usage_on, team_id
order by usage_on, team_id
"""
_CHARGE_DAYS = """
select
    ($start::date + offset_days::int)::date as usage_on,
    team_id,
    'Alibaba Cloud' as provider,
    family,
    'CNY' as currency,
    'cloud' as source,
    true as is_linked,
    (0.5 + 5 * draw(family, i, 0))::decimal(38, 18) as billed,
    billed as effective,
    billed::decimal(38, 12) as net_cny
from people,
    range($from::int, $to::int) as d(offset_days),
    (values ('deploy'), ('storage')) as f(family)
where
    workload_on is not null
    and $start::date + offset_days::int >= workload_on
    and (family = 'deploy' or draw('second', i, 0) < 0.4)
    and draw('charged', i, offset_days) < 0.97
order by all
"""
