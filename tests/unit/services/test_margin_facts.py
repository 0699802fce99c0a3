"""Margin's word in a book: what may leave, what may be traded, what may be closed by force, to the unit."""

import pytest
from books import USDC
from margin_desk import BET, BTC, CASH, EVIDENCE, HEDGE, POLICY, TEXT, Desk, begun_desk, parsed

from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.margin.reading import bucket_in
from ringfence.margin.terms import compile_terms
from ringfence.margin.topping import lacking
from ringfence.planes.ledger.operations import Closing, Fill, Move
from ringfence.planes.ledger.payments import collection_links
from ringfence.planes.ledger.rules import Rules
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import MarginFacts

FEE = 5 * USDC // 2
"""The taker's fee of 0.05 % on 0.1 BTC at 50,000."""


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def desk(shelf: Shelf) -> Desk:
    return begun_desk(shelf, POLICY)


def release(units: int, bucket: str = BET) -> Move:
    return Move("release", bucket, CASH, "USDC", units)


# --- what may leave ----------------------------------------------------------------------------


def test_what_nothing_needs_may_leave_to_the_last_unit(desk: Desk) -> None:
    assert desk.ask(release(2_000 * USDC + 1)) is Reason.CONDITION_NOT_MET
    assert desk.ask(release(2_000 * USDC)) is None
    assert desk.book.state.balance(BET, "USDC") == 0


def test_margin_holds_what_a_position_needs(desk: Desk) -> None:
    # 0.1 BTC at 50,000 is 5,000 of notional: initial margin 1/100 = 50; the taker's fee 0.05 % = 2.5 is owed.
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    assert desk.ask(release(1_950 * USDC - FEE + 1)) is Reason.CONDITION_NOT_MET
    assert desk.ask(release(1_950 * USDC - FEE)) is None


def test_what_is_owed_is_not_the_buckets_to_give_before_it_is_paid_or_after(desk: Desk) -> None:
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    for paid in (False, True):
        assert desk.book.state.balance(BET, "USDC") == 2_000 * USDC - paid * FEE
        held = desk.book.margin.bucket(desk.book.state, BET)
        assert held == bucket_in(desk.book.state, BET)
        assert held.balances == {"USDC": 2_000 * USDC - FEE}
        assert desk.ask(release(1_950 * USDC - FEE + 1)) is Reason.CONDITION_NOT_MET
        fee = Move("fee", BET, "treasury", "USDC", FEE)
        assert desk.ask(fee, by=EVIDENCE) is (Reason.ENTITLEMENT_EXCEEDED if paid else None)


def test_a_bucket_lacks_what_it_owes(desk: Desk) -> None:
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    desk.price(30_200)
    state, prices = desk.book.state, desk.book.margin.prices(desk.book.state, desk.at)
    held = desk.book.margin.bucket(state, BET)
    owed_twice = held.with_balance("USDC", -FEE)
    terms = compile_terms(desk.book.rules.policy)
    assert lacking(held, "USDC", prices, terms) > 0
    assert lacking(owed_twice, "USDC", prices, terms) == lacking(held, "USDC", prices, terms) + FEE


def test_profit_of_the_session_is_never_released(desk: Desk) -> None:
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    desk.price(52_000)
    # Equity 2,000 - 2.5 + 200, initial 52; the 200 of profit stay.
    assert desk.ask(release(1_948 * USDC - FEE + 1)) is Reason.CONDITION_NOT_MET
    assert desk.ask(release(1_948 * USDC - FEE)) is None


def test_a_loss_of_the_session_is_held(desk: Desk) -> None:
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    desk.price(48_000)
    # Equity 2,000 - 2.5 - 200, initial 48.
    assert desk.ask(release(1_752 * USDC - FEE + 1)) is Reason.CONDITION_NOT_MET
    assert desk.ask(release(1_752 * USDC - FEE)) is None


def test_two_releases_of_one_request_share_what_may_leave(desk: Desk) -> None:
    assert desk.ask(release(1_500 * USDC), release(500 * USDC + 1)) is Reason.CONDITION_NOT_MET
    assert desk.ask(release(1_500 * USDC), release(500 * USDC)) is None


def test_nothing_leaves_at_a_price_that_is_stale_or_missing(desk: Desk) -> None:
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    desk.at += 31 * SECOND_NS
    assert desk.ask(release(1)) is Reason.CONDITION_NOT_MET
    desk.price(50_000)
    assert desk.ask(release(1)) is None


def test_a_request_that_trades_and_releases_at_once_releases_nothing(desk: Desk) -> None:
    by = (*EVIDENCE, "client_key/alice")
    assert desk.ask(desk.fill(1, 50_000), release(1), by=by) is Reason.CONDITION_NOT_MET
    assert desk.ask(desk.fill(1, 50_000), by=by) is None
    assert desk.ask(release(1), by=by) is None


def test_a_request_that_pays_and_releases_at_once_releases_nothing(desk: Desk) -> None:
    by = (*EVIDENCE, "client_key/alice")
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    fee = Move("fee", BET, "treasury", "USDC", 5 * USDC // 2)
    assert desk.ask(release(1), fee, by=by) is Reason.CONDITION_NOT_MET
    assert desk.ask(fee, by=by) is None
    assert desk.ask(release(1), by=by) is None


# --- what may be traded ------------------------------------------------------------------------


def test_equity_bounds_what_is_opened(desk: Desk) -> None:
    # The limit of the bet is 20 x equity: 2,000 USDC less the fee of 0.05 % carry 0.79 BTC, not 0.8.
    assert desk.ask(desk.fill(8 * BTC // 10, 50_000), by=EVIDENCE) is Reason.LEVERAGE_CAP_EXCEEDED
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None


def test_a_bucket_without_money_opens_nothing(desk: Desk) -> None:
    fill = desk.fill(1, 50_000, buyer=HEDGE)
    assert desk.ask(fill, by=EVIDENCE) is Reason.INITIAL_MARGIN_TOO_LOW


def test_what_makes_a_position_smaller_is_always_allowed(desk: Desk) -> None:
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(47_900)
    assert desk.ask(desk.fill(1, 47_900), by=EVIDENCE) is not None
    assert desk.ask(desk.fill(BTC // 10, 47_900, buyer="client/bob/bet", seller=BET), by=EVIDENCE) is None


def test_the_loss_of_a_day_is_counted_fill_by_fill(desk: Desk) -> None:
    """The bet may lose 5,000 USDC a day; each fill 4 % over the index loses 4 % of its notional at once."""
    assert desk.ask(Move("fund", CASH, BET, "USDC", 8_000 * USDC)) is None
    assert (
        desk.ask(
            Move("fund", "client/bob/cash", "client/bob/bet", "USDC", 8_000 * USDC), by=("client_key/bob",)
        )
        is None
    )
    bob = "client/bob/bet"
    for _ in range(4):
        # 0.6 BTC bought at 52,000 and sold at 50,000: 1,200 lost by the fill that opens.
        assert desk.ask(desk.fill(6 * BTC // 10, 52_000), by=EVIDENCE) is None
        assert desk.ask(desk.fill(6 * BTC // 10, 50_000, buyer=bob, seller=BET), by=EVIDENCE) is None
    assert desk.ask(desk.fill(6 * BTC // 10, 52_000), by=EVIDENCE) is Reason.DAILY_LOSS_EXCEEDED
    assert desk.ask(desk.fill(BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(50_000, seconds=86_400)
    assert desk.ask(desk.fill(BTC // 10, 52_000), by=EVIDENCE) is None


@pytest.fixture
def strict(shelf: Shelf) -> Desk:
    """A desk where a bet may lose 100 USDC a day, with 0.1 BTC bought at the index."""
    desk = begun_desk(shelf, parsed(TEXT.replace("daily_loss: 5000 USDC", "daily_loss: 100 USDC")))
    assert desk.ask(desk.fill(BTC // 10, 50_000), by=EVIDENCE) is None
    return desk


def test_what_a_fill_lost_against_the_index_is_repaid_by_no_gain(strict: Desk) -> None:
    bob = "client/bob/hedge"  # which has no such limit
    money = Move("fund", "client/bob/cash", bob, "USDC", 5_000 * USDC)
    assert strict.ask(money, by=("client_key/bob",)) is None
    assert strict.ask(strict.fill(4 * BTC // 100, 52_000, seller=bob), by=EVIDENCE) is None  # 80 lost
    strict.price(52_000)
    over = strict.fill(BTC // 100, 54_001, seller=bob)
    assert strict.ask(over, by=EVIDENCE) is Reason.DAILY_LOSS_EXCEEDED
    assert strict.ask(strict.fill(BTC // 100, 54_000, seller=bob), by=EVIDENCE) is None


def test_a_fee_is_a_loss_of_the_day(strict: Desk) -> None:
    strict.price(49_020)  # 98 lost
    assert strict.ask(Move("fee", BET, "treasury", "USDC", 5 * USDC // 2), by=EVIDENCE) is None
    assert strict.ask(strict.fill(1, 49_020), by=EVIDENCE) is Reason.DAILY_LOSS_EXCEEDED


def test_what_is_moved_out_is_no_loss(strict: Desk) -> None:
    strict.price(49_030)  # 97 lost, and the fee of 2.5
    assert strict.ask(release(1_000 * USDC)) is None
    assert strict.ask(strict.fill(1, 49_030), by=EVIDENCE) is None


def test_what_is_moved_in_makes_up_for_no_loss(strict: Desk) -> None:
    strict.price(48_999)  # 100.1 lost
    assert strict.ask(Move("fund", CASH, BET, "USDC", 1_000 * USDC)) is None
    assert strict.ask(strict.fill(1, 48_999), by=EVIDENCE) is Reason.DAILY_LOSS_EXCEEDED


# --- what may be closed ------------------------------------------------------------------------


def forced(desk: Desk, contracts: int, price: int) -> Reason | None:
    return desk.ask(liquidation(desk, contracts, price), by=EVIDENCE)


def liquidation(desk: Desk, contracts: int, price: int) -> Fill:
    taker = desk.order("client/bob/bet", "buy", contracts, price)
    return Fill("BTC-PERP", contracts, price * PRICE_SCALE, taker, Closing(BET, "liquidation"))


def test_a_healthy_bucket_is_not_closed(desk: Desk) -> None:
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    assert forced(desk, 1, 50_000) is Reason.CONDITION_NOT_MET


def test_a_bucket_is_not_closed_before_it_is_below_its_requirement(desk: Desk) -> None:
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    # Equity 2,000 - 19.75 - 0.79 x 2,265 = 190.9 is over the maintenance of 188.6, and under `stop_at` of it.
    desk.price(47_735)
    assert forced(desk, 1, 47_735) is Reason.CONDITION_NOT_MET


def test_a_failing_bucket_may_be_closed_whole_where_nothing_less_restores_it(desk: Desk) -> None:
    """The penalty of 0.5 % takes as much as closing frees, so every part closed leaves it as short."""
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    # Equity 2,000 - 19.75 - 0.79 x 2,350 = 123.75; maintenance 0.5 % of 37,643.5 = 188.2.
    desk.price(47_650)
    assert forced(desk, 790, 47_650) is None
    assert desk.book.state.position(BET, "BTC-PERP").contracts == 0
    # 0.5 % of 37,643.5 would be 188.2175; what is left beside a fee of 18.82175 is 123.75 less that.
    assert desk.book.state.owed("liquidation_surplus", BET, "insurance", "USDC") == 104_928_250


def test_penalties_of_one_request_share_what_is_left(desk: Desk) -> None:
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(47_650)
    assert desk.ask(*(liquidation(desk, part, 47_650) for part in (400, 300, 90)), by=EVIDENCE) is None
    owed = desk.book.state.owed("liquidation_surplus", BET, "insurance", "USDC")
    assert owed == 104_928_250


def test_a_failing_bucket_is_closed_no_further_than_restores_it(shelf: Shelf) -> None:
    desk = begun_desk(shelf, parsed(TEXT.replace('liquidation: "0.5 %"', 'liquidation: "0 %"')))
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(47_650)
    # After c contracts, fee 0.05 %: 123.75 - 0.023825 c >= 0.262075 (790 - c), so c is 349.6 at least.
    assert forced(desk, 790, 47_650) is Reason.ENTITLEMENT_EXCEEDED
    assert forced(desk, 351, 47_650) is Reason.ENTITLEMENT_EXCEEDED
    # Nor in parts of one request, each of which would be little enough.
    parts = (liquidation(desk, 200, 47_650), liquidation(desk, 151, 47_650))
    assert desk.ask(*parts, by=EVIDENCE) is Reason.ENTITLEMENT_EXCEEDED
    assert forced(desk, 350, 47_650) is None
    assert forced(desk, 1, 47_650) is Reason.CONDITION_NOT_MET


def test_a_bankrupt_bucket_passes_to_its_pool_at_the_bankruptcy_price(desk: Desk) -> None:
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(47_000)
    # 1,980.25 - 0.79 x 3,000 = -389.75: nothing is left at 50,000 - 1,980.25 / 0.79, rounded for the pool.
    price_e10 = 474_933 * PRICE_SCALE // 10
    sides = (Closing("insurance", "takeover"), Closing(BET, "takeover"))

    def take_over(at_e10: int) -> Reason | None:
        return desk.ask(Fill("BTC-PERP", 790, at_e10, *sides), by=EVIDENCE)

    assert take_over(price_e10 - PRICE_SCALE // 10) is Reason.PRICE_OUTSIDE_BAND
    assert take_over(price_e10) is None
    assert desk.book.state.position("insurance", "BTC-PERP").contracts == 790


def sale(desk: Desk, contracts: int, tenths: int) -> Fill:
    """Sell what alice holds to an order of bob's at a price in tenths of a dollar."""
    taker = desk.order("client/bob/bet", "buy", contracts, 48_000)
    return Fill("BTC-PERP", contracts, tenths * PRICE_SCALE // 10, taker, Closing(BET, "liquidation"), "sell")


def passing(tenths: int, contracts: int = 790) -> Fill:
    sides = (Closing("insurance", "takeover"), Closing(BET, "takeover"))
    return Fill("BTC-PERP", contracts, tenths * PRICE_SCALE // 10, *sides)


BANKRUPT_AT = 474_933
"""0.79 BTC from 50,000 with 1,980.25: 50,000 - 1,980.25 / 0.79, in tenths, rounded for the pool."""


def fill_pool(desk: Desk, units: int) -> None:
    """Let officers give the pool what the house earned in fees."""
    links = collection_links(desk.book.state, Instant(desk.at))
    assert desk.ask(*links, by=EVIDENCE) is None
    given = Move("fill_pool", "treasury", "insurance", "USDC", units)
    assert desk.ask(given, by=("officer_a", "officer_b")) is None


@pytest.fixture
def failing(desk: Desk) -> Desk:
    """A desk whose bet of 0.79 BTC has no margin at 47,518, and whose pool has 1 USDC."""
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    fill_pool(desk, USDC)
    desk.price(47_518)
    return desk


def test_nothing_is_sold_below_the_bankruptcy_price_while_a_pool_can_bear_it(failing: Desk) -> None:
    assert failing.ask(sale(failing, 790, BANKRUPT_AT - 1), by=EVIDENCE) is Reason.TAKEOVER_IS_DUE
    # Nor a part of it, nor before or after a part that gets more.
    assert failing.ask(sale(failing, 1, BANKRUPT_AT - 1), by=EVIDENCE) is Reason.TAKEOVER_IS_DUE
    both = sale(failing, 1, BANKRUPT_AT - 1), sale(failing, 1, 475_180)
    assert failing.ask(*both, by=EVIDENCE) is Reason.TAKEOVER_IS_DUE
    assert failing.ask(*both[::-1], by=EVIDENCE) is Reason.TAKEOVER_IS_DUE
    assert failing.ask(sale(failing, 790, BANKRUPT_AT), by=EVIDENCE) is None


@pytest.mark.parametrize(("tenths", "expected"), [(10_000, Reason.TAKEOVER_IS_DUE), (10_001, None)])
def test_a_pool_bears_what_it_has(failing: Desk, tenths: int, expected: Reason | None) -> None:
    """A tenth of a dollar below is 0.0001 USDC a contract: the pool's 1 USDC bears 1,000 dollars below."""
    assert failing.ask(sale(failing, 1, BANKRUPT_AT - tenths), by=EVIDENCE) is expected


def test_what_a_pool_lost_since_the_last_settlement_it_cannot_bear_again(failing: Desk) -> None:
    """It took one contract at 47,493.30 and sold it at 46,993.30: of 1 USDC, 0.50 is left."""
    taken = passing(BANKRUPT_AT, 1)
    buy = failing.order("client/bob/bet", "buy", 1, 48_000)
    sold = Fill(
        "BTC-PERP", 1, (BANKRUPT_AT - 5_000) * PRICE_SCALE // 10, buy, Closing("insurance", "liquidation")
    )
    assert failing.ask(taken, sold, by=EVIDENCE) is None
    assert failing.ask(sale(failing, 1, BANKRUPT_AT - 5_000), by=EVIDENCE) is Reason.TAKEOVER_IS_DUE
    assert failing.ask(sale(failing, 1, BANKRUPT_AT - 5_001), by=EVIDENCE) is None


def test_what_no_pool_can_bear_is_sold_without_a_penalty(desk: Desk) -> None:
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(47_518)
    assert desk.ask(sale(desk, 790, BANKRUPT_AT - 1), by=EVIDENCE) is None
    assert desk.book.state.owed("liquidation_surplus", BET, "insurance", "USDC") == 0


def test_beside_what_passes_on_the_rest_may_be_sold(failing: Desk) -> None:
    some, rest = passing(BANKRUPT_AT, 400), sale(failing, 390, BANKRUPT_AT - 1)
    assert failing.ask(rest, by=EVIDENCE) is Reason.TAKEOVER_IS_DUE
    assert failing.ask(some, rest, by=EVIDENCE) is None


def test_nobody_takes_over_what_any_sale_would_leave_something_of(shelf: Shelf) -> None:
    """At its bankruptcy price a bucket always looks bankrupt: the band around the mark decides.

    Nothing is left at 47,517.11; that is 0.1 % below 47,564.67, and sales are on the tick of 0.1.
    """
    desk = begun_desk(shelf, parsed(TEXT.replace('price_band: "5 %"', 'price_band: "0.1 %"')))
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    desk.price(47_565)
    assert desk.ask(passing(BANKRUPT_AT), by=EVIDENCE) is Reason.CONDITION_NOT_MET
    desk.price(47_564)
    assert desk.ask(passing(BANKRUPT_AT), by=EVIDENCE) is None


def test_the_band_of_a_short_position_ends_above_the_mark(shelf: Shelf) -> None:
    """1,992.10 - 0.79 x (p - 50,000) less a fee of 0.05 % is 0 at p = 52,495.42, 0.1 % above 52,442.98."""
    desk = begun_desk(shelf, parsed(TEXT.replace('price_band: "5 %"', 'price_band: "0.1 %"')))
    assert desk.ask(desk.fill(790, 50_000, buyer="client/bob/bet", seller=BET), by=EVIDENCE) is None
    price_e10 = 525_217 * PRICE_SCALE // 10
    taken = Fill("BTC-PERP", 790, price_e10, Closing(BET, "takeover"), Closing("insurance", "takeover"))
    desk.price(52_442)
    assert desk.ask(taken, by=EVIDENCE) is Reason.CONDITION_NOT_MET
    desk.price(52_443)
    assert desk.ask(taken, by=EVIDENCE) is None


POOL_TAKES, COVERS = ", takes_over: all}", "accrual: shortfall\n"


@pytest.mark.parametrize(
    ("words", "tenths", "expected"),
    [
        ((POOL_TAKES, "}"), 1, None),
        ((COVERS, COVERS + '    limit: {all: {USDC: "0.5 per 1 d"}}\n'), 5_000, Reason.TAKEOVER_IS_DUE),
        ((COVERS, COVERS + '    limit: {all: {USDC: "0.5 per 1 d"}}\n'), 5_001, None),
    ],
    ids=["it takes nothing over", "its gate lets 0.50 through", "its gate lets no more through"],
)
def test_a_pool_bears_only_what_its_own_terms_let_it(
    shelf: Shelf, words: tuple[str, str], tenths: int, expected: Reason | None
) -> None:
    """The pool has 1 USDC; a tenth of a dollar below the bankruptcy price is 0.0001 USDC a contract."""
    assert words[0] in TEXT
    desk = begun_desk(shelf, parsed(TEXT.replace(*words)))
    assert desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE) is None
    fill_pool(desk, USDC)
    desk.price(47_518)
    assert desk.ask(sale(desk, 1, BANKRUPT_AT - tenths), by=EVIDENCE) is expected


# --- replay ------------------------------------------------------------------------------------


def test_a_replay_finds_the_same_facts(desk: Desk, shelf: Shelf) -> None:
    desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE)
    desk.ask(release(1))
    desk.price(47_650)
    forced(desk, 100, 47_650)
    desk.ask(desk.fill(1, 47_650), by=EVIDENCE)
    digest = desk.book.state.digest()
    desk.book.close()
    again = Book.recover(MemoryStore(shelf), verify, margin_of=MarginFacts)
    assert again.state.digest() == digest


def test_what_margin_observed_survives_a_snapshot(desk: Desk, shelf: Shelf) -> None:
    """The highest equity and the day's losses are nowhere in the tables of the book."""
    desk.ask(desk.fill(79 * BTC // 100, 50_000), by=EVIDENCE)
    desk.price(47_650)
    forced(desk, 100, 47_650)
    desk.book.close()
    snapshots, views = MemorySnapshots(), list[MarginFacts]()

    def listening(rules: Rules) -> MarginFacts:
        views.append(MarginFacts(rules))
        return views[-1]

    def opened() -> Book:
        return Book.recover(MemoryStore(shelf), verify, margin_of=listening, snapshots=snapshots)

    book = opened()
    book.checkpoint(book.head.at)
    book.close()
    again = opened()
    assert again.opened_from == again.head.sequence
    before, after = views[0].written(), views[-1].written()
    assert BET.encode() in before
    assert after == before
