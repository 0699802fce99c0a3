"""What a bucket earned, untouched by money that was moved in or out of it.

Profit is the change of equity less the flows. The return is time-weighted: between two flows it is
equity after / equity before, and the periods are chained. A flow is measured as the change of equity it makes
at unchanged prices, so moving funds between buckets changes neither bucket's return, and the profits of the
buckets add up to the profit of the account to the last unit.

An index is the value of one unit of money that stayed in the bucket from the start, at `INDEX_SCALE`. Its
base is rewritten at flows only, so rounding (down, 1e-18 of the start) happens at flows only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PPM

INDEX_SCALE: Final = 10**18
"""The index at the start."""

NEUTRAL_PPM_MAX: Final = 100_000
"""A delta-neutral bucket keeps its net delta within this share of its gross delta, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ReturnIndex:
    """A chained index: it was `base_index` when equity was `base_equity`, and no money has flowed since."""

    base_index: int = INDEX_SCALE
    base_equity: int = 0

    def at(self, equity: int) -> int:
        """Return the index at an equity; it stands still while there is no money to lose."""
        if self.base_equity <= 0:
            return self.base_index
        return self.base_index * equity // self.base_equity

    def after_flow(self, equity_before: int, flow: int) -> "ReturnIndex":
        """Return the index after money came in (positive) or left; a total loss stays a total loss."""
        return ReturnIndex(max(0, self.at(equity_before)), equity_before + flow)


@dataclass(frozen=True, slots=True)
class HighWater:
    """The index of a bucket and the highest value it ever had."""

    index: ReturnIndex
    peak: int

    def observed(self, equity: int) -> "HighWater":
        """Return the mark after seeing an equity."""
        found = self.index.at(equity)
        return HighWater(self.index, found) if found > self.peak else self

    def after_flow(self, equity_before: int, flow: int) -> "HighWater":
        """Return the mark after a flow, which by itself is neither gain nor fall."""
        seen = self.observed(equity_before)
        return HighWater(seen.index.after_flow(equity_before, flow), seen.peak)

    def fall(self, equity: int) -> tuple[int, int]:
        """Return the present fall from the peak and the peak, both of the index (fall over peak is exact)."""
        return max(0, self.peak - self.index.at(equity)), self.peak


def first_high_water(equity: int) -> HighWater:
    """Start measuring a bucket at its present equity."""
    return HighWater(ReturnIndex(INDEX_SCALE, equity), INDEX_SCALE)


@dataclass(frozen=True, slots=True)
class Valuation:
    """Equity at an instant before any flow, and the flow (change of equity at unchanged prices) after it."""

    at: Instant
    equity: int
    flow: int = 0


@dataclass(frozen=True, slots=True)
class Performance:
    """The figures of one bucket over a period.

    profit: numeraire units; return_ppm: time-weighted, rounded down; drawdown_ppm: deepest fall from a peak
    of the index, rounded down; lowest_equity: over all valuations.
    """

    profit: int
    return_ppm: int
    drawdown_ppm: int
    lowest_equity: int


def measure(valuations: Sequence[Valuation]) -> Performance:
    """Measure a bucket from first to last valuation; BadInput where there is none or time goes back."""
    if not valuations:
        raise BadInput("there was no valuation to measure; give at least one")
    _refuse_time_going_back(valuations)
    first, last = valuations[0], valuations[-1]
    mark = first_high_water(first.equity + first.flow)
    deepest = 0
    for valuation in valuations[1:]:
        mark = mark.observed(valuation.equity)
        fall, peak = mark.fall(valuation.equity)
        deepest = max(deepest, fall * PPM // peak)
        mark = mark.after_flow(valuation.equity, valuation.flow)
    return Performance(
        profit=profit(valuations),
        return_ppm=(mark.index.at(last.equity + last.flow) - INDEX_SCALE) * PPM // INDEX_SCALE,
        drawdown_ppm=deepest,
        lowest_equity=min(valuation.equity for valuation in valuations),
    )


def profit(valuations: Sequence[Valuation]) -> int:
    """Return the last equity less the first, less every flow between them."""
    flows = sum(valuation.flow for valuation in valuations[:-1])
    return valuations[-1].equity - valuations[0].equity - flows


def _refuse_time_going_back(valuations: Sequence[Valuation]) -> None:
    for number in range(1, len(valuations)):
        if valuations[number].at < valuations[number - 1].at:
            raise BadInput(
                f"valuation {number} was before the one in front of it; give them in order of time"
            )


# --- is the strategy what it says it is? -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exposure:
    """Signed delta in one underlying, in numeraire units: of its contracts and of its coin together."""

    underlying: str
    parts: tuple[int, ...]


def net_and_gross(exposures: Iterable[Exposure]) -> tuple[int, int]:
    """Return the net delta (each underlying netted, then added by size) and the gross delta."""
    net = gross = 0
    for exposure in exposures:
        net += abs(sum(exposure.parts))
        gross += sum(abs(part) for part in exposure.parts)
    return net, gross


def is_neutral(exposures: Sequence[Exposure], ppm_max: int = NEUTRAL_PPM_MAX) -> bool:
    """Say whether a bucket is delta-neutral: |net delta| at most `ppm_max` of the gross delta."""
    net, gross = net_and_gross(exposures)
    return net * PPM <= gross * ppm_max
