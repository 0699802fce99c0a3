import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.calendar import day_index, window_index
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant, parse_instant

instants = st.integers(0, 2**63 - 1).map(Instant)
lengths = st.integers(1, 400 * DAY_NS)


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T23:59:59.999999999Z", 0),
        ("1970-01-02T00:00:00Z", 1),
        ("2025-10-10T23:59:59.999999999Z", 20_371),
        ("2025-10-11T00:00:00Z", 20_372),
        ("2025-10-11T01:00:00+02:00", 20_371),
    ],
)
def test_a_day_begins_at_midnight_in_utc(time, day):
    assert day_index(parse_instant(time)) == day
    assert window_index(parse_instant(time), DAY_NS) == day


@pytest.mark.parametrize(
    ("time", "hour"),
    [("2025-10-10T21:00:00Z", 21), ("2025-10-10T21:59:59.999999999Z", 21), ("2025-10-10T22:00:00Z", 22)],
)
def test_an_hour_begins_on_the_hour(time, hour):
    assert window_index(parse_instant(time), HOUR_NS) % 24 == hour


@given(instants, lengths)
def test_every_instant_is_in_exactly_one_window(at, length_ns):
    start = window_index(at, length_ns) * length_ns
    assert start <= at < start + length_ns


@given(instants, instants, lengths)
def test_windows_follow_time(one, other, length_ns):
    early, late = sorted((one, other))
    assert window_index(early, length_ns) <= window_index(late, length_ns)
