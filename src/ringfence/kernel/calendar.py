"""Windows of time that limits and deadlines are counted in.

A fixed window is aligned to the Unix epoch in UTC, so `1 d` is the UTC day and `1 h` the UTC hour. POSIX time
has no leap second: 23:59:60 carries the number of the following midnight and falls into the new window.
"""

from ringfence.kernel.instant import DAY_NS, Instant


def window_index(at: Instant, length_ns: int) -> int:
    """Return the number of the fixed window of `length_ns` that holds `at`."""
    return at // length_ns


def day_index(at: Instant) -> int:
    """Return the number of the UTC day that holds `at`, counted from 1970-01-01."""
    return at // DAY_NS
