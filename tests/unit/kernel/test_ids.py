import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringfence.kernel.ids import ID_MAX, parse_id, request_id, show_id
from ringfence.kernel.instant import Instant

MILLISECOND = 1_000_000
TAIL_END = 1 << 80
TIME_END = (1 << 48) * MILLISECOND

instants = st.integers(0, TIME_END - 1).map(Instant)
tails = st.integers(0, TAIL_END - 1)


@pytest.mark.parametrize(
    ("at", "tail", "text"),
    [
        (0, 1, "00000000000000000000000000000001"),
        (MILLISECOND, 0, "00000000000100000000000000000000"),
        (2 * MILLISECOND - 1, 0, "00000000000100000000000000000000"),
        (TIME_END - 1, TAIL_END - 1, "f" * 32),
    ],
)
def test_an_id_is_its_time_and_then_its_tail(at, tail, text):
    assert show_id(request_id(Instant(at), tail)) == text


@pytest.mark.parametrize(
    ("at", "tail", "words"),
    [
        (0, 0, "must not be zero"),
        (0, -1, "80 bits"),
        (0, TAIL_END, "80 bits"),
        (-1, 1, "48 bits"),
        (TIME_END, 1, "48 bits"),
    ],
)
def test_an_id_outside_its_bits_is_refused(at, tail, words):
    with pytest.raises(ValueError, match=words):
        request_id(Instant(at), tail)


@given(instants, tails)
def test_a_shown_id_is_read_back(at, tail):
    assume(at >= MILLISECOND or tail)
    identifier = request_id(at, tail)
    assert 0 < identifier <= ID_MAX
    assert len(show_id(identifier)) == 32
    assert parse_id(show_id(identifier)) == identifier


@given(st.integers(1, (1 << 48) - 2), st.integers(1, 1 << 20), tails, tails)
def test_a_later_millisecond_gives_a_larger_id(at_ms, step_ms, tail, other):
    later_ms = min(at_ms + step_ms, (1 << 48) - 1)
    assert request_id(Instant(at_ms * MILLISECOND), tail) < request_id(Instant(later_ms * MILLISECOND), other)


@given(instants, tails, tails)
def test_ids_of_one_instant_differ_by_their_tails(at, tail, other):
    assume(at >= MILLISECOND and tail != other)
    assert request_id(at, tail) != request_id(at, other)


@pytest.mark.parametrize(("text", "identifier"), [("1", 1), ("ff", 255), ("f" * 32, ID_MAX), ("0001", 1)])
def test_a_short_id_may_leave_out_its_zeros(text, identifier):
    assert parse_id(text) == identifier


@pytest.mark.parametrize(
    "text", ["", "0", "0" * 32, "f" * 33, "FF", "0x1", "-1", " 1", "1_0", "g", "٣", "1" * 1_000_000]
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match=r"not an id|must not be zero") as caught:
        parse_id(text)
    assert len(str(caught.value)) < 120
