"""Teams that look like a success and are none: each breaks exactly one clause of the metric.

Belongs here: the list of decoys, how common each is, and the two patterns a decoy imposes (how its
members call the plan, how its account is charged). Past customers (native, dormant) and teams that
moved before the habit (rush) are in the same draw, because a team is at most one of them.
Does not belong here: writing rows (requests.py, charges.py) and judging them (truth.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipelines.simulate.streams import F64, I64


class Calls(StrEnum):
    """How a team calls the plan, when not as its archetype would."""

    NATURAL = "natural"
    STEADY = "steady"
    ONE_WEEK = "one_week"
    TWO_A_DAY = "two_a_day"
    SPARSE = "sparse"
    FAILING = "failing"


class Bill(StrEnum):
    """How a cloud account is charged, beside the plan fee."""

    NOTHING = "nothing"
    MOVES = "moves"
    FREE = "free"
    CREDITED_DAILY = "credited_daily"
    CREDITED_LUMP = "credited_lump"
    BURST = "burst"
    BELOW_FLOOR = "below_floor"
    REFUNDED = "refunded"
    WORKDAYS = "workdays"
    STANDING = "standing"
    RECENT = "recent"
    DORMANT = "dormant"
    RUSH = "rush"


@dataclass(frozen=True)
class Decoy:
    """One kind of team: its share of the world, its patterns, and the clause it breaks."""

    name: str
    share: float
    calls: Calls
    bill: Bill
    breaks: str
    is_off_plan: bool = False


DECOYS: tuple[Decoy, ...] = (
    Decoy("none", 0.0, Calls.NATURAL, Bill.MOVES, ""),
    Decoy("free_tier", 0.02, Calls.STEADY, Bill.FREE, "billable day: net > 0.005 CNY"),
    Decoy("credited_daily", 0.012, Calls.STEADY, Bill.CREDITED_DAILY, "credits are netted"),
    Decoy(
        "credited_lump",
        0.012,
        Calls.STEADY,
        Bill.CREDITED_LUMP,
        "unserviced credits are netted",
    ),
    Decoy("burst", 0.015, Calls.STEADY, Bill.BURST, ">= 21 billable days of 28"),
    Decoy("below_floor", 0.015, Calls.STEADY, Bill.BELOW_FLOOR, "net >= 30 CNY in 28 days"),
    Decoy(
        "refunded",
        0.015,
        Calls.STEADY,
        Bill.REFUNDED,
        "refunds correct their usage day",
    ),
    Decoy(
        "workdays",
        0.015,
        Calls.STEADY,
        Bill.WORKDAYS,
        "20 billable days of 28 are too few",
    ),
    Decoy("plan_fee", 0.02, Calls.STEADY, Bill.NOTHING, "the plan fee is no workload"),
    Decoy("one_week", 0.02, Calls.ONE_WEEK, Bill.NOTHING, "active days in >= 2 ISO weeks"),
    Decoy(
        "two_a_day",
        0.015,
        Calls.TWO_A_DAY,
        Bill.NOTHING,
        ">= 3 accepted requests a day",
    ),
    Decoy("sparse", 0.015, Calls.SPARSE, Bill.NOTHING, ">= 5 active days of 14"),
    Decoy("failing", 0.005, Calls.FAILING, Bill.NOTHING, "only accepted requests count"),
    Decoy("wrong_key", 0.01, Calls.STEADY, Bill.NOTHING, "made on the plan's key", True),
    Decoy("native", 0.08, Calls.NATURAL, Bill.STANDING, "not on the cloud before the plan"),
    Decoy(
        "native_recent",
        0.02,
        Calls.NATURAL,
        Bill.RECENT,
        "not on the cloud before the plan",
    ),
    Decoy("rush", 0.02, Calls.NATURAL, Bill.RUSH, "moved after the habit, not before"),
    Decoy("dormant", 0.02, Calls.NATURAL, Bill.DORMANT, ""),
)
"""`none` takes what the others leave. `dormant` breaks nothing: it counts, and may move again."""

NAMES: tuple[str, ...] = tuple(d.name for d in DECOYS)
CODE: dict[str, int] = {name: code for code, name in enumerate(NAMES)}
_SHARES = np.array([d.share for d in DECOYS])
_CUMULATIVE = np.concatenate([[1.0 - _SHARES.sum()], 1.0 - _SHARES.sum() + np.cumsum(_SHARES[1:])])
IS_OFF_PLAN = np.array([d.is_off_plan for d in DECOYS])

IS_BILLED_DECOY = np.array([d.calls == Calls.STEADY and d.bill != Bill.NOTHING for d in DECOYS])
"""Decoys whose clause is about charges."""

DORMANT_MIN_DAY = 45
"""A dormant team subscribes late enough for a whole past life to fit before its look-back."""


def assign(u: F64) -> NDArray[np.int8]:
    """The decoy code of each team from a uniform number."""
    return np.minimum(np.searchsorted(_CUMULATIVE, u), len(DECOYS) - 1).astype(np.int8)


def with_calls(*kinds: Calls) -> NDArray[np.bool_]:
    """A lookup by code: does this decoy call in one of these ways?"""
    return np.array([d.calls in kinds for d in DECOYS])


def with_bill(*kinds: Bill) -> NDArray[np.bool_]:
    """A lookup by code: is this decoy charged in one of these ways?"""
    return np.array([d.bill in kinds for d in DECOYS])


NEVER_MOVES = ~with_bill(Bill.MOVES, Bill.STANDING, Bill.RECENT, Bill.DORMANT, Bill.RUSH)
"""Decoys whose true share is 0 at every horizon."""


def call_pattern(
    codes: NDArray[np.int8], since: I64, weekday: I64, size: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which cells of a (team, day) grid a decoy governs, and its accepted requests there.

    `since` is days since the subscription (a grid), `weekday` the day's 0 = Monday, `size` a
    natural number of requests >= 1 for the cell.
    """
    counts = np.zeros(since.shape, dtype=np.int32)
    one_week = with_calls(Calls.ONE_WEEK)[codes][:, None]
    two = with_calls(Calls.TWO_A_DAY)[codes][:, None]
    sparse = with_calls(Calls.SPARSE)[codes][:, None]
    failing = with_calls(Calls.FAILING)[codes][:, None]
    steady = with_calls(Calls.STEADY)[codes][:, None]
    week = weekday[None, :]
    # The first whole ISO week after the subscription, Monday to Saturday, and nothing ever after.
    monday = since - week
    in_week = one_week & (monday >= 0) & (monday < 7) & (week < 6)
    np.copyto(counts, 3 + size, where=in_week)
    np.copyto(counts, 2, where=two & (week < 5))
    np.copyto(counts, 3 + size, where=sparse & (since % 4 == 0))
    np.copyto(counts, since.astype(np.int32) % 3, where=failing)
    np.copyto(counts, 3 + size, where=steady & (week < 5))
    counts[since < 0] = 0
    return np.broadcast_to(one_week | two | sparse | failing | steady, since.shape), counts
