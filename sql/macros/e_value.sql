-- macro: E-value, the risk ratio an unmeasured confounder needs with both exposure and outcome to explain rr away, 1 where rr = 1.
-- param rr: Risk ratio (or the limit of its interval that is nearer to 1). Under 1 its inverse is used. 0 gives null, under 0 an error.
-- example: select e_value(3.9)
-- source: VanderWeele and Ding, Ann Intern Med 167 (2017) 268-274: rr + sqrt(rr * (rr - 1)), written so that it cannot overflow
create or replace macro e_value(rr) as
    case
        when not (0 <= rr::double and rr::double < 'infinity'::double)
            then error('e_value(rr): rr is negative or not finite')
        when rr::double >= 1 then rr::double * (1 + sqrt(1 - 1 / rr::double))
        when rr::double > 0 then (1 + sqrt(1 - rr::double)) / rr::double
    end;
