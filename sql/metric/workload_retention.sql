-- table: Whether a moved workload stays and widens: its 28 days from W on, from W + 90 and from W + 180.
-- grain: day
-- column day: Days after W on which the 28 days start: 0, 90 or 180.
-- column teams: Headline teams with a W whose 28 days from W + day on are complete.
-- column retained: Of those, with a workload net above 0 in these 28 days.
-- column share: retained / teams.
-- column ci_low: Lower Wilson limit.
-- column ci_high: Upper Wilson limit.
-- column median_net_cny: Median net of the 28 days over all these teams; never the mean.
-- column median_families: Median number of workload families with a net above 0.
-- column families_0: Teams with none.
-- column families_1: Teams with one family.
-- column families_2: Teams with two.
-- column families_3: Teams with three.
-- column families_4: Teams with four or more.
-- column label: immature under 30 teams, else empty.
-- stop: a row for each day | (select count(*) from metric.workload_retention) = 3
-- stop: the families make the teams | families_0 + families_1 + families_2 + families_3
--   + families_4 = teams
-- stop: only moved teams have a workload to keep | retained <= teams and teams <= (
--   select count(*) from journey.teams as t where t.is_headline and t.moved)
with

checkpoints as (
    select unnest([0, 90, 180]) as "day"
),

-- Mature: all 28 days lie in complete data, before a merge too.
mature as (
    select
        checkpoints.day,
        teams.team_id,
        teams.moved_after_t0_on + checkpoints.day as from_on
    from journey.teams as teams
    cross join checkpoints
    where
        teams.is_headline and teams.moved
        and teams.moved_after_t0_on + checkpoints.day <= teams.censored_on
),

family_net as (
    select
        mature.day,
        mature.team_id,
        charge_days.family,
        sum(charge_days.net_cny)::double as net_cny
    from mature
    inner join fact.charge_days as charge_days
        on
            mature.team_id = charge_days.team_id
            and charge_days.usage_on >= mature.from_on
            and charge_days.usage_on < mature.from_on + 28
    where
        list_contains($workload_families, charge_days.family)
        and (len($host_providers) = 0 or list_contains($host_providers, charge_days.provider))
    group by mature.day, mature.team_id, charge_days.family
),

-- A team without a row in these days is a team with a net of 0.
team_net as (
    select
        mature.day,
        mature.team_id,
        coalesce(sum(family_net.net_cny), 0) as net_cny,
        count(*) filter (where family_net.net_cny > 0) as families
    from mature
    left join family_net
        on mature.day = family_net.day and mature.team_id = family_net.team_id
    group by mature.day, mature.team_id
),

counts as (
    select
        checkpoints.day,
        count(team_net.team_id) as teams,
        count(*) filter (where team_net.net_cny > 0) as retained,
        median(team_net.net_cny) as median_net_cny,
        median(team_net.families) as median_families,
        count(*) filter (where team_net.families = 0) as families_0,
        count(*) filter (where team_net.families = 1) as families_1,
        count(*) filter (where team_net.families = 2) as families_2,
        count(*) filter (where team_net.families = 3) as families_3,
        count(*) filter (where team_net.families >= 4) as families_4
    from checkpoints
    left join team_net on checkpoints.day = team_net.day
    group by checkpoints.day
)

select
    "day",
    teams,
    retained,
    retained / nullif(teams, 0) as share,
    wilson_low(retained, teams) as ci_low,
    wilson_high(retained, teams) as ci_high,
    round(median_net_cny, 2) as median_net_cny,
    median_families,
    families_0,
    families_1,
    families_2,
    families_3,
    families_4,
    case when teams < 30 then 'immature' else '' end as label
from counts
order by "day" asc
