-- table: Money of each paying team by 30-day month since S: plan fees, inference, cloud.
-- grain: team_id, month_number
-- column team_id: The team.
-- column month_number: 1 for the 30 days from S on; only months over by the last complete charge day.
-- column starts_on: First business day of the month.
-- column plan_net_cny: Paid for plan cycles that start in the month.
-- column inference_cny: Tokens of the month at their dated price.
-- column cloud_net_cny: Net of the workload families in the month.
-- column is_moved: Whether the month starts on or after moved_on.
-- column output_tokens: Output tokens of the month.
-- stop: months are whole | starts_on + 30 <= $as_of - $lag_days
-- stop: a team has each month once | (select count(*) from journey.team_months) = (
--   select count(distinct (m.team_id, m.month_number)) from journey.team_months as m)
-- stop: no token is in two months | (
--   select sum(m.output_tokens) from journey.team_months as m) <= coalesce((
--   select sum(u.output_tokens) from fact.usage_days as u), 0)
with

-- A month counts only when its charges are complete; one that a merge cut is left out.
months as (
    select
        teams.team_id,
        unnest(range(1, 1 + (
            least($as_of - $lag_days, coalesce(teams.merged_on, $as_of)) - teams.subscribed_on
        ) // 30)) as month_number,
        teams.subscribed_on,
        teams.moved_on
    from journey.teams as teams
    where teams.subscribed_on is not null
),

spans as (
    select
        team_id,
        month_number,
        (subscribed_on + (30 * (month_number - 1))::int)::date as starts_on,
        moved_on
    from months
),

subscribers as (
    select
        team_id,
        subscribed_on
    from journey.teams
    where subscribed_on is not null
),

fees as (
    select
        cycles.team_id,
        (cycles.starts_on - subscribers.subscribed_on) // 30 + 1 as month_number,
        sum(cycles.net_cny::decimal(38, 9))::double as plan_net_cny
    from journey.plan_cycles as cycles
    inner join subscribers on cycles.team_id = subscribers.team_id
    where cycles.starts_on >= subscribers.subscribed_on
    group by cycles.team_id, month_number
),

inference as (
    select
        usage_days.team_id,
        (usage_days.usage_on - subscribers.subscribed_on) // 30 + 1 as month_number,
        sum(usage_days.inference_cny::decimal(38, 9))::double as inference_cny,
        sum(usage_days.output_tokens)::bigint as output_tokens
    from fact.usage_days as usage_days
    inner join subscribers on usage_days.team_id = subscribers.team_id
    where usage_days.usage_on >= subscribers.subscribed_on
    group by usage_days.team_id, month_number
),

cloud as (
    select
        workload_days.team_id,
        (workload_days.usage_on - subscribers.subscribed_on) // 30 + 1 as month_number,
        sum(workload_days.net_cny)::double as cloud_net_cny
    from journey.workload_days as workload_days
    inner join subscribers on workload_days.team_id = subscribers.team_id
    where workload_days.usage_on >= subscribers.subscribed_on
    group by workload_days.team_id, month_number
)

select
    spans.team_id,
    spans.month_number,
    spans.starts_on,
    coalesce(fees.plan_net_cny, 0) as plan_net_cny,
    round(coalesce(inference.inference_cny, 0), 6) as inference_cny,
    round(coalesce(cloud.cloud_net_cny, 0), 6) as cloud_net_cny,
    coalesce(spans.moved_on <= spans.starts_on, false) as is_moved,
    coalesce(inference.output_tokens, 0) as output_tokens
from spans
left join fees on spans.team_id = fees.team_id and spans.month_number = fees.month_number
left join inference
    on spans.team_id = inference.team_id and spans.month_number = inference.month_number
left join cloud on spans.team_id = cloud.team_id and spans.month_number = cloud.month_number
