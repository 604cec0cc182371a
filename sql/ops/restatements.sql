-- table: What later nights made of a closed cohort's first print, and why.
-- grain: definition, week_on, horizon_days
-- column definition: Hash of the definition; a new definition starts a new series.
-- column week_on: Cohort: Monday of the ISO week of T0.
-- column horizon_days: h.
-- column first_printed_at: When the cohort was first printed closed.
-- column first_teams: Teams in that print.
-- column first_share: Its mature share.
-- column latest_printed_at: When it was last printed.
-- column latest_teams: Teams in that print.
-- column latest_share: Its mature share.
-- column difference: latest_share - first_share.
-- column cause: Inputs that had changed on the nights on which the cohort changed; '' without a
--   change.
-- warn: no closed cohort was restated by more than a point | abs(coalesce(difference, 0)) <= 0.01
-- stop: a restatement has its print before | first_printed_at <= latest_printed_at
with

steps as (
    select
        definition,
        week_on,
        horizon_days,
        printed_at,
        mature_teams,
        mature_moved,
        mature_share,
        changed_inputs,
        lag(mature_teams) over by_print is not null -- noqa: AL03
        and (mature_teams, mature_moved) is distinct from (
            lag(mature_teams) over by_print, lag(mature_moved) over by_print
        ) as is_change
    from ops.prints
    window by_print as (
        partition by definition, week_on, horizon_days order by printed_at asc, run_id asc
    )
),

by_cohort as (
    select
        definition,
        week_on,
        horizon_days,
        min(printed_at) as first_printed_at,
        arg_min(mature_teams, printed_at) as first_teams,
        arg_min(mature_share, printed_at) as first_share,
        max(printed_at) as latest_printed_at,
        arg_max(mature_teams, printed_at) as latest_teams,
        arg_max(mature_share, printed_at) as latest_share,
        coalesce(
            string_agg(distinct changed_inputs, ', ' order by changed_inputs)
            filter (where is_change), ''
        ) as cause
    from steps
    group by definition, week_on, horizon_days
)

select
    definition,
    week_on,
    horizon_days,
    first_printed_at,
    first_teams,
    first_share,
    latest_printed_at,
    latest_teams,
    latest_share,
    latest_share - first_share as difference,
    cause
from by_cohort
order by all
