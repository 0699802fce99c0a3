"""Which records of a journal touched a compartment, so that its history is found without reading the rest.

Each record has its links: the numbers of the compartments it booked in, each with the record that touched it
before. Whoever follows them from the newest on reads those records and no other. Compartments are numbered in
the order in which records bring them. All of it follows from the journal and can be made again from it.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ringfence.planes.ledger.rows import Codes, Routes, Transfers

LINK = np.dtype([("compartment", "<u4"), ("before", "<u4")])
"""The number of a compartment, and the record that touched it before (0: none, since 0 is the genesis)."""


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
        self._fresh: list[str] = []
        self._routes: Routes | None = None
        self._ends: NDArray[np.int64] = np.zeros((0, 2), np.int64)

    def touch(self, sequence: int, compartments: Iterable[str]) -> Links:
        """Link the record `sequence`, the next one, to the compartments that it booked in."""
        numbers = sorted({self._number(path) for path in compartments})
        return self._link(sequence, np.array(numbers, np.int64))

    def touch_rows(self, sequence: int, transfers: "Transfers", codes: "Codes", routes: "Routes") -> Links:
        """Link a record of rows to the ends of the routes on which something was carried out."""
        from ringfence.planes.ledger.rows import are_booked

        used = transfers["route"][are_booked(transfers, codes)]
        ends = self._ends_of(routes, int(used.max()) + 1 if len(used) else 0)[used]
        is_touched = np.zeros(len(self._numbers), np.bool_)
        is_touched[ends.reshape(-1)] = True
        return self._link(sequence, np.flatnonzero(is_touched))

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
        return number

    def _link(self, sequence: int, numbers: NDArray[np.int64]) -> Links:
        links = np.empty(len(numbers), LINK)
        links["compartment"], links["before"] = numbers, self._newest[numbers]
        self._newest[numbers] = sequence
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
