-- question: Does a moved workload stay and widen?
select
    "day",
    teams,
    share,
    ci_low,
    ci_high,
    median_net_cny,
    median_families,
    families_1,
    families_2,
    families_3,
    families_4,
    label
from metric.workload_retention
order by "day" asc
