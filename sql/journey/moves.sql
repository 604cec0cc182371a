-- table: When each subscriber's sustained workload began, and what its past says.
-- grain: team_id
-- column team_id: The team.
-- column moved_on: First qualifying day on or after S; null while there is none.
-- column is_native: Whether a qualifying day lies in the look-back before S.
-- column was_on_cloud: Whether a qualifying day lies before the look-back.
-- column has_full_lookback: Whether the export's billing history reaches back to S - look-back.
-- stop: nobody moves before S | moved_on is null or moved_on >= (
--   select s.subscribed_on from journey.subscribers as s where s.team_id = moves.team_id)
with

-- A qualifying day of a team that was absorbed is decided only when its whole window is its own.
followed as (
    select
        subscribers.team_id,
        subscribers.subscribed_on,
        merges.merged_on - $qualifying_window_days as decided_to
    from journey.subscribers as subscribers
    left join journey.merges as merges on subscribers.team_id = merges.team_id
),

moved as (
    select
        followed.team_id,
        followed.subscribed_on,
        min(q.usage_on) filter (where q.usage_on >= followed.subscribed_on) as moved_on,
        coalesce(bool_or(
            q.usage_on between followed.subscribed_on - $lookback_days and followed.subscribed_on - 1
        ), false) as is_native,
        coalesce(
            bool_or(q.usage_on < followed.subscribed_on - $lookback_days), false
        ) as was_on_cloud
    from followed
    left join journey.qualifying_days as q
        on
            followed.team_id = q.team_id
            and (followed.decided_to is null or q.usage_on <= followed.decided_to)
    group by followed.team_id, followed.subscribed_on
),

-- History is a property of the export: of those that bill or link the team, the one that starts
-- last; for a team that none bills yet, the one that starts first.
own_history as (
    select
        billed_teams.team_id,
        max(coverage.starts_on) as starts_on
    from journey.billed_teams as billed_teams
    inner join ref.coverage as coverage on billed_teams.source = coverage.source
    group by billed_teams.team_id
),

any_history as (
    select min(starts_on) as starts_on
    from ref.coverage
)

select
    moved.team_id,
    moved.moved_on,
    moved.is_native,
    moved.was_on_cloud,
    coalesce(
        coalesce(own_history.starts_on, any_history.starts_on)
        <= moved.subscribed_on - $lookback_days,
        false
    ) as has_full_lookback
from moved
left join own_history on moved.team_id = own_history.team_id
cross join any_history
