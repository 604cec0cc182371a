-- table: Aalen-Johansen: moving while on the plan against moving after it ended.
-- grain: days, cause
-- column days: Days since T0.
-- column cause: on_plan or after_churn.
-- column at_risk: Teams at risk on that day.
-- column share: Cumulative incidence of the cause.
-- column std_error: Its standard error (delta method).
-- column ci_low: Lower 95 % limit.
-- column ci_high: Upper 95 % limit.
-- column all_causes_share: Kaplan-Meier share on the same day; the causes sum to it.
-- stop: the causes sum to the headline curve | abs(all_causes_share - (
--   select sum(i.share) from metric.incidence as i where i.days = incidence.days)) < 1e-9
with

-- The macro reads this CTE by its name.
causes as ( -- noqa: ST03
    select
        'all' as stratum,
        days,
        case when not moved then 0 when after_churn then 2 else 1 end as cause
    from journey.strata
    where population = 'nsm' and "by" = 'all'
),

curves as (
    select * from cumulative_incidence('causes') -- noqa: ST03
)

select
    curves.days,
    case curves.cause when 1 then 'on_plan' else 'after_churn' end as cause,
    curves.at_risk,
    curves.share,
    curves.std_error,
    curves.ci_low,
    curves.ci_high,
    curve.share as all_causes_share
from curves
inner join metric.curve as curve
    on
        curves.days = curve.days
        and curve.population = 'nsm'
        and curve.by = 'all'
order by all
