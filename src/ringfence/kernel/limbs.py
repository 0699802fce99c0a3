"""Unsigned 128-bit numbers as two 64-bit limbs, for compiled loops over arrays of money.

A number is a pair (high, low) of uint64; an array of numbers has shape (n, 2) and dtype uint64, high first.
Addition and subtraction say whether they left the range, so that the caller can refuse instead of wrap.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled

LIMB_BITS = 64
LIMB_MAX = (1 << LIMB_BITS) - 1
LIMBS_MAX = (1 << 2 * LIMB_BITS) - 1
"""The largest number two limbs hold."""

Limb = np.uint64

Limbs = NDArray[np.uint64]
"""An array of 128-bit numbers, shape (n, 2)."""


def limbs_of(numbers: Sequence[int]) -> Limbs:
    """Split whole numbers into limbs; ValueError where one is negative or over `LIMBS_MAX`."""
    if any(not 0 <= number <= LIMBS_MAX for number in numbers):
        raise ValueError("a 128-bit number is between 0 and 2^128 - 1")
    pairs = [(number >> LIMB_BITS, number & LIMB_MAX) for number in numbers]
    return np.array(pairs, dtype=np.uint64).reshape(len(pairs), 2)


def numbers_of(limbs: Limbs) -> list[int]:
    """Join limbs into whole numbers; the inverse of `limbs_of`."""
    return [(high << LIMB_BITS) | low for high, low in limbs.tolist()]


@compiled
def add(high: Limb, low: Limb, other_high: Limb, other_low: Limb) -> tuple[Limb, Limb, bool]:
    """Return the sum as (high, low) and whether it passed `LIMBS_MAX` (it is then wrapped)."""
    sum_low = low + other_low
    carry = np.uint64(sum_low < low)
    without_carry = high + other_high
    sum_high = without_carry + carry
    return sum_high, sum_low, bool(without_carry < high or sum_high < without_carry)


@compiled
def subtract(high: Limb, low: Limb, other_high: Limb, other_low: Limb) -> tuple[Limb, Limb, bool]:
    """Return the difference as (high, low) and whether it went below zero (it is then wrapped)."""
    borrow = np.uint64(low < other_low)
    rest = high - other_high
    return rest - borrow, low - other_low, bool(high < other_high or rest < borrow)


@compiled
def is_less(high: Limb, low: Limb, other_high: Limb, other_low: Limb) -> bool:
    """Say whether the first number is less than the other."""
    return bool(high < other_high or (high == other_high and low < other_low))


@compiled
def multiply(high: Limb, low: Limb, factor: Limb) -> tuple[Limb, Limb, bool]:
    """Return the product with a 64-bit factor as (high, low) and whether it passed `LIMBS_MAX`."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    low_0, low_1, factor_0, factor_1 = low & mask, low >> half, factor & mask, factor >> half
    first = low_0 * factor_0
    cross, other = low_0 * factor_1, low_1 * factor_0
    middle = (first >> half) + (cross & mask) + (other & mask)
    carried = low_1 * factor_1 + (cross >> half) + (other >> half) + (middle >> half)
    upper = high * factor
    product_high = upper + carried
    is_over = (high > 0 and upper // high != factor) or product_high < carried
    return product_high, first & mask | middle << half, bool(is_over)
