"""Numbers sorted together with their rows come in the order that numpy gives them by index."""

import numpy as np
import pytest

from pipelines import sorting


@pytest.mark.parametrize(
    ("least", "most"),
    [(-1, 50), (0, 0), (7, 2**40), (-(2**62), 2**62), (-1, 2**62), (2**62, 2**63 - 1)],
)
@pytest.mark.parametrize("rows", [0, 1, 1_000])
def test_the_order_is_that_of_a_stable_sort(least: int, most: int, rows: int) -> None:
    numbers = np.random.default_rng(5).integers(least, most, rows, endpoint=True)
    order = sorting.order_of(numbers)
    assert order.tolist() == np.argsort(numbers, kind="stable").tolist()


def test_hashes_come_by_their_upper_bits() -> None:
    hashes = np.random.default_rng(5).integers(0, 2**64 - 1, 1_000, dtype=np.uint64)
    hashes[500:] = hashes[:500] ^ np.uint64(1)  # alike but for the last bit
    order, bits = sorting.by_upper_bits(hashes)
    assert sorted(order.tolist()) == list(range(1_000))
    assert bits.tolist() == (hashes[order] >> np.uint64(10)).tolist() == sorted(bits.tolist())


@pytest.mark.parametrize("rows", [0, 1, 20, 3_000])
def test_rows_meet_whose_upper_bits_are_alike(rows: int) -> None:
    """Two and three of a kind, at either end too; a lower bit more or less doesn't part them."""
    draw = np.random.default_rng(5)
    hashes = draw.integers(0, 2**64 - 1, rows, dtype=np.uint64)
    for copies in (rows // 10, rows // 20):
        hashes[draw.permutation(rows)[:copies]] = hashes[:copies] ^ np.uint64(1)
    upper = (hashes >> np.uint64(rows.bit_length())).tolist()
    expected = sorted((bits, row) for row, bits in enumerate(upper) if upper.count(bits) > 1)
    assert sorting.meeting(hashes).tolist() == [row for _, row in expected]
    assert len(expected) > rows // 10 or rows < 20


@pytest.mark.parametrize("rows", [0, 1, 999, 1_000, 5_000])
@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_numbers_ascend_in_place(rows: int, kind: type) -> None:
    """Also in a slice of a larger array, which funnels sort piece by piece."""
    whole = np.random.default_rng(5).integers(0, 2**63 - 1, rows + 2).astype(kind)
    first, last, expected = whole[0], whole[-1], sorted(whole[1:-1].tolist())
    sorting.in_place(whole[1:-1])
    assert whole[1:-1].tolist() == expected
    assert (whole[0], whole[-1]) == (first, last)
