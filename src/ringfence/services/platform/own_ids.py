"""Ids that the platform gives itself: the same fill or arrival has the same one, however often it is pulled.

They lie above every id that is made from a time; a stranger's request with such an id is not let in, so that
nobody can use up the id of a fill before the fill.
"""

from collections.abc import Callable

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.ids import RequestId

_FILLS = 0xF1 << 120
_ARRIVALS = 0xF2 << 120


def is_reserved(identifier: int) -> bool:
    """Say whether an id belongs to the platform: no caller's clock makes one before the year 10,000."""
    return identifier >= _FILLS


def fill_id(number: int) -> RequestId:
    """Return the id of the request for the fill with this number."""
    return RequestId(_FILLS + number)


def fill_number(identifier: int) -> int | None:
    """Return the number of the fill whose request has this id; None where it belongs to none."""
    return identifier - _FILLS if _FILLS < identifier < _ARRIVALS else None


def arrival_id(reference: str) -> RequestId:
    """Return the id of the request that moves in what arrived under a reference."""
    digest = tagged_digest("ringfence arrival", reference.encode())
    return RequestId(_ARRIVALS + int.from_bytes(digest[:15]))


def last_known(is_known: Callable[[int], bool]) -> int:
    """Find the last number up to which all are known, asking about few; 0 where the first is not."""
    step = 1
    while is_known(step):
        step *= 2
    low, high = step // 2, step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_known(middle) else (low, middle)
    return low
