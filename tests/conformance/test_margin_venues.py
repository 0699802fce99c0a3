"""Liquidation and bankruptcy prices that venues publish, from the bucket rule with the venue's own brackets.

Binance, Gate and OKX are our own formula: a bucket with their bracket and fee. Bybit's isolated mode fixes
the requirement at entry and has a file under margin/models. Each row names its source.
"""

from fractions import Fraction

import pytest
from margins import BTC, COINS, FLAT, USDC, bucket, e10, inverse, linear, opened, percent, terms

from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.margin.collateral import Coin
from ringfence.margin.health import health
from ringfence.margin.marks import Prices
from ringfence.margin.models import bybit
from ringfence.margin.price_range import ExactRange, exact_range, liquidation_range
from ringfence.policy.model import HaircutTier, Tier

FREQTRADE = "freqtrade/freqtrade:tests/exchange/test_exchange.py:test_get_liquidation_price"


def bracket(rate: str, cum: str) -> tuple[Tier, ...]:
    """Make brackets whose upper one has this rate and, by continuity from a free lower one, this cum."""
    rate_ppm = percent(rate)
    floor = Fraction(cum) * USDC * PPM / rate_ppm
    assert floor.denominator == 1
    free = Tier(floor_units=0, maintenance_ppm=0, leverage_max=125)
    if floor == 0:
        return (Tier(floor_units=0, maintenance_ppm=rate_ppm, leverage_max=125),)
    return (free, Tier(floor_units=int(floor), maintenance_ppm=rate_ppm, leverage_max=125))


def edge(found: ExactRange | None, side: int) -> Fraction:
    assert found is not None
    price = found.below if side > 0 else found.above
    assert price is not None
    return price / PRICE_SCALE


# --- Binance USD-M: freqtrade/freqtrade:tests/exchange/test_binance.py -------------------------

ETH_FAQ = linear("ETHUSDT", "ETH", size="0.001", tick="0.01", tiers=bracket("10", "135365"))
BTC_FAQ = linear("BTCUSDT", "BTC", size="0.001", tick="0.01", tiers=bracket("2.5", "16300"))
FAQ = terms(ETH_FAQ, BTC_FAQ, thresholds=None)
FAQ_PRICES = Prices({}, {"ETHUSDT": e10("1335.18"), "BTCUSDT": e10("31967.27")})


def test_binance_isolated_bn1() -> None:
    long = bucket(opened(ETH_FAQ, 3_683_979, "1456.84"), mode="isolated", USDC=1_535_443_010_000)
    price = edge(exact_range(long, "ETHUSDT", FAQ_PRICES, FAQ, level_ppm=PPM), 1)
    assert round(price, 2) == Fraction("1114.78")


def test_binance_cross_with_another_position_bn3() -> None:
    both = bucket(
        opened(ETH_FAQ, 3_683_979, "1456.84"), opened(BTC_FAQ, 109_488, "32481.98"), USDC=1_535_443_010_000
    )
    price = edge(exact_range(both, "ETHUSDT", FAQ_PRICES, FAQ, level_ppm=PPM), 1)
    assert round(price, 2) == Fraction("1153.26")


# --- isolated per venue ------------------------------------------------------------------------

IV_BUCKET = [
    # id, fee ppm, cum, side, leverage, entry, expected
    ("IV1", 0, "0.01", -1, 5, 10, "11.89108910891089"),
    ("IV3", 0, "0.01", -1, 5, 8, "9.514851485148514"),
    ("IV5", 0, "0.01", 1, 5, 10, "8.070707070707071"),
    ("IV7", 0, "0.01", 1, 3, 10, "6.723905723905723"),
    ("IV9", 600, "0", -1, 5, 10, "11.87413417771621"),
    ("IV11", 600, "0", -1, 3, 10, "13.193482419684678"),
    ("IV13", 600, "0", -1, 3, 10, "13.193482419684678"),
    ("IV15", 600, "0", 1, 3, 10, "6.738090425173506"),
]


@pytest.mark.parametrize(
    ("fee_ppm", "cum", "side", "leverage", "entry", "expected"),
    [row[1:] for row in IV_BUCKET],
    ids=[row[0] for row in IV_BUCKET],
)
def test_binance_gate_and_okx_isolated(
    fee_ppm: int, cum: str, side: int, leverage: int, entry: int, expected: str
) -> None:
    # A million of them, bracket and all, so that a third of the entry value is a whole number to 1e-12.
    scale = 10**6
    contract = linear("COIN", "COIN", size="1", tick="0.0001", tiers=scaled(bracket("1", cum), scale))
    position = opened(contract, side * scale, entry)
    one = bucket(position, mode="isolated", USDC=entry * scale * USDC // leverage)
    prices = Prices({}, {"COIN": e10(entry)})
    found = exact_range(one, "COIN", prices, terms(contract), level_ppm=PPM, fee_ppm=fee_ppm)
    assert float(edge(found, side)) == pytest.approx(float(expected), rel=1e-12)


def scaled(tiers: tuple[Tier, ...], times: int) -> tuple[Tier, ...]:
    return tuple(tier.model_copy(update={"floor_units": tier.floor_units * times}) for tier in tiers)


IV_BYBIT = [
    ("IV17", 1, 1, "0.1"),
    ("IV19", 1, 5, "8.1"),
    ("IV21", -1, 1, "19.9"),
    ("IV23", -1, 5, "11.9"),
]


@pytest.mark.parametrize(
    ("side", "leverage", "expected"), [row[1:] for row in IV_BYBIT], ids=[row[0] for row in IV_BYBIT]
)
def test_bybit_linear_isolated(side: int, leverage: int, expected: str) -> None:
    assert bybit.linear_liquidation_price(side, 10, leverage, Fraction(1, 100)) == Fraction(expected)


# --- Bybit inverse: help pages on isolated mode and on inverse contracts -----------------------


def test_bybit_inverse_isolated_by1() -> None:
    price = bybit.inverse_liquidation_price(1, 60_000, 50_000, 10, Fraction(5, 1000))
    assert round(price, 4) == Fraction("45662.1005")


def test_bybit_inverse_cross_bankruptcy_by3() -> None:
    contract = inverse("BTCUSD", tick="0.01", tiers=FLAT)
    one = bucket(opened(contract, 10_000, 8_000), BTC=BTC // 2)
    prices = Prices({"BTC": e10(8_000)}, {"BTCUSD": e10(8_000)})
    whole = Coin("BTC", 8, "BTC", (HaircutTier(floor_units=0, ppm=0),))
    book = terms(contract, coins={**COINS, "BTC": whole})
    found = exact_range(one, "BTCUSD", prices, book, level_ppm=0, fee_ppm=750)
    assert round(edge(found, 1), 2) == Fraction("5718.57")


def test_nautilus_inverse_maintenance_nt5() -> None:
    # nautechsystems/nautilus_trader:tests/unit_tests/accounting/test_margin_models.py
    contract = inverse("XBTUSD", tiers=(Tier(floor_units=0, maintenance_ppm=3_500, leverage_max=100),))
    notional = contract.notional(100_000, e10("11493.60"))
    assert contract.tiers.maintenance(notional) == 3_045_173


# --- cross account with another position: TorchTrade/torchtrade issue 344 ----------------------


def test_the_other_position_counts_xl1() -> None:
    long = linear("COIN", "COIN", size="1", tick="0.01", tiers=bracket("0.4", "0"))
    other = linear("OTHER", "OTHER", size="1", tick="0.01", tiers=bracket("4", "0"))
    both = bucket(opened(long, 1, 100), opened(other, 1, 100), USDC=5 * USDC)
    prices = Prices({}, {"COIN": e10(100), "OTHER": e10(100)})
    book = terms(long, other, thresholds=None)
    found = liquidation_range(both, "COIN", prices, book)
    assert found is not None
    assert found.below == e10("99.40")
    alone = liquidation_range(bucket(opened(long, 1, 100), USDC=5 * USDC), "COIN", prices, book)
    assert alone is not None
    assert alone.below == e10("95.39")
    assert health(both, prices, book).maintenance == 4_400_000
