"""Attempts of each entity, and the best of them.

Belongs here: moments, what an attempt of each mode is, what taints one, which one wins.
Does not belong here: how rows come into order, and what is said about the winners.

Every attempt walks one step per pass over arrays, so the work is (number of steps) x (number of
first steps), on hostile input too.
"""

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.funnel.definition import ANY_EVENT, Mode, Plan
from pipelines.funnel.rows import Flags, Ints, Sorted, changes

NEVER = -1


class Winners(NamedTuple):
    """The best clean attempt of every entity that counts; `at` has a row per step.

    ids are those of the entity in the columns ids_of names.
    """

    ids: tuple[npt.NDArray[Any], ...]
    at: Ints


class _Rows(NamedTuple):
    """The rows that may fill one step, as moments in order.

    `before[m]` counts those before moment m, so the rows of moment m are
    `moment[before[m]:before[m + 1]]`; behind the last row stands the moment that nobody has.
    """

    moment: Ints
    before: Ints

    def at_position(self, position: Ints) -> Ints:
        return self.moment[np.minimum(position, self.moment.size - 1)]

    def in_moment(self, moment: Ints) -> Ints:
        return self.before[moment + 1] - self.before[moment]

    def moments(self) -> Ints:
        return np.flatnonzero(self.before[1:] > self.before[:-1])


class _Block:
    """Whole entities cut into moments: the rows of one entity at one time."""

    def __init__(self, rows: Sorted, plan: Plan) -> None:
        new = changes(rows.entity) | changes(rows.at)
        self.plan = plan
        self.rows = rows
        self.code = rows.code
        self.moment = np.cumsum(new) - 1
        self.nobody = int(self.moment[-1]) + 1
        self.entity: Ints = np.append(rows.entity[new], -1)
        self.at: Ints = np.append(rows.at[new], NEVER)

    def ids(self, moment: Ints) -> tuple[npt.NDArray[Any], ...]:
        """Whose the moments are."""
        row = np.searchsorted(self.moment, moment)
        return tuple(column[row] for column in self.rows.ids)

    @cached_property
    def all(self) -> _Rows:
        return self._rows(self.moment)

    @cached_property
    def usable(self) -> _Rows:
        return self._rows(self.moment[self.code != self.plan.excluded_code])

    @cached_property
    def excluded(self) -> _Rows:
        return self._rows(self.moment[self.code == self.plan.excluded_code])

    @cached_property
    def by_step(self) -> dict[str, _Rows]:
        named = {
            name: self._rows(self.moment[self.code == code])
            for code, name in enumerate(self.plan.names, start=1)
        }
        return named | {ANY_EVENT: self.usable} if self.plan.stars else named

    def _rows(self, moment: Ints) -> _Rows:
        before = np.zeros(self.nobody + 2, dtype=np.int64)
        np.cumsum(np.bincount(moment, minlength=self.nobody + 1), out=before[1:])
        return _Rows(np.append(moment, self.nobody), before)

    def step(self, number: int) -> _Rows:
        return self.by_step[self.plan.steps[number]]

    def in_reach(self, first: Ints, later: Ints) -> Flags:
        """Whether `later` is of the same entity and inside the window that opens at `first`."""
        reach: Flags = self.entity[later] == self.entity[first]
        if self.plan.window_us is not None:
            reach &= self.at[later] - self.at[first] <= self.plan.window_us
        return reach

    def fits(self, number: int, since: Ints | int, moment: Ints) -> Flags:
        """Whether `moment` can fill step `number` besides the steps `since`..number-1 it fills."""
        fits: Flags = self.plan.claims[number, since] < self.step(number).in_moment(moment)
        fits &= number - since < self.usable.in_moment(moment)
        return fits

    def entries(self, moments: Ints) -> Ints:
        if not self.plan.earliest_entry_suffices:
            return moments
        return moments[np.unique(self.entity[moments], return_index=True)[1]]


def _ordered(block: _Block) -> Ints:
    """From every entry, each next step at the earliest moment that can still fill it.

    Being early never costs a later step, so this is the furthest and the soonest for the entry.
    """
    plan = block.plan
    start = block.entries(block.step(0).moments())
    reached = np.full((len(plan.steps), start.size), block.nobody)
    reached[0] = start
    live, here, since = (
        np.arange(start.size),
        start,
        np.zeros(start.size, dtype=np.int64),
    )
    for number in range(1, len(plan.steps)):
        rows = block.step(number)
        position = rows.before[here] + plan.claims[number, since]
        if plan.stars:
            spent = number - since == block.usable.in_moment(here)
            position = np.where(spent, rows.before[here + 1], position)
        there = rows.at_position(position)
        goes_on = block.in_reach(start[live], there)
        since = np.where(there == here, since, number)[goes_on]
        live, here = live[goes_on], there[goes_on]
        reached[number, live] = here
    return reached


def _strict(block: _Block) -> Ints:
    """From every entry, contiguous rows: a moment in the middle has to be used up entirely.

    The order inside a moment is free, so an attempt may leave its first moment after any number
    of steps that the moment can fill: each such number is an attempt of its own.
    """
    plan = block.plan
    seeds = [block.step(0).moments()]
    for number in range(1, len(plan.steps)):
        seeds.append(seeds[-1][block.fits(number, 0, seeds[-1])])
    start = np.concatenate(seeds)
    level = np.repeat(np.arange(1, len(seeds) + 1), [seed.size for seed in seeds])
    longest_first = np.lexsort((-level, start))
    start, level = start[longest_first], level[longest_first]
    reached = np.where(np.arange(len(plan.steps))[:, None] < level, start, block.nobody)
    moment, since = start.copy(), np.zeros(start.size, dtype=np.int64)
    for number in range(1, len(plan.steps)):
        live = np.flatnonzero(level == number)
        here, first = moment[live], start[live]
        stays = (here != first) & block.fits(number, since[live], here)
        used_up = (here == first) | (number - since[live] == block.all.in_moment(here))
        there = np.where(stays, here, here + 1)
        enters = used_up & block.in_reach(first, there) & block.fits(number, number, there)
        goes_on = stays | enters
        live, there = live[goes_on], there[goes_on]
        since[live] = np.where(there == moment[live], since[live], number)
        moment[live] = reached[number, live] = there
        level[live] += 1
    return reached


def _unordered(block: _Block) -> Ints:
    """From every entry, the moments at which one more step can have been done.

    With s steps `*`, k steps are done once k - s named ones are and k rows have passed.
    """
    plan = block.plan
    entry = np.zeros(block.nobody, dtype=bool)
    for rows in block.by_step.values():
        entry[rows.moments()] = True
    start = block.entries(np.flatnonzero(entry))
    named = [
        block.by_step[name].at_position(block.by_step[name].before[start] + repeat)
        for name, times in Counter(plan.steps).items()
        if name != ANY_EVENT
        for repeat in range(times)
    ]
    done = np.sort(np.array(named, dtype=np.int64).reshape(len(named), start.size), axis=0)
    reached = np.empty((len(plan.steps), start.size), dtype=np.int64)
    for number in range(len(plan.steps)):
        there = done[number - plan.stars] if number >= plan.stars else start
        if plan.stars:
            rows_passed = block.usable.at_position(block.usable.before[start] + number)
            there = np.maximum(there, rows_passed)
        reached[number] = np.where(block.in_reach(start, there), there, block.nobody)
    return reached


_ATTEMPTS: dict[Mode, Callable[[_Block], Ints]] = {
    "ordered": _ordered,
    "strict": _strict,
    "unordered": _unordered,
}


def best(plan: Plan, rows: Sorted) -> Winners:
    """Per entity the attempt with the most steps, clean before tainted, earliest first."""
    block = _Block(rows, plan)
    reached = _ATTEMPTS[plan.mode](block)
    level = (reached != block.nobody).sum(axis=0)
    tainted = _tainted(block, reached) if plan.excluded else np.zeros(level.size, dtype=bool)
    score = 2 * level + ~tainted
    entity = block.entity[reached[0]]
    opens = np.flatnonzero(changes(entity))
    if not opens.size:
        return Winners(block.ids(reached[0]), block.at[reached])
    sizes = np.diff(np.append(opens, entity.size))
    wins = np.flatnonzero(score == np.repeat(np.maximum.reduceat(score, opens), sizes))
    wins = wins[changes(entity[wins])]
    wins = wins[~tainted[wins]]
    return Winners(block.ids(reached[0, wins]), block.at[reached[:, wins]])


def _tainted(block: _Block, reached: Ints) -> Flags:
    """Whether an excluded row lies after the first step and before the last, or in the window."""
    first, last = reached[0], reached[-1]
    after_first = block.excluded.before[first + 1]
    next_excluded = block.excluded.at_position(after_first)
    return np.where(
        last == block.nobody, block.in_reach(first, next_excluded), next_excluded < last
    )
