-- macro: The share that moved at one horizon in one breakdown, from metric.conversion (headline population).
-- param horizon: Horizon in days, one of the definition's.
-- param segment: The breakdown: all, week, plan, team_class, region, industry, channel, model_mix, task_mix or state.
-- column value: The group.
-- column teams: Teams on the clock.
-- column moved: Of those, moved within the horizon.
-- column at_risk: Of those, on the clock for at least the horizon.
-- column share: Kaplan-Meier share; null when it can't be estimated or the group is too small to show.
-- column ci_low: Lower 95 % limit.
-- column ci_high: Upper 95 % limit.
-- example: select * from conversion(90, 'plan')
-- source: design METRIC.md
create or replace macro conversion(horizon, segment) as table
select
    conversion_rows."value",
    conversion_rows.teams,
    conversion_rows.moved,
    conversion_rows.at_risk,
    case when not conversion_rows.is_suppressed then conversion_rows.share end as share,
    case when not conversion_rows.is_suppressed then conversion_rows.ci_low end as ci_low,
    case when not conversion_rows.is_suppressed then conversion_rows.ci_high end as ci_high
from metric.conversion as conversion_rows
where
    conversion_rows.population = 'nsm'
    and conversion_rows.horizon_days = horizon
    and conversion_rows."by" = segment
order by conversion_rows."value";
