-- question: How many teams empty their quota and never move, and what do they cost?
select
    "plan",
    maximisers,
    of_teams,
    share,
    ci_low,
    ci_high,
    plan_net_cny,
    inference_cny,
    label
from metric.quota_maximisers
order by "plan" asc
