-- table: Qualifying days q: billable days that begin a sustained workload, up to the data-complete day.
-- grain: team_id, usage_on
-- column team_id: The team.
-- column usage_on: q.
-- stop: nothing is decided after the data-complete day | usage_on <= $data_complete_on
select
    team_id,
    usage_on
from journey.forward_windows
where
    billable_days >= $qualifying_billable_days
    and window_net_cny >= $qualifying_floor_cny
