"""Two limbs are one number: the same sums, differences and order as Python's own integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.limbs import LIMBS_MAX, add, is_less, limbs_of, multiply, numbers_of, subtract

EDGES = [0, 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**127, 2**128 - 2**64, LIMBS_MAX - 1, LIMBS_MAX]
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(0, LIMBS_MAX), st.integers(0, 2**65))


def split(number):
    return limbs_of([number])[0]


def join(high, low):
    return int(high) << 64 | int(low)


@given(NUMBERS, NUMBERS)
def test_a_sum_wraps_and_says_so(first, second):
    high, low, is_over = add(*split(first), *split(second))
    assert join(high, low) == (first + second) % 2**128
    assert is_over == (first + second > LIMBS_MAX)


@given(NUMBERS, NUMBERS)
def test_a_difference_wraps_and_says_so(first, second):
    high, low, is_under = subtract(*split(first), *split(second))
    assert join(high, low) == (first - second) % 2**128
    assert is_under == (first < second)


@given(NUMBERS, st.one_of(st.sampled_from(EDGES[:4]), st.integers(0, 2**64 - 1)))
def test_a_product_wraps_and_says_so(number, factor):
    high, low, is_over = multiply(*split(number), np.uint64(factor))
    assert join(high, low) == number * factor % 2**128
    assert is_over == (number * factor > LIMBS_MAX)


@given(NUMBERS, NUMBERS)
def test_limbs_are_ordered_as_their_numbers(first, second):
    assert is_less(*split(first), *split(second)) == (first < second)


@given(st.lists(NUMBERS, max_size=5))
def test_splitting_and_joining_gives_the_numbers_back(numbers):
    assert numbers_of(limbs_of(numbers)) == numbers
    assert limbs_of(numbers).shape == (len(numbers), 2)
    assert limbs_of(numbers).dtype == np.uint64


@pytest.mark.parametrize("number", [-1, LIMBS_MAX + 1])
def test_what_does_not_fit_is_refused(number):
    with pytest.raises(ValueError, match="128-bit"):
        limbs_of([number])
