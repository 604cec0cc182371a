-- table: Against other channels: what an incremental sustained team costs through the plan, ads, sales,
--   discounts; an interval of assumptions where no experiment says how many would have come anyway.
-- grain: channel
-- column channel: plan (all subscribers, whatever brought them), or a channel of fact.channel_costs
--   or of the directory. A team counts in every channel that worked on it: rows don't sum.
-- column teams: Mature teams that the channel reached in the months of cost_cny: not on the cloud before, and decidable for the
--   headline horizon and 90 days more. A channel reaches a team when it is assigned an arm, pays or
--   opens its account, whichever is first; the plan when it first pays.
-- column moved: Of those, with a qualifying day within the headline horizon.
-- column sustained: Of those, workload still net above 0 in the 28 days from 90 days later on.
-- column sustained_share: sustained / teams.
-- column ci_low: Lower Wilson limit.
-- column ci_high: Upper Wilson limit.
-- column also_on_plan: Of sustained, subscribers of the plan: the overlap with the row plan.
-- column cost_cny: Spend of the months whose teams are all mature; for the plan the subsidy of its
--   mature teams up to that day (inference - fees + support); null where no cost is known.
-- column cost_per_sustained_cny: cost_cny / sustained, as if nobody would have come anyway; 0 where
--   the fees cover the cost.
-- column experiment: Experiment with a holdout that measures the channel; null without one.
-- column iota: Incremental share of the sustained teams: its intention-to-treat effect on being
--   sustained x teams of the arm / sustained teams of the arm that the channel reached.
-- column iota_low: Its lower 95 % limit (Newcombe), or the assumption without an experiment.
-- column iota_high: Upper limit, or the assumption; limits are cut to 0..1.
-- column cost_per_incremental_cny: cost_cny / (iota x sustained); null without an experiment, or
--   where iota isn't above 0.
-- column cost_ci_low: The same at iota_high.
-- column cost_ci_high: The same at iota_low; null where iota_low is 0: no upper limit.
-- column label: not identified without a sound experiment; immature under 30 teams; else empty.
-- stop: counts are among the teams | moved <= teams and sustained <= moved and also_on_plan <= sustained
-- stop: the plan has its row | (select count(*) from metric.channels as c where c.channel = 'plan') = 1
-- stop: no point without an experiment | experiment is not null
--   or (cost_per_incremental_cny is null and label <> '')
-- stop: an interval holds its cost | cost_per_incremental_cny is null
--   or (cost_ci_low <= cost_per_incremental_cny + 1e-6
--   and coalesce(cost_ci_high, 'infinity'::double) >= cost_per_incremental_cny - 1e-6)
with

assumptions as (
    select
        max("value") filter (where name = 'iota_low') as iota_low,
        max("value") filter (where name = 'iota_high') as iota_high,
        max("value") filter (where name = 'support_cny_per_team_month') as support_cny
    from ref.assumptions
),

first_assignments as (
    select
        team_id,
        min(timezone($zone, assigned_at)::date) as assigned_on
    from fact.assignments
    group by team_id
),

-- An account that was held out of its channel wasn't reached by it.
held_out as (
    select distinct
        assignments.team_id,
        planned.channel
    from fact.assignments as assignments
    inner join ref.experiments as planned
        on
            assignments.experiment = planned.experiment and assignments.arm = planned.arm
            and lower(planned.arm) in ('holdout', 'control')
    where planned.channel is not null
),

-- least() ignores what is missing.
reached as (
    select
        directory.channel,
        directory.team_id,
        least(
            first_assignments.assigned_on,
            subscribers.subscribed_on,
            case
                when first_assignments.assigned_on is null and subscribers.subscribed_on is null
                    then timezone($zone, directory.opened_at)::date
            end
        ) as reached_on,
        subscribers.team_id is not null as is_on_plan
    from fact.teams as directory
    left join first_assignments on directory.team_id = first_assignments.team_id
    left join journey.subscribers as subscribers on directory.team_id = subscribers.team_id
    left join held_out
        on directory.team_id = held_out.team_id and directory.channel = held_out.channel
    where
        directory.channel is not null and directory.channel <> 'plan'
        and held_out.team_id is null
    union all by name
    select
        'plan' as channel,
        team_id,
        subscribed_on as reached_on,
        true as is_on_plan
    from journey.teams
    where is_itt
),

-- An arm is followed from its assignment on, whether the team took what was offered or not.
experiment_of_channel as (
    select
        planned.channel,
        min(planned.experiment) as experiment
    from ref.experiments as planned
    inner join metric.experiments as results on planned.experiment = results.experiment
    where planned.channel is not null and not results.has_srm
    group by planned.channel
),

assigned as (
    select
        experiment_of_channel.channel,
        assignments.team_id,
        timezone($zone, assignments.assigned_at)::date as reached_on,
        lower(assignments.arm) in ('holdout', 'control') as is_control,
        case
            when experiment_of_channel.channel = 'plan' then subscribers.team_id is not null
            else directory.channel is not distinct from experiment_of_channel.channel
        end as is_reached
    from experiment_of_channel
    inner join fact.assignments as assignments
        on experiment_of_channel.experiment = assignments.experiment
    left join journey.subscribers as subscribers on assignments.team_id = subscribers.team_id
    left join fact.teams as directory on assignments.team_id = directory.team_id
),

clocks as (
    select
        channel,
        team_id,
        reached_on,
        is_on_plan,
        false as is_assigned,
        false as is_control,
        true as is_reached
    from reached
    where reached_on is not null
    union all by name
    select
        channel,
        team_id,
        reached_on,
        false as is_on_plan,
        true as is_assigned,
        is_control,
        is_reached
    from assigned
),

-- Mature: a move on the last day of the horizon could still be seen to last.
mature as (
    select clocks.*
    from clocks
    left join journey.teams as teams on clocks.team_id = teams.team_id
    where
        clocks.reached_on + ($headline_horizon + 90)
        <= coalesce(teams.censored_on, $data_complete_on)
),

qualifying as (
    select
        mature.channel,
        mature.team_id,
        mature.is_assigned,
        bool_or(
            q.usage_on between mature.reached_on - $lookback_days and mature.reached_on - 1
        ) as was_on_cloud,
        min(q.usage_on) filter (
            where q.usage_on between mature.reached_on and mature.reached_on + $headline_horizon
        ) as moved_on
    from mature
    inner join journey.qualifying_days as q on mature.team_id = q.team_id
    group by mature.channel, mature.team_id, mature.is_assigned
),

-- Sustained: as in metric.workload_retention, from the move since the channel's clock.
still_there as (
    select
        qualifying.channel,
        qualifying.team_id,
        qualifying.is_assigned,
        sum(workload_days.net_cny) > 0 as is_sustained
    from qualifying
    inner join journey.workload_days as workload_days
        on
            qualifying.team_id = workload_days.team_id
            and workload_days.usage_on >= qualifying.moved_on + 90
            and workload_days.usage_on < qualifying.moved_on + 118
    where qualifying.moved_on is not null
    group by qualifying.channel, qualifying.team_id, qualifying.is_assigned
),

followed as (
    select
        mature.*,
        qualifying.moved_on is not null as is_moved,
        coalesce(still_there.is_sustained, false) as is_sustained
    from mature
    left join qualifying
        on
            mature.channel = qualifying.channel
            and mature.team_id = qualifying.team_id
            and mature.is_assigned = qualifying.is_assigned
    left join still_there
        on
            mature.channel = still_there.channel
            and mature.team_id = still_there.team_id
            and mature.is_assigned = still_there.is_assigned
    where not coalesce(qualifying.was_on_cloud, false)
),

-- Teams and spend are of the same months: a month counts when a team that it brought on its last
-- day is mature. Without such spend all mature teams of the channel count.
spent_months as (
    select
        channel,
        min(month_on) as from_on,
        (max(month_on) + interval 1 month)::date as until_on
    from fact.channel_costs
    where
        channel <> 'plan'
        and month_on + interval 1 month + to_days($headline_horizon + 89) <= $data_complete_on
    group by channel
),

counts as (
    select
        followed.channel,
        count(*) as teams,
        count(*) filter (where followed.is_moved) as moved,
        count(*) filter (where followed.is_sustained) as sustained,
        count(*) filter (where followed.is_sustained and followed.is_on_plan) as also_on_plan
    from followed
    left join spent_months on followed.channel = spent_months.channel
    where
        not followed.is_assigned
        and (
            spent_months.channel is null
            or (
                followed.reached_on >= spent_months.from_on
                and followed.reached_on < spent_months.until_on
            )
        )
    group by followed.channel
),

effects as (
    select
        channel,
        count(*) filter (where not is_control) as teams,
        count(*) filter (where not is_control and is_sustained) as sustained,
        count(*) filter (where not is_control and is_sustained and is_reached) as sustained_reached,
        count(*) filter (where is_control) as control_teams,
        count(*) filter (where is_control and is_sustained) as control_sustained
    from followed
    where is_assigned
    group by channel
),

measured as (
    select
        effects.channel,
        experiment_of_channel.experiment,
        least(effects.teams, effects.control_teams) as smaller_arm,
        effects.teams / nullif(effects.sustained_reached, 0) as teams_per_sustained,
        effects.sustained / nullif(effects.teams, 0)
        - effects.control_sustained / nullif(effects.control_teams, 0) as itt,
        newcombe_low(
            effects.sustained, effects.teams, effects.control_sustained, effects.control_teams
        ) as itt_ci_low,
        newcombe_high(
            effects.sustained, effects.teams, effects.control_sustained, effects.control_teams
        ) as itt_ci_high
    from effects
    inner join experiment_of_channel on effects.channel = experiment_of_channel.channel
    where effects.teams > 0 and effects.control_teams > 0 and effects.sustained_reached > 0
),

-- At the rate of the month's first day.
spending as (
    select
        costs.channel,
        sum((costs.spend::double * coalesce(
            case when costs.currency = 'CNY' then 1 end, fx.cny_per_unit::double
        ))::decimal(38, 6))::double as cost_cny
    from fact.channel_costs as costs
    inner join spent_months
        on costs.channel = spent_months.channel and costs.month_on < spent_months.until_on
    left join ref.fx as fx
        on
            costs.currency = fx.currency
            and costs.month_on >= fx.valid_from
            and costs.month_on < coalesce(fx.valid_to, date '9999-12-31')
    group by costs.channel
),

-- The plan's subsidy up to the day on which its teams are judged.
subsidy as (
    select
        'plan' as channel,
        sum((
            months.inference_cny - months.plan_net_cny + assumptions.support_cny
        )::decimal(38, 6))::double as cost_cny
    from followed
    inner join journey.team_months as months on followed.team_id = months.team_id
    cross join assumptions
    where
        followed.channel = 'plan' and not followed.is_assigned
        and months.month_number <= ($headline_horizon + 90) // 30
),

names as (
    select channel from counts
    union
    select channel from fact.channel_costs
    union
    select 'plan' as channel
),

gathered as (
    select
        names.channel,
        coalesce(counts.teams, 0) as teams,
        coalesce(counts.moved, 0) as moved,
        coalesce(counts.sustained, 0) as sustained,
        coalesce(counts.also_on_plan, 0) as also_on_plan,
        case when names.channel = 'plan' then subsidy.cost_cny else spending.cost_cny end
            as cost_cny,
        measured.experiment,
        measured.smaller_arm,
        measured.itt * measured.teams_per_sustained as iota,
        case
            when measured.experiment is null then assumptions.iota_low
            else least(greatest(measured.itt_ci_low * measured.teams_per_sustained, 0), 1)
        end as iota_low,
        case
            when measured.experiment is null then assumptions.iota_high
            else least(greatest(measured.itt_ci_high * measured.teams_per_sustained, 0), 1)
        end as iota_high
    from names
    cross join assumptions
    left join counts on names.channel = counts.channel
    left join spending on names.channel = spending.channel
    left join subsidy on names.channel = subsidy.channel
    left join measured on names.channel = measured.channel
),

priced as (
    select
        *,
        -- greatest() would make 0 of what is unknown.
        case when cost_cny is not null then greatest(cost_cny, 0) end / nullif(sustained, 0)
            as cost_per_sustained_cny,
        case when iota is not null then least(greatest(iota, 0), 1) end as iota_used
    from gathered
)

select
    channel,
    teams,
    moved,
    sustained,
    sustained / nullif(teams, 0) as sustained_share,
    wilson_low(sustained, teams) as ci_low,
    wilson_high(sustained, teams) as ci_high,
    also_on_plan,
    round(cost_cny, 2) as cost_cny,
    round(cost_per_sustained_cny, 4) as cost_per_sustained_cny,
    experiment,
    round(iota, 9) as iota,
    round(iota_low, 9) as iota_low,
    round(iota_high, 9) as iota_high,
    round(cost_per_sustained_cny / nullif(iota_used, 0), 4) as cost_per_incremental_cny,
    round(cost_per_sustained_cny / nullif(iota_high, 0), 4) as cost_ci_low,
    round(cost_per_sustained_cny / nullif(iota_low, 0), 4) as cost_ci_high,
    case
        when experiment is null then 'not identified'
        when least(teams, smaller_arm) < 30 then 'immature'
        else ''
    end as label
from priced
order by channel asc
