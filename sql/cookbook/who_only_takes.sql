-- question: Which teams only take, and does that drift?
select
    cohort,
    quadrant,
    teams,
    of_teams,
    share,
    ci_low,
    ci_high,
    drift,
    drift_ci_low,
    drift_ci_high,
    label
from metric.quadrants
order by cohort asc, quadrant asc
