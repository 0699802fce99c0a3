"""Reaching for memory changes nothing: neither what is reached for, nor what is computed beside it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled_in_place
from ringfence.kernel.reaching import reach


@compiled_in_place
def total(table: NDArray[np.int64], first: NDArray[np.int64]) -> int:
    """Add up the first of each row, and reach for the row after it; beyond the end there is none to read."""
    found = 0
    for row in range(len(table)):
        reach(table, row + 1)
        found += first[row]
    return found


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2)])
def test_what_is_reached_for_stays_as_it_is(shape: tuple[int, ...]) -> None:
    table = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    before = table.copy()
    first = np.ascontiguousarray(table.reshape(5, -1)[:, 0])
    assert total(table, first) == first.sum()
    assert np.array_equal(table, before)
