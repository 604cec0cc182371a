-- table: Teams that ever paid for the plan, with the start of their clock and the end of their plan.
-- grain: team_id
-- column team_id: The team.
-- column subscribed_at: Moment of the first paid subscription event (UTC).
-- column subscribed_on: S, the business day of subscribed_at.
-- column first_plan: Plan of that first event.
-- column churned_on: First day without the plan, when the gap after it is longer than the grace;
--   null while the plan runs or the gap is not yet long enough to tell.
-- column paid_cycles: Paid started and renewed events so far.
-- stop: S is the business day of the first paid event | subscribed_on <= subscribed_at::date + 1
-- stop: churn comes after S | churned_on is null or churned_on > subscribed_on
with

-- A subscription is paid when its event says an amount above zero, or says no amount at all.
paid_events as (
    select
        team_id,
        occurred_at,
        occurred_on,
        plan,
        event,
        period_start_on,
        period_end_on
    from fact.subscriptions
    where
        event in ('started', 'renewed', 'upgraded', 'downgraded')
        and coalesce(net_amount, list_amount, 1) > 0
        and occurred_on < $as_of
),

first_paid as (
    select
        team_id,
        min(occurred_at) as subscribed_at,
        min(occurred_on) as subscribed_on,
        arg_min(plan, occurred_at) as first_plan,
        count(*) filter (where event in ('started', 'renewed')) as paid_cycles
    from paid_events
    group by team_id
),

-- The plan ends early only by an 'ended' event; 'cancelled' is an intent.
ended_events as (
    select
        team_id,
        occurred_on as ended_on
    from fact.subscriptions
    where event = 'ended' and occurred_on < $as_of
),

-- What one paid event covers: its period, cut by the first end that falls into it. Without a
-- period it runs until the next end.
periods as (
    select
        team_id,
        coalesce(period_start_on, occurred_on) as from_on,
        coalesce(period_end_on, date '9999-12-31') as to_on
    from paid_events
),

covered as (
    select
        periods.team_id,
        periods.from_on,
        periods.to_on as period_end_on,
        min(ended_events.ended_on) as ended_on
    from periods
    left join ended_events
        on
            periods.team_id = ended_events.team_id
            and periods.from_on < ended_events.ended_on
    group by periods.team_id, periods.from_on, periods.to_on
),

cut as (
    select
        team_id,
        from_on,
        greatest(
            least(period_end_on, coalesce(ended_on, period_end_on)), from_on + 1
        ) as to_on
    from covered
),

-- The first stretch after which nothing covers the team for longer than the grace.
stretches as (
    select
        team_id,
        max(to_on) over earlier_and_this as covered_until,
        lead(from_on) over by_start as next_from_on
    from cut
    window
        by_start as (partition by team_id order by from_on asc, to_on asc),
        earlier_and_this as (
            partition by team_id order by from_on asc, to_on asc
            rows between unbounded preceding and current row
        )
),

churned as (
    select
        team_id,
        min(covered_until) as churned_on
    from stretches
    where
        covered_until < date '9999-12-31'
        and covered_until + $churn_grace_days < coalesce(next_from_on, $as_of)
    group by team_id
)

select
    first_paid.team_id,
    first_paid.subscribed_at,
    first_paid.subscribed_on,
    first_paid.first_plan,
    churned.churned_on,
    first_paid.paid_cycles
from first_paid
left join churned on first_paid.team_id = churned.team_id
