-- table: How long each source has been silent, against the rhythm in which it usually delivers.
-- grain: source, family
-- column source: Landing source.
-- column family: requests, charges, subscriptions and so on.
-- column last_loaded_at: When its newest file was recorded.
-- column usual_hours: Median time between its deliveries: its own lag; null for a single delivery.
-- column silent_hours: From then until the newest delivery of any source.
-- warn: no source is silent for three times its own lag and 36 hours | usual_hours is null
--   or silent_hours <= greatest(36, 3 * usual_hours)
with

-- Files that come together are one delivery.
deliveries as (
    select distinct
        source,
        family,
        loaded_at
    from ops.files
    where family <> 'unknown'
),

gaps as (
    select
        source,
        family,
        loaded_at,
        epoch(loaded_at - lag(loaded_at) over (
            partition by source, family order by loaded_at asc
        )) / 3600 as hours
    from deliveries
)

select
    source,
    family,
    max(loaded_at) as last_loaded_at,
    median(hours) as usual_hours,
    epoch((select max(d.loaded_at) from deliveries as d) - max(loaded_at)) / 3600 as silent_hours
from gaps
group by source, family
order by source, family
