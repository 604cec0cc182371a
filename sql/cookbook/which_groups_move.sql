-- question: Which groups move to the cloud within 90 days of the habit?
select
    "by",
    "value",
    teams,
    moved,
    at_risk,
    share,
    ci_low,
    ci_high,
    mature_share
from metric.conversion
where population = 'nsm' and horizon_days = 90 and "by" not in ('all', 'week') and not is_suppressed
order by "by" asc, share desc nulls last, "value" asc
