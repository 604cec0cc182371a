-- table: Net of the workload families by team and business day.
-- grain: team_id, usage_on
-- column team_id: The team.
-- column usage_on: Business day of usage.
-- column net_cny: Net of all workload families together, credits and refunds taken off.
-- column is_billable: Whether that net is above the billable threshold.
-- column families: Workload families with a net above the threshold, each on its own.
-- stop: only days before the as-of day | usage_on < $as_of
with

-- Workloads are the families of the definition, on its host providers when it names any.
workload_families as (
    select
        team_id,
        usage_on,
        family,
        sum(net_cny) as net_cny
    from fact.charge_days
    where
        list_contains($workload_families, family)
        and (len($host_providers) = 0 or list_contains($host_providers, provider))
        and usage_on < $as_of
    group by team_id, usage_on, family
)

select
    team_id,
    usage_on,
    sum(net_cny) as net_cny,
    sum(net_cny) > $billable_cny as is_billable,
    coalesce(
        list(family order by family) filter (where net_cny > $billable_cny), []
    ) as families
from workload_families
group by team_id, usage_on
