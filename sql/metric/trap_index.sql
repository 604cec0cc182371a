-- table: Is it a trap: whether inference cost grows faster than the margin of the workloads, week by week.
-- grain: week_on
-- column week_on: Monday of a complete ISO week.
-- column active_teams: Teams with an active day in the week.
-- column inference_per_team: Inference cost / active_teams.
-- column margin_per_team: Scenario margin x workload net of the subscribers / active_teams. The
--   index doesn't depend on the size of the margin, only on its change.
-- column weeks: Weeks of the 8 up to this one with both above 0.
-- column cost_slope: Slope of log(inference_per_team) over those 8 weeks, per week.
-- column margin_slope: Slope of log(margin_per_team).
-- column trap_index: cost_slope - margin_slope; null without 8 such weeks.
-- column ci_low: Lower 95 % limit (least squares on the difference, 6 degrees of freedom).
-- column ci_high: Upper limit.
-- column is_alert: Whether the index is above 0 in this week and the two before.
-- column is_certain: Whether ci_low is above 0 as well.
-- column label: immature without 8 weeks, else association.
-- stop: only complete weeks | week_on + 7 <= $as_of - $lag_days
-- stop: an interval holds its index | trap_index is null
--   or trap_index between ci_low - 1e-12 and ci_high + 1e-12
-- stop: no alert without an index | not is_alert or trap_index > 0
with

activity as (
    select
        iso_week_on as week_on,
        count(distinct team_id) as active_teams
    from journey.active_days
    where iso_week_on + 7 <= $as_of - $lag_days
    group by iso_week_on
),

inference as (
    select
        date_trunc('week', usage_days.usage_on)::date as week_on,
        sum(usage_days.inference_cny::decimal(38, 9))::double as inference_cny
    from fact.usage_days as usage_days
    inner join journey.subscribers as subscribers
        on
            usage_days.team_id = subscribers.team_id
            and usage_days.usage_on >= subscribers.subscribed_on
    group by date_trunc('week', usage_days.usage_on)
),

-- Scenario margin on workloads of subscribers from S on, standing customers left out.
margins as (
    select
        date_trunc('week', workload_days.usage_on)::date as week_on,
        max(assumptions."value") * sum(workload_days.net_cny)::double as margin_cny
    from journey.workload_days as workload_days
    inner join journey.teams as teams
        on
            workload_days.team_id = teams.team_id
            and workload_days.usage_on >= teams.subscribed_on
    inner join ref.assumptions as assumptions on assumptions.name = 'cloud_margin'
    where not teams.is_native
    group by date_trunc('week', workload_days.usage_on)
),

weekly as (
    select
        activity.week_on,
        activity.active_teams,
        round(inference.inference_cny / nullif(activity.active_teams, 0), 6) as inference_per_team,
        round(margins.margin_cny / nullif(activity.active_teams, 0), 6) as margin_per_team
    from activity
    left join inference on activity.week_on = inference.week_on
    left join margins on activity.week_on = margins.week_on
),

logs as (
    select
        *,
        (week_on - date '2000-01-03') // 7 as week_number,
        case when inference_per_team > 0 and margin_per_team > 0 then ln(inference_per_team) end
            as log_cost,
        case when inference_per_team > 0 and margin_per_team > 0 then ln(margin_per_team) end
            as log_margin
    from weekly
),

-- Least squares over the 8 weeks up to each one; the slope of the difference is the difference of
-- the slopes, and its residuals carry their covariance.
fits as (
    select
        here.week_on,
        here.active_teams,
        here.inference_per_team,
        here.margin_per_team,
        count(past.log_cost) as weeks,
        regr_slope(past.log_cost, past.week_number) as cost_slope,
        regr_slope(past.log_margin, past.week_number) as margin_slope,
        regr_slope(past.log_cost - past.log_margin, past.week_number) as slope,
        regr_syy(past.log_cost - past.log_margin, past.week_number) as syy,
        regr_sxy(past.log_cost - past.log_margin, past.week_number) as sxy,
        regr_sxx(past.log_cost - past.log_margin, past.week_number) as sxx
    from logs as here
    inner join logs as past
        on past.week_on between here.week_on - 49 and here.week_on
    group by here.week_on, here.active_teams, here.inference_per_team, here.margin_per_team
),

-- 2.446911851 is the 97.5 % quantile of t with 6 degrees of freedom.
indexed as (
    select
        *,
        case when weeks = 8 then round(slope, 12) end as trap_index,
        case
            when weeks = 8
                then 2.446911851 * sqrt(greatest(syy - sxy * sxy / nullif(sxx, 0), 0) / 6 / sxx)
        end as spread
    from fits
),

alerts as (
    select
        *,
        coalesce(
            trap_index > 0
            and lag(trap_index, 1) over (order by week_on asc) > 0
            and lag(trap_index, 2) over (order by week_on asc) > 0,
            false
        ) as is_alert
    from indexed
)

select
    week_on,
    active_teams,
    inference_per_team,
    margin_per_team,
    weeks,
    case when weeks = 8 then round(cost_slope, 12) end as cost_slope,
    case when weeks = 8 then round(margin_slope, 12) end as margin_slope,
    trap_index,
    round(trap_index - spread, 12) as ci_low,
    round(trap_index + spread, 12) as ci_high,
    is_alert,
    coalesce(round(trap_index - spread, 12) > 0, false) as is_certain,
    case when weeks < 8 then 'immature' else 'association' end as label
from alerts
order by week_on asc
