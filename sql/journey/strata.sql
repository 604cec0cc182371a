-- table: The clock of every team in every breakdown: what the estimators read.
-- grain: population, by, value, team_id
-- column stratum: {population, by, value}, the key that kaplan_meier groups by.
-- column population: nsm (from T0, the headline) or itt (from S, all subscribers).
-- column by: The breakdown: all, week, plan, team_class, region, industry, channel, model_mix,
--   task_mix or state.
-- column value: The team's group in that breakdown, known at the start of its clock.
-- column team_id: The team.
-- column days: Days on the clock.
-- column moved: Whether the clock ended with a move.
-- column potential_days: Days that the clock could have run.
-- column after_churn: Whether that move came after the plan had ended.
-- stop: the parts of a breakdown are the whole population | (
--   select count(*) from journey.teams where is_headline
--   ) * 10 + (select count(*) from journey.teams where is_itt) * 6
--   = (select count(*) from journey.strata)
with

nsm as (
    select
        'nsm' as population,
        unnest(
            [
                {'by': 'all', 'value': 'all'},
                {'by': 'week', 'value': week_on::varchar},
                {'by': 'plan', 'value': plan},
                {'by': 'team_class', 'value': team_class},
                {'by': 'region', 'value': region},
                {'by': 'industry', 'value': industry},
                {'by': 'channel', 'value': channel},
                {'by': 'model_mix', 'value': model_mix},
                {'by': 'task_mix', 'value': task_mix},
                {'by': 'state', 'value': state_at_t0}
            ]
        ) as segment,
        team_id,
        days,
        moved,
        potential_days,
        after_churn
    from journey.teams
    where is_headline
),

-- Only what is known on the day of subscription may split the subscribers.
itt as (
    select
        'itt' as population,
        unnest(
            [
                {'by': 'all', 'value': 'all'},
                {'by': 'week', 'value': date_trunc('week', teams.subscribed_on)::date::varchar},
                {'by': 'plan', 'value': coalesce(subscribers.first_plan, 'unknown')},
                {'by': 'region', 'value': teams.region},
                {'by': 'industry', 'value': teams.industry},
                {'by': 'channel', 'value': teams.channel}
            ]
        ) as segment,
        teams.team_id,
        teams.itt_days as days,
        teams.itt_moved as moved,
        teams.itt_potential_days as potential_days,
        teams.after_churn
    from journey.teams as teams
    inner join journey.subscribers as subscribers on teams.team_id = subscribers.team_id
    where teams.is_itt
),

both_clocks as (
    select * from nsm
    union all by name
    select * from itt
)

select
    {
        'population': population, 'by': segment.by, 'value': coalesce(segment.value, 'unknown')
    } as stratum,
    population,
    segment.by as "by",
    coalesce(segment.value, 'unknown') as "value",
    team_id,
    days,
    moved,
    potential_days,
    after_churn
from both_clocks
