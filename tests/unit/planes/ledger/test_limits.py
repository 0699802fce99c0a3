"""Windows: fixed ones turn at the UTC boundary, refilling ones drain evenly, rolling ones are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.instant import DAY_NS, Instant, parse_instant
from ringfence.planes.ledger.limits import room_units, spend, used_units
from ringfence.policy.model import Cap, Window

MIDNIGHT = parse_instant("2025-10-11T00:00:00Z")


def cap(kind, units=100, length_ns=DAY_NS):
    return Cap(units=units, window=Window(kind=kind, length_ns=length_ns))


def after(ns):
    return Instant(MIDNIGHT + ns)


@pytest.mark.parametrize("kind", ["fixed", "refill", "rolling"])
def test_an_unused_limit_leaves_all_its_room(kind):
    assert room_units(cap(kind), (), MIDNIGHT) == 100


@pytest.mark.parametrize("kind", ["fixed", "refill", "rolling"])
def test_a_spent_limit_leaves_the_rest_and_no_less_than_nothing(kind):
    counter = spend(cap(kind), (), 60, MIDNIGHT)
    assert room_units(cap(kind), counter, MIDNIGHT) == 40
    assert room_units(cap(kind), spend(cap(kind), counter, 40, MIDNIGHT), MIDNIGHT) == 0
    assert room_units(cap(kind, units=50), counter, MIDNIGHT) == 0


def test_a_fixed_window_turns_at_midnight_utc():
    counter = spend(cap("fixed"), (), 100, after(-1))
    assert room_units(cap("fixed"), counter, after(-1)) == 0
    assert room_units(cap("fixed"), counter, after(0)) == 100


def test_a_leap_second_belongs_to_the_new_day():
    # POSIX gives 23:59:60 the number of the following midnight.
    assert parse_instant("2016-12-31T23:59:59Z") + 10**9 == parse_instant("2017-01-01T00:00:00Z")


@pytest.mark.parametrize(("ns", "room"), [(DAY_NS - 1, 0), (DAY_NS, 100)])
def test_a_rolling_window_forgets_after_exactly_its_length(ns, room):
    counter = spend(cap("rolling"), (), 100, MIDNIGHT)
    assert room_units(cap("rolling"), counter, after(ns)) == room


@pytest.mark.parametrize(("ns", "room"), [(0, 0), (DAY_NS // 100 - 1, 0), (DAY_NS // 100, 1), (DAY_NS, 100)])
def test_a_refilling_limit_gives_back_evenly(ns, room):
    counter = spend(cap("refill"), (), 100, MIDNIGHT)
    assert room_units(cap("refill"), counter, after(ns)) == room


@given(
    st.sampled_from(["fixed", "refill", "rolling"]),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=30),
)
def test_what_passes_in_one_window_is_at_most_what_the_policy_promises(kind, steps):
    """Take whatever room there is: no window of its length holds more than proof charges for it."""
    limit, at, counter, taken = cap(kind, 50, 10), 0, (), []
    for wait, units in steps:
        at += wait
        units = min(units, room_units(limit, counter, Instant(at)))
        if units:
            counter = spend(limit, counter, units, Instant(at))
            taken.append((at, units))
        assert used_units(limit, counter, Instant(at)) <= 50
    worst = max((sum(u for t, u in taken if start <= t < start + 10) for start, _ in taken), default=0)
    assert worst <= (50 if kind == "rolling" else 100)
