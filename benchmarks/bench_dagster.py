"""What Dagster adds to a night: the same steps with and without it, over an unchanged small landing.

    python -m benchmarks.bench_dagster FOLDER

FOLDER gets a simulated landing and a first night; then `cloudbound nightly`, tests/driver.py alone,
and that with the report and the assets' pictures run in turn, each in a process of its own, so the
difference to the last is import of Dagster, instance, run and event log.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks import measure

STEPS = """
import gc, sys
from pathlib import Path
from pipelines import sql_assets, warehouse
from tests import driver
gc.freeze()  # as a run does, see pipelines/defs/resources.py
work = driver.run(Path(sys.argv[1]))
"""
PICTURES = """
from pipelines.report import inline, writing
writing.write(work.settings, work.settings.report)
with warehouse.build(work.settings.build) as con:
    for asset in (a for a in sql_assets.load_all() if a.schema == "metric"):
        inline.chart_of(con, asset.table)
"""


def command(folder: Path, *arguments: str) -> int:
    """Exit code of a Python process that works on the folder."""
    environment = os.environ | {"CLOUDBOUND_DATA": str(folder)}
    environment.pop("DAGSTER_HOME", None)  # the checkout's dagster.yaml is what is measured
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles Dagster
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True)
    return done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if not (folder / "landing").exists():
        out = str(folder / "landing")
        size = ("--teams", "200", "--days", "60", "--seed", "3")
        command(folder, "-m", "pipelines.cli", "simulate", "--out", out, *size)
    command(folder, "-m", "pipelines.cli", "nightly")
    works = {
        "steps alone": partial(command, folder, "-c", STEPS, str(folder)),
        "steps, report and pictures": partial(command, folder, "-c", STEPS + PICTURES, str(folder)),
        "cloudbound nightly": partial(command, folder, "-m", "pipelines.cli", "nightly"),
    }
    found = measure.in_turn(works, given.runs)
    print(
        f"an unchanged landing; {measure.load()}\n\n| what | wall s | cpu s | exit code |\n|---|---|---|---|"
    )
    for name, cost in found.items():
        print(f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.answer} |")
    whole, alone = found["cloudbound nightly"], found["steps, report and pictures"]
    print(
        f"\nDagster adds {whole.wall - alone.wall:.1f} s ({whole.cpu - alone.cpu:.1f} s of processor) "
        "to the same work."
    )


if __name__ == "__main__":
    main()
