-- table: Teams that ever paid for the plan, with the start of their clock.
-- grain: team_id
-- column team_id: The team.
-- column subscribed_at: Moment of the first paid subscription event (UTC).
-- column subscribed_on: S, the business day of subscribed_at.
-- column first_plan: Plan of that first event.
-- column paid_cycles: Paid started and renewed events so far.
-- stop: S is the business day of the first paid event | subscribed_on <= subscribed_at::date + 1
with

-- A subscription is paid when its event says an amount above zero, or says no amount at all.
paid_events as (
    select
        team_id,
        occurred_at,
        occurred_on,
        plan,
        event
    from fact.subscriptions
    where
        event in ('started', 'renewed', 'upgraded', 'downgraded')
        and coalesce(net_amount, list_amount, 1) > 0
        and occurred_on < $as_of
),

-- A later event's plan was not known at S: arg_min would skip a first event without one.
first_paid as (
    select
        team_id,
        min(occurred_at) as subscribed_at,
        min(occurred_on) as subscribed_on,
        arg_min_null(plan, occurred_at) as first_plan,
        count(*) filter (where event in ('started', 'renewed')) as paid_cycles
    from paid_events
    group by team_id
)

select
    team_id,
    subscribed_at,
    subscribed_on,
    first_plan,
    paid_cycles
from first_paid
