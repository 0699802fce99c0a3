"""From data to pixels, and the round numbers that stand on an axis."""

import math
from dataclasses import dataclass

TICKS_MAX = 9


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight-line map of [low, high] in data to [start, end] in pixels; `end` may lie before `start`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value; a scale without extent maps all to its middle."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def round_ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Return about `about` round numbers (1, 2 or 5 times a power of ten) inside [low, high]."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return (low,)
    step = _round_step((high - low) / max(1, about))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(number * step for number in range(first, last + 1))[:TICKS_MAX]


def widened(values: list[float], *, share: float = 0.05) -> tuple[float, float]:
    """Return the range of the values with a margin of `share` on both sides; never empty."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * share or abs(high) * share or 1.0
    return low - margin, high + margin


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if rough <= power * factor * (1 + 1e-9))
