"""What a bucket has room for: true exactly where the rule of trading gives no reason, to the contract."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import (
    BTC_PERP,
    COINS,
    CONTRACTS,
    PRICES,
    THRESHOLDS,
    TIERS,
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
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PRICE_SCALE, share_up
from ringfence.margin.bucket import Bucket, RestingOrder
from ringfence.margin.calls import state_of
from ringfence.margin.collateral import Coin
from ringfence.margin.headroom import Headroom, OrderTerms
from ringfence.margin.health import health
from ringfence.margin.instruments import Contract
from ringfence.margin.limits import LimitLevel, first_limit_state
from ringfence.margin.marks import Prices
from ringfence.margin.trading import IntendedFill, trade_verdict
from ringfence.policy.model import BucketLimits, Fees, HaircutTier

ALL = terms()
AT = Instant(1_760_000_000 * 10**9)
FREE_OF_LIMITS = BucketLimits()


def room_of(one: Bucket, prices: Prices, limits: BucketLimits = FREE_OF_LIMITS, **words: object) -> Headroom:
    figures = health(one, prices, ALL)
    state = words.get("limit_state") or first_limit_state(figures.equity, AT)
    level = state_of(figures.equity, figures.maintenance, THRESHOLDS)
    return Headroom(one, figures, prices, ALL, level, limits, state, words.get("loss_allowed"))  # type: ignore[arg-type]


def by_rule(room: Headroom, fill: IntendedFill, orders: Sequence[RestingOrder]) -> bool:
    verdict = trade_verdict(
        replace(room.bucket, orders=tuple(orders)),
        [fill],
        room.prices,
        room.terms,
        room.state,
        room.limits,
        room.limit_state,
        room.loss_allowed,
    )
    return verdict.reason is None


def without_rebate(fill: IntendedFill, contracts: int) -> IntendedFill:
    """Charge the taker fee that the instrument states."""
    contract = CONTRACTS[fill.instrument]
    fee = share_up(contract.notional(contracts, fill.price_e10), max(0, contract.fees.taker_ppm))
    return replace(fill, fee=fee)


@st.composite
def any_limits(draw: st.DrawFn, one: Bucket, prices: Prices) -> Headroom:
    """Draw the limits of a bucket and where they stand."""
    equity = health(one, prices, ALL).equity
    state = first_limit_state(equity + draw(st.integers(-(10**10), 10**10)), AT)
    levels = st.sampled_from([LimitLevel.OK, LimitLevel.OK, LimitLevel.WARNED, LimitLevel.TRIPPED])
    state = replace(
        state,
        day=replace(state.day, fill_loss=draw(st.integers(0, 10**9))),
        drawdown=draw(levels),
        leverage=draw(levels),
    )
    leverage = draw(st.sampled_from([None, None, 1, 5, 20]))
    allowed = draw(st.sampled_from([None, 10**8, 10**10]))
    return room_of(one, prices, BucketLimits(leverage=leverage), limit_state=state, loss_allowed=allowed)


@st.composite
def any_orders(draw: st.DrawFn, prices: Prices) -> tuple[RestingOrder, ...]:
    names = draw(st.lists(st.sampled_from(sorted(CONTRACTS)), max_size=3))
    return tuple(
        RestingOrder(name, draw(st.integers(-5_000, 5_000).filter(bool)), prices.mark(name)) for name in names
    )


@given(st.data(), any_bucket(), any_prices(), st.sampled_from(sorted(CONTRACTS)), st.booleans())
def test_it_passes_what_the_rule_passes_on_both_sides_of_the_edge(
    data: st.DataObject, one: Bucket, prices: Prices, name: str, is_isolated: bool
) -> None:
    one = replace(one, mode="isolated") if is_isolated else one
    room = data.draw(any_limits(one, prices))
    orders = data.draw(any_orders(prices))
    side = data.draw(st.sampled_from([1, -1]))
    limit_e10 = max(1, prices.mark(name) + data.draw(st.integers(-2_000, 2_000)) * CONTRACTS[name].tick_e10)

    def fill(contracts: int) -> IntendedFill:
        return IntendedFill(name, side * contracts, limit_e10, prices.mark(name), contracts // 3)

    def agreed(contracts: int) -> bool:
        asked = fill(contracts)
        expected = by_rule(room, asked, orders)
        if room.is_easy(OrderTerms(name, side, contracts, limit_e10, prices.mark(name))):
            assert by_rule(room, without_rebate(asked, contracts), ()), contracts
        assert room.passes(asked, orders) == expected, contracts
        return expected

    low, high = 1, data.draw(st.integers(2, 10**7))
    passes_low, passes_high = agreed(low), agreed(high)
    while high - low > 1 and passes_low != passes_high:
        middle = (low + high) // 2
        if agreed(middle) == passes_low:
            low = middle
        else:
            high = middle


def test_the_last_contract_that_fits_by_hand() -> None:
    # 1,000 contracts at 60,000.1 need a fiftieth of 60,000.1 dollars: 1,200.002.
    fill = IntendedFill("BTC-PERP", 1_000, PRICES.marks["BTC-PERP"], PRICES.marks["BTC-PERP"])
    assert room_of(bucket(USDC=1_200_002_000), PRICES).passes(fill, ())
    assert not room_of(bucket(USDC=1_200_001_999), PRICES).passes(fill, ())


def test_a_standing_order_takes_room() -> None:
    fill = IntendedFill("BTC-PERP", 1_000, e10("60000"), e10("60000"))
    order = RestingOrder("BTC-PERP", 1, e10("60000"))
    room = room_of(bucket(USDC=1_200_002_000), PRICES)
    assert room.passes(fill, ())
    assert room.passes(fill, (replace(order, contracts=-1),))
    assert not room_of(bucket(USDC=1_199_902_000), PRICES).passes(fill, (order,))


def test_what_only_closes_always_passes() -> None:
    ruined = room_of(bucket(opened(BTC_PERP, 10, 90_000)), PRICES)
    assert ruined.passes(IntendedFill("BTC-PERP", -10, e10("1000"), e10("60000")), ())
    assert not ruined.passes(IntendedFill("BTC-PERP", -11, e10("60000"), e10("60000")), ())
    assert not ruined.passes(IntendedFill("BTC-PERP", 1, e10("60000"), e10("60000")), ())


def test_what_cannot_be_valued_is_not_judged() -> None:
    room = room_of(bucket(USDC=10**9), Prices({}, {"BTC-PERP": PRICES.marks["BTC-PERP"]}))
    with pytest.raises(BadInput, match="no mark price"):
        room.passes(IntendedFill("ETH-PERP", 1, e10("3000"), e10("3000")), ())


# --- far from the edge -------------------------------------------------------------------------

FEES = linear("BTC-PERP", "BTC", tiers=TIERS, fees=Fees(taker_ppm=500))
TINY = linear("BTC-PERP", "BTC", size="0.0000000001", tiers=TIERS, fees=Fees(taker_ppm=500))
"""Contracts of a few units each, so that every rounding counts."""


def simple_room(
    one: Bucket,
    mark_e10: int,
    loss_allowed: int | None = None,
    leverage: int | None = None,
    contract: Contract = FEES,
    coins: dict[str, Coin] = COINS,
) -> Headroom:
    simple = terms(contract, coins=coins)
    prices = Prices({}, {"BTC-PERP": mark_e10})
    figures = health(one, prices, simple)
    level = state_of(figures.equity, figures.maintenance, THRESHOLDS)
    start = first_limit_state(figures.equity, AT)
    return Headroom(one, figures, prices, simple, level, BucketLimits(leverage=leverage), start, loss_allowed)


@given(
    st.integers(0, 40_000),
    st.integers(1, 2_000_000),
    st.integers(400_000, 800_000),
    st.integers(-500, 500),
    st.sampled_from([1, -1]),
    st.sampled_from([None, 10**6, 10**8, 10**10]),
    st.integers(-3, 3),
    st.sampled_from([None, None, 1, 7]),
    st.sampled_from([FEES, TINY, TINY]),
)
def test_what_is_easy_passes_to_the_unit_of_its_own_edge(
    held: int,
    cash: int,
    ticks: int,
    off: int,
    side: int,
    loss_allowed: int | None,
    beside: int,
    leverage: int | None,
    contract: Contract,
) -> None:
    """Around the largest order that is easy: it passes by the rule, and the bound is never far too strict."""
    tick, mark_e10 = contract.tick_e10, ticks * contract.tick_e10
    cash = cash if contract is TINY else cash * USDC // 100
    one = bucket(opened(contract, side * held, Decimal(mark_e10) / PRICE_SCALE), USDC=cash)
    loss_allowed = loss_allowed if contract is FEES or loss_allowed is None else loss_allowed // 10**5
    room = simple_room(one, mark_e10, loss_allowed, leverage, contract)
    limit_e10 = mark_e10 + off * tick

    def order(contracts: int) -> OrderTerms:
        return OrderTerms("BTC-PERP", side, contracts, limit_e10, mark_e10)

    def passes(contracts: int) -> bool:
        notional = contract.notional(contracts, limit_e10)
        fill = IntendedFill("BTC-PERP", side * contracts, limit_e10, mark_e10, share_up(notional, 500))
        return by_rule(room, fill, ())

    low, high = 0, 10**6
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if room.is_easy(order(middle)) else (low, middle)
    for contracts in {max(1, low + beside), max(1, low // 2), 1}:
        assert passes(contracts) or not room.is_easy(order(contracts)), contracts
    if low:
        assert passes(low)


def test_nearly_everything_that_passes_is_easy() -> None:
    # 2,000 dollars of margin, a fiftieth of 60 dollars and a fee of 3 cents a contract: 1,626 contracts.
    room = simple_room(bucket(USDC=2_000 * USDC), e10("60000"))
    assert room.is_easy(OrderTerms("BTC-PERP", 1, 1_625, e10("60000"), e10("60000")))
    assert not room.is_easy(OrderTerms("BTC-PERP", 1, 1_627, e10("60000"), e10("60000")))
    # At twice its equity 2,000 dollars carry 66 of them, less twice the fee.
    twice = simple_room(bucket(USDC=2_000 * USDC), e10("60000"), None, 2)
    assert twice.is_easy(OrderTerms("BTC-PERP", 1, 66, e10("60000"), e10("60000")))
    assert not twice.is_easy(OrderTerms("BTC-PERP", 1, 67, e10("60000"), e10("60000")))
    # What is held the other way round may be closed, and a contract more is asked exactly.
    short = simple_room(bucket(opened(FEES, -5, 60_000)), e10("60000"))
    assert short.is_easy(OrderTerms("BTC-PERP", 1, 5, e10("90000"), e10("60000")))
    assert not short.is_easy(OrderTerms("BTC-PERP", 1, 6, e10("60000"), e10("60000")))
    # The next bracket begins at 100,000 dollars: 1,666 contracts are below it.
    rich = simple_room(bucket(USDC=2_000_000 * USDC), e10("60000"))
    assert rich.is_easy(OrderTerms("BTC-PERP", -1, 1_666, e10("60000"), e10("60000")))
    assert not rich.is_easy(OrderTerms("BTC-PERP", -1, 1_667, e10("60000"), e10("60000")))


def test_what_may_be_lost_today_bounds_what_is_easy() -> None:
    # At 60 dollars over the index a contract of 0.001 loses 6 cents: 16 lose under a dollar.
    one = bucket(USDC=2_000 * USDC)
    room = simple_room(one, e10("60000"), USDC)
    assert room.is_easy(OrderTerms("BTC-PERP", 1, 16, e10("60060"), e10("60000")))
    assert not room.is_easy(OrderTerms("BTC-PERP", 1, 17, e10("60060"), e10("60000")))
    assert room.is_easy(OrderTerms("BTC-PERP", -1, 17, e10("60060"), e10("60000")))
    lost = replace(room.limit_state, day=replace(room.limit_state.day, fill_loss=USDC // 2))
    half = replace(room, limit_state=lost, _eases={})
    assert half.is_easy(OrderTerms("BTC-PERP", 1, 8, e10("60060"), e10("60000")))
    assert not half.is_easy(OrderTerms("BTC-PERP", 1, 9, e10("60060"), e10("60000")))


def test_only_what_is_one_line_is_easy() -> None:
    """Coins that are cut, another quote, and contracts that are worth the inverse are asked exactly."""
    order = OrderTerms("BTC-PERP", 1, 1, e10("60000"), e10("60000"))
    one = bucket(USDC=2_000 * USDC)
    assert simple_room(one, e10("60000")).is_easy(order)
    cut = COINS | {"USDC": replace(COINS["USDC"], haircut=(HaircutTier(floor_units=0, ppm=1),))}
    assert not simple_room(one, e10("60000"), coins=cut).is_easy(order)
    uncounted = COINS | {"USDC": replace(COINS["USDC"], haircut=())}
    assert not simple_room(one, e10("60000"), coins=uncounted).is_easy(order)
    full = COINS | {"BTC": replace(COINS["BTC"], haircut=(HaircutTier(floor_units=0, ppm=0),))}
    for other in (replace(FEES, is_linear=False), replace(FEES, quote="BTC")):
        prices = Prices({"BTC": e10("60000")}, {"BTC-PERP": e10("60000")})
        room = simple_room(bucket(USDC=2_000 * USDC), e10("60000"), contract=other, coins=full)
        assert not replace(room, prices=prices, _eases={}).is_easy(order)
