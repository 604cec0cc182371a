-- macro: Lower limit of the Wilson 95 % score interval of a share x / n, null where n = 0, exactly 0 where x = 0.
-- param x: Units that did it, 0 <= x <= n (else an error).
-- param n: Units that could have.
-- example: select wilson_low(81, 263)
-- source: Wilson (1927), method 3 of Newcombe, Stat Med 17 (1998) 857-872, without continuity correction
create or replace macro wilson_low(x, n) as
    case
        when not (0 <= x::double and x::double <= n::double and n::double < 'infinity'::double)
            then error('wilson_low(x, n): 0 <= x <= n does not hold')
        when n::double = 0 then null
        when x::double = 0 then 0.0
        else (
            2 * x::double + 1.959963984540054 ^ 2
            - 1.959963984540054 * sqrt(
                1.959963984540054 ^ 2 + 4 * x::double * (n::double - x::double) / n::double
            )
        ) / (2 * (n::double + 1.959963984540054 ^ 2))
    end;
