"""Which records of a journal touched a compartment, so that its history is found without reading the rest.

Each record has its links: the numbers of the compartments it booked in, each with the record that touched it
before. Whoever follows them from the newest on reads those records and no other. Compartments are numbered in
the order in which records bring them. All of it follows from the journal and can be made again from it.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ringfence.planes.ledger.rows import Codes, Routes, Transfers

LINK = np.dtype([("compartment", "<u4"), ("before", "<u4")])
"""The number of a compartment, and the record that touched it before (0: none, since 0 is the genesis)."""


_WORTH_SORTING = 128
"""As many compartments are looked through in the time in which one is sorted."""

SUMMARY_EVERY = 256
"""After how many records the newest record of every compartment is written down."""


class Links(NamedTuple):
    """What one record touched.

    fresh: names of compartments that are new, in the order of their numbers; content: the links, ordered by
    number; newest: now and then, the newest record of every compartment in the order of their numbers.
    """

    sequence: int
    fresh: tuple[str, ...]
    content: bytes
    newest: bytes = b""


class Trail:
    """The compartments of a journal by number, and the newest record that touched each."""

    def __init__(
        self, compartments: Sequence[str] = (), newest: NDArray[np.uint32] | None = None, covered: int = 0
    ) -> None:
        """Go on where a trail ended, or begin one; covered: how many records after the genesis it covers."""
        self.covered = covered
        self._numbers = {path: number for number, path in enumerate(compartments)}
        self._newest = np.zeros(max(len(compartments), 1), np.uint32)
        if newest is not None:
            known = newest[: len(compartments)]
            self._newest[: len(known)] = known
        self._before = np.zeros_like(self._newest)
        self._fresh: list[str] = []
        self._routes: Routes | None = None
        self._ends: NDArray[np.int64] = np.zeros((0, 2), np.int64)

    def touch(self, sequence: int, compartments: Iterable[str]) -> Links:
        """Link the record `sequence`, the next one, to the compartments that it booked in."""
        numbers = np.array(sorted({self._number(path) for path in compartments}), np.int64)
        self._before[numbers] = self._newest[numbers]
        self._newest[numbers] = sequence
        return self._links(sequence, numbers)

    def touch_rows(self, sequence: int, transfers: "Transfers", codes: "Codes", routes: "Routes") -> Links:
        """Link a record of rows to the ends of the routes on which something was carried out."""
        from ringfence.planes.ledger.rows import words_of
        from ringfence.planes.ledger.trail_kernel import Noted, note_ends, routes_booked

        words, found = words_of(transfers), np.empty(2 * len(transfers), np.uint32)
        ends = self._ends_of(routes, 0)
        if len(ends) < len(routes):
            ends = self._ends_of(routes, routes_booked(words, codes))
        count = note_ends(words, codes, ends, Noted(self._newest, self._before), sequence, found)
        return self._links(sequence, self._in_order(sequence, found[:count]))

    def _in_order(self, sequence: int, found: NDArray[np.uint32]) -> NDArray[Any]:
        """Put the compartments of a record in order: by sorting them, or by looking through all there are."""
        if len(found) * _WORTH_SORTING < len(self._numbers):
            found.sort()
            return found
        return np.flatnonzero(self._newest[: len(self._numbers)] == sequence)

    def _ends_of(self, routes: "Routes", count: int) -> NDArray[np.int64]:
        """Return the numbers of the compartments at both ends of the first routes."""
        if routes is not self._routes:
            self._routes, self._ends = routes, np.zeros((0, 2), np.int64)
        known = len(self._ends)
        if count > known:
            found = (routes[number] for number in range(known, count))
            more = [(self._number(route.source), self._number(route.target)) for route in found]
            self._ends = np.concatenate([self._ends, np.array(more, np.int64)])
        return self._ends

    def _number(self, path: str) -> int:
        number = self._numbers.get(path)
        if number is None:
            number = self._numbers[path] = len(self._numbers)
            self._fresh.append(path)
            if number >= len(self._newest):
                self._newest = np.concatenate([self._newest, np.zeros_like(self._newest)])
                self._before = np.concatenate([self._before, np.zeros_like(self._before)])
        return number

    def _links(self, sequence: int, numbers: NDArray[Any]) -> Links:
        """Write the links to compartments that were noted, which come in their order."""
        links = np.empty(len(numbers), LINK)
        links["compartment"], links["before"] = numbers, self._before[numbers]
        fresh, self._fresh = tuple(self._fresh), []
        newest = b""
        if sequence % SUMMARY_EVERY == 0:
            newest = self._newest[: len(self._numbers)].astype("<u4").tobytes()
        return Links(sequence, fresh, links.tobytes(), newest)


def record_before(content: bytes, compartment: int) -> int | None:
    """Return the record that touched a compartment before these links; None where they do not name it."""
    links = np.frombuffer(content, LINK)
    place = int(np.searchsorted(links["compartment"], compartment))
    if place == len(links) or links["compartment"][place] != compartment:
        return None
    return int(links["before"][place])


def newest_records(summary: bytes, later: Iterable[tuple[int, bytes]]) -> NDArray[np.uint32]:
    """Return the newest record of every compartment: what was written down, and (record, links) since."""
    newest = np.frombuffer(summary, "<u4").astype(np.uint32)
    for sequence, content in later:
        numbers = np.frombuffer(content, LINK)["compartment"]
        if len(numbers) and int(numbers[-1]) >= len(newest):
            newest = np.concatenate([newest, np.zeros(int(numbers[-1]) + 1, np.uint32)])
        newest[numbers] = sequence
    return newest
