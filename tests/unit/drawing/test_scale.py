"""Data to pixels, and round numbers on an axis."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.drawing.scale import TICKS_MAX, Scale, round_ticks, widened

finite = st.floats(-1e12, 1e12, allow_nan=False)


def test_the_ends_of_a_scale_are_its_pixels() -> None:
    scale = Scale(10.0, 20.0, 300.0, 100.0)
    assert (scale.at(10.0), scale.at(20.0), scale.at(15.0)) == (300.0, 100.0, 200.0)


def test_a_scale_without_extent_maps_to_its_middle() -> None:
    assert Scale(5.0, 5.0, 0.0, 100.0).at(5.0) == 50.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 10.0, (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)),
        (0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (3.0, 3.0, (3.0,)),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)


@given(finite, st.floats(1e-3, 1e12))
def test_ticks_lie_inside_and_are_few(low: float, extent: float) -> None:
    high = low + extent
    if high <= low:
        return
    ticks = round_ticks(low, high)
    slack = extent * 1e-6 + abs(low) * 1e-9
    assert len(ticks) <= TICKS_MAX
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.lists(finite))
def test_a_widened_range_is_never_empty(values: list[float]) -> None:
    low, high = widened(values)
    assert low < high or math.isclose(low, high, rel_tol=1e-12) is False
    assert all(low <= value <= high for value in values)
