-- table: Net of the workload families by team and business day.
-- grain: team_id, usage_on
-- days: fact.charge_days | 0
-- column team_id: The team.
-- column usage_on: Business day of usage.
-- column net_cny: Net of all workload families together, credits and refunds taken off.
-- column is_billable: Whether that net is above the billable threshold.
-- column deploy_net_cny: Net of deploy alone; null without a row of it.
-- column storage_net_cny: The same for storage.
-- column database_net_cny: The same for databases.
-- column observability_net_cny: The same for observability.
-- stop: only days before the as-of day | usage_on < $as_of
with

-- Workloads are the families of the definition, on its host providers when it names any.
workload_charges as (
    select
        team_id,
        usage_on,
        family,
        net_cny
    from fact.charge_days
    where
        list_contains($workload_families, family)
        and (len($host_providers) = 0 or list_contains($host_providers, provider))
        and usage_on >= $from_on
        and usage_on < $to_on
        and usage_on < $as_of
)

select
    team_id,
    usage_on,
    sum(net_cny) as net_cny,
    sum(net_cny) > $billable_cny as is_billable,
    sum(case when family = 'deploy' then net_cny end) as deploy_net_cny,
    sum(case when family = 'storage' then net_cny end) as storage_net_cny,
    sum(case when family = 'database' then net_cny end) as database_net_cny,
    sum(case when family = 'observability' then net_cny end) as observability_net_cny
from workload_charges
group by team_id, usage_on
