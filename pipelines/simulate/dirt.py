"""What goes wrong on the way: duplicates, late rows, skewed clocks, broken lines, odd services.

Belongs here: which rows are delivered twice or late, and the lines that are no rows. `dirt` (0..1)
scales how often. Nothing here may change a label once every file has arrived: all rows arrive in
the end, a copy says what its original said or can't be read, and what is added is no workload and no
request.
Does not belong here: decoys, which are honest data about teams that did not move (decoys.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.simulate.requests import DAY_MS, Rows
from pipelines.simulate.streams import I64, bits, mix, to_unit
from pipelines.simulate.teams import Settings, Teams

_LATE = 0.03
_TWICE = 0.02
_BROKEN = 0.01
_SECOND_ACCOUNT = 0.10
_ODD_SERVICE = 0.10
_LATE_SNAPSHOT = 0.4
_UNREADABLE = 0.4
_TORN_EXPORT = 0.3
LATE_DAYS = 10
"""Late rows arrive up to so many days after their file was cut: within the lag and beyond."""


def late(settings: Settings, made: Rows) -> NDArray[np.bool_]:
    """Rows that miss their own file."""
    return bits(made.identity, 20, 20) * 2.0**-20 < _LATE * settings.dirt


def twice(settings: Settings, made: Rows) -> NDArray[np.bool_]:
    """Rows that are delivered again (the late ones once, there)."""
    return bits(made.identity, 40, 20) * 2.0**-20 < _TWICE * settings.dirt


def late_arrival_ms(made: Rows, cut_ms: int) -> I64:
    """When a late or repeated row arrives, after its own file was cut."""
    wait = to_unit(mix(made.identity)) ** 2 * LATE_DAYS * DAY_MS
    return np.maximum(made.at_ms, cut_ms) + wait.astype(np.int64)


def shuffled(settings: Settings, made: Rows) -> NDArray[np.intp]:
    """An order of rows that is neither by team nor by time."""
    return np.argsort(mix(made.identity ^ settings.streams.key("shuffle")), kind="stable")


def broken_lines(settings: Settings, purpose: str, lines: list[str]) -> list[str]:
    """The lines with torn copies in between, as a crashed writer leaves them."""
    torn = settings.streams.words(f"torn {purpose}", np.arange(len(lines), dtype=np.int64))
    hit = bits(torn, 0, 20) * 2.0**-20 < _BROKEN * settings.dirt
    cut = bits(torn, 20, 6)
    out: list[str] = []
    for line, is_torn, where in zip(lines, hit.tolist(), cut.tolist(), strict=True):
        if is_torn:
            out.append(line[: 20 + where])
        out.append(line)
    return out


def second_account(settings: Settings, teams: Teams) -> NDArray[np.bool_]:
    """Teams whose other families are billed to a second account, linked only weeks later."""
    u = settings.streams.uniform("second account", teams.index)
    return u < _SECOND_ACCOUNT * settings.dirt


def odd_service(settings: Settings, teams: Teams) -> NDArray[np.bool_]:
    """Accounts that also buy a service nobody has heard of."""
    return settings.streams.uniform("odd service", teams.index) < _ODD_SERVICE * settings.dirt


def is_delayed(settings: Settings, number: int) -> bool:
    """Whether an export that a later one replaces is delivered only after that one."""
    u = settings.streams.uniform("late snapshot", np.array([number], dtype=np.int64))
    return bool(u[0] < _LATE_SNAPSHOT * settings.dirt)


def is_cut_off(settings: Settings, number: int) -> bool:
    """Whether an export was first uploaded in part: a compressed file that ends in the middle."""
    u = settings.streams.uniform("cut off", np.array([number], dtype=np.int64))
    return bool(u[0] < _UNREADABLE * settings.dirt)


def broken_charges(settings: Settings, number: int, part: int, text: str) -> str:
    """Rows of an export's CSV, with copies that can't count in between.

    Each stands before the good row that it is a copy of: one whose amount is no number, or (in some
    exports) one that is cut off inside its amount, the second field, so that it names no account.
    """
    lines = text.splitlines()
    index = np.arange(len(lines), dtype=np.int64) + (number * 4_096 + part) * 1_000_000
    word = settings.streams.words("broken charge", index)
    hits = np.flatnonzero(bits(word, 0, 20) * 2.0**-20 < _BROKEN * settings.dirt)
    u = settings.streams.uniform("torn export", np.array([number], dtype=np.int64))
    can_tear = bool(u[0] < _TORN_EXPORT * settings.dirt)
    for k in hits[::-1].tolist():
        zone, amount, rest = lines[k].split(",", 2)
        is_torn = can_tear and bits(word[k], 20, 1)
        lines.insert(k, f"{zone},{amount[:3]}" if is_torn else f"{zone},{amount[:3]}?,{rest}")
    return "\n".join(lines) + "\n"
