"""The weekly report: one HTML page that needs no network.

Belongs here: which tables are shown, in which order, with which query. Adding a section is one
function and one line of SECTIONS.
Does not belong here: any estimate (sql/metric), chart marks (charts.py), words (text.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines import warehouse
from pipelines.report import charts
from pipelines.report.text import word

HEADLINE = "select * from metric.headline where is_headline"
OUTCOMES = """select horizon_days, teams, converted, not_converted, open, share, ci_low, ci_high
from metric.conversion where population = 'nsm' and "by" = 'all' order by horizon_days"""
CURVE = """select days, at_risk, share, ci_low, ci_high from metric.curve
where population = 'nsm' and "by" = 'all' order by days"""
NAIVE = "select name, error, numerator, denominator, share, gap from metric.naive_gap order by name"
SEGMENTS = """select "by", "value", teams, moved, at_risk,
    case when not is_suppressed then share end as share,
    case when not is_suppressed then ci_low end as ci_low,
    case when not is_suppressed then ci_high end as ci_high
from metric.conversion
where population = 'nsm' and "by" <> 'all'
    and horizon_days = (select horizon_days from metric.headline where is_headline)
order by "by", "value" """
GRID = """select parameter, value, is_base, teams, moved, share, ci_low, ci_high
from metric.definition_grid
where horizon_days = (select horizon_days from metric.headline where is_headline)
order by parameter, value"""
HISTORY = """select published_at, as_of, known_at, definition, files, tables_changed
from ops.runs order by published_at desc limit 12"""
RESTATED = """select week_on, horizon_days, first_share, latest_share, difference, cause
from ops.restatements where difference <> 0 order by abs(difference) desc limit 12"""
QUALITY = """select family, count(*) as files, sum(rows_read) as rows_read,
    sum(accepted) as accepted, sum(rejected) as rejected, sum(superseded) as superseded,
    sum(duplicate) as duplicate
from ops.files group by family order by family"""


@dataclass(frozen=True)
class Page:
    """What a section is made from."""

    con: duckdb.DuckDBPyConnection
    lang: str
    headline: dict[str, Any]

    def word(self, name: str, **values: object) -> str:
        return escape(word(name, self.lang, **values))


def write(published: Path, out: Path, lang: str = "en") -> None:
    """Write the page in one step. Raises UsageError when nothing is published yet."""
    with warehouse.published(published) as con:
        headline = warehouse.frame(con, HEADLINE).row(0, named=True)
        page = Page(con, lang, headline)
        body = "\n".join(section(page) for section in SECTIONS)
    html = _SHELL.format(
        lang="zh-CN" if lang == "zh" else "en",
        title=escape(word("title", lang)),
        skip=escape(word("skip", lang)),
        style=_STYLE,
        body=body,
        script=_SCRIPT,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    partial.write_text(html, "utf-8")
    partial.replace(out)


def _number(page: Page) -> str:
    row = page.headline
    if row["share"] is None:
        big = f"<p>{page.word('no_number')}</p>"
    else:
        low = "" if row["ci_low"] is None else f"{row['ci_low']:.1%}"
        big = (
            f'<p class="big">{row["share"]:.1%} <small>[{low}, {row["ci_high"]:.1%}] '
            f"{page.word('within', h=row['horizon_days'])}</small></p>"
        )
    counts = page.word("counts", h=row["horizon_days"], **row)
    return (
        f'<header id="number"><h1>{page.word("question")}</h1>{big}<p>{counts}</p>'
        f"{_how(page, HEADLINE)}</header>"
    )


def _table_section(name: str, query: str) -> Callable[[Page], str]:
    def section(page: Page) -> str:
        return _section(page, name, _table(page, warehouse.frame(page.con, query)), query)

    return section


def _curve(page: Page) -> str:
    rows = warehouse.frame(page.con, CURVE)
    if rows.height == 0:
        return _section(page, "curve", f"<p>{page.word('none')}</p>", CURVE)
    chart = charts.curve(rows, word("days", page.lang), word("share", page.lang))
    note = page.word("band", n=rows["at_risk"][0])
    return _section(page, "curve", _figure(page, chart, "curve", note), CURVE)


def _naive(page: Page) -> str:
    rows = warehouse.frame(page.con, NAIVE)
    known = rows.filter(pl.col("share").is_not_null())
    chart = charts.bars(known, page.headline["share"], word("share", page.lang))
    note = page.word("rule", n=page.headline["teams"])
    return _section(page, "naive", _figure(page, chart, "naive", note) + _table(page, rows), NAIVE)


def _segments(page: Page) -> str:
    rows = warehouse.frame(page.con, SEGMENTS)
    options, tables = [], []
    for (by,), part in rows.partition_by("by", as_dict=True, include_key=False).items():
        name = escape(str(by))
        options.append(f'<option value="{name}">{name}</option>')
        tables.append(f'<div data-by="{name}">{_table(page, part)}</div>')
    label = f'<label>{page.word("choose")} <select id="by">{"".join(options)}</select></label>'
    content = label + "".join(tables) if options else f"<p>{page.word('none')}</p>"
    return _section(page, "segments", content, SEGMENTS)


SECTIONS: tuple[Callable[[Page], str], ...] = (
    _number,
    _table_section("outcomes", OUTCOMES),
    _curve,
    _naive,
    _segments,
    _table_section("grid", GRID),
    _table_section("history", HISTORY),
    _table_section("restated", RESTATED),
    _table_section("quality", QUALITY),
)


def _section(page: Page, name: str, content: str, query: str) -> str:
    return f'<section id="{name}"><h2>{page.word(name)}</h2>{content}{_how(page, query)}</section>'


def _figure(page: Page, chart: Any, name: str, note: str) -> str:
    label = page.word(name)
    return f"<figure>{charts.svg(chart, label)}<figcaption>{note}</figcaption></figure>"


def _how(page: Page, query: str) -> str:
    return (
        f"<details><summary>{page.word('how')}</summary>"
        f'<pre tabindex="0"><code>{escape(query)}</code></pre></details>'
    )


def _table(page: Page, rows: pl.DataFrame) -> str:
    if rows.height == 0:
        return f"<p>{page.word('none')}</p>"
    numeric = {c for c, t in rows.schema.items() if t.is_numeric()}
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in rows.columns)
    lines = []
    for row in rows.iter_rows(named=True):
        cells = "".join(_td(c, v, c in numeric) for c, v in row.items())
        lines.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _td(column: str, value: Any, is_numeric: bool) -> str:
    kind = ' class="n"' if is_numeric else ""
    return f"<td{kind}>{escape(_cell(column, value))}</td>"


_PERCENT = ("share", "ci_low", "ci_high", "gap", "difference", "first_share", "latest_share")


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column in _PERCENT:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_SHELL = """<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><a class="skip" href="#number">{skip}</a><main>
{body}
</main><script>{script}</script></body></html>
"""
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #d8d8d8; --dim: #595959; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #161616; --line: #3a3a3a; --dim: #b3b3b3; }
  figure svg { background: #fff; border-radius: 6px; }
}
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
main { max-width: 54rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.15rem; font-weight: 500; max-width: 44rem; }
h2 { font-size: 1.1rem; margin: 2.6rem 0 .6rem; border-top: 1px solid var(--line);
  padding-top: 1.2rem; }
.big { font-size: 3rem; font-weight: 650; margin: .2rem 0; }
.big small { font-size: 1rem; font-weight: 400; color: var(--dim); }
figure { margin: 0; } figure svg { max-width: 100%; height: auto; }
figcaption, details { color: var(--dim); font-size: .85rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; white-space: pre-wrap; } label { display: block; margin: .5rem 0; }
.skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: 1rem; }
@media print { details, label, .skip { display: none; } .wide { overflow: visible; } }
"""
_SCRIPT = """
const by = document.getElementById('by');
const show = () => document.querySelectorAll('[data-by]').forEach(
  part => { part.hidden = part.dataset.by !== by.value; });
if (by) { by.value = 'plan'; if (!by.value) by.selectedIndex = 0;
  by.addEventListener('change', show); show(); }
"""
