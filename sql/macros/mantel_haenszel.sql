-- macro: Mantel-Haenszel odds ratio of outcome by exposure common to all strata, beside the crude one that ignores them, always one row.
-- param source: Name of a table, view or CTE with columns stratum, exposed, outcome and n (units in the cell), as text. Cells that are absent count 0, missing values are an error.
-- column strata: Strata in the source.
-- column units: Units in the source.
-- column common_odds_ratio: sum(a d / n) / sum(b c / n) over strata. Null where the lower sum is 0.
-- column ci_low: Lower limit of its 95 % interval (Robins-Breslow-Greenland). Null where the odds ratio is null or 0.
-- column ci_high: Upper limit of its 95 % interval. Null where the odds ratio is null or 0.
-- column crude_odds_ratio: Odds ratio of the four sums over strata. Never show it alone.
-- column chi_square: Mantel-Haenszel statistic without continuity correction, 1 degree of freedom. Null where no stratum varies.
-- column chi_square_corrected: The same with the correction of 1/2, left out as in R where the deviation is under 1/2.
-- column p: p-value of chi_square.
-- column p_corrected: p-value of chi_square_corrected.
-- example: with cells as (select unnest(['a', 'a', 'b', 'b']) as stratum, unnest([true, false, true, false]) as exposed, unnest([true, true, false, true]) as outcome, unnest([5, 2, 4, 9]) as n) select * from mantel_haenszel('cells')
-- source: Mantel and Haenszel (1959), Robins, Breslow and Greenland, Biometrics 42 (1986) 311-323, as in R mantelhaen.test
create or replace macro mantel_haenszel(source) as table
with mantel_haenszel_source as (
    select
        stratum,
        exposed::boolean as exposed,
        outcome::boolean as outcome,
        case
            when exposed is null or outcome is null or n is null
                then error('mantel_haenszel: exposed, outcome or n is missing')
            when not (n >= 0 and n < 'infinity'::double)
                then error('mantel_haenszel: n is negative or not finite')
            else n::double
        end as n
    from query_table(source)
),

two_by_two as (
    select
        stratum,
        coalesce(sum(n) filter (where exposed and outcome), 0) as a,
        coalesce(sum(n) filter (where exposed and not outcome), 0) as b,
        coalesce(sum(n) filter (where not exposed and outcome), 0) as c,
        coalesce(sum(n) filter (where not exposed and not outcome), 0) as d,
        sum(n) as n
    from mantel_haenszel_source
    group by stratum
),

-- a stratum of 0 units says nothing, one of 1 unit has no variance
stratum_terms as (
    select
        stratum,
        a,
        b,
        c,
        d,
        n,
        (a + d) / nullif(n, 0) as concordant,
        (b + c) / nullif(n, 0) as discordant,
        a * d / nullif(n, 0) as upper_term,
        b * c / nullif(n, 0) as lower_term,
        a - (a + b) * (a + c) / nullif(n, 0) as deviation,
        (a + b) * (c + d) * (a + c) * (b + d) / nullif(n ^ 2 * (n - 1), 0) as hypergeometric_variance
    from two_by_two
),

-- in a fixed order: that in which doubles are added decides the last bit
sums as (
    select
        count(*) as strata,
        coalesce(sum(n), 0) as units,
        sum(a) * sum(d) as crude_upper,
        sum(b) * sum(c) as crude_lower,
        nullif(sum(upper_term order by stratum), 0) as upper_sum,
        nullif(sum(lower_term order by stratum), 0) as lower_sum,
        sum(concordant * upper_term order by stratum) as concordant_upper,
        sum(concordant * lower_term + discordant * upper_term order by stratum) as mixed,
        sum(discordant * lower_term order by stratum) as discordant_lower,
        abs(sum(deviation order by stratum)) as deviation,
        nullif(sum(hypergeometric_variance order by stratum), 0) as variance
    from stratum_terms
),

estimates as (
    select
        strata,
        units,
        coalesce(upper_sum, 0) / lower_sum as common_odds_ratio,
        crude_upper / nullif(crude_lower, 0) as crude_odds_ratio,
        ln(upper_sum / lower_sum) as log_odds_ratio,
        sqrt(
            concordant_upper / (2 * upper_sum ^ 2)
            + mixed / (2 * upper_sum * lower_sum)
            + discordant_lower / (2 * lower_sum ^ 2)
        ) as log_std_error,
        deviation ^ 2 / variance as chi_square,
        (deviation - case when deviation >= 0.5 then 0.5 else 0 end) ^ 2 / variance as chi_square_corrected
    from sums
),

-- upper tail of chi-square with 1 degree of freedom, without erf, by series under 4 and by continued fraction from 4 on
tails as (
    select
        strata,
        units,
        common_odds_ratio,
        log_odds_ratio,
        log_std_error,
        crude_odds_ratio,
        chi_square,
        chi_square_corrected,
        list_transform(
            [chi_square, chi_square_corrected],
            lambda q: case
                when q < 4 then 1 - sqrt(2 * q / pi()) * exp(-q / 2)
                    * list_reduce(range(61, 1, -2), lambda tail, k: 1 + tail * q / k, 1::double)
                else sqrt(2 / pi()) * exp(-q / 2)
                    / list_reduce(range(60, 0, -1), lambda tail, k: sqrt(q) + k / tail, sqrt(q))
            end
        ) as p_values
    from estimates
)

select
    strata,
    units,
    common_odds_ratio,
    exp(log_odds_ratio - 1.959963984540054 * log_std_error) as ci_low,
    exp(log_odds_ratio + 1.959963984540054 * log_std_error) as ci_high,
    crude_odds_ratio,
    chi_square,
    chi_square_corrected,
    p_values[1] as p,
    p_values[2] as p_corrected
from tails;
