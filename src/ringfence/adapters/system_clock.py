"""The clock of this machine."""

import time

from ringfence.kernel.instant import Instant


class SystemClock:
    """Tells the time of this machine; it may step back, and the book knows what to do then."""

    def now(self) -> Instant:
        """Return the present instant."""
        return Instant(time.time_ns())
