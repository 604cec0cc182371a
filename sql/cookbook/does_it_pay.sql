-- question: Does the plan pay back, and in which segment?
select
    "by",
    "value",
    clock,
    teams,
    subsidy_per_team,
    p_star_low,
    p_star_high,
    conversion,
    conversion_ci_low,
    conversion_ci_high,
    payback_month,
    verdict,
    label
from metric.unit_economics
order by "by" asc, "value" asc
