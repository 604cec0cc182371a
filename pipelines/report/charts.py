"""Charts: one pure function a chart, a frame in, an Altair chart out; and its SVG or PNG.

Belongs here: marks, scales and colours. The report and the asset pages of Dagster draw the same.
Does not belong here: what a number is (sql/metric), where a chart stands (page.py), words
(text.py: `say` turns a name into the label of the page's language).

Colours are Okabe and Ito's, safe for the colour-blind; shape or position says the same again. A
hollow mark is a value labelled immature. `tip` is what a mark says under the pointer: its place and
its value with the interval, in the page's language.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import altair as alt
import polars as pl
import vl_convert as vlc
from altair.utils.schemapi import debug_mode

Say = Callable[[str], str]
INK, DIM, LINE, PAPER = "#1a1a1a", "#595959", "#d9d9d9", "#fefefe"
BLUE, ORANGE, GREEN, SKY, AMBER, PURPLE = (
    "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00", "#cc79a7",
)  # fmt: skip
# Figures on a bar: on the deep colours, on the light ones, on grey.
LIGHT, DARK = "#fdfdfd", "#101010"
_ON = {BLUE: LIGHT, ORANGE: LIGHT, GREEN: LIGHT, PURPLE: DARK, AMBER: DARK, SKY: DARK, LINE: INK}
WIDTH = 440
_FONT = "system-ui, 'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif"
# Texts are measured in a font that opens fast: naming the Chinese one costs 2/3 of a chart's time.
_MEASURED = "sans-serif"
_ROW = 26


def prints(rows: pl.DataFrame, say: Say) -> Any:
    """Share of the closed cohorts at each print, a line a definition.

    rows: printed_at, definition, teams, share, ci_low, ci_high, newest first.
    """
    return _by_definition(rows, "printed_at", say, height=150)


def series(rows: pl.DataFrame, say: Say) -> Any:
    """Share moved of each week's cohort, a line a definition.

    rows: week_on, definition, teams, share, ci_low, ci_high, the definition in force first.
    """
    return _by_definition(rows.filter(pl.col("share").is_not_null()), "week_on", say, height=210)


def funnel(rows: pl.DataFrame, say: Say) -> Any:
    """Teams that got to each step, with the share of the step before. rows: step, teams, share_of_before."""
    order = [say(s) for s in rows["step"]]
    shown = rows.select(
        "teams",
        step=pl.col("step").map_elements(say, pl.String),
        said=pl.format(
            "{}{}", _count(pl.col("teams")), _percent_of_before(pl.col("share_of_before"))
        ),
    ).with_columns(tip=pl.format("{} · {}", "step", "said"))
    base = alt.Chart(shown).encode(
        y=alt.Y("step:N", sort=order, title=None), description=alt.Description("tip:N")
    )
    wide = alt.Scale(domain=[0, 1.4 * max([1, *shown["teams"]])])
    bar = base.mark_bar(color=BLUE).encode(
        x=alt.X("teams:Q", title=say("teams"), axis=_FEW, scale=wide)
    )
    said = base.mark_text(align="left", dx=5, color=INK).encode(
        x=alt.X("teams:Q"), text=alt.Text("said:N")
    )
    return _finish(alt.layer(bar, said), height=_ROW * rows.height)


def outcomes(rows: pl.DataFrame, say: Say) -> Any:
    """Three outcomes by horizon. rows: horizon_days, converted, not_converted, open."""
    names = ["converted", "not_converted", "open"]
    long = rows.select("horizon_days", *names).unpivot(
        names, index="horizon_days", variable_name="outcome", value_name="teams"
    )
    colours = {"converted": BLUE, "not_converted": AMBER, "open": LINE}
    return _stacked(long, "horizon_days", "outcome", "teams", colours, say, is_share=False)


def curve(rows: pl.DataFrame, say: Say) -> Any:
    """Share moved by day with its band, and the teams at risk below it.

    rows: days, at_risk, share, ci_low, ci_high, in the order of days.
    """
    end = int(rows["days"].max())  # type: ignore[arg-type]  # days are whole
    every = 30 if end <= 200 else 60
    x = alt.X(
        "days:Q",
        title=None,
        scale=alt.Scale(domain=[0, end], nice=False),
        axis=alt.Axis(values=list(range(0, end + 1, every))),
    )
    band, line = _step(alt.Chart(rows.select("days", "share", "ci_low", "ci_high")), x, say)
    tips = _tips(
        _on_grid(rows),
        lambda r: (f"{say('days')} {r['days']}", _estimate(r), _n(say("at_risk"), r["at_risk"])),
    )
    risk = rows.select("days", "at_risk")
    ticks = pl.DataFrame({"days": range(0, end + 1, every)})
    at = ticks.join_asof(
        risk.with_columns(pl.col("days").cast(ticks.schema["days"])), on="days", strategy="forward"
    ).with_columns(said=_count(pl.col("at_risk")))
    counts = (
        alt.Chart(at)
        .mark_text(color=DIM, baseline="middle")
        .encode(
            x=alt.X("days:Q", title=f"{say('days')} · {say('at_risk_below')}", axis=None,
                    scale=alt.Scale(domain=[0, end], nice=False)),
            text=alt.Text("said:N"),
        )
        .properties(width=WIDTH - 50, height=18, title=alt.Title(
            f"{say('days')} · {say('at_risk_below')}", anchor="middle", color=DIM,
            fontWeight="normal", fontSize=12, offset=2, orient="bottom"))
    )  # fmt: skip
    upper = alt.layer(band, line, _hover(tips, x)).properties(width=WIDTH - 50, height=214)
    return alt.vconcat(upper, counts, spacing=4)


def incidence(rows: pl.DataFrame, say: Say) -> Any:
    """Share moved on the plan and after it ended. rows: days, cause, share, ci_low, ci_high."""
    causes, colours = ["on_plan", "after_churn"], [BLUE, AMBER]
    shown = rows.with_columns(cause=pl.col("cause").map_elements(say, pl.String))
    colour = _colour("cause", [say(c) for c in causes], colours)
    x = alt.X("days:Q", title=say("days"), axis=alt.Axis(tickCount=6))
    base = alt.Chart(shown.select("days", "cause", "share", "ci_low", "ci_high")).encode(
        x=x, color=colour
    )
    at = [_on_grid(part) for part in shown.partition_by("cause", maintain_order=True)]
    said = _tips(pl.concat(at), lambda r: (f"{r['cause']} {_estimate(r)}",))
    tips = _tips(
        said.group_by("days", maintain_order=True).agg("tip"),
        lambda r: (f"{say('days')} {r['days']}", *r["tip"]),
    )
    y = alt.Y("share:Q", title=say("share"), axis=_PERCENT)
    band = base.mark_area(opacity=0.2, interpolate="step-after").encode(
        y=alt.Y("ci_low:Q", title=""), y2=alt.Y2("ci_high:Q")
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=1.6).encode(
        y=y,
        strokeDash=alt.StrokeDash(
            "cause:N", scale=alt.Scale(domain=[say(c) for c in causes]), legend=None
        ),
    )
    return _finish(alt.layer(band, line, _hover(tips, x)), height=190)


def curves(rows: pl.DataFrame, say: Say) -> Any:
    """One small curve a group, all on the same axes.

    rows: value, teams, days, share, ci_low, ci_high; a group is named with its n.
    """
    shown = rows.select(
        "days", "share", "ci_low", "ci_high",
        value=_named("value", "teams", say, longest=18),
    )  # fmt: skip
    x = alt.X("days:Q", title=say("horizon_days"), axis=alt.Axis(tickCount=3))
    base = alt.Chart(shown)
    band, line = _step(base, x, say)
    return (
        alt.layer(band, line)
        .properties(width=108, height=78)
        .facet(facet=alt.Facet("value:N", title=None, sort=None), columns=3, spacing=14)
    )


def segments(rows: pl.DataFrame, say: Say) -> Any:
    """Share and interval a group. rows: value, teams, share, ci_low, ci_high, headline_share."""
    return _forest(rows, "value", "teams", "share", say, reference="headline_share")


def naive(rows: pl.DataFrame, say: Say) -> Any:
    """Naive shares as bars, the truth as a rule. rows: name, share, denominator, headline_share."""
    shown = rows.filter(pl.col("share").is_not_null()).select(
        "share", "headline_share",
        name=_named("name", "denominator", say),
        said=pl.format("{}%", (pl.col("share") * 100).round(1)),
    ).with_columns(tip=pl.format("{} · {}", "name", "said"))  # fmt: skip
    base = alt.Chart(shown).encode(description=alt.Description("tip:N"))
    y = alt.Y("name:N", title=None, sort=alt.EncodingSortField("share", order="descending"))
    wide = alt.Scale(domain=[0, 1.15 * max([0.01, *shown["share"]])])
    x = alt.X("share:Q", title=say("share"), axis=_PERCENT, scale=wide)
    bar = base.mark_bar(color=ORANGE, height=14).encode(x=x, y=y)
    said = base.mark_text(align="left", dx=4, color=INK).encode(x=x, y=y, text=alt.Text("said:N"))
    rule = (
        alt.Chart(shown)
        .mark_rule(color=BLUE, size=2, aria=False)
        .encode(x=alt.X("max(headline_share):Q"))
    )
    return _finish(alt.layer(bar, said, rule), height=_ROW * shown.height)


def quota_friction(rows: pl.DataFrame, say: Say) -> Any:
    """Odds of not renewing by limit. rows: limit_name, cycles_bound, odds_ratio, ci_low, ci_high."""
    return _forest(rows, "limit_name", "cycles_bound", "odds_ratio", say, at=1.0, form=_ratio)


def model_mix(rows: pl.DataFrame, say: Say) -> Any:
    """Odds of renewing by exposure. rows: exposure, teams_with, odds_ratio, ci_low, ci_high."""
    return _forest(rows, "exposure", "teams_with", "odds_ratio", say, at=1.0, form=_ratio)


def tasks(rows: pl.DataFrame, say: Say) -> Any:
    """Difference of the shares that moved. rows: task, teams_with, difference, ci_low, ci_high."""
    return _forest(rows, "task", "teams_with", "difference", say, at=0.0)


def renewals(rows: pl.DataFrame, say: Say) -> Any:
    """Share that goes on after each cycle. rows: plan, cycle_number, retained and its limits."""
    plans = [say(p) for p in rows["plan"].unique(maintain_order=True)]
    shown = _tips(
        rows.with_columns(plan=pl.col("plan").map_elements(say, pl.String)),
        lambda r: (
            f"{r['plan']}, {say('cycle_number')} {r['cycle_number']}",
            _estimate(r, "retained", "retained_ci_low", "retained_ci_high"),
            _n(say("at_risk"), r["at_risk"]),
        ),
    )
    base = alt.Chart(shown).encode(
        description=alt.Description("tip:N"),
        x=alt.X("cycle_number:O", title=say("cycle_number"), axis=alt.Axis(labelAngle=0)),
        color=_colour("plan", plans, [BLUE, AMBER, GREEN, PURPLE, SKY]),
    )
    y = alt.Y("retained:Q", title=say("retained"), axis=_PERCENT, scale=alt.Scale(domain=[0, 1]))
    line = base.mark_line().encode(
        y=y,
        strokeDash=alt.StrokeDash(
            "plan:N", scale=alt.Scale(domain=plans), title=None, legend=alt.Legend(orient="top")
        ),
    )
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        y=y,
        shape=alt.Shape(
            "plan:N", scale=alt.Scale(domain=plans), title=None, legend=alt.Legend(orient="top")
        ),
    )
    return _finish(alt.layer(line, dots), height=210)


def workload_retention(rows: pl.DataFrame, say: Say) -> Any:
    """Share of moved workloads still there. rows: day, teams, share, ci_low, ci_high."""
    named = rows.with_columns(day=pl.format("W + {}", pl.col("day")))
    return _forest(named, "day", "teams", "share", say)


def quadrants(rows: pl.DataFrame, say: Say) -> Any:
    """Shares of the quadrants by month of T0. rows: cohort, quadrant, share, of_teams."""
    months = rows.filter(pl.col("cohort") != "all").with_columns(
        cohort=pl.format("{} · n {}", pl.col("cohort"), _count(pl.col("of_teams")))
    )
    colours = {"builders": BLUE, "efficient_movers": SKY, "tourists": ORANGE,
               "dormant": LINE, "unknown_quota": PURPLE}  # fmt: skip
    return _stacked(months, "cohort", "quadrant", "share", colours, say, is_share=True)


def economics(rows: pl.DataFrame, say: Say) -> Any:
    """Break-even conversion (bar, iota .9 to .2) against the conversion there is (dot, interval).

    rows: by, value, teams, p_star_low, p_star_high, conversion and its limits.
    """
    shown = _tips(
        rows.with_columns(group=_named("value", "teams", say)),
        lambda r: (
            r["group"],
            f"p* {_percent(r['p_star_low'])} – {_percent(r['p_star_high'])}",
            f"{say('conversion')} {_estimate(r, 'conversion', 'conversion_ci_low', 'conversion_ci_high')}",
        ),
    ).with_columns(
        p_star_high=pl.min_horizontal("p_star_high", pl.lit(1.0)),
        p_star_low=pl.min_horizontal("p_star_low", pl.lit(1.0)),
    )
    base = alt.Chart(shown).encode(description=alt.Description("tip:N"))
    y = alt.Y("group:N", title=None, sort=shown["group"].to_list())
    needed = base.mark_bar(color=AMBER, height=12, opacity=0.75).encode(
        x=alt.X("p_star_low:Q", title=say("needed_or_there"), axis=_PERCENT),
        x2=alt.X2("p_star_high:Q"),
        y=y,
    )
    there = base.mark_rule(color=INK).encode(
        x=alt.X("conversion_ci_low:Q"), x2=alt.X2("conversion_ci_high:Q"), y=y
    )
    dots = base.mark_point(color=INK, filled=True, size=50).encode(x=alt.X("conversion:Q"), y=y)
    return _finish(alt.layer(needed, there, dots), height=_ROW * shown.height)


def trap(rows: pl.DataFrame, say: Say) -> Any:
    """The index by week with its band; alerts stand out. rows: week_on, trap_index, limits, is_alert."""
    known = rows.filter(pl.col("trap_index").is_not_null())
    base = alt.Chart(known.select("week_on", "trap_index", "ci_low", "ci_high", "is_alert"))
    tips = _tips(
        known,
        lambda r: (
            f"{say('week_on')} {r['week_on']}",
            _estimate(r, "trap_index", form=_ratio),
            _n(say("active_teams"), r["active_teams"]),
        ),
    )
    x = alt.X("week_on:T", title=say("week_on"), axis=_MONTHS)
    y = alt.Y("trap_index:Q", title=say("trap_index"))
    band = base.mark_area(opacity=0.2, color=BLUE).encode(
        x=x, y=alt.Y("ci_low:Q", title=""), y2=alt.Y2("ci_high:Q")
    )
    line = base.mark_line(color=BLUE).encode(x=x, y=y)
    zero = base.mark_rule(color=INK, strokeDash=[4, 3], aria=False).encode(y=alt.datum(0))
    alerts = base.transform_filter("datum.is_alert").mark_point(
        color=ORANGE, filled=True, shape="triangle-up", size=80, opacity=1, aria=False
    ).encode(x=x, y=y)  # fmt: skip
    return _finish(alt.layer(zero, band, line, alerts, _hover(tips, x)), height=200)


def incrementality(rows: pl.DataFrame, say: Say) -> Any:
    """Intention to treat by arm. rows: experiment, arm, teams, itt, itt_ci_low, itt_ci_high."""
    named = rows.select(
        "teams", "label", group=pl.format("{}: {}", "experiment", "arm"),
        itt="itt", ci_low="itt_ci_low", ci_high="itt_ci_high",
    )  # fmt: skip
    return _forest(named, "group", "teams", "itt", say, at=0.0)


def experiments(rows: pl.DataFrame, say: Say) -> Any:
    """Effect by arm with its confidence sequence. rows: experiment, arm, teams, difference, limits."""
    named = rows.with_columns(group=pl.format("{}: {}", "experiment", "arm"))
    return _forest(named, "group", "teams", "difference", say, at=0.0)


def matched(rows: pl.DataFrame, say: Say) -> Any:
    """Difference to matched accounts. rows: by, value, teams, difference, ci_low, ci_high."""
    named = rows.with_columns(
        group=pl.format(
            "{}: {}", *(pl.col(c).map_elements(say, pl.String) for c in ("by", "value"))
        )
    )
    return _forest(named, "group", "teams", "difference", say, at=0.0)


def channels(rows: pl.DataFrame, say: Say) -> Any:
    """Cost of an incremental sustained team by channel.

    rows: channel, teams, cost_per_incremental_cny (null without an experiment), its limits, label.
    """
    named = rows.select(
        "channel", "teams", "label", "cost_per_incremental_cny",
        ci_low="cost_ci_low", ci_high="cost_ci_high",
    )  # fmt: skip
    return _forest(named, "channel", "teams", "cost_per_incremental_cny", say, form=_money)


def grid(rows: pl.DataFrame, say: Say) -> Any:
    """The headline under other definitions. rows: parameter, value, teams, share, limits, is_base."""
    base = rows.filter("is_base")["share"]
    named = rows.with_columns(
        group=pl.format(
            "{} {}",
            pl.col("parameter").map_elements(say, pl.String),
            pl.col("value").map_elements(lambda v: f"{v:g}", pl.String),
        ),
        base_share=pl.lit(base[0] if base.len() else None, pl.Float64),
    )
    return _forest(named, "group", "teams", "share", say, reference="base_share")


_PERCENT = alt.Axis(format="%", tickCount=5)
_FEW = alt.Axis(tickCount=4, format="~s")
# Months and days as numbers: a page in Chinese names no month in English.
_MONTHS = alt.Axis(format="%Y-%m", tickCount=6, labelOverlap=True)
_DATES = alt.Axis(format="%Y-%m-%d", tickCount=3, labelOverlap=True)
_HOVER_DAYS = 5
Form = Callable[[float | None], str]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


_AXES: dict[Form, Any] = {_percent: _PERCENT, _money: _FEW}


def _estimate(
    row: dict[str, Any], value: str = "share", low: str = "ci_low", high: str = "ci_high",
    form: Form = _percent,
) -> str:  # fmt: skip
    """A value with its interval, as the page's tables show it."""
    return f"{form(row[value])} [{form(row[low])}, {form(row[high])}]"


def _n(word: str, n: float) -> str:
    return f"{word} {n:,.0f}"


def _tips(rows: pl.DataFrame, parts: Callable[[dict[str, Any]], Sequence[str]]) -> pl.DataFrame:
    """The rows with `tip`: what the row's mark says."""
    said = [" · ".join(parts(row)) for row in rows.iter_rows(named=True)]
    return rows.with_columns(tip=pl.Series(said, dtype=pl.String))


def _on_grid(rows: pl.DataFrame) -> pl.DataFrame:
    """A step function of days at every fifth day up to its last."""
    last = int(rows["days"].max() or 0)  # type: ignore[arg-type]  # days are whole
    days = pl.Series("days", range(0, last + 1, _HOVER_DAYS), dtype=rows.schema["days"])
    return days.to_frame().join_asof(rows, on="days", strategy="backward").drop_nulls("share")


def _hover(tips: pl.DataFrame, x: Any) -> Any:
    """Invisible rules that say a line's values below them, as wide as their distance."""
    name = str(x.shorthand).partition(":")[0]
    wide = WIDTH / max(tips.height, 1)
    rule = alt.Chart(tips.select(name, "tip")).mark_rule(opacity=0, strokeWidth=wide)
    return rule.encode(x=x, description=alt.Description("tip:N"))


def _by_definition(rows: pl.DataFrame, at: str, say: Say, *, height: int) -> Any:
    """Shares with their intervals over time; definitions differ by colour, dash and shape."""
    named = list(dict.fromkeys(rows["definition"].to_list()))
    word = say("published_at" if at == "printed_at" else at)
    shown = _tips(
        rows.select(at, "definition", "teams", "share", "ci_low", "ci_high"),
        lambda r: (f"{word} {r[at]:%Y-%m-%d}", _estimate(r), _n("n", r["teams"]), r["definition"]),
    ).drop("teams")
    one = len(named) == 1
    # Definitions beyond the palette share its last colour and are told by their tips.
    colours = [BLUE, AMBER, GREEN, PURPLE, SKY][: len(named)]
    colours += [SKY] * (len(named) - len(colours))
    scale = alt.Scale(domain=named)
    legend = None if one else alt.Legend(orient="top")
    base = alt.Chart(shown).encode(
        x=alt.X(f"{at}:T", title=word, axis=_DATES if at == "printed_at" else _MONTHS),
        color=alt.Color(
            "definition:N", title=None, legend=legend, scale=alt.Scale(domain=named, range=colours)
        ),
        description=alt.Description("tip:N"),
    )
    y = alt.Y("share:Q", title=say("share"), axis=_PERCENT, scale=alt.Scale(zero=True))
    bar = base.mark_rule(opacity=0.45).encode(y=alt.Y("ci_low:Q", title=""), y2=alt.Y2("ci_high:Q"))
    line = base.mark_line(strokeWidth=1.6).encode(
        y=y, strokeDash=alt.StrokeDash("definition:N", scale=scale, legend=legend, title=None)
    )
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        y=y, shape=alt.Shape("definition:N", scale=scale, legend=legend, title=None)
    )
    return _finish(alt.layer(bar, line, dots), height=height)


def _step(base: Any, x: Any, say: Say) -> tuple[Any, Any]:
    """Band and line of a step function of days."""
    y = alt.Y("share:Q", title=say("share"), axis=_PERCENT)
    band = base.mark_area(opacity=0.2, color=BLUE, interpolate="step-after")
    line = base.mark_line(color=BLUE, interpolate="step-after", strokeWidth=1.6)
    low = alt.Y("ci_low:Q", title=say("share"))
    return band.encode(x=x, y=low, y2=alt.Y2("ci_high:Q")), line.encode(x=x, y=y)


def _forest(
    rows: pl.DataFrame,
    name: str,
    n: str,
    value: str,
    say: Say,
    *,
    at: float | None = None,
    reference: str | None = None,
    form: Form = _percent,
) -> Any:
    """A dot with its interval a row, in the order of the rows; a rule `at` or at the reference.

    Ratios stand on a log scale, cut to 1/16 .. 16: beyond that an interval says only "unknown".
    """
    reach, axis = 16.0, _AXES.get(form)
    known = rows.filter(pl.col("ci_low").is_not_null() | pl.col(value).is_not_null())
    shown = _tips(
        known.with_columns(label_said=_named(name, n, say, longest=200)),
        lambda r: (r["label_said"], _estimate(r, value, form=form)),
    ).select(
        "tip",
        label=_named(name, n, say),
        middle=pl.col(value),
        ci_low=pl.col("ci_low").fill_null(0.0),
        ci_high=pl.col("ci_high"),
        is_firm=(pl.col("label") != "immature") if "label" in rows.columns else pl.lit(True),
        reference=pl.col(reference) if reference else pl.lit(at, pl.Float64),
    )
    scale: Any = alt.Undefined
    if form is _ratio:
        limits = [pl.col(c).clip(1 / reach, reach) for c in ("middle", "ci_low", "ci_high")]
        shown = shown.with_columns(limits)
        most = max([1.5, *(abs(math.log(v)) for v in _known(shown, "ci_low", "ci_high"))])
        scale = alt.Scale(type="log", domain=[math.exp(-most), math.exp(most)])
        axis = alt.Axis(format="~g", values=[1 / 16, 0.25, 0.5, 1, 2, 4, 16])
    base = alt.Chart(shown)
    x = alt.X("ci_low:Q", title=say(value), axis=axis, scale=scale)
    y = alt.Y("label:N", title=None, sort=shown["label"].to_list())
    layers = [
        base.mark_rule(color=BLUE).encode(
            x=x, x2=alt.X2("ci_high:Q"), y=y, description=alt.Description("tip:N")
        )
    ]
    if reference or at is not None:
        rule = base.mark_rule(color=DIM, strokeDash=[4, 3], aria=False)
        layers.insert(0, rule.encode(x=alt.X("max(reference):Q", title=say(value), scale=scale)))
    dot = base.mark_point(color=BLUE, size=55, opacity=1, strokeWidth=1.5)
    fill = alt.condition("datum.is_firm", alt.value(BLUE), alt.value(PAPER))
    layers.append(
        dot.encode(
            x=alt.X("middle:Q", scale=scale, title=""),
            y=y,
            fill=fill,
            description=alt.Description("tip:N"),
        )
    )
    return _finish(alt.layer(*layers), height=_ROW * max(shown.height, 1))


def _stacked(
    rows: pl.DataFrame,
    group: str,
    part: str,
    value: str,
    colours: dict[str, str],
    say: Say,
    *,
    is_share: bool,
) -> Any:
    """Bars of parts that make a whole, a row a group; a part over 7 % carries its number."""
    parts = [p for p in colours if p in set(rows[part])]
    whole = pl.col("size").sum().over(group)
    shown = (
        rows.select(group, part, size=pl.col(value))
        .with_columns(
            rank=pl.col(part).replace_strict(parts, list(range(len(parts))), default=len(parts)),
        )
        .sort(group, "rank")
        .with_columns(end=pl.col("size").cum_sum().over(group))
        .with_columns(
            middle=pl.col("end") - pl.col("size") / 2,
            said=pl.when(pl.col("size") > 0.07 * whole).then(
                pl.format("{}%", (pl.col("size") * 100).round(0).cast(pl.Int64)) if is_share else _count(pl.col("size"))
            ).otherwise(pl.lit("")),
            part=pl.col(part).map_elements(say, pl.String),
        )
    )  # fmt: skip
    shown = _tips(
        shown,
        lambda r: (
            str(r[group]) if is_share else f"{say(group)} {r[group]}",
            f"{r['part']} {_percent(r['size']) if is_share else _money(r['size'])}",
        ),
    )
    base = alt.Chart(shown).encode(
        y=alt.Y(f"{group}:N", title=None, sort=None), description=alt.Description("tip:N")
    )
    if not is_share:
        base = base.encode(y=alt.Y(f"{group}:N", title=say(group), sort=None))
    bar = base.mark_bar(stroke=PAPER, height=18).encode(
        x=alt.X("size:Q", title=say(value), axis=_PERCENT if is_share else _FEW),
        color=_colour("part", [say(p) for p in parts], [colours[p] for p in parts]),
        order=alt.Order("rank:Q"),
    )
    said = base.mark_text(fontSize=11).encode(
        x=alt.X("middle:Q", title=""),
        text=alt.Text("said:N"),
        color=alt.Color(
            "part:N",
            scale=alt.Scale(domain=[say(p) for p in parts], range=[_ON[colours[p]] for p in parts]),
            legend=None,
        ),
    )
    layers = alt.layer(bar, said).resolve_scale(color="independent")
    return _finish(layers, height=_ROW * rows[group].n_unique())


def _colour(field: str, domain: Sequence[str], colours: Sequence[str]) -> Any:
    scale = alt.Scale(domain=list(domain), range=list(colours)[: len(domain)])
    return alt.Color(f"{field}:N", scale=scale, title=None, legend=alt.Legend(orient="top"))


def _named(name: str, n: str, say: Say, longest: int = 30) -> pl.Expr:
    """A group with its n. A long name is cut here: the renderer's own limits measure each text."""
    named = pl.col(name).cast(pl.String).map_elements(say, pl.String)
    cut = pl.when(named.str.len_chars() > longest).then(
        pl.format("{}…", named.str.head(longest - 1))
    ).otherwise(named)  # fmt: skip
    return pl.format("{} · n {}", cut, _count(pl.col(n)))


def _count(column: pl.Expr) -> pl.Expr:
    return column.map_elements(lambda n: f"{n:,.0f}", pl.String)


def _percent_of_before(column: pl.Expr) -> pl.Expr:
    return column.map_elements(
        lambda s: "" if s is None else f" ({s:.0%})", pl.String, skip_nulls=False
    )


def _known(rows: pl.DataFrame, *columns: str) -> list[float]:
    return [v for c in columns for v in rows[c].to_list() if v is not None]


def _finish(chart: Any, height: int) -> Any:
    return chart.properties(width=WIDTH, height=height, autosize=alt.AutoSizeParams(type="fit-x"))


# One plain dictionary: set through Altair it would copy every chart six times.
_CONFIG = {
    "font": _MEASURED,
    # Room for a reader whose font is wider than the measured one.
    "padding": {"left": 14, "top": 5, "right": 5, "bottom": 5},
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": DIM, "gridColor": LINE, "domainColor": LINE,
        "tickColor": LINE, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "labelLimit": 0,
    },
    "header": {"labelColor": INK, "labelFontSize": 11, "labelLimit": 0, "titleColor": INK},
    "legend": {"labelColor": INK, "labelFontSize": 12, "symbolOpacity": 1, "columnPadding": 20},
    "text": {"fontSize": 12, "aria": False},
    "line": {"aria": False},
    "area": {"aria": False},
}  # fmt: skip
_VARIABLES = {
    INK: "ink", DIM: "dim", LINE: "line", PAPER: "paper", BLUE: "blue", ORANGE: "orange",
    LIGHT: "on", GREEN: "green", SKY: "sky", AMBER: "amber", PURPLE: "purple",
}  # fmt: skip
_COLOUR = re.compile("|".join(_VARIABLES))
# What the page's style sheet says already, or what draws nothing.
_IDLE = re.compile(
    r'<path class="(?:background|foreground)"[^>]*?(?:fill="none"|d="M0,0h0v0h0Z")[^>]*/>|'
    r'<path class="(?:background|foreground)" aria-hidden="true" d="[^"]*"(?: display="none")?/>|'
    r' role="graphics-(?:object|symbol)" aria-roledescription="[^"]*container"|'
    r' (?:aria-roledescription|font-family|pointer-events|text-rendering)="[^"]*"| opacity="1"| stroke-width="1"|'
    r' style="pointer-events: ?none;?"'
)
_PLACED = re.compile(r' (?:d|transform)="[^"]+"')
_SIZE = re.compile(r'(<svg[^>]*?) (width="([\d.]+)" height="[\d.]+")')
_LONG = re.compile(r"(\d+\.\d)\d+")


def draw(
    chart: Callable[[pl.DataFrame, Say], Any], rows: pl.DataFrame, say: Say, label: str
) -> str:
    """A chart of the rows as SVG, without Altair's checks of itself: a test makes them."""
    with debug_mode(False):
        return svg(chart(rows, say), label)


def svg(chart: Any, label: str) -> str:
    """Inline SVG with an accessible name, scaling with the page, in the page's colours.

    Alone, as in an asset page of Dagster, it has the light ones.
    """
    text = _drawn(json.dumps(chart.to_dict(validate=False) | {"config": _CONFIG}))
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label, quote=True)}"', 1)


@lru_cache(maxsize=100)
def _drawn(specification: str) -> str:
    """A chart's marks. Kept, since the page of a night shows what its assets' pages show."""
    text = vlc.vegalite_to_svg(specification)
    text = _SIZE.sub(rf'\1 \2 style="max-width: \3px; font-family: {_FONT}"', text, count=1)
    text = _COLOUR.sub(lambda m: f"var(--{_VARIABLES[m[0]]}, {m[0]})", text)
    text = _IDLE.sub("", text)
    return _PLACED.sub(lambda m: _LONG.sub(r"\1", m[0]), text)


def markdown(drawn: str) -> str:
    """An SVG as an image of Markdown, for pages that show nothing else."""
    address = base64.b64encode(drawn.encode("utf-8")).decode("ascii")
    return f"![](data:image/svg+xml;base64,{address})"
