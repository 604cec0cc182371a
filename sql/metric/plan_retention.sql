-- table: Plan renewal curve by cycle: of the teams still paying without a gap, who renewed.
-- grain: plan, cycle_number
-- column plan: Plan of the team's first cycle, or all.
-- column cycle_number: Cycle whose end asks for a renewal.
-- column at_risk: Teams that renewed every cycle before and whose renewal of this one is decided.
-- column renewed: Of those, renewed within the grace; an upgrade is a renewal.
-- column renewal_share: renewed / at_risk.
-- column renewal_ci_low: Lower Wilson limit.
-- column renewal_ci_high: Upper Wilson limit.
-- column retained: Share of all teams that go on after this cycle (Kaplan-Meier over cycles).
-- column retained_ci_low: Lower 95 % limit (Greenwood, log-log); null where nobody goes on.
-- column retained_ci_high: Upper limit.
-- column median_cycles: First cycle after which at most half go on; null while more do.
-- column label: immature under 30 teams at risk, else empty.
-- stop: the curve begins with everybody | cycle_number > 1 or "plan" <> 'all' or at_risk = (
--   select count(distinct c.team_id) from journey.plan_cycles as c where c.is_renewed is not null)
-- stop: who is at risk of a cycle renewed the one before | at_risk <= coalesce((
--   select r.renewed from metric.plan_retention as r where r.plan = plan_retention.plan
--   and r.cycle_number = plan_retention.cycle_number - 1), at_risk)
-- stop: the curve only falls | retained is null or not exists (
--   select 1 from metric.plan_retention as r where r.plan = plan_retention.plan
--   and r.cycle_number < plan_retention.cycle_number and r.retained < plan_retention.retained - 1e-12)
with

decided as (
    select
        team_id,
        cycle_number,
        "plan",
        is_renewed
    from journey.plan_cycles
    where is_renewed is not null
),

-- A team's curve ends with its first cycle without a renewal; a later return is another story.
lives as (
    select
        decided.team_id,
        coalesce(
            min(decided.cycle_number) filter (where not decided.is_renewed),
            max(decided.cycle_number)
        ) as days,
        bool_or(not decided.is_renewed) as moved,
        arg_min(decided.plan, decided.cycle_number) as "plan"
    from decided
    group by decided.team_id
),

-- For the curve a team "moves" when it doesn't renew, and its clock counts cycles.
spells as (
    select
        unnest(['all', "plan"]) as stratum,
        days,
        moved
    from lives
),

curve as (
    select
        stratum,
        days as cycle_number,
        at_risk,
        moved as not_renewed,
        1 - share as retained,
        1 - ci_high as retained_ci_low,
        1 - ci_low as retained_ci_high
    from kaplan_meier('spells')
),

-- The curve knows only cycles in which somebody left or was last seen; every cycle is shown.
cycles as (
    select
        last_cycles.stratum,
        unnest(range(1, last_cycles.last_cycle + 1)) as cycle_number
    from (
        select
            stratum,
            max(days) as last_cycle
        from spells
        group by stratum
    ) as last_cycles
),

filled as (
    select
        cycles.stratum,
        cycles.cycle_number,
        (
            select count(*) from spells
            where spells.stratum = cycles.stratum and spells.days >= cycles.cycle_number
        ) as at_risk,
        coalesce(curve.not_renewed, 0) as not_renewed,
        last_value(curve.retained ignore nulls) over up_to_cycle as retained,
        last_value(curve.retained_ci_low ignore nulls) over up_to_cycle as retained_ci_low,
        last_value(curve.retained_ci_high ignore nulls) over up_to_cycle as retained_ci_high
    from cycles
    left join curve
        on cycles.stratum = curve.stratum and cycles.cycle_number = curve.cycle_number
    window up_to_cycle as (
        partition by cycles.stratum order by cycles.cycle_number asc
        rows between unbounded preceding and current row
    )
),

medians as (
    select
        stratum,
        min(cycle_number) filter (where retained <= 0.5) as median_cycles
    from filled
    group by stratum
)

select
    filled.stratum as "plan",
    filled.cycle_number,
    filled.at_risk,
    (filled.at_risk - filled.not_renewed)::bigint as renewed,
    (filled.at_risk - filled.not_renewed) / nullif(filled.at_risk, 0) as renewal_share,
    wilson_low(filled.at_risk - filled.not_renewed, filled.at_risk) as renewal_ci_low,
    wilson_high(filled.at_risk - filled.not_renewed, filled.at_risk) as renewal_ci_high,
    coalesce(filled.retained, 1) as retained,
    case when filled.retained > 0 or filled.retained is null then filled.retained_ci_low end
        as retained_ci_low,
    filled.retained_ci_high,
    medians.median_cycles,
    case when filled.at_risk < 30 then 'immature' else '' end as label
from filled
inner join medians on filled.stratum = medians.stratum
order by filled.stratum asc, filled.cycle_number asc
