-- table: The number: of the teams that made the plan part of how they work, the share that later
--   moved a workload onto the cloud, by horizon, with the intention-to-treat share beside it.
-- grain: horizon_days
-- column definition: Hash of the definition.
-- column as_of: A, the as-of day (exclusive).
-- column known_at: K, rows recorded up to then were used; null = everything recorded.
-- column data_complete_on: C, last decidable day.
-- column horizon_days: h.
-- column is_headline: Whether h is the headline horizon.
-- column teams: Integrated teams, not on the cloud at T0, at risk for a day at least.
-- column moved: Of those, moved within h of T0.
-- column at_risk: Of those, on the clock for at least h days.
-- column share: NSM(h), Kaplan-Meier; null when it can't be estimated.
-- column ci_low: Lower 95 % limit.
-- column ci_high: Upper 95 % limit.
-- column mature_teams: Teams seen for h days.
-- column mature_moved: Of those, moved within h.
-- column mature_share: Mature rate, the audit number.
-- column mature_ci_low: Lower Wilson limit.
-- column mature_ci_high: Upper Wilson limit.
-- column itt_teams: Paying teams, neither native nor unknown.
-- column itt_moved: Of those, moved within h of S.
-- column itt_at_risk: Of those, on the clock for at least h days.
-- column itt_share: ITT(h), Kaplan-Meier from S.
-- column itt_ci_low: Lower 95 % limit.
-- column itt_ci_high: Upper 95 % limit.
-- stop: a row for every horizon | (select count(*) from metric.headline) = len($horizons)
-- stop: at risk are among the teams | at_risk <= teams and moved <= teams
with

horizons as (
    select unnest($horizons::int[]) as horizon_days
),

nsm as (
    select * from metric.conversion
    where population = 'nsm' and "by" = 'all'
),

itt as (
    select * from metric.conversion
    where population = 'itt' and "by" = 'all'
)

select
    $definition::varchar as definition,
    $as_of::date as as_of,
    $known_at::timestamptz as known_at,
    $data_complete_on::date as data_complete_on,
    horizons.horizon_days,
    horizons.horizon_days = $headline_horizon as is_headline,
    coalesce(nsm.teams, 0) as teams,
    coalesce(nsm.moved, 0) as moved,
    coalesce(nsm.at_risk, 0) as at_risk,
    nsm.share,
    nsm.ci_low,
    nsm.ci_high,
    coalesce(nsm.mature_teams, 0) as mature_teams,
    coalesce(nsm.mature_moved, 0) as mature_moved,
    nsm.mature_share,
    nsm.mature_ci_low,
    nsm.mature_ci_high,
    coalesce(itt.teams, 0) as itt_teams,
    coalesce(itt.moved, 0) as itt_moved,
    coalesce(itt.at_risk, 0) as itt_at_risk,
    itt.share as itt_share,
    itt.ci_low as itt_ci_low,
    itt.ci_high as itt_ci_high
from horizons
left join nsm on horizons.horizon_days = nsm.horizon_days
left join itt on horizons.horizon_days = itt.horizon_days
order by horizons.horizon_days
