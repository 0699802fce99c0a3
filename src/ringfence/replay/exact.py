"""Whole-number arithmetic for compiled loops: the same answers as Python's integers, in int64.

Values and prices of a replay fit int64, their products do not; `mul_div` divides a product that was never
formed. Each function is held equal to its twin in `kernel.money` by a property test.
"""

import hashlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from ringfence.kernel.money import PPM

Ints = npt.NDArray[np.int64]

_P = ParamSpec("_P")
_R = TypeVar("_R")


_CODE: list[bytes] = []


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function with numba and keep the machine code on disk for the next run."""
    from numba import njit

    code = function.__code__
    _CODE.append(repr((code.co_name, code.co_code, code.co_names, code.co_consts)).encode())
    return njit(cache=True, error_model="numpy")(function)  # type: ignore[no-any-return]


def stamp() -> npt.NDArray[np.void]:
    """Return an empty table whose one column is named by a digest of every compiled function.

    Machine code on disk is kept by the types of the arguments, and forgotten when the function's own file
    changes, but not when a function that it calls does. A table of this type among the arguments makes the
    code of today's functions another type than yesterday's.
    """
    return np.zeros(0, dtype=[("code_" + hashlib.sha256(b"".join(_CODE)).hexdigest()[:32], "i1")])


@compiled
def mul_div(units: int, factor: int, divisor: int) -> tuple[int, int]:
    """Return quotient and remainder of units x factor / divisor, exactly.

    All three at least 0, divisor from 1 to 2^61, quotient below 2^63; long multiplication bit by bit.
    """
    whole, part = units // divisor, units % divisor
    quotient, remainder = 0, 0
    for bit in range(62, -1, -1):
        quotient, remainder = 2 * quotient, 2 * remainder
        if remainder >= divisor:
            quotient, remainder = quotient + 1, remainder - divisor
        if (factor >> bit) & 1:
            remainder += part
            if remainder >= divisor:
                quotient, remainder = quotient + 1, remainder - divisor
    return whole * factor + quotient, remainder


@compiled
def mul_div_down(units: int, factor: int, divisor: int) -> int:
    """Return units x factor / divisor rounded down."""
    return mul_div(units, factor, divisor)[0]


@compiled
def mul_div_up(units: int, factor: int, divisor: int) -> int:
    """Return units x factor / divisor rounded up."""
    quotient, remainder = mul_div(units, factor, divisor)
    return quotient + 1 if remainder else quotient


@compiled
def share_down(units: int, ppm: int) -> int:
    """Return `ppm` parts per million of at least 0 units, rounded down."""
    return units // PPM * ppm + units % PPM * ppm // PPM


@compiled
def share_up(units: int, ppm: int) -> int:
    """Return `ppm` parts per million of at least 0 units, rounded up."""
    return units // PPM * ppm + (units % PPM * ppm + PPM - 1) // PPM


# --- splitting ---------------------------------------------------------------------------------


@compiled
def order_down(keys: Ints) -> Ints:
    """Return the order that sorts keys from the largest down, the earlier first among equals (merge sort)."""
    count = len(keys)
    order, spare = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for number in range(count):
        order[number] = number
    width = 1
    while width < count:
        for start in range(0, count, 2 * width):
            middle, end = min(start + width, count), min(start + 2 * width, count)
            left, right = start, middle
            for place in range(start, end):
                takes_left = left < middle and (right >= end or keys[order[left]] >= keys[order[right]])
                spare[place] = order[left] if takes_left else order[right]
                if takes_left:
                    left += 1
                else:
                    right += 1
        for place in range(count):
            order[place] = spare[place]
        width *= 2
    return order


@compiled
def apportion(total: int, weights: Ints) -> Ints:
    """Split a total by weights to the last unit: largest remainder, the earlier first among equals."""
    parts = np.zeros(len(weights), dtype=np.int64)
    remainders = np.zeros(len(weights), dtype=np.int64)
    whole, left = 0, total
    for weight in weights:
        whole += weight
    if whole == 0 or total == 0:
        return parts
    for number in range(len(weights)):
        parts[number], remainders[number] = mul_div(weights[number], total, whole)
        left -= parts[number]
    for number in order_down(remainders)[:left]:
        parts[number] += 1
    return parts


@compiled
def apportion_capped(total: int, weights: Ints, caps: Ints) -> Ints:
    """Split a total by weights, no part over its cap (twin of `margin.waterfall.apportion_capped`)."""
    count = len(weights)
    parts, open_weights = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    within = 0
    for number in range(count):
        if caps[number] > 0:
            open_weights[number] = weights[number]
            within += 1
    while total and within:
        shares = apportion(total, open_weights)
        is_any_full = False
        for number in range(count):
            if open_weights[number] and shares[number] >= caps[number]:
                is_any_full = True
                parts[number], open_weights[number] = caps[number], 0
                total -= caps[number]
                within -= 1
        if not is_any_full:
            for number in range(count):
                if open_weights[number]:
                    parts[number] = shares[number]
            return parts
    return parts
