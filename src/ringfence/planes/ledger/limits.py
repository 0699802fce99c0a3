"""How much a gate still lets through: caps over fixed, refilling and rolling windows.

A counter is a plain value that belongs to one cap: what was used, and when. It is asked and extended here,
and kept by the book. Fixed windows are aligned to UTC, so that every machine counts in the same ones.
"""

from ringfence.kernel.calendar import window_index
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import divide_up
from ringfence.policy.model import Cap

Counter = tuple[int, ...]
"""What a cap has seen. Fixed: (window, units used). Refill: (instant, units x ns in use). Rolling: instants
and units in turn, oldest first."""


def used_units(cap: Cap, counter: Counter, at: Instant) -> int:
    """Return the units that count against the cap at an instant."""
    window = cap.window
    if not counter:
        return 0
    if window.kind == "fixed":
        return counter[1] if counter[0] == window_index(at, window.length_ns) else 0
    if window.kind == "refill":
        return divide_up(_level(cap, counter, at), window.length_ns)
    return sum(counter[place + 1] for place in _within(cap, counter, at))


def room_units(cap: Cap, counter: Counter, at: Instant) -> int:
    """Return the units that may still pass at an instant."""
    return max(0, cap.units - used_units(cap, counter, at))


def spend(cap: Cap, counter: Counter, units: int, at: Instant) -> Counter:
    """Return the counter after `units` passed at an instant."""
    window = cap.window
    if window.kind == "fixed":
        return (window_index(at, window.length_ns), used_units(cap, counter, at) + units)
    if window.kind == "refill":
        return (at, _level(cap, counter, at) + units * window.length_ns)
    kept = (number for place in _within(cap, counter, at) for number in counter[place : place + 2])
    return (*kept, at, units)


def _level(cap: Cap, counter: Counter, at: Instant) -> int:
    """Return what is in use of a refilling cap, in units x ns: it drains by the whole cap per window."""
    if not counter:
        return 0
    return max(0, counter[1] - cap.units * (at - counter[0]))


def _within(cap: Cap, counter: Counter, at: Instant) -> range:
    """Find the entries of a rolling counter that lie less than one window back."""
    start = 0
    while start < len(counter) and counter[start] <= at - cap.window.length_ns:
        start += 2
    return range(start, len(counter), 2)
