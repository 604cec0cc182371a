-- table: Which model mix retains: odds of renewing after day 28 by the models in use in the first
--   28 days after T0, against all other teams that still had the plan on day 28.
-- grain: kind, exposure
-- column kind: mix (exactly these models), model (this model among them) or breadth (how many).
-- column exposure: The models with at least 10 % of the accepted requests in (T0, T0 + 28], joined
--   by +; the model; or '3 or more'.
-- column teams_with: Teams with it.
-- column teams_without: All other teams.
-- column renewed_with: Of teams_with, renewed the cycle that ran on day 28.
-- column renewed_without: The same of teams_without.
-- column odds_ratio: Mantel-Haenszel odds ratio of renewing within request class x plan x class of
--   the team; null under 30 teams on either side. Request classes are deciles, finer from 880 teams
--   on: 80 teams each.
-- column ci_low: Lower 95 % limit (Robins-Breslow-Greenland).
-- column ci_high: Upper limit.
-- column p: Its p-value (Mantel-Haenszel, no continuity correction).
-- column p_adjusted: Benjamini-Hochberg over all tests of this table.
-- column crude_odds_ratio: Without strata; null where there is no adjusted one to stand beside.
-- column label: association, or immature under 30 teams on either side.
-- stop: counts are among the teams | renewed_with <= teams_with and renewed_without <= teams_without
-- stop: every exposure splits the same teams | teams_with + teams_without = (
--   select max(m.teams_with + m.teams_without) from metric.model_mix_retention as m)
-- stop: no ratio from a small cell | odds_ratio is null or least(teams_with, teams_without) >= 30
-- stop: adjusting makes no p smaller | p_adjusted is null or p_adjusted >= p - 1e-12
with

-- Landmark: only teams whose plan ran on day 28 and whose renewal of that cycle is decided. What a
-- team used later can't count: "ever used three models" is immortal time.
landmark as (
    select
        teams.team_id,
        teams.integrated_on,
        teams.plan,
        coalesce(teams.team_class, 'unknown') as team_class,
        cycles.is_renewed
    from journey.teams as teams
    inner join journey.plan_cycles as cycles
        on
            teams.team_id = cycles.team_id
            and cycles.starts_on <= teams.integrated_on + 28
            and cycles.ends_on > teams.integrated_on + 28
    where cycles.is_renewed is not null and teams.integrated_on + 28 < $as_of
),

model_use as (
    select
        landmark.team_id,
        usage_days.model,
        sum(usage_days.accepted) as accepted,
        sum(sum(usage_days.accepted)) over (partition by landmark.team_id) as of_all
    from landmark
    inner join fact.usage_days as usage_days
        on
            landmark.team_id = usage_days.team_id
            and usage_days.usage_on > landmark.integrated_on
            and usage_days.usage_on <= landmark.integrated_on + 28
    where usage_days.accepted > 0
    group by landmark.team_id, usage_days.model
),

-- A model belongs to the mix with a tenth of the accepted requests.
mixes as (
    select
        team_id,
        max(of_all) as accepted,
        list(model order by model asc) as models
    from model_use
    where accepted >= 0.1 * of_all
    group by team_id
),

-- Deciles leave differences inside each, so that with many teams a mix without effect seems to have
-- one: classes of 80 teams when there are more than ten of them.
classes as (
    select greatest(10, count(*) // 80) as request_classes
    from mixes
),

-- Like is compared with like: class of requests, plan and class of the team.
stratified as (
    select
        landmark.team_id,
        landmark.is_renewed,
        mixes.models,
        {
            'requests': (
                row_number() over (order by mixes.accepted asc, landmark.team_id asc) - 1
            ) * classes.request_classes // count(*) over (),
            'plan': landmark.plan,
            'class': landmark.team_class
        } as stratum
    from landmark
    inner join mixes on landmark.team_id = mixes.team_id
    cross join classes
),

exposed_teams as (
    select
        team_id,
        'mix' as kind,
        array_to_string(models, '+') as exposure
    from stratified
    union all by name
    select
        team_id,
        'model' as kind,
        unnest(models) as exposure
    from stratified
    union all by name
    select
        team_id,
        'breadth' as kind,
        '3 or more' as exposure
    from stratified
    where len(models) >= 3
),

of_all_teams as (
    select
        stratum,
        count(*) as teams,
        count(*) filter (where is_renewed) as renewed
    from stratified
    group by stratum
),

with_it as (
    select
        exposed_teams.kind,
        exposed_teams.exposure,
        stratified.stratum,
        count(*) as teams,
        count(*) filter (where stratified.is_renewed) as renewed
    from exposed_teams
    inner join stratified on exposed_teams.team_id = stratified.team_id
    group by exposed_teams.kind, exposed_teams.exposure, stratified.stratum
),

exposures as (
    select distinct
        kind,
        exposure
    from with_it
),

-- The 2x2 of each exposure and stratum: a, b with it (renewed, not), c, d without.
two_by_two as (
    select
        exposures.kind,
        exposures.exposure,
        coalesce(with_it.renewed, 0)::double as a,
        coalesce(with_it.teams - with_it.renewed, 0)::double as b,
        (of_all_teams.renewed - coalesce(with_it.renewed, 0))::double as c,
        (
            of_all_teams.teams - of_all_teams.renewed
            - coalesce(with_it.teams - with_it.renewed, 0)
        )::double as d,
        of_all_teams.teams::double as n
    from exposures
    cross join of_all_teams
    left join with_it
        on
            exposures.kind = with_it.kind
            and exposures.exposure = with_it.exposure
            and of_all_teams.stratum = with_it.stratum
),

-- As in the macro mantel_haenszel, for many exposures at once; decimals, because the order in which
-- doubles are added would decide the last bit.
sums as (
    select
        kind,
        exposure,
        sum(a) as a,
        sum(b) as b,
        sum(c) as c,
        sum(d) as d,
        nullif(sum((a * d / n)::decimal(38, 12))::double, 0) as upper_sum,
        nullif(sum((b * c / n)::decimal(38, 12))::double, 0) as lower_sum,
        sum(((a + d) / n * a * d / n)::decimal(38, 12))::double as concordant_upper,
        sum(((a + d) / n * b * c / n + (b + c) / n * a * d / n)::decimal(38, 12))::double as mixed,
        sum(((b + c) / n * b * c / n)::decimal(38, 12))::double as discordant_lower,
        sum((a - (a + b) * (a + c) / n)::decimal(38, 12))::double as deviation,
        nullif(sum((
            (a + b) * (c + d) * (a + c) * (b + d) / nullif(n * n * (n - 1), 0)
        )::decimal(38, 12))::double, 0) as variance
    from two_by_two
    group by kind, exposure
),

estimates as (
    select
        kind,
        exposure,
        (a + b)::bigint as teams_with,
        (c + d)::bigint as teams_without,
        a::bigint as renewed_with,
        c::bigint as renewed_without,
        a + b >= 30 and c + d >= 30 and lower_sum is not null as is_tested,
        coalesce(upper_sum, 0) / lower_sum as odds_ratio,
        ln(upper_sum / lower_sum) as log_odds_ratio,
        sqrt(
            concordant_upper / (2 * upper_sum * upper_sum)
            + mixed / (2 * upper_sum * lower_sum)
            + discordant_lower / (2 * lower_sum * lower_sum)
        ) as log_std_error,
        a * d / nullif(b * c, 0) as crude_odds_ratio,
        deviation * deviation / variance as q
    from sums
),

-- Upper tail of chi-square with 1 degree of freedom: series under 4, continued fraction from 4 on.
tails as ( -- noqa: ST03
    select
        kind,
        exposure,
        {'kind': kind, 'exposure': exposure} as id,
        case
            when not is_tested then null
            when q < 4 then greatest(0, 1 - sqrt(2 * q / pi()) * exp(-q / 2) * list_reduce(
                range(61, 1, -2), lambda tail, k: 1 + tail * q / k, 1::double
            ))
            else sqrt(2 / pi()) * exp(-q / 2) / list_reduce(
                range(60, 0, -1), lambda tail, k: sqrt(q) + k / tail, sqrt(q)
            )
        end as p
    from estimates
),

adjusted as (
    select
        id.kind as kind,
        id.exposure as exposure,
        p,
        adjusted as p_adjusted
    from benjamini_hochberg('tails')
)

select
    estimates.kind,
    estimates.exposure,
    estimates.teams_with,
    estimates.teams_without,
    estimates.renewed_with,
    estimates.renewed_without,
    case when estimates.is_tested then estimates.odds_ratio end as odds_ratio,
    case
        when estimates.is_tested
            then exp(estimates.log_odds_ratio - 1.959963984540054 * estimates.log_std_error)
    end as ci_low,
    case
        when estimates.is_tested
            then exp(estimates.log_odds_ratio + 1.959963984540054 * estimates.log_std_error)
    end as ci_high,
    adjusted.p,
    adjusted.p_adjusted,
    case when estimates.is_tested then estimates.crude_odds_ratio end as crude_odds_ratio,
    case
        when least(estimates.teams_with, estimates.teams_without) < 30 then 'immature'
        else 'association'
    end as label
from estimates
inner join adjusted
    on estimates.kind = adjusted.kind and estimates.exposure = adjusted.exposure
order by estimates.kind asc, estimates.exposure asc
