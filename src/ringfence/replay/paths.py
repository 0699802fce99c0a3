"""The order of moves inside a bar, which no candle tells.

A candle says how high and how low a price went, not which came first, nor whether it slid or jumped. A figure
that matters must hold for all of these, so a replay walks the same bars along several paths:

    low first     open, low, high, close; every coin jumps
    high first    open, high, low, close; every coin jumps
    out of step   half of the coins low first, the other half high first: hedges and bets part inside the bar
    sliding       low first, but each jump is cut into small steps, as if there had been a price all the way
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ringfence.replay.market import Market

ORDERS = ("low first", "high first", "out of step", "sliding")

SLIDE_STEP = 0.01
"""The largest relative move of any coin in one step of a slide."""
SLIDE_STEPS_MAX = 60
_LOW_FIRST, _HIGH_FIRST = (0, 2, 1, 3), (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class PricePath:
    """Prices at successive points: at [points] in ns, not falling; marks_e10 [points, instruments]."""

    order: str
    at: npt.NDArray[np.int64]
    bar: npt.NDArray[np.int64]
    marks_e10: npt.NDArray[np.int64]


def price_path(market: Market, order: str) -> PricePath:
    """Lay the bars of a market along one order; each bar's points are spread evenly over the bar."""
    bars = market.prices_e10[:, :, _LOW_FIRST]
    if order == "high first":
        bars = market.prices_e10[:, :, _HIGH_FIRST]
    elif order == "out of step":
        bars = bars.copy()
        bars[:, 1::2] = market.prices_e10[:, 1::2][:, :, _HIGH_FIRST]
    elif order not in ORDERS:
        raise ValueError(f"{order!r} is no order of moves; the orders are {', '.join(ORDERS)}")
    if order != "sliding":
        return _jumping(market, order, bars.transpose(0, 2, 1))
    return _sliding(market, bars.transpose(0, 2, 1))


def _jumping(market: Market, order: str, points: npt.NDArray[np.int64]) -> PricePath:
    bars, steps, instruments = points.shape
    inside = np.arange(steps) * (market.bar_ns // steps)
    at = (market.opened[:, None] + inside[None, :]).ravel()
    return PricePath(order, at, np.repeat(np.arange(bars), steps), points.reshape(-1, instruments))


def _sliding(market: Market, points: npt.NDArray[np.int64]) -> PricePath:
    slides = [np.concatenate(list(_slides(bar, market.ticks_e10))) for bar in points]
    at = [
        opened + np.arange(len(steps)) * market.bar_ns // len(steps)
        for opened, steps in zip(market.opened, slides, strict=True)
    ]
    bars = np.repeat(np.arange(len(slides)), [len(steps) for steps in slides])
    return PricePath("sliding", np.concatenate(at), bars, np.concatenate(slides))


def _slides(
    points: npt.NDArray[np.int64], ticks_e10: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.int64]]:
    """Cut each move between two points into steps that are small for every coin; the first point is kept."""
    yield points[:1]
    for before, after in pairwise(points):
        largest = float(np.max(np.abs(after / before - 1.0)))
        count = int(min(SLIDE_STEPS_MAX, max(1, np.ceil(largest / SLIDE_STEP))))
        share = np.arange(1, count + 1)[:, None]
        yield before + (after - before) // ticks_e10 * share // count * ticks_e10
