"""Counter-based random numbers: every draw is a pure function of (seed, purpose, team, day, ...).

Belongs here: the mixing function and the ways to index it. Because nothing is drawn in sequence,
any rectangle of teams and days can be made alone, by any process, in any order, with the same
result; a longer world therefore extends a shorter one.
Does not belong here: what the numbers mean.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
DAY_OFFSET = 4096
"""Days may be negative (the billing look-back); this makes them counters."""


def mix(x: U64) -> U64:
    """The splitmix64 finaliser: a bijection of 64-bit words, so distinct inputs stay distinct."""
    y = x >> _S30
    y ^= x
    y *= _M1
    z = y >> _S27
    y ^= z
    y *= _M2
    np.right_shift(y, _S31, out=z)
    y ^= z
    return y


def to_unit(x: U64) -> F64:
    """Words to floats strictly inside (0, 1)."""
    return ((x >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def bits(x: U64, shift: int, width: int) -> NDArray[np.intp]:
    """The `width` bits from `shift` on, as an index."""
    return ((x >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.intp)


@dataclass(frozen=True)
class Streams:
    """All random numbers of one world."""

    seed: int

    def key(self, purpose: str) -> np.uint64:
        """The 64-bit key of a purpose in this world."""
        digest = hashlib.blake2b(f"{self.seed}:{purpose}".encode(), digest_size=8).digest()
        return np.uint64(int.from_bytes(digest, "little"))

    def words(self, purpose: str, index: I64) -> U64:
        """One word for each index (a team, or any other counter)."""
        x = index.astype(np.uint64) * GOLDEN
        x ^= self.key(purpose)
        return mix(mix(x))

    def uniform(self, purpose: str, index: I64) -> F64:
        """One uniform number in (0, 1) for each index."""
        return to_unit(self.words(purpose, index))

    def grid(self, purpose: str, index: I64, days: I64) -> U64:
        """One word for each (index, day)."""
        counters = (days + DAY_OFFSET).astype(np.uint64) * GOLDEN
        return mix(self.words(purpose, index)[:, None] + counters[None, :])
