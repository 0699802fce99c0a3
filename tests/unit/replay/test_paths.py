"""The same bars in every order: each path touches every open, high, low and close of its coins."""

import numpy as np
import pytest

from ringfence.replay.market import Market
from ringfence.replay.paths import ORDERS, SLIDE_STEP, price_path


@pytest.mark.parametrize("order", ORDERS)
def test_every_path_touches_every_price_of_every_bar(small_market: Market, order: str) -> None:
    path = price_path(small_market, order)
    for bar in range(len(small_market.opened)):
        seen = path.marks_e10[path.bar == bar]
        bars = small_market.prices_e10[bar]
        assert (seen.max(axis=0) == bars[:, 1]).all()
        assert (seen.min(axis=0) == bars[:, 2]).all()
        assert (seen[0] == bars[:, 0]).all()
        assert (seen[-1] == bars[:, 3]).all()


@pytest.mark.parametrize("order", ORDERS)
def test_time_never_falls_and_stays_inside_its_bar(small_market: Market, order: str) -> None:
    path = price_path(small_market, order)
    assert (np.diff(path.at) >= 0).all()
    inside = path.at - small_market.opened[path.bar]
    assert ((inside >= 0) & (inside < small_market.bar_ns)).all()


@pytest.mark.parametrize("order", ORDERS)
def test_every_price_is_a_whole_number_of_ticks(small_market: Market, order: str) -> None:
    path = price_path(small_market, order)
    assert (path.marks_e10 % small_market.ticks_e10 == 0).all()
    assert (path.marks_e10 > 0).all()


def test_low_first_and_high_first_differ_only_in_order(small_market: Market) -> None:
    low, high = (price_path(small_market, order).marks_e10 for order in ("low first", "high first"))
    assert not np.array_equal(low, high)
    assert np.array_equal(np.sort(low, axis=0), np.sort(high, axis=0))


def test_out_of_step_sends_every_second_coin_the_other_way(small_market: Market) -> None:
    parted = price_path(small_market, "out of step").marks_e10
    low, high = (price_path(small_market, order).marks_e10 for order in ("low first", "high first"))
    assert np.array_equal(parted[:, 0::2], low[:, 0::2])
    assert np.array_equal(parted[:, 1::2], high[:, 1::2])


def test_a_slide_has_small_steps(small_market: Market) -> None:
    marks = price_path(small_market, "sliding").marks_e10.astype(float)
    inside = np.abs(np.diff(marks, axis=0) / marks[:-1])
    # A step is equal in price, so near the end of a deep fall it is larger relative to what is left.
    assert inside.max() < 0.12
    assert np.median(inside[inside > 0]) < 2 * SLIDE_STEP


def test_an_unknown_order_is_refused(small_market: Market) -> None:
    with pytest.raises(ValueError, match="no order of moves"):
        price_path(small_market, "sideways")
