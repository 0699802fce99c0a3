"""The small phrases: what they read, what they refuse, and that they write what they read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.instant import DAY_NS, HOUR_NS
from ringfence.policy import phrases
from ringfence.policy.model import Band, Cap, Condition, KeyNeed, Quorum, Window

READ_AND_WRITTEN = [
    (phrases.parse_share, phrases.show_share, "15 %", 150_000),
    (phrases.parse_share, phrases.show_share, "0.0001 %", 1),
    (phrases.parse_share, phrases.show_share, "-0.005 %", -50),
    (phrases.parse_share, phrases.show_share, "0 %", 0),
    (phrases.parse_price, phrases.show_price, "0.0000000001", 1),
    (phrases.parse_price, phrases.show_price, "120000.5", 1_200_005_000_000_000),
    (phrases.parse_band, phrases.show_band, "within 1 % of index", Band(ppm=10_000)),
    (phrases.parse_band, phrases.show_band, "within 0.5 % of mark", Band(ppm=5_000, of="mark")),
    (phrases.parse_band, phrases.show_band, "at mark", Band(ppm=0, of="mark")),
    (phrases.parse_agreement, phrases.show_agreement, "2 of 3 within 1 %", phrases.Agreement(2, 3, 10_000)),
    (phrases.parse_interest, phrases.show_interest, "8 % per year", 80_000),
    (phrases.parse_equity_cap, phrases.show_equity_cap, "10 % of equity", 100_000),
    (phrases.parse_need, phrases.show_need, "client_key/{a}", KeyNeed(key="client_key", member="{a}")),
    (
        phrases.parse_need,
        phrases.show_need,
        "2 of [a, 1 of [b, c/acme], d]",
        Quorum(
            count=2,
            of=(
                KeyNeed(key="a"),
                Quorum(count=1, of=(KeyNeed(key="b"), KeyNeed(key="c", member="acme"))),
                KeyNeed(key="d"),
            ),
        ),
    ),
    (
        phrases.parse_condition,
        phrases.show_condition,
        "operator_silent 30 d",
        Condition(word="operator_silent", length_ns=30 * DAY_NS),
    ),
    (phrases.parse_condition, phrases.show_condition, "attested", Condition(word="attested")),
]


@pytest.mark.parametrize(("parse", "show", "text", "value"), READ_AND_WRITTEN)
def test_a_phrase_is_read_and_written(parse, show, text, value):
    assert parse(text) == value
    assert show(value) == text


REFUSED = [
    (phrases.parse_share, ("15", "15%", "% 15", "--1 %", "1.00001 %", "1e2 %", "+1 %", " %", "15 % ")),
    (phrases.parse_price, ("0", "0.0", "-1", "1e3", "1.00000000001", "", "1 USDC")),
    (
        phrases.parse_amount,
        ("5000", "USDC", "USDC 5000", "5000  USDC", "-5 USDC", "5,000 USDC", "5000 US DC"),
    ),
    (phrases.parse_contract, ("0 BTC", "0.001", "BTC")),
    (phrases.split_cap, ("5 per", "5 every 1 d", "per 1 d", "5 per 0 d", "5 per day", "5 per 1 w")),
    (phrases.parse_band, ("1 % of index", "within 1 % of", "at close", "within of mark")),
    (
        phrases.parse_agreement,
        ("0 of 3 within 1 %", "2 of 3", "2 of 3 within", "2/3 within 1 %", "100 of 3 within 1 %"),
    ),
    (phrases.parse_interest, ("8 %", "8 per year", "8 % per month")),
    (phrases.parse_equity_cap, ("10 %", "10 % of balance", "of equity")),
    (phrases.parse_settlement, ("8 h at last", "at mark", "8 h on mark")),
    (
        phrases.parse_need,
        ("", "a b", "2 of []", "0 of [a]", "2 of [a", "2 of a, b", "a/b/c", "2 of [a,, b]", "100 of [a]"),
    ),
    (phrases.parse_key_need, ("2 of [a, b]", "{a}", "a/{A}", "a/")),
    (phrases.parse_condition, ("", "silent", "releasable 1 d", "operator_silent", "attested 1 w")),
    (phrases.parse_leg, ("a", "a->b", "a -> b -> c", "a -> ", "a -> *", "a/ -> b")),
    (
        phrases.parse_selector,
        ("", "owner:", "kind:client", "client/", "client/***", "client/{A}", "owner:a/b", "a:b:c"),
    ),
    (phrases.parse_journey, ("anywhere -> a", "a", "a -> b -> c", "a ->")),
    (
        phrases.parse_lei,
        ("999900NRTHLGHTGRP064", "999900nrthlghtgrp063", "999900NRTHLGHTGRP06", "999900NRTHLGHTGRP0635"),
    ),
]


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, texts in REFUSED for text in texts])
def test_what_is_no_phrase_is_refused_in_a_sentence(parse, text):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse(text)


def test_a_quorum_nests_so_deep_and_no_deeper():
    def nested(depth):
        return "a" if depth == 0 else f"1 of [{nested(depth - 1)}]"

    assert phrases.show_need(phrases.parse_need(nested(7))) == nested(7)
    with pytest.raises(ValueError, match="nest"):
        phrases.parse_need(nested(8))


@given(st.integers(-(10**12), 10**12))
def test_a_share_is_read_as_written(ppm):
    assert phrases.parse_share(phrases.show_share(ppm)) == ppm


@given(
    st.integers(0, 2**127 - 1),
    st.integers(0, 36),
    st.sampled_from(("fixed", "refill", "rolling")),
    st.sampled_from((1_000_000, HOUR_NS, 25 * HOUR_NS, 30 * DAY_NS)),
)
def test_a_cap_is_read_as_written(units, decimals, kind, length_ns):
    cap = Cap(units=units, window=Window(kind=kind, length_ns=length_ns))
    shown = phrases.show_cap(cap, decimals)
    assert phrases.parse_cap(shown, "USDC", decimals) == cap
    number, window = shown.split(" ", 1)
    assert phrases.parse_cap(f"{number} USDC {window}", "USDC", decimals) == cap


def test_an_amount_keeps_every_digit():
    assert phrases.parse_units("1.000000000000000001", "ETH", 18) == 10**18 + 1
    with pytest.raises(ValueError, match="digits after the point"):
        phrases.parse_units("1.0000000000000000001", "ETH", 18)
    with pytest.raises(ValueError, match=r"2\^127"):
        phrases.parse_units(str(2**127), "SAT", 0)
    assert phrases.parse_units(str(2**127 - 1), "SAT", 0) == 2**127 - 1
