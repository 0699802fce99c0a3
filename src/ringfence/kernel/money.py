"""Whole units of an asset, and rounding that has a name.

Money is an unsigned number of the smallest unit of its asset (design decision 1): one micro-dollar, one
satoshi, one wei. A single movement is below 2^127 and a running total at most 2^128 - 1, so two 64-bit limbs
always hold it. There are no negative amounts and no floats: who gives and who gets is said by the debit and
the credit side, never by a sign.

Rounding is a word in the name of the function. What must be held rounds up, what may be counted rounds down.
"""

from collections.abc import Sequence
from fractions import Fraction

UNITS_MAX = 2**127 - 1
"""The largest number of units one transfer may move."""

BALANCE_MAX = 2**128 - 1
"""The largest running total of one side of a balance."""

PPM = 1_000_000
"""Parts per million: the scale of every rate, haircut and margin fraction."""

PRICE_DIGITS = 10
"""How many digits after the point a price has."""

PRICE_SCALE: int = 10**PRICE_DIGITS
"""A price is a whole number: numeraire (or quote) per one whole base unit, times this."""

_DIGITS_MAX = 80


def divide_up(numerator: int, denominator: int) -> int:
    """Return the quotient rounded toward plus infinity; `denominator` must be positive."""
    return -(-numerator // denominator)


def divide_down(numerator: int, denominator: int) -> int:
    """Return the quotient rounded toward minus infinity; `denominator` must be positive."""
    return numerator // denominator


def share_up(units: int, ppm: int) -> int:
    """Return `ppm` parts per million of `units`, rounded up (what must be held)."""
    return divide_up(units * ppm, PPM)


def share_down(units: int, ppm: int) -> int:
    """Return `ppm` parts per million of `units`, rounded down (what may be counted)."""
    return units * ppm // PPM


def apportion(total_units: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split `total_units` by non-negative `weights` so that the parts add up to the last unit.

    Largest remainder (Hamilton's method): each part is its exact share rounded down, and the units left over
    go to the largest remainders, the earlier index first among equals. Raises ValueError on a negative total,
    a negative weight, or a positive total with no weight to carry it.
    """
    if total_units < 0 or any(weight < 0 for weight in weights):
        raise ValueError("a total and its weights must not be negative")
    whole = sum(weights)
    if whole == 0:
        if total_units:
            raise ValueError(f"{total_units} units cannot be split over weights that sum to zero")
        return tuple(0 for _ in weights)
    parts = [total_units * weight // whole for weight in weights]
    left = total_units - sum(parts)
    by_remainder = sorted(
        range(len(weights)), key=lambda index: (-(total_units * weights[index] % whole), index)
    )
    for index in by_remainder[:left]:
        parts[index] += 1
    return tuple(parts)


def value_down(units: int, decimals: int, price_e10: int, quote_decimals: int) -> int:
    """Value `units` of an asset in quote units at `price_e10`, rounded down.

    units: whole units of the base asset (`decimals` digits); price_e10: quote per one whole base unit times
    `PRICE_SCALE`; the answer has `quote_decimals` digits.
    """
    return divide_down(units * price_e10 * 10**quote_decimals, 10**decimals * PRICE_SCALE)


def value_up(units: int, decimals: int, price_e10: int, quote_decimals: int) -> int:
    """Value `units` of an asset in quote units at `price_e10`, rounded up (see `value_down`)."""
    return divide_up(units * price_e10 * 10**quote_decimals, 10**decimals * PRICE_SCALE)


def parse_decimal(text: str, decimals: int) -> int:
    """Turn a plain decimal such as `"1000.25"` into whole units of an asset with `decimals` digits.

    Raises ValueError where the text is not a plain non-negative decimal, has more digits after the point than
    the asset has, or is over `UNITS_MAX`. Exponents, signs, underscores, spaces and leading zeros are refused
    on purpose: a number with two spellings is a number that two people read differently.
    """
    whole, part = _split_decimal(text)
    if len(part) > decimals:
        raise ValueError(f"{text!r} has {len(part)} digits after the point; at most {decimals} are possible")
    units = int(whole + part.ljust(decimals, "0"))
    if units > UNITS_MAX:
        raise ValueError(f"{text!r} is over the largest amount, 2^127 - 1 units")
    return units


def show_decimal(units: int, decimals: int) -> str:
    """Write whole units as a plain decimal without trailing zeros; the inverse of `parse_decimal`."""
    sign, size = ("-", -units) if units < 0 else ("", units)
    whole, part = divmod(size, 10**decimals)
    digits = str(part).rjust(decimals, "0").rstrip("0") if decimals else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def parse_ratio(text: str) -> Fraction:
    """Turn a plain decimal with any number of digits after the point into an exact fraction.

    Raises ValueError as `parse_decimal` does.
    """
    whole, part = _split_decimal(text)
    return Fraction(int(whole + part), 10 ** len(part))


def _split_decimal(text: str) -> tuple[str, str]:
    """Split a plain decimal into the digits before and after its point."""
    if len(text) > _DIGITS_MAX:
        raise ValueError(f"a number of {len(text)} characters is too long; at most {_DIGITS_MAX} are read")
    whole, point, part = text.partition(".")
    if not _is_digits(whole) or (point and not _is_digits(part)):
        raise ValueError(f"{text!r} is not a plain decimal number such as '1000.25'")
    if whole.startswith("0") and whole != "0":
        raise ValueError(f"{text!r} begins with a zero that says nothing; leave it out")
    return whole, part


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
