-- table: What the newest complete days brought, against the same weekday of the weeks before.
-- grain: family, usage_on
-- column family: requests, or charges.
-- column usage_on: One of the seven newest days that the lag lets be complete.
-- column volume: Requests of the day; for charges the teams that were billed for it.
-- column usual: Median of the same weekday in the four weeks before.
-- column ratio: volume / usual; null where nothing is usual.
-- warn: a day brings between half and twice of what its weekday brought | usual is null or usual < 100
--   or ratio between 0.5 and 2
with

volumes as (
    select
        'requests' as family,
        usage_on,
        sum(accepted + refused_5h + refused_week + refused_month + refused_other + throttled + failed)
        as volume
    from fact.member_days
    group by usage_on
    union all
    select
        'charges' as family,
        usage_on,
        count(distinct team_id) as volume
    from fact.charge_days
    group by usage_on
),

-- A family that was never seen has no usual day; the day before A - lag is the newest complete one.
days as (
    select
        families.family,
        ($as_of - $lag_days - offsets.back)::date as usage_on
    from (select distinct family from volumes) as families
    cross join (select unnest(range(1, 8))::integer as back) as offsets
),

-- A weekday without a row brought nothing: it counts as 0 once the family had begun.
weeks_before as (
    select
        days.family,
        days.usage_on,
        coalesce(volumes.volume, 0) as volume
    from days
    cross join (select unnest([7, 14, 21, 28]) as back) as weeks
    left join volumes
        on volumes.family = days.family and volumes.usage_on = days.usage_on - weeks.back
    where days.usage_on - weeks.back >= (
        select min(v.usage_on)
        from volumes as v
        where v.family = days.family
    )
),

usual as (
    select
        family,
        usage_on,
        median(volume)::double as usual
    from weeks_before
    group by family, usage_on
)

select
    days.family,
    days.usage_on,
    coalesce(volumes.volume, 0)::bigint as volume,
    usual.usual,
    coalesce(volumes.volume, 0) / nullif(usual.usual, 0) as ratio
from days
left join volumes on days.family = volumes.family and days.usage_on = volumes.usage_on
left join usual on days.family = usual.family and days.usage_on = usual.usage_on
order by days.family, days.usage_on
