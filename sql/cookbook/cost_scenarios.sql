-- question: What would the tokens cost on each accelerator?
select
    chip,
    chip_hours,
    scenario_cny,
    list_price_cny,
    ratio_to_list,
    subsidy_per_team,
    p_star_low,
    p_star_high,
    label
from metric.cost_scenarios
order by chip asc
