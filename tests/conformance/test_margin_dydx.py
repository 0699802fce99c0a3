"""dYdX v4: every published integer exactly.

Sources: dydxprotocol/v4-chain, protocol/x/perpetuals/lib/lib_test.go (DM) and
protocol/x/clob/keeper/liquidations_test.go (DB, DF, DI).
"""

from fractions import Fraction

import pytest

from ringfence.margin.models.dydx import (
    Account,
    Holding,
    Market,
    bankruptcy_quote,
    fillable_price,
    in_dollars,
    insurance_delta,
    is_riskier,
)

USD = 10**6

DM = [
    # id, price at exponent -1, resolution, quantums, initial ppm, fraction ppm, (OI, lower, upper), IM, MM
    ("DM1", 55_550, -4, 7_000, 10_000, 500_000, (0, 0, 0), 38_885_000, 19_442_500),
    ("DM3", 55_550, -6, 7_000, 1_000_000, 1_000_000, (0, 0, 0), 38_885_000, 38_885_000),
    ("DM5", 55_550, -6, 7_000, 0, 1_000_000, (0, 0, 0), 0, 0),
    ("DM7", 367_500, -6, 12_000, 200_000, 500_000, (0, 0, 0), 88_200_000, 44_100_000),
    ("DM9", 1_234_560, -6, 74_523, 250_000, 600_000, (0, 0, 0), 2_300_077_872, 1_380_046_724),
    ("DM11", 367_500, -6, 12_000, 200_000, 500_000, (10**9, 10**13, 2 * 10**13), 441_000_000, 44_100_000),
]


@pytest.mark.parametrize("row", DM, ids=[row[0] for row in DM])
def test_margin_requirement(row: tuple) -> None:
    _, price, resolution, quantums, initial, fraction, interest, im, mm = row
    market = Market(price, -1, resolution, initial, fraction, *interest)
    for signed in (quantums, -quantums):
        assert (market.initial(signed), market.maintenance(signed)) == (im, mm)


def test_open_interest_scales_between_its_caps() -> None:
    # Half way between the caps the fraction is half way to 1: 20 % + 40 %. By hand.
    market = Market(10, 0, -6, 200_000, 500_000, open_interest=150, lower_cap=1_000, upper_cap=2_000)
    assert market.initial_ppm_scaled() == 600_000
    assert (market.initial(100), market.maintenance(100)) == (600, 100)
    assert market.initial(100, custom_ppm=700_000) == 700


def test_a_notional_of_34_digits_is_exact() -> None:
    market = Market(10**18, 0, -6, 10_000, 500_000)
    assert market.initial(9_999_999_999_999_999) == -(-9_999_999_999_999_999 * 10**18 // 100)


# BTC at 50,000 and ETH at 3,000 dollars, initial 20 %, maintenance 10 %.
BTC_MARKET = Market(50_000, 0, -8, 200_000, 500_000)
ETH_MARKET = Market(3_000, 0, -9, 200_000, 500_000)


def btc(coins: str) -> Holding:
    return Holding(BTC_MARKET, int(Fraction(coins) * 10**8))


def eth(coins: str) -> Holding:
    return Holding(ETH_MARKET, int(Fraction(coins) * 10**9))


DB = [
    ("DB1", -4_501, [btc("0.1")], 0, -(10**7), 4_501_000_000),
    ("DB3", -5_000, [btc("0.1")], 0, -(10**7), 5_000_000_000),
    ("DB5", 5_000, [btc("-0.1")], 0, 5 * 10**6, -2_500_000_000),
    ("DB7", -5_100, [btc("0.1")], 0, -(10**7), 5_100_000_000),
    ("DB9", -490, [btc("0.004"), eth("0.1")], 1, -(10**8), 294_000_000),
    ("DB11", 110, [btc("0.004"), eth("-0.1")], 1, 10**8, -306_000_000),
    ("DB13", 13, [btc("-1")], 0, 21_347, -2_775),
]


@pytest.mark.parametrize("row", DB, ids=[row[0] for row in DB])
def test_bankruptcy_price(row: tuple) -> None:
    _, cash, holdings, which, delta, expected = row
    account = Account(cash * USD, holdings)
    assert bankruptcy_quote(account, holdings[which], delta) == expected


@pytest.mark.parametrize("delta", [10**7, -(10**7) - 1, 0])
def test_more_than_the_position_is_no_closing(delta: int) -> None:
    with pytest.raises(ValueError, match="is no closing"):
        bankruptcy_quote(Account(-4_501 * USD, [btc("0.1")]), btc("0.1"), delta)


DF = [
    ("DF1", -4_501, "0.1", 10**6, 10**5, 49_999),
    ("DF3", -4_501, "0.1", 10**6, 2 * 10**5, 49_998),
    ("DF5", 5_499, "-0.1", 2 * 10**6, 10**5, 50_002),
    ("DF7", -5_000, "0.1", 10**6, 10**5, 49_500),
    ("DF9", 5_000, "-0.1", 10**6, 10**5, 50_500),
    ("DF11", 4_500, "-0.1", 10**6, 10**5, 50_500),
    ("DF13", -4_501, "0.1", 2**32 - 1, 10**5, 49_500),
    ("DF15", -4_501, "0.1", 10**6, 10**6, 49_990),
]


@pytest.mark.parametrize("row", DF, ids=[row[0] for row in DF])
def test_fillable_price(row: tuple) -> None:
    _, cash, coins, adjustment, spread, expected = row
    account = Account(cash * USD, [btc(coins)])
    price = fillable_price(account, account.holdings[0], adjustment, spread)
    assert in_dollars(BTC_MARKET, price) == expected


DI = [
    ("DI1", -5_100, "0.1", 56_100, 5_000, 28_050_000),
    ("DI3", -5_100, "0.1", 56_100, 1_000_000, 510_000_000),
    ("DI5", 4_900, "-0.1", 44_100, 25_000, 110_250_000),
    ("DI7", -5_100, "0.1", 51_051, 5_000, 5_100_000),
    ("DI9", -5_100, "0.1", 51_000, 5_000, 0),
    ("DI11", -5_100, "0.1", 50_490, 5_000, -51_000_000),
]


@pytest.mark.parametrize("row", DI, ids=[row[0] for row in DI])
def test_insurance_fund_delta(row: tuple) -> None:
    _, cash, coins, price, fee, expected = row
    account = Account(cash * USD, [btc(coins)])
    delta = -account.holdings[0].quantums
    fill = -delta * price * USD // 10**8
    assert insurance_delta(account, account.holdings[0], delta, fill, fee) == expected


def test_who_is_liquidated_and_who_first() -> None:
    safe, short = Account(-4_500 * USD, [btc("0.1")]), Account(-4_501 * USD, [btc("0.1")])
    assert not safe.is_liquidatable
    assert short.is_liquidatable
    assert not Account(-1).is_liquidatable
    assert is_riskier(short, safe)
    assert not is_riskier(safe, short)
    twice = Account(-9_000 * USD, [btc("0.2")])
    assert is_riskier(twice, safe)
