-- table: What follows each billable day: how many billable days, and how much net, within the
--   window that it begins. Qualifying or not is decided in journey.qualifying_days.
-- grain: team_id, usage_on
-- days: journey.workload_days | $qualifying_window_days - 1
-- column team_id: The team.
-- column usage_on: q, a billable day up to the data-complete day.
-- column billable_days: Billable days within [q, q + window).
-- column window_net_cny: Net of that window, rounded half-up to 0.01.
-- stop: nothing is decided after the data-complete day | usage_on <= $data_complete_on
with

-- The window looks at every day with a workload row, also those with net at or below 0. Days are
-- numbers here, because a range of dates is compared as one of timestamps, which takes longer.
windows as (
    select
        team_id,
        usage_on,
        is_billable,
        count(*) filter (where is_billable) over next_days as billable_days,
        sum(net_cny) over next_days as net_cny
    from journey.workload_days
    where usage_on >= $from_on and usage_on < $to_on + $qualifying_window_days - 1
    window next_days as (
        partition by team_id order by (usage_on - date '1970-01-01')::int
        range between current row and $qualifying_window_days - 1 following
    )
)

select
    team_id,
    usage_on,
    billable_days,
    round(net_cny, 2) as window_net_cny
from windows
where is_billable and usage_on <= $data_complete_on and usage_on < $to_on
