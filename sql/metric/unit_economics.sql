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
-- column cloud_margin: Scenario: margin on workloads, 0.3.
-- column contribution_per_team_month: (plan net + margin x cloud net - inference) / team_months;
--   support isn't in the data and not taken off.
-- column subsidy_per_team: (inference - plan net) / teams; under 0 the fee covers the tokens.
-- column converted_teams: Teams with a whole month after their move.
-- column value_per_converted_team: Scenario: 12 months of the mean monthly margin after the move;
--   null without converted_teams.
-- column p_star_low: Break-even conversion subsidy / (iota x value) when 9 of 10 moves are incremental.
-- column p_star_high: The same when 2 of 10 are.
-- column conversion: Share that moved by the headline horizon, ITT or NSM by the clock.
-- column conversion_ci_low: Its lower 95 % limit.
-- column conversion_ci_high: Its upper limit.
-- column payback_month: First month since S from which the mean cumulative contribution of a team
--   stays at or above 0; null when it is under 0 at the end, or unseen.
-- column verdict: cannot pay back (p* > 1), pays back, doesn't pay back, no subsidy, undecided (the
--   interval overlaps p*), no value seen.
-- column label: immature under 30 teams or without a conversion, else not identified: iota is an
--   assumption of 0.2 to 0.9 here.
-- stop: a break-even above 1 is called what it is | p_star_low is null or p_star_low <= 1
--   or verdict = 'cannot pay back'
-- stop: the plans make the whole | (
--   select coalesce(sum(u.teams), 0) from metric.unit_economics as u where u.by = 'plan') = (
--   select coalesce(sum(u.teams), 0) from metric.unit_economics as u where u.by = 'all')
-- stop: the break-even is ordered | p_star_low is null or p_star_low <= p_star_high
with

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
        -- Scenario: a margin of 0.3 on the net of workloads.
        team_months.plan_net_cny + 0.3 * team_months.cloud_net_cny - team_months.inference_cny
            as contribution_cny
    from members
    inner join journey.team_months as team_months on members.team_id = team_months.team_id
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
        sum(contribution_cny) as contribution_cny,
        count(distinct team_id) filter (where is_moved) as converted_teams,
        -- Scenario: a converted team is worth 12 months of the mean margin after its move.
        12 * 0.3 * avg(cloud_net_cny) filter (where is_moved) as value_per_converted_team
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

-- Break-even: the subsidy must come back from incremental converted teams, iota between 0.2 and 0.9.
break_evens as (
    select
        totals.*,
        totals.plan_net_cny / nullif(totals.teams, 0) as fee_per_team,
        (totals.inference_cny - totals.plan_net_cny) / nullif(totals.teams, 0) as subsidy_per_team,
        greatest(totals.inference_cny - totals.plan_net_cny, 0) / nullif(totals.teams, 0)
        / nullif(0.9 * greatest(totals.value_per_converted_team, 0), 0) as p_star_low,
        greatest(totals.inference_cny - totals.plan_net_cny, 0) / nullif(totals.teams, 0)
        / nullif(0.2 * greatest(totals.value_per_converted_team, 0), 0) as p_star_high,
        conversion.share as conversion,
        conversion.ci_low as conversion_ci_low,
        conversion.ci_high as conversion_ci_high,
        paybacks.payback_month
    from totals
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
    0.3::double as cloud_margin,
    round(contribution_cny / nullif(team_months, 0), 4) as contribution_per_team_month,
    round(subsidy_per_team, 4) as subsidy_per_team,
    converted_teams,
    round(value_per_converted_team, 4) as value_per_converted_team,
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
    case when teams < 30 or conversion is null then 'immature' else 'not identified' end as label
from break_evens
order by "by" asc, "value" asc
