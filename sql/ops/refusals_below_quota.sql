-- table: Refusals that no quota explains: the team had fewer accepted requests than the plan grants,
--   counted over the widest stretch of days that the limit's window can touch.
-- grain: team_id, usage_on, limit_name
-- column team_id: The team.
-- column usage_on: Business day of the refusals.
-- column limit_name: 5h, week or month: the limit that is said to have refused.
-- column plan: Plan of the day.
-- column refused: Requests refused by that limit on the day.
-- column accepted: Accepted requests of the day and of the days before it in the window: 1 for 5h,
--   those since Monday for week, 31 for month. Never too few, so a row here is certain.
-- column quota: Requests that the plan grants in a window of the limit.
-- warn: no quota refuses below itself | accepted >= quota
-- stop: a row has refusals | refused > 0
with

-- Most teams are never refused, and nothing of them need be counted.
refused_teams as (
    select distinct team_id
    from fact.member_days
    where refused_5h + refused_week + refused_month > 0
),

team_days as (
    select
        member_days.team_id,
        member_days.usage_on,
        sum(member_days.accepted) as accepted,
        sum(member_days.refused_5h) as refused_5h,
        sum(member_days.refused_week) as refused_week,
        sum(member_days.refused_month) as refused_month
    from fact.member_days as member_days
    inner join refused_teams on member_days.team_id = refused_teams.team_id
    where member_days.usage_on < $as_of
    group by member_days.team_id, member_days.usage_on
),

-- The windows touch whole days, so that a request of the window is never left out.
counted as (
    select
        team_id,
        usage_on,
        refused_5h,
        refused_week,
        refused_month,
        sum(accepted) over (
            partition by team_id order by usage_on
            range between interval 1 day preceding and current row
        ) as accepted_5h,
        sum(accepted) over (
            partition by team_id, date_trunc('week', usage_on) order by usage_on
        ) as accepted_week,
        sum(accepted) over (
            partition by team_id order by usage_on
            range between interval 31 day preceding and current row
        ) as accepted_month
    from team_days
),

-- A row for each limit that refused on the day.
refusals as (
    select team_id, usage_on, '5h' as limit_name, refused_5h as refused, accepted_5h as accepted
    from counted
    where refused_5h > 0
    union all
    select team_id, usage_on, 'week' as limit_name, refused_week, accepted_week
    from counted
    where refused_week > 0
    union all
    select team_id, usage_on, 'month' as limit_name, refused_month, accepted_month
    from counted
    where refused_month > 0
),

-- The plan of the day: that of the last paid cycle that had begun.
on_plan as (
    select r.*, c.plan
    from refusals as r
    asof inner join journey.plan_cycles as c
        on r.team_id = c.team_id and r.usage_on >= c.starts_on
),

granted as (
    select
        o.team_id,
        o.usage_on,
        o.limit_name,
        o.plan,
        o.refused,
        o.accepted,
        case o.limit_name
            when '5h' then p.requests_5h
            when 'week' then p.requests_week
            else p.requests_month
        end as quota
    from on_plan as o
    inner join ref.plans as p
        on lower(o.plan) = p.plan
        and o.usage_on >= p.valid_from
        and o.usage_on < coalesce(p.valid_to, date '9999-12-31')
)

select team_id, usage_on, limit_name, plan, refused, accepted, quota
from granted
where accepted < quota
