-- question: Which models go with renewal after the first four weeks?
select
    kind,
    exposure,
    teams_with,
    odds_ratio,
    ci_low,
    ci_high,
    p_adjusted,
    label
from metric.model_mix_retention
where odds_ratio is not null
order by p_adjusted asc, kind asc, exposure asc
