-- question: Who goes on paying, cycle by cycle?
select
    "plan",
    cycle_number,
    at_risk,
    renewal_share,
    retained,
    retained_ci_low,
    retained_ci_high,
    median_cycles,
    label
from metric.plan_retention
order by "plan" asc, cycle_number asc
