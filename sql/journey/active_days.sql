-- table: Days on which a team was active on the plan, from its first paid subscription on.
-- grain: team_id, usage_on
-- column team_id: The team.
-- column usage_on: Business day.
-- column accepted: Accepted requests of the team on that day.
-- column iso_week_on: Monday of the day's ISO week.
-- stop: no active day before S | usage_on >= (
--   select s.subscribed_on from journey.subscribers as s where s.team_id = active_days.team_id)
with

-- An active day has enough accepted requests of the whole team; days before S never count.
team_days as (
    select
        member_days.team_id,
        member_days.usage_on,
        sum(member_days.accepted)::bigint as accepted
    from fact.member_days as member_days
    inner join journey.subscribers as subscribers
        on
            member_days.team_id = subscribers.team_id
            and member_days.usage_on >= subscribers.subscribed_on
    where member_days.usage_on < $as_of
    group by member_days.team_id, member_days.usage_on
)

select
    team_id,
    usage_on,
    accepted,
    date_trunc('week', usage_on)::date as iso_week_on
from team_days
where accepted >= $active_day_requests
