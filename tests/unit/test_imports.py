"""Help and answers start fast: heavy packages are imported by the commands that need them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("command", ["headline", "open", "report"])
def test_answers_import_no_orchestrator_and_no_simulator(command: str, tmp_path: Path) -> None:
    """The published file is all they need (rendering a chart is a report's own work)."""
    found = imported(tmp_path, command, *(["--sql", "select 1"] if command == "open" else []))
    assert "duckdb" in found or command == "report"
    assert "polars" not in found or command != "open"
    assert found & {"dagster", "faker", "pyspark", "scipy", "dataframely"} == set()
