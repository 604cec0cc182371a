-- macro: Benjamini-Hochberg adjusted p-values, which bound the share of false findings among those under a cut, one row per source row.
-- param source: Name of a table, view or CTE with columns id and p, as text, e.g. 'metric.model_mix'. A p outside 0..1 is an error.
-- column id: The id of the source, of any type.
-- column p: The p-value as given. A missing p is kept and not counted as a test.
-- column adjusted: Smallest false discovery rate at which this finding would be kept. Null where p is null.
-- example: with tests as (select unnest(['a', 'b', 'c']) as id, unnest([0.01, 0.02, 0.9]) as p) select * from benjamini_hochberg('tests')
-- source: Benjamini and Hochberg, J R Stat Soc B 57 (1995) 289-300, as in R p.adjust(method = "BH")
create or replace macro benjamini_hochberg(source) as table
with benjamini_hochberg_source as (
    select
        id,
        case
            when not (p::double >= 0 and p::double <= 1)
                then error('benjamini_hochberg: p is outside 0..1')
            else p::double
        end as p
    from query_table(source)
),

ranked as (
    select
        id,
        p,
        count(p) over () as tests,
        count(p) over (order by p asc) as tests_as_small
    from benjamini_hochberg_source
),

step_up as (
    select
        id,
        p,
        min(p * tests / nullif(tests_as_small, 0)) over (
            order by p asc range between current row and unbounded following
        ) as smallest_bound
    from ranked
)

select
    id,
    p,
    case when p is not null then smallest_bound end as adjusted
from step_up
order by p asc nulls last, id asc;
