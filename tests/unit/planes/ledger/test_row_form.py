"""The compiled look at the form of a batch finds what a plain reading of the same sentences finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.row_form import fault_of_transfers
from ringfence.planes.ledger.rows import HOLD, MOVE, POST, VOID, Transfers, blank_transfers, words_of

ROUTES = 3
NOTHING_WRONG = 9

LINE = st.tuples(
    st.sampled_from([7, 7, 7, 7, 8]),
    st.sampled_from([0, 1, 2, 2, 2, 3, 2**32 - 1]),
    st.sampled_from([0, 0, 1, 1, 1, 2]),
    st.sampled_from([MOVE, MOVE, HOLD, HOLD, POST, VOID, VOID + 1]),
    st.sampled_from([0, 0, 0, 1, 2**63]),
    st.sampled_from([0, 5, 5, 5, 6]),
    st.sampled_from([0] * 9 + [1]),
)
"""Id, route, whether it is linked, kind, units, until when it holds, a free byte: mostly right."""


def written(lines: list[tuple[int, ...]]) -> Transfers:
    transfers = blank_transfers(len(lines))
    for place, (identifier, route, linked, kind, units, until, free) in enumerate(lines):
        one = transfers[place]
        one["id_low"], one["id_high"] = identifier, identifier % 2
        one["route"], one["is_linked"], one["kind"] = route, linked, kind
        one["units_high"], one["units_low"] = units >> 63, units & 1
        one["hold_until"], one["free"][1] = until, free
    return transfers


def read(lines: list[tuple[int, ...]]) -> int:
    """Return the lowest number of a sentence that does not hold."""
    faults = [NOTHING_WRONG]
    for place, (identifier, route, linked, kind, units, until, free) in enumerate(lines):
        after = lines[place + 1] if place + 1 < len(lines) else None
        is_hold = kind == HOLD
        mixed = linked and after is not None and is_hold != (after[3] == HOLD)
        mixed = mixed or bool(linked and after is not None and is_hold and until != after[5])
        found = {
            1: route >= ROUTES,
            2: linked > 1 or free,
            3: linked and after is None,
            4: linked and after is not None and identifier != after[0],
            5: kind > VOID,
            6: is_hold and until == 0,
            7: kind == VOID and units,
            8: mixed,
        }
        faults += [number for number, is_wrong in found.items() if is_wrong]
    return min(faults)


@given(st.lists(LINE, min_size=1, max_size=6))
def test_the_lowest_fault_of_a_batch_is_found(lines: list[tuple[int, ...]]) -> None:
    assert fault_of_transfers(words_of(written(lines)), ROUTES) == read(lines)


@pytest.mark.parametrize(
    ("kinds", "untils"), [((HOLD, MOVE), (5, 5)), ((MOVE, HOLD), (5, 5)), ((1, 1), (5, 6))]
)
def test_a_request_that_holds_in_part_is_found(kinds: tuple[int, int], untils: tuple[int, int]) -> None:
    lines = [(7, 0, place == 0, kinds[place], 1, untils[place], 0) for place in range(2)]
    assert fault_of_transfers(words_of(written(lines)), ROUTES) == read(lines) == 8


def test_transfers_without_a_fault_have_none() -> None:
    right = [(7, 2, 1, HOLD, 1, 5, 0), (7, 0, 0, HOLD, 2**63, 5, 0), (8, 1, 0, VOID, 0, 0, 0)]
    assert fault_of_transfers(words_of(written(right)), ROUTES) == NOTHING_WRONG


def test_the_words_of_transfers_are_for_reading() -> None:
    assert not words_of(blank_transfers(2)).flags.writeable
    assert words_of(blank_transfers(4)[::2]).shape == (2, 16)
    assert np.array_equal(words_of(blank_transfers(1)), np.zeros((1, 16), np.uint64))
