"""Points in time and lengths of time as whole nanoseconds, UTC.

Time is always an argument below the services: nothing here reads a clock. An `Instant` counts nanoseconds
since 1970-01-01T00:00:00Z without leap seconds, as POSIX does. Instants run to the year 2261 and lengths to a
century, so that each fits a signed 64-bit number wherever it is stored.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

Instant = NewType("Instant", int)
"""Nanoseconds since 1970-01-01T00:00:00Z."""


class Clock(Protocol):
    """Tells the time. Only the edge of the program asks; everything below is told."""

    def now(self) -> Instant:
        """Return the present instant."""


SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

LENGTH_NS_MAX = 36_500 * DAY_NS
"""The longest length of time a policy may name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(2262, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_UNIT_NS = {
    "d": DAY_NS,
    "h": HOUR_NS,
    "min": MINUTE_NS,
    "m": MINUTE_NS,
    "s": SECOND_NS,
    "ms": 1_000_000,
}
_SHOW_UNITS = (
    ("d", DAY_NS),
    ("h", HOUR_NS),
    ("min", MINUTE_NS),
    ("s", SECOND_NS),
    ("ms", 1_000_000),
)


def parse_duration(text: str) -> int:
    """Turn `"30 s"`, `"15 min"`, `"4 h"` or `"1 d"` into nanoseconds.

    Raises ValueError where it is not a positive whole number, a space and one of d, h, min, s, ms, or is over
    a century.
    """
    count, _, unit = text.partition(" ")
    if not (count.isascii() and count.isdigit()) or len(count) > 9 or unit not in _UNIT_NS:
        raise ValueError(f"{text!r} is not a length of time such as '30 s', '15 min', '4 h' or '1 d'")
    if int(count) == 0:
        raise ValueError(f"{text!r} is no time at all; a length of time is at least 1")
    length_ns = int(count) * _UNIT_NS[unit]
    if length_ns > LENGTH_NS_MAX:
        raise ValueError(f"{text!r} is over the longest length of time, {show_duration(LENGTH_NS_MAX)}")
    return length_ns


def show_duration(length_ns: int) -> str:
    """Write a length of time in its largest whole unit; the inverse of `parse_duration`."""
    for unit, unit_ns in _SHOW_UNITS:
        if length_ns % unit_ns == 0:
            return f"{length_ns // unit_ns} {unit}"
    raise ValueError(f"{length_ns} ns is not a whole number of milliseconds")


def parse_instant(text: str) -> Instant:
    """Turn an RFC 3339 time such as `2025-10-10T21:00:00Z` into an instant.

    Up to nine digits after the second are kept. Raises ValueError where the text is no such time, names no
    zone, or is before 1970 or after 2261.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time with its zone, such as '2025-10-10T21:00:00Z'")
    whole, digits, zone = found.groups()
    try:
        since = datetime.fromisoformat(whole + zone) - _EPOCH
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}") from None
    if not timedelta(0) <= since < _END - _EPOCH:
        raise ValueError(f"{text!r} is not between the years 1970 and 2261")
    return Instant((since.days * 86_400 + since.seconds) * SECOND_NS + int((digits or "").ljust(9, "0")))


def show_instant(instant: Instant) -> str:
    """Write an instant as RFC 3339 in UTC, with as many digits after the second as it needs."""
    seconds, part_ns = divmod(instant, SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    digits = str(part_ns).rjust(9, "0").rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"
