-- table: The decision sheet, week by week: what each rule decided, how its number changed in 13
--   weeks, and whether the decision of 13 weeks ago was borne out.
-- grain: week_on, name
-- column week_on: Monday of the ISO week of the as-of day. The first print of a week is its decision.
-- column name: Rule.
-- column as_of: A of that print.
-- column known_at: Its K; null = everything recorded.
-- column definition: Its definition.
-- column rule: Hash of the rule.
-- column number: The number.
-- column ci_low: Lower 95 % limit.
-- column ci_high: Upper 95 % limit.
-- column teams: Teams behind it.
-- column threshold: The rule's threshold.
-- column verdict: act or hold.
-- column because: Why.
-- column todo: What the rule said to do.
-- column before_as_of: A of the print of 13 weeks before; null without one under the same rule and
--   definition.
-- column before_number: Its number.
-- column before_ci_low: Its lower limit.
-- column before_ci_high: Its upper limit.
-- column before_verdict: What it decided.
-- column change: number - before_number.
-- column is_within_before: Whether this week's number lies in the interval printed 13 weeks ago.
-- column check_of_before: What became of that decision: act confirmed (still surely on the side),
--   act open (on the side, not surely), act reversed (on the other side), hold kept, or hold
--   overtaken (it would act now); null without it.
-- stop: one decision a week and rule | (select count(*) from ops.decisions as d
--   where d.week_on = decisions.week_on and d.name = decisions.name
--   and d.definition = decisions.definition) = 1
-- stop: a check has both numbers | check_of_before is null or before_as_of is not null
with

-- The first print of a week decides it; a later night of the week, or a rerun, changes nothing.
weekly as (
    select
        *,
        date_trunc('week', as_of)::date as week_on
    from ops.decision_prints
    qualify row_number() over (
        partition by date_trunc('week', as_of), definition, name
        order by as_of asc, printed_at asc, run_id asc
    ) = 1
),

paired as (
    select
        here.*,
        past.as_of as before_as_of,
        past.number as before_number,
        past.ci_low as before_ci_low,
        past.ci_high as before_ci_high,
        past.verdict as before_verdict,
        coalesce(case here.side
            when 'above' then here.number > here.threshold else here.number < here.threshold
        end, false) as is_on_side,
        coalesce(case here.side
            when 'above' then here.ci_low > here.threshold else here.ci_high < here.threshold
        end, false) as is_sure
    from weekly as here
    left join weekly as past
        on
            here.week_on = past.week_on + 91
            and here.name = past.name
            and here.rule = past.rule
            and here.definition = past.definition
)

select
    week_on,
    name,
    as_of,
    known_at,
    definition,
    rule,
    number,
    ci_low,
    ci_high,
    teams,
    threshold,
    verdict,
    because,
    todo,
    before_as_of,
    before_number,
    before_ci_low,
    before_ci_high,
    before_verdict,
    number - before_number as change,
    number between before_ci_low and before_ci_high as is_within_before,
    case
        when before_verdict is null or number is null then null
        when before_verdict = 'act' and is_sure then 'act confirmed'
        when before_verdict = 'act' and is_on_side then 'act open'
        when before_verdict = 'act' then 'act reversed'
        when verdict = 'act' then 'hold overtaken'
        else 'hold kept'
    end as check_of_before
from paired
order by week_on desc, name asc
