"""Closing a bucket: as little as restores it, riskiest first, takeover where the market would bankrupt it."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from margins import (
    BTC_PERP,
    CONTRACTS,
    ETH_PERP,
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

from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.health import health
from ringfence.margin.liquidation import (
    after_closure,
    closing,
    fewest_contracts,
    plan_liquidation,
    riskiest_first,
)
from ringfence.margin.marks import Prices
from ringfence.margin.rest import rest_of
from ringfence.margin.takeover import bankruptcy_price, takeovers
from ringfence.planes.ledger.settlement import fill_value
from ringfence.policy.model import Fees, Instrument

ALL = terms()
CHARGED = tuple(replace(one, fees=Fees(taker_ppm=500, liquidation_ppm=5_000)) for one in CONTRACTS.values())
FEES = terms(*CHARGED)


def market(prices: Prices, slippage_ppm: int = 0) -> dict[str, int]:
    """Price every instrument a little off its mark, on the tick (the same for both sides)."""
    return {
        name: max(1, mark * (1_000_000 - slippage_ppm) // 1_000_000 // CONTRACTS[name].tick_e10)
        * CONTRACTS[name].tick_e10
        for name, mark in prices.marks.items()
    }


def at(price: str) -> Prices:
    return PRICES.replaced([("BTC-PERP", e10(price))])


def test_a_healthy_bucket_is_left_alone_and_orders_go_first() -> None:
    one = bucket(
        opened(BTC_PERP, 1_000, 60_000),
        orders=(RestingOrder("BTC-PERP", 10**6, e10(60_000)),),
        USDC=2_000 * USDC,
    )
    plan = plan_liquidation(one, PRICES, ALL, market(PRICES))
    assert plan.outcome == "healthy"
    assert plan.closures == ()
    assert plan.bucket.orders == ()


def test_the_fewest_contracts_by_hand() -> None:
    # 1,000 contracts of 60 dollars with 600 of equity: 110 % of 0.6 a contract is 0.66, so 909 may stay.
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=600 * USDC)
    plan = plan_liquidation(one, at("60000"), ALL, market(at("60000")))
    assert plan.outcome == "restored"
    assert [(c.instrument, c.contracts) for c in plan.closures] == [("BTC-PERP", -91)]
    assert plan.after.equity == 600 * USDC
    assert plan.bucket.position("BTC-PERP").contracts == 909


def test_it_stops_at_stop_at_and_an_uncured_call_where_it_is_cured() -> None:
    low = terms(thresholds=THRESHOLDS.model_copy(update={"stop_at_ppm": 1_020_000}))
    below = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=599 * USDC)
    # 102 % of 0.6 a contract is 0.612: 978 may stay. At 610 the level is 110 %: 924 may.
    assert plan_liquidation(below, at("60000"), low, market(at("60000"))).closures[0].contracts == -22
    called = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=610 * USDC)
    assert plan_liquidation(called, at("60000"), low, market(at("60000"))).closures[0].contracts == -76


def test_one_contract_is_enough_where_one_is() -> None:
    # 659.9 of equity hold 999.8 contracts at 0.66 each.
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=659_900_000)
    plan = plan_liquidation(one, at("60000"), ALL, market(at("60000")))
    assert [c.contracts for c in plan.closures] == [-1]


def test_fee_and_penalty_are_part_of_what_must_be_restored() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=600 * USDC)
    plan = plan_liquidation(one, at("60000"), FEES, market(at("60000")))
    # Each contract costs 0.03 and 0.3: 600 - 0.33 n = 0.66 (1,000 - n), so n = 181.8.
    assert [c.contracts for c in plan.closures] == [-182]
    assert plan.closures[0].fee == 182 * 60 * 500
    assert plan.closures[0].penalty == 182 * 60 * 5_000


def test_the_largest_requirement_goes_first() -> None:
    one = bucket(opened(ETH_PERP, 1_000, 3_000), opened(BTC_PERP, 400, 60_000), USDC=1)
    assert [row.instrument for row in riskiest_first(health(one, PRICES, ALL))] == ["ETH-PERP", "BTC-PERP"]
    even = bucket(opened(ETH_PERP, 100, "3000.01"), opened(CONTRACTS["BTC-DEC"], 50, "60500.5"), USDC=1)
    rows = riskiest_first(health(even, PRICES.replaced([("BTC-DEC", e10("60000.2"))]), ALL))
    assert [row.instrument for row in rows] == ["BTC-DEC", "ETH-PERP"]


def test_closed_out_when_nothing_smaller_restores() -> None:
    # A penalty of 1 % on a requirement of 1 % frees nothing: all of it goes, the rest of equity stays.
    contract = linear("BTC-PERP", "BTC", fees=Fees(liquidation_ppm=12_000))
    one = bucket(opened(contract, 1_000, 60_000), USDC=600 * USDC)
    plan = plan_liquidation(one, at("60000"), terms(contract), market(at("60000")))
    assert plan.outcome == "closed"
    assert plan.after.maintenance == 0
    # The penalty of 720 is cut to the 600 there are: it cannot cause bankruptcy.
    assert plan.closures[0].penalty == 600 * USDC
    assert plan.after.equity == 0


def test_bankrupt_when_the_market_would_take_more_than_there_is() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=600 * USDC)
    plan = plan_liquidation(one, at("60000"), ALL, {"BTC-PERP": e10("59399.9")})
    assert plan.outcome == "bankrupt"
    assert plan.closures == ()
    # 600 of equity over one coin: the pool takes it at 59,400, where nothing is left.
    assert [(t.contracts, t.price_e10, t.lot_units) for t in plan.takeovers] == [
        (1_000, e10("59400"), 600_000)
    ]
    assert plan.after.equity == 0
    assert plan_liquidation(one, at("60000"), ALL, {"BTC-PERP": e10("59400")}).outcome == "closed"


def test_the_taker_bears_a_loss_that_is_there_already() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=600 * USDC)
    plan = plan_liquidation(one, at("59000"), ALL, market(at("59000")))
    assert [(t.price_e10, t.share) for t in plan.takeovers] == [(e10("59400"), -400 * USDC)]
    assert plan.after.equity == 0


def test_a_short_is_taken_over_above_the_mark() -> None:
    one = bucket(opened(BTC_PERP, -1_000, 60_000), USDC=600 * USDC)
    plan = plan_liquidation(one, at("61000"), ALL, market(at("61000")))
    assert [t.price_e10 for t in plan.takeovers] == [e10("60600")]
    assert plan.after.equity == 0


def test_bankruptcy_prices_share_equity_by_requirement() -> None:
    # 20 BTC are in the third bracket: 5 % of 1,200,002 less 31,000. The ether is in the first.
    one = bucket(opened(BTC_PERP, 20_000, "60000.1"), opened(ETH_PERP, -1_000, "3000.01"), USDC=110 * USDC)
    figures = health(one, PRICES, ALL)
    assert [row.maintenance for row in figures.positions] == [29_000_100_000, 300_001_000]
    rows = takeovers(figures, PRICES, ALL)
    # 110 dollars in the proportion 29,000.1 : 300.001, to the last unit.
    assert [row.share for row in rows] == [108_873_720, 1_126_280]


def test_a_loss_past_the_whole_price_stays_with_the_bucket() -> None:
    # A short that owes more than twice its notional passes at one tick; the rest is the waterfall's.
    one = bucket(opened(BTC_PERP, -1_000, 60_000), USDC_debt=70_000 * USDC)
    plan = plan_liquidation(one, at("60000"), ALL, market(at("60000")))
    assert [t.price_e10 for t in plan.takeovers] == [e10("0.1")]
    assert plan.after.equity == -70_000 * USDC + (60_000 * USDC - 100_000)


def test_rounding_goes_toward_the_taker() -> None:
    assert bankruptcy_price(BTC_PERP, 1_000, e10("60000"), 50_000) == e10("59999.9")
    assert bankruptcy_price(BTC_PERP, -1_000, e10("60000"), 50_000) == e10("60000.1")
    inverse = CONTRACTS["BTC-INVERSE"]
    long = bankruptcy_price(inverse, 60_000, e10("60000"), 1_000)
    assert long == e10("59999")
    assert bankruptcy_price(inverse, -60_000, e10("60000"), 1_000) == e10("60001")


def test_a_bucket_that_owes_and_holds_nothing_has_nothing_to_close() -> None:
    plan = plan_liquidation(bucket(USDC_debt=5), PRICES, ALL, {})
    assert plan.outcome == "bankrupt"
    assert plan.closures == plan.takeovers == ()


# --- laws --------------------------------------------------------------------------------------


@st.composite
def troubled(draw: st.DrawFn) -> tuple[Bucket, Prices]:
    """Draw a bucket whose cash leaves equity between bankruptcy and a little over restored."""
    prices = draw(any_prices())
    one = draw(any_bucket())
    one = replace(one, balances={"USDC": 0}, orders=())
    figures = health(one, prices, FEES)
    assume(figures.maintenance > 0)
    wanted = draw(st.integers(-figures.maintenance // 10, figures.maintenance * 13 // 10))
    missing = wanted - figures.equity
    asset = "USDC" if missing >= 0 else "USDC-debt"
    return one.with_balance(asset, abs(missing)), prices


@given(troubled(), st.integers(0, 20_000))
def test_a_plan_restores_closes_or_passes_everything_on(
    drawn: tuple[Bucket, Prices], slippage_ppm: int
) -> None:
    one, prices = drawn
    plan = plan_liquidation(one, prices, FEES, market(prices, slippage_ppm))
    target = 1_100_000
    contracts = {p.instrument: p.contracts for p in one.positions}
    for closure in plan.closures:
        held = contracts[closure.instrument]
        assert held * closure.contracts < 0
        assert abs(closure.contracts) <= abs(held)
        assert closure.penalty >= 0
    match plan.outcome:
        case "healthy":
            assert plan.before.is_at_least(target)
        case "restored":
            assert plan.after.is_at_least(target)
            assert plan.after.equity >= 0
        case "closed":
            assert plan.after.equity >= 0
            assert not any(row.contracts for row in plan.after.positions)
        case "bankrupt":
            assert not any(row.contracts for row in plan.after.positions)
            assert {t.instrument for t in plan.takeovers} == {n for n, q in contracts.items() if q}


@given(troubled(), st.integers(0, 5_000))
def test_one_contract_fewer_does_not_restore(drawn: tuple[Bucket, Prices], slippage_ppm: int) -> None:
    one, prices = drawn
    execution = market(prices, slippage_ppm)
    plan = plan_liquidation(one, prices, FEES, execution)
    if plan.outcome != "restored":
        return
    last = plan.closures[-1]
    before_last = one
    for closure in plan.closures[:-1]:
        before_last = after_closure(before_last, FEES.contracts[closure.instrument], closure)
    contract = FEES.contracts[last.instrument]
    fewer = abs(last.contracts) - 1
    if fewer:
        smaller = closing(before_last, contract, fewer, execution[last.instrument])
        figures = health(after_closure(before_last, contract, smaller), prices, FEES)
    else:
        figures = health(before_last, prices, FEES)
    assert not figures.is_at_least(1_100_000)


@given(st.integers(1, 3_000), st.integers(0, 3_000), st.integers(0, 20_000), st.booleans())
def test_the_fewest_contracts_of_all(held: int, equity_permille: int, slip_ppm: int, is_long: bool) -> None:
    """Hold the search against trying every number, over all three brackets."""
    contract = linear(
        "BTC-PERP", "BTC", size="0.01", tiers=TIERS, fees=Fees(taker_ppm=300, liquidation_ppm=4_000)
    )
    book = terms(contract)
    prices = at("60000")
    side = 1 if is_long else -1
    execution = e10("60000") * (1_000_000 - side * slip_ppm) // 1_000_000 // e10("0.1") * e10("0.1")
    one = bucket(opened(contract, side * held, "60000"), USDC=0)
    one = one.with_balance("USDC", health(one, prices, book).maintenance * equity_permille // 1_000)
    assume(not health(one, prices, book).is_at_least(1_100_000))

    def restores(number: int) -> bool:
        left = after_closure(one, contract, closing(one, contract, number, execution))
        return health(left, prices, book).is_at_least(1_100_000)

    expected = next((number for number in range(1, held + 1) if restores(number)), None)
    rest = rest_of(one, health(one, prices, book), contract.name, prices, book)
    assert fewest_contracts(rest, execution, 1_100_000) == expected


@given(any_bucket(), any_prices())
def test_takeovers_leave_nothing_and_never_cost_the_taker_by_rounding(one: Bucket, prices: Prices) -> None:
    # In the numeraire alone, so that no haircut and no other coin stands between share and price.
    one = replace(one, positions=tuple(p for p in one.positions if p.instrument != "BTC-INVERSE"))
    figures = health(one, prices, ALL)
    open_rows = [row for row in figures.positions if row.contracts]
    assume(open_rows)
    left = one
    for row in takeovers(figures, prices, ALL):
        contract = CONTRACTS[row.instrument]
        assert row.price_e10 % contract.tick_e10 == 0
        worth = contract.value_down(row.contracts, row.mark_e10) - contract.value_down(
            row.contracts, row.price_e10
        )
        if contract.tick_e10 < row.price_e10 < row.mark_e10 * 1_000:
            # What the taker gains against the mark is the share, and less than a tick of contracts more.
            tick_value = abs(contract.value_down(row.contracts, contract.tick_e10))
            assert row.share <= worth < row.share + tick_value
        left = left.filled(contract, -row.contracts, row.price_e10)
    assert not any(position.contracts for position in left.positions)


def test_a_projected_fill_is_booked_as_the_ledger_books_it() -> None:
    for contract, payoff, size in ((BTC_PERP, "linear", "0.001"), (CONTRACTS["BTC-INVERSE"], "inverse", "1")):
        decimals = 6 if contract.is_linear else 8
        instrument = Instrument(
            kind="perpetual",
            payoff=payoff,
            underlying="BTC",
            quote=contract.quote,
            contract_size_e10=e10(size),
            tick_e10=contract.tick_e10,
            tiers=TIERS,
            settlement_ns=1,
            price_band_ppm=1,
            index="index/BTC",
        )
        for contracts in (7, -7, 60_001):
            for price in ("60000.5", "1234.5"):
                booked = fill_value(instrument, contracts, e10(price), decimals)
                assert contract.booked_value(contracts, e10(price)) == booked


@pytest.mark.parametrize("closed", [0, 5])
def test_positions_without_contracts_pass_nothing_on(closed: int) -> None:
    one = bucket(Position("BTC-PERP", 0, closed), USDC_debt=1)
    assert takeovers(health(one, PRICES, ALL), PRICES, ALL) == ()
