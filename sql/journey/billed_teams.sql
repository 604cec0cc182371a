-- table: Which exports bill a team, or are linked to it, and since when.
-- grain: team_id, source
-- column team_id: The team.
-- column source: The export, by its folder in landing.
-- column first_charge_on: First day with a charge row in it; null when there is none.
-- column last_cost_on: Last day with a charge that cost anything, trial, free tier and credited use
--   included, plan fees and credits not; null when there is none.
-- column linked_from_on: First day of a link between the team and an id of the source; null without one.
with

charged as (
    select
        team_id,
        source,
        min(usage_on) as first_charge_on,
        max(usage_on) filter (
            where family not in ('plan_fee', 'credit') and (billed <> 0 or effective <> 0)
        ) as last_cost_on
    from fact.charge_days
    where usage_on < $as_of
    group by team_id, source
),

linked as (
    select
        team_id,
        source,
        min(from_on) as linked_from_on
    from ref.team_spans
    where from_on < $as_of
    group by team_id, source
)

select
    coalesce(charged.team_id, linked.team_id) as team_id,
    coalesce(charged.source, linked.source) as source,
    charged.first_charge_on,
    charged.last_cost_on,
    linked.linked_from_on
from charged
full outer join linked on charged.team_id = linked.team_id and charged.source = linked.source
