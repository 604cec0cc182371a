-- macro: Kaplan-Meier share that has moved by each day, with Greenwood's log-log 95 % interval, one row per stratum and distinct day.
-- param source: Name of a table, view or CTE with columns stratum, days and moved, as text, e.g. 'journey.times'. Missing or negative days and missing moved are an error.
-- column stratum: The stratum of the source, of any type. Null is a stratum of its own.
-- column days: Days on the clock at which somebody moved or was censored.
-- column at_risk: Units still at risk on that day, those censored on the day included. Look here before believing the share.
-- column moved: Units that moved on that day.
-- column censored: Units whose observation ended on that day without a move.
-- column share: Share that has moved by the end of that day, 1 - prod(1 - moved / at_risk).
-- column ci_low: Lower limit. 0 before the first move, null where nobody is left (share = 1).
-- column ci_high: Upper limit. Before the first move 1 - 0.025 ^ (1 / at_risk), 1 where nobody is left.
-- example: with times as (select 'all' as stratum, unnest([6, 6, 7, 9]) as days, unnest([true, false, true, false]) as moved) select * from kaplan_meier('times')
-- source: Kaplan and Meier (1958), Greenwood (1926), interval on log(-log(S)) as in R survfit(conf.type = "log-log"), design METRIC.md
create or replace macro kaplan_meier(source) as table
with kaplan_meier_source as (
    select
        stratum,
        days,
        moved::boolean as has_moved,
        count(*) as units
    from query_table(source)
    group by all
),

clean_days as (
    select
        stratum,
        case
            when days is null or not (days >= 0 and days < 'infinity'::double)
                then error('kaplan_meier: days is missing, negative or not finite')
            when has_moved is null then error('kaplan_meier: moved is missing')
            else days
        end as days,
        has_moved,
        units
    from kaplan_meier_source
),

leaving as (
    select
        stratum,
        days,
        coalesce(sum(units) filter (where has_moved), 0)::bigint as moved,
        coalesce(sum(units) filter (where not has_moved), 0)::bigint as censored
    from clean_days
    group by stratum, days
),

risk_sets as (
    select
        stratum,
        days,
        moved,
        censored,
        (sum(moved + censored) over (
            partition by stratum order by days desc
            rows between unbounded preceding and current row
        ))::bigint as at_risk
    from leaving
),

-- A window adds doubles in an order that depends on what stands beside the stratum; decimals have
-- no order, so a curve is the same to the last bit wherever it is computed.
day_terms as (
    select
        stratum,
        days,
        at_risk,
        moved,
        censored,
        ln(nullif(at_risk - moved, 0) / at_risk::double)::decimal(38, 30) as log_stay,
        (moved / (at_risk::double * nullif(at_risk - moved, 0)))::decimal(38, 30) as variance_term
    from risk_sets
),

survival as (
    select
        stratum,
        days,
        at_risk,
        moved,
        censored,
        sum(moved) over up_to_day as moved_so_far,
        case
            when bool_or(moved = at_risk) over up_to_day then 0
            else exp((sum(log_stay) over up_to_day)::double)
        end as remaining,
        (sum(variance_term) over up_to_day)::double as greenwood
    from day_terms
    window up_to_day as (
        partition by stratum order by days asc
        rows between unbounded preceding and current row
    )
),

log_log_spread as (
    select
        stratum,
        days,
        at_risk,
        moved,
        censored,
        moved_so_far,
        remaining,
        1.959963984540054 * sqrt(greenwood) / nullif(abs(ln(nullif(remaining, 0))), 0) as spread
    from survival
)

select
    stratum,
    days,
    at_risk,
    moved,
    censored,
    1 - remaining as share,
    case
        when moved_so_far = 0 then 0
        when remaining > 0 then 1 - remaining ^ exp(-spread)
    end as ci_low,
    case
        when moved_so_far = 0 then 1 - 0.025 ^ (1 / at_risk::double)
        when remaining = 0 then 1
        else 1 - remaining ^ exp(spread)
    end as ci_high
from log_log_spread
order by stratum asc nulls last, days asc;
