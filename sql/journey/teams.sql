-- table: One row per team: its clock, its state, its outcome, and the clause that decided. Every
--   number of the metric is a count over this table.
-- grain: team_id
-- column team_id: The team.
-- column definition: Hash of the definition that made this row.
-- column subscribed_at: Moment of the first paid subscription event (UTC); null for a team that never paid.
-- column subscribed_on: S, its business day.
-- column first_request_on: First day with any request on the plan, accepted or not.
-- column integrated_on: T0, first day of the habit; null while there is none.
-- column state_at_t0: native, pre_habit, unknown, dormant or new; null without T0 or when T0 is
--   after the data-complete day.
-- column moved_on: First qualifying day on or after S.
-- column moved_after_t0_on: W, moved_on when it is after T0.
-- column known_on: First as-of day on which moved_on is decided.
-- column first_workload_on: First billable workload day, sustained or not.
-- column deploy_on: First day of the family deploy above the billable threshold.
-- column storage_on: The same for storage.
-- column database_on: The same for databases.
-- column observability_on: The same for observability.
-- column churned_on: First day without the plan after which the gap outlasts the grace.
-- column after_churn: Whether W is on or after churned_on.
-- column merged_on: Day from which the team's rows belong to another team.
-- column merged_into: That other team.
-- column merged_into_native: Whether that other team's state is native.
-- column censored_on: Last day on which a move of this team could be decided: the data-complete
--   day, or merged_on less the window (the data-complete day for a team that never paid).
-- column is_native: Standing customer before S.
-- column has_full_lookback: Whether the billing history reaches back far enough before S.
-- column is_headline: Whether the team is in the headline population: new or dormant, at risk for a day.
-- column days: Days from T0 to W or to censored_on, whichever is first; null outside the population.
-- column moved: Whether W came by censored_on; null outside the population.
-- column potential_days: Days from T0 to censored_on; null outside the population.
-- column is_itt: Whether the team is in the intention-to-treat population: subscribed, neither
--   native nor unknown, S by the data-complete day.
-- column itt_days: Days from S to moved_on or censored_on; null outside that population.
-- column itt_moved: Whether moved_on came by censored_on; null outside that population.
-- column itt_potential_days: Days from S to censored_on; null outside that population.
-- column week_on: Monday of the ISO week of T0: the cohort.
-- column plan: Plan at T0.
-- column team_class: solo, small, mid or large at T0.
-- column region: Region of the team.
-- column industry: Industry of the team.
-- column channel: Acquisition channel of the team.
-- column model_mix: Models in use at T0.
-- column task_mix: Main task at T0.
-- column why: The clause that decided, as a code: see docs/metric.md.
-- stop: one row per team | (select count(*) = count(distinct t.team_id) from journey.teams as t)
with

everyone as (
    select team_id from journey.clocks
    union
    select team_id from fact.member_days
    where usage_on < $as_of
    union
    select team_id from journey.billed_teams
    where first_charge_on is not null
    union
    select team_id from fact.teams
),

first_requests as (
    select
        team_id,
        min(usage_on) as first_request_on
    from fact.member_days
    where
        usage_on < $as_of
        and accepted + refused_5h + refused_week + refused_month + refused_other
        + throttled + failed > 0
    group by team_id
),

select
    everyone.team_id,
    $definition::varchar as definition,
    c.subscribed_at,
    c.subscribed_on,
    first_requests.first_request_on,
    c.integrated_on,
    c.state_at_t0,
    c.moved_on,
    c.moved_after_t0_on,
    (c.moved_on + $qualifying_window_days + $lag_days)::date as known_on,
    adoption.first_workload_on,
    adoption.deploy_on,
    adoption.storage_on,
    adoption.database_on,
    adoption.observability_on,
    c.churned_on,
    coalesce(c.after_churn, false) as after_churn,
    merges.merged_on,
    merges.merged_into,
    coalesce(c.merged_into_native, false) as merged_into_native,
    coalesce(c.censored_on, $data_complete_on)::date as censored_on,
    coalesce(c.is_native, false) as is_native,
    coalesce(c.has_full_lookback, false) as has_full_lookback,
    coalesce(c.is_headline, false) as is_headline,
    c.days,
    c.moved,
    c.potential_days,
    coalesce(c.is_itt, false) as is_itt,
    c.itt_days,
    c.itt_moved,
    c.itt_potential_days,
    date_trunc('week', c.integrated_on)::date as week_on,
    coalesce(segments.plan, c.first_plan, 'unknown') as plan,
    segments.team_class,
    coalesce(teams.region, 'unknown') as region,
    coalesce(teams.industry, 'unknown') as industry,
    coalesce(teams.channel, 'unknown') as channel,
    segments.model_mix,
    segments.task_mix,
    case
        when c.subscribed_on is null then 'never_subscribed'
        when c.integrated_on is null then 'no_habit'
        when c.integrated_on > $data_complete_on then 't0_after_data_complete'
        when c.state_at_t0 = 'native' then 'qualifying_day_in_lookback'
        when c.state_at_t0 = 'pre_habit' then 'moved_by_t0'
        when c.state_at_t0 = 'unknown' then 'history_starts_in_lookback'
        when c.censored_on - c.integrated_on < 1 then 'no_day_at_risk'
        when c.moved then 'qualifying_day_after_t0'
        when c.merged_on is not null then 'censored_by_merge'
        when adoption.first_workload_on is null then 'no_billable_workload'
        else 'workload_not_sustained'
    end as why
from everyone
left join journey.clocks as c on everyone.team_id = c.team_id
left join journey.merges as merges on everyone.team_id = merges.team_id
left join first_requests on everyone.team_id = first_requests.team_id
left join journey.adoption as adoption on everyone.team_id = adoption.team_id
left join journey.segments as segments on everyone.team_id = segments.team_id
left join fact.teams as teams on everyone.team_id = teams.team_id
