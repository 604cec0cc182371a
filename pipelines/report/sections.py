"""What the report shows, in its order: each figure's query, chart and n.

Belongs here: which table is asked for what. A new section is one entry of SECTIONS, its name and
its `_note` in text.py, and a chart in charts.py when it has one.
Does not belong here: any estimate (sql/metric), marks (charts.py), layout (page.py).

A query runs as it stands in any client of the published file: the page shows it for copying.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipelines.report import charts

_HORIZON = "(select horizon_days from metric.headline where is_headline)"
_MIN_AT_RISK = "(select \"value\"::int from ops.definition where name = 'min_at_risk')"
_ORDER = "['plan', 'team_class', 'channel', 'region', 'industry', 'task_mix', 'model_mix', 'state']"


@dataclass(frozen=True)
class Figure:
    """One query, and what is made of its rows.

    n: the count that the figure rests on; unit: its word in text.py, after `units_`.
    hidden: columns that only the chart needs.
    """

    query: str
    n: pl.Expr
    unit: str = "teams"
    chart: Callable[[pl.DataFrame, charts.Say], Any] | None = None
    has_table: bool = True
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """Figures under one heading; `choose` is the column by whose values the reader filters."""

    name: str
    figures: tuple[Figure, ...]
    choose: str | None = None


HEADLINE = "from metric.headline\nwhere is_headline"

SECTIONS = (
    Section(
        "history",
        (
            Figure(
                f"""select
    printed_at, as_of, definition, sum(mature_teams)::bigint as teams,
    sum(mature_moved)::bigint as moved, sum(mature_moved) / sum(mature_teams) as share,
    wilson_low(sum(mature_moved), sum(mature_teams)) as ci_low,
    wilson_high(sum(mature_moved), sum(mature_teams)) as ci_high
from ops.prints
where horizon_days = {_HORIZON}
group by printed_at, as_of, definition
order by printed_at desc
limit 26""",
                n=pl.len(),
                unit="prints",
                chart=charts.prints,
            ),
        ),
    ),
    Section(
        "funnel",
        (
            Figure(
                """with steps as (
    select
        count(subscribed_on) as paid,
        count(*) filter (where integrated_on <= data_complete_on) as integrated,
        count(*) filter (where is_headline) as eligible,
        count(*) filter (where is_headline and moved) as moved_so_far
    from journey.teams, ops.clock
)
select step, teams, teams / nullif(lag(teams) over (order by teams desc), 0) as share_of_before
from (unpivot steps on paid, integrated, eligible, moved_so_far into name step value teams)
order by list_position(['paid', 'integrated', 'eligible', 'moved_so_far'], step)""",
                n=pl.col("teams").max(),
                chart=charts.funnel,
            ),
        ),
    ),
    Section(
        "outcomes",
        (
            Figure(
                """select horizon_days, teams, converted, not_converted, open, share, ci_low, ci_high
from metric.conversion
where population = 'nsm' and "by" = 'all'
order by horizon_days""",
                n=pl.col("teams").max(),
                chart=charts.outcomes,
            ),
        ),
    ),
    Section(
        "curve",
        (
            Figure(
                f"""select days, at_risk, moved, share, ci_low, ci_high
from metric.curve
where population = 'nsm' and "by" = 'all' and at_risk >= {_MIN_AT_RISK}
order by days""",
                n=pl.col("at_risk").max(),
                chart=charts.curve,
                has_table=False,
            ),
            Figure(
                f"""select days, cause, at_risk, share, ci_low, ci_high
from metric.incidence
where at_risk >= {_MIN_AT_RISK}
order by days, cause""",
                n=pl.col("at_risk").max(),
                chart=charts.incidence,
                has_table=False,
            ),
        ),
    ),
    Section(
        "segments",
        (
            Figure(
                f"""select
    "by", "value", teams, moved, at_risk, share, ci_low, ci_high,
    (select share from metric.headline where is_headline) as headline_share
from metric.conversion
where
    population = 'nsm' and "by" not in ('all', 'week') and not is_suppressed
    and horizon_days = {_HORIZON}
order by list_position({_ORDER}, "by"), "by", teams desc, "value" """.rstrip(),
                n=pl.col("teams").sum(),
                chart=charts.segments,
                hidden=("headline_share",),
            ),
            Figure(
                f"""with groups as (
    select population, "by", "value", teams
    from metric.conversion
    where
        population = 'nsm' and "by" not in ('all', 'week') and not is_suppressed
        and horizon_days = {_HORIZON}
    qualify row_number() over (partition by "by" order by teams desc, "value") <= 9
)
select "by", "value", teams, days, at_risk, share, ci_low, ci_high
from metric.curve
join groups using (population, "by", "value")
where at_risk >= {_MIN_AT_RISK}
order by list_position({_ORDER}, "by"), "by", teams desc, "value", days""",
                n=pl.col("teams").filter(pl.col("value").is_first_distinct()).sum(),
                chart=charts.curves,
                has_table=False,
            ),
        ),
        choose="by",
    ),
    Section(
        "naive",
        (
            Figure(
                """select name, 'error_' || name as error, numerator, denominator, share, gap, headline_share
from metric.naive_gap
order by share desc""",
                n=pl.col("denominator").max(),
                chart=charts.naive,
                hidden=("headline_share",),
            ),
        ),
    ),
    Section(
        "friction",
        (
            Figure(
                """select
    limit_name, cycles_bound, cycles_unbound, odds_ratio, ci_low, ci_high, crude_odds_ratio,
    warning, blocked_days_per_cycle, upgraded, churned, off_plan, converted, label
from metric.quota_friction
order by limit_name = 'any', limit_name""",
                n=(pl.col("cycles_bound") + pl.col("cycles_unbound")).max(),
                unit="cycles",
                chart=charts.quota_friction,
            ),
        ),
    ),
    Section(
        "models",
        (
            Figure(
                """select kind, exposure, teams_with, teams_without, odds_ratio, ci_low, ci_high, p_adjusted, label
from metric.model_mix_retention
qualify odds_ratio is not null or row_number() over (partition by kind order by teams_with desc) <= 3
order by kind = 'breadth', kind, teams_with desc, exposure""",
                n=(pl.col("teams_with") + pl.col("teams_without")).max(),
                chart=charts.model_mix,
            ),
        ),
        choose="kind",
    ),
    Section(
        "tasks",
        (
            Figure(
                """select
    task, share_of_requests, teams_with, share_with, teams_without, share_without,
    difference, ci_low, ci_high, label
from metric.task_conversion
order by difference desc nulls last, task""",
                n=(pl.col("teams_with") + pl.col("teams_without")).max(),
                chart=charts.tasks,
            ),
        ),
    ),
    Section(
        "renewals",
        (
            Figure(
                """select
    "plan", cycle_number, at_risk, renewal_share, renewal_ci_low, renewal_ci_high,
    retained, retained_ci_low, retained_ci_high, label
from metric.plan_retention
order by "plan", cycle_number""",
                n=pl.col("at_risk").max(),
                chart=charts.renewals,
            ),
        ),
    ),
    Section(
        "workloads",
        (
            Figure(
                """select day, teams, share, ci_low, ci_high, median_net_cny, median_families, label
from metric.workload_retention
order by day""",
                n=pl.col("teams").max(),
                chart=charts.workload_retention,
            ),
        ),
    ),
    Section(
        "quadrants",
        (
            Figure(
                """select
    cohort, quadrant, teams, of_teams, share, ci_low, ci_high, median_utilisation,
    drift, drift_ci_low, drift_ci_high, label
from metric.quadrants
order by cohort desc, quadrant""",
                n=pl.col("of_teams").max(),
                chart=charts.quadrants,
            ),
        ),
    ),
    Section(
        "maximisers",
        (
            Figure(
                """select "plan", of_teams, maximisers, share, ci_low, ci_high, plan_net_cny, inference_cny, label
from metric.quota_maximisers
order by "plan" """.rstrip(),
                n=pl.col("of_teams").max(),
            ),
        ),
    ),
    Section(
        "economics",
        (
            Figure(
                """select
    "by", "value", clock, teams, contribution_per_team_month, subsidy_per_team,
    value_per_converted_team, p_star_low, p_star_high,
    conversion, conversion_ci_low, conversion_ci_high, payback_month, verdict, label
from metric.unit_economics
order by "by", "value" """.rstrip(),
                n=pl.col("teams").max(),
                chart=charts.economics,
            ),
        ),
    ),
    Section(
        "scenarios",
        (
            Figure(
                """select
    chip, chip_hours, scenario_cny, list_price_cny, ratio_to_list, subsidy_per_team,
    p_star_low, p_star_high, teams, label
from metric.cost_scenarios
order by chip""",
                n=pl.col("teams").max(),
            ),
        ),
    ),
    Section(
        "trap",
        (
            Figure(
                """select week_on, active_teams, trap_index, ci_low, ci_high, cost_slope, margin_slope,
    is_alert, is_certain, label
from metric.trap_index
order by week_on desc""",
                n=pl.col("active_teams").max(),
                chart=charts.trap,
            ),
        ),
    ),
    Section(
        "incrementality",
        (
            Figure(
                """select
    experiment, arm, teams, moved, control_teams, control_moved, itt, itt_ci_low, itt_ci_high,
    wald, wald_ci_low, wald_ci_high, iota, iota_ci_low, iota_ci_high, label
from metric.incrementality
order by experiment, arm""",
                n=(pl.col("teams") + pl.col("control_teams")).sum(),
                chart=charts.incrementality,
            ),
        ),
    ),
    Section(
        "matched",
        (
            Figure(
                """select
    "by", "value", subscribers, matched as teams, moved, share, control_share,
    difference, ci_low, ci_high, iota, iota_ci_low, iota_ci_high, e_value, label
from metric.matched_controls
order by "by", "value" """.rstrip(),
                n=pl.col("teams").max(),
                chart=charts.matched,
            ),
        ),
    ),
    Section(
        "channels",
        (
            Figure(
                """select
    channel, teams, moved, sustained, sustained_share, ci_low, ci_high, cost_cny,
    cost_per_incremental_cny, cost_ci_low, cost_ci_high, experiment, iota_low, iota_high, label
from metric.channels
order by channel <> 'plan', channel""",
                n=pl.col("teams").max(),
                chart=charts.channels,
            ),
        ),
    ),
    Section(
        "experiments",
        (
            Figure(
                """select
    experiment, arm, assigned, control_assigned, srm_p, teams, control_teams,
    difference, ci_low, ci_high, renewal_difference, renewal_ci_low, renewal_ci_high,
    blocked_difference, blocked_ci_low, blocked_ci_high,
    margin_difference, margin_ci_low, margin_ci_high, teams_needed, verdict, label
from metric.experiments
order by experiment, arm""",
                n=(pl.col("teams") + pl.col("control_teams")).sum(),
                chart=charts.experiments,
            ),
        ),
    ),
    Section(
        "decisions",
        (
            Figure(
                """select
    name, number, ci_low, ci_high, teams, side, threshold, failed_gates, teams_needed,
    verdict, todo, label
from metric.decisions
order by verdict, name""",
                n=pl.len(),
                unit="decisions",
            ),
            Figure(
                """select
    week_on, name, number, before_as_of, before_number, before_ci_low, before_ci_high,
    "change", is_within_before, before_verdict, check_of_before
from ops.decisions
where week_on = (select max(week_on) from ops.decisions)
order by name""",
                n=pl.len(),
                unit="decisions",
            ),
        ),
    ),
    Section(
        "series",
        (
            Figure(
                f"""select week_on, definition, version, is_current, teams, moved, share, ci_low, ci_high
from metric.definition_series
where horizon_days = {_HORIZON}
order by is_current desc, definition, week_on desc""",
                n=pl.col("teams").filter(pl.col("is_current")).sum(),
                chart=charts.series,
                hidden=("version",),
            ),
        ),
    ),
    Section(
        "grid",
        (
            Figure(
                f"""with near as (
    from metric.definition_grid where horizon_days = {_HORIZON} and fields_changed <= 1
),
base as (
    from near where fields_changed = 0
),
one_changed as (
    select 'floor_cny' as parameter, near.qualifying_floor_cny::double as "value", near.*
    from near semi join base using (qualifying_billable_days, habit_active_days)
    union all
    select 'billable_days', near.qualifying_billable_days, near.*
    from near semi join base using (qualifying_floor_cny, habit_active_days)
    union all
    select 'habit_active_days', near.habit_active_days, near.*
    from near semi join base using (qualifying_floor_cny, qualifying_billable_days)
)
select
    parameter, "value", fields_changed = 0 as is_base, definition, teams, moved, share, ci_low,
    ci_high
from one_changed
order by parameter, 2""",
                n=pl.col("teams").max(),
                chart=charts.grid,
            ),
        ),
    ),
    Section(
        "links",
        (
            Figure(
                """select
    integrated_teams, linked_teams, linked_share, unlinked_workload_cny,
    share_if_none_unlinked_moved, share_if_all_unlinked_moved
from metric.link_coverage""",
                n=pl.col("integrated_teams").sum(),
            ),
        ),
    ),
    Section(
        "restated",
        (
            Figure(
                """select week_on, horizon_days, latest_teams as teams, first_share, latest_share, difference, cause
from ops.restatements
where difference <> 0
order by abs(difference) desc
limit 12""",
                n=pl.len(),
                unit="cohorts",
            ),
        ),
    ),
    Section(
        "quality",
        (
            Figure(
                """select
    family, count(*) as files, sum(rows_read)::bigint as rows_read,
    sum(accepted)::bigint as accepted, sum(rejected)::bigint as rejected,
    sum(superseded)::bigint as superseded, sum(duplicate)::bigint as duplicate
from ops.files
group by family
order by family""",
                n=pl.col("rows_read").sum(),
                unit="rows",
            ),
        ),
    ),
)
