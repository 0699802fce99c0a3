"""A bucket read from a book: what it holds, owes and has open, at prices that are fresh."""

import pytest
from harbour import NOON, USDC, Harbour, e10, policy_of

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.margin.bucket import Position
from ringfence.margin.health import health
from ringfence.margin.reading import bucket_in, prices_in
from ringfence.margin.terms import compile_terms

BOB, CAROL = "client/bob/directional", "client/carol/hedge"
TERMS = compile_terms(policy_of())


@pytest.fixture
def venue() -> Harbour:
    """Bob has bought 1 BTC from carol at the index; his fee of 30 is owed and not paid."""
    venue = Harbour()
    venue.price("BTC", 60_000)
    venue.fund("bob", "directional", 2_000 * USDC)
    venue.fund("carol", "hedge", 500_000 * USDC)
    venue.trade(BOB, CAROL, 1_000, 60_000)
    return venue


def test_what_is_owed_and_not_paid_is_taken_off(venue: Harbour) -> None:
    bucket = bucket_in(venue.state, BOB)
    assert venue.state.balance(BOB, "USDC") == 2_000 * USDC
    assert bucket.balances == {"USDC": 1_970 * USDC}
    assert bucket.positions == (Position("BTC-PERP", 1_000, 60_000 * USDC),)
    assert bucket.mode == "isolated"


def test_marks_are_the_index_until_the_policy_prices_them(venue: Harbour) -> None:
    prices = prices_in(venue.state, venue.at)
    assert prices.assets == {"BTC": e10(60_000)}
    assert prices.marks == {"BTC-PERP": e10(60_000), "BTC-USD": e10(60_000)}


def test_a_stale_price_is_no_price(venue: Harbour) -> None:
    assert prices_in(venue.state, Instant(NOON + 30 * SECOND_NS)).marks
    assert prices_in(venue.state, Instant(NOON + 30 * SECOND_NS + 1)).marks == {}


@pytest.mark.parametrize(
    ("path", "words"), [("nowhere", "no compartment"), ("client/bob/cash", "margin: none")]
)
def test_what_is_no_bucket_is_refused(venue: Harbour, path: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        bucket_in(venue.state, path)


def test_isolation_in_the_book(venue: Harbour) -> None:
    """Whatever other clients do, bob's figures keep every unit."""
    prices = prices_in(venue.state, venue.at)
    before = health(bucket_in(venue.state, BOB), prices, TERMS)
    venue.fund("alice", "hedge", 50_000 * USDC)
    venue.trade(CAROL, "client/alice/hedge", 3_000, 61_000)
    assert health(bucket_in(venue.state, BOB), prices, TERMS) == before
    assert (before.equity, before.maintenance) == (1_970 * USDC, 600 * USDC)
