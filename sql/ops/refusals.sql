-- table: Cycles that the monthly limit stopped although the price list grants more than was used.
-- grain: plan
-- column plan: Plan of the cycles.
-- column stopped_cycles: Cycles with a request refused by the monthly limit.
-- column below_quota_cycles: Of those, cycles that used less than half of the plan's quota.
-- warn: at most one in ten stopped cycles is below half of its quota | stopped_cycles < 10
--   or below_quota_cycles <= 0.1 * stopped_cycles
select
    plan,
    count(*) as stopped_cycles,
    count(*) filter (where accepted < 0.5 * quota) as below_quota_cycles
from journey.plan_cycles
where refused_month > 0 and quota is not null
group by plan
order by plan
