"""The order of moves inside a bar, which no candle tells.

A candle says how high and how low a price went, not which came first, nor whether it slid or jumped. A figure
that matters must hold for all of these, so a replay walks the same bars along several paths:

    low first     open, low, high, close; every coin jumps, all at once
    high first    open, high, low, close; every coin jumps, all at once
    out of step   half of the coins low first, the other half high first: hedges and bets part inside the bar
    coin by coin  low first, but one coin after the other, as a cascade runs through a market
    sliding       low first, but each jump is cut into small steps, as if there had been a price all the way
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ringfence.replay.market import Market

ORDERS = ("low first", "high first", "out of step", "coin by coin", "sliding")

SLIDE_STEP = 0.01
"""The largest relative move of any coin in one step of a slide."""
SLIDE_STEPS_MAX = 1_000

TOLD = "sliding, and giving way coin by coin in the deepest bar"
TOLD_STEP = 0.0025
_LOW_FIRST, _HIGH_FIRST = (0, 2, 1, 3), (0, 1, 2, 3)


Marks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PricePath:
    """Prices at successive points: at [points] in ns, not falling; marks_e10 [points, instruments]."""

    order: str
    at: npt.NDArray[np.int64]
    bar: npt.NDArray[np.int64]
    marks_e10: npt.NDArray[np.int64]


def price_path(market: Market, order: str) -> PricePath:
    """Lay the bars of a market along one order; each bar's points are spread evenly over the bar."""
    low_first = market.prices_e10[:, :, _LOW_FIRST].transpose(0, 2, 1)
    high_first = market.prices_e10[:, :, _HIGH_FIRST].transpose(0, 2, 1)
    match order:
        case "low first":
            return _laid(market, order, low_first)
        case "high first":
            return _laid(market, order, high_first)
        case "out of step":
            parted = low_first.copy()
            parted[:, :, 1::2] = high_first[:, :, 1::2]
            return _laid(market, order, parted)
        case "coin by coin":
            return _laid(market, order, [_one_by_one(bar) for bar in low_first])
        case "sliding":
            return _laid(market, order, [_slid(bar, market.ticks_e10, SLIDE_STEP) for bar in low_first])
    raise ValueError(f"{order!r} is no order of moves; the orders are {', '.join(ORDERS)}")


def told_path(market: Market) -> PricePath:
    """Lay the bars for a tale: sliding finely, and half way down the deepest bar giving way coin by coin.

    So a client is seen passing every level on the way, and falling through the floor where the market did.
    """
    bars = market.prices_e10[:, :, _LOW_FIRST].transpose(0, 2, 1)
    deepest = int(np.argmin(np.median(bars[:, 1] / bars[:, 0], axis=1)))
    points = [_slid(bar, market.ticks_e10, TOLD_STEP) for bar in bars]
    points[deepest] = _giving_way(bars[deepest], market.ticks_e10)
    return _laid(market, TOLD, points)


def _laid(market: Market, order: str, bars: Sequence[Marks] | Marks) -> PricePath:
    at = [
        opened + np.arange(len(points)) * market.bar_ns // len(points)
        for opened, points in zip(market.opened, bars, strict=True)
    ]
    number = np.repeat(np.arange(len(bars)), [len(points) for points in bars])
    return PricePath(order, np.concatenate(at), number, np.concatenate(list(bars)))


def _one_by_one(bar: Marks) -> Marks:
    """Take a bar from its open to its low one coin at a time, then on to high and close: [steps, coins]."""
    coins = bar.shape[1]
    falling = np.repeat(bar[:1], coins, axis=0)
    is_down = np.tri(coins, dtype=np.bool_)
    falling[is_down] = np.repeat(bar[1:2], coins, axis=0)[is_down]
    whole: Marks = np.concatenate([bar[:1], falling, bar[2:]])
    return whole


def _giving_way(bar: Marks, ticks_e10: Marks) -> Marks:
    """Slide half way down, fall to the low one coin at a time, and slide on to high and close."""
    middle = np.rint(np.sqrt(bar[0] * bar[1].astype(np.float64)) / ticks_e10).astype(np.int64) * ticks_e10
    half_way = np.stack([bar[0], np.clip(middle, bar[1], bar[0])])
    falling = _one_by_one(np.stack([half_way[1], bar[1], bar[1], bar[1]]))
    whole: Marks = np.concatenate(
        [_slid(half_way, ticks_e10, TOLD_STEP), falling[1:-2], _slid(bar[1:], ticks_e10, TOLD_STEP)]
    )
    return whole


def _slid(bar: Marks, ticks_e10: Marks, step: float) -> Marks:
    whole: Marks = np.concatenate(list(_slides(bar, ticks_e10, step)))
    return whole


def _slides(points: Marks, ticks_e10: Marks, step: float) -> Iterator[Marks]:
    """Cut each move between two points into equal ratios, small for every coin; the first point is kept."""
    yield points[:1]
    for before, after in pairwise(points):
        ratio = np.log(after / before)
        count = int(min(SLIDE_STEPS_MAX, max(1, np.ceil(float(np.max(np.abs(ratio))) / step))))
        share = np.arange(1, count)[:, None] / count
        ticks = np.rint(before * np.exp(ratio * share) / ticks_e10).astype(np.int64)
        yield np.concatenate([np.maximum(1, ticks) * ticks_e10, after[None, :]])
