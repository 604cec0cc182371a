-- table: What the tokens would cost on each accelerator of chips.csv, against their list price.
-- grain: chip
-- column chip: Accelerator.
-- column hour_cny: CNY an hour.
-- column output_tokens_per_second: Output tokens a second at full load.
-- column utilisation: Share of the time at load.
-- column teams: Subscribers (ITT) with a whole month since S.
-- column output_tokens: Their output tokens in whole months.
-- column chip_hours: output_tokens / (3600 x tokens a second x utilisation); null without throughput.
-- column scenario_cny: chip_hours x hour price.
-- column cny_per_million_output: Scenario cost of a million output tokens.
-- column list_price_cny: The same tokens at the dated price of models.csv.
-- column ratio_to_list: scenario_cny / list_price_cny.
-- column subsidy_per_team: (scenario_cny - plan net) / teams.
-- column p_star_low: Break-even conversion at this cost and iota_high of metric.unit_economics.
-- column p_star_high: The same at iota_low; null where that is 0.
-- column label: not identified: a scenario, its throughput and utilisation are assumptions.
-- stop: a row for each chip | (select count(*) from metric.cost_scenarios) = (
--   select count(*) from ref.chips)
-- stop: cost is not negative | scenario_cny is null or scenario_cny >= 0
with

totals as (
    select
        count(distinct team_months.team_id) as teams,
        coalesce(sum(team_months.output_tokens), 0)::bigint as output_tokens,
        coalesce(sum(team_months.inference_cny), 0) as list_price_cny,
        coalesce(sum(team_months.plan_net_cny), 0) as plan_net_cny
    from journey.team_months as team_months
    inner join journey.teams as teams on team_months.team_id = teams.team_id
    where teams.is_itt
),

worth as (
    select
        max(value_per_converted_team) as value_per_converted_team,
        max(iota_low) as iota_low,
        max(iota_high) as iota_high
    from metric.unit_economics
    where "by" = 'all'
),

-- A chip makes tokens a second x utilisation x 3600 an hour; prompts ride along in the throughput.
scenarios as (
    select
        chips.chip,
        chips.hour_cny,
        chips.output_tokens_per_second,
        chips.utilisation,
        totals.*,
        worth.*,
        totals.output_tokens
        / nullif(3600 * chips.output_tokens_per_second * chips.utilisation, 0) as chip_hours
    from ref.chips as chips
    cross join totals
    cross join worth
),

costs as (
    select
        *,
        chip_hours * hour_cny as scenario_cny,
        (chip_hours * hour_cny - plan_net_cny) / nullif(teams, 0) as subsidy_per_team,
        -- greatest() would make 0 of an unknown cost.
        case
            when chip_hours is not null
                then greatest((chip_hours * hour_cny - plan_net_cny) / nullif(teams, 0), 0)
        end as subsidy_to_earn
    from scenarios
)

select
    chip,
    hour_cny,
    output_tokens_per_second,
    utilisation,
    teams,
    output_tokens,
    round(chip_hours, 6) as chip_hours,
    round(scenario_cny, 4) as scenario_cny,
    round(1000000 * hour_cny / nullif(3600 * output_tokens_per_second * utilisation, 0), 6)
        as cny_per_million_output,
    round(list_price_cny, 4) as list_price_cny,
    round(scenario_cny / nullif(list_price_cny, 0), 6) as ratio_to_list,
    round(subsidy_per_team, 4) as subsidy_per_team,
    round(
        subsidy_to_earn / nullif(iota_high * greatest(value_per_converted_team, 0), 0), 9
    ) as p_star_low,
    round(
        subsidy_to_earn / nullif(iota_low * greatest(value_per_converted_team, 0), 0), 9
    ) as p_star_high,
    'not identified' as label
from costs
order by chip asc
