-- question: Does inference cost outgrow the margin of the workloads?
select
    week_on,
    trap_index,
    ci_low,
    ci_high,
    is_alert,
    is_certain,
    label
from metric.trap_index
where trap_index is not null
order by week_on desc
