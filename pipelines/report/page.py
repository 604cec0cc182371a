"""The weekly report: one HTML page that needs no network.

Belongs here: the layout of a page, a section, a figure. Does not belong here: what is shown
(sections.py), marks (charts.py), columns (tables.py), words (text.py), looks (style.css), the file
(writing.py).
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines import warehouse
from pipelines.errors import UsageError
from pipelines.report import charts, text
from pipelines.report.sections import HEADLINE, SECTIONS, Figure, Section
from pipelines.report.tables import table
from pipelines.settings import Settings

_HERE = Path(__file__).parent
_LABELS = ("association", "not identified", "immature")


@dataclass(frozen=True)
class Page:
    """What every part of the page is made from."""

    con: duckdb.DuckDBPyConnection
    lang: str
    headline: dict[str, Any]

    def say(self, section: str) -> charts.Say:
        return text.speaker(self.lang, section)

    def word(self, name: str, **values: object) -> str:
        return escape(text.word(name, self.lang, **values))


def html(places: Settings, answer: dict[str, Any], lang: str) -> str:
    """The page of the published file; answer: what `headline.read` gives."""
    with warehouse.published(places.published) as con:
        page = Page(con, lang, answer)
        return _SHELL.format(
            lang="zh-CN" if lang == "zh" else "en",
            title=page.word("title"),
            skip=page.word("skip"),
            style=(_HERE / "style.css").read_text("utf-8"),
            body="\n".join([_number(page), *(_section(page, s) for s in SECTIONS)]),
            script=(_HERE / "script.js").read_text("utf-8"),
        )


def _number(page: Page) -> str:
    row = page.headline
    big = f"<p>{page.word('no_number')}</p>"
    if row["share"] is not None:
        big = (
            f'<p class="big">{row["share"]:.1%} <small>{_interval(row)} '
            f"{page.word('within', h=row['horizon_days'])}</small></p>"
        )
    counts = page.word(
        "counts", h=row["horizon_days"], moved=f"{row['moved']:,}", teams=f"{row['teams']:,}",
        at_risk=f"{row['at_risk']:,}",
    )  # fmt: skip
    beside = page.word(
        "mature", share=_share(row["mature"]), n=f"{row['mature']['teams']:,}",
        itt=_share(row["itt"]), itt_n=f"{row['itt']['teams']:,}",
    )  # fmt: skip
    facts = {
        "as_of": row["as_of"],
        "data_complete_on": row["data_complete_on"],
        "known_at": row["known_at"] or page.word("everything"),
        "published_at": f"{row['published_at']:%Y-%m-%d %H:%M} UTC",
        "definition": row["definition"],
    }
    listed = "".join(
        f"<li>{page.word(name)} <strong>{escape(str(value))}</strong></li>"
        for name, value in facts.items()
    )
    links = " ".join(f'<a href="#{s.name}">{page.word(s.name)}</a>' for s in SECTIONS)
    stale = f'<span class="badge loud">{page.word("stale")}</span>' if row["stale"] else ""
    published = row["published_at"].isoformat()
    return f"""<header id="number"><h1>{page.word("question")}</h1>{stale}
<span class="badge loud" id="old" data-published-at="{published}" hidden>{escape(text.WORDS["old"][page.lang])}</span>
{big}<p>{counts}</p><p class="note">{beside}</p>{_unlinked(page)}<ul class="facts">{listed}</ul>
{_how(page, HEADLINE)}<nav aria-label="{page.word("contents")}">{links}</nav></header>"""


def _unlinked(page: Page) -> str:
    coverage, share = page.headline["link_coverage"], page.headline["share"]
    linked, most = coverage["linked_share"], coverage["share_if_all_unlinked_moved"]
    if linked is None or linked >= 0.95 or share is None or most is None:
        return ""
    said = page.word("unlinked", linked=f"{linked:.0%}", low=f"{share:.1%}", high=f"{most:.1%}")
    return f"<p>{said}</p>"


def _section(page: Page, section: Section) -> str:
    name = section.name
    try:
        frames = [warehouse.frame(page.con, figure.query) for figure in section.figures]
    except duckdb.CatalogException:
        return _wrap(page, name, f"<p>{page.word('absent')}</p>")
    except duckdb.BinderException as error:
        raise UsageError(
            "The published file is of another version than this report "
            f"({str(error).splitlines()[0]}): run cloudbound nightly."
        ) from None
    if all(rows.height == 0 for rows in frames):
        return _wrap(
            page, name, f"<p>{page.word('nothing')}</p>{_how(page, section.figures[0].query)}"
        )
    figures = list(zip(section.figures, frames, strict=True))
    content = f'<p class="note">{page.word(f"{name}_note")}</p>{_labels(page, frames)}'
    if section.choose is None:
        content += _figures(page, name, name, figures)
    else:
        content += _chosen(page, section, section.choose, figures)
    hows = "".join(_how(page, figure.query) for figure in section.figures)
    return _wrap(page, name, content + hows)


def _wrap(page: Page, name: str, content: str) -> str:
    return f'<section id="{name}"><h2>{page.word(name)}</h2>{content}</section>'


def _labels(page: Page, frames: list[pl.DataFrame]) -> str:
    """A badge for every label that a row of the section carries."""
    found = {v for rows in frames if "label" in rows.columns for v in rows["label"].to_list()}
    return "".join(
        f'<span class="badge">{page.word("about_" + label.replace(" ", "_"))}</span>'
        for label in _LABELS
        if any(label in (v or "") for v in found)
    )


def _chosen(
    page: Page, section: Section, by: str, figures: list[tuple[Figure, pl.DataFrame]]
) -> str:
    """A select over the values of `by`, and one part a value with all its figures."""
    values = list(dict.fromkeys(v for _, rows in figures for v in rows[by].to_list()))
    options = "".join(
        f'<option value="{escape(v, quote=True)}">{escape(page.say(section.name)(v))}</option>'
        for v in values
    )
    parts = []
    for at, value in enumerate(values):
        of_value = [(figure, rows.filter(pl.col(by) == value).drop(by)) for figure, rows in figures]
        shown = _figures(page, f"{section.name}-{at}", section.name, of_value)
        parts.append(f'<div data-part="{escape(value, quote=True)}">{shown}</div>')
    return (
        f"<label>{page.word('choose' if by == 'by' else 'show')} "
        f'<select data-of="{section.name}">{options}</select></label>{"".join(parts)}'
    )


def _figures(page: Page, slot: str, name: str, figures: list[tuple[Figure, pl.DataFrame]]) -> str:
    made = (_figure(page, f"{slot}-{i}", name, *pair) for i, pair in enumerate(figures))
    return f'<div class="figures">{"".join(made)}</div>'


def _figure(page: Page, slot: str, name: str, figure: Figure, rows: pl.DataFrame) -> str:
    if rows.height == 0:
        return ""
    label, say = text.word(name, page.lang), page.say(name)
    sides = []
    if figure.chart is not None:
        sides.append(charts.draw(figure.chart, rows, say, label))
    if figure.has_table:
        made = table(rows.drop(figure.hidden), slot, say)
        sides.append(
            f'<div class="wide" tabindex="0" role="group" aria-label="{escape(label)}">{made}</div>'
        )
    shape = "both" if len(sides) == 2 and rows.width - len(figure.hidden) <= 9 else "stacked"
    return (
        f'<figure{" class=full" if figure.has_table else ""}><div class="sides {shape}">{"".join(sides)}</div>'
        f"<figcaption>{_rests_on(page, figure, rows)}</figcaption></figure>"
    )


def _rests_on(page: Page, figure: Figure, rows: pl.DataFrame) -> str:
    n = rows.select(figure.n).item()
    said = page.word("n_of", n=f"{n or 0:,}", unit=text.word(f"units_{figure.unit}", page.lang))
    return (
        f"{said} · {page.word('definition')} {escape(page.headline['definition'])} · "
        f"{page.word('as_of')} {page.headline['as_of']}"
    )


def _how(page: Page, query: str) -> str:
    return (
        f'<details><summary>{page.word("how")}</summary><div><button type="button" '
        f'data-done="{page.word("copied")}">{page.word("copy")}</button>'
        f'<pre tabindex="0"><code>{escape(query)}</code></pre></div></details>'
    )


def _share(group: dict[str, Any]) -> str:
    return "–" if group["share"] is None else f"{group['share']:.1%} {_interval(group)}"


def _interval(group: dict[str, Any]) -> str:
    low, high = (
        "–" if group[limit] is None else f"{group[limit]:.1%}" for limit in ("ci_low", "ci_high")
    )
    return f"[{low}, {high}]"


_SHELL = """<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><a class="skip" href="#number">{skip}</a><main>
{body}
</main><div id="tip" hidden></div><script>{script}</script></body></html>
"""
