"""Funnels over any table of events: how many entities got through the steps, and how fast.

Belongs here: the way from events to numbers, and how numbers are told. Does not belong here: the
command line, DuckDB sessions, and the meaning of Cloudbound's own milestones; a published table
comes in as a frame through `clean_events`.

What is counted. An attempt is a chain of distinct rows of one entity that fill steps 1..k in turn,
all within the window. Every entity counts once, with its best attempt.

    question                       answer
    which attempt counts           any entry may win: most steps, then clean before tainted, then
                                   the earliest first step, then every next step as early as can be
    window                         inclusive, measured from the first step; none = no limit
    equal times                    a moment (one entity, one time) has no inner order: its rows may
                                   fill steps in any order, so the order of the file never matters
    one row                        fills one step at most, also where steps repeat or are `*`
    `*`                            any row, except one of an excluded event
    exclusion                      taints an attempt when it lies strictly between the first and the
                                   last step; of an incomplete attempt, after the first step and up
                                   to the window's end, inclusive; a tainted winner counts nowhere
    strict                         contiguous rows: no other row of the entity in between
    unordered                      k = at least k distinct steps by distinct rows in one window
    median_seconds                 from the previous step to this one in the winning attempts; null
                                   for step 1 and for a step that nobody reached
    by                             the value at the winning attempt's first row (the smallest, when
                                   several rows of that moment could be it), so parts sum to totals
    time                           microseconds; finer digits are cut off, which may make ties
    numbers as time                one unit for the column by its largest: < 1e11 seconds, < 1e14
                                   milliseconds, < 1e17 microseconds, else nanoseconds
    no events at all               nobody reached anything: zeros, not an error

events.py reads, definition.py says what is asked, rows.py brings rows into order, attempts.py
finds what counts.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.errors import UsageError
from pipelines.funnel.attempts import NEVER, Winners, best
from pipelines.funnel.definition import Mode, Plan, planned
from pipelines.funnel.events import Events
from pipelines.funnel.rows import Ints, Run, blocks, coded, ids_of, runs

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class FunnelResult:
    """One funnel: of everybody (`group` is None), or of one value of the column `by`."""

    group: object
    reached: list[int]
    median_seconds: list[float | None]
    by: str | None = None


def funnel(
    events: Events,
    steps: Sequence[str],
    *,
    window_us: int | None = None,
    mode: Mode = "ordered",
    exclude: Sequence[str] = (),
    by: str | None = None,
) -> list[FunnelResult]:
    """The funnel of everybody, then, with `by`, one for every value of that column.

    Raises UsageError for what cannot be asked, and for events whose file turns out to be damaged.
    """
    plan = planned(steps, window_us, mode, exclude)
    columns = events.frame.collect_schema().names()
    if by is not None and by not in columns:
        raise UsageError(
            f"There is no column {by!r} to group by: choose one of {', '.join(columns)}."
        )
    rows = coded(events, plan, by)
    winners = _winners(rows, plan)
    results = [_result(winners.at, None, by)]
    if by is not None:
        groups = _groups(rows, winners, plan)
        results += [_result(winners.at[:, index], value, by) for value, index in groups]
    return results


def text(results: Sequence[FunnelResult], steps: Sequence[str]) -> str:
    """Counts, shares of the first step and median seconds from the step before, for people."""
    lines = []
    for result in results:
        if result.by is not None:
            total = result is results[0]
            lines.append("all" if total else f"{result.by} = {result.group}")
        for step, reached, median in zip(steps, result.reached, result.median_seconds, strict=True):
            share = f"{reached / result.reached[0]:>7.1%}" if result.reached[0] else "    n/a"
            after = "" if median is None else f"  median {median:,.0f} s after the step before"
            lines.append(f"{step:<24} {reached:>10,} {share}{after}")
    return "\n".join(lines)


def to_json(results: Sequence[FunnelResult]) -> dict[str, Any]:
    """What `cloudbound funnel --json` prints for the results of `funnel`."""
    total, *groups = results
    answer = {"reached": total.reached, "median_seconds": total.median_seconds}
    if total.by is None:
        return answer
    parts = [
        {
            "value": group.group if isinstance(group.group, _PLAIN) else str(group.group),
            "reached": group.reached,
            "median_seconds": group.median_seconds,
        }
        for group in groups
    ]
    return answer | {"groups": parts}


def _result(at: Ints, group: object, by: str | None) -> FunnelResult:
    """Counts and medians of winners; `at` has a row per step, a column per winner."""
    got_there = at != NEVER
    medians: list[float | None] = [None]
    for step in range(1, len(at)):
        took = (at[step] - at[step - 1])[got_there[step]]
        medians.append(float(np.median(took)) / 1e6 if took.size else None)
    return FunnelResult(group, got_there.sum(axis=1).tolist(), medians, by)


def _groups(
    rows: pl.DataFrame, winners: Winners, plan: Plan
) -> Iterator[tuple[object, npt.NDArray[np.intp]]]:
    """Every value of the column with the positions of the winners that began there."""
    ids = ids_of(rows)
    first = pl.DataFrame([*map(pl.Series, ids, winners.ids), pl.Series("at", winners.at[0])])
    first = first.with_row_index("winner")
    values = (
        rows.lazy()
        .filter(plan.may_enter(pl.col("code")))
        .join(first.lazy(), on=[*ids, "at"])
        .group_by("winner")
        .agg(pl.col("by").min())
        .group_by("by")
        .agg("winner")
        .sort("by", nulls_last=True)
        .collect()
    )
    for value, index in values.iter_rows():
        yield value, np.asarray(index, dtype=np.intp)


def _winners(rows: pl.DataFrame, plan: Plan) -> Winners:
    if rows.is_empty():
        none = tuple(rows[name].to_numpy() for name in ids_of(rows))
        return Winners(none, np.empty((len(plan.steps), 0), np.int64))

    def winners(run: Run) -> list[Winners]:
        return [best(plan, block) for block in blocks(run())]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy works outside the interpreter's lock
        found = list(chain.from_iterable(pool.map(winners, runs(rows, pool))))
    return Winners(
        tuple(map(np.concatenate, zip(*(each.ids for each in found), strict=True))),
        np.concatenate([each.at for each in found], axis=1),
    )
