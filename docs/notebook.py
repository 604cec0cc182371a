"""The published file in a notebook: uv run marimo edit docs/notebook.py (or run it as a script).

CLOUDBOUND_DATA says where the data folder is, as for every command.
"""

import marimo

__generated_with = "0.25.2"

app = marimo.App(app_title="Cloudbound")


@app.cell
def _():
    import os
    from pathlib import Path

    import altair as alt
    import duckdb
    import marimo as mo

    published = Path(os.environ.get("CLOUDBOUND_DATA", "data")) / "cloudbound.duckdb"
    # Read-only: a night publishes a new file beside the one that is open here, and never waits.
    con = duckdb.connect(str(published), read_only=True)
    return alt, con, mo


@app.cell
def _(con, mo):
    number = con.sql("from metric.headline where is_headline").pl()
    row = number.row(0, named=True)
    share = "not enough teams yet" if row["share"] is None else f"{row['share']:.1%}"
    mo.md(
        f"# {share} within {row['horizon_days']} days\n\n{row['moved']} of {row['teams']} teams, "
        f"{row['at_risk']} at risk; definition `{row['definition']}`, as of {row['as_of']}"
    )
    return


@app.cell
def _(con, mo):
    breakdowns = con.sql(
        """select distinct "by" from metric.conversion where "by" not in ('all', 'week') order by 1"""
    ).fetchall()
    by = mo.ui.dropdown([b for (b,) in breakdowns], value=breakdowns[0][0] if breakdowns else None)
    by
    return (by,)


@app.cell
def _(by, con):
    # The macro conversion(horizon, by) is in the file; so are kaplan_meier and wilson_low.
    con.sql("from conversion(90, $by)", params={"by": by.value}).pl()
    return


@app.cell
def _(alt, con):
    curve = con.sql(
        """select days, share, ci_low, ci_high from metric.curve
        where population = 'nsm' and "by" = 'all' order by days"""
    ).pl()
    chart = alt.Chart(curve).encode(x="days")
    band = chart.mark_area(opacity=0.2, interpolate="step-after").encode(y="ci_low", y2="ci_high")
    band + chart.mark_line(interpolate="step-after").encode(y="share")
    return


@app.cell
def _(con):
    # kaplan_meier works on any table or view of your own with stratum, days and moved.
    con.sql(
        """create or replace temp view mine as
        select team_class as stratum, days, moved from journey.teams where is_headline"""
    )
    con.sql("from kaplan_meier('mine')").pl()
    return


if __name__ == "__main__":
    app.run()
