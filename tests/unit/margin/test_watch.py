"""Everybody at every price: what is decided is what the readable rules decide, bucket by bucket."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margins import BTC_PERP, PRICES, THRESHOLDS, USDC, any_bucket, any_prices, bucket, e10, opened, terms

from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.margin.batch import compile_batch
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import CallState, State, advance, state_of
from ringfence.margin.health import health, risk_key
from ringfence.margin.limits import LimitLevel, first_limit_state, observe
from ringfence.margin.marks import Prices
from ringfence.margin.watch import Watch, WatchedLimits, watch
from ringfence.policy.model import BucketLimits

ALL = terms()
BATCH = compile_batch(ALL)
NOON = Instant(1_760_097_600 * 10**9)
WAITS = st.sampled_from((0, 1, HOUR_NS, 4 * HOUR_NS - 1, 4 * HOUR_NS, 4 * HOUR_NS + 1))
STEPS = st.lists(st.tuples(WAITS, any_prices()), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_bucket(), max_size=5), STEPS)
def test_calls_and_liquidations_are_those_of_the_rule(buckets: list[Bucket], steps) -> None:
    """Property: states, deadlines, changes and who is uncured, tick after tick, equal `advance` for each."""
    watched, rule, at = watch(buckets, BATCH), [CallState()] * len(buckets), NOON
    for wait, prices in steps:
        at = Instant(at + wait)
        found = watched.tick(prices, at, buckets.__getitem__)
        exact = [health(one, prices, ALL) for one in buckets]
        moved = [advance(rule[n], one.equity, one.maintenance, at, THRESHOLDS) for n, one in enumerate(exact)]
        before, rule = rule, [after for after, _ in moved]
        assert watched.states.tolist() == [one.state for one in rule]
        assert watched.cure_by.tolist() == [one.cure_by or 0 for one in rule]
        assert found.changed.tolist() == [n for n, (_, change) in enumerate(moved) if change]
        assert found.before.tolist() == [before[n].state for n in found.changed]
        assert found.after.tolist() == [rule[n].state for n in found.changed]
        levels = [state_of(one.equity, one.maintenance, THRESHOLDS) for one in exact]
        late = [n for n, one in enumerate(rule) if one.cure_by and at > one.cure_by]
        assert found.uncured.tolist() == [n for n in late if levels[n] is not State.LIQUIDATE]
        assert sorted(found.closing.tolist()) == [
            n for n, one in enumerate(rule) if one.state is State.LIQUIDATE
        ]


@settings(max_examples=60, deadline=None)
@given(st.lists(any_bucket(), min_size=2, max_size=8), any_prices())
def test_the_riskiest_come_first(buckets: list[Bucket], prices: Prices) -> None:
    """Property: nobody is closed before somebody whose danger is greater by more than a billionth."""
    closing = watch(buckets, BATCH).tick(prices, NOON, buckets.__getitem__).closing.tolist()
    keys = [risk_key(health(buckets[number], prices, ALL)) for number in closing]
    for first, second in pairwise(keys):
        assert first[0] <= second[0]
        if first[0] == second[0]:
            assert float(first[1]) <= float(second[1]) + 1e-6 * abs(float(second[1])) + 1e-6


TIGHT = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=1_200 * USDC)
"""One bitcoin at 60,000, of which 1 % is 600: called below 660, closed below 600, at rest from 660 on."""


@pytest.mark.parametrize(("late_ns", "state"), [(0, State.CALLED), (1, State.LIQUIDATE)])
def test_a_call_is_cured_until_the_last_instant(late_ns: int, state: State) -> None:
    watched = watch([TIGHT], BATCH)
    called = at_price(59_440)
    found = watched.tick(called, NOON, lambda _: TIGHT)
    assert found.after.tolist() == [State.CALLED]
    found = watched.tick(called, Instant(NOON + 4 * HOUR_NS + late_ns), lambda _: TIGHT)
    assert watched.states.tolist() == [state]
    assert (len(found.uncured), len(found.closing)) == (late_ns, late_ns)


@pytest.mark.parametrize(("price", "is_closing"), [(59_440, True), (59_455, False)])
def test_a_liquidation_goes_on_until_stop_at(price: int, is_closing: bool) -> None:
    """At 59,440 equity is 640 of 594.4, 107.7 %; at 59,455 it is 655 of 594.55, 110.2 %."""
    watched = watch([TIGHT], BATCH)
    assert len(watched.tick(at_price(59_300), NOON, lambda _: TIGHT).closing) == 1
    assert len(watched.tick(at_price(price), NOON, lambda _: TIGHT).closing) == is_closing


# --- limits -------------------------------------------------------------------------------------

LONG = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=10_000 * USDC)
"""One bitcoin at 60,000 with 10,000 USDC: each dollar of price is a dollar of equity."""


def at_price(price: int) -> Prices:
    return PRICES.replaced([("BTC-PERP", e10(price))])


def limited(drawdown_ppm: int | None, loss: int | None) -> tuple[Watch, WatchedLimits]:
    state = first_limit_state(10_000 * USDC, NOON)
    limits = WatchedLimits(drawdown_ppm, loss, state)
    return watch([LONG], BATCH, [limits]), limits


def look(watched: Watch, price: int, at: int = NOON) -> bool:
    return bool(len(watched.tick(at_price(price), Instant(at), lambda _: LONG).look))


@pytest.mark.parametrize(("price", "is_looked_at"), [(58_501, False), (58_499, True), (50_000, True)])
def test_a_fall_from_the_best_is_seen_at_the_tick(price: int, is_looked_at: bool) -> None:
    watched, _ = limited(150_000, None)
    assert not look(watched, 60_000)
    assert look(watched, 60_000 + 100) is look(watched, 60_050) is False
    # 15 % of 10,000 and of the best seen, 10,100: 8,585, which is a price of 58,585.
    assert look(watched, price + 85) is is_looked_at


def test_a_new_best_is_told_once_it_is_a_percent_higher() -> None:
    watched, _ = limited(150_000, None)
    assert not look(watched, 60_100)
    assert look(watched, 60_102)
    assert not look(watched, 60_200)
    assert look(watched, 60_204)


@pytest.mark.parametrize(("price", "is_looked_at"), [(59_001, False), (58_999, True)])
def test_a_loss_of_the_day_is_seen_at_the_tick(price: int, is_looked_at: bool) -> None:
    watched, _ = limited(None, 1_000 * USDC)
    assert not look(watched, 60_000)
    assert look(watched, price) is is_looked_at


def test_a_new_day_is_looked_at_and_counts_from_its_first_tick() -> None:
    watched, limits = limited(None, 1_000 * USDC)
    assert look(watched, 58_000)
    tomorrow = NOON + DAY_NS
    assert look(watched, 58_000, tomorrow)
    assert not look(watched, 57_500, tomorrow)
    assert look(watched, 56_900, tomorrow)
    assert limits.state is not None


def test_who_has_no_limits_is_left_in_peace() -> None:
    watched = watch([LONG], BATCH)
    assert not any(
        look(watched, price, NOON + DAY_NS * day) for day, price in enumerate((60_000, 90_000, 51_000))
    )


PATHS = st.lists(st.tuples(st.integers(0, 8), st.integers(51_000, 70_000)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(PATHS, st.sampled_from((50_000, 150_000, 400_000)), st.sampled_from((500, 2_000, 9_000)))
def test_limits_trip_at_the_tick_at_which_the_rule_trips(path, drawdown_ppm: int, loss: int) -> None:
    """Property: whoever passes a limit by `observe` is looked at in the same tick."""
    limits = BucketLimits(drawdown_ppm=drawdown_ppm, daily_loss={"USDC": loss * USDC})
    state = first_limit_state(10_000 * USDC, NOON)
    watched = watch([LONG], BATCH, [WatchedLimits(drawdown_ppm, loss * USDC, state)])
    at = NOON
    for hours, price in path:
        at = Instant(at + hours * HOUR_NS)
        found = watched.tick(at_price(price), at, lambda _: LONG)
        figures = health(LONG, at_price(price), ALL)
        state, events = observe(state, figures.equity, figures.gross_notional, at, limits, loss * USDC)
        if any(event.after is LimitLevel.TRIPPED for event in events):
            assert found.look.tolist() == [0]
        if len(found.look):
            watched.set_limits(0, WatchedLimits(drawdown_ppm, loss * USDC, state))
            assert watched.peak[0] == pytest.approx(state.mark.peak / 10**18)


# --- what cannot be valued ----------------------------------------------------------------------


def test_nobody_is_judged_at_a_price_of_nothing() -> None:
    poor = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=100 * USDC)
    everybody = [poor, bucket(USDC=1), bucket(BTC=1)]
    watched = watch(everybody, BATCH)
    blind = Prices({"ETH": e10(3_000)}, {})
    found = watched.tick(blind, NOON, everybody.__getitem__)
    assert (found.changed.tolist(), found.closing.tolist()) == ([], [])
    assert watched.skipped.tolist() == [1, 0, 1]
    assert watched.tick(PRICES, NOON, everybody.__getitem__).closing.tolist() == [0]


def test_a_bucket_is_taken_over_where_it_has_room() -> None:
    watched = watch([LONG, bucket(USDC=1)], BATCH)
    smaller = bucket(opened(BTC_PERP, 400, 60_000), USDC=7 * USDC)
    assert watched.put(0, smaller)
    found = watched.tick(PRICES, NOON, lambda _: smaller)
    exact = health(smaller, PRICES, ALL)
    assert found.figures.equity[0] == pytest.approx(exact.equity)
    assert found.figures.maintenance[0] == pytest.approx(exact.maintenance)
    assert watched.put(0, bucket(USDC=5))
    assert np.all(watched.book.contracts[:1] == 0)
    assert not watched.put(1, LONG)
