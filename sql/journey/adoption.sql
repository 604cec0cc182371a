-- table: First day of each workload family, by team.
-- grain: team_id
-- column team_id: The team.
-- column first_workload_on: First billable day of any workload.
-- column deploy_on: First day with deploy above the billable threshold.
-- column storage_on: First day with storage above it.
-- column database_on: First day with a database above it.
-- column observability_on: First day with observability above it.
-- stop: every row has an adoption | coalesce(
--   first_workload_on, deploy_on, storage_on, database_on, observability_on) is not null
with

first_days as (
    select
        team_id,
        min(case when is_billable then usage_on end) as first_workload_on,
        min(case when deploy_net_cny > $billable_cny then usage_on end) as deploy_on,
        min(case when storage_net_cny > $billable_cny then usage_on end) as storage_on,
        min(case when database_net_cny > $billable_cny then usage_on end) as database_on,
        min(case when observability_net_cny > $billable_cny then usage_on end) as observability_on
    from journey.workload_days
    group by team_id
)

select
    team_id,
    first_workload_on,
    deploy_on,
    storage_on,
    database_on,
    observability_on
from first_days
where
    coalesce(first_workload_on, deploy_on, storage_on, database_on, observability_on) is not null
