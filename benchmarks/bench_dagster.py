"""What Dagster adds to a night: the same steps with and without it, over an unchanged small landing.

    python -m benchmarks.bench_dagster FOLDER

FOLDER gets a simulated landing and a first night; then `cloudbound nightly` and tests/driver.py run
in turn, each in a process of its own, so the difference is import, instance, run and event log.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks import measure

DRIVER = (
    "import sys; from pathlib import Path; from tests import driver; driver.run(Path(sys.argv[1]))"
)


def command(folder: Path, *arguments: str) -> int:
    """Exit code of a Python process that works on the folder."""
    home = folder / "dagster-home"
    environment = os.environ | {"CLOUDBOUND_DATA": str(folder), "DAGSTER_HOME": str(home)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True)
    return done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    folder = given.folder.resolve()
    (folder / "dagster-home").mkdir(parents=True, exist_ok=True)
    if not (folder / "landing").exists():
        out = str(folder / "landing")
        size = ("--teams", "200", "--days", "60", "--seed", "3")
        command(folder, "-m", "pipelines.cli", "simulate", "--out", out, *size)
    command(folder, "-m", "pipelines.cli", "nightly")
    works = {
        "steps alone": partial(command, folder, "-c", DRIVER, str(folder)),
        "cloudbound nightly": partial(command, folder, "-m", "pipelines.cli", "nightly"),
    }
    found = measure.in_turn(works, given.runs)
    print(
        f"an unchanged landing; {measure.load()}\n\n| what | wall s | cpu s | exit code |\n|---|---|---|---|"
    )
    for name, cost in found.items():
        print(f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.answer} |")
    whole, alone = found["cloudbound nightly"], found["steps alone"]
    print(
        f"\nDagster adds {whole.wall - alone.wall:.1f} s ({whole.cpu - alone.cpu:.1f} s of processor), "
        "the report's page and the pictures of the assets included."
    )


if __name__ == "__main__":
    main()
