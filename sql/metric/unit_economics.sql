-- table: Does it pay: what a subscriber costs beyond the fee, what a converted team is worth, and
--   the conversion that would be needed, beside the one there is.
-- grain: by, value
-- column by: all, plan (of the first subscription), region or team_class.
-- column value: The group.
-- column clock: itt (subscribers, from S) or nsm (integrated teams, from T0: a class is known only then).
-- column teams: Teams of that clock with a whole month since S.
-- column team_months: Their whole 30-day months since S.
-- column plan_net_cny: What they paid for the plan.
-- column inference_cny: What their tokens cost.
-- column cloud_net_cny: Net of their workloads.
-- column support_cny: Scenario: what their support cost; 0 until ref.assumptions says otherwise.
-- column cloud_margin: Scenario: margin on workloads.
-- column contribution_per_team_month: (plan net + margin x cloud net - inference - support)
--   / team_months; a promotion is in plan net, which is what was paid.
-- column subsidy_per_team: (inference + support - plan net) / teams; under 0 the fee covers the cost.
-- column converted_teams: Teams with a whole month after their move.
-- column value_per_converted_team: Scenario: value_months of ref.assumptions x the mean monthly
--   margin after the move; null without converted_teams.
-- column iota_low: Least incremental share of the moves: measured, if an experiment on the plan says
--   so (see metric.channels), else assumed.
-- column iota_high: Largest.
-- column p_star_low: Break-even conversion subsidy / (iota x value) at iota_high.
-- column p_star_high: The same at iota_low; null where iota_low is 0: no conversion is surely enough.
-- column conversion: Share that moved by the headline horizon, ITT or NSM by the clock.
-- column conversion_ci_low: Its lower 95 % limit.
-- column conversion_ci_high: Its upper limit.
-- column payback_month: First month since S from which the mean cumulative contribution of a team
--   stays at or above 0; null when it is under 0 at the end, or unseen.
-- column verdict: cannot pay back (p* > 1), pays back, doesn't pay back, no subsidy, undecided (the
--   interval overlaps p*), no value seen.
-- column label: immature under 30 teams or without a conversion; not identified where iota is an
--   assumption; else empty.
-- stop: a break-even above 1 is called what it is | p_star_low is null or p_star_low <= 1
--   or verdict = 'cannot pay back'
-- stop: the plans make the whole | (
--   select coalesce(sum(u.teams), 0) from metric.unit_economics as u where u.by = 'plan') = (
--   select coalesce(sum(u.teams), 0) from metric.unit_economics as u where u.by = 'all')
-- stop: the break-even is ordered | p_star_low is null or p_star_high is null
--   or p_star_low <= p_star_high
-- stop: every month of a subscriber counts once | "by" <> 'all' or team_months = (
--   select count(*) from journey.team_months as m
--   inner join journey.teams as t on m.team_id = t.team_id where t.is_itt)
with

assumptions as (
    select
        max("value") filter (where name = 'cloud_margin') as cloud_margin,
        max("value") filter (where name = 'value_months') as value_months,
        max("value") filter (where name = 'support_cny_per_team_month') as support_cny
    from ref.assumptions
),

-- The incremental share of the plan's moves, measured or assumed.
incremental as (
    select
        max(iota_low) as iota_low,
        max(iota_high) as iota_high,
        coalesce(max(experiment) is not null, false) as is_measured
    from metric.channels
    where channel = 'plan'
),

-- Money is spent on all subscribers, so they are the unit, split by what is known at S. The class
-- is known at T0 only: those rows are about integrated teams.
members as (
    select
        teams.team_id,
        'itt' as clock,
        unnest([
            {'by': 'all', 'value': 'all'},
            {'by': 'plan', 'value': coalesce(subscribers.first_plan, 'unknown')},
            {'by': 'region', 'value': teams.region}
        ]) as segment
    from journey.teams as teams
    inner join journey.subscribers as subscribers on teams.team_id = subscribers.team_id
    where teams.is_itt
    union all by name
    select
        team_id,
        'nsm' as clock,
        {'by': 'team_class', 'value': coalesce(team_class, 'unknown')} as segment
    from journey.teams
    where is_headline
),

money as (
    select
        members.clock,
        members.segment,
        team_months.team_id,
        team_months.month_number,
        team_months.plan_net_cny,
        team_months.inference_cny,
        team_months.cloud_net_cny,
        team_months.is_moved,
        assumptions.support_cny,
        assumptions.cloud_margin,
        assumptions.value_months,
        team_months.plan_net_cny + assumptions.cloud_margin * team_months.cloud_net_cny
        - team_months.inference_cny - assumptions.support_cny as contribution_cny
    from members
    inner join journey.team_months as team_months on members.team_id = team_months.team_id
    cross join assumptions
),

totals as (
    select
        clock,
        segment,
        count(distinct team_id) as teams,
        count(*) as team_months,
        sum(plan_net_cny) as plan_net_cny,
        sum(inference_cny) as inference_cny,
        sum(cloud_net_cny) as cloud_net_cny,
        sum(support_cny) as support_cny,
        max(cloud_margin) as cloud_margin,
        sum(contribution_cny) as contribution_cny,
        count(distinct team_id) filter (where is_moved) as converted_teams,
        -- Scenario: a converted team is worth so many months of the mean margin after its move.
        max(value_months * cloud_margin) * avg(cloud_net_cny) filter (where is_moved)
            as value_per_converted_team
    from money
    group by clock, segment
),

-- Mean contribution by month of life, over the teams seen in that month (10 at least, in a group
-- that has so many), summed up.
cumulative as (
    select
        segment,
        month_number,
        sum(avg(contribution_cny)) over (
            partition by segment order by month_number asc
            rows between unbounded preceding and current row
        ) as cumulative_cny
    from money
    group by segment, month_number
    having count(*) >= 10
),

paybacks as (
    select
        segment,
        case
            when arg_max(cumulative_cny, month_number) >= 0
                then coalesce(max(month_number) filter (where cumulative_cny < 0), 0) + 1
        end as payback_month
    from cumulative
    group by segment
),

subsidies as (
    select
        *,
        (inference_cny + support_cny - plan_net_cny) / nullif(teams, 0) as subsidy_per_team
    from totals
),

-- Break-even: the subsidy must come back from incremental converted teams.
break_evens as (
    select
        totals.*,
        incremental.iota_low,
        incremental.iota_high,
        incremental.is_measured,
        greatest(totals.subsidy_per_team, 0)
        / nullif(incremental.iota_high * greatest(totals.value_per_converted_team, 0), 0)
            as p_star_low,
        greatest(totals.subsidy_per_team, 0)
        / nullif(incremental.iota_low * greatest(totals.value_per_converted_team, 0), 0)
            as p_star_high,
        conversion.share as conversion,
        conversion.ci_low as conversion_ci_low,
        conversion.ci_high as conversion_ci_high,
        paybacks.payback_month
    from subsidies as totals
    cross join incremental
    left join paybacks on totals.segment = paybacks.segment
    left join metric.conversion as conversion
        on
            totals.clock = conversion.population
            and totals.segment.by = conversion.by
            and totals.segment.value = conversion.value
            and conversion.horizon_days = $headline_horizon
)

select
    segment.by as "by",
    segment.value as "value",
    clock,
    teams,
    team_months,
    round(plan_net_cny, 2) as plan_net_cny,
    round(inference_cny, 2) as inference_cny,
    round(cloud_net_cny, 2) as cloud_net_cny,
    round(support_cny, 2) as support_cny,
    cloud_margin,
    round(contribution_cny / nullif(team_months, 0), 4) as contribution_per_team_month,
    round(subsidy_per_team, 4) as subsidy_per_team,
    converted_teams,
    round(value_per_converted_team, 4) as value_per_converted_team,
    iota_low,
    iota_high,
    round(p_star_low, 9) as p_star_low,
    round(p_star_high, 9) as p_star_high,
    conversion,
    conversion_ci_low,
    conversion_ci_high,
    payback_month,
    case
        when subsidy_per_team <= 0 then 'no subsidy'
        when p_star_low is null then 'no value seen'
        when round(p_star_low, 9) > 1 then 'cannot pay back'
        when conversion_ci_low > p_star_high then 'pays back'
        when conversion_ci_high < p_star_low then 'doesn''t pay back'
        else 'undecided'
    end as verdict,
    case
        when teams < 30 or conversion is null then 'immature'
        when not is_measured then 'not identified'
        else ''
    end as label
from break_evens
order by "by" asc, "value" asc
