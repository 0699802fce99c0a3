"""The platform's own ids: always the same, never a caller's, and found again after a restart."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.ids import ID_MAX, request_id
from ringfence.kernel.instant import Instant
from ringfence.services.platform.own_ids import arrival_id, fill_id, is_reserved, last_known


@given(st.integers(0, 2**64), st.text(max_size=30))
def test_own_ids_are_possible_and_reserved(number, reference):
    for identifier in (fill_id(number), arrival_id(reference)):
        assert 0 < identifier <= ID_MAX
        assert is_reserved(identifier)


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**80 - 1))
def test_no_caller_makes_one_from_its_clock(at, tail):
    assert not is_reserved(request_id(Instant(at), tail))


@given(st.integers(0, 5_000))
def test_the_last_fill_is_found_by_asking_about_few(last):
    asked = []

    def is_known(number):
        asked.append(number)
        return number <= last

    assert last_known(is_known) == last
    assert len(asked) < 40
