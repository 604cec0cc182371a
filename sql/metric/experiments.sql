-- table: Did the change work: each arm against the control, read only where the split is sound.
-- grain: experiment, arm
-- column experiment: Experiment with an arm named holdout or control.
-- column arm: Arm that is compared with it.
-- column assigned: Teams assigned to the arm so far.
-- column control_assigned: Teams assigned to the control.
-- column expected_share: Planned share of the arm among both (ref.experiments); an experiment that
--   isn't planned there counts as an even split.
-- column is_planned: Whether it is planned there.
-- column srm_p: p of the chi-square test of the split (1 degree of freedom).
-- column has_srm: Whether srm_p is under 0.001: the assignment is broken, read nothing else.
-- column teams: Matured teams of the arm, see metric.incrementality.
-- column control_teams: Matured teams of the control.
-- column difference: Difference of the shares that moved; null with a broken split.
-- column ci_low: Lower limit of the anytime-valid 95 % confidence sequence (tuned to 5000 teams).
-- column ci_high: Upper limit; the sequence holds at every weekly look.
-- column renewal_difference: Guardrail: difference of the first cycle's renewal share.
-- column renewal_ci_low: Lower Newcombe limit.
-- column renewal_ci_high: Upper Newcombe limit.
-- column blocked_difference: Guardrail: difference of the share of first cycles with a blocked hour.
-- column blocked_ci_low: Lower Newcombe limit.
-- column blocked_ci_high: Upper Newcombe limit.
-- column margin_difference: Guardrail: difference of the mean contribution (CNY) of a subscriber's
--   first 3 whole months since S.
-- column margin_ci_low: Lower 95 % limit (normal, variances of the arms apart).
-- column margin_ci_high: Upper limit.
-- column teams_needed: Matured teams still needed, both arms, to see 3 points with 80 % power; null while
--   nobody has matured.
-- column breached_guardrail: renewal (surely lower), blocked time (surely more), margin (surely
--   lower), the first of them; empty without.
-- column verdict: broken split, guardrail breached, better, worse, or hold.
-- column label: not identified with a broken split, immature while teams are needed, else empty.
-- stop: a broken split shows no effect | not has_srm or (difference is null
--   and verdict = 'broken split')
-- stop: nobody rolls out through a guardrail | verdict <> 'better' or breached_guardrail = ''
-- stop: the sequence holds its difference | difference is null or ci_low is null
--   or difference between ci_low - 1e-12 and ci_high + 1e-12
-- warn: every experiment is planned | is_planned
-- stop: matured are among the assigned | teams <= assigned and control_teams <= control_assigned
with

assumptions as (
    select
        max("value") filter (where name = 'cloud_margin') as cloud_margin,
        max("value") filter (where name = 'support_cny_per_team_month') as support_cny
    from ref.assumptions
),

assigned as (
    select
        experiment,
        arm,
        lower(arm) in ('holdout', 'control') as is_control,
        count(*) as teams
    from fact.assignments
    group by experiment, arm
),

controls as (
    select
        experiment,
        sum(teams)::bigint as teams
    from assigned
    where is_control
    group by experiment
),

planned_controls as (
    select
        experiment,
        sum(planned_share) as planned_share
    from ref.experiments
    where lower(arm) in ('holdout', 'control')
    group by experiment
),

splits as (
    select
        arms.experiment,
        arms.arm,
        arms.teams as assigned,
        controls.teams as control_assigned,
        coalesce(planned.planned_share / (planned.planned_share + planned_controls.planned_share), 0.5)
            as expected_share,
        planned.planned_share is not null and planned_controls.planned_share is not null as is_planned
    from assigned as arms
    inner join controls on arms.experiment = controls.experiment
    left join ref.experiments as planned
        on arms.experiment = planned.experiment and arms.arm = planned.arm
    left join planned_controls on arms.experiment = planned_controls.experiment
    where not arms.is_control
),

chi_squares as (
    select
        *,
        pow(assigned - (assigned + control_assigned) * expected_share, 2)
        / nullif((assigned + control_assigned) * expected_share * (1 - expected_share), 0) as q
    from splits
),

-- Upper tail of chi-square with 1 degree of freedom: series under 4, continued fraction from 4 on.
srm as (
    select
        *,
        case
            when q < 4 then greatest(0, 1 - sqrt(2 * q / pi()) * exp(-q / 2) * list_reduce(
                range(61, 1, -2), lambda tail, k: 1 + tail * q / k, 1::double
            ))
            else sqrt(2 / pi()) * exp(-q / 2) / list_reduce(
                range(60, 0, -1), lambda tail, k: sqrt(q) + k / tail, sqrt(q)
            )
        end as srm_p
    from chi_squares
),

-- Guardrail: renewal of the first paid cycle, of those for whom it is decided.
renewals as (
    select
        assignments.experiment,
        assignments.arm,
        lower(assignments.arm) in ('holdout', 'control') as is_control,
        count(*) as cycles,
        count(*) filter (where cycles.is_renewed) as renewed
    from fact.assignments as assignments
    inner join journey.plan_cycles as cycles
        on assignments.team_id = cycles.team_id and cycles.cycle_number = 1
    where cycles.is_renewed is not null
    group by assignments.experiment, assignments.arm
),

control_renewals as (
    select
        experiment,
        sum(cycles)::bigint as cycles,
        sum(renewed)::bigint as renewed
    from renewals
    where is_control
    group by experiment
),

-- Guardrail: hours blocked in the first cycle, once it is over.
blocked as (
    select
        assignments.experiment,
        case when lower(assignments.arm) not in ('holdout', 'control') then assignments.arm end
            as arm,
        count(*) as cycles,
        count(*) filter (where cycles.blocked_hours > 0) as blocked
    from fact.assignments as assignments
    inner join journey.plan_cycles as cycles
        on assignments.team_id = cycles.team_id and cycles.cycle_number = 1
    where cycles.ends_on <= $as_of
    group by
        assignments.experiment,
        case when lower(assignments.arm) not in ('holdout', 'control') then assignments.arm end
),

-- Guardrail: the contribution of the subscribers' first three whole months.
margins as (
    select
        assignments.experiment,
        assignments.arm,
        lower(assignments.arm) in ('holdout', 'control') as is_control,
        sum(
            months.plan_net_cny + assumptions.cloud_margin * months.cloud_net_cny
            - months.inference_cny - assumptions.support_cny
        ) as observed
    from fact.assignments as assignments
    inner join journey.team_months as months on assignments.team_id = months.team_id
    cross join assumptions
    where months.month_number <= 3
    group by assignments.experiment, assignments.arm, assignments.team_id
    having count(*) = 3
),

means as (
    select
        experiment,
        case when is_control then null else arm end as arm,
        count(*) as n,
        avg(observed) as mean,
        var_samp(observed) as variance
    from margins
    group by experiment, case when is_control then null else arm end
),

differences as (
    select
        arms.experiment,
        arms.arm,
        round(arms.mean - controls.mean, 9) as difference,
        round(1.959963984540054 * sqrt(arms.variance / arms.n + controls.variance / controls.n), 9)
            as half_width
    from means as arms
    inner join means as controls
        on arms.experiment = controls.experiment and controls.arm is null
    where arms.arm is not null
),

gathered as (
    select
        srm.experiment,
        srm.arm,
        srm.assigned,
        srm.control_assigned,
        srm.expected_share,
        srm.is_planned,
        srm.srm_p,
        srm.srm_p < 0.001 as has_srm,
        coalesce(effects.teams, 0) as teams,
        coalesce(effects.control_teams, 0) as control_teams,
        effects.itt,
        (effects.moved + effects.control_moved)
        / nullif(effects.teams + effects.control_teams, 0) as pooled,
        sqrt(
            effects.moved * (effects.teams - effects.moved) / nullif(pow(effects.teams, 3), 0)
            + effects.control_moved * (effects.control_teams - effects.control_moved)
            / nullif(pow(effects.control_teams, 3), 0)
        ) as std_error,
        coalesce(renewals.renewed, 0) as renewed,
        coalesce(renewals.cycles, 0) as cycles,
        coalesce(control_renewals.renewed, 0) as control_renewed,
        coalesce(control_renewals.cycles, 0) as control_cycles,
        coalesce(blocked.cycles, 0) as ended_cycles,
        coalesce(blocked.blocked, 0) as blocked_cycles,
        coalesce(control_blocked.cycles, 0) as control_ended_cycles,
        coalesce(control_blocked.blocked, 0) as control_blocked_cycles,
        contributions.difference as margin_difference,
        contributions.difference - contributions.half_width as margin_ci_low,
        contributions.difference + contributions.half_width as margin_ci_high
    from srm
    left join metric.incrementality as effects
        on srm.experiment = effects.experiment and srm.arm = effects.arm
    left join renewals on srm.experiment = renewals.experiment and srm.arm = renewals.arm
    left join control_renewals on srm.experiment = control_renewals.experiment
    left join blocked on srm.experiment = blocked.experiment and srm.arm = blocked.arm
    left join blocked as control_blocked
        on srm.experiment = control_blocked.experiment and control_blocked.arm is null
    left join differences as contributions
        on srm.experiment = contributions.experiment and srm.arm = contributions.arm
),

-- (1.96 + 0.84)^2 x p (1 - p) x (1 / share + 1 / control share) / 0.03^2, less what there is.
estimates as (
    select
        *,
        case when not has_srm then itt end as difference,
        case
            when not has_srm
                then confidence_sequence_low(itt, std_error, teams + control_teams, 5000)
        end as ci_low,
        case
            when not has_srm
                then confidence_sequence_high(itt, std_error, teams + control_teams, 5000)
        end as ci_high,
        newcombe_low(renewed, cycles, control_renewed, control_cycles) as renewal_ci_low,
        newcombe_high(renewed, cycles, control_renewed, control_cycles) as renewal_ci_high,
        blocked_cycles / nullif(ended_cycles, 0)
        - control_blocked_cycles / nullif(control_ended_cycles, 0) as blocked_difference,
        newcombe_low(blocked_cycles, ended_cycles, control_blocked_cycles, control_ended_cycles)
            as blocked_ci_low,
        newcombe_high(blocked_cycles, ended_cycles, control_blocked_cycles, control_ended_cycles)
            as blocked_ci_high,
        -- greatest() would make 0 of an unknown share.
        case
            when pooled is not null then greatest(ceil(
                7.84 * pooled * (1 - pooled) / (expected_share * (1 - expected_share)) / 0.0009
            ) - teams - control_teams, 0)
        end::bigint as teams_needed
    from gathered
),

judged as (
    select
        *,
        case
            when renewal_ci_high < 0 then 'renewal'
            when blocked_ci_low > 0 then 'blocked time'
            when margin_ci_high < 0 then 'margin'
            else ''
        end as breached_guardrail
    from estimates
)

select
    experiment,
    arm,
    assigned,
    control_assigned,
    expected_share,
    is_planned,
    srm_p,
    has_srm,
    teams,
    control_teams,
    difference,
    ci_low,
    ci_high,
    renewed / nullif(cycles, 0) - control_renewed / nullif(control_cycles, 0)
        as renewal_difference,
    renewal_ci_low,
    renewal_ci_high,
    blocked_difference,
    blocked_ci_low,
    blocked_ci_high,
    margin_difference,
    margin_ci_low,
    margin_ci_high,
    teams_needed,
    breached_guardrail,
    case
        when has_srm then 'broken split'
        when breached_guardrail <> '' then 'guardrail breached'
        when ci_low > 0 then 'better'
        when ci_high < 0 then 'worse'
        else 'hold'
    end as verdict,
    case
        when has_srm then 'not identified'
        when teams_needed is null or teams_needed > 0 then 'immature'
        else ''
    end as label
from judged
order by experiment asc, arm asc
