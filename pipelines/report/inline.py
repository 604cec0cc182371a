"""The chart of one metric table, as an image of Markdown: for the table's page in Dagster.

Belongs here: finding the report's figure of a table. Does not belong here: the figure (sections.py)
or its marks (charts.py).
"""

import re

import duckdb
import polars as pl

from pipelines import warehouse
from pipelines.report import charts, text
from pipelines.report.sections import SECTIONS, Figure, Section

_READ = re.compile(r"\b(?:from|join) (\w+\.\w+)")
# Tables that are there before any metric is.
_EARLIER = {"ops.definition", "ops.clock"}


def figure_of(table: str) -> tuple[Section, Figure] | None:
    """The first figure with a chart that is made of this table alone."""
    for section in SECTIONS:
        for figure in section.figures:
            if figure.chart and set(_READ.findall(figure.query)) - _EARLIER == {table}:
                return section, figure
    return None


def chart_of(con: duckdb.DuckDBPyConnection, table: str) -> str | None:
    """The table's chart as Markdown; null where it has none or there is nothing to draw yet."""
    found = figure_of(table)
    if found is None:
        return None
    section, figure = found
    rows = warehouse.frame(con, figure.query)
    if section.choose and rows.height:
        rows = rows.filter(pl.col(section.choose) == rows[section.choose][0]).drop(section.choose)
    if figure.chart is None or rows.height == 0:
        return None
    say, label = text.speaker("en", section.name), text.word(section.name, "en")
    return charts.markdown(charts.draw(figure.chart, rows, say, label))
