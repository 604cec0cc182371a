-- table: Would they have moved anyway, without an assignment: subscribers against accounts that had not
--   subscribed on the same day, matched on region, industry and prior cloud spend. An association:
--   what made them subscribe may have made them move.
-- grain: by, value
-- column by: all, region or prior_spend.
-- column value: The group; prior_spend is none, under_30 or 30_and_more CNY of net so far.
-- column subscribers: Subscribers (ITT) without a qualifying day before S, decidable for the horizon.
-- column matched: Of those, with at least one matched account on the day S.
-- column accounts_per_subscriber: Median of matched accounts.
-- column moved: Of matched, with a qualifying day within the headline horizon of S.
-- column share: moved / matched.
-- column control_share: Mean share of the matched accounts that had one within the horizon of the
--   same day, subscribed later or not (dropping those would look into the future).
-- column difference: share - control_share.
-- column ci_low: Lower 95 % limit; an account that is matched often counts as one account.
-- column ci_high: Upper limit.
-- column iota: difference / share: the share of the moves that the accounts don't explain; null
--   without a move.
-- column iota_ci_low: difference's lower limit / share.
-- column iota_ci_high: Upper limit / share.
-- column e_value: How strongly something unmeasured would have to raise both subscribing and moving to
--   explain the ratio of the shares away (1: nothing to explain); null without moves on both sides.
-- column label: immature under 30 matched, else association.
-- stop: matched are among the subscribers | matched <= subscribers and moved <= matched
-- stop: every breakdown has all subscribers | (
--   select sum(m.subscribers) from metric.matched_controls as m
--   where m.by = matched_controls.by) = (
--   select m.subscribers from metric.matched_controls as m where m.by = 'all')
-- stop: shares are shares | matched = 0 or (share between 0 and 1
--   and control_share between -1e-12 and 1 + 1e-12)
with

onsets as (
    select
        team_id,
        min(usage_on) as onset_on
    from journey.qualifying_days
    group by team_id
),

-- Net so far, day by day: the day after it passes 0 and the day after it passes 30 CNY. Nobody
-- is compared on a day whose horizon isn't over.
running as (
    select
        team_id,
        usage_on,
        sum(net_cny) over (partition by team_id order by usage_on asc) as net_so_far
    from journey.workload_days
    where usage_on < $data_complete_on - $headline_horizon
),

spending as (
    select
        team_id,
        min(usage_on) filter (where net_so_far > $billable_cny) + 1 as some_on,
        min(usage_on) filter (where net_so_far >= $qualifying_floor_cny) + 1 as much_on
    from running
    group by team_id
),

first_charges as (
    select
        team_id,
        min(first_charge_on) as first_charge_on
    from journey.billed_teams
    group by team_id
),

-- An account is there from its opening on, or from its first charge where no opening is known.
accounts as (
    select
        teams.team_id,
        teams.region,
        teams.industry,
        teams.is_itt,
        teams.subscribed_on,
        onsets.onset_on,
        coalesce(
            timezone($zone, directory.opened_at)::date, first_charges.first_charge_on,
            teams.subscribed_on
        ) as from_on,
        least(teams.censored_on - $headline_horizon, $data_complete_on - $headline_horizon)
            as last_on,
        coalesce(spending.some_on, date '9999-12-31') as some_on,
        coalesce(spending.much_on, date '9999-12-31') as much_on
    from journey.teams as teams
    left join onsets on teams.team_id = onsets.team_id
    left join spending on teams.team_id = spending.team_id
    left join first_charges on teams.team_id = first_charges.team_id
    left join fact.teams as directory on teams.team_id = directory.team_id
),

treated as (
    select
        team_id,
        {
            'region': region,
            'industry': industry,
            'prior_spend': case
                when subscribed_on >= much_on then '30_and_more'
                when subscribed_on >= some_on then 'under_30'
                else 'none'
            end
        } as cell,
        subscribed_on as day_on,
        coalesce(onset_on <= subscribed_on + $headline_horizon, false) as is_moved
    from accounts
    where is_itt and subscribed_on <= last_on and coalesce(onset_on >= subscribed_on, true)
),

-- Each account is at risk in up to three cells one after the other, from its opening until it
-- subscribes or its workload begins; it counts as moved from the horizon before that on.
spells as (
    select
        team_id,
        {'region': region, 'industry': industry, 'prior_spend': spell.prior_spend} as cell,
        greatest(from_on, spell.from_on) as from_on,
        least(
            spell.until_on, last_on + 1, coalesce(subscribed_on, date '9999-12-31'),
            coalesce(onset_on + 1, date '9999-12-31')
        ) as until_on,
        onset_on - $headline_horizon as moved_from_on
    from (
        select
            *,
            unnest([
                {
                    'prior_spend': 'none',
                    'from_on': date '0001-01-01',
                    'until_on': least(some_on, much_on)
                },
                {'prior_spend': 'under_30', 'from_on': some_on, 'until_on': much_on},
                {'prior_spend': '30_and_more', 'from_on': much_on, 'until_on': date '9999-12-31'}
            ]) as spell
        from accounts
    ) as episodes
),

at_risk as (
    select
        team_id,
        cell,
        from_on,
        until_on,
        case when moved_from_on is not null then greatest(from_on, moved_from_on) end
            as moved_from_on
    from spells
    where from_on < until_on
),

-- Only days on which somebody of the cell subscribes matter. How many are at risk on such a day:
-- spells begun by then less spells over by then.
days as (
    select
        cell,
        day_on,
        count(*) as subscribers
    from treated
    group by cell, day_on
),

steps as (
    select
        cell,
        from_on as day_on,
        1 as step
    from at_risk
    union all by name
    select
        cell,
        until_on as day_on,
        -1 as step
    from at_risk
),

stepped as (
    select
        cell,
        day_on,
        sum(step) as step,
        0 as subscribers
    from steps
    group by cell, day_on
    union all by name
    select
        cell,
        day_on,
        0 as step,
        subscribers
    from days
),

-- On one day the steps come before the subscribers are matched.
risk_sets as (
    select
        cell,
        day_on,
        subscribers,
        sum(step) over (
            partition by cell order by day_on asc
            range between unbounded preceding and current row
        )::bigint as accounts
    from stepped
),

matched_days as (
    select
        cell,
        day_on,
        subscribers,
        accounts,
        sum(subscribers / accounts) over (
            partition by cell order by day_on asc
            rows between unbounded preceding and current row
        ) as weight_so_far
    from risk_sets
    where subscribers > 0 and accounts > 0
),

-- The weight of an account: the sum of subscribers / accounts over the days it was at risk.
weights as (
    select
        at_risk.team_id,
        at_risk.cell,
        coalesce(ended.weight_so_far, 0) - coalesce(begun.weight_so_far, 0) as weight,
        case
            when at_risk.moved_from_on is null or at_risk.moved_from_on >= at_risk.until_on then 0
            else coalesce(ended.weight_so_far, 0) - coalesce(moving.weight_so_far, 0)
        end as moved_weight
    from at_risk
    asof left join matched_days as ended
        on at_risk.cell = ended.cell and at_risk.until_on > ended.day_on
    asof left join matched_days as begun
        on at_risk.cell = begun.cell and at_risk.from_on > begun.day_on
    asof left join matched_days as moving
        on at_risk.cell = moving.cell and at_risk.moved_from_on > moving.day_on
),

subscribers_of_cells as (
    select
        treated.team_id,
        treated.cell,
        treated.is_moved,
        matched_days.accounts
    from treated
    left join matched_days
        on treated.cell = matched_days.cell and treated.day_on = matched_days.day_on
),

breakdowns as (
    select unnest(['all', 'region', 'prior_spend']) as "by"
),

treated_sums as (
    select
        breakdowns.by,
        case breakdowns.by
            when 'region' then t.cell.region when 'prior_spend' then t.cell.prior_spend else 'all'
        end as "value",
        count(*) as subscribers,
        count(t.accounts) as matched,
        median(t.accounts) as accounts_per_subscriber,
        count(*) filter (where t.is_moved and t.accounts is not null) as moved
    from breakdowns
    cross join subscribers_of_cells as t
    group by breakdowns.by, "value"
),

by_account as (
    select
        breakdowns.by,
        case breakdowns.by
            when 'region' then w.cell.region when 'prior_spend' then w.cell.prior_spend else 'all'
        end as "value",
        w.team_id,
        sum(w.weight) as weight,
        sum(w.moved_weight) as moved_weight
    from breakdowns
    cross join weights as w
    where w.weight > 0
    group by breakdowns.by, "value", w.team_id
),

-- An account's weights make one observation: sum of squares of (moved weight - share x weight).
control_sums as (
    select
        "by",
        "value",
        sum(weight) as weight,
        sum(moved_weight) / sum(weight) as control_share,
        sum(moved_weight * moved_weight) as squares,
        sum(moved_weight * weight) as products,
        sum(weight * weight) as weight_squares
    from by_account
    group by "by", "value"
),

estimates as (
    select
        treated_sums.*,
        treated_sums.moved / nullif(treated_sums.matched, 0) as share,
        control_sums.control_share,
        (
            control_sums.squares - 2 * control_sums.control_share * control_sums.products
            + control_sums.control_share * control_sums.control_share * control_sums.weight_squares
        ) / (control_sums.weight * control_sums.weight) as control_variance
    from treated_sums
    left join control_sums
        on treated_sums.by = control_sums.by and treated_sums.value = control_sums.value
),

stated as (
    select
        *,
        share - control_share as difference,
        1.959963984540054 * sqrt(
            greatest(share * (1 - share) / nullif(matched, 0) + control_variance, 0)
        ) as half_width
    from estimates
)

select
    "by",
    "value",
    subscribers,
    matched,
    accounts_per_subscriber,
    moved,
    share,
    round(control_share, 12) as control_share,
    round(difference, 12) as difference,
    round(difference - half_width, 12) as ci_low,
    round(difference + half_width, 12) as ci_high,
    round(difference / nullif(share, 0), 12) as iota,
    round((difference - half_width) / nullif(share, 0), 12) as iota_ci_low,
    round((difference + half_width) / nullif(share, 0), 12) as iota_ci_high,
    case
        when share > 0 and control_share > 1e-12 then round(e_value(share / control_share), 9)
    end as e_value,
    case when matched < 30 then 'immature' else 'association' end as label
from stated
order by "by" asc, "value" asc
