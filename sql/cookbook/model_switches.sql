-- question: Which model do teams leave, and for which?
select
    from_model,
    to_model,
    teams,
    of_teams,
    share,
    ci_low,
    ci_high,
    label
from metric.model_switches
order by from_model asc, teams desc, to_model asc
