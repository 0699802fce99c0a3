"""A book's journal and snapshots in memory: for demonstrations, replays of markets, and tests."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ringfence.kernel.errors import StoreBusy, StoreFailed
from ringfence.planes.ledger.journal import Head, JournalRecord, head_of

if TYPE_CHECKING:
    from ringfence.planes.ledger.trail import Links


class Shelf:
    """Where a memory book lies while nobody has it open."""

    def __init__(self) -> None:
        self.records: list[JournalRecord] = []
        self.is_taken = False


class MemoryStore:
    """The writer of the journal on one shelf."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf or Shelf()
        if self._shelf.is_taken:
            raise StoreBusy("another writer holds this book; close it first")
        self._shelf.is_taken = True
        self._is_open = True

    def append(self, record: JournalRecord) -> None:
        """Keep one record; StoreFailed where it does not follow the head or the store is closed."""
        self.extend([record])

    def extend(self, records: Sequence[JournalRecord], links: Sequence["Links"] = ()) -> None:  # noqa: ARG002
        """Keep records, all or none; StoreFailed as for one. Memory is read as fast without a trail."""
        if not self._is_open:
            raise StoreFailed("the book is closed")
        for place, record in enumerate(records, len(self._shelf.records)):
            if record.sequence != place:
                raise StoreFailed(f"record {record.sequence} does not follow the head of the book")
        self._shelf.records.extend(records)

    def trail(self) -> None:
        """Keep none."""

    def renew_trail(self, links: Iterable["Links"]) -> None:
        """Keep none."""

    def touching(self, compartment: str) -> None:
        """Know none."""

    def records(self, first: int = 0) -> Iterator[JournalRecord]:
        """Read the records from sequence `first` on."""
        return iter(self._shelf.records[first:])

    def head(self) -> Head | None:
        """Return where the journal ends."""
        return head_of(self._shelf.records[-1]) if self._shelf.records else None

    def close(self) -> None:
        """Let go of the shelf."""
        if self._is_open:
            self._is_open = self._shelf.is_taken = False


class MemorySnapshots:
    """Every snapshot of a book, in memory."""

    def __init__(self) -> None:
        self.contents: dict[int, bytes] = {}

    def kept(self) -> tuple[int, ...]:
        """List the records that have a snapshot, the newest first."""
        return tuple(sorted(self.contents, reverse=True))

    def read(self, sequence: int) -> bytes:
        """Return a snapshot; empty where there is none."""
        return self.contents.get(sequence, b"")

    def keep(self, sequence: int, content: bytes) -> None:
        """Keep a snapshot."""
        self.contents[sequence] = content
