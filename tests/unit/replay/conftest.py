"""A small market, written as a table, and the policy it is replayed under."""

import numpy as np
import pytest

from ringfence.kernel.instant import Instant
from ringfence.policy.model import Policy
from ringfence.replay.candles import Candles
from ringfence.replay.market import Market, Span, build_market
from ringfence.replay.study import Scene, set_scene
from ringfence.wiring_files import load_policy, shipped_policy

START = Instant(1_760_054_400_000_000_000)  # 2025-10-10T00:00:00Z
BAR = 30 * 60 * 1_000_000_000

Row = tuple[float, float, float, float]


@pytest.fixture(scope="session")
def venue() -> Policy:
    return load_policy(shipped_policy("venue"))


def candles(symbol: str, rows: list[Row], *, file: str = "made.csv") -> Candles:
    opened = START + BAR * np.arange(len(rows), dtype=np.int64)
    return Candles(file, symbol, opened, np.array(rows, dtype=float), spot="spot" in file)


def crash(before: float, low: float, after: float, *, calm: int = 2, bars: int = 6) -> list[Row]:
    """A few calm bars, one that falls to `low` and closes at `after`, then calm again."""
    rows: list[Row] = [(before, before, before, before)] * calm
    rows.append((before, before, low, after))
    return rows + [(after, after, after, after)] * (bars - calm - 1)


@pytest.fixture(scope="session")
def small_market(venue: Policy) -> Market:
    """Four coins over six bars of thirty minutes; all of them fall at once, the small ones deeper."""
    series = [
        candles("BTCUSDT", crash(120_000.0, 104_000.0, 112_000.0)),
        candles("ETHUSDT", crash(4_000.0, 3_300.0, 3_600.0)),
        candles("DOGEUSDT", crash(0.23, 0.085, 0.165)),
        candles("SUIUSDT", crash(3.2, 0.56, 2.0)),
    ]
    return build_market(series, venue, Span("made", START, Instant(START + 6 * BAR)))


@pytest.fixture(scope="session")
def scene(venue: Policy, small_market: Market) -> Scene:
    """Sixty clients under the venue policy, in all three layouts."""
    return set_scene(venue, small_market, 60, 3)
