"""Progress of long steps: a bar on a terminal, nothing elsewhere.

Belongs here: the drawing. Does not belong here: what is counted.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown() -> Iterator[Callable[[str, int, int], None]]:
    """A function (step, done, total) that moves that step's bar on standard error.

    A step called "... rows" shows its rows per second as well.
    """
    if not sys.stderr.isatty():
        yield lambda step, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[speed]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total, speed="")
            task = tasks[step]
            bars.update(task, completed=done, total=total)  # type: ignore[arg-type]
            if step.endswith("rows"):
                elapsed = bars.tasks[task].elapsed or 0.0  # type: ignore[call-overload]
                bars.update(task, speed=per_second(done, elapsed))  # type: ignore[arg-type]

        yield show


def per_second(rows: int, seconds: float) -> str:
    """Rows per second in words: 1.25M rows/s, 830k rows/s."""
    speed = rows / max(seconds, 1e-3)
    return f"{speed / 1e6:.2f}M rows/s" if speed >= 1e6 else f"{speed / 1e3:.0f}k rows/s"
