-- table: Every number that a rule of decisions.toml may name, with its interval and the teams behind it.
-- grain: metric
-- column metric: Name of the number: nsm, itt (at the headline horizon, all or BY_VALUE), friction_LIMIT,
--   maximisers, tourists, workload_retention_DAY, trap_index, conversion_by_break_even,
--   channel_NAME (cost of an incremental sustained team), experiment_NAME_ARM.
-- column number: The number.
-- column ci_low: Lower 95 % limit.
-- column ci_high: Upper 95 % limit.
-- column teams: Teams behind it.
-- column label: Label of the table that it comes from.
-- stop: every name is there once | (select count(*) from metric.decision_numbers as d
--   where d.metric = decision_numbers.metric) = 1
-- stop: an interval holds its number | number is null or (coalesce(ci_low, number) <= number + 1e-9
--   and coalesce(ci_high, number) >= number - 1e-9)
select
    case
        when "by" = 'all' then population
        else concat_ws('_', population, "by", "value")
    end as metric,
    share::double as number,
    ci_low::double as ci_low,
    ci_high::double as ci_high,
    teams::bigint as teams,
    case when share is null then 'immature' else '' end as label
from metric.conversion
where horizon_days = $headline_horizon and "by" <> 'week' and not is_suppressed
union all by name
select
    'friction_' || limit_name as metric,
    odds_ratio as number,
    ci_low,
    ci_high,
    cycles_bound + cycles_unbound as teams,
    label
from metric.quota_friction
union all by name
select
    'maximisers' as metric,
    share as number,
    ci_low,
    ci_high,
    of_teams as teams,
    label
from metric.quota_maximisers
where "plan" = 'all'
union all by name
select
    quadrant as metric,
    share as number,
    ci_low,
    ci_high,
    of_teams as teams,
    label
from metric.quadrants
where cohort = 'all'
union all by name
select
    'workload_retention_' || "day" as metric,
    share as number,
    ci_low,
    ci_high,
    teams,
    label
from metric.workload_retention
union all by name
-- The last week that has an index.
select
    'trap_index' as metric,
    arg_max(trap_index, week_on) as number,
    arg_max(ci_low, week_on) as ci_low,
    arg_max(ci_high, week_on) as ci_high,
    arg_max(active_teams, week_on) as teams,
    arg_max(label, week_on) as label
from metric.trap_index
where trap_index is not null
having count(*) > 0
union all by name
-- Below 1 the subsidy doesn't come back, even if the largest assumed share is incremental.
select
    'conversion_by_break_even' as metric,
    conversion / nullif(p_star_low, 0) as number,
    conversion_ci_low / nullif(p_star_low, 0) as ci_low,
    conversion_ci_high / nullif(p_star_low, 0) as ci_high,
    teams,
    case when verdict in ('no subsidy', 'no value seen') then verdict else label end as label
from metric.unit_economics
where "by" = 'all'
union all by name
select
    'channel_' || channel as metric,
    cost_per_incremental_cny as number,
    cost_ci_low as ci_low,
    cost_ci_high as ci_high,
    teams,
    label
from metric.channels
union all by name
select
    concat_ws('_', 'experiment', experiment, arm) as metric,
    difference as number,
    ci_low,
    ci_high,
    teams + control_teams as teams,
    label
from metric.experiments
order by metric asc
