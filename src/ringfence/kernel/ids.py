"""128-bit identifiers that the caller chooses: 48 bits of milliseconds, then 80 bits of the caller's own.

Time order keeps new ids above old ones, so a store never has to search far. An id is good once, for ever.
"""

from typing import NewType

from ringfence.kernel.instant import Instant

RequestId = NewType("RequestId", int)
"""The id of one request: a positive integer below 2^128."""

ID_MAX = 2**128 - 1
_TIME_BITS = 48
_TAIL_BITS = 80


def request_id(at: Instant, tail: int) -> RequestId:
    """Join a time and 80 bits of the caller's (a counter, or random bits) into an id.

    Raises ValueError where the tail or the time does not fit its bits, or the id would be zero.
    """
    if not 0 <= tail < 1 << _TAIL_BITS:
        raise ValueError("the tail of an id has 80 bits")
    milliseconds = at // 1_000_000
    if not 0 <= milliseconds < 1 << _TIME_BITS:
        raise ValueError("the time of an id is 48 bits of milliseconds since 1970")
    return _not_zero(milliseconds << _TAIL_BITS | tail)


def show_id(identifier: int) -> str:
    """Write an id as 32 hexadecimal digits."""
    return f"{identifier:032x}"


def parse_id(text: str) -> RequestId:
    """Read an id of up to 32 hexadecimal digits; ValueError where it is none or zero."""
    if not 0 < len(text) <= 32 or any(digit not in "0123456789abcdef" for digit in text):
        raise ValueError(f"{text[:40]!r} is not an id of up to 32 lower-case hexadecimal digits")
    return _not_zero(int(text, 16))


def _not_zero(identifier: int) -> RequestId:
    if identifier == 0:
        raise ValueError("an id must not be zero")
    return RequestId(identifier)
