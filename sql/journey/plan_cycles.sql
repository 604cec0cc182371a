-- table: Paid cycles of the plan, what a team asked for in each, which limit stopped it, what came next.
-- grain: team_id, cycle_number
-- column team_id: The team.
-- column cycle_number: 1 for the first paid cycle; later ones count on, also after a gap.
-- column starts_on: First business day of the cycle.
-- column ends_on: Day after its last: end of the paid period, of the plan, or start of the next
--   cycle, whichever is first.
-- column plan: Plan of the cycle.
-- column net_cny: Price paid, in CNY at that day's rate; 0 when the event names no price.
-- column quota: Requests that the plan grants for a month; null for a plan without a price list.
-- column accepted: Accepted requests in the cycle.
-- column refused_5h: Requests refused by the 5-hour limit.
-- column refused_week: Requests refused by the weekly limit.
-- column refused_month: Requests refused by the monthly limit.
-- column refused_other: Requests refused by a limit that the source doesn't name.
-- column attempted: Accepted and refused requests together: demand.
-- column off_plan: Requests with a pay-as-you-go key in the cycle.
-- column off_plan_after: The same in the 28 days after the cycle; null while they aren't over.
-- column bound_by: The widest limit that refused a request: month, week, 5h, other, or none.
-- column blocked_days: Days of the cycle on which some limit refused a request.
-- column blocked_hours: Hours of the cycle in which some limit did: a floor, since who is stopped
--   often stops asking.
-- column blocked_hours_5h: Of those, hours in which the 5-hour limit was the binding one.
-- column blocked_hours_week: The same for the weekly limit.
-- column blocked_hours_month: The same for the monthly limit.
-- column is_renewed: Whether a paid cycle follows within the grace; null while that is open.
-- column next_event: Event that opened that following cycle, or churned; null while open.
-- column is_moved_after: Whether moved_on lies within 28 days after the cycle; null while undecided.
-- stop: cycles have days | ends_on > starts_on
-- stop: attempted is accepted and refused | attempted = accepted + refused_5h + refused_week
--   + refused_month + refused_other
-- stop: a limit binds exactly when it refused | (bound_by = 'none') = (attempted = accepted)
-- stop: blocked hours lie on blocked days | blocked_hours between blocked_days and 25 * blocked_days
-- stop: one limit binds in an hour | blocked_hours_5h + blocked_hours_week + blocked_hours_month
--   <= blocked_hours
-- stop: cycles of a team don't overlap | not exists (
--   select 1 from journey.plan_cycles as c where c.team_id = plan_cycles.team_id
--   and c.cycle_number = plan_cycles.cycle_number + 1 and c.starts_on < plan_cycles.ends_on)
-- warn: every plan is in the price list | quota is not null
with

-- A paid event opens a cycle; without a period it runs for 30 days.
paid_events as (
    select
        subscriptions.team_id,
        subscriptions.plan,
        subscriptions.event,
        subscriptions.occurred_at,
        (subscriptions.occurred_at, subscriptions.event_id, subscriptions.source) as place,
        subscriptions.currency,
        subscriptions.occurred_on,
        coalesce(subscriptions.net_amount, subscriptions.list_amount, 0)::double as net_amount,
        coalesce(subscriptions.period_start_on, subscriptions.occurred_on) as starts_on,
        coalesce(
            subscriptions.period_end_on,
            coalesce(subscriptions.period_start_on, subscriptions.occurred_on) + 30
        )::date as period_ends_on
    from fact.subscriptions as subscriptions
    where
        subscriptions.event in ('started', 'renewed', 'upgraded', 'downgraded')
        and coalesce(subscriptions.net_amount, subscriptions.list_amount, 1) > 0
        and subscriptions.occurred_on < $as_of
),

-- Of several events for the same first day the latest that names a plan decides it; the money is
-- that of all.
openings as (
    select
        paid_events.team_id,
        paid_events.starts_on,
        max(paid_events.period_ends_on) as period_ends_on,
        max(paid_events.occurred_at) as occurred_at,
        max_by(paid_events.plan, paid_events.place) as plan,
        max_by(paid_events.event, paid_events.place) as event,
        sum((paid_events.net_amount * coalesce(
            case when paid_events.currency = 'CNY' then 1 end, fx.cny_per_unit::double, 1
        ))::decimal(38, 9))::double as net_cny
    from paid_events
    left join ref.fx as fx
        on
            paid_events.currency = fx.currency
            and paid_events.occurred_on >= fx.valid_from
            and paid_events.occurred_on < coalesce(fx.valid_to, date '9999-12-31')
    group by paid_events.team_id, paid_events.starts_on
),

-- 'ended' cuts a cycle short; 'cancelled' is an intent.
ends as (
    select
        openings.team_id,
        openings.starts_on,
        min(subscriptions.occurred_on) as ended_on
    from openings
    inner join fact.subscriptions as subscriptions
        on
            openings.team_id = subscriptions.team_id
            and openings.occurred_at < subscriptions.occurred_at
    where subscriptions.event = 'ended' and subscriptions.occurred_on < $as_of
    group by openings.team_id, openings.starts_on
),

cut as (
    select
        openings.team_id,
        openings.starts_on,
        openings.plan,
        openings.event,
        openings.net_cny,
        least(
            openings.period_ends_on,
            coalesce(ends.ended_on, openings.period_ends_on),
            coalesce(
                lead(openings.starts_on) over (
                    partition by openings.team_id order by openings.starts_on asc
                ),
                openings.period_ends_on
            )
        ) as ends_on
    from openings
    left join ends
        on openings.team_id = ends.team_id and openings.starts_on = ends.starts_on
),

cycles as (
    select
        cut.team_id,
        cut.starts_on,
        cut.ends_on,
        cut.plan,
        cut.net_cny,
        row_number() over by_start as cycle_number,
        lead(cut.starts_on) over by_start as next_starts_on,
        lead(cut.event) over by_start as next_opening
    from cut
    where cut.starts_on < cut.ends_on
    window by_start as (partition by cut.team_id order by cut.starts_on asc)
),

counted as (
    select
        cycles.team_id,
        cycles.cycle_number,
        sum(member_days.accepted)::bigint as accepted,
        sum(member_days.off_plan)::bigint as off_plan
    from cycles
    inner join fact.member_days as member_days
        on
            cycles.team_id = member_days.team_id
            and member_days.usage_on >= cycles.starts_on
            and member_days.usage_on < cycles.ends_on
            and member_days.usage_on < $as_of
    group by cycles.team_id, cycles.cycle_number
),

-- Pay-as-you-go requests in the 28 days after the cycle, which may lie in the next one.
off_plan_days as (
    select
        cycles.team_id,
        cycles.cycle_number,
        sum(member_days.off_plan)::bigint as off_plan_after
    from cycles
    inner join fact.member_days as member_days
        on
            cycles.team_id = member_days.team_id
            and member_days.usage_on >= cycles.ends_on
            and member_days.usage_on < cycles.ends_on + 28
            and member_days.usage_on < $as_of
    where member_days.off_plan > 0
    group by cycles.team_id, cycles.cycle_number
),

refused as (
    select
        cycles.team_id,
        cycles.cycle_number,
        sum(member_days.refused_5h)::bigint as refused_5h,
        sum(member_days.refused_week)::bigint as refused_week,
        sum(member_days.refused_month)::bigint as refused_month,
        sum(member_days.refused_other)::bigint as refused_other,
        count(distinct member_days.usage_on) as blocked_days
    from cycles
    inner join fact.member_days as member_days
        on
            cycles.team_id = member_days.team_id
            and member_days.usage_on >= cycles.starts_on
            and member_days.usage_on < cycles.ends_on
            and member_days.usage_on < $as_of
    where
        member_days.refused_5h + member_days.refused_week + member_days.refused_month
        + member_days.refused_other > 0
    group by cycles.team_id, cycles.cycle_number
),

blocked as (
    select
        cycles.team_id,
        cycles.cycle_number,
        count(*) as hours,
        count(*) filter (where quota_states.state = '5h') as hours_5h,
        count(*) filter (where quota_states.state = 'week') as hours_week,
        count(*) filter (where quota_states.state = 'month') as hours_month
    from cycles
    inner join journey.quota_states as quota_states
        on
            cycles.team_id = quota_states.team_id
            and quota_states.usage_on >= cycles.starts_on
            and quota_states.usage_on < cycles.ends_on
    group by cycles.team_id, cycles.cycle_number
),

-- A renewal is a cycle that starts within the grace. Both answers wait until the grace is over:
-- counting early renewals and not yet the losses would flatter the youngest cycles.
renewals as (
    select
        *,
        case
            when ends_on + $churn_grace_days < $as_of
                then coalesce(next_starts_on <= ends_on + $churn_grace_days, false)
        end as is_renewed,
        case
            when ends_on + $churn_grace_days >= $as_of then null
            when next_starts_on <= ends_on + $churn_grace_days then next_opening
            else 'churned'
        end as next_event
    from cycles
),

openings_of_plans as (
    select distinct
        plan,
        starts_on
    from cycles
),

-- The price list of the day on which the cycle starts.
quotas as (
    select
        openings_of_plans.plan,
        openings_of_plans.starts_on,
        max_by(plans.requests_month, plans.valid_from) as quota
    from openings_of_plans
    inner join ref.plans as plans
        on
            lower(openings_of_plans.plan) = lower(plans.plan)
            and openings_of_plans.starts_on >= plans.valid_from
            and openings_of_plans.starts_on < coalesce(plans.valid_to, date '9999-12-31')
    group by openings_of_plans.plan, openings_of_plans.starts_on
),

usage as (
    select
        renewals.*,
        coalesce(counted.accepted, 0) as accepted,
        coalesce(refused.refused_5h, 0) as refused_5h,
        coalesce(refused.refused_week, 0) as refused_week,
        coalesce(refused.refused_month, 0) as refused_month,
        coalesce(refused.refused_other, 0) as refused_other,
        coalesce(counted.off_plan, 0) as off_plan,
        coalesce(refused.blocked_days, 0) as blocked_days,
        coalesce(off_plan_days.off_plan_after, 0) as off_plan_after
    from renewals
    left join counted
        on renewals.team_id = counted.team_id and renewals.cycle_number = counted.cycle_number
    left join off_plan_days
        on
            renewals.team_id = off_plan_days.team_id
            and renewals.cycle_number = off_plan_days.cycle_number
    left join refused
        on renewals.team_id = refused.team_id and renewals.cycle_number = refused.cycle_number
)

select
    usage.team_id,
    usage.cycle_number,
    usage.starts_on,
    usage.ends_on,
    usage.plan,
    usage.net_cny,
    quotas.quota,
    usage.accepted,
    usage.refused_5h,
    usage.refused_week,
    usage.refused_month,
    usage.refused_other,
    usage.accepted + usage.refused_5h + usage.refused_week + usage.refused_month
    + usage.refused_other as attempted,
    usage.off_plan,
    case when usage.ends_on + 28 <= $as_of then usage.off_plan_after end as off_plan_after,
    case
        when usage.refused_month > 0 then 'month'
        when usage.refused_week > 0 then 'week'
        when usage.refused_5h > 0 then '5h'
        when usage.refused_other > 0 then 'other'
        else 'none'
    end as bound_by,
    usage.blocked_days,
    coalesce(blocked.hours, 0) as blocked_hours,
    coalesce(blocked.hours_5h, 0) as blocked_hours_5h,
    coalesce(blocked.hours_week, 0) as blocked_hours_week,
    coalesce(blocked.hours_month, 0) as blocked_hours_month,
    usage.is_renewed,
    usage.next_event,
    case
        when usage.ends_on + 27 <= $data_complete_on
            then coalesce(
                moves.moved_on >= usage.ends_on and moves.moved_on < usage.ends_on + 28, false
            )
    end as is_moved_after
from usage
left join blocked
    on usage.team_id = blocked.team_id and usage.cycle_number = blocked.cycle_number
left join quotas on usage.plan = quotas.plan and usage.starts_on = quotas.starts_on
left join journey.moves as moves on usage.team_id = moves.team_id
