-- table: Which tasks go before a move: share of requests by task in (T0, T0 + 28] against a move in
--   (T0 + 28, T0 + 118]. A leading indicator, not a cause.
-- grain: task
-- column task: Task as the source names it; unclassified is always shown.
-- column requests: Accepted requests with the task in those 28 days.
-- column share_of_requests: requests / all accepted requests.
-- column teams_with: Teams with the task in at least 10 % of their accepted requests.
-- column moved_with: Of those, moved in (T0 + 28, T0 + 118].
-- column share_with: moved_with / teams_with.
-- column ci_low_with: Lower Wilson limit.
-- column ci_high_with: Upper Wilson limit.
-- column teams_without: All other teams of the population.
-- column moved_without: Of those, moved in the same days.
-- column share_without: moved_without / teams_without.
-- column difference: share_with - share_without.
-- column ci_low: Lower Newcombe limit of the difference.
-- column ci_high: Upper Newcombe limit.
-- column label: association, or immature under 30 teams on either side.
-- stop: unclassified is shown | (
--   select count(*) from metric.task_conversion as t where t.task = 'unclassified') = 1
-- stop: every task splits the teams of the landmark | teams_with + teams_without = (
--   select count(*) from journey.teams as t
--   where t.is_headline and t.potential_days >= 118 and t.days > 28)
with

-- Landmark on day 28: headline teams that had not moved by then and were decidable to day 118.
landmark as (
    select
        team_id,
        integrated_on,
        moved and days <= 118 as is_moved
    from journey.teams
    where is_headline and potential_days >= 118 and days > 28
),

task_use as (
    select
        landmark.team_id,
        landmark.is_moved,
        coalesce(usage_days.task, 'unclassified') as task,
        sum(usage_days.accepted) as accepted,
        sum(sum(usage_days.accepted)) over (partition by landmark.team_id) as of_all
    from landmark
    inner join fact.usage_days as usage_days
        on
            landmark.team_id = usage_days.team_id
            and usage_days.usage_on > landmark.integrated_on
            and usage_days.usage_on <= landmark.integrated_on + 28
    where usage_days.accepted > 0
    group by landmark.team_id, landmark.is_moved, coalesce(usage_days.task, 'unclassified')
),

-- A team is with a task from a tenth of its requests on.
tasks as (
    select
        task,
        sum(accepted)::bigint as requests,
        count(*) filter (where accepted >= 0.1 * of_all) as teams_with,
        count(*) filter (where accepted >= 0.1 * of_all and is_moved) as moved_with
    from task_use
    group by task
),

totals as (
    select
        count(*) as teams,
        count(*) filter (where is_moved) as moved,
        (select coalesce(sum(accepted), 0) from task_use) as requests
    from landmark
),

names as (
    select task from tasks
    union
    select 'unclassified' as task
),

counts as (
    select
        names.task,
        coalesce(tasks.requests, 0) as requests,
        totals.requests as of_requests,
        coalesce(tasks.teams_with, 0) as teams_with,
        coalesce(tasks.moved_with, 0) as moved_with,
        totals.teams - coalesce(tasks.teams_with, 0) as teams_without,
        totals.moved - coalesce(tasks.moved_with, 0) as moved_without
    from names
    left join tasks on names.task = tasks.task
    cross join totals
)

select
    task,
    requests,
    requests / nullif(of_requests, 0) as share_of_requests,
    teams_with,
    moved_with,
    moved_with / nullif(teams_with, 0) as share_with,
    wilson_low(moved_with, teams_with) as ci_low_with,
    wilson_high(moved_with, teams_with) as ci_high_with,
    teams_without,
    moved_without,
    moved_without / nullif(teams_without, 0) as share_without,
    moved_with / nullif(teams_with, 0) - moved_without / nullif(teams_without, 0) as difference,
    newcombe_low(moved_with, teams_with, moved_without, teams_without) as ci_low,
    newcombe_high(moved_with, teams_with, moved_without, teams_without) as ci_high,
    case when least(teams_with, teams_without) < 30 then 'immature' else 'association' end as label
from counts
order by task asc
