-- table: Who only takes: use of the quota in the 28 days after T0 against having moved by the
--   headline horizon; mature teams only.
-- grain: cohort, quadrant
-- column cohort: Month of T0 (YYYY-MM), or all.
-- column quadrant: builders (much use, moved), efficient_movers (little use, moved), tourists (much
--   use, not moved), dormant (little use, not moved) or unknown_quota.
-- column teams: Teams in the quadrant.
-- column of_teams: Mature teams of the cohort: seen for the whole horizon.
-- column share: teams / of_teams.
-- column ci_low: Lower Wilson limit.
-- column ci_high: Upper Wilson limit.
-- column median_utilisation: Median of accepted / quota in the quadrant; null without teams.
-- column drift: share less that of the cohort before; null for all and for the first.
-- column drift_ci_low: Lower Newcombe limit of the drift.
-- column drift_ci_high: Upper Newcombe limit.
-- column label: immature under 30 teams in the cohort, else empty.
-- stop: every mature team is in one quadrant | cohort <> 'all' or of_teams = (
--   select count(*) from journey.teams as t
--   where t.is_headline and t.potential_days >= $headline_horizon)
-- stop: the quadrants make the cohort | (
--   select sum(q.teams) from metric.quadrants as q where q.cohort = quadrants.cohort) = of_teams
-- stop: the cohorts make the whole | (
--   select sum(q.teams) from metric.quadrants as q where q.cohort <> 'all') = (
--   select sum(q.teams) from metric.quadrants as q where q.cohort = 'all')
-- stop: an interval holds its share | ci_low <= share + 1e-12 and ci_high >= share - 1e-12
with

-- Mature: the outcome at the horizon was decidable for the whole horizon. Much use: half the quota.
mature as (
    select
        strftime(teams.integrated_on, '%Y-%m') as month_of_t0,
        early_usage.utilisation,
        case
            when early_usage.utilisation is null then 'unknown_quota'
            when early_usage.utilisation >= 0.5 and teams.moved and teams.days <= $headline_horizon
                then 'builders'
            when teams.moved and teams.days <= $headline_horizon then 'efficient_movers'
            when early_usage.utilisation >= 0.5 then 'tourists'
            else 'dormant'
        end as quadrant
    from journey.teams as teams
    left join journey.early_usage as early_usage on teams.team_id = early_usage.team_id
    where teams.is_headline and teams.potential_days >= $headline_horizon
),

cohort_rows as (
    select
        unnest(['all', month_of_t0]) as cohort,
        quadrant,
        utilisation
    from mature
),

cohorts as (
    select
        cohort,
        count(*) as of_teams
    from cohort_rows
    group by cohort
),

-- Every cohort has every quadrant, also an empty one.
grid as (
    select
        cohorts.cohort,
        cohorts.of_teams,
        unnest(
            ['builders', 'efficient_movers', 'tourists', 'dormant', 'unknown_quota']
        ) as quadrant
    from cohorts
),

counts as (
    select
        grid.cohort,
        grid.quadrant,
        grid.of_teams,
        count(cohort_rows.quadrant) as teams,
        median(cohort_rows.utilisation) as median_utilisation
    from grid
    left join cohort_rows
        on grid.cohort = cohort_rows.cohort and grid.quadrant = cohort_rows.quadrant
    group by grid.cohort, grid.quadrant, grid.of_teams
),

-- Drift is against the month before that has mature teams.
drifts as (
    select
        *,
        case when cohort <> 'all' then lag(teams) over by_month end as teams_before,
        case when cohort <> 'all' then lag(of_teams) over by_month end as of_teams_before
    from counts
    window by_month as (partition by quadrant, cohort = 'all' order by cohort asc)
)

select
    cohort,
    quadrant,
    teams,
    of_teams,
    teams / nullif(of_teams, 0) as share,
    wilson_low(teams, of_teams) as ci_low,
    wilson_high(teams, of_teams) as ci_high,
    median_utilisation,
    teams / nullif(of_teams, 0) - teams_before / nullif(of_teams_before, 0) as drift,
    newcombe_low(teams, of_teams, teams_before, of_teams_before) as drift_ci_low,
    newcombe_high(teams, of_teams, teams_before, of_teams_before) as drift_ci_high,
    case when of_teams < 30 then 'immature' else '' end as label
from drifts
order by cohort asc, quadrant asc
