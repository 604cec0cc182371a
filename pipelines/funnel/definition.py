"""What a funnel asks: its steps, window, mode and exclusions.

Belongs here: reading a definition, refusing one that makes no sense, and which events stand for
which step. Does not belong here: events themselves.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.errors import UsageError

Mode = Literal["ordered", "strict", "unordered"]

ANY_EVENT = "*"

_WINDOW = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([smhd])\s*")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MOST_STEPS = 64
_FEW = 8


def parse_window(text: str) -> int:
    """Microseconds of '14d', '1.5h', '90m', '30s' or '0.001s', rounded down."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise UsageError(
            f"Window {text!r} is not a duration: write a number and s, m, h or d, such as 14d."
        )
    number, unit = match.groups()
    return int(Fraction(number) * _UNIT_SECONDS[unit] * 1_000_000)


@dataclass(frozen=True)
class Plan:
    """What is asked. Event codes: 0 = any other event, 1.. = named steps, last = excluded."""

    steps: tuple[str, ...]
    excluded: tuple[str, ...]
    mode: Mode
    window_us: int | None

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step for step in self.steps if step != ANY_EVENT))

    @cached_property
    def stars(self) -> int:
        return self.steps.count(ANY_EVENT)

    @property
    def excluded_code(self) -> int:
        return len(self.names) + 1

    @property
    def needs_every_row(self) -> bool:
        return self.mode == "strict" or self.stars > 0

    @property
    def earliest_entry_suffices(self) -> bool:
        """Without a limit and without exclusions an entity's first entry reaches all it can."""
        return self.mode != "strict" and self.window_us is None and not self.excluded

    @cached_property
    def claims(self) -> npt.NDArray[np.int64]:
        """claims[k, j] = how many of steps j..k-1 compete with step k for the same rows."""
        return np.array(
            [
                [sum(step in (taken, ANY_EVENT) for taken in self.steps[j:k]) for j in range(k + 1)]
                + [0] * (len(self.steps) - k - 1)
                for k, step in enumerate(self.steps)
            ],
            dtype=np.int64,
        )

    def code(self, event: pl.Expr) -> pl.Expr:
        codes = {name: position for position, name in enumerate(self.names, start=1)}
        codes |= dict.fromkeys(self.excluded, self.excluded_code)
        if len(codes) > _FEW:
            return event.replace_strict(
                list(codes), list(codes.values()), default=0, return_dtype=pl.UInt8
            )
        found = pl.lit(0, dtype=pl.UInt8)
        for name, number in codes.items():  # a third of the time of a table
            found = pl.when(event == name).then(pl.lit(number, dtype=pl.UInt8)).otherwise(found)
        return found

    def may_enter(self, code: pl.Expr) -> pl.Expr:
        """Whether a row may be the first row of an attempt."""
        entries = self.steps if self.mode == "unordered" else self.steps[:1]
        if ANY_EVENT in entries:
            return code != self.excluded_code
        return code.is_in([self.names.index(step) + 1 for step in dict.fromkeys(entries)])


def planned(
    steps: Sequence[str], window_us: int | None, mode: Mode, exclude: Sequence[str]
) -> Plan:
    """The plan, or a UsageError that says what is wrong with it."""
    if not 0 < len(steps) <= _MOST_STEPS or "" in steps:
        raise UsageError(
            f"Steps {','.join(steps)!r} make no funnel: name 1 to {_MOST_STEPS} events, "
            f"{ANY_EVENT} for any."
        )
    if mode not in get_args(Mode):
        raise UsageError(f"Mode {mode!r} is unknown: choose one of {', '.join(get_args(Mode))}.")
    if window_us is not None and window_us < 0:
        raise UsageError(f"Window {window_us} us is negative: give zero or more.")
    for event in exclude:
        if event in (*steps, ANY_EVENT, ""):
            raise UsageError(f"Event {event!r} cannot be excluded: name an event that is no step.")
    return Plan(tuple(steps), tuple(exclude), mode, window_us)
