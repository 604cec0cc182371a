-- question: At which hours of the day are teams stopped, and by which limit?
select
    hour(timezone('Asia/Shanghai', hour_at)) as hour_of_day,
    state,
    count(*) as blocked_hours,
    count(distinct team_id) as teams,
    count(*) filter (where is_nested) as also_by_a_narrower_limit
from journey.quota_states
group by hour_of_day, state
order by hour_of_day asc, state asc
