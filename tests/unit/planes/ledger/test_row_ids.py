"""The ids of a snapshot answer as the row lane does that wrote them."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.row_ids import RestingIds
from ringfence.planes.ledger.row_kernel import code_in, id_word

IDS = st.one_of(st.integers(1, 40), st.integers(1, 2**128 - 1), st.integers(2**64 - 2, 2**64 + 2))


@given(kept=st.dictionaries(IDS, st.integers(0, 2**15 - 1), max_size=30), asked=st.lists(IDS, max_size=10))
def test_every_id_is_answered_and_no_other(kept: dict[int, int], asked: list[int]) -> None:
    words = (
        word
        for number, code in sorted(kept.items())
        for word in (number >> 64, number % 2**64, id_word(0xABCD << 16, code))
    )
    resting = RestingIds(b"".join(word.to_bytes(8, "little") for word in words))
    assert len(resting) == len(kept)
    for number in [*kept, *asked]:
        found = (b"", kept[number]) if number in kept else None
        assert resting.answer(number) == found
    assert all(code_in(id_word(0xABCD << 16, code)) == code for code in kept.values())
