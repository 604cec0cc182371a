-- table: The milestones of each team as events, for funnels: entity is team_id.
-- grain: team_id, event, at
-- column team_id: The team.
-- column event: subscribed, first_request, integrated, first_workload, moved, churned, or a
--   family's first day (deploy, storage, database, observability).
-- column at: Start of the business day, written as UTC midnight of its date.
-- stop: every milestone has a time | "at" is not null
unpivot (
    select
        team_id,
        subscribed_on::timestamptz as subscribed,
        first_request_on::timestamptz as first_request,
        integrated_on::timestamptz as integrated,
        first_workload_on::timestamptz as first_workload,
        moved_on::timestamptz as moved,
        churned_on::timestamptz as churned,
        deploy_on::timestamptz as deploy,
        storage_on::timestamptz as storage,
        database_on::timestamptz as database,
        observability_on::timestamptz as observability
    from journey.teams
)
on columns(* exclude (team_id))
into name event value "at"
