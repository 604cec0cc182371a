-- table: Would they have moved anyway: moves by assigned arm, whether the offer was taken or not.
-- grain: experiment, arm
-- column experiment: Experiment, or none where the log holds no arm beside a control.
-- column arm: Arm that is compared with the control (the arm named holdout or control).
-- column teams: Mature teams of the arm: not on the cloud in the look-back before the assignment,
--   and decidable for the whole headline horizon after it.
-- column moved: Of those, with a qualifying day within the horizon, subscribed or not.
-- column subscribed: Of those, subscribed within the horizon.
-- column control_teams: The same of the control arm.
-- column control_moved: Of those, moved.
-- column control_subscribed: Of those, subscribed.
-- column itt: Intention to treat: moved / teams less the control's.
-- column itt_ci_low: Lower Newcombe limit.
-- column itt_ci_high: Upper Newcombe limit.
-- column wald: Effect on those who subscribe because of the arm: itt / difference in subscribing.
-- column wald_ci_low: Lower Fieller limit; null where the arm doesn't surely change subscribing.
-- column wald_ci_high: Upper Fieller limit.
-- column moved_subscribers: Of subscribed, moved within the horizon.
-- column iota: Incremental share: itt x teams / moved_subscribers; not cut to 0..1.
-- column iota_ci_low: The same at itt_ci_low.
-- column iota_ci_high: The same at itt_ci_high.
-- column label: not identified without an assignment, or where the arm changes subscribing but not
--   surely (no Fieller interval); immature under 30 teams in an arm; else empty. An experiment among
--   subscribers has no Wald, and its itt stands.
-- stop: nobody counts who wasn't assigned | teams <= (
--   select count(*) from fact.assignments as a
--   where a.experiment = incrementality.experiment and a.arm = incrementality.arm)
-- stop: counts are among the teams | moved <= teams and subscribed <= teams
--   and control_moved <= control_teams and moved_subscribers <= subscribed
-- stop: nothing is claimed without an assignment | experiment <> 'none' or label = 'not identified'
with

assigned as (
    select
        team_id,
        experiment,
        arm,
        timezone($zone, assigned_at)::date as assigned_on,
        lower(arm) in ('holdout', 'control') as is_control
    from fact.assignments
),

-- Every assigned team is followed, also one that never subscribed: the move is the first qualifying
-- day from the assignment on, not the one from the subscription on.
followed as (
    select
        assigned.experiment,
        assigned.arm,
        assigned.is_control,
        assigned.team_id,
        coalesce(bool_or(
            q.usage_on between assigned.assigned_on - $lookback_days and assigned.assigned_on - 1
        ), false) as was_on_cloud,
        coalesce(bool_or(
            q.usage_on between assigned.assigned_on and assigned.assigned_on + $headline_horizon
        ), false) as is_moved,
        coalesce(any_value(teams.subscribed_on) <= assigned.assigned_on + $headline_horizon, false)
            as is_subscribed
    from assigned
    left join journey.qualifying_days as q on assigned.team_id = q.team_id
    left join journey.teams as teams on assigned.team_id = teams.team_id
    where
        assigned.assigned_on + $headline_horizon
        <= coalesce(teams.censored_on, $data_complete_on)
    group by
        assigned.experiment, assigned.arm, assigned.is_control, assigned.team_id,
        assigned.assigned_on
),

arms as (
    select
        experiment,
        arm,
        is_control,
        count(*) as teams,
        count(*) filter (where is_moved) as moved,
        count(*) filter (where is_subscribed) as subscribed,
        count(*) filter (where is_moved and is_subscribed) as moved_subscribers
    from followed
    where not was_on_cloud
    group by experiment, arm, is_control
),

controls as (
    select
        experiment,
        sum(teams)::bigint as teams,
        sum(moved)::bigint as moved,
        sum(subscribed)::bigint as subscribed,
        sum(moved_subscribers)::bigint as moved_subscribers
    from arms
    where is_control
    group by experiment
),

-- Shares of both arms, and the variances that Fieller's interval of a ratio needs.
pairs as (
    select
        arms.experiment,
        arms.arm,
        arms.teams,
        arms.moved,
        arms.subscribed,
        arms.moved_subscribers,
        controls.teams as control_teams,
        controls.moved as control_moved,
        controls.subscribed as control_subscribed,
        arms.moved / arms.teams - controls.moved / controls.teams as itt,
        arms.subscribed / arms.teams - controls.subscribed / controls.teams as uptake,
        arms.moved / arms.teams * (1 - arms.moved / arms.teams) / arms.teams
        + controls.moved / controls.teams * (1 - controls.moved / controls.teams) / controls.teams
            as itt_variance,
        arms.subscribed / arms.teams * (1 - arms.subscribed / arms.teams) / arms.teams
        + controls.subscribed / controls.teams * (1 - controls.subscribed / controls.teams)
        / controls.teams as uptake_variance,
        (arms.moved_subscribers / arms.teams
            - arms.moved / arms.teams * arms.subscribed / arms.teams) / arms.teams
        + (controls.moved_subscribers / controls.teams
            - controls.moved / controls.teams * controls.subscribed / controls.teams)
        / controls.teams as covariance
    from arms
    inner join controls on arms.experiment = controls.experiment
    where not arms.is_control
),

-- Fieller: the ratios r for which itt - r x uptake isn't surely different from 0; a closed interval
-- only where uptake itself surely differs from 0.
fieller as (
    select
        *,
        uptake * uptake - 3.841458820694124 * uptake_variance as a,
        itt * uptake - 3.841458820694124 * covariance as b,
        itt * itt - 3.841458820694124 * itt_variance as c
    from pairs
),

stated as (
    select
        *,
        a > 0 and b * b - a * c >= 0 as is_identified
    from fieller
),

compared as (
    select
        experiment,
        arm,
        teams,
        moved,
        subscribed,
        control_teams,
        control_moved,
        control_subscribed,
        itt,
        newcombe_low(moved, teams, control_moved, control_teams) as itt_ci_low,
        newcombe_high(moved, teams, control_moved, control_teams) as itt_ci_high,
        case when is_identified then itt / nullif(uptake, 0) end as wald,
        case when is_identified then (b - sqrt(greatest(b * b - a * c, 0))) / a end as wald_ci_low,
        case when is_identified then (b + sqrt(greatest(b * b - a * c, 0))) / a end as wald_ci_high,
        moved_subscribers,
        case
            when subscribed = teams and control_subscribed = control_teams
                then case when least(teams, control_teams) < 30 then 'immature' else '' end
            when not is_identified then 'not identified'
            when least(teams, control_teams) < 30 then 'immature'
            else ''
        end as label
    from stated
    union all by name
    select
        'none' as experiment,
        'none' as arm,
        0 as teams,
        0 as moved,
        0 as subscribed,
        0 as control_teams,
        0 as control_moved,
        0 as control_subscribed,
        0 as moved_subscribers,
        'not identified' as label
    where not exists (select 1 from stated)
)

select
    experiment,
    arm,
    teams,
    moved,
    subscribed,
    control_teams,
    control_moved,
    control_subscribed,
    itt,
    itt_ci_low,
    itt_ci_high,
    wald,
    wald_ci_low,
    wald_ci_high,
    moved_subscribers,
    itt * teams / nullif(moved_subscribers, 0) as iota,
    itt_ci_low * teams / nullif(moved_subscribers, 0) as iota_ci_low,
    itt_ci_high * teams / nullif(moved_subscribers, 0) as iota_ci_high,
    label
from compared
order by experiment asc, arm asc
