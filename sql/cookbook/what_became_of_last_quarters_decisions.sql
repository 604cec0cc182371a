-- question: What became of the decisions of 13 weeks ago?
select
    name,
    before_as_of,
    before_verdict,
    before_number,
    before_ci_low,
    before_ci_high,
    as_of,
    number,
    change,
    is_within_before,
    check_of_before
from ops.decisions
where before_as_of is not null
order by week_on desc, name asc
