"""The weekly report: one page without a network, in both languages, whose every query runs."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from pipelines.report import page
from pipelines.report.text import WORDS
from tests import driver
from tests.hand import world

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is missing: apt-get install chromium"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("report")
    world.write(data / "landing")
    hostile = '<script>alert("x")</script>'
    teams = data / "landing" / "directory" / "more-teams.csv"
    rows = "".join(
        f'{name},"{hostile.replace(chr(34), chr(34) * 2)}"\n' for name in list(world.EXPECTED)[:40]
    )
    teams.write_text("team_id,channel\n" + rows, "utf-8")
    driver.run(data)
    return data / "cloudbound.duckdb"


@pytest.fixture(scope="module", params=["en", "zh"])
def written(
    request: pytest.FixtureRequest, published: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    page.write(published, out, request.param)
    return out


def test_every_string_is_there_in_both_languages() -> None:
    for name, texts in WORDS.items():
        assert set(texts) == {"en", "zh"}, name
        fields = [set(re.findall(r"{(\w+)}", text)) for text in texts.values()]
        assert fields[0] == fields[1], name


def test_the_page_shows_the_number_and_reaches_for_nothing(written: Path) -> None:
    text = written.read_text("utf-8")
    assert f"{world.HEADLINE.share:.1%}" in text
    assert str(world.AS_OF) in text
    outside = re.findall(r"""(?:src|href)=["'](?!#)[^"']+""", text)
    assert [o for o in outside if "#" not in o] == []
    assert "@import" not in text and "url(http" not in text


def test_text_from_the_data_is_escaped(written: Path) -> None:
    text = written.read_text("utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_every_query_on_the_page_runs_on_the_published_file(written: Path, published: Path) -> None:
    queries = re.findall(r"<code>(.*?)</code>", written.read_text("utf-8"), re.DOTALL)
    assert len(queries) == len(page.SECTIONS)
    with duckdb.connect(str(published), read_only=True) as con:
        for query in queries:
            con.execute(html.unescape(query)).fetchall()


@needs_chromium
def test_a_real_browser_renders_it_without_an_error(written: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--v=0",
            "--virtual-time-budget=3000", "--dump-dom", written.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.stdout.count("<svg") == 2
    assert done.stdout.count("<path") > 5
    # The script has run: all breakdowns but the chosen one are hidden.
    assert done.stdout.count("data-by=") - done.stdout.count('hidden=""') == 1
    assert "CONSOLE" not in done.stderr
