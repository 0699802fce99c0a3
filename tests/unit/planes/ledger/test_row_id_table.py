"""Every id that was spent is found in the table however it grew, and no other is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.row_id_table import IdTable
from ringfence.planes.ledger.row_kernel import find_slot, first_gap, id_word, longest_run

HIGHEST = 2**128 - 1
RUNS = st.tuples(st.integers(0, HIGHEST - 64), st.integers(1, 40))
"""Where ids begin that follow each other, and how many there are."""


def table(slots: int, mapped_from: int = 1) -> IdTable:
    """A table that grows where it lies from the first time on that it grew."""
    return IdTable(slots, mapped_from)


def spend(ids: IdTable, identifier: int, code: int) -> None:
    """Spend an id as rows do, with the content of their request."""
    ids.make_room(1)
    high, low = identifier >> 64, identifier & (2**64 - 1)
    slot = find_slot(ids.words, np.uint64(high), np.uint64(low))
    ids.count += not ids.words[slot, 2]
    ids.words[slot] = (high, low, id_word(identifier << 16, code) | 1 << 16)


@given(st.sampled_from([32, 64, 256]), st.lists(RUNS, max_size=30))
def test_spent_ids_are_found_however_the_table_grows(slots: int, runs: list[tuple[int, int]]) -> None:
    ids, elsewhere = table(slots), table(slots, mapped_from=2**40)
    spent: dict[int, int] = {}
    for start, count in runs:
        for identifier in range(start, start + count):
            if identifier and identifier not in spent:
                spent[identifier] = len(spent) % 50
                spend(ids, identifier, spent[identifier])
                spend(elsewhere, identifier, spent[identifier])
    assert ids.count == elsewhere.count == len(spent)
    assert {one: ids.code(one) for one in spent} == spent
    assert ids.written() == elsewhere.written()
    for start, count in runs:
        for identifier in (start - 1, start + count):
            if identifier not in spent and identifier >= 0:
                assert ids.code(identifier) is None


@pytest.mark.parametrize("step", [1, 2**64, 0x9E3779B97F4A7C15F39CC0605CEDC835])
def test_a_large_table_grows_where_it_lies_and_keeps_its_ids(step: int) -> None:
    ids = table(1 << 10, mapped_from=1 << 11)
    numbers = [(number + 1) * step % HIGHEST for number in range(20_000)]
    for number in numbers:
        spend(ids, number, 7)
    assert len(ids.words) == 1 << 15
    assert ids.words.base is not None, "it lies in a mapping"
    assert all(ids.code(number) == 7 for number in numbers)
    again = table(32)
    again.take(ids.written())
    assert again.written() == ids.written()
    assert again.count == ids.count == len(numbers)


def test_a_table_grows_by_more_than_twice_at_once() -> None:
    ids = table(32)
    for number in range(1, 60):
        spend(ids, number << 70, number)
    ids.make_room(10_000)
    assert len(ids.words) == 1 << 14
    assert [ids.code(number << 70) for number in range(1, 60)] == list(range(1, 60))


def test_where_ids_lie_in_one_long_run_the_table_grows_elsewhere() -> None:
    """Ids chosen to collide lie so far from home that they would be spread over others not taken yet."""
    ids, larger = table(32), np.zeros((256, 3), np.uint64)
    ids.make_room(60)
    before, empty, chosen, number = len(ids.words), ids.words.copy(), list[int](), 1
    while len(chosen) < before // 2:
        home = find_slot(empty, np.uint64(0), np.uint64(number))
        # The last few would have their new home before the others', in slots that these still lie in.
        is_upper = find_slot(larger, np.uint64(0), np.uint64(number)) >= 80
        if 32 <= home < 48 and is_upper == (len(chosen) < 48):
            chosen.append(number)
            spend(ids, number, 3)
        number += 1
    assert longest_run(ids.words) == before // 2
    assert first_gap(ids.words, before // 8) == before // 8
    ids.make_room(before // 2)
    assert len(ids.words) == len(larger)
    assert [ids.code(one) for one in chosen] == [3] * len(chosen)


def test_an_ordinary_request_spends_its_id_once() -> None:
    ids = table(32)
    ids.keep_all({5: (b"", 0), 6: (b"", 23)})
    ids.keep(5, 9)
    ids.keep(2**127, 4)
    assert ids.count == 3
    # Of ordinary requests the book itself knows the answer.
    assert ids.code(5) is None
    assert ids.words[find_slot(ids.words, np.uint64(0), np.uint64(6)), 2] == id_word(0, 23)
    assert ids.written() == b""


def test_gaps_and_runs() -> None:
    words = np.zeros((8, 3), np.uint64)
    words[[1, 2, 3, 6], 2] = 1
    assert [first_gap(words, start) for start in (0, 1, 3, 6, 8)] == [0, 4, 4, 7, 8]
    assert longest_run(words) == 3
    words[4:, 2] = 1
    assert first_gap(words, 1) == 8
