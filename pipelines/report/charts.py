"""Charts of the report: a frame in, an Altair chart or its SVG out.

Belongs here: marks, scales and colours. Does not belong here: what a number is (sql/metric) or
where a chart stands (page.py). Colours are Okabe and Ito's, safe for the colour-blind.
"""

import re
from typing import Any

import altair as alt
import polars as pl
import vl_convert as vlc

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
_WIDTH = 620


def curve(rows: pl.DataFrame, days: str, share: str) -> Any:
    """Share moved by day with its band. rows: days, share, ci_low, ci_high."""
    base = alt.Chart(rows.select("days", "share", "ci_low", "ci_high"))
    x = alt.X("days:Q", title=days)
    y = alt.Y("share:Q", title=share, axis=alt.Axis(format="%"))
    band = base.mark_area(opacity=0.2, color=BLUE, interpolate="step-after")
    line = base.mark_line(color=BLUE, interpolate="step-after")
    return alt.layer(
        band.encode(x=x, y=alt.Y("ci_low:Q", title=share), y2="ci_high:Q"), line.encode(x=x, y=y)
    ).properties(width=_WIDTH, height=260)


def bars(rows: pl.DataFrame, truth: float | None, share: str) -> Any:
    """Naive shares as bars and the truth as a rule. rows: name, share."""
    marks = [
        alt.Chart(rows.select("name", "share"))
        .mark_bar(color=ORANGE)
        .encode(
            x=alt.X("share:Q", title=share, axis=alt.Axis(format="%")),
            y=alt.Y("name:N", title=None, sort="-x"),
        )
    ]
    if truth is not None:
        rule = alt.Chart(pl.DataFrame({"truth": [truth]}))
        marks.append(rule.mark_rule(color=BLUE, size=3).encode(x="truth:Q"))
    return alt.layer(*marks).properties(width=_WIDTH, height=32 * max(rows.height, 1))


def svg(chart: Any, label: str) -> str:
    """Inline SVG with an accessible name, scaling with the page."""
    text = vlc.vegalite_to_svg(chart.to_dict())
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)" height="([\d.]+)"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
