"""Thresholds: a row on each side of each level, the cure time, the liquidation that goes on to stop_at."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import HOUR_NS, THRESHOLDS

from ringfence.kernel.instant import Instant
from ringfence.margin.calls import CallState, State, advance, restored_ppm, state_of


@pytest.mark.parametrize(
    ("equity", "state"),
    [
        (1_500, State.FREE),
        (1_499, State.HELD),
        (1_200, State.HELD),
        (1_199, State.WARNED),
        (1_100, State.WARNED),
        (1_099, State.CALLED),
        (1_050, State.CALLED),
        (1_049, State.REDUCE_ONLY),
        (1_000, State.REDUCE_ONLY),
        (999, State.LIQUIDATE),
        (-1, State.LIQUIDATE),
    ],
)
def test_each_side_of_each_level(equity: int, state: State) -> None:
    assert state_of(equity, 1_000, THRESHOLDS) is state


def test_a_bucket_that_needs_nothing_is_free_until_it_owes() -> None:
    assert state_of(0, 0, THRESHOLDS) is State.FREE
    assert state_of(-1, 0, THRESHOLDS) is State.LIQUIDATE


def walk(*steps: tuple[int, int]) -> list[tuple[State, str]]:
    """Walk through (hour, equity at a requirement of 1,000); list the transitions."""
    state, seen = CallState(), []
    for hour, equity in steps:
        state, event = advance(state, equity, 1_000, Instant(hour * HOUR_NS), THRESHOLDS)
        if event is not None:
            assert event.after is state.state
            seen.append((event.after, event.cause))
    return seen


def test_one_event_for_each_change() -> None:
    assert walk((0, 1_600), (1, 1_550), (2, 1_199), (3, 1_150), (4, 1_600)) == [
        (State.WARNED, "level"),
        (State.FREE, "level"),
    ]


def test_a_call_that_is_cured_in_time() -> None:
    assert walk((0, 1_099), (4, 1_099), (4, 1_100), (9, 1_100)) == [
        (State.CALLED, "level"),
        (State.WARNED, "level"),
    ]


def test_a_call_that_is_not_cured_is_liquidated_after_its_last_instant() -> None:
    assert walk((0, 1_099), (4, 1_060)) == [(State.CALLED, "level")]
    assert walk((0, 1_099), (5, 1_060)) == [(State.CALLED, "level"), (State.LIQUIDATE, "uncured")]


def test_the_cure_time_runs_through_reduce_only_and_starts_anew_after_a_cure() -> None:
    assert walk((0, 1_099), (3, 1_049), (5, 1_049))[-1] == (State.LIQUIDATE, "uncured")
    assert walk((0, 1_099), (3, 1_100), (4, 1_099), (8, 1_099))[-1] == (State.CALLED, "level")


def test_a_liquidation_lasts_until_stop_at() -> None:
    assert walk((0, 999), (1, 1_060), (2, 1_099)) == [(State.LIQUIDATE, "level")]
    assert walk((0, 999), (1, 1_060), (2, 1_100)) == [(State.LIQUIDATE, "level"), (State.WARNED, "level")]


@pytest.mark.parametrize(
    ("equity", "stop_at_ppm", "level"),
    [
        (999, 1_020_000, 1_020_000),
        (999, 1_300_000, 1_300_000),
        # Closed for a call that was not cured: it goes on until the call is cured.
        (1_000, 1_020_000, 1_100_000),
        (1_060, 1_300_000, 1_300_000),
    ],
)
def test_where_a_liquidation_stops(equity: int, stop_at_ppm: int, level: int) -> None:
    levels = THRESHOLDS.model_copy(update={"stop_at_ppm": stop_at_ppm})
    assert restored_ppm(equity, 1_000, levels) == level


@given(st.integers(-(10**20), 10**20), st.integers(0, 10**20), st.integers(0, 10**20))
def test_more_equity_is_never_a_worse_state(equity: int, more: int, maintenance: int) -> None:
    assert state_of(equity + more, maintenance, THRESHOLDS) <= state_of(equity, maintenance, THRESHOLDS)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(900, 1_600)), min_size=1, max_size=30))
def test_the_memory_only_ever_makes_a_state_worse(steps: list[tuple[int, int]]) -> None:
    state, hour, events = CallState(), 0, []
    for hours, equity in steps:
        hour += hours
        before = state
        state, event = advance(state, equity, 1_000, Instant(hour * HOUR_NS), THRESHOLDS)
        assert state.state >= state_of(equity, 1_000, THRESHOLDS)
        assert (event is None) == (state.state is before.state)
        assert (state.cure_by is None) == (equity >= 1_100)
        events += [event] if event else []
    for one, other in pairwise(events):
        assert one.after is other.before
