-- question: Which limit makes teams leave?
select
    limit_name,
    cycles_bound,
    odds_ratio,
    ci_low,
    ci_high,
    crude_odds_ratio,
    warning,
    blocked_days_per_cycle,
    label
from metric.quota_friction
order by limit_name asc
