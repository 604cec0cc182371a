"""Help and answers start fast: heavy packages are imported by the commands that need them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import driver
from tests.robustness import small

HEAVY = {
    "altair", "dagster", "dataframely", "duckdb", "faker", "great_tables", "narwhals", "numpy",
    "polars", "pyarrow", "pyspark", "rich", "scipy",
}  # fmt: skip


def imported(data: Path, *arguments: str) -> set[str]:
    """Top-level packages that a run of the command line has imported when it ends."""
    script = (
        "import atexit, sys; "
        "atexit.register(lambda: print(*{m.partition('.')[0] for m in sys.modules}, file=sys.stderr)); "
        "from pipelines.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"CLOUDBOUND_DATA": str(data)},
    )  # fmt: skip
    return set(done.stderr.split("\n")[-2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nightly", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert imported(tmp_path, *arguments) & HEAVY == set()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("published")
    small.first(data / "landing")
    driver.run(data)
    return data


@pytest.mark.parametrize(
    "arguments",
    [["headline"], ["headline", "--json", "--by", "plan"], ["open", "--sql", "select 1"]],
)
def test_answers_import_the_database_and_nothing_else(
    published: Path, arguments: list[str]
) -> None:
    """A night, a chart or a frame takes longer to import than the answer does."""
    assert imported(published, *arguments) & HEAVY == {"duckdb"}


def test_a_page_that_stands_is_not_drawn_again(published: Path, tmp_path: Path) -> None:
    command = ["report", "--out", str(tmp_path / "page.html")]
    assert "altair" in imported(published, *command)
    assert imported(published, *command) & HEAVY == {"duckdb"}


@pytest.mark.parametrize("arguments", [["explain", "moves"], ["report"]])
def test_pages_import_no_orchestrator_and_no_simulator(
    published: Path, arguments: list[str]
) -> None:
    found = imported(published, *arguments)
    assert found & {"dagster", "faker", "pyspark", "scipy"} == set()
