-- question: Which teams have a workload that isn't sustained yet, and since when?
select
    team_id,
    "plan",
    team_class,
    integrated_on,
    first_workload_on,
    "why"
from journey.teams
where is_headline and not moved and "why" = 'workload_not_sustained'
order by first_workload_on desc, team_id asc
