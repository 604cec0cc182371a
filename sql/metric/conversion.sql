-- table: The share that moved, by population, breakdown and horizon: Kaplan-Meier and, beside it,
--   the mature rate. Breakdown 'all' is the headline.
-- grain: population, by, value, horizon_days
-- column definition: Hash of the definition.
-- column population: nsm (from T0, the headline) or itt (from S, all subscribers).
-- column by: The breakdown.
-- column value: The group.
-- column horizon_days: h.
-- column teams: Teams on the clock.
-- column moved: Of those, moved within h.
-- column at_risk: Of those, on the clock for at least h days.
-- column share: Kaplan-Meier share at h; null when nobody could have been seen for h days or too
--   few are at risk.
-- column ci_low: Lower 95 % limit (log-log).
-- column ci_high: Upper 95 % limit.
-- column mature_teams: Teams whose clock could have run h days.
-- column mature_moved: Of those, moved within h.
-- column mature_share: mature_moved / mature_teams.
-- column mature_ci_low: Lower Wilson limit.
-- column mature_ci_high: Upper Wilson limit.
-- column converted: Teams with the outcome converted at h.
-- column not_converted: Teams seen for h days without a move.
-- column open: The rest: not yet seen for h days.
-- column is_suppressed: Whether the group is too small to be shown alone.
-- stop: no outcome is negative | least(converted, not_converted, open) >= 0
-- stop: the parts of a breakdown sum to its total | (
--   select sum(c.teams) from metric.conversion as c
--   where c.population = conversion.population and c.by = conversion.by
--   and c.horizon_days = conversion.horizon_days) = (
--   select c.teams from metric.conversion as c
--   where c.population = conversion.population and c.by = 'all'
--   and c.horizon_days = conversion.horizon_days)
-- stop: an interval holds its share | share is null or (
--   coalesce(ci_low, 0) <= share + 1e-12 and ci_high >= share - 1e-12)
with

horizons as (
    select unnest($horizons::int[]) as horizon_days
),

counts as (
    select
        strata.population,
        strata.by,
        strata.value,
        horizons.horizon_days,
        count(*) as teams,
        count(*) filter (where strata.moved and strata.days <= horizons.horizon_days) as moved,
        count(*) filter (where strata.days >= horizons.horizon_days) as at_risk,
        count(*) filter (where strata.potential_days >= horizons.horizon_days) as mature_teams,
        count(*) filter (
            where strata.potential_days >= horizons.horizon_days
            and strata.moved and strata.days <= horizons.horizon_days
        ) as mature_moved
    from journey.strata as strata
    cross join horizons
    group by strata.population, strata.by, strata.value, horizons.horizon_days
),

-- The curve is a step function: its value at h is that of the last day on or before h.
estimates as (
    select
        counts.*,
        coalesce(arg_max(curve.share, curve.days), 0) as share,
        coalesce(arg_max(curve.ci_low, curve.days), 0) as ci_low,
        arg_max(curve.ci_high, curve.days) as ci_high
    from counts
    left join metric.curve as curve
        on
            counts.population = curve.population
            and counts.by = curve.by
            and counts.value = curve.value
            and curve.days <= counts.horizon_days
    group by all
),

-- No number where nobody could have been followed to h, or too few still are.
stated as (
    select
        *,
        mature_teams > 0 and at_risk >= $min_at_risk as is_estimable
    from estimates
)

select
    $definition::varchar as definition,
    population,
    "by",
    "value",
    horizon_days,
    teams,
    moved,
    at_risk,
    case when is_estimable then share end as share,
    case when is_estimable and share < 1 then ci_low end as ci_low,
    case
        when is_estimable and share = 0 then 1 - 0.025 ^ (1 / at_risk::double)
        when is_estimable then ci_high
    end as ci_high,
    mature_teams,
    mature_moved,
    mature_moved / nullif(mature_teams, 0) as mature_share,
    wilson_low(mature_moved, mature_teams) as mature_ci_low,
    wilson_high(mature_moved, mature_teams) as mature_ci_high,
    moved as converted,
    mature_teams - mature_moved as not_converted,
    teams - moved - (mature_teams - mature_moved) as open,
    "by" <> 'all' and teams < $suppress_below as is_suppressed
from stated
order by all
