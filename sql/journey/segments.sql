-- table: What was known of a team on the day it integrated; nothing later.
-- grain: team_id
-- column team_id: The team.
-- column known_on: Last day whose rows were used; never after T0.
-- column plan: Plan of the latest paid event up to T0.
-- column team_class: solo 1, small 2-5, mid 6-20, large 21+ members active in the 28 days up to T0.
-- column model_mix: Models with at least 10 % of the accepted requests of the 28 days up to T0.
-- column task_mix: The task with most accepted requests in those days.
-- stop: segments are known at T0 | known_on <= (
--   select integrated_on from journey.habits as h where h.team_id = segments.team_id)
with

plans as (
    select
        habits.team_id,
        arg_max(subscriptions.plan, subscriptions.occurred_at) as plan
    from journey.habits as habits
    inner join fact.subscriptions as subscriptions
        on
            habits.team_id = subscriptions.team_id
            and subscriptions.occurred_on <= habits.integrated_on
    where subscriptions.event in ('started', 'renewed', 'upgraded', 'downgraded')
    group by habits.team_id
),

usage as (
    select
        habits.team_id,
        usage_days.model,
        usage_days.task,
        sum(usage_days.accepted) as accepted
    from journey.habits as habits
    inner join journey.subscribers as subscribers on habits.team_id = subscribers.team_id
    inner join fact.usage_days as usage_days
        on
            habits.team_id = usage_days.team_id
            and usage_days.usage_on
            between greatest(habits.integrated_on - 27, subscribers.subscribed_on)
            and habits.integrated_on
    where usage_days.accepted > 0
    group by habits.team_id, usage_days.model, usage_days.task
),

models as (
    select
        team_id,
        model,
        sum(accepted) as accepted,
        sum(sum(accepted)) over (partition by team_id) as of_all
    from usage
    group by team_id, model
),

model_mixes as (
    select
        team_id,
        string_agg(model, '+' order by model) as model_mix
    from models
    where accepted >= 0.1 * of_all
    group by team_id
),

tasks as (
    select
        team_id,
        task,
        sum(accepted) as accepted
    from usage
    group by team_id, task
),

task_mixes as (
    select
        team_id,
        first(task order by accepted desc, task asc) as task_mix
    from tasks
    group by team_id
)

select
    habits.team_id,
    habits.integrated_on as known_on,
    coalesce(plans.plan, 'unknown') as plan,
    case
        when habits.active_members <= 1 then 'solo'
        when habits.active_members <= 5 then 'small'
        when habits.active_members <= 20 then 'mid'
        else 'large'
    end as team_class,
    coalesce(model_mixes.model_mix, 'unknown') as model_mix,
    coalesce(task_mixes.task_mix, 'unknown') as task_mix
from journey.habits as habits
left join plans on habits.team_id = plans.team_id
left join model_mixes on habits.team_id = model_mixes.team_id
left join task_mixes on habits.team_id = task_mixes.team_id
