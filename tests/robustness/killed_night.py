"""A night in a process of its own that is killed at its n-th write or rename.

    python -m tests.robustness.killed_night DATA RUN_ID N

N = 0 kills nothing and prints how many such points the night has. The points are Python's own
audit events, raised just before the thing happens: files opened for writing and renames inside
the data folder. Nothing of the product is changed.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests import driver

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Points:
    """Counts what would change the data folder, and kills the process at the n-th."""

    def __init__(self, data: Path, fatal: int) -> None:
        self.data = str(data)
        self.fatal = fatal
        self.seen = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._changes(event, arguments):
            return
        self.seen += 1
        if self.seen == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "os.rename":
            return str(arguments[1]).startswith(self.data)
        if event != "open" or not str(arguments[0]).startswith(self.data):
            return False
        return bool((arguments[2] or 0) & WRITING)


if __name__ == "__main__":
    folder, run, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    points = Points(folder, number)
    sys.addaudithook(points)
    driver.run(folder, run_id=run)
    print(points.seen)
