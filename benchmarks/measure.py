"""Timing that can be compared: peers in turn within one run, each in a process of its own.

Belongs here: wall and processor seconds and peak memory of a piece of work, medians, ratios.
Does not belong here: any work.
"""

import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """One run, or the medians of several: seconds of wall and processor, peak bytes, the answer."""

    wall: float
    cpu: float
    peak: int
    answer: Any = None


def once(work: Callable[[], Any]) -> Cost:
    """The work in a fresh process, so that its peak memory and its caches are its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (work,))


def _measured(work: Callable[[], Any]) -> Cost:
    wall, cpu = time.perf_counter(), _processor()
    answer = work()
    wall, cpu = time.perf_counter() - wall, _processor() - cpu
    return Cost(wall, cpu, _peak(), answer)


def _peak() -> int:
    """Bytes; getrusage would count what the parent held when it started this process."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _processor() -> float:
    """Seconds of processor of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_turn(works: dict[str, Callable[[], Any]], runs: int = 3) -> dict[str, Cost]:
    """Each work once after the other, `runs` times; medians. What else runs hits all alike."""
    found: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            found[name].append(once(work))
            print(f"{name}: {found[name][-1].wall:.2f} s", file=sys.stderr)
    return {
        name: Cost(
            statistics.median(c.wall for c in costs),
            statistics.median(c.cpu for c in costs),
            max(c.peak for c in costs),
            costs[0].answer,
        )
        for name, costs in found.items()
    }


def load() -> str:
    """How busy the machine is besides: ratios of processor time hold when this is high."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def table(costs: dict[str, Cost], rows: int, against: str) -> str:
    """A line per work: seconds, ns a row, peak memory, ratio of wall and processor to `against`."""
    base = costs[against]
    lines = [
        "| what | wall s | cpu s | ns a row (cpu) | peak MB | wall / base | cpu / base |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cost in costs.items():
        lines.append(
            f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.cpu / rows * 1e9:.0f} | "
            f"{cost.peak / 1e6:.0f} | {cost.wall / base.wall:.2f} | {cost.cpu / base.cpu:.2f} |"
        )
    return "\n".join(lines)
