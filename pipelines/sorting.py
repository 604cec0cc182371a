"""Whole numbers in order, and orders of them, by sorting each with its row's number as one integer.

Belongs here: sorting integers, and how a number and a row share 64 bits.
Does not belong here: what the numbers mean.

Integers sort faster than an index of them. Few are sorted by numpy, many by polars: numpy's wide
registers make it a little quicker on some processors and several times slower on others.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Order = npt.NDArray[np.int64]
_FEW = 1_000


def in_place(numbers: npt.NDArray[Any]) -> None:
    """The whole numbers ascend afterwards."""
    if numbers.size < _FEW:
        numbers.sort()
    else:
        numbers[:] = pl.Series(numbers).sort(multithreaded=False).to_numpy()


def order_of(numbers: npt.NDArray[np.int64]) -> Order:
    """An order in which the numbers ascend; equal ones in the order of their rows."""
    if not numbers.size:
        return np.zeros(0, dtype=np.int64)
    row_bits = numbers.size.bit_length()
    least = int(numbers.min())
    if (int(numbers.max()) - least) >> (63 - row_bits):
        return np.argsort(numbers, kind="stable")
    packed = (numbers - least) << row_bits
    packed |= np.arange(numbers.size)
    in_place(packed)
    packed &= (1 << row_bits) - 1
    return packed


def by_upper_bits(hashes: npt.NDArray[np.uint64]) -> tuple[Order, npt.NDArray[Any]]:
    """An order in which the upper bits of hashes ascend, and those bits in that order.

    The number of a row takes the place of the lower bits: 20 of the 64 for a million rows.
    """
    row_bits = np.uint64(hashes.size.bit_length())
    packed = hashes >> row_bits << row_bits
    packed |= np.arange(hashes.size, dtype=np.uint64)
    in_place(packed)
    order = (packed & ((np.uint64(1) << row_bits) - np.uint64(1))).view(np.int64)
    return order, packed >> row_bits
