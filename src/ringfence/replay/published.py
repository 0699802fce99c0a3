"""The market of 10 October 2025 from published figures alone, for a machine without any price file.

Two prices per coin are published facts, typed in below with their source. Everything between them is a
straight line, minute by minute, and after the low the price stands still, since no later figure is in the
table. Every market built here says so in its title and notes, and each report repeats them.
"""

from dataclasses import dataclass, replace

import numpy as np

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import MINUTE_NS, parse_instant
from ringfence.policy.model import Policy
from ringfence.replay.candles import Candles
from ringfence.replay.market import Market, Span, build_market

SOURCE = (
    "Bybit linear perpetuals, candles of 30 minutes as kept in the repository zxckotee/trader: last close "
    "before 20:00 UTC and low of the bar that opened at 21:00 UTC; time of the low from Binance perpetuals "
    "of BTC and ETH, candles of 15 minutes"
)
_BEFORE = parse_instant("2025-10-10T20:00:00Z")
_LOW = parse_instant("2025-10-10T21:15:00Z")
_END = parse_instant("2025-10-10T22:00:00Z")


@dataclass(frozen=True, slots=True)
class Fall:
    """What was published of one coin: the last close before 20:00 UTC and the low, in USDT per unit."""

    symbol: str
    before: str
    low: str


FALLS = (
    Fall("BTCUSDT", "116606.5", "101045.9"),
    Fall("ETHUSDT", "3994.7", "3311.76"),
    Fall("SOLUSDT", "205.23", "146.57"),
    Fall("BNBUSDT", "1235.6", "864.2"),
    Fall("XRPUSDT", "2.6748", "1.1652"),
    Fall("LINKUSDT", "20.481", "7.626"),
    Fall("DOGEUSDT", "0.23177", "0.08561"),
    Fall("DOTUSDT", "3.9269", "0.9032"),
    Fall("SUIUSDT", "3.2371", "0.5608"),
    Fall("FARTCOINUSDT", "0.5872", "0.0931"),
)

NOTES = (
    "INTERPOLATED: only the price before 20:00 UTC and the low are published; between lies a straight line.",
    "No price after the low is in the table, so the market stands still at its low until 22:00 UTC.",
    f"Source of the two prices: {SOURCE}.",
)


def published_market(policy: Policy) -> Market:
    """Build the interpolated market; BadInput where the policy has an instrument for none of the coins."""
    span = Span("2025-10-10, interpolated", _BEFORE, _END, "the cascade of 10 October 2025, interpolated")
    series = [_line(fall) for fall in FALLS]
    try:
        market = build_market(series, policy, span)
    except BadInput:
        raise BadInput(
            "the policy has no linear perpetual on any coin of the published table; give prices with --data"
        ) from None
    title = "published figures of 10 October 2025, INTERPOLATED to minutes"
    return replace(market, title=title, source="built-in table", notes=NOTES)


def _line(fall: Fall) -> Candles:
    edges = np.arange(_BEFORE, _END + 1, MINUTE_NS)
    falling = (_LOW - _BEFORE) // MINUTE_NS
    share = np.minimum(np.arange(len(edges)) / falling, 1.0)
    path = float(fall.before) + share * (float(fall.low) - float(fall.before))
    first, last = path[:-1], path[1:]
    bars = np.stack([first, np.maximum(first, last), np.minimum(first, last), last], axis=1)
    return Candles("built-in table", fall.symbol, edges[:-1].astype(np.int64), bars)
