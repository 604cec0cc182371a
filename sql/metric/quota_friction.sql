-- table: Which limit frustrates: odds of not renewing by the limit that bound in a cycle, adjusted
--   for demand, cycle number and plan; the crude odds ratio only ever stands beside it.
-- grain: limit_name
-- column limit_name: 5h, week or month: the widest limit that refused a request; any: one of them
--   or a limit that the source doesn't name.
-- column cycles_bound: Decided cycles that this limit bound.
-- column cycles_unbound: Decided cycles that no limit bound: the comparison.
-- column not_renewed_bound: Of cycles_bound, not renewed.
-- column not_renewed_unbound: Of cycles_unbound, not renewed.
-- column odds_ratio: Mantel-Haenszel odds ratio of not renewing, bound against unbound, within strata
--   of 20 cycles with like attempted / quota, of one plan and cycle number (1, 2, 3 and later); null
--   when no stratum compares.
-- column ci_low: Lower 95 % limit (Robins-Breslow-Greenland; cycles of a team count as independent).
-- column ci_high: Upper limit.
-- column p: Its p-value.
-- column strata: Strata.
-- column crude_odds_ratio: The plain 2x2; null where there is no adjusted one to stand beside.
-- column warning: What is wrong with the crude ratio, where it points the other way.
-- column blocked_days: Days with a refused request in the bound cycles.
-- column blocked_days_per_cycle: blocked_days / cycles_bound.
-- column blocked_hours: Hours of the bound cycles in which this limit was the binding one (any: in
--   which some limit refused); a floor, since who is stopped often stops asking.
-- column blocked_hours_per_cycle: blocked_hours / cycles_bound.
-- column upgraded: Of cycles_bound, followed by an upgrade.
-- column churned: Of cycles_bound, followed by no paid cycle within the grace.
-- column off_plan: Of cycles_bound, followed by a pay-as-you-go request within 28 days.
-- column converted: Of cycles_bound, followed by a move within 28 days.
-- column label: association (nobody assigned the limits); immature under 30 cycles on either side.
-- stop: every limit has its row | (select count(*) from metric.quota_friction) = 4
-- stop: the crude ratio never stands alone | crude_odds_ratio is null or odds_ratio is not null
-- stop: every decided cycle is bound or unbound | limit_name <> 'any' or cycles_bound + cycles_unbound
--   = (select count(*) from journey.plan_cycles as c where c.is_renewed is not null and c.quota > 0)
-- stop: counts are among the cycles | not_renewed_bound <= cycles_bound
--   and not_renewed_unbound <= cycles_unbound and upgraded + churned <= cycles_bound
-- stop: an interval holds its ratio | odds_ratio is null or ci_low is null
--   or odds_ratio between ci_low - 1e-12 and ci_high + 1e-12
with

-- Only decided cycles with a quota; who asks more is stopped more and also renews more, so like
-- demand is compared: strata of 20 cycles in the order of attempted / quota, which is that of its
-- logarithm. Deciles would leave so much difference inside each that with many cycles a limit without
-- effect seems to have one.
decided as (
    select
        cycles.*,
        (row_number() over (
            partition by cycles.plan, least(cycles.cycle_number, 3)
            order by cycles.attempted / cycles.quota asc, cycles.team_id asc, cycles.cycle_number asc
        ) - 1) // 20 as demand_class,
        least(cycles.cycle_number, 3) as cycle_class
    from journey.plan_cycles as cycles
    where cycles.is_renewed is not null and cycles.quota > 0
),

-- A bound cycle is compared under its own limit and under any; an unbound one under every limit.
compared as (
    select
        unnest(case
            when bound_by = 'none' then ['any', '5h', 'week', 'month']
            when bound_by = 'other' then ['any']
            else ['any', bound_by]
        end) as limit_name,
        {'demand': demand_class, 'cycle': cycle_class, 'plan': "plan"} as stratum,
        bound_by <> 'none' as exposed,
        not is_renewed as outcome,
        next_event,
        blocked_days,
        blocked_hours,
        blocked_hours_5h,
        blocked_hours_week,
        blocked_hours_month,
        off_plan_after,
        is_moved_after
    from decided
),

cells as (
    select
        limit_name,
        stratum,
        exposed,
        outcome,
        count(*) as n
    from compared
    group by limit_name, stratum, exposed, outcome
),

cells_any as ( -- noqa: ST03
    select
        stratum,
        exposed,
        outcome,
        n
    from cells
    where limit_name = 'any'
),

cells_5h as ( -- noqa: ST03
    select
        stratum,
        exposed,
        outcome,
        n
    from cells
    where limit_name = '5h'
),

cells_week as ( -- noqa: ST03
    select
        stratum,
        exposed,
        outcome,
        n
    from cells
    where limit_name = 'week'
),

cells_month as ( -- noqa: ST03
    select
        stratum,
        exposed,
        outcome,
        n
    from cells
    where limit_name = 'month'
),

estimates as (
    select
        'any' as limit_name,
        strata,
        common_odds_ratio,
        ci_low,
        ci_high,
        crude_odds_ratio,
        p
    from mantel_haenszel('cells_any')
    union all by name
    select
        '5h' as limit_name,
        strata,
        common_odds_ratio,
        ci_low,
        ci_high,
        crude_odds_ratio,
        p
    from mantel_haenszel('cells_5h')
    union all by name
    select
        'week' as limit_name,
        strata,
        common_odds_ratio,
        ci_low,
        ci_high,
        crude_odds_ratio,
        p
    from mantel_haenszel('cells_week')
    union all by name
    select
        'month' as limit_name,
        strata,
        common_odds_ratio,
        ci_low,
        ci_high,
        crude_odds_ratio,
        p
    from mantel_haenszel('cells_month')
),

counts as (
    select
        limit_name,
        count(*) filter (where exposed) as cycles_bound,
        count(*) filter (where not exposed) as cycles_unbound,
        count(*) filter (where exposed and outcome) as not_renewed_bound,
        count(*) filter (where not exposed and outcome) as not_renewed_unbound,
        coalesce(sum(blocked_days) filter (where exposed), 0)::bigint as blocked_days,
        coalesce(sum(case limit_name
            when '5h' then blocked_hours_5h
            when 'week' then blocked_hours_week
            when 'month' then blocked_hours_month
            else blocked_hours
        end) filter (where exposed), 0)::bigint as blocked_hours,
        count(*) filter (where exposed and next_event = 'upgraded') as upgraded,
        count(*) filter (where exposed and next_event = 'churned') as churned,
        count(*) filter (where exposed and off_plan_after > 0) as off_plan,
        count(*) filter (where exposed and is_moved_after) as converted
    from compared
    group by limit_name
),

-- Without a single cycle a limit still has its row.
stated as (
    select
        estimates.limit_name,
        coalesce(counts.cycles_bound, 0) as cycles_bound,
        coalesce(counts.cycles_unbound, 0) as cycles_unbound,
        coalesce(counts.not_renewed_bound, 0) as not_renewed_bound,
        coalesce(counts.not_renewed_unbound, 0) as not_renewed_unbound,
        estimates.common_odds_ratio as odds_ratio,
        estimates.ci_low,
        estimates.ci_high,
        estimates.p,
        estimates.strata,
        case when estimates.common_odds_ratio is not null then estimates.crude_odds_ratio end
            as crude_odds_ratio,
        coalesce(counts.blocked_days, 0) as blocked_days,
        coalesce(counts.blocked_hours, 0) as blocked_hours,
        coalesce(counts.upgraded, 0) as upgraded,
        coalesce(counts.churned, 0) as churned,
        coalesce(counts.off_plan, 0) as off_plan,
        coalesce(counts.converted, 0) as converted
    from estimates
    left join counts on estimates.limit_name = counts.limit_name
)

select
    limit_name,
    cycles_bound,
    cycles_unbound,
    not_renewed_bound,
    not_renewed_unbound,
    odds_ratio,
    ci_low,
    ci_high,
    p,
    strata,
    crude_odds_ratio,
    case
        when (crude_odds_ratio < 1 and odds_ratio > 1) or (crude_odds_ratio > 1 and odds_ratio < 1)
            then 'the crude ratio has the wrong sign: heavy users are stopped more and renew more'
        when crude_odds_ratio is not null then 'the crude ratio is not adjusted for demand'
        else ''
    end as warning,
    blocked_days,
    blocked_days / nullif(cycles_bound, 0) as blocked_days_per_cycle,
    blocked_hours,
    blocked_hours / nullif(cycles_bound, 0) as blocked_hours_per_cycle,
    upgraded,
    churned,
    off_plan,
    converted,
    case when least(cycles_bound, cycles_unbound) < 30 then 'immature' else 'association' end
        as label
from stated
order by limit_name asc
