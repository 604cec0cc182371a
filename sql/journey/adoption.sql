-- table: First day of each workload family, by team.
-- grain: team_id
-- column team_id: The team.
-- column first_workload_on: First billable day of any workload.
-- column deploy_on: First day with deploy above the billable threshold.
-- column storage_on: First day with storage above it.
-- column database_on: First day with a database above it.
-- column observability_on: First day with observability above it.
-- warn: no family starts without a workload day | coalesce(
--   first_workload_on, deploy_on, storage_on, database_on, observability_on) is not null
select
    team_id,
    min(usage_on) filter (where is_billable) as first_workload_on,
    min(usage_on) filter (where list_contains(families, 'deploy')) as deploy_on,
    min(usage_on) filter (where list_contains(families, 'storage')) as storage_on,
    min(usage_on) filter (where list_contains(families, 'database')) as database_on,
    min(usage_on) filter (where list_contains(families, 'observability')) as observability_on
from journey.workload_days
where is_billable or len(families) > 0
group by team_id
