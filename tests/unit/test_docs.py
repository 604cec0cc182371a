"""Documents that are made from the source, or promise commands: red when stale."""

import re

from pipelines import dictionary, tables
from pipelines.cli import cli
from pipelines.settings import CHECKOUT


def test_the_data_dictionary_is_fresh() -> None:
    assert dictionary.PAGE.read_text("utf-8") == dictionary.page(), (
        "run python -m pipelines.dictionary"
    )


def test_every_command_in_the_readme_exists() -> None:
    text = (CHECKOUT / "README.md").read_text("utf-8")
    named = set(re.findall(r"cloudbound ([a-z]+)", text))
    assert named <= set(cli.commands)
    assert {"demo", "nightly", "headline", "ingest", "explain"} <= named


def test_every_table_that_python_fills_documents_every_column() -> None:
    for table in tables.ALL.values():
        assert table.description.endswith("."), table.name
        assert all(table.columns.values()), table.name
