"""Liquidation and bankruptcy prices: by hand where a hand can, else against the rule one tick either side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import (
    BTC,
    BTC_DEC,
    BTC_INVERSE,
    BTC_PERP,
    CONTRACTS,
    ETH_PERP,
    PRICES,
    USDC,
    any_bucket,
    any_prices,
    bucket,
    e10,
    opened,
    terms,
)

from ringfence.kernel.money import PPM
from ringfence.margin.bucket import Bucket
from ringfence.margin.health import health
from ringfence.margin.marks import Prices
from ringfence.margin.price_range import (
    Moves,
    PriceRange,
    bankruptcy_range,
    exact_range,
    liquidation_range,
    prices_at,
)

ALL = terms()


def test_a_long_in_one_bracket_by_hand() -> None:
    # 1 BTC from 60,000 with 2,000: p - 58,000 = 0.01 p, so p = 58,585.86: the first tick above.
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=2_000 * USDC)
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL) == PriceRange(e10("58585.9"), None)
    assert bankruptcy_range(one, "BTC-PERP", PRICES, ALL) == PriceRange(e10("58000"), None)


def test_a_short_by_hand() -> None:
    # 62,000 - p = 0.01 p, so p = 61,386.14: the last tick below.
    one = bucket(opened(BTC_PERP, -1_000, 60_000), USDC=2_000 * USDC)
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL) == PriceRange(None, e10("61386.1"))
    assert bankruptcy_range(one, "BTC-PERP", PRICES, ALL) == PriceRange(None, e10("62000"))


def test_the_bracket_at_the_answer_counts_and_not_the_one_now() -> None:
    # 2 BTC are in the second bracket at 60,000 and in the first at 45,000: there p solves
    # 30,400 + 2 (p - 60,000) = 0.02 p, so p = 45,252.525...
    one = bucket(opened(BTC_PERP, 2_000, 60_000), USDC=30_400 * USDC)
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL) == PriceRange(e10("45252.6"), None)


def test_the_level_of_the_policy_counts() -> None:
    assert ALL.thresholds is not None
    strict = terms(thresholds=ALL.thresholds.model_copy(update={"liquidate_ppm": 2 * PPM}))
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=2_000 * USDC)
    # p - 58,000 = 0.02 p.
    assert liquidation_range(one, "BTC-PERP", PRICES, strict) == PriceRange(e10("59183.7"), None)


def test_collateral_that_falls_with_the_price_brings_the_liquidation_nearer() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=0, BTC=BTC)
    alone = liquidation_range(one, "BTC-PERP", PRICES, ALL, moves="instrument")
    together = liquidation_range(one, "BTC-PERP", PRICES, ALL)
    # Alone: 57,000 + p - 60,000 = 0.01 p. Together the coin is worth 0.95 p (the mark is 0.1 over the index).
    assert alone == PriceRange(e10("3030.4"), None)
    assert together == PriceRange(e10("30927.9"), None)


def test_a_hedge_has_no_liquidation_price_until_its_legs_are_taken_apart() -> None:
    hedge = bucket(opened(BTC_PERP, -1_000, 60_000), opened(BTC_DEC, 1_000, "60400.4"), USDC=5_000 * USDC)
    alone = liquidation_range(hedge, "BTC-PERP", PRICES, ALL, moves="instrument")
    assert alone is not None
    assert alone.below is None
    assert alone.above is not None
    together = liquidation_range(hedge, "BTC-PERP", PRICES, ALL)
    assert together is not None
    # Both legs lose nothing together; only the requirement, 1 % of each, grows into the equity of 5,100.
    assert together.below is None
    assert together.above is not None
    assert together.above > 2 * alone.above


def test_an_inverse_long_by_hand() -> None:
    # 0.1 + 60,000 (1/60,000 - 1/p) = 300/p in coin: 1.1 p = 60,300, without the haircut's help.
    one = bucket(opened(BTC_INVERSE, 60_000, 60_000), BTC=BTC // 10)
    found = liquidation_range(one, "BTC-INVERSE", PRICES, ALL)
    assert found is not None
    assert found.above is None
    # The 5 % haircut on what is left of the coin: 0.95 (1.1 p - 60,000) = 300.
    assert found.below == e10("54833")


def test_an_inverse_short_covered_by_its_coin_is_never_liquidated() -> None:
    one = bucket(opened(BTC_INVERSE, -60_000, 60_000), BTC=2 * BTC)
    assert bankruptcy_range(one, "BTC-INVERSE", PRICES, ALL) == PriceRange(None, None)


def test_no_price_is_healthy_where_the_debt_is_too_large() -> None:
    one = bucket(opened(BTC_PERP, -1_000, 60_000), USDC_debt=70_000 * USDC)
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL) is None


def test_a_range_that_holds_no_tick_is_none() -> None:
    # One wei beside a debt of a coin: solvent only while a coin costs less than any price there is.
    one = bucket(opened(BTC_PERP, 0, 60_000), ETH=1, BTC_debt=12_345_678)
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL) is None


def test_a_position_without_contracts_has_no_price() -> None:
    one = bucket(opened(ETH_PERP, 100, 3_000), USDC=10_000 * USDC)
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL) == PriceRange(None, None)


def test_a_bucket_below_its_requirement_has_the_price_where_it_is_healthy_again() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=100 * USDC)
    found = liquidation_range(one, "BTC-PERP", PRICES, ALL)
    # p - 59,900 = 0.01 p.
    assert found == PriceRange(e10("60505.1"), None)


def test_a_closing_fee_brings_it_nearer() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=2_000 * USDC)
    # p - 58,000 = 0.0106 p.
    assert liquidation_range(one, "BTC-PERP", PRICES, ALL, fee_ppm=600) == PriceRange(e10("58621.4"), None)


# --- against the rule --------------------------------------------------------------------------


def is_healthy(one: Bucket, name: str, price_e10: int, prices: Prices, moves: Moves, level: int) -> bool:
    contract = CONTRACTS[name]
    moving, coins = {name}, set()
    if moves == "underlying":
        held = {position.instrument for position in one.positions}
        moving |= {other for other in held if CONTRACTS[other].underlying == contract.underlying}
        coins.add(contract.underlying)
    if any(not CONTRACTS[other].is_linear for other in moving):
        coins.add("BTC")
    figures = health(one, prices_at(prices, name, price_e10, moving, coins), ALL)
    return figures.equity * PPM >= figures.maintenance * level


@pytest.mark.parametrize("level", [0, PPM])
@given(any_bucket(), any_prices(), st.sampled_from(["underlying", "instrument"]))
def test_healthy_at_the_price_and_not_one_tick_outside(
    level: int, one: Bucket, prices: Prices, moves: Moves
) -> None:
    ask = liquidation_range if level else bankruptcy_range
    for position in one.positions:
        name = position.instrument
        tick, mark = CONTRACTS[name].tick_e10, prices.marks[name]
        found = ask(one, name, prices, ALL, moves=moves)
        if found is None:
            assert not is_healthy(one, name, mark, prices, moves, level)
            continue
        if found.below is not None:
            assert is_healthy(one, name, found.below, prices, moves, level)
            if found.below > tick:
                assert not is_healthy(one, name, found.below - tick, prices, moves, level)
        if found.above is not None:
            assert is_healthy(one, name, found.above, prices, moves, level)
            assert not is_healthy(one, name, found.above + tick, prices, moves, level)
        inside = (found.below or 0) <= mark and (found.above is None or mark <= found.above)
        assert inside == is_healthy(one, name, mark, prices, moves, level)


@given(any_bucket(), any_prices(), st.integers(1, 400))
def test_the_surplus_is_not_negative_in_the_range_and_nowhere_near_outside(
    one: Bucket, prices: Prices, share: int
) -> None:
    """Scan prices on a grid: the exact range holds all the healthy ones next to the mark."""
    for position in one.positions:
        name, tick = position.instrument, CONTRACTS[position.instrument].tick_e10
        found = exact_range(one, name, prices, ALL, level_ppm=PPM)
        price = prices.marks[name] * share // 100 // tick * tick
        if found is None or not price:
            continue
        healthy = is_healthy(one, name, price, prices, "underlying", PPM)
        below, above = found.below or 0, found.above
        if price > below + 20 * tick and (above is None or price < above - 20 * tick):
            assert healthy
        if price < below - 20 * tick or (above is not None and price > above + 20 * tick):
            assert not healthy


@given(any_bucket(), any_prices())
def test_bankruptcy_lies_beyond_liquidation(one: Bucket, prices: Prices) -> None:
    for position in one.positions:
        closed = liquidation_range(one, position.instrument, prices, ALL)
        broke = bankruptcy_range(one, position.instrument, prices, ALL)
        if closed is None:
            continue
        assert broke is not None
        if broke.below is not None:
            assert closed.below is not None
            assert broke.below <= closed.below
        if broke.above is not None:
            assert closed.above is not None
            assert broke.above >= closed.above
