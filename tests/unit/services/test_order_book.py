from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Order
from ringfence.services.matching.order_book import Dropped, Matched, OrderBook, Refusal, Rested

TICK = 10
NOW = Instant(1_000)


def order(number, side="buy", contracts=1, limit=100, **words):
    words.setdefault("expires", 2_000)
    return Order(
        id=number,
        bucket="client/alice/hedge",
        instrument="BTC-PERP",
        side=side,
        contracts=contracts,
        limit_e10=limit,
        policy=b"",
        **words,
    )


@pytest.fixture
def book():
    book = OrderBook("BTC-PERP", TICK)
    book.set_band(50, 200)
    return book


def test_an_order_that_meets_nobody_rests(book):
    assert book.submit(order(1), "alice", NOW) == (Rested(1, 1),)
    assert book.depth("buy") == ((100, 1),)


def test_a_fill_is_at_the_price_of_the_order_that_waited(book):
    maker, taker = order(1, "sell", 2, 90), order(2, "buy", 3, 100)
    book.submit(maker, "alice", NOW)
    assert book.submit(taker, "bob", NOW) == (Matched(taker, maker, 2, 90), Rested(2, 1))


def test_the_better_price_fills_first_and_then_the_earlier_order(book):
    for number, price in ((1, 110), (2, 100), (3, 100)):
        book.submit(order(number, "sell", 1, price), "alice", NOW)
    events = book.submit(order(4, "buy", 3, 110), "bob", NOW)
    assert [(event.maker.id, event.price_e10) for event in events] == [(2, 100), (3, 100), (1, 110)]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ({"contracts": 0}, Refusal.CONTRACTS_NOT_POSITIVE),
        ({"limit": 0}, Refusal.PRICE_NOT_ON_TICK),
        ({"limit": 105}, Refusal.PRICE_NOT_ON_TICK),
        ({"limit": 40}, Refusal.OUTSIDE_BAND),
        ({"limit": 210}, Refusal.OUTSIDE_BAND),
        ({"expires": 999}, Refusal.EXPIRED),
        ({"contracts": 1}, None),
        ({"limit": 50}, None),
        ({"limit": 200}, None),
        ({"expires": 1_000}, None),
    ],
)
def test_an_order_is_taken_or_refused_at_each_edge(book, words, refusal):
    (event,) = book.submit(order(1, **words), "alice", NOW)
    if refusal is None:
        assert isinstance(event, Rested)
    else:
        assert event == Dropped(1, words.get("contracts", 1), refusal)


def test_an_id_is_good_once_even_after_its_order_is_gone(book):
    book.submit(order(1), "alice", NOW)
    book.cancel(1)
    assert book.submit(order(1), "alice", NOW)[0].reason is Refusal.ID_ALREADY_USED


def test_without_a_band_or_under_a_halt_nothing_is_taken_and_cancelling_works():
    book = OrderBook("BTC-PERP", TICK)
    assert book.submit(order(1), "alice", NOW)[0].reason is Refusal.NO_BAND
    book.set_band(50, 200)
    book.submit(order(2), "alice", NOW)
    book.halt()
    assert book.submit(order(3), "alice", NOW)[0].reason is Refusal.HALTED
    assert book.cancel(2) == (Dropped(2, 1, Refusal.CANCELLED),)
    book.resume()
    assert book.submit(order(4), "alice", NOW) == (Rested(4, 1),)


def test_an_order_of_another_instrument_is_refused(book):
    other = OrderBook("ETH-PERP", TICK)
    other.set_band(50, 200)
    assert other.submit(order(1), "alice", NOW)[0].reason is Refusal.OTHER_INSTRUMENT


@pytest.mark.parametrize(
    ("words", "contracts", "outcome"),
    [
        ({"post_only": True}, 1, Refusal.WOULD_TAKE),
        ({"time_in_force": "fok"}, 3, Refusal.WOULD_NOT_FILL),
        ({"time_in_force": "fok"}, 2, None),
        ({"time_in_force": "ioc"}, 3, Refusal.NOT_FILLED),
        ({"time_in_force": "ioc"}, 2, None),
    ],
)
def test_post_only_fill_or_kill_and_immediate_orders_meet_two_contracts(book, words, contracts, outcome):
    book.submit(order(1, "sell", 2), "alice", NOW)
    events = book.submit(order(2, "buy", contracts, **words), "bob", NOW)
    dropped = [event.reason for event in events if isinstance(event, Dropped)]
    assert dropped == ([outcome] if outcome else [])
    assert not any(isinstance(event, Rested) for event in events)


def test_a_post_only_order_that_takes_nothing_rests(book):
    book.submit(order(1, "sell", 2, 110), "alice", NOW)
    assert book.submit(order(2, "buy", 1, 100, post_only=True), "bob", NOW) == (Rested(2, 1),)


def test_two_orders_of_one_client_never_trade_with_each_other(book):
    book.submit(order(1, "sell", 1, 90), "bob", NOW)
    book.submit(order(2, "sell", 1, 100), "alice", NOW)
    taker = order(3, "buy", 3, 100)
    events = book.submit(taker, "alice", NOW)
    assert [type(event) for event in events] == [Matched, Dropped]
    assert events[1] == Dropped(3, 2, Refusal.SELF_TRADE)
    assert book.resting_contracts(2) == 1


def test_fill_or_kill_does_not_count_the_clients_own_orders(book):
    book.submit(order(1, "sell", 1, 90), "bob", NOW)
    book.submit(order(2, "sell", 1, 100), "alice", NOW)
    events = book.submit(order(3, "buy", 2, 100, time_in_force="fok"), "alice", NOW)
    assert events == (Dropped(3, 2, Refusal.WOULD_NOT_FILL),)


@pytest.mark.parametrize(("reducible", "taken"), [(None, 0), (0, 0), (2, 2), (5, 3)])
def test_a_reduce_only_order_takes_no_more_than_closes_the_position(book, reducible, taken):
    events = book.submit(order(1, "buy", 3, reduce_only=True), "alice", NOW, reducible)
    assert book.resting_contracts(1) == taken
    dropped = [event for event in events if isinstance(event, Dropped)]
    assert sum(event.contracts for event in dropped) == 3 - taken
    assert all(event.reason is Refusal.DOES_NOT_REDUCE for event in dropped)


# --- undoing a fill


@pytest.fixture
def filled(book):
    """Order 1 offered 3 at 100, order 2 took 2 of them."""
    book.submit(order(1, "sell", 3, 100), "alice", NOW)
    book.submit(order(2, "buy", 2, 100), "bob", NOW)
    return book


def test_the_order_at_fault_ends_with_what_is_left_of_it(filled):
    assert filled.withdraw(order(1, "sell", 3, 100), 2) == (Dropped(1, 3, Refusal.FILL_UNDONE),)
    assert filled.depth("sell") == ()
    assert filled.put_back(order(1, "sell", 3, 100), "alice", 1, NOW)[0].reason is Refusal.CANCELLED


def test_what_was_not_at_fault_stands_again_in_its_old_place(filled):
    filled.submit(order(3, "sell", 1, 100), "carol", NOW)
    assert filled.put_back(order(1, "sell", 3, 100), "alice", 2, NOW) == (Rested(1, 3),)
    events = filled.submit(order(4, "buy", 4, 100), "bob", NOW)
    assert [(event.maker.id, event.contracts) for event in events] == [(1, 3), (3, 1)]


def test_an_order_that_was_filled_whole_comes_back_before_those_who_came_later(book):
    for number in (1, 2, 3):
        book.submit(order(number, "sell", 1, 100), "alice", NOW)
    book.submit(order(4, "buy", 1, 100), "bob", NOW)
    assert book.put_back(order(1, "sell", 1, 100), "alice", 1, NOW) == (Rested(1, 1),)
    events = book.submit(order(5, "buy", 3, 100), "bob", NOW)
    assert [event.maker.id for event in events] == [1, 2, 3]


def test_what_is_put_back_trades_with_what_came_in_the_meantime(filled):
    filled.cancel(1)
    filled.submit(order(3, "sell", 1, 90), "carol", NOW)
    taken, rested = filled.put_back(order(2, "buy", 2, 100), "bob", 2, NOW)
    assert (taken.maker.id, taken.contracts, taken.price_e10) == (3, 1, 90)
    assert rested == Rested(2, 1)


@pytest.mark.parametrize(
    ("words", "change", "refusal"),
    [
        ({"time_in_force": "ioc"}, lambda book: None, Refusal.NOT_FILLED),
        ({}, lambda book: book.set_band(50, 90), Refusal.OUTSIDE_BAND),
        ({}, lambda book: book.set_band(50, 100), None),
        ({}, lambda book: book.halt(), None),
        ({}, lambda book: (book.submit(order(7, "sell", 1, 90), "carol", NOW), book.halt()), Refusal.HALTED),
        ({"expires": 999}, lambda book: None, Refusal.EXPIRED),
        ({"expires": 1_000}, lambda book: None, None),
    ],
)
def test_what_may_not_stand_any_more_is_not_put_back(filled, words, change, refusal):
    filled.cancel(1)
    change(filled)
    (event,) = filled.put_back(order(2, "buy", 2, 100, **words), "bob", 2, NOW)
    assert event == (Rested(2, 2) if refusal is None else Dropped(2, 2, refusal))


def test_an_expired_order_never_fills(book):
    book.submit(order(1, "sell", 1, 90, expires=1_000), "alice", NOW)
    book.submit(order(2, "sell", 1, 100, expires=1_001), "alice", NOW)
    taker = order(3, "buy", 1, 100)
    events = book.submit(taker, "bob", Instant(1_001))
    assert events[0] == Dropped(1, 1, Refusal.EXPIRED)
    assert [event.maker.id for event in events if isinstance(event, Matched)] == [2]


def test_expiry_takes_out_every_order_whose_last_instant_has_passed(book):
    book.submit(order(1, expires=1_000), "alice", NOW)
    book.submit(order(2, expires=1_001), "alice", NOW)
    assert book.expire(Instant(1_001)) == (Dropped(1, 1, Refusal.EXPIRED),)


def test_a_band_that_moves_drops_what_could_only_trade_outside_it(book):
    book.submit(order(1, "sell", 1, 100), "alice", NOW)
    book.submit(order(2, "sell", 1, 180), "alice", NOW)
    assert book.set_band(100, 170) == ()
    assert book.set_band(110, 170) == (Dropped(1, 1, Refusal.OUTSIDE_BAND),)
    assert book.resting_contracts(2) == 1
    assert book.submit(order(3, "buy", 1, 170), "bob", NOW) == (Rested(3, 1),)
    assert book.set_band(50, 170) == ()
    assert book.set_band(50, 160) == (Dropped(3, 1, Refusal.OUTSIDE_BAND),)


# --- properties against a book that is plain lists -----------------------------------------------


@dataclass
class PlainBook:
    """Price-time priority by sorting everything each time."""

    resting: list = field(default_factory=list)

    def submit(self, taker, owner):
        opposite = [entry for entry in self.resting if entry[0].side != taker.side]
        sign = 1 if taker.side == "buy" else -1
        opposite.sort(key=lambda entry: sign * entry[0].limit_e10)
        left, fills = taker.contracts, []
        for entry in opposite:
            maker, maker_owner, maker_left = entry
            if left == 0 or sign * maker.limit_e10 > sign * taker.limit_e10:
                break
            if maker_owner == owner:
                left = 0
                break
            contracts = min(left, maker_left)
            left -= contracts
            entry[2] -= contracts
            fills.append((maker.id, contracts, maker.limit_e10))
        self.resting = [entry for entry in self.resting if entry[2]]
        if left:
            self.resting.append([taker, owner, left])
        return fills


orders = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 5),
        st.sampled_from([80, 90, 100, 110, 120]),
        st.sampled_from(["alice", "bob", "carol"]),
    ),
    max_size=40,
)


@given(orders)
@settings(max_examples=200)
def test_price_time_priority_equals_that_of_plain_lists(submitted):
    book, plain = OrderBook("BTC-PERP", TICK), PlainBook()
    book.set_band(50, 200)
    for number, (side, contracts, limit, owner) in enumerate(submitted, start=1):
        taker = order(number, side, contracts, limit)
        events = book.submit(taker, owner, NOW)
        fills = [(e.maker.id, e.contracts, e.price_e10) for e in events if isinstance(e, Matched)]
        assert fills == plain.submit(taker, owner)
        assert_laws(book, taker, events)


def assert_laws(book, taker, events):
    bids, asks = book.depth("buy"), book.depth("sell")
    assert not bids or not asks or bids[0][0] < asks[0][0], "no_cross"
    filled = [event for event in events if isinstance(event, Matched)]
    for event in filled:
        limits = (event.taker, event.maker)
        assert all(
            event.price_e10 <= each.limit_e10 if each.side == "buy" else event.price_e10 >= each.limit_e10
            for each in limits
        ), "limit_respected"
    dropped = sum(event.contracts for event in events if isinstance(event, Dropped))
    rested = sum(event.contracts for event in events if isinstance(event, Rested))
    assert sum(event.contracts for event in filled) + dropped + rested == taker.contracts, "conserved"
