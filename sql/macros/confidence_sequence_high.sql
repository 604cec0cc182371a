-- macro: Upper limit of the anytime-valid 95 % confidence sequence of a difference, which holds at every look at once, null where n = 0.
-- param difference: Estimate at this look: a difference of two means, of two proportions, or a relative difference.
-- param std_error: Its standard error at this look: sqrt(variance1 / n1 + variance2 / n2), for proportions variance = p * (1 - p).
-- param n: Units seen at this look, both arms together.
-- param tuning: Number of units at which the sequence is tightest, chosen before the first look (GrowthBook's default is 5000).
-- example: select confidence_sequence_high(0.185 - 0.15, sqrt(0.185 * 0.815 / 3000 + 0.15 * 0.85 / 3000), 6000, 3000)
-- source: Waudby-Smith et al., arXiv 2103.06476, eq. 9 (asymptotic), rho as in gbstats SequentialTwoSidedTTest
create or replace macro confidence_sequence_high(difference, std_error, n, tuning) as
    case
        when not (
            abs(difference::double) < 'infinity'::double
            and 0 <= std_error::double and std_error::double < 'infinity'::double
        ) then error('confidence_sequence_high: difference or std_error not finite, or std_error < 0')
        when not (
            0 <= n::double and n::double < 'infinity'::double
            and 0 < tuning::double and tuning::double < 'infinity'::double
        ) then error('confidence_sequence_high: n < 0, tuning <= 0, or not finite')
        when n::double = 0 then null
        else difference::double + std_error::double * sqrt(
            2 * (1 + tuning::double / (n::double * (ln(1 - 2 * ln(0.05)) - 2 * ln(0.05))))
            * (ln(1 + n::double / tuning::double * (ln(1 - 2 * ln(0.05)) - 2 * ln(0.05))) / 2 - ln(0.05))
        )
    end;
