-- table: What a usual dashboard would print, next to the truth, each error named.
-- grain: name
-- column name: The naive number.
-- column error: What it gets wrong.
-- column numerator: What it counts as moved.
-- column denominator: What it divides by.
-- column share: numerator / denominator, or its own estimate; null without a denominator.
-- column headline_share: The headline share at the headline horizon.
-- column gap: share - headline_share.
-- stop: a naive share is a share | share is null or share between 0 and 1
with

headline as (
    select share
    from metric.headline
    where is_headline
),

integrated as (
    select * from journey.teams
    where integrated_on is not null and integrated_on < $as_of
),

-- Anything that cost after T0, trial, free tier and credited use included.
any_charge as (
    select
        team_id,
        max(last_cost_on) as last_cost_on
    from journey.billed_teams
    group by team_id
),

developers as (
    select
        teams.team_id,
        coalesce(teams.moved_after_t0_on is not null, false) as has_moved,
        greatest(habits.active_members, 1) as members
    from integrated as teams
    inner join journey.habits as habits on teams.team_id = habits.team_id
    where teams.state_at_t0 in ('new', 'dormant')
),

-- Censoring at the as-of day takes silence that could not have been decided for a "no".
at_as_of as (
    select
        'as_of' as stratum,
        case
            when moved then days
            else $as_of - 1 - integrated_on
        end as days,
        moved
    from journey.teams
    where is_headline
),

as_of_curve as (
    select * from kaplan_meier('at_as_of')
),

naive as (
    select
        'converted_so_far' as name,
        'open cohorts count as unconverted' as error,
        count(*) filter (where moved_after_t0_on is not null) as numerator,
        count(*) as denominator,
        null::double as own_share
    from integrated
    where state_at_t0 is null or state_at_t0 in ('new', 'dormant')
    union all by name
    select
        'natives_included' as name,
        'teams that were on the cloud before count as moved' as error,
        count(*) filter (where moved_on is not null or is_native) as numerator,
        count(*) as denominator,
        null::double as own_share
    from integrated
    union all by name
    select
        'any_cloud_charge' as name,
        'trial, free and credited use counts as a workload' as error,
        count(*) filter (where any_charge.last_cost_on > integrated.integrated_on) as numerator,
        count(*) as denominator,
        null::double as own_share
    from integrated
    left join any_charge on integrated.team_id = any_charge.team_id
    union all by name
    select
        'developers' as name,
        'developers are counted instead of teams' as error,
        coalesce(sum(members) filter (where has_moved), 0)::bigint as numerator,
        coalesce(sum(members), 0)::bigint as denominator,
        null::double as own_share
    from developers
    union all by name
    select
        'last_4_weeks' as name,
        'the youngest cohort has had no time to move' as error,
        count(*) filter (where moved_after_t0_on is not null) as numerator,
        count(*) as denominator,
        null::double as own_share
    from integrated
    where integrated_on >= $as_of - 28
    union all by name
    select
        'censored_at_as_of' as name,
        'days that could not have been decided count as days without a move' as error,
        coalesce(sum(moved) filter (where days <= $headline_horizon), 0)::bigint as numerator,
        (select count(*) from at_as_of) as denominator,
        arg_max(share, days) filter (where days <= $headline_horizon) as own_share
    from as_of_curve
)

select
    naive.name,
    naive.error,
    naive.numerator,
    naive.denominator,
    coalesce(naive.own_share, naive.numerator / nullif(naive.denominator, 0)) as share,
    headline.share as headline_share,
    coalesce(naive.own_share, naive.numerator / nullif(naive.denominator, 0))
    - headline.share as gap
from naive
cross join headline
order by naive.name
