"""Limits: predicates on each side of the edge, the machine with one event per change, resets by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import BTC, PRICES, USDC, terms

from ringfence.kernel.errors import UsageError
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.margin.limits import (
    DayLoss,
    LimitEvent,
    LimitLevel,
    LimitState,
    daily_loss_allowed,
    drawdown_use,
    first_limit_state,
    level_of,
    leverage_use,
    observe,
    reset,
)
from ringfence.margin.performance import first_high_water
from ringfence.policy.model import BucketLimits

OK, WARNED, TRIPPED = LimitLevel


@pytest.mark.parametrize(
    ("used", "allowed", "level"),
    [
        (0, 0, OK),
        (1, 0, TRIPPED),
        (79, 100, OK),
        (80, 100, WARNED),
        (100, 100, WARNED),
        (101, 100, TRIPPED),
        (-5, 100, OK),
    ],
)
def test_each_side_of_each_edge(used: int, allowed: int, level: LimitLevel) -> None:
    assert level_of(used, allowed) is level


def test_leverage_is_notional_over_equity() -> None:
    assert level_of(*leverage_use(500, 100, 5)) is WARNED
    assert level_of(*leverage_use(501, 100, 5)) is TRIPPED
    assert level_of(*leverage_use(1, -100, 5)) is TRIPPED
    assert level_of(*leverage_use(0, -100, 5)) is OK


def test_drawdown_is_the_fall_from_the_best() -> None:
    mark = first_high_water(1_000).observed(2_000)
    assert level_of(*drawdown_use(mark, 1_700, 150_000)) is WARNED
    assert level_of(*drawdown_use(mark, 1_699, 150_000)) is TRIPPED
    assert level_of(*drawdown_use(mark, 2_500, 150_000)) is OK


def test_a_withdrawal_is_no_drawdown_and_a_deposit_cures_none() -> None:
    out = first_high_water(1_000).after_flow(1_000, -900)
    assert drawdown_use(out, 100, 150_000)[0] == 0
    fallen = first_high_water(1_000).after_flow(800, 10_000)
    used, allowed = drawdown_use(fallen, 10_800, 150_000)
    assert used * 150_000 == 200_000 * allowed


@pytest.mark.parametrize(
    ("loss", "fill_loss", "fill", "after"),
    [
        (0, 0, 30, 30),
        (40, 0, 30, 70),
        # A gain of the day does not pay for what fills lose against the index.
        (-500, 0, 30, 30),
        (-500, 60, 30, 90),
        (70, 60, 30, 100),
    ],
)
def test_the_days_loss_with_a_fill(loss: int, fill_loss: int, fill: int, after: int) -> None:
    day = DayLoss(0, 1_000, fill_loss=fill_loss)
    assert day.lost_with(1_000 - loss, fill) == after


def test_flows_are_no_loss() -> None:
    state = first_limit_state(1_000, Instant(0)).after_flow(1_000, -400)
    assert state.day.lost(600) == 0
    assert state.day.lost(550) == 50


def test_closing_fills_stand_in_their_own_column() -> None:
    state = (
        first_limit_state(1_000, Instant(0)).after_fill(70, is_closing=True).after_fill(5, is_closing=False)
    )
    assert (state.day.fill_loss, state.day.closing_loss) == (5, 70)
    assert state.day.lost(1_000) == 5


def test_the_strictest_daily_loss_counts_rounded_down() -> None:
    book = terms()
    assert daily_loss_allowed({}, PRICES, book) is None
    assert daily_loss_allowed({"USDC": 7}, PRICES, book) == 7
    assert daily_loss_allowed({"USDC": 70_000 * USDC, "BTC": BTC}, PRICES, book) == 60_000 * USDC
    assert daily_loss_allowed({"BTC": 1}, PRICES, book) == 600


LIMITS = BucketLimits(leverage=5, drawdown_ppm=200_000, daily_loss={"USDC": 300})


def walk(*steps: tuple[int, int, int]) -> tuple[LimitState, list[tuple[str, LimitLevel]]]:
    """Walk through (hour, equity, notional) from an equity of 1,000."""
    state, seen = first_limit_state(1_000, Instant(0)), []
    for hour, equity, notional in steps:
        state, events = observe(state, equity, notional, Instant(hour * HOUR_NS), LIMITS, 300)
        seen += [(event.kind, event.after) for event in events]
    return state, seen


def test_leverage_follows_its_figures() -> None:
    state, seen = walk((1, 1_000, 5_001), (2, 1_000, 5_000), (3, 1_000, 100))
    assert seen == [("leverage", TRIPPED), ("leverage", WARNED), ("leverage", OK)]
    assert not state.is_tripped


def test_a_daily_loss_lasts_until_the_next_utc_day() -> None:
    state, seen = walk((1, 900, 0), (2, 699, 0), (23, 990, 0))
    assert ("daily_loss", TRIPPED) in seen
    assert state.daily_loss is TRIPPED
    state, seen = walk((2, 699, 0), (24, 699, 0))
    assert seen[-1] == ("daily_loss", OK)
    assert state.day.lost(699) == 0


def test_a_drawdown_lasts_until_a_person_lifts_it() -> None:
    state, seen = walk((1, 799, 0), (30, 2_000, 0))
    assert [level for kind, level in seen if kind == "drawdown"] == [TRIPPED]
    assert state.is_tripped
    lifted, event = reset(state, "drawdown", 2_000, Instant(DAY_NS * 2), "carol")
    assert event == LimitEvent("drawdown", Instant(DAY_NS * 2), TRIPPED, OK, 0, 0, "carol")
    assert not lifted.is_tripped
    assert drawdown_use(lifted.mark, 2_000, 1)[0] == 0


def test_a_reset_needs_a_name_and_something_tripped() -> None:
    state, _ = walk((2, 699, 0))
    with pytest.raises(UsageError, match="nobody was named"):
        reset(state, "daily_loss", 699, Instant(0), " ")
    fresh = first_limit_state(1_000, Instant(0))
    with pytest.raises(UsageError, match="only a tripped limit"):
        reset(fresh, "drawdown", 1_000, Instant(0), "carol")
    lifted, _ = reset(state, "daily_loss", 699, Instant(3 * HOUR_NS), "carol")
    assert lifted.daily_loss is OK
    assert lifted.day.lost(699) == 0


def test_a_bucket_without_limits_has_no_events() -> None:
    state = first_limit_state(1_000, Instant(0))
    assert observe(state, -5, 10**9, Instant(1), BucketLimits(), None)[1] == ()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-200, 3_000), st.integers(0, 9_000)), max_size=25))
def test_every_change_is_one_event_and_a_trip_stays(steps: list[tuple[int, int, int]]) -> None:
    state, hour = first_limit_state(1_000, Instant(0)), 0
    for hours, equity, notional in steps:
        hour += hours
        before = state
        state, events = observe(before, equity, notional, Instant(hour * HOUR_NS), LIMITS, 300)
        changed = {
            kind
            for kind in ("leverage", "drawdown", "daily_loss")
            if getattr(before, kind) is not getattr(state, kind)
        }
        assert sorted(event.kind for event in events) == sorted(changed)
        if before.drawdown is TRIPPED:
            assert state.drawdown is TRIPPED
