"""The tree over a journal (RFC 6962): one leaf for each request, transfer and other entry, in their order.

The chain of hashes needs every record to show one; the tree shows that one entry is in a journal, or that one
journal is the beginning of another, with a few dozen hashes and nothing else of the book. It follows from the
journal, is built behind the commit, and its root is written down at each checkpoint.

The data of a leaf is 20 bytes that say where the entry stands, and its content:

    sequence (8) | at (8) | kind (1) | place in the record (3), big-endian
    batch        one operation with its answer, as JSON, byte for byte as the record holds it
    rows         code (2), SHA-256 of the route as JSON (32), transfer (128)
    other kinds  the whole payload, as the one entry of its record
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.merkle import HASH_SIZE, Frontier, leaf_hash
from ringfence.planes.ledger.journal import JournalRecord, Kind

if TYPE_CHECKING:
    # It brings NumPy, which a book without rows never waits for.
    from ringfence.planes.ledger.rows import Route, Routes

RoutesOf = Callable[[int], "Routes"]
"""Returns the routes that rows name by number at a record: they begin anew with another policy."""


class JournalTree:
    """The tree over the first records of a journal; `next` is the sequence of the first one not in it."""

    def __init__(self, routes: RoutesOf, next_sequence: int = 0, frontier: Frontier | None = None) -> None:
        self.next = next_sequence
        self.frontier = frontier or Frontier()
        self._routes = routes
        self._hashed: Routes | None = None
        self._route_hashes = bytearray()

    def grow(self, record: JournalRecord) -> None:
        """Append the entries of the record that comes next."""
        self.frontier.extend(self.leaves(record))
        self.next = record.sequence + 1

    def leaves(self, record: JournalRecord) -> Iterator[bytes]:
        """Hash the entries of a record in their order."""
        if record.kind == Kind.ROWS:
            return self._row_leaves(record)
        head = _place_of(record)
        return (leaf_hash(head(place) + entry) for place, entry in enumerate(entries_of(record)))

    def _row_leaves(self, record: JournalRecord) -> Iterator[bytes]:
        from ringfence.planes.ledger.rows import read_rows, row_entries

        batch, codes = read_rows(record)
        self._hash_routes(self._routes(record.sequence))
        start = b"\0" + _head(record.sequence, record.at, record.kind, 0)[:-3]
        entries = row_entries(start, batch.transfers, codes, self._route_hashes)
        size = len(entries) // len(codes)
        return (sha256(entries[at : at + size]).digest() for at in range(0, len(entries), size))

    def _hash_routes(self, routes: "Routes") -> None:
        if routes is not self._hashed:
            self._hashed, self._route_hashes = routes, bytearray()
        for number in range(len(self._route_hashes) // HASH_SIZE, len(routes)):
            self._route_hashes += route_hash(routes[number])


def write_tree(tree: JournalTree) -> bytes:
    """Write out how far a tree has grown."""
    return (
        tree.next.to_bytes(8, "big") + tree.frontier.size.to_bytes(8, "big") + b"".join(tree.frontier.peaks)
    )


def read_tree(content: bytes, routes: RoutesOf) -> JournalTree:
    """Read a tree that was written out; ValueError where it is none."""
    peaks = [content[start : start + HASH_SIZE] for start in range(16, len(content), HASH_SIZE)]
    frontier = Frontier(int.from_bytes(content[8:16], "big"), peaks)
    return JournalTree(routes, int.from_bytes(content[:8], "big"), frontier)


def entries_of(record: JournalRecord) -> tuple[bytes, ...]:
    """Return the entries of a record that holds no rows, byte for byte as it holds them."""
    if record.kind != Kind.BATCH:
        return (record.payload,)
    try:
        return tuple(bytes(entry) for entry in msgspec.json.decode(record.payload, type=list[msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalBroken(record.sequence, f"its content cannot be read: {error}") from None


def route_hash(route: "Route") -> bytes:
    """Hash what a route means, for the leaves of the transfers that take it."""
    return sha256(msgspec.json.encode(route)).digest()


def leaf_of(sequence: int, at: int, kind: int, place: int, content: bytes) -> bytes:
    """Hash one entry into its leaf."""
    return leaf_hash(_head(sequence, at, kind, place) + content)


def _place_of(record: JournalRecord) -> Callable[[int], bytes]:
    start = _head(record.sequence, record.at, record.kind, 0)[:-3]
    return lambda place: start + place.to_bytes(3, "big")


def _head(sequence: int, at: int, kind: int, place: int) -> bytes:
    numbers = sequence.to_bytes(8, "big") + at.to_bytes(8, "big", signed=True)
    return numbers + bytes([kind]) + place.to_bytes(3, "big")
