-- table: When a team's plan ended for good, as far as the metric is concerned.
-- grain: team_id
-- column team_id: The team.
-- column churned_on: First day without the plan whose gap outlasts the grace and is not over by
--   T0; teams without such a gap are not in the table.
-- warn: churn comes after S | churned_on > (
--   select s.subscribed_on from journey.subscribers as s where s.team_id = churn.team_id)
with

-- Paid events from S on; Lite to Pro is one of them, so an upgrade is no churn.
paid_events as (
    select
        subscriptions.team_id,
        coalesce(subscriptions.period_start_on, subscriptions.occurred_on) as from_on,
        coalesce(subscriptions.period_end_on, date '9999-12-31') as to_on,
        subscriptions.occurred_at
    from fact.subscriptions as subscriptions
    inner join journey.subscribers as subscribers
        on subscriptions.team_id = subscribers.team_id
    where
        subscriptions.event in ('started', 'renewed', 'upgraded', 'downgraded')
        and coalesce(subscriptions.net_amount, subscriptions.list_amount, 1) > 0
        and subscriptions.occurred_on >= subscribers.subscribed_on
        and subscriptions.occurred_on < $as_of
),

-- The plan ends early only by an 'ended' event; 'cancelled' is an intent.
ended_events as (
    select
        team_id,
        occurred_at,
        occurred_on as ended_on
    from fact.subscriptions
    where event = 'ended' and occurred_on < $as_of
),

-- What one paid event covers: its period, cut by the first end that comes after the event (an end
-- at the same moment closes the plan before, as in an upgrade). Without a period it runs until
-- that end.
covers as (
    select
        paid_events.team_id,
        paid_events.from_on,
        least(paid_events.to_on, coalesce(min(ended_events.ended_on), paid_events.to_on)) as to_on
    from paid_events
    left join ended_events
        on
            paid_events.team_id = ended_events.team_id
            and paid_events.occurred_at < ended_events.occurred_at
    group by
        paid_events.team_id, paid_events.from_on, paid_events.to_on, paid_events.occurred_at
),

-- After each cover: until when the team is covered by all covers so far, and when the next starts.
gaps as (
    select
        team_id,
        max(to_on) over (
            partition by team_id order by from_on asc, to_on asc
            rows between unbounded preceding and current row
        ) as covered_until,
        lead(from_on) over (partition by team_id order by from_on asc, to_on asc) as next_from_on
    from covers
    where from_on < to_on
)

select
    gaps.team_id,
    min(gaps.covered_until) as churned_on
from gaps
left join journey.habits as habits on gaps.team_id = habits.team_id
where
    gaps.covered_until < date '9999-12-31'
    and gaps.covered_until + $churn_grace_days < coalesce(gaps.next_from_on, $as_of)
    and (
        gaps.next_from_on is null
        or habits.integrated_on is null
        or gaps.next_from_on > habits.integrated_on
    )
group by gaps.team_id
