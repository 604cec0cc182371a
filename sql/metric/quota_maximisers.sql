-- table: Teams that take nearly all of their quota, cycle after cycle, and never moved; mature teams only.
-- grain: plan
-- column plan: Plan at T0, or all.
-- column maximisers: Teams with at least 90 % of the month's quota in at least 2 cycles and no W.
-- column of_teams: Mature teams of the plan: seen for the whole headline horizon.
-- column share: maximisers / of_teams.
-- column ci_low: Lower Wilson limit.
-- column ci_high: Upper Wilson limit.
-- column plan_net_cny: What the maximisers paid for the plan.
-- column inference_cny: What their tokens cost.
-- column label: immature under 30 teams, else empty.
-- stop: every mature team counts once | "plan" <> 'all' or of_teams = (
--   select count(*) from journey.teams as t
--   where t.is_headline and t.potential_days >= $headline_horizon)
-- stop: maximisers have had two cycles | maximisers <= (select count(*) from (
--   select c.team_id from journey.plan_cycles as c group by c.team_id having count(*) >= 2))
-- stop: the plans make the whole | "plan" = 'all' or (
--   select sum(q.maximisers) from metric.quota_maximisers as q where q.plan <> 'all') = (
--   select q.maximisers from metric.quota_maximisers as q where q.plan = 'all')
with

mature as (
    select
        team_id,
        "plan",
        moved_after_t0_on
    from journey.teams
    where is_headline and potential_days >= $headline_horizon
),

-- A full cycle: it is over, and at least nine tenths of its quota were used.
full_cycles as (
    select
        team_id,
        count(*) as cycles
    from journey.plan_cycles
    where accepted >= 0.9 * quota and ends_on <= $as_of
    group by team_id
),

fees as (
    select
        team_id,
        sum(net_cny) as plan_net_cny
    from journey.plan_cycles
    group by team_id
),

costs as (
    select
        team_id,
        sum(inference_cny::decimal(38, 9))::double as inference_cny
    from fact.usage_days
    where usage_on < $as_of
    group by team_id
),

-- A maximiser fills two cycles or more and has no W.
flagged as (
    select
        mature.plan,
        coalesce(full_cycles.cycles >= 2, false) and mature.moved_after_t0_on is null
            as is_maximiser,
        coalesce(fees.plan_net_cny, 0) as plan_net_cny,
        coalesce(costs.inference_cny, 0) as inference_cny
    from mature
    left join full_cycles on mature.team_id = full_cycles.team_id
    left join fees on mature.team_id = fees.team_id
    left join costs on mature.team_id = costs.team_id
),

plan_rows as (
    select
        unnest(['all', "plan"]) as "plan",
        is_maximiser,
        plan_net_cny,
        inference_cny
    from flagged
),

counts as (
    select
        "plan",
        count(*) filter (where is_maximiser) as maximisers,
        count(*) as of_teams,
        coalesce(sum(plan_net_cny) filter (where is_maximiser), 0) as plan_net_cny,
        coalesce(sum(inference_cny) filter (where is_maximiser), 0) as inference_cny
    from plan_rows
    group by "plan"
)

select
    "plan",
    maximisers,
    of_teams,
    maximisers / nullif(of_teams, 0) as share,
    wilson_low(maximisers, of_teams) as ci_low,
    wilson_high(maximisers, of_teams) as ci_high,
    round(plan_net_cny, 2) as plan_net_cny,
    round(inference_cny, 2) as inference_cny,
    case when of_teams < 30 then 'immature' else '' end as label
from counts
order by "plan" asc
