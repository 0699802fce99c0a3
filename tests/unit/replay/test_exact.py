"""Compiled whole-number arithmetic gives the answers of Python's integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel import money
from ringfence.margin import waterfall
from ringfence.replay.exact import (
    apportion,
    apportion_capped,
    mul_div,
    mul_div_down,
    mul_div_up,
    order_down,
    share_down,
    share_up,
    stamp,
)

units = st.integers(0, 10**15)
ppm = st.integers(0, 5_000_000)


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.integers(1, 2**61))
def test_a_product_is_divided_without_being_formed(one: int, other: int, divisor: int) -> None:
    if one * other // divisor < 2**62:
        assert mul_div(one, other, divisor) == divmod(one * other, divisor)
        assert mul_div_down(one, other, divisor) == one * other // divisor
        assert mul_div_up(one, other, divisor) == -(-one * other // divisor)


@given(units, ppm)
def test_shares_round_as_their_names_say(amount: int, rate: int) -> None:
    assert share_down(amount, rate) == money.share_down(amount, rate)
    assert share_up(amount, rate) == money.share_up(amount, rate)


@given(st.lists(st.integers(-5, 5), max_size=40))
def test_the_largest_key_comes_first_and_equals_keep_their_place(keys: list[int]) -> None:
    expected = sorted(range(len(keys)), key=lambda number: (-keys[number], number))
    assert order_down(np.array(keys, dtype=np.int64)).tolist() == expected


@given(units, st.lists(st.integers(0, 10**12), min_size=1, max_size=12))
def test_a_total_is_apportioned_as_money_does_it(total: int, weights: list[int]) -> None:
    if sum(weights) == 0:
        assert apportion(total, np.array(weights)).sum() == 0
    else:
        assert tuple(apportion(total, np.array(weights)).tolist()) == money.apportion(total, weights)


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**5)), max_size=10),
)
def test_capped_parts_are_those_of_the_waterfall(total: int, rows: list[tuple[int, int]]) -> None:
    weights, caps = [row[0] for row in rows], [row[1] for row in rows]
    found = apportion_capped(total, np.array(weights, dtype=np.int64), np.array(caps, dtype=np.int64))
    assert found.tolist() == waterfall.apportion_capped(total, weights, caps)


@pytest.mark.parametrize("amount", [0, 1, 999_999, 1_000_000, 1_000_001])
def test_the_edges_of_a_share(amount: int) -> None:
    assert share_up(amount, 1) == (0 if amount == 0 else (amount + 999_999) // 1_000_000)


def test_the_stamp_names_the_code_it_was_made_from() -> None:
    (name,) = stamp().dtype.names or ()
    assert name.startswith("code_")
    assert stamp().dtype == stamp().dtype
