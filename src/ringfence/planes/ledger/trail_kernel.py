"""The trail of a record of rows, compiled: which compartments it booked in, and the record before in each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled_in_place
from ringfence.planes.ledger.hold_kernel import Codes, Words, is_booked, route_of


class Noted(NamedTuple):
    """For each compartment, the newest record that touched it, and the one before that."""

    newest: NDArray[np.uint32]
    before: NDArray[np.uint32]


@compiled_in_place
def routes_booked(words: Words, codes: Codes) -> int:
    """Return how many routes there are up to the last one along which something was carried out."""
    count = 0
    for number in range(len(words)):
        if codes[number] == 0 and is_booked(words, number):
            count = max(count, route_of(words, number) + 1)
    return count


@compiled_in_place
def note_ends(
    words: Words,
    codes: Codes,
    ends: NDArray[np.int64],
    noted: Noted,
    sequence: int,
    found: NDArray[np.uint32],
) -> int:
    """Note the record `sequence` with each compartment that it booked in; return how many these are.

    words, codes: the transfers and their answers; ends: for each route, its two compartments; found: becomes
    the compartments, and needs two places for each transfer.
    """
    newest, before, count = noted.newest, noted.before, 0
    for number in range(len(words)):
        if codes[number] == 0 and is_booked(words, number):
            route = route_of(words, number)
            for side in range(2):
                end = ends[route, side]
                if newest[end] != sequence:
                    before[end], newest[end] = newest[end], np.uint32(sequence)
                    found[count] = np.uint32(end)
                    count += 1
    return count
