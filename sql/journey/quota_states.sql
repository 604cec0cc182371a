-- table: Nested quota state: in each hour in which a quota stopped a team, which limits did, and
--   which of them was the binding one.
-- grain: team_id, usage_on, hour_at
-- column team_id: The team.
-- column usage_on: Business day.
-- column hour_at: Start of the hour (UTC).
-- column refused_5h: Requests refused by the 5-hour limit.
-- column refused_week: Requests refused by the weekly limit.
-- column refused_month: Requests refused by the monthly limit.
-- column refused_other: Requests refused by a limit that the source doesn't name.
-- column state: month, week, 5h or other: the widest limit that refused in the hour. Limits are
--   nested: who is out of the month's quota is stopped whatever the narrower ones say.
-- column is_nested: Whether a narrower limit refused in the same hour as well.
-- stop: only days before the as-of day | usage_on < $as_of
-- stop: the state is a limit that refused | case state
--   when 'month' then refused_month > 0 when 'week' then refused_week > 0 and refused_month = 0
--   when '5h' then refused_5h > 0 and refused_week + refused_month = 0
--   else refused_other > 0 and refused_5h + refused_week + refused_month = 0 end
select
    team_id,
    usage_on,
    hour_at,
    refused_5h,
    refused_week,
    refused_month,
    refused_other,
    case
        when refused_month > 0 then 'month'
        when refused_week > 0 then 'week'
        when refused_5h > 0 then '5h'
        else 'other'
    end as state,
    (refused_5h > 0)::int + (refused_week > 0)::int + (refused_month > 0)::int > 1 as is_nested
from fact.blocked_hours
where usage_on < $as_of
