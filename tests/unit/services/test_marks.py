import pytest

from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import PriceFact, Quote
from ringfence.policy.model import PriceAuthority
from ringfence.services.marks import HALT_AFTER, Marks, PriceState

STALE_NS = 30 * SECOND_NS
NAME = "index/BTC"
NOW = Instant(1_000 * SECOND_NS)


@pytest.fixture
def marks():
    authority = PriceAuthority(sources=("v1", "v2", "v3"), agree_count=2, agree_ppm=10_000, stale_ns=STALE_NS)
    return Marks({NAME: authority})


def say(marks, **prices):
    return [marks.take(NAME, Quote(source, price, NOW)) for source, price in prices.items()]


@pytest.mark.parametrize(
    ("prices", "state"),
    [
        ({}, PriceState.HALTED),
        ({"v1": 1000}, PriceState.HALTED),
        ({"v1": 1000, "v2": 1010}, PriceState.DEGRADED),
        ({"v1": 1000, "v2": 1011}, PriceState.HALTED),
        ({"v1": 1000, "v2": 1010, "v3": 1005}, PriceState.FRESH),
        ({"v1": 1000, "v2": 1010, "v3": 2000}, PriceState.DEGRADED),
    ],
)
def test_the_state_of_a_price_follows_how_many_sources_agree(marks, prices, state):
    say(marks, **prices)
    assert marks.state(NAME, NOW) is state


@pytest.mark.parametrize(
    ("age_ns", "state"),
    [
        (0, PriceState.FRESH),
        (STALE_NS, PriceState.FRESH),
        (STALE_NS + 1, PriceState.STALE),
        (HALT_AFTER * STALE_NS, PriceState.STALE),
        (HALT_AFTER * STALE_NS + 1, PriceState.HALTED),
    ],
)
def test_a_price_grows_old_in_steps(marks, age_ns, state):
    say(marks, v1=1000, v2=1000, v3=1000)
    assert marks.fact(NAME, NOW) is not None
    assert marks.state(NAME, Instant(NOW + age_ns)) is state


@pytest.mark.parametrize(
    ("state", "new_risk", "liquidation", "reducing"),
    [
        (PriceState.FRESH, True, True, True),
        (PriceState.DEGRADED, True, True, True),
        (PriceState.STALE, False, False, True),
        (PriceState.HALTED, False, False, False),
    ],
)
def test_each_state_says_what_is_still_allowed(state, new_risk, liquidation, reducing):
    assert (state.allows_new_risk, state.allows_liquidation, state.allows_reducing) == (
        new_risk,
        liquidation,
        reducing,
    )


@pytest.mark.parametrize(
    "quote", [Quote("v9", 1000, NOW), Quote("v1", 0, NOW), Quote("v1", 1000, NOW), Quote("v1", 1000, NOW - 1)]
)
def test_a_quote_of_a_stranger_of_nothing_or_of_the_past_is_not_kept(marks, quote):
    say(marks, v1=500)
    assert not marks.take(NAME, quote)
    assert not marks.take("index/XRP", quote)


def test_the_fact_for_the_ledger_holds_every_quote_and_none_comes_without_agreement(marks):
    say(marks, v2=1010, v1=1000)
    assert marks.fact(NAME, NOW) == PriceFact(NAME, (Quote("v1", 1000, NOW), Quote("v2", 1010, NOW)))
    assert marks.fact(NAME, Instant(NOW + STALE_NS + 1)) is None


def test_a_change_of_state_is_told_once(marks):
    assert marks.transitions(NOW) == ()
    say(marks, v1=1000, v2=1000)
    (change,) = marks.transitions(NOW)
    assert (change.was, change.now) == (PriceState.HALTED, PriceState.DEGRADED)
    assert "2 of 3" in change.words
    assert marks.transitions(NOW) == ()
