-- macro: Upper limit of the 95 % interval of a difference of two proportions x1 / n1 - x2 / n2 (hybrid score), null where n1 or n2 = 0.
-- param x1: Units of the first group that did it, 0 <= x1 <= n1 (else an error).
-- param n1: Units of the first group.
-- param x2: Units of the second group that did it, 0 <= x2 <= n2 (else an error).
-- param n2: Units of the second group.
-- example: select newcombe_high(56, 70, 48, 80)
-- source: Newcombe, Stat Med 17 (1998) 873-890, method 10: difference + sqrt((wilson_high 1 - p1)^2 + (p2 - wilson_low 2)^2)
create or replace macro newcombe_high(x1, n1, x2, n2) as
    case
        when not (0 <= x1::double and x1::double <= n1::double and n1::double < 'infinity'::double)
            then error('newcombe_high(x1, n1, x2, n2): 0 <= x1 <= n1 does not hold')
        when not (0 <= x2::double and x2::double <= n2::double and n2::double < 'infinity'::double)
            then error('newcombe_high(x1, n1, x2, n2): 0 <= x2 <= n2 does not hold')
        when x1::double / nullif(n1::double, 0) - x2::double / nullif(n2::double, 0) is null then null
        else list_transform(
            [{
                'x1': x1::double, 'n1': n1::double,
                'x2': x2::double, 'n2': n2::double,
                'z': 1.959963984540054::double
            }],
            lambda pair: least(1, pair.x1 / pair.n1 - pair.x2 / pair.n2 + sqrt(
                (
                    pair.x1 / pair.n1 - (
                        2 * pair.x1 + pair.z ^ 2
                        + pair.z * sqrt(pair.z ^ 2 + 4 * pair.x1 * (pair.n1 - pair.x1) / pair.n1)
                    ) / (2 * (pair.n1 + pair.z ^ 2))
                ) ^ 2 + (
                    pair.x2 / pair.n2 - (
                        2 * pair.x2 + pair.z ^ 2
                        - pair.z * sqrt(pair.z ^ 2 + 4 * pair.x2 * (pair.n2 - pair.x2) / pair.n2)
                    ) / (2 * (pair.n2 + pair.z ^ 2))
                ) ^ 2
            ))
        )[1]
    end;
