-- question: Which channel brings teams that stay on the cloud, and what does one that wouldn't have come anyway cost?
select
    channel,
    teams,
    sustained,
    sustained_share,
    ci_low,
    ci_high,
    also_on_plan,
    cost_cny,
    cost_per_sustained_cny,
    cost_per_incremental_cny,
    cost_ci_low,
    cost_ci_high,
    experiment,
    iota_low,
    iota_high,
    label
from metric.channels
order by cost_ci_low asc nulls last, channel asc
