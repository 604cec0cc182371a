-- table: What later nights made of a closed cohort's first print.
-- grain: definition, week_on, horizon_days
-- column definition: Hash of the definition.
-- column week_on: Cohort: Monday of the ISO week of T0.
-- column horizon_days: h.
-- column first_printed_at: When the cohort was first printed closed.
-- column first_teams: Teams in that print.
-- column first_share: Its mature share.
-- column latest_printed_at: When it was last printed.
-- column latest_teams: Teams in that print.
-- column latest_share: Its mature share.
-- column difference: latest_share - first_share.
-- warn: no closed cohort was restated by more than a point | abs(coalesce(difference, 0)) <= 0.01
with by_cohort as (
    select
        definition,
        week_on,
        horizon_days,
        min(printed_at) as first_printed_at,
        arg_min(mature_teams, printed_at) as first_teams,
        arg_min(mature_share, printed_at) as first_share,
        max(printed_at) as latest_printed_at,
        arg_max(mature_teams, printed_at) as latest_teams,
        arg_max(mature_share, printed_at) as latest_share
    from ops.prints
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
    latest_share - first_share as difference
from by_cohort
order by all
