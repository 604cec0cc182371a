-- table: Which model teams switch to: the main model of the first 28 days after T0 against that of
--   the next 28.
-- grain: from_model, to_model
-- column from_model: Model with most accepted requests in (T0, T0 + 28].
-- column to_model: The same in (T0 + 28, T0 + 56]; none without an accepted request.
-- column teams: Teams that went from the one to the other.
-- column of_teams: Teams with that from_model.
-- column share: teams / of_teams.
-- column ci_low: Lower Wilson limit.
-- column ci_high: Upper Wilson limit.
-- column label: immature under 30 teams, else association: nobody assigned the models.
-- stop: a team switches once | (select sum(s.teams) from metric.model_switches as s) <= (
--   select count(*) from journey.teams as t where t.integrated_on + 56 < $as_of)
-- stop: the rows of a model make its teams | (
--   select sum(s.teams) from metric.model_switches as s
--   where s.from_model = model_switches.from_model) = of_teams
with

-- Both windows are over for every team that counts.
mature as (
    select
        team_id,
        integrated_on
    from journey.teams
    where integrated_on + 56 < $as_of
),

model_use as (
    select
        mature.team_id,
        usage_days.usage_on > mature.integrated_on + 28 as is_second,
        usage_days.model,
        sum(usage_days.accepted) as accepted
    from mature
    inner join fact.usage_days as usage_days
        on
            mature.team_id = usage_days.team_id
            and usage_days.usage_on > mature.integrated_on
            and usage_days.usage_on <= mature.integrated_on + 56
    where usage_days.accepted > 0
    group by mature.team_id, is_second, usage_days.model
),

-- The main model has most accepted requests, the first by name on a tie.
main_models as (
    select
        team_id,
        first(model order by accepted desc, model asc) filter (where not is_second) as from_model,
        first(model order by accepted desc, model asc) filter (where is_second) as to_model
    from model_use
    group by team_id
),

counts as (
    select
        from_model,
        coalesce(to_model, 'none') as to_model,
        count(*) as teams,
        (sum(count(*)) over (partition by from_model))::bigint as of_teams
    from main_models
    where from_model is not null
    group by from_model, coalesce(to_model, 'none')
)

select
    from_model,
    to_model,
    teams,
    of_teams,
    teams / nullif(of_teams, 0) as share,
    wilson_low(teams, of_teams) as ci_low,
    wilson_high(teams, of_teams) as ci_high,
    case when of_teams < 30 then 'immature' else 'association' end as label
from counts
order by from_model asc, to_model asc
