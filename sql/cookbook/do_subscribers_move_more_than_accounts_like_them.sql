-- question: Do subscribers move more often than accounts like them that hadn't subscribed?
select
    "by",
    "value",
    subscribers,
    matched,
    share,
    control_share,
    difference,
    ci_low,
    ci_high,
    iota,
    e_value,
    label
from metric.matched_controls
order by "by" asc, "value" asc
