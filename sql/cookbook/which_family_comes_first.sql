-- question: Which kind of workload do teams move first?
select
    first_family,
    count(*) as teams,
    count(*) filter (where moved) as moved
from (
    select
        moved,
        case least(deploy_on, storage_on, database_on, observability_on)
            when deploy_on then 'deploy'
            when storage_on then 'storage'
            when database_on then 'database'
            else 'observability'
        end as first_family
    from journey.teams
    where is_headline and first_workload_on is not null
) as firsts
group by first_family
order by teams desc, first_family asc
