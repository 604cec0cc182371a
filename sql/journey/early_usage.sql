-- table: How much of its quota a team used in the 28 days after T0: what quadrants are drawn from.
-- grain: team_id
-- column team_id: The team.
-- column integrated_on: T0.
-- column accepted: Accepted requests in (T0, T0 + 28].
-- column quota: Requests granted in those days: a thirtieth of the monthly quota for each day with
--   the plan; null without one.
-- column utilisation: u = accepted / quota; null without a quota.
-- stop: only whole windows | integrated_on + 28 < $as_of
-- stop: a team has its window once | (select count(*) from journey.early_usage) = (
--   select count(distinct e.team_id) from journey.early_usage as e)
-- stop: no quota is negative | quota is null or quota > 0
with

integrated as (
    select
        team_id,
        integrated_on
    from journey.teams
    where integrated_on + 28 < $as_of
),

requests as (
    select
        integrated.team_id,
        sum(member_days.accepted) as accepted
    from integrated
    inner join fact.member_days as member_days
        on
            integrated.team_id = member_days.team_id
            and member_days.usage_on > integrated.integrated_on
            and member_days.usage_on <= integrated.integrated_on + 28
    group by integrated.team_id
),

-- Each day with the plan grants a thirtieth of the month's quota, at the plan of that day.
quotas as (
    select
        integrated.team_id,
        sum(
            cycles.quota / 30 * (
                least(cycles.ends_on, integrated.integrated_on + 29)
                - greatest(cycles.starts_on, integrated.integrated_on + 1)
            )
        ) as quota
    from integrated
    inner join journey.plan_cycles as cycles
        on
            integrated.team_id = cycles.team_id
            and cycles.starts_on <= integrated.integrated_on + 28
            and cycles.ends_on > integrated.integrated_on + 1
    group by integrated.team_id
)

select
    integrated.team_id,
    integrated.integrated_on,
    coalesce(requests.accepted, 0)::bigint as accepted,
    nullif(quotas.quota, 0) as quota,
    coalesce(requests.accepted, 0) / nullif(quotas.quota, 0) as utilisation
from integrated
left join requests on integrated.team_id = requests.team_id
left join quotas on integrated.team_id = quotas.team_id
