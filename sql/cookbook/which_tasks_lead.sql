-- question: Which tasks go before a move to the cloud?
select
    task,
    share_of_requests,
    teams_with,
    share_with,
    share_without,
    difference,
    ci_low,
    ci_high,
    label
from metric.task_conversion
order by task asc
