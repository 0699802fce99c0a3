"""A position that trades beside the rest of its bucket: the same whole numbers as valuing all of it."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from margins import (
    BTC_INVERSE,
    BTC_PERP,
    CONTRACTS,
    PRICES,
    USDC,
    any_bucket,
    any_prices,
    bucket,
    opened,
    terms,
)

from ringfence.kernel.errors import BadInput
from ringfence.margin.bucket import Bucket
from ringfence.margin.health import health
from ringfence.margin.marks import Prices
from ringfence.margin.rest import Figures, rest_of

ALL = terms()


def figures(one: Bucket, prices: Prices) -> Figures:
    found = health(one, prices, ALL)
    return Figures(found.equity, found.initial, found.maintenance, found.gross_notional)


@given(
    any_bucket(),
    any_prices(),
    st.sampled_from(sorted(CONTRACTS)),
    st.integers(-200_000, 200_000),
    st.integers(-(10**9), 10**12),
    st.booleans(),
)
def test_what_is_left_after_a_trade_is_what_health_says(
    one: Bucket, prices: Prices, name: str, contracts: int, cost: int, closes: bool
) -> None:
    contract = CONTRACTS[name]
    if closes:
        contracts = -one.position(name).contracts
    assume(contracts)
    price_e10 = prices.mark(name) + 7 * contract.tick_e10
    after = one.filled(contract, contracts, price_e10).with_balance(contract.quote, -cost)
    rest = rest_of(one, health(one, prices, ALL), name, prices, ALL)
    assert rest.after(contracts, price_e10, cost) == figures(after, prices)


def test_the_first_position_of_a_bucket_by_hand() -> None:
    # 1,000 contracts of 60 dollars and a cent: a fiftieth is 1,200.002 of 2,000 less a fee of 1.
    one = bucket(USDC=2_000 * USDC)
    rest = rest_of(one, health(one, PRICES, ALL), "BTC-PERP", PRICES, ALL)
    found = rest.after(1_000, PRICES.marks["BTC-PERP"], USDC)
    assert found == Figures(1_999 * USDC, 1_200_002_000, 600_001_000, 60_000_100_000)


def test_what_has_no_mark_terms_or_price_is_not_traded() -> None:
    one = bucket(opened(BTC_PERP, 1, 60_000), USDC=2_000 * USDC)
    before = health(one, PRICES, ALL)
    with pytest.raises(BadInput, match="no perpetual"):
        rest_of(one, before, "DOGE-PERP", PRICES, ALL)
    with pytest.raises(BadInput, match="no mark price for BTC-DEC"):
        rest_of(one, before, "BTC-DEC", Prices({}, {"BTC-PERP": PRICES.marks["BTC-PERP"]}), ALL)
    with pytest.raises(BadInput, match="no price for BTC"):
        rest_of(one, before, BTC_INVERSE.name, Prices({}, PRICES.marks), ALL)
