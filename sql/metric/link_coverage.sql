-- table: Whether integrated teams can meet their charges at all: an unlinked team never moves.
-- grain: one row
-- column integrated_teams: Teams with T0 by the data-complete day.
-- column linked_teams: Of those, with charges or with a link to a billing account.
-- column linked_share: linked_teams / integrated_teams.
-- column workload_cny: Net of all workload charges.
-- column unlinked_workload_cny: Of that, on accounts that no link and no subscriber knows.
-- column share_if_all_unlinked_moved: Headline share if every unlinked team had moved: upper bound.
-- column share_if_none_unlinked_moved: Headline share as it is: lower bound.
-- warn: at least 95 % of the integrated teams are linked | coalesce(linked_share, 1) >= 0.95
with

billing_sources as (
    select distinct source from journey.billed_teams
    where first_charge_on is not null
),

linked as (
    select distinct billed_teams.team_id
    from journey.billed_teams as billed_teams
    inner join billing_sources on billed_teams.source = billing_sources.source
),

integrated as (
    select
        teams.team_id,
        teams.is_headline,
        linked.team_id is not null as is_linked
    from journey.teams as teams
    left join linked on teams.team_id = linked.team_id
    where teams.state_at_t0 is not null
),

counts as (
    select
        count(*) as integrated_teams,
        count(*) filter (where is_linked) as linked_teams,
        count(*) filter (where is_headline) as headline_teams,
        count(*) filter (where is_headline and not is_linked) as unlinked_headline_teams
    from integrated
),

workload as (
    select
        coalesce(sum(charge_days.net_cny), 0) as workload_cny,
        coalesce(sum(charge_days.net_cny) filter (
            where not charge_days.is_linked and subscribers.team_id is null
        ), 0) as unlinked_workload_cny
    from fact.charge_days as charge_days
    left join journey.subscribers as subscribers on charge_days.team_id = subscribers.team_id
    where
        list_contains($workload_families, charge_days.family)
        and (
            len($host_providers) = 0 or list_contains($host_providers, charge_days.provider)
        )
        and charge_days.usage_on < $as_of
),

headline as (
    select share from metric.headline
    where is_headline
)

select
    counts.integrated_teams,
    counts.linked_teams,
    counts.linked_teams / nullif(counts.integrated_teams, 0) as linked_share,
    workload.workload_cny,
    workload.unlinked_workload_cny,
    -- least skips a null: without a headline share there is no bound either.
    case when headline.share is not null then least(
        headline.share + counts.unlinked_headline_teams / nullif(counts.headline_teams, 0), 1
    ) end as share_if_all_unlinked_moved,
    headline.share as share_if_none_unlinked_moved
from counts
cross join workload
cross join headline
