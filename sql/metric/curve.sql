-- table: Kaplan-Meier curves of every population and breakdown.
-- grain: population, by, value, days
-- column population: nsm (from T0) or itt (from S).
-- column by: The breakdown.
-- column value: The group.
-- column days: Days on the clock.
-- column at_risk: Teams still at risk on that day, those censored on it included.
-- column moved: Teams that moved on that day.
-- column censored: Teams whose clock ended undecided on that day.
-- column share: Share that has moved by that day.
-- column ci_low: Lower 95 % limit; null where nobody is left.
-- column ci_high: Upper 95 % limit.
-- column is_suppressed: Whether the group is too small to be shown alone.
-- stop: a share is a share | share between 0 and 1
-- stop: nobody is counted twice | at_risk >= moved + censored
select
    stratum.population,
    stratum.by as "by",
    stratum.value as "value",
    days,
    at_risk,
    moved,
    censored,
    share,
    ci_low,
    ci_high,
    stratum.by <> 'all' and max(at_risk) over (partition by stratum) < $suppress_below as is_suppressed
from kaplan_meier('journey.strata')
order by all
