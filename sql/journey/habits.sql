-- table: T0, the day on which the plan became part of how a team works.
-- grain: team_id
-- column team_id: The team.
-- column integrated_on: T0, the first day whose trailing window holds enough active days, in
--   enough ISO weeks, by enough members. Never backdated.
-- column active_members: Members with an accepted request in the 28 days up to T0.
-- stop: T0 is an active day of a full habit | exists (
--   select 1 from journey.active_days as a where a.team_id = habits.team_id
--   and a.usage_on = habits.integrated_on) and integrated_on >= (
--   select min(a.usage_on) from journey.active_days as a where a.team_id = habits.team_id)
--   + $habit_active_days - 1
with

-- The trailing window, today included, holds enough active days when the day that is so many active
-- days ago lies in it.
days as (
    select
        team_id,
        usage_on,
        iso_week_on,
        lag(usage_on, $habit_active_days - 1) over (
            partition by team_id order by usage_on asc
        ) as since_on
    from journey.active_days
),

-- It holds days of enough ISO weeks when the last day of the week that is so many active weeks ago
-- lies in it.
weeks as (
    select
        team_id,
        iso_week_on,
        lag(max(usage_on), $habit_iso_weeks - 1) over (
            partition by team_id order by iso_week_on asc
        ) as since_on
    from journey.active_days
    group by team_id, iso_week_on
),

candidates as (
    select
        days.team_id,
        days.usage_on
    from days
    inner join weeks on days.team_id = weeks.team_id and days.iso_week_on = weeks.iso_week_on
    where
        days.since_on > days.usage_on - $habit_window_days
        and weeks.since_on > days.usage_on - $habit_window_days
),

-- A member counts with an accepted request on an active day of the window.
member_counts as (
    select
        candidates.team_id,
        candidates.usage_on,
        count(distinct member_days.member_id) as members
    from candidates
    inner join journey.active_days as active_days
        on
            candidates.team_id = active_days.team_id
            and active_days.usage_on
            between candidates.usage_on - $habit_window_days + 1 and candidates.usage_on
    inner join fact.member_days as member_days
        on
            active_days.team_id = member_days.team_id
            and active_days.usage_on = member_days.usage_on
            and member_days.accepted > 0
    where $habit_min_members > 1
    group by candidates.team_id, candidates.usage_on
),

integrated as (
    select
        candidates.team_id,
        min(candidates.usage_on) as integrated_on
    from candidates
    left join member_counts
        on
            candidates.team_id = member_counts.team_id
            and candidates.usage_on = member_counts.usage_on
    where $habit_min_members <= 1 or member_counts.members >= $habit_min_members
    group by candidates.team_id
)

select
    integrated.team_id,
    integrated.integrated_on,
    count(distinct member_days.member_id) as active_members
from integrated
inner join journey.subscribers as subscribers on integrated.team_id = subscribers.team_id
left join fact.member_days as member_days
    on
        integrated.team_id = member_days.team_id
        and member_days.usage_on
        between greatest(integrated.integrated_on - 27, subscribers.subscribed_on)
        and integrated.integrated_on
        and member_days.accepted > 0
group by integrated.team_id, integrated.integrated_on
