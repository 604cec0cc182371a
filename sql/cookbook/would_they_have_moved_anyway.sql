-- question: Would they have moved without the offer?
select
    experiment,
    arm,
    teams,
    control_teams,
    itt,
    itt_ci_low,
    itt_ci_high,
    wald,
    wald_ci_low,
    wald_ci_high,
    iota,
    iota_ci_low,
    iota_ci_high,
    label
from metric.incrementality
order by experiment asc, arm asc
