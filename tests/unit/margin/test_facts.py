"""Facts from a book: margin opens what it should, and a book given them trades, releases and closes."""

from dataclasses import replace

import pytest
from harbour import BTC, EVIDENCE, NOON, USDC, Harbour, e10, policy_of

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.margin.bucket import RestingOrder
from ringfence.margin.calls import CallState, State
from ringfence.margin.facts import NO_MEMORY, Memory, bucket_in, conditions, prices_in
from ringfence.margin.health import health
from ringfence.margin.terms import compile_terms
from ringfence.planes.ledger.book import Outcome
from ringfence.planes.ledger.conditions import ClosingFact, Conditions
from ringfence.planes.ledger.operations import Closing, Fill, Move, PriceFact, Request

HEDGE, BOB, CAROL = "client/alice/hedge", "client/bob/directional", "client/carol/hedge"
POOL = "insurance/directional"


class Venue(Harbour):
    """A harbour whose margin facts are computed from the book itself."""

    def __init__(self) -> None:
        super().__init__()
        self.terms = compile_terms(policy_of())
        self.price("BTC", 60_000)
        self.price("ETH", 3_000)

    def facts(self, request: Request, memory: Memory = NO_MEMORY) -> Conditions:
        return conditions(self.state, request, self.at, self.terms, memory)

    def ask(self, request: Request, memory: Memory = NO_MEMORY) -> Outcome:
        return self.do(request, self.facts(request, memory))

    def answer(self, request: Request, memory: Memory = NO_MEMORY) -> Reason | None:
        decision = self.ask(request, memory).decision
        return decision.reason if isinstance(decision, Refused) else None

    def fill(self, buyer: str, seller: str, contracts: int, price: float = 60_000) -> Fill:
        return Fill(
            "BTC-PERP",
            contracts,
            e10(price),
            self.order(buyer, "buy", contracts, price),
            self.order(seller, "sell", contracts, price),
        )

    def release(self, units: int, bucket: str = HEDGE, asset: str = "USDC") -> Move:
        return Move("release", bucket, f"client/{bucket.split('/')[1]}/cash", asset, units)


@pytest.fixture
def venue() -> Venue:
    venue = Venue()
    venue.fund("alice", "hedge", 10_000 * USDC)
    venue.fund("bob", "directional", 2_000 * USDC)
    venue.fund("carol", "hedge", 500_000 * USDC)
    return venue


def trade(venue: Venue, contracts: int = 1_000) -> None:
    """Bob buys from carol at the index; his fee of 30 stays owed."""
    assert venue.answer(venue.request(venue.fill(BOB, CAROL, contracts))) is None


def test_a_fill_within_the_margin_is_allowed_and_one_beyond_it_is_not(venue: Venue) -> None:
    # 2,000 less the fee cover 50 times: 1,639 contracts need 1,966.8 and cost 49.17; one contract less fits.
    assert venue.answer(venue.request(venue.fill(BOB, CAROL, 1_639))) is Reason.INITIAL_MARGIN_TOO_LOW
    assert venue.answer(venue.request(venue.fill(BOB, CAROL, 1_626))) is None


def test_what_is_owed_and_not_paid_counts_against_the_bucket(venue: Venue) -> None:
    trade(venue)
    assert bucket_in(venue.state, BOB).balances["USDC"] == 1_970 * USDC
    assert venue.state.balance(BOB, "USDC") == 2_000 * USDC


def test_a_release_is_let_through_to_the_unit(venue: Venue) -> None:
    trade(venue)
    # 1,970 less the initial margin of 1,200.
    beyond = venue.request(venue.release(770 * USDC + 1, BOB), "client_key/bob")
    assert venue.answer(beyond) is Reason.CONDITION_NOT_MET
    assert venue.answer(venue.request(venue.release(770 * USDC, BOB), "client_key/bob")) is None


def test_links_of_one_request_do_not_share_the_same_margin_twice(venue: Venue) -> None:
    venue.fund("alice", "hedge", BTC, "BTC")
    fill = venue.fill(HEDGE, CAROL, 8_000)
    cash, coin = venue.release(10_000 * USDC), venue.release(BTC, HEDGE, "BTC")
    # Any two of the three fit, in any order; all of them together do not.
    for links in ([fill, cash, coin], [cash, coin, fill], [coin, fill, cash]):
        assert venue.answer(venue.request(links, "client_key/alice")) is Reason.INITIAL_MARGIN_TOO_LOW
    assert venue.answer(venue.request([fill, cash], "client_key/alice")) is None
    facts = venue.facts(venue.request([coin, venue.release(1)], "client_key/alice"))
    assert facts.releasable[HEDGE]["USDC"] == 0
    assert facts.releasable[HEDGE]["BTC"] > 0


def test_a_stale_price_leaves_the_gate_shut(venue: Venue) -> None:
    trade(venue)
    venue.at = Instant(NOON + 31 * SECOND_NS)
    assert prices_in(venue.state, venue.at).marks == {}
    assert venue.answer(venue.request(venue.release(1, BOB), "client_key/bob")) is Reason.CONDITION_NOT_MET
    facts = venue.facts(venue.request(venue.fill(BOB, CAROL, 1)))
    assert facts.trade == {}


def test_an_isolated_bucket_keeps_to_one_instrument(venue: Venue) -> None:
    trade(venue, 100)
    other = Fill(
        "ETH-PERP",
        1,
        e10(3_000),
        venue.order(BOB, "buy", 1, 3_000, instrument="ETH-PERP"),
        venue.order(CAROL, "sell", 1, 3_000, instrument="ETH-PERP"),
    )
    assert venue.answer(venue.request(other)) is Reason.TRADE_NOT_ALLOWED


def test_memory_only_makes_it_stricter(venue: Venue) -> None:
    request = venue.request(venue.fill(BOB, CAROL, 1_000))
    called = Memory(calls={BOB: CallState(State.REDUCE_ONLY, NOON)})
    assert venue.facts(request, called).trade[BOB] == Reason.REDUCE_ONLY
    resting = Memory(orders={BOB: (RestingOrder("BTC-PERP", 1_000, e10(60_000)),)})
    assert venue.facts(request, resting).trade[BOB] == Reason.INITIAL_MARGIN_TOO_LOW
    assert venue.facts(request).trade == {BOB: 0, CAROL: 0}


def test_only_a_failing_bucket_is_closed_and_only_as_far_as_its_plan(venue: Venue) -> None:
    trade(venue)

    def forced(contracts: int, price: float) -> Request:
        sell = Closing(BOB, "liquidation")
        return venue.request(
            Fill("BTC-PERP", contracts, e10(price), venue.order(CAROL, "buy", contracts, price), sell),
            *EVIDENCE,
        )

    assert venue.answer(forced(1, 60_000)) is Reason.CONDITION_NOT_MET
    venue.price("BTC", 58_600)
    # Equity 570 under 586: closing n leaves 570 - 0.615 n against 0.6446 (1,000 - n) with fee and penalty.
    plan = venue.facts(forced(1, 58_600)).closing[BOB]["BTC-PERP"]
    assert plan == ClosingFact(1_000)
    assert venue.answer(forced(1_001, 58_600)) is Reason.REDUCE_ONLY
    assert venue.answer(forced(1_000, 58_600)) is None


def test_a_takeover_is_at_the_bankruptcy_price(venue: Venue) -> None:
    trade(venue)
    venue.price("BTC", 57_900)

    def passed(price: float) -> Request:
        fill = Fill("BTC-PERP", 1_000, e10(price), Closing(POOL, "takeover"), Closing(BOB, "takeover"))
        return venue.request(fill, *EVIDENCE)

    assert venue.facts(passed(58_030)).closing == {BOB: {"BTC-PERP": ClosingFact(1_000, e10(58_030))}}
    assert venue.answer(passed(58_030.1)) is Reason.PRICE_OUTSIDE_BAND
    assert venue.answer(passed(58_030)) is None
    left = health(bucket_in(venue.state, BOB), prices_in(venue.state, venue.at), venue.terms)
    assert (left.equity, left.maintenance) == (0, 0)


def test_winners_are_deleveraged_against_a_failed_bucket_only(venue: Venue) -> None:
    venue.fund("alice", "directional", 5_000 * USDC)
    winner = "client/alice/directional"
    assert venue.answer(venue.request(venue.fill(BOB, winner, 1_000))) is None
    fill = Fill("BTC-PERP", 10, e10(58_030), Closing(winner, "deleveraging"), Closing(BOB, "deleveraging"))
    assert venue.facts(venue.request(fill, *EVIDENCE)).closing == {}
    venue.price("BTC", 57_900)
    facts = venue.facts(venue.request(fill, *EVIDENCE))
    assert facts.closing[winner] == {"BTC-PERP": ClosingFact(1_000)}
    assert facts.closing[BOB] == {"BTC-PERP": ClosingFact(1_000, e10(58_030))}
    assert venue.answer(venue.request(fill, *EVIDENCE)) is None


def test_nothing_is_said_of_what_margin_does_not_look_after(venue: Venue) -> None:
    move = venue.request(Move("fund", "client/alice/cash", HEDGE, "USDC", 1), "client_key/alice")
    assert venue.facts(move) == Conditions()
    assert conditions(venue.state, PriceFact("index/BTC", ()), venue.at, venue.terms) == Conditions()


@pytest.mark.parametrize(
    ("path", "words"), [("nowhere", "no compartment"), ("client/bob/cash", "margin: none")]
)
def test_what_is_no_bucket_is_refused(venue: Venue, path: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        bucket_in(venue.state, path)


def test_isolation_in_the_book(venue: Venue) -> None:
    """Whatever other clients do, bob's figures keep every unit."""
    trade(venue)
    prices = prices_in(venue.state, venue.at)
    before = health(bucket_in(venue.state, BOB), prices, venue.terms)
    venue.fund("alice", "hedge", 50_000 * USDC)
    assert isinstance(venue.ask(venue.request(venue.fill(CAROL, HEDGE, 3_000))).decision, Accepted)
    after = health(bucket_in(venue.state, BOB), prices, venue.terms)
    assert after == before
    assert replace(bucket_in(venue.state, BOB)) == bucket_in(venue.state, BOB)
