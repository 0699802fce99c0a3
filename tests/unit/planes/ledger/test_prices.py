"""A price is what enough fresh sources agree on: one lying source changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Quote
from ringfence.planes.ledger.prices import AgreedPrice, agree, is_within
from ringfence.policy.model import PriceAuthority

MS = 10**6
AUTHORITY = PriceAuthority(sources=("v1", "v2", "v3"), agree_count=2, agree_ppm=10_000, stale_ns=30 * MS)
NOW = Instant(1_000 * MS)


def ask(*quotes):
    return agree("index/BTC", AUTHORITY, [Quote(source, price, at * MS) for source, price, at in quotes], NOW)


@pytest.mark.parametrize(
    ("quotes", "price"),
    [
        ([("v1", 100, 1000), ("v2", 100, 1000), ("v3", 100, 1000)], 100),
        ([("v1", 99, 1000), ("v2", 100, 1000), ("v3", 99, 1000)], 99),
        ([("v1", 10000, 1000), ("v2", 10100, 1000)], 10000),
        ([("v1", 10000, 1000), ("v2", 10101, 1000)], None),
        ([("v1", 100, 1000)], None),
        ([("v1", 100, 970), ("v2", 100, 1000)], 100),
        ([("v1", 100, 969), ("v2", 100, 1000)], None),
        ([("v1", 100, 1001), ("v2", 100, 1000)], None),
        ([("v1", 0, 1000), ("v2", 0, 1000)], None),
        # A liar outside the band is left out, however far; inside it, the median is an honest one's.
        ([("v1", 100, 1000), ("v2", 100, 1000), ("v3", 10**9, 1000)], 100),
        # Two groups of one size: the narrower counts.
        ([("v1", 10000, 1000), ("v2", 10090, 1000), ("v3", 10180, 1000)], 10090),
        # Of groups of one size and width, the lowest; the narrower one first or last.
        ([("v1", 10000, 1000), ("v2", 10100, 1000), ("v3", 10201, 1000)], 10000),
        ([("v1", 10000, 1000), ("v2", 10010, 1000), ("v3", 10105, 1000)], 10000),
        ([("v1", 10000, 1000), ("v2", 10040, 1000), ("v3", 10100, 1000)], 10040),
        ([("v1", 1, 1000), ("v2", 1, 1000)], 1),
        # Of two quotes of one source and instant the first counts.
        ([("v1", 100, 1000), ("v1", 200, 1000), ("v2", 100, 1000)], 100),
        # One source counts once.
        ([("v1", 100, 1000), ("v1", 100, 1000)], None),
        ([("v1", 100, 990), ("v1", 105, 1000), ("v2", 105, 1000)], 105),
    ],
)
def test_the_price_is_the_median_of_those_that_agree(quotes, price):
    agreed = ask(*quotes)
    if price is None:
        assert isinstance(agreed, Refused)
        assert agreed.reason == Reason.PRICE_SOURCES_DISAGREE
    else:
        assert isinstance(agreed, AgreedPrice)
        assert agreed.price_e10 == price


def test_a_stranger_has_no_say():
    refused = ask(("v1", 100, 1000), ("v2", 100, 1000), ("mallory", 100, 1000))
    assert isinstance(refused, Refused)
    assert refused.reason == Reason.PRICE_SOURCE_UNKNOWN


def test_a_price_is_as_old_as_its_oldest_quote():
    agreed = ask(("v1", 100, 980), ("v2", 100, 1000), ("v3", 100, 990))
    assert agreed == AgreedPrice(100, Instant(980 * MS))
    assert not agreed.is_stale(AUTHORITY, Instant(1010 * MS))
    assert agreed.is_stale(AUTHORITY, Instant(1010 * MS + 1))


@given(st.integers(100_000, 200_000), st.integers(0, 10**9))
def test_one_lying_source_of_three_moves_the_price_at_most_by_the_band(honest, lie):
    agreed = ask(("v1", honest, 1000), ("v2", honest, 1000), ("v3", lie, 1000))
    assert isinstance(agreed, AgreedPrice)
    assert agreed.price_e10 == honest


@pytest.mark.parametrize(
    ("price", "inside"), [(95, True), (94, False), (105, True), (106, False), (100, True)]
)
def test_a_band_includes_its_edges(price, inside):
    assert is_within(price, 100, 50_000) is inside
