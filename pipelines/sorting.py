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
    numbers[:] = _ascending(numbers)


def _ascending(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A sorted copy, which may be read only."""
    if numbers.size < _FEW:
        return np.sort(numbers)
    return pl.Series(numbers).sort(multithreaded=False, in_place=True).to_numpy()


def order_of(numbers: npt.NDArray[np.int64]) -> Order:
    """An order in which the numbers ascend; equal ones in the order of their rows."""
    if not numbers.size:
        return np.zeros(0, dtype=np.int64)
    row_bits = numbers.size.bit_length()
    least = int(numbers.min())
    if (int(numbers.max()) - least) >> (63 - row_bits):
        return np.argsort(numbers, kind="stable")
    packed = numbers - least
    packed <<= row_bits
    packed |= np.arange(numbers.size)
    return _ascending(packed) & ((1 << row_bits) - 1)


def by_upper_bits(hashes: npt.NDArray[np.uint64]) -> tuple[Order, npt.NDArray[Any]]:
    """An order in which the upper bits of hashes ascend, and those bits in that order."""
    ascending, row_bits = _with_rows(hashes)
    return _rows(ascending, row_bits), ascending >> row_bits


def meeting(hashes: npt.NDArray[np.uint64]) -> Order:
    """The rows whose upper bits another row has, too; these side by side."""
    ascending, row_bits = _with_rows(hashes)
    is_as_before = np.zeros(hashes.size + 1, dtype=bool)
    is_as_before[1:-1] = (ascending[1:] ^ ascending[:-1]) >> row_bits == 0
    return _rows(ascending[is_as_before[1:] | is_as_before[:-1]], row_bits)


def _with_rows(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[Any], np.uint64]:
    """Ascending, the number of each row in place of the lower bits (20 for a million), and those."""
    row_bits = np.uint64(hashes.size.bit_length())
    packed = hashes >> row_bits
    packed <<= row_bits
    packed |= np.arange(hashes.size, dtype=np.uint64)
    return _ascending(packed), row_bits


def _rows(packed: npt.NDArray[Any], row_bits: np.uint64) -> Order:
    return (packed & ((np.uint64(1) << row_bits) - np.uint64(1))).view(np.int64)
