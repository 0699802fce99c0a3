from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.instant import (
    DAY_NS,
    HOUR_NS,
    LENGTH_NS_MAX,
    MINUTE_NS,
    SECOND_NS,
    Instant,
    parse_duration,
    parse_instant,
    show_duration,
    show_instant,
)

END_NS = 9_214_646_400 * SECOND_NS
"""2262-01-01T00:00:00Z, the first instant that is too late."""


@pytest.mark.parametrize(
    ("text", "length_ns"),
    [
        ("1 ms", 1_000_000),
        ("30 s", 30 * SECOND_NS),
        ("15 min", 15 * MINUTE_NS),
        ("15 m", 15 * MINUTE_NS),
        ("4 h", 4 * HOUR_NS),
        ("1 d", DAY_NS),
        ("999999999 ms", 999_999_999 * 1_000_000),
        ("36500 d", LENGTH_NS_MAX),
    ],
)
def test_a_length_of_time_is_read_in_its_unit(text, length_ns):
    assert parse_duration(text) == length_ns


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a length"),
        ("30", "is not a length"),
        ("30s", "is not a length"),
        ("30  s", "is not a length"),
        (" 30 s", "is not a length"),
        ("30 s ", "is not a length"),
        ("1.5 h", "is not a length"),
        ("-1 d", "is not a length"),
        ("1 week", "is not a length"),
        ("1 D", "is not a length"),
        ("٣ d", "is not a length"),
        ("1000000000 s", "is not a length"),
        ("0 d", "no time at all"),
        ("36501 d", "over the longest"),
        ("876001 h", "over the longest"),
    ],
)
def test_what_is_no_length_of_time_is_refused_with_words(text, words):
    with pytest.raises(ValueError, match=words):
        parse_duration(text)


@pytest.mark.parametrize(
    ("length_ns", "text"),
    [
        (1_000_000, "1 ms"),
        (999_000_000, "999 ms"),
        (SECOND_NS, "1 s"),
        (90 * SECOND_NS, "90 s"),
        (60 * SECOND_NS, "1 min"),
        (60 * MINUTE_NS, "1 h"),
        (90 * MINUTE_NS, "90 min"),
        (24 * HOUR_NS, "1 d"),
        (25 * HOUR_NS, "25 h"),
    ],
)
def test_a_length_of_time_is_written_in_its_largest_whole_unit(length_ns, text):
    assert show_duration(length_ns) == text


def test_a_length_below_a_millisecond_cannot_be_written():
    with pytest.raises(ValueError, match="1000001 ns is not a whole number of milliseconds"):
        show_duration(1_000_001)


@given(st.integers(1, 99_999_999), st.sampled_from([1, 1_000, 60_000, 3_600_000, 86_400_000]))
def test_a_shown_length_of_time_is_read_back(count, unit_ms):
    length_ns = min(count * unit_ms * 1_000_000, LENGTH_NS_MAX)
    assert parse_duration(show_duration(length_ns)) == length_ns


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1Z", SECOND_NS // 10),
        ("1970-01-02T00:00:00Z", DAY_NS),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T22:30:00-01:30", 0),
        ("2024-02-29T12:00:00Z", 1_709_208_000 * SECOND_NS),
        ("2025-10-10T21:15:00Z", 1_760_130_900 * SECOND_NS),
        ("2261-12-31T23:59:59.999999999Z", END_NS - 1),
    ],
)
def test_a_time_with_its_zone_is_read(text, instant):
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a time with its zone"),
        ("2025-10-10", "is not a time with its zone"),
        ("2025-10-10T21:15:00", "is not a time with its zone"),
        ("2025-10-10 21:15:00Z", "is not a time with its zone"),
        ("2025-10-10T21:15Z", "is not a time with its zone"),
        ("20251010T211500Z", "is not a time with its zone"),
        ("2025-W41-5T21:15:00Z", "is not a time with its zone"),
        ("2025-10-10T21:15:00.Z", "is not a time with its zone"),
        ("2025-10-10T21:15:00.1234567890Z", "is not a time with its zone"),
        ("2025-10-10T21:15:00z", "is not a time with its zone"),
        ("２025-10-10T21:15:00Z", "is not a time with its zone"),
        ("2025-02-29T00:00:00Z", "is not a time"),
        ("2025-10-10T24:00:01Z", "is not a time"),
        ("2016-12-31T23:59:60Z", "is not a time"),
        ("2025-10-10T21:15:00+24:00", "is not a time"),
        ("1969-12-31T23:59:59Z", "not between the years"),
        ("1970-01-01T00:00:00+00:01", "not between the years"),
        ("0001-01-01T00:00:00+14:00", "not between the years"),
        ("2262-01-01T00:00:00Z", "not between the years"),
        ("9999-12-31T23:59:59-14:00", "not between the years"),
    ],
)
def test_what_is_no_time_is_refused_with_words(text, words):
    with pytest.raises(ValueError, match=words):
        parse_instant(text)


@given(st.integers(0, END_NS - 1).map(Instant))
def test_a_shown_instant_is_read_back_to_the_nanosecond(instant):
    assert parse_instant(show_instant(instant)) == instant


@given(st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31)))
def test_an_instant_agrees_with_the_standard_library(moment):
    text = moment.isoformat(timespec="microseconds") + "Z"
    microseconds = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // (
        datetime(1970, 1, 1, 0, 0, 0, 1) - datetime(1970, 1, 1)
    )
    assert parse_instant(text) == microseconds * 1_000


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (SECOND_NS // 2, "1970-01-01T00:00:00.5Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_an_instant_is_written_with_the_digits_it_needs(instant, text):
    assert show_instant(Instant(instant)) == text
