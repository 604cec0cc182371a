"""The weekly report: one page without a network, in both languages, in a real browser."""

import base64
import html
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from pipelines import night, sql_assets, warehouse
from pipelines.errors import UsageError
from pipelines.report import charts, page, text, writing
from pipelines.report.sections import SECTIONS
from tests import driver
from tests.browser.chromium import chromium
from tests.hand import world

HOSTILE = """<script>alert("x")</script><b onclick='y'>"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    world.write(folder / "landing")
    teams = folder / "landing" / "directory" / "more-teams.csv"
    quoted = HOSTILE.replace('"', '""')
    rows = "".join(f'{name},"{quoted}"\n' for name in list(world.EXPECTED)[:40])
    teams.write_text("team_id,channel\n" + rows, "utf-8")
    driver.run(folder, now=night.utc_now())
    return folder


@pytest.fixture(scope="module")
def pages(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("page")
    made = {lang: folder / f"{lang}.html" for lang in ("en", "zh")}
    for lang, out in made.items():
        writing.write(driver.places(data), out, lang)
    return made


@pytest.fixture(scope="module", params=["en", "zh"])
def written(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    return pages[request.param]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@dataclass
class Opened:
    """A page in the browser, and what it said and asked for."""

    page: Page
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def opened(browser: Browser, file: Path, **context: object) -> Opened:
    shown = Opened(browser.new_context(**context).new_page())  # type: ignore[arg-type]
    shown.page.on("console", lambda message: shown.console.append(message.text))
    shown.page.on("pageerror", lambda error: shown.console.append(str(error)))
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.goto(file.as_uri())
    return shown


def test_every_word_is_there_in_both_languages() -> None:
    for name, said in text.WORDS.items():
        assert set(said) == {"en", "zh"} and all(said.values()), name
        fields = [set(re.findall(r"{(\w+)}", one)) for one in said.values()]
        assert fields[0] == fields[1], name


def test_every_section_has_its_words_and_every_column_its_label() -> None:
    known = text.WORDS.keys()
    with duckdb.connect() as con:
        for section in SECTIONS:
            assert {section.name, f"{section.name}_note"} <= known, section.name
            for figure in section.figures:
                assert f"units_{figure.unit}" in known
                tree = con.execute("select json_serialize_sql(?)", [figure.query]).fetchone()
                assert tree is not None and '"error":false' in tree[0], section.name


def test_the_page_shows_the_number_with_everything_that_it_rests_on(written: Path) -> None:
    said = written.read_text("utf-8")
    assert f"{world.HEADLINE.share:.1%}" in said
    assert str(world.AS_OF) in said and str(world.COMPLETE) in said
    figures = re.findall(r"<figure.*?</figure>", said, re.DOTALL)
    assert len(figures) >= 15
    for figure in figures:
        caption = figure.partition("<figcaption>")[2]
        assert re.search(r"n = [\d,]+", caption) and re.search(r"[0-9a-f]{12}", caption)


def test_the_page_reaches_for_nothing(written: Path) -> None:
    said = written.read_text("utf-8")
    assert re.findall(r"""\b(?:src|href)=["'](?!#)""", said.replace("xlink", "")) == []
    assert "@import" not in said and "url(http" not in said
    assert written.stat().st_size < 1_500_000


def test_text_from_the_data_is_escaped(written: Path) -> None:
    said = written.read_text("utf-8")
    assert "<script>alert" not in said and "<b onclick" not in said
    assert "&lt;script&gt;alert" in said


def test_no_section_is_absent_in_a_file_of_today(written: Path) -> None:
    said = html.unescape(written.read_text("utf-8"))
    assert not any(absent in said for absent in text.WORDS["absent"].values())


def test_every_query_on_the_page_runs_on_the_published_file(written: Path, data: Path) -> None:
    queries = re.findall(r"<code>(.*?)</code>", written.read_text("utf-8"), re.DOTALL)
    assert len(queries) > len(SECTIONS)
    with duckdb.connect(str(data / "cloudbound.duckdb"), read_only=True) as con:
        for query in queries:
            con.execute(html.unescape(query)).fetchall()


def test_columns_and_values_of_the_product_are_said_in_chinese(pages: dict[str, Path]) -> None:
    said = re.sub(r"(?s)<(style|script|code)\b.*?</\1>", " ", pages["zh"].read_text("utf-8"))
    heads = [html.unescape(h) for h in re.findall(r'(?s)scope="col"[^>]*>(.*?)</th>', said)]
    # p and p* are the same in both languages, ITT and CNY are names.
    left = {h for h in heads if re.search(r"[A-Za-z]{3,}", h.replace("ITT", ""))}
    assert left == set()
    titles = re.findall(r"(?s)<(?:h2|summary|button|label|nav)[^>]*>(.*?)<", said)
    assert [t for t in titles if re.search(r"[A-Za-z]{4,}", t)] == []
    axes = [a for a in re.findall(r'role-axis-title"><text[^>]*>(.*?)<', said) if a]
    assert axes and [a for a in axes if re.search(r"[A-Za-z]{4,}", a)] == []


def test_a_newer_file_in_landing_makes_the_page_stale(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SECTIONS", ())  # the badge stands in the header
    writing.write(driver.places(data), tmp_path / "fresh.html")
    assert text.WORDS["stale"]["en"] not in (tmp_path / "fresh.html").read_text("utf-8")
    out, late = tmp_path / "stale.html", data / "landing" / "gateway" / "late.jsonl"
    late.parent.mkdir(exist_ok=True)
    late.write_text("{}\n", "utf-8")
    try:
        writing.write(driver.places(data), out)
    finally:
        late.unlink()
    assert text.WORDS["stale"]["en"] in out.read_text("utf-8")


def test_a_page_is_drawn_once_for_a_published_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(places: Any, answer: Any, lang: str) -> str:
        drawn.append(lang)
        return f"<p>{lang} é {answer['share']}</p>"

    monkeypatch.setattr(page, "html", draw)
    places = driver.places(data)
    out, other = tmp_path / "one.html", tmp_path / "two.html"
    writing.write(places, out)
    first = out.read_bytes()
    writing.write(places, out)
    assert (drawn, out.read_bytes()) == (["en"], first)
    writing.write(places, places.report)
    writing.write(places, other)  # the same stands beside the published file
    assert (drawn, other.read_bytes()) == (["en", "en"], first)
    writing.write(places, out, "zh")
    assert drawn.pop() == "zh"
    for touched in (first[:-1], first.replace(b"en", b"EN", 1), b"", b"\xff"):
        other.write_bytes(touched)
        places.report.write_bytes(touched)
        writing.write(places, other)
        assert (drawn.pop(), other.read_bytes()) == ("en", first)
    known = places.published.stat()
    os.utime(places.published, ns=(known.st_atime_ns, known.st_mtime_ns + 1))  # as a new file's
    writing.write(places, other)
    assert drawn.pop() == "en"
    places.report.unlink()


def test_a_folder_is_no_page(data: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: name a file in it"):
        writing.write(driver.places(data), data)


def test_a_real_browser_renders_it_without_an_error(written: Path, browser: Browser) -> None:
    shown = opened(browser, written)
    assert shown.requests == [written.as_uri()]
    assert shown.console == []
    figures = shown.page.locator("figure svg")
    assert figures.count() >= 10
    for at in range(figures.count()):
        marks = figures.nth(at).locator("path, rect, circle").count()
        assert marks > 0, figures.nth(at).get_attribute("aria-label")


def test_a_filter_shows_its_part_and_no_other(written: Path, browser: Browser) -> None:
    shown = opened(browser, written).page
    select = shown.locator("#segments select")
    parts = shown.locator("#segments [data-part]")
    options = select.locator("option").evaluate_all("all => all.map(o => o.value)")
    assert len(options) >= 3 and parts.count() == len(options)
    for value in (options[-1], options[0]):
        select.select_option(value)
        seen = [p for p in options if shown.locator(f'#segments [data-part="{p}"]').is_visible()]
        assert seen == [value]


def test_the_query_can_be_copied(written: Path, browser: Browser) -> None:
    shown = opened(browser, written, permissions=["clipboard-read", "clipboard-write"]).page
    shown.locator("#outcomes summary").click()
    shown.locator("#outcomes button").click()
    copied = shown.evaluate("() => navigator.clipboard.readText()")
    assert copied == next(s for s in SECTIONS if s.name == "outcomes").figures[0].query


def test_a_phone_scrolls_down_only(written: Path, browser: Browser) -> None:
    shown = opened(browser, written, viewport={"width": 390, "height": 844}).page
    assert shown.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(("lang", "scheme"), [("en", "light"), ("zh", "dark")])
def test_axe_finds_no_serious_fault(
    pages: dict[str, Path], browser: Browser, lang: str, scheme: str
) -> None:
    shown = opened(browser, pages[lang], color_scheme=scheme).page
    shown.locator("summary").first.click()
    found = Axe().run(shown).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [], [(v["id"], v["nodes"][0]["html"][:200]) for v in serious]


def test_print_leaves_the_controls_out(written: Path, browser: Browser) -> None:
    shown = opened(browser, written).page
    shown.emulate_media(media="print")
    assert not shown.locator("#segments select").is_visible()
    assert not shown.locator("details").first.is_visible()
    assert shown.locator("#outcomes svg").is_visible()


def test_without_javascript_everything_is_there(written: Path, browser: Browser) -> None:
    shown = opened(browser, written, java_script_enabled=False).page
    parts = shown.locator("#segments [data-part]")
    assert all(parts.nth(at).is_visible() for at in range(parts.count()))


_NAMES = ("limit_name", "exposure", "task", "day")
_LIMITS = {"ci_low": [0.1, 0.0], "ci_high": [0.5, 0.9]}


@pytest.mark.parametrize(
    ("chart", "rows"),
    [
        (charts.quota_friction, {"limit_name": ["5h", "week"], "cycles_bound": [80, 3], "odds_ratio": [2.0, 1.0]}),
        (charts.model_mix, {"exposure": ["a+b", "c"], "teams_with": [80, 3], "odds_ratio": [2.0, 1.0]}),
        (charts.tasks, {"task": ["edit", "chat"], "teams_with": [80, 3], "difference": [0.2, 0.1]}),
        (charts.workload_retention, {"day": [0, 90], "teams": [80, 3], "share": [0.2, 0.1]}),
    ],
)  # fmt: skip
def test_what_is_immature_is_drawn_hollow(chart, rows) -> None:  # type: ignore[no-untyped-def]
    frame = pl.DataFrame(rows | _LIMITS | {"label": ["association", "immature"]})
    drawn = charts.svg(chart(frame, text.speaker("en")), "x")
    firm, young = (f"{n}" for n in next(rows[c] for c in _NAMES if c in rows))
    points = re.findall(r'<path aria-label="([^"]+?) · n [^"]*"[^>]*fill="([^"]+)"', drawn)
    said = text.speaker("en")
    names = [f"W + {n}" if "day" in rows else said(n) for n in (firm, young)]
    assert dict(points) == {
        names[0]: "var(--blue, #0072b2)",
        names[1]: "var(--paper, #fefefe)",
    }


@pytest.mark.parametrize(
    ("chart", "rows"),
    [
        (charts.naive, {"name": ["a"], "share": [None], "denominator": [0], "headline_share": [None]}),
        (charts.tasks, {"task": ["edit"], "teams_with": [0], "difference": [None], "ci_low": [None], "ci_high": [None], "label": ["immature"]}),
        (charts.quota_friction, {"limit_name": ["5h"], "cycles_bound": [0], "odds_ratio": [None], "ci_low": [None], "ci_high": [None], "label": ["immature"]}),
        (charts.trap, {"week_on": [date(2026, 1, 5)], "trap_index": [None], "ci_low": [None], "ci_high": [None], "is_alert": [False]}),
        (charts.economics, {"by": ["all"], "value": ["all"], "teams": [0], "p_star_low": [None], "p_star_high": [None], "conversion": [None], "conversion_ci_low": [None], "conversion_ci_high": [None]}),
    ],
)  # fmt: skip
def test_a_chart_of_unknown_numbers_is_empty_and_no_error(chart, rows) -> None:  # type: ignore[no-untyped-def]
    numbers = {c: pl.Float64 for c, v in rows.items() if v == [None]}
    drawn = charts.svg(chart(pl.DataFrame(rows, schema_overrides=numbers), text.speaker("zh")), "x")
    assert drawn.startswith("<svg")


def test_an_interval_beyond_the_scale_is_cut_and_still_drawn() -> None:
    frame = pl.DataFrame(
        {
            "limit_name": ["5h"], "cycles_bound": [40], "odds_ratio": [3.0],
            "ci_low": [0.001], "ci_high": [9000.0], "label": ["association"],
        }
    )  # fmt: skip
    drawn = charts.svg(charts.quota_friction(frame, text.speaker("en")), "x")
    assert "5 hours · n 40 · 3 [0.001, 9e+03]" in drawn  # the tip says what the mark can't
    rule = re.search(
        r'<line aria-label="5 hours[^>]*transform="translate\(([\d.]+)[^>]*x2="([\d.]+)"', drawn
    )
    assert rule and 0 <= float(rule[1]) < float(rule[1]) + float(rule[2]) <= charts.WIDTH


def test_a_chart_in_the_data_takes_the_colours_of_the_page() -> None:
    frame = pl.DataFrame(
        {"name": ["a"], "share": [0.2], "denominator": [9], "headline_share": [0.1]}
    )
    drawn = charts.svg(charts.naive(frame, text.speaker("en")), 'a "title" <b>')
    assert "var(--orange, #d55e00)" in drawn and not re.search(r'(?:fill|stroke)="#', drawn)
    assert 'aria-label="a &quot;title&quot; &lt;b&gt;"' in drawn


def test_a_chart_alone_is_an_image_of_markdown() -> None:
    frame = pl.DataFrame(
        {"name": ["a"], "share": [0.2], "denominator": [9], "headline_share": [0.1]}
    )
    drawn = charts.svg(charts.naive(frame, text.speaker("en")), "x")
    head, _, coded = charts.markdown(drawn).partition("base64,")
    assert head == "![](data:image/svg+xml;"
    assert base64.b64decode(coded.removesuffix(")")).decode() == drawn
    assert 'fill="var(--orange, #d55e00)"' in drawn and 'width="' in drawn


def test_every_chart_is_what_altair_calls_valid(data: Path) -> None:
    drawn = [f for s in SECTIONS for f in s.figures if f.chart]
    with duckdb.connect(str(data / "cloudbound.duckdb"), read_only=True) as con:
        for figure in drawn:
            assert figure.chart
            rows = warehouse.frame(con, figure.query)
            figure.chart(rows, text.speaker("en")).to_dict(validate=True)


def test_a_mark_says_its_place_its_value_and_its_interval(pages: dict[str, Path]) -> None:
    for lang, at_risk in (("en", "at risk"), ("zh", "在观察")):
        said = pages[lang].read_text("utf-8")
        tips = re.findall(r'<(?:path|line)[^>]*aria-label="([^"]+)"', said)
        assert any(re.search(rf"30 · [\d.]+% \[[\d.]+%, [\d.]+%\] · {at_risk} \d", t) for t in tips)
        # Names of columns are no words for a reader.
        assert [
            t for t in tips if re.search(r"\w_\w", t) and HOSTILE[:8] not in html.unescape(t)
        ] == []


def test_old_and_new_definition_stand_side_by_side() -> None:
    weeks = [date(2025, 1, 6), date(2025, 1, 13)]
    rows = pl.DataFrame(
        {
            "week_on": weeks * 2, "definition": ["bbbb"] * 2 + ["aaaa"] * 2, "teams": [20] * 4,
            "share": [0.2, 0.3, 0.1, 0.15], "ci_low": [0.1] * 4, "ci_high": [0.4] * 4,
        }
    )  # fmt: skip
    drawn = charts.svg(charts.series(rows, text.speaker("en")), "x")
    dots = re.findall(
        r'<path aria-label="week (\S+) · ([\d.]+)% [^"]*· (\w+)"[^>]*(?:fill|stroke)="([^"]+)"',
        drawn,
    )
    assert {(d[0], d[1], d[2]) for d in dots} == {
        ("2025-01-06", "20.0", "bbbb"), ("2025-01-13", "30.0", "bbbb"),
        ("2025-01-06", "10.0", "aaaa"), ("2025-01-13", "15.0", "aaaa"),
    }  # fmt: skip
    assert len({d[3] for d in dots if d[2] == "aaaa"} | {d[3] for d in dots if d[2] == "bbbb"}) == 2
    assert drawn.count("aaaa</text>") == 1 and drawn.count("bbbb</text>") == 1  # the legend


def test_every_metric_table_is_on_the_page_or_named_here() -> None:
    queries = " ".join(f.query for s in SECTIONS for f in s.figures)
    left = {
        a.table
        for a in sql_assets.load_all()
        if a.schema == "metric" and f"metric.{a.table}" not in queries
    }
    assert left <= {"model_switches", "decision_numbers"}
