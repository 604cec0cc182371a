-- table: Whether something is dated after the newest file that could have told of it.
-- grain: family
-- column family: requests or subscriptions; a bill may reach into the future, what happened can't.
-- column newest_on: Newest business day on which something happened.
-- column last_loaded_at: When the newest file of the family was recorded.
-- warn: nothing happened a day after it was recorded | newest_on <= last_loaded_at::date + 1
with

happened as (
    select
        'requests' as family,
        max(usage_on) as newest_on
    from fact.member_days
    union all
    select
        'subscriptions' as family,
        max(occurred_on) as newest_on
    from fact.subscriptions
)

select
    happened.family,
    happened.newest_on,
    max(files.loaded_at) as last_loaded_at
from happened
inner join ops.files as files on happened.family = files.family
where happened.newest_on is not null
group by happened.family, happened.newest_on
order by happened.family
