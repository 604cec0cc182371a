-- question: Did the experiment work, and may we read it yet?
select
    experiment,
    arm,
    srm_p,
    teams,
    control_teams,
    difference,
    ci_low,
    ci_high,
    renewal_difference,
    teams_needed,
    verdict,
    label
from metric.experiments
order by experiment asc, arm asc
