"""Publishing against a raw copy of the same file, and how soon an answer is there after the start.

    python -m benchmarks.bench_publish FOLDER

FOLDER holds a build.duckdb (facts.py or any night makes one) and, for the answers, the published
cloudbound.duckdb beside it. The file system's cache is flushed after each copy, as publishing does.
"""

import argparse
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks import measure
from pipelines import warehouse

ANSWERS = (
    ["--help"],
    ["headline", "--json"],
    ["open", "--json", "--sql", "from metric.headline"],
    ["report"],
)


def raw_copy(folder: Path) -> None:
    """cp and fsync."""
    target = folder / "raw.duckdb"
    shutil.copyfile(folder / "build.duckdb", target)
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
    target.unlink()


def publish(folder: Path) -> None:
    warehouse.publish(folder / "build.duckdb", folder / "trial" / "cloudbound.duckdb")
    shutil.rmtree(folder / "trial" / "published")


def answer(folder: Path, arguments: list[str]) -> int:
    """One command in a process of its own; its exit code."""
    environment = os.environ | {"CLOUDBOUND_DATA": str(folder)}
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    folder = given.folder.resolve()
    (folder / "trial").mkdir(exist_ok=True)
    works = {"raw copy": partial(raw_copy, folder), "publish": partial(publish, folder)}
    found = measure.in_turn(works, given.runs)
    size = (folder / "build.duckdb").stat().st_size
    print(f"build file of {size / 1e9:.2f} GB; {measure.load()}")
    print(measure.table(found, size // 1000, "raw copy"))
    shutil.rmtree(folder / "trial")
    if not (folder / "cloudbound.duckdb").is_file():
        return
    calls = {" ".join(a): partial(answer, folder, a) for a in ANSWERS}
    asked = measure.in_turn(calls, given.runs)
    print("\n| command | wall s, start included | cpu s | exit code |\n|---|---|---|---|")
    for name, cost in asked.items():
        print(f"| `cloudbound {name}` | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.answer} |")


if __name__ == "__main__":
    main()
