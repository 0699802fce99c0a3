"""What is remembered of a bucket between orders: after anything that happens, the answer stays the same.

Random books of fills, prices, transfers, settlements and days; after each step orders are judged by the view
that remembers and by one that was made this moment and knows only what a snapshot has.
"""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_desk import BET, CASH, EVIDENCE, TEXT, Desk, begun_desk, parsed

from ringfence.adapters.book_memory import Shelf
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.margin.bucket import RestingOrder
from ringfence.planes.ledger.operations import Move, Order, Remark, Settle
from ringfence.planes.ledger.payments import settlement_links
from ringfence.services.margin_facts import LOOK, MarginFacts

BOB = "client/bob/bet"
STRICT = parsed(TEXT.replace("daily_loss: 5000 USDC", "daily_loss: 300 USDC"))
BUCKETS = (BET, BOB, "client/alice/hedge", "insurance", "client/alice/cash", "client/nobody/bet", "nowhere")


def unsigned(desk: Desk, bucket: str, side: str, contracts: int, price: int) -> Order:
    """Write an order that nobody signed: margin judges what it would do, not who asks."""
    fields = (1, bucket, "BTC-PERP", side, contracts, price * PRICE_SCALE, desk.at + DAY_NS)
    return Order(*fields, desk.book.rules.digest)  # type: ignore[arg-type]


def judged_anew(desk: Desk, order: Order, resting: tuple[RestingOrder, ...]) -> bool:
    fresh = MarginFacts(desk.book.rules)
    fresh.restore(desk.book.margin.written())
    verdict = fresh.judge_order(desk.book.state, order, resting, Instant(desk.at))
    return verdict is not None and verdict.reason is None


def agree(desk: Desk, order: Order, resting: tuple[RestingOrder, ...] = ()) -> bool:
    margin, at = desk.book.margin, Instant(desk.at)
    expected = judged_anew(desk, order, resting)
    assert margin.passes(desk.book.state, order, resting, at) == expected, order
    return expected


def edge(desk: Desk, bucket: str, side: str, price: int) -> None:
    """Find the most contracts that pass, and hold both answers together on the way there."""
    low, high = 0, 4_000
    while high - low > 1:
        middle = (low + high) // 2
        if agree(desk, unsigned(desk, bucket, side, middle, price)):
            low = middle
        else:
            high = middle


STEPS = st.one_of(
    st.tuples(st.just("price"), st.integers(42_000, 58_000)),
    st.tuples(st.just("fill"), st.integers(-80, 80).filter(bool)),
    st.tuples(st.just("fund"), st.integers(1, 900)),
    st.tuples(st.just("release"), st.integers(1, 900)),
    st.tuples(st.just("settle"), st.just(0)),
    st.tuples(st.just("look"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 29, 31, 86_400])),
    st.tuples(st.just("forget"), st.just(0)),
)


def carry_out(desk: Desk, what: str, size: int, price: int) -> int:
    """Do one step, whether or not the book lets it happen; returns the price from then on."""
    state = desk.book.state
    if what == "price":
        desk.price(size)
        return size
    if what == "wait":
        desk.at += size * SECOND_NS
    elif what == "fill":
        buyer, seller = (BET, BOB) if size > 0 else (BOB, BET)
        desk.ask(desk.fill(abs(size), price, buyer, seller), by=EVIDENCE)
    elif what == "fund":
        desk.ask(Move("fund", CASH, BET, "USDC", size * 10**6))
    elif what == "release":
        desk.ask(Move("release", BET, CASH, "USDC", size * 10**6))
    elif what == "settle":
        links = settlement_links(state, [Settle("BTC-PERP", price * PRICE_SCALE)], Instant(desk.at))
        desk.ask(*links, by=EVIDENCE)
    elif what == "look":
        desk.book.submit([Remark(LOOK, BET, "free")], Instant(desk.at))
    else:
        desk.book.margin.restore(desk.book.margin.written())
    return price


@settings(max_examples=40, deadline=None)
@given(
    st.lists(STEPS, min_size=1, max_size=9), st.sampled_from(["buy", "sell"]), st.integers(1, 60), st.data()
)
def test_what_is_remembered_answers_like_what_is_found_anew(steps, side, contracts, data) -> None:
    desk = begun_desk(Shelf(), STRICT)
    price = 50_000
    for what, size in steps:
        price = carry_out(desk, what, size, price)
        limit = price + data.draw(st.sampled_from([-900, 0, 0, 700]))
        for bucket in BUCKETS:
            agree(desk, unsigned(desk, bucket, side, contracts, limit))
        resting = (
            RestingOrder("BTC-PERP", data.draw(st.integers(-40, 40).filter(bool)), limit * PRICE_SCALE),
        )
        agree(desk, unsigned(desk, BET, side, contracts, limit), resting)
        edge(desk, BET, side, limit)


@pytest.fixture
def desk() -> Desk:
    return begun_desk(Shelf(), STRICT)


def test_a_price_that_gets_stale_closes_the_room(desk: Desk) -> None:
    order = unsigned(desk, BET, "buy", 10, 50_000)
    assert agree(desk, order)
    desk.at += 30 * SECOND_NS
    assert agree(desk, order)
    desk.at += 1
    assert not agree(desk, order)
    # And back: the clock of one who asks may be a little behind.
    desk.at -= 1
    assert agree(desk, order)


def test_what_a_fill_uses_up_is_gone_at_once(desk: Desk) -> None:
    order = unsigned(desk, BET, "buy", 200, 50_000)
    assert agree(desk, order)
    assert desk.ask(desk.fill(200, 50_000), by=EVIDENCE) is None
    edge(desk, BET, "buy", 50_000)
    edge(desk, BOB, "sell", 50_000)


def test_a_new_day_gives_a_new_loss(desk: Desk) -> None:
    """300 may be lost a day; 250 are by a fill, and at midnight there is room again without any request."""
    assert desk.ask(desk.fill(250, 51_000), by=EVIDENCE) is None
    order = unsigned(desk, BET, "buy", 100, 51_000)
    assert not agree(desk, order)
    desk.price(50_000, seconds=86_400)
    assert agree(desk, order)


def test_an_order_of_another_instrument_or_bucket_is_left_to_the_rule(desk: Desk) -> None:
    order = unsigned(desk, BET, "buy", 1, 50_000)
    margin, at = desk.book.margin, Instant(desk.at)
    assert margin.passes(desk.book.state, order, (), at)
    for other in ({"instrument": "DOGE-PERP"}, {"bucket": "client/alice/cash"}, {"bucket": "x"}):
        assert not margin.passes(desk.book.state, msgspec.structs.replace(order, **other), (), at)
