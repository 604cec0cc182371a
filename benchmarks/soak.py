"""A long run: a year of landing files through one backfill and thirty nights.

    python -m benchmarks.soak DIR --teams 200000 --days 395 --rows-per-day 1000000 --nights 30
    python -m benchmarks.soak DIR --resume      go on with the night that was running or is next

The simulator writes DAYS days; the last NIGHTS of them are held back and delivered one a night. A
night is `cloudbound nightly` in a process of its own, as cron starts it. Printed for each: wall
and processor time, peak memory of the process, size of the published file, of the build file and
of Dagster's history, and the share. Memory that grows with the nights, or files that grow faster
than their days, would show here.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CLI = [sys.executable, "-m", "pipelines.cli"]


@dataclass(frozen=True)
class Measured:
    """What one command took."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    out: str


def run(data: Path, *command: str) -> Measured:
    """The command in a process of its own; ends the soak with its words when it fails."""
    start = time.monotonic()
    process = subprocess.Popen(
        [*CLI, *command],
        cwd=HERE,
        env=os.environ | {"CLOUDBOUND_DATA": str(data)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(command)} failed")
    seconds = time.monotonic() - start
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out)


def hold_back(landing: Path, nights: int) -> list[list[tuple[Path, str]]]:
    """Move the files of the newest recorded days out of landing; one list a night, oldest first.

    Each is (file below landing, its manifest line); they are noted in waiting/nights.json.
    """
    by_day: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for manifest in sorted(landing.glob("*/manifest.jsonl")):
        for line in manifest.read_text("utf-8").splitlines():
            row = json.loads(line)
            day = datetime.fromisoformat(row["recorded_at"]).date().isoformat()
            by_day[day].append((manifest.parent.relative_to(landing) / row["file"], line))
    newest = sorted(by_day)[-nights:]
    waiting = landing.parent / "waiting"
    for day in newest:
        for name, _ in by_day[day]:
            target = waiting / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (landing / name).rename(target)
    for manifest in landing.glob("*/manifest.jsonl"):
        held = {
            line
            for day in newest
            for name, line in by_day[day]
            if name.parts[0] == manifest.parent.name
        }
        kept = [line for line in manifest.read_text("utf-8").splitlines() if line not in held]
        manifest.write_text("".join(f"{line}\n" for line in kept), "utf-8")
    held_back = [by_day[day] for day in newest]
    noted = [[(str(name), line) for name, line in files] for files in held_back]
    (waiting / "nights.json").write_text(json.dumps(noted), "utf-8")
    return held_back


def waiting_for(landing: Path) -> list[list[tuple[Path, str]]]:
    """What hold_back returned for this landing."""
    noted = json.loads((landing.parent / "waiting" / "nights.json").read_text("utf-8"))
    return [[(Path(name), line) for name, line in files] for files in noted]


def is_delivered(landing: Path, files: list[tuple[Path, str]]) -> bool:
    return all((landing / name).exists() for name, _ in files)


def deliver(landing: Path, files: list[tuple[Path, str]]) -> None:
    for name, line in files:
        target = landing / name
        if target.exists():
            continue  # by the run that this one resumes
        target.parent.mkdir(parents=True, exist_ok=True)
        (landing.parent / "waiting" / name).rename(target)
        with (landing / name.parts[0] / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
            manifest.write(f"{line}\n")


def size_mb(path: Path) -> float:
    """Of a file, or of all files below a folder."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teams", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=395)
    parser.add_argument("--rows-per-day", type=int, default=1_000_000)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    data = given.folder / "data"
    landing = data / "landing"
    if given.resume:
        nights = waiting_for(landing)
        first = sum(is_delivered(landing, files) for files in nights)
    else:
        shutil.rmtree(data, ignore_errors=True)
        made = run(
            data, "simulate", "--out", str(landing), "--teams", str(given.teams),
            "--days", str(given.days), "--seed", "7", "--rows-per-day", str(given.rows_per_day),
        )  # fmt: skip
        print(f"simulated in {made.seconds:.0f} s: {made.out.strip()}")
        nights = hold_back(landing, given.nights)
        first = 0
    print("night       seconds  processor s  peak MB  published MB  build MB  history MB  share")
    for number, files in list(enumerate([[], *nights]))[first:]:
        deliver(landing, files)
        took = run(data, "nightly")
        answer = json.loads(run(data, "headline", "--json").out)
        share = "n/a" if answer["share"] is None else f"{answer['share']:.4f}"
        name = "backfill" if number == 0 else f"night {number}"
        print(
            f"{name:<10} {took.seconds:>8.1f} {took.processor_seconds:>12.1f} {took.peak_mb:>8.0f} "
            f"{size_mb(data / 'cloudbound.duckdb'):>13.1f} {size_mb(data / 'build.duckdb'):>9.1f} "
            f"{size_mb(data / 'dagster'):>11.1f}  {share}",
            flush=True,
        )
    print(f"peak of all: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
