"""Documents that are made from the source, or promise commands: red when stale."""

import re
import shlex

import click
import pytest

from pipelines import dictionary, tables
from pipelines.cli import cli
from pipelines.settings import CHECKOUT

README = (CHECKOUT / "README.md").read_text("utf-8")
CHINESE = (CHECKOUT / "README.zh.md").read_text("utf-8")


def test_the_data_dictionary_is_fresh() -> None:
    assert dictionary.PAGE.read_text("utf-8") == dictionary.page(), (
        "run python -m pipelines.dictionary"
    )


def test_every_rule_of_the_metric_stands_where_the_page_says() -> None:
    page = (CHECKOUT / "docs" / "metric.md").read_text("utf-8")
    rules = re.findall(r"`((?:pipelines|sql|data|tests)/[\w/.]+)`((?:,? `\w+`)*)", page)
    assert len(rules) > 20
    missing = [
        f"{path} {name}"
        for path, names in rules
        for name in re.findall(r"\w+", names) or [""]
        if not (CHECKOUT / path).exists()
        or (name and not re.search(rf"(def|class) {name}\b", (CHECKOUT / path).read_text("utf-8")))
    ]
    assert missing == []


def commands(text: str) -> list[list[str]]:
    """Every cloudbound command of a page, in words, without its comment."""
    blocks = "\n".join(re.findall(r"(?s)```sh\n(.*?)```", text))
    found = re.findall(r"(?m)^.*?\bcloudbound (\w.*)$", blocks)
    return [shlex.split(line, comments=True) for line in found]


@pytest.mark.parametrize("page", ["README.md", "README.zh.md", "CONTRIBUTING.md"])
def test_every_command_on_a_page_parses(page: str) -> None:
    text = (CHECKOUT / page).read_text("utf-8")
    for name, *arguments in commands(text):
        command = cli.commands[name]
        context = click.Context(command, info_name=name)
        command.make_parser(context) if hasattr(command, "make_parser") else None
        command.parse_args(context, arguments)
    named = set(re.findall(r"`cloudbound ([a-z]+)", text))
    assert named <= set(cli.commands)


def test_the_readme_names_the_commands_that_matter() -> None:
    named = {command[0] for command in commands(README)}
    assert {"demo", "ingest", "nightly", "headline", "explain", "open", "funnel"} <= named


def _shape(text: str) -> list[str]:
    """Depth of each heading, kind of each block and number of list items, in their order."""
    lines = re.sub(r"(?s)(```\w*)\n.*?```", r"\1", text).splitlines()
    return [
        match[1]
        for line in lines
        if (match := re.match(r"(#+ |```\w*|\* |> |!\[)", line)) is not None
    ]


def _code(text: str) -> list[str]:
    """Code blocks without what may be translated: comments, and labels of the diagram."""
    blocks = re.findall(r"(?s)```\w*\n(.*?)```", text)
    return [re.sub(r" +#.*|<br/>[^\"]*", "", block) for block in blocks]


def test_the_chinese_readme_keeps_step() -> None:
    assert _shape(README) == _shape(CHINESE)
    assert _code(README) == _code(CHINESE)
    assert len(re.findall(r"[一-鿿]", CHINESE)) > 600


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_picture_of_the_readme_is_small() -> None:
    assert 10_000 < (CHECKOUT / "docs" / "report.png").stat().st_size < 300_000


def test_every_table_that_python_fills_documents_every_column() -> None:
    for table in tables.ALL.values():
        assert table.description.endswith("."), table.name
        assert all(table.columns.values()), table.name
