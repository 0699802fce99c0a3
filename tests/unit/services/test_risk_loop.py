"""The risk loop over a real book: what a price brings about, who is closed, and what is remembered."""

from dataclasses import replace
from itertools import count

import msgspec
import pytest
from books import START, USDC, seed

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.errors import UsageError
from ringfence.kernel.ids import request_id
from ringfence.kernel.instant import DAY_NS, HOUR_NS, SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.margin.calls import State
from ringfence.margin.liquidation import Closure
from ringfence.planes.ledger.operations import (
    Fill,
    Mandate,
    Move,
    OpenMember,
    Operation,
    Order,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    Remark,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.policy.model import Policy
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import LOOK, MarginFacts
from ringfence.services.risk_loop import RiskLoop
from ringfence.wiring_files import shipped_policy

TEXT = shipped_policy("two-buckets").read_text()
POLICY = parse(TEXT, "two-buckets.yaml").policy
TOP_UP = """gates:
  top_up:
    from: "client/{client}/cash"
    to: ["client/{client}/hedge", "client/{client}/bet"]
    assets: USDC
    needs: [risk_key, ledger_key]
    standing: client_key
    on: ledger
    accrual: margin_shortfall
    computed_by: [risk, ledger]
    limit: {each: {USDC: "20000 per 1 d"}}
"""
TOPPING = parse(TEXT.replace("gates:\n", TOP_UP, 1), "two-buckets.yaml").policy
"""Under which buckets are topped up from cash where a client allowed it."""
ALICE, BOB, MAKER = "client/alice/bet", "client/bob/bet", "client/maker/hedge"
MEMBERS = {"alice": 2_000, "bob": 3_000, "maker": 500_000}
"""What each has in the bucket that trades, in USDC."""


def sign_as(key: str, message: bytes) -> Signature:
    return Signature(key, sign(seed(key), message))


def signed(record, *keys: str):
    return msgspec.structs.replace(
        record, signatures=tuple(sign_as(key, signing_bytes(record)) for key in keys)
    )


class Desk:
    """A book under two-buckets, a maker that closes whatever it is asked to, and a loop."""

    def __init__(self, shelf: Shelf | None = None, most: int = 100, policy: Policy | None = POLICY) -> None:
        assert policy is not None
        self.book = Book.found(MemoryStore(shelf), policy, START, verify, margin_of=MarginFacts)
        self.at = Instant(START + SECOND_NS)
        self.numbers = count(1)
        keys = ("officer_a", "officer_b", "risk_key", "ledger_key", "watcher_key", "wallet_key")
        self.must(*(RegisterKey(key, public_key(seed(key))) for key in keys))
        for member, amount in MEMBERS.items():
            self._open(member, amount)
        self.most = most

    def _open(self, member: str, amount: int) -> None:
        cash, bucket = f"client/{member}/cash", f"client/{member}/{'hedge' if member == 'maker' else 'bet'}"
        self.must(OpenMember("client", member, {"client_key": public_key(seed(f"client_key/{member}"))}))
        self.must(signed(Receipt(member, "outside", cash, "USDC", amount * USDC), "watcher_key"))
        self.ask(Move("deposit", "outside", cash, "USDC", amount * USDC), "watcher_key", "ledger_key")
        self.ask(Move("fund", cash, bucket, "USDC", amount * USDC), f"client_key/{member}")

    def must(self, *operations: Operation) -> None:
        for outcome in self.book.submit(operations, self.at):
            assert outcome.decision == Accepted(), outcome.decision

    def ask(self, link, *keys: str) -> None:
        asked = Request(next(self.numbers), (link,), self.book.rules.digest, self.at + DAY_NS)
        self.must(signed(asked, *keys))

    def quotes(self, price: int) -> PriceFact:
        sources = ("v1", "v2", "v3")
        return PriceFact("index/BTC", tuple(Quote(one, price * PRICE_SCALE, self.at) for one in sources))

    def order(self, bucket: str, side: str, contracts: int, price_e10: int) -> Order:
        fields = (next(self.numbers), bucket, "BTC-PERP", side, contracts, price_e10, self.at + DAY_NS)
        return signed(Order(*fields, self.book.rules.digest), f"client_key/{bucket.split('/')[1]}")

    def buy(self, bucket: str, contracts: int, price: int) -> None:
        self.must(self.quotes(price))
        e10 = price * PRICE_SCALE
        buy, sell = self.order(bucket, "buy", contracts, e10), self.order(MAKER, "sell", contracts, e10)
        self.ask(Fill("BTC-PERP", contracts, e10, buy, sell))

    def offer(self, closure: Closure, at: Instant) -> Order:
        del at
        side = "sell" if closure.contracts > 0 else "buy"
        return self.order(MAKER, side, abs(closure.contracts), closure.price_e10)

    def loop(self, market=None) -> RiskLoop:
        ids = count(1)
        return RiskLoop(self.book, sign_as, lambda at: request_id(at, next(ids)), market or self, self.most)

    def tick(self, loop: RiskLoop, price: int, wait: int = SECOND_NS):
        self.at = Instant(self.at + wait)
        loop.offer(self.quotes(price))
        return loop.round(self.at)


@pytest.fixture
def desk() -> Desk:
    """alice holds 0.5 BTC with 2,000 and bob 0.5 BTC with 3,000, both from 60,000."""
    desk = Desk()
    for bucket in (ALICE, BOB):
        desk.buy(bucket, 500, 60_000)
    return desk


def remarks(book: Book) -> list[tuple[str, str]]:
    asked = (dated.line.operation for dated in book.lines())
    return [(one.subject, one.words) for one in asked if isinstance(one, Remark)]


def test_a_price_that_hurts_nobody_changes_nothing(desk: Desk) -> None:
    loop = desk.loop()
    found = desk.tick(loop, 60_000)
    assert found.valued == 3
    assert (found.called, found.cured, found.closed, found.waiting) == ((), (), (), 0)


def test_the_riskiest_is_closed_by_a_real_request(desk: Desk) -> None:
    loop = desk.loop()
    found = desk.tick(loop, 56_200)
    assert [one.bucket for one in found.closed] == [ALICE]
    assert found.closed[0].refused is None
    position = desk.book.state.position(ALICE, "BTC-PERP").contracts
    assert 0 <= position < 500
    assert desk.book.state.position(BOB, "BTC-PERP").contracts == 500
    assert (ALICE, "liquidate") in remarks(desk.book)
    # Restored to `stop_at`: at the same price nobody is closed again.
    again = desk.tick(loop, 56_200)
    assert again.closed == ()
    desk.book.state.check_conservation()


def test_a_mark_between_two_ticks_is_closed_at_the_worse_one(desk: Desk) -> None:
    loop = desk.loop()
    desk.at = Instant(desk.at + SECOND_NS)
    between = 56_200 * PRICE_SCALE + 5 * 10**8
    loop.offer(PriceFact("index/BTC", tuple(Quote(one, between, desk.at) for one in ("v1", "v2", "v3"))))
    (closed,) = loop.round(desk.at).closed
    assert (closed.refused, closed.fills[0].price_e10) == (None, 56_200 * PRICE_SCALE)


def test_both_are_closed_riskiest_first_and_a_round_closes_so_many(desk: Desk) -> None:
    desk.most = 1
    loop = desk.loop()
    found = desk.tick(loop, 54_200)
    assert [one.bucket for one in found.closed] == [ALICE]
    assert found.waiting == 1
    # No tick came, and the next round closes on.
    rest = loop.round(Instant(desk.at + SECOND_NS))
    assert ([one.bucket for one in rest.closed], rest.decisions, rest.waiting) == ([BOB], None, 0)


def test_a_bankrupt_bucket_passes_to_the_pool(desk: Desk) -> None:
    found = desk.tick(desk.loop(), 55_000)
    (closed,) = [one for one in found.closed if one.bucket == ALICE]
    assert closed.refused is None, closed.refused
    assert desk.book.state.position(ALICE, "BTC-PERP").contracts == 0
    assert desk.book.state.position("insurance", "BTC-PERP").contracts == 500


def test_without_a_market_only_takeovers_are_carried_out(desk: Desk) -> None:
    class Nobody:
        def offer(self, closure, at):
            return None

    loop = desk.loop(Nobody())
    assert desk.tick(loop, 56_200).closed == ()
    assert [one.bucket for one in desk.tick(loop, 55_000).closed] == [ALICE]


def test_ticks_that_come_too_fast_become_one(desk: Desk) -> None:
    loop = desk.loop()
    for price in (59_000, 1, 60_500):
        desk.at = Instant(desk.at + SECOND_NS)
        loop.offer(desk.quotes(price))
    found = loop.round(desk.at)
    assert (found.dropped, found.closed) == (2, ())
    price = desk.book.state.price("index/BTC")
    assert price is not None
    assert price.price_e10 == 60_500 * PRICE_SCALE


def call_price(desk: Desk, loop: RiskLoop) -> int:
    """Find the highest price, to 10 dollars, at which alice is called."""
    for price in range(58_000, 56_000, -10):
        found = desk.tick(loop, price)
        if found.called:
            return price
    raise AssertionError("nobody was ever called")


def test_a_call_that_is_not_cured_in_time_is_closed(desk: Desk) -> None:
    loop = desk.loop()
    price = call_price(desk, loop)
    assert (ALICE, "called") in remarks(desk.book)
    assert desk.tick(loop, price, 4 * HOUR_NS).closed == ()
    found = desk.tick(loop, price)
    assert [(one.bucket, one.refused) for one in found.closed] == [(ALICE, None)]
    assert desk.book.state.position(ALICE, "BTC-PERP").contracts < 500


def test_a_call_that_was_cured_starts_anew(desk: Desk) -> None:
    loop = desk.loop()
    price = call_price(desk, loop)
    assert desk.tick(loop, 60_000, 2 * HOUR_NS).cured == (ALICE,)
    assert desk.tick(loop, price, HOUR_NS).called == (ALICE,)
    assert desk.tick(loop, price, 3 * HOUR_NS).closed == ()


def test_the_book_itself_refuses_to_close_whom_nobody_called(desk: Desk) -> None:
    """A lying loop cannot shorten a cure time: the book's own clock of the call runs from its own look."""
    loop = desk.loop()
    call_price(desk, loop)
    standing = desk.book.margin.standing(desk.book.state, ALICE, desk.at)
    assert standing.state is State.CALLED
    plan = desk.book.margin.closing_plan(standing)
    forced = [
        Fill(row.instrument, abs(row.contracts), row.price_e10, desk.offer(row, desk.at), _closing(), "sell")
        for row in plan.closures
    ]
    asked = Request(next(desk.numbers), tuple(forced), desk.book.rules.digest, desk.at + DAY_NS)
    (outcome,) = desk.book.submit([signed(asked, "risk_key", "ledger_key")], desk.at)
    assert outcome.decision.reason == Reason.CONDITION_NOT_MET


def _closing():
    from ringfence.planes.ledger.operations import Closing

    return Closing(ALICE, "liquidation")


class Liar:
    """Margin that the loop asks, with plans of its own."""

    def __init__(self, margin: MarginFacts, lie) -> None:
        self._margin, self._lie = margin, lie

    def __getattr__(self, name: str):
        return getattr(self._margin, name)

    def closing_plan(self, standing):
        return self._lie(self._margin.closing_plan(standing))


def at_a_giveaway(plan):
    """Let the pool have the position for a tick less than the bankruptcy price."""
    first = plan.takeovers[0]
    return plan._replace(takeovers=(replace(first, price_e10=first.price_e10 - PRICE_SCALE // 10),))


def test_the_book_itself_refuses_a_plan_that_lies(desk: Desk, monkeypatch) -> None:
    loop = desk.loop()
    desk.tick(loop, 60_000)
    before = desk.book.state.position(ALICE, "BTC-PERP")
    monkeypatch.setattr(loop, "_margin", Liar(desk.book.margin, at_a_giveaway))
    closed = desk.tick(loop, 55_000).closed
    assert [(one.bucket, one.refused.reason) for one in closed] == [(ALICE, Reason.PRICE_OUTSIDE_BAND)]
    assert desk.book.state.position(ALICE, "BTC-PERP") == before
    # The same price, and a loop that tells the truth.
    monkeypatch.undo()
    assert desk.tick(loop, 55_000).closed[0].refused is None


def test_closings_are_signed_together_and_stand_alone(desk: Desk, monkeypatch) -> None:
    """One signature of risk and one of ledger for all; a bucket that the book keeps open stops no other."""
    asked: list[tuple[str, bytes]] = []

    def counting(key: str, message: bytes) -> Signature:
        asked.append((key, message))
        return sign_as(key, message)

    ids = count(1)
    loop = RiskLoop(desk.book, counting, lambda at: request_id(at, next(ids)), desk, 100)
    desk.tick(loop, 60_000)

    asked.clear()
    lie = Liar(desk.book.margin, lambda plan: at_a_giveaway(plan) if plan.takeovers else plan)
    monkeypatch.setattr(loop, "_margin", lie)
    closed = desk.tick(loop, 54_200).closed
    assert [(one.bucket, one.refused is None) for one in closed] == [(ALICE, False), (BOB, True)]
    # Two keys for the closings, two for what they made owed.
    assert [key for key, _ in asked] == ["risk_key", "ledger_key"] * 2
    assert len({message for _, message in asked}) == 2


def test_a_loss_of_the_day_binds_without_a_request_in_between() -> None:
    """bob may lose 5,000 a day; a fall and a rise between two of his requests trip it for the day."""
    desk = Desk()
    desk.must(signed(Receipt("more", "outside", "client/bob/cash", "USDC", 20_000 * USDC), "watcher_key"))
    desk.ask(
        Move("deposit", "outside", "client/bob/cash", "USDC", 20_000 * USDC), "watcher_key", "ledger_key"
    )
    desk.ask(Move("fund", "client/bob/cash", BOB, "USDC", 20_000 * USDC), "client_key/bob")
    desk.buy(BOB, 1_000, 60_000)
    loop = desk.loop()
    desk.tick(loop, 55_031)  # 4,969 lost, and a fee of 30
    assert not remarks(desk.book) or BOB not in {subject for subject, _ in remarks(desk.book)}
    desk.tick(loop, 54_990)
    assert BOB in {subject for subject, _ in remarks(desk.book)}
    desk.tick(loop, 60_000)
    e10 = 60_000 * PRICE_SCALE
    more = Fill("BTC-PERP", 1, e10, desk.order(BOB, "buy", 1, e10), desk.order(MAKER, "sell", 1, e10))
    asked = Request(next(desk.numbers), (more,), desk.book.rules.digest, desk.at + DAY_NS)
    (outcome,) = desk.book.submit([signed(asked)], desk.at)
    assert outcome.decision.reason == Reason.DAILY_LOSS_EXCEEDED


# --- standing mandates -------------------------------------------------------------------------


def mandated(cash: int, *given: tuple[str, int], shelf: Shelf | None = None, entry: int = 60_000) -> Desk:
    """alice holds 0.5 BTC with 2,000 less a fee of 15; some cash, and mandates from it."""
    desk = Desk(shelf, policy=TOPPING)
    desk.buy(ALICE, 500, entry)
    desk.must(signed(Receipt("more", "outside", "client/alice/cash", "USDC", cash), "watcher_key"))
    desk.ask(Move("deposit", "outside", "client/alice/cash", "USDC", cash), "watcher_key", "ledger_key")
    for bucket, units in given:
        terms = ("top_up", "client/alice/cash", bucket, "USDC", units, desk.at + DAY_NS)
        bare = Mandate(next(desk.numbers), *terms, desk.book.rules.digest)
        desk.must(signed(bare, "client_key/alice"))
    return desk


def topped(done) -> list[tuple[str, int, Reason | None]]:
    return [
        (one.move.target, one.move.units, None if one.refused is None else one.refused.reason)
        for one in done.topped_up
    ]


def test_a_call_becomes_a_top_up_within_its_cap() -> None:
    """Up to 120 % of what is required, from a mandate of 200 in all; then it is closed as any other."""
    desk = mandated(1_000 * USDC, (ALICE, 200 * USDC))
    loop = desk.loop()
    done = desk.tick(loop, 56_300)  # 135 left, 168.9 wanted, below 140.75 it is closed
    assert (topped(done), done.called, done.closed) == ([(ALICE, 33_900_000, None)], (), ())
    assert desk.book.state.balance(ALICE, "USDC") == 2_033_900_000
    assert State(int(loop._watch.states[loop._numbers[ALICE]])) is State.HELD
    assert desk.book.margin._calls[ALICE].cure_by is None
    done = desk.tick(loop, 56_300)
    assert (topped(done), done.called, done.cured) == ([], (), ())
    assert topped(desk.tick(loop, 56_000)) == [(ALICE, 149_100_000, None)]
    done = desk.tick(loop, 55_900)  # 49.7 lack, and 17 are left of the mandate
    assert topped(done) == [(ALICE, 17_000_000, None)]
    assert done.called == (ALICE,)
    assert [(one.bucket, one.refused) for one in done.closed] == [(ALICE, None)]
    assert topped(desk.tick(loop, 55_800)) == []


def test_a_top_up_reaches_as_far_as_the_cash_does() -> None:
    desk = mandated(1, (ALICE, 200 * USDC))
    done = desk.tick(desk.loop(), 56_500)  # 235 left of 141.25: nobody is called
    assert (topped(done), done.called) == ([], ())
    loop = desk.loop()
    done = desk.tick(loop, 56_310)  # 140 left of 140.775
    assert (topped(done), done.called) == ([(ALICE, 1, None)], (ALICE,))
    assert len(done.closed) == 1


def test_two_buckets_do_not_ask_for_the_same_coins_at_once() -> None:
    hedge = "client/alice/hedge"
    # One fails from 43,800 and one from 60,000, both at 40,000; there is cash for both, and 0.05 more.
    desk = mandated(132_350_000, (ALICE, 200 * USDC), (hedge, 200 * USDC), entry=43_800)
    desk.ask(Move("fund", "client/alice/cash", hedge, "USDC", 101 * USDC), "client_key/alice")
    desk.buy(hedge, 5, 60_000)
    done = desk.tick(desk.loop(), 40_000)
    assert topped(done) == [(hedge, 350_000, None), (ALICE, 30_950_000, None)]
    assert desk.book.state.balance("client/alice/cash", "USDC") == 50_000
    assert (done.called, done.closed) == ((), ())


def test_a_top_up_that_the_book_refuses_is_left_until_the_next_tick() -> None:
    desk = mandated(1_000 * USDC, (ALICE, 200 * USDC))
    ids = count(1)

    def risk_alone(key: str, message: bytes) -> Signature | None:
        return sign_as(key, message) if key == "risk_key" else None

    loop = RiskLoop(desk.book, risk_alone, lambda at: request_id(at, next(ids)), desk, 100)
    for price in (56_300, 56_299):
        assert [why for _, _, why in topped(desk.tick(loop, price))] == [Reason.NEEDS_NOT_MET]
    assert State(int(loop._watch.states[loop._numbers[ALICE]])) is State.LIQUIDATE


def test_a_replay_of_top_ups_gives_the_same_margin() -> None:
    shelf = Shelf()
    desk = mandated(1_000 * USDC, (ALICE, 200 * USDC), shelf=shelf)
    loop = desk.loop()
    for price in (56_300, 56_000, 55_900):
        desk.tick(loop, price)
    state, margin = desk.book.state.digest(), desk.book.margin.written()
    desk.book.close()
    again = Book.recover(MemoryStore(shelf), verify, margin_of=MarginFacts)
    assert (again.state.digest(), again.margin.written()) == (state, margin)


# --- replay and others -------------------------------------------------------------------------


def test_a_replay_gives_the_same_book_and_the_same_margin() -> None:
    shelf = Shelf()
    desk = Desk(shelf)
    for bucket in (ALICE, BOB):
        desk.buy(bucket, 500, 60_000)
    loop = desk.loop()
    for price in (59_000, 57_000, 56_200, 55_900, 60_000):
        desk.tick(loop, price)
    state, margin = desk.book.state.digest(), desk.book.margin.written()
    desk.book.close()
    again = Book.recover(MemoryStore(shelf), verify, margin_of=MarginFacts)
    assert (again.state.digest(), again.margin.written()) == (state, margin)


def test_others_may_write_between_rounds(desk: Desk) -> None:
    loop = desk.loop()
    desk.tick(loop, 60_000)
    desk.ask(Move("release", ALICE, "client/alice/cash", "USDC", 100 * USDC), "client_key/alice")
    desk.tick(loop, 60_000)
    number = loop._paths.index(ALICE)
    fee = 15 * USDC  # owed, and not paid yet
    assert loop._watch.book.net_coins[number, 0] == desk.book.state.balance(ALICE, "USDC") - fee


def test_a_look_says_nothing_and_moves_nothing(desk: Desk) -> None:
    before = desk.book.state.balance(ALICE, "USDC")
    desk.must(Remark(LOOK, ALICE, "liquidate"), Remark(LOOK, "nowhere", "x"), Remark(LOOK, "clearing", "x"))
    assert desk.book.state.balance(ALICE, "USDC") == before


def test_a_book_without_margin_has_no_loop() -> None:
    assert POLICY is not None
    book = Book.found(MemoryStore(), POLICY, START, verify)
    with pytest.raises(UsageError, match="without margin"):
        RiskLoop(book, sign_as, lambda at: request_id(at, 1))
