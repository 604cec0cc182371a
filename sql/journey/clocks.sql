-- table: The clock of every subscriber: S, T0, W, the state at T0, and for how long it was followed.
-- grain: team_id
-- column team_id: The team.
-- column subscribed_at: Moment of the first paid subscription event (UTC).
-- column subscribed_on: S, its business day.
-- column first_plan: Plan of the first paid event.
-- column integrated_on: T0, first day of the habit; null while there is none.
-- column state_at_t0: native, pre_habit, unknown, dormant or new; null without T0 or when T0 is
--   after the data-complete day.
-- column moved_on: First qualifying day on or after S.
-- column moved_after_t0_on: W, moved_on when it is after T0.
-- column churned_on: First day without the plan after which the gap outlasts the grace.
-- column after_churn: Whether W is on or after churned_on.
-- column merged_on: Day from which the team's rows belong to another team.
-- column merged_into: That other team.
-- column merged_into_native: Whether that other team's state is native.
-- column censored_on: Last day on which a move of this team could be decided: the data-complete
--   day, or merged_on less the window.
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
-- stop: T0 is not before S | integrated_on is null or integrated_on >= subscribed_on
-- stop: W is after T0 | moved_after_t0_on is null or moved_after_t0_on > integrated_on
-- stop: every integrated team up to C has exactly one state | (state_at_t0 is not null)
--   = (integrated_on is not null and integrated_on <= $data_complete_on)
-- stop: no non-converter is dropped | coalesce(is_headline, false) = coalesce(
--   state_at_t0 in ('new', 'dormant') and censored_on - integrated_on >= 1, false)
-- stop: a move counts only when decided | moved is null or not moved
--   or moved_after_t0_on <= censored_on
with

-- A move near a merge could not have been decided from the absorbed team's own rows.
dated as (
    select
        subscribers.team_id,
        subscribers.subscribed_at,
        subscribers.subscribed_on,
        subscribers.first_plan,
        churn.churned_on,
        habits.integrated_on,
        moves.moved_on,
        moves.is_native,
        moves.was_on_cloud,
        moves.has_full_lookback,
        merges.merged_on,
        merges.merged_into,
        least(
            $data_complete_on,
            coalesce(merges.merged_on - $qualifying_window_days, $data_complete_on)
        )::date as censored_on
    from journey.subscribers as subscribers
    left join journey.habits as habits on subscribers.team_id = habits.team_id
    left join journey.moves as moves on subscribers.team_id = moves.team_id
    left join journey.churn as churn on subscribers.team_id = churn.team_id
    left join journey.merges as merges on subscribers.team_id = merges.team_id
),

-- Exactly one state at T0, in this order of precedence.
states as (
    select
        *,
        case
            when integrated_on is null or integrated_on > $data_complete_on then null
            when is_native then 'native'
            when coalesce(moved_on <= integrated_on, false) then 'pre_habit'
            when not has_full_lookback then 'unknown'
            when was_on_cloud then 'dormant'
            else 'new'
        end as state_at_t0,
        -- W is null, not false, for a team that never moved: never write "not (W <= T0)".
        case when moved_on > integrated_on then moved_on end as moved_after_t0_on
    from dated
),

populations as (
    select
        *,
        coalesce(
            state_at_t0 in ('new', 'dormant') and censored_on - integrated_on >= 1, false
        ) as is_headline,
        coalesce(
            subscribed_on <= censored_on and not is_native and has_full_lookback, false
        ) as is_itt,
        coalesce(moved_after_t0_on <= censored_on, false) as has_moved,
        coalesce(moved_on <= censored_on, false) as has_moved_since_s
    from states
)

select
    p.team_id,
    p.subscribed_at,
    p.subscribed_on,
    p.first_plan,
    p.integrated_on,
    p.state_at_t0,
    p.moved_on,
    p.moved_after_t0_on,
    p.churned_on,
    coalesce(p.moved_after_t0_on >= p.churned_on, false) as after_churn,
    p.merged_on,
    p.merged_into,
    coalesce(survivor.state_at_t0 = 'native', false) as merged_into_native,
    p.censored_on,
    coalesce(p.is_native, false) as is_native,
    coalesce(p.has_full_lookback, false) as has_full_lookback,
    p.is_headline,
    case
        when p.is_headline and p.has_moved then p.moved_after_t0_on - p.integrated_on
        when p.is_headline then p.censored_on - p.integrated_on
    end as days,
    case when p.is_headline then p.has_moved end as moved,
    case when p.is_headline then p.censored_on - p.integrated_on end as potential_days,
    p.is_itt,
    case
        when p.is_itt and p.has_moved_since_s then p.moved_on - p.subscribed_on
        when p.is_itt then p.censored_on - p.subscribed_on
    end as itt_days,
    case when p.is_itt then p.has_moved_since_s end as itt_moved,
    case when p.is_itt then p.censored_on - p.subscribed_on end as itt_potential_days
from populations as p
left join states as survivor on p.merged_into = survivor.team_id
