-- table: What do we do this week: each pre-registered rule against this print's number. The rules are
--   data/reference/decisions.toml; ops.decisions keeps the weeks.
-- grain: name
-- column name: Rule.
-- column rule: Hash of its fields.
-- column definition: Hash of the definition.
-- column as_of: A, the as-of day (exclusive).
-- column question: Question that the rule answers.
-- column metric: Its number, a name of metric.decision_numbers.
-- column number: The number; null where it can't be estimated.
-- column ci_low: Lower 95 % limit.
-- column ci_high: Upper 95 % limit.
-- column teams: Teams behind it.
-- column side: Side of the threshold on which the whole interval must lie.
-- column threshold: The threshold.
-- column min_teams: Least teams.
-- column failed_gates: Gates of the rule that don't pass.
-- column teams_needed: More teams needed for an interval that excludes the threshold, if the number
--   stays (half-widths shrink with the root of the teams), and for min_teams; null where the number
--   is on the other side, 0 when it acts.
-- column verdict: act or hold.
-- column because: Why, in words.
-- column todo: What the rule says to do.
-- column label: Label of the number.
-- stop: every rule has its verdict | (select count(*) from metric.decisions) = (
--   select count(*) from ref.decisions)
-- stop: nobody acts against an interval | verdict = 'hold' or coalesce(case side
--   when 'above' then ci_low > threshold else ci_high < threshold end, false)
-- stop: nobody acts through a gate | verdict = 'hold' or (len(failed_gates) = 0 and teams >= min_teams)
-- warn: every rule names a number | exists (
--   select 1 from metric.decision_numbers as d where d.metric = decisions.metric)
with

-- Gates: what must be in order before any number may decide.
gates as (
    select
        'links' as gate,
        coalesce(bool_and(coalesce(linked_share, 1) >= 0.95), true) as is_passed
    from metric.link_coverage
    union all by name
    select
        'history' as gate,
        coalesce(avg((state_at_t0 <> 'unknown')::int) >= 0.9, true) as is_passed
    from journey.teams
    where state_at_t0 is not null
    union all by name
    select
        'split' as gate,
        coalesce(bool_and(not has_srm), true) as is_passed
    from metric.experiments
    union all by name
    select
        'renewal' as gate,
        coalesce(bool_and(verdict <> 'guardrail breached'), true) as is_passed
    from metric.experiments
),

failed as (
    select list(gate order by gate asc) as gates
    from gates
    where not is_passed
),

judged as (
    select
        rules.*,
        numbers.number,
        numbers.ci_low,
        numbers.ci_high,
        coalesce(numbers.teams, 0) as teams,
        coalesce(numbers.label, 'no such number') as label,
        list_sort(list_intersect(rules.gates, coalesce(failed.gates, []))) as failed_gates,
        coalesce(case rules.side
            when 'above' then numbers.number > rules.threshold
            else numbers.number < rules.threshold
        end, false) as is_on_side,
        coalesce(case rules.side
            when 'above' then numbers.ci_low > rules.threshold
            else numbers.ci_high < rules.threshold
        end, false) as is_sure,
        coalesce(case rules.side
            when 'above' then numbers.ci_high < rules.threshold
            else numbers.ci_low > rules.threshold
        end, false) as is_sure_of_the_other_side,
        -- (half-width towards the threshold / distance to it)^2 x teams.
        ceil(round(numbers.teams * pow(
            (numbers.number - case rules.side when 'above' then numbers.ci_low else numbers.ci_high end)
            / nullif(numbers.number - rules.threshold, 0), 2
        ), 6)) as teams_to_be_sure
    from ref.decisions as rules
    left join metric.decision_numbers as numbers on rules.metric = numbers.metric
    cross join failed
),

needed as (
    select
        *,
        is_sure and teams >= min_teams and len(failed_gates) = 0 as is_act,
        case
            when is_sure then greatest(min_teams - teams, 0)
            when is_on_side and teams_to_be_sure is not null
                then greatest(teams_to_be_sure - teams, min_teams - teams, 1)
        end::bigint as teams_needed
    from judged
)

select
    name,
    rule,
    $definition::varchar as definition,
    $as_of::date as as_of,
    question,
    metric,
    number,
    ci_low,
    ci_high,
    teams,
    side,
    threshold,
    min_teams,
    failed_gates,
    teams_needed,
    case when is_act then 'act' else 'hold' end as verdict,
    case
        when is_act then 'the interval excludes ' || threshold || ' and the gates pass'
        when number is null then 'hold: the number can''t be estimated (' || label || ')'
        when len(failed_gates) > 0 then 'hold: gate ' || array_to_string(failed_gates, ', ') || ' fails'
        when is_sure_of_the_other_side
            then 'hold: the interval lies on the other side of ' || threshold
        when teams_needed is not null then 'hold, needs ' || teams_needed || ' more teams'
        else 'hold: the number is on the other side of ' || threshold || ', not surely'
    end as because,
    case when is_act then act else hold end as todo,
    label
from needed
order by rank asc
