"""Every benchmark side by side in one run, as one page of tables.

    python benchmarks/run.py [--scale small|full] [--out FILE] [--folder FOLDER]

Needs the extra `benchmark` for the peers. `small` takes about ten minutes on two quiet cores and
10 GB; `full` is what docs/benchmarks.md states its targets at, and takes hours and 60 GB. The page
is what the machine said: what it means stands in docs/benchmarks.md, which this never overwrites
unless told to.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

Scales = dict[str, list[list[str]]]

SCALES: Scales = {
    "small": [
        ["bench_rollup", "{folder}/lake", "--days", "3", "--peers"],
        ["bench_increment", "{folder}/increment", "--teams", "20000", "--days", "30", "--rows", "24000"],
        ["bench_publish", "{folder}/increment/whole"],
        ["bench_funnel", "5000000"],
        ["bench_funnel", "5000000", "--text"],
        ["bench_dagster", "{folder}/dagster"],
    ],
    "full": [
        ["bench_rollup", "{folder}/lake", "--days", "10", "--peers"],
        ["bench_rollup", "{folder}/long", "--days", "300"],
        ["bench_increment", "{folder}/increment"],
        ["bench_publish", "{folder}/increment/whole"],
        ["bench_metric", "{folder}/metric", "--teams", "1000000"],
        ["bench_metric", "{folder}/metric10", "--teams", "10000000"],
        ["bench_funnel", "50000000"],
        ["bench_funnel", "50000000", "--text"],
        ["bench_dagster", "{folder}/dagster"],
    ],
}  # fmt: skip


def page(scale: str, folder: str) -> str:
    """The output of every benchmark below its command."""
    parts = [f"# Benchmarks, {scale}"]
    for name, *arguments in SCALES[scale]:
        given = [argument.format(folder=folder) for argument in arguments]
        command = [sys.executable, "-m", f"benchmarks.{name}", *given]
        shown = " ".join([f"python -m benchmarks.{name}", *arguments]).replace("{folder}", "FOLDER")
        print(shown, file=sys.stderr)
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
        )
        said = done.stdout.strip() if done.returncode == 0 else f"failed with {done.returncode}"
        parts.append(f"## `{shown}`\n\n{said}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--out", type=Path, help="default: print it")
    parser.add_argument("--folder", type=Path, help="default: a temporary one, removed at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = page(given.scale, str(given.folder or temporary))
    if given.out:
        given.out.write_text(found, "utf-8")
    else:
        print(found)


if __name__ == "__main__":
    main()
