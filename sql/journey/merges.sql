-- table: Teams that were absorbed into another one: every id that was theirs moved on to another team.
-- grain: team_id
-- column team_id: The absorbed team.
-- column merged_on: m, the day from which the last of its ids belongs to another team.
-- column merged_into: The survivor: the team of that last move.
-- stop: nobody is absorbed into itself | merged_into <> team_id
with

-- The history of each identity up to the as-of day: who it belonged to, and who came next.
histories as (
    select
        team_id,
        lead(team_id) over by_start as next_team_id,
        lead(from_on) over by_start as next_from_on,
        lead(is_linked) over by_start as next_is_linked
    from ref.identity_stretches
    where from_on is null or from_on < $as_of
    window by_start as (
        partition by source, account, sub_account order by from_on asc nulls first
    )
),

-- A team that still holds some id lives on: that is a split, and the parent keeps its clock. An
-- id whose link ended without a new one was given up, not merged.
alive as (
    select distinct team_id
    from histories
    where next_team_id is null or not next_is_linked
),

handed_over as (
    select
        team_id,
        max(next_from_on) as merged_on,
        max_by(next_team_id, (next_from_on, next_team_id)) as merged_into
    from histories
    where next_team_id <> team_id and next_is_linked
    group by team_id
)

select
    handed_over.team_id,
    handed_over.merged_on,
    handed_over.merged_into
from handed_over
anti join alive on handed_over.team_id = alive.team_id
