-- macro: Aalen-Johansen cumulative incidence of each competing cause, with its delta-method 95 % interval, one row per stratum, distinct day and cause.
-- param source: Name of a table, view or CTE with columns stratum, days and cause, as text, e.g. 'journey.times'. Cause is a whole number, 0 = censored. Missing or negative days and missing cause are an error.
-- column stratum: The stratum of the source, of any type. Null is a stratum of its own. A stratum that is censored throughout has no cause and no row.
-- column days: Days on the clock at which some unit of the stratum left by any cause or was censored.
-- column cause: Cause that the row is about. Every cause seen in the stratum has a row on every day.
-- column at_risk: Units still at risk of every cause on that day, those censored on the day included.
-- column share: Share that has left by this cause by the end of that day, sum(S(t-) * d / at_risk).
-- column std_error: Delta-method standard error of the share. 0 before the cause's first event, null where everybody left by this cause (share = 1).
-- column ci_low: Lower limit on log(-log(1 - share)). 0 before the cause's first event, null where share = 1, as in kaplan_meier.
-- column ci_high: Upper limit. Before the cause's first event 1 - 0.025 ^ (1 / at_risk), 1 where share = 1, as in kaplan_meier.
-- example: with times as (select 'all' as stratum, unnest([1, 1, 2, 3]) as days, unnest([1, 2, 0, 1]) as cause) select * from cumulative_incidence('times')
-- source: Aalen and Johansen (1978), variance of Marubini and Valsecchi (1995, ch. 10) as in R survfit multi-state, design METRIC.md
create or replace macro cumulative_incidence(source) as table
with cumulative_incidence_source as materialized (
    select
        stratum,
        days,
        cause,
        count(*) as units
    from query_table(source)
    group by stratum, days, cause
),

leaving as (
    select
        stratum,
        case
            when days is null or not (days >= 0 and days < 'infinity'::double)
                then error('cumulative_incidence: days is missing, negative or not finite')
            when cause is null then error('cumulative_incidence: cause is missing')
            else days
        end as days,
        cause::bigint as cause,
        units
    from cumulative_incidence_source
),

leaving_by_day as (
    select
        stratum,
        days,
        sum(units)::bigint as units,
        coalesce(sum(units) filter (where cause <> 0), 0)::bigint as events
    from leaving
    group by stratum, days
),

risk_sets as (
    select
        stratum,
        days,
        events,
        (sum(units) over (
            partition by stratum order by days desc
            rows between unbounded preceding and current row
        ))::bigint as at_risk
    from leaving_by_day
),

survival as (
    select
        stratum,
        days,
        events,
        at_risk,
        sum(events) over (
            partition by stratum order by days asc
            rows between unbounded preceding and current row
        ) as events_so_far,
        coalesce(product((at_risk - events) / at_risk::double) over (
            partition by stratum order by days asc
            rows between unbounded preceding and 1 preceding
        ), 1) as remaining_before
    from risk_sets
),

causes as (
    select distinct
        stratum,
        cause
    from leaving
    where cause <> 0
),

cause_days as (
    select
        survival.stratum,
        survival.days,
        causes.cause,
        survival.at_risk,
        survival.events,
        survival.events_so_far,
        survival.remaining_before,
        coalesce(leaving.units, 0) as cause_events
    from survival
    inner join causes
        on survival.stratum is not distinct from causes.stratum
    left join leaving
        on survival.stratum is not distinct from leaving.stratum
        and survival.days = leaving.days
        and causes.cause = leaving.cause
),

-- what one day adds, where d = all events, d_k = those of the cause, n = at risk, S = share remaining before
day_terms as (
    select
        stratum,
        days,
        cause,
        at_risk,
        events,
        events_so_far,
        cause_events,
        remaining_before * cause_events / at_risk::double as step,
        coalesce(events / (at_risk::double * nullif(at_risk - events, 0)), 0) as hazard_term,
        remaining_before * cause_events / at_risk::double ^ 2 as covariance_term,
        remaining_before ^ 2 * cause_events * (at_risk - cause_events) / at_risk::double ^ 3 as own_term
    from cause_days
),

running_sums as (
    select
        stratum,
        days,
        cause,
        at_risk,
        step,
        sum(cause_events) over up_to_day as cause_events_so_far,
        sum(cause_events) over up_to_day = events_so_far and at_risk = events as is_everybody,
        sum(step) over up_to_day as share,
        sum(own_term) over up_to_day as own_sum,
        coalesce(sum(hazard_term) over before_day, 0) as hazard_sum_before,
        coalesce(sum(covariance_term) over before_day, 0) as covariance_sum_before
    from day_terms
    window
        up_to_day as (
            partition by stratum, cause order by days asc
            rows between unbounded preceding and current row
        ),
        before_day as (
            partition by stratum, cause order by days asc
            rows between unbounded preceding and 1 preceding
        )
),

-- sum (F - F_j) d / (n (n - d)), grown by each day's step of F, so that nothing cancels as it does in an expanded square
distance_sums as (
    select
        stratum,
        days,
        cause,
        at_risk,
        step,
        cause_events_so_far,
        is_everybody,
        share,
        own_sum,
        hazard_sum_before,
        covariance_sum_before,
        coalesce(sum(step * hazard_sum_before) over (
            partition by stratum, cause order by days asc
            rows between unbounded preceding and 1 preceding
        ), 0) as distance_sum_before
    from running_sums
),

-- sum (F - F_j)^2 d / (n (n - d)) + sum S^2 d_k (n - d_k) / n^3 - 2 sum (F - F_j) S d_k / n^2
delta_variance as (
    select
        stratum,
        days,
        cause,
        at_risk,
        cause_events_so_far,
        is_everybody,
        share,
        sum(step * (2 * distance_sum_before + step * hazard_sum_before)) over up_to_day
        + own_sum
        - 2 * sum(step * covariance_sum_before) over up_to_day as variance
    from distance_sums
    window up_to_day as (
        partition by stratum, cause order by days asc
        rows between unbounded preceding and current row
    )
),

standard_errors as (
    select
        stratum,
        days,
        cause,
        at_risk,
        cause_events_so_far,
        is_everybody,
        case when is_everybody then 1 else share end as share,
        case when not is_everybody then sqrt(greatest(variance, 0)) end as std_error
    from delta_variance
),

log_log_spread as (
    select
        stratum,
        days,
        cause,
        at_risk,
        cause_events_so_far,
        is_everybody,
        share,
        std_error,
        1.959963984540054 * std_error / nullif((1 - share) * abs(ln(nullif(1 - share, 0))), 0) as spread
    from standard_errors
)

select
    stratum,
    days,
    cause,
    at_risk,
    share,
    std_error,
    case
        when cause_events_so_far = 0 then 0
        when not is_everybody then 1 - (1 - share) ^ exp(-spread)
    end as ci_low,
    case
        when cause_events_so_far = 0 then 1 - 0.025 ^ (1 / at_risk::double)
        when is_everybody then 1
        else 1 - (1 - share) ^ exp(spread)
    end as ci_high
from log_log_spread
order by stratum asc nulls last, days asc, cause asc;
