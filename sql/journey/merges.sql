-- table: Teams that were absorbed into another one: all their ids moved on, on one last day.
-- grain: team_id
-- column team_id: The absorbed team.
-- column merged_on: m, the day from which its rows belong to the survivor.
-- column merged_into: The survivor.
-- stop: nobody is absorbed into itself | merged_into <> team_id
with

-- An id without a link on a day is its own team, so a first link that comes late absorbs it.
spans as (
    select
        source,
        source_id,
        team_id,
        from_on,
        to_on,
        lead(team_id) over by_start as next_team_id,
        lead(from_on) over by_start as next_from_on
    from ref.team_spans
    window by_start as (partition by source, source_id order by from_on)
),

-- A team that still holds some id lives on: that is a split, and the parent keeps its clock.
handed_over as (
    select
        team_id,
        max(to_on) as merged_on,
        arg_max(next_team_id, to_on) as merged_into
    from spans
    group by team_id
    having
        bool_and(coalesce(
            to_on is not null and next_from_on = to_on and next_team_id <> team_id, false
        ))
        and max(to_on) < $as_of
),

implicit as (
    select
        source_id as team_id,
        max(first_on) as merged_on,
        arg_max(first_team_id, first_on) as merged_into
    from (
        select
            source,
            source_id,
            min(from_on) as first_on,
            arg_min(team_id, from_on) as first_team_id
        from ref.team_spans
        group by source, source_id
    )
    where
        first_team_id <> source_id
        and source_id not in (select team_id from ref.team_spans)
        and source_id in (select team_id from journey.subscribers)
        and first_on < $as_of
    group by source_id
)

select
    team_id,
    merged_on,
    merged_into
from handed_over
union all by name
select
    team_id,
    merged_on,
    merged_into
from implicit
