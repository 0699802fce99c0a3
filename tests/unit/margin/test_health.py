"""Health: every term by hand, and the laws that hold for any bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import (
    BTC,
    BTC_INVERSE,
    BTC_PERP,
    CONTRACTS,
    ETH_PERP,
    FLAT,
    PRICES,
    USDC,
    any_bucket,
    any_prices,
    bucket,
    e10,
    linear,
    opened,
    terms,
)

from ringfence.kernel.errors import BadInput
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.health import health, order_margin, risk_key
from ringfence.margin.marks import Prices
from ringfence.margin.releasable import releasable
from ringfence.policy.model import Fees, Tier

ALL = terms()


def test_every_term_by_hand() -> None:
    # Long 2 BTC from 59,000 at 60,000.1: profit 2,000.2, notional 120,000.2 in the second bracket.
    # Short 10 ETH from 3,100 at 3,000.01: profit 999.9, notional 30,000.1 in the first.
    one = bucket(
        opened(BTC_PERP, 2_000, 59_000), opened(ETH_PERP, -1_000, 3_100), USDC=10_000 * USDC, BTC=BTC
    )
    figures = health(one, PRICES, ALL)
    assert [coin.value for coin in figures.coins] == [13_000_100_000, 57_000 * USDC]
    assert figures.equity == 70_000_100_000
    assert [row.maintenance for row in figures.positions] == [1_400_004_000, 300_001_000]
    assert [row.bracket for row in figures.positions] == [1, 0]
    assert figures.initial == 4_800_008_000 + 600_002_000
    assert figures.positive_profit == 2_000_200_000 + 999_900_000
    assert figures.free == 70_000_100_000 - 5_400_010_000
    assert figures.gross_notional == 150_000_300_000


def test_an_inverse_position_by_hand() -> None:
    # Long 60,000 dollars from 50,000 at 60,000.5: 1.2 coins less 0.99999166, held against 0.1 coin.
    one = bucket(opened(BTC_INVERSE, 60_000, 50_000), BTC=BTC // 10)
    figures = health(one, PRICES, ALL)
    profit = 120_000_000 - 99_999_167
    assert figures.positions[0].notional_quote == 99_999_167
    assert figures.positions[0].session_profit == profit
    assert figures.equity == (BTC // 10 + profit) * 60_000 * 95 * USDC // (100 * BTC)
    # 0.5 % of 0.99999167 coin is 499,996 units up, worth 299.9976 dollars.
    assert figures.maintenance == 299_997_600


def test_a_debt_counts_one_for_one_and_takes_no_haircut() -> None:
    owed = health(bucket(USDC=100, BTC_debt=BTC), PRICES, ALL)
    assert owed.equity == 100 - 60_000 * USDC
    # One coin held and one owed cancel before any haircut.
    assert health(bucket(BTC=BTC, BTC_debt=BTC), PRICES, ALL).equity == 0
    assert health(bucket(USDC=5, USDC_debt=7), PRICES, ALL).equity == -2


def test_haircuts_rise_slice_by_slice() -> None:
    value = health(bucket(BTC=12 * BTC), PRICES, ALL).equity
    assert value == (10 * 95 + 2 * 80) * 60_000 * USDC // 100


def test_a_coin_without_haircut_line_counts_for_nothing_and_needs_no_price() -> None:
    assert health(bucket(JUNK=10**9, USDC=3), PRICES, ALL).equity == 3


def test_a_closed_position_keeps_what_it_realised() -> None:
    figures = health(bucket(Position("BTC-PERP", 0, -250), USDC=1), Prices(), ALL)
    assert (figures.equity, figures.maintenance, figures.positive_profit) == (251, 0, 250)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (bucket(opened(BTC_PERP, 1, 1)), "no mark price for BTC-PERP"),
        (bucket(BTC=1), "no price for BTC"),
        (bucket(Position("DOGE-PERP", 1, 0)), "no perpetual or dated future"),
        (bucket(DOGE=1), "neither a coin nor a debt"),
    ],
)
def test_what_has_no_price_or_terms_is_refused(one: Bucket, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        health(one, Prices(), ALL)


@pytest.mark.parametrize("price", [0, -1])
def test_a_price_is_above_zero(price: int) -> None:
    with pytest.raises(BadInput, match="above zero"):
        Prices({"BTC": price})


# --- laws --------------------------------------------------------------------------------------


@given(any_bucket(), any_prices())
def test_initial_is_at_least_maintenance(one: Bucket, prices: Prices) -> None:
    figures = health(one, prices, ALL)
    assert figures.initial >= figures.maintenance >= 0


@given(any_bucket(), any_prices(), st.sampled_from(["USDC", "BTC", "ETH"]), st.integers(1, 10**20))
def test_more_collateral_never_lowers_health(one: Bucket, prices: Prices, coin: str, units: int) -> None:
    before, after = health(one, prices, ALL), health(one.with_balance(coin, units), prices, ALL)
    assert after.equity >= before.equity
    assert after.maintenance == before.maintenance


@given(any_bucket(tuple(c for c in CONTRACTS.values() if c.is_linear)), any_prices())
def test_a_settlement_changes_no_equity(one: Bucket, prices: Prices) -> None:
    settled = one
    for position in one.positions:
        contract = CONTRACTS[position.instrument]
        value = contract.value_down(position.contracts, prices.marks[position.instrument])
        settled = settled.with_position(Position(position.instrument, position.contracts, value))
        settled = settled.with_balance("USDC", value - position.session_value)
    assert health(settled, prices, ALL).equity == health(one, prices, ALL).equity


@given(any_bucket(), any_prices(), any_bucket(), any_prices())
def test_isolation(one: Bucket, prices: Prices, other: Bucket, other_prices: Prices) -> None:
    """Perturb everything outside a bucket and outside the prices of what it holds: not a bit changes."""
    held = {position.instrument for position in one.positions if position.contracts}
    coins = {coin for coin in ("BTC", "ETH") if one.balances.get(coin)}
    coins |= {"BTC"} if one.balances.get("BTC-debt") else set()
    coins |= {"BTC"} if any(position.instrument == "BTC-INVERSE" for position in one.positions) else set()
    elsewhere = Prices(
        {name: (prices if name in coins else other_prices).assets[name] for name in prices.assets},
        {name: (prices if name in held else other_prices).marks[name] for name in prices.marks},
    )
    before = health(one, prices, ALL)
    health(other, other_prices, ALL)
    assert health(one, elsewhere, ALL) == before


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**13), any_prices(), st.integers(2, 5))
def test_flat_terms_scale(contracts: int, usdc: int, prices: Prices, times: int) -> None:
    """Without brackets and haircut tiers, n times the bucket is n times the figures, but for rounding."""
    contract = linear("BTC-PERP", "BTC", tiers=FLAT)
    flat = terms(contract)
    one = bucket(opened(contract, contracts, "59000.1"), USDC=usdc)
    many = Bucket(
        "cross",
        {name: units * times for name, units in one.balances.items()},
        tuple(Position(p.instrument, p.contracts * times, p.session_value * times) for p in one.positions),
    )
    small, large = health(one, prices, flat), health(many, prices, flat)
    assert large.equity == small.equity * times
    assert small.maintenance * times - times < large.maintenance <= small.maintenance * times


def test_the_riskiest_bucket_comes_first() -> None:
    def figures(equity: int, contracts: int) -> object:
        return health(bucket(opened(BTC_PERP, contracts, "60000.1"), USDC=equity), PRICES, ALL)

    owing = health(bucket(USDC_debt=1), PRICES, ALL)
    idle = health(bucket(USDC=1), PRICES, ALL)
    order = [owing, figures(0, 10), figures(USDC, 20), figures(USDC, 10), figures(9 * USDC, 10), idle]
    shuffled = order[3:] + order[:3]
    assert sorted(shuffled, key=risk_key) == order


# --- order margin ------------------------------------------------------------------------------


def with_orders(*orders: tuple[int, str], held: int = 0) -> Bucket:
    position = (opened(BTC_PERP, held, "60000.1"),) if held else ()
    resting = tuple(RestingOrder("BTC-PERP", contracts, e10(limit)) for contracts, limit in orders)
    return bucket(*position, orders=resting, USDC=10**12)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (with_orders((1_000, "60000.1")), 1_200_002_000),
        (with_orders((1_000, "60000.1"), (-1_000, "60000.1")), 1_200_002_000),
        # Closing orders need nothing; what goes beyond the position does.
        (with_orders((-1_000, "60000.1"), held=1_000), 0),
        (with_orders((-2_000, "60000.1"), held=1_000), 0),
        (with_orders((-2_500, "60000.1"), held=1_000), 1_800_003_000 - 1_200_002_000),
        # A buy above the mark loses the difference at once, one below does not gain it.
        (with_orders((1_000, "60100.1")), 1_300_002_000),
        (with_orders((1_000, "59000.1")), 1_200_002_000),
    ],
)
def test_order_margin_by_hand(one: Bucket, expected: int) -> None:
    assert order_margin(one, PRICES, ALL) == expected


def test_an_order_needs_its_fee() -> None:
    fees = Fees(taker_ppm=500)
    contract = linear("BTC-PERP", "BTC", fees=fees)
    assert (
        order_margin(with_orders((1_000, "60000.1")), PRICES, terms(contract)) == 1_200_002_000 + 30_000_050
    )


def test_free_is_what_neither_positions_nor_orders_need() -> None:
    one = with_orders((1_000, "60000.1"), held=500)
    figures = health(one, PRICES, ALL)
    assert figures.initial == 600_001_000
    assert figures.order_margin == 1_800_003_000 - 600_001_000
    assert figures.free == 10**12 - 1_800_003_000


# --- releasable --------------------------------------------------------------------------------


def test_releasable_without_positions_is_the_balance_less_debts() -> None:
    one = bucket(USDC=100, BTC=BTC, BTC_debt=BTC // 4)
    assert releasable(one, "USDC", PRICES, ALL) == 100
    assert releasable(one, "BTC", PRICES, ALL) == BTC - BTC // 4
    assert releasable(one, "BTC-debt", PRICES, ALL) == 0
    assert releasable(one, "ETH", PRICES, ALL) == 0
    assert releasable(one, "JUNK", PRICES, ALL) == 0


def test_what_counts_for_nothing_may_always_leave() -> None:
    one = bucket(opened(BTC_PERP, 1_000, "60000.1"), JUNK=5, USDC=2_000 * USDC)
    assert releasable(one, "JUNK", PRICES, ALL) == 5
    poor = bucket(opened(BTC_PERP, 1_000, "60000.1"), JUNK=5, USDC=1_000 * USDC)
    assert releasable(poor, "JUNK", PRICES, ALL) == 0


@pytest.mark.parametrize(
    ("usdc", "entry", "expected"),
    [
        # 1 BTC at 60,000.1: initial 1,200.002 is over 150 % of maintenance, 900.0015.
        (1_200_001_999, "60000.1", 0),
        (1_200_002_000, "60000.1", 0),
        (1_200_002_001, "60000.1", 1),
        (1_300_002_000, "60000.1", 100 * USDC),
        # A profit of 1,000 counts as equity and may not leave; a loss of 1,000 does count.
        (1_300_002_000, "59000.1", 100 * USDC),
        (2_300_002_000, "61000.1", 100 * USDC),
    ],
)
def test_releasable_edges(usdc: int, entry: str, expected: int) -> None:
    one = bucket(opened(BTC_PERP, 1_000, entry), USDC=usdc)
    assert releasable(one, "USDC", PRICES, ALL) == expected


def test_what_resting_orders_need_may_not_leave() -> None:
    one = with_orders((500, "60000.1"), held=500)
    assert releasable(one, "USDC", PRICES, ALL) == 10**12 - 1_200_002_000


def test_free_must_still_hold_after_a_release() -> None:
    # Brackets where 150 % of maintenance (1,800.003) is over initial margin (1,200.002).
    contract = linear(
        "BTC-PERP", "BTC", tiers=(Tier(floor_units=0, maintenance_ppm=20_000, leverage_max=50),)
    )
    one = bucket(opened(contract, 1_000, "60000.1"), USDC=2_000 * USDC)
    assert releasable(one, "USDC", PRICES, terms(contract)) == 2_000 * USDC - 1_800_003_000
    assert releasable(one, "USDC", PRICES, terms(contract, thresholds=None)) == 2_000 * USDC - 1_200_002_000


@given(any_bucket(), any_prices(), st.sampled_from(["USDC", "BTC", "ETH"]))
def test_releasable_is_the_most_that_may_leave(one: Bucket, prices: Prices, coin: str) -> None:
    units = releasable(one, coin, prices, ALL)
    balance = one.balances[coin] - one.balances.get(f"{coin}-debt", 0)
    assert 0 <= units <= max(0, balance)

    def holds(left: int) -> bool:
        figures = health(one.with_balance(coin, -left), prices, ALL)
        margin = figures.equity >= figures.initial + figures.order_margin + figures.positive_profit
        return margin and figures.is_at_least(1_500_000)

    if units:
        assert holds(units)
    if units < balance:
        assert not holds(units + 1)
